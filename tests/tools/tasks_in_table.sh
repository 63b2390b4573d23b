#!/bin/sh
# Only tools/tasks/ knows the tasks: no other file of the command compares the name of a task or the option --type, so that adding a task
# changes its row and its file and nothing else. $1: the root of the source.
cd "${1:-.}" || exit 1
names=$(sed -n 's/^TASK([a-z_]*, "\([a-z-]*\)".*/\1/p' tools/tasks/tasks.def)
[ "$(echo "$names" | wc -w)" -ge 2 ] || { echo "found no tasks in tools/tasks/tasks.def"; exit 1; }
wrong=0
for file in $(find tools -name '*.c' -o -name '*.h' | grep -v '^tools/tasks/' | sort); do
    for name in $names; do
        grep -n "\"$name\"" "$file" /dev/null && wrong=1
    done
    grep -nE '(strcmp|strncmp|strstr)\([^)]*(->|\.)type\b' "$file" /dev/null && wrong=1
done
[ $wrong = 0 ] || echo "use task_of(o): what depends on the task belongs in its row of tools/tasks/tasks.def"
exit $wrong
