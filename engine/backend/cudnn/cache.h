// SPDX-License-Identifier: LGPL-3.0-or-later
// What was found out about this machine, kept in the user's cache folder: a text file of lines
// "KEY <tab> VALUE", the newest last, both escaped as in C.
#pragma once

#include <stdbool.h>

#include <glib.h>

typedef struct {
    const char *name;   // in the folder colorize/
    const char *header; // its first line; another one means another format, which holds nothing
    guint max_lines;    // the oldest are dropped
} CacheFile;

// NULL: not known. A file that is missing, damaged or not readable holds nothing. The caller frees.
char *cache_find(const CacheFile *file, const char *key);

// values: char * by char *. Written under another name and renamed; of two programs that write at
// once one may lose its news. A cache that cannot be written costs time, and no more.
void cache_keep(const CacheFile *file, GHashTable *values);
