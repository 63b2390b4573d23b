/* Saves and loads a trainer: weights under their own names, moments under a prefix, counters as metadata. */
#include "compiler/program/choices.h"
#include "compiler/program/wisdom.h"
#include "models/train/trainer_parts.h"
#include <string.h>

#define FORMAT "1"
static const uint64_t most_count = (uint64_t)1 << 53; /* exact in a double */
static const char *const prefixes[] = {"", "optimizer.moment1.", "optimizer.moment2."};

static bool save_in(arena *a, const rondo_trainer *t, const char *path, const char *const *more, int pairs,
                    rondo_error *error)
{
    const rondo_weights trained = weights_trained(t->weights);
    int n = t->weights->item_count, count = 0;
    rondo_tensor *all = ARENA_NEW(a, rondo_tensor, 3 * n + 1);
    float *const blocks[] = {t->weights->block, t->moment1, t->moment2};
    for (int k = 0; all && k < 3; k++) {
        const rondo_weights *w = k ? &trained : t->weights;
        rondo_tensor *part = weights_tensors(w, a, prefixes[k], blocks[k]);
        if (!part)
            return fail_memory(error, sizeof *part * (size_t)n, "a checkpoint");
        memcpy(all + count, part, sizeof *part * (size_t)w->item_count);
        count += w->item_count;
    }
    const char *number = arena_text(a, "%lld", (long long)t->number);
    const char *batches = arena_text(a, "%lld", (long long)t->batches);
    const char *seed = arena_text(a, "%llu", (unsigned long long)t->options.seed);
    program *const programs[] = {t->train, t->norm, t->step, t->evaluate};
    text kernels = {.arena = a};
    choices_print(&kernels, programs, 4);
    if (a->failed)
        return fail_memory(error, sizeof *all * (size_t)n, "a checkpoint");
    const char *const own[] = {"format",        "pt",   "rondo.format",  FORMAT,
                               "rondo.updates", number, "rondo.batches", batches,
                               "rondo.seed",    seed,   "rondo.kernels", text_done(&kernels)};
    const int own_pairs = sizeof own / sizeof *own / 2;
    const char **metadata = ARENA_NEW(a, const char *, 2 * (own_pairs + pairs));
    if (!metadata)
        return fail_memory(error, sizeof *metadata * (size_t)pairs, "a checkpoint");
    memcpy(metadata, own, sizeof own);
    for (int i = 0; i < 2 * pairs; i++)
        metadata[2 * own_pairs + i] = more[i];
    return safetensors_save(&t->context->allocator, path, all, count, metadata, own_pairs + pairs, error);
}

bool trainer_save(const rondo_trainer *t, const char *path, const char *const *metadata, int pairs,
                  rondo_error *error)
{
    arena a;
    arena_begin(&a, &t->context->allocator);
    bool good = save_in(&a, t, path, metadata, pairs, error);
    arena_end(&a);
    return good;
}

bool rondo_trainer_save(const rondo_trainer *t, const char *path, rondo_error *error)
{
    error_begin(error);
    return t && trainer_save(t, path, NULL, 0, error);
}

/* The state of a trainer besides its blocks. */
typedef struct counters {
    uint64_t updates, batches, seed;
} counters;

static bool read_counters(const safetensors *file, counters *out, rondo_error *error)
{
    static const char *const keys[] = {"rondo.format", "rondo.updates", "rondo.batches", "rondo.seed"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!safetensors_metadata(file, keys[i]))
            return fail(error, RONDO_MISMATCH, "%s holds weights but no training state (%s is missing)",
                        file->path, keys[i]);
    const char *format = safetensors_metadata(file, "rondo.format");
    if (strcmp(format, FORMAT))
        return fail(error, RONDO_MISMATCH,
                    "%s has checkpoint format %.20s, but this version of Rondo reads format " FORMAT
                    "; resume with the version that wrote it",
                    file->path, format);
    if (!safetensors_number(file, "rondo.updates", most_count, &out->updates, error) ||
        !safetensors_number(file, "rondo.batches", most_count, &out->batches, error) ||
        !safetensors_number(file, "rondo.seed", UINT64_MAX, &out->seed, error))
        return false;
    return out->batches >= out->updates ||
           fail(error, RONDO_FILE, "%s: rondo.batches is less than rondo.updates, which is impossible",
                file->path);
}

/* The kernel choices in the file; they live as long as the trainer. NULL and true: an older checkpoint has
 * none. */
static bool read_kernels(rondo_trainer *t, const safetensors *file, const struct wisdom **wisdom,
                         rondo_error *error)
{
    const char *said = safetensors_metadata(file, "rondo.kernels");
    int missing = 0;
    *wisdom = NULL;
    if (!said)
        return true;
    const char *where = arena_text(&t->arena, "%s: rondo.kernels", file->path);
    *wisdom = wisdom_read(&t->arena, arena_copy_text(&t->arena, said, strlen(said)),
                          where ? where : "rondo.kernels", &missing, error);
    if (missing)
        context_log(t->context, 1,
                    "%s: %d choices name kernels that this version does not have; results will "
                    "differ in their last bits",
                    file->path, missing);
    return *wisdom != NULL;
}

static void use_kernels(rondo_trainer *t, const struct wisdom *wisdom)
{
    program *const programs[] = {t->train, t->norm, t->step, t->evaluate};
    t->wisdom = wisdom;
    for (int p = 0; t->wisdom && p < 4; p++)
        if (programs[p])
            program_choose(programs[p], t->wisdom);
}

bool rondo_trainer_load(rondo_trainer *t, const char *path, rondo_error *error)
{
    error_begin(error);
    safetensors file;
    counters read;
    const struct wisdom *wisdom;
    if (!t || !safetensors_open(&file, &t->context->allocator, path, error))
        return false;
    const rondo_weights trained = weights_trained(t->weights), *parts[] = {t->weights, &trained, &trained};
    float *const blocks[] = {t->weights->block, t->moment1, t->moment2};
    bool good = read_counters(&file, &read, error) && read_kernels(t, &file, &wisdom, error);
    for (int k = 0; k < 3; k++) /* everything is checked before anything changes */
        good = good && weights_check(parts[k], &file, prefixes[k], error);
    for (int k = 0; k < 3; k++)
        good = good && weights_read(parts[k], &file, prefixes[k], blocks[k], error);
    if (good && !file.has_checksums)
        context_log(t->context, 1, "%s was written without checksums, so damage in it cannot be detected",
                    path);
    safetensors_close(&file);
    if (good) {
        t->options.seed = read.seed;
        t->number = (int64_t)read.updates;
        t->batches = (int64_t)read.batches;
        t->pending = false;
        use_kernels(t, wisdom);
    }
    return good;
}
