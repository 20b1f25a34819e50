// SPDX-License-Identifier: LGPL-3.0-or-later
// TensorBoard's event files: records of TFRecord framing that hold protocol buffers.
//
// A record is its length (u64, little-endian), the masked CRC32C of these eight bytes, the data,
// the masked CRC32C of the data (tensorflow/core/lib/io/record_writer.h). The data is one
// tensorflow.Event (core/util/event.proto) with a Summary (core/framework/summary.proto); only the
// fields that are written here are known here.
#pragma once

#include <stdint.h>

#include <glib.h>

// CRC-32C (Castagnoli), as RFC 3720, appendix B.4, has it.
uint32_t train_crc32c(const void *data, size_t n_bytes);
// Rotated and shifted, because a CRC of data that holds CRCs tells little.
uint32_t train_crc32c_masked(uint32_t crc);

// The first record of every file; the caller unrefs, as below.
GByteArray *train_events_head(double wall_time);

// Values of one step, gathered and then made a record. Tags with a slash are grouped by what is
// before it.
typedef struct TrainSummary TrainSummary;
TrainSummary *train_summary_new(void);
void train_summary_free(TrainSummary *summary);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TrainSummary, train_summary_free)
void train_summary_scalar(TrainSummary *summary, const char *tag, float value);
// png: an encoded RGB picture of this size.
void train_summary_png(TrainSummary *summary, const char *tag, int32_t width, int32_t height,
                       const void *png, size_t n_bytes);
GByteArray *train_summary_record(const TrainSummary *summary, double wall_time, int64_t step);
