/* safetensors.h - how the reference writer lays a file out. */
#ifndef FANIN_SRC_SAFETENSORS_H
#define FANIN_SRC_SAFETENSORS_H

#include "fanin/format.h"

#include "base/base.h"

/* Sorts `order` (indices of arrays): element types by a fixed list, last first, then names by bytes. */
void fanin__safetensors_sort(const fanin_array *arrays, int *order, int count);
/* The 8 bytes of length and the header, padded with spaces to a multiple of 8. `metadata` is key, value,
 * ..., NULL, or NULL. LIMIT for more than 100 MB. */
fanin_status fanin__safetensors_header(const fanin_array *arrays, const int *order, int count,
                                       const char *const *metadata, const char *file,
                                       fanin__text *out, fanin_err *err);
/* "text" with JSON's escapes. */
void fanin__json_quote(fanin__text *out, const char *text);

#endif
