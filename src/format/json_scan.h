/* json_scan.h - strict JSON read front to back without a tree, for headers that strangers wrote: memory
 * does not grow with the input. Every function leaves *at behind what it read; after the first error
 * `why` is set and all return false. */
#ifndef FANIN_SRC_JSON_SCAN_H
#define FANIN_SRC_JSON_SCAN_H

#include "base/base.h"

typedef struct fanin__json {
    const char *begin, *at, *end;
    const char *why;  /* NULL: no error yet */
    fanin__text text; /* of the last string; fanin__text_fini when done */
} fanin__json;

fanin__json fanin__json_of(const void *data, size_t size);
bool fanin__json_fail(fanin__json *j, const char *why);
/* The next character behind white space, '\0' at the end (a NUL byte is an error elsewhere). */
char fanin__json_peek(fanin__json *j);
/* Takes `c`; `why` is the error if something else comes. */
bool fanin__json_take(fanin__json *j, char c, const char *why);
/* A string into j->text, unescaped: UTF-8 without NUL. */
bool fanin__json_string(fanin__json *j);
/* A whole number without sign, point, exponent or leading zero. */
bool fanin__json_u64(fanin__json *j, uint64_t *value);
/* Steps over any value nested at most 64 deep. */
bool fanin__json_skip(fanin__json *j);
/* Between members: true to go on. `*first` starts as true; `close` is ']' or '}'. */
bool fanin__json_more(fanin__json *j, char close, bool *first);
/* Nothing but white space is left. */
bool fanin__json_end(fanin__json *j);

#endif
