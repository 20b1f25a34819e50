// SPDX-License-Identifier: LGPL-3.0-or-later
// The loop: batches in, steps, a line now and then, checkpoints, weights at the end.
#include "run.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/memory.h>

#include "deadline.h"
#include "gamut.h"
#include "lock.h"
#include "plot.h"
#include "run_private.h"
#include "validate.h"

// So many steps in a row that are not finite are no outliers, where no alarm watches.
#define MAX_SKIPPED 20

static double now(void)
{
    return (double)g_get_monotonic_time() * 1e-6;
}

static char *in_folder(const TrainRun *run, const char *name)
{
    return g_build_filename(run->options->folder, name, NULL);
}

// A resumed run goes on in the same log, as it was at the checkpoint.
static bool open_log(TrainRun *run, GError **error)
{
    g_autofree char *recipe_path = in_folder(run, "recipe.conf");
    g_autofree char *text = train_recipe_text(run->options->recipe);
    if (!run_is_first(run))
        return true;
    if (!cz_file_replace(recipe_path, text, strlen(text), error))
        return false;
    const char *state = run->progress.log ? run->progress.log : "";
    const TrainLogOptions options = {.folder = run->options->folder,
                                     .steps = run->steps,
                                     .batch = (int32_t)train_recipe_per_step(run->recipe),
                                     .state = run->options->resume ? state : NULL};
    run->log = train_log_new(&options, error);
    return run->log != NULL;
}

static bool start_store(TrainRun *run, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    return train_step_start(run->store, recipe, error) &&
           (recipe->classes <= 0 ||
            train_classes_measure(run->store, run->options->set, recipe->validation, error));
}

static void scale_rates(TrainRun *run)
{
    const TrainRecipe *recipe = run->options->recipe;
    run->scaled.rate = run->stage.rate = recipe->rate * run->watch.rate_factor;
    run->scaled.critic_rate = run->stage.critic_rate =
        recipe->critic_rate * run->watch.critic_factor;
}

// A new run takes nothing over from an old one whose checkpoints are gone.
static bool begin(TrainRun *run, GError **error)
{
    g_autofree char *good = in_folder(run, "good.safetensors"),
                    *best = in_folder(run, "best.safetensors");
    if (run_is_first(run)) {
        g_unlink(good);
        g_unlink(best);
    }
    return start_store(run, error);
}

static void warn_of_small_set(const TrainRun *run)
{
    size_t n;
    g_autofree uint32_t *held =
        train_set_split(run->options->set, run->recipe->validation, true, &n);
    if (n == 0)
        fprintf(
            stderr,
            "colorizer train: no picture of the set is held back (data.validation is %g): there "
            "will be no validation and no sheet; more pictures or a larger share bring them\n",
            run->recipe->validation);
}

static const char *bits_of(const TrainRun *run)
{
    return cz_device_info(run->device)->same_bits;
}

// Ranks that share a machine take its GPUs in turn. NULL: nothing to choose.
static char *device_of_rank(const TrainRunOptions *options)
{
    size_t n, n_gpus = 0;
    const CzDeviceInfo *infos = cz_devices(&n, NULL);
    bool open = !options->device || g_str_equal(options->device, "auto") ||
                g_str_equal(options->device, "cuda");
    if (!options->ranks || !open)
        return NULL;
    for (size_t i = 0; i < n; i++)
        n_gpus += g_str_has_prefix(infos[i].id, "cuda:");
    size_t wanted = n_gpus ? (size_t)options->ranks->rank_here % n_gpus : 0;
    for (size_t i = 0; i < n; i++)
        if (g_str_has_prefix(infos[i].id, "cuda:") && wanted-- == 0)
            return g_strdup(infos[i].id);
    return NULL;
}

// Who sums over ranks, as the plan has it: "sum over ranks by NCCL".
static void tell_sums(TrainRun *run)
{
    g_autofree char *text = cz_plan_dump(train_step_plan(run->step));
    char *at = strstr(text, "[sum over ranks"), *end = at ? strstr(at, "] ") : NULL;
    if (end)
        printf("%.*s\n", (int)(end - at - 1), at + 1);
}

// The same bits as without the pause, or a sentence: another GPU, driver or library rounds its sums
// in another order.
static bool check_bits(const TrainRun *run, GError **error)
{
    const char *here = bits_of(run), *there = run->progress.bits ? run->progress.bits : "";
    if (!run->recipe->deterministic || run->options->any_device || g_str_equal(here, there))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                "%s was trained on %s, and this is %s: it cannot go on as if it had not paused; "
                "--set run.deterministic=0 goes on all the same",
                run->options->folder, *there ? there : "the CPU", *here ? here : "the CPU");
    return false;
}

static bool open_device(TrainRun *run, GError **error)
{
    const TrainRunOptions *options = run->options;
    if (options->ranks && options->recipe->batch % options->ranks->n) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "train.batch is %d, which %d ranks cannot share evenly", options->recipe->batch,
                    options->ranks->n);
        return false;
    }
    if (g_mkdir_with_parents(options->folder, 0777) != 0) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot make the folder %s: %s", options->folder,
                    g_strerror(errno));
        return false;
    }
    run->lock = run_is_first(run) ? train_lock_folder(options->folder, error) : -1;
    if (run->lock < 0 && run_is_first(run))
        return false;
    run->steps = train_recipe_steps(run->recipe);
    const CzDeviceOptions how = {.deterministic = options->recipe->deterministic,
                                 .tf32 = options->recipe->tf32};
    g_autofree char *own = device_of_rank(options);
    run->device = cz_device_open_with(own ? own : options->device, &how, error);
    if (!run->device)
        return false;
    if (options->opened)
        g_strlcpy(options->opened, cz_device_info(run->device)->id, TRAIN_DEVICE_ID);
    return true;
}

// Sums go from GPU to GPU, or from host to host: not from one to the other.
static bool check_alike(const TrainRun *run, GError **error)
{
    const TrainRanks *ranks = run->options->ranks;
    bool gpu = g_str_has_prefix(cz_device_info(run->device)->id, "cuda:");
    double ends[] = {gpu, !gpu};
    ranks->max(ends, G_N_ELEMENTS(ends));
    if (ends[0] + ends[1] < 2)
        return true;
    if (run_is_first(run))
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                    "some ranks have a GPU and others none: --device cpu is for all of them, or "
                    "there must be one that opens for each (colorizer inspect --devices)");
    return false;
}

// Each rank by itself first, then all together: nobody may wait for one that has failed.
static bool find_devices(TrainRun *run, GError **error)
{
    const TrainRanks *ranks = run->options->ranks;
    if (!train_ranks_agree(ranks, open_device(run, error), error))
        return false;
    if (!ranks)
        return true;
    if (!check_alike(run, error))
        return false;
    cz_device_set_ranks(run->device, ranks->sum);
    return true;
}

static bool set_up(TrainRun *run, GError **error)
{
    const TrainRunOptions *options = run->options;
    g_autofree char *note = NULL;
    if (!find_devices(run, error))
        return false;
    run->store = cz_store_new(run->device);
    if (options->resume &&
        !train_checkpoint_load(options->folder, run->store, options->recipe,
                               train_set_hash(options->set), &run->progress, &note, error))
        return false;
    if (options->resume && !check_bits(run, error))
        return false;
    if (note && run_is_first(run))
        fprintf(stderr, "colorizer train: %s\n", note);
    run->done = run->progress.step;
    train_watch_parse(&run->watch, run->progress.watch);
    scale_rates(run);
    if (!options->resume && !begin(run, error))
        return false;
    if (!run_enter_phase(run, error) || !open_log(run, error))
        return false;
    if (!run_is_first(run))
        return true;
    printf("%s, %zu MiB for a step; %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " steps to go\n",
           cz_device_info(run->device)->name, cz_plan_total_bytes(train_step_plan(run->step)) >> 20,
           run->steps - run->done, run->steps);
    if (options->ranks)
        printf("%d ranks, %d of the %d pictures of a batch on each\n", options->ranks->n,
               train_batch_here(run->device, run->recipe), run->recipe->batch);
    if (options->ranks)
        tell_sums(run);
    fflush(stdout); // a log file shows at once that it has begun
    if (!options->resume)
        warn_of_small_set(run);
    return true;
}

static void tear_down(TrainRun *run)
{
    train_loader_free(run->loader);
    train_step_free(run->step);
    train_critic_free(run->critic);
    cz_memory_free(run->fake);
    cz_store_free(run->store);
    cz_device_close(run->device);
    train_log_free(run->log);
    if (run->lock >= 0)
        close(run->lock);
    train_progress_clear(&run->progress);
}

static void next_line(TrainRun *run)
{
    const TrainRecipe *recipe = run->recipe;
    double elapsed = MAX(now() - run->began, 1e-9);
    double rate = train_recipe_rate(recipe, run->done - 1);
    const TrainPace pace = {
        .rate = (float)rate,
        .rate_encoder = (float)(rate * recipe->encoder_scale),
        .rate_critic = run->judged ? (float)train_recipe_critic_rate(recipe, run->done - 1) : 0,
        .images_per_s = (float)((double)run->ran * (double)train_recipe_per_step(recipe) / elapsed),
        .loader_wait = (float)(train_loader_waited(run->loader) / elapsed),
        .gamut = run->gamut,
        .rollbacks = (float)run->watch.rollbacks,
        .outliers = (float)run->outliers,
    };
    train_log_line(run->log, run->done, &pace);
}

static bool save(TrainRun *run, GError **error)
{
    g_autofree char *weights = in_folder(run, "ema.safetensors");
    g_auto(TrainProgress) progress = {.step = run->done,
                                      .log = train_log_state(run->log),
                                      .watch = train_watch_text(&run->watch),
                                      .bits = g_strdup(bits_of(run)),
                                      .clean = !train_watch_pending(&run->watch)};
    const char *folder = run->options->folder;
    int32_t keep = run->recipe->keep_every;
    run->saved = now();
    return train_checkpoint_save(folder, run->store, run->options->recipe,
                                 train_set_hash(run->options->set), &progress, error) &&
           train_checkpoint_settle(folder, error) &&
           (keep == 0 || run->done % keep != 0 || train_checkpoint_keep(folder, error)) &&
           train_weights_save(weights, run->store, run->options->recipe, run->done, error);
}

// ---- alarms -------------------------------------------------------------------------------------

static TrainSigns signs_of(const TrainRun *run, const TrainScalars *scalars)
{
    const TrainCriticScalars *critic = &run->verdict;
    bool judged = run->judged, sound = isfinite(scalars->loss) && isfinite(scalars->norm);
    return (TrainSigns){.finite = sound &&
                                  (!judged || (isfinite(critic->loss) && isfinite(critic->norm))),
                        .loss = (double)scalars->loss,
                        .spread = (double)scalars->spread,
                        .spread_true = (double)scalars->spread_true,
                        .against_critic = judged && run->phase == TRAIN_PHASE_BOTH,
                        .critic_loss = judged ? (double)(critic->loss - critic->paid) : 0,
                        .right_real = judged ? (double)critic->right_real : 0,
                        .right_fake = judged ? (double)critic->right_fake : 0};
}

// The run as it was at the last good checkpoint, or as it began.
static bool go_back(TrainRun *run, GError **error)
{
    const TrainRunOptions *options = run->options;
    g_autofree char *good = in_folder(run, "good.safetensors");
    g_auto(TrainProgress) progress = {.step = 0};
    bool done = g_file_test(good, G_FILE_TEST_EXISTS)
                    ? train_checkpoint_load_good(options->folder, run->store, options->recipe,
                                                 train_set_hash(options->set), &progress, error)
                    : start_store(run, error);
    run->done = progress.step;
    g_clear_pointer(&run->step, train_step_free); // run_enter_phase() takes up from there
    run_close_loader(run);
    return done;
}

// A critic that wins has to slow down. A generator that fails against it is outrun, too: both slow
// down, the critic twice.
static bool roll_back(TrainRun *run, TrainAlarm alarm, const char *what, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    int64_t step = run->done;
    bool first = run_is_first(run);
    if (first)
        next_line(run);
    if (run->watch.rollbacks >= recipe->watch_max_rollbacks) {
        if (first)
            train_log_event(run->log, step, train_alarm_name(alarm), what);
        g_autofree char *good = in_folder(run, "good.safetensors");
        bool there = g_file_test(good, G_FILE_TEST_EXISTS);
        g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC,
                    "step %" G_GINT64_FORMAT ": %s; watch.max-rollbacks is %d, and this is the "
                    "next%s%s",
                    step, what, recipe->watch_max_rollbacks,
                    there ? "; the last good checkpoint is " : "", there ? good : "");
        return false;
    }
    train_watch_rest(&run->watch);
    run->watch.rollbacks++;
    double factor = recipe->watch_rate_factor;
    bool outrun = alarm == TRAIN_ALARM_COLLAPSE || alarm == TRAIN_ALARM_RUNS_AWAY;
    run->watch.critic_factor *= outrun ? factor * factor : factor;
    if (alarm != TRAIN_ALARM_CRITIC_WINS)
        run->watch.rate_factor *= factor;
    scale_rates(run);
    // Every rank reads the good checkpoint before the first writes another.
    if (!train_ranks_agree(run->options->ranks, go_back(run, error), error))
        return false;
    if (!first)
        return true;
    g_autofree char *text =
        g_strdup_printf("%s: back to step %" G_GINT64_FORMAT ", rates times %g, critic's times %g",
                        what, run->done, run->watch.rate_factor, run->watch.critic_factor);
    fprintf(stderr, "colorizer train: step %" G_GINT64_FORMAT ": %s\n", step, text);
    train_log_event(run->log, step, train_alarm_name(alarm), text);
    return save(run, error);
}

// *alarm: the run went back.
static bool watch_step(TrainRun *run, const TrainScalars *scalars, bool *alarm, GError **error)
{
    TrainWatchRules rules = train_watch_rules(run->recipe);
    TrainSigns signs = signs_of(run, scalars);
    TrainAlarm found =
        run->recipe->watch ? train_watch_step(&run->watch, &rules, &signs) : TRAIN_ALARM_NONE;
    *alarm = found != TRAIN_ALARM_NONE;
    if (!*alarm)
        return true;
    g_autofree char *what = train_alarm_sentence(found, &run->watch, &rules, &signs);
    return roll_back(run, found, what, error);
}

// ---- steps --------------------------------------------------------------------------------------

static bool note_scalars(TrainRun *run, const TrainScalars *scalars, GError **error)
{
    run->outliers = scalars->n_outliers;
    run->skipped = scalars->gate > 0 || scalars->outlier ? 0 : run->skipped + 1;
    if (scalars->outlier && run_is_first(run))
        fprintf(stderr,
                "colorizer train: step %" G_GINT64_FORMAT
                ": loss %g or norm %g is out of line, update left out (%" G_GINT64_FORMAT
                " so far)\n",
                run->done, (double)scalars->loss, (double)scalars->norm, scalars->n_outliers);
    if (run->skipped > 0 && run_is_first(run))
        fprintf(stderr,
                "colorizer train: step %" G_GINT64_FORMAT
                ": the gradient is not finite, update left out\n",
                run->done);
    if (run->skipped >= MAX_SKIPPED && !run->recipe->watch) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_NUMERIC,
                    "%d steps in a row have no finite gradient: lower optimizer.rate in a new run; "
                    "network.start=%s/ema.safetensors goes on from these weights",
                    MAX_SKIPPED, run->options->folder);
        return false;
    }
    if (run_is_first(run))
        train_log_add(run->log, scalars, run->judged ? &run->verdict : NULL);
    return true;
}

// Where this process ends: schedules keep the full length, so that a resumed run goes on as if it
// had never paused.
static int64_t end_of(const TrainRun *run)
{
    int64_t after = run->options->stop_after;
    return after > 0 ? MIN(after, run->steps) : run->steps;
}

static bool keep_best(TrainRun *run, const TrainScores *scores, GError **error)
{
    const char *metric = run->recipe->best;
    double score = strcmp(metric, "gain") == 0      ? scores->values[TRAIN_GAIN]
                   : strcmp(metric, "delta-e") == 0 ? scores->values[TRAIN_DELTA_E]
                                                    : train_log_last(run->log, "loss");
    bool judged = *metric && (scores->n > 0 || strcmp(metric, "loss") == 0);
    return !judged || train_weights_save_best(run->options->folder, run->store,
                                              run->options->recipe, run->done, score, error);
}

// A look at held-back pictures with the averages that were just saved.
static bool examine(TrainRun *run, GError **error)
{
    g_autoptr(GError) unplotted = NULL;
    TrainScores scores;
    if (!train_validate(run->options, run->log, run->done, &scores, error))
        return false;
    if (!train_plot(run->options->folder, &unplotted))
        fprintf(stderr, "colorizer train: %s\n", unplotted->message);
    return keep_best(run, &scores, error);
}

// What is due after a step: a line, a checkpoint, a look at pictures.
static bool after_step(TrainRun *run, GError **error)
{
    const TrainRecipe *recipe = run->recipe;
    bool last = run->done == end_of(run), log = last || run->done % recipe->log_every == 0;
    bool look = last || run->done % recipe->validate_every == 0;
    bool show = recipe->sheet_every > 0 && run->done % recipe->sheet_every == 0;
    bool keep = recipe->keep_every > 0 && run->done % recipe->keep_every == 0;
    bool due = last || look || show || keep ||
               (log && now() - run->saved >= 60 * recipe->checkpoint_minutes);
    if (!run_is_first(run))
        return true;
    if (log)
        next_line(run);
    if (due && !save(run, error))
        return false;
    if (look)
        return examine(run, error);
    return !show || train_show(run->options, run->log, run->done, error);
}

// The generator's turn, then the critic's with what the generator has made.
static bool learn_from(TrainRun *run, const TrainBatch *batch, TrainScalars *scalars,
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

static bool measure_gamut(TrainRun *run, const TrainBatch *batch, GError **error)
{
    size_t side = (size_t)(batch->crop / train_recipe_stride(run->recipe));
    size_t n = 2 * (size_t)batch->n * side * side;
    float *chroma = cz_memory_alloc(n * sizeof *chroma, "the output's color", error);
    bool done = chroma && train_step_read_chroma(run->step, chroma, error);
    if (done)
        run->gamut = train_gamut_share(batch->lightness, chroma, batch->n, batch->crop,
                                       train_recipe_stride(run->recipe));
    cz_memory_free(chroma);
    return done;
}

static bool step_once(TrainRun *run, TrainScalars *scalars, GError **error)
{
    bool line = (run->done + 1) % run->recipe->log_every == 0 || run->done + 1 == run->steps;
    int32_t n = run->recipe->accumulate;
    run->judged = false;
    if (!run_enter_phase(run, error))
        return false;
    for (int32_t i = 0; i < n; i++) {
        const TrainBatch *batch = run->next ? run->next : train_loader_next(run->loader, error);
        run->next = NULL;
        run->run_of_step = i;
        if (!batch || !learn_from(run, batch, scalars, &run->verdict, error) ||
            (line && i + 1 == n && run_is_first(run) && !measure_gamut(run, batch, error)))
            return false;
        train_loader_release(run->loader, batch);
    }
    run->judged = run->phase != TRAIN_PHASE_GENERATOR;
    return true;
}

// One step, from the loader to the log. *alarm: the run went back instead of on.
static bool turn(TrainRun *run, bool *alarm, GError **error)
{
    TrainScalars scalars;
    if (run->done > 0 && train_recipe_phase(run->recipe, run->done) !=
                             train_recipe_phase(run->recipe, run->done - 1))
        train_watch_rest(&run->watch); // other losses, other colors
    if (!step_once(run, &scalars, error)) {
        train_ranks_fail_alone(run->options->ranks, error);
        return false;
    }
    run->norm = (double)scalars.norm;
    run->done++;
    run->ran++;
    return note_scalars(run, &scalars, error) && watch_step(run, &scalars, alarm, error);
}

// A training that goes on from weights is measured against them: best.safetensors may be they.
static bool look_at_start(TrainRun *run, GError **error)
{
    g_autofree char *weights = in_folder(run, "ema.safetensors");
    return !run->recipe->start[0] || run->done > 0 || !run_is_first(run) ||
           (train_weights_save(weights, run->store, run->options->recipe, 0, error) &&
            examine(run, error));
}

static bool loop(TrainRun *run, bool *stopped, GError **error)
{
    int64_t end = end_of(run);
    if (!look_at_start(run, error))
        return false;
    run->began = run->saved = now();
    run->end = end;
    const TrainRanks *ranks = run->options->ranks;
    TrainDeadline deadline = train_deadline(run->options->deadline, run->store);
    bool stop = false;
    // One that was killed after its last checkpoint may not have looked at pictures yet.
    if (run->done >= end &&
        !train_ranks_agree(ranks, !run_is_first(run) || examine(run, error), error))
        return false;
    while (run->done < end && !stop) {
        bool alarm;
        bool ok = turn(run, &alarm, error) && (alarm || after_step(run, error));
        stop = train_deadline_near(&deadline) || *run->options->stop != 0;
        if (!train_ranks_after_step(ranks, ok, run->done, run->norm, &stop, error))
            return false;
    }
    *stopped = run->done < run->steps;
    bool ok = run->done == end || !run_is_first(run) || save(run, error);
    return train_ranks_agree(ranks, ok, error);
}

static bool finish(TrainRun *run, bool stopped, GError **error)
{
    g_autofree char *path = in_folder(run, "final.safetensors");
    if (run_is_first(run))
        train_ranks_print(run->options->ranks, run->ran, now() - run->began);
    return stopped || !run_is_first(run) ||
           train_weights_save(path, run->store, run->options->recipe, run->done, error);
}

// What is good among the checkpoints; not before all ranks have read theirs.
static bool settle(const TrainRun *run, GError **error)
{
    return !run->options->resume || !run_is_first(run) ||
           train_checkpoint_settle(run->options->folder, error);
}

bool train_run_once(const TrainRunOptions *options, bool *stopped, GError **error)
{
    const TrainRanks *ranks = options->ranks;
    TrainRun run = {.options = options, .scaled = *options->recipe, .lock = -1};
    run.recipe = &run.scaled;
    bool done = train_ranks_agree(ranks, set_up(&run, error), error) &&
                train_ranks_check_start(ranks, run.done, options->folder, error) &&
                train_ranks_agree(ranks, settle(&run, error), error) && loop(&run, stopped, error);
    if (done)
        done = train_ranks_agree(ranks, finish(&run, *stopped, error), error);
    tear_down(&run);
    return done;
}
