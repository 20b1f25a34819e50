// SPDX-License-Identifier: LGPL-3.0-or-later
// Verdicts of first uses: a text file, one line a verdict, the newest last.
//
//     colorize cuda verdicts 1
//     KEY <tab> WORD <tab> SECONDS <tab> SENTENCE
//
// KEY and SENTENCE are escaped as in C, SECONDS counts from 1970.
#include "verdicts.h"

#include <string.h>

#include <glib.h>
#include <glib/gstdio.h>

#define HEADER "colorize cuda verdicts 1"

enum {
    MAX_BYTES = 256 * 1024, // a file that is larger is not ours
    MAX_VERDICTS = 64,
    SLOW_SECONDS = 24 * 60 * 60,
};

static const char *const words[] = {
    [VERDICT_WORKS] = "works",
    [VERDICT_FAILS] = "fails",
    [VERDICT_SLOW] = "slow",
};

static char *cache_path(void)
{
    return g_build_filename(g_get_user_cache_dir(), "colorize", "cuda-verdicts", NULL);
}

// The lines below the header, NULL-terminated; empty if there is no sound file.
static GPtrArray *read_lines(void)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *path = cache_path();
    g_autofree char *text = NULL;
    GStatBuf status;
    gsize size;
    // The size first: the file may be anything.
    if (g_stat(path, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MAX_BYTES ||
        !g_file_get_contents(path, &text, &size, NULL) || strlen(text) != size ||
        !g_utf8_validate(text, -1, NULL))
        return lines;
    g_auto(GStrv) found = g_strsplit(text, "\n", -1);
    if (g_strcmp0(found[0], HEADER) != 0)
        return lines;
    for (char **line = found + 1; *line; line++)
        if (**line)
            g_ptr_array_add(lines, g_strdup(*line));
    return lines;
}

static bool is_about(const char *line, const char *escaped_key)
{
    size_t n = strlen(escaped_key);
    return strncmp(line, escaped_key, n) == 0 && line[n] == '\t';
}

static Verdict parse(const char *line, char **sentence)
{
    g_auto(GStrv) fields = g_strsplit(line, "\t", -1);
    gint64 now = g_get_real_time() / G_USEC_PER_SEC, seconds;
    if (g_strv_length(fields) != 4 ||
        !g_ascii_string_to_signed(fields[2], 10, 0, G_MAXINT64, &seconds, NULL))
        return VERDICT_NONE;
    // A clock that was set back must not keep a verdict of slowness alive.
    if (g_str_equal(fields[1], words[VERDICT_SLOW]) &&
        (seconds > now || now - seconds > SLOW_SECONDS))
        return VERDICT_NONE;
    for (Verdict verdict = VERDICT_WORKS; verdict <= VERDICT_SLOW; verdict++)
        if (g_str_equal(fields[1], words[verdict])) {
            *sentence = g_strcompress(fields[3]);
            return verdict;
        }
    return VERDICT_NONE;
}

Verdict verdict_find(const char *key, char **sentence)
{
    g_autoptr(GPtrArray) lines = read_lines();
    g_autofree char *escaped = g_strescape(key, NULL);
    *sentence = NULL;
    for (guint i = lines->len; i-- > 0;)
        if (is_about(lines->pdata[i], escaped))
            return parse(lines->pdata[i], sentence);
    return VERDICT_NONE;
}

void verdict_keep(const char *key, Verdict verdict, const char *sentence)
{
    g_autoptr(GPtrArray) lines = read_lines();
    g_autofree char *path = cache_path();
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *escaped = g_strescape(key, NULL);
    g_autofree char *escaped_sentence = g_strescape(sentence ? sentence : "", NULL);
    g_autoptr(GString) text = g_string_new(HEADER "\n");
    for (guint i = lines->len >= MAX_VERDICTS ? lines->len - MAX_VERDICTS + 1 : 0; i < lines->len;
         i++)
        if (!is_about(lines->pdata[i], escaped))
            g_string_append_printf(text, "%s\n", (char *)lines->pdata[i]);
    g_string_append_printf(text, "%s\t%s\t%" G_GINT64_FORMAT "\t%s\n", escaped, words[verdict],
                           g_get_real_time() / G_USEC_PER_SEC, escaped_sentence);
    if (g_mkdir_with_parents(folder, 0700) == 0)
        g_file_set_contents_full(path, text->str, (gssize)text->len, G_FILE_SET_CONTENTS_CONSISTENT,
                                 0600, NULL);
}
