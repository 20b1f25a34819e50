// SPDX-License-Identifier: LGPL-3.0-or-later
// Our kernels as the module carries them, for cuModuleLoadDataEx.
#pragma once

// kernels.ptx, text with a zero at its end: what every driver compiles for its GPU.
extern const char cudnn_kernels_ptx[];

// The same compiled when the module was built, where the toolkit was at hand: the newest last, then
// a row of zeros. Each runs on GPUs of its major version and its minor one or later.
typedef struct {
    int sm; // as 86
    const unsigned char *image;
} CudnnCubin;
extern const CudnnCubin cudnn_cubins[];
