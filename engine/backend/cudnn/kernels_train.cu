// SPDX-License-Identifier: LGPL-3.0-or-later
// Kernels that trainings need: dropout, small systems of equations, the gate and the optimizers.
#include "kernels_device.h"

// ---- dropout_mask -------------------------------------------------------------------------------

// Philox-4x32-10 (Salmon et al. 2011): four random words of one block, as base/rng.c has them.
DEVICE void philox(uint32_t x[4], uint64_t seed)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x[0], p1 = (uint64_t)0xCD9E8D57u * x[2];
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x[1] ^ key0, y2 = (uint32_t)(p0 >> 32) ^ x[3] ^ key1;
        x[0] = y0;
        x[1] = (uint32_t)p1;
        x[2] = y2;
        x[3] = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

// A thread for each block of four: the counter begins anew with each sample.
template <class T> DEVICE void dropout_mask(const DropoutArgs &a)
{
    uint64_t n_blocks = (a.n_each + 3) / 4;
    for (uint64_t i = first_index(); i < a.n_samples * n_blocks; i += index_step()) {
        uint64_t sample = i, block = split(&sample, n_blocks);
        uint64_t stream = (uint64_t)__float2ll_rn(fabsf(global<const float>(a.sample)[sample]));
        uint32_t x[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                         (uint32_t)(stream >> 32)};
        philox(x, a.seed);
        T *dst = global<T>(a.dst) + sample * a.n_each;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            float uniform = (float)(x[k] >> 8) * (1.0f / 16777216);
            if (block * 4 + k < a.n_each)
                dst[block * 4 + k] = narrow<T>(uniform < a.rate ? 0.0f : a.kept);
        }
    }
}

KERNELS_OF(dropout_mask, DropoutArgs)

// ---- solve --------------------------------------------------------------------------------------

DEVICE double row_product(const double *x, const double *y, int32_t n)
{
    double sum = 0;
#pragma unroll 1
    for (int32_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

// Cholesky's factor into the lower triangle; false where the matrix is not positive definite.
DEVICE bool factorize(double *matrix, int32_t k)
{
    for (int32_t i = 0; i < k; i++) {
        double *row = matrix + i * k;
        for (int32_t j = 0; j < i; j++)
            row[j] = (row[j] - row_product(row, matrix + j * k, j)) / matrix[j * k + j];
        double rest = row[i] - row_product(row, row, i);
        if (!(rest > 0) || !isfinite(rest))
            return false;
        row[i] = sqrt(rest);
    }
    return true;
}

DEVICE void substitute(const double *matrix, int32_t k, double *x, int32_t n_columns)
{
    for (int32_t i = 0; i < k; i++) {
        double sum = x[i * n_columns];
#pragma unroll 1
        for (int32_t j = 0; j < i; j++)
            sum -= matrix[i * k + j] * x[j * n_columns];
        x[i * n_columns] = sum / matrix[i * k + i];
    }
    for (int32_t i = k - 1; i >= 0; i--) {
        double sum = x[i * n_columns];
#pragma unroll 1
        for (int32_t j = i + 1; j < k; j++)
            sum -= matrix[j * k + i] * x[j * n_columns];
        x[i * n_columns] = sum / matrix[i * k + i];
    }
}

// A thread for each system: they are small, and a step has few. Its doubles are scratch, not the
// thread's own memory, which the driver would set aside for every thread that the GPU can hold.
extern "C" __global__ void __launch_bounds__(KERNEL_THREADS) solve(const SolveArgs a)
{
    int32_t k = a.k, n_x = k * a.n_columns;
    for (uint64_t n = first_index(); n < (uint64_t)a.n; n += index_step()) {
        const float *matrix = global<const float>(a.matrix) + n * k * k;
        double *factor = global<double>(a.scratch) + n * (k * k + n_x), *x = factor + k * k;
        float *dst = global<float>(a.dst) + n * n_x;
        for (int32_t i = 0; i < k; i++)
#pragma unroll 1
            for (int32_t j = 0; j <= i; j++)
                factor[i * k + j] = ((double)matrix[i * k + j] + (double)matrix[j * k + i]) / 2 +
                                    (i == j ? (double)a.ridge : 0);
#pragma unroll 1
        for (int32_t i = 0; i < n_x; i++)
            x[i] = (double)global<const float>(a.rhs)[n * n_x + i];
        bool good = factorize(factor, k);
        for (int32_t c = 0; good && c < a.n_columns; c++)
            substitute(factor, k, x + c, a.n_columns);
#pragma unroll 1
        for (int32_t i = 0; i < n_x; i++)
            dst[i] = good ? (float)x[i] : __int_as_float(0x7fc00000);
    }
}

// ---- the end of a step --------------------------------------------------------------------------

extern "C" __global__ void step_gate(const GateArgs a)
{
    float norm = sqrtf(global<const float>(a.src)[0]), gate = 1.0f;
    if (!isfinite(norm))
        gate = 0.0f;
    else if (a.limit > 0.0f && norm > a.limit)
        gate = a.limit / norm;
    global<float>(a.dst)[0] = gate;
}

// Places in the rates of a step (cz/ops.h).
enum { RATE, CORRECTION1, CORRECTION2, EMA_DECAY };

DEVICE void adam_element(const AdamArgs &a, const AdamTensor &t, uint64_t i, float gate,
                         const float *rates)
{
    float *param = global<float>(t.param) + i, *m = global<float>(t.m) + i;
    float *v = global<float>(t.v) + i;
    bool coupled = a.kind == ADAM_ADAM, belief = a.kind == ADAM_ADABELIEF;
    float p = *param, g = gate * global<const float>(t.grad)[i];
    if (coupled)
        g += t.decay * p;
    float new_m = *m + (1.0f - a.beta1) * (g - *m);
    float spread = belief ? g - new_m : g;
    float new_v = *v + (1.0f - a.beta2) * (spread * spread - *v);
    if (belief)
        new_v += a.epsilon;
    float step = new_m / rates[CORRECTION1] / (sqrtf(new_v / rates[CORRECTION2]) + a.epsilon);
    p -= rates[RATE] * t.rate_scale * (step + (coupled ? 0.0f : t.decay) * p);
    *m = new_m;
    *v = new_v;
    *param = p;
    if (t.ema) {
        float *ema = global<float>(t.ema) + i;
        *ema = rates[EMA_DECAY] * *ema + (1.0f - rates[EMA_DECAY]) * p;
    }
}

extern "C" __global__ void __launch_bounds__(KERNEL_THREADS) adamw(const AdamArgs a)
{
    const AdamTensor &t = a.tensors[blockIdx.y];
    float gate = global<const float>(a.gate)[0];
    const float *rates = global<const float>(a.rates);
    if (first_index() == 0)
        global<float>(t.dst)[0] = gate;
    if (!(gate > 0.0f))
        return;
    for (uint64_t i = first_index(); i < t.n; i += index_step())
        adam_element(a, t, i, gate, rates);
}

extern "C" __global__ void __launch_bounds__(KERNEL_THREADS) ema(const EmaArgs a)
{
    float gate = global<const float>(a.gate)[0];
    float decay = global<const float>(a.rates)[EMA_DECAY];
    if (first_index() == 0)
        global<float>(a.dst)[0] = gate;
    if (!(gate > 0.0f))
        return;
    float *average = global<float>(a.ema);
    for (uint64_t i = first_index(); i < a.n; i += index_step())
        average[i] = decay * average[i] + (1.0f - decay) * global<const float>(a.value)[i];
}
