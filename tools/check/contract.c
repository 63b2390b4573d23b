/* The rows of a contract, and the parts that fill them, place by place. */
#include "tools/check/contract.h"
#include "tools/graphs/layer.h"
#include <string.h>

bool contract_add(contract *k, const char *what, double measured, double bound)
{
    const char *copy = arena_copy_text(k->arena, what, strlen(what));
    if (!copy || !ARENA_PUSH(k->arena, k->rows, k->count, k->capacity))
        return fail_memory(k->error, sizeof(contract_row), "the contract");
    k->rows[k->count++] =
        (contract_row){place_names[k->place], copy, measured, bound, measured <= bound, NULL};
    return true;
}

bool contract_remark(contract *k, const char *remark)
{
    k->rows[k->count - 1].remark = arena_copy_text(k->arena, remark, strlen(remark));
    return k->rows[k->count - 1].remark || fail_memory(k->error, strlen(remark), "the contract");
}

bool contract_check(contract *k)
{
    for (int place = 0; place < PLACE_COUNT; place++) {
        k->place = (mixer_place)place;
        if (!mixer_fits(k->mixer, k->place))
            continue;
        if (!check_exact(k) || !check_kernels(k))
            return false;
        if (k->place == PLACE_DECODER && (!check_steps(k) || !check_sessions(k)))
            return false;
    }
    return true;
}
