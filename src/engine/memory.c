/* memory.c - where each storage lies in the arena: pinned ones side by side, then a sweep over the
 * steps with a list of free ranges, best fit. Networks have thousands of storages, so lists do. */
#include <stdlib.h>
#include <string.h>

#include "engine/plan.h"

enum { ALIGN = 64 };

typedef struct range {
    size_t offset, size;
} range;

typedef struct pool {
    range *free;
    int count, capacity;
    size_t end;
} pool;

static size_t rounded(size_t size) { return (size + ALIGN - 1) & ~(size_t)(ALIGN - 1); }

static size_t take(pool *p, size_t size) {
    int best = -1;
    for (int i = 0; i < p->count; i++)
        if (p->free[i].size >= size && (best < 0 || p->free[i].size < p->free[best].size)) best = i;
    if (best < 0) { /* grow, using a free range at the end */
        range *last = p->count ? &p->free[p->count - 1] : NULL;
        size_t at = p->end;
        if (last && last->offset + last->size == p->end) {
            at = last->offset;
            p->count--;
        }
        p->end = at + size;
        return at;
    }
    size_t at = p->free[best].offset;
    p->free[best].offset += size;
    p->free[best].size -= size;
    if (p->free[best].size == 0) {
        memmove(p->free + best, p->free + best + 1, (size_t)(p->count - best - 1) * sizeof(range));
        p->count--;
    }
    return at;
}

static bool give(pool *p, size_t offset, size_t size) {
    if (p->count == p->capacity) {
        int capacity = p->capacity ? 2 * p->capacity : 64;
        range *more = fanin_realloc(p->free, (size_t)capacity, sizeof(range));
        if (!more) return false;
        p->free = more;
        p->capacity = capacity;
    }
    int at = 0;
    while (at < p->count && p->free[at].offset < offset) at++;
    memmove(p->free + at + 1, p->free + at, (size_t)(p->count - at) * sizeof(range));
    p->free[at] = (range){offset, size};
    p->count++;
    for (int i = at > 0 ? at - 1 : 0; i <= at && i + 1 < p->count;) {
        range *a = &p->free[i], *b = &p->free[i + 1];
        if (a->offset + a->size != b->offset) {
            i++;
            continue;
        }
        a->size += b->size;
        memmove(b, b + 1, (size_t)(p->count - i - 2) * sizeof(range));
        p->count--;
        at--;
    }
    return true;
}

/* Storage ids by step, as lists. */
typedef struct events {
    int *head, *next;
} events;

static void add_event(events *e, int step, int id) {
    e->next[id] = e->head[step];
    e->head[step] = id;
}

fanin_status fanin__memory_plan(fanin__storage *s, int count, int steps, size_t *bytes) {
    fanin_status status = FANIN_NOMEM;
    pool p = {0};
    int *memory = fanin_calloc((size_t)(2 * (steps + 1) + 2 * count) + 1, sizeof(int));
    if (!memory) return FANIN_NOMEM;
    events born = {memory, memory + 2 * (steps + 1)};
    events dies = {memory + steps + 1, memory + 2 * (steps + 1) + count};
    for (int i = 0; i < 2 * (steps + 1); i++) memory[i] = -1;
    for (int i = 0; i < count; i++) {
        if (s[i].constant || s[i].in_place_of >= 0) continue;
        if (s[i].pinned) {
            s[i].offset = p.end;
            p.end += rounded(s[i].size);
        } else if (s[i].first >= 0) {
            add_event(&born, s[i].first, i);
        }
    }
    /* A storage that is taken over lives until its last heir is done. */
    for (int i = 0; i < count; i++) {
        int root = i;
        while (s[root].in_place_of >= 0) root = s[root].in_place_of;
        if (s[i].last > s[root].last) s[root].last = s[i].last;
    }
    for (int i = 0; i < count; i++)
        if (!s[i].constant && !s[i].pinned && s[i].in_place_of < 0 && s[i].first >= 0)
            add_event(&dies, s[i].last, i);
    for (int step = 0; step < steps; step++) {
        for (int i = born.head[step]; i >= 0; i = born.next[i])
            s[i].offset = take(&p, rounded(s[i].size));
        for (int i = dies.head[step]; i >= 0; i = dies.next[i])
            if (s[i].size && !give(&p, s[i].offset, rounded(s[i].size))) goto done;
    }
    for (int i = 0; i < count; i++) {
        int root = i;
        while (s[root].in_place_of >= 0) root = s[root].in_place_of;
        s[i].offset = s[root].offset;
    }
    *bytes = p.end;
    status = FANIN_OK;
done:
    fanin_free(p.free);
    fanin_free(memory);
    return status;
}
