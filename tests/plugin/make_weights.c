// SPDX-License-Identifier: LGPL-3.0-or-later
// Writes weights that nobody has trained, but that give strong colors:  make_weights ENCODER OUT
#include <stdio.h>
#include <stdlib.h>

#include <cz/unet.h>

// The head starts small for training's sake (cz_unet_start); times this, colors leave the gamut
// here and there.
#define HEAD_GAIN 6.0f

static bool strengthen_head(CzStore *store, GError **error)
{
    CzShape shape;
    if (!cz_store_has(store, "head.weight", &shape)) {
        return false;
    }
    size_t n = cz_shape_count(shape);
    g_autofree float *head = g_new(float, n);
    if (!cz_store_read(store, "head.weight", head, error)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        head[i] *= HEAD_GAIN;
    }
    return cz_store_write(store, "head.weight", head, error);
}

static bool write_weights(const char *encoder, const char *path, GError **error)
{
    g_autoptr(CzEngineDevice) device = cz_device_open("reference", error);
    if (!device) {
        return false;
    }
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    cz_unet_write(&cz_unet_default, writer);
    cz_model_writer_meta(writer, "colorize.working_sizes", "64");
    return cz_unet_start(store, &cz_unet_default, encoder, 1, error) &&
           strengthen_head(store, error) &&
           cz_store_save(store, writer, NULL, false, CZ_F16, error) &&
           cz_model_writer_commit(writer, path, error);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: make_weights ENCODER OUT\n");
        return 2;
    }
    g_autoptr(GError) error = NULL;
    if (!write_weights(argv[1], argv[2], &error)) {
        fprintf(stderr, "make_weights: %s\n", error ? error->message : "no head");
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
