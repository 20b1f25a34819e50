// SPDX-License-Identifier: LGPL-3.0-or-later
// The widget that shows the photograph before and after.
#include "preview.h"

#include <glib/gi18n-lib.h>

#include <math.h>

#include "overlay.h"
#include "pixels.h"

// How near to the line the pointer takes hold of it, in logical pixels.
#define GRIP       8.0
#define CLICK_MOST 4.0 // a press that moves less far is a click
#define PAN_STEP   48.0
#define SPLIT_STEP 0.02
#define MARK_STEP  0.01
#define LEAST_SIDE 160
#define FIRST_W    720
#define FIRST_H    540

#define WANTED_EVENTS                                                            \
    (GDK_BUTTON_PRESS_MASK | GDK_BUTTON_RELEASE_MASK | GDK_POINTER_MOTION_MASK | \
     GDK_KEY_PRESS_MASK | GDK_SCROLL_MASK | GDK_SMOOTH_SCROLL_MASK)

typedef enum { IDLE, PRESSED, PANNING, SPLITTING, MARKING } Drag;

struct _UiPreview {
    GtkDrawingArea parent;
    UiPixels pixels;
    UiView view;
    bool is_split, is_before;
    double split; // 0 to 1, of what is visible of the photograph
    Drag drag;
    double drag_x, drag_y;
    double press_x, press_y;
    bool has_moved; // since the press
    UiMark *marks;
    int n_marks, selected; // -1: none
    double scrolled;       // of a step, from smooth scrolling
};

G_DEFINE_TYPE(UiPreview, ui_preview, GTK_TYPE_DRAWING_AREA)

enum { VIEW_CHANGED, FAILED, PLACE_CLICKED, MARK_CLICKED, MARK_MOVED, MARK_DELETED, N_SIGNALS };
static guint signals[N_SIGNALS];

// ---- pixels ---------------------------------------------------------------------------------

static void forget_after(UiPreview *preview)
{
    ui_pixels_forget_after(&preview->pixels);
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

static void forget_pixels(UiPreview *preview)
{
    ui_pixels_forget(&preview->pixels);
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

static void view_changed(UiPreview *preview)
{
    forget_pixels(preview);
    g_signal_emit(preview, signals[VIEW_CHANGED], 0);
}

// Makes what is missing.
static bool ensure_pixels(UiPreview *preview)
{
    g_autoptr(GError) error = NULL;
    bool good = ui_pixels_ensure(&preview->pixels, &preview->view, &error);
    if (error)
        g_signal_emit(preview, signals[FAILED], 0, error->message);
    return good;
}

cairo_surface_t *ui_preview_pixels(UiPreview *preview, bool after, CzPart *part)
{
    if (!ensure_pixels(preview))
        return NULL;
    *part = preview->pixels.shown.part;
    return after ? preview->pixels.after : preview->pixels.before;
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
    const UiShown *shown = &preview->pixels.shown;
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

static void place_to_widget(UiPreview *preview, double x, double y, double *at_x, double *at_y)
{
    double factor = scale_factor(preview);
    ui_view_to_screen(&preview->view, x, y, at_x, at_y);
    *at_x /= factor;
    *at_y /= factor;
}

static void draw_marks(UiPreview *preview, cairo_t *cr)
{
    for (int i = 0; i < preview->n_marks; i++) {
        double x, y;
        place_to_widget(preview, preview->marks[i].x, preview->marks[i].y, &x, &y);
        ui_overlay_mark(cr, x, y, preview->marks[i].rgb, i == preview->selected);
    }
}

static void draw_split(UiPreview *preview, cairo_t *cr)
{
    double x, y, w, h, at = split_x(preview);
    visible_box(preview, &x, &y, &w, &h);
    cairo_save(cr);
    cairo_rectangle(cr, x, y, at - x, h);
    cairo_clip(cr);
    draw_surface(preview, cr, preview->pixels.before);
    ui_overlay_label(GTK_WIDGET(preview), cr, _("Before"), x + 6, y + 6, false);
    cairo_restore(cr);
    cairo_save(cr);
    cairo_rectangle(cr, at, y, x + w - at, h);
    cairo_clip(cr);
    ui_overlay_label(GTK_WIDGET(preview), cr, _("After"), x + w - 6, y + 6, true);
    cairo_restore(cr);
    ui_overlay_line(cr, at, y, h, gtk_widget_has_focus(GTK_WIDGET(preview)));
}

static gboolean draw(GtkWidget *widget, cairo_t *cr)
{
    UiPreview *preview = UI_PREVIEW(widget);
    GtkStyleContext *style = gtk_widget_get_style_context(widget);
    int width = gtk_widget_get_allocated_width(widget);
    int height = gtk_widget_get_allocated_height(widget);
    gtk_render_background(style, cr, 0, 0, width, height);
    if (ensure_pixels(preview)) {
        bool after = preview->pixels.after && !preview->is_before;
        draw_surface(preview, cr, after ? preview->pixels.after : preview->pixels.before);
        if (after && preview->is_split)
            draw_split(preview, cr);
        if (!preview->is_before)
            draw_marks(preview, cr);
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
    return preview->is_split && preview->pixels.after && fabs(x - split_x(preview)) <= GRIP;
}

static void set_cursor(UiPreview *preview, double x)
{
    const char *name = "default";
    if (preview->drag == SPLITTING || (preview->drag == IDLE && on_line(preview, x)))
        name = "ew-resize";
    else if (preview->drag == PANNING || preview->drag == MARKING)
        name = "grabbing";
    else if (preview->pixels.chroma)
        name = "crosshair";
    else if (ui_view_pannable(&preview->view))
        name = "grab";
    GdkWindow *window = gtk_widget_get_window(GTK_WIDGET(preview));
    g_autoptr(GdkCursor) cursor = gdk_cursor_new_from_name(gdk_window_get_display(window), name);
    gdk_window_set_cursor(window, cursor); // NULL, where a theme lacks it, is the default
}

// The topmost mark under a place of the widget, or -1.
static int mark_at(UiPreview *preview, double at_x, double at_y)
{
    for (int i = preview->n_marks - 1; i >= 0; i--) {
        double x, y;
        place_to_widget(preview, preview->marks[i].x, preview->marks[i].y, &x, &y);
        if (hypot(x - at_x, y - at_y) <= UI_MARK_RADIUS + 3)
            return i;
    }
    return -1;
}

// The photograph's place, FALSE beside it.
static bool place_under(UiPreview *preview, double at_x, double at_y, double *x, double *y)
{
    double factor = scale_factor(preview);
    ui_view_to_photo(&preview->view, at_x * factor, at_y * factor, x, y);
    return *x >= 0 && *x < 1 && *y >= 0 && *y < 1;
}

static gboolean button_pressed(GtkWidget *widget, GdkEventButton *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    gtk_widget_grab_focus(widget);
    if (event->type != GDK_BUTTON_PRESS || event->button > GDK_BUTTON_MIDDLE)
        return GDK_EVENT_PROPAGATE;
    bool primary = event->button == GDK_BUTTON_PRIMARY;
    int mark = primary ? mark_at(preview, event->x, event->y) : -1;
    preview->has_moved = false;
    if (mark >= 0) {
        ui_preview_select_mark(preview, mark);
        preview->drag = MARKING;
    } else if (primary && on_line(preview, event->x)) {
        preview->drag = SPLITTING;
    } else {
        preview->drag = primary ? PRESSED : PANNING;
    }
    preview->press_x = preview->drag_x = event->x;
    preview->press_y = preview->drag_y = event->y;
    set_cursor(preview, event->x);
    return GDK_EVENT_STOP;
}

static gboolean button_released(GtkWidget *widget, GdkEventButton *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    Drag drag = preview->drag;
    double x, y;
    preview->drag = IDLE;
    set_cursor(preview, event->x);
    if (drag == PRESSED && preview->pixels.proxy &&
        place_under(preview, event->x, event->y, &x, &y))
        g_signal_emit(preview, signals[PLACE_CLICKED], 0, x, y);
    else if (drag == MARKING && !preview->has_moved)
        g_signal_emit(preview, signals[MARK_CLICKED], 0, preview->selected);
    return GDK_EVENT_STOP;
}

static void move_mark(UiPreview *preview, double x, double y)
{
    if (preview->selected < 0)
        return;
    g_signal_emit(preview, signals[MARK_MOVED], 0, preview->selected, CLAMP(x, 0, 0.99999),
                  CLAMP(y, 0, 0.99999));
}

static void drag_view(UiPreview *preview, double x, double y)
{
    double factor = scale_factor(preview);
    if (!ui_view_pannable(&preview->view))
        return;
    ui_view_pan(&preview->view, (x - preview->drag_x) * factor, (y - preview->drag_y) * factor);
    preview->drag_x = x;
    preview->drag_y = y;
    forget_pixels(preview);
}

static gboolean pointer_moved(GtkWidget *widget, GdkEventMotion *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    double x, y;
    if (hypot(event->x - preview->press_x, event->y - preview->press_y) > CLICK_MOST)
        preview->has_moved = true;
    if (preview->drag == PRESSED && preview->has_moved)
        preview->drag = PANNING;
    if (preview->drag == SPLITTING) {
        set_split(preview, event->x);
    } else if (preview->drag == PANNING) {
        drag_view(preview, event->x, event->y);
    } else if (preview->drag == MARKING && preview->has_moved) {
        place_under(preview, event->x, event->y, &x, &y);
        move_mark(preview, x, y);
    }
    set_cursor(preview, event->x);
    return GDK_EVENT_STOP;
}

static void zoom_at(UiPreview *preview, int direction, double x, double y)
{
    double factor = scale_factor(preview);
    if (!preview->pixels.proxy)
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
    if (event->state & GDK_CONTROL_MASK && preview->selected >= 0) {
        const UiMark *mark = &preview->marks[preview->selected];
        move_mark(preview, mark->x + dx * MARK_STEP, mark->y + dy * MARK_STEP);
        return true;
    }
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

// What a click into the middle of the view does, for those without a pointer; with a dab selected,
// what a click on it does.
static void click_middle(UiPreview *preview)
{
    double x, y, factor = scale_factor(preview);
    if (preview->selected >= 0)
        g_signal_emit(preview, signals[MARK_CLICKED], 0, preview->selected);
    else if (preview->pixels.proxy && place_under(preview, preview->view.width / factor / 2,
                                                  preview->view.height / factor / 2, &x, &y))
        g_signal_emit(preview, signals[PLACE_CLICKED], 0, x, y);
}

// Through all marks, and none.
static void select_next(UiPreview *preview, int direction)
{
    int n = preview->n_marks + 1;
    ui_preview_select_mark(preview, (preview->selected + 1 + direction + n) % n - 1);
}

static gboolean key_pressed(GtkWidget *widget, GdkEventKey *event)
{
    UiPreview *preview = UI_PREVIEW(widget);
    switch (event->keyval) {
    case GDK_KEY_Insert:
        click_middle(preview);
        return GDK_EVENT_STOP;
    case GDK_KEY_Page_Up:
    case GDK_KEY_Page_Down:
        select_next(preview, event->keyval == GDK_KEY_Page_Down ? 1 : -1);
        return GDK_EVENT_STOP;
    case GDK_KEY_Delete:
    case GDK_KEY_BackSpace:
        if (preview->selected >= 0)
            g_signal_emit(preview, signals[MARK_DELETED], 0, preview->selected);
        return GDK_EVENT_STOP;
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
    if (preview->pixels.proxy)
        ui_view_pan(&preview->view, 0, 0);
    view_changed(preview);
}

static void size_allocate(GtkWidget *widget, GtkAllocation *allocation)
{
    GTK_WIDGET_CLASS(ui_preview_parent_class)->size_allocate(widget, allocation);
    update_size(UI_PREVIEW(widget));
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
    ui_pixels_forget(&preview->pixels);
    g_free(preview->marks);
    G_OBJECT_CLASS(ui_preview_parent_class)->finalize(object);
}

static void add_signal(int signal, const char *name, guint n_types, GType first, GType second,
                       GType third)
{
    GType types[] = {first, second, third};
    signals[signal] = g_signal_newv(name, UI_TYPE_PREVIEW, G_SIGNAL_RUN_LAST, NULL, NULL, NULL,
                                    NULL, G_TYPE_NONE, n_types, types);
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
    add_signal(PLACE_CLICKED, "place-clicked", 2, G_TYPE_DOUBLE, G_TYPE_DOUBLE, G_TYPE_NONE);
    add_signal(MARK_CLICKED, "mark-clicked", 1, G_TYPE_INT, G_TYPE_NONE, G_TYPE_NONE);
    add_signal(MARK_MOVED, "mark-moved", 3, G_TYPE_INT, G_TYPE_DOUBLE, G_TYPE_DOUBLE);
    add_signal(MARK_DELETED, "mark-deleted", 1, G_TYPE_INT, G_TYPE_NONE, G_TYPE_NONE);
}

static void ui_preview_init(UiPreview *preview)
{
    GtkWidget *widget = GTK_WIDGET(preview);
    gtk_widget_set_can_focus(widget, TRUE);
    gtk_widget_add_events(widget, WANTED_EVENTS);
    AtkObject *accessible = gtk_widget_get_accessible(widget);
    atk_object_set_name(accessible, _("Preview"));
    atk_object_set_role(accessible, ATK_ROLE_CANVAS);
    g_signal_connect(preview, "notify::scale-factor", G_CALLBACK(update_size), NULL);
    preview->split = 0.5;
    preview->selected = -1;
    preview->view = (UiView){.photo_w = 1, .photo_h = 1, .proxy_factor = 1};
    ui_view_fit(&preview->view);
    cz_settings_init(&preview->pixels.settings);
}

GtkWidget *ui_preview_new(void)
{
    return g_object_new(UI_TYPE_PREVIEW, NULL);
}

void ui_preview_set_photo(UiPreview *preview, const CzPhoto *photo, const UiProxy *proxy)
{
    preview->pixels.photo = photo;
    preview->pixels.proxy = proxy;
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
    preview->pixels.chroma = chroma;
    forget_after(preview);
}

void ui_preview_set_settings(UiPreview *preview, const CzSettings *settings)
{
    preview->pixels.settings = *settings;
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

void ui_preview_set_marks(UiPreview *preview, const UiMark *marks, int n_marks)
{
    g_free(preview->marks);
    preview->marks = g_memdup2(marks, (size_t)n_marks * sizeof *marks);
    preview->n_marks = n_marks;
    preview->selected = MIN(preview->selected, n_marks - 1);
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

void ui_preview_select_mark(UiPreview *preview, int mark)
{
    preview->selected = mark;
    gtk_widget_queue_draw(GTK_WIDGET(preview));
}

GdkRectangle ui_preview_place(UiPreview *preview, double x, double y)
{
    double at_x, at_y;
    place_to_widget(preview, x, y, &at_x, &at_y);
    return (GdkRectangle){(int)lround(at_x), (int)lround(at_y), 1, 1};
}

void ui_preview_zoom_fit(UiPreview *preview)
{
    ui_view_fit(&preview->view);
    view_changed(preview);
}

void ui_preview_zoom_full(UiPreview *preview)
{
    if (!preview->pixels.proxy)
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

double ui_preview_scale(UiPreview *preview)
{
    return ui_view_scale(&preview->view);
}
