// SPDX-License-Identifier: LGPL-3.0-or-later
// A convolution as cuDNN's graph of operations, and the addresses of one execution.
#include "conv_private.h"

enum { UID_SRC = 1, UID_FILTER, UID_DST, UID_BIAS, UID_RESIDUAL, UID_VIRTUAL };

// Every address that the module gives is a multiple of this.
#define ALIGNMENT 16

// The three kinds number their attributes alike: alpha, beta, convolution, then the tensors.
static const struct {
    const char *name;
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t alpha, beta, conv, src, filter, dst;
} kinds[] = {
    [CONV_FORWARD] = {"forward", CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
    [CONV_GRAD_SRC] = {"data gradient",
                       CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
    [CONV_GRAD_FILTER] = {"weight gradient",
                          CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY},
};

char *conv_text(const ConvProblem *p)
{
    static const char *const dtypes[] = {[CZ_F32] = "F32", [CZ_BF16] = "BF16", [CZ_F16] = "F16"};
    static const char *const activations[] = {[CZ_ACT_NONE] = "",
                                              [CZ_ACT_RELU] = " relu",
                                              [CZ_ACT_RELU6] = " relu6",
                                              [CZ_ACT_LEAKY] = " leaky"};
    g_autoptr(GString) text = g_string_new(kinds[p->kind].name);
    const int64_t numbers[] = {p->n,        p->c,       p->h,        p->w,          p->k,
                               p->r,        p->s,       p->p,        p->q,          p->stride,
                               p->dilation, p->pad_top, p->pad_left, p->pad_bottom, p->pad_right};
    g_string_append_printf(text, " %s", dtypes[p->dtype]);
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
        g_string_append_printf(text, " %" G_GINT64_FORMAT, numbers[i]);
    g_string_append_printf(text, "%s%s%s", p->residual ? " +residual" : "", p->bias ? " +bias" : "",
                           activations[p->activation]);
    return g_strdup(text->str);
}

// Dimensions are in cuDNN's order, n, c, h, w; strides say that channels are neighbours.
static cudnnBackendDescriptor_t tensor(Descriptors *all, int64_t uid, int type,
                                       const int64_t dims[4])
{
    cudnnBackendDescriptor_t made = descriptor_make(all, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    const int64_t strides[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]};
    descriptor_set_int(all, made, CUDNN_ATTR_TENSOR_UNIQUE_ID, uid);
    descriptor_set_enum(all, made, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type);
    descriptor_set(all, made, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    descriptor_set(all, made, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    descriptor_set_int(all, made, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, ALIGNMENT);
    if (uid >= UID_VIRTUAL)
        descriptor_set(all, made, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1,
                       &(bool){true});
    descriptor_finalize(all, made);
    return made;
}

static cudnnBackendDescriptor_t convolution(Descriptors *all, const ConvProblem *p)
{
    cudnnBackendDescriptor_t made = descriptor_make(all, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
    const struct {
        cudnnBackendAttributeName_t name;
        int64_t values[2];
    } rows[] = {{CUDNN_ATTR_CONVOLUTION_DILATIONS, {p->dilation, p->dilation}},
                {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {p->stride, p->stride}},
                {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {p->pad_top, p->pad_left}},
                {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {p->pad_bottom, p->pad_right}}};
    descriptor_set_enum(all, made, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE,
                        CUDNN_DATA_FLOAT);
    descriptor_set_enum(all, made, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE,
                        CUDNN_CROSS_CORRELATION);
    descriptor_set_int(all, made, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        descriptor_set(all, made, rows[i].name, CUDNN_TYPE_INT64, 2, rows[i].values);
    descriptor_finalize(all, made);
    return made;
}

// RELU with a limit above, or with a slope below.
static void set_activation(Descriptors *all, cudnnBackendDescriptor_t map, CzActivation activation)
{
    if (activation == CZ_ACT_RELU6)
        descriptor_set(all, map, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1,
                       &(double){6});
    if (activation == CZ_ACT_LEAKY)
        descriptor_set(all, map, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, 1,
                       &(double){(double)CZ_LEAKY_SLOPE});
}

// y = x + b, or act(x) where there is no b.
static cudnnBackendDescriptor_t pointwise(Descriptors *all, CzActivation activation,
                                          cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t b,
                                          cudnnBackendDescriptor_t y)
{
    int mode = b ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD;
    cudnnBackendDescriptor_t map = descriptor_make(all, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    descriptor_set_enum(all, map, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode);
    descriptor_set_enum(all, map, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE,
                        CUDNN_DATA_FLOAT);
    if (!b)
        set_activation(all, map, activation);
    descriptor_finalize(all, map);
    cudnnBackendDescriptor_t made =
        descriptor_make(all, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    descriptor_set_child(all, made, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, map);
    descriptor_set_child(all, made, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b)
        descriptor_set_child(all, made, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    descriptor_set_child(all, made, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    descriptor_finalize(all, made);
    return made;
}

static int data_type(CzDtype dtype)
{
    static const int types[] = {
        [CZ_F32] = CUDNN_DATA_FLOAT, [CZ_BF16] = CUDNN_DATA_BFLOAT16, [CZ_F16] = CUDNN_DATA_HALF};
    return types[dtype];
}

// The order that cuDNN has engines for: the residual first, then the bias, then the function.
cudnnBackendDescriptor_t conv_graph(Descriptors *all, const ConvProblem *p)
{
    const int64_t src_dims[] = {p->n, p->c, p->h, p->w}, filter_dims[] = {p->k, p->c, p->r, p->s};
    const int64_t dst_dims[] = {p->n, p->k, p->p, p->q}, bias_dims[] = {1, p->k, 1, 1};
    int type = data_type(p->dtype);
    int n_left = p->residual + p->bias + (p->activation != CZ_ACT_NONE);
    int64_t uid = UID_VIRTUAL;
    cudnnBackendDescriptor_t operations[4];
    int64_t n = 0;
    cudnnBackendDescriptor_t src = tensor(all, UID_SRC, type, src_dims);
    cudnnBackendDescriptor_t filter = tensor(all, UID_FILTER, type, filter_dims);
    cudnnBackendDescriptor_t now = n_left ? tensor(all, uid++, CUDNN_DATA_FLOAT, dst_dims)
                                          : tensor(all, UID_DST, type, dst_dims);
    cudnnBackendDescriptor_t made = descriptor_make(all, kinds[p->kind].type);
    descriptor_set(all, made, kinds[p->kind].alpha, CUDNN_TYPE_FLOAT, 1, &(float){1});
    descriptor_set(all, made, kinds[p->kind].beta, CUDNN_TYPE_FLOAT, 1, &(float){0});
    descriptor_set_child(all, made, kinds[p->kind].conv, convolution(all, p));
    descriptor_set_child(all, made, kinds[p->kind].src, src);
    descriptor_set_child(all, made, kinds[p->kind].filter, filter);
    descriptor_set_child(all, made, kinds[p->kind].dst, now);
    descriptor_finalize(all, made);
    operations[n++] = made;
    const struct {
        bool wanted;
        int64_t uid;
        const int64_t *dims;
        int type;
    } posts[] = {{p->residual, UID_RESIDUAL, dst_dims, type},
                 {p->bias, UID_BIAS, bias_dims, type},
                 {p->activation != CZ_ACT_NONE, 0, NULL, 0}};
    for (size_t i = 0; i < G_N_ELEMENTS(posts); i++) {
        if (!posts[i].wanted)
            continue;
        n_left--;
        cudnnBackendDescriptor_t b =
            posts[i].uid ? tensor(all, posts[i].uid, posts[i].type, posts[i].dims) : NULL;
        cudnnBackendDescriptor_t y = n_left ? tensor(all, uid++, CUDNN_DATA_FLOAT, dst_dims)
                                            : tensor(all, UID_DST, type, dst_dims);
        operations[n++] = pointwise(all, p->activation, now, b, y);
        now = y;
    }
    cudnnBackendDescriptor_t graph = descriptor_make(all, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    descriptor_set(all, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n,
                   operations);
    return graph;
}

bool conv_bind(const CzDevice *device, const ConvProblem *problem, const ConvMemory *memory,
               cudnnBackendDescriptor_t *pack, GError **error)
{
    const struct {
        int64_t uid;
        uint64_t address;
        bool there;
    } rows[] = {{UID_SRC, memory->src, true},
                {UID_FILTER, memory->filter, true},
                {UID_DST, memory->dst, true},
                {UID_BIAS, memory->bias, problem->bias},
                {UID_RESIDUAL, memory->residual, problem->residual}};
    int64_t uids[G_N_ELEMENTS(rows)], n = 0;
    void *pointers[G_N_ELEMENTS(rows)], *workspace = (void *)(uintptr_t)memory->workspace;
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (rows[i].there) {
            uids[n] = rows[i].uid;
            pointers[n++] = (void *)(uintptr_t)rows[i].address;
        }
    g_auto(Descriptors) all = {0};
    descriptors_init(&all, device);
    cudnnBackendDescriptor_t made = descriptor_make(&all, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    descriptor_set(&all, made, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, uids);
    descriptor_set(&all, made, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n,
                   pointers);
    descriptor_set(&all, made, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                   &workspace);
    descriptor_finalize(&all, made);
    if (!descriptors_check(&all, device, "addresses of a convolution", error))
        return false;
    g_ptr_array_set_size(all.made, 0);
    *pack = made;
    return true;
}

bool conv_execute(const CzDevice *device, const ConvPlan *plan, cudnnBackendDescriptor_t pack,
                  GError **error)
{
    const CudnnApi *cudnn = &device->libs->cudnn;
    return descriptor_check(device,
                            cudnn->cudnnBackendExecute(device->cudnn, plan->descriptor, pack),
                            plan->name, error);
}
