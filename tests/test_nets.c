/* test_nets.c - random convolutional nets of sizes at which every way of a convolution, kernels for
 * planes, strips and threads occur. One recipe makes the same net several times:
 *     - plain C, convolutions as products of patches, one thread, all values kept: the reference
 *     - the other kernel tables, the ways that the library chooses or others, forced
 *     - the memory as planned, several threads, the caller's job system: bit for bit the same
 * Each does two training passes whose gradients add up, the second one of fewer samples than
 * planned, a step, predictions of one to many samples, and those of an inference plan.
 * TEST_QUICK: fewer nets. */
#define CONVNET_IMPLEMENTATION
#define CVNI_SEPARABLE_LEAST 1          /* >>separable whatever the size */
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifndef NETS
    #ifdef TEST_QUICK
        #define NETS 6
    #else
        #define NETS 300                /* -DNETS=50000: a night's search */
    #endif
#endif
#define FIRST 1                         /* seed */
#define MAX_NODES 64
#define MAX_WORK 6e6                    /* multiply-accumulates of a batch, about */
#define MAX_FLOATS 60000                /* of a sample in a node: larger ones are not built upon */
#define CLASSES 10
#define BOUND 1e-3                      /* of differences, relative, */
#define BOUND_OF_KINKS 0.1              /* where an element may fall the other way: relu at 0, equal
                                         * maxima */

typedef struct setup {                  /* how a recipe is carried out */
    const char *isa, *way;
    int threads, keep_all, hook;
} setup;

typedef struct made {
    cvn_net *net;
    cvn_node node[MAX_NODES], loss;
    int nodes, wants_dx, smooth;
    unsigned state;
} made;

typedef struct outcome {
    cvn_result result[2];
    float loss[2];
    float *gradients, *dx, *parameters, *trained, *inferred;
    size_t parameter_count, gradient_count, dx_count, out_count;
    size_t begin[MAX_NODES + 1];        /* of each parameter's gradient */
    int arrays;
    double bound;
} outcome;

static int chance_of(unsigned *state, int percent) { return ref_below(state, 100) < percent; }
static int chance(made *m, int percent) { return chance_of(&m->state, percent); }

static int one_of(made *m, const int *from, int count) { return from[ref_below(&m->state, count)]; }

static size_t sample_floats(cvn_shape s)
{
    size_t n = 1;
    for (int i = 1; i < s.rank; i++) n *= (size_t)s.dim[i];
    return n;
}

/* ---- a random net ---- */

static int draw_pad(made *m, int kernel, int dilation)
{
    const int kind = ref_below(&m->state, 10);
    return kind < 6 ? kernel / 2 * dilation : kind < 8 ? 0 : ref_below(&m->state, kernel + 2);
}

typedef struct conv_axis { int kernel, stride, dilation, before, after; } conv_axis;

static conv_axis draw_axis(made *m, int size, const conv_axis *like)
{
    static const int kernels[] = { 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 7 };
    static const int strides[] = { 1, 1, 1, 1, 1, 2, 2, 3 };
    conv_axis a;
    if (like && chance(m, 85)) a = *like;
    else {
        a.kernel = one_of(m, kernels, 14);
        a.stride = one_of(m, strides, 8);
        a.dilation = chance(m, 88) ? 1 : 2 + ref_below(&m->state, 2);
        a.before = draw_pad(m, a.kernel, a.dilation);
        a.after = chance(m, 85) ? a.before : draw_pad(m, a.kernel, a.dilation);
    }
    if ((a.kernel - 1) * a.dilation + 1 > size + a.before + a.after) {
        a.kernel = a.stride = a.dilation = 1;
        a.before = a.after = 0;
    }
    return a;
}

/* Sometimes with the same weights a second time. */
static cvn_node add_conv(made *m, cvn_node x)
{
    static const int filters[] = { 1, 2, 3, 4, 6, 8, 10, 12, 16, 17, 20, 24, 32, 33, 48 };
    const cvn_shape s = cvn_node_shape(m->net, x);
    const int C = s.dim[1];
    const int axes = s.rank - 2;
    cvni_conv_desc d;
    cvn_node y, twin;
    cvn_init none = { CVN_INIT_DEFAULT, 0, 0 }, bias = { CVN_INIT_NORMAL, 0, 0.3f };
    conv_axis a[3];
    int groups = 1;
    int count = one_of(m, filters, 15);
    if (chance(m, 20)) groups = C;
    else if (C % 2 == 0 && chance(m, 10)) groups = 2;
    if (groups > 1) count = groups * (chance(m, 75) ? 1 : 2 + ref_below(&m->state, 2));
    if (chance(m, 15)) count = C;
    d = cvni_conv_begin(axes, count, groups, chance(m, 30), none, bias);
    d.pad_mode = chance(m, 85) ? CVN_PAD_ZERO : chance(m, 50) ? CVN_PAD_REFLECT : CVN_PAD_REPLICATE;
    for (int i = 3 - axes; i < 3; i++) {
        const int size = s.dim[i - 3 + s.rank];
        a[i] = draw_axis(m, size, i > 3 - axes ? &a[i - 1] : NULL);
        if (d.pad_mode == CVN_PAD_REFLECT && (a[i].before >= size || a[i].after >= size))
            d.pad_mode = CVN_PAD_REPLICATE;
        cvni_conv_set_axis(&d, i, a[i].kernel, a[i].stride, a[i].dilation, a[i].before, a[i].after);
    }
    y = cvni_add_conv(m->net, x, d);
    if (!chance(m, 10)) return y;
    twin = cvni_add_conv(m->net, cvn_tanh(m->net, x), d);
    cvn_tie(m->net, twin, y);
    return cvn_add(m->net, y, twin);
}

static cvn_node add_deconv(made *m, cvn_node x)
{
    cvn_conv_transpose2d_desc d = cvn_conv_transpose2d_defaults();
    d.filters = 1 + ref_below(&m->state, 20);
    d.kernel_h = 2 + ref_below(&m->state, 3);
    d.kernel_w = chance(m, 80) ? d.kernel_h : 1 + ref_below(&m->state, 4);
    d.stride_h = d.stride_w = 1 + ref_below(&m->state, 3);
    d.pad_top = d.pad_bottom = d.kernel_h > 2 && chance(m, 50);
    d.pad_left = d.pad_right = d.kernel_w > 2 && chance(m, 50);
    d.output_pad_h = d.stride_h > 1 && chance(m, 30);
    return cvn_conv_transpose2d_ex(m->net, x, &d);
}

/* Without zeros that would all be kinks of a relu behind it. */
static cvn_node add_norm(made *m, cvn_node x)
{
    const cvn_init weight = { CVN_INIT_UNIFORM, 0.5f, 1.5f }, bias = { CVN_INIT_NORMAL, 0, 0.3f };
    cvn_batchnorm_desc d = cvn_batchnorm_defaults();
    d.weight_init = weight;
    d.bias_init = bias;
    return cvn_batchnorm_ex(m->net, x, &d);
}

static cvn_node add_pool(made *m, cvn_node x)
{
    const cvn_shape s = cvn_node_shape(m->net, x);
    cvn_pool_desc d = cvn_pool_defaults();
    d.kernel_h = chance(m, 60) ? 2 : 3;
    d.stride_h = chance(m, 80) ? 2 : 1 + ref_below(&m->state, 3);
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = ref_below(&m->state, d.kernel_h - 1);
    if (s.rank == 3) d.pad_top = d.pad_bottom = 0;
    d.ceil_mode = chance(m, 30);
    d.exclude_pad = chance(m, 50);
    if (s.dim[2] < 3 || s.dim[s.rank - 1] < 3) return x;
    return !m->smooth && chance(m, 70) ? cvn_maxpool_ex(m->net, x, &d)
                                       : cvn_avgpool_ex(m->net, x, &d);
}

/* x with another node of its shape, or of its places: a residual, more channels. */
static cvn_node add_join(made *m, int at)
{
    const cvn_shape s = cvn_node_shape(m->net, m->node[at]);
    for (int i = ref_below(&m->state, m->nodes), tries = 0; tries < m->nodes; tries++) {
        const cvn_shape o = cvn_node_shape(m->net, m->node[i]);
        const int other = i;
        i = (i + 1) % m->nodes;
        if (other == at || o.rank != s.rank || memcmp(o.dim + 2, s.dim + 2, 4 * sizeof(int)))
            continue;
        if (o.dim[1] != s.dim[1] || chance(m, 25))
            return cvn_concat(m->net, m->node[at], m->node[other]);
        return cvn_add(m->net, m->node[at], m->node[other]);
    }
    return cvn_tanh(m->net, m->node[at]);
}

static cvn_node add_activation(made *m, cvn_node x)
{
    const int kind = ref_below(&m->state, 7);
    if (m->smooth) return kind < 4 ? cvn_tanh(m->net, x) : cvn_silu(m->net, x);
    if (kind < 4) return cvn_relu(m->net, x);
    return kind < 6 ? cvn_relu6(m->net, x) : cvn_leaky_relu(m->net, x, 0.1f);
}

static void push(made *m, cvn_node x) { m->node[m->nodes++] = x; }

static cvn_node newest(const made *m) { return m->node[m->nodes - 1]; }

static void add_layer(made *m)
{
    const int at = chance(m, 75) ? m->nodes - 1 : ref_below(&m->state, m->nodes);
    const cvn_node x = m->node[at];
    const cvn_shape s = cvn_node_shape(m->net, x);
    const int kind = ref_below(&m->state, 20);
    if (sample_floats(s) > MAX_FLOATS) return;
    if (kind == 0 && s.rank == 4) push(m, add_deconv(m, x));
    else if (kind < 4 && s.rank < 5) push(m, add_pool(m, x));
    else if (kind < 6) push(m, add_join(m, at));
    else if (kind == 6 && s.rank == 4 && s.dim[2] < 16) push(m, cvn_upsample_nearest(m->net, x, 2));
    else {
        push(m, add_conv(m, x));
        if (chance(m, 40)) push(m, add_norm(m, newest(m)));
        if (chance(m, 20)) push(m, add_join(m, m->nodes - 1));
        if (chance(m, 75)) push(m, add_activation(m, newest(m)));
    }
}

/* An image, sometimes of one or three axes; its floats. */
static cvn_node add_input(made *m)
{
    static const int channels[] = { 1, 3, 3, 4, 5, 8, 16, 17, 32 };
    static const int sizes[] = { 5, 7, 8, 12, 14, 15, 16, 17, 20, 28, 28, 32, 33, 40, 56 };
    const int axes = chance(m, 80) ? 2 : 1 + 2 * ref_below(&m->state, 2);
    int dims[4];
    dims[0] = one_of(m, channels, 9);
    for (int i = 1; i <= axes; i++)
        dims[i] = axes == 3 ? 3 + ref_below(&m->state, 8)
                  : i == 1 || chance(m, 30) ? one_of(m, sizes, 15) : dims[1];
    return cvn_input_tensor(m->net, dims, 1 + axes);
}

static made make_net(unsigned seed, const setup *how)
{
    const cvn_optimizer sgd = cvn_sgd(1e-2f, 0.9f);
    cvn_desc desc = cvn_desc_defaults();
    cvn_node logits;
    made m;
    int layers;
    memset(&m, 0, sizeof m);
    m.state = seed * 2654435761u + 12345u;
    m.smooth = chance(&m, 50);
    desc.seed = seed;
    desc.isa = how->isa;
    desc.threads = how->threads;
    desc.keep_all = how->keep_all;
    if (how->hook) desc.parallel_for = ref_backwards_for;
    m.net = cvn_create(&desc);
    m.net->conv_way = how->way;
    push(&m, add_input(&m));
    m.wants_dx = chance(&m, 40);
    if (m.wants_dx) cvn_want_grad(m.net, m.node[0]);
    layers = 1 + ref_below(&m.state, 7);
    while (layers-- && m.nodes < MAX_NODES - 4) add_layer(&m);
    logits = newest(&m);
    if (chance(&m, 50)) {
        const cvn_shape s = cvn_node_shape(m.net, logits);
        if (s.rank < 5) logits = cvn_global_avgpool(m.net, logits);
    }
    logits = cvn_dense(m.net, cvn_flatten(m.net, logits), CLASSES);
    m.loss = cvn_softmax_loss(m.net, logits);
    if (chance(&m, 50)) cvn_output(m.net, logits);
    for (int i = 1; i < m.nodes; i++) {
        if (chance(&m, 4)) cvn_keep(m.net, m.node[i]);
        if (chance(&m, 4)) cvn_freeze(m.net, m.node[i]);
    }
    cvn_set_optimizer(m.net, &sgd);
    return m;
}

/* ---- what it computes ---- */

static float *copy_of(const float *from, size_t n)
{
    float *to = (float *)ref_alloc(n ? n : 1, sizeof *to);
    if (from) memcpy(to, from, n * sizeof *to);
    return to;
}

/* CVN_ERROR_SHAPE: a batch norm met one value a channel. */
static cvn_result take_pass(made *m, const float *x, const int *labels, int n, float *loss)
{
    const cvn_node input = { m->loss.id - 1 };          /* that the loss made */
    cvn_result r;
    CHECKF(cvn_set_input(m->net, m->node[0], x, n) == CVN_OK, "%s", cvn_error(m->net));
    CHECKF(cvn_set_labels(m->net, input, labels, n) == CVN_OK, "%s", cvn_error(m->net));
    r = cvn_forward(m->net);
    CHECKF(r == CVN_OK || r == CVN_ERROR_SHAPE, "%s", cvn_error(m->net));
    if (r != CVN_OK) return r;
    *loss = cvn_loss(m->net);
    CHECKF(cvn_backward(m->net) == CVN_OK, "%s", cvn_error(m->net));
    return r;
}

/* Predictions of 1, n and 2n + 1 samples, one behind the other. */
static float *predictions(cvn_net *net, const float *x, int n, size_t floats)
{
    float *y = (float *)ref_alloc((size_t)(3 * n + 2) * CLASSES, sizeof *y);
    CHECK(cvn_predict(net, x + floats, 1, y) == CVN_OK);
    CHECK(cvn_predict(net, x, n, y + CLASSES) == CVN_OK);
    CHECK(cvn_predict(net, x, 2 * n + 1, y + (n + 1) * CLASSES) == CVN_OK);
    return y;
}

static outcome carry_out(unsigned seed, const setup *how, int batch, int fewer, const float *x,
                         const int *labels)
{
    made m = make_net(seed, how);
    const size_t floats = sample_floats(cvn_node_shape(m.net, m.node[0]));
    outcome o;
    float *flat;
    memset(&o, 0, sizeof o);
    o.bound = m.smooth ? BOUND : BOUND_OF_KINKS;
    o.out_count = (size_t)(3 * batch + 2) * CLASSES;
    if (!CHECKF(cvn_build(m.net, batch) == CVN_OK, "%s", cvn_error(m.net))) return o;
    o.result[0] = take_pass(&m, x, labels, batch, &o.loss[0]);
    o.result[1] = take_pass(&m, x + floats, labels + 1, fewer, &o.loss[1]);
    flat = cvn_flat_gradients(m.net, &o.gradient_count);
    o.gradients = copy_of(flat, o.gradient_count);
    for (int i = 0; i < cvn_param_count(m.net) && o.arrays < MAX_NODES; i++) {
        const cvn_param p = cvn_param_at(m.net, i);
        if (p.gradient) o.begin[o.arrays++] = (size_t)(p.gradient - flat);
    }
    o.begin[o.arrays] = o.gradient_count;
    flat = m.wants_dx && o.result[1] == CVN_OK ? cvn_gradient(m.net, m.node[0]) : NULL;
    o.dx_count = flat ? floats * (size_t)fewer : 0;
    o.dx = copy_of(flat, o.dx_count);
    CHECK(cvn_step(m.net) == CVN_OK);
    o.trained = predictions(m.net, x, batch, floats);
    flat = cvn_flat_parameters(m.net, &o.parameter_count);
    o.parameters = copy_of(flat, o.parameter_count);
    CHECKF(cvn_build_infer(m.net, batch) == CVN_OK, "%s", cvn_error(m.net));
    o.inferred = predictions(m.net, x, batch, floats);
    cvn_destroy(m.net);
    return o;
}

static void free_outcome(outcome *o)
{
    free(o->gradients);
    free(o->dx);
    free(o->parameters);
    free(o->trained);
    free(o->inferred);
}

/* ---- comparisons ---- */

static double length(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (b ? (double)b[i] : 0);
        sum += d * d;
    }
    return sqrt(sum);
}

/* What is below `noise` may be rounding alone. */
static void compare_arrays(const char *what, const float *a, const float *b, size_t n, double bound,
                           double noise)
{
    const double off = length(a, b, n), all = length(a, NULL, n);
    CHECKF(off <= bound * fmax(all, noise), "%s: off by %.3g of %.3g", what, off, all);
}

/* Parameter by parameter. */
static void compare_gradients(const outcome *a, const outcome *b, double noise)
{
    char text[48];
    for (int i = 0; i < a->arrays; i++) {
        const size_t at = a->begin[i];
        snprintf(text, sizeof text, "gradient of parameter %d", i);
        compare_arrays(text, a->gradients + at, b->gradients + at, a->begin[i + 1] - at,
                       a->bound, noise);
    }
}

static int same_sizes(const outcome *a, const outcome *b)
{
    return CHECK(a->gradient_count == b->gradient_count && a->dx_count == b->dx_count &&
                 a->parameter_count == b->parameter_count && a->parameter_count > 0);
}

static void compare_near(const outcome *a, const outcome *b)
{
    const double noise = 0.05 * length(a->gradients, NULL, a->gradient_count) + 1e-6;
    if (!same_sizes(a, b)) return;
    CHECK(a->result[0] == b->result[0] && a->result[1] == b->result[1]);
    CHECK_NEAR(a->loss[0], b->loss[0], BOUND);
    CHECK_NEAR(a->loss[1], b->loss[1], BOUND);
    compare_gradients(a, b, noise);
    compare_arrays("gradient of the input", a->dx, b->dx, a->dx_count, a->bound, noise);
    compare_arrays("parameters", a->parameters, b->parameters, a->parameter_count, a->bound, 0);
    compare_arrays("predictions", a->trained, b->trained, a->out_count, a->bound, 0);
    compare_arrays("inference", b->trained, b->inferred, a->out_count, BOUND, 0);
}

static int same(const float *a, const float *b, size_t n)
{
    return memcmp(a, b, n * sizeof *a) == 0;
}

/* folded: neither or both have batch norms folded in their inference plans. */
static void compare_bits(const outcome *a, const outcome *b, int folded)
{
    if (!same_sizes(a, b)) return;
    CHECK(same(a->loss, b->loss, 2));
    CHECK(same(a->gradients, b->gradients, a->gradient_count));
    CHECK(same(a->dx, b->dx, a->dx_count));
    CHECK(same(a->parameters, b->parameters, a->parameter_count));
    CHECK(same(a->trained, b->trained, a->out_count));
    if (folded) CHECK(same(a->inferred, b->inferred, a->out_count));
    else compare_arrays("inference", a->inferred, b->inferred, a->out_count, BOUND, 0);
}

/* ---- tests ---- */

static int batch_of(unsigned seed, unsigned *state)
{
    static const int batches[] = { 1, 2, 3, 5, 8, 16, 17, 31, 32, 33, 48 };
    const setup plain = { "c", NULL, 1, 0, 0 };
    made m = make_net(seed, &plain);
    const double work = cvn_macs(m.net);
    int batch = batches[ref_below(state, 11)];
    while (batch > 1 && work * batch > MAX_WORK) batch /= 2;
    CHECKF(!m.net->failed, "%s", cvn_error(m.net));
    cvn_destroy(m.net);
    return batch;
}

static void check_net(unsigned seed)
{
    static const char *const isas[] = { "avx512", "avx2", "neon", "wasm" };
    static const char *const ways[] = { NULL, "gemm", "winograd", "direct", "lanes", "weights",
                                        "col2im" };
    unsigned state = seed + 77;
    const int batch = batch_of(seed, &state);
    const int fewer = 1 + ref_below(&state, batch);
    setup how = { "c", "gemm", 1, 1, 0 };
    const size_t n = (size_t)(2 * batch + 2);
    outcome base, o, again;
    float *x;
    int *labels;
    made m = make_net(seed, &how);
    const size_t floats = sample_floats(cvn_node_shape(m.net, m.node[0]));
    cvn_destroy(m.net);
    x = (float *)ref_alloc(n * floats, sizeof *x);
    labels = (int *)ref_alloc(n, sizeof *labels);
    ref_fill(x, (int)(n * floats), -1, 1, seed);
    for (size_t i = 0; i < n; i++) labels[i] = ref_below(&state, CLASSES);
    test_case("net %u, batch %d, %d", seed, batch, fewer);
    base = carry_out(seed, &how, batch, fewer, x, labels);
    for (int i = -1; i < 4; i++) {
        if (i >= 0 && !cvni_find_kernels(isas[i])) continue;
        how.isa = i < 0 ? "c" : isas[i];
        how.way = i < 1 ? NULL : ways[ref_below(&state, 7)];
        how.threads = 1;
        how.keep_all = how.hook = 0;
        test_case("net %u, batch %d, %d, %s, way %s", seed, batch, fewer, how.isa,
                  how.way ? how.way : "chosen");
        o = carry_out(seed, &how, batch, fewer, x, labels);
        compare_near(&base, &o);
        how.threads = 2 + ref_below(&state, 4);
        how.keep_all = chance_of(&state, 20);
        how.hook = chance_of(&state, 50);
        again = carry_out(seed, &how, batch, fewer, x, labels);
        compare_bits(&o, &again, !how.keep_all);
        free_outcome(&o);
        free_outcome(&again);
    }
    free_outcome(&base);
    free(x);
    free(labels);
}

static void random_nets(void)
{
    for (unsigned seed = FIRST; seed < FIRST + NETS; seed++) check_net(seed);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    RUN(random_nets);
    return test_done();
}
