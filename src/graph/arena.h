/* arena.h - memory that is taken piece by piece and given back at once. */
#ifndef FANIN_SRC_ARENA_H
#define FANIN_SRC_ARENA_H

#include "base/base.h"

struct fanin__arena_block;

/* Zero-initialise. */
typedef struct fanin__arena {
    struct fanin__arena_block *blocks; /* the first is the one that is filled */
    size_t next_size, total;           /* size of the next block; bytes taken from the allocator */
    size_t limit;                      /* of total; 0: none */
    bool over;                         /* a piece was refused for the limit */
} fanin__arena;

/* Aligned to 8 bytes, not cleared; NULL: no memory. A size of 0 gives a valid pointer. */
void *fanin__arena_take(fanin__arena *arena, size_t size);
/* count * size bytes, checked. */
void *fanin__arena_array(fanin__arena *arena, size_t count, size_t size);
void *fanin__arena_copy(fanin__arena *arena, const void *data, size_t size);
/* The empty string costs nothing and must not be written to. */
const char *fanin__arena_strdup(fanin__arena *arena, const char *s);
/* n bytes and a NUL. */
const char *fanin__arena_strndup(fanin__arena *arena, const void *s, size_t n);
void fanin__arena_fini(fanin__arena *arena);

#endif
