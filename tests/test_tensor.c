/* test_tensor.c - the tensor operations against the double reference and PyTorch's values. */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/tensor.h"

enum { SUB, DIV, MAXIMUM, MINIMUM };
enum { EXP, LOG, SQRT, SQUARE, ABS, NEG, SCALE, CLIP, POW, UNARIES };
enum { SUM, MEAN, MAX };

static const int image_dims[3] = { 3, 4, 5 };

/* What a case needs beyond layer_case; set before its check. */
static struct { int axes[5], count, begin, end, sizes[4]; } now;

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

/* Position `at` of shape s as one index per axis, and back. */
static void ref_unravel(cvn_shape s, int at, int *index)
{
    for (int i = s.rank - 1; i >= 0; i--) {
        index[i] = at % s.dim[i];
        at /= s.dim[i];
    }
}

static int ref_ravel(cvn_shape s, const int *index)
{
    int at = 0;
    for (int i = 0; i < s.rank; i++) at = at * s.dim[i] + index[i];
    return at;
}

/* ================================================================================================
 * elementwise of two and of one
 * ============================================================================================== */

static cvn_node build_binary(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    switch (c->kind) {
    case SUB: return cvn_sub(net, x[0], x[1]);
    case DIV: return cvn_div(net, x[0], cvn_scale(net, x[1], 1, 0.5f));
    case MAXIMUM: return cvn_maximum(net, x[0], x[1]);
    default: return cvn_minimum(net, x[0], x[1]);
    }
}

static void ref_arith(const layer_case *c, int training, double *const *x, double *const *p,
                      double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        const double a = x[0][ref_broadcast(c->x[0], c->y, i)];
        const double b = x[1][ref_broadcast(c->x[1], c->y, i)];
        y[i] = c->kind == SUB       ? a - b
               : c->kind == DIV     ? a / (b + 0.5)
               : c->kind == MAXIMUM ? fmax(a, b)
                                    : fmin(a, b);
    }
}

static void binary(void)
{
    static const char *const names[4] = { "sub", "div", "maximum", "minimum" };
    const cvn_shape pairs[9][2] = {
        { ref_shape(2, 3, 7, 0, 0), ref_shape(2, 3, 7, 0, 0) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 3, 1, 1) },
        { ref_shape(4, 2, 3, 1, 1), ref_shape(4, 2, 3, 4, 5) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 1, 4, 5) },
        { ref_shape(4, 2, 1, 4, 5), ref_shape(4, 2, 3, 4, 5) },
        { ref_shape(4, 2, 3, 1, 5), ref_shape(4, 2, 1, 4, 1) },
        { ref_shape(2, 3, 1, 0, 0), ref_shape(2, 3, 9, 0, 0) },
        { ref_shape(2, 3, 1, 0, 0), ref_shape(2, 3, 1, 0, 0) },
        { ref_shape(4, 4, 16, 40, 41), ref_shape(4, 4, 16, 1, 1) }
    };
    char a[64];
    char b[64];
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < 9; i++) {
            layer_case c;
            start_case(&c, pairs[i][0], build_binary, ref_arith);
            c.inputs = 2;
            /* a step of the differences must not cross another value */
            c.x[1] = i == 8 && kind >= MAXIMUM ? pairs[i][0] : pairs[i][1];
            c.positive[1] = kind == DIV;
            for (int k = 0; k < c.y.rank; k++)
                if (c.x[1].dim[k] > c.y.dim[k]) c.y.dim[k] = c.x[1].dim[k];
            c.kind = kind;
            c.big = i == 8;
            snprintf(c.text, sizeof c.text, "%s %s %s", names[kind], shape_text(c.x[0], a),
                     shape_text(c.x[1], b));
            layer_check(&c);
            if (i == 1 && kind <= DIV) library_check(&c);
        }
}

static cvn_node add_unary(cvn_net *net, int kind, cvn_node x)
{
    switch (kind) {
    case EXP: return cvn_exp(net, x);
    case LOG: return cvn_log(net, x);
    case SQRT: return cvn_sqrt(net, x);
    case SQUARE: return cvn_square(net, x);
    case ABS: return cvn_abs(net, x);
    case NEG: return cvn_neg(net, x);
    case SCALE: return cvn_scale(net, x, 1.5f, -0.25f);
    case CLIP: return cvn_clip(net, x, -0.5f, 0.75f);
    default: return cvn_pow(net, x, 2.5f);
    }
}

/* log, sqrt, pow: of x + 0.5 */
static int away_from_zero(int kind) { return kind == LOG || kind == SQRT || kind == POW; }

static cvn_node build_unary(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return add_unary(net, c->kind, away_from_zero(c->kind) ? cvn_scale(net, x[0], 1, 0.5f) : x[0]);
}

static void ref_unary(const layer_case *c, int training, double *const *x, double *const *p,
                      double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        const double v = away_from_zero(c->kind) ? x[0][i] + 0.5 : x[0][i];
        switch (c->kind) {
        case EXP: y[i] = exp(v); break;
        case LOG: y[i] = log(v); break;
        case SQRT: y[i] = sqrt(v); break;
        case SQUARE: y[i] = v * v; break;
        case ABS: y[i] = fabs(v); break;
        case NEG: y[i] = -v; break;
        case SCALE: y[i] = 1.5 * v - 0.25; break;
        case CLIP: y[i] = fmin(fmax(v, -0.5), 0.75); break;
        default: y[i] = pow(v, 2.5); break;
        }
    }
}

static const char *const unary_names[UNARIES] = { "exp", "log",   "sqrt", "square", "abs",
                                                  "neg", "scale", "clip", "pow" };

static void unary(void)
{
    const cvn_shape shapes[4] = { ref_shape(2, 1, 1, 0, 0), ref_shape(2, 3, 13, 0, 0),
                                  ref_shape(4, 2, 3, 5, 7), ref_shape(4, 3, 16, 30, 31) };
    char text[64];
    for (int kind = 0; kind < UNARIES; kind++)
        for (int i = 0; i < 4; i++) {
            layer_case c;
            start_case(&c, shapes[i], build_unary, ref_unary);
            c.kind = kind;
            c.positive[0] = away_from_zero(kind);
            c.big = i == 3;
            snprintf(c.text, sizeof c.text, "%s %s", unary_names[kind],
                     shape_text(shapes[i], text));
            layer_check(&c);
            if (i == 1 && kind != ABS && kind != CLIP) library_check(&c);
        }
}

/* ================================================================================================
 * reductions
 * ============================================================================================== */

static cvn_node build_reduce(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    if (c->kind == SUM) return cvn_reduce_sum(net, x[0], now.axes, now.count);
    if (c->kind == MEAN) return cvn_reduce_mean(net, x[0], now.axes, now.count);
    return cvn_reduce_max(net, x[0], now.axes, now.count);
}

static void ref_reduce(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const int outputs = ref_count(c->y);
    const double count = (double)ref_count(c->x[0]) / outputs;
    (void)training;
    (void)p;
    for (int i = 0; i < outputs; i++) y[i] = c->kind == MAX ? -1e300 : 0;
    for (int i = 0; i < ref_count(c->x[0]); i++) {
        const int at = ref_broadcast(c->y, c->x[0], i);
        y[at] = c->kind == MAX ? fmax(y[at], x[0][i]) : y[at] + x[0][i];
    }
    for (int i = 0; c->kind == MEAN && i < outputs; i++) y[i] /= count;
}

static void reductions(void)
{
    static const char *const names[3] = { "sum", "mean", "max" };
    static const struct { int rank, axes[3], count; } rows[9] = {
        { 4, { 1 }, 1 }, { 4, { 2, 3 }, 2 }, { 4, { 3, 1 }, 2 },
        { 4, { 2 }, 1 }, { 4, { 0 }, 0 },    { 4, { 1, 2 }, 2 },
        { 3, { 2 }, 1 }, { 2, { 1 }, 1 },    { 4, { 2, 3 }, 2 }
    };
    char text[64];
    for (int kind = 0; kind < 3; kind++)
        for (int i = 0; i < 9; i++) {
            const int rank = rows[i].rank;
            layer_case c;
            start_case(&c,
                       i == 8 ? ref_shape(4, 5, 8, 33, 31)
                              : ref_shape(rank, 3, 4, rank > 2 ? 5 : 0, rank > 3 ? 6 : 0),
                       build_reduce, ref_reduce);
            c.kind = kind;
            c.big = i == 8;
            now.count = rows[i].count;
            memcpy(now.axes, rows[i].axes, sizeof rows[i].axes);
            for (int k = 0; k < now.count; k++) c.y.dim[now.axes[k]] = 1;
            for (int k = 1; !now.count && k < rank; k++) c.y.dim[k] = 1;
            snprintf(c.text, sizeof c.text, "reduce_%s of %s, %d axes from %d", names[kind],
                     shape_text(c.x[0], text), now.count, now.axes[0]);
            layer_check(&c);
        }
}

/* ================================================================================================
 * permute, slice, split
 * ============================================================================================== */

static cvn_node build_permute(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_permute(net, x[0], now.axes, c->y.rank - 1);
}

static void ref_permute(const layer_case *c, int training, double *const *x, double *const *p,
                        double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        int to[CVN_MAX_RANK] = { 0 };
        int from[CVN_MAX_RANK] = { 0 };
        ref_unravel(c->y, i, to);
        from[0] = to[0];
        for (int k = 1; k < c->y.rank; k++) from[now.axes[k - 1]] = to[k];
        y[i] = x[0][ref_ravel(c->x[0], from)];
    }
}

static void permutations(void)
{
    static const int orders[9][5] = { { 2, 3, 1 }, { 3, 1, 2 },    { 1, 2, 3 },
                                      { 1, 3, 2 }, { 3, 2, 1 },    { 2, 1, 0 },
                                      { 1, 0, 0 }, { 3, 1, 4, 2 }, { 2, 3, 1 } };
    static const int ranks[9] = { 4, 4, 4, 4, 4, 3, 2, 5, 4 };
    char text[64];
    for (int i = 0; i < 9; i++) {
        layer_case c;
        start_case(&c, i == 8 ? ref_shape(4, 3, 20, 41, 29) : ref_shape(ranks[i], 2, 3, 4, 5),
                   build_permute, ref_permute);
        c.big = i == 8;
        for (int k = 2; k < 5; k++) c.x[0].dim[k] = k >= ranks[i] ? 0 : c.x[0].dim[k];
        if (ranks[i] == 5) c.x[0].dim[4] = 2;
        memcpy(now.axes, orders[i], sizeof orders[i]);
        for (int k = 1; k < ranks[i]; k++) c.y.dim[k] = c.x[0].dim[now.axes[k - 1]];
        snprintf(c.text, sizeof c.text, "permute %s, axes %d %d %d", shape_text(c.x[0], text),
                 now.axes[0], now.axes[1], now.axes[2]);
        layer_check(&c);
    }
}

static cvn_node build_slice(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_slice(net, x[0], c->axis, now.begin, now.end);
}

static void ref_slice(const layer_case *c, int training, double *const *x, double *const *p,
                      double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        int index[CVN_MAX_RANK];
        ref_unravel(c->y, i, index);
        index[c->axis] += now.begin;
        y[i] = x[0][ref_ravel(c->x[0], index)];
    }
}

static void slices(void)
{
    static const int rows[6][3] = { { 1, 0, 2 }, { 1, 1, 3 }, { 2, 1, 3 },
                                    { 3, 4, 5 }, { 3, 0, 5 }, { 2, 2, 4 } };
    for (int i = 0; i < 6; i++) {
        layer_case c;
        start_case(&c, i == 5 ? ref_shape(4, 8, 16, 33, 29) : ref_shape(4, 2, 3, 4, 5), build_slice,
                   ref_slice);
        c.axis = rows[i][0];
        c.big = i == 5;
        now.begin = rows[i][1];
        now.end = rows[i][2];
        c.y.dim[c.axis] = now.end - now.begin;
        snprintf(c.text, sizeof c.text, "slice [%d, %d) of axis %d", now.begin, now.end, c.axis);
        layer_check(&c);
    }
}

/* The parts of a split, put together in the opposite order. */
static cvn_node build_split(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    cvn_node parts[3];
    cvn_node turned[3];
    cvn_split(net, x[0], c->axis, now.sizes, 3, parts);
    for (int i = 0; i < 3; i++) turned[i] = parts[2 - i];
    return cvn_concat_n(net, turned, 3, c->axis);
}

static void ref_split(const layer_case *c, int training, double *const *x, double *const *p,
                      double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        int index[CVN_MAX_RANK];
        int k;
        ref_unravel(c->y, i, index);
        k = index[c->axis];
        index[c->axis] = k < now.sizes[2]                    ? k + now.sizes[0] + now.sizes[1]
                         : k < now.sizes[2] + now.sizes[1]   ? k - now.sizes[2] + now.sizes[0]
                                                             : k - now.sizes[2] - now.sizes[1];
        y[i] = x[0][ref_ravel(c->x[0], index)];
    }
}

static void split(void)
{
    for (int axis = 1; axis < 4; axis++) {
        layer_case c;
        start_case(&c, ref_shape(4, 2, 6, 6, 6), build_split, ref_split);
        c.axis = axis;
        now.sizes[0] = 3;
        now.sizes[1] = 1;
        now.sizes[2] = 2;
        snprintf(c.text, sizeof c.text, "split along axis %d", axis);
        layer_check(&c);
    }
}

/* ================================================================================================
 * matmul, gram
 * ============================================================================================== */

static cvn_node build_matmul(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return cvn_matmul(net, x[0], x[1], c->kind & 1, c->kind >> 1);
}

static void ref_matmul(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const int last = c->y.rank - 1;
    const int T = c->y.dim[last - 1];
    const int S = c->y.dim[last];
    const int K = c->x[0].dim[c->kind & 1 ? last - 1 : last];
    cvn_shape of[3];                    /* the axes before the matrices: of a, b, y */
    (void)training;
    (void)p;
    for (int i = 0; i < 3; i++) {
        of[i] = i < 2 ? c->x[i] : c->y;
        of[i].rank = last - 1;
    }
    for (int i = 0; i < ref_count(c->y); i++) {
        const double *a = x[0] + ref_broadcast(of[0], of[2], i / (T * S)) * T * K;
        const double *b = x[1] + ref_broadcast(of[1], of[2], i / (T * S)) * S * K;
        const int t = i / S % T;
        const int s = i % S;
        y[i] = 0;
        for (int k = 0; k < K; k++)
            y[i] += a[c->kind & 1 ? k * T + t : t * K + k] *
                    b[c->kind >> 1 ? s * K + k : k * S + s];
    }
}

static void matmul(void)
{
    static const int rows[6][5] = { /* samples, matrices (0: rank 3), T, K, S */
                                    { 2, 0, 3, 4, 5 },    { 3, 2, 4, 1, 6 },  { 1, 3, 1, 7, 2 },
                                    { 2, 2, 17, 33, 18 }, { 1, 0, 1, 1, 1 }, { 2, 3, 70, 61, 67 } };
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < 6; i++) {
            const int *const r = rows[i];
            const int a0 = kind & 1 ? r[3] : r[2];
            const int a1 = kind & 1 ? r[2] : r[3];
            const int b0 = kind >> 1 ? r[4] : r[3];
            const int b1 = kind >> 1 ? r[3] : r[4];
            layer_case c;
            start_case(&c, r[1] ? ref_shape(4, r[0], r[1], a0, a1) : ref_shape(3, r[0], a0, a1, 0),
                       build_matmul, ref_matmul);
            c.inputs = 2;
            c.x[1] = r[1] ? ref_shape(4, r[0], r[1], b0, b1) : ref_shape(3, r[0], b0, b1, 0);
            c.y = r[1] ? ref_shape(4, r[0], r[1], r[2], r[4]) : ref_shape(3, r[0], r[2], r[4], 0);
            c.kind = kind;
            c.big = i == 5;
            snprintf(c.text, sizeof c.text, "matmul of %d x %d, [%d, %d] [%d, %d]%s%s", r[0], r[1],
                     r[2], r[3], r[3], r[4], kind & 1 ? ", first transposed" : "",
                     kind >> 1 ? ", second transposed" : "");
            layer_check(&c);
            if (i == 0) library_check(&c);
        }
}

/* Operands of size 1 on an axis before the matrices: [N, d, e, T, K]. */
static void matmul_broadcast(void)
{
    static const int rows[5][8] = { /* samples; d, e of a, of b; T, K, S */
                                    { 2, 3, 1, 1, 4, 2, 3, 5 },   { 3, 1, 1, 2, 2, 3, 4, 1 },
                                    { 1, 2, 3, 2, 1, 4, 2, 3 },   { 2, 1, 5, 1, 5, 1, 3, 2 },
                                    { 2, 4, 2, 1, 1, 19, 35, 18 } };
    for (int kind = 0; kind < 4; kind++)
        for (int i = 0; i < 5; i++) {
            const int *const r = rows[i];
            layer_case c;
            start_case(&c, ref_shape(5, r[0], r[1], r[2], kind & 1 ? r[6] : r[5]), build_matmul,
                       ref_matmul);
            c.x[0].dim[4] = kind & 1 ? r[5] : r[6];
            c.inputs = 2;
            c.x[1] = ref_shape(5, r[0], r[3], r[4], kind >> 1 ? r[7] : r[6]);
            c.x[1].dim[4] = kind >> 1 ? r[6] : r[7];
            c.y = ref_shape(5, r[0], r[1] > r[3] ? r[1] : r[3], r[2] > r[4] ? r[2] : r[4], r[5]);
            c.y.dim[4] = r[7];
            c.kind = kind;
            c.big = i == 4;
            snprintf(c.text, sizeof c.text, "matmul of %d x [%d, %d] and [%d, %d], kind %d", r[0],
                     r[1], r[2], r[3], r[4], kind);
            layer_check(&c);
        }
}

static cvn_node build_gram(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    (void)c;
    return cvn_gram(net, x[0]);
}

static void ref_gram(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    const int C = c->x[0].dim[1];
    const int plane = c->x[0].dim[2] * c->x[0].dim[3];
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        const double *a = x[0] + i / C * plane;
        const double *b = x[0] + (i / (C * C) * C + i % C) * plane;
        y[i] = 0;
        for (int k = 0; k < plane; k++) y[i] += a[k] * b[k] / (C * plane);
    }
}

static void gram(void)
{
    layer_case c;
    start_case(&c, ref_shape(4, 2, 3, 4, 5), build_gram, ref_gram);
    c.y = ref_shape(3, 2, 3, 3, 0);
    snprintf(c.text, sizeof c.text, "gram");
    layer_check(&c);
}

/* ================================================================================================
 * losses of one tensor
 * ============================================================================================== */

static cvn_node build_loss(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return c->kind ? cvn_total_variation_loss(net, x[0]) : cvn_mean_loss(net, x[0]);
}

static void ref_loss(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    const int count = ref_count(c->x[0]);
    (void)training;
    (void)p;
    y[0] = 0;
    for (int i = 0; i < count; i++) {
        int index[CVN_MAX_RANK];
        ref_unravel(c->x[0], i, index);
        if (!c->kind) y[0] += x[0][i] / count;
        for (int axis = 2; c->kind && axis < 4; axis++) {
            const int step = axis == 3 ? 1 : c->x[0].dim[3];
            if (index[axis] > 0) y[0] += fabs(x[0][i] - x[0][i - step]) / c->n;
        }
    }
}

static void losses(void)
{
    const cvn_shape shapes[4] = { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 3, 1, 1, 6),
                                  ref_shape(4, 4, 8, 25, 24), ref_shape(2, 3, 7, 0, 0) };
    char text[64];
    for (int kind = 0; kind < 2; kind++)
        for (int i = 0; i < 4 - kind; i++) {
            layer_case c;
            start_case(&c, shapes[i], build_loss, ref_loss);
            c.kind = kind;
            c.loss = 1;
            c.big = i == 2;
            memset(&c.y, 0, sizeof c.y);
            snprintf(c.text, sizeof c.text, "%s %s", kind ? "total variation" : "mean loss",
                     shape_text(shapes[i], text));
            layer_check(&c);
        }
}

/* ================================================================================================
 * gradients that are stopped or turned, embedding
 * ============================================================================================== */

/* y = x*stop(x) has the gradient x; of a reversed x, -scale of it; inside a net both times. */
static void stop_and_reverse(void)
{
    const float x[4] = { 1, -2, 3, 0.5f };
    const float one[4] = { 1, 1, 1, 1 };
    for (int kind = 0; kind < 4; kind++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node in = cvn_input_vector(net, 4);
        const cvn_node twice = kind & 1 ? cvn_scale(net, in, 2, 0) : in;
        const cvn_node y = kind < 2 ? cvn_mul(net, twice, cvn_stop_gradient(net, twice))
                                    : cvn_gradient_reversal(net, cvn_square(net, twice), 0.3f);
        const double factor = (kind & 1 ? 4 : 1) * (kind < 2 ? 1 : 2 * -0.3);
        test_case("%s %d", kind < 2 ? "stop_gradient" : "gradient_reversal", kind);
        cvn_want_grad(net, in);
        cvn_want_grad(net, y);
        cvn_output(net, y);
        if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
            CHECK(cvn_set_input(net, in, x, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
            CHECK(cvn_backward_from(net, y, one) == CVN_OK);
            for (int i = 0; i < 4; i++) {
                CHECK_NEAR(cvn_value(net, y)[i], (kind & 1 ? 4 : 1) * x[i] * x[i], 1e-5);
                CHECK_NEAR(cvn_gradient(net, in)[i], factor * (double)x[i], 1e-5);
            }
        }
        cvn_destroy(net);
    }
}

/* What lies before stop_gradient alone is not trained. */
static void stop_trains_nothing(void)
{
    const float x[3] = { 1, 2, 3 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 3);
    const cvn_node first = cvn_dense(net, in, 4);
    cvn_mean_loss(net, cvn_dense(net, cvn_stop_gradient(net, first), 2));
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        cvn_zero_grad(net);
        CHECK(cvn_set_input(net, in, x, 1) == CVN_OK && cvn_forward(net) == CVN_OK &&
              cvn_backward(net) == CVN_OK);
        for (int i = 0; i < 12; i++) CHECK(cvn_param_at(net, 0).gradient[i] == 0.0f);
        CHECK(cvn_param_find(net, "fc2.bias").gradient[0] == 0.5f);
    }
    cvn_destroy(net);
}

/* layer_check doubles the first input, which labels cannot be: here by hand, for several numbers of
 * threads. */
static void embedding_case(int n, int steps, int count, int dim, int threads)
{
    const int positions = n * steps;
    int *labels = (int *)ref_alloc((size_t)positions, sizeof(int));
    float *g = (float *)ref_alloc((size_t)(positions * dim), sizeof(float));
    double *dw = (double *)ref_alloc((size_t)(count * dim), sizeof(double));
    unsigned state = 5;
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_node in;
    cvn_node y;
    desc.threads = threads;
    net = cvn_create(&desc);
    in = cvn_input_labels(net, &steps, 1);
    y = cvn_embedding(net, in, count, dim);
    test_case("embedding [%d, %d] of %d x %d, %d threads", n, steps, count, dim, threads);
    ref_fill(g, positions * dim, -1, 1, 3);
    for (int i = 0; i < positions; i++) {
        labels[i] = ref_below(&state, count);
        for (int k = 0; k < dim; k++) dw[labels[i] * dim + k] += (double)g[i * dim + k];
    }
    cvn_want_grad(net, y);
    cvn_output(net, y);
    if (CHECKF(cvn_build(net, n) == CVN_OK, "%s", cvn_error(net))) {
        const cvn_param p = cvn_param_at(net, 0);
        int same = 1;
        cvn_zero_grad(net);
        CHECK(p.count == (size_t)(count * dim) && !strcmp(p.name, "embedding1.weight"));
        CHECK(cvn_set_labels(net, in, labels, n) == CVN_OK && cvn_forward(net) == CVN_OK);
        for (int i = 0; i < positions * dim; i++)
            same &= cvn_value(net, y)[i] == p.value[labels[i / dim] * dim + i % dim];
        CHECK(same);
        for (int pass = 1; pass < 3; pass++) {
            double worst = 0;
            if (pass > 1) CHECK(cvn_forward(net) == CVN_OK);
            CHECK(cvn_backward_from(net, y, g) == CVN_OK);
            for (int i = 0; i < count * dim; i++)
                worst = fmax(worst, fabs((double)p.gradient[i] - pass * dw[i]));
            CHECK_NEAR(worst, 0, 1e-4);
        }
    }
    cvn_destroy(net);
    free(labels);
    free(g);
    free(dw);
}

static void embedding(void)
{
    static const int threads[3] = { 1, 2, 7 };
    for (int i = 0; i < 3; i++) {
        embedding_case(2, 5, 4, 7, threads[i]);
        embedding_case(1, 1, 1, 1, threads[i]);
        embedding_case(8, 150, 11, 270, threads[i]);
    }
}

static void embedding_golden_and_range(void)
{
    const int steps = 3;
    int outside[6] = { 0, 1, 2, 3, 5, 0 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_labels(net, &steps, 1);
    const cvn_node y = cvn_embedding(net, in, 5, 4);
    cvn_want_grad(net, y);
    cvn_output(net, y);
    if (CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net))) {
        const cvn_param p = cvn_param_at(net, 0);
        CHECK(p.value[0] != 0.0f);
        memcpy(p.value, embedding_weight, sizeof embedding_weight);
        cvn_touch(net);
        cvn_zero_grad(net);
        CHECK(cvn_set_labels(net, in, embedding_indices, 2) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward_from(net, y, embedding_g) == CVN_OK);
        CHECK(memcmp(cvn_value(net, y), embedding_y, sizeof embedding_y) == 0);
        for (int i = 0; i < 20; i++) CHECK_NEAR(p.gradient[i], embedding_dweight[i], 1e-6);
        CHECK(cvn_set_labels(net, in, outside, 2) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_ERROR_ARGUMENT && strstr(cvn_error(net), "0..4"));
        outside[4] = -1;
        CHECK(cvn_set_labels(net, in, outside, 2) == CVN_OK);
        CHECK(cvn_forward_eval(net) == CVN_ERROR_ARGUMENT);
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * PyTorch's values
 * ============================================================================================== */

static cvn_node input_of(cvn_net *net, int d1, int d2, int d3)
{
    int dims[3];
    dims[0] = d1;
    dims[1] = d2;
    dims[2] = d3;
    return cvn_input_tensor(net, dims, d3 ? 3 : 2);
}

/* The graph of golden row `name`; b: the second input where there is one. */
static cvn_node golden_graph(cvn_net *net, const char *name, cvn_node *a, cvn_node *b)
{
    static const int one_three[2] = { 1, 3 };
    static const int two_three[2] = { 2, 3 };
    static const int one_two[2] = { 1, 2 };
    static const int order[3] = { 2, 3, 1 };
    for (int kind = 0; kind < UNARIES; kind++)
        if (!strcmp(name, unary_names[kind])) {
            *a = cvn_input_vector(net, 12);
            return add_unary(net, kind, *a);
        }
    if (!strcmp(name, "matmul_turned")) {
        *a = input_of(net, 5, 4, 0);
        *b = input_of(net, 6, 5, 0);
        return cvn_matmul(net, *a, *b, 1, 1);
    }
    *a = cvn_input_tensor(net, image_dims, 3);
    if (!strcmp(name, "sub")) return cvn_sub(net, *a, *b = input_of(net, 3, 1, 1));
    if (!strcmp(name, "div")) return cvn_div(net, *a, *b = input_of(net, 1, 4, 5));
    if (!strcmp(name, "maximum")) return cvn_maximum(net, *a, *b = input_of(net, 3, 1, 5));
    if (!strcmp(name, "minimum")) return cvn_minimum(net, *a, *b = input_of(net, 3, 4, 5));
    if (!strcmp(name, "matmul")) return cvn_matmul(net, *a, *b = input_of(net, 3, 5, 6), 0, 0);
    if (!strcmp(name, "reduce_sum")) return cvn_reduce_sum(net, *a, one_three, 2);
    if (!strcmp(name, "reduce_mean")) return cvn_reduce_mean(net, *a, two_three, 2);
    if (!strcmp(name, "reduce_max")) return cvn_reduce_max(net, *a, one_two, 2);
    if (!strcmp(name, "permute")) return cvn_permute(net, *a, order, 3);
    if (!strcmp(name, "slice")) return cvn_slice(net, *a, 2, 1, 3);
    if (!strcmp(name, "gram")) return cvn_gram(net, *a);
    if (!strcmp(name, "mean_loss")) return cvn_mean_loss(net, *a);
    return cvn_total_variation_loss(net, *a);
}

static void near_all(const float *a, const float *b, int count)
{
    for (int i = 0; i < count; i++) CHECK_NEAR(a[i], b[i], 1e-5 * (1 + fabs((double)b[i])));
}

static void golden(void)
{
    for (size_t i = 0; i < sizeof golden_rows / sizeof golden_rows[0]; i++) {
        const golden_row *const r = &golden_rows[i];
        cvn_net *net = cvn_create(NULL);
        cvn_node a = { 0 };
        cvn_node b = { 0 };
        const cvn_node y = golden_graph(net, r->name, &a, &b);
        const int loss = r->outputs == 1;
        test_case("PyTorch's %s", r->name);
        cvn_want_grad(net, a);
        if (r->b) cvn_want_grad(net, b);
        if (!loss) {
            cvn_want_grad(net, y);
            cvn_output(net, y);
        }
        if (CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net))) {
            CHECK(cvn_set_input(net, a, r->a, 2) == CVN_OK);
            CHECK(!r->b || cvn_set_input(net, b, r->b, 2) == CVN_OK);
            CHECK(cvn_forward(net) == CVN_OK);
            CHECK((loss ? cvn_backward(net) : cvn_backward_from(net, y, r->g)) == CVN_OK);
            near_all(cvn_value(net, y), r->y, r->outputs);
            near_all(cvn_gradient(net, a), r->da, ref_count(cvn_node_shape(net, a)));
            if (r->b) near_all(cvn_gradient(net, b), r->db, ref_count(cvn_node_shape(net, b)));
        }
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * what is refused
 * ============================================================================================== */

enum { REFUSALS = 20 };

/* The i-th graph that must not build, on an image [N, 3, 4, 5], a vector [N, 5] and labels [N]. */
static cvn_node refused(cvn_net *net, int i, cvn_node image, cvn_node vector, cvn_node labels)
{
    static const int batch = 0;
    static const int four = 4;
    static const int twice[3] = { 1, 1, 2 };
    static const int sizes[2] = { 1, 1 };
    cvn_node parts[2];
    switch (i) {
    case 0: return cvn_sub(net, image, vector);
    case 1: return cvn_div(net, image, labels);
    case 2: return cvn_clip(net, image, 1, 0);
    case 3: return cvn_pow(net, image, NAN);
    case 4: return cvn_reduce_sum(net, image, &batch, 1);
    case 5: return cvn_reduce_max(net, image, &four, 1);
    case 6: return cvn_reduce_mean(net, image, NULL, 1);
    case 7: return cvn_permute(net, image, twice, 3);
    case 8: return cvn_permute(net, image, twice + 1, 2);
    case 9: return cvn_permute(net, image, NULL, 3);
    case 10: return cvn_slice(net, image, 0, 0, 1);
    case 11: return cvn_slice(net, image, 1, 2, 2);
    case 12: return cvn_slice(net, image, 1, 0, 4);
    case 13: cvn_split(net, image, 1, sizes, 2, parts); return parts[0];
    case 14: return cvn_matmul(net, image, image, 0, 0);
    case 15: return cvn_matmul(net, vector, vector, 0, 1);
    case 16: return cvn_gram(net, vector);
    case 17: return cvn_mean_loss(net, labels);
    case 18: return cvn_total_variation_loss(net, vector);
    default: return cvn_embedding(net, labels, 0, 4);
    }
}

static void refusals(void)
{
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
    CHECK(cvn_sub(NULL, cvn_exp(NULL, cvn_input(NULL, 1, 1, 1)), cvn_input(NULL, 1, 1, 1)).id == 0);
}

int main(void)
{
    RUN(binary);
    RUN(unary);
    RUN(reductions);
    RUN(permutations);
    RUN(slices);
    RUN(split);
    RUN(matmul);
    RUN(matmul_broadcast);
    RUN(gram);
    RUN(losses);
    RUN(stop_and_reverse);
    RUN(stop_trains_nothing);
    RUN(embedding);
    RUN(embedding_golden_and_range);
    RUN(golden);
    RUN(refusals);
    return test_done();
}
