#include <stdlib.h>
#include <string.h>

#include <fanin/compute.h>
#include <fanin/random.h>

#include "cli.h"

extern char **environ;

static const char *level_name(int level) {
    return level >= 2 ? "avx512" : level == 1 ? "avx2" : "ref";
}

/* Variables that change what the libraries underneath do. */
static bool matters(const char *entry) {
    static const char *const prefixes[] = {"FANIN_",  "OMP_",  "GOMP_",     "KMP_",
                                           "ONEDNN_", "DNNL_", "OPENBLAS_", "MKL_"};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (!strncmp(entry, prefixes[i], strlen(prefixes[i]))) return true;
    return false;
}

static json_t *environment(void) {
    json_t *object = json_object();
    for (char **e = environ; *e; e++) {
        const char *equals = strchr(*e, '=');
        if (!equals || !matters(*e)) continue;
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)(equals - *e), *e);
        json_object_set_new(object, name, json_string(equals + 1));
    }
    return object;
}

/* Kernel slots of both rooms under one face. */
typedef struct slot {
    const char *room, *name, *variant, *reason;
} slot;

static int slot_count(void) { return fanin_random_slot_count() + fanin_compute_slot_count(); }

static slot slot_at(int i) {
    int random = fanin_random_slot_count();
    if (i < random) {
        fanin_random_slot_info s = fanin_random_slot(i);
        return (slot){"random", s.name, s.variant, s.reason};
    }
    fanin_compute_slot_info s = fanin_compute_slot(i - random);
    return (slot){"compute", s.name, s.variant, s.reason};
}

static json_t *slots_json(void) {
    json_t *list = json_array();
    for (int i = 0; i < slot_count(); i++) {
        slot s = slot_at(i);
        json_t *o = json_object();
        json_object_set_new(o, "room", json_string(s.room));
        json_object_set_new(o, "name", json_string(s.name));
        json_object_set_new(o, "variant", json_string(s.variant));
        json_object_set_new(o, "reason", json_string(s.reason));
        json_array_append_new(list, o);
    }
    return list;
}

/* Slots of one room that run the same variant share a line. */
static void print_slots(void) {
    for (int i = 0; i < slot_count();) {
        slot first = slot_at(i);
        int column = printf("%-8s %-7s", first.room, first.variant);
        for (; i < slot_count(); i++) {
            slot s = slot_at(i);
            if (strcmp(s.room, first.room) != 0 || strcmp(s.variant, first.variant) != 0) break;
            if (column + (int)strlen(s.name) + 2 > 80) column = printf("\n%-16s", "") - 1;
            column += printf(" %s", s.name);
        }
        printf("\n");
        if (first.reason[0]) printf("%-16s (%s)\n", "", first.reason);
    }
}

int verb_doctor(cli *c) {
    const cli_option options[] = {CLI_END};
    if (!cli_parse(c, options, 0, 0)) return c->exit_code;
    json_t *env = environment();
    fanin_compute_backend_info backend = fanin_compute_backend();
    if (c->json) {
        json_t *object = json_object();
        json_object_set_new(object, "version", json_string(fanin_version()));
        json_object_set_new(object, "cpu", json_string(level_name(fanin_cpu_level())));
        json_object_set_new(object, "threads", json_integer(fanin_threads()));
        json_object_set_new(object, "library", json_string(backend.library));
        json_object_set_new(object, "library_isa", json_string(backend.isa));
        json_object_set_new(object, "runtime", json_string(backend.runtime));
        json_object_set_new(object, "lapack", json_string(fanin_lapack_info()));
        json_object_set_new(object, "slots", slots_json());
        json_object_set_new(object, "environment", env);
        return cli_json(c, object);
    }
    printf("fanin %s\n", fanin_version());
    printf("processor    %s (FANIN_CPU=ref|avx2|avx512 caps it)\n", level_name(fanin_cpu_level()));
    printf("threads      %u\n", fanin_threads());
    printf("library      %s, %s; %s\n", backend.library, backend.isa, backend.runtime);
    const char *lapack = fanin_lapack_info();
    printf("LAPACK       %s\n", lapack[0] ? lapack : "none (package libopenblas0)");
    if (strstr(lapack, "Prescott") && fanin_cpu_level() >= FANIN_CPU_AVX2)
        printf("             (does not know this processor; OPENBLAS_CORETYPE=%s is some twice as "
               "fast)\n",
               fanin_cpu_level() >= FANIN_CPU_AVX512 ? "SkylakeX" : "Haswell");
    print_slots();
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
        printf("environment  %s=%s\n", name, json_string_value(value));
    json_decref(env);
    return 0;
}
