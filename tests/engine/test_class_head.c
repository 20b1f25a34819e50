// SPDX-License-Identifier: LGPL-3.0-or-later
// The head of color classes: its squares, the modes of a mixture, what is suggested, and files.
#include "color/class_head.h"

#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/color.h>
#include <cz/error.h>
#include <cz/hints.h>
#include <cz/rng.h>

#include "colorizer/private.h"

#include "weights.h"

enum { Q = CZ_N_CLASSES, MOST = 16 };

// ---- squares ------------------------------------------------------------------------------------

static int square_of(float a, float b)
{
    for (int i = 0; i < Q; i++) {
        float center[2];
        cz_class_center(i, center);
        if (fabsf(a - center[0]) <= 5 && fabsf(b - center[1]) <= 5)
            return i;
    }
    return -1;
}

static void squares_are_those_that_srgb_reaches(void)
{
    enum { STEPS = 64 };
    bool reached[Q] = {false};
    int n_reached = 0, n_outside = 0;
    for (int i = 0; i < (STEPS + 1) * (STEPS + 1) * (STEPS + 1); i++) {
        const float rgb[3] = {(float)(i % (STEPS + 1)) / STEPS,
                              (float)(i / (STEPS + 1) % (STEPS + 1)) / STEPS,
                              (float)(i / (STEPS + 1) / (STEPS + 1)) / STEPS};
        float lab[3];
        cz_rgb_to_lab(lab, rgb, 1);
        int square = square_of(lab[1], lab[2]);
        n_outside += square < 0;
        if (square >= 0)
            reached[square] = true;
    }
    for (int i = 0; i < Q; i++)
        n_reached += reached[i];
    g_assert_cmpint(n_outside, ==, 0);
    g_assert_cmpint(n_reached, ==, Q);
}

// ---- modes --------------------------------------------------------------------------------------

// Adds what training spreads a color to: a Gaussian of sigma 5, here over all squares.
static void add_color(float *shares, float share, float a, float b)
{
    float of[Q], sum = 0;
    for (int i = 0; i < Q; i++) {
        float center[2];
        cz_class_center(i, center);
        float da = center[0] - a, db = center[1] - b;
        sum += of[i] = expf(-(da * da + db * db) / 50);
    }
    for (int i = 0; i < Q; i++)
        shares[i] += share * of[i] / sum;
}

// Of colors between squares, too. At d from the nearest square, where the Gaussian is sampled at d,
// 10 - d and 10 + d, the mean is off by 0.26 at most (at d = 2.5); all but 0.003 of a color lies
// there.
static void modes_are_the_colors_of_a_mixture(void)
{
    float shares[Q] = {0};
    CzClassMode modes[MOST];
    add_color(shares, 0.5f, 47, 32);
    add_color(shares, 0.3f, -31, 38);
    add_color(shares, 0.17f, 4, -26);
    add_color(shares, 0.03f, -2, 3);
    g_assert_cmpuint(cz_class_modes(shares, 0.05f, modes, MOST), ==, 3);
    const float expected[3][2] = {{47, 32}, {-31, 38}, {4, -26}};
    const float wanted[3] = {0.5f, 0.3f, 0.17f};
    for (int i = 0; i < 3; i++) {
        for (int c = 0; c < 2; c++)
            g_assert_cmpfloat_with_epsilon(modes[i].ab[c], expected[i][c], 0.3);
        g_assert_cmpfloat_with_epsilon(modes[i].share, wanted[i], 0.01);
    }
    g_assert_cmpuint(cz_class_modes(shares, 0.01f, modes, MOST), ==, 4);
    g_assert_cmpuint(cz_class_modes(shares, 0.01f, modes, 2), ==, 2);
}

// A wide hill has one top, however much lies on its sides.
static void slopes_are_no_modes(void)
{
    float shares[Q], sum = 0;
    CzClassMode modes[MOST];
    for (int i = 0; i < Q; i++) {
        float center[2];
        cz_class_center(i, center);
        sum += shares[i] = expf(-(powf(center[0] - 20, 2) + powf(center[1] - 20, 2)) / 800);
    }
    for (int i = 0; i < Q; i++)
        shares[i] /= sum;
    g_assert_cmpuint(cz_class_modes(shares, 0.05f, modes, MOST), ==, 1);
    g_assert_cmpfloat_with_epsilon(modes[0].ab[0], 20, 0.01);
    g_assert_cmpfloat_with_epsilon(modes[0].ab[1], 20, 0.01);
}

static void modes_are_apart(void)
{
    CzRng rng = cz_rng(1, 0);
    for (int turn = 0; turn < 200; turn++) {
        float shares[Q] = {0};
        CzClassMode modes[Q];
        for (int i = 0; i < 12; i++)
            add_color(shares, cz_rng_uniform(&rng), 60 * (2 * cz_rng_uniform(&rng) - 1),
                      60 * (2 * cz_rng_uniform(&rng) - 1));
        size_t n = cz_class_modes(shares, 0, modes, Q);
        g_assert_cmpuint(n, >=, 1);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < i; k++) {
                g_assert_cmpfloat(modes[i].share, <=, modes[k].share);
                g_assert_cmpfloat(
                    hypotf(modes[i].ab[0] - modes[k].ab[0], modes[i].ab[1] - modes[k].ab[1]), >=,
                    CZ_CLASS_APART);
            }
    }
}

// ---- what is suggested --------------------------------------------------------------------------

// A grey picture; its one feature is -1 at the left and 1 at the right.
static void chroma_init(CzChroma *chroma, const CzClassHead *head)
{
    CzField *field = &chroma->ground.field;
    CzFeatures *features = &chroma->ground.features[0];
    memset(chroma, 0, sizeof *chroma);
    chroma->width = chroma->height = 160;
    g_assert_true(cz_field_init(field, 16, 16, NULL));
    for (int i = 0; i < 256; i++) {
        field->l[i] = 55;
        field->c[2 * i] = field->c[2 * i + 1] = 0;
    }
    cz_field_slopes(field, CZ_FIELD_EPSILON);
    g_assert_true(cz_features_init(features, 4, 4, 1, NULL));
    for (int i = 0; i < 16; i++)
        features->data[i] = i % 4 < 2 ? -1 : 1;
    chroma->ground.n_features = 1;
    if (head)
        g_assert_true(cz_class_map_init(&chroma->classes, head, features, NULL));
    g_assert_true(cz_ground_finish(&chroma->ground, 160, 160, NULL));
}

static void chroma_clear(CzChroma *chroma)
{
    cz_ground_clear(&chroma->ground);
    cz_class_map_clear(&chroma->classes);
}

static bool has(const float (*ab)[2], size_t n, float a, float b)
{
    for (size_t i = 0; i < n; i++)
        if (hypotf(ab[i][0] - a, ab[i][1] - b) < 1)
            return true;
    return false;
}

// Red or green at the left with equal right, blue at the right.
static void likely_classes_are_suggested_where_they_are_likely(void)
{
    g_autoptr(CzClassHead) head = cz_class_head_new(1, NULL);
    CzChroma chroma;
    float ab[MOST][2];
    head->weight[square_of(50, 30)] = head->weight[square_of(-40, 30)] = -20;
    head->weight[square_of(10, -40)] = 20;
    chroma_init(&chroma, head);
    size_t n = cz_chroma_suggest(&chroma, 0.1, 0.5, 55, ab, MOST);
    g_assert_cmpuint(n, >=, 8);
    g_assert_true(ab[0][0] == 0 && ab[0][1] == 0); // what the field gives
    g_assert_true(has(ab + 1, 2, 50, 30) && has(ab + 1, 2, -40, 30));
    g_assert_false(has(ab, n, 10, -40));
    n = cz_chroma_suggest(&chroma, 0.9, 0.5, 55, ab, MOST);
    g_assert_true(has(ab + 1, 1, 10, -40));
    g_assert_false(has(ab, n, 50, 30) || has(ab, n, -40, 30));
    chroma_clear(&chroma);
}

// Equal shares, and shares that are no numbers.
static void a_head_that_knows_nothing_changes_nothing(void)
{
    g_autoptr(CzClassHead) head = cz_class_head_new(1, NULL);
    CzChroma with, without;
    float ab[MOST][2] = {{0}}, expected[MOST][2] = {{0}};
    chroma_init(&without, NULL);
    size_t n = cz_chroma_suggest(&without, 0.3, 0.5, 55, expected, MOST);
    for (int turn = 0; turn < 2; turn++) {
        chroma_init(&with, head);
        g_assert_cmpuint(cz_chroma_suggest(&with, 0.3, 0.5, 55, ab, MOST), ==, n);
        g_assert_cmpmem(ab, sizeof ab, expected, sizeof expected);
        chroma_clear(&with);
        head->weight[3] = head->weight[4] = -FLT_MAX;
        head->bias[3] = FLT_MAX;
    }
    chroma_clear(&without);
}

// ---- files --------------------------------------------------------------------------------------

typedef struct {
    const char *named;       // by the error
    int32_t n, channels;     // of the filters: more than there should be
    int32_t n_bias;          // likewise
    bool no_weight, no_bias; // the tensor is not there
    float weight, bias;      // one number of each
} Damage;

static char *folder;

// The file of small random weights, and a head beside: red or green, whatever the place.
static char *write_head(const Damage *damage)
{
    g_autofree char *plain =
        test_weights_write(folder, "plain.safetensors", &test_weights_small, NULL, NULL);
    g_autoptr(CzModelFile) file = cz_model_file_open(plain, NULL);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    for (const char *const *key = cz_model_file_meta_keys(file); *key; key++)
        cz_model_writer_meta(writer, *key, cz_model_file_meta(file, *key));
    for (size_t i = 0; i < cz_model_file_n_tensors(file); i++) {
        const CzTensor *tensor = cz_model_file_tensor(file, i);
        g_autofree float *data = g_new(float, tensor->n_elements);
        cz_tensor_to_f32(tensor, data);
        g_assert_true(cz_model_writer_add(writer, tensor->name, tensor->rank, tensor->dims, data,
                                          tensor->dtype, NULL));
    }
    CzGeneratorParams params = cz_generator_default();
    params.unet = test_weights_small;
    const int32_t dims[4] = {Q + damage->n, cz_generator_features(&params) + damage->channels, 1,
                             1};
    const int32_t n_bias = Q + damage->n_bias;
    g_autofree float *weight = g_new0(float, (size_t)dims[0] * dims[1]);
    g_autofree float *bias = g_new0(float, n_bias);
    bias[square_of(50, 30)] = bias[square_of(-40, 30)] = 15;
    bias[square_of(0, 0)] = damage->bias;
    weight[7] = damage->weight;
    g_assert_true((damage->no_weight ||
                   cz_model_writer_add(writer, CZ_CLASS_WEIGHT, 4, dims, weight, CZ_F32, NULL)) &&
                  (damage->no_bias ||
                   cz_model_writer_add(writer, CZ_CLASS_BIAS, 1, &n_bias, bias, CZ_F32, NULL)));
    char *path = g_build_filename(folder, "head.safetensors", NULL);
    g_assert_true(cz_model_writer_commit(writer, path, NULL));
    g_unlink(plain);
    return path;
}

static CzColorizer *open_head(const Damage *damage, GError **error)
{
    g_autofree char *path = write_head(damage);
    const CzColorizerOptions options = {.weights = path, .device = "cpu", .threads = 1};
    CzColorizer *colorizer = cz_colorizer_new(&options, error);
    g_unlink(path);
    return colorizer;
}

static bool read_grey(void *user, int32_t y, int32_t n_rows, float *rgb, GError **error)
{
    for (int32_t i = 0; i < n_rows * 120 * 3; i++)
        rgb[i] = 0.5f;
    return true;
}

// *with_head becomes whether the photograph got a map of classes.
static size_t suggest(const Damage *damage, float (*ab)[2], bool *with_head)
{
    g_autoptr(CzColorizer) colorizer = open_head(damage, NULL);
    const CzPhoto photo = {120, 90, read_grey, NULL, NULL};
    g_assert_nonnull(colorizer);
    g_autoptr(CzChroma) chroma = cz_colorizer_predict(colorizer, &photo, 0, NULL, NULL);
    g_assert_nonnull(chroma);
    // What is suggested of a photograph outlives what predicted it.
    g_clear_pointer(&colorizer, cz_colorizer_free);
    *with_head = chroma->classes.head != NULL;
    return cz_chroma_suggest(chroma, 0.4, 0.4, 55, ab, MOST);
}

static void a_photograph_is_asked_with_the_files_head(void)
{
    const Damage none = {0}, absent = {.no_weight = true, .no_bias = true};
    float ab[MOST][2], before[MOST][2];
    bool with_head;
    size_t n = suggest(&none, ab, &with_head);
    g_assert_true(with_head);
    g_assert_true(has(ab + 1, 2, 50, 30) && has(ab + 1, 2, -40, 30));
    size_t n_before = suggest(&absent, before, &with_head);
    g_assert_false(with_head);
    g_assert_false(has(before, n_before, 50, 30) || has(before, n_before, -40, 30));
    g_assert_cmpmem(ab, sizeof *ab, before, sizeof *before); // the prediction is the same
    // All that is without the head is still there, as far as there is room, but what is too like.
    g_assert_cmpuint(n, >=, n_before);
}

static void damaged_heads_are_refused(void)
{
    static const Damage damages[] = {
        {.named = CZ_CLASS_WEIGHT, .n = 1},        {.named = CZ_CLASS_WEIGHT, .n = -1},
        {.named = CZ_CLASS_WEIGHT, .channels = 1}, {.named = CZ_CLASS_WEIGHT, .no_weight = true},
        {.named = CZ_CLASS_WEIGHT, .weight = NAN}, {.named = CZ_CLASS_BIAS, .no_bias = true},
        {.named = CZ_CLASS_BIAS, .n_bias = -1},    {.named = CZ_CLASS_BIAS, .bias = INFINITY},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CzColorizer) colorizer = open_head(&damages[i], &error);
        g_assert_null(colorizer);
        g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
        g_assert_nonnull(strstr(error->message, damages[i].named));
        g_assert_nonnull(strstr(error->message, "expected"));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("cz-class-head-XXXXXX", NULL);
#define CASE(claim) g_test_add_func("/engine/class_head/" #claim, claim)
    CASE(squares_are_those_that_srgb_reaches);
    CASE(modes_are_the_colors_of_a_mixture);
    CASE(slopes_are_no_modes);
    CASE(modes_are_apart);
    CASE(likely_classes_are_suggested_where_they_are_likely);
    CASE(a_head_that_knows_nothing_changes_nothing);
    CASE(a_photograph_is_asked_with_the_files_head);
    CASE(damaged_heads_are_refused);
    int result = g_test_run();
    g_rmdir(folder);
    g_free(folder);
    return result;
}
