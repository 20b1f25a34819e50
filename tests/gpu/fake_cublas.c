// SPDX-License-Identifier: LGPL-3.0-or-later
// A cuBLASLt to be loaded; nobody calls it.
#include <stddef.h>

size_t cublasLtGetVersion(void);

size_t cublasLtGetVersion(void)
{
    return 120804;
}
