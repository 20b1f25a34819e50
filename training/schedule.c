// SPDX-License-Identifier: LGPL-3.0-or-later
// Rates, phases and sizes of the steps of a training.
#include "schedule.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>

bool train_schedule_of(const char *name, TrainScheduleKind *kind)
{
    static const char *const names[TRAIN_N_SCHEDULES] = {"cosine", "linear", "step", "constant"};
    for (int i = 0; i < TRAIN_N_SCHEDULES; i++)
        if (strcmp(name, names[i]) == 0) {
            *kind = (TrainScheduleKind)i;
            return true;
        }
    return false;
}

double train_schedule_rate(const TrainSchedule *schedule, double top, int64_t step, int64_t n_steps)
{
    double at = (double)step, steps = (double)n_steps, warmup = schedule->warmup;
    if (at < warmup)
        return top * (at + 1) / warmup;
    double done = steps > warmup ? (at - warmup) / (steps - warmup) : 1;
    double past = at - schedule->hold;
    switch (schedule->kind) {
    case TRAIN_SCHEDULE_LINEAR:
        return past <= 0 ? top : top * MAX(steps - at, 0) / (steps - schedule->hold);
    case TRAIN_SCHEDULE_STEP:
        return past < 0 ? top : top * exp2(-1 - floor(past / schedule->halve_every));
    case TRAIN_SCHEDULE_CONSTANT:
        return top;
    default:
        return top * 0.5 * (1 + cos(G_PI * CLAMP(done, 0, 1)));
    }
}

int64_t train_recipe_per_step(const TrainRecipe *recipe)
{
    return (int64_t)recipe->batch * recipe->accumulate;
}

static int64_t to_steps(const TrainRecipe *recipe, int64_t images)
{
    int64_t each = train_recipe_per_step(recipe);
    return (images + each - 1) / each;
}

int64_t train_recipe_steps(const TrainRecipe *recipe)
{
    return to_steps(recipe, recipe->images);
}

int64_t train_recipe_gan_step(const TrainRecipe *recipe)
{
    return to_steps(recipe, recipe->gan_from);
}

// ---- phases and rates ---------------------------------------------------------------------------

TrainPhase train_recipe_phase(const TrainRecipe *recipe, int64_t step)
{
    int64_t seen = step * train_recipe_per_step(recipe) - recipe->gan_from;
    if (recipe->gan <= 0 || seen < 0)
        return TRAIN_PHASE_GENERATOR;
    int64_t left = recipe->images - recipe->gan_from, n = recipe->gan_cycles;
    if (n > 1 && left > 0)
        seen %= (left + n - 1) / n;
    return seen < recipe->gan_critic_images ? TRAIN_PHASE_CRITIC : TRAIN_PHASE_BOTH;
}

static TrainSchedule schedule_of(const TrainRecipe *recipe, const char *name, int32_t warmup)
{
    double each = (double)train_recipe_per_step(recipe);
    TrainSchedule schedule = {.warmup = warmup,
                              .hold = (double)recipe->hold / each,
                              .halve_every = (double)recipe->halve_every / each};
    train_schedule_of(name, &schedule.kind);
    return schedule;
}

double train_recipe_rate(const TrainRecipe *recipe, int64_t step)
{
    TrainPhase phase = train_recipe_phase(recipe, step);
    double scale =
        phase == TRAIN_PHASE_BOTH ? recipe->gan_rate_scale : phase == TRAIN_PHASE_GENERATOR;
    int64_t first = train_recipe_gan_step(recipe), steps = train_recipe_steps(recipe);
    const char *name = recipe->schedule;
    if (recipe->gan > 0 && recipe->gan_generator_schedule[0] &&
        first < steps) { // two trainings, one after the other
        if (step >= first) {
            name = recipe->gan_generator_schedule;
            step -= first;
            steps -= first;
        } else {
            steps = first;
        }
    }
    TrainSchedule schedule = schedule_of(recipe, name, recipe->warmup);
    return train_schedule_rate(&schedule, scale * recipe->rate, step, steps);
}

double train_recipe_critic_rate(const TrainRecipe *recipe, int64_t step)
{
    int64_t first = train_recipe_gan_step(recipe), steps = train_recipe_steps(recipe);
    if (step < first)
        return 0;
    TrainSchedule schedule = schedule_of(recipe, recipe->critic_schedule, recipe->critic_warmup);
    return train_schedule_rate(&schedule, recipe->critic_rate, step - first, steps - first);
}

// ---- sizes --------------------------------------------------------------------------------------

// Numbers with commas between; -1: something else is in the way.
static int read_list(const char *text, double numbers[TRAIN_MOST_SIZES])
{
    int n = 0;
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (; parts[n]; n++) {
        char *end = NULL, *part = g_strstrip(parts[n]);
        if (n == TRAIN_MOST_SIZES)
            return -1;
        numbers[n] = g_ascii_strtod(part, &end);
        if (end == part || *end || !isfinite(numbers[n]))
            return -1;
    }
    return n;
}

static const char *find_sizes(const TrainRecipe *recipe, TrainSizes *sizes)
{
    double crops[TRAIN_MOST_SIZES] = {recipe->crop}, from[TRAIN_MOST_SIZES] = {0};
    int n = recipe->sizes[0] ? read_list(recipe->sizes, crops) : 1;
    int n_from = recipe->grow_at[0] ? read_list(recipe->grow_at, from) : MAX(n, 1) - 1;
    *sizes = (TrainSizes){.n = n};
    if (n < 1)
        return "data.sizes is no list of 1 to 8 sizes with commas between";
    if (n_from != n - 1)
        return "data.grow-at needs a share of the training for each of data.sizes but the first";
    for (int i = 0; i < n; i++) {
        if (crops[i] < 32 || crops[i] > 1024 || crops[i] / 2 != floor(crops[i] / 2))
            return recipe->sizes[0] ? "data.sizes holds something else than even sizes from 32 to "
                                      "1024"
                                    : "data.crop is odd: chroma is predicted at half of it";
        sizes->crops[i] = (int32_t)crops[i];
        sizes->from[i] = recipe->grow_at[0] && i > 0 ? from[i - 1] : (double)i / n;
        if (i > 0 && !(sizes->from[i] > sizes->from[i - 1] && sizes->from[i] < 1))
            return "data.grow-at holds something else than rising shares between 0 and 1";
    }
    return NULL;
}

bool train_recipe_sizes(const TrainRecipe *recipe, TrainSizes *sizes, GError **error)
{
    const char *wrong = find_sizes(recipe, sizes);
    if (!wrong && sizes->crops[sizes->n - 1] != recipe->crop)
        wrong = "data.sizes does not end with data.crop";
    if (wrong)
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_RECIPE, wrong);
    return !wrong;
}

int32_t train_recipe_crop(const TrainRecipe *recipe, int64_t step)
{
    TrainSizes sizes;
    double done = (double)step / (double)train_recipe_steps(recipe);
    int at = 0;
    if (find_sizes(recipe, &sizes))
        return recipe->crop;
    while (at + 1 < sizes.n && done >= sizes.from[at + 1])
        at++;
    return sizes.crops[at];
}

bool train_recipe_goes_on(const TrainRecipe *recipe, int64_t step)
{
    return step > 0 && train_recipe_phase(recipe, step) == train_recipe_phase(recipe, step - 1) &&
           train_recipe_crop(recipe, step) == train_recipe_crop(recipe, step - 1);
}
