// SPDX-License-Identifier: LGPL-3.0-or-later
// Sums over ranks that each have a GPU, by NCCL, on the devices and in the order of a stream.
//
// NCCL is libnccl.so.2, looked for where cuDNN is (libs.h), opened at run time and never linked. No
// trial in a child before, as for cuDNN: it is opened in trainings of several ranks only, which
// somebody watches, before their first step.
//
// One thread at a time, always with the device's context current.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cz/backend.h>

#include "nccl_api.h"

typedef struct Nccl Nccl;

// Joins the ranks, if all of them can. All must call it at the same place of their order of sums
// and shares, of which it makes some; it waits for them. device: which GPU this is on its machine,
// the same text for the same one on every rank ("0000:65:00.0", the PCI address); NCCL takes one
// rank a GPU. ranks is not kept.
//
// NULL, on all ranks alike: it is not used, and sums go by ranks->sum as before. *why_not is then
// the same sentence on all, without a full stop: the library is missing on some rank or too old,
// versions differ, two ranks share a GPU, or joining failed, with NCCL's words. The caller frees
// it. A rank that ends while others join leaves them to NCCL, which waits for minutes.
Nccl *nccl_open(const CzHost *host, const CzRanks *ranks, const char *device, char **why_not);

// n_floats numbers at a device's address become their sums over ranks, in place, bit for bit the
// same on each: a place's sum is made once, on its way through the ranks, and then handed on.
// Asynchronous, in the order of stream, which may be capturing; what was captured is to be run by
// all ranks or none. All ranks must call it in the same order with the same n_floats.
// CZ_ERROR_BACKEND with NCCL's words; all that is left to do with it then is to close it. The
// others may wait in their streams for this rank, for ever where GPUs share a machine: as with
// ranks->sum, who fails alone in a step has to end them all.
bool nccl_sum(Nccl *nccl, uint64_t address, size_t n_floats, CUstream stream, GError **error);

// Accepts NULL. What was enqueued must be over, what was captured must be destroyed. After a good
// end all ranks are to close, as NCCL may wait for them; after a failed sum each closes by itself.
void nccl_close(Nccl *nccl);
