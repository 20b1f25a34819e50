// SPDX-License-Identifier: LGPL-3.0-or-later
// The regression of hints as a graph, and the learning of its head and kernel.
#include "hint_fit.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>

#include "step.h"

const TrainHintFitOptions train_hint_fit_default = {
    .width = 32, .batch = 8, .hints = 24, .judged = 64, .steps = 400, .rate = 2e-3, .seed = 1};

#define MEAN_HINTS 8
#define UNKNOWABLE 20.0f // of a*b* squared
// Under roots and logarithms, so that their derivatives stay finite.
#define TINY  1e-6f
#define RIDGE 1e-6f
#define BETA1 0.9
#define BETA2 0.999
#define CLIP  10.0f

// The kernel's numbers are learned as logarithms: they stay positive.
enum { FEATURE, PLACE, LIGHTNESS, CHROMA, STRENGTH, NOISE, N_NUMBERS };
enum { HEAD = N_NUMBERS, AMPLITUDE, CURVE, N_PARAMS };
// clang-format off
static const char *const names[N_PARAMS] = {
    "hint.kernel.feature", "hint.kernel.place", "hint.kernel.lightness", "hint.kernel.chroma",
    "hint.kernel.strength", "hint.kernel.noise", "hint.head", "hint.amplitude", "hint.curve"};
// clang-format on
static const CzShape scalar = {1, 1, 1, 1};

// Channels of the inputs PLACES: x, y, l, c.
enum { PLACE_X, PLACE_L = 2, PLACE_C, N_PLACES = 5 };
// Inputs. PAIRS: 1 where both hints of a pair are given; OWN: 1 at a given hint's own place, ABSENT
// at those of all others, so that the matrix is regular; ASKED: residual and prediction at the
// hints, PREDICTED: prediction at the places judged, WANTED: their residual.
enum { PLACES, CURVES, PAIRS, OWN, ABSENT, ASKED, PREDICTED, WANTED, RATES, N_FIXED };
#define MOST_MAPS   8 // working sizes that a weights file may name
#define MOST_INPUTS (N_FIXED + MOST_MAPS)

struct TrainHintFit {
    TrainHintFitOptions options;
    int32_t n_maps, channels;
    CzStore *store;
    CzGraph *graph;
    CzPlan *plan;
    CzValue inputs[MOST_INPUTS]; // of maps after the others
    float *data[MOST_INPUTS];
    size_t n_data[MOST_INPUTS];
    CzValue params[N_PARAMS], loss, gate;
    CzRng rng;
    int64_t done;
};

// ---- the graph ----------------------------------------------------------------------------------

static CzValue square(CzGraph *graph, CzValue x)
{
    return cz_math(graph, x, CZ_MATH_SQUARE);
}

// x^power for x >= 0.
static CzValue power(CzGraph *graph, CzValue x, float exponent)
{
    CzValue logarithm = cz_math(graph, cz_scale(graph, x, 1, TINY), CZ_MATH_LOG);
    return cz_math(graph, cz_scale(graph, logarithm, exponent, 0), CZ_MATH_EXP);
}

// A number of the kernel to a power.
static CzValue number(const TrainHintFit *fit, int which, float exponent)
{
    return cz_math(fit->graph, cz_scale(fit->graph, fit->params[which], exponent, 0), CZ_MATH_EXP);
}

// rows (n, c, m, 1): squared differences to the first k of them, (n, c, m, k).
static CzValue differences(const TrainHintFit *fit, CzValue rows)
{
    CzGraph *graph = fit->graph;
    CzShape shape = cz_graph_shape(graph, rows), first = shape, pairs = shape;
    first.h = pairs.w = fit->options.hints;
    CzValue columns = cz_transpose(graph, cz_slice(graph, rows, (CzShape){0}, first));
    return square(graph, cz_sub(graph, cz_broadcast(graph, rows, pairs, CZ_F32), columns));
}

static CzValue sum_channels(CzGraph *graph, CzValue src, int32_t first, int32_t n)
{
    CzShape shape = cz_graph_shape(graph, src), sum = shape;
    shape.c = n;
    sum.c = 1;
    return cz_sum(graph, cz_slice(graph, src, (CzShape){0, first, 0, 0}, shape), sum);
}

// exp(-u^1.5 - |dplace| / place) and the amplitudes, of all places and the hints: (n, 1, m, k).
static CzValue build_kernel(const TrainHintFit *fit)
{
    CzGraph *graph = fit->graph;
    const CzConvParams plain = {0};
    float mean = 1 / (float)fit->n_maps;
    CzValue places = differences(fit, fit->inputs[PLACES]);
    CzValue exponent =
        cz_conv2d(graph, fit->inputs[CURVES], fit->params[CURVE], CZ_NONE, CZ_NONE, plain);
    CzValue u = cz_mul(graph, sum_channels(graph, places, PLACE_L, 1), number(fit, LIGHTNESS, -2));
    u = cz_add(graph, u,
               cz_mul(graph, sum_channels(graph, places, PLACE_C, 2), number(fit, CHROMA, -2)));
    for (int32_t m = 0; m < fit->n_maps; m++) {
        CzValue z =
            cz_conv2d(graph, fit->inputs[N_FIXED + m], fit->params[HEAD], CZ_NONE, CZ_NONE, plain);
        CzValue unlike = sum_channels(graph, differences(fit, z), 0, fit->options.width);
        CzValue scaled = cz_mul(graph, unlike, number(fit, FEATURE, -2));
        u = cz_add(graph, u, cz_scale(graph, scaled, mean, 0));
        CzValue part = cz_conv2d(graph, z, fit->params[AMPLITUDE], CZ_NONE, CZ_NONE, plain);
        exponent = cz_add(graph, exponent, cz_scale(graph, part, mean, 0));
    }
    CzValue far = cz_mul(graph, power(graph, sum_channels(graph, places, PLACE_X, 2), 0.5f),
                         number(fit, PLACE, -1));
    CzValue all = cz_scale(graph, cz_add(graph, power(graph, u, 0.75f), far), -1, 0);
    CzValue amplitudes = cz_math(graph, cz_clamp(graph, exponent, -1, 1), CZ_MATH_EXP);
    CzShape hints = cz_shape(fit->options.batch, 1, fit->options.hints, 1);
    CzValue of_hints = cz_transpose(graph, cz_slice(graph, amplitudes, (CzShape){0}, hints));
    return cz_mul(graph, cz_mul(graph, cz_math(graph, all, CZ_MATH_EXP), amplitudes), of_hints);
}

// Sherman and Morrison's formula for the strength, as color/hints.c has it: (n, 1, 1, 1).
static CzValue build_strength(const TrainHintFit *fit, CzValue alpha, CzValue solved, CzValue v)
{
    CzGraph *graph = fit->graph;
    CzShape one = cz_shape(fit->options.batch, 1, 1, 1);
    CzValue strength = number(fit, STRENGTH, 1);
    CzValue modest = cz_sum(graph, cz_mul(graph, v, alpha), one);
    CzValue predicted = cz_sum(graph, cz_mul(graph, v, solved), one);
    CzValue below = cz_scale(graph, cz_mul(graph, predicted, strength), 1, 1);
    return cz_mul(graph, cz_mul(graph, modest, strength),
                  cz_math(graph, below, CZ_MATH_RECIPROCAL));
}

// What the hints make of the places judged: (n, 2, m, 1).
static CzValue build_residual(const TrainHintFit *fit, CzValue kernel)
{
    CzGraph *graph = fit->graph;
    int32_t n = fit->options.batch, k = fit->options.hints, judged = fit->options.judged;
    CzShape half = cz_shape(n, 2, 1, k), second = {0, 2, 0, 0}, below = {0, 0, k, 0};
    CzValue matrix = cz_slice(graph, kernel, (CzShape){0}, cz_shape(n, 1, k, k));
    matrix = cz_add(graph, cz_mul(graph, matrix, fit->inputs[PAIRS]), fit->inputs[ABSENT]);
    matrix = cz_add(graph, matrix, cz_mul(graph, fit->inputs[OWN], number(fit, NOISE, 1)));
    CzValue x = cz_solve(graph, matrix, fit->inputs[ASKED], RIDGE);
    CzValue alpha = cz_slice(graph, x, (CzShape){0}, half);
    CzValue solved = cz_slice(graph, x, second, half);
    CzValue v = cz_slice(graph, fit->inputs[ASKED], second, half);
    CzValue strength = build_strength(fit, alpha, solved, v);
    alpha = cz_sub(graph, alpha, cz_mul(graph, solved, strength));
    CzValue to_judged = cz_slice(graph, kernel, below, cz_shape(n, 1, judged, k));
    CzValue both = cz_broadcast(graph, to_judged, cz_shape(n, 2, judged, k), CZ_F32);
    CzValue spread = cz_sum(graph, cz_mul(graph, both, alpha), cz_shape(n, 2, judged, 1));
    return cz_add(graph, spread, cz_mul(graph, fit->inputs[PREDICTED], strength));
}

static void build_loss(TrainHintFit *fit)
{
    CzGraph *graph = fit->graph;
    CzValue residual = build_residual(fit, build_kernel(fit));
    CzValue error = square(graph, cz_sub(graph, residual, fit->inputs[WANTED]));
    CzValue mean = cz_mean(graph, error, cz_shape(fit->options.batch, 1, 1, 1)); // of a* and b*
    fit->loss =
        cz_mean(graph, cz_math(graph, cz_scale(graph, mean, 2, UNKNOWABLE), CZ_MATH_LOG), scalar);
}

static CzShape param_shape(const TrainHintFit *fit, int which)
{
    if (which == HEAD)
        return cz_shape(fit->options.width, fit->channels, 1, 1);
    if (which == AMPLITUDE)
        return cz_shape(1, fit->options.width, 1, 1);
    return which == CURVE ? cz_shape(1, CZ_HINT_CURVE, 1, 1) : scalar;
}

static CzValue moment(TrainHintFit *fit, const char *prefix, int which)
{
    g_autofree char *name = g_strconcat(prefix, names[which], NULL);
    return cz_param(fit->graph, name, param_shape(fit, which));
}

static void build_updates(TrainHintFit *fit, CzValue *outputs)
{
    CzGraph *graph = fit->graph;
    CzValue grads[N_PARAMS], total = cz_scale(graph, fit->loss, 0, 0);
    cz_graph_gradient(graph, fit->loss, fit->params, N_PARAMS, grads);
    for (int i = 0; i < N_PARAMS; i++)
        total = cz_add(graph, total, cz_dot(graph, grads[i], grads[i]));
    fit->gate = cz_step_gate(graph, total, CLIP);
    for (int i = 0; i < N_PARAMS; i++) {
        const CzAdamParams adam = {.beta1 = (float)BETA1,
                                   .beta2 = (float)BETA2,
                                   .epsilon = 1e-8f,
                                   .rate_scale = i == HEAD || i == AMPLITUDE ? 1 : 10};
        outputs[i] =
            cz_adamw(graph, fit->params[i], grads[i], moment(fit, TRAIN_M, i),
                     moment(fit, TRAIN_V, i), CZ_NONE, fit->inputs[RATES], fit->gate, adam);
    }
}

static void add_inputs(TrainHintFit *fit)
{
    int32_t n = fit->options.batch, k = fit->options.hints, judged = fit->options.judged;
    const struct {
        const char *name;
        CzShape shape;
    } fixed[N_FIXED] = {
        [PLACES] = {"places", cz_shape(n, N_PLACES, k + judged, 1)},
        [CURVES] = {"curves", cz_shape(n, CZ_HINT_CURVE, k + judged, 1)},
        [PAIRS] = {"pairs", cz_shape(n, 1, k, k)},
        [OWN] = {"own", cz_shape(n, 1, k, k)},
        [ABSENT] = {"absent", cz_shape(n, 1, k, k)},
        [ASKED] = {"asked", cz_shape(n, 4, 1, k)},
        [PREDICTED] = {"predicted", cz_shape(n, 2, judged, 1)},
        [WANTED] = {"wanted", cz_shape(n, 2, judged, 1)},
        [RATES] = {"rates", cz_shape(1, 4, 1, 1)},
    };
    for (int i = 0; i < N_FIXED + fit->n_maps; i++) {
        g_autofree char *map = g_strdup_printf("features.%d", i - N_FIXED);
        CzShape shape = i < N_FIXED ? fixed[i].shape : cz_shape(n, fit->channels, k + judged, 1);
        fit->inputs[i] = cz_input(fit->graph, i < N_FIXED ? fixed[i].name : map, shape);
        fit->n_data[i] = cz_shape_count(shape);
    }
    for (int i = 0; i < N_PARAMS; i++)
        fit->params[i] = cz_param(fit->graph, names[i], param_shape(fit, i));
}

// ---- starting -----------------------------------------------------------------------------------

static bool add_param(TrainHintFit *fit, int which, const float *data, GError **error)
{
    g_autofree char *m = g_strconcat(TRAIN_M, names[which], NULL);
    g_autofree char *v = g_strconcat(TRAIN_V, names[which], NULL);
    CzShape shape = param_shape(fit, which);
    return cz_store_add(fit->store, names[which], shape, data, error) &&
           cz_store_add(fit->store, m, shape, NULL, error) &&
           cz_store_add(fit->store, v, shape, NULL, error);
}

static bool start(TrainHintFit *fit, const TrainHintPoints *points, GError **error)
{
    const CzHintKernel k = cz_hint_kernel(0.5);
    const float numbers[N_NUMBERS] = {k.feature, k.place,    k.lightness,
                                      k.chroma,  k.strength, k.noise};
    g_autofree float *head = g_new(float, (size_t)(fit->options.width * fit->channels));
    train_hint_points_directions(points, fit->options.width, head);
    bool good = true;
    for (int i = 0; good && i < N_NUMBERS; i++) {
        float logarithm = logf(numbers[i]);
        good = add_param(fit, i, &logarithm, error);
    }
    return good && add_param(fit, HEAD, head, error) && add_param(fit, AMPLITUDE, NULL, error) &&
           add_param(fit, CURVE, NULL, error);
}

TrainHintFit *train_hint_fit_new(CzEngineDevice *device, const TrainHintPoints *points,
                                 const TrainHintFitOptions *options, GError **error)
{
    g_autoptr(TrainHintFit) fit = g_new0(TrainHintFit, 1);
    CzValue outputs[N_PARAMS + 2];
    fit->options = *options;
    fit->n_maps = points->n_maps;
    fit->channels = points->channels;
    fit->rng = cz_rng(options->seed, 0);
    fit->store = cz_store_new(device);
    fit->graph = cz_graph_new();
    add_inputs(fit);
    build_loss(fit);
    build_updates(fit, outputs);
    outputs[N_PARAMS] = fit->loss;
    outputs[N_PARAMS + 1] = fit->gate;
    for (int i = 0; i < N_FIXED + fit->n_maps; i++) {
        fit->data[i] = cz_memory_alloc(fit->n_data[i] * sizeof(float), "a batch of hints", error);
        if (!fit->data[i])
            return NULL;
    }
    if (!start(fit, points, error) || !cz_graph_check(fit->graph, error))
        return NULL;
    fit->plan = cz_plan_new(device, fit->store, fit->graph, outputs, N_PARAMS + 2, NULL, error);
    return fit->plan ? g_steal_pointer(&fit) : NULL;
}

void train_hint_fit_free(TrainHintFit *fit)
{
    if (!fit)
        return;
    for (int i = 0; i < MOST_INPUTS; i++)
        cz_memory_free(fit->data[i]);
    cz_plan_free(fit->plan);
    cz_graph_free(fit->graph);
    cz_store_free(fit->store);
    g_free(fit);
}

// ---- batches ------------------------------------------------------------------------------------

// The row-th place of the index-th picture of the batch: what the kernel sees of it.
static void put_row(TrainHintFit *fit, const TrainHintPoints *points, size_t index, size_t row,
                    size_t at)
{
    const CzHintPlace *point = &points->points[at].place;
    size_t c = (size_t)fit->channels, maps = (size_t)fit->n_maps;
    size_t to = index * (size_t)(fit->options.hints + fit->options.judged) + row;
    float q = (point->l - CZ_HINT_LIGHTNESS) / CZ_HINT_LIGHTNESS;
    float chroma =
        sqrtf(point->c[0] * point->c[0] + point->c[1] * point->c[1] + 1) / CZ_HINT_CHROMA;
    const float place[N_PLACES] = {point->x, point->y, point->l, point->c[0], point->c[1]};
    const float curve[CZ_HINT_CURVE] = {q, q * q, chroma, chroma * chroma};
    memcpy(fit->data[PLACES] + to * N_PLACES, place, sizeof place);
    memcpy(fit->data[CURVES] + to * CZ_HINT_CURVE, curve, sizeof curve);
    for (size_t m = 0; m < maps; m++)
        memcpy(fit->data[N_FIXED + m] + to * c, points->features + (at * maps + m) * c,
               c * sizeof(float));
}

static void put_hint(TrainHintFit *fit, const TrainHintPoint *point, size_t index, size_t i,
                     size_t n_given)
{
    size_t k = (size_t)fit->options.hints, row = (index * k + i) * k;
    float given = i < n_given;
    float *asked = fit->data[ASKED] + (index * k + i) * 4;
    for (size_t j = 0; j < k; j++) {
        fit->data[PAIRS][row + j] = given * (j < n_given);
        fit->data[OWN][row + j] = given * (j == i);
        fit->data[ABSENT][row + j] = (1 - given) * (j == i);
    }
    for (size_t c = 0; c < 2; c++) {
        asked[c] = given * (point->truth[c] - point->place.predicted[c]);
        asked[2 + c] = given * point->place.predicted[c];
    }
}

static void put_judged(TrainHintFit *fit, const TrainHintPoint *point, size_t index, size_t i)
{
    size_t at = 2 * (index * (size_t)fit->options.judged + i);
    for (size_t c = 0; c < 2; c++) {
        fit->data[PREDICTED][at + c] = point->place.c[c];
        fit->data[WANTED][at + c] = point->truth[c] - point->place.predicted[c];
    }
}

static void fill_picture(TrainHintFit *fit, const TrainHintPoints *points, size_t index)
{
    size_t k = (size_t)fit->options.hints, n = k + (size_t)fit->options.judged;
    size_t first =
        cz_rng_below(&fit->rng, (uint32_t)points->n_pictures) * (size_t)TRAIN_HINT_POINTS;
    double drawn = log(1 - cz_rng_uniform(&fit->rng)) / log(1 - 1.0 / MEAN_HINTS);
    size_t n_given = MIN(1 + (size_t)drawn, k);
    size_t order[TRAIN_HINT_POINTS];
    for (size_t i = 0; i < TRAIN_HINT_POINTS; i++)
        order[i] = first + i;
    for (size_t i = 0; i < n; i++) {
        size_t j = i + cz_rng_below(&fit->rng, (uint32_t)(TRAIN_HINT_POINTS - i)), at = order[j];
        order[j] = order[i];
        put_row(fit, points, index, i, at);
        if (i < k)
            put_hint(fit, &points->points[at], index, i, n_given);
        else
            put_judged(fit, &points->points[at], index, i - k);
    }
}

// ---- learning -----------------------------------------------------------------------------------

static bool run_batch(TrainHintFit *fit, const TrainHintPoints *points, double rate, float *loss,
                      float *gate, GError **error)
{
    double t = (double)++fit->done;
    float *rates = fit->data[RATES];
    for (size_t i = 0; i < (size_t)fit->options.batch; i++)
        fill_picture(fit, points, i);
    rates[0] = (float)rate;
    rates[1] = (float)(1 - pow(BETA1, t));
    rates[2] = (float)(1 - pow(BETA2, t));
    rates[3] = 0;
    for (int i = 0; i < N_FIXED + fit->n_maps; i++)
        if (!cz_plan_write(fit->plan, fit->inputs[i], fit->data[i], fit->n_data[i], error))
            return false;
    return cz_plan_run(fit->plan, NULL, error) &&
           cz_plan_read(fit->plan, fit->loss, loss, 1, error) &&
           cz_plan_read(fit->plan, fit->gate, gate, 1, error);
}

bool train_hint_fit_step(TrainHintFit *fit, const TrainHintPoints *points, double rate,
                         double *loss, GError **error)
{
    float value, gate;
    bool good = run_batch(fit, points, rate, &value, &gate, error);
    *loss = good ? (double)value : 0;
    return good;
}

bool train_hint_fit_run(TrainHintFit *fit, const TrainHintPoints *points, double *loss,
                        GError **error)
{
    int64_t steps = fit->options.steps, counted = 0, learned = 0;
    *loss = 0;
    for (int64_t i = 0; i < steps; i++) {
        double rate = fit->options.rate * 0.5 * (1 + cos(G_PI * (double)i / (double)steps));
        float value, gate;
        if (!run_batch(fit, points, rate, &value, &gate, error))
            return false;
        learned += gate > 0;
        if (gate > 0 && i >= steps - (steps + 9) / 10) {
            *loss += (double)value;
            counted++;
        }
    }
    *loss /= (double)MAX(counted, 1);
    if (learned > 0 || steps == 0)
        return true;
    g_set_error_literal(error, CZ_ERROR, CZ_ERROR_NUMERIC,
                        "no step of hints had a finite gradient");
    return false;
}

// Mean over places and maps of |z|^2, a place in sixteen.
static double mean_square(const CzHintHead *head, const TrainHintPoints *points)
{
    size_t c = (size_t)head->channels, counted = 0;
    size_t n = points->n_pictures * TRAIN_HINT_POINTS * (size_t)points->n_maps;
    double sum = 0;
    for (size_t i = 0; i < n; i += 16, counted++)
        for (size_t k = 0; k < (size_t)head->width; k++) {
            double z = 0;
            for (size_t j = 0; j < c; j++)
                z += (double)(points->features[i * c + j] * head->weight[k * c + j]);
            sum += z * z;
        }
    return fmax(sum / (double)MAX(counted, 1), 1e-12);
}

CzHintHead *train_hint_fit_head(TrainHintFit *fit, const TrainHintPoints *points, GError **error)
{
    g_autoptr(CzHintHead) head = cz_hint_head_new(fit->channels, fit->options.width, error);
    if (!head)
        return NULL;
    CzHintKernel *k = &head->kernel;
    float *const numbers[N_NUMBERS] = {&k->feature, &k->place,    &k->lightness,
                                       &k->chroma,  &k->strength, &k->noise};
    if (!cz_store_read(fit->store, names[HEAD], head->weight, error) ||
        !cz_store_read(fit->store, names[AMPLITUDE], head->amplitude, error) ||
        !cz_store_read(fit->store, names[CURVE], head->curve, error))
        return NULL;
    for (int i = 0; i < N_NUMBERS; i++) {
        if (!cz_store_read(fit->store, names[i], numbers[i], error))
            return NULL;
        *numbers[i] = expf(*numbers[i]);
    }
    float length = (float)sqrt(mean_square(head, points));
    for (int32_t i = 0; i < head->width * head->channels; i++)
        head->weight[i] /= length;
    for (int32_t i = 0; i < head->width; i++)
        head->amplitude[i] *= length;
    k->feature /= length;
    return g_steal_pointer(&head);
}
