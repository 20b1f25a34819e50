// SPDX-License-Identifier: LGPL-3.0-or-later
// The adversarial half of a training: what a critic's logits cost, and the critic's own step.
//
// In one training step the generator goes first (step.h), against the critic as it is; the critic
// is then shown the same pictures, the generator's and the true ones. Both see the color at the
// size that the generator predicts, and the lightness reduced to it.
//
// d: logits of true color, g: of the generator's; means over patches, pictures and scales.
//   bce     critic (softplus(-d) + softplus(g)) / 2, generator softplus(-g)   (Goodfellow et al.
//   2014) lsgan   critic ((d - 1)^2 + g^2) / 2,            generator (g - 1)^2      (Mao et al.
//   2017) hinge   critic (relu(1 - d) + relu(1 + g)) / 2,  generator -g             (Lim & Ye 2017)
//   R1      gamma / 2 of the mean over pictures of |gradient of the sum of d by the true color|^2
//           (Mescheder et al. 2018), added to the critic's; with gan.r1-every N only in every N-th
//           step, and then N times (Karras et al. 2020)
#pragma once

#include <cz/critic.h>

#include "recipe.h"

typedef enum { TRAIN_GAN_BCE, TRAIN_GAN_LSGAN, TRAIN_GAN_HINGE, TRAIN_N_GANS } TrainGan;

// FALSE: no loss has this name.
bool train_gan_of(const char *name, TrainGan *gan);
CzCriticParams train_gan_critic(const TrainRecipe *recipe);
// A scalar, as above: the generator's loss for its pictures' logits.
CzValue train_gan_generator_loss(CzGraph *graph, const CzCriticOutput *fake, int32_t n_scales,
                                 TrainGan gan);
CzValue train_gan_critic_loss(CzGraph *graph, const CzCriticOutput *real,
                              const CzCriticOutput *fake, int32_t n_scales, TrainGan gan);
// Lightness of stride times the color's size, reduced.
CzValue train_gan_lightness(CzGraph *graph, CzValue lightness, int32_t stride);

typedef struct {
    float loss, norm, gate;
    float real, fake;             // mean logits
    float right_real, right_fake; // share of patches that are judged as what they are
    float r1;                     // the penalty, as it was when it was last paid
    float paid;                   // its part of this step's loss: 0 between, gan.r1-every times r1
} TrainCriticScalars;

// The critic's step as one plan; its weights and moments are in the store ("critic.", "m/critic.",
// "v/critic."), put there by train_critic_start. Errors as train_step_new has them.
typedef struct TrainCritic TrainCritic;
bool train_critic_start(CzStore *store, const TrainRecipe *recipe, GError **error);
TrainCritic *train_critic_new(CzEngineDevice *device, CzStore *store, const TrainRecipe *recipe,
                              GError **error);
void train_critic_free(TrainCritic *critic);
CzPlan *train_critic_plan(TrainCritic *critic); // borrowed; for profiles
// lightness, chroma: the batch as train_step_run() takes it; fake: as chroma. index: of the
// critic's own steps, from 0. The critic does not learn where its loss is below gan.floor, so that
// the generator can catch up (scalars->gate is 0 then).
bool train_critic_run(TrainCritic *critic, const float *lightness, const float *chroma,
                      const float *fake, int64_t index, TrainCriticScalars *scalars,
                      GError **error);
