/* test_layers.c - every layer but the convolution and the losses, against the double reference, and
 * what else their documentation promises. TEST_QUICK: fewer cases. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifdef TEST_QUICK
    #define POOL_CASES 40
#else
    #define POOL_CASES 200
#endif

/* A case with one input. */
static void start_case(layer_case *c, cvn_shape x,
                       cvn_node (*build)(cvn_net *, const cvn_node *, const layer_case *),
                       ref_forward forward)
{
    memset(c, 0, sizeof *c);
    c->n = x.dim[0];
    c->inputs = 1;
    c->x[0] = c->y = x;
    c->build = build;
    c->forward = forward;
}

static const char *shape_text(cvn_shape s, char *text)      /* text: 64 bytes */
{
    int at = 0;
    for (int i = 0; i < s.rank; i++)
        at += snprintf(text + at, 64 - (size_t)at, i ? ", %d" : "[%d", s.dim[i]);
    snprintf(text + at, 64 - (size_t)at, "]");
    return text;
}

/* A net built for training whose single layer the test looks at by hand. */
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

static int build_bench(bench *b, int n)
{
    cvn_want_grad(b->net, b->x);
    cvn_want_grad(b->net, b->y);
    cvn_output(b->net, b->y);
    return CHECKF(cvn_build(b->net, n) == CVN_OK, "%s", cvn_error(b->net));
}

/* ================================================================================================
 * dense
 * ============================================================================================== */

static cvn_node build_dense(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_dense(net, x[0], c->dense.units) : cvn_dense_ex(net, x[0], &c->dense);
}

static void dense_case(layer_case *c, cvn_shape x, int units, int no_bias)
{
    char text[64];
    start_case(c, x, build_dense, ref_dense);
    c->dense.units = units;
    c->dense.no_bias = no_bias;
    c->kind = !no_bias;
    c->y = x.rank == 3 ? ref_shape(3, x.dim[0], x.dim[1], units, 0)
                       : ref_shape(2, x.dim[0], units, 0, 0);
    snprintf(c->text, sizeof c->text, "dense %s, %d units%s", shape_text(x, text), units,
             no_bias ? ", no bias" : "");
}

static void dense(void)
{
    static const int sizes[][3] = { /* samples, inputs, units */
                                    { 1, 1, 1 },   { 1, 17, 5 }, { 2, 3, 33 },  { 3, 16, 16 },
                                    { 5, 7, 1 },   { 7, 31, 9 }, { 16, 8, 12 }, { 33, 5, 6 },
                                    { 1, 64, 40 }, { 9, 48, 17 }
    };
    layer_case c;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        dense_case(&c, ref_shape(2, sizes[i][0], sizes[i][1], 0, 0), sizes[i][2], i % 3 == 2);
        layer_check(&c);
    }
    dense_case(&c, ref_shape(4, 3, 2, 3, 4), 5, 0);
    layer_check(&c);
    dense_case(&c, ref_shape(3, 2, 5, 7, 0), 4, 0);
    layer_check(&c);
    dense_case(&c, ref_shape(3, 3, 1, 9, 0), 11, 1);
    layer_check(&c);
    /* crosses the blocks of the matrix product */
    dense_case(&c, ref_shape(2, 37, 343, 0, 0), 139, 0);
    c.big = 1;
    layer_check(&c);
    dense_case(&c, ref_shape(2, 1, 700, 0, 0), 310, 0);
    c.big = 1;
    layer_check(&c);
    dense_case(&c, ref_shape(2, 3, 6, 0, 0), 4, 0);
    library_check(&c);
}

/* ================================================================================================
 * pooling
 * ============================================================================================== */

static cvn_node build_pool(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_avgpool_ex(net, x[0], &c->pool) : cvn_maxpool_ex(net, x[0], &c->pool);
}

static cvn_node build_pool_short(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_avgpool(net, x[0], c->pool.kernel_h, c->pool.stride_h)
                   : cvn_maxpool(net, x[0], c->pool.kernel_h, c->pool.stride_h);
}

static cvn_node build_global_pool(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_global_avgpool(net, x[0]) : cvn_global_maxpool(net, x[0]);
}

/* Output shape and text of a case whose pool and input are set; 0 when no window fits. */
static int finish_pool(layer_case *c)
{
    const cvn_pool_desc *const d = &c->pool;
    const int h = c->x[0].dim[2];
    const int w = c->x[0].dim[3];
    char text[64];
    c->y.dim[2] = ref_pool_size(h, d->kernel_h, d->stride_h, d->pad_top, d->pad_bottom,
                                d->ceil_mode);
    c->y.dim[3] = ref_pool_size(w, d->kernel_w, d->stride_w, d->pad_left, d->pad_right,
                                d->ceil_mode);
    snprintf(c->text, sizeof c->text, "%spool %s, %dx%d, stride %d %d, pads %d %d %d %d%s%s",
             c->kind ? "avg" : "max", shape_text(c->x[0], text), d->kernel_h, d->kernel_w,
             d->stride_h, d->stride_w, d->pad_top, d->pad_left, d->pad_bottom, d->pad_right,
             d->ceil_mode ? ", ceil" : "", d->exclude_pad ? ", exclude pad" : "");
    return h + d->pad_top + d->pad_bottom >= d->kernel_h &&
           w + d->pad_left + d->pad_right >= d->kernel_w;
}

static int draw_pool(layer_case *c, unsigned *state)
{
    cvn_pool_desc *const d = &c->pool;
    start_case(c,
               ref_shape(4, 1 + ref_below(state, 3), 1 + ref_below(state, 5),
                         1 + ref_below(state, 12), 1 + ref_below(state, 12)),
               build_pool, ref_pool);
    c->kind = ref_below(state, 2);
    d->kernel_h = 1 + ref_below(state, 5);
    d->kernel_w = 1 + ref_below(state, 5);
    d->stride_h = 1 + ref_below(state, 4);
    d->stride_w = 1 + ref_below(state, 4);
    if (ref_below(state, 2)) {
        d->pad_top = ref_below(state, d->kernel_h / 2 + 1);
        d->pad_left = ref_below(state, d->kernel_w / 2 + 1);
        d->pad_bottom = ref_below(state, d->kernel_h / 2 + 1);
        d->pad_right = ref_below(state, d->kernel_w / 2 + 1);
    }
    d->ceil_mode = ref_below(state, 2);
    d->exclude_pad = c->kind && ref_below(state, 2);
    return finish_pool(c);
}

static void pooling(void)
{
    unsigned state = 11;
    for (int done = 0; done < POOL_CASES;) {
        layer_case c;
        if (!draw_pool(&c, &state)) continue;
        layer_check(&c);
        done++;
    }
}

static void pooling_usual(void)
{
    layer_case c;
    for (int i = 0; i < 8; i++) {
        start_case(&c, ref_shape(4, i < 4 ? 2 : 4, i < 4 ? 3 : 24, i < 4 ? 8 : 40, i < 4 ? 10 : 41),
                   build_pool_short, ref_pool);
        c.kind = i & 1;
        c.pool.kernel_h = c.pool.kernel_w = i & 2 ? 3 : 2;
        c.pool.stride_h = c.pool.stride_w = 2;
        c.big = i >= 4;
        CHECK(finish_pool(&c));
        layer_check(&c);
    }
    for (int i = 0; i < 8; i++) {
        start_case(&c,
                   ref_shape(4, 1 + i / 2, i < 6 ? 1 + i : 64, i < 6 ? 4 + i : 40, i < 6 ? 3 : 33),
                   build_global_pool, ref_global_pool);
        c.kind = i & 1;
        c.big = i >= 6;
        c.y.dim[2] = c.y.dim[3] = 1;
        snprintf(c.text, sizeof c.text, "global %s pool [%d, %d, %d, %d]", c.kind ? "avg" : "max",
                 c.n, c.x[0].dim[1], c.x[0].dim[2], c.x[0].dim[3]);
        layer_check(&c);
    }
}

/* Of equal values the first has the gradient; padding never wins; NaN does. */
static void maxpool_corners(void)
{
    const float equal[4] = { -5, -5, -5, -5 };
    const float with_nan[4] = { 1, NAN, 3, 2 };
    const float one = 1;
    bench b = open_bench(ref_shape(4, 1, 1, 2, 2));
    cvn_pool_desc d = cvn_pool_defaults();
    const float *dx;
    d.kernel_h = 4;
    d.stride_h = 4;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = 1;
    b.y = cvn_maxpool_ex(b.net, b.x, &d);
    if (build_bench(&b, 1)) {
        CHECK(cvn_set_input(b.net, b.x, equal, 1) == CVN_OK && cvn_forward(b.net) == CVN_OK);
        CHECK(cvn_value(b.net, b.y)[0] == -5.0f);
        CHECK(cvn_backward_from(b.net, b.y, &one) == CVN_OK);
        dx = cvn_gradient(b.net, b.x);
        CHECK(dx[0] == 1.0f && dx[1] == 0.0f && dx[2] == 0.0f && dx[3] == 0.0f);
        CHECK(cvn_set_input(b.net, b.x, with_nan, 1) == CVN_OK && cvn_forward(b.net) == CVN_OK);
        CHECK(cvn_value(b.net, b.y)[0] != cvn_value(b.net, b.y)[0]);
    }
    cvn_destroy(b.net);
}

/* ================================================================================================
 * batch norm
 * ============================================================================================== */

static cvn_node build_norm(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_batchnorm(net, x[0]) : cvn_batchnorm_ex(net, x[0], &c->norm);
}

static void batchnorm(void)
{
    const cvn_shape shapes[12] = {
        ref_shape(2, 4, 3, 0, 0),    ref_shape(2, 7, 19, 0, 0),   ref_shape(4, 2, 3, 4, 5),
        ref_shape(4, 1, 5, 7, 3),    ref_shape(4, 6, 4, 1, 1),    ref_shape(3, 4, 6, 5, 0),
        ref_shape(4, 5, 17, 3, 3),   ref_shape(4, 4, 16, 36, 36), ref_shape(2, 64, 33, 0, 0),
        ref_shape(4, 37, 3, 2, 2),          /* slices of two and three samples */
        ref_shape(4, 3, 40, 96, 96),        /* three groups of channels */
        ref_shape(3, 1, 35, 700, 0)
    };
    char text[64];
    for (int i = 0; i < 12; i++)
        for (int affine = 0; affine < 2; affine++) {
            layer_case c;
            start_case(&c, shapes[i], build_norm, ref_batchnorm);
            c.norm.no_affine = !affine;
            c.norm.eps = affine && i % 2 ? 1e-2f : 0;
            c.kind = affine && i % 2 == 0;
            c.big = ref_count(shapes[i]) > 5000;
            snprintf(c.text, sizeof c.text, "batchnorm %s%s, eps %g", shape_text(shapes[i], text),
                     affine ? "" : ", no affine", (double)c.norm.eps);
            layer_check(&c);
            if (i == 2) library_check(&c);
        }
}

/* running = (1 - momentum)*running + momentum*batch, with the unbiased variance; prediction leaves
 * it alone. */
static void batchnorm_running(void)
{
    enum { N = 3, C = 4, INNER = 6 };
    float x[N * C * INNER];
    double exact[N * C * INNER];
    bench b = open_bench(ref_shape(4, N, C, 2, 3));
    cvn_batchnorm_desc d = cvn_batchnorm_defaults();
    cvn_param mean;
    cvn_param var;
    d.momentum = 0.3f;
    ref_fill(x, N * C * INNER, -1, 3, 4);
    for (int i = 0; i < N * C * INNER; i++) exact[i] = (double)x[i];
    b.y = cvn_batchnorm_ex(b.net, b.x, &d);
    if (!build_bench(&b, N)) return;
    mean = cvn_param_find(b.net, "bn1.running_mean");
    var = cvn_param_find(b.net, "bn1.running_var");
    CHECK(mean.value && var.value && !mean.gradient && !mean.trainable);
    CHECK(mean.value[0] == 0.0f && var.value[0] == 1.0f);
    CHECK(cvn_set_input(b.net, b.x, x, N) == CVN_OK && cvn_forward(b.net) == CVN_OK &&
          cvn_forward(b.net) == CVN_OK);
    CHECK(cvn_forward_eval(b.net) == CVN_OK);
    for (int k = 0; k < C; k++) {
        double m;
        double v;
        ref_moments(exact, N, C, INNER, k, &m, &v);
        v *= N * INNER / (double)(N * INNER - 1);
        CHECK_NEAR(mean.value[k], m * (0.3 + 0.7 * 0.3), 1e-5);
        CHECK_NEAR(var.value[k], 0.49 + v * (0.3 + 0.7 * 0.3), 1e-5);
    }
    cvn_destroy(b.net);
}

/* Values far from 0: the variance is that of what is left, not of what cancels. */
static void batchnorm_far(void)
{
    enum { N = 21, C = 3, INNER = 25, COUNT = N * C * INNER };
    static float x[COUNT];
    static double exact[COUNT];
    bench b = open_bench(ref_shape(3, N, C, INNER, 0));
    ref_fill(x, COUNT, -1, 1, 9);
    for (int i = 0; i < COUNT; i++) {
        x[i] += 3000;
        exact[i] = (double)x[i];
    }
    b.y = cvn_batchnorm(b.net, b.x);
    if (build_bench(&b, N)) {
        CHECK(cvn_set_input(b.net, b.x, x, N) == CVN_OK && cvn_forward(b.net) == CVN_OK);
        for (int k = 0; k < C; k++) {
            double m;
            double v;
            ref_moments(exact, N, C, INNER, k, &m, &v);
            v *= N * INNER / (double)(N * INNER - 1);
            CHECK_NEAR(cvn_param_find(b.net, "bn1.running_var").value[k], 0.9 + 0.1 * v, 1e-5);
            CHECK_NEAR(cvn_param_find(b.net, "bn1.running_mean").value[k], 0.1 * m, 1e-3);
            CHECK_NEAR(cvn_value(b.net, b.y)[k * INNER], (exact[k * INNER] - m) / sqrt(v), 3e-3);
        }
    }
    cvn_destroy(b.net);
}

/* Frozen: the running statistics are used in training too, and stay. One value a channel makes
 * nothing infinite. */
static void batchnorm_frozen_and_tiny(void)
{
    const float x[4] = { 5, 7, 9, 11 };
    bench b = open_bench(ref_shape(2, 4, 1, 0, 0));
    b.y = cvn_batchnorm(b.net, b.x);
    CHECK(cvn_freeze(b.net, b.y) == CVN_OK);
    if (build_bench(&b, 4)) {
        CHECK(cvn_set_input(b.net, b.x, x, 4) == CVN_OK && cvn_forward(b.net) == CVN_OK);
        for (int i = 0; i < 4; i++)
            CHECK_NEAR(cvn_value(b.net, b.y)[i], (double)x[i] / sqrt(1 + 1e-5), 1e-4);
        CHECK(cvn_param_find(b.net, "bn1.running_mean").value[0] == 0.0f);
        CHECK(cvn_param_find(b.net, "bn1.running_var").value[0] == 1.0f);
    }
    cvn_destroy(b.net);
    b = open_bench(ref_shape(2, 1, 1, 0, 0));
    b.y = cvn_batchnorm(b.net, b.x);
    if (build_bench(&b, 1)) {
        CHECK(cvn_set_input(b.net, b.x, x, 1) == CVN_OK);
        if (cvn_forward(b.net) == CVN_OK) {
            const float v = cvn_param_find(b.net, "bn1.running_var").value[0];
            CHECK(v - v == 0.0f && cvn_value(b.net, b.y)[0] == 0.0f);
        } else {
            CHECK(cvn_error(b.net)[0] != 0);
        }
    }
    cvn_destroy(b.net);
}

/* ================================================================================================
 * activations, softmax, dropout
 * ============================================================================================== */

static cvn_node build_activation(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    switch (c->kind) {
    case REF_RELU: return cvn_relu(net, x[0]);
    case REF_LEAKY_RELU: return cvn_leaky_relu(net, x[0], c->a);
    case REF_ELU: return cvn_elu(net, x[0], c->a);
    case REF_SIGMOID: return cvn_sigmoid(net, x[0]);
    default: return cvn_tanh(net, x[0]);
    }
}

static const char *const activation_names[REF_ACTIVATIONS] = { "relu", "leaky_relu", "elu",
                                                               "sigmoid", "tanh" };

static void activations(void)
{
    const cvn_shape shapes[7] = { ref_shape(2, 1, 1, 0, 0),   ref_shape(2, 3, 13, 0, 0),
                                  ref_shape(4, 2, 3, 5, 7),   ref_shape(3, 2, 5, 4, 0),
                                  ref_shape(2, 1, 65, 0, 0),  ref_shape(2, 2, 8, 0, 0),
                                  ref_shape(4, 6, 16, 56, 56) };
    char text[64];
    for (int kind = 0; kind < REF_ACTIVATIONS; kind++)
        for (int i = 0; i < 7; i++) {
            layer_case c;
            start_case(&c, shapes[i], build_activation, ref_activation);
            c.kind = kind;
            c.a = kind == REF_ELU ? 0.7f : 0.2f;
            c.big = i == 6;
            snprintf(c.text, sizeof c.text, "%s %s", activation_names[kind],
                     shape_text(shapes[i], text));
            layer_check(&c);
            if (i == 2 && kind >= REF_ELU) library_check(&c);
        }
}

/* Far out nothing overflows, and the gradient is 0, not NaN. */
static void activations_far_out(void)
{
    const float x[4] = { -1e4f, -200, 200, 1e4f };
    const float low[REF_ACTIVATIONS] = { 0, -2000, -0.2f, 0, -1 };
    const float high[REF_ACTIVATIONS] = { 1e4f, 1e4f, 1e4f, 1, 1 };
    const float g[4] = { 1, 1, 1, 1 };
    for (int kind = 0; kind < REF_ACTIVATIONS; kind++) {
        bench b = open_bench(ref_shape(2, 1, 4, 0, 0));
        layer_case c;
        test_case("%s", activation_names[kind]);
        memset(&c, 0, sizeof c);
        c.kind = kind;
        c.a = 0.2f;
        b.y = build_activation(b.net, &b.x, &c);
        if (build_bench(&b, 1)) {
            CHECK(cvn_set_input(b.net, b.x, x, 1) == CVN_OK && cvn_forward(b.net) == CVN_OK);
            CHECK(cvn_backward_from(b.net, b.y, g) == CVN_OK);
            CHECK_NEAR(cvn_value(b.net, b.y)[0], low[kind], 1e-3);
            CHECK_NEAR(cvn_value(b.net, b.y)[3], high[kind], 1e-3);
            CHECK_NEAR(cvn_gradient(b.net, b.x)[0], kind == REF_LEAKY_RELU ? 0.2 : 0, 1e-6);
            CHECK_NEAR(cvn_gradient(b.net, b.x)[3], kind <= REF_ELU ? 1 : 0, 1e-6);
        }
        cvn_destroy(b.net);
    }
}

static cvn_node build_softmax(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_softmax_axis(net, x[0], c->axis) : cvn_softmax(net, x[0]);
}

static void softmax(void)
{
    static const int axes[9] = { 1, 1, 1, 2, 1, 2, 3, 1, 2 };
    const cvn_shape shapes[9] = { ref_shape(2, 3, 10, 0, 0),  ref_shape(2, 5, 1, 0, 0),
                                  ref_shape(4, 2, 5, 3, 2),   ref_shape(3, 2, 4, 6, 0),
                                  ref_shape(3, 2, 4, 6, 0),   ref_shape(4, 2, 3, 4, 5),
                                  ref_shape(4, 2, 3, 4, 5),   ref_shape(2, 2, 67, 0, 0),
                                  ref_shape(3, 32, 40, 70, 0) };
    char text[64];
    for (int i = 0; i < 9; i++) {
        layer_case c;
        start_case(&c, shapes[i], build_softmax, ref_softmax);
        c.axis = axes[i];
        c.kind = i >= 4 && i < 7;               /* by its axis; the others by the default */
        c.big = i == 8;
        snprintf(c.text, sizeof c.text, "softmax %s, axis %d", shape_text(shapes[i], text), c.axis);
        layer_check(&c);
        if (i < 4) library_check(&c);
    }
    {
        const float x[3] = { 1e4f, 1e4f, -1e4f };
        bench b = open_bench(ref_shape(2, 1, 3, 0, 0));
        test_case("softmax of large numbers");
        b.y = cvn_softmax(b.net, b.x);
        if (build_bench(&b, 1)) {
            CHECK(cvn_set_input(b.net, b.x, x, 1) == CVN_OK && cvn_forward(b.net) == CVN_OK);
            CHECK_NEAR(cvn_value(b.net, b.y)[0], 0.5, 1e-6);
            CHECK_NEAR(cvn_value(b.net, b.y)[2], 0, 1e-6);
        }
        cvn_destroy(b.net);
    }
}

static cvn_node build_dropout(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_dropout(net, x[0], c->a);
}

/* Threads, kernels, prediction. What it does in training is dropout_values. */
static void dropout(void)
{
    const cvn_shape shapes[4] = { ref_shape(2, 3, 11, 0, 0), ref_shape(4, 2, 3, 5, 7),
                                  ref_shape(2, 1, 1, 0, 0), ref_shape(4, 4, 16, 56, 56) };
    char text[64];
    for (int i = 0; i < 4; i++) {
        layer_case c;
        start_case(&c, shapes[i], build_dropout, ref_copy);
        c.varies = 1;
        c.a = 0.3f;
        snprintf(c.text, sizeof c.text, "dropout %s", shape_text(shapes[i], text));
        layer_check(&c);
        c.varies = 0;
        c.a = 0;
        c.big = i == 3;
        snprintf(c.text, sizeof c.text, "dropout with p = 0 %s", shape_text(shapes[i], text));
        layer_check(&c);
    }
}

/* Zero or x/(1 - p), the gradient masked alike; the share is p; another pass draws anew; the same
 * seed the same. */
static void dropout_values(void)
{
    enum { COUNT = 20000 };
    static float x[COUNT];
    static float first[2][COUNT];
    const double p = 0.25;
    for (int run = 0; run < 2; run++) {
        bench b = open_bench(ref_shape(2, 1, COUNT, 0, 0));
        int zeros = 0;
        int other = 0;
        b.y = cvn_dropout(b.net, b.x, (float)p);
        for (int i = 0; i < COUNT; i++) x[i] = 1 + (float)(i % 7);
        if (build_bench(&b, 1)) {
            const float *y = cvn_value(b.net, b.y);
            const float *dx = cvn_gradient(b.net, b.x);
            double worst = 0;
            CHECK(cvn_set_input(b.net, b.x, x, 1) == CVN_OK && cvn_forward(b.net) == CVN_OK);
            CHECK(cvn_backward_from(b.net, b.y, x) == CVN_OK);
            for (int i = 0; i < COUNT; i++) {
                const double e = y[i] == 0.0f ? 0 : fabs((double)y[i] - (double)x[i] / (1 - p));
                worst = e > worst ? e : worst;
                worst = fabs((double)(y[i] - dx[i])) > worst ? 1 : worst;
                zeros += y[i] == 0.0f;
                first[run][i] = y[i];
            }
            CHECK_NEAR(worst, 0, 1e-5);
            CHECK_NEAR(zeros / (double)COUNT, p, 0.02);
            CHECK(cvn_forward(b.net) == CVN_OK);
            for (int i = 0; i < COUNT; i++) other += (y[i] == 0.0f) != (first[run][i] == 0.0f);
            CHECK_NEAR(other / (double)COUNT, 2 * p * (1 - p), 0.03);
        }
        cvn_destroy(b.net);
    }
    CHECK(memcmp(first[0], first[1], sizeof first[0]) == 0);
}

/* ================================================================================================
 * views, elementwise, concat
 * ============================================================================================== */

static cvn_node build_view(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    int dims[CVN_MAX_RANK];
    if (!c->kind) return cvn_flatten(net, x[0]);
    for (int i = 1; i < c->y.rank; i++) dims[i - 1] = i == c->axis ? -1 : c->y.dim[i];
    return cvn_reshape(net, x[0], dims, c->y.rank - 1);
}

static void views(void)
{
    char a[64];
    char b[64];
    const cvn_shape from[6] = { ref_shape(4, 2, 3, 4, 5),  ref_shape(3, 3, 2, 7, 0),
                                ref_shape(2, 2, 24, 0, 0), ref_shape(4, 2, 4, 3, 2),
                                ref_shape(2, 1, 1, 0, 0),  ref_shape(4, 3, 2, 2, 6) };
    const cvn_shape to[6] = { ref_shape(2, 2, 60, 0, 0), ref_shape(2, 3, 14, 0, 0),
                              ref_shape(4, 2, 2, 3, 4),  ref_shape(3, 2, 8, 3, 0),
                              ref_shape(4, 1, 1, 1, 1),  ref_shape(3, 3, 4, 6, 0) };
    for (int i = 0; i < 6; i++) {
        layer_case c;
        start_case(&c, from[i], build_view, ref_copy);
        c.kind = i >= 2;
        c.y = to[i];
        c.axis = i % 2 ? 2 : 0;                 /* the axis given as -1 */
        snprintf(c.text, sizeof c.text, "%s %s to %s", i < 2 ? "flatten" : "reshape",
                 shape_text(from[i], a), shape_text(to[i], b));
        layer_check(&c);
    }
}

static cvn_node build_binary(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_mul(net, x[0], x[1]) : cvn_add(net, x[0], x[1]);
}

static void elementwise(void)
{
    const cvn_shape pairs[13][2] = {
        { ref_shape(2, 3, 7, 0, 0), ref_shape(2, 3, 7, 0, 0) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 3, 4, 5) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 3, 1, 1) },
        { ref_shape(4, 2, 3, 1, 1), ref_shape(4, 2, 3, 4, 5) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 1, 4, 5) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 1, 1, 1) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 3, 1, 5) },
        { ref_shape(4, 2, 3, 1, 5), ref_shape(4, 2, 1, 4, 1) },
        { ref_shape(3, 2, 4, 6, 0), ref_shape(3, 2, 1, 6, 0) },
        { ref_shape(2, 3, 1, 0, 0), ref_shape(2, 3, 9, 0, 0) },
        { ref_shape(4, 4, 16, 40, 41), ref_shape(4, 4, 16, 40, 41) },
        { ref_shape(4, 4, 16, 40, 41), ref_shape(4, 4, 16, 1, 1) },
        { ref_shape(4, 4, 16, 40, 41), ref_shape(4, 4, 1, 40, 41) }
    };
    char a[64];
    char b[64];
    for (int kind = 0; kind < 2; kind++)
        for (int i = 0; i < 13; i++) {
            layer_case c;
            start_case(&c, pairs[i][0], build_binary, ref_binary);
            c.inputs = 2;
            c.x[1] = pairs[i][1];
            for (int k = 0; k < c.y.rank; k++)
                if (c.x[1].dim[k] > c.y.dim[k]) c.y.dim[k] = c.x[1].dim[k];
            c.kind = kind;
            c.big = i >= 10;
            snprintf(c.text, sizeof c.text, "%s %s %s", kind ? "mul" : "add", shape_text(c.x[0], a),
                     shape_text(c.x[1], b));
            layer_check(&c);
            if (i == 2) library_check(&c);
        }
}

static cvn_node build_concat(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_concat_n(net, x, c->inputs, c->axis) : cvn_concat(net, x[0], x[1]);
}

static void concat(void)
{
    static const int parts[8][6] = { /* rank, axis, sizes along it */
                                     { 2, 1, 3, 5 },       { 4, 1, 2, 3 },      { 4, 1, 1, 4, 2 },
                                     { 4, 2, 3, 1, 2, 5 }, { 4, 3, 2, 7 },      { 3, 2, 4, 4, 1 },
                                     { 3, 1, 5 },          { 4, 1, 17, 16, 30 }
    };
    for (int i = 0; i < 8; i++) {
        const int *const q = parts[i];
        const int side = i == 7 ? 41 : 3;
        layer_case c;
        start_case(&c, ref_shape(q[0], 2, 3, side, side), build_concat, ref_concat);
        c.axis = q[1];
        c.kind = i != 0;
        c.big = i == 7;
        c.y.dim[q[1]] = 0;
        for (c.inputs = 0; c.inputs < 4 && q[2 + c.inputs]; c.inputs++) {
            c.x[c.inputs] = ref_shape(q[0], 2, q[0] == 2 ? 0 : 3, side, side);
            for (int k = q[0]; k < 4; k++) c.x[c.inputs].dim[k] = 0;
            c.x[c.inputs].dim[q[1]] = q[2 + c.inputs];
            c.y.dim[q[1]] += q[2 + c.inputs];
        }
        snprintf(c.text, sizeof c.text, "concat of %d along axis %d, rank %d", c.inputs, c.axis,
                 q[0]);
        layer_check(&c);
    }
}

/* ================================================================================================
 * what is refused, and names
 * ============================================================================================== */

enum { REFUSALS = 17 };

/* The i-th graph that must not build, on an image [N, 4, 6, 6] and a vector [N, 5]. */
static cvn_node refused(cvn_net *net, int i, cvn_node image, cvn_node vector)
{
    const int dims[2] = { 7, -1 };
    const int twice[2] = { -1, -1 };
    cvn_pool_desc wide = cvn_pool_defaults();
    cvn_batchnorm_desc negative = cvn_batchnorm_defaults();
    cvn_node pair[2];
    pair[0] = image;
    pair[1] = vector;
    wide.kernel_h = 3;
    wide.pad_left = 3;
    negative.eps = -1;
    switch (i) {
    case 0: return cvn_dense(net, vector, 0);
    case 1: return cvn_dense(net, vector, -4);
    case 2: return cvn_maxpool(net, image, 7, 1);
    case 3: return cvn_avgpool(net, image, 0, 1);
    case 4: return cvn_maxpool(net, vector, 2, 2);
    case 5: return cvn_maxpool_ex(net, image, &wide);
    case 6: return cvn_dropout(net, image, 1.0f);
    case 7: return cvn_dropout(net, image, -0.1f);
    case 8: return cvn_add(net, image, vector);
    case 9: return cvn_mul(net, image, cvn_input(net, 3, 6, 6));
    case 10: return cvn_concat(net, image, vector);
    case 11: return cvn_concat_n(net, pair, 0, 1);
    case 12: return cvn_concat_n(net, pair, 1, 4);
    case 13: return cvn_reshape(net, image, dims, 2);
    case 14: return cvn_reshape(net, image, twice, 2);
    case 15: return cvn_softmax_axis(net, image, 4);
    default: return cvn_batchnorm_ex(net, image, &negative);
    }
}

static void refusals(void)
{
    for (int i = 0; i < REFUSALS; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_input(net, 4, 6, 6);
        const cvn_node vector = cvn_input_vector(net, 5);
        cvn_node y;
        char text[512];
        test_case("refusal %d", i);
        y = refused(net, i, image, vector);
        CHECK(y.id == 0);
        snprintf(text, sizeof text, "%s", cvn_error(net));
        CHECKF(strlen(text) > 15, "'%s'", text);
        /* nothing is built after the first error */
        CHECK(cvn_relu(net, image).id == 0);
        CHECK(cvn_build(net, 1) < 0);
        CHECKF(strcmp(text, cvn_error(net)) == 0, "'%s' became '%s'", text, cvn_error(net));
        cvn_destroy(net);
    }
}

int main(void)
{
    RUN(dense);
    RUN(pooling);
    RUN(pooling_usual);
    RUN(maxpool_corners);
    RUN(batchnorm);
    RUN(batchnorm_running);
    RUN(batchnorm_far);
    RUN(batchnorm_frozen_and_tiny);
    RUN(activations);
    RUN(activations_far_out);
    RUN(softmax);
    RUN(dropout);
    RUN(dropout_values);
    RUN(views);
    RUN(elementwise);
    RUN(concat);
    RUN(refusals);
    return test_done();
}
