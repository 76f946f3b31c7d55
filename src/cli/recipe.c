#include "recipe.h"

void cli_recipe_apply(const cli_recipe *r, fanin_train_options *o) {
    o->loss = r->loss;
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
