/* test_attention.c - attention, learned tensors, positions, transformer layers: against the double
 * reference, PyTorch's values, and what else their documentation promises. TEST_QUICK: fewer
 * cases. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/attention.h"

#ifdef TEST_QUICK
    #define RANDOM_CASES 8
    #define TRAIN_STEPS 20
#else
    #define RANDOM_CASES 40
    #define TRAIN_STEPS 300
#endif

static int built(cvn_net *net, int batch)
{
    return CHECKF(cvn_build(net, batch) == CVN_OK, "%s", cvn_error(net));
}

static cvn_node sequence(cvn_net *net, int steps, int columns)
{
    int dims[2];
    dims[0] = steps;
    dims[1] = columns;
    return cvn_input_tensor(net, dims, 2);
}

static void check_near_all(const char *what, const float *got, const float *want, int count)
{
    double worst = 0;
    int at = 0;
    if (!CHECKF(got != NULL, "%s cannot be read", what)) return;
    for (int i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - (double)want[i]) / (1 + fabs((double)want[i]));
        if (e <= worst) continue;
        worst = e < HUGE_VAL ? e : HUGE_VAL;
        at = i;
    }
    CHECKF(worst <= 2e-5, "%s[%d] is %.9g, not %.9g", what, at, (double)got[at], (double)want[at]);
}

/* ================================================================================================
 * attention: c->kind who is who; c->axis heads; c->a dropout; c->conv.pad_top causal, no_bias,
 * filters: 1 without the projections
 * ============================================================================================== */

enum { SELF, CROSS, THREE, KEYED, KINDS };
static const int kind_inputs[KINDS] = { 1, 2, 3, 2 };
static const int kind_source[KINDS][3] = { { 0, 0, 0 }, { 0, 1, 1 }, { 0, 1, 2 }, { 0, 0, 1 } };

static cvn_node build_attention(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const int *from = kind_source[c->kind];
    cvn_attention_desc d = cvn_attention_defaults();
    d.heads = c->axis;
    d.causal = c->conv.pad_top;
    d.no_bias = c->conv.no_bias;
    d.dropout = c->a;
    if (c->inputs > kind_inputs[c->kind]) d.lengths = x[c->inputs - 1];
    if (c->conv.filters)
        return cvn_scaled_dot_product_attention(net, x[from[0]], x[from[1]], x[from[2]], &d);
    if (c->axis == 2 && c->inputs == kind_inputs[c->kind] && !d.causal && !d.no_bias && !(c->a > 0))
        return cvn_multihead_attention(net, x[from[0]], x[from[1]], x[from[2]], 2);
    return cvn_multihead_attention_ex(net, x[from[0]], x[from[1]], x[from[2]], &d);
}

/* rows of E values times [E, E], transposed, plus a bias or NULL */
static double *linear(const double *x, int rows, int e, const double *w, const double *bias)
{
    double *y = (double *)ref_alloc((size_t)(rows * e), sizeof *y);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < e; o++) {
            double sum = bias ? bias[o] : 0.0;
            for (int i = 0; i < e; i++) sum += x[r * e + i] * w[o * e + i];
            y[r * e + o] = sum;
        }
    return y;
}

/* One query of d columns against `keys` rows that are e values apart. */
static void attend(const double *q, const double *k, const double *v, int keys, int d, int e,
                   double *y)
{
    double *w = (double *)ref_alloc((size_t)keys, sizeof *w);
    double sum = 0;
    for (int s = 0; s < keys; s++) {
        double dot = 0;
        for (int i = 0; i < d; i++) dot += q[i] * k[s * e + i];
        w[s] = exp(dot / sqrt((double)d));
        sum += w[s];
    }
    for (int i = 0; i < d; i++) {
        y[i] = 0;
        for (int s = 0; s < keys; s++) y[i] += w[s] / sum * v[s * e + i];
    }
    free(w);
}

static void ref_attention(const layer_case *c, int training, double *const *x, double *const *p,
                          double *y)
{
    const int *from = kind_source[c->kind];
    const int t = c->x[from[0]].dim[1];
    const int s = c->x[from[1]].dim[1];
    const int e = c->x[0].dim[2];
    const int d = e / c->axis;
    const int bias = !c->conv.no_bias;
    const double *const lengths = c->inputs > kind_inputs[c->kind] ? x[c->inputs - 1] : NULL;
    double *o = (double *)ref_alloc((size_t)(c->n * t * e), sizeof *o);
    double *part[3];
    (void)training;
    for (int i = 0; i < 3; i++) {
        const int rows = c->n * (i ? s : t);
        part[i] = (double *)ref_alloc((size_t)(rows * e), sizeof **part);
        if (c->conv.filters) {
            memcpy(part[i], x[from[i]], (size_t)(rows * e) * sizeof **part);
        } else {
            free(part[i]);
            part[i] = linear(x[from[i]], rows, e, p[0] + i * e * e, bias ? p[1] + i * e : NULL);
        }
    }
    for (int n = 0; n < c->n; n++)
        for (int i = 0; i < t; i++)
            for (int h = 0; h < c->axis; h++) {
                int keys = lengths ? (int)lengths[n] : s;
                if (c->conv.pad_top && keys > i + 1) keys = i + 1;
                attend(part[0] + (n * t + i) * e + h * d, part[1] + n * s * e + h * d,
                       part[2] + n * s * e + h * d, keys, d, e, o + (n * t + i) * e + h * d);
            }
    for (int i = 0; i < 3; i++) free(part[i]);
    if (c->conv.filters) {
        memcpy(y, o, (size_t)(c->n * t * e) * sizeof *y);
    } else {
        double *out = linear(o, c->n * t, e, p[bias ? 2 : 1], bias ? p[3] : NULL);
        memcpy(y, out, (size_t)(c->n * t * e) * sizeof *y);
        free(out);
    }
    free(o);
}

typedef struct attention_case {
    int kind, n, t, s, e, heads, causal, lengths, no_bias, core;
} attention_case;

static layer_case make_case(const attention_case *a)
{
    static const char *const names[KINDS] = { "self", "cross", "three", "keyed" };
    layer_case c;
    memset(&c, 0, sizeof c);
    c.n = a->n;
    c.kind = a->kind;
    c.axis = a->heads;
    c.conv.pad_top = a->causal;
    c.conv.no_bias = a->no_bias;
    c.conv.filters = a->core;
    c.inputs = kind_inputs[a->kind];
    for (int i = 0; i < c.inputs; i++)
        c.x[i] = ref_shape(3, a->n, i && a->kind != KEYED ? a->s : a->t, a->e, 0);
    c.y = c.x[0];
    if (a->lengths) {
        c.label_classes[c.inputs] = a->kind == SELF || a->kind == KEYED ? a->t : a->s;
        c.label_first[c.inputs] = 1;
        c.x[c.inputs++] = ref_shape(1, a->n, 0, 0, 0);
    }
    c.build = build_attention;
    c.forward = ref_attention;
    snprintf(c.text, sizeof c.text, "%s%s, N %d, T %d, S %d, E %d, %d heads%s%s%s",
             a->core ? "core " : "", names[a->kind], a->n, a->t, a->s, a->e, a->heads,
             a->causal ? ", causal" : "", a->lengths ? ", lengths" : "",
             a->no_bias ? ", no bias" : "");
    return c;
}

static void attention_cases(void)
{
    static const attention_case cases[] = {
        { SELF, 2, 4, 4, 6, 2, 0, 0, 0, 0 },   { SELF, 1, 1, 1, 1, 1, 0, 0, 0, 0 },
        { SELF, 3, 5, 5, 4, 1, 1, 0, 0, 0 },   { SELF, 2, 5, 5, 4, 4, 0, 1, 0, 0 },
        { CROSS, 2, 3, 5, 6, 3, 0, 0, 0, 0 },  { CROSS, 2, 6, 3, 4, 2, 1, 0, 1, 0 },
        { THREE, 2, 3, 4, 6, 2, 0, 1, 0, 0 },  { THREE, 1, 2, 4, 4, 2, 1, 1, 0, 0 },
        { KEYED, 2, 4, 4, 4, 2, 0, 0, 0, 0 },  { KEYED, 2, 3, 3, 6, 3, 1, 1, 1, 0 },
        { SELF, 2, 4, 4, 6, 2, 0, 0, 0, 1 },   { SELF, 2, 5, 5, 3, 1, 1, 1, 0, 1 },
        { CROSS, 3, 2, 5, 4, 4, 0, 1, 0, 1 },  { THREE, 2, 4, 3, 6, 3, 1, 0, 0, 1 },
        { KEYED, 1, 3, 3, 4, 2, 0, 0, 0, 1 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const layer_case c = make_case(&cases[i]);
        layer_check(&c);
        if (i % 4 == 0) library_check(&c);
    }
}

/* More than a block of queries, of keys, of a product; enough work for several threads. */
static void attention_large(void)
{
    static const attention_case cases[] = {
        { SELF, 2, 70, 70, 8, 2, 1, 0, 0, 0 },   { CROSS, 2, 65, 90, 8, 2, 0, 1, 0, 0 },
        { CROSS, 1, 5, 300, 6, 1, 0, 0, 0, 0 },  { SELF, 1, 130, 130, 4, 2, 1, 1, 0, 1 },
        { CROSS, 2, 129, 30, 12, 1, 1, 0, 1, 0 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        layer_case c = make_case(&cases[i]);
        c.big = 1;
        layer_check(&c);
    }
}

static void attention_random(void)
{
    unsigned state = 11;
    for (int i = 0; i < RANDOM_CASES; i++) {
        attention_case a;
        layer_case c;
        a.kind = ref_below(&state, KINDS);
        a.n = 1 + ref_below(&state, 3);
        a.t = 1 + ref_below(&state, 6);
        a.s = a.kind == CROSS || a.kind == THREE ? 1 + ref_below(&state, 6) : a.t;
        a.heads = 1 + ref_below(&state, 4);
        a.e = a.heads * (1 + ref_below(&state, 3));
        a.causal = ref_below(&state, 2);
        a.lengths = ref_below(&state, 2);
        a.no_bias = ref_below(&state, 3) == 0;
        a.core = ref_below(&state, 4) == 0;
        c = make_case(&a);
        layer_check(&c);
    }
}

/* ================================================================================================
 * learned tensors and positions
 * ============================================================================================== */

static cvn_node build_position(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_position_embedding(net, x[0]) : cvn_positional_encoding(net, x[0]);
}

static void ref_position(const layer_case *c, int training, double *const *x, double *const *p,
                         double *y)
{
    const int steps = c->x[0].dim[1];
    const int columns = c->x[0].dim[2];
    (void)training;
    for (int i = 0; i < ref_count(c->y); i++) {
        const int t = i / columns % steps;
        const int k = i % columns / 2;
        const double angle = t / pow(10000, 2.0 * k / columns);
        const double wave = i % columns % 2 ? cos(angle) : sin(angle);
        y[i] = x[0][i] + (c->kind ? p[0][i % (steps * columns)] : wave);
    }
}

static void positions(void)
{
    static const int shapes[][3] = { { 2, 3, 4 }, { 3, 5, 7 }, { 1, 1, 1 }, { 4, 130, 70 } };
    for (int i = 0; i < 8; i++) {
        const int *const s = shapes[i / 2];
        layer_case c;
        memset(&c, 0, sizeof c);
        c.n = s[0];
        c.inputs = 1;
        c.x[0] = c.y = ref_shape(3, s[0], s[1], s[2], 0);
        c.kind = i % 2;
        c.big = i / 2 == 3;
        c.build = build_position;
        c.forward = ref_position;
        snprintf(c.text, sizeof c.text, "position %d, [%d, %d, %d]", c.kind, s[0], s[1], s[2]);
        layer_check(&c);
    }
}

static cvn_init normal_init(float deviation)
{
    cvn_init init;
    init.kind = CVN_INIT_NORMAL;
    init.a = 0;
    init.b = deviation;
    return init;
}

/* Every sample has the value; the gradient is the sum, in the net's order. */
static void parameter(void)
{
    static const int dims[2] = { 2, 3 };
    const cvn_init none = { CVN_INIT_DEFAULT, 0, 0 };
    const float x[24] = { 1, 2, 3, 4, 5, 6, -1, 0.5f, 2, 1, 0, 3,
                          2, 2, 2, 1, 1, 1, 9,  8,    7, 6, 5, 4 };
    float out[24];
    float g[24];
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_tensor(net, dims, 2);
    const cvn_node w = cvn_parameter(net, dims, 2, none);
    const cvn_node y = cvn_mul(net, in, w);
    cvn_node v;
    cvn_param p;
    cvn_scope(net, "head");
    v = cvn_parameter(net, dims, 1, normal_init(1));
    CHECK(strcmp(cvn_node_name(net, v), "head.parameter1") == 0);
    CHECK(cvn_node_shape(net, v).rank == 2);
    cvn_scope(net, "");
    cvn_output(net, y);
    cvn_want_grad(net, y);
    cvn_keep(net, w);
    if (!built(net, 4)) return;
    p = cvn_param_find(net, "parameter1");
    CHECK(p.value && p.shape.rank == 2 && p.shape.dim[0] == 2 && p.shape.dim[1] == 3);
    CHECK(cvn_param_find(net, "head.parameter1").count == 2 && cvn_param_count(net) == 2);
    CHECK(fabs((double)cvn_param_find(net, "head.parameter1").value[0]) > 0);
    for (int i = 0; i < 6; i++) CHECK(fabs((double)p.value[i]) <= 0);
    for (int i = 0; i < 6; i++) p.value[i] = (float)(i + 1) / 4;
    cvn_touch(net);
    for (int i = 0; i < 24; i++) g[i] = (float)(i % 5) - 1.5f;
    for (int n = 4; n >= 3; n--) {
        cvn_zero_grad(net);
        CHECK(cvn_set_input(net, in, x, n) == CVN_OK && cvn_forward(net) == CVN_OK);
        CHECK(cvn_node_shape(net, w).dim[0] == n);
        for (int i = 0; i < 6 * n; i++) {
            CHECK_NEAR(cvn_value(net, w)[i], p.value[i % 6], 0);
            CHECK_NEAR(cvn_value(net, y)[i], x[i] * p.value[i % 6], 1e-6);
        }
        CHECKF(cvn_backward_from(net, y, g) == CVN_OK, "%s", cvn_error(net));
        for (int i = 0; i < 6; i++) {
            double want = 0;
            for (int k = 0; k < n; k++) want += (double)(g[6 * k + i] * x[6 * k + i]);
            CHECK_NEAR(p.gradient[i], want, 1e-5);
        }
    }
    CHECKF(cvn_predict(net, x, 3, out) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < 18; i++) CHECK_NEAR(out[i], x[i] * p.value[i % 6], 1e-6);
    cvn_destroy(net);
}

/* Plans for prediction and with everything kept; more samples than one batch. */
static void parameter_plans(void)
{
    static const int dims[1] = { 5 };
    float x[35];
    float out[35];
    for (int i = 0; i < 35; i++) x[i] = (float)i / 7 - 2;
    for (int plan = 0; plan < 3; plan++) {
        cvn_desc desc = cvn_desc_defaults();
        cvn_net *net;
        cvn_node in, w, y;
        desc.keep_all = plan == 1;
        net = cvn_create(&desc);
        in = cvn_input_tensor(net, dims, 1);
        w = cvn_parameter(net, dims, 1, normal_init(2));
        y = cvn_relu(net, cvn_add(net, cvn_relu(net, w), in));
        cvn_output(net, y);
        CHECKF((plan == 2 ? cvn_build_infer(net, 3) : cvn_build(net, 3)) == CVN_OK, "%s",
               cvn_error(net));
        CHECKF(cvn_predict(net, x, 7, out) == CVN_OK, "%s", cvn_error(net));
        for (int i = 0; i < 35; i++) {
            const float v = cvn_param_at(net, 0).value[i % 5];
            const float sum = (v > 0 ? v : 0) + x[i];
            CHECK_NEAR(out[i], sum > 0 ? sum : 0, 1e-6);
        }
        cvn_destroy(net);
    }
}

/* A net without an input: the parameter is drawn to its target; frozen it stays. */
static void parameter_alone(void)
{
    static const int dims[3] = { 1, 4, 4 };
    for (int frozen = 0; frozen < 2; frozen++) {
        const cvn_optimizer sgd = cvn_sgd(0.5f, 0);
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_parameter(net, dims, 3, normal_init(1));
        const cvn_node loss = cvn_mean_loss(net, cvn_square(net, cvn_scale(net, image, 1, -3)));
        float first = 0;
        cvn_keep(net, image);
        cvn_set_optimizer(net, &sgd);
        if (frozen) cvn_freeze(net, image);
        if (!built(net, 1)) return;
        CHECK(loss.id != 0);
        for (int s = 0; s < 100; s++) {
            CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
            if (!s) first = cvn_loss(net);
            CHECK(cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
        }
        CHECK(frozen ? cvn_loss(net) >= first : cvn_loss(net) < 1e-3f);
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * what is not seen, dropout, memory
 * ============================================================================================== */

/* Values of one pass over 80 steps (more than a block) with 6 columns. */
static float *causal_pass(int blocks, float *x)
{
    cvn_transformer_desc d = cvn_transformer_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = sequence(net, 80, 6);
    float *copy;
    cvn_node y;
    d.heads = 2;
    d.causal = 1;
    y = cvn_transformer_encoder(net, in, &d);
    if (blocks > 1) y = cvn_transformer_decoder(net, y, in, &d);
    CHECKF(cvn_build_infer(net, 2) == CVN_OK, "%s", cvn_error(net));
    copy = (float *)ref_alloc(960, sizeof *copy);
    CHECKF(cvn_predict(net, x, 2, copy) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
    return copy;
}

static void causal_bits(void)
{
    static const int changed[3] = { 79, 70, 1 };
    float x[960];
    float *before;
    ref_fill(x, 960, -1, 1, 3);
    before = causal_pass(1, x);
    for (int i = 0; i < 3; i++) {
        const int at = changed[i] * 6;
        float *after;
        x[at] += 1;
        after = causal_pass(1, x);
        CHECK(memcmp(before, after, (size_t)at * sizeof(float)) == 0);
        CHECK(memcmp(before + at, after + at, 6 * sizeof(float)) != 0);
        CHECK(memcmp(before + 480, after + 480, 480 * sizeof(float)) == 0);
        free(after);
        x[at] -= 1;
    }
    free(before);
    before = causal_pass(2, x);         /* the memory is seen as a whole */
    x[79 * 6] += 1;
    {
        float *after = causal_pass(2, x);
        CHECK(memcmp(before, after, 6 * sizeof(float)) != 0);
        free(after);
    }
    free(before);
}

/* Keys behind the length may be anything, and have no gradient. */
static void padding(void)
{
    static const int lengths[3] = { 2, 5, 1 };
    float q[24];
    float m[60];
    float g[24];
    float first[24];
    cvn_attention_desc d = cvn_attention_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node query = sequence(net, 2, 4);
    const cvn_node memory = sequence(net, 5, 4);
    cvn_node y;
    d.heads = 2;
    d.lengths = cvn_input_labels(net, NULL, 0);
    y = cvn_multihead_attention_ex(net, query, memory, memory, &d);
    cvn_want_grad(net, memory);
    cvn_want_grad(net, y);
    if (!built(net, 3)) return;
    ref_fill(q, 24, -1, 1, 1);
    ref_fill(m, 60, -1, 1, 2);
    ref_fill(g, 24, -1, 1, 5);
    CHECK(cvn_set_input(net, query, q, 3) == CVN_OK && cvn_set_input(net, memory, m, 3) == CVN_OK);
    CHECK(cvn_set_labels(net, d.lengths, lengths, 3) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_OK);
    memcpy(first, cvn_value(net, y), sizeof first);
    CHECKF(cvn_backward_from(net, y, g) == CVN_OK, "%s", cvn_error(net));
    for (int n = 0; n < 3; n++)
        for (int s = 0; s < 5; s++) {
            double size = 0;
            for (int i = 0; i < 4; i++)
                size += fabs((double)cvn_gradient(net, memory)[(n * 5 + s) * 4 + i]);
            CHECK((size > 0) == (s < lengths[n]));
        }
    for (int n = 0; n < 3; n++)
        for (int i = lengths[n] * 4; i < 20; i++) m[n * 20 + i] = i % 2 ? NAN : INFINITY;
    CHECK(cvn_set_input(net, memory, m, 3) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK(memcmp(first, cvn_value(net, y), sizeof first) == 0);
    cvn_destroy(net);
}

static void bad_lengths(void)
{
    static const int bad[2][2] = { { 3, 0 }, { 4, 5 } };
    static const char *const texts[2] = { "length 0 (sample 1 of the batch) is not in 1..4",
                                          "length 5 (sample 1 of the batch) is not in 1..4" };
    const float x[16] = { 0 };
    cvn_attention_desc d = cvn_attention_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = sequence(net, 4, 2);
    d.lengths = cvn_input_labels(net, NULL, 0);
    cvn_multihead_attention_ex(net, in, in, in, &d);
    if (!built(net, 2)) return;
    CHECK(cvn_set_input(net, in, x, 2) == CVN_OK);
    for (int i = 0; i < 2; i++) {
        CHECK(cvn_set_labels(net, d.lengths, bad[i], 2) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_ERROR_ARGUMENT);
        CHECKF(strstr(cvn_error(net), texts[i]) != NULL, "%s", cvn_error(net));
    }
    cvn_destroy(net);
}

#define D_N 6
#define D_T 70
#define D_S 64
#define D_COUNT (D_N * D_T * D_S)

/* The same net twice: query 0, so that all weights are 1/S, and the unit matrix as values, so that
 * y is the weights after dropout. */
static cvn_net *dropout_net(float p, int threads, cvn_node *node)
{
    cvn_attention_desc a = cvn_attention_defaults();
    cvn_desc desc = cvn_desc_defaults();
    float *q = (float *)ref_alloc(D_COUNT, sizeof *q);
    float *k = (float *)ref_alloc((size_t)D_N * D_S * D_S, sizeof *k);
    float *v = (float *)ref_alloc((size_t)D_N * D_S * D_S, sizeof *v);
    cvn_net *net;
    desc.threads = threads;
    net = cvn_create(&desc);
    node[0] = sequence(net, D_T, D_S);
    node[1] = sequence(net, D_S, D_S);
    node[2] = sequence(net, D_S, D_S);
    a.dropout = p;
    node[3] = cvn_scaled_dot_product_attention(net, node[0], node[1], node[2], &a);
    for (int i = 0; i < 4; i++) cvn_want_grad(net, node[i]);
    ref_fill(k, D_N * D_S * D_S, -1, 1, 4);
    for (int i = 0; i < D_N * D_S; i++) v[i * D_S + i % D_S] = 1;
    if (built(net, D_N))
        CHECK(cvn_set_input(net, node[0], q, D_N) == CVN_OK &&
              cvn_set_input(net, node[1], k, D_N) == CVN_OK &&
              cvn_set_input(net, node[2], v, D_N) == CVN_OK && cvn_forward(net) == CVN_OK);
    free(q);
    free(k);
    free(v);
    return net;
}

/* Gradients under the mask that y shows: dV = y^T g; dQ = dA K,
 * dA = P (g mask - sum P g mask)/sqrt(d). */
static void check_dropout_gradients(cvn_net *net, const cvn_node *node, const float *g)
{
    const float *const y = cvn_value(net, node[3]);
    const float *const k = cvn_value(net, node[1]);
    double worst = 0;
    for (int n = 0; n < D_N; n += 5)
        for (int i = 0; i < 20; i++) {
            const int s = i * 37 % D_S;
            const int c = i * 11 % D_S;
            const int t = i * 29 % D_T;
            const float *const row = y + (n * D_T + t) * D_S;
            double dv = 0;
            double mean = 0;
            double dq = 0;
            for (int r = 0; r < D_T; r++)
                dv += (double)y[(n * D_T + r) * D_S + s] * (double)g[(n * D_T + r) * D_S + c];
            for (int e = 0; e < D_S; e++)
                mean += (double)row[e] * (double)g[(n * D_T + t) * D_S + e];
            for (int e = 0; e < D_S; e++)
                dq += ((double)row[e] * (double)g[(n * D_T + t) * D_S + e] - mean / D_S) / 8 *
                      (double)k[(n * D_S + e) * D_S + c];
            dv = fabs(dv - (double)cvn_gradient(net, node[2])[(n * D_S + s) * D_S + c]);
            dq = fabs(dq - (double)cvn_gradient(net, node[0])[(n * D_T + t) * D_S + c]);
            worst = dv > worst ? dv : worst;
            worst = dq > worst ? dq : worst;
        }
    CHECKF(worst < 1e-5, "off by %g", worst);
}

static void dropout(void)
{
    const double p = 0.3;
    float *g = (float *)ref_alloc(D_COUNT, sizeof *g);
    float *first = (float *)ref_alloc(D_COUNT, sizeof *first);
    cvn_node node[4];
    cvn_net *net = dropout_net(0.3f, 1, node);
    double same = 0;
    int zeros = 0;
    int wrong = 0;
    ref_fill(g, D_COUNT, -1, 1, 8);
    memcpy(first, cvn_value(net, node[3]), D_COUNT * sizeof *first);
    for (int i = 0; i < D_COUNT; i++) {
        zeros += fabs((double)first[i]) <= 0;
        wrong += fabs((double)first[i]) > 0 && fabs((double)first[i] * D_S * (1 - p) - 1) > 1e-5;
    }
    CHECKF(fabs((double)zeros / D_COUNT - p) < 0.012, "%g are zero", (double)zeros / D_COUNT);
    CHECK(wrong == 0);
    CHECKF(cvn_backward_from(net, node[3], g) == CVN_OK, "%s", cvn_error(net));
    check_dropout_gradients(net, node, g);
    CHECK(cvn_forward(net) == CVN_OK);          /* another mask */
    for (int i = 0; i < D_COUNT; i++)
        same += (fabs((double)first[i]) > 0) == (fabs((double)cvn_value(net, node[3])[i]) > 0);
    CHECKF(fabs(same / D_COUNT - 0.58) < 0.02, "%g are as before", same / D_COUNT);
    CHECK(cvn_forward_eval(net) == CVN_OK);
    for (int i = 0; i < D_COUNT; i += 97)
        CHECK_NEAR(cvn_value(net, node[3])[i], 1.0 / D_S, 1e-8);
    cvn_destroy(net);
    net = dropout_net(0.3f, 3, node);
    CHECK(memcmp(first, cvn_value(net, node[3]), D_COUNT * sizeof *first) == 0);
    cvn_destroy(net);
    free(g);
    free(first);
}

/* Each query of each head of each sample has a mask of its own. */
static void dropout_masks(void)
{
    cvn_attention_desc a = cvn_attention_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node q = sequence(net, 5, 80);
    const cvn_node v = sequence(net, 40, 80);
    float *zeros = (float *)ref_alloc(2 * 40 * 80, sizeof *zeros);
    int equal = 0;
    cvn_node y;
    a.heads = 2;
    a.dropout = 0.5f;
    y = cvn_scaled_dot_product_attention(net, q, v, v, &a);
    cvn_keep(net, y);
    if (built(net, 2) && CHECK(cvn_set_input(net, q, zeros, 2) == CVN_OK)) {
        for (int i = 0; i < 2 * 40 * 2; i++) zeros[i * 40 + i / 2 % 40] = 1;
        CHECK(cvn_set_input(net, v, zeros, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
        for (int i = 0; i < 20; i++)
            for (int k = 0; k < i; k++)     /* nor one that is moved by one draw of random words */
                for (int by = 0; by <= 4; by += 4)
                    equal += memcmp(cvn_value(net, y) + k * 40 + by, cvn_value(net, y) + i * 40,
                                    (size_t)(40 - by) * sizeof(float)) == 0;
        CHECKF(equal == 0, "%d of 190 pairs have one mask", equal);
    }
    free(zeros);
    cvn_destroy(net);
}

/* The rest of the promises hold with dropout too: same bits for any number of threads. */
static void dropout_layer(void)
{
    static const attention_case cases[2] = { { SELF, 3, 9, 9, 6, 2, 1, 0, 0, 0 },
                                             { CROSS, 2, 66, 70, 8, 2, 0, 1, 0, 0 } };
    for (int i = 0; i < 2; i++) {
        layer_case c = make_case(&cases[i]);
        c.a = 0.4f;
        c.varies = 1;
        layer_check(&c);
    }
}

/* The weights are not stored: 2 MiB of them for one sample. */
static void memory(void)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_node x;
    size_t train, infer;
    desc.threads = 1;
    net = cvn_create(&desc);
    x = sequence(net, 256, 8);
    cvn_multihead_attention(net, x, x, x, 8);
    train = cvn_memory_needed(net, 1, CVN_TRAIN);
    infer = cvn_memory_needed(net, 1, CVN_INFER);
    CHECKF(train > 0 && train < 800000, "%lu", (unsigned long)train);
    CHECKF(infer > 0 && infer < train, "%lu, %lu", (unsigned long)infer, (unsigned long)train);
    cvn_destroy(net);
}

/* ================================================================================================
 * PyTorch's values
 * ============================================================================================== */

static cvn_node golden_attention(cvn_net *net, const attention_golden *g, const cvn_node *x,
                                 cvn_node lengths)
{
    const char *const name = g->name;
    const int three = g->inputs == 3;
    cvn_attention_desc d = cvn_attention_defaults();
    const cvn_node key = g->inputs > 1 ? x[1] : x[0];
    cvn_node y;
    d.causal = strstr(name, "causal") != NULL;
    d.no_bias = strstr(name, "no_bias") != NULL;
    d.lengths = lengths;
    d.heads = 2;
    if (strcmp(name, "mha_self_causal") == 0) d.heads = 3;
    if (strcmp(name, "mha_causal_padded") == 0 || strcmp(name, "core_causal") == 0) d.heads = 1;
    if (strcmp(name, "mha_three") == 0) d.heads = 4;
    if (strncmp(name, "core", 4) == 0)
        return cvn_scaled_dot_product_attention(net, x[0], x[1], x[2], &d);
    y = cvn_multihead_attention_ex(net, x[0], key, three ? x[2] : key, &d);
    return cvn_name(net, y, "layer");
}

static cvn_node golden_layer(cvn_net *net, const attention_golden *g, const cvn_node *x,
                             cvn_node lengths, cvn_node memory_lengths)
{
    cvn_transformer_desc d = cvn_transformer_defaults();
    cvn_scope(net, "layer");
    if (strcmp(g->name, "patches") == 0) return cvn_patch_embedding(net, x[0], 2, 3);
    d.heads = 2;
    d.norm_first = strstr(g->name, "pre") != NULL;
    d.gelu = strstr(g->name, "gelu") != NULL;
    d.causal = strstr(g->name, "causal") != NULL;
    d.lengths = lengths;
    d.memory_lengths = memory_lengths;
    d.feedforward = strncmp(g->name, "encoder", 7) == 0 ? 5 : 6;
    if (d.feedforward == 5) return cvn_transformer_encoder(net, x[0], &d);
    return cvn_transformer_decoder(net, x[0], x[1], &d);
}

static cvn_node golden_lengths(cvn_net *net, const int *lengths)
{
    const cvn_node none = { 0 };
    return lengths ? cvn_input_labels(net, NULL, 0) : none;
}

static int tensor_count(const attention_tensor *t)
{
    int count = 1;
    for (int i = 0; i < t->rank; i++) count *= t->dim[i];
    return count;
}

static void compare_golden(cvn_net *net, const attention_golden *g, const cvn_node *x, cvn_node y)
{
    check_near_all("y", cvn_value(net, y), g->y, g->outputs);
    CHECKF(cvn_backward_from(net, y, g->g) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < g->tensors; i++) {
        const attention_tensor *const t = &g->tensor[i];
        char name[100];
        const float *got;
        snprintf(name, sizeof name, "layer.%s", t->name);
        got = i < g->inputs ? cvn_gradient(net, x[i]) : cvn_param_find(net, name).gradient;
        check_near_all(name, got, t->grad, tensor_count(t));
    }
}

static void check_golden(const attention_golden *g)
{
    cvn_net *net = cvn_create(NULL);
    const int n = g->tensor[0].dim[0];
    const cvn_node lengths = golden_lengths(net, g->lengths);
    const cvn_node memory_lengths = golden_lengths(net, g->memory_lengths);
    cvn_node x[3];
    cvn_node y;
    for (int i = 0; i < g->inputs; i++) {
        x[i] = cvn_input_tensor(net, g->tensor[i].dim + 1, g->tensor[i].rank - 1);
        cvn_want_grad(net, x[i]);
    }
    if (g->name[0] == 'm' || g->name[0] == 'c') y = golden_attention(net, g, x, lengths);
    else y = golden_layer(net, g, x, lengths, memory_lengths);
    cvn_want_grad(net, y);
    if (built(net, n) && CHECK(cvn_param_count(net) == g->tensors - g->inputs)) {
        for (int i = 0; i < g->tensors; i++) {
            const attention_tensor *const t = &g->tensor[i];
            char name[100];
            cvn_param p;
            snprintf(name, sizeof name, "layer.%s", t->name);
            p = cvn_param_find(net, name);
            if (i < g->inputs) {
                CHECK(cvn_set_input(net, x[i], t->value, n) == CVN_OK);
            } else if (CHECKF(p.value && p.count == (size_t)tensor_count(t), "no %s", name)) {
                memcpy(p.value, t->value, p.count * sizeof(float));
            }
        }
        cvn_touch(net);
        if (g->lengths) CHECK(cvn_set_labels(net, lengths, g->lengths, n) == CVN_OK);
        if (g->memory_lengths)
            CHECK(cvn_set_labels(net, memory_lengths, g->memory_lengths, n) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        compare_golden(net, g, x, y);
    }
    cvn_destroy(net);
}

static void pytorch(void)
{
    for (size_t i = 0; i < sizeof attention_goldens / sizeof attention_goldens[0]; i++) {
        test_case("PyTorch's %s", attention_goldens[i].name);
        check_golden(&attention_goldens[i]);
    }
}

/* ================================================================================================
 * names, first values, refusals, nets that train
 * ============================================================================================== */

static void first_values(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = sequence(net, 3, 16);
    const cvn_node a = cvn_multihead_attention(net, x, x, x, 4);
    const char *const names[4] = { "mha1.in_proj_weight", "mha1.in_proj_bias",
                                   "mha1.out_proj.weight", "mha1.out_proj.bias" };
    const double bounds[4] = { sqrt(6.0 / 64), 0, 0.25, 0 };
    cvn_position_embedding(net, a);
    if (!built(net, 1)) return;
    for (int i = 0; i < 4; i++) {
        const cvn_param p = cvn_param_at(net, i);
        double most = 0;
        CHECKF(strcmp(p.name, names[i]) == 0, "%s", p.name);
        for (size_t e = 0; e < p.count; e++)
            most = fabs((double)p.value[e]) > most ? fabs((double)p.value[e]) : most;
        CHECKF(most <= bounds[i] && most >= 0.95 * bounds[i], "%s: %g", p.name, most);
    }
    CHECK(strcmp(cvn_param_at(net, 4).name, "posemb1.weight") == 0);
    CHECK(cvn_param_at(net, 4).count == 48);
    for (int i = 0; i < 48; i++) CHECK(fabs((double)cvn_param_at(net, 4).value[i]) < 0.1);
    cvn_destroy(net);
}

/* A frozen layer passes the same gradients on and has none of its own. */
static void frozen(void)
{
    float x[2 * 5 * 6];
    float g[2 * 5 * 6];
    float dx[2][2 * 5 * 6];
    ref_fill(x, 60, -1, 1, 1);
    ref_fill(g, 60, -1, 1, 2);
    for (int freeze = 0; freeze < 2; freeze++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node in = sequence(net, 5, 6);
        const cvn_node a = cvn_multihead_attention(net, in, in, in, 3);
        const cvn_node y = cvn_position_embedding(net, a);
        cvn_want_grad(net, in);
        cvn_want_grad(net, y);
        if (freeze) CHECK(cvn_freeze_to(net, y) == CVN_OK);
        if (!built(net, 2)) return;
        CHECK(cvn_set_input(net, in, x, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
        CHECKF(cvn_backward_from(net, y, g) == CVN_OK, "%s", cvn_error(net));
        memcpy(dx[freeze], cvn_gradient(net, in), sizeof dx[0]);
        for (int i = 0; i < cvn_param_count(net); i++) {
            const cvn_param p = cvn_param_at(net, i);
            double size = 0;
            for (size_t e = 0; e < p.count; e++) size += fabs((double)p.gradient[e]);
            CHECKF((size > 0) == !freeze, "%s: %g", p.name, size);
        }
        cvn_destroy(net);
    }
    CHECK(memcmp(dx[0], dx[1], sizeof dx[0]) == 0);
}

/* A stack with scopes has PyTorch's names; without scopes the first layer has them. */
static void block_names(void)
{
    cvn_transformer_desc d = cvn_transformer_defaults();
    cvn_net *net = cvn_create(NULL);
    cvn_node x = sequence(net, 3, 4);
    char scope[40];
    d.heads = 2;
    d.dropout = 0.1f;
    for (int i = 0; i < 2; i++) {
        snprintf(scope, sizeof scope, "encoder.layers.%d", i);
        cvn_scope(net, scope);
        x = cvn_transformer_encoder(net, x, &d);
    }
    cvn_scope(net, NULL);
    x = cvn_transformer_encoder(net, x, NULL);
    x = cvn_transformer_decoder(net, x, x, &d);
    if (!built(net, 2)) return;
    CHECK(cvn_param_find(net, "encoder.layers.0.self_attn.in_proj_weight").count == 48);
    CHECK(cvn_param_find(net, "encoder.layers.1.linear1.weight").count == 64);
    CHECK(cvn_param_find(net, "encoder.layers.1.norm2.bias").count == 4);
    CHECK(cvn_param_find(net, "self_attn.out_proj.weight").count == 16);
    CHECK(cvn_param_find(net, "multihead_attn.out_proj.bias").count == 4);
    CHECK(cvn_find(net, "norm3").id == x.id);
    CHECK(cvn_param_count(net) == 3 * 12 + 18);
    cvn_destroy(net);
}

enum { REFUSALS = 15 };

static cvn_node refused(cvn_net *net, int i, cvn_node a, cvn_node b, cvn_node labels,
                        cvn_node image)
{
    static const int dims[2] = { 2, 0 };
    const cvn_init init = { CVN_INIT_DEFAULT, 0, 0 };
    cvn_attention_desc d = cvn_attention_defaults();
    cvn_transformer_desc t = cvn_transformer_defaults();
    d.heads = t.heads = 2;
    switch (i) {
    case 0: return cvn_multihead_attention(net, a, a, a, 4);
    case 1: return cvn_multihead_attention(net, a, a, a, 0);
    case 2: return cvn_multihead_attention(net, a, b, a, 2);
    case 3: return cvn_multihead_attention(net, a, image, image, 2);
    case 4: return cvn_multihead_attention(net, a, labels, labels, 2);
    case 5: d.dropout = 1; return cvn_multihead_attention_ex(net, a, a, a, &d);
    case 6: d.lengths = a; return cvn_multihead_attention_ex(net, a, a, a, &d);
    case 7: d.lengths = cvn_input_labels(net, dims, 1);
        return cvn_scaled_dot_product_attention(net, a, a, a, &d);
    case 8: return cvn_parameter(net, dims, 2, init);
    case 9: return cvn_parameter(net, dims, 0, init);
    case 10: return cvn_positional_encoding(net, image);
    case 11: return cvn_position_embedding(net, image);
    case 12: t.feedforward = -1; return cvn_transformer_encoder(net, a, &t);
    case 13: return cvn_transformer_decoder(net, a, image, &t);
    default: return cvn_patch_embedding(net, image, 9, 4);
    }
}

static void refusals(void)
{
    static const char *const texts[REFUSALS] = {
        "4 heads; a divisor of the 6 columns", "heads; a divisor", "do not fit", "do not fit",
        "is labels", "dropout 1", "one number a sample", "one number a sample", "axis 2 has 0",
        "0 axes", "is no sequence", "is no sequence", "units", "do not fit", ""
    };
    for (int i = 0; i < REFUSALS; i++) {
        static const int dims[2] = { 3, 6 };
        cvn_net *net = cvn_create(NULL);
        const cvn_node a = sequence(net, 3, 6);
        const cvn_node b = sequence(net, 4, 6);
        const cvn_node labels = cvn_input_labels(net, dims, 2);
        const cvn_node image = cvn_input(net, 3, 8, 8);
        test_case("refusal %d", i);
        CHECK(refused(net, i, a, b, labels, image).id == 0);
        CHECKF(strlen(cvn_error(net)) > 15 && strstr(cvn_error(net), texts[i]) != NULL, "'%s'",
               cvn_error(net));
        CHECK(cvn_build(net, 1) < 0);
        cvn_destroy(net);
    }
}

/* On a built net the builders are refused and the net stays usable. */
static void refused_when_built(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = sequence(net, 3, 4);
    const float in[12] = { 1 };
    float out[12];
    cvn_transformer_encoder(net, x, NULL);
    if (!built(net, 1)) return;
    CHECK(cvn_transformer_encoder(net, x, NULL).id == 0);
    CHECK(cvn_transformer_decoder(net, x, x, NULL).id == 0);
    CHECKF(cvn_predict(net, in, 1, out) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_transformer_encoder(NULL, x, NULL).id == 0);
    cvn_destroy(net);
}

#define WORDS 6
#define STEPS 6
#define BATCH 32

static void draw_words(unsigned *state, int *words, int *reversed)
{
    for (int n = 0; n < BATCH; n++)
        for (int t = 0; t < STEPS; t++) {
            words[n * STEPS + t] = ref_below(state, WORDS);
            reversed[n * STEPS + STEPS - 1 - t] = words[n * STEPS + t];
        }
}

/* One encoder layer learns to turn sequences around: only the positions can tell where to look. */
static void learns_to_reverse(void)
{
    static const int dims[1] = { STEPS };
    const cvn_optimizer adam = cvn_adam(5e-3f);
    cvn_transformer_desc d = cvn_transformer_defaults();
    cvn_softmax_loss_desc s = cvn_softmax_loss_defaults();
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_node in, y;
    int words[BATCH * STEPS];
    int reversed[BATCH * STEPS];
    unsigned state = 1;
    int right = 0;
    float first = 0;
    desc.threads = 1;               /* too small for more */
    net = cvn_create(&desc);
    in = cvn_input_labels(net, dims, 1);
    y = cvn_positional_encoding(net, cvn_embedding(net, in, WORDS, 32));
    d.heads = 4;
    d.norm_first = 1;
    d.feedforward = 64;
    y = cvn_dense(net, cvn_transformer_encoder(net, y, &d), WORDS);
    s.labels = cvn_input_labels(net, dims, 1);
    cvn_softmax_loss_ex(net, y, &s);
    cvn_output(net, y);
    cvn_set_optimizer(net, &adam);
    if (!built(net, BATCH)) return;
    for (int step = 0; step < TRAIN_STEPS; step++) {
        draw_words(&state, words, reversed);
        CHECK(cvn_set_labels(net, in, words, BATCH) == CVN_OK &&
              cvn_set_labels(net, s.labels, reversed, BATCH) == CVN_OK);
        if (!CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net))) break;
        if (!step) first = cvn_loss(net);
        CHECK(cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
        cvn_zero_grad(net);
    }
    draw_words(&state, words, reversed);
    cvn_set_labels(net, in, words, BATCH);
    CHECK(cvn_forward_eval(net) == CVN_OK);
    for (int i = 0; i < BATCH * STEPS; i++) {
        const float *const v = cvn_value(net, y) + i * WORDS;
        int best = 0;
        for (int k = 1; k < WORDS; k++) if (v[k] > v[best]) best = k;
        right += best == reversed[i];
    }
    CHECKF(TRAIN_STEPS < 100 ? cvn_loss(net) != first : right > 0.97 * BATCH * STEPS,
           "%d of %d words are right", right, BATCH * STEPS);
    cvn_destroy(net);
}

/* Patches, a class token before them, learned positions, a layer, the token's class. */
static void vision_transformer(void)
{
    static const int token[2] = { 1, 12 };
    cvn_transformer_desc d = cvn_transformer_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node image = cvn_input(net, 2, 8, 12);
    cvn_node x[2];
    cvn_node y;
    float in[3 * 192];
    float out[3 * 5];
    d.heads = 3;
    d.gelu = d.norm_first = 1;
    x[0] = cvn_parameter(net, token, 2, normal_init(0.02f));
    cvn_name(net, x[0], "class_token");
    x[1] = cvn_patch_embedding(net, image, 4, 12);
    CHECK(cvn_node_shape(net, x[1]).dim[1] == 6 && cvn_node_shape(net, x[1]).dim[2] == 12);
    y = cvn_position_embedding(net, cvn_concat_n(net, x, 2, 1));
    y = cvn_layernorm(net, cvn_transformer_encoder(net, y, &d));
    y = cvn_dense(net, cvn_flatten(net, cvn_slice(net, y, 1, 0, 1)), 5);
    cvn_softmax_loss(net, y);
    ref_fill(in, 3 * 192, -1, 1, 6);
    if (!built(net, 2)) return;
    CHECK(cvn_param_find(net, "class_token").count == 12);
    CHECK(cvn_param_find(net, "conv_proj.weight").count == 12 * 2 * 16);
    {
        const int labels[2] = { 1, 3 };
        float loss = 0;
        float before = 0;
        for (int i = 0; i < 30; i++) {
            CHECKF(cvn_train_batch(net, in, labels, 2, &loss) == CVN_OK, "%s", cvn_error(net));
            if (!i) before = loss;
        }
        CHECKF(loss < 0.7f * before, "%g, then %g", (double)before, (double)loss);
    }
    CHECKF(cvn_predict(net, in, 3, out) == CVN_OK, "%s", cvn_error(net));
    CHECK(out[1] > out[0] && out[5 + 3] > out[5]);
    CHECK(cvn_resize(net, 8, 16) == CVN_ERROR_SHAPE);       /* other positions than learned */
    CHECKF(strstr(cvn_error(net), "posemb1") != NULL, "%s", cvn_error(net));
    CHECKF(cvn_predict(net, in, 3, out) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

int main(void)
{
    RUN(attention_cases);
    RUN(attention_large);
    RUN(attention_random);
    RUN(positions);
    RUN(parameter);
    RUN(parameter_plans);
    RUN(parameter_alone);
    RUN(causal_bits);
    RUN(padding);
    RUN(bad_lengths);
    RUN(dropout);
    RUN(dropout_masks);
    RUN(dropout_layer);
    RUN(memory);
    RUN(pytorch);
    RUN(first_values);
    RUN(frozen);
    RUN(block_names);
    RUN(refusals);
    RUN(refused_when_built);
    RUN(learns_to_reverse);
    RUN(vision_transformer);
    return test_done();
}
