// SPDX-License-Identifier: LGPL-3.0-or-later
// Presets in their file, and the settings as a command.
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>

#include "command.h"
#include "presets.h"

static char *folder;

static char *file_path(void)
{
    return g_build_filename(folder, "colorize-photo-presets.conf", NULL);
}

static void test_presets(void)
{
    CzSettings warm, found;
    cz_settings_init(&warm);
    warm.warmth = 0.7;
    warm.hints = 12;
    g_strlcpy(warm.weights, "/a/ü \"b\".safetensors", sizeof warm.weights);
    g_auto(GStrv) none = ui_presets_names(folder);
    g_assert_cmpuint(g_strv_length(none), ==, 0);
    g_assert_false(ui_presets_load(folder, "Öl & Licht", &found));
    g_assert_true(ui_presets_save(folder, "Öl & Licht", &warm, NULL));
    warm.strength = 0.5;
    g_assert_true(ui_presets_save(folder, "a", &warm, NULL));
    g_auto(GStrv) two = ui_presets_names(folder);
    g_assert_cmpuint(g_strv_length(two), ==, 2);
    g_assert_true(ui_presets_load(folder, "Öl & Licht", &found));
    warm.strength = 1;
    warm.hints = -1; // belongs to one image
    g_assert_cmpmem(&found, sizeof found, &warm, sizeof warm);
    // The same name again replaces it.
    warm.warmth = -0.2;
    g_assert_true(ui_presets_save(folder, "a", &warm, NULL));
    g_assert_true(ui_presets_load(folder, "a", &found));
    g_assert_cmpfloat(found.warmth, ==, -0.2);
    g_assert_cmpfloat(found.strength, ==, 1);
    g_assert_true(ui_presets_save(folder, "a", NULL, NULL));
    g_assert_false(ui_presets_load(folder, "a", &found));
    g_assert_true(ui_presets_load(folder, "Öl & Licht", &found));
}

static void test_names(void)
{
    const char *const bad[] = {"", "a]b", "[x", "two\nlines", "\xff"};
    CzSettings settings;
    cz_settings_init(&settings);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(ui_presets_save(folder, bad[i], &settings, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT);
    }
}

// A file that cannot be understood is not written over.
static void test_damaged(void)
{
    g_autofree char *path = file_path(), *text = NULL;
    const char *damaged = "[a]\nstrength=0.3\nnonsense\n";
    g_assert_true(g_file_set_contents(path, damaged, -1, NULL));
    CzSettings settings;
    g_autoptr(GError) error = NULL;
    cz_settings_init(&settings);
    g_assert_false(ui_presets_save(folder, "b", &settings, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_nonnull(strstr(error->message, path));
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, damaged);
    g_unlink(path);
}

static void test_no_folder(void)
{
    g_autofree char *inside = g_build_filename(folder, "none", "deeper", NULL);
    CzSettings settings;
    g_autoptr(GError) error = NULL;
    cz_settings_init(&settings);
    g_assert_false(ui_presets_save(inside, "b", &settings, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
}

// In the order of the PDB's arguments, in the C locale, with what Scheme wants escaped.
static void test_command(void)
{
    CzSettings settings;
    cz_settings_init(&settings);
    settings.strength = 1.25;
    settings.warmth = -0.1;
    settings.output = CZ_OUTPUT_IMAGE;
    settings.hints = 44;
    settings.keep_tone = 1;
    g_strlcpy(settings.weights, "/a \"b\"\\c.safetensors", sizeof settings.weights);
    g_autofree char *command = ui_command("plug-in-test", &settings);
    g_assert_nonnull(strstr(command,
                            "(plug-in-test RUN-NONINTERACTIVE image layer 1.25 -0.1 2 -1 0.3 0 1 "
                            "\"auto\" \"/a \\\"b\\\"\\\\c.safetensors\")"));
    int depth = 0;
    for (const char *at = command; *at; at++)
        depth += *at == '(' ? 1 : *at == ')' ? -1 : 0;
    g_assert_cmpint(depth, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("presets-XXXXXX", NULL);
    g_test_add_func("/ui/presets/they_are_saved_loaded_and_deleted", test_presets);
    g_test_add_func("/ui/presets/bad_names_are_refused", test_names);
    g_test_add_func("/ui/presets/a_damaged_file_is_left_alone", test_damaged);
    g_test_add_func("/ui/presets/a_missing_folder_is_said", test_no_folder);
    g_test_add_func("/ui/command/is_complete_and_in_order", test_command);
    int result = g_test_run();
    g_autofree char *path = file_path();
    g_unlink(path);
    g_rmdir(folder);
    g_free(folder);
    return result;
}
