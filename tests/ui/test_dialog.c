// SPDX-License-Identifier: LGPL-3.0-or-later
// The dialog's answers, its settings, and what it does when something fails.
#include <string.h>

#include <cz/error.h>
#include <cz/threads.h>

#include "drive.h"

static int strongest(Run *run)
{
    CzPart part;
    cairo_surface_t *after = ui_preview_pixels(run->preview, true, &part);
    return chroma_of(after, 0, part.width);
}

// ---- settings and answers ----------------------------------------------------------------------

static void change_strength(Run *run)
{
    wait_until(is_coloured, run);
    int n_reads = run->photo->n_reads;
    int at_one = strongest(run);
    set_strength(run, 1.8);
    int stronger = strongest(run);
    set_strength(run, 0);
    int none = strongest(run);
    g_test_message("strongest colour at strength 1: %d, 1.8: %d, 0: %d", at_one, stronger, none);
    g_assert_cmpint(at_one, >, 8);
    g_assert_cmpint(stronger, >, at_one);
    g_assert_cmpint(none, <=, 1);
    g_assert_cmpint(run->photo->n_reads, ==, n_reads); // no second inference
    cancel(run);
}

static void test_strength(void)
{
    Run run;
    run_init(&run, 640, 480, change_strength);
    run_dialog(&run);
    run_clear(&run);
}

static void change_and_cancel(Run *run)
{
    wait_until(is_coloured, run);
    set_strength(run, 0.3);
    cancel(run);
}

static void change_and_escape(Run *run)
{
    wait_until(is_coloured, run);
    set_strength(run, 0.3);
    press(run, GDK_KEY_Escape, true);
}

static void close_window(Run *run)
{
    set_strength(run, 0.3);
    gtk_window_close(GTK_WINDOW(run->window));
}

static void test_cancel(void)
{
    void (*const scripts[])(Run *) = {change_and_cancel, change_and_escape, close_window, cancel};
    for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++) {
        Run run;
        run_init(&run, 640, 480, scripts[i]);
        CzSettings before = run.settings;
        run_dialog(&run);
        g_assert_cmpint(run.answer, ==, UI_CANCELLED);
        g_assert_cmpmem(&run.settings, sizeof before, &before, sizeof before);
        run_clear(&run);
    }
}

static void change_and_confirm(Run *run)
{
    wait_until(is_coloured, run);
    set_strength(run, 1.25);
    gtk_combo_box_set_active_id(GTK_COMBO_BOX(find(run, "output")), "1");
    press(run, GDK_KEY_Return, true);
}

static void test_ok(void)
{
    Run run;
    run_init(&run, 640, 480, change_and_confirm);
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    g_assert_cmpfloat(run.settings.strength, ==, 1.25);
    g_assert_cmpint(run.settings.output, ==, CZ_OUTPUT_IN_PLACE);
    GError *error = NULL;
    g_assert_true(cz_chroma_apply(run.outcome.chroma, run.outcome.colorizer, &run.settings,
                                  &run.photo->photo, NULL, &error));
    g_assert_no_error(error);
    run_clear(&run);
}

static void test_ok_at_once(void)
{
    Run run;
    run_init(&run, 640, 480, confirm);
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    run_clear(&run);
}

static bool refuse_once(void *user, const CzSettings *settings, GError **error)
{
    Run *run = user;
    if (settings->output != CZ_OUTPUT_IN_PLACE)
        return true;
    g_assert_cmpint(run->answer, ==, UI_CANCELLED);
    g_set_error_literal(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "The layer is locked.");
    return false;
}

static void meet_refusal(Run *run)
{
    wait_until(is_coloured, run);
    gtk_combo_box_set_active_id(GTK_COMBO_BOX(find(run, "output")), "1");
    confirm(run);
    g_assert_true(has_message(run));
    g_assert_cmpstr(gtk_label_get_text(GTK_LABEL(find(run, "message_text"))), ==,
                    "The layer is locked.");
    gtk_combo_box_set_active_id(GTK_COMBO_BOX(find(run, "output")), "2");
    confirm(run);
}

static void test_refusal(void)
{
    Run run;
    run_init(&run, 320, 240, meet_refusal);
    run.host.check = refuse_once;
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    g_assert_cmpint(run.settings.output, ==, CZ_OUTPUT_IMAGE);
    run_clear(&run);
}

static void reset_all(Run *run)
{
    click(run, "reset");
    wait_until(is_coloured, run);
    confirm(run);
}

static void test_reset(void)
{
    Run run;
    run_init(&run, 320, 240, reset_all);
    CzSettings initial = run.settings;
    run.settings.strength = 0.4;
    run.settings.warmth = 0.5;
    run.settings.output = CZ_OUTPUT_IMAGE;
    g_strlcpy(run.settings.device, "reference", sizeof run.settings.device);
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    g_assert_cmpfloat(run.settings.strength, ==, initial.strength);
    g_assert_cmpfloat(run.settings.warmth, ==, initial.warmth);
    g_assert_cmpint(run.settings.output, ==, initial.output);
    g_assert_cmpstr(run.settings.device, ==, initial.device);
    run_clear(&run);
}

// ---- the worker --------------------------------------------------------------------------------

static void stop_and_reset(Run *run)
{
    click(run, "stop");
    wait_until(is_idle, run);
    g_assert_false(gtk_widget_get_sensitive(find(run, "ok")));
    click(run, "reset");
    wait_until(is_coloured, run);
    confirm(run);
}

static void test_stop(void)
{
    Run run;
    run_init(&run, 640, 480, stop_and_reset);
    g_strlcpy(run.settings.device, "reference", sizeof run.settings.device); // slow
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    run_clear(&run);
}

static void meet_bad_weights(Run *run)
{
    wait_until(has_message, run);
    g_assert_false(gtk_widget_get_sensitive(find(run, "ok")));
    GtkWidget *weights = find(run, "weights");
    gtk_combo_box_set_active_id(GTK_COMBO_BOX(weights), "");
    wait_until(is_coloured, run);
    g_assert_false(has_message(run));
    confirm(run);
}

static void test_bad_weights(void)
{
    Run run;
    run_init(&run, 320, 240, meet_bad_weights);
    g_strlcpy(run.settings.weights, "/nonexistent/a.safetensors", sizeof run.settings.weights);
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    g_assert_cmpstr(run.settings.weights, ==, "");
    run_clear(&run);
}

static void meet_host_error(Run *run)
{
    wait_until(has_message, run);
    const char *text = gtk_label_get_text(GTK_LABEL(find(run, "message_text")));
    g_assert_nonnull(strstr(text, "the layer is gone"));
    cancel(run);
}

static void test_host_error(void)
{
    Run run;
    run_init(&run, 1600, 1200, meet_host_error);
    run.photo->fail_after = 1;
    run_dialog(&run);
    run_clear(&run);
}

static int thread_count(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/task", 0, NULL);
    int n = 0;
    while (dir && g_dir_read_name(dir))
        n++;
    return n;
}

static void cancel_soon(Run *run)
{
    settle(g_test_rand_int_range(0, 120));
    cancel(run);
}

static void test_threads(void)
{
    int n_threads = 0;
    for (int i = 0; i < 8; i++) {
        Run run;
        run_init(&run, 1200, 900, i < 2 ? change_and_cancel : cancel_soon);
        run_dialog(&run);
        run_clear(&run);
        if (i == 1)
            n_threads = thread_count(); // what GTK keeps is there now
    }
    g_assert_cmpint(thread_count(), <=, n_threads);
}

// ---- controls ----------------------------------------------------------------------------------

static void collect_mnemonics(GtkWidget *widget, gpointer data)
{
    GString *found = data;
    if (GTK_IS_LABEL(widget) && gtk_widget_get_mapped(widget)) {
        guint keyval = gtk_label_get_mnemonic_keyval(GTK_LABEL(widget));
        if (keyval != GDK_KEY_VoidSymbol) {
            g_assert_null(strchr(found->str, (char)gdk_keyval_to_lower(keyval)));
            g_string_append_c(found, (char)gdk_keyval_to_lower(keyval));
        }
    }
    if (GTK_IS_CONTAINER(widget))
        gtk_container_forall(GTK_CONTAINER(widget), collect_mnemonics, data);
}

static void look_at_controls(Run *run)
{
    gtk_expander_set_expanded(GTK_EXPANDER(find(run, "advanced")), TRUE);
    settle(50);
    size_t n_rows;
    const CzSettingRow *rows = cz_settings(&n_rows);
    for (size_t i = 0; i < n_rows; i++) {
        GtkWidget *widget = find(run, rows[i].key);
        const char *name = atk_object_get_name(gtk_widget_get_accessible(widget));
        g_assert_cmpstr(name, ==, rows[i].label);
        g_assert_true(gtk_widget_is_sensitive(widget));
        g_autofree char *tip = gtk_widget_get_tooltip_text(gtk_widget_get_parent(widget));
        g_assert_nonnull(tip);
    }
    g_autoptr(GString) mnemonics = g_string_new(NULL);
    collect_mnemonics(run->window, mnemonics);
    g_test_message("mnemonics: %s", mnemonics->str);
    g_assert_cmpuint(mnemonics->len, >=, n_rows);
    g_assert_nonnull(atk_object_get_name(gtk_widget_get_accessible(GTK_WIDGET(run->preview))));
    cancel(run);
}

static void test_controls(void)
{
    Run run;
    run_init(&run, 320, 240, look_at_controls);
    run_dialog(&run);
    run_clear(&run);
}

static void keep_all(Run *run)
{
    wait_until(is_coloured, run);
    confirm(run);
}

static GArray *list_layers(void *user)
{
    static const char *const names[] = {"dabs", "gone"};
    GArray *layers = ui_layers_new();
    for (int i = 0; i < 2; i++) {
        UiLayer layer = {77 + i, g_strdup(names[i])};
        g_array_append_val(layers, layer);
    }
    return layers;
}

// Values that no control has offered come back as they were.
static void test_values_survive(void)
{
    Run run;
    run_init(&run, 320, 240, keep_all);
    run.host.list_layers = list_layers;
    run.settings.strength = 0.37;
    run.settings.warmth = -0.21;
    run.settings.keep_tone = 1;
    run.settings.tile_size = -1;
    run.settings.hints = 77;
    run.settings.reach = 0.9;
    g_strlcpy(run.settings.device, "reference", sizeof run.settings.device);
    CzSettings before = run.settings;
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    g_assert_cmpmem(&run.settings, sizeof before, &before, sizeof before);
    run_clear(&run);
}

static bool gather(void *user, int32_t layer, CzDab *dabs, size_t *n_dabs, GError **error)
{
    if (layer != 77) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_ARGUMENT, "layer %d is gone", layer);
        return false;
    }
    dabs[0] = (CzDab){0.5f, 0.5f, 50, 60, 40, 1}; // red
    *n_dabs = 1;
    return true;
}

static int middle_red(Run *run)
{
    CzPart part;
    cairo_surface_t *after = ui_preview_pixels(run->preview, true, &part);
    int x = part.width / 2, y = part.height / 2;
    return channel(after, x, y, 0) - channel(after, x, y, 2);
}

static void choose_hints(Run *run)
{
    GtkComboBox *hints = GTK_COMBO_BOX(find(run, "hints"));
    wait_until(is_coloured, run);
    int n_reads = run->photo->n_reads, plain = middle_red(run);
    gtk_combo_box_set_active_id(hints, "77");
    int red = middle_red(run);
    gtk_range_set_value(GTK_RANGE(find(run, "reach")), 0.1);
    int near = middle_red(run);
    g_test_message("red - blue in the middle: %d, with a red dab %d, of less reach %d", plain, red,
                   near);
    g_assert_cmpint(red, >, plain + 40);
    g_assert_cmpint(near, >, plain + 40);
    gtk_combo_box_set_active_id(hints, "78");
    g_assert_true(has_message(run));
    g_assert_cmpint(middle_red(run), ==, plain);
    gtk_combo_box_set_active_id(hints, "-1");
    g_assert_false(has_message(run));
    g_assert_cmpint(run->photo->n_reads, ==, n_reads);
    gtk_combo_box_set_active_id(hints, "77");
    confirm(run);
}

static void test_hints(void)
{
    Run run;
    run_init(&run, 320, 240, choose_hints);
    run.host.list_layers = list_layers;
    run.host.gather = gather;
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    g_assert_cmpint(run.settings.hints, ==, 77);
    run_clear(&run);
}

int main(int argc, char **argv)
{
    cz_threads_init(argv);
    g_test_init(&argc, &argv, NULL);
    const UiHost host = {0};
    GError *error = NULL;
    if (!ui_init(&host, &error))
        g_error("%s", error->message);
#define CASE(claim, function) g_test_add_func("/ui/dialog/" claim, function)
    CASE("strength_changes_the_preview_without_inference", test_strength);
    CASE("cancel_escape_and_close_leave_settings", test_cancel);
    CASE("enter_returns_settings_and_chroma", test_ok);
    CASE("ok_before_the_colors_waits_for_them", test_ok_at_once);
    CASE("what_the_host_refuses_keeps_the_dialog", test_refusal);
    CASE("reset_sets_all", test_reset);
    CASE("stopped_work_can_be_started_again", test_stop);
    CASE("bad_weights_say_so_and_others_may_be_chosen", test_bad_weights);
    CASE("errors_of_the_host_are_shown", test_host_error);
    CASE("no_thread_is_left", test_threads);
    CASE("every_setting_has_a_control_name_and_mnemonic", test_controls);
    CASE("settings_come_back_as_given", test_values_survive);
    CASE("hints_act_without_inference", test_hints);
    return g_test_run();
}
