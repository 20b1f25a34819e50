// SPDX-License-Identifier: LGPL-3.0-or-later
// Runs the CUDA kernels of engine/backend/cudnn on the host, by name.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// args: the kernel's struct; addresses in it are the host's. Blocks run one after another, threads
// one after another, too, from barrier to barrier. FALSE, and a sentence from host_kernel_error(),
// if there is no such kernel, a grid or block no GPU takes, or a barrier that a part of the block
// does not reach. One caller at a time; others wait.
bool host_kernel_run(const char *name, const void *args, const unsigned grid[3],
                     const unsigned block[3], size_t shared_bytes);

// What was wrong with the last run that failed.
const char *host_kernel_error(void);

// The bytes of the kernel's struct; 0: there is no such kernel.
size_t host_kernel_args_bytes(const char *name);

// For tests of this runner itself: any function in place of a kernel.
bool host_function_run(void (*function)(const void *args), const void *args, const unsigned grid[3],
                       const unsigned block[3]);

// For kernels that tests bring themselves.
void host_kernel_barrier(void);
float host_kernel_shuffle_xor(float value, int lane_mask);
unsigned host_kernel_thread(void);

#ifdef __cplusplus
}
#endif
