// SPDX-License-Identifier: LGPL-3.0-or-later
// colorizer inspect: what a weights file holds, and which devices open here.
#include <stdio.h>

#include <cz/generator.h>
#include <cz/model.h>
#include <cz/plan.h>

#include "cli.h"
#include "commands.h"

static void print_devices(bool verbose)
{
    size_t n;
    const char *const *notes;
    const CzDeviceInfo *devices = cz_devices(&n, &notes);
    for (size_t i = 0; i < n; i++)
        printf("%-12s %s%s\n", devices[i].id, devices[i].name,
               devices[i].bf16 ? ", BF16 is fast" : "");
    for (; notes && *notes; notes++)
        printf("%-12s %s\n", "-", *notes);
    for (notes = cz_device_details(); verbose && *notes; notes++)
        printf("%-12s %s\n", "- refused", *notes);
}

static void print_tensor(const CzTensor *tensor, bool list)
{
    g_autoptr(GString) dims = g_string_new(NULL);
    for (int i = 0; i < tensor->rank; i++)
        g_string_append_printf(dims, "%s%d", i ? "x" : "", tensor->dims[i]);
    if (list)
        printf("  %-40s %-5s %s\n", tensor->name, cz_dtype_name(tensor->dtype), dims->str);
}

static bool print_file(const char *path, bool list, GError **error)
{
    g_autoptr(CzModelFile) file = cz_model_file_open(path, error);
    g_autoptr(GError) local = NULL;
    CzGeneratorParams params;
    size_t elements = 0;
    if (!file)
        return false;
    for (const char *const *key = cz_model_file_meta_keys(file); *key; key++)
        printf("%-28s %s\n", *key, cz_model_file_meta(file, *key));
    for (size_t i = 0; i < cz_model_file_n_tensors(file); i++) {
        const CzTensor *tensor = cz_model_file_tensor(file, i);
        elements += tensor->n_elements;
        print_tensor(tensor, list);
    }
    printf("%zu tensors, %.2f million numbers\n", cz_model_file_n_tensors(file),
           (double)elements * 1e-6);
    if (cz_generator_read(&params, file, &local))
        printf("the plug-in can use these weights\n");
    else
        printf("not weights for the plug-in: %s\n", local->message);
    return true;
}

int train_command_inspect(int argc, char **argv)
{
    gboolean devices = FALSE, tensors = FALSE, verbose = FALSE;
    const GOptionEntry entries[] = {
        {"devices", 0, 0, G_OPTION_ARG_NONE, &devices,
         "List the devices that open here, and why others do not", NULL},
        {"verbose", 0, 0, G_OPTION_ARG_NONE, &verbose,
         "With --devices: every library that was found and not taken", NULL},
        {"tensors", 0, 0, G_OPTION_ARG_NONE, &tensors, "List every tensor of the file", NULL},
        {NULL},
    };
    if (!train_cli_parse(&argc, &argv, entries, "FILE.safetensors | --devices",
                         "Tells what a weights file holds: metadata, tensors, and whether the "
                         "plug-in can use it."))
        return TRAIN_USAGE;
    if (argc != (devices ? 1 : 2))
        return train_cli_tell("inspect", TRAIN_USAGE, "expected one weights file, or --devices");
    if (devices) {
        print_devices(verbose);
        return TRAIN_OK;
    }
    GError *error = NULL;
    return print_file(argv[1], tensors, &error) ? TRAIN_OK : train_cli_fail("inspect", &error);
}
