// SPDX-License-Identifier: LGPL-3.0-or-later
#include "cost.h"

#include <string.h>

// Of what the name of a kernel ends in: its source's element and its result's.
typedef struct {
    double src, dst;
} Sizes;

static double size_named(const char *type)
{
    static const char *const names[] = {"f32", "b32", "bf16", "f16", "b16"};
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_str_equal(type, names[i]))
            return i < 2 ? 4 : 2;
    return 0;
}

static Sizes sizes_of(KernelId kernel)
{
    g_auto(GStrv) parts = g_strsplit(kernel_name(kernel), "_", -1);
    guint n = g_strv_length(parts);
    double last = size_named(parts[n - 1]), before = n > 1 ? size_named(parts[n - 2]) : 0;
    if (last == 0) // solve, pack, step_gate, adamw, ema
        return (Sizes){4, 4};
    return (Sizes){before > 0 ? before : last, last};
}

static double product(const uint64_t *dims, const uint64_t *strides)
{
    double n = 1;
    for (int i = 0; i < 4; i++)
        n *= !strides || strides[i] > 0 ? (double)dims[i] : 1;
    return n;
}

// ---- a function for each type of arguments ------------------------------------------------------

static Cost of_FillArgs(const Launch *launch, Sizes size)
{
    return (Cost){.bytes = (double)launch->args.fill.n * size.dst};
}

static Cost of_MapArgs(const Launch *launch, Sizes size)
{
    double n = (double)launch->args.map.n;
    return (Cost){.bytes = n * (size.src + size.dst), .flops = n};
}

// The name tells the type of a and dst, then b's.
static Cost of_PairArgs(const Launch *launch, Sizes size)
{
    const PairArgs *args = &launch->args.pair;
    double n = product(args->dims, NULL), n_b = product(args->dims, args->b_strides);
    return (Cost){.bytes = 2 * n * size.src + n_b * size.dst, .flops = n};
}

static Cost of_MoveArgs(const Launch *launch, Sizes size)
{
    const MoveArgs *args = &launch->args.move;
    double n_src = product(args->dims, args->src_strides);
    return (Cost){.bytes = n_src * size.src + product(args->dims, NULL) * size.dst};
}

static Cost of_PostArgs(const Launch *launch, Sizes size)
{
    const PostArgs *args = &launch->args.post;
    double n = (double)args->n;
    double bytes = n * (size.src + size.dst);
    bytes += args->residual ? n * size.dst : 0;
    bytes += args->bias ? 4.0 * args->n_channels : 0;
    return (Cost){.bytes = bytes, .flops = n * 3};
}

// Where a gradient is made instead of a map or a filter, as much is moved.
static Cost of_ConvArgs(const Launch *launch, Sizes size)
{
    const ConvArgs *args = &launch->args.conv;
    double n_src = (double)args->n * args->src_c * args->src_h * args->src_w;
    double n_dst = (double)args->n * args->dst_c * args->dst_h * args->dst_w;
    double taps = (double)args->filter_h * args->filter_w * args->in_group;
    bool grad_filter = launch->kernel >= KERNEL_group_grad_filter_f32 &&
                       launch->kernel <= KERNEL_group_grad_filter_f16;
    double filter = args->dst_c * taps * (grad_filter ? 4.0 * launch->grid[1] : size.src);
    double bytes = (n_src + n_dst) * size.src + filter;
    bytes += args->bias && !grad_filter ? 4.0 * args->dst_c : 0;
    bytes += args->residual ? n_dst * size.src : 0;
    return (Cost){.bytes = bytes, .flops = 2 * n_dst * taps, .window = n_src * size.src};
}

static Cost of_FilterArgs(const Launch *launch, Sizes size)
{
    const FilterArgs *args = &launch->args.filter;
    double n = (double)args->n_out * args->n_places * args->n_in;
    return (Cost){.bytes = n * (4 + size.dst)};
}

static Cost of_SumArgs(const Launch *launch, Sizes size)
{
    const SumArgs *args = &launch->args.sum;
    double n = (double)args->n_kept * (double)args->n_summed;
    return (Cost){.bytes = n * size.src + 4.0 * (double)args->n_kept * launch->grid[1], .flops = n};
}

static Cost of_DotArgs(const Launch *launch, Sizes size)
{
    const DotArgs *args = &launch->args.dot;
    double n = (double)args->n, n_sources = args->a == args->b ? 1 : 2;
    return (Cost){.bytes = n_sources * n * size.src + 4.0 * launch->grid[0], .flops = 2 * n};
}

static Cost of_SoftmaxArgs(const Launch *launch, Sizes size)
{
    double n = (double)launch->args.softmax.n_places * launch->args.softmax.n_channels;
    return (Cost){.bytes = n * (size.src + size.dst), .flops = 4 * n};
}

static Cost of_MatmulArgs(const Launch *launch, Sizes size)
{
    const MatmulArgs *args = &launch->args.matmul;
    double batch = (double)launch->grid[0] / (double)(args->row_tiles * args->column_tiles);
    double m = (double)args->rows, n = (double)args->columns, k = (double)args->length;
    return (Cost){.bytes = batch * (m * k + k * n + m * n) * size.src,
                  .flops = 2 * batch * m * n * k};
}

static Cost of_ResizeArgs(const Launch *launch, Sizes size)
{
    const ResizeArgs *args = &launch->args.resize;
    double n_src = (double)args->n * args->c * args->src_h * args->src_w;
    double n_dst = (double)args->n * args->c * args->dst_h * args->dst_w;
    return (Cost){.bytes = (n_src + n_dst) * size.src,
                  .flops = 8 * MAX(n_src, n_dst),
                  .window = n_src * size.src};
}

static Cost of_DropoutArgs(const Launch *launch, Sizes size)
{
    double n = (double)launch->args.dropout.n_samples * (double)launch->args.dropout.n_each;
    return (Cost){.bytes = n * size.dst};
}

static Cost of_SolveArgs(const Launch *launch, Sizes size)
{
    const SolveArgs *args = &launch->args.solve;
    double k = args->k, n_rhs = args->n_columns;
    return (Cost){.bytes = args->n * (k * k * size.src + 2 * k * n_rhs * size.dst),
                  .flops = args->n * (k * k * k / 3 + 2 * k * k * n_rhs)};
}

static Cost of_PackArgs(const Launch *launch, Sizes size)
{
    Cost cost = {0};
    for (uint32_t i = 0; i < launch->grid[1]; i++)
        cost.bytes += (double)launch->args.pack.n[i] * (size.src + size.dst);
    return cost;
}

static Cost of_GateArgs(const Launch *launch, Sizes size)
{
    (void)launch;
    return (Cost){.bytes = size.src + size.dst};
}

// Weight, both moments and the average are read and written, the gradient is read.
static Cost of_AdamArgs(const Launch *launch, Sizes size)
{
    Cost cost = {0};
    for (uint32_t i = 0; i < launch->grid[1]; i++) {
        const AdamTensor *tensor = &launch->args.adam.tensors[i];
        cost.bytes += (double)tensor->n * size.src * (tensor->ema ? 9 : 7);
        cost.flops += 20 * (double)tensor->n;
    }
    return cost;
}

static Cost of_EmaArgs(const Launch *launch, Sizes size)
{
    double n = (double)launch->args.ema.n;
    return (Cost){.bytes = 3 * n * size.src, .flops = 3 * n};
}

// ---- both kinds of actions ----------------------------------------------------------------------

Cost cost_of_launch(const Launch *launch)
{
    static Cost (*const functions[])(const Launch *, Sizes) = {
#define KERNEL(name, Args) of_##Args,
#include "kernels.def"
#undef KERNEL
    };
    return functions[launch->kernel](launch, sizes_of(launch->kernel));
}

Cost cost_of_conv(const ConvProblem *p, bool tf32)
{
    double size = (double)cz_dtype_size(p->dtype);
    double n_src = (double)(p->n * p->c * p->h * p->w);
    double n_dst = (double)(p->n * p->k * p->p * p->q);
    double n_filter = (double)(p->k * p->c * p->r * p->s);
    double bytes = (n_src + n_filter + n_dst) * size;
    bytes += p->residual ? n_dst * size : 0;
    bytes += p->bias ? size * (double)p->k : 0;
    return (Cost){.bytes = bytes,
                  .flops = 2 * n_dst * (double)(p->c * p->r * p->s),
                  .window = n_src * size,
                  .unit = p->dtype != CZ_F32 ? UNIT_HALF
                          : tf32             ? UNIT_TF32
                                             : UNIT_F32};
}
