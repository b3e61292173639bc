/* test_recurrent.c - RNN, LSTM, GRU, their final states and the last step: against the double
 * reference, PyTorch's values, and what else their documentation promises. TEST_QUICK: fewer
 * cases. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/recurrent.h"

#ifdef TEST_QUICK
    #define RANDOM_CASES 6
#else
    #define RANDOM_CASES 24
#endif

enum { RNN, LSTM, GRU };

/* What a case's value is: the steps [N, T, D*H]; a state [N, L*D, H]; steps and h_n behind one
 * another [N, T + L, D*H], where backward comes first to the reader of the steps, or to the
 * state. */
enum { STEPS, HIDDEN, CELLS, STEPS_FIRST, STATE_FIRST };

static cvn_node add_recurrent(cvn_net *net, int kind, cvn_node x, const cvn_rnn_desc *d)
{
    if (kind == RNN) return cvn_rnn_ex(net, x, d);
    return kind == LSTM ? cvn_lstm_ex(net, x, d) : cvn_gru_ex(net, x, d);
}

/* ================================================================================================
 * the reference: one sample, one step, one unit at a time
 * ============================================================================================== */

static double logistic(double v) { return 1 / (1 + exp(-v)); }

/* Line `row` of W v + b. */
static double line_of(const double *w, const double *b, int row, int count, const double *v)
{
    double sum = b ? b[row] : 0;
    for (int k = 0; k < count; k++) sum += w[row * count + k] * v[k];
    return sum;
}

/* One step: h and c of the step before become those of this one. p: weight_ih, weight_hh, bias_ih,
 * bias_hh, the last two NULL without biases. */
static void ref_step(const layer_case *c, const double *const *p, int in, const double *x,
                     double *h, double *cell)
{
    const int H = c->rnn.hidden;
    double *a = (double *)ref_alloc((size_t)(4 * H), sizeof *a);
    double *u = (double *)ref_alloc((size_t)(4 * H), sizeof *u);
    const int gates = c->kind == LSTM ? 4 : c->kind == GRU ? 3 : 1;
    for (int g = 0; g < gates * H; g++) {
        a[g] = line_of(p[0], p[2], g, in, x);
        u[g] = line_of(p[1], p[3], g, H, h);
    }
    for (int k = 0; k < H; k++) {
        if (c->kind == RNN) {
            h[k] = c->rnn.relu ? (a[k] + u[k] > 0 ? a[k] + u[k] : 0) : tanh(a[k] + u[k]);
        } else if (c->kind == LSTM) {
            const double i = logistic(a[k] + u[k]);
            const double f = logistic(a[H + k] + u[H + k]);
            const double g = tanh(a[2 * H + k] + u[2 * H + k]);
            const double o = logistic(a[3 * H + k] + u[3 * H + k]);
            cell[k] = f * cell[k] + i * g;
            h[k] = o * tanh(cell[k]);
        } else {
            const double r = logistic(a[k] + u[k]);
            const double z = logistic(a[H + k] + u[H + k]);
            const double n = tanh(a[2 * H + k] + r * u[2 * H + k]);
            h[k] = (1 - z) * n + z * h[k];
        }
    }
    free(a);
    free(u);
}

/* One layer: from [N, T, in] to [N, T, D*H], and the final states. */
static void ref_layer(const layer_case *c, double *const *x, double *const *p, int layer, int in,
                      const double *from, double *to, double *hn, double *cn)
{
    const int H = c->rnn.hidden;
    const int T = c->x[0].dim[1];
    const int D = c->rnn.bidirectional ? 2 : 1;
    const int each = c->rnn.no_bias ? 2 : 4;
    for (int n = 0; n < c->n; n++) {
        for (int dir = 0; dir < D; dir++) {
            const int run = layer * D + dir;
            const int state = (n * c->rnn.layers * D + run) * H;
            const int length = c->rnn.lengths.id ? (int)x[c->rnn.lengths.id][n] : T;
            const double *own[4] = { p[run * each], p[run * each + 1], NULL, NULL };
            double *h = hn + state;
            double *cell = cn + state;
            for (int i = 2; i < each; i++) own[i] = p[run * each + i];
            for (int k = 0; k < H; k++) {
                h[k] = c->rnn.h0.id ? x[c->rnn.h0.id][state + k] : 0;
                cell[k] = c->rnn.c0.id ? x[c->rnn.c0.id][state + k] : 0;
            }
            for (int s = 0; s < length; s++) {
                const int t = dir || c->rnn.reverse ? length - 1 - s : s;
                ref_step(c, own, in, from + (n * T + t) * in, h, cell);
                for (int k = 0; k < H; k++) to[((n * T + t) * D + dir) * H + k] = h[k];
            }
        }
    }
}

static void ref_recurrent(const layer_case *c, int training, double *const *x, double *const *p,
                          double *y)
{
    const int T = c->x[0].dim[1];
    const int width = (c->rnn.bidirectional ? 2 : 1) * c->rnn.hidden;
    const int steps = c->n * T * width;
    const int states = c->n * c->rnn.layers * width;
    double *hn = (double *)ref_alloc((size_t)states, sizeof *hn);
    double *cn = (double *)ref_alloc((size_t)states, sizeof *cn);
    double *from = NULL;
    (void)training;
    for (int layer = 0; layer < c->rnn.layers; layer++) {
        double *to = (double *)ref_alloc((size_t)steps, sizeof *to);
        ref_layer(c, x, p, layer, layer ? width : c->x[0].dim[2], layer ? from : x[0], to, hn, cn);
        free(from);
        from = to;
    }
    if (c->axis == STEPS) memcpy(y, from, (size_t)steps * sizeof *y);
    else if (c->axis == HIDDEN) memcpy(y, hn, (size_t)states * sizeof *y);
    else if (c->axis == CELLS) memcpy(y, cn, (size_t)states * sizeof *y);
    for (int n = 0; n < c->n && c->axis >= STEPS_FIRST; n++) {
        const int head = T * width;
        const int tail = c->rnn.layers * width;
        memcpy(y + n * (head + tail), from + n * head, (size_t)head * sizeof *y);
        memcpy(y + n * (head + tail) + head, hn + n * tail, (size_t)tail * sizeof *y);
    }
    free(from);
    free(hn);
    free(cn);
}

/* ================================================================================================
 * cases
 * ============================================================================================== */

static cvn_node build_recurrent(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    static const char *const first[] = { "rnn1", "lstm1", "gru1" };
    const cvn_node before = cvn_find(net, first[c->kind]);
    cvn_rnn_desc d = c->rnn;
    int dims[2];
    cvn_node y, h;
    if (d.h0.id) d.h0 = x[d.h0.id];
    if (d.c0.id) d.c0 = x[d.c0.id];
    if (d.lengths.id) d.lengths = x[d.lengths.id];
    if (d.layers == 1) d.layers = 0;
    y = add_recurrent(net, c->kind, x[0], &d);
    if (before.id) cvn_tie(net, y, before);
    if (c->axis == STEPS) return y;
    if (c->axis == CELLS) return cvn_rnn_state(net, y, 1);
    if (c->axis == STATE_FIRST) {
        const cvn_node steps = cvn_scale(net, y, 1, 0);
        h = cvn_rnn_state(net, y, 0);
        y = steps;
    } else {
        h = cvn_rnn_state(net, y, 0);
    }
    if (c->axis == HIDDEN) return h;
    dims[0] = c->rnn.layers;
    dims[1] = (d.bidirectional ? 2 : 1) * d.hidden;
    h = cvn_reshape(net, h, dims, 2);
    {
        const cvn_node both[2] = { y, h };
        return cvn_concat_n(net, both, 2, 1);
    }
}

typedef struct setup {                  /* of one case */
    int kind, n, t, in, hidden, layers, bidirectional, no_bias, states, lengths, value;
} setup;

static void start_case(layer_case *c, const setup *s, int relu)
{
    const int runs = s->layers * (s->bidirectional ? 2 : 1);
    const int width = (s->bidirectional ? 2 : 1) * s->hidden;
    memset(c, 0, sizeof *c);
    c->n = s->n;
    c->kind = s->kind;
    c->axis = s->value;
    c->x[c->inputs++] = ref_shape(3, s->n, s->t, s->in, 0);
    c->rnn.hidden = s->hidden;
    c->rnn.layers = s->layers;
    c->rnn.bidirectional = s->bidirectional;
    c->rnn.no_bias = s->no_bias;
    c->rnn.relu = relu;
    if (s->states) {
        c->rnn.h0.id = c->inputs;
        c->x[c->inputs++] = ref_shape(3, s->n, runs, s->hidden, 0);
    }
    if (s->states && s->kind == LSTM) {
        c->rnn.c0.id = c->inputs;
        c->x[c->inputs++] = ref_shape(3, s->n, runs, s->hidden, 0);
    }
    if (s->lengths) {
        c->rnn.lengths.id = c->inputs;
        c->label_first[c->inputs] = 1;
        c->label_classes[c->inputs] = s->t;
        c->x[c->inputs++] = ref_shape(1, s->n, 0, 0, 0);
    }
    c->ties_itself = 1;
    c->y = ref_shape(3, s->n, s->t, width, 0);
    if (s->value == HIDDEN || s->value == CELLS) c->y = ref_shape(3, s->n, runs, s->hidden, 0);
    if (s->value >= STEPS_FIRST) c->y = ref_shape(3, s->n, s->t + s->layers, width, 0);
    c->build = build_recurrent;
    c->forward = ref_recurrent;
}

static void check_recurrent(const setup *s, int relu)
{
    static const char *const kinds[] = { "rnn", "lstm", "gru" };
    static const char *const values[] = { "steps", "h_n", "c_n", "steps before h_n",
                                          "h_n before steps" };
    layer_case c;
    start_case(&c, s, relu);
    c.big = s->n * s->t * s->hidden > 200;
    snprintf(c.text, sizeof c.text, "%s [%d, %d, %d], %d hidden, %d layers%s%s%s%s%s: %s",
             kinds[s->kind], s->n, s->t, s->in, s->hidden, s->layers,
             s->bidirectional ? ", both directions" : "", s->no_bias ? ", no bias" : "",
             s->states ? ", initial states" : "", s->lengths ? ", lengths" : "",
             relu ? ", relu" : "", values[s->value]);
    layer_check(&c);
}

/* kind, N, T, C, hidden, layers, both directions, no bias, states, lengths, value */
static const setup setups[] = {
    { RNN, 1, 1, 1, 1, 1, 0, 0, 0, 0, STEPS },   { LSTM, 1, 1, 1, 1, 1, 0, 0, 0, 0, STEPS },
    { GRU, 1, 1, 1, 1, 1, 0, 0, 0, 0, STEPS },   { RNN, 5, 3, 2, 3, 1, 0, 0, 0, 0, STEPS },
    { LSTM, 5, 3, 2, 3, 1, 0, 0, 0, 0, STEPS },  { GRU, 5, 3, 2, 3, 1, 0, 0, 0, 0, STEPS },
    { RNN, 4, 4, 1, 2, 2, 1, 0, 1, 1, STEPS },   { LSTM, 4, 4, 3, 2, 2, 1, 0, 1, 1, STEPS },
    { GRU, 4, 4, 2, 2, 2, 1, 0, 1, 1, STEPS },   { LSTM, 2, 3, 2, 2, 1, 0, 0, 1, 0, HIDDEN },
    { LSTM, 5, 3, 2, 2, 2, 1, 0, 1, 1, CELLS },  { GRU, 5, 4, 2, 3, 1, 1, 0, 0, 1, HIDDEN },
    { RNN, 4, 3, 2, 2, 2, 0, 0, 0, 0, HIDDEN },  { RNN, 3, 3, 2, 2, 1, 1, 0, 0, 1, STEPS_FIRST },
    { LSTM, 4, 3, 2, 2, 1, 0, 0, 1, 1, STATE_FIRST },
    { LSTM, 4, 3, 2, 2, 2, 1, 1, 0, 0, STEPS_FIRST },
    { GRU, 4, 3, 2, 2, 2, 0, 0, 1, 1, STATE_FIRST },
    { GRU, 2, 2, 3, 2, 1, 0, 1, 1, 0, STEPS_FIRST },
    { RNN, 5, 4, 3, 2, 4, 0, 0, 1, 0, STEPS },   { LSTM, 4, 3, 2, 2, 3, 0, 0, 1, 1, STEPS },
    { GRU, 4, 3, 2, 2, 4, 0, 0, 1, 1, STEPS },   { LSTM, 4, 3, 2, 2, 3, 1, 1, 0, 0, STEPS },
    { RNN, 2, 3, 2, 2, 4, 1, 1, 0, 0, STEPS }
};

static void cases(void)
{
    for (size_t i = 0; i < sizeof setups / sizeof setups[0]; i++) check_recurrent(&setups[i], 0);
}

/* More units than a chunk of the products, samples for several tasks of several tiles. */
static void cases_big(void)
{
    static const setup big[] = { { LSTM, 21, 2, 5, 70, 1, 0, 0, 1, 1, STEPS },
                                 { GRU, 19, 2, 3, 90, 1, 0, 0, 1, 0, STEPS },
                                 { RNN, 9, 3, 4, 260, 1, 0, 0, 0, 0, STEPS } };
    for (size_t i = 0; i < sizeof big / sizeof big[0]; i++) check_recurrent(&big[i], 0);
}

static void cases_relu(void)
{
    static const setup relu[] = { { RNN, 2, 3, 2, 3, 1, 0, 0, 1, 0, STEPS },
                                  { RNN, 4, 3, 2, 2, 2, 1, 0, 0, 1, STEPS_FIRST } };
    for (size_t i = 0; i < sizeof relu / sizeof relu[0]; i++) check_recurrent(&relu[i], 1);
}

/* One direction, from the last step to the first. */
static void cases_reverse(void)
{
    static const setup some[] = { { RNN, 3, 4, 2, 3, 1, 0, 0, 0, 0, STEPS },
                                  { LSTM, 5, 4, 2, 3, 2, 0, 0, 1, 1, STEPS_FIRST },
                                  { GRU, 4, 3, 2, 3, 1, 0, 1, 1, 1, STEPS },
                                  { LSTM, 2, 3, 3, 2, 1, 0, 0, 1, 0, CELLS } };
    cvn_rnn_desc d = cvn_rnn_defaults();
    cvn_net *net = cvn_create(NULL);
    const int dims[2] = { 3, 2 };
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        layer_case c;
        start_case(&c, &some[i], 0);
        c.rnn.reverse = 1;
        snprintf(c.text, sizeof c.text, "reverse, setup %d", (int)i);
        layer_check(&c);
    }
    d.hidden = 2;
    d.reverse = d.bidirectional = 1;
    CHECK(!cvn_gru_ex(net, cvn_input_tensor(net, dims, 2), &d).id &&
          strstr(cvn_error(net), "reverse"));
    cvn_destroy(net);
}

static void cases_random(void)
{
    unsigned state = 11;
    for (int i = 0; i < RANDOM_CASES; i++) {
        setup s;
        s.kind = i % 3;
        s.n = 1 + ref_below(&state, 6);
        s.t = 1 + ref_below(&state, 5);
        s.in = 1 + ref_below(&state, 4);
        s.hidden = 1 + ref_below(&state, 4);
        s.layers = 1 + ref_below(&state, 2);
        s.bidirectional = ref_below(&state, 2);
        s.no_bias = ref_below(&state, 3) == 0;
        s.states = ref_below(&state, 2);
        s.lengths = ref_below(&state, 2);
        s.value = ref_below(&state, 5);
        if (s.value == CELLS && s.kind != LSTM) s.value = STEPS;
        check_recurrent(&s, 0);
    }
}

static cvn_node build_short(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    if (c->kind == RNN) return cvn_rnn(net, x[0], c->rnn.hidden);
    return c->kind == LSTM ? cvn_lstm(net, x[0], c->rnn.hidden) : cvn_gru(net, x[0], c->rnn.hidden);
}

static void short_calls(void)
{
    for (int kind = 0; kind < 3; kind++) {
        const setup s = { kind, 4, 3, 2, 3, 1, 0, 0, 0, 0, STEPS };
        layer_case c;
        start_case(&c, &s, 0);
        c.build = build_short;
        c.ties_itself = 0;
        snprintf(c.text, sizeof c.text, "short call %d", kind);
        layer_check(&c);
        library_check(&c);
    }
}

/* ================================================================================================
 * PyTorch's values
 * ============================================================================================== */

typedef struct golden_net {
    cvn_net *net;
    cvn_node x, h0, c0, lengths, y, hn, cn, gy, gh, gc;
} golden_net;

/* The mean of x*g times the number of elements. */
static cvn_node weigh(cvn_net *net, cvn_node x, int n)
{
    const cvn_node g = cvn_target(net, x);
    const cvn_node loss = cvn_mean_loss(net, cvn_mul(net, x, g));
    const cvn_shape s = cvn_node_shape(net, x);
    cvn_add_loss(net, loss, (float)(n * s.dim[1] * s.dim[2]));
    cvn_keep(net, x);
    return g;
}

static golden_net golden_build(const golden_row *r)
{
    const int runs = r->size[4] * (r->size[5] ? 2 : 1);
    const int x_dims[2] = { r->size[1], r->size[2] };
    const int state_dims[2] = { runs, r->size[3] };
    cvn_rnn_desc d = cvn_rnn_defaults();
    golden_net g;
    memset(&g, 0, sizeof g);
    g.net = cvn_create(NULL);
    g.x = cvn_input_tensor(g.net, x_dims, 2);
    cvn_want_grad(g.net, g.x);
    if (r->h0) d.h0 = g.h0 = cvn_input_tensor(g.net, state_dims, 2);
    if (r->h0) cvn_want_grad(g.net, g.h0);
    if (r->c0) d.c0 = g.c0 = cvn_input_tensor(g.net, state_dims, 2);
    if (r->c0) cvn_want_grad(g.net, g.c0);
    if (r->lengths[0]) d.lengths = g.lengths = cvn_input_labels(g.net, NULL, 0);
    d.hidden = r->size[3];
    d.layers = r->size[4];
    d.bidirectional = r->size[5];
    d.no_bias = r->size[6];
    d.relu = r->size[7];
    g.y = add_recurrent(g.net, r->kind, g.x, &d);
    g.gy = weigh(g.net, g.y, r->size[0]);
    g.hn = cvn_rnn_state(g.net, g.y, 0);
    g.gh = weigh(g.net, g.hn, r->size[0]);
    if (r->kind == LSTM) g.cn = cvn_rnn_state(g.net, g.y, 1);
    if (r->kind == LSTM) g.gc = weigh(g.net, g.cn, r->size[0]);
    return g;
}

static void golden_set(const golden_row *r, const golden_net *g)
{
    const int n = r->size[0];
    const float *from = r->params;
    for (int i = 0; i < cvn_param_count(g->net); i++) {
        const cvn_param p = cvn_param_at(g->net, i);
        memcpy(p.value, from, p.count * sizeof(float));
        from += p.count;
    }
    CHECK(cvn_set_input(g->net, g->x, r->x, n) == CVN_OK);
    CHECK(!r->h0 || cvn_set_input(g->net, g->h0, r->h0, n) == CVN_OK);
    CHECK(!r->c0 || cvn_set_input(g->net, g->c0, r->c0, n) == CVN_OK);
    CHECK(!g->lengths.id || cvn_set_labels(g->net, g->lengths, r->lengths, n) == CVN_OK);
    CHECK(cvn_set_input(g->net, g->gy, r->g, n) == CVN_OK);
    CHECK(cvn_set_input(g->net, g->gh, r->gh, n) == CVN_OK);
    CHECK(!r->gc || cvn_set_input(g->net, g->gc, r->gc, n) == CVN_OK);
}

static void compare(const char *what, const float *a, const float *b, size_t count)
{
    double worst = 0;
    if (!CHECKF(a != NULL && b != NULL, "%s is missing", what)) return;
    for (size_t i = 0; i < count; i++) {
        const double e = fabs((double)a[i] - (double)b[i]) / (1 + fabs((double)b[i]));
        if (!(e <= worst)) worst = e;
    }
    CHECKF(worst <= 2e-6, "%s is off by %g", what, worst);
}

/* "weight_ih_l0 ..." against the names behind "lstm1." */
static void compare_names(const golden_row *r, const cvn_net *net)
{
    static const char *const layers[] = { "rnn1.", "lstm1.", "gru1." };
    char all[800];
    size_t at = 0;
    for (int i = 0; i < cvn_param_count(net); i++) {
        const char *name = cvn_param_at(net, i).name;
        const size_t head = strlen(layers[r->kind]);
        CHECKF(strncmp(name, layers[r->kind], head) == 0, "%s", name);
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i ? " " : "", name + head);
    }
    CHECKF(strcmp(all, r->names) == 0, "%s", all);
}

static void golden(void)
{
    for (size_t i = 0; i < sizeof golden_rows / sizeof golden_rows[0]; i++) {
        const golden_row *r = &golden_rows[i];
        const size_t n = (size_t)r->size[0];
        const golden_net g = golden_build(r);
        const float *from = r->dparams;
        test_case("%s", r->name);
        if (CHECKF(cvn_build(g.net, r->size[0]) == CVN_OK, "%s", cvn_error(g.net))) {
            const size_t width = (size_t)(r->size[3] * (r->size[5] ? 2 : 1));
            const size_t states = n * (size_t)r->size[4] * width;
            compare_names(r, g.net);
            golden_set(r, &g);
            CHECKF(cvn_forward(g.net) == CVN_OK, "%s", cvn_error(g.net));
            compare("y", cvn_value(g.net, g.y), r->y, n * (size_t)r->size[1] * width);
            compare("h_n", cvn_value(g.net, g.hn), r->hn, states);
            if (r->cn) compare("c_n", cvn_value(g.net, g.cn), r->cn, states);
            CHECKF(cvn_backward(g.net) == CVN_OK, "%s", cvn_error(g.net));
            compare("dx", cvn_gradient(g.net, g.x), r->dx, n * (size_t)(r->size[1] * r->size[2]));
            if (r->h0) compare("dh0", cvn_gradient(g.net, g.h0), r->dh0, states);
            if (r->c0) compare("dc0", cvn_gradient(g.net, g.c0), r->dc0, states);
            for (int k = 0; k < cvn_param_count(g.net); k++) {
                const cvn_param p = cvn_param_at(g.net, k);
                compare(p.name, p.gradient, from, p.count);
                from += p.count;
            }
        }
        cvn_destroy(g.net);
    }
}

/* ================================================================================================
 * what else is promised
 * ============================================================================================== */

/* Sigmoid, tanh and exponential of the best table: to a few units in the last place, also near 0
 * and far out; NaN stays. */
static void functions(void)
{
    const cvni_kernels *k = cvni_find_kernels(NULL);
    double worst[2] = { 0, 0 };
    for (int i = -200000; i <= 200000; i++) {
        const double x = i * 1e-4 * (i % 3 == 0 ? 1e-4 : i % 3 == 1 ? 1 : 4);
        float v[2];
        double want, e;
        v[0] = v[1] = (float)x;
        k->sigmoid(1, v, v);
        k->tanh(1, v + 1, v + 1);
        want = 1 / (1 + exp(-(double)(float)x));
        e = fabs((double)v[0] - want) / want;
        worst[0] = e > worst[0] ? e : worst[0];
        want = tanh((double)(float)x);
        e = want < 0 || want > 0 ? fabs((double)v[1] - want) / fabs(want) : fabs((double)v[1]);
        worst[1] = e > worst[1] ? e : worst[1];
    }
    CHECKF(worst[0] < 4e-7 && worst[1] < 4e-7, "off by %g and %g", worst[0], worst[1]);
    worst[0] = 0;
    for (int i = 0; i < 86000; i++) {
        const float x = 3 - (float)i * 1e-3f;
        const volatile float shifted = x - 3;   /* in float, whatever the registers hold */
        float v[2];
        double e;
        k->exp(1, 3, &x, v);
        e = fabs((double)v[0] / exp((double)shifted) - 1);
        worst[0] = e > worst[0] ? e : worst[0];
    }
    CHECKF(worst[0] < 4e-7, "off by %g", worst[0]);
    {
        const float far[4] = { -1e30f, -INFINITY, NAN, -88 };
        float v[4];
        k->exp(4, 0, far, v);
        CHECK(v[0] == 0 && v[1] == 0 && v[2] != v[2]);
        CHECK_NEAR(v[3], exp(-88.0), 1e-44);
    }
    {
        float far[6] = { 1e30f, -1e30f, INFINITY, -INFINITY, NAN, 0 };
        float same[6];
        memcpy(same, far, sizeof far);
        k->sigmoid(6, far, far);
        k->tanh(6, same, same);
        for (int i = 0; i < 4; i++) {
            CHECK_NEAR(far[i], i % 2 ? 0 : 1, 1e-30);
            CHECK_NEAR(same[i], i % 2 ? -1 : 1, 0);
        }
        CHECK(far[4] != far[4] && same[4] != same[4]);
        CHECK_NEAR(far[5], 0.5, 0);
        CHECK_NEAR(same[5], 0, 0);
    }
}

/* A net that makes one step from h0 (and c0), used T times, gives what one run over T steps
 * gives. */
static void stateful(int kind, int n)
{
    enum { T = 6, C = 3, H = 5, L = 2 };
    const int whole[2] = { T, C };
    const int one[2] = { 1, C };
    const int states[2] = { L, H };
    cvn_net *all = cvn_create(NULL);
    cvn_net *step = cvn_create(NULL);
    cvn_rnn_desc d = cvn_rnn_defaults();
    const cvn_node x = cvn_input_tensor(all, whole, 2);
    const cvn_node x1 = cvn_input_tensor(step, one, 2);
    cvn_node y, y1, h1, c1;
    float in[8 * T * C];
    float part[8 * C];
    float h[8 * L * H];
    float c[8 * L * H];
    const size_t state_bytes = (size_t)(n * L * H) * sizeof(float);
    memset(h, 0, sizeof h);
    memset(c, 0, sizeof c);
    memset(&c1, 0, sizeof c1);
    ref_fill(in, n * T * C, -1, 1, 3);
    d.hidden = H;
    d.layers = L;
    y = add_recurrent(all, kind, x, &d);
    d.h0 = cvn_input_tensor(step, states, 2);
    if (kind == LSTM) d.c0 = cvn_input_tensor(step, states, 2);
    y1 = add_recurrent(step, kind, x1, &d);
    h1 = cvn_rnn_state(step, y1, 0);
    if (kind == LSTM) c1 = cvn_rnn_state(step, y1, 1);
    cvn_keep(step, h1);
    if (kind == LSTM) cvn_keep(step, c1);
    cvn_output(step, y1);
    if (!CHECKF(cvn_build(all, n) == CVN_OK && cvn_build_infer(step, n) == CVN_OK, "%s %s",
                cvn_error(all), cvn_error(step))) return;
    memcpy(cvn_flat_parameters(step, NULL), cvn_flat_parameters(all, NULL),
           cvn_parameters(all) * sizeof(float));
    CHECK(cvn_set_input(all, x, in, n) == CVN_OK && cvn_forward_eval(all) == CVN_OK);
    for (int t = 0; t < T; t++) {
        double worst = 0;
        for (int i = 0; i < n; i++)
            memcpy(part + i * C, in + (i * T + t) * C, (size_t)C * sizeof(float));
        CHECK(cvn_set_input(step, x1, part, n) == CVN_OK);
        CHECK(cvn_set_input(step, d.h0, h, n) == CVN_OK);
        CHECK(kind != LSTM || cvn_set_input(step, d.c0, c, n) == CVN_OK);
        CHECKF(cvn_forward_eval(step) == CVN_OK, "%s", cvn_error(step));
        for (int i = 0; i < n * H; i++) {
            const float want = cvn_value(all, y)[(i / H * T + t) * H + i % H];
            const double e = fabs((double)(cvn_value(step, y1)[i] - want));
            worst = e > worst ? e : worst;
        }
        CHECKF(worst < 1e-6, "step %d is off by %g", t, worst);
        memcpy(h, cvn_value(step, h1), state_bytes);
        if (kind == LSTM) memcpy(c, cvn_value(step, c1), state_bytes);
    }
    cvn_destroy(all);
    cvn_destroy(step);
}

static void step_by_step(void)
{
    for (int kind = 0; kind < 3; kind++)
        for (int n = 1; n < 8; n += 3) {
            test_case("kind %d, %d samples", kind, n);
            stateful(kind, n);
        }
}

/* The last layer's W_ih has met what dropout left, which is y here. */
static void check_last_weight(cvn_net *net, int layers, int width, const float *y, int count)
{
    const float *g = cvn_param_at(net, 2 * (layers - 1)).gradient;
    for (int k = 0; k < width; k++) {
        double sum = 0;
        for (int i = k; i < count; i += width) sum += (double)y[i];
        CHECK_NEAR(g[k * width + k], sum, 1e-4 * sum);
    }
}

/* Layers that hand on what they get: W_ih one, all else zero, relu; what comes out is the product
 * of the masks, and the gradient of x too. */
static cvn_net *dropout_net(int layers, int width, int threads, cvn_node *x, cvn_node *y)
{
    const int dims[2] = { 50, width };
    cvn_desc desc = cvn_desc_defaults();
    cvn_rnn_desc d = cvn_rnn_defaults();
    cvn_net *net;
    desc.threads = threads;
    net = cvn_create(&desc);
    *x = cvn_input_tensor(net, dims, 2);
    d.hidden = width;
    d.layers = layers;
    d.relu = d.no_bias = 1;
    d.dropout = 0.3f;
    d.weight_init.kind = CVN_INIT_ZERO;
    *y = cvn_rnn_ex(net, *x, &d);
    cvn_want_grad(net, *x);
    cvn_want_grad(net, *y);
    if (!CHECKF(cvn_build(net, 20) == CVN_OK, "%s", cvn_error(net))) return net;
    for (int i = 0; i < cvn_param_count(net); i += 2)
        for (int k = 0; k < width; k++) cvn_param_at(net, i).value[k * width + k] = 1;
    return net;
}

static void dropout_layers(int layers)
{
    enum { N = 20, WIDTH = 10, ALL = N * 50 * WIDTH };
    float *ones = (float *)ref_alloc(ALL, sizeof(float));
    float *first = (float *)ref_alloc(ALL, sizeof(float));
    const double expected = pow(0.7, layers - 1);
    for (int i = 0; i < ALL; i++) ones[i] = 1;
    for (int threads = 1; threads < 4; threads += 2) {
        cvn_node x, y;
        cvn_net *net = dropout_net(layers, WIDTH, threads, &x, &y);
        const float *v;
        int passed = 0;
        int wrong = 0;
        CHECK(cvn_set_input(net, x, ones, N) == CVN_OK && cvn_forward(net) == CVN_OK);
        v = cvn_value(net, y);
        for (int i = 0; i < ALL; i++) {
            passed += v[i] > 0;
            wrong += v[i] != 0 && fabs((double)v[i] * expected - 1) > 1e-5;
        }
        CHECKF(wrong == 0, "%d values of another size", wrong);
        CHECKF(fabs(passed / (double)ALL - expected) < 0.02, "%d of %d passed", passed, ALL);
        if (threads == 1) memcpy(first, v, ALL * sizeof(float));
        CHECK(memcmp(first, v, ALL * sizeof(float)) == 0);
        CHECK(cvn_backward_from(net, y, ones) == CVN_OK);
        for (int i = 0; i < ALL; i++)
            wrong += fabs((double)(cvn_gradient(net, x)[i] - first[i])) > 1e-5;
        CHECKF(wrong == 0, "%d gradients under another mask", wrong);
        check_last_weight(net, layers, WIDTH, first, ALL);
        CHECK(cvn_forward(net) == CVN_OK);
        CHECK((memcmp(first, cvn_value(net, y), sizeof(float) * ALL) != 0) == (layers > 1));
        CHECK(cvn_forward_eval(net) == CVN_OK);
        CHECK(memcmp(ones, cvn_value(net, y), sizeof(float) * ALL) == 0);
        cvn_destroy(net);
    }
    free(ones);
    free(first);
}

static void dropout_between_layers(void)
{
    test_case("two layers");
    dropout_layers(2);
    test_case("three layers: two masks of their own");
    dropout_layers(3);
    test_case("one layer: none");
    dropout_layers(1);
}

/* Default values lie in +-1/sqrt(hidden) and fill it; a description's own are taken. */
static void parameters(void)
{
    const int dims[2] = { 4, 30 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    cvn_rnn_desc d = cvn_rnn_defaults();
    cvn_node y = cvn_lstm(net, x, 25);
    d.hidden = 7;
    d.weight_init.kind = CVN_INIT_CONSTANT;
    d.weight_init.a = 0.25f;
    d.bias_init.kind = CVN_INIT_ZERO;
    y = cvn_gru_ex(net, y, &d);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_param_count(net) == 8);
        for (int i = 0; i < 8; i++) {
            const cvn_param p = cvn_param_at(net, i);
            float low = 9;
            float high = -9;
            for (size_t k = 0; k < p.count; k++) {
                low = p.value[k] < low ? p.value[k] : low;
                high = p.value[k] > high ? p.value[k] : high;
            }
            if (i < 4)
                CHECKF(low >= -0.2f && low < -0.19f && high < 0.2f && high > 0.19f, "%s %g %g",
                       p.name, (double)low, (double)high);
            else CHECK_NEAR(low, high, 0);
            if (i >= 4) CHECK_NEAR(low, i < 6 ? 0.25 : 0, 0);
        }
        CHECK(strcmp(cvn_node_name(net, y), "gru1") == 0);
        /* a new plan keeps them */
        CHECK(cvn_build(net, 3) == CVN_OK && cvn_param_count(net) == 8);
    }
    cvn_destroy(net);
}

/* The last step of a sequence, and its gradient. */
static void last_step(void)
{
    const int dims[2] = { 3, 2 };
    const float in[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    const float g[4] = { 1, 2, 3, 4 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    const cvn_node y = cvn_last_step(net, x);
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    CHECK(cvn_node_shape(net, y).rank == 2 && cvn_node_shape(net, y).dim[1] == 2);
    if (CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, x, in, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
        CHECK(cvn_value(net, y)[0] == 5 && cvn_value(net, y)[1] == 6 &&
              cvn_value(net, y)[2] == 11 && cvn_value(net, y)[3] == 12);
        CHECK(cvn_backward_from(net, y, g) == CVN_OK);
        for (int i = 0; i < 12; i++)
            CHECK_NEAR(cvn_gradient(net, x)[i], i % 6 < 4 ? 0 : g[i / 6 * 2 + i % 2], 0);
    }
    cvn_destroy(net);
    /* of as many steps as there are after cvn_resize */
    net = cvn_create(NULL);
    {
        float image[64];
        float last[2];
        const cvn_node image_in = cvn_input(net, 1, 4, 4);
        const cvn_node steps = cvn_patch_embedding(net, image_in, 2, 2);
        ref_fill(image, 64, -1, 1, 1);
        cvn_output(net, cvn_last_step(net, steps));
        cvn_keep(net, steps);
        CHECK(cvn_build(net, 1) == CVN_OK && cvn_resize(net, 8, 8) == CVN_OK);
        CHECK(cvn_predict(net, image, 1, last) == CVN_OK);
        CHECK(memcmp(last, cvn_value(net, steps) + (ptrdiff_t)15 * 2, sizeof last) == 0);
    }
    cvn_destroy(net);
}

/* NaN stays in its sample; huge values saturate. */
static void not_a_number(void)
{
    const int dims[2] = { 3, 2 };
    for (int kind = 0; kind < 4; kind++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_tensor(net, dims, 2);
        cvn_rnn_desc d = cvn_rnn_defaults();
        cvn_node y;
        float in[30];
        test_case("kind %d", kind);
        d.hidden = 4;
        d.relu = kind == 3;
        y = add_recurrent(net, kind % 3, x, &d);
        for (int i = 0; i < 30; i++) in[i] = kind == 3 ? 1.0f : i % 2 ? 1e30f : -1e30f;
        in[12] = NAN;                                           /* sample 2, step 0 */
        if (CHECK(cvn_build(net, 5) == CVN_OK) && CHECK(cvn_set_input(net, x, in, 5) == CVN_OK) &&
            CHECK(cvn_forward(net) == CVN_OK))
            for (int i = 0; i < 60; i++) {
                const float v = cvn_value(net, y)[i];
                CHECK(i / 12 == 2 ? v != v : v - v == 0);
            }
        cvn_destroy(net);
    }
}

/* Two nets over the same parameters have states of their own. */
static void shared(void)
{
    const int dims[2] = { 2, 2 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    const cvn_node h = cvn_rnn_state(net, cvn_gru(net, x, 3), 0);
    const float in[8] = { 1, 2, 3, 4, -1, -2, -3, -4 };
    float out[6];
    cvn_net *other;
    cvn_output(net, h);
    CHECKF(cvn_build_infer(net, 1) == CVN_OK, "%s", cvn_error(net));
    other = cvn_share(net);
    CHECKF(cvn_build_infer(other, 2) == CVN_OK, "%s", cvn_error(other));
    CHECK(cvn_set_input(net, x, in + 4, 1) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
    CHECK(cvn_predict(other, in, 2, out) == CVN_OK);
    for (int i = 0; i < 3; i++) CHECK_NEAR(cvn_value(net, h)[i], out[3 + i], 1e-6);
    CHECK(fabs((double)(out[0] - out[3])) > 1e-3);
    cvn_destroy(other);
    cvn_destroy(net);
}

/* A frozen layer whose state a trained one reads: nothing goes back into it. */
static void frozen(void)
{
    const int dims[2] = { 2, 2 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    const cvn_node rnn = cvn_lstm(net, x, 3);
    const cvn_node h = cvn_rnn_state(net, rnn, 0);
    const cvn_node y = cvn_dense(net, h, 1);
    const cvn_node t = cvn_target(net, y);
    const float in[4] = { 1, 2, 3, 4 };
    const float one = 1;
    cvn_mse_loss(net, y, t);
    cvn_freeze(net, rnn);
    cvn_want_grad(net, h);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_set_input(net, t, &one, 1) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK);
    CHECK(fabs((double)cvn_param_find(net, "fc1.bias").gradient[0]) > 0);
    CHECK_NEAR(cvn_param_find(net, "lstm1.weight_ih_l0").gradient[0], 0, 0);
    cvn_destroy(net);
}

/* With keep_all a second backward pass over the same values gives the same gradients. */
static void backward_twice(void)
{
    const int dims[2] = { 3, 2 };
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_node x, h;
    float in[24];
    float g[16];
    float once[24];
    desc.keep_all = 1;
    net = cvn_create(&desc);
    x = cvn_input_tensor(net, dims, 2);
    h = cvn_rnn_state(net, cvn_lstm(net, x, 4), 0);
    cvn_want_grad(net, x);
    ref_fill(in, 24, -1, 1, 1);
    ref_fill(g, 16, -1, 1, 2);
    CHECKF(cvn_build(net, 4) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, x, in, 4) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK(cvn_backward_from(net, h, g) == CVN_OK);
    memcpy(once, cvn_gradient(net, x), sizeof once);
    CHECK(cvn_backward_from(net, h, g) == CVN_OK);
    CHECK(memcmp(once, cvn_gradient(net, x), sizeof once) == 0);
    cvn_destroy(net);
}

/* A recomputed layer whose final states are read outside of its segment: the same gradients. */
static void recomputed(void)
{
    const int dims[2] = { 5, 3 };
    float in[30];
    float g[8];
    float plain[30];
    ref_fill(in, 30, -1, 1, 1);
    ref_fill(g, 8, -1, 1, 2);
    for (int again = 0; again < 2; again++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_tensor(net, dims, 2);
        const cvn_node a = cvn_dense(net, x, 3);
        const cvn_node b = cvn_lstm(net, cvn_tanh(net, a), 4);
        const cvn_node h = cvn_flatten(net, cvn_rnn_state(net, b, 0));
        const cvn_node y = cvn_add(net, cvn_add(net, h, cvn_last_step(net, b)),
                                   cvn_flatten(net, cvn_rnn_state(net, b, 1)));
        if (again) cvn_recompute(net, a, b);
        cvn_want_grad(net, x);
        cvn_want_grad(net, y);
        CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_set_input(net, x, in, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
        CHECK(cvn_backward_from(net, y, g) == CVN_OK);
        if (again) CHECK(memcmp(plain, cvn_gradient(net, x), sizeof plain) == 0);
        else memcpy(plain, cvn_gradient(net, x), sizeof plain);
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * errors
 * ============================================================================================== */

/* What goes wrong in case `which`; returns whether there is such a case. */
static int make_error(cvn_net *net, int which, const char **text)
{
    const int dims[2] = { 4, 3 };
    const int state_dims[2] = { 1, 5 };
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    const cvn_node labels = cvn_input_labels(net, dims, 2);
    const cvn_node flat = cvn_input_vector(net, 3);
    const cvn_node state = cvn_input_tensor(net, state_dims, 2);
    const cvn_node int_state = cvn_input_labels(net, state_dims, 2);
    cvn_rnn_desc d = cvn_rnn_defaults();
    d.hidden = 5;
    switch (which) {
    case 0: *text = "0 hidden units, 1 layers"; return cvn_rnn(net, x, 0).id + 1;
    case 1: *text = "-1 layers"; d.layers = -1; return cvn_gru_ex(net, x, &d).id + 1;
    case 2: *text = "dropout = 1"; d.dropout = 1; return cvn_gru_ex(net, x, &d).id + 1;
    case 3: *text = "dropout = nan"; d.dropout = NAN; return cvn_lstm_ex(net, x, &d).id + 1;
    case 4: *text = "relu is of cvn_rnn alone"; d.relu = 1; return cvn_lstm_ex(net, x, &d).id + 1;
    case 5: *text = "c0 is of cvn_lstm alone"; d.c0 = state; return cvn_gru_ex(net, x, &d).id + 1;
    case 6: *text = "[3] is no sequence"; return cvn_lstm(net, flat, 5).id + 1;
    case 7: *text = "is no sequence of floats"; return cvn_lstm(net, labels, 5).id + 1;
    case 8: *text = "[1, 5]; [layers*directions, hidden] = [2, 5] is needed";
        d.h0 = state;
        d.bidirectional = 1;
        return cvn_lstm_ex(net, x, &d).id + 1;
    case 9: *text = "labels [1, 5]"; d.c0 = int_state; return cvn_lstm_ex(net, x, &d).id + 1;
    case 10: *text = "must be one label a sample"; d.lengths = flat;
        return cvn_rnn_ex(net, x, &d).id + 1;
    case 11: *text = "must be one label a sample"; d.lengths = labels;
        return cvn_rnn_ex(net, x, &d).id + 1;
    case 12: *text = "'input1' is input; a node of cvn_rnn"; return cvn_rnn_state(net, x, 0).id + 1;
    case 13: *text = "state 1 of 'gru1'";
        return cvn_rnn_state(net, cvn_gru(net, x, 2), 1).id + 1;
    case 14: *text = "state 2 of 'lstm1'";
        return cvn_rnn_state(net, cvn_lstm(net, x, 2), 2).id + 1;
    case 15: *text = "last_step: an input of rank 2"; return cvn_last_step(net, flat).id + 1;
    case 16: *text = "are too many"; return cvn_lstm(net, x, 1000000000).id + 1;
    case 17: *text = "weight_hh_l0 has more than"; return cvn_rnn(net, x, 100000).id + 1;
    case 18: *text = "input 2 is no node"; d.h0.id = 99; return cvn_rnn_ex(net, x, &d).id + 1;
    default: return 0;
    }
}

static void errors(void)
{
    for (int which = 0;; which++) {
        cvn_net *net = cvn_create(NULL);
        const char *text = "";
        const int node = make_error(net, which, &text);
        if (node) {
            test_case("%s", text);
            CHECKF(node == 1, "a node");
            CHECKF(strstr(cvn_error(net), text) != NULL, "%s", cvn_error(net));
            CHECK(cvn_build(net, 1) < 0);
        }
        cvn_destroy(net);
        if (!node) break;
    }
}

static void lengths_out_of_range(void)
{
    const int dims[2] = { 4, 2 };
    const float in[16] = { 0 };
    const int bad[3][2] = { { 4, 0 }, { 5, 1 }, { 1, -3 } };
    const int good[2] = { 4, 1 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    cvn_rnn_desc d = cvn_rnn_defaults();
    d.hidden = 2;
    d.lengths = cvn_input_labels(net, NULL, 0);
    cvn_lstm_ex(net, x, &d);
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, x, in, 2) == CVN_OK);
    for (int i = 0; i < 3; i++) {
        CHECK(cvn_set_labels(net, d.lengths, bad[i], 2) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_ERROR_ARGUMENT);
        CHECKF(strstr(cvn_error(net), "1 to 4 are possible") != NULL, "%s", cvn_error(net));
    }
    CHECK(cvn_set_labels(net, d.lengths, good, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
    cvn_destroy(net);
}

/* ================================================================================================
 * learning
 * ============================================================================================== */

/* The adding problem: of T numbers two are marked; their sum is wanted. A constant guess has a loss
 * of 1/6. */
static double adding_problem(int kind, int read_state)
{
    enum { N = 32, T = 8 };
    const int dims[2] = { T, 2 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    cvn_rnn_desc d = cvn_rnn_defaults();
    cvn_optimizer adam = cvn_adam(0.01f);
    unsigned state = 5;
    double loss = 0;
    cvn_node y, t;
    d.hidden = 16;
    y = add_recurrent(net, kind, x, &d);
    y = read_state ? cvn_flatten(net, cvn_rnn_state(net, y, 0)) : cvn_last_step(net, y);
    y = cvn_dense(net, y, 1);
    t = cvn_target(net, y);
    cvn_mse_loss(net, y, t);
    cvn_set_optimizer(net, &adam);
    if (!CHECKF(cvn_build(net, N) == CVN_OK, "%s", cvn_error(net))) return 1;
    for (int step = 0; step < 500; step++) {
        float in[N * T * 2];
        float want[N];
        for (int n = 0; n < N; n++) {
            const int a = ref_below(&state, T / 2);
            const int b = T / 2 + ref_below(&state, T / 2);
            for (int s = 0; s < T; s++) {
                in[(n * T + s) * 2] = (float)ref_below(&state, 1000) * 1e-3f;
                in[(n * T + s) * 2 + 1] = s == a || s == b ? 1.0f : 0.0f;
            }
            want[n] = in[(n * T + a) * 2] + in[(n * T + b) * 2];
        }
        if (cvn_set_input(net, x, in, N) < 0 || cvn_set_input(net, t, want, N) < 0 ||
            cvn_forward(net) < 0 || cvn_backward(net) < 0 || cvn_step(net) < 0) break;
        if (step >= 450) loss += (double)cvn_loss(net) / 50;
        cvn_zero_grad(net);
    }
    CHECKF(loss > 0, "%s", cvn_error(net));
    cvn_destroy(net);
    return loss;
}

static void learns(void)
{
    for (int kind = LSTM; kind <= GRU; kind++) {
        double loss;
        test_case("adding problem, kind %d", kind);
        loss = adding_problem(kind, kind == GRU);
        CHECKF(loss > 0 && loss < 0.01, "a loss of %g", loss);
    }
}

int main(void)
{
    RUN(functions);
    RUN(cases);
    RUN(cases_relu);
    RUN(cases_big);
    RUN(cases_reverse);
    RUN(cases_random);
    RUN(short_calls);
    RUN(golden);
    RUN(step_by_step);
    RUN(dropout_between_layers);
    RUN(parameters);
    RUN(last_step);
    RUN(not_a_number);
    RUN(shared);
    RUN(frozen);
    RUN(backward_twice);
    RUN(recomputed);
    RUN(errors);
    RUN(lengths_out_of_range);
    RUN(learns);
    return test_done();
}
