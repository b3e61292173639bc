/* test_separable.c - training of depthwise convolutions together with the norms around them (room
 * >>separable). Each net is built twice, the second time with what lies between kept, which rules
 * that out: losses, predictions, weights and running statistics agree bit for bit. */
#define CONVNET_IMPLEMENTATION
#define CVNI_SEPARABLE_LEAST 1
#include "../convnet.h"
#include "test.h"

typedef struct chain {
    int norm, relu;                 /* in front of the depthwise convolution */
    int kernel, stride, pad, bias;
    int residual;                   /* added behind the second norm */
    int frozen;                     /* 1: the first norm, 2: the convolution, 3: all up to it, 4:
                                     * the second norm, too */
    int H, W;
    int takes;                      /* norms that are done as well; -1: the convolution neither */
} chain;

static const chain chains[] = {
    { 1, 1, 3, 1, 1, 0, 0, 0, 9, 11, 1 },
    { 1, 1, 3, 2, 1, 0, 0, 0, 17, 40, 1 },
    { 1, 1, 3, 2, 0, 0, 0, 0, 9, 20, 1 },
    { 1, 0, 5, 1, 2, 0, 0, 0, 12, 7, 1 },
    { 1, 1, 5, 2, 2, 0, 0, 0, 7, 7, -1 },       /* no kernel reads planes */
    { 0, 1, 3, 1, 1, 0, 0, 0, 14, 14, 0 },
    { 1, 1, 3, 1, 1, 0, 1, 0, 14, 14, 0 },
    { 1, 1, 3, 1, 0, 0, 0, 1, 20, 20, 1 },
    { 1, 1, 3, 1, 1, 0, 0, 2, 8, 33, 1 },
    { 1, 1, 3, 1, 1, 0, 0, 3, 8, 8, -1 },
    { 1, 1, 3, 1, 1, 0, 0, 4, 14, 14, -1 },     /* norms work in place */
    { 1, 1, 7, 1, 3, 0, 0, 0, 16, 16, -1 },     /* nor here */
    { 1, 1, 3, 1, 1, 1, 0, 0, 9, 9, -1 },
    { 1, 1, 3, 1, 1, 0, 0, 0, 2, 2, 1 }
};

enum { CHANNELS = 19, BATCH = 5, CLASSES = 4 };

/* node: the second norm's relu; the convolution; what it reads. */
static cvn_net *make(const chain *c, const char *isa, int threads, int keep, cvn_node node[3])
{
    const cvn_optimizer sgd = cvn_sgd(0.05f, 0.9f);
    cvn_desc desc = cvn_desc_defaults();
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_net *net;
    cvn_node x, first, norm, conv, second;
    desc.isa = isa;
    desc.threads = threads;
    net = cvn_create(&desc);
    first = x = cvn_conv2d(net, cvn_input(net, 3, c->H, c->W), CHANNELS, 1, 1, 0);
    if (c->norm) x = cvn_batchnorm(net, x);
    norm = x;
    if (c->relu) x = cvn_relu6(net, x);
    node[2] = x;
    if (keep) cvn_keep(net, x);
    d.groups = d.filters = CHANNELS;
    d.kernel_h = c->kernel;
    d.stride_h = c->stride;
    d.pad_top = d.pad_bottom = d.pad_left = d.pad_right = c->pad;
    d.no_bias = !c->bias;
    node[1] = conv = x = cvn_conv2d_ex(net, x, &d);
    if (keep) cvn_keep(net, x);
    second = x = cvn_batchnorm(net, x);
    if (c->residual) x = cvn_add(net, x, first);
    node[0] = x = cvn_relu6(net, x);
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, x), CLASSES));
    if (c->frozen == 1 || c->frozen > 2) cvn_freeze(net, norm);
    if (c->frozen > 1) cvn_freeze(net, conv);
    if (c->frozen > 2) cvn_freeze(net, first);
    if (c->frozen > 3) cvn_freeze(net, second);
    cvn_set_optimizer(net, &sgd);
    cvn_build(net, BATCH);
    return net;
}

static void fill(float *x, int n, int *labels)
{
    unsigned state = 11;
    for (int i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / 8388608.0f - 1;
    }
    for (int i = 0; i < BATCH; i++) labels[i] = i % CLASSES;
}

static int same_parameters(cvn_net *a, cvn_net *b)
{
    for (int i = 0; i < cvn_param_count(a); i++) {
        const cvn_param p = cvn_param_at(a, i), q = cvn_param_at(b, i);
        if (memcmp(p.value, q.value, p.count * sizeof(float))) return 0;
    }
    return 1;
}

static int norms_taken(const cvn_net *net, cvn_node conv)
{
    return net->layers[conv.id].place.taken ? net->layers[conv.id].place.takes != 0 : -1;
}

/* cvn_check looks at each layer; what is never stored it leaves out. */
static void check_check(cvn_net *net, cvn_net *apart, const float *x, const int *labels)
{
    cvn_data data;
    char text[1000];
    memset(&data, 0, sizeof data);
    data.count = BATCH;
    data.images = x;
    data.labels = labels;
    CHECK(cvn_check(net, &data, text, sizeof text) >= 0 && !strstr(text, "not finite"));
    CHECK(same_parameters(net, apart));
}

static void check_chain(const chain *c, const char *isa, int threads)
{
    cvn_node node[3], other[3];
    cvn_net *net = make(c, isa, threads, 0, node);
    cvn_net *apart = make(c, isa, 1, 1, other);
    const int n = BATCH * 3 * c->H * c->W;
    float *x = (float *)malloc((size_t)n * sizeof *x);
    float y[BATCH * CLASSES], z[BATCH * CLASSES];
    int labels[BATCH];
    CHECKF(net->mode && apart->mode && x, "%s", cvn_error(net));
    if (!strcmp(isa, "avx512")) CHECK(norms_taken(net, node[1]) == c->takes);
    CHECK(norms_taken(apart, other[1]) == -1);
    fill(x, n, labels);
    for (int pass = 0; pass < 3; pass++) {
        const int batch = pass == 1 ? BATCH - 2 : BATCH;
        float loss = 0, other_loss = 1;
        CHECK(cvn_train_batch(net, x, labels, batch, &loss) == CVN_OK);
        CHECK(cvn_train_batch(apart, x, labels, batch, &other_loss) == CVN_OK);
        CHECK(loss == other_loss);
        CHECK(same_parameters(net, apart));
        CHECK(cvn_predict(net, x, BATCH, y) == CVN_OK && cvn_predict(apart, x, BATCH, z) == CVN_OK);
        CHECK(!memcmp(y, z, sizeof y));
    }
    check_check(net, apart, x, labels);
    cvn_destroy(net);
    cvn_destroy(apart);
    free(x);
}

static void same_bits(void)
{
    static const char *const isas[] = { "c", "avx2", "avx512" };
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < (int)(sizeof chains / sizeof *chains); i++) {
            if (!cvni_find_kernels(isas[k])) continue;
            test_case("%s, chain %d", isas[k], i);
            check_chain(&chains[i], isas[k], 1 + i % 3);
        }
}

int main(void)
{
    RUN(same_bits);
    return test_done();
}
