/* Planning an epoch and filling its batches. */
#include "tools/data/batches.h"
#include "core/random.h"
#include "tools/data/batch_shapes.h"

struct batch_entry {
    int64_t first; /* index into order */
    int32_t rows, shape;
};
enum { SITE_SEQUENCES = 1, SITE_BATCHES = 2 };

static bool fits(const corpus *c, const batch_shape *shape, int64_t i)
{
    return corpus_length(c, 1, i) <= shape->target &&
           (!c->has_source || corpus_length(c, 0, i) <= shape->source);
}

/* The first shape from index `from` on that sequence i fits; −1: none. */
static int shape_for(const batches *b, int64_t i, int from)
{
    for (int s = from; s < b->shape_count; s++)
        if (fits(b->corpus, &b->shapes[s], i))
            return s;
    return -1;
}

static bool allocate(batches *b, rondo_error *error)
{
    const corpus *c = b->corpus;
    size_t n = (size_t)c->count;
    for (int s = 0; s < b->shape_count; s++) {
        const batch_shape *shape = &b->shapes[s];
        int64_t cells =
            (int64_t)shape->rows * (shape->source > shape->target ? shape->source : shape->target);
        b->most_cells = cells > b->most_cells ? cells : b->most_cells;
        b->most_rows = shape->rows > b->most_rows ? shape->rows : b->most_rows;
    }
    b->memory_bytes = n * (sizeof *b->entries + 2 * sizeof(int32_t) + 1);
    b->memory = memory_new(c->allocator, b->memory_bytes);
    b->buffer_bytes = (size_t)(3 * b->most_cells + 3 * b->most_rows) * sizeof(int32_t);
    b->buffer = memory_new(c->allocator, b->buffer_bytes);
    if (!b->memory || !b->buffer)
        return fail_memory(error, b->memory_bytes + b->buffer_bytes, "batches");
    b->entries = b->memory;
    b->order = (int32_t *)(b->entries + n);
    b->next = b->order + n;
    b->shape_of = (uint8_t *)(b->next + n);
    return true;
}

bool batches_begin(batches *b, const corpus *c, int64_t batch_tokens, uint64_t seed, rondo_error *error)
{
    *b = (batches){.corpus = c, .seed = seed};
    if (!batch_shapes_choose(c, batch_tokens, b->shapes, &b->shape_count, error) || !allocate(b, error)) {
        batches_free(b);
        return false;
    }
    for (int64_t i = 0; i < c->count; i++)
        b->shape_of[i] = (uint8_t)shape_for(b, i, 0);
    return true;
}

/* A number below `bound` that depends on (seed, site, epoch, position) alone. */
static int64_t draw(uint64_t seed, uint32_t site, int64_t epoch, int64_t position, int64_t bound)
{
    uint32_t bits[4];
    random_block(seed, site, (uint64_t)epoch, (uint32_t)position, (uint32_t)((uint64_t)position >> 32), bits);
    return (int64_t)(((unsigned __int128)((uint64_t)bits[0] << 32 | bits[1]) * (uint64_t)bound) >> 64);
}

static void shuffle_sequences(batches *b, int64_t epoch)
{
    int64_t n = b->corpus->count;
    for (int64_t i = 0; i < n; i++)
        b->order[i] = (int32_t)i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = draw(b->seed, SITE_SEQUENCES, epoch, i, i + 1);
        int32_t kept = b->order[i];
        b->order[i] = b->order[j];
        b->order[j] = kept;
    }
}

static void shuffle_batches(batches *b, int64_t epoch)
{
    for (int64_t i = b->count - 1; i > 0; i--) {
        int64_t j = draw(b->seed, SITE_BATCHES, epoch, i, i + 1);
        struct batch_entry kept = b->entries[i];
        b->entries[i] = b->entries[j];
        b->entries[j] = kept;
    }
}

/* Cuts the list of each shape into full batches. What is left over moves to the front of the list of the
 * next larger shape, so that an epoch has hardly any partial batch and no more shapes than necessary. */
void batches_plan(batches *b, int64_t epoch)
{
    int32_t head[BATCH_SHAPES], left[BATCH_SHAPES] = {0};
    for (int s = 0; s < BATCH_SHAPES; s++)
        head[s] = -1;
    shuffle_sequences(b, epoch);
    for (int64_t i = 0; i < b->corpus->count; i++) {
        int32_t sequence = b->order[i];
        int s = b->shape_of[sequence];
        b->next[sequence] = head[s];
        head[s] = sequence;
        left[s]++;
    }
    int64_t placed = 0;
    b->count = 0;
    for (int s = 0; s < b->shape_count; s++) {
        int32_t now = head[s], stay = left[s];
        for (int32_t rest = left[s] % b->shapes[s].rows; rest > 0;
             rest--) { /* those at the front move on, if they can */
            int to = shape_for(b, now, s + 1);
            if (to < 0)
                break;
            int32_t after = b->next[now];
            b->next[now] = head[to];
            head[to] = now;
            left[to]++;
            now = after;
            stay--;
        }
        while (stay > 0) {
            int32_t rows = stay < b->shapes[s].rows ? stay : b->shapes[s].rows;
            b->entries[b->count++] = (struct batch_entry){placed, rows, s};
            for (int32_t r = 0; r < rows; r++, now = b->next[now])
                b->order[placed++] = now;
            stay -= rows;
        }
    }
    shuffle_batches(b, epoch);
}

/* Row r of [B, extent]: begin (or nothing), the tokens, end (or nothing), padding. */
static void fill_row(int32_t *row, int64_t extent, const int32_t *tokens, int64_t count, bool begin, bool end)
{
    int64_t at = 0;
    if (begin)
        row[at++] = TOKEN_BEGIN;
    for (int64_t i = 0; i < count; i++)
        row[at++] = tokens[i];
    if (end)
        row[at++] = TOKEN_END;
    while (at < extent)
        row[at++] = TOKEN_PADDING;
}

void batches_get(batches *b, int64_t index, batch *out)
{
    const corpus *c = b->corpus;
    const struct batch_entry *entry = &b->entries[index];
    const batch_shape *shape = &b->shapes[entry->shape];
    int32_t *at = b->buffer;
    *out = (batch){.rows = entry->rows, .source_extent = shape->source, .target_extent = shape->target};
    out->source = c->has_source ? at : NULL;
    out->target_in = at += b->most_cells;
    out->target_out = at += b->most_cells;
    out->target_length = at += b->most_cells;
    out->sentence = at += b->most_rows;
    out->source_length = c->has_source ? at + b->most_rows : NULL;
    for (int64_t r = 0; r < out->rows; r++) {
        int64_t i = b->order[entry->first + r];
        const int32_t *target = c->side[1].tokens + c->side[1].start[i];
        int64_t length = corpus_length(c, 1, i), tokens = length - c->ends;
        out->sentence[r] = c->id[i];
        out->target_length[r] = (int32_t)length;
        out->target_tokens += length;
        fill_row(out->target_in + r * shape->target, shape->target, target, length - 1, true, false);
        fill_row(out->target_out + r * shape->target, shape->target, target, tokens, false, c->ends);
        if (c->has_source) {
            int64_t from = c->side[0].start[i], extent = corpus_length(c, 0, i);
            out->source_length[r] = (int32_t)extent;
            out->source_tokens += extent;
            fill_row(out->source + r * shape->source, shape->source, c->side[0].tokens + from,
                     extent - c->ends, false, c->ends);
        }
    }
}

double batches_padding(const batches *b)
{
    const corpus *c = b->corpus;
    double cells = 0, tokens = 0;
    for (int64_t i = 0; i < b->count; i++) {
        const batch_shape *shape = &b->shapes[b->entries[i].shape];
        cells += (double)b->entries[i].rows * (shape->source + shape->target);
    }
    for (int s = !c->has_source; s < 2; s++)
        tokens += (double)c->side[s].start[c->count] + (double)c->count * c->ends;
    return cells / tokens;
}

void batches_free(batches *b)
{
    if (!b->corpus)
        return;
    memory_free(b->corpus->allocator, b->memory, b->memory_bytes);
    memory_free(b->corpus->allocator, b->buffer, b->buffer_bytes);
    *b = (batches){0};
}
