/* Folders: made with those above them, and locked. */
#pragma once
#include "core/status.h"

bool folder_make(const char *path, rondo_error *error); /* like mkdir -p */
/* An exclusive lock on FOLDER/lock (flock), which holds the number of the process and its file_token.
 * RONDO_MISMATCH names the process that has the lock, or says that the file there is not Rondo's. The
 * temporary files of a holder that was killed are removed, and nothing else: they are known by its token.
 * Returns a descriptor, −1: failed. */
int folder_lock(const char *folder, rondo_error *error);
void folder_unlock(int descriptor);
