/* rondo train: a run is a folder; starting it again resumes where it stopped, batch for batch. */
#include "models/train/trainer.h"
#include "tools/bench/bench.h"
#include "tools/commands/command.h"
#include "tools/run/progress.h"
#include "tools/run/data.h"
#include "tools/run/folder.h"
#include "tools/run/peak.h"
#include "tools/run/settings.h"
#include "tools/run/start.h"
#include <math.h>
#include <string.h>

typedef struct run {
    command *command;
    options *options; /* those of the command line, completed by those that the run was started with */
    run_folder folder;
    run_data data;
    uint32_t mark; /* of the data */
    transformer_graph model;
    rondo_weights *weights;
    rondo_trainer *trainer;
    progress progress;
    int64_t epoch, index; /* the next batch */
    int64_t updates, first,
        saved;              /* so far; when this process started; in the checkpoint, −1: there is none */
    double seconds, before; /* spent training: in this process, and in those before it */
    double nll, best_nll;   /* of the last validation and the best one; NAN: none yet */
    int64_t best_update;    /* 0: not known */
    bool stopped;           /* by a signal */
    exit_code
        otherwise; /* the exit code for a failure that is neither the machine's nor the caller's fault */
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

static void find_place(run *r)
{
    int64_t left = trainer_batches(r->trainer);
    for (r->epoch = 0;; r->epoch++) {
        batches_plan(&r->data.train.batches, r->epoch);
        if (left < r->data.train.batches.count)
            break;
        left -= r->data.train.batches.count;
    }
    r->index = left;
}

static double number_in(const safetensors *file, const char *key, double otherwise)
{
    const char *said = safetensors_metadata(file, key), *end;
    double number;
    return said && parse_number(said, &end, &number) ? number : otherwise;
}

static bool resume(run *r)
{
    safetensors file;
    duration_text time;
    count_text updates;
    rondo_error *error = &r->command->error;
    const char *path = r->folder.checkpoint;
    if (!run_folder_has(path))
        return true;
    if (!rondo_trainer_load(r->trainer, path, error) ||
        !safetensors_open(&file, &r->command->context->allocator, path, error))
        return false;
    r->updates = r->first = r->saved = (int64_t)number_in(&file, "rondo.updates", 0);
    r->before = number_in(&file, "rondo.seconds", 0);
    r->best_nll = number_in(&file, "rondo.best_nll", NAN);
    r->best_update = (int64_t)number_in(&file, "rondo.best_update", 0);
    bool same = number_in(&file, "rondo.data", r->mark) == r->mark;
    safetensors_close(&file);
    message(r->command->name, "%s: resuming after update %s and %s of training", r->folder.path,
            count_format(updates, r->updates), duration_format(time, r->before));
    if (!same)
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
    r->mark = run_data_mark(&r->data, o);
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
    find_place(r);
    return true;
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
    arena a;
    arena_begin(&a, &r->command->context->allocator);
    text seconds = {.arena = &a}, nll = {.arena = &a};
    const char *mark = arena_text(&a, "%lld", (long long)r->mark),
               *update = arena_text(&a, "%lld", (long long)r->best_update);
    bool good =
        text_number(&seconds, r->before + r->seconds) && text_number(&nll, r->best_nll) && mark && update;
    if (!good)
        fail_memory(&r->command->error, seconds.length, "a checkpoint");
    const char *const metadata[] = {"rondo.seconds",  seconds.data, "rondo.data",        mark,
                                    "rondo.best_nll", nll.data,     "rondo.best_update", update};
    good = good && trainer_save(r->trainer, r->folder.checkpoint, metadata, isfinite(r->best_nll) ? 4 : 2,
                                &r->command->error);
    arena_end(&a);
    if (good)
        r->saved = r->updates;
    return good;
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
    if (r->data.has_valid) {
        const task *t = r->data.task;
        if (!t->validate(&r->data.valid, t->inputs, r->trainer, &r->nll, &r->command->error))
            return false;
        if (signals_caught())
            return true;
        if (!isfinite(r->nll))
            return fail(&r->command->error, RONDO_DIVERGED,
                        "the validation loss is not finite after update %s",
                        count_format(update, r->updates));
        bool better = !(r->best_nll <= r->nll);
        progress_clear(&r->progress);
        message(r->command->name, "update %s: validation nll %.3f, perplexity %.4g%s",
                count_format(update, r->updates), r->nll, exp(r->nll), better ? ", the best so far" : "");
        if (better && !rondo_weights_save(r->weights, r->folder.best, &r->command->error))
            return false;
        if (better) {
            r->best_nll = r->nll;
            r->best_update = r->updates;
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
    return (double)r->epoch + (double)r->index / (double)r->data.train.batches.count;
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
    batches_get(&r->data.train.batches, r->index, &b);
    int count = r->data.task->inputs(&b, inputs);
    double rate = rate_at(r->options, r->updates + 1);
    if (!rondo_trainer_step(r->trainer, inputs, count, (float)rate, &step, &r->command->error))
        return false;
    int64_t epoch = r->epoch;
    r->updates = step.number;
    if (++r->index >= r->data.train.batches.count) {
        batches_plan(&r->data.train.batches, ++r->epoch);
        r->index = 0;
    }
    double done = share_done(r);
    const progress_update update = {.number = r->updates,
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
    return true;
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
    bool kept = r->saved == r->updates && (!validated || r->best_update != r->updates);
    return kept || r->updates == 0 || save(r);
}

/* ---- the end ---- */

static int failed(run *r)
{
    const char *folder = r->folder.path, *name = r->command->name;
    count_text update;
    double lower = fmin(r->options->rate / 4, 2.5e-3);
    int code = command_failed(r->command, r->otherwise);
    if (code == EXIT_DIVERGED && r->saved >= 0)
        message(name,
                "%s keeps the checkpoint of update %s; resume from it with: rondo train --output-folder %s "
                "--rate %.3g",
                folder, count_format(update, r->saved), folder, lower);
    else if (code == EXIT_DIVERGED)
        message(name,
                "no checkpoint was saved yet; start again with: rondo train --output-folder %s --rate %.3g",
                folder, lower);
    else if (code == EXIT_MACHINE && r->saved >= 0)
        message(name,
                "%s keeps the checkpoint of update %s; once the cause is removed, the same command resumes "
                "from it",
                folder, count_format(update, r->saved));
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
    if (isfinite(r->best_nll))
        text_add(&line, ", best validation nll %.3f at update %s", r->best_nll,
                 count_format(best, r->best_update));
    message(r->command->name, "%s", line.data ? line.data : folder);
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
             .saved = -1,
             .nll = NAN,
             .best_nll = NAN};
    signals_begin();
    bool good = begin(&r) && train(&r);
    progress_clear(&r.progress);
    int code = good ? finish(&r) : failed(&r);
    end(&r);
    return code;
}
