// SPDX-License-Identifier: LGPL-3.0-or-later
// Fake libraries in folders that look like real installations, and a child process to open them in.
//
// What is open stays open in a process, so each case asks a process of its own: the test starts
// itself anew with "child", which opens and starts the libraries and prints what comes of it.
//
// Environment of the child: TEST_PROBE, "fail", "wrong" or "kill": what the first use does instead
// of starting the driver; TEST_LIMIT_MS: its time limit; and that of the fakes (fake_cuda.c,
// fake_cudnn.c).
#pragma once

#include <stddef.h>

#include <glib.h>

// A case: its folder, and the environment that the child gets.
typedef struct {
    char *folder, *root; // root: a virtual environment below folder
    char **environment;
} Case;

// Everything in place: a driver, and a virtual environment with cuBLAS for CUDA 12 and with the
// file cudnn, a fake (NULL: none), as its cuDNN.
Case *case_new(const char *name, const char *cudnn);
void case_free(Case *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Case, case_free)

void case_set(Case *c, const char *name, const char *value);
// A fake under the name of a real library; returns its path, the caller's.
char *case_put(const Case *c, const char *fake, const char *place);

// What the child prints.
char *case_ask(const Case *c);
// The child prints each of the lines, with %s standing for the case's folder.
void case_expect(const Case *c, const char *const *lines);
#define EXPECT(c, ...) case_expect(c, (const char *const[]){__VA_ARGS__, NULL})
// How often cuInit() was called so far.
size_t case_count_inits(const Case *c);
char *case_cache_path(const Case *c);

// What the command prints; it must have ended by itself, with exit status 0.
char *fakes_ask(char **argv, char **environment);

// The main() of a test; add() adds the cases.
int fakes_main(int argc, char **argv, void (*add)(void));

#define PACKAGES "env/lib/python3.11/site-packages/nvidia/"
#define CUDNN    "%s/" PACKAGES "cudnn/lib/libcudnn.so.9"
#define OPENED \
    "opened cuDNN 9.19.0 at " CUDNN ", driver 12040 at %s/driver/libcuda.so.1, cuBLASLt at "
