// SPDX-License-Identifier: LGPL-3.0-or-later
// The set: many small photographs in one file, mapped into memory.
//
// All numbers little-endian. Header of 64 bytes, pixels of one picture after the other, index,
// names:
//     0  8 bytes  "czset\r\n\032"      32  uint64  offset of the names
//     8  uint32   version, 1           40  uint64  bytes of the names
//    12  uint32   bytes of an entry    48  uint64  bytes of the file
//    16  uint64   number of pictures   56  uint64  hash of index and names
//    24  uint64   offset of the index
// An entry of 32 bytes: uint64 offset of the pixels, uint64 content hash, uint64 offset of the
// name among the names (UTF-8, ended by a zero), uint32 width, uint32 height. Pixels: encoded
// sRGB, 8 bit, three bytes a pixel, row by row without gaps.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

#define TRAIN_SET_MAX_SIDE 16384

typedef struct {
    int32_t width, height;
    uint64_t hash;      // of size and pixels (train_picture_hash)
    const char *name;   // where it came from
    const uint8_t *rgb; // height * width * 3
} TrainPicture;

// First eight bytes of SHA-256 over width, height (uint32, little-endian) and pixels.
uint64_t train_picture_hash(const uint8_t *rgb, int32_t width, int32_t height);

// ---- reading ------------------------------------------------------------------------------------

typedef struct TrainSet TrainSet;

// Whether a file begins as a set does; FALSE for what cannot be read, and for folders.
bool train_set_is(const char *path);

// Maps the file and checks every number in it against every other; pixels are not read. Errors:
// CZ_ERROR_IO, CZ_ERROR_FORMAT. A set may be read by any number of threads.
TrainSet *train_set_open(const char *path, GError **error);
void train_set_free(TrainSet *set); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainSet, train_set_free)

size_t train_set_n(const TrainSet *set);
uint64_t train_set_hash(const TrainSet *set); // of index and names: tells one set from another
TrainPicture train_set_picture(const TrainSet *set, size_t index); // borrowed from the set

// Whether a picture belongs to the share (0 to 1) that is held back for validation. Hangs on its
// content alone: the same picture answers the same in every set, and a larger share only adds.
bool train_picture_held_back(const TrainPicture *picture, double share);
// Indices of the pictures held back (or of all the others), ascending; the caller frees with
// g_free. *n may be 0, then the result is still not NULL.
uint32_t *train_set_split(const TrainSet *set, double share, bool held_back, size_t *n);

// ---- writing ------------------------------------------------------------------------------------

// Written to a temporary file in the same folder that is renamed when all is in it.
typedef struct TrainSetWriter TrainSetWriter;

TrainSetWriter *train_set_writer_new(const char *path, GError **error); // CZ_ERROR_IO
// The name is made valid UTF-8. After an error only train_set_writer_free() may follow.
bool train_set_writer_add(TrainSetWriter *writer, const TrainPicture *picture, GError **error);
// Takes out again what is not kept (keep: one for each picture added so far) and closes the gaps,
// as if it had never been added.
bool train_set_writer_keep(TrainSetWriter *writer, const bool *keep, GError **error);
// Index, names, header, sync, rename.
bool train_set_writer_finish(TrainSetWriter *writer, GError **error);
void train_set_writer_free(TrainSetWriter *writer); // removes what is unfinished; accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainSetWriter, train_set_writer_free)

G_END_DECLS
