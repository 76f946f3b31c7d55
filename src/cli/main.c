/* main.c - finds the verb, sets up the process, hands over. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fanin/compute.h>

#include "cli.h"

static const cli_verb verbs[] = {
#define VERB(name, usage, summary, example) {#name, usage, summary, example, verb_##name},
#include "verbs.def"
#undef VERB
};
enum { VERB_COUNT = sizeof verbs / sizeof verbs[0] };

/* The first signal asks for a clean stop; the second does what it always did. */
static void stop(int sig) {
    fanin_interrupt(true);
    signal(sig, SIG_DFL);
}

/* FANIN_FAIL_ALLOC=n fails the n-th allocation, "n+" all from the n-th on: for tests of what the
 * program does without memory. */
static struct {
    unsigned long long at, count;
    int onwards;
} faults;

static void *faulty_resize(void *ctx, void *p, size_t size) {
    (void)ctx;
    unsigned long long n = __atomic_add_fetch(&faults.count, 1, __ATOMIC_RELAXED);
    if (n == faults.at || (faults.onwards && n > faults.at)) return NULL;
    return realloc(p, size);
}

static void faulty_release(void *ctx, void *p) {
    (void)ctx;
    free(p);
}

static void inject_faults(void) {
    const char *text = getenv("FANIN_FAIL_ALLOC");
    if (!text || !*text) return;
    char *end;
    faults.at = strtoull(text, &end, 10);
    faults.onwards = *end == '+';
    fanin_allocator_set(&(fanin_allocator){faulty_resize, faulty_release, NULL});
}

/* How threads wait is read when the OpenMP runtime is loaded, which was before main: so it is set, and the
 * program starts itself again, once. */
static void wait_briefly(char **argv) {
    if (fanin_compute_set_waiting())
        execv("/proc/self/exe", argv); /* on failure the threads spin for longer, no more */
}

static void print_help(FILE *f) {
    fprintf(
        f,
        "usage: fanin VERB [ARGUMENTS] [OPTIONS]\n\n"
        "Initial weights of deep networks: written, explained, predicted, measured, proved.\n\n");
    for (int i = 0; i < VERB_COUNT; i++)
        fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
    fprintf(f, "\n  fanin VERB --help tells a verb's options and shows an example.\n"
               "  fanin --version prints the version.\n\n"
               "example:\n  fanin init mlp:784-1000x5-10,act=tanh --scheme xavier -o "
               "weights.safetensors\n");
}

static const cli_verb *find_verb(const char *name) {
    for (int i = 0; i < VERB_COUNT; i++)
        if (!strcmp(verbs[i].name, name)) return &verbs[i];
    return NULL;
}

int main(int argc, char **argv) {
    wait_briefly(argv);
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    inject_faults();
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        if (argc > 2 && find_verb(argv[2])) {
            char *help[] = {argv[2], "--help", NULL};
            cli c = {.verb = find_verb(argv[2]), .argc = 2, .argv = help};
            return c.verb->run(&c);
        }
        print_help(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("fanin %s\n", fanin_version());
        return 0;
    }
    if (!strcmp(argv[1], "--verbs")) { /* for completion and the manual */
        for (int i = 0; i < VERB_COUNT; i++) puts(verbs[i].name);
        return 0;
    }
    cli c = {.verb = find_verb(argv[1]), .argc = argc - 1, .argv = argv + 1};
    if (!c.verb) {
        fprintf(stderr, "fanin: no verb '%s'; fanin --help lists them\n", argv[1]);
        return 2;
    }
    int code = c.verb->run(&c);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0 && errno != EPIPE) {
        fprintf(stderr, "fanin: cannot write to standard output: %s\n", strerror(errno));
        code = 5;
    }
    return code;
}
