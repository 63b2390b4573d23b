/* rondo convert: turns a run with softmax attentions into one with recurrent attentions. It keeps all
 * trained weights and adds feature maps that are to be trained (Kasai et al. 2021, "Finetuning Pretrained
 * Transformers into RNNs"). */
#include "core/file.h"
#include "tools/run/settings.h"
#include "tools/run/start.h"
#include <string.h>

enum { MEASURED_BATCHES = 20 };

typedef struct conversion {
    command *command;
    arena *arena;
    model before;
    options settings; /* of the new run */
    bool chosen[PLACE_COUNT];
    transformer shape;
    transformer_graph after;
    rondo_weights *weights;
    run_folder folder;
} conversion;

/* ---- which attentions change ---- */

static const option_id place_options[PLACE_COUNT] = {OPTION_decoder_self, OPTION_encoder_self, OPTION_cross};

static const char **mixer_of(options *o, int place)
{
    const char **const fields[] = {&o->decoder_self, &o->encoder_self, &o->cross};
    return fields[place];
}

static bool check_change(conversion *v, int place, const char *from, const char *to)
{
    mixer m;
    rondo_error *error = &v->command->error;
    const char *name = option_rows[place_options[place]].name, *run = v->command->options->operands.items[0];
    const task *t = task_of(&v->settings);
    if (!t->places[place])
        return fail(error, RONDO_ARGUMENT, "--%s: %s is a %s model and has no such attention", name, run,
                    t->name);
    if (strcmp(from, "softmax"))
        return fail(error, RONDO_MISMATCH,
                    "--%s %s: that attention of %s is already %s; only softmax can be converted", name, to,
                    run, from);
    if (!strcmp(to, "softmax"))
        return fail(error, RONDO_ARGUMENT, "--%s softmax: it is already softmax", name);
    if (!mixer_find(v->command->context, to, &m, error))
        return false;
    return m.weigh ||
           fail(error, RONDO_ARGUMENT,
                "--%s %s: it has no queries and keys that could be kept; train a new model instead", name,
                to);
}

static bool choose(conversion *v)
{
    options *said = (options *)v->command->options;
    bool any = false;
    v->settings = v->before.options;
    for (int p = 0; p < PLACE_COUNT; p++) {
        v->chosen[p] = options_origin(said, place_options[p]) > FROM_DEFAULT;
        if (!v->chosen[p])
            continue;
        const char **field = mixer_of(&v->settings, p), *to = *mixer_of(said, p);
        if (!check_change(v, p, *field, to))
            return false;
        *field = to;
        any = true;
    }
    v->settings.mixer = NULL; /* it stood for all three */
    v->settings.output_folder = said->output_folder;
    v->settings.from = v->settings.distill = NULL;
    v->settings.arena = v->arena;
    return any || fail(&v->command->error, RONDO_ARGUMENT,
                       "name the mixer that replaces the decoder's self-attention: --mixer t2r; or name one "
                       "each with "
                       "--cross, --encoder-self, --decoder-self");
}

/* ---- the new model ---- */

static bool make_weights(conversion *v)
{
    rondo_error *error = &v->command->error;
    v->shape = task_transformer(&v->settings, tokenizer_size(v->before.tokenizer));
    return transformer_build(v->command->context, &v->shape, &v->after, error) &&
           (v->weights = rondo_weights_new(v->after.graph, (uint64_t)v->command->options->seed, error)) &&
           weights_copy(v->weights, v->before.weights, error);
}

/* ---- the new folder ---- */

static bool save_weights(conversion *v)
{
    const char *metadata[] = {"format", "pt", CONVERTED_KEY, NULL};
    text places = {.arena = v->arena};
    for (int p = 0; p < PLACE_COUNT; p++)
        if (v->chosen[p])
            text_add(&places, "%s%s", places.length ? " " : "", converted_places[p]);
    metadata[3] = text_done(&places);
    rondo_tensor *tensors = weights_tensors(v->weights, v->arena, "", v->weights->block);
    if (!tensors || !metadata[3])
        return fail_memory(&v->command->error, sizeof *tensors, "weights");
    return safetensors_save(&v->command->context->allocator, v->folder.start, tensors, v->weights->item_count,
                            metadata, 2, &v->command->error);
}

/* Settings are written last: they make the folder a run. */
static bool save(conversion *v)
{
    options place = *v->command->options;
    const char *there = place.output_folder ? path_in(v->arena, place.output_folder, "settings.yaml") : NULL;
    if (there && run_folder_has(there))
        return fail(&v->command->error, RONDO_ARGUMENT, "%s is already a run; choose another --output-folder",
                    place.output_folder);
    v->folder.begun = run_folder_open(&v->folder, &place, &v->command->error) &&
                      run_data_keep_tokenizer(v->before.tokenizer, v->command, v->folder.tokenizer) &&
                      save_weights(v) &&
                      run_settings_write(&v->settings, &v->command->context->allocator, v->folder.settings,
                                         &v->command->error);
    return v->folder.begun;
}

/* ---- measuring its features ---- */

/* The text to measure on takes the place of the training text. */
static bool find_text(const conversion *v, options *o)
{
    const options *said = v->command->options;
    *o = v->settings;
    if (said->valid.count)
        o->train = said->valid;
    else if (o->valid.count)
        o->train = o->valid;
    o->valid.count = 0;
    o->tokenizer = NULL;
    for (int i = 0; i < o->train.count; i++)
        if (!said->valid.count && !run_folder_has(o->train.items[i]))
            return false; /* the run was moved here without its text: nothing is measured */
    return o->train.count > 0;
}

static bool measure(conversion *v)
{
    lesson l;
    options o;
    run_data data;
    double share = 0;
    command *c = v->command;
    if (!find_text(v, &o)) {
        message(c->name, "the text of the run was not found; to measure its features, name a text with "
                         "--valid SOURCE TARGET");
        return true;
    }
    bool good = run_data_open(&data, c, &o, &v->folder);
    if (good && lesson_build(c->context, &v->shape, v->chosen, &l, &c->error)) {
        good = run_zero_share(c, &l, v->weights, &data, MEASURED_BATCHES, &share);
        rondo_graph_free(l.graph);
    } else
        good = false;
    run_data_close(&data);
    if (good)
        message(c->name, "%.2f %% of the feature vectors are all zeros%s", 100 * share,
                share > 0.01 ? "; such a token gets no weight: use more features, or --distill attention"
                             : "");
    return good;
}

static int finish(const conversion *v)
{
    const char *name = v->command->name, *folder = v->folder.path;
    count_text kept, all;
    int64_t before = rondo_weights_count(v->before.weights), after = rondo_weights_count(v->weights);
    message(name, "%s: %s parameters, %s of them already trained", folder, count_format(all, after),
            count_format(kept, before));
    message(name, "continue training with: rondo train --from %s --output-folder FOLDER", folder);
    return EXIT_DONE;
}

int command_convert(command *c)
{
    arena a;
    int code;
    conversion v = {.command = c, .arena = &a, .folder = {.lock = -1}};
    const char *run = c->options->operands.items[0];
    arena_begin(&a, &c->context->allocator);
    signals_begin();
    if (!check_run_folder(c, run))
        code = command_failed(c, EXIT_MODEL);
    else if (!model_open(&v.before, c, &a, run))
        code = command_failed(c, EXIT_MODEL);
    else if (!choose(&v) || !make_weights(&v))
        code = command_failed(c, EXIT_USE);
    else if (!save(&v))
        code = command_failed(c, EXIT_MACHINE);
    else
        code = measure(&v) ? finish(&v) : command_failed(c, EXIT_DATA);
    run_folder_close(&v.folder);
    rondo_weights_free(v.weights);
    rondo_graph_free(v.after.graph);
    model_close(&v.before);
    arena_end(&a);
    return code;
}
