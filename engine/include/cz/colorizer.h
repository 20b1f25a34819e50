// SPDX-License-Identifier: LGPL-3.0-or-later
// The facade: a photograph in, a photograph in colour out, in two calls.
//
//     predict   photograph -> chroma field and features    network; slow; to be kept
//     apply     field x settings x rows -> rows             per pixel; fast; bounded memory
//
// Both run on one long-lived engine thread of the colorizer (OpenMP keeps a pool per thread); the
// callbacks of CzPhoto and CzProgress are called on the CALLER's thread, which waits meanwhile.
#pragma once

#include <cz/backend.h>
#include <cz/field.h>
#include <cz/settings.h>

G_BEGIN_DECLS

// Rows are encoded sRGB, three floats a pixel, top first. Photographs are read through their L*,
// so that grey, sepia and colour ones are all welcome.
typedef struct {
    int32_t width, height; // at least 1
    bool (*read_rows)(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error);
    bool (*write_rows)(void *user, int32_t y, int32_t n_rows, const float *rgb, GError **error);
    void *user;
} CzPhoto;

typedef struct CzColorizer CzColorizer;
typedef struct CzChroma CzChroma;

typedef struct {
    const char *weights; // NULL or "": the bundled ones (cz_weights_bundled)
    const char *device;  // NULL: auto
    // The network's activations; zero is F32. F16 is for GPUs: on a CPU it is F32, for it is asked for
    // to be fast, and so it is from there on where the network's numbers go beyond it. A GPU that does
    // not run a type (BF16 before sm_80) is refused (CZ_ERROR_BACKEND in the first predict), or left
    // for the next device if device is "auto".
    CzDtype precision;
    int threads; // 0: all available cores
} CzColorizerOptions;

// CZ_ERROR_IO, FORMAT, MODEL (weights), BACKEND (device), MEMORY.
CzColorizer *cz_colorizer_new(const CzColorizerOptions *options, GError **error);
void cz_colorizer_free(CzColorizer *colorizer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzColorizer, cz_colorizer_free)
const CzDeviceInfo *cz_colorizer_device(const CzColorizer *colorizer);
// Once after a device was left for another, or F16 for F32: a sentence on what and why, for the user.
// NULL: nothing new. The caller frees. Not while a prediction runs.
char *cz_colorizer_notice(CzColorizer *colorizer);

// Reads all rows once (twice the band is all that is held), runs the network at the weights'
// working sizes. progress 0 to 1, may be NULL. The chroma is the caller's.
// A device that turns out not to compute the network is left for the next one if it was chosen by
// "auto", one out of memory for the CPU: cz_colorizer_device then names the new one.
// CZ_ERROR_CANCELLED, BACKEND, MEMORY, NUMERIC, or what read_rows said.
// tile_size: as in CzSettings. With tiles the network also sees overlapping parts of a finer picture
// (8 megapixels at most) and gives the detail, the whole the large areas; one network run for each.
// Automatic is none: on photographs of 10 to 22 megapixels, tiles of 1000 pixels changed the error
// in ab by +12, +1 and -3 %, and colors become livelier and less steady.
CzChroma *cz_colorizer_predict(CzColorizer *colorizer, const CzPhoto *photo, int32_t tile_size,
                               const CzProgress *progress, GError **error);
void cz_chroma_free(CzChroma *chroma);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzChroma, cz_chroma_free)
const CzField *cz_chroma_field(const CzChroma *chroma); // borrowed
int32_t cz_chroma_n_tiles(const CzChroma *chroma);      // 0: the whole at once

// Reads rows, colours them, writes rows, band by band. L* of what is written is L* of what was
// read, up to the rounding of float. photo may be the same picture in another size (a preview).
// CZ_ERROR_ARGUMENT (settings), CANCELLED, MEMORY, or what read_rows or write_rows said.
bool cz_chroma_apply(const CzChroma *chroma, CzColorizer *colorizer, const CzSettings *settings, const CzPhoto *photo,
                     const CzProgress *progress, GError **error);
// The same for rows in memory: n_rows rows from row y on of the photograph that chroma is for.
// Thread-safe; uses the calling thread only. rgb_out may be rgb.
void cz_chroma_apply_rows(const CzChroma *chroma, const CzSettings *settings, int32_t y, int32_t n_rows,
                          const float *rgb, float *rgb_out);

// A part of the photograph in memory, shown in any size: photo_w x photo_h is the size in which the
// whole would be shown; the part begins at x, y of that. Thread-safe; uses the calling thread only.
typedef struct {
    int32_t photo_w, photo_h, x, y, width, height;
} CzPart;
void cz_chroma_apply_part(const CzChroma *chroma, const CzSettings *settings, const CzPart *part, const float *rgb,
                          float *rgb_out);
// How many pixels of the part get less chroma than the field, with these settings, gives them,
// because sRGB has no such color at their L*. Thread-safe; uses the calling thread only.
size_t cz_chroma_count_reduced(const CzChroma *chroma, const CzSettings *settings, const CzPart *part,
                               const float *rgb);

// Path of weights/photo.safetensors: COLORIZE_WEIGHTS, beside the build, or installed. The caller frees.
// NULL with CZ_ERROR_IO naming the places looked at.
char *cz_weights_bundled(GError **error);

G_END_DECLS
