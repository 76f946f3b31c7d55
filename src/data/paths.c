/* paths.c - data sets that are a file or a folder: what kind, and the options behind the last ':'. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "data/dataset.h"
#include "data/table.h"

/* What all kinds take; a kind's row lists its own. */
typedef struct settings {
    double test, length, grey, header, coarse, width, height;
    char label[128];
    int real;
} settings;

static const fanin__option numbers[] = {
    FANIN__OPTION(settings, test, 0, 0.99),
    {"length", 1, 1 << 20, offsetof(settings, length), true},
    {"grey", 0, 1, offsetof(settings, grey), true},
    {"header", 0, 1, offsetof(settings, header), true},
    {"coarse", 0, 1, offsetof(settings, coarse), true},
};

static fanin_status open_table(const char *path, char delimiter, const settings *s,
                               fanin_dataset *d, fanin_err *err) {
    const fanin__table_options o = {.label = s->label[0] ? s->label : NULL,
                                    .header = (int)s->header,
                                    .real = s->real,
                                    .test = s->test};
    unsigned char *bytes;
    size_t size;
    FANIN_TRY(fanin__data_read(path, FANIN__DATA_LIMIT, &bytes, &size, err));
    fanin_status status = fanin__data_table(bytes, size, delimiter, path, &o, d, err);
    fanin_free(bytes);
    return status;
}

static fanin_status open_csv(const char *path, const settings *s, fanin_dataset *d,
                             fanin_err *err) {
    return open_table(path, ',', s, d, err);
}

static fanin_status open_tsv(const char *path, const settings *s, fanin_dataset *d,
                             fanin_err *err) {
    return open_table(path, '\t', s, d, err);
}

static fanin_status open_idx(const char *path, const settings *s, fanin_dataset *d,
                             fanin_err *err) {
    return fanin__data_idx(path, s->test, d, err);
}

static fanin_status open_npz(const char *path, const settings *s, fanin_dataset *d,
                             fanin_err *err) {
    return fanin__data_npz(path, s->test, d, err);
}

static fanin_status open_cifar(const char *path, const settings *s, fanin_dataset *d,
                               fanin_err *err) {
    return fanin__data_cifar(path, s->coarse != 0, s->test, d, err);
}

static fanin_status open_text(const char *path, const settings *s, fanin_dataset *d,
                              fanin_err *err) {
    return fanin__data_text(path, (size_t)s->length, s->test, d, err);
}

static fanin_status open_png(const char *path, const settings *s, fanin_dataset *d,
                             fanin_err *err) {
    const fanin__png_options o = {.grey = s->grey != 0,
                                  .width = (size_t)s->width,
                                  .height = (size_t)s->height,
                                  .test = s->test};
    return fanin__data_png(path, &o, d, err);
}

#define TABLE_GRAMMAR "[:label=NAME|NUMBER,target=class|real,header=0|1,test=0.2]"
#define TABLE_ABOUT \
    "with a header or without; the label is target, class, label or y, or the last column; other " \
    "columns are numbers; a fifth of the rows, by a fixed shuffle, are the test split"

/* By ending, .gz and .xz left out; "/" is a folder. */
static const struct kind {
    const char *ending, *takes;
    double test;
    fanin_status (*open)(const char *path, const settings *s, fanin_dataset *d, fanin_err *err);
    fanin_dataset_row shown;
} kinds[] = {
    {".csv",
     "test=0.2,header=0,label=,target=",
     0.2,
     open_csv,
     {"csv", "FILE.csv" TABLE_GRAMMAR, "comma-separated values (RFC 4180), " TABLE_ABOUT, NULL}},
    {".tsv",
     "test=0.2,header=0,label=,target=",
     0.2,
     open_tsv,
     {"tsv", "FILE.tsv" TABLE_GRAMMAR, "tab-separated values, " TABLE_ABOUT, NULL}},
    {".data",
     "test=0.2,header=0,label=,target=",
     0.2,
     open_csv,
     {NULL, NULL, "comma-separated values", NULL}},
    {".idx",
     "test=0",
     0,
     open_idx,
     {"idx", "IMAGES.idx,LABELS.idx[:test=0] or ...images...idx beside ...labels...",
      "IDX arrays as MNIST has them; bytes of images are shares of 255", NULL}},
    {"-ubyte", "test=0", 0, open_idx, {NULL, NULL, "IDX arrays", NULL}},
    {".npz",
     "test=0",
     0,
     open_npz,
     {"npz", "FILE.npz[:test=0] or X.npy,T.npy[:test=0]",
      "arrays x and y (or x_train, y_train, x_test, y_test), one row a sample; without a test "
      "split "
      "the training rows are tested on",
      NULL}},
    {".bin",
     "test=0,coarse=0",
     0,
     open_cifar,
     {"cifar", "FILE.bin[:test=0,coarse=0] or FOLDER/[:coarse=0]",
      "CIFAR's binary records, 10 or 100 classes (coarse=1: 20): a file, or a folder of "
      "data_batch_1.bin, ..., test_batch.bin or train.bin, test.bin",
      NULL}},
    {".txt",
     "test=0.1,length=64",
     0.1,
     open_text,
     {"text", "FILE.txt[:length=64,test=0.1]",
      "characters, each from those before: samples of `length`, the last tenth is the test split",
      NULL}},
    {"/",
     "test=0.2,grey=0,size=",
     0.2,
     open_png,
     {"png", "FOLDER/[:size=37|64x48,grey=0|1,test=0.2]",
      "images FOLDER/CLASS/*.png, or FOLDER/train/CLASS and FOLDER/test/CLASS, resized by area",
      NULL}},
};

/* Kinds that are shown stand one behind the other without the unnamed. */
fanin_dataset_row fanin__data_path_row(int i) {
    for (size_t k = 0; k < FANIN_COUNT(kinds); k++)
        if (kinds[k].shown.name && i-- == 0) return kinds[k].shown;
    return (fanin_dataset_row){0};
}

/* Length of "dir/file.csv.gz" without the packing. */
static size_t bare_length(const char *s, size_t n) {
    return fanin__ends_within(s, n, ".gz") || fanin__ends_within(s, n, ".xz") ? n - 3 : n;
}

/* Options begin at the last ':' behind the last '/'. */
static size_t path_length(const char *text) {
    const char *slash = strrchr(text, '/'), *colon = strchr(slash ? slash : text, ':');
    return colon ? (size_t)(colon - text) : strlen(text);
}

static fanin_status read_size(const char *p, size_t n, settings *s, fanin_err *err) {
    uint64_t w = 0, h = 0;
    const char *end = p;
    bool fits = fanin__parse_u64(p, &end, &w) && (h = w) > 0;
    if (fits && *end == 'x') fits = fanin__parse_u64(end + 1, &end, &h);
    if (!fits || end != p + n || w < 1 || h < 1 || w > 4096 || h > 4096)
        return fanin_err_set(
            err, FANIN_ARG,
            "size=%.*s: expected pixels, 37 or 64x48 (width x height), at most 4096", (int)n, p);
    s->width = (double)w;
    s->height = (double)h;
    return FANIN_OK;
}

/* One "key=value": texts here, numbers by the table. */
static fanin_status read_option(const char *what, const char *takes, const char *p, size_t n,
                                settings *s, fanin_err *err) {
    if (!strncmp(p, "label=", 6) && strstr(takes, "label=")) {
        snprintf(s->label, sizeof s->label, "%.*s", (int)(n - 6), p + 6);
        return FANIN_OK;
    }
    if (!strncmp(p, "size=", 5) && strstr(takes, "size=")) return read_size(p + 5, n - 5, s, err);
    if (!strncmp(p, "target=", 7) && strstr(takes, "target=")) {
        bool real = n == 11 && !strncmp(p + 7, "real", 4);
        if (!real && (n != 12 || strncmp(p + 7, "class", 5) != 0))
            return fanin_err_set(err, FANIN_ARG, "%s: %.*s: expected real or class", what, (int)n,
                                 p);
        s->real = real;
        return FANIN_OK;
    }
    char one[160];
    snprintf(one, sizeof one, "%.*s", (int)n, p);
    return fanin__options_parse(what, takes, one, numbers, FANIN_COUNT(numbers), s, err);
}

static fanin_status read_options(const char *what, const char *takes, const char *text, settings *s,
                                 fanin_err *err) {
    for (const char *p = text; *p; p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (n == 0)
            return fanin_err_set(err, FANIN_ARG, "%s: '' is no option; it takes %s", what, takes);
        FANIN_TRY(read_option(what, takes, p, n, s, err));
        p += n;
    }
    return FANIN_OK;
}

static fanin_status open_pair(const char *path, const char *comma, const settings *s,
                              fanin_dataset *d, fanin_err *err) {
    char *inputs = fanin__strndup(path, (size_t)(comma - path));
    if (!inputs) return FANIN_NOMEM;
    fanin_status status = fanin__data_arrays(inputs, comma + 1, s->test, d, err);
    fanin_free(inputs);
    return status;
}

/* The comma of "x.npy,t.npy" and "images.idx,labels.idx". */
static const char *pair_comma(const char *path) {
    static const char *const endings[] = {".npy", ".idx", "-ubyte"};
    for (const char *c = path; (c = strchr(c, ',')) != NULL; c++)
        for (size_t i = 0; i < FANIN_COUNT(endings); i++)
            if (fanin__ends_within(path, bare_length(path, (size_t)(c - path)), endings[i]))
                return c;
    return NULL;
}

fanin_status fanin__data_path(const char *text, fanin_dataset *d, bool *is, fanin_err *err) {
    size_t n = path_length(text), bare = bare_length(text, n);
    const struct kind *k = NULL;
    struct stat st;
    char *path = fanin__strndup(text, n);
    if (!path) return FANIN_NOMEM;
    const char *comma = pair_comma(path), *options;
    bool folder = n && (path[n - 1] == '/' ||
                        (stat(path, &st) == 0 && S_ISDIR(st.st_mode) && strchr(path, '/')));
    bool cifar = folder && fanin__data_cifar_is(path);
    for (size_t i = 0; i < FANIN_COUNT(kinds) && !comma && !k; i++)
        if (folder ? kinds[i].open == (cifar ? open_cifar : open_png)
                   : fanin__ends_within(path, bare, kinds[i].ending))
            k = &kinds[i];
    *is = comma || k;
    fanin_status status = FANIN_OK;
    if (*is) {
        settings s = {.test = k ? k->test : 0, .length = 64, .header = -1, .real = -1};
        d->info.about = k && k->shown.about ? k->shown.about : "arrays";
        d->info.target_count = 1;
        status = fanin__options_of(text, n, &options, err);
        if (status == FANIN_OK)
            status = read_options(path, k ? k->takes : "test=0", options, &s, err);
        if (status == FANIN_OK)
            status = comma ? open_pair(path, comma, &s, d, err) : k->open(path, &s, d, err);
    }
    fanin_free(path);
    return status;
}
