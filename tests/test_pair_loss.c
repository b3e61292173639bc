/* test_pair_loss.c - losses other than softmax cross-entropy, squared error and BCE: against double
 * references and PyTorch, and their errors. */
#define CONVNET_IMPLEMENTATION       /* mixed samples are set from inside */
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#include "golden/training.h"

enum { MAE, HUBER, SMOOTH_L1, MSLE, HINGE, KL, FOCAL, FOCAL_PLAIN, DICE, PAIRS, NLL = PAIRS,
       MARGIN, NLL_EX, LOSSES };

static const char *const loss_names[LOSSES] = { "mae",   "huber",       "smooth L1", "msle",
                                                "hinge", "KL",          "focal",     "focal plain",
                                                "dice",  "nll",         "multi margin", "nll ex" };

static cvn_node make_loss(cvn_net *net, int kind, cvn_node x, cvn_node t)
{
    switch (kind) {
    case MAE: return cvn_mae_loss(net, x, t);
    case HUBER: return cvn_huber_loss(net, x, t, 0.75f);
    case SMOOTH_L1: return cvn_smooth_l1_loss(net, x, t, 0.5f);
    case MSLE: return cvn_msle_loss(net, x, t);
    case HINGE: return cvn_hinge_loss(net, x, t);
    case KL: return cvn_kl_div_loss(net, x, t);
    case FOCAL: return cvn_focal_with_logits_loss(net, x, t, 2, 0.25f);
    case FOCAL_PLAIN: return cvn_focal_with_logits_loss(net, x, t, 1.5f, -1);
    case DICE: return cvn_dice_loss(net, x, t, 1);
    case NLL: return cvn_nll_loss(net, x, t);
    case MARGIN: return cvn_multi_margin_loss(net, x, t);
    default: return cvn_soft_cross_entropy_loss(net, x, t);
    }
}

static cvn_node build_nll_ex(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    cvn_nll_loss_desc d = cvn_nll_loss_defaults();
    d.labels = x[1];
    d.class_weights = c->class_weights;
    d.ignore_index = c->softmax.ignore_index;
    return cvn_nll_loss_ex(net, x[0], &d);
}

static cvn_node build_loss(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    return make_loss(net, c->kind, x[0], x[1]);
}

/* ================================================================================================
 * references
 * ============================================================================================== */

static double ref_focal(double x, double t, double gamma, double alpha)
{
    const double s = 1 / (1 + exp(-x));
    const double a = alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t);
    return -a * pow(s + t - 2 * s * t, gamma) * (t * log(s) + (1 - t) * log(1 - s));
}

static double ref_element(int kind, double x, double t)
{
    const double d = fabs(x - t);
    switch (kind) {
    case MAE: return d;
    case HUBER: return d < 0.75 ? d * d / 2 : 0.75 * (d - 0.375);
    case SMOOTH_L1: return d < 0.5 ? d * d : d - 0.25;
    case MSLE: return pow(log((1 + x) / (1 + t)), 2);
    case HINGE: return fmax(0, 1 - x * t);
    case KL: return t * log(t) - t * x;
    case FOCAL: return ref_focal(x, t, 2, 0.25);
    default: return ref_focal(x, t, 1.5, -1);
    }
}

static void ref_pair(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    const int count = ref_count(c->x[0]);
    (void)training;
    (void)p;
    *y = 0;
    for (int i = 0; i < count; i++)
        *y += ref_weight(c, i / (count / c->n)) * ref_element(c->kind, x[0][i], x[1][i]);
    *y /= c->kind == KL ? c->n : count;
}

static void ref_dice(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    const int size = ref_count(c->x[0]) / c->n;
    (void)training;
    (void)p;
    *y = 0;
    for (int n = 0; n < c->n; n++) {
        double above = 1;
        double below = 1;
        for (int i = n * size; i < (n + 1) * size; i++) {
            above += 2 * x[0][i] * x[1][i];
            below += x[0][i] * x[0][i] + x[1][i] * x[1][i];
        }
        *y += ref_weight(c, n) * (1 - above / below) / c->n;
    }
}

/* Classes on c->axis; label -100 (c->softmax.ignore_index) does not count. */
static void ref_labels(const layer_case *c, int training, double *const *x, double *const *p,
                       double *y)
{
    const int classes = c->x[0].dim[c->axis];
    const int count = ref_count(c->x[1]);
    const int ignored = c->softmax.ignore_index ? c->softmax.ignore_index : -100;
    int step = 1;
    double counted = 0;
    double sum = 0;
    (void)training;
    (void)p;
    for (int i = c->axis + 1; i < c->x[0].rank; i++) step *= c->x[0].dim[i];
    for (int i = 0; i < 2 * count; i++) {
        const int at = i / 2;
        const double *v = x[0] + at / step * classes * step + at % step;
        double one = 0;
        int t;
        double share = ref_label_share(c, x[1], count, at, i % 2, &t);
        if (t == ignored) continue;
        if (c->kind == NLL_EX) share *= (double)c->class_weights[t];
        counted += share;
        if (c->kind != MARGIN) one = -v[t * step];
        for (int k = 0; c->kind == MARGIN && k < classes; k++)
            if (k != t) one += fmax(0, 1 - v[t * step] + v[k * step]) / classes;
        sum += ref_weight(c, at / (count / c->n)) * share * one;
    }
    *y = counted > 0 ? sum / counted : 0;
}

/* -sum t log softmax(x) over c->axis */
static void ref_soft(const layer_case *c, int training, double *const *x, double *const *p,
                     double *y)
{
    const int classes = c->x[0].dim[c->axis];
    const int count = ref_count(c->x[0]) / classes;
    int step = 1;
    (void)training;
    (void)p;
    *y = 0;
    for (int i = c->axis + 1; i < c->x[0].rank; i++) step *= c->x[0].dim[i];
    for (int i = 0; i < count; i++) {
        const int at = i / step * classes * step + i % step;
        for (int k = 0; k < classes; k++)
            *y -= ref_weight(c, i / (count / c->n)) * x[1][at + k * step] *
                  ref_log_softmax(x[0] + at, classes, step, k) / count;
    }
}

/* ================================================================================================
 * cases
 * ============================================================================================== */

static void pairs(void)
{
    const cvn_shape shapes[5] = { ref_shape(2, 1, 1, 0, 0), ref_shape(2, 5, 13, 0, 0),
                                  ref_shape(4, 2, 3, 5, 4), ref_shape(3, 2, 3, 7, 0),
                                  ref_shape(4, 4, 4, 33, 40) };
    for (int kind = 0; kind < PAIRS; kind++)
        for (int i = 0; i < 9; i++) {
            const cvn_shape shape = shapes[i < 5 ? i : i - 5];
            layer_case c;
            memset(&c, 0, sizeof c);
            c.n = shape.dim[0];
            c.inputs = 2;
            c.loss = 1;
            c.kind = kind;
            c.big = i == 4;
            c.weighted = i > 4;
            c.x[0] = c.x[1] = shape;
            c.positive[0] = kind == MSLE || kind == DICE;
            c.positive[1] = kind >= KL || kind == MSLE;
            c.build = build_loss;
            c.forward = kind == DICE ? ref_dice : ref_pair;
            snprintf(c.text, sizeof c.text, "%s, %d values%s", loss_names[kind], ref_count(shape),
                     c.weighted ? ", sample weights" : "");
            layer_check(&c);
        }
}

static void labels(void)
{
    const cvn_shape shapes[5] = { ref_shape(2, 1, 3, 0, 0), ref_shape(2, 7, 10, 0, 0),
                                  ref_shape(4, 2, 5, 3, 4), ref_shape(3, 3, 4, 6, 0),
                                  ref_shape(4, 2, 4, 70, 80) };
    for (int k = 0; k < 45; k++) {
        const int plain = k / 3 % 3 == 0;
        layer_case c;
        memset(&c, 0, sizeof c);
        c.kind = k % 3 == 0 ? NLL : k % 3 == 1 ? MARGIN : NLL_EX;
        c.x[0] = shapes[k / 9];
        c.n = c.x[0].dim[0];
        c.inputs = 2;
        c.loss = 1;
        c.axis = c.x[0].rank == 3 ? 2 : 1;
        c.x[1].rank = c.x[0].rank - 1;
        for (int i = 0, to = 0; i < c.x[0].rank; i++)
            if (i != c.axis) c.x[1].dim[to++] = c.x[0].dim[i];
        c.label_classes[1] = c.x[0].dim[c.axis];
        c.no_gradient[1] = 1;
        c.big = k / 9 == 4;
        c.weighted = !plain;
        c.mixed = k / 3 % 3 == 2;
        if (!plain) c.softmax.ignore_index = c.kind == NLL_EX ? -3 : -100;
        for (int i = 0; i < 16; i++) c.class_weights[i] = 0.25f + (float)((i * 5) % 7);
        c.build = c.kind == NLL_EX ? build_nll_ex : build_loss;
        c.forward = ref_labels;
        snprintf(c.text, sizeof c.text, "%s, rank %d, %d samples%s%s", loss_names[c.kind],
                 c.x[0].rank, c.n, plain ? "" : ", ignored labels, sample weights",
                 c.mixed ? ", mixed" : "");
        layer_check(&c);
    }
}

static void soft_labels(void)
{
    const cvn_shape shapes[5] = { ref_shape(2, 1, 1, 0, 0), ref_shape(2, 7, 10, 0, 0),
                                  ref_shape(4, 2, 5, 3, 4), ref_shape(3, 3, 4, 6, 0),
                                  ref_shape(4, 2, 4, 70, 80) };
    for (int k = 0; k < 10; k++) {
        layer_case c;
        memset(&c, 0, sizeof c);
        c.kind = LOSSES;
        c.x[0] = c.x[1] = shapes[k / 2];
        c.n = c.x[0].dim[0];
        c.inputs = 2;
        c.loss = 1;
        c.axis = c.x[0].rank == 3 ? 2 : 1;
        c.positive[1] = 1;
        c.big = k / 2 == 4;
        c.weighted = k % 2;
        c.build = build_loss;
        c.forward = ref_soft;
        snprintf(c.text, sizeof c.text, "soft cross-entropy, rank %d, %d samples%s", c.x[0].rank,
                 c.n, c.weighted ? ", sample weights" : "");
        layer_check(&c);
    }
}

/* ================================================================================================
 * PyTorch
 * ============================================================================================== */

enum { ROWS = 5, COLUMNS = 6, VALUES = ROWS * COLUMNS };

/* expected: the loss, the gradient of a, and with both that of b */
static void against(int kind, const float *a, const float *b, const float *expected, int both)
{
    const int columns = COLUMNS;
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, &columns, 1);
    const cvn_node none = { 0 };
    const cvn_node t = kind >= NLL ? none : cvn_input_tensor(net, &columns, 1);
    int classes[ROWS] = { 0, 0, 0, 0, 0 };
    test_case("%s of PyTorch", loss_names[kind]);
    make_loss(net, kind, x, t);
    cvn_want_grad(net, x);
    if (both) cvn_want_grad(net, t);
    CHECKF(cvn_build(net, ROWS) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, x, a, ROWS) == CVN_OK);
    if (kind < NLL) {
        CHECK(cvn_set_input(net, t, b, ROWS) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK);
    } else {
        for (int i = 0; i < ROWS; i++) classes[i] = (int)b[i];
        CHECK(cvn_train_batch(net, a, classes, ROWS, NULL) == CVN_OK);
    }
    CHECK_NEAR((double)cvn_loss(net), (double)expected[0], 2e-6 * (1 + (double)expected[0]));
    for (int i = 0; i < VALUES * (1 + both); i++) {
        const float *g = cvn_gradient(net, i < VALUES ? x : t);
        if (CHECK(g != NULL)) CHECK_NEAR((double)g[i % VALUES], (double)expected[1 + i], 1e-6);
    }
    cvn_destroy(net);
}

static void pytorch(void)
{
    against(MAE, training_mae_a, training_mae_b, training_mae, 1);
    against(HUBER, training_huber_a, training_huber_b, training_huber, 1);
    against(SMOOTH_L1, training_smooth_l1_a, training_smooth_l1_b, training_smooth_l1, 1);
    against(MSLE, training_msle_a, training_msle_b, training_msle, 1);
    against(HINGE, training_hinge_a, training_hinge_b, training_hinge, 0);
    against(KL, training_kl_a, training_kl_b, training_kl, 0);
    against(KL, training_kl_zero_a, training_kl_zero_b, training_kl_zero, 0);
    against(FOCAL, training_focal_a, training_focal_b, training_focal, 0);
    against(FOCAL_PLAIN, training_focal_plain_a, training_focal_plain_b, training_focal_plain, 1);
    against(DICE, training_dice_a, training_dice_b, training_dice, 1);
    against(NLL, training_nll_a, training_nll_b, training_nll, 0);
    against(MARGIN, training_margin_a, training_margin_b, training_margin, 0);
}

/* Where formulas break: far out, at zero, a NaN is seen. */
static void edges(void)
{
    const float x[3] = { 100, -100, NAN };
    for (int kind = 0; kind < PAIRS; kind++)
        for (int i = 0; i < 3; i++) {
            cvn_net *net = cvn_create(NULL);
            const cvn_node in = cvn_input_vector(net, 1);
            const cvn_node target = cvn_target(net, in);
            const float one = 1;
            float loss = 0;
            test_case("%s at %g", loss_names[kind], (double)x[i]);
            make_loss(net, kind, in, target);
            cvn_want_grad(net, in);
            CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
            CHECK(cvn_train_batch_target(net, &x[i], &one, 1, &loss) == CVN_OK);
            if (i == 2) CHECK(loss != loss);
            else if (kind != MSLE)
                CHECK(loss - loss == 0 && cvn_gradient(net, in)[0] - cvn_gradient(net, in)[0] == 0);
            cvn_destroy(net);
        }
}

static void errors(void)
{
    for (int i = 0; i < 6; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_vector(net, 3);
        const cvn_node t = cvn_target(net, x);
        cvn_node loss = { 0 };
        if (i == 0) loss = cvn_huber_loss(net, x, t, 0);
        if (i == 1) loss = cvn_smooth_l1_loss(net, x, t, -1);
        if (i == 2) loss = cvn_focal_with_logits_loss(net, x, t, -1, 0.5f);
        if (i == 3) loss = cvn_focal_with_logits_loss(net, x, t, 2, NAN);
        if (i == 4) loss = cvn_dice_loss(net, x, t, NAN);
        if (i == 5) loss = cvn_mae_loss(net, x, cvn_input_vector(net, 4));
        CHECK(!loss.id && cvn_build(net, 1) == (i == 5 ? CVN_ERROR_SHAPE : CVN_ERROR_ARGUMENT));
        cvn_destroy(net);
    }
}

/* An empty picture found empty: no loss, no gradient, no NaN. */
static void empty_dice(void)
{
    const float nothing[4] = { 0, 0, 0, 0 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 4);
    cvn_dice_loss(net, x, cvn_target(net, x), 0);
    cvn_want_grad(net, x);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_train_batch_target(net, nothing, nothing, 1, NULL) == CVN_OK);
    CHECK(cvn_loss(net) == 0 && cvn_gradient(net, x)[1] == 0);
    cvn_destroy(net);
}

int main(void)
{
    RUN(pairs);
    RUN(labels);
    RUN(soft_labels);
    RUN(pytorch);
    RUN(edges);
    RUN(errors);
    RUN(empty_dice);
    return test_done();
}
