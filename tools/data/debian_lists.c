/* Reading the lists of apt. A stanza is lines "Name: value" up to an empty line. The lines of a long text
 * begin with a space, " ." separates paragraphs, and a line that begins with two spaces is verbatim: in
 * practice a list item or its continuation. */
#include "tools/data/debian_lists.h"
#include "core/text/text.h"
#include <stdlib.h>

/* The value of "NAME: value", or NULL. */
static char *field(char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    return line + length + 1 + strspn(line + length + 1, " ");
}

/* "Description-LANGUAGE: synopsis". */
static bool is_synopsis(const char *line)
{
    static const char name[] = "Description-";
    return strncmp(line, name, sizeof name - 1) == 0 && line[strcspn(line, ": ")] == ':';
}

static int by_md5(const void *a, const void *b)
{
    const description *p = a, *q = b;
    int order = strcmp(p->md5, q->md5);
    return order ? order : (p->line > q->line) - (p->line < q->line);
}

static int by_line(const void *a, const void *b)
{
    const description *p = a, *q = b;
    return (p->line > q->line) - (p->line < q->line);
}

void descriptions_sort(description_list *d)
{
    qsort(d->items, (size_t)d->count, sizeof *d->items, by_md5);
}

/* Of descriptions with the same md5 the first is kept. */
static void drop_repeated(description_list *d)
{
    int64_t kept = 0;
    descriptions_sort(d);
    for (int64_t i = 0; i < d->count; i++)
        if (kept == 0 || strcmp(d->items[kept - 1].md5, d->items[i].md5) != 0)
            d->items[kept++] = d->items[i];
    d->count = kept;
    qsort(d->items, (size_t)d->count, sizeof *d->items, by_line);
}

bool descriptions_read(description_list *d, arena *a, lines *from, rondo_error *error)
{
    int64_t stanzas = 1;
    for (int64_t i = 0; i < from->count; i++)
        stanzas += lines_length(from, i) == 0;
    *d = (description_list){.lines = from, .items = ARENA_NEW(a, description, stanzas)};
    if (!d->items)
        return fail_memory(error, (size_t)stanzas * sizeof(description), from->path);
    description now = {.line = -1};
    for (int64_t i = 0; i <= from->count; i++) {
        char *line = i < from->count ? from->text + from->start[i] : NULL, *value;
        if (!line || !*line) {
            if (now.package && now.md5 && now.line >= 0)
                d->items[d->count++] = now;
            now = (description){.line = -1};
        } else if ((value = field(line, "Package")))
            now.package = value;
        else if ((value = field(line, "Description-md5")))
            now.md5 = value;
        else if (is_synopsis(line) && now.line < 0)
            now.line = i;
    }
    drop_repeated(d);
    return true;
}

static int md5_of(const void *md5, const void *item)
{
    return strcmp(md5, ((const description *)item)->md5);
}

const description *descriptions_find(const description_list *sorted, const char *md5)
{
    return bsearch(md5, sorted->items, (size_t)sorted->count, sizeof *sorted->items, md5_of);
}

static int by_package(const void *a, const void *b)
{
    const struct source_entry *p = a, *q = b;
    int order = strcmp(p->package, q->package);
    return order ? order : strcmp(p->source, q->source);
}

bool sources_read(source_map *m, arena *a, lines *packages, rondo_error *error)
{
    int64_t stanzas = 1;
    for (int64_t i = 0; i < packages->count; i++)
        stanzas += strncmp(lines_get(packages, i), "Source:", 7) == 0;
    *m = (source_map){.items = ARENA_NEW(a, struct source_entry, stanzas)};
    if (!m->items)
        return fail_memory(error, (size_t)stanzas * sizeof *m->items, packages->path);
    const char *package = NULL;
    for (int64_t i = 0; i < packages->count; i++) {
        char *line = packages->text + packages->start[i], *value;
        if (!*line)
            package = NULL;
        else if ((value = field(line, "Package")))
            package = value;
        else if (package && (value = field(line, "Source"))) {
            value[strcspn(value, " ")] = 0; /* a version in parentheses may follow */
            m->items[m->count++] = (struct source_entry){package, value};
        }
    }
    qsort(m->items, (size_t)m->count, sizeof *m->items, by_package);
    return true;
}

static int package_of(const void *package, const void *item)
{
    return strcmp(package, ((const struct source_entry *)item)->package);
}

const char *sources_find(const source_map *m, const char *package)
{
    const struct source_entry *found =
        bsearch(package, m->items, (size_t)m->count, sizeof *m->items, package_of);
    return found ? found->source : package;
}

/* ---- Long texts ---- */

static bool begins_item(const char *words)
{
    return words[0] && strchr("*-+o", words[0]) && words[1] == ' ';
}

/* Appends words, separated by single spaces. */
static void add_words(text *t, const char *words)
{
    for (;;) {
        words += strspn(words, " \t");
        int length = (int)strcspn(words, " \t");
        if (length == 0)
            return;
        text_add(t, "%s%.*s", t->length ? " " : "", length, words);
        words += length;
    }
}

static bool finish(segments *s, text *t, bool item)
{
    const char *words = text_done(t);
    if (t->length && words && s->count < DESCRIPTION_SEGMENTS) {
        s->item[s->count] = item;
        s->text[s->count++] = words;
    }
    *t = (text){.arena = t->arena};
    return words != NULL;
}

bool segments_read(segments *s, arena *a, const description_list *d, const description *one,
                   rondo_error *error)
{
    s->count = 0;
    text now = {.arena = a};
    const char *synopsis = strchr(lines_get(d->lines, one->line), ':') + 1;
    add_words(&now, synopsis);
    bool good = finish(s, &now, false), item = false;
    for (int64_t i = one->line + 1; good && i < d->lines->count; i++) {
        const char *line = lines_get(d->lines, i);
        if (line[0] != ' ')
            break;
        const char *words = line + strspn(line, " ");
        bool break_here = strcmp(line, " .") == 0, new_item = begins_item(words);
        if (break_here || new_item) {
            good = finish(s, &now, item);
            item = new_item;
        } else if (now.length && !item && line[1] == ' ') /* verbatim, so a segment of its own */
            good = finish(s, &now, item);
        if (!break_here)
            add_words(&now, words);
    }
    return (good && finish(s, &now, item)) || fail_memory(error, sizeof *s, "a description");
}
