// SPDX-License-Identifier: LGPL-3.0-or-later
// The graph of a training step, and its run.
#include "step.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/ops.h>

#include "gan.h"
#include "optimizer.h"

enum { OUT_LOSS, OUT_NORM, OUT_GATE, OUT_CHROMA, OUT_CHROMA_TRUE, OUT_GAN, N_SCALARS };

struct TrainStep {
    const TrainRecipe *recipe;
    CzGraph *graph;
    CzPlan *plan;
    CzValue lightness, chroma, output;
    CzValue scalars[N_SCALARS];
    TrainOptimizer optimizer;
    size_t n_lightness, n_chroma;
};

static const CzShape scalar = {1, 1, 1, 1};

// Biases are not decayed: they hold levels, not slopes.
static bool collect(void *user, const CzUnetTensor *tensor)
{
    TrainStep *step = user;
    const TrainRecipe *recipe = step->recipe;
    CzShape shape = tensor->shape;
    bool bias = shape.n == 1 && shape.h == 1 && shape.w == 1;
    train_optimizer_add(&step->optimizer, tensor->name, shape,
                        tensor->encoder ? recipe->encoder_scale : 1, bias ? 0 : recipe->decay);
    return true;
}

// Mean over places of sqrt(a^2 + b^2); the small term keeps the root's derivative finite at grey.
static CzValue mean_chroma(CzGraph *graph, CzValue ab)
{
    CzShape shape = cz_graph_shape(graph, ab);
    CzValue square =
        cz_sum(graph, cz_math(graph, ab, CZ_MATH_SQUARE), cz_shape(shape.n, 1, shape.h, shape.w));
    return cz_mean(graph, cz_math(graph, cz_scale(graph, square, 1, 1e-6f), CZ_MATH_SQRT), scalar);
}

// Mean of |difference of neighbours|, to the right and downwards.
static CzValue mean_slope(CzGraph *graph, CzValue src)
{
    CzShape shape = cz_graph_shape(graph, src), none = {0, 0, 0, 0};
    CzShape wide = shape, high = shape, right = none, down = none;
    wide.w--, high.h--, right.w = down.h = 1;
    CzValue x = cz_sub(graph, cz_slice(graph, src, right, wide), cz_slice(graph, src, none, wide));
    CzValue y = cz_sub(graph, cz_slice(graph, src, down, high), cz_slice(graph, src, none, high));
    return cz_add(graph, cz_mean(graph, cz_math(graph, x, CZ_MATH_ABS), scalar),
                  cz_mean(graph, cz_math(graph, y, CZ_MATH_ABS), scalar));
}

// What the critic, as it is now, makes of the output. Its weights are no part of the gradient.
static CzValue build_gan(TrainStep *step)
{
    CzGraph *graph = step->graph;
    CzCriticParams params = train_gan_critic(step->recipe);
    CzCriticOutput fake = {0};
    TrainGan gan = TRAIN_GAN_BCE;
    train_gan_of(step->recipe->gan_loss, &gan);
    cz_critic_build(graph, train_gan_lightness(graph, step->lightness), step->output, &params,
                    &fake);
    CzValue loss = train_gan_generator_loss(graph, &fake, params.n_scales, gan);
    cz_critic_clear(&fake);
    return loss;
}

static CzValue build_loss(TrainStep *step, bool against_critic)
{
    CzValue output = step->output;
    CzGraph *graph = step->graph;
    const TrainRecipe *recipe = step->recipe;
    CzValue difference = cz_sub(graph, output, step->chroma),
            loss = cz_constant(graph, scalar, CZ_F32, 0);
    CzValue chroma = mean_chroma(graph, output), chroma_true = mean_chroma(graph, step->chroma);
    if (recipe->huber > 0) {
        CzValue term =
            cz_mean(graph, cz_huber(graph, difference, (float)recipe->huber_beta), scalar);
        loss = cz_add(graph, loss, cz_scale(graph, term, (float)recipe->huber, 0));
    }
    if (recipe->l1 > 0) {
        CzValue term = cz_mean(graph, cz_math(graph, difference, CZ_MATH_ABS), scalar);
        loss = cz_add(graph, loss, cz_scale(graph, term, (float)recipe->l1, 0));
    }
    if (recipe->gradient > 0)
        loss = cz_add(graph, loss,
                      cz_scale(graph, mean_slope(graph, difference), (float)recipe->gradient, 0));
    step->scalars[OUT_GAN] =
        against_critic ? build_gan(step) : cz_constant(graph, scalar, CZ_F32, 0);
    if (against_critic)
        loss = cz_add(graph, loss, cz_scale(graph, step->scalars[OUT_GAN], (float)recipe->gan, 0));
    if (recipe->colourfulness > 0) {
        CzValue term = cz_math(graph, cz_sub(graph, chroma, chroma_true), CZ_MATH_ABS);
        loss = cz_add(graph, loss, cz_scale(graph, term, (float)recipe->colourfulness, 0));
    }
    step->scalars[OUT_CHROMA] = chroma;
    step->scalars[OUT_CHROMA_TRUE] = chroma_true;
    return loss;
}

static void build_update(TrainStep *step, CzValue loss)
{
    train_optimizer_gradients(&step->optimizer, loss);
    train_optimizer_updates(&step->optimizer);
    step->scalars[OUT_LOSS] = loss;
    step->scalars[OUT_NORM] = step->optimizer.norm;
    step->scalars[OUT_GATE] = step->optimizer.gate;
}

TrainStep *train_step_new(CzEngineDevice *device, CzStore *store, const TrainRecipe *recipe,
                          bool against_critic, GError **error)
{
    TrainStep *step = g_new0(TrainStep, 1);
    CzUnetParams network = train_recipe_network(recipe);
    const TrainOptimizerParams params = {.beta1 = recipe->beta1,
                                         .beta2 = recipe->beta2,
                                         .epsilon = recipe->epsilon,
                                         .clip = recipe->clip,
                                         .average = true};
    int32_t n = recipe->batch, crop = recipe->crop;
    step->recipe = recipe;
    step->graph = cz_graph_new();
    step->n_lightness = (size_t)n * (size_t)crop * (size_t)crop;
    step->n_chroma = step->n_lightness / 2;
    step->lightness = cz_input(step->graph, "lightness", cz_shape(n, 1, crop, crop));
    step->chroma = cz_input(step->graph, "chroma", cz_shape(n, 2, crop / 2, crop / 2));
    train_optimizer_init(&step->optimizer, step->graph, &params);
    cz_unet_each(&network, collect, step);
    step->output =
        cz_unet_build(step->graph, step->lightness, &network, recipe->bf16 ? CZ_BF16 : CZ_F32)
            .chroma;
    build_update(step, build_loss(step, against_critic));
    GArray *effects = step->optimizer.effects;
    size_t n_outputs = N_SCALARS + effects->len + 1;
    g_autofree CzValue *outputs = g_new(CzValue, n_outputs);
    memcpy(outputs, step->scalars, sizeof step->scalars);
    memcpy(outputs + N_SCALARS, effects->data, effects->len * sizeof *outputs);
    outputs[n_outputs - 1] = step->output;
    if (cz_graph_check(step->graph, error))
        step->plan = cz_plan_new(device, store, step->graph, outputs, n_outputs, NULL, error);
    if (!step->plan)
        g_clear_pointer(&step, train_step_free);
    return step;
}

void train_step_free(TrainStep *step)
{
    if (!step)
        return;
    cz_plan_free(step->plan);
    cz_graph_free(step->graph);
    train_optimizer_clear(&step->optimizer);
    g_free(step);
}

bool train_step_read_chroma(TrainStep *step, float *chroma, GError **error)
{
    return cz_plan_read(step->plan, step->output, chroma, step->n_chroma, error);
}

CzPlan *train_step_plan(TrainStep *step)
{
    return step->plan;
}

bool train_step_run(TrainStep *step, const float *lightness, const float *chroma, int64_t index,
                    TrainScalars *scalars, GError **error)
{
    const TrainRecipe *recipe = step->recipe;
    double t = (double)index + 1;
    // The average of the first steps would otherwise be the untrained weights for a long time.
    double ema = MIN(recipe->ema, (1 + t) / (10 + t));
    float rates[4];
    train_optimizer_rates(&step->optimizer, train_recipe_rate(recipe, index), ema, index, rates);
    float *const fields[N_SCALARS] = {&scalars->loss,   &scalars->norm,        &scalars->gate,
                                      &scalars->chroma, &scalars->chroma_true, &scalars->gan};
    bool done = cz_plan_write(step->plan, step->lightness, lightness, step->n_lightness, error) &&
                cz_plan_write(step->plan, step->chroma, chroma, step->n_chroma, error) &&
                cz_plan_write(step->plan, step->optimizer.rates, rates, 4, error) &&
                cz_plan_run(step->plan, NULL, error);
    for (int i = 0; done && i < N_SCALARS; i++)
        done = cz_plan_read(step->plan, step->scalars[i], fields[i], 1, error);
    return done;
}

typedef struct {
    CzStore *store;
    GError **error;
} Starter;

static bool start_state(void *user, const CzUnetTensor *tensor)
{
    Starter *starter = user;
    return train_optimizer_start(starter->store, tensor->name, tensor->shape, true, starter->error);
}

bool train_step_start(CzStore *store, const TrainRecipe *recipe, GError **error)
{
    CzUnetParams network = train_recipe_network(recipe), found;
    if (recipe->start[0]) {
        g_autoptr(CzModelFile) file = cz_model_file_open(recipe->start, error);
        if (!file || !cz_unet_read(&found, file, error) || !cz_store_load(store, file, error))
            return false;
        if (memcmp(found.widths, network.widths, sizeof found.widths) ||
            found.context != network.context) {
            g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                        "%s holds another network than the recipe describes", recipe->start);
            return false;
        }
    } else if (!cz_unet_start(store, &network, recipe->encoder[0] ? recipe->encoder : NULL,
                              (uint64_t)recipe->seed, error)) {
        return false;
    }
    Starter starter = {store, error};
    return cz_unet_each(&network, start_state, &starter) &&
           (recipe->gan <= 0 || train_critic_start(store, recipe, error));
}
