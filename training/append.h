// SPDX-License-Identifier: LGPL-3.0-or-later
// Files that only grow (logs): whole records or nothing, and a disk that is full stops no training.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef struct {
    char *path;
    int fd;        // -1: closed
    int64_t size;  // bytes, all of whole records
    int64_t lines; // of them, for text
    bool told;     // that it cannot be written
} TrainAppend;

#define TRAIN_KEEP_ALL (-1)

// Opens or makes the file and cuts off what lies beyond keep_bytes and beyond keep_lines lines
// (TRAIN_KEEP_ALL: nothing is; a file that is shorter stays as it is). CZ_ERROR_IO.
bool train_append_open(TrainAppend *file, const char *path, int64_t keep_bytes, int64_t keep_lines,
                       GError **error);
void train_append_close(TrainAppend *file); // accepts a zeroed and a closed one
// One record, all of it or nothing. Where that fails, stderr hears it once, and the next record is
// tried again. False: this one is lost.
bool train_append(TrainAppend *file, const void *data, size_t n_bytes);
void train_append_sync(TrainAppend *file); // down to the disk, as far as the disk can
