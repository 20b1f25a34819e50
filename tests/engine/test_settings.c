// SPDX-License-Identifier: LGPL-3.0-or-later
// Every row of the table at its ends, beyond them, and as text.
#include <cz/settings.h>

#include <locale.h>
#include <math.h>
#include <string.h>

#include <cz/error.h>

static double number_of(const CzSettings *settings, const CzSettingRow *row)
{
    const char *at = (const char *)settings + row->offset;
    return row->type == CZ_SETTING_FLOAT ? *(const double *)at : *(const int32_t *)at;
}

static void put_number(CzSettings *settings, const CzSettingRow *row, double number)
{
    char *at = (char *)settings + row->offset;
    if (row->type == CZ_SETTING_FLOAT)
        *(double *)at = number;
    else
        *(int32_t *)at = (int32_t)number;
}

static void refused(const CzSettings *settings, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_assert_false(cz_settings_check(settings, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    if (error && !strstr(error->message, words))
        g_test_fail_printf("expected '%s' in '%s'", words, error->message);
}

static void test_order(void)
{
    static const char *const keys[] = {"strength",  "warmth",    "output", "hints",  "reach",
                                       "tile-size", "keep-tone", "device", "weights"};
    size_t n;
    const CzSettingRow *rows = cz_settings(&n);
    g_assert_cmpuint(n, ==, G_N_ELEMENTS(keys));
    for (size_t i = 0; i < n; i++) {
        g_assert_cmpstr(rows[i].key, ==, keys[i]);
        g_assert_true(rows[i].label && rows[i].help);
        g_assert_cmpuint(rows[i].offset + rows[i].size, <=, sizeof(CzSettings));
    }
}

static void test_defaults(void)
{
    g_autoptr(GError) error = NULL;
    CzSettings settings;
    cz_settings_init(&settings);
    g_assert_true(cz_settings_check(&settings, &error));
    g_assert_no_error(error);
    g_assert_true(settings.strength == 1 && settings.warmth == 0 && settings.hints == -1);
    g_assert_true(settings.output == CZ_OUTPUT_LAYER && settings.tile_size == 0);
    g_assert_cmpstr(settings.device, ==, "auto");
    g_assert_cmpstr(settings.weights, ==, "");
}

static void test_ranges(void)
{
    size_t n;
    const CzSettingRow *rows = cz_settings(&n);
    for (size_t i = 0; i < n; i++) {
        if (rows[i].type == CZ_SETTING_STRING)
            continue;
        const double ends[] = {rows[i].min, rows[i].max, rows[i].initial};
        for (int e = 0; e < 3; e++) {
            CzSettings settings;
            cz_settings_init(&settings);
            put_number(&settings, &rows[i], ends[e]);
            g_assert_true(cz_settings_check(&settings, NULL));
        }
        CzSettings settings;
        cz_settings_init(&settings);
        put_number(&settings, &rows[i], rows[i].min - 1);
        refused(&settings, "allowed is");
        if (rows[i].max == G_MAXINT32)
            continue;
        put_number(&settings, &rows[i], rows[i].max + 1);
        refused(&settings, "allowed is");
    }
}

static void test_not_a_number(void)
{
    CzSettings settings;
    cz_settings_init(&settings);
    settings.strength = NAN;
    refused(&settings, "strength is not a number");
    settings.strength = INFINITY;
    refused(&settings, "strength is inf, allowed is 0 to 2");
    settings.strength = 3;
    refused(&settings, "strength is 3, allowed is 0 to 2");
    cz_settings_init(&settings);
    settings.warmth = NAN;
    refused(&settings, "warmth is not a number");
}

static void test_tiles(void)
{
    CzSettings settings;
    cz_settings_init(&settings);
    const int32_t refused_sizes[] = {1, CZ_LEAST_TILE - 1}, allowed[] = {-1, 0, CZ_LEAST_TILE, 512};
    for (size_t i = 0; i < G_N_ELEMENTS(refused_sizes); i++) {
        settings.tile_size = refused_sizes[i];
        refused(&settings, "the smallest tile has 128");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(allowed); i++) {
        settings.tile_size = allowed[i];
        g_assert_true(cz_settings_check(&settings, NULL));
    }
}

static void parse_refused(const char *key, const char *value, const char *words)
{
    g_autoptr(GError) error = NULL;
    CzSettings settings, before;
    cz_settings_init(&settings);
    before = settings;
    g_assert_false(cz_settings_parse(&settings, key, value, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    if (error && !strstr(error->message, words))
        g_test_fail_printf("expected '%s' in '%s'", words, error->message);
    g_assert_cmpmem(&settings, sizeof settings, &before, sizeof before);
}

static void test_parse(void)
{
    CzSettings settings;
    cz_settings_init(&settings);
    g_assert_true(cz_settings_parse(&settings, "strength", "0.5", NULL));
    g_assert_true(cz_settings_parse(&settings, "output", "2", NULL));
    g_assert_true(cz_settings_parse(&settings, "tile-size", "-1", NULL));
    g_assert_true(cz_settings_parse(&settings, "device", "cuda:1", NULL));
    g_assert_true(cz_settings_parse(&settings, "weights", "/a b/ü.safetensors", NULL));
    g_assert_true(settings.strength == 0.5 && settings.output == 2 && settings.tile_size == -1);
    g_assert_cmpstr(settings.device, ==, "cuda:1");
    g_assert_cmpstr(settings.weights, ==, "/a b/ü.safetensors");
    parse_refused("strength", "", "not a number");
    parse_refused("strength", "0,5", "not a number");
    parse_refused("strength", "1x", "not a number");
    parse_refused("strength", "nan", "not a number");
    parse_refused("strength", "2.5", "allowed is 0 to 2");
    parse_refused("strength", "1e999", "allowed is 0 to 2");
    parse_refused("output", "1.5", "whole");
    parse_refused("output", "99999999999", "allowed is");
    parse_refused("tile-size", "100", "smallest tile");
    parse_refused("sharpness", "1", "no setting 'sharpness'");
    parse_refused("device", "a device whose name has more than thirty-two bytes", "too long");
    parse_refused("weights", "\xff\xfe", "UTF-8");
}

// A German user writes 0,5; presets and options are in the C locale all the same.
static void test_locale(void)
{
    if (!setlocale(LC_ALL, "de_DE.UTF-8")) {
        g_test_skip("the locale de_DE.UTF-8 is not installed");
        return;
    }
    CzSettings settings;
    cz_settings_init(&settings);
    g_assert_true(cz_settings_parse(&settings, "strength", "0.5", NULL));
    g_assert_true(settings.strength == 0.5);
    settings.strength = 2.5;
    refused(&settings, "strength is 2.5");
    setlocale(LC_ALL, "C");
}

static void test_texts_end(void)
{
    CzSettings settings;
    cz_settings_init(&settings);
    memset(settings.device, 'x', sizeof settings.device);
    refused(&settings, "too long");
}

static void test_numbers_are_where_the_table_says(void)
{
    size_t n;
    const CzSettingRow *rows = cz_settings(&n);
    CzSettings settings;
    cz_settings_init(&settings);
    for (size_t i = 0; i < n; i++)
        if (rows[i].type != CZ_SETTING_STRING)
            g_assert_true(number_of(&settings, &rows[i]) == rows[i].initial);
}

static void test_key_file(void)
{
    CzSettings settings, loaded, initial;
    cz_settings_init(&initial);
    settings = loaded = initial;
    settings.strength = 0.1 + 0.2; // has no short decimal form
    settings.warmth = -0.35;
    settings.output = CZ_OUTPUT_IMAGE;
    settings.hints = 17;
    settings.keep_tone = 1;
    g_strlcpy(settings.weights, "/a b/\"ü\\n;.safetensors", sizeof settings.weights);
    g_autoptr(GKeyFile) file = g_key_file_new();
    cz_settings_store(&settings, file, "one");
    g_autofree char *text = g_key_file_to_data(file, NULL, NULL);
    g_autoptr(GKeyFile) again = g_key_file_new();
    g_assert_true(g_key_file_load_from_data(again, text, (gsize)-1, G_KEY_FILE_NONE, NULL));
    cz_settings_load(&loaded, again, "one");
    settings.hints = -1;
    g_assert_cmpmem(&loaded, sizeof loaded, &settings, sizeof settings);
    // What is wrong, unknown or missing leaves the rest as it is.
    g_key_file_set_string(again, "two", "strength", "77");
    g_key_file_set_string(again, "two", "warmth", "warm");
    g_key_file_set_string(again, "two", "hints", "5");
    g_key_file_set_string(again, "two", "unheard-of", "1");
    g_key_file_set_string(again, "two", "reach", "0.25");
    loaded = initial;
    cz_settings_load(&loaded, again, "two");
    cz_settings_load(&loaded, again, "three");
    initial.reach = 0.25;
    g_assert_cmpmem(&loaded, sizeof loaded, &initial, sizeof initial);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/engine/settings/rows_have_the_frozen_order", test_order);
    g_test_add_func("/engine/settings/defaults_are_allowed", test_defaults);
    g_test_add_func("/engine/settings/rows_read_and_write_their_fields",
                    test_numbers_are_where_the_table_says);
    g_test_add_func("/engine/settings/ends_are_allowed_and_beyond_is_refused", test_ranges);
    g_test_add_func("/engine/settings/what_is_no_number_is_refused", test_not_a_number);
    g_test_add_func("/engine/settings/tiny_tiles_are_refused", test_tiles);
    g_test_add_func("/engine/settings/text_is_parsed_strictly", test_parse);
    g_test_add_func("/engine/settings/locale_does_not_matter", test_locale);
    g_test_add_func("/engine/settings/key_files_give_them_back", test_key_file);
    g_test_add_func("/engine/settings/unterminated_text_is_refused", test_texts_end);
    return g_test_run();
}
