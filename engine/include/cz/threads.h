// SPDX-License-Identifier: LGPL-3.0-or-later
// OpenMP set-up, once per program.
//
// Threads that spin while they wait cost more than they give on a busy machine. libgomp reads its
// environment when it is loaded, before main(): so a program sets it and executes itself anew.
#pragma once

#include <stdbool.h>

#include <glib.h>

G_BEGIN_DECLS

// First statement of main(): sets OMP_WAIT_POLICY=passive and a short GOMP_SPINCOUNT unless the
// user has set them, and re-executes the program once. Returns if that was done or is impossible.
void cz_threads_init(char **argv);

// Physical cores that this process may run on (affinity, cgroup quota), at least 1.
int cz_threads_available(void);

// Threads for parallel regions of the calling thread and of those it starts later; 0 = available.
void cz_threads_set(int n_threads);
int cz_threads_get(void);

G_END_DECLS
