/* Looking up ops in a context's list. */
#include "core/signature.h"
#include <string.h>

const op_signature *op_list_at(const op_list *ops, int op)
{
    return op >= 0 && op < ops->count ? ops->signatures[op] : NULL;
}

int op_list_find(const op_list *ops, const char *name)
{
    for (int op = 0; op < ops->count; op++)
        if (!strcmp(ops->signatures[op]->name, name))
            return op;
    return -1;
}
