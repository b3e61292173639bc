/* test_core.c - the engine, seen from inside and outside: random numbers, errors, memory, plans,
 * marks, shared and tied weights, gradients that enter and leave anywhere. Run it where convnet.h
 * lies. */
#include <stdlib.h>

static int default_calls;               /* of CONVNET_MALLOC: what does not go through a net's own
                                         * allocator */

static void *count_malloc(size_t size)
{
    default_calls++;
    return malloc(size);
}

#define CONVNET_MALLOC(size) count_malloc(size)
#define CONVNET_FREE(pointer) free(pointer)
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"
#ifdef CVNI_CREW
    #include <sys/wait.h>
#endif

/* ================================================================================================
 * helpers: an allocator that counts and fails, a small net of everything, its data
 * ============================================================================================== */

typedef struct meter {
    int calls, live;                    /* allocations so far; not given back */
    int fail_at;                        /* the call that fails; 0: none */
    size_t largest;
} meter;

static void *meter_alloc(void *user, size_t size)
{
    meter *m = (meter *)user;
    void *p;
    if (++m->calls == m->fail_at) return NULL;
    p = malloc(size);
    if (!p) return NULL;
    m->live++;
    if (size > m->largest) m->largest = size;
    return p;
}

static void meter_free(void *user, void *pointer)
{
    ((meter *)user)->live--;
    free(pointer);
}

static cvn_desc metered(meter *m)
{
    cvn_desc d = cvn_desc_defaults();
    memset(m, 0, sizeof *m);
    d.allocator.alloc = meter_alloc;
    d.allocator.free = meter_free;
    d.allocator.user = m;
    d.threads = 2;
    return d;
}

enum { SAMPLES = 12, PIXELS = 2 * 8 * 8, CLASSES = 3 };

/* [N, 2, 8, 8] -> conv, bn, relu, pool, conv, relu, dropout, dense -> 3 classes */
static cvn_node small_graph(cvn_net *net)
{
    cvn_node x = cvn_input(net, 2, 8, 8);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 4, 3, 1, 1)));
    x = cvn_maxpool(net, x, 2, 2);
    x = cvn_relu(net, cvn_conv2d(net, x, 6, 3, 1, 0));
    x = cvn_dense(net, cvn_dropout(net, x, 0.1f), CLASSES);
    cvn_softmax_loss(net, x);
    return x;
}

static float sample_images[SAMPLES * PIXELS];
static int sample_labels[SAMPLES];

static cvn_data small_data(void)
{
    cvn_data d;
    memset(&d, 0, sizeof d);
    ref_fill(sample_images, SAMPLES * PIXELS, -1, 1, 3);
    for (int i = 0; i < SAMPLES; i++) sample_labels[i] = i % CLASSES;
    d.count = SAMPLES;
    d.images = sample_images;
    d.labels = sample_labels;
    d.classes = CLASSES;
    return d;
}

static int built(cvn_net *net, int batch)
{
    return CHECKF(cvn_build(net, batch) == CVN_OK, "%s", cvn_error(net));
}

static void copy_parameters(cvn_net *to, cvn_net *from)
{
    size_t a = 0;
    size_t b = 0;
    float *const t = cvn_flat_parameters(to, &a);
    const float *const f = cvn_flat_parameters(from, &b);
    if (CHECK(t && f && a == b)) memcpy(t, f, a * sizeof(float));
    cvn_touch(to);
}

static int close_floats(const float *a, const float *b, size_t count, double tolerance)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= tolerance)) return 0;
    return 1;
}

/* ================================================================================================
 * random numbers
 * ============================================================================================== */

/* Known answers of philox4x32-10 from the Random123 distribution, kat_vectors. */
static void philox_known_answers(void)
{
    static const uint32_t vectors[3][10] = {    /* counter, key, answer */
        { 0, 0, 0, 0, 0, 0, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u },
        { 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu,
          0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu },
        { 0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xa4093822u, 0x299f31d0u,
          0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u }
    };
    for (int i = 0; i < 3; i++) {
        uint32_t counter[4];
        memcpy(counter, vectors[i], sizeof counter);
        cvni_philox(counter, vectors[i][4], vectors[i][5]);
        for (int k = 0; k < 4; k++) CHECK(counter[k] == vectors[i][6 + k]);
    }
}

static void random_distributions(void)
{
    const int draws = 100000;
    cvni_rng r = cvni_rng_start(5, CVNI_STREAM_INIT, 0, 3);
    double sum = 0;
    double square = 0;
    int buckets[7] = { 0, 0, 0, 0, 0, 0, 0 };
    for (int i = 0; i < draws; i++) {
        const float u = cvni_uniform(&r);
        if (!(u >= 0 && u < 1)) CHECKF(0, "uniform draw %g", (double)u);
        sum += (double)u;
        buckets[cvni_below(&r, 7)]++;
    }
    CHECK_NEAR(sum / draws, 0.5, 0.005);
    for (int i = 0; i < 7; i++) CHECK_NEAR(buckets[i] / (double)draws, 1 / 7.0, 0.005);
    sum = 0;
    for (int i = 0; i < draws; i++) {
        const double v = (double)cvni_normal(&r);
        sum += v;
        square += v * v;
    }
    CHECK_NEAR(sum / draws, 0, 0.015);
    CHECK_NEAR(square / draws, 1, 0.02);
}

/* Mean, variance and range of a weight [300, 400] of each kind: fan_in 400, fan_out 300. */
static void initialisers(void)
{
    static const struct { cvn_init init; double mean, std, limit; } kinds[] = {
        { { CVN_INIT_DEFAULT, 0, 0 }, 0, 0.070711, 0 },
        { { CVN_INIT_HE_NORMAL, 0, 0 }, 0, 0.070711, 0 },
        { { CVN_INIT_HE_UNIFORM, 0, 0 }, 0, 0.070711, 0.122475 },
        { { CVN_INIT_XAVIER_NORMAL, 0, 0 }, 0, 0.053452, 0 },
        { { CVN_INIT_XAVIER_UNIFORM, 0, 0 }, 0, 0.053452, 0.092583 },
        { { CVN_INIT_LECUN_NORMAL, 0, 0 }, 0, 0.05, 0 },
        { { CVN_INIT_LECUN_UNIFORM, 0, 0 }, 0, 0.05, 0.086603 },
        { { CVN_INIT_NORMAL, 0.5f, 2 }, 0.5, 2, 0 },
        { { CVN_INIT_UNIFORM, -1, 3 }, 1, 1.154701, 2 },
        { { CVN_INIT_CONSTANT, 0.25f, 0 }, 0.25, 0, 1e-9 },
        { { CVN_INIT_ZERO, 0, 0 }, 0, 0, 1e-9 }
    };
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        cvn_net *net = cvn_create(NULL);
        cvn_dense_desc d = cvn_dense_defaults();
        cvn_param w;
        double sum = 0;
        double square = 0;
        double reach = 0;
        d.units = 300;
        d.weight_init = kinds[k].init;
        cvn_dense_ex(net, cvn_input_vector(net, 400), &d);
        CHECK(cvn_build(net, 1) == CVN_OK);
        w = cvn_param_find(net, "fc1.weight");
        if (!CHECK(w.value && w.count == 120000)) return;
        for (size_t i = 0; i < w.count; i++) {
            const double v = (double)w.value[i] - kinds[k].mean;
            sum += v;
            square += v * v;
            if (fabs(v) > reach) reach = fabs(v);
        }
        CHECK_NEAR(sum / 120000, 0, 0.015 * kinds[k].std + 1e-9);
        CHECK_NEAR(sqrt(square / 120000), kinds[k].std, 0.01 * kinds[k].std + 1e-9);
        if (kinds[k].limit > 0)
            CHECKF(reach <= 1.00001 * kinds[k].limit, "kind %d reaches %g", (int)k, reach);
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * errors
 * ============================================================================================== */

/* The text of the first error names the layer and holds `part`; a second error does not replace
 * it. */
static void expect_error(cvn_net *net, cvn_result result, const char *layer, const char *part)
{
    char text[512];
    snprintf(text, sizeof text, "%s", cvn_error(net));
    CHECKF(strstr(text, layer) != NULL, "'%s' should name %s", text, layer);
    CHECKF(strstr(text, part) != NULL, "'%s' should say %s", text, part);
    CHECK(cvn_dense(net, cvn_input_vector(net, 4), 0).id == 0);
    CHECK(cvn_input(net, 1, 2, 3).id == 0);
    CHECK(cvn_build(net, 4) == result);
    CHECK(cvn_build_infer(net, 4) == result);
    CHECK(cvn_memory_needed(net, 4, CVN_TRAIN) == 0);
    CHECKF(strcmp(text, cvn_error(net)) == 0, "'%s' became '%s'", text, cvn_error(net));
    cvn_destroy(net);
}

static void first_error_sticks(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 3, 6, 6);
    test_case("kernel larger than the input");
    CHECK(cvn_conv2d(net, x, 8, 9, 1, 1).id == 0);
    expect_error(net, CVN_ERROR_SHAPE, "conv1", "9");
    test_case("channels that do not fit in add");
    net = cvn_create(NULL);
    cvn_add(net, cvn_input(net, 3, 6, 6), cvn_input(net, 4, 6, 6));
    expect_error(net, CVN_ERROR_SHAPE, "add1", "[4, 6, 6]");
    test_case("dense with 0 units");
    net = cvn_create(NULL);
    cvn_dense(net, cvn_input_vector(net, 3), 0);
    expect_error(net, CVN_ERROR_ARGUMENT, "fc1", "units");
    test_case("a name that is taken");
    net = cvn_create(NULL);
    x = cvn_name(net, cvn_dense(net, cvn_input_vector(net, 3), 4), "head");
    CHECK(cvn_name(net, cvn_relu(net, x), "head").id == 0);
    expect_error(net, CVN_ERROR_ARGUMENT, "head", "already");
    test_case("a name that is empty");
    net = cvn_create(NULL);
    cvn_name(net, cvn_input_vector(net, 3), "");
    expect_error(net, CVN_ERROR_ARGUMENT, "cvn_name", "name");
    test_case("a node of no net");
    net = cvn_create(NULL);
    x.id = 77;
    cvn_relu(net, x);
    expect_error(net, CVN_ERROR_ARGUMENT, "relu", "node");
    test_case("tied layers of other shapes");
    net = cvn_create(NULL);
    x = cvn_input_vector(net, 3);
    cvn_tie(net, cvn_dense(net, x, 4), cvn_dense(net, x, 5));
    expect_error(net, CVN_ERROR_SHAPE, "fc1", "fc2");
    test_case("kernels that do not exist");
    {
        cvn_desc d = cvn_desc_defaults();
        d.isa = "mmx";
        net = cvn_create(&d);
        expect_error(net, CVN_ERROR_UNSUPPORTED, "cvn_create", "mmx");
    }
    test_case("an empty net");
    net = cvn_create(NULL);
    CHECK(cvn_error(net)[0] == 0);
    CHECK(cvn_build(net, 1) == CVN_ERROR_STATE);
    /* a call that failed is no error of the graph */
    cvn_dense(net, cvn_input_vector(net, 3), 2);
    CHECK(cvn_build(net, 0) == CVN_ERROR_ARGUMENT && cvn_build(net, -3) == CVN_ERROR_ARGUMENT);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* Every function takes a net of NULL. */
static void null_net(void)
{
    const cvn_node none = { 0 };
    const int one = 1;
    float v = 0;
    int label = 0;
    size_t count = 1;
    char text[8] = "";
    cvn_data data = small_data();
    cvn_metrics m;
    const cvn_optimizer sgd = cvn_sgd(0.1f, 0);
    memset(&m, 0, sizeof m);
    CHECK(strlen(cvn_error(NULL)) > 0);
    CHECK(cvn_input(NULL, 1, 2, 3).id == 0 && cvn_input_vector(NULL, 3).id == 0);
    CHECK(cvn_input_tensor(NULL, &one, 1).id == 0 && cvn_input_labels(NULL, &one, 1).id == 0);
    CHECK(cvn_target(NULL, none).id == 0 && cvn_conv2d(NULL, none, 1, 1, 1, 0).id == 0);
    CHECK(cvn_conv2d_ex(NULL, none, NULL).id == 0 && cvn_depthwise(NULL, none, 3, 1, 1).id == 0);
    CHECK(cvn_dense(NULL, none, 3).id == 0 && cvn_dense_ex(NULL, none, NULL).id == 0);
    CHECK(cvn_maxpool(NULL, none, 2, 2).id == 0 && cvn_maxpool_ex(NULL, none, NULL).id == 0);
    CHECK(cvn_avgpool(NULL, none, 2, 2).id == 0 && cvn_avgpool_ex(NULL, none, NULL).id == 0);
    CHECK(cvn_global_avgpool(NULL, none).id == 0 && cvn_global_maxpool(NULL, none).id == 0);
    CHECK(cvn_batchnorm(NULL, none).id == 0 && cvn_batchnorm_ex(NULL, none, NULL).id == 0);
    CHECK(cvn_dropout(NULL, none, 0.5f).id == 0 && cvn_flatten(NULL, none).id == 0);
    CHECK(cvn_reshape(NULL, none, &one, 1).id == 0 && cvn_add(NULL, none, none).id == 0);
    CHECK(cvn_mul(NULL, none, none).id == 0 && cvn_concat(NULL, none, none).id == 0);
    CHECK(cvn_concat_n(NULL, &none, 1, 1).id == 0 && cvn_relu(NULL, none).id == 0);
    CHECK(cvn_leaky_relu(NULL, none, 0.1f).id == 0 && cvn_elu(NULL, none, 1).id == 0);
    CHECK(cvn_sigmoid(NULL, none).id == 0 && cvn_tanh(NULL, none).id == 0);
    CHECK(cvn_softmax(NULL, none).id == 0 && cvn_softmax_axis(NULL, none, 1).id == 0);
    CHECK(cvn_softmax_loss(NULL, none).id == 0 && cvn_softmax_loss_ex(NULL, none, NULL).id == 0);
    CHECK(cvn_mse_loss(NULL, none, none).id == 0 &&
          cvn_bce_with_logits_loss(NULL, none, none).id == 0);
    CHECK(cvn_name(NULL, none, "a").id == 0 && cvn_find(NULL, "a").id == 0);
    CHECK(cvn_node_name(NULL, none) != NULL && cvn_node_shape(NULL, none).rank == 0);
    cvn_scope(NULL, "a");
    cvn_output(NULL, none);
    cvn_keep(NULL, none);
    cvn_want_grad(NULL, none);
    cvn_add_loss(NULL, none, 1);
    cvn_tie(NULL, none, none);
    cvn_touch(NULL);
    cvn_destroy(NULL);
    CHECK(cvn_freeze(NULL, none) < 0 && cvn_freeze_to(NULL, none) < 0 &&
          cvn_unfreeze(NULL, none) < 0);
    CHECK(cvn_lr_scale(NULL, none, 1) < 0 && cvn_decay_scale(NULL, none, 1) < 0);
    CHECK(cvn_build(NULL, 1) < 0 && cvn_build_infer(NULL, 1) < 0 &&
          cvn_build_in(NULL, 1, CVN_TRAIN, &v, 4) < 0);
    CHECK(cvn_memory_needed(NULL, 1, CVN_TRAIN) == 0 && cvn_resize(NULL, 4, 4) < 0 &&
          cvn_share(NULL) == NULL);
    CHECK(cvn_summary(NULL, text, sizeof text) <= 0 && cvn_value(NULL, none) == NULL &&
          cvn_gradient(NULL, none) == NULL);
    CHECK(cvn_param_count(NULL) == 0 && cvn_param_at(NULL, 0).value == NULL &&
          cvn_param_find(NULL, "w").value == NULL);
    CHECK(cvn_parameters(NULL) == 0 && cvn_flat_parameters(NULL, &count) == NULL && count == 0);
    CHECK(cvn_flat_gradients(NULL, NULL) == NULL && cvn_init_parameters(NULL, 1) < 0 &&
          cvn_isa(NULL) != NULL);
    CHECK(cvn_set_optimizer(NULL, &sgd) < 0 && cvn_set_lr(NULL, 1) < 0);
    (void)cvn_get_lr(NULL);
    CHECK(cvn_set_input(NULL, none, &v, 1) < 0 && cvn_set_labels(NULL, none, &label, 1) < 0);
    CHECK(cvn_forward(NULL) < 0 && cvn_forward_eval(NULL) < 0 && cvn_loss(NULL) != cvn_loss(NULL));
    CHECK(cvn_backward(NULL) < 0 && cvn_backward_from(NULL, none, &v) < 0 && cvn_step(NULL) < 0 &&
          cvn_zero_grad(NULL) < 0);
    CHECK(cvn_train_batch(NULL, &v, &label, 1, NULL) < 0 &&
          cvn_train_batch_target(NULL, &v, &v, 1, NULL) < 0);
    CHECK(cvn_predict(NULL, &v, 1, &v) < 0 && cvn_classify(NULL, &v, 1, &label, NULL) < 0);
    CHECK(cvn_evaluate(NULL, &data, &m) < 0 && cvn_fit(NULL, &data, NULL, NULL) < 0);
    CHECK(cvn_check(NULL, &data, text, sizeof text) < 0 && cvn_history_count(NULL) == 0);
    (void)cvn_history_at(NULL, 0);
    CHECK(cvn_load_memory(NULL, &v, 4) < 0 && cvn_save_size(NULL) == 0 &&
          cvn_save_memory(NULL, &v, 4) < 0);
#ifndef CONVNET_NO_STDIO
    CHECK(cvn_save(NULL, "build/none") < 0 && cvn_load(NULL, "build/none") < 0);
    CHECK(cvn_load_partial(NULL, "build/none", NULL) < 0 &&
          cvn_save_checkpoint(NULL, "build/none") < 0);
    CHECK(cvn_load_checkpoint(NULL, "build/none") < 0 &&
          cvn_history_save_csv(NULL, "build/none") < 0);
    CHECK(cvn_history_save_svg(NULL, "build/none") < 0);
#endif
}

/* Calls at the wrong time, batches of a wrong size: an error, and the net goes on. */
static void wrong_moments(void)
{
    cvn_data data = small_data();
    cvn_net *net = cvn_create(NULL);
    const cvn_node y = small_graph(net);
    const cvn_node x = cvn_find(net, "input1");
    float out[SAMPLES * CLASSES];
    float loss = 0;
    CHECK(x.id != 0);
    CHECK(cvn_forward(net) == CVN_ERROR_STATE && cvn_step(net) == CVN_ERROR_STATE);
    CHECK(cvn_set_input(net, x, data.images, 1) == CVN_ERROR_STATE &&
          cvn_resize(net, 9, 9) == CVN_ERROR_STATE);
    CHECK(cvn_value(net, x) == NULL && cvn_flat_parameters(net, NULL) == NULL);
    if (!built(net, 4)) return;
    CHECK(cvn_backward(net) == CVN_ERROR_STATE);
    CHECK(cvn_set_input(net, x, data.images, 5) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_input(net, x, data.images, 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_input(net, x, NULL, 4) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_labels(net, x, data.labels, 4) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_train_batch(net, data.images, data.labels, 5, &loss) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_error(net)[0] != 0);
    CHECKF(cvn_train_batch(net, data.images, data.labels, 4, &loss) == CVN_OK, "%s",
           cvn_error(net));
    CHECK(cvn_backward_from(net, y, data.images) == CVN_ERROR_STATE);       /* not marked */
    /* any n */
    CHECKF(cvn_predict(net, data.images, SAMPLES, out) == CVN_OK, "%s", cvn_error(net));
    /* built: no more layers */
    CHECK(cvn_relu(net, y).id == 0);
    CHECK(cvn_error(net)[0] != 0);
    CHECKF(cvn_train_batch(net, data.images, data.labels, 4, &loss) == CVN_OK, "%s",
           cvn_error(net));
    CHECKF(cvn_build_infer(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_train_batch(net, data.images, data.labels, 2, NULL) == CVN_ERROR_STATE);
    CHECK(cvn_forward(net) == CVN_ERROR_STATE && cvn_backward(net) == CVN_ERROR_STATE &&
          cvn_step(net) == CVN_ERROR_STATE);
    CHECKF(cvn_predict(net, data.images, SAMPLES, out) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* cvn_value and cvn_gradient say what to mark; kept nodes are there. */
static void what_is_kept(void)
{
    cvn_data data = small_data();
    for (int keep = 0; keep < 2; keep++) {
        cvn_net *net = cvn_create(NULL);
        cvn_node mid;
        small_graph(net);
        mid = cvn_find(net, "conv2");
        if (keep) {
            cvn_keep(net, mid);
            cvn_want_grad(net, cvn_find(net, "relu1"));
        }
        if (!built(net, 4)) return;
        CHECK(cvn_train_batch(net, data.images, data.labels, 4, NULL) == CVN_OK);
        if (keep) {
            CHECK(cvn_value(net, mid) != NULL && cvn_gradient(net, cvn_find(net, "relu1")) != NULL);
        } else {
            CHECK(cvn_value(net, mid) == NULL);
            CHECKF(strstr(cvn_error(net), "cvn_keep") && strstr(cvn_error(net), "conv2"), "'%s'",
                   cvn_error(net));
            CHECK(cvn_gradient(net, mid) == NULL);
            CHECKF(strstr(cvn_error(net), "cvn_want_grad") != NULL, "'%s'", cvn_error(net));
        }
        CHECK(cvn_value(net, cvn_find(net, "input1")) != NULL);
        cvn_destroy(net);
    }
}

/* ================================================================================================
 * memory
 * ============================================================================================== */

/* cvn_memory_needed is what the allocator is asked for, and what cvn_build_in needs: not a byte
 * less. */
static void memory_is_exact(void)
{
    static const cvn_mode modes[2] = { CVN_TRAIN, CVN_INFER };
    cvn_data data = small_data();
    for (int i = 0; i < 8; i++) {
        const cvn_mode mode = modes[i & 1];
        const int batch = 1 + i * 3;
        meter m;
        const cvn_desc desc = metered(&m);
        cvn_net *net = cvn_create(&desc);
        unsigned char *block;
        float out[CLASSES];
        float again[CLASSES];
        size_t needed;
        test_case("batch %d for %s", batch, mode == CVN_TRAIN ? "training" : "prediction");
        small_graph(net);
        needed = cvn_memory_needed(net, batch, (int)mode);
        CHECK(needed > 0 && needed == cvn_memory_needed(net, batch, (int)mode));
        if (mode == CVN_TRAIN)
            CHECK(needed == cvn_memory_needed(net, batch, CVN_TRAIN | CVN_INFER));
        m.largest = 0;
        CHECKF((mode == CVN_TRAIN ? cvn_build(net, batch) : cvn_build_infer(net, batch)) == CVN_OK,
               "%s", cvn_error(net));
        CHECKF(m.largest == needed, "%lu taken, %lu announced", (unsigned long)m.largest,
               (unsigned long)needed);
        CHECK(cvn_predict(net, data.images, 1, out) == CVN_OK);
        block = (unsigned char *)malloc(needed + 64);
        memset(block, 0x5A, needed + 64);
        CHECK(cvn_build_in(net, batch, mode, block + 1, needed - 1) == CVN_ERROR_MEMORY);
        CHECKF(cvn_error(net)[0] != 0, "no text");
        CHECK(cvn_predict(net, data.images, 1, again) == CVN_OK &&
              memcmp(out, again, sizeof out) == 0);
        CHECKF(cvn_build_in(net, batch, mode, block + 1, needed) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_predict(net, data.images, 1, again) == CVN_OK &&
              close_floats(out, again, CLASSES, 1e-6));
        if (mode == CVN_TRAIN)
            CHECK(cvn_train_batch(net, data.images, data.labels, 1, NULL) == CVN_OK);
        CHECK(block[0] == 0x5A);
        for (int k = 1; k < 64; k++) CHECK(block[needed + (size_t)k] == 0x5A);
        cvn_destroy(net);
        CHECK(m.live == 0);
        free(block);
    }
}

static void fresh_net_in_small_buffer(void)
{
    cvn_data data = small_data();
    cvn_net *net = cvn_create(NULL);
    float buffer[4];
    float out[CLASSES];
    small_graph(net);
    CHECK(cvn_build_in(net, 2, CVN_TRAIN, buffer, sizeof buffer) == CVN_ERROR_MEMORY);
    CHECK(cvn_build_in(net, 2, CVN_TRAIN, NULL, 100) < 0);
    CHECK(cvn_forward(net) == CVN_ERROR_STATE);
    if (built(net, 2)) CHECK(cvn_predict(net, data.images, 1, out) == CVN_OK);
    cvn_destroy(net);
}

/* Prediction alone takes less than training, and eight more layers of a chain less than one more of
 * their values (they have weights, as they are and packed, and tables). */
static void prediction_reuses_memory(void)
{
    const size_t value = sizeof(float) * 8 * 4 * 32 * 32;
    size_t needed[2];
    for (int i = 0; i < 2; i++) {
        cvn_net *net = cvn_create(NULL);
        cvn_node x = cvn_input(net, 4, 32, 32);
        for (int k = 0; k < (i ? 12 : 4); k++) x = cvn_relu(net, cvn_conv2d(net, x, 4, 3, 1, 1));
        needed[i] = cvn_memory_needed(net, 8, CVN_INFER);
        CHECK(needed[i] > 0 && needed[i] < cvn_memory_needed(net, 8, CVN_TRAIN));
        cvn_destroy(net);
    }
    CHECKF(needed[1] < needed[0] + value, "%lu and %lu bytes", (unsigned long)needed[0],
           (unsigned long)needed[1]);
}

/* Forward, backward, step, prediction allocate nothing, and nothing of a net goes round its
 * allocator. */
static void no_allocation_while_running(void)
{
    const cvn_data data = small_data();
    const int before_default = default_calls;
    meter m;
    const cvn_desc desc = metered(&m);
    cvn_net *net = cvn_create(&desc);
    float out[SAMPLES * CLASSES];
    int labels[SAMPLES];
    int calls;
    small_graph(net);
    if (!built(net, 4)) return;
    calls = m.calls;
    for (int i = 0; i < 3; i++) {
        CHECK(cvn_set_input(net, cvn_find(net, "input1"), data.images, 3) == CVN_OK);
        CHECK(cvn_train_batch(net, data.images, data.labels, 1 + i, NULL) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
        CHECK(cvn_forward_eval(net) == CVN_OK && cvn_zero_grad(net) == CVN_OK);
        CHECK(cvn_predict(net, data.images, SAMPLES, out) == CVN_OK);
        CHECK(cvn_classify(net, data.images, SAMPLES, labels, out) == CVN_OK);
    }
    CHECKF(m.calls == calls, "%d allocations", m.calls - calls);
    CHECK(cvn_build_infer(net, 4) == CVN_OK);
    calls = m.calls;
    CHECK(cvn_predict(net, data.images, SAMPLES, out) == CVN_OK);
    CHECKF(m.calls == calls, "%d allocations in prediction", m.calls - calls);
    cvn_destroy(net);
    CHECK(m.live == 0);
    CHECKF(default_calls == before_default, "%d calls of CONVNET_MALLOC",
           default_calls - before_default);
}

/* Everything that takes memory, one after the other, whatever fails; returns 1 when nothing did. */
static int whole_life(const cvn_desc *desc, const char *path)
{
    const cvn_data data = small_data();
    cvn_fit_options options = cvn_fit_defaults();
    const cvn_optimizer sgd = cvn_sgd(0.1f, 0.9f);
    const cvn_optimizer adam = cvn_adam(0.01f);
    cvn_net *net = cvn_create(desc);
    cvn_net *other;
    cvn_metrics m;
    int ok = net != NULL;
    memset(&m, 0, sizeof m);
    options.epochs = 1;
    options.keep_best = 1;
    cvn_scope(net, "body");
    cvn_name(net, small_graph(net), "head");
    ok &= cvn_set_optimizer(net, &sgd) == CVN_OK;
    ok &= cvn_build(net, 4) == CVN_OK;
    ok &= cvn_freeze_to(net, cvn_find(net, "body.conv1")) == CVN_OK;
    ok &= cvn_fit(net, &data, &data, &options) == CVN_OK;
    ok &= cvn_evaluate(net, &data, &m) == CVN_OK;
    ok &= cvn_set_optimizer(net, &adam) == CVN_OK;                  /* more state than SGD's */
    ok &= cvn_build(net, 5) == CVN_OK;
#ifndef CONVNET_NO_STDIO
    ok &= cvn_save(net, path) == CVN_OK && cvn_load(net, path) == CVN_OK;
    ok &= cvn_save_checkpoint(net, path) == CVN_OK && cvn_load_checkpoint(net, path) == CVN_OK;
    remove(path);
#else
    (void)path;
#endif
    other = cvn_share(net);
    ok &= cvn_build_infer(other, 2) == CVN_OK;
    cvn_destroy(other);
    ok &= cvn_build_infer(net, 3) == CVN_OK;
    cvn_destroy(net);
    return ok;
}

/* The allocator fails at call n, for every n: no crash, no leak, and never a success that is
 * none. */
static void failing_allocator(void)
{
    meter m;
    const cvn_desc desc = metered(&m);
    int fail_at = 1;
    int total;
    CHECKF(whole_life(&desc, "build/test_core.safetensors"), "with all memory there is");
    CHECK(m.live == 0);
    total = m.calls;
    for (; fail_at <= total; fail_at++) {
        m.calls = m.live = 0;
        m.fail_at = fail_at;
        CHECKF(!whole_life(&desc, "build/test_core.safetensors"),
               "allocation %d of %d failed unnoticed", fail_at, total);
        CHECKF(m.live == 0, "%d blocks leak when allocation %d of %d fails", m.live, fail_at,
               total);
    }
}

/* ================================================================================================
 * looking at a net
 * ============================================================================================== */

static void lenet(cvn_net *net)
{
    cvn_node x = cvn_input(net, 1, 28, 28);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2)), 2, 2);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0)), 2, 2);
    x = cvn_relu(net, cvn_dense(net, cvn_relu(net, cvn_dense(net, x, 120)), 84));
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
}

static void summary(void)
{
    static const char *const parts[9] = { "conv1", "conv2d", "[6, 28, 28]", "156",  "117600",
                                          "fc3",   "[10]",   "61706",       "total" };
    cvn_net *net = cvn_create(NULL);
    char text[4096];
    char little[40];
    int length;
    lenet(net);
    CHECK(cvn_parameters(net) == 61706);
    length = cvn_summary(net, text, sizeof text);
    CHECK(length > 0 && (size_t)length == strlen(text));
    for (int i = 0; i < 9; i++)
        CHECKF(strstr(text, parts[i]) != NULL, "'%s' is not in\n%s", parts[i], text);
    memset(little, 'x', sizeof little);
    CHECK(cvn_summary(net, little, sizeof little) == length);
    CHECK(strlen(little) == sizeof little - 1 && memcmp(little, text, sizeof little - 1) == 0);
    CHECK(cvn_summary(net, NULL, 0) == length);
    cvn_destroy(net);
}

static void names(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 2, 8, 8);
    cvn_node stem;
    x = cvn_conv2d(net, x, 3, 3, 1, 1);
    stem = x;
    CHECK(strcmp(cvn_node_name(net, x), "conv1") == 0);
    CHECK(strcmp(cvn_node_name(net, cvn_name(net, x, "stem")), "stem") == 0);
    x = cvn_conv2d(net, x, 3, 3, 1, 1);
    CHECKF(strcmp(cvn_node_name(net, x), "conv2") == 0, "%s", cvn_node_name(net, x));
    cvn_scope(net, "layer1.0");
    x = cvn_batchnorm(net, cvn_conv2d(net, x, 3, 3, 1, 1));
    x = cvn_conv2d(net, x, 3, 3, 1, 1);
    CHECK(strcmp(cvn_node_name(net, x), "layer1.0.conv2") == 0);
    cvn_scope(net, "layer1.1");
    x = cvn_conv2d(net, x, 3, 3, 1, 1);
    CHECK(strcmp(cvn_node_name(net, x), "layer1.1.conv1") == 0);
    cvn_scope(net, NULL);
    x = cvn_dense(net, x, 2);
    CHECK(strcmp(cvn_node_name(net, x), "fc1") == 0);
    CHECK(cvn_find(net, "stem").id == stem.id && cvn_find(net, "conv1").id == 0 &&
          cvn_find(net, "").id == 0);
    if (!built(net, 1)) return;
    CHECK(cvn_param_find(net, "stem.weight").value != NULL &&
          cvn_param_find(net, "conv1.weight").value == NULL);
    CHECK(cvn_param_find(net, "layer1.0.bn1.running_var").value != NULL);
    CHECK(cvn_param_find(net, "layer1.1.conv1.bias").count == 3);
    CHECK(cvn_param_at(net, -1).value == NULL &&
          cvn_param_at(net, cvn_param_count(net)).value == NULL);
    CHECK(strcmp(cvn_param_at(net, 0).name, "stem.weight") == 0 &&
          strcmp(cvn_param_at(net, 1).name, "stem.bias") == 0);
    cvn_destroy(net);
}

/* The flat arrays: trainable parameters, then running statistics. */
static void flat_arrays(void)
{
    cvn_net *net = cvn_create(NULL);
    size_t values = 0;
    size_t grads = 0;
    float *flat;
    small_graph(net);
    if (!built(net, 1)) return;
    flat = cvn_flat_parameters(net, &values);
    CHECK(cvn_flat_gradients(net, &grads) != NULL && flat != NULL);
    /* running mean and variance of 4 channels */
    CHECK(grads == cvn_parameters(net) && values == grads + 8);
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        CHECK(p.value >= flat && p.value + p.count <= flat + values);
        CHECK((p.gradient == NULL) == (p.value >= flat + grads));
        if (p.gradient) CHECK(p.gradient - cvn_flat_gradients(net, NULL) == p.value - flat);
    }
    cvn_destroy(net);
}

/* Each room of the table of contents has one banner, in the same order, and there is no other. */
static void greppable_rooms(void)
{
    char line[512];
    char rooms[160][32];
    int count = 0;
    int banners = 0;
    int in_table = 0;
    FILE *file = fopen("convnet.h", "r");
    if (!file) SKIP("convnet.h is not in the current folder");
    while (fgets(line, sizeof line, file)) {
        char name[32];
        if (strstr(line, "Rooms of this file")) in_table = 1;
        if (strstr(line, "Conventions.")) in_table = 0;
        for (const char *at = in_table ? strstr(line, ">>") : NULL; at && count < 160;
             at = strstr(at + 2, ">>"))
            if (sscanf(at, ">>%31s", rooms[count]) == 1) count++;
        if (!in_table && strncmp(line, " * >>", 5) == 0 && sscanf(line + 5, "%31s", name) == 1) {
            CHECKF(banners < count && strcmp(name, rooms[banners]) == 0,
                   "banner >>%s where the table has >>%s", name,
                   banners < count ? rooms[banners] : "nothing");
            banners++;
        }
    }
    fclose(file);
    CHECKF(count > 30 && count == banners, "%d rooms in the table, %d banners", count, banners);
}

/* ================================================================================================
 * plans: rebuild, resize, share, prediction
 * ============================================================================================== */

/* A new batch size keeps parameters and optimizer state: three steps, rebuild, three steps are six
 * steps, but for rounding, as convolutions may go other ways for another batch. The gradient of the
 * bias in front of the norm is rounding alone, which a small epsilon would blow up. */
static void rebuild_keeps_training(void)
{
    const cvn_data data = small_data();
    cvn_optimizer adam = cvn_adam(1e-3f);
    cvn_net *nets[2];
    size_t count = 0;
    adam.eps = 1e-3f;
    for (int i = 0; i < 2; i++) {
        nets[i] = cvn_create(NULL);
        small_graph(nets[i]);
        CHECK(cvn_set_optimizer(nets[i], &adam) == CVN_OK);
        if (!built(nets[i], i ? 4 : 7)) return;
        for (int s = 0; s < 3; s++)
            CHECK(cvn_train_batch(nets[i], data.images, data.labels, 4, NULL) == CVN_OK);
        if (i) CHECK(cvn_build(nets[i], 7) == CVN_OK);
        for (int s = 0; s < 3; s++)
            CHECK(cvn_train_batch(nets[i], data.images, data.labels, 4, NULL) == CVN_OK);
    }
    cvn_flat_parameters(nets[0], &count);
    CHECK(close_floats(cvn_flat_parameters(nets[0], NULL), cvn_flat_parameters(nets[1], NULL),
                       count, 1e-6));
    cvn_destroy(nets[0]);
    cvn_destroy(nets[1]);
}

/* The net for prediction (folded, fused, reused) computes what the training plan computes; so after
 * new weights. */
static void prediction_plan(void)
{
    const cvn_data data = small_data();
    cvn_net *train = cvn_create(NULL);
    cvn_net *infer = cvn_create(NULL);
    float a[SAMPLES * CLASSES];
    float b[SAMPLES * CLASSES];
    small_graph(train);
    small_graph(infer);
    if (!built(train, 4)) return;
    CHECKF(cvn_build_infer(infer, 5) == CVN_OK, "%s", cvn_error(infer));
    for (int i = 0; i < 3; i++) {
        CHECK(cvn_train_batch(train, data.images, data.labels, 4, NULL) == CVN_OK);
        copy_parameters(infer, train);
        CHECK(cvn_predict(train, data.images, SAMPLES, a) == CVN_OK &&
              cvn_predict(infer, data.images, SAMPLES, b) == CVN_OK);
        CHECK(close_floats(a, b, SAMPLES * CLASSES, 1e-5));
    }
    /* the same net, planned anew */
    CHECKF(cvn_build_infer(train, 3) == CVN_OK, "%s", cvn_error(train));
    CHECK(cvn_predict(train, data.images, SAMPLES, b) == CVN_OK);
    CHECK(close_floats(a, b, SAMPLES * CLASSES, 1e-5));
    cvn_destroy(train);
    cvn_destroy(infer);
}

static cvn_node any_size(cvn_net *net, int height, int width)
{
    cvn_node x = cvn_relu(net, cvn_conv2d(net, cvn_input(net, 2, height, width), 5, 3, 1, 1));
    x = cvn_conv2d(net, cvn_maxpool(net, x, 2, 2), 3, 3, 2, 1);
    return cvn_dense(net, cvn_global_avgpool(net, x), 4);
}

static void resize(void)
{
    enum { H = 11, W = 9 };
    static float x[3 * 2 * H * W];
    float a[12];
    float b[12];
    cvn_net *net = cvn_create(NULL);
    cvn_net *fresh = cvn_create(NULL);
    const cvn_node y = any_size(net, 6, 8);
    ref_fill(x, 3 * 2 * H * W, -1, 1, 8);
    any_size(fresh, H, W);
    if (!built(net, 2) || !built(fresh, 2)) return;
    CHECKF(cvn_resize(net, H, W) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_node_shape(net, cvn_find(net, "conv1")).dim[2] == H &&
          cvn_node_shape(net, y).dim[1] == 4);
    copy_parameters(fresh, net);
    CHECK(cvn_predict(net, x, 3, a) == CVN_OK && cvn_predict(fresh, x, 3, b) == CVN_OK);
    CHECK(close_floats(a, b, 12, 1e-6));
    /* nothing left to pool */
    CHECK(cvn_resize(net, 0, 4) < 0 && cvn_resize(net, 1, 1) == CVN_ERROR_SHAPE);
    CHECK(cvn_predict(net, x, 3, b) == CVN_OK && memcmp(a, b, sizeof a) == 0);
    CHECK(cvn_resize(net, 6, 8) == CVN_OK && cvn_resize(net, H, W) == CVN_OK);
    CHECK(cvn_predict(net, x, 3, b) == CVN_OK && memcmp(a, b, sizeof a) == 0);
    cvn_destroy(net);
    cvn_destroy(fresh);
}

/* A dense layer on the image cannot follow: refused, named, and the net as it was. */
static void resize_refused(void)
{
    const cvn_data data = small_data();
    cvn_net *net = cvn_create(NULL);
    float a[SAMPLES * CLASSES];
    float b[SAMPLES * CLASSES];
    small_graph(net);
    if (!built(net, 4)) return;
    CHECK(cvn_predict(net, data.images, SAMPLES, a) == CVN_OK);
    CHECK(cvn_resize(net, 12, 12) == CVN_ERROR_SHAPE);
    CHECKF(strstr(cvn_error(net), "fc1") != NULL, "'%s'", cvn_error(net));
    CHECK(cvn_predict(net, data.images, SAMPLES, b) == CVN_OK && memcmp(a, b, sizeof a) == 0);
    CHECKF(cvn_train_batch(net, data.images, data.labels, 4, NULL) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

static void share(void)
{
    const cvn_data data = small_data();
    cvn_net *net = cvn_create(NULL);
    cvn_net *other;
    float a[SAMPLES * CLASSES];
    float b[SAMPLES * CLASSES];
    small_graph(net);
    CHECK(cvn_share(net) == NULL);                                  /* not built */
    if (!built(net, 4)) return;
    other = cvn_share(net);
    CHECK(other != NULL);
    for (int i = 0; i < 2; i++) {
        CHECKF((i ? cvn_build_infer(other, 3) : cvn_build(other, 5)) == CVN_OK, "%s",
               cvn_error(other));
        CHECK(cvn_flat_parameters(other, NULL) == cvn_flat_parameters(net, NULL));
        for (int k = 0; k < 2; k++) {
            CHECK(cvn_predict(net, data.images, SAMPLES, a) == CVN_OK);
            CHECKF(cvn_predict(other, data.images, SAMPLES, b) == CVN_OK, "%s", cvn_error(other));
            CHECK(close_floats(a, b, SAMPLES * CLASSES, 1e-5));
            CHECK(cvn_train_batch(net, data.images, data.labels, 4, NULL) == CVN_OK);
        }
        CHECK(cvn_step(other) == CVN_ERROR_STATE);
    }
    CHECKF(cvn_build(other, 5) == CVN_OK, "%s", cvn_error(other));  /* gradients of its own */
    CHECK(cvn_flat_gradients(other, NULL) != NULL &&
          cvn_flat_gradients(other, NULL) != cvn_flat_gradients(net, NULL));
    cvn_destroy(other);
    CHECK(cvn_train_batch(net, data.images, data.labels, 4, NULL) == CVN_OK);
    cvn_destroy(net);
}

/* Some training, whole nets: the same bits for any number of threads and a caller's job system. */
static void training_has_the_same_bits(void)
{
    static const int threads[6] = { 1, 2, 3, 7, 3, 7 };
    static float x[32 * 28 * 28];
    const char *isas[3];
    const int count = ref_isas(isas);
    int labels[32];
    ref_fill(x, 32 * 28 * 28, -1, 1, 6);
    for (int i = 0; i < 32; i++) labels[i] = i % 10;
    for (int k = 0; k < count; k++) {
        float *first = NULL;
        test_case("kernels %s", isas[k]);
        for (int t = 0; t < 6; t++) {
            cvn_desc desc = cvn_desc_defaults();
            cvn_net *net;
            size_t floats = 0;
            int calls = 0;
            desc.isa = isas[k];
            desc.threads = threads[t];
            if (t >= 4) {
                desc.parallel_for = ref_backwards_for;
                desc.parallel_user = &calls;
            }
            net = cvn_create(&desc);
            lenet(net);
            if (!built(net, 32)) return;
            for (int s = 0; s < 4; s++) CHECK(cvn_train_batch(net, x, labels, 32, NULL) == CVN_OK);
            cvn_flat_parameters(net, &floats);
            if (!first) first = ref_copy_floats(cvn_flat_parameters(net, NULL), (int)floats);
            CHECKF(memcmp(first, cvn_flat_parameters(net, NULL), floats * sizeof(float)) == 0,
                   "%d threads", threads[t]);
            if (t >= 4) CHECKF(calls > 0, "the job system was not used");
            cvn_destroy(net);
        }
        free(first);
    }
}

/* ---- the helpers ---- */

typedef struct tally { int *runs; int workers, wrong; double work; } tally;

static void tally_part(void *context, int begin, int end, int worker)
{
    tally *t = (tally *)context;
    volatile double x = 0;
    if (worker < 0 || worker >= t->workers || begin >= end) t->wrong = 1;
    for (int i = begin; i < end; i++) {
        t->runs[i]++;               /* twice at a time is a race that the thread sanitizer sees */
        for (int k = 0; k < t->work; k++) x += k;
    }
    (void)x;
}

/* Each task once, whether the helpers are awake, asleep, or late; workers within bounds. */
static void helpers_take_each_task_once(void)
{
    static int runs[101];
    for (int threads = 1; threads <= 5; threads++) {
        cvn_desc desc = cvn_desc_defaults();
        cvn_net *net;
        tally t;
        desc.threads = threads;
        net = cvn_create(&desc);
        test_case("%d threads", threads);
        t.runs = runs;
        t.workers = threads;
        for (int round = 0; round < 400; round++) {
            const int tasks = round % 101;
            const double begin = cvni_seconds();
            memset(runs, 0, sizeof runs);
            t.wrong = 0;
            t.work = round % 3 * 100;
            cvni_parallel_for(net, tasks, 1e9, tally_part, &t);
            for (int i = 0; i < 101; i++) CHECK(runs[i] == (i < tasks));
            CHECK(!t.wrong);
            while (round % 50 == 0 && fabs(cvni_seconds() - begin) < 1e-3) { }  /* they sleep */
        }
        cvn_destroy(net);
    }
}

static void *plain_alloc(void *user, size_t size) { (void)user; return malloc(size); }
static void plain_free(void *user, void *pointer) { (void)user; free(pointer); }

static void tally_net(void *context, int begin, int end, int worker)
{
    (void)worker;
    for (int i = begin; i < end; i++) {
        cvn_desc desc = cvn_desc_defaults();
        int runs[40] = { 0 };
        tally t;
        cvn_net *net;
        desc.threads = 3;
        desc.allocator.alloc = plain_alloc;
        desc.allocator.free = plain_free;
        net = cvn_create(&desc);
        t.runs = runs;
        t.workers = 3;
        t.wrong = 0;
        t.work = 10;
        for (int round = 0; round < 20; round++) cvni_parallel_for(net, 40, 1e9, tally_part, &t);
        for (int k = 0; k < 40; k++) t.wrong |= runs[k] != 20;
        ((int *)context)[i] = t.wrong ? -1 : 1;
        cvn_destroy(net);
    }
}

/* Nets come and go, on several threads at once, and inside a parallel region of the caller. */
static void helpers_of_many_nets(void)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    int right[12] = { 0 };
    desc.threads = 4;
    net = cvn_create(&desc);
    cvni_parallel_for(net, 12, 1e9, tally_net, right);
    for (int i = 0; i < 12; i++) CHECK(right[i] == 1);
    cvn_destroy(net);
#ifdef CVNI_OPENMP
    int i;
    memset(right, 0, sizeof right);
    #pragma omp parallel for num_threads(3)
    for (i = 0; i < 12; i++) tally_net(right, i, i + 1, 0);
    for (i = 0; i < 12; i++) CHECK(right[i] == 1);
#endif
}

/* A forked process has no helpers: it does the work itself, and does not wait for them at the
 * end. */
static void helpers_and_fork(void)
{
#ifdef CVNI_CREW
    int right = 0, status = -1;
    cvn_desc desc = cvn_desc_defaults();
    int runs[40] = { 0 };
    cvn_net *net;
    tally t;
    pid_t child;
    desc.threads = 3;
    net = cvn_create(&desc);
    t.runs = runs;
    t.workers = 3;
    t.wrong = 0;
    t.work = 10;
    cvni_parallel_for(net, 40, 1e9, tally_part, &t);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        cvni_parallel_for(net, 40, 1e9, tally_part, &t);
        for (int i = 0; i < 40; i++) right += runs[i] == 2;
        cvn_destroy(net);
        _exit(right == 40 ? 0 : 1);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    cvn_destroy(net);
#else
    SKIP("no helpers in this build");
#endif
}

/* ================================================================================================
 * weights and gradients on other ways than the usual one
 * ============================================================================================== */

/* L = loss(dense(x1)) + loss(dense(x2)) with one dense, tied: its gradient is the sum of the two
 * untied ones. */
static void tied_weights(void)
{
    const float x[2][6] = { { 1, -2, 0.5f, 0.25f, 3, -1 }, { 0.1f, 2, -1, 0.7f, -0.3f, 1 } };
    const float t[2][4] = { { 1, 0, 0, 1 }, { 0.5f, 0.5f, -1, 2 } };
    cvn_net *nets[2];
    cvn_param w[2][2];
    for (int tied = 0; tied < 2; tied++) {
        cvn_net *net = nets[tied] = cvn_create(NULL);
        cvn_node in[2];
        cvn_node target[2];
        cvn_node y[2];
        for (int i = 0; i < 2; i++) {
            in[i] = cvn_input_vector(net, 3);
            y[i] = cvn_dense(net, in[i], 2);
            target[i] = cvn_target(net, y[i]);
            cvn_mse_loss(net, cvn_tanh(net, y[i]), target[i]);
        }
        if (tied) cvn_tie(net, y[1], y[0]);
        if (!built(net, 2)) return;
        CHECK(cvn_parameters(net) == (tied ? 8u : 16u) && cvn_param_count(net) == (tied ? 2 : 4));
        for (int i = 0; i < 2; i++) {
            w[tied][i] = cvn_param_find(net, i ? "fc2.weight" : "fc1.weight");
            if (w[tied][i].value)
                for (int k = 0; k < 6; k++) w[tied][i].value[k] = 0.3f * (float)(k - 2);
            CHECK(cvn_set_input(net, in[i], x[i], 2) == CVN_OK &&
                  cvn_set_input(net, target[i], t[i], 2) == CVN_OK);
        }
        CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
    }
    CHECK(w[1][1].value == NULL && w[1][0].gradient != NULL && w[0][1].gradient != NULL);
    CHECK_NEAR(cvn_loss(nets[0]), cvn_loss(nets[1]), 1e-6);
    for (int k = 0; k < 6; k++)
        CHECK_NEAR(w[1][0].gradient[k], w[0][0].gradient[k] + w[0][1].gradient[k], 1e-6);
    cvn_destroy(nets[0]);
    cvn_destroy(nets[1]);
}

/* A gradient pushed in at a middle node reaches what lies before it, as in a net that ends there;
 * nothing behind. */
static void gradient_pushed_in(void)
{
    const float x[6] = { 1, -2, 0.5f, 0.25f, 3, -1 };
    const float g[8] = { 1, 2, -1, 0.5f, 0, 3, -2, 1 };
    cvn_net *nets[2];
    cvn_param first[2];
    float dx[2][6];
    for (int whole = 0; whole < 2; whole++) {
        cvn_net *net = nets[whole] = cvn_create(NULL);
        const cvn_node in = cvn_input_vector(net, 3);
        const cvn_node mid = cvn_tanh(net, cvn_dense(net, in, 4));
        cvn_want_grad(net, in);
        cvn_want_grad(net, mid);
        if (whole) cvn_softmax_loss(net, cvn_dense(net, cvn_relu(net, mid), 3));
        if (!built(net, 2)) return;
        CHECK(cvn_set_input(net, in, x, 2) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
        CHECKF(cvn_backward_from(net, mid, g) == CVN_OK, "%s", cvn_error(net));
        memcpy(dx[whole], cvn_gradient(net, in), sizeof dx[whole]);
        CHECK(close_floats(cvn_gradient(net, mid), g, 8, 0));
    }
    CHECK(close_floats(dx[0], dx[1], 6, 1e-6));
    first[0] = cvn_param_find(nets[0], "fc1.weight");
    first[1] = cvn_param_find(nets[1], "fc1.weight");
    CHECK(close_floats(first[0].gradient, first[1].gradient, 12, 1e-6));
    for (int i = 0; i < 12; i++) CHECK(cvn_param_find(nets[1], "fc2.weight").gradient[i] == 0.0f);
    cvn_destroy(nets[0]);
    cvn_destroy(nets[1]);
}

static void freeze(void)
{
    const cvn_data data = small_data();
    for (int late = 0; late < 2; late++) {                          /* before and after cvn_build */
        cvn_net *net = cvn_create(NULL);
        cvn_param p[3];
        float *kept[3];
        small_graph(net);
        if (!late) CHECK(cvn_freeze_to(net, cvn_find(net, "bn1")) == CVN_OK);
        if (!built(net, 4)) return;
        if (late) CHECK(cvn_freeze_to(net, cvn_find(net, "bn1")) == CVN_OK);
        p[0] = cvn_param_find(net, "conv1.weight");
        p[1] = cvn_param_find(net, "bn1.running_mean");
        p[2] = cvn_param_find(net, "conv2.weight");
        CHECK(!p[0].trainable && !p[1].trainable && p[2].trainable);
        for (int i = 0; i < 3; i++) kept[i] = ref_copy_floats(p[i].value, (int)p[i].count);
        for (int s = 0; s < 2; s++)
            CHECK(cvn_train_batch(net, data.images, data.labels, 4, NULL) == CVN_OK);
        for (int i = 0; i < 3; i++) {
            const int same = memcmp(kept[i], p[i].value, p[i].count * sizeof(float)) == 0;
            CHECKF(same == (i < 2), "%s, frozen %s cvn_build", p[i].name,
                   late ? "after" : "before");
            free(kept[i]);
        }
        CHECK(cvn_unfreeze(net, cvn_find(net, "conv1")) == (late ? CVN_OK : CVN_ERROR_STATE));
        cvn_destroy(net);
    }
}

/* SGD: w -= lr * factor * (g + decay factor * decay * w), by hand. */
static void scales(void)
{
    const float x[2] = { 1, 2 };
    const float t[1] = { 5 };
    for (int i = 0; i < 4; i++) {
        const double factor = i == 1 ? 0.5 : i == 2 ? 0 : 1;
        const double decay = i == 3 ? 0.5 : 1;
        cvn_net *net = cvn_create(NULL);
        const cvn_node y = cvn_dense(net, cvn_input_vector(net, 2), 1);
        cvn_optimizer sgd = cvn_sgd(0.1f, 0);
        cvn_param w;
        sgd.weight_decay = 0.2f;
        cvn_mse_loss(net, y, cvn_target(net, y));
        CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
        CHECK(cvn_lr_scale(net, y, (float)factor) == CVN_OK &&
              cvn_decay_scale(net, y, (float)decay) == CVN_OK);
        if (!built(net, 1)) return;
        w = cvn_param_find(net, "fc1.weight");
        w.value[0] = 1;
        /* y = -1, dL/dy = 2*(-1 - 5) = -12 */
        w.value[1] = -1;
        CHECKF(cvn_train_batch_target(net, x, t, 1, NULL) == CVN_OK, "%s", cvn_error(net));
        CHECK_NEAR(w.value[0], 1 - 0.1 * factor * (-12 + decay * 0.2), 1e-5);
        CHECK_NEAR(w.value[1], -1 - 0.1 * factor * (-24 - decay * 0.2), 1e-5);
        CHECK(cvn_lr_scale(net, y, -1) == CVN_ERROR_ARGUMENT &&
              cvn_lr_scale(net, y, NAN) == CVN_ERROR_ARGUMENT);
        cvn_destroy(net);
    }
}

static cvn_node generator(cvn_net *net)
{
    return cvn_name(
        net,
        cvn_dense(net,
                  cvn_tanh(net, cvn_name(net, cvn_dense(net, cvn_input_vector(net, 3), 4), "g1")),
                  2),
        "g2");
}

static cvn_node discriminator(cvn_net *net, cvn_node x)
{
    x = cvn_leaky_relu(net, cvn_name(net, cvn_dense(net, x, 5), "d1"), 0.2f);
    return cvn_name(net, cvn_dense(net, x, 1), "d2");
}

/* Two nets: D's gradient at its input, pushed into G, is the gradient of the joined net; a step
 * makes the loss less. */
static void two_nets_train_each_other(void)
{
    static const char *const names_of_g[4] = { "g1.weight", "g1.bias", "g2.weight", "g2.bias" };
    static const char *const names_of_d[4] = { "d1.weight", "d1.bias", "d2.weight", "d2.bias" };
    const float z[6] = { 0.3f, -1, 0.8f, 1.2f, 0.1f, -0.4f };
    const float real[2] = { 1, 1 };
    const cvn_optimizer sgd = cvn_sgd(0.05f, 0);
    cvn_net *g = cvn_create(NULL);
    cvn_net *d = cvn_create(NULL);
    cvn_net *joined = cvn_create(NULL);
    const cvn_node fake = generator(g);
    const cvn_node image = cvn_input_vector(d, 2);
    cvn_node verdict = discriminator(d, image);
    cvn_node target;
    float before;
    cvn_want_grad(g, fake);
    cvn_want_grad(d, image);
    cvn_bce_with_logits_loss(d, verdict, target = cvn_target(d, verdict));
    verdict = discriminator(joined, generator(joined));
    cvn_bce_with_logits_loss(joined, verdict, cvn_target(joined, verdict));
    CHECK(cvn_set_optimizer(g, &sgd) == CVN_OK && cvn_set_optimizer(joined, &sgd) == CVN_OK);
    if (!built(g, 2) || !built(d, 2) || !built(joined, 2)) return;
    for (int i = 0; i < 4; i++) {
        const cvn_param to_g = cvn_param_find(joined, names_of_g[i]);
        const cvn_param to_d = cvn_param_find(joined, names_of_d[i]);
        memcpy(to_g.value, cvn_param_find(g, names_of_g[i]).value, to_g.count * sizeof(float));
        memcpy(to_d.value, cvn_param_find(d, names_of_d[i]).value, to_d.count * sizeof(float));
    }
    CHECK(cvn_set_input(g, cvn_find(g, "input1"), z, 2) == CVN_OK && cvn_forward(g) == CVN_OK);
    CHECK(cvn_set_input(d, image, cvn_value(g, fake), 2) == CVN_OK &&
          cvn_set_input(d, target, real, 2) == CVN_OK);
    CHECK(cvn_forward(d) == CVN_OK && cvn_backward(d) == CVN_OK);
    CHECKF(cvn_backward_from(g, fake, cvn_gradient(d, image)) == CVN_OK, "%s", cvn_error(g));
    CHECK(cvn_set_input(joined, cvn_find(joined, "input1"), z, 2) == CVN_OK);
    CHECK(cvn_set_input(joined, cvn_find(joined, "target1"), real, 2) == CVN_OK);
    CHECK(cvn_forward(joined) == CVN_OK && cvn_backward(joined) == CVN_OK);
    CHECK_NEAR(cvn_loss(joined), cvn_loss(d), 1e-6);
    for (int i = 0; i < 4; i++) {
        const cvn_param a = cvn_param_find(g, names_of_g[i]);
        CHECK(close_floats(a.gradient, cvn_param_find(joined, names_of_g[i]).gradient, a.count,
                           1e-6));
    }
    before = cvn_loss(d);
    CHECK(cvn_step(g) == CVN_OK && cvn_zero_grad(d) == CVN_OK && cvn_forward(g) == CVN_OK);
    CHECK(cvn_set_input(d, image, cvn_value(g, fake), 2) == CVN_OK && cvn_forward(d) == CVN_OK);
    CHECK(cvn_loss(d) < before);
    cvn_destroy(g);
    cvn_destroy(d);
    cvn_destroy(joined);
}

/* The image is optimised in place, the weights stay. */
static void image_is_optimised(void)
{
    cvn_data data = small_data();
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 2, 8, 8);
    const cvn_node image = x;
    float *weights;
    float first = 0;
    size_t count = 0;
    cvn_want_grad(net, x);
    x = cvn_tanh(net, cvn_conv2d(net, x, 4, 3, 1, 1));
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, x), CLASSES));
    if (!built(net, 1)) return;
    cvn_flat_parameters(net, &count);
    weights = ref_copy_floats(cvn_flat_parameters(net, NULL), (int)count);
    CHECK(cvn_set_input(net, image, data.images, 1) == CVN_OK &&
          cvn_set_labels(net, cvn_find(net, "labels1"), data.labels, 1) == CVN_OK);
    for (int i = 0; i < 30; i++) {
        float *const v = cvn_value(net, image);
        const float *const dv = cvn_gradient(net, image);
        CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK &&
               cvn_zero_grad(net) == CVN_OK, "%s", cvn_error(net));
        if (i == 0) first = cvn_loss(net);
        if (!CHECK(v != NULL && dv != NULL)) break;
        for (int k = 0; k < PIXELS; k++) v[k] -= 5 * dv[k];
    }
    CHECKF(cvn_forward(net) == CVN_OK &&
           cvn_loss(net) < 0.8f * first, "%g, then %g", (double)first, (double)cvn_loss(net));
    CHECK(memcmp(weights, cvn_flat_parameters(net, NULL), count * sizeof(float)) == 0);
    free(weights);
    cvn_destroy(net);
}

/* Several inputs, two branches that meet, an auxiliary loss: differences of the loss at some
 * weights. */
static void graph_of_branches(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node a = cvn_input(net, 2, 6, 6);
    const cvn_node b = cvn_input_vector(net, 3);
    cvn_node x = cvn_tanh(net, cvn_conv2d(net, a, 4, 3, 1, 1));
    const cvn_node skip = x;
    static float images[2 * 72];
    const float vectors[6] = { 1, -1, 0.5f, 0.2f, 0.1f, 2 };
    const int labels[2] = { 1, 2 };
    const int gate[3] = { 4, 1, 1 };
    x = cvn_add(net, skip, cvn_tanh(net, cvn_conv2d(net, x, 4, 3, 1, 1)));
    x = cvn_mul(net, x, cvn_reshape(net, cvn_sigmoid(net, cvn_dense(net, b, 4)), gate, 3));
    x = cvn_concat(net, cvn_flatten(net, cvn_global_avgpool(net, x)), b);
    cvn_mse_loss(net, cvn_dense(net, x, 3), b);
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, skip), 3));
    if (!built(net, 2)) return;
    ref_fill(images, 2 * 72, -1, 1, 2);
    CHECK(cvn_set_input(net, a, images, 2) == CVN_OK &&
          cvn_set_input(net, b, vectors, 2) == CVN_OK);
    CHECK(cvn_set_labels(net, cvn_find(net, "labels1"), labels, 2) == CVN_OK);
    CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        const size_t at = p.count / 2;
        const float kept = p.value[at];
        double up;
        p.value[at] = kept + 1 / 64.0f;
        CHECK(cvn_forward(net) == CVN_OK);
        up = (double)cvn_loss(net);
        p.value[at] = kept - 1 / 64.0f;
        CHECK(cvn_forward(net) == CVN_OK);
        CHECK_NEAR((up - (double)cvn_loss(net)) * 32, p.gradient[at],
                   2e-3 * (1 + fabs((double)p.gradient[at])));
        p.value[at] = kept;
    }
    cvn_destroy(net);
}

/* cvn_fit names the first layer that made a NaN. */
static void nan_is_named(void)
{
    static const char *const guilty[3] = { "conv1", "conv2", "fc1" };
    const cvn_data data = small_data();
    for (int i = 0; i < 3; i++) {
        cvn_net *net = cvn_create(NULL);
        char name[32];
        small_graph(net);
        if (!built(net, 4)) return;
        snprintf(name, sizeof name, "%s.weight", guilty[i]);
        cvn_param_find(net, name).value[0] = i == 1 ? INFINITY : NAN;
        CHECK(cvn_fit(net, &data, NULL, NULL) == CVN_ERROR_NUMBER);
        CHECKF(strstr(cvn_error(net), guilty[i]) != NULL, "'%s' should name %s", cvn_error(net),
               guilty[i]);
        cvn_destroy(net);
    }
}

static void result_names(void)
{
    CHECK(strcmp(cvn_result_name(CVN_OK), "CVN_OK") == 0 &&
          strcmp(cvn_result_name(CVN_STOPPED), "CVN_STOPPED") == 0);
    for (int i = -8; i < 0; i++)
        CHECK(strncmp(cvn_result_name((cvn_result)i), "CVN_ERROR_", 10) == 0);
    CHECK(strcmp(CONVNET_VERSION, "0.1.0") == 0);
}

/* ================================================================================================
 * contracts that are easily broken
 * ============================================================================================== */

/* a follows b when b is tied to c later. */
static void tied_in_a_chain(void)
{
    const float x[2] = { 1, -2 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 2);
    cvn_node n[3];
    for (int i = 0; i < 3; i++) {
        n[i] = cvn_dense(net, in, 5);
        cvn_keep(net, n[i]);
    }
    cvn_tie(net, n[0], n[1]);
    cvn_tie(net, n[1], n[2]);
    CHECK(cvn_build(net, 1) == CVN_OK);
    CHECK(cvn_parameters(net) == 15 && cvn_param_count(net) == 2);
    CHECK(cvn_set_input(net, in, x, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
    for (int i = 0; i < 2; i++)
        CHECK(!memcmp(cvn_value(net, n[i]), cvn_value(net, n[2]), 5 * sizeof(float)));
    cvn_destroy(net);
}

/* Gradients lie where values have lain: one backward pass a forward pass. Inputs hold what the
 * batch has. */
static void passes_in_order(void)
{
    const float x[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    const int labels[4] = { 0, 1, 2, 0 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 2);
    const cvn_node y = cvn_dense(net, in, 3);
    const cvn_node other = cvn_input_vector(net, 3);
    const cvn_node loss = cvn_softmax_loss(net, cvn_add(net, y, other));
    const cvn_node target = cvn_find(net, "labels1");
    CHECK(cvn_build(net, 4) == CVN_OK && loss.id);
    CHECK(cvn_set_input(net, in, x, 2) == CVN_OK &&
          cvn_set_labels(net, target, labels, 2) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_ERROR_STATE && strstr(cvn_error(net), "input2"));
    CHECK(cvn_set_input(net, other, x, 2) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK(cvn_memory_needed(net, 9, CVN_TRAIN) > 0 && cvn_backward(net) == CVN_OK);
    CHECK(cvn_backward(net) == CVN_ERROR_STATE);
    CHECK(cvn_set_labels(net, target, labels, 4) == CVN_OK && cvn_forward(net) == CVN_ERROR_STATE);
    CHECK(cvn_set_input(net, in, x, 2) == CVN_OK &&
          cvn_set_labels(net, target, labels, 2) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_OK && cvn_set_input(net, in, x, 2) == CVN_OK);
    CHECK(cvn_backward(net) == CVN_ERROR_STATE);
    cvn_destroy(net);
}

/* Asking for the memory of half a net does not settle its output; on a failed net long arrays are
 * not read. */
static void asking_changes_nothing(void)
{
    int dims[64];
    float out[3] = { 9, 9, 9 };
    const float x[4] = { 1, 2, 3, 4 };
    cvn_net *net = cvn_create(NULL);
    cvn_node a = cvn_dense(net, cvn_input_vector(net, 4), 8);
    CHECK(cvn_memory_needed(net, 1, CVN_INFER) > 0);
    cvn_softmax_loss(net, cvn_dense(net, a, 3));
    CHECK(cvn_build(net, 1) == CVN_OK && cvn_predict(net, x, 1, out) == CVN_OK && out[2] != 9.0f);
    cvn_destroy(net);
    for (int i = 0; i < 64; i++) dims[i] = 2;
    net = cvn_create(NULL);
    a = cvn_input(net, 0, 1, 1);
    CHECK(cvn_reshape(net, a, dims, 64).id == 0 && cvn_input_tensor(net, dims, 64).id == 0);
    CHECK(cvn_input_tensor(net, NULL, 3).id == 0 && cvn_reshape(NULL, a, dims, 64).id == 0);
    cvn_destroy(net);
}

/* A shared net adds nothing to the graph and leaves the owner's statistics alone. */
static void share_is_a_guest(void)
{
    const float x[8] = { 1, 2, 3, 4, 5, 6, 7, 9 };
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 2);
    const cvn_node bn = cvn_batchnorm(net, in);
    cvn_net *guest;
    cvn_mse_loss(net, bn, in);
    CHECK(cvn_build(net, 4) == CVN_OK);
    guest = cvn_share(net);
    CHECK(cvn_dense(guest, bn, 3).id == 0 && strstr(cvn_error(guest), "shared"));
    CHECK(cvn_build(guest, 4) == CVN_OK &&
          cvn_train_batch(guest, x, NULL, 4, NULL) == CVN_ERROR_STATE);
    CHECK(cvn_set_input(guest, in, x, 4) == CVN_OK && cvn_forward(guest) == CVN_OK);
    CHECK(cvn_param_find(net, "bn1.running_mean").value[0] == 0.0f);
    cvn_destroy(guest);
    /* no label input: none are needed */
    CHECK(cvn_train_batch(net, x, NULL, 4, NULL) == CVN_OK);
    CHECK(cvn_param_find(net, "bn1.running_mean").value[0] != 0.0f);
    cvn_destroy(net);
}

/* cvn_check leaves gradients that wait for more batches. */
static void check_keeps_gradients(void)
{
    float x[8] = { 1, 2, -1, -2, 0, 1, 2, 0 };
    int labels[4] = { 0, 1, 2, 0 };
    char text[1000];
    float before[9];
    cvn_data data;
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 2);
    cvn_softmax_loss(net, cvn_dense(net, in, 3));
    memset(&data, 0, sizeof data);
    data.count = 4;
    data.images = x;
    data.labels = labels;
    CHECK(cvn_build(net, 4) == CVN_OK && cvn_set_input(net, in, x, 4) == CVN_OK);
    CHECK(cvn_set_labels(net, cvn_find(net, "labels1"), labels, 4) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK);
    memcpy(before, cvn_flat_gradients(net, NULL), sizeof before);
    CHECK(before[0] != 0.0f && cvn_check(net, &data, text, sizeof text) >= 0);
    CHECK(!memcmp(before, cvn_flat_gradients(net, NULL), sizeof before));
    cvn_destroy(net);
}

static void scopes_count_for_themselves(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input_vector(net, 4);
    cvn_scope(net, "enc");
    x = cvn_dense(net, cvn_dense(net, x, 4), 4);
    CHECK(!strcmp(cvn_node_name(net, x), "enc.fc2"));
    cvn_scope(net, NULL);
    x = cvn_dense(net, x, 4);
    CHECK(!strcmp(cvn_node_name(net, x), "fc1"));
    cvn_scope(net, "enc");
    x = cvn_dense(net, x, 4);
    CHECK(!strcmp(cvn_node_name(net, x), "enc.fc3"));
    cvn_destroy(net);
}

/* Layers with wrong arguments on a net that is built: refused, and the net goes on. */
static void mistakes_on_a_built_net(void)
{
    const cvn_init init = { CVN_INIT_DEFAULT, 0, 0 };
    const cvn_node none = { 0 };
    const float in[3] = { 1, 2, 3 };
    float out[2];
    cvn_net *net = cvn_create(NULL);
    cvn_net *guest;
    cvn_node x = cvn_input_vector(net, 3);
    cvn_dense(net, x, 2);
    CHECK(cvn_build(net, 1) == CVN_OK);
    guest = cvn_share(net);
    CHECK(cvn_build(guest, 1) == CVN_OK);
    for (int i = 0; i < 2; i++) {
        cvn_net *n = i ? guest : net;
        CHECK(cvn_last_step(n, x).id == 0 && cvn_error(n)[0] != 0);
        CHECK(cvn_parameter(n, NULL, 0, init).id == 0 && cvn_error(n)[0] != 0);
        CHECK(cvn_reshape(n, x, NULL, 99).id == 0 && cvn_error(n)[0] != 0);
        CHECK(cvn_triplet_loss(n, x, x, x, -1).id == 0 && cvn_error(n)[0] != 0);
        CHECK(cvn_l1_penalty(n, none, 1).id == 0 && cvn_error(n)[0] != 0);
        CHECK(cvn_huber_loss(n, x, x, -1).id == 0 && cvn_error(n)[0] != 0);
        CHECK(cvn_gram(n, x).id == 0 && cvn_error(n)[0] != 0);
        CHECKF(cvn_predict(n, in, 1, out) == CVN_OK, "%s", cvn_error(n));
    }
    cvn_destroy(guest);
    cvn_destroy(net);
}

/* A wrong call on an image [3, 8, 8], by number. */
static void wrong_call(cvn_net *net, cvn_node x, int number)
{
    const cvn_node none = { 0 };
    switch (number) {
    case 0: cvn_conv2d(net, x, 0, 3, 1, 1); break;
    case 1: cvn_conv2d(net, x, 4, 3, 0, 1); break;
    case 2: cvn_upsample_nearest(net, x, 0); break;
    case 3: cvn_softmax_axis(net, x, 0); break;
    case 4: cvn_unflatten_batch(net, x, 0); break;
    case 5: cvn_relu(net, cvn_find(net, "nobody")); break;
    case 6: cvn_keep(net, none); break;
    case 7: cvn_residual_basic(net, none, 8, 1); break;
    case 8: cvn_freeze(net, none); break;
    case 9: cvn_freeze_to(net, none); break;
    case 10: cvn_lr_scale(net, none, 0.5f); break;
    default: cvn_target(net, none);
    }
}

/* A message has the numbers of the call, and nothing is lost before cvn_build. */
static void messages_of_wrong_calls(void)
{
    static const char *const words[12] = {
        "conv1: 0 filters", "stride 0 x 0", "factor 0", "axis 0;", "split by 0", "unknown name",
        "cvn_keep: no node", "unknown name", "cvn_freeze: no node", "cvn_freeze_to: no node",
        "cvn_lr_scale: no node", "target: no node"
    };
    for (int i = 0; i < 12; i++) {
        cvn_net *net = cvn_create(NULL);
        const cvn_node x = cvn_input(net, 3, 8, 8);
        cvn_relu(net, x);
        test_case("%s", words[i]);
        wrong_call(net, x, i);
        CHECK(cvn_build(net, 1) < 0);
        CHECKF(strstr(cvn_error(net), words[i]) != NULL, "%s", cvn_error(net));
        cvn_destroy(net);
    }
}

/* cvn_set_input and cvn_set_labels say which of their arguments is wrong. */
static void messages_of_wrong_inputs(void)
{
    const float x[2] = { 1, 2 };
    const int label = 0;
    cvn_net *net = cvn_create(NULL);
    const cvn_node in = cvn_input_vector(net, 2);
    cvn_softmax_loss(net, cvn_dense(net, in, 2));
    CHECK(cvn_build(net, 1) == CVN_OK);
    CHECK(cvn_set_input(net, cvn_find(net, "nobody"), x, 1) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "unknown name") != NULL, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, cvn_find(net, "labels1"), x, 1) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "'labels1' (labels) is no input of floats") != NULL, "%s",
           cvn_error(net));
    CHECK(cvn_set_labels(net, cvn_find(net, "fc1"), &label, 1) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "'fc1' (dense) is no input of ints") != NULL, "%s",
           cvn_error(net));
    CHECK(cvn_set_input(net, in, NULL, 1) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "no values") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* Who looks at cvn_build alone is told why the net is empty. */
static void message_of_an_empty_net(void)
{
    cvn_net *net = cvn_create(NULL);
    CHECK(cvn_build(net, 1) == CVN_ERROR_STATE && strstr(cvn_error(net), "empty"));
    cvn_destroy(net);
#if !defined(CONVNET_NO_ONNX) && !defined(CONVNET_NO_STDIO)
    net = cvn_create(NULL);
    cvn_load_onnx(net, "build/nobody.onnx");
    CHECK(cvn_build(net, 1) == CVN_ERROR_STATE);
    CHECKF(strstr(cvn_error(net), "nobody.onnx: cannot be opened") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
#endif
}

/* A name longer than the column moves the columns of all lines. */
static void summary_is_aligned(void)
{
    char text[2000];
    const char *first, *second;
    cvn_net *net = cvn_create(NULL);
    cvn_name(net, cvn_relu(net, cvn_input_vector(net, 2)), "a.name.that.is.longer.than.the.column");
    cvn_summary(net, text, sizeof text);
    first = strchr(text, '\n');
    second = first ? strchr(first + 1, '\n') : NULL;
    if (CHECK(first && second && strstr(second, "relu")))
        CHECK(strstr(text, "type") - text == strstr(second, "relu") - (second + 1));
    cvn_destroy(net);
}

int main(void)
{
    RUN(philox_known_answers);
    RUN(random_distributions);
    RUN(initialisers);
    RUN(result_names);
    RUN(first_error_sticks);
    RUN(null_net);
    RUN(wrong_moments);
    RUN(what_is_kept);
    RUN(memory_is_exact);
    RUN(fresh_net_in_small_buffer);
    RUN(prediction_reuses_memory);
    RUN(no_allocation_while_running);
    RUN(failing_allocator);
    RUN(summary);
    RUN(names);
    RUN(flat_arrays);
    RUN(greppable_rooms);
    RUN(rebuild_keeps_training);
    RUN(prediction_plan);
    RUN(resize);
    RUN(resize_refused);
    RUN(share);
    RUN(training_has_the_same_bits);
    RUN(helpers_take_each_task_once);
    RUN(helpers_of_many_nets);
    RUN(helpers_and_fork);
    RUN(tied_weights);
    RUN(gradient_pushed_in);
    RUN(freeze);
    RUN(scales);
    RUN(two_nets_train_each_other);
    RUN(image_is_optimised);
    RUN(graph_of_branches);
    RUN(nan_is_named);
    RUN(tied_in_a_chain);
    RUN(passes_in_order);
    RUN(asking_changes_nothing);
    RUN(share_is_a_guest);
    RUN(check_keeps_gradients);
    RUN(scopes_count_for_themselves);
    RUN(mistakes_on_a_built_net);
    RUN(messages_of_wrong_calls);
    RUN(messages_of_wrong_inputs);
    RUN(message_of_an_empty_net);
    RUN(summary_is_aligned);
    return test_done();
}
