/* The package descriptions of Debian as segments: the synopsis, and the paragraphs and list items of the
 * long text. */
#pragma once
#include "tools/data/lines.h"

typedef struct description {
    const char *md5; /* of the English text; a translation has that of the text it translates */
    const char *package;
    int64_t line; /* index into lines: "Description-xx: synopsis", followed by the long text */
} description;

typedef struct description_list {
    const lines *lines;
    description *items; /* in the order of the file, each md5 once */
    int64_t count;
} description_list;

/* Reads a list i18n/Translation-xx. The strings point into `from`, which is modified and must outlive the
 * list. */
bool descriptions_read(description_list *d, arena *a, lines *from, rondo_error *error);
const description *descriptions_find(const description_list *sorted, const char *md5);
void descriptions_sort(description_list *d); /* sorts by md5, for descriptions_find */

/* The source package of each package. */
typedef struct source_map {
    struct source_entry {
        const char *package, *source;
    } * items; /* sorted */
    int64_t count;
} source_map;
bool sources_read(source_map *m, arena *a, lines *packages, rondo_error *error);
const char *sources_find(const source_map *m,
                         const char *package); /* the package itself if it is not listed */

enum { DESCRIPTION_SEGMENTS = 256 };
typedef struct segments {
    const char *text[DESCRIPTION_SEGMENTS]; /* without line breaks */
    bool item[DESCRIPTION_SEGMENTS];        /* a list item, with its bullet */
    int count;                              /* the first is the synopsis */
} segments;
bool segments_read(segments *s, arena *a, const description_list *d, const description *one,
                   rondo_error *error);
