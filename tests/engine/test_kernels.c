// SPDX-License-Identifier: LGPL-3.0-or-later
// Our own CPU kernels against the references, for every instruction set that this CPU has.
#include <float.h>
#include <math.h>
#include <string.h>

#include <cz/graph.h>
#include <cz/memory.h>
#include <cz/ops.h>

#include "backend/onednn/kernels.h"
#include "interpreter.h"

enum { GUARD = 256, MOST_SOURCES = 16 };

// ---- guarded copies -----------------------------------------------------------------------------

static size_t view_bytes(const CzView *view)
{
    return cz_shape_count(view->shape) * cz_dtype_size(view->dtype);
}

// Memory with bytes around it that nobody may touch; its content is NaN.
static char *guarded_new(size_t n_bytes)
{
    char *memory = cz_memory_alloc(n_bytes + 2 * GUARD, "a test's buffer", NULL);
    g_assert_nonnull(memory);
    memset(memory, 0x5a, n_bytes + 2 * GUARD);
    memset(memory + GUARD, 0xff, n_bytes);
    return memory + GUARD;
}

static bool guarded_free(char *at, size_t n_bytes)
{
    bool intact = true;
    for (int i = 0; i < GUARD; i++)
        intact = intact && at[-1 - i] == 0x5a && at[n_bytes + i] == 0x5a;
    cz_memory_free(at - GUARD);
    return intact;
}

static CzView view_copy(const CzView *view)
{
    CzView copy = *view;
    if (view->data) {
        copy.data = guarded_new(view_bytes(view));
        memcpy(copy.data, view->data, view_bytes(view));
    }
    return copy;
}

// ---- comparing ----------------------------------------------------------------------------------

// Longest sum behind one element of the output.
static double sum_length(const CzNode *node, const CzView *src)
{
    double n_src = node->n_src ? (double)cz_shape_count(src[0].shape) : 1;
    double n_dst = (double)cz_shape_count(node->shape);
    switch (node->op) {
    case CZ_OP_CONV2D:
    case CZ_OP_CONV2D_GRAD_SRC:
        return (double)src[1].shape.h * src[1].shape.w + 2;
    case CZ_OP_CONV2D_GRAD_FILTER:
        return (double)cz_shape_count(src[1].shape) / src[1].shape.c;
    case CZ_OP_SUM:
    case CZ_OP_DOT:
        return n_src / n_dst;
    case CZ_OP_POOL:
    case CZ_OP_RESIZE_GRAD:
        return 4 + 4 * n_src / n_dst;
    default:
        return 4;
    }
}

// Terms are about 1: a sum of k of them is about sqrt(k). Added one after the other in F32, its
// error has a deviation of 0.14 k eps; both sides do that for up to some 64 terms, and cut longer
// sums into pieces.
// BF16 results may differ by one step where the F32 numbers lie on both sides of a tie, seldom.
static bool is_close(const CzView *found, const CzView *want, double k, const char *what)
{
    size_t n = cz_shape_count(want->shape), worst = 0, n_unequal = 0;
    g_autofree float *a = g_new(float, n), *b = g_new(float, n);
    bool is_bf16 = want->dtype == CZ_BF16;
    double worst_ratio = 0;
    cz_view_to_f32(a, found);
    cz_view_to_f32(b, want);
    for (size_t i = 0; i < n; i++) {
        double bound = FLT_EPSILON * (fmin(k, 64) + 8 * sqrt(k) + 8 * fabs((double)b[i]));
        bound += is_bf16 ? ldexp(fabs((double)b[i]), -7) : 0;
        double ratio = isnan(b[i]) ? !isnan(a[i]) * 1e9 : fabs((double)a[i] - b[i]) / bound;
        if (!(ratio <= worst_ratio)) {
            worst = i;
            worst_ratio = isnan(ratio) ? 1e9 : ratio;
        }
        n_unequal += a[i] != b[i];
    }
    if (worst_ratio > 1)
        g_test_message("%s: element %zu of %zu: expected %.9g, found %.9g, %.2f times the bound",
                       what, worst, n, (double)b[worst], (double)a[worst], worst_ratio);
    bool seldom = !is_bf16 || n_unequal <= 4 + n / 50;
    if (!seldom)
        g_test_message("%s: %zu of %zu differ by a step of BF16", what, n_unequal, n);
    return worst_ratio <= 1 && seldom;
}

// ---- one node -----------------------------------------------------------------------------------

typedef struct {
    const CzNode *node;
    const CzNode *const *nodes;
    CzView src[MOST_SOURCES]; // as they are before the op runs
    CzView want_src[MOST_SOURCES], want;
    double k;
} Subject;

typedef struct {
    CzIsa isa;
    int n_threads;
    int in_place; // source whose memory the output takes; -1: none
} Way;

static const char *const isa_names[] = {"base", "v3", "v4", "v4bf16"};

// Runs the kernel once; *dst is a guarded copy that the caller frees.
static bool run_way(const Subject *s, const Way *way, CzView *src, CzView *dst, const char *what)
{
    CzKernel kernel = {0};
    if (!cz_kernel_find_isa(s->node, s->nodes, way->n_threads, way->isa, &kernel)) {
        g_test_message("%s: no kernel", what);
        return false;
    }
    for (int32_t i = 0; i < s->node->n_src; i++)
        src[i] = view_copy(&s->src[i]);
    *dst = (CzView){s->node->shape, s->node->dtype, NULL};
    dst->data = way->in_place < 0 ? guarded_new(view_bytes(dst)) : src[way->in_place].data;
    char *scratch = guarded_new(kernel.scratch_bytes);
    kernel.run(s->node, src, dst, scratch, way->n_threads);
    bool ok = guarded_free(scratch, kernel.scratch_bytes);
    if (!ok)
        g_test_message("%s: wrote beyond its scratch memory", what);
    return ok;
}

static bool free_way(const Subject *s, const Way *way, CzView *src, CzView *dst)
{
    bool ok = way->in_place >= 0 || guarded_free(dst->data, view_bytes(dst));
    for (int32_t i = 0; i < s->node->n_src; i++)
        if (src[i].data)
            ok = guarded_free(src[i].data, view_bytes(&src[i])) && ok;
    return ok;
}

static void check_way(const Subject *s, Way way, const char *label)
{
    CzView src[MOST_SOURCES], again_src[MOST_SOURCES], dst, again;
    g_autofree char *what =
        g_strdup_printf("%s %s, %s, %d threads, in place %d", s->node->op_class->name, label,
                        isa_names[way.isa], way.n_threads, way.in_place);
    bool ok = run_way(s, &way, src, &dst, what);
    if (!ok) {
        g_test_fail();
        return;
    }
    ok = is_close(&dst, &s->want, s->k, what);
    for (int32_t i = 0; s->node->op_class->effect && i < s->node->n_src; i++)
        ok = (!src[i].data || is_close(&src[i], &s->want_src[i], s->k, what)) && ok;
    ok = run_way(s, &way, again_src, &again, what) && ok;
    if (memcmp(dst.data, again.data, view_bytes(&dst)) != 0) {
        g_test_message("%s: another result the second time", what);
        ok = false;
    }
    bool intact = free_way(s, &way, src, &dst);
    intact = free_way(s, &way, again_src, &again) && intact;
    if (!intact)
        g_test_message("%s: wrote beyond a tensor", what);
    if (!ok || !intact)
        g_test_fail();
}

static void check_all_ways(const Subject *s, const char *label)
{
    static const int thread_counts[] = {1, 2, 5};
    for (CzIsa isa = 0; isa <= cz_kernel_isa(); isa++) {
        for (size_t t = 0; t < G_N_ELEMENTS(thread_counts); t++)
            check_way(s, (Way){isa, thread_counts[t], -1}, label);
        for (int32_t i = 0; i < s->node->n_src && i < 32; i++) {
            bool allowed = s->node->op_class->in_place >> i & 1;
            if (allowed && s->src[i].data && s->src[i].dtype == s->node->dtype &&
                cz_shape_equal(s->src[i].shape, s->node->shape))
                check_way(s, (Way){isa, 2, i}, label);
        }
    }
}

// What neither the library nor, where it is small or rare, the reference computes.
static bool is_ours(const CzNode *node, const CzNode *const *nodes)
{
    static const bool others[CZ_N_OPS] = {
        [CZ_OP_MATMUL] = true, [CZ_OP_DROPOUT_MASK] = true, [CZ_OP_TRANSPOSE] = true,
        [CZ_OP_SOLVE] = true,  [CZ_OP_ALL_REDUCE] = true,   [CZ_OP_PACK] = true,
        [CZ_OP_UNPACK] = true};
    if (others[node->op])
        return false;
    bool gradient = node->op == CZ_OP_CONV2D_GRAD_FILTER;
    if (node->op != CZ_OP_CONV2D && node->op != CZ_OP_CONV2D_GRAD_SRC && !gradient)
        return true;
    CzShape filter = gradient ? node->shape : nodes[node->src[1]]->shape;
    return filter.n == node->params.conv.groups && filter.c == 1 && node->params.conv.dilation == 1;
}

// The node behind dst, by its reference and by its kernel.
static void check_value(CzGraph *graph, CzValue dst, const char *label)
{
    g_autoptr(GError) error = NULL;
    if (!cz_graph_check(graph, &error))
        g_error("%s: %s", label, error->message);
    int32_t n_nodes = cz_graph_n_nodes(graph);
    g_autofree const CzNode **nodes = g_new(const CzNode *, n_nodes);
    for (int32_t i = 0; i < n_nodes; i++)
        nodes[i] = cz_graph_node(graph, i);
    Subject s = {.node = nodes[dst.id], .nodes = nodes};
    if (!is_ours(s.node, nodes)) {
        CzKernel kernel;
        g_assert_false(cz_kernel_find(s.node, nodes, 2, &kernel));
        return;
    }
    g_autoptr(Interpreter) it = interpreter_new(graph, &dst, 1);
    interpreter_fill(it, 7);
    interpreter_run(it);
    interpreter_fill(it, 7); // effects have changed their sources
    for (int32_t i = 0; i < s.node->n_src; i++) {
        s.src[i] = *interpreter_view(it, (CzValue){s.node->src[i]});
        s.want_src[i] = view_copy(&s.src[i]);
    }
    s.want = view_copy(interpreter_view(it, dst));
    s.node->op_class->reference(s.node, s.want_src, &s.want);
    s.k = sum_length(s.node, s.src);
    check_all_ways(&s, label);
    for (int32_t i = 0; i < s.node->n_src; i++)
        guarded_free(s.want_src[i].data, view_bytes(&s.want_src[i]));
    guarded_free(s.want.data, view_bytes(&s.want));
}

// ---- the ops' examples --------------------------------------------------------------------------

static void test_examples(gconstpointer data)
{
    CzOp op = (CzOp)GPOINTER_TO_INT(data);
    const CzOpClass *op_class = cz_op_class(op);
    for (CzDtype dtype = CZ_F32; dtype <= CZ_BF16; dtype++) {
        for (unsigned index = 0;; index++) {
            g_autoptr(CzGraph) graph = cz_graph_new();
            CzValue dst;
            if (!op_class->example(index, dtype, graph, &dst))
                break;
            g_autofree char *label = g_strdup_printf("example %u %s", index, cz_dtype_name(dtype));
            check_value(graph, dst, label);
        }
    }
}

// ---- depthwise ----------------------------------------------------------------------------------

typedef struct {
    CzShape src;
    int32_t k, stride;
} Depthwise;

static const Depthwise network_shapes[] = {
    {{2, 32, 64, 64}, 3, 1},  {{2, 96, 64, 64}, 3, 2},  {{2, 144, 32, 32}, 3, 1},
    {{2, 144, 32, 32}, 5, 2}, {{2, 240, 16, 16}, 5, 1}, {{2, 240, 16, 16}, 3, 2},
    {{2, 480, 8, 8}, 3, 1},   {{2, 480, 8, 8}, 5, 1},   {{2, 672, 8, 8}, 5, 1},
    {{2, 672, 8, 8}, 5, 2},   {{2, 1152, 4, 4}, 5, 1},  {{2, 1152, 4, 4}, 3, 1},
};

static const Depthwise awkward_shapes[] = {
    {{1, 1, 1, 1}, 3, 1},    {{1, 1, 9, 13}, 5, 1},   {{3, 2, 7, 6}, 3, 2},
    {{2, 3, 1, 9}, 5, 2},    {{1, 17, 5, 5}, 3, 1},   {{2, 17, 1, 1}, 5, 2},
    {{1, 33, 11, 4}, 5, 1},  {{1, 47, 12, 3}, 4, 3},  {{5, 65, 2, 2}, 5, 2},
    {{1, 16, 200, 3}, 3, 1}, {{1, 35, 40, 41}, 7, 1}, {{1, 8, 3, 130}, 5, 2},
    {{1, 20, 9, 9}, 2, 4},   {{1, 40, 70, 71}, 6, 4}, {{2, 70, 60, 20}, 1, 1},
    {{1, 34, 90, 70}, 5, 1},
};

// Total padding (out - 1) * stride + k - in, the smaller half first.
static void same_padding(int32_t n, const Depthwise *d, int32_t *before, int32_t *after)
{
    int32_t total = ((n + d->stride - 1) / d->stride - 1) * d->stride + d->k - n;
    total = MAX(total, 0);
    *before = total / 2;
    *after = total - *before;
}

static CzConvParams depthwise_params(const Depthwise *d)
{
    CzConvParams p = {.stride = d->stride, .groups = d->src.c};
    same_padding(d->src.h, d, &p.pad_top, &p.pad_bottom);
    same_padding(d->src.w, d, &p.pad_left, &p.pad_right);
    return p;
}

static CzValue input(CzGraph *graph, const char *name, CzShape shape, CzDtype dtype)
{
    CzValue value = cz_input(graph, name, shape);
    return dtype == CZ_F32 ? value : cz_cast(graph, value, dtype);
}

static CzValue build_depthwise(CzGraph *graph, const Depthwise *d, CzDtype dtype, CzOp op,
                               CzActivation activation)
{
    CzConvParams p = depthwise_params(d);
    CzShape out = cz_shape(d->src.n, d->src.c, (d->src.h + d->stride - 1) / d->stride,
                           (d->src.w + d->stride - 1) / d->stride);
    CzShape filter_shape = cz_shape(d->src.c, 1, d->k, d->k);
    CzValue filter = cz_input(graph, "x filter", filter_shape);
    CzValue d_dst = input(graph, "x d_dst", out, dtype);
    CzValue src = input(graph, "x src", d->src, dtype);
    if (op == CZ_OP_CONV2D_GRAD_SRC)
        return cz_conv2d_grad_src(graph, d_dst, filter, d->src, p);
    if (op == CZ_OP_CONV2D_GRAD_FILTER)
        return cz_conv2d_grad_filter(graph, src, d_dst, filter_shape, p);
    CzValue bias = cz_input(graph, "x bias", cz_shape(1, d->src.c, 1, 1));
    CzValue residual = activation == CZ_ACT_LEAKY || activation == CZ_ACT_RELU ? d_dst : CZ_NONE;
    p.activation = activation;
    return cz_conv2d(graph, src, filter, bias, residual, p);
}

static void check_depthwise(const Depthwise *shapes, size_t n, CzOp op)
{
    for (size_t i = 0; i < n; i++) {
        for (int variant = 0; variant < 2 * (op == CZ_OP_CONV2D ? 6 : 1); variant++) {
            CzDtype dtype = variant % 2 ? CZ_BF16 : CZ_F32;
            CzActivation activation = (CzActivation)(variant / 2);
            // Every activation on small pictures only: the rest is the same code.
            if (cz_shape_count(shapes[i].src) > 100000 && activation != CZ_ACT_NONE &&
                activation != CZ_ACT_RELU6)
                continue;
            g_autoptr(CzGraph) graph = cz_graph_new();
            CzValue dst = build_depthwise(graph, &shapes[i], dtype, op, activation);
            g_autofree char *shape = cz_shape_format(shapes[i].src);
            g_autofree char *label =
                g_strdup_printf("%s k %d stride %d activation %d %s", shape, shapes[i].k,
                                shapes[i].stride, activation, cz_dtype_name(dtype));
            check_value(graph, dst, label);
        }
    }
}

static void test_depthwise_network(gconstpointer data)
{
    check_depthwise(network_shapes, G_N_ELEMENTS(network_shapes), (CzOp)GPOINTER_TO_INT(data));
}

static void test_depthwise_awkward(gconstpointer data)
{
    check_depthwise(awkward_shapes, G_N_ELEMENTS(awkward_shapes), (CzOp)GPOINTER_TO_INT(data));
}

// ---- everything else, larger than the examples --------------------------------------------------

typedef CzValue (*Build)(CzGraph *graph, CzValue x, CzValue y, CzShape s);

static CzValue build_add(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_add(graph, x, y);
}

static CzValue build_add_channel(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_add(graph, x, cz_input(graph, "x b", cz_shape(1, s.c, 1, 1)));
}

static CzValue build_mul_picture(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_mul(graph, x, cz_input(graph, "x b", cz_shape(s.n, s.c, 1, 1)));
}

static CzValue build_mul_mask(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_mul(graph, x, cz_input(graph, "x b", cz_shape(s.n, 1, s.h, s.w)));
}

static CzValue build_mul_scalar(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_mul(graph, x, cz_input(graph, "x b", cz_shape(1, 1, 1, 1)));
}

static CzValue build_relu6_grad(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_activation_grad(graph, x, y, CZ_ACT_RELU6);
}

static CzValue build_tanh(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_activation(graph, x, CZ_ACT_TANH);
}

static CzValue build_exp(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_math(graph, x, CZ_MATH_EXP);
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

static CzValue build_sum_mask(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_sum(graph, x, cz_shape(s.n, 1, s.h, s.w));
}

static CzValue build_sum_pictures(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_sum(graph, x, cz_shape(s.n, 1, 1, 1));
}

static CzValue build_dot(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_dot(graph, x, y);
}

static CzValue build_broadcast(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    CzValue small = cz_input(graph, "x b", cz_shape(s.n, s.c, 1, 1));
    return cz_broadcast(graph, small, s, cz_graph_dtype(graph, x));
}

static CzValue build_resize_up(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_resize(graph, x, 2 * s.h, 2 * s.w);
}

static CzValue build_resize_odd(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_resize(graph, x, s.h / 3 + 1, s.w + 5);
}

static CzValue build_resize_grad(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_resize_grad(graph, x, (s.h + 1) / 2, (s.w + 1) / 2);
}

static CzValue build_resize_grad_odd(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_resize_grad(graph, x, s.h * 2 + 1, s.w / 5 + 1);
}

static CzValue build_pool_grad(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_pool_grad(graph, x, 2);
}

static CzValue build_pool(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_pool(graph, cz_pool_grad(graph, x, 2), 2);
}

static CzValue build_concat(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_concat(graph, (CzValue[]){x, y, x}, 3);
}

static CzValue build_slice(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_slice(graph, x, cz_shape(s.n - 1, s.c / 2, 0, s.w / 2),
                    cz_shape(1, s.c - s.c / 2, s.h, s.w - s.w / 2));
}

static CzValue build_pad(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_pad(graph, x, cz_shape(1, 3, 0, 2), cz_shape(s.n + 2, s.c + 3, s.h + 1, s.w + 2));
}

static CzValue build_constant(CzGraph *graph, CzValue x, CzValue y, CzShape s)
{
    return cz_constant(graph, s, cz_graph_dtype(graph, x), 0.3f);
}

static const Build builds[] = {
    build_add,        build_add_channel,  build_mul_picture, build_mul_mask,
    build_mul_scalar, build_relu6_grad,   build_tanh,        build_exp,
    build_cast,       build_sum_bias,     build_sum_picture, build_sum_all,
    build_sum_mask,   build_sum_pictures, build_dot,         build_broadcast,
    build_resize_up,  build_resize_odd,   build_resize_grad, build_resize_grad_odd,
    build_pool_grad,  build_pool,         build_concat,      build_slice,
    build_pad,        build_constant,
};

static void test_shapes(void)
{
    static const CzShape shapes[] = {
        {2, 48, 64, 64}, {2, 128, 16, 16}, {2, 320, 4, 4},  {2, 2, 64, 64}, {3, 1, 111, 97},
        {2, 17, 50, 31}, {1, 3, 1, 1},     {5, 1300, 3, 2}, {1, 1, 1, 1},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
        for (size_t b = 0; b < 2 * G_N_ELEMENTS(builds); b++) {
            g_autoptr(CzGraph) graph = cz_graph_new();
            CzDtype dtype = b % 2 ? CZ_BF16 : CZ_F32;
            CzValue x = input(graph, "x", shapes[i], dtype),
                    y = input(graph, "xy", shapes[i], dtype);
            CzValue dst = builds[b / 2](graph, x, y, shapes[i]);
            g_autofree char *shape = cz_shape_format(shapes[i]);
            g_autofree char *label =
                g_strdup_printf("build %zu %s %s", b / 2, shape, cz_dtype_name(dtype));
            check_value(graph, dst, label);
        }
    }
}

static void test_adamw_large(void)
{
    for (int n = 1, i = 0; n < 300000; n = n * 7 + 5, i++) {
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzShape s = {n, 1, 1, 1}, scalar = {1, 1, 1, 1};
        CzAdamParams adam = {0.9f, 0.99f, 1e-8f, 1e-4f, 0.15f, (CzAdamKind)(i % CZ_N_ADAMS)};
        CzValue dst =
            cz_adamw(graph, cz_param(graph, "x", s), cz_input(graph, "x grad", s),
                     cz_param(graph, "x m", s), cz_param(graph, "p v", s),
                     cz_param(graph, "x ema", s), cz_input(graph, "p rates", cz_shape(1, 4, 1, 1)),
                     cz_input(graph, "p gate", scalar), adam);
        check_value(graph, dst, "large");
    }
}

static void test_bf16_special(void)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    static const float numbers[] = {NAN,     -NAN,   INFINITY,    -INFINITY,   0.0f,        -0.0f,
                                    3.4e38f, 1e-45f, 1.00390625f, 1.01171875f, -1.00390625f};
    CzShape s = {1, G_N_ELEMENTS(numbers), 1, 1};
    CzValue dst = cz_cast(graph, cz_input(graph, "x", s), CZ_BF16);
    const CzNode *nodes[] = {cz_graph_node(graph, 0), cz_graph_node(graph, 1)};
    for (CzIsa isa = 0; isa <= cz_kernel_isa(); isa++) {
        uint16_t found[G_N_ELEMENTS(numbers)], want[G_N_ELEMENTS(numbers)];
        CzKernel kernel;
        CzView src = {s, CZ_F32, (void *)numbers}, to = {s, CZ_BF16, found};
        g_assert_true(cz_kernel_find_isa(nodes[dst.id], nodes, 1, isa, &kernel));
        kernel.run(nodes[dst.id], &src, &to, NULL, 1);
        cz_f32_to_bf16(want, numbers, G_N_ELEMENTS(numbers));
        for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
            bool both_nan = isnan(numbers[i]) && (found[i] & 0x7fff) > 0x7f80;
            if (!both_nan && found[i] != want[i]) {
                g_test_message("%s: %g: expected %04x, found %04x", isa_names[isa],
                               (double)numbers[i], want[i], found[i]);
                g_test_fail();
            }
        }
    }
}

static void add_op_tests(void)
{
#define CZ_OP(NAME, name)                                                              \
    if (cz_op_class(CZ_OP_##NAME)->reference)                                          \
        g_test_add_data_func("/backend/kernels/match_reference_on_examples_of_" #name, \
                             GINT_TO_POINTER(CZ_OP_##NAME), test_examples);
#include <cz/ops.def>
#undef CZ_OP
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add_op_tests();
    static const struct {
        const char *name;
        CzOp op;
    } passes[] = {{"forward", CZ_OP_CONV2D},
                  {"grad_src", CZ_OP_CONV2D_GRAD_SRC},
                  {"grad_filter", CZ_OP_CONV2D_GRAD_FILTER}};
    for (size_t i = 0; i < G_N_ELEMENTS(passes); i++) {
        g_autofree char *network = g_strdup_printf(
            "/backend/kernels/depthwise_%s_matches_on_the_networks_shapes", passes[i].name);
        g_autofree char *awkward = g_strdup_printf(
            "/backend/kernels/depthwise_%s_matches_on_awkward_shapes", passes[i].name);
        g_test_add_data_func(network, GINT_TO_POINTER(passes[i].op), test_depthwise_network);
        g_test_add_data_func(awkward, GINT_TO_POINTER(passes[i].op), test_depthwise_awkward);
    }
    g_test_add_func("/backend/kernels/match_reference_on_many_shapes", test_shapes);
    g_test_add_func("/backend/kernels/adamw_matches_on_long_tensors", test_adamw_large);
    g_test_add_func("/backend/kernels/round_special_numbers_to_bf16", test_bf16_special);
    return g_test_run();
}
