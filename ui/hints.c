// SPDX-License-Identifier: LGPL-3.0-or-later
// Dabs of known color on the preview.
#include "hints.h"

#include <glib/gi18n-lib.h>

#include <math.h>

#include <cz/color.h>

#define N_SUGGESTIONS 15
#define N_COLUMNS     5
#define SWATCH        30
#define MARK_SIZE     18 // what the popover keeps clear of

struct UiHints {
    UiPreview *preview;
    const CzChroma *chroma;
    const UiProxy *proxy;
    CzDab dabs[CZ_MAX_DABS];
    size_t n_dabs;
    bool edited;
    int current; // the dab that the popover is about; n_dabs - 1 if it is being placed
    CzDab kept;  // what it goes back to
    bool placing;
    bool trying; // a color that has not been chosen is shown
    GtkWidget *popover;
    void (*changed)(void *user);
    void *user;
};

// ---- colors -----------------------------------------------------------------------------------

static void dab_rgb(const CzDab *dab, float rgb[3])
{
    const float lab[3] = {dab->l, dab->a, dab->b};
    cz_lab_to_gamut_rgb(rgb, lab, 1);
}

// For those who cannot see the swatch, or not its hue.
static const char *color_name(float l, float a, float b)
{
    static const struct {
        double from; // hue angle, degrees
        const char *name;
    } hues[] = {{-180, N_("green")}, {-165, N_("turquoise")},   {-130, N_("light blue")},
                {-100, N_("blue")},  {-65, N_("violet")},       {-35, N_("purple")},
                {-10, N_("pink")},   {15, N_("red")},           {45, N_("orange")},
                {75, N_("yellow")},  {105, N_("yellow-green")}, {130, N_("green")}};
    if (hypotf(a, b) < 5)
        return _("gray");
    double hue = atan2((double)b, (double)a) * 180 / G_PI;
    if (hue > 30 && hue < 85 && l < 50)
        return _("brown");
    size_t i = G_N_ELEMENTS(hues) - 1;
    while (i > 0 && hue < hues[i].from)
        i--;
    return _(hues[i].name);
}

// The photograph's L* around a place: what the eye sees there, not one grain of the film.
static float lightness_at(const UiProxy *proxy, double x, double y)
{
    const int32_t reach = 2;
    int32_t at_x = (int32_t)(x * proxy->photo_w) / proxy->factor;
    int32_t at_y = (int32_t)(y * proxy->photo_h) / proxy->factor;
    float sum = 0;
    int n = 0;
    for (int32_t v = MAX(at_y - reach, 0); v <= MIN(at_y + reach, proxy->height - 1); v++) {
        for (int32_t u = MAX(at_x - reach, 0); u <= MIN(at_x + reach, proxy->width - 1); u++, n++) {
            float lightness;
            cz_rgb_to_lightness(&lightness, proxy->rgb + 3 * ((size_t)v * proxy->width + u), 1);
            sum += lightness;
        }
    }
    return sum / (float)n;
}

// ---- what is shown
// --------------------------------------------------------------------------------

static void show_marks(UiHints *hints)
{
    UiMark marks[CZ_MAX_DABS];
    for (size_t i = 0; i < hints->n_dabs; i++) {
        marks[i] = (UiMark){(double)hints->dabs[i].x, (double)hints->dabs[i].y, {0}};
        dab_rgb(&hints->dabs[i], marks[i].rgb);
    }
    ui_preview_set_marks(hints->preview, marks, (int)hints->n_dabs);
}

static void changed(UiHints *hints)
{
    show_marks(hints);
    hints->changed(hints->user);
}

static void remove_dab(UiHints *hints, int index)
{
    for (size_t i = (size_t)index; i + 1 < hints->n_dabs; i++)
        hints->dabs[i] = hints->dabs[i + 1];
    hints->n_dabs--;
    ui_preview_select_mark(hints->preview, -1);
}

// ---- choosing a color -------------------------------------------------------------------------

static void try_color(UiHints *hints, float a, float b)
{
    if (hints->placing && !hints->trying) {
        hints->current = (int)hints->n_dabs++;
        hints->dabs[hints->current] = hints->kept;
    }
    hints->trying = true;
    hints->dabs[hints->current].a = a;
    hints->dabs[hints->current].b = b;
    hints->dabs[hints->current].weight = 1;
    ui_preview_select_mark(hints->preview, hints->current);
    changed(hints);
}

static void give_up(UiHints *hints)
{
    if (!hints->trying)
        return;
    hints->trying = false;
    if (hints->placing)
        remove_dab(hints, hints->current);
    else
        hints->dabs[hints->current] = hints->kept;
    changed(hints);
}

static void choose(UiHints *hints, float a, float b)
{
    try_color(hints, a, b);
    hints->trying = hints->placing = false;
    hints->kept = hints->dabs[hints->current];
    hints->edited = true;
}

typedef struct {
    UiHints *hints;
    float a, b, rgb[3];
} Swatch;

static gboolean draw_swatch(GtkWidget *area, cairo_t *cr, const Swatch *swatch)
{
    cairo_rectangle(cr, 0.5, 0.5, gtk_widget_get_allocated_width(area) - 1.0,
                    gtk_widget_get_allocated_height(area) - 1.0);
    cairo_set_source_rgb(cr, (double)swatch->rgb[0], (double)swatch->rgb[1],
                         (double)swatch->rgb[2]);
    cairo_fill_preserve(cr);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.4);
    cairo_set_line_width(cr, 1);
    cairo_stroke(cr);
    return GDK_EVENT_STOP;
}

static gboolean swatch_entered(Swatch *swatch)
{
    try_color(swatch->hints, swatch->a, swatch->b);
    return GDK_EVENT_PROPAGATE;
}

static gboolean swatch_left(Swatch *swatch)
{
    give_up(swatch->hints);
    return GDK_EVENT_PROPAGATE;
}

static void swatch_clicked(Swatch *swatch)
{
    UiHints *hints = swatch->hints;
    choose(hints, swatch->a, swatch->b);
    gtk_popover_popdown(GTK_POPOVER(hints->popover));
}

static void swatch_free(gpointer swatch, GClosure *closure)
{
    g_free(swatch);
}

static GtkWidget *swatch_new(UiHints *hints, float l, const float ab[2])
{
    Swatch *swatch = g_new0(Swatch, 1);
    *swatch = (Swatch){hints, ab[0], ab[1], {0}};
    const CzDab dab = {.l = l, .a = ab[0], .b = ab[1]};
    dab_rgb(&dab, swatch->rgb);
    GtkWidget *button = gtk_button_new(), *area = gtk_drawing_area_new();
    gtk_widget_set_size_request(area, SWATCH, SWATCH);
    gtk_container_add(GTK_CONTAINER(button), area);
    gtk_style_context_add_class(gtk_widget_get_style_context(button), "flat");
    const char *name = color_name(l, ab[0], ab[1]);
    gtk_widget_set_tooltip_text(button, name);
    atk_object_set_name(gtk_widget_get_accessible(button), name);
    g_signal_connect(area, "draw", G_CALLBACK(draw_swatch), swatch);
    g_signal_connect_swapped(button, "enter-notify-event", G_CALLBACK(swatch_entered), swatch);
    g_signal_connect_swapped(button, "leave-notify-event", G_CALLBACK(swatch_left), swatch);
    g_signal_connect_swapped(button, "focus-in-event", G_CALLBACK(swatch_entered), swatch);
    g_signal_connect_data(button, "clicked", G_CALLBACK(swatch_clicked), swatch, swatch_free,
                          G_CONNECT_SWAPPED);
    return button;
}

static GtkWidget *swatches_new(UiHints *hints)
{
    GtkWidget *grid = gtk_grid_new();
    float ab[N_SUGGESTIONS][2];
    const CzDab *dab = &hints->kept;
    size_t n =
        cz_chroma_suggest(hints->chroma, (double)dab->x, (double)dab->y, dab->l, ab, N_SUGGESTIONS);
    for (size_t i = 0; i < n; i++)
        gtk_grid_attach(GTK_GRID(grid), swatch_new(hints, dab->l, ab[i]), (int)(i % N_COLUMNS),
                        (int)(i / N_COLUMNS), 1, 1);
    return grid;
}

// A dialog of its own: a chooser in the popover would be larger than the preview.
static void on_other(UiHints *hints)
{
    int current = hints->current;
    bool placing = hints->placing;
    CzDab dab = hints->kept;
    GtkWidget *top = gtk_widget_get_toplevel(GTK_WIDGET(hints->preview));
    gtk_popover_popdown(GTK_POPOVER(hints->popover));
    GtkWidget *chooser = gtk_color_chooser_dialog_new(_("Color of This Place"), GTK_WINDOW(top));
    float rgb[3];
    dab_rgb(&dab, rgb);
    GdkRGBA color = {(double)rgb[0], (double)rgb[1], (double)rgb[2], 1};
    gtk_color_chooser_set_use_alpha(GTK_COLOR_CHOOSER(chooser), FALSE);
    gtk_color_chooser_set_rgba(GTK_COLOR_CHOOSER(chooser), &color);
    if (gtk_dialog_run(GTK_DIALOG(chooser)) == GTK_RESPONSE_OK) {
        gtk_color_chooser_get_rgba(GTK_COLOR_CHOOSER(chooser), &color);
        float lab[3] = {(float)color.red, (float)color.green, (float)color.blue};
        cz_rgb_to_lab(lab, lab, 1);
        hints->current = current;
        hints->placing = placing;
        hints->kept = dab;
        choose(hints, lab[1], lab[2]);
    }
    gtk_widget_destroy(chooser);
}

static void on_delete(UiHints *hints)
{
    give_up(hints);
    remove_dab(hints, hints->current);
    hints->edited = true;
    gtk_popover_popdown(GTK_POPOVER(hints->popover));
    changed(hints);
}

static GtkWidget *button_new(const char *label, GCallback clicked, UiHints *hints)
{
    GtkWidget *button = gtk_button_new_with_mnemonic(label);
    g_signal_connect_swapped(button, "clicked", clicked, hints);
    return button;
}

static void fill_popover(UiHints *hints)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
    GtkWidget *label = gtk_label_new(_("What color is this?"));
    g_object_set(box, "margin", 6, NULL);
    g_object_set(label, "xalign", 0.0f, NULL);
    gtk_container_add(GTK_CONTAINER(box), label);
    gtk_container_add(GTK_CONTAINER(box), swatches_new(hints));
    gtk_container_add(GTK_CONTAINER(box),
                      button_new(_("_Other Color…"), G_CALLBACK(on_other), hints));
    if (!hints->placing)
        gtk_container_add(GTK_CONTAINER(box),
                          button_new(_("_Delete This Dab"), G_CALLBACK(on_delete), hints));
    GtkWidget *old = gtk_bin_get_child(GTK_BIN(hints->popover));
    if (old)
        gtk_widget_destroy(old);
    gtk_container_add(GTK_CONTAINER(hints->popover), box);
    gtk_widget_show_all(box);
}

static void ask(UiHints *hints, const CzDab *about, int index)
{
    const CzDab copy = *about, *dab = &copy; // giving up may move it
    give_up(hints);
    hints->kept = *dab;
    hints->current = index;
    hints->placing = index < 0;
    fill_popover(hints);
    GdkRectangle place = ui_preview_place(hints->preview, (double)dab->x, (double)dab->y);
    place.x -= MARK_SIZE / 2, place.y -= MARK_SIZE / 2;
    place.width = place.height = MARK_SIZE;
    gtk_popover_set_pointing_to(GTK_POPOVER(hints->popover), &place);
    gtk_popover_popup(GTK_POPOVER(hints->popover));
}

// ---- the preview's signals ----------------------------------------------------------------------

static void on_place_clicked(UiHints *hints, double x, double y)
{
    if (!hints->chroma || hints->n_dabs == CZ_MAX_DABS)
        return;
    const CzDab dab = {
        .x = (float)x, .y = (float)y, .l = lightness_at(hints->proxy, x, y), .weight = 1};
    ask(hints, &dab, -1);
}

static void on_mark_clicked(UiHints *hints, int index)
{
    if (hints->chroma)
        ask(hints, &hints->dabs[index], index);
}

static void on_mark_moved(UiHints *hints, int index, double x, double y)
{
    CzDab *dab = &hints->dabs[index];
    if (!hints->proxy)
        return;
    dab->x = (float)x, dab->y = (float)y;
    dab->l = lightness_at(hints->proxy, x, y);
    hints->edited = true;
    changed(hints);
}

static void on_mark_deleted(UiHints *hints, int index)
{
    remove_dab(hints, index);
    hints->edited = true;
    changed(hints);
}

// ---- from outside -----------------------------------------------------------------------------

UiHints *ui_hints_new(UiPreview *preview, void (*changed_dabs)(void *user), void *user)
{
    UiHints *hints = g_new0(UiHints, 1);
    hints->preview = preview;
    hints->changed = changed_dabs;
    hints->user = user;
    hints->popover = gtk_popover_new(GTK_WIDGET(preview));
    atk_object_set_name(gtk_widget_get_accessible(hints->popover), _("Color of This Place"));
    g_signal_connect_swapped(hints->popover, "closed", G_CALLBACK(give_up), hints);
    g_signal_connect_swapped(preview, "place-clicked", G_CALLBACK(on_place_clicked), hints);
    g_signal_connect_swapped(preview, "mark-clicked", G_CALLBACK(on_mark_clicked), hints);
    g_signal_connect_swapped(preview, "mark-moved", G_CALLBACK(on_mark_moved), hints);
    g_signal_connect_swapped(preview, "mark-deleted", G_CALLBACK(on_mark_deleted), hints);
    return hints;
}

// The widgets may be gone already.
void ui_hints_free(UiHints *hints)
{
    g_free(hints);
}

void ui_hints_set_chroma(UiHints *hints, const CzChroma *chroma, const UiProxy *proxy)
{
    hints->chroma = chroma;
    hints->proxy = proxy;
    if (!chroma)
        gtk_popover_popdown(GTK_POPOVER(hints->popover));
}

void ui_hints_take(UiHints *hints, const CzDab *dabs, size_t n_dabs)
{
    hints->n_dabs = MIN(n_dabs, CZ_MAX_DABS);
    for (size_t i = 0; i < hints->n_dabs; i++)
        hints->dabs[i] = dabs[i];
    hints->trying = hints->edited = false;
    gtk_popover_popdown(GTK_POPOVER(hints->popover));
    ui_preview_select_mark(hints->preview, -1);
    changed(hints);
}

void ui_hints_remove_all(UiHints *hints)
{
    bool edited = hints->edited || hints->n_dabs > 0;
    ui_hints_take(hints, NULL, 0);
    hints->edited = edited;
}

const CzDab *ui_hints_dabs(const UiHints *hints, size_t *n_dabs)
{
    *n_dabs = hints->n_dabs;
    return hints->dabs;
}

bool ui_hints_edited(const UiHints *hints)
{
    return hints->edited;
}
