/* arena.c - blocks double from 4 KiB to 256 KiB, so a small graph stays small and a large one wastes
 * little; what is larger than a quarter of a block gets its own. */
#include <stdalign.h>
#include <string.h>

#include "graph/arena.h"

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 256 * 1024, ALIGN = 8 };

typedef struct fanin__arena_block {
    struct fanin__arena_block *next;
    size_t used, size;
    alignas(ALIGN) unsigned char data[];
} block;

static block *block_create(size_t size) {
    size_t bytes;
    if (!fanin__size_add(size, sizeof(block), &bytes)) return NULL;
    block *b = fanin_malloc(bytes);
    if (b) *b = (block){.size = size};
    return b;
}

void *fanin__arena_take(fanin__arena *arena, size_t size) {
    size_t need;
    if (!fanin__size_add(size, ALIGN - 1, &need)) return NULL;
    need &= ~(size_t)(ALIGN - 1);
    block *head = arena->blocks;
    if (head && head->size - head->used >= need) {
        void *p = head->data + head->used;
        head->used += need;
        return p;
    }
    size_t next = arena->next_size ? arena->next_size : FIRST_BLOCK;
    bool own = head && need > next / 4;
    size_t bytes = own || need > next ? need : next;
    if (arena->limit && (arena->total > arena->limit || bytes > arena->limit - arena->total)) {
        arena->over = true;
        return NULL;
    }
    block *b = block_create(bytes);
    if (!b) return NULL;
    b->used = need;
    arena->total += sizeof(block) + b->size;
    if (own) { /* behind the head, which still has room */
        b->next = head->next;
        head->next = b;
    } else {
        b->next = head;
        arena->blocks = b;
        arena->next_size = next < LARGEST_BLOCK ? 2 * next : next;
    }
    return b->data;
}

void *fanin__arena_array(fanin__arena *arena, size_t count, size_t size) {
    size_t bytes;
    return fanin__size_mul(count, size, &bytes) ? fanin__arena_take(arena, bytes) : NULL;
}

void *fanin__arena_copy(fanin__arena *arena, const void *data, size_t size) {
    void *p = fanin__arena_take(arena, size);
    if (p && size) memcpy(p, data, size);
    return p;
}

const char *fanin__arena_strndup(fanin__arena *arena, const void *s, size_t n) {
    if (n == 0) return "";
    char *p = n < SIZE_MAX ? fanin__arena_take(arena, n + 1) : NULL;
    if (!p) return NULL;
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

const char *fanin__arena_strdup(fanin__arena *arena, const char *s) {
    return fanin__arena_strndup(arena, s, strlen(s));
}

void fanin__arena_fini(fanin__arena *arena) {
    for (block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        fanin_free(b);
    }
    *arena = (fanin__arena){0};
}
