/* Whole checkpoints to files, as JSON, ratios within one run.
 *
 *     build/bench/bench_init [FOLDER on a disk] [LAYERS]
 *
 * mlp: mlp:8192-8192x3-8192 with he on one thread into /dev/shm (1.07 GB), beside torch's kaiming_normal_ of
 * the same matrices in memory on one thread (bench/torch_init.py, where /usr/bin/python3 has torch).
 * llama: a template of Llama 2 7B's shapes in bf16 cut to LAYERS of its 32 (4: 2.1 GB) into FOLDER
 * (default .), beside the same bytes written raw and synced, and beside the fill alone. Every figure is
 * the best of three rounds, each in a process of its own, whose peak memory is told. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "fanin/scheme.h"

enum { ROUNDS = 3, CHUNK = 8 << 20 };

typedef struct result {
    double seconds, cpu, peak_mb;
    bool ok;
} result;

typedef struct task {
    const char *model, *layout, *path;
    unsigned threads;
} task;

/* ---- what is timed: each runs in a child ------------------------------------------------------- */

typedef fanin_status body(const task *t, fanin_plan *plan, fanin_err *err);

static fanin_status write_plan(const task *t, fanin_plan *plan, fanin_err *err) {
    return fanin_plan_write(plan, t->path, NULL, err);
}

static fanin_status each_chunk(fanin_plan *plan, int fd, fanin_err *err) {
    char *buffer = fanin_malloc_aligned(CHUNK);
    if (!buffer) return FANIN_NOMEM;
    memset(buffer, 0x3c, CHUNK);
    fanin_status status = FANIN_OK;
    for (int i = 0; i < fanin_plan_count(plan); i++) {
        const fanin_plan_row *r = fanin_plan_row_at(plan, i);
        size_t n = 0, item = fanin_dtype_size(r->dtype);
        if (!fanin__shape_count(r->tensor.dims, r->tensor.rank, &n)) return FANIN_SHAPE;
        for (size_t at = 0, run; at < n && status == FANIN_OK; at += run) {
            run = n - at < CHUNK / item ? n - at : CHUNK / item;
            if (fd < 0)
                status = fanin_plan_fill(plan, i, at, run, r->dtype, buffer, err);
            else if (write(fd, buffer, run * item) != (ssize_t)(run * item))
                status = fanin_err_set(err, FANIN_IO, "the raw write failed");
        }
    }
    fanin_free_aligned(buffer);
    return status;
}

static fanin_status fill_only(const task *t, fanin_plan *plan, fanin_err *err) {
    (void)t;
    return each_chunk(plan, -1, err);
}

static fanin_status raw_write(const task *t, fanin_plan *plan, fanin_err *err) {
    int fd = open(t->path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return fanin_err_set(err, FANIN_IO, "%s cannot be written", t->path);
    fanin_status status = each_chunk(plan, fd, err);
    if (fsync(fd) != 0) status = FANIN_IO;
    close(fd);
    return status;
}

static double child(const task *t, body *run) {
    fanin_graph *graph;
    fanin_plan *plan;
    fanin_err err = {0};
    fanin_init_options o = {.scheme = "he", .seed = 1, .layout = t->layout};
    fanin_threads_set(t->threads);
    double start = fanin__seconds();
    fanin_status status = fanin_graph_load(t->model, &graph, &err);
    if (status == FANIN_OK) status = fanin_plan_create(graph, &o, &plan, &err);
    if (status == FANIN_OK) status = run(t, plan, &err);
    if (status == FANIN_OK) return fanin__seconds() - start;
    fprintf(stderr, "bench_init: %s: %s\n", t->model, err.message);
    return -1;
}

static result once(const task *t, body *run) {
    int channel[2];
    result r = {0};
    struct rusage usage;
    if (pipe(channel) != 0) return r;
    pid_t pid = fork();
    if (pid == 0) {
        double seconds = child(t, run);
        _exit(write(channel[1], &seconds, sizeof seconds) == sizeof seconds ? 0 : 1);
    }
    close(channel[1]);
    r.ok = pid > 0 && read(channel[0], &r.seconds, sizeof r.seconds) == sizeof r.seconds;
    close(channel[0]);
    if (pid > 0) wait4(pid, NULL, 0, &usage);
    r.ok = r.ok && r.seconds >= 0;
    if (r.ok) {
        r.cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
        r.peak_mb = (double)usage.ru_maxrss * 1024e-6;
    }
    unlink(t->path);
    return r;
}

static void better(result *best, result r) {
    if (!r.ok) return;
    if (!best->ok || r.seconds < best->seconds) best->seconds = r.seconds;
    if (!best->ok || r.cpu < best->cpu) best->cpu = r.cpu;
    if (r.peak_mb > best->peak_mb) best->peak_mb = r.peak_mb;
    best->ok = true;
}

/* ---- the two ----------------------------------------------------------------------------------- */

static bool torch_seconds(const char *self, double *seconds, double *cpu) {
    char command[1200], line[256] = "";
    const char *slash = strrchr(self, '/');
    snprintf(command, sizeof command,
             "/usr/bin/python3 '%.*s/../../bench/torch_init.py' 4 8192 8192 2>/dev/null",
             slash ? (int)(slash - self) : 1, slash ? self : ".");
    FILE *f = popen(command, "r");
    if (!f) return false;
    bool fine = fgets(line, sizeof line, f) &&
                sscanf(line, "{\"seconds\": %lf, \"cpu_seconds\": %lf", seconds, cpu) == 2;
    return pclose(f) == 0 && fine;
}

static bool mlp(const char *self) {
    task t = {"mlp:8192-8192x3-8192", NULL, "/dev/shm/fanin-bench.safetensors", 1};
    result ours = {0};
    for (int i = 0; i < ROUNDS; i++) better(&ours, once(&t, write_plan));
    if (!ours.ok) return false;
    printf("\"mlp\":{\"bytes\":1073872896,\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"peak_mb\":%.1f",
           ours.seconds, ours.cpu, ours.peak_mb);
    double seconds, cpu;
    if (torch_seconds(self, &seconds, &cpu))
        printf(
            ",\"torch_seconds\":%.3f,\"torch_cpu_seconds\":%.3f,\"ratio\":%.2f,\"cpu_ratio\":%.2f}",
            seconds, cpu, seconds / ours.seconds, cpu / ours.cpu);
    else
        printf(",\"skipped\":\"/usr/bin/python3 has no torch, or too little memory\"}");
    return true;
}

/* Header of a .safetensors of Llama 2's shapes; its values are a hole in the file. */
static bool write_template(const char *path, int layers, uint64_t *bytes) {
    enum { WIDTH = 4096, HIDDEN = 11008, VOCABULARY = 32000 };
    static const struct {
        const char *name;
        int rows, cols; /* cols 0: a vector; %d: one a layer */
    } shapes[] = {{"model.embed_tokens.weight", VOCABULARY, WIDTH},
                  {"model.layers.%d.self_attn.q_proj.weight", WIDTH, WIDTH},
                  {"model.layers.%d.self_attn.k_proj.weight", WIDTH, WIDTH},
                  {"model.layers.%d.self_attn.v_proj.weight", WIDTH, WIDTH},
                  {"model.layers.%d.self_attn.o_proj.weight", WIDTH, WIDTH},
                  {"model.layers.%d.mlp.gate_proj.weight", HIDDEN, WIDTH},
                  {"model.layers.%d.mlp.up_proj.weight", HIDDEN, WIDTH},
                  {"model.layers.%d.mlp.down_proj.weight", WIDTH, HIDDEN},
                  {"model.layers.%d.input_layernorm.weight", WIDTH, 0},
                  {"model.layers.%d.post_attention_layernorm.weight", WIDTH, 0},
                  {"model.norm.weight", WIDTH, 0},
                  {"lm_head.weight", VOCABULARY, WIDTH}};
    fanin__text header = {0};
    uint64_t at = 0;
    for (size_t i = 0; i < FANIN_COUNT(shapes); i++) {
        bool repeated = strchr(shapes[i].name, '%') != NULL;
        for (int k = 0; k < (repeated ? layers : 1); k++) {
            const char *mark = repeated ? strchr(shapes[i].name, '%') : shapes[i].name;
            uint64_t rows = (uint64_t)shapes[i].rows, cols = (uint64_t)shapes[i].cols;
            uint64_t size = 2 * rows * (cols ? cols : 1);
            fanin__text_printf(&header, "%s\"", at ? "," : "{");
            if (repeated)
                fanin__text_printf(&header, "%.*s%d%s", (int)(mark - shapes[i].name),
                                   shapes[i].name, k, mark + 2);
            else
                fanin__text_puts(&header, shapes[i].name);
            fanin__text_printf(&header, "\":{\"dtype\":\"BF16\",\"shape\":[%d", shapes[i].rows);
            if (cols) fanin__text_printf(&header, ",%d", shapes[i].cols);
            fanin__text_printf(&header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at,
                               (unsigned long long)(at + size));
            at += size;
        }
    }
    fanin__text_puts(&header, "}");
    while (header.length % 8) fanin__text_puts(&header, " ");
    if (header.failed) return false;
    uint64_t n = header.length;
    FILE *f = fopen(path, "wb");
    bool fine = f && fwrite(&n, 8, 1, f) == 1 && fwrite(header.data, 1, n, f) == n;
    fine = fine && fflush(f) == 0 && ftruncate(fileno(f), (off_t)(8 + n + at)) == 0;
    if (f) fine = fclose(f) == 0 && fine;
    fanin__text_fini(&header);
    *bytes = at;
    return fine;
}

static bool llama(const char *folder, int layers) {
    char model[512], path[512];
    uint64_t bytes;
    snprintf(model, sizeof model, "%.400s/fanin-bench-template.safetensors", folder);
    snprintf(path, sizeof path, "%.400s/fanin-bench.safetensors", folder);
    if (!write_template(model, layers, &bytes)) return false;
    task t = {model, "torch", path, 0};
    result ours = {0}, raw = {0}, fill = {0};
    for (int i = 0; i < ROUNDS; i++) {
        better(&raw, once(&t, raw_write));
        better(&ours, once(&t, write_plan));
        better(&fill, once(&t, fill_only));
    }
    unlink(model);
    double slower = raw.seconds > fill.seconds ? raw.seconds : fill.seconds;
    printf(",\"llama\":{\"bytes\":%llu,\"layers\":%d,\"threads\":%u,\"seconds\":%.3f,"
           "\"cpu_seconds\":%.3f,\"raw_seconds\":%.3f,\"fill_seconds\":%.3f,\"speed\":%.2f,"
           "\"peak_mb\":%.1f}",
           (unsigned long long)bytes, layers, fanin_threads(), ours.seconds, ours.cpu, raw.seconds,
           fill.seconds, slower / ours.seconds, ours.peak_mb);
    return ours.ok && raw.ok && fill.ok && ours.peak_mb < 300;
}

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : ".";
    int layers = argc > 2 ? atoi(argv[2]) : 4;
    if (layers < 1 || layers > 1000) return 2;
    setbuf(stdout, NULL); /* children inherit nothing to print */
    printf("{\"bench\":\"init\",");
    bool fine = mlp(argv[0]) && llama(folder, layers);
    printf("}\n");
    return fine ? 0 : 1;
}
