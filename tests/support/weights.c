// SPDX-License-Identifier: LGPL-3.0-or-later
// Weights files of random numbers.
#include "weights.h"

#include <math.h>

#include <cz/rng.h>

const CzUnetParams test_weights_small = {1, {16, 16, 8, 8}, 1};

typedef struct {
    CzModelWriter *writer;
    CzRng rng;
} Filling;

static bool fill_tensor(void *user, const CzUnetTensor *tensor)
{
    Filling *filling = user;
    CzShape s = tensor->shape;
    size_t n = cz_shape_count(s);
    bool bias = g_str_has_suffix(tensor->name, ".bias");
    bool head = g_str_has_prefix(tensor->name, "head");
    float deviation = head ? 2e-3f : bias ? 0.1f : sqrtf(2.0f / (float)((size_t)s.c * s.h * s.w));
    g_autofree float *data = g_new(float, n);
    for (size_t i = 0; i < n; i++)
        data[i] = deviation * cz_rng_normal(&filling->rng);
    const int32_t dims[4] = {bias ? s.c : s.n, s.c, s.h, s.w};
    return cz_model_writer_add(filling->writer, tensor->name, bias ? 1 : 4, dims, data, CZ_F16,
                               NULL);
}

char *test_weights_write(const char *folder, const char *name, const CzUnetParams *params,
                         const char *key, const char *value)
{
    Filling filling = {cz_model_writer_new(), cz_rng(5, 0)};
    g_assert_true(cz_unet_each(params, fill_tensor, &filling));
    cz_unet_write(params, filling.writer);
    cz_model_writer_meta(filling.writer, "colorize.working_sizes", "64,96");
    if (key)
        cz_model_writer_meta(filling.writer, key, value);
    char *path = g_build_filename(folder, name, NULL);
    g_assert_true(cz_model_writer_commit(filling.writer, path, NULL));
    cz_model_writer_free(filling.writer);
    return path;
}
