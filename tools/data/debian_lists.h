/* Debian's package descriptions as segments: the synopsis, and the paragraphs and list items of the long
 * text. */
#pragma once
#include "tools/data/lines.h"

typedef struct description {
    const char *md5; /* of the English text: equal for a translation of exactly this text */
    const char *package;
    int64_t line; /* of the lines that it was read from: "Description-xx: synopsis"; the long text follows */
} description;

typedef struct description_list {
    const lines *lines;
    description *items; /* in the order of the file, each md5 once */
    int64_t count;
} description_list;

/* The descriptions of a list i18n/Translation-xx. Texts point into `from`, which is changed: it outlives the
 * list. */
bool descriptions_read(description_list *d, arena *a, lines *from, rondo_error *error);
const description *descriptions_find(const description_list *sorted, const char *md5);
void descriptions_sort(description_list *d); /* by md5, for descriptions_find */

/* Which source package a package is built from. */
typedef struct source_map {
    struct source_entry {
        const char *package, *source;
    } * items; /* sorted */
    int64_t count;
} source_map;
bool sources_read(source_map *m, arena *a, lines *packages, rondo_error *error);
const char *sources_find(const source_map *m,
                         const char *package); /* the package itself when it is not listed */

enum { DESCRIPTION_SEGMENTS = 256 };
typedef struct segments {
    const char *text[DESCRIPTION_SEGMENTS]; /* without line breaks */
    bool item[DESCRIPTION_SEGMENTS];        /* an item of a list, with its bullet */
    int count;                              /* the first is the synopsis */
} segments;
bool segments_read(segments *s, arena *a, const description_list *d, const description *one,
                   rondo_error *error);
