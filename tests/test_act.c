/* test_act.c - activations beyond the first five, log softmax, GLU, maxout and the user's own pair:
 * against the double reference, against PyTorch's values (golden/act.h, written by
 * golden/make_act.py), and far out. TEST_QUICK: fewer shapes. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/act.h"

#ifdef TEST_QUICK
    #define SHAPES 4
#else
    #define SHAPES 6
#endif

/* The first twelve in the order of act_goldens; the golden softplus_beta is SOFTPLUS_BETA. */
enum { RELU6, SELU, CELU, GELU, GELU_TANH, SILU, MISH, HARDSWISH, HARDSIGMOID, SOFTPLUS,
       SOFTPLUS_BETA, SOFTSIGN, BINARY_STEP, USER, KINDS };

static const char *const names[KINDS] = {
    "relu6", "selu", "celu", "gelu", "gelu_tanh", "silu", "mish", "hardswish", "hardsigmoid",
    "softplus", "softplus_beta", "softsign", "binary_step", "user"
};

/* The user's pair: f(x) = sin(w x), and its derivative from x, which y alone would not give. */
static float wave = 1.3f;

static void wave_forward(void *user, int n, const float *x, float *y)
{
    const float w = *(const float *)user;
    for (int i = 0; i < n; i++) y[i] = sinf(w * x[i]);
}

static void wave_backward(void *user, int n, const float *x, const float *y, const float *dy,
                          float *dx)
{
    const float w = *(const float *)user;
    for (int i = 0; i < n; i++) {
        dx[i] = 0;                              /* shows when dx lies where dy or x do */
        dx[i] = dy[i] * w * cosf(w * x[i]) + 0 * y[i];
    }
}

static cvn_node add_kind(cvn_net *net, cvn_node x, int kind)
{
    switch (kind) {
    case RELU6: return cvn_relu6(net, x);
    case SELU: return cvn_selu(net, x);
    case CELU: return cvn_celu(net, x, 0.7f);
    case GELU: return cvn_gelu(net, x);
    case GELU_TANH: return cvn_gelu_tanh(net, x);
    case SILU: return cvn_silu(net, x);
    case MISH: return cvn_mish(net, x);
    case HARDSWISH: return cvn_hardswish(net, x);
    case HARDSIGMOID: return cvn_hardsigmoid(net, x);
    case SOFTPLUS: return cvn_softplus(net, x, 0, 0);
    case SOFTPLUS_BETA: return cvn_softplus(net, x, 1.5f, 4);
    case SOFTSIGN: return cvn_softsign(net, x);
    case BINARY_STEP: return cvn_binary_step(net, x);
    default: return cvn_activation(net, x, wave_forward, wave_backward, &wave);
    }
}

static cvn_node build_kind(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return add_kind(net, x[0], c->kind);
}

static double exact(int kind, double x)
{
    const double hard = x < -3 ? 0 : x > 3 ? 6 : x + 3;
    const double pi = 3.14159265358979323846;
    switch (kind) {
    case RELU6: return x < 0 ? 0 : x > 6 ? 6 : x;
    case SELU: return 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * (exp(x) - 1));
    case CELU: return x > 0 ? x : (double)0.7f * (exp(x / (double)0.7f) - 1);
    case GELU: return 0.5 * x * (1 + erf(x / sqrt(2.0)));
    case GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
    case SILU: return x / (1 + exp(-x));
    case MISH: return x * tanh(log(1 + exp(x)));
    case HARDSWISH: return x * hard / 6;
    case HARDSIGMOID: return hard / 6;
    case SOFTPLUS: return x > 20 ? x : log(1 + exp(x));
    case SOFTPLUS_BETA: return x * 1.5 > 4 ? x : log(1 + exp(1.5 * x)) / 1.5;
    case SOFTSIGN: return x / (1 + fabs(x));
    case BINARY_STEP: return x >= 0;
    default: return sin((double)wave * x);
    }
}

static void ref_kind(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) y[i] = exact(c->kind, x[0][i]);
}

static void start_case(layer_case *c, cvn_shape x, cvn_shape y,
                       cvn_node (*build)(cvn_net *, const cvn_node *, const layer_case *),
                       ref_forward forward)
{
    memset(c, 0, sizeof *c);
    c->n = x.dim[0];
    c->inputs = 1;
    c->x[0] = x;
    c->y = y;
    c->build = build;
    c->forward = forward;
    c->big = ref_count(x) > 5000;
}

static void elementwise(void)
{
    const cvn_shape shapes[6] = { ref_shape(2, 1, 1, 0, 0),   ref_shape(4, 2, 3, 5, 7),
                                  ref_shape(3, 2, 5, 4, 0),   ref_shape(4, 3, 7, 30, 31),
                                  ref_shape(2, 1, 65, 0, 0),  ref_shape(2, 3, 13, 0, 0) };
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < SHAPES && kind != BINARY_STEP; i++) {
            layer_case c;
            start_case(&c, shapes[i], shapes[i], build_kind, ref_kind);
            c.kind = kind;
            snprintf(c.text, sizeof c.text, "%s of %d elements", names[kind], ref_count(shapes[i]));
            /* the jump at its threshold has no derivative */
            if (kind == SOFTPLUS_BETA) c.positive[0] = 1;
            layer_check(&c);
        }
}

/* ================================================================================================
 * one layer by hand
 * ============================================================================================== */

typedef struct bench {
    cvn_net *net;
    cvn_node x, y;
} bench;

static bench open_bench(cvn_shape x)
{
    bench b;
    b.net = cvn_create(NULL);
    b.x = cvn_input_tensor(b.net, x.dim + 1, x.rank - 1);
    b.y = b.x;
    return b;
}

/* Builds for n samples, and runs forward and backward; 0 when something is refused. */
static int run_bench(bench *b, int n, const float *x, const float *dy)
{
    cvn_want_grad(b->net, b->x);
    cvn_want_grad(b->net, b->y);
    cvn_output(b->net, b->y);
    if (!CHECKF(cvn_build(b->net, n) == CVN_OK, "%s", cvn_error(b->net))) return 0;
    return CHECKF(cvn_set_input(b->net, b->x, x, n) == CVN_OK && cvn_forward(b->net) == CVN_OK &&
                      cvn_backward_from(b->net, b->y, dy) == CVN_OK, "%s", cvn_error(b->net));
}

static void near_all(const char *what, const float *a, const float *b, int count, double tolerance)
{
    for (int i = 0; i < count; i++)
        CHECKF(fabs((double)a[i] - (double)b[i]) <=
                   tolerance * (fabs((double)b[i]) + 0.01) + 1e-37, "%s[%d] is %.9g, PyTorch %.9g",
               what, i, (double)a[i], (double)b[i]);
}

/* Every point of the grid, the corners and far out. */
static void pytorch_points(void)
{
    float ones[ACT_POINTS];
    CHECK(sizeof act_goldens / sizeof act_goldens[0] == BINARY_STEP);
    for (int i = 0; i < ACT_POINTS; i++) ones[i] = 1;
    for (int kind = 0; kind < BINARY_STEP; kind++) {
        bench b = open_bench(ref_shape(2, 1, ACT_POINTS, 0, 0));
        test_case("%s", act_goldens[kind].name);
        CHECK(strcmp(names[kind], act_goldens[kind].name) == 0);
        b.y = add_kind(b.net, b.x, kind);
        if (run_bench(&b, 1, act_x, ones)) {
            near_all("y", cvn_value(b.net, b.y), act_goldens[kind].y, ACT_POINTS, 1e-6);
            near_all("slope", cvn_gradient(b.net, b.x), act_goldens[kind].slope, ACT_POINTS, 2e-5);
        }
        cvn_destroy(b.net);
    }
}

/* The tails keep their digits: 1 + erf(x) or 1 - y would have lost them. */
static void tails_keep_digits(void)
{
    const float x[3] = { -5, -8, -10 };
    const float ones[3] = { 1, 1, 1 };
    static const int kinds[5] = { GELU, GELU_TANH, SILU, MISH, SOFTPLUS };
    for (int k = 0; k < 5; k++) {
        bench b = open_bench(ref_shape(2, 1, 3, 0, 0));
        test_case("%s", names[kinds[k]]);
        b.y = add_kind(b.net, b.x, kinds[k]);
        if (run_bench(&b, 1, x, ones))
            for (int i = 0; i < 3; i++) {
                const double v = (double)x[i];
                /* 1 + erf and 1 + tanh of the plain formula cancel in double, too */
                const double u = 1.5957691216057308 * (v + 0.044715 * v * v * v);
                const double y = kinds[k] == GELU ? 0.5 * v * erfc(-v / sqrt(2.0))
                                 : kinds[k] == GELU_TANH ? v / (1 + exp(-u)) : exact(kinds[k], v);
                CHECK_NEAR(cvn_value(b.net, b.y)[i] / y, 1, 1e-4);
            }
        cvn_destroy(b.net);
    }
}

/* Infinite inputs have the limit as their value, and a slope of 0 or the asymptote's. */
static void infinite(void)
{
    const float x[4] = { -HUGE_VALF, HUGE_VALF, -3e38f, 3e38f };
    const float ones[4] = { 1, 1, 1, 1 };
    static const float low[BINARY_STEP + 1] = { 0, -1.7580993f, -0.7f, 0, 0, 0, 0, 0, 0, 0, 0, -1,
                                                0 };
    for (int kind = 0; kind <= BINARY_STEP; kind++) {
        const int flat = kind == RELU6 || kind == HARDSIGMOID || kind >= SOFTSIGN;
        bench b = open_bench(ref_shape(2, 1, 4, 0, 0));
        test_case("%s", names[kind]);
        b.y = add_kind(b.net, b.x, kind);
        if (run_bench(&b, 1, x, ones)) {
            const float *y = cvn_value(b.net, b.y);
            const float *dx = cvn_gradient(b.net, b.x);
            const double up = kind == SELU ? 1.0507009873554805 : 1;
            for (int i = 0; i < 4; i += 2) {
                CHECK_NEAR(y[i], low[kind], 1e-6);
                CHECK_NEAR(dx[i], 0, 1e-6);
                if (flat) CHECK_NEAR(y[i + 1], kind == RELU6 ? 6 : 1, 1e-6);
                else CHECK(y[i + 1] >= 3e38f);
                CHECK_NEAR(dx[i + 1], flat ? 0 : up, 1e-6);
            }
        }
        cvn_destroy(b.net);
    }
}

static void step_straight_through(void)
{
    const float x[8] = { -2, -1, -0.5f, -0.0f, 0, 0.3f, 1, 1.0001f };
    const float dy[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    const float y[8] = { 0, 0, 0, 1, 1, 1, 1, 1 };
    const float dx[8] = { 0, 2, 3, 4, 5, 6, 7, 0 };
    bench b = open_bench(ref_shape(2, 2, 4, 0, 0));
    b.y = cvn_binary_step(b.net, b.x);
    if (run_bench(&b, 2, x, dy)) {
        CHECK(memcmp(cvn_value(b.net, b.y), y, sizeof y) == 0);
        CHECK(memcmp(cvn_gradient(b.net, b.x), dx, sizeof dx) == 0);
    }
    cvn_destroy(b.net);
}

/* A net for prediction alone writes values over their inputs; the numbers are the same. */
static void in_place(void)
{
    enum { COUNT = 2 * 10007 };
    static float x[COUNT];
    ref_fill(x, COUNT, -4, 8, 3);
    for (int kind = 0; kind < KINDS; kind++) {
        cvn_net *net[2];
        cvn_node y[2];
        test_case("%s", names[kind]);
        for (int i = 0; i < 2; i++) {
            cvn_desc desc = cvn_desc_defaults();
            cvn_node in;
            desc.keep_all = !i;
            net[i] = cvn_create(&desc);
            in = cvn_input_vector(net[i], COUNT / 2);
            y[i] = add_kind(net[i], add_kind(net[i], cvn_add(net[i], in, in), kind), kind);
            CHECKF((i ? cvn_build_infer(net[i], 2) : cvn_build(net[i], 2)) == CVN_OK, "%s",
                   cvn_error(net[i]));
            CHECK(cvn_set_input(net[i], in, x, 2) == CVN_OK && cvn_forward_eval(net[i]) == CVN_OK);
        }
        CHECK(memcmp(cvn_value(net[0], y[0]), cvn_value(net[1], y[1]), sizeof x) == 0);
        for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
    }
}

/* ================================================================================================
 * prelu
 * ============================================================================================== */

static cvn_node build_prelu(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_prelu(net, x[0], c->kind);
}

static void ref_prelu(const layer_case *c, int training, double *const *x, double *const *p,
                      double *y)
{
    const int channels = c->x[0].dim[1];
    const int inner = ref_count(c->x[0]) / (c->n * channels);
    (void)training;
    for (int i = 0; i < ref_count(c->y); i++) {
        const double w = p[0][c->kind > 1 ? i / inner % channels : 0];
        y[i] = x[0][i] > 0 ? x[0][i] : w * x[0][i];
    }
}

static void prelu(void)
{
    const cvn_shape shapes[5] = { ref_shape(2, 3, 5, 0, 0), ref_shape(4, 2, 3, 5, 4),
                                  ref_shape(3, 2, 4, 3, 0), ref_shape(4, 1, 1, 2, 2),
                                  ref_shape(4, 4, 16, 20, 21) };
    for (int i = 0; i < 5; i++)
        for (int each = 0; each < 2; each++) {
            layer_case c;
            start_case(&c, shapes[i], shapes[i], build_prelu, ref_prelu);
            c.kind = each ? shapes[i].dim[1] : i % 2;           /* 0 and 1: one */
            snprintf(c.text, sizeof c.text, "prelu of %d elements, %d parameters",
                     ref_count(shapes[i]), c.kind);
            layer_check(&c);
        }
}

static void prelu_parameters(void)
{
    for (int each = 0; each < 2; each++) {
        const float *w = each ? act_prelu_channels_w : act_prelu_one_w;
        const int count = each ? 4 : 1;
        bench b = open_bench(ref_shape(4, 2, 4, 3, 2));
        cvn_param p;
        b.y = cvn_prelu(b.net, b.x, count);
        CHECK(cvn_build(b.net, 2) == CVN_OK);
        p = cvn_param_find(b.net, "prelu1.weight");
        CHECK(p.count == (size_t)count && p.trainable && p.shape.rank == 1);
        for (int i = 0; p.value && i < count; i++) CHECK(p.value[i] == 0.25f);
        cvn_destroy(b.net);
        b = open_bench(ref_shape(4, 2, 4, 3, 2));
        b.y = cvn_prelu(b.net, b.x, count);
        if (!run_bench(&b, 2, act_prelu_one_x, act_prelu_one_dy)) return;
        p = cvn_param_find(b.net, "prelu1.weight");
        memcpy(p.value, w, (size_t)count * sizeof *w);
        cvn_touch(b.net);
        cvn_zero_grad(b.net);
        CHECK(cvn_set_input(b.net, b.x, each ? act_prelu_channels_x : act_prelu_one_x, 2) ==
                  CVN_OK && cvn_forward(b.net) == CVN_OK);
        CHECK(cvn_backward_from(b.net, b.y, each ? act_prelu_channels_dy : act_prelu_one_dy) ==
              CVN_OK);
        near_all("y", cvn_value(b.net, b.y), each ? act_prelu_channels_y : act_prelu_one_y, 48,
                 1e-6);
        near_all("dx", cvn_gradient(b.net, b.x), each ? act_prelu_channels_dx : act_prelu_one_dx,
                 48, 1e-6);
        near_all("dw", p.gradient, each ? act_prelu_channels_dw : act_prelu_one_dw, count, 1e-5);
        cvn_destroy(b.net);
    }
}

/* ================================================================================================
 * GLU, maxout, log softmax
 * ============================================================================================== */

static cvn_node build_glu(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_glu(net, x[0], c->kind ? c->axis : 0);
}

static cvn_node build_maxout(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_maxout(net, x[0], c->kind);
}

static cvn_node build_log_softmax(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_log_softmax_axis(net, x[0], c->axis) : cvn_log_softmax(net, x[0]);
}

/* Index of the input element at position k of axis c->axis, else as element `at` of shape s. */
static int at_axis(const layer_case *c, cvn_shape s, int at, int k)
{
    int inner = 1;
    for (int i = c->axis + 1; i < s.rank; i++) inner *= s.dim[i];
    return (at / (inner * s.dim[c->axis]) * c->x[0].dim[c->axis] + k) * inner + at % inner;
}

static int axis_position(const layer_case *c, int at)
{
    for (int i = c->y.rank - 1; i > c->axis; i--) at /= c->y.dim[i];
    return at % c->y.dim[c->axis];
}

static void ref_glu(const layer_case *c, int training, double *const *x, double *const *p,
                    double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        const int k = axis_position(c, i);
        const double gate = x[0][at_axis(c, c->y, i, k + c->y.dim[c->axis])];
        y[i] = x[0][at_axis(c, c->y, i, k)] / (1 + exp(-gate));
    }
}

static void ref_maxout(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        y[i] = -HUGE_VAL;
        for (int k = 0; k < c->kind; k++) {
            const double v = x[0][at_axis(c, c->y, i, axis_position(c, i) * c->kind + k)];
            if (v > y[i]) y[i] = v;
        }
    }
}

static void ref_log_softmax_layer(const layer_case *c, int training, double *const *x,
                                  double *const *p, double *y)
{
    ref_softmax(c, training, x, p, y);
    for (int i = 0; i < ref_count(c->y); i++) y[i] = log(y[i]);
}

static void glu(void)
{
    static const int axes[7] = { 1, 1, 2, 3, 2, 1, 1 };
    const cvn_shape shapes[7] = { ref_shape(2, 3, 6, 0, 0),  ref_shape(4, 2, 6, 3, 5),
                                  ref_shape(4, 2, 3, 4, 5),  ref_shape(4, 2, 3, 4, 6),
                                  ref_shape(3, 2, 3, 4, 0),  ref_shape(3, 2, 4, 3, 0),
                                  ref_shape(4, 3, 8, 37, 41) };
    for (int i = 0; i < 7; i++) {
        layer_case c;
        cvn_shape y = shapes[i];
        y.dim[axes[i]] /= 2;
        start_case(&c, shapes[i], y, build_glu, ref_glu);
        c.axis = axes[i];
        c.kind = i == 2 || i == 3 || i == 5;
        snprintf(c.text, sizeof c.text, "glu %d, axis %d", i, c.axis);
        layer_check(&c);
    }
}

static void maxout(void)
{
    static const int groups[6] = { 1, 2, 3, 6, 2, 4 };
    const cvn_shape shapes[6] = { ref_shape(2, 3, 6, 0, 0), ref_shape(4, 2, 6, 3, 5),
                                  ref_shape(4, 2, 6, 4, 2), ref_shape(2, 5, 6, 0, 0),
                                  ref_shape(3, 2, 4, 3, 0), ref_shape(4, 3, 32, 41, 37) };
    for (int i = 0; i < 6; i++) {
        layer_case c;
        cvn_shape y = shapes[i];
        y.dim[1] /= groups[i];
        start_case(&c, shapes[i], y, build_maxout, ref_maxout);
        c.axis = 1;
        c.kind = groups[i];
        snprintf(c.text, sizeof c.text, "maxout %d, groups of %d", i, c.kind);
        layer_check(&c);
    }
}

static void log_softmax(void)
{
    static const int axes[7] = { 1, 1, 1, 2, 1, 3, 2 };
    const cvn_shape shapes[7] = { ref_shape(2, 3, 10, 0, 0), ref_shape(2, 5, 1, 0, 0),
                                  ref_shape(4, 2, 5, 3, 2),  ref_shape(3, 2, 4, 6, 0),
                                  ref_shape(3, 2, 4, 6, 0),  ref_shape(4, 2, 3, 4, 5),
                                  ref_shape(3, 32, 40, 70, 0) };
    for (int i = 0; i < 7; i++) {
        layer_case c;
        start_case(&c, shapes[i], shapes[i], build_log_softmax, ref_log_softmax_layer);
        c.axis = axes[i];
        c.kind = i == 4 || i == 5;
        snprintf(c.text, sizeof c.text, "log_softmax %d, axis %d", i, c.axis);
        layer_check(&c);
    }
}

static void pytorch_tensors(void)
{
    static const struct { const char *name; int count; const float *x, *dy, *y, *dx; } all[5] = {
        { "glu, axis 1", 24, act_glu_1_x, act_glu_1_dy, act_glu_1_y, act_glu_1_dx },
        { "glu, axis 3", 24, act_glu_3_x, act_glu_3_dy, act_glu_3_y, act_glu_3_dx },
        { "log softmax, axis 1", 48, act_log_softmax_1_x, act_log_softmax_1_dy, act_log_softmax_1_y,
          act_log_softmax_1_dx },
        { "log softmax, axis 2", 48, act_log_softmax_2_x, act_log_softmax_2_dy, act_log_softmax_2_y,
          act_log_softmax_2_dx },
        { "maxout of 2", 24, act_maxout_2_x, act_maxout_2_dy, act_maxout_2_y, act_maxout_2_dx }
    };
    for (int i = 0; i < 5; i++) {
        bench b = open_bench(ref_shape(4, 2, 4, 3, 2));
        test_case("%s", all[i].name);
        if (i < 2) b.y = cvn_glu(b.net, b.x, i ? 3 : 0);
        else if (i < 4) b.y = i == 2 ? cvn_log_softmax(b.net, b.x)
                                     : cvn_log_softmax_axis(b.net, b.x, 2);
        else b.y = cvn_maxout(b.net, b.x, 2);
        if (run_bench(&b, 2, all[i].x, all[i].dy)) {
            near_all("y", cvn_value(b.net, b.y), all[i].y, all[i].count, 2e-6);
            near_all("dx", cvn_gradient(b.net, b.x), all[i].dx, 48, 2e-5);
        }
        cvn_destroy(b.net);
    }
}

/* Of equals the first has the gradient; NaN wins; log softmax of large numbers is finite. */
static void corners(void)
{
    const float x[6] = { 2, 2, 1, NAN, -5, -5 };
    const float dy[3] = { 1, 2, 3 };
    const float dx[6] = { 1, 0, 0, 2, 3, 0 };
    const float large[3] = { 3e4f, -3e38f, 3e4f };
    const float ones[3] = { 1, 1, 1 };
    bench b = open_bench(ref_shape(2, 1, 6, 0, 0));
    b.y = cvn_maxout(b.net, b.x, 2);
    if (run_bench(&b, 1, x, dy)) {
        const float *y = cvn_value(b.net, b.y);
        CHECK(y[0] == 2 && y[1] != y[1] && y[2] == -5);
        CHECK(memcmp(cvn_gradient(b.net, b.x), dx, sizeof dx) == 0);
    }
    cvn_destroy(b.net);
    b = open_bench(ref_shape(2, 1, 3, 0, 0));
    b.y = cvn_log_softmax(b.net, b.x);
    if (run_bench(&b, 1, large, ones)) {
        CHECK_NEAR(cvn_value(b.net, b.y)[0], -log(2.0), 1e-6);
        CHECK(cvn_value(b.net, b.y)[1] <= -2.9e38f);
        CHECK_NEAR(cvn_gradient(b.net, b.x)[0], -0.5, 1e-6);
        CHECK_NEAR(cvn_gradient(b.net, b.x)[1], 1, 1e-6);
    }
    cvn_destroy(b.net);
}

/* ================================================================================================
 * refusals
 * ============================================================================================== */

static cvn_node refuse(cvn_net *net, cvn_node x, int which)
{
    switch (which) {
    case 0: return cvn_celu(net, x, 0);
    case 1: return cvn_softplus(net, x, -1, 0);
    case 2: return cvn_softplus(net, x, 1, NAN);
    case 3: return cvn_prelu(net, x, 2);
    case 4: return cvn_activation(net, x, NULL, wave_backward, NULL);
    case 5: return cvn_activation(net, x, wave_forward, NULL, NULL);
    case 6: return cvn_glu(net, x, 4);
    case 7: return cvn_log_softmax_axis(net, x, 0);
    case 8: return cvn_glu(net, x, 1);
    case 9: return cvn_maxout(net, x, 2);
    default: return cvn_maxout(net, x, 0);
    }
}

static void refusals(void)
{
    for (int i = 0; i < 11; i++) {
        bench b = open_bench(ref_shape(4, 1, 5, 4, 2));
        test_case("refusal %d", i);
        CHECK(refuse(b.net, b.x, i).id == 0);
        CHECKF(cvn_build(b.net, 1) == (i < 8 ? CVN_ERROR_ARGUMENT : CVN_ERROR_SHAPE), "%s",
               cvn_error(b.net));
        CHECK(strlen(cvn_error(b.net)) > 20);
        cvn_destroy(b.net);
    }
    CHECK(cvn_gelu(NULL, cvn_find(NULL, "x")).id == 0);
}

int main(void)
{
    RUN(elementwise);
    RUN(pytorch_points);
    RUN(tails_keep_digits);
    RUN(infinite);
    RUN(step_straight_through);
    RUN(in_place);
    RUN(prelu);
    RUN(prelu_parameters);
    RUN(glu);
    RUN(maxout);
    RUN(log_softmax);
    RUN(pytorch_tensors);
    RUN(corners);
    RUN(refusals);
    return test_done();
}
