// SPDX-License-Identifier: LGPL-3.0-or-later
// How a test steers the doubles of the driver (libcuda-double.so) and of cuDNN
// (libcudnn-double.so), and what it asks them afterwards.
//
// A test links both and lets the module open the same files by path: they are loaded once. What
// the module did wrong is a complaint: counted, with a text. Nothing here aborts.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOUBLE_EXPORT __attribute__((visibility("default")))

// ---- libcuda-double.so ----

// Forgets everything: objects, counts, injected faults, complaints; the environment is read again:
//   COLORIZE_DOUBLE_SM       compute capability, as 86
//   COLORIZE_DOUBLE_DEVICES  how many devices there are: 0 or 1
//   COLORIZE_DOUBLE_DRIVER   the driver's version, as 13000
//   COLORIZE_DOUBLE_MEMORY   bytes that the device has
//   COLORIZE_DOUBLE_FAIL     N or N:CODE: the N-th driver call fails
//   COLORIZE_DOUBLE_LOSE     N or N:CODE: from the N-th driver call on the device is lost
// For programs that know nothing of the double:
//   COLORIZE_DOUBLE_KERNELS  a library with host_kernel_run(), in place of double_kernel_run
//   COLORIZE_DOUBLE_STRICT   1: complaints and leaks are told at the program's end, which is then
//                            the exit status 97
// Not while the module is at work. double_cudnn_reset() first where cuDNN's double is in use.
DOUBLE_EXPORT void double_reset(void);

DOUBLE_EXPORT void double_set_sm(int sm);
DOUBLE_EXPORT void double_set_devices(int n_devices);
DOUBLE_EXPORT void double_set_driver_version(int version);
DOUBLE_EXPORT void double_set_memory(size_t n_bytes);

// Calls are counted from 1 since the last reset; name NULL: all of them.
DOUBLE_EXPORT unsigned double_calls(const char *name);
// The n-th call from now fails once with code; 0: none. A call that releases has released all the
// same. name NULL: the n-th of all.
DOUBLE_EXPORT void double_fail_call(const char *name, unsigned n, int code);
// True once the injected fault has struck.
DOUBLE_EXPORT bool double_failed(void);
// From the n-th call from now on every call that touches the device answers code (700, 719), and
// what was deferred is dropped. 1: the next one.
DOUBLE_EXPORT void double_lose_device(unsigned n, int code);

// Runs a kernel that was compiled for the host; args is the struct of its parameters. False: there
// is none of that name, or it failed; the device is then lost.
DOUBLE_EXPORT extern bool (*double_kernel_run)(const char *name, const void *args,
                                               const unsigned grid[3], const unsigned block[3],
                                               size_t shared);

DOUBLE_EXPORT unsigned double_complaints(void);
// All of them, a line each; "" where there is none. Valid until the next call into a double.
DOUBLE_EXPORT const char *double_complaint_text(void);
DOUBLE_EXPORT void double_clear_complaints(void);

// What is alive: allocations of both kinds, streams, events, modules, graphs, retained contexts.
DOUBLE_EXPORT unsigned double_leaks(void);
// The same in words, for messages. The caller frees.
DOUBLE_EXPORT char *double_leak_text(void);
DOUBLE_EXPORT size_t double_memory_used(void);
DOUBLE_EXPORT size_t double_memory_peak(void);
// Pieces of work that wait in streams.
DOUBLE_EXPORT unsigned double_pending(void);
// Looks at the guard bytes of every allocation now, as each synchronization does.
DOUBLE_EXPORT void double_check_memory(void);

// ---- for the double of cuDNN ----

DOUBLE_EXPORT void double_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
// run(data) is deferred, or recorded where stream is being captured, and may then run more than
// once; release(data) is called in every case, at last. The driver's code.
DOUBLE_EXPORT int double_stream_enqueue(void *stream, void (*run)(void *data), void *data,
                                        void (*release)(void *data));
// Whether a context is current in this thread, and its device well: the driver's code.
DOUBLE_EXPORT int double_context_check(void);
// Whether all bytes lie in one live allocation of device memory.
DOUBLE_EXPORT bool double_memory_contains(uint64_t address, size_t n_bytes);
// The clock of events counts microseconds of pretended work.
DOUBLE_EXPORT void double_clock_advance(double microseconds);
DOUBLE_EXPORT int double_get_sm(void);
// What cuDNN's device description wants to be told (JSON). The caller frees.
DOUBLE_EXPORT char *double_device_json(void);

// ---- libcudnn-double.so ----

// With COLORIZE_DOUBLE_ROOT or else COLORIZE_CUDA_ROOT set (folders, separated by colons), each
// descriptor is also given to the real cuDNN there, which then judges graphs, engines and workspace for the capability of
// double_set_sm(). COLORIZE_DOUBLE_REAL=0 leaves the real one out.
DOUBLE_EXPORT void double_cudnn_reset(void);
// Opens the real library: false where there is none; why is then told, if asked (the caller frees).
// What was created before stays as it is.
DOUBLE_EXPORT bool double_cudnn_use_real(bool use, char **why);

DOUBLE_EXPORT unsigned double_cudnn_calls(const char *name);
// As double_fail_call(). 4003 (host memory) and 5000 (execution) are typical codes.
DOUBLE_EXPORT void double_cudnn_fail_call(const char *name, unsigned n, int status);
DOUBLE_EXPORT bool double_cudnn_failed(void);
// Handles and descriptors that are alive.
DOUBLE_EXPORT unsigned double_cudnn_leaks(void);
// Executions that really ran, replays of captured ones included.
DOUBLE_EXPORT unsigned double_cudnn_executions(void);
// Pretended duration of plans of an engine, for tests of tuning. Others take 10 + index.
DOUBLE_EXPORT void double_cudnn_set_duration(int64_t engine, double microseconds);
