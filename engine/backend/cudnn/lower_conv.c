// SPDX-License-Identifier: LGPL-3.0-or-later
// Dense convolutions: as one fused operation of cuDNN, else with our own kernels around it, else
// all of it by our own kernels.
#include "lower_private.h"

static const CzNode *src_node(const Emit *emit, int32_t index)
{
    return emit->program->plan->nodes[emit->node->src[index]];
}

static uint64_t src_address(const Emit *emit, int32_t index)
{
    return emit_address(emit, emit->node->src[index]);
}

static ConvProblem problem_of(ConvKind kind, CzDtype dtype, const CzConvParams *conv, CzShape src,
                              CzShape filter, CzShape dst)
{
    return (ConvProblem){.kind = kind,
                         .dtype = dtype,
                         .n = src.n,
                         .c = src.c,
                         .h = src.h,
                         .w = src.w,
                         .k = filter.n,
                         .r = filter.h,
                         .s = filter.w,
                         .p = dst.h,
                         .q = dst.w,
                         .stride = conv->stride,
                         .dilation = conv->dilation,
                         .pad_top = conv->pad_top,
                         .pad_left = conv->pad_left,
                         .pad_bottom = conv->pad_bottom,
                         .pad_right = conv->pad_right};
}

static bool find(const Emit *emit, const ConvProblem *problem, const ConvPlan **plan,
                 GError **error)
{
    const CzProgram *program = emit->program;
    return conv_find(program->device, problem, program->workspace_limit, plan, error);
}

static void emit_plan(Emit *emit, const ConvProblem *problem, const ConvPlan *plan,
                      ConvMemory memory)
{
    if (plan->workspace_bytes > 0)
        memory.workspace = emit_scratch(emit, plan->workspace_bytes);
    const Action action = {.kind = ACTION_CONV,
                           .conv = {.plan = plan, .problem = *problem, .memory = memory}};
    g_array_append_val(emit->program->actions, action);
}

// ---- forward ------------------------------------------------------------------------------------

// How a forward convolution is made, best first: all by cuDNN; all but the function; the sums
// alone.
typedef enum { FUSED, LINEAR, PLAIN, N_WAYS } Way;

static ConvProblem forward_problem(const Emit *emit, Way way)
{
    const CzNode *node = emit->node;
    const CzConvParams *conv = &node->params.conv;
    ConvProblem problem = problem_of(CONV_FORWARD, node->dtype, conv, src_node(emit, 0)->shape,
                                     src_node(emit, 1)->shape, node->shape);
    if (way == PLAIN)
        return problem;
    problem.bias = conv->has_bias;
    problem.residual = conv->has_residual;
    problem.activation = way == FUSED ? conv->activation : CZ_ACT_NONE;
    return problem;
}

static bool is_possible(const Emit *emit, Way way)
{
    const CzConvParams *conv = &emit->node->params.conv;
    bool sums = conv->has_bias || conv->has_residual, function = conv->activation != CZ_ACT_NONE;
    switch (way) {
    case FUSED:
        return conv->activation <= CZ_ACT_LEAKY;
    case LINEAR:
        return sums && function;
    default:
        return sums || function;
    }
}

static void emit_forward(Emit *emit, Way way, const ConvProblem *problem, const ConvPlan *plan)
{
    const CzNode *node = emit->node;
    const CzConvParams *conv = &node->params.conv;
    uint64_t dst = emit_address(emit, node->id);
    uint64_t residual = conv->has_residual ? src_address(emit, node->n_src - 1) : 0;
    ConvMemory memory = {.src = src_address(emit, 0),
                         .filter = emit_packed(emit, 1, node->dtype, PACK_CAST),
                         .dst = dst,
                         .residual = residual};
    if (problem->bias)
        memory.bias = emit_packed(emit, 2, node->dtype, PACK_CAST);
    emit_plan(emit, problem, plan, memory);
    if (way == FUSED)
        return;
    PostConv post = {.src = memory.dst, .dst = dst};
    if (way == PLAIN) {
        post.bias = conv->has_bias ? src_address(emit, 2) : 0;
        post.residual = residual;
    }
    g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
    launch_append_post_conv(launches, node, &post);
    emit_launches(emit, launches);
}

static bool forward(Emit *emit, GError **error)
{
    for (Way way = FUSED; way < N_WAYS; way++) {
        const ConvPlan *plan = NULL;
        if (!is_possible(emit, way))
            continue;
        const ConvProblem problem = forward_problem(emit, way);
        if (!find(emit, &problem, &plan, error))
            return false;
        if (plan) {
            emit_forward(emit, way, &problem, plan);
            return true;
        }
    }
    emit_own(emit);
    return true;
}

// ---- gradients ----------------------------------------------------------------------------------

static bool grad_src(Emit *emit, GError **error)
{
    const CzNode *node = emit->node, *d_dst = src_node(emit, 0);
    const ConvPlan *plan = NULL;
    const ConvProblem problem = problem_of(CONV_GRAD_SRC, node->dtype, &node->params.conv,
                                           node->shape, src_node(emit, 1)->shape, d_dst->shape);
    if (!find(emit, &problem, &plan, error))
        return false;
    if (!plan) {
        emit_own(emit);
        return true;
    }
    const ConvMemory memory = {.src = emit_address(emit, node->id),
                               .filter = emit_packed(emit, 1, node->dtype, PACK_CAST),
                               .dst = src_address(emit, 0)};
    emit_plan(emit, &problem, plan, memory);
    return true;
}

// cuDNN gives the gradient of a filter in the type of the maps; from there on it is F32.
static bool grad_filter(Emit *emit, GError **error)
{
    const CzNode *node = emit->node, *src = src_node(emit, 0), *d_dst = src_node(emit, 1);
    const ConvPlan *plan = NULL;
    const ConvProblem problem = problem_of(CONV_GRAD_FILTER, src->dtype, &node->params.conv,
                                           src->shape, node->shape, d_dst->shape);
    if (!find(emit, &problem, &plan, error))
        return false;
    if (!plan) {
        emit_own(emit);
        return true;
    }
    uint64_t dst = emit_address(emit, node->id);
    size_t n = cz_shape_count(node->shape);
    ConvMemory memory = {.src = src_address(emit, 0), .filter = dst, .dst = src_address(emit, 1)};
    if (src->dtype != CZ_F32)
        memory.filter = emit_scratch(emit, n * cz_dtype_size(src->dtype));
    emit_plan(emit, &problem, plan, memory);
    if (src->dtype != CZ_F32) {
        g_autoptr(GArray) launches = g_array_new(FALSE, FALSE, sizeof(Launch));
        launch_append_cast(launches, dst, CZ_F32, memory.filter, src->dtype, n);
        emit_launches(emit, launches);
    }
    return true;
}

bool emit_conv(Emit *emit, GError **error)
{
    switch (emit->node->op) {
    case CZ_OP_CONV2D_GRAD_SRC:
        return grad_src(emit, error);
    case CZ_OP_CONV2D_GRAD_FILTER:
        return grad_filter(emit, error);
    default:
        return forward(emit, error);
    }
}
