// SPDX-License-Identifier: LGPL-3.0-or-later
// How a training starts: random filters, and an encoder that has seen ImageNet.
#include "model/net.h"

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/rng.h>

#include <math.h>
#include <string.h>

// A small head starts near grey, from where the loss falls faster than from random colours.
#define HEAD_SCALE 0.1f

// ImageNet's encoder takes (v - 127) / 128 of 0..255 in three colours; ours takes x = L*/50 - 1, so
// that v = 255 (x + 1) / 2 and (v - 127) / 128 = STEM_SCALE x + STEM_SHIFT.
#define STEM_SCALE  (0.5f * 255 / 128)
#define STEM_SHIFT  ((127.5 - 127) / 128)
#define STEM_COLORS 3

typedef struct {
    CzStore *store;
    const CzModelFile *encoder; // NULL: all random
    uint64_t seed, stream;
    GError **error;
} Start;

// The encoder from scratch: He et al. 2015, deviation sqrt(2 / inputs) keeps the activations' size
// under ReLU. The decoder adds residuals and skips to them: with the same numbers its first outputs
// are twenty times too large, with sqrt(1 / (3 inputs)) (PyTorch's default) they are about right.
static void fill_random(float *data, const CzUnetTensor *tensor, CzRng rng)
{
    CzShape s = tensor->shape;
    size_t n = cz_shape_count(s);
    float constant;
    if (cz_net_start_value(tensor->name, &constant)) {
        for (size_t i = 0; i < n; i++)
            data[i] = constant;
        return;
    }
    float gain = tensor->encoder ? 2 : 1 / 3.0f;
    float deviation = sqrtf(gain / ((float)s.c * (float)s.h * (float)s.w));
    if (strcmp(tensor->name, "head.weight") == 0)
        deviation *= HEAD_SCALE;
    for (size_t i = 0; i < n; i++)
        data[i] = deviation * cz_rng_normal(&rng);
}

// The encoder's tensor of this name and these file dimensions (bias: only the first).
static const CzTensor *find(const CzModelFile *file, const char *name, CzShape dims, GError **error)
{
    const CzTensor *tensor = cz_model_file_find(file, name);
    const int32_t wanted[4] = {dims.n, dims.c, dims.h, dims.w};
    int rank = g_str_has_suffix(name, ".bias") ? 1 : 4;
    bool fits = tensor && tensor->rank == rank;
    for (int i = 0; i < rank && fits; i++)
        fits = tensor->dims[i] == wanted[i];
    if (fits)
        return tensor;
    g_autofree char *text = cz_shape_format(dims);
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: tensor '%s': expected %s, found %s",
                cz_model_file_path(file), name, text, tensor ? "another shape" : "none");
    return NULL;
}

// Any tensor but the stem's. Their filters are 1x1 or depthwise, so that file order (out, in, kh,
// kw) is memory order (out, kh, kw, in).
static bool read_plain(const Start *start, float *data, const CzUnetTensor *tensor)
{
    CzShape dims = tensor->shape;
    if (g_str_has_suffix(tensor->name, ".bias"))
        dims = cz_shape(dims.c, 1, 1, 1);
    const CzTensor *found =
        find(start->encoder, tensor->name + strlen("encoder."), dims, start->error);
    if (found)
        cz_tensor_to_f32(found, data);
    return found != NULL;
}

enum { STEM_WIDTH = 32, STEM_TAPS = 9, STEM_FILTER = STEM_WIDTH * STEM_COLORS * STEM_TAPS };

// The three colours' filters summed into one for grey; further inputs begin without influence.
static void fold_filter(float *data, CzShape s, const float *filter)
{
    memset(data, 0, cz_shape_count(s) * sizeof *data);
    for (size_t o = 0; o < STEM_WIDTH; o++)
        for (size_t k = 0; k < STEM_TAPS; k++)
            for (size_t i = 0; i < STEM_COLORS; i++)
                data[(o * STEM_TAPS + k) * s.c] +=
                    STEM_SCALE * filter[(o * STEM_COLORS + i) * STEM_TAPS + k];
}

static void fold_bias(float *data, const float *bias, const float *filter)
{
    const size_t n_inputs = STEM_COLORS * STEM_TAPS;
    for (size_t o = 0; o < STEM_WIDTH; o++) {
        double sum = 0;
        for (size_t i = 0; i < n_inputs; i++)
            sum += filter[o * n_inputs + i];
        data[o] = (float)(bias[o] + STEM_SHIFT * sum);
    }
}

static bool read_stem(const Start *start, float *data, const CzUnetTensor *tensor)
{
    float filter[STEM_FILTER], bias[STEM_WIDTH];
    const CzTensor *found =
        find(start->encoder, "stem.weight", cz_shape(STEM_WIDTH, STEM_COLORS, 3, 3), start->error);
    if (!found)
        return false;
    cz_tensor_to_f32(found, filter);
    if (g_str_has_suffix(tensor->name, ".weight")) {
        fold_filter(data, tensor->shape, filter);
        return true;
    }
    found = find(start->encoder, "stem.bias", cz_shape(STEM_WIDTH, 1, 1, 1), start->error);
    if (!found)
        return false;
    cz_tensor_to_f32(found, bias);
    fold_bias(data, bias, filter);
    return true;
}

static bool start_tensor(void *user, const CzUnetTensor *tensor)
{
    Start *start = user;
    size_t n_bytes;
    if (!cz_shape_bytes(tensor->shape, CZ_F32, &n_bytes, start->error))
        return false;
    float *data = cz_memory_alloc(n_bytes, tensor->name, start->error);
    if (!data)
        return false;
    bool ok = true;
    // A stream each, drawn or not: the decoder starts equal with and without an encoder's file.
    CzRng rng = cz_rng(start->seed, start->stream++);
    if (!start->encoder || !tensor->encoder)
        fill_random(data, tensor, rng);
    else if (g_str_has_prefix(tensor->name, "encoder.stem."))
        ok = read_stem(start, data, tensor);
    else
        ok = read_plain(start, data, tensor);
    ok = ok && cz_store_add(start->store, tensor->name, tensor->shape, data, start->error);
    cz_memory_free(data);
    return ok;
}

bool cz_unet_start(CzStore *store, const CzUnetParams *params, const char *encoder_path,
                   uint64_t seed, GError **error)
{
    g_autoptr(CzModelFile) encoder = NULL;
    if (encoder_path && !(encoder = cz_model_file_open(encoder_path, error)))
        return false;
    g_autofree char *fault = cz_unet_fault(params);
    GError *cause = NULL;
    Start start = {.store = store, .encoder = encoder, .seed = seed, .error = &cause};
    if (cz_unet_each(params, start_tensor, &start))
        return true;
    if (cause)
        g_propagate_error(error, cause);
    else
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "network: %s", fault ? fault : "none");
    return false;
}
