/* test_winograd.c - 3x3 convolutions of stride 1 by Winograd's minimal filtering, which is forced:
 * all passes against the double reference over odd sizes, pads and groups, its error on many
 * channels, batches smaller than planned, an activation on the store. TEST_QUICK: fewer cases. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifdef TEST_QUICK
    #define SWEEP_CASES 25
    #define ERROR_CASES 1
#else
    #define SWEEP_CASES 90
    #define ERROR_CASES 4
#endif

static cvn_node build_forced(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    net->conv_way = "winograd";
    return cvn_conv2d_ex(net, x[0], &c->conv);
}

/* Size, channels and pads as given; 0 when the convolution does not exist. */
static int make_case(layer_case *c, int n, int channels, int h, int w, int filters,
                     const int pad[4])
{
    cvn_conv2d_desc *const d = &c->conv;
    memset(c, 0, sizeof *c);
    c->n = n;
    c->inputs = 1;
    c->x[0] = ref_shape(4, n, channels, h, w);
    c->build = build_forced;
    c->forward = ref_conv2d;
    *d = cvn_conv2d_defaults();
    d->filters = filters;
    d->kernel_h = d->kernel_w = 3;
    d->pad_top = pad[0];
    d->pad_left = pad[1];
    d->pad_bottom = pad[2];
    d->pad_right = pad[3];
    d->stride_w = d->dilation_w = 1;
    c->y = ref_shape(4, n, filters, h + pad[0] + pad[2] - 2, w + pad[1] + pad[3] - 2);
    snprintf(c->text, sizeof c->text, "[%d, %d, %d, %d], %d filters, pads %d %d %d %d", n, channels,
             h, w, filters, pad[0], pad[1], pad[2], pad[3]);
    return c->y.dim[2] > 0 && c->y.dim[3] > 0;
}

static void sweep(void)
{
    static const int channels[] = { 1, 2, 3, 5, 16, 17, 18, 33 };
    unsigned state = 77;
    for (int done = 0; done < SWEEP_CASES;) {
        const int groups = ref_below(&state, 3) ? 1 : 2 + ref_below(&state, 2);
        const int in = groups * channels[ref_below(&state, 8)];
        const int out = groups * channels[ref_below(&state, 8)];
        const int n = 1 + ref_below(&state, 3);
        const int h = 1 + ref_below(&state, 11);
        const int w = 1 + ref_below(&state, 11);
        int pad[4] = { 1, 1, 1, 1 };
        layer_case c;
        for (int i = 0; i < 4; i++)
            if (ref_below(&state, 2)) pad[i] = ref_below(&state, 5);
        if (!make_case(&c, n, in, h, w, out, pad)) continue;
        c.conv.groups = groups;
        c.conv.no_bias = ref_below(&state, 4) == 0;
        layer_check(&c);
        done++;
    }
}

/* Rows longer than a strip of tiles, more tiles than a task has, more channels than a panel, slices
 * of the batch that are several groups of several images. */
static void large(void)
{
    static const int shapes[][5] = { { 1, 3, 5, 150, 4 }, { 2, 20, 41, 39, 50 },
                                     { 3, 160, 9, 7, 131 }, { 70, 17, 14, 15, 18 } };
    static const int pad[4] = { 1, 1, 1, 1 };
    for (int i = 0; i < 4; i++) {
        layer_case c;
        CHECK(make_case(&c, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], shapes[i][4],
                        pad));
        c.big = 1;
        layer_check(&c);
    }
}

static cvn_node build_transposed(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const ref_conv_desc *const d = &c->nd;
    cvn_conv_transpose2d_desc u = cvn_conv_transpose2d_defaults();
    u.filters = d->filters;
    u.kernel_h = u.kernel_w = 3;
    u.stride_w = u.dilation_w = 1;
    u.pad_top = d->before[0];
    u.pad_left = d->before[1];
    u.pad_bottom = d->after[0];
    u.pad_right = d->after[1];
    u.groups = d->groups;
    u.no_bias = d->no_bias;
    net->conv_way = "winograd";
    return cvn_conv_transpose2d_ex(net, x[0], &u);
}

/* Forward up, with a bias; dx down. */
static void transposed(void)
{
    unsigned state = 5;
    for (int i = 0; i < SWEEP_CASES / 5; i++) {
        const int groups = 1 + i % 2;
        layer_case c;
        memset(&c, 0, sizeof c);
        c.n = 1 + i % 3;
        c.inputs = 1;
        c.x[0] = ref_shape(4, c.n, groups * (1 + ref_below(&state, 20)), 2 + ref_below(&state, 8),
                           2 + ref_below(&state, 8));
        c.build = build_transposed;
        c.forward = ref_conv_transposed;
        c.nd.axes = 2;
        c.nd.transposed = 1;
        c.nd.filters = groups * (1 + ref_below(&state, 20));
        c.nd.groups = groups;
        c.nd.no_bias = i % 4 == 3;
        c.y = ref_shape(4, c.n, c.nd.filters, 0, 0);
        for (int a = 0; a < 2; a++) {
            c.nd.kernel[a] = 3;
            c.nd.stride[a] = c.nd.dilation[a] = 1;
            c.nd.before[a] = ref_below(&state, 2);
            c.nd.after[a] = ref_below(&state, 2);
            c.y.dim[2 + a] = c.x[0].dim[2 + a] + 2 - c.nd.before[a] - c.nd.after[a];
        }
        snprintf(c.text, sizeof c.text, "transposed, case %d", i);
        layer_check(&c);
    }
}

/* ---- the error on many channels ---- */

enum { SIZE = 9, IMAGES = 2, PLANE = SIZE * SIZE };

static double error_of(const float *got, const double *want, int n)
{
    double most = 0;
    double error = 0;
    for (int i = 0; i < n; i++) {
        most = fmax(most, fabs(want[i]));
        error = fmax(error, fabs((double)got[i] - want[i]));
    }
    return error / most;
}

/* S += or B += or dW += in double precision, from the two others of the three. */
static void reference(int C, const float *big, const float *small, const float *w, double *down,
                      double *up, double *dw)
{
    for (int i = 0; i < IMAGES * C * C * 9; i++) {
        const int m = i / 9 / C % C;
        const int c = i / 9 % C;
        const int kh = i / 3 % 3 - 1;
        const int kw = i % 3 - 1;
        const ptrdiff_t b = (ptrdiff_t)(i / 9 / C / C * C + c) * PLANE;
        const ptrdiff_t s = (ptrdiff_t)(i / 9 / C / C * C + m) * PLANE;
        const double tap = (double)w[(m * C + c) * 9 + i % 9];
        double sum = 0;
        for (int h = kh < 0; h < SIZE - (kh > 0); h++)
            for (int v = kw < 0; v < SIZE - (kw > 0); v++) {
                const ptrdiff_t at = s + h * SIZE + v;
                const ptrdiff_t from = b + (h + kh) * SIZE + v + kw;
                down[at] += tap * (double)big[from];
                up[from] += tap * (double)small[at];
                sum += (double)big[from] * (double)small[at];
            }
        dw[(m * C + c) * 9 + i % 9] += sum;
    }
}

/* Uniform images, He-normal weights: each result within 3e-5 of the largest one; measured: 2e-6 to
 * 1e-5. */
static void errors(void)
{
    static const int channels[] = { 64, 128, 256, 512 };
    for (int i = 0; i < ERROR_CASES; i++) {
        const int C = channels[i];
        const int n = IMAGES * C * PLANE;
        unsigned state = 9;
        cvn_net *const net = cvn_create(NULL);
        const cvn_node x = cvn_input(net, C, SIZE, SIZE);
        cvn_node y;
        float *const big = (float *)malloc(sizeof(float) * (size_t)n);
        float *const small = (float *)malloc(sizeof(float) * (size_t)n);
        double *const down = (double *)calloc((size_t)n, sizeof(double));
        double *const up = (double *)calloc((size_t)n, sizeof(double));
        double *const dw = (double *)calloc((size_t)(C * C * 9), sizeof(double));
        net->conv_way = "winograd";
        y = cvn_conv2d(net, x, C, 3, 1, 1);
        cvn_want_grad(net, x);
        cvn_want_grad(net, y);
        test_case("%d channels", C);
        for (int k = 0; k < n; k++) {
            big[k] = (float)(ref_below(&state, 2001) - 1000) * 0.001f;
            small[k] = (float)(ref_below(&state, 2001) - 1000) * 0.001f;
        }
        if (CHECKF(cvn_build(net, IMAGES) == CVN_OK, "%s", cvn_error(net))) {
            const cvn_param w = cvn_param_find(net, "conv1.weight");
            double error[3];
            cvn_set_input(net, x, big, IMAGES);
            CHECK(cvn_forward(net) == CVN_OK);
            reference(C, big, small, w.value, down, up, dw);
            error[0] = error_of(cvn_value(net, y), down, n);
            CHECKF(cvn_backward_from(net, y, small) == CVN_OK, "%s", cvn_error(net));
            error[1] = error_of(cvn_gradient(net, x), up, n);
            error[2] = error_of(w.gradient, dw, C * C * 9);
            for (int k = 0; k < 3; k++) CHECKF(error[k] < 3e-5, "result %d: %g", k, error[k]);
        }
        free(big);
        free(small);
        free(down);
        free(up);
        free(dw);
        cvn_destroy(net);
    }
}

/* ---- inference: relu on the store, fewer images than planned, weights that change ---- */

static void inference(void)
{
    static const int shapes[][3] = { { 20, 21, 30 }, { 170, 21, 140 } };
    for (int i = 0; i < 4; i++) {
        const int *const s = shapes[i % 2];
        const int n = s[0] * s[1] * s[1];
        const int m = s[2] * s[1] * s[1];
        unsigned state = 3;
        float *const in = (float *)malloc(sizeof(float) * (size_t)(5 * n));
        float *const out = (float *)malloc(sizeof(float) * (size_t)(10 * m));
        cvn_net *nets[2];
        test_case("%d channels, %d threads", s[0], 1 + i / 2 * 2);
        for (int k = 0; k < 5 * n; k++) in[k] = (float)(ref_below(&state, 2001) - 1000) * 0.001f;
        for (int k = 0; k < 2; k++) {
            cvn_desc desc = cvn_desc_defaults();
            desc.threads = 1 + i / 2 * 2;
            nets[k] = cvn_create(&desc);
            nets[k]->conv_way = k ? "winograd" : "gemm";
            cvn_relu(nets[k], cvn_conv2d(nets[k], cvn_input(nets[k], s[0], s[1], s[1]), s[2], 3, 1,
                                         1));
            CHECKF(cvn_build_infer(nets[k], 5) == CVN_OK, "%s", cvn_error(nets[k]));
        }
        for (int images = 5; images > 0; images -= 2) {
            double error = 0;
            for (int k = 0; k < 2; k++) {
                const cvn_param w = cvn_param_find(nets[k], "conv1.weight");
                const cvn_param b = cvn_param_find(nets[k], "conv1.bias");
                for (size_t t = 0; t < w.count; t++) w.value[t] *= 1.5f;
                for (size_t t = 0; t < b.count; t++) b.value[t] = 0.1f * (float)(t % 7) - 0.3f;
                cvn_touch(nets[k]);
                CHECK(cvn_predict(nets[k], in, images, out + k * 5 * m) == CVN_OK);
            }
            for (int t = 0; t < images * m; t++)
                error = fmax(error, fabs((double)out[t] - (double)out[5 * m + t]));
            CHECKF(error < 1e-4, "%d images: %g", images, error);
        }
        for (int k = 0; k < 2; k++) cvn_destroy(nets[k]);
        free(in);
        free(out);
    }
}

int main(void)
{
    RUN(sweep);
    RUN(large);
    RUN(transposed);
    RUN(inference);
    RUN(errors);
    return test_done();
}
