// SPDX-License-Identifier: LGPL-3.0-or-later
// Planners of kernels that only trainings have.
#include "launch_private.h"

void plan_pack(Job *job)
{
    Launch launch = {.kernel = KERNEL_pack, .block = {KERNEL_THREADS, 1, 1}};
    uint64_t dst = job->memory->dst, most = 0;
    uint32_t n = 0;
    for (int32_t i = 0; i < job->node->n_src; i++) {
        uint64_t count = cz_shape_count(job_src(job, i)->shape);
        launch.args.pack.src[n] = job->memory->src[i];
        launch.args.pack.dst[n] = dst;
        launch.args.pack.n[n] = count;
        dst += count * sizeof(float);
        most = MAX(most, count);
        if (++n < PACK_SOURCES && i + 1 < job->node->n_src)
            continue;
        launch.grid[0] = (uint32_t)CLAMP(blocks_for(most, KERNEL_THREADS), 1, MAX_BLOCKS);
        launch.grid[1] = n;
        launch.grid[2] = 1;
        job_launch(job, &launch);
        n = 0;
        most = 0;
    }
}

void plan_dropout_mask(Job *job)
{
    const CzNode *node = job->node;
    float rate = node->params.dropout.rate;
    uint64_t n_samples = (uint64_t)node->shape.n, n_each = cz_shape_count(node->shape) / n_samples;
    DropoutArgs args = {.sample = job->memory->src[0],
                        .dst = job->memory->dst,
                        .n_samples = n_samples,
                        .n_each = n_each,
                        .seed = node->params.dropout.seed,
                        .rate = rate,
                        .kept = 1.0f / (1.0f - rate)};
    job_launch_items(
        job,
        (Launch){.kernel = kernel_of(KERNEL_dropout_mask_f32, node->dtype), .args.dropout = args},
        n_samples * blocks_for(n_each, 4));
}

void plan_solve(Job *job)
{
    CzShape s = job->node->shape;
    uint64_t k = (uint64_t)s.w, each = k * k + k * (uint64_t)s.c;
    SolveArgs args = {.matrix = job->memory->src[0],
                      .rhs = job->memory->src[1],
                      .dst = job->memory->dst,
                      .scratch = job_scratch(job, (uint64_t)s.n * each * sizeof(double)),
                      .n = s.n,
                      .k = s.w,
                      .n_columns = s.c,
                      .ridge = job->node->params.ridge};
    job_launch_items(job, (Launch){.kernel = KERNEL_solve, .args.solve = args}, (uint64_t)s.n);
}

void plan_step_gate(Job *job)
{
    Launch launch = {
        .kernel = KERNEL_step_gate,
        .grid = {1, 1, 1},
        .block = {1, 1, 1},
        .args.gate = {job->memory->src[0], job->memory->dst, job->node->params.gate_limit}};
    job_launch(job, &launch);
}

void plan_adamw(Job *job)
{
    const CzAdamParams *adam = &job->node->params.adam;
    const uint64_t *src = job->memory->src;
    uint64_t n = cz_shape_count(job_src(job, 0)->shape);
    const AdamTensor tensor = {.param = src[0],
                               .grad = src[1],
                               .m = src[2],
                               .v = src[3],
                               .ema = job->node->n_src > 6 ? src[6] : 0,
                               .dst = job->memory->dst,
                               .n = n,
                               .decay = adam->decay,
                               .rate_scale = adam->rate_scale};
    AdamArgs args = {.rates = src[4],
                     .gate = src[5],
                     .beta1 = adam->beta1,
                     .beta2 = adam->beta2,
                     .epsilon = adam->epsilon,
                     .kind = (int32_t)adam->kind};
    args.tensors[0] = tensor;
    job_launch_items(job, (Launch){.kernel = KERNEL_adamw, .args.adam = args}, n);
}

// Whether an update may run at the same time as another before it: they are of different tensors,
// and what it gives back does not lie where the other still reads its gradient.
static bool is_apart(const AdamTensor *before, const AdamTensor *next)
{
    uint64_t end = before->grad + before->n * sizeof(float);
    return before->param != next->param && (next->dst < before->grad || next->dst >= end);
}

bool launch_join(Launch *into, const Launch *next)
{
    AdamArgs *args = &into->args.adam;
    const AdamArgs *more = &next->args.adam;
    const AdamTensor *tensor = more->tensors;
    if (into->kernel != KERNEL_adamw || next->kernel != KERNEL_adamw || next->grid[1] != 1 ||
        into->grid[1] == ADAM_TENSORS || args->rates != more->rates || args->gate != more->gate ||
        args->kind != more->kind || args->beta1 != more->beta1 || args->beta2 != more->beta2 ||
        args->epsilon != more->epsilon)
        return false;
    for (uint32_t i = 0; i < into->grid[1]; i++)
        if (!is_apart(&args->tensors[i], tensor))
            return false;
    args->tensors[into->grid[1]++] = *tensor;
    into->grid[0] = MAX(into->grid[0], next->grid[0]);
    return true;
}

void plan_ema(Job *job)
{
    const uint64_t *src = job->memory->src;
    uint64_t n = cz_shape_count(job_src(job, 0)->shape);
    EmaArgs args = {src[0], src[1], src[2], src[3], job->memory->dst, n};
    job_launch_items(job, (Launch){.kernel = KERNEL_ema, .args.ema = args}, n);
}
