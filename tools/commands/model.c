/* The model that a command works on: the folder of a run or an exported file, opened in the same way. */
#include "tools/commands/command.h"
#include "core/file.h"
#include "tools/run/checkpoint.h"
#include "tools/options/settings.h"
#include "tools/tasks/task.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

bool is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

bool check_run_folder(command *c, const char *run)
{
    struct stat s;
    return is_folder(run) ||
           fail(&c->error, RONDO_FILE,
                stat(run, &s) ? "there is no folder %s; RUN is a folder that `rondo train` made"
                              : "%s is not a folder; RUN is a folder that `rondo train` made",
                run);
}

const char *path_in(arena *a, const char *folder, const char *name)
{
    return arena_text(a, "%s/%s", folder, name);
}

/* A path that was misspelled is not a failure of the machine. */
static bool is_there(const char *path, rondo_error *error)
{
    struct stat s;
    return !stat(path, &s) || errno != ENOENT ||
           fail(error, RONDO_FILE, "there is no file or folder %s", path);
}

char *read_whole(arena *a, const char *path, size_t *bytes, rondo_error *error)
{
    file_map map;
    if (!path || !is_there(path, error) || !file_map_open(&map, path, error))
        return NULL;
    char *data = arena_copy_text(a, map.data ? map.data : "", map.bytes);
    *bytes = map.bytes;
    file_map_close(&map);
    if (!data)
        fail_memory(error, *bytes, path);
    return data;
}

bool is_graph_file(const char *path)
{
    size_t n = strlen(path);
    return n > 6 && !strcmp(path + n - 6, ".graph");
}

rondo_graph *read_graph(command *c, arena *a, const char *path)
{
    size_t bytes;
    char *source = read_whole(a, path, &bytes, &c->error);
    if (!source)
        return NULL;
    if (strlen(source) != bytes) {
        fail(&c->error, RONDO_FILE, "%s contains a NUL byte, so it is not text", path);
        return NULL;
    }
    rondo_graph *g = rondo_graph_parse(c->context, source, path, &c->error);
    if (!g && c->error.code == RONDO_ARGUMENT) /* a mistake in the file is not wrong use of the command */
        c->error.code = RONDO_FILE;
    return g;
}

static bool exists(const char *path)
{
    struct stat s;
    return path && !stat(path, &s);
}

const char *const run_weight_files[] = {"best.safetensors", "checkpoint.safetensors", "start.safetensors",
                                        NULL};

const char *run_weights(arena *a, const char *folder)
{
    for (const char *const *name = run_weight_files; *name; name++) {
        const char *path = path_in(a, folder, *name);
        if (exists(path))
            return path;
    }
    return NULL;
}

static bool open_run(model *m, command *c, arena *a, const char *folder)
{
    size_t bytes;
    const char *settings = path_in(a, folder, "settings.yaml"), *weights = run_weights(a, folder);
    if (!exists(settings))
        return fail(&c->error, RONDO_MISMATCH, "%s is not a run of `rondo train`: it has no settings.yaml",
                    folder);
    m->options.context = c->context;
    if (!options_read_settings(&m->options, settings, &c->error) || !options_finish(&m->options, &c->error))
        return false;
    char *subwords = read_whole(a, path_in(a, folder, "tokenizer.model"), &bytes, &c->error);
    rondo_error reason = {0};
    if (!subwords)
        return false;
    if (!(m->tokenizer = tokenizer_load(subwords, bytes, &reason)))
        return fail(&c->error, reason.code, "%s/tokenizer.model: %s", folder, reason.message);
    m->owns_tokenizer = true;
    if (!task_of(&m->options)
             ->build(c->context, &m->options, tokenizer_size(m->tokenizer), &m->graph, &c->error))
        return false;
    if (!weights)
        return fail(&c->error, RONDO_MISMATCH, "%s has no checkpoint yet; train it first", folder);
    if (!checkpoint_check_tokenizer(&c->context->allocator, weights, m->tokenizer, &c->error))
        return false;
    m->weights = rondo_weights_load(m->graph.graph, weights, &c->error);
    m->program = m->weights ? rondo_program_new(m->graph.logits, TRANSFORMER_TIME, &c->error) : NULL;
    /* rondo_translate looks for it there; model_close takes it back, so that it is freed once */
    if (m->program)
        m->program->tokenizer = m->tokenizer;
    return m->program != NULL;
}

bool model_open(model *m, command *c, arena *a, const char *path)
{
    *m = (model){0};
    if (!is_there(path, &c->error))
        return false;
    if (!options_begin(&m->options, a, COMMAND_TRAIN, &c->error))
        return false;
    if (is_folder(path) ? open_run(m, c, a, path)
                        : (m->program = rondo_program_load_with(
                               c->context, path, &c->error,
                               RONDO_OPTIONS(rondo_load_options, .read = c->options->no_map))) != NULL) {
        m->tokenizer = m->program->tokenizer;
        return true;
    }
    model_close(m);
    return false;
}

void model_close(model *m)
{
    if (m->owns_tokenizer && m->program)
        m->program->tokenizer = NULL;
    rondo_program_free(m->program);
    if (m->owns_tokenizer)
        tokenizer_free(m->tokenizer);
    rondo_weights_free(m->weights);
    rondo_graph_free(m->graph.graph);
    *m = (model){0};
}
