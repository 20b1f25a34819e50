// SPDX-License-Identifier: LGPL-3.0-or-later
// The figures of a set: its ends, its order, what bleeding does, the frontier, the places of hints.
#include "scores.h"

#include <string.h>

#include <cz/color.h>

#include "pictures.h"

enum { SIDE = 64, N = 5 };

static TrainEye *eye;

// Things with edges of lightness and of color at once: bars across what pictures.h invents.
static TrainImage make_truth(int number)
{
    TrainImage image = {0};
    g_assert_true(train_image_reserve(&image, SIDE, SIDE, NULL));
    for (int i = 0; i < SIDE * SIDE; i++) {
        double rgb[3];
        bool bar = (i % SIDE + 3 * number) / 9 % 2;
        look_pixel(LOOK_COLOUR, (i % SIDE + 0.5) / SIDE, (i / SIDE + 0.5) / SIDE, number, rgb);
        for (int k = 0; k < 3; k++)
            image.rgb[3 * i + k] = (uint8_t)lrint(bar ? rgb[2 - k] / 3 : rgb[k]);
    }
    return image;
}

// Color of a pixel columns to the left, at its own lightness.
static TrainImage shift_color(const TrainImage *truth, int columns)
{
    TrainImage image = {0};
    float lab[3 * SIDE * SIDE], moved[3 * SIDE * SIDE];
    g_assert_true(train_image_reserve(&image, SIDE, SIDE, NULL));
    for (int i = 0; i < 3 * SIDE * SIDE; i++)
        lab[i] = (float)truth->rgb[i] / 255;
    cz_rgb_to_lab(lab, lab, SIDE * SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int from = i - MIN(i % SIDE, columns);
        moved[3 * i] = lab[3 * i];
        moved[3 * i + 1] = lab[3 * from + 1];
        moved[3 * i + 2] = lab[3 * from + 2];
    }
    cz_lab_to_gamut_rgb(moved, moved, SIDE * SIDE);
    for (int i = 0; i < 3 * SIDE * SIDE; i++)
        image.rgb[i] = (uint8_t)(CLAMP(moved[i], 0, 1) * 255 + 0.5f);
    return image;
}

typedef enum { GREY, TRUTH, SHIFTED } Output;

// The scores of N pictures, the first one being the first-th.
static TrainScores score(Output output, int first)
{
    g_autoptr(TrainTally) tally = train_tally_new();
    TrainLook look = {0};
    for (int i = 0; i < N; i++) {
        g_auto(TrainImage) truth = make_truth((i + first) % N), grey = {0};
        g_auto(TrainImage) shifted = shift_color(&truth, 5);
        const TrainImage *chosen[] = {&grey, &truth, &shifted};
        g_assert_true(train_image_grey(&truth, &grey, NULL));
        g_assert_true(train_look_begin(&look, eye, &truth, &grey, NULL));
        g_assert_true(train_look_at(&look, chosen[output], NULL));
        train_tally_add(tally, &look);
    }
    train_look_clear(&look);
    return train_tally_finish(tally);
}

static void grey_pictures_have_no_colourfulness(void)
{
    TrainScores grey = score(GREY, 0);
    g_assert_cmpuint(grey.n, ==, N);
    static const TrainFigureId zero[] = {TRAIN_GAIN,   TRAIN_CF,    TRAIN_CF_SHARE,
                                         TRAIN_CF_ABS, TRAIN_STRAY, TRAIN_CHROMA_EDGES};
    for (size_t i = 0; i < G_N_ELEMENTS(zero); i++)
        g_assert_cmpfloat(grey.values[zero[i]], ==, 0);
    g_assert_cmpfloat(grey.values[TRAIN_CF_MEANS], ==, grey.values[TRAIN_CF_TRUE]);
    g_assert_cmpfloat(grey.values[TRAIN_FRECHET], >, 1);
    g_assert_cmpfloat(grey.values[TRAIN_DISTANCE], >, 0.1);
    g_assert_true(isnan(grey.values[TRAIN_SECONDS])); // nothing was computed
}

static void the_truth_is_perfect(void)
{
    TrainScores truth = score(TRUTH, 0);
    static const TrainFigureId zero[] = {TRAIN_DELTA_E,      TRAIN_CF_MEANS,   TRAIN_CF_PICTURES,
                                         TRAIN_CF_ABS_MEANS, TRAIN_EDGE_ERROR, TRAIN_DISTANCE,
                                         TRAIN_REDUCED};
    for (size_t i = 0; i < G_N_ELEMENTS(zero); i++)
        g_assert_cmpfloat(truth.values[zero[i]], ==, 0);
    g_assert_cmpfloat(truth.values[TRAIN_PSNR], ==, 100);
    g_assert_cmpfloat(truth.values[TRAIN_SSIM], ==, 1);
    g_assert_cmpfloat(truth.values[TRAIN_CF_SHARE], ==, 100);
    // Against some thousands between sets: see test_frechet for the rounding.
    g_assert_cmpfloat(truth.values[TRAIN_FRECHET], <, 1e-3);
}

static void shifted_color_raises_bleeding_and_distances(void)
{
    TrainScores truth = score(TRUTH, 0), shifted = score(SHIFTED, 0);
    static const TrainFigureId raised[] = {TRAIN_EDGE_ERROR, TRAIN_STRAY, TRAIN_DISTANCE,
                                           TRAIN_FRECHET, TRAIN_DELTA_E};
    for (size_t i = 0; i < G_N_ELEMENTS(raised); i++)
        g_assert_cmpfloat(shifted.values[raised[i]], >, truth.values[raised[i]] + 0.1);
}

// Sums of doubles in another order: N roundings of 1e-16; the distance's roots, 1e-8.
static void order_of_pictures_changes_nothing(void)
{
    TrainScores a = score(SHIFTED, 0), b = score(SHIFTED, 3);
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++) {
        double bound = fabs(a.values[i]) * (i == TRAIN_FRECHET ? 1e-7 : 1e-13);
        if (!isnan(a.values[i]) && !(fabs(a.values[i] - b.values[i]) <= bound))
            g_test_fail_printf("%s: %.17g and %.17g", train_figures[i].key, a.values[i],
                               b.values[i]);
    }
}

static void no_picture_gives_no_number(void)
{
    g_autoptr(TrainTally) tally = train_tally_new();
    TrainScores scores = train_tally_finish(tally);
    g_assert_true(isnan(scores.values[TRAIN_PSNR]) && isnan(scores.values[TRAIN_FRECHET]));
}

static void every_figure_is_described_once(void)
{
    g_autofree char *help = train_figures_help();
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++) {
        const TrainFigure *figure = &train_figures[i];
        g_assert_true((figure->picture != NULL) != (figure->set != NULL));
        g_assert_nonnull(strstr(help, figure->about));
        // No name may promise a measure that it is not.
        g_assert_false(g_str_equal(figure->head, "FID") || g_str_equal(figure->head, "LPIPS"));
        for (size_t k = 0; k < i; k++)
            g_assert_cmpstr(figure->key, !=, train_figures[k].key);
    }
}

// CF grows by 10 a step from 30 of 100 on, the gain falls by the square of the step.
static void the_frontier_lies_between_its_strengths(void)
{
    TrainFrontier frontier = {.n = 2, .colourfulness_true = 200};
    for (size_t i = 0; i < TRAIN_FRONTIER_STEPS; i++) {
        frontier.colourfulness[i] = 2 * (30 + 10 * (double)i);
        frontier.gains[i] = 2 * (3 - 0.1 * (double)(i * i));
    }
    g_assert_cmpfloat_with_epsilon(train_frontier_gain(&frontier, 60), 3 - 0.9, 1e-12);
    g_assert_cmpfloat_with_epsilon(train_frontier_gain(&frontier, 65), 3 - (0.9 + 1.6) / 2, 1e-12);
    g_assert_true(isnan(train_frontier_gain(&frontier, 20)));
    g_assert_true(isnan(train_frontier_gain(&frontier, 250)));
    g_assert_cmpfloat_with_epsilon(train_frontier_strength(TRAIN_FRONTIER_STEPS - 1), 2, 1e-12);
}

// Mean 1/2; deviation 1/sqrt(12) uniform, 1/4 normal, less what is cut off beyond two of it.
static void hints_lie_where_they_were_asked_for(void)
{
    static const double deviations[] = {0.2887, 0.24};
    enum { MANY = 1000 };
    g_auto(TrainImage) truth = make_truth(1), copy = make_truth(1), other = make_truth(2);
    CzDab dabs[MANY], few[3];
    g_assert_true(train_image_hash(&truth) == train_image_hash(&copy));
    g_assert_true(train_image_hash(&truth) != train_image_hash(&other));
    for (int places = 0; places < 2; places++) {
        double sum = 0, squares = 0;
        train_hints_sample(&truth, (TrainHintPlaces)places, 1, 2, dabs, MANY);
        train_hints_sample(&truth, (TrainHintPlaces)places, 1, 2, few, 3);
        g_assert_cmpmem(few, sizeof few, dabs, sizeof few);
        for (int i = 0; i < MANY; i++) { // of the left edges, from 0 to 58 of 64
            double x = (dabs[i].x * SIDE - TRAIN_HINT_SIDE / 2.0) / (SIDE - TRAIN_HINT_SIDE);
            sum += x / MANY;
            squares += x * x / MANY;
        }
        g_assert_cmpfloat_with_epsilon(sum, 0.5, 0.05);
        g_assert_cmpfloat_with_epsilon(sqrt(squares - sum * sum), deviations[places], 0.025);
    }
}

static void the_published_curve_is_at_the_default_numbers(void)
{
    TrainHints hints = {0};
    g_assert_true(train_hints_parse(&hints, TRAIN_HINTS_CURVE));
    g_assert_cmpuint(hints.n, ==, TRAIN_HINTS_PUBLISHED);
    for (size_t i = 0; i < hints.n; i++)
        g_assert_cmpint(hints.counts[i], ==, train_hints_published_counts[i]);
}

static void equal_sights_are_no_distance_apart(void)
{
    g_auto(TrainImage) a = make_truth(1), b = make_truth(2);
    TrainSight seen_a = {0}, seen_b = {0};
    g_assert_true(train_eye_see(eye, &a, &seen_a, NULL) && train_eye_see(eye, &b, &seen_b, NULL));
    g_assert_cmpfloat(train_sight_distance(&seen_a, &seen_a), ==, 0);
    double apart = train_sight_distance(&seen_a, &seen_b);
    g_assert_cmpfloat(apart, ==, train_sight_distance(&seen_b, &seen_a));
    g_assert_true(apart > 0.1 && apart < 4 * CZ_ENCODER_LEVELS);
    for (int level = 0; level < CZ_ENCODER_LEVELS; level++) {
        double square = 0;
        g_assert_cmpuint(seen_a.n_places[level], ==, (SIDE >> (level + 1)) * (SIDE >> (level + 1)));
        for (int32_t c = 0; c < cz_encoder_widths[level]; c++)
            square += (double)seen_a.levels[level][c] * seen_a.levels[level][c];
        g_assert_cmpfloat_with_epsilon(square, 1, 1e-5);
    }
    train_sight_clear(&seen_a);
    train_sight_clear(&seen_b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_autoptr(GError) error = NULL;
    g_autofree char *path =
        g_build_filename(g_getenv("COLORIZE_SOURCE_ROOT"), "training", "pretrained",
                         "efficientnet-lite0-imagenet.safetensors", NULL);
    eye = train_eye_open(path, "cpu", &error);
    if (!eye)
        g_error("%s", error->message);
#define ADD(name) g_test_add_func("/training/scores/" #name, name)
    ADD(grey_pictures_have_no_colourfulness);
    ADD(the_truth_is_perfect);
    ADD(shifted_color_raises_bleeding_and_distances);
    ADD(order_of_pictures_changes_nothing);
    ADD(no_picture_gives_no_number);
    ADD(every_figure_is_described_once);
    ADD(the_frontier_lies_between_its_strengths);
    ADD(hints_lie_where_they_were_asked_for);
    ADD(the_published_curve_is_at_the_default_numbers);
    ADD(equal_sights_are_no_distance_apart);
    int result = g_test_run();
    train_eye_free(eye);
    return result;
}
