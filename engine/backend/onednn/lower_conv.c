// SPDX-License-Identifier: LGPL-3.0-or-later
// Convolutions by the library, in all three passes.
//
// Pictures stay NHWC; filters and their gradients take the layout that the library likes best
// (pack.c). Activation and residual ride along as post-operations.
#include "lower.h"

#include <string.h>

// What the three passes call by different names: the picture, the filter, the convolved picture.
// Views are as the library sees them: F32 without data where BF16 pictures are copied (wide.c).
typedef struct {
    const CzNode *node, *src, *filter, *dst; // one of them is node
    CzView src_view, filter_view, dst_view;
    dnnl_prop_kind_t kind;
} Conv;

static Conv conv_of(const CzProgram *program, const Step *step)
{
    const CzNode *node = step->node;
    const CzNode *a = program->plan->nodes[node->src[0]], *b = program->plan->nodes[node->src[1]];
    Conv conv = {.node = node};
    if (node->op == CZ_OP_CONV2D) {
        conv.kind = dnnl_forward_inference;
        conv.src = a, conv.filter = b, conv.dst = node;
        conv.src_view = step->src[0], conv.filter_view = step->src[1], conv.dst_view = step->dst;
    } else if (node->op == CZ_OP_CONV2D_GRAD_SRC) {
        conv.kind = dnnl_backward_data;
        conv.src = node, conv.filter = b, conv.dst = a;
        conv.src_view = step->dst, conv.filter_view = step->src[1], conv.dst_view = step->src[0];
    } else {
        conv.kind = dnnl_backward_weights;
        conv.src = a, conv.filter = node, conv.dst = b;
        conv.src_view = step->src[0], conv.filter_view = step->dst, conv.dst_view = step->src[1];
    }
    if (step->conv.wide) {
        conv.src_view.dtype = conv.dst_view.dtype = CZ_F32;
        conv.src_view.data = conv.dst_view.data = DNNL_MEMORY_NONE;
    }
    return conv;
}

static bool is_pointwise(const Conv *conv)
{
    const CzConvParams *p = &conv->node->params.conv;
    return conv->filter->shape.h == 1 && conv->filter->shape.w == 1 && p->stride <= 1 &&
           p->pad_top == 0 && p->pad_left == 0 && p->pad_bottom == 0 && p->pad_right == 0;
}

// To a 1x1 convolution a batch is a list of pixels, so small pictures may be laid together. The
// library's kernels work picture by picture and row by row: BF16 weight gradients of 16 pictures of
// 4x4 become 2.8 times faster as one of 8x32. Beyond 1024 pixels it no longer helps.
static CzShape fold(CzShape s, int n_threads)
{
    enum { MAX_PIXELS = 1024, WIDE = 32 };
    while (s.n % 2 == 0 && s.n / 2 >= n_threads && (int64_t)s.h * s.w * 2 <= MAX_PIXELS)
        s.n /= 2, s.h *= 2;
    while (s.h % 2 == 0 && s.w * 2 <= WIDE)
        s.h /= 2, s.w *= 2;
    return s;
}

static dnnl_data_type_t library_type(CzDtype dtype)
{
    return dtype == CZ_F32 ? dnnl_f32 : dtype == CZ_BF16 ? dnnl_bf16 : dnnl_f16;
}

static dnnl_status_t picture_desc(const CzHost *host, OnednnDesc *desc, const CzView *view,
                                  const Conv *conv, int n_threads)
{
    const CzShape s = is_pointwise(conv) ? fold(view->shape, n_threads) : view->shape;
    const dnnl_dim_t c = s.c, h = s.h, w = s.w;
    const dnnl_dims_t dims = {s.n, c, h, w}, strides = {h * w * c, 1, w * c, c};
    return onednn_desc_init(host, desc, 4, dims, library_type(view->dtype), strides);
}

// plain: as the store has it (out, kh, kw, in); else the library's choice.
static dnnl_status_t filter_desc(const CzHost *host, OnednnDesc *desc, CzShape s, int32_t groups,
                                 dnnl_data_type_t type, bool plain)
{
    const dnnl_dim_t out = s.n / groups, in = s.c, h = s.h, w = s.w, line = h * w * in;
    const dnnl_dims_t dims = {out, in, h, w}, strides = {line, 1, w * in, in};
    const dnnl_dims_t group_dims = {groups, out, in, h, w};
    const dnnl_dims_t group_strides = {out * line, line, 1, w * in, in};
    if (groups == 1)
        return onednn_desc_init(host, desc, 4, dims, type, plain ? strides : NULL);
    return onednn_desc_init(host, desc, 5, group_dims, type, plain ? group_strides : NULL);
}

static dnnl_status_t bias_desc(const CzHost *host, OnednnDesc *desc, int32_t n_channels)
{
    const dnnl_dims_t dims = {n_channels}, strides = {1};
    return onednn_desc_init(host, desc, 1, dims, dnnl_f32, strides);
}

static dnnl_status_t describe(const CzHost *host, const Conv *conv, int n_threads, OnednnConv *c)
{
    const CzConvParams *p = &conv->node->params.conv;
    const dnnl_dim_t stride = MAX(p->stride, 1), dilate = MAX(p->dilation, 1) - 1;
    *c = (OnednnConv){
        .kind = conv->kind,
        .strides = {stride, stride},
        .dilates = {dilate, dilate},
        .pad_l = {p->pad_top, p->pad_left},
        .pad_r = {p->pad_bottom, p->pad_right},
    };
    const bool grad_filter = conv->kind == dnnl_backward_weights;
    dnnl_status_t status = picture_desc(host, &c->src, &conv->src_view, conv, n_threads);
    if (status == dnnl_success)
        status = picture_desc(host, &c->dst, &conv->dst_view, conv, n_threads);
    if (status == dnnl_success)
        status = filter_desc(host, &c->filter, conv->filter->shape, MAX(p->groups, 1),
                             grad_filter ? dnnl_f32 : library_type(conv->src_view.dtype), false);
    if (status == dnnl_success && conv->kind == dnnl_forward_inference && p->has_bias)
        status = bias_desc(host, &c->bias, conv->dst->shape.c);
    return status;
}

static void describe_clear(OnednnConv *c)
{
    onednn_desc_clear(&c->src);
    onednn_desc_clear(&c->filter);
    onednn_desc_clear(&c->bias);
    onednn_desc_clear(&c->dst);
}

static dnnl_status_t append_activation(dnnl_post_ops_t post_ops, CzActivation activation)
{
    switch (activation) {
    case CZ_ACT_RELU:
        return onednn_post_eltwise(post_ops, dnnl_eltwise_relu, 0.0f, 0.0f);
    case CZ_ACT_RELU6:
        return onednn_post_eltwise(post_ops, dnnl_eltwise_clip, 0.0f, 6.0f);
    case CZ_ACT_LEAKY:
        return onednn_post_eltwise(post_ops, dnnl_eltwise_relu, CZ_LEAKY_SLOPE, 0.0f);
    case CZ_ACT_TANH:
        return onednn_post_eltwise(post_ops, dnnl_eltwise_tanh, 0.0f, 0.0f);
    case CZ_ACT_SIGMOID:
        return onednn_post_eltwise(post_ops, dnnl_eltwise_logistic, 0.0f, 0.0f);
    default:
        return dnnl_success;
    }
}

typedef enum { RESIDUAL_NONE, RESIDUAL_ADD, RESIDUAL_SUM } Residual;

static dnnl_status_t attr_new(const CzHost *host, const Conv *conv, const OnednnConv *c,
                              Residual residual, dnnl_primitive_attr_t *attr)
{
    if (host->fault())
        return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_primitive_attr_create(attr);
    if (status != dnnl_success)
        return status;
    status = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (status != dnnl_success || conv->kind != dnnl_forward_inference)
        return status;
    dnnl_post_ops_t post_ops = NULL;
    status = host->fault() ? dnnl_out_of_memory : dnnl_post_ops_create(&post_ops);
    if (status != dnnl_success)
        return status;
    if (residual == RESIDUAL_ADD)
        status = onednn_post_add(post_ops, &c->dst);
    else if (residual == RESIDUAL_SUM)
        status = onednn_post_sum(post_ops);
    if (status == dnnl_success)
        status = append_activation(post_ops, conv->node->params.conv.activation);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*attr, post_ops);
    dnnl_post_ops_destroy(post_ops);
    return status;
}

static dnnl_status_t pd_new(const CzProgram *program, const Conv *conv, Residual residual,
                            dnnl_primitive_desc_t *pd)
{
    const CzHost *host = program->device->host;
    OnednnConv c;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = describe(host, conv, program->n_threads, &c);
    if (status == dnnl_success)
        status = attr_new(host, conv, &c, residual, &attr);
    if (status == dnnl_success)
        status = onednn_conv_pd(host, program->device->engine, &c, attr, pd);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    describe_clear(&c);
    return status;
}

// Adds an argument whose layout the primitive descriptor knows.
static dnnl_status_t add_arg(const CzProgram *program, ConvStep *step,
                             const_dnnl_primitive_desc_t pd, dnnl_query_t what, int arg, void *data)
{
    const CzHost *host = program->device->host;
    OnednnDesc desc = {0};
    dnnl_memory_t memory = NULL;
    dnnl_status_t status = onednn_desc_query(host, &desc, pd, what);
    if (status == dnnl_success && desc.set)
        status = onednn_memory_new(host, program->device->engine, &desc, data, &memory);
    if (memory)
        step->args[step->n_args++] = (dnnl_exec_arg_t){arg, memory};
    onednn_desc_clear(&desc);
    return status;
}

// The filter that is read: where it lies if the library likes it there, else through a pack.
static bool bind_filter(CzProgram *program, const Conv *conv, ConvStep *step,
                        const_dnnl_primitive_desc_t pd, GError **error)
{
    const CzHost *host = program->device->host;
    OnednnDesc wanted = {0}, plain = {0};
    bool ok = false;
    dnnl_memory_t memory = NULL;
    dnnl_status_t status = onednn_desc_query(host, &wanted, pd, dnnl_query_weights_md);
    if (status == dnnl_success)
        status = filter_desc(host, &plain, conv->filter->shape,
                             MAX(conv->node->params.conv.groups, 1), dnnl_f32, true);
    if (!onednn_check(host, status, "describing a filter", error))
        goto out;
    if (onednn_desc_equal(&wanted, &plain) && !step->wide) {
        status = onednn_memory_new(host, program->device->engine, &plain, conv->filter_view.data,
                                   &memory);
        ok = onednn_check(host, status, "binding a filter", error);
    } else {
        const PackRequest request = {.filter = conv->filter,
                                     .data = conv->filter_view.data,
                                     .plain = &plain,
                                     .packed = &wanted,
                                     .round = step->wide};
        step->pack = pack_find(program, &request, error);
        ok = step->pack != NULL;
        memory = ok ? step->pack->to : NULL;
    }
    if (ok)
        step->args[step->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, memory};
out:
    onednn_desc_clear(&wanted);
    onednn_desc_clear(&plain);
    return ok;
}

// The filter gradient: written where it belongs, or in the scratch and turned round from there.
static dnnl_status_t bind_filter_gradient(CzProgram *program, const Conv *conv, Step *step,
                                          const_dnnl_primitive_desc_t pd)
{
    const CzHost *host = program->device->host;
    dnnl_engine_t engine = program->device->engine;
    ConvStep *c = &step->conv;
    OnednnDesc made = {0}, plain = {0};
    dnnl_memory_t memory = NULL;
    dnnl_status_t status = onednn_desc_query(host, &made, pd, dnnl_query_diff_weights_md);
    if (status == dnnl_success)
        status = filter_desc(host, &plain, conv->filter->shape,
                             MAX(conv->node->params.conv.groups, 1), dnnl_f32, true);
    if (status == dnnl_success && onednn_desc_equal(&made, &plain)) {
        status = onednn_memory_new(host, engine, &plain, conv->filter_view.data, &memory);
    } else if (status == dnnl_success) {
        c->packed_offset = step->scratch_bytes;
        step->scratch_bytes += (onednn_desc_bytes(&made) + 63) & ~(size_t)63;
        status = onednn_memory_new(host, engine, &made, DNNL_MEMORY_NONE, &memory);
        c->packed = memory;
        if (status == dnnl_success)
            status = onednn_memory_new(host, engine, &plain, conv->filter_view.data, &c->plain);
        if (status == dnnl_success)
            status = onednn_reorder_new(host, engine, &made, &plain, &c->unpack);
    }
    if (memory)
        c->args[c->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_DIFF_WEIGHTS, memory};
    onednn_desc_clear(&made);
    onednn_desc_clear(&plain);
    return status;
}

static dnnl_status_t bind_scratchpad(const CzProgram *program, Step *step,
                                     const_dnnl_primitive_desc_t pd)
{
    ConvStep *c = &step->conv;
    const int before = c->n_args;
    dnnl_status_t status =
        add_arg(program, c, pd, dnnl_query_scratchpad_md, DNNL_ARG_SCRATCHPAD, DNNL_MEMORY_NONE);
    if (status != dnnl_success || c->n_args == before)
        return status;
    c->scratchpad = c->args[before].memory;
    OnednnDesc desc = {0};
    status = onednn_desc_query(program->device->host, &desc, pd, dnnl_query_scratchpad_md);
    step->scratch_bytes += (onednn_desc_bytes(&desc) + 63) & ~(size_t)63;
    onednn_desc_clear(&desc);
    return status;
}

static dnnl_status_t bind_forward(CzProgram *program, const Conv *conv, Step *step,
                                  const_dnnl_primitive_desc_t pd, Residual residual)
{
    const CzConvParams *p = &conv->node->params.conv;
    ConvStep *c = &step->conv;
    dnnl_status_t status =
        add_arg(program, c, pd, dnnl_query_src_md, DNNL_ARG_SRC, conv->src_view.data);
    if (status == dnnl_success)
        status = add_arg(program, c, pd, dnnl_query_dst_md, DNNL_ARG_DST, conv->dst_view.data);
    if (status == dnnl_success && p->has_bias) {
        OnednnDesc desc = {0};
        dnnl_memory_t memory = NULL;
        status = bias_desc(program->device->host, &desc, conv->dst->shape.c);
        if (status == dnnl_success)
            status = onednn_memory_new(program->device->host, program->device->engine, &desc,
                                       step->src[2].data, &memory);
        if (memory)
            c->args[c->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, memory};
        onednn_desc_clear(&desc);
    }
    if (status == dnnl_success && residual == RESIDUAL_ADD)
        status = add_arg(program, c, pd, dnnl_query_dst_md,
                         DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                         step->src[2 + p->has_bias].data);
    return status;
}

static bool bind_all(CzProgram *program, const Conv *conv, Step *step,
                     const_dnnl_primitive_desc_t pd, Residual residual, GError **error)
{
    ConvStep *c = &step->conv;
    dnnl_status_t status = bind_scratchpad(program, step, pd);
    if (status == dnnl_success && conv->kind == dnnl_backward_weights) {
        status = add_arg(program, c, pd, dnnl_query_src_md, DNNL_ARG_SRC, conv->src_view.data);
        if (status == dnnl_success)
            status = add_arg(program, c, pd, dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST,
                             conv->dst_view.data);
        if (status == dnnl_success)
            status = bind_filter_gradient(program, conv, step, pd);
    } else if (status == dnnl_success && conv->kind == dnnl_backward_data) {
        status =
            add_arg(program, c, pd, dnnl_query_diff_src_md, DNNL_ARG_DIFF_SRC, conv->src_view.data);
        if (status == dnnl_success)
            status = add_arg(program, c, pd, dnnl_query_diff_dst_md, DNNL_ARG_DIFF_DST,
                             conv->dst_view.data);
    } else if (status == dnnl_success) {
        status = bind_forward(program, conv, step, pd, residual);
    }
    if (!onednn_check(program->device->host, status, "binding a convolution", error))
        return false;
    return conv->kind == dnnl_backward_weights || bind_filter(program, conv, c, pd, error);
}

// An addend of its own is read where it lies. One that shares dst's memory must go through the
// sum post-operation, which knows that it reads what it overwrites. So must all before AVX2, where
// 2.6 adds wrong numbers where channels are no multiple of 4 and a sigmoid follows.
static Residual choose_residual(const CzProgram *program, const Step *step, const Conv *conv)
{
    const CzConvParams *p = &conv->node->params.conv;
    if (conv->kind != dnnl_forward_inference || !p->has_residual)
        return RESIDUAL_NONE;
    return step->conv.wide || step->src[2 + p->has_bias].data == step->dst.data ? RESIDUAL_SUM
                                                                                : RESIDUAL_ADD;
}

// Against our own depthwise kernels, at the network's shapes, batch 16, one AVX-512 core: the
// library's take 0.5 to 1 times as long in F32 (but 1.4 times for 5x5 data gradients at 8x8). In
// BF16 only brdgmm_dw's 3x3 is as fast or faster (0.65 to 1), jit_dw takes up to 2 times as long.
// Where the library has no depthwise kernel (5x5 weight gradients) it takes 10 to 200 times as
// long; and for few outputs (kernels_thin.c) 4 times.
static bool beats_own(const Conv *conv, const char *name)
{
    if (conv->src_view.dtype == CZ_F32)
        return strstr(name, "_dw") != NULL;
    return strstr(name, "brdgmm_dw") != NULL && conv->filter->shape.h <= 3;
}

// The library's primitive for the step, or NULL in *pd where it has none, or none worth having.
static bool choose(const CzProgram *program, Step *step, const Conv *conv, bool own,
                   Residual *residual, dnnl_primitive_desc_t *pd, GError **error)
{
    *residual = choose_residual(program, step, conv);
    dnnl_status_t status = dnnl_unimplemented;
    if (*residual != RESIDUAL_ADD || onednn_isa_has(dnnl_cpu_isa_avx2))
        status = pd_new(program, conv, *residual, pd);
    if (status == dnnl_unimplemented && *residual == RESIDUAL_ADD) {
        *residual = RESIDUAL_SUM;
        step->conv.residual_bytes =
            cz_shape_count(step->dst.shape) * cz_dtype_size(step->dst.dtype);
        status = pd_new(program, conv, *residual, pd);
    }
    if (status == dnnl_unimplemented || status == dnnl_invalid_arguments)
        return true;
    if (!onednn_check(program->device->host, status, "choosing a convolution", error))
        return false;
    g_strlcpy(step->name, onednn_impl_name(*pd), sizeof step->name);
    if (own && !beats_own(conv, step->name)) {
        dnnl_primitive_desc_destroy(*pd);
        *pd = NULL;
    }
    return true;
}

static size_t wide_bytes(const CzView *view)
{
    return (cz_shape_count(view->shape) * sizeof(float) + 63) & ~(size_t)63;
}

bool conv_prepare(CzProgram *program, Step *step, bool own, bool *served, GError **error)
{
    const CzHost *host = program->device->host;
    const CzDtype dtype = step->src[0].dtype;
    step->conv.wide = dtype == CZ_BF16 && !own && !onednn_isa_has(dnnl_cpu_isa_avx512_core_bf16);
    const Conv conv = conv_of(program, step);
    Residual residual;
    dnnl_primitive_desc_t pd = NULL;
    *served = false;
    if (!choose(program, step, &conv, own, &residual, &pd, error))
        return false;
    if (!pd)
        return true;
    bool ok = bind_all(program, &conv, step, pd, residual, error);
    if (ok && step->conv.wide) {
        step->conv.wide_src_offset = step->scratch_bytes;
        step->scratch_bytes += wide_bytes(&conv.src_view);
        step->conv.wide_dst_offset = step->scratch_bytes;
        step->scratch_bytes += wide_bytes(&conv.dst_view);
    }
    if (ok) {
        dnnl_status_t status =
            host->fault() ? dnnl_out_of_memory : dnnl_primitive_create(&step->conv.primitive, pd);
        ok = onednn_check(host, status, "making a convolution", error);
    }
    dnnl_primitive_desc_destroy(pd);
    *served = ok;
    return ok;
}

void conv_bind_scratch(CzProgram *program, Step *step)
{
    ConvStep *c = &step->conv;
    if (c->scratchpad)
        dnnl_memory_set_data_handle(c->scratchpad, program->scratch);
    if (c->packed)
        dnnl_memory_set_data_handle(c->packed, program->scratch + c->packed_offset);
    for (int i = 0; c->wide && i < c->n_args; i++) {
        const int arg = c->args[i].arg;
        if (arg == DNNL_ARG_SRC || arg == DNNL_ARG_DIFF_SRC)
            dnnl_memory_set_data_handle(c->args[i].memory, program->scratch + c->wide_src_offset);
        if (arg == DNNL_ARG_DST || arg == DNNL_ARG_DIFF_DST)
            dnnl_memory_set_data_handle(c->args[i].memory, program->scratch + c->wide_dst_offset);
    }
}

static void load_view(CzProgram *program, size_t offset, const CzView *view)
{
    wide_load((float *)(program->scratch + offset), view->data, cz_shape_count(view->shape));
}

// What the primitive reads, before it runs.
static void load_wide(CzProgram *program, Step *step)
{
    const ConvStep *c = &step->conv;
    const CzConvParams *p = &step->node->params.conv;
    if (step->node->op == CZ_OP_CONV2D_GRAD_SRC) {
        load_view(program, c->wide_dst_offset, &step->src[0]);
        return;
    }
    load_view(program, c->wide_src_offset, &step->src[0]);
    if (step->node->op == CZ_OP_CONV2D_GRAD_FILTER)
        load_view(program, c->wide_dst_offset, &step->src[1]);
    else if (p->has_residual)
        load_view(program, c->wide_dst_offset, &step->src[2 + p->has_bias]);
}

static void store_wide(CzProgram *program, Step *step)
{
    const ConvStep *c = &step->conv;
    if (step->node->op == CZ_OP_CONV2D_GRAD_FILTER)
        return;
    const size_t offset = step->node->op == CZ_OP_CONV2D ? c->wide_dst_offset : c->wide_src_offset;
    wide_store(step->dst.data, (const float *)(program->scratch + offset),
               cz_shape_count(step->dst.shape));
}

bool conv_run(CzProgram *program, Step *step, GError **error)
{
    const CzHost *host = program->device->host;
    dnnl_stream_t stream = program->device->stream;
    ConvStep *c = &step->conv;
    if (c->pack && !pack_refresh(program, c->pack, error))
        return false;
    if (c->residual_bytes > 0)
        memcpy(step->dst.data, step->src[2 + step->node->params.conv.has_bias].data,
               c->residual_bytes);
    if (c->wide)
        load_wide(program, step);
    dnnl_status_t status = dnnl_primitive_execute(c->primitive, stream, c->n_args, c->args);
    if (c->wide)
        store_wide(program, step);
    if (status == dnnl_success && c->unpack) {
        dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, c->packed}, {DNNL_ARG_TO, c->plain}};
        status = dnnl_primitive_execute(c->unpack, stream, 2, args);
    }
    return onednn_check(host, status, "running a convolution", error);
}

void conv_clear(ConvStep *c)
{
    for (int i = 0; i < c->n_args; i++)
        if (!c->pack || c->args[i].memory != c->pack->to)
            dnnl_memory_destroy(c->args[i].memory);
    if (c->plain)
        dnnl_memory_destroy(c->plain);
    if (c->unpack)
        dnnl_primitive_destroy(c->unpack);
    if (c->primitive)
        dnnl_primitive_destroy(c->primitive);
    *c = (ConvStep){0};
}
