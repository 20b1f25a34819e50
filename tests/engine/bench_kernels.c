// SPDX-License-Identifier: LGPL-3.0-or-later
// Our own CPU kernels at the network's training shapes: time, and GB/s (every tensor counted once)
// beside a plain memcpy of the same tensors in the same run. Not a test.
//
//     bench_kernels [--threads N] [--isa base|v3|v4|v4bf16] [--rounds N] [FILTER]
#include <stdlib.h>
#include <string.h>

#include <cz/graph.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>
#include <cz/threads.h>

#include "backend/onednn/kernels.h"

enum { MOST_SOURCES = 16 };

typedef struct {
    int threads, rounds;
    CzIsa isa;
    const char *filter;
} Options;

static size_t view_bytes(const CzView *view)
{
    return cz_shape_count(view->shape) * cz_dtype_size(view->dtype);
}

static void *buffer_new(size_t n_bytes)
{
    void *memory = cz_memory_alloc(n_bytes, "a bench's buffer", NULL);
    g_assert_nonnull(memory);
    memset(memory, 0, n_bytes);
    return memory;
}

static CzView view_new(const CzNode *node, uint64_t seed)
{
    CzView view = {node->shape, node->dtype, NULL};
    view.data = buffer_new(view_bytes(&view));
    size_t n = cz_shape_count(view.shape);
    float *numbers = buffer_new(n * sizeof *numbers);
    CzRng rng = cz_rng(seed, 1);
    for (size_t i = 0; i < n; i++)
        numbers[i] = cz_rng_uniform(&rng);
    cz_view_from_f32(&view, numbers);
    cz_memory_free(numbers);
    return view;
}

// Reads and writes n bytes each.
static void copy_parts(char *copy, const char *from, size_t n, int n_threads)
{
#pragma omp parallel for num_threads(n_threads) schedule(static, 1)
    for (int part = 0; part < n_threads; part++) {
        size_t first = n / n_threads * part;
        memcpy(copy + first, from + first, part + 1 == n_threads ? n - first : n / n_threads);
    }
}

static void bench(const Options *options, const char *label, CzGraph *graph, CzValue value)
{
    g_autoptr(GError) error = NULL;
    if (!cz_graph_check(graph, &error))
        g_error("%s: %s", label, error->message);
    const CzNode *nodes[64];
    for (int32_t i = 0; i < cz_graph_n_nodes(graph); i++)
        nodes[i] = cz_graph_node(graph, i);
    const CzNode *node = nodes[value.id];
    CzKernel kernel;
    if (!cz_kernel_find_isa(node, nodes, options->threads, options->isa, &kernel))
        g_error("%s: no kernel", label);
    CzView src[MOST_SOURCES], dst = view_new(node, 0);
    size_t n_bytes = view_bytes(&dst);
    for (int32_t i = 0; i < node->n_src; i++) {
        src[i] = view_new(nodes[node->src[i]], i + 1);
        n_bytes += view_bytes(&src[i]);
    }
    void *scratch = buffer_new(kernel.scratch_bytes + 64);
    char *copy = buffer_new(n_bytes);
    double best = 1e9, best_copy = 1e9;
    for (int round = 0; round < options->rounds; round++) {
        gint64 start = g_get_monotonic_time();
        kernel.run(node, src, &dst, scratch, options->threads);
        gint64 middle = g_get_monotonic_time();
        copy_parts(copy, copy + n_bytes / 2, n_bytes / 2, options->threads);
        gint64 end = g_get_monotonic_time();
        best = MIN(best, (double)(middle - start));
        best_copy = MIN(best_copy, (double)(end - middle));
    }
    g_print("%-54s %9.3f ms %7.1f GB/s  memcpy %7.1f  ratio %5.2f%s\n", label, best / 1e3,
            n_bytes / best / 1e3, n_bytes / best_copy / 1e3, best_copy / best,
            best_copy / best < 0.5 ? "  <-" : "");
    for (int32_t i = 0; i < node->n_src; i++)
        cz_memory_free(src[i].data);
    cz_memory_free(dst.data);
    cz_memory_free(scratch);
    cz_memory_free(copy);
}

static CzValue input(CzGraph *graph, const char *name, CzShape shape, CzDtype dtype)
{
    CzValue value = cz_input(graph, name, shape);
    return dtype == CZ_F32 ? value : cz_cast(graph, value, dtype);
}

// ---- depthwise ----------------------------------------------------------------------------------

typedef struct {
    CzShape src;
    int32_t k, stride;
} Depthwise;

static CzValue build_depthwise(CzGraph *graph, const Depthwise *d, CzDtype dtype, CzOp op)
{
    int32_t h = d->src.h / d->stride, total = (h - 1) * d->stride + d->k - d->src.h;
    CzConvParams p = {.stride = d->stride,
                      .groups = d->src.c,
                      .pad_top = total / 2,
                      .pad_left = total / 2,
                      .pad_bottom = total - total / 2,
                      .pad_right = total - total / 2};
    CzShape out = cz_shape(d->src.n, d->src.c, h, h);
    CzShape filter_shape = cz_shape(d->src.c, 1, d->k, d->k);
    CzValue filter = cz_input(graph, "filter", filter_shape);
    CzValue src = input(graph, "src", d->src, dtype), d_dst = input(graph, "d_dst", out, dtype);
    if (op == CZ_OP_CONV2D_GRAD_SRC)
        return cz_conv2d_grad_src(graph, d_dst, filter, d->src, p);
    if (op == CZ_OP_CONV2D_GRAD_FILTER)
        return cz_conv2d_grad_filter(graph, src, d_dst, filter_shape, p);
    p.activation = CZ_ACT_RELU6;
    CzValue bias = cz_input(graph, "bias", cz_shape(1, d->src.c, 1, 1));
    return cz_conv2d(graph, src, filter, bias, CZ_NONE, p);
}

static void bench_depthwise(const Options *options)
{
    static const Depthwise shapes[] = {
        {{16, 32, 64, 64}, 3, 1},  {{16, 96, 64, 64}, 3, 2},  {{16, 144, 32, 32}, 3, 1},
        {{16, 144, 32, 32}, 5, 2}, {{16, 240, 16, 16}, 5, 1}, {{16, 240, 16, 16}, 3, 2},
        {{16, 480, 8, 8}, 3, 1},   {{16, 480, 8, 8}, 5, 1},   {{16, 672, 8, 8}, 5, 1},
        {{16, 672, 8, 8}, 5, 2},   {{16, 1152, 4, 4}, 5, 1},  {{16, 1152, 4, 4}, 3, 1},
        {{1, 32, 256, 256}, 3, 1}, {{1, 240, 64, 64}, 5, 1},
    };
    static const CzOp ops[] = {CZ_OP_CONV2D, CZ_OP_CONV2D_GRAD_SRC, CZ_OP_CONV2D_GRAD_FILTER};
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(ops) * G_N_ELEMENTS(shapes); i++) {
        const Depthwise *d = &shapes[i / 2 / G_N_ELEMENTS(ops)];
        CzOp op = ops[i / 2 % G_N_ELEMENTS(ops)];
        CzDtype dtype = i % 2 ? CZ_BF16 : CZ_F32;
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue value = build_depthwise(graph, d, dtype, op);
        g_autofree char *shape = cz_shape_format(d->src);
        g_autofree char *label = g_strdup_printf("%s %s %dx%d /%d %s", cz_op_class(op)->name, shape,
                                                 d->k, d->k, d->stride, cz_dtype_name(dtype));
        if (!options->filter || strstr(label, options->filter))
            bench(options, label, graph, value);
    }
}

// ---- the others ---------------------------------------------------------------------------------

static CzValue build_add(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_add(graph, x, y);
}

static CzValue build_add_channel(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_add(graph, x, cz_input(graph, "b", cz_shape(1, s.c, 1, 1)));
}

static CzValue build_mul_mask(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_mul(graph, x, cz_input(graph, "b", cz_shape(s.n, 1, s.h, s.w)));
}

static CzValue build_relu6(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_activation(graph, x, CZ_ACT_RELU6);
}

static CzValue build_tanh(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_activation(graph, x, CZ_ACT_TANH);
}

static CzValue build_relu6_grad(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_activation_grad(graph, x, y, CZ_ACT_RELU6);
}

static CzValue build_huber(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_huber(graph, x, 0.1f);
}

static CzValue build_cast(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_cast(graph, x, cz_graph_dtype(graph, x) == CZ_F32 ? CZ_BF16 : CZ_F32);
}

static CzValue build_sum_bias(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_sum(graph, x, cz_shape(1, s.c, 1, 1));
}

static CzValue build_sum_picture(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_sum(graph, x, cz_shape(s.n, s.c, 1, 1));
}

static CzValue build_sum_all(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_sum(graph, x, cz_shape(1, 1, 1, 1));
}

static CzValue build_dot(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_dot(graph, x, y);
}

static CzValue build_broadcast(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    CzValue b = cz_input(graph, "b", cz_shape(s.n, s.c, 1, 1));
    return cz_broadcast(graph, b, s, cz_graph_dtype(graph, x));
}

static CzValue build_resize(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_resize(graph, x, 2 * s.h, 2 * s.w);
}

static CzValue build_resize_grad(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_resize_grad(graph, x, s.h / 2, s.w / 2);
}

static CzValue build_pool(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_pool(graph, x, 2);
}

static CzValue build_pool_grad(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_pool_grad(graph, x, 2);
}

static CzValue build_concat(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_concat(graph, (CzValue[]){x, y}, 2);
}

static CzValue build_slice(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_slice(graph, x, cz_shape(0, s.c / 2, 0, 0), cz_shape(s.n, s.c - s.c / 2, s.h, s.w));
}

static const struct {
    const char *name;
    CzValue (*build)(CzGraph *graph, CzValue x, CzValue y, CzShape s);
} builds[] = {
    {"add", build_add},
    {"add (1,C,1,1)", build_add_channel},
    {"mul (N,1,H,W)", build_mul_mask},
    {"relu6", build_relu6},
    {"tanh", build_tanh},
    {"relu6 grad", build_relu6_grad},
    {"huber", build_huber},
    {"cast", build_cast},
    {"sum to (1,C,1,1)", build_sum_bias},
    {"sum to (N,C,1,1)", build_sum_picture},
    {"sum to scalar", build_sum_all},
    {"dot", build_dot},
    {"broadcast (N,C,1,1)", build_broadcast},
    {"resize to 2x", build_resize},
    {"resize_grad from 2x", build_resize_grad},
    {"pool 2", build_pool},
    {"pool_grad 2", build_pool_grad},
    {"concat", build_concat},
    {"slice half the channels", build_slice},
};

static void bench_others(const Options *options)
{
    static const CzShape shapes[] = {
        {16, 48, 64, 64}, {16, 96, 32, 32}, {16, 144, 32, 32},
        {16, 672, 8, 8},  {16, 320, 4, 4},  {16, 2, 64, 64},
    };
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(builds) * G_N_ELEMENTS(shapes); i++) {
        size_t build = i / 2 / G_N_ELEMENTS(shapes);
        CzShape s = shapes[i / 2 % G_N_ELEMENTS(shapes)];
        CzDtype dtype = i % 2 ? CZ_BF16 : CZ_F32;
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzValue x = input(graph, "x", s, dtype), y = input(graph, "y", s, dtype);
        CzValue value = builds[build].build(graph, x, y, s);
        g_autofree char *shape = cz_shape_format(s);
        g_autofree char *label =
            g_strdup_printf("%s %s %s", builds[build].name, shape, cz_dtype_name(dtype));
        if (!options->filter || strstr(label, options->filter))
            bench(options, label, graph, value);
    }
}

static void bench_adamw(const Options *options)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    CzShape s = {128, 128, 3, 3}, scalar = {1, 1, 1, 1};
    CzAdamParams adam = {0.9f, 0.99f, 1e-8f, 1e-4f, 1};
    CzValue value = cz_adamw(
        graph, cz_param(graph, "param", s), cz_input(graph, "grad", s), cz_param(graph, "m", s),
        cz_param(graph, "v", s), cz_param(graph, "ema", s),
        cz_input(graph, "rates", cz_shape(1, 4, 1, 1)), cz_input(graph, "gate", scalar), adam);
    if (!options->filter || strstr("adamw", options->filter))
        bench(options, "adamw 128x128x3x3", graph, value);
}

static CzIsa parse_isa(const char *name)
{
    static const char *const names[] = {"base", "v3", "v4", "v4bf16"};
    for (CzIsa isa = 0; isa <= cz_kernel_isa(); isa++)
        if (strcmp(name, names[isa]) == 0)
            return isa;
    return cz_kernel_isa();
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    Options options = {.threads = 1, .rounds = 100, .isa = cz_kernel_isa()};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            options.threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            options.rounds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc)
            options.isa = parse_isa(argv[++i]);
        else
            options.filter = argv[i];
    }
    options.threads = MAX(options.threads, 1);
    bench_depthwise(&options);
    bench_others(&options);
    bench_adamw(&options);
    return 0;
}
