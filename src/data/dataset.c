/* dataset.c - the table of data sets, and the calls that every set answers alike. */
#include <stdio.h>
#include <string.h>

#include "data/dataset.h"
#include "data/prepare.h"

typedef struct row {
    fanin_dataset_row shown;
    fanin__data_open *open;
} row;

static const row rows[] = {
    {{"mnist", "mnist", "60 000 + 10 000 handwritten digits, 28x28 grey (LeCun, Cortes, Burges)",
      "train-images-idx3-ubyte ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db\n"
      "train-labels-idx1-ubyte 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5\n"
      "t10k-images-idx3-ubyte 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7\n"
      "t10k-labels-idx1-ubyte ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"},
     fanin__data_mnist},
    {{"fashion-mnist", "fashion-mnist",
      "60 000 + 10 000 articles of clothing, 28x28 grey (Xiao et al. 2017)",
      "train-images-idx3-ubyte c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888\n"
      "train-labels-idx1-ubyte bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9\n"
      "t10k-images-idx3-ubyte 5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b\n"
      "t10k-labels-idx1-ubyte 0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"},
     fanin__data_fashion},
    {{"cifar10", "cifar10",
      "50 000 + 10 000 photographs, 3x32x32 (Krizhevsky 2009), binary version",
      "data_batch_1.bin\ndata_batch_2.bin\ndata_batch_3.bin\ndata_batch_4.bin\ndata_batch_5.bin\n"
      "test_batch.bin"},
     fanin__data_cifar10},
    {{"cifar100", "cifar100[:coarse=0]",
      "50 000 + 10 000 photographs, 3x32x32, 100 classes or 20 coarse ones (Krizhevsky 2009), "
      "binary version",
      "train.bin\ntest.bin"},
     fanin__data_cifar100},
    {{"shapeset", "shapeset[:neg=0|1]",
      "Shapeset-3x2 (Glorot & Bengio 2010): one or two triangles, parallelograms, ellipses; 32x32, "
      "9 classes, "
      "endless",
      NULL},
     fanin__data_shapeset},
    {{"xor", "xor[:bits=2]", "parity of bits in {0, 1}; all 2^bits points, in turn", NULL},
     fanin__data_xor},
    {{"spirals", "spirals[:noise=0.05,turns=1.5]", "two intertwined spirals in the plane, endless",
      NULL},
     fanin__data_spirals},
    {{"blobs", "blobs[:in=2,classes=3,std=0.2]",
      "Gaussian clouds around centres drawn from N(0,1), endless", NULL},
     fanin__data_blobs},
    {{"teacher", "teacher[:in=32,hidden=64,out=1]",
      "a random tanh network's answers to N(0,1) inputs, endless", NULL},
     fanin__data_teacher},
};

int fanin_dataset_count(void) {
    int n = (int)FANIN_COUNT(rows);
    while (fanin__data_path_row(n - (int)FANIN_COUNT(rows)).name) n++;
    return n;
}

fanin_dataset_row fanin_dataset_at(int i) {
    int named = (int)FANIN_COUNT(rows);
    if (i < 0) return (fanin_dataset_row){0};
    return i < named ? rows[i].shown : fanin__data_path_row(i - named);
}

double fanin__data_option(const fanin__data_options *o, const char *key, double otherwise) {
    size_t n = strlen(key);
    for (const char *p = o->text; p && *p; p += *p == ',') {
        if (!strncmp(p, key, n) && p[n] == '=') return fanin__parse_double(p + n + 1, NULL);
        p += strcspn(p, ",");
    }
    return otherwise;
}

/* Every key in the text must be one that the row's grammar shows. */
static fanin_status check_options(const row *r, const char *text, fanin_err *err) {
    for (const char *p = text; *p; p += *p == ',') {
        size_t n = strcspn(p, ",="), end = strcspn(p, ",");
        char key[32] = "";
        snprintf(key, sizeof key, "%.*s=", (int)(n < 30 ? n : 30), p);
        const char *stop = p + n;
        if (p[n] == '=') fanin__parse_double(p + n + 1, &stop);
        if (!strstr(r->shown.grammar, key) || stop != p + end || stop == p + n + 1)
            return fanin_err_set(err, FANIN_ARG,
                                 "data set %s: '%.*s' is no option of it; expected %s",
                                 r->shown.name, (int)end, p, r->shown.grammar);
        p += end;
    }
    return FANIN_OK;
}

static const row *find_row(const char *text, size_t n) {
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (strlen(rows[i].shown.name) == n && !strncmp(rows[i].shown.name, text, n))
            return &rows[i];
    return NULL;
}

static fanin_status open_named(const char *text, uint64_t seed, fanin_dataset *d, fanin_err *err) {
    size_t n = strcspn(text, ":");
    const char *options;
    const row *r = find_row(text, n);
    if (!r) {
        fanin__text names = {.max = 512};
        for (size_t i = 0; i < FANIN_COUNT(rows); i++)
            fanin__text_printf(&names, "%s%s", i ? ", " : "", rows[i].shown.name);
        fanin_status status = fanin_err_set(err, FANIN_NOTFOUND,
                                            "data set '%s': unknown; expected %s, x.npy,t.npy, or "
                                            "a path to .npz, .csv, .tsv, .idx, .bin, .txt or a "
                                            "folder/",
                                            text, names.data ? names.data : "a name");
        fanin__text_fini(&names);
        return status;
    }
    FANIN_TRY(fanin__options_of(text, n, &options, err));
    FANIN_TRY(check_options(r, options, err));
    d->info.about = r->shown.about;
    d->info.target_count = 1;
    const fanin__data_options o = {r->shown.name, options, seed};
    return r->open(&o, d, err);
}

fanin_status fanin__data_cut(fanin_dataset *d, uint64_t n, const char *what, double test,
                             fanin_err *err) {
    uint64_t cut = (uint64_t)(test * (double)n + 0.5);
    if (!(test >= 0 && test < 1) || cut == n)
        return fanin_err_set(err, FANIN_ARG, "%s: test=%g leaves no row to train on", what, test);
    d->cut = cut ? n : 0;
    d->both = cut == 0;
    d->info.train_count = n - cut;
    d->info.test_count = cut ? cut : n;
    return FANIN_OK;
}

static void describe_split(fanin_dataset *d) {
    const fanin_dataset_info *i = &d->info;
    if (d->cut)
        snprintf(d->split, sizeof d->split, "%llu of %llu rows for training, by a fixed shuffle",
                 (unsigned long long)i->train_count, (unsigned long long)d->cut);
    else
        snprintf(d->split, sizeof d->split, "%s",
                 d->both          ? "test rows are the training rows"
                 : i->train_count ? "as the files have it"
                                  : "apart by address");
    d->info.split = d->split;
}

static fanin_status open_plain(const char *text, uint64_t seed, fanin_dataset *d, fanin_err *err) {
    bool is_path;
    FANIN_TRY(fanin__data_path(text, d, &is_path, err));
    return is_path ? FANIN_OK : open_named(text, seed, d, err);
}

fanin_status fanin_dataset_open(const char *text, uint64_t seed, fanin_dataset **out,
                                fanin_err *err) {
    *out = NULL;
    fanin_dataset *d = fanin_calloc(1, sizeof *d);
    if (!d) return fanin_err_set(err, FANIN_NOMEM, "data set %s: no memory", text);
    d->info.name = d->name = fanin__strdup(text);
    const char *preparation = fanin__prepare_find(text);
    char *plain =
        preparation ? fanin__strndup(text, (size_t)(preparation - 1 - text)) : fanin__strdup(text);
    fanin_status status = plain && d->name ? open_plain(plain, seed, d, err) : FANIN_NOMEM;
    fanin_free(plain);
    d->info.preprocessing = "none";
    if (status == FANIN_OK && preparation) {
        d->info.preprocessing = d->preprocessing;
        status = fanin__prepare(d, preparation, err);
    }
    if (status == FANIN_OK) describe_split(d);
    if (status != FANIN_OK) {
        fanin_dataset_close(d);
        if (status == FANIN_NOMEM) fanin_err_set(err, status, "data set %s: no memory", text);
        return status;
    }
    *out = d;
    return FANIN_OK;
}

void fanin_dataset_close(fanin_dataset *d) {
    if (!d) return;
    if (d->close) d->close(d->state);
    fanin__prepare_destroy(d->prepared);
    fanin_free(d->name);
    fanin_free(d);
}

/* Row of the split's place i, where the splits are cut from one. */
static uint64_t row_of(const fanin_dataset *d, fanin_split *split, uint64_t i) {
    if (d->cut) {
        const fanin_stream s = fanin_stream_init(0, "data/split");
        if (*split == FANIN_TEST) i += d->info.train_count;
        i = fanin_stream_shuffle(&s, 0, d->cut, i);
    }
    if (d->cut || d->both) *split = FANIN_TRAIN;
    return i;
}

const fanin_dataset_info *fanin_dataset_get_info(const fanin_dataset *d) { return &d->info; }

size_t fanin_dataset_sample_size(const fanin_dataset_info *info) {
    size_t n = 1;
    for (int i = 0; i < info->rank; i++) n *= (size_t)info->dims[i];
    return n;
}

static size_t target_step(const fanin_dataset *d) {
    return (size_t)d->info.target_count * (d->info.classes ? sizeof(int64_t) : sizeof(float));
}

/* `size` numbers a sample; indices were checked. */
static fanin_status raw_samples(const fanin_dataset *d, fanin_split split, const uint64_t *index,
                                size_t n, float *x, size_t size, void *targets) {
    size_t step = target_step(d);
    for (size_t i = 0; i < n; i++) {
        fanin_split from = split;
        uint64_t at = row_of(d, &from, index[i]);
        FANIN_TRY(d->sample(d, from, at, x + i * size, (unsigned char *)targets + i * step));
    }
    return FANIN_OK;
}

static fanin_status prepared_samples(const fanin_dataset *d, fanin_split split,
                                     const uint64_t *index, size_t n, float *x, void *targets,
                                     fanin_err *err) {
    size_t size = fanin_dataset_sample_size(&d->info), step = target_step(d);
    float *scratch = fanin_malloc(fanin__prepare_scratch(d->prepared) * sizeof *scratch);
    if (!scratch) return fanin_err_set(err, FANIN_NOMEM, "data set %s: no memory", d->info.name);
    fanin_status status = FANIN_OK;
    for (size_t at = 0; at < n && status == FANIN_OK; at += FANIN__PREPARE_BLOCK) {
        size_t some = n - at < FANIN__PREPARE_BLOCK ? n - at : FANIN__PREPARE_BLOCK;
        status = raw_samples(d, split, index + at, some, scratch, d->raw_size,
                             (unsigned char *)targets + at * step);
        if (status == FANIN_OK) fanin__prepare_apply(d->prepared, some, scratch, x + at * size);
    }
    fanin_free(scratch);
    return status;
}

fanin_status fanin_dataset_samples(const fanin_dataset *d, fanin_split split, const uint64_t *index,
                                   size_t n, float *x, void *targets, fanin_err *err) {
    uint64_t count = split == FANIN_TRAIN ? d->info.train_count : d->info.test_count;
    size_t size = fanin_dataset_sample_size(&d->info);
    for (size_t i = 0; i < n; i++)
        if (count && index[i] >= count)
            return fanin_err_set(err, FANIN_ARG, "data set %s: sample %llu of %llu", d->info.name,
                                 (unsigned long long)index[i], (unsigned long long)count);
    if (d->prepared) return prepared_samples(d, split, index, n, x, targets, err);
    return raw_samples(d, split, index, n, x, size, targets);
}
