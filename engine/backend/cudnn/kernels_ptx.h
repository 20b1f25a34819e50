// SPDX-License-Identifier: LGPL-3.0-or-later
// kernels.ptx as the module carries it: text with a zero at its end, for cuModuleLoadDataEx.
#pragma once

extern const char cudnn_kernels_ptx[];
