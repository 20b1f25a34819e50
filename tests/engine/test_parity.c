// SPDX-License-Identifier: LGPL-3.0-or-later
// Every device against the reference backend: all ops, all examples, all types, then the network
// and its gradients (training/parity.h).
#include "parity.h"

#include <cz/error.h>
#include <cz/ops.h>

typedef void (*DeviceTest)(CzEngineDevice *reference, CzEngineDevice *device);

static void for_every_device(DeviceTest test)
{
    size_t n, n_tested = 0;
    const CzDeviceInfo *infos = cz_devices(&n, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(CzEngineDevice) reference = cz_device_open("reference", &error);
    g_assert_no_error(error);
    for (size_t i = 0; i < n; i++) {
        if (g_str_equal(infos[i].id, "reference"))
            continue;
        g_autoptr(CzEngineDevice) device = cz_device_open(infos[i].id, &error);
        g_assert_no_error(error);
        g_clear_error(&error);
        if (!device)
            continue;
        test(reference, device);
        n_tested++;
    }
    if (n_tested == 0)
        g_test_skip("no device but the reference opens here");
}

// Tells what was found, and fails by it.
static void settle(const TrainPair *pair, const char *what, CzDtype dtype, const TrainParity *found)
{
    g_test_message("%s, %s: %s, %u compared, worst at %.2f of its bound",
                   cz_device_info(pair->device)->name, cz_dtype_name(dtype), what, found->n,
                   found->worst);
    if (found->n_refused > 0)
        g_test_message("%u examples refused", found->n_refused);
    for (guint i = 0; i < train_parity_n_failed(found); i++)
        g_test_fail_printf("%s", (const char *)found->failures->pdata[i]);
    g_assert_cmpuint(found->n, >, 0);
    g_assert_true(found->worst <= 1 || train_parity_n_failed(found) > 0);
}

static void sweep_ops(CzEngineDevice *reference, CzEngineDevice *device)
{
    const TrainPair pair = {reference, device};
    for (CzDtype dtype = CZ_F32; dtype <= CZ_F16; dtype++) {
        g_autoptr(GError) error = NULL;
        g_auto(TrainParity) found = {0};
        if (dtype == CZ_F16 && !train_parity_takes(&pair, dtype, &error)) {
            g_test_message("no F16: %s", error->message);
            continue;
        }
        for (int op = 0; op < CZ_N_OPS; op++)
            train_parity_op(&pair, cz_op_class((CzOp)op), dtype, &found);
        settle(&pair, "ops", dtype, &found);
        g_assert_cmpuint(found.n, >, CZ_N_OPS / 2);
    }
}

static bool stop_at_once(void *user, double fraction)
{
    g_assert_true(fraction >= 0 && fraction < 0.9);
    ++*(int *)user;
    return false;
}

// Devices may ask as seldom as every 20 ms, so this takes longer.
static void check_cancel(CzEngineDevice *reference, CzEngineDevice *device)
{
    g_autoptr(CzGraph) graph = cz_graph_new();
    g_autoptr(GError) error = NULL;
    int calls = 0;
    CzValue x = cz_input(graph, "x", cz_shape(1, 32, 128, 128)), y = x;
    for (int i = 0; i < 1000; i++)
        y = cz_activation(graph, y, CZ_ACT_TANH);
    g_autoptr(CzPlan) plan = cz_plan_new(device, NULL, graph, &y, 1, NULL, &error);
    g_autofree float *zeros = g_new0(float, 32 * 128 * 128);
    g_assert_true(plan && cz_plan_write(plan, x, zeros, 32 * 128 * 128, &error));
    g_assert_false(cz_plan_run(plan, &(CzProgress){stop_at_once, &calls}, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_CANCELLED);
    g_assert_cmpint(calls, ==, 1);
}

static void every_device_can_be_cancelled(void)
{
    for_every_device(check_cancel);
}

static void every_op_agrees_with_the_reference(void)
{
    for_every_device(sweep_ops);
}

static void check_network(const TrainPair *pair, CzDtype dtype, bool frozen)
{
    g_auto(TrainParity) found = {0};
    train_parity_network(pair, dtype, frozen, &found);
    settle(pair, frozen ? "network, frozen" : "network", dtype, &found);
}

static void check_networks(CzEngineDevice *reference, CzEngineDevice *device)
{
    const TrainPair pair = {reference, device};
    check_network(&pair, CZ_F32, false);
    check_network(&pair, CZ_F32, true);
    check_network(&pair, CZ_BF16, true);
    if (train_parity_takes(&pair, CZ_F16, NULL))
        check_network(&pair, CZ_F16, true);
}

static void the_network_agrees_with_the_reference(void)
{
    for_every_device(check_networks);
}

static void check_gradients(CzEngineDevice *reference, CzEngineDevice *device)
{
    const TrainPair pair = {reference, device};
    g_auto(TrainParity) found = {0};
    train_parity_gradients(&pair, &found);
    settle(&pair, "gradients", CZ_F32, &found);
}

static void its_gradients_agree_with_the_reference(void)
{
    for_every_device(check_gradients);
}

static void check_half_gradients(CzEngineDevice *reference, CzEngineDevice *device)
{
    const TrainPair pair = {reference, device};
    for (CzDtype dtype = CZ_BF16; dtype <= CZ_F16; dtype++) {
        g_auto(TrainParity) found = {0};
        if (dtype == CZ_F16 && !train_parity_takes(&pair, dtype, NULL))
            continue;
        train_parity_half_gradients(&pair, dtype, &found);
        settle(&pair, "gradients", dtype, &found);
    }
}

static void half_gradients_are_as_near_to_f32_as_the_references(void)
{
    for_every_device(check_half_gradients);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(name) g_test_add_func("/backend/parity/" #name, name)
    CASE(every_op_agrees_with_the_reference);
    CASE(every_device_can_be_cancelled);
    CASE(the_network_agrees_with_the_reference);
    CASE(its_gradients_agree_with_the_reference);
    CASE(half_gradients_are_as_near_to_f32_as_the_references);
    return g_test_run();
}
