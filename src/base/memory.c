/* memory.c - the process-wide allocator. State lives behind public functions only, so that a
 * program that links both shared libraries has one of it. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static void *libc_resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    return realloc(p, size);
}

static void libc_release(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static const fanin_allocator libc_allocator = {libc_resize, libc_release, NULL};
static fanin_allocator current = {libc_resize, libc_release, NULL};

void fanin_allocator_set(const fanin_allocator *allocator) {
    current = allocator ? *allocator : libc_allocator;
}

void *fanin_malloc(size_t size) { return current.resize(current.ctx, NULL, size ? size : 1); }

void *fanin_calloc(size_t count, size_t size) {
    size_t bytes;
    if (!fanin__size_mul(count, size, &bytes)) return NULL;
    /* libc knows which pages the system has just cleared, and need not touch them */
    if (current.resize == libc_resize) return calloc(bytes ? bytes : 1, 1);
    void *p = fanin_malloc(bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *fanin_realloc(void *p, size_t count, size_t size) {
    size_t bytes;
    if (!fanin__size_mul(count, size, &bytes)) return NULL;
    return current.resize(current.ctx, p, bytes ? bytes : 1);
}

void fanin_free(void *p) {
    if (p) current.release(current.ctx, p);
}

/* The pointer that the allocator gave is kept just below the aligned one. */
static void *aligned(size_t size, bool zero) {
    size_t bytes;
    if (!fanin__size_add(size, 64 + sizeof(void *), &bytes)) return NULL;
    unsigned char *base = zero ? fanin_calloc(bytes, 1) : fanin_malloc(bytes);
    if (!base) return NULL;
    uintptr_t at = ((uintptr_t)base + sizeof(void *) + 63) & ~(uintptr_t)63;
    unsigned char *p = base + (at - (uintptr_t)base);
    memcpy(p - sizeof(void *), &base, sizeof(void *));
    return p;
}

void *fanin_malloc_aligned(size_t size) { return aligned(size, false); }
void *fanin_calloc_aligned(size_t size) { return aligned(size, true); }

void fanin_free_aligned(void *p) {
    if (!p) return;
    void *base;
    memcpy(&base, (unsigned char *)p - sizeof(void *), sizeof(void *));
    fanin_free(base);
}
