/* test_noise.c - dropout of elements, channels and samples, normal noise, and the sample of a
 * variational autoencoder: what is drawn, that backward draws it again, and that predictions have
 * none of it. TEST_QUICK: fewer samples. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifdef TEST_QUICK
    #define DRAWS 20000
#else
    #define DRAWS 200000
#endif

enum { ELEMENTS, CHANNELS, SAMPLES, NOISE, REPARAMETERIZE };

static cvn_node build_noise(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    switch (c->kind) {
    case ELEMENTS: return cvn_dropout(net, x[0], c->a);
    case CHANNELS: return cvn_spatial_dropout(net, x[0], c->a);
    case SAMPLES: return cvn_drop_path(net, x[0], c->a);
    case NOISE: return cvn_gaussian_noise(net, x[0], c->a);
    default: return cvn_reparameterize(net, x[0], x[1]);
    }
}

/* A net with one noise layer; two inputs of the same shape for reparameterize. */
typedef struct bench { cvn_net *net; cvn_node x[2], y; } bench;

static int open_bench(bench *b, cvn_shape x, int kind, float a, int threads)
{
    cvn_desc desc = cvn_desc_defaults();
    layer_case c;
    memset(&c, 0, sizeof c);
    c.kind = kind;
    c.a = a;
    desc.threads = threads;
    b->net = cvn_create(&desc);
    for (int i = 0; i < 2; i++) {
        b->x[i] = cvn_input_tensor(b->net, x.dim + 1, x.rank - 1);
        if (kind == REPARAMETERIZE || !i) cvn_want_grad(b->net, b->x[i]);
    }
    b->y = build_noise(b->net, b->x, &c);
    cvn_want_grad(b->net, b->y);
    cvn_output(b->net, b->y);
    return CHECKF(cvn_build(b->net, x.dim[0]) == CVN_OK, "%s", cvn_error(b->net));
}

/* A training pass over v (and v1 for the second input); the value of the layer. */
static float *pass(bench *b, int n, const float *v, const float *v1)
{
    CHECK(cvn_set_input(b->net, b->x[0], v, n) == CVN_OK);
    CHECK(cvn_set_input(b->net, b->x[1], v1 ? v1 : v, n) == CVN_OK);
    CHECKF(cvn_forward(b->net) == CVN_OK, "%s", cvn_error(b->net));
    return cvn_value(b->net, b->y);
}

/* ================================================================================================
 * threads, kernels, plans; predictions
 * ============================================================================================== */

static void plans(void)
{
    const cvn_shape shapes[5] = { ref_shape(2, 3, 5, 0, 0), ref_shape(4, 3, 5, 4, 7),
                                  ref_shape(3, 2, 3, 5, 0), ref_shape(4, 2, 5, 41, 43),
                                  ref_shape(2, 1, 1, 0, 0) };
    for (int kind = ELEMENTS; kind <= REPARAMETERIZE; kind++)
        for (int i = 0; i < 5; i++)
            for (int none = 0; none < 2; none++) {
                layer_case c;
                if (none && kind == REPARAMETERIZE) continue;
                memset(&c, 0, sizeof c);
                c.n = shapes[i].dim[0];
                c.inputs = kind == REPARAMETERIZE ? 2 : 1;
                c.x[0] = c.x[1] = c.y = shapes[i];
                c.build = build_noise;
                c.forward = ref_copy;
                c.kind = kind;
                c.a = none ? 0.0f : 0.4f;
                c.varies = !none;
                c.big = ref_count(c.y) > 2000;
                snprintf(c.text, sizeof c.text, "noise %d, shape %d%s", kind, i,
                         none ? ", none" : "");
                layer_check(&c);
            }
}

/* ================================================================================================
 * dropout
 * ============================================================================================== */

/* The documented draw: word i of the layer's stream at this pass, for group i. */
static int is_dropped(const bench *b, size_t group, float p)
{
    uint32_t word[4];
    cvni_random4(1, CVNI_STREAM_DROPOUT, b->net->tick, (uint32_t)b->y.id, (uint32_t)(group / 4),
                 word);
    return cvni_to_uniform(word[group % 4]) < p;
}

static void check_dropout(cvn_shape x, int kind, float p, int threads)
{
    const int count = ref_count(x);
    const int sample = count / x.dim[0];
    const int group = kind == ELEMENTS ? 1 : kind == SAMPLES ? sample : sample / x.dim[1];
    float *v = (float *)ref_alloc((size_t)count, sizeof *v);
    bench b;
    test_case("dropout %d, %d elements, %d a draw, p %g, %d threads", kind, count, group,
              (double)p, threads);
    ref_fill(v, count, 1, 2, 3);
    if (open_bench(&b, x, kind, p, threads)) {
        for (int run = 0; run < 2; run++) {
            const float *const y = pass(&b, x.dim[0], v, NULL);
            int wrong = 0;
            for (int i = 0; i < count; i++) {
                const int dropped = is_dropped(&b, (size_t)(i / group), p);
                const double want = dropped ? 0 : (double)v[i] / (1 - (double)p);
                wrong += !(fabs((double)y[i] - want) <= 1e-6 * want);
            }
            CHECKF(wrong == 0, "%d wrong", wrong);
            memcpy(cvn_gradient(b.net, b.y), v, (size_t)count * sizeof *v);
            CHECK(cvn_backward_from(b.net, b.y, cvn_gradient(b.net, b.y)) == CVN_OK);
            CHECK(memcmp(cvn_gradient(b.net, b.x[0]), y, (size_t)count * sizeof *v) == 0);
        }
        CHECK(cvn_forward_eval(b.net) == CVN_OK);
        CHECK(memcmp(cvn_value(b.net, b.y), v, (size_t)count * sizeof *v) == 0);
        CHECK(cvn_backward_from(b.net, b.y, v) == CVN_OK);
        CHECK(memcmp(cvn_gradient(b.net, b.x[0]), v, (size_t)count * sizeof *v) == 0);
    }
    cvn_destroy(b.net);
    free(v);
}

static void dropouts(void)
{
    for (int kind = ELEMENTS; kind <= SAMPLES; kind++) {
        check_dropout(ref_shape(4, 3, 5, 4, 7), kind, 0.3f, 1);
        check_dropout(ref_shape(4, 2, 7, 61, 59), kind, 0.5f, 3);
        check_dropout(ref_shape(3, 9, 2, 5, 0), kind, 0.9f, 1);
        check_dropout(ref_shape(2, 13, 3, 0, 0), kind, 0.2f, 1);
        check_dropout(ref_shape(3, 3, 11, 2501, 0), kind, 0.25f, 7);
        check_dropout(ref_shape(2, 2, 30001, 0, 0), kind, 0.25f, 2);
    }
}

/* Share of dropped groups, independent of the ones before them and of other passes and layers. */
static void dropout_shares(void)
{
    const float p = 0.25f;
    for (int kind = ELEMENTS; kind <= SAMPLES; kind++) {
        const int groups = DRAWS / 20;
        const cvn_shape x = kind == ELEMENTS   ? ref_shape(2, 1, groups, 0, 0)
                            : kind == CHANNELS ? ref_shape(3, 2, groups / 2, 3, 0)
                                               : ref_shape(2, groups, 3, 0, 0);
        const int step = kind == ELEMENTS ? 1 : 3;
        const int count = ref_count(x);
        float *ones = (float *)ref_alloc((size_t)count, sizeof *ones);
        float *first = (float *)ref_alloc((size_t)count, sizeof *first);
        bench b;
        for (int i = 0; i < count; i++) ones[i] = 1;
        test_case("share of dropout %d", kind);
        if (open_bench(&b, x, kind, p, 1)) {
            int dropped = 0;
            int pairs = 0;
            int again = 0;
            const float *y = pass(&b, x.dim[0], ones, NULL);
            memcpy(first, y, (size_t)count * sizeof *y);
            y = pass(&b, x.dim[0], ones, NULL);
            for (int i = 0; i < groups; i++) {
                dropped += first[i * step] == 0;
                again += first[i * step] == 0 && y[i * step] == 0;
                if (i) pairs += first[i * step] == 0 && first[(i - 1) * step] == 0;
            }
            CHECK_NEAR(dropped / (double)groups, p, 4 * sqrt(0.1875 / groups));
            CHECK_NEAR(pairs / (double)groups, p * p, 6 * sqrt(0.0586 / groups));
            CHECK_NEAR(again / (double)groups, p * p, 6 * sqrt(0.0586 / groups));
        }
        cvn_destroy(b.net);
        free(ones);
        free(first);
    }
}

/* Behind cvn_flatten_batch every entry is drawn by itself. */
static void drop_path_of_regions(void)
{
    const int dims[2] = { 40, 3 };
    static float ones[5 * 40 * 3];
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_tensor(net, dims, 2);
    const cvn_node y = cvn_drop_path(net, cvn_flatten_batch(net, x), 0.5f);
    int dropped = 0;
    cvn_keep(net, y);
    for (int i = 0; i < 600; i++) ones[i] = 1;
    if (CHECKF(cvn_build(net, 5) == CVN_OK, "%s", cvn_error(net))) {
        CHECK(cvn_set_input(net, x, ones, 5) == CVN_OK && cvn_forward(net) == CVN_OK);
        for (int i = 0; i < 200; i++) {
            const float *v = cvn_value(net, y) + 3 * i;
            CHECK(v[0] == v[1] && v[1] == v[2] && (v[0] == 0 || v[0] == 2));
            dropped += v[0] == 0;
        }
        CHECKF(dropped > 70 && dropped < 130, "%d", dropped);
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * normal noise
 * ============================================================================================== */

/* Moments, tails and correlations of what is drawn around 0 with deviation 1. */
static void check_normal(const float *e, const float *other, int count)
{
    double sum[5] = { 0, 0, 0, 0, 0 };
    double lag[4] = { 0, 0, 0, 0 };
    double cross = 0;
    int beyond = 0;
    for (int i = 0; i < count; i++) {
        double power = 1;
        for (int k = 1; k < 5; k++) sum[k] += power *= (double)e[i];
        for (int k = 0; k < 4 && i > k; k++) lag[k] += (double)e[i] * (double)e[i - k - 1];
        cross += (double)e[i] * (double)other[i];
        beyond += fabsf(e[i]) > 1.959964f;
    }
    CHECK_NEAR(sum[1] / count, 0, 4.5 / sqrt(count));
    CHECK_NEAR(sum[2] / count, 1, 4.5 * sqrt(2.0 / count));
    CHECK_NEAR(sum[3] / count, 0, 4.5 * sqrt(15.0 / count));
    CHECK_NEAR(sum[4] / count, 3, 4.5 * sqrt(96.0 / count));
    CHECK_NEAR(beyond / (double)count, 0.05, 4.5 * sqrt(0.0475 / count));
    CHECK_NEAR(cross / count, 0, 4.5 / sqrt(count));
    for (int k = 0; k < 4; k++) CHECK_NEAR(lag[k] / count, 0, 4.5 / sqrt(count));
}

static void normal_noise(void)
{
    const cvn_shape x = ref_shape(2, 4, DRAWS / 4 - 1, 0, 0);
    const int count = ref_count(x);
    float *zero = (float *)ref_alloc((size_t)count, sizeof *zero);
    float *first = (float *)ref_alloc((size_t)count, sizeof *first);
    for (int kind = NOISE; kind <= REPARAMETERIZE; kind++) {
        bench b;
        test_case("normal noise %d", kind);
        if (open_bench(&b, x, kind, 1, 2)) {
            memcpy(first, pass(&b, 4, zero, zero), (size_t)count * sizeof *first);
            check_normal(first, pass(&b, 4, zero, zero), count);
            CHECK(cvn_forward_eval(b.net) == CVN_OK);
            CHECK(memcmp(cvn_value(b.net, b.y), zero, (size_t)count * sizeof *zero) == 0);
        }
        cvn_destroy(b.net);
    }
    free(zero);
    free(first);
}

/* x + std*e with the e of the same layer, seed and pass; the gradient passes. */
static void noise_scale(void)
{
    enum { COUNT = 3 * 777 };
    static float zero[COUNT];
    static float v[COUNT];
    const cvn_shape x = ref_shape(2, 3, 777, 0, 0);
    bench unit, b;
    ref_fill(v, COUNT, -2, 2, 5);
    if (open_bench(&unit, x, NOISE, 1, 1) & open_bench(&b, x, NOISE, 0.3f, 1)) {
        for (int run = 0; run < 3; run++) {
            const float *e = pass(&unit, 3, zero, NULL);
            const float *y = pass(&b, 3, v, NULL);
            double worst = 0;
            for (int i = 0; i < COUNT; i++)
                worst = fmax(worst, fabs((double)y[i] - (double)v[i] - 0.3 * (double)e[i]));
            CHECKF(worst < 1e-6, "off by %g", worst);
            CHECK(cvn_backward_from(b.net, b.y, v) == CVN_OK);
            CHECK(memcmp(cvn_gradient(b.net, b.x[0]), v, sizeof v) == 0);
        }
    }
    cvn_destroy(unit.net);
    cvn_destroy(b.net);
}

/* mean + exp(v/2)*e, its gradients by hand and by differences under the same draw. */
static void reparameterize_gradients(void)
{
    enum { COUNT = 2 * 45 };
    static float zero[COUNT];
    float in[2][COUNT], g[COUNT], e[COUNT];
    const cvn_shape x = ref_shape(3, 2, 5, 9, 0);
    bench unit, b;
    ref_fill(in[0], COUNT, -2, 2, 5);
    ref_fill(in[1], COUNT, -3, 2, 6);
    ref_fill(g, COUNT, -1, 1, 7);
    if (open_bench(&unit, x, REPARAMETERIZE, 0, 1) & open_bench(&b, x, REPARAMETERIZE, 0, 1)) {
        float *y;
        uint64_t tick;
        memcpy(e, pass(&unit, 2, zero, zero), sizeof e);
        y = pass(&b, 2, in[0], in[1]);
        tick = b.net->tick;
        for (int i = 0; i < COUNT; i++)
            CHECK_NEAR(y[i], (double)in[0][i] + exp((double)in[1][i] / 2) * (double)e[i], 2e-6);
        CHECK(cvn_backward_from(b.net, b.y, g) == CVN_OK);
        for (int i = 0; i < COUNT; i++) {
            const double scale = exp((double)in[1][i] / 2) * (double)e[i];
            CHECK_NEAR(cvn_gradient(b.net, b.x[0])[i], g[i], 0);
            CHECK_NEAR(cvn_gradient(b.net, b.x[1])[i], (double)g[i] * scale / 2, 1e-6);
        }
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < COUNT; i += 7) {
                const float kept = in[side][i];
                double moved[2];
                for (int s = 0; s < 2; s++) {
                    in[side][i] = kept + (s ? 1 : -1) * 0.015625f;
                    b.net->tick = tick - 1;
                    moved[s] = (double)pass(&b, 2, in[0], in[1])[i] * (double)g[i];
                }
                in[side][i] = kept;
                CHECK_NEAR((moved[1] - moved[0]) * 32, cvn_gradient(b.net, b.x[side])[i], 1e-4);
            }
        /* the prediction is the mean: no gradient to the variance */
        CHECK(cvn_forward_eval(b.net) == CVN_OK);
        CHECK(memcmp(cvn_value(b.net, b.y), in[0], sizeof in[0]) == 0);
        CHECK(cvn_backward_from(b.net, b.y, g) == CVN_OK);
        for (int i = 0; i < COUNT; i++) CHECK_NEAR(cvn_gradient(b.net, b.x[1])[i], 0, 0);
        CHECK(memcmp(cvn_gradient(b.net, b.x[0]), g, sizeof g) == 0);
    }
    cvn_destroy(unit.net);
    cvn_destroy(b.net);
}

/* One node as mean and log variance, and two layers over the same inputs: gradients add up. */
static void reparameterize_twice(void)
{
    const float in[3] = { 0.5f, -1, 2 };
    const float g[3] = { 1, 2, 3 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 3);
    const cvn_node y = cvn_reparameterize(net, x, x);
    const cvn_node sum = cvn_add(net, y, cvn_reparameterize(net, x, x));
    cvn_want_grad(net, x);
    cvn_want_grad(net, sum);
    if (CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net)) &&
        CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_forward(net) == CVN_OK)) {
        float value[3];
        memcpy(value, cvn_value(net, sum), sizeof value);
        CHECK(cvn_backward_from(net, sum, g) == CVN_OK);
        for (int i = 0; i < 3; i++) {
            const double noise = (double)value[i] - 2 * (double)in[i];
            CHECK_NEAR(cvn_gradient(net, x)[i], (double)g[i] * (2 + noise / 2), 1e-5);
        }
    }
    cvn_destroy(net);
}

/* A small variational autoencoder learns its points, with the divergence to the normal
 * distribution as a second loss; predictions are the same each time. */
static void autoencoder(void)
{
    static float points[64 * 4];
    float out[2][64 * 4];
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 4);
    const cvn_node h = cvn_tanh(net, cvn_dense(net, x, 16));
    const cvn_node mean = cvn_dense(net, h, 2);
    const cvn_node variance = cvn_dense(net, h, 2);
    cvn_node y = cvn_reparameterize(net, mean, variance);
    cvn_node kl = cvn_sub(net, cvn_add(net, cvn_exp(net, variance), cvn_square(net, mean)),
                          variance);
    const cvn_optimizer adam = cvn_adam(1e-2f);
    float first = 0;
    float last = 0;
    y = cvn_dense(net, cvn_tanh(net, cvn_dense(net, y, 16)), 4);
    cvn_mse_loss(net, y, x);
    cvn_add_loss(net, cvn_mean_loss(net, kl), 0.002f);
    cvn_output(net, y);
    CHECK(cvn_set_optimizer(net, &adam) == CVN_OK);
    for (int i = 0; i < 64; i++) {
        points[4 * i] = sinf((float)i);
        points[4 * i + 1] = cosf((float)i);
        points[4 * i + 2] = (float)(i % 5) / 2 - 1;
        points[4 * i + 3] = points[4 * i] * points[4 * i + 2];
    }
    if (CHECKF(cvn_build(net, 64) == CVN_OK, "%s", cvn_error(net))) {
        for (int i = 0; i < 400; i++) {
            float loss = 0;
            CHECK(cvn_train_batch(net, points, NULL, 64, &loss) == CVN_OK);
            if (i < 20) first += loss;
            if (i >= 380) last += loss;
        }
        CHECKF(last < 0.6f * first, "%g after %g", (double)last, (double)first);
        CHECK(cvn_predict(net, points, 64, out[0]) == CVN_OK);
        CHECKF(cvn_build_infer(net, 64) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_predict(net, points, 64, out[1]) == CVN_OK);
        for (int i = 0; i < 256; i++) CHECK_NEAR(out[0][i], out[1][i], 1e-5);
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * refusals
 * ============================================================================================== */

static cvn_node refused(cvn_net *net, int i, cvn_node image, cvn_node scalar)
{
    switch (i) {
    case 0: return cvn_dropout(net, image, 1);
    case 1: return cvn_spatial_dropout(net, image, -0.1f);
    case 2: return cvn_spatial_dropout(net, scalar, 0.5f);
    case 3: return cvn_drop_path(net, image, NAN);
    case 4: return cvn_gaussian_noise(net, image, -1);
    case 5: return cvn_gaussian_noise(net, image, HUGE_VALF);
    case 6: return cvn_reparameterize(net, image, scalar);
    default: return cvn_reparameterize(net, image, cvn_flatten(net, image));
    }
}

static void refusals(void)
{
    for (int i = 0; i < 8; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node image = cvn_input(net, 4, 6, 6);
        const cvn_node scalar = cvn_input_tensor(net, NULL, 0);
        test_case("refusal %d", i);
        CHECK(refused(net, i, image, scalar).id == 0);
        CHECKF(strlen(cvn_error(net)) > 15, "'%s'", cvn_error(net));
        CHECK(cvn_build(net, 1) < 0);
        cvn_destroy(net);
    }
}

int main(void)
{
    RUN(plans);
    RUN(dropouts);
    RUN(dropout_shares);
    RUN(drop_path_of_regions);
    RUN(normal_noise);
    RUN(noise_scale);
    RUN(reparameterize_gradients);
    RUN(reparameterize_twice);
    RUN(autoencoder);
    RUN(refusals);
    return test_done();
}
