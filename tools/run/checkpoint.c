/* Checkpoints of a run: their metadata, and their names. Files change their roles by renames alone, so that
 * there is a complete checkpoint at any time. */
#include "tools/run/checkpoint.h"
#include "core/file.h"
#include "models/weights.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOKENIZER_KEY "rondo.checksum.tokenizer"
static const uint64_t most_count = (uint64_t)1 << 53; /* exact in a double */

/* ---- facts ---- */

static bool read_real(const safetensors *file, const char *key, double least, double most, double *number,
                      rondo_error *error)
{
    const char *text = safetensors_metadata(file, key), *end;
    double found;
    if (!text)
        return true;
    if (!parse_number(text, &end, &found) || *end || !(found >= least && found <= most))
        return fail(error, RONDO_FILE, "%s: %s is \"%.40s\", not a number from %g to %g", file->path, key,
                    text, least, most);
    *number = found;
    return true;
}

static bool read_count(const safetensors *file, const char *key, int64_t *number, rondo_error *error)
{
    uint64_t found = (uint64_t)*number;
    bool good = safetensors_number(file, key, most_count, &found, error);
    *number = (int64_t)found;
    return good;
}

static bool read_facts(const safetensors *file, checkpoint_facts *f, int64_t *updates, rondo_error *error)
{
    if (!read_count(file, "rondo.updates", updates, error) ||
        !read_real(file, "rondo.seconds", 0, 1e11, &f->seconds, error) ||
        !read_real(file, "rondo.best_nll", 0, 1e9, &f->best_nll, error) ||
        !read_real(file, "rondo.lowest_nll", 0, 1e9, &f->lowest_nll, error) ||
        !read_count(file, "rondo.best_update", &f->best_update, error) ||
        !read_count(file, "rondo.epoch", &f->epoch, error) ||
        !read_count(file, "rondo.index", &f->index, error) ||
        !safetensors_number(file, "rondo.data", UINT32_MAX, &f->data, error))
        return false;
    return f->best_update <= *updates ||
           fail(error, RONDO_FILE, "%s: rondo.best_update is later than rondo.updates, which is impossible",
                file->path);
}

/* ---- the tokenizer ---- */

static void print_tokenizer(const tokenizer *t, char out[CHECKSUM_DIGITS + 1])
{
    size_t bytes;
    const void *model = tokenizer_model(t, &bytes);
    checksum_print(checksum_of(model, bytes), out);
}

bool checkpoint_check_tokenizer(const rondo_allocator *a, const char *path, const tokenizer *t,
                                rondo_error *error)
{
    safetensors file;
    char here[CHECKSUM_DIGITS + 1];
    if (!safetensors_open(&file, a, path, error))
        return false;
    const char *there = safetensors_metadata(&file, TOKENIZER_KEY);
    print_tokenizer(t, here);
    bool good =
        !there || !strcmp(there, here) ||
        fail(error, RONDO_MISMATCH,
             "%s was trained with another tokenizer than the tokenizer.model beside it; put that one back",
             path);
    safetensors_close(&file);
    return good;
}

bool checkpoint_save_weights(const rondo_weights *w, const tokenizer *t, const char *path, rondo_error *error)
{
    char checksum[CHECKSUM_DIGITS + 1];
    print_tokenizer(t, checksum);
    return weights_save(w, path, (const char *[]){TOKENIZER_KEY, checksum}, 1, error);
}

/* ---- loading ---- */

bool checkpoint_load(checkpoints *c, rondo_trainer *t, const tokenizer *tokenizer, checkpoint_facts *facts,
                     rondo_error *error)
{
    safetensors file;
    const char *path = c->folder->checkpoint;
    if (!checkpoint_check_tokenizer(c->allocator, path, tokenizer, error) ||
        !rondo_trainer_load(t, path, error) || !safetensors_open(&file, c->allocator, path, error))
        return false;
    bool good = read_facts(&file, facts, &c->saved, error);
    safetensors_close(&file);
    return good;
}

/* ---- saving ---- */

typedef struct pairs {
    arena *arena;
    const char *items[2 * (10 + MEASURES_SHOWN)];
    int count;
} pairs;

static void add_text(pairs *p, const char *key, const char *value)
{
    p->items[2 * p->count] = key;
    p->items[2 * p->count++ + 1] = value;
}
static void add_count(pairs *p, const char *key, int64_t number)
{
    add_text(p, key, arena_text(p->arena, "%lld", (long long)number));
}
/* An unknown number is left out. */
static void add_real(pairs *p, const char *key, double number)
{
    text t = {.arena = p->arena};
    if (!isfinite(number))
        return;
    text_number(&t, number);
    add_text(p, key, text_done(&t));
}

static bool write_checkpoint(const checkpoints *c, const rondo_trainer *t, const tokenizer *tokenizer,
                             const checkpoint_facts *f, rondo_error *error)
{
    arena a;
    char checksum[CHECKSUM_DIGITS + 1];
    arena_begin(&a, c->allocator);
    pairs p = {.arena = &a};
    print_tokenizer(tokenizer, checksum);
    add_text(&p, TOKENIZER_KEY, checksum);
    add_count(&p, "rondo.data", (int64_t)f->data);
    add_real(&p, "rondo.seconds", f->seconds);
    add_count(&p, "rondo.epoch", f->epoch);
    add_count(&p, "rondo.index", f->index);
    add_real(&p, "rondo.lowest_nll", f->lowest_nll);
    add_real(&p, "rondo.best_nll", f->best_nll);
    add_count(&p, "rondo.best_update", f->best_update);
    for (int i = 0; i < f->measured.count; i++)
        add_real(&p, arena_text(&a, "rondo.measure.%s", f->measured.of[i].name),
                 measures_value(&f->measured, i));
    bool good = a.failed ? fail_memory(error, sizeof p, "a checkpoint")
                         : trainer_save(t, c->folder->checkpoint, p.items, p.count, error);
    arena_end(&a);
    return good;
}

static bool move(const char *from, const char *to, rondo_error *error)
{
    return rename(from, to) == 0 || fail_system(error, from, "rename");
}

bool checkpoint_save(checkpoints *c, const rondo_trainer *t, const tokenizer *tokenizer,
                     const checkpoint_facts *facts, int64_t update, rondo_error *error)
{
    const run_folder *f = c->folder;
    bool keep = c->saved >= 0 && c->proven;
    if (keep && !move(f->checkpoint, f->previous, error))
        return false;
    if (!write_checkpoint(c, t, tokenizer, facts, error)) {
        if (keep)
            (void)move(f->previous, f->checkpoint, NULL); /* if this fails, the next start finds it there */
        return false;
    }
    c->saved = update;
    c->proven = false;
    return true;
}

/* ---- after a divergence ---- */

void checkpoint_judge(checkpoints *c, bool good)
{
    c->proven = c->proven || good;
}

static bool read_update(checkpoints *c, rondo_error *error)
{
    safetensors file;
    if (!safetensors_open(&file, c->allocator, c->folder->checkpoint, error))
        return false;
    bool good = read_count(&file, "rondo.updates", &c->saved, error);
    safetensors_close(&file);
    return good;
}

bool checkpoint_roll_back(checkpoints *c, rondo_error *error)
{
    const run_folder *f = c->folder;
    if (c->saved < 0 || c->proven)
        return true;
    if (!move(f->checkpoint, f->diverged, error))
        return false;
    c->saved = -1;
    if (!run_folder_has(f->previous))
        return true;
    c->proven = true;
    return move(f->previous, f->checkpoint, error) && read_update(c, error);
}
