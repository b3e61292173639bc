/* test_conv.c - convolution in 1, 2 and 3 dimensions, transposed and separable, against the double
 * reference and PyTorch (golden/conv.h): random sweeps over odd sizes, strides, pads, dilations
 * and groups, the shapes that have a kernel of their own, large ones that cross the blocks of the
 * matrix product, cases of textbooks, folded norms, errors. TEST_QUICK: fewer cases. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/conv.h"

#ifdef TEST_QUICK
    #define SWEEP_CASES 60
    #define ND_CASES 15
    #define BIG_CASES 1
#else
    #define SWEEP_CASES 320
    #define ND_CASES 70
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

/* One or two filters a channel: 3x3 and 5x5 at stride 1, which read planes, and whatever goes
 * through frames or tap by tap. */
static void draw_depthwise(layer_case *c, unsigned *state)
{
    static const int sides[4] = { 3, 3, 5, 7 };
    cvn_conv2d_desc *const d = &c->conv;
    const int channels = 1 + ref_below(state, 6);
    const int side = sides[ref_below(state, 4)];
    start_conv(c, 1 + ref_below(state, 3), channels, 1 + ref_below(state, 22),
               1 + ref_below(state, ref_below(state, 3) ? 22 : 70),
               channels * (1 + ref_below(state, 2)), side, 1, side / 2);
    d->groups = channels;
    d->no_bias = ref_below(state, 2);
    if (ref_below(state, 2)) d->stride_h = d->stride_w = 1 + ref_below(state, 3);
    if (ref_below(state, 2)) return;
    d->pad_top = ref_below(state, 8);
    d->pad_left = ref_below(state, 8);
    d->pad_bottom = ref_below(state, 4);
    d->pad_right = ref_below(state, 4);
    if (ref_below(state, 2)) return;
    d->kernel_h = 1 + ref_below(state, 7);
    d->kernel_w = 1 + ref_below(state, 9);
    d->stride_h = 1 + ref_below(state, 5);
    d->stride_w = 1 + ref_below(state, 5);
    d->dilation_h = 1 + ref_below(state, 3);
    d->dilation_w = 1 + ref_below(state, 3);
    d->pad_mode = (cvn_pad_mode)(ref_below(state, 2) ? 0 : ref_below(state, 3));
}

static void depthwise_sweep(void)
{
    unsigned state = 77;
    for (int done = 0; done < SWEEP_CASES;) {
        layer_case c;
        draw_depthwise(&c, &state);
        if (!finish_conv(&c)) continue;
        layer_check(&c);
        done++;
    }
}

/* h, w, kernel, stride, pad, dilation: planes of several strips, rows of many vectors. */
static const int tall[][6] = { { 60, 130, 3, 2, 1, 1 }, { 131, 70, 5, 2, 2, 1 },
                               { 90, 100, 3, 1, 2, 2 }, { 61, 117, 3, 1, 1, 1 },
                               { 40, 70, 5, 1, 2, 1 },  { 2, 600, 7, 3, 3, 1 } };

static void depthwise_tall(void)
{
    for (size_t i = 0; i < sizeof tall / sizeof tall[0]; i++) {
        const int *const t = tall[i];
        layer_case c;
        start_conv(&c, 1, 2, t[0], t[1], 2, t[2], t[3], t[4]);
        c.conv.groups = 2;
        c.conv.dilation_h = c.conv.dilation_w = t[5];
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

/* ================================================================================================
 * any number of axes, transposed or not
 * ============================================================================================== */

static cvn_node build_conv1d(cvn_net *net, cvn_node x, const ref_conv_desc *d)
{
    cvn_conv1d_desc u = cvn_conv1d_defaults();
    u.filters = d->filters;
    u.kernel = d->kernel[0];
    u.stride = d->stride[0];
    u.dilation = d->dilation[0];
    u.pad_left = d->before[0];
    u.pad_right = d->after[0];
    u.groups = d->groups;
    u.pad_mode = d->pad_mode;
    u.no_bias = d->no_bias;
    return cvn_conv1d_ex(net, x, &u);
}

static cvn_node build_conv2d(cvn_net *net, cvn_node x, const ref_conv_desc *d)
{
    cvn_conv2d_desc u = cvn_conv2d_defaults();
    u.filters = d->filters;
    u.kernel_h = d->kernel[0];
    u.kernel_w = d->kernel[1];
    u.stride_h = d->stride[0];
    u.stride_w = d->stride[1];
    u.dilation_h = d->dilation[0];
    u.dilation_w = d->dilation[1];
    u.pad_top = d->before[0];
    u.pad_left = d->before[1];
    u.pad_bottom = d->after[0];
    u.pad_right = d->after[1];
    u.groups = d->groups;
    u.pad_mode = d->pad_mode;
    u.no_bias = d->no_bias;
    return cvn_conv2d_ex(net, x, &u);
}

static cvn_node build_conv3d(cvn_net *net, cvn_node x, const ref_conv_desc *d)
{
    cvn_conv3d_desc u = cvn_conv3d_defaults();
    u.filters = d->filters;
    u.kernel_d = d->kernel[0];
    u.kernel_h = d->kernel[1];
    u.kernel_w = d->kernel[2];
    u.stride_d = d->stride[0];
    u.stride_h = d->stride[1];
    u.stride_w = d->stride[2];
    u.dilation_d = d->dilation[0];
    u.dilation_h = d->dilation[1];
    u.dilation_w = d->dilation[2];
    u.pad_front = d->before[0];
    u.pad_top = d->before[1];
    u.pad_left = d->before[2];
    u.pad_back = d->after[0];
    u.pad_bottom = d->after[1];
    u.pad_right = d->after[2];
    u.groups = d->groups;
    u.pad_mode = d->pad_mode;
    u.no_bias = d->no_bias;
    return cvn_conv3d_ex(net, x, &u);
}

static cvn_node build_transpose1d(cvn_net *net, cvn_node x, const ref_conv_desc *d)
{
    cvn_conv_transpose1d_desc u = cvn_conv_transpose1d_defaults();
    u.filters = d->filters;
    u.kernel = d->kernel[0];
    u.stride = d->stride[0];
    u.dilation = d->dilation[0];
    u.pad_left = d->before[0];
    u.pad_right = d->after[0];
    u.output_pad = d->extra[0];
    u.groups = d->groups;
    u.no_bias = d->no_bias;
    return cvn_conv_transpose1d_ex(net, x, &u);
}

static cvn_node build_transpose2d(cvn_net *net, cvn_node x, const ref_conv_desc *d)
{
    cvn_conv_transpose2d_desc u = cvn_conv_transpose2d_defaults();
    u.filters = d->filters;
    u.kernel_h = d->kernel[0];
    u.kernel_w = d->kernel[1];
    u.stride_h = d->stride[0];
    u.stride_w = d->stride[1];
    u.dilation_h = d->dilation[0];
    u.dilation_w = d->dilation[1];
    u.pad_top = d->before[0];
    u.pad_left = d->before[1];
    u.pad_bottom = d->after[0];
    u.pad_right = d->after[1];
    u.output_pad_h = d->extra[0];
    u.output_pad_w = d->extra[1];
    u.groups = d->groups;
    u.no_bias = d->no_bias;
    return cvn_conv_transpose2d_ex(net, x, &u);
}

static cvn_node build_transpose3d(cvn_net *net, cvn_node x, const ref_conv_desc *d)
{
    cvn_conv_transpose3d_desc u = cvn_conv_transpose3d_defaults();
    u.filters = d->filters;
    u.kernel_d = d->kernel[0];
    u.kernel_h = d->kernel[1];
    u.kernel_w = d->kernel[2];
    u.stride_d = d->stride[0];
    u.stride_h = d->stride[1];
    u.stride_w = d->stride[2];
    u.dilation_d = d->dilation[0];
    u.dilation_h = d->dilation[1];
    u.dilation_w = d->dilation[2];
    u.pad_front = d->before[0];
    u.pad_top = d->before[1];
    u.pad_left = d->before[2];
    u.pad_back = d->after[0];
    u.pad_bottom = d->after[1];
    u.pad_right = d->after[2];
    u.output_pad_d = d->extra[0];
    u.output_pad_h = d->extra[1];
    u.output_pad_w = d->extra[2];
    u.groups = d->groups;
    u.no_bias = d->no_bias;
    return cvn_conv_transpose3d_ex(net, x, &u);
}

static cvn_node add_nd(cvn_net *net, cvn_node x, const ref_conv_desc *d)
{
    if (d->transposed && d->axes == 3) return build_transpose3d(net, x, d);
    if (d->transposed)
        return d->axes == 1 ? build_transpose1d(net, x, d) : build_transpose2d(net, x, d);
    if (d->axes == 1) return build_conv1d(net, x, d);
    return d->axes == 2 ? build_conv2d(net, x, d) : build_conv3d(net, x, d);
}

static cvn_node build_nd(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return add_nd(net, x[0], &c->nd);
}

static cvn_node build_nd_short(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const ref_conv_desc *const d = &c->nd;
    const int k = d->kernel[0];
    const int s = d->stride[0];
    const int pad = d->before[0];
    if (d->transposed && d->axes == 3)
        return cvn_conv_transpose3d(net, x[0], d->filters, k, s, pad);
    if (d->transposed)
        return d->axes == 1 ? cvn_conv_transpose1d(net, x[0], d->filters, k, s, pad)
                            : cvn_conv_transpose2d(net, x[0], d->filters, k, s, pad);
    return d->axes == 1 ? cvn_conv1d(net, x[0], d->filters, k, s, pad)
                        : cvn_conv3d(net, x[0], d->filters, k, s, pad);
}

/* The same on all axes; callers change what they want before finish_nd. */
static void start_nd(layer_case *c, int axes, int transposed, int n, int channels, int size,
                     int filters, int kernel, int stride, int pad)
{
    ref_conv_desc *const d = &c->nd;
    memset(c, 0, sizeof *c);
    c->n = n;
    c->inputs = 1;
    c->x[0] = ref_shape(2 + axes, n, channels, size, size);
    c->x[0].dim[4] = size;
    c->build = build_nd;
    c->forward = transposed ? ref_conv_transposed : ref_conv_nd;
    d->axes = axes;
    d->transposed = transposed;
    d->filters = filters;
    d->groups = 1;
    for (int i = 0; i < 3; i++) {
        d->kernel[i] = kernel;
        d->stride[i] = stride;
        d->dilation[i] = 1;
        d->before[i] = d->after[i] = pad;
    }
}

/* Output shape and text; 0 when the layer does not exist. */
static int finish_nd(layer_case *c)
{
    static const char *const modes[3] = { "zero", "reflect", "replicate" };
    const ref_conv_desc *const d = &c->nd;
    const cvn_shape x = c->x[0];
    int exists = 1;
    int at;
    c->y = ref_shape(x.rank, c->n, d->filters, 0, 0);
    at = snprintf(c->text, sizeof c->text, "conv%s%dd, %d x %d", d->transposed ? "_transpose" : "",
                  d->axes, c->n, x.dim[1]);
    for (int i = 0; i < d->axes; i++) {
        const int pads = d->before[i] + d->after[i];
        const int size = x.dim[2 + i];
        c->y.dim[2 + i] =
            d->transposed ? (size - 1) * d->stride[i] - pads + d->dilation[i] * (d->kernel[i] - 1) +
                                d->extra[i] + 1
                          : out_size(size, d->kernel[i], d->stride[i], pads, d->dilation[i]);
        if (c->y.dim[2 + i] < 1) exists = 0;
        if (d->pad_mode == CVN_PAD_REFLECT && (d->before[i] >= size || d->after[i] >= size))
            exists = 0;
        at += snprintf(c->text + at, sizeof c->text - (size_t)at,
                       "; size %d, k %d, s %d, d %d, pads %d %d + %d", size, d->kernel[i],
                       d->stride[i], d->dilation[i], d->before[i], d->after[i], d->extra[i]);
    }
    snprintf(c->text + at, sizeof c->text - (size_t)at, "; %d filters, %d groups, %s%s", d->filters,
             d->groups, modes[d->pad_mode], d->no_bias ? ", no bias" : "");
    return exists;
}

static void draw_nd(layer_case *c, int axes, int transposed, unsigned *state)
{
    const int groups = ref_below(state, 3) ? 1 : 1 + ref_below(state, 3);
    const int padded = ref_below(state, 3) != 0;
    const int dilated = ref_below(state, 3) == 0;
    const int largest = axes == 3 ? 3 : 5;
    ref_conv_desc *const d = &c->nd;
    start_nd(c, axes, transposed, 1 + ref_below(state, 3), groups * (1 + ref_below(state, 3)), 1,
             groups * (1 + ref_below(state, 4)), 1, 1, 0);
    d->groups = groups;
    for (int i = 0; i < axes; i++) {
        c->x[0].dim[2 + i] = 1 + ref_below(state, axes == 1 ? 17 : axes == 2 ? 6 : 5);
        d->kernel[i] = 1 + ref_below(state, largest);
        d->stride[i] = 1 + ref_below(state, 3);
        if (padded) {
            d->before[i] = ref_below(state, 3);
            d->after[i] = ref_below(state, 3);
        }
        if (dilated) d->dilation[i] = 1 + ref_below(state, 3);
        if (transposed)
            d->extra[i] = ref_below(state, d->stride[i] > d->dilation[i] ? d->stride[i]
                                                                         : d->dilation[i]);
    }
    if (!transposed) d->pad_mode = (cvn_pad_mode)(ref_below(state, 2) ? 0 : ref_below(state, 3));
    d->no_bias = ref_below(state, 4) == 0;
}

static void nd_sweep(int axes, int transposed, unsigned seed, int cases)
{
    for (int done = 0; done < cases;) {
        layer_case c;
        draw_nd(&c, axes, transposed, &seed);
        if (!finish_nd(&c)) continue;
        layer_check(&c);
        done++;
    }
}

static void conv1d_sweep(void) { nd_sweep(1, 0, 11, ND_CASES); }
static void conv3d_sweep(void) { nd_sweep(3, 0, 13, ND_CASES / 2); }
static void transpose1d_sweep(void) { nd_sweep(1, 1, 17, ND_CASES); }
static void transpose2d_sweep(void) { nd_sweep(2, 1, 19, ND_CASES); }
static void transpose3d_sweep(void) { nd_sweep(3, 1, 23, ND_CASES / 2); }

/* axes, transposed, n, channels, size, filters, kernel, stride, pad: the usual ones, 1x1, phases
 * that no tap reaches, one place */
static const int nd_usual[][9] = {
    { 1, 0, 2, 3, 16, 5, 3, 1, 1 }, { 1, 0, 2, 4, 17, 6, 1, 1, 0 }, { 1, 0, 1, 1, 1, 1, 1, 1, 0 },
    { 1, 0, 3, 2, 20, 4, 5, 2, 2 }, { 3, 0, 2, 2, 4, 3, 3, 1, 1 }, { 3, 0, 1, 3, 5, 4, 3, 2, 1 },
    { 3, 0, 2, 5, 3, 4, 1, 1, 0 }, { 3, 0, 1, 1, 1, 1, 1, 1, 0 }, { 3, 0, 1, 2, 4, 3, 2, 3, 0 },
    { 1, 1, 2, 3, 9, 4, 4, 2, 1 }, { 1, 1, 2, 3, 5, 2, 2, 3, 0 }, { 1, 1, 1, 1, 1, 1, 1, 1, 0 },
    { 2, 1, 2, 3, 5, 4, 4, 2, 1 }, { 2, 1, 1, 4, 4, 3, 2, 2, 0 }, { 2, 1, 2, 5, 6, 3, 3, 1, 1 },
    { 2, 1, 2, 4, 5, 6, 1, 1, 0 }, { 2, 1, 1, 2, 3, 3, 1, 3, 0 }, { 2, 1, 1, 3, 1, 5, 4, 1, 0 },
    { 2, 1, 2, 3, 4, 2, 5, 3, 2 }, { 2, 1, 1, 2, 3, 70, 2, 3, 0 }
};

static void nd_usual_shapes(void)
{
    for (size_t i = 0; i < sizeof nd_usual / sizeof nd_usual[0]; i++) {
        const int *const u = nd_usual[i];
        layer_case c;
        start_nd(&c, u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8]);
        c.build = build_nd_short;
        CHECK(finish_nd(&c));
        layer_check(&c);
    }
}

/* 1x1 whose output has the size of the input but lies elsewhere. */
static void nd_shifted(void)
{
    layer_case c;
    start_nd(&c, 2, 1, 2, 3, 5, 4, 1, 1, 1);
    for (int i = 0; i < 2; i++) {
        c.nd.dilation[i] = 3;
        c.nd.extra[i] = 2;
    }
    CHECK(finish_nd(&c) && c.y.dim[2] == 5);
    layer_check(&c);
}

/* One kernel a channel or two: no matrix product. */
static void nd_depthwise(void)
{
    for (int i = 0; i < 12; i++) {
        const int transposed = i % 2;
        const int axes = i % 4 < 2 ? 1 : transposed ? 2 : 3;
        const int channels = 2 + i / 2;
        const int times = 1 + i % 3 % 2;        /* the small image has so many channels more */
        layer_case c;
        start_nd(&c, axes, transposed, 1 + i % 3, transposed ? channels * times : channels,
                 axes == 1 ? 11 : 4, transposed ? channels : channels * times, 3, 1 + i % 3 / 2, 1);
        c.nd.groups = channels;
        c.nd.dilation[axes - 1] = 1 + i / 6;
        CHECK(finish_nd(&c));
        layer_check(&c);
    }
}

/* axes, transposed, n, channels, size, filters, kernel, stride, pad: over the blocks of the matrix
 * product */
static const int nd_big[][9] = { { 2, 1, 1, 40, 9, 137, 4, 2, 1 },
                                 { 3, 0, 1, 20, 9, 30, 3, 1, 1 },
                                 { 1, 0, 2, 70, 301, 33, 5, 1, 2 },
                                 { 2, 1, 2, 12, 21, 19, 3, 1, 0 },
                                 { 1, 1, 2, 65, 160, 34, 8, 4, 2 } };

/* The same, with kernels of more taps than a block of the product has columns. */
static const int nd_taps[][9] = { { 3, 0, 1, 3, 6, 2, 7, 1, 3 },
                                  { 3, 1, 2, 2, 4, 3, 5, 2, 1 },
                                  { 1, 0, 1, 3, 290, 2, 260, 1, 20 },
                                  { 2, 0, 1, 2, 18, 3, 16, 1, 3 },
                                  { 2, 1, 1, 3, 5, 4, 12, 1, 2 } };

static void check_nd_rows(const int (*rows)[9], int count)
{
    for (int i = 0; i < count; i++) {
        const int *const b = rows[i];
        layer_case c;
        start_nd(&c, b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8]);
        c.big = 1;
        CHECK(finish_nd(&c));
        layer_check(&c);
    }
}

static void nd_large_shapes(void) { check_nd_rows(nd_big, BIG_CASES); }

static void nd_many_taps(void) { check_nd_rows(nd_taps, 5); }

/* Zeros in the descriptions, and what short calls and automatic names make of them. */
static void nd_defaults(void)
{
    const int line[2] = { 3, 12 };
    const int volume[4] = { 2, 7, 8, 9 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node a = cvn_input_tensor(net, line, 2);
    const cvn_node b = cvn_input_tensor(net, volume, 4);
    const cvn_node image = cvn_input(net, 3, 5, 6);
    cvn_conv1d_desc d1;
    cvn_conv3d_desc d3;
    cvn_conv_transpose1d_desc t1;
    cvn_conv_transpose2d_desc t2;
    cvn_shape s;
    memset(&d1, 0, sizeof d1);
    memset(&d3, 0, sizeof d3);
    memset(&t1, 0, sizeof t1);
    memset(&t2, 0, sizeof t2);
    d1.filters = d3.filters = t1.filters = t2.filters = 4;
    d1.kernel = d3.kernel_d = t1.kernel = t2.kernel_h = 3;
    s = cvn_node_shape(net, cvn_conv1d_ex(net, a, &d1));
    CHECK(ref_same_shape(s, ref_shape(3, 1, 4, 10, 0)));
    d3.stride_h = 2;
    d3.kernel_w = 2;
    s = cvn_node_shape(net, cvn_conv3d_ex(net, b, &d3));
    CHECK(s.rank == 5 && s.dim[1] == 4 && s.dim[2] == 5 && s.dim[3] == 3 && s.dim[4] == 4);
    s = cvn_node_shape(net, cvn_conv_transpose1d_ex(net, a, &t1));
    CHECK(ref_same_shape(s, ref_shape(3, 1, 4, 14, 0)));
    t2.stride_h = 2;
    t2.output_pad_w = 1;
    s = cvn_node_shape(net, cvn_conv_transpose2d_ex(net, image, &t2));
    CHECK(ref_same_shape(s, ref_shape(4, 1, 4, 11, 14)));
#ifdef __cplusplus      /* descriptions by reference */
    CHECK(cvn_conv1d_ex(net, a, d1).id && cvn_conv3d_ex(net, b, d3).id);
    CHECK(cvn_conv_transpose1d_ex(net, a, t1).id && cvn_conv_transpose2d_ex(net, image, t2).id);
#endif
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(ref_same_shape(cvn_param_find(net, "conv1.weight").shape, ref_shape(3, 4, 3, 3, 0)));
    s = cvn_param_find(net, "conv2.weight").shape;
    CHECK(s.rank == 5 && s.dim[0] == 4 && s.dim[1] == 2 && s.dim[2] == 3 && s.dim[3] == 3 &&
          s.dim[4] == 2);
    CHECK(ref_same_shape(cvn_param_find(net, "deconv1.weight").shape, ref_shape(3, 3, 4, 3, 0)));
    CHECK(ref_same_shape(cvn_param_find(net, "deconv2.weight").shape, ref_shape(4, 3, 4, 3, 3)));
    CHECK(ref_same_shape(cvn_param_find(net, "deconv2.bias").shape, ref_shape(1, 4, 0, 0, 0)));
    cvn_destroy(net);
}

/* A depthwise layer without bias and a 1x1 layer with one. */
static void separable(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 3, 6, 7);
    const cvn_node y = cvn_separable_conv2d(net, x, 5, 3, 2, 1);
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_node z;
    float in[2 * 3 * 6 * 7];
    d.filters = d.groups = 3;
    d.kernel_h = 3;
    d.stride_h = 2;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = 1;
    d.no_bias = 1;
    z = cvn_conv2d_ex(net, x, &d);
    cvn_tie(net, z, cvn_find(net, "conv1"));
    z = cvn_pointwise(net, z, 5);
    cvn_tie(net, z, y);
    cvn_keep(net, y);
    cvn_keep(net, z);
    ref_fill(in, 2 * 3 * 6 * 7, -1, 1, 5);
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_param_count(net) == 3);
    CHECK(ref_same_shape(cvn_param_find(net, "conv1.weight").shape, ref_shape(4, 3, 1, 3, 3)));
    CHECK(ref_same_shape(cvn_param_find(net, "conv2.weight").shape, ref_shape(4, 5, 3, 1, 1)));
    CHECK(ref_same_shape(cvn_param_find(net, "conv2.bias").shape, ref_shape(1, 5, 0, 0, 0)));
    CHECK(ref_same_shape(cvn_node_shape(net, y), ref_shape(4, 2, 5, 3, 4)));
    CHECK(cvn_set_input(net, x, in, 2) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
    if (CHECK(cvn_value(net, y) && cvn_value(net, z)))
        CHECK(memcmp(cvn_value(net, y), cvn_value(net, z), 2 * 5 * 3 * 4 * sizeof(float)) == 0);
    cvn_destroy(net);
}

/* A norm and a relu behind a layer: an inference plan gives what a training plan predicts. */
static void folded_norms(void)
{
    for (int i = 0; i < 5; i++) {
        const int axes = i < 3 ? i + 1 : i - 2;
        const int dims[4] = { 4, 5, 6, 5 };
        float in[2 * 4 * 5 * 6 * 5];
        float *out[2] = { NULL, NULL };
        cvn_net *nets[2];
        size_t count = 0;
        test_case("%s %d-d, norm, relu", i < 3 ? "conv" : "transposed conv", axes);
        ref_fill(in, 2 * 4 * 5 * 6 * 5, -1, 1, 8);
        for (int k = 0; k < 2; k++) {
            cvn_net *net = nets[k] = cvn_create(NULL);
            const cvn_node x = cvn_input_tensor(net, dims, 1 + axes);
            layer_case c;
            cvn_node y;
            cvn_shape s;
            start_nd(&c, axes, i >= 3, 2, 4, 5, 6, 3, 2, 1);
            y = cvn_relu(net, cvn_batchnorm(net, build_nd(net, &x, &c)));
            cvn_output(net, y);
            CHECKF((k ? cvn_build_infer(net, 2) : cvn_build(net, 2)) == CVN_OK, "%s",
                   cvn_error(net));
            for (int p = 0; p < cvn_param_count(net); p++) {
                const cvn_param q = cvn_param_at(net, p);
                ref_fill(q.value, (int)q.count, 0.2, 1.1, 3u + (unsigned)p);
            }
            cvn_touch(net);
            s = cvn_node_shape(net, y);
            count = (size_t)ref_count(s);
            out[k] = (float *)calloc(count, sizeof(float));
            CHECKF(cvn_predict(net, in, 2, out[k]) == CVN_OK, "%s", cvn_error(net));
        }
        CHECK(nets[1]->layers[2].place.folded == (i < 3 ? 3 : 0));
        for (size_t k = 0; k < count; k++)
            CHECK_NEAR(out[0][k], out[1][k], 1e-4 * (1 + fabs((double)out[0][k])));
        for (int k = 0; k < 2; k++) {
            free(out[k]);
            cvn_destroy(nets[k]);
        }
    }
}

/* What takes a relu6 onto its store, if only behind it: the inference plan beside the other. */
static cvn_node layer_before_relu6(cvn_net *net, cvn_node x, int i)
{
    if (i == 0) return cvn_depthwise(net, x, 3, 1, 1);
    if (i == 1) return cvn_depthwise(net, x, 3, 2, 1);
    if (i == 2) return cvn_depthwise(net, x, 7, 2, 3);
    if (i == 3) return cvn_pointwise(net, x, 19);
    if (i == 4) return cvn_conv2d(net, x, 8, 3, 1, 1);
    if (i == 5) return cvn_conv2d(net, x, 16, 5, 2, 2);
    return cvn_dense(net, cvn_flatten(net, x), 23);
}

static void relu6_on_the_store(void)
{
    enum { BATCH = 2, IN = BATCH * 16 * 19 * 21 };
    static const char *const ways[4] = { NULL, "gemm", "direct", "lanes" };
    static float in[IN];
    ref_fill(in, IN, -4, 4, 9);
    for (int i = 0; i < 7 * 4; i++) {
        float *out[2] = { NULL, NULL };
        int cut = 0;
        size_t count = 0;
        cvn_net *nets[2];
        test_case("relu6 behind layer %d, way %d", i / 4, i % 4);
        for (int k = 0; k < 2; k++) {
            cvn_net *net = nets[k] = cvn_create(NULL);
            cvn_node y = layer_before_relu6(net, cvn_input(net, 16, 19, 21), i / 4);
            net->conv_way = ways[i % 4];
            y = cvn_relu6(net, y);
            cvn_output(net, y);
            CHECKF((k ? cvn_build_infer(net, BATCH) : cvn_build(net, BATCH)) == CVN_OK, "%s",
                   cvn_error(net));
            for (int p = 0; p < cvn_param_count(net); p++) {
                const cvn_param q = cvn_param_at(net, p);
                ref_fill(q.value, (int)q.count, -0.7, 0.8, 3u + (unsigned)p);
            }
            cvn_touch(net);
            count = (size_t)ref_count(cvn_node_shape(net, y));
            out[k] = (float *)calloc(count, sizeof(float));
            CHECKF(cvn_predict(net, in, BATCH, out[k]) == CVN_OK, "%s", cvn_error(net));
            CHECK(net->layers[y.id].place.skip == k);
        }
        for (size_t k = 0; k < count; k++) {
            CHECK_NEAR(out[0][k], out[1][k], 1e-4);
            cut += out[1][k] >= 6;
        }
        CHECK(cut > 0 && cut < (int)count);
        for (int k = 0; k < 2; k++) {
            free(out[k]);
            cvn_destroy(nets[k]);
        }
    }
}

/* ================================================================================================
 * textbook cases
 * ============================================================================================== */

/* One channel, one filter without bias: y and, from gradient g, dx; NULL for what is not wanted. */
static void run_small(int transposed, int size, const float *x, int kernel, const float *w,
                      const float *g, float *y, float *dx)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input(net, 1, size, size);
    layer_case c;
    cvn_node out;
    start_nd(&c, 2, transposed, 1, 1, size, 1, kernel, 1, 0);
    c.nd.no_bias = 1;
    out = build_nd(net, &in, &c);
    cvn_want_grad(net, in);
    cvn_want_grad(net, out);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    memcpy(cvn_param_at(net, 0).value, w, (size_t)(kernel * kernel) * sizeof(float));
    cvn_touch(net);
    CHECK(cvn_set_input(net, in, x, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
    memcpy(y, cvn_value(net, out), (size_t)ref_count(cvn_node_shape(net, out)) * sizeof(float));
    if (g) {
        CHECK(cvn_backward_from(net, out, g) == CVN_OK);
        memcpy(dx, cvn_gradient(net, in), (size_t)(size * size) * sizeof(float));
    }
    cvn_destroy(net);
}

/* 1..16 under a kernel of corners and centre; shapes and parameters of well-known layers. */
static void textbook_numbers(void)
{
    static const float w[9] = { 1, 0, 1, 0, 2, 0, 1, 0, 1 };
    float x[16];
    float y[4];
    cvn_net *net = cvn_create(NULL);
    cvn_shape s;
    for (int i = 0; i < 16; i++) x[i] = (float)(i + 1);
    run_small(0, 4, x, 3, w, NULL, y, NULL);
    CHECK(y[0] == 36 && y[1] == 42 && y[2] == 60 && y[3] == 66);
    s = cvn_node_shape(net, cvn_conv2d(net, cvn_input(net, 1, 200, 200), 1, 3, 2, 0));
    CHECK(s.dim[2] == 99 && s.dim[3] == 99);
    cvn_destroy(net);
    net = cvn_create(NULL);
    cvn_conv2d(net, cvn_input(net, 3, 32, 32), 6, 5, 1, 0);
    CHECK(cvn_build(net, 1) == CVN_OK);
    CHECK(cvn_param_find(net, "conv1.weight").count + cvn_param_find(net, "conv1.bias").count ==
          456);
    cvn_destroy(net);
}

/* 5x5 over 192 channels to 32 on 28x28: 120 million multiplications, 12.4 with 16 channels
 * between. */
static void textbook_bottleneck(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 192, 28, 28);
    double wide;
    char text[2000];
    cvn_conv2d(net, x, 32, 5, 1, 2);
    wide = cvn_macs(net);
    CHECK(wide == 120422400);
    cvn_conv2d(net, cvn_pointwise(net, x, 16), 32, 5, 1, 2);
    CHECK(cvn_macs(net) - wide == 12443648);
    CHECK(cvn_summary(net, text, sizeof text) < (int)sizeof text);
    CHECK(strstr(text, "120422400") && strstr(text, "2408448") && strstr(text, "10035200"));
    cvn_destroy(net);
}

/* A convolution is a product with a 4x9 matrix, and its transpose is both the backward pass and the
 * transposed convolution. The operands were chosen so that the result is 69 50 48 43. */
static void textbook_matrix(void)
{
    static const float x[9] = { 5, 4, 6, 9, 7, 2, 3, 1, 8 };
    static const float w[4] = { 3, 1, 4, 2 };
    static const float matrix[4][9] = { { 3, 1, 0, 4, 2, 0, 0, 0, 0 },
                                        { 0, 3, 1, 0, 4, 2, 0, 0, 0 },
                                        { 0, 0, 0, 3, 1, 0, 4, 2, 0 },
                                        { 0, 0, 0, 0, 3, 1, 0, 4, 2 } };
    static const float expected[4] = { 69, 50, 48, 43 };
    static const float g[4] = { 1, -2, 3, 5 };
    float y[4];
    float dx[9];
    float up[9];
    float down[4];
    run_small(0, 3, x, 2, w, g, y, dx);
    run_small(1, 2, g, 2, w, x, up, down);
    for (int i = 0; i < 4; i++) {
        float sum = 0;
        for (int k = 0; k < 9; k++) sum += matrix[i][k] * x[k];
        CHECK(sum == expected[i] && y[i] == expected[i]);
        CHECK(down[i] == expected[i]);          /* the transpose of the transpose */
    }
    for (int k = 0; k < 9; k++) {
        float sum = 0;
        for (int i = 0; i < 4; i++) sum += matrix[i][k] * g[i];
        CHECK(dx[k] == sum && up[k] == sum);
    }
}

/* ================================================================================================
 * PyTorch's values
 * ============================================================================================== */

static void check_array(const char *what, const float *got, const float *want, size_t count)
{
    if (!want || !CHECKF(got != NULL, "%s is missing", what)) return;
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= 2e-5 * (1 + fabs((double)want[i])))) {
            CHECKF(0, "%s[%d] is %.9g, PyTorch has %.9g", what, (int)i, (double)got[i],
                   (double)want[i]);
            return;
        }
}

static void set_array(cvn_net *net, const char *name, const float *from)
{
    const cvn_param p = cvn_param_find(net, name);
    if (from && CHECK(p.value != NULL)) memcpy(p.value, from, p.count * sizeof(float));
}

static void check_golden(const conv_golden *g)
{
    ref_conv_desc d;
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, g->x_dim + 1, g->axes + 1);
    cvn_node y;
    cvn_shape s;
    memset(&d, 0, sizeof d);
    d.axes = g->axes;
    d.transposed = g->transposed;
    d.filters = g->y_dim[1];
    d.groups = g->groups;
    d.no_bias = g->bias == NULL;
    d.pad_mode = (cvn_pad_mode)g->pad_mode;
    for (int i = 0; i < g->axes; i++) {
        d.kernel[i] = g->kernel[i];
        d.stride[i] = g->stride[i];
        d.dilation[i] = g->dilation[i];
        d.before[i] = g->before[i];
        d.after[i] = g->after[i];
        d.extra[i] = g->extra[i];
    }
    y = cvn_name(net, add_nd(net, x, &d), "layer");
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (!CHECKF(cvn_build(net, g->x_dim[0]) == CVN_OK, "%s", cvn_error(net))) {
        cvn_destroy(net);
        return;
    }
    s = cvn_node_shape(net, y);
    for (int i = 0; i < g->axes + 2; i++)
        CHECKF(s.dim[i] == g->y_dim[i], "axis %d: %d, not %d", i, s.dim[i], g->y_dim[i]);
    set_array(net, "layer.weight", g->weight);
    set_array(net, "layer.bias", g->bias);
    CHECK(cvn_set_input(net, x, g->x, g->x_dim[0]) == CVN_OK && cvn_forward(net) == CVN_OK);
    check_array("y", cvn_value(net, y), g->y, (size_t)ref_count(s));
    CHECKF(cvn_backward_from(net, y, g->g) == CVN_OK, "%s", cvn_error(net));
    check_array("dx", cvn_gradient(net, x), g->dx, (size_t)ref_count(cvn_node_shape(net, x)));
    check_array("dweight", cvn_param_find(net, "layer.weight").gradient, g->dweight,
                cvn_param_find(net, "layer.weight").count);
    check_array("dbias", cvn_param_find(net, "layer.bias").gradient, g->dbias, (size_t)d.filters);
    cvn_destroy(net);
}

static void golden_values(void)
{
    for (size_t i = 0; i < sizeof conv_goldens / sizeof conv_goldens[0]; i++) {
        test_case("PyTorch's %s", conv_goldens[i].name);
        check_golden(&conv_goldens[i]);
    }
}

/* ================================================================================================
 * errors
 * ============================================================================================== */

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

/* The others' own errors: what the text must say. */
static void refuse_nd(const layer_case *c, const int *dims, int count, cvn_result expected,
                      const char *says)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, count);
    CHECK(build_nd(net, &x, c).id == 0);
    CHECKF(cvn_build(net, 1) == expected && strstr(cvn_error(net), says), "'%s' does not say '%s'",
           cvn_error(net), says);
    cvn_destroy(net);
}

static void nd_errors(void)
{
    const int dims[4] = { 4, 6, 6, 6 };
    const int wide[2] = { 1, 1 << 29 };
    layer_case c;
    start_nd(&c, 1, 0, 1, 4, 6, 4, 3, 1, 0);
    refuse_nd(&c, dims, 3, CVN_ERROR_SHAPE, "[C, L]");
    start_nd(&c, 3, 0, 1, 4, 6, 4, 3, 1, 0);
    refuse_nd(&c, dims, 3, CVN_ERROR_SHAPE, "[C, D, H, W]");
    c.nd.kernel[0] = 9;
    c.nd.dilation[1] = 2;
    refuse_nd(&c, dims, 4, CVN_ERROR_SHAPE, "kernel 9 x 3 x 3 (dilated: 9 x 5 x 3) is larger");
    start_nd(&c, 3, 0, 1, 4, 6, 4, 30000, 1, 0);
    refuse_nd(&c, dims, 4, CVN_ERROR_ARGUMENT, "out of range");
    start_nd(&c, 3, 0, 1, 4, 6, 4, 3, 1, 6);
    c.nd.pad_mode = CVN_PAD_REFLECT;
    refuse_nd(&c, dims, 4, CVN_ERROR_SHAPE, "reflect padding");
    start_nd(&c, 1, 0, 1, 4, 6, 0, 3, 1, 0);
    refuse_nd(&c, dims, 2, CVN_ERROR_ARGUMENT, "out of range");
    start_nd(&c, 2, 1, 1, 4, 6, 4, 3, 2, 0);
    refuse_nd(&c, dims, 2, CVN_ERROR_SHAPE, "[C, H, W]");
    c.nd.extra[1] = 2;
    refuse_nd(&c, dims, 3, CVN_ERROR_ARGUMENT, "output padding 2 must be 0 or more and smaller");
    c.nd.extra[1] = -1;
    refuse_nd(&c, dims, 3, CVN_ERROR_ARGUMENT, "output padding -1");
    start_nd(&c, 2, 1, 1, 4, 6, 4, 3, 1, 4);
    refuse_nd(&c, dims, 3, CVN_ERROR_SHAPE, "gives an output of 0 along axis 2");
    start_nd(&c, 2, 1, 1, 4, 6, 6, 3, 1, 1);
    c.nd.groups = 4;
    refuse_nd(&c, dims, 3, CVN_ERROR_SHAPE, "4 groups do not divide");
    start_nd(&c, 1, 1, 1, 1, 6, 1, 1, 30000, 0);
    refuse_nd(&c, wide, 2, CVN_ERROR_SHAPE, "gives an output of 16106127330001");
    for (int i = 0; i < 4; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_tensor(net, dims, i == 0 ? 2 : i == 1 ? 4 : i);
        const cvn_node y = i == 0   ? cvn_conv1d(net, x, 4, 3, 0, 0)
                           : i == 1 ? cvn_conv3d(net, x, 4, 3, 0, 0)
                           : i == 2 ? cvn_conv_transpose1d(net, x, 4, 3, 0, 0)
                                    : cvn_conv_transpose2d(net, x, 4, 3, 0, 0);
        CHECK(y.id == 0 && cvn_build(net, 1) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_pointwise(net, x, 3).id == 0);
        CHECK(cvn_separable_conv2d(net, x, 3, 3, 1, 1).id == 0);
        cvn_destroy(net);
    }
}

/* Transposed: std sqrt(2*stride^2/(C*taps)), so that the variance of the output is that of the
 * input. */
static void transposed_weights(void)
{
    cvn_net *net = cvn_create(NULL);
    double square = 0;
    cvn_param w;
    cvn_conv_transpose2d(net, cvn_input(net, 32, 4, 4), 64, 4, 2, 1);
    CHECK(cvn_build(net, 1) == CVN_OK);
    w = cvn_param_find(net, "deconv1.weight");
    for (size_t i = 0; i < w.count; i++) square += (double)w.value[i] * (double)w.value[i];
    CHECK_NEAR(sqrt(square / (double)w.count), sqrt(2.0 / (32 * 16 / 4)), 0.002);
    cvn_destroy(net);
}

int main(void)
{
    RUN(zeros_are_defaults);
    RUN(initial_weights);
    RUN(errors);
    RUN(errors_of_either_kind);
    RUN(usual_shapes);
    RUN(depthwise);
    RUN(depthwise_sweep);
    RUN(depthwise_tall);
    RUN(random_sweep);
    RUN(large_shapes);
    RUN(library_differences);
    RUN(nd_defaults);
    RUN(transposed_weights);
    RUN(nd_errors);
    RUN(nd_usual_shapes);
    RUN(nd_shifted);
    RUN(nd_depthwise);
    RUN(conv1d_sweep);
    RUN(conv3d_sweep);
    RUN(transpose1d_sweep);
    RUN(transpose2d_sweep);
    RUN(transpose3d_sweep);
    RUN(nd_large_shapes);
    RUN(nd_many_taps);
    RUN(separable);
    RUN(folded_norms);
    RUN(relu6_on_the_store);
    RUN(textbook_numbers);
    RUN(textbook_bottleneck);
    RUN(textbook_matrix);
    RUN(golden_values);
    return test_done();
}
