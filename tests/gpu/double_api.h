// SPDX-License-Identifier: LGPL-3.0-or-later
// The part of NVIDIA's two interfaces that the test doubles speak: values are facts of the ABI.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../engine/backend/cudnn/cudnn_api.h"

// Codes that only the doubles need to name: they answer them, nobody tells them apart.
#define CUDA_ERROR_ILLEGAL_STATE                  ((CUresult)401)
#define CUDA_ERROR_STREAM_CAPTURE_UNMATCHED       ((CUresult)903)
#define CUDA_ERROR_STREAM_CAPTURE_ISOLATION       ((CUresult)905)
#define CUDA_ERROR_CAPTURED_EVENT                 ((CUresult)907)
#define CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES ((cudnnStatus_t)2009)
#define CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE    ((cudnnStatus_t)2012)
