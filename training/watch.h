// SPDX-License-Identifier: LGPL-3.0-or-later
// Alarms: what goes wrong in a training, seen in its scalars as it happens.
//
// Each alarm has a sign that a single step shows or not. A step that shows it counts up, one that
// does not counts down, and at the patience it is raised: an outlier is no alarm. Nothing counts in
// the grace after a start, a new phase or a rollback, but what is not finite.
//
//   not finite    loss or gradient, of generator or critic
//   explodes      the loss is more than `deviations` standard deviations (not less than a twentieth
//                 of its size) above its mean over some 200 steps without the sign
//   critic wins   against a critic: it is right on more than 95 % of true and of made patches, and
//                 its loss, without R1, is below `critic` times what guessing costs
//   collapse      the output's spread over the truth's, both means over some 20 steps, is below
//                 `collapse` times the best that it has been over some 100 steps (at most 1; a
//                 network that never had color, below a tenth, cannot lose it), or against a critic
//                 below `collapse` / 5. All outputs alike is a small spread, too.
//   runs away     against a critic: the same ratio is above `runaway`
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "recipe.h"

typedef enum {
    TRAIN_ALARM_NONE,
    TRAIN_ALARM_NOT_FINITE,
    TRAIN_ALARM_EXPLODES,
    TRAIN_ALARM_CRITIC_WINS,
    TRAIN_ALARM_COLLAPSE,
    TRAIN_ALARM_RUNS_AWAY,
    TRAIN_N_ALARMS
} TrainAlarm;

typedef struct {
    int32_t grace, patience;                      // steps
    int32_t not_finite;                           // patience of this alarm alone
    double deviations, critic, collapse, runaway; // 0: not watched
    double guessing;                              // the critic's loss where all its logits are even
} TrainWatchRules;
TrainWatchRules train_watch_rules(const TrainRecipe *recipe); // as its [watch] says

// What one step shows.
typedef struct {
    bool finite;
    double loss, spread, spread_true;
    bool against_critic; // both learn
    double critic_loss, right_real, right_fake;
} TrainSigns;

// All that it remembers, and what rollbacks have changed; begins zeroed with factors of 1.
typedef struct {
    int64_t seen;               // steps since it began anew
    double loss, square;        // means of the loss and of its square
    double spread, spread_true; // means
    double ratio, best;         // mean of spread over truth's, and its highest
    int32_t counts[TRAIN_N_ALARMS];
    int64_t doubt; // 1: the newest step by itself is halfway to a collapse, or to running away
    int64_t rollbacks;
    double rate_factor, critic_factor; // on the recipe's rates
} TrainWatch;

void train_watch_init(TrainWatch *watch);
// The memory of losses and colors begins anew, with its grace; rollbacks and factors stay.
void train_watch_rest(TrainWatch *watch);
// Takes a step in; the alarm that it raises, the gravest first.
TrainAlarm train_watch_step(TrainWatch *watch, const TrainWatchRules *rules,
                            const TrainSigns *signs);
// A sign has been seen and not yet gone, or the newest step is in doubt, which means and patience
// would tell too late: no time to call a checkpoint good.
bool train_watch_pending(const TrainWatch *watch);

const char *train_alarm_name(TrainAlarm alarm); // one word, for files
// What is wrong, in words; the caller frees.
char *train_alarm_sentence(TrainAlarm alarm, const TrainWatch *watch, const TrainWatchRules *rules,
                           const TrainSigns *signs);

// As JSON, every bit of it, for a checkpoint; the caller frees. What cannot be read is as begun.
char *train_watch_text(const TrainWatch *watch);
void train_watch_parse(TrainWatch *watch, const char *text);
