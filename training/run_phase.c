// SPDX-License-Identifier: LGPL-3.0-or-later
// What a phase of a run needs: plans for its steps, and batches of its size.
#include <stdio.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "loader_recipe.h"
#include "run_private.h"

static TrainLoader *open_loader(TrainRun *run, GError **error)
{
    const TrainRecipe *recipe = &run->stage;
    const TrainRanks *ranks = run->options->ranks;
    int32_t batch = train_batch_here(run->device, recipe), rank = ranks ? ranks->rank : 0;
    TrainLoaderOptions options = train_loader_of_recipe(recipe);
    options.batch = batch;
    options.n_threads = run->options->n_loaders;
    options.first_sample = (uint64_t)(run->done * train_recipe_per_step(recipe) + rank * batch);
    options.waited = run->waited;
    return train_loader_new(run->options->set, &options, error);
}

void run_close_loader(TrainRun *run)
{
    if (run->loader)
        run->waited = train_loader_waited(run->loader);
    run->next = NULL;
    g_clear_pointer(&run->loader, train_loader_free);
}

// The batch after the one that is being learned from; none after the last.
static bool look_ahead(void *user, const float **lightness, const float **chroma, GError **error)
{
    TrainRun *run = user;
    bool last = run->run_of_step + 1 == run->recipe->accumulate;
    if (last && run->done + 1 >= run->end)
        return true;
    if (!run->next)
        run->next = train_loader_next(run->loader, error);
    if (!run->next)
        return false;
    *lightness = run->next->lightness;
    *chroma = run->next->chroma;
    return true;
}

// A GPU without the memory for a batch gets half of it twice as often: the step's gradient is the
// mean over both, as ever. Statistics of a batch (normalization, critic) see the halves.
static bool halve_batch(TrainRun *run, const GError *cause)
{
    const CzDeviceInfo *info = cz_device_info(run->device);
    bool gpu = g_str_has_prefix(info->id, "cuda:");
    if (!g_error_matches(cause, CZ_ERROR, CZ_ERROR_MEMORY) || !gpu || run->options->ranks ||
        run->stage.batch % 2)
        return false;
    g_clear_pointer(&run->step, train_step_free);
    g_clear_pointer(&run->critic, train_critic_free);
    g_clear_pointer(&run->fake, cz_memory_free);
    run_close_loader(run);
    run->scaled.batch = run->stage.batch /= 2;
    run->scaled.accumulate = run->stage.accumulate *= 2;
    fprintf(stderr,
            "colorizer train: %s: %s; %d pictures at a time from here on, %d times a step\n",
            info->id, cause->message, run->stage.batch, run->stage.accumulate);
    return true;
}

// Those of the phase that are not there yet.
static bool make_plans(TrainRun *run, GError **error)
{
    const TrainRecipe *recipe = &run->stage;
    bool both = run->phase == TRAIN_PHASE_BOTH;
    if (!run->step)
        run->step = train_step_new(run->device, run->store, recipe, both, error);
    if (!run->step)
        return false;
    if (run->phase == TRAIN_PHASE_GENERATOR || run->critic)
        return true;
    size_t side = (size_t)(recipe->crop / train_recipe_stride(recipe));
    size_t n_bytes =
        (size_t)train_batch_here(run->device, recipe) * side * side * 2 * sizeof(float);
    if (!run->fake)
        run->fake = cz_memory_alloc(n_bytes, "the generator's color", error);
    run->critic = run->fake ? train_critic_new(run->device, run->store, recipe, error) : NULL;
    return run->critic != NULL;
}

bool run_enter_phase(TrainRun *run, GError **error)
{
    TrainRecipe *recipe = &run->stage;
    TrainPhase phase = train_recipe_phase(run->recipe, run->done);
    int32_t crop = train_recipe_crop(run->recipe, run->done);
    bool grown = crop != recipe->crop;
    GError *cause = NULL;
    if (run->step && run->phase == phase && !grown)
        return true;
    run->phase = phase;
    g_clear_pointer(&run->step, train_step_free);
    if (grown) {
        g_clear_pointer(&run->critic, train_critic_free);
        g_clear_pointer(&run->fake, cz_memory_free);
        run_close_loader(run);
        if (recipe->crop > 0 && run_is_first(run))
            printf("crops of %d pixels from here on\n", crop);
        *recipe = *run->recipe;
        recipe->crop = crop;
    }
    while (!make_plans(run, &cause)) {
        if (!halve_batch(run, cause)) {
            g_propagate_error(error, cause);
            return false;
        }
        g_clear_error(&cause);
    }
    train_step_look_ahead(run->step, look_ahead, run);
    return run->loader || (run->loader = open_loader(run, error));
}
