// SPDX-License-Identifier: LGPL-3.0-or-later
// The view's arithmetic, and the pixels of its parts, without a display.
#include <math.h>
#include <string.h>

#include <glib.h>

#include "proxy.h"
#include "view.h"

static UiView view_of(int32_t photo_w, int32_t photo_h, int32_t factor, int32_t w, int32_t h)
{
    UiView view = {photo_w, photo_h, factor, w, h};
    ui_view_fit(&view);
    return view;
}

static void check_shown(const UiView *view)
{
    UiShown shown = ui_view_shown(view);
    const CzPart *part = &shown.part;
    g_assert_cmpint(part->x, >=, 0);
    g_assert_cmpint(part->y, >=, 0);
    g_assert_cmpint(part->width, >=, 1);
    g_assert_cmpint(part->height, >=, 1);
    g_assert_cmpint(part->x + part->width, <=, part->photo_w);
    g_assert_cmpint(part->y + part->height, <=, part->photo_h);
    // All of the photograph, or all of the view.
    int32_t w = shown.magnify * part->width, h = shown.magnify * part->height;
    g_assert_true(part->width == part->photo_w || (shown.x <= 0 && shown.x + w >= view->width));
    g_assert_true(part->height == part->photo_h || (shown.y <= 0 && shown.y + h >= view->height));
}

// Where the screen's place lies in the photograph.
static double place_x(const UiView *view, double screen_x)
{
    UiShown shown = ui_view_shown(view);
    double at = shown.part.x + (screen_x - shown.x) / shown.magnify;
    return at * view->photo_w / shown.part.photo_w;
}

static void test_any_size(void)
{
    GRand *random = g_rand_new_with_seed(1);
    for (int i = 0; i < 300; i++) {
        int32_t photo_w = g_rand_int_range(random, 1, 6000);
        int32_t photo_h = g_rand_int_range(random, 1, 6000);
        UiView view = view_of(photo_w, photo_h, g_rand_int_range(random, 1, 5),
                              g_rand_int_range(random, 1, 1500), g_rand_int_range(random, 1, 900));
        check_shown(&view);
        for (int j = 0; j < 20; j++) {
            double x = g_rand_double(random) * view.width, y = g_rand_double(random) * view.height;
            if (j % 3 == 2)
                ui_view_pan(&view, x - view.width / 2.0, y - view.height / 2.0);
            else
                ui_view_zoom(&view, g_rand_boolean(random) ? 1 : -1, x, y);
            check_shown(&view);
        }
    }
    g_rand_free(random);
}

static void test_zoom_keeps_place(void)
{
    UiView view = view_of(5000, 4000, 3, 800, 600);
    ui_view_full(&view, 400, 300);
    double before = place_x(&view, 700);
    ui_view_zoom(&view, 1, 700, 200);
    g_assert_cmpfloat(fabs(place_x(&view, 700) - before), <=, 1);
    ui_view_zoom(&view, -1, 700, 200);
    ui_view_zoom(&view, -1, 700, 200);
    g_assert_cmpfloat(fabs(place_x(&view, 700) - before), <=, 3);
}

static void test_steps(void)
{
    UiView view = view_of(6000, 4000, 3, 600, 400);
    const double expected[] = {1 / 6.0, 1 / 3.0, 1 / 2.0, 1, 2, 4, 8, 16, 16};
    g_assert_cmpfloat_with_epsilon(ui_view_scale(&view), 0.1, 1e-9);
    for (size_t i = 0; i < G_N_ELEMENTS(expected); i++) {
        ui_view_zoom(&view, 1, 10, 10);
        g_assert_cmpfloat_with_epsilon(ui_view_scale(&view), expected[i], 1e-9);
    }
    for (int i = 0; i < 9; i++)
        ui_view_zoom(&view, -1, 10, 10);
    g_assert_true(view.fit);
}

static void test_pan(void)
{
    UiView view = view_of(5000, 4000, 1, 800, 600);
    g_assert_false(ui_view_pannable(&view));
    ui_view_full(&view, 400, 300);
    g_assert_true(ui_view_pannable(&view));
    double before = place_x(&view, 100);
    ui_view_pan(&view, 37, -5);
    g_assert_cmpfloat_with_epsilon(place_x(&view, 100), before - 37, 1e-9);
    // At the edge, the way back begins at once.
    ui_view_pan(&view, 1e6, 0);
    g_assert_cmpfloat_with_epsilon(place_x(&view, 0), 0, 1e-9);
    ui_view_pan(&view, -10, 0);
    g_assert_cmpfloat_with_epsilon(place_x(&view, 0), 10, 1e-9);
}

// ---- pixels of parts ------------------------------------------------------------------------

typedef struct {
    CzPhoto photo;
    float *rgb;
} Memory;

static bool read_rows(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    const Memory *memory = user;
    size_t stride = 3 * (size_t)memory->photo.width;
    memcpy(rgb, memory->rgb + y * stride, n_rows * stride * sizeof(float));
    return true;
}

static void memory_init(Memory *memory, int32_t width, int32_t height)
{
    memory->photo = (CzPhoto){width, height, read_rows, NULL, memory};
    memory->rgb = g_new(float, 3 * (size_t)width * height);
    GRand *random = g_rand_new_with_seed(2);
    for (size_t i = 0; i < 3 * (size_t)width * height; i++)
        memory->rgb[i] = (float)g_rand_double(random);
    g_rand_free(random);
}

static double mean_of(const Memory *memory, int32_t x, int32_t y, int32_t k, int c)
{
    double sum = 0;
    int n = 0;
    for (int32_t j = y * k; j < MIN((y + 1) * k, memory->photo.height); j++)
        for (int32_t i = x * k; i < MIN((x + 1) * k, memory->photo.width); i++, n++)
            sum += memory->rgb[3 * ((size_t)j * memory->photo.width + i) + c];
    return sum / n;
}

static void check_part(const Memory *memory, const UiProxy *proxy, int32_t k, double bound)
{
    int32_t w = (memory->photo.width + k - 1) / k, h = (memory->photo.height + k - 1) / k;
    // The lower right corner, where the last means have fewer pixels.
    const CzPart part = {w, h, w / 2, h / 3, w - w / 2, h - h / 3};
    g_autofree float *rgb = g_new(float, 3 * (size_t)part.width * part.height);
    GError *error = NULL;
    g_assert_true(ui_proxy_part(proxy, &memory->photo, k, &part, rgb, &error));
    double worst = 0;
    for (int32_t y = 0; y < part.height; y++)
        for (int32_t x = 0; x < part.width; x++)
            for (int c = 0; c < 3; c++) {
                double found = rgb[3 * ((size_t)y * part.width + x) + c];
                double expected = mean_of(memory, part.x + x, part.y + y, k, c);
                worst = MAX(worst, fabs(found - expected));
            }
    g_test_message("reduction %d: largest difference %g, bound %g", k, worst, bound);
    g_assert_cmpfloat(worst, <=, bound);
}

static void test_parts(void)
{
    Memory memory;
    memory_init(&memory, 3001, 2003);
    UiProxy proxy;
    GError *error = NULL;
    g_assert_true(ui_proxy_init(&proxy, 3001, 2003, &error));
    g_assert_cmpint(proxy.factor, ==, 2); // of 6 megapixels, 4 are held
    for (int32_t y = 0, step = 1; y < 2003; y += step, step = step * 7 % 101)
        ui_proxy_push(&proxy, y, MIN(step, 2003 - y), memory.rgb + 3 * (size_t)3001 * y);
    g_assert_true(ui_proxy_complete(&proxy));
    check_part(&memory, &proxy, 1, 0);
    check_part(&memory, &proxy, 2, 1e-6);
    // Means of means weigh the lower and right edge by less than a pixel.
    UiProxy even;
    Memory whole;
    memory_init(&whole, 2400, 2000);
    g_assert_true(ui_proxy_init(&even, 2400, 2000, &error));
    ui_proxy_push(&even, 0, 2000, whole.rgb);
    check_part(&whole, &even, 4, 1e-6);
    check_part(&whole, &even, 8, 1e-6);
    ui_proxy_clear(&even);
    ui_proxy_clear(&proxy);
    g_free(whole.rgb);
    g_free(memory.rgb);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ui/view/no_room_is_lost_at_any_size_and_zoom", test_any_size);
    g_test_add_func("/ui/view/zoom_keeps_what_is_under_the_pointer", test_zoom_keeps_place);
    g_test_add_func("/ui/view/steps_go_from_fit_to_sixteenfold_and_back", test_steps);
    g_test_add_func("/ui/view/pan_follows_the_pointer_up_to_the_edge", test_pan);
    g_test_add_func("/ui/proxy/parts_are_means_of_the_photograph", test_parts);
    return g_test_run();
}
