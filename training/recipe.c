// SPDX-License-Identifier: LGPL-3.0-or-later
// The table of recipe keys, and what is made from it: reading, checking, writing, help.
#include "recipe.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include <cz/error.h>

#include "checkpoint.h"
#include "gan.h"
#include "losses.h"
#include "optimizer.h"
#include "schedule.h"

#define AT(field) offsetof(TrainRecipe, field), sizeof(((TrainRecipe *)0)->field)
#define INT(s, k, field, lo, hi, start, help)                     \
    {                                                             \
        s, k, TRAIN_KEY_INT, AT(field), lo, hi, start, NULL, help \
    }
#define INT64(s, k, field, lo, hi, start, help)                     \
    {                                                               \
        s, k, TRAIN_KEY_INT64, AT(field), lo, hi, start, NULL, help \
    }
#define FLOAT(s, k, field, lo, hi, start, help)                     \
    {                                                               \
        s, k, TRAIN_KEY_FLOAT, AT(field), lo, hi, start, NULL, help \
    }
#define TEXT(s, k, field, start, help)                        \
    {                                                         \
        s, k, TRAIN_KEY_TEXT, AT(field), 0, 0, 0, start, help \
    }

// clang-format off
static const TrainKey keys[] = {
    TEXT("network", "encoder", encoder, "", "pretrained encoder (path, from the recipe's folder); empty: from scratch"),
    TEXT("network", "start", start, "", "weights to start from (path); empty: none"),
    INT("network", "width16", width16, 8, 1024, 128, "decoder's channels at 1/16"),
    INT("network", "width8", width8, 8, 1024, 96, "decoder's channels at 1/8"),
    INT("network", "width4", width4, 8, 1024, 64, "decoder's channels at 1/4"),
    INT("network", "width2", width2, 8, 1024, 48, "decoder's channels at 1/2"),
    INT("network", "context", context, 0, 1, 1, "1: a 1x1 of the global mean is added at the bottom"),
    INT("network", "chroma", chroma, 2, 4, 2, "2: chroma at half the size, 4: at a quarter, the decoder ends there"),
    INT("network", "attention", attention, 0, 32, 0, "self-attention (SAGAN) at 1/4, 1/8, 1/16 or 1/32 of the size; 0: none"),
    INT("network", "depth", depth, 4, 5, 5, "levels of the encoder: it ends at 1/32 or 1/16"),
    INT("network", "blocks", blocks, 1, 4, 1, "residual blocks in each level of the decoder"),
    TEXT("network", "norm", norm, "none", "normalisation of the decoder: none, batch or instance"),
    TEXT("network", "head", head, "plain", "plain: chroma; affine: also slopes, trained through c + s (L - l) at full size"),
    INT("network", "concat", concat, 0, 1, 0, "1: skips are concatenated, 0: added"),
    TEXT("network", "architecture", architecture, "unet", "unet (EfficientNet encoder, the other keys above) or pix2pix (the keys below)"),
    INT("network", "width", width, 1, 512, 64, "pix2pix: channels of its first level"),
    INT("network", "levels", levels, 4, 9, 8, "pix2pix: how often it halves the size; crops are multiples of 2^levels"),
    INT("network", "shared", shared, 0, 1, 0, "pix2pix: 1: the inner levels of the encoder are one module (the seed's mistake)"),
    INT("network", "unactivated", unactivated, 0, 9, 0, "pix2pix: level of the decoder without ReLU (the seed's: 5); 0: none"),
    FLOAT("network", "range", range, 1, 256, 110, "pix2pix: a*b* that tanh's 1 stands for"),
    INT("network", "plain-start", plain_start, 0, 1, 0, "1: pix2pix and critic start as PyTorch's layers do by themselves, not with N(0, 0.02)"),
    FLOAT("network", "dropout", dropout, 0, 0.9, 0, "probability that the decoder leaves out a value in training (pix2pix: 0.5)"),
    INT("data", "crop", crop, 32, 1024, 128, "side of the crops, pixels"),
    FLOAT("data", "scale-min", scale_min, 1, 16, 1.0, "smallest short side of a picture, in crops"),
    FLOAT("data", "scale-max", scale_max, 1, 16, 1.5, "largest short side of a picture, in crops"),
    FLOAT("data", "flip", flip, 0, 1, 0.5, "probability of a mirror image"),
    FLOAT("data", "gamma-probability", gamma_probability, 0, 1, 0.5, "probability of a changed gamma of L*"),
    FLOAT("data", "gamma-sigma", gamma_sigma, 0, 2, 0.25, "gamma = exp(N(0, sigma))"),
    FLOAT("data", "blur", blur, 0, 1, 0, "probability of a blurred L*"),
    FLOAT("data", "plate", plate, 0, 1, 0, "probability of L* as another emulsion sees it, half of them blue-sensitive"),
    FLOAT("data", "fade", fade, 0, 1, 0, "probability of faded blacks and whites"),
    FLOAT("data", "grain", grain, 0, 1, 0, "probability of grain"),
    FLOAT("data", "jpeg", jpeg, 0, 1, 0, "probability of JPEG blocks in L*"),
    TEXT("data", "sizes", sizes, "", "crops that grow, as in '64,96,128'; the last is data.crop; empty: data.crop all the time"),
    TEXT("data", "grow-at", grow_at, "", "shares of the training where they grow, as in '0.3,0.6'; empty: equal parts"),
    FLOAT("data", "validation", validation, 0, 0.5, 0.02, "share of the set kept for validation"),
    INT("train", "batch", batch, 1, 4096, 16, "pictures a step"),
    INT("train", "accumulate", accumulate, 1, 1024, 1, "batches a step: their gradients are averaged (batch normalisation still sees one batch)"),
    INT64("train", "images", images, 1, 1e12, 55000, "length of the training, pictures seen"),
    INT64("train", "seed", seed, 0, 1e15, 1, "of weights, order and augmentation"),
    FLOAT("optimizer", "rate", rate, 0, 1, 1e-3, "highest learning rate"),
    FLOAT("optimizer", "encoder-scale", encoder_scale, 0, 10, 0.15, "the encoder's rate over the decoder's"),
    FLOAT("optimizer", "beta1", beta1, 0, 0.9999, 0.9, "Adam's beta 1"),
    FLOAT("optimizer", "beta2", beta2, 0, 0.99999, 0.99, "Adam's beta 2"),
    FLOAT("optimizer", "epsilon", epsilon, 1e-16, 1, 1e-8, "Adam's epsilon"),
    FLOAT("optimizer", "decay", decay, 0, 1, 1e-4, "weight decay; decoupled, but for adam"),
    FLOAT("optimizer", "clip", clip, 0, 1e9, 1, "largest norm of the gradient; 0: no limit"),
    INT("optimizer", "warmup", warmup, 0, 1000000, 100, "steps of linear warm-up"),
    FLOAT("optimizer", "ema", ema, 0, 0.999999, 0.999, "decay of the moving average of the weights"),
    TEXT("optimizer", "kind", optimizer, "adamw", "adamw, adam (decay as L2) or adabelief; the critic's, too"),
    TEXT("optimizer", "schedule", schedule, "cosine", "cosine (to 0), linear (to 0), step (halved) or constant, after the warm-up"),
    INT64("optimizer", "hold", hold, 0, 1e12, 0, "pictures before linear or step begins to fall, since the schedule's start"),
    INT64("optimizer", "halve-every", halve_every, 1, 1e12, 100000, "pictures between the halvings of step"),
    FLOAT("optimizer", "skip-z", skip_z, 0, 1e6, 0, "leave out steps with loss or gradient norm so many deviations above the last 128; 0: none"),
    FLOAT("loss", "huber", huber, 0, 1e6, 1, "weight of Huber on ab/100"),
    FLOAT("loss", "huber-beta", huber_beta, 1e-6, 10, 0.1, "where Huber turns linear, ab/100"),
    FLOAT("loss", "l1", l1, 0, 1e6, 0, "weight of L1 on ab/100"),
    FLOAT("loss", "log-mse", log_mse, 0, 1e6, 0, "weight of the mean over pictures of log(squared error + floor), ab/100"),
    FLOAT("loss", "log-mse-floor", log_mse_floor, 1e-9, 10, 1e-3, "that floor"),
    FLOAT("loss", "colourfulness", colourfulness, 0, 1e6, 0, "weight of |mean chroma of output - of truth|, ab/100"),
    FLOAT("loss", "gradient", gradient, 0, 1e6, 0, "weight of L1 on the differences of neighbours' ab/100"),
    FLOAT("loss", "gan", gan, 0, 1e6, 0, "weight of the critic's verdict; 0: no critic"),
    FLOAT("loss", "spread", spread, 0, 1e6, 0, "weight of |spread of output's color - of truth's|, ab/100"),
    FLOAT("loss", "class", classes, 0, 1e6, 0, "weight of the cross entropy of color classes, rare ones counting more"),
    FLOAT("loss", "perceptual", perceptual, 0, 1e6, 0, "weight of the distance in a pretrained encoder's features"),
    TEXT("loss", "perceptual-encoder", perceptual_encoder, "", "that encoder, for color pictures (path, from the recipe's folder)"),
    TEXT("loss", "schedule", loss_schedule, "", "factors on weights by pictures seen, as in 'gan 0:0 20000:1; l1 0:1 20000:0'"),
    TEXT("gan", "loss", gan_loss, "hinge", "bce, lsgan or hinge"),
    INT("gan", "width", critic_width, 1, 512, 48, "the critic's channels after its first convolution (PatchGAN 70: 64)"),
    INT("gan", "layers", critic_layers, 1, 5, 2, "its convolutions of stride 2 (PatchGAN 70: 3)"),
    INT("gan", "scales", critic_scales, 1, CZ_CRITIC_MOST_SCALES, 1, "critics, each at half the size of the one before"),
    INT("gan", "batch-norm", critic_norm, 0, 1, 0, "1: batch normalisation in the critic"),
    INT("gan", "spectral", critic_spectral, 0, 1, 1, "1: spectral normalisation of its filters"),
    INT("gan", "conditional", critic_conditional, 0, 1, 1, "1: it sees the lightness too"),
    FLOAT("gan", "leak", critic_leak, 0, 1, 0.2, "slope of its leaky ReLU below zero (the seed's: 0.02)"),
    FLOAT("gan", "rate", critic_rate, 0, 1, 2e-4, "the critic's learning rate (Adam, beta 2 0.999)"),
    FLOAT("gan", "beta1", critic_beta1, 0, 0.9999, 0.5, "the critic's beta 1"),
    FLOAT("gan", "floor", critic_floor, 0, 1e6, 0, "the critic does not learn where its loss is below this"),
    FLOAT("gan", "r1", r1, 0, 1e6, 0, "weight gamma of the R1 penalty"),
    INT("gan", "r1-every", r1_every, 1, 1000, 1, "the penalty is paid in every so many-th step, and then so many times"),
    INT64("gan", "from", gan_from, 0, 1e12, 0, "pictures seen before the critic begins to learn"),
    INT64("gan", "critic-images", gan_critic_images, 0, 1e12, 0, "pictures that then only the critic learns from"),
    FLOAT("gan", "rate-scale", gan_rate_scale, 0, 10, 1, "factor on the generator's rate from then on"),
    INT("gan", "cycles", gan_cycles, 1, 1000, 1, "how often (critic alone, both) comes from then on"),
    TEXT("gan", "generator-schedule", gan_generator_schedule, "", "the generator's schedule from then on; empty: the first one goes on"),
    TEXT("gan", "schedule", critic_schedule, "constant", "the critic's schedule: cosine, linear, step or constant"),
    INT("gan", "warmup", critic_warmup, 0, 1000000, 0, "the critic's steps of linear warm-up"),
    FLOAT("run", "checkpoint-minutes", checkpoint_minutes, 0, 1e6, 3, "minutes between checkpoints; 0: every log line"),
    INT("run", "bf16", bf16, 0, 1, 0, "1: activations in BF16 (sums and master weights stay F32)"),
    INT("run", "deterministic", deterministic, 0, 1, 1, "1: a GPU repeats itself to the bit, and a resume with it; 0: it takes the fastest methods"),
    INT("run", "tf32", tf32, 0, 1, 0, "1: a GPU may round the factors of F32 convolutions to 10 bits"),
    INT("run", "validate-every", validate_every, 1, 1000000000, 500, "steps between validations"),
    INT("run", "log-every", log_every, 1, 1000000000, 20, "steps between lines of the log"),
    INT("run", "sheet-pictures", sheet_pictures, 0, 64, 8, "pictures on the sample sheet; 0: no sheet"),
    INT("run", "sheet-every", sheet_every, 0, 1000000000, 0, "steps between sample sheets; 0: at validations"),
    INT("run", "keep-sheets", keep_sheets, 0, 1000000000, 100, "so many of the newest stay in sheets/"),
    INT("run", "keep-every", keep_every, 0, 1000000000, 0, "steps between checkpoints that stay; 0: none"),
    TEXT("run", "best", best, "gain", "best.safetensors by this: gain, delta-e or loss; empty: none"),
    INT("watch", "on", watch, 0, 1, 1, "1: alarms roll the run back and lower its rates"),
    INT("watch", "grace", watch_grace, 0, 1000000000, 300, "steps after a start, a new phase or a rollback without alarms"),
    INT("watch", "patience", watch_patience, 1, 1000000, 100, "steps that must show a sign before it is an alarm"),
    INT("watch", "not-finite", watch_not_finite, 1, 1000000, 20, "steps in a row without a number that are an alarm"),
    FLOAT("watch", "deviations", watch_deviations, 0, 1e6, 8, "loss above its mean, in standard deviations; 0: not watched"),
    FLOAT("watch", "critic", watch_critic, 0, 1, 0.02, "critic's loss over that of guessing, below which it wins; 0: not watched"),
    FLOAT("watch", "collapse", watch_collapse, 0, 1, 0.25, "spread of color over its best, below which it collapses; 0: not watched"),
    FLOAT("watch", "runaway", watch_runaway, 0, 1e6, 4, "spread of color over the truth's, above which it runs away; 0: not watched"),
    FLOAT("watch", "rate-factor", watch_rate_factor, 0, 1, 0.5, "on the rates at a rollback; on the critic's twice where color collapses or runs away"),
    INT("watch", "max-rollbacks", watch_max_rollbacks, 0, 1000000, 3, "the next alarm ends the run"),
    TEXT("model", "title", title, "photo", "name of the weights"),
    TEXT("model", "working-sizes", working_sizes, "192", "short sides that the network works at, averaged"),
    TEXT("model", "training-set", training_set, "", "what it was trained on, in words"),
    TEXT("model", "licence", licence, "", "licence of the weights"),
};
// clang-format on

const TrainKey *train_recipe_keys(size_t *n_keys)
{
    *n_keys = G_N_ELEMENTS(keys);
    return keys;
}

static void put_number(TrainRecipe *recipe, const TrainKey *key, double value)
{
    char *at = (char *)recipe + key->offset;
    if (key->type == TRAIN_KEY_INT)
        *(int32_t *)at = (int32_t)value;
    else if (key->type == TRAIN_KEY_INT64)
        *(int64_t *)at = (int64_t)value;
    else
        *(double *)at = value;
}

static double get_number(const TrainRecipe *recipe, const TrainKey *key)
{
    const char *at = (const char *)recipe + key->offset;
    if (key->type == TRAIN_KEY_INT)
        return *(const int32_t *)at;
    if (key->type == TRAIN_KEY_INT64)
        return (double)*(const int64_t *)at;
    return *(const double *)at;
}

void train_recipe_init(TrainRecipe *recipe)
{
    memset(recipe, 0, sizeof *recipe);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (keys[i].type == TRAIN_KEY_TEXT)
            g_strlcpy((char *)recipe + keys[i].offset, keys[i].initial_text, keys[i].size);
        else
            put_number(recipe, &keys[i], keys[i].initial);
    }
}

static const TrainKey *find(const char *section, const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].key, name) == 0)
            return &keys[i];
    return NULL;
}

// Paths are the texts of this length.
static bool is_path(const TrainKey *key)
{
    return key->type == TRAIN_KEY_TEXT && key->size == sizeof((TrainRecipe *)0)->encoder;
}

// Paths become absolute, so that the run's own copy of the recipe means the same files. folder:
// where relative ones start; NULL: the current one.
static bool put_text(TrainRecipe *recipe, const TrainKey *key, const char *text, const char *folder,
                     GError **error)
{
    g_autofree char *start = folder ? g_canonicalize_filename(folder, NULL) : NULL;
    g_autofree char *full =
        is_path(key) && *text ? g_canonicalize_filename(text, start) : g_strdup(text);
    if (!g_utf8_validate(full, -1, NULL)) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s.%s is not valid UTF-8 text", key->section,
                    key->key);
        return false;
    }
    if (g_strlcpy((char *)recipe + key->offset, full, key->size) < key->size)
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s.%s is longer than %zu bytes", key->section,
                key->key, key->size - 1);
    return false;
}

static bool put(TrainRecipe *recipe, const char *section, const char *name, const char *text,
                const char *folder, GError **error)
{
    const TrainKey *key = find(section, name);
    if (!key) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                    "there is no key %s.%s (colorizer train --help lists the keys)", section, name);
        return false;
    }
    if (key->type == TRAIN_KEY_TEXT)
        return put_text(recipe, key, text, folder, error);
    char *end = NULL;
    double value = g_ascii_strtod(text, &end);
    bool whole = key->type == TRAIN_KEY_FLOAT || value == floor(value);
    if (end == text || end[strspn(end, " \t")] || !(value >= key->min && value <= key->max) ||
        !whole) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s.%s is '%s', expected a %s from %g to %g",
                    section, name, text, key->type == TRAIN_KEY_FLOAT ? "number" : "whole number",
                    key->min, key->max);
        return false;
    }
    put_number(recipe, key, value);
    return true;
}

static bool put_all(TrainRecipe *recipe, GKeyFile *file, const char *folder, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_auto(GStrv) sections = g_key_file_get_groups(file, NULL);
    for (char **section = sections; *section; section++) {
        g_auto(GStrv) names = g_key_file_get_keys(file, *section, NULL, NULL);
        for (char **name = names; name && *name; name++) {
            // An unknown escape, or text that is not UTF-8; there may be a text beside the error.
            g_autofree char *text = g_key_file_get_string(file, *section, *name, &local);
            if (local) {
                g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s.%s: %s", *section, *name,
                            local->message);
                return false;
            }
            if (!put(recipe, *section, *name, text, folder, error))
                return false;
        }
    }
    return true;
}

bool train_recipe_load(TrainRecipe *recipe, const char *path, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) local = NULL;
    g_autofree char *folder = g_path_get_dirname(path);
    if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &local)) {
        g_set_error(error, CZ_ERROR, local->domain == G_FILE_ERROR ? CZ_ERROR_IO : CZ_ERROR_RECIPE,
                    "recipe %s: %s", path, local->message);
        return false;
    }
    if (put_all(recipe, file, folder, error))
        return true;
    g_prefix_error(error, "recipe %s: ", path);
    return false;
}

bool train_recipe_parse(TrainRecipe *recipe, const char *text, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GError) local = NULL;
    train_recipe_init(recipe);
    if (g_key_file_load_from_data(file, text, strlen(text), G_KEY_FILE_NONE, &local))
        return put_all(recipe, file, NULL, error);
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "%s", local->message);
    return false;
}

bool train_recipe_set(TrainRecipe *recipe, const char *assignment, GError **error)
{
    const char *dot = strchr(assignment, '.'), *equals = strchr(assignment, '=');
    if (!dot || !equals || dot > equals) {
        g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE, "--set %s: expected section.key=value",
                    assignment);
        return false;
    }
    g_autofree char *section = g_strndup(assignment, (gsize)(dot - assignment));
    g_autofree char *name = g_strndup(dot + 1, (gsize)(equals - dot - 1));
    return put(recipe, section, name, equals + 1, NULL, error);
}

// At least one logit has to be left: sizes halve in layers and scales, and two convolutions of
// stride 1 take one pixel each.
static bool critic_fits(const TrainRecipe *recipe, int32_t crop)
{
    int32_t whole = crop / train_recipe_stride(recipe);
    int32_t side = whole >> (recipe->critic_scales - 1);
    return side >> recipe->critic_layers >= 3 && whole % (1 << (recipe->critic_scales - 1)) == 0;
}

static bool critic_fits_all(const TrainRecipe *recipe, const TrainSizes *sizes)
{
    for (int i = 0; i < sizes->n; i++)
        if (!critic_fits(recipe, sizes->crops[i]))
            return false;
    return true;
}

// The caller frees; NULL: the network can take crops of all sizes.
static char *network_fault(const TrainRecipe *recipe, const TrainSizes *sizes)
{
    char *fault = NULL;
    for (int i = 0; i < sizes->n && !fault; i++) {
        TrainRecipe stage = *recipe;
        stage.crop = sizes->crops[i];
        fault = train_recipe_network_fault(&stage);
    }
    return fault;
}

// Names that schedule.c and optimizer.c have to know.
static const char *wrong_name(const TrainRecipe *recipe)
{
    TrainScheduleKind schedule;
    CzAdamKind kind;
    if (!train_optimizer_of(recipe->optimizer, &kind))
        return "optimizer.kind is none of adamw, adam, adabelief";
    if (!train_schedule_of(recipe->schedule, &schedule))
        return "optimizer.schedule is none of cosine, linear, step, constant";
    if (!train_schedule_of(recipe->critic_schedule, &schedule))
        return "gan.schedule is none of cosine, linear, step, constant";
    if (recipe->gan_generator_schedule[0] &&
        !train_schedule_of(recipe->gan_generator_schedule, &schedule))
        return "gan.generator-schedule is none of cosine, linear, step, constant";
    return NULL;
}

bool train_recipe_check(const TrainRecipe *recipe, GError **error)
{
    const char *wrong = NULL;
    TrainSizes sizes;
    TrainGan gan;
    if (!train_recipe_sizes(recipe, &sizes, error))
        return false;
    g_autofree char *fault = network_fault(recipe, &sizes);
    if (fault)
        wrong = fault;
    else if (recipe->scale_max < recipe->scale_min)
        wrong = "data.scale-max is below data.scale-min";
    else if (!train_gan_of(recipe->gan_loss, &gan))
        wrong = "gan.loss is none of bce, lsgan, hinge";
    else if (recipe->gan > 0 && !critic_fits_all(recipe, &sizes))
        wrong = "the critic's patches are larger than the crops: fewer gan.layers or gan.scales, "
                "or larger crops";
    else if (*recipe->best && train_best_sign(recipe->best) == 0)
        wrong = "run.best is none of gain, delta-e, loss";
    else
        wrong = wrong_name(recipe);
    if (wrong)
        g_set_error_literal(error, CZ_ERROR, CZ_ERROR_RECIPE, wrong);
    return !wrong && train_losses_check(recipe, error);
}

// The shortest text that reads back as the same number.
static const char *format_number(char text[G_ASCII_DTOSTR_BUF_SIZE], double number)
{
    g_ascii_formatd(text, G_ASCII_DTOSTR_BUF_SIZE, "%.15g", number);
    return g_ascii_strtod(text, NULL) == number
               ? text
               : g_ascii_dtostr(text, G_ASCII_DTOSTR_BUF_SIZE, number);
}

// GKeyFile escapes what needs it, so the text reads back as it was.
char *train_recipe_text(const TrainRecipe *recipe)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        char number[G_ASCII_DTOSTR_BUF_SIZE];
        const char *text = (const char *)recipe + keys[i].offset;
        if (keys[i].type != TRAIN_KEY_TEXT)
            text = format_number(number, get_number(recipe, &keys[i]));
        g_key_file_set_string(file, keys[i].section, keys[i].key, text);
    }
    return g_key_file_to_data(file, NULL, NULL);
}

char *train_recipe_hash(const TrainRecipe *recipe)
{
    TrainRecipe bare = *recipe;
    char *const paths[] = {bare.encoder, bare.start, bare.perceptual_encoder};
    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *name = *paths[i] ? g_path_get_basename(paths[i]) : g_strdup("");
        g_strlcpy(paths[i], name, sizeof bare.encoder);
    }
    g_autofree char *text = train_recipe_text(&bare);
    char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    sum[16] = '\0';
    return sum;
}

char *train_recipe_help(void)
{
    GString *help = g_string_new("Recipe keys (--set section.key=value):\n");
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
        g_autofree char *name = g_strdup_printf("%s.%s", keys[i].section, keys[i].key);
        g_autofree char *start = keys[i].type == TRAIN_KEY_TEXT
                                     ? g_strdup_printf("\"%s\"", keys[i].initial_text)
                                     : g_strdup_printf("%g", keys[i].initial);
        g_string_append_printf(help, "  %-28s %s [%s]\n", name, keys[i].help, start);
    }
    return g_string_free(help, FALSE);
}
