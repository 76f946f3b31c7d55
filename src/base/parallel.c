/* parallel.c - parallel_for over a small pool of POSIX threads.
 *
 * Usage assumed: coarse loops (tens of microseconds and more), called from one thread at a
 * time; a second caller or a nested call runs its loop alone. Ranges are fixed by (n, grain,
 * threads); work is handed out range by range through one counter, so an idle thread takes
 * the next. After fork the child has no workers: a process-id check starts new ones. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/base.h"

enum { THREADS_MAX = 256 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t start, done;
    pid_t owner;
    unsigned workers;    /* threads running besides the caller */
    uint64_t generation; /* bumped for each loop */
    unsigned wanted, busy;
    size_t n, chunk;
    atomic_size_t next;
    fanin_range_fn body;
    void *arg;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .start = PTHREAD_COND_INITIALIZER,
          .done = PTHREAD_COND_INITIALIZER};

static pthread_mutex_t entry = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local bool inside;
static unsigned threads_wanted;
static fanin_parallel_fn replacement;
static void *replacement_ctx;

unsigned fanin_threads(void) {
    if (threads_wanted) return threads_wanted;
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : (unsigned)n;
}

void fanin_threads_set(unsigned threads) {
    threads_wanted = threads > THREADS_MAX ? THREADS_MAX : threads;
}

void fanin_parallel_set(fanin_parallel_fn fn, void *ctx) {
    replacement = fn;
    replacement_ctx = ctx;
}

static void take_ranges(void) {
    for (;;) {
        size_t begin = atomic_fetch_add(&pool.next, pool.chunk);
        if (begin >= pool.n) return;
        size_t left = pool.n - begin;
        pool.body(pool.arg, begin, begin + (left < pool.chunk ? left : pool.chunk));
    }
}

static void *worker(void *arg) {
    unsigned index = (unsigned)(uintptr_t)arg;
    uint64_t seen = 0;
    inside = true;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.generation == seen) pthread_cond_wait(&pool.start, &pool.lock);
        seen = pool.generation;
        if (index >= pool.wanted) continue;
        pthread_mutex_unlock(&pool.lock);
        take_ranges();
        pthread_mutex_lock(&pool.lock);
        if (--pool.busy == 0) pthread_cond_signal(&pool.done);
    }
    return NULL;
}

/* Under `entry`. Returns how many workers can be had, at most `wanted`. */
static unsigned start_workers(unsigned wanted) {
    if (pool.owner != getpid()) { /* first use, or a forked child */
        pool.owner = getpid();
        pool.workers = 0;
        pool.generation = 0;
        pthread_mutex_init(&pool.lock, NULL);
        pthread_cond_init(&pool.start, NULL);
        pthread_cond_init(&pool.done, NULL);
    }
    while (pool.workers < wanted) {
        pthread_t thread;
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        /* A new worker must not miss the next loop: generation only moves under the lock, and
         * it starts from 0 < generation of that loop; a stale generation is skipped because
         * wanted is 0 between loops. */
        int failed = pthread_create(&thread, &attr, worker, (void *)(uintptr_t)pool.workers);
        pthread_attr_destroy(&attr);
        if (failed) break;
        pool.workers++;
    }
    return pool.workers < wanted ? pool.workers : wanted;
}

void fanin_parallel_for(size_t n, size_t grain, fanin_range_fn body, void *arg) {
    if (n == 0) return;
    if (grain == 0) grain = 1;
    if (replacement) {
        replacement(replacement_ctx, n, grain, body, arg);
        return;
    }
    if (inside) { /* before asking how many threads there are, which is a system call */
        body(arg, 0, n);
        return;
    }
    unsigned threads = fanin_threads();
    size_t grains = n / grain + (n % grain != 0);
    if (threads > grains) threads = (unsigned)grains;
    if (threads <= 1 || pthread_mutex_trylock(&entry) != 0) {
        body(arg, 0, n);
        return;
    }
    unsigned helpers = start_workers(threads - 1);
    /* Four ranges a thread: enough to level uneven speed, few enough to cost nothing. */
    size_t pieces = (size_t)threads * 4;
    size_t grains_each = grains / pieces + (grains % pieces != 0);
    pthread_mutex_lock(&pool.lock);
    pool.n = n;
    pool.chunk = grains_each * grain;
    atomic_store(&pool.next, 0);
    pool.body = body;
    pool.arg = arg;
    pool.wanted = pool.busy = helpers;
    pool.generation++;
    pthread_cond_broadcast(&pool.start);
    pthread_mutex_unlock(&pool.lock);
    inside = true;
    take_ranges();
    inside = false;
    pthread_mutex_lock(&pool.lock);
    while (pool.busy > 0) pthread_cond_wait(&pool.done, &pool.lock);
    pool.wanted = 0;
    pthread_mutex_unlock(&pool.lock);
    pthread_mutex_unlock(&entry);
}
