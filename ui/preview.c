// SPDX-License-Identifier: LGPL-3.0-or-later
// The widget that shows the photograph before and after.
#include "preview.h"

#include <glib/gi18n-lib.h>

#include <math.h>

#include <cz/memory.h>

#include "view.h"

// How near to the line the pointer takes hold of it, in logical pixels.
#define GRIP       8.0
#define HANDLE     9.0
#define PAN_STEP   48.0
#define SPLIT_STEP 0.02
#define LEAST_SIDE 160
#define FIRST_W    720
#define FIRST_H    540

typedef enum { IDLE, PANNING, SPLITTING } Drag;

struct _UiPreview {
    GtkDrawingArea parent;
    const CzPhoto *photo;
    const UiProxy *proxy;
    const CzChroma *chroma;
    CzSettings settings;
    UiView view;

    UiShown shown;
    float *rgb;                      // of shown.part
    cairo_surface_t *before, *after; // NULL: to be made when it is drawn
    bool is_split, is_before;
    double split; // 0 to 1, of what is visible of the photograph
    Drag drag;
    double drag_x, drag_y;
    double scrolled; // of a step, from smooth scrolling
};

G_DEFINE_TYPE(UiPreview, ui_preview, GTK_TYPE_DRAWING_AREA)

enum { VIEW_CHANGED, FAILED, N_SIGNALS };
static guint signals[N_SIGNALS];

// ---- pixels ---------------------------------------------------------------------------------

static void forget_after(UiPreview *preview)
{
    g_clear_pointer(&preview->after, cairo_surface_destroy);
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

static void forget_pixels(UiPreview *preview)
{
    g_clear_pointer(&preview->rgb, cz_memory_free);
    g_clear_pointer(&preview->before, cairo_surface_destroy);
    forget_after(preview);
}

static void view_changed(UiPreview *preview)
{
    forget_pixels(preview);
    g_signal_emit(preview, signals[VIEW_CHANGED], 0);
}

static inline uint32_t byte_of(float value)
{
    return (uint32_t)(CLAMP(value, 0.0f, 1.0f) * 255.0f + 0.5f);
}

static cairo_surface_t *surface_of(const float *rgb, int32_t width, int32_t height)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(surface);
        return NULL;
    }
    unsigned char *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int32_t y = 0; y < height; y++) {
        uint32_t *row = (uint32_t *)(void *)(data + (size_t)y * stride);
        for (int32_t x = 0; x < width; x++, rgb += 3)
            row[x] = byte_of(rgb[0]) << 16 | byte_of(rgb[1]) << 8 | byte_of(rgb[2]);
    }
    cairo_surface_mark_dirty(surface);
    return surface;
}

static float *part_alloc(const CzPart *part, GError **error)
{
    size_t n_bytes = (size_t)part->width * part->height * 3 * sizeof(float);
    return cz_memory_alloc(n_bytes, "the preview", error);
}

static bool fetch(UiPreview *preview, GError **error)
{
    preview->shown = ui_view_shown(&preview->view);
    const CzPart *part = &preview->shown.part;
    float *rgb = part_alloc(part, error);
    if (!rgb ||
        !ui_proxy_part(preview->proxy, preview->photo, preview->shown.reduce, part, rgb, error)) {
        cz_memory_free(rgb);
        return false;
    }
    preview->rgb = rgb;
    preview->before = surface_of(rgb, part->width, part->height);
    return preview->before != NULL;
}

static bool colour(UiPreview *preview, GError **error)
{
    const CzPart *part = &preview->shown.part;
    float *rgb = part_alloc(part, error);
    if (!rgb)
        return false;
    cz_chroma_apply_part(preview->chroma, &preview->settings, part, preview->rgb, rgb);
    preview->after = surface_of(rgb, part->width, part->height);
    cz_memory_free(rgb);
    return preview->after != NULL;
}

// Makes what is missing.
static bool ensure_pixels(UiPreview *preview)
{
    g_autoptr(GError) error = NULL;
    if (!preview->proxy || preview->view.width < 1 || preview->view.height < 1)
        return false;
    if (!preview->before && !fetch(preview, &error)) {
        g_signal_emit(preview, signals[FAILED], 0, error ? error->message : "");
        return false;
    }
    if (preview->chroma && !preview->after && !colour(preview, &error))
        g_signal_emit(preview, signals[FAILED], 0, error ? error->message : "");
    return true;
}

cairo_surface_t *ui_preview_pixels(UiPreview *preview, bool after, CzPart *part)
{
    if (!ensure_pixels(preview))
        return NULL;
    *part = preview->shown.part;
    return after ? preview->after : preview->before;
}

// ---- drawing --------------------------------------------------------------------------------

static int scale_factor(UiPreview *preview)
{
    return gtk_widget_get_scale_factor(GTK_WIDGET(preview));
}

// What is visible of the photograph, in logical pixels.
static void visible_box(UiPreview *preview, double *x, double *y, double *w, double *h)
{
    UiShown shown = ui_view_shown(&preview->view);
    double factor = scale_factor(preview);
    double left = MAX(shown.x, 0), top = MAX(shown.y, 0);
    double right = MIN(shown.x + shown.part.width * shown.magnify, preview->view.width);
    double bottom = MIN(shown.y + shown.part.height * shown.magnify, preview->view.height);
    *x = left / factor, *y = top / factor;
    *w = (right - left) / factor, *h = (bottom - top) / factor;
}

static double split_x(UiPreview *preview)
{
    double x, y, w, h;
    visible_box(preview, &x, &y, &w, &h);
    return x + round(w * preview->split);
}

static void draw_surface(UiPreview *preview, cairo_t *cr, cairo_surface_t *surface)
{
    const UiShown *shown = &preview->shown;
    double factor = scale_factor(preview);
    cairo_save(cr);
    cairo_scale(cr, 1 / factor, 1 / factor);
    cairo_translate(cr, shown->x, shown->y);
    cairo_scale(cr, shown->magnify, shown->magnify);
    cairo_set_source_surface(cr, surface, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_NEAREST);
    cairo_paint(cr);
    cairo_restore(cr);
}

// White with a dark rim: visible on every photograph.
static void draw_line(UiPreview *preview, cairo_t *cr)
{
    double x, y, w, h, at = split_x(preview);
    visible_box(preview, &x, &y, &w, &h);
    double middle = y + h / 2, third = HANDLE / 3;
    cairo_rectangle(cr, at - 1.5, y, 3, h);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.35);
    cairo_fill(cr);
    cairo_rectangle(cr, at - 0.5, y, 1, h);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_fill(cr);
    cairo_arc(cr, at, middle, HANDLE, 0, 2 * G_PI);
    cairo_fill_preserve(cr);
    cairo_set_line_width(cr, gtk_widget_has_focus(GTK_WIDGET(preview)) ? 2 : 1);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.6);
    cairo_stroke(cr);
    for (int side = -1; side <= 1; side += 2) {
        cairo_move_to(cr, at + side * third * 2, middle);
        cairo_line_to(cr, at + side * third * 0.8, middle - third);
        cairo_line_to(cr, at + side * third * 0.8, middle + third);
        cairo_close_path(cr);
        cairo_fill(cr);
    }
}

static void draw_label(UiPreview *preview, cairo_t *cr, const char *text, double x, double y,
                       bool to_the_left)
{
    g_autoptr(PangoLayout) layout = gtk_widget_create_pango_layout(GTK_WIDGET(preview), text);
    int w, h;
    pango_layout_get_pixel_size(layout, &w, &h);
    x -= to_the_left ? w + 12 : 0;
    cairo_rectangle(cr, x, y, w + 12, h + 6);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.55);
    cairo_fill(cr);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_move_to(cr, x + 6, y + 3);
    pango_cairo_show_layout(cr, layout);
}

static void draw_split(UiPreview *preview, cairo_t *cr)
{
    double x, y, w, h, at = split_x(preview);
    visible_box(preview, &x, &y, &w, &h);
    cairo_save(cr);
    cairo_rectangle(cr, x, y, at - x, h);
    cairo_clip(cr);
    draw_surface(preview, cr, preview->before);
    draw_label(preview, cr, _("Before"), x + 6, y + 6, false);
    cairo_restore(cr);
    cairo_save(cr);
    cairo_rectangle(cr, at, y, x + w - at, h);
    cairo_clip(cr);
    draw_label(preview, cr, _("After"), x + w - 6, y + 6, true);
    cairo_restore(cr);
    draw_line(preview, cr);
}

static gboolean draw(GtkWidget *widget, cairo_t *cr)
{
    UiPreview *preview = UI_PREVIEW(widget);
    GtkStyleContext *style = gtk_widget_get_style_context(widget);
    int width = gtk_widget_get_allocated_width(widget);
    int height = gtk_widget_get_allocated_height(widget);
    gtk_render_background(style, cr, 0, 0, width, height);
    if (ensure_pixels(preview)) {
        bool after = preview->after && !preview->is_before;
        draw_surface(preview, cr, after ? preview->after : preview->before);
        if (after && preview->is_split)
            draw_split(preview, cr);
    }
    if (gtk_widget_has_visible_focus(widget))
        gtk_render_focus(style, cr, 0, 0, width, height);
    return GDK_EVENT_PROPAGATE;
}

// ---- input ----------------------------------------------------------------------------------

static void set_split(UiPreview *preview, double x)
{
    double left, top, w, h;
    visible_box(preview, &left, &top, &w, &h);
    preview->split = w > 0 ? CLAMP((x - left) / w, 0, 1) : 0.5;
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

static bool on_line(UiPreview *preview, double x)
{
    return preview->is_split && preview->after && fabs(x - split_x(preview)) <= GRIP;
}

static void set_cursor(UiPreview *preview, double x)
{
    const char *name = "default";
    if (preview->drag == SPLITTING || (preview->drag == IDLE && on_line(preview, x)))
        name = "ew-resize";
    else if (preview->drag == PANNING)
        name = "grabbing";
    else if (ui_view_pannable(&preview->view))
        name = "grab";
    GdkWindow *window = gtk_widget_get_window(GTK_WIDGET(preview));
    g_autoptr(GdkCursor) cursor = gdk_cursor_new_from_name(gdk_window_get_display(window), name);
    gdk_window_set_cursor(window, cursor); // NULL, where a theme lacks it, is the default
}

static gboolean button_pressed(GtkWidget *widget, GdkEventButton *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    gtk_widget_grab_focus(widget);
    if (event->type != GDK_BUTTON_PRESS || event->button > GDK_BUTTON_MIDDLE)
        return GDK_EVENT_PROPAGATE;
    if (event->button == GDK_BUTTON_PRIMARY && on_line(preview, event->x))
        preview->drag = SPLITTING;
    else if (ui_view_pannable(&preview->view))
        preview->drag = PANNING;
    preview->drag_x = event->x;
    preview->drag_y = event->y;
    set_cursor(preview, event->x);
    return GDK_EVENT_STOP;
}

static gboolean button_released(GtkWidget *widget, GdkEventButton *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    preview->drag = IDLE;
    set_cursor(preview, event->x);
    return GDK_EVENT_STOP;
}

static gboolean pointer_moved(GtkWidget *widget, GdkEventMotion *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    if (preview->drag == SPLITTING) {
        set_split(preview, event->x);
    } else if (preview->drag == PANNING) {
        double factor = scale_factor(preview);
        ui_view_pan(&preview->view, (event->x - preview->drag_x) * factor,
                    (event->y - preview->drag_y) * factor);
        preview->drag_x = event->x;
        preview->drag_y = event->y;
        forget_pixels(preview);
    }
    set_cursor(preview, event->x);
    return GDK_EVENT_STOP;
}

static void zoom_at(UiPreview *preview, int direction, double x, double y)
{
    double factor = scale_factor(preview);
    if (!preview->proxy)
        return;
    ui_view_zoom(&preview->view, direction, x * factor, y * factor);
    view_changed(preview);
}

// A touchpad's small steps add up to one of a wheel.
static gboolean scrolled(GtkWidget *widget, GdkEventScroll *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    if (event->direction == GDK_SCROLL_SMOOTH)
        preview->scrolled -= event->delta_y;
    else
        preview->scrolled = event->direction == GDK_SCROLL_UP     ? 1
                            : event->direction == GDK_SCROLL_DOWN ? -1
                                                                  : 0;
    if (fabs(preview->scrolled) >= 1) {
        zoom_at(preview, preview->scrolled > 0 ? 1 : -1, event->x, event->y);
        preview->scrolled = 0;
    }
    return GDK_EVENT_STOP;
}

static void pan_by(UiPreview *preview, int dx, int dy)
{
    double step = PAN_STEP * scale_factor(preview);
    ui_view_pan(&preview->view, -dx * step, -dy * step);
    forget_pixels(preview);
}

static bool arrow_pressed(UiPreview *preview, const GdkEventKey *event)
{
    int dx = event->keyval == GDK_KEY_Left ? -1 : event->keyval == GDK_KEY_Right;
    int dy = event->keyval == GDK_KEY_Up ? -1 : event->keyval == GDK_KEY_Down;
    if (!dx && !dy)
        return false;
    bool splits = preview->is_split && dx;
    bool pans = ui_view_pannable(&preview->view);
    if (splits && (!pans || event->state & GDK_SHIFT_MASK)) {
        preview->split = CLAMP(preview->split + dx * SPLIT_STEP, 0, 1);
        gtk_widget_queue_draw(GTK_WIDGET(preview));
        return true;
    }
    if (pans)
        pan_by(preview, dx, dy);
    return pans; // else the focus may move on
}

static gboolean key_pressed(GtkWidget *widget, GdkEventKey *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    switch (event->keyval) {
    case GDK_KEY_plus:
    case GDK_KEY_equal:
    case GDK_KEY_KP_Add:
        ui_preview_zoom_step(preview, 1);
        return GDK_EVENT_STOP;
    case GDK_KEY_minus:
    case GDK_KEY_KP_Subtract:
        ui_preview_zoom_step(preview, -1);
        return GDK_EVENT_STOP;
    case GDK_KEY_0:
    case GDK_KEY_KP_0:
        ui_preview_zoom_fit(preview);
        return GDK_EVENT_STOP;
    case GDK_KEY_1:
    case GDK_KEY_KP_1:
        ui_preview_zoom_full(preview);
        return GDK_EVENT_STOP;
    }
    return arrow_pressed(preview, event) ? GDK_EVENT_STOP : GDK_EVENT_PROPAGATE;
}

// ---- widget -----------------------------------------------------------------------------------

static void update_size(UiPreview *preview)
{
    GtkWidget *widget = GTK_WIDGET(preview);
    int factor = scale_factor(preview);
    int32_t width = gtk_widget_get_allocated_width(widget) * factor;
    int32_t height = gtk_widget_get_allocated_height(widget) * factor;
    if (width == preview->view.width && height == preview->view.height)
        return;
    preview->view.width = width;
    preview->view.height = height;
    if (preview->proxy)
        ui_view_pan(&preview->view, 0, 0);
    view_changed(preview);
}

static void size_allocate(GtkWidget *widget, GtkAllocation *allocation)
{
    GTK_WIDGET_CLASS(ui_preview_parent_class)->size_allocate(widget, allocation);
    update_size(UI_PREVIEW(widget));
}

static void scale_changed(UiPreview *preview)
{
    update_size(preview);
}

static void preferred_width(GtkWidget *widget, gint *least, gint *natural)
{
    *least = LEAST_SIDE;
    *natural = FIRST_W;
}

static void preferred_height(GtkWidget *widget, gint *least, gint *natural)
{
    *least = LEAST_SIDE;
    *natural = FIRST_H;
}

static void finalize(GObject *object)
{
    UiPreview *preview = UI_PREVIEW(object);
    g_clear_pointer(&preview->rgb, cz_memory_free);
    g_clear_pointer(&preview->before, cairo_surface_destroy);
    g_clear_pointer(&preview->after, cairo_surface_destroy);
    G_OBJECT_CLASS(ui_preview_parent_class)->finalize(object);
}

static void ui_preview_class_init(UiPreviewClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);
    G_OBJECT_CLASS(class)->finalize = finalize;
    widget_class->draw = draw;
    widget_class->size_allocate = size_allocate;
    widget_class->get_preferred_width = preferred_width;
    widget_class->get_preferred_height = preferred_height;
    widget_class->button_press_event = button_pressed;
    widget_class->button_release_event = button_released;
    widget_class->motion_notify_event = pointer_moved;
    widget_class->scroll_event = scrolled;
    widget_class->key_press_event = key_pressed;
    gtk_widget_class_set_css_name(widget_class, "preview");
    signals[VIEW_CHANGED] = g_signal_new("view-changed", UI_TYPE_PREVIEW, G_SIGNAL_RUN_LAST, 0,
                                         NULL, NULL, NULL, G_TYPE_NONE, 0);
    signals[FAILED] = g_signal_new("failed", UI_TYPE_PREVIEW, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                   NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void ui_preview_init(UiPreview *preview)
{
    GtkWidget *widget = GTK_WIDGET(preview);
    gtk_widget_set_can_focus(widget, TRUE);
    gtk_widget_add_events(widget, GDK_BUTTON_PRESS_MASK | GDK_BUTTON_RELEASE_MASK |
                                      GDK_POINTER_MOTION_MASK | GDK_SCROLL_MASK |
                                      GDK_SMOOTH_SCROLL_MASK | GDK_KEY_PRESS_MASK);
    AtkObject *accessible = gtk_widget_get_accessible(widget);
    atk_object_set_name(accessible, _("Preview"));
    atk_object_set_role(accessible, ATK_ROLE_CANVAS);
    g_signal_connect(preview, "notify::scale-factor", G_CALLBACK(scale_changed), NULL);
    preview->split = 0.5;
    preview->view = (UiView){.photo_w = 1, .photo_h = 1, .proxy_factor = 1};
    ui_view_fit(&preview->view);
    cz_settings_init(&preview->settings);
}

GtkWidget *ui_preview_new(void)
{
    return g_object_new(UI_TYPE_PREVIEW, NULL);
}

void ui_preview_set_photo(UiPreview *preview, const CzPhoto *photo, const UiProxy *proxy)
{
    preview->photo = photo;
    preview->proxy = proxy;
    if (proxy) {
        preview->view.photo_w = proxy->photo_w;
        preview->view.photo_h = proxy->photo_h;
        preview->view.proxy_factor = proxy->factor;
        ui_view_fit(&preview->view);
    }
    view_changed(preview);
}

void ui_preview_set_chroma(UiPreview *preview, const CzChroma *chroma)
{
    preview->chroma = chroma;
    forget_after(preview);
}

void ui_preview_set_settings(UiPreview *preview, const CzSettings *settings)
{
    preview->settings = *settings;
    forget_after(preview);
}

void ui_preview_set_split(UiPreview *preview, bool split)
{
    preview->is_split = split;
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

void ui_preview_set_before(UiPreview *preview, bool before)
{
    preview->is_before = before;
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

void ui_preview_zoom_fit(UiPreview *preview)
{
    ui_view_fit(&preview->view);
    view_changed(preview);
}

void ui_preview_zoom_full(UiPreview *preview)
{
    if (!preview->proxy)
        return;
    ui_view_full(&preview->view, preview->view.width / 2.0, preview->view.height / 2.0);
    view_changed(preview);
}

void ui_preview_zoom_step(UiPreview *preview, int direction)
{
    double factor = scale_factor(preview);
    zoom_at(preview, direction, preview->view.width / factor / 2,
            preview->view.height / factor / 2);
}

bool ui_preview_is_fit(UiPreview *preview)
{
    return preview->view.fit;
}

double ui_preview_scale(UiPreview *preview)
{
    return ui_view_scale(&preview->view);
}
