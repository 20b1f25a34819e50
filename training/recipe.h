// SPDX-License-Identifier: LGPL-3.0-or-later
// Recipes: everything that decides what a training learns, as one table of keys.
//
// A recipe is a GKeyFile ([section] key=value). Every key has a default and a range; unknown keys
// and impossible values are errors that name the file. --set section.key=value overrides.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include <cz/generator.h>

typedef struct {
    // [network]
    char encoder[1024]; // safetensors of a pretrained encoder; "" = from scratch
    char start[1024];   // weights to start from instead ("" = none)
    int32_t width16, width8, width4, width2, context;
    int32_t chroma, attention, depth, blocks, concat;
    char norm[32], head[32], architecture[32];
    int32_t width, levels, shared, unactivated, plain_start; // pix2pix
    double range, dropout;
    // [data]
    int32_t crop;
    char sizes[128], grow_at[128]; // of crops that grow (schedule.h); "" = crop all the time
    double scale_min, scale_max;   // short side over crop
    double flip, gamma_probability, gamma_sigma;
    double blur, plate, fade, grain, jpeg; // probabilities (degrade.h)
    double validation;                     // share of the set that is never trained on
    // [train]
    int32_t batch, accumulate;
    int64_t images; // length of the training, in pictures seen
    int64_t seed;
    // [optimizer]
    double rate, encoder_scale, beta1, beta2, epsilon, decay, clip;
    int32_t warmup; // steps
    double ema;
    char optimizer[32], schedule[32];
    int64_t hold, halve_every; // pictures seen
    double skip_z;
    // [loss]
    double huber, huber_beta, l1, log_mse, log_mse_floor, gradient, colourfulness, spread, gan, classes, perceptual;
    char perceptual_encoder[1024]; // safetensors of a pretrained encoder for colour; "" = none
    char loss_schedule[512];       // factors on the weights (losses.h)
    // [gan]
    char gan_loss[32];
    int32_t critic_width, critic_layers, critic_scales, critic_norm, critic_spectral;
    int32_t critic_conditional;
    double critic_leak;
    double critic_rate, critic_beta1, critic_floor, r1, gan_rate_scale;
    int32_t r1_every;                    // steps of the critic
    int64_t gan_from, gan_critic_images; // pictures seen
    int32_t gan_cycles, critic_warmup;
    char critic_schedule[32], gan_generator_schedule[32];
    // [run]
    double checkpoint_minutes;
    int32_t deterministic, tf32; // of GPUs
    int32_t bf16, validate_every, log_every, sheet_pictures; // steps, steps, pictures
    int32_t keep_every, sheet_every, keep_sheets;            // steps, steps, sheets
    char best[32];                                           // metric of best.safetensors
    // [watch] (watch.h)
    int32_t watch, watch_grace, watch_patience, watch_not_finite, watch_max_rollbacks;
    double watch_deviations, watch_critic, watch_collapse, watch_runaway, watch_rate_factor;
    // [model]: written into the weights file
    char working_sizes[128], training_set[512], licence[256], title[128];
} TrainRecipe;

typedef enum { TRAIN_KEY_INT, TRAIN_KEY_INT64, TRAIN_KEY_FLOAT, TRAIN_KEY_TEXT } TrainKeyType;

typedef struct {
    const char *section, *key;
    TrainKeyType type;
    size_t offset, size;
    double min, max, initial;
    const char *initial_text, *help;
} TrainKey;

const TrainKey *train_recipe_keys(size_t *n_keys);
void train_recipe_init(TrainRecipe *recipe); // defaults

// Relative paths among the values are taken from the recipe's own folder. CZ_ERROR_IO,
// CZ_ERROR_RECIPE.
bool train_recipe_load(TrainRecipe *recipe, const char *path, GError **error);
// train_recipe_text() read back; keys that it does not have are at their defaults. CZ_ERROR_RECIPE.
bool train_recipe_parse(TrainRecipe *recipe, const char *text, GError **error);
// One "section.key=value". CZ_ERROR_RECIPE.
bool train_recipe_set(TrainRecipe *recipe, const char *assignment, GError **error);
// What one rule alone cannot see (sums of losses, crops that a decoder cannot halve).
bool train_recipe_check(const TrainRecipe *recipe, GError **error);

char *train_recipe_text(const TrainRecipe *recipe); // every key, as a recipe file; caller frees
// First 16 hex digits of the text's SHA-256; of paths only the file's name counts, so that a clone
// may lie elsewhere.
char *train_recipe_hash(const TrainRecipe *recipe);
char *train_recipe_help(void);                                // a line a key
CzUnetParams train_recipe_network(const TrainRecipe *recipe); // the U-Net's part
CzGeneratorParams train_recipe_generator(const TrainRecipe *recipe);
int32_t train_recipe_stride(const TrainRecipe *recipe); // of the chroma (cz_generator_stride)
// What of the network's keys does not go together, in words; NULL: nothing. The caller frees.
char *train_recipe_network_fault(const TrainRecipe *recipe);

// NoGAN (Antic 2019): the generator learns alone, then the critic, from what the generator has
// learned, then both; the last two gan.cycles times. (schedule.c, as the next two.)
typedef enum { TRAIN_PHASE_GENERATOR, TRAIN_PHASE_CRITIC, TRAIN_PHASE_BOTH } TrainPhase;
TrainPhase train_recipe_phase(const TrainRecipe *recipe, int64_t step);

int64_t train_recipe_steps(const TrainRecipe *recipe);
// The generator's learning rate of a step (from 0), by optimizer.schedule (schedule.h); zero while
// the critic learns alone.
double train_recipe_rate(const TrainRecipe *recipe, int64_t step);
