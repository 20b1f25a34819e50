// SPDX-License-Identifier: LGPL-3.0-or-later
// What a sweep tries: axes over recipe keys, and the values of each run.
#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/rng.h>

#include "sweep.h"

static const TrainSweepScore scores[] = {
    {"gain", "validation.csv", "gain_db", "dB", "gain over grey, dB", true, 0},
    {"ssim", "validation.csv", "ssim", "", "SSIM", true, 0},
    {"delta-e", "validation.csv", "delta_e_2000", "", "colour difference, dE00", false, 0},
    {"loss", "log.csv", "loss", "", "loss of training", false, 0.25},
};

const TrainSweepScore *train_sweep_score(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(scores); i++)
        if (g_strcmp0(scores[i].name, name) == 0)
            return &scores[i];
    return NULL;
}

static void axis_free(void *data)
{
    TrainAxis *axis = data;
    g_free(axis->name);
    g_strfreev(axis->values);
    g_free(axis);
}

void train_sweep_plan_init(TrainSweepPlan *plan)
{
    *plan = (TrainSweepPlan){.seed = 1, .eta = 3, .score = &scores[0]};
    train_recipe_init(&plan->recipe);
    plan->axes = g_ptr_array_new_with_free_func(axis_free);
}

void train_sweep_plan_clear(TrainSweepPlan *plan)
{
    g_clear_pointer(&plan->axes, g_ptr_array_unref);
}

// ---- reading ------------------------------------------------------------------------------------

static const TrainKey *find_key(const char *name)
{
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);
    for (size_t i = 0; i < n; i++) {
        g_autofree char *full = g_strdup_printf("%s.%s", keys[i].section, keys[i].key);
        if (strcmp(full, name) == 0)
            return &keys[i];
    }
    return NULL;
}

// A value that the recipe's table refuses is told in its words.
static bool allowed(const char *name, const char *value, GError **error)
{
    TrainRecipe scratch;
    g_autofree char *assignment = g_strdup_printf("%s=%s", name, value);
    train_recipe_init(&scratch);
    return train_recipe_set(&scratch, assignment, error);
}

static bool read_list(TrainAxis *axis, const char *text, GError **error)
{
    axis->values = g_strsplit(text, ",", -1);
    for (char **value = axis->values; *value; value++) {
        g_strstrip(*value);
        if (!allowed(axis->name, *value, error))
            return false;
        for (char **other = axis->values; other < value; other++)
            if (strcmp(*other, *value) == 0) {
                g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s has the value '%s' twice",
                            axis->name, *value);
                return false;
            }
    }
    return true;
}

static bool read_range(TrainAxis *axis, const char *text, GError **error)
{
    g_auto(GStrv) ends = g_strsplit(text, ":", -1);
    if (g_strv_length(ends) != 2 || axis->key->type == TRAIN_KEY_TEXT) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s: %s", axis->name,
                    axis->key->type == TRAIN_KEY_TEXT ? "a text has no range, expected choice:a,b"
                                                      : "expected log:LO:HI or lin:LO:HI");
        return false;
    }
    if (!allowed(axis->name, ends[0], error) || !allowed(axis->name, ends[1], error))
        return false;
    axis->lo = g_ascii_strtod(ends[0], NULL);
    axis->hi = g_ascii_strtod(ends[1], NULL);
    if (axis->lo < axis->hi && (axis->kind == TRAIN_AXIS_LINEAR || axis->lo > 0))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s: expected LO below HI%s, found %s and %s",
                axis->name, axis->kind == TRAIN_AXIS_LOG ? " and above 0" : "", ends[0], ends[1]);
    return false;
}

static bool read_axis(TrainAxis *axis, bool random, const char *text, GError **error)
{
    static const struct {
        const char *prefix;
        TrainAxisKind kind;
    } kinds[] = {
        {"log:", TRAIN_AXIS_LOG}, {"lin:", TRAIN_AXIS_LINEAR}, {"choice:", TRAIN_AXIS_CHOICE}};
    if (!random)
        return read_list(axis, text, error);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!g_str_has_prefix(text, kinds[i].prefix))
            continue;
        axis->kind = kinds[i].kind;
        text += strlen(kinds[i].prefix);
        return axis->kind == TRAIN_AXIS_CHOICE ? read_list(axis, text, error)
                                               : read_range(axis, text, error);
    }
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                "%s=%s: expected log:LO:HI, lin:LO:HI or choice:a,b", axis->name, text);
    return false;
}

static bool add(TrainSweepPlan *plan, bool random, const char *text, GError **error)
{
    const char *equals = strchr(text, '=');
    if (!equals) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "--%s %s: expected section.key=values",
                    random ? "random" : "grid", text);
        return false;
    }
    TrainAxis *axis = g_new0(TrainAxis, 1);
    axis->name = g_strstrip(g_strndup(text, (gsize)(equals - text)));
    axis->key = find_key(axis->name);
    for (guint i = 0; i < plan->axes->len; i++)
        if (strcmp(((TrainAxis *)plan->axes->pdata[i])->name, axis->name) == 0) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s is swept twice", axis->name);
            axis_free(axis);
            return false;
        }
    g_ptr_array_add(plan->axes, axis);
    if (axis->key)
        return read_axis(axis, random, equals + 1, error);
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                "there is no key %s (colorizer train --help lists the keys)", axis->name);
    return false;
}

bool train_sweep_add_grid(TrainSweepPlan *plan, const char *text, GError **error)
{
    return add(plan, false, text, error);
}

bool train_sweep_add_random(TrainSweepPlan *plan, const char *text, GError **error)
{
    return add(plan, true, text, error);
}

static bool put_setting(TrainSweepPlan *plan, const char *name, const char *text, GError **error)
{
    const struct {
        const char *name;
        int64_t *field;
    } numbers[] = {{"runs", &plan->n_runs},
                   {"seed", &plan->seed},
                   {"eta", &plan->eta},
                   {"rungs", &plan->n_rungs}};
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        if (strcmp(numbers[i].name, name) == 0)
            return g_ascii_string_to_signed(text, 10, 0, G_MAXINT32, numbers[i].field, error);
    if (strcmp(name, "score") == 0) {
        plan->score = train_sweep_score(text);
        if (plan->score)
            return true;
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "there is no score '%s'", text);
        return false;
    }
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "there is no key sweep.%s", name);
    return false;
}

static bool put(TrainSweepPlan *plan, const char *section, const char *name, const char *text,
                GError **error)
{
    g_autofree char *assignment = g_strdup_printf("%s=%s", name, text);
    if (strcmp(section, "grid") == 0)
        return add(plan, false, assignment, error);
    if (strcmp(section, "random") == 0)
        return add(plan, true, assignment, error);
    if (strcmp(section, "sweep") == 0)
        return put_setting(plan, name, text, error);
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                "there is no section [%s], expected grid, random or sweep", section);
    return false;
}

bool train_sweep_load(TrainSweepPlan *plan, const char *path, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) local = NULL;
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &local)) {
        g_set_error(error, CZ_ERROR, local->domain == G_FILE_ERROR ? CZ_ERROR_IO : CZ_ERROR_RECIPE,
                    "sweep file %s: %s", path, local->message);
        return false;
    }
    g_auto(GStrv) sections = g_key_file_get_groups(file, NULL);
    for (char **section = sections; *section; section++) {
        g_auto(GStrv) names = g_key_file_get_keys(file, *section, NULL, NULL);
        for (char **name = names; name && *name; name++) {
            // An unknown escape, or text that is not UTF-8; there may be a text beside the error.
            g_autofree char *text = g_key_file_get_string(file, *section, *name, &local);
            if (local)
                g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s", local->message);
            if (local || !put(plan, *section, *name, text, error)) {
                g_prefix_error(error, "sweep file %s: ", path);
                return false;
            }
        }
    }
    return true;
}

// ---- drawing ------------------------------------------------------------------------------------

static bool is_random(const TrainAxis *axis)
{
    return axis->kind != TRAIN_AXIS_GRID;
}

// Cells of the grid; more than anybody runs are as good as that.
static int64_t grid_size(const TrainSweepPlan *plan)
{
    int64_t n = 1;
    for (guint i = 0; i < plan->axes->len; i++) {
        const TrainAxis *axis = plan->axes->pdata[i];
        if (!is_random(axis) && n < INT64_C(1) << 32)
            n *= g_strv_length(axis->values);
    }
    return n;
}

// Which cell of the grid a run has: all in turn, or some of them without repetition (a shuffle
// by Fisher and Yates, as far as it is needed; swaps are looked up from the back).
static int64_t grid_cell(const TrainSweepPlan *plan, int64_t run)
{
    int64_t n = grid_size(plan);
    if (plan->n_runs >= n)
        return run % n;
    g_autofree int64_t *taken = g_new(int64_t, run + 1);
    for (int64_t i = 0; i <= run; i++) {
        CzRng rng = cz_rng((uint64_t)plan->seed, UINT64_C(0xce11) << 32 | (uint64_t)i);
        taken[i] = i + cz_rng_below(&rng, (uint32_t)MIN(n - i, (int64_t)UINT32_MAX));
    }
    int64_t cell = taken[run];
    for (int64_t i = run - 1; i >= 0; i--)
        if (taken[i] == cell)
            cell = i; // what was at i has moved to where the i-th was taken from
    return cell;
}

static char *draw(const TrainSweepPlan *plan, const TrainAxis *axis, int64_t run)
{
    // Each key has its own stream: another key more or less does not change it.
    uint64_t stream = (uint64_t)g_str_hash(axis->name) << 32 | (uint64_t)run;
    CzRng rng = cz_rng((uint64_t)plan->seed, stream);
    if (axis->kind == TRAIN_AXIS_CHOICE)
        return g_strdup(axis->values[cz_rng_below(&rng, g_strv_length(axis->values))]);
    double u = cz_rng_uniform(&rng);
    double value = axis->kind == TRAIN_AXIS_LOG ? axis->lo * pow(axis->hi / axis->lo, u)
                                                : axis->lo + u * (axis->hi - axis->lo);
    bool whole = axis->key->type != TRAIN_KEY_FLOAT;
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    // Four digits say enough, and tables stay readable.
    g_ascii_formatd(text, sizeof text, whole ? "%.0f" : "%.4g",
                    CLAMP(whole ? round(value) : value, axis->lo, axis->hi));
    return g_strdup(text);
}

char **train_sweep_values(const TrainSweepPlan *plan, int64_t run)
{
    char **values = g_new0(char *, plan->axes->len + 1);
    int64_t cell = grid_cell(plan, run);
    for (guint i = plan->axes->len; i-- > 0;) { // the last key turns fastest
        const TrainAxis *axis = plan->axes->pdata[i];
        if (is_random(axis)) {
            values[i] = draw(plan, axis, run);
            continue;
        }
        int64_t n = g_strv_length(axis->values);
        values[i] = g_strdup(axis->values[cell % n]);
        cell /= n;
    }
    return values;
}

bool train_sweep_recipe(const TrainSweepPlan *plan, char *const *values, TrainRecipe *recipe,
                        GError **error)
{
    *recipe = plan->recipe;
    for (guint i = 0; i < plan->axes->len; i++) {
        const TrainAxis *axis = plan->axes->pdata[i];
        g_autofree char *assignment = g_strdup_printf("%s=%s", axis->name, values[i]);
        if (!train_recipe_set(recipe, assignment, error))
            return false;
    }
    return train_recipe_check(recipe, error);
}

// ---- rungs and checks ---------------------------------------------------------------------------

static int64_t power(int64_t base, int64_t exponent)
{
    int64_t result = 1;
    while (exponent-- > 0)
        result = MIN(result * base, INT64_C(1) << 40); // more than any training's steps
    return result;
}

int64_t train_sweep_steps(const TrainSweepPlan *plan, const TrainRecipe *recipe, int64_t rung)
{
    int64_t parts = power(plan->eta, plan->n_rungs - 1 - rung);
    return (train_recipe_steps(recipe) + parts - 1) / parts;
}

int64_t train_sweep_width(const TrainSweepPlan *plan, int64_t rung)
{
    return MAX(plan->n_runs / power(plan->eta, rung), 1);
}

static bool settle(TrainSweepPlan *plan, GError **error)
{
    bool random = false;
    for (guint i = 0; i < plan->axes->len; i++)
        random |= is_random(plan->axes->pdata[i]);
    if (plan->axes->len == 0) {
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                            "nothing is swept: give --grid, --random or --sweep");
        return false;
    }
    if (plan->n_runs == 0 && !random)
        plan->n_runs = grid_size(plan);
    if (!random)
        plan->n_runs = MIN(plan->n_runs, grid_size(plan));
    const char *wrong = NULL;
    if (plan->n_runs == 0)
        wrong = "random draws need a number of --runs";
    else if (plan->n_runs < 1 || plan->n_runs > TRAIN_SWEEP_MOST_RUNS)
        wrong = "a sweep has 1 to 1000 runs: give fewer values, or a number of --runs to take "
                "some of the grid";
    else if (plan->eta < 2 || plan->eta > 100)
        wrong = "--eta is 2 to 100";
    else if (plan->n_rungs < 0 || plan->n_rungs > TRAIN_SWEEP_MOST_RUNGS)
        wrong = "--rungs is 1 to 8";
    if (wrong)
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_ARGUMENT, wrong);
    return !wrong;
}

bool train_sweep_plan_check(TrainSweepPlan *plan, GError **error)
{
    if (!settle(plan, error))
        return false;
    if (plan->n_rungs == 0)
        for (plan->n_rungs = 1; plan->n_rungs < TRAIN_SWEEP_MOST_RUNGS &&
                                power(plan->eta, plan->n_rungs) <= plan->n_runs;)
            plan->n_rungs++;
    for (int64_t run = 0; run < plan->n_runs; run++) {
        g_auto(GStrv) values = train_sweep_values(plan, run);
        g_autofree char *words = g_strjoinv(", ", values);
        TrainRecipe recipe;
        if (!train_sweep_recipe(plan, values, &recipe, error)) {
            g_prefix_error(error, "run %" G_GINT64_FORMAT " (%s): ", run, words);
            return false;
        }
        if (train_recipe_steps(&recipe) < power(plan->eta, plan->n_rungs - 1)) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        "run %" G_GINT64_FORMAT " (%s) has %" G_GINT64_FORMAT
                        " steps, too few for %" G_GINT64_FORMAT
                        " rungs: give fewer --rungs, or more train.images",
                        run, words, train_recipe_steps(&recipe), plan->n_rungs);
            return false;
        }
        if (strcmp(plan->score->file, "validation.csv") == 0 && recipe.validation <= 0) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT,
                        "the score %s needs data.validation above 0", plan->score->name);
            return false;
        }
    }
    return true;
}

char *train_sweep_digest(const TrainSweepPlan *plan, uint64_t set)
{
    g_autofree char *recipe = train_recipe_hash(&plan->recipe);
    g_autoptr(GString) text = g_string_new(NULL);
    g_string_printf(text, "%s %016" G_GINT64_MODIFIER "x", recipe, set);
    for (guint i = 0; i < plan->axes->len; i++) {
        const TrainAxis *axis = plan->axes->pdata[i];
        g_autofree char *values = axis->values ? g_strjoinv(",", axis->values) : NULL;
        g_string_append_printf(text, "\n%s %d %.17g %.17g %s", axis->name, (int)axis->kind,
                               axis->lo, axis->hi, values ? values : "");
    }
    g_string_append_printf(text,
                           "\n%" G_GINT64_FORMAT " %" G_GINT64_FORMAT " %" G_GINT64_FORMAT
                           " %" G_GINT64_FORMAT " %s",
                           plan->n_runs, plan->seed, plan->eta, plan->n_rungs, plan->score->name);
    char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, -1);
    sum[16] = '\0';
    return sum;
}
