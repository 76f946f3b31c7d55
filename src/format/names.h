/* names.h - finds the index of a name among n. */
#ifndef FANIN_SRC_NAMES_H
#define FANIN_SRC_NAMES_H

#include "base/base.h"

/* Open addressing over indices; the names stay with the caller, who says how to get at them.
 * Zero-initialise. */
typedef struct fanin__names {
    int *slots; /* index + 1, 0 empty */
    size_t slot_count;
    int count;
} fanin__names;

typedef const char *(*fanin__name_of)(const void *ctx, int index);

int fanin__names_find(const fanin__names *n, fanin__name_of name_of, const void *ctx,
                      const char *name);
/* Enters index n->count, whose name is not entered yet; false: no memory. */
bool fanin__names_add(fanin__names *n, fanin__name_of name_of, const void *ctx);
void fanin__names_fini(fanin__names *n);

#endif
