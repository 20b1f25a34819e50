// SPDX-License-Identifier: LGPL-3.0-or-later
// Finds and opens the driver, cuDNN and cuBLASLt, and fills the tables of their functions.
#define _GNU_SOURCE // dlinfo
#include "libs.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include <glib/gstdio.h>

#include <cz/error.h>

#include "first_use.h"

#define DRIVER_SONAME "libcuda.so.1"
#define CUDNN_SONAME  "libcudnn.so.9"

// Below a folder of COLORIZE_CUDA_ROOT.
static const char *const root_patterns[] = {
    "", "/lib", "/lib64", "/nvidia/*/lib", "/lib/python3*/site-packages/nvidia/*/lib",
};
static const char *const system_folders[] = {"/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu"};

// A folder for each GPU, named by its place on the bus, with a file of lines.
#define GPUS_FOLDER "/proc/driver/nvidia/gpus"
#define MODEL_LINE  "Model:"
// Which GPUs a process sees, and in which order: the first one is tried.
static const char *const gpu_variables[] = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"};

// What one search has at hand.
typedef struct {
    const CzHost *host;
    const char *soname; // what is looked for
    GPtrArray *told;    // char *, borrowed
    GPtrArray *folders; // char *, NULL-terminated: of the roots, an empty one for the loader's own
                        // search, of the system
} Search;

static void tell(Search *search, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void tell(Search *search, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_ptr_array_add(search->told, g_strdup_vprintf(format, arguments));
    va_end(arguments);
}

// ---- folders ------------------------------------------------------------------------------------

static void add_pattern(GPtrArray *folders, const char *pattern)
{
    glob_t found;
    if (glob(pattern, GLOB_ONLYDIR, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            if (g_file_test(found.gl_pathv[i], G_FILE_TEST_IS_DIR))
                g_ptr_array_add(folders, g_strdup(found.gl_pathv[i]));
    globfree(&found);
}

// The folder's own characters are none of the pattern's.
static char *escape_pattern(const char *path)
{
    GString *text = g_string_new(NULL);
    for (; *path; path++) {
        if (strchr("*?[\\", *path))
            g_string_append_c(text, '\\');
        g_string_append_c(text, *path);
    }
    return g_string_free(text, FALSE);
}

static void add_root(Search *search, const char *root)
{
    guint before = search->folders->len;
    // A relative folder would let a file in the working folder into the process.
    if (!g_path_is_absolute(root)) {
        tell(search, "COLORIZE_CUDA_ROOT: '%s' is not an absolute folder", root);
        return;
    }
    g_autofree char *escaped = escape_pattern(root);
    for (size_t i = 0; i < G_N_ELEMENTS(root_patterns); i++) {
        g_autofree char *pattern = g_strconcat(escaped, root_patterns[i], NULL);
        add_pattern(search->folders, pattern);
    }
    for (guint i = before; i < search->folders->len; i++) {
        g_autofree char *path = g_build_filename(search->folders->pdata[i], search->soname, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return;
    }
    tell(search, "COLORIZE_CUDA_ROOT: no %s below %s", search->soname, root);
}

static void list_folders(Search *search)
{
    const char *roots = g_getenv("COLORIZE_CUDA_ROOT");
    g_auto(GStrv) parts = g_strsplit(roots ? roots : "", ":", -1);
    search->folders = g_ptr_array_new_with_free_func(g_free);
    for (char **root = parts; *root; root++)
        if (**root)
            add_root(search, *root);
    if (g_strcmp0(g_getenv("COLORIZE_CUDA_ONLY"), "1") != 0) {
        g_ptr_array_add(search->folders, g_strdup(""));
        for (size_t i = 0; i < G_N_ELEMENTS(system_folders); i++)
            g_ptr_array_add(search->folders, g_strdup(system_folders[i]));
    }
    g_ptr_array_add(search->folders, NULL);
}

// ---- loading ------------------------------------------------------------------------------------

// The loader's words, with the file's name cut off where they begin with it.
static const char *loader_words(const char *path)
{
    const char *words = dlerror();
    size_t n = strlen(path);
    if (!words)
        return "cannot be loaded";
    return strncmp(words, path, n) == 0 && words[n] == ':' ? words + n + 2 : words;
}

static char *loaded_path(void *library, const char *asked)
{
    struct link_map *map;
    bool found = dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map->l_name[0];
    return g_strdup(found ? map->l_name : asked);
}

// clang-format off
#define CUDA_SYMBOL(returned, name, parameters) {#name, offsetof(CudaApi, name), false},
static const LibsSymbol cuda_symbols[] = {CUDA_FUNCTIONS(CUDA_SYMBOL)};
#define CUDNN_SYMBOL(returned, name, parameters) {#name, offsetof(CudnnApi, name), false},
#define CUDNN_OPTIONAL(returned, name, parameters) {#name, offsetof(CudnnApi, name), true},
static const LibsSymbol cudnn_symbols[] = {CUDNN_FUNCTIONS(CUDNN_SYMBOL)
                                       CUDNN_OPTIONAL_FUNCTIONS(CUDNN_OPTIONAL)};
// clang-format on

// The first symbol that is missing, or NULL.
static const char *find_symbols(void *library, const LibsSymbol *symbols, size_t n, void *table)
{
    for (size_t i = 0; i < n; i++) {
        void *address = dlsym(library, symbols[i].name);
        if (!address && !symbols[i].optional)
            return symbols[i].name;
        memcpy((char *)table + symbols[i].offset, &address, sizeof address);
    }
    return NULL;
}

// The sentence on the first file that was there, of those told since; that the loader knows none by
// name comes last.
static const char *first_told(const Search *search, guint since)
{
    const char *why = NULL;
    for (guint i = since; i < search->told->len; i++) {
        const char *told = search->told->pdata[i];
        if (!why || (g_str_has_prefix(why, search->soname) && *told == '/'))
            why = told;
    }
    return why ? why : "none found";
}

// No trial in a child: the driver's library belongs to the running kernel, and whatever draws by
// NVIDIA's OpenGL has loaded its siblings before us. cuInit() is what a first use tries.
static bool open_driver(Search *search, Libs *libs, GError **error)
{
    const char *chosen = g_getenv("COLORIZE_CUDA_DRIVER");
    const char *path = chosen && *chosen ? chosen : DRIVER_SONAME;
    const char *missing;
    g_autofree char *reason = NULL;
    if (path == chosen && !g_path_is_absolute(path)) {
        reason = g_strdup("COLORIZE_CUDA_DRIVER is not an absolute path");
    } else {
        void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library)
            reason = g_strdup(loader_words(path));
        else if ((missing =
                      find_symbols(library, cuda_symbols, G_N_ELEMENTS(cuda_symbols), &libs->cuda)))
            reason = g_strdup_printf("too old, has no function %s", missing);
        else if (libs->cuda.cuDriverGetVersion(&libs->driver_version) != CUDA_SUCCESS)
            reason = g_strdup("does not tell its version");
        else
            libs->driver_path = loaded_path(library, path);
    }
    if (!reason)
        return true;
    tell(search, "%s: %s", path, reason);
    g_set_error(error, search->host->error_domain, CZ_ERROR_BACKEND, "no NVIDIA driver (%s: %s)",
                path, reason);
    return false;
}

// ---- cuBLASLt -----------------------------------------------------------------------------------

// cuDNN ends the process when it misses cuBLASLt, so that it is loaded before, for all to see, and
// of the major version that cuDNN was made for.
static void *open_cublas_in(const char *folder, const char *name, char **words)
{
    g_autofree char *path = *folder ? g_build_filename(folder, name, NULL) : g_strdup(name);
    if (*folder && !g_file_test(path, G_FILE_TEST_EXISTS))
        return NULL;
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    // The words on a file that is there say more than those on a name that was not found.
    if (!library && (*folder || !*words)) {
        g_free(*words);
        *words = g_strdup_printf("%s: %s", path, loader_words(path));
    }
    return library;
}

static bool open_cublas(Search *search, const char *cudnn_path, Libs *libs)
{
    g_autofree char *name =
        g_strdup_printf("libcublasLt.so.%u", (unsigned)(libs->cudart_version / 1000));
    g_autofree char *words = NULL;
    g_autofree char *folder = g_path_get_dirname(cudnn_path);
    g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func(g_free);
    void *library = NULL;
    if (g_path_is_absolute(cudnn_path)) {
        g_ptr_array_add(places, g_strdup(folder));
        // Wheels put each library into a folder of its own: nvidia/cudnn/lib, nvidia/cublas/lib.
        if (g_str_has_suffix(folder, "/cudnn/lib")) {
            g_autofree char *siblings = g_build_filename(folder, "..", "..", NULL);
            g_autofree char *escaped = escape_pattern(siblings);
            g_autofree char *pattern = g_strconcat(escaped, "/*/lib", NULL);
            add_pattern(places, pattern);
        }
    }
    for (guint i = 0; !library && i < places->len; i++)
        library = open_cublas_in(places->pdata[i], name, &words);
    for (char **at = (char **)search->folders->pdata; !library && *at; at++)
        library = open_cublas_in(*at, name, &words);
    if (!library) {
        tell(search, "%s: needs %s, which cannot be loaded (%s)", cudnn_path, name,
             words ? words : "none found");
        return false;
    }
    libs->cublas_path = loaded_path(library, name);
    return true;
}

// ---- cuDNN --------------------------------------------------------------------------------------

// Up to 8 the version is 1000 * major + 100 * minor + patch.
static char *version_words(size_t version)
{
    size_t unit = version < 10000 ? 1000 : 10000;
    return g_strdup_printf("%zu.%zu.%zu", version / unit, version % unit / 100, version % 100);
}

// In a child. That it comes back is all: the parent finds out itself what else may be wrong.
static FirstUseAnswer load_once(void *user, GError **error)
{
    size_t (*get_version)(void);
    void *library = dlopen(user, RTLD_NOW | RTLD_LOCAL);
    void *address = library ? dlsym(library, "cudnnGetVersion") : NULL;
    memcpy(&get_version, &address, sizeof address);
    if (address)
        get_version();
    return FIRST_USE_WORKS;
}

// A file is the same as long as size and time of change are. What the loader finds by name depends
// on its cache, which every installation of a package makes anew, and on the search path.
static bool loads_in_child(Search *search, const char *path)
{
    GStatBuf status = {0};
    g_autoptr(GError) error = NULL;
    const char *search_path = g_getenv("LD_LIBRARY_PATH");
    bool by_name = !g_path_is_absolute(path);
    g_stat(by_name ? "/etc/ld.so.cache" : path, &status);
    g_autofree char *key = g_strdup_printf(
        "load %s, %s, %" G_GINT64_FORMAT " bytes, changed %" G_GINT64_FORMAT ".%09ld; colorize %s",
        path, by_name && search_path ? search_path : "", (gint64)status.st_size,
        (gint64)status.st_mtim.tv_sec, (long)status.st_mtim.tv_nsec, COLORIZE_VERSION);
    const FirstUse use = {
        .what = "loading it", .key = key, .probe = load_once, .user = (char *)path};
    if (first_use_ok(search->host, &use, &error))
        return true;
    tell(search, "%s: %s", path, error->message);
    return false;
}

// What is wrong with the library, or NULL; fills table and versions.
static char *examine_cudnn(void *library, Libs *libs)
{
    // The version first: an old library lacks functions because it is old.
    void *address = dlsym(library, "cudnnGetVersion");
    if (!address)
        return g_strdup("has no function cudnnGetVersion");
    memcpy(&libs->cudnn.cudnnGetVersion, &address, sizeof address);
    libs->cudnn_version = libs->cudnn.cudnnGetVersion();
    if (libs->cudnn_version < CUDNN_VERSION_NEEDED) {
        g_autofree char *found = version_words(libs->cudnn_version);
        g_autofree char *needed = version_words(CUDNN_VERSION_NEEDED);
        return g_strdup_printf("cuDNN %s is too old, %s or later is needed", found, needed);
    }
    const char *missing =
        find_symbols(library, cudnn_symbols, G_N_ELEMENTS(cudnn_symbols), &libs->cudnn);
    if (missing)
        return g_strdup_printf("has no function %s", missing);
    libs->cudart_version = libs->cudnn.cudnnGetCudartVersion();
    // Within a major version a driver serves newer libraries, too.
    if (libs->cudart_version / 1000 > (size_t)libs->driver_version / 1000)
        return g_strdup_printf("is made for CUDA %zu, the driver is for %d.%d",
                               libs->cudart_version / 1000, libs->driver_version / 1000,
                               libs->driver_version % 1000 / 10);
    return NULL;
}

static bool open_cudnn_at(Search *search, const char *path, Libs *libs)
{
    if (!loads_in_child(search, path))
        return false;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        tell(search, "%s: %s", path, loader_words(path));
        return false;
    }
    g_autofree char *found = loaded_path(library, path);
    g_autofree char *reason = examine_cudnn(library, libs);
    if (reason)
        tell(search, "%s: %s", found, reason);
    if (!reason && open_cublas(search, found, libs)) {
        libs->cudnn_path = g_steal_pointer(&found);
        return true;
    }
    dlclose(library);
    return false;
}

static bool open_cudnn(Search *search, Libs *libs, GError **error)
{
    guint before = search->told->len;
    for (char **folder = (char **)search->folders->pdata; *folder; folder++) {
        g_autofree char *path =
            **folder ? g_build_filename(*folder, CUDNN_SONAME, NULL) : g_strdup(CUDNN_SONAME);
        if (**folder && !g_file_test(path, G_FILE_TEST_EXISTS)) {
            g_autofree char *old = g_build_filename(*folder, "libcudnn.so.8", NULL);
            if (g_file_test(old, G_FILE_TEST_EXISTS))
                tell(search, "%s: cuDNN 8 is too old, 9.8.0 or later is needed", old);
        } else if (open_cudnn_at(search, path, libs))
            return true;
    }
    g_set_error(error, search->host->error_domain, CZ_ERROR_BACKEND, "no usable cuDNN (%s)",
                first_told(search, before));
    return false;
}

// ---- another ------------------------------------------------------------------------------------

static bool open_other_at(Search *search, const char *path, const LibsSymbol *symbols, size_t n,
                          void *table, char **found)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *missing = library ? find_symbols(library, symbols, n, table) : NULL;
    if (library && !missing) {
        *found = loaded_path(library, path);
        return true;
    }
    if (missing)
        tell(search, "%s: has no function %s", path, missing);
    else
        tell(search, "%s: %s", path, loader_words(path));
    if (library)
        dlclose(library);
    return false;
}

bool libs_open_other(const char *soname, const LibsSymbol *symbols, size_t n_symbols, void *table,
                     char **path, char **why)
{
    g_autoptr(GPtrArray) told = g_ptr_array_new_with_free_func(g_free);
    Search search = {.soname = soname, .told = told};
    bool opened = false;
    list_folders(&search);
    for (char **folder = (char **)search.folders->pdata; *folder && !opened; folder++) {
        g_autofree char *file =
            **folder ? g_build_filename(*folder, soname, NULL) : g_strdup(soname);
        if (!**folder || g_file_test(file, G_FILE_TEST_EXISTS))
            opened = open_other_at(&search, file, symbols, n_symbols, table, path);
    }
    if (!opened)
        *why = g_strdup(first_told(&search, 0));
    g_ptr_array_unref(search.folders);
    return opened;
}

// ---- all ----------------------------------------------------------------------------------------

Libs *libs_open(const CzHost *host, GPtrArray *told, GError **error)
{
    Search search = {.host = host, .soname = CUDNN_SONAME, .told = told};
    g_autoptr(Libs) libs = g_new0(Libs, 1);
    // The driver first: most machines have none, and are through here.
    if (!open_driver(&search, libs, error))
        return NULL;
    list_folders(&search);
    bool opened = open_cudnn(&search, libs, error);
    g_ptr_array_unref(search.folders);
    return opened ? g_steal_pointer(&libs) : NULL;
}

void libs_free(Libs *libs)
{
    if (!libs)
        return;
    g_free(libs->driver_path);
    g_free(libs->cudnn_path);
    g_free(libs->cublas_path);
    g_free(libs);
}

bool libs_start(const CzHost *host, const Libs *libs, int *n_devices, GError **error)
{
    *n_devices = 0;
    return libs_check_cuda(host, libs, libs->cuda.cuInit(0), "the NVIDIA driver finds no device",
                           error) &&
           libs_check_cuda(host, libs, libs->cuda.cuDeviceGetCount(n_devices),
                           "the NVIDIA driver does not count its devices", error) &&
           (*n_devices > 0 || libs_check_cuda(host, libs, CUDA_ERROR_NO_DEVICE,
                                              "the NVIDIA driver finds no device", error));
}

char *libs_version(const Libs *libs)
{
    return version_words(libs->cudnn_version);
}

char *libs_describe(const Libs *libs)
{
    g_autofree char *version = libs_version(libs);
    return g_strdup_printf("cuDNN %s at %s", version, libs->cudnn_path);
}

// Behind all links, as the names of the files themselves tell releases: libcuda.so.550.54.14.
static char *real_path(const char *path)
{
    char *real = realpath(path, NULL);
    char *copy = g_strdup(real ? real : path);
    free(real);
    return copy;
}

char *libs_driver(const Libs *libs)
{
    g_autofree char *path = real_path(libs->driver_path);
    return g_path_get_basename(path);
}

static void append_model(GString *text, const char *path)
{
    g_autofree char *lines = NULL;
    if (!g_file_get_contents(path, &lines, NULL, NULL))
        return;
    g_auto(GStrv) split = g_strsplit(lines, "\n", -1);
    for (char **line = split; *line; line++)
        if (g_str_has_prefix(*line, MODEL_LINE))
            g_string_append_printf(text, "%s, ", g_strstrip(*line + strlen(MODEL_LINE)));
}

// As the kernel's part of the driver tells them: cuInit() is for the child. Nothing where it does
// not.
static char *list_gpus(void)
{
    GString *text = g_string_new(NULL);
    const char *folder = g_getenv("COLORIZE_CUDA_PROC");
    g_autofree char *escaped = escape_pattern(folder ? folder : GPUS_FOLDER);
    g_autofree char *pattern = g_strconcat(escaped, "/*/information", NULL);
    glob_t found;
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            append_model(text, found.gl_pathv[i]);
    globfree(&found);
    for (size_t i = 0; i < G_N_ELEMENTS(gpu_variables); i++) {
        const char *value = g_getenv(gpu_variables[i]);
        if (value)
            g_string_append_printf(text, "%s=%s, ", gpu_variables[i], value);
    }
    return g_string_free(text, FALSE);
}

char *libs_key(const Libs *libs)
{
    g_autofree char *gpus = list_gpus();
    g_autofree char *driver = real_path(libs->driver_path);
    g_autofree char *cudnn = real_path(libs->cudnn_path);
    g_autofree char *cublas = real_path(libs->cublas_path);
    return g_strdup_printf(
        "run plans on %swith driver %d at %s; cuDNN %zu at %s; cuBLASLt at %s; colorize %s", gpus,
        libs->driver_version, driver, libs->cudnn_version, cudnn, cublas, COLORIZE_VERSION);
}

bool libs_check_cuda(const CzHost *host, const Libs *libs, CUresult result, const char *action,
                     GError **error)
{
    const char *name = NULL, *text = NULL;
    if (result == CUDA_SUCCESS)
        return true;
    if (libs->cuda.cuGetErrorName(result, &name) != CUDA_SUCCESS || !name)
        name = "unknown error";
    if (libs->cuda.cuGetErrorString(result, &text) != CUDA_SUCCESS || !text)
        text = "no words";
    g_set_error(error, host->error_domain,
                result == CUDA_ERROR_OUT_OF_MEMORY ? CZ_ERROR_MEMORY : CZ_ERROR_BACKEND,
                "%s: %s (%d), %s", action, name, (int)result, text);
    return false;
}
