// SPDX-License-Identifier: LGPL-3.0-or-later
// Pictures by name: folders with all below them, single files, and archives (tar, also packed;
// zip).
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

#define TRAIN_LIST_MAX_BYTES ((size_t)512 << 20) // of one picture's file

typedef struct {
    const char *name;     // path, or "archive.tar: member"
    const uint8_t *bytes; // the file's; NULL when it could not be read
    size_t n_bytes;
    const char *problem; // why it could not be read, else NULL
    // Above 0: this is no picture but a folder or an archive of which so many were passed over (see
    // below); bytes is NULL, problem a whole sentence.
    size_t n_passed_over;
} TrainCandidate;

// Called for one picture after the other; all of the candidate lives until it returns. FALSE with
// error set stops.
typedef bool (*TrainVisit)(void *user, const TrainCandidate *candidate, GError **error);

// Visits every picture of the paths in order; what a folder holds comes in order of the names, what
// an archive holds as it lies there. In folders and archives only names that end like a picture's
// (.jpg .jpeg .png .tif .tiff .webp) count, and archives in folders are opened, too; a file named
// itself is a picture whatever it is called. Links to folders are not followed. A picture that
// cannot be read is visited with its problem; a path that does not exist (checked for all paths
// before the first visit), a folder or an archive that cannot be read is CZ_ERROR_IO or
// CZ_ERROR_FORMAT.
//
// Pairs ("color/7.jpg" and "gray/7.jpg", as data sets for colorization have them; also "colour" and
// "grey"): where both lie side by side, in a folder or an archive, the grey one is not visited. The
// visitor is told once a folder or archive how many there were.
bool train_list_visit(const char *const *paths, size_t n_paths, TrainVisit visit, void *user,
                      GError **error);

G_END_DECLS
