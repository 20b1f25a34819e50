// SPDX-License-Identifier: LGPL-3.0-or-later
// The trunk on a device, one plan at a time.
#include "eye.h"

#include <math.h>
#include <string.h>

#include <cz/memory.h>
#include <cz/ops.h>

#define PREFIX "eye."
#define BOTTOM (CZ_ENCODER_LEVELS - 1)

struct TrainEye {
    CzEngineDevice *device;
    CzStore *store;
    int32_t width, height; // of the plan; 0: there is none
    CzGraph *graph;
    CzPlan *plan;
    CzValue input, levels[CZ_ENCODER_LEVELS];
    float *values; // the picture as the trunk wants it
};

static void forget_plan(TrainEye *eye)
{
    g_clear_pointer(&eye->plan, cz_plan_free);
    g_clear_pointer(&eye->graph, cz_graph_free);
    g_clear_pointer(&eye->values, cz_memory_free);
    eye->width = eye->height = 0;
}

TrainEye *train_eye_open(const char *path, const char *device, GError **error)
{
    g_autoptr(TrainEye) eye = g_new0(TrainEye, 1);
    eye->device = cz_device_open(device, error);
    eye->store = eye->device ? cz_store_new(eye->device) : NULL;
    if (!eye->store || !cz_encoder_load(eye->store, path, PREFIX, CZ_ENCODER_LEVELS, error))
        return NULL;
    return g_steal_pointer(&eye);
}

void train_eye_free(TrainEye *eye)
{
    if (!eye)
        return;
    forget_plan(eye);
    cz_store_free(eye->store);
    cz_device_close(eye->device);
    g_free(eye);
}

static bool make_plan(TrainEye *eye, int32_t width, int32_t height, GError **error)
{
    const CzPlanOptions options = {.frozen = true};
    if (eye->width == width && eye->height == height)
        return true;
    forget_plan(eye);
    eye->graph = cz_graph_new();
    eye->input = cz_input(eye->graph, "rgb", cz_shape(1, 3, height, width));
    cz_encoder_build(eye->graph, eye->input, PREFIX, eye->levels, CZ_ENCODER_LEVELS);
    eye->values =
        cz_memory_alloc((size_t)width * (size_t)height * 3 * sizeof(float), "a picture", error);
    eye->plan = eye->values ? cz_plan_new(eye->device, eye->store, eye->graph, eye->levels,
                                          CZ_ENCODER_LEVELS, &options, error)
                            : NULL;
    if (!eye->plan)
        return false;
    eye->width = width;
    eye->height = height;
    return true;
}

static size_t places(const TrainEye *eye, int level)
{
    CzShape shape = cz_graph_shape(eye->graph, eye->levels[level]);
    return (size_t)shape.h * (size_t)shape.w;
}

static void normalise(float *values, size_t n_places, size_t n_channels)
{
    for (size_t i = 0; i < n_places; i++, values += n_channels) {
        float sum = 0;
        for (size_t c = 0; c < n_channels; c++)
            sum += values[c] * values[c];
        float factor = 1 / (sqrtf(sum) + 1e-10f);
        for (size_t c = 0; c < n_channels; c++)
            values[c] *= factor;
    }
}

static void sum_up(TrainSight *sight)
{
    memset(sight->summary, 0, sizeof sight->summary);
    for (size_t i = 0; i < sight->n_places[BOTTOM]; i++)
        for (size_t c = 0; c < TRAIN_EYE_VALUES; c++)
            sight->summary[c] += sight->levels[BOTTOM][i * TRAIN_EYE_VALUES + c];
    for (size_t c = 0; c < TRAIN_EYE_VALUES; c++)
        sight->summary[c] /= (float)sight->n_places[BOTTOM];
}

static bool read_level(const TrainEye *eye, int level, TrainSight *sight, GError **error)
{
    size_t n_channels = (size_t)cz_encoder_widths[level], n = places(eye, level) * n_channels;
    if (sight->n_places[level] * n_channels != n) {
        cz_memory_free(sight->levels[level]);
        sight->levels[level] = cz_memory_alloc(n * sizeof(float), "features", error);
        sight->n_places[level] = sight->levels[level] ? n / n_channels : 0;
    }
    return sight->levels[level] &&
           cz_plan_read(eye->plan, eye->levels[level], sight->levels[level], n, error);
}

bool train_eye_see(TrainEye *eye, const TrainImage *picture, TrainSight *sight, GError **error)
{
    size_t n = (size_t)picture->width * (size_t)picture->height * 3;
    if (!make_plan(eye, picture->width, picture->height, error))
        return false;
    for (size_t i = 0; i < n; i++)
        eye->values[i] = CZ_ENCODER_SCALE * (float)picture->rgb[i] / 255 + CZ_ENCODER_SHIFT;
    bool done = cz_plan_write(eye->plan, eye->input, eye->values, n, error) &&
                cz_plan_run(eye->plan, NULL, error);
    for (int level = 0; done && level < CZ_ENCODER_LEVELS; level++)
        done = read_level(eye, level, sight, error);
    if (!done)
        return false;
    sum_up(sight);
    for (int level = 0; level < CZ_ENCODER_LEVELS; level++)
        normalise(sight->levels[level], sight->n_places[level], (size_t)cz_encoder_widths[level]);
    return true;
}

void train_sight_clear(TrainSight *sight)
{
    for (int level = 0; level < CZ_ENCODER_LEVELS; level++)
        cz_memory_free(sight->levels[level]);
    memset(sight, 0, sizeof *sight);
}

double train_sight_distance(const TrainSight *a, const TrainSight *b)
{
    double total = 0;
    for (int level = 0; level < CZ_ENCODER_LEVELS; level++) {
        size_t n_channels = (size_t)cz_encoder_widths[level];
        double sum = 0;
        for (size_t i = 0; i < a->n_places[level]; i++) {
            const float *x = a->levels[level] + i * n_channels;
            const float *y = b->levels[level] + i * n_channels;
            float square = 0;
            for (size_t c = 0; c < n_channels; c++)
                square += (x[c] - y[c]) * (x[c] - y[c]);
            sum += square;
        }
        total += sum / (double)MAX(a->n_places[level], 1);
    }
    return total;
}
