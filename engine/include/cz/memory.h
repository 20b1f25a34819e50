// SPDX-License-Identifier: LGPL-3.0-or-later
// Memory that grows with a photograph, a file or a batch: aligned, counted, and it may fail.
//
// GLib's g_malloc ends the process when memory is out; it is for small bounded metadata only.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <glib.h>

G_BEGIN_DECLS

// 64-byte aligned, uninitialised. NULL with CZ_ERROR_MEMORY ("cannot allocate N bytes for WHAT").
// The caller frees with cz_memory_free(). Any thread.
void *cz_memory_alloc(size_t n_bytes, const char *what, GError **error);
void cz_memory_free(void *memory); // accepts NULL

// Bytes held now, and the most ever held at once, over the whole process.
size_t cz_memory_now(void);
size_t cz_memory_peak(void);

// Fault injection for tests: every function that can fail for an outside reason asks
// cz_fault(kind) first and fails if it answers TRUE. Without arming it is one predictable branch.
typedef enum { CZ_FAULT_MEMORY, CZ_FAULT_FILE, CZ_FAULT_BACKEND, CZ_FAULT_KINDS } CzFault;

bool cz_fault(CzFault kind);
// The n-th call (from 1) of this kind fails, once; n = 0 disarms. Returns calls seen since the
// last arming, so that a test knows when to stop counting up. Tests only, one thread.
unsigned long cz_fault_arm(CzFault kind, unsigned long n);

G_END_DECLS
