/* test_cl.c - convnet_cl.h against the CPU engine with the plain kernels: each layer at odd shapes,
 * losses, optimizers, whole training steps; device memory full of NaN before; a net without any
 * OpenCL. The device is the one of the environment's CONVNET_CL, else the first of any kind; where
 * there is none, the tests of kernels are skipped. */
#ifndef _WIN32
    #define _POSIX_C_SOURCE 200809L     /* mkdtemp, setenv */
    #include <dirent.h>
    #include <stdlib.h>
    #include <unistd.h>
#endif
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#define CONVNET_CL_IMPLEMENTATION
#define CVNCL_ATTENTION_FLOATS 250      /* one, two or three samples of build_attention at a time */
#include "../convnet_cl.h"
#include "test.h"

static int local_memory;                /* cvncl_desc of the device under test */
static size_t piece;
static int storage, precision;
static float gradient_scale;
static int watched;                     /* by oclgrind, which is slow: no pass more than once */
static char **words;                    /* cases of a test begin with one of them; none: all */

static int wanted(const char *name)
{
    if (!words || !*words) return 1;
    for (char **w = words; *w; w++)
        if (!strncmp(name, *w, strlen(*w))) return 1;
    return 0;
}

static cvn_backend *open_device(int host_layers)
{
    cvncl_desc d = cvncl_defaults();
    d.any_kind = 1;
    d.host_layers = host_layers;
    d.local_memory = local_memory;
    d.piece = piece;
    d.storage = storage;
    d.precision = precision;
    d.gradient_scale = gradient_scale;
    return cvncl_open(&d);
}

static int have_device(void)
{
    cvn_backend *b = open_device(0);
    const int usable = b && !b->unusable;
    cvncl_close(b);
    return usable;
}

/* ---- pairs of nets: one on the CPU, one on the device ---- */

typedef void (*build_fn)(cvn_net *net);

/* The second norm of a residual branch starts at 1/4: with 1 a deep net is chaotic, and what
 * differs in rounding alone drifts apart within three steps. */
static void shrink_branches(cvn_net *net)
{
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        if (strncmp(p.name, "second", 6) || !strstr(p.name, ".weight")) continue;
        for (size_t e = 0; e < p.count; e++) p.value[e] = 0.25f;
        cvn_touch(net);
    }
}

static cvn_net *make_net(build_fn build, cvn_backend *backend, const cvn_optimizer *o, int batch,
                         int keep_all)
{
    cvn_desc d = cvn_desc_defaults();
    cvn_net *net;
    d.seed = 7;
    d.isa = "c";
    d.keep_all = keep_all;
    net = cvn_create(&d);
    if (backend && cvn_use_backend(net, backend) != CVN_OK) CHECKF(0, "%s", cvn_error(net));
    build(net);
    if (o) cvn_set_optimizer(net, o);
    if (!CHECKF(cvn_build(net, batch) == CVN_OK, "%s", cvn_error(net))) {
        cvn_destroy(net);
        return NULL;
    }
    shrink_branches(net);
    if (backend) {              /* what a kernel does not write shows */
        const size_t at = net->plan.persistent_bytes;
        CHECK(backend->fill(net, at, (net->plan.total - at) / sizeof(float), NAN) == CVN_OK);
    }
    return net;
}

static float draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1;
}

/* Labels run through 0, 1, 2, lengths through 1, 2, 3; positive targets, as some losses need
 * them; truths of detectors of classes 0, 1, 2 or none, two of them at one place. */
static void fill_inputs(cvn_net *net, int n, uint32_t seed)
{
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        const size_t count = cvni_batch_elements(l) * (size_t)n;
        float *values;
        cvn_node node;
        node.id = id;
        if (!(l->op->flags & CVNI_SOURCE)) continue;
        values = (float *)malloc(count * sizeof *values);
        for (size_t i = 0; values && i < count; i++) {
            values[i] = draw(&seed);
            if (l->op == &cvni_op_target) values[i] = 0.5f + 0.4f * values[i];
            if (!strcmp(l->name, "truth") && i % 5 == 0) values[i] = (float)(i / 5 % 4) - 1;
            if (!strcmp(l->name, "truth") && i % 5 && i / 5 % 7 == 2) values[i] = values[i - 5];
            if (l->is_int) ((int *)(void *)values)[i] = (int)(i % 3) + !strcmp(l->name, "lengths");
        }
        if (l->is_int) cvn_set_labels(net, node, (const int *)(const void *)values, n);
        else cvn_set_input(net, node, values, n);
        free(values);
    }
}

/* |a - b| over |b|, in double. A NaN makes it infinite. */
static double distance(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        if (!cvni_is_finite((double)a[i])) return HUGE_VAL;
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        s += (double)b[i] * (double)b[i];
    }
    return sqrt(d) / (sqrt(s) + 1e-6 * sqrt((double)n));
}

static double coarser = 1;              /* than float32 */
#define TOLERANCE (2e-5 * coarser)

static void compare_nodes(cvn_net *a, cvn_net *b)
{
    for (int id = 1; id < a->layer_count; id++) {
        const cvni_layer *l = &a->layers[id];
        const size_t n = cvni_elements(l->shape);
        const float *ya, *yb;
        cvn_node node;
        node.id = id;
        if (l->is_int || !l->y) continue;
        ya = cvn_value(a, node);
        yb = cvn_value(b, node);
        if (ya && yb)
            CHECKF(distance(ya, yb, n) < TOLERANCE, "value of %s: %g", l->name,
                   distance(ya, yb, n));
        if (!l->dy || l->per_batch) continue;
        ya = cvn_gradient(a, node);
        yb = cvn_gradient(b, node);
        if (ya && yb)
            CHECKF(distance(ya, yb, n) < 5 * TOLERANCE, "gradient of %s: %g", l->name,
                   distance(ya, yb, n));
    }
}

static void compare_params(cvn_net *a, cvn_net *b, double tolerance)
{
    for (int i = 0; i < cvn_param_count(a); i++) {
        const cvn_param p = cvn_param_at(a, i);
        const cvn_param q = cvn_param_at(b, i);
        const double d = distance(p.value, q.value, p.count);
        CHECKF(d < tolerance, "%s: %g", p.name, d);
        if (p.gradient) {
            const double g = distance(p.gradient, q.gradient, p.count);
            CHECKF(g < tolerance, "gradient of %s: %g", p.name, g);
        }
    }
}

/* Both passes with all values kept, for a full and a smaller batch (watched: this one); then
 * prediction. */
static void check_layers(build_fn build, cvn_backend *backend)
{
    const int batches[2] = { 5, 3 };
    cvn_net *cpu = make_net(build, NULL, NULL, 5, 1);
    cvn_net *dev = make_net(build, backend, NULL, 5, 1);
    for (int i = watched; cpu && dev && i < 2; i++) {
        fill_inputs(cpu, batches[i], 3);
        fill_inputs(dev, batches[i], 3);
        CHECKF(cvn_forward(cpu) == CVN_OK, "%s", cvn_error(cpu));
        CHECKF(cvn_forward(dev) == CVN_OK, "%s", cvn_error(dev));
        CHECK_NEAR(cvn_loss(dev), cvn_loss(cpu), TOLERANCE * (1 + fabs((double)cvn_loss(cpu))));
        CHECK(cvn_backward(cpu) == CVN_OK);
        CHECKF(cvn_backward(dev) == CVN_OK, "%s", cvn_error(dev));
        compare_nodes(dev, cpu);
        compare_params(dev, cpu, 5 * TOLERANCE);
        cvn_forward_eval(cpu);
        CHECKF(cvn_forward_eval(dev) == CVN_OK, "%s", cvn_error(dev));
        for (int id = 1; id < cpu->layer_count; id++) {
            cvn_node node;
            node.id = id;
            if (!cpu->layers[id].place.predict || cpu->layers[id].is_int) continue;
            CHECKF(distance(cvn_value(dev, node), cvn_value(cpu, node),
                            cvni_elements(cpu->layers[id].shape)) < TOLERANCE,
                   "prediction: value of %s", cpu->layers[id].name);
        }
    }
    cvn_destroy(cpu);
    cvn_destroy(dev);
}

/* Steps in the memory of a real plan, where buffers are shared. */
static void train(cvn_net *net, int steps, int batch)
{
    for (int i = 0; net && i < steps; i++) {
        fill_inputs(net, i == 1 && batch > 1 ? batch - 1 : batch, (uint32_t)i + 11);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        CHECKF(cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
        CHECKF(cvn_step(net) == CVN_OK, "%s", cvn_error(net));
    }
}

/* As far from the CPU as `tolerance` after some steps, and the same bits a second time; watched:
 * one step, once. */
static void check_steps(build_fn build, cvn_backend *backend, const cvn_optimizer *o, int steps,
                        int batch, double tolerance)
{
    cvn_net *net[3] = { NULL, NULL, NULL };
    size_t count = 0;
    for (int i = 0; i < 3 - watched; i++) {
        net[i] = make_net(build, i ? backend : NULL, o, batch, 0);
        train(net[i], watched ? 1 : steps, batch);
    }
    if (net[0] && net[1] && (net[2] || watched)) {
        CHECK_NEAR(cvn_loss(net[1]), cvn_loss(net[0]),
                   tolerance * (1 + fabs((double)cvn_loss(net[0]))));
        compare_params(net[1], net[0], tolerance);
        cvn_flat_parameters(net[1], &count);
        CHECK(watched || !memcmp(cvn_flat_parameters(net[1], NULL),
                                 cvn_flat_parameters(net[2], NULL), count * sizeof(float)));
    }
    for (int i = 0; i < 3; i++) cvn_destroy(net[i]);
}

static void regress(cvn_net *net, cvn_node y) { cvn_mse_loss(net, y, cvn_target(net, y)); }

/* ---- layers ---- */

static cvn_node conv_ex(cvn_net *net, cvn_node x, int filters, int kh, int kw, int stride,
                        int dilation, int groups)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    d.filters = filters;
    d.kernel_h = kh;
    d.kernel_w = kw;
    d.stride_h = stride;
    d.dilation_h = dilation;
    d.pad_top = d.pad_left = 1;
    d.pad_right = 2;
    d.groups = groups;
    return cvn_conv2d_ex(net, x, &d);
}

static void build_conv(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 11, 13);
    x = conv_ex(net, x, 7, 3, 4, 1, 1, 1);
    x = conv_ex(net, x, 35, 3, 3, 2, 1, 1);
    x = conv_ex(net, x, 10, 2, 3, 1, 2, 5);
    x = cvn_pointwise(net, x, 9);
    regress(net, x);
}

static void build_depthwise(cvn_net *net)
{
    cvn_node x = cvn_input(net, 6, 9, 7);
    x = cvn_depthwise(net, x, 3, 2, 1);
    x = conv_ex(net, x, 12, 2, 2, 1, 1, 6);
    regress(net, cvn_separable_conv2d(net, x, 5, 3, 1, 1));
}

/* Reflected and replicated borders: strides, dilation, groups, uneven pads, a gradient that two
 * layers add to; one channel a group; one and three axes. */
static void build_padded(cvn_net *net)
{
    const int line[2] = { 3, 9 };
    const int cube[4] = { 2, 4, 3, 5 };
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_conv1d_desc d1 = cvn_conv1d_defaults();
    cvn_conv3d_desc d3 = cvn_conv3d_defaults();
    const cvn_node image = cvn_conv2d(net, cvn_input(net, 3, 7, 6), 8, 1, 1, 0);
    const cvn_node a = cvn_conv1d(net, cvn_input_tensor(net, line, 2), 6, 1, 1, 0);
    const cvn_node b = cvn_conv3d(net, cvn_input_tensor(net, cube, 4), 3, 1, 1, 0);
    d.kernel_h = 3;
    d.kernel_w = 4;
    d.pad_top = 2;
    d.pad_left = 3;
    d.pad_bottom = 1;
    d1.filters = 5;
    d1.kernel = 4;
    d1.pad_left = 5;
    d1.pad_right = 2;
    d1.stride = 2;
    d3.filters = 4;
    d3.kernel_d = 3;
    d3.kernel_h = 2;
    d3.kernel_w = 3;
    d3.pad_front = d3.pad_top = d3.pad_right = 2;
    for (int mode = CVN_PAD_REFLECT; mode <= CVN_PAD_REPLICATE; mode++) {
        d.pad_mode = d1.pad_mode = d3.pad_mode = (cvn_pad_mode)mode;
        d.filters = 7;
        d.groups = d.dilation_w = 1;
        d.stride_h = 2;
        d.stride_w = 3;
        regress(net, cvn_conv2d_ex(net, image, &d));
        d.filters = d.groups = 8;
        d.dilation_w = 2;
        regress(net, cvn_conv2d_ex(net, image, &d));
        d.groups = 2;
        d.stride_h = d.stride_w = 1;
        regress(net, cvn_conv2d_ex(net, image, &d));
        regress(net, cvn_conv1d_ex(net, a, &d1));
        regress(net, cvn_conv3d_ex(net, b, &d3));
    }
}

static void build_conv_axes(cvn_net *net)
{
    const int line[2] = { 4, 17 };
    const int cube[4] = { 2, 5, 6, 7 };
    cvn_node a = cvn_input_tensor(net, line, 2);
    cvn_node b = cvn_input_tensor(net, cube, 4);
    a = cvn_conv_transpose1d(net, cvn_conv1d(net, a, 5, 3, 2, 1), 3, 4, 2, 1);
    b = cvn_conv3d(net, cvn_conv3d(net, b, 3, 3, 1, 1), 4, 2, 2, 0);
    regress(net, a);
    regress(net, b);
    regress(net, cvn_conv_transpose3d(net, b, 3, 3, 2, 1));
}

static void build_transposed(cvn_net *net)
{
    cvn_conv_transpose2d_desc d = cvn_conv_transpose2d_defaults();
    cvn_node x = cvn_input(net, 6, 5, 4);
    d.filters = 4;
    d.kernel_h = 3;
    d.kernel_w = 2;
    d.stride_h = 2;
    d.pad_top = d.pad_bottom = 1;
    d.output_pad_h = 1;
    d.groups = 2;
    x = cvn_conv_transpose2d_ex(net, cvn_conv2d(net, x, 6, 1, 1, 0), &d);
    regress(net, cvn_conv_transpose2d(net, x, 3, 4, 2, 1));
}

static void build_dense(cvn_net *net)
{
    const int steps[2] = { 7, 19 };
    cvn_dense_desc d = cvn_dense_defaults();
    cvn_node x = cvn_input_tensor(net, steps, 2);
    d.units = 33;
    d.no_bias = 1;
    x = cvn_relu(net, cvn_dense(net, x, 65));
    x = cvn_dense_ex(net, x, &d);
    regress(net, cvn_dense(net, cvn_flatten(net, x), 3));
}

static void build_pools(cvn_net *net)
{
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_node x = cvn_conv2d(net, cvn_input(net, 2, 13, 11), 3, 3, 1, 1);
    cvn_node y;
    d.kernel_h = 3;
    d.kernel_w = 2;
    d.stride_h = 2;
    d.stride_w = 3;
    d.pad_top = d.pad_left = 1;
    d.ceil_mode = 1;
    regress(net, cvn_maxpool_ex(net, x, &d));
    regress(net, cvn_avgpool_ex(net, x, &d));
    d.exclude_pad = 1;
    regress(net, cvn_avgpool_ex(net, x, &d));
    d.dilation_h = 3;
    d.dilation_w = 2;
    regress(net, cvn_maxpool_ex(net, x, &d));
    regress(net, cvn_avgpool_ex(net, x, &d));
    regress(net, cvn_lppool(net, x, 3, &d));
    d.exclude_pad = 0;
    regress(net, cvn_avgpool_ex(net, x, &d));
    regress(net, cvn_global_lppool(net, x, 2));
    regress(net, cvn_maxpool(net, x, 2, 2));
    regress(net, cvn_avgpool(net, x, 3, 1));
    y = cvn_adaptive_avgpool(net, x, 5, 4);
    regress(net, y);
    regress(net, cvn_adaptive_maxpool(net, x, 4, 7));
    regress(net, cvn_global_avgpool(net, x));
    regress(net, cvn_global_maxpool(net, x));
}

/* Without a bias, whose gradient in front of a norm is 0 and rounding alone. */
static cvn_node bare_conv(cvn_net *net, cvn_node x, int filters, int kernel, int stride)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    d.filters = filters;
    d.kernel_h = kernel;
    d.stride_h = stride;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = kernel / 2;
    d.no_bias = 1;
    return cvn_conv2d_ex(net, x, &d);
}

/* The backward pass of a maximum does that of the relu in front of it; overlapping windows. */
static void build_gated(cvn_net *net)
{
    cvn_node x = cvn_relu(net, cvn_conv2d(net, cvn_input(net, 2, 13, 11), 6, 3, 1, 1));
    x = cvn_leaky_relu(net, cvn_conv2d(net, cvn_maxpool(net, x, 3, 2), 5, 3, 1, 1), 0.3f);
    regress(net, cvn_maxpool(net, x, 2, 2));
}

/* The relu is not in the order of the convolution whose value it reads. */
static void build_gated_view(cvn_net *net)
{
    const int dims[3] = { 8, 3, 5 };
    cvn_node x = cvn_conv2d(net, cvn_input(net, 2, 6, 5), 4, 3, 1, 1);
    x = cvn_leaky_relu(net, cvn_reshape(net, x, dims, 3), 0.3f);
    regress(net, cvn_conv2d(net, cvn_maxpool(net, x, 2, 1), 3, 1, 1, 0));
}

static void build_norms(cvn_net *net)
{
    cvn_dense_desc dense = cvn_dense_defaults();
    cvn_batchnorm_desc d = cvn_batchnorm_defaults();
    cvn_node x = cvn_input(net, 3, 5, 6);
    cvn_node a = cvn_relu(net, cvn_batchnorm(net, bare_conv(net, x, 8, 3, 1)));
    cvn_node b = cvn_batchnorm(net, bare_conv(net, a, 8, 3, 1));
    d.no_affine = 1;
    a = cvn_relu(net, cvn_add(net, b, a));
    a = cvn_relu6(net, cvn_batchnorm_ex(net, bare_conv(net, a, 5, 1, 1), &d));
    a = cvn_leaky_relu(net, cvn_batchnorm(net, bare_conv(net, a, 6, 1, 1)), 0.1f);
    dense.units = 9;
    dense.no_bias = 1;
    a = cvn_batchnorm(net, cvn_dense_ex(net, a, &dense));
    regress(net, a);
}

static void build_maps(cvn_net *net)
{
    const cvn_node x = cvn_input_vector(net, 37);
    cvn_node y[24];
    int n = 0;
    const cvn_node h = cvn_scale(net, cvn_dense(net, x, 21), 2, 0.1f);
    const cvn_node positive = cvn_scale(net, cvn_sigmoid(net, h), 2, 0.1f);
    y[n++] = cvn_relu(net, h);
    y[n++] = cvn_leaky_relu(net, h, 0.2f);
    y[n++] = cvn_relu6(net, h);
    y[n++] = cvn_elu(net, h, 0.7f);
    y[n++] = cvn_tanh(net, h);
    y[n++] = cvn_selu(net, h);
    y[n++] = cvn_celu(net, h, 1.3f);
    y[n++] = cvn_hardsigmoid(net, h);
    y[n++] = cvn_gelu(net, h);
    y[n++] = cvn_gelu_tanh(net, h);
    y[n++] = cvn_silu(net, h);
    y[n++] = cvn_mish(net, h);
    y[n++] = cvn_hardswish(net, h);
    y[n++] = cvn_softplus(net, h, 1.5f, 3);
    y[n++] = cvn_softsign(net, h);
    y[n++] = cvn_prelu(net, h, 1);
    y[n++] = cvn_prelu(net, h, 21);
    y[n++] = cvn_exp(net, h);
    y[n++] = cvn_log(net, positive);
    y[n++] = cvn_sqrt(net, positive);
    y[n++] = cvn_square(net, cvn_neg(net, h));
    y[n++] = cvn_abs(net, h);
    y[n++] = cvn_clip(net, h, -0.5f, 0.4f);
    y[n++] = cvn_pow(net, positive, 1.7f);
    for (int i = 0; i < n; i++) regress(net, y[i]);
}

static void build_arithmetic(cvn_net *net)
{
    const cvn_node x = cvn_conv2d(net, cvn_input(net, 3, 4, 5), 6, 3, 1, 1);
    const cvn_node s = cvn_global_avgpool(net, cvn_conv2d(net, x, 6, 1, 1, 0));
    const int dims[3] = { 6, 1, 1 };
    const int row[3] = { 1, 4, 5 };
    const cvn_node gate = cvn_scale(net, cvn_sigmoid(net, cvn_reshape(net, s, dims, 3)), 1, 0.5f);
    const cvn_node plane = cvn_reshape(net, cvn_conv2d(net, x, 1, 3, 1, 1), row, 3);
    const cvn_node z = cvn_conv2d(net, x, 6, 1, 1, 0);
    regress(net, cvn_relu(net, cvn_add(net, x, z)));
    regress(net, cvn_sub(net, x, gate));
    regress(net, cvn_mul(net, gate, z));
    regress(net, cvn_div(net, z, gate));
    regress(net, cvn_maximum(net, x, plane));
    regress(net, cvn_minimum(net, z, x));
    regress(net, cvn_mul(net, x, x));
    regress(net, cvn_mul(net, cvn_conv2d(net, cvn_div(net, plane, gate), 5, 1, 1, 0),
                         cvn_conv2d(net, cvn_input(net, 2, 1, 5), 5, 1, 1, 0)));
    regress(net, cvn_where(net, cvn_greater(net, x, gate), z, plane));
}

static void build_joins(cvn_net *net)
{
    const cvn_node x = cvn_input(net, 3, 4, 6);
    const cvn_node a = cvn_conv2d(net, x, 2, 3, 1, 1);
    const cvn_node b = cvn_conv2d(net, x, 5, 1, 1, 0);
    cvn_node both[3];
    cvn_node y;
    both[0] = a;
    both[1] = b;
    both[2] = a;
    y = cvn_concat_n(net, both, 3, 1);
    regress(net, y);
    regress(net, cvn_softmax_axis(net, y, 1));
    regress(net, cvn_log_softmax_axis(net, y, 3));
    y = cvn_flatten_batch(net, y);
    regress(net, cvn_unflatten_batch(net, cvn_relu(net, y), 9));
}

static void build_dropout(cvn_net *net)
{
    cvn_node x = cvn_conv2d(net, cvn_input(net, 3, 7, 5), 6, 3, 1, 1);
    x = cvn_dropout(net, x, 0.3f);
    x = cvn_spatial_dropout(net, cvn_conv2d(net, x, 5, 1, 1, 0), 0.5f);
    regress(net, cvn_drop_path(net, cvn_conv2d(net, x, 4, 1, 1, 0), 0.4f));
}

static cvn_node lengths_of(cvn_net *net)
{
    const cvn_node node = cvn_input_labels(net, NULL, 0);
    cvn_name(net, node, "lengths");
    return node;
}

static void build_losses(cvn_net *net)
{
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    const float weights[4] = { 1, 0.5f, 2, 3 };
    const cvn_node x = cvn_input(net, 3, 4, 4);
    const cvn_node image = cvn_conv2d(net, x, 4, 3, 1, 1);
    const cvn_node y = cvn_dense(net, image, 4);
    const cvn_node p = cvn_scale(net, cvn_sigmoid(net, y), 0.9f, 0.05f);
    cvn_softmax_loss(net, y);
    d.label_smoothing = 0.1f;
    d.class_weights = weights;
    d.ignore_index = 2;
    cvn_softmax_loss_ex(net, y, &d);
    cvn_softmax_loss(net, image);
    cvn_mae_loss(net, y, cvn_target(net, y));
    cvn_huber_loss(net, y, cvn_target(net, y), 0.5f);
    cvn_smooth_l1_loss(net, y, cvn_target(net, y), 0.7f);
    cvn_bce_with_logits_loss(net, y, cvn_target(net, y));
    cvn_msle_loss(net, p, cvn_target(net, p));
    cvn_hinge_loss(net, y, cvn_target(net, y));
    cvn_kl_div_loss(net, cvn_log_softmax(net, y), cvn_target(net, y));
}

static void build_row_losses(cvn_net *net)
{
    const int boxes[2] = { 3, 4 };
    const cvn_node x = cvn_input_vector(net, 7);
    const cvn_node box = cvn_reshape(net, cvn_dense(net, x, 12), boxes, 2);
    const cvn_node other = cvn_reshape(net, cvn_dense(net, x, 12), boxes, 2);
    const float far[4] = { 0, 0, 2, 2 };
    const int corner[2] = { 1, 4 };
    const cvn_node shift = cvn_constant(net, corner, 2, far);
    const cvn_node a = cvn_dense(net, x, 5);
    const cvn_node b = cvn_dense(net, x, 5);
    const cvn_node same = cvn_sigmoid(net, cvn_dense(net, x, 1));
    cvn_iou_loss(net, cvn_add(net, box, shift), cvn_add(net, other, shift));
    cvn_giou_loss(net, cvn_add(net, box, shift), cvn_add(net, other, shift));
    cvn_triplet_loss(net, a, b, cvn_dense(net, x, 5), 1);
    cvn_contrastive_loss(net, a, b, same, 2);
    cvn_vae_kl_loss(net, a, b);
}

static void build_more_losses(cvn_net *net)
{
    cvn_nll_loss_desc d = cvn_nll_loss_defaults();
    const float weights[4] = { 1, 0.5f, 2, 3 };
    const cvn_node image = cvn_conv2d(net, cvn_input(net, 2, 4, 5), 4, 3, 1, 1);
    const cvn_node y = cvn_dense(net, image, 4);
    const cvn_node p = cvn_sigmoid(net, image);
    d.class_weights = weights;
    d.ignore_index = 2;
    cvn_nll_loss_ex(net, cvn_log_softmax(net, y), &d);
    cvn_nll_loss_ex(net, cvn_log_softmax_axis(net, image, 1), NULL);
    cvn_multi_margin_loss(net, y, cvn_input_labels(net, NULL, 0));
    cvn_focal_with_logits_loss(net, y, cvn_target(net, y), 2, 0.25f);
    cvn_focal_with_logits_loss(net, y, cvn_target(net, y), 1.5f, -1);
    cvn_dice_loss(net, p, cvn_target(net, p), 1);
    cvn_soft_cross_entropy_loss(net, image, cvn_target(net, image));
    cvn_total_variation_loss(net, image);
    cvn_mean_loss(net, cvn_square(net, y));
    cvn_l1_penalty(net, y, 0.1f);
    cvn_l2_penalty(net, image, 0.3f);
    cvn_orthogonality_penalty(net, y, 0.2f);
}

/* Heads of two sizes, one with a softmax; truths enough that some share a box. */
static void build_detector(cvn_net *net)
{
    const float anchors[6][2] = { { 2, 3 }, { 6, 5 }, { 9, 3 }, { 4, 9 }, { 1, 1 }, { 12, 8 } };
    const cvn_node x = cvn_relu(net, cvn_conv2d(net, cvn_input(net, 3, 12, 16), 5, 3, 2, 1));
    cvn_yolo_desc d = cvn_yolo_defaults();
    cvn_yolo_loss_desc loss = cvn_yolo_loss_defaults();
    cvn_node head[2], truth;
    d.classes = 3;
    d.scale_x_y = 1.1f;
    d.boxes = 4;
    memcpy(d.anchors, anchors, 4 * sizeof anchors[0]);
    head[0] = cvn_yolo(net, cvn_conv2d(net, x, 32, 1, 1, 0), &d);
    loss.max_boxes = 7;
    loss.ignore = 0.3f;
    loss.object = 2;
    loss.no_object = 0.5f;
    truth = cvn_yolo_loss(net, head, 1, &loss);
    truth.id--;
    cvn_name(net, truth, "truth");
    d.boxes = 2;
    d.softmax = 1;
    memcpy(d.anchors, anchors + 4, 2 * sizeof anchors[0]);
    head[1] = cvn_yolo(net, cvn_conv2d(net, x, 16, 3, 2, 1), &d);
    loss.truth = truth;
    loss.box = 0.7f;
    loss.classes = 1.5f;
    cvn_yolo_loss(net, head, 2, &loss);
    d.kind = CVN_YOLO_REGION;
    d.scale_x_y = 1;
    d.anchors[1][0] = 0.5f;
    head[1] = cvn_yolo(net, cvn_conv2d(net, x, 16, 1, 1, 0), &d);
    cvn_yolo_loss(net, head + 1, 1, &loss);
}

static void build_ctc(cvn_net *net)
{
    const int steps[2] = { 7, 5 };
    cvn_ctc_desc d = cvn_ctc_defaults();
    const int most[1] = { 3 };
    const cvn_node labels = cvn_input_labels(net, most, 1);
    const cvn_node x = cvn_log_softmax(net, cvn_dense(net, cvn_input_tensor(net, steps, 2), 4));
    d.blank = 3;
    d.label_lengths = lengths_of(net);
    cvn_ctc_loss(net, x, labels, &d);
}

static void build_group_norms(cvn_net *net)
{
    const int axes[2] = { 5, 7 };
    const cvn_node x = cvn_conv2d(net, cvn_input(net, 3, 6, 5), 6, 3, 1, 1);
    cvn_node s = cvn_input_tensor(net, axes, 2);
    regress(net, cvn_groupnorm(net, x, 3));
    regress(net, cvn_instancenorm(net, x));
    regress(net, cvn_l2norm(net, x, 1));
    s = cvn_layernorm(net, cvn_dense(net, s, 70));
    regress(net, cvn_layernorm(net, cvn_dense(net, s, 9)));
}

static void build_images(cvn_net *net)
{
    const cvn_node x = cvn_conv2d(net, cvn_input(net, 2, 5, 6), 4, 3, 1, 1);
    regress(net, cvn_upsample_nearest(net, x, 2));
    regress(net, cvn_upsample_nearest_to(net, x, 7, 4));
    regress(net, cvn_upsample_bilinear(net, x, 3, 0));
    regress(net, cvn_upsample_bilinear_to(net, x, 3, 11, 1));
    regress(net, cvn_pad(net, x, 1, 2, 0, 3, CVN_PAD_ZERO));
    regress(net, cvn_pad(net, x, 1, 2, 3, 2, CVN_PAD_REFLECT));
    regress(net, cvn_pad(net, x, 4, 0, 1, 2, CVN_PAD_REPLICATE));
    regress(net, cvn_crop(net, x, 1, 2, 3, 4));
    regress(net, cvn_pixel_shuffle(net, x, 2));
}

static void build_axes(cvn_net *net)
{
    const int turned[3] = { 3, 1, 2 };
    const int last[1] = { 3 };
    const int both[2] = { 1, 3 };
    const cvn_node x = cvn_conv2d(net, cvn_input(net, 2, 5, 4), 6, 3, 1, 1);
    regress(net, cvn_permute(net, x, turned, 3));
    regress(net, cvn_slice(net, x, 2, 1, 4));
    regress(net, cvn_slice(net, x, 1, 0, 2));
    regress(net, cvn_glu(net, x, 1));
    regress(net, cvn_glu(net, x, 3));
    regress(net, cvn_maxout(net, x, 3));
    regress(net, cvn_reduce_sum(net, x, last, 1));
    regress(net, cvn_reduce_mean(net, x, both, 2));
    regress(net, cvn_reduce_max(net, x, both, 2));
    regress(net, cvn_reduce_min(net, cvn_relu(net, x), NULL, 0));
    regress(net, cvn_gradient_reversal(net, x, 0.7f));
    regress(net, cvn_stop_gradient(net, x));
}

/* Strides beyond the kernel and beyond the image: phases without a tap, positions without one. */
static void build_strides(cvn_net *net)
{
    cvn_node x = cvn_conv2d(net, cvn_input(net, 4, 11, 10), 20, 2, 3, 1);
    cvn_node y = cvn_conv_transpose2d(net, cvn_conv2d(net, x, 5, 1, 1, 0), 3, 2, 3, 0);
    regress(net, cvn_conv2d(net, x, 6, 3, 7, 1));
    regress(net, cvn_conv2d(net, y, 17, 4, 4, 0));
}

/* Tensors in one order that layers want in the other: views, sums with an input, concat of both,
 * what the device has no own kernel for. */
static void build_orders(cvn_net *net)
{
    const int narrow[3] = { 3, 8, 6 };
    const cvn_node in = cvn_input(net, 6, 4, 6);
    const cvn_node x = bare_conv(net, in, 6, 3, 1);
    const cvn_node y = cvn_relu(net, cvn_add(net, cvn_batchnorm(net, x), in));
    const cvn_node flat = cvn_flatten(net, y);
    cvn_node both[2];
    regress(net, cvn_dense(net, cvn_tanh(net, flat), 5));
    regress(net, cvn_conv2d(net, cvn_reshape(net, y, narrow, 3), 4, 3, 1, 1));
    regress(net, cvn_conv2d(net, cvn_prelu(net, y, 6), 2, 3, 2, 1));
    both[0] = in;
    both[1] = cvn_sigmoid(net, x);
    regress(net, cvn_concat_n(net, both, 2, 1));
    regress(net, cvn_concat_n(net, both, 2, 2));
    regress(net, cvn_conv2d(net, cvn_avgpool(net, in, 2, 1), 3, 2, 1, 0));
    regress(net, cvn_mul(net, cvn_softmax_axis(net, x, 1), y));
    regress(net, cvn_sub(net, in, cvn_maxpool(net, cvn_stop_gradient(net, y), 1, 1)));
    regress(net, cvn_add(net, y, y));
}

/* Large enough for the large tiles. */
static void build_large(cvn_net *net)
{
    cvn_node x = cvn_relu(net, cvn_conv2d(net, cvn_input(net, 5, 20, 20), 101, 3, 1, 1));
    regress(net, cvn_global_avgpool(net, cvn_conv2d(net, x, 99, 3, 2, 1)));
}

/* kind 0 to 3: RNN, LSTM, GRU, RNN with relu. */
static cvn_node recur(cvn_net *net, cvn_node x, int kind, cvn_rnn_desc d)
{
    d.relu = kind == 3;
    return kind == 1 ? cvn_lstm_ex(net, x, &d) : kind == 2 ? cvn_gru_ex(net, x, &d)
                                                           : cvn_rnn_ex(net, x, &d);
}

static void build_recurrent(cvn_net *net)
{
    const int steps[2] = { 4, 6 };
    const int state[2] = { 1, 5 };
    const cvn_node x = cvn_dense(net, cvn_input_tensor(net, steps, 2), 7);
    const cvn_node h0 = cvn_tanh(net, cvn_dense(net, cvn_input_tensor(net, state, 2), 5));
    for (int kind = 0; kind < 4; kind++) {
        cvn_rnn_desc d = cvn_rnn_defaults();
        cvn_node y;
        d.hidden = 5;
        regress(net, recur(net, x, kind, d));
        d.h0 = h0;
        if (kind == 1) d.c0 = cvn_scale(net, h0, 0.5f, 0.1f);
        d.reverse = kind % 2;
        y = recur(net, x, kind, d);
        regress(net, cvn_last_step(net, y));
        regress(net, cvn_rnn_state(net, y, kind == 1));
    }
}

static void build_recurrent_layers(cvn_net *net)
{
    const int steps[2] = { 3, 6 };
    const cvn_node x = cvn_dense(net, cvn_input_tensor(net, steps, 2), 7);
    const cvn_node lengths = lengths_of(net);
    for (int kind = 0; kind < 3; kind++) {
        cvn_rnn_desc d = cvn_rnn_defaults();
        d.hidden = 9;
        d.layers = 3;
        d.bidirectional = 1;
        d.no_bias = kind == 0;
        d.dropout = 0.3f;
        d.lengths = lengths;
        regress(net, recur(net, x, kind, d));
    }
}

static void build_attention(cvn_net *net)
{
    const int queries[2] = { 5, 12 };
    const int keys[2] = { 7, 12 };
    cvn_attention_desc d = cvn_attention_defaults();
    const cvn_node q = cvn_dense(net, cvn_input_tensor(net, queries, 2), 12);
    const cvn_node k = cvn_dense(net, cvn_input_tensor(net, keys, 2), 12);
    const cvn_node v = cvn_tanh(net, k);
    d.heads = 3;
    regress(net, cvn_scaled_dot_product_attention(net, q, k, v, &d));
    regress(net, cvn_multihead_attention(net, q, k, v, 4));
    regress(net, cvn_multihead_attention(net, q, k, k, 2));
    d.causal = 1;
    d.dropout = 0.3f;
    regress(net, cvn_multihead_attention_ex(net, q, q, q, &d));
    regress(net, cvn_scaled_dot_product_attention(net, q, q, q, &d));
    d.no_bias = 1;
    d.causal = 0;
    d.lengths = lengths_of(net);
    regress(net, cvn_multihead_attention_ex(net, q, k, v, &d));
}

static void build_matmul(cvn_net *net)
{
    const int a_dims[4] = { 2, 3, 5, 4 };
    const int b_dims[4] = { 1, 3, 4, 5 };
    const int c_dims[4] = { 2, 1, 5, 4 };
    const int images[3] = { 6, 5, 4 };
    const cvn_node x = cvn_input_vector(net, 6);
    const cvn_node a = cvn_reshape(net, cvn_dense(net, x, 120), a_dims, 4);
    const cvn_node b = cvn_reshape(net, cvn_dense(net, x, 60), b_dims, 4);
    const cvn_node c = cvn_reshape(net, cvn_dense(net, x, 40), c_dims, 4);
    regress(net, cvn_matmul(net, a, b, 0, 0));
    regress(net, cvn_matmul(net, b, c, 0, 0));
    regress(net, cvn_matmul(net, a, c, 0, 1));
    regress(net, cvn_matmul(net, c, a, 1, 0));
    regress(net, cvn_matmul(net, a, b, 1, 1));
    regress(net, cvn_gram(net, cvn_slice(net, cvn_reshape(net, a, images, 3), 1, 0, 4)));
}

static void build_embedding(cvn_net *net)
{
    const int steps[1] = { 9 };
    const int table[2] = { 9, 6 };
    const int row[2] = { 1, 6 };
    const float values[6] = { 1, -2, 3, 0.5f, 0, 2 };
    cvn_init normal;
    cvn_node x = cvn_embedding(net, cvn_input_labels(net, steps, 1), 7, 6);
    normal.kind = CVN_INIT_NORMAL;
    normal.a = 0;
    normal.b = 1;
    x = cvn_position_embedding(net, cvn_positional_encoding(net, x));
    x = cvn_add(net, x, cvn_parameter(net, table, 2, normal));
    regress(net, cvn_mul(net, x, cvn_constant(net, row, 2, values)));
}

static void build_noise(cvn_net *net)
{
    const cvn_node x = cvn_dense(net, cvn_input_vector(net, 5), 23);
    regress(net, cvn_gaussian_noise(net, x, 0.7f));
    regress(net, cvn_reparameterize(net, cvn_dense(net, x, 9), cvn_dense(net, x, 9)));
}

static void build_functions(cvn_net *net)
{
    const cvn_node h = cvn_scale(net, cvn_tanh(net, cvn_dense(net, cvn_input_vector(net, 19), 11)),
                                 0.9f, 0.01f);
    const cvn_node above = cvn_scale(net, h, 0.5f, 2);
    cvn_node y[32];
    int n = 0;
    y[n++] = cvn_reciprocal(net, above);
    y[n++] = cvn_erf(net, h);
    y[n++] = cvn_sin(net, h);
    y[n++] = cvn_cos(net, h);
    y[n++] = cvn_tan(net, h);
    y[n++] = cvn_asin(net, h);
    y[n++] = cvn_acos(net, h);
    y[n++] = cvn_atan(net, h);
    y[n++] = cvn_sinh(net, h);
    y[n++] = cvn_cosh(net, h);
    y[n++] = cvn_asinh(net, h);
    y[n++] = cvn_acosh(net, above);
    y[n++] = cvn_atanh(net, h);
    y[n++] = cvn_threshold(net, h, 0.1f, 0.3f);
    y[n++] = cvn_shrink(net, h, 0.2f, 0.1f);
    y[n++] = cvn_floor(net, cvn_scale(net, h, 5, 0));
    y[n++] = cvn_ceil(net, cvn_scale(net, h, 5, 0));
    y[n++] = cvn_round(net, cvn_scale(net, h, 5, 0));
    y[n++] = cvn_trunc(net, cvn_scale(net, h, 5, 0));
    y[n++] = cvn_sign(net, h);
    y[n++] = cvn_is_nan(net, h);
    y[n++] = cvn_is_inf(net, h);
    y[n++] = cvn_not(net, h);
    for (int i = 0; i < n; i++) regress(net, y[i]);
}

static void build_operations(cvn_net *net)
{
    const int dims[3] = { 4, 3, 5 };
    const int row[3] = { 4, 1, 5 };
    const cvn_node x = cvn_input_vector(net, 9);
    const cvn_node a = cvn_scale(net, cvn_sigmoid(net, cvn_reshape(net, cvn_dense(net, x, 60), dims,
                                                                   3)), 2, 0.1f);
    const cvn_node b = cvn_scale(net, cvn_sigmoid(net, cvn_reshape(net, cvn_dense(net, x, 20), row,
                                                                   3)), 1, 0.2f);
    const cvn_node more = cvn_greater(net, a, b);
    regress(net, cvn_power(net, a, b));
    regress(net, cvn_remainder(net, cvn_neg(net, a), b));
    regress(net, cvn_fmod(net, a, b));
    regress(net, cvn_equal(net, a, a));
    regress(net, cvn_greater_equal(net, b, a));
    regress(net, cvn_and(net, more, a));
    regress(net, cvn_or(net, more, b));
    regress(net, cvn_xor(net, more, a));
    regress(net, cvn_where(net, more, a, b));
    regress(net, cvn_where(net, cvn_greater(net, b, cvn_neg(net, b)), b, a));
    regress(net, cvn_reduce_prod(net, a, NULL, 0));
    regress(net, cvn_cumsum(net, a, 2, 0, 1));
    regress(net, cvn_cumsum(net, a, 1, 1, 0));
}

static void build_select(cvn_net *net)
{
    const int times[3] = { 1, 2, 3 };
    const int pads[6] = { 0, 1, 1, 2, -1, 3 };
    const int list[5] = { 3, 0, 0, -1, 2 };
    const int sizes[2] = { 9, 3 };
    const float scales[2] = { 0.6f, 1.7f };
    cvn_interpolate_desc d = cvn_interpolate_defaults();
    const cvn_node x = cvn_conv2d(net, cvn_input(net, 2, 5, 6), 4, 3, 1, 1);
    cvn_node indices;
    regress(net, cvn_slice_step(net, cvn_slice_step(net, x, 2, -1, 0, -2), 3, 1, 6, 2));
    regress(net, cvn_tile(net, x, times, 3));
    regress(net, cvn_pad_axes(net, x, pads, 3, CVN_PAD_REFLECT, 0));
    regress(net, cvn_pad_axes(net, x, pads, 3, CVN_PAD_ZERO, 1.5f));
    regress(net, cvn_index_select(net, x, 1, list, 5));
    d.mode = CVN_NEAREST;
    regress(net, cvn_interpolate(net, x, sizes, NULL, 2, &d));
    d.mode = CVN_LINEAR;
    d.antialias = 1;
    regress(net, cvn_interpolate(net, x, NULL, scales, 2, &d));
    d.mode = CVN_CUBIC;
    d.antialias = 0;
    regress(net, cvn_interpolate(net, x, sizes, NULL, 2, &d));
    regress(net, cvn_topk(net, x, 3, 2, 0, &indices));
    regress(net, indices);
    regress(net, cvn_hardmax(net, x, 1));
    regress(net, cvn_lrn(net, x, 3));
}

static void build_gather(cvn_net *net)
{
    const int sequence[2] = { 3, 5 };
    const int list[1] = { 4 };
    cvn_pool_desc pool = cvn_pool_defaults();
    const cvn_node x = cvn_dense(net, cvn_input_tensor(net, sequence, 2), 5);
    const cvn_node image = cvn_conv2d(net, cvn_input(net, 2, 5, 6), 3, 3, 1, 1);
    const cvn_node index = cvn_input_labels(net, list, 1);
    const cvn_node same = cvn_floor(net, cvn_scale(net, cvn_sigmoid(net, x), 2.9f, 0));
    const cvn_node u = cvn_tanh(net, x);
    const cvn_node lengths = lengths_of(net);
    pool.kernel_h = 3;
    pool.stride_h = 1;
    regress(net, cvn_take(net, x, index, 1));
    regress(net, cvn_gather(net, x, same, 1));
    regress(net, cvn_reverse_sequence(net, x, lengths, 0, 1));
    regress(net, cvn_scatter(net, x, same, u, 1, CVN_SCATTER_REPLACE));
    regress(net, cvn_scatter(net, x, same, u, 1, CVN_SCATTER_ADD));
    regress(net, cvn_scatter(net, x, same, u, 1, CVN_SCATTER_MAX));
    regress(net, cvn_one_hot(net, index, 1, 4, 2, -1));
    regress(net, cvn_maxunpool(net, cvn_maxpool_ex(net, image, &pool),
                               cvn_maxpool_indices(net, image, &pool), 5, 6));
    regress(net, cvni_add_places(net, cvn_maxpool_indices(net, image, &pool), 0));
    regress(net, cvni_add_places(net, cvn_maxpool_indices(net, image, &pool), 1));
}

/* Corners in any order, centres; few and many kept, some that score too little, equal scores; one
 * image a sample, two. */
static void build_suppressed(cvn_net *net)
{
    const int shapes[2][3] = { { 70, 4, 0 }, { 2, 9, 4 } };
    const int scores[2][3] = { { 3, 70, 0 }, { 2, 2, 9 } };
    cvn_nms_desc d = cvn_nms_defaults();
    for (int i = 0; i < 4; i++) {
        const int k = i / 2;
        const cvn_node box = cvn_input_tensor(net, shapes[k], 2 + k);
        const cvn_node score = cvn_input_tensor(net, scores[k], 2 + k);
        d.most = i ? 5 : 100;
        d.iou = i == 3 ? 0 : 0.4f;
        d.score = -0.8f;
        d.centers = i % 2;
        regress(net, cvn_non_max_suppression(net, box, cvn_clip(net, score, -1, 0.7f), &d));
    }
    regress(net, cvn_dense(net, cvn_input_vector(net, 3), 2));
}

static void build_places(cvn_net *net)
{
    const int boxes[2] = { 3, 4 };
    const int places[3] = { 3, 4, 2 };
    cvn_roi_align_desc d = cvn_roi_align_defaults();
    const cvn_node vector = cvn_input_vector(net, 6);
    const cvn_node image = cvn_conv2d(net, cvn_input(net, 2, 7, 8), 3, 3, 1, 1);
    const cvn_node box = cvn_reshape(net, cvn_scale(net, cvn_dense(net, vector, 12), 4, 3), boxes,
                                     2);
    const cvn_node grid = cvn_reshape(net, cvn_scale(net, cvn_dense(net, vector, 24), 1.5f, 0),
                                      places, 3);
    regress(net, cvn_roi_align(net, image, box, 3, 2, NULL));
    d.aligned = 1;
    d.sampling_ratio = 3;
    d.spatial_scale = 0.7f;
    regress(net, cvn_roi_align(net, image, box, 2, 4, &d));
    regress(net, cvn_grid_sample(net, image, grid, CVN_LINEAR, CVN_PAD_ZERO, 0));
    regress(net, cvn_grid_sample(net, image, grid, CVN_CUBIC, CVN_PAD_REFLECT, 1));
    regress(net, cvn_grid_sample(net, image, grid, CVN_LINEAR, CVN_PAD_REFLECT, 0));
    regress(net, cvn_grid_sample(net, image, grid, CVN_NEAREST, CVN_PAD_REPLICATE, 0));
}

static void build_spectral(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 5, 6);
    x = cvn_relu(net, cvn_spectral_norm(net, cvn_conv2d(net, x, 5, 3, 1, 1)));
    x = cvn_relu(net, cvn_spectral_norm(net, cvn_conv_transpose2d(net, x, 4, 2, 2, 0)));
    regress(net, cvn_spectral_norm(net, cvn_dense(net, x, 7)));
}

typedef struct layers_case { const char *name; build_fn build; } layers_case;

static const layers_case layers_cases[] = {
    { "conv2d: tiles, strides, dilation, groups, 1x1", build_conv },
    { "conv2d, strides beyond the kernel", build_strides },
    { "orders: channels last and the host's", build_orders },
    { "conv2d, reflected and replicated borders", build_padded },
    { "depthwise and separable", build_depthwise },
    { "conv1d, conv3d, conv_transpose1d, conv_transpose3d", build_conv_axes },
    { "conv_transpose2d", build_transposed },
    { "dense", build_dense },
    { "pools", build_pools },
    { "maxima behind relus", build_gated }, { "and behind a view", build_gated_view },
    { "batch norm with what follows it", build_norms },
    { "elementwise functions, prelu", build_maps },
    { "arithmetic with broadcasting", build_arithmetic },
    { "concat, softmax, views", build_joins },
    { "dropout", build_dropout },
    { "losses", build_losses },
    { "layer norm and its kin", build_group_norms },
    { "images of another size", build_images },
    { "axes: permute, slice, glu, maxout, reduce", build_axes },
    { "large products", build_large },
    { "recurrent layers", build_recurrent },
    { "recurrent: layers, directions, lengths, dropout", build_recurrent_layers },
    { "attention", build_attention },
    { "matmul", build_matmul },
    { "embedding, parameters, positions", build_embedding },
    { "noise", build_noise },
    { "losses of rows", build_row_losses },
    { "losses: labels, samples, penalties", build_more_losses },
    { "CTC", build_ctc },
    { "detectors", build_detector },
    { "functions", build_functions },
    { "operations, where, products, running sums", build_operations },
    { "select, interpolate, topk, LRN", build_select },
    { "gather, scatter, unpooling", build_gather },
    { "non_max_suppression", build_suppressed },
    { "boxes, places", build_places },
    { "spectral norm", build_spectral }
};
enum { LAYERS_CASES = sizeof layers_cases / sizeof layers_cases[0] };

static void layers(void)
{
    cvn_backend *b = open_device(0);
    const cvn_optimizer sgd = cvn_sgd(0.02f, 0.9f);
    for (int i = 0; i < LAYERS_CASES; i++) {
        if (!wanted(layers_cases[i].name)) continue;
        test_case("%s", layers_cases[i].name);
        check_layers(layers_cases[i].build, b);
        test_case("%s: steps", layers_cases[i].name);
        check_steps(layers_cases[i].build, b, &sgd, 3, 4, 1e-4);
    }
    cvncl_close(b);
}

/* ---- optimizers ---- */

static void build_small(cvn_net *net)
{
    cvn_node x = cvn_relu(net, cvn_conv2d(net, cvn_input(net, 2, 6, 6), 5, 3, 1, 1));
    cvn_softmax_loss(net, cvn_dense(net, x, 3));
}

static void optimizers(void)
{
    cvn_backend *b = open_device(0);
    for (int kind = CVN_ADAM; kind <= CVN_LION; kind++) {
        for (int more = 0; more < 2; more++) {
            cvn_optimizer o;
            memset(&o, 0, sizeof o);
            o.kind = (cvn_optimizer_kind)kind;
            o.weight_decay = 0.01f;
            if (more) {
                o.momentum = o.dampening = 0.8f;
                o.amsgrad = o.centered = o.decay_weights_only = 1;
                o.clip_norm = 0.3f;
                o.clip_value = 0.05f;
            }
            test_case("%s, %d", cvni_optimizers[kind].name, more);
            check_steps(build_small, b, &o, 5, 6, 2e-4);
        }
    }
    test_case("Nesterov");
    {
        const cvn_optimizer o = cvn_nesterov(0.05f, 0.9f);
        check_steps(build_small, b, &o, 5, 6, 1e-4);
    }
    cvncl_close(b);
}

/* ---- whole nets ---- */

static void build_lenet(cvn_net *net)
{
    cvn_node x = cvn_input(net, 1, 28, 28);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2)), 2, 2);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0)), 2, 2);
    x = cvn_relu(net, cvn_dense(net, x, 120));
    x = cvn_dropout(net, cvn_relu(net, cvn_dense(net, x, 84)), 0.2f);
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
}

static cvn_node residual(cvn_net *net, cvn_node x, int filters, int stride)
{
    char name[32];
    cvn_node y = cvn_relu(net, cvn_batchnorm(net, bare_conv(net, x, filters, 3, stride)));
    snprintf(name, sizeof name, "second%d", x.id);
    y = cvn_name(net, cvn_batchnorm(net, bare_conv(net, y, filters, 3, 1)), name);
    if (stride > 1) x = cvn_batchnorm(net, bare_conv(net, x, filters, 1, stride));
    return cvn_relu(net, cvn_add(net, y, x));
}

/* ResNet-20 of images of 16 x 16. */
static void build_resnet(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 16, 16);
    x = cvn_relu(net, cvn_batchnorm(net, bare_conv(net, x, 16, 3, 1)));
    for (int i = 0; i < 9; i++) x = residual(net, x, 16 << i / 3, i && i % 3 == 0 ? 2 : 1);
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, x), 10));
}

static void build_lstm(cvn_net *net)
{
    const int steps[2] = { 6, 8 };
    cvn_rnn_desc d = cvn_rnn_defaults();
    const cvn_node x = cvn_input_tensor(net, steps, 2);
    d.hidden = 20;
    d.layers = 2;
    d.dropout = 0.1f;
    cvn_softmax_loss(net, cvn_dense(net, cvn_last_step(net, cvn_lstm_ex(net, x, &d)), 3));
}

static void build_transformer(cvn_net *net)
{
    const int steps[1] = { 8 };
    cvn_node x = cvn_embedding(net, cvn_input_labels(net, steps, 1), 5, 12);
    x = cvn_positional_encoding(net, x);
    for (int i = 0; i < 2; i++) {
        x = cvn_layernorm(net, cvn_add(net, x, cvn_multihead_attention(net, x, x, x, 3)));
        x = cvn_layernorm(net, cvn_add(net, x, cvn_dense(net, cvn_gelu(net, cvn_dense(net, x, 24)),
                                                         12)));
    }
    cvn_softmax_loss(net, cvn_dense(net, cvn_last_step(net, x), 3));
}

static void nets(void)
{
    cvn_backend *b = open_device(0);
    const cvn_optimizer sgd = cvn_sgd(0.02f, 0.9f);
    const cvn_optimizer slow = cvn_sgd(0.002f, 0.9f);   /* at 0.005 the CPU's own kernels, C and
                                                         * AVX2, end 3e-3 apart */
    if (wanted("LeNet-5")) {
        test_case("LeNet-5, ten steps of Adam");
        check_steps(build_lenet, b, NULL, 10, 8, 5e-4);
        test_case("LeNet-5, ten steps of SGD");
        check_steps(build_lenet, b, &sgd, 10, 8, 1e-4);
    }
    if (wanted("ResNet-20")) {
        test_case("ResNet-20, ten steps");
        check_steps(build_resnet, b, &slow, 10, 4, 2e-4);
    }
    if (wanted("LSTM")) {
        test_case("LSTM, ten steps");
        check_steps(build_lstm, b, NULL, 10, 8, 5e-4);
    }
    if (wanted("transformer")) {
        test_case("transformer, ten steps");
        check_steps(build_transformer, b, &sgd, 10, 8, 5e-4);
    }
    cvncl_close(b);
}

/* ---- the engine around the kernels ---- */

enum { BATCH = 6 };

static void build_engine(cvn_net *net)
{
    cvn_node y;
    cvn_node x = cvn_input(net, 2, 8, 8);
    x = cvn_relu(net, cvn_batchnorm(net, bare_conv(net, x, 6, 3, 1)));
    x = cvn_dropout(net, cvn_maxpool(net, x, 2, 2), 0.2f);
    y = cvn_relu(net, cvn_conv2d(net, x, 5, 3, 1, 1));
    cvn_recompute(net, x, y);
    cvn_softmax_loss(net, cvn_dense(net, y, 3));
}

static void same_weights(cvn_net *a, cvn_net *b, double tolerance)
{
    size_t n;
    const float *x = cvn_flat_parameters(a, &n);
    const double d = distance(x, cvn_flat_parameters(b, NULL), n);
    CHECKF(d <= tolerance, "%g", d);
}

static void compare_predictions(double tolerance)
{
    cvn_backend *b = open_device(0);
    cvn_net *net[2];
    float x[10 * 2 * 8 * 8], y[2][10 * 3], p[2][10];
    int labels[2][10];
    uint32_t state = 5;
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++) x[i] = draw(&state);
    for (int i = 0; i < 2; i++) {
        net[i] = make_net(build_engine, i ? b : NULL, NULL, 4, 0);
        train(net[i], 3, 4);
        CHECK(cvn_predict(net[i], x, 10, y[i]) == CVN_OK);
        CHECK(cvn_classify(net[i], x, 10, labels[i], p[i]) == CVN_OK);
    }
    CHECK(distance(y[1], y[0], 30) < tolerance && distance(p[1], p[0], 10) < tolerance);
    CHECK(storage || !memcmp(labels[0], labels[1], sizeof labels[0]));
    test_case("a plan for prediction: folded norms, fused activations");
    for (int i = 0; i < 2; i++) {
        CHECKF(cvn_build_infer(net[i], 4) == CVN_OK, "%s", cvn_error(net[i]));
        CHECK(cvn_predict(net[i], x, 10, y[i]) == CVN_OK);
    }
    CHECK(distance(y[1], y[0], 30) < tolerance);
    for (int i = 0; i < 2; i++) {
        size_t n;
        float *w = cvn_flat_parameters(net[i], &n);
        for (size_t k = 0; k < n; k++) w[k] *= 0.9f;
        cvn_touch(net[i]);
        CHECK(cvn_predict(net[i], x, 10, y[i]) == CVN_OK);
    }
    CHECK(distance(y[1], y[0], 30) < tolerance);
    test_case("another size, and training again");
    for (int i = 0; i < 2; i++) {
        CHECKF(cvn_build(net[i], BATCH) == CVN_OK, "%s", cvn_error(net[i]));
        train(net[i], 2, BATCH);
    }
    same_weights(net[1], net[0], tolerance);
    for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
    cvncl_close(b);
}

static void predictions(void) { compare_predictions(1e-4); }

/* Gradients that the caller changes, zeroed ones, pushed-in ones, frozen layers, averages. */
static void by_hand(void)
{
    cvn_backend *b = open_device(0);
    cvn_net *net[2];
    for (int i = 0; i < 2; i++) {
        size_t n;
        float *g;
        net[i] = make_net(build_engine, i ? b : NULL, NULL, BATCH, 0);
        cvn_freeze(net[i], cvn_find(net[i], "conv2"));
        CHECK(cvn_set_ema(net[i], 0.8f) == CVN_OK);
        train(net[i], 2, BATCH);
        fill_inputs(net[i], BATCH, 77);
        cvn_forward(net[i]);
        cvn_backward(net[i]);
        CHECK(cvn_zero_grad(net[i]) == CVN_OK);
        fill_inputs(net[i], BATCH, 78);
        for (int k = 0; k < 2; k++) {
            cvn_forward(net[i]);
            cvn_backward(net[i]);
        }
        g = cvn_flat_gradients(net[i], &n);
        for (size_t k = 0; k < n; k++) g[k] *= 0.5f;
        CHECK(cvn_step(net[i]) == CVN_OK);
        cvn_unfreeze(net[i], cvn_find(net[i], "conv2"));
        train(net[i], 1, BATCH);
    }
    same_weights(net[1], net[0], 1e-4);
    for (int i = 0; i < 2; i++) CHECK(cvn_swap_ema(net[i]) == CVN_OK);
    same_weights(net[1], net[0], 1e-4);
    for (int i = 0; i < 2; i++) CHECK(cvn_swap_ema(net[i]) == CVN_OK);
    same_weights(net[1], net[0], 1e-4);
    CHECK(!cvn_share(net[1]) && strstr(cvn_error(net[1]), "device"));
    for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
    cvncl_close(b);
}

static void build_image(cvn_net *net)
{
    const cvn_node x = cvn_input(net, 2, 7, 6);
    const cvn_node y = cvn_tanh(net, cvn_conv2d(net, x, 3, 3, 1, 1));
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
}

static void compare_input_gradients(double tolerance)
{
    cvn_backend *b = open_device(0);
    cvn_net *net[2];
    float g[3 * 3 * 7 * 6];
    uint32_t state = 9;
    for (size_t i = 0; i < sizeof g / sizeof g[0]; i++) g[i] = draw(&state);
    for (int i = 0; i < 2; i++) {
        net[i] = make_net(build_image, i ? b : NULL, NULL, 3, 0);
        fill_inputs(net[i], 3, 4);
        CHECK(cvn_forward(net[i]) == CVN_OK);
        CHECKF(cvn_backward_from(net[i], cvn_find(net[i], "tanh1"), g) == CVN_OK, "%s",
               cvn_error(net[i]));
    }
    CHECK(distance(cvn_gradient(net[1], cvn_find(net[1], "input1")),
                   cvn_gradient(net[0], cvn_find(net[0], "input1")), 3 * 2 * 7 * 6) <
          tolerance);
    for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
    cvncl_close(b);
}

static void gradients_of_inputs(void) { compare_input_gradients(1e-4); }

/* cvn_fit with all that it does, cvn_evaluate, files between both. */
static void fits_and_files(void)
{
    cvn_backend *b = open_device(0);
    const cvn_fit_options none = cvn_fit_defaults();
    cvn_net *net[3];
    cvn_metrics m[2];
    float x[20 * 2 * 8 * 8];
    int labels[20];
    uint32_t state = 21;
    cvn_data data;
    size_t size;
    unsigned char *file;
    memset(&data, 0, sizeof data);
    memset(m, 0, sizeof m);
    for (size_t i = 0; i < sizeof x / sizeof x[0]; i++) x[i] = draw(&state);
    for (int i = 0; i < 20; i++) labels[i] = i % 3;
    data.images = x;
    data.count = 20;
    data.channels = 2;
    data.height = data.width = 8;
    data.labels = labels;
    data.classes = 3;
    for (int i = 0; i < 2; i++) {
        cvn_fit_options o = none;
        o.epochs = 3;
        o.keep_best = 1;
        o.accumulate = 2;
        o.mixup = 0.3f;
        net[i] = make_net(build_engine, i ? b : NULL, NULL, BATCH, 0);
        CHECKF(cvn_fit(net[i], &data, &data, &o) == CVN_OK, "%s", cvn_error(net[i]));
        CHECK(cvn_evaluate(net[i], &data, &m[i]) == CVN_OK);
    }
    CHECK_NEAR(m[1].loss, m[0].loss, 1e-3);
    CHECK_NEAR(m[1].accuracy, m[0].accuracy, 1e-9);
    same_weights(net[1], net[0], 1e-3);
    test_case("a file of the device's weights, read by the CPU and by the device");
    train(net[1], 2, BATCH);
    size = cvn_save_size(net[1]);
    file = (unsigned char *)malloc(size);
    CHECK(cvn_save_memory(net[1], file, size) == CVN_OK);
    CHECK(cvn_load_memory(net[0], file, size) == CVN_OK);
    same_weights(net[0], net[1], 0);
    net[2] = make_net(build_engine, b, NULL, BATCH, 0);
    CHECK(cvn_load_memory(net[2], file, size) == CVN_OK);
    CHECK(cvn_evaluate(net[0], &data, &m[0]) == CVN_OK);
    CHECK(cvn_evaluate(net[2], &data, &m[1]) == CVN_OK);
    CHECK_NEAR(m[1].loss, m[0].loss, 1e-4);
    free(file);
    for (int i = 0; i < 3; i++) cvn_destroy(net[i]);
    cvncl_close(b);
}

/* ---- sets of samples on the device ---- */

enum { SAMPLES = 23, IMAGE = 3 * 13 * 17 };

static void build_pictures(cvn_net *net)
{
    const cvn_node x = cvn_input(net, 3, 13, 17);
    const cvn_node y = cvn_dense(net, cvn_global_avgpool(net, cvn_conv2d(net, x, 4, 3, 1, 1)), 3);
    cvn_softmax_loss(net, y);
    regress(net, y);
}

typedef struct augment_case { const char *name; cvn_augment a; } augment_case;

/* All ways of >>augment, alone and together. */
static int augment_cases(augment_case *rows)
{
    int n = 0;
    memset(rows, 0, 16 * sizeof *rows);
    rows[n++].name = "nothing";
    rows[n].name = "flip and shift";
    rows[n].a.flip = rows[n].a.flip_vertical = 1;
    rows[n].a.fill = 0.3f;
    rows[n++].a.shift = 4;
    rows[n].name = "rotate, scale, shear, translate";
    rows[n].a.rotate = 30;
    rows[n].a.scale = 0.3f;
    rows[n].a.shear = 10;
    rows[n++].a.translate = 0.2f;
    rows[n].name = "crop";
    rows[n].a.flip = 1;
    rows[n++].a.crop_scale_min = 0.3f;
    rows[n].name = "elastic";
    rows[n].a.elastic = 1.5f;
    rows[n++].a.elastic_sigma = 2;
    rows[n].name = "saturation, hue";
    rows[n].a.saturation = 0.7f;
    rows[n++].a.hue = 0.4f;
    rows[n].name = "contrast, brightness, noise";
    rows[n].a.contrast = 0.4f;
    rows[n].a.brightness = 0.2f;
    rows[n++].a.noise = 0.1f;
    rows[n].name = "erase, cutout";
    rows[n].a.erase = 0.8f;
    rows[n++].a.cutout = 5;
    rows[n].name = "all, erase with noise";
    rows[n].a = rows[2].a;
    rows[n].a.flip = rows[n].a.erase_noise = 1;
    rows[n].a.crop_scale_min = 0.5f;
    rows[n].a.elastic = 1;
    rows[n].a.hue = rows[n].a.contrast = 0.2f;
    rows[n].a.noise = 0.05f;
    rows[n++].a.erase = 1;
    return n;
}

/* A view of 17 of the samples, shuffled, behind the first two. */
static void fill_set(cvn_data *d, int as_bytes)
{
    static unsigned char bytes[SAMPLES * IMAGE];
    static float images[SAMPLES * IMAGE], targets[SAMPLES * 3], weights[SAMPLES];
    static int labels[SAMPLES], index[17];
    uint32_t state = 5;
    memset(d, 0, sizeof *d);
    for (int i = 0; i < SAMPLES * IMAGE; i++) {
        images[i] = draw(&state);
        bytes[i] = (unsigned char)(127 + 120 * images[i]);
    }
    for (int i = 0; i < SAMPLES; i++) {
        labels[i] = i % 3;
        weights[i] = 1 + 0.5f * draw(&state);
        for (int k = 0; k < 3; k++) targets[3 * i + k] = draw(&state);
    }
    for (int i = 0; i < 17; i++) index[i] = i * 7 % 17 + 3;
    d->count = 17;
    d->first = 2;
    d->index = index;
    if (as_bytes) d->bytes = bytes;
    else d->images = images;
    d->labels = labels;
    d->targets = targets;
    d->weights = weights;
    d->channels = 3;
    d->height = 13;
    d->width = 17;
    for (int c = 0; c < 3; c++) d->mean[c] = 0.4f + 0.05f * (float)c;
    for (int c = 0; c < 3; c++) d->std[c] = 0.3f + 0.1f * (float)c;
}

/* Batches of an epoch, gathered on both sides. */
static void check_gather(cvn_net *cpu, cvn_net *dev, const cvn_data *data, int training)
{
    int order[17];
    for (int i = 0; i < 17; i++) order[i] = i * 5 % 17;
    cvni_keep_set(dev, training, data, 0);
    if (!CHECKF(dev->kept[training] != NULL, "%s", cvn_error(dev))) return;
    if (training)
        CHECK(dev->backend->order(dev, dev->kept[1], order, 99, 3) == CVN_OK);
    for (int first = 0; first < 12; first += cpu->max_batch) {
        cvni_batch b;
        memset(&b, 0, sizeof b);
        b.index = training ? order + first : NULL;
        b.first = first;
        b.n = cpu->max_batch;
        b.training = training;
        b.seed = 99;
        b.epoch = 3;
        CHECKF(cvni_gather(cpu, data, &b) == CVN_OK, "%s", cvn_error(cpu));
        CHECKF(cvni_gather(dev, data, &b) == CVN_OK, "%s", cvn_error(dev));
        for (int id = 1; id < cpu->layer_count; id++) {
            cvni_layer *l = &dev->layers[id];
            const size_t n = cvni_elements(l->shape);
            if (!(l->op->flags & CVNI_SOURCE)) continue;
            memset(l->y, 255, n * sizeof(float));       /* what the device has */
            CHECK(cvni_pull(dev, l->y, n * sizeof(float)) == CVN_OK);
            if (l->is_int) CHECK(!memcmp(l->y, cpu->layers[id].y, n * sizeof(int)));
            else CHECKF(distance(l->y, cpu->layers[id].y, n) < TOLERANCE, "%s: %g", l->name,
                        distance(l->y, cpu->layers[id].y, n));
        }
        CHECK(cvni_pull(dev, dev->sample_weights, (size_t)b.n * sizeof(float)) == CVN_OK);
        CHECK(!memcmp(dev->sample_weights, cpu->sample_weights, (size_t)b.n * sizeof(float)));
    }
    cvni_drop_set(dev, training);
}

static void sets(void)
{
    augment_case rows[16];
    const int count = augment_cases(rows);
    for (int small = 0; small < 2; small++) {
        cvn_backend *b;
        cvn_net *net[2];
        piece = small ? 8192 + CVNCL_VECTOR : 0;       /* 3 rows of floats, 12 of bytes */
        b = open_device(0);
        for (int i = 0; i < 2; i++)
            net[i] = make_net(build_pictures, i ? b : NULL, NULL, small ? 2 : 6, 0);
        for (int k = 0; k < 2 * count && net[0] && net[1]; k++) {
            cvn_data data;
            fill_set(&data, k % 2);
            data.augment = &rows[k / 2].a;
            if (small && k / 2 > 2) break;
            if (!wanted(rows[k / 2].name)) continue;
            test_case("%s, %s, %s", rows[k / 2].name, k % 2 ? "bytes" : "floats",
                      small ? "in pieces" : "in one piece");
            check_gather(net[0], net[1], &data, 1);
            if (k < 2) check_gather(net[0], net[1], &data, 0);
        }
        for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
        CHECK(!((cvncl_backend *)b)->taken);
        cvncl_close(b);
    }
    piece = 0;
}

/* cvn_fit with and without the set on the device: the same numbers. */
static int stop_keeping, sets_kept;
static void *keep_none(cvn_net *net, const cvn_data *data, int training, int mixes)
{
    (void)net;
    (void)data;
    (void)training;
    (void)mixes;
    stop_keeping++;
    return NULL;
}

static void *keep_counted(cvn_net *net, const cvn_data *data, int training, int mixes)
{
    void *set = cvncl_keep(net, data, training, mixes);
    CHECKF(set != NULL, "%s", cvn_error(net));
    sets_kept++;
    return set;
}

static void compare_fits(float mixup, float cutmix)
{
    cvn_backend *b = open_device(0);
    cvn_augment flips;
    cvn_data data;
    cvn_net *net[3];
    cvn_metrics m[3];
    stop_keeping = sets_kept = 0;
    memset(&flips, 0, sizeof flips);
    flips.flip = 1;
    flips.shift = 2;
    fill_set(&data, 1);
    data.augment = &flips;
    memset(m, 0, sizeof m);
    for (int i = 0; i < 3; i++) {       /* the CPU, the device, the device with the host's set */
        cvn_fit_options o = cvn_fit_defaults();
        o.epochs = 2;
        o.mixup = mixup;
        o.cutmix = cutmix;
        b->keep = i == 2 ? keep_none : keep_counted;
        net[i] = make_net(build_pictures, i ? b : NULL, NULL, 6, 0);
        CHECKF(cvn_fit(net[i], &data, &data, &o) == CVN_OK, "%s", cvn_error(net[i]));
        CHECK(cvn_evaluate(net[i], &data, &m[i]) == CVN_OK);
        for (int k = 0; k < 2 && i; k++) {
            const cvn_history *h = &net[i]->history[k];
            CHECK_NEAR(h->loss, net[0]->history[k].loss, 1e-4);
            CHECK_NEAR(h->accuracy, net[0]->history[k].accuracy, 1e-6);
            CHECK_NEAR(h->valid_loss, net[0]->history[k].valid_loss, 1e-4);
        }
    }
    CHECK(stop_keeping == 2 && sets_kept == 2);
    same_weights(net[1], net[0], 1e-3);
    same_weights(net[2], net[1], 1e-4);
    if (mixup > 0) {                    /* by hand afterwards: the last batch comes back */
        CHECKF(cvn_mixup(net[1], 1) == CVN_OK, "%s", cvn_error(net[1]));
        CHECKF(cvn_forward(net[1]) == CVN_OK, "%s", cvn_error(net[1]));
        CHECK(cvni_is_finite((double)cvn_loss(net[1])));
    }
    for (int i = 0; i < 3; i++) cvn_destroy(net[i]);
    cvncl_close(b);
}

static void fits_of_sets(void)
{
    cvn_data data;
    cvn_backend *b;
    test_case("flips and shifts");
    compare_fits(0, 0);
    test_case("mixup");
    compare_fits(0.4f, 0);
    test_case("cutmix");
    compare_fits(0, 1);
    test_case("either");
    compare_fits(0.4f, 1);
    b = open_device(0);
    test_case("a loss that is not finite stops it; nothing has moved");
    {
        float *images = (float *)malloc(sizeof(float) * SAMPLES * IMAGE);
        cvn_fit_options o = cvn_fit_defaults();
        cvn_net *bad;
        bad = make_net(build_pictures, b, NULL, 6, 0);
        fill_set(&data, 0);
        memcpy(images, data.images, sizeof(float) * SAMPLES * IMAGE);
        for (int i = 0; i < IMAGE; i++) images[9 * IMAGE + i] = HUGE_VALF;
        data.images = images;
        CHECK(cvn_fit(bad, &data, NULL, &o) == CVN_ERROR_NUMBER);
        CHECKF(strstr(cvn_error(bad), "the data are not finite") != NULL, "%s", cvn_error(bad));
        for (int i = 0; i < cvn_param_count(bad); i++) {
            const cvn_param p = cvn_param_at(bad, i);
            CHECK(cvni_all_finite(p.value, p.count));
            for (size_t k = 0; p.gradient && k < p.count; k++) CHECK(p.gradient[k] == 0);
        }
        cvn_destroy(bad);
        free(images);
    }
    cvncl_close(b);
}

/* ---- memory in pieces, and what is told of it ---- */

static uint64_t device_bytes(const cvn_net *net)
{
    const cvncl_net *d = cvncl_net_of(net);
    uint64_t bytes = d->spare.bytes + d->packed.bytes + d->tables.bytes + d->work.bytes;
    for (int i = 0; i < d->pieces; i++) bytes += d->arena[i].bytes;
    return bytes;
}

static void memory_in_pieces(void)
{
    const cvn_optimizer adam = cvn_adam(1e-3f);
    cvncl_memory m;
    cvn_backend *b;
    cvn_net *net, *cpu;
    piece = 16384 + CVNCL_VECTOR;
    b = open_device(0);
    check_steps(build_engine, b, &adam, 3, BATCH, 2e-4);
    net = make_net(build_engine, b, &adam, BATCH, 0);
    CHECK(cvncl_memory_needed(net, BATCH, CVN_TRAIN, &m) == CVN_OK);
    CHECK(m.pieces > 1 && m.piece == 16384 && m.net == net->plan.total && m.total > m.net);
    CHECK(m.taken >= m.total && m.device > m.taken);
    CHECK(m.pinned == cvncl_net_of(net)->pinned.bytes);
    CHECK(m.pieces == cvncl_net_of(net)->pieces);
    test_case("what the device takes, given back");
    CHECK(device_bytes(net) == m.taken);
    test_case("no memory for the work of the CPU's kernels");
    cpu = make_net(build_engine, NULL, &adam, BATCH, 0);
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        CHECK(!l->work_forward && !l->work_backward && !l->table);
        CHECK(!l->saved == !cpu->layers[id].saved);
    }
    CHECK(!net->plan.scratch_bytes && net->plan.total < cpu->plan.total);
    cvn_destroy(cpu);
    test_case("a tensor that is larger than a piece is named, with the sizes");
    CHECK(cvn_build(net, 20 * BATCH) == CVN_ERROR_MEMORY);
    CHECKF(strstr(cvn_error(net), "'conv") && strstr(cvn_error(net), "MiB in one piece"), "%s",
           cvn_error(net));
    test_case("a net that is larger than the device");
    ((cvncl_backend *)b)->memory = 2 * m.taken;
    CHECK(cvn_build(net, BATCH + 1) != CVN_OK || cvn_build(net, BATCH) == CVN_OK);
    ((cvncl_backend *)b)->memory = m.taken + 100;
    CHECK(cvn_build(net, BATCH) == CVN_ERROR_MEMORY);
    CHECKF(strstr(cvn_error(net), "the device has") != NULL, "%s", cvn_error(net));
    train(net, 1, BATCH);
    cvn_destroy(net);
    CHECK(!((cvncl_backend *)b)->taken);
    cvncl_close(b);
    piece = 0;
}

/* ---- programs: kept in files, and that do not build ---- */

#ifndef _WIN32
/* Hits of a net's programs with the cache as it is. */
static int cache_hits(const char *folder)
{
    cvn_backend *b;
    cvn_net *net;
    int hits;
    setenv("CONVNET_CL_CACHE", folder, 1);
    b = open_device(0);
    net = make_net(build_small, b, NULL, 4, 0);
    train(net, 1, 4);
    hits = ((cvncl_backend *)b)->cache_hits;
    cvn_destroy(net);
    cvncl_close(b);
    unsetenv("CONVNET_CL_CACHE");
    return hits;
}

/* Every file of the folder: removed, or with its last byte changed. */
static int change_files(const char *folder, int remove_them)
{
    int count = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
        char path[600];
        FILE *f;
        int last;
        if (!strstr(e->d_name, ".bin")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        count++;
        if (remove_them) {
            remove(path);
            continue;
        }
        f = fopen(path, "r+b");
        fseek(f, -1, SEEK_END);
        last = fgetc(f);
        fseek(f, -1, SEEK_END);
        fputc(last ^ 1, f);
        fclose(f);
    }
    if (d) closedir(d);
    if (remove_them) rmdir(folder);
    return count;
}

static void program_cache(void)
{
    char folder[] = "/tmp/convnet_cl_XXXXXX";
    int programs;
    if (!mkdtemp(folder)) SKIP("no folder for files");
    CHECK(cache_hits(folder) == 0);
    programs = cache_hits(folder);
    CHECK(programs >= 4);
    test_case("files that were damaged are as none, and are written anew");
    CHECK(change_files(folder, 0) == programs);
    CHECK(cache_hits(folder) == 0);
    CHECK(cache_hits(folder) == programs);
    test_case("no folder, a folder that cannot be made");
    CHECK(cache_hits("0") == 0 && cache_hits("/nowhere/at/all") == 0);
    CHECK(change_files(folder, 1) == programs);
}

/* The way that tuning takes for a class; *left: seconds that it still had. */
static int tuned_way(const cvncl_class *c, int factors, double *left)
{
    cvncl_backend *b = (cvncl_backend *)open_device(0);
    int way;
    b->precision = factors;
    b->tune_left = 0.5;
    cvncl_tune(b, c);
    way = cvncl_tuned(b, c);
    if (way >= 0) CHECK(cvncl_way_fits(b, &cvncl_ways[way], c->layout, c->vector));
    *left = b->tune_left;
    cvncl_close(&b->base);
    return way;
}

/* Found once, then read, as long as the file is whole and of this precision. */
static void tuning(void)
{
    const cvncl_class c = { CVNCL_GEMM_KN, 4, 1, 48, 40, 100, 0 };
    const cvncl_class like = { CVNCL_GEMM_KN, 4, 1, 64, 64, 128, 0 };
    const cvncl_class conv = { CVNCL_LAYOUT_GATHER, 8, 1, 64, 40, 72, 9 };
    char folder[] = "/tmp/convnet_cl_XXXXXX";
    double left;
    int way;
    if (!mkdtemp(folder)) SKIP("no folder for files");
    setenv("CONVNET_CL_CACHE", folder, 1);
    setenv("CONVNET_CL_TUNE", "fast", 1);
    way = tuned_way(&c, CVNCL_FP32, &left);
    CHECK(way >= 0 && left < 0.5);
    CHECK(tuned_way(&like, CVNCL_FP32, &left) == way && left == 0.5);
    test_case("another precision, a damaged file: tuned anew");
    tuned_way(&c, CVNCL_TF32, &left);
    CHECK(left < 0.5);
    change_files(folder, 0);
    CHECK(tuned_way(&c, CVNCL_FP32, &left) >= 0 && left < 0.5);
    test_case("of images that are narrow, apart");
    tuned_way(&conv, CVNCL_FP32, &left);
    CHECK(left < 0.5);
    for (storage = CVNCL_STORE_FP16; storage <= CVNCL_STORE_BF16; storage++) {
        way = tuned_way(&conv, CVNCL_FP32, &left);
        CHECK(way >= 0 && left < 0.5);
        CHECK(tuned_way(&conv, CVNCL_FP32, &left) == way && left == 0.5);
    }
    storage = CVNCL_STORE_FP32;
    test_case("off");
    setenv("CONVNET_CL_TUNE", "off", 1);
    CHECK(tuned_way(&c, CVNCL_FP32, &left) == -1 && left == 0.5);
    unsetenv("CONVNET_CL_TUNE");
    unsetenv("CONVNET_CL_CACHE");
    change_files(folder, 1);
}
#endif

/* Device, driver, program, macros, and what the compiler says of it. */
static void broken_programs(void)
{
    cvn_backend *base = open_device(0);
    cvncl_backend *b = (cvncl_backend *)base;
    const int group = b->group;
    cvn_net *net = cvn_create(NULL);
    const char *text;
    cvn_use_backend(net, base);
    build_small(net);
    b->group = -3;              /* local memory of a negative size */
    CHECK(cvn_build(net, 4) == CVN_ERROR_UNSUPPORTED);
    text = cvn_error(net);
    CHECK(strstr(text, b->name) && strstr(text, b->driver) && strstr(text, "program layers (") &&
          strstr(text, "-DWG=-3"));
    CHECKF(strstr(text, "does not build (-11): ") && strlen(strstr(text, "): ")) > 20, "%s", text);
    b->group = group;
    CHECKF(cvn_build(net, 4) == CVN_OK, "%s", cvn_error(net));
    train(net, 1, 4);
    test_case("a kernel that cannot be called");
    b->group = 1 << 30;
    CHECK(cvn_forward(net) != CVN_OK);
    CHECKF(strstr(cvn_error(net), "kernel ") && strstr(cvn_error(net), " of program ") &&
           strstr(cvn_error(net), "-DWG="), "%s", cvn_error(net));
    b->group = group;
    cvn_destroy(net);
    cvncl_close(base);
}

/* ---- layers that the device lacks ---- */

static void cubes(void *user, int n, const float *x, float *y)
{
    (void)user;
    for (int i = 0; i < n; i++) y[i] = x[i] * x[i] * x[i];
}

static void cubes_back(void *user, int n, const float *x, const float *y, const float *dy,
                       float *dx)
{
    (void)user;
    (void)y;
    for (int i = 0; i < n; i++) dx[i] = 3 * x[i] * x[i] * dy[i];
}

static void build_foreign(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 6, 6);
    x = cvn_relu(net, cvn_conv2d(net, x, 4, 3, 1, 1));
    x = cvn_activation(net, cvn_conv2d(net, x, 5, 3, 1, 1), cubes, cubes_back, NULL);
    x = cvn_activation(net, cvn_global_avgpool(net, x), cubes, cubes_back, NULL);
    cvn_softmax_loss(net, cvn_dense(net, x, 3));
}

static int warnings;
static void count_warning(void *user, const char *message)
{
    (void)user;
    warnings += strstr(message, "CPU") != NULL;
}

static void foreign_layers(void)
{
    cvn_backend *b = open_device(0);
    cvn_net *net = cvn_create(NULL);
    CHECK(cvn_use_backend(net, b) == CVN_OK);
    build_foreign(net);
    CHECK(cvn_build(net, 4) == CVN_ERROR_UNSUPPORTED);
    CHECKF(strstr(cvn_error(net), "(activation)") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
    cvncl_close(b);
    test_case("on the CPU in the midst of the others");
    b = open_device(1);
    check_layers(build_foreign, b);
    test_case("the same, steps");
    check_steps(build_foreign, b, NULL, 4, 5, 1e-3);
    test_case("a warning each");
    {
        cvn_desc d = cvn_desc_defaults();
        d.log = count_warning;
        net = cvn_create(&d);
        cvn_use_backend(net, b);
        build_foreign(net);
        CHECK(cvn_build(net, 4) == CVN_OK && warnings == 2);
        cvn_destroy(net);
    }
    cvncl_close(b);
}

static void errors_on_the_device(void)
{
    cvn_backend *b = open_device(0);
    cvn_net *net = make_net(build_engine, b, NULL, BATCH, 0);
    int labels[BATCH] = { 0, 1, 2, 3, 0, 1 };
    float x[BATCH * 2 * 8 * 8] = { 0 };
    float loss;
    CHECK(cvn_train_batch(net, x, labels, BATCH, &loss) == CVN_ERROR_ARGUMENT);
    CHECK(strstr(cvn_error(net), "label 3") != NULL);
    labels[3] = 0;
    CHECK(cvn_train_batch(net, x, labels, BATCH, &loss) == CVN_OK && loss > 0);
    CHECK(cvn_use_backend(net, b) == CVN_ERROR_STATE);
    CHECK(cvn_build(net, 3000000) == CVN_ERROR_MEMORY);
    CHECK(cvn_train_batch(net, x, labels, BATCH, &loss) == CVN_OK);
    cvn_destroy(net);
    cvncl_close(b);
}

static void build_words(cvn_net *net)
{
    const int steps[1] = { 2 };
    regress(net, cvn_embedding(net, cvn_input_labels(net, steps, 1), 2, 3));
}

static void build_lengths(cvn_net *net)
{
    const int steps[2] = { 2, 3 };
    cvn_rnn_desc d = cvn_rnn_defaults();
    d.hidden = 3;
    d.lengths = lengths_of(net);
    regress(net, cvn_gru_ex(net, cvn_input_tensor(net, steps, 2), &d));
}

static void build_taken(cvn_net *net)
{
    const int steps[2] = { 2, 3 };
    const cvn_node x = cvn_input_tensor(net, steps, 2);
    regress(net, cvn_gather(net, x, cvn_scale(net, x, 9, 0), 1));
}

/* What would leave a kernel's memory is found before it runs. */
static void bad_indices(void)
{
    const build_fn build[3] = { build_words, build_lengths, build_taken };
    cvn_backend *b = open_device(0);
    for (int i = 0; i < 3; i++) {
        cvn_net *net = make_net(build[i], b, NULL, 4, 0);
        fill_inputs(net, 4, 3);
        CHECK(cvn_forward(net) == CVN_ERROR_ARGUMENT && strlen(cvn_error(net)) > 0);
        cvn_destroy(net);
    }
    cvncl_close(b);
}

/* ---- an allocator that fails at its n-th call ---- */

static int calls_left, blocks;

static void *failing_alloc(void *user, size_t size)
{
    void *p;
    (void)user;
    if (calls_left-- <= 0) return NULL;
    p = malloc(size);
    blocks += p != NULL;
    return p;
}

static void counting_free(void *user, void *p)
{
    (void)user;
    blocks -= p != NULL;
    free(p);
}

static void failing_memory(void)
{
    cvn_backend *b = open_device(0);
    int built = 0;
    for (int n = 1; n < 500 && !built; n++) {
        cvn_desc d = cvn_desc_defaults();
        cvn_net *net;
        d.threads = 1;
        d.allocator.alloc = failing_alloc;
        d.allocator.free = counting_free;
        calls_left = n;
        net = cvn_create(&d);
        cvn_use_backend(net, b);
        if (net) build_engine(net);
        built = cvn_build(net, BATCH) == CVN_OK;
        if (!built) CHECK(strlen(cvn_error(net)) > 0);
        if (net && !net->failed && !built) {        /* nothing is broken */
            calls_left = 1000;
            CHECKF(cvn_build(net, BATCH) == CVN_OK, "%d: %s", n, cvn_error(net));
            train(net, 1, BATCH);
        }
        cvn_destroy(net);
        CHECK(blocks == 0);
    }
    CHECK(built);
    cvncl_close(b);
}

static void through_local_memory(void)
{
    local_memory = 1;
    layers();
    nets();
    local_memory = 0;
}

/* For oclgrind: the same layers, each kernel about once. */
static void layers_watched(void)
{
    watched = local_memory = 1;
    layers();
    watched = local_memory = 0;
}

/* ---- products: all ways, layouts and precisions against double ---- */

/* The trial's product in double. */
static void product_reference(const cvncl_class *c, float **m, double *y)
{
    const int a_k = c->layout / 2, b_k = c->layout % 2;
    for (int i = 0; i < c->batch * c->M * c->N; i++) {
        const int z = i / (c->M * c->N), row = i / c->N % c->M, column = i % c->N;
        const float *a = m[0] + z * c->M * c->K;
        const float *b = m[1] + z * c->N * c->K;
        double sum = (double)m[2][column] + (double)m[3][i];
        for (int k = 0; k < c->K; k++)
            sum += (double)a[a_k ? row * c->K + k : k * c->M + row] *
                   (double)b[b_k ? column * c->K + k : k * c->N + column];
        y[i] = sum < 0 ? 0.5 * sum : sum > 2 ? 2 : sum;
    }
}

/* The same of a convolution, position by position and tap by tap. */
static void conv_reference(const cvncl_class *of, float **m, size_t count, double *y)
{
    const cvni_conv c = cvncl_trial_conv(of);
    const cvni_axis *h = &c.axis[1], *w = &c.axis[2];
    const int gather = of->layout == CVNCL_LAYOUT_GATHER;
    const int pitch = cvni_ceil_div(c.MG, 16) * 16;
    for (size_t i = 0; i < count; i++)
        y[i] = gather ? (double)m[2][i % (size_t)c.M] + (double)m[3][i] : 0;
    for (int i = 0; i < h->small * w->small * c.taps * c.C; i++) {
        const int channel = i % c.C, t = i / c.C % c.taps, p = i / c.C / c.taps;
        const int row = p / w->small - h->pad + t / w->kernel;
        const int column = p % w->small - w->pad + t % w->kernel;
        const int group = channel / c.CG;
        double v;
        if (row < 0 || row >= h->big || column < 0 || column >= w->big) continue;
        v = (double)m[0][(row * w->big + column) * c.C + channel];
        for (int o = 0; o < c.MG; o++) {
            if (gather)
                y[p * c.M + group * c.MG + o] +=
                    v * (double)m[1][((group * c.taps + t) * c.CG + channel % c.CG) * pitch + o];
            else
                y[((p / of->K * c.taps + t) * c.CG + channel) * c.MG + o] +=
                    v * (double)m[1][p * c.M + o];
        }
    }
    for (size_t i = 0; i < count && gather; i++)
        y[i] = y[i] < 0 ? 0.5 * y[i] : y[i] > 2 ? 2 : y[i];
}

static int read_trial(cvncl_backend *b, const cvncl_trial *t, float **m)
{
    size_t sizes[CVNCL_TRIAL_MEMORIES];
    int ok = 1;
    if (t->of.layout > 3) cvncl_conv_trial_sizes(&t->of, sizes);
    else cvncl_trial_sizes(&t->of, sizes);
    for (int i = 0; i < 4; i++) {
        const int narrow = cvncl_trial_narrow(b, &t->of, i);
        m[i] = (float *)malloc((sizes[i] + 1) * sizeof(float));
        if (!sizes[i]) continue;
        ok = ok && m[i] && b->api.EnqueueReadBuffer(b->queue, t->memory[i], 1, 0,
                                                    sizes[i] * sizeof(float) >> narrow, m[i], 0,
                                                    NULL, NULL) == 0;
        if (ok && narrow) cvncl_widen(b, m[i], sizes[i]);
    }
    return ok;
}

static double from_double(const float *got, const double *want, size_t n)
{
    double d = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        d += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        s += want[i] * want[i];
    }
    return d <= s ? sqrt(d / s) : HUGE_VAL;
}

/* How far a way may be from double. Narrow images and weights are not rounded, only stored so. */
static double way_bound(const cvncl_backend *b, cvncl_kind kind, int layout)
{
    const int exact = kind < CVNCL_BY_MMA || cvncl_has_narrow(b, layout);
    const int stored = cvncl_has_narrow(b, layout) && layout == CVNCL_LAYOUT_GATHER;
    return exact && !stored ? 2e-6 : cvncl_bound(b, kind, layout);
}

/* Ways by name; without names those that compile soon. */
static int way_wanted(const cvncl_way *w, char name[64])
{
    static const char *const kinds[] = { "rows", "dots", "tiled", "mma", "wgmma" };
    snprintf(name, 64, "%s_%dx%dx%dx%d", kinds[w->kind], w->tile.m, w->tile.n, w->tile.k, w->wide);
    if (words && *words) return wanted(name);
    return w < cvncl_ways + CVNCL_STARTS && w->tile.m * w->tile.n <= 4096 && w->wide < 16;
}

/* The statistics that a way stores beside its result are the result's own, before it is rounded to
 * a narrow image, and to the bit those of other tiles, which *first_stats keeps. */
static void check_stats(cvncl_backend *b, cvncl_trial *t, const cvncl_built *built,
                        const char *name, float **first_stats)
{
    const int gather = t->of.layout == CVNCL_LAYOUT_GATHER, place = gather ? 6 : 5;
    const int channels = gather ? t->of.batch * t->of.N : t->of.N;
    const int slices = cvni_ceil_div(t->of.M, 32), n = channels * slices;
    float *stats = (float *)malloc(2 * (size_t)n * sizeof *stats);
    const cvncl_kind kind = cvncl_ways[built->way].kind;
    const double bound = cvncl_trial_narrow(b, &t->of, t->out) ? cvncl_bound(b, kind, t->of.layout)
                                                               : 1e-5;
    void *const with = t->memory[3];
    double worst = 0;
    for (int i = 0; i < 2 * n; i++) stats[i] = NAN;
    t->memory[3] = NULL;
    t->memory[place] = cvncl_filled_buffer(b, stats, 2 * (size_t)n * sizeof *stats);
    CHECK(t->memory[place] && cvncl_result_of_trial(b, t, built, t->got) &&
          b->api.EnqueueReadBuffer(b->queue, t->memory[place], 1, 0,
                                   2 * (size_t)n * sizeof *stats, stats, 0, NULL, NULL) == 0);
    for (int i = 0; i < n; i++) {
        const int first = i % slices * 32, last = cvni_min(first + 32, t->of.M);
        double mean = 0, squares = 0;
        for (int r = first; r < last; r++)
            mean += (double)t->got[r * channels + i / slices] / (last - first);
        for (int r = first; r < last; r++) {
            const double d = (double)t->got[r * channels + i / slices] - mean;
            squares += d * d;
        }
        if (!cvni_is_finite((double)(stats[i] + stats[n + i]))) worst = HUGE_VAL;
        worst = fmax(worst, fabs((double)stats[i] - mean) / (1 + fabs(mean)));
        worst = fmax(worst, fabs((double)stats[n + i] - squares) / (1 + squares));
    }
    CHECKF(worst < bound, "%s: statistics %g", name, worst);
    b->api.ReleaseMemObject(t->memory[place]);
    t->memory[place] = NULL;
    t->memory[3] = with;
    if (kind == CVNCL_BY_TILED && !*first_stats) {
        *first_stats = stats;
        return;
    }
    if (kind == CVNCL_BY_TILED)
        CHECKF(!memcmp(stats, *first_stats, 2 * (size_t)n * sizeof *stats),
               "%s: other statistics", name);
    free(stats);
}

/* All ways that the device can run, or `only` one, for one class; without names with precisions
 * other than float32 those that differ: on matrix units, or with narrow weights. */
static void check_ways(cvncl_backend *b, const cvncl_class *c, int only)
{
    float *m[4], *stats = NULL;
    double *want;
    cvncl_trial t;
    if (!CHECK(cvncl_begin_trial(b, c, &t))) return;
    want = (double *)malloc(t.count * sizeof *want);
    CHECK(want && read_trial(b, &t, m));
    if (c->layout > 3) conv_reference(c, m, t.count, want);
    else product_reference(c, m, want);
    for (int way = cvni_max(0, only); way < (only < 0 ? CVNCL_WAYS : only + 1); way++) {
        const cvncl_way *w = &cvncl_ways[way];
        const cvncl_built *built;
        char name[64];
        double d;
        if (!way_wanted(w, name) || !cvncl_way_fits(b, w, c->layout, c->vector)) continue;
        if (only < 0 && !(words && *words) && b->precision != CVNCL_FP32 &&
            w->kind < CVNCL_BY_MMA && !cvncl_has_narrow(b, c->layout))
            continue;
        built = cvncl_get_built(b, way, c->layout, c->vector);
        if (!CHECKF(built && built->kernel, "%s: not built", name)) continue;
        CHECK(cvncl_result_of_trial(b, &t, built, t.got));
        d = from_double(t.got, want, t.count);
        CHECKF(d < way_bound(b, w->kind, c->layout), "%s, layout %d, vector %d: %g", name,
               c->layout, c->vector, d);
        if (w->kind >= CVNCL_BY_TILED &&
            (c->layout == CVNCL_LAYOUT_GATHER || (c->layout < 4 && c->batch == 1)))
            check_stats(b, &t, built, name, &stats);
    }
    for (int i = 0; i < 4; i++) free(m[i]);
    free(want);
    free(stats);
    cvncl_end_trial(b, &t);
}

/* Ways by name, test_cl products tiled_128x128 mma; without names those that compile soon. Matrix
 * units by plain C. */
static void products(void)
{
    static const cvncl_class classes[] = {
        { 0, 1, 1, 1, 1, 1, 0 }, { 0, 1, 2, 67, 45, 37, 0 }, { 0, 4, 1, 132, 196, 52, 0 }
    };
    static const cvncl_class convolutions[] = {     /* taps 4: an even kernel */
        { CVNCL_LAYOUT_GATHER, 1, 2, 70, 45, 27, 9 },
        { CVNCL_LAYOUT_WEIGHTS, 1, 2, 27, 45, 37, 9 },
        { CVNCL_LAYOUT_GATHER, 4, 2, 150, 36, 72, 9 }, { CVNCL_LAYOUT_GATHER, 4, 1, 9, 17, 16, 4 },
        { CVNCL_LAYOUT_WEIGHTS, 4, 2, 132, 68, 54, 3 }
    };
    for (int pass = 0; pass < 4; pass++) {
        cvncl_backend *b;
        local_memory = pass ? 1 : -1;
        b = (cvncl_backend *)(void *)open_device(0);
        b->precision = pass >= 2 ? pass - 1 : CVNCL_FP32;
        b->emulate = 1;
        for (int layout = 0; layout < 4; layout++)
            for (int i = pass < 2 ? 0 : 1; i < 3; i++) {
                cvncl_class c = classes[i];
                c.layout = layout;
                check_ways(b, &c, -1);
            }
        for (int i = 0; i < 5; i++) check_ways(b, &convolutions[i], -1);
        cvncl_close(&b->base);
    }
    local_memory = 0;
}

/* Convolutions of 16-bit images whose weights are packed so: without local memory, through it, and
 * on matrix units by plain C. Ways by name, as above; without names one of each kind. */
static void narrow_products(void)
{
    static const char *const names[] = { "", "fp16", "bf16" };
    static const cvncl_class classes[] = {
        { CVNCL_LAYOUT_GATHER, 1, 2, 70, 45, 27, 9 }, { CVNCL_LAYOUT_WEIGHTS, 1, 2, 27, 45, 37, 9 },
        { CVNCL_LAYOUT_GATHER, 4, 2, 70, 45, 36, 3 }, { CVNCL_LAYOUT_WEIGHTS, 4, 2, 36, 44, 37, 3 },
        { CVNCL_LAYOUT_GATHER, 8, 2, 150, 40, 72, 9 },
        { CVNCL_LAYOUT_GATHER, 8, 1, 140, 70, 200, 1 },
        { CVNCL_LAYOUT_WEIGHTS, 8, 2, 144, 72, 300, 3 }
    };
    static const int ways[] = { CVNCL_ROWS_8X16, CVNCL_TILED_32X64, CVNCL_MMA_64X64,
                                CVNCL_WGMMA_64X64 };
    for (storage = CVNCL_STORE_FP16; storage <= CVNCL_STORE_BF16; storage++)
        for (int local = 0; local < 2; local++) {
            cvncl_backend *b;
            local_memory = local ? 1 : -1;
            precision = CVNCL_BF16;
            b = (cvncl_backend *)(void *)open_device(0);
            b->emulate = 1;
            test_case("%s%s", names[storage], local ? ", local memory" : "");
            for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
                if (words && *words) check_ways(b, &classes[i], -1);
                else
                    for (int way = local; way < (local ? 4 : 1); way++)
                        check_ways(b, &classes[i], ways[way]);
            }
            cvncl_close(&b->base);
        }
    local_memory = precision = storage = 0;
}

/* One tile, not full, of each way through local memory: so little work that oclgrind can watch it.
 * Ways by name, as above. */
static void tiles(void)
{
    cvncl_backend *b;
    local_memory = 1;
    b = (cvncl_backend *)(void *)open_device(0);
    b->precision = CVNCL_TF32;
    b->emulate = 1;
    for (int way = 0; way < CVNCL_WAYS; way++)
        for (int i = 0; i < 12; i++) {
            const cvncl_tile *t = &cvncl_ways[way].tile;
            cvncl_class c = { i / 2, i % 2 ? 4 : 1, 1, t->m - 4, t->n - 4, 2 * t->k + 4, 0 };
            char name[64];
            if (cvncl_ways[way].kind < CVNCL_BY_TILED || !way_wanted(&cvncl_ways[way], name))
                break;
            if (i / 2 >= 4) {
                c.layout = i / 2 == 4 ? CVNCL_LAYOUT_GATHER : CVNCL_LAYOUT_WEIGHTS;
                c.taps = 3;
                if (i / 2 == 4) c.K = 3 * 4 * cvni_ceil_div(c.K, 12);
                else c.M = 3 * 4 * ((t->m - 4) / 12);
            }
            if (cvncl_way_fits(b, &cvncl_ways[way], c.layout, c.vector)) check_ways(b, &c, way);
        }
    cvncl_close(&b->base);
    local_memory = 0;
}

static void build_matrix(cvn_net *net)
{
    cvn_node x = cvn_input(net, 8, 7, 9);
    x = cvn_tanh(net, conv_ex(net, x, 72, 3, 3, 1, 1, 1));
    x = conv_ex(net, x, 80, 3, 2, 2, 1, 2);
    x = cvn_pointwise(net, x, 36);
    regress(net, cvn_dense(net, x, 40));
}

/* Ways of a kind that have been built, a bit each layout. */
static int layouts_of(const cvncl_backend *b, cvncl_kind kind)
{
    int used = 0;
    for (const cvncl_built *built = b->built; built; built = built->next)
        used |= built->kernel && cvncl_ways[built->way].kind == kind ? 1 << built->layout : 0;
    return used;
}

/* Layers on matrix units, by plain C: they are used, and as near as their precision lets them. */
static void matrix_layers(void)
{
    static const char *const names[] = { "tf32", "bf16", "tf32, wgmma", "bf16, wgmma" };
    for (int i = 0; i < 4; i++) {
        const cvncl_kind kind = i < 2 ? CVNCL_BY_MMA : CVNCL_BY_WGMMA;
        cvncl_backend *b;
        int used;
        precision = i % 2 ? CVNCL_BF16 : CVNCL_TF32;
        local_memory = 1;
        b = (cvncl_backend *)open_device(0);
        b->emulate = 1;
        b->no_wgmma = i < 2 ? "not wanted" : NULL;
        coarser = precision == CVNCL_TF32 ? 60 : 500;
        test_case("%s", names[i]);
        check_layers(build_matrix, &b->base);
        used = layouts_of(b, kind);
        CHECKF(used >> CVNCL_LAYOUT_GATHER & 1 && used >> CVNCL_LAYOUT_WEIGHTS & 1 && used & 15,
               "used: %x", (unsigned)used);
        cvncl_close(&b->base);
    }
    coarser = 1;
    local_memory = precision = 0;
}

/* ---- the splice of >>cl-wgmma, without a device ---- */

/* As NVIDIA's compiler writes it, of the marked lines one of each kind. */
static const char ptx_sample[] =
    "//\n// Generated by NVIDIA NVVM Compiler\n//\n\n"
    ".version 8.4\n.target sm_90, texmode_independent\n.address_size 64\n\n"
    ".entry product(\n\t.param .u64 .ptr .global .align 4 product_param_0\n)\n"
    ".reqntid 128, 1, 1\n{\n\t.reg .f32 %f<2>;\n\t.reg .b64 %rd<3>;\n\n"
    "\t// begin inline asm\n"
    "\t//wgmma:.reg .f32 cvn<8>;\n//wgmma:.reg .pred cvn_add;\n"
    "//wgmma:setp.eq.u32 cvn_add, 0, 0;\n//wgmma:mov.f32 cvn0, 0f00000000;\n"
    "\t// end inline asm\n\tmov.u64 %rd1, 4611686293305294848;\n"
    "\t//wgmma:fence.proxy.async.shared::cta;\n\tbar.sync 0;\n"
    "\t//wgmma:wgmma.fence.sync.aligned;\n"
    "\t//wgmma:wgmma.mma_async.sync.aligned.m64n8k8.f32.tf32.tf32 {cvn0,cvn1,cvn2,cvn3}, "
    "%rd1, %rd1, cvn_add, 1, 1;\n"
    "\t//wgmma:wgmma.commit_group.sync.aligned;\n\t//wgmma:wgmma.wait_group.sync.aligned 0;\n"
    "\t//wgmma:mov.f32 %f1, cvn0;\n"
    "\tld.param.u64 %rd2, [product_param_0];\n\tst.global.f32 [%rd2], %f1;\n\tret;\n}\n\n";

/* The reason why a text is refused, or "" and that it has been spliced right. */
static const char *spliced(const char *ptx, size_t size)
{
    const char *why;
    size_t length = 0;
    char *text = cvncl_splice(ptx, size, &length, &why);
    if (!text) return why;
    CHECK(!why && strlen(text) == length && text[length - 1] == '}');
    CHECK(strstr(text, "\n.target sm_90a, texmode_independent\n") && !strstr(text, "//wgmma"));
    CHECK(strstr(text, "        wgmma.wait_group.sync.aligned 0;\n") != NULL);
    CONVNET_FREE(text);
    return "";
}

/* The sample with `from`, which it has, replaced by as many bytes or fewer. */
static const char *spliced_with(const char *from, const char *to)
{
    char text[sizeof ptx_sample];
    char *p;
    memcpy(text, ptx_sample, sizeof text);
    p = strstr(text, from);
    if (!CHECKF(p != NULL, "%s", from)) return "";
    memset(p, ' ', strlen(from));
    memcpy(p, to, strlen(to));
    return spliced(text, sizeof text);
}

static void splicing(void)
{
    const char *mark = ptx_sample;
    int marks = 0;
    test_case("whole texts, with their 0 and without");
    CHECK(!*spliced(ptx_sample, sizeof ptx_sample));
    CHECK(!*spliced(ptx_sample, strlen(ptx_sample)));
    test_case("a marked line that is missing");
    for (; (mark = strstr(mark, "//wgmma:")) != NULL; mark++, marks++) {
        char line[24] = "";
        memcpy(line, mark, sizeof line - 1);
        CHECK(strstr(spliced_with(line, "//"), "lacks a marked line") != NULL);
    }
    CHECK(marks == 10);
    test_case("other targets and versions, what is no PTX");
    CHECK(strstr(spliced_with("sm_90,", "sm_80,"), "not for sm_90") != NULL);
    CHECK(strstr(spliced_with("sm_90, ", "sm_900,"), "not for sm_90") != NULL);
    CHECK(strstr(spliced_with("8.4", "7.8"), "older than 8.0") != NULL);
    CHECK(strstr(spliced_with(".version", "version"), "no PTX") != NULL);
    CHECK(strstr(spliced("\177ELF\2\1\1\0\0", 9), "no PTX") != NULL);
    CHECK(strstr(spliced("", 0), "no PTX") != NULL);
    test_case("texts cut short anywhere, or too long");
    for (size_t size = 0; size + 3 < sizeof ptx_sample; size++)
        CHECK(*spliced(ptx_sample, size));
    CHECK(strstr(spliced(ptx_sample, (size_t)CVNCL_MAX_PTX + 1), "too long") != NULL);
}

/* A driver for one program: whose binary is binary_of_it, which builds what it is given. */
static const char *binary_of_it;
static int programs_alive;
static size_t size_given;

static int32_t CVNCL_CALL info_of_it(void *program, uint32_t what, size_t size, void *to,
                                     size_t *needed)
{
    (void)program;
    (void)needed;
    if (what == CVNCL_BINARY_SIZES) {
        const size_t length = strlen(binary_of_it) + 1;
        memcpy(to, &length, size);
    } else {
        memcpy(*(char **)to, binary_of_it, strlen(binary_of_it) + 1);
    }
    return 0;
}

static int32_t CVNCL_CALL release_it(void *program)
{
    (void)program;
    programs_alive--;
    return 0;
}

static void *CVNCL_CALL create_it(void *context, uint32_t count, void *const *devices,
                                  const size_t *sizes, const unsigned char **bytes,
                                  int32_t *each, int32_t *status)
{
    (void)context;
    (void)count;
    (void)devices;
    CHECK(bytes[0][sizes[0] - 1] == '}');
    size_given = sizes[0];
    programs_alive++;
    *each = *status = 0;
    return &size_given;
}

static int32_t CVNCL_CALL build_it(void *program, uint32_t count, void *const *devices,
                                   const char *options, cvncl_function notify, void *user)
{
    (void)program;
    (void)count;
    (void)devices;
    (void)options;
    (void)notify;
    (void)user;
    return 0;
}

/* A program is spliced, or goes and is not tried again. */
static void spliced_programs(void)
{
    const cvncl_way *way = &cvncl_ways[CVNCL_WGMMA_64X64];
    cvncl_backend b;
    int32_t status = 0;
    memset(&b, 0, sizeof b);
    b.api.GetProgramInfo = info_of_it;
    b.api.ReleaseProgram = release_it;
    b.api.CreateProgramWithBinary = create_it;
    b.api.BuildProgram = build_it;
    b.precision = CVNCL_TF32;
    b.max_group = 1024;
    binary_of_it = ptx_sample;
    programs_alive = 1;
    CHECK(cvncl_way_fits(&b, way, CVNCL_GEMM_KK, 4));
    CHECK(cvncl_spliced_program(&b, &b, "", &status) == &size_given && status == 0);
    CHECK(programs_alive == 1 && size_given == strlen(ptx_sample) - 1 && !b.no_wgmma);
    binary_of_it = "\177ELF";
    CHECK(!cvncl_spliced_program(&b, &b, "", &status) && status != 0 && programs_alive == 0);
    CHECK(b.no_wgmma && !cvncl_way_fits(&b, way, CVNCL_GEMM_KK, 4));
}

/* For ptx_cl.sh. test_cl way: numbers of the ways on matrix units that go without tuning. test_cl
 * way WAY LAYOUT PRECISION STORAGE FILE: a way's text, its options to standard output; 1: it does
 * not fit, or is that of another storage. */
static int print_way(int argc, char **argv)
{
    static cvncl_backend b;
    const char *texts[CVNCL_MAX_TEXTS];
    char options[400];
    const cvncl_way *w;
    int layout, vector;
    uint32_t count;
    FILE *file;
    if (argc < 7) {
        for (int i = 0; i < CVNCL_STARTS; i++)
            if (cvncl_ways[i].kind >= CVNCL_BY_MMA) printf("%d\n", i);
        return 0;
    }
    w = &cvncl_ways[atoi(argv[2])];
    layout = atoi(argv[3]);
    b.precision = atoi(argv[4]);
    b.storage = atoi(argv[5]);
    b.max_group = 1024;
    vector = b.storage == CVNCL_STORE_FP32 ? 4 : 8;
    if ((b.storage && layout < 4) || !cvncl_way_fits(&b, w, layout, vector)) return 1;
    count = cvncl_way_texts(&b, w, layout, vector, texts);
    cvncl_way_options(&b, w, layout, vector, options, sizeof options);
    file = fopen(argv[6], "w");
    if (!file) return 1;
    for (uint32_t i = 0; i < count; i++) fputs(texts[i], file);
    fclose(file);
    puts(options);
    return 0;
}

/* test_cl splice IN OUT: PTX with marks into PTX for sm_90a */
static int splice_file(char **argv)
{
    static char ptx[1 << 22];
    const char *why = "";
    size_t size = 0, length = 0;
    char *text = NULL;
    FILE *file = fopen(argv[2], "rb");
    if (file) size = fread(ptx, 1, sizeof ptx, file);
    if (file) fclose(file);
    text = cvncl_splice(ptx, size, &length, &why);
    if (!text) return fprintf(stderr, "refused: %s\n", why), 1;
    file = fopen(argv[3], "wb");
    if (file) fwrite(text, 1, length, file);
    if (file) fclose(file);
    CONVNET_FREE(text);
    return 0;
}

/* ---- images of 16 bits ---- */

/* The largest relative error of a store is half of this. */
static double unit(void) { return storage == CVNCL_STORE_FP16 ? 1.0 / 1024 : 1.0 / 128; }

static const float *value_of(cvn_net *net, int id, int gradient)
{
    cvn_node node;
    node.id = id;
    return gradient ? cvn_gradient(net, node) : cvn_value(net, node);
}

/* A tensor on the CPU as far from the device's as storing it takes, then made the same. */
static void same_tensor(cvn_net *cpu, cvn_net *dev, int id, int gradient)
{
    const cvni_layer *l = &cpu->layers[id];
    const size_t n = cvni_elements(l->shape);
    float *own = gradient ? l->dy : l->y;
    const float *got = own && !l->is_int ? value_of(dev, id, gradient) : NULL;
    double d;
    if (!got) return;
    d = distance(got, own, n);
    CHECKF(d < unit(), "%s of %s: %g", gradient ? "gradient" : "value", l->name, d);
    memcpy(own, got, n * sizeof *own);
}

/* Each layer alone: on the CPU it works on what the device has, so errors do not add up. A norm
 * leaves its masked gradient where it found the gradient. */
static void check_each_layer(build_fn build, cvn_backend *backend)
{
    cvn_net *cpu = make_net(build, NULL, NULL, 5, 1);
    cvn_net *dev = make_net(build, backend, NULL, 5, 1);
    const size_t bytes = cpu ? cpu->plan.grads : 0;
    void *weights = malloc(bytes + 1);
    if (cpu && dev && weights) {
        memcpy(weights, cpu->weights, bytes);
        fill_inputs(cpu, 3, 3);
        fill_inputs(dev, 3, 3);
        cvn_forward(cpu);
        memcpy(cpu->weights, weights, bytes);   /* running statistics: layers run again */
        CHECKF(cvn_forward(dev) == CVN_OK, "%s", cvn_error(dev));
        for (int id = 1; id < cpu->layer_count; id++) {
            cvni_layer *l = &cpu->layers[id];
            if (l->op->forward && !l->place.skip) cvni_forward_layer(cpu, l);
            same_tensor(cpu, dev, id, 0);
        }
        CHECKF(cvn_backward(dev) == CVN_OK, "%s", cvn_error(dev));
        cvni_begin_backward(cpu);
        for (int id = cpu->layer_count - 1; id > 0; id--) {
            cvni_layer *l = &cpu->layers[id];
            const int masks = l->place.by || l->place.activation;
            if (l->loss_weight != 0) cvni_fill_gradient(cpu, l, l->loss_weight, 1);
            if (!l->place.grad || (l->loss_weight == 0 && !l->grad_written)) continue;
            l->grad_written = 1;
            if (!masks) same_tensor(cpu, dev, id, 1);
            if (l->place.by) cpu->layers[l->place.by].grad_written = 1;
            else if (l->op->backward) cvni_backward_layer(cpu, l);
            if (masks && !l->place.by) same_tensor(cpu, dev, id, 1);
        }
        compare_params(dev, cpu, 2 * unit());
    }
    free(weights);
    cvn_destroy(cpu);
    cvn_destroy(dev);
}

/* Functions of images, which in build_maps are of vectors. */
static void build_image_maps(cvn_net *net)
{
    const cvn_node x = cvn_conv2d(net, cvn_input(net, 2, 5, 4), 3, 3, 1, 1);
    const cvn_node flat = cvn_global_avgpool(net, x);
    regress(net, cvn_leaky_relu(net, x, 0.2f));
    regress(net, cvn_tanh(net, x));
    regress(net, cvn_gelu(net, x));
    regress(net, cvn_exp(net, x));
    regress(net, cvn_square(net, x));
    regress(net, cvn_prelu(net, x, 1));
    regress(net, cvn_prelu(net, x, 3));
    regress(net, cvn_scale(net, cvn_sigmoid(net, flat), 2, 0.5f));
    regress(net, cvn_batchnorm(net, cvn_dense(net, flat, 4)));
    regress(net, cvn_softmax_axis(net, x, 1));
}

static void build_between(cvn_net *net);        /* below: what a step does not do */

typedef struct narrow_layers_case {
    const char *name;
    build_fn build;
    int local, packed;          /* weights of convolutions as narrow as their images */
} narrow_layers_case;

static const narrow_layers_case narrow_cases[] = {
    { "conv2d", build_conv, 0, 0 }, { "depthwise", build_depthwise, 0, 0 },
    { "1 and 3 axes", build_conv_axes, 0, 0 }, { "transposed", build_transposed, 0, 0 },
    { "strides", build_strides, 0, 0 }, { "pools", build_pools, 0, 0 },
    { "norms", build_norms, 0, 0 },
    { "functions", build_image_maps, 0, 0 }, { "arithmetic", build_arithmetic, 0, 0 },
    { "joins", build_joins, 0, 0 }, { "images", build_images, 0, 0 }, { "axes", build_axes, 0, 0 },
    { "orders", build_orders, 0, 0 }, { "dropout", build_dropout, 0, 0 },
    { "between", build_between, 0, 0 },
    { "large", build_large, 0, 0 }, { "spectral norm", build_spectral, 0, 0 },
    { "layers on the CPU", build_foreign, 0, 0 }, { "local memory, conv2d", build_conv, 1, 0 },
    { "local memory, transposed", build_transposed, 1, 0 },
    { "local memory, large", build_large, 1, 0 }, { "packed, conv2d", build_conv, 0, 1 },
    { "packed, padded", build_padded, 0, 1 }, { "packed, spectral norm", build_spectral, 0, 1 },
    { "packed, local memory, transposed", build_transposed, 1, 1 },
    { "local memory, norms", build_norms, 1, 0 }
};
enum { NARROW_CASES = sizeof narrow_cases / sizeof narrow_cases[0] };

/* The same on matrix units, by plain C: a net whose channels are whole eights, but at its ends; its
 * weights are rounded once more than its images. */
static void narrow_matrix_layers(void)
{
    static const char *const names[] = { "fp16", "bf16", "fp16, wgmma", "bf16, wgmma" };
    for (int i = 0; i < 4; i++) {
        const cvncl_kind kind = i < 2 ? CVNCL_BY_MMA : CVNCL_BY_WGMMA;
        cvncl_backend *b;
        int used;
        storage = i % 2 ? CVNCL_STORE_BF16 : CVNCL_STORE_FP16;
        precision = i % 2 ? CVNCL_BF16 : CVNCL_TF32;
        local_memory = 1;
        b = (cvncl_backend *)open_device(0);
        b->emulate = 1;
        b->no_wgmma = i < 2 ? "not wanted" : NULL;
        test_case("%s", names[i]);
        check_each_layer(build_matrix, &b->base);
        used = layouts_of(b, kind);
        CHECKF(used >> CVNCL_LAYOUT_GATHER & 1 && used >> CVNCL_LAYOUT_WEIGHTS & 1, "used: %x",
               (unsigned)used);
        cvncl_close(&b->base);
    }
    local_memory = storage = precision = 0;
}

static void narrow_layers(void)
{
    static const char *const names[] = { "", "fp16", "bf16" };
    for (storage = CVNCL_STORE_FP16; storage <= CVNCL_STORE_BF16; storage++) {
        for (int i = 0; i < NARROW_CASES; i++) {
            const narrow_layers_case *c = &narrow_cases[i];
            cvn_backend *b;
            if (!wanted(c->name)) continue;
            test_case("%s, %s", c->name, names[storage]);
            local_memory = c->local;
            precision = c->packed ? CVNCL_BF16 : CVNCL_FP32;
            b = open_device(1);
            ((cvncl_backend *)b)->emulate = c->packed;
            check_each_layer(c->build, b);
            cvncl_close(b);
        }
    }
    local_memory = storage = precision = 0;
}

/* How far apart the steps of a net on the CPU and on the device have taken its parameters, over how
 * far they went; the device's the same bits a second time. */
static double drift(build_fn build, cvn_backend *backend, const cvn_optimizer *o, int steps,
                    int batch)
{
    cvn_net *net[4];
    float *p[4];
    double d = 0, s = 0;
    size_t n = 0;
    for (int i = 0; i < 4; i++) {       /* where they began, the CPU, the device twice */
        net[i] = make_net(build, i > 1 ? backend : NULL, o, batch, 0);
        if (i) train(net[i], steps, batch);
        p[i] = net[i] ? cvn_flat_parameters(net[i], &n) : NULL;
    }
    for (size_t k = 0; p[0] && p[1] && p[2] && p[3] && k < n; k++) {
        d += ((double)p[2][k] - (double)p[1][k]) * ((double)p[2][k] - (double)p[1][k]);
        s += ((double)p[1][k] - (double)p[0][k]) * ((double)p[1][k] - (double)p[0][k]);
    }
    CHECK(s > 0 && !memcmp(p[2], p[3], n * sizeof(float)));
    for (int i = 0; i < 4; i++) cvn_destroy(net[i]);
    return d <= 4 * s ? sqrt(d / s) : HUGE_VAL;
}

/* As of 1998, smooth: nothing passes a relu or a maximum the other way for being rounded. */
static void build_smooth_lenet(cvn_net *net)
{
    cvn_node x = cvn_input(net, 1, 28, 28);
    x = cvn_avgpool(net, cvn_tanh(net, cvn_conv2d(net, x, 6, 5, 1, 2)), 2, 2);
    x = cvn_avgpool(net, cvn_tanh(net, cvn_conv2d(net, x, 16, 5, 1, 0)), 2, 2);
    x = cvn_tanh(net, cvn_dense(net, cvn_tanh(net, cvn_dense(net, x, 120)), 84));
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
}

typedef struct narrow_case {
    const char *name;
    build_fn build;
    int steps;
    double bound;               /* in units */
} narrow_case;

/* Steps in the memory of real plans, where narrow and other numbers may share a buffer. One unit of
 * LeNet-5's dense layers that turns is a few per cent of a gradient. */
static void narrow_steps(void)
{
    static const narrow_case cases[] = {
        { "LeNet-5", build_lenet, 10, 250 }, { "LeNet-5, smooth", build_smooth_lenet, 10, 4 },
        { "ResNet-20", build_resnet, 10, 4 }, { "orders", build_orders, 3, 4 },
        { "joins", build_joins, 3, 4 }, { "dropout", build_dropout, 3, 4 },
        { "arithmetic", build_arithmetic, 3, 4 }, { "norms", build_norms, 3, 4 },
        { "engine", build_engine, 3, 4 }, { "layers on the CPU", build_foreign, 1, 4 }
    };
    const cvn_optimizer sgd = cvn_sgd(0.005f, 0.9f);
    for (storage = CVNCL_STORE_FP16; storage <= CVNCL_STORE_BF16; storage++) {
        const char *name = storage == CVNCL_STORE_FP16 ? "fp16" : "bf16";
        cvn_backend *b = open_device(1);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            const narrow_case *c = &cases[i];
            double d;
            test_case("%s, %d steps, %s", c->name, c->steps, name);
            d = drift(c->build, b, &sgd, c->steps, 6);
            CHECKF(d < c->bound * unit(), "%g", d);
        }
        test_case("gradients pushed and pulled, %s", name);
        compare_input_gradients(2 * unit());
        test_case("predictions, %s", name);
        compare_predictions(5 * unit());
        cvncl_close(b);
    }
    storage = CVNCL_STORE_FP32;
}

/* What a net takes with and without: parameters, inputs and the kernels' work stay as they are. */
static void narrow_memory(void)
{
    cvncl_memory m[2];
    for (storage = CVNCL_STORE_FP32; storage <= CVNCL_STORE_FP16; storage++) {
        cvn_backend *b = open_device(0);
        cvn_net *net = make_net(build_resnet, b, NULL, 64, 0);
        cvncl_memory *own = &m[storage];
        CHECK(cvncl_memory_needed(net, 64, CVN_TRAIN, own) == CVN_OK);
        CHECK(own->pieces == cvncl_net_of(net)->pieces && own->taken >= own->total);
        CHECK(own->net == net->plan.narrow + (net->plan.total - net->plan.narrow) / 2);
        cvn_destroy(net);
        CHECK(!((cvncl_backend *)b)->taken);
        cvncl_close(b);
    }
    CHECKF((double)m[1].net < 0.66 * (double)m[0].net &&
               (double)m[1].total < 0.68 * (double)m[0].total,
           "%lu of %lu", (unsigned long)m[1].net, (unsigned long)m[0].net);
    storage = CVNCL_STORE_BF16;
    test_case("in pieces");
    piece = 16384 + CVNCL_VECTOR;
    {
        const cvn_optimizer sgd = cvn_sgd(0.02f, 0.9f);
        cvn_backend *b = open_device(0);
        CHECK(drift(build_engine, b, &sgd, 3, BATCH) < 4 * unit());
        cvncl_close(b);
    }
    piece = 0;
    storage = CVNCL_STORE_FP32;
}

static void build_faint(cvn_net *net)
{
    const cvn_node x = cvn_conv2d(net, cvn_input(net, 3, 6, 6), 8, 3, 1, 1);
    const cvn_node y = cvn_conv2d(net, cvn_tanh(net, x), 4, 3, 1, 1);
    cvn_add_loss(net, cvn_mse_loss(net, y, cvn_target(net, y)), 1e-7f);
}

/* Gradients far below fp16's least number: lost as they are, stored when scaled. */
static void gradient_scales(void)
{
    static const float scales[3] = { 1, 0, 3e6f };
    double d[3];
    storage = CVNCL_STORE_FP16;
    for (int i = 0; i < 3; i++) {
        cvn_backend *b;
        cvn_net *net[2];
        gradient_scale = scales[i];
        b = open_device(0);
        for (int k = 0; k < 2; k++) {
            net[k] = make_net(build_faint, k ? b : NULL, NULL, 4, 0);
            fill_inputs(net[k], 4, 5);
            CHECK(cvn_forward(net[k]) == CVN_OK && cvn_backward(net[k]) == CVN_OK);
        }
        for (int k = 0; k < 2; k++) {
            float *g = cvn_param_at(net[k], 0).gradient;
            for (size_t e = 0; e < cvn_param_at(net[k], 0).count; e++) g[e] *= 1e7f;
        }
        d[i] = distance(cvn_param_at(net[1], 0).gradient, cvn_param_at(net[0], 0).gradient,
                        cvn_param_at(net[0], 0).count);
        for (int k = 0; k < 2; k++) cvn_destroy(net[k]);
        cvncl_close(b);
    }
    CHECKF(d[0] > 0.5 && d[1] < d[0] && d[2] < 2 * unit(), "%g %g %g", d[0], d[1], d[2]);
    gradient_scale = 0;
    storage = CVNCL_STORE_FP32;
}

static float scale_of(cvn_net *net, int want_left_out)
{
    int left_out = -1;
    const float scale = cvncl_gradient_scale(net, &left_out);
    CHECKF(left_out == want_left_out, "%d steps left out", left_out);
    return scale;
}

/* Steps with the largest scale: left out while gradients overflow, each with half of it, and then
 * as if they had never been; twice the scale after CVNCL_GROWTH others. */
static void left_out_steps(void)
{
    const cvn_optimizer optimizers[3] = { cvn_sgd(0.005f, 0.9f), cvn_adam(1e-3f),
                                          cvn_lamb(1e-3f, 0) };
    storage = CVNCL_STORE_FP16;
    for (int k = 0; k < 3; k++) {
        cvn_backend *b;
        cvn_net *net, *cpu = make_net(build_small, NULL, &optimizers[k], BATCH, 0);
        const float *w;
        float *before, scale, number = CVNCL_GROWTH - 1;
        size_t n;
        int steps = 0, out = -1;
        test_case("%s", cvni_optimizers[optimizers[k].kind].name);
        gradient_scale = 1e9f;
        b = open_device(0);
        net = make_net(build_small, b, &optimizers[k], BATCH, 0);
        CHECK(scale_of(net, 0) == 16777216.0f);
        before = (float *)malloc((net->trainable + net->running) * sizeof *before);
        w = cvn_flat_parameters(net, &n);
        memcpy(before, w, n * sizeof *before);
        while (steps++ < 24) {
            train(net, 1, BATCH);
            scale = cvncl_gradient_scale(net, &out);
            if (out < steps) break;
            w = cvn_flat_parameters(net, &n);
            CHECK(!memcmp(w, before, n * sizeof *w));
        }
        CHECKF(out > 2 && out < 24, "%d", out);
        CHECK(scale == (float)ldexp(1, 24 - out));
        train(cpu, 1, BATCH);
        w = cvn_flat_parameters(net, &n);
        CHECK(cvni_all_finite(w, n) && memcmp(w, before, n * sizeof *w));
        if (k == 0)             /* Adam's and LAMB's factors count the steps left out */
            CHECKF(distance(w, cvn_flat_parameters(cpu, NULL), n) < unit(), "%g",
                   distance(w, cvn_flat_parameters(cpu, NULL), n));
        CHECK(cvncl_write(net, cvncl_net_of(net)->tables.memory, sizeof(float) *
                          (size_t)(cvncl_net_of(net)->numbers + CVNCL_UNCHANGED), &number,
                          sizeof number) == CVN_OK);
        train(net, 1, BATCH);
        CHECK(scale_of(net, out) == 2 * scale);
        free(before);
        cvn_destroy(net);
        cvn_destroy(cpu);
        cvncl_close(b);
    }
    gradient_scale = 0;
    storage = CVNCL_STORE_FP32;
}

/* ---- what a step does not do ---- */

static cvncl_api plain_api;             /* of the backend that counts */
static const cvncl_backend *counted;
static int blocking, packs, turns, maps_back, norm_parts, sums;

static int32_t CVNCL_CALL count_write(void *queue, void *memory, uint32_t waits, size_t offset,
                                      size_t size, const void *from, uint32_t events,
                                      void *const *wait, void **event)
{
    blocking += waits != 0;
    return plain_api.EnqueueWriteBuffer(queue, memory, waits, offset, size, from, events, wait,
                                        event);
}

static int32_t CVNCL_CALL count_read(void *queue, void *memory, uint32_t waits, size_t offset,
                                     size_t size, void *to, uint32_t events, void *const *wait,
                                     void **event)
{
    blocking += waits != 0;
    return plain_api.EnqueueReadBuffer(queue, memory, waits, offset, size, to, events, wait,
                                       event);
}

static int32_t CVNCL_CALL count_kernel(void *queue, void *kernel, uint32_t axes,
                                       const size_t *offset, const size_t *global,
                                       const size_t *local, uint32_t events, void *const *wait,
                                       void **event)
{
    for (int size = 0; size < CVNCL_VARIANTS; size++) {
        maps_back += kernel == counted->kernel[CVNCL_MAP_BACK][size];
        packs += kernel == counted->kernel[CVNCL_CONV_PACK][size];
        turns += kernel == counted->kernel[CVNCL_TURN][size] ||
                 kernel == counted->kernel[CVNCL_TURN_BACK][size];
        norm_parts += kernel == counted->kernel[CVNCL_NORM_PARTS][size];
        sums += kernel == counted->kernel[CVNCL_BINARY][size];
    }
    return plain_api.EnqueueNDRangeKernel(queue, kernel, axes, offset, global, local, events, wait,
                                          event);
}

static void start_counting(cvncl_backend *b)
{
    counted = b;
    if (b->api.EnqueueWriteBuffer != count_write) plain_api = b->api;
    b->api.EnqueueWriteBuffer = count_write;
    b->api.EnqueueReadBuffer = count_read;
    b->api.EnqueueNDRangeKernel = count_kernel;
    blocking = packs = turns = maps_back = norm_parts = sums = 0;
}

/* Between the convolutions: dropout of all kinds, a gate, a plane, a choice. */
static void build_between(cvn_net *net)
{
    const int dims[3] = { 6, 1, 1 };
    cvn_node x = cvn_conv2d(net, cvn_input(net, 3, 5, 4), 6, 3, 1, 1);
    cvn_node gate = cvn_dense(net, cvn_global_avgpool(net, x), 6);
    x = cvn_mul(net, x, cvn_reshape(net, cvn_sigmoid(net, gate), dims, 3));
    x = cvn_dropout(net, cvn_add(net, x, cvn_conv2d(net, x, 1, 1, 1, 0)), 0.3f);
    x = cvn_spatial_dropout(net, cvn_conv2d(net, x, 6, 3, 1, 1), 0.3f);
    x = cvn_drop_path(net, cvn_where(net, cvn_greater(net, x, cvn_conv2d(net, x, 1, 1, 1, 0)), x,
                                     cvn_neg(net, x)), 0.3f);
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, cvn_conv2d(net, x, 5, 1, 1, 0)),
                                    3));
}

static void set_of_draws(cvn_data *data, float *x, int *labels, int count)
{
    uint32_t state = 31;
    memset(data, 0, sizeof *data);
    for (int i = 0; i < count * 2 * 8 * 8; i++) x[i] = draw(&state);
    for (int i = 0; i < count; i++) labels[i] = i / 4 % 3;
    data->images = x;
    data->labels = labels;
    data->count = count;
    data->channels = 2;
    data->height = data->width = 8;
    data->classes = 3;
}

/* Steps by cvn_train_batch, cvn_evaluate of batches of two sizes: nothing waits for the queue but
 * what the caller reads, and the numbers are the CPU's. */
static void check_waits(cvncl_backend *b)
{
    float x[20 * 2 * 8 * 8], loss[2][2];
    int labels[20], confusion[2][9];
    cvn_metrics m[2];
    cvn_net *net[2];
    cvn_data data;
    set_of_draws(&data, x, labels, 20);
    memset(m, 0, sizeof m);
    for (int i = 0; i < 2; i++) {
        net[i] = make_net(build_engine, i ? &b->base : NULL, NULL, 6, 0);
        CHECK(cvn_train_batch(net[i], x, labels, 6, NULL) == CVN_OK);
        if (i) start_counting(b);
        for (int k = 0; k < 4; k++)
            CHECK(cvn_train_batch(net[i], x + k * 6 * 128 % 1280, labels + k, 6 - k % 2,
                                  k / 2 ? &loss[i][k % 2] : NULL) == CVN_OK);
        m[i].confusion = confusion[i];
        m[i].classes = 3;
        CHECK(cvn_evaluate(net[i], &data, &m[i]) == CVN_OK);
        CHECKF(!i || blocking == 0, "%d calls that wait", blocking);
    }
    for (int k = 0; k < 2; k++) CHECK_NEAR(loss[1][k], loss[0][k], 1e-4);
    CHECK_NEAR(m[1].loss, m[0].loss, 1e-4);
    CHECK_NEAR(m[1].accuracy, m[0].accuracy, 1e-9);
    CHECK(!memcmp(confusion[0], confusion[1], sizeof confusion[0]));
    CHECK_NEAR(cvn_loss(net[1]), cvn_loss(net[0]), 1e-4);
    same_weights(net[1], net[0], 1e-4);
    for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
}

static void idle_work(void)
{
    cvn_backend *backend = open_device(0);
    cvncl_backend *b = (cvncl_backend *)backend;
    float x[2 * 3 * 5 * 4], y[2 * 3];
    cvn_net *net;
    check_waits(b);
    test_case("weights are packed when they have changed");
    net = make_net(build_between, backend, NULL, 2, 0);
    train(net, 1, 2);
    start_counting(b);
    train(net, 2, 2);
    CHECKF(packs == 2, "%d launches; all convolutions and both passes in one", packs);
    test_case("and nothing is copied between layers but the input");
    CHECKF(turns == 4, "%d copies", turns);
    test_case("frozen ones and predictions");
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].params) cvn_freeze(net, cvn_find(net, net->layers[id].name));
    cvn_unfreeze(net, cvn_find(net, "conv1"));
    train(net, 1, 2);
    start_counting(b);
    train(net, 2, 2);
    CHECKF(packs == 2, "%d launches", packs);
    fill_inputs(net, 2, 3);
    memset(x, 0, sizeof x);
    CHECK(cvn_predict(net, x, 2, y) == CVN_OK);
    start_counting(b);
    CHECK(cvn_predict(net, x, 2, y) == CVN_OK && packs == 0);
    cvn_touch(net);
    CHECK(cvn_predict(net, x, 2, y) == CVN_OK && packs == 1);
    cvn_destroy(net);
    test_case("relus in front of maxima have no backward pass of their own");
    net = make_net(build_gated, backend, NULL, 2, 0);
    start_counting(b);
    train(net, 1, 2);
    CHECKF(maps_back == 0, "%d of them", maps_back);
    cvn_destroy(net);
    cvncl_close(backend);
}

/* ---- what convolutions do on their store ---- */

/* Transposed, without a bias: bare_conv. */
static cvn_node bare_up(cvn_net *net, cvn_node x, int filters, int stride)
{
    cvn_conv_transpose2d_desc d = cvn_conv_transpose2d_defaults();
    d.filters = filters;
    d.kernel_h = 2;
    d.stride_h = stride;
    d.no_bias = 1;
    return cvn_conv_transpose2d_ex(net, x, &d);
}

/* Norms behind convolutions: of groups, behind a leaky relu, transposed, strided. The last three
 * take their own statistics: of phases, with another layer in between, of what is no store. */
static void build_measured(cvn_net *net)
{
    cvn_conv2d_desc groups = cvn_conv2d_defaults();
    cvn_node x = cvn_input(net, 3, 9, 8);
    cvn_node a, b;
    groups.filters = 12;
    groups.kernel_h = 3;
    groups.groups = 2;
    groups.no_bias = 1;
    x = cvn_relu(net, cvn_batchnorm(net, bare_conv(net, x, 6, 3, 1)));
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d_ex(net, x, &groups)));
    x = cvn_leaky_relu(net, cvn_conv2d(net, x, 7, 1, 1, 0), 0.3f);
    x = cvn_relu(net, cvn_batchnorm(net, x));
    x = cvn_relu(net, cvn_batchnorm(net, bare_up(net, x, 10, 1)));
    x = cvn_relu(net, cvn_batchnorm(net, bare_conv(net, x, 40, 3, 2)));
    x = cvn_relu(net, cvn_batchnorm(net, bare_up(net, x, 9, 2)));
    a = bare_conv(net, x, 5, 1, 1);
    b = cvn_conv2d(net, x, 5, 3, 1, 1);
    a = cvn_batchnorm(net, a);
    b = cvn_batchnorm(net, cvn_square(net, b));
    regress(net, cvn_mul(net, a, b));
}

/* Sums behind convolutions, dense layers and folded norms, five of them; and such as are not on a
 * store: of what is read twice, of unlike shapes, behind a relu, of what comes later. */
static void build_sums(cvn_net *net)
{
    cvn_node x = cvn_relu(net, cvn_conv2d(net, cvn_input(net, 3, 6, 5), 8, 3, 1, 1));
    cvn_node y = cvn_batchnorm(net, cvn_conv2d(net, x, 8, 3, 1, 1));
    x = cvn_relu(net, cvn_add(net, y, x));
    x = cvn_add(net, x, cvn_conv2d(net, x, 8, 1, 1, 0));
    x = cvn_leaky_relu(net, cvn_add(net, cvn_depthwise(net, x, 3, 1, 1), x), 0.1f);
    y = cvn_batchnorm(net, cvn_conv2d(net, x, 8, 3, 1, 1));
    x = cvn_batchnorm(net, cvn_add(net, y, x));
    y = cvn_conv2d(net, x, 8, 3, 1, 1);
    x = cvn_mul(net, cvn_add(net, x, y), y);
    x = cvn_add(net, x, cvn_conv2d(net, x, 1, 1, 1, 0));
    x = cvn_add(net, x, cvn_relu(net, cvn_conv2d(net, x, 8, 1, 1, 0)));
    y = cvn_conv2d(net, x, 8, 1, 1, 0);
    x = cvn_flatten(net, cvn_global_avgpool(net, cvn_add(net, y, cvn_tanh(net, x))));
    cvn_softmax_loss(net, cvn_dense(net, cvn_add(net, x, cvn_dense(net, x, 8)), 3));
}

/* With what the CPU has learnt: sums that are on a store, and what comes out. */
static void check_predicted(build_fn build, cvn_backend *b, int on_store)
{
    cvn_net *net[2];
    int found = 0;
    double d;
    for (int i = 0; i < 2; i++) {
        net[i] = make_net(build, i ? b : NULL, NULL, 4, 0);
        if (i == 0) train(net[i], 2, 4);
        for (int k = 0; i && k < cvn_param_count(net[i]); k++)
            memcpy(cvn_param_at(net[i], k).value, cvn_param_at(net[0], k).value,
                   cvn_param_at(net[0], k).count * sizeof(float));
        cvn_touch(net[i]);
        CHECKF(cvn_build_infer(net[i], 4) == CVN_OK, "%s", cvn_error(net[i]));
        fill_inputs(net[i], 3, 9);
    }
    CHECK(cvn_forward_eval(net[0]) == CVN_OK);
    start_counting((cvncl_backend *)b);
    CHECK(cvn_forward_eval(net[1]) == CVN_OK);
    for (int id = 1; id < net[1]->layer_count; id++) {
        const int by_norm = cvni_is_batchnorm(&net[0]->layers[id]);
        CHECK(by_norm || !net[0]->layers[id].place.residual);
        found += !by_norm && net[1]->layers[id].place.residual;
    }
    CHECKF(found == on_store, "%d sums on a store", found);
    d = distance(value_of(net[1], net[1]->output, 0), value_of(net[0], net[0]->output, 0),
                 cvni_elements(net[0]->layers[net[0]->output].shape));
    CHECKF(d < (storage ? 2 * unit() : 1e-5), "%g", d);
    for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
}

static void stores(void)
{
    static const char *const names[] = { "fp32", "fp16", "bf16" };
    for (int local = 0; local < 2; local++) {
        cvn_backend *b;
        cvn_net *net;
        local_memory = local;
        b = open_device(0);
        test_case("statistics of norms, local memory %d", local);
        check_layers(build_measured, b);
        net = make_net(build_measured, b, NULL, 5, 0);
        train(net, 1, 5);
        start_counting((cvncl_backend *)b);
        train(net, 1, 5);
        CHECKF(norm_parts == (local ? 3 : 8), "%d norms read what they are of", norm_parts);
        cvn_destroy(net);
        cvncl_close(b);
        for (storage = CVNCL_STORE_FP32; storage <= CVNCL_STORE_BF16; storage++) {
            test_case("sums, local memory %d, %s", local, names[storage]);
            b = open_device(0);
            check_predicted(build_sums, b, 5);
            CHECKF(sums == 5, "%d sums and products", sums);
            check_predicted(build_resnet, b, 9);
            CHECKF(sums == 0, "%d sums", sums);
            cvncl_close(b);
        }
        storage = CVNCL_STORE_FP32;
    }
    local_memory = 0;
}

/* ---- without a device ---- */

/* The reason in one line, and the net trains on the CPU as if nothing had been asked for. */
static void without_device(void)
{
    cvncl_desc d = cvncl_defaults();
    cvn_net *net[2];
    cvn_backend *b;
    char text[4000];
    d.device = "97:3";
    b = cvncl_open(&d);
    if (!b->unusable) {         /* the environment names a device */
        cvncl_close(b);
        SKIP("the environment chooses a device");
    }
    CHECK(!strchr(b->unusable, '\n') && strlen(b->unusable) > 20);
    CHECK(cvncl_info(b, text, sizeof text) > 0 && strstr(text, b->unusable));
    CHECK(cvncl_info(NULL, NULL, 0) > 20);
    for (int i = 0; i < 2; i++) {
        net[i] = cvn_create(NULL);
        if (i) {
            CHECK(cvn_use_backend(net[i], b) == CVN_ERROR_UNSUPPORTED);
            CHECK(strstr(cvn_error(net[i]), b->unusable) != NULL);
        }
        build_engine(net[i]);
        CHECK(cvn_build(net[i], BATCH) == CVN_OK);
        train(net[i], 3, BATCH);
    }
    same_weights(net[1], net[0], 0);
    CHECK(cvn_use_backend(net[0], NULL) != CVN_OK && cvn_use_backend(NULL, b) == CVN_ERROR_STATE);
    for (int i = 0; i < 2; i++) cvn_destroy(net[i]);
    cvncl_close(b);
    cvncl_close(NULL);
}

typedef struct test_row { const char *name; void (*run)(void); } test_row;

static const test_row device_tests[] = {
    { "layers", layers }, { "optimizers", optimizers }, { "nets", nets },
    { "predictions", predictions }, { "by_hand", by_hand },
    { "gradients_of_inputs", gradients_of_inputs }, { "fits_and_files", fits_and_files },
    { "sets", sets }, { "fits_of_sets", fits_of_sets }, { "memory_in_pieces", memory_in_pieces },
#ifndef _WIN32
    { "program_cache", program_cache }, { "tuning", tuning },
#endif
    { "broken_programs", broken_programs },
    { "foreign_layers", foreign_layers }, { "errors_on_the_device", errors_on_the_device },
    { "bad_indices", bad_indices }, { "failing_memory", failing_memory },
    { "products", products }, { "narrow_products", narrow_products }, { "tiles", tiles },
    { "matrix_layers", matrix_layers },
    { "idle_work", idle_work }, { "stores", stores },
    { "through_local_memory", through_local_memory },
    { "narrow_layers", narrow_layers }, { "narrow_matrix_layers", narrow_matrix_layers },
    { "narrow_steps", narrow_steps }, { "narrow_memory", narrow_memory },
    { "gradient_scales", gradient_scales }, { "left_out_steps", left_out_steps }
};
enum { DEVICE_TESTS = sizeof device_tests / sizeof device_tests[0] };

static int print_info(void)
{
    cvn_backend *b = open_device(0);
    char text[8000];
    cvncl_info(b, text, sizeof text);
    fputs(text, stdout);
    cvncl_close(b);
    return 0;
}

/* Without arguments all tests, else the one that is named, of it the cases that begin as a later
 * word does: test_cl layers conv2d pools. "info": what cvncl_info tells. */
int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "info")) return print_info();
    if (argc > 1 && !strcmp(argv[1], "way")) return print_way(argc, argv);
    if (argc > 3 && !strcmp(argv[1], "splice")) return splice_file(argv);
    words = argv + (argc > 2 ? 2 : argc);
    if (argc < 2) RUN(without_device);
    if (argc < 2 || !strcmp(argv[1], "splicing")) {
        RUN(splicing);
        RUN(spliced_programs);
    }
    if (!have_device()) {
        cvn_backend *b = open_device(0);
        printf("  skipped: %s\n", b && b->unusable ? b->unusable : "out of memory");
        cvncl_close(b);
        return test_done();
    }
    if (argc > 1 && !strcmp(argv[1], "layers_watched")) RUN(layers_watched);
    for (int i = 0; i < DEVICE_TESTS; i++)
        if (argc < 2 || !strcmp(argv[1], device_tests[i].name))
            test_run(device_tests[i].name, device_tests[i].run);
    return test_done();
}
