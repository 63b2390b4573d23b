/* Adding up and printing measures. */
#include "tools/run/measures.h"
#include <stdio.h>

void measures_add(measures *m, const rondo_step *step)
{
    for (size_t i = 1; i < step->measure_count && i <= MEASURES_SHOWN; i++) {
        if ((int)i > m->count)
            m->of[m->count++].name = step->measures[i].name;
        m->of[i - 1].sum += step->measures[i].sum;
        m->of[i - 1].count += step->measures[i].count;
    }
}

double measures_value(const measures *m, int index)
{
    return m->of[index].count > 0 ? m->of[index].sum / m->of[index].count : 0;
}

const char *measures_format(char out[MEASURES_BYTES], const measures *m)
{
    size_t length = 0;
    out[0] = 0;
    for (int i = 0; i < m->count; i++) {
        int more =
            snprintf(out + length, MEASURES_BYTES - length, "%s %.4g, ", m->of[i].name, measures_value(m, i));
        if (more < 0 || length + (size_t)more >= MEASURES_BYTES) {
            out[length] = 0;
            break;
        }
        length += (size_t)more;
    }
    return out;
}
