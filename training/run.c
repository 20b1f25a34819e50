// SPDX-License-Identifier: LGPL-3.0-or-later
// The loop: batches in, steps, a line now and then, checkpoints, weights at the end.
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "checkpoint.h"
#include "gan.h"
#include "loader.h"
#include "log.h"
#include "schedule.h"
#include "step.h"
#include "validate.h"

// So many steps in a row that are not finite are no outliers.
#define MAX_SKIPPED 20

typedef struct {
    const TrainRunOptions *options;
    const TrainRecipe *recipe;
    CzEngineDevice *device;
    CzStore *store;
    TrainPhase phase;
    TrainRecipe stage;   // the recipe with the crops' size of now
    TrainStep *step;     // of phase and stage
    TrainCritic *critic; // NULL as long as it does not learn
    float *fake;         // the generator's color, for the critic
    TrainLoader *loader;
    TrainLog *log;
    int64_t first, done, steps; // first: where this process began
    int64_t skipped;            // steps in a row without an update
    double began, saved;        // seconds
    TrainProgress progress;     // of the checkpoint that it went on from
    TrainCriticScalars verdict; // of the step
    bool judged;                // the critic had its turn in it
} Run;

static double now(void)
{
    return (double)g_get_monotonic_time() * 1e-6;
}

static char *in_folder(const Run *run, const char *name)
{
    return g_build_filename(run->options->folder, name, NULL);
}

// A resumed run goes on in the same log, as it was at the checkpoint.
static bool open_log(Run *run, GError **error)
{
    g_autofree char *recipe_path = in_folder(run, "recipe.conf");
    g_autofree char *text = train_recipe_text(run->recipe);
    if (!cz_file_replace(recipe_path, text, strlen(text), error))
        return false;
    const char *state = run->progress.log ? run->progress.log : "";
    const TrainLogOptions options = {.folder = run->options->folder,
                                     .steps = run->steps,
                                     .batch = run->recipe->batch,
                                     .state = run->options->resume ? state : NULL};
    run->log = train_log_new(&options, error);
    return run->log != NULL;
}

// waited: for the loader before it, seconds.
static TrainLoader *open_loader(Run *run, double waited, GError **error)
{
    const TrainRecipe *recipe = &run->stage;
    const TrainLoaderOptions options = {
        .augment = {.crop = recipe->crop,
                    .stride = train_recipe_stride(recipe),
                    .scale_min = (float)recipe->scale_min,
                    .scale_max = (float)recipe->scale_max,
                    .flip = (float)recipe->flip,
                    .gamma_probability = (float)recipe->gamma_probability,
                    .gamma_sigma = (float)recipe->gamma_sigma,
                    .degrade = {.blur = (float)recipe->blur,
                                .plate = (float)recipe->plate,
                                .fade = (float)recipe->fade,
                                .grain = (float)recipe->grain,
                                .jpeg = (float)recipe->jpeg}},
        .batch = recipe->batch,
        .n_threads = run->options->n_loaders,
        .seed = (uint64_t)recipe->seed,
        .first_sample = (uint64_t)(run->done * train_recipe_per_step(recipe)),
        .held_back = recipe->validation,
        .waited = waited,
    };
    return train_loader_new(run->options->set, &options, error);
}

// Plans and batches for what the next step has to do; each phase and each size begin once.
static bool enter_phase(Run *run, GError **error)
{
    TrainRecipe *recipe = &run->stage;
    TrainPhase phase = train_recipe_phase(run->recipe, run->done);
    int32_t crop = train_recipe_crop(run->recipe, run->done);
    bool grown = crop != recipe->crop;
    double waited = run->loader ? train_loader_waited(run->loader) : 0;
    if (run->step && run->phase == phase && !grown)
        return true;
    run->phase = phase;
    g_clear_pointer(&run->step, train_step_free);
    if (grown) {
        g_clear_pointer(&run->critic, train_critic_free);
        g_clear_pointer(&run->fake, cz_memory_free);
        g_clear_pointer(&run->loader, train_loader_free);
        if (recipe->crop > 0)
            printf("crops of %d pixels from here on\n", crop);
        *recipe = *run->recipe;
        recipe->crop = crop;
    }
    run->step = train_step_new(run->device, run->store, recipe, phase == TRAIN_PHASE_BOTH, error);
    if (!run->step || (!run->loader && !(run->loader = open_loader(run, waited, error))))
        return false;
    if (phase == TRAIN_PHASE_GENERATOR || run->critic)
        return true;
    size_t side = (size_t)(crop / train_recipe_stride(recipe));
    size_t n_bytes = (size_t)recipe->batch * side * side * 2 * sizeof(float);
    run->fake = cz_memory_alloc(n_bytes, "the generator's color", error);
    run->critic = run->fake ? train_critic_new(run->device, run->store, recipe, error) : NULL;
    return run->critic != NULL;
}

static bool start_store(Run *run, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    return train_step_start(run->store, recipe, error) &&
           (recipe->classes <= 0 ||
            train_classes_measure(run->store, run->options->set, recipe->validation, error));
}

static bool set_up(Run *run, GError **error)
{
    const TrainRunOptions *options = run->options;
    g_autofree char *note = NULL;
    if (g_mkdir_with_parents(options->folder, 0777) != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot make the folder %s: %s", options->folder,
                    g_strerror(errno));
        return false;
    }
    run->steps = train_recipe_steps(run->recipe);
    run->device = cz_device_open(options->device, error);
    if (!run->device)
        return false;
    run->store = cz_store_new(run->device);
    if (options->resume &&
        !train_checkpoint_load(options->folder, run->store, run->recipe,
                               train_set_hash(options->set), &run->progress, &note, error))
        return false;
    if (note)
        fprintf(stderr, "colorizer train: %s\n", note);
    run->first = run->progress.step;
    run->done = run->first;
    if (!options->resume && !start_store(run, error))
        return false;
    if (!enter_phase(run, error) || !open_log(run, error))
        return false;
    printf("%s, %zu MiB for a step; %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " steps to go\n",
           cz_device_info(run->device)->name, cz_plan_total_bytes(train_step_plan(run->step)) >> 20,
           run->steps - run->done, run->steps);
    fflush(stdout); // a log file shows at once that it has begun
    return true;
}

static void tear_down(Run *run)
{
    train_loader_free(run->loader);
    train_step_free(run->step);
    train_critic_free(run->critic);
    cz_memory_free(run->fake);
    cz_store_free(run->store);
    cz_device_close(run->device);
    train_log_free(run->log);
    train_progress_clear(&run->progress);
}

static void next_line(Run *run)
{
    const TrainRecipe *recipe = run->recipe;
    double elapsed = MAX(now() - run->began, 1e-9);
    double rate = train_recipe_rate(recipe, run->done - 1);
    const TrainPace pace = {
        .rate = (float)rate,
        .rate_encoder = (float)(rate * recipe->encoder_scale),
        .rate_critic = run->judged ? (float)recipe->critic_rate : 0,
        .images_per_s = (float)((double)(run->done - run->first) * recipe->batch / elapsed),
        .loader_wait = (float)(train_loader_waited(run->loader) / elapsed),
    };
    train_log_line(run->log, run->done, &pace);
}

static bool save(Run *run, GError **error)
{
    g_autofree char *weights = in_folder(run, "ema.safetensors");
    g_auto(TrainProgress) progress = {.step = run->done, .log = train_log_state(run->log)};
    run->saved = now();
    return train_checkpoint_save(run->options->folder, run->store, run->recipe,
                                 train_set_hash(run->options->set), &progress, error) &&
           train_weights_save(weights, run->store, run->recipe, run->done, error);
}

static bool note_scalars(Run *run, const TrainScalars *scalars, GError **error)
{
    run->skipped = scalars->gate > 0 || scalars->outlier ? 0 : run->skipped + 1;
    if (scalars->outlier)
        fprintf(stderr,
                "colorizer train: step %" G_GINT64_FORMAT
                ": loss %g or norm %g is out of line, update left out (%" G_GINT64_FORMAT
                " so far)\n",
                run->done, (double)scalars->loss, (double)scalars->norm, scalars->n_outliers);
    if (run->skipped > 0)
        fprintf(stderr,
                "colorizer train: step %" G_GINT64_FORMAT
                ": the gradient is not finite, update left out\n",
                run->done);
    if (run->skipped >= MAX_SKIPPED) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC,
                    "%d steps in a row have no finite gradient: lower optimizer.rate in a new run; "
                    "network.start=%s/ema.safetensors goes on from these weights",
                    MAX_SKIPPED, run->options->folder);
        return false;
    }
    train_log_add(run->log, scalars, run->judged ? &run->verdict : NULL);
    return true;
}

// Where this process ends: schedules keep the full length, so that a resumed run goes on as if it
// had never paused.
static int64_t end_of(const Run *run)
{
    int64_t after = run->options->stop_after;
    return after > 0 ? MIN(after, run->steps) : run->steps;
}

// A look at held-back pictures with the averages that were just saved.
static bool examine(Run *run, GError **error)
{
    g_autofree char *sheet = in_folder(run, "sheet.png");
    TrainScores scores;
    if (!train_validate(run->options, run->log, run->done, &scores, error))
        return false;
    train_log_sheet(run->log, run->done, sheet);
    return true;
}

// What is due after a step: a line, a checkpoint, a look at pictures.
static bool after_step(Run *run, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    bool last = run->done == end_of(run), log = last || run->done % recipe->log_every == 0;
    bool look = last || run->done % recipe->validate_every == 0;
    bool due = last || look || (log && now() - run->saved >= 60 * recipe->checkpoint_minutes);
    if (log)
        next_line(run);
    if (due && !save(run, error))
        return false;
    return !look || examine(run, error);
}

// The generator's turn, then the critic's with what the generator has made.
static bool learn_from(Run *run, const TrainBatch *batch, TrainScalars *scalars,
                       TrainCriticScalars *critic, GError **error)
{
    int64_t first = train_recipe_gan_step(run->recipe);
    if (!train_step_run(run->step, batch->lightness, batch->chroma, run->done, scalars, error))
        return false;
    return run->phase == TRAIN_PHASE_GENERATOR ||
           (train_step_read_chroma(run->step, run->fake, error) &&
            train_critic_run(run->critic, batch->lightness, batch->chroma, run->fake,
                             run->done - first, critic, error));
}

static bool step_once(Run *run, TrainScalars *scalars, GError **error)
{
    run->judged = false;
    if (!enter_phase(run, error))
        return false;
    for (int32_t i = 0; i < run->recipe->accumulate; i++) {
        const TrainBatch *batch = train_loader_next(run->loader, error);
        if (!batch || !learn_from(run, batch, scalars, &run->verdict, error))
            return false;
        train_loader_release(run->loader, batch);
    }
    run->judged = run->phase != TRAIN_PHASE_GENERATOR;
    return true;
}

static bool loop(Run *run, bool *stopped, GError **error)
{
    run->began = run->saved = now();
    int64_t end = end_of(run);
    // One that was killed after its last checkpoint may not have looked at pictures yet.
    if (run->done >= end && !examine(run, error))
        return false;
    while (run->done < end) {
        TrainScalars scalars;
        if (!step_once(run, &scalars, error))
            return false;
        run->done++;
        if (!note_scalars(run, &scalars, error) || !after_step(run, error))
            return false;
        if (*run->options->stop && run->done < end) {
            *stopped = true;
            return save(run, error);
        }
    }
    *stopped = run->done < run->steps;
    return true;
}

bool train_run(const TrainRunOptions *options, bool *stopped, GError **error)
{
    Run run = {.options = options, .recipe = options->recipe};
    bool done = set_up(&run, error) && loop(&run, stopped, error);
    if (done && !*stopped) {
        g_autofree char *path = in_folder(&run, "final.safetensors");
        done = train_weights_save(path, run.store, run.recipe, run.done, error);
    }
    tear_down(&run);
    return done;
}
