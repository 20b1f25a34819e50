// SPDX-License-Identifier: LGPL-3.0-or-later
// Alarms: raised by what they are about, by nothing else, and the same after an interruption.
#include <math.h>
#include <string.h>

#include <glib.h>

#include <cz/rng.h>

#include "watch.h"

static const TrainWatchRules rules = {.grace = 100,
                                      .patience = 50,
                                      .not_finite = 20,
                                      .deviations = 8,
                                      .critic = 0.02,
                                      .collapse = 0.25,
                                      .runaway = 4,
                                      .guessing = 1};

// Steps of a sound training with noise: a loss that falls, color that comes slowly.
static TrainSigns sound(CzRng *rng, int step)
{
    double noise = 1 + 0.5 * ((double)cz_rng_uniform(rng) - 0.5);
    return (TrainSigns){.finite = true,
                        .loss = (0.1 + exp(-step / 300.0)) * noise,
                        .spread_true = 0.2 * noise,
                        .spread = 0.2 * (1 - exp(-step / 500.0)) * noise,
                        .against_critic = step > 1000,
                        .critic_loss = 0.6 * noise,
                        .right_real = 0.9,
                        .right_fake = 0.97};
}

typedef void (*Change)(TrainSigns *signs);

// The step at which an alarm is raised; 0: none within n.
static int run(const TrainWatchRules *used, int n, int from, Change change, TrainAlarm *alarm)
{
    CzRng rng = cz_rng(5, 5);
    TrainWatch watch;

    train_watch_init(&watch);
    for (int step = 1; step <= n; step++) {
        TrainSigns signs = sound(&rng, step);

        if (change && step >= from)
            change(&signs);
        *alarm = train_watch_step(&watch, used, &signs);
        if (*alarm)
            return step;
    }
    return 0;
}

static void not_finite(TrainSigns *signs)
{
    signs->finite = false;
    signs->loss = NAN;
}

static void exploding(TrainSigns *signs)
{
    signs->loss *= 10;
}

static void won(TrainSigns *signs)
{
    signs->right_real = signs->right_fake = 0.99;
    signs->critic_loss = 0.005;
}

static void grey(TrainSigns *signs)
{
    signs->spread *= 0.05;
}

static void gaudy(TrainSigns *signs)
{
    signs->spread *= 8;
}

static void a_sound_training_raises_none(void)
{
    TrainAlarm alarm;
    g_assert_cmpint(run(&rules, 20000, 0, NULL, &alarm), ==, 0);
}

// Each within its patience, and the time that means take to follow; off where its rule is 0.
static void each_alarm_is_raised_by_its_sign(void)
{
    static const struct {
        TrainAlarm alarm;
        Change change;
        int within;
        size_t rule;
    } cases[] = {{TRAIN_ALARM_NOT_FINITE, not_finite, 20, 0},
                 {TRAIN_ALARM_EXPLODES, exploding, 50, offsetof(TrainWatchRules, deviations)},
                 {TRAIN_ALARM_CRITIC_WINS, won, 50, offsetof(TrainWatchRules, critic)},
                 {TRAIN_ALARM_COLLAPSE, grey, 100, offsetof(TrainWatchRules, collapse)},
                 {TRAIN_ALARM_RUNS_AWAY, gaudy, 100, offsetof(TrainWatchRules, runaway)}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        TrainAlarm alarm;
        TrainWatchRules off = rules;
        int step = run(&rules, 5000, 2000, cases[i].change, &alarm);

        g_test_message("%s at %d", train_alarm_name(cases[i].alarm), step);
        g_assert_cmpint(alarm, ==, cases[i].alarm);
        g_assert_cmpint(step, >=, 2000);
        g_assert_cmpint(step, <=, 2000 + cases[i].within);
        if (cases[i].rule) {
            *(double *)(void *)((char *)&off + cases[i].rule) = 0;
            g_assert_cmpint(run(&off, 5000, 2000, cases[i].change, &alarm), ==, 0);
        }
    }
}

static int outliers;

static void now_and_then(TrainSigns *signs)
{
    if (++outliers % 3 == 0) {
        exploding(signs);
        signs->loss *= 1000;
        won(signs);
        not_finite(signs);
        signs->finite = outliers % 6 == 0;
        signs->loss = signs->finite ? 1e6 : NAN;
    }
}

static void outliers_raise_none(void)
{
    TrainAlarm alarm;
    g_assert_cmpint(run(&rules, 5000, 2000, now_and_then, &alarm), ==, 0);
}

static void fresh(TrainSigns *signs)
{
    signs->against_critic = false;
}

static void dull(TrainSigns *signs)
{
    fresh(signs);
    signs->spread = 0.02 * signs->spread_true;
}

static void wild_then_dull(TrainSigns *signs)
{
    static int step;

    fresh(signs);
    signs->spread = (step++ < 50 ? 5 : 0.3) * signs->spread_true;
}

// A fresh network is grey, or wild for some steps, and no collapse is what follows.
static void a_beginning_is_no_collapse(void)
{
    TrainAlarm alarm;
    g_assert_cmpint(run(&rules, 5000, 1, dull, &alarm), ==, 0);
    g_assert_cmpint(run(&rules, 5000, 1, wild_then_dull, &alarm), ==, 0);
}

static void grey_from_the_first(TrainSigns *signs)
{
    signs->against_critic = true;
    signs->spread = 0.01 * signs->spread_true;
}

static void against_a_critic_grey_is_a_collapse(void)
{
    TrainAlarm alarm;
    int step = run(&rules, 5000, 1, grey_from_the_first, &alarm);

    g_assert_cmpint(alarm, ==, TRAIN_ALARM_COLLAPSE);
    g_assert_cmpint(step, ==, rules.grace + rules.patience);
}

// A checkpoint written as color goes must not be called good because means have not followed yet.
static void a_step_in_doubt_is_pending_at_once(void)
{
    CzRng rng = cz_rng(1, 1);
    TrainWatch watch;

    train_watch_init(&watch);
    for (int step = 1; step <= 2001; step++) {
        TrainSigns signs = sound(&rng, step);

        g_assert_false(train_watch_pending(&watch));
        if (step == 2001)
            signs.spread = 0.4 * signs.spread_true; // of 1; an alarm is below a quarter
        g_assert_cmpint(train_watch_step(&watch, &rules, &signs), ==, TRAIN_ALARM_NONE);
    }
    g_assert_true(train_watch_pending(&watch));
}

static void rest_keeps_what_rollbacks_did(void)
{
    CzRng rng = cz_rng(1, 1);
    TrainWatch watch;

    train_watch_init(&watch);
    watch.rollbacks = 2;
    watch.rate_factor = 0.25;
    watch.critic_factor = 0.125;
    for (int step = 0; step < 3000; step++) {
        TrainSigns signs = sound(&rng, step);

        grey(&signs);
        train_watch_step(&watch, &rules, &signs);
    }
    g_assert_true(train_watch_pending(&watch));
    train_watch_rest(&watch);
    g_assert_false(train_watch_pending(&watch));
    g_assert_cmpint(watch.rollbacks, ==, 2);
    g_assert_cmpfloat(watch.rate_factor, ==, 0.25);
    g_assert_cmpfloat(watch.critic_factor, ==, 0.125);
    g_assert_cmpint(watch.seen, ==, 0);
}

// Written and read at every step: not a bit is lost, so that a resumed run decides the same.
static void its_text_is_all_of_it(void)
{
    CzRng rng = cz_rng(2, 1);
    TrainWatch watch, again;

    train_watch_init(&watch);
    for (int step = 1; step < 400; step++) {
        TrainSigns signs = sound(&rng, step);

        if (step > 350)
            gaudy(&signs), exploding(&signs);
        train_watch_step(&watch, &rules, &signs);
        g_autofree char *text = train_watch_text(&watch);
        memset(&again, 0xaa, sizeof again);
        train_watch_parse(&again, text);
        g_assert_cmpmem(&again, sizeof again, &watch, sizeof watch);
    }
    train_watch_parse(&again, "{\"seen\": \"no number\"");
    train_watch_init(&watch);
    g_assert_cmpmem(&again, sizeof again, &watch, sizeof watch);
}

static void sentences_name_figures(void)
{
    TrainWatch watch;
    TrainSigns signs = {.loss = 12.5, .critic_loss = 0.005, .right_real = 1, .right_fake = 0.99};

    train_watch_init(&watch);
    watch.counts[TRAIN_ALARM_NOT_FINITE] = 20;
    watch.spread = 0.003;
    watch.spread_true = 0.1;
    static const char *const words[TRAIN_N_ALARMS] = {"well", "20 steps", "12.5",
                                                      "99 %", "3.0 %",    "3 %"};
    for (int alarm = 0; alarm < TRAIN_N_ALARMS; alarm++) {
        g_autofree char *text = train_alarm_sentence((TrainAlarm)alarm, &watch, &rules, &signs);

        g_assert_nonnull(strstr(text, words[alarm]));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/watch/" #name, name)
    ADD(a_sound_training_raises_none);
    ADD(each_alarm_is_raised_by_its_sign);
    ADD(outliers_raise_none);
    ADD(a_beginning_is_no_collapse);
    ADD(against_a_critic_grey_is_a_collapse);
    ADD(a_step_in_doubt_is_pending_at_once);
    ADD(rest_keeps_what_rollbacks_did);
    ADD(its_text_is_all_of_it);
    ADD(sentences_name_figures);
    return g_test_run();
}
