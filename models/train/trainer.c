/* trainer: accumulate (forward, backward, sums and counts) and update (norm, clipping, Adam) over the
 * contiguous blocks. The division by the number of targets happens once, in the update. */
#include "core/options.h"
#include "compiler/pipeline.h"
#include "models/decode/binding.h"
#include "models/train/labels.h"
#include "models/train/optimizer.h"
#include "models/train/trainer_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static float *block_new(rondo_trainer *t, rondo_error *error)
{
    size_t bytes = sizeof(float) * (size_t)t->weights->trained_size;
    float *block = memory_new(&t->context->allocator, bytes);
    if (!block)
        fail_memory(error, bytes, "the trainer");
    return block;
}

/* Outputs are named gradient.NAME in group 0, G.gradient.NAME in group G. */
static void bind_gradients(rondo_trainer *t)
{
    const rondo_graph *g = t->train->graph;
    for (int group = 0; group < t->objectives.group_count; group++) {
        char prefix[32];
        int length = snprintf(prefix, sizeof prefix, group ? "%d.gradient." : "gradient.", group);
        for (int o = 0; o < g->output_count; o++) {
            const char *name = g->names[g->outputs[o].name];
            const weight *item =
                strncmp(name, prefix, (size_t)length) ? NULL : weights_find(t->weights, name + length);
            if (item)
                instance_bind(&t->run, g->outputs[o].value, t->gradients[group] + item->offset);
        }
    }
}

static bool check_weights(const rondo_graph *g, const rondo_weights *w, rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++) {
        if (g->nodes[id].op != OP_parameter)
            continue;
        const attribute *said = g->nodes[id].attributes;
        const char *name = g->names[said[parameter_name].integer];
        const weight *item = weights_find(w, name);
        if (!item)
            return fail(error, RONDO_MISMATCH,
                        "the weights have no parameter %s; they were created for another graph", name);
        if (said[parameter_frozen].integer != (item->offset >= w->trained_size))
            return fail(error, RONDO_MISMATCH,
                        "parameter %s is frozen in only one of weights and graph; the weights "
                        "were created for another graph",
                        name);
    }
    return w->trained_count > 0 || fail(error, RONDO_ARGUMENT, "the model has no trainable parameter");
}

static bool find_objectives(rondo_trainer *t, rondo_value loss, rondo_error *error)
{
    if (!objectives_find(&t->arena, loss, &t->objectives, error))
        return false;
    int groups = t->objectives.group_count;
    t->sums = ARENA_NEW(&t->arena, float *, groups);
    t->gradients = ARENA_NEW(&t->arena, float *, groups);
    if (!t->sums || !t->gradients)
        return fail_memory(error, sizeof(float *) * (size_t)groups, "the trainer");
    return tally_begin(&t->now, &t->objectives, &t->arena, error) &&
           tally_begin(&t->earlier, &t->objectives, &t->arena, error);
}

static bool compile(rondo_trainer *t, rondo_value loss, rondo_error *error)
{
    pipeline_options options = {.no_linearize = t->options.no_linearize};
    const rondo_trainer_options *o = &t->options;
    t->train = program_new(pipeline_train(loss, &options, error), NULL, error);
    if (!t->train || !check_weights(t->train->graph, t->weights, error))
        return false;
    t->norm = program_new(optimizer_norm(t->context, t->weights->trained_size, error), NULL, error);
    t->step = program_new(optimizer_step(t->context, t->weights->trained_size, o->beta1, o->beta2, o->epsilon,
                                         o->weight_decay, error),
                          NULL, error);
    if (!t->norm || !t->step)
        return false;
    if (!instance_begin(&t->run, t->train, error) || !instance_begin(&t->measuring, t->norm, error) ||
        !instance_begin(&t->stepping, t->step, error))
        return false;
    bool good = (t->moment1 = block_new(t, error)) && (t->moment2 = block_new(t, error));
    for (int group = 0; good && group < t->objectives.group_count; group++)
        good = (t->gradients[group] = block_new(t, error)) != NULL;
    return good;
}

static void bind_all(rondo_trainer *t)
{
    binding_weights(&t->run, t->weights);
    bind_gradients(t);
    float *const blocks[] = {t->weights->block, t->moment1, t->moment2};
    const rondo_graph *g = t->step->graph;
    for (int p = 0; p < g->port_count; p++) {
        instance_bind(&t->stepping, g->ports[p].in, blocks[p]);
        instance_bind(&t->stepping, g->ports[p].out, blocks[p]);
    }
    instance_bind(&t->stepping, graph_find_leaf(g, OP_input, "scalars"), t->scalars);
}

rondo_trainer *rondo_trainer_new_with(rondo_value loss, rondo_error *error,
                                      const rondo_trainer_options *options)
{
    error_begin(error);
    if (!loss.graph || !graph_check(loss.graph, error))
        return NULL;
    rondo *context = loss.graph->context;
    rondo_trainer_options own;
    const char *wrong = options ? options_read(&own, sizeof own, options) : "it needs options, not NULL";
    if (wrong) {
        fail(error, RONDO_ARGUMENT, "rondo_trainer_new: %s", wrong);
        return NULL;
    }
    if (!own.weights)
        return NULL;
    rondo_trainer *t = memory_new(&context->allocator, sizeof *t);
    if (!t) {
        fail_memory(error, sizeof *t, "a trainer");
        return NULL;
    }
    t->context = context;
    t->weights = own.weights;
    t->options = own;
    t->options.beta1 = t->options.beta1 ? t->options.beta1 : 0.9f;
    t->options.beta2 = t->options.beta2 ? t->options.beta2 : 0.98f;
    t->options.epsilon = t->options.epsilon ? t->options.epsilon : 1e-9f;
    arena_begin(&t->arena, &context->allocator);
    if (find_objectives(t, loss, error) && compile(t, loss, error) &&
        (t->model = graph_new_like(loss.graph, error))) {
        value_id *map = graph_map_new(t->model, loss.graph);
        for (node_id id = 0; map && id < loss.graph->node_count; id++)
            graph_copy_node(t->model, loss.graph, id, map);
        t->loss = map ? map[loss.id] : NONE;
        if (graph_check(t->model, error) && map) {
            bind_all(t);
            return t;
        }
    }
    rondo_trainer_free(t);
    return NULL;
}

void rondo_trainer_free(rondo_trainer *t)
{
    if (!t)
        return;
    const rondo_allocator allocator = t->context->allocator;
    instance *const instances[] = {&t->run, &t->evaluating, &t->measuring, &t->stepping};
    program *const programs[] = {t->train, t->evaluate, t->norm, t->step};
    size_t bytes = sizeof(float) * (size_t)t->weights->trained_size;
    for (int i = 0; i < 4; i++) {
        instance_end(instances[i]);
        program_free(programs[i]);
    }
    for (int group = 0; t->gradients && group < t->objectives.group_count; group++) {
        memory_free(&allocator, t->gradients[group], bytes);
        memory_free(&allocator, t->sums[group], bytes);
    }
    memory_free(&allocator, t->moment1, bytes);
    memory_free(&allocator, t->moment2, bytes);
    memory_free(&allocator, t->sentences, sizeof *t->sentences * (size_t)t->sentence_capacity);
    graph_free(t->model);
    arena_end(&t->arena);
    memory_free(&allocator, t, sizeof *t);
}

static bool given_sentences(const rondo_tensor *inputs, int count)
{
    for (int k = 0; k < count; k++)
        if (inputs[k].name && !strcmp(inputs[k].name, "sentences"))
            return true;
    return false;
}

/* Dropout needs global sentence ids. Without any, the ids are 0, 1, 2, … and the seed differs from batch to
 * batch. */
static bool bind_sentences(rondo_trainer *t, instance *i, const rondo_tensor *inputs, int count,
                           const binding *b, rondo_error *error)
{
    const rondo_graph *g = i->program->graph;
    value_id leaf = graph_find_leaf(g, OP_input, "sentences");
    if (leaf == NONE || given_sentences(inputs, count))
        return true;
    int64_t rows = dim_value(graph_shape_of(g, leaf)->dims[0], b->bound);
    if (rows > t->sentence_capacity) {
        memory_free(&t->context->allocator, t->sentences,
                    sizeof *t->sentences * (size_t)t->sentence_capacity);
        t->sentences = memory_new(&t->context->allocator, sizeof *t->sentences * (size_t)rows);
        t->sentence_capacity = t->sentences ? rows : 0;
        if (!t->sentences)
            return fail_memory(error, sizeof *t->sentences * (size_t)rows, "sentence ids");
    }
    for (int64_t r = 0; r < rows; r++)
        t->sentences[r] = (int32_t)r;
    instance_bind(i, leaf, t->sentences);
    return true;
}

static bool run_on(rondo_trainer *t, instance *i, const rondo_tensor *inputs, int count, rondo_error *error)
{
    binding b;
    const rondo_graph *g = i->program->graph;
    binding_begin(&b);
    binding_clear(i);
    for (int k = 0; k < count; k++)
        if (!binding_tensor(&b, i, &inputs[k], error))
            return false;
    /* If ids name the sentences of a whole update, masks must not depend on its split into batches. */
    int64_t turn = given_sentences(inputs, count) ? t->number : t->batches;
    uint64_t mixed = t->options.seed * 0x9e3779b97f4a7c15u + (uint64_t)turn;
    t->seed[0] = (int32_t)(mixed & 0x7fffffff);
    t->seed[1] = (int32_t)(mixed >> 32 & 0x7fffffff);
    instance_bind(i, graph_find_leaf(g, OP_input, "dropout.seed"), t->seed);
    return bind_sentences(t, i, inputs, count, &b, error) && binding_whole(&b, g, error) &&
           binding_check_lengths(&b, g, inputs, count, error) &&
           labels_check(g, b.bound, inputs, count, error) && context_team(t->context, error) &&
           instance_run(i, t->context->team, b.bound, error);
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool accumulate(rondo_trainer *t, const rondo_tensor *inputs, int count, rondo_error *error)
{
    if (!run_on(t, &t->run, inputs, count, error))
        return false;
    tally_read(&t->now, &t->run);
    return tally_check_counts(&t->now, error) && tally_check_finite(&t->now, t->number + 1, error);
}

static bool make_sums(rondo_trainer *t, rondo_error *error)
{
    for (int group = 0; group < t->objectives.group_count; group++)
        if (!t->sums[group] && !(t->sums[group] = block_new(t, error)))
            return false;
    return true;
}

/* Adds the new gradients to the sums or, at the update, the sums to the new gradients. */
static void add_pending(const rondo_trainer *t, float *const *into, float *const *from)
{
    for (int group = 0; group < t->objectives.group_count; group++)
        for (int64_t i = 0; i < t->weights->trained_size; i++)
            into[group][i] += from[group][i];
}

bool rondo_trainer_accumulate(rondo_trainer *t, const rondo_tensor *inputs, int count, rondo_step *step,
                              rondo_error *error)
{
    error_begin(error);
    double begin = seconds_now();
    if (!t || !accumulate(t, inputs, count, error) || !make_sums(t, error))
        return false;
    if (t->pending) {
        add_pending(t, t->sums, t->gradients);
        tally_add(&t->earlier, &t->now);
    } else {
        for (int group = 0; group < t->objectives.group_count; group++)
            memcpy(t->sums[group], t->gradients[group], sizeof(float) * (size_t)t->weights->trained_size);
        tally_copy(&t->earlier, &t->now);
    }
    t->pending = true;
    t->batches++;
    if (step) {
        tally_report(&t->now, step);
        step->number = t->number;
        step->seconds = seconds_now() - begin;
    }
    return true;
}

/* The gradient of the loss into block 0, up to the factor that is returned. With one group that is the count,
 * and the update applies it. */
static double join_groups(rondo_trainer *t)
{
    float *whole = t->gradients[0];
    if (t->objectives.group_count == 1)
        return tally_scale(&t->now, 0);
    for (int group = 0; group < t->objectives.group_count; group++) {
        float scale = (float)tally_scale(&t->now, group), *part = t->gradients[group];
        for (int64_t i = 0; i < t->weights->trained_size; i++)
            whole[i] = group ? whole[i] + scale * part[i] : scale * part[i];
    }
    return 1;
}

static bool gradient_norm(rondo_trainer *t, double *norm, rondo_error *error)
{
    static const int64_t none[MAX_SYMBOLS];
    instance_bind(&t->measuring, graph_find_leaf(t->norm->graph, OP_input, "gradient"), t->gradients[0]);
    if (!instance_run(&t->measuring, t->context->team, none, error))
        return false;
    *norm = sqrt(tally_number(&t->measuring, "square_sum"));
    return isfinite(*norm) || fail(error, RONDO_DIVERGED,
                                   "the gradient is not finite at update %lld; nothing was changed; "
                                   "try a lower rate or clip_norm",
                                   (long long)t->number + 1);
}

static bool update(rondo_trainer *t, double norm, double scale, float rate, rondo_error *error)
{
    static const int64_t none[MAX_SYMBOLS];
    double mean = norm * scale, after = (double)t->number + 1;
    if (t->options.clip_norm > 0 && mean > t->options.clip_norm)
        scale *= t->options.clip_norm / mean;
    t->scalars[0] = (float)scale;
    t->scalars[1] = rate;
    t->scalars[2] = (float)(1 - pow(t->options.beta1, after));
    t->scalars[3] = (float)(1 - pow(t->options.beta2, after));
    instance_bind(&t->stepping, graph_find_leaf(t->step->graph, OP_input, "gradient"), t->gradients[0]);
    if (!instance_run(&t->stepping, t->context->team, none, error))
        return false;
    t->number++;
    return true;
}

bool rondo_trainer_step(rondo_trainer *t, const rondo_tensor *inputs, int count, float rate, rondo_step *step,
                        rondo_error *error)
{
    error_begin(error);
    double begin = seconds_now(), norm;
    if (!t || !accumulate(t, inputs, count, error))
        return false;
    if (t->pending) {
        add_pending(t, t->gradients, t->sums);
        tally_add(&t->now, &t->earlier);
    }
    double scale = join_groups(t);
    if (!gradient_norm(t, &norm, error) || !update(t, norm, scale, rate, error))
        return false;
    t->pending = false;
    t->batches++;
    if (step) {
        tally_report(&t->now, step);
        step->number = t->number;
        step->gradient_norm = norm * scale;
        step->seconds = seconds_now() - begin;
    }
    return true;
}

bool rondo_trainer_evaluate(rondo_trainer *t, const rondo_tensor *inputs, int count, rondo_step *step,
                            rondo_error *error)
{
    error_begin(error);
    if (!t)
        return false;
    double begin = seconds_now();
    if (!t->evaluate) {
        pipeline_options options = {.no_linearize = t->options.no_linearize};
        t->evaluate =
            program_new(pipeline_evaluate((rondo_value){t->model, t->loss}, &options, error), NULL, error);
        if (!t->evaluate || !instance_begin(&t->evaluating, t->evaluate, error))
            return false;
        if (t->wisdom)
            program_choose(t->evaluate, t->wisdom);
        binding_weights(&t->evaluating, t->weights);
    }
    if (!run_on(t, &t->evaluating, inputs, count, error))
        return false;
    tally_read(&t->now, &t->evaluating);
    if (!tally_check_counts(&t->now, error))
        return false;
    if (step) {
        tally_report(&t->now, step);
        step->number = t->number;
        step->seconds = seconds_now() - begin;
    }
    return true;
}

/* ---- reports ---- */

const program *trainer_program(const rondo_trainer *t)
{
    return t->train;
}
double trainer_flops(const rondo_trainer *t)
{
    return t->run.now ? t->run.now->flops : 0;
}
int64_t trainer_batches(const rondo_trainer *t)
{
    return t->batches;
}

double *trainer_profile(rondo_trainer *t, rondo_error *error)
{
    if (!t->run.seconds)
        t->run.seconds = ARENA_NEW(&t->arena, double, t->train->graph->node_count + 1);
    if (!t->run.seconds)
        fail_memory(error, sizeof(double) * (size_t)t->train->graph->node_count, "a profile");
    return t->run.seconds;
}
