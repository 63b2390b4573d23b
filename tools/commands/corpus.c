/* rondo corpus debian LISTS FOLDER: makes a parallel corpus from the lists of apt, which
 * tools/data/debian_corpus.sh fetches. */
#include "core/context.h"
#include "tools/commands/command.h"
#include "tools/data/debian_corpus.h"

enum { MOST_WORDS = 12 }; /* in a segment: what a small model can learn in minutes */

int command_corpus(command *c)
{
    const options *o = c->options;
    debian_counts counts;
    if (strcmp(o->operands.items[0], "debian") != 0)
        return message_fail(c->name, EXIT_USE, "there is no corpus '%s'; there is: debian",
                            o->operands.items[0]);
    signals_begin();
    if (!debian_corpus_make(&c->context->allocator, o->operands.items[1], o->operands.items[2], "de",
                            MOST_WORDS, &counts, &c->error))
        return command_failed(c, EXIT_DATA);
    count_text number[6];
    message(c->name,
            "%s translated descriptions give %s pairs of segments of at most %d words: %s to train, %s to "
            "validate, %s to test",
            count_format(number[0], counts.descriptions),
            count_format(number[1], counts.kept[0] + counts.kept[1] + counts.kept[2]), MOST_WORDS,
            count_format(number[2], counts.kept[0]), count_format(number[3], counts.kept[1]),
            count_format(number[4], counts.kept[2]));
    return EXIT_DONE;
}
