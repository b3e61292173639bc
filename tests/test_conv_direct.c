/* test_conv_direct.c - direct convolution: frames against the padded image that they stand for, its
 * kernels against double precision, and the layer: random small ones against the reference
 * (reference.h), large ones that cross its blocks against the way through patches, on each table
 * of kernels, with one thread and three. TEST_QUICK: fewer cases. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifdef TEST_QUICK
    #define CASES 60
    #define SWEEP 20
#else
    #define CASES 600
    #define SWEEP 120
#endif

/* ---- frames ---- */

enum { FRAME_ROOM = 1 << 20 };
static float image[FRAME_ROOM], frame[FRAME_ROOM];

static void draw_axis(unsigned *state, int reflect, cvni_axis *a)
{
    memset(a, 0, sizeof *a);
    do {
        a->big = 1 + ref_below(state, 12);
        a->kernel = 1 + ref_below(state, 5);
        a->stride = 1 + ref_below(state, 3);
        a->dilation = 1 + ref_below(state, 2);
        a->pad = ref_below(state, reflect ? a->big : 6);
        a->small = (a->big + a->pad + ref_below(state, reflect ? a->big : 6) -
                    (a->kernel - 1) * a->dilation - 1) / a->stride + 1;
    } while (a->small < 1 || a->big + 2 * a->pad < (a->kernel - 1) * a->dilation + 1);
}

/* Every tap of every position that the frame was cut for. */
static void check_frame(const cvni_frame *f, const cvni_axis *h, const cvni_axis *w, int channels)
{
    int wrong = 0;
    for (int c = 0; c < channels; c++)
        for (int t = 0; t < h->kernel * w->kernel; t++)
            for (int q = 0; q < f->images * f->h.count * f->w.count; q++) {
                const int n = q / f->w.count / f->h.count;
                const int i = q / f->w.count % f->h.count;
                const int j = q % f->w.count;
                const int dh = t / w->kernel * h->dilation;
                const int dw = t % w->kernel * w->dilation;
                const int r = cvni_pad_index((f->h.first + i) * h->stride + dh - h->pad, h->big,
                                             f->mode);
                const int k = cvni_pad_index((f->w.first + j) * w->stride + dw - w->pad, w->big,
                                             f->mode);
                const ptrdiff_t p = ((ptrdiff_t)n * f->h.pitch + i) * f->w.pitch + j;
                const float want = r < 0 || k < 0 ? 0
                                                  : image[((n * channels + c) * h->big + r) *
                                                          w->big + k];
                const float got = frame[c * cvni_frame_channel(f) + cvni_frame_at(f, dh, dw) + p];
                wrong += memcmp(&got, &want, sizeof got) != 0;
            }
    CHECKF(wrong == 0, "%d wrong", wrong);
}

static void frames(void)
{
    unsigned state = 11;
    for (int i = 0; i < FRAME_ROOM; i++) image[i] = (float)(i + 1);
    for (int i = 0; i < CASES; i++) {
        const cvn_pad_mode mode = (cvn_pad_mode)(i % 5 < 3 ? 0 : i % 5 - 2);
        const int channels = 1 + ref_below(&state, 3);
        const int images = 1 + ref_below(&state, 3);
        cvni_conv_desc d;
        cvni_conv c;
        cvni_axis *a = c.axis;
        cvni_frame f;
        memset(&d, 0, sizeof d);
        memset(&c, 0, sizeof c);
        c.d = &d;
        d.pad_mode = mode;
        draw_axis(&state, mode == CVN_PAD_REFLECT, &a[1]);
        draw_axis(&state, mode == CVN_PAD_REFLECT, &a[2]);
        for (int cut = 0; cut < 2; cut++) {
            const int row0 = cut * ref_below(&state, a[1].small);
            const int col0 = cut * ref_below(&state, a[2].small);
            const int rows = cut ? 1 + ref_below(&state, a[1].small - row0) : a[1].small;
            const int cols = cut ? 1 + ref_below(&state, a[2].small - col0) : a[2].small;
            ptrdiff_t end;
            test_case("%d images of %d x %d, kernel %d x %d, stride %d %d, dilation %d %d, pad %d "
                      "%d, mode %d, rows %d + %d of %d, cols %d + %d of %d", images, a[1].big,
                      a[2].big, a[1].kernel, a[2].kernel, a[1].stride, a[2].stride, a[1].dilation,
                      a[2].dilation, a[1].pad, a[2].pad, (int)mode, row0, rows, a[1].small, col0,
                      cols, a[2].small);
            f = cvni_frame_of(&c);
            cvni_frame_cut(&f, images, row0, rows, col0, cols);
            end = channels * cvni_frame_channel(&f) + cvni_frame_tail(&f);
            CHECK(end < FRAME_ROOM);
            memset(frame, 255, sizeof frame);
            cvni_frame_fill(cvni_find_kernels(i % 2 ? "c" : NULL), &f, image,
                            (ptrdiff_t)channels * a[1].big * a[2].big,
                            (ptrdiff_t)a[1].big * a[2].big, a[2].big, channels, frame);
            check_frame(&f, &a[1], &a[2], channels);
            CHECK(frame[end] != frame[end] && frame[end - 1] == 0);
        }
    }
}

/* 8x8 and 7x7 under 3x3 with a pad of 1: rows and images share their zeros. */
static void pitches(void)
{
    const cvni_axis a = { 8, 8, 3, 1, 1, 1, 8, 1 };
    cvni_conv_desc d;
    cvni_conv c;
    cvni_frame f;
    memset(&d, 0, sizeof d);
    memset(&c, 0, sizeof c);
    c.d = &d;
    c.axis[1] = c.axis[2] = a;
    f = cvni_frame_of(&c);
    cvni_frame_cut(&f, 4, 0, 8, 0, 8);
    CHECK(f.h.pitch == 9 && f.w.pitch == 9 && f.plane == 4 * 81);
    cvni_frame_cut(&f, 1, 2, 4, 0, 8);
    CHECK(f.h.pitch == 6 && f.w.pitch == 9);
}

/* ---- kernels ---- */

static float values(unsigned *state) { return (float)ref_below(state, 2001) / 1000 - 1; }

/* turned: rows are places of b, columns lines of a. */
static void check_tile(const cvni_kernels *kern, int turned, int rows, int cols, int ks, int add,
                       unsigned *state)
{
    float a[8 * 64 + 8], b[4096], c[9 * 64], before[9 * 64];
    int at[64], row[8], wrong = 0;
    cvni_tile t;
    for (int i = 0; i < 8 * 64 + 8; i++) a[i] = values(state);
    for (int i = 0; i < 4096; i++) b[i] = values(state);
    for (int i = 0; i < 9 * 64; i++) c[i] = before[i] = values(state);
    for (int i = 0; i < 8; i++) row[i] = ref_below(state, 900);
    for (int k = 0; k < ks; k++) at[k] = ref_below(state, turned ? 900 : 4000);
    memset(&t, 0, sizeof t);
    t.k = ks;
    t.add = add;
    t.rows = rows;
    t.cols = cols;
    t.a = turned ? b : a;
    t.a_line = 1;
    t.a_k = kern->mr;
    t.b = turned ? b + 1000 : b;
    t.b_k = turned ? kern->nr : 0;
    t.c = c;
    t.ldc = 64;
    t.end = !turned && (rows + cols) % 3 > 0;
    t.bias = (rows + cols) % 3 > 1 ? a : NULL;
    t.slope = ks % 3 == 0 ? 0 : ks % 3 == 1 ? 1 : 0.25f;
    t.most = ks % 2 ? 0.5f : HUGE_VALF;
    if (turned) kern->tile_turned(&t, row, at);
    else kern->tile_at(&t, at);
    for (int i = 0; i < 9; i++)
        for (int j = 0; j < 64; j++) {
            double sum = add ? (double)before[i * 64 + j] : 0;
            for (int k = 0; k < ks && i < rows && j < cols; k++)
                sum += turned ? (double)b[row[i] + at[k]] * (double)b[1000 + k * kern->nr + j]
                              : (double)a[k * kern->mr + i] * (double)b[at[k] + j];
            if (t.end && t.bias && i < rows) sum += (double)t.bias[i];
            if (t.end && sum <= 0) sum *= (double)t.slope;
            if (t.end && sum > (double)t.most) sum = (double)t.most;
            if (i >= rows || j >= cols) sum = (double)before[i * 64 + j];
            wrong += !(fabs((double)c[i * 64 + j] - sum) <= 1e-6 * (ks + 1));
        }
    CHECKF(wrong == 0, "%d values wrong: %d x %d, k %d, add %d, turned %d", wrong, rows, cols, ks,
           add, turned);
}

static void tiles(void)
{
    static const char *const names[3] = { "c", "avx2", "avx512" };
    unsigned state = 5;
    for (int i = 0; i < 3; i++) {
        const cvni_kernels *kern = cvni_find_kernels(names[i]);
        if (!kern) continue;
        test_case("%s", names[i]);
        for (int cols = 1; cols <= kern->nr; cols++)
            for (int rows = 1; rows <= kern->mr; rows++)
                check_tile(kern, 0, rows, cols, (rows * 7 + cols) % 50, cols & 1, &state);
        for (int cols = kern->unit; cols <= kern->nr; cols += kern->unit)
            for (int ks = 0; ks < 60; ks++)
                check_tile(kern, 1, kern->mr - ks % 4, cols, ks, ks & 1, &state);
    }
}

static void stores(void)
{
    static const char *const names[3] = { "c", "avx2", "avx512" };
    unsigned state = 6;
    for (int i = 0; i < 3; i++) {
        const cvni_kernels *kern = cvni_find_kernels(names[i]);
        if (!kern) continue;
        for (int n = 0; n <= 33; n++)
            for (int kind = 0; kind < 6; kind++) {
                float p[120], y[150], want[150];
                cvni_store s;
                for (int k = 0; k < 120; k++) p[k] = values(&state);
                for (int k = 0; k < 150; k++) y[k] = want[k] = values(&state);
                s.rows = 3;
                s.n = n;
                s.add = kind & 1;
                s.bias = 0.25f;
                s.slope = kind / 2 == 0 ? 1.0f : kind / 2 == 1 ? 0.0f : 0.125f;
                s.p = p;
                s.p_step = 40;
                s.y = y;
                s.y_step = 50;
                kern->store_rows(&s);
                for (int r = 0; r < 3; r++)
                    for (int k = 0; k < n; k++) {
                        float v = p[r * 40 + k] + s.bias;
                        if (s.add) v = want[r * 50 + k] + v;
                        want[r * 50 + k] = v > 0 ? v : s.slope * v;
                    }
                for (int k = 0; k < 150; k++) CHECK_NEAR(y[k], want[k], 0);
            }
    }
}

/* ---- the layer ---- */

static const char *sweep_way;

static cvn_node build_direct(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    net->conv_way = sweep_way;
    return cvn_conv2d_ex(net, x[0], &c->conv);
}

/* lanes: of one group, not strided along rows; batches of up to two blocks of images. */
static void sweep_of(const char *way)
{
    const int lanes = !strcmp(way, "lanes");
    unsigned state = 4242;
    sweep_way = way;
    for (int done = 0; done < SWEEP;) {
        const int groups = lanes || ref_below(&state, 3) ? 1 : 1 + ref_below(&state, 3);
        static const int few[5] = { 1, 3, 5, 17, 2 };
        cvn_conv2d_desc *d;
        int reach_h, reach_w;
        layer_case c;
        memset(&c, 0, sizeof c);
        d = &c.conv;
        c.n = 1 + ref_below(&state, lanes && done % 4 == 0 ? 20 : 4);
        c.inputs = 1;
        c.build = build_direct;
        c.forward = ref_conv2d;
        c.x[0] = ref_shape(4, c.n, groups * few[ref_below(&state, 5)], 1 + ref_below(&state, 9),
                           1 + ref_below(&state, 9));
        d->filters = groups * few[ref_below(&state, 5)];
        d->groups = groups;
        d->kernel_h = 1 + ref_below(&state, 5);
        d->kernel_w = 1 + ref_below(&state, 5);
        d->stride_h = 1 + ref_below(&state, 3);
        d->stride_w = lanes ? 1 : 1 + ref_below(&state, 4);
        d->dilation_h = 1 + ref_below(&state, 2);
        d->dilation_w = 1 + ref_below(&state, 2);
        d->pad_top = ref_below(&state, 4);
        d->pad_bottom = ref_below(&state, 4);
        d->pad_left = ref_below(&state, 4);
        d->pad_right = ref_below(&state, 4);
        reach_h = c.x[0].dim[2] + d->pad_top + d->pad_bottom - (d->kernel_h - 1) * d->dilation_h;
        reach_w = c.x[0].dim[3] + d->pad_left + d->pad_right - (d->kernel_w - 1) * d->dilation_w;
        if (reach_h < 1 || reach_w < 1) continue;
        c.y = ref_shape(4, c.n, d->filters, (reach_h - 1) / d->stride_h + 1,
                        (reach_w - 1) / d->stride_w + 1);
        snprintf(c.text, sizeof c.text, "[%d, %d, %d, %d], %d filters %dx%d, stride %d %d, "
                 "dilation %d %d, pads %d %d %d %d, groups %d", c.n, c.x[0].dim[1], c.x[0].dim[2],
                 c.x[0].dim[3], d->filters, d->kernel_h, d->kernel_w, d->stride_h, d->stride_w,
                 d->dilation_h, d->dilation_w, d->pad_top, d->pad_bottom, d->pad_left,
                 d->pad_right, groups);
        layer_check(&c);
        done++;
    }
}

static void sweep(void) { sweep_of("direct"); }
static void sweep_lanes(void) { sweep_of("lanes"); }
static void sweep_col2im(void) { sweep_of("col2im"); }

/* batch, channels, h, w, filters, kernel, stride, pad, groups, transposed: several groups of
 * images, blocks of rows and of columns, chunks of channels, blocks of lines, phases of strides,
 * some of which no tap reaches. */
static const int large[][10] = {
    { 26, 2, 8, 8, 20, 3, 1, 1, 1, 0 },    { 40, 3, 7, 7, 64, 3, 1, 1, 1, 0 },
    { 1, 3, 70, 61, 5, 3, 1, 1, 1, 0 },    { 2, 2, 3, 2300, 4, 3, 1, 1, 1, 0 },
    { 2, 2, 5, 2300, 7, 4, 3, 2, 1, 0 },   { 2, 160, 14, 14, 9, 3, 1, 1, 1, 0 },
    { 3, 400, 7, 7, 130, 3, 1, 1, 1, 0 },  { 1, 2, 16, 16, 1100, 3, 1, 1, 1, 0 },
    { 2, 70, 33, 31, 6, 5, 2, 2, 1, 0 },   { 2, 6, 40, 43, 70, 7, 2, 3, 1, 0 },
    { 2, 12, 20, 20, 10, 2, 3, 0, 2, 0 },  { 5, 24, 21, 9, 50, 1, 2, 0, 2, 0 },
    { 3, 6, 14, 14, 16, 5, 1, 0, 1, 0 },   { 9, 1, 28, 28, 6, 5, 1, 2, 1, 0 },
    { 2, 33, 17, 12, 18, 4, 2, 1, 3, 1 },  { 3, 20, 9, 9, 40, 3, 1, 1, 1, 1 },
    { 1, 4, 30, 40, 30, 5, 1, 4, 1, 0 },   { 2, 3, 1, 900, 9, 1, 1, 1, 1, 1 }
};

enum { SIDE = 1 << 19 };
static float big_x[SIDE], big_y[2][SIDE], big_dx[2][SIDE], big_g[SIDE];

static int count_of(cvn_shape s)
{
    int count = 1;
    for (int i = 0; i < s.rank; i++) count *= s.dim[i];
    return count;
}

static cvn_node add_large(cvn_net *net, cvn_node x, const int *u)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_conv_transpose2d_desc t = cvn_conv_transpose2d_defaults();
    d.filters = t.filters = u[4];
    d.kernel_h = t.kernel_h = u[5];
    d.stride_h = t.stride_h = u[6];
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = u[7];
    t.pad_top = t.pad_left = t.pad_bottom = t.pad_right = u[9] ? u[7] / 2 : 0;
    d.groups = t.groups = u[8];
    return u[9] ? cvn_conv_transpose2d_ex(net, x, &t) : cvn_conv2d_ex(net, x, &d);
}

/* Two such layers on one input: dx is written and added to. Returns the outputs' count. */
static int run_large(const int *u, const char *way, const char *isa, int threads, int mode, int n,
                     float *y, float *dx)
{
    cvn_desc desc;
    cvn_net *net;
    cvn_node x, a, b, sum;
    int count = -1;
    memset(&desc, 0, sizeof desc);
    desc.isa = isa;
    desc.threads = threads;
    desc.seed = 3;
    net = cvn_create(&desc);
    net->conv_way = way;
    x = cvn_input(net, u[1], u[2], u[3]);
    a = cvn_leaky_relu(net, add_large(net, x, u), 0.1f);
    b = add_large(net, x, u);
    sum = cvn_add(net, a, b);
    cvn_want_grad(net, x);
    cvn_keep(net, sum);
    if (mode == CVN_TRAIN) cvn_want_grad(net, sum);
    if (!CHECKF((mode == CVN_TRAIN ? cvn_build(net, u[0]) : cvn_build_infer(net, u[0])) == CVN_OK,
                "%s", cvn_error(net)))
        return -1;
    count = count_of(cvn_node_shape(net, sum)) / u[0] * n;
    CHECK(count <= SIDE && u[0] * u[1] * u[2] * u[3] <= SIDE);
    CHECK(cvn_set_input(net, x, big_x, n) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
    memcpy(y, cvn_value(net, sum), sizeof(float) * (size_t)count);
    if (mode == CVN_TRAIN) {
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward_from(net, sum, big_g) == CVN_OK);
        memcpy(dx, cvn_gradient(net, x), sizeof(float) * (size_t)(n * u[1] * u[2] * u[3]));
    }
    cvn_destroy(net);
    return count;
}

/* Below 2e-6 of the largest for each of the k of a sum. */
static void compare_large(const char *what, const float *a, const float *b, int count, double bound)
{
    double most = 0, size = 0;
    for (int i = 0; i < count; i++) {
        const double e = fabs((double)a[i] - (double)b[i]);
        if (!(e <= most)) most = e;
        if (fabs((double)b[i]) > size) size = fabs((double)b[i]);
    }
    CHECKF(most <= bound * size, "%s: error %g of %g", what, most, size);
}

static void large_shapes(void)
{
    static const char *const names[3] = { "c", "avx2", "avx512" };
    static const char *const ways[3] = { "direct", "lanes", "col2im" };
    unsigned state = 99;
    for (int i = 0; i < SIDE; i++) big_x[i] = values(&state);
    for (int i = 0; i < SIDE; i++) big_g[i] = values(&state);
    for (size_t i = 0; i < sizeof large / sizeof large[0]; i++)
        for (int w = 0; w < 9; w++) {
            const char *way = ways[w / 3];
            const int k = w % 3;
            const int *u = large[i];
            const int n = k == 1 ? cvni_max(1, u[0] - 1) : u[0];
            const int inputs = n * u[1] * u[2] * u[3];
            int count;
            if (!cvni_find_kernels(names[k])) continue;
            test_case("%s, %d of %d [%d, %d, %d], %d filters %d, stride %d, pad %d, groups %d, "
                      "transposed %d, %s", way, n, u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7],
                      u[8], u[9], names[k]);
            count = run_large(u, w < 6 ? "col2im" : "direct", names[k], 1, CVN_TRAIN, n, big_y[1],
                              big_dx[0]);
            if (count < 0) continue;
            run_large(u, "gemm", names[k], 1, CVN_TRAIN, n, big_y[0], big_dx[1]);
            run_large(u, way, names[k], 1, CVN_TRAIN, n, big_y[1], big_dx[1]);
            compare_large("y", big_y[1], big_y[0], count, 1e-5);
            compare_large("dx", big_dx[1], big_dx[0], inputs, 1e-5);
            run_large(u, way, names[k], 3, CVN_TRAIN, n, big_y[0], big_dx[0]);
            CHECK(memcmp(big_y[0], big_y[1], sizeof(float) * (size_t)count) == 0);
            CHECK(memcmp(big_dx[0], big_dx[1], sizeof(float) * (size_t)inputs) == 0);
            run_large(u, way, names[k], 2, CVN_INFER, n, big_y[0], NULL);
            compare_large("inference", big_y[0], big_y[1], count, 1e-5);
        }
}

int main(void)
{
    RUN(frames);
    RUN(pitches);
    RUN(tiles);
    RUN(stores);
    RUN(sweep);
    RUN(sweep_lanes);
    RUN(sweep_col2im);
    RUN(large_shapes);
    return test_done();
}
