// SPDX-License-Identifier: LGPL-3.0-or-later
// Convolutions to few channels by our own kernel against the reference, for every instruction set.
#include <float.h>
#include <math.h>

#include <cz/graph.h>
#include <cz/memory.h>
#include <cz/ops.h>
#include <cz/rng.h>

#include "backend/onednn/kernels.h"

typedef struct {
    CzShape src;
    int32_t n_out, k, before, after; // edge of the filter; padding of both sides
    CzActivation activation;
} Case;

// The network's head, then sizes below a tile, channels that are no multiple of three vectors,
// uneven padding, and pictures smaller than the filter.
static const Case cases[] = {
    {{2, 48, 64, 64}, 2, 3, 1, 1, CZ_ACT_NONE},  {{1, 96, 7, 7}, 3, 5, 2, 2, CZ_ACT_TANH},
    {{3, 16, 5, 5}, 1, 1, 0, 0, CZ_ACT_RELU6},   {{2, 32, 3, 11}, 4, 3, 0, 2, CZ_ACT_LEAKY},
    {{1, 64, 2, 1}, 2, 5, 2, 2, CZ_ACT_SIGMOID}, {{2, 48, 9, 6}, 2, 4, 1, 2, CZ_ACT_RELU},
};

static float *random_floats(size_t n, uint64_t seed)
{
    float *data = cz_memory_alloc(n * sizeof *data, "a test's numbers", NULL);
    CzRng rng = cz_rng(seed, 0);
    for (size_t i = 0; i < n; i++)
        data[i] = cz_rng_normal(&rng);
    return data;
}

// Terms are about 1. Sums of k of them come in another order: 8 sqrt(k) eps on top of the size.
static void check_close(const CzView *found, const CzView *want, double k, const char *what)
{
    const float *a = found->data, *b = want->data;
    size_t worst = 0;
    double worst_ratio = 0, worst_bound = 0;
    for (size_t i = 0; i < cz_shape_count(want->shape); i++) {
        const double bound = FLT_EPSILON * (16 * sqrt(k) + 8 * fabs((double)b[i]));
        const double ratio = fabs((double)a[i] - b[i]) / bound;
        if (!(ratio <= worst_ratio)) {
            worst = i;
            worst_ratio = isnan(ratio) ? HUGE_VAL : ratio;
            worst_bound = bound;
        }
    }
    if (!(worst_ratio <= 1)) {
        g_test_message("%s: [%zu]: expected %.9g, found %.9g, bound %.3g", what, worst,
                       (double)b[worst], (double)a[worst], worst_bound);
        g_test_fail();
    }
}

static void check_ways(const CzNode *node, const CzNode *const *nodes, const CzView *src,
                       const CzView *want, double k)
{
    static const int thread_counts[] = {1, 2, 5};
    for (CzIsa isa = 0; isa <= cz_kernel_isa(); isa++) {
        for (size_t t = 0; t < G_N_ELEMENTS(thread_counts); t++) {
            CzKernel kernel;
            g_autofree char *what =
                g_strdup_printf("%s of %d channels to %d, set %d, %d threads", node->op_class->name,
                                src[0].shape.c, want->shape.c, (int)isa, thread_counts[t]);
            if (!cz_kernel_find_isa(node, nodes, thread_counts[t], isa, &kernel)) {
                g_test_message("%s: no kernel", what);
                g_test_fail();
                continue;
            }
            CzView dst = *want;
            dst.data = random_floats(cz_shape_count(dst.shape), 99);
            void *scratch = cz_memory_alloc(kernel.scratch_bytes + 1, "scratch", NULL);
            kernel.run(node, src, &dst, scratch, thread_counts[t]);
            check_close(&dst, want, k, what);
            cz_memory_free(scratch);
            cz_memory_free(dst.data);
        }
    }
}

static void check_pass(CzGraph *graph, CzValue value, double k)
{
    g_autoptr(GError) error = NULL;
    cz_graph_check(graph, &error);
    g_assert_no_error(error);
    const CzNode *node = cz_graph_of(graph, value);
    const int32_t n_nodes = cz_graph_n_nodes(graph);
    g_autofree const CzNode **nodes = g_new(const CzNode *, n_nodes);
    CzView src[3] = {0}, want = {node->shape, node->dtype, NULL};
    for (int32_t i = 0; i < n_nodes; i++)
        nodes[i] = cz_graph_node(graph, i);
    for (int32_t i = 0; i < node->n_src; i++) {
        const CzShape shape = nodes[node->src[i]]->shape;
        src[i] = (CzView){shape, CZ_F32, random_floats(cz_shape_count(shape), (uint64_t)i)};
    }
    want.data = random_floats(cz_shape_count(want.shape), 98);
    node->op_class->reference(node, src, &want);
    check_ways(node, nodes, src, &want, k);
    for (int32_t i = 0; i < node->n_src; i++)
        cz_memory_free(src[i].data);
    cz_memory_free(want.data);
}

static void test_cases(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Case *c = &cases[i];
        g_autoptr(CzGraph) graph = cz_graph_new();
        CzConvParams params = {.pad_top = c->before,
                               .pad_left = c->before,
                               .pad_bottom = c->after,
                               .pad_right = c->after,
                               .activation = c->activation};
        const CzShape filter_shape = {c->n_out, c->src.c, c->k, c->k};
        CzValue src = cz_input(graph, "src", c->src);
        CzValue filter = cz_input(graph, "filter", filter_shape);
        CzValue bias = cz_input(graph, "bias", cz_shape(1, c->n_out, 1, 1));
        CzValue dst = cz_conv2d(graph, src, filter, bias, CZ_NONE, params);
        const CzShape shape = cz_graph_shape(graph, dst);
        check_pass(graph, dst, (double)c->src.c * c->k * c->k);
        CzValue d_dst = cz_input(graph, "d_dst", shape);
        params.activation = CZ_ACT_NONE;
        check_pass(graph, cz_conv2d_grad_filter(graph, src, d_dst, filter_shape, params),
                   (double)shape.n * shape.h * shape.w);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/backend/kernels/convolutions_to_few_channels_are_the_references", test_cases);
    return g_test_run();
}
