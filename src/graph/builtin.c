/* builtin.c - the table of built-in networks and the grammar of their names.
 *
 * NAME[:ARGUMENT][,OPTION=VALUE]...: one row a network; a new one is a builder and a row. */
#include <stdio.h>
#include <string.h>

#include "graph/builtin.h"

typedef struct row {
    fanin_builtin_info info;
    const char *options; /* accepted keys, space separated; "*": any */
    fanin__builtin_fn *build;
} row;

static const row rows[] = {
    {{"mlp",
      "mlp:IN-WIDTHxCOUNT-...-OUT[,act=relu][,norm=none|batch|layer][,bias=1][,dropout=0]"
      "[,alpha_dropout=0]",
      "fully connected layers fc1, fc2, ...: mlp:784-1000x5-10 has five hidden layers of 1000"},
     "act norm bias dropout alpha_dropout",
     fanin__builtin_mlp},
    {{"autoencoder", "autoencoder:IN-WIDTHxCOUNT-...-CODE[,act=sigmoid][,norm=none][,bias=1]",
      "an encoder to a linear code and its mirror image, as Hinton and Salakhutdinov's"},
     "act norm bias dropout alpha_dropout",
     fanin__builtin_autoencoder},
    {{"lenet5", "lenet5[,act=relu][,norm=none][,bias=1][,dropout=0][,classes=10]",
      "two 5x5 convolutions with pooling and three dense layers on 1x28x28"},
     "act norm bias dropout alpha_dropout classes",
     fanin__builtin_lenet5},
    {{"convnet",
      "convnet:CxHxW-CHANNELSxCOUNT-...-CLASSES[,act=relu][,norm=none][,kernel=3][,pool=1]",
      "stages of convolutions, halved between stages (pool=1), global average, one dense layer"},
     "act norm bias dropout alpha_dropout kernel pool",
     fanin__builtin_convnet},
    {{"vgg", "vgg:11|13|16|19[,norm=none|batch][,act=relu][,classes=1000][,input=3x224x224]",
      "Simonyan and Zisserman's configurations A, B, D, E, with torchvision's names"},
     "act norm bias dropout classes input",
     fanin__builtin_vgg},
    {{"resnet",
      "resnet:18|34|50|101|152 or, for CIFAR, resnet:20|32|44|56|110[,norm=batch][,act=relu]"
      "[,bias=][,classes=][,input=]",
      "He et al. 2016: ImageNet networks, or 6n+2 layers with parameter-free shortcuts; norm=batch "
      "unless said, bias=1 where there is no norm"},
     "act norm bias dropout classes input",
     fanin__builtin_resnet},
    {{"densenet",
      "densenet:121|161|169|201[,norm=batch][,act=relu][,classes=1000][,input=3x224x224]",
      "Huang et al. 2017, with bottlenecks and compression, with torchvision's names"},
     "act norm bias dropout classes input",
     fanin__builtin_densenet},
    {{"gpt2", "gpt2:124m|355m|774m|1558m[,tokens=128] or gpt2:layers=L,width=D,heads=H,...",
      "decoder with tied embeddings, layer norms in front; options vocab=, context=, tokens=, "
      "act=, "
      "tied=1"},
     "act bias dropout layers width heads vocab context tokens tied",
     fanin__builtin_gpt2},
    {{"vit", "vit:ti16|s16|b16|b32|l16|l32[,classes=1000][,size=224] or vit:layers=L,width=D,...",
      "vision transformer with torchvision's names; options heads=, patch=, act="},
     "act bias dropout layers width heads patch size classes",
     fanin__builtin_vit},
    {{"tensor", "tensor:NAME=DIMxDIM...[,NAME=DIM...]",
      "bare tensors in torch's layout: tensor:w=64x3x7x7,b=64"},
     "*",
     fanin__builtin_tensor},
};

int fanin_builtin_count(void) { return (int)FANIN_COUNT(rows); }

fanin_builtin_info fanin_builtin_at(int i) {
    if (i < 0 || i >= fanin_builtin_count()) return (fanin_builtin_info){"?", "?", "?"};
    return rows[i].info;
}

/* ---- the text ---------------------------------------------------------------------------------- */

fanin_status fanin__spec_error(const fanin__spec *spec, fanin_err *err, const char *format, ...) {
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fanin_err_set(err, FANIN_ARG, "%.160s: %s; expected %s", spec->model, text,
                         spec->grammar);
}

const char *fanin__spec_text(const fanin__spec *spec, const char *key, const char *otherwise) {
    for (int i = 0; i < spec->count; i++)
        if (strcmp(spec->options[i].key, key) == 0) return spec->options[i].value;
    return otherwise;
}

bool fanin__spec_number(const char **s, int64_t high, int64_t *out) {
    uint64_t n;
    if (**s < '0' || **s > '9' || !fanin__parse_u64(*s, s, &n)) return false;
    if (n == 0 || n > (uint64_t)high) return false;
    *out = (int64_t)n;
    return true;
}

fanin_status fanin__spec_int(const fanin__spec *spec, const char *key, int64_t low, int64_t high,
                             int64_t *out, fanin_err *err) {
    const char *text = fanin__spec_text(spec, key, NULL), *end = text;
    if (!text) return FANIN_OK;
    uint64_t n = 0;
    bool fine = *text >= '0' && *text <= '9' && fanin__parse_u64(text, &end, &n) && !*end;
    if (!fine || n > (uint64_t)high || (int64_t)n < low)
        return fanin__spec_error(spec, err, "%s=%.40s is not a whole number from %lld to %lld", key,
                                 text, (long long)low, (long long)high);
    *out = (int64_t)n;
    return FANIN_OK;
}

fanin_status fanin__spec_bool(const fanin__spec *spec, const char *key, bool *out, fanin_err *err) {
    static const char *const yes[] = {"1", "true", "yes", "on"};
    static const char *const no[] = {"0", "false", "no", "off"};
    const char *text = fanin__spec_text(spec, key, NULL);
    if (!text) return FANIN_OK;
    for (size_t i = 0; i < FANIN_COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0) return *out = true, FANIN_OK;
        if (strcmp(text, no[i]) == 0) return *out = false, FANIN_OK;
    }
    return fanin__spec_error(spec, err, "%s=%.40s is not 0 or 1", key, text);
}

fanin_status fanin__spec_shape(const fanin__spec *spec, const char *key, int rank, int64_t *out,
                               fanin_err *err) {
    const char *text = fanin__spec_text(spec, key, NULL), *s = text;
    if (!text) return FANIN_OK;
    for (int i = 0; i < rank; i++) {
        if (i && *s++ != 'x') break;
        if (!fanin__spec_number(&s, 1 << 20, &out[i])) break;
        if (i == rank - 1 && !*s) return FANIN_OK;
    }
    return fanin__spec_error(spec, err, "%s=%.40s is not a shape such as 3x32x32", key, text);
}

static fanin_status read_stages(const fanin__spec *spec, const char *text, fanin__stage *list,
                                int n, fanin_err *err) {
    const int64_t widest = INT64_C(1) << 31, deepest = 100000;
    const char *s = text;
    int64_t layers = 0;
    for (int i = 0; i < n; i++) {
        list[i].count = 1;
        bool fine = (!i || *s++ == '-') && fanin__spec_number(&s, widest, &list[i].width);
        if (fine && *s == 'x') {
            s++;
            fine = fanin__spec_number(&s, INT32_MAX, &list[i].count);
        }
        if (!fine) return fanin__spec_error(spec, err, "'%.80s' is not a list of widths", text);
        layers += list[i].count;
    }
    if (*s) return fanin__spec_error(spec, err, "'%.80s' is not a list of widths", text);
    if (layers > deepest)
        return fanin__spec_error(spec, err, "%lld layers are more than %lld", (long long)layers,
                                 (long long)deepest);
    return FANIN_OK;
}

fanin_status fanin__spec_stages(const fanin__spec *spec, const char *text, fanin__stage **stages,
                                int *count, fanin_err *err) {
    int n = 1;
    for (const char *s = text; *s; s++) n += *s == '-';
    fanin__stage *list = fanin_calloc((size_t)n, sizeof *list);
    if (!list) return fanin_err_set(err, FANIN_NOMEM, "%s: not enough memory", spec->name);
    fanin_status status = read_stages(spec, text, list, n, err);
    if (status != FANIN_OK) {
        fanin_free(list);
        list = NULL;
    }
    *stages = list;
    *count = n;
    return status;
}

static bool listed(const char *list, const char *key) {
    size_t n = strlen(key);
    if (strcmp(list, "*") == 0) return true;
    for (const char *s = list; n && (s = strstr(s, key)); s += n)
        if ((s == list || s[-1] == ' ') && (s[n] == ' ' || !s[n])) return true;
    return false;
}

/* The comma that ends the item at s: brackets and quotes shelter those of a formula. */
static char *item_end(char *s) {
    int depth = 0;
    bool quoted = false;
    for (; *s; s++) {
        if (*s == '\'') quoted = !quoted;
        if (*s == '(') depth++;
        if (*s == ')') depth--;
        if (*s == ',' && depth <= 0 && !quoted) break;
    }
    return s;
}

static fanin_status add_option(fanin__spec *spec, const row *r, char *item, fanin_err *err) {
    char *equals = strchr(item, '=');
    if (!equals || equals == item)
        return fanin__spec_error(spec, err, "'%.60s' is not OPTION=VALUE", item);
    *equals = '\0';
    char *value = equals + 1;
    size_t n = strlen(value);
    if (n >= 2 && value[0] == '\'' && value[n - 1] == '\'') value[n - 1] = '\0', value++;
    if (!listed(r->options, item))
        return fanin__spec_error(spec, err, "there is no option '%.40s'", item);
    if (fanin__spec_text(spec, item, NULL))
        return fanin__spec_error(spec, err, "'%.60s' is given twice", item);
    if (spec->count == FANIN__SPEC_OPTIONS)
        return fanin__spec_error(spec, err, "more than %d options", FANIN__SPEC_OPTIONS);
    spec->options[spec->count].key = item;
    spec->options[spec->count++].value = value;
    return FANIN_OK;
}

/* buffer: "mlp:784-10,act=tanh" -> name, argument, options. */
static fanin_status take_apart(fanin__spec *spec, const row *r, fanin_err *err) {
    char *s = spec->buffer + strlen(r->info.name);
    spec->name = r->info.name;
    spec->argument = "";
    if (*s == ':') {
        char *first = s + 1, *end = item_end(first), *equals = strchr(first, '=');
        if (!equals || equals > end) { /* otherwise options only: gpt2:layers=2 */
            spec->argument = first;
            s = end;
        }
    }
    bool more = *s != '\0';
    *s = '\0';
    while (more) {
        char *item = s + 1, *end = item_end(item);
        more = *end != '\0';
        *end = '\0';
        FANIN_TRY(add_option(spec, r, item, err));
        s = end;
    }
    return FANIN_OK;
}

static const row *find_row(const char *text) {
    size_t n = strcspn(text, ":,");
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        if (strlen(rows[i].info.name) == n && strncmp(rows[i].info.name, text, n) == 0)
            return &rows[i];
    return NULL;
}

static fanin_status unknown(const char *text, fanin_err *err) {
    fanin__text names = {0};
    for (size_t i = 0; i < FANIN_COUNT(rows); i++)
        fanin__text_printf(&names, "%s%s", i ? ", " : "", rows[i].info.name);
    fanin_err_set(err, FANIN_NOTFOUND, "%.120s: no such file or built-in model; built-in are %s",
                  text, names.data ? names.data : "");
    fanin__text_fini(&names);
    return FANIN_NOTFOUND;
}

fanin_status fanin_graph_builtin(const char *text, fanin_graph **graph, fanin_err *err) {
    *graph = NULL;
    const row *r = find_row(text);
    if (!r) return unknown(text, err);
    fanin__spec spec = {.model = text, .grammar = r->info.grammar};
    spec.buffer = fanin__strdup(text);
    if (!spec.buffer) return fanin_err_set(err, FANIN_NOMEM, "%.80s: not enough memory", text);
    fanin_status status = take_apart(&spec, r, err);
    if (status == FANIN_OK) status = r->build(&spec, graph, err);
    fanin_free(spec.buffer);
    return status;
}
