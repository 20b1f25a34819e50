// SPDX-License-Identifier: LGPL-3.0-or-later
// In place of cubins where the module is built without NVIDIA's toolkit.
#include "kernels_ptx.h"

const CudnnCubin cudnn_cubins[] = {{0, 0}};
