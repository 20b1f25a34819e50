// SPDX-License-Identifier: LGPL-3.0-or-later
// What has been learned about hints, in a weights file.
#include <cz/hint_head.h>

#include <math.h>
#include <string.h>

#include <cz/error.h>

#define HEAD       "hint.head.weight"
#define AMPLITUDE  "hint.amplitude.weight"
#define NUMBERS    "colorize.hints"
#define MOST_WIDTH 256
#define N_NUMBERS  (6 + CZ_HINT_CURVE)

static bool refuse(const CzModelFile *file, const char *what, const char *expected, GError **error)
{
    g_set_error(error, CZ_ERROR, CZ_ERROR_MODEL, "%s: %s: expected %s", cz_model_file_path(file),
                what, expected);
    return false;
}

// Pointers to the numbers, in the order of the file.
static void list_numbers(CzHintHead *head, float *numbers[N_NUMBERS])
{
    CzHintKernel *k = &head->kernel;
    float *const kernel[] = {&k->feature, &k->place,    &k->lightness,
                             &k->chroma,  &k->strength, &k->noise};
    memcpy(numbers, kernel, sizeof kernel);
    for (int i = 0; i < CZ_HINT_CURVE; i++)
        numbers[G_N_ELEMENTS(kernel) + (size_t)i] = &head->curve[i];
}

static bool parse(CzHintHead *head, const char *text)
{
    float *numbers[N_NUMBERS];
    list_numbers(head, numbers);
    g_auto(GStrv) parts = g_strsplit(text ? text : "", ",", N_NUMBERS + 1);
    bool good = g_strv_length(parts) == N_NUMBERS;
    for (size_t i = 0; good && i < N_NUMBERS; i++) {
        char *end;
        double number = g_ascii_strtod(parts[i], &end);
        bool positive = i >= N_NUMBERS - CZ_HINT_CURVE || number > 0;
        good = end != parts[i] && !*end && fabs(number) < 1e9 && positive;
        *numbers[i] = (float)number;
    }
    return good;
}

static bool is_filter(const CzTensor *tensor, int32_t n, int32_t c)
{
    return tensor && tensor->rank == 4 && tensor->dims[0] == n && tensor->dims[1] == c &&
           tensor->dims[2] == 1 && tensor->dims[3] == 1;
}

static bool all_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i]))
            return false;
    return true;
}

bool cz_hint_head_read(const CzModelFile *file, int32_t channels, CzHintHead **head, GError **error)
{
    const CzTensor *weight = cz_model_file_find(file, HEAD);
    const CzTensor *amplitude = cz_model_file_find(file, AMPLITUDE);
    int32_t width = weight && weight->rank == 4 ? weight->dims[0] : 0;
    *head = NULL;
    if (!weight && !amplitude)
        return true;
    if (width < 1 || width > MOST_WIDTH || !is_filter(weight, width, channels))
        return refuse(file, HEAD, "1 to 256 filters of 1 x 1 on the features of the network",
                      error);
    if (!is_filter(amplitude, 1, width))
        return refuse(file, AMPLITUDE, "a filter of 1 x 1 on what " HEAD " gives", error);
    g_autoptr(CzHintHead) read = cz_hint_head_new(channels, width, error);
    if (!read)
        return false;
    cz_tensor_to_f32(weight, read->weight);
    cz_tensor_to_f32(amplitude, read->amplitude);
    if (!all_finite(read->weight, (size_t)width * (size_t)(channels + 1)))
        return refuse(file, HEAD, "finite numbers", error);
    if (!parse(read, cz_model_file_meta(file, NUMBERS)))
        return refuse(file, NUMBERS, "10 numbers, the first six above 0", error);
    *head = g_steal_pointer(&read);
    return true;
}

bool cz_hint_head_write(const CzHintHead *head, CzModelWriter *writer, GError **error)
{
    CzHintHead copy = *head;
    float *numbers[N_NUMBERS];
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_autoptr(GString) list = g_string_new(NULL);
    list_numbers(&copy, numbers);
    for (size_t i = 0; i < N_NUMBERS; i++)
        g_string_append_printf(list, "%s%s", i ? "," : "",
                               g_ascii_formatd(text, sizeof text, "%.6g", (double)*numbers[i]));
    cz_model_writer_meta(writer, NUMBERS, list->str);
    return cz_model_writer_add(writer, HEAD, 4,
                               (const int32_t[]){head->width, head->channels, 1, 1}, head->weight,
                               CZ_F32, error) &&
           cz_model_writer_add(writer, AMPLITUDE, 4, (const int32_t[]){1, head->width, 1, 1},
                               head->amplitude, CZ_F32, error);
}

bool cz_hint_head_is(const char *name)
{
    return g_str_has_prefix(name, "hint.") || g_str_equal(name, NUMBERS);
}
