// SPDX-License-Identifier: LGPL-3.0-or-later
#include "doubles_scenario.h"

#include <math.h>
#include <string.h>

// Numbers that BF16 and F16 hold exactly, between -2 and 2.
static float number(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)((int)(*seed >> 24 & 31) - 15) / 8;
}

static size_t encode(int type, const float *values, size_t n, uint8_t *bytes)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        // All values are exact: BF16 is the upper half, F16 needs its own exponent.
        uint16_t half = bits << 1 == 0
                            ? 0
                            : (uint16_t)((bits >> 16 & 0x8000) | ((bits >> 23 & 255) - 112) << 10 |
                                         (bits >> 13 & 1023));
        if (type == CUDNN_DATA_BFLOAT16)
            half = (uint16_t)(bits >> 16);
        if (type == CUDNN_DATA_FLOAT)
            memcpy(bytes + 4 * i, &bits, 4);
        else
            memcpy(bytes + 2 * i, &half, 2);
    }
    return n * (type == CUDNN_DATA_FLOAT ? 4 : 2);
}

float problem_decode(int type, const uint8_t *bytes, size_t i)
{
    uint16_t half;
    memcpy(&half, bytes + 2 * i, 2);
    if (type == CUDNN_DATA_HALF) {
        int exponent = half >> 10 & 31;
        float size = exponent == 0 ? ldexpf((float)(half & 1023), -24)
                                   : ldexpf((float)((half & 1023) | 1024), exponent - 25);
        return half & 0x8000 ? -size : size;
    }
    uint32_t bits = (uint32_t)half << 16;
    if (type == CUDNN_DATA_FLOAT)
        memcpy(&bits, bytes + 4 * i, 4);
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

ProblemData data_new(const Problem *p)
{
    ProblemData data = {
        .n_x = (size_t)(p->n * p->c * p->h * p->w),
        .n_w = (size_t)(p->k * p->r * p->s * (p->filter_c > 0 ? p->filter_c : p->c)),
        .n_y = (size_t)(p->n * p->k * problem_out(p, p->h, p->r) * problem_out(p, p->w, p->s))};
    unsigned seed = 1;
    float **arrays[] = {&data.x, &data.w, &data.y, &data.bias};
    size_t sizes[] = {data.n_x, data.n_w, data.n_y, (size_t)p->k};
    for (int i = 0; i < 4; i++) {
        *arrays[i] = g_new(float, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++)
            (*arrays[i])[j] = number(&seed);
    }
    return data;
}

void data_free(ProblemData *data)
{
    g_free(data->x);
    g_free(data->w);
    g_free(data->y);
    g_free(data->bias);
}

void problem_expect(const Problem *p, ProblemData *data)
{
    int64_t oh = problem_out(p, p->h, p->r), ow = problem_out(p, p->w, p->s);
    bool forward = p->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
    bool backward = p->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR;
    float *out = forward ? data->y : backward ? data->x : data->w;
    size_t n_out = forward ? data->n_y : backward ? data->n_x : data->n_w;
    for (size_t i = 0; i < n_out; i++)
        out[i] *= p->beta;
    int64_t n_c = p->filter_c > 0 ? p->filter_c : p->c; // channels of a group
    int64_t group_k = p->k / (p->c / n_c);
    int64_t total = p->n * oh * ow * p->k * p->r * p->s * n_c;
    for (int64_t i = 0; i < total; i++) {
        int64_t c = i % n_c, s = i / n_c % p->s, r = i / n_c / p->s % p->r;
        int64_t rest = i / n_c / p->s / p->r, k = rest % p->k, pixel = rest / p->k;
        int64_t y = pixel / ow % oh * p->stride - p->before + r;
        int64_t x = pixel % ow * p->stride - p->before + s;
        if (x < 0 || y < 0 || x >= p->w || y >= p->h)
            continue;
        float *px =
            &data->x[((pixel / ow / oh * p->h + y) * p->w + x) * p->c + k / group_k * n_c + c];
        float *pw = &data->w[((k * p->r + r) * p->s + s) * n_c + c];
        float *py = &data->y[rest];
        if (forward)
            *py += *px * *pw;
        else if (backward)
            *px += *py * *pw;
        else
            *pw += *py * *px;
    }
    for (size_t i = 0; p->bias_relu && i < data->n_y; i++)
        data->y[i] = MAX(0, data->y[i] + data->bias[i % (size_t)p->k]);
}

bool problem_bind(const Device *device, const Problem *p, const Plan *plan, const ProblemData *data,
                  Bound *bound)
{
    static const int64_t uids[] = {UID_X, UID_W, UID_Y, UID_BIAS};
    const float *values[] = {data->x, data->w, data->y, data->bias};
    size_t counts[] = {data->n_x, data->n_w, data->n_y, (size_t)p->k};
    void *pointers[4];
    memset(bound, 0, sizeof *bound);
    for (int i = 0; i < 4; i++) {
        bound->host[i] = g_malloc(4 * counts[i]);
        bound->n_bytes[i] =
            encode(i == 3 ? CUDNN_DATA_FLOAT : p->type, values[i], counts[i], bound->host[i]);
        if (cuda.cuMemAlloc_v2(&bound->memory[i], bound->n_bytes[i]) != 0 ||
            cuda.cuMemcpyHtoDAsync_v2(bound->memory[i], bound->host[i], bound->n_bytes[i],
                                      device->stream) != 0)
            return false;
        pointers[i] = at(bound->memory[i]);
    }
    if (plan->workspace > 0 && cuda.cuMemAlloc_v2(&bound->memory[4], (size_t)plan->workspace) != 0)
        return false;
    return plan_pack(uids, pointers, p->bias_relu ? 4 : 3, at(bound->memory[4]), &bound->pack) == 0;
}

void problem_unbind(Bound *bound)
{
    if (bound->pack != NULL)
        cudnn.cudnnBackendDestroyDescriptor(bound->pack);
    for (int i = 0; i < 5; i++)
        if (bound->memory[i] != 0)
            cuda.cuMemFree_v2(bound->memory[i]);
    for (int i = 0; i < 4; i++)
        g_free(bound->host[i]);
}

int problem_result(const Problem *p)
{
    return p->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR         ? 2
           : p->kind == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR ? 0
                                                                                     : 1;
}

bool problem_run(const Problem *p, ProblemData *data, uint8_t *result)
{
    Device device;
    Plan plan;
    Bound bound;
    int out = problem_result(p);
    if (!device_start(&device))
        return false;
    bool good = plan_make(&device, p, &plan) == 0;
    if (good) {
        good = problem_bind(&device, p, &plan, data, &bound) &&
               cudnn.cudnnBackendExecute(device.handle, plan.plan, bound.pack) == 0 &&
               cuda.cuMemcpyDtoHAsync_v2(result, bound.memory[out], bound.n_bytes[out],
                                         device.stream) == 0 &&
               cuda.cuStreamSynchronize(device.stream) == 0;
        // What waits may still read the host's memory.
        if (!good)
            cuda.cuStreamSynchronize(device.stream);
        problem_unbind(&bound);
        plan_free(&plan);
    }
    device_stop(&device);
    return good;
}
