/* faults.h - lets the n-th request for memory fail, for every n in turn: the call must answer NOMEM, give
 * back all that it took, and at the end of the sweep succeed.
 *
 *     static fanin_status once(void *arg) { ... return status; }   // frees what it made
 *     fault_sweep("reading", once, NULL);
 */
#ifndef FANIN_FAULTS_H
#define FANIN_FAULTS_H

#include <stdlib.h>

#include "fanin/base.h"
#include "testing.h"

typedef struct fault_state {
    size_t seen, fail_at; /* requests, and the one that fails */
    long live;            /* pieces that are out */
} fault_state;

static void *fault_resize(void *ctx, void *p, size_t size) {
    fault_state *s = ctx;
    if (s->seen++ == s->fail_at) return NULL;
    void *q = realloc(p, size);
    if (!p && q) s->live++;
    return q;
}

static void fault_release(void *ctx, void *p) {
    ((fault_state *)ctx)->live--;
    free(p);
}

/* Returns how many requests the call makes when all is well. */
static size_t fault_sweep(const char *what, fanin_status (*once)(void *arg), void *arg) {
    fault_state s = {.seen = 0};
    const fanin_allocator allocator = {fault_resize, fault_release, &s};
    for (size_t n = 0; n < 100000; n++) {
        s = (fault_state){.fail_at = n};
        fanin_allocator_set(&allocator);
        fanin_status status = once(arg);
        fanin_allocator_set(NULL);
        bool reached = s.seen > n;
        if (s.live != 0) fail_msg("%s: request %zu fails: %ld pieces are lost", what, n, s.live);
        if (status != (reached ? FANIN_NOMEM : FANIN_OK))
            fail_msg("%s: request %zu fails: %s", what, n, fanin_status_name(status));
        if (!reached) return n;
    }
    fail_msg("%s: more than 100000 requests", what);
    return 0;
}

#endif
