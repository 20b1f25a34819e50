// SPDX-License-Identifier: LGPL-3.0-or-later
// TensorBoard's files, decoded by other means: framing, checksums, protocol buffers.
#include <stdbool.h>
#include <string.h>

#include <glib.h>

#include "tensorboard.h"

// ---- checksums ----------------------------------------------------------------------------------

// RFC 3720, appendix B.4, and the check value of CRC-32C in the catalogue of CRCs.
static void crc_is_that_of_the_rfc(void)
{
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

    for (int i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    g_assert_cmphex(train_crc32c(zeros, 32), ==, 0x8a9136aa);
    g_assert_cmphex(train_crc32c(ones, 32), ==, 0x62a8ab43);
    g_assert_cmphex(train_crc32c(up, 32), ==, 0x46dd794e);
    g_assert_cmphex(train_crc32c(down, 32), ==, 0x113fdb5c);
    g_assert_cmphex(train_crc32c("123456789", 9), ==, 0xe3069283);
    g_assert_cmphex(train_crc32c("", 0), ==, 0);
}

// By arithmetic: 0xe3069283 turned right by 15 bits is 0x2507c60d, plus 0xa282ead8.
static void masks_turn_and_add(void)
{
    g_assert_cmphex(train_crc32c_masked(0xe3069283), ==, 0xc78ab0e5);
    g_assert_cmphex(train_crc32c_masked(0), ==, 0xa282ead8);
}

// ---- a reader of its own ------------------------------------------------------------------------

typedef struct {
    const uint8_t *at, *end;
} Bytes;

static uint64_t fixed(Bytes *bytes, int n)
{
    uint64_t value = 0;

    g_assert_cmpint(bytes->end - bytes->at, >=, n);
    for (int i = 0; i < n; i++)
        value |= (uint64_t)bytes->at[i] << (8 * i);
    bytes->at += n;
    return value;
}

static uint64_t varint(Bytes *bytes)
{
    uint64_t value = 0;
    int shift = 0;

    do {
        g_assert_cmpint(shift, <, 64);
        value |= (uint64_t)(*bytes->at & 0x7f) << shift;
        shift += 7;
    } while (*bytes->at++ & 0x80 && bytes->at < bytes->end);
    return value;
}

// One field: its number, and its value or its bytes.
static int field(Bytes *bytes, uint64_t *value, Bytes *inside)
{
    uint64_t key = varint(bytes);

    switch (key & 7) {
    case 0:
        *value = varint(bytes);
        break;
    case 1:
        *value = fixed(bytes, 8);
        break;
    case 5:
        *value = fixed(bytes, 4);
        break;
    default:
        g_assert_cmpuint(key & 7, ==, 2);
        *value = varint(bytes);
        *inside = (Bytes){bytes->at, bytes->at + *value};
        bytes->at += *value;
        g_assert_true(bytes->at <= bytes->end);
    }
    return (int)(key >> 3);
}

static Bytes open_record(const GByteArray *record)
{
    Bytes bytes = {record->data, record->data + record->len};
    uint64_t length = fixed(&bytes, 8);

    g_assert_cmphex(fixed(&bytes, 4), ==, train_crc32c_masked(train_crc32c(record->data, 8)));
    g_assert_cmpuint(record->len, ==, 8 + 4 + length + 4);
    Bytes data = {bytes.at, bytes.at + length};
    bytes.at += length;
    g_assert_cmphex(fixed(&bytes, 4), ==, train_crc32c_masked(train_crc32c(data.at, length)));
    return data;
}

static bool is(Bytes bytes, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(bytes.end - bytes.at) == n && memcmp(bytes.at, text, n) == 0;
}

static void the_first_record_names_the_version(void)
{
    g_autoptr(GByteArray) record = train_events_head(1.5);
    Bytes event = open_record(record), text = {0};
    uint64_t value;
    double time = 1.5;

    g_assert_cmpint(field(&event, &value, &text), ==, 1);
    g_assert_cmpmem(&value, 8, &time, 8);
    g_assert_cmpint(field(&event, &value, &text), ==, 3);
    g_assert_true(is(text, "brain.Event:2"));
    g_assert_true(event.at == event.end);
}

static void scalars_come_back(void)
{
    static const struct {
        const char *tag;
        float value;
    } cases[] = {{"loss/total", 0.1f}, {"critic/logit_fake", -3.5e-20f}, {"", 1e30f}};
    g_autoptr(TrainSummary) summary = train_summary_new();
    uint64_t value;
    Bytes inside = {0}, tag = {0};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        train_summary_scalar(summary, cases[i].tag, cases[i].value);
    g_autoptr(GByteArray) record = train_summary_record(summary, 2, 300);
    Bytes event = open_record(record);
    g_assert_cmpint(field(&event, &value, &inside), ==, 1);
    g_assert_cmpint(field(&event, &value, &inside), ==, 2);
    g_assert_cmpuint(value, ==, 300);
    g_assert_cmpint(field(&event, &value, &inside), ==, 5);
    g_assert_true(event.at == event.end);
    Bytes values = inside;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_assert_cmpint(field(&values, &value, &inside), ==, 1);
        g_assert_cmpint(field(&inside, &value, &tag), ==, 1);
        g_assert_true(is(tag, cases[i].tag));
        g_assert_cmpint(field(&inside, &value, &tag), ==, 2);
        g_assert_cmpmem(&value, 4, &cases[i].value, 4);
        g_assert_true(inside.at == inside.end);
    }
    g_assert_true(values.at == values.end);
}

static void pictures_come_back(void)
{
    g_autoptr(TrainSummary) summary = train_summary_new();
    g_autofree char *png = g_strnfill(70000, 'x'); // a length of three bytes
    uint64_t value;
    Bytes inside = {0}, values = {0}, picture = {0}, data = {0};

    train_summary_png(summary, "sheet", 1180, 640, png, 70000);
    g_autoptr(GByteArray) record = train_summary_record(summary, 2, 1);
    Bytes event = open_record(record);
    for (int i = 0; i < 3; i++)
        field(&event, &value, &values);
    g_assert_cmpint(field(&values, &value, &inside), ==, 1);
    g_assert_cmpint(field(&inside, &value, &picture), ==, 1);
    g_assert_cmpint(field(&inside, &value, &picture), ==, 4);
    g_assert_cmpint(field(&picture, &value, &data), ==, 1);
    g_assert_cmpuint(value, ==, 640);
    g_assert_cmpint(field(&picture, &value, &data), ==, 2);
    g_assert_cmpuint(value, ==, 1180);
    g_assert_cmpint(field(&picture, &value, &data), ==, 3);
    g_assert_cmpuint(value, ==, 3);
    g_assert_cmpint(field(&picture, &value, &data), ==, 4);
    g_assert_cmpmem(data.at, data.end - data.at, png, 70000);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/tensorboard/" #name, name)
    ADD(crc_is_that_of_the_rfc);
    ADD(masks_turn_and_add);
    ADD(the_first_record_names_the_version);
    ADD(scalars_come_back);
    ADD(pictures_come_back);
    return g_test_run();
}
