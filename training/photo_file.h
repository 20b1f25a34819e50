// SPDX-License-Identifier: LGPL-3.0-or-later
// A user's photograph from a file to a file through libvips, as the engine's CzPhoto.
//
// Kept where the target's format can: size, 8 or 16 bit, transparency, ICC profile (of RGB
// pictures), EXIF, XMP, resolution. Memory: the decoded original and the result at their own depth.
#pragma once

#include <cz/colorizer.h>

typedef struct TrainPhotoFile TrainPhotoFile;

// Decodes fully: a damaged file is an error here (CZ_ERROR_IO, FORMAT, MEMORY), not half a picture
// later.
TrainPhotoFile *train_photo_file_open(const char *path, GError **error);
void train_photo_file_free(TrainPhotoFile *file); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainPhotoFile, train_photo_file_free)

// Rows in encoded sRGB: read_rows gives the photograph, write_rows takes the result. Borrowed.
const CzPhoto *train_photo_file_photo(TrainPhotoFile *file);

// Writes the result in the format that path's ending names (png, jpg, tif, webp), atomically.
bool train_photo_file_save(TrainPhotoFile *file, const char *path, GError **error);
// NULL if path's ending is none of those; else the ending.
const char *train_photo_file_format(const char *path);
