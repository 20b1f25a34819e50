// SPDX-License-Identifier: LGPL-3.0-or-later
// A graph run node by node by the references: what every other way of running it is held against.
#pragma once

#include <cz/graph.h>

typedef struct Interpreter Interpreter;

// Holds memory for the outputs and all that they need; starts with zeros. graph may grow
// afterwards, and must outlive the interpreter.
Interpreter *interpreter_new(const CzGraph *graph, const CzValue *outputs, size_t n_outputs);
void interpreter_free(Interpreter *interpreter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Interpreter, interpreter_free)

// INPUTs and PARAMs as CzOpClass.example says: names "p..." in [0.5, 1.5], others N(0, 1). The
// same seed and name always give the same numbers.
void interpreter_fill(Interpreter *interpreter, uint64_t seed);
// The same on a grid that BF16 and F16 hold exactly, between -4 and 4: odd multiples of 1/16. Kinks
// of the examples lie on multiples of 1/8, at least 1/16 away.
void interpreter_fill_grid(Interpreter *interpreter, uint64_t seed);

// Runs everything once; outputs that were not written are NaN. Effects write into the PARAMs.
void interpreter_run(Interpreter *interpreter);

// NULL: the value is not needed by the outputs. Of the type that the node is.
CzView *interpreter_view(Interpreter *interpreter, CzValue value);
// As floats; the caller frees with g_free().
float *interpreter_floats(Interpreter *interpreter, CzValue value);
