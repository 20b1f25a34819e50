// SPDX-License-Identifier: LGPL-3.0-or-later
// Named tensors: reading back, order, files turned from OIHW and back, errors that name the tensor.
#include <cz/plan.h>

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/memory.h>

static char *folder;

static CzEngineDevice *reference(void)
{
    g_autoptr(GError) error = NULL;
    CzEngineDevice *device = cz_device_open("reference", &error);
    g_assert_no_error(error);
    return device;
}

static void expect_error(GError **error, int code, const char *words)
{
    g_assert_error(*error, CZ_ERROR, code);
    if (!*error || !strstr((*error)->message, words))
        g_test_fail_printf("expected '%s' in '%s'", words, *error ? (*error)->message : "");
    g_clear_error(error);
}

static void what_is_added_is_read_back_in_order(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(GError) error = NULL;
    CzShape s = {1, 3, 1, 1}, found;
    float data[3];
    g_assert_true(cz_store_add(store, "b", s, (float[]){1, 2, 3}, &error));
    g_assert_true(cz_store_add(store, "a", s, NULL, &error));
    g_assert_true(cz_store_add(store, "b", s, (float[]){4, 5, 6}, &error)); // overwrites
    g_assert_cmpuint(cz_store_n(store), ==, 2);
    g_assert_cmpstr(cz_store_name(store, 0), ==, "b");
    g_assert_cmpstr(cz_store_name(store, 1), ==, "a");
    g_assert_true(cz_store_has(store, "a", &found));
    g_assert_true(cz_shape_equal(found, s));
    g_assert_false(cz_store_has(store, "c", &found));
    g_assert_true(cz_store_read(store, "b", data, &error));
    g_assert_cmpfloat(data[2], ==, 6);
    g_assert_true(cz_store_read(store, "a", data, &error));
    g_assert_cmpfloat(data[1], ==, 0);
    g_assert_true(cz_store_write(store, "a", (float[]){7, 8, 9}, &error));
    g_assert_true(cz_store_read(store, "a", data, &error));
    g_assert_cmpfloat(data[1], ==, 8);
    g_assert_no_error(error);
}

static void wrong_shapes_and_names_are_named(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    GError *error = NULL;
    float data[4];
    cz_store_add(store, "w", cz_shape(1, 4, 1, 1), NULL, NULL);
    g_assert_false(cz_store_add(store, "w", cz_shape(1, 1, 4, 1), NULL, &error));
    expect_error(&error, CZ_ERROR_MODEL, "tensor 'w': expected 1x4x1x1, found 1x1x4x1");
    g_assert_false(cz_store_add(store, "v", cz_shape(1, 0, 4, 1), NULL, &error));
    expect_error(&error, CZ_ERROR_SHAPE, "tensor 'v'");
    g_assert_false(cz_store_read(store, "u", data, &error));
    expect_error(&error, CZ_ERROR_MODEL, "tensor 'u': not in the store");
    g_assert_false(cz_store_write(store, "u", data, &error));
    expect_error(&error, CZ_ERROR_MODEL, "tensor 'u'");
    g_assert_cmpuint(cz_store_n(store), ==, 1);
}

// Element (o, i, y, x) of every filter below is 1000 o + 100 i + 10 y + x.
static float number_at(int o, int i, int y, int x)
{
    return (float)(1000 * o + 100 * i + 10 * y + x);
}

static CzModelFile *write_model(const char *name, int rank)
{
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autoptr(GError) error = NULL;
    float filter[2 * 3 * 4 * 5];
    for (int k = 0; k < 120; k++)
        filter[k] = number_at(k / 60, k / 20 % 3, k / 5 % 4, k % 5);
    cz_model_writer_add(writer, "net.filter", 4, (int32_t[]){2, 3, 4, 5}, filter, CZ_F32, &error);
    cz_model_writer_add(writer, "net.bias", 1, (int32_t[]){2}, filter, CZ_F16, &error);
    cz_model_writer_add(writer, "step", 0, NULL, filter + 7, CZ_F32, &error);
    if (rank)
        cz_model_writer_add(writer, "odd", rank, (int32_t[]){2, 3, 4}, filter, CZ_F32, &error);
    cz_model_writer_commit(writer, path, &error);
    CzModelFile *file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    return file;
}

static void files_are_turned_to_channels_last_and_back(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzModelFile) file = write_model("a.safetensors", 0);
    g_autoptr(GError) error = NULL;
    CzShape s;
    float data[120];
    g_assert_true(cz_store_load(store, file, &error));
    g_assert_true(cz_store_has(store, "net.filter", &s));
    g_assert_true(cz_shape_equal(s, cz_shape(2, 3, 4, 5)));
    cz_store_read(store, "net.filter", data, &error);
    for (int k = 0; k < 120; k++) // memory: o, y, x, i
        g_assert_cmpfloat(data[k], ==, number_at(k / 60, k % 3, k / 15 % 4, k / 3 % 5));
    g_assert_true(cz_store_has(store, "net.bias", &s) && cz_shape_equal(s, cz_shape(1, 2, 1, 1)));
    g_assert_true(cz_store_has(store, "step", &s) && cz_shape_equal(s, cz_shape(1, 1, 1, 1)));

    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    g_autofree char *path = g_build_filename(folder, "b.safetensors", NULL);
    g_assert_true(cz_store_save(store, writer, "net.", true, CZ_F32, &error));
    g_assert_true(cz_model_writer_commit(writer, path, &error));
    g_autoptr(CzModelFile) again = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(cz_model_file_n_tensors(again), ==, 2);
    const CzTensor *filter = cz_model_file_find(again, "filter");
    const CzTensor *bias = cz_model_file_find(again, "bias");
    g_assert_true(filter && bias && filter->rank == 4 && bias->rank == 1 && bias->dims[0] == 2);
    g_assert_true(filter->dims[1] == 3 && filter->dims[2] == 4 && filter->dims[3] == 5);
    cz_tensor_to_f32(filter, data);
    for (int k = 0; k < 120; k++)
        g_assert_cmpfloat(data[k], ==, number_at(k / 60, k / 20 % 3, k / 5 % 4, k % 5));
}

static void prefixes_choose_and_may_be_kept(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    g_autofree char *path = g_build_filename(folder, "c.safetensors", NULL);
    g_autoptr(GError) error = NULL;
    cz_store_add(store, "ema.w", cz_shape(1, 1, 1, 1), (float[]){1.0f / 3}, &error);
    cz_store_add(store, "w", cz_shape(1, 1, 1, 1), (float[]){2}, &error);
    g_assert_true(cz_store_save(store, writer, "ema.", false, CZ_F16, &error));
    g_assert_true(cz_store_save(store, writer, "w", false, CZ_BF16, &error));
    g_assert_false(cz_store_save(store, writer, NULL, false, CZ_F32, NULL)); // names twice
    g_assert_true(cz_model_writer_commit(writer, path, &error));
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    float value = 0;
    const CzTensor *w = cz_model_file_find(file, "ema.w");
    g_assert_true(w && w->dtype == CZ_F16);
    cz_tensor_to_f32(w, &value);
    g_assert_cmpfloat_with_epsilon(value, 1.0f / 3, 1.0f / 3 / 2048);
    g_assert_nonnull(cz_model_file_find(file, "w"));
}

static void unfit_files_are_refused(void)
{
    g_autoptr(CzEngineDevice) device = reference();
    GError *error = NULL;
    for (int rank = 2; rank <= 3; rank++) {
        g_autoptr(CzStore) store = cz_store_new(device);
        g_autoptr(CzModelFile) file = write_model("d.safetensors", rank);
        g_assert_false(cz_store_load(store, file, &error));
        g_assert_nonnull(strstr(error->message, "d.safetensors: "));
        expect_error(&error, CZ_ERROR_MODEL, "tensor 'odd': expected rank 4, 1 or 0, found");
        g_assert_cmpuint(cz_store_n(store), ==, 0); // not those before it either
    }
    g_autoptr(CzStore) store = cz_store_new(device);
    g_autoptr(CzModelFile) file = write_model("d.safetensors", 0);
    cz_store_add(store, "net.bias", cz_shape(1, 9, 1, 1), NULL, NULL);
    g_assert_false(cz_store_load(store, file, &error));
    expect_error(&error, CZ_ERROR_MODEL, "tensor 'net.bias': expected 1x9x1x1, found 1x2x1x1");
    g_assert_cmpuint(cz_store_n(store), ==, 1);
}

static void nothing_is_left_over(void)
{
    size_t before = cz_memory_now();
    {
        g_autoptr(CzEngineDevice) device = reference();
        g_autoptr(CzStore) store = cz_store_new(device);
        g_autoptr(CzModelFile) file = write_model("e.safetensors", 0);
        g_assert_true(cz_store_load(store, file, NULL));
        g_assert_cmpuint(cz_memory_now(), >, before);
    }
    g_assert_cmpuint(cz_memory_now(), ==, before);
    cz_store_free(NULL);
    cz_device_close(NULL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    folder = g_dir_make_tmp("colorize-XXXXXX", NULL);
#define CASE(name) g_test_add_func("/plan/store/" #name, name)
    CASE(what_is_added_is_read_back_in_order);
    CASE(wrong_shapes_and_names_are_named);
    CASE(files_are_turned_to_channels_last_and_back);
    CASE(prefixes_choose_and_may_be_kept);
    CASE(unfit_files_are_refused);
    CASE(nothing_is_left_over);
    int status = g_test_run();
    for (const char *name = "abcde"; *name; name++) {
        g_autofree char *path = g_strdup_printf("%s/%c.safetensors", folder, *name);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
    return status;
}
