// SPDX-License-Identifier: LGPL-3.0-or-later
// A small network on its device, a batch to learn, and what a store holds in one line.
#pragma once

#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/memory.h>
#include <cz/rng.h>

#include "step.h"

enum { STEP_BATCH = 2, STEP_CROP = 32, STEP_PIXELS = STEP_BATCH * STEP_CROP * STEP_CROP };

typedef struct {
    float lightness[STEP_PIXELS], chroma[STEP_PIXELS / 2];
} Batch;

typedef struct {
    CzEngineDevice *device;
    CzStore *store;
    TrainRecipe recipe;
    TrainStep *step;
} Bench;

// recipes/smoke.conf at the smallest size.
static inline TrainRecipe small_recipe(void)
{
    g_autofree char *path = g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training",
                                             "recipes", "smoke.conf", NULL);
    g_autoptr(GError) error = NULL;
    TrainRecipe recipe;

    train_recipe_init(&recipe);
    train_recipe_load(&recipe, path, &error);
    g_assert_no_error(error);
    recipe.batch = STEP_BATCH;
    recipe.crop = STEP_CROP;
    return recipe;
}

// Blobs of light whose colour hangs on how light they are: easy to learn.
static inline void make_batch(Batch *batch, uint64_t seed)
{
    CzRng rng = cz_rng(seed, 5);

    for (int n = 0; n < STEP_BATCH; n++) {
        float u = 1 + cz_rng_uniform(&rng), v = 1 + cz_rng_uniform(&rng);

        for (int i = 0; i < STEP_CROP * STEP_CROP; i++) {
            float x = (float)(i % STEP_CROP), y = (float)(i / STEP_CROP);
            float light = sinf(0.1f * u * x + (float)n) * cosf(0.15f * v * y);
            int at = (n * STEP_CROP / 2 + i / STEP_CROP / 2) * STEP_CROP / 2 + i % STEP_CROP / 2;

            batch->lightness[n * STEP_CROP * STEP_CROP + i] = light;
            batch->chroma[2 * at] = 0.3f * light;
            batch->chroma[2 * at + 1] = 0.1f - 0.2f * light;
        }
    }
}

static inline void bench_open(Bench *bench, const TrainRecipe *recipe)
{
    g_autoptr(GError) error = NULL;

    *bench = (Bench){.recipe = *recipe};
    bench->device = cz_device_open("cpu", &error);
    g_assert_no_error(error);
    bench->store = cz_store_new(bench->device);
}

// The recipe must not move afterwards: the step keeps a pointer to it.
static inline void bench_build(Bench *bench)
{
    g_autoptr(GError) error = NULL;

    bench->step = train_step_new(bench->device, bench->store, &bench->recipe, false, &error);
    g_assert_no_error(error);
}

static inline void bench_start(Bench *bench, const TrainRecipe *recipe)
{
    g_autoptr(GError) error = NULL;

    bench_open(bench, recipe);
    train_step_start(bench->store, &bench->recipe, &error);
    g_assert_no_error(error);
    bench_build(bench);
}

static inline void bench_close(Bench *bench)
{
    train_step_free(bench->step);
    cz_store_free(bench->store);
    cz_device_close(bench->device);
    memset(bench, 0, sizeof *bench);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Bench, bench_close)

static inline TrainScalars bench_run(Bench *bench, const Batch *batch, int64_t index)
{
    g_autoptr(GError) error = NULL;
    TrainScalars scalars = {0};

    train_step_run(bench->step, batch->lightness, batch->chroma, index, &scalars, &error);
    g_assert_no_error(error);
    return scalars;
}

// A tensor of the store; the caller frees with cz_memory_free.
static inline float *read_tensor(CzStore *store, const char *name, size_t *n)
{
    g_autoptr(GError) error = NULL;
    CzShape shape = {0};

    g_assert_true(cz_store_has(store, name, &shape));
    *n = cz_shape_count(shape);
    float *data = cz_memory_alloc(*n * sizeof *data, name, &error);
    g_assert_no_error(error);
    cz_store_read(store, name, data, &error);
    g_assert_no_error(error);
    return data;
}

// The family a name belongs to: "m/", "v/", "ema/" or "" for the weights themselves.
static inline bool is_of_family(const char *name, const char *family)
{
    if (*family)
        return g_str_has_prefix(name, family);
    return !g_str_has_prefix(name, TRAIN_M) && !g_str_has_prefix(name, TRAIN_V) &&
           !g_str_has_prefix(name, TRAIN_EMA);
}

// A checksum over names and bits of one family, or of all (NULL); the caller frees.
static inline char *store_sum(CzStore *store, const char *family)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);

    for (size_t i = 0; i < cz_store_n(store); i++) {
        const char *name = cz_store_name(store, i);
        size_t n;

        if (family && !is_of_family(name, family))
            continue;
        float *data = read_tensor(store, name, &n);
        g_checksum_update(sum, (const guchar *)name, -1);
        g_checksum_update(sum, (const guchar *)data, (gssize)(n * sizeof *data));
        cz_memory_free(data);
    }
    char *text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
}
