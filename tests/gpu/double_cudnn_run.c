// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of cuDNN's backend: the arithmetic, in plain loops over any strides.
#include "double_cudnn.h"

#include <math.h>
#include <string.h>

size_t type_size(int type)
{
    return type == CUDNN_DATA_FLOAT ? 4 : 2;
}

// From the first to the last element.
size_t tensor_bytes(const Tensor *tensor)
{
    size_t last = 0;
    for (int i = 0; i < N_DIMS; i++)
        last += (size_t)(tensor->dims[i] - 1) * (size_t)tensor->strides[i];
    return (last + 1) * type_size(tensor->type);
}

static float half_to_float(uint16_t half)
{
    int exponent = half >> 10 & 31, mantissa = half & 1023;
    float value = exponent == 0    ? ldexpf((float)mantissa, -24)
                  : exponent == 31 ? (mantissa == 0 ? INFINITY : NAN)
                                   : ldexpf((float)(mantissa + 1024), exponent - 25);
    return half & 0x8000 ? -value : value;
}

// To nearest, ties to even: what rintf() does, on the grid of the value's binade.
static uint16_t float_to_half(float value)
{
    uint16_t sign = signbit(value) ? 0x8000 : 0;
    float size = fabsf(value);
    if (isnan(value))
        return 0x7e00;
    if (size == 0)
        return sign;
    if (size >= 65520.0f)
        return sign | 0x7c00;
    int exponent;
    frexpf(size, &exponent);
    exponent = MAX(exponent, -13); // subnormal numbers share the smallest binade
    unsigned steps = (unsigned)rintf(ldexpf(size, 11 - exponent));
    // Steps are 1024 to 2048 in a normal binade: a carry goes into the exponent by itself.
    return (uint16_t)(sign | (steps + ((unsigned)(exponent + 13) << 10)));
}

static float bf16_to_float(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static uint16_t float_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float load(const void *data, size_t index, int type)
{
    if (type == CUDNN_DATA_FLOAT)
        return ((const float *)data)[index];
    uint16_t bits = ((const uint16_t *)data)[index];
    return type == CUDNN_DATA_HALF ? half_to_float(bits) : bf16_to_float(bits);
}

static void store(void *data, size_t index, int type, float value)
{
    if (type == CUDNN_DATA_FLOAT)
        ((float *)data)[index] = value;
    else
        ((uint16_t *)data)[index] =
            type == CUDNN_DATA_HALF ? float_to_half(value) : float_to_bf16(value);
}

static size_t count_elements(const Tensor *tensor)
{
    size_t n = 1;
    for (int i = 0; i < N_DIMS; i++)
        n *= (size_t)tensor->dims[i];
    return n;
}

// Visits all elements in the order n, h, w, c: the order of the dense copies.
typedef struct {
    int64_t at[N_DIMS]; // n, c, h, w
    size_t offset;      // in memory
} Place;

static bool next_place(const Tensor *tensor, Place *place)
{
    static const int order[N_DIMS] = {1, 3, 2, 0};
    for (int i = 0; i < N_DIMS; i++) {
        int dim = order[i];
        place->offset += (size_t)tensor->strides[dim];
        if (++place->at[dim] < tensor->dims[dim])
            return true;
        place->offset -= (size_t)(tensor->strides[dim] * tensor->dims[dim]);
        place->at[dim] = 0;
    }
    return false;
}

static float *gather(const Tensor *tensor, const void *data)
{
    float *dense = g_new(float, count_elements(tensor));
    Place place = {0};
    size_t i = 0;
    do {
        dense[i++] = load(data, place.offset, tensor->type);
    } while (next_place(tensor, &place));
    return dense;
}

typedef struct {
    const Run *run;
    float **values; // dense, one for each tensor; NULL: not read yet
} State;

static const float *value_of(State *state, int tensor)
{
    if (state->values[tensor] == NULL)
        state->values[tensor] =
            gather(&state->run->program->tensors[tensor], state->run->pointers[tensor]);
    return state->values[tensor];
}

// Rounds once to the tensor's type; what follows reads the rounded numbers.
static void write_result(State *state, int index, const double *sums, double alpha, double beta)
{
    const Tensor *tensor = &state->run->program->tensors[index];
    void *data = state->run->pointers[index];
    float *dense = g_new(float, count_elements(tensor));
    Place place = {0};
    size_t i = 0;
    do {
        double value = alpha * sums[i];
        if (beta != 0)
            value += beta * load(data, place.offset, tensor->type);
        float scratch;
        if (data != NULL)
            store(data, place.offset, tensor->type, (float)value);
        else
            store(&scratch, 0, tensor->type, (float)value);
        dense[i++] =
            data != NULL ? load(data, place.offset, tensor->type) : load(&scratch, 0, tensor->type);
    } while (next_place(tensor, &place));
    g_free(state->values[index]);
    state->values[index] = dense;
}

// One position of the filter over one position of the smaller side: all channels of it.
typedef struct {
    int kind;
    int64_t k, c, groups; // channels of y, of x in a group
    const float *x, *w, *y;
    double *sums; // of what is computed
} Tap;

static void apply_tap(const Tap *tap, size_t x, size_t y, size_t w, size_t w_stride)
{
    int64_t k_group = tap->k / tap->groups;
    for (int64_t k = 0; k < tap->k; k++) {
        size_t from = x + (size_t)(k / k_group * tap->c), row = w + (size_t)k * w_stride;
        if (tap->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
            double sum = 0;
            for (int64_t c = 0; c < tap->c; c++)
                sum += (double)tap->x[from + (size_t)c] * tap->w[row + (size_t)c];
            tap->sums[y + (size_t)k] += sum;
            continue;
        }
        double dy = tap->y[y + (size_t)k];
        for (int64_t c = 0; c < tap->c; c++) {
            if (tap->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
                tap->sums[from + (size_t)c] += dy * tap->w[row + (size_t)c];
            else
                tap->sums[row + (size_t)c] += dy * tap->x[from + (size_t)c];
        }
    }
}

static void slide(const Step *step, const Tap *tap, const Tensor *x, const Tensor *w,
                  const Tensor *y)
{
    const int64_t *xd = x->dims, *wd = w->dims, *yd = y->dims;
    size_t w_stride = (size_t)(wd[2] * wd[3] * wd[1]);
    for (int64_t n = 0; n < yd[0]; n++)
        for (int64_t oh = 0; oh < yd[2]; oh++)
            for (int64_t ow = 0; ow < yd[3]; ow++)
                for (int64_t i = 0; i < wd[2] * wd[3]; i++) {
                    int64_t r = i / wd[3], s = i % wd[3];
                    int64_t ih = oh * step->stride[0] - step->before[0] + r * step->dilation[0];
                    int64_t iw = ow * step->stride[1] - step->before[1] + s * step->dilation[1];
                    if (ih < 0 || iw < 0 || ih >= xd[2] || iw >= xd[3])
                        continue;
                    int64_t at = step->flipped ? wd[2] * wd[3] - 1 - i : i;
                    apply_tap(tap, (size_t)(((n * xd[2] + ih) * xd[3] + iw) * xd[1]),
                              (size_t)(((n * yd[2] + oh) * yd[3] + ow) * yd[1]),
                              (size_t)(at * wd[1]), w_stride);
                }
}

static void run_conv(State *state, const Step *step)
{
    const Tensor *tensors = state->run->program->tensors;
    bool forward = step->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool data = step->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    int x = data ? step->out : step->in[0];
    int w = forward || data ? step->in[1] : step->out;
    int y = forward ? step->out : data ? step->in[0] : step->in[1];
    g_autofree double *sums = g_new0(double, count_elements(&tensors[step->out]));
    Tap tap = {step->kind, tensors[y].dims[1], tensors[w].dims[1],
               tensors[x].dims[1] / tensors[w].dims[1]};
    tap.x = x == step->out ? NULL : value_of(state, x);
    tap.w = w == step->out ? NULL : value_of(state, w);
    tap.y = y == step->out ? NULL : value_of(state, y);
    tap.sums = sums;
    slide(step, &tap, &tensors[x], &tensors[w], &tensors[y]);
    write_result(state, step->out, sums, step->alpha, step->beta);
}

static double apply_mode(const Step *step, double x, double b)
{
    switch (step->mode) {
    case CUDNN_POINTWISE_ADD:
        return x + b;
    case CUDNN_POINTWISE_MUL:
        return x * b;
    case CUDNN_POINTWISE_RELU_FWD:
        if (x < step->lower)
            return step->lower + step->slope * (x - step->lower);
        return x > step->upper ? step->upper : x;
    case CUDNN_POINTWISE_TANH_FWD:
        return tanh(x);
    case CUDNN_POINTWISE_SIGMOID_FWD:
        return 1 / (1 + exp(-x));
    default: // CUDNN_POINTWISE_IDENTITY: others do not come through a finalize
        return x;
    }
}

// Where an element of the result lies in a dense operand that may be repeated.
static size_t repeated(const Tensor *tensor, const int64_t *at)
{
    int64_t own[N_DIMS];
    for (int i = 0; i < N_DIMS; i++)
        own[i] = tensor->dims[i] == 1 ? 0 : at[i];
    const int64_t *dims = tensor->dims;
    return (size_t)(((own[0] * dims[2] + own[2]) * dims[3] + own[3]) * dims[1] + own[1]);
}

static void run_pointwise(State *state, const Step *step)
{
    const Tensor *tensors = state->run->program->tensors, *y = &tensors[step->out];
    const float *x = value_of(state, step->in[0]);
    const float *b = step->in[1] >= 0 ? value_of(state, step->in[1]) : NULL;
    g_autofree double *sums = g_new(double, count_elements(y));
    Place place = {0};
    size_t i = 0;
    do {
        double first = step->alpha * x[repeated(&tensors[step->in[0]], place.at)];
        double second = b != NULL ? step->beta * b[repeated(&tensors[step->in[1]], place.at)] : 0;
        sums[i++] = apply_mode(step, first, second);
    } while (next_place(y, &place));
    write_result(state, step->out, sums, 1, 0);
}

static bool overlap(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    uintptr_t first = (uintptr_t)a, second = (uintptr_t)b;
    return first < second + b_bytes && second < first + a_bytes;
}

static bool is_written(const Program *program, int tensor)
{
    for (int i = 0; i < program->n_steps; i++)
        if (program->steps[i].out == tensor)
            return true;
    return false;
}

// What hardware would not tell: memory that is not there or that is used twice.
static bool check_memory(const Run *run)
{
    const Program *program = run->program;
    bool good = true;
    if (run->workspace_bytes > 0 &&
        !double_memory_contains((uintptr_t)run->workspace, run->workspace_bytes)) {
        double_complain("execute: a workspace of %zu bytes is not in one allocation",
                        run->workspace_bytes);
        good = false;
    }
    for (int i = 0; i < program->n_tensors; i++) {
        const Tensor *a = &program->tensors[i];
        if (a->is_virtual)
            continue;
        if (!double_memory_contains((uintptr_t)run->pointers[i], tensor_bytes(a))) {
            double_complain("execute: tensor %d is not in one allocation", (int)a->uid);
            good = false;
        }
        if (run->workspace_bytes > 0 &&
            overlap(run->pointers[i], tensor_bytes(a), run->workspace, run->workspace_bytes))
            double_complain("execute: tensor %d lies in the workspace", (int)a->uid);
        for (int j = 0; is_written(program, i) && j < program->n_tensors; j++)
            if (j != i && !program->tensors[j].is_virtual &&
                overlap(run->pointers[i], tensor_bytes(a), run->pointers[j],
                        tensor_bytes(&program->tensors[j])))
                double_complain("execute: the result %d lies in tensor %d", (int)a->uid,
                                (int)program->tensors[j].uid);
    }
    return good;
}

void run_execute(void *data)
{
    Run *run = data;
    const Program *program = run->program;
    count_execution();
    double_clock_advance(run->duration);
    if (!check_memory(run))
        return;
    // Nothing may be kept in a workspace, and nothing may be expected there.
    if (run->workspace_bytes > 0)
        memset(run->workspace, 0xcd, run->workspace_bytes);
    State state = {run, g_new0(float *, program->n_tensors)};
    for (int i = 0; i < program->n_steps; i++) {
        if (program->steps[i].kind == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR)
            run_pointwise(&state, &program->steps[i]);
        else
            run_conv(&state, &program->steps[i]);
    }
    for (int i = 0; i < program->n_tensors; i++)
        g_free(state.values[i]);
    g_free(state.values);
}

void run_free(void *data)
{
    Run *run = data;
    program_unref(run->program);
    g_free(run->pointers);
    g_free(run);
}
