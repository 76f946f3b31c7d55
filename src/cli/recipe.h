/* recipe.h - the options of a training step, the same for train and compare: loss, schedule, groups, clipping,
 * penalties. */
#ifndef FANIN_CLI_RECIPE_H
#define FANIN_CLI_RECIPE_H

#include <fanin/train.h>

#include "cli.h"

typedef struct cli_recipe {
    const char *loss, *schedule, *augment, *dtype;
    cli_list groups;
    double clip_value, clip_norm, clip_agc, noise, l1, l2, decay, activity_l1, max_norm;
} cli_recipe;

/* One option a line. */
/* clang-format off */
#define CLI_RECIPE_OPTIONS(r) \
    {"loss", 0, CLI_TEXT, &(r).loss, "NAME[:k=v]", "fanin list losses"}, \
    {"dtype", 0, CLI_TEXT, &(r).dtype, "f32|bf16", "bf16: operands of products and convolutions"}, \
    {"schedule", 0, CLI_TEXT, &(r).schedule, "NAME[:k=v]", \
     "as cosine:warmup=100; fanin list schedules"}, \
    {"augment", 0, CLI_TEXT, &(r).augment, "k=v,...", "of images: pad=4,flip=1; mixup=0.2"}, \
    {"group", 0, CLI_LIST, &(r).groups, "PATTERN=lr:X,decay:Y", \
     "multipliers by glob or classes; repeatable"}, \
    {"l1", 0, CLI_NUMBER, &(r).l1, "X", "penalty X |w| on weights (not biases and norms)"}, \
    {"l2", 0, CLI_NUMBER, &(r).l2, "X", "penalty X/2 w^2, likewise"}, \
    {"decay", 0, CLI_NUMBER, &(r).decay, "X", "decoupled: w *= 1 - lr X, likewise"}, \
    {"activity-l1", 0, CLI_NUMBER, &(r).activity_l1, "X", "penalty X |h| on all activations"}, \
    {"max-norm", 0, CLI_NUMBER, &(r).max_norm, "X", "of the weights into a unit"}, \
    {"clip-value", 0, CLI_NUMBER, &(r).clip_value, "X", "each element of a gradient"}, \
    {"clip-norm", 0, CLI_NUMBER, &(r).clip_norm, "X", "norm of all gradients together"}, \
    {"clip-agc", 0, CLI_NUMBER, &(r).clip_agc, "X", \
     "|g| of a unit to X |w| (adaptive gradient clipping, 0.01)"}, \
    {"gradient-noise", 0, CLI_NUMBER, &(r).noise, "X", "variance X / (1 + step)^0.55"}
/* clang-format on */

/* Exit code 2 and a sentence for a --dtype that training has not, else 0. */
int cli_recipe_check(cli *c, const cli_recipe *r);
/* Sets the options' fields; the lists stay the recipe's. */
void cli_recipe_apply(const cli_recipe *r, fanin_train_options *o);
void cli_recipe_fini(cli_recipe *r);

#endif
