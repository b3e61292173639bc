/* test_conv.c - convolution against the double reference: a random sweep over odd sizes, strides,
 * pads, dilations and groups, the shapes that have a kernel of their own, large ones that cross the
 * blocks of the matrix product, errors. TEST_QUICK: fewer cases. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifdef TEST_QUICK
    #define SWEEP_CASES 60
    #define BIG_CASES 1
#else
    #define SWEEP_CASES 320
    #define BIG_CASES 5
#endif

static cvn_node build_conv(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_conv2d_ex(net, x[0], &c->conv);
}

static cvn_node build_conv_short(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_conv2d(net, x[0], c->conv.filters, c->conv.kernel_h, c->conv.stride_h,
                      c->conv.pad_top);
}

static cvn_node build_depthwise(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_depthwise(net, x[0], c->conv.kernel_h, c->conv.stride_h, c->conv.pad_top);
}

static int out_size(int size, int kernel, int stride, int pads, int dilation)
{
    const int room = size + pads - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
}

/* A square, plain convolution; callers change what they want before finish_conv. */
static void start_conv(layer_case *c, int n, int channels, int h, int w, int filters, int kernel,
                       int stride, int pad)
{
    cvn_conv2d_desc *const d = &c->conv;
    memset(c, 0, sizeof *c);
    c->n = n;
    c->inputs = 1;
    c->x[0] = ref_shape(4, n, channels, h, w);
    c->build = build_conv;
    c->forward = ref_conv2d;
    d->filters = filters;
    d->kernel_h = d->kernel_w = kernel;
    d->stride_h = d->stride_w = stride;
    d->pad_top = d->pad_left = d->pad_bottom = d->pad_right = pad;
    d->dilation_h = d->dilation_w = d->groups = 1;
}

/* Output shape and text; 0 when the convolution does not exist. */
static int finish_conv(layer_case *c)
{
    static const char *const modes[3] = { "zero", "reflect", "replicate" };
    const cvn_conv2d_desc *const d = &c->conv;
    const int h = c->x[0].dim[2];
    const int w = c->x[0].dim[3];
    const int oh = out_size(h, d->kernel_h, d->stride_h, d->pad_top + d->pad_bottom, d->dilation_h);
    const int ow = out_size(w, d->kernel_w, d->stride_w, d->pad_left + d->pad_right, d->dilation_w);
    c->y = ref_shape(4, c->n, d->filters, oh, ow);
    snprintf(c->text, sizeof c->text,
             "conv [%d, %d, %d, %d], %d filters %dx%d, stride %d %d, pads %d %d %d %d %s, "
             "dilation %d %d, groups %d%s",
             c->n, c->x[0].dim[1], h, w, d->filters, d->kernel_h, d->kernel_w, d->stride_h,
             d->stride_w, d->pad_top, d->pad_left, d->pad_bottom, d->pad_right, modes[d->pad_mode],
             d->dilation_h, d->dilation_w, d->groups, d->no_bias ? ", no bias" : "");
    if (d->pad_mode == CVN_PAD_REFLECT &&
        (d->pad_top >= h || d->pad_bottom >= h || d->pad_left >= w || d->pad_right >= w))
        return 0;
    return oh > 0 && ow > 0;
}

static void draw_conv(layer_case *c, unsigned *state)
{
    cvn_conv2d_desc *const d = &c->conv;
    const int groups = ref_below(state, 3) ? 1 : 1 + ref_below(state, 4);
    start_conv(c, 1 + ref_below(state, 3), groups * (1 + ref_below(state, 4)),
               1 + ref_below(state, 11), 1 + ref_below(state, 11),
               groups * (1 + ref_below(state, 5)), 1, 1, 0);
    d->kernel_h = 1 + ref_below(state, 5);
    d->kernel_w = 1 + ref_below(state, ref_below(state, 4) ? 4 : 7);
    d->stride_h = 1 + ref_below(state, 3);
    d->stride_w = 1 + ref_below(state, 3);
    if (ref_below(state, 3)) {
        d->pad_top = ref_below(state, 4);
        d->pad_left = ref_below(state, 4);
        d->pad_bottom = ref_below(state, 4);
        d->pad_right = ref_below(state, 4);
    }
    if (ref_below(state, 3) == 0) {
        d->dilation_h = 1 + ref_below(state, 3);
        d->dilation_w = 1 + ref_below(state, 3);
    }
    d->groups = groups;
    d->pad_mode = (cvn_pad_mode)(ref_below(state, 2) ? 0 : ref_below(state, 3));
    d->no_bias = ref_below(state, 4) == 0;
}

static void random_sweep(void)
{
    unsigned state = 2024;
    for (int done = 0; done < SWEEP_CASES;) {
        layer_case c;
        draw_conv(&c, &state);
        if (!finish_conv(&c)) continue;
        layer_check(&c);
        done++;
    }
}

/* n, channels, h, w, filters, kernel, stride, pad: 1x1, 3x3 with stride 1, first layers, whole
 * images, odd edges. */
static const int usual[][8] = {
    { 2, 5, 7, 9, 6, 1, 1, 0 }, { 1, 1, 1, 1, 1, 1, 1, 0 }, { 2, 8, 9, 7, 5, 1, 2, 0 },
    { 1, 3, 5, 5, 4, 1, 1, 1 }, { 2, 4, 8, 8, 8, 3, 1, 1 }, { 1, 3, 7, 13, 17, 3, 1, 1 },
    { 3, 5, 6, 6, 3, 3, 1, 0 }, { 2, 16, 5, 5, 33, 3, 1, 1 }, { 2, 1, 12, 12, 6, 5, 1, 2 },
    { 1, 3, 15, 15, 8, 7, 2, 3 }, { 2, 3, 11, 11, 9, 3, 2, 1 }, { 1, 4, 6, 6, 5, 6, 1, 0 },
    { 2, 7, 1, 9, 3, 1, 3, 0 }, { 1, 2, 3, 3, 2, 3, 3, 3 }, { 1, 6, 4, 4, 7, 4, 4, 0 },
    { 5, 2, 3, 3, 15, 2, 1, 0 }
};

static void usual_shapes(void)
{
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        const int *const u = usual[i];
        layer_case c;
        start_conv(&c, u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7]);
        c.build = build_conv_short;
        CHECK(finish_conv(&c));
        layer_check(&c);
    }
}

static void depthwise(void)
{
    for (int i = 0; i < 8; i++) {
        const int channels = 1 + i * 3;
        layer_case c;
        start_conv(&c, 1 + i % 3, channels, 7, 6 + i, channels, i % 2 ? 5 : 3, 1 + i % 3, i % 4);
        c.conv.groups = channels;
        c.build = build_depthwise;
        CHECK(finish_conv(&c));
        layer_check(&c);
        /* a multiplier of 2 */
        start_conv(&c, 2, channels, 5, 5, channels * 2, 3, 1 + i % 2, 1);
        c.conv.groups = channels;
        c.conv.dilation_h = 1 + i % 2;
        CHECK(finish_conv(&c));
        layer_check(&c);
    }
}

/* n, channels, h, w, filters, kernel, stride, pad, groups: K = channels*kernel^2 > 300, filters >
 * 130, > 300 pixels */
static const int big[][9] = { { 1, 40, 19, 18, 137, 3, 1, 1, 1 },
                              { 3, 311, 10, 11, 34, 1, 1, 0, 1 },
                              { 2, 12, 41, 40, 19, 5, 2, 2, 1 },
                              { 2, 24, 37, 33, 24, 3, 1, 1, 24 },
                              { 17, 6, 14, 14, 16, 5, 1, 0, 2 } };

static void large_shapes(void)
{
    for (int i = 0; i < BIG_CASES; i++) {
        const int *const b = big[i];
        layer_case c;
        start_conv(&c, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]);
        c.conv.groups = b[8];
        c.big = 1;
        CHECK(finish_conv(&c));
        layer_check(&c);
    }
}

static void library_differences(void)
{
    for (int i = 0; i < 4; i++) {
        layer_case c;
        start_conv(&c, 2, 4, 6, 5, 6, 3, 1 + i % 2, i);
        c.conv.groups = 1 + i % 2;
        c.conv.dilation_w = i == 3 ? 2 : 1;
        CHECK(finish_conv(&c));
        library_check(&c);
    }
}

/* Zeros in the description: kernel_w = kernel_h, stride 1, stride_w = stride_h, dilation 1, one
 * group. */
static void zeros_are_defaults(void)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 3, 9, 11);
    cvn_shape s;
    CHECK(d.filters == 0 && d.groups <= 1 && d.pad_mode == CVN_PAD_ZERO);
    memset(&d, 0, sizeof d);
    d.filters = 4;
    d.kernel_h = 3;
    s = cvn_node_shape(net, cvn_conv2d_ex(net, x, &d));
    CHECK(ref_same_shape(s, ref_shape(4, 1, 4, 7, 9)));
    d.stride_h = 2;
    s = cvn_node_shape(net, cvn_conv2d_ex(net, x, &d));
    CHECK(ref_same_shape(s, ref_shape(4, 1, 4, 4, 5)));
    d.stride_w = 3;
    d.kernel_w = 1;
    s = cvn_node_shape(net, cvn_conv2d_ex(net, x, &d));
    CHECK(ref_same_shape(s, ref_shape(4, 1, 4, 4, 4)));
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(ref_same_shape(cvn_param_find(net, "conv1.weight").shape, ref_shape(4, 4, 3, 3, 3)));
    CHECK(ref_same_shape(cvn_param_find(net, "conv3.weight").shape, ref_shape(4, 4, 3, 3, 1)));
    CHECK(ref_same_shape(cvn_param_find(net, "conv3.bias").shape, ref_shape(1, 4, 0, 0, 0)));
    cvn_destroy(net);
}

/* He-normal weights: std sqrt(2/fan_in), zero bias; the same for the same seed, others for
 * another. */
static void initial_weights(void)
{
    cvn_net *nets[3];
    double square = 0;
    for (int i = 0; i < 3; i++) {
        cvn_desc desc = cvn_desc_defaults();
        desc.seed = i == 2 ? 8 : 7;
        nets[i] = cvn_create(&desc);
        cvn_conv2d(nets[i], cvn_input(nets[i], 16, 8, 8), 64, 3, 1, 1);
        CHECK(cvn_build(nets[i], 1) == CVN_OK);
    }
    const cvn_param a = cvn_param_find(nets[0], "conv1.weight");
    const cvn_param b = cvn_param_find(nets[1], "conv1.weight");
    const cvn_param c = cvn_param_find(nets[2], "conv1.weight");
    const cvn_param bias = cvn_param_find(nets[0], "conv1.bias");
    if (CHECK(a.value && b.value && c.value && bias.value)) {
        for (size_t i = 0; i < a.count; i++) square += (double)a.value[i] * (double)a.value[i];
        CHECK_NEAR(sqrt(square / (double)a.count), sqrt(2.0 / (16 * 9)), 0.004);
        for (size_t i = 0; i < bias.count; i++) CHECK(bias.value[i] == 0);
        CHECK(memcmp(a.value, b.value, a.count * sizeof(float)) == 0);
        CHECK(memcmp(a.value, c.value, a.count * sizeof(float)) != 0);
    }
    for (int i = 0; i < 3; i++) cvn_destroy(nets[i]);
}

static void refuse(int channels, const cvn_conv2d_desc *d, cvn_result expected)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node y = cvn_conv2d_ex(net, cvn_input(net, channels, 6, 6), d);
    const cvn_result result = cvn_build(net, 1);
    CHECK(y.id == 0);
    CHECKF(result == expected, "%s: %s", cvn_result_name(result), cvn_error(net));
    CHECK(cvn_error(net)[0] != 0);
    cvn_destroy(net);
}

static void errors(void)
{
    layer_case c;
    start_conv(&c, 1, 4, 6, 6, 4, 9, 1, 1);
    test_case("kernel larger than the padded image");
    refuse(4, &c.conv, CVN_ERROR_SHAPE);
    test_case("dilation reaches beyond the image");
    start_conv(&c, 1, 4, 6, 6, 4, 3, 1, 0);
    c.conv.dilation_w = 3;
    refuse(4, &c.conv, CVN_ERROR_SHAPE);
    test_case("values out of range");
    for (int i = 0; i < 7; i++) {
        start_conv(&c, 1, 4, 6, 6, 4, 3, 1, 1);
        if (i == 0) c.conv.filters = 0;
        if (i == 1) c.conv.kernel_h = -1;
        if (i == 2) c.conv.stride_w = -2;
        if (i == 3) c.conv.pad_left = -1;
        if (i == 4) c.conv.dilation_h = -1;
        if (i == 5) c.conv.groups = -1;
        if (i == 6) c.conv.filters = -3;
        refuse(4, &c.conv, CVN_ERROR_ARGUMENT);
    }
    test_case("a vector is no image");
    {
        cvn_net *net = cvn_create(NULL);
        CHECK(cvn_conv2d(net, cvn_input_vector(net, 12), 4, 3, 1, 1).id == 0);
        CHECK(cvn_build(net, 1) == CVN_ERROR_SHAPE);
        cvn_destroy(net);
    }
}

/* groups that divide neither channels nor filters, reflection of more than there is: some error,
 * never a net */
static void errors_of_either_kind(void)
{
    for (int i = 0; i < 3; i++) {
        cvn_net *net = cvn_create(NULL);
        layer_case c;
        start_conv(&c, 1, 4, 6, 6, 4, 3, 1, 1);
        if (i == 0) c.conv.groups = 3;
        if (i == 1) { c.conv.groups = 4; c.conv.filters = 6; }
        if (i == 2) { c.conv.pad_mode = CVN_PAD_REFLECT; c.conv.pad_left = 6; }
        CHECK(cvn_conv2d_ex(net, cvn_input(net, 4, 6, 6), &c.conv).id == 0);
        CHECKF(cvn_build(net, 1) < 0 && strlen(cvn_error(net)) > 20, "%d: '%s'", i, cvn_error(net));
        cvn_destroy(net);
    }
}

int main(void)
{
    RUN(zeros_are_defaults);
    RUN(initial_weights);
    RUN(errors);
    RUN(errors_of_either_kind);
    RUN(usual_shapes);
    RUN(depthwise);
    RUN(random_sweep);
    RUN(large_shapes);
    RUN(library_differences);
    return test_done();
}
