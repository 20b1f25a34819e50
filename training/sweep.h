// SPDX-License-Identifier: LGPL-3.0-or-later
// Sweeps: many short trainings over recipe keys, and which of them are worth going on with.
//
// Values are a grid, random draws (Bergstra and Bengio 2012), or both. Successive halving
// (Jamieson and Talwalkar 2016): all n runs train for the first rung, eta^-(R-1) of their length;
// the best n/eta go on to eta times as much, until the last rung's train in full. A run that goes
// on resumes its checkpoint. Schedules always have the full length, so a rung shows a run on the
// way, not one with a schedule of its own: rates that are high late look worse early.
//
// One caller at a time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "recipe.h"

G_BEGIN_DECLS

#define TRAIN_SWEEP_MOST_RUNS  1000
#define TRAIN_SWEEP_MOST_RUNGS 8

// ---- what is tried ------------------------------------------------------------------------------

typedef enum {
    TRAIN_AXIS_GRID,
    TRAIN_AXIS_LOG,
    TRAIN_AXIS_LINEAR,
    TRAIN_AXIS_CHOICE
} TrainAxisKind;

typedef struct {
    char *name;          // section.key
    const TrainKey *key; // its row in the recipe's table
    TrainAxisKind kind;
    double lo, hi; // of a range
    char **values; // of a grid or a choice; NULL for a range
} TrainAxis;

typedef struct {
    const char *name, *file, *column, *unit, *label; // the column of a run's file; words
    bool higher;                                     // is better
    double window; // mean over so much of the steps; 0: the last line
} TrainSweepScore;

// NULL if there is no such score. gain, ssim, delta-e: of validation. loss: of training, mean of
// the rung's last quarter; only comparable while no key of [loss] is swept.
const TrainSweepScore *train_sweep_score(const char *name);

typedef struct {
    TrainRecipe recipe;         // what all runs share
    GPtrArray *axes;            // TrainAxis, at least one when checked
    int64_t n_runs;             // 0: the whole grid
    int64_t seed, eta, n_rungs; // n_rungs 0: as many as halve n_runs to one
    const TrainSweepScore *score;
} TrainSweepPlan;

void train_sweep_plan_init(TrainSweepPlan *plan);
void train_sweep_plan_clear(TrainSweepPlan *plan);

// "section.key=a,b,c". CZ_ERROR_RECIPE for what the recipe's table does not have or allow.
bool train_sweep_add_grid(TrainSweepPlan *plan, const char *text, GError **error);
// "section.key=log:LO:HI", "...=lin:LO:HI" or "...=choice:a,b"; whole numbers are rounded.
bool train_sweep_add_random(TrainSweepPlan *plan, const char *text, GError **error);
// A file of sections [grid], [random] and [sweep] (runs, seed, eta, rungs, score).
bool train_sweep_load(TrainSweepPlan *plan, const char *path, GError **error);

// Settles n_runs and n_rungs, and checks the recipe of every run: nothing starts before.
bool train_sweep_plan_check(TrainSweepPlan *plan, GError **error);

// The values of a run, one an axis; a function of (plan, run) alone. A random key's draws stay what
// they are when other keys come or go. The caller frees with g_strfreev.
char **train_sweep_values(const TrainSweepPlan *plan, int64_t run);
// The recipe with these values.
bool train_sweep_recipe(const TrainSweepPlan *plan, char *const *values, TrainRecipe *recipe,
                        GError **error);
// Steps that a run of this recipe has done when a rung (from 0) ends: ceil(steps / eta^rest).
int64_t train_sweep_steps(const TrainSweepPlan *plan, const TrainRecipe *recipe, int64_t rung);
// Runs that take part in a rung: floor(n / eta^rung), at least 1.
int64_t train_sweep_width(const TrainSweepPlan *plan, int64_t rung);
// A digest of all that decides which runs there are and how they are judged; caller frees.
char *train_sweep_digest(const TrainSweepPlan *plan, uint64_t set);

// ---- how far it is ------------------------------------------------------------------------------

typedef enum {
    TRAIN_SWEEP_WAITING,
    TRAIN_SWEEP_RUNNING,
    TRAIN_SWEEP_SCORED, // in its last rung so far
    TRAIN_SWEEP_FAILED,
} TrainSweepState;

typedef struct {
    char **values;
    TrainSweepState state;
    int64_t rung;     // that it is in
    int64_t n_scores; // rungs that it has finished
    double scores[TRAIN_SWEEP_MOST_RUNGS];
    double seconds; // of training, in finished pieces
    char *error;    // the sentence of one that failed
} TrainSweepRun;

typedef struct {
    const TrainSweepPlan *plan;
    const char *folder;
    char *digest;
    int lock;            // open file, of the folder
    TrainSweepRun *runs; // plan->n_runs
    int64_t rung;        // that all are in; n_rungs: done
} TrainSweep;

// All waiting, or what folder/sweep.json says; runs that were running wait again. folder (it is
// there, and borrowed) is locked; while trainings of a sweep that was killed still save, it waits.
// CZ_ERROR_IO where another sweep runs there, CZ_ERROR_FORMAT for a damaged file,
// CZ_ERROR_ARGUMENT for the state of another sweep.
TrainSweep *train_sweep_open(const TrainSweepPlan *plan, const char *folder, uint64_t set,
                             GError **error);
void train_sweep_free(TrainSweep *sweep); // accepts NULL
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainSweep, train_sweep_free)
bool train_sweep_save(const TrainSweep *sweep, GError **error); // replaced whole, or not at all

char *train_sweep_run_folder(const TrainSweep *sweep, int64_t run); // caller frees
// Indices of runs, best first: the further rung, then the score; failed ones last. g_free.
int64_t *train_sweep_ranking(const TrainSweep *sweep);
// Ends the rung: its best go on to the next, as many as train_sweep_width says or as have a score.
void train_sweep_promote(TrainSweep *sweep);

// ---- what it showed -----------------------------------------------------------------------------

typedef struct {
    double correlation; // Spearman's, of value and score (positive: more is better); NAN for texts
    double share;       // of the scores' variance between equal values (epsilon squared, Kelley
                        // 1935: without what chance gives); NAN where no value comes twice
    int64_t n;          // runs that it is from: those with a score in the first rung
} TrainSweepEffect;

TrainSweepEffect train_sweep_effect(const TrainSweep *sweep, size_t axis);
// Ranks from 1, ties share their mean.
void train_sweep_ranks(const double *values, size_t n, double *ranks);

void train_sweep_print(const TrainSweep *sweep);
bool train_sweep_write_csv(const TrainSweep *sweep, GError **error);  // folder/ranking.csv
bool train_sweep_write_plot(const TrainSweep *sweep, GError **error); // folder/plots.png

// ---- running it ---------------------------------------------------------------------------------

// A run's score after so many steps, from its folder. FALSE without an error: there is none, the
// run has stopped before. CZ_ERROR_FORMAT, CZ_ERROR_NUMERIC.
bool train_sweep_read_score(const TrainSweepScore *score, const char *folder, int64_t steps,
                            double *value, GError **error);

typedef struct {
    const char *data, *device;        // device NULL: auto
    int n_jobs, n_threads, n_loaders; // threads: of each job
} TrainSweepOptions;

// Trains in children of this same program until all rungs are done or SIGINT or SIGTERM comes
// (*stopped): then the children save, and the same call goes on later. A run that fails is a row
// with its sentence. CZ_ERROR_IO where a file of the sweep cannot be written.
bool train_sweep_run(TrainSweep *sweep, const TrainSweepOptions *options, bool *stopped,
                     GError **error);

G_END_DECLS
