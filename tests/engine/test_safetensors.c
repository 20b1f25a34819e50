// SPDX-License-Identifier: LGPL-3.0-or-later
// The reader survives any bytes, the writer leaves the old file intact.
#include <cz/model.h>

#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/memory.h>
#include <cz/rng.h>

static char *folder;

static char *write_file(const void *bytes, size_t n)
{
    char *path = g_build_filename(folder, "x.safetensors", NULL);
    g_assert_true(g_file_set_contents(path, bytes, (gssize)n, NULL));
    return path;
}

// A whole file from a header text and a number of data bytes.
static char *write_header(const char *header, size_t n_data)
{
    size_t length = strlen(header);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    for (int i = 0; i < 8; i++) {
        guint8 b = (guint8)((uint64_t)length >> (8 * i));
        g_byte_array_append(bytes, &b, 1);
    }
    g_byte_array_append(bytes, (const guint8 *)header, (guint)length);
    for (size_t i = 0; i < n_data; i++)
        g_byte_array_append(bytes, (const guint8 *)"\1", 1);
    return write_file(bytes->data, bytes->len);
}

static void refused(char *path, const char *words)
{
    g_autofree char *owned = path;
    g_autoptr(GError) error = NULL;
    g_autoptr(CzModelFile) file = cz_model_file_open(owned, &error);
    g_assert_null(file);
    g_assert_error(error, CZ_ERROR, CZ_ERROR_FORMAT);
    if (!strstr(error->message, words))
        g_test_message("expected '%s' in '%s'", words, error->message);
    g_assert_nonnull(strstr(error->message, words));
}

static void reader_refuses_broken_headers(void)
{
#define T(shape, from, to) \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"
    refused(write_file("", 0), "least is 8");
    refused(write_file("\377\377\377\377\377\377\377\377{}", 10), "it says its header");
    refused(write_file("\5\0\0\0\0\0\0\0{}", 10), "it says its header");
    refused(write_header("{", 0), "header, byte");
    refused(write_header("[1]", 0), "not an object");
    refused(write_header("{\"a\":1}", 0), "element type");
    refused(write_header("{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8),
            "element type");
    refused(write_header("{\"a\":" T("[1,1,1,1,1]", "0", "4") "}", 4), "at most 4");
    refused(write_header("{\"a\":" T("[-1]", "0", "4") "}", 4), "dimension 0");
    refused(write_header("{\"a\":" T("[2147483647,2147483647,2147483647]", "0", "4") "}", 4),
            "dimension 2");
    refused(write_header("{\"a\":" T("[2]", "0", "4") "}", 4), "expected 8 bytes");
    refused(write_header("{\"a\":" T("[1]", "8", "4") "}", 4), "rising");
    refused(write_header("{\"a\":" T("[1]", "0", "4") ",\"b\":" T("[1]", "0", "4") "}", 4),
            "hole or overlap");
    refused(write_header("{\"a\":" T("[1]", "4", "8") "}", 8), "hole or overlap");
    refused(write_header("{\"a\":" T("[2]", "0", "8") "}", 4), "truncated");
    refused(write_header("{\"a\":" T("[1]", "0", "4") "}", 8), "tensors fill 4");
    refused(write_header("{\"__metadata__\":{\"k\":1}}", 0), "not a string");
    refused(write_header("{\"a\":" T("[1]", "0", "4") ",\"a\":" T("[1]", "0", "4") "}", 4),
            "header, byte");
}

static void reader_says_which_file_is_missing(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_null(cz_model_file_open("/nonexistent/w.safetensors", &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "/nonexistent/w.safetensors"));
}

static void write_sample(const char *path)
{
    const float a[6] = {1, -2, 3.5f, 0.1f, 65504, -0.0f}, b[1] = {42};
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    cz_model_writer_meta(writer, "colorize.white", "d50");
    g_assert_true(cz_model_writer_add(writer, "a", 2, (int32_t[]){2, 3}, a, CZ_F16, NULL));
    g_assert_true(cz_model_writer_add(writer, "b", 0, NULL, b, CZ_F32, NULL));
    g_assert_false(cz_model_writer_add(writer, "b", 0, NULL, b, CZ_F32, NULL));
    g_assert_true(cz_model_writer_commit(writer, path, NULL));
}

static void what_is_written_is_read(void)
{
    g_autofree char *path = g_build_filename(folder, "rt.safetensors", NULL);
    g_autoptr(GError) error = NULL;
    write_sample(path);
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(cz_model_file_n_tensors(file), ==, 2);
    const CzTensor *a = cz_model_file_find(file, "a");
    g_assert_cmpint(a->rank, ==, 2);
    g_assert_cmpint(a->dims[1], ==, 3);
    float back[6];
    cz_tensor_to_f32(a, back);
    g_assert_cmpfloat(back[1], ==, -2);
    g_assert_cmpfloat_with_epsilon(back[3], 0.1f, 0.1f / 2048);
    g_assert_cmpfloat(back[4], ==, 65504);
    cz_tensor_to_f32(cz_model_file_find(file, "b"), back);
    g_assert_cmpfloat(back[0], ==, 42);
    g_assert_cmpstr(cz_model_file_meta(file, "colorize.white"), ==, "d50");
    g_assert_null(cz_model_file_meta(file, "other"));
    g_assert_null(cz_model_file_find(file, "c"));
}

static void writer_refuses_what_no_header_can_hold(void)
{
    g_autofree char *path = g_build_filename(folder, "odd.safetensors", NULL);
    const float a[2] = {1, 2};
    const int32_t good[1] = {2}, bad[1] = {0}, huge[3] = {INT32_MAX, INT32_MAX, INT32_MAX};
    const struct {
        const char *name;
        int rank;
        const int32_t *dims;
    } cases[] = {{"\377", 1, good}, {"__metadata__", 1, good},
                 {"a", 1, bad},     {"a", 3, huge},
                 {"a", 5, good},    {"a", -1, good}};
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_test_message("case %zu", i);
        g_assert_false(cz_model_writer_add(writer, cases[i].name, cases[i].rank, cases[i].dims, a,
                                           CZ_F32, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_SHAPE);
    }
    g_autoptr(GError) error = NULL;
    cz_fault_arm(CZ_FAULT_MEMORY, 1);
    g_assert_false(cz_model_writer_add(writer, "a", 1, good, a, CZ_F32, &error));
    cz_fault_arm(CZ_FAULT_MEMORY, 0);
    g_assert_error(error, CZ_ERROR, CZ_ERROR_MEMORY);
    g_clear_error(&error);
    // None of that has left a trace, and Latin-1 in metadata does not lose it.
    g_assert_true(cz_model_writer_add(writer, "a", 1, good, a, CZ_F32, NULL));
    cz_model_writer_meta(writer, "title", "Caf\351");
    g_assert_true(cz_model_writer_commit(writer, path, NULL));
    g_autoptr(CzModelFile) file = cz_model_file_open(path, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(cz_model_file_n_tensors(file), ==, 1);
    g_assert_cmpstr(cz_model_file_meta(file, "title"), ==, "Caf\357\277\275");
}

static void reader_survives_any_flipped_bytes(void)
{
    g_autofree char *path = g_build_filename(folder, "fz.safetensors", NULL);
    g_autofree char *bytes = NULL;
    gsize n;
    write_sample(path);
    g_assert_true(g_file_get_contents(path, &bytes, &n, NULL));
    CzRng rng = cz_rng(7, 0);
    unsigned opened = 0, refusals = 0;
    for (int round = 0; round < 4000; round++) {
        g_autofree char *copy = g_memdup2(bytes, n);
        for (uint32_t k = cz_rng_below(&rng, 6) + 1; k > 0; k--)
            copy[cz_rng_below(&rng, (uint32_t)n)] = (char)cz_rng_u32(&rng);
        gsize length = cz_rng_below(&rng, 4) ? n : cz_rng_below(&rng, (uint32_t)n);
        g_autofree char *mutant = write_file(copy, length);
        g_autoptr(GError) error = NULL;
        g_autoptr(CzModelFile) file = cz_model_file_open(mutant, &error);
        g_assert_true((file == NULL) == (error != NULL));
        opened += file != NULL;
        refusals += file == NULL;
        for (size_t i = 0; file && i < cz_model_file_n_tensors(file); i++) {
            float values[8];
            g_assert_cmpuint(cz_model_file_tensor(file, i)->n_elements, <=, 8);
            cz_tensor_to_f32(cz_model_file_tensor(file, i), values);
        }
    }
    g_test_message("%u mutants opened, %u refused", opened, refusals);
    g_assert_cmpuint(refusals, >, 1000);
    g_assert_cmpuint(opened, >, 20); // flips in the data alone are no fault of the format: about 60
}

static void a_failed_write_keeps_the_old_file(void)
{
    g_autofree char *path = g_build_filename(folder, "keep.txt", NULL);
    g_assert_true(cz_file_replace(path, "old", 3, NULL));
    unsigned long n = 0;
    for (bool failed = true; failed;) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = NULL;
        cz_fault_arm(CZ_FAULT_FILE, ++n);
        failed = !cz_file_replace(path, "new", 3, &error);
        cz_fault_arm(CZ_FAULT_FILE, 0);
        g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
        g_assert_cmpstr(text, ==, failed ? "old" : "new");
        g_assert_true(!failed || error->code == CZ_ERROR_IO);
        // Nothing but the sample files lies in the folder: no temporary is left over.
        g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
        for (const char *name; (name = g_dir_read_name(dir));)
            g_assert_false(g_str_has_prefix(name, "keep.txt."));
    }
    g_assert_cmpuint(n, ==, 5); // create, write, sync, replace fail in turn; the fifth succeeds
}

static void an_unwritable_folder_is_a_sentence(void)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(cz_file_replace("/nonexistent/folder/x", "a", 1, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(error->message, "/nonexistent/folder/x"));
}

static void half_floats_round_trip(void)
{
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t half = (uint16_t)h, again;
        float value;
        cz_f16_to_f32(&value, &half, 1);
        cz_f32_to_f16(&again, &value, 1);
        if (value == value && again != half)
            g_test_fail_printf("half 0x%04x came back as 0x%04x", h, again);
    }
    const float odd[] = {65519.9f,   65520.0f,        0x1p-25f,
                         0x1.8p-25f, 1.0f + 0x1p-11f, 1.0f + 0x1.8p-10f};
    const uint16_t expected[] = {0x7bff, 0x7c00, 0x0000, 0x0001, 0x3c00, 0x3c02};
    for (size_t i = 0; i < G_N_ELEMENTS(odd); i++) {
        uint16_t half;
        cz_f32_to_f16(&half, &odd[i], 1);
        g_assert_cmphex(half, ==, expected[i]);
    }
}

static void philox_gives_its_published_numbers(void)
{
    // Random123's known-answer file: philox4x32-10, counter and key all zero.
    const uint32_t expected[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    CzRng rng = cz_rng(0, 0);
    for (int i = 0; i < 4; i++)
        g_assert_cmphex(cz_rng_u32(&rng), ==, expected[i]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    folder = g_dir_make_tmp("colorize-XXXXXX", NULL);
    g_test_add_func("/model/safetensors/reader_refuses_broken_headers",
                    reader_refuses_broken_headers);
    g_test_add_func("/model/safetensors/reader_says_which_file_is_missing",
                    reader_says_which_file_is_missing);
    g_test_add_func("/model/safetensors/what_is_written_is_read", what_is_written_is_read);
    g_test_add_func("/model/safetensors/writer_refuses_what_no_header_can_hold",
                    writer_refuses_what_no_header_can_hold);
    g_test_add_func("/model/safetensors/reader_survives_any_flipped_bytes",
                    reader_survives_any_flipped_bytes);
    g_test_add_func("/model/safetensors/a_failed_write_keeps_the_old_file",
                    a_failed_write_keeps_the_old_file);
    g_test_add_func("/model/safetensors/an_unwritable_folder_is_a_sentence",
                    an_unwritable_folder_is_a_sentence);
    g_test_add_func("/base/tensor/half_floats_round_trip", half_floats_round_trip);
    g_test_add_func("/base/rng/philox_gives_its_published_numbers",
                    philox_gives_its_published_numbers);
    int status = g_test_run();
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    return status;
}
