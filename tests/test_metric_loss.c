/* test_metric_loss.c - rooms >>rowloss, >>ctc, >>penalty and >>features: boxes, embeddings, label
 * sequences, penalties on weights, another net as a layer; and all losses with sample weights and
 * mixed labels against PyTorch. TEST_QUICK: fewer sizes. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/loss.h"

#ifdef TEST_QUICK
    #define SIZES 3
#else
    #define SIZES 4
#endif

/* ================================================================================================
 * PyTorch: every loss, plain and with sample weights
 * ============================================================================================== */

static const float class_weights[4] = { 0.25f, 1.5f, 2.0f, 0.5f };

static int is(const char *name, const char *what) { return strcmp(name, what) == 0; }
static int begins(const char *name, const char *what)
{
    return strncmp(name, what, strlen(what)) == 0;
}

static cvn_node pair_of_name(cvn_net *net, const char *name, const cvn_node *x)
{
    if (is(name, "mse")) return cvn_mse_loss(net, x[0], x[1]);
    if (is(name, "bce")) return cvn_bce_with_logits_loss(net, x[0], x[1]);
    if (is(name, "mae")) return cvn_mae_loss(net, x[0], x[1]);
    if (is(name, "huber")) return cvn_huber_loss(net, x[0], x[1], 0.75f);
    if (is(name, "smooth_l1")) return cvn_smooth_l1_loss(net, x[0], x[1], 0.5f);
    if (is(name, "msle")) return cvn_msle_loss(net, x[0], x[1]);
    if (is(name, "kl")) return cvn_kl_div_loss(net, x[0], x[1]);
    if (is(name, "dice")) return cvn_dice_loss(net, x[0], x[1], 1);
    if (is(name, "mean")) return cvn_mean_loss(net, x[0]);
    if (is(name, "variation")) return cvn_total_variation_loss(net, x[0]);
    if (begins(name, "soft_cross")) return cvn_soft_cross_entropy_loss(net, x[0], x[1]);
    if (is(name, "iou")) return cvn_iou_loss(net, x[0], x[1]);
    if (is(name, "giou")) return cvn_giou_loss(net, x[0], x[1]);
    if (is(name, "triplet")) return cvn_triplet_loss(net, x[0], x[1], x[2], 1.5f);
    if (begins(name, "contrastive")) return cvn_contrastive_loss(net, x[0], x[1], x[2], 2);
    return cvn_vae_kl_loss(net, x[0], x[1]);
}

static cvn_node ctc_of_name(cvn_net *net, const char *name, const cvn_node *x)
{
    cvn_ctc_desc d = cvn_ctc_defaults();
    cvn_node logs = x[0];
    if (is(name, "ctc_blank")) d.blank = 4;
    if (is(name, "ctc_zero")) d.zero_infinity = 1;
    if (is(name, "ctc_logits")) logs = cvn_log_softmax(net, x[0]);
    if (x[2].id) d.input_lengths = x[2];
    if (x[3].id) d.label_lengths = x[3];
    return cvn_ctc_loss(net, logs, x[1], &d);
}

static cvn_node loss_of_name(cvn_net *net, const char *name, const cvn_node *x)
{
    const int all = strstr(name, "_all") != NULL;
    if (begins(name, "softmax")) {
        cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
        d.labels = x[1];
        if (all) d.class_weights = class_weights;
        if (all) d.label_smoothing = 0.1f;
        if (all) d.ignore_index = -7;
        return cvn_softmax_loss_ex(net, x[0], &d);
    }
    if (begins(name, "nll") && all) {
        cvn_nll_loss_desc d = cvn_nll_loss_defaults();
        d.labels = x[1];
        d.class_weights = class_weights;
        d.ignore_index = -7;
        return cvn_nll_loss_ex(net, x[0], &d);
    }
    if (begins(name, "nll")) return cvn_nll_loss(net, x[0], x[1]);
    if (begins(name, "margin")) return cvn_multi_margin_loss(net, x[0], x[1]);
    if (begins(name, "ctc")) return ctc_of_name(net, name, x);
    return pair_of_name(net, name, x);
}

/* The same number, NaN and Inf included. */
static int agree(float a, float b, double tolerance)
{
    if (b != b) return a != a;
    return a == b || fabs((double)a - (double)b) <= tolerance * (1 + fabs((double)b));
}

static void golden_case(const loss_golden *g, int weighted)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x[4];
    const int n = g->x[0].dim[0];
    const float value = weighted ? g->weighted : g->value;
    test_case("%s of PyTorch%s", g->name, weighted ? ", sample weights" : "");
    memset(x, 0, sizeof x);
    for (int i = 0; i < g->inputs; i++) {
        const loss_tensor *t = &g->x[i];
        x[i] = t->f ? cvn_input_tensor(net, t->dim + 1, t->rank - 1)
                    : cvn_input_labels(net, t->dim + 1, t->rank - 1);
        if (t->d) cvn_want_grad(net, x[i]);
    }
    loss_of_name(net, g->name, x);
    CHECKF(cvn_build(net, n) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < g->inputs; i++)
        CHECK((g->x[i].f ? cvn_set_input(net, x[i], g->x[i].f, n)
                         : cvn_set_labels(net, x[i], g->x[i].i, n)) == CVN_OK);
    if (weighted) CHECK(cvn_set_sample_weights(net, loss_weights, n) == CVN_OK);
    if (strstr(g->name, "_mixed")) {
        memcpy(net->partner, loss_partner, (size_t)n * sizeof(int));
        net->mixed = n;
        net->mix = 0.7f;
    }
    CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
    CHECKF(agree(cvn_loss(net), value, 2e-6), "%g, not %g", (double)cvn_loss(net), (double)value);
    for (int i = 0; i < g->inputs; i++) {
        const float *expected = weighted ? g->x[i].w : g->x[i].d;
        const float *d = expected ? cvn_gradient(net, x[i]) : NULL;
        int count = 1;
        for (int k = 0; k < g->x[i].rank; k++) count *= g->x[i].dim[k];
        for (int k = 0; expected && CHECK(d != NULL) && k < count; k++)
            CHECKF(agree(d[k], expected[k], 2e-6), "gradient %d of input %d: %g, not %g", k, i,
                   (double)d[k], (double)expected[k]);
    }
    cvn_destroy(net);
}

static void pytorch(void)
{
    for (size_t i = 0; i < sizeof loss_goldens / sizeof loss_goldens[0]; i++)
        for (int weighted = 0; weighted < 2; weighted++) golden_case(&loss_goldens[i], weighted);
}

/* ================================================================================================
 * rows: references
 * ============================================================================================== */

enum { IOU, GIOU, TRIPLET, CONTRASTIVE, VAE, ROWS };

static const char *const row_names[ROWS] = { "iou", "giou", "triplet", "contrastive", "vae" };

/* [.., 4] numbers in (0, 1) -> boxes: corner `wide` times the first two, size 0.2 + the others */
static cvn_node make_boxes(cvn_net *net, cvn_node x, float wide)
{
    const int last = cvn_node_shape(net, x).rank - 1;
    const cvn_node low = cvn_scale(net, cvn_slice(net, x, last, 0, 2), wide, 0);
    const cvn_node size = cvn_scale(net, cvn_slice(net, x, last, 2, 4), 1, 0.2f);
    cvn_node both[2];
    both[0] = low;
    both[1] = cvn_add(net, low, size);
    return cvn_concat_n(net, both, 2, last);
}

static cvn_node build_row(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    if (c->kind == TRIPLET) return cvn_triplet_loss(net, x[0], x[1], x[2], c->a);
    if (c->kind == CONTRASTIVE) return cvn_contrastive_loss(net, x[0], x[1], x[2], c->a);
    if (c->kind == VAE) return cvn_vae_kl_loss(net, x[0], x[1]);
    return (c->kind == IOU ? cvn_iou_loss : cvn_giou_loss)(net, make_boxes(net, x[0], 2.5f),
                                                           make_boxes(net, x[1], 2.375f));
}

static double ref_box_loss(int generalized, const double *a, const double *b)
{
    const double w = fmin(a[2], b[2]) - fmax(a[0], b[0]);
    const double h = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    const double both = w > 0 && h > 0 ? w * h : 0;
    const double all = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;
    const double around = (fmax(a[2], b[2]) - fmin(a[0], b[0])) *
                          (fmax(a[3], b[3]) - fmin(a[1], b[1]));
    return 1 - both / (all + 1e-7) + (generalized ? (around - all) / (around + 1e-7) : 0);
}

static double ref_length(const double *a, const double *b, int count, double eps)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += pow(a[i] - b[i] + eps, 2);
    return sqrt(sum);
}

static double ref_row(const layer_case *c, double *const *x, int row, int size)
{
    const double *a = x[0] + row * size;
    const double *b = x[1] + row * size;
    const double margin = (double)c->a;
    double sum = 0;
    if (c->kind <= GIOU) {
        const double p[4] = { 2.5 * a[0], 2.5 * a[1], 2.5 * a[0] + (double)0.2f + a[2],
                              2.5 * a[1] + (double)0.2f + a[3] };
        const double q[4] = { 2.375 * b[0], 2.375 * b[1], 2.375 * b[0] + (double)0.2f + b[2],
                              2.375 * b[1] + (double)0.2f + b[3] };
        return ref_box_loss(c->kind == GIOU, p, q);
    }
    if (c->kind == TRIPLET)
        return fmax(0, margin + ref_length(a, b, size, 1e-6) -
                           ref_length(a, x[2] + row * size, size, 1e-6));
    if (c->kind == CONTRASTIVE) {
        const double d = ref_length(a, b, size, 0);
        return (x[2][row] * d * d + (1 - x[2][row]) * pow(fmax(0, margin - d), 2)) / 2;
    }
    for (int i = 0; i < size; i++) sum -= (1 + b[i] - a[i] * a[i] - exp(b[i])) / 2;
    return sum;
}

static void ref_rows(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    const int rows = c->kind <= GIOU ? ref_count(c->x[0]) / 4 : c->n;
    const int size = ref_count(c->x[0]) / rows;
    (void)training;
    (void)p;
    *y = 0;
    for (int i = 0; i < rows; i++)
        *y += ref_weight(c, i / (rows / c->n)) * ref_row(c, x, i, size) / rows;
}

static void rows(void)
{
    const cvn_shape boxes[4] = { ref_shape(2, 1, 4, 0, 0), ref_shape(2, 7, 4, 0, 0),
                                 ref_shape(3, 4, 5, 4, 0), ref_shape(4, 40, 9, 5, 4) };
    const cvn_shape vectors[4] = { ref_shape(2, 1, 5, 0, 0), ref_shape(2, 7, 3, 0, 0),
                                   ref_shape(2, 12, 17, 0, 0), ref_shape(2, 300, 33, 0, 0) };
    for (int k = 0; k < 2 * SIZES * ROWS; k++) {
        layer_case c;
        memset(&c, 0, sizeof c);
        c.kind = k % ROWS;
        c.x[0] = c.x[1] = c.x[2] = (c.kind <= GIOU ? boxes : vectors)[k / ROWS / 2];
        c.n = c.x[0].dim[0];
        c.inputs = c.kind == TRIPLET || c.kind == CONTRASTIVE ? 3 : 2;
        c.loss = 1;
        c.weighted = k / ROWS % 2;
        c.big = k / ROWS / 2 == 3;
        c.a = c.kind == TRIPLET ? 1.25f : 2.75f;
        if (c.kind <= GIOU) c.positive[0] = c.positive[1] = 1;
        if (c.kind == CONTRASTIVE) c.x[2] = ref_shape(1 + c.weighted, c.n, c.weighted, 0, 0);
        c.positive[2] = c.kind == CONTRASTIVE;
        c.build = build_row;
        c.forward = ref_rows;
        snprintf(c.text, sizeof c.text, "%s, %d numbers%s", row_names[c.kind],
                 ref_count(c.x[0]), c.weighted ? ", sample weights" : "");
        layer_check(&c);
    }
}

/* Rows where formulas break: equal embeddings, NaN, boxes without area. */
static void row_edges(void)
{
    const float same[4] = { 1, 2, 3, 4 };
    const float bad[4] = { 0, NAN, 1, 2 };
    const float point[4] = { 1, 1, 1, 1 };
    const float zero = 0;
    for (int i = 0; i < 3 * ROWS; i++) {
        const int kind = i % ROWS;
        const float *values = i < ROWS ? same : i < 2 * ROWS ? bad : point;
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_vector(net, 4);
        const cvn_node t = cvn_input_vector(net, 4);
        const cvn_node s = cvn_input_tensor(net, NULL, 0);
        test_case("%s of %s", row_names[kind],
                  i < ROWS ? "equals" : i < 2 * ROWS ? "NaN" : "points");
        cvn_want_grad(net, x);
        if (kind == IOU) cvn_iou_loss(net, x, t);
        if (kind == GIOU) cvn_giou_loss(net, x, t);
        if (kind == TRIPLET) cvn_triplet_loss(net, x, t, x, 1);
        if (kind == CONTRASTIVE) cvn_contrastive_loss(net, x, t, s, 1);
        if (kind == VAE) cvn_vae_kl_loss(net, x, t);
        CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_set_input(net, x, values, 1) == CVN_OK);
        CHECK(cvn_set_input(net, t, values == bad ? same : values, 1) == CVN_OK);
        CHECK(cvn_set_input(net, s, &zero, 1) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
        if (values == bad) CHECK(cvn_loss(net) != cvn_loss(net));
        else CHECKF(cvn_loss(net) - cvn_loss(net) == 0, "%g", (double)cvn_loss(net));
        for (int k = 0; values != bad && k < 4; k++)
            CHECK(cvn_gradient(net, x)[k] - cvn_gradient(net, x)[k] == 0);
        if (kind <= GIOU && i < ROWS) CHECK_NEAR(cvn_loss(net), 0, 1e-6);
        if (kind == CONTRASTIVE && i < ROWS)
            CHECK(cvn_loss(net) == 0.5f && cvn_gradient(net, x)[0] == 0);
        cvn_destroy(net);
    }
}

static void row_refusals(void)
{
    for (int i = 0; i < 10; i++) {
        cvn_net *net = cvn_create(NULL);
        const int dims[2] = { 3, 4 };
        const cvn_node x = cvn_input_vector(net, 3);
        const cvn_node box = cvn_input_tensor(net, dims, 2);
        const cvn_node labels = cvn_input_labels(net, NULL, 0);
        const cvn_node one = cvn_input_vector(net, 1);
        cvn_node loss = { 0 };
        test_case("refusal %d", i);
        if (i == 0) loss = cvn_iou_loss(net, x, x);
        if (i == 1) loss = cvn_giou_loss(net, box, x);
        if (i == 2) loss = cvn_triplet_loss(net, x, x, one, 1);
        if (i == 3) loss = cvn_triplet_loss(net, box, box, box, 1);
        if (i == 4) loss = cvn_triplet_loss(net, x, x, x, 0);
        if (i == 5) loss = cvn_contrastive_loss(net, x, x, one, NAN);
        if (i == 6) loss = cvn_contrastive_loss(net, x, x, x, 1);
        if (i == 7) loss = cvn_contrastive_loss(net, x, x, labels, 1);
        if (i == 8) loss = cvn_vae_kl_loss(net, x, one);
        if (i == 9) loss = cvn_soft_cross_entropy_loss(net, x, one);
        CHECK(!loss.id && cvn_build(net, 1) == (i == 4 || i == 5 ? CVN_ERROR_ARGUMENT
                                                                  : CVN_ERROR_SHAPE));
        CHECKF(strlen(cvn_error(net)) > 20, "'%s'", cvn_error(net));
        if (i == 0) CHECKF(strstr(cvn_error(net), "[N, ..., 4]") != NULL, "'%s'", cvn_error(net));
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * CTC
 * ============================================================================================== */

/* Probability of the labels: the sum over all C^steps paths that become them. p [steps, C] */
static double ref_all_paths(const double *p, int steps, int classes, int blank, const int *labels,
                            int count)
{
    double sum = 0;
    int paths = 1;
    for (int t = 0; t < steps; t++) paths *= classes;
    for (int path = 0; path < paths; path++) {
        double product = 1;
        int last = blank;
        int found = 0;
        int fits = 1;
        for (int t = 0, rest = path; t < steps; t++, rest /= classes) {
            const int k = rest % classes;
            product *= p[t * classes + k];
            if (k != blank && k != last) {
                fits = fits && found < count && labels[found] == k;
                found++;
            }
            last = k;
        }
        if (fits && found == count) sum += product;
    }
    return sum;
}

/* The same step by step: f[i][e], i labels are done, the path stands on the last (e = 1) or on a
 * blank. */
static double ref_path_sum(const double *p, int steps, int classes, int blank, const int *labels,
                           int count)
{
    double f[32][2];
    memset(f, 0, sizeof f);
    f[0][0] = 1;
    for (int t = 0; t < steps; t++, p += classes)
        for (int i = count; i >= 0; i--) {
            double on = 0;
            if (i > 0) on = f[i][1] + f[i - 1][0];
            if (i > 1 && labels[i - 1] != labels[i - 2]) on += f[i - 1][1];
            f[i][0] = (f[i][0] + f[i][1]) * p[blank];
            f[i][1] = i > 0 ? on * p[labels[i - 1]] : 0;
        }
    return f[count][0] + f[count][1];
}

/* x: logits [N, T, C], labels, and with c->axis lengths of both. c->kind: the blank is the last
 * class. */
static void ref_ctc(const layer_case *c, int training, double *const *x, double *const *p,
                    double *y)
{
    const int T = c->x[0].dim[1];
    const int C = c->x[0].dim[2];
    const int S = c->x[1].dim[1];
    double probabilities[600];
    int labels[32];
    (void)training;
    (void)p;
    *y = 0;
    for (int n = 0; n < c->n; n++) {
        const int steps = c->axis ? (int)x[2][n] : T;
        int count = 0;
        double sum;
        for (int i = 0; i < T * C; i++)
            probabilities[i] = exp(ref_log_softmax(x[0] + (n * T + i / C) * C, C, 1, i % C));
        for (int i = 0; i < S; i++) labels[i] = (int)x[1][n * S + i];
        while (count < S && labels[count] >= 0) count++;
        if (c->axis) count = (int)x[3][n];
        sum = (T < 7 ? ref_all_paths : ref_path_sum)(probabilities, steps, C, C - 1, labels, count);
        if (sum > 0) *y -= ref_weight(c, n) * log(sum) / (count > 0 ? count : 1) / c->n;
    }
}

static cvn_node build_ctc(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    cvn_ctc_desc d = cvn_ctc_defaults();
    d.blank = c->x[0].dim[2] - 1;
    d.zero_infinity = 1;
    if (c->axis) d.input_lengths = x[2];
    if (c->axis) d.label_lengths = x[3];
    return cvn_ctc_loss(net, cvn_log_softmax(net, x[0]), x[1], &d);
}

static void ctc(void)
{
    static const int sizes[5][4] = { { 1, 1, 2, 1 },  { 3, 4, 3, 2 }, { 5, 5, 4, 3 },
                                     { 4, 12, 5, 5 }, { 9, 40, 15, 12 } };
    for (int k = 0; k < 4 * SIZES + 4; k++) {
        const int *s = sizes[k / 4];
        layer_case c;
        memset(&c, 0, sizeof c);
        c.n = s[0];
        c.inputs = k % 4 / 2 ? 4 : 2;
        c.axis = k % 4 / 2;
        c.loss = 1;
        c.weighted = k % 2;
        c.x[0] = ref_shape(3, s[0], s[1], s[2], 0);
        c.x[1] = ref_shape(2, s[0], s[3], 0, 0);
        c.x[2] = c.x[3] = ref_shape(1, s[0], 0, 0, 0);
        c.label_classes[1] = s[2] - 1;
        c.label_classes[2] = s[1] + 1;
        c.label_classes[3] = s[3] + 1;
        c.no_gradient[1] = c.no_gradient[2] = c.no_gradient[3] = 1;
        if (!c.axis) c.softmax.ignore_index = -1;
        c.big = k / 4 == 4;
        c.build = build_ctc;
        c.forward = ref_ctc;
        snprintf(c.text, sizeof c.text, "ctc, %d samples, %d steps, %d classes%s%s", s[0], s[1],
                 s[2], c.axis ? ", lengths" : "", c.weighted ? ", sample weights" : "");
        layer_check(&c);
    }
}

/* Far out: a path of probability e^-3000 has a loss of 3000, and a gradient. */
static void ctc_far_out(void)
{
    const int labels[2] = { 1, 1 };
    float x[3 * 2];
    cvn_ctc_desc d = cvn_ctc_defaults();
    cvn_net *net = cvn_create(NULL);
    const int dims[2] = { 3, 2 };
    const cvn_node none = { 0 };
    const cvn_node in = cvn_input_tensor(net, dims, 2);
    d.max_labels = 2;
    cvn_want_grad(net, in);
    cvn_ctc_loss(net, in, none, &d);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < 6; i++) x[i] = i % 2 ? -1000.0f : 0.0f;
    CHECKF(cvn_train_batch(net, x, labels, 1, NULL) == CVN_OK, "%s", cvn_error(net));
    CHECK_NEAR(cvn_loss(net), 1000, 1e-3);              /* label, blank, label; two labels */
    CHECK_NEAR(cvn_gradient(net, in)[1], -0.5, 1e-6);
    CHECK_NEAR(cvn_gradient(net, in)[2], 0, 1e-6);
    x[1] = -INFINITY;                                   /* impossible: no path is left */
    CHECKF(cvn_train_batch(net, x, labels, 1, NULL) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_loss(net) == INFINITY);
    x[1] = NAN;
    CHECKF(cvn_train_batch(net, x, labels, 1, NULL) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_loss(net) != cvn_loss(net));
    cvn_destroy(net);
}

static void ctc_refusals(void)
{
    static const int bad[4][2] = { { 0, 1 }, { 3, 1 }, { 1, 1 }, { 1, 1 } };
    static const char *const texts[4] = { "label 0 of sample 0 is 0", "is 3", "5 steps",
                                          "3 labels" };
    const float x[12] = { 0 };
    for (int i = 0; i < 10; i++) {
        cvn_net *net = cvn_create(NULL);
        const int dims[2] = { 4, 3 };
        const int two = 2;
        cvn_node in = cvn_input_tensor(net, dims, 2);
        cvn_node labels = cvn_input_labels(net, &two, 1);
        cvn_ctc_desc d = cvn_ctc_defaults();
        int steps = i == 2 ? 5 : 4;
        int count = i == 3 ? 3 : 2;
        test_case("ctc refusal %d", i);
        d.input_lengths = cvn_input_labels(net, NULL, 0);
        d.label_lengths = cvn_input_labels(net, NULL, 0);
        if (i == 4) d.blank = 3;
        if (i == 5) d.blank = -1;
        if (i == 6) d.label_lengths = labels;
        if (i == 7) labels.id = 0;                      /* of how many? */
        if (i == 8) labels = in;
        if (i == 9) in = cvn_flatten(net, in);
        cvn_ctc_loss(net, in, labels, &d);
        if (i > 3) {
            CHECK(cvn_build(net, 1) == (i == 4 || i == 5 || i == 7 ? CVN_ERROR_ARGUMENT
                                                                   : CVN_ERROR_SHAPE));
            CHECKF(strlen(cvn_error(net)) > 20, "'%s'", cvn_error(net));
        } else {
            CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
            CHECK(cvn_set_input(net, in, x, 1) == CVN_OK);
            CHECK(cvn_set_labels(net, labels, bad[i], 1) == CVN_OK);
            CHECK(cvn_set_labels(net, d.input_lengths, &steps, 1) == CVN_OK);
            CHECK(cvn_set_labels(net, d.label_lengths, &count, 1) == CVN_OK);
            CHECK(cvn_forward(net) == CVN_ERROR_ARGUMENT);
            CHECKF(strstr(cvn_error(net), texts[i]) != NULL, "'%s'", cvn_error(net));
        }
        cvn_destroy(net);
    }
}

static void ctc_decode(void)
{
    static const int best[9] = { 0, 2, 2, 0, 2, 1, 1, 3, 0 };
    static const int expected[4] = { 2, 2, 1, 3 };
    float x[9 * 4];
    int labels[9];
    for (int i = 0; i < 36; i++) x[i] = i % 4 == best[i / 4] ? -0.1f : -5.0f - (float)(i % 3);
    CHECK(cvn_ctc_decode(x, 9, 4, 0, labels) == 4);
    for (int i = 0; i < 4; i++) CHECK(labels[i] == expected[i]);
    CHECK(cvn_ctc_decode(x, 9, 4, 3, labels) == 6 && labels[0] == 0 && labels[5] == 0);
    CHECK(cvn_ctc_decode(x, 0, 4, 0, labels) == 0);
    CHECK(cvn_ctc_decode(NULL, 9, 4, 0, labels) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_ctc_decode(x, 9, 4, 4, labels) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_ctc_decode(x, 9, 4, 0, NULL) == CVN_ERROR_ARGUMENT);
}

/* ================================================================================================
 * penalties on weights
 * ============================================================================================== */

enum { L1, L2, ORTHOGONALITY, PENALTIES };

static cvn_node make_penalty(cvn_net *net, int kind, cvn_node node, float factor)
{
    return (kind == L1   ? cvn_l1_penalty
            : kind == L2 ? cvn_l2_penalty
                         : cvn_orthogonality_penalty)(net, node, factor);
}

/* Value, and where g is not NULL its gradient, of w [out, rest]. */
static double ref_penalty(int kind, const float *w, int out, int rest, double *g)
{
    double sum = 0;
    for (int i = 0; i < out * rest; i++) {
        const double v = (double)w[i];
        if (kind != ORTHOGONALITY) sum += kind == L1 ? fabs(v) : v * v;
        g[i] = kind == L1 ? (v > 0) - (v < 0) : kind == L2 ? 2 * v : 0;
    }
    for (int i = 0; kind == ORTHOGONALITY && i < out; i++)
        for (int k = 0; k < out; k++) {
            double d = i == k ? -1 : 0;
            for (int c = 0; c < rest; c++)
                d += (double)w[i * rest + c] * (double)w[k * rest + c];
            sum += d * d;
            for (int c = 0; c < rest; c++) g[i * rest + c] += 4 * d * (double)w[k * rest + c];
        }
    return sum;
}

static void penalty_case(int kind, int conv, int out, int threads, int hook)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_node x;
    cvn_node penalty;
    cvn_net *net;
    cvn_param w;
    double *g;
    double value;
    double size = 0;
    float x0[2 * 3 * 5 * 5] = { 0 };
    int rest;
    desc.threads = threads;
    if (hook) desc.parallel_for = ref_backwards_for;
    net = cvn_create(&desc);
    x = cvn_input(net, 3, 5, 5);
    x = conv ? cvn_conv2d(net, x, out, 3, 1, 1) : cvn_dense(net, x, out);
    penalty = make_penalty(net, kind, x, 0.125f);
    cvn_add_loss(net, penalty, 3);
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(net->output == x.id && cvn_param_count(net) == 2);
    w = cvn_param_at(net, 0);
    rest = (int)w.count / out;
    ref_fill(w.value, (int)w.count, -0.8, 0.9, 17);
    w.value[1] = 0;
    g = (double *)ref_alloc(w.count, sizeof *g);
    value = ref_penalty(kind, w.value, out, rest, g);
    CHECK(cvn_set_input(net, cvn_find(net, "input1"), x0, 2) == CVN_OK);
    for (int pass = 1; pass < 3; pass++) {              /* gradients add up */
        CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
        CHECK_NEAR(cvn_value(net, penalty)[0], 0.125 * value, 1e-5 * fabs(value));
        CHECK_NEAR(cvn_loss(net), 0.375 * value, 1e-5 * fabs(value));
        for (size_t i = 0; i < w.count; i++) size = fmax(size, fabs(g[i]));
        for (size_t i = 0; i < w.count; i++)
            CHECK_NEAR(w.gradient[i], pass * 0.375 * g[i], 1e-5 * size);
    }
    for (int i = 0; i < out; i++) CHECK(cvn_param_at(net, 1).gradient[i] == 0);
    for (int i = 0; i < 6; i++) {                       /* the reference's gradient: differences */
        const size_t at = (size_t)i * 7 % w.count;
        const double step = 1.0 / 1024;
        const float kept = w.value[at];
        double *unused = (double *)ref_alloc(w.count, sizeof *g);
        double side[2];
        if (kind == L1 && fabs((double)kept) < 2 * step) {
            free(unused);
            continue;
        }
        for (int s = 0; s < 2; s++) {
            w.value[at] = kept + (float)(s ? step : -step);
            side[s] = ref_penalty(kind, w.value, out, rest, unused);
            w.value[at] = kept;
        }
        CHECK_NEAR((side[1] - side[0]) / (2 * step), g[at], 1e-3 * (1 + size));
        free(unused);
    }
    free(g);
    cvn_destroy(net);
}

static void penalties(void)
{
    for (int kind = 0; kind < PENALTIES; kind++)
        for (int i = 0; i < 2 * SIZES; i++) {
            const int out = i / 2 == 0 ? 1 : i / 2 == 1 ? 5 : i / 2 == 2 ? 40 : 130;
            test_case("penalty %d, %s, %d units", kind, i % 2 ? "conv" : "dense", out);
            for (int k = 0; k < (i / 2 == 3 ? 3 : 1); k++)
                penalty_case(kind, i % 2, out, 1 + 3 * k, k == 2);
        }
}

/* Owner frozen, tied before and after, renamed, frozen penalty; what a summary counts. */
static void penalty_owners(void)
{
    for (int i = 0; i < 5; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node in = cvn_input_vector(net, 4);
        const cvn_node a = cvn_dense(net, in, 3);
        const cvn_node b = cvn_dense(net, in, 3);
        const float x[4] = { 1, 2, 3, 4 };
        cvn_node penalty;
        char text[2000];
        test_case("owner %d", i);
        if (i == 1) cvn_tie(net, b, a);
        penalty = cvn_l2_penalty(net, b, 1);
        if (i == 2) cvn_tie(net, b, a);
        if (i == 0) cvn_freeze(net, b);
        if (i == 3) cvn_freeze(net, penalty);
        if (i == 4) cvn_name(net, penalty, "decay");
        CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
        CHECK(net->output == b.id);
        CHECK(cvn_parameters(net) == (i == 1 || i == 2 ? 15u : 30u));
        CHECK(cvn_summary(net, text, sizeof text) < (int)sizeof text);
        CHECKF(strstr(text, i == 4 ? "decay " : "penalty1 ") != NULL, "%s", text);
        CHECKF(strstr(strstr(text, "l2_penalty"), " 0 ") != NULL, "%s", text);
        CHECK(cvn_set_input(net, in, x, 1) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
        for (int k = 0; k < cvn_param_count(net); k++) {
            const cvn_param p = cvn_param_at(net, k);
            const int owner = is(p.name, i == 1 || i == 2 ? "fc1.weight" : "fc2.weight");
            double sum = 0;
            for (size_t e = 0; e < p.count; e++) {
                const float expected = owner && i != 0 && i != 3 ? 2 * p.value[e] : 0;
                CHECKF(p.gradient[e] == expected, "%s[%d]", p.name, (int)e);
                sum += (double)p.value[e] * (double)p.value[e];
            }
            if (owner) CHECK_NEAR(cvn_loss(net), sum, 1e-5 * sum);
        }
        CHECK(cvn_step(net) == CVN_OK);
        cvn_destroy(net);
    }
}

static void penalty_refusals(void)
{
    for (int i = 0; i < 6; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node in = cvn_input_vector(net, 4);
        const cvn_node a = cvn_dense(net, in, 3);
        const cvn_node none = { 0 };
        test_case("penalty refusal %d", i);
        if (i == 0) cvn_l1_penalty(net, in, 1);
        if (i == 1) cvn_l2_penalty(net, none, 1);
        if (i == 2) cvn_l1_penalty(net, a, NAN);
        if (i == 3) cvn_l1_penalty(net, cvn_l1_penalty(net, a, 1), 1);
        if (i == 4) cvn_tie(net, cvn_l1_penalty(net, a, 1), cvn_l1_penalty(net, a, 1));
        if (i == 5) cvn_orthogonality_penalty(net, cvn_relu(net, a), 1);
        CHECK(cvn_build(net, 1) == (i == 4 ? CVN_ERROR_SHAPE : CVN_ERROR_ARGUMENT));
        CHECKF(strlen(cvn_error(net)) > 15, "'%s'", cvn_error(net));
        cvn_destroy(net);
    }
}

/* Nothing but penalties: trained alone, L2 shrinks weights, orthogonality makes them orthogonal. */
static void penalty_training(void)
{
    const float x[6] = { 0, 0, 0, 0, 0, 0 };
    cvn_net *net = cvn_create(NULL);
    const cvn_optimizer sgd = cvn_sgd(0.05f, 0.5f);
    const cvn_node in = cvn_input_vector(net, 6);
    const cvn_node a = cvn_dense(net, in, 4);
    cvn_orthogonality_penalty(net, a, 1);
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, in, x, 1) == CVN_OK);
    for (int i = 0; i < 200; i++)
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
    CHECKF(cvn_loss(net) < 1e-6f, "%g", (double)cvn_loss(net));
    cvn_destroy(net);
}

/* ================================================================================================
 * another net as a layer
 * ============================================================================================== */

enum { BATCH = 3, PIXELS = 2 * 8 * 8, UNITS = 5 * 4 * 4 };

/* The features: conv, norm, relu, dropout, pool; in one net frozen, in the other in prediction
 * mode. */
static cvn_node extractor(cvn_net *net, cvn_node x, int dropout)
{
    x = cvn_relu(net, cvn_batchnorm(net, cvn_name(net, cvn_conv2d(net, x, 5, 3, 1, 1), "deep")));
    if (dropout) x = cvn_dropout(net, x, 0.5f);
    return cvn_avgpool(net, x, 2, 2);
}

/* Parameters that are not trivial; the same in both nets by their names. */
static void fill_parameters(cvn_net *net)
{
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        unsigned seed = 5;
        for (const char *c = p.name; *c; c++) seed = seed * 31u + (unsigned char)*c;
        ref_fill(p.value, (int)p.count, strstr(p.name, "running_var") ? 0.4 : -0.5, 1.1, seed);
    }
    cvn_touch(net);
}

typedef struct feature_run {
    float value[BATCH * UNITS], dx[BATCH * PIXELS], dw[2 * 2 * 3 * 3];
    float loss;
} feature_run;

static cvn_net *make_other(int keep_all, int whole, cvn_node *node)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *other;
    cvn_node in;
    desc.keep_all = keep_all;
    other = cvn_create(&desc);
    in = cvn_input(other, 2, 8, 8);
    *node = extractor(other, in, 1);
    if (whole) cvn_softmax_loss(other, cvn_dense(other, *node, 3));
    cvn_want_grad(other, in);
    cvn_want_grad(other, *node);
    if (whole) cvn_keep(other, *node);
    else cvn_output(other, *node);
    CHECKF(cvn_build(other, BATCH) == CVN_OK, "%s", cvn_error(other));
    fill_parameters(other);
    return other;
}

/* Mean squared error between the features of a convolution of x and those of a target. other NULL:
 * all in one net, frozen. */
static int run_features(cvn_net *other, cvn_node node, int perceptual, int n, feature_run *r)
{
    float x[BATCH * PIXELS];
    float target[BATCH * PIXELS];
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input(net, 2, 8, 8);
    const cvn_node goal = cvn_input(net, 2, 8, 8);
    const cvn_node conv = cvn_name(net, cvn_conv2d(net, in, 2, 3, 1, 1), "first");
    cvn_node a;
    cvn_node b;
    memset(r, 0, sizeof *r);
    cvn_want_grad(net, in);
    if (other && perceptual) cvn_perceptual_loss(net, conv, goal, other, node);
    a = other ? cvn_features(net, conv, other, node) : extractor(net, conv, 0);
    cvn_keep(net, a);
    if (other) b = cvn_features(net, goal, other, node);
    else {
        cvn_scope(net, "goal");
        b = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, goal, 5, 3, 1, 1)));
        cvn_tie(net, cvn_find(net, "goal.conv1"), cvn_find(net, "deep"));
        cvn_tie(net, cvn_find(net, "goal.bn1"), cvn_find(net, "bn1"));
        b = cvn_avgpool(net, b, 2, 2);
        cvn_freeze(net, cvn_find(net, "deep"));
        cvn_freeze(net, cvn_find(net, "bn1"));
        cvn_freeze(net, cvn_find(net, "goal.conv1"));
        cvn_freeze(net, cvn_find(net, "goal.bn1"));
    }
    if (!other || !perceptual) cvn_mse_loss(net, a, b);
    if (!CHECKF(cvn_build(net, BATCH) == CVN_OK, "%s", cvn_error(net))) {
        cvn_destroy(net);
        return 0;
    }
    fill_parameters(net);
    ref_fill(x, BATCH * PIXELS, -1, 1, 3);
    ref_fill(target, BATCH * PIXELS, -1, 1, 4);
    for (int pass = 0; pass < 2; pass++) {
        CHECK(cvn_zero_grad(net) == CVN_OK);
        CHECK(cvn_set_input(net, in, x, n) == CVN_OK);
        CHECK(cvn_set_input(net, goal, target, n) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
        r->loss = cvn_loss(net);
        memcpy(r->value, cvn_value(net, a), (size_t)(n * UNITS) * sizeof(float));
        CHECKF(cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
        memcpy(r->dx, cvn_gradient(net, in), (size_t)(n * PIXELS) * sizeof(float));
        memcpy(r->dw, cvn_param_find(net, "first.weight").gradient, sizeof r->dw);
    }
    cvn_destroy(net);
    return 1;
}

static void same_floats(const float *a, const float *b, int count, const char *what)
{
    double worst = 0;
    double size = 0;
    for (int i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)b[i]));
    }
    CHECKF(size > 0 && worst <= 1e-5 * size, "%s: off by %g of %g", what, worst, size);
}

static void features(void)
{
    static feature_run one;
    static feature_run two;
    for (int k = 0; k < 16; k++) {
        const int n = k & 4 ? BATCH - 1 : BATCH;
        cvn_node node = { 0 };
        cvn_net *other = make_other(k & 1, k & 2, &node);
        size_t count;
        float *g = cvn_flat_gradients(other, &count);
        float *w = (float *)ref_alloc(count, sizeof *w);
        test_case("features %d", k);
        memcpy(w, cvn_flat_parameters(other, NULL), count * sizeof *w);
        for (size_t i = 0; i < count; i++) g[i] = 0.5f + (float)i;
        if (run_features(NULL, node, 0, n, &one) && run_features(other, node, k & 8, n, &two)) {
            CHECK_NEAR(two.loss, one.loss, 1e-5 * (double)one.loss);
            same_floats(two.value, one.value, n * UNITS, "value");
            same_floats(two.dx, one.dx, n * PIXELS, "dx");
            same_floats(two.dw, one.dw, 36, "dw");
        }
        for (size_t i = 0; i < count; i++) CHECK(g[i] == 0.5f + (float)i);
        CHECK(memcmp(w, cvn_flat_parameters(other, NULL), count * sizeof *w) == 0);
        if (k & 2) {                                    /* its own training is as before */
            float x[BATCH * PIXELS];
            const int labels[BATCH] = { 0, 1, 2 };
            ref_fill(x, BATCH * PIXELS, -1, 1, 3);
            CHECKF(cvn_train_batch(other, x, labels, BATCH, NULL) == CVN_OK, "%s",
                   cvn_error(other));
            CHECK(memcmp(w, cvn_flat_parameters(other, NULL), count * sizeof *w) != 0);
        }
        free(w);
        cvn_destroy(other);
    }
}

/* For prediction, where the user runs the other net between forward and backward, and where x has
 * another reader. */
static void features_between(void)
{
    float x[BATCH * PIXELS];
    float y[2][BATCH * UNITS];
    float d[3][BATCH * PIXELS];
    cvn_node node = { 0 };
    cvn_net *other = make_other(0, 0, &node);
    ref_fill(x, BATCH * PIXELS, -1, 1, 3);
    for (int i = 0; i < 3; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node in = cvn_input(net, 2, 8, 8);
        const cvn_node f = cvn_features(net, in, other, node);
        cvn_want_grad(net, in);
        cvn_mse_loss(net, f, f);
        cvn_mean_loss(net, f);
        if (i == 2) cvn_mean_loss(net, in);
        CHECKF(cvn_build(net, BATCH) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_set_input(net, in, x, BATCH) == CVN_OK && cvn_forward(net) == CVN_OK);
        if (i == 1) CHECK(cvn_predict(other, x + PIXELS, 1, y[0]) == CVN_OK);
        CHECK(cvn_backward(net) == CVN_OK);
        memcpy(d[i], cvn_gradient(net, in), sizeof d[i]);
        CHECK(cvn_predict(net, x, BATCH, y[0]) == CVN_OK);
        CHECK(cvn_predict(other, x, BATCH, y[1]) == CVN_OK);
        CHECK(memcmp(y[0], y[1], sizeof y[0]) == 0);
        CHECKF(cvn_build_infer(net, 2) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_predict(net, x, BATCH, y[0]) == CVN_OK);
        CHECK(memcmp(y[0], y[1], sizeof y[0]) == 0);
        cvn_destroy(net);
    }
    CHECK(memcmp(d[0], d[1], sizeof d[0]) == 0);
    for (int k = 0; k < BATCH * PIXELS; k++)
        CHECK_NEAR(d[2][k], (double)d[0][k] + 1.0 / (BATCH * PIXELS), 1e-7);
    cvn_destroy(other);
}

static void features_refusals(void)
{
    static const cvn_result results[9] = { CVN_ERROR_ARGUMENT, CVN_ERROR_STATE,
                                           CVN_ERROR_STATE,    CVN_ERROR_STATE,
                                           CVN_ERROR_STATE,    CVN_ERROR_SHAPE,
                                           CVN_ERROR_ARGUMENT, CVN_ERROR_ARGUMENT,
                                           CVN_ERROR_ARGUMENT };
    static const char *const texts[9] = { "another net",         "cvn_build",  "cvn_build",
                                          "cvn_want_grad",       "cvn_output", "[2, 8, 8]",
                                          "built for 3 samples", "a layer of the other net",
                                          "another net" };
    for (int i = 0; i < 9; i++) {
        cvn_net *net = cvn_create(NULL);
        cvn_net *other = cvn_create(NULL);
        const cvn_node x = i == 5 ? cvn_input(net, 2, 8, 7) : cvn_input(net, 2, 8, 8);
        const cvn_node in = cvn_input(other, 2, 8, 8);
        cvn_node node = extractor(other, in, 1);
        cvn_node f;
        test_case("features refusal %d", i);
        if (i != 3) cvn_want_grad(other, in);
        cvn_want_grad(other, node);
        if (i == 4) cvn_dense(other, node, 2);
        if (i == 2) CHECK(cvn_build_infer(other, 3) == CVN_OK);
        else if (i != 1) CHECKF(cvn_build(other, 3) == CVN_OK, "%s", cvn_error(other));
        if (i == 7) node.id = 99;
        f = cvn_features(net, x, i == 0 ? NULL : i == 8 ? net : other, node);
        CHECK((f.id != 0) == (i == 6));
        CHECK(cvn_build(net, 4) == results[i]);
        CHECKF(strstr(cvn_error(net), texts[i]) != NULL, "'%s'", cvn_error(net));
        if (i == 6) CHECKF(cvn_build(net, 3) == CVN_OK, "%s", cvn_error(net));
        cvn_destroy(net);
        cvn_destroy(other);
    }
}

/* What goes wrong inside the other net is said with its own words. */
static void features_inside(void)
{
    const float x[3] = { 0 };
    cvn_net *net = cvn_create(NULL);
    cvn_net *other = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(other, 3);
    const cvn_node second = cvn_name(other, cvn_input_vector(other, 3), "style");
    const cvn_node y = cvn_add(other, in, second);
    const cvn_node a = cvn_input_vector(net, 3);
    cvn_want_grad(other, in);
    cvn_want_grad(other, y);
    cvn_output(other, y);
    CHECKF(cvn_build(other, 1) == CVN_OK, "%s", cvn_error(other));
    cvn_mean_loss(net, cvn_features(net, a, other, y));
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, a, x, 1) == CVN_OK && cvn_forward(net) == CVN_ERROR_STATE);
    CHECKF(strstr(cvn_error(net), "features1: the other net: input 'style'") != NULL, "'%s'",
           cvn_error(net));
    CHECK(cvn_set_input(other, second, x, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK(cvn_build_infer(other, 1) == CVN_OK && cvn_forward(net) == CVN_ERROR_STATE);
    cvn_destroy(net);
    cvn_destroy(other);
}

int main(void)
{
    RUN(pytorch);
    RUN(rows);
    RUN(row_edges);
    RUN(row_refusals);
    RUN(ctc);
    RUN(ctc_far_out);
    RUN(ctc_refusals);
    RUN(ctc_decode);
    RUN(penalties);
    RUN(penalty_owners);
    RUN(penalty_refusals);
    RUN(penalty_training);
    RUN(features);
    RUN(features_between);
    RUN(features_refusals);
    RUN(features_inside);
    return test_done();
}
