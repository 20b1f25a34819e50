// SPDX-License-Identifier: LGPL-3.0-or-later
// Dabs on the preview: placed by a click, tried out, moved, deleted.
#include <math.h>
#include <string.h>

#include <cz/color.h>
#include <cz/threads.h>

#include "drive.h"

#define AT_X 0.3
#define AT_Y 0.7

static void find_popover(GtkWidget *widget, gpointer data)
{
    GtkWidget **found = data;
    if (GTK_IS_POPOVER(widget))
        *found = widget;
    else if (GTK_IS_CONTAINER(widget))
        gtk_container_forall(GTK_CONTAINER(widget), find_popover, data);
}

static GtkWidget *popover_of(Run *run)
{
    GtkWidget *popover = NULL;
    gtk_container_forall(GTK_CONTAINER(run->window), find_popover, &popover);
    g_assert_nonnull(popover);
    return popover;
}

static void collect_buttons(GtkWidget *widget, gpointer data)
{
    if (GTK_IS_BUTTON(widget))
        g_ptr_array_add(data, widget);
    else if (GTK_IS_CONTAINER(widget))
        gtk_container_forall(GTK_CONTAINER(widget), collect_buttons, data);
}

// Swatches first, then "Other Color", then "Delete".
static GPtrArray *buttons_of(Run *run)
{
    GPtrArray *buttons = g_ptr_array_new();
    collect_buttons(popover_of(run), buttons);
    return buttons;
}

// A strong color among those that the bundled weights suggest there.
#define STRONG "pink"

static GtkWidget *swatch_named(Run *run, const char *name)
{
    g_autoptr(GPtrArray) buttons = buttons_of(run);
    for (guint i = 0; i < buttons->len; i++) {
        GtkWidget *button = g_ptr_array_index(buttons, i);
        if (g_strcmp0(atk_object_get_name(gtk_widget_get_accessible(button)), name) == 0)
            return button;
    }
    g_error("no swatch is called %s", name);
}

static bool is_asked(Run *run)
{
    return gtk_widget_get_visible(popover_of(run));
}

static bool is_not_asked(Run *run)
{
    return !is_asked(run);
}

static void ask(Run *run, double x, double y)
{
    g_signal_emit_by_name(run->preview, "place-clicked", x, y);
    wait_until(is_asked, run);
}

static void close_popover(Run *run)
{
    gtk_popover_popdown(GTK_POPOVER(popover_of(run)));
    wait_until(is_not_asked, run);
}

static void place(Run *run, double x, double y, const char *color)
{
    ask(run, x, y);
    gtk_button_clicked(GTK_BUTTON(swatch_named(run, color)));
    wait_until(is_not_asked, run);
}

static GBytes *pixels(Run *run)
{
    CzPart part;
    cairo_surface_t *after = ui_preview_pixels(run->preview, true, &part);
    g_assert_nonnull(after);
    size_t n_bytes = (size_t)cairo_image_surface_get_stride(after) *
                     (size_t)cairo_image_surface_get_height(after);
    return g_bytes_new(cairo_image_surface_get_data(after), n_bytes);
}

static void lab_at(Run *run, double x, double y, float lab[3])
{
    CzPart part;
    cairo_surface_t *after = ui_preview_pixels(run->preview, true, &part);
    for (int c = 0; c < 3; c++)
        lab[c] = (float)channel(after, (int)(x * part.photo_w) - part.x,
                                (int)(y * part.photo_h) - part.y, c) /
                 255;
    cz_rgb_to_lab(lab, lab, 1);
}

// The color at the dab is the dab's, as far as 8 bits can show it.
static void place_one(Run *run)
{
    wait_until(is_coloured, run);
    g_autoptr(GBytes) plain = pixels(run);
    place(run, AT_X, AT_Y, STRONG);
    g_autoptr(GBytes) red = pixels(run);
    g_assert_false(g_bytes_equal(plain, red));
    confirm(run);
    const CzDab *dab = run->outcome.dabs;
    g_assert_null(dab); // not before the dialog's end
}

static void test_place(void)
{
    Run run;
    run_init(&run, 320, 240, place_one);
    run_dialog(&run);
    g_assert_cmpint(run.outcome.n_dabs, ==, 1);
    g_assert_true(run.outcome.dabs_edited);
    const CzDab *dab = run.outcome.dabs;
    g_assert_cmpfloat_with_epsilon(dab->x, AT_X, 1e-6);
    g_assert_cmpfloat_with_epsilon(dab->y, AT_Y, 1e-6);
    g_assert_cmpfloat(dab->weight, ==, 1);
    g_assert_cmpfloat(dab->a, >, 20);
    // The chroma holds it: at the dab's place, on its lightness.
    const CzPart part = {320, 240, (int32_t)(AT_X * 320), (int32_t)(AT_Y * 240), 1, 1};
    const float gray[3] = {dab->l, 0, 0}, wanted[3] = {dab->l, dab->a, dab->b};
    float rgb[3], lab[3], target[3];
    cz_lab_to_rgb(rgb, gray, 1);
    cz_chroma_apply_part(run.outcome.chroma, &run.settings, &part, rgb, rgb);
    cz_rgb_to_lab(lab, rgb, 1);
    memcpy(target, wanted, sizeof target);
    cz_lab_into_gamut(target, 1);
    g_test_message("dE00 at the dab %.3f", (double)cz_delta_e_2000(lab, target));
    g_assert_cmpfloat(cz_delta_e_2000(lab, target), <, 1);
    run_clear(&run);
}

static void try_and_leave(Run *run)
{
    wait_until(is_coloured, run);
    g_autoptr(GBytes) plain = pixels(run);
    ask(run, AT_X, AT_Y);
    gboolean stop;
    GdkEvent *event = gdk_event_new(GDK_ENTER_NOTIFY);
    g_signal_emit_by_name(swatch_named(run, STRONG), "enter-notify-event", event, &stop);
    g_autoptr(GBytes) tried = pixels(run);
    g_assert_false(g_bytes_equal(plain, tried));
    g_signal_emit_by_name(swatch_named(run, STRONG), "leave-notify-event", event, &stop);
    g_autoptr(GBytes) left = pixels(run);
    g_assert_true(g_bytes_equal(plain, left));
    g_signal_emit_by_name(swatch_named(run, STRONG), "enter-notify-event", event, &stop);
    close_popover(run);
    g_autoptr(GBytes) closed = pixels(run);
    g_assert_true(g_bytes_equal(plain, closed));
    gdk_event_free(event);
    confirm(run);
}

static void test_try(void)
{
    Run run;
    run_init(&run, 320, 240, try_and_leave);
    run_dialog(&run);
    g_assert_cmpint(run.outcome.n_dabs, ==, 0);
    g_assert_false(run.outcome.dabs_edited);
    run_clear(&run);
}

static void move_and_delete(Run *run)
{
    wait_until(is_coloured, run);
    g_autoptr(GBytes) plain = pixels(run);
    place(run, AT_X, AT_Y, STRONG);
    place(run, 0.8, 0.2, "green");
    g_autoptr(GBytes) both = pixels(run);
    g_signal_emit_by_name(run->preview, "mark-moved", 0, 0.6, 0.5);
    g_autoptr(GBytes) moved = pixels(run);
    g_assert_false(g_bytes_equal(both, moved));
    float lab[3];
    lab_at(run, 0.6, 0.5, lab);
    g_assert_cmpfloat(lab[1], >, 10);
    // With the keys alone: from the last dab to the first, which goes.
    gtk_widget_grab_focus(GTK_WIDGET(run->preview));
    press(run, GDK_KEY_Page_Up, true);
    press(run, GDK_KEY_Delete, true);
    g_signal_emit_by_name(run->preview, "mark-clicked", 0);
    wait_until(is_asked, run);
    g_autoptr(GPtrArray) buttons = buttons_of(run);
    gtk_button_clicked(g_ptr_array_index(buttons, buttons->len - 1)); // "Delete"
    wait_until(is_not_asked, run);
    g_autoptr(GBytes) none = pixels(run);
    g_assert_true(g_bytes_equal(plain, none));
    place(run, AT_X, AT_Y, STRONG);
    click(run, "remove_dabs");
    g_autoptr(GBytes) removed = pixels(run);
    g_assert_true(g_bytes_equal(plain, removed));
    g_assert_false(gtk_widget_get_sensitive(find(run, "remove_dabs")));
    confirm(run);
}

static void test_move(void)
{
    Run run;
    run_init(&run, 320, 240, move_and_delete);
    run_dialog(&run);
    g_assert_cmpint(run.outcome.n_dabs, ==, 0);
    g_assert_true(run.outcome.dabs_edited);
    run_clear(&run);
}

// ---- a layer's -------------------------------------------------------------------------------

static bool gather(void *user, int32_t layer, CzDab *dabs, size_t *n_dabs, GError **error)
{
    dabs[0] = (CzDab){0.5f, 0.5f, 50, 60, 40, 1};
    dabs[1] = (CzDab){0.2f, 0.2f, 50, -40, 40, 0.5f};
    *n_dabs = 2;
    return true;
}

static GArray *list_layers(void *user)
{
    GArray *layers = ui_layers_new();
    UiLayer layer = {77, g_strdup("dabs")};
    g_array_append_val(layers, layer);
    return layers;
}

static void change_nothing(Run *run)
{
    wait_until(is_coloured, run);
    confirm(run);
}

static void refocus(Run *run)
{
    gboolean stop;
    GdkEvent *event = gdk_event_new(GDK_FOCUS_CHANGE);
    g_signal_emit_by_name(run->window, "focus-in-event", event, &stop);
    gdk_event_free(event);
}

static void move_one(Run *run)
{
    wait_until(is_coloured, run);
    g_signal_emit_by_name(run->preview, "mark-moved", 1, 0.25, 0.2);
    refocus(run); // its own dabs again would undo what was done here
    confirm(run);
}

static void test_layer(void)
{
    for (int moved = 0; moved < 2; moved++) {
        Run run;
        run_init(&run, 320, 240, moved ? move_one : change_nothing);
        run.host.list_layers = list_layers;
        run.host.gather = gather;
        run.settings.hints = 77;
        run_dialog(&run);
        g_assert_cmpint(run.outcome.n_dabs, ==, 2);
        g_assert_cmpint(run.outcome.dabs_edited, ==, moved);
        g_assert_cmpfloat_with_epsilon(run.outcome.dabs[1].x, moved ? 0.25 : 0.2, 1e-6);
        g_assert_cmpfloat(run.outcome.dabs[1].weight, ==, 0.5);
        run_clear(&run);
    }
}

// A layer that is painted on while the dialog is open.
typedef struct {
    int n_layers;
    uint64_t stamp;
    float a; // of the one dab
} Painted;

static GArray *list_painted(void *user)
{
    const Painted *painted = ((Run *)user)->data;
    GArray *layers = ui_layers_new();
    for (int i = 0; i < painted->n_layers; i++) {
        UiLayer layer = {80 + i, g_strdup_printf("layer %d", i)};
        g_array_append_val(layers, layer);
    }
    return layers;
}

static int32_t add_painted(void *user, GError **error)
{
    Painted *painted = ((Run *)user)->data;
    return 80 + painted->n_layers++;
}

static uint64_t stamp_painted(void *user, int32_t layer)
{
    return ((Painted *)((Run *)user)->data)->stamp;
}

static bool gather_painted(void *user, int32_t layer, CzDab *dabs, size_t *n_dabs, GError **error)
{
    const Painted *painted = ((Run *)user)->data;
    dabs[0] = (CzDab){AT_X, AT_Y, 50, painted->a, 0, 1};
    *n_dabs = painted->a != 0;
    return true;
}

static int red_at_dab(Run *run)
{
    CzPart part;
    cairo_surface_t *after = ui_preview_pixels(run->preview, true, &part);
    int x = (int)(AT_X * part.width), y = (int)(AT_Y * part.height);
    return channel(after, x, y, 0) - channel(after, x, y, 1);
}

static void paint_meanwhile(Run *run)
{
    Painted *painted = run->data;
    wait_until(is_coloured, run);
    GtkComboBox *hints = GTK_COMBO_BOX(find(run, "hints"));
    click(run, "new_layer");
    g_assert_cmpstr(gtk_combo_box_get_active_id(hints), ==, "80");
    int plain = red_at_dab(run);
    painted->a = 50;
    settle(700);
    g_assert_cmpint(red_at_dab(run), ==, plain); // the stamp says that nothing has changed
    painted->stamp++;
    settle(700);
    int red = red_at_dab(run);
    painted->a = -50, painted->stamp++;
    settle(700);
    int green = red_at_dab(run);
    g_test_message("red - green at the dab: %d, then %d, then %d", plain, red, green);
    g_assert_cmpint(red, >, plain + 40);
    g_assert_cmpint(green, <, plain - 40);
    painted->n_layers = 0; // the layer is gone, and so are its hints
    refocus(run);
    g_assert_cmpstr(gtk_combo_box_get_active_id(hints), ==, "-1");
    g_assert_cmpint(red_at_dab(run), ==, plain);
    confirm(run);
}

static void test_painted(void)
{
    Run run;
    Painted painted = {0};
    run_init(&run, 320, 240, paint_meanwhile);
    run.data = &painted;
    run.host.list_layers = list_painted;
    run.host.new_layer = add_painted;
    run.host.stamp = stamp_painted;
    run.host.gather = gather_painted;
    run_dialog(&run);
    g_assert_cmpint(run.answer, ==, UI_OK);
    g_assert_cmpint(run.settings.hints, ==, -1);
    run_clear(&run);
}

static void place_and_cancel(Run *run)
{
    wait_until(is_coloured, run);
    place(run, AT_X, AT_Y, STRONG);
    cancel(run);
}

static void test_cancel(void)
{
    Run run;
    run_init(&run, 320, 240, place_and_cancel);
    run_dialog(&run);
    g_assert_null(run.outcome.dabs);
    g_assert_false(run.outcome.dabs_edited);
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
#define CASE(claim, function) g_test_add_func("/ui/dabs/" claim, function)
    CASE("a_click_gives_the_place_its_color", test_place);
    CASE("colors_are_tried_out_without_a_trace", test_try);
    CASE("dabs_move_and_go", test_move);
    CASE("those_of_a_layer_can_be_edited", test_layer);
    CASE("a_layer_painted_on_meanwhile_is_followed", test_painted);
    CASE("cancel_forgets_them", test_cancel);
    return g_test_run();
}
