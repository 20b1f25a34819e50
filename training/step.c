// SPDX-License-Identifier: LGPL-3.0-or-later
// The graph of a training step, and its run.
#include "step.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/ops.h>

#include "gan.h"

enum {
    OUT_LOSS,
    OUT_NORM,
    OUT_GATE,
    OUT_CHROMA,
    OUT_CHROMA_TRUE,
    OUT_SPREAD,
    OUT_SPREAD_TRUE,
    N_SCALARS
};

static const CzShape scalar = {1, 1, 1, 1};

struct TrainStep {
    const TrainRecipe *recipe;
    CzGraph *graph;
    CzPlan *plan;
    CzValue lightness, chroma, output;
    CzValue scalars[N_SCALARS];
    TrainLosses losses;
    TrainOptimizer optimizer;
    size_t n_lightness, n_chroma;
};

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

// sqrt(var a + var b) over places and pictures: 0 where all is one color, whichever.
static CzValue spread(CzGraph *graph, CzValue ab)
{
    CzValue middle = cz_mean(graph, ab, cz_shape(1, 2, 1, 1));
    CzValue off = cz_math(graph, cz_sub(graph, ab, middle), CZ_MATH_SQUARE);
    return cz_math(graph, cz_scale(graph, cz_mean(graph, off, scalar), 2, 0), CZ_MATH_SQRT);
}

static void build_update(TrainStep *step)
{
    train_optimizer_gradients(&step->optimizer, step->losses.total);
    train_optimizer_updates(&step->optimizer);
    step->scalars[OUT_LOSS] = step->losses.total;
    step->scalars[OUT_CHROMA] = step->losses.chroma;
    step->scalars[OUT_CHROMA_TRUE] = step->losses.chroma_true;
    step->scalars[OUT_SPREAD] = spread(step->graph, step->output);
    step->scalars[OUT_SPREAD_TRUE] = spread(step->graph, step->chroma);
    step->scalars[OUT_NORM] = step->optimizer.norm;
    step->scalars[OUT_GATE] = step->optimizer.gate;
}

static CzPlan *plan_step(const TrainStep *step, CzEngineDevice *device, CzStore *store,
                         GError **error)
{
    g_autoptr(GArray) outputs = g_array_new(FALSE, FALSE, sizeof(CzValue));
    const GArray *effects = step->optimizer.effects;
    g_array_append_vals(outputs, step->scalars, N_SCALARS);
    g_array_append_vals(outputs, step->losses.values, (guint)step->losses.n_terms);
    g_array_append_vals(outputs, effects->data, effects->len);
    g_array_append_val(outputs, step->output);
    return cz_graph_check(step->graph, error)
               ? cz_plan_new(device, store, step->graph, (const CzValue *)(void *)outputs->data,
                             outputs->len, NULL, error)
               : NULL;
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
    train_losses_each(recipe, collect, step);
    TrainLossSources src = {step->graph, recipe, step->lightness, step->chroma,
                            .against_critic = against_critic};
    src.output =
        cz_unet_build(step->graph, step->lightness, &network, recipe->bf16 ? CZ_BF16 : CZ_F32);
    step->output = src.output.chroma;
    if (train_losses_build(&step->losses, &src, store, error)) {
        build_update(step);
        step->plan = plan_step(step, device, store, error);
    }
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
    train_losses_clear(&step->losses);
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
    float *const fields[N_SCALARS] = {&scalars->loss,       &scalars->norm,        &scalars->gate,
                                      &scalars->chroma,     &scalars->chroma_true, &scalars->spread,
                                      &scalars->spread_true};
    bool done = cz_plan_write(step->plan, step->lightness, lightness, step->n_lightness, error) &&
                cz_plan_write(step->plan, step->chroma, chroma, step->n_chroma, error) &&
                cz_plan_write(step->plan, step->optimizer.rates, rates, 4, error) &&
                train_losses_write(&step->losses, step->plan, chroma, index, error) &&
                cz_plan_run(step->plan, NULL, error);
    for (int i = 0; done && i < N_SCALARS; i++)
        done = cz_plan_read(step->plan, step->scalars[i], fields[i], 1, error);
    done = done &&
           train_losses_read(&step->losses, step->plan, scalars->terms, &scalars->n_terms, error);
    scalars->gan = 0;
    for (int32_t i = 0; done && i < scalars->n_terms; i++)
        if (strcmp(scalars->terms[i].name, "gan") == 0)
            scalars->gan = scalars->terms[i].value;
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
    return train_losses_start(store, recipe, error) &&
           cz_unet_each(&network, start_state, &starter) &&
           train_losses_each(recipe, start_state, &starter) &&
           (recipe->gan <= 0 || train_critic_start(store, recipe, error));
}
