// SPDX-License-Identifier: LGPL-3.0-or-later
// What weights have learned about hints: on a picture, and in a file.
#include <math.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>
#include <cz/rng.h>

#include "color/hint_head.h"
#include "color/hints.h"

enum { WIDTH = 24, HEIGHT = 16, CHANNELS = 9, N_MAPS = 2, HEAD_WIDTH = 5 };

// The same picture every time; head may be NULL.
static void ground_init(CzGround *ground, const CzHintHead *head)
{
    memset(ground, 0, sizeof *ground);
    CzRng rng = cz_rng(3, 0);
    g_assert_true(cz_field_init(&ground->field, WIDTH, HEIGHT, NULL));
    for (int32_t i = 0; i < WIDTH * HEIGHT; i++) {
        ground->field.l[i] = 30 + 40 * cz_rng_uniform(&rng);
        ground->field.c[2 * i] = 5 * cz_rng_normal(&rng);
        ground->field.c[2 * i + 1] = 5 * cz_rng_normal(&rng);
    }
    cz_field_slopes(&ground->field, CZ_FIELD_EPSILON);
    for (int m = 0; m < N_MAPS; m++) {
        CzFeatures *f = &ground->features[m];
        g_assert_true(cz_features_init(f, 6 + m, 4 + m, CHANNELS, NULL));
        for (int32_t i = 0; i < f->width * f->height * CHANNELS; i++)
            f->data[i] = 3 + cz_rng_normal(&rng);
    }
    ground->n_features = N_MAPS;
    ground->head = head;
    g_assert_true(cz_ground_finish(ground, 10 * WIDTH, 10 * HEIGHT, NULL));
}

static CzHintHead *make_head(int32_t width)
{
    CzHintHead *head = cz_hint_head_new(CHANNELS, width, NULL);
    CzRng rng = cz_rng(4, 0);
    for (int32_t i = 0; i < width * CHANNELS; i++)
        head->weight[i] = 0.4f * cz_rng_normal(&rng);
    for (int32_t i = 0; i < width; i++)
        head->amplitude[i] = 0.3f * cz_rng_normal(&rng);
    for (int i = 0; i < CZ_HINT_CURVE; i++)
        head->curve[i] = 0.2f * cz_rng_normal(&rng);
    head->kernel.feature = 1.25f;
    head->kernel.noise = 1e-5f;
    return head;
}

static CzDab dab_on(const CzGround *ground, int32_t at, float a, float b)
{
    return (CzDab){((float)(at % WIDTH) + 0.5f) / WIDTH,
                   ((float)(at / WIDTH) + 0.5f) / HEIGHT,
                   ground->field.l[at],
                   a,
                   b,
                   1};
}

static double worst_between(const CzField *a, const CzField *b)
{
    double worst = 0;
    for (size_t i = 0; i < (size_t)2 * WIDTH * HEIGHT; i++)
        worst = fmax(worst, fabs((double)a->c[i] - (double)b->c[i]));
    return worst;
}

// With the identity for a head nothing changes; with any other, something does.
static void the_head_takes_the_features_place(void)
{
    g_autoptr(CzHintHead) same = cz_hint_head_new(CHANNELS, CHANNELS, NULL);
    g_autoptr(CzHintHead) other = make_head(HEAD_WIDTH);
    for (int i = 0; i < CHANNELS; i++)
        same->weight[i * CHANNELS + i] = 1;
    const CzHintHead *heads[3] = {NULL, same, other};
    CzField fields[3];
    for (int i = 0; i < 3; i++) {
        CzGround ground;
        ground_init(&ground, heads[i]);
        CzHintKernel kernel = cz_hint_kernel(0.5);
        const CzDab dabs[2] = {dab_on(&ground, 100, 20, 5), dab_on(&ground, 300, -12, 25)};
        g_assert_cmpint(ground.features[1].channels, ==, i < 2 ? CHANNELS : HEAD_WIDTH);
        g_assert_true(cz_field_init(&fields[i], WIDTH, HEIGHT, NULL));
        g_assert_true(cz_hints_spread(&ground, dabs, 2, &kernel, &fields[i], NULL));
        cz_ground_clear(&ground);
    }
    g_assert_cmpfloat(worst_between(&fields[0], &fields[1]), <, 1e-3);
    g_assert_cmpfloat(worst_between(&fields[0], &fields[2]), >, 0.1);
    for (int i = 0; i < 3; i++)
        cz_field_clear(&fields[i]);
}

// hint_head.h's formula, in double, from the features that the head has made.
static double amplitude_of(const CzGround *ground, const CzHintHead *head, int32_t at)
{
    float z[HEAD_WIDTH];
    const float *c = ground->field.c + 2 * at;
    double x = ((double)(at % WIDTH) + 0.5) / WIDTH, y = ((double)(at / WIDTH) + 0.5) / HEIGHT;
    double q = ((double)ground->field.l[at] - 50) / 50, sum = 0;
    double chroma = sqrt((double)(c[0] * c[0] + c[1] * c[1]) + 1) / 30;
    for (int m = 0; m < N_MAPS; m++) {
        cz_features_at(&ground->features[m], x, y, z);
        for (int i = 0; i < HEAD_WIDTH; i++)
            sum += (double)z[i] * (double)head->amplitude[i] / N_MAPS;
    }
    const double curve[CZ_HINT_CURVE] = {q, q * q, chroma, chroma * chroma};
    for (int i = 0; i < CZ_HINT_CURVE; i++)
        sum += curve[i] * (double)head->curve[i];
    return exp(fmin(fmax(sum, -1), 1));
}

// A single dab without strength: d k(p, j) s(p) / s(j) everywhere, d at the dab. k is likeness.
static void amplitudes_scale_what_a_dab_does(void)
{
    g_autoptr(CzHintHead) head = make_head(HEAD_WIDTH);
    CzGround ground;
    CzField field;
    float likeness[WIDTH * HEIGHT];
    const int32_t at = 8 * WIDTH + 11;
    ground_init(&ground, head);
    CzHintKernel kernel = cz_hint_kernel_of(&head->kernel, 0.5);
    kernel.strength = 0;
    const float *c = ground.field.c;
    const CzDab dab = dab_on(&ground, at, c[2 * at] + 6, c[2 * at + 1] - 4);
    g_assert_true(cz_field_init(&field, WIDTH, HEIGHT, NULL));
    g_assert_true(cz_hints_spread(&ground, &dab, 1, &kernel, &field, NULL));
    g_assert_true(cz_hints_likeness(&ground, &dab, &kernel, likeness, NULL));
    double own = amplitude_of(&ground, head, at), worst = 0, least = 9, most = 0;
    for (int32_t i = 0; i < WIDTH * HEIGHT; i++) {
        double ratio = amplitude_of(&ground, head, i) / own;
        double expected = (double)c[2 * i] + 6 * ratio * (double)likeness[i];
        worst = fmax(worst, fabs(expected - (double)field.c[2 * i]));
        least = fmin(least, ratio);
        most = fmax(most, ratio);
    }
    g_test_message("off by %.3g at most; ratios from %.2f to %.2f", worst, least, most);
    g_assert_cmpfloat(most - least, >, 0.5);
    g_assert_cmpfloat(worst, <, 0.01);
    g_assert_cmpfloat_with_epsilon(field.c[2 * at], c[2 * at] + 6, 1e-3);
    g_assert_cmpfloat_with_epsilon(field.c[2 * at + 1], c[2 * at + 1] - 4, 1e-3);
    cz_field_clear(&field);
    cz_ground_clear(&ground);
}

// Whatever was learned, no place is more than e^2 times another.
static void amplitudes_are_bounded(void)
{
    g_autoptr(CzHintHead) head = make_head(HEAD_WIDTH);
    CzGround ground;
    for (int i = 0; i < HEAD_WIDTH; i++)
        head->amplitude[i] *= 1000;
    ground_init(&ground, head);
    float least = 9, most = 0;
    for (int32_t i = 0; i < WIDTH * HEIGHT; i++) {
        least = fminf(least, ground.amplitudes[i]);
        most = fmaxf(most, ground.amplitudes[i]);
    }
    g_assert_cmpfloat_with_epsilon(most, expf(1), 1e-5);
    g_assert_cmpfloat_with_epsilon(least, expf(-1), 1e-5);
    cz_ground_clear(&ground);
}

// ---- files --------------------------------------------------------------------------------------

typedef struct {
    int32_t channels;  // of the network that reads
    bool no_amplitude; // the tensor is not there
    float number;      // of the head's weights
    const char *meta;  // instead of the numbers; NULL: as written
} Damage;

// A file with a head that may be damaged, and what reading it gives.
static bool read_back(const Damage *damage, CzHintHead **read, GError **error)
{
    g_autofree char *folder = g_dir_make_tmp("cz-head-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "w.safetensors", NULL);
    g_autoptr(CzHintHead) head = make_head(HEAD_WIDTH);
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    const int32_t dims[4] = {HEAD_WIDTH, CHANNELS, 1, 1};
    head->weight[7] = damage->number;
    if (damage->no_amplitude)
        g_assert_true(
            cz_model_writer_add(writer, "hint.head.weight", 4, dims, head->weight, CZ_F32, NULL));
    else
        g_assert_true(cz_hint_head_write(head, writer, NULL));
    if (damage->meta)
        cz_model_writer_meta(writer, "colorize.hints", damage->meta);
    g_assert_true(cz_model_writer_commit(writer, path, NULL));
    g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);
    bool good = cz_hint_head_read(file, damage->channels, read, error);
    g_unlink(path);
    g_rmdir(folder);
    return good;
}

static void a_file_gives_back_what_was_written(void)
{
    const Damage none = {.channels = CHANNELS, .number = 0.5f};
    g_autoptr(CzHintHead) head = make_head(HEAD_WIDTH), read = NULL;
    head->weight[7] = 0.5f;
    g_assert_true(read_back(&none, &read, NULL));
    g_assert_cmpint(read->width, ==, HEAD_WIDTH);
    g_assert_cmpmem(read->weight, HEAD_WIDTH * CHANNELS * sizeof(float), head->weight,
                    HEAD_WIDTH * CHANNELS * sizeof(float));
    g_assert_cmpmem(read->amplitude, HEAD_WIDTH * sizeof(float), head->amplitude,
                    HEAD_WIDTH * sizeof(float));
    for (int i = 0; i < CZ_HINT_CURVE; i++)
        g_assert_cmpfloat_with_epsilon(read->curve[i], head->curve[i], 1e-6);
    g_assert_cmpfloat(read->kernel.feature, ==, 1.25f);
    g_assert_cmpfloat(read->kernel.bold, ==, cz_hint_kernel(0.5).bold);
}

static void damaged_heads_are_refused(void)
{
    static const Damage damages[] = {
        {.channels = CHANNELS + 1},
        {.channels = CHANNELS, .no_amplitude = true},
        {.channels = CHANNELS, .number = NAN},
        {.channels = CHANNELS, .meta = "1,2,3"},
        {.channels = CHANNELS, .meta = "0,3,50,50,0.001,0.01,0,0,0,0"},
        {.channels = CHANNELS, .meta = "2,3,50,50,0.001,0.01,0,0,0,nan"},
        {.channels = CHANNELS, .meta = "2,3,50,50,0.001,0.01,0,0,0,zero"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
        g_autoptr(GError) error = NULL;
        CzHintHead *read = NULL;
        g_assert_false(read_back(&damages[i], &read, &error));
        g_assert_error(error, CZ_ERROR, CZ_ERROR_MODEL);
        g_assert_null(read);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hint_head/the_head_takes_the_features_place",
                    the_head_takes_the_features_place);
    g_test_add_func("/hint_head/amplitudes_scale_what_a_dab_does",
                    amplitudes_scale_what_a_dab_does);
    g_test_add_func("/hint_head/amplitudes_are_bounded", amplitudes_are_bounded);
    g_test_add_func("/hint_head/a_file_gives_back_what_was_written",
                    a_file_gives_back_what_was_written);
    g_test_add_func("/hint_head/damaged_heads_are_refused", damaged_heads_are_refused);
    return g_test_run();
}
