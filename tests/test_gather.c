/* test_gather.c - slices with steps, tiles, pads, lists, gather and scatter, interpolation,
 * grid_sample, one-hot and non-maximum suppression: against naive double references, differences,
 * PyTorch's values. TEST_QUICK: fewer cases. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/gather.h"
#include <limits.h>

#ifdef TEST_QUICK
    #define RANDOM_CASES 1
#else
    #define RANDOM_CASES 3
#endif

enum { STEP, TILE, PAD, LIST, NEAREST, KINDS };
enum { TAKE, GATHER, GATHER_ND, REVERSE, SCATTER, SCATTER_ND };

/* What a case needs beyond layer_case; set before its check. */
static struct {
    int axis, begin, end, step, time, shared;
    int values[12];                 /* repeats, pads, indices, sizes */
    int count;
    float scales[3], crop[6];
    cvn_pad_mode mode;
    cvn_scatter_reduce reduce;
    cvn_interpolate_desc d;
    int by_scales;
} now;

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

static void unravel(cvn_shape s, int at, int *index)
{
    for (int i = s.rank - 1; i >= 0; i--) {
        index[i] = at % s.dim[i];
        at /= s.dim[i];
    }
}

static int ravel(cvn_shape s, const int *index)
{
    int at = 0;
    for (int i = 0; i < s.rank; i++) at = at * s.dim[i] + index[i];
    return at;
}

/* ================================================================================================
 * elements chosen axis by axis
 * ============================================================================================== */

static cvn_node build_select(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    const int rank = c->x[0].rank;
    switch (c->kind) {
    case STEP: return cvn_slice_step(net, x[0], now.axis, now.begin, now.end, now.step);
    case TILE: return cvn_tile(net, x[0], now.values, rank - 1);
    case PAD: return cvn_pad_axes(net, x[0], now.values, rank - 1, now.mode, 0.5f);
    default: return cvn_index_select(net, x[0], now.axis, now.values, now.count);
    }
}

/* One walk along the axis: where element o of the slice lies. */
static int ref_step(int o, int n)
{
    int at = now.begin < 0 ? now.begin + n : now.begin;
    if (now.step > 0 && at < 0) at = 0;
    if (now.step < 0 && at >= n) at = n - 1;
    return at + o * now.step;
}

/* A walk from the first element kept, turned round at the ends. */
static int ref_border(int o, int n, int before, int behind)
{
    const int low = before < 0 ? -before : 0;
    const int high = n - 1 - (behind < 0 ? -behind : 0);
    int at = low;
    int step = 1;
    o -= before > 0 ? before : 0;
    if (o < 0) step = -1;
    for (int left = o < 0 ? -o : o; left > 0; left--) {
        at += step;
        if (at >= low && at <= high) continue;
        if (now.mode == CVN_PAD_ZERO) return -1;
        if (now.mode == CVN_PAD_REPLICATE) return at < low ? low : high;
        if (now.mode == CVN_PAD_CIRCULAR) at = at < low ? high : low;
        else {
            step = -step;
            at += 2 * step;
            if (low == high) at = low;
        }
    }
    return at;
}

static void ref_select(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    int index[CVN_MAX_RANK];
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        int outside = 0;
        unravel(c->y, i, index);
        for (int k = 1; k < c->y.rank; k++) {
            const int n = c->x[0].dim[k];
            if (c->kind == STEP && k == now.axis) index[k] = ref_step(index[k], n);
            if (c->kind == TILE) index[k] %= n;
            if (c->kind == PAD)
                index[k] = ref_border(index[k], n, now.values[2 * k - 2], now.values[2 * k - 1]);
            if (c->kind == LIST && k == now.axis) index[k] = (now.values[index[k]] + n) % n;
            outside |= index[k] < 0;
        }
        y[i] = outside ? 0.5 : x[0][ravel(c->x[0], index)];
    }
}

static void slices(void)
{
    static const struct { int axis, begin, end, step, size; } cases[] = {
        { 1, 0, 3, 1, 3 }, { 1, -1, INT_MIN, -1, 5 }, { 2, 1, INT_MAX, 2, 3 }, { 3, -2, -9, -3, 2 },
        { 3, 100, 0, -2, 3 }, { 2, -100, -1, 3, 2 }, { 1, 4, 5, 7, 1 }, { 3, 0, 7, 1, 7 }
    };
    const cvn_shape x = ref_shape(4, 2, 5, 6, 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        layer_case c;
        start_case(&c, x, build_select, ref_select);
        now.axis = cases[i].axis;
        now.begin = cases[i].begin;
        now.end = cases[i].end;
        now.step = cases[i].step;
        c.kind = STEP;
        c.y.dim[now.axis] = cases[i].size;
        snprintf(c.text, sizeof c.text, "axis %d [%d:%d:%d]", now.axis, now.begin, now.end,
                 now.step);
        layer_check(&c);
    }
}

static void tiles(void)
{
    static const int repeats[][3] = {
        { 1, 1, 3 }, { 2, 1, 1 }, { 1, 3, 1 }, { 2, 3, 2 }, { 1, 1, 1 }
    };
    for (int i = 0; i < 5; i++) {
        layer_case c;
        start_case(&c, ref_shape(4, 2, 3, i == 2 ? 1 : 2, 4), build_select, ref_select);
        memcpy(now.values, repeats[i], sizeof repeats[i]);
        for (int k = 0; k < 3; k++) c.y.dim[k + 1] *= repeats[i][k];
        c.kind = TILE;
        snprintf(c.text, sizeof c.text, "tile %d %d %d", repeats[i][0], repeats[i][1],
                 repeats[i][2]);
        layer_check(&c);
    }
}

static void pads(void)
{
    static const int sides[][6] = { { 0, 0, 0, 0, 2, 1 },
                                    { 0, 0, 1, 2, 0, 0 },
                                    { 1, 0, -1, 2, 3, -2 },
                                    { 0, -1, 0, 0, 0, 0 },
                                    { 0, 0, 7, 5, 11, 9 } };
    for (int mode = CVN_PAD_ZERO; mode <= CVN_PAD_CIRCULAR; mode++)
        for (int i = 0; i < 5; i++) {
            layer_case c;
            start_case(&c, ref_shape(4, 2, 2, 3, 5), build_select, ref_select);
            memcpy(now.values, sides[i], sizeof sides[i]);
            now.mode = (cvn_pad_mode)mode;
            for (int k = 0; k < 3; k++) c.y.dim[k + 1] += sides[i][2 * k] + sides[i][2 * k + 1];
            c.kind = PAD;
            snprintf(c.text, sizeof c.text, "pad mode %d, row %d", mode, i);
            layer_check(&c);
        }
}

static void lists(void)
{
    static const int indices[9] = { 2, 3, 4, 0, -1, -1, 1, 2, -5 };
    for (int axis = 1; axis < 4; axis++) {
        layer_case c;
        start_case(&c, ref_shape(4, 3, axis == 1 ? 5 : 2, axis == 2 ? 5 : 3, axis == 3 ? 5 : 4),
                   build_select, ref_select);
        memcpy(now.values, indices, sizeof indices);
        now.axis = axis;
        now.count = axis == 2 ? 3 : 9;
        c.y.dim[axis] = now.count;
        c.kind = LIST;
        snprintf(c.text, sizeof c.text, "index_select of axis %d", axis);
        layer_check(&c);
    }
}

/* ================================================================================================
 * indices of the net; they are labels here, floats in the golden cases
 * ============================================================================================== */

static cvn_node build_gather(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    switch (c->kind) {
    case TAKE: return cvn_take(net, x[0], x[1], now.axis);
    case GATHER: return cvn_gather(net, x[0], x[1], now.axis);
    case GATHER_ND: return cvn_gather_nd(net, x[0], x[1], now.shared);
    case REVERSE: return cvn_reverse_sequence(net, x[0], x[1], now.axis, now.time);
    case SCATTER: return cvn_scatter(net, x[0], x[1], x[2], now.axis, now.reduce);
    default: return cvn_scatter_nd(net, x[0], x[1], x[2], now.shared, now.reduce);
    }
}

/* Where element `at` of the result (of the updates) lies in x. */
static int ref_place(const layer_case *c, cvn_shape y, int at, const double *indices)
{
    const cvn_shape x = c->x[0];
    const cvn_shape s = c->x[1];
    int index[2 * CVN_MAX_RANK];
    int place[CVN_MAX_RANK];
    int in_s[CVN_MAX_RANK];
    unravel(y, at, index);
    memcpy(place, index, sizeof place);
    if (c->kind == TAKE) {
        int extra = s.rank - 1;             /* axes that the indices bring */
        in_s[0] = index[0];
        for (int k = 0; k < extra; k++) in_s[k + 1] = index[now.axis + k];
        place[now.axis] = (int)indices[ravel(s, in_s)];
        for (int k = now.axis + 1; k < x.rank; k++) place[k] = index[k + extra - 1];
    } else if (c->kind == GATHER || c->kind == SCATTER) {
        place[now.axis] = (int)indices[ravel(s, index)];
    } else if (c->kind == REVERSE) {
        const int length =
            (int)indices[now.axis ? index[0] * s.dim[1] + index[now.axis] : index[0]];
        if (index[now.time] < length) place[now.time] = length - 1 - index[now.time];
    } else {
        const int parts = s.dim[s.rank - 1];
        for (int k = 0; k < s.rank - 1; k++) in_s[k] = index[k];
        for (int k = 0; k < parts; k++) {
            in_s[s.rank - 1] = k;
            place[now.shared + k] = (int)indices[ravel(s, in_s)];
        }
        for (int k = now.shared + parts; k < x.rank; k++)
            place[k] = index[s.rank - 1 + k - now.shared - parts];
    }
    return ravel(x, place);
}

static void ref_gather(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    (void)training;
    (void)p;
    if (c->kind < SCATTER) {
        for (int i = 0; i < ref_count(c->y); i++) y[i] = x[0][ref_place(c, c->y, i, x[1])];
        return;
    }
    memcpy(y, x[0], (size_t)ref_count(c->x[0]) * sizeof *y);
    for (int i = 0; i < ref_count(c->x[2]); i++) {
        double *to = &y[ref_place(c, c->x[2], i, x[1])];
        *to = now.reduce == CVN_SCATTER_ADD ? *to + x[2][i] : x[2][i];
    }
}

static void gather_case(const char *text, int kind, cvn_shape x, cvn_shape index, int classes,
                        cvn_shape y)
{
    layer_case c;
    start_case(&c, x, build_gather, ref_gather);
    c.kind = kind;
    c.inputs = 2;
    c.x[1] = index;
    c.label_classes[1] = classes;
    c.y = y;
    if (kind >= SCATTER) {
        c.inputs = 3;
        c.x[2] = y;
        c.y = x;
    }
    snprintf(c.text, sizeof c.text, "%s", text);
    layer_check(&c);
}

static cvn_shape five(int a, int b, int c, int d, int e)
{
    cvn_shape s = ref_shape(5, a, b, c, d);
    s.dim[4] = e;
    return s;
}

static void gathers(void)
{
    const cvn_shape x = ref_shape(4, 3, 4, 5, 2);
    now.axis = 2;
    gather_case("take", TAKE, x, ref_shape(3, 3, 2, 3, 0), 5, five(3, 4, 2, 3, 2));
    gather_case("take one", TAKE, x, ref_shape(1, 3, 0, 0, 0), 5, ref_shape(3, 3, 4, 2, 0));
    now.axis = 1;
    gather_case("take rows", TAKE, x, ref_shape(2, 3, 7, 0, 0), 4, ref_shape(4, 3, 7, 5, 2));
    gather_case("gather", GATHER, x, ref_shape(4, 3, 6, 3, 2), 4, ref_shape(4, 3, 6, 3, 2));
    now.axis = 3;
    gather_case("gather last", GATHER, x, ref_shape(4, 3, 4, 5, 9), 2, ref_shape(4, 3, 4, 5, 9));
    now.shared = 1;
    gather_case("gather_nd of two", GATHER_ND, x, ref_shape(3, 3, 6, 2, 0), 4,
                ref_shape(3, 3, 6, 2, 0));
    gather_case("gather_nd of all", GATHER_ND, x, ref_shape(4, 3, 2, 3, 3), 2,
                ref_shape(3, 3, 2, 3, 0));
    now.shared = 2;
    gather_case("gather_nd, two shared", GATHER_ND, x, ref_shape(4, 3, 4, 3, 1), 5,
                ref_shape(4, 3, 4, 3, 2));
    now.axis = 0;
    now.time = 2;
    gather_case("reverse", REVERSE, x, ref_shape(1, 3, 0, 0, 0), 6, x);
    now.axis = 2;
    now.time = 1;
    gather_case("reverse, time first", REVERSE, x, ref_shape(2, 3, 5, 0, 0), 5, x);
    now.axis = 1;
    now.time = 3;
    gather_case("reverse the last axis", REVERSE, x, ref_shape(2, 3, 4, 0, 0), 3, x);
    now.reduce = CVN_SCATTER_ADD;
    now.axis = 2;
    gather_case("scatter, add", SCATTER, x, ref_shape(4, 3, 4, 7, 2), 5, ref_shape(4, 3, 4, 7, 2));
    now.shared = 1;
    gather_case("scatter_nd, add", SCATTER_ND, x, ref_shape(3, 3, 6, 1, 0), 4,
                ref_shape(4, 3, 6, 5, 2));
    now.reduce = CVN_SCATTER_REPLACE;         
    gather_case("scatter", SCATTER, x, ref_shape(4, 3, 4, 1, 2), 5, ref_shape(4, 3, 4, 1, 2));
}

/* Values of all reductions, equal places in order; fractions and negative indices; indices out of
 * range. */
static void scatter_values(void)
{
    static const float x[6] = { 1, 2, 3, 4, 5, 6 };
    static const float u[8] = { 10, 20, 30, -1, 7, 8, 9, 2 };
    static const float index[8] = { 0, 2.75f, 0, -1, 1, 1, -3, 0 };
    static const float expected[5][6] = { { 30, 2, -1, 2, 8, 6 },
                                          { 41, 2, 22, 15, 20, 6 },
                                          { 300, 2, -60, 72, 280, 6 },
                                          { 30, 2, 20, 9, 8, 6 },
                                          { 1, 2, -1, 2, 5, 6 } };
    const int four = 4;
    float bad[8];
    for (int k = 0; k < 5; k++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node a = cvn_input_vector(net, 3), i = cvn_input_tensor(net, &four, 1),
                       b = cvn_input_vector(net, 4);
        const cvn_node y = cvn_scatter(net, a, i, b, 1, (cvn_scatter_reduce)k);
        test_case("scatter reduction %d", k);
        if (CHECKF(cvn_build_infer(net, 2) == CVN_OK, "%s", cvn_error(net))) {
            CHECK(cvn_set_input(net, a, x, 2) == CVN_OK && cvn_set_input(net, b, u, 2) == CVN_OK);
            CHECK(cvn_set_input(net, i, index, 2) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
            for (int e = 0; e < 6; e++) CHECK_NEAR(cvn_value(net, y)[e], expected[k][e], 1e-6);
            for (int wrong = 0; wrong < 3; wrong++) {
                memcpy(bad, index, sizeof bad);
                bad[6] = wrong == 0 ? 3.0f : wrong == 1 ? -3.5f : NAN;
                CHECK(cvn_set_input(net, i, bad, 2) == CVN_OK &&
                      cvn_forward_eval(net) == CVN_ERROR_ARGUMENT);
                CHECKF(strstr(cvn_error(net), "-3..2") != NULL, "%s", cvn_error(net));
            }
        }
        cvn_destroy(net);
    }
}

static void one_hot(void)
{
    static const float x[6] = { 0, 3, -1, 4, 2.5f, NAN };
    const int three = 3;
    for (int axis = 1; axis <= 2; axis++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node in = cvn_input_tensor(net, &three, 1),
                       y = cvn_one_hot(net, in, axis, 4, 2, -1);
        test_case("one_hot, axis %d", axis);
        if (CHECKF(cvn_build_infer(net, 2) == CVN_OK, "%s", cvn_error(net))) {
            CHECK(cvn_set_input(net, in, x, 2) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
            for (int i = 0; i < 24; i++) {
                const int n = i / 12, k = axis == 1 ? i / 3 % 4 : i % 4,
                          t = axis == 1 ? i % 3 : i / 4 % 3;
                static const int hot[6] = { 0, 3, 3, -1, 2, -1 };
                CHECK_NEAR(cvn_value(net, y)[i], hot[3 * n + t] == k ? 2 : -1, 0);
            }
        }
        cvn_destroy(net);
    }
}

/* A table read by floats is one read by labels. */
static void embedding_of_floats(void)
{
    static const float at[6] = { 0, 3.75f, 2, 1, 3, 0 };
    static const int labels[6] = { 0, 3, 2, 1, 3, 0 };
    static const float bad[6] = { 0, 1, 2, NAN, 0, 1 };
    const int three = 3;
    cvn_net *a = cvn_create(NULL), *b = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(a, &three, 1), t = cvn_input_labels(b, &three, 1);
    const cvn_node one = cvn_embedding(a, x, 4, 5), two = cvn_embedding(b, t, 4, 5);
    float g[30];
    for (int i = 0; i < 30; i++) g[i] = (float)(i % 7) - 2;
    cvn_want_grad(a, one);
    cvn_want_grad(b, two);
    if (CHECK(cvn_build(a, 2) == CVN_OK && cvn_build(b, 2) == CVN_OK)) {
        CHECK(cvn_set_input(a, x, at, 2) == CVN_OK && cvn_set_labels(b, t, labels, 2) == CVN_OK);
        CHECK(cvn_forward(a) == CVN_OK && cvn_forward(b) == CVN_OK);
        CHECK(memcmp(cvn_value(a, one), cvn_value(b, two), 30 * sizeof(float)) == 0);
        CHECK(cvn_backward_from(a, one, g) == CVN_OK && cvn_backward_from(b, two, g) == CVN_OK);
        CHECK(memcmp(cvn_param_at(a, 0).gradient, cvn_param_at(b, 0).gradient,
                     20 * sizeof(float)) == 0);
        CHECK(cvn_set_input(a, x, bad, 2) == CVN_OK && cvn_forward(a) == CVN_ERROR_ARGUMENT);
    }
    cvn_destroy(a);
    cvn_destroy(b);
}

/* ================================================================================================
 * interpolation: a sum over all elements with weights straight from the definitions
 * ============================================================================================== */

static double ref_source(int axis, int o, int in, int out)
{
    const double s = now.by_scales ? (double)now.scales[axis] : (double)out / in;
    switch (now.d.coordinates) {
    case CVN_HALF_PIXEL_SYMMETRIC: return in / 2.0 * (1 - out / (s * in)) + (o + 0.5) / s - 0.5;
    case CVN_PYTORCH_HALF_PIXEL: return out > 1 ? (o + 0.5) / s - 0.5 : 0;
    case CVN_ALIGN_CORNERS: return out > 1 ? o * (in - 1) / (s * in - 1) : 0;
    case CVN_ASYMMETRIC: return o / s;
    case CVN_TF_HALF_PIXEL: return (o + 0.5) / s;
    case CVN_CROP_AND_RESIZE: {
        const double a = (double)now.crop[2 * axis] * (in - 1),
                     b = (double)now.crop[2 * axis + 1] * (in - 1);
        return out > 1 ? a + o * (b - a) / (out - 1) : (a + b) / 2;
    }
    default: return (o + 0.5) / s - 0.5;
    }
}

static double ref_keys(double d, double a)
{
    d = fabs(d);
    if (d <= 1) return (a + 2) * d * d * d - (a + 3) * d * d + 1;
    return d < 2 ? a * d * d * d - 5 * a * d * d + 8 * a * d - 4 * a : 0;
}

/* Weights of the elements of an axis for output o; 0: outside. */
static int ref_axis(int axis, int o, int in, int out, double *weight)
{
    const double at = ref_source(axis, o, in, out);
    const double s = now.by_scales ? (double)now.scales[axis] : (double)out / in;
    const double stretch = now.d.antialias && s < 1 ? 1 / s : 1;
    double sum = 0;
    for (int i = 0; i < in; i++) weight[i] = 0;
    if (now.d.coordinates == CVN_CROP_AND_RESIZE && (at < 0 || at > in - 1)) return 0;
    if (now.d.mode == CVN_NEAREST) {
        int i = (int)(now.d.rounding == CVN_ROUND_FLOOR         ? floor(at)
                      : now.d.rounding == CVN_ROUND_CEIL        ? ceil(at)
                      : now.d.rounding == CVN_ROUND_PREFER_CEIL ? floor(at + 0.5)
                                                                : ceil(at - 0.5));
        weight[i < 0 ? 0 : i >= in ? in - 1 : i] = 1;
        return 1;
    }
    for (int i = -60; i < in + 60; i++) {
        const double d = (at - i) / stretch;
        double w = now.d.mode == CVN_CUBIC
                       ? ref_keys(d, now.d.cubic_a != 0 ? (double)now.d.cubic_a : -0.75)
                       : fmax(0, 1 - fabs(d));
        if (now.d.exclude_outside && (i < 0 || i >= in)) w = 0;
        weight[i < 0 ? 0 : i >= in ? in - 1 : i] += w;
        sum += w;
    }
    for (int i = 0; i < in && (now.d.antialias || now.d.exclude_outside); i++) weight[i] /= sum;
    return 1;
}

static cvn_node build_interpolate(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    (void)c;
    return cvn_interpolate(net, x[0], now.by_scales ? NULL : now.values,
                           now.by_scales ? now.scales : NULL, now.count, &now.d);
}

static void ref_interpolate(const layer_case *c, int training, double *const *x, double *const *p,
                            double *y)
{
    const int H = c->x[0].dim[2], W = c->x[0].dim[3];
    double rows[64], cols[64];
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        int at[CVN_MAX_RANK];
        int inside;
        unravel(c->y, i, at);
        inside =
            ref_axis(0, at[2], H, c->y.dim[2], rows) & ref_axis(1, at[3], W, c->y.dim[3], cols);
        y[i] = inside ? 0 : (double)now.d.extrapolation;
        for (int h = 0; inside && h < H; h++)
            for (int w = 0; w < W; w++)
                y[i] +=
                    rows[h] * cols[w] * x[0][((at[0] * c->x[0].dim[1] + at[1]) * H + h) * W + w];
    }
}

static void interpolations(void)
{
    static const int sizes[][2] = { { 7, 3 }, { 1, 9 }, { 4, 5 } };
    static const float scales[][2] = { { 1.7f, 0.6f }, { 0.3f, 2.5f } };
    static const float crop[4] = { 0.1f, 0.8f, -0.2f, 1.1f };
    for (int mode = CVN_NEAREST; mode <= CVN_CUBIC; mode++)
        for (int coordinates = CVN_HALF_PIXEL; coordinates <= CVN_CROP_AND_RESIZE; coordinates++)
            for (int i = 0; i < RANDOM_CASES + 2; i++) {
                layer_case c;
                start_case(&c, ref_shape(4, 2, 2, 4, 5), build_interpolate, ref_interpolate);
                memset(&now, 0, sizeof now);
                now.by_scales = i >= RANDOM_CASES;
                now.d.mode = (cvn_interpolation)mode;
                now.d.coordinates = (cvn_coordinates)coordinates;
                now.d.rounding = (cvn_rounding)((coordinates + i) % 4);
                now.d.exclude_outside = mode && i == 1;
                now.d.antialias = mode && i == RANDOM_CASES;
                now.d.crop = now.crop;
                now.count = 2;
                memcpy(now.crop, crop, sizeof crop);
                for (int k = 0; k < 2; k++) {
                    now.values[k] = sizes[i % 3][k];
                    now.scales[k] = scales[i & 1][k];
                    c.y.dim[k + 2] = now.by_scales
                                         ? (int)floor((double)now.scales[k] * c.x[0].dim[k + 2])
                                         : now.values[k];
                }
                c.kind = mode;
                snprintf(c.text, sizeof c.text, "interpolation %d, coordinates %d, row %d", mode,
                         coordinates, i);
                layer_check(&c);
            }
}

/* ================================================================================================
 * PyTorch's values
 * ============================================================================================== */

static cvn_node tensor(cvn_net *net, int a, int b, int c, int d)
{
    int dims[4];
    dims[0] = a;
    dims[1] = b;
    dims[2] = c;
    dims[3] = d;
    return cvn_input_tensor(net, dims, d ? 4 : 3);
}

static cvn_node golden_grid(cvn_net *net, const char *name, cvn_node x, cvn_node *grid)
{
    const cvn_interpolation mode = strstr(name, "nearest")   ? CVN_NEAREST
                                   : strstr(name, "bicubic") ? CVN_CUBIC
                                                             : CVN_LINEAR;
    const cvn_pad_mode pad = strstr(name, "border")       ? CVN_PAD_REPLICATE
                             : strstr(name, "reflection") ? CVN_PAD_REFLECT
                                                          : CVN_PAD_ZERO;
    *grid = tensor(net, 3, 2, 2, 0);
    return cvn_grid_sample(net, x, *grid, mode, pad, name[strlen(name) - 1] == '1');
}

static cvn_node golden_scaled(cvn_net *net, const char *name, cvn_node x)
{
    static const struct { const char *name; int size[3];
    } rows[] = { { "linear", { 7, 3, 0 } },    { "linear_corners", { 7, 3, 0 } },
                 { "cubic", { 9, 3, 0 } },     { "cubic_corners", { 3, 8, 0 } },
                 { "antialias", { 2, 7, 0 } }, { "antialias_cubic", { 3, 2, 0 } },
                 { "nearest", { 7, 3, 0 } },   { "trilinear", { 2, 5, 4 } } };
    cvn_interpolate_desc d = cvn_interpolate_defaults();
    const cvn_node none = { 0 };
    d.mode = strstr(name, "cubic") ? CVN_CUBIC : strstr(name, "nearest") ? CVN_NEAREST : CVN_LINEAR;
    d.coordinates = strstr(name, "corners") ? CVN_ALIGN_CORNERS : CVN_HALF_PIXEL;
    d.rounding = CVN_ROUND_PREFER_CEIL;
    d.antialias = d.exclude_outside = strstr(name, "antialias") != NULL;
    if (d.antialias) d.cubic_a = -0.5f;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, name))
            return cvn_interpolate(net, x, rows[i].size, NULL, rows[i].size[2] ? 3 : 2, &d);
    return none;
}

/* The graph of a golden row; b, index: the other inputs where there are such. */
static cvn_node golden_graph(cvn_net *net, const char *name, cvn_node *a, cvn_node *b,
                             cvn_node *index)
{
    static const int repeats[3] = { 2, 1, 3 };
    static const int picked[4] = { 4, 0, -5, 2 };
    static const int sides[4][6] = {
        { 0, 0, -1, 3, 1, 2 }, { 0, 0, 3, 1, 4, 2 }, { 0, 0, 2, 1, 1, 6 }, { 0, 0, 1, 4, 5, 2 }
    };
    static const char *const modes[4] = { "pad_constant", "pad_reflect", "pad_replicate",
                                          "pad_circular" };
    if (!strcmp(name, "trilinear")) return golden_scaled(net, name, *a = tensor(net, 2, 3, 4, 3));
    if (!strcmp(name, "grid_volume")) {
        *a = tensor(net, 2, 3, 4, 3);
        *b = tensor(net, 2, 3, 2, 3);
        return cvn_grid_sample(net, *a, *b, CVN_LINEAR, CVN_PAD_ZERO, 0);
    }
    if (!strncmp(name, "grid", 4)) return golden_grid(net, name, *a = tensor(net, 2, 4, 5, 0), b);
    if (!strncmp(name, "antialias", 9))
        return golden_scaled(net, name, *a = tensor(net, 3, 7, 6, 0));
    *a = tensor(net, 3, 4, 5, 0);
    if (!strcmp(name, "flip")) return cvn_flip(net, *a, 2);
    if (!strcmp(name, "tile")) return cvn_tile(net, *a, repeats, 3);
    if (!strcmp(name, "index_select")) return cvn_index_select(net, *a, 3, picked, 4);
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, modes[i]))
            return cvn_pad_axes(net, *a, sides[i], 3, (cvn_pad_mode)i, 0.75f);
    if (!strcmp(name, "gather")) return cvn_gather(net, *a, *index = tensor(net, 2, 6, 5, 0), 2);
    if (!strcmp(name, "scatter")) {
        *index = tensor(net, 3, 2, 4, 0);
        return cvn_scatter(net, *a, *index, *b = tensor(net, 3, 2, 4, 0), 2, CVN_SCATTER_REPLACE);
    }
    if (!strcmp(name, "scatter_add")) {
        *index = tensor(net, 3, 4, 7, 0);
        return cvn_scatter(net, *a, *index, *b = tensor(net, 3, 4, 7, 0), 3, CVN_SCATTER_ADD);
    }
    return golden_scaled(net, name, *a);
}

static void near_all(const float *a, const float *b, int count)
{
    for (int i = 0; i < count; i++) CHECK_NEAR(a[i], b[i], 1e-5 * (1 + fabs((double)b[i])));
}

static void golden(void)
{
    for (size_t i = 0; i < sizeof gather_goldens / sizeof *gather_goldens; i++) {
        const gather_golden *const r = &gather_goldens[i];
        cvn_net *net = cvn_create(NULL);
        cvn_node a = { 0 }, b = { 0 }, index = { 0 };
        const cvn_node y = golden_graph(net, r->name, &a, &b, &index);
        test_case("PyTorch's %s", r->name);
        cvn_want_grad(net, a);
        if (r->b) cvn_want_grad(net, b);
        cvn_want_grad(net, y);
        cvn_output(net, y);
        if (CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net)) &&
            CHECK(ref_count(cvn_node_shape(net, y)) == r->outputs)) {
            CHECK(cvn_set_input(net, a, r->a, 2) == CVN_OK);
            CHECK(!r->b || cvn_set_input(net, b, r->b, 2) == CVN_OK);
            CHECK(!r->index || cvn_set_input(net, index, r->index, 2) == CVN_OK);
            CHECK(cvn_forward(net) == CVN_OK && cvn_backward_from(net, y, r->g) == CVN_OK);
            near_all(cvn_value(net, y), r->y, r->outputs);
            near_all(cvn_gradient(net, a), r->da, ref_count(cvn_node_shape(net, a)));
            if (r->b) near_all(cvn_gradient(net, b), r->db, ref_count(cvn_node_shape(net, b)));
        }
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * grid_sample: against the reference, places that are not numbers
 * ============================================================================================== */

static cvn_node build_grid(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_grid_sample(net, x[0], x[1], (cvn_interpolation)c->kind, now.mode, c->axis);
}

/* The value at a place in two axes, all pixels for miles around with their weight. */
static double ref_sampled(const layer_case *c, const double *plane, const double *place)
{
    const int size[2] = { c->x[0].dim[2], c->x[0].dim[3] };
    double sum = 0;
    double at[2];
    for (int k = 0; k < 2; k++)
        at[k] = c->axis ? (place[1 - k] + 1) / 2 * (size[k] - 1)
                        : ((place[1 - k] + 1) * size[k] - 1) / 2;
    for (int h = -20; h < 30; h++)
        for (int w = -20; w < 30; w++) {
            int p[2] = { h, w };
            double weight = 1;
            for (int k = 0; k < 2; k++) {
                const int n = size[k];
                weight *= c->kind == CVN_CUBIC ? ref_keys(at[k] - p[k], -0.75)
                                               : fmax(0, 1 - fabs(at[k] - p[k]));
                while (now.mode == CVN_PAD_REFLECT && (p[k] < 0 || p[k] >= n))
                    p[k] = p[k] < 0 ? -p[k] - !c->axis : 2 * n - 1 - c->axis - p[k];
                if (now.mode == CVN_PAD_REPLICATE) p[k] = p[k] < 0 ? 0 : p[k] >= n ? n - 1 : p[k];
                if (p[k] < 0 || p[k] >= n) weight = 0;
            }
            if (weight != 0) sum += weight * plane[p[0] * size[1] + p[1]];
        }
    return sum;
}

static void ref_grid(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    const int points = c->y.dim[2] * c->y.dim[3], plane = c->x[0].dim[2] * c->x[0].dim[3];
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++)
        y[i] = ref_sampled(c, x[0] + i / points * plane,
                           x[1] + (i / points / c->y.dim[1] * points + i % points) * 2);
}

static void grids(void)
{
    for (int mode = CVN_LINEAR; mode <= CVN_CUBIC; mode++)
        for (int pad = CVN_PAD_ZERO; pad <= CVN_PAD_REPLICATE; pad++) {
            layer_case c;
            start_case(&c, ref_shape(4, 3, 2, 3, 4), build_grid, ref_grid);
            c.inputs = 2;
            c.x[1] = ref_shape(4, 3, 2, 3, 2);
            c.y = ref_shape(4, 3, 2, 2, 3);
            c.kind = mode;
            c.axis = pad == CVN_PAD_REFLECT;
            now.mode = (cvn_pad_mode)pad;
            snprintf(c.text, sizeof c.text, "grid_sample mode %d, pad %d", mode, pad);
            layer_check(&c);
        }
}

static void grid_of_nan(void)
{
    static const float places[8] = { NAN, 0, INFINITY, 0, 1e30f, -1e30f, 0, 0 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 1, 3, 3), g = tensor(net, 2, 2, 2, 0);
    const cvn_node y = cvn_grid_sample(net, x, g, CVN_LINEAR, CVN_PAD_REFLECT, 1);
    float image[9];
    for (int i = 0; i < 9; i++) image[i] = (float)i;
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        static const float ones[4] = { 1, 1, 1, 1 };
        CHECK(cvn_set_input(net, x, image, 1) == CVN_OK &&
              cvn_set_input(net, g, places, 1) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward_from(net, y, ones) == CVN_OK);
        CHECK(isnan(cvn_value(net, y)[0]) && isnan(cvn_value(net, y)[1]));
        CHECK(cvn_value(net, y)[2] >= 0 && cvn_value(net, y)[2] <= 8);
        CHECK_NEAR(cvn_value(net, y)[3], 4, 0);
        CHECK(cvn_gradient(net, x)[4] >= 1);
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * non-maximum suppression: against a sort and a comparison of all with all
 * ============================================================================================== */

enum { IMAGES = 2, CLASSES = 3, BOXES = 40, MOST = 6 };

static double overlap(const float *a, const float *b)
{
    double both = 1, one = 1, two = 1;
    for (int k = 0; k < 2; k++) {
        const double al = fmin((double)a[k], (double)a[k + 2]),
                     ah = fmax((double)a[k], (double)a[k + 2]);
        const double bl = fmin((double)b[k], (double)b[k + 2]),
                     bh = fmax((double)b[k], (double)b[k + 2]);
        both *= fmax(0, fmin(ah, bh) - fmax(al, bl));
        one *= ah - al;
        two *= bh - bl;
    }
    return both > 0 ? both / (one + two - both) : 0;
}

static int ref_nms(const float *boxes, const float *scores, float iou, float least,
                   float (*rows)[3])
{
    int count = 0;
    for (int b = 0; b < IMAGES; b++)
        for (int c = 0; c < CLASSES; c++) {
            const float *s = scores + (b * CLASSES + c) * BOXES;
            const int first = count;
            char gone[BOXES] = { 0 };
            while (count - first < MOST) {
                int best = -1, apart = 1;
                for (int i = 0; i < BOXES; i++)
                    if (!gone[i] && s[i] > least && (best < 0 || s[i] > s[best])) best = i;
                if (best < 0) break;
                gone[best] = 1;
                for (int k = first; k < count; k++)
                    apart &= overlap(boxes + (b * BOXES + best) * 4,
                                     boxes + (b * BOXES + (int)rows[k][2]) * 4) <= (double)iou;
                if (!apart) continue;
                rows[count][0] = (float)b;
                rows[count][1] = (float)c;
                rows[count++][2] = (float)best;
            }
        }
    return count;
}

static void nms(void)
{
    static float boxes[IMAGES * BOXES * 4], scores[IMAGES * CLASSES * BOXES],
        rows[IMAGES * CLASSES * MOST][3];
    static const int box_dims[3] = { IMAGES, BOXES, 4 }, score_dims[3] = { IMAGES, CLASSES, BOXES };
    unsigned state = 5;
    for (int i = 0; i < IMAGES * BOXES * 4; i++) boxes[i] = (float)ref_below(&state, 20);
    for (int i = 0; i < IMAGES * CLASSES * BOXES; i++)
        scores[i] = (float)ref_below(&state, 16) / 16;
    scores[7] = NAN;
    for (int i = 0; i < 6; i++) {
        cvn_net *net;
        cvn_desc desc = cvn_desc_defaults();
        cvn_nms_desc d = cvn_nms_defaults();
        cvn_node b, s, y;
        int count;
        desc.threads = 1 + i % 3;
        net = cvn_create(&desc);
        b = cvn_input_tensor(net, box_dims, 3);
        s = cvn_input_tensor(net, score_dims, 3);
        d.most = MOST;
        d.iou = 0.15f * (float)i;
        d.score = i == 5 ? 0.99f : i & 1 ? 0.4f : -INFINITY;
        y = cvn_non_max_suppression(net, b, s, &d);
        test_case("iou %g, score %g", (double)d.iou, (double)d.score);
        count = ref_nms(boxes, scores, d.iou, d.score, rows);
        if (CHECKF(cvn_build_infer(net, 1) == CVN_OK, "%s", cvn_error(net))) {
            CHECK(cvn_set_input(net, b, boxes, 1) == CVN_OK &&
                  cvn_set_input(net, s, scores, 1) == CVN_OK);
            CHECK(cvn_forward_eval(net) == CVN_OK &&
                  cvn_node_shape(net, y).dim[1] == IMAGES * CLASSES * MOST);
            for (int r = 0; r < IMAGES * CLASSES * MOST; r++)
                for (int k = 0; k < 3; k++)
                    CHECK_NEAR(cvn_value(net, y)[3 * r + k], r < count ? rows[r][k] : -1, 0);
        }
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * what is refused
 * ============================================================================================== */

enum { REFUSALS = 28 };

/* The i-th graph that must not build, on an image [N, 3, 4, 5], a vector [N, 5] and labels [N]. */
static cvn_node refused(cvn_net *net, int i, cvn_node image, cvn_node vector, cvn_node labels)
{
    static const int zero[3] = { 1, 0, 1 };
    static const int huge[3] = { INT_MAX, INT_MAX, INT_MAX };
    static const int cut[6] = { 0, 0, -2, -2, 0, 0 };
    static const int list[2] = { 0, 5 };
    static const float scales[2] = { 1, NAN };
    static const float tiny[2] = { 1, 1e-30f };
    const cvn_node none = { 0 };
    cvn_interpolate_desc d = cvn_interpolate_defaults();
    cvn_nms_desc n = cvn_nms_defaults();
    d.mode = CVN_LINEAR;
    switch (i) {
    case 0: return cvn_slice_step(net, image, 0, 0, 1, 1);
    case 1: return cvn_slice_step(net, image, 4, 0, 1, 1);
    case 2: return cvn_slice_step(net, image, 1, 0, 1, 0);
    case 3: return cvn_slice_step(net, image, 1, 2, 1, 1);
    case 4: return cvn_slice_step(net, image, 1, 0, 1, INT_MIN);
    case 5: return cvn_slice_step(net, none, 1, 0, 1, 1);
    case 6: return cvn_tile(net, image, zero, 3);
    case 7: return cvn_tile(net, image, huge, 3);
    case 8: return cvn_tile(net, image, zero, 2);
    case 9: return cvn_tile(net, image, NULL, 3);
    case 10: return cvn_pad_axes(net, image, cut, 3, CVN_PAD_REFLECT, 0);
    case 11: return cvn_pad_axes(net, image, cut, 3, (cvn_pad_mode)(i - 2), 0);
    case 12: return cvn_pad_axes(net, image, cut, 6, CVN_PAD_ZERO, 0);
    case 13: return cvn_index_select(net, image, 3, list, 2);
    case 14: return cvn_index_select(net, image, 3, list, 0);
    case 15: return cvn_take(net, image, labels, 0);
    case 16: return cvn_take(net, labels, labels, 1);
    case 17: return cvn_gather(net, image, vector, 1);
    case 18: return cvn_gather_nd(net, vector, image, 1);
    case 19: return cvn_scatter(net, vector, vector, image, 1, CVN_SCATTER_ADD);
    case 20: return cvn_scatter(net, vector, vector, vector, 1, (cvn_scatter_reduce)7);
    case 21: return cvn_reverse_sequence(net, image, labels, 2, 2);
    case 22: return cvn_one_hot(net, labels, 1, 0, 1, 0);
    case 23: return cvn_interpolate(net, image, NULL, scales, 2, &d);
    case 24: return cvn_interpolate(net, image, NULL, tiny, 2, &d);
    case 25: return cvn_interpolate(net, image, huge, NULL, 4, &d);
    case 26: return cvn_grid_sample(net, image, vector, CVN_LINEAR, CVN_PAD_ZERO, 0);
    default: return cvn_non_max_suppression(net, image, image, &n);
    }
}

static void refusals(void)
{
    static const int image_dims[3] = { 3, 4, 5 };
    for (int i = 0; i < REFUSALS; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_input_tensor(net, image_dims, 3);
        const cvn_node vector = cvn_input_vector(net, 5);
        const cvn_node labels = cvn_input_labels(net, NULL, 0);
        test_case("refusal %d", i);
        CHECK(refused(net, i, image, vector, labels).id == 0);
        CHECKF(strlen(cvn_error(net)) > 15, "'%s'", cvn_error(net));
        CHECK(cvn_build(net, 1) < 0);
        cvn_destroy(net);
    }
    CHECK(cvn_flip(NULL, cvn_input(NULL, 1, 1, 1), 1).id == 0);
    CHECK(cvn_interpolate(NULL, cvn_input(NULL, 1, 1, 1), NULL, NULL, 1, NULL).id == 0);
}

/* Another image size: what was described as steps, pads and scales follows. */
static void resized(void)
{
    static const int sides[6] = { 0, 0, 1, 0, 2, 2 };
    static const float scales[2] = { 2, 0.5f };
    cvn_net *net = cvn_create(NULL);
    cvn_node y = cvn_pad_axes(net, cvn_input(net, 1, 4, 6), sides, 3, CVN_PAD_REFLECT, 0);
    cvn_interpolate_desc d = cvn_interpolate_defaults();
    d.mode = CVN_CUBIC;
    y = cvn_interpolate(net, cvn_slice_step(net, y, 3, 0, INT_MAX, 2), NULL, scales, 2, &d);
    CHECK(cvn_build_infer(net, 1) == CVN_OK);
    CHECK(cvn_node_shape(net, y).dim[2] == 10 && cvn_node_shape(net, y).dim[3] == 2);
    CHECK(cvn_resize(net, 8, 12) == CVN_OK);
    CHECK(cvn_node_shape(net, y).dim[2] == 18 && cvn_node_shape(net, y).dim[3] == 4);
    cvn_destroy(net);
}

/* ================================================================================================
 * memory that fails
 * ============================================================================================== */

typedef struct meter { int calls, live, fail_at; } meter;

static void *meter_alloc(void *user, size_t size)
{
    meter *m = (meter *)user;
    void *p = ++m->calls == m->fail_at ? NULL : malloc(size);
    m->live += p != NULL;
    return p;
}

static void meter_free(void *user, void *pointer)
{
    ((meter *)user)->live--;
    free(pointer);
}

/* All layers in one net; whether it builds. */
static int whole_life(const cvn_desc *desc)
{
    static const int sides[6] = { 0, 0, 1, -1, 2, 0 }, repeats[3] = { 1, 2, 1 },
                     list[3] = { 2, 0, -1 };
    static const int sizes[2] = { 5, 3 }, two[2] = { 3, 2 };
    cvn_interpolate_desc d = cvn_interpolate_defaults();
    cvn_net *net = cvn_create(desc);
    const cvn_node x = cvn_input(net, 3, 4, 5), i = cvn_input_tensor(net, two, 2);
    cvn_node y = cvn_pad_axes(net, cvn_flip(net, x, 3), sides, 3, CVN_PAD_CIRCULAR, 0);
    int ok;
    y = cvn_index_select(net, cvn_tile(net, y, repeats, 3), 2, list, 3);
    y = cvn_scatter_nd(net, y, cvn_slice_step(net, i, 2, 0, 1, 1), y, 1, CVN_SCATTER_ADD);
    y = cvn_interpolate(net, y, sizes, NULL, 2, &d);
    d.mode = CVN_CUBIC;
    y = cvn_grid_sample(net, cvn_interpolate(net, y, sizes, NULL, 2, &d),
                        cvn_one_hot(net, i, 3, 2, 1, 0), CVN_LINEAR, CVN_PAD_ZERO, 0);
    cvn_mean_loss(net, cvn_take(net, y, cvn_slice_step(net, i, 1, 0, 1, 1), 1));
    ok = cvn_build(net, 2) == CVN_OK;
    cvn_destroy(net);
    return ok;
}

static void failing_allocator(void)
{
    meter m = { 0, 0, 0 };
    cvn_desc desc = cvn_desc_defaults();
    int total;
    desc.allocator.alloc = meter_alloc;
    desc.allocator.free = meter_free;
    desc.allocator.user = &m;
    CHECKF(whole_life(&desc), "with all memory there is");
    CHECK(m.live == 0);
    total = m.calls;
    for (int k = 1; k <= total; k++) {
        m.calls = m.live = 0;
        m.fail_at = k;
        CHECKF(!whole_life(&desc), "allocation %d of %d failed unnoticed", k, total);
        CHECKF(m.live == 0, "%d blocks leak when allocation %d of %d fails", m.live, k, total);
    }
}

int main(void)
{
    RUN(slices);
    RUN(tiles);
    RUN(pads);
    RUN(lists);
    RUN(gathers);
    RUN(scatter_values);
    RUN(one_hot);
    RUN(embedding_of_floats);
    RUN(interpolations);
    RUN(golden);
    RUN(grids);
    RUN(grid_of_nan);
    RUN(nms);
    RUN(refusals);
    RUN(resized);
    RUN(failing_allocator);
    return test_done();
}
