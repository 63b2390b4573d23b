/* A run's folder belongs to one process at a time. What a killed one left half written is swept out by the
 * next. */
#include "tools/run/folder.h"
#include "core/file.h"
#include "tools/commands/command.h"
#include "tools/run/settings.h"
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool run_folder_has(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool name_files(run_folder *f, const options *o, rondo_error *error)
{
    arena *a = o->arena;
    f->path = o->output_folder;
    f->checkpoint = path_in(a, f->path, "checkpoint.safetensors");
    f->best = path_in(a, f->path, "best.safetensors");
    f->settings = path_in(a, f->path, "settings.yaml");
    f->tokenizer = path_in(a, f->path, "tokenizer.model");
    f->start = path_in(a, f->path, "start.safetensors");
    return (f->checkpoint && f->best && f->settings && f->tokenizer && f->start) ||
           fail_memory(error, strlen(f->path), "names of files");
}

/* The temporary files of writers (core/file.c) that were killed. */
static void sweep(const run_folder *f)
{
    char name[4096];
    DIR *folder = opendir(f->path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));)
        if (strstr(entry->d_name, ".part-") &&
            (size_t)snprintf(name, sizeof name, "%s/%s", f->path, entry->d_name) < sizeof name)
            unlink(name);
    if (folder)
        closedir(folder);
}

static bool find_run(run_folder *f, options *o, rondo_error *error)
{
    bool trained = run_folder_has(f->checkpoint);
    f->begun = run_folder_has(f->settings);
    if (trained && !f->begun)
        return fail(error, RONDO_MISMATCH,
                    "%s has a checkpoint but no settings.yaml that says of what; take another folder",
                    f->path);
    if (trained && !run_folder_has(f->tokenizer))
        return fail(error, RONDO_MISMATCH,
                    "%s has a checkpoint but not its subwords, tokenizer.model; put that file back, or take "
                    "another folder",
                    f->path);
    if (f->begun)
        return run_settings_adopt(o, f->settings, error);
    return !o->from || run_settings_adopt_from(o, path_in(o->arena, o->from, "settings.yaml"), error);
}

bool run_folder_open(run_folder *f, options *o, rondo_error *error)
{
    *f = (run_folder){.lock = -1};
    if (!o->output_folder)
        return fail(error, RONDO_ARGUMENT, "say where the run shall live: --output-folder FOLDER");
    if (!name_files(f, o, error))
        return false;
    f->made = !run_folder_has(f->path);
    if (!folder_make(f->path, error) || (f->lock = file_lock(f->path, error)) < 0)
        return false;
    sweep(f);
    return find_run(f, o, error);
}

void run_folder_close(run_folder *f)
{
    char lock[4096];
    bool empty = f->lock >= 0 && f->made && !run_folder_has(f->settings);
    if (empty && (size_t)snprintf(lock, sizeof lock, "%s/lock", f->path) < sizeof lock) {
        unlink(f->tokenizer); /* no run knows it */
        unlink(lock);
        rmdir(f->path);
    }
    file_unlock(f->lock);
    f->lock = -1;
}
