// SPDX-License-Identifier: LGPL-3.0-or-later
// The first use of a foreign library on a machine happens in a child process.
//
// A driver or a library that does not fit can end the process that calls it: cuDNN calls abort()
// where it misses a library, and crashes on some graphs. The user's GIMP plug-in shall not die of
// that. So the first use is tried in a child, and its verdict is kept in the user's cache folder
// (colorize/cuda-verdicts), where later starts find it and try nothing.
//
// The child is a fork without exec. A helper program would be cleaner, but a module has no place of
// its own for one, and /proc/self/exe is the host, which cannot be started anew. What follows from
// that:
// - CUDA does not work in a child whose parent has initialised the driver: the first use must come
//   before cuInit in the parent, and everything that the probe does to the driver is done again by
//   the parent afterwards.
// - The host may have other threads (GTK's, OpenMP's), which do not exist in the child. glibc makes
//   malloc and the loader usable there; any other lock that was held at the time of the fork stays
//   held. The probe therefore calls the foreign libraries, malloc, and no OpenMP; a child that
//   hangs all the same is ended at the time limit.
// - The child leaves by _exit: nothing of the host's is flushed, and no atexit function runs.
#pragma once

#include <stdbool.h>

#include <cz/backend.h>

typedef enum {
    FIRST_USE_WORKS,     // kept
    FIRST_USE_WRONG,     // kept, with the error's words: it answers, but not what is right
    FIRST_USE_FAILS,     // kept for a day, with the error's words
    FIRST_USE_UNDECIDED, // nothing to try here (no device): no verdict, and tried again next time
} FirstUseAnswer;

typedef struct {
    const char *what; // begins the sentences: "cuDNN 9.19.0 at /usr/lib/libcudnn.so.9"
    const char *key;  // all that the verdict hangs on; any text
    FirstUseAnswer (*probe)(void *user, GError **error); // called in the child only
    void *user;
    int limit_ms; // 0: 30 s
} FirstUse;

// FALSE with CZ_ERROR_BACKEND if the use failed, ended its process, or took too long, now or as the
// cache knows. TRUE also where no child can be started, and where the probe had nothing to decide.
//
// Only a crash and wrong answers are believed for good. All other failures are for a day, as what
// they come from may pass: a GPU that somebody else holds, a machine that is busy. Death by a
// signal that others send (interrupt, termination, out of memory) is no verdict on the library:
// FALSE, and tried again next time. COLORIZE_CUDA_FORGET=1: what the cache knows is ignored, and
// replaced.
bool first_use_ok(const CzHost *host, const FirstUse *use, GError **error);
