// SPDX-License-Identifier: LGPL-3.0-or-later
// The line that a factor on chroma draws.
#include "frontier.h"

#include <math.h>

#include "metrics.h"

const int train_frontier_percents[TRAIN_FRONTIER_PLACES] = {60, 70, 80, 90};

double train_frontier_strength(size_t step)
{
    return 0.4 + 0.1 * (double)step;
}

void train_frontier_add(TrainFrontier *frontier, size_t step, const TrainImage *truth,
                        const TrainImage *output, double psnr_grey)
{
    int32_t w = truth->width, h = truth->height;
    frontier->gains[step] += train_psnr(truth->rgb, output->rgb, w, h) - psnr_grey;
    frontier->colourfulness[step] += train_colourfulness(output->rgb, w, h);
    if (step + 1 < TRAIN_FRONTIER_STEPS)
        return;
    frontier->n++;
    frontier->colourfulness_true += train_colourfulness(truth->rgb, w, h);
}

double train_frontier_gain(const TrainFrontier *frontier, double percent)
{
    double wanted = percent / 100 * frontier->colourfulness_true;
    for (size_t i = 0; i + 1 < TRAIN_FRONTIER_STEPS; i++) {
        double low = frontier->colourfulness[i], high = frontier->colourfulness[i + 1];
        if (low > wanted || wanted > high || high <= low)
            continue;
        double share = (wanted - low) / (high - low);
        return ((1 - share) * frontier->gains[i] + share * frontier->gains[i + 1]) /
               (double)frontier->n;
    }
    return NAN;
}
