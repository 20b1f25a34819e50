// SPDX-License-Identifier: LGPL-3.0-or-later
// The runner of kernels on the host itself: does it see what it is for?
#include "host_kernels.h"

#include <glib.h>

static void even_threads_wait(const void *args)
{
    if (host_kernel_thread() % 2 == 0)
        host_kernel_barrier();
}

static void odd_threads_wait(const void *args)
{
    if (host_kernel_thread() % 2)
        host_kernel_barrier();
}

static void lanes_add_up(const void *args)
{
    float sum = (float)host_kernel_thread();
    for (int lane = 16; lane > 0; lane /= 2)
        sum += host_kernel_shuffle_xor(sum, lane);
    host_kernel_barrier();
    (*(float *const *)args)[host_kernel_thread()] = sum;
}

static void runner_reports_barriers_that_a_part_skips(void)
{
    const unsigned one[] = {1, 1, 1}, block[] = {8, 4, 2};
    g_assert_false(host_function_run(even_threads_wait, NULL, one, block));
    g_assert_cmpstr(host_kernel_error(), !=, "");
    g_assert_false(host_function_run(odd_threads_wait, NULL, one, block));
    const unsigned large[] = {2048, 1, 1};
    g_assert_false(host_function_run(odd_threads_wait, NULL, one, large));
    g_assert_false(host_kernel_run("no_such_kernel", NULL, one, block, 0));
}

static void runner_shuffles_within_warps(void)
{
    float sums[64] = {0}, *args = sums;
    g_assert_true(
        host_function_run(lanes_add_up, &args, (unsigned[]){1, 1, 1}, (unsigned[]){64, 1, 1}));
    for (int i = 0; i < 64; i++)
        g_assert_cmpfloat(sums[i], ==, i < 32 ? 31 * 16 : 31 * 16 + 32 * 32);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/backend/cudnn/host_kernels/" #name, name)
    CASE(runner_reports_barriers_that_a_part_skips);
    CASE(runner_shuffles_within_warps);
    return g_test_run();
}
