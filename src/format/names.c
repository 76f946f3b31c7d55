#include <string.h>

#include "format/names.h"

/* FNV-1a, 64 bits. */
static size_t hash_name(const char *s) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *s; s++) h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ (h >> 29));
}

int fanin__names_find(const fanin__names *n, fanin__name_of name_of, const void *ctx,
                      const char *name) {
    if (n->slot_count == 0) return -1;
    size_t mask = n->slot_count - 1;
    for (size_t at = hash_name(name) & mask; n->slots[at]; at = (at + 1) & mask)
        if (!strcmp(name_of(ctx, n->slots[at] - 1), name)) return n->slots[at] - 1;
    return -1;
}

static void place(fanin__names *n, const char *name, int index) {
    size_t mask = n->slot_count - 1, at = hash_name(name) & mask;
    while (n->slots[at]) at = (at + 1) & mask;
    n->slots[at] = index + 1;
}

bool fanin__names_add(fanin__names *n, fanin__name_of name_of, const void *ctx) {
    if (((size_t)n->count + 1) * 3 > n->slot_count * 2) {
        size_t slot_count = n->slot_count ? 2 * n->slot_count : 16;
        int *slots = fanin_calloc(slot_count, sizeof *slots);
        if (!slots) return false;
        fanin_free(n->slots);
        n->slots = slots;
        n->slot_count = slot_count;
        for (int i = 0; i < n->count; i++) place(n, name_of(ctx, i), i);
    }
    place(n, name_of(ctx, n->count), n->count);
    n->count++;
    return true;
}

void fanin__names_fini(fanin__names *n) {
    fanin_free(n->slots);
    *n = (fanin__names){0};
}
