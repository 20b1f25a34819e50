// SPDX-License-Identifier: LGPL-3.0-or-later
// Planners of kernels that go element by element, and the table that knows all planners.
#include "launch.h"

#include <string.h>

#include "launch_private.h"

// Scratch is cut at multiples of this, as cuDNN wants its own.
#define SCRATCH_ALIGNMENT 256u

G_STATIC_ASSERT(CZ_F32 == 0 && CZ_BF16 == 1 && CZ_F16 == 2);
G_STATIC_ASSERT((int)FUNCTION_NONE == (int)CZ_ACT_NONE);
G_STATIC_ASSERT((int)FUNCTION_RELU == (int)CZ_ACT_RELU);
G_STATIC_ASSERT((int)FUNCTION_SIGMOID == (int)CZ_ACT_SIGMOID);
G_STATIC_ASSERT(FUNCTION_SQUARE - FUNCTION_ABS == CZ_MATH_SQUARE - CZ_MATH_ABS);
G_STATIC_ASSERT((int)ADAM_ADABELIEF == (int)CZ_ADAM_ADABELIEF);

const char *kernel_name(KernelId kernel)
{
    static const char *const names[] = {
#define KERNEL(name, Args) #name,
#include "kernels.def"
#undef KERNEL
    };
    return names[kernel];
}

size_t kernel_args_bytes(KernelId kernel)
{
    static const size_t sizes[] = {
#define KERNEL(name, Args) sizeof(Args),
#include "kernels.def"
#undef KERNEL
    };
    return sizes[kernel];
}

uint64_t job_scratch(Job *job, size_t n_bytes)
{
    uint64_t at = job->memory->scratch + job->scratch_bytes;
    job->scratch_bytes += (n_bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
    return at;
}

void job_launch(Job *job, const Launch *launch)
{
    if (job->launches)
        g_array_append_vals(job->launches, launch, 1);
}

void job_launch_items(Job *job, Launch launch, uint64_t n_items)
{
    launch.grid[0] = (uint32_t)CLAMP(blocks_for(n_items, KERNEL_THREADS), 1, MAX_BLOCKS);
    launch.grid[1] = launch.grid[2] = 1;
    launch.block[0] = KERNEL_THREADS;
    launch.block[1] = launch.block[2] = 1;
    job_launch(job, &launch);
}

// ---- moves --------------------------------------------------------------------------------------

static KernelId move_kernel(CzDtype from, CzDtype to)
{
    static const KernelId kernels[3][3] = {
        [CZ_F32] = {KERNEL_move_b32, KERNEL_move_f32_bf16, KERNEL_move_f32_f16},
        [CZ_BF16] = {KERNEL_move_bf16_f32, KERNEL_move_b16, KERNEL_move_bf16_f16},
        [CZ_F16] = {KERNEL_move_f16_f32, KERNEL_move_f16_bf16, KERNEL_move_b16}};
    return kernels[from][to];
}

// Strides of a tensor in memory, 0 along what is repeated in dims.
static void set_strides(uint64_t *strides, CzShape shape, const uint64_t *dims)
{
    const int32_t sizes[] = {shape.n, shape.h, shape.w, shape.c};
    uint64_t stride = 1;
    for (int i = 3; i >= 0; i--) {
        strides[i] = sizes[i] == 1 && dims[i] != 1 ? 0 : stride;
        stride *= (uint64_t)sizes[i];
    }
}

static void set_dims(uint64_t *dims, CzShape shape)
{
    const int32_t sizes[] = {shape.n, shape.h, shape.w, shape.c};
    for (int i = 0; i < 4; i++)
        dims[i] = (uint64_t)sizes[i];
}

// Joins dimensions that follow each other at all of the strides (a NULL ends the list): fewer
// divisions in the kernel, and wider accesses.
static void join_dims(uint64_t *dims, uint64_t *const *strides)
{
    for (int joined = 0; joined < 3; joined++) {
        for (uint64_t *const *s = strides; *s; s++) {
            if (dims[3] == 1)
                (*s)[3] = (*s)[2];
            else if (dims[2] != 1 && (*s)[2] != (*s)[3] * dims[3])
                return;
        }
        dims[3] *= dims[2];
        for (int i = 2; i > 0; i--) {
            dims[i] = dims[i - 1];
            for (uint64_t *const *s = strides; *s; s++)
                (*s)[i] = (*s)[i - 1];
        }
        dims[0] = 1;
    }
}

// Four neighbours at once, if they are neighbours (or one number) in each tensor and no row begins
// between multiples of four.
static bool is_wide(const uint64_t *dims, const uint64_t *strides, bool may_repeat)
{
    bool wide = dims[3] % KERNEL_WIDTH == 0 && (strides[3] == 1 || (may_repeat && !strides[3]));
    for (int i = 0; i < 3; i++)
        wide = wide && (strides[3] == 0 || dims[i] == 1 || strides[i] % KERNEL_WIDTH == 0);
    return wide;
}

static void launch_move(Job *job, CzDtype from, CzDtype to, MoveArgs args, bool aligned)
{
    join_dims(args.dims, (uint64_t *const[]){args.src_strides, args.dst_strides, NULL});
    bool wide = aligned && is_wide(args.dims, args.src_strides, true) &&
                is_wide(args.dims, args.dst_strides, false);
    args.width = wide ? KERNEL_WIDTH : 1;
    uint64_t n = args.dims[0] * args.dims[1] * args.dims[2] * args.dims[3];
    job_launch_items(job, (Launch){.kernel = move_kernel(from, to), .args.move = args},
                     n / (uint64_t)args.width);
}

static void launch_flat_move(Job *job, uint64_t src, CzDtype from, uint64_t dst, CzDtype to,
                             uint64_t n)
{
    MoveArgs args = {.src = src,
                     .dst = dst,
                     .dims = {1, 1, 1, n},
                     .src_strides = {n, n, n, 1},
                     .dst_strides = {n, n, n, 1}};
    launch_move(job, from, to, args, src % 16 == 0 && dst % 16 == 0);
}

static void plan_broadcast(Job *job)
{
    const CzNode *src = job_src(job, 0);
    MoveArgs args = {.src = job->memory->src[0], .dst = job->memory->dst};
    set_dims(args.dims, job->node->shape);
    set_strides(args.src_strides, src->shape, args.dims);
    set_strides(args.dst_strides, job->node->shape, args.dims);
    launch_move(job, src->dtype, job->node->dtype, args, true);
}

static void plan_cast(Job *job)
{
    const CzNode *src = job_src(job, 0);
    launch_flat_move(job, job->memory->src[0], src->dtype, job->memory->dst, job->node->dtype,
                     cz_shape_count(src->shape));
}

static void plan_all_reduce(Job *job)
{
    if (job->memory->src[0] != job->memory->dst)
        plan_cast(job);
}

static void plan_unpack(Job *job)
{
    uint64_t first = (uint64_t)job->node->params.offset.c * sizeof(float);
    launch_flat_move(job, job->memory->src[0] + first, CZ_F32, job->memory->dst, CZ_F32,
                     cz_shape_count(job->node->shape));
}

// The elements of a box of this shape, from and to tensors in which it lies at an offset.
typedef struct {
    uint64_t address;
    CzShape shape, offset;
} Box;

static uint64_t box_strides(uint64_t *strides, const Box *box, const uint64_t *dims)
{
    const int32_t offsets[] = {box->offset.n, box->offset.h, box->offset.w, box->offset.c};
    uint64_t first = 0, stride = 1;
    const int32_t sizes[] = {box->shape.n, box->shape.h, box->shape.w, box->shape.c};
    for (int i = 3; i >= 0; i--) {
        strides[i] = stride;
        first += (uint64_t)offsets[i] * stride;
        stride *= (uint64_t)sizes[i];
    }
    return first;
}

static void launch_box_move(Job *job, CzShape shape, const Box *from, const Box *to)
{
    CzDtype dtype = job->node->dtype;
    MoveArgs args = {0};
    set_dims(args.dims, shape);
    uint64_t src_first = box_strides(args.src_strides, from, args.dims);
    uint64_t dst_first = box_strides(args.dst_strides, to, args.dims);
    args.src = from->address + src_first * cz_dtype_size(dtype);
    args.dst = to->address + dst_first * cz_dtype_size(dtype);
    bool aligned = src_first % KERNEL_WIDTH == 0 && dst_first % KERNEL_WIDTH == 0;
    launch_move(job, dtype, dtype, args, aligned);
}

static CzShape node_offset(const CzNode *node)
{
    return (CzShape){node->params.offset.n, node->params.offset.c, node->params.offset.h,
                     node->params.offset.w};
}

static void plan_slice(Job *job)
{
    const CzNode *node = job->node;
    Box from = {job->memory->src[0], job_src(job, 0)->shape, node_offset(node)};
    Box to = {job->memory->dst, node->shape, {0}};
    launch_box_move(job, node->shape, &from, &to);
}

static void launch_fill(Job *job, float value)
{
    const CzNode *node = job->node;
    uint64_t n = cz_shape_count(node->shape);
    job_launch_items(job,
                     (Launch){.kernel = kernel_of(KERNEL_fill_f32, node->dtype),
                              .args.fill = {job->memory->dst, n, value}},
                     n);
}

static void plan_pad(Job *job)
{
    const CzNode *node = job->node, *src = job_src(job, 0);
    Box from = {job->memory->src[0], src->shape, {0}};
    Box to = {job->memory->dst, node->shape, node_offset(node)};
    if (!cz_shape_equal(src->shape, node->shape))
        launch_fill(job, 0);
    launch_box_move(job, src->shape, &from, &to);
}

static void plan_constant(Job *job)
{
    launch_fill(job, job->node->params.constant);
}

static void plan_concat(Job *job)
{
    Box to = {job->memory->dst, job->node->shape, {0}};
    for (int32_t i = 0; i < job->node->n_src; i++) {
        CzShape shape = job_src(job, i)->shape;
        Box from = {job->memory->src[i], shape, {0}};
        launch_box_move(job, shape, &from, &to);
        to.offset.c += shape.c;
    }
}

static void plan_transpose(Job *job)
{
    const CzNode *src = job_src(job, 0);
    MoveArgs args = {.src = job->memory->src[0], .dst = job->memory->dst};
    set_dims(args.dims, job->node->shape);
    const Box from = {0, src->shape, {0}}, to = {0, job->node->shape, {0}};
    box_strides(args.src_strides, &from, args.dims);
    box_strides(args.dst_strides, &to, args.dims);
    uint64_t row = args.src_strides[1];
    args.src_strides[1] = args.src_strides[2];
    args.src_strides[2] = row;
    launch_move(job, src->dtype, job->node->dtype, args, true);
}

// ---- functions ----------------------------------------------------------------------------------

static void launch_map(Job *job, KernelFunction function, float a, float b)
{
    const CzNode *node = job->node;
    uint64_t n = cz_shape_count(node->shape);
    MapArgs args = {job->memory->src[0], job->memory->dst, n, (int32_t)function, a, b};
    job_launch_items(job,
                     (Launch){.kernel = kernel_of(KERNEL_map_f32, node->dtype), .args.map = args},
                     blocks_for(n, KERNEL_WIDTH));
}

static void plan_activation(Job *job)
{
    launch_map(job, (KernelFunction)job->node->params.activation, CZ_LEAKY_SLOPE, 0);
}

static void plan_math(Job *job)
{
    launch_map(job, (KernelFunction)(FUNCTION_ABS + (int)job->node->params.math), 0, 0);
}

static void plan_scale(Job *job)
{
    const CzParams *params = &job->node->params;
    launch_map(job, FUNCTION_SCALE, params->linear.scale, params->linear.shift);
}

static void plan_clamp(Job *job)
{
    const CzParams *params = &job->node->params;
    launch_map(job, FUNCTION_CLAMP, params->clamp.low, params->clamp.high);
}

static void plan_in_range(Job *job)
{
    const CzParams *params = &job->node->params;
    launch_map(job, FUNCTION_IN_RANGE, params->clamp.low, params->clamp.high);
}

static void plan_huber(Job *job)
{
    launch_map(job, FUNCTION_HUBER, job->node->params.huber_beta, 0);
}

static void launch_pair(Job *job, KernelPair function, CzActivation activation)
{
    const CzNode *node = job->node, *b = job_src(job, 1);
    PairArgs args = {.a = job->memory->src[0],
                     .b = job->memory->src[1],
                     .dst = job->memory->dst,
                     .function = (int32_t)function,
                     .activation = (int32_t)activation,
                     .slope = CZ_LEAKY_SLOPE};
    uint64_t dst_strides[4];
    set_dims(args.dims, node->shape);
    set_strides(args.b_strides, b->shape, args.dims);
    set_strides(dst_strides, node->shape, args.dims);
    join_dims(args.dims, (uint64_t *const[]){args.b_strides, dst_strides, NULL});
    bool wide = is_wide(args.dims, args.b_strides, true);
    args.width = wide ? KERNEL_WIDTH : 1;
    static const KernelId kernels[] = {KERNEL_pair_f32_f32, KERNEL_pair_bf16_bf16,
                                       KERNEL_pair_f16_f16};
    // Each family's kernel with an F32 operand follows the one without.
    bool mixed = b->dtype != node->dtype;
    job_launch_items(
        job, (Launch){.kernel = (KernelId)(kernels[node->dtype] + mixed), .args.pair = args},
        cz_shape_count(node->shape) / (size_t)args.width);
}

G_STATIC_ASSERT((int)KERNEL_pair_bf16_f32 == (int)KERNEL_pair_bf16_bf16 + 1);
G_STATIC_ASSERT((int)KERNEL_pair_f16_f32 == (int)KERNEL_pair_f16_f16 + 1);

static void plan_add(Job *job)
{
    launch_pair(job, PAIR_ADD, CZ_ACT_NONE);
}

static void plan_mul(Job *job)
{
    launch_pair(job, PAIR_MUL, CZ_ACT_NONE);
}

static void plan_activation_grad(Job *job)
{
    launch_pair(job, PAIR_ACTIVATION_GRAD, job->node->params.activation);
}

// ---- sizes of maps ------------------------------------------------------------------------------

static void launch_resize(Job *job, KernelId first, int32_t pool)
{
    CzShape dst = job->node->shape, src = job_src(job, 0)->shape;
    ResizeArgs args = {.src = job->memory->src[0],
                       .dst = job->memory->dst,
                       .n = dst.n,
                       .c = dst.c,
                       .src_h = src.h,
                       .src_w = src.w,
                       .dst_h = dst.h,
                       .dst_w = dst.w,
                       .pool = pool,
                       .width = dst.c % KERNEL_WIDTH == 0 ? KERNEL_WIDTH : 1};
    job_launch_items(job,
                     (Launch){.kernel = kernel_of(first, job->node->dtype), .args.resize = args},
                     cz_shape_count(dst) / (size_t)args.width);
}

static void plan_resize(Job *job)
{
    launch_resize(job, KERNEL_resize_f32, 1);
}

static void plan_resize_grad(Job *job)
{
    launch_resize(job, KERNEL_resize_grad_f32, 1);
}

static void plan_pool(Job *job)
{
    launch_resize(job, KERNEL_pool_f32, job->node->params.pool);
}

static void plan_pool_grad(Job *job)
{
    launch_resize(job, KERNEL_pool_grad_f32, job->node->params.pool);
}

// ---- all of them --------------------------------------------------------------------------------

static void (*const planners[CZ_N_OPS])(Job *job) = {
    [CZ_OP_CONSTANT] = plan_constant,
    [CZ_OP_CONV2D] = plan_conv,
    [CZ_OP_CONV2D_GRAD_SRC] = plan_grad_src,
    [CZ_OP_CONV2D_GRAD_FILTER] = plan_grad_filter,
    [CZ_OP_ACTIVATION] = plan_activation,
    [CZ_OP_ACTIVATION_GRAD] = plan_activation_grad,
    [CZ_OP_ADD] = plan_add,
    [CZ_OP_MUL] = plan_mul,
    [CZ_OP_SCALE] = plan_scale,
    [CZ_OP_MATH] = plan_math,
    [CZ_OP_CLAMP] = plan_clamp,
    [CZ_OP_IN_RANGE] = plan_in_range,
    [CZ_OP_HUBER] = plan_huber,
    [CZ_OP_SUM] = plan_sum,
    [CZ_OP_BROADCAST] = plan_broadcast,
    [CZ_OP_DOT] = plan_dot,
    [CZ_OP_LOG_SOFTMAX] = plan_log_softmax,
    [CZ_OP_RESIZE] = plan_resize,
    [CZ_OP_RESIZE_GRAD] = plan_resize_grad,
    [CZ_OP_POOL] = plan_pool,
    [CZ_OP_POOL_GRAD] = plan_pool_grad,
    [CZ_OP_CONCAT] = plan_concat,
    [CZ_OP_SLICE] = plan_slice,
    [CZ_OP_PAD] = plan_pad,
    [CZ_OP_CAST] = plan_cast,
    [CZ_OP_MATMUL] = plan_matmul,
    [CZ_OP_DROPOUT_MASK] = plan_dropout_mask,
    [CZ_OP_TRANSPOSE] = plan_transpose,
    [CZ_OP_SOLVE] = plan_solve,
    [CZ_OP_ALL_REDUCE] = plan_all_reduce,
    [CZ_OP_PACK] = plan_pack,
    [CZ_OP_UNPACK] = plan_unpack,
    [CZ_OP_STEP_GATE] = plan_step_gate,
    [CZ_OP_ADAMW] = plan_adamw,
    [CZ_OP_EMA] = plan_ema,
};

bool launch_supports(const CzNode *node)
{
    switch (node->op) {
    case CZ_OP_CONV2D:
    case CZ_OP_CONV2D_GRAD_SRC:
    case CZ_OP_CONV2D_GRAD_FILTER:
        return node->params.conv.groups > 1;
    case CZ_OP_ALL_REDUCE:
        return !node->params.ranks;
    default:
        return planners[node->op] != NULL;
    }
}

size_t launch_scratch_bytes(const CzNode *node, const CzNode *const *nodes)
{
    g_autofree uint64_t *src = g_new0(uint64_t, (gsize)node->n_src + 1);
    const LaunchMemory memory = {.src = src};
    Job job = {.node = node, .nodes = nodes, .memory = &memory};
    planners[node->op](&job);
    return job.scratch_bytes;
}

void launch_append(GArray *launches, const CzNode *node, const CzNode *const *nodes,
                   const LaunchMemory *memory)
{
    Job job = {.node = node, .nodes = nodes, .memory = memory, .launches = launches};
    planners[node->op](&job);
}

void launch_append_post_conv(GArray *launches, const CzNode *node, const PostConv *post)
{
    uint64_t n = cz_shape_count(node->shape);
    bool wide = node->shape.c % KERNEL_WIDTH == 0;
    PostArgs args = {.src = post->src,
                     .bias = post->bias,
                     .residual = post->residual,
                     .dst = post->dst,
                     .n = n,
                     .n_channels = (uint32_t)node->shape.c,
                     .width = wide ? KERNEL_WIDTH : 1,
                     .activation = (int32_t)node->params.conv.activation,
                     .slope = CZ_LEAKY_SLOPE};
    Job job = {.node = node, .launches = launches};
    job_launch_items(&job,
                     (Launch){.kernel = kernel_of(KERNEL_post_f32, node->dtype), .args.post = args},
                     n / (uint64_t)args.width);
}

bool launch_wants_turned(const CzNode *node)
{
    return node->op == CZ_OP_CONV2D || node->op == CZ_OP_CONV2D_GRAD_SRC;
}

void launch_append_turn(GArray *launches, const CzNode *filter, uint64_t dst, CzDtype dtype,
                        uint64_t src)
{
    CzShape s = filter->shape;
    Job job = {.launches = launches};
    const Launch launch = {.kernel = kernel_of(KERNEL_group_filter_f32, dtype),
                           .args.filter = {src, dst, s.n, s.h * s.w, s.c}};
    job_launch_items(&job, launch, cz_shape_count(s));
}

void launch_append_cast(GArray *launches, uint64_t dst, CzDtype dst_dtype, uint64_t src,
                        CzDtype src_dtype, size_t n_elements)
{
    Job job = {.launches = launches};
    launch_flat_move(&job, src, src_dtype, dst, dst_dtype, n_elements);
}
