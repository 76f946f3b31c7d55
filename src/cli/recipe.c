#include "recipe.h"

int cli_recipe_check(cli *c, const cli_recipe *r) {
    fanin_dtype dtype = r->dtype ? fanin_dtype_parse(r->dtype) : FANIN_F32;
    return dtype == FANIN_F32 || dtype == FANIN_BF16
               ? 0
               : cli_usage(c, "--dtype %s: expected f32 or bf16", r->dtype);
}

void cli_recipe_apply(const cli_recipe *r, fanin_train_options *o) {
    o->loss = r->loss;
    o->dtype = r->dtype ? fanin_dtype_parse(r->dtype) : FANIN_F32;
    o->schedule = r->schedule;
    o->augment = r->augment;
    o->groups = r->groups.items;
    o->group_count = r->groups.count;
    o->clip_value = r->clip_value;
    o->clip_norm = r->clip_norm;
    o->clip_agc = r->clip_agc;
    o->gradient_noise = r->noise;
    o->l1 = r->l1;
    o->l2 = r->l2;
    o->decay = r->decay;
    o->activity_l1 = r->activity_l1;
    o->max_norm = r->max_norm;
}

void cli_recipe_fini(cli_recipe *r) { cli_list_fini(&r->groups); }
