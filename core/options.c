/* Reading an options struct. */
#include "core/options.h"
#include <string.h>

const char *options_read(void *own, size_t known, const void *given)
{
    size_t size = known;
    memset(own, 0, known);
    if (given)
        memcpy(&size, given, sizeof size);
    if (size < sizeof size)
        return "the `size` of its options is not set; fill the struct with RONDO_OPTIONS";
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)given)[i])
            return "an option is set that this version of the library does not know";
    if (given)
        memcpy(own, given, size < known ? size : known);
    memcpy(own, &known, sizeof known);
    return NULL;
}
