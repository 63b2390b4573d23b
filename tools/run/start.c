/* Initial weights from another run, and distillation. */
#include "tools/run/start.h"
#include "models/decode/binding.h"
#include "models/train/trainer.h"
#include <math.h>

const char *const converted_places[PLACE_COUNT] = {"decoder-self", "encoder-self", "cross"};

/* ---- distillation ---- */

static bool teach(command *c, const options *o, run_data *d, rondo_trainer *trainer)
{
    batches *train = &d->train.batches;
    rondo_tensor inputs[TASK_INPUTS];
    int64_t epoch = 0, index = 0;
    count_text now, all;
    for (int64_t update = 1; update <= o->distill_updates && !signals_caught(); update++, index++) {
        batch b;
        rondo_step step;
        if (update == 1 || index == train->count) {
            batches_plan(train, epoch++);
            index = 0;
        }
        batches_get(train, index, &b);
        int count = d->task->inputs(&b, inputs);
        if (!rondo_trainer_step(trainer, inputs, count, (float)o->rate, &step, &c->error))
            return false;
        if (update == 1 || update % o->report_every == 0 || update == o->distill_updates)
            message(c->name, "distilling, update %s of %s: cross-entropy with softmax %.4f",
                    count_format(now, update), count_format(all, o->distill_updates), step.loss);
    }
    return true;
}

/* The lesson has its own weights, in which all but the feature maps are frozen. */
static bool learn(command *c, const options *o, run_data *d, const lesson *l, rondo_weights *w)
{
    rondo_weights *own = rondo_weights_new(l->graph, (uint64_t)o->seed, &c->error);
    rondo_trainer *trainer = NULL;
    bool good = own && weights_copy(own, w, &c->error) &&
                (trainer = rondo_trainer_new(l->loss, &c->error, own, .clip_norm = (float)o->clip_norm)) &&
                teach(c, o, d, trainer) && weights_copy(w, own, &c->error);
    rondo_trainer_free(trainer);
    rondo_weights_free(own);
    return good;
}

static bool distill(command *c, const options *o, run_data *d, const transformer *shape, const char *places,
                    rondo_weights *w)
{
    lesson l;
    bool taught[PLACE_COUNT];
    if (!places)
        return fail(
            &c->error, RONDO_MISMATCH,
            "--distill attention: this works for a run that `rondo convert` made, before it is trained");
    for (int p = 0; p < PLACE_COUNT; p++) /* no name is part of another one */
        taught[p] = strstr(places, converted_places[p]) != NULL;
    if (!lesson_build(c->context, shape, taught, &l, &c->error))
        return false;
    bool good = l.parameters > 0
                    ? learn(c, o, d, &l, w)
                    : fail(&c->error, RONDO_ARGUMENT,
                           "--distill attention: the feature maps of this model have no parameters to "
                           "learn; leave it out");
    rondo_graph_free(l.graph);
    return good;
}

/* ---- initial weights ---- */

static bool start_with(command *c, const options *o, const char *path, run_data *d, const transformer *shape,
                       rondo_weights *w)
{
    safetensors file;
    if (!safetensors_open(&file, &c->context->allocator, path, &c->error))
        return false;
    bool good = weights_check(w, &file, "", &c->error) && weights_read(w, &file, "", w->block, &c->error);
    if (good)
        message(c->name, "starting with %s", path);
    if (good && o->distill)
        good = distill(c, o, d, shape, safetensors_metadata(&file, CONVERTED_KEY), w);
    safetensors_close(&file);
    return good;
}

bool run_start(command *c, const options *o, const run_folder *f, run_data *d, const transformer *shape,
               rondo_weights *w)
{
    const char *path = o->from ? run_weights(o->arena, o->from) : run_folder_has(f->start) ? f->start : NULL;
    if (path)
        return start_with(c, o, path, d, shape, w);
    if (o->from)
        return fail(&c->error, RONDO_MISMATCH, "--from %s: this run has no weights yet; train it first",
                    o->from);
    return !o->distill || distill(c, o, d, shape, NULL, w);
}

/* ---- measuring features ---- */

static bool run_once(command *c, instance *i, const task *t, const batch *b, double *result)
{
    binding bound;
    rondo_tensor inputs[TASK_INPUTS];
    const rondo_graph *g = i->program->graph;
    binding_begin(&bound);
    binding_clear(i);
    int count = t->inputs(b, inputs);
    for (int k = 0; k < count; k++)
        if (!binding_tensor(&bound, i, &inputs[k], &c->error))
            return false;
    if (!binding_whole(&bound, g, &c->error) || !context_team(c->context, &c->error) ||
        !instance_run(i, c->context->team, bound.bound, &c->error))
        return false;
    *result = *(const float *)instance_tensor(i, g->outputs[0].value).data;
    return true;
}

bool run_zero_share(command *c, const lesson *l, rondo_weights *w, run_data *d, int64_t most, double *share)
{
    instance i;
    double sum = 0, now = 0;
    program *p = program_new(pipeline_forward(l->zero_share, "share", NULL, &c->error), NULL, &c->error);
    bool good = p && instance_begin(&i, p, &c->error);
    if (!good) {
        program_free(p);
        return false;
    }
    binding_weights(&i, w);
    batches_plan(&d->train.batches, 0);
    int64_t count = d->train.batches.count < most ? d->train.batches.count : most;
    for (int64_t k = 0; good && k < count; k++) {
        batch b;
        if (!(good = signals_check(&c->error)))
            break;
        batches_get(&d->train.batches, k, &b);
        good = run_once(c, &i, d->task, &b, &now);
        sum += now;
    }
    instance_end(&i);
    program_free(p);
    *share = count ? sum / (double)count : 0;
    return good;
}
