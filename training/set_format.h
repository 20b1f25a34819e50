// SPDX-License-Identifier: LGPL-3.0-or-later
// Numbers of the set's format that reader and writer share (described in set.h).
#pragma once

#include <stdint.h>
#include <string.h>

#include <glib.h>

#define SET_MAGIC        "czset\r\n\032"
#define SET_VERSION      1u
#define SET_HEADER_BYTES 64u
#define SET_ENTRY_BYTES  32u

static inline void put_u32(uint8_t *dst, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(dst, &value, sizeof value);
}

static inline void put_u64(uint8_t *dst, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(dst, &value, sizeof value);
}

static inline uint32_t get_u32(const uint8_t *src)
{
    uint32_t value;

    memcpy(&value, src, sizeof value);
    return GUINT32_FROM_LE(value);
}

static inline uint64_t get_u64(const uint8_t *src)
{
    uint64_t value;

    memcpy(&value, src, sizeof value);
    return GUINT64_FROM_LE(value);
}

// First eight bytes of the checksum, which is closed and freed.
static inline uint64_t checksum_finish(GChecksum *sum)
{
    uint8_t digest[32];
    gsize n = sizeof digest;

    g_checksum_get_digest(sum, digest, &n);
    g_checksum_free(sum);
    return get_u64(digest);
}
