// SPDX-License-Identifier: LGPL-3.0-or-later
// The reference backend: node by node, each op by its reference, in plain memory. Slow and right.
#include "backend/reference/ref.h"

#include <string.h>

#include <cz/error.h>
#include <cz/memory.h>

struct CzDevice {
    char id[32];
};

struct CzBuffer {
    char *data;
};

typedef struct {
    const CzNode *node;
    CzView dst;
    CzView *src; // node->n_src of them
    double time_us;
} Step;

struct CzProgram {
    Step *steps;
    size_t n_steps;
    CzView *views; // of all sources, one after the other
};

// Calls that fail on a real device fail here too when a test asks for it.
static bool call_fails(const char *what, GError **error)
{
    if (!cz_fault(CZ_FAULT_BACKEND))
        return false;
    g_set_error(error, CZ_ERROR, CZ_ERROR_BACKEND, "reference backend: %s failed", what);
    return true;
}

static int probe(CzDeviceInfo *infos, int max_infos, const char **why)
{
    if (max_infos < 1)
        return 0;
    infos[0] = (CzDeviceInfo){.id = "reference", .name = "CPU, plain loops (slow)"};
    return 1;
}

static bool open_device(const char *device_id, const CzDeviceOptions *options, CzDevice **device,
                        GError **error)
{
    if (call_fails("open", error))
        return false;
    *device = g_new0(CzDevice, 1);
    g_strlcpy((*device)->id, device_id, sizeof(*device)->id);
    return true;
}

static void close_device(CzDevice *device)
{
    g_free(device);
}

static bool supports(const CzDevice *device, const CzNode *node)
{
    return node->op_class->reference;
}

static bool alloc_buffer(CzDevice *device, size_t n_bytes, CzBuffer **buffer, GError **error)
{
    if (call_fails("alloc", error))
        return false;
    char *data = cz_memory_alloc(n_bytes, "a buffer of the reference backend", error);
    if (!data)
        return false;
    *buffer = g_new0(CzBuffer, 1);
    (*buffer)->data = data;
    return true;
}

static void release_buffer(CzDevice *device, CzBuffer *buffer)
{
    cz_memory_free(buffer->data);
    g_free(buffer);
}

static bool upload(CzDevice *device, CzBuffer *dst, size_t offset, const void *src, size_t n_bytes,
                   GError **error)
{
    if (call_fails("upload", error))
        return false;
    memcpy(dst->data + offset, src, n_bytes);
    return true;
}

static bool download(CzDevice *device, void *dst, const CzBuffer *src, size_t offset,
                     size_t n_bytes, GError **error)
{
    if (call_fails("download", error))
        return false;
    memcpy(dst, src->data + offset, n_bytes);
    return true;
}

static CzView view_of(const CzPlanView *plan, int32_t id)
{
    if (id < 0)
        return (CzView){0};
    const CzNode *node = plan->nodes[id];
    const CzSlot *slot = &plan->slots[id];
    return (CzView){node->shape, node->dtype, slot->buffer->data + slot->offset};
}

static bool compile(CzDevice *device, const CzPlanView *plan, CzProgram **program, GError **error)
{
    if (call_fails("compile", error))
        return false;
    size_t n_views = 0;
    for (size_t i = 0; i < plan->n_steps; i++)
        n_views += (size_t)plan->nodes[plan->steps[i]]->n_src;

    CzProgram *made = g_new0(CzProgram, 1);
    made->n_steps = plan->n_steps;
    made->steps = g_new0(Step, plan->n_steps + 1);
    made->views = g_new0(CzView, n_views + 1);
    CzView *next = made->views;
    for (size_t i = 0; i < plan->n_steps; i++) {
        const CzNode *node = plan->nodes[plan->steps[i]];
        made->steps[i] = (Step){.node = node, .dst = view_of(plan, node->id), .src = next};
        for (int32_t k = 0; k < node->n_src; k++)
            *next++ = view_of(plan, node->src[k]);
    }
    *program = made;
    return true;
}

static size_t program_bytes(const CzProgram *program)
{
    return 0;
}

static bool may_go_on(const CzProgress *progress, double fraction, GError **error)
{
    if (!progress || !progress->report || progress->report(progress->user, fraction))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_CANCELLED, "cancelled");
    return false;
}

static bool run(CzProgram *program, const CzProgress *progress, GError **error)
{
    for (size_t i = 0; i < program->n_steps; i++) {
        Step *step = &program->steps[i];
        if (call_fails(step->node->op_class->name, error) ||
            !may_go_on(progress, (double)i / (double)program->n_steps, error))
            return false;
        int64_t start_us = g_get_monotonic_time();
        step->node->op_class->reference(step->node, step->src, &step->dst);
        step->time_us = (double)(g_get_monotonic_time() - start_us);
    }
    return may_go_on(progress, 1, error);
}

static const char *step_kernel(const CzProgram *program, size_t step, double *time_us)
{
    *time_us = program->steps[step].time_us;
    return "reference";
}

static void discard(CzProgram *program)
{
    g_free(program->steps);
    g_free(program->views);
    g_free(program);
}

const CzBackend *cz_reference_backend(void)
{
    static const CzBackend backend = {
        .abi = CZ_BACKEND_ABI,
        .name = "reference",
        .probe = probe,
        .open = open_device,
        .close = close_device,
        .supports = supports,
        .alloc = alloc_buffer,
        .release = release_buffer,
        .upload = upload,
        .download = download,
        .compile = compile,
        .program_bytes = program_bytes,
        .run = run,
        .step_kernel = step_kernel,
        .discard = discard,
    };
    return &backend;
}
