// SPDX-License-Identifier: LGPL-3.0-or-later
// The self-test: devices, the table, and the ops.
#include "selftest.h"

#include <math.h>
#include <string.h>

#include <cz/error.h>
#include <cz/graph.h>

#include "machine.h"
#include "parity.h"
#include "selftest_rows.h"

// ---- the table ----------------------------------------------------------------------------------

static void show(Selftest *test, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void show(Selftest *test, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *said = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_autofree char *text = train_machine_scrub(said);
    g_string_append(test->text, text);
    test->options->show(test->options->user, text);
}

static void show_head(Selftest *test)
{
    show(test, "\n%-32s %-5s %6s %10s %10s  %-22s %s\n", "what", "type", "n", "worst", "bound",
         "unit", "result");
}

static char *number(double value)
{
    return value > 0 || value < 0 ? g_strdup_printf("%.3g", value) : g_strdup("0");
}

void selftest_row(Selftest *test, SelftestRow *row)
{
    // Not a number is beyond every bound.
    bool good = !row->failure && (row->bound <= 0 || row->value <= row->bound);
    g_autofree char *value = row->n > 0 ? number(row->value) : g_strdup("-");
    g_autofree char *bound = row->bound > 0 ? number(row->bound) : g_strdup("-");
    test->n_rows++;
    test->n_failed += !good;
    show(test, "%-32s %-5s %6u %10s %10s  %-22s %s\n", row->what, row->type, row->n, value, bound,
         row->unit, good ? "ok" : "FAILED");
    if (row->failure)
        show(test, "    %s\n", row->failure);
    if (row->note)
        show(test, "    %s\n", row->note);
    g_clear_pointer(&row->failure, g_free);
    g_clear_pointer(&row->note, g_free);
}

// ---- devices ------------------------------------------------------------------------------------

static void close_devices(Selftest *test)
{
    g_clear_pointer(&test->device, cz_device_close);
    g_clear_pointer(&test->right, cz_device_close);
    g_clear_pointer(&test->reference, cz_device_close);
}

void selftest_break(Selftest *test, SelftestRow *row, GError **error)
{
    row->failure = g_strdup((*error)->message);
    g_clear_error(error);
    selftest_row(test, row);
    close_devices(test);
}

static bool open_devices(Selftest *test, GError **error)
{
    if (!test->device)
        test->device = cz_device_open(test->device_id, error);
    if (test->device && !test->right)
        test->right = cz_device_open(test->right_id, error);
    if (test->right && !test->reference)
        test->reference = cz_device_open("reference", error);
    if (test->reference)
        return true;
    close_devices(test);
    return false;
}

bool selftest_open(Selftest *test, SelftestRow *row)
{
    GError *error = NULL;
    if (open_devices(test, &error))
        return true;
    selftest_break(test, row, &error);
    return false;
}

bool selftest_takes(const Selftest *test, CzDtype dtype)
{
    return dtype != CZ_F16 || test->f16;
}

// The first time: which devices these are.
static bool choose_devices(Selftest *test, GError **error)
{
    test->device = cz_device_open(test->options->device, error);
    if (!test->device)
        return false;
    test->device_id = g_strdup(cz_device_info(test->device)->id);
    if (g_str_equal(test->device_id, "reference")) {
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_BACKEND,
                            "the device 'reference' is what others are held against, and no other "
                            "device opens here; see colorizer inspect --devices");
        return false;
    }
    test->f16 = train_parity_takes(&(TrainPair){test->device, test->device}, CZ_F16, NULL);
    test->right_id = g_strdup(g_str_equal(test->device_id, "cpu") ? "reference" : "cpu");
    return open_devices(test, error);
}

static bool is_gpu(const char *id)
{
    return g_str_has_prefix(id, "cuda:");
}

static void show_devices(Selftest *test)
{
    size_t n;
    const char *const *notes;
    const CzDeviceInfo *infos = cz_devices(&n, &notes);
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const char *fast = infos[i].bf16 && infos[i].f16 ? "; BF16 and F16 are fast"
                           : infos[i].bf16               ? "; BF16 is fast"
                           : infos[i].f16                ? "; F16 is fast"
                                                         : "";
        any = any || is_gpu(infos[i].id);
        show(test, "%-12s %s%s", infos[i].id, infos[i].name, fast);
        if (infos[i].free_bytes > 0)
            show(test, "; %zu MiB free", infos[i].free_bytes >> 20);
        show(test, "\n");
    }
    for (; notes && *notes; notes++)
        show(test, "%-12s %s\n", "not here", *notes);
    for (notes = cz_device_details(); *notes; notes++)
        show(test, "%-12s %s\n", "refused", *notes);
    if (!any)
        show(test, "No GPU was found, for the reasons above.\n");
    show(test, "\nTested is %s, held against %s; operations, small network against reference.\n",
         test->device_id, test->right_id);
}

// ---- ops and gradients --------------------------------------------------------------------------

static void show_parity(Selftest *test, const char *what, CzDtype dtype, TrainParity *found)
{
    unsigned n = train_parity_n_failed(found);
    SelftestRow row = {.what = what,
                       .type = cz_dtype_name(dtype),
                       .n = found->n,
                       .value = found->worst,
                       .bound = 1,
                       .unit = "of its rounding bound",
                       .failure = g_strdup(train_parity_failure(found))};
    if (n > 1)
        row.note = g_strdup_printf("and %u more", n - 1);
    else if (found->n_refused > 0)
        row.note = g_strdup_printf("%u more in no such type", found->n_refused);
    bool broken = found->broken;
    selftest_row(test, &row);
    train_parity_clear(found);
    if (broken)
        close_devices(test);
}

static void check_op(Selftest *test, const CzOpClass *op, CzDtype dtype)
{
    TrainParity found = {0};
    SelftestRow row = {.what = op->name, .type = cz_dtype_name(dtype), .bound = 1, .unit = "-"};
    if (!selftest_open(test, &row))
        return;
    train_parity_op(&(TrainPair){test->reference, test->device}, op, dtype, &found);
    if (found.n > 0 || train_parity_n_failed(&found) > 0)
        show_parity(test, op->name, dtype, &found);
}

static void check_ops(Selftest *test)
{
    for (CzDtype dtype = CZ_F32; dtype <= CZ_F16; dtype++)
        for (int op = 0; selftest_takes(test, dtype) && op < CZ_N_OPS; op++)
            check_op(test, cz_op_class((CzOp)op), dtype);
}

typedef void (*Check)(const TrainPair *pair, CzDtype dtype, TrainParity *found);

static void check_network(const TrainPair *pair, CzDtype dtype, TrainParity *found)
{
    train_parity_network(pair, dtype, false, found);
    train_parity_network(pair, dtype, true, found);
}

static void check_gradients(const TrainPair *pair, CzDtype dtype, TrainParity *found)
{
    if (dtype == CZ_F32)
        train_parity_gradients(pair, found);
    else
        train_parity_half_gradients(pair, dtype, found);
}

static void check_networks(Selftest *test)
{
    static const struct {
        const char *what;
        CzDtype dtype;
        Check check;
    } checks[] = {
        {"small network", CZ_F32, check_network},    {"small network", CZ_BF16, check_network},
        {"small network", CZ_F16, check_network},    {"its gradients", CZ_F32, check_gradients},
        {"its gradients", CZ_BF16, check_gradients}, {"its gradients", CZ_F16, check_gradients},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(checks); i++) {
        TrainParity found = {0};
        SelftestRow row = {.what = checks[i].what,
                           .type = cz_dtype_name(checks[i].dtype),
                           .bound = 1,
                           .unit = "-"};
        if (!selftest_takes(test, checks[i].dtype) || !selftest_open(test, &row))
            continue;
        checks[i].check(&(TrainPair){test->reference, test->device}, checks[i].dtype, &found);
        show_parity(test, checks[i].what, checks[i].dtype, &found);
    }
}

// ---- all of it ----------------------------------------------------------------------------------

static void run(Selftest *test, bool *passed)
{
    g_autofree char *machine = train_machine_text();
    show(test, "%s", machine);
    show_devices(test);
    show_head(test);
    check_ops(test);
    check_networks(test);
    selftest_training(test);
    selftest_weights(test);
    if (!test->options->quick)
        selftest_pace(test);
    *passed = test->n_failed == 0;
    if (*passed)
        show(test, "\nAll %u rows are within their bounds.\n", test->n_rows);
    else
        show(test, "\n%u of %u rows FAILED.\n", test->n_failed, test->n_rows);
}

char *train_selftest(const TrainSelftestOptions *options, bool *passed, GError **error)
{
    Selftest test = {.options = options};
    char *text = NULL;
    if (choose_devices(&test, error)) {
        test.text = g_string_new(NULL);
        run(&test, passed);
        text = g_string_free(test.text, FALSE);
    }
    close_devices(&test);
    g_free(test.device_id);
    g_free(test.right_id);
    return text;
}
