// SPDX-License-Identifier: LGPL-3.0-or-later
// Signs, counts and alarms.
#include "watch.h"

#include <math.h>
#include <stdlib.h>

#include <jansson.h>

#include "gan.h"

#define LOSS_STEPS   200 // that means are taken over, about
#define SPREAD_STEPS 20
#define RATIO_STEPS  100
#define RIGHT        0.95
#define COLORED      0.1  // of the truth's spread
#define LEAST_SPREAD 0.05 // of the loss's size

void train_watch_init(TrainWatch *watch)
{
    *watch = (TrainWatch){.rate_factor = 1, .critic_factor = 1};
}

TrainWatchRules train_watch_rules(const TrainRecipe *recipe)
{
    // Even logits: log 2, a quarter twice halved, and a margin of 1.
    static const double guessing[TRAIN_N_GANS] = {
        [TRAIN_GAN_BCE] = 0.693147, [TRAIN_GAN_LSGAN] = 0.25, [TRAIN_GAN_HINGE] = 1};
    TrainGan gan = TRAIN_GAN_BCE;
    train_gan_of(recipe->gan_loss, &gan);
    return (TrainWatchRules){.grace = recipe->watch_grace,
                             .patience = recipe->watch_patience,
                             .not_finite = recipe->watch_not_finite,
                             .deviations = recipe->watch_deviations,
                             .critic = recipe->watch_critic,
                             .collapse = recipe->watch_collapse,
                             .runaway = recipe->watch_runaway,
                             .guessing = guessing[gan]};
}

void train_watch_rest(TrainWatch *watch)
{
    *watch = (TrainWatch){.rollbacks = watch->rollbacks,
                          .rate_factor = watch->rate_factor,
                          .critic_factor = watch->critic_factor};
}

// A mean that forgets, and begins as the plain mean of what there is.
static void mean_in(double *mean, double value, int64_t seen, int steps)
{
    *mean += (value - *mean) / (double)MIN(seen, (int64_t)steps);
}

static bool explodes(const TrainWatch *watch, const TrainWatchRules *rules, const TrainSigns *signs)
{
    double variance = watch->square - watch->loss * watch->loss;
    double deviation = MAX(sqrt(MAX(variance, 0.0)), LEAST_SPREAD * fabs(watch->loss));
    return rules->deviations > 0 && signs->loss > watch->loss + rules->deviations * deviation;
}

static bool critic_wins(const TrainWatchRules *rules, const TrainSigns *signs)
{
    return signs->against_critic && signs->right_real > RIGHT && signs->right_fake > RIGHT &&
           signs->critic_loss < rules->critic * rules->guessing;
}

static double ratio_now(const TrainWatch *watch)
{
    return watch->spread / MAX(watch->spread_true, 1e-6);
}

static bool collapses(const TrainWatch *watch, const TrainWatchRules *rules,
                      const TrainSigns *signs, double ratio)
{
    double best = MIN(watch->best, 1.0);
    if (best < COLORED)
        best = 0;
    if (signs->against_critic)
        best = MAX(best, 0.2);
    return ratio < rules->collapse * best;
}

static bool runs_away(const TrainWatchRules *rules, const TrainSigns *signs, double ratio)
{
    return rules->runaway > 0 && signs->against_critic && ratio > rules->runaway;
}

static void count(TrainWatch *watch, TrainAlarm alarm, bool shown)
{
    watch->counts[alarm] = MAX(watch->counts[alarm] + (shown ? 1 : -1), 0);
}

static void take_in(TrainWatch *watch, const TrainWatchRules *rules, const TrainSigns *signs)
{
    double ratio = signs->spread / MAX(signs->spread_true, 1e-6);
    watch->doubt = collapses(watch, rules, signs, ratio / 2) || runs_away(rules, signs, 2 * ratio);
    bool ripe = ++watch->seen > rules->grace, odd = ripe && explodes(watch, rules, signs);
    mean_in(&watch->spread, signs->spread, watch->seen, SPREAD_STEPS);
    mean_in(&watch->spread_true, signs->spread_true, watch->seen, SPREAD_STEPS);
    mean_in(&watch->ratio, ratio_now(watch), watch->seen, RATIO_STEPS);
    if (!odd) {
        mean_in(&watch->loss, signs->loss, watch->seen, LOSS_STEPS);
        mean_in(&watch->square, signs->loss * signs->loss, watch->seen, LOSS_STEPS);
    }
    if (!ripe)
        return;
    watch->best = MAX(watch->best, watch->ratio);
    count(watch, TRAIN_ALARM_EXPLODES, odd);
    count(watch, TRAIN_ALARM_CRITIC_WINS, critic_wins(rules, signs));
    count(watch, TRAIN_ALARM_COLLAPSE, collapses(watch, rules, signs, ratio_now(watch)));
    count(watch, TRAIN_ALARM_RUNS_AWAY, runs_away(rules, signs, ratio_now(watch)));
}

TrainAlarm train_watch_step(TrainWatch *watch, const TrainWatchRules *rules,
                            const TrainSigns *signs)
{
    if (signs->finite)
        watch->counts[TRAIN_ALARM_NOT_FINITE] = 0; // in a row
    else
        watch->counts[TRAIN_ALARM_NOT_FINITE]++;
    if (watch->counts[TRAIN_ALARM_NOT_FINITE] >= MAX(rules->not_finite, 1))
        return TRAIN_ALARM_NOT_FINITE;
    if (!signs->finite)
        return TRAIN_ALARM_NONE;
    take_in(watch, rules, signs);
    for (int alarm = TRAIN_ALARM_EXPLODES; alarm < TRAIN_N_ALARMS; alarm++)
        if (watch->counts[alarm] >= MAX(rules->patience, 1))
            return (TrainAlarm)alarm;
    return TRAIN_ALARM_NONE;
}

bool train_watch_pending(const TrainWatch *watch)
{
    for (int alarm = 0; alarm < TRAIN_N_ALARMS; alarm++)
        if (watch->counts[alarm] > 0)
            return true;
    return watch->doubt != 0;
}

const char *train_alarm_name(TrainAlarm alarm)
{
    static const char *const names[TRAIN_N_ALARMS] = {"none",        "not-finite", "explodes",
                                                      "critic-wins", "collapse",   "runs-away"};
    return names[alarm];
}

char *train_alarm_sentence(TrainAlarm alarm, const TrainWatch *watch, const TrainWatchRules *rules,
                           const TrainSigns *signs)
{
    double percent = 100 * ratio_now(watch);
    switch (alarm) {
    case TRAIN_ALARM_NOT_FINITE:
        return g_strdup_printf("loss or gradient has not been a number for %d steps",
                               watch->counts[alarm]);
    case TRAIN_ALARM_EXPLODES:
        return g_strdup_printf("the loss explodes: it is %.4g, its mean was %.4g", signs->loss,
                               watch->loss);
    case TRAIN_ALARM_CRITIC_WINS:
        return g_strdup_printf("the critic wins: right on %.0f %% of true and %.0f %% of made "
                               "color, its loss is %.2g where guessing costs %.2g",
                               100 * signs->right_real, 100 * signs->right_fake, signs->critic_loss,
                               rules->guessing);
    case TRAIN_ALARM_COLLAPSE:
        return g_strdup_printf("the generator collapses: the spread of its color is %.1f %% of the "
                               "truth's, and has been %.0f %%",
                               percent, 100 * watch->best);
    case TRAIN_ALARM_RUNS_AWAY:
        return g_strdup_printf("the generator's color runs away: its spread is %.0f %% of the "
                               "truth's",
                               percent);
    default:
        return g_strdup("all is well");
    }
}

// ---- as text ------------------------------------------------------------------------------------

typedef struct {
    const char *name;
    size_t offset;
} Number;

// clang-format off
static const Number numbers[] = {
    {"loss", offsetof(TrainWatch, loss)},
    {"square", offsetof(TrainWatch, square)},
    {"spread", offsetof(TrainWatch, spread)},
    {"spread_true", offsetof(TrainWatch, spread_true)},
    {"ratio", offsetof(TrainWatch, ratio)},
    {"best", offsetof(TrainWatch, best)},
    {"rate_factor", offsetof(TrainWatch, rate_factor)},
    {"critic_factor", offsetof(TrainWatch, critic_factor)},
};
// clang-format on

static double *number_at(TrainWatch *watch, size_t index)
{
    return (double *)(void *)((char *)watch + numbers[index].offset);
}

char *train_watch_text(const TrainWatch *watch)
{
    TrainWatch copy = *watch;
    json_t *counts = json_object();
    for (int alarm = TRAIN_ALARM_NOT_FINITE; alarm < TRAIN_N_ALARMS; alarm++)
        json_object_set_new(counts, train_alarm_name((TrainAlarm)alarm),
                            json_integer(watch->counts[alarm]));
    json_t *object = json_pack("{s:I, s:I, s:I, s:o}", "seen", (json_int_t)watch->seen, "doubt",
                               (json_int_t)watch->doubt, "rollbacks", (json_int_t)watch->rollbacks,
                               "counts", counts);
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        json_object_set_new(object, numbers[i].name, json_real(*number_at(&copy, i)));
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17));
    char *owned = g_strdup(text ? text : "{}");
    free(text);
    json_decref(object);
    return owned;
}

void train_watch_parse(TrainWatch *watch, const char *text)
{
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    const json_t *counts = json_object_get(object, "counts");
    train_watch_init(watch);
    watch->seen = json_integer_value(json_object_get(object, "seen"));
    watch->doubt = json_integer_value(json_object_get(object, "doubt"));
    watch->rollbacks = json_integer_value(json_object_get(object, "rollbacks"));
    for (int alarm = TRAIN_ALARM_NOT_FINITE; alarm < TRAIN_N_ALARMS; alarm++)
        watch->counts[alarm] = (int32_t)json_integer_value(
            json_object_get(counts, train_alarm_name((TrainAlarm)alarm)));
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        const json_t *number = json_object_get(object, numbers[i].name);
        if (json_is_number(number))
            *number_at(watch, i) = json_number_value(number);
    }
    json_decref(object);
}
