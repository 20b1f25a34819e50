// SPDX-License-Identifier: LGPL-3.0-or-later
// The menu beside Reset: presets, and the settings as a command.
#include "menu.h"

#include <glib/gi18n-lib.h>

#include "command.h"
#include "presets.h"

struct UiMenu {
    const UiHost *host;
    UiMenuCalls calls;
    GtkWidget *popover;
    GtkWidget *list;  // a row each preset
    GtkWidget *entry; // name of a new one
};

static void fill(UiMenu *menu);

static void on_load(GtkButton *button, UiMenu *menu)
{
    CzSettings settings;
    if (ui_presets_load(menu->host->folder, gtk_button_get_label(button), &settings))
        menu->calls.set(menu->calls.user, &settings);
    gtk_popover_popdown(GTK_POPOVER(menu->popover));
}

static void save(UiMenu *menu, const char *name, const CzSettings *settings)
{
    g_autoptr(GError) error = NULL;
    if (!ui_presets_save(menu->host->folder, name, settings, &error)) {
        menu->calls.fail(menu->calls.user, error);
        gtk_popover_popdown(GTK_POPOVER(menu->popover));
    }
    fill(menu);
}

static void on_delete(GtkButton *button, UiMenu *menu)
{
    save(menu, g_object_get_data(G_OBJECT(button), "name"), NULL);
}

static void on_save(UiMenu *menu)
{
    CzSettings settings;
    menu->calls.get(menu->calls.user, &settings);
    g_autofree char *name = g_strstrip(g_strdup(gtk_entry_get_text(GTK_ENTRY(menu->entry))));
    save(menu, name, &settings);
    gtk_entry_set_text(GTK_ENTRY(menu->entry), "");
}

static void on_copy(UiMenu *menu)
{
    CzSettings settings;
    menu->calls.get(menu->calls.user, &settings);
    g_autofree char *command = ui_command(menu->host->procedure, &settings);
    GtkClipboard *clipboard = gtk_widget_get_clipboard(menu->popover, GDK_SELECTION_CLIPBOARD);
    gtk_clipboard_set_text(clipboard, command, -1);
    gtk_clipboard_set_can_store(clipboard, NULL, 0); // outlives the dialog where a desktop can
    gtk_popover_popdown(GTK_POPOVER(menu->popover));
}

static void add_preset(UiMenu *menu, const char *name)
{
    GtkWidget *row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
    GtkWidget *load = gtk_button_new_with_label(name);
    GtkWidget *remove = gtk_button_new_from_icon_name("edit-delete-symbolic", GTK_ICON_SIZE_BUTTON);
    g_autofree char *words = g_strdup_printf(_("Delete the preset %s"), name);
    atk_object_set_name(gtk_widget_get_accessible(remove), words);
    gtk_widget_set_tooltip_text(remove, words);
    gtk_widget_set_halign(gtk_bin_get_child(GTK_BIN(load)), GTK_ALIGN_START);
    gtk_style_context_add_class(gtk_widget_get_style_context(load), "flat");
    gtk_style_context_add_class(gtk_widget_get_style_context(remove), "flat");
    g_object_set_data_full(G_OBJECT(remove), "name", g_strdup(name), g_free);
    g_signal_connect(load, "clicked", G_CALLBACK(on_load), menu);
    g_signal_connect(remove, "clicked", G_CALLBACK(on_delete), menu);
    gtk_box_pack_start(GTK_BOX(row), load, TRUE, TRUE, 0);
    gtk_box_pack_start(GTK_BOX(row), remove, FALSE, FALSE, 0);
    gtk_container_add(GTK_CONTAINER(menu->list), row);
}

static void fill(UiMenu *menu)
{
    if (!menu->list)
        return;
    gtk_container_foreach(GTK_CONTAINER(menu->list), (GtkCallback)(void *)gtk_widget_destroy, NULL);
    g_auto(GStrv) names = ui_presets_names(menu->host->folder);
    for (char **name = names; *name; name++)
        add_preset(menu, *name);
    gtk_widget_show_all(menu->list);
}

static GtkWidget *make_presets(UiMenu *menu)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
    GtkWidget *row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
    GtkWidget *button = gtk_button_new_with_mnemonic(_("_Save"));
    menu->list = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    menu->entry = gtk_entry_new();
    atk_object_set_name(gtk_widget_get_accessible(menu->entry), _("Name of a new preset"));
    g_signal_connect_swapped(menu->entry, "activate", G_CALLBACK(on_save), menu);
    g_signal_connect_swapped(button, "clicked", G_CALLBACK(on_save), menu);
    gtk_box_pack_start(GTK_BOX(row), menu->entry, TRUE, TRUE, 0);
    gtk_box_pack_start(GTK_BOX(row), button, FALSE, FALSE, 0);
    GtkWidget *label = gtk_label_new(_("Keep these settings as:"));
    g_object_set(label, "xalign", 0.0f, NULL);
    gtk_container_add(GTK_CONTAINER(box), menu->list);
    gtk_container_add(GTK_CONTAINER(box), label);
    gtk_container_add(GTK_CONTAINER(box), row);
    return box;
}

UiMenu *ui_menu_new(GtkMenuButton *button, const UiHost *host, const UiMenuCalls *calls)
{
    UiMenu *menu = g_new0(UiMenu, 1);
    *menu = (UiMenu){.host = host, .calls = *calls};
    menu->popover = gtk_popover_new(GTK_WIDGET(button));
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 12);
    g_object_set(box, "margin", 6, NULL);
    if (host->folder)
        gtk_container_add(GTK_CONTAINER(box), make_presets(menu));
    if (host->procedure) {
        GtkWidget *copy = gtk_button_new_with_mnemonic(_("C_opy Script-Fu Command"));
        gtk_buildable_set_name(GTK_BUILDABLE(copy), "copy");
        g_signal_connect_swapped(copy, "clicked", G_CALLBACK(on_copy), menu);
        gtk_container_add(GTK_CONTAINER(box), copy);
    }
    gtk_container_add(GTK_CONTAINER(menu->popover), box);
    gtk_widget_show_all(box);
    fill(menu);
    gtk_menu_button_set_popover(button, menu->popover);
    gtk_widget_set_visible(GTK_WIDGET(button), host->folder || host->procedure);
    return menu;
}

void ui_menu_free(UiMenu *menu)
{
    g_free(menu);
}
