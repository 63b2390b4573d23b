/* The table of tasks. */
#include "tools/tasks/task.h"
#include <string.h>

const task tasks[] = {
#define TASK(file, name, command, encoder, decoder, cross, files, build, validate, samples, sequences,       \
             tokens, meaning)                                                                                \
    {name,          command,                                                                                 \
     meaning,       {[PLACE_ENCODER] = encoder, [PLACE_DECODER] = decoder, [PLACE_CROSS] = cross},           \
     files,         sequences,                                                                               \
     tokens,        file##_check,                                                                            \
     file##_read,   file##_encode,                                                                           \
     file##_inputs, build,                                                                                   \
     validate,      samples},
#include "tools/tasks/tasks.def"
    {NULL},
};

const task *task_of(const options *o)
{
    const task *t = tasks;
    while (t[1].name && strcmp(t->name, o->type)) /* --type has no other values */
        t++;
    return t;
}
