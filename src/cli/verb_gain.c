#include <fanin/activation.h>
#include <fanin/theory.h>
#include <math.h>

#include "cli.h"

static json_t *object(const fanin_activation *act, const fanin_gain *g) {
    json_t *o = json_object();
    json_object_set_new(o, "activation", cli_text(fanin_activation_name(act)));
    json_object_set_new(o, "mean", cli_number(g->mean));
    json_object_set_new(o, "second_moment", cli_number(g->second_moment));
    json_object_set_new(o, "gain", cli_number(g->gain));
    json_object_set_new(o, "derivative_second_moment", cli_number(g->derivative_second_moment));
    json_object_set_new(o, "derivative_gain", cli_number(g->derivative_gain));
    json_object_set_new(o, "critical_sigma_w", cli_number(g->critical_sigma_w));
    json_object_set_new(o, "nf_gamma", cli_number(g->nf_gamma));
    json_object_set_new(o, "torch_gain", cli_number(g->torch_gain));
    json_object_set_new(o, "source", cli_text(g->closed_form ? "closed form" : "quadrature"));
    json_object_set_new(o, "pairs_with", cli_text(fanin_activation_pairs_with(act)));
    const char *paper = fanin_activation_paper(act);
    json_object_set_new(o, "paper", cli_text(paper[0] ? paper : NULL));
    return o;
}

static void line(const char *name, double value, const char *what) {
    if (isfinite(value))
        printf("%-26s %-18.13g %s\n", name, value, what);
    else
        printf("%-26s %-18s %s\n", name, isinf(value) ? "infinite" : "-", what);
}

static void print(const fanin_activation *act, const fanin_gain *g) {
    const char *paper = fanin_activation_paper(act);
    printf("%s, inputs N(0, 1), by %s\n\n", fanin_activation_name(act),
           g->closed_form ? "closed form" : "quadrature");
    line("mean", g->mean, "E f");
    line("second moment", g->second_moment, "E f^2");
    line("gain", g->gain, "1/sqrt(E f^2): std = gain/sqrt(fan_in) keeps the signal");
    line("derivative second moment", g->derivative_second_moment, "E f'^2");
    line("derivative gain", g->derivative_gain, "1/sqrt(E f'^2): keeps gradients");
    line("critical sigma_w", g->critical_sigma_w, "on the edge of chaos without biases");
    line("NF gamma", g->nf_gamma, "1/sqrt(Var f), normaliser-free nets");
    line("torch gain", g->torch_gain, "torch.nn.init.calculate_gain");
    printf("\npairs with %s%s%s%s\n", fanin_activation_pairs_with(act), paper[0] ? " (" : "", paper,
           paper[0] ? ")" : "");
}

int verb_gain(cli *c) {
    const cli_option options[] = {CLI_END};
    if (!cli_parse(c, options, 1, 1)) return c->exit_code;
    fanin_activation *act;
    fanin_gain g;
    fanin_err err = {0};
    fanin_status status = fanin_activation_parse(c->args[0], &act, &err);
    if (status != FANIN_OK) return cli_fail(c, status, &err);
    status = fanin_gain_solve(act, &g, &err);
    int code = 0;
    if (status != FANIN_OK)
        code = cli_fail(c, status, &err);
    else if (c->json)
        code = cli_json(c, object(act, &g));
    else
        print(act, &g);
    fanin_activation_destroy(act);
    return code;
}
