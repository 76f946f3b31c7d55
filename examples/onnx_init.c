/* Initialises an ONNX model: onnx_init MODEL.onnx OUT.safetensors
 *     cc onnx_init.c $(pkg-config --cflags --libs fanin-net) -o onnx_init */
#include <fanin/format.h>
#include <fanin/scheme.h>
#include <stdio.h>

int main(int argc, char **argv) {
    fanin_graph *graph = NULL;
    fanin_plan *plan = NULL;
    fanin_err err = {0};
    const fanin_init_options options = {.scheme = "he", .seed = 1};
    if (argc != 3) return 2;
    int failed = fanin_graph_load(argv[1], &graph, &err) ||
                 fanin_plan_create(graph, &options, &plan, &err) ||
                 fanin_plan_write(plan, argv[2], NULL, &err);
    if (failed) fprintf(stderr, "%s\n", err.message);
    fanin_plan_destroy(plan);
    fanin_graph_destroy(graph);
    return failed;
}
