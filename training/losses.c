// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of loss terms, their sum, and the schedule of their weights.
#include "losses.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/ops.h>

#include "gan.h"
#include "perceptual.h"
#include "schedule.h"

static const CzShape scalar = {1, 1, 1, 1};

// What a builder may use and set.
typedef struct {
    const TrainLossSources *src;
    TrainLosses *losses;
    CzValue difference; // output - truth
} Build;

// ---- terms --------------------------------------------------------------------------------------

// Keeps a root's derivative finite at grey.
#define TINY 1e-6f

// Mean over places of sqrt(a^2 + b^2).
static CzValue mean_chroma(CzGraph *graph, CzValue ab)
{
    CzShape shape = cz_graph_shape(graph, ab);
    CzValue square =
        cz_sum(graph, cz_math(graph, ab, CZ_MATH_SQUARE), cz_shape(shape.n, 1, shape.h, shape.w));
    return cz_mean(graph, cz_math(graph, cz_scale(graph, square, 1, TINY), CZ_MATH_SQRT), scalar);
}

static CzValue build_huber(const Build *build)
{
    CzGraph *graph = build->src->graph;
    float beta = (float)build->src->recipe->huber_beta;
    return cz_mean(graph, cz_huber(graph, build->difference, beta), scalar);
}

static CzValue build_l1(const Build *build)
{
    CzGraph *graph = build->src->graph;
    return cz_mean(graph, cz_math(graph, build->difference, CZ_MATH_ABS), scalar);
}

// Mean over pictures of log(mean squared error + floor): what PSNR, a mean of logarithms, asks for.
// A picture that is nearly right counts as much as one that is far off.
static CzValue build_log_mse(const Build *build)
{
    CzGraph *graph = build->src->graph;
    float floor = (float)build->src->recipe->log_mse_floor;
    CzShape one = {cz_graph_shape(graph, build->difference).n, 1, 1, 1};
    CzValue mse = cz_mean(graph, cz_math(graph, build->difference, CZ_MATH_SQUARE), one);
    CzValue logs = cz_math(graph, cz_scale(graph, mse, 1, floor), CZ_MATH_LOG);
    return cz_mean(graph, logs, scalar);
}

// Mean of |difference of neighbours|, to the right and downwards.
static CzValue build_gradient(const Build *build)
{
    CzGraph *graph = build->src->graph;
    CzValue src = build->difference;
    CzShape shape = cz_graph_shape(graph, src), none = {0, 0, 0, 0};
    CzShape wide = shape, high = shape, right = none, down = none;
    wide.w--, high.h--, right.w = down.h = 1;
    CzValue x = cz_sub(graph, cz_slice(graph, src, right, wide), cz_slice(graph, src, none, wide));
    CzValue y = cz_sub(graph, cz_slice(graph, src, down, high), cz_slice(graph, src, none, high));
    return cz_add(graph, cz_mean(graph, cz_math(graph, x, CZ_MATH_ABS), scalar),
                  cz_mean(graph, cz_math(graph, y, CZ_MATH_ABS), scalar));
}

// What the critic, as it is now, makes of the output. Its weights are no part of the gradient.
static CzValue build_gan(const Build *build)
{
    const TrainLossSources *src = build->src;
    CzCriticParams params = train_gan_critic(src->recipe);
    CzCriticOutput fake = {0};
    TrainGan gan = TRAIN_GAN_BCE;
    if (!src->against_critic)
        return cz_constant(src->graph, scalar, CZ_F32, 0);
    train_gan_of(src->recipe->gan_loss, &gan);
    cz_critic_build(
        src->graph,
        train_gan_lightness(src->graph, src->lightness, train_recipe_stride(src->recipe)),
        src->output.chroma, &params, &fake);
    CzValue loss = train_gan_generator_loss(src->graph, &fake, params.n_scales, gan);
    cz_critic_clear(&fake);
    return loss;
}

static CzValue build_colourfulness(const Build *build)
{
    CzGraph *graph = build->src->graph;
    const TrainLosses *losses = build->losses;
    return cz_math(graph, cz_sub(graph, losses->chroma, losses->chroma_true), CZ_MATH_ABS);
}

CzValue train_losses_spread(CzGraph *graph, CzValue ab, float tiny)
{
    CzValue middle = cz_rank_mean(graph, cz_mean(graph, ab, cz_shape(1, 2, 1, 1)));
    CzValue square = cz_math(graph, cz_sub(graph, ab, middle), CZ_MATH_SQUARE);
    CzValue variance = cz_rank_mean(graph, cz_mean(graph, square, scalar));
    return cz_math(graph, cz_scale(graph, variance, 2, tiny), CZ_MATH_SQRT);
}

static CzValue build_spread(const Build *build)
{
    CzGraph *graph = build->src->graph;
    CzValue output = train_losses_spread(graph, build->src->output.chroma, TINY);
    CzValue truth = train_losses_spread(graph, build->src->chroma, TINY);
    return cz_math(graph, cz_sub(graph, output, truth), CZ_MATH_ABS);
}

static CzValue build_class(const Build *build)
{
    return train_classes_build(build->src->graph, build->src->output.features,
                               &build->losses->target);
}

static CzValue build_perceptual(const Build *build)
{
    const TrainLossSources *src = build->src;
    return train_perceptual_build(
        src->graph,
        train_gan_lightness(src->graph, src->lightness, train_recipe_stride(src->recipe)),
        src->output.chroma, src->chroma, src->recipe->bf16 ? CZ_BF16 : CZ_F32);
}

// ---- the table ----------------------------------------------------------------------------------

// In the order in which they are added up.
static const struct {
    const char *name;
    size_t weight; // a double of TrainRecipe: loss.NAME
    CzValue (*build)(const Build *build);
    bool teaches; // alone it makes each place's color what it should be
} table[] = {
    {"huber", offsetof(TrainRecipe, huber), build_huber, true},
    {"l1", offsetof(TrainRecipe, l1), build_l1, true},
    {"log-mse", offsetof(TrainRecipe, log_mse), build_log_mse, true},
    {"gradient", offsetof(TrainRecipe, gradient), build_gradient, false},
    {"gan", offsetof(TrainRecipe, gan), build_gan, true},
    {"colourfulness", offsetof(TrainRecipe, colourfulness), build_colourfulness, false},
    {"spread", offsetof(TrainRecipe, spread), build_spread, false},
    {"class", offsetof(TrainRecipe, classes), build_class, false},
    {"perceptual", offsetof(TrainRecipe, perceptual), build_perceptual, true},
};

static double weight_of(const TrainRecipe *recipe, size_t row)
{
    return *(const double *)((const char *)recipe + table[row].weight);
}

double train_losses_weight(const TrainRecipe *recipe, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return weight_of(recipe, i);
    return 0;
}

// The weighted sum; each weight is an element of the input.
static void add_up(TrainLosses *losses, CzGraph *graph)
{
    losses->total = cz_constant(graph, scalar, CZ_F32, 0);
    if (losses->n_terms == 0)
        return;
    losses->weights = cz_input(graph, "loss weights", cz_shape(1, losses->n_terms, 1, 1));
    for (int32_t i = 0; i < losses->n_terms; i++) {
        CzValue weight = cz_slice(graph, losses->weights, (CzShape){0, i, 0, 0}, scalar);
        losses->total = cz_add(graph, losses->total, cz_mul(graph, losses->values[i], weight));
    }
}

bool train_losses_build(TrainLosses *losses, const TrainLossSources *src, CzStore *store,
                        GError **error)
{
    CzGraph *graph = src->graph;
    *losses = (TrainLosses){.recipe = src->recipe, .target = {-1}};
    Build build = {src, losses, cz_sub(graph, src->output.chroma, src->chroma)};
    // Of all ranks: their difference's size is no mean of the ranks' own.
    CzValue chroma[] = {mean_chroma(graph, src->output.chroma), mean_chroma(graph, src->chroma)};
    cz_rank_means(graph, chroma, G_N_ELEMENTS(chroma));
    losses->chroma = chroma[0];
    losses->chroma_true = chroma[1];
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        if (weight_of(src->recipe, i) <= 0)
            continue;
        losses->rows[losses->n_terms] = (int32_t)i;
        losses->values[losses->n_terms++] = table[i].build(&build);
    }
    add_up(losses, graph);
    if (losses->target.id < 0)
        return true;
    losses->classes = train_classes_new(store, cz_graph_shape(graph, losses->target), error);
    return losses->classes != NULL;
}

void train_losses_clear(TrainLosses *losses)
{
    g_clear_pointer(&losses->classes, train_classes_free);
}

bool train_losses_write(const TrainLosses *losses, CzPlan *plan, const float *chroma, int64_t index,
                        GError **error)
{
    const TrainRecipe *recipe = losses->recipe;
    float weights[TRAIN_MOST_TERMS];
    for (int32_t i = 0; i < losses->n_terms; i++) {
        size_t row = (size_t)losses->rows[i];
        double factor =
            train_losses_factor(recipe, table[row].name, index * train_recipe_per_step(recipe));
        weights[i] = (float)(weight_of(recipe, row) * factor);
    }
    if (losses->n_terms > 0 &&
        !cz_plan_write(plan, losses->weights, weights, (size_t)losses->n_terms, error))
        return false;
    if (!losses->classes)
        return true;
    size_t n;
    const float *target = train_classes_encode(losses->classes, chroma,
                                               recipe->crop / train_recipe_stride(recipe), &n);
    return cz_plan_write(plan, losses->target, target, n, error);
}

const char *train_losses_name(const TrainLosses *losses, int32_t term)
{
    return table[losses->rows[term]].name;
}

// ---- what terms need in the store ---------------------------------------------------------------

static int32_t n_features(const TrainRecipe *recipe)
{
    CzGeneratorParams params = train_recipe_generator(recipe);
    return cz_generator_features(&params);
}

bool train_losses_each(const TrainRecipe *recipe,
                       bool (*visit)(void *user, const CzUnetTensor *tensor), void *user)
{
    return recipe->classes <= 0 || train_classes_each(n_features(recipe), visit, user);
}

bool train_losses_start(CzStore *store, const TrainRecipe *recipe, GError **error)
{
    return (recipe->classes <= 0 ||
            train_classes_start(store, n_features(recipe), (uint64_t)recipe->seed, error)) &&
           (recipe->perceptual <= 0 ||
            train_perceptual_start(store, recipe->perceptual_encoder, error));
}

// ---- schedule -----------------------------------------------------------------------------------

// One "PICTURES:FACTOR" at *text, which moves behind it. FALSE: there is none.
static bool read_point(const char **text, double *images, double *factor)
{
    char *end;
    *images = g_ascii_strtod(*text, &end);
    if (end == *text || *end != ':')
        return false;
    const char *second = end + 1;
    *factor = g_ascii_strtod(second, &end);
    *text = end + strspn(end, " \t");
    return end != second && (*text != end || !*end) && *images >= 0 && *images <= 1e12 &&
           *factor >= 0 && *factor <= 1e6;
}

// The factor that a term's points give. FALSE if they are none.
static bool follow(const char *points, double images, double *result)
{
    double before = -1, last = 1, at, factor;
    bool found = false;
    if (!*points)
        return false;
    while (*points) {
        if (!read_point(&points, &at, &factor) || at <= before)
            return false;
        if (before < 0 && images <= at)
            *result = factor, found = true;
        else if (!found && images < at)
            *result = last + (factor - last) * (images - before) / (at - before), found = true;
        before = at;
        last = factor;
    }
    if (!found)
        *result = last;
    return true;
}

// Name and points of one part, cut in place. points: "" if there are none.
static const char *split_part(char *part, const char **points)
{
    g_strstrip(part);
    char *gap = part + strcspn(part, " \t");
    *points = gap + strspn(gap, " \t");
    *gap = '\0';
    return part;
}

double train_losses_factor(const TrainRecipe *recipe, const char *name, int64_t images)
{
    double factor = 1;
    if (!recipe->loss_schedule[0])
        return 1;
    g_auto(GStrv) parts = g_strsplit(recipe->loss_schedule, ";", -1);
    for (char **part = parts; *part; part++) {
        const char *points;
        if (strcmp(split_part(*part, &points), name) == 0)
            follow(points, (double)images, &factor);
    }
    return factor;
}

static bool is_term(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return true;
    return false;
}

static bool check_schedule(const TrainRecipe *recipe, GError **error)
{
    if (!recipe->loss_schedule[0])
        return true;
    g_auto(GStrv) parts = g_strsplit(recipe->loss_schedule, ";", -1);
    for (char **part = parts; *part; part++) {
        const char *points, *name = split_part(*part, &points);
        double factor;
        if (!is_term(name)) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "loss.schedule: there is no loss '%s'",
                        name);
            return false;
        }
        if (!follow(points, 0, &factor)) {
            g_set_error(
                error, CZ_ERROR, CZ_ERROR_RECIPE,
                "loss.schedule: %s: expected points PICTURES:FACTOR, pictures ascending, as "
                "in '%s 0:0 20000:1'",
                name, name);
            return false;
        }
    }
    return true;
}

// NULL if one of those that can teach alone has a weight; else a sentence, which the caller frees.
static char *nothing_teaches(const TrainRecipe *recipe)
{
    g_autoptr(GString) names = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        if (table[i].teaches && weight_of(recipe, i) > 0)
            return NULL;
        if (table[i].teaches)
            g_string_append_printf(names, "%sloss.%s", names->len ? ", " : "", table[i].name);
    }
    return g_strdup_printf("%s are all 0: there is nothing to learn from", names->str);
}

bool train_losses_check(const TrainRecipe *recipe, GError **error)
{
    g_autofree char *nothing = nothing_teaches(recipe);
    const char *wrong = nothing;
    if (!wrong && recipe->perceptual > 0 && !recipe->perceptual_encoder[0])
        wrong = "loss.perceptual needs loss.perceptual-encoder, a pretrained encoder for color";
    if (wrong)
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_RECIPE, wrong);
    return !wrong && check_schedule(recipe, error);
}
