// SPDX-License-Identifier: LGPL-3.0-or-later
// Aligned, counted memory that may fail, and the counters that make it fail in tests.
#include <cz/memory.h>

#include <stdatomic.h>
#include <stdlib.h>

#include <cz/error.h>

#define ALIGNMENT 64u

static atomic_size_t held_now, held_most;

// Only tests write these, through cz_fault_arm(); unarmed they cost one load.
static struct {
    atomic_ulong seen, due;
} faults[CZ_FAULT_KINDS];

bool cz_fault(CzFault kind)
{
    if (atomic_load_explicit(&faults[kind].due, memory_order_relaxed) == 0)
        return false;
    unsigned long call = atomic_fetch_add(&faults[kind].seen, 1) + 1;
    return call == atomic_load(&faults[kind].due);
}

unsigned long cz_fault_arm(CzFault kind, unsigned long n)
{
    unsigned long seen = atomic_exchange(&faults[kind].seen, 0);
    atomic_store(&faults[kind].due, n);
    return seen;
}

static void count_up(size_t n_bytes)
{
    size_t now = atomic_fetch_add(&held_now, n_bytes) + n_bytes;
    size_t most = atomic_load(&held_most);
    while (now > most && !atomic_compare_exchange_weak(&held_most, &most, now))
        ;
}

// The size is kept in front of the block, in a line of its own so that the block stays aligned.
void *cz_memory_alloc(size_t n_bytes, const char *what, GError **error)
{
    gsize padded;
    char *block = NULL;
    if (!cz_fault(CZ_FAULT_MEMORY) && g_size_checked_add(&padded, n_bytes, 2 * ALIGNMENT - 1))
        block = aligned_alloc(ALIGNMENT, padded / ALIGNMENT * ALIGNMENT);
    if (!block) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_MEMORY,
                    "out of memory: cannot allocate %zu bytes for %s", n_bytes, what);
        return NULL;
    }
    *(size_t *)block = n_bytes;
    count_up(n_bytes);
    return block + ALIGNMENT;
}

void cz_memory_free(void *memory)
{
    if (!memory)
        return;
    char *block = (char *)memory - ALIGNMENT;
    atomic_fetch_sub(&held_now, *(size_t *)block);
    free(block);
}

size_t cz_memory_now(void)
{
    return atomic_load(&held_now);
}

size_t cz_memory_peak(void)
{
    return atomic_load(&held_most);
}
