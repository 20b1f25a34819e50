// SPDX-License-Identifier: LGPL-3.0-or-later
// What hints and suggestions make of likeness, on a ground of two kinds of things.
#include <cz/hints.h>

#include <math.h>
#include <string.h>

#include <cz/memory.h>

#include "color/hints.h"
#include "colorizer/private.h"

#define WIDTH  48
#define HEIGHT 32
#define PLACES ((size_t)WIDTH * HEIGHT)

// Features say "left" or "right"; L* is 50 everywhere. left_top: the upper quarter at the left.
static void ground_init(CzGround *ground, const float left[2], const float left_top[2],
                        const float right[2])
{
    memset(ground, 0, sizeof *ground);
    g_assert_true(cz_field_init(&ground->field, WIDTH, HEIGHT, NULL));
    for (size_t i = 0; i < PLACES; i++) {
        const float *color = i % WIDTH >= WIDTH / 2 ? right : i < PLACES / 4 ? left_top : left;
        memcpy(ground->field.c + 2 * i, color, 2 * sizeof *color);
        ground->field.l[i] = 50;
    }
    cz_field_slopes(&ground->field, CZ_FIELD_EPSILON);
    CzFeatures *features = &ground->features[0];
    g_assert_true(cz_features_init(features, WIDTH / 4, HEIGHT / 4, 8, NULL));
    for (int32_t i = 0; i < features->width * features->height * 8; i++)
        features->data[i] = i / 8 % features->width < features->width / 2 ? 1 : -1;
    ground->n_features = 1;
    g_assert_true(cz_ground_finish(ground, 10 * WIDTH, 10 * HEIGHT, NULL));
}

// What one dab of a* = wanted at the left changes, as a share of wanted: at another place of the
// left and at the right, both as far away.
static void shares(float wanted, double reach, double *kin, double *stranger)
{
    const float grey[2] = {0};
    const CzDab dab = {16.5f / WIDTH, 16.5f / HEIGHT, 50, wanted, 0, 1};
    const CzHintKernel kernel = cz_hint_kernel(reach);
    CzGround ground;
    CzField field;
    ground_init(&ground, grey, grey, grey);
    g_assert_true(cz_field_init(&field, WIDTH, HEIGHT, NULL));
    g_assert_true(cz_hints_spread(&ground, &dab, 1, &kernel, &field, NULL));
    size_t at = (size_t)16 * WIDTH + 16;
    g_assert_cmpfloat_with_epsilon(field.c[2 * at], wanted, 0.05);
    *kin = field.c[2 * (at - 14)] / (double)wanted;
    *stranger = field.c[2 * (at + 14)] / (double)wanted;
    g_test_message("a* %g, reach %g: %.3f of it on what is alike, %.3f on what is not", wanted,
                   reach, *kin, *stranger);
    cz_field_clear(&field);
    cz_ground_clear(&ground);
}

static void a_bold_hint_leaves_alone_what_is_unlike(void)
{
    double kin, stranger;
    shares(70, 0.5, &kin, &stranger);
    g_assert_cmpfloat(kin, >, 0.6);
    g_assert_cmpfloat(stranger, <, 0.1);
    shares(70, 1, &kin, &stranger);
    g_assert_cmpfloat(kin, >, 0.85);
    g_assert_cmpfloat(stranger, <, 0.25);
}

static void a_modest_hint_says_something_of_the_whole(void)
{
    double kin, stranger;
    shares(10, 0.5, &kin, &stranger);
    g_assert_cmpfloat(kin, >, 0.7);
    g_assert_cmpfloat(stranger, >, 0.25);
}

static void the_shortest_reach_is_this_object(void)
{
    double kin, stranger, farther, unused;
    shares(10, 0, &kin, &stranger);
    g_assert_cmpfloat(stranger, <, 0.25);
    shares(70, 0, &kin, &stranger);
    g_assert_cmpfloat(stranger, <, 0.03);
    shares(70, 0.5, &farther, &unused);
    g_assert_cmpfloat(kin, <, 0.6 * farther);
}

// Two colors at the left, so that each suggests the other.
static void colors_of_what_looks_alike_are_suggested(void)
{
    CzChroma chroma = {.width = 10 * WIDTH, .height = 10 * HEIGHT};
    const float leaf[2] = {-12, 10}, petal[2] = {30, -20}, other[2] = {10, 40};
    float ab[16][2];
    ground_init(&chroma.ground, leaf, petal, other);
    size_t n = cz_chroma_suggest(&chroma, 0.2, 0.8, 50, ab, 16);
    g_assert_cmpuint(n, >, 4);
    g_assert_cmpfloat_with_epsilon(ab[0][0], leaf[0], 1e-3);
    g_assert_cmpfloat_with_epsilon(ab[1][0], petal[0], 1e-3);
    g_assert_cmpfloat_with_epsilon(ab[1][1], petal[1], 1e-3);
    cz_ground_clear(&chroma.ground);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
#define CASE(claim) g_test_add_func("/engine/likeness/" #claim, claim)
    CASE(a_bold_hint_leaves_alone_what_is_unlike);
    CASE(a_modest_hint_says_something_of_the_whole);
    CASE(the_shortest_reach_is_this_object);
    CASE(colors_of_what_looks_alike_are_suggested);
    return g_test_run();
}
