// SPDX-License-Identifier: LGPL-3.0-or-later
// Verdicts of first uses in the cache folder: WORD <tab> SECONDS <tab> SENTENCE, SECONDS from 1970.
#include "verdicts.h"

#include <string.h>

#include <glib.h>

#include "cache.h"

enum { DAY_SECONDS = 24 * 60 * 60 };

static const CacheFile verdicts_file = {"cuda-verdicts", "colorize cuda verdicts 2", 64};

static const struct {
    const char *word;
    bool expires; // after a day
} words[] = {
    [VERDICT_WORKS] = {"works", false},
    [VERDICT_BROKEN] = {"broken", false},
    [VERDICT_FAILS] = {"fails", true},
};

static Verdict parse(const char *value, char **sentence)
{
    g_auto(GStrv) fields = g_strsplit(value, "\t", 3);
    gint64 now = g_get_real_time() / G_USEC_PER_SEC, seconds;
    if (g_strv_length(fields) != 3 ||
        !g_ascii_string_to_signed(fields[1], 10, 0, G_MAXINT64, &seconds, NULL))
        return VERDICT_NONE;
    // A clock that was set back must not keep a verdict alive.
    bool fresh = seconds <= now && now - seconds <= DAY_SECONDS;
    for (Verdict verdict = VERDICT_WORKS; verdict < G_N_ELEMENTS(words); verdict++)
        if (g_str_equal(fields[0], words[verdict].word) && (fresh || !words[verdict].expires)) {
            *sentence = g_strdup(fields[2]);
            return verdict;
        }
    return VERDICT_NONE;
}

Verdict verdict_find(const char *key, char **sentence)
{
    g_autofree char *value = cache_find(&verdicts_file, key);
    *sentence = NULL;
    return value ? parse(value, sentence) : VERDICT_NONE;
}

void verdict_keep(const char *key, Verdict verdict, const char *sentence)
{
    g_autoptr(GHashTable) values = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    gint64 seconds = g_get_real_time() / G_USEC_PER_SEC;
    g_hash_table_insert(values, (gpointer)key,
                        g_strdup_printf("%s\t%" G_GINT64_FORMAT "\t%s", words[verdict].word,
                                        seconds, sentence ? sentence : ""));
    cache_keep(&verdicts_file, values);
}
