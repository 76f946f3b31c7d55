#include <stdlib.h>
#include <string.h>

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

int verb_doctor(cli *c) {
    const cli_option options[] = {CLI_END};
    if (!cli_parse(c, options, 0, 0)) return c->exit_code;
    json_t *env = environment();
    if (c->json) {
        json_t *object = json_object();
        json_object_set_new(object, "version", json_string(fanin_version()));
        json_object_set_new(object, "cpu", json_string(level_name(fanin_cpu_level())));
        json_object_set_new(object, "threads", json_integer(fanin_threads()));
        json_object_set_new(object, "environment", env);
        return cli_json(c, object);
    }
    printf("fanin %s\n", fanin_version());
    printf("processor    %s (FANIN_CPU=ref|avx2|avx512 caps it)\n", level_name(fanin_cpu_level()));
    printf("threads      %u\n", fanin_threads());
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value)
        printf("environment  %s=%s\n", name, json_string_value(value));
    json_decref(env);
    return 0;
}
