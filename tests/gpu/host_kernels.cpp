// SPDX-License-Identifier: LGPL-3.0-or-later
// Threads of a block as fibers (ucontext), so that barriers and shuffles behave as on a device.
//
// Thread 0 of each block always is a fiber. If it ends without meeting a barrier, the others are
// plain calls, which is many times faster; a barrier in one of those is one that thread 0 missed.
#include "host_kernels.h"

#include <csetjmp>
#include <mutex>
#include <ucontext.h>
#include <vector>

#include "cuda_host.h"

#include "kernels_group.cu"
#include "kernels_map.cu"
#include "kernels_move.cu"
#include "kernels_reduce.cu"
#include "kernels_resize.cu"
#include "kernels_train.cu"

HostIndex threadIdx, blockIdx, blockDim, gridDim;

// Of the section that __shared__ names.
extern "C" char __start_cuda_shared[], __stop_cuda_shared[];

namespace
{

enum class Wait { none, barrier, warp, ended };

struct Fiber {
    ucontext_t context; // for the first entry
    jmp_buf point;      // for all others: unlike swapcontext(), no call of the kernel
    bool entered = false;
    std::vector<char> stack;
    HostIndex index;
    Wait wait;
    unsigned n_shuffles; // so far: lanes may be one shuffle apart
    float sent[2];
};

constexpr size_t stack_bytes = 64 * 1024;
constexpr unsigned warp_size = 32;

std::mutex one_caller;
std::vector<Fiber> fibers;
jmp_buf scheduler;
Fiber *current; // NULL: a plain call
void (*running)(const void *args);
const void *running_args;
const char *fault;
const char *last_error = "";

// ---- what a kernel calls ------------------------------------------------------------------------

void wait_for(Wait what)
{
    Fiber *self = current;
    self->wait = what;
    if (_setjmp(self->point) == 0)
        _longjmp(scheduler, 1);
    threadIdx = self->index;
}

void report(const char *sentence)
{
    if (!fault)
        fault = sentence;
}

} // namespace

void host_barrier(void)
{
    if (current)
        wait_for(Wait::barrier);
    else
        report("a barrier that thread 0 of the block does not reach");
}

float host_shuffle_xor(float value, int lane_mask)
{
    if (!current) {
        report("a shuffle that thread 0 of the block does not reach");
        return value;
    }
    Fiber *self = current;
    unsigned slot = self->n_shuffles++ % 2;
    self->sent[slot] = value;
    wait_for(Wait::warp);
    size_t lane = (size_t)(self - fibers.data());
    return fibers[lane ^ (size_t)lane_mask].sent[slot];
}

namespace
{

// ---- one block ----------------------------------------------------------------------------------

// A fiber that has ended a block waits here for the next one.
void fiber_main(void)
{
    for (;;) {
        running(running_args);
        current->wait = Wait::ended;
        if (_setjmp(current->point) == 0)
            _longjmp(scheduler, 1);
    }
}

void make_fiber(Fiber *fiber)
{
    if (fiber->stack.empty())
        fiber->stack.resize(stack_bytes);
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.data();
    fiber->context.uc_stack.ss_size = fiber->stack.size();
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, fiber_main, 0);
    fiber->entered = false;
}

void start_fiber(size_t i)
{
    Fiber *fiber = &fibers[i];
    // One that hangs at a barrier of a block that failed begins anew.
    if (fiber->wait != Wait::ended)
        make_fiber(fiber);
    unsigned row = (unsigned)i / blockDim.x;
    fiber->index = {(unsigned)i % blockDim.x, row % blockDim.y, row / blockDim.y};
    fiber->wait = Wait::none;
    fiber->n_shuffles = 0;
}

void resume(size_t i)
{
    current = &fibers[i];
    threadIdx = current->index;
    if (_setjmp(scheduler) == 0) {
        if (current->entered)
            _longjmp(current->point, 1);
        current->entered = true;
        setcontext(&current->context);
    }
    current = nullptr;
}

size_t count(size_t first, size_t last, Wait wait)
{
    size_t n = 0;
    for (size_t i = first; i < last; i++)
        n += fibers[i].wait == wait;
    return n;
}

// Lets those go on that have come together; false if nobody can.
bool release(size_t n)
{
    bool any = false;
    for (size_t first = 0; first < n; first += warp_size) {
        size_t last = first + warp_size < n ? first + warp_size : n;
        if (count(first, last, Wait::warp) != warp_size)
            continue;
        for (size_t i = first; i < last; i++)
            fibers[i].wait = Wait::none;
        any = true;
    }
    if (!any && count(0, n, Wait::barrier) == n) {
        for (size_t i = 0; i < n; i++)
            fibers[i].wait = Wait::none;
        any = true;
    }
    return any;
}

void run_fibers(size_t n)
{
    for (size_t i = 1; i < n; i++)
        start_fiber(i);
    do {
        for (size_t i = 0; i < n; i++)
            if (fibers[i].wait == Wait::none)
                resume(i);
    } while (release(n));
    if (count(0, n, Wait::ended) != n)
        report("a barrier or shuffle that a part of the block does not reach");
}

void run_block(size_t n)
{
    // A NaN for whatever is read before it is written.
    memset(__start_cuda_shared, 0xff, (size_t)(__stop_cuda_shared - __start_cuda_shared));
    start_fiber(0);
    resume(0);
    if (fibers[0].wait != Wait::ended) {
        run_fibers(n);
        return;
    }
    for (unsigned z = 0; z < blockDim.z; z++)
        for (unsigned y = 0; y < blockDim.y; y++)
            for (unsigned x = z + y == 0; x < blockDim.x; x++) {
                threadIdx = {x, y, z};
                running(running_args);
            }
}

// ---- by name ------------------------------------------------------------------------------------

struct Row {
    const char *name;
    size_t args_bytes;
    void (*function)(const void *args);
};

const Row rows[] = {
#define KERNEL(name, Args) \
    {#name, sizeof(Args), [](const void *args) { name(*static_cast<const Args *>(args)); }},
#include "kernels.def"
#undef KERNEL
};

const Row *find(const char *name)
{
    for (const Row &row : rows)
        if (strcmp(row.name, name) == 0)
            return &row;
    return nullptr;
}

bool failed(const char *sentence)
{
    last_error = sentence;
    return false;
}

} // namespace

bool host_function_run(void (*function)(const void *args), const void *args, const unsigned grid[3],
                       const unsigned block[3])
{
    std::lock_guard<std::mutex> guard(one_caller);
    size_t n = (size_t)block[0] * block[1] * block[2];
    // The limits of every GPU since 2012.
    if (n == 0 || n > 1024 || block[2] > 64)
        return failed("a block that no GPU takes");
    if (!grid[0] || !grid[1] || !grid[2] || grid[0] > 0x7fffffff || grid[1] > 65535 ||
        grid[2] > 65535)
        return failed("a grid that no GPU takes");
    if (fibers.size() < n)
        fibers.resize(n);
    running = function;
    running_args = args;
    fault = nullptr;
    blockDim = {block[0], block[1], block[2]};
    gridDim = {grid[0], grid[1], grid[2]};
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0] && !fault; x++) {
                blockIdx = {x, y, z};
                run_block(n);
            }
    return fault ? failed(fault) : true;
}

bool host_kernel_run(const char *name, const void *args, const unsigned grid[3],
                     const unsigned block[3], size_t shared_bytes)
{
    const Row *row = find(name);
    if (!row)
        return failed("no such kernel");
    if (shared_bytes)
        return failed("dynamic shared memory, which no kernel has");
    return host_function_run(row->function, args, grid, block);
}

const char *host_kernel_error(void)
{
    return last_error;
}

size_t host_kernel_args_bytes(const char *name)
{
    const Row *row = find(name);
    return row ? row->args_bytes : 0;
}

void host_kernel_barrier(void)
{
    host_barrier();
}

float host_kernel_shuffle_xor(float value, int lane_mask)
{
    return host_shuffle_xor(value, lane_mask);
}

unsigned host_kernel_thread(void)
{
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}
