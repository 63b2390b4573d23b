/* rondo help, manual, completion, version: print what the tables hold. */
#include "tools/commands/command.h"

int command_help(command *c)
{
    const option_list *operands = &c->options->operands;
    const char *near, *name = operands->count ? operands->items[0] : NULL;
    int id = name ? command_find(name, &near) : -1;
    if (name && id < 0)
        return message_no_command(name, near);
    if (name)
        options_print_help(stdout, (command_id)id, c->context);
    else
        options_print_commands(stdout, c->context);
    return message_finish_output(c->name);
}

int command_manual(command *c)
{
    options_print_manual(stdout);
    return message_finish_output(c->name);
}

int command_completion(command *c)
{
    options_print_completion(stdout);
    return message_finish_output(c->name);
}

int command_version(command *c)
{
    printf("rondo %d.%d.%d\n", rondo_version() / 10000, rondo_version() / 100 % 100, rondo_version() % 100);
    return message_finish_output(c->name);
}
