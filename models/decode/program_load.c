/* Reading a compiled model: one safetensors file whose metadata has the graphs in text form, the report
 * and the tokenizer. The content is hostile until graph_verify, parameters_fit and staged_verify have
 * passed. */
#include "models/decode/decoder.h"
#include "models/parameters.h"
#include <string.h>

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static unsigned char *from_hex(arena *a, const char *hex, size_t *count)
{
    size_t length = strlen(hex);
    unsigned char *bytes = arena_new(a, length / 2 + 1);
    *count = length / 2;
    for (size_t i = 0; bytes && i < *count; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return NULL;
        bytes[i] = (unsigned char)(high * 16 + low);
    }
    return length % 2 ? NULL : bytes;
}

/* *out stays NULL if the file does not have this stage. */
static bool read_stage(rondo_program *p, const char *key, rondo_graph **out, rondo_error *error)
{
    const char *source = safetensors_metadata(&p->file, key);
    if (!source)
        return true;
    *out = graph_parse(p->context, source, key, error);
    return *out && graph_verify(*out, error) && parameters_fit(&p->file, *out, error);
}

static bool read_stages(rondo_program *p, rondo_error *error)
{
    staged stages = {0};
    rondo_error reason = {0}; /* gets the name of the file in front */
    rondo_graph **const graphs[] = {&stages.load, &stages.source, &stages.step};
    bool good = true;
    for (int k = 0; good && k < 3; k++)
        good = read_stage(p, stage_keys[k], graphs[k], &reason);
    if (good && !stages.step)
        good = fail(&reason, RONDO_FILE, "it has no %s", stage_keys[2]);
    if (good)
        good = program_stages(p, &stages, &reason);
    staged_free(&stages);
    return good || fail(error, reason.code == RONDO_MEMORY ? RONDO_MEMORY : RONDO_FILE, "%s: %s",
                        p->file.path, reason.message);
}

static bool read_program(rondo_program *p, rondo_error *error)
{
    const char *format = safetensors_metadata(&p->file, "rondo.format"),
               *kind = safetensors_metadata(&p->file, "rondo.kind");
    if (!format || !kind || strcmp(kind, "decoder"))
        return fail(error, RONDO_MISMATCH, "%s holds no compiled model; make one with `rondo export`",
                    p->file.path);
    if (strcmp(format, "1"))
        return fail(error, RONDO_MISMATCH, "%s has format %.20s, this version reads format 1", p->file.path,
                    format);
    if (!read_stages(p, error))
        return false;
    p->time = program_text(p, safetensors_metadata(&p->file, "rondo.time"));
    p->report = program_text(p, safetensors_metadata(&p->file, "rondo.report"));
    const char *hex = safetensors_metadata(&p->file, "rondo.tokenizer");
    if (hex) {
        p->tokenizer_model = from_hex(&p->arena, hex, &p->tokenizer_bytes);
        if (!p->tokenizer_model)
            return fail(error, RONDO_FILE, "%s: its tokenizer is damaged", p->file.path);
        p->tokenizer = tokenizer_load(p->tokenizer_model, p->tokenizer_bytes, error);
        if (!p->tokenizer)
            return false;
    }
    return !p->arena.failed || fail_memory(error, sizeof *p, "a program");
}

rondo_program *rondo_program_load_with(rondo *context, const char *path, rondo_error *error,
                                       const rondo_load_options *options)
{
    error_begin(error);
    rondo_program *p = context ? program_begin(context, error) : NULL;
    if (p && parameters_open(&p->file, &context->allocator, path, options, error) && read_program(p, error))
        return p;
    rondo_program_free(p);
    return NULL;
}

rondo_program *rondo_program_load(rondo *context, const char *path, rondo_error *error)
{
    error_begin(error);
    return rondo_program_load_with(context, path, error, NULL);
}
