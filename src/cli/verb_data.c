/* fanin data: what data sets there are, what is in them, and where files belong. */
#include <fanin/data.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

typedef struct summary {
    double mean, std, low, high;
    uint64_t classes[64];
    uint64_t samples;
} summary;

static fanin_status summarize(const fanin_dataset *d, fanin_split split, uint64_t limit, summary *s,
                              fanin_err *err) {
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    uint64_t count = split == FANIN_TRAIN ? info->train_count : info->test_count;
    size_t n = fanin_dataset_sample_size(info);
    if (count == 0 || count > limit) count = limit;
    float *x = malloc(n * sizeof *x);
    void *target = calloc((size_t)info->target_count, 8);
    fanin_status status = x && target ? FANIN_OK : FANIN_NOMEM;
    double sum = 0, squares = 0;
    *s = (summary){.low = INFINITY, .high = -INFINITY, .samples = count};
    for (uint64_t i = 0; i < count && status == FANIN_OK; i++) {
        status = fanin_dataset_samples(d, split, &i, 1, x, target, err);
        for (size_t k = 0; k < n && status == FANIN_OK; k++) {
            double v = (double)x[k];
            sum += v;
            squares += v * v;
            s->low = fmin(s->low, v);
            s->high = fmax(s->high, v);
        }
        int64_t label = info->classes ? *(int64_t *)target : 0;
        if (status == FANIN_OK && label < 64) s->classes[label]++;
    }
    double total = (double)count * (double)n;
    s->mean = sum / total;
    s->std = sqrt(fmax(squares / total - s->mean * s->mean, 0));
    free(x);
    free(target);
    return status;
}

static int info_verb(cli *c, const char *name, uint64_t seed) {
    fanin_dataset *d;
    fanin_err err = {0};
    fanin_status status = fanin_dataset_open(name, seed, &d, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    const fanin_dataset_info *info = fanin_dataset_get_info(d);
    summary s;
    status = summarize(d, FANIN_TRAIN, 10000, &s, &err);
    int code = 0;
    if (status != FANIN_OK) {
        code = cli_fail(c, status, &err);
    } else if (c->json) {
        json_t *o = json_object(), *classes = json_array();
        for (int i = 0; i < info->classes && i < 64; i++)
            json_array_append_new(classes, json_integer((json_int_t)s.classes[i]));
        json_object_set_new(o, "name", json_string(info->name));
        json_object_set_new(o, "shape", cli_shape(info->dims, info->rank));
        json_object_set_new(o, "classes", json_integer(info->classes));
        json_object_set_new(o, "train",
                            info->train_count ? json_integer((json_int_t)info->train_count)
                                              : json_null());
        json_object_set_new(
            o, "test", info->test_count ? json_integer((json_int_t)info->test_count) : json_null());
        json_object_set_new(o, "split", json_string(info->split));
        json_object_set_new(o, "preprocessing", json_string(info->preprocessing));
        json_object_set_new(o, "mean", cli_number(s.mean));
        json_object_set_new(o, "std", cli_number(s.std));
        json_object_set_new(o, "class_counts", classes);
        code = cli_json(c, o);
    } else {
        cli_wrapped(info->about, printf("%s:", info->name));
        printf("sample   %s, %s\n", cli_shape_text(info->dims, info->rank),
               info->classes ? "class" : "real targets");
        printf("train    %s\ntest     %s\n",
               info->train_count ? cli_thousands(info->train_count) : "endless",
               info->test_count ? cli_thousands(info->test_count) : "endless");
        printf("split    %s\nprepared %s\n", info->split, info->preprocessing);
        printf("values   mean %.4f, std %.4f, from %.4g to %.4g (first %s)\n", s.mean, s.std, s.low,
               s.high, cli_thousands(s.samples));
        if (info->classes) printf("classes  ");
        for (int i = 0; i < info->classes && i < 64; i++)
            printf("%d:%.1f%% ", i, 100 * (double)s.classes[i] / (double)s.samples);
        if (info->classes) putchar('\n');
    }
    fanin_dataset_close(d);
    return code;
}

/* `data make shapeset --samples 1000 -o x.npy,t.npy`: inputs and targets of one split as files. */
static int make_verb(cli *c, const char *name, uint64_t seed, uint64_t samples, const char *out,
                     fanin_split split) {
    fanin_dataset *d;
    fanin_err err = {0};
    if (!out) return cli_usage(c, "data make wants -o X.npy,T.npy, or a name in .npz, .csv");
    fanin_status status = fanin_dataset_open(name, seed, &d, &err);
    if (status != FANIN_OK) return cli_fail_input(c, status, &err);
    status = fanin_dataset_write(d, split, samples, out, &err);
    fanin_dataset_close(d);
    return status == FANIN_OK ? 0 : cli_fail(c, status, &err);
}

/* Names, checksums and places of the files. Nothing is fetched: where they come from is said instead. */
static int get_verb(cli *c, const char *name) {
    static const struct {
        const char *name, *from;
    } sources[] = {
        {"mnist", "Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits"},
        {"fashion-mnist", "github.com/zalandoresearch/fashion-mnist, data/fashion"},
        {"cifar10", "A. Krizhevsky: CIFAR-10, binary version, cs.toronto.edu/~kriz/cifar.html"},
        {"cifar100", "A. Krizhevsky: CIFAR-100, binary version, cs.toronto.edu/~kriz/cifar.html"},
    };
    for (int i = 0; i < fanin_dataset_count(); i++) {
        fanin_dataset_row row = fanin_dataset_at(i);
        if (strcmp(row.name, name) != 0) continue;
        if (!row.files) {
            printf("%s is generated: nothing to get\n", name);
            return 0;
        }
        printf("%s: %s\n", row.name, row.about);
        for (size_t k = 0; k < sizeof sources / sizeof sources[0]; k++)
            if (!strcmp(sources[k].name, name)) printf("from: %s\n", sources[k].from);
        printf("files (plain, .gz or .xz) go to $FANIN_DATA/%s, data/%s or "
               "$XDG_DATA_HOME/fanin/%s;\nsha256 of the plain file behind the name:\n%s\n",
               name, name, name, row.files);
        fanin_dataset *d;
        fanin_err err = {0};
        fanin_status status = fanin_dataset_open(name, 0, &d, &err);
        printf("%s\n", status == FANIN_OK ? "found here: complete" : err.message);
        fanin_dataset_close(d);
        return status == FANIN_OK ? 0 : 3;
    }
    return cli_usage(c, "data get %s: no such data set; fanin list data", name);
}

int verb_data(cli *c) {
    uint64_t seed = 0, samples = 1000;
    const char *out = NULL, *split = "train";
    const cli_option options[] = {
        {"seed", 0, CLI_COUNT, &seed, "N", "of a generator (default 0)"},
        {"samples", 0, CLI_COUNT, &samples, "N", "data make: how many (default 1000)"},
        {"split", 0, CLI_TEXT, &split, "train|test", "data make: of which split"},
        {"output", 'o', CLI_TEXT, &out, "X.npy,T.npy",
         "data make: also X.idx,T.idx, A.npz, A.csv, A.tsv"},
        CLI_END,
    };
    if (!cli_parse(c, options, 2, 2)) return c->exit_code;
    if (strcmp(split, "train") != 0 && strcmp(split, "test") != 0)
        return cli_usage(c, "--split %s: expected train or test", split);
    const char *what = c->args[0], *name = c->args[1];
    if (!strcmp(what, "info")) return info_verb(c, name, seed);
    if (!strcmp(what, "make"))
        return make_verb(c, name, seed, samples, out,
                         strcmp(split, "test") ? FANIN_TRAIN : FANIN_TEST);
    if (!strcmp(what, "get")) return get_verb(c, name);
    return cli_usage(c, "data %s: expected info, make or get", what);
}
