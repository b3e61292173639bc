/* test_spectral.c - spectral norm of weights: PyTorch's values through two training passes and a
 * prediction, finite differences, the largest singular value itself, names, ties, plans. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

typedef struct spectral_case {
    const char *name;
    int weights, rows, cols, outputs;
    const float *w, *b, *u, *v, *x0, *x1, *g0, *g1, *y0, *y1, *dx0, *dx1, *dw, *db, *u2, *v2, *eval;
} spectral_case;

#include "golden/spectral.h"

static cvn_node layer_of(cvn_net *net, cvn_node x, const char *name)
{
    if (!strcmp(name, "dense")) return cvn_dense(net, x, 4);
    if (!strcmp(name, "conv")) return cvn_conv2d(net, x, 4, 3, 1, 1);
    return cvn_conv_transpose2d(net, x, 4, 3, 2, 0);
}

static cvn_node input_of(cvn_net *net, const char *name)
{
    if (!strcmp(name, "dense")) return cvn_input_vector(net, 5);
    return !strcmp(name, "conv") ? cvn_input(net, 3, 4, 5) : cvn_input(net, 3, 3, 2);
}

static void set_param(cvn_net *net, const char *name, const float *values, int count)
{
    const cvn_param p = cvn_param_find(net, name);
    if (CHECKF(p.value && (int)p.count == count, "%s", name))
        memcpy(p.value, values, p.count * sizeof(float));
}

static void same(const char *what, const float *got, const float *expected, int n)
{
    double worst = 0;
    if (!CHECKF(got != NULL, "%s", what)) return;
    for (int i = 0; i < n; i++) {
        const double scale = fabs((double)expected[i]) > 1 ? fabs((double)expected[i]) : 1;
        const double d = fabs((double)got[i] - (double)expected[i]) / scale;
        if (!(d <= worst)) worst = d;
    }
    CHECKF(worst < 2e-5, "%s is off by %g", what, worst);
}

static int values_of(const cvn_net *net, cvn_node node)
{
    const cvn_shape s = cvn_node_shape(net, node);
    int count = 1;
    for (int i = 0; i < s.rank; i++) count *= s.dim[i];
    return count;
}

/* The case's layer twice with tied weights: PyTorch calls one module on two inputs. */
static void compare(const spectral_case *c)
{
    const int samples = !strcmp(c->name, "dense") ? 3 : 2;
    cvn_net *net = cvn_create(NULL);
    cvn_node x[2], y[2];
    test_case("%s", c->name);
    for (int i = 0; i < 2; i++) {
        x[i] = input_of(net, c->name);
        cvn_want_grad(net, x[i]);
    }
    for (int i = 0; i < 2; i++) y[i] = layer_of(net, x[i], c->name);
    cvn_tie(net, y[1], y[0]);
    CHECK(cvn_spectral_norm(net, y[0]).id == y[0].id);
    cvn_name(net, y[0], "layer");
    for (int i = 0; i < 2; i++) {
        cvn_keep(net, y[i]);
        cvn_want_grad(net, y[i]);
    }
    cvn_output(net, y[0]);
    if (!CHECKF(cvn_build(net, samples) == CVN_OK, "%s", cvn_error(net))) return;
    set_param(net, "layer.weight_orig", c->w, c->weights);
    set_param(net, "layer.bias", c->b, 4);
    set_param(net, "layer.weight_u", c->u, c->rows);
    set_param(net, "layer.weight_v", c->v, c->cols);
    CHECK(cvn_set_input(net, x[0], c->x0, samples) == CVN_OK);
    CHECK(cvn_set_input(net, x[1], c->x1, samples) == CVN_OK);
    CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net));
    same("first value", cvn_value(net, y[0]), c->y0, c->outputs);
    same("second value", cvn_value(net, y[1]), c->y1, c->outputs);
    CHECK(cvn_backward_from(net, y[0], c->g0) == CVN_OK);
    same("first gradient of x", cvn_gradient(net, x[0]), c->dx0, values_of(net, x[0]));
    /* the other half: the same passes from the same u and v */
    set_param(net, "layer.weight_u", c->u, c->rows);
    set_param(net, "layer.weight_v", c->v, c->cols);
    CHECK(cvn_forward(net) == CVN_OK && cvn_backward_from(net, y[1], c->g1) == CVN_OK);
    same("second gradient of x", cvn_gradient(net, x[1]), c->dx1, values_of(net, x[1]));
    same("gradient of the weight", cvn_param_find(net, "layer.weight_orig").gradient, c->dw,
         c->weights);
    same("gradient of the bias", cvn_param_find(net, "layer.bias").gradient, c->db, 4);
    same("u", cvn_param_find(net, "layer.weight_u").value, c->u2, c->rows);
    same("v", cvn_param_find(net, "layer.weight_v").value, c->v2, c->cols);
    CHECK(cvn_forward_eval(net) == CVN_OK);
    same("prediction", cvn_value(net, y[0]), c->eval, c->outputs);
    CHECK(cvn_build_infer(net, samples) == CVN_OK);
    CHECK(cvn_set_input(net, x[0], c->x0, samples) == CVN_OK);
    CHECK(cvn_set_input(net, x[1], c->x1, samples) == CVN_OK);
    CHECK(cvn_forward_eval(net) == CVN_OK);
    same("prediction of an inference plan", cvn_value(net, y[0]), c->eval, c->outputs);
    cvn_destroy(net);
}

static void golden(void)
{
    const int cases = (int)(sizeof spectral_cases / sizeof spectral_cases[0]);
    for (int i = 0; i < cases; i++) compare(&spectral_cases[i]);
}

/* y = W x/s of a diagonal W: new weights begin near the true singular value. */
static void largest_singular_value(void)
{
    const float w[9] = { 3, 0, 0, 0, -7, 0, 0, 0, 0.5f };
    const float x[3] = { 1, 1, 1 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node y = cvn_spectral_norm(net, cvn_dense(net, cvn_input_vector(net, 3), 3));
    float out[3];
    cvn_add_loss(net, cvn_mean_loss(net, y), 1);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    set_param(net, "fc1.weight_orig", w, 9);
    for (int i = 0; i < 30; i++) {
        float loss;
        cvn_set_lr(net, 0);
        CHECK(cvn_train_batch(net, x, NULL, 1, &loss) == CVN_OK);
    }
    CHECK(cvn_predict(net, x, 1, out) == CVN_OK);
    CHECK_NEAR(out[0], 3.0 / 7, 1e-5);
    CHECK_NEAR(out[1], -1, 1e-5);
    CHECK_NEAR(out[2], 0.5 / 7, 1e-5);
    cvn_destroy(net);
}

/* At the fixed point of the iteration the derivative of s is u v^T: central differences agree. */
static void differences(void)
{
    const double step = 1e-3;
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input_vector(net, 4);
    cvn_node y = cvn_spectral_norm(net, cvn_dense(net, x, 3));
    const float in[8] = { 0.5f, -1, 2, 0.25f, 1, 0.75f, -0.5f, 1.5f };
    cvn_param w, g;
    cvn_mse_loss(net, y, cvn_scale(net, y, 0.5f, 0.3f));
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    w = cvn_param_find(net, "fc1.weight_orig");
    for (int i = 0; i < 300; i++) {
        CHECK(cvn_set_input(net, x, in, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
    }
    cvn_zero_grad(net);
    CHECK(cvn_backward(net) == CVN_OK);
    g = w;
    for (size_t i = 0; i < w.count; i++) {
        const float was = w.value[i];
        double loss[2];
        for (int side = 0; side < 2; side++) {
            w.value[i] = was + (float)(side ? step : -step);
            for (int k = 0; k < 50; k++) CHECK(cvn_forward(net) == CVN_OK);
            loss[side] = (double)cvn_loss(net);
        }
        w.value[i] = was;
        CHECK_NEAR((loss[1] - loss[0]) / (2 * step), g.gradient[i], 2e-3);
    }
    cvn_destroy(net);
}

/* Recomputing a layer takes no second power iteration: all parameters stay the same bits. */
static void recomputed(void)
{
    float in[12], result[2][64];
    for (int i = 0; i < 12; i++) in[i] = (float)(i % 5) - 1.5f;
    for (int again = 0; again < 2; again++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_vector(net, 4);
        const cvn_node a = cvn_spectral_norm(net, cvn_dense(net, x, 5));
        const cvn_node b = cvn_spectral_norm(net, cvn_dense(net, cvn_square(net, a), 4));
        size_t count;
        cvn_mse_loss(net, cvn_square(net, b), x);
        if (again) cvn_recompute(net, a, b);
        CHECKF(cvn_build(net, 3) == CVN_OK, "%s", cvn_error(net));
        CHECK(net->layers[a.id].place.again == again);
        for (int step = 0; step < 3; step++) {
            CHECK(cvn_set_input(net, x, in, 3) == CVN_OK && cvn_forward(net) == CVN_OK);
            CHECK(cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
        }
        CHECK(cvn_flat_parameters(net, &count) != NULL && count == 67);
        memcpy(result[again], cvn_flat_parameters(net, NULL) + 3, sizeof result[again]);
        cvn_destroy(net);
    }
    CHECK(!memcmp(result[0], result[1], sizeof result[0]));
}

/* A penalty is of the weight as it is, whether the layer is tied before or after it. */
static void penalty_of_a_tied_layer(void)
{
    float loss[2];
    for (int later = 0; later < 2; later++) {
        const float in[3] = { 1, 2, 3 };
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_vector(net, 3);
        const cvn_node a = cvn_spectral_norm(net, cvn_dense(net, x, 3));
        const cvn_node b = cvn_dense(net, a, 3);
        if (!later) cvn_tie(net, b, a);
        cvn_l2_penalty(net, b, 1);
        if (later) cvn_tie(net, b, a);
        CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
        loss[later] = cvn_loss(net);
        cvn_destroy(net);
    }
    CHECK_NEAR(loss[0], loss[1], 0);
}

static void frozen_and_shared(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 4);
    const cvn_node y = cvn_spectral_norm(net, cvn_dense(net, x, 3));
    const float in[4] = { 1, 2, 3, 4 };
    float u[3], out[3], other_out[3];
    cvn_net *other;
    cvn_softmax_loss(net, cvn_dense(net, y, 2));
    cvn_freeze(net, y);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    memcpy(u, cvn_param_find(net, "fc1.weight_u").value, sizeof u);
    for (int i = 0; i < 3; i++) {
        const int label = 1;
        CHECK(cvn_train_batch(net, in, &label, 1, NULL) == CVN_OK);
    }
    CHECK(!memcmp(u, cvn_param_find(net, "fc1.weight_u").value, sizeof u));
    other = cvn_share(net);
    CHECKF(cvn_build_infer(other, 1) == CVN_OK, "%s", cvn_error(other));
    CHECK(cvn_predict(net, in, 1, out) == CVN_OK && cvn_predict(other, in, 1, other_out) == CVN_OK);
    CHECK(!memcmp(out, other_out, 2 * sizeof(float)));
    cvn_destroy(other);
    cvn_destroy(net);
}

/* A shared net has no room for vectors of its own: refused, and it stays usable. */
static void refused_on_shared(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 4);
    const cvn_node y = cvn_batchnorm(net, cvn_dense(net, x, 3));
    const float in[4] = { 1, 2, 3, 4 };
    float out[3], other_out[3];
    cvn_net *other;
    CHECK(y.id && cvn_build_infer(net, 1) == CVN_OK);
    other = cvn_share(net);
    CHECK(cvn_spectral_norm(other, cvn_find(other, "fc1")).id == 0);
    CHECKF(strstr(cvn_error(other), "shared") != NULL, "%s", cvn_error(other));
    CHECK(cvn_param_count(other) == cvn_param_count(net));
    CHECKF(cvn_build_infer(other, 1) == CVN_OK, "%s", cvn_error(other));
    CHECK(cvn_predict(net, in, 1, out) == CVN_OK && cvn_predict(other, in, 1, other_out) == CVN_OK);
    CHECK(!memcmp(out, other_out, sizeof out));
    cvn_destroy(other);
    cvn_destroy(net);
}

/* A penalty is of weight_orig, whichever of the two calls comes first, tied or not; and does not
 * turn u and v a second time. */
static void penalties(void)
{
    float values[4][2];
    float u[4][3];
    for (int i = 0; i < 4; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input_vector(net, 4);
        const cvn_node y = cvn_dense(net, x, 3);
        const cvn_node z = i == 3 ? cvn_dense(net, x, 3) : y;
        const float in[4] = { 1, 2, 3, 4 };
        cvn_node penalty;
        if (i == 1) cvn_spectral_norm(net, y);
        penalty = cvn_l2_penalty(net, z, 1);
        if (i != 1) cvn_spectral_norm(net, y);
        if (i == 3) cvn_tie(net, z, y);
        cvn_mean_loss(net, y);
        CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
        for (int pass = 0; pass < 2; pass++) {
            const cvn_param w = cvn_param_find(net, "fc1.weight_orig");
            double sum = 0;
            for (size_t k = 0; k < w.count; k++) sum += (double)w.value[k] * (double)w.value[k];
            CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
            values[i][pass] = cvn_value(net, penalty)[0];
            CHECK_NEAR(values[i][pass], sum, 1e-5);
        }
        memcpy(u[i], cvn_param_find(net, "fc1.weight_u").value, sizeof u[i]);
        CHECK(!memcmp(values[i], values[0], sizeof values[i]));
        CHECK(i == 3 || !memcmp(u[i], u[0], sizeof u[i]));      /* tied layers turn them each */
        CHECK(i > 0 || cvn_backward(net) == CVN_OK);
        cvn_destroy(net);
    }
    {
        cvn_net *net = cvn_create(NULL);
        const cvn_node y = cvn_dense(net, cvn_input_vector(net, 4), 3);
        CHECK(cvn_spectral_norm(net, cvn_l1_penalty(net, y, 1)).id == 0);
        CHECKF(strstr(cvn_error(net), "no weight") != NULL, "%s", cvn_error(net));
        cvn_destroy(net);
    }
}

static void errors(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 4);
    CHECK(cvn_spectral_norm(net, cvn_relu(net, x)).id == 0);
    CHECKF(strstr(cvn_error(net), "no weight") != NULL, "%s", cvn_error(net));
    CHECK(cvn_build(net, 1) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_spectral_norm(NULL, x).id == 0);
    cvn_destroy(net);
}

int main(void)
{
    RUN(golden);
    RUN(largest_singular_value);
    RUN(differences);
    RUN(recomputed);
    RUN(penalty_of_a_tied_layer);
    RUN(frozen_and_shared);
    RUN(refused_on_shared);
    RUN(penalties);
    RUN(errors);
    return test_done();
}
