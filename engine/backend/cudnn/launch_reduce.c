// SPDX-License-Identifier: LGPL-3.0-or-later
// Planners of kernels that sum: reductions, products of matrices, grouped convolutions.
#include "launch_private.h"

// Blocks that keep the largest GPU busy; more partial sums would only cost.
#define ENOUGH_BLOCKS 1024u

// Elements that a thread should sum at least before a sum is cut in two.
#define LEAST_ELEMENTS 16u

static const Launch two_dimensional = {.block = {KERNEL_LANES, KERNEL_ROWS, 1}};

// Into how many chunks a sum of n elements is cut, if n_blocks blocks of n_threads for each sum
// work anyway. A function of shapes alone: results repeat.
static uint64_t chunks_for(uint64_t n, uint64_t n_threads, uint64_t n_blocks)
{
    uint64_t useful = blocks_for(n, n_threads * LEAST_ELEMENTS);
    uint64_t wanted = blocks_for(ENOUGH_BLOCKS, n_blocks);
    return MAX(1, MIN(useful, wanted));
}

// ---- sum ----------------------------------------------------------------------------------------

// A dimension of src, in elements; neighbours of one kind are joined.
typedef struct {
    uint64_t size, stride;
    bool summed;
} Dimension;

// The dimensions of src other than 1, slowest first; how many.
static int list_dimensions(CzShape src, CzShape dst, Dimension *list)
{
    const int32_t sizes[] = {src.n, src.h, src.w, src.c}, kept[] = {dst.n, dst.h, dst.w, dst.c};
    uint64_t stride = 1;
    Dimension found[4];
    int n = 0;
    for (int i = 3; i >= 0; i--) {
        bool summed = kept[i] != sizes[i];
        if (sizes[i] > 1 && n > 0 && found[n - 1].summed == summed)
            found[n - 1].size *= (uint64_t)sizes[i];
        else if (sizes[i] > 1)
            found[n++] = (Dimension){(uint64_t)sizes[i], stride, summed};
        stride *= (uint64_t)sizes[i];
    }
    for (int i = 0; i < n; i++)
        list[i] = found[n - 1 - i];
    return n;
}

// Four dimensions of two kinds that take turns: at most two of each.
static SumArgs sum_args(const Dimension *list, int n)
{
    SumArgs args = {.n_kept = 1, .n_summed = 1, .kept_inner = 1, .summed_inner = 1};
    for (int i = 0; i < n; i++) {
        uint64_t *strides = list[i].summed ? args.summed_strides : args.kept_strides;
        uint64_t *inner = list[i].summed ? &args.summed_inner : &args.kept_inner;
        uint64_t *count = list[i].summed ? &args.n_summed : &args.n_kept;
        strides[0] = strides[1];
        strides[1] = list[i].stride;
        *inner = list[i].size;
        *count *= list[i].size;
    }
    return args;
}

// columns: neighbours in memory go into different sums.
static void launch_sum(Job *job, CzDtype dtype, SumArgs args, bool columns)
{
    uint64_t dst = args.dst;
    Launch launch = two_dimensional;
    bool long_rows = !columns && args.n_summed >= (uint64_t)KERNEL_THREADS * LEAST_ELEMENTS / 4;
    uint64_t n_threads = columns ? KERNEL_ROWS : long_rows ? KERNEL_THREADS : KERNEL_LANES;
    if (long_rows) {
        launch.block[0] = KERNEL_THREADS;
        launch.block[1] = 1;
    }
    uint64_t n_blocks = blocks_for(args.n_kept, columns ? KERNEL_LANES : launch.block[1]);
    uint64_t n_chunks = chunks_for(args.n_summed, n_threads, n_blocks);
    args.chunk = blocks_for(args.n_summed, n_chunks);
    n_chunks = blocks_for(args.n_summed, args.chunk);
    if (n_chunks > 1)
        args.dst = job_scratch(job, n_chunks * args.n_kept * sizeof(float));
    launch.kernel = kernel_of(columns ? KERNEL_sum_columns_f32 : KERNEL_sum_rows_f32, dtype);
    launch.grid[0] = (uint32_t)n_blocks;
    launch.grid[1] = (uint32_t)n_chunks;
    launch.grid[2] = 1;
    launch.args.sum = args;
    job_launch(job, &launch);
    if (n_chunks > 1)
        job_sum_rows_of_f32(job, args.dst, dst, n_chunks, args.n_kept);
}

// Never cut again: first stages make few rows.
void job_sum_rows_of_f32(Job *job, uint64_t src, uint64_t dst, uint64_t n_rows, uint64_t n_columns)
{
    Launch launch = two_dimensional;
    launch.args.sum = (SumArgs){.src = src,
                                .dst = dst,
                                .n_kept = n_columns,
                                .n_summed = n_rows,
                                .chunk = n_rows,
                                .kept_inner = n_columns,
                                .summed_inner = n_rows,
                                .kept_strides = {0, 1},
                                .summed_strides = {0, n_columns}};
    bool columns = n_columns > 1;
    launch.kernel = columns ? KERNEL_sum_columns_f32 : KERNEL_sum_rows_f32;
    if (!columns) {
        launch.block[0] = KERNEL_THREADS;
        launch.block[1] = 1;
    }
    launch.grid[0] = (uint32_t)blocks_for(n_columns, columns ? KERNEL_LANES : 1);
    launch.grid[1] = launch.grid[2] = 1;
    job_launch(job, &launch);
}

void plan_sum(Job *job)
{
    const CzNode *src = job_src(job, 0);
    Dimension list[4];
    int n = list_dimensions(src->shape, job->node->shape, list);
    SumArgs args = sum_args(list, n);
    args.src = job->memory->src[0];
    args.dst = job->memory->dst;
    launch_sum(job, src->dtype, args, n > 0 && !list[n - 1].summed);
}

// ---- dot, log_softmax, matmul -------------------------------------------------------------------

void plan_dot(Job *job)
{
    const CzNode *src = job_src(job, 0);
    uint64_t n = cz_shape_count(src->shape);
    uint64_t n_blocks = chunks_for(n, KERNEL_THREADS, 1);
    uint64_t dst = job->memory->dst;
    uint64_t partial = n_blocks > 1 ? job_scratch(job, n_blocks * sizeof(float)) : dst;
    Launch launch = {.kernel = kernel_of(KERNEL_dot_f32, src->dtype),
                     .grid = {(uint32_t)n_blocks, 1, 1},
                     .block = {KERNEL_THREADS, 1, 1},
                     .args.dot = {job->memory->src[0], job->memory->src[1], partial, n}};
    job_launch(job, &launch);
    if (n_blocks > 1)
        job_sum_rows_of_f32(job, partial, dst, n_blocks, 1);
}

void plan_log_softmax(Job *job)
{
    CzShape s = job->node->shape;
    uint64_t n_places = cz_shape_count(s) / (size_t)s.c;
    Launch launch = two_dimensional;
    launch.kernel = kernel_of(KERNEL_log_softmax_f32, job->node->dtype);
    launch.grid[0] = (uint32_t)blocks_for(n_places, KERNEL_ROWS);
    launch.grid[1] = launch.grid[2] = 1;
    launch.args.softmax = (SoftmaxArgs){job->memory->src[0], job->memory->dst, n_places, s.c};
    job_launch(job, &launch);
}

void plan_matmul(Job *job)
{
    CzMatmul form = job->node->params.matmul;
    CzShape a = job_src(job, 0)->shape, b = job_src(job, 1)->shape;
    uint64_t a_places = (uint64_t)a.h * (uint64_t)a.w, b_places = (uint64_t)b.h * (uint64_t)b.w;
    bool turned_a = form == CZ_MATMUL_TN, turned_b = form == CZ_MATMUL_NT;
    MatmulArgs m = {.a = job->memory->src[0], .b = job->memory->src[1], .dst = job->memory->dst};
    m.rows = turned_a ? (uint64_t)a.c : a_places;
    m.length = turned_a ? a_places : (uint64_t)a.c;
    m.columns = turned_b ? b_places : (uint64_t)b.c;
    m.a_row = turned_a ? 1 : m.length;
    m.a_step = turned_a ? m.rows : 1;
    m.b_column = turned_b ? m.length : 1;
    m.b_step = turned_b ? 1 : m.columns;
    m.row_tiles = blocks_for(m.rows, KERNEL_LANES);
    m.column_tiles = blocks_for(m.columns, KERNEL_LANES);
    Launch launch = two_dimensional;
    launch.kernel = kernel_of(KERNEL_matmul_f32, job->node->dtype);
    launch.grid[0] = (uint32_t)((uint64_t)a.n * m.row_tiles * m.column_tiles);
    launch.grid[1] = launch.grid[2] = 1;
    launch.args.matmul = m;
    job_launch(job, &launch);
}

// ---- grouped convolutions -----------------------------------------------------------------------

static ConvArgs conv_args(const CzConvParams *conv, CzShape src, CzShape filter, CzShape dst)
{
    bool depthwise = filter.c == 1 && filter.n == conv->groups;
    bool wide = depthwise && src.c % KERNEL_WIDTH == 0;
    return (ConvArgs){.n = src.n,
                      .src_c = src.c,
                      .src_h = src.h,
                      .src_w = src.w,
                      .dst_c = dst.c,
                      .dst_h = dst.h,
                      .dst_w = dst.w,
                      .filter_h = filter.h,
                      .filter_w = filter.w,
                      .in_group = filter.c,
                      .out_group = filter.n / conv->groups,
                      .stride = conv->stride,
                      .dilation = conv->dilation,
                      .pad_top = conv->pad_top,
                      .pad_left = conv->pad_left,
                      .width = wide ? KERNEL_WIDTH : 1,
                      .activation = (int32_t)conv->activation,
                      .slope = CZ_LEAKY_SLOPE};
}

void plan_conv(Job *job)
{
    const CzNode *node = job->node, *src = job_src(job, 0);
    const CzConvParams *conv = &node->params.conv;
    Launch launch = {.kernel = kernel_of(KERNEL_group_conv_f32, node->dtype)};
    ConvArgs *args = &launch.args.conv;
    *args = conv_args(conv, src->shape, job_src(job, 1)->shape, node->shape);
    args->src = job->memory->src[0];
    args->filter = job->memory->turned;
    args->bias = conv->has_bias ? job->memory->src[2] : 0;
    args->residual = conv->has_residual ? job->memory->src[node->n_src - 1] : 0;
    args->dst = job->memory->dst;
    job_launch_items(job, launch, cz_shape_count(node->shape) / (size_t)args->width);
}

void plan_grad_src(Job *job)
{
    const CzNode *node = job->node, *d_dst = job_src(job, 0);
    Launch launch = {.kernel = kernel_of(KERNEL_group_grad_src_f32, node->dtype)};
    ConvArgs *args = &launch.args.conv;
    *args = conv_args(&node->params.conv, node->shape, job_src(job, 1)->shape, d_dst->shape);
    args->src = job->memory->dst;
    args->filter = job->memory->turned;
    args->dst = job->memory->src[0];
    job_launch_items(job, launch, cz_shape_count(node->shape) / (size_t)args->width);
}

void plan_grad_filter(Job *job)
{
    const CzNode *node = job->node, *src = job_src(job, 0), *d_dst = job_src(job, 1);
    CzShape filter = node->shape, dst = d_dst->shape;
    uint64_t n_filter = cz_shape_count(filter), n_taps = (uint64_t)filter.h * (uint64_t)filter.w;
    uint64_t n_places = cz_shape_count(dst) / (size_t)dst.c;
    uint64_t n_blocks = n_taps * blocks_for(n_filter / n_taps, KERNEL_LANES);
    uint64_t n_chunks = chunks_for(n_places, KERNEL_ROWS, n_blocks);
    Launch launch = two_dimensional;
    launch.kernel = kernel_of(KERNEL_group_grad_filter_f32, src->dtype);
    ConvArgs *args = &launch.args.conv;
    *args = conv_args(&node->params.conv, src->shape, filter, dst);
    args->src = job->memory->src[0];
    args->dst = job->memory->src[1];
    args->chunk = blocks_for(n_places, n_chunks);
    n_chunks = blocks_for(n_places, args->chunk);
    args->filter = job->memory->dst;
    if (n_chunks > 1)
        args->filter = job_scratch(job, n_chunks * n_filter * sizeof(float));
    launch.grid[0] = (uint32_t)n_blocks;
    launch.grid[1] = (uint32_t)n_chunks;
    launch.grid[2] = 1;
    job_launch(job, &launch);
    if (n_chunks > 1)
        job_sum_rows_of_f32(job, args->filter, job->memory->dst, n_chunks, n_filter);
}
