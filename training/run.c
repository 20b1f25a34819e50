// SPDX-License-Identifier: LGPL-3.0-or-later
// The loop: batches in, steps, a line now and then, checkpoints, weights at the end.
#include "run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "checkpoint.h"
#include "gan.h"
#include "loader.h"
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
    TrainStep *step;     // of the phase
    TrainCritic *critic; // NULL as long as it does not learn
    float *fake;         // the generator's color, for the critic
    TrainLoader *loader;
    FILE *log;
    int64_t first, done, steps; // first: where this process began
    int64_t skipped;            // steps in a row without an update
    double began, saved;        // seconds
    TrainScalars sum;           // since the last line
    TrainCriticScalars critic_sum;
    int64_t summed, critic_summed;
} Run;

static double now(void)
{
    return (double)g_get_monotonic_time() * 1e-6;
}

static char *in_folder(const Run *run, const char *name)
{
    return g_build_filename(run->options->folder, name, NULL);
}

// A resumed run goes on in the same log; lines past the checkpoint are told again.
static bool open_log(Run *run, GError **error)
{
    g_autofree char *path = in_folder(run, "log.csv"), *recipe_path = in_folder(run, "recipe.conf");
    g_autofree char *text = train_recipe_text(run->recipe);
    if (!cz_file_replace(recipe_path, text, strlen(text), error))
        return false;
    if (run->first == 0) {
        g_autofree char *stale = in_folder(run, "validation.csv");
        g_unlink(stale); // of a run that never came to a checkpoint
    }
    run->log = g_fopen(path, run->first > 0 ? "a" : "w");
    if (!run->log) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot write %s: %s", path, g_strerror(errno));
        return false;
    }
    if (run->first == 0)
        fprintf(run->log,
                "step,images,loss,norm,rate,chroma,chroma_true,images_per_s,loader_wait,gan,"
                "critic_loss,critic_norm,logit_real,logit_fake,right_real,right_fake,r1\n");
    return true;
}

static TrainLoader *open_loader(Run *run, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    const TrainLoaderOptions options = {
        .augment = {.crop = recipe->crop,
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
        .first_sample = (uint64_t)(run->first * recipe->batch),
        .held_back = recipe->validation,
    };
    return train_loader_new(run->options->set, &options, error);
}

// Plans for what the next step has to do; each phase begins once.
static bool enter_phase(Run *run, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    TrainPhase last = run->phase;
    run->phase = train_recipe_phase(recipe, run->done);
    if (run->step && run->phase == last)
        return true;
    g_clear_pointer(&run->step, train_step_free);
    run->step =
        train_step_new(run->device, run->store, recipe, run->phase == TRAIN_PHASE_BOTH, error);
    if (!run->step || run->phase == TRAIN_PHASE_GENERATOR || run->critic)
        return run->step != NULL;
    size_t n_bytes = (size_t)recipe->batch * recipe->crop * recipe->crop / 2 * sizeof(float);
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
                               train_set_hash(options->set), &run->first, &note, error))
        return false;
    if (note)
        fprintf(stderr, "colorizer train: %s\n", note);
    run->done = run->first;
    if (!options->resume && !start_store(run, error))
        return false;
    run->loader = enter_phase(run, error) ? open_loader(run, error) : NULL;
    if (!run->loader || !open_log(run, error))
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
    if (run->log)
        fclose(run->log);
}

static void print_critic(const Run *run)
{
    const TrainCriticScalars *sum = &run->critic_sum;
    double n = (double)MAX(run->critic_summed, 1);
    if (run->critic)
        printf("  critic %.3f, right on %.0f %% of true and %.0f %% of made color\n", sum->loss / n,
               100 * sum->right_real / n, 100 * sum->right_fake / n);
}

static void print_line(Run *run)
{
    double elapsed = now() - run->began, n = (double)MAX(run->summed, 1);
    double speed = (double)(run->done - run->first) * run->recipe->batch / MAX(elapsed, 1e-9);
    double left = (double)(run->steps - run->done) * run->recipe->batch / MAX(speed, 1e-9);
    double waited = train_loader_waited(run->loader) / MAX(elapsed, 1e-9);
    const TrainScalars *sum = &run->sum;
    printf("step %" G_GINT64_FORMAT
           "  loss %.5f  norm %.3f  chroma %.1f of %.1f  %.1f images/s  waited %.0f %%  "
           "%d:%02d left\n",
           run->done, sum->loss / n, sum->norm / n, 100 * sum->chroma / n,
           100 * sum->chroma_true / n, speed, 100 * waited, (int)(left / 3600),
           (int)(left / 60) % 60);
    print_critic(run);
    fflush(stdout);
}

static double term(const TrainScalars *scalars, const char *name)
{
    for (int32_t i = 0; i < scalars->n_terms; i++)
        if (strcmp(scalars->terms[i].name, name) == 0)
            return scalars->terms[i].value;
    return 0;
}

static void log_line(Run *run)
{
    double elapsed = now() - run->began, n = (double)MAX(run->summed, 1);
    double speed = (double)(run->done - run->first) * run->recipe->batch / MAX(elapsed, 1e-9);
    double waited = train_loader_waited(run->loader) / MAX(elapsed, 1e-9);
    double n_critic = (double)MAX(run->critic_summed, 1);
    const TrainScalars *sum = &run->sum;
    const TrainCriticScalars *critic = &run->critic_sum;
    const float critics[] = {critic->loss,       critic->norm,       critic->real, critic->fake,
                             critic->right_real, critic->right_fake, critic->r1};
    fprintf(run->log,
            "%" G_GINT64_FORMAT ",%" G_GINT64_FORMAT ",%.6g,%.6g,%.6g,%.6g,%.6g,%.4g,%.4g,%.6g",
            run->done, run->done * run->recipe->batch, sum->loss / n, sum->norm / n,
            train_recipe_rate(run->recipe, run->done - 1), sum->chroma / n, sum->chroma_true / n,
            speed, waited, term(sum, "gan") / n);
    for (size_t i = 0; i < G_N_ELEMENTS(critics); i++)
        fprintf(run->log, ",%.6g", critics[i] / n_critic);
    fputc('\n', run->log);
    fflush(run->log);
}

static void next_line(Run *run)
{
    print_line(run);
    log_line(run);
    run->sum = (TrainScalars){0};
    run->critic_sum = (TrainCriticScalars){0};
    run->summed = run->critic_summed = 0;
}

static bool save(Run *run, GError **error)
{
    g_autofree char *weights = in_folder(run, "ema.safetensors");
    run->saved = now();
    return train_checkpoint_save(run->options->folder, run->store, run->recipe,
                                 train_set_hash(run->options->set), run->done, error) &&
           train_weights_save(weights, run->store, run->recipe, run->done, error);
}

// The terms are the same in all steps between two lines, but for the first of them.
static void add_terms(TrainScalars *sum, const TrainScalars *scalars)
{
    sum->n_terms = scalars->n_terms;
    for (int32_t i = 0; i < scalars->n_terms; i++) {
        sum->terms[i].name = scalars->terms[i].name;
        sum->terms[i].value += scalars->terms[i].value;
    }
}

static bool note_scalars(Run *run, const TrainScalars *scalars, GError **error)
{
    run->skipped = scalars->gate > 0 ? 0 : run->skipped + 1;
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
    if (isfinite(scalars->loss)) {
        run->sum.loss += scalars->loss;
        run->sum.norm += scalars->norm;
        run->sum.chroma += scalars->chroma;
        run->sum.chroma_true += scalars->chroma_true;
        add_terms(&run->sum, scalars);
        run->summed++;
    }
    return true;
}

// Where this process ends: schedules keep the full length, so that a resumed run goes on as if it
// had never paused.
static int64_t end_of(const Run *run)
{
    int64_t after = run->options->stop_after;
    return after > 0 ? MIN(after, run->steps) : run->steps;
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
    return !look || train_validate(run->options, run->done, error);
}

static void note_critic(Run *run, const TrainCriticScalars *scalars)
{
    TrainCriticScalars *sum = &run->critic_sum;
    if (!isfinite(scalars->loss))
        return;
    sum->loss += scalars->loss;
    sum->norm += scalars->norm;
    sum->real += scalars->real;
    sum->fake += scalars->fake;
    sum->right_real += scalars->right_real;
    sum->right_fake += scalars->right_fake;
    sum->r1 += scalars->r1;
    run->critic_summed++;
}

// The generator's step, then the critic's with what the generator has made.
static bool step_once(Run *run, const TrainBatch *batch, TrainScalars *scalars, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    TrainCriticScalars critic;
    if (!enter_phase(run, error) ||
        !train_step_run(run->step, batch->lightness, batch->chroma, run->done, scalars, error))
        return false;
    if (run->phase == TRAIN_PHASE_GENERATOR)
        return true;
    int64_t first = (recipe->gan_from + recipe->batch - 1) / recipe->batch;
    if (!train_step_read_chroma(run->step, run->fake, error) ||
        !train_critic_run(run->critic, batch->lightness, batch->chroma, run->fake,
                          run->done - first, &critic, error))
        return false;
    note_critic(run, &critic);
    return true;
}

static bool loop(Run *run, bool *stopped, GError **error)
{
    run->began = run->saved = now();
    int64_t end = end_of(run);
    // One that was killed after its last checkpoint may not have looked at pictures yet.
    if (run->done >= end && !train_validate(run->options, run->done, error))
        return false;
    while (run->done < end) {
        TrainScalars scalars;
        const TrainBatch *batch = train_loader_next(run->loader, error);
        if (!batch || !step_once(run, batch, &scalars, error))
            return false;
        train_loader_release(run->loader, batch);
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
