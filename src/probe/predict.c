/* predict.c - what the signal rules expect of each layer, beside what was measured. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe/predict.h"

/* Mean and second moment of the numbers, and the correlation of two samples at the same place. */
void fanin__input_moments(fanin_buffer x, fanin_predict_options *o) {
    size_t batch = x.rank > 0 ? (size_t)x.dims[0] : 0, n = batch ? x.count / batch : 0;
    const float *v = x.data;
    if (x.dtype != FANIN_F32 || batch < 2 || n == 0) return;
    double sum = 0, squares = 0, pairs = 0;
    for (size_t i = 0; i < n; i++) {
        double column = 0, own = 0;
        for (size_t b = 0; b < batch; b++) {
            double value = (double)v[b * n + i];
            column += value;
            own += value * value;
        }
        sum += column;
        squares += own;
        pairs += (column * column - own) / (double)(batch - 1);
    }
    double count = (double)x.count, mean = sum / count, second = squares / count;
    double var = second - mean * mean;
    if (!(var > 0)) return;
    o->input_mean = mean;
    o->input_second = second;
    o->input_correlation = fmin(fmax((pairs / count - mean * mean) / var, 0), 1);
}

fanin_status fanin__predict_layers(const fanin_graph *g, const fanin__layer *layers,
                                   const fanin_predict_options *options, fanin_signal *s,
                                   fanin_err *err) {
    fanin_prediction *p;
    fanin_err why = {0};
    fanin_status status = fanin_predict(g, options, &p, &why);
    if (status == FANIN_NOMEM) return fanin_err_set(err, status, "%s", why.message);
    if (status != FANIN_OK) { /* said, not guessed */
        snprintf(s->unpredicted, sizeof s->unpredicted, "nothing is predicted: %.400s",
                 why.message);
        return FANIN_OK;
    }
    for (int i = 0; i < s->layer_count; i++) {
        const fanin_value_prediction *v = &p->values[layers[i].output];
        fanin_layer_signal *l = &s->layers[i];
        l->predicted_second_moment = v->second_moment;
        l->predicted_correlation = v->correlation;
        l->predicted_grad_norm = v->grad_norm;
        l->target_second_moment = p->targets[layers[i].weight];
    }
    fanin_prediction_destroy(p);
    return FANIN_OK;
}
