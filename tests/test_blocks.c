/* test_blocks.c - room >>blocks: values, gradients and parameter names as PyTorch's modules have
 * them, shapes, counts, differences, errors. */
#include "../convnet.h"
#include "test.h"
#include "golden/blocks.h"

/* ================================================================================================
 * PyTorch's modules
 * ============================================================================================== */

/* { channels, out, stride, dilation, groups, bottleneck, preactivation, squeeze } */
static cvn_node residual(cvn_net *net, cvn_node x, const int v[8])
{
    cvn_residual_desc d = cvn_residual_defaults();
    d.channels = v[0];
    d.out_channels = v[1];
    d.stride = v[2];
    d.dilation = v[3];
    d.groups = v[4];
    d.bottleneck = v[5];
    d.preactivation = v[6];
    d.squeeze = v[7];
    return cvn_residual_ex(net, x, &d);
}

static cvn_node inverted(cvn_net *net, cvn_node x, const char *name)
{
    cvn_inverted_residual_desc d = cvn_inverted_residual_defaults();
    d.expanded = 6;
    d.filters = 3;
    if (!strcmp(name, "mobilenet_v3")) {
        d.expanded = d.filters = 4;
        d.kernel = 5;
        d.stride = 2;
        d.squeeze = 2;
        d.activation = CVN_ACT_HARDSWISH;
        d.gate = CVN_ACT_HARDSIGMOID;
        d.norm.eps = 1e-3f;
        d.norm.momentum = 0.01f;
    } else if (!strcmp(name, "efficientnet")) {
        d.squeeze = 2;
        d.activation = d.squeeze_activation = CVN_ACT_SILU;
    } else {
        d.v2_names = 1;
        if (!strcmp(name, "mobilenet_v2_first")) d.expanded = 0;
    }
    return cvn_inverted_residual(net, x, &d);
}

static cvn_node inception(cvn_net *net, cvn_node x, int norm)
{
    static const int plain[6] = { 2, 1, 3, 2, 2, 1 };
    static const int normed[6] = { 2, 2, 2, 1, 2, 2 };
    cvn_inception_desc d = cvn_inception_defaults();
    if (!norm) return cvn_inception(net, x, plain);
    memcpy(d.widths, normed, sizeof normed);
    d.kernel = 3;
    d.batchnorm = 1;
    return cvn_inception_ex(net, x, &d);
}

static cvn_node build_block(cvn_net *net, cvn_node x, const char *name)
{
    static const struct { const char *name; int v[8]; } rows[] = {
        { "basic_stride", { 3, 0, 2, 0, 0, 0, 0, 0 } },
        { "bottleneck", { 2, 6, 0, 0, 0, 1, 0, 0 } },
        { "bottleneck_groups", { 4, 4, 2, 0, 2, 1, 0, 0 } },
        { "bottleneck_dilated", { 1, 0, 0, 2, 0, 1, 0, 0 } },
        { "preactivation", { 3, 0, 0, 0, 0, 0, 1, 0 } },
        { "preactivation_bottleneck", { 2, 5, 2, 0, 0, 1, 1, 0 } },
        { "residual_squeeze", { 3, 3, 1, 1, 1, 0, 0, 2 } }
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!strcmp(name, rows[i].name)) return residual(net, x, rows[i].v);
    if (!strcmp(name, "basic")) return cvn_residual_basic(net, x, 3, 1);
    if (!strcmp(name, "bottleneck_wider")) return cvn_residual_bottleneck(net, x, 2, 1);
    if (!strcmp(name, "squeeze_excite")) return cvn_squeeze_excite(net, x, 3);
    if (!strcmp(name, "inception")) return inception(net, x, 0);
    if (!strcmp(name, "inception_norm")) return inception(net, x, 1);
    if (!strcmp(name, "fire")) return cvn_fire(net, x, 2, 2, 3);
    return inverted(net, x, name);
}

static void check_floats(const char *what, const float *got, const float *want, int count)
{
    double worst = 0;
    double scale = 1;
    int at = 0;
    if (!CHECKF(got != NULL, "%s", what)) return;
    for (int i = 0; i < count; i++) scale = fmax(scale, fabs((double)want[i]));
    for (int i = 0; i < count; i++) {
        const double e = fabs((double)got[i] - (double)want[i]);
        if (!(e <= worst)) {
            worst = e;
            at = i;
        }
    }
    CHECKF(worst <= 2e-5 * scale, "%s[%d] is %.9g, PyTorch has %.9g", what, at, (double)got[at],
           (double)want[at]);
}

/* Copies PyTorch's values into the parameters of those names; all names must be there. */
static void set_parameters(cvn_net *net, const blocks_golden *g)
{
    CHECKF(cvn_param_count(net) == g->params, "%d parameters, PyTorch has %d",
           cvn_param_count(net), g->params);
    for (int i = 0; i < g->params; i++) {
        char name[128];
        cvn_param p;
        snprintf(name, sizeof name, "layer3.1.%s", g->param[i].name);
        p = cvn_param_find(net, name);
        if (CHECKF(p.value && (int)p.count == g->param[i].count, "%s", name))
            memcpy(p.value, g->param[i].value, p.count * sizeof(float));
    }
    cvn_touch(net);
}

static void check_parameters(cvn_net *net, const blocks_golden *g)
{
    for (int i = 0; i < g->params; i++) {
        char name[128];
        cvn_param p;
        snprintf(name, sizeof name, "layer3.1.%s", g->param[i].name);
        p = cvn_param_find(net, name);
        check_floats(name, p.gradient ? p.gradient : p.value, g->param[i].after,
                     g->param[i].count);
    }
}

/* The plan for prediction folds norms and activations: the same values. */
static void check_prediction(cvn_net *net, const blocks_golden *g, int count)
{
    float *a = (float *)malloc(2 * (size_t)count * sizeof(float));
    float *b = a ? a + count : NULL;
    if (!CHECK(a != NULL)) return;
    CHECKF(cvn_predict(net, g->x, g->x_dim[0], a) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_build_infer(net, g->x_dim[0]) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_predict(net, g->x, g->x_dim[0], b) == CVN_OK, "%s", cvn_error(net));
    check_floats("folded prediction", b, a, count);
    free(a);
}

static void check_golden(const blocks_golden *g)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, g->x_dim[1], g->x_dim[2], g->x_dim[3]);
    const int x_count = g->x_dim[0] * g->x_dim[1] * g->x_dim[2] * g->x_dim[3];
    const int y_count = g->y_dim[0] * g->y_dim[1] * g->y_dim[2] * g->y_dim[3];
    cvn_shape s;
    cvn_node y;
    cvn_scope(net, "layer3.1");
    y = build_block(net, x, g->name);
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, g->x_dim[0]) == CVN_OK, "%s", cvn_error(net))) {
        s = cvn_node_shape(net, y);
        CHECK(s.rank == 4 && !memcmp(s.dim, g->y_dim, sizeof g->y_dim));
        set_parameters(net, g);
        CHECK(cvn_set_input(net, x, g->x, g->x_dim[0]) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        check_floats("y", cvn_value(net, y), g->y, y_count);
        CHECKF(cvn_backward_from(net, y, g->g) == CVN_OK, "%s", cvn_error(net));
        check_floats("dx", cvn_gradient(net, x), g->dx, x_count);
        check_parameters(net, g);
        check_prediction(net, g, y_count);
    }
    cvn_destroy(net);
}

static void pytorch(void)
{
    for (size_t i = 0; i < sizeof blocks_goldens / sizeof blocks_goldens[0]; i++) {
        test_case("PyTorch's %s", blocks_goldens[i].name);
        check_golden(&blocks_goldens[i]);
    }
}

/* ================================================================================================
 * names, counts, differences, errors
 * ============================================================================================== */

/* All parameters of the net, in order. */
static void check_names(cvn_net *net, const char *const *names, int count, int parameters)
{
    CHECKF(cvn_param_count(net) == count, "%s: %d", cvn_error(net), cvn_param_count(net));
    for (int i = 0; i < count; i++)
        CHECKF(!strcmp(cvn_param_at(net, i).name, names[i]), "%s, not %s",
               cvn_param_at(net, i).name, names[i]);
    CHECKF((int)cvn_parameters(net) == parameters, "%d parameters", (int)cvn_parameters(net));
    cvn_destroy(net);
}

/* torchvision's keys, written down by hand. */
static void names(void)
{
    static const char *const fire[6] = {
        "features.3.squeeze.weight", "features.3.squeeze.bias", "features.3.expand1x1.weight",
        "features.3.expand1x1.bias", "features.3.expand3x3.weight", "features.3.expand3x3.bias"
    };
    static const char *const bottleneck[20] = {
        "layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer1.0.bn1.bias",
        "layer1.0.bn1.running_mean", "layer1.0.bn1.running_var", "layer1.0.conv2.weight",
        "layer1.0.bn2.weight", "layer1.0.bn2.bias", "layer1.0.bn2.running_mean",
        "layer1.0.bn2.running_var", "layer1.0.conv3.weight", "layer1.0.bn3.weight",
        "layer1.0.bn3.bias", "layer1.0.bn3.running_mean", "layer1.0.bn3.running_var",
        "layer1.0.downsample.0.weight", "layer1.0.downsample.1.weight",
        "layer1.0.downsample.1.bias", "layer1.0.downsample.1.running_mean",
        "layer1.0.downsample.1.running_var"
    };
    cvn_net *net = cvn_create(NULL);
    cvn_scope(net, "features.3");
    cvn_fire(net, cvn_input(net, 64, 55, 55), 16, 64, 64);
    check_names(net, fire, 6, 64 * 16 + 16 + 16 * 64 + 64 + 16 * 64 * 9 + 64);
    net = cvn_create(NULL);
    cvn_scope(net, "layer1.0");
    cvn_residual_bottleneck(net, cvn_input(net, 64, 56, 56), 64, 1);
    check_names(net, bottleneck, 20, 75008);        /* layer1.0 of ResNet-50 */
}

/* A name that is taken leaves the automatic one: two blocks may stand in one scope. */
static void taken_names(void)
{
    static const char *const wanted[10] = { "conv1", "bn1", "conv2", "bn2", "downsample.0",
                                            "conv4", "bn4", "conv5", "bn5", "conv6" };
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 4, 8, 8);
    char scope[CVN_MAX_NAME];
    x = cvn_residual_basic(net, x, 8, 2);
    x = cvn_residual_basic(net, x, 16, 2);
    for (int i = 0; i < 10; i++)
        CHECKF(cvn_find(net, wanted[i]).id > 0, "%s: %s", wanted[i], cvn_error(net));
    memset(scope, 'x', sizeof scope);
    scope[CVN_MAX_NAME - 24] = 0;           /* the longest scope: its parts still fit */
    cvn_scope(net, scope);
    x = cvn_residual_basic(net, x, 4, 1);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* Sum of g*y behind a smooth block, all in training mode. */
static double objective(cvn_net *net, cvn_node y, const float *g, int count)
{
    const float *v;
    double sum = 0;
    CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
    v = cvn_value(net, y);
    for (int i = 0; v && i < count; i++) sum += (double)v[i] * (double)g[i];
    return sum;
}

/* The gradient along random directions in the space of all parameters against differences. */
static void differences(void)
{
    enum { COUNT = 3 * 4 * 6 * 6, DIRECTIONS = 4 };
    const double step = 1.0 / 256;
    cvn_inverted_residual_desc d = cvn_inverted_residual_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 4, 6, 6);
    float values[COUNT], g[COUNT];
    size_t count;
    float *w;
    const float *dw;
    cvn_node y;
    d.expanded = 8;
    d.filters = 4;
    d.squeeze = 2;
    d.activation = d.squeeze_activation = CVN_ACT_SILU;
    y = cvn_inverted_residual(net, x, &d);
    cvn_want_grad(net, y);
    for (int i = 0; i < COUNT; i++) {
        values[i] = (float)((i * 37 + 11) % 101) / 50 - 1;
        g[i] = (float)((i * 53 + 7) % 89) / 44 - 1;
    }
    if (!CHECKF(cvn_build(net, 3) == CVN_OK, "%s", cvn_error(net))) {
        cvn_destroy(net);
        return;
    }
    cvn_set_input(net, x, values, 3);
    w = cvn_flat_parameters(net, NULL);
    dw = cvn_flat_gradients(net, &count);
    objective(net, y, g, COUNT);
    CHECKF(cvn_backward_from(net, y, g) == CVN_OK, "%s", cvn_error(net));
    for (int k = 0; k < DIRECTIONS; k++) {
        double along = 0;
        double difference = 0;
        for (int side = 1; side >= -1; side--) {
            for (size_t i = 0; side && i < count; i++)
                w[i] += (float)((i * 29 + (size_t)k * 17) % 7 < 3 ? side * step : -side * step);
            if (side) difference += side * objective(net, y, g, COUNT) / (2 * step);
            for (size_t i = 0; side && i < count; i++)
                w[i] -= (float)((i * 29 + (size_t)k * 17) % 7 < 3 ? side * step : -side * step);
        }
        for (size_t i = 0; i < count; i++)
            along += (i * 29 + (size_t)k * 17) % 7 < 3 ? (double)dw[i] : -(double)dw[i];
        CHECK_NEAR(along, difference, 5e-3 * (1 + fabs(along)));
    }
    cvn_destroy(net);
}

/* A net of a single block on [N, 4, 6, 6], or on a vector, that must fail with that text. */
static void refuse(int which, const char *text)
{
    static const int bad[6] = { 1, 1, 1, 1, 0, 1 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = which == 0 ? cvn_input_vector(net, 9) : cvn_input(net, 4, 6, 6);
    cvn_residual_desc r = cvn_residual_defaults();
    cvn_inverted_residual_desc v = cvn_inverted_residual_defaults();
    cvn_inception_desc p = cvn_inception_defaults();
    const cvn_node none = { 0 };
    r.channels = 4;
    v.filters = 4;
    switch (which) {
    case 0: cvn_residual_basic(net, x, 4, 1); break;
    case 1: cvn_residual_basic(net, x, 0, 1); break;
    case 2: r.groups = 2; cvn_residual_ex(net, x, &r); break;
    case 3: r.groups = 3; r.bottleneck = 1; cvn_residual_ex(net, x, &r); break;
    case 4: cvn_squeeze_excite(net, none, 2); break;
    case 5: p.kernel = 4; cvn_inception_ex(net, x, &p); break;
    case 6: cvn_inception(net, x, bad); break;
    case 7: cvn_inception(net, x, NULL); break;
    case 8: v.kernel = 2; cvn_inverted_residual(net, x, &v); break;
    case 9:
        memset(&v.activation, 9, sizeof v.activation);         /* no C++ cast would do */
        cvn_inverted_residual(net, x, &v);
        break;
    case 10: cvn_fire(net, x, 2, 0, 2); break;
    case 11: cvn_inverted_residual(net, x, NULL); break;
    default: cvn_residual_basic(net, x, 4, -1); break;
    }
    CHECKF(strstr(cvn_error(net), text) != NULL, "%d: %s", which, cvn_error(net));
    CHECK(cvn_build(net, 1) != CVN_OK);
    CHECK(cvn_residual_basic(net, x, 4, 1).id == 0);
    CHECK(cvn_fire(net, x, 1, 1, 1).id == 0 && cvn_inception(net, x, bad).id == 0);
    CHECK(cvn_inverted_residual(net, x, &v).id == 0 && cvn_squeeze_excite(net, x, 1).id == 0);
    cvn_destroy(net);
}

static void errors(void)
{
    static const char *const texts[13] = {
        "residual: 'input1' has rank 2; [N, C, H, W] is needed", "channels 0", "groups 2",
        "groups 3", "squeeze_excite: the input is no node", "a kernel of 4; it must be odd",
        "conv", "no widths", "kernel 2", "is not one of cvn_activation_kind", "conv", "filters 0",
        "stride -1"
    };
    const cvn_node none = { 0 };
    for (int i = 0; i < 13; i++) refuse(i, texts[i]);
    CHECK(cvn_residual_basic(NULL, none, 4, 1).id == 0 && cvn_fire(NULL, none, 1, 1, 1).id == 0);
    CHECK(cvn_inverted_residual(NULL, none, NULL).id == 0);
    CHECK(cvn_inception(NULL, none, NULL).id == 0 && cvn_squeeze_excite(NULL, none, 1).id == 0);
}

/* The branch of a sample is dropped as a whole, or grows by 1/(1 - p); prediction has all of it. */
static void drop_path(void)
{
    enum { SAMPLES = 64, COUNT = 3 * 4 * 4 };
    cvn_residual_desc d = cvn_residual_defaults();
    cvn_inverted_residual_desc v = cvn_inverted_residual_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 3, 4, 4);
    static float image[SAMPLES * COUNT];
    cvn_node y, z;
    int dropped = 0;
    d.channels = v.filters = 3;
    d.drop_path = v.drop_path = 0.5f;
    d.preactivation = 1;
    y = cvn_residual_ex(net, x, &d);
    z = cvn_inverted_residual(net, x, &v);
    cvn_keep(net, y);
    cvn_keep(net, z);
    for (int i = 0; i < SAMPLES * COUNT; i++) image[i] = (float)(i % 13 - 6);
    if (CHECKF(cvn_build(net, SAMPLES) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, x, image, SAMPLES) == CVN_OK && cvn_forward(net) == CVN_OK);
        for (int i = 0; i < SAMPLES; i++) {
            const size_t bytes = COUNT * sizeof(float);
            dropped += !memcmp(cvn_value(net, y) + i * COUNT, image + i * COUNT, bytes);
            dropped += !memcmp(cvn_value(net, z) + i * COUNT, image + i * COUNT, bytes);
        }
        CHECKF(dropped > SAMPLES / 2 && dropped < 3 * SAMPLES / 2, "%d dropped", dropped);
        CHECK(cvn_forward_eval(net) == CVN_OK && cvn_value(net, y)[0] != image[0]);
    }
    cvn_destroy(net);
}

/* A built net refuses blocks and goes on. */
static void built_net(void)
{
    static const int widths[6] = { 1, 1, 1, 1, 1, 1 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 2, 3, 3);
    const float image[18] = { 0 };
    cvn_residual_basic(net, x, 2, 1);
    CHECK(cvn_build(net, 1) == CVN_OK);
    CHECK(cvn_residual_basic(net, x, 4, 1).id == 0 && cvn_inception(net, x, widths).id == 0);
    CHECK(cvn_inception(net, x, NULL).id == 0 && cvn_fire(net, x, 1, 1, 1).id == 0);
    CHECK(cvn_squeeze_excite(net, x, 1).id == 0 && cvn_inverted_residual(net, x, NULL).id == 0);
    CHECK(strstr(cvn_error(net), "add layers before") != NULL);
    CHECK(cvn_set_input(net, x, image, 1) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
    cvn_destroy(net);
}

/* Multiply-accumulates of a graph: convolutions, dense layers and matrix products alone. */
static void macs(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 4, 6, 6);
    char text[4000];
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 8, 3, 1, 1)));
    CHECK(cvn_macs(net) == 4.0 * 8 * 9 * 36);
    x = cvn_dense(net, cvn_maxpool(net, x, 2, 2), 10);
    CHECK(cvn_macs(net) == 4.0 * 8 * 9 * 36 + 72 * 10);
    CHECK(cvn_build(net, 5) == CVN_OK && cvn_macs(net) == 4.0 * 8 * 9 * 36 + 72 * 10);
    CHECK(cvn_summary(net, text, sizeof text) > 0 && strstr(text, "11088") != NULL);
    CHECK(cvn_macs(NULL) == 0);
    cvn_destroy(net);
}

int main(void)
{
    RUN(pytorch);
    RUN(names);
    RUN(taken_names);
    RUN(differences);
    RUN(errors);
    RUN(drop_path);
    RUN(built_net);
    RUN(macs);
    return test_done();
}
