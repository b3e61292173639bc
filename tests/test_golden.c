/* test_golden.c - the library against values computed by PyTorch: layers and losses with their
 * gradients, optimizers, schedules, and 20 steps of ResNet-20; with each table of kernels that this
 * CPU has. golden/golden.h is written by golden/make_golden.py. */
#include "../convnet.h"
#include "test.h"
#include "golden/golden.h"

/* ---- layers ---- */

static const char *isa;                 /* the table of kernels under test */

static cvn_net *create(int keep_all)
{
    cvn_desc desc = cvn_desc_defaults();
    desc.keep_all = keep_all;
    desc.isa = isa;
    desc.threads = 1;                   /* other numbers make the same bits: test_train.c */
    return cvn_create(&desc);
}

typedef struct bench {                  /* a net of one layer for one case */
    const golden_case *golden;
    cvn_net *net;
    cvn_node x[3];
} bench;

static cvn_node add_input(cvn_net *net, const golden_tensor *t)
{
    if (t->rank == 4) return cvn_input(net, t->dim[1], t->dim[2], t->dim[3]);
    return cvn_input_tensor(net, t->dim + 1, t->rank - 1);
}

static size_t elements(const golden_tensor *t)
{
    size_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= (size_t)t->dim[i];
    return n;
}

/* Each element to `tolerance`, absolute below 1 and relative above; a NaN fails. Says which one is
 * the worst. */
static void check_values(const char *what, const float *got, const float *want, size_t n,
                         double tolerance)
{
    size_t worst = 0;
    double most = 0;
    if (!CHECKF(got != NULL, "%s cannot be read", what)) return;
    for (size_t i = 0; i < n; i++) {
        const double scale = fabs((double)want[i]) > 1 ? fabs((double)want[i]) : 1;
        const double error = fabs((double)got[i] - (double)want[i]) / scale;
        if (error <= most) continue;
        most = error < HUGE_VAL ? error : HUGE_VAL;
        worst = i;
    }
    CHECKF(most <= tolerance, "%s[%d] is %.9g, PyTorch has %.9g", what, (int)worst,
           (double)got[worst], (double)want[worst]);
}

static void check_tensor(const char *what, const float *got, const golden_tensor *want)
{
    check_values(what, got, want->value, elements(want), 2e-5);
}

static bench start(const golden_case *golden)
{
    const cvn_node none = { 0 };
    bench b;
    test_case("%s, %s", golden->name, isa);
    b.golden = golden;
    b.net = create(1);
    for (int i = 0; i < 3; i++) {
        b.x[i] = golden->input[i].value ? add_input(b.net, &golden->input[i]) : none;
        if (b.x[i].id) cvn_want_grad(b.net, b.x[i]);
    }
    return b;
}

static void set_param(cvn_net *net, const char *name, const golden_tensor *t)
{
    const cvn_param p = cvn_param_find(net, name);
    if (!t->value) return;
    if (CHECKF(p.value && p.count == elements(t), "%s has %d elements, not %d", name, (int)p.count,
               (int)elements(t)))
        memcpy(p.value, t->value, p.count * sizeof(float));
    cvn_touch(net);
}

/* Names and builds the layer, gives it inputs and parameters. */
static int build(const bench *b, cvn_node y)
{
    const golden_case *const g = b->golden;
    cvn_name(b->net, y, "layer");
    cvn_want_grad(b->net, y);
    if (!CHECKF(cvn_build(b->net, g->input[0].dim[0]) == CVN_OK, "%s", cvn_error(b->net))) return 0;
    set_param(b->net, "layer.weight", &g->param[0]);
    set_param(b->net, "layer.bias", &g->param[1]);
    for (int i = 0; i < 3; i++)
        if (b->x[i].id)
            CHECK(cvn_set_input(b->net, b->x[i], g->input[i].value, g->input[i].dim[0]) == CVN_OK);
    return 1;
}

static void check_forward(const bench *b, cvn_node y, int eval)
{
    const golden_tensor *const want = &b->golden->y;
    const cvn_result result = eval ? cvn_forward_eval(b->net) : cvn_forward(b->net);
    cvn_shape s;
    CHECKF(result == CVN_OK, "%s", cvn_error(b->net));
    s = cvn_node_shape(b->net, y);
    CHECKF(s.rank == want->rank, "rank %d, not %d", s.rank, want->rank);
    for (int i = 0; i < want->rank; i++)
        CHECKF(s.dim[i] == want->dim[i], "axis %d: %d, not %d", i, s.dim[i], want->dim[i]);
    if (s.rank == want->rank) check_tensor("value", cvn_value(b->net, y), want);
}

static void check_backward(const bench *b, cvn_node y)
{
    static const char *const names[] = { "layer.weight", "layer.bias" };
    const golden_case *const g = b->golden;
    CHECKF(cvn_backward_from(b->net, y, g->g.value) == CVN_OK, "%s", cvn_error(b->net));
    for (int i = 0; i < 3; i++) {
        char what[32];
        snprintf(what, sizeof what, "gradient of input %d", i);
        if (b->x[i].id) check_tensor(what, cvn_gradient(b->net, b->x[i]), &g->dinput[i]);
    }
    for (int i = 0; i < 2; i++)
        if (g->dparam[i].value)
            check_tensor(i ? "gradient of bias" : "gradient of weight",
                         cvn_param_find(b->net, names[i]).gradient, &g->dparam[i]);
}

static void finish(const bench *b, cvn_node y)
{
    if (build(b, y)) {
        check_forward(b, y, 0);
        check_backward(b, y);
    }
    cvn_destroy(b->net);
}

static cvn_conv2d_desc conv_of(const golden_case *c)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    d.filters = c->param[0].dim[0];
    d.kernel_h = c->param[0].dim[2];
    d.kernel_w = c->param[0].dim[3];
    d.no_bias = !c->param[1].value;
    return d;
}

static void pad_conv(cvn_conv2d_desc *d, int top, int left, int bottom, int right)
{
    d->pad_top = top;
    d->pad_left = left;
    d->pad_bottom = bottom;
    d->pad_right = right;
}

static void run_conv(const golden_case *c, const cvn_conv2d_desc *d)
{
    const bench b = start(c);
    finish(&b, cvn_conv2d_ex(b.net, b.x[0], d));
}

static void test_conv2d_short_calls(void)
{
    bench b = start(&golden_conv2d_plain);
    finish(&b, cvn_conv2d(b.net, b.x[0], 4, 3, 1, 0));
    b = start(&golden_conv2d_stride);
    finish(&b, cvn_conv2d(b.net, b.x[0], 2, 3, 2, 1));
    b = start(&golden_conv2d_pointwise);
    finish(&b, cvn_conv2d(b.net, b.x[0], 5, 1, 1, 0));
    b = start(&golden_conv2d_5x5);
    finish(&b, cvn_conv2d(b.net, b.x[0], 2, 5, 1, 2));
    b = start(&golden_conv2d_depthwise);
    finish(&b, cvn_depthwise(b.net, b.x[0], 3, 2, 1));
}

static void test_conv2d_options(void)
{
    cvn_conv2d_desc d = conv_of(&golden_conv2d_no_bias);
    pad_conv(&d, 1, 1, 1, 1);
    run_conv(&golden_conv2d_no_bias, &d);

    d = conv_of(&golden_conv2d_rectangular);
    d.stride_h = 3;
    d.stride_w = 2;
    pad_conv(&d, 1, 0, 1, 0);
    run_conv(&golden_conv2d_rectangular, &d);

    d = conv_of(&golden_conv2d_asymmetric);
    pad_conv(&d, 1, 2, 3, 0);
    run_conv(&golden_conv2d_asymmetric, &d);

    d = conv_of(&golden_conv2d_dilation);
    d.dilation_h = 2;
    d.dilation_w = 3;
    pad_conv(&d, 2, 1, 2, 1);
    run_conv(&golden_conv2d_dilation, &d);

    d = conv_of(&golden_conv2d_groups);
    d.groups = 2;
    pad_conv(&d, 1, 1, 1, 1);
    run_conv(&golden_conv2d_groups, &d);
}

static void test_conv2d_pad_modes(void)
{
    cvn_conv2d_desc d = conv_of(&golden_conv2d_reflect);
    d.pad_mode = CVN_PAD_REFLECT;
    pad_conv(&d, 1, 2, 3, 1);
    run_conv(&golden_conv2d_reflect, &d);

    d = conv_of(&golden_conv2d_replicate);
    d.pad_mode = CVN_PAD_REPLICATE;
    d.stride_h = 2;
    pad_conv(&d, 2, 3, 0, 1);
    run_conv(&golden_conv2d_replicate, &d);
}

static void test_linear(void)
{
    bench b = start(&golden_linear_2d);
    finish(&b, cvn_dense(b.net, b.x[0], 4));
    b = start(&golden_linear_3d);
    finish(&b, cvn_dense(b.net, b.x[0], 4));
}

static cvn_pool_desc pool(int kernel, int stride, int pad)
{
    cvn_pool_desc d = cvn_pool_defaults();
    d.kernel_h = kernel;
    d.stride_h = stride;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = pad;
    return d;
}

static void run_maxpool(const golden_case *c, const cvn_pool_desc *d)
{
    const bench b = start(c);
    finish(&b, cvn_maxpool_ex(b.net, b.x[0], d));
}

static void run_avgpool(const golden_case *c, const cvn_pool_desc *d)
{
    const bench b = start(c);
    finish(&b, cvn_avgpool_ex(b.net, b.x[0], d));
}

static void test_maxpool(void)
{
    cvn_pool_desc d = pool(3, 2, 1);
    bench b = start(&golden_maxpool);
    finish(&b, cvn_maxpool(b.net, b.x[0], 2, 2));
    b = start(&golden_maxpool_stride);
    finish(&b, cvn_maxpool(b.net, b.x[0], 3, 2));
    d.kernel_w = 2;
    d.stride_w = 1;
    run_maxpool(&golden_maxpool_pad, &d);
    d = pool(3, 2, 0);
    d.ceil_mode = 1;
    run_maxpool(&golden_maxpool_ceil, &d);
    d = pool(2, 2, 1);
    d.ceil_mode = 1;
    run_maxpool(&golden_maxpool_ceil_pad, &d);
}

static void test_avgpool(void)
{
    cvn_pool_desc d = pool(3, 2, 1);
    bench b = start(&golden_avgpool);
    finish(&b, cvn_avgpool(b.net, b.x[0], 2, 2));
    run_avgpool(&golden_avgpool_pad, &d);
    d.exclude_pad = 1;
    run_avgpool(&golden_avgpool_exclude, &d);
    d.ceil_mode = 1;
    run_avgpool(&golden_avgpool_ceil_exclude, &d);
    d.exclude_pad = 0;
    run_avgpool(&golden_avgpool_ceil, &d);
    b = start(&golden_global_avgpool);
    finish(&b, cvn_global_avgpool(b.net, b.x[0]));
    b = start(&golden_global_maxpool);
    finish(&b, cvn_global_maxpool(b.net, b.x[0]));
}

static void test_activations(void)
{
    bench b = start(&golden_relu);
    finish(&b, cvn_relu(b.net, b.x[0]));
    b = start(&golden_leaky_relu);
    finish(&b, cvn_leaky_relu(b.net, b.x[0], 0.2f));
    b = start(&golden_elu);
    finish(&b, cvn_elu(b.net, b.x[0], 1.5f));
    b = start(&golden_sigmoid);
    finish(&b, cvn_sigmoid(b.net, b.x[0]));
    b = start(&golden_tanh);
    finish(&b, cvn_tanh(b.net, b.x[0]));
    b = start(&golden_softmax_2d);
    finish(&b, cvn_softmax(b.net, b.x[0]));
    b = start(&golden_softmax_3d);
    finish(&b, cvn_softmax(b.net, b.x[0]));
    b = start(&golden_softmax_4d);
    finish(&b, cvn_softmax(b.net, b.x[0]));
}

static void test_add_mul_concat(void)
{
    static const golden_case *const sums[] = { &golden_add_same, &golden_add_channels,
                                               &golden_add_both };
    static const golden_case *const products[] = { &golden_mul_same, &golden_mul_channels,
                                                   &golden_mul_both };
    bench b;
    for (int i = 0; i < 3; i++) {
        b = start(sums[i]);
        finish(&b, cvn_add(b.net, b.x[0], b.x[1]));
        b = start(products[i]);
        finish(&b, cvn_mul(b.net, b.x[0], b.x[1]));
    }
    b = start(&golden_concat_channels);
    finish(&b, cvn_concat(b.net, b.x[0], b.x[1]));
    b = start(&golden_concat_three);
    finish(&b, cvn_concat_n(b.net, b.x, 3, 2));
}

/* ---- batch norm ---- */

/* Two training steps; the second one's values and gradients, and the running statistics after
 * both. */
static void run_batchnorm(const golden_case *c, const cvn_batchnorm_desc *d,
                          const golden_tensor *first, const golden_tensor *mean,
                          const golden_tensor *var)
{
    const bench b = start(c);
    const cvn_node y = d ? cvn_batchnorm_ex(b.net, b.x[0], d) : cvn_batchnorm(b.net, b.x[0]);
    if (build(&b, y)) {
        CHECK(cvn_set_input(b.net, b.x[0], first->value, first->dim[0]) == CVN_OK);
        CHECK(cvn_forward(b.net) == CVN_OK);
        CHECK(cvn_set_input(b.net, b.x[0], c->input[0].value, c->input[0].dim[0]) == CVN_OK);
        check_forward(&b, y, 0);
        check_backward(&b, y);
        check_tensor("running_mean", cvn_param_find(b.net, "layer.running_mean").value, mean);
        check_tensor("running_var", cvn_param_find(b.net, "layer.running_var").value, var);
    }
    cvn_destroy(b.net);
}

static void test_batchnorm_train(void)
{
    cvn_batchnorm_desc d = cvn_batchnorm_defaults();
    run_batchnorm(&golden_batchnorm_1d, NULL, &golden_batchnorm_1d_first,
                  &golden_batchnorm_1d_running_mean, &golden_batchnorm_1d_running_var);
    d.momentum = 0.3f;
    d.eps = 1e-2f;
    run_batchnorm(&golden_batchnorm_2d, &d, &golden_batchnorm_2d_first,
                  &golden_batchnorm_2d_running_mean, &golden_batchnorm_2d_running_var);
}

static void set_running(cvn_net *net)
{
    set_param(net, "layer.running_mean", &golden_batchnorm_eval_running_mean);
    set_param(net, "layer.running_var", &golden_batchnorm_eval_running_var);
}

static void test_batchnorm_eval(void)
{
    const bench b = start(&golden_batchnorm_eval);
    const cvn_node y = cvn_batchnorm(b.net, b.x[0]);
    if (build(&b, y)) {
        set_running(b.net);
        check_forward(&b, y, 1);
        check_backward(&b, y);
    }
    cvn_destroy(b.net);
}

/* A frozen batch norm uses and keeps its running statistics in training, and lets gradients
 * through. */
static void test_batchnorm_frozen(void)
{
    const bench b = start(&golden_batchnorm_eval);
    const cvn_node y = cvn_batchnorm(b.net, b.x[0]);
    CHECK(cvn_freeze(b.net, y) == CVN_OK);
    if (build(&b, y)) {
        set_running(b.net);
        check_forward(&b, y, 0);
        CHECKF(cvn_backward_from(b.net, y, b.golden->g.value) == CVN_OK, "%s", cvn_error(b.net));
        check_tensor("gradient of input", cvn_gradient(b.net, b.x[0]), &b.golden->dinput[0]);
        check_tensor("running_mean", cvn_param_find(b.net, "layer.running_mean").value,
                     &golden_batchnorm_eval_running_mean);
        check_tensor("running_var", cvn_param_find(b.net, "layer.running_var").value,
                     &golden_batchnorm_eval_running_var);
    }
    cvn_destroy(b.net);
}

/* ---- losses ---- */

/* Labels lie as the logits without their class axis: 1, or the last one of a sequence [N, T, C]. */
static cvn_node add_labels(cvn_net *net, const golden_tensor *logits)
{
    int dims[2] = { 0, 0 };
    if (logits->rank == 3) dims[0] = logits->dim[1];
    if (logits->rank == 4) {
        dims[0] = logits->dim[2];
        dims[1] = logits->dim[3];
    }
    return cvn_input_labels(net, dims, logits->rank - 2);
}

static void run_cross_entropy(const golden_cross_entropy *c)
{
    const int n = c->logits.dim[0];
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    cvn_net *const net = create(0);
    const cvn_node x = add_input(net, &c->logits);
    cvn_node loss;
    test_case("%s, %s", c->name, isa);
    cvn_want_grad(net, x);
    d.labels = add_labels(net, &c->logits);
    d.label_smoothing = c->smoothing;
    d.class_weights = c->class_weights;
    d.ignore_index = c->ignore_index;
    loss = cvn_softmax_loss_ex(net, x, &d);
    if (CHECKF(cvn_build(net, n) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, x, c->logits.value, n) == CVN_OK);
        CHECK(cvn_set_labels(net, d.labels, c->labels, n) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        CHECK_NEAR(cvn_loss(net), c->loss, 1e-5);
        check_values("value of the loss", cvn_value(net, loss), &c->loss, 1, 1e-5);
        CHECK(cvn_backward(net) == CVN_OK);
        check_tensor("gradient of the logits", cvn_gradient(net, x), &c->dlogits);
    }
    cvn_destroy(net);
}

static void test_cross_entropy(void)
{
    static const golden_cross_entropy *const cases[] = {
        &golden_ce_plain,           &golden_ce_smoothing,   &golden_ce_weights,
        &golden_ce_default_ignored, &golden_ce_ignored_255, &golden_ce_all,
        &golden_ce_spatial,         &golden_ce_spatial_all, &golden_ce_sequence,
        &golden_ce_sequence_all
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) run_cross_entropy(cases[i]);
}

static void run_pair_loss(const golden_pair_loss *c,
                          cvn_node (*make)(cvn_net *net, cvn_node a, cvn_node b))
{
    const int n = c->a.dim[0];
    cvn_net *const net = create(0);
    const cvn_node a = add_input(net, &c->a);
    const cvn_node b = c->db.value ? add_input(net, &c->b) : cvn_target(net, a);
    test_case("%s, %s", c->name, isa);
    cvn_want_grad(net, a);
    if (c->db.value) cvn_want_grad(net, b);
    make(net, a, b);
    if (CHECKF(cvn_build(net, n) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, a, c->a.value, n) == CVN_OK);
        CHECK(cvn_set_input(net, b, c->b.value, n) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        CHECK_NEAR(cvn_loss(net), c->loss, 1e-5 * (fabs((double)c->loss) + 1));
        CHECK(cvn_backward(net) == CVN_OK);
        check_tensor("gradient of the first", cvn_gradient(net, a), &c->da);
        if (c->db.value) check_tensor("gradient of the second", cvn_gradient(net, b), &c->db);
    }
    cvn_destroy(net);
}

static void test_mse_and_bce(void)
{
    run_pair_loss(&golden_mse_2d, cvn_mse_loss);
    run_pair_loss(&golden_mse_4d, cvn_mse_loss);
    run_pair_loss(&golden_bce_with_logits, cvn_bce_with_logits_loss);
}

/* ---- optimizers ---- */

static const char *const regression_params[] = { "fc1.weight", "fc1.bias", "fc2.weight",
                                                 "fc2.bias" };

/* Copies the four parameters from a flat array to the net, or from the net. */
static void copy_params(cvn_net *net, const float *from, float *to)
{
    size_t at = 0;
    for (int i = 0; i < 4; i++) {
        const cvn_param p = cvn_param_find(net, regression_params[i]);
        if (!CHECKF(p.value != NULL, "no parameter %s", regression_params[i])) return;
        if (from) memcpy(p.value, from + at, p.count * sizeof(float));
        else memcpy(to + at, p.value, p.count * sizeof(float));
        at += p.count;
    }
    cvn_touch(net);
}

static void run_optimizer(const golden_optimizer *c, const cvn_optimizer *optimizer)
{
    float got[64];
    cvn_net *const net = create(0);
    const cvn_node x = cvn_input_vector(net, 3);
    const cvn_node y = cvn_dense(net, cvn_tanh(net, cvn_dense(net, x, 4)), 2);
    const cvn_node target = cvn_target(net, y);
    test_case("%s, %s", c->name, isa);
    cvn_mse_loss(net, y, target);
    CHECKF(cvn_set_optimizer(net, optimizer) == CVN_OK, "%s", cvn_error(net));
    if (!CHECKF(cvn_build(net, 8) == CVN_OK, "%s", cvn_error(net))) {
        cvn_destroy(net);
        return;
    }
    copy_params(net, golden_optimizer_start.value, NULL);
    CHECK(cvn_set_input(net, x, golden_optimizer_x.value, 8) == CVN_OK);
    CHECK(cvn_set_input(net, target, golden_optimizer_target.value, 8) == CVN_OK);
    for (int step = 1; step <= c->late_steps; step++) {
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
        if (step != c->early_steps) continue;
        copy_params(net, NULL, got);
        check_values("parameter after the early steps", got, c->early.value, elements(&c->early),
                     1e-5);
    }
    copy_params(net, NULL, got);
    check_values("parameter after the late steps", got, c->late.value, elements(&c->late), 1e-4);
    cvn_destroy(net);
}

static void test_sgd(void)
{
    cvn_optimizer o = cvn_sgd(0.1f, 0);
    run_optimizer(&golden_sgd, &o);
    o.weight_decay = 0.05f;
    run_optimizer(&golden_sgd_decay, &o);
    o = cvn_sgd(0.05f, 0.9f);
    run_optimizer(&golden_sgd_momentum, &o);
    o.weight_decay = 0.02f;
    run_optimizer(&golden_sgd_momentum_decay, &o);
    o = cvn_nesterov(0.05f, 0.9f);
    run_optimizer(&golden_nesterov, &o);
    o.weight_decay = 0.02f;
    run_optimizer(&golden_nesterov_decay, &o);
}

static void test_adam(void)
{
    cvn_optimizer o = cvn_adam(0.02f);
    run_optimizer(&golden_adam, &o);
    o.weight_decay = 0.05f;
    run_optimizer(&golden_adam_decay, &o);
    o = cvn_adam(0.02f);
    o.beta1 = 0.8f;
    o.beta2 = 0.95f;
    o.eps = 1e-3f;
    run_optimizer(&golden_adam_betas, &o);
    o = cvn_adamw(0.02f, 0.1f);
    run_optimizer(&golden_adamw, &o);
}

static void test_clipping(void)
{
    cvn_optimizer o = cvn_sgd(0.1f, 0);
    o.clip_norm = 0.3f;
    run_optimizer(&golden_clip_norm, &o);
    o = cvn_sgd(0.1f, 0);
    o.clip_value = 0.05f;
    run_optimizer(&golden_clip_value, &o);
    o = cvn_sgd(0.1f, 0.5f);
    o.clip_value = 0.1f;
    o.clip_norm = 0.2f;
    run_optimizer(&golden_clip_both, &o);
}

/* ---- schedules ---- */

/* per_epoch: one rate an epoch of 5 batches; else one a batch of 6 epochs. */
static void run_schedule(const char *name, const cvn_schedule *s, const golden_tensor *rates,
                         int per_epoch)
{
    const int steps_per_epoch = 5;
    const int count = rates->dim[0] * (per_epoch ? steps_per_epoch : 1);
    test_case("%s", name);
    for (int step = 0; step < count; step++) {
        const float want = rates->value[per_epoch ? step / steps_per_epoch : step];
        const float got = cvn_schedule_lr(s, 0.5f, step, steps_per_epoch, count / steps_per_epoch);
        CHECKF(fabs((double)got - (double)want) <= 1e-6, "batch %d: %.9g, PyTorch has %.9g", step,
               (double)got, (double)want);
    }
}

static cvn_schedule schedule(cvn_schedule_kind kind)
{
    cvn_schedule s;
    memset(&s, 0, sizeof s);
    s.kind = kind;
    return s;
}

static void test_schedules(void)
{
    cvn_schedule s = schedule(CVN_SCHEDULE_STEP);
    s.step = 3;
    s.gamma = 0.2f;
    run_schedule("StepLR", &s, &golden_schedule_step, 1);
    s = schedule(CVN_SCHEDULE_EXPONENTIAL);
    s.gamma = 0.9f;
    run_schedule("ExponentialLR", &s, &golden_schedule_exponential, 1);
    s = schedule(CVN_SCHEDULE_COSINE);
    run_schedule("CosineAnnealingLR", &s, &golden_schedule_cosine, 0);
    s.min_lr = 0.05f;
    run_schedule("CosineAnnealingLR, eta_min", &s, &golden_schedule_cosine_min, 0);
    s = schedule(CVN_SCHEDULE_ONE_CYCLE);
    run_schedule("OneCycleLR", &s, &golden_schedule_one_cycle, 0);
    s.rise = 0.45f;
    s.div = 10;
    s.final_div = 100;
    run_schedule("OneCycleLR, options", &s, &golden_schedule_one_cycle_options, 0);
    s = schedule(CVN_SCHEDULE_CONSTANT);
    s.warmup = 1.6f;                    /* 8 of the 5 batches an epoch */
    run_schedule("LinearLR, warm-up", &s, &golden_schedule_warmup, 0);
}

/* ---- ResNet-20 ---- */

/* G. Marsaglia, Xorshift RNGs, JSS 8(14), 2003. */
static uint32_t xorshift(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

/* In [-1, 1), a multiple of 2^-23. */
static float symmetric(uint32_t *x) { return (float)(xorshift(x) >> 8) / 8388608.0f - 1.0f; }

static cvn_node conv_bn(cvn_net *net, cvn_node x, int filters, int kernel, int stride,
                        const char *bn)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    d.filters = filters;
    d.kernel_h = kernel;
    d.stride_h = stride;
    d.no_bias = 1;
    pad_conv(&d, kernel / 2, kernel / 2, kernel / 2, kernel / 2);
    return cvn_name(net, cvn_batchnorm(net, cvn_conv2d_ex(net, x, &d)), bn);
}

static cvn_node residual(cvn_net *net, cvn_node x, int filters, int stride, int stage, int block)
{
    char scope[32];
    char bn[3][48];
    cvn_node y;
    cvn_node shortcut = x;
    snprintf(scope, sizeof scope, "layer%d.%d", stage, block);
    for (int i = 0; i < 3; i++) snprintf(bn[i], sizeof bn[i], "%s.bn%d", scope, i + 1);
    cvn_scope(net, scope);
    y = cvn_relu(net, conv_bn(net, x, filters, 3, stride, bn[0]));
    y = conv_bn(net, y, filters, 3, 1, bn[1]);
    if (stride > 1) shortcut = conv_bn(net, x, filters, 1, stride, bn[2]);
    y = cvn_relu(net, cvn_add(net, y, shortcut));
    cvn_scope(net, NULL);
    return y;
}

static cvn_net *make_resnet20(void)
{
    cvn_net *const net = create(0);
    cvn_node x = cvn_input(net, 3, 32, 32);
    x = cvn_relu(net, conv_bn(net, x, 16, 3, 1, "bn1"));
    for (int stage = 1; stage <= 3; stage++)
        for (int block = 0; block < 3; block++)
            x = residual(net, x, 8 << stage, stage > 1 && block == 0 ? 2 : 1, stage, block);
    cvn_softmax_loss(net, cvn_name(net, cvn_dense(net, cvn_global_avgpool(net, x), 10), "fc"));
    return net;
}

/* He-uniform from one stream in the order of the layers; bn2 of each residual branch starts at
 * 1/4. */
static void set_resnet_weights(cvn_net *net)
{
    uint32_t state = 2463534242u;
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        if (p.shape.rank > 1) {
            const float bound = (float)sqrt(6.0 / (double)(p.count / (size_t)p.shape.dim[0]));
            for (size_t e = 0; e < p.count; e++) p.value[e] = bound * symmetric(&state);
        } else if (strstr(p.name, ".bn2.weight")) {
            for (size_t e = 0; e < p.count; e++) p.value[e] = 0.25f;
        }
    }
    cvn_touch(net);
}

/* Discs of a random colour in noise; the column tells the class, 0 to 4. x [N, 3, 32, 32] */
static void make_resnet_batch(uint32_t *state, float *x, int *labels)
{
    for (int n = 0; n < GOLDEN_RESNET_BATCH; n++) {
        const int label = (int)(xorshift(state) % 5);
        const int cy = 8 + (int)(xorshift(state) % 16);
        const int cx = 4 + 5 * label + (int)(xorshift(state) % 4);
        const int r = 4 + (int)(xorshift(state) % 4);
        labels[n] = label;
        for (int c = 0; c < 3; c++) {
            const float colour = symmetric(state) + 1.0f;
            for (int i = 0; i < 1024; i++, x++) {
                const int dy = i / 32 - cy;
                const int dx = i % 32 - cx;
                *x = symmetric(state) * 0.5f;
                if (dy * dy + dx * dx <= r * r) *x += colour;
            }
        }
    }
}

static void test_resnet20(void)
{
    static float x[GOLDEN_RESNET_BATCH * 3 * 32 * 32];
    int labels[GOLDEN_RESNET_BATCH];
    uint32_t state = 88172645u;
    double worst = 0;
    cvn_net *const net = make_resnet20();
    const cvn_optimizer optimizer = cvn_sgd(golden_resnet_lr, 0.9f);
    cvn_metrics m;
    cvn_data data;
    CHECK(cvn_set_optimizer(net, &optimizer) == CVN_OK);
    if (!CHECKF(cvn_build(net, GOLDEN_RESNET_BATCH) == CVN_OK, "%s", cvn_error(net))) {
        cvn_destroy(net);
        return;
    }
    CHECKF(cvn_parameters(net) == GOLDEN_RESNET_PARAMETERS, "%d parameters",
           (int)cvn_parameters(net));
    set_resnet_weights(net);
    for (int step = 0; step < GOLDEN_RESNET_STEPS; step++) {
        const double want = (double)golden_resnet_losses[step];
        float loss = 0;
        make_resnet_batch(&state, x, labels);
        CHECKF(cvn_train_batch(net, x, labels, GOLDEN_RESNET_BATCH, &loss) == CVN_OK, "%s",
               cvn_error(net));
        CHECKF(fabs((double)loss - want) <= 1e-3 * want, "step %d: loss %.7g, PyTorch has %.7g",
               step, (double)loss, want);
        if (fabs((double)loss - want) > worst * want) worst = fabs((double)loss - want) / want;
    }
    printf("    largest relative difference of a loss: %.1e\n", worst);
    memset(&m, 0, sizeof m);
    memset(&data, 0, sizeof data);
    data.count = GOLDEN_RESNET_BATCH;
    data.images = x;
    data.labels = labels;
    CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "%s", cvn_error(net));
    CHECK_NEAR(m.loss, golden_resnet_final, 1e-3 * (double)golden_resnet_final);
    cvn_destroy(net);
}

static void run_all(void)
{
    RUN(test_conv2d_short_calls);
    RUN(test_conv2d_options);
    RUN(test_conv2d_pad_modes);
    RUN(test_linear);
    RUN(test_maxpool);
    RUN(test_avgpool);
    RUN(test_activations);
    RUN(test_add_mul_concat);
    RUN(test_batchnorm_train);
    RUN(test_batchnorm_eval);
    RUN(test_batchnorm_frozen);
    RUN(test_cross_entropy);
    RUN(test_mse_and_bce);
    RUN(test_sgd);
    RUN(test_adam);
    RUN(test_clipping);
}

/* The name of the kernels that `isa` gives, "" where they are missing. */
static const char *kernels(void)
{
    cvn_net *const net = create(0);
    const char *const name = cvn_error(net)[0] ? "" : cvn_isa(net);
    cvn_destroy(net);
    return name;
}

int main(void)
{
    static const char *const tables[] = { "c", "avx2", "avx512", "neon", "wasm" };
    const char *best;
    RUN(test_schedules);
    best = kernels();
    for (int i = 0; i < 5; i++) {
        isa = tables[i];
        if (!kernels()[0]) {
            printf("  skipped: this CPU or build has no kernels \"%s\"\n", isa);
            continue;
        }
        printf("  kernels %s\n", isa);
        run_all();
        if (i == 0 || !strcmp(isa, best)) RUN(test_resnet20);
    }
    return test_done();
}
