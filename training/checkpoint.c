// SPDX-License-Identifier: LGPL-3.0-or-later
// Two checkpoints that take turns, and the weights file.
#include "checkpoint.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include <cz/error.h>

#include "schedule.h"
#include "step.h"

#define N_SLOTS    2
#define KEY_STEP   "train.step"
#define KEY_RECIPE "train.recipe"
#define KEY_HASH   "train.recipe-hash"
#define KEY_SET    "train.set-hash"
#define KEY_SERIAL "train.serial"
#define KEY_LOG    "train.log"
#define KEY_WATCH  "train.watch"
#define KEY_CLEAN  "train.clean"
#define KEY_BITS   "train.bits"

#define KEY_BEST  "colorize.best"
#define KEY_SCORE "colorize.best_score"

void train_progress_clear(TrainProgress *progress)
{
    g_clear_pointer(&progress->log, g_free);
    g_clear_pointer(&progress->watch, g_free);
    g_clear_pointer(&progress->bits, g_free);
    progress->step = 0;
}

// [run] is about logging, [watch] about emergencies, and [model]'s words go into the weights alone:
// none decides what is learned.
static bool decides(const TrainKey *key)
{
    return strcmp(key->section, "run") != 0 && strcmp(key->section, "watch") != 0 &&
           strcmp(key->section, "model") != 0;
}

static char *learning_hash(const TrainRecipe *recipe)
{
    TrainRecipe bare = *recipe, fresh;
    train_recipe_init(&fresh);
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);
    for (size_t i = 0; i < n; i++)
        if (!decides(&keys[i]))
            memcpy((char *)&bare + keys[i].offset, (char *)&fresh + keys[i].offset, keys[i].size);
    return train_recipe_hash(&bare);
}

static char *set_text(uint64_t set)
{
    return g_strdup_printf("%016" G_GINT64_MODIFIER "x", set);
}

static char *slot_path(const char *folder, int slot)
{
    g_autofree char *name = g_strdup_printf("checkpoint-%d.safetensors", slot);
    return g_build_filename(folder, name, NULL);
}

static int64_t number_of(const CzModelFile *file, const char *key, int64_t otherwise)
{
    const char *text = file ? cz_model_file_meta(file, key) : NULL;
    return text ? g_ascii_strtoll(text, NULL, 10) : otherwise;
}

// Which of two is newer; -1 if it is missing or damaged. A step alone would not tell: a run that
// was rolled back writes an earlier step later. Checkpoints of before this key never were.
static int64_t slot_serial(const char *folder, int slot, CzModelFile **kept, GError **error)
{
    g_autofree char *path = slot_path(folder, slot);
    g_autoptr(CzModelFile) file = cz_model_file_open(path, error);
    int64_t serial = number_of(file, KEY_SERIAL, number_of(file, KEY_STEP, -1));
    if (kept)
        *kept = g_steal_pointer(&file);
    return serial;
}

static void put_number(CzModelWriter *writer, const char *key, int64_t number)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, number);
    cz_model_writer_meta(writer, key, text);
}

bool train_checkpoint_is_there(const char *folder)
{
    for (int i = 0; i < N_SLOTS; i++) {
        g_autofree char *path = slot_path(folder, i);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return true;
    }
    return false;
}

bool train_checkpoint_save(const char *folder, CzStore *store, const TrainRecipe *recipe,
                           uint64_t set, const TrainProgress *progress, GError **error)
{
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    g_autofree char *text = train_recipe_text(recipe);
    g_autofree char *hash = learning_hash(recipe), *pictures = set_text(set);
    int64_t first = slot_serial(folder, 0, NULL, NULL), second = slot_serial(folder, 1, NULL, NULL);
    g_autofree char *path = slot_path(folder, first <= second ? 0 : 1);
    put_number(writer, KEY_STEP, progress->step);
    put_number(writer, KEY_SERIAL, MAX(first, second) + 1);
    if (progress->log)
        cz_model_writer_meta(writer, KEY_LOG, progress->log);
    if (progress->watch)
        cz_model_writer_meta(writer, KEY_WATCH, progress->watch);
    if (progress->bits)
        cz_model_writer_meta(writer, KEY_BITS, progress->bits);
    put_number(writer, KEY_CLEAN, progress->clean);
    cz_model_writer_meta(writer, KEY_RECIPE, text);
    cz_model_writer_meta(writer, KEY_HASH, hash);
    cz_model_writer_meta(writer, KEY_SET, pictures);
    return cz_store_save(store, writer, NULL, false, CZ_F32, error) &&
           cz_model_writer_commit(writer, path, error);
}

// A recipe of before a key was there means the key's default, and has another hash.
static bool means_the_same(const CzModelFile *file, const char *hash)
{
    const char *text = cz_model_file_meta(file, KEY_RECIPE);
    TrainRecipe recipe;
    if (!text || !train_recipe_parse(&recipe, text, NULL))
        return false;
    g_autofree char *found = learning_hash(&recipe);
    return g_str_equal(found, hash);
}

// As the hash has it: of a path the file's name alone counts. Both may be NULL.
static bool same_value(const char *a, const char *b)
{
    if (!a || !b || !g_path_is_absolute(a) || !g_path_is_absolute(b))
        return g_strcmp0(a, b) == 0;
    g_autofree char *name = g_path_get_basename(a), *other = g_path_get_basename(b);
    return g_str_equal(name, other);
}

// The first key that decides what is learned and differs, in words; the caller frees.
static char *difference(const CzModelFile *file, const TrainRecipe *recipe)
{
    const char *text = cz_model_file_meta(file, KEY_RECIPE);
    g_autofree char *mine = train_recipe_text(recipe);
    g_autoptr(GKeyFile) there = g_key_file_new(), here = g_key_file_new();
    size_t n;
    const TrainKey *keys = train_recipe_keys(&n);
    bool read = text && g_key_file_load_from_data(there, text, (gsize)-1, G_KEY_FILE_NONE, NULL) &&
                g_key_file_load_from_data(here, mine, (gsize)-1, G_KEY_FILE_NONE, NULL);
    for (size_t i = 0; read && i < n; i++) {
        const char *section = keys[i].section, *key = keys[i].key;
        if (!decides(&keys[i]))
            continue;
        g_autofree char *was = g_key_file_get_string(there, section, key, NULL),
                        *is = g_key_file_get_string(here, section, key, NULL);
        if (was && !same_value(was, is))
            return g_strdup_printf("%s.%s was '%s' and is '%s'", section, key, was, is);
    }
    return g_strdup("its own is not told");
}

static bool check_recipe(const CzModelFile *file, const TrainRecipe *recipe, GError **error)
{
    g_autofree char *hash = learning_hash(recipe);
    const char *found = cz_model_file_meta(file, KEY_HASH);
    if (g_strcmp0(hash, found) == 0 || means_the_same(file, hash))
        return true;
    g_autofree char *what = difference(file, recipe);
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                "%s was made with another recipe (%s): resume with the same recipe and --set, or "
                "start a new run from its weights with network.start",
                cz_model_file_path(file), what);
    return false;
}

// In another set the same numbers mean other pictures. Checkpoints of before this key pass.
static bool check_set(const CzModelFile *file, uint64_t set, GError **error)
{
    g_autofree char *pictures = set_text(set);
    const char *found = cz_model_file_meta(file, KEY_SET);
    if (!found || g_str_equal(pictures, found))
        return true;
    g_set_error(error, CZ_ERROR, CZ_ERROR_RECIPE,
                "%s was made with another set (%s, this one is %s): resume with the same --data, "
                "or start a new run from its weights with network.start",
                cz_model_file_path(file), found, pictures);
    return false;
}

// [run] may change, but this key of it changes every number from here on: that is told.
static void tell_precision(const CzModelFile *file, const TrainRecipe *recipe, char **note)
{
    const char *text = cz_model_file_meta(file, KEY_RECIPE);
    g_autoptr(GKeyFile) was = g_key_file_new();
    if (!text || !g_key_file_load_from_data(was, text, strlen(text), G_KEY_FILE_NONE, NULL))
        return;
    int bf16 = g_key_file_get_integer(was, "run", "bf16", NULL);
    if (bf16 == recipe->bf16)
        return;
    g_autofree char *before = *note;
    *note = g_strdup_printf("%s%srun.bf16 was %d up to this checkpoint, and is %d from here on",
                            before ? before : "", before ? "; " : "", bf16, recipe->bf16);
}

static bool load(CzStore *store, const CzModelFile *file, const TrainRecipe *recipe, uint64_t set,
                 TrainProgress *progress, GError **error)
{
    if (!check_recipe(file, recipe, error) || !check_set(file, set, error) ||
        !cz_store_load(store, file, error))
        return false;
    progress->step = number_of(file, KEY_STEP, -1);
    progress->log = g_strdup(cz_model_file_meta(file, KEY_LOG));
    progress->watch = g_strdup(cz_model_file_meta(file, KEY_WATCH));
    progress->bits = g_strdup(cz_model_file_meta(file, KEY_BITS));
    progress->clean = number_of(file, KEY_CLEAN, 0);
    return true;
}

bool train_checkpoint_load(const char *folder, CzStore *store, const TrainRecipe *recipe,
                           uint64_t set, TrainProgress *progress, char **note, GError **error)
{
    CzModelFile *files[N_SLOTS];
    GError *errors[N_SLOTS] = {NULL};
    int64_t serials[N_SLOTS];
    *note = NULL;
    *progress = (TrainProgress){.step = -1};
    for (int i = 0; i < N_SLOTS; i++) {
        serials[i] = slot_serial(folder, i, &files[i], &errors[i]);
        g_autofree char *path = slot_path(folder, i);
        if (errors[i] && !*note && g_file_test(path, G_FILE_TEST_EXISTS))
            *note = g_strdup_printf("passed over a checkpoint: %s", errors[i]->message);
    }
    int newest = serials[0] > serials[1] ? 0 : 1;
    bool done = false;
    if (serials[newest] < 0)
        g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "there is no sound checkpoint in %s%s%s", folder,
                    *note ? ": " : "", *note ? *note : "");
    else
        done = load(store, files[newest], recipe, set, progress, error);
    if (done)
        tell_precision(files[newest], recipe, note);
    for (int i = 0; i < N_SLOTS; i++) {
        cz_model_file_free(files[i]);
        g_clear_error(&errors[i]);
    }
    return done;
}

// By half the stride.
static const char *const outputs[] = {"a*b*/100 at full size", "a*b*/100 at half size",
                                      "a*b*/100 at quarter size"};

// ---- checkpoints that stay ----------------------------------------------------------------------

// path under another name. A link costs no space, but not every file system has them.
static bool duplicate(const char *path, const char *name, GError **error)
{
    g_autofree char *temporary = g_strconcat(name, ".new", NULL);
    g_unlink(temporary);
    if (link(path, temporary) == 0) {
        if (g_rename(temporary, name) == 0) {
            g_unlink(temporary); // renaming a link to itself does nothing
            return true;
        }
        g_unlink(temporary);
    }
    g_autoptr(GError) local = NULL;
    g_autoptr(GMappedFile) file = g_mapped_file_new(path, FALSE, &local);
    if (file)
        return cz_file_replace(name, g_mapped_file_get_contents(file),
                               g_mapped_file_get_length(file), error);
    g_set_error(error, CZ_ERROR, CZ_ERROR_IO, "cannot read %s: %s", path, local->message);
    return false;
}

// Newer and older of the two slots; a slot without a sound checkpoint has serial -1.
typedef struct {
    int slot;
    int64_t serial, step;
    bool clean;
} SlotInfo;

static void look_at_slots(const char *folder, SlotInfo *newest, SlotInfo *other)
{
    SlotInfo infos[N_SLOTS];
    for (int i = 0; i < N_SLOTS; i++) {
        CzModelFile *file = NULL;
        infos[i].slot = i;
        infos[i].serial = slot_serial(folder, i, &file, NULL);
        infos[i].step = number_of(file, KEY_STEP, -1);
        infos[i].clean = number_of(file, KEY_CLEAN, 0);
        cz_model_file_free(file);
    }
    *newest = infos[infos[0].serial > infos[1].serial ? 0 : 1];
    *other = infos[1 - newest->slot];
}

bool train_checkpoint_settle(const char *folder, GError **error)
{
    g_autofree char *good = g_build_filename(folder, "good.safetensors", NULL);
    SlotInfo newest, other;
    look_at_slots(folder, &newest, &other);
    if (newest.serial < 0 || !newest.clean)
        return true;
    // After a rollback the other one may be of the time that was taken back.
    bool tested = other.serial >= 0 && other.clean && other.step < newest.step;
    if (!tested && g_file_test(good, G_FILE_TEST_EXISTS))
        return true;
    g_autofree char *path = slot_path(folder, tested ? other.slot : newest.slot);
    return duplicate(path, good, error);
}

bool train_checkpoint_load_good(const char *folder, CzStore *store, const TrainRecipe *recipe,
                                uint64_t set, TrainProgress *progress, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "good.safetensors", NULL);
    g_autoptr(CzModelFile) file = cz_model_file_open(path, error);
    *progress = (TrainProgress){.step = -1};
    return file && load(store, file, recipe, set, progress, error);
}

bool train_checkpoint_keep(const char *folder, GError **error)
{
    SlotInfo newest, other;
    look_at_slots(folder, &newest, &other);
    g_autofree char *name = g_strdup_printf("step-%" G_GINT64_FORMAT ".safetensors", newest.step);
    g_autofree char *kept = g_build_filename(folder, name, NULL),
                    *path = slot_path(folder, newest.slot);
    return duplicate(path, kept, error);
}

// ---- weights ------------------------------------------------------------------------------------

typedef const char *Meta[2];

static bool save_weights(const char *path, CzStore *store, const TrainRecipe *recipe, int64_t step,
                         const Meta *more, size_t n_more, GError **error)
{
    g_autoptr(CzModelWriter) writer = cz_model_writer_new();
    CzGeneratorParams network = train_recipe_generator(recipe);
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%Y-%m-%d"), *hash = train_recipe_hash(recipe);
    g_autofree char *images =
        g_strdup_printf("%" G_GINT64_FORMAT, step * train_recipe_per_step(recipe));
    cz_generator_write(&network, writer);
    const char *const meta[][2] = {
        {"colorize.title", recipe->title},
        {"colorize.white", "d50"},
        {"colorize.input", "L*/50 - 1"},
        {"colorize.output", outputs[train_recipe_stride(recipe) / 2]},
        {"colorize.working_sizes", recipe->working_sizes},
        {"colorize.training_set", recipe->training_set},
        {"colorize.licence", recipe->licence},
        {"colorize.images_seen", images},
        {"colorize.recipe_hash", hash},
        {"colorize.date", date},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(meta); i++)
        cz_model_writer_meta(writer, meta[i][0], meta[i][1]);
    for (size_t i = 0; i < n_more; i++)
        cz_model_writer_meta(writer, more[i][0], more[i][1]);
    return cz_store_save(store, writer, TRAIN_EMA, true, CZ_F16, error) &&
           cz_model_writer_commit(writer, path, error);
}

bool train_weights_save(const char *path, CzStore *store, const TrainRecipe *recipe, int64_t step,
                        GError **error)
{
    return save_weights(path, store, recipe, step, NULL, 0, error);
}

int train_best_sign(const char *metric)
{
    static const struct {
        const char *name;
        int sign;
    } metrics[] = {{"gain", 1}, {"delta-e", -1}, {"loss", -1}};
    for (size_t i = 0; i < G_N_ELEMENTS(metrics); i++)
        if (strcmp(metric, metrics[i].name) == 0)
            return metrics[i].sign;
    return 0;
}

static bool is_better(const char *path, const char *metric, double score)
{
    g_autoptr(CzModelFile) file = cz_model_file_open(path, NULL);
    const char *name = file ? cz_model_file_meta(file, KEY_BEST) : NULL;
    const char *best = file ? cz_model_file_meta(file, KEY_SCORE) : NULL;
    if (!best || g_strcmp0(name, metric) != 0)
        return true;
    return train_best_sign(metric) * (score - g_ascii_strtod(best, NULL)) > 0;
}

bool train_weights_save_best(const char *folder, CzStore *store, const TrainRecipe *recipe,
                             int64_t step, double score, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "best.safetensors", NULL);
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    const Meta more[] = {{KEY_BEST, recipe->best}, {KEY_SCORE, number}};
    if (!isfinite(score) || !is_better(path, recipe->best, score))
        return true;
    g_ascii_dtostr(number, sizeof number, score);
    return save_weights(path, store, recipe, step, more, G_N_ELEMENTS(more), error);
}
