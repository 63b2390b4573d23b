/* The folder of a run belongs to one process at a time, which overwrites and removes only what a run made
 * there. */
#include "tools/run/folder.h"
#include "core/file.h"
#include "core/folder.h"
#include "tools/commands/command.h"
#include "tools/run/settings.h"
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
    f->previous = path_in(a, f->path, "previous.safetensors");
    f->diverged = path_in(a, f->path, "diverged.safetensors");
    f->best = path_in(a, f->path, "best.safetensors");
    f->settings = path_in(a, f->path, "settings.yaml");
    f->tokenizer = path_in(a, f->path, "tokenizer.model");
    f->start = path_in(a, f->path, "start.safetensors");
    f->peak = path_in(a, f->path, "peak.txt");
    f->lock_file = path_in(a, f->path, "lock");
    return !a->failed || fail_memory(error, strlen(f->path), "names of files");
}

/* A folder without settings is not a run, and files in it that a run would overwrite are not Rondo's. */
static bool check_unused(const run_folder *f, rondo_error *error)
{
    const char *const files[] = {f->checkpoint, f->previous, f->diverged, f->best, f->start};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (run_folder_has(files[i]))
            return fail(error, RONDO_MISMATCH,
                        "%s has a %s but no settings.yaml to go with it; choose another folder", f->path,
                        strrchr(files[i], '/') + 1);
    return true;
}

/* A process may have been killed between renaming the last checkpoint and writing the next one. */
static bool find_checkpoint(const run_folder *f, rondo_error *error)
{
    if (run_folder_has(f->checkpoint) || !run_folder_has(f->previous))
        return true;
    return rename(f->previous, f->checkpoint) == 0 || fail_system(error, f->previous, "rename");
}

static bool find_run(run_folder *f, options *o, rondo_error *error)
{
    f->begun = run_folder_has(f->settings);
    if (!f->begun)
        return check_unused(f, error) &&
               (!o->from || run_settings_adopt_from(o, path_in(o->arena, o->from, "settings.yaml"), error));
    if (!find_checkpoint(f, error))
        return false;
    if (run_folder_has(f->checkpoint) && !run_folder_has(f->tokenizer))
        return fail(error, RONDO_MISMATCH,
                    "%s has a checkpoint but not its subwords, tokenizer.model; put that file back, or "
                    "choose another folder",
                    f->path);
    return run_settings_adopt(o, f->settings, error);
}

bool run_folder_open(run_folder *f, options *o, rondo_error *error)
{
    *f = (run_folder){.lock = -1};
    if (!o->output_folder)
        return fail(error, RONDO_ARGUMENT, "name the folder of the run: --output-folder FOLDER");
    if (!name_files(f, o, error))
        return false;
    f->made = !run_folder_has(f->path);
    if (!folder_make(f->path, error) || (f->lock = folder_lock(f->path, error)) < 0)
        return false;
    return find_run(f, o, error);
}

/* This process made the folder, and it has no run. */
static bool is_empty(const run_folder *f)
{
    return f->lock >= 0 && f->made && !run_folder_has(f->settings);
}

void run_folder_end_at_once(const run_folder *f)
{
    bool empty = is_empty(f);
    signals_end_at_once("rondo train: stopped\n", empty ? f->lock_file : NULL, empty ? f->path : NULL);
}

void run_folder_close(run_folder *f)
{
    if (is_empty(f)) {
        unlink(f->tokenizer);
        unlink(f->start);
        unlink(f->lock_file);
        rmdir(f->path);
    }
    folder_unlock(f->lock);
    f->lock = -1;
}
