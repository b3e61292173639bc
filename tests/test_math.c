/* test_math.c - elementwise functions and operations, choice, products, least values, order along
 * an axis and running sums: against the double reference, finite differences and PyTorch's values.
 */
#include "../convnet.h"
#include "test.h"
#include "reference.h"

enum {
    RECIPROCAL, ERF, SIN, COS, TAN, ASIN, ACOS, ATAN, SINH, COSH, ASINH, ACOSH, ATANH, THRESHOLD,
    SHRINK,
    FLOOR, CEIL, ROUND, TRUNC, SIGN, IS_NAN, IS_INF, NOT,               /* these have no gradient */
    POWER, REMAINDER, FMOD, WHERE,
    EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, AND, OR, XOR,      /* nor these */
    REDUCE_MIN, REDUCE_PROD, CUMSUM, TOPK_LARGEST, TOPK_LEAST,
    TOPK_WHERE, TOPK_LEAST_WHERE, ARGMAX, ARGMIN, HARDMAX,              /* nor these */
    KINDS
};

#include "golden/math.h"

static const char *const names[KINDS] = {
    "reciprocal", "erf", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "asinh",
    "acosh", "atanh", "threshold", "shrink", "floor", "ceil", "round", "trunc", "sign", "is_nan",
    "is_inf", "not", "power", "remainder", "fmod", "where", "equal", "greater", "greater_equal",
    "less", "less_equal", "and", "or", "xor", "reduce_min", "reduce_prod", "cumsum", "topk",
    "topk of the least", "topk's indices", "topk's indices of the least", "argmax", "argmin",
    "hardmax"
};

static int is_flat(int kind)
{
    return (kind >= FLOOR && kind < POWER) || (kind >= EQUAL && kind < REDUCE_MIN) ||
           kind >= TOPK_WHERE;
}

static int is_unary(int kind) { return kind < POWER; }

/* What a case needs beyond layer_case; set before its check. */
static struct { int axes[4], count, k, exclusive, reverse; } now;

static const int one_three[2] = { 1, 3 };

static cvn_node topk_where(cvn_net *net, cvn_node x, int axis, int largest)
{
    cvn_node indices = { 0 };
    cvn_topk(net, x, now.k, axis, largest, &indices);
    return indices;
}

static cvn_node add_kind(cvn_net *net, int kind, int axis, const cvn_node *x)
{
    typedef cvn_node (*function)(cvn_net *, cvn_node);
    typedef cvn_node (*operation)(cvn_net *, cvn_node, cvn_node);
    static const function functions[] = {
        cvn_reciprocal, cvn_erf, cvn_sin, cvn_cos, cvn_tan, cvn_asin, cvn_acos, cvn_atan, cvn_sinh,
        cvn_cosh, cvn_asinh, cvn_acosh, cvn_atanh, NULL, NULL, cvn_floor, cvn_ceil, cvn_round,
        cvn_trunc, cvn_sign, cvn_is_nan, cvn_is_inf, cvn_not
    };
    static const operation operations[] = {
        cvn_power, cvn_remainder, cvn_fmod, NULL, cvn_equal, cvn_greater, cvn_greater_equal,
        cvn_less, cvn_less_equal, cvn_and, cvn_or, cvn_xor
    };
    switch (kind) {
    case THRESHOLD: return cvn_threshold(net, x[0], 0.25f, -3);
    case SHRINK: return cvn_shrink(net, x[0], 0.75f, 0.75f);
    case WHERE: return cvn_where(net, x[0], x[1], x[2]);
    case REDUCE_MIN: return cvn_reduce_min(net, x[0], now.axes, now.count);
    case REDUCE_PROD: return cvn_reduce_prod(net, x[0], now.axes, now.count);
    case CUMSUM: return cvn_cumsum(net, x[0], axis, now.exclusive, now.reverse);
    case TOPK_LARGEST: return cvn_topk(net, x[0], now.k, axis, 1, NULL);
    case TOPK_LEAST: return cvn_topk(net, x[0], now.k, axis, 0, NULL);
    case TOPK_WHERE: return topk_where(net, x[0], axis, 1);
    case TOPK_LEAST_WHERE: return topk_where(net, x[0], axis, 0);
    case ARGMAX: return cvn_argmax(net, x[0], axis);
    case ARGMIN: return cvn_argmin(net, x[0], axis);
    case HARDMAX: return cvn_hardmax(net, x[0], axis);
    default:
        if (is_unary(kind)) return functions[kind](net, x[0]);
        return operations[kind - POWER](net, x[0], x[1]);
    }
}

/* Random inputs lie in (-1.5, 1.5), or (0, 1): x times scale plus shift is where a function has
 * values and slopes to compare. */
static void domain(int kind, int input, double *scale, double *shift)
{
    *scale = 1;
    *shift = 0;
    if (kind == TAN || kind == ASIN || kind == ACOS || kind == ATANH) *scale = 0.25;
    if (kind == ACOSH) *shift = 4.25;
    if (kind == RECIPROCAL) *shift = 3.5;
    if (kind == POWER && !input) *shift = 3.25;
    if ((kind == REMAINDER || kind == FMOD) && input) *shift = 3;
    if (kind >= FLOOR && kind < POWER) *scale = 2;
}

/* Through what x goes before it is compared, so that some values are equal. */
static int is_rounded(int kind, int input)
{
    return kind == NOT || (kind == WHERE && !input) || (kind >= EQUAL && kind < REDUCE_MIN);
}

/* Behind a function without a gradient x is added: its gradient is then that of x alone. */
static cvn_node build_kind(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    cvn_node in[3];
    cvn_node y;
    for (int i = 0; i < c->inputs; i++) {
        double scale;
        double shift;
        domain(c->kind, i, &scale, &shift);
        in[i] = scale == 1 && shift == 0 ? x[i]
                                         : cvn_scale(net, x[i], (float)scale, (float)shift);
        if (is_rounded(c->kind, i)) in[i] = cvn_round(net, x[i]);
    }
    y = add_kind(net, c->kind, c->axis, in);
    if (!is_flat(c->kind)) return y;
    for (int i = 0; i < c->inputs; i++) {
        const int same = ref_same_shape(cvn_node_shape(net, y), cvn_node_shape(net, x[i]));
        if (same || is_unary(c->kind)) y = cvn_add(net, y, x[i]);
    }
    return y;
}

static double ref_function(int kind, double x)
{
    switch (kind) {
    case RECIPROCAL: return 1 / x;
    case ERF: return erf(x);
    case SIN: return sin(x);
    case COS: return cos(x);
    case TAN: return tan(x);
    case ASIN: return asin(x);
    case ACOS: return acos(x);
    case ATAN: return atan(x);
    case SINH: return sinh(x);
    case COSH: return cosh(x);
    case ASINH: return log(x + sqrt(x * x + 1));
    case ACOSH: return log(x + sqrt(x * x - 1));
    case ATANH: return 0.5 * log((1 + x) / (1 - x));
    case THRESHOLD: return x > 0.25 ? x : -3;
    case SHRINK: return fabs(x) <= 0.75 ? 0 : x > 0 ? x - 0.75 : x + 0.75;
    case FLOOR: return floor(x);
    case CEIL: return ceil(x);
    case ROUND: return rint(x);
    case TRUNC: return x < 0 ? ceil(x) : floor(x);
    case SIGN: return (x > 0) - (x < 0);
    case NOT: return x == 0;
    default: return 0;
    }
}

static double ref_operation(int kind, double a, double b)
{
    switch (kind) {
    case POWER: return pow(a, b);
    case REMAINDER: return a - b * floor(a / b);
    case FMOD: return fmod(a, b);
    case EQUAL: return a == b;
    case GREATER: return a > b;
    case GREATER_EQUAL: return a >= b;
    case LESS: return a < b;
    case LESS_EQUAL: return a <= b;
    case AND: return a != 0 && b != 0;
    case OR: return a != 0 || b != 0;
    default: return (a != 0) != (b != 0);
    }
}

static void ref_elements(const layer_case *c, int training, double *const *x, double *const *p,
                         double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        double v[3] = { 0, 0, 0 };
        double raw = 0;
        for (int k = 0; k < c->inputs; k++) {
            double scale;
            double shift;
            const double in = x[k][ref_broadcast(c->x[k], c->y, i)];
            domain(c->kind, k, &scale, &shift);
            v[k] = is_rounded(c->kind, k) ? rint(in) : scale * in + shift;
            if (ref_same_shape(c->x[k], c->y)) raw += in;
        }
        y[i] = c->kind == WHERE ? (v[0] != 0 ? v[1] : v[2])
               : is_unary(c->kind) ? ref_function(c->kind, v[0])
                                   : ref_operation(c->kind, v[0], v[1]);
        if (is_flat(c->kind)) y[i] += raw;
    }
}

static void start_case(layer_case *c, int kind, cvn_shape x, ref_forward forward)
{
    memset(c, 0, sizeof *c);
    c->kind = kind;
    c->n = x.dim[0];
    c->inputs = 1;
    c->x[0] = c->y = x;
    c->build = build_kind;
    c->forward = forward;
}

static void functions(void)
{
    for (int kind = 0; kind < POWER; kind++)
        for (int big = 0; big < 2; big++) {
            layer_case c;
            if (big && kind != ERF && kind != RECIPROCAL) continue;
            start_case(&c, kind, big ? ref_shape(4, 3, 4, 30, 31) : ref_shape(2, 3, 13, 0, 0),
                       ref_elements);
            c.big = big;
            snprintf(c.text, sizeof c.text, "%s%s", names[kind], big ? ", several tasks" : "");
            layer_check(&c);
            if (!big && kind < THRESHOLD) library_check(&c);
        }
}

static void operations(void)
{
    const cvn_shape shapes[4][3] = {
        { ref_shape(2, 3, 7, 0, 0), ref_shape(2, 3, 7, 0, 0), ref_shape(2, 3, 7, 0, 0) },
        { ref_shape(4, 2, 3, 4, 5), ref_shape(4, 2, 3, 1, 1), ref_shape(4, 2, 1, 4, 5) },
        { ref_shape(4, 2, 1, 4, 1), ref_shape(4, 2, 3, 1, 5), ref_shape(4, 2, 3, 4, 5) },
        { ref_shape(3, 2, 1, 1, 0), ref_shape(3, 2, 4, 1, 0), ref_shape(3, 2, 1, 6, 0) }
    };
    for (int kind = POWER; kind < REDUCE_MIN; kind++)
        for (int i = 0; i < 4; i++) {
            layer_case c;
            start_case(&c, kind, shapes[i][0], ref_elements);
            c.inputs = kind == WHERE ? 3 : 2;
            for (int k = 1; k < c.inputs; k++) {
                c.x[k] = shapes[i][k];
                for (int a = 0; a < c.y.rank; a++)
                    if (c.x[k].dim[a] > c.y.dim[a]) c.y.dim[a] = c.x[k].dim[a];
            }
            for (int k = 0; k < c.inputs; k++)
                c.no_gradient[k] = (is_flat(kind) && !ref_same_shape(c.x[k], c.y)) ||
                                   (kind == WHERE && !k);
            snprintf(c.text, sizeof c.text, "%s, shapes %d", names[kind], i);
            layer_check(&c);
        }
}

/* ================================================================================================
 * along axes
 * ============================================================================================== */

static void ref_reduce(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) y[i] = c->kind == REDUCE_MIN ? 1e300 : 1;
    for (int i = 0; i < ref_count(c->x[0]); i++) {
        double *to = &y[ref_broadcast(c->y, c->x[0], i)];
        *to = c->kind == REDUCE_MIN ? fmin(*to, x[0][i]) : *to * x[0][i];
    }
}

static void reductions(void)
{
    static const struct { int rank, axes[3], count; } rows[6] = {
        { 4, { 1 }, 1 }, { 4, { 2, 3 }, 2 }, { 4, { 3, 1 }, 2 },
        { 4, { 2 }, 1 }, { 4, { 0 }, 0 },    { 2, { 1 }, 1 }
    };
    for (int kind = REDUCE_MIN; kind <= REDUCE_PROD; kind++)
        for (int i = 0; i < 6; i++) {
            layer_case c;
            const int rank = rows[i].rank;
            start_case(&c, kind, ref_shape(rank, 3, 4, rank > 2 ? 3 : 0, rank > 2 ? 2 : 0),
                       ref_reduce);
            now.count = rows[i].count;
            memcpy(now.axes, rows[i].axes, sizeof rows[i].axes);
            for (int k = 0; k < now.count; k++) c.y.dim[now.axes[k]] = 1;
            for (int k = 1; !now.count && k < rank; k++) c.y.dim[k] = 1;
            snprintf(c.text, sizeof c.text, "%s, axes %d", names[kind], i);
            layer_check(&c);
        }
}

/* Element i of the row in which x lies: position `at` along the axis. */
static int row_place(cvn_shape s, int axis, int row, int at)
{
    int inner = 1;
    for (int i = axis + 1; i < s.rank; i++) inner *= s.dim[i];
    return (row / inner * s.dim[axis] + at) * inner + row % inner;
}

/* How many elements of the row come before element i: larger (or less) ones, equal ones before
 * it. */
static int ref_rank(const layer_case *c, const double *x, int row, int i)
{
    const int least = c->kind == TOPK_LEAST || c->kind == TOPK_LEAST_WHERE || c->kind == ARGMIN;
    const double own = x[row_place(c->x[0], c->axis, row, i)];
    int before = 0;
    for (int k = 0; k < c->x[0].dim[c->axis]; k++) {
        const double v = x[row_place(c->x[0], c->axis, row, k)];
        before += least ? v < own : v > own;
        before += v == own && k < i;
    }
    return before;
}

static void ref_order(const layer_case *c, int training, double *const *x, double *const *p,
                      double *y)
{
    const int values = c->kind == TOPK_LARGEST || c->kind == TOPK_LEAST;
    const int length = c->x[0].dim[c->axis];
    const int rows = ref_count(c->x[0]) / length;
    (void)training;
    (void)p;
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < length; i++) {
            const int place = row_place(c->x[0], c->axis, row, i);
            const int rank = ref_rank(c, x[0], row, i);
            if (c->kind == HARDMAX) y[place] = (rank == 0) + x[0][place];
            else if (rank < c->y.dim[c->axis])
                y[row_place(c->y, c->axis, row, rank)] = values ? x[0][place] : i;
            if (c->kind > TOPK_LEAST && c->kind < HARDMAX && ref_same_shape(c->x[0], c->y) &&
                i == length - 1)
                for (int k = 0; k < length; k++)
                    y[row_place(c->y, c->axis, row, k)] += x[0][row_place(c->y, c->axis, row, k)];
        }
}

static void order(void)
{
    const cvn_shape shapes[4] = { ref_shape(4, 2, 7, 3, 4), ref_shape(3, 3, 5, 9, 0),
                                  ref_shape(2, 3, 40, 0, 0), ref_shape(4, 2, 16, 30, 29) };
    for (int kind = TOPK_LARGEST; kind < KINDS; kind++)
        for (int i = 0; i < 4; i++)
            for (int axis = 1; axis < shapes[i].rank; axis++)
                for (int k = 1; k < 4; k++) {
                    layer_case c;
                    const int length = shapes[i].dim[axis];
                    if ((kind >= ARGMAX && k > 1) || (i == 3 && k != 2)) continue;
                    start_case(&c, kind, shapes[i], ref_order);
                    c.axis = axis;
                    c.big = i == 3;
                    now.k = k == 3 ? length : k == 2 ? (length + 1) / 2 : 1;
                    if (kind != HARDMAX) c.y.dim[axis] = now.k;
                    c.no_gradient[0] = is_flat(kind) && !ref_same_shape(c.x[0], c.y);
                    snprintf(c.text, sizeof c.text, "%s, shape %d, axis %d, k %d", names[kind], i,
                             axis, now.k);
                    layer_check(&c);
                }
}

static void ref_cumsum(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const int length = c->x[0].dim[c->axis];
    const int rows = ref_count(c->x[0]) / length;
    (void)training;
    (void)p;
    for (int row = 0; row < rows; row++)
        for (int i = 0; i < length; i++) {
            double *to = &y[row_place(c->y, c->axis, row, i)];
            *to = 0;
            for (int k = 0; k < length; k++)
                if ((now.reverse ? k > i : k < i) || (k == i && !now.exclusive))
                    *to += x[0][row_place(c->y, c->axis, row, k)];
        }
}

static void running_sums(void)
{
    for (int how = 0; how < 4; how++)
        for (int axis = 1; axis < 4; axis++) {
            layer_case c;
            start_case(&c, CUMSUM, ref_shape(4, 2, 5, 3, 4), ref_cumsum);
            now.exclusive = how & 1;
            now.reverse = how >> 1;
            c.axis = axis;
            snprintf(c.text, sizeof c.text, "cumsum, axis %d%s%s", axis,
                     now.exclusive ? ", exclusive" : "", now.reverse ? ", reverse" : "");
            layer_check(&c);
            if (!how) library_check(&c);
        }
}

/* ================================================================================================
 * PyTorch, special values, what is refused
 * ============================================================================================== */

static void near_all(const float *a, const float *b, int count)
{
    if (!CHECK(a != NULL && b != NULL)) return;
    for (int i = 0; i < count; i++)
        CHECKF(fabs((double)a[i] - (double)b[i]) <= 2e-6 * (1 + fabs((double)b[i])),
               "element %d: %.9g instead of %.9g", i, (double)a[i], (double)b[i]);
}

static void golden(void)
{
    for (size_t i = 0; i < sizeof golden_rows / sizeof golden_rows[0]; i++) {
        const golden_row *const r = &golden_rows[i];
        cvn_net *net = cvn_create(NULL);
        cvn_node in[3];
        cvn_node to[3];
        cvn_node y;
        test_case("PyTorch's %s, row %d", names[r->kind], (int)i);
        for (int k = 0; k < r->inputs; k++) {
            to[k] = in[k] = cvn_input_tensor(net, r->shape[k].dim + 1, r->shape[k].rank - 1);
            if (r->dx[k]) cvn_want_grad(net, in[k]);
        }
        memcpy(now.axes, one_three, sizeof one_three);
        now.count = now.k = 2;
        now.exclusive = now.reverse = 0;
        if (r->kind == REMAINDER && r->axis) to[1] = cvn_neg(net, in[1]);
        y = add_kind(net, r->kind, r->axis, to);
        cvn_output(net, y);
        if (!is_flat(r->kind)) cvn_want_grad(net, y);
        if (CHECKF(cvn_build(net, r->shape[0].dim[0]) == CVN_OK, "%s", cvn_error(net))) {
            for (int k = 0; k < r->inputs; k++)
                CHECK(cvn_set_input(net, in[k], r->x[k], r->shape[0].dim[0]) == CVN_OK);
            CHECK(cvn_forward(net) == CVN_OK);
            near_all(cvn_value(net, y), r->y, r->outputs);
            if (!is_flat(r->kind)) CHECK(cvn_backward_from(net, y, r->g) == CVN_OK);
            for (int k = 0; k < r->inputs && !is_flat(r->kind); k++)
                if (r->dx[k])
                    near_all(cvn_gradient(net, in[k]), r->dx[k],
                             ref_count(cvn_node_shape(net, in[k])));
        }
        cvn_destroy(net);
    }
}

/* f(x) of n values, one sample; y has room for n. kind: as above */
static void predict_row(int kind, int n, const float *x, float *y)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, n);
    cvn_output(net, add_kind(net, kind, 1, &in));
    if (CHECKF(cvn_build_infer(net, 1) == CVN_OK, "%s", cvn_error(net)))
        CHECKF(cvn_predict(net, x, 1, y) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

static void special_values(void)
{
    static const float x[12] = { 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f,
                                 NAN, INFINITY, -INFINITY, 0, -0.0f, 1e30f };
    static const float rounded[6] = { 0, 2, 2, 0, -2, -2 };
    float y[12];
    test_case("round: of two the even one");
    predict_row(ROUND, 12, x, y);
    for (int i = 0; i < 6; i++) CHECK(y[i] == rounded[i]);
    CHECK(y[6] != y[6] && y[7] == INFINITY && y[8] == -INFINITY && y[11] == x[11]);
    test_case("is_nan");
    predict_row(IS_NAN, 12, x, y);
    for (int i = 0; i < 12; i++) CHECK(y[i] == (i == 6 ? 1.0f : 0.0f));
    test_case("is_inf");
    predict_row(IS_INF, 12, x, y);
    for (int i = 0; i < 12; i++) CHECK(y[i] == (i == 7 || i == 8 ? 1.0f : 0.0f));
    test_case("not");
    predict_row(NOT, 12, x, y);
    for (int i = 0; i < 12; i++) CHECK(y[i] == (i == 9 || i == 10 ? 1.0f : 0.0f));
    test_case("sign");
    predict_row(SIGN, 12, x, y);
    CHECK(y[6] != y[6] && y[7] == 1 && y[8] == -1 && y[9] == 0 && y[10] == 0 && y[11] == 1);
    test_case("NaN comes first");
    now.k = 12;
    predict_row(ARGMAX, 12, x, y);
    CHECK(y[0] == 6);
    predict_row(ARGMIN, 12, x, y);
    CHECK(y[0] == 6);
    predict_row(TOPK_LARGEST, 12, x, y);
    CHECK(y[0] != y[0] && y[1] == INFINITY && y[2] == x[11] && y[11] == -INFINITY);
    predict_row(TOPK_LEAST_WHERE, 12, x, y);
    CHECK(y[0] == 6 && y[1] == 8 && y[2] == 5 && y[5] == 9 && y[6] == 10 && y[11] == 7);
    test_case("the least of NaN and numbers");
    now.count = 0;
    predict_row(REDUCE_MIN, 12, x, y);
    CHECK(y[0] != y[0]);
    predict_row(REDUCE_MIN, 6, x, y);
    CHECK(y[0] == -2.5f);
}

static void erf_digits(void)
{
    enum { COUNT = 4096 };
    static float x[COUNT];
    static float y[COUNT];
    double worst = 0;
    for (int i = 0; i < COUNT; i++) x[i] = (float)((i - COUNT / 2) * (i % 7 ? 0.003 : 1e-6));
    predict_row(ERF, COUNT, x, y);
    for (int i = 0; i < COUNT; i++) {
        const double want = erf((double)x[i]);
        worst = fmax(worst, fabs((double)y[i] - want) / fmax(fabs(want), 1e-30));
    }
    CHECKF(worst < 2.5e-7, "relative error %.3g", worst);
    x[0] = NAN;
    x[1] = INFINITY;
    x[2] = -INFINITY;
    x[3] = 0;
    predict_row(ERF, 4, x, y);
    CHECK(y[0] != y[0] && y[1] == 1 && y[2] == -1 && y[3] == 0);
}

static void products_with_zeros(void)
{
    static const float x[12] = { 2, 3, 4, 5, /**/ 2, 0, 4, 5, /**/ 0, 3, 0, 5 };
    static const float dx[12] = { 60, 40, 30, 24, /**/ 0, 40, 0, 0, /**/ 0, 0, 0, 0 };
    static const float g[3] = { 1, 1, 1 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 4);
    const cvn_node y = cvn_reduce_prod(net, in, NULL, 0);
    cvn_want_grad(net, in);
    cvn_want_grad(net, y);
    cvn_output(net, y);
    if (CHECKF(cvn_build(net, 3) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, in, x, 3) == CVN_OK && cvn_forward(net) == CVN_OK);
        CHECK(cvn_backward_from(net, y, g) == CVN_OK);
        for (int i = 0; i < 12; i++) CHECK(cvn_gradient(net, in)[i] == dx[i]);
    }
    cvn_destroy(net);
}

/* What is not chosen has no part: no NaN comes from an infinite value or gradient there. */
static void where_masks(void)
{
    static const float condition[4] = { 1, 0, 1, 0 };
    static const float a[4] = { 1, NAN, -INFINITY, INFINITY };
    static const float b[4] = { NAN, 2, INFINITY, -3 };
    static const float g[4] = { 1, INFINITY, 2, 3 };
    cvn_net *net = cvn_create(NULL);
    cvn_node in[3];
    cvn_node y;
    for (int i = 0; i < 3; i++) in[i] = cvn_input_vector(net, 4);
    y = cvn_where(net, in[0], in[1], in[2]);
    for (int i = 1; i < 3; i++) cvn_want_grad(net, in[i]);
    cvn_want_grad(net, y);
    cvn_output(net, y);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net))) {
        const float *v;
        CHECK(cvn_set_input(net, in[0], condition, 1) == CVN_OK);
        CHECK(cvn_set_input(net, in[1], a, 1) == CVN_OK);
        CHECK(cvn_set_input(net, in[2], b, 1) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward_from(net, y, g) == CVN_OK);
        v = cvn_value(net, y);
        CHECK(v[0] == 1 && v[1] == 2 && v[2] == -INFINITY && v[3] == -3);
        v = cvn_gradient(net, in[1]);
        CHECK(v[0] == 1 && v[1] == 0 && v[2] == 2 && v[3] == 0);
        v = cvn_gradient(net, in[2]);
        CHECK(v[0] == 0 && v[1] == INFINITY && v[2] == 0 && v[3] == 3);
    }
    cvn_destroy(net);
}

static void refused(cvn_net *net, cvn_node y, cvn_result result, const char *text)
{
    CHECKF(!y.id && cvn_build(net, 1) == result, "%s", cvn_error(net));
    CHECKF(strstr(cvn_error(net), text) != NULL, "'%s' lacks '%s'", cvn_error(net), text);
    cvn_destroy(net);
}

static void refusals(void)
{
    for (int i = 0; i < 10; i++) {
        static const int dims[3] = { 3, 4, 5 };
        static const int other[3] = { 3, 2, 5 };
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_tensor(net, dims, 3);
        const cvn_node b = cvn_input_tensor(net, other, 3);
        const cvn_node v = cvn_input_vector(net, 7);
        test_case("refusal %d", i);
        switch (i) {
        case 0: refused(net, cvn_topk(net, x, 2, 0, 1, NULL), CVN_ERROR_ARGUMENT, "axis 0"); break;
        case 1: refused(net, cvn_topk(net, x, 6, 3, 1, NULL), CVN_ERROR_ARGUMENT, "has 5"); break;
        case 2: refused(net, cvn_topk(net, x, 0, 3, 1, NULL), CVN_ERROR_ARGUMENT, "0 val"); break;
        case 3: refused(net, cvn_argmax(net, x, 4), CVN_ERROR_ARGUMENT, "axis 4"); break;
        case 4: refused(net, cvn_cumsum(net, x, -1, 0, 0), CVN_ERROR_ARGUMENT, "axis -1"); break;
        case 5: refused(net, cvn_power(net, x, b), CVN_ERROR_SHAPE, "must agree or be 1"); break;
        case 6: refused(net, cvn_where(net, x, x, b), CVN_ERROR_SHAPE, "[3, 2, 5]"); break;
        case 7: refused(net, cvn_where(net, x, v, x), CVN_ERROR_SHAPE, "[7]"); break;
        case 8: refused(net, cvn_threshold(net, x, NAN, 0), CVN_ERROR_ARGUMENT, "number"); break;
        default: refused(net, cvn_reduce_min(net, x, dims, 3), CVN_ERROR_ARGUMENT, "axis 4"); break;
        }
    }
    CHECK(!cvn_where(NULL, cvn_find(NULL, "a"), cvn_find(NULL, "b"), cvn_find(NULL, "c")).id);
}

int main(void)
{
    RUN(functions);
    RUN(operations);
    RUN(reductions);
    RUN(order);
    RUN(running_sums);
    RUN(golden);
    RUN(special_values);
    RUN(erf_digits);
    RUN(products_with_zeros);
    RUN(where_masks);
    RUN(refusals);
    return test_done();
}
