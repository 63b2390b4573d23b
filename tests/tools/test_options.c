/* The option table, the command line and the settings file. */
#include "tools/options/command_line.h"
#include "tools/options/settings.h"
#include <criterion/criterion.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

static arena memory;
static rondo_error problem;

static options parse_all(command_id command, int count, const char *const *words, bool *good)
{
    options o;
    arena_begin(&memory, NULL);
    problem = (rondo_error){0};
    *good = options_begin(&o, &memory, command, &problem) && options_parse(&o, count, words, &problem);
    return o;
}
#define WORDS(...)                                                                                           \
    (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *)), (const char *const[])          \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

static options accepted(command_id command, int count, const char *const *words)
{
    bool good;
    options o = parse_all(command, count, words, &good);
    cr_assert(good, "%s", problem.message);
    return o;
}

static void refused(command_id command, const char *saying, int count, const char *const *words)
{
    bool good;
    parse_all(command, count, words, &good);
    cr_expect(!good, "accepted: %s", words[0]);
    cr_expect(problem.code == RONDO_ARGUMENT);
    cr_expect(strstr(problem.message, saying), "'%s' does not say '%s'", problem.message, saying);
    arena_end(&memory);
}

static const char *settings_file(const char *content)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/rondo-settings-%d.yml", (int)getpid());
    FILE *file = fopen(path, "w");
    fputs(content, file);
    fclose(file);
    return path;
}

Test(options, defaults_are_valid_and_every_row_is_reachable)
{
    for (int c = 0; c < COMMAND_COUNT; c++) {
        options o;
        arena_begin(&memory, NULL);
        problem = (rondo_error){0};
        cr_assert(options_begin(&o, &memory, (command_id)c, &problem), "%s", problem.message);
        arena_end(&memory);
    }
    for (int id = 0; id < OPTION_COUNT; id++) {
        cr_expect(option_rows[id].commands, "--%s belongs to no command", option_rows[id].name);
        cr_expect(option_rows[id].help[0] && option_rows[id].others[0], "--%s has an empty column",
                  option_rows[id].name);
        for (int other = 0; other < id; other++) {
            cr_expect(strcmp(option_rows[id].name, option_rows[other].name) != 0);
            cr_expect(!option_rows[id].letter || option_rows[id].letter != option_rows[other].letter ||
                      !(option_rows[id].commands & option_rows[other].commands));
        }
    }
}

Test(options, values_stand_behind_a_space_or_an_equals_sign)
{
    options o =
        accepted(COMMAND_TRAIN, WORDS("--dim", "64", "--rate=1e-3", "-o", "run", "--post-norm", "--warmup=4k",
                                      "--train", "a.en", "a.de", "--dropout", "0.3", "--heads", "08"));
    cr_expect(o.dim == 64 && o.rate == 1e-3 && o.post_norm && o.warmup == 4000 && o.dropout == 0.3 &&
              o.heads == 8);
    cr_expect_str_eq(o.output_folder, "run");
    cr_expect(o.train.count == 2 && strcmp(o.train.items[1], "a.de") == 0);
    cr_expect(options_origin(&o, OPTION_dim) == FROM_COMMAND_LINE &&
              options_origin(&o, OPTION_ffn) == FROM_DEFAULT);
    arena_end(&memory);
}

Test(options, operands_and_the_double_dash)
{
    options o = accepted(COMMAND_TRANSLATE, WORDS("--batch", "7", "--", "-strange-name"));
    cr_expect(o.operands.count == 1 && strcmp(o.operands.items[0], "-strange-name") == 0);
    arena_end(&memory);
    refused(COMMAND_TRANSLATE, "MODEL", 0, NULL);
    refused(COMMAND_TRANSLATE, "'b'", WORDS("a", "b"));
}

Test(options, wrong_values_are_refused_with_what_is_wanted)
{
    refused(COMMAND_TRAIN, "whole number", WORDS("--dim", "twelve"));
    refused(COMMAND_TRAIN, "whole number", WORDS("--dim", "1.5"));
    refused(COMMAND_TRAIN, "whole number", WORDS("--heads", "4k"));
    refused(COMMAND_TRAIN, "whole number", WORDS("--dim", "0x40"));
    refused(COMMAND_TRAIN, "a number", WORDS("--rate", "nan"));
    refused(COMMAND_TRAIN, "a number", WORDS("--rate", "2,5"));
    refused(COMMAND_TRAIN, "between 0 and 0.99", WORDS("--dropout", "1"));
    refused(COMMAND_TRAIN, "between 1 and", WORDS("--dim=-3"));
    refused(COMMAND_TRAIN, "inverse-sqrt|constant", WORDS("--schedule", "inverse"));
    refused(COMMAND_TRAIN, "inverse-sqrt|constant", WORDS("--schedule", "inverse-sqrt|constant"));
    refused(COMMAND_TRAIN, "needs a value", WORDS("--dim"));
    refused(COMMAND_TRAIN, "needs a value", WORDS("--train", "--dim", "4"));
    refused(COMMAND_TRAIN, "yes or no", WORDS("--post-norm=perhaps"));
}

Test(options, an_unknown_name_gets_the_best_advice)
{
    refused(COMMAND_TRAIN, "did you mean --dropout", WORDS("--droput", "0.1"));
    refused(COMMAND_TRAIN, "did you mean --batch-tokens", WORDS("--batch-token", "1"));
    refused(COMMAND_TRAIN, "Rondo calls --dim-emb --dim", WORDS("--dim-emb", "4"));
    refused(COMMAND_TRAIN, "Rondo calls --transformer-heads --heads", WORDS("--transformer-heads=4"));
    refused(COMMAND_TRAIN, "Rondo calls --max-tokens --batch-tokens", WORDS("--max-tokens", "4"));
    refused(COMMAND_TRAIN, "Rondo calls --lr --rate", WORDS("--lr", "4"));
    refused(COMMAND_TRAIN, "Rondo calls --mini-batch --batch-tokens", WORDS("--mini-batch", "4"));
    refused(COMMAND_TRANSLATE, "Rondo calls --mini-batch --batch:", WORDS("--mini-batch", "4", "m"));
    refused(COMMAND_TRANSLATE, "greedily", WORDS("--beam-size", "4", "m"));
    refused(COMMAND_TRAIN, "raise --batch-tokens", WORDS("--optimizer-delay", "4"));
    refused(COMMAND_TRAIN, "cross-entropy", WORDS("--cost-type", "ce-mean"));
    refused(COMMAND_TRAIN, "RONDO_THREADS", WORDS("--cpu-threads", "4"));
    refused(COMMAND_TRAIN, "rondo train --help", WORDS("--quetzalcoatl"));
    refused(COMMAND_TRAIN, "there is no option -z", WORDS("-z"));
}

Test(options, an_option_of_another_command_is_an_error)
{
    refused(COMMAND_TRANSLATE, "belongs to: train", WORDS("--dropout", "0.1", "m"));
    refused(COMMAND_TRAIN, "belongs to: generate", WORDS("--prompt", "x"));
    refused(COMMAND_TRANSLATE, "belongs to: train", WORDS("--learn-rate", "0.1", "m"));
}

Test(options, a_preset_fills_what_nobody_gave)
{
    options o = accepted(COMMAND_TRAIN, WORDS("--ffn", "77", "--preset", "small"));
    cr_expect(o.dim == 256 && o.ffn == 77 && o.encoder_layers == 3);
    cr_expect(options_origin(&o, OPTION_dim) == FROM_PRESET);
    arena_end(&memory);
    o = accepted(COMMAND_TRAIN, WORDS("--mixer", "average", "--cross", "softmax"));
    cr_expect_str_eq(o.encoder_self, "average");
    cr_expect_str_eq(o.decoder_self, "average");
    cr_expect_str_eq(o.cross, "softmax");
    arena_end(&memory);
}

Test(options, numbers_do_not_obey_the_locale)
{
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        setlocale(LC_ALL, "de_DE");
    options o = accepted(COMMAND_TRAIN, WORDS("--rate", "2.5e-3", "--dropout=.25"));
    cr_expect(o.rate == 2.5e-3 && o.dropout == 0.25);
    text out = {.arena = &memory};
    options_write_settings(&o, &out);
    cr_expect(strstr(text_done(&out), "rate: 0.0025\n"), "%s", text_done(&out));
    arena_end(&memory);
}

Test(settings, scalars_are_read_by_the_options_own_type)
{
    const char *path =
        settings_file("# a comment\npost-norm: no\nrate: 1e-3\nheads: 08\ndecoder-self: no\nwarmup: 4k\n"
                      "train: [a.en, 'b: c.de']\noutput-folder: \"012\"\n--dim: 32\n");
    options o = accepted(COMMAND_TRAIN, WORDS("--settings", path, "--dim", "16"));
    cr_expect(!o.post_norm && o.rate == 1e-3 && o.heads == 8 && o.warmup == 4000 && o.dim == 16);
    cr_expect_str_eq(o.decoder_self, "no");
    cr_expect_str_eq(o.output_folder, "012");
    cr_expect(o.train.count == 2 && strcmp(o.train.items[1], "b: c.de") == 0);
    arena_end(&memory);
    unlink(path);
}

Test(settings, mistakes_are_named_with_file_and_line)
{
    static const char *const cases[][2] = {
        {"dim: 4\ndims: 4\n", "line 2: there is no option --dims; did you mean --dim?"},
        {"lr: 1\n", "line 1: Rondo calls --lr --rate"},
        {"\n\ndim:\n", "line 3: a value is missing"},
        {"dim: 4\ndim: 5\n", "line 2: this option is set twice"},
        {"dim: [4]\n", "not a list"},
        {"- dim\n", "name: value"},
        {"dim: {a: b}\n", "a plain value"},
        {"dim: 'x\n", "line"},
        {"dim: *anchor\n", "line 1"},
        {"prompt: x\n", "belongs to: generate"},
        {"train: [[a]]\n", "a plain value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = settings_file(cases[i][0]);
        refused(COMMAND_TRAIN, cases[i][1], WORDS("--settings", path));
        unlink(path);
    }
    refused(COMMAND_TRAIN, "/nowhere/x.yml", WORDS("--settings=/nowhere/x.yml"));
}

Test(settings, an_empty_file_sets_nothing)
{
    const char *path = settings_file("# nothing\n");
    options o = accepted(COMMAND_TRAIN, WORDS("-c", path));
    cr_expect(o.dim == 128);
    arena_end(&memory);
    unlink(path);
}

Test(settings, what_is_written_reads_back_the_same)
{
    options o = accepted(COMMAND_TRAIN,
                         WORDS("--dim", "48", "--rate", "0.1", "--train=a \"b\"\\\n.en", "--train=-c.de",
                               "-o", "#x", "--mixer", "average", "--weight-decay", "1e-7"));
    text out = {.arena = &memory};
    options_write_settings(&o, &out);
    const char *path = settings_file(text_done(&out));
    options back;
    problem = (rondo_error){0};
    cr_assert(options_begin(&back, &memory, COMMAND_TRAIN, &problem));
    cr_assert(options_read_settings(&back, path, &problem) && options_finish(&back, &problem), "%s",
              problem.message);
    cr_expect(back.dim == 48 && back.rate == 0.1 && back.weight_decay == 1e-7);
    cr_expect(back.train.count == 2);
    cr_expect_str_eq(back.train.items[0], "a \"b\"\\\n.en");
    cr_expect_str_eq(back.train.items[1], "-c.de");
    cr_expect_str_eq(back.cross, "average");
    text again = {.arena = &memory};
    options_write_settings(&back, &again);
    cr_expect_str_eq(text_done(&out), text_done(&again));
    unlink(path);
    arena_end(&memory);
}

static int characters(const char *line)
{
    int count = 0;
    for (; *line; line++)
        count += (*line & 0xC0) != 0x80;
    return count;
}

Test(options, help_names_every_option_of_its_command_and_fits_the_screen)
{
    for (int c = 0; c < COMMAND_COUNT; c++) {
        char *data;
        size_t size;
        FILE *out = open_memstream(&data, &size);
        options_print_help(out, (command_id)c, NULL);
        fclose(out);
        for (int id = 0; id < OPTION_COUNT; id++) {
            char word[64];
            snprintf(word, sizeof word, " --%s%s", option_rows[id].name,
                     option_rows[id].shape[0] ? " " : "\n");
            if (option_rows[id].shape[0] || !(option_rows[id].commands >> c & 1))
                cr_expect(!strstr(data, word) == !(option_rows[id].commands >> c & 1), "%s: %s",
                          command_rows[c].name, word);
        }
        for (char *line = strtok(data, "\n"); line; line = strtok(NULL, "\n"))
            cr_expect(characters(line) <= 80, "%s", line);
        free(data);
    }
}

Test(options, commands_are_found_and_guessed)
{
    const char *near;
    cr_expect(command_find("train", &near) == COMMAND_TRAIN);
    cr_expect(command_find("trian", &near) < 0 && near && strcmp(near, "train") == 0);
    cr_expect(command_find("quetzalcoatl", &near) < 0 && !near);
}
