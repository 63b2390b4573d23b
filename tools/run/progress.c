/* Formatting and printing the line of progress. */
#include "tools/run/progress.h"
#include "tools/report/message.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool only_lines;

void progress_use_lines(void)
{
    only_lines = true;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

const char *duration_format(duration_text out, double seconds)
{
    long long all = seconds < 0 || !isfinite(seconds) ? 0 : llround(seconds);
    if (all >= 3600)
        snprintf(out, sizeof(duration_text), "%lld:%02lld:%02lld", all / 3600, all / 60 % 60, all % 60);
    else
        snprintf(out, sizeof(duration_text), "%lld:%02lld", all / 60, all % 60);
    return out;
}

void progress_begin(progress *p, FILE *out, int64_t every, double peak)
{
    *p = (progress){.out = out, .every = every, .peak = peak, .began = now()};
    p->in_place = isatty(fileno(out)) && !only_lines;
    p->shown_at = p->began;
}

static void add(struct progress_sums *s, const progress_update *u)
{
    s->loss += u->loss * (double)u->targets;
    s->nll += u->nll * (double)u->targets;
    s->gradient_norm += u->gradient_norm;
    s->seconds += u->seconds;
    s->flops += u->flops;
    s->updates++;
    s->targets += u->targets;
    s->source_tokens += u->source_tokens;
    s->target_tokens += u->target_tokens;
    measures_add(&s->measures, u->step);
}

typedef struct line {
    char text[256 + MEASURES_BYTES];
    size_t length;
} line;

static void append(line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(line *l, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(l->text + l->length, sizeof l->text - l->length, format, arguments);
    va_end(arguments);
    l->length += more > 0 ? (size_t)more : 0;
    l->length = l->length < sizeof l->text ? l->length : sizeof l->text - 1;
}

static void describe(const progress *p, const progress_update *u, line *l)
{
    const struct progress_sums *s = &p->since;
    double targets = s->targets ? (double)s->targets : 1, seconds = s->seconds > 0 ? s->seconds : 1e-9;
    count_text a, b;
    append(l, "update %s, epoch %s", count_format(a, u->number), count_format(b, u->epoch));
    if (u->done > 0) {
        duration_text left;
        append(l, ", %s left",
               duration_format(left, u->done < 1 ? (now() - p->began) * (1 - u->done) / u->done : 0));
    }
    append(l, ": ");
    append(l, "loss %.3f, nll %.3f (perplexity %.4g), ", s->loss / targets, s->nll / targets,
           exp(s->nll / targets));
    char others[MEASURES_BYTES];
    append(l, "%s", measures_format(others, &s->measures));
    if (s->source_tokens)
        append(l, "%s + %s tokens/s, ", count_format(a, llround((double)s->source_tokens / seconds)),
               count_format(b, llround((double)s->target_tokens / seconds)));
    else
        append(l, "%s tokens/s, ", count_format(b, llround((double)s->target_tokens / seconds)));
    if (p->peak > 0 && s->flops > 0)
        append(l, "%.0f %% of peak, ", 100 * s->flops / seconds / p->peak);
    append(l, "gradient %.3g, rate %.3g", s->gradient_norm / (double)s->updates, u->rate);
}

/* A shorter form for a terminal of 80 columns. */
static void describe_short(const progress *p, const progress_update *u, line *l)
{
    const struct progress_sums *s = &p->since;
    double targets = s->targets ? (double)s->targets : 1, seconds = s->seconds > 0 ? s->seconds : 1e-9;
    count_text a;
    duration_text left;
    append(l, "%s", count_format(a, u->number));
    if (u->done > 0)
        append(l, ", %s left",
               duration_format(left, u->done < 1 ? (now() - p->began) * (1 - u->done) / u->done : 0));
    append(l, ": loss %.3f, nll %.3f (%.4g), ", s->loss / targets, s->nll / targets, exp(s->nll / targets));
    if (s->source_tokens)
        append(l, "%.0f + ", (double)s->source_tokens / seconds / 1000);
    append(l, "%.0fk/s", (double)s->target_tokens / seconds / 1000);
    if (p->peak > 0 && s->flops > 0)
        append(l, ", %.0f %% peak", 100 * s->flops / seconds / p->peak);
    append(l, ", norm %.2g", s->gradient_norm / (double)s->updates);
}

static int terminal_columns(FILE *out)
{
    struct winsize size;
    return ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

void progress_add(progress *p, const progress_update *u)
{
    add(&p->since, u);
    add(&p->all, u);
    double time = now();
    if (p->in_place ? time - p->shown_at < 0.5 : p->since.updates < p->every)
        return;
    line l = {.length = 0};
    describe(p, u, &l);
    if (p->in_place) {
        int columns = terminal_columns(p->out);
        if ((int)l.length >= columns) {
            l.length = 0;
            describe_short(p, u, &l);
        }
        int width = (int)l.length;
        if (width >= columns) /* a line that wraps could not be overwritten */
            l.text[width = columns - 1] = 0;
        fprintf(p->out, "\r%s%*s", l.text, width < p->width ? p->width - width : 0, "");
        p->width = width;
    } else
        fprintf(p->out, "%s\n", l.text);
    fflush(p->out);
    p->shown_at = time;
    p->since = (struct progress_sums){0};
}

void progress_clear(progress *p)
{
    if (p->in_place && p->width) {
        fputc('\n', p->out);
        fflush(p->out);
    }
    p->width = 0;
}
