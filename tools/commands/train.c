/* rondo train: a run is a folder; starting it again resumes where it stopped, batch for batch. */
#include "models/train/trainer.h"
#include "tools/bench/bench.h"
#include "tools/commands/command.h"
#include "tools/run/checkpoint.h"
#include "tools/run/data.h"
#include "tools/run/divergence.h"
#include "tools/run/folder.h"
#include "tools/run/peak.h"
#include "tools/run/progress.h"
#include "tools/run/settings.h"
#include "tools/run/start.h"
#include <math.h>
#include <string.h>

typedef struct run {
    command *command;
    options *options; /* those of the command line, completed by those that the run was started with */
    run_folder folder;
    run_data data;
    transformer_graph model;
    rondo_weights *weights;
    rondo_trainer *trainer;
    progress progress;
    checkpoints checkpoints;
    divergence divergence;
    checkpoint_facts facts; /* as of now; the batch is the next one */
    int64_t updates, first; /* so far; when this process started */
    double seconds, before; /* spent training: in this process, and in those before it */
    double nll;             /* of the last validation */
    bool stopped;           /* by a signal */
    exit_code otherwise;    /* for a failure that is neither the machine's nor the caller's fault */
} run;

/* ---- start ---- */

/* Everything that can be checked before data is read. */
static bool check_options(run *r)
{
    const options *o = r->options;
    rondo_error *error = &r->command->error;
    transformer_graph trial = {0};
    const task *t = task_of(o);
    if (!t->check(o, error))
        return false;
    if (o->dim % o->heads)
        return fail(error, RONDO_ARGUMENT, "--heads %lld does not divide --dim %lld", (long long)o->heads,
                    (long long)o->dim);
    bool good = t->build(r->command->context, o, o->vocabulary, &trial, error);
    rondo_graph_free(trial.graph);
    return good;
}

/* Checkpoints of older versions lack their position in the text, so batches are counted up to it. */
static bool count_through(run *r)
{
    enum { MOST_EPOCHS = 100000 };
    checkpoint_facts *f = &r->facts;
    int64_t left = trainer_batches(r->trainer);
    for (f->epoch = 0; f->epoch < MOST_EPOCHS && signals_check(&r->command->error); f->epoch++) {
        batches_plan(&r->data.train.batches, f->epoch);
        if (left < r->data.train.batches.count) {
            f->index = left;
            return true;
        }
        left -= r->data.train.batches.count;
    }
    return fail(&r->command->error, RONDO_FILE, "%s: rondo.batches is more than %d times this text",
                r->folder.checkpoint, MOST_EPOCHS);
}

static bool find_place(run *r)
{
    checkpoint_facts *f = &r->facts;
    if (f->epoch < 0 || f->index < 0)
        return count_through(r);
    batches_plan(&r->data.train.batches, f->epoch);
    if (f->index < r->data.train.batches.count)
        return true;
    f->index = 0; /* the text is another one, or is cut into fewer batches */
    batches_plan(&r->data.train.batches, ++f->epoch);
    return true;
}

static bool resume(run *r)
{
    duration_text time;
    count_text updates;
    rondo_error *error = &r->command->error;
    checkpoint_facts *f = &r->facts;
    const uint64_t data = f->data;
    if (!run_folder_has(r->folder.checkpoint)) {
        f->epoch = f->index = 0;
        return true;
    }
    if (!checkpoint_load(&r->checkpoints, r->trainer, r->data.tokenizer, f, error))
        return false;
    r->updates = r->first = r->checkpoints.saved;
    r->before = f->seconds;
    message(r->command->name, "%s: resuming after update %s and %s of training", r->folder.path,
            count_format(updates, r->updates), duration_format(time, r->before));
    if (f->data == data)
        return true;
    f->data = data;
    f->lowest_nll = INFINITY; /* which was that of another text */
    message(r->command->name,
            "the training text or --batch-tokens has changed: batches come in another order");
    return true;
}

static bool begin_data(run *r)
{
    options *o = r->options;
    rondo_error *error = &r->command->error;
    r->otherwise = EXIT_USE;
    if (!run_folder_open(&r->folder, o, error) || !check_options(r))
        return false;
    r->otherwise = EXIT_DATA;
    if (!run_data_open(&r->data, r->command, o, &r->folder))
        return false;
    r->facts.data = run_data_mark(&r->data, o);
    return true;
}

static bool begin_model(run *r)
{
    options *o = r->options;
    rondo_error *error = &r->command->error;
    int64_t vocabulary = tokenizer_size(r->data.tokenizer);
    r->otherwise = EXIT_MODEL;
    if (!r->data.task->build(r->command->context, o, vocabulary, &r->model, error) ||
        !(r->weights = rondo_weights_new(r->model.graph, (uint64_t)o->seed, error)))
        return false;
    const transformer shape = task_transformer(o, vocabulary);
    if (!run_folder_has(r->folder.checkpoint) &&
        !run_start(r->command, o, &r->folder, &r->data, &shape, r->weights))
        return false;
    r->trainer = rondo_trainer_new(r->model.loss, error, r->weights, .clip_norm = (float)o->clip_norm,
                                   .weight_decay = (float)o->weight_decay, .seed = (uint64_t)o->seed);
    if (!r->trainer || !resume(r))
        return false;
    divergence_begin(&r->divergence, log((double)vocabulary), r->facts.lowest_nll);
    return find_place(r);
}

static bool begin(run *r)
{
    const rondo *context = r->command->context;
    const options *o = r->options;
    count_text parameters, batches;
    if (!begin_data(r) || !begin_model(r) ||
        !run_data_keep_tokenizer(r->data.tokenizer, r->command, r->folder.tokenizer) ||
        !run_settings_write(o, &context->allocator, r->folder.settings, &r->command->error))
        return false;
    message(r->command->name, "%s parameters, %s batches an epoch, %d thread%s%s",
            count_format(parameters, rondo_weights_count(r->weights)),
            count_format(batches, r->data.train.batches.count), context->threads,
            context->threads == 1 ? "" : "s",
            o->minutes > 0 || o->epochs > 0 || o->updates > 0
                ? ""
                : "; no --minutes, --epochs or --updates: until Ctrl-C");
    return true;
}

static void end(run *r)
{
    rondo_trainer_free(r->trainer);
    rondo_weights_free(r->weights);
    rondo_graph_free(r->model.graph);
    run_data_close(&r->data);
    run_folder_close(&r->folder);
}

/* A short training is not worth two seconds for the peak, unless it is known. */
static double find_peak(run *r)
{
    const options *o = r->options;
    bool brief = (o->minutes > 0 && o->minutes < 1) || (o->updates > 0 && o->updates - r->updates < 200);
    return run_peak(r->command, &r->folder, !brief && !signals_caught());
}

/* ---- checkpoints, validation, samples ---- */

static bool save(run *r)
{
    r->facts.seconds = r->before + r->seconds;
    r->facts.lowest_nll = r->divergence.lowest;
    return checkpoint_save(&r->checkpoints, r->trainer, r->data.tokenizer, &r->facts, r->updates,
                           &r->command->error);
}

static bool show_samples(run *r, const char *when)
{
    const run_data *d = &r->data;
    const task_model model = {r->model.logits, r->weights, d->tokenizer};
    if (!r->options->samples || signals_caught())
        return true;
    progress_clear(&r->progress);
    return d->task->samples(&model, &d->valid, r->options, when, &r->command->error);
}

static bool validate(run *r, const char *when)
{
    count_text update;
    char others[MEASURES_BYTES];
    if (r->data.has_valid) {
        const task *t = r->data.task;
        if (!t->validate(&r->data.valid, t->inputs, r->trainer, &r->nll, &r->facts.measured,
                         &r->command->error))
            return false;
        if (signals_caught())
            return true;
        if (!isfinite(r->nll))
            return fail(&r->command->error, RONDO_DIVERGED,
                        "the validation loss is not finite after update %s",
                        count_format(update, r->updates));
        bool better = !(r->facts.best_nll <= r->nll);
        progress_clear(&r->progress);
        message(r->command->name, "update %s: validation nll %.3f, %sperplexity %.4g%s",
                count_format(update, r->updates), r->nll, measures_format(others, &r->facts.measured),
                exp(r->nll), better ? ", the best so far" : "");
        if (better &&
            !checkpoint_save_weights(r->weights, r->data.tokenizer, r->folder.best, &r->command->error))
            return false;
        if (better) {
            r->facts.best_nll = r->nll;
            r->facts.best_update = r->updates;
        }
    }
    return show_samples(r, when);
}

/* ---- the loop ---- */

static double rate_at(const options *o, int64_t update)
{
    double warmup = (double)o->warmup, at = (double)update;
    if (at < warmup)
        return o->rate * at / warmup;
    return !strcmp(o->schedule, "constant") || warmup < 1 ? o->rate : o->rate * sqrt(warmup / at);
}

static double epochs_done(const run *r)
{
    return (double)r->facts.epoch + (double)r->facts.index / (double)r->data.train.batches.count;
}

/* By the limit that comes first; 0: there is none. */
static double share_done(const run *r)
{
    const options *o = r->options;
    double share = 0;
    if (o->minutes > 0)
        share = fmax(share, (r->before + r->seconds) / (60 * o->minutes));
    if (o->updates > 0)
        share = fmax(share, (double)r->updates / (double)o->updates);
    if (o->epochs > 0)
        share = fmax(share, epochs_done(r) / (double)o->epochs);
    return share;
}

static bool one_update(run *r)
{
    batch b;
    rondo_tensor inputs[TASK_INPUTS];
    rondo_step step;
    checkpoint_facts *f = &r->facts;
    batches_get(&r->data.train.batches, f->index, &b);
    int count = r->data.task->inputs(&b, inputs);
    double rate = rate_at(r->options, r->updates + 1);
    if (!rondo_trainer_step(r->trainer, inputs, count, (float)rate, &step, &r->command->error))
        return false;
    int64_t epoch = f->epoch;
    r->updates = step.number;
    checkpoint_judge(&r->checkpoints, divergence_add(&r->divergence, step.nll));
    if (++f->index >= r->data.train.batches.count) {
        batches_plan(&r->data.train.batches, ++f->epoch);
        f->index = 0;
    }
    double done = share_done(r);
    const progress_update update = {.step = &step,
                                    .number = r->updates,
                                    .epoch = epoch + 1,
                                    .loss = step.loss,
                                    .nll = step.nll,
                                    .rate = rate,
                                    .gradient_norm = step.gradient_norm,
                                    .seconds = step.seconds,
                                    .flops = trainer_flops(r->trainer),
                                    .targets = step.targets,
                                    .source_tokens = b.source_tokens,
                                    .target_tokens = b.target_tokens,
                                    .done = done > 0 ? done : -1};
    progress_add(&r->progress, &update);
    return divergence_check(&r->divergence, &r->command->error);
}

static bool train(run *r)
{
    const options *o = r->options;
    progress_begin(&r->progress, stderr, o->report_every, find_peak(r));
    r->progress.began -= r->before; /* the time left is estimated from the whole run */
    double begun = bench_seconds();
    if (!r->updates && !show_samples(r, "before"))
        return false;
    while (share_done(r) < 1 && !signals_caught()) {
        if (!one_update(r))
            return false;
        r->seconds = bench_seconds() - begun;
        if (r->updates % o->valid_every == 0 && share_done(r) < 1 && !validate(r, "now"))
            return false;
        if (r->updates % o->save_every == 0 && !save(r))
            return false;
    }
    bool validated = !signals_caught();
    if (validated && !validate(r, "after"))
        return false;
    r->stopped = signals_caught() != 0;
    bool kept = r->checkpoints.saved == r->updates && (!validated || r->facts.best_update != r->updates);
    return kept || r->updates == 0 || save(r);
}

/* ---- the end ---- */

/* What to do now that training has diverged, and the checkpoint to do it with. */
static void give_advice(run *r)
{
    const char *folder = r->folder.path, *name = r->command->name;
    rondo_error reason;
    count_text update;
    double lower = fmin(r->options->rate / 4, 2.5e-3);
    int64_t saved = r->checkpoints.saved;
    if (!checkpoint_roll_back(&r->checkpoints, &reason)) {
        message(name, "%s", reason.message);
        return;
    }
    if (r->checkpoints.saved != saved)
        message(name, "the checkpoint of update %s had diverged already; it is kept as %s",
                count_format(update, saved), r->folder.diverged);
    if (r->checkpoints.saved >= 0)
        message(name,
                "%s keeps the checkpoint of update %s; resume from it with: rondo train --output-folder %s "
                "--rate %.3g",
                folder, count_format(update, r->checkpoints.saved), folder, lower);
    else
        message(name,
                "there is no checkpoint to resume from; start again with: rondo train --output-folder %s "
                "--rate %.3g",
                folder, lower);
}

static int failed(run *r)
{
    count_text update;
    int code = command_failed(r->command, r->otherwise);
    if (code == EXIT_DIVERGED)
        give_advice(r);
    else if (code == EXIT_MACHINE && r->checkpoints.saved >= 0)
        message(r->command->name,
                "%s keeps the checkpoint of update %s; once the cause is removed, the same command resumes "
                "from it",
                r->folder.path, count_format(update, r->checkpoints.saved));
    return code;
}

static int finish(run *r)
{
    const struct progress_sums *all = &r->progress.all;
    const char *folder = r->folder.path;
    duration_text time;
    count_text updates, source, target, best;
    text line = {.arena = r->options->arena};
    text_add(&line, "%s: %s updates, %.1f epochs, %s of training", folder, count_format(updates, r->updates),
             epochs_done(r), duration_format(time, r->before + r->seconds));
    if (all->updates && all->seconds > 0)
        text_add(&line, ", %s%s%s tokens/s",
                 all->source_tokens ? count_format(source, llround((double)all->source_tokens / all->seconds))
                                    : "",
                 all->source_tokens ? " + " : "",
                 count_format(target, llround((double)all->target_tokens / all->seconds)));
    if (isfinite(r->facts.best_nll))
        text_add(&line, ", best validation nll %.3f at update %s", r->facts.best_nll,
                 count_format(best, r->facts.best_update));
    const char *summary = text_done(&line);
    message(r->command->name, "%s", summary ? summary : folder);
    if (r->stopped)
        message(r->command->name, "stopped%s; the same command resumes", r->updates ? " and saved" : "");
    else if (r->updates == r->first)
        message(r->command->name,
                "there was nothing left to do; continue with a larger --minutes, --epochs or --updates");
    else
        message(r->command->name, "try it: rondo %s %s", r->data.task->command, folder);
    return r->stopped ? EXIT_SIGNAL + signals_caught() : EXIT_DONE;
}

int command_train(command *c)
{
    run r = {.command = c,
             .options = (options *)c->options,
             .folder = {.lock = -1},
             .nll = NAN,
             .facts = {.best_nll = NAN, .lowest_nll = INFINITY, .epoch = -1, .index = -1}};
    r.checkpoints = (checkpoints){&r.folder, &c->context->allocator, .saved = -1};
    signals_begin();
    bool good = begin(&r) && train(&r);
    progress_clear(&r.progress);
    int code = good ? finish(&r) : failed(&r);
    end(&r);
    return code;
}
