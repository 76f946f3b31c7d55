/* compat_torch_model.c - a whole model: construct every module, then what its class does on top.
 *
 * The second pass is isinstance() over self.modules(), so it depends on the kinds only. Norms and
 * the rest get the constants they already have.
 */
#include <string.h>

#include "random/compat.h"

static const fanin_torch_recipe recipes[] = {
    {"default", "modules as their constructors leave them", false, false, false, 0, false},
    {"resnet", "torchvision resnet, resnext, wide_resnet: convolutions kaiming_normal_ (fan_out)",
     true, true, false, 0, false},
    {"vgg", "torchvision vgg: convolutions kaiming_normal_ (fan_out), linear normal_(0, 0.01)",
     true, true, true, 0.01, true},
    {"mobilenet", "torchvision mobilenet_v2 and v3: as vgg", true, true, true, 0.01, true},
    {"densenet", "torchvision densenet: convolutions kaiming_normal_ (fan_in)", true, false, false,
     0, true},
};

const fanin_torch_recipe *fanin_torch_recipe_table(size_t i) {
    return i < FANIN_COUNT(recipes) ? &recipes[i] : NULL;
}

const fanin_torch_recipe *fanin_torch_recipe_find(const char *name) {
    for (size_t i = 0; i < FANIN_COUNT(recipes); i++)
        if (fanin__strcasecmp(recipes[i].name, name) == 0) return &recipes[i];
    return NULL;
}

static const fanin_torch_parameter *find(const fanin_torch_submodule *m, const char *name) {
    for (size_t i = 0; i < m->count; i++)
        if (strcmp(m->parameters[i].name, name) == 0) return &m->parameters[i];
    return NULL;
}

static fanin_status zero(const fanin_torch_parameter *p) {
    size_t n;
    if (!p || !p->out) return FANIN_OK;
    if (!fanin__shape_count(p->dims, p->rank, &n)) return FANIN_SHAPE;
    memset(p->out, 0, n * fanin_dtype_size(p->dtype));
    return FANIN_OK;
}

static fanin_status again(fanin_torch_rng *rng, const fanin_torch_recipe *recipe,
                          const fanin_torch_submodule *m) {
    const fanin_torch_parameter *w = find(m, "weight"), *bias = find(m, "bias");
    size_t n;
    if (m->kind == FANIN_TORCH_CONV && recipe->conv && w && w->rank == 4) {
        FANIN_TRY(fanin_torch_kaiming_normal(rng, w->dtype, w->dims, w->rank, 0,
                                             recipe->conv_fan_out, "relu", w->out));
        return recipe->conv_bias_zero ? zero(bias) : FANIN_OK;
    }
    if (m->kind != FANIN_TORCH_LINEAR || !w) return FANIN_OK;
    if (recipe->linear_std > 0) {
        if (!fanin__shape_count(w->dims, w->rank, &n)) return FANIN_SHAPE;
        FANIN_TRY(fanin_torch_normal(rng, w->dtype, n, 0, recipe->linear_std, w->out));
    }
    return recipe->linear_bias_zero ? zero(bias) : FANIN_OK;
}

fanin_status fanin_torch_model_init(fanin_torch_rng *rng, const fanin_torch_recipe *recipe,
                                    const fanin_torch_submodule *modules, size_t count,
                                    fanin_err *err) {
    for (size_t i = 0; i < count; i++) {
        if (fanin_interrupted()) return fanin_err_set(err, FANIN_INTERRUPTED, "interrupted");
        FANIN_TRY(fanin_torch_module_init(rng, modules[i].kind, modules[i].parameters,
                                          modules[i].count, err));
    }
    for (size_t i = 0; recipe && i < count; i++) {
        fanin_status status = again(rng, recipe, &modules[i]);
        if (status != FANIN_OK)
            return fanin_err_set(err, status, "module %zu (%s): %s", i,
                                 fanin_torch_module_name(modules[i].kind),
                                 fanin_status_text(status));
    }
    return FANIN_OK;
}
