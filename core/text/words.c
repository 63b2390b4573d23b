/* Damerau and Levenshtein's distance (optimal string alignment), and the suggestions that are made with it.
 */
#include "core/text/words.h"
#include <string.h>

enum { LONGEST = 127 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

int word_distance(const char *a, const char *b)
{
    int m = (int)strnlen(a, LONGEST + 1), n = (int)strnlen(b, LONGEST + 1);
    int row[3][LONGEST + 1];
    if (m > LONGEST || n > LONGEST)
        return LONGEST;
    for (int j = 0; j <= n; j++)
        row[0][j] = j;
    for (int i = 1; i <= m; i++) {
        int *now = row[i % 3], *before = row[(i + 2) % 3], *earlier = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = least(change, least(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], earlier[j - 2] + 1);
        }
    }
    return row[m % 3][n];
}

void suggestion_offer(suggestion *s, const char *name)
{
    int distance = word_distance(s->word, name), third = (int)(strlen(s->word) / 3);
    if (distance > (third < 1 ? 1 : third > 3 ? 3 : third) || (s->closest && distance >= s->distance))
        return;
    s->closest = name;
    s->distance = distance;
}
