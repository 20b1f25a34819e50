// SPDX-License-Identifier: LGPL-3.0-or-later
// What time and old cameras do to a photograph's lightness: a network that has seen clean L* alone
// takes grain for leaves and a plate that was blind to red for a night.
//
// Only the lightness that the network is shown is changed; the colors to be learnt stay those of
// the photograph. In the order in which it happens to a picture:
//
//   blur    Gauss, deviation 0.4 to 1.4 pixels
//   plate   L* of w.R + w.G + w.B, linear light, weights positive with sum 1: half of them those of
//           a plate that sees blue and little else (before 1906 nearly all), half any
//   fade    the tone range becomes a part of it: black up to 0.25, white down to 0.7
//   grain   normal, deviation up to 0.06 of the range, a little soft
//   jpeg    quantised in 8 x 8 blocks: ITU-T T.81, table K.1, at IJG quality 20 to 70
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <cz/rng.h>

G_BEGIN_DECLS

// Probabilities, each for itself.
typedef struct {
    float blur, plate, fade, grain, jpeg;
} TrainDegradeParams;

// What is drawn for a sample; made before all pixels, and always with as many numbers.
typedef struct {
    float blur;      // deviation, pixels; 0: none
    float weight[3]; // sum 1; sum 0: none
    float black, white;
    float grain;       // deviation; 0: none
    int32_t quality;   // 0: none
    uint64_t grain_at; // stream of its numbers
} TrainDegradeDraw;

bool train_degrade_check(const TrainDegradeParams *params, GError **error); // CZ_ERROR_ARGUMENT
TrainDegradeDraw train_degrade_draw(const TrainDegradeParams *params, CzRng *rng);

// lab: side * side pixels, of which l is made. l: 0 to 1 (out), side * side. scratch: as many.
void train_degrade(const TrainDegradeDraw *drawn, const float *lab, int32_t side, float *l,
                   float *scratch);

G_END_DECLS
