// SPDX-License-Identifier: LGPL-3.0-or-later
// What the planners of launch.c and launch_reduce.c share.
#pragma once

#include "launch.h"

// Grids stop growing here: kernels go on in steps of the grid.
#define MAX_BLOCKS 65536u

// One node being planned. launches is NULL where only the scratch is asked for.
typedef struct {
    const CzNode *node;
    const CzNode *const *nodes;
    const LaunchMemory *memory;
    GArray *launches;
    size_t scratch_bytes;
} Job;

static inline const CzNode *job_src(const Job *job, int32_t index)
{
    return job->nodes[job->node->src[index]];
}

static inline uint64_t blocks_for(uint64_t n, uint64_t each)
{
    return (n + each - 1) / each;
}

// The kernel of a family f32, bf16, f16 for this type.
static inline KernelId kernel_of(KernelId first, CzDtype dtype)
{
    return (KernelId)(first + (KernelId)dtype);
}

// The address of n more bytes of scratch.
uint64_t job_scratch(Job *job, size_t n_bytes);
void job_launch(Job *job, const Launch *launch);
// Threads in a row, one for each of n items.
void job_launch_items(Job *job, Launch launch, uint64_t n_items);
// dst = the sum over the slower of two dimensions (n_rows, n_columns) of F32 numbers: second
// stages.
void job_sum_rows_of_f32(Job *job, uint64_t src, uint64_t dst, uint64_t n_rows, uint64_t n_columns);

void plan_pack(Job *job);
void plan_dropout_mask(Job *job);
void plan_solve(Job *job);
void plan_step_gate(Job *job);
void plan_adamw(Job *job);
void plan_ema(Job *job);
void plan_sum(Job *job);
void plan_dot(Job *job);
void plan_log_softmax(Job *job);
void plan_matmul(Job *job);
void plan_conv(Job *job);
void plan_grad_src(Job *job);
void plan_grad_filter(Job *job);
void plan_move(Job *job, const CzShape *shape, uint64_t src, CzShape src_shape, CzShape src_offset);
