/* Labels, as far as their lengths go, are classes and not the blank. */
#include "models/train/labels.h"
#include "ops/op.h"
#include <string.h>

/* The tensor that is bound to operand i of n; NULL: none is. */
static const rondo_tensor *tensor_of(const rondo_graph *g, const node *n, int i, const rondo_tensor *tensors,
                                     int count)
{
    if (i >= n->input_count || n->inputs[i] == NONE || graph_op_of(g, n->inputs[i]) != OP_input)
        return NULL;
    const char *name = g->names[graph_node_of(g, n->inputs[i])->attributes[input_name].integer];
    for (int k = 0; k < count; k++)
        if (tensors[k].name && !strcmp(tensors[k].name, name))
            return &tensors[k];
    return NULL;
}

static bool check_sequence(const char *place, const rondo_tensor *labels, int64_t sequence, int64_t length,
                           int64_t classes, int64_t blank, rondo_error *error)
{
    const int32_t *row = (const int32_t *)labels->data + sequence * labels->dims[1];
    for (int64_t i = 0; i < length; i++)
        if (row[i] < 0 || row[i] >= classes || row[i] == blank)
            return fail(error, RONDO_ARGUMENT,
                        "%s: tensor %s: label %lld of sequence %lld is %d; labels are 0 to %lld without the "
                        "blank, %lld",
                        place, labels->name, (long long)i, (long long)sequence, row[i],
                        (long long)classes - 1, (long long)blank);
    return true;
}

static bool check_node(const rondo_graph *g, node_id id, const int64_t *bound, const rondo_tensor *tensors,
                       int count, rondo_error *error)
{
    const node *n = &g->nodes[id];
    const rondo_tensor *labels = tensor_of(g, n, 1, tensors, count),
                       *lengths = tensor_of(g, n, 3, tensors, count);
    bool measured = n->input_count > 3 && n->inputs[3] != NONE;
    int64_t classes = dim_value(graph_shape_of(g, n->inputs[0])->dims[2], bound);
    char place[PLACE_BYTES];
    if (!labels || (measured && !lengths)) /* computed: the loss will be NaN */
        return true;
    graph_place(g, id, place);
    for (int64_t b = 0; b < labels->dims[0]; b++) {
        int64_t length = lengths ? ((const int32_t *)lengths->data)[b] : labels->dims[1];
        if (length < 0 || length > labels->dims[1])
            return fail(error, RONDO_ARGUMENT,
                        "%s: tensor %s: sequence %lld has %lld labels, there is room for %lld", place,
                        lengths->name, (long long)b, (long long)length, (long long)labels->dims[1]);
        if (!check_sequence(place, labels, b, length, classes, n->attributes[ctc_blank].integer, error))
            return false;
    }
    return true;
}

bool labels_check(const rondo_graph *g, const int64_t *bound, const rondo_tensor *tensors, int count,
                  rondo_error *error)
{
    for (node_id id = 0; id < g->node_count; id++)
        if (g->nodes[id].op == OP_ctc && !check_node(g, id, bound, tensors, count, error))
            return false;
    return true;
}
