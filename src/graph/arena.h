/* arena.h - memory that is taken piece by piece and given back at once. */
#ifndef FANIN_SRC_ARENA_H
#define FANIN_SRC_ARENA_H

#include "base/base.h"

struct fanin__arena_block;

/* Zero-initialise. */
typedef struct fanin__arena {
    struct fanin__arena_block *blocks; /* the first is the one that is filled */
    size_t next_size;
} fanin__arena;

/* Aligned to 16 bytes, not cleared; NULL: no memory. A size of 0 gives a valid pointer. */
void *fanin__arena_take(fanin__arena *arena, size_t size);
/* count * size bytes, checked. */
void *fanin__arena_array(fanin__arena *arena, size_t count, size_t size);
void *fanin__arena_copy(fanin__arena *arena, const void *data, size_t size);
char *fanin__arena_strdup(fanin__arena *arena, const char *s);
void fanin__arena_fini(fanin__arena *arena);

#endif
