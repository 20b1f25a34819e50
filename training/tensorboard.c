// SPDX-License-Identifier: LGPL-3.0-or-later
// Protocol buffers by hand: a key is field << 3 | type, a message inside another has its length.
#include "tensorboard.h"

#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

// event.proto and summary.proto.
enum { EVENT_WALL_TIME = 1, EVENT_STEP = 2, EVENT_FILE_VERSION = 3, EVENT_SUMMARY = 5 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_SIMPLE = 2, VALUE_IMAGE = 4 };
enum { IMAGE_HEIGHT = 1, IMAGE_WIDTH = 2, IMAGE_COLORSPACE = 3, IMAGE_ENCODED = 4 };
#define COLORSPACE_RGB 3

struct TrainSummary {
    GByteArray *bytes;
};

// ---- CRC ----------------------------------------------------------------------------------------

uint32_t train_crc32c(const void *data, size_t n_bytes)
{
    const uint8_t *at = data;
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < n_bytes; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (UINT32_C(0x82f63b78) & (0 - (crc & 1)));
    }
    return ~crc;
}

uint32_t train_crc32c_masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

// ---- protocol buffers ---------------------------------------------------------------------------

static void put_fixed(GByteArray *dst, uint64_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        g_byte_array_append(dst, &byte, 1);
    }
}

static void put_varint(GByteArray *dst, uint64_t value)
{
    do {
        uint8_t byte = (uint8_t)(value & 0x7f) | (value > 0x7f ? 0x80 : 0);
        g_byte_array_append(dst, &byte, 1);
    } while (value >>= 7);
}

static void put_key(GByteArray *dst, int field, int type)
{
    put_varint(dst, (uint64_t)(field << 3 | type));
}

static void put_integer(GByteArray *dst, int field, int64_t value)
{
    put_key(dst, field, VARINT);
    put_varint(dst, (uint64_t)value);
}

static void put_double(GByteArray *dst, int field, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(dst, field, FIXED64);
    put_fixed(dst, bits, 8);
}

static void put_float(GByteArray *dst, int field, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_key(dst, field, FIXED32);
    put_fixed(dst, bits, 4);
}

static void put_bytes(GByteArray *dst, int field, const void *data, size_t n_bytes)
{
    put_key(dst, field, BYTES);
    put_varint(dst, n_bytes);
    g_byte_array_append(dst, data, (guint)n_bytes);
}

// ---- records ------------------------------------------------------------------------------------

static GByteArray *frame(const GByteArray *data)
{
    GByteArray *record = g_byte_array_new();
    put_fixed(record, data->len, 8);
    put_fixed(record, train_crc32c_masked(train_crc32c(record->data, 8)), 4);
    g_byte_array_append(record, data->data, data->len);
    put_fixed(record, train_crc32c_masked(train_crc32c(data->data, data->len)), 4);
    return record;
}

GByteArray *train_events_head(double wall_time)
{
    g_autoptr(GByteArray) event = g_byte_array_new();
    put_double(event, EVENT_WALL_TIME, wall_time);
    put_bytes(event, EVENT_FILE_VERSION, "brain.Event:2", strlen("brain.Event:2"));
    return frame(event);
}

TrainSummary *train_summary_new(void)
{
    TrainSummary *summary = g_new0(TrainSummary, 1);
    summary->bytes = g_byte_array_new();
    return summary;
}

void train_summary_free(TrainSummary *summary)
{
    if (!summary)
        return;
    g_byte_array_unref(summary->bytes);
    g_free(summary);
}

void train_summary_scalar(TrainSummary *summary, const char *tag, float value)
{
    g_autoptr(GByteArray) message = g_byte_array_new();
    put_bytes(message, VALUE_TAG, tag, strlen(tag));
    put_float(message, VALUE_SIMPLE, value);
    put_bytes(summary->bytes, SUMMARY_VALUE, message->data, message->len);
}

void train_summary_png(TrainSummary *summary, const char *tag, int32_t width, int32_t height,
                       const void *png, size_t n_bytes)
{
    g_autoptr(GByteArray) image = g_byte_array_new(), message = g_byte_array_new();
    put_integer(image, IMAGE_HEIGHT, height);
    put_integer(image, IMAGE_WIDTH, width);
    put_integer(image, IMAGE_COLORSPACE, COLORSPACE_RGB);
    put_bytes(image, IMAGE_ENCODED, png, n_bytes);
    put_bytes(message, VALUE_TAG, tag, strlen(tag));
    put_bytes(message, VALUE_IMAGE, image->data, image->len);
    put_bytes(summary->bytes, SUMMARY_VALUE, message->data, message->len);
}

GByteArray *train_summary_record(const TrainSummary *summary, double wall_time, int64_t step)
{
    g_autoptr(GByteArray) event = g_byte_array_new();
    put_double(event, EVENT_WALL_TIME, wall_time);
    put_integer(event, EVENT_STEP, step);
    put_bytes(event, EVENT_SUMMARY, summary->bytes->data, summary->bytes->len);
    return frame(event);
}
