/* A tokenizer for tests. */
#include "tests/tools/small_tokenizer.h"
#include <stdio.h>
#include <stdlib.h>

/* Sentences made of a few words, so that there is something to merge. */
static tokenizer_lines made_text(int64_t count)
{
    static const char *const words[] = {"the",   "a",    "wandering", "theme",  "comes",  "back",  "and",
                                        "der",   "Satz", "kehrt",     "zurück", "größer", "state", "zustand",
                                        "grows", "not",  "…",         "“so”",   "3.5",    "x-y"};
    char *text = malloc((size_t)count * 128);
    int64_t *start = malloc((size_t)(count + 1) * sizeof *start), at = 0;
    uint32_t random = 1;
    for (int64_t i = 0; i < count; i++) {
        start[i] = at;
        for (int w = 0; w < 7; w++) {
            random = random * 1664525u + 1013904223u;
            at += sprintf(text + at, "%s%s", w ? " " : "", words[(random >> 16) % 20]);
        }
        text[at++] = 0;
    }
    start[count] = at;
    return (tokenizer_lines){text, start, count};
}

tokenizer *small_tokenizer(int64_t vocabulary, tokenizer_kind kind, rondo_error *error)
{
    tokenizer_lines lines = made_text(300);
    tokenizer *t = tokenizer_train(&lines, 1, vocabulary, kind, error);
    free((char *)lines.text);
    free((int64_t *)lines.start);
    return t;
}
