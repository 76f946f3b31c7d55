/* torch_model.c - built-ins whose torchvision constructor goes over its modules once more.
 *
 * The scheme `torch` on the stream `torch` is a constructor. For resnet:18 ... 152, vgg and densenet
 * that is torchvision's class: the lines below say what its second pass leaves in every tensor, and
 * the drawing runs through fanin_torch_model_init. */
#include <stdio.h>
#include <string.h>

#include "scheme/plan.h"

/* The recipe of a built-in's class; CIFAR's resnets have three stages and no such class. */
const fanin_torch_recipe *fanin__torch_recipe_of(const fanin_graph *graph) {
    char name[32];
    if (strcmp(graph->producer, "fanin") != 0) return NULL;
    snprintf(name, sizeof name, "%.*s", (int)(strcspn(graph->name, ":,") % sizeof name),
             graph->name);
    const fanin_torch_recipe *recipe = fanin_torch_recipe_find(name);
    if (!recipe || strcmp(recipe->name, "default") == 0) return NULL;
    if (strcmp(recipe->name, "resnet") == 0 && fanin_graph_find(graph, "layer4.0.conv1.weight") < 0)
        return NULL;
    return recipe;
}

static fanin_status add(fanin__scheme *scheme, const char *classes, const char *rule,
                        fanin_err *err) {
    fanin__line line = {0};
    FANIN_TRY(fanin__classes_parse(classes, &line.classes, err));
    line.rule = fanin__scheme_text(scheme, rule, strlen(rule));
    if (!line.rule) return fanin_err_set(err, FANIN_NOMEM, "no memory for a scheme");
    return fanin__scheme_add(scheme, line, err);
}

/* Convolutions of densenet have no biases, so that one line serves the biases of both kinds. */
fanin_status fanin__torch_recipe_lines(const fanin_torch_recipe *recipe, fanin__scheme *scheme,
                                       fanin_err *err) {
    char normal[48];
    snprintf(normal, sizeof normal, "normal:std=%g", recipe->linear_std);
    if (recipe->conv)
        FANIN_TRY(add(scheme, "conv conv_depthwise",
                      recipe->conv_fan_out ? "he_normal:mode=fan_out,fans=torch"
                                           : "he_normal:mode=fan_in,fans=torch",
                      err));
    if (recipe->linear_std > 0) FANIN_TRY(add(scheme, "dense output", normal, err));
    return recipe->linear_bias_zero ? add(scheme, "bias", "zeros", err) : FANIN_OK;
}
