// SPDX-License-Identifier: LGPL-3.0-or-later
// A double of the CUDA driver: memory. Addresses are the host's, so that kernels built for the
// host can use them; guard bytes on both sides tell what kernels should not have done.
#include "double_cuda.h"

#include <stdlib.h>
#include <string.h>

enum {
    GUARD = 256, // bytes on either side; also the driver's alignment
    GUARD_BYTE = 0xfd,
    FRESH_BYTE = 0xcd,
    FREED_BYTE = 0xdd,
};

// Freed memory stays readable for a while, so that late accesses are told and not a crash.
static const size_t MAX_QUARANTINE = 64u << 20;

typedef struct {
    uint8_t *base, *data;
    size_t n_bytes;
    bool host, told;
} Block;

static struct {
    GPtrArray *live, *freed;
    size_t limit, used, peak, quarantined;
} memory;

static void block_free(void *pointer)
{
    Block *block = pointer;
    free(block->base);
    g_free(block);
}

void double_memory_reset(size_t limit)
{
    g_clear_pointer(&memory.live, g_ptr_array_unref);
    g_clear_pointer(&memory.freed, g_ptr_array_unref);
    memset(&memory, 0, sizeof memory);
    memory.limit = limit;
    if (limit == 0)
        return;
    memory.live = g_ptr_array_new_with_free_func(block_free);
    memory.freed = g_ptr_array_new_with_free_func(block_free);
}

void double_set_memory(size_t n_bytes)
{
    memory.limit = n_bytes;
}

size_t double_memory_used(void)
{
    return memory.used;
}

size_t double_memory_peak(void)
{
    return memory.peak;
}

unsigned double_memory_alive(bool host)
{
    unsigned n_alive = 0;
    for (unsigned i = 0; i < memory.live->len; i++) {
        const Block *block = g_ptr_array_index(memory.live, i);
        n_alive += block->host == host;
    }
    return n_alive;
}

static size_t count_bytes(const uint8_t *bytes, size_t n, uint8_t value)
{
    size_t count = 0;
    while (count < n && bytes[count] == value)
        count++;
    return count;
}

static void check_guards(Block *block)
{
    if (block->told)
        return;
    const uint8_t *behind = block->data + block->n_bytes;
    size_t good = count_bytes(behind, GUARD, GUARD_BYTE);
    if (good < GUARD)
        double_complain("written %zu bytes behind an allocation of %zu", good, block->n_bytes);
    size_t before = count_bytes(block->data - GUARD, GUARD, GUARD_BYTE);
    if (before < GUARD)
        double_complain("written before an allocation of %zu bytes", block->n_bytes);
    block->told = good < GUARD || before < GUARD;
}

static void check_freed(Block *block)
{
    size_t good = count_bytes(block->data, block->n_bytes, FREED_BYTE);
    if (good < block->n_bytes && !block->told)
        double_complain("written at byte %zu of freed memory of %zu bytes", good, block->n_bytes);
    block->told |= good < block->n_bytes;
}

void double_check_memory(void)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&double_lock);
    for (unsigned i = 0; i < memory.live->len; i++)
        check_guards(g_ptr_array_index(memory.live, i));
}

static Block *find_block(const GPtrArray *blocks, uint64_t address, size_t n_bytes)
{
    for (unsigned i = 0; i < blocks->len; i++) {
        Block *block = g_ptr_array_index(blocks, i);
        uint64_t first = (uintptr_t)block->data;
        if (address >= first && address <= first + block->n_bytes &&
            n_bytes <= first + block->n_bytes - address)
            return block;
    }
    return NULL;
}

bool double_memory_contains(uint64_t address, size_t n_bytes)
{
    g_autoptr(GRecMutexLocker) locker = g_rec_mutex_locker_new(&double_lock);
    const Block *block = find_block(memory.live, address, n_bytes);
    return block != NULL && !block->host;
}

bool double_host_usable(const void *host, size_t n_bytes, const char *caller)
{
    uint64_t address = (uintptr_t)host;
    const Block *block = find_block(memory.live, address, n_bytes);
    if (block != NULL && !block->host) {
        double_complain("%s: an address of the device where one of the host belongs", caller);
        return false;
    }
    if (block == NULL && n_bytes > 0 && find_block(memory.freed, address, n_bytes) != NULL) {
        double_complain("%s: host memory after its end", caller);
        return false;
    }
    return true;
}

static CUresult allocate(size_t n_bytes, bool host, void **address)
{
    if (n_bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    size_t room = host ? SIZE_MAX / 2 : memory.limit - MIN(memory.limit, memory.used);
    if (n_bytes > room)
        return CUDA_ERROR_OUT_OF_MEMORY;
    // The payload ends where it ends: the guard behind it starts at an odd byte if need be.
    size_t total = (n_bytes + 3 * GUARD - 1) / GUARD * GUARD;
    uint8_t *base = aligned_alloc(GUARD, total);
    if (base == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memset(base, GUARD_BYTE, total);
    memset(base + GUARD, FRESH_BYTE, n_bytes);
    Block *block = g_new0(Block, 1);
    *block = (Block){.base = base, .data = base + GUARD, .n_bytes = n_bytes, .host = host};
    g_ptr_array_add(memory.live, block);
    if (!host)
        memory.used += n_bytes;
    memory.peak = MAX(memory.peak, memory.used);
    *address = block->data;
    return CUDA_SUCCESS;
}

static void quarantine(Block *block)
{
    check_guards(block);
    memset(block->data, FREED_BYTE, block->n_bytes);
    g_ptr_array_add(memory.freed, block);
    memory.quarantined += block->n_bytes;
    while (memory.quarantined > MAX_QUARANTINE && memory.freed->len > 0) {
        Block *oldest = g_ptr_array_index(memory.freed, 0);
        check_freed(oldest);
        memory.quarantined -= oldest->n_bytes;
        g_ptr_array_remove_index(memory.freed, 0);
    }
}

static CUresult release(uint64_t address, bool host, const char *caller)
{
    for (unsigned i = 0; i < memory.live->len; i++) {
        Block *block = g_ptr_array_index(memory.live, i);
        if ((uintptr_t)block->data != address || block->host != host)
            continue;
        g_ptr_array_steal_index_fast(memory.live, i);
        if (!host)
            memory.used -= block->n_bytes;
        quarantine(block);
        return CUDA_SUCCESS;
    }
    bool before = find_block(memory.freed, address, 0) != NULL;
    double_complain("%s: %s", caller, before ? "freed twice" : "this is no allocation's address");
    return CUDA_ERROR_INVALID_VALUE;
}

void double_memory_check_freed(void)
{
    for (unsigned i = 0; i < memory.freed->len; i++)
        check_freed(g_ptr_array_index(memory.freed, i));
}

DOUBLE_EXPORT CUresult cuDeviceTotalMem_v2(size_t *n_bytes, CUdevice device)
{
    ENTER(NEEDS_INIT);
    if (device != 0)
        return CUDA_ERROR_INVALID_DEVICE;
    *n_bytes = memory.limit;
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuMemGetInfo_v2(size_t *n_free, size_t *n_total)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    *n_total = memory.limit;
    *n_free = memory.limit - MIN(memory.limit, memory.used);
    return CUDA_SUCCESS;
}

DOUBLE_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t n_bytes)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE);
    void *data;
    CUresult result = allocate(n_bytes, false, &data);
    if (result == CUDA_SUCCESS)
        *address = (uintptr_t)data;
    return result;
}

// Waits for all work, as the driver does.
DOUBLE_EXPORT CUresult cuMemFree_v2(CUdeviceptr address)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE | RELEASES);
    if (address == 0)
        return entered;
    double_streams_drain();
    CUresult result = release(address, false, __func__);
    return entered != CUDA_SUCCESS ? entered : result;
}

DOUBLE_EXPORT CUresult cuMemHostAlloc(void **address, size_t n_bytes, unsigned flags)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE);
    if (flags > 7)
        return CUDA_ERROR_INVALID_VALUE;
    return allocate(n_bytes, true, address);
}

// Does not wait: nothing promises it. What still wants to use the memory is told when it runs.
DOUBLE_EXPORT CUresult cuMemFreeHost(void *address)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE | RELEASES);
    CUresult result = release((uintptr_t)address, true, __func__);
    return entered != CUDA_SUCCESS ? entered : result;
}

typedef struct {
    void *dst;
    const void *src;
    size_t n_bytes; // a memset's: elements
    uint32_t value;
    unsigned width; // of a memset's element, 0: a copy
    bool dst_host, src_host;
    const char *name;
} Transfer;

static bool usable(const void *address, size_t n_bytes, bool host, const char *name)
{
    if (host)
        return double_host_usable(address, n_bytes, name);
    if (double_memory_contains((uintptr_t)address, n_bytes))
        return true;
    double_complain("%s: %zu bytes at %p are not in one allocation of the device", name, n_bytes,
                    address);
    return false;
}

// A wrong address is found out when the work runs, as on a device.
static void run_transfer(void *data)
{
    const Transfer *transfer = data;
    size_t n_bytes = transfer->n_bytes * MAX(1, transfer->width);
    bool good = usable(transfer->dst, n_bytes, transfer->dst_host, transfer->name);
    if (transfer->width == 0)
        good = usable(transfer->src, n_bytes, transfer->src_host, transfer->name) && good;
    if (!good) {
        double_set_lost(CUDA_ERROR_ILLEGAL_ADDRESS);
    } else if (transfer->width == 0) {
        memmove(transfer->dst, transfer->src, n_bytes);
    } else if (transfer->width == 1) {
        memset(transfer->dst, (int)transfer->value, n_bytes);
    } else {
        for (size_t i = 0; i < transfer->n_bytes; i++)
            ((uint32_t *)transfer->dst)[i] = transfer->value;
    }
    double_clock_advance(1);
}

// Of a source on the host: it has to stay as it is until the copy has run.
static uint64_t sum_source(const void *data)
{
    const Transfer *transfer = data;
    const uint8_t *bytes = transfer->src;
    if (!double_host_usable(bytes, transfer->n_bytes, transfer->name))
        return 0;
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < transfer->n_bytes; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    return sum;
}

static CUresult enqueue(CUstream stream, Transfer transfer)
{
    if (transfer.n_bytes == 0)
        return CUDA_SUCCESS;
    Work work = {run_transfer, g_free, transfer.src_host ? sum_source : NULL, NULL};
    work.data = g_memdup2(&transfer, sizeof transfer);
    return double_enqueue(stream, &work, transfer.name);
}

DOUBLE_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr dst, const void *src, size_t n_bytes,
                                            CUstream stream)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    return enqueue(stream,
                   (Transfer){(void *)(uintptr_t)dst, src, n_bytes, 0, 0, false, true, __func__});
}

DOUBLE_EXPORT CUresult cuMemcpyDtoHAsync_v2(void *dst, CUdeviceptr src, size_t n_bytes,
                                            CUstream stream)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    return enqueue(stream, (Transfer){dst, (const void *)(uintptr_t)src, n_bytes, 0, 0, true, false,
                                      __func__});
}

DOUBLE_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr dst, CUdeviceptr src, size_t n_bytes,
                                            CUstream stream)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    return enqueue(stream, (Transfer){(void *)(uintptr_t)dst, (const void *)(uintptr_t)src, n_bytes,
                                      0, 0, false, false, __func__});
}

DOUBLE_EXPORT CUresult cuMemsetD8Async(CUdeviceptr dst, unsigned char value, size_t n,
                                       CUstream stream)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    return enqueue(stream,
                   (Transfer){(void *)(uintptr_t)dst, NULL, n, value, 1, false, false, __func__});
}

DOUBLE_EXPORT CUresult cuMemsetD32Async(CUdeviceptr dst, unsigned value, size_t n, CUstream stream)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT);
    if (dst % 4 != 0)
        return CUDA_ERROR_INVALID_VALUE;
    return enqueue(stream,
                   (Transfer){(void *)(uintptr_t)dst, NULL, n, value, 4, false, false, __func__});
}

// The synchronous copies: the device's work that came before is waited for.
static CUresult copy_now(Transfer transfer)
{
    double_streams_drain();
    if (double_is_lost())
        return double_lost_code();
    if (transfer.n_bytes > 0)
        run_transfer(&transfer);
    return double_lost_code();
}

DOUBLE_EXPORT CUresult cuMemcpyHtoD_v2(CUdeviceptr dst, const void *src, size_t n_bytes)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE);
    return copy_now((Transfer){(void *)(uintptr_t)dst, src, n_bytes, 0, 0, false, true, __func__});
}

DOUBLE_EXPORT CUresult cuMemcpyDtoH_v2(void *dst, CUdeviceptr src, size_t n_bytes)
{
    ENTER(NEEDS_INIT | NEEDS_CONTEXT | NEEDS_NO_CAPTURE);
    return copy_now(
        (Transfer){dst, (const void *)(uintptr_t)src, n_bytes, 0, 0, true, false, __func__});
}
