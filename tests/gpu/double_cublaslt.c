// SPDX-License-Identifier: LGPL-3.0-or-later
// What stands for libcublasLt where cuDNN is its double: it is opened, and asked for its version.
#include <stddef.h>

__attribute__((visibility("default"))) size_t cublasLtGetVersion(void)
{
    return 130100;
}

__attribute__((visibility("default"))) size_t cublasLtGetCudartVersion(void)
{
    return 13010;
}
