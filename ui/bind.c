// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of settings as widgets.
#include "bind.h"

#include <string.h>

#include <glib/gi18n-lib.h>

#include <cz/plan.h>

#include "weights.h"

#define MOST_CHOICES 6
#define CHOOSE_FILE  "\n" // no path is this

typedef struct {
    int32_t value;
    const char *label;
} Choice;

// What the table of settings cannot know: where a control stands, and the words for its numbers.
typedef struct {
    const char *key;
    UiSection section;
    const char *help; // NULL: the row's
    Choice choices[MOST_CHOICES];
} Place;

// clang-format off
static const Place places[] = {
    {"strength", UI_SECTION_COLOR, NULL, {{0}}},
    {"warmth", UI_SECTION_COLOR, NULL, {{0}}},
    {"keep-tone", UI_SECTION_COLOR, N_("Mixes the colors with the tint that the photograph has"), {{0}}},
    {"hints", UI_SECTION_HINTS, N_("A layer with dabs of known color"), {{-1, N_("None")}}},
    {"reach", UI_SECTION_HINTS, NULL, {{0}}},
    {"output", UI_SECTION_RESULT, N_("Where the colors go. A new layer leaves the photograph untouched"),
     {{CZ_OUTPUT_LAYER, N_("New color layer")}, {CZ_OUTPUT_IN_PLACE, N_("Change this layer")},
      {CZ_OUTPUT_IMAGE, N_("New image")}}},
    {"tile-size", UI_SECTION_ENGINE, N_("Large photographs can be worked on in tiles: finer colors, more time, no more memory"),
     {{0, N_("Automatic")}, {-1, N_("Off")}, {512, N_("512 pixels")}, {1024, N_("1024 pixels")},
      {2048, N_("2048 pixels")}}},
    {"device", UI_SECTION_ENGINE, N_("What computes the colors"), {{0}}},
    {"weights", UI_SECTION_ENGINE, N_("The trained network: a safetensors file"), {{0}}},
};
// clang-format on

typedef struct {
    UiBind *bind;
    const CzSettingRow *row;
    const Place *place; // NULL: none of its own
    GtkWidget *widget;  // GtkScale, GtkSpinButton, GtkCheckButton, GtkComboBoxText or GtkEntry
    GtkLabel *note;     // NULL: it has none
} Control;

struct UiBind {
    Control *controls;
    size_t n_controls;
    const UiHost *host;
    GtkGrid *const *sections;
    int n_rows[UI_N_SECTIONS];
    GtkSizeGroup *labels; // all sections' labels are as wide
    GString *mnemonics;
    char *weights; // the last that were right
    bool setting;  // the program changes widgets, not the user
    void (*changed)(void *user, const CzSettingRow *row);
    void *user;
};

static const char *translated(const char *text)
{
    return text && *text ? g_dgettext(GETTEXT_PACKAGE, text) : "";
}

static const Place *find_place(const char *key)
{
    for (size_t i = 0; i < G_N_ELEMENTS(places); i++)
        if (g_str_equal(places[i].key, key))
            return &places[i];
    return NULL;
}

static void on_changed(Control *control)
{
    UiBind *bind = control->bind;
    if (!bind->setting)
        bind->changed(bind->user, control->row);
}

// ---- mnemonics ----------------------------------------------------------------------------------

static void collect_mnemonics(GtkWidget *widget, gpointer data)
{
    GString *used = data;
    if (GTK_IS_LABEL(widget)) {
        guint keyval = gtk_label_get_mnemonic_keyval(GTK_LABEL(widget));
        gunichar letter = keyval == GDK_KEY_VoidSymbol ? 0 : gdk_keyval_to_unicode(keyval);
        if (letter)
            g_string_append_unichar(used, g_unichar_tolower(letter));
    }
    if (GTK_IS_CONTAINER(widget))
        gtk_container_forall(GTK_CONTAINER(widget), collect_mnemonics, data);
}

// The label with a '_' before its first letter that is free, in every language.
static char *with_mnemonic(UiBind *bind, const char *label)
{
    for (const char *at = label; *at; at = g_utf8_next_char(at)) {
        gunichar letter = g_unichar_tolower(g_utf8_get_char(at));
        if (letter == '_' || !g_unichar_isalnum(letter) || g_unichar_iswide(letter) ||
            g_utf8_strchr(bind->mnemonics->str, -1, letter))
            continue;
        g_string_append_unichar(bind->mnemonics, letter);
        return g_strdup_printf("%.*s_%s", (int)(at - label), label, at);
    }
    return g_strdup(label);
}

// ---- controls -----------------------------------------------------------------------------------

static GtkAdjustment *adjustment_of(const CzSettingRow *row)
{
    bool whole = row->type != CZ_SETTING_FLOAT;
    double step = whole ? 1 : 0.01, page = whole ? 10 : 0.1;
    return gtk_adjustment_new(row->initial, row->min, row->max, step, page, 0);
}

static GtkWidget *make_scale(Control *control, GtkWidget *box)
{
    const CzSettingRow *row = control->row;
    GtkAdjustment *adjustment = adjustment_of(row);
    GtkWidget *scale = gtk_scale_new(GTK_ORIENTATION_HORIZONTAL, adjustment);
    gtk_scale_set_draw_value(GTK_SCALE(scale), FALSE);
    gtk_scale_set_digits(GTK_SCALE(scale), 2);
    gtk_scale_set_has_origin(GTK_SCALE(scale), FALSE);
    gtk_scale_add_mark(GTK_SCALE(scale), row->initial, GTK_POS_BOTTOM, NULL);
    gtk_widget_set_hexpand(scale, TRUE);
    gtk_widget_set_size_request(scale, 110, -1);
    GtkWidget *spin = gtk_spin_button_new(adjustment, 0.01, 2);
    gtk_spin_button_set_numeric(GTK_SPIN_BUTTON(spin), TRUE);
    gtk_entry_set_width_chars(GTK_ENTRY(spin), 5);
    gtk_entry_set_activates_default(GTK_ENTRY(spin), TRUE);
    gtk_widget_set_valign(spin, GTK_ALIGN_CENTER);
    atk_object_set_name(gtk_widget_get_accessible(spin), translated(row->label));
    gtk_container_add(GTK_CONTAINER(box), scale);
    gtk_container_add(GTK_CONTAINER(box), spin);
    g_signal_connect_swapped(adjustment, "value-changed", G_CALLBACK(on_changed), control);
    return scale;
}

static GtkComboBoxText *make_combo(GtkWidget *box)
{
    GtkWidget *combo = gtk_combo_box_text_new();
    gtk_widget_set_hexpand(combo, TRUE);
    g_autoptr(GList) cells = gtk_cell_layout_get_cells(GTK_CELL_LAYOUT(combo));
    // Names of devices are long; the details are in the tooltip.
    g_object_set(cells->data, "ellipsize", PANGO_ELLIPSIZE_END, "width-chars", 16, NULL);
    gtk_container_add(GTK_CONTAINER(box), combo);
    return GTK_COMBO_BOX_TEXT(combo);
}

static void add_number(GtkComboBoxText *combo, int32_t value, const char *label)
{
    g_autofree char *id = g_strdup_printf("%d", value);
    gtk_combo_box_text_append(combo, id, label);
}

static void add_note(Control *control, GtkWidget *box)
{
    control->note = GTK_LABEL(gtk_label_new(NULL));
    gtk_label_set_line_wrap(control->note, TRUE);
    gtk_label_set_xalign(control->note, 0);
    gtk_label_set_width_chars(control->note, 20);
    gtk_label_set_max_width_chars(control->note, 26);
    gtk_style_context_add_class(gtk_widget_get_style_context(GTK_WIDGET(control->note)),
                                GTK_STYLE_CLASS_DIM_LABEL);
    gtk_orientable_set_orientation(GTK_ORIENTABLE(box), GTK_ORIENTATION_VERTICAL);
    gtk_container_add(GTK_CONTAINER(box), GTK_WIDGET(control->note));
}

static GtkWidget *make_choice(Control *control, GtkWidget *box)
{
    GtkComboBoxText *combo = make_combo(box);
    const Choice *choices = control->place->choices;
    for (int i = 0; i < MOST_CHOICES && choices[i].label; i++)
        add_number(combo, choices[i].value, translated(choices[i].label));
    if (control->place->section == UI_SECTION_ENGINE)
        add_note(control, box);
    g_signal_connect_swapped(combo, "changed", G_CALLBACK(on_changed), control);
    return GTK_WIDGET(combo);
}

static GtkWidget *make_device(Control *control, GtkWidget *box)
{
    GtkComboBoxText *combo = make_combo(box);
    gtk_combo_box_text_append(combo, control->row->initial_text, _("Automatic"));
    g_signal_connect_swapped(combo, "changed", G_CALLBACK(on_changed), control);
    return GTK_WIDGET(combo);
}

static GtkWidget *make_number(Control *control, GtkWidget *box)
{
    const CzSettingRow *row = control->row;
    GtkWidget *widget;
    if (row->min == 0 && row->max == 1) {
        g_autofree char *label = with_mnemonic(control->bind, translated(row->label));
        widget = gtk_check_button_new_with_mnemonic(label);
        g_signal_connect_swapped(widget, "toggled", G_CALLBACK(on_changed), control);
    } else {
        widget = gtk_spin_button_new(adjustment_of(row), 1, 0);
        g_signal_connect_swapped(widget, "value-changed", G_CALLBACK(on_changed), control);
    }
    gtk_container_add(GTK_CONTAINER(box), widget);
    return widget;
}

static GtkWidget *make_text(Control *control, GtkWidget *box)
{
    GtkWidget *entry = gtk_entry_new();
    gtk_entry_set_max_length(GTK_ENTRY(entry), (gint)control->row->size - 1);
    gtk_widget_set_hexpand(entry, TRUE);
    gtk_container_add(GTK_CONTAINER(box), entry);
    g_signal_connect_swapped(entry, "activate", G_CALLBACK(on_changed), control);
    return entry;
}

// ---- weights ------------------------------------------------------------------------------------

static void add_weights(GtkComboBoxText *combo, int position, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(UiWeights) weights = ui_weights_read(path, &error);
    g_autofree char *name = g_filename_display_basename(path);
    gtk_combo_box_text_insert(combo, position, path,
                              weights ? weights->title
                              : *path ? name
                                      : _("Bundled"));
}

static void show_details(Control *control, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(UiWeights) weights = ui_weights_read(path, &error);
    gtk_label_set_text(control->note, weights ? weights->details : error->message);
    gtk_widget_set_tooltip_text(GTK_WIDGET(control->note), weights ? weights->licence : NULL);
}

// Shows path, known before or not.
static void set_weights(Control *control, const char *path)
{
    GtkComboBox *combo = GTK_COMBO_BOX(control->widget);
    if (!gtk_combo_box_set_active_id(combo, path)) {
        add_weights(GTK_COMBO_BOX_TEXT(combo), 1, path);
        gtk_combo_box_set_active_id(combo, path);
    }
    g_free(control->bind->weights);
    control->bind->weights = g_strdup(path);
    show_details(control, path);
}

static char *choose_file(GtkWidget *above)
{
    g_autoptr(GtkFileChooserNative) chooser =
        gtk_file_chooser_native_new(_("Choose Weights"), GTK_WINDOW(gtk_widget_get_toplevel(above)),
                                    GTK_FILE_CHOOSER_ACTION_OPEN, _("_Open"), _("_Cancel"));
    GtkFileFilter *filter = gtk_file_filter_new();
    gtk_file_filter_set_name(filter, _("Weights (*.safetensors)"));
    gtk_file_filter_add_pattern(filter, "*.safetensors");
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(chooser), filter);
    if (gtk_native_dialog_run(GTK_NATIVE_DIALOG(chooser)) != GTK_RESPONSE_ACCEPT)
        return NULL;
    return gtk_file_chooser_get_filename(GTK_FILE_CHOOSER(chooser));
}

static void weights_changed(Control *control)
{
    UiBind *bind = control->bind;
    const char *path = gtk_combo_box_get_active_id(GTK_COMBO_BOX(control->widget));
    if (bind->setting || !path)
        return;
    bind->setting = true;
    if (g_str_equal(path, CHOOSE_FILE)) {
        g_autofree char *chosen = choose_file(control->widget);
        bool fits = chosen && strlen(chosen) < control->row->size;
        g_autofree char *last = g_strdup(bind->weights);
        set_weights(control, fits ? chosen : last);
    } else {
        g_autofree char *copy = g_strdup(path);
        set_weights(control, copy);
    }
    bind->setting = false;
    on_changed(control);
}

static GtkWidget *make_weights(Control *control, GtkWidget *box)
{
    GtkComboBoxText *combo = make_combo(box);
    g_autoptr(GPtrArray) list = ui_weights_list();
    for (guint i = 0; i < list->len; i++) {
        const UiWeights *weights = g_ptr_array_index(list, i);
        gtk_combo_box_text_append(combo, weights->path, weights->title);
    }
    gtk_combo_box_text_append(combo, CHOOSE_FILE, _("Choose a file…"));
    add_note(control, box);
    g_signal_connect_swapped(combo, "changed", G_CALLBACK(weights_changed), control);
    return GTK_WIDGET(combo);
}

// ---- rows ---------------------------------------------------------------------------------------

static GtkWidget *make_widget(Control *control, GtkWidget *box)
{
    const CzSettingRow *row = control->row;
    if (row->type == CZ_SETTING_FLOAT)
        return make_scale(control, box);
    if (g_str_equal(row->key, "device"))
        return make_device(control, box);
    if (g_str_equal(row->key, "weights"))
        return make_weights(control, box);
    if (row->type == CZ_SETTING_STRING)
        return make_text(control, box);
    if (control->place && control->place->choices[0].label)
        return make_choice(control, box);
    return make_number(control, box);
}

static void add_label(Control *control, GtkGrid *grid, int at)
{
    g_autofree char *text = with_mnemonic(control->bind, translated(control->row->label));
    GtkWidget *label = gtk_label_new_with_mnemonic(text);
    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_widget_set_valign(label, control->note ? GTK_ALIGN_START : GTK_ALIGN_CENTER);
    gtk_widget_set_margin_top(label, control->note ? 8 : 0);
    gtk_label_set_mnemonic_widget(GTK_LABEL(label), control->widget);
    gtk_size_group_add_widget(control->bind->labels, label);
    gtk_grid_attach(grid, label, 0, at, 1, 1);
}

static void add_row(Control *control)
{
    const CzSettingRow *row = control->row;
    UiSection section = control->place ? control->place->section : UI_SECTION_COLOR;
    GtkGrid *grid = control->bind->sections[section];
    int at = control->bind->n_rows[section]++;
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
    gtk_widget_set_hexpand(box, TRUE);
    control->widget = make_widget(control, box);
    const char *own = control->place ? control->place->help : NULL;
    gtk_widget_set_tooltip_text(box, translated(own ? own : row->help));
    AtkObject *accessible = gtk_widget_get_accessible(control->widget);
    atk_object_set_name(accessible, translated(row->label));
    atk_object_set_description(accessible, translated(own ? own : row->help));
    if (GTK_IS_CHECK_BUTTON(control->widget)) {
        gtk_grid_attach(grid, box, 0, at, 2, 1);
    } else {
        add_label(control, grid, at);
        gtk_grid_attach(grid, box, 1, at, 1, 1);
    }
    gtk_buildable_set_name(GTK_BUILDABLE(control->widget), row->key);
}

UiBind *ui_bind_new(GtkGrid *const sections[UI_N_SECTIONS], const UiHost *host,
                    void (*changed)(void *user, const CzSettingRow *row), void *user)
{
    UiBind *bind = g_new0(UiBind, 1);
    const CzSettingRow *rows = cz_settings(&bind->n_controls);
    bind->controls = g_new0(Control, bind->n_controls);
    bind->host = host;
    bind->sections = sections;
    bind->changed = changed;
    bind->user = user;
    bind->weights = g_strdup("");
    bind->mnemonics = g_string_new(NULL);
    bind->labels = gtk_size_group_new(GTK_SIZE_GROUP_HORIZONTAL);
    collect_mnemonics(gtk_widget_get_toplevel(GTK_WIDGET(sections[0])), bind->mnemonics);
    for (size_t i = 0; i < bind->n_controls; i++) {
        bind->controls[i] = (Control){bind, &rows[i], find_place(rows[i].key), NULL, NULL};
        add_row(&bind->controls[i]);
    }
    ui_bind_list_layers(bind);
    return bind;
}

void ui_bind_free(UiBind *bind)
{
    if (!bind)
        return;
    g_string_free(bind->mnemonics, TRUE);
    g_object_unref(bind->labels);
    g_free(bind->weights);
    g_free(bind->controls);
    g_free(bind);
}

// ---- values -------------------------------------------------------------------------------------

static double number_of(GtkWidget *widget)
{
    if (GTK_IS_RANGE(widget))
        return gtk_range_get_value(GTK_RANGE(widget));
    if (GTK_IS_TOGGLE_BUTTON(widget))
        return gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(widget));
    if (GTK_IS_SPIN_BUTTON(widget))
        return gtk_spin_button_get_value(GTK_SPIN_BUTTON(widget));
    const char *id = gtk_combo_box_get_active_id(GTK_COMBO_BOX(widget));
    return id ? (double)g_ascii_strtoll(id, NULL, 10) : 0;
}

static void get_control(const Control *control, CzSettings *settings)
{
    const CzSettingRow *row = control->row;
    char *field = (char *)settings + row->offset;
    if (row->type == CZ_SETTING_STRING) {
        const char *text = GTK_IS_ENTRY(control->widget)
                               ? gtk_entry_get_text(GTK_ENTRY(control->widget))
                               : gtk_combo_box_get_active_id(GTK_COMBO_BOX(control->widget));
        g_strlcpy(field, text ? text : row->initial_text, row->size);
    } else if (row->type == CZ_SETTING_FLOAT) {
        *(double *)field = number_of(control->widget);
    } else {
        *(int32_t *)field = (int32_t)number_of(control->widget);
    }
}

void ui_bind_get(const UiBind *bind, CzSettings *settings)
{
    for (size_t i = 0; i < bind->n_controls; i++)
        get_control(&bind->controls[i], settings);
}

static void set_number(GtkWidget *widget, double value)
{
    if (GTK_IS_RANGE(widget)) {
        gtk_range_set_value(GTK_RANGE(widget), value);
    } else if (GTK_IS_TOGGLE_BUTTON(widget)) {
        gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(widget), value != 0);
    } else if (GTK_IS_SPIN_BUTTON(widget)) {
        gtk_spin_button_set_value(GTK_SPIN_BUTTON(widget), value);
    } else {
        g_autofree char *id = g_strdup_printf("%d", (int32_t)value);
        if (!gtk_combo_box_set_active_id(GTK_COMBO_BOX(widget), id)) {
            gtk_combo_box_text_append(GTK_COMBO_BOX_TEXT(widget), id, id);
            gtk_combo_box_set_active_id(GTK_COMBO_BOX(widget), id);
        }
    }
}

static void set_control(Control *control, const CzSettings *settings)
{
    const CzSettingRow *row = control->row;
    const char *field = (const char *)settings + row->offset;
    GtkWidget *widget = control->widget;
    if (row->type == CZ_SETTING_FLOAT) {
        set_number(widget, *(const double *)field);
    } else if (row->type != CZ_SETTING_STRING) {
        set_number(widget, *(const int32_t *)field);
    } else if (GTK_IS_ENTRY(widget)) {
        gtk_entry_set_text(GTK_ENTRY(widget), field);
    } else if (g_str_equal(row->key, "weights")) {
        set_weights(control, field);
    } else if (!gtk_combo_box_set_active_id(GTK_COMBO_BOX(widget), field)) {
        gtk_combo_box_text_append(GTK_COMBO_BOX_TEXT(widget), field, field);
        gtk_combo_box_set_active_id(GTK_COMBO_BOX(widget), field);
    }
}

void ui_bind_set(UiBind *bind, const CzSettings *settings)
{
    bind->setting = true;
    for (size_t i = 0; i < bind->n_controls; i++)
        set_control(&bind->controls[i], settings);
    bind->setting = false;
}

// ---- what is offered ----------------------------------------------------------------------------

static Control *find_control(UiBind *bind, const char *key)
{
    size_t i = 0;
    while (i + 1 < bind->n_controls && !g_str_equal(bind->controls[i].row->key, key))
        i++;
    return &bind->controls[i];
}

void ui_bind_note(UiBind *bind, const char *key, const char *text)
{
    Control *control = find_control(bind, key);
    if (control->note)
        gtk_label_set_text(control->note, text ? text : "");
}

bool ui_bind_list_layers(UiBind *bind)
{
    Control *control = find_control(bind, "hints");
    GtkComboBox *combo = GTK_COMBO_BOX(control->widget);
    const Choice *none = &control->place->choices[0];
    g_autofree char *active = g_strdup(gtk_combo_box_get_active_id(combo));
    g_autoptr(GArray) layers =
        bind->host->list_layers ? bind->host->list_layers(bind->host->user) : ui_layers_new();
    bind->setting = true;
    gtk_combo_box_text_remove_all(GTK_COMBO_BOX_TEXT(combo));
    add_number(GTK_COMBO_BOX_TEXT(combo), none->value, translated(none->label));
    for (guint i = 0; i < layers->len; i++) {
        const UiLayer *layer = &g_array_index(layers, UiLayer, i);
        add_number(GTK_COMBO_BOX_TEXT(combo), layer->id, layer->name);
    }
    bool there = !active || gtk_combo_box_set_active_id(combo, active);
    if (!there || !active)
        gtk_combo_box_set_active(combo, 0);
    bind->setting = false;
    return there;
}

void ui_bind_list_devices(UiBind *bind)
{
    size_t n_devices;
    const CzDeviceInfo *devices = cz_devices(&n_devices, NULL);
    Control *control = find_control(bind, "device");
    GtkComboBoxText *combo = GTK_COMBO_BOX_TEXT(control->widget);
    g_autofree char *active = g_strdup(gtk_combo_box_get_active_id(GTK_COMBO_BOX(combo)));
    bind->setting = true;
    gtk_combo_box_text_remove_all(combo);
    gtk_combo_box_text_append(combo, control->row->initial_text, _("Automatic"));
    for (size_t j = 0; j < n_devices; j++) {
        g_autofree char *name = g_strdup_printf("%s: %s", devices[j].id, devices[j].name);
        gtk_combo_box_text_append(combo, devices[j].id, name);
    }
    if (active && !gtk_combo_box_set_active_id(GTK_COMBO_BOX(combo), active)) {
        gtk_combo_box_text_append(combo, active, active);
        gtk_combo_box_set_active_id(GTK_COMBO_BOX(combo), active);
    }
    bind->setting = false;
}

void ui_layer_clear(UiLayer *layer)
{
    g_clear_pointer(&layer->name, g_free);
}

GArray *ui_layers_new(void)
{
    GArray *layers = g_array_new(FALSE, FALSE, sizeof(UiLayer));
    g_array_set_clear_func(layers, (GDestroyNotify)ui_layer_clear);
    return layers;
}
