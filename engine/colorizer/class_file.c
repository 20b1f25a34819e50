// SPDX-License-Identifier: LGPL-3.0-or-later
// The head of colour classes, in a weights file.
#include <math.h>

#include <cz/error.h>

#include "color/class_head.h"

static bool refuse(const CzModelFile *file, const char *what, const char *expected, GError **error)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: %s: expected %s", cz_model_file_path(file),
                what, expected);
    return false;
}

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

bool cz_class_head_read(const CzModelFile *file, int32_t channels, CzClassHead **head,
                        GError **error)
{
    const CzTensor *weight = cz_model_file_find(file, CZ_CLASS_WEIGHT);
    const CzTensor *bias = cz_model_file_find(file, CZ_CLASS_BIAS);
    *head = NULL;
    if (!weight && !bias)
        return true;
    if (!weight || weight->rank != 4 || weight->dims[0] != CZ_N_CLASSES ||
        weight->dims[1] != channels || weight->dims[2] != 1 || weight->dims[3] != 1)
        return refuse(file, CZ_CLASS_WEIGHT, "258 filters of 1 x 1 on the features of the network",
                      error);
    if (!bias || bias->rank != 1 || bias->dims[0] != CZ_N_CLASSES)
        return refuse(file, CZ_CLASS_BIAS, "258 numbers", error);
    g_autoptr(CzClassHead) read = cz_class_head_new(channels, error);
    if (!read)
        return false;
    cz_tensor_to_f32(weight, read->weight);
    cz_tensor_to_f32(bias, read->bias);
    if (!all_finite(read->weight, CZ_N_CLASSES * (size_t)channels))
        return refuse(file, CZ_CLASS_WEIGHT, "finite numbers", error);
    if (!all_finite(read->bias, CZ_N_CLASSES))
        return refuse(file, CZ_CLASS_BIAS, "finite numbers", error);
    *head = g_steal_pointer(&read);
    return true;
}
