// SPDX-License-Identifier: LGPL-3.0-or-later
// What a file of weights says of its network, and whether it holds the tensors that network needs.
#include "model/net.h"

#include <cz/error.h>

#include <math.h>
#include <string.h>

#define ARCHITECTURE "colorize.architecture"
#define N_INPUTS     "colorize.n_inputs"
#define WIDTHS       "colorize.widths"
#define CONTEXT      "colorize.context"
#define WIDTH        "colorize.width"
#define LEVELS       "colorize.levels"
#define SHARED       "colorize.shared"
#define UNACTIVATED  "colorize.unactivated"
#define DROPOUT      "colorize.dropout"
#define RANGE        "colorize.range"

enum {
    MAX_WIDTH = 4096,
    MAX_PIX2PIX_WIDTH = 512,
    MIN_LEVELS = 4,
    MAX_LEVELS = 9,
    MAX_INPUTS = 16,
    N_WIDTHS = G_N_ELEMENTS(cz_unet_default.widths)
};

static bool refuse(const CzModelFile *file, const char *what, const char *expected,
                   const char *found, GError **error)
{
    g_autofree char *quoted = found ? g_strdup_printf("'%.64s'", found) : g_strdup("none");
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: %s: expected %s, found %s",
                cz_model_file_path(file), what, expected, quoted);
    return false;
}

// A list of exactly n whole numbers from low to high, separated by commas.
static bool parse_numbers(const char *text, int32_t low, int32_t high, int32_t *numbers, size_t n)
{
    if (!text)
        return false;
    g_auto(GStrv) parts = g_strsplit(text, ",", (gint)n + 1);
    if (g_strv_length(parts) != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        gint64 number;
        if (!g_ascii_string_to_signed(parts[i], 10, low, high, &number, NULL))
            return false;
        numbers[i] = (int32_t)number;
    }
    return true;
}

static bool read_numbers(const CzModelFile *file, const char *key, int32_t low, int32_t high,
                         int32_t *numbers, size_t n, GError **error)
{
    const char *text = cz_model_file_meta(file, key);
    if (parse_numbers(text, low, high, numbers, n))
        return true;
    g_autofree char *expected = n == 1 ? g_strdup_printf("a number from %d to %d", low, high)
                                       : g_strdup_printf("%zu numbers from %d to %d", n, low, high);
    return refuse(file, key, expected, text, error);
}

static bool read_float(const CzModelFile *file, const char *key, double low, double high,
                       float *number, GError **error)
{
    const char *text = cz_model_file_meta(file, key);
    char *end = NULL;
    double value = text ? g_ascii_strtod(text, &end) : NAN;
    if (text && end != text && !*end && value >= low && value <= high) {
        *number = (float)value;
        return true;
    }
    g_autofree char *expected = g_strdup_printf("a number from %g to %g", low, high);
    return refuse(file, key, expected, text, error);
}

typedef struct {
    const CzModelFile *file;
    GError **error;
} Check;

// What has one number a channel has rank 1 (biases, normalisation), filters have rank 4.
static bool is_flat(CzShape s)
{
    return s.n == 1 && s.h == 1 && s.w == 1;
}

static bool has_shape(const CzTensor *found, const CzUnetTensor *tensor)
{
    CzShape s = tensor->shape;
    if (is_flat(s))
        return found->rank == 1 && found->dims[0] == s.c;
    return found->rank == 4 && found->dims[0] == s.n && found->dims[1] == s.c &&
           found->dims[2] == s.h && found->dims[3] == s.w;
}

static char *format_dims(const CzTensor *tensor)
{
    GString *text = g_string_new(tensor->rank ? NULL : "a scalar");
    for (int i = 0; i < tensor->rank; i++)
        g_string_append_printf(text, "%s%d", i ? "x" : "", tensor->dims[i]);
    return g_string_free(text, FALSE);
}

static bool check_tensor(void *user, const CzUnetTensor *tensor)
{
    const Check *check = user;
    const CzTensor *found = cz_model_file_find(check->file, tensor->name);
    if (found && has_shape(found, tensor))
        return true;
    CzTensor wanted = {
        .rank = 4, .dims = {tensor->shape.n, tensor->shape.c, tensor->shape.h, tensor->shape.w}};
    if (is_flat(tensor->shape))
        wanted = (CzTensor){.rank = 1, .dims = {tensor->shape.c}};
    g_autofree char *expected_text = format_dims(&wanted);
    g_autofree char *found_text = found ? format_dims(found) : g_strdup("none");
    g_set_error(check->error, CZ_ERROR, CZ_ERROR_MODEL, "%s: tensor '%s': expected %s, found %s",
                cz_model_file_path(check->file), tensor->name, expected_text, found_text);
    return false;
}

// Keys that only networks with something beyond the first one's have.
static const struct {
    const char *key;
    size_t offset;
    int32_t low, high;
} options[] = {
    {"colorize.stride", offsetof(CzUnetParams, stride), 2, 4},
    {"colorize.attention", offsetof(CzUnetParams, attention), 4, 32},
    {"colorize.depth", offsetof(CzUnetParams, depth), 4, 5},
    {"colorize.blocks", offsetof(CzUnetParams, blocks), 1, 4},
    {"colorize.norm", offsetof(CzUnetParams, norm), CZ_NORM_BATCH, CZ_NORM_INSTANCE},
    {"colorize.concat", offsetof(CzUnetParams, concat), 0, 1},
    {"colorize.affine", offsetof(CzUnetParams, affine), 0, 1},
};

static bool read_options(CzUnetParams *params, const CzModelFile *file, GError **error)
{
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        int32_t *at = (int32_t *)((char *)params + options[i].offset);
        if (cz_model_file_meta(file, options[i].key) &&
            !read_numbers(file, options[i].key, options[i].low, options[i].high, at, 1, error))
            return false;
    }
    if (cz_model_file_meta(file, DROPOUT) &&
        !read_float(file, DROPOUT, 0, 0.9, &params->dropout, error))
        return false;
    g_autofree char *fault = cz_unet_fault(params);
    if (fault)
        g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: colorize.%s", cz_model_file_path(file),
                    fault);
    return !fault;
}

static void write_float(CzModelWriter *writer, const char *key, float value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    cz_model_writer_meta(writer, key, g_ascii_formatd(text, sizeof text, "%.9g", (double)value));
}

static void write_options(const CzUnetParams *params, CzModelWriter *writer)
{
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        int32_t value = *(const int32_t *)((const char *)params + options[i].offset);
        g_autofree char *text = g_strdup_printf("%d", value);
        if (value)
            cz_model_writer_meta(writer, options[i].key, text);
    }
    if (params->dropout > 0)
        write_float(writer, DROPOUT, params->dropout);
}

bool cz_unet_read(CzUnetParams *params, const CzModelFile *file, GError **error)
{
    const char *architecture = cz_model_file_meta(file, ARCHITECTURE);
    if (g_strcmp0(architecture, "unet") != 0)
        return refuse(file, ARCHITECTURE, "'unet'", architecture, error);
    CzUnetParams read = {0};
    if (!read_numbers(file, N_INPUTS, 1, MAX_INPUTS, &read.n_inputs, 1, error) ||
        !read_numbers(file, WIDTHS, 1, MAX_WIDTH, read.widths, N_WIDTHS, error) ||
        !read_numbers(file, CONTEXT, 0, 1, &read.context, 1, error) ||
        !read_options(&read, file, error))
        return false;
    Check check = {file, error};
    if (!cz_unet_each(&read, check_tensor, &check))
        return false;
    *params = read;
    return true;
}

void cz_unet_write(const CzUnetParams *params, CzModelWriter *writer)
{
    g_autofree char *n_inputs = g_strdup_printf("%d", params->n_inputs);
    g_autofree char *context = g_strdup_printf("%d", params->context);
    g_autoptr(GString) widths = g_string_new(NULL);
    for (size_t i = 0; i < N_WIDTHS; i++)
        g_string_append_printf(widths, "%s%d", i ? "," : "", params->widths[i]);
    cz_model_writer_meta(writer, ARCHITECTURE, "unet");
    cz_model_writer_meta(writer, N_INPUTS, n_inputs);
    cz_model_writer_meta(writer, WIDTHS, widths->str);
    cz_model_writer_meta(writer, CONTEXT, context);
    write_options(params, writer);
}

bool cz_pix2pix_read(CzPix2pixParams *params, const CzModelFile *file, GError **error)
{
    CzGeneratorParams read = {.architecture = CZ_GENERATOR_PIX2PIX};
    CzPix2pixParams *net = &read.pix2pix;
    Check check = {file, error};
    if (!read_numbers(file, N_INPUTS, 1, MAX_INPUTS, &net->n_inputs, 1, error) ||
        !read_numbers(file, WIDTH, 1, MAX_PIX2PIX_WIDTH, &net->width, 1, error) ||
        !read_numbers(file, LEVELS, MIN_LEVELS, MAX_LEVELS, &net->levels, 1, error) ||
        !read_numbers(file, SHARED, 0, 1, &net->shared, 1, error) ||
        !read_numbers(file, UNACTIVATED, 0, net->levels, &net->unactivated, 1, error) ||
        !read_float(file, DROPOUT, 0, 0.9, &net->dropout, error) ||
        !read_float(file, RANGE, 1, 256, &net->range, error) ||
        !cz_generator_each(&read, check_tensor, &check))
        return false;
    *params = *net;
    return true;
}

void cz_pix2pix_write(const CzPix2pixParams *params, CzModelWriter *writer)
{
    const struct {
        const char *key;
        int32_t value;
    } numbers[] = {{N_INPUTS, params->n_inputs},
                   {WIDTH, params->width},
                   {LEVELS, params->levels},
                   {SHARED, params->shared},
                   {UNACTIVATED, params->unactivated}};
    cz_model_writer_meta(writer, ARCHITECTURE, "pix2pix");
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autofree char *text = g_strdup_printf("%d", numbers[i].value);
        cz_model_writer_meta(writer, numbers[i].key, text);
    }
    write_float(writer, DROPOUT, params->dropout);
    write_float(writer, RANGE, params->range);
}
