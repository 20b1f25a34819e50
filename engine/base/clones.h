// SPDX-License-Identifier: LGPL-3.0-or-later
// CZ_CLONES in front of a function: compiled for AVX-512, AVX2 and the baseline, chosen at load.
//
// Put it on plain inner functions, never on one that holds an OpenMP region: GCC does not clone the
// region's body. Callees must be static inline to be cloned along.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(CZ_NO_CLONES)
#define CZ_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CZ_CLONES
#endif
