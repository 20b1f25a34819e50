// SPDX-License-Identifier: LGPL-3.0-or-later
// Photographs from files and memory through libvips: JPEG, PNG, TIFF and WebP, nothing else.
//
// Any thread, several at once. A broken or cut-off file is an error, never half a picture.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

G_BEGIN_DECLS

struct _VipsImage;

// Starts libvips: one thread to an image, no cache of operations, no warnings on stderr. Call it
// before anything else here; again is harmless. CZ_ERROR_BACKEND.
bool train_vips_start(GError **error);

// libvips' error text of this moment as an error of ours: "cannot VERB 'NAME': TEXT".
void train_vips_error(GError **error, int code, const char *verb, const char *name);

// Header only; pixels are decoded when they are asked for, in sequence, top to bottom. The bytes
// must outlive the image. The caller unrefs. CZ_ERROR_IO (no such file), CZ_ERROR_FORMAT.
struct _VipsImage *train_image_open_file(const char *path, GError **error);
struct _VipsImage *train_image_open_memory(const void *bytes, size_t n_bytes, const char *name,
                                           GError **error);

#define TRAIN_PHOTO_MAX_PIXELS (INT64_C(400) * 1000 * 1000)

// Encoded sRGB, 8 bit, upright, transparency laid on white.
typedef struct {
    int32_t width, height;
    uint8_t *rgb;                  // height * width * 3
    int32_t src_width, src_height; // of the file, before any scaling
} TrainPhoto;

typedef struct {
    int32_t short_side;     // scaled down (Lanczos) to this shorter side, never up; 0: as it is
    int32_t min_short_side; // *photo has only its size (rgb NULL) if the file is smaller; 0: none
} TrainDecodeParams;

// params may be NULL. The photo is the caller's to clear; on failure it is cleared.
bool train_decode_file(TrainPhoto *photo, const char *path, const TrainDecodeParams *params,
                       GError **error);
bool train_decode_memory(TrainPhoto *photo, const void *bytes, size_t n_bytes, const char *name,
                         const TrainDecodeParams *params, GError **error);
void train_photo_clear(TrainPhoto *photo); // accepts a zeroed photo

G_END_DECLS
