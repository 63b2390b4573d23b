/* Elementwise ops and fused chains: a tile interpreter. The tensors are walked together as rows of `inner`
 * elements; a tile is up to TILE elements, several whole rows or a part of one. Each operand of a tile is
 * read in place if it is dense, else it is copied to L1 first: once a task if it repeats (a bias), tile by
 * tile otherwise. Then the program's steps run over the tile, one loop for each (ops/vector/elementwise.c).
 * The end of a tile that is less than a vector goes through the same loops in padded copies.
 *
 * Integers are computed element by element. */
#include "ops/kernels/elementwise_program.h"
#include "ops/op.h"
#include "ops/rules.h"
#include "ops/kernels/strided.h"
#include "ops/vector/table.h"
#include <string.h>

enum {
    TILE = 1024,
    TILES_PER_TASK = 32,
    PADDED = TILE + 16, /* a whole vector past the end may be read and written */
    WIDEST = 16,        /* floats in the widest vector */
    IN_BYTES = 255      /* choice[0]'s first byte: the program did not fit, encode it again */
};

/* ---- geometry ---- */

typedef struct tiling {
    strided_walk walk; /* results first, then operands */
    int64_t rows_per_tile, tiles_per_row, tiles;
} tiling;

static void make_tiling(const kernel_call *call, tiling *t)
{
    walk_begin(&t->walk, call->outputs[0].rank, call->outputs[0].dims);
    for (int i = 0; i < call->output_count; i++)
        walk_add(&t->walk, &call->outputs[i]);
    for (int i = 0; i < call->input_count; i++)
        walk_add(&t->walk, &call->inputs[i]);
    walk_merge(&t->walk);
    int64_t inner = t->walk.inner;
    t->rows_per_tile = inner < 1 ? 1 : inner >= TILE ? 1 : TILE / inner;
    t->tiles_per_row = inner <= TILE ? 1 : parts_of(inner, TILE);
    t->tiles = walk_elements(&t->walk) ? parts_of(t->walk.rows, t->rows_per_tile) * t->tiles_per_row : 0;
}

static bool all_floats(const kernel_call *call)
{
    for (int i = 0; i < call->input_count; i++)
        if (call->inputs[i].type != RONDO_F32)
            return false;
    for (int i = 0; i < call->output_count; i++)
        if (call->outputs[i].type != RONDO_F32)
            return false;
    return true;
}

/* ---- the program in choice[]: a count, then the bytes ---- */

static void keep_bytes(kernel_call *call, const elementwise_bytes *b)
{
    uint8_t *kept = (uint8_t *)call->choice;
    bool fits = b->count < (int)sizeof call->choice;
    kept[0] = fits ? (uint8_t)b->count : IN_BYTES;
    if (fits)
        memcpy(kept + 1, b->bytes, (size_t)b->count);
}

static void take_bytes(const kernel_call *call, elementwise_bytes *b)
{
    const uint8_t *kept = (const uint8_t *)call->choice;
    if (kept[0] == IN_BYTES) {
        elementwise_encode(call, b);
        return;
    }
    b->count = kept[0];
    memcpy(b->bytes, kept + 1, kept[0]);
}

static bool elementwise_plan(kernel_call *call)
{
    elementwise_bytes bytes;
    elementwise_program program;
    if (!elementwise_encode(call, &bytes) || !elementwise_compile(call, &bytes, &program))
        return false;
    keep_bytes(call, &bytes);
    tiling t;
    make_tiling(call, &t);
    call->phases = 1;
    call->tasks[0] = parts_of(t.tiles, TILES_PER_TASK);
    call->scratch_bytes =
        sizeof(float) * (MAX_NUMBERS * WIDEST +
                         PADDED * (size_t)(call->input_count + call->output_count + program.temporary_count));
    return true;
}

/* ---- a task ---- */

typedef struct operand {
    const float *data;
    int number; /* in the walk */
    float *stage;
    bool dense, repeats; /* repeats: the same for every row */
    bool ready;          /* the stage holds what every tile needs */
} operand;

typedef struct interpreter {
    const kernel_call *call;
    const tiling *tiling;
    elementwise_program program;
    elementwise_slot slots[SLOT_COUNT];
    operand operands[MAX_FUSED];
    struct {
        float *data, *stage;
        int number;
        bool dense;
    } results[MAX_FUSED];
    int lanes;
} interpreter;

static bool walk_repeats(const strided_walk *w, int number)
{
    for (int i = 0; i < w->rank - 1; i++)
        if (w->strides[number][i])
            return false;
    return true;
}

static void begin(interpreter *in, const kernel_call *call, const tiling *t, float *scratch)
{
    in->call = call;
    in->tiling = t;
    in->lanes = vectors()->lanes;
    for (int k = 0; k < call->output_count; k++, scratch += PADDED) {
        in->results[k].data = call->outputs[k].data;
        in->results[k].stage = scratch;
        in->results[k].number = k;
        in->results[k].dense = walk_dense(&t->walk, k);
    }
    for (int i = 0; i < call->input_count; i++, scratch += PADDED) {
        int number = call->output_count + i;
        in->operands[i] =
            (operand){call->inputs[i].data,           number, scratch, walk_dense(&t->walk, number),
                      walk_repeats(&t->walk, number), false};
    }
    for (int i = 0; i < in->program.temporary_count; i++, scratch += PADDED)
        in->slots[SLOT_TEMPORARY + i] = (elementwise_slot){scratch, 1};
    for (int i = 0; i < in->program.number_count; i++, scratch += WIDEST) {
        vectors()->row_fill(scratch, in->program.numbers[i], in->lanes);
        in->slots[SLOT_NUMBER + i] = (elementwise_slot){scratch, 0};
    }
}

/* A tile: `count` elements from element `start` of row `row`; more than one row only if start is 0. */
typedef struct tile {
    int64_t row, start, count;
} tile;

/* The operand's slot for this tile. True: the slot is the tensor's own memory. */
static bool bring(interpreter *in, operand *o, elementwise_slot *slot, tile at)
{
    const strided_walk *w = &in->tiling->walk;
    int64_t inner = w->inner, stride = walk_stride(w, o->number);
    if (o->dense || (in->tiling->rows_per_tile == 1 && stride == 1)) {
        int64_t offset = o->dense ? at.row * inner : walk_row(w, o->number, at.row);
        *slot = (elementwise_slot){(float *)o->data + offset + at.start, 1};
        return true;
    }
    bool alike =
        stride == 0 && (o->repeats || in->tiling->rows_per_tile == 1); /* one number for the whole tile */
    *slot = (elementwise_slot){o->stage, !alike};
    if (o->ready)
        return false;
    if (alike)
        vectors()->row_fill(o->stage, o->data[walk_row(w, o->number, at.row)], in->lanes);
    else
        for (int64_t done = 0; done < at.count; done += inner) {
            int64_t count = at.count - done < inner ? at.count - done : inner,
                    row = at.row + (done ? done / inner : 0);
            gather_row(o->stage + done, o->data + walk_row(w, o->number, row) + at.start * stride, stride,
                       count);
        }
    o->ready = o->repeats && (alike || in->tiling->tiles_per_row == 1);
    return false;
}

/* Where the result goes; NULL: to its stage, and from there by `deliver`. */
static float *target(const interpreter *in, int k, tile at)
{
    const strided_walk *w = &in->tiling->walk;
    bool whole = in->results[k].dense || (in->tiling->rows_per_tile == 1 && walk_stride(w, k) == 1);
    if (!in->results[k].data || in->program.late[k] || !whole)
        return NULL;
    return in->results[k].data + walk_row(w, k, at.row) + at.start;
}

static void deliver(const interpreter *in, int k, tile at)
{
    const strided_walk *w = &in->tiling->walk;
    if (!in->results[k].data)
        return;
    for (int64_t done = 0, row = at.row; done < at.count; done += w->inner, row++) {
        int64_t count = at.count - done < w->inner ? at.count - done : w->inner, stride = walk_stride(w, k);
        scatter_row(in->results[k].data + walk_row(w, k, row) + at.start * stride, stride,
                    in->results[k].stage + done, count);
    }
}

static void run_steps(interpreter *in, int64_t vector_count)
{
    vectors()->elementwise(in->program.steps, in->program.step_count, in->slots, vector_count);
}

/* The last elements of a tile, fewer than a vector: own memory is copied to and from stages, which are
 * padded. */
static void run_rest(interpreter *in, int64_t whole, int64_t rest, const bool *own, float *const *targets)
{
    for (int i = 0; i < in->call->input_count; i++) {
        elementwise_slot *slot = &in->slots[SLOT_OPERAND + i];
        if (own[i]) {
            vectors()->row_copy(in->operands[i].stage, slot->data + whole, rest);
            *slot = (elementwise_slot){in->operands[i].stage, 1};
        } else
            slot->data += whole * slot->step;
    }
    for (int k = 0; k < in->call->output_count; k++)
        in->slots[SLOT_RESULT + k].data = in->results[k].stage + (targets[k] ? 0 : whole);
    run_steps(in, 1);
    for (int k = 0; k < in->call->output_count; k++)
        if (targets[k])
            vectors()->row_copy(targets[k] + whole, in->results[k].stage, rest);
}

static void run_tile(interpreter *in, tile at)
{
    bool own[MAX_FUSED];
    float *targets[MAX_FUSED];
    for (int i = 0; i < in->call->input_count; i++)
        own[i] = bring(in, &in->operands[i], &in->slots[SLOT_OPERAND + i], at);
    for (int k = 0; k < in->call->output_count; k++) {
        targets[k] = target(in, k, at);
        in->slots[SLOT_RESULT + k] = (elementwise_slot){targets[k] ? targets[k] : in->results[k].stage, 1};
    }
    int64_t rest = at.count % in->lanes, whole = at.count - rest;
    if (whole)
        run_steps(in, whole / in->lanes);
    if (rest)
        run_rest(in, whole, rest, own, targets);
    for (int k = 0; k < in->call->output_count; k++)
        if (!targets[k])
            deliver(in, k, at);
}

static void run_floats(const kernel_call *call, const elementwise_bytes *bytes, const tiling *t, int64_t task,
                       float *scratch)
{
    interpreter in;
    if (!elementwise_compile(call, bytes, &in.program))
        return; /* plan saw that it does */
    begin(&in, call, t, scratch);
    int64_t last = (task + 1) * TILES_PER_TASK < t->tiles ? (task + 1) * TILES_PER_TASK : t->tiles;
    int64_t rows = t->walk.rows, inner = t->walk.inner;
    for (int64_t i = task * TILES_PER_TASK; i < last; i++) {
        tile at = {i / t->tiles_per_row * t->rows_per_tile, i % t->tiles_per_row * TILE, 0};
        int64_t height = rows - at.row < t->rows_per_tile ? rows - at.row : t->rows_per_tile;
        int64_t width = inner - at.start < TILE ? inner - at.start : TILE;
        at.count = height * width;
        run_tile(&in, at);
    }
}

/* ---- the plain path ---- */

static void run_numbers(const kernel_call *call, const elementwise_bytes *bytes, const tiling *t,
                        int64_t task)
{
    int64_t total = walk_elements(&t->walk), each = parts_of(total, parts_of(t->tiles, TILES_PER_TASK));
    int64_t last = (task + 1) * each < total ? (task + 1) * each : total;
    for (int64_t flat = task * each; flat < last; flat++) {
        double values[MAX_FUSED], results[MAX_FUSED];
        for (int i = 0; i < call->input_count; i++)
            values[i] = tensor_number(&call->inputs[i], walk_at(&t->walk, call->output_count + i, flat));
        elementwise_number(bytes, values, results);
        for (int k = 0; k < call->output_count; k++)
            if (call->outputs[k].data)
                tensor_set_number(&call->outputs[k], walk_at(&t->walk, k, flat), results[k]);
    }
}

static void elementwise_run(const kernel_call *call, int phase, int64_t task, void *scratch)
{
    (void)phase;
    elementwise_bytes bytes;
    tiling t;
    take_bytes(call, &bytes);
    make_tiling(call, &t);
    if (all_floats(call))
        run_floats(call, &bytes, &t, task, scratch);
    else
        run_numbers(call, &bytes, &t, task);
}
const kernel kernel_elementwise = {"elementwise", elementwise_plan, elementwise_run};
