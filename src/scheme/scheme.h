/* scheme/scheme.h - a scheme inside: an ordered list of lines, and how they become rules. */
#ifndef FANIN_SRC_SCHEME_H
#define FANIN_SRC_SCHEME_H

#include <regex.h>

#include "base/base.h"
#include "fanin/scheme.h"

/* Sets of classes; bits by value, and two of our own. */
typedef uint64_t fanin__classes;
#define FANIN__CLASS_BIT(c) ((fanin__classes)1 << (c))
#define FANIN__LSTM_BIAS    ((fanin__classes)1 << 61) /* recurrent bias of an LSTM */
#define FANIN__RESIDUAL     ((fanin__classes)1 << 62) /* closes a residual branch */

/* Which tensors, which rule. */
typedef struct fanin__line {
    const char *pattern;    /* glob, or "re:" regex; NULL: any name */
    fanin__classes classes; /* 0: any class but constants */
    const char *rule;       /* "normal:std=0.02/sqrt(2*L)" */
    int number;             /* line of the file; 0: built in */
    int from_file;          /* 1: must match, must not be shadowed */
    bool overlay;           /* a --rule */
    bool has_regex;
    regex_t regex;
} fanin__line;

typedef struct fanin__scheme {
    char *name; /* "he", "normal:std=0.01", "my.yaml" */
    fanin__line *lines;
    int count, capacity;
    char **texts; /* owned */
    int text_count, text_capacity;
} fanin__scheme;

/* A built-in, a file or a rule. `operators`: the model has some. */
fanin_status fanin__scheme_load(const char *text, fanin__scheme *scheme, fanin_err *err);
/* "PATTERN=RULE[:k=v,...]" behind what there is. */
fanin_status fanin__scheme_overlay(fanin__scheme *scheme, const char *text, fanin_err *err);
void fanin__scheme_fini(fanin__scheme *scheme);
bool fanin__line_matches(const fanin__line *line, const fanin_tensor_info *info);
/* "he.yaml line 3 '*.weight'", "--rule '*.bias'", "he". */
const char *fanin__line_where(const fanin__scheme *scheme, const fanin__line *line, char *buf,
                              size_t size);

/* ---- pieces ---- */
fanin_status fanin__scheme_add(fanin__scheme *scheme, fanin__line line, fanin_err *err);
/* A copy that the scheme owns; NULL: no memory. */
const char *fanin__scheme_text(fanin__scheme *scheme, const char *s, size_t n);
bool fanin__scheme_add_builtin(fanin__scheme *scheme, const char *name, fanin_status *status,
                               fanin_err *err);
/* "dense conv" -> bits; false with the unknown word in err. */
fanin_status fanin__classes_parse(const char *text, fanin__classes *classes, fanin_err *err);
fanin_status fanin__scheme_read_file(const char *path, fanin__scheme *scheme, fanin_err *err);
/* The same from memory, for tests and fuzzing. */
fanin_status fanin__scheme_read(const void *data, size_t size, const char *name,
                                fanin__scheme *scheme, fanin_err *err);

/* ---- formula.c: numbers with variables ---- */
typedef struct fanin__variable {
    const char *name;
    double value; /* NaN: this tensor has none */
} fanin__variable;
/* + - * / ^ and brackets; sqrt cbrt exp log abs min max; pi, e and the variables (NULL name ends).
 * ARG names what is wrong. */
fanin_status fanin__formula(const char *text, const fanin__variable *variables, double *value,
                            fanin_err *err);
/* "normal:std=0.02/sqrt(2*L)" with its numbers worked out for this tensor. */
fanin_status fanin__rule_resolve(const char *text, const fanin_tensor_info *info,
                                 const fanin_tensors *tensors, char *buf, size_t size,
                                 fanin_err *err);

#endif
