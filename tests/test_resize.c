/* test_resize.c - upsampling, pixel shuffle, pad and crop: against the double reference, PyTorch's
 * values, and what else their documentation promises. TEST_QUICK: fewer cases. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/resize.h"

#ifdef TEST_QUICK
    #define RANDOM_CASES 15
#else
    #define RANDOM_CASES 60
#endif

/* c->kind; c->axis: factor, or 0: to conv.kernel_h x kernel_w; conv.pad_*, pad_mode; conv.groups:
 * align_corners */
enum { NEAREST, BILINEAR, SHUFFLE, PAD, CROP, KINDS };

static const char *const names[] = { "nearest", "bilinear", "shuffle", "pad", "crop" };

static cvn_node build(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const cvn_conv2d_desc *const d = &c->conv;
    switch (c->kind) {
    case NEAREST:
        return c->axis ? cvn_upsample_nearest(net, x[0], c->axis)
                       : cvn_upsample_nearest_to(net, x[0], d->kernel_h, d->kernel_w);
    case BILINEAR:
        return c->axis ? cvn_upsample_bilinear(net, x[0], c->axis, d->groups)
                       : cvn_upsample_bilinear_to(net, x[0], d->kernel_h, d->kernel_w, d->groups);
    case SHUFFLE: return cvn_pixel_shuffle(net, x[0], c->axis);
    case PAD:
        return cvn_pad(net, x[0], d->pad_top, d->pad_left, d->pad_bottom, d->pad_right,
                       d->pad_mode);
    default: return cvn_crop(net, x[0], d->pad_top, d->pad_left, d->kernel_h, d->kernel_w);
    }
}

/* Bilinear interpolation as a sum over all pixels with the weights of a tent. */
static double ref_tent(int o, int in, int out, int corners, int i)
{
    double at;
    if (corners) at = out > 1 ? (double)o * (in - 1) / (out - 1) : 0;
    else at = (o + 0.5) * in / out - 0.5;
    if (at < 0) at = 0;
    if (at > in - 1) at = in - 1;
    return fabs(at - i) < 1 ? 1 - fabs(at - i) : 0;
}

static double ref_bilinear(const layer_case *c, const double *plane, int h, int w)
{
    const int H = c->x[0].dim[2];
    const int W = c->x[0].dim[3];
    double sum = 0;
    for (int i = 0; i < H; i++)
        for (int j = 0; j < W; j++)
            sum += plane[i * W + j] * ref_tent(h, H, c->y.dim[2], c->conv.groups, i) *
                   ref_tent(w, W, c->y.dim[3], c->conv.groups, j);
    return sum;
}

static void ref_resize(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const cvn_conv2d_desc *const d = &c->conv;
    const int H = c->x[0].dim[2];
    const int W = c->x[0].dim[3];
    const int C = c->y.dim[1];
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        const int w = i % c->y.dim[3];
        const int h = i / c->y.dim[3] % c->y.dim[2];
        const int channel = i / c->y.dim[3] / c->y.dim[2];      /* of the batch */
        const double *plane = x[0] + channel * H * W;
        int r = h;
        int s = w;
        if (c->kind == BILINEAR) {
            y[i] = ref_bilinear(c, plane, h, w);
            continue;
        }
        if (c->kind == NEAREST) {
            r = h * H / c->y.dim[2];
            s = w * W / c->y.dim[3];
        } else if (c->kind == SHUFFLE) {
            const int f = c->axis;
            const int from = (channel / C * C + channel % C) * f * f + h % f * f + w % f;
            plane = x[0] + from * H * W;
            r = h / f;
            s = w / f;
        } else if (c->kind == PAD) {
            r = ref_pad(h - d->pad_top, H, d->pad_mode);
            s = ref_pad(w - d->pad_left, W, d->pad_mode);
        } else {
            r += d->pad_top;
            s += d->pad_left;
        }
        y[i] = r < 0 || s < 0 ? 0 : plane[r * W + s];
    }
}

static void start_case(layer_case *c, cvn_shape x, int kind)
{
    memset(c, 0, sizeof *c);
    c->n = x.dim[0];
    c->inputs = 1;
    c->x[0] = c->y = x;
    c->build = build;
    c->forward = ref_resize;
    c->kind = kind;
}

static void check_case(layer_case *c)
{
    const cvn_conv2d_desc *const d = &c->conv;
    const int *const s = c->x[0].dim;
    if (c->kind <= BILINEAR) {
        c->y.dim[2] = c->axis ? s[2] * c->axis : d->kernel_h;
        c->y.dim[3] = c->axis ? s[3] * c->axis : d->kernel_w;
    } else if (c->kind == SHUFFLE) {
        c->y = ref_shape(4, s[0], s[1] / (c->axis * c->axis), s[2] * c->axis, s[3] * c->axis);
    } else if (c->kind == PAD) {
        c->y.dim[2] = s[2] + d->pad_top + d->pad_bottom;
        c->y.dim[3] = s[3] + d->pad_left + d->pad_right;
    } else {
        c->y.dim[2] = d->kernel_h;
        c->y.dim[3] = d->kernel_w;
    }
    snprintf(c->text, sizeof c->text,
             "%s [%d, %d, %d, %d] to %d x %d, factor %d, pads %d %d %d %d, mode %d, corners %d",
             names[c->kind], s[0], s[1], s[2], s[3], c->y.dim[2], c->y.dim[3], c->axis, d->pad_top,
             d->pad_left, d->pad_bottom, d->pad_right, (int)d->pad_mode, d->groups);
    layer_check(c);
}

static void factors(void)
{
    for (int kind = NEAREST; kind <= BILINEAR; kind++)
        for (int factor = 1; factor <= 4; factor++)
            for (int corners = 0; corners <= kind; corners++) {
                layer_case c;
                start_case(&c, ref_shape(4, 2, 3, 1 + factor, 4), kind);
                c.axis = factor;
                c.conv.groups = corners;
                check_case(&c);
            }
}

static void sizes(void)
{
    static const int shapes[][4] = { /* from, to */
                                     { 3, 4, 7, 5 }, { 7, 5, 3, 2 }, { 1, 1, 3, 4 }, { 5, 6, 1, 1 },
                                     { 4, 4, 4, 4 }, { 2, 9, 9, 2 }, { 1, 6, 2, 11 }
    };
    for (int kind = NEAREST; kind <= BILINEAR; kind++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            for (int corners = 0; corners <= kind; corners++) {
                layer_case c;
                start_case(&c, ref_shape(4, 2, 2, shapes[i][0], shapes[i][1]), kind);
                c.conv.kernel_h = shapes[i][2];
                c.conv.kernel_w = shapes[i][3];
                c.conv.groups = corners;
                check_case(&c);
            }
}

static void shuffle(void)
{
    for (int factor = 1; factor <= 4; factor++) {
        layer_case c;
        start_case(&c, ref_shape(4, 1 + factor % 3, factor * factor * (1 + factor % 2), 3, factor),
                   SHUFFLE);
        c.axis = factor;
        check_case(&c);
    }
}

static void random_cases(void)
{
    unsigned state = 17;
    for (int i = 0; i < RANDOM_CASES; i++) {
        const int kind = PAD + i % 2;
        const int H = 1 + ref_below(&state, 8);
        const int W = 1 + ref_below(&state, 8);
        layer_case c;
        cvn_conv2d_desc *const d = &c.conv;
        start_case(&c, ref_shape(4, 1 + ref_below(&state, 3), 1 + ref_below(&state, 4), H, W),
                   kind);
        if (kind == PAD) {
            d->pad_mode = (cvn_pad_mode)ref_below(&state, 3);
            d->pad_top = ref_below(&state, d->pad_mode == CVN_PAD_REFLECT ? H : 5);
            d->pad_bottom = ref_below(&state, d->pad_mode == CVN_PAD_REFLECT ? H : 5);
            d->pad_left = ref_below(&state, d->pad_mode == CVN_PAD_REFLECT ? W : 5);
            d->pad_right = ref_below(&state, d->pad_mode == CVN_PAD_REFLECT ? W : 5);
        } else {
            d->pad_top = ref_below(&state, H);
            d->pad_left = ref_below(&state, W);
            d->kernel_h = 1 + ref_below(&state, H - d->pad_top);
            d->kernel_w = 1 + ref_below(&state, W - d->pad_left);
        }
        check_case(&c);
    }
}

/* Enough work for several threads. */
static void large(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        layer_case c;
        cvn_conv2d_desc *const d = &c.conv;
        start_case(&c, ref_shape(4, 3, 8, kind == BILINEAR ? 12 : 40, kind == BILINEAR ? 13 : 41),
                   kind);
        c.big = 1;
        c.axis = kind <= SHUFFLE ? 2 : 0;
        d->pad_top = d->pad_left = d->pad_bottom = d->pad_right = kind == CROP ? 3 : 5;
        d->pad_mode = CVN_PAD_REFLECT;
        d->kernel_h = d->kernel_w = 36;
        check_case(&c);
    }
}

/* cvn_resize: layers with a factor or pads follow, a crop that no longer fits is refused. */
static void other_image_size(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 1, 6, 8);
    const cvn_node big = cvn_upsample_bilinear(net, x, 2, 0);
    const cvn_node padded = cvn_pad(net, big, 1, 2, 3, 4, CVN_PAD_ZERO);
    const cvn_node y = cvn_crop(net, padded, 2, 2, 10, 10);
    float in[40];
    for (int i = 0; i < 40; i++) in[i] = 3;
    cvn_output(net, y);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_resize(net, 4, 10) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_node_shape(net, padded).dim[2] == 12 && cvn_node_shape(net, padded).dim[3] == 26);
    CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
    /* of 12 rows 1 to 8 are image; columns from 2 on */
    for (int i = 0; i < 100; i++) CHECK_NEAR(cvn_value(net, y)[i], i < 70 ? 3 : 0, 1e-6);
    CHECK(cvn_resize(net, 2, 10) == CVN_ERROR_SHAPE);
    CHECK(cvn_node_shape(net, padded).dim[2] == 12);
    cvn_destroy(net);
}

/* ================================================================================================
 * PyTorch's values, refusals
 * ============================================================================================== */

static cvn_node build_golden(cvn_net *net, const char *name, cvn_node x)
{
    const int corners = strstr(name, "corners") != NULL;
    const cvn_node none = { 0 };
    if (strcmp(name, "nearest_2") == 0) return cvn_upsample_nearest(net, x, 2);
    if (strcmp(name, "nearest_3") == 0) return cvn_upsample_nearest(net, x, 3);
    if (strcmp(name, "nearest_7x5") == 0) return cvn_upsample_nearest_to(net, x, 7, 5);
    if (strcmp(name, "nearest_down") == 0) return cvn_upsample_nearest_to(net, x, 3, 2);
    if (strncmp(name, "bilinear_2", 10) == 0) return cvn_upsample_bilinear(net, x, 2, corners);
    if (strncmp(name, "bilinear_7x5", 12) == 0)
        return cvn_upsample_bilinear_to(net, x, 7, 5, corners);
    if (strncmp(name, "bilinear_down", 13) == 0)
        return cvn_upsample_bilinear_to(net, x, 3, 1, corners);
    if (strcmp(name, "shuffle") == 0) return cvn_pixel_shuffle(net, x, 2);
    if (strcmp(name, "pad_zero") == 0) return cvn_pad(net, x, 1, 2, 3, 0, CVN_PAD_ZERO);
    if (strcmp(name, "pad_reflect") == 0) return cvn_pad(net, x, 1, 2, 2, 3, CVN_PAD_REFLECT);
    if (strcmp(name, "pad_replicate") == 0) return cvn_pad(net, x, 1, 2, 4, 5, CVN_PAD_REPLICATE);
    if (strcmp(name, "crop") == 0) return cvn_crop(net, x, 1, 2, 3, 2);
    return none;
}

static void check_floats(const char *what, const float *got, const float *want, const int *dim)
{
    const int count = dim[0] * dim[1] * dim[2] * dim[3];
    if (!CHECKF(got != NULL, "%s cannot be read", what)) return;
    for (int i = 0; i < count; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= 2e-6 * (1 + fabs((double)want[i])))) {
            CHECKF(0, "%s[%d] is %.9g, PyTorch has %.9g", what, i, (double)got[i],
                   (double)want[i]);
            return;
        }
}

static void pytorch(void)
{
    for (size_t i = 0; i < sizeof resize_goldens / sizeof resize_goldens[0]; i++) {
        const resize_golden *const g = &resize_goldens[i];
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input(net, g->x_dim[1], g->x_dim[2], g->x_dim[3]);
        const cvn_node y = build_golden(net, g->name, x);
        test_case("PyTorch's %s", g->name);
        cvn_want_grad(net, x);
        cvn_want_grad(net, y);
        if (CHECKF(cvn_build(net, g->x_dim[0]) == CVN_OK, "%s", cvn_error(net))) {
            CHECK(memcmp(cvn_node_shape(net, y).dim, g->y_dim, sizeof g->y_dim) == 0);
            CHECK(cvn_set_input(net, x, g->x, g->x_dim[0]) == CVN_OK);
            CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
            check_floats("y", cvn_value(net, y), g->y, g->y_dim);
            CHECKF(cvn_backward_from(net, y, g->g) == CVN_OK, "%s", cvn_error(net));
            check_floats("dx", cvn_gradient(net, x), g->dx, g->x_dim);
        }
        cvn_destroy(net);
    }
}

enum { REFUSALS = 14 };

static cvn_node refused(cvn_net *net, int i, cvn_node image, cvn_node vector)
{
    switch (i) {
    case 0: return cvn_upsample_nearest(net, image, 0);
    case 1: return cvn_upsample_nearest(net, vector, 2);
    case 2: return cvn_upsample_nearest_to(net, image, 0, 3);
    case 3: return cvn_upsample_bilinear(net, image, -2, 0);
    case 4: return cvn_upsample_bilinear_to(net, image, 3, -1, 1);
    case 5: return cvn_pixel_shuffle(net, image, 3);
    case 6: return cvn_pixel_shuffle(net, image, 0);
    case 7: return cvn_pad(net, image, 1, -1, 0, 0, CVN_PAD_ZERO);
    case 8: return cvn_pad(net, image, 6, 0, 0, 0, CVN_PAD_REFLECT);
    case 9: return cvn_crop(net, image, 3, 0, 4, 2);
    case 10: return cvn_crop(net, image, -1, 0, 4, 2);
    case 11: return cvn_crop(net, image, 0, 0, 0, 2);
    case 12: return cvn_pixel_shuffle(net, image, 65536);
    default: return cvn_upsample_nearest(net, image, 2000000000);
    }
}

static void refusals(void)
{
    for (int i = 0; i < REFUSALS; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_input(net, 4, 6, 6);
        const cvn_node vector = cvn_input_vector(net, 5);
        test_case("refusal %d", i);
        CHECK(refused(net, i, image, vector).id == 0);
        CHECKF(strlen(cvn_error(net)) > 15, "'%s'", cvn_error(net));
        CHECK(cvn_build(net, 1) < 0);
        cvn_destroy(net);
    }
}

int main(void)
{
    RUN(factors);
    RUN(sizes);
    RUN(shuffle);
    RUN(random_cases);
    RUN(large);
    RUN(other_image_size);
    RUN(pytorch);
    RUN(refusals);
    return test_done();
}
