/* test_pool.c - pools in one dimension, adaptive pools, indices and unpooling, roi align, and the
 * views that turn regions or frames into samples: against the double reference, PyTorch's values,
 * and what else their documentation promises. TEST_QUICK: fewer cases. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/pool.h"

#ifdef TEST_QUICK
    #define RANDOM_CASES 8
#else
    #define RANDOM_CASES 30
#endif

static void start_case(layer_case *c, cvn_shape x,
                       cvn_node (*build)(cvn_net *, const cvn_node *, const layer_case *),
                       ref_forward forward)
{
    memset(c, 0, sizeof *c);
    c->n = x.dim[0];
    c->inputs = 1;
    c->x[0] = c->y = x;
    c->build = build;
    c->forward = forward;
}

static const char *shape_text(cvn_shape s, char *text)      /* text: 64 bytes */
{
    int at = 0;
    for (int i = 0; i < s.rank; i++)
        at += snprintf(text + at, 64 - (size_t)at, i ? ", %d" : "[%d", s.dim[i]);
    snprintf(text + at, 64 - (size_t)at, "]");
    return text;
}

static cvn_shape shape5(int d0, int d1, int d2, int d3, int d4)
{
    cvn_shape s = ref_shape(5, d0, d1, d2, d3);
    s.dim[4] = d4;
    return s;
}

/* ================================================================================================
 * one dimension, and sizes that are asked for; c->kind: 0 maximum, 1 mean; c->axis: which call
 * ============================================================================================== */

enum { PLAIN, SHORT, GLOBAL, ADAPTIVE };

static cvn_node build_pool(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const cvn_pool_desc *const d = &c->pool;
    switch (c->axis) {
    case PLAIN: return c->kind ? cvn_avgpool_ex(net, x[0], d) : cvn_maxpool_ex(net, x[0], d);
    case SHORT:
        return c->kind ? cvn_avgpool(net, x[0], d->kernel_w, d->stride_w)
                       : cvn_maxpool(net, x[0], d->kernel_w, d->stride_w);
    case GLOBAL:
        return c->kind ? cvn_global_avgpool(net, x[0]) : cvn_global_maxpool(net, x[0]);
    default:
        return c->kind ? cvn_adaptive_avgpool(net, x[0], d->kernel_h, d->kernel_w)
                       : cvn_adaptive_maxpool(net, x[0], d->kernel_h, d->kernel_w);
    }
}

/* The same case with images of one line. */
static void as_images(layer_case *c)
{
    cvn_shape *const shapes[2] = { &c->x[0], &c->y };
    for (int i = 0; i < 2; i++) {
        if (shapes[i]->rank == 4) continue;
        *shapes[i] = ref_shape(4, shapes[i]->dim[0], shapes[i]->dim[1], 1, shapes[i]->dim[2]);
    }
    c->pool.kernel_h = c->pool.stride_h = 1;
}

static void ref_line_pool(const layer_case *c, int training, double *const *x, double *const *p,
                          double *y)
{
    layer_case image = *c;
    as_images(&image);
    ref_pool(&image, training, x, p, y);
}

/* Every output from its own window, sizes straight from the definition. */
static void ref_adaptive(const layer_case *c, int training, double *const *x, double *const *p,
                         double *y)
{
    layer_case image = *c;
    int h, w, height, width;
    (void)training;
    (void)p;
    as_images(&image);
    h = image.x[0].dim[2];
    w = image.x[0].dim[3];
    height = image.y.dim[2];
    width = image.y.dim[3];
    for (int plane = 0; plane < c->n * c->x[0].dim[1]; plane++)
        for (int i = 0; i < height; i++)
            for (int j = 0; j < width; j++)
                *y++ = ref_pool_at(x[0] + plane * h * w, h, w, (int)floor((double)i * h / height),
                                   (int)ceil((i + 1.0) * h / height),
                                   (int)floor((double)j * w / width),
                                   (int)ceil((j + 1.0) * w / width), c->kind, 0);
}

static void check_line(cvn_shape x, cvn_pool_desc d, int kind, int call)
{
    layer_case c;
    char text[64];
    start_case(&c, x, build_pool, ref_line_pool);
    c.pool = d;
    c.kind = kind;
    c.axis = call;
    c.y.dim[2] = ref_pool_size(x.dim[2], d.kernel_w, d.stride_w, d.pad_left, d.pad_right,
                               d.ceil_mode);
    c.big = ref_count(x) > 2000;
    snprintf(c.text, sizeof c.text, "%s pool %s, %d, stride %d, pads %d %d%s%s",
             kind ? "avg" : "max", shape_text(x, text), d.kernel_w, d.stride_w, d.pad_left,
             d.pad_right, d.ceil_mode ? ", ceil" : "", d.exclude_pad ? ", exclude pad" : "");
    layer_check(&c);
}

static void line_pools(void)
{
    unsigned state = 11;
    cvn_pool_desc d;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const int length = 3 + ref_below(&state, 12);
        d = cvn_pool_defaults();
        d.kernel_h = 1 + ref_below(&state, 9);          /* without a meaning */
        d.kernel_w = 1 + ref_below(&state, 3);
        d.stride_w = 1 + ref_below(&state, 3);
        d.pad_left = ref_below(&state, d.kernel_w / 2 + 1);
        d.pad_right = ref_below(&state, d.kernel_w / 2 + 1);
        d.ceil_mode = ref_below(&state, 2);
        d.exclude_pad = ref_below(&state, 2);
        check_line(ref_shape(3, 1 + ref_below(&state, 3), 1 + ref_below(&state, 4), length, 0), d,
                   ref_below(&state, 2), PLAIN);
    }
    for (int kind = 0; kind < 2; kind++) {
        d = cvn_pool_defaults();
        d.kernel_w = d.stride_w = 2;
        check_line(ref_shape(3, 2, 3, 9, 0), d, kind, SHORT);
        d.kernel_w = 3;
        check_line(ref_shape(3, 3, 20, 101, 0), d, kind, SHORT);
        d.kernel_w = 6;
        d.stride_w = 1;
        check_line(ref_shape(3, 2, 3, 6, 0), d, kind, GLOBAL);
        d.kernel_w = 1;
        check_line(ref_shape(3, 1, 1, 1, 0), d, kind, GLOBAL);
    }
}

/* ================================================================================================
 * windows in general: dilation, pads beyond half a kernel, p-norms; c->kind: 0 maximum, 1 mean, 2
 * and more: the norm of p = kind - 1
 * ============================================================================================== */

static cvn_node build_windows(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    if (c->kind > 1) return cvn_lppool(net, x[0], c->kind - 1, &c->pool);
    return c->kind ? cvn_avgpool_ex(net, x[0], &c->pool) : cvn_maxpool_ex(net, x[0], &c->pool);
}

static void ref_windows(const layer_case *c, int training, double *const *x, double *const *p,
                        double *y)
{
    const cvn_pool_desc *d = &c->pool;
    const int h = c->x[0].dim[2];
    const int w = c->x[0].dim[3];
    (void)training;
    (void)p;
    for (int o = 0; o < ref_count(c->y); o++) {
        const double *plane = x[0] + o / (c->y.dim[2] * c->y.dim[3]) * h * w;
        double most = -HUGE_VAL;
        double sum = 0;
        double norm = 0;
        int divisor = 0;
        for (int k = 0; k < d->kernel_h * d->kernel_w; k++) {
            const int i = o / c->y.dim[3] % c->y.dim[2] * d->stride_h - d->pad_top +
                          k / d->kernel_w * d->dilation_h;
            const int j = o % c->y.dim[3] * d->stride_w - d->pad_left +
                          k % d->kernel_w * d->dilation_w;
            const int inside = i >= 0 && i < h && j >= 0 && j < w;
            if (d->exclude_pad ? inside : i < h + d->pad_bottom && j < w + d->pad_right) divisor++;
            if (!inside) continue;
            sum += plane[i * w + j];
            norm += pow(fabs(plane[i * w + j]), c->kind - 1);
            if (plane[i * w + j] > most) most = plane[i * w + j];
        }
        y[o] = !c->kind ? most : c->kind == 1 ? sum / divisor : pow(norm, 1.0 / (c->kind - 1));
    }
}

/* Has every window of an axis a tap inside? */
static int windows_full(int n, int out, int kernel, int stride, int dilation, int pad)
{
    for (int o = 0; o < out; o++) {
        int inside = 0;
        for (int k = 0; k < kernel; k++) {
            const int at = o * stride - pad + k * dilation;
            inside += at >= 0 && at < n;
        }
        if (!inside) return 0;
    }
    return 1;
}

static void windows(void)
{
    unsigned state = 29;
    int refused = 0;
    for (int done = 0; done < 3 * RANDOM_CASES;) {
        cvn_pool_desc d = cvn_pool_defaults();
        const int h = 1 + ref_below(&state, 9);
        const int w = 1 + ref_below(&state, 9);
        int *const pads[4] = { &d.pad_top, &d.pad_left, &d.pad_bottom, &d.pad_right };
        int reach_h, reach_w;
        layer_case c;
        d.kernel_h = 1 + ref_below(&state, 4);
        d.kernel_w = 1 + ref_below(&state, 4);
        d.stride_h = 1 + ref_below(&state, 3);
        d.stride_w = 1 + ref_below(&state, 3);
        d.dilation_h = 1 + ref_below(&state, 3);
        d.dilation_w = 1 + ref_below(&state, 3);
        for (int i = 0; i < 4; i++) *pads[i] = ref_below(&state, 4);
        d.ceil_mode = ref_below(&state, 2);
        d.exclude_pad = ref_below(&state, 2);
        reach_h = d.dilation_h * (d.kernel_h - 1) + 1;
        reach_w = d.dilation_w * (d.kernel_w - 1) + 1;
        if (reach_h > h + d.pad_top + d.pad_bottom || reach_w > w + d.pad_left + d.pad_right)
            continue;
        start_case(&c, ref_shape(4, 1 + ref_below(&state, 3), 1 + ref_below(&state, 3), h, w),
                   build_windows, ref_windows);
        c.pool = d;
        c.kind = ref_below(&state, 5);
        c.y.dim[2] = ref_pool_size(h, reach_h, d.stride_h, d.pad_top, d.pad_bottom, d.ceil_mode);
        c.y.dim[3] = ref_pool_size(w, reach_w, d.stride_w, d.pad_left, d.pad_right, d.ceil_mode);
        snprintf(
            c.text, sizeof c.text,
            "windows, kind %d, %d x %d, kernel %d %d, stride %d %d, dilation %d %d, pads %d %d "
            "%d %d%s%s",
            c.kind, h, w, d.kernel_h, d.kernel_w, d.stride_h, d.stride_w, d.dilation_h,
            d.dilation_w, d.pad_top, d.pad_left, d.pad_bottom, d.pad_right,
            d.ceil_mode ? ", ceil" : "", d.exclude_pad ? ", exclude pad" : "");
        if (windows_full(h, c.y.dim[2], d.kernel_h, d.stride_h, d.dilation_h, d.pad_top) &&
            windows_full(w, c.y.dim[3], d.kernel_w, d.stride_w, d.dilation_w, d.pad_left)) {
            layer_check(&c);
            done++;
        } else {
            cvn_net *net = cvn_create(NULL);
            const cvn_node x = cvn_input(net, 1, h, w);
            CHECKF(!build_windows(net, &x, &c).id && strstr(cvn_error(net), "padding") != NULL,
                   "'%s'", cvn_error(net));
            cvn_destroy(net);
            refused++;
        }
    }
    CHECK(refused > 0);
}

/* A global norm; of a window of zeros value and gradient are 0. */
static void norms_by_hand(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 2, 2, 2);
    const cvn_node y = cvn_global_lppool(net, x, 3);
    const float in[8] = { 3, -4, 5, 0, 0, 0, 0, 0 };
    const float g[2] = { 1, 1 };
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
        CHECK_NEAR(cvn_value(net, y)[0], 6, 1e-6);      /* 27 + 64 + 125 = 6^3 */
        CHECK_NEAR(cvn_value(net, y)[1], 0, 0);
        CHECK(cvn_backward_from(net, y, g) == CVN_OK);
        CHECK_NEAR(cvn_gradient(net, x)[1], -16.0 / 36, 1e-6);
        for (int i = 3; i < 8; i++) CHECK_NEAR(cvn_gradient(net, x)[i], 0, 0);
    }
    cvn_destroy(net);
    net = cvn_create(NULL);
    CHECK(!cvn_global_lppool(net, cvn_input(net, 2, 2, 2), 0).id);
    CHECKF(strstr(cvn_error(net), "p = 0") != NULL, "'%s'", cvn_error(net));
    cvn_destroy(net);
}

static void adaptive_pools(void)
{
    static const int sizes[][6] = { /* shape, or without width [N, C, L]; asked for */
                                    { 2, 3, 7, 10, 3, 4 },  { 2, 2, 6, 6, 3, 2 },
                                    { 3, 2, 5, 7, 0, 2 },   { 1, 2, 4, 5, 3, 0 },
                                    { 1, 1, 2, 3, 5, 7 },   { 2, 1, 1, 1, 2, 3 },
                                    { 2, 3, 4, 9, 1, 1 },   { 2, 3, 11, 0, 1, 4 },
                                    { 3, 2, 5, 0, 0, 7 },   { 1, 4, 6, 0, 1, 0 },
                                    { 2, 10, 31, 33, 7, 5 }
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int *const s = sizes[i];
        for (int kind = 0; kind < 2; kind++) {
            layer_case c;
            char text[64];
            start_case(&c, ref_shape(s[3] ? 4 : 3, s[0], s[1], s[2], s[3]), build_pool,
                       ref_adaptive);
            c.kind = kind;
            c.axis = ADAPTIVE;
            c.pool.kernel_h = s[4];
            c.pool.kernel_w = s[5];
            if (s[3] && s[4]) c.y.dim[2] = s[4];
            if (s[5]) c.y.dim[s[3] ? 3 : 2] = s[5];
            c.big = ref_count(c.x[0]) > 2000;
            snprintf(c.text, sizeof c.text, "adaptive %s pool %s to %d x %d", kind ? "avg" : "max",
                     shape_text(c.x[0], text), s[4], s[5]);
            layer_check(&c);
        }
    }
}

/* ================================================================================================
 * indices, unpooling
 * ============================================================================================== */

/* The maxima of windows that do not overlap, back in their places. */
static cvn_node build_unpool(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const cvn_node y = cvn_maxpool_ex(net, x[0], &c->pool);
    const cvn_node places = cvn_maxpool_indices(net, x[0], &c->pool);
    const int line = c->x[0].rank == 3;
    return cvn_maxunpool(net, y, places, line ? 0 : c->y.dim[2], c->y.dim[line ? 2 : 3]);
}

/* What is no maximum of its window is 0. */
static void ref_unpool(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const int line = c->x[0].rank == 3;
    const int h = line ? 1 : c->x[0].dim[2];
    const int w = c->x[0].dim[line ? 2 : 3];
    const int kh = line ? 1 : c->pool.kernel_h;
    const int kw = c->pool.kernel_w;
    (void)training;
    (void)p;
    for (int plane = 0; plane < c->n * c->x[0].dim[1]; plane++)
        for (int i = 0; i < h; i++)
            for (int j = 0; j < w; j++) {
                const int h0 = i / kh * kh;
                const int w0 = j / kw * kw;
                const double most = ref_pool_at(x[0] + plane * h * w, h, w, h0, h0 + kh, w0,
                                                w0 + kw, 0, 0);
                const double v = x[0][(plane * h + i) * w + j];
                *y++ = h0 + kh <= h && w0 + kw <= w && !(v < most) ? v : 0;
            }
}

static void unpooling(void)
{
    static const int sizes[][6] = { /* shape, or without width [N, C, L]; kernel */
                                    { 2, 3, 6, 4, 2, 2 },  { 3, 2, 7, 9, 3, 2 },
                                    { 1, 1, 1, 1, 1, 1 },  { 2, 3, 9, 0, 0, 2 },
                                    { 3, 1, 12, 0, 0, 5 }, { 2, 16, 30, 31, 2, 3 }
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int *const s = sizes[i];
        layer_case c;
        char text[64];
        start_case(&c, ref_shape(s[3] ? 4 : 3, s[0], s[1], s[2], s[3]), build_unpool, ref_unpool);
        c.pool.kernel_h = s[4];
        c.pool.kernel_w = s[5];
        c.pool.stride_h = s[4];
        c.pool.stride_w = s[5];
        c.big = ref_count(c.x[0]) > 2000;
        snprintf(c.text, sizeof c.text, "unpool %s, %d x %d", shape_text(c.x[0], text), s[4],
                 s[5]);
        layer_check(&c);
    }
}

/* Indices made visible: a table whose row i holds i. */
static cvn_node show_indices(cvn_net *net, cvn_node indices, int places)
{
    const cvn_node y = cvn_embedding(net, indices, places, 1);
    cvn_name(net, y, "shown");
    cvn_freeze(net, y);
    return y;
}

static void fill_shown(cvn_net *net)
{
    const cvn_param w = cvn_param_find(net, "shown.weight");
    for (size_t i = 0; i < w.count; i++) w.value[i] = (float)i;
    cvn_touch(net);
}

/* First of equals, NaN before all, in plans for training and for prediction. */
static void indices_values(void)
{
    const float in[16] = { 1, 3, 3, 2, 0, 3, NAN, 5, -1, -2, 7, 7, -4, -1, 7, 7 };
    const float want[4] = { 1, 6, 8, 10 };
    for (int mode = 1; mode <= 4; mode++) {
        cvn_desc desc = cvn_desc_defaults();
        cvn_pool_desc d = cvn_pool_defaults();
        cvn_net *net;
        cvn_node x, places, shown;
        desc.keep_all = mode > 2;
        net = cvn_create(&desc);
        x = cvn_input(net, 1, 4, 4);
        d.kernel_h = 2;
        places = cvn_maxpool_indices(net, x, &d);
        cvn_keep(net, places);
        shown = show_indices(net, places, 16);
        test_case("indices, mode %d", mode);
        CHECK(cvn_node_shape(net, places).rank == 4 && cvn_node_shape(net, places).dim[3] == 2);
        if (CHECKF((mode % 2 ? cvn_build(net, 2) : cvn_build_infer(net, 2)) == CVN_OK, "%s",
                   cvn_error(net))) {
            fill_shown(net);
            CHECK(cvn_set_input(net, x, in, 1) == CVN_OK);
            CHECKF((mode % 2 ? cvn_forward(net) : cvn_forward_eval(net)) == CVN_OK, "%s",
                   cvn_error(net));
            for (int i = 0; i < 4; i++) CHECK_NEAR(cvn_value(net, shown)[i], want[i], 0);
            CHECK(cvn_value(net, places) == NULL && strstr(cvn_error(net), "ints"));
            CHECK(cvn_gradient(net, places) == NULL);
            CHECK(cvn_set_labels(net, places, (const int *)(const void *)in, 1) ==
                  CVN_ERROR_ARGUMENT);
        }
        cvn_destroy(net);
    }
}

/* Indices from outside: equal ones, and ones that are out of range. */
static void unpool_by_hand(void)
{
    const int dims[2] = { 2, 3 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    const cvn_node places = cvn_input_labels(net, dims, 2);
    const cvn_node y = cvn_maxunpool(net, x, places, 1, 5);
    const float in[6] = { 1, 2, 3, 4, 5, 6 };
    const float g[10] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    const float want[10] = { 0, 2, 0, 0, 3, 6, 0, 0, 4, 0 };
    const float want_dx[6] = { 2, 2, 5, 9, 6, 6 };
    int index[6] = { 1, 1, 4, 3, 0, 0 };
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, x, in, 1) == CVN_OK);
        CHECK(cvn_set_labels(net, places, index, 1) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        for (int i = 0; i < 10; i++) CHECK_NEAR(cvn_value(net, y)[i], want[i], 0);
        CHECK(cvn_backward_from(net, y, g) == CVN_OK);
        for (int i = 0; i < 6; i++) CHECK_NEAR(cvn_gradient(net, x)[i], want_dx[i], 0);
        for (int bad = -1; bad <= 5; bad += 6) {
            index[4] = bad;
            CHECK(cvn_set_labels(net, places, index, 1) == CVN_OK);
            CHECK(cvn_forward(net) == CVN_ERROR_ARGUMENT);
            CHECKF(strstr(cvn_error(net), "is not in 0..4") != NULL, "'%s'", cvn_error(net));
        }
        index[4] = 4;
        CHECK(cvn_set_labels(net, places, index, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
    }
    cvn_destroy(net);
}

/* A net with indices between its layers is still scored by its labels, whatever the ints beside
 * them. */
static void indices_are_no_labels(void)
{
    cvn_data data;
    cvn_metrics m;
    float images[4 * 4];
    int labels[4];
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 1, 2, 2);
    cvn_node places, y;
    d.kernel_h = 2;
    places = cvn_maxpool_indices(net, x, &d);           /* an int a sample, as the labels */
    y = cvn_maxunpool(net, cvn_maxpool_ex(net, x, &d), places, 2, 2);
    y = cvn_flatten(net, y);
    cvn_softmax_loss(net, y);
    memset(&data, 0, sizeof data);
    memset(&m, 0, sizeof m);
    for (int i = 0; i < 16; i++) images[i] = (float)(i * 7 % 16);
    for (int i = 0; i < 4; i++) {
        int best = 0;
        for (int k = 1; k < 4; k++) if (images[4 * i + k] > images[4 * i + best]) best = k;
        labels[i] = i == 2 ? (best + 1) % 4 : best;
    }
    data.count = 4;
    data.images = images;
    data.labels = labels;
    if (CHECKF(cvn_build(net, 3) == CVN_OK, "%s", cvn_error(net))) {
        CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "%s", cvn_error(net));
        CHECK_NEAR(m.accuracy, 0.75, 1e-12);
    }
    if (CHECKF(cvn_build_infer(net, 3) == CVN_OK, "%s", cvn_error(net))) {
        CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "%s", cvn_error(net));
        CHECK_NEAR(m.accuracy, 0.75, 1e-12);
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * roi align; c->a: spatial scale, c->axis: sampling ratio, c->kind: aligned
 * ============================================================================================== */

static cvn_node build_roi(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    cvn_roi_align_desc d = cvn_roi_align_defaults();
    d.spatial_scale = c->a;
    d.sampling_ratio = c->axis;
    d.aligned = c->kind;
    return cvn_roi_align(net, x[0], x[1], c->y.dim[3], c->y.dim[4],
                         c->a == 1.0f && !c->axis && !c->kind ? NULL : &d);
}

static double ref_bilinear(const double *x, int h, int w, double at_h, double at_w)
{
    int h0, w0, h1, w1;
    if (at_h < -1 || at_h > h || at_w < -1 || at_w > w) return 0;
    at_h = fmin(fmax(at_h, 0), h - 1);
    at_w = fmin(fmax(at_w, 0), w - 1);
    h0 = (int)at_h;
    w0 = (int)at_w;
    h1 = h0 + 1 < h ? h0 + 1 : h0;
    w1 = w0 + 1 < w ? w0 + 1 : w0;
    at_h -= h0;
    at_w -= w0;
    return (1 - at_h) * ((1 - at_w) * x[h0 * w + w0] + at_w * x[h0 * w + w1]) +
           at_h * ((1 - at_w) * x[h1 * w + w0] + at_w * x[h1 * w + w1]);
}

/* One cell: [first, first + bin) on both axes. */
static double ref_roi_cell(const layer_case *c, const double *x, double first_h, double first_w,
                           double bin_h, double bin_w)
{
    const int parts_h = c->axis ? c->axis : (int)ceil(bin_h);
    const int parts_w = c->axis ? c->axis : (int)ceil(bin_w);
    double sum = 0;
    for (int i = 0; i < parts_h; i++)
        for (int j = 0; j < parts_w; j++)
            sum += ref_bilinear(x, c->x[0].dim[2], c->x[0].dim[3],
                                first_h + (i + 0.5) * bin_h / parts_h,
                                first_w + (j + 0.5) * bin_w / parts_w);
    return parts_h > 0 && parts_w > 0 ? sum / (parts_h * parts_w) : 0;
}

static void ref_roi(const layer_case *c, int training, double *const *x, double *const *p,
                    double *y)
{
    const int plane = c->x[0].dim[2] * c->x[0].dim[3];
    const double half = c->kind ? 0.5 : 0;
    (void)training;
    (void)p;
    for (int box = 0; box < c->n * c->x[1].dim[1]; box++) {
        const double *const b = x[1] + 4 * box;
        const double x1 = b[0] * (double)c->a - half;
        const double y1 = b[1] * (double)c->a - half;
        double side_w = b[2] * (double)c->a - half - x1;
        double side_h = b[3] * (double)c->a - half - y1;
        if (!c->kind) side_w = fmax(side_w, 1);
        if (!c->kind) side_h = fmax(side_h, 1);
        side_h /= c->y.dim[3];
        side_w /= c->y.dim[4];
        for (int k = 0; k < c->x[0].dim[1]; k++) {
            const double *const image =
                x[0] + (box / c->x[1].dim[1] * c->x[0].dim[1] + k) * plane;
            for (int i = 0; i < c->y.dim[3]; i++)
                for (int j = 0; j < c->y.dim[4]; j++)
                    *y++ = ref_roi_cell(c, image, y1 + i * side_h, x1 + j * side_w, side_h,
                                        side_w);
        }
    }
}

static void check_roi(cvn_shape x, int boxes, int height, int width, float scale, int ratio,
                      int aligned)
{
    layer_case c;
    char text[64];
    start_case(&c, x, build_roi, ref_roi);
    c.inputs = 2;
    c.x[1] = ref_shape(3, x.dim[0], boxes, 4, 0);
    c.no_gradient[1] = 1;
    c.y = shape5(x.dim[0], boxes, x.dim[1], height, width);
    c.a = scale;
    c.axis = ratio;
    c.kind = aligned;
    c.big = ref_count(x) > 2000;
    snprintf(c.text, sizeof c.text, "roi %s, %d boxes to %d x %d, scale %g, ratio %d%s",
             shape_text(x, text), boxes, height, width, (double)scale, ratio,
             aligned ? ", aligned" : "");
    layer_check(&c);
}

static void roi_align(void)
{
    unsigned state = 3;
    check_roi(ref_shape(4, 2, 3, 5, 6), 3, 2, 3, 1, 0, 0);
    check_roi(ref_shape(4, 2, 3, 5, 6), 3, 2, 3, 4, 0, 1);
    check_roi(ref_shape(4, 1, 1, 1, 1), 2, 2, 2, 2, 0, 0);
    check_roi(ref_shape(4, 1, 2, 1, 7), 4, 1, 1, 5, 3, 0);
    check_roi(ref_shape(4, 3, 1, 4, 4), 1, 7, 7, 3, 0, 0);
    check_roi(ref_shape(4, 2, 8, 20, 21), 6, 4, 4, 12, 0, 0);
    for (int i = 0; i < RANDOM_CASES; i++)
        check_roi(ref_shape(4, 1 + ref_below(&state, 3), 1 + ref_below(&state, 3),
                            1 + ref_below(&state, 7), 1 + ref_below(&state, 7)),
                  1 + ref_below(&state, 4), 1 + ref_below(&state, 4), 1 + ref_below(&state, 4),
                  0.5f + (float)ref_below(&state, 7), ref_below(&state, 4), ref_below(&state, 2));
}

/* Boxes of every size: huge ones cost no more than the image, ones that are not finite say so. */
static void roi_strange_boxes(void)
{
    static const float edge[] = { 0, -1e30f, 1e30f, 3e9f, -3e9f, 1e-30f, NAN, HUGE_VALF };
    const int dims[2] = { 1, 4 };
    float image[12];
    unsigned state = 17;
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 1, 3, 4);
    const cvn_node boxes = cvn_input_tensor(net, dims, 2);
    const cvn_node y = cvn_roi_align(net, x, boxes, 2, 2, NULL);
    for (int i = 0; i < 12; i++) image[i] = 1;
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        for (int i = 0; i < 300; i++) {
            const float g[4] = { 1, 1, 1, 1 };
            float box[4];
            int fine = 1;
            for (int k = 0; k < 4; k++) {
                box[k] = edge[ref_below(&state, 8)];
                fine &= box[k] - box[k] == 0;
            }
            CHECK(cvn_set_input(net, x, image, 1) == CVN_OK);
            CHECK(cvn_set_input(net, boxes, box, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
            for (int k = 0; k < 4; k++) {
                const float v = cvn_value(net, y)[k];
                CHECKF(fine ? v >= 0 && v <= 1.0001f : v != v, "%g", (double)v);
            }
            CHECK(cvn_backward_from(net, y, g) == CVN_OK);
            for (int k = 0; k < 12; k++) {
                const float v = cvn_gradient(net, x)[k];
                CHECKF(v >= 0 && v <= 4.001f && (fine || v == 0), "%g", (double)v);
            }
        }
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * PyTorch's values
 * ============================================================================================== */

static cvn_node build_golden_pool(cvn_net *net, const char *name, cvn_node x)
{
    cvn_pool_desc d = cvn_pool_defaults();
    if (strcmp(name, "adaptive_avg") == 0) return cvn_adaptive_avgpool(net, x, 3, 4);
    if (strcmp(name, "adaptive_max") == 0) return cvn_adaptive_maxpool(net, x, 3, 4);
    if (strcmp(name, "adaptive_avg_keep") == 0) return cvn_adaptive_avgpool(net, x, 0, 2);
    if (strcmp(name, "adaptive_max_larger") == 0) return cvn_adaptive_maxpool(net, x, 5, 4);
    if (strcmp(name, "adaptive_avg_1d") == 0) return cvn_adaptive_avgpool(net, x, 1, 4);
    if (strcmp(name, "adaptive_max_1d") == 0) return cvn_adaptive_maxpool(net, x, 1, 3);
    if (strcmp(name, "global_max_1d") == 0) return cvn_global_maxpool(net, x);
    if (strcmp(name, "global_avg_1d") == 0) return cvn_global_avgpool(net, x);
    d.kernel_h = strcmp(name, "max_1d_ceil") == 0 ? 2 : strcmp(name, "avg_1d_exclude") ? 3 : 4;
    d.stride_h = d.kernel_h == 4 ? 3 : 2;
    d.pad_left = d.pad_right = d.kernel_h == 2 ? 0 : d.stride_h - 1;
    d.ceil_mode = d.kernel_h != 3;
    d.exclude_pad = d.kernel_h == 4;
    return name[0] == 'm' ? cvn_maxpool_ex(net, x, &d) : cvn_avgpool_ex(net, x, &d);
}

static cvn_node build_golden_unpool(cvn_net *net, const pool_golden *g, cvn_node x)
{
    const int line = g->x_rank == 3;
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_node places;
    d.kernel_h = strcmp(g->name, "unpool_pads") == 0 || strcmp(g->name, "unpool_overlap") == 0
                     ? 3 : 2;
    d.stride_h = strcmp(g->name, "unpool_overlap") == 0 ? 1 : d.kernel_h;
    if (strcmp(g->name, "unpool_pads") == 0)
        d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = 1;
    places = cvn_maxpool_indices(net, x, &d);
    cvn_keep(net, show_indices(net, places, line ? g->x_dim[2] : g->x_dim[2] * g->x_dim[3]));
    return cvn_maxunpool(net, cvn_maxpool_ex(net, x, &d), places, line ? 1 : g->y_dim[2],
                         g->y_dim[line ? 2 : 3]);
}

static cvn_node build_golden_roi(cvn_net *net, const pool_golden *g, cvn_node x, cvn_node boxes)
{
    cvn_roi_align_desc d = cvn_roi_align_defaults();
    d.aligned = strstr(g->name, "aligned") != NULL;
    if (strcmp(g->name, "roi_scale") == 0) d.spatial_scale = 0.5f;
    if (strcmp(g->name, "roi_scale_aligned") == 0) d.spatial_scale = 0.25f;
    if (strstr(g->name, "scale")) d.sampling_ratio = d.aligned ? 3 : 2;
    if (strcmp(g->name, "roi_turned_aligned") == 0) d.sampling_ratio = 2;
    return cvn_roi_align(net, x, boxes, g->y_dim[3], g->y_dim[4], &d);
}

static void check_floats(const char *what, const float *got, const float *want, int count)
{
    double worst = 0;
    int at = 0;
    for (int i = 0; got && i < count; i++) {
        const double e = fabs((double)got[i] - (double)want[i]);
        if (e <= worst) continue;
        worst = e < HUGE_VAL ? e : HUGE_VAL;
        at = i;
    }
    CHECKF(got && worst <= 2e-6, "%s[%d] is %.9g, PyTorch has %.9g", what, at,
           got ? (double)got[at] : 0.0, (double)want[at]);
}

static int product(const int *dims, int rank)
{
    int count = 1;
    for (int i = 0; i < rank; i++) count *= dims[i];
    return count;
}

static void check_golden(const pool_golden *g)
{
    const int per_sample[2] = { g->y_dim[1], 4 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, g->x_dim + 1, g->x_rank - 1);
    const cvn_node boxes = g->boxes ? cvn_input_tensor(net, per_sample, 2) : x;
    const cvn_node y = g->boxes     ? build_golden_roi(net, g, x, boxes)
                       : g->indices ? build_golden_unpool(net, g, x)
                                    : build_golden_pool(net, g->name, x);
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, g->x_dim[0]) == CVN_OK, "%s", cvn_error(net))) {
        const cvn_shape s = cvn_node_shape(net, y);
        CHECK(s.rank == g->y_rank && memcmp(s.dim, g->y_dim, sizeof(int) * (size_t)s.rank) == 0);
        if (g->boxes) CHECK(cvn_set_input(net, boxes, g->boxes, g->x_dim[0]) == CVN_OK);
        if (g->indices) fill_shown(net);
        CHECK(cvn_set_input(net, x, g->x, g->x_dim[0]) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        check_floats("y", cvn_value(net, y), g->y, product(g->y_dim, g->y_rank));
        if (g->indices) {
            const cvn_node shown = cvn_find(net, "shown");
            check_floats("indices", cvn_value(net, shown), g->indices,
                         ref_count(cvn_node_shape(net, shown)));
        }
        CHECKF(cvn_backward_from(net, y, g->g) == CVN_OK, "%s", cvn_error(net));
        check_floats("dx", cvn_gradient(net, x), g->dx, product(g->x_dim, g->x_rank));
    }
    cvn_destroy(net);
}

static void pytorch(void)
{
    for (size_t i = 0; i < sizeof pool_goldens / sizeof pool_goldens[0]; i++) {
        test_case("PyTorch's %s", pool_goldens[i].name);
        check_golden(&pool_goldens[i]);
    }
}

/* ================================================================================================
 * the first axis
 * ============================================================================================== */

enum { ONLY, REGROUP, DENSE, CONV };

static cvn_node build_batch_view(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const cvn_node y = cvn_flatten_batch(net, x[0]);
    if (c->kind == DENSE) return cvn_dense_ex(net, y, &c->dense);
    if (c->kind == CONV) return cvn_conv2d_ex(net, y, &c->conv);
    return c->kind == ONLY ? y : cvn_unflatten_batch(net, y, c->axis);
}

/* The convolution of all regions as samples of their own. */
static void ref_regions(const layer_case *c, int training, double *const *x, double *const *p,
                        double *y)
{
    layer_case flat = *c;
    if (c->kind == DENSE) ref_dense(c, training, x, p, y);
    if (c->kind == ONLY || c->kind == REGROUP) ref_copy(c, training, x, p, y);
    if (c->kind != CONV) return;
    flat.n = c->n * c->x[0].dim[1];
    flat.x[0] = ref_shape(4, flat.n, c->x[0].dim[2], c->x[0].dim[3], c->x[0].dim[4]);
    ref_conv2d(&flat, training, x, p, y);
}

static void check_batch_view(cvn_shape x, cvn_shape y, int kind, int count)
{
    layer_case c;
    char text[64];
    start_case(&c, x, build_batch_view, ref_regions);
    c.y = y;
    c.kind = kind;
    c.axis = count;
    c.dense.units = y.dim[1];
    c.conv.filters = y.dim[1];
    c.conv.kernel_h = c.conv.kernel_w = 3;
    c.conv.stride_h = c.conv.stride_w = c.conv.dilation_h = c.conv.dilation_w = 1;
    c.conv.groups = c.conv.pad_top = c.conv.pad_left = c.conv.pad_bottom = c.conv.pad_right = 1;
    snprintf(c.text, sizeof c.text, "batch view %d of %s", kind, shape_text(x, text));
    layer_check(&c);
}

static void batch_views(void)
{
    check_batch_view(ref_shape(4, 3, 2, 4, 5), ref_shape(3, 6, 4, 5, 0), ONLY, 0);
    check_batch_view(ref_shape(2, 3, 7, 0, 0), ref_shape(1, 21, 0, 0, 0), ONLY, 0);
    check_batch_view(ref_shape(3, 2, 1, 4, 0), ref_shape(2, 2, 4, 0, 0), ONLY, 0);
    check_batch_view(ref_shape(3, 2, 6, 4, 0), ref_shape(3, 6, 2, 4, 0), REGROUP, 2);
    check_batch_view(ref_shape(3, 2, 6, 4, 0), ref_shape(3, 2, 6, 4, 0), REGROUP, 6);
    check_batch_view(ref_shape(3, 2, 6, 4, 0), ref_shape(3, 12, 1, 4, 0), REGROUP, 1);
    check_batch_view(ref_shape(3, 3, 4, 5, 0), ref_shape(2, 12, 6, 0, 0), DENSE, 0);
    check_batch_view(shape5(2, 3, 2, 5, 4), ref_shape(4, 6, 4, 5, 4), CONV, 0);
    check_batch_view(shape5(3, 5, 1, 6, 6), ref_shape(4, 15, 2, 6, 6), CONV, 0);
}

enum { REGIONS = 3, SIDE = 6, CLASSES = 4, PIXELS = SIDE * SIDE, SAMPLES = 7 };

/* Classifies each of REGIONS small images of a sample; labels: how they get to the loss. regions 0:
 * the same net for the images alone. */
enum { OWN_LABELS, FLAT_LABELS, STEP_LABELS, TARGETS };

typedef struct region_net { cvn_net *net; cvn_node x, logits, labels; } region_net;

static region_net make_region_net(int regions, int labels)
{
    static const int frames[4] = { REGIONS, 1, SIDE, SIDE };
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    const cvn_node none = { 0 };
    region_net r;
    cvn_node y;
    r.net = cvn_create(NULL);
    r.labels = none;
    r.x = regions ? cvn_input_tensor(r.net, frames, 4) : cvn_input(r.net, 1, SIDE, SIDE);
    y = regions ? cvn_flatten_batch(r.net, r.x) : r.x;
    y = cvn_relu(r.net, cvn_batchnorm(r.net, cvn_conv2d(r.net, y, 5, 3, 1, 1)));
    y = cvn_maxpool(r.net, y, 2, 2);
    r.logits = y = cvn_dense(r.net, y, CLASSES);
    if (labels == FLAT_LABELS || labels == STEP_LABELS)
        r.labels = cvn_input_labels(r.net, frames, 1);
    d.labels = labels == FLAT_LABELS ? cvn_flatten_batch(r.net, r.labels) : r.labels;
    if (labels == STEP_LABELS) r.logits = y = cvn_unflatten_batch(r.net, y, REGIONS);
    if (labels == TARGETS) cvn_mse_loss(r.net, y, cvn_target(r.net, y));
    else cvn_softmax_loss_ex(r.net, y, &d);
    cvn_output(r.net, r.logits);
    return r;
}

static float region_images[SAMPLES * REGIONS * PIXELS];
static float region_targets[SAMPLES * REGIONS * CLASSES];
static int region_labels[SAMPLES * REGIONS];

static cvn_data region_data(int regions, int targets)
{
    cvn_data data;
    unsigned state = 8;
    memset(&data, 0, sizeof data);
    for (int i = 0; i < SAMPLES * REGIONS; i++) region_labels[i] = ref_below(&state, CLASSES);
    ref_fill(region_images, SAMPLES * REGIONS * PIXELS, -1, 1, 4);
    ref_fill(region_targets, SAMPLES * REGIONS * CLASSES, -1, 1, 5);
    data.count = regions ? SAMPLES : SAMPLES * REGIONS;
    data.images = region_images;
    data.labels = targets ? NULL : region_labels;
    data.targets = targets ? region_targets : NULL;
    return data;
}

/* One step with `n` samples; both nets then hold the same bits. */
static void check_same_training(region_net *a, region_net *b, int labels, int n)
{
    float loss[2] = { 0, 0 };
    size_t count[2];
    const float *w[2];
    for (int i = 0; i < 2; i++) {
        cvn_net *net = i ? b->net : a->net;
        const int samples = i ? n * REGIONS : n;
        const cvn_result r =
            labels == TARGETS
                ? cvn_train_batch_target(net, region_images, region_targets, samples, &loss[i])
                : cvn_train_batch(net, region_images, region_labels, samples, &loss[i]);
        CHECKF(r == CVN_OK, "%s", cvn_error(net));
        w[i] = cvn_flat_parameters(net, &count[i]);
    }
    CHECK(loss[0] == loss[1] && loss[0] - loss[0] == 0);
    CHECK(count[0] == count[1] && memcmp(w[0], w[1], count[0] * sizeof(float)) == 0);
}

/* Metrics, predictions and classes of whole sets: the same as of the images one by one. */
static void check_same_scores(region_net *a, region_net *b, int targets)
{
    static float out[2][SAMPLES * REGIONS * CLASSES];
    static float sure[2][SAMPLES * REGIONS];
    static int classes[2][SAMPLES * REGIONS];
    cvn_metrics m[2];
    int right = 0;
    memset(m, 0, sizeof m);
    for (int i = 0; i < 2; i++) {
        cvn_net *net = i ? b->net : a->net;
        const cvn_data data = region_data(!i, targets);
        CHECKF(cvn_evaluate(net, &data, &m[i]) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_predict(net, region_images, data.count, out[i]) == CVN_OK);
        CHECK(cvn_classify(net, region_images, data.count, classes[i], sure[i]) == CVN_OK);
    }
    CHECK(memcmp(out[0], out[1], sizeof out[0]) == 0);
    CHECK(memcmp(classes[0], classes[1], sizeof classes[0]) == 0);
    CHECK(memcmp(sure[0], sure[1], sizeof sure[0]) == 0);
    if (m[1].loss - m[1].loss == 0) CHECK_NEAR(m[0].loss, m[1].loss, 1e-6);
    if (targets) return;
    for (int i = 0; i < SAMPLES * REGIONS; i++) right += classes[0][i] == region_labels[i];
    CHECK_NEAR(m[0].accuracy, right / (double)(SAMPLES * REGIONS), 1e-12);
    CHECK_NEAR(m[1].accuracy, m[0].accuracy, 1e-12);
}

static void regions_train(void)
{
    for (int labels = OWN_LABELS; labels <= TARGETS; labels++) {
        region_net a = make_region_net(1, labels);
        region_net b = make_region_net(0, labels == TARGETS ? TARGETS : OWN_LABELS);
        region_data(1, 0);
        test_case("regions, labels %d", labels);
        if (CHECKF(cvn_build(a.net, 4) == CVN_OK, "%s", cvn_error(a.net)) &&
            CHECKF(cvn_build(b.net, 4 * REGIONS) == CVN_OK, "%s", cvn_error(b.net))) {
            cvn_net *shared;
            for (int n = 4; n > 0; n--) check_same_training(&a, &b, labels, n);
            check_same_scores(&a, &b, labels == TARGETS);
            shared = cvn_share(a.net);
            if (CHECKF(cvn_build_infer(shared, 3) == CVN_OK, "%s", cvn_error(shared))) {
                region_net s = a;
                region_net alone = b;
                s.net = shared;
                alone.net = cvn_share(b.net);
                CHECK(cvn_build_infer(alone.net, 3 * REGIONS) == CVN_OK);
                check_same_scores(&s, &alone, labels == TARGETS);
                cvn_destroy(alone.net);
            }
            cvn_destroy(shared);
            CHECKF(cvn_build_infer(a.net, 2) == CVN_OK, "%s", cvn_error(a.net));
            CHECKF(cvn_build_infer(b.net, 2 * REGIONS) == CVN_OK, "%s", cvn_error(b.net));
            check_same_scores(&a, &b, labels == TARGETS);
        }
        cvn_destroy(a.net);
        cvn_destroy(b.net);
    }
}

/* Whole epochs: all rows have their labels and targets; the loss falls. */
static void regions_fit(void)
{
    for (int labels = OWN_LABELS; labels <= TARGETS; labels++) {
        region_net a = make_region_net(1, labels);
        const cvn_data data = region_data(1, labels == TARGETS);
        const cvn_optimizer adam = cvn_adam(1e-2f);
        cvn_fit_options o = cvn_fit_defaults();
        cvn_metrics before, after;
        memset(&before, 0, sizeof before);
        memset(&after, 0, sizeof after);
        o.epochs = 60;
        o.batch = 4;
        test_case("fit of regions, labels %d", labels);
        CHECK(cvn_set_optimizer(a.net, &adam) == CVN_OK);
        if (CHECKF(cvn_build(a.net, 4) == CVN_OK, "%s", cvn_error(a.net))) {
            CHECK(cvn_evaluate(a.net, &data, &before) == CVN_OK);
            CHECKF(cvn_fit(a.net, &data, NULL, &o) >= 0, "%s", cvn_error(a.net));
            CHECK(cvn_evaluate(a.net, &data, &after) == CVN_OK);
            CHECKF(after.loss < 0.5 * before.loss, "%g after %g", after.loss, before.loss);
            if (labels != TARGETS) CHECKF(after.accuracy > 0.9, "%g", after.accuracy);
        }
        cvn_destroy(a.net);
    }
}

/* Batches of each size in turn, shapes, refused inputs, another image size. */
static void batch_view_shapes(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 3, 4, 5);
    const cvn_node rows = cvn_flatten_batch(net, x);
    const cvn_node means = cvn_reduce_mean(net, rows, NULL, 0);
    const cvn_node y = cvn_unflatten_batch(net, cvn_flatten(net, means), 3);
    static float in[5 * 3 * 6 * 8];
    float out[15];
    char text[2000];
    ref_fill(in, 5 * 3 * 6 * 8, -1, 1, 2);
    CHECK(cvn_node_shape(net, rows).dim[0] == 3 && cvn_node_shape(net, y).dim[0] == 1);
    cvn_keep(net, rows);
    cvn_output(net, y);
    if (CHECKF(cvn_build(net, 4) == CVN_OK, "%s", cvn_error(net))) {
        for (int size = 0; size < 2; size++) {
            const int pixels = size ? 48 : 20;
            if (size) CHECKF(cvn_resize(net, 6, 8) == CVN_OK, "%s", cvn_error(net));
            for (int n = 5; n > 0; n -= 2) {
                CHECKF(cvn_predict(net, in, n, out) == CVN_OK, "%s", cvn_error(net));
                CHECK(cvn_node_shape(net, rows).dim[0] == 3 * (n > 4 ? 1 : n));
                for (int i = 0; i < 3 * n; i++) {
                    double sum = 0;
                    for (int k = 0; k < pixels; k++) sum += (double)in[i * pixels + k];
                    CHECK_NEAR(out[i], sum / pixels, 1e-6);
                }
            }
        }
        CHECK(cvn_memory_needed(net, 4, CVN_TRAIN) > 0);
        CHECK(cvn_summary(net, text, sizeof text) > 0);
        CHECK(strstr(text, "flatten_batch") && strstr(text, "576"));    /* 3*6*8 floats */
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * refusals
 * ============================================================================================== */

enum { REFUSALS = 24 };

static cvn_node refused(cvn_net *net, int i, cvn_node image, cvn_node line, cvn_node labels)
{
    const int boxes_dims[2] = { 2, 4 };
    const cvn_node boxes = cvn_input_tensor(net, boxes_dims, 2);
    const cvn_node rows = cvn_flatten_batch(net, image);
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_roi_align_desc r = cvn_roi_align_defaults();
    d.kernel_h = 2;
    switch (i) {
    case 0: return cvn_adaptive_avgpool(net, image, -1, 2);
    case 1: return cvn_adaptive_maxpool(net, line, 2, 2);
    case 2: return cvn_maxpool(net, line, 10, 1);
    case 3: d.pad_top = 1; return cvn_maxpool_ex(net, line, &d);
    case 4: return cvn_global_avgpool(net, cvn_flatten(net, image));
    case 5: return cvn_maxpool_indices(net, image, NULL);
    case 6: return cvn_relu(net, cvn_maxpool_indices(net, image, &d));
    case 7: cvn_want_grad(net, cvn_maxpool_indices(net, image, &d)); break;
    case 8: cvn_output(net, cvn_maxpool_indices(net, image, &d)); break;
    case 9: return cvn_maxunpool(net, image, image, 8, 8);
    case 10: return cvn_maxunpool(net, image, cvn_maxpool_indices(net, image, &d), 8, 8);
    case 11: return cvn_maxunpool(net, labels, labels, 8, 8);
    case 12:
        return cvn_maxunpool(net, cvn_maxpool(net, image, 2, 2),
                             cvn_maxpool_indices(net, image, &d), 0, 6);
    case 13: return cvn_roi_align(net, image, boxes, 0, 2, NULL);
    case 14: return cvn_roi_align(net, image, line, 2, 2, NULL);
    case 15: return cvn_roi_align(net, line, boxes, 2, 2, NULL);
    case 16: r.sampling_ratio = -1; return cvn_roi_align(net, image, boxes, 2, 2, &r);
    case 17: r.spatial_scale = NAN; return cvn_roi_align(net, image, boxes, 2, 2, &r);
    case 18: return cvn_roi_align(net, image, labels, 2, 2, &r);
    case 19: return cvn_unflatten_batch(net, rows, 3);
    case 20: return cvn_unflatten_batch(net, image, 2);
    case 21: return cvn_unflatten_batch(net, rows, 0);
    case 22: return cvn_flatten_batch(net, cvn_flatten_batch(net, cvn_flatten(net, image)));
    default: return cvn_add(net, rows, cvn_global_avgpool(net, line));
    }
    CHECK(cvn_error(net)[0] != 0);
    return cvn_find(net, "");
}

static void refusals(void)
{
    for (int i = 0; i < REFUSALS; i++) {
        static const int dims[3] = { 4, 6, 6 };
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_input_tensor(net, dims, 3);
        const cvn_node line = cvn_input_tensor(net, dims, 2);
        const cvn_node labels = cvn_input_labels(net, dims, 3);
        test_case("refusal %d", i);
        CHECK(refused(net, i, image, line, labels).id == 0);
        CHECKF(strlen(cvn_error(net)) > 15, "'%s'", cvn_error(net));
        CHECK(cvn_build(net, 1) < 0);
        cvn_destroy(net);
    }
}

/* A pool of two by two that does the backward pass of the activation in front of it: the gradients
 * are those of a net whose activation stays for itself, because its value is kept. */
static void gates(void)
{
    enum { BATCH = 3, SIZE = 22, COUNT = BATCH * 2 * SIZE * SIZE };
    static float in[COUNT];
    static const int labels[BATCH] = { 1, 0, 2 };
    static const char *const isas[3] = { "c", "avx2", "avx512" };
    ref_fill(in, COUNT, -1, 1, 5);
    for (int i = 0; i < 5 * 3 * 2; i++) {
        const int wide = i % 2;
        cvn_net *nets[2] = { NULL, NULL };
        const float *weights[2] = { NULL, NULL };
        size_t count = 0;
        cvn_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.isa = isas[i / 2 % 3];
        test_case("activation %d before a pool, %s, %d", i / 6, desc.isa, wide);
        for (int k = 0; k < 2; k++) {
            const cvn_optimizer sgd = cvn_sgd(1, 0);
            cvn_net *net = nets[k] = cvn_create(&desc);
            cvn_node x = cvn_input(net, 2, SIZE, SIZE);
            cvn_set_optimizer(net, &sgd);
            x = cvn_conv2d(net, x, 5, 3, 1, wide);
            x = i / 6 == 0 ? cvn_relu(net, x) : i / 6 == 1 ? cvn_leaky_relu(net, x, 0.3f)
                : i / 6 == 2 ? cvn_tanh(net, x) : i / 6 == 3 ? cvn_sigmoid(net, x)
                                                             : cvn_relu(net, x);
            if (k) cvn_keep(net, x);
            x = i / 6 < 2 ? cvn_maxpool(net, x, 2, 2) : cvn_avgpool(net, x, 2, 2);
            cvn_softmax_loss(net, cvn_dense(net, x, 3));
            cvn_build(net, BATCH);
            cvn_train_batch(net, in, labels, BATCH, NULL);
            weights[k] = cvn_flat_parameters(net, &count);
        }
        if (nets[0] && !cvn_error(nets[0])[0])
            for (size_t n = 0; n < count; n++) CHECK_NEAR(weights[0][n], weights[1][n], 1e-6);
        for (int k = 0; k < 2; k++) cvn_destroy(nets[k]);
    }
}

int main(void)
{
    RUN(gates);
    RUN(line_pools);
    RUN(adaptive_pools);
    RUN(windows);
    RUN(norms_by_hand);
    RUN(unpooling);
    RUN(indices_values);
    RUN(unpool_by_hand);
    RUN(indices_are_no_labels);
    RUN(roi_align);
    RUN(roi_strange_boxes);
    RUN(pytorch);
    RUN(batch_views);
    RUN(regions_train);
    RUN(regions_fit);
    RUN(batch_view_shapes);
    RUN(refusals);
    return test_done();
}
