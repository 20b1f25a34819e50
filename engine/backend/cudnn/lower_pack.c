// SPDX-License-Identifier: LGPL-3.0-or-later
// Filters and biases as convolutions want them, made once for all that use them.
#include "lower_private.h"

#define ALIGNMENT 256u

static Pack *find(Emit *emit, const CzNode *src, CzDtype dtype, PackForm form)
{
    CzProgram *program = emit->program;
    for (guint i = 0; i < program->packs->len; i++) {
        Pack *pack = &g_array_index(program->packs, Pack, i);
        if (pack->id == src->id && pack->dtype == dtype && pack->form == form)
            return pack;
    }
    const Pack pack = {src->id, dtype, form, program->pack_bytes, false};
    size_t n_bytes = cz_shape_count(src->shape) * cz_dtype_size(dtype);
    program->pack_bytes += (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    g_array_append_val(program->packs, pack);
    return &g_array_index(program->packs, Pack, program->packs->len - 1);
}

static void make(Emit *emit, const Pack *pack)
{
    const CzNode *src = emit->program->plan->nodes[pack->id];
    uint64_t address = emit_address(emit, pack->id), packed = emit->packed + pack->offset;
    g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
    if (pack->form == PACK_TURNED)
        launch_append_turn(launches, src, packed, pack->dtype, address);
    else
        launch_append_cast(launches, packed, pack->dtype, address, src->dtype,
                           cz_shape_count(src->shape));
    emit_launches(emit, launches);
}

// Of frozen plans: packed once for all runs.
static bool is_frozen(const Emit *emit, const CzNode *src)
{
    return emit->program->plan->frozen && src->op == CZ_OP_PARAM;
}

uint64_t emit_packed(Emit *emit, int32_t index, CzDtype dtype, PackForm form)
{
    const CzNode *src = emit->program->plan->nodes[emit->node->src[index]];
    if (form == PACK_CAST && src->dtype == dtype)
        return emit_address(emit, src->id);
    Pack *pack = find(emit, src, dtype, form);
    if (!pack->fresh && !is_frozen(emit, src)) {
        make(emit, pack);
        pack->fresh = true;
    }
    return emit->packed + pack->offset;
}

void emit_frozen_packs(Emit *emit)
{
    CzProgram *program = emit->program;
    for (guint i = 0; i < program->packs->len; i++) {
        const Pack *pack = &g_array_index(program->packs, Pack, i);
        if (is_frozen(emit, program->plan->nodes[pack->id]))
            make(emit, pack);
    }
    program->n_once = program->actions->len;
}

void packs_begin(CzProgram *program)
{
    for (guint i = 0; i < program->packs->len; i++)
        g_array_index(program->packs, Pack, i).fresh = false;
}

void packs_forget(CzProgram *program, const CzNode *node)
{
    for (guint i = 0; i < program->packs->len; i++) {
        Pack *pack = &g_array_index(program->packs, Pack, i);
        for (int32_t k = 0; k < node->n_src; k++)
            if (node->src[k] == pack->id)
                pack->fresh = false;
    }
}
