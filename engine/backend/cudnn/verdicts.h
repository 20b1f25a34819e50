// SPDX-License-Identifier: LGPL-3.0-or-later
// Verdicts of first uses, kept in the user's cache folder from one start to the next.
#pragma once

#include <stdbool.h>

typedef enum {
    VERDICT_NONE,   // not known, or no longer believed
    VERDICT_WORKS,  //
    VERDICT_BROKEN, // with a sentence
    VERDICT_FAILS,  // with a sentence; believed for a day
} Verdict;

// A file that is missing, damaged, or not readable holds no verdicts. *sentence: NULL or to be
// freed.
Verdict verdict_find(const char *key, char **sentence);

// Written under another name and renamed. A cache that cannot be written costs time, and no more.
void verdict_keep(const char *key, Verdict verdict, const char *sentence);
