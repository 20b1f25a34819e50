// SPDX-License-Identifier: LGPL-3.0-or-later
// Plots: drawn from any log, whatever is in it.
#include "folder.h"

#include <cairo.h>

#include <cz/error.h>

#include "plot.h"

static bool plot(const Folder *folder, const char *log, GError **error)
{
    g_autofree char *path = folder_file(folder, "log.csv");

    g_assert_true(g_file_set_contents(path, log, -1, NULL));
    return train_plot(folder->path, error);
}

// Pixels of about one color within a rectangle of the picture.
static int count(const Folder *folder, int left, int top, uint32_t rgb, int *height)
{
    g_autofree char *path = folder_file(folder, "plots.png");
    cairo_surface_t *surface = cairo_image_surface_create_from_png(path);
    const unsigned char *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface), n = 0;

    g_assert_cmpint(cairo_surface_status(surface), ==, CAIRO_STATUS_SUCCESS);
    *height = cairo_image_surface_get_height(surface);
    for (int y = top + 44; y < MIN(top + 224, *height); y++)
        for (int x = left; x < left + 420; x++) {
            const unsigned char *bgr = data + (ptrdiff_t)y * stride + 4 * x;
            n += ABS(bgr[2] - (int)(rgb >> 16)) + ABS(bgr[1] - (int)(rgb >> 8 & 255)) +
                     ABS(bgr[0] - (int)(rgb & 255)) <
                 60;
        }
    cairo_surface_destroy(surface);
    return n;
}

#define FIRST 0x0073b2

static void curves_are_drawn_where_they_belong(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(GError) error = NULL;
    int height;

    g_assert_true(
        plot(&folder, "step,loss,norm,right_real\n1,0.5,1,0\n2,0.25,10,0\n3,0.1,5,0\n", &error));
    g_assert_no_error(error);
    g_assert_cmpint(count(&folder, 0, 0, FIRST, &height), >, 200);   // loss
    g_assert_cmpint(count(&folder, 420, 0, FIRST, &height), >, 200); // norms: no terms before it
    g_assert_cmpint(count(&folder, 840, 0, FIRST, &height), ==, 0);  // accuracies are all zero
    g_assert_cmpint(height, ==, 250);
}

// Once a term of the loss that fell below zero was in the legend alone.
static void numbers_below_zero_are_drawn_too(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(GError) error = NULL;
    int height;

    g_assert_true(plot(&folder, "step,loss\n1,-0.09\n2,-0.1\n3,-0.12\n", &error));
    g_assert_no_error(error);
    g_assert_cmpint(count(&folder, 0, 0, FIRST, &height), >, 200);
}

static void odd_logs_are_drawn_too(void)
{
    static const char *const logs[] = {
        "",
        "step\n",
        "step,loss\n",
        "step,loss\n5,1\n",
        "step,loss,norm\n5,nan,0\n6,,-1\n7,inf,1e300\n8,1e-300,1e-30\n",
        "step,loss\n10,2\n20,2\n15,2\n",
        "step,loss.a,loss.b,rate\n1,0,-1,0\n2,1e-30,1e30,1e-9\n",
        "nonsense\nwithout,columns\n"};

    for (size_t i = 0; i < G_N_ELEMENTS(logs); i++) {
        g_auto(Folder) folder = folder_new();
        g_autoptr(GError) error = NULL;
        int height;

        g_test_message("%s", logs[i]);
        g_assert_true(plot(&folder, logs[i], &error));
        g_assert_no_error(error);
        count(&folder, 0, 0, FIRST, &height);
        g_assert_cmpint(height, >=, 250);
    }
}

static void no_log_is_an_error(void)
{
    g_auto(Folder) folder = folder_new();
    g_autoptr(GError) error = NULL;

    g_assert_false(train_plot(folder.path, &error));
    g_assert_error(error, CZ_ERROR, CZ_ERROR_IO);
    g_assert_cmpuint(folder_count(&folder), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/plot/" #name, name)
    ADD(curves_are_drawn_where_they_belong);
    ADD(numbers_below_zero_are_drawn_too);
    ADD(odd_logs_are_drawn_too);
    ADD(no_log_is_an_error);
    return g_test_run();
}
