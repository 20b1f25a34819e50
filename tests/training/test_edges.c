// SPDX-License-Identifier: LGPL-3.0-or-later
// Bleeding, on pictures whose edges are counted by hand.
#include <glib.h>

#include "edges.h"

enum { W = 40, H = 20, STEP = W / 2 };

typedef struct {
    float lab[3 * W * H], scratch[W * H];
} Picture;

// L* 20 | 80 at STEP, a* 0 | 40 at chroma_step (W: none).
static Picture make(int chroma_step)
{
    Picture picture = {{0}, {0}};
    for (int i = 0; i < W * H; i++) {
        picture.lab[3 * i] = i % W < STEP ? 20 : 80;
        picture.lab[3 * i + 1] = i % W < chroma_step ? 0 : 40;
    }
    return picture;
}

static void color_that_ends_with_the_thing_does_not_bleed(void)
{
    Picture truth = make(STEP);
    TrainEdges edges = train_edges(truth.lab, W, H, truth.scratch);

    g_assert_cmpfloat(train_edge_error(truth.lab, truth.lab, W, H, truth.scratch), ==, 0);
    g_assert_cmpuint(edges.n_chroma, ==, 2 * (H - 2)); // two columns, the border has no gradient
    g_assert_cmpuint(edges.n_stray, ==, 0);
}

// The slope at the step is 40 / 2, in the truth alone.
static void shifted_color_bleeds(void)
{
    Picture truth = make(STEP), shifted = make(STEP + 4), none = make(W);

    g_assert_cmpfloat(train_edge_error(truth.lab, shifted.lab, W, H, truth.scratch), ==, 20);
    g_assert_cmpfloat(train_edge_error(truth.lab, none.lab, W, H, truth.scratch), ==, 20);
    TrainEdges edges = train_edges(shifted.lab, W, H, shifted.scratch);
    g_assert_cmpuint(edges.n_chroma, ==, 2 * (H - 2));
    g_assert_cmpuint(edges.n_stray, ==, 2 * (H - 2));
}

// Edges of color in columns s - 1 and s, of lightness in STEP - 1 and STEP.
static void two_pixels_are_within_reach_and_three_are_not(void)
{
    static const struct {
        int step;
        size_t n_stray;
    } cases[] = {{STEP + 2, 0}, {STEP + 3, H - 2}, {STEP - 2, 0}, {STEP - 3, H - 2}};

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Picture picture = make(cases[i].step);
        g_assert_cmpuint(train_edges(picture.lab, W, H, picture.scratch).n_stray, ==,
                         cases[i].n_stray);
    }
}

static void pictures_without_color_or_without_edges_give_zero(void)
{
    Picture grey = make(W), flat = {{0}, {0}}, truth = make(STEP);
    float one[3] = {50, 10, 10}, scratch[1];

    g_assert_cmpuint(train_edges(grey.lab, W, H, grey.scratch).n_chroma, ==, 0);
    g_assert_cmpfloat(train_edge_error(flat.lab, truth.lab, W, H, flat.scratch), ==, 0);
    g_assert_cmpfloat(train_edge_error(one, one, 1, 1, scratch), ==, 0);
    g_assert_cmpuint(train_edges(one, 1, 1, scratch).n_chroma, ==, 0);
}

// L* is steeper from column to column. A tenth of 40 inner columns are x = 37 to 40, where the
// slope of a* is 0, 1/2, 1 and 1.
static void the_steepest_tenth_is_judged(void)
{
    enum { WIDE = 42, LOW = 5 };
    float truth[3 * WIDE * LOW] = {0}, lab[3 * WIDE * LOW] = {0}, scratch[WIDE * LOW];

    for (int i = 0; i < WIDE * LOW; i++) {
        int x = i % WIDE;
        truth[3 * i] = lab[3 * i] = 0.05f * (float)(x * x);
        lab[3 * i + 1] = x > 38 ? (float)(x - 38) : 0;
    }
    g_assert_cmpfloat(train_edge_error(truth, lab, WIDE, LOW, scratch), ==, 2.5 / 4);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define ADD(name) g_test_add_func("/training/edges/" #name, name)
    ADD(color_that_ends_with_the_thing_does_not_bleed);
    ADD(shifted_color_bleeds);
    ADD(two_pixels_are_within_reach_and_three_are_not);
    ADD(pictures_without_color_or_without_edges_give_zero);
    ADD(the_steepest_tenth_is_judged);
    return g_test_run();
}
