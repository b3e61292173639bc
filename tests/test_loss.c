/* test_loss.c - losses against the double reference, their sum, their errors. */
#define CONVNET_IMPLEMENTATION       /* mixed samples are set from inside */
#include "../convnet.h"
#include "test.h"
#include "reference.h"

/* ================================================================================================
 * softmax cross-entropy
 * ============================================================================================== */

static cvn_node build_softmax_loss(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    cvn_softmax_loss_desc d = c->softmax;
    d.labels = x[1];
    return cvn_softmax_loss_ex(net, x[0], &d);
}

/* logits with the classes on c->axis: labels have the other axes. */
static void softmax_case(layer_case *c, cvn_shape logits)
{
    memset(c, 0, sizeof *c);
    c->n = logits.dim[0];
    c->inputs = 2;
    c->loss = 1;
    c->axis = logits.rank == 3 ? 2 : 1;
    c->x[0] = logits;
    c->x[1].rank = logits.rank - 1;
    for (int i = 0, k = 0; i < logits.rank; i++) if (i != c->axis) c->x[1].dim[k++] = logits.dim[i];
    c->label_classes[1] = logits.dim[c->axis];
    c->no_gradient[1] = 1;
    c->build = build_softmax_loss;
    c->forward = ref_softmax_loss;
    for (int i = 0; i < 16; i++) c->class_weights[i] = 0.25f + (float)((i * 5) % 7);
}

static void softmax_losses(void)
{
    const cvn_shape shapes[6] = { ref_shape(2, 1, 2, 0, 0),    ref_shape(2, 7, 10, 0, 0),
                                  ref_shape(4, 2, 5, 3, 4),    ref_shape(3, 3, 4, 6, 0),
                                  ref_shape(2, 300, 11, 0, 0), ref_shape(4, 2, 16, 30, 40) };
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < (i < 4 ? 16 : 8); k++) {
            layer_case c;
            softmax_case(&c, shapes[i]);
            c.weighted = k >= 8 || (i == 5 && k > 5);
            c.mixed = c.weighted && (k + k / 2 + k / 4) % 2;
            if (k & 1) c.softmax.class_weights = c.class_weights;
            if (k & 2) c.softmax.label_smoothing = 0.1f;
            if (k & 4) c.softmax.ignore_index = i % 2 ? 1 : -1;
            c.big = i >= 4;
            snprintf(c.text, sizeof c.text, "softmax loss, rank %d, %d samples%s%s%s%s%s",
                     shapes[i].rank, c.n, k & 1 ? ", class weights" : "",
                     k & 2 ? ", smoothing" : "", k & 4 ? ", ignored labels" : "",
                     c.weighted ? ", sample weights" : "", c.mixed ? ", mixed" : "");
            layer_check(&c);
            if (i < 4) library_check(&c);
        }
}

/* cvn_softmax_loss with its own labels: log(C) for equal logits, about 0 when sure, finite far
 * out. */
static void softmax_loss_values(void)
{
    const float logits[3][4] = { { 2, 2, 2, 2 }, { 0, 30, 0, 0 }, { -1e4f, 1e4f, 0, 0 } };
    const double expected[3] = { log(4.0), 0, 2e4 };
    const int labels[3] = { 3, 1, 0 };
    for (int i = 0; i < 3; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_vector(net, 4);
        const cvn_node loss = cvn_softmax_loss(net, x);
        CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_node_shape(net, loss).rank == 0);
        CHECK(cvn_train_batch(net, logits[i], &labels[i], 1, NULL) == CVN_OK);
        CHECK_NEAR(cvn_loss(net), expected[i], 1e-5 * (1 + expected[i]));
        CHECK(cvn_value(net, loss) && cvn_value(net, loss)[0] == cvn_loss(net));
        cvn_destroy(net);
    }
}

/* A label out of range is an error of the call that runs the net, names the label, and leaves the
 * net usable. */
static void label_out_of_range(void)
{
    static const int bad[3] = { 3, -1, 1000000 };
    const float x[6] = { 1, 2, 3, 4, 5, 6 };
    int labels[2] = { 0, 2 };
    cvn_net *net = cvn_create(NULL);
    float loss = -1;
    cvn_softmax_loss(net, cvn_dense(net, cvn_input_vector(net, 3), 3));
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < 3; i++) {
        char number[16];
        labels[1] = bad[i];
        CHECK(cvn_train_batch(net, x, labels, 2, &loss) == CVN_ERROR_ARGUMENT);
        snprintf(number, sizeof number, "%d", bad[i]);
        CHECKF(strstr(cvn_error(net), number) != NULL, "'%s'", cvn_error(net));
    }
    labels[1] = -100;                                               /* the default ignore_index */
    CHECKF(cvn_train_batch(net, x, labels, 2, &loss) == CVN_OK, "%s", cvn_error(net));
    CHECK(loss == loss);
    labels[1] = 2;
    CHECKF(cvn_train_batch(net, x, labels, 2, &loss) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* ================================================================================================
 * mean squared error, binary cross-entropy
 * ============================================================================================== */

static cvn_node build_mse(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    (void)c;
    return cvn_mse_loss(net, x[0], x[1]);
}

static cvn_node build_bce(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    (void)c;
    return cvn_bce_with_logits_loss(net, x[0], x[1]);
}

static void pair_losses(void)
{
    const cvn_shape shapes[5] = { ref_shape(2, 1, 1, 0, 0), ref_shape(2, 5, 13, 0, 0),
                                  ref_shape(4, 2, 3, 5, 4), ref_shape(3, 2, 3, 7, 0),
                                  ref_shape(4, 4, 8, 64, 64) };
    for (int k = 0; k < 20; k++) {
        const int kind = k / 10;
        const int i = k / 2 % 5;
        layer_case c;
        memset(&c, 0, sizeof c);
        c.n = shapes[i].dim[0];
        c.inputs = 2;
        c.loss = 1;
        c.big = i == 4;
        c.weighted = k % 2;
        c.x[0] = c.x[1] = shapes[i];
        c.positive[1] = c.no_gradient[1] = kind;                /* BCE: targets in (0, 1) */
        c.build = kind ? build_bce : build_mse;
        c.forward = kind ? ref_bce_loss : ref_mse_loss;
        snprintf(c.text, sizeof c.text, "%s, %d values", kind ? "bce with logits" : "mse",
                 ref_count(shapes[i]));
        layer_check(&c);
        if (i < 4) library_check(&c);
    }
}

/* max(x, 0) - x*t + log(1 + exp(-|x|)) does not overflow. */
static void bce_far_out(void)
{
    const float x[4] = { -1e4f, 1e4f, -1e4f, 1e4f };
    const float t[4] = { 0, 1, 1, 0 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 4);
    cvn_want_grad(net, in);
    cvn_bce_with_logits_loss(net, in, cvn_target(net, in));
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_train_batch_target(net, x, t, 1, NULL) == CVN_OK, "%s", cvn_error(net));
    CHECK_NEAR(cvn_loss(net), 5000, 1e-2);
    CHECK_NEAR(cvn_gradient(net, in)[1], 0, 1e-6);
    CHECK_NEAR(cvn_gradient(net, in)[2], -0.25, 1e-6);
    CHECK_NEAR(cvn_gradient(net, in)[3], 0.25, 1e-6);
    cvn_destroy(net);
}

/* ================================================================================================
 * several losses, losses of other nodes
 * ============================================================================================== */

/* L = 0.5 * cross-entropy + 2 * mse + 3 * node: values and the gradient at the shared input add
 * up. */
static void weighted_sum(void)
{
    const float x[6] = { 0.5f, -1, 2, 0.1f, 0.2f, -0.7f };
    const float t[6] = { 1, 0, 0, 0.5f, 0.5f, 0.5f };
    const int labels[2] = { 2, 0 };
    float grads[3][6];
    double losses[3];
    for (int part = 0; part < 3; part++) {                          /* first, second, both */
        cvn_net *net = cvn_create(NULL);
        const cvn_node in = cvn_input_vector(net, 3);
        const cvn_node lab = cvn_input_labels(net, NULL, 0);
        const cvn_node target = cvn_target(net, in);
        cvn_want_grad(net, in);
        if (part != 1) {
            cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
            d.labels = lab;
            d.weight = 0.5f;
            cvn_softmax_loss_ex(net, in, &d);
        }
        if (part != 0) cvn_add_loss(net, cvn_mse_loss(net, in, target), 2);
        CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_set_input(net, in, x, 2) == CVN_OK && cvn_set_input(net, target, t, 2) == CVN_OK);
        CHECK(cvn_set_labels(net, lab, labels, 2) == CVN_OK);
        CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
        losses[part] = (double)cvn_loss(net);
        memcpy(grads[part], cvn_gradient(net, in), sizeof grads[part]);
        cvn_destroy(net);
    }
    CHECK_NEAR(losses[2], losses[0] + losses[1], 1e-5);
    for (int i = 0; i < 6; i++) CHECK_NEAR(grads[2][i], grads[0][i] + grads[1][i], 1e-6);
    CHECK_NEAR(losses[0],
               0.5 * (log(1 + exp(-1.5) + exp(-3.0)) + log(1 + exp(0.1) + exp(-0.8))) / 2, 1e-5);
    CHECK_NEAR(losses[1], 2 * (0.25 + 1 + 4 + 0.16 + 0.09 + 1.44) / 6, 1e-5);
}

/* An autoencoder's loss: the input is the target, and its gradient is the sum over both ways. */
static void input_as_target(void)
{
    const float x[2] = { 3, -2 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 2);
    const cvn_node twice = cvn_add(net, in, in);
    cvn_want_grad(net, in);
    cvn_mse_loss(net, twice, in);                                   /* mean of x^2 */
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, in, x, 1) == CVN_OK && cvn_forward(net) == CVN_OK &&
          cvn_backward(net) == CVN_OK);
    CHECK_NEAR(cvn_loss(net), 6.5, 1e-5);
    CHECK_NEAR(cvn_gradient(net, in)[0], 3, 1e-5);
    CHECK_NEAR(cvn_gradient(net, in)[1], -2, 1e-5);
    cvn_destroy(net);
}

static void refusals(void)
{
    for (int i = 0; i < 6; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_input(net, 4, 6, 6);
        const cvn_node vector = cvn_input_vector(net, 5);
        cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
        const int dims[1] = { 3 };
        test_case("refusal %d", i);
        if (i == 0) cvn_mse_loss(net, image, vector);
        if (i == 1) cvn_bce_with_logits_loss(net, image, vector);
        if (i == 2) d.label_smoothing = 1;
        if (i == 3) d.label_smoothing = -0.5f;
        if (i == 4) d.labels = cvn_input_labels(net, dims, 1);
        if (i == 5) d.labels = image;
        if (i >= 2) CHECK(cvn_softmax_loss_ex(net, vector, &d).id == 0);
        CHECK(cvn_build(net, 1) < 0);
        CHECKF(strlen(cvn_error(net)) > 15, "'%s'", cvn_error(net));
        cvn_destroy(net);
    }
}

/* Weights of samples: what is refused, and that they hold until changed. */
static void sample_weights(void)
{
    const float x[3] = { 1, -2, 3 };
    const float w[3] = { 2, 0, 1 };
    const float bad[2] = { -1, NAN };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 1);
    const cvn_node loss = cvn_mean_loss(net, in);
    cvn_want_grad(net, in);
    CHECK(cvn_set_sample_weights(NULL, w, 1) == CVN_ERROR_STATE);
    CHECK(cvn_set_sample_weights(net, w, 1) == CVN_ERROR_STATE);
    CHECKF(cvn_build_infer(net, 3) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_sample_weights(net, w, 1) == CVN_ERROR_STATE);
    CHECKF(cvn_build(net, 3) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_sample_weights(net, w, 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_sample_weights(net, w, 4) == CVN_ERROR_ARGUMENT);
    for (int i = 0; i < 2; i++)
        CHECK(cvn_set_sample_weights(net, &bad[i], 1) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "sample 0") != NULL, "'%s'", cvn_error(net));
    CHECK(cvn_set_input(net, in, x, 3) == CVN_OK && cvn_set_sample_weights(net, w, 3) == CVN_OK);
    for (int i = 0; i < 2; i++) {
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK);
        CHECK_NEAR(cvn_value(net, loss)[0], 5.0 / 3, 1e-6);
        CHECK_NEAR(cvn_gradient(net, in)[0], 2.0 / 3, 1e-6);
        CHECK(cvn_gradient(net, in)[1] == 0);
    }
    CHECK(cvn_forward(net) == CVN_OK && cvn_set_sample_weights(net, w, 3) == CVN_OK);
    CHECK(cvn_backward(net) == CVN_ERROR_STATE);        /* from the next forward pass on */
    CHECK(cvn_set_input(net, in, x, 2) == CVN_OK && cvn_forward(net) == CVN_ERROR_STATE);
    CHECKF(strstr(cvn_error(net), "3 sample weights") != NULL, "'%s'", cvn_error(net));
    CHECK(cvn_set_sample_weights(net, NULL, 0) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK_NEAR(cvn_loss(net), -0.5, 1e-6);
    CHECK(cvn_set_sample_weights(net, w, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK_NEAR(cvn_loss(net), 1, 1e-6);
    CHECK(cvn_build(net, 3) == CVN_OK && cvn_set_input(net, in, x, 2) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_OK);
    CHECK_NEAR(cvn_loss(net), -0.5, 1e-6);
    cvn_destroy(net);
}

int main(void)
{
    RUN(softmax_losses);
    RUN(softmax_loss_values);
    RUN(label_out_of_range);
    RUN(pair_losses);
    RUN(bce_far_out);
    RUN(weighted_sum);
    RUN(input_as_target);
    RUN(refusals);
    RUN(sample_weights);
    return test_done();
}
