// SPDX-License-Identifier: LGPL-3.0-or-later
// Formulas of the figures, and the table that names them.
#include "figures.h"

#include <math.h>

#include "frechet.h"
#include "metrics.h"

#define OF(function, image) function((image)->rgb, (image)->width, (image)->height)
#define BETWEEN(function, look) \
    function((look)->truth->rgb, (look)->output->rgb, (look)->truth->width, (look)->truth->height)

static double psnr(const TrainLook *look)
{
    return BETWEEN(train_psnr, look);
}

static double gain(const TrainLook *look)
{
    return psnr(look) - look->psnr_grey;
}

static double ssim(const TrainLook *look)
{
    return look->output == look->truth ? 1 : BETWEEN(train_ssim, look);
}

static double delta_e(const TrainLook *look)
{
    return look->output == look->truth ? 0 : BETWEEN(train_delta_e, look);
}

static double distance(const TrainLook *look)
{
    return look->eye ? train_sight_distance(&look->true_sight, &look->sight) : NAN;
}

static double seconds(const TrainLook *look)
{
    return look->seconds;
}

static double colourfulness(const TrainLook *look)
{
    return OF(train_colourfulness, look->output);
}

static double colourfulness_true(const TrainLook *look)
{
    return OF(train_colourfulness, look->truth);
}

static double delta_cf_of_pictures(const TrainLook *look)
{
    return fabs(colourfulness(look) - colourfulness_true(look));
}

static double colourfulness_abs(const TrainLook *look)
{
    return OF(train_colourfulness_abs, look->output);
}

static double colourfulness_abs_true(const TrainLook *look)
{
    return OF(train_colourfulness_abs, look->truth);
}

static double reduced(const TrainLook *look)
{
    return 100 * look->reduced;
}

static double edge_error(const TrainLook *look)
{
    return train_edge_error(look->true_lab, look->lab, look->truth->width, look->truth->height,
                            look->scratch);
}

static double percent_of_pixels(const TrainLook *look, size_t n)
{
    return 100 * (double)n / ((double)look->truth->width * look->truth->height);
}

static double chroma_edges(const TrainLook *look)
{
    return percent_of_pixels(look, look->edges.n_chroma);
}

static double stray_edges(const TrainLook *look)
{
    return percent_of_pixels(look, look->edges.n_stray);
}

static double share(const double *means, TrainFigureId part, TrainFigureId whole)
{
    return means[whole] > 0 ? 100 * means[part] / means[whole] : 0;
}

static double colourfulness_share(const TrainTotals *totals)
{
    return share(totals->means, TRAIN_CF, TRAIN_CF_TRUE);
}

static double delta_cf_of_means(const TrainTotals *totals)
{
    return fabs(totals->means[TRAIN_CF] - totals->means[TRAIN_CF_TRUE]);
}

static double delta_cf_abs_of_means(const TrainTotals *totals)
{
    return fabs(totals->means[TRAIN_CF_ABS] - totals->means[TRAIN_CF_ABS_TRUE]);
}

static double stray(const TrainTotals *totals)
{
    return share(totals->means, TRAIN_STRAY_EDGES, TRAIN_CHROMA_EDGES);
}

static double frechet(const TrainTotals *totals)
{
    double distance = NAN;
    if (totals->features)
        train_frechet(totals->true_features, totals->n, totals->features, totals->n,
                      TRAIN_EYE_VALUES, &distance, NULL);
    return distance;
}

#define FORMULA_PICTURE(formula) .picture = formula
#define FORMULA_SET(formula)     .set = formula
const TrainFigure train_figures[TRAIN_N_FIGURES] = {
#define FIGURE(id, key_, head_, unit_, digits_, better_, scope, formula, place_, about_) \
    [TRAIN_##id] = {.key = key_,                                                         \
                    .head = head_,                                                       \
                    .unit = unit_,                                                       \
                    .digits = digits_,                                                   \
                    .better = TRAIN_##better_,                                           \
                    FORMULA_##scope(formula),                                            \
                    .place = TRAIN_##place_,                                             \
                    .about = about_},
#include "figures.def"
#undef FIGURE
};

const char *train_better_name(TrainBetter better)
{
    static const char *const names[] = {"higher is better", "lower is better",
                                        "as the truth's is best", "for reference"};
    return names[better];
}

char *train_figures_help(void)
{
    GString *text = g_string_new("Figures:\n");
    for (size_t i = 0; i < TRAIN_N_FIGURES; i++) {
        const TrainFigure *figure = &train_figures[i];
        const char *head = *figure->head ? figure->head : figure->key;
        g_string_append_printf(text, "  %s%s%s: %s; %s, %s\n", head, *figure->unit ? ", " : "",
                               figure->unit, figure->about, train_better_name(figure->better),
                               figure->set ? "of the set" : "mean of the pictures");
    }
    return g_string_free(text, FALSE);
}
