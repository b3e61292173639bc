/* test_strips.c - predictions that leave memory alone: a convolution and its reader strip by strip
 * (room >>strips), parts of a concatenation computed in their place. Each net is built twice, the
 * second time with what lies between kept, which rules both out: the outputs agree bit for bit. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

typedef struct pair {
    int channels, H, W;             /* of the image */
    int planes, kernel, stride, pad;        /* of the first convolution */
    int norm;
    int pools;                      /* then a maximum, else depthwise: */
    int side, step, border, ceil_mode;
    int strips;                     /* it takes them where the kernels allow */
} pair;

static const pair pairs[] = {
    { 7, 93, 91, 51, 1, 1, 0, 1, 0, 3, 1, 1, 0, 1 },
    { 7, 93, 91, 51, 1, 1, 0, 0, 0, 3, 2, 1, 0, 1 },
    { 16, 112, 112, 96, 1, 1, 0, 1, 0, 3, 2, 1, 0, 1 },
    { 5, 64, 101, 70, 1, 1, 0, 1, 0, 5, 1, 2, 0, 1 },
    { 5, 64, 101, 70, 1, 1, 0, 1, 0, 3, 1, 0, 0, 1 },
    { 3, 140, 141, 90, 3, 2, 1, 1, 0, 3, 1, 1, 0, 1 },
    { 3, 141, 140, 90, 3, 2, 0, 0, 1, 3, 2, 0, 1, 1 },
    { 3, 141, 140, 90, 3, 2, 0, 0, 1, 3, 2, 1, 0, 1 },
    { 3, 120, 220, 64, 7, 2, 3, 1, 1, 3, 2, 1, 0, 1 },
    { 3, 120, 220, 64, 7, 2, 3, 1, 1, 2, 2, 0, 0, 1 },
    { 1, 200, 202, 48, 5, 2, 0, 0, 1, 4, 3, 0, 0, 1 },
    { 7, 20, 21, 51, 1, 1, 0, 1, 0, 3, 1, 1, 0, 0 },       /* small */
    { 7, 93, 91, 51, 1, 1, 0, 1, 0, 3, 3, 1, 0, 0 },       /* no kernel reads planes at step 3 */
    { 16, 93, 91, 51, 3, 1, 1, 1, 1, 3, 2, 1, 0, 0 }       /* Winograd */
};

static cvn_net *make_pair(const pair *p, const char *isa, int threads, int batch, int keep,
                          cvn_node *last)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_pool_desc pool = cvn_pool_defaults();
    cvn_net *net;
    cvn_node x;
    desc.isa = isa;
    desc.threads = threads;
    net = cvn_create(&desc);
    d.filters = p->planes;
    d.kernel_h = p->kernel;
    d.stride_h = p->stride;
    d.pad_top = d.pad_bottom = d.pad_left = d.pad_right = p->pad;
    x = cvn_conv2d_ex(net, cvn_input(net, p->channels, p->H, p->W), &d);
    if (p->norm) x = cvn_batchnorm(net, x);
    x = p->norm ? cvn_relu6(net, x) : cvn_relu(net, x);
    if (keep) cvn_keep(net, x);
    pool.kernel_h = p->side;
    pool.stride_h = p->step;
    pool.pad_top = pool.pad_bottom = pool.pad_left = pool.pad_right = p->border;
    pool.ceil_mode = p->ceil_mode;
    *last = x = p->pools ? cvn_maxpool_ex(net, x, &pool)
                         : cvn_depthwise(net, x, p->side, p->step, p->border);
    x = cvn_relu(net, x);
    if (cvn_build_infer(net, batch) != CVN_OK) return net;
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param v = cvn_param_at(net, i);
        for (size_t k = 0; k < v.count; k++)
            v.value[k] = strstr(v.name, "weight") ? 0.3f - (float)(k * 7 % 11) / 16
                                                  : 0.5f + (float)(k * 5 % 13) / 16;
    }
    cvn_touch(net);
    return net;
}

static void fill(float *x, size_t n, int nan)
{
    unsigned state = 5;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) / 8388608.0f - 1;
    }
    if (nan) x[n / 2] = NAN;
}

/* Same bits, a NaN whichever. */
static int same(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && !(a[i] != a[i] && b[i] != b[i])) return 0;
    return 1;
}

static void check_pair(const pair *p, const char *isa, int threads, int batch, int nan)
{
    cvn_node last, other;
    cvn_net *net = make_pair(p, isa, threads, batch, 0, &last);
    cvn_net *apart = make_pair(p, isa, 1, batch, 1, &other);
    const size_t in = (size_t)batch * (size_t)p->channels * (size_t)p->H * (size_t)p->W;
    const cvn_shape s = cvn_node_shape(net, last);
    const size_t out = (size_t)batch * (size_t)s.dim[1] * (size_t)s.dim[2] * (size_t)s.dim[3];
    float *x = (float *)malloc(in * sizeof *x);
    float *y = (float *)malloc(out * sizeof *y), *z = (float *)malloc(out * sizeof *z);
    CHECK(x && y && z);
    CHECKF(net->mode && apart->mode, "%s", cvn_error(net));
    if (!strcmp(isa, "avx512"))
        CHECK((net->layers[last.id].place.takes != 0) == p->strips);
    CHECK(apart->layers[other.id].place.takes == 0);
    fill(x, in, nan);
    for (int pass = 0; pass < 2; pass++) {
        CHECK(cvn_predict(net, x, batch, y) == CVN_OK);
        CHECK(cvn_predict(apart, x, batch, z) == CVN_OK);
        CHECK(same(y, z, out));
        for (int i = 0; i < cvn_param_count(net); i++) {        /* weights are packed anew */
            cvn_param_at(net, i).value[0] += 0.125f;
            cvn_param_at(apart, i).value[0] += 0.125f;
        }
        cvn_touch(net);
        cvn_touch(apart);
    }
    cvn_destroy(net);
    cvn_destroy(apart);
    free(x);
    free(y);
    free(z);
}

static void strips(void)
{
    static const char *const isas[] = { "c", "avx2", "avx512" };
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < (int)(sizeof pairs / sizeof *pairs); i++) {
            if (!cvni_find_kernels(isas[k])) continue;
            test_case("%s, pair %d", isas[k], i);
            check_pair(&pairs[i], isas[k], 1 + i % 3, 1 + i % 2, i % 4 == 3);
        }
}

/* ---- concatenation ---- */

static cvn_net *make_branches(int batch, int keep, int axis, cvn_node node[8])
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 4, 6, 5);
    node[7] = x;
    node[0] = cvn_relu(net, cvn_conv2d(net, x, 4, 1, 1, 0));
    node[1] = cvn_relu6(net, cvn_batchnorm(net, cvn_conv2d(net, x, 4, 3, 1, 1)));
    node[2] = cvn_maxpool(net, x, 1, 1);
    for (int i = 0; i < 3 && keep; i++) cvn_keep(net, node[i]);
    node[3] = cvn_concat_n(net, node, 3, axis);
    node[4] = cvn_conv2d(net, node[3], 4, 1, 1, 0);
    if (keep) cvn_keep(net, node[3]);
    if (keep) cvn_keep(net, node[4]);
    if (axis == 1) {
        cvn_node again[4];
        again[0] = node[3];
        again[1] = node[4];
        again[2] = node[4];
        again[3] = x;
        node[5] = cvn_concat_n(net, again, 4, 1);
    } else {
        node[5] = node[4];
    }
    node[6] = cvn_conv2d(net, node[5], 3, 1, 1, 0);
    cvn_build_infer(net, batch);
    return net;
}

static void parts(void)
{
    for (int batch = 1; batch <= 2; batch++)
        for (int axis = 1; axis <= 3; axis++) {
            cvn_node node[8], other[8];
            cvn_net *net = make_branches(batch, 0, axis, node);
            cvn_net *apart = make_branches(batch, 1, axis, other);
            const cvn_shape s = cvn_node_shape(net, node[6]);
            const size_t n = (size_t)batch * (size_t)(s.dim[1] * s.dim[2] * s.dim[3]);
            const float *whole = net->layers[node[3].id].y;
            float x[2 * 4 * 6 * 5], *y = (float *)malloc(n * sizeof *y);
            test_case("batch %d, axis %d", batch, axis);
            CHECK(y && net->mode && apart->mode);
            fill(x, sizeof x / sizeof *x, 0);
            CHECK(cvn_predict(net, x, batch, y) == CVN_OK);
            CHECK(cvn_set_input(apart, other[7], x, batch) == CVN_OK);
            CHECK(cvn_forward_eval(apart) == CVN_OK);
            CHECK(same(y, apart->layers[other[6].id].y, n));
            for (int i = 0; i < 3; i++) {
                const int placed = net->layers[node[i].id].y == whole + i * 4 * 6 * 5;
                CHECK(placed == (batch == 1 && axis == 1));
            }
            if (axis == 1)
                CHECK((net->layers[node[5].id].y == whole) == (batch == 1));
            cvn_destroy(net);
            cvn_destroy(apart);
            free(y);
        }
}

int main(void)
{
    RUN(strips);
    RUN(parts);
    return test_done();
}
