// SPDX-License-Identifier: LGPL-3.0-or-later
// Plans as text: every step with its kernel and place, and where the time went.
#include "plan/plan_private.h"

#include <stdlib.h>

#include "backend/registry.h"

// Name of what runs a step, or "" if the backend does not say; its time in the last run.
static const char *kernel_of(const CzPlan *plan, size_t step, double *time_us)
{
    const CzBackend *backend = plan->device->backend;
    bool split = plan->options.poison;
    *time_us = 0;
    if (!backend->step_kernel)
        return "";
    const char *name =
        backend->step_kernel(plan->programs[split ? step : 0], split ? 0 : step, time_us);
    return name ? name : "";
}

static void append_step(GString *text, const CzPlan *plan, size_t step)
{
    const CzNode *node = plan->nodes[plan->steps[step]];
    const CzSlot *slot = &plan->slots[node->id];
    double time_us;
    const char *kernel = kernel_of(plan, step, &time_us);
    g_autofree char *shape = cz_shape_format(node->shape);
    g_string_append_printf(text, "%%%d %s(", node->id, node->op_class->name);
    for (int32_t i = 0; i < node->n_src; i++) {
        const char *comma = i ? ", " : "";
        const CzNode *src = node->src[i] < 0 ? NULL : plan->nodes[node->src[i]];
        if (!src)
            g_string_append_printf(text, "%s-", comma);
        else if (src->name)
            g_string_append_printf(text, "%s%s", comma, src->name);
        else
            g_string_append_printf(text, "%s%%%d", comma, src->id);
    }
    g_string_append_printf(text, ") %s %s @%zu%s [%s] %.1f us\n", shape, cz_dtype_name(node->dtype),
                           slot->offset, slot->shared ? " in place" : "", kernel, time_us);
}

char *cz_plan_dump(const CzPlan *plan)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text, "plan on %s (%s): %zu steps, arena %zu bytes, in all %zu bytes\n",
                           plan->device->info.id, plan->device->info.name, plan->n_steps,
                           cz_plan_arena_bytes(plan), cz_plan_total_bytes(plan));
    for (size_t step = 0; step < plan->n_steps; step++)
        append_step(text, plan, step);
    return g_string_free(text, FALSE);
}

typedef struct {
    double time_us;
    size_t n_steps;
    CzOp op;
} Share;

static int compare_shares(const void *a, const void *b)
{
    const Share *sa = a, *sb = b;
    if (sa->time_us != sb->time_us)
        return sa->time_us > sb->time_us ? -1 : 1;
    return (int)sa->op - (int)sb->op;
}

char *cz_plan_profile(const CzPlan *plan)
{
    Share shares[CZ_N_OPS] = {0};
    double total_us = 0;
    for (size_t step = 0; step < plan->n_steps; step++) {
        double time_us;
        Share *share = &shares[plan->nodes[plan->steps[step]]->op];
        kernel_of(plan, step, &time_us);
        share->time_us += time_us;
        share->n_steps++;
        total_us += time_us;
    }
    for (int op = 0; op < CZ_N_OPS; op++)
        shares[op].op = (CzOp)op;
    qsort(shares, CZ_N_OPS, sizeof *shares, compare_shares);

    GString *text = g_string_new(NULL);
    for (int i = 0; i < CZ_N_OPS; i++) {
        if (shares[i].n_steps == 0)
            continue;
        g_string_append_printf(text, "%-20s %5.1f %% %10.3f ms %5zu steps\n",
                               cz_op_class(shares[i].op)->name,
                               total_us > 0 ? 100 * shares[i].time_us / total_us : 0,
                               shares[i].time_us / 1000, shares[i].n_steps);
    }
    g_string_append_printf(text, "%-20s %5.1f %% %10.3f ms %5zu steps\n", "in all", 100.0,
                           total_us / 1000, plan->n_steps);
    return g_string_free(text, FALSE);
}
