// SPDX-License-Identifier: LGPL-3.0-or-later
// One builder per op, with its formula. Shapes are (n, c, h, w); memory is NHWC (tensor.h).
//
// Element types: activations are F32, BF16 or F16, and an op's activations all have the same one;
// filters, biases, scalars, losses, gradients of filters and optimizer state are F32 always.
// A backend computes BF16 and F16 ops with F32 sums and rounds once, at the output; an F16 output
// beyond 65504 is infinite then. A convolution's filter is rounded to its activations' type first.
// CPU backends take BF16, and GPUs from sm_80 on; what does not take a type says so when a plan is made.
// Gradients of filters, too, may be rounded once to the type of the maps, by a backend whose library
// gives no other (cuDNN), and the biases of convolutions as their filters are.
#pragma once

#include <cz/graph.h>

G_BEGIN_DECLS

// Data that the host writes before a run (F32; cast in the graph if another type is wanted).
CzValue cz_input(CzGraph *graph, const char *name, CzShape shape);
// An F32 tensor of the store; the same name twice gives the same value.
CzValue cz_param(CzGraph *graph, const char *name, CzShape shape);
// Every element = value.
CzValue cz_constant(CzGraph *graph, CzShape shape, CzDtype dtype, float value);

// Convolution (cross-correlation, as everywhere in the field), dense or grouped; depthwise: groups
// = c, filter (c, 1, kh, kw). dst(n,o,y,x) = act(bias(o) + residual(n,o,y,x)
//   + sum over i,ky,kx of src(n, i, y*stride - pad_top + ky*dilation, ...) * filter(o,i,ky,kx)).
// bias: (1, out, 1, 1) or CZ_NONE; residual: the output's shape or CZ_NONE.
#define CZ_NONE ((CzValue){-2})
CzValue cz_conv2d(CzGraph *graph, CzValue src, CzValue filter, CzValue bias, CzValue residual, CzConvParams params);
// d_src of a convolution without activation, also the transposed convolution: src_shape says the
// size of what comes out.
CzValue cz_conv2d_grad_src(CzGraph *graph, CzValue d_dst, CzValue filter, CzShape src_shape, CzConvParams params);
// d_filter (F32, shape filter_shape) of a convolution without activation.
CzValue cz_conv2d_grad_filter(CzGraph *graph, CzValue src, CzValue d_dst, CzShape filter_shape, CzConvParams params);

CzValue cz_activation(CzGraph *graph, CzValue src, CzActivation activation);
// d_src = d_dst * act'(x), expressed by dst = act(x).
CzValue cz_activation_grad(CzGraph *graph, CzValue d_dst, CzValue dst, CzActivation activation);

// Element by element; b's dimensions may be 1 where a's are not (it is then repeated).
CzValue cz_add(CzGraph *graph, CzValue a, CzValue b);
CzValue cz_sub(CzGraph *graph, CzValue a, CzValue b); // add(a, scale(b, -1))
CzValue cz_mul(CzGraph *graph, CzValue a, CzValue b);
CzValue cz_scale(CzGraph *graph, CzValue src, float scale, float shift); // scale * x + shift
CzValue cz_math(CzGraph *graph, CzValue src, CzMath math);
CzValue cz_clamp(CzGraph *graph, CzValue src, float low, float high);
// 1 where low < x < high, else 0: the derivative of clamp. Its own gradient is zero.
CzValue cz_in_range(CzGraph *graph, CzValue src, float low, float high);
// x^2 / (2 beta) where |x| < beta, else |x| - beta/2. Derivative: clamp(x, -beta, beta) / beta.
CzValue cz_huber(CzGraph *graph, CzValue src, float beta);

// Sum over every dimension that is 1 in shape and not in src; F32 whatever src is.
CzValue cz_sum(CzGraph *graph, CzValue src, CzShape shape);
CzValue cz_mean(CzGraph *graph, CzValue src, CzShape shape); // scale(sum)
// Repeats src along its dimensions of size 1; dtype of the result as given.
CzValue cz_broadcast(CzGraph *graph, CzValue src, CzShape shape, CzDtype dtype);
// Scalar F32: sum of a * b.
CzValue cz_dot(CzGraph *graph, CzValue a, CzValue b);
// x - log(sum over c of e^x), at every place of every picture; safe for logits of any size.
CzValue cz_log_softmax(CzGraph *graph, CzValue src);

// Products of matrices, sample by sample. A tensor is the matrix of its h * w places and its channels:
//   NN  dst(p, c) = sum over q of a(p, q) b(q, c)   a.c = places of b; dst (n, b.c, a.h, a.w)
//   NT  dst(p, q) = sum over c of a(p, c) b(q, c)   a.c = b.c; dst (n, places of b, a.h, a.w)
//   TN  dst(q, c) = sum over p of a(p, q) b(p, c)   places alike; dst (n, b.c, h, w), h * w = a.c
// h and w are read for TN alone.
CzValue cz_matmul(CzGraph *graph, CzValue a, CzValue b, CzMatmul form, int32_t h, int32_t w);

// Bilinear, sample centres at half pixels, edges repeated (PyTorch: align_corners=False).
CzValue cz_resize(CzGraph *graph, CzValue src, int32_t h, int32_t w);
CzValue cz_resize_grad(CzGraph *graph, CzValue d_dst, int32_t src_h, int32_t src_w); // its adjoint
// Mean over pool x pool squares; h and w must be multiples.
CzValue cz_pool(CzGraph *graph, CzValue src, int32_t pool);
CzValue cz_pool_grad(CzGraph *graph, CzValue d_dst, int32_t pool); // its adjoint: spread evenly

CzValue cz_concat(CzGraph *graph, const CzValue *src, int32_t n_src); // along c
CzValue cz_slice(CzGraph *graph, CzValue src, CzShape offset, CzShape shape);
CzValue cz_pad(CzGraph *graph, CzValue src, CzShape offset, CzShape shape); // zeros around; adjoint of slice
CzValue cz_cast(CzGraph *graph, CzValue src, CzDtype dtype);

// Dropout's factors for a tensor of this shape and dtype: 0 with probability rate, else 1 / (1 - rate),
// as a function of seed, of the sample's number (sample: (n, 1, 1, 1), whole numbers from 0 to 2^24)
// and of the place in the sample. Its own gradient is zero.
CzValue cz_dropout_mask(CzGraph *graph, CzValue sample, CzShape shape, CzDtype dtype, float rate, uint64_t seed);
CzValue cz_transpose(CzGraph *graph, CzValue src); // h for w
// x of ((A + A') / 2 + ridge I) x = rhs, by Cholesky's factorization: A (n, 1, k, k), rhs and result
// (n, c, 1, k), k at most 64, c at most 8, all F32. NaN where the matrix is not positive definite.
CzValue cz_solve(CzGraph *graph, CzValue matrix, CzValue rhs, float ridge);

// ---- trainings that many processes share (cz_graph_set_ranks) ----
// In a graph of one rank all of these give back what they are given. F32. All ranks must run the
// same graph: what is summed is what others sum at the same place.
CzValue cz_all_reduce(CzGraph *graph, CzValue src); // sum over ranks; its gradient is the same sum
CzValue cz_rank_mean(CzGraph *graph, CzValue src);  // mean over ranks
// Replaces n values by their means over ranks, in messages of about 4 MiB.
void cz_rank_means(CzGraph *graph, CzValue *values, size_t n);
// All elements of the sources, in the order of memory, as (1, total, 1, 1); and a piece of such.
CzValue cz_pack(CzGraph *graph, const CzValue *src, int32_t n_src);
CzValue cz_unpack(CzGraph *graph, CzValue src, int32_t first, CzShape shape);

// Scalar gate from a squared gradient norm: 0 if it is not finite, else min(1, limit / norm)
// (limit 0: 1). An update multiplies its gradient with it, and does nothing at all when it is 0.
CzValue cz_step_gate(CzGraph *graph, CzValue norm_squared, float limit);
// Effects: write into the PARAM nodes among their sources, give the gate back as a scalar.
// rates: (1, 4, 1, 1) F32 = rate, 1 - beta1^t, 1 - beta2^t, EMA decay.
// g = gate * grad; m += (1-beta1)(g-m); v += (1-beta2)(g*g-v); param -= rate * rate_scale *
//   (m/c1 / (sqrt(v/c2) + epsilon) + decay * param)   (Kingma & Ba 2015; decay decoupled)
// ema (or CZ_NONE) = d * ema + (1 - d) * param afterwards. By params.kind:
//   ADAMW      as written
//   ADAM       g = gate * grad + decay * param, and no decay below: L2, as in PyTorch's Adam
//   ADABELIEF  v += (1-beta2)((g-m)^2 - v) + epsilon, with the new m   (Zhuang et al. 2020)
CzValue cz_adamw(CzGraph *graph, CzValue param, CzValue grad, CzValue m, CzValue v, CzValue ema, CzValue rates,
                 CzValue gate, CzAdamParams params);
CzValue cz_ema(CzGraph *graph, CzValue ema, CzValue value, CzValue rates, CzValue gate);

G_END_DECLS
