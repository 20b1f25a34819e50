// SPDX-License-Identifier: LGPL-3.0-or-later
// The graph: an append-only list of nodes with one output each, and its gradients.
//
// Builders (ops.h) append nodes. The first error sticks: later builders return an id of -1 and do
// nothing, and cz_graph_check() tells what was wrong. One thread at a time.
#pragma once

#include <cz/node.h>

G_BEGIN_DECLS

CzGraph *cz_graph_new(void);
void cz_graph_free(CzGraph *graph); // accepts NULL; nodes and values die with it
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CzGraph, cz_graph_free)

// This graph is one of several alike (ops.h, cz_all_reduce). ranks must outlive every plan of it;
// NULL: alone, as a new graph is. Before the first node that asks.
void cz_graph_set_ranks(CzGraph *graph, const CzRanks *ranks);
const CzRanks *cz_graph_ranks(const CzGraph *graph);

// FALSE with the first error that a builder met.
bool cz_graph_check(const CzGraph *graph, GError **error);

int32_t cz_graph_n_nodes(const CzGraph *graph);
// Borrowed, valid until the graph is freed (appending does not move nodes). id must be valid.
const CzNode *cz_graph_node(const CzGraph *graph, int32_t id);
const CzNode *cz_graph_of(const CzGraph *graph, CzValue value); // NULL if the value has failed
CzShape cz_graph_shape(const CzGraph *graph, CzValue value);    // all zero if the value has failed
CzDtype cz_graph_dtype(const CzGraph *graph, CzValue value);

// Gradients of a scalar loss with respect to n_wrt values, as new nodes. grads[i] has the shape of
// wrt[i]; a value that the loss does not depend on gets a CONSTANT 0. Gradient nodes are ordinary nodes: call
// again on them for second derivatives. FALSE if the loss is no scalar, or an op on the way has no
// gradient (the graph has then failed).
bool cz_graph_gradient(CzGraph *graph, CzValue loss, const CzValue *wrt, size_t n_wrt, CzValue *grads);

// Text, one line a node: "%12 conv2d(%3, %4, %5) 1x64x16x16 F32 stride=2 ..."; the caller frees.
char *cz_graph_dump(const CzGraph *graph);

// For op files: append a node of this op. params may be NULL (all zero); shape and dtype may be
// preset where infer() needs them (shape.n == 0: not preset).
CzValue cz_graph_append(CzGraph *graph, CzOp op, const CzValue *src, int32_t n_src,
                        const CzParams *params, CzShape shape, CzDtype dtype, const char *name);
// For builders: let the graph fail with a sentence.
CzValue cz_graph_fail(CzGraph *graph, const char *format, ...) G_GNUC_PRINTF(2, 3);

const CzOpClass *cz_op_class(CzOp op);

G_END_DECLS
