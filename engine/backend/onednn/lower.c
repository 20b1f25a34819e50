// SPDX-License-Identifier: LGPL-3.0-or-later
// A plan becomes a list of steps, each with everything bound: a run only walks the list.
//
// Who serves a node: dense and grouped convolutions the library, depthwise ones whoever is faster,
// all else our own kernels, and what neither knows the reference of its op.
#include "lower.h"

#include <time.h>

#include <omp.h>

// Seconds between two questions to the progress callback.
#define REPORT_EVERY_US 20000.0

bool onednn_check(const CzHost *host, dnnl_status_t status, const char *what, GError **error)
{
    if (status == dnnl_success)
        return true;
    const int code = status == dnnl_out_of_memory ? CZ_ERROR_MEMORY : CZ_ERROR_BACKEND;
    g_set_error(error, host->error_domain, code, "%s: expected success of oneDNN, found \"%s\"",
                what, onednn_status_name(status));
    return false;
}

static double now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static CzView view_of(const CzPlanView *plan, int32_t id)
{
    CzView view = {0};
    if (id < 0)
        return view;
    const CzNode *node = plan->nodes[id];
    const CzSlot *slot = &plan->slots[id];
    view.shape = node->shape;
    view.dtype = node->dtype;
    view.data = slot->buffer ? slot->buffer->data + slot->offset : NULL;
    return view;
}

static bool is_conv(CzOp op)
{
    return op == CZ_OP_CONV2D || op == CZ_OP_CONV2D_GRAD_SRC || op == CZ_OP_CONV2D_GRAD_FILTER;
}

static bool prepare_step(CzProgram *program, Step *step, GError **error)
{
    const CzPlanView *plan = program->plan;
    const CzNode *node = step->node;
    const CzHost *host = program->device->host;
    step->src = g_new0(CzView, MAX(node->n_src, 1));
    for (int32_t i = 0; i < node->n_src; i++)
        step->src[i] = view_of(plan, node->src[i]);
    step->dst = view_of(plan, node->id);

    const bool own = cz_kernel_find(node, plan->nodes, program->n_threads, &step->kernel) ||
                     matmul_find(node, &step->kernel);
    bool served = false;
    if (is_conv(node->op) && !conv_prepare(program, step, own, &served, error))
        return false;
    if (served) {
        step->kind = STEP_CONV;
        return true;
    }
    if (own) {
        step->kind = STEP_KERNEL;
        step->scratch_bytes = step->kernel.scratch_bytes;
        g_strlcpy(step->name, step->kernel.name, sizeof step->name);
        return true;
    }
    step->kind = STEP_REFERENCE;
    g_strlcpy(step->name, "reference", sizeof step->name);
    if (node->op_class->reference)
        return true;
    g_set_error(error, host->error_domain, CZ_ERROR_BACKEND, "%s: no kernel and no reference",
                node->op_class->name);
    return false;
}

static bool prepare(CzProgram *program, GError **error)
{
    const CzPlanView *plan = program->plan;
    for (size_t i = 0; i < plan->n_steps; i++) {
        Step *step = &program->steps[i];
        step->node = plan->nodes[plan->steps[i]];
        program->n_steps = i + 1;
        if (!prepare_step(program, step, error))
            return false;
        program->scratch_bytes = MAX(program->scratch_bytes, step->scratch_bytes);
    }
    if (program->scratch_bytes == 0)
        return true;
    program->scratch =
        program->device->host->memory_alloc(program->scratch_bytes, "scratch of a plan", error);
    if (!program->scratch)
        return false;
    for (size_t i = 0; i < plan->n_steps; i++)
        if (program->steps[i].kind == STEP_CONV)
            conv_bind_scratch(program, &program->steps[i]);
    return true;
}

bool onednn_compile(CzDevice *device, const CzPlanView *plan, CzProgram **out, GError **error)
{
    CzProgram *program = g_new0(CzProgram, 1);
    program->device = device;
    program->plan = plan;
    program->n_threads = MAX(device->host->threads(), 1);
    program->steps = g_new0(Step, MAX(plan->n_steps, 1));
    program->packs = g_ptr_array_new();
    // The library splits work for the threads that it sees while a primitive is made.
    omp_set_num_threads(program->n_threads);
    if (!prepare(program, error)) {
        onednn_discard(program);
        return false;
    }
    *out = program;
    return true;
}

size_t onednn_program_bytes(const CzProgram *program)
{
    return program->scratch_bytes + program->pack_bytes;
}

static bool run_step(CzProgram *program, Step *step, GError **error)
{
    switch (step->kind) {
    case STEP_CONV:
        return conv_run(program, step, error);
    case STEP_KERNEL:
        step->kernel.run(step->node, step->src, &step->dst, program->scratch, program->n_threads);
        break;
    case STEP_REFERENCE:
        step->node->op_class->reference(step->node, step->src, &step->dst);
        break;
    }
    if (step->node->op_class->effect)
        pack_forget(program, step->node);
    return true;
}

bool onednn_run(CzProgram *program, const CzProgress *progress, GError **error)
{
    const CzHost *host = program->device->host;
    omp_set_num_threads(program->n_threads);
    program->run++;
    double before = now_us(), reported = before;
    for (size_t i = 0; i < program->n_steps; i++) {
        Step *step = &program->steps[i];
        if (!run_step(program, step, error)) {
            g_prefix_error(error, "%s: ", step->node->op_class->name);
            return false;
        }
        const double after = now_us();
        step->time_us = after - before;
        before = after;
        if (!progress || !progress->report || after - reported < REPORT_EVERY_US)
            continue;
        reported = after;
        if (!progress->report(progress->user, (double)(i + 1) / (double)program->n_steps)) {
            g_set_error_literal(error, host->error_domain, CZ_ERROR_CANCELLED, "cancelled");
            return false;
        }
    }
    return true;
}

const char *onednn_step_kernel(const CzProgram *program, size_t step, double *time_us)
{
    if (time_us)
        *time_us = program->steps[step].time_us;
    return program->steps[step].name;
}

void onednn_discard(CzProgram *program)
{
    if (!program)
        return;
    for (size_t i = 0; i < program->n_steps; i++) {
        conv_clear(&program->steps[i].conv);
        g_free(program->steps[i].src);
    }
    for (guint i = 0; i < program->packs->len; i++)
        pack_free(program, g_ptr_array_index(program->packs, i));
    g_ptr_array_free(program->packs, TRUE);
    program->device->host->memory_free(program->scratch);
    g_free(program->steps);
    g_free(program);
}
