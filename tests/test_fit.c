/* test_fit.c - what goes around a step: averages of the weights, accumulated gradients, mixup and
 * cutmix, sample weights, balanced epochs, the range test of the learning rate, freezing. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "golden/training.h"

static const int draws = 20000;

static const char *const checkpoint = "build/test_fit.safetensors";

/* ---- nets and sets ---- */

static float noise(uint32_t *state)     /* uniform in [-1, 1) */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static void fill_noise(float *x, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) x[i] = noise(&seed);
}

enum { SIDE = 6, PIXELS = SIDE * SIDE, SAMPLES = 44 };

/* Images [SAMPLES, 1, 6, 6]: stripes across or along, in noise. */
typedef struct stripes {
    float x[SAMPLES * PIXELS];
    int labels[SAMPLES];
    cvn_data train, valid;
} stripes;

static void make_stripes(stripes *s)
{
    uint32_t state = 7;
    for (int i = 0; i < SAMPLES; i++) {
        s->labels[i] = i & 1;
        for (int p = 0; p < PIXELS; p++)
            s->x[i * PIXELS + p] = ((s->labels[i] ? p % SIDE : p / SIDE) % 4 < 2 ? 1.0f : -1.0f) +
                                   noise(&state);
    }
    memset(&s->train, 0, sizeof s->train);
    s->train.count = 32;
    s->train.images = s->x;
    s->train.labels = s->labels;
    s->valid = s->train;
    s->valid.count = SAMPLES - 32;
    s->valid.first = 32;
}

static cvn_net *convnet(int threads, float decay, int batch)
{
    cvn_desc desc = cvn_desc_defaults();
    const cvn_optimizer sgd = cvn_sgd(0.05f, 0.9f);
    cvn_net *net;
    cvn_node x;
    desc.threads = threads;
    net = cvn_create(&desc);
    x = cvn_input(net, 1, SIDE, SIDE);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 4, 3, 1, 1)));
    x = cvn_dropout(net, x, 0.2f);
    cvn_softmax_loss(net, cvn_dense(net, x, 2));
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    CHECK(cvn_set_ema(net, decay) == CVN_OK);
    CHECKF(cvn_build(net, batch) == CVN_OK, "%s", cvn_error(net));
    return net;
}

static int same_bits(cvn_net *a, cvn_net *b)
{
    size_t n = 0, m = 0;
    const float *p = cvn_flat_parameters(a, &n);
    const float *q = cvn_flat_parameters(b, &m);
    return p && q && n == m && !memcmp(p, q, n * sizeof(float)) &&
           (!a->ema || (b->ema && !memcmp(a->ema, b->ema, n * sizeof(float))));
}

static float *copy_of(const float *x, size_t n)
{
    float *copy = (float *)malloc((n + 1) * sizeof(float));
    if (copy && x) memcpy(copy, x, n * sizeof(float));
    return copy;
}

/* ---- averages ---- */

enum { AVERAGED = 4 * 3 + 4 + 4 + 4 + 2 * 4 + 2 + 4 + 4 };

static const char *const names[8] = { "fc1.weight", "fc1.bias", "bn1.weight", "bn1.bias",
                                      "fc2.weight", "fc2.bias", "bn1.running_mean",
                                      "bn1.running_var" };

/* As make_training.py has it. */
static cvn_net *averaged_net(float decay)
{
    const cvn_optimizer sgd = cvn_sgd(0.1f, 0.9f);
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 3);
    const cvn_node y = cvn_dense(
        net, cvn_tanh(net, cvn_batchnorm(net, cvn_dense(net, x, 4))), 2);
    const cvn_node target = cvn_target(net, y);
    size_t at = 0;
    cvn_mse_loss(net, y, target);
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    CHECK(cvn_set_ema(net, decay) == CVN_OK);
    CHECKF(cvn_build(net, 8) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < 8; i++) {
        const cvn_param p = cvn_param_find(net, names[i]);
        if (!CHECKF(p.value != NULL, "%s", names[i])) return net;
        memcpy(p.value, training_average_start + at, p.count * sizeof(float));
        at += p.count;
    }
    CHECK(at == AVERAGED);
    cvn_touch(net);
    return net;
}

static void steps(cvn_net *net, int count)
{
    for (int i = 0; i < count; i++)
        CHECKF(cvn_train_batch_target(net, training_average_x, training_average_target, 8, NULL) ==
                   CVN_OK, "%s", cvn_error(net));
}

static void compare(cvn_net *net, const float *expected)
{
    size_t at = 0;
    for (int i = 0; i < 8; i++) {
        const cvn_param p = cvn_param_find(net, names[i]);
        for (size_t k = 0; p.value && k < p.count; k++)
            CHECK_NEAR(p.value[k], expected[at + k], 2e-5);
        at += p.count;
    }
}

static void averages(void)
{
    cvn_net *net = averaged_net(0.8f);
    cvn_net *twin = averaged_net(0.8f);
    cvn_net *late = averaged_net(0);
    CHECK(cvn_set_ema(late, 0.8f) == CVN_OK);
    steps(net, 5);
    CHECKF(cvn_save_checkpoint(net, checkpoint) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_load_checkpoint(twin, checkpoint) == CVN_OK, "%s", cvn_error(twin));
    steps(net, 7);
    steps(twin, 7);
    steps(late, 12);
    CHECK(same_bits(net, twin) && same_bits(net, late));
    compare(net, training_average + AVERAGED);
    CHECK(cvn_swap_ema(net) == CVN_OK);
    compare(net, training_average);
    CHECK(cvn_swap_ema(net) == CVN_OK);
    CHECK(same_bits(net, twin));
    /* averages belong to the weights: other weights, other averages */
    CHECKF(cvn_save(net, checkpoint) == CVN_OK && cvn_load(twin, checkpoint) == CVN_OK, "%s",
           cvn_error(twin));
    CHECK(cvn_swap_ema(twin) == CVN_ERROR_STATE && cvn_init_parameters(net, 3) == CVN_OK &&
          cvn_swap_ema(net) == CVN_ERROR_STATE);
    remove(checkpoint);
    cvn_destroy(net);
    cvn_destroy(twin);
    cvn_destroy(late);
}

/* A checkpoint with averages into a net without, and the other way round. */
static void averages_of_one(void)
{
    cvn_net *with = averaged_net(0.8f);
    cvn_net *without = averaged_net(0);
    steps(with, 3);
    CHECKF(cvn_save_checkpoint(with, checkpoint) == CVN_OK, "%s", cvn_error(with));
    CHECKF(cvn_load_checkpoint(without, checkpoint) == CVN_OK, "%s", cvn_error(without));
    steps(without, 1);
    CHECKF(cvn_save_checkpoint(without, checkpoint) == CVN_OK, "%s", cvn_error(without));
    CHECKF(cvn_load_checkpoint(with, checkpoint) == CVN_OK, "%s", cvn_error(with));
    CHECK(cvn_swap_ema(with) == CVN_ERROR_STATE);
    steps(with, 1);
    CHECK(!memcmp(with->ema, with->weights, AVERAGED * sizeof(float)));
    remove(checkpoint);
    cvn_destroy(with);
    cvn_destroy(without);
}

/* A new plan keeps them; the memory is what cvn_memory_needed says. */
static void averages_move(void)
{
    const cvn_optimizer adam = cvn_adam(0.01f);
    const cvn_optimizer sgd = cvn_sgd(0.01f, 0);
    cvn_net *net = averaged_net(0.8f);
    cvn_net *without = averaged_net(0);
    const size_t array = cvni_align(AVERAGED * sizeof(float));
    const size_t needed = cvn_memory_needed(net, 8, CVN_TRAIN);
    float *ema;
    unsigned char *buffer;
    CHECK(needed == net->arena_bytes);
    CHECK(cvn_memory_needed(without, 8, CVN_TRAIN) + array == needed);
    cvn_destroy(without);
    steps(net, 4);
    ema = copy_of(net->ema, AVERAGED);
    CHECK(cvn_build(net, 16) == CVN_OK && !memcmp(ema, net->ema, AVERAGED * sizeof(float)));
    CHECK(cvn_set_optimizer(net, &adam) == CVN_OK && net->plan.slots == 2);
    CHECK(!memcmp(ema, net->ema, AVERAGED * sizeof(float)));
    buffer = (unsigned char *)malloc(2 * needed + 4096);
    CHECKF(cvn_build_in(net, 8, CVN_TRAIN, buffer, 2 * needed + 4096) == CVN_OK, "%s",
           cvn_error(net));
    CHECK(!memcmp(ema, net->ema, AVERAGED * sizeof(float)));
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK && cvn_set_optimizer(net, &adam) == CVN_OK);
    CHECK(!memcmp(ema, net->ema, AVERAGED * sizeof(float)));
    CHECK(cvn_set_ema(net, 0.5f) == CVN_OK && !memcmp(ema, net->ema, AVERAGED * sizeof(float)));
    /* off: swapped, they stay as the weights; the optimizer's state moves and stays */
    steps(net, 1);
    free(ema);
    ema = copy_of(net->ema, AVERAGED);
    CHECK(cvn_swap_ema(net) == CVN_OK);
    {
        float *state = copy_of(net->state, net->trainable);
        CHECK(cvn_set_ema(net, 0) == CVN_OK && !net->ema);
        CHECK(!memcmp(state, net->state, net->trainable * sizeof(float)));
        CHECK(!memcmp(ema, net->weights, AVERAGED * sizeof(float)));
        CHECK(cvn_memory_needed(net, 8, CVN_TRAIN) + array <= net->arena_bytes);
        steps(net, 1);
        memcpy(state, net->state, net->trainable * sizeof(float));
        CHECK(cvn_set_ema(net, 0.9f) == CVN_OK);
        CHECK(!memcmp(state, net->state, net->trainable * sizeof(float)));
        free(state);
    }
    /* an inference plan of the averages */
    steps(net, 3);
    memcpy(ema, net->ema, AVERAGED * sizeof(float));
    CHECK(cvn_swap_ema(net) == CVN_OK && cvn_build_infer(net, 4) == CVN_OK);
    CHECK(!memcmp(ema, net->weights, AVERAGED * sizeof(float)) && !net->ema_swapped);
    cvn_destroy(net);
    free(buffer);
    free(ema);
}

static void averages_refused(void)
{
    char text[256];
    cvn_net *net = averaged_net(0.8f);
    cvn_net *other;
    cvn_data data;
    memset(&data, 0, sizeof data);
    CHECK(cvn_set_ema(net, 1) == CVN_ERROR_ARGUMENT && cvn_set_ema(net, -0.1f) ==
          CVN_ERROR_ARGUMENT && cvn_set_ema(net, (float)NAN) == CVN_ERROR_ARGUMENT);
    CHECK(strstr(cvn_error(net), "not in [0, 1)") != NULL);
    CHECK(cvn_swap_ema(net) == CVN_ERROR_STATE);
    CHECK(strstr(cvn_error(net), "cvn_set_ema, then a step") != NULL);
    steps(net, 1);
    CHECK(cvn_swap_ema(net) == CVN_OK);
    CHECK(cvn_step(net) == CVN_ERROR_STATE);
    CHECK(strstr(cvn_error(net), "cvn_swap_ema brings the weights back") != NULL);
    CHECK(cvn_train_batch_target(net, training_average_x, training_average_target, 8, NULL) ==
          CVN_ERROR_STATE);
    CHECK(cvn_fit(net, &data, NULL, NULL) == CVN_ERROR_STATE);
    CHECK(cvn_check(net, &data, text, sizeof text) == CVN_ERROR_STATE);
    CHECK(cvn_save_checkpoint(net, checkpoint) == CVN_ERROR_STATE);
    CHECK(cvn_swap_ema(net) == CVN_OK);
    steps(net, 1);
    other = cvn_share(net);
    CHECK(cvn_set_ema(other, 0.5f) == CVN_ERROR_STATE && cvn_build(other, 2) == CVN_OK &&
          !other->ema);
    cvn_destroy(other);
    cvn_destroy(net);
}

/* ---- averages in cvn_fit ---- */

typedef struct watch {
    const stripes *set;
    double valid[16];           /* of the averages, by epoch */
    int epochs, batches, per_epoch;
    int stop;                   /* after so many batches in all; 0: never */
    float rate[64];
} watch;

static int on_event(void *user, const cvn_progress *p)
{
    watch *w = (watch *)user;
    cvn_metrics m;
    memset(&m, 0, sizeof m);
    if (p->event == CVN_EVENT_BATCH) {
        if (w->batches < 64) w->rate[w->batches] = p->lr;
        w->per_epoch = p->batches;
        return ++w->batches == w->stop;
    }
    if (p->event == CVN_EVENT_EPOCH && w->set && w->epochs < 16) {
        CHECK(cvn_swap_ema(p->net) == CVN_OK);
        CHECK(cvn_evaluate(p->net, &w->set->valid, &m) == CVN_OK && cvn_swap_ema(p->net) == CVN_OK);
        CHECK(m.loss == p->valid_loss);
        w->valid[w->epochs++] = m.loss;
    }
    return 0;
}

static void fit_averages(void)
{
    stripes s;
    watch w;
    cvn_metrics m;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = convnet(1, 0.9f, 8);
    size_t n = 0;
    double best = HUGE_VAL;
    make_stripes(&s);
    memset(&w, 0, sizeof w);
    memset(&m, 0, sizeof m);
    w.set = &s;
    o.epochs = 6;
    o.callback = on_event;
    o.user = &w;
    CHECKF(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(w.epochs == 6);
    /* the averages are the weights now */
    CHECK(cvn_evaluate(net, &s.valid, &m) == CVN_OK && m.loss == w.valid[5]);
    CHECK(cvn_flat_parameters(net, &n) && !memcmp(net->ema, net->weights, n * sizeof(float)));
    /* wrong labels in the validation: the more is learnt, the worse it is */
    for (int i = 32; i < SAMPLES; i += 3) s.labels[i] ^= 1;
    memset(&w, 0, sizeof w);
    w.set = &s;
    o.keep_best = 1;
    o.epochs = 12;
    CHECK(cvn_init_parameters(net, 5) == CVN_OK);
    CHECKF(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < 12; i++) best = fmin(best, w.valid[i]);
    CHECK(cvn_evaluate(net, &s.valid, &m) == CVN_OK);
    CHECKF(m.loss == best, "%g, not %g", m.loss, best);
    CHECKF(best < w.valid[11], "%g at the end", w.valid[11]);
    cvn_destroy(net);
}

/* Runs `o` whole, and again with a stop after `stop` batches, a checkpoint and another net: both
 * end with the same bits. */
static void resume(const cvn_fit_options *options, const cvn_data *train, const cvn_data *valid,
                   float decay, int batch, int stop)
{
    cvn_fit_options o = *options;
    cvn_net *whole = convnet(1, decay, batch);
    cvn_net *first = convnet(3, decay, batch);
    cvn_net *second = convnet(2, decay, batch);
    watch w;
    memset(&w, 0, sizeof w);
    w.stop = stop;
    CHECKF(cvn_fit(whole, train, valid, &o) == CVN_OK, "%s", cvn_error(whole));
    o.checkpoint = checkpoint;
    o.callback = on_event;
    o.user = &w;
    CHECKF(cvn_fit(first, train, valid, &o) == CVN_STOPPED, "%s", cvn_error(first));
    CHECKF(cvn_load_checkpoint(second, checkpoint) == CVN_OK, "%s", cvn_error(second));
    o.resume = 1;
    o.callback = NULL;
    CHECKF(cvn_fit(second, train, valid, &o) == CVN_OK, "%s", cvn_error(second));
    CHECK(same_bits(whole, second) && whole->fit.step == second->fit.step);
    CHECKF(cvn_fit(first, train, valid, &o) == CVN_OK, "%s", cvn_error(first));
    CHECK(same_bits(whole, first));
    CHECK(!whole->mixed && !whole->weighted);
    if (o.schedule.kind == CVN_SCHEDULE_PLATEAU) CHECK(whole->fit.plateau_cuts > 0);
    remove(checkpoint);
    cvn_destroy(whole);
    cvn_destroy(first);
    cvn_destroy(second);
}

/* All at once: a view with weights, augmented, a plateau that is reached, patience that is not. */
static void resume_all(stripes *s, cvn_fit_options o)
{
    float weights[SAMPLES];
    int index[26];
    cvn_augment a;
    cvn_data view = s->train;
    memset(&a, 0, sizeof a);
    a.flip = 1;
    a.shift = 1;
    a.rotate = 10;
    a.noise = 0.1f;
    for (int i = 0; i < SAMPLES; i++) weights[i] = (float)(i % 3);
    for (int i = 0; i < 26; i++) index[i] = (i * 7) % 30;
    view.index = index;
    view.count = 26;
    view.augment = &a;
    view.weights = weights;
    s->valid.weights = weights;
    o.epochs = 9;
    o.patience = 9;
    o.schedule.kind = CVN_SCHEDULE_PLATEAU;
    o.schedule.wait = 1;
    o.schedule.warmup = 0.5f;
    for (int stop = 3; stop < 27; stop += 5) {
        test_case("all at once, stopped behind step %d", stop);
        resume(&o, &view, &s->valid, 0.9f, 4, stop);
    }
}

static void resumes(void)
{
    stripes s;
    cvn_fit_options o = cvn_fit_defaults();
    make_stripes(&s);
    s.train.count = 30;
    o.epochs = 4;
    test_case("averages");
    resume(&o, &s.train, &s.valid, 0.9f, 8, 6);
    o.keep_best = 1;
    test_case("averages and the best epoch");
    resume(&o, &s.train, &s.valid, 0.9f, 8, 5);
    o.accumulate = 3;
    test_case("accumulated");
    resume(&o, &s.train, NULL, 0, 4, 4);
    o.mixup = 0.4f;
    test_case("mixup");
    resume(&o, &s.train, NULL, 0, 4, 4);
    o.cutmix = 1;
    test_case("mixup or cutmix, averages");
    resume(&o, &s.train, &s.valid, 0.9f, 4, 7);
    o.balanced = 1;
    test_case("balanced");
    resume(&o, &s.train, NULL, 0.9f, 4, 7);
    resume_all(&s, o);
}

/* ---- what is frozen, what has not begun ---- */

/* A frozen layer's parameters stay, and so do their averages, which cvn_fit makes the weights. */
static void averages_frozen(void)
{
    stripes s;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = convnet(1, 0.9f, 8);
    float *start;
    const size_t n = net->trainable + net->running;
    cvn_param p;
    make_stripes(&s);
    CHECK(cvn_freeze_to(net, cvn_find(net, "bn1")) == CVN_OK);
    start = copy_of(net->weights, n);
    o.epochs = 20;
    CHECKF(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < cvn_param_count(net); i++) {
        int frozen, same;
        p = cvn_param_at(net, i);
        frozen = !strncmp(p.name, "conv1", 5) || !strncmp(p.name, "bn1", 3);
        same = !memcmp(p.value, start + (p.value - net->weights), p.count * sizeof(float));
        CHECKF(same == frozen, "%s", p.name);
    }
    free(start);
    cvn_destroy(net);
}

/* Averages switched on behind a run, which then has no step left to make. */
static void averages_not_begun(void)
{
    stripes s;
    watch w;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = convnet(1, 0, 8);
    float *before;
    const size_t n = net->trainable + net->running;
    make_stripes(&s);
    o.epochs = 2;
    CHECKF(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(net));
    before = copy_of(net->weights, n);
    CHECK(cvn_set_ema(net, 0.9f) == CVN_OK);
    o.resume = 1;
    CHECKF(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(!memcmp(before, net->weights, n * sizeof(float)));
    free(before);
    cvn_destroy(net);
    /* stopped behind the last step of an epoch: the validation is to come */
    net = convnet(1, 0, 8);
    memset(&w, 0, sizeof w);
    w.stop = 4;
    o.resume = 0;
    o.epochs = 1;
    o.callback = on_event;
    o.user = &w;
    CHECK(cvn_fit(net, &s.train, &s.valid, &o) == CVN_STOPPED && net->fit.position == 32);
    before = copy_of(net->weights, n);
    CHECK(cvn_set_ema(net, 0.9f) == CVN_OK);
    o.callback = NULL;
    o.resume = 1;
    CHECKF(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(!memcmp(before, net->weights, n * sizeof(float)));
    free(before);
    cvn_destroy(net);
}

/* ---- resumed under other circumstances ---- */

/* Labels of the validation that nothing in the training leads to: soon no epoch is better. */
static void spoil(stripes *s)
{
    for (int i = 32; i < SAMPLES; i += 2) s->labels[i] ^= 1;
}

/* A run that patience has ended is at its end when it is resumed, too. */
static void resumed_without_patience(void)
{
    for (int averages = 0; averages < 2; averages++) {
        stripes s;
        cvn_fit_options o = cvn_fit_defaults();
        cvn_net *first = convnet(1, averages ? 0.8f : 0, 8);
        cvn_net *second = convnet(1, averages ? 0.8f : 0, 8);
        make_stripes(&s);
        spoil(&s);
        test_case("averages %d", averages);
        o.epochs = 50;
        o.patience = 2;
        o.keep_best = 1;
        o.checkpoint = checkpoint;
        CHECKF(cvn_fit(first, &s.train, &s.valid, &o) == CVN_STOPPED, "%s", cvn_error(first));
        CHECKF(cvn_load_checkpoint(second, checkpoint) == CVN_OK, "%s", cvn_error(second));
        o.resume = 1;
        CHECKF(cvn_fit(second, &s.train, &s.valid, &o) == CVN_STOPPED, "%s", cvn_error(second));
        CHECK(first->fit.epoch < 50 && first->fit.epoch == second->fit.epoch);
        CHECK(same_bits(first, second));
        CHECK(cvn_fit(first, &s.train, &s.valid, &o) == CVN_STOPPED && same_bits(first, second));
        o.patience = 3;
        CHECK(cvn_fit(first, &s.train, &s.valid, &o) == CVN_STOPPED &&
              first->fit.epoch > second->fit.epoch);
        remove(checkpoint);
        cvn_destroy(first);
        cvn_destroy(second);
    }
}

/* keep_best holds for the call that names it. */
static void resumed_without_keep_best(void)
{
    stripes s;
    watch w;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *whole = convnet(1, 0, 8);
    cvn_net *net = convnet(1, 0, 8);
    make_stripes(&s);
    spoil(&s);
    memset(&w, 0, sizeof w);
    w.stop = 38;
    o.epochs = 12;
    CHECKF(cvn_fit(whole, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(whole));
    CHECK(whole->fit.best_epoch < 12);
    o.keep_best = 1;
    o.callback = on_event;
    o.user = &w;
    CHECK(cvn_fit(net, &s.train, &s.valid, &o) == CVN_STOPPED && net->best);
    o.keep_best = 0;
    o.resume = 1;
    CHECKF(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(same_bits(whole, net) && !net->best);
    cvn_destroy(whole);
    cvn_destroy(net);
}

/* Counters that have no room to count on: no checkpoint that a run has written. */
static void resumed_at_the_limit(void)
{
    cvn_net *net = convnet(1, 0.9f, 8);
    cvn_net *other = convnet(1, 0.9f, 8);
    cvni_fit_state *const f = &net->fit;
    for (int k = 0; k < 4; k++) {
        memset(f, 0, sizeof *f);
        if (k == 0) f->bad_epochs = INT_MAX;
        if (k == 1) f->plateau_bad = INT_MAX;
        if (k == 2) f->step = LONG_MAX;
        if (k == 3) f->epoch = INT_MAX;
        CHECK(cvn_save_checkpoint(net, checkpoint) == CVN_OK);
        CHECK(cvn_load_checkpoint(other, checkpoint) == CVN_ERROR_FORMAT);
        CHECKF(strstr(cvn_error(other), "no value of its kind") != NULL, "%s", cvn_error(other));
    }
    remove(checkpoint);
    cvn_destroy(net);
    cvn_destroy(other);
}

/* An optimizer of the same kind is looked at as any other. */
static void resumed_with_nonsense(void)
{
    stripes s;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_optimizer bad = cvn_sgd(0.05f, 0.9f);
    cvn_net *net = convnet(1, 0, 8);
    make_stripes(&s);
    o.epochs = 1;
    CHECK(cvn_fit(net, &s.train, NULL, &o) == CVN_OK);
    bad.lr = (float)NAN;
    o.optimizer = &bad;
    o.resume = 1;
    o.epochs = 2;
    CHECK(cvn_fit(net, &s.train, NULL, &o) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "out of range") != NULL, "%s", cvn_error(net));
    CHECK(net->optimizer.lr == 0.05f);
    cvn_destroy(net);
}

/* CVN_SCHEDULE_PLATEAU from the middle of a run on, and behind a loss that is no number. */
static void plateau_begins_late(void)
{
    cvn_schedule s;
    cvni_fit_state f;
    memset(&s, 0, sizeof s);
    memset(&f, 0, sizeof f);
    s.wait = 2;
    for (; f.epoch < 8; f.epoch++) {
        if (f.epoch == 4) s.kind = CVN_SCHEDULE_PLATEAU;
        cvni_plateau(&s, &f, 1 - 0.1 * f.epoch);
    }
    CHECK(f.plateau_cuts == 0);
    memset(&f, 0, sizeof f);
    for (; f.epoch < 8; f.epoch++)
        cvni_plateau(&s, &f, f.epoch ? 1 - 0.1 * f.epoch : (double)NAN);
    CHECK(f.plateau_cuts == 0);
}

/* ---- accumulation ---- */

/* 3 -> 5 tanh -> 2, mean squared error: no layer looks at the whole batch. */
static cvn_net *plain(int batch)
{
    const cvn_optimizer sgd = cvn_sgd(0.1f, 0.9f);
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 3);
    const cvn_node y = cvn_dense(net, cvn_tanh(net, cvn_dense(net, x, 5)), 2);
    cvn_mse_loss(net, y, cvn_target(net, y));
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    CHECKF(cvn_build(net, batch) == CVN_OK, "%s", cvn_error(net));
    return net;
}

static float plain_x[40 * 3], plain_t[40 * 2];

static cvn_data plain_set(int count)
{
    cvn_data d;
    memset(&d, 0, sizeof d);
    fill_noise(plain_x, 40 * 3, 3);
    fill_noise(plain_t, 40 * 2, 4);
    d.count = count;
    d.images = plain_x;
    d.targets = plain_t;
    return d;
}

static void accumulate(void)
{
    static const int counts[4] = { 36, 32, 30, 13 };
    for (int i = 0; i < 4; i++) {
        for (int drop = 0; drop < 2; drop++) {
            const cvn_data data = plain_set(counts[i]);
            cvn_fit_options o = cvn_fit_defaults();
            cvn_net *large = plain(12);
            cvn_net *small = plain(4);
            watch w, v;
            cvn_data kept = data;
            memset(&w, 0, sizeof w);
            memset(&v, 0, sizeof v);
            test_case("%d samples%s", data.count, drop ? ", drop_last" : "");
            o.epochs = 5;
            o.no_shuffle = 1;
            o.callback = on_event;
            o.schedule.kind = CVN_SCHEDULE_COSINE;
            if (drop) kept.count -= kept.count % 4;     /* what whole batches of 4 hold */
            o.user = &w;
            CHECKF(cvn_fit(large, &kept, NULL, &o) == CVN_OK, "%s", cvn_error(large));
            o.user = &v;
            o.drop_last = drop;
            o.accumulate = 3;
            CHECKF(cvn_fit(small, &data, NULL, &o) == CVN_OK, "%s", cvn_error(small));
            for (size_t k = 0; k < large->trainable; k++)
                CHECK_NEAR(small->weights[k], large->weights[k], 2e-6);
            CHECK(w.batches == v.batches && w.per_epoch == v.per_epoch &&
                  w.per_epoch == (kept.count + 11) / 12);
            CHECK(!memcmp(w.rate, v.rate, sizeof w.rate));
            CHECK(large->fit.step == small->fit.step && large->optimizer_step ==
                  small->optimizer_step);
            CHECK_NEAR(cvn_history_at(large, 4).loss, cvn_history_at(small, 4).loss, 1e-6);
            cvn_destroy(large);
            cvn_destroy(small);
        }
    }
}

/* A source that fails once, at its call number `fails`. */
typedef struct source { const cvn_data *set; int calls, fails; } source;

static cvn_result give(void *user, cvn_net *net, const int *index, int n, int training)
{
    source *s = (source *)user;
    float x[12 * 3] = { 0 };
    float t[12 * 2] = { 0 };
    cvn_node in = { 1 };
    cvn_node target = { 0 };
    (void)training;
    if (++s->calls == s->fails) return CVN_ERROR_FILE;
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].op == &cvni_op_target) target.id = id;
    for (int i = 0; i < n; i++) {
        memcpy(x + 3 * i, s->set->images + 3 * index[i], 3 * sizeof(float));
        memcpy(t + 2 * i, s->set->targets + 2 * index[i], 2 * sizeof(float));
    }
    CHECK(cvn_set_input(net, in, x, n) == CVN_OK && cvn_set_input(net, target, t, n) == CVN_OK);
    for (int i = 0; i < n; i++) net->sample_weights[i] = 1;
    net->weighted = n;
    return CVN_OK;
}

/* A batch that fails in the middle of a step leaves nothing; the run goes on from that step.
 * Weights that a source sets do not outlive the call. */
static void accumulate_fails(void)
{
    const cvn_data data = plain_set(30);
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = plain(4);
    cvn_net *whole = plain(4);
    cvn_data set = data;
    cvn_metrics m;
    source s;
    memset(&m, 0, sizeof m);
    memset(&s, 0, sizeof s);
    s.set = &data;
    s.fails = 13;
    set.fill = give;
    set.user = &s;
    o.epochs = 3;
    o.accumulate = 3;
    CHECKF(cvn_fit(whole, &data, NULL, &o) == CVN_OK, "%s", cvn_error(whole));
    CHECK(cvn_fit(net, &set, NULL, &o) == CVN_ERROR_FILE);
    CHECK(net->fit.position == 12 && net->fit.epoch == 1 && net->fit.step == 4 && !net->weighted);
    for (size_t i = 0; i < net->trainable; i++) CHECK(net->grads[i] == 0);
    o.resume = 1;
    CHECKF(cvn_fit(net, &set, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(same_bits(net, whole));
    CHECK(cvn_evaluate(net, &set, &m) == CVN_OK && !net->weighted);
    o.resume = 0;
    o.accumulate = -1;
    CHECK(cvn_fit(net, &set, NULL, &o) == CVN_ERROR_ARGUMENT);
    cvn_destroy(net);
    cvn_destroy(whole);
}

/* ---- mixed samples ---- */

/* Mean 1/2, variance 1/(4(2*alpha + 1)). */
static void beta(void)
{
    static const double alphas[6] = { 0.05, 0.2, 0.4, 1, 2, 30 };
    for (int i = 0; i < 6; i++) {
        cvni_rng r = cvni_rng_start(9, CVNI_STREAM_DROPOUT, (uint64_t)i, 0);
        const double variance = 1 / (4 * (2 * alphas[i] + 1));
        double sum = 0;
        double squares = 0;
        test_case("alpha %g", alphas[i]);
        for (int k = 0; k < draws; k++) {
            const double x = cvni_beta_draw(&r, alphas[i]);
            if (!CHECK(x >= 0 && x <= 1)) return;
            sum += x;
            squares += (x - 0.5) * (x - 0.5);
        }
        CHECK_NEAR(sum / draws, 0.5, 5 * sqrt(variance / draws));
        CHECK_NEAR(squares / draws, variance, 6 * variance / sqrt((double)draws));
    }
    {   /* both draws underflow as numbers */
        cvni_rng r = cvni_rng_start(9, CVNI_STREAM_DROPOUT, 0, 1);
        for (int k = 0; k < 100; k++) {
            const double x = cvni_beta_draw(&r, 1e-6);
            CHECK(x == x && (x < 1e-3 || x > 1 - 1e-3));
        }
    }
}

/* An image [2, 5, width], a vector [300], a target like the image and one like the vector,
 * labels. */
typedef struct mixed_net {
    cvn_net *net;
    cvn_node image, vector, labels, like_image, like_vector;
} mixed_net;

static mixed_net make_mixed(int width, int batch, int threads)
{
    mixed_net m;
    cvn_desc desc = cvn_desc_defaults();
    desc.threads = threads;
    m.net = cvn_create(&desc);
    m.image = cvn_input(m.net, 2, 5, width);
    m.vector = cvn_input_vector(m.net, 300);
    m.labels = cvn_input_labels(m.net, NULL, 0);
    m.like_image = cvn_target(m.net, m.image);
    m.like_vector = cvn_target(m.net, m.vector);
    cvn_mse_loss(m.net, cvn_relu(m.net, m.image), m.like_image);
    cvn_mse_loss(m.net, cvn_dense(m.net, m.vector, 300), m.like_vector);
    cvn_nll_loss(m.net, cvn_dense(m.net, m.vector, 3), m.labels);
    CHECKF(cvn_build(m.net, batch) == CVN_OK, "%s", cvn_error(m.net));
    return m;
}

static void set_mixed(const mixed_net *m, int n, const float *image, const float *vector)
{
    const int labels[9] = { 0, 1, 2, 1, 2, 0, 2, 1, 0 };
    CHECK(cvn_set_input(m->net, m->image, image, n) == CVN_OK);
    CHECK(cvn_set_input(m->net, m->vector, vector, n) == CVN_OK);
    CHECK(cvn_set_labels(m->net, m->labels, labels, n) == CVN_OK);
    CHECK(cvn_set_input(m->net, m->like_image, image, n) == CVN_OK);
    CHECK(cvn_set_input(m->net, m->like_vector, vector, n) == CVN_OK);
}

/* partner is a permutation, and every element of y is keep of its own. */
static void check_linear(const cvn_net *net, const float *y, const float *x, int n, int elements)
{
    int seen[9] = { 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    CHECK(net->mixed == n && net->mix >= 0 && net->mix <= 1);
    for (int i = 0; i < n; i++) {
        const int p = net->partner[i];
        if (!CHECK(p >= 0 && p < n)) return;
        CHECK(!seen[p]++);
        for (int k = 0; k < elements; k++)
            if (!CHECK_NEAR(y[i * elements + k],
                            (double)net->mix * (double)x[i * elements + k] +
                                (1 - (double)net->mix) * (double)x[p * elements + k], 3e-7))
                return;
    }
}

/* The pixels of other samples make one box, the same everywhere, of 1 - lambda. */
static void check_box(const cvn_net *net, const float *y, const float *x, int n, int width)
{
    int x0 = width, x1 = -1, y0 = 5, y1 = -1, differs = 0;
    for (int i = 0; i < n; i++) {
        const int p = net->partner[i];
        for (int k = 0; k < 10 * width; k++) {
            const float value = y[i * 10 * width + k];
            const int row = k / width % 5;
            if (value == x[i * 10 * width + k]) continue;
            CHECK(value == x[p * 10 * width + k]);
            differs++;
            x0 = k % width < x0 ? k % width : x0;
            x1 = k % width > x1 ? k % width : x1;
            y0 = row < y0 ? row : y0;
            y1 = row > y1 ? row : y1;
        }
    }
    for (int i = 0; i < n; i++) if (net->partner[i] == i) differs += 2 * (x1 - x0 + 1) *
                                                                     (y1 - y0 + 1);
    if (x1 < 0) return;
    CHECK(differs == 2 * n * (x1 - x0 + 1) * (y1 - y0 + 1));
    CHECK_NEAR(net->mix, 1 - (double)(x1 - x0 + 1) * (y1 - y0 + 1) / (5.0 * width), 1e-6);
}

static void mix(void)
{
    static const int sizes[4] = { 1, 2, 5, 9 };
    static float image[9 * 10 * 290], vector[9 * 300];
    int boxes = 0;
    fill_noise(image, 9 * 10 * 290, 11);
    fill_noise(vector, 9 * 300, 12);
    for (int i = 0; i < 16; i++) {
        const int n = sizes[i % 4], width = i & 4 ? 290 : 7, cut = i >= 8;
        const mixed_net m = make_mixed(width, 9, 1);
        const mixed_net other = make_mixed(width, n, 3);
        cvn_net *net = m.net;
        test_case("%s, batch %d, width %d", cut ? "cutmix" : "mixup", n, width);
        net->tick = other.net->tick = (uint64_t)i;
        set_mixed(&m, n, image, vector);
        set_mixed(&other, n, image, vector);
        CHECKF((cut ? cvn_cutmix(net, 1) : cvn_mixup(net, 0.7f)) == CVN_OK, "%s", cvn_error(net));
        CHECK((cut ? cvn_cutmix(other.net, 1) : cvn_mixup(other.net, 0.7f)) == CVN_OK);
        check_linear(net, cvn_value(net, m.vector), vector, n, 300);
        check_linear(net, cvn_value(net, m.like_vector), vector, n, 300);
        if (cut) {
            check_box(net, cvn_value(net, m.image), image, n, width);
            check_box(net, cvn_value(net, m.like_image), image, n, width);
            boxes += net->mix < 1;
        } else {
            check_linear(net, cvn_value(net, m.image), image, n, 10 * width);
        }
        CHECK(!memcmp(cvn_value(net, m.image), cvn_value(other.net, other.image),
                      (size_t)(n * 10 * width) * sizeof(float)));
        CHECK(!memcmp(cvn_value(net, m.vector), cvn_value(other.net, other.vector),
                      (size_t)(n * 300) * sizeof(float)));
        CHECK(cvn_mixup(net, 1) == CVN_ERROR_STATE);
        CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
        CHECK(net->mixed == n);
        CHECK(cvn_set_input(net, m.vector, vector, n) == CVN_OK && net->mixed == 0);
        cvn_destroy(net);
        cvn_destroy(other.net);
    }
    CHECK(boxes > 3);
}

/* Both alphas: each comes about as often; what is drawn changes with the passes. */
static void coin(void)
{
    static float image[4 * 70], vector[4 * 300];
    const mixed_net m = make_mixed(7, 4, 1);
    int linear = 0, repeated = 0;
    float before = -1;
    fill_noise(image, 4 * 70, 21);
    fill_noise(vector, 4 * 300, 22);
    for (int i = 0; i < 200; i++) {
        const float *x = cvn_value(m.net, m.image);
        int own = 0;
        m.net->tick = (uint64_t)i;
        set_mixed(&m, 4, image, vector);
        CHECK(cvni_mix_either(m.net, 1, 1) == CVN_OK);
        for (int k = 0; k < 280; k++) {
            const int p = m.net->partner[k / 70];
            own += x[k] == image[k] || x[k] == image[p * 70 + k % 70];
        }
        linear += own != 280;
        repeated += m.net->mix == before;
        before = m.net->mix;
    }
    CHECKF(linear > 65 && linear < 135, "%d of 200", linear);
    CHECK(repeated < 20);
    cvn_destroy(m.net);
}

/* Boxes lie anywhere. Sides are even, from centre - h to centre + h - 1, so that for 5 x 7 pixels
 * and two samples, half of whose permutations exchange them, the middle is hit with probability
 * 0.158, the first corner with 0.094 and the last one with 0.040. */
static void boxes(void)
{
    static float image[2 * 70], vector[2 * 300];
    const mixed_net m = make_mixed(7, 2, 1);
    int hits[5][7];
    memset(hits, 0, sizeof hits);
    fill_noise(image, 2 * 70, 23);
    fill_noise(vector, 2 * 300, 24);
    for (int i = 0; i < 1000; i++) {
        const float *x = cvn_value(m.net, m.image);
        m.net->tick = (uint64_t)i;
        set_mixed(&m, 2, image, vector);
        CHECK(cvn_cutmix(m.net, 1) == CVN_OK);
        for (int k = 0; k < 35; k++) hits[k / 7][k % 7] += x[k] != image[k];
    }
    CHECK_NEAR(hits[2][3], 158, 46);                    /* 4 standard deviations */
    CHECK_NEAR(hits[0][0], 94, 37);
    CHECK_NEAR(hits[4][6], 40, 25);
    CHECK(hits[0][6] > 20 && hits[4][0] > 20);
    cvn_destroy(m.net);
}

static void mix_refused(void)
{
    static float image[4 * 70], vector[4 * 300];
    const mixed_net m = make_mixed(7, 4, 1);
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input_vector(net, 4);
    const int labels[8] = { 0, 1, 0, 1, 0, 1, 0, 1 };
    const int steps[2] = { 2, 3 };
    const cvn_node none = { 0 };
    cvn_ctc_desc ctc = cvn_ctc_defaults();
    float value[8 * 4];
    memset(value, 0, sizeof value);
    CHECK(cvn_mixup(m.net, 1) == CVN_ERROR_STATE);
    set_mixed(&m, 4, image, vector);
    CHECK(cvn_mixup(m.net, -1) == CVN_ERROR_ARGUMENT && cvn_cutmix(m.net, (float)HUGE_VAL) ==
          CVN_ERROR_ARGUMENT);
    CHECK(cvn_mixup(m.net, 0) == CVN_OK && m.net->mixed == 0);
    cvn_destroy(m.net);
    cvn_softmax_loss(net, cvn_dense(net, x, 2));
    CHECK(cvn_mixup(net, 1) == CVN_ERROR_STATE);
    CHECK(cvn_build(net, 2) == CVN_OK);
    CHECK(cvn_set_input(net, x, value, 2) == CVN_OK);
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].is_int) x.id = id;
    CHECK(cvn_set_labels(net, x, labels, 2) == CVN_OK);
    CHECK(cvn_cutmix(net, 1) == CVN_ERROR_UNSUPPORTED);
    CHECK(strstr(cvn_error(net), "no input of images") != NULL);
    CHECK(cvn_mixup(net, 1) == CVN_OK);
    cvn_destroy(net);
    /* a label a pixel */
    net = cvn_create(NULL);
    x = cvn_input(net, 1, 2, 2);
    cvn_softmax_loss(net, cvn_conv2d(net, x, 2, 1, 1, 0));
    CHECK(cvn_build(net, 2) == CVN_OK && cvn_set_input(net, x, value, 2) == CVN_OK);
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].is_int) x.id = id;
    CHECK(cvn_set_labels(net, x, labels, 2) == CVN_OK);
    CHECK(cvn_cutmix(net, 1) == CVN_ERROR_UNSUPPORTED);
    CHECK(strstr(cvn_error(net), "more than one label") != NULL);
    cvn_destroy(net);
    /* words */
    net = cvn_create(NULL);
    x = cvn_input_labels(net, labels + 1, 0);
    cvn_softmax_loss(net, cvn_embedding(net, x, 4, 3));
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_mixup(net, 1) == CVN_ERROR_UNSUPPORTED);
    CHECK(strstr(cvn_error(net), "they cannot be mixed") != NULL);
    cvn_destroy(net);
    /* a sequence of labels: its loss knows no shares */
    net = cvn_create(NULL);
    ctc.max_labels = 1;
    x = cvn_input_tensor(net, steps, 2);
    cvn_ctc_loss(net, cvn_log_softmax(net, x), none, &ctc);
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_mixup(net, 1) == CVN_ERROR_UNSUPPORTED);
    CHECK(strstr(cvn_error(net), "they cannot be mixed") != NULL);
    cvn_destroy(net);
}

/* ---- balanced epochs ---- */

static int drawn[2];

static cvn_result count_classes(void *user, cvn_net *net, const int *index, int n, int training)
{
    const stripes *s = (const stripes *)user;
    float x[8 * PIXELS];
    int labels[8];
    cvn_node in = { 1 };
    cvn_node label = { 0 };
    (void)training;
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].is_int) label.id = id;
    for (int i = 0; i < n; i++) {
        memcpy(x + i * PIXELS, s->x + index[i] * PIXELS, PIXELS * sizeof(float));
        labels[i] = s->labels[index[i]];
        drawn[labels[i]]++;
    }
    CHECK(cvn_set_input(net, in, x, n) == CVN_OK);
    return cvn_set_labels(net, label, labels, n);
}

static void balanced(void)
{
    stripes s;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = convnet(1, 0, 8);
    make_stripes(&s);
    for (int i = 0; i < 32; i++) s.labels[i] = i % 8 == 0;
    s.train.fill = count_classes;
    s.train.user = &s;
    o.epochs = 4;
    o.balanced = 1;
    drawn[0] = drawn[1] = 0;
    CHECKF(cvn_fit(net, &s.train, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(drawn[0] + drawn[1] == 4 * 32);
    CHECKF(drawn[0] - drawn[1] <= 32 && drawn[1] - drawn[0] <= 32, "%d and %d", drawn[0], drawn[1]);
    s.train.labels = NULL;
    CHECK(cvn_fit(net, &s.train, NULL, &o) == CVN_ERROR_ARGUMENT);
    CHECK(strstr(cvn_error(net), "needs the labels") != NULL);
    s.train.labels = s.labels;
    for (int i = 0; i < 32; i++) s.labels[i] = -1;
    CHECK(cvn_fit(net, &s.train, NULL, &o) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "labels of 0 or more") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* Labels of more than one position a sample tell no class of a sample. */
static void balanced_pixels(void)
{
    stripes s;
    static int labels[SAMPLES * PIXELS];
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = cvn_create(NULL);
    cvn_softmax_loss(net, cvn_conv2d(net, cvn_input(net, 1, SIDE, SIDE), 2, 3, 1, 1));
    CHECKF(cvn_build(net, 8) == CVN_OK, "%s", cvn_error(net));
    make_stripes(&s);
    s.train.labels = labels;
    o.epochs = 1;
    CHECKF(cvn_fit(net, &s.train, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    o.balanced = 1;
    CHECK(cvn_fit(net, &s.train, NULL, &o) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "one label a sample") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

static int blocks_left;                 /* that limited_alloc gives */

static void *limited_alloc(void *user, size_t size)
{
    (void)user;
    return blocks_left-- > 0 ? malloc(size) : NULL;
}

static void limited_free(void *user, void *pointer)
{
    (void)user;
    free(pointer);
}

/* The memory of a balanced order comes from the net's allocator. */
static void balanced_without_memory(void)
{
    stripes s;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    blocks_left = 1000;
    desc.allocator.alloc = limited_alloc;
    desc.allocator.free = limited_free;
    net = cvn_create(&desc);
    cvn_softmax_loss(net, cvn_dense(net, cvn_input(net, 1, SIDE, SIDE), 2));
    CHECKF(cvn_build(net, 8) == CVN_OK, "%s", cvn_error(net));
    make_stripes(&s);
    o.epochs = 1;
    o.balanced = 1;
    blocks_left = 1;
    CHECK(cvn_fit(net, &s.train, NULL, &o) == CVN_ERROR_MEMORY);
    CHECKF(strstr(cvn_error(net), "balanced order") != NULL, "%s", cvn_error(net));
    blocks_left = 1000;
    CHECKF(cvn_fit(net, &s.train, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* ---- weights of samples ---- */

static void weights_refused(void)
{
    static const float bad[2] = { -1, (float)NAN };
    float weights[44];
    stripes s;
    cvn_metrics m;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = convnet(1, 0, 8);
    memset(&m, 0, sizeof m);
    make_stripes(&s);
    o.epochs = 1;
    s.valid.weights = weights;
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 44; i++) weights[i] = 1;
        weights[34] = bad[k];
        CHECK(cvn_fit(net, &s.train, &s.valid, &o) == CVN_ERROR_ARGUMENT);
        CHECKF(strstr(cvn_error(net), "weight of sample 2 is") != NULL, "%s", cvn_error(net));
        CHECK(cvn_evaluate(net, &s.valid, &m) == CVN_ERROR_ARGUMENT);
        weights[34] = 0;
        CHECK(cvn_evaluate(net, &s.valid, &m) == CVN_OK);
    }
    cvn_destroy(net);
}

/* ---- range test ---- */

static int count_range(void *user, const cvn_progress *p)
{
    int *const seen = (int *)user;      /* batches, ends, stop */
    seen[p->event == CVN_EVENT_END]++;
    if (p->event == CVN_EVENT_BATCH) CHECK(p->batch == seen[0] && p->lr > 0);
    return p->event == CVN_EVENT_BATCH && seen[0] == seen[2];
}

static cvn_lr_range_result range;

static void range_restores(void)
{
    stripes s;
    int seen[3] = { 0, 0, 0 };
    cvn_fit_options o = cvn_fit_defaults();
    cvn_lr_range l;
    cvn_net *net = convnet(1, 0.9f, 8);
    cvn_net *twin = convnet(1, 0.9f, 8);
    make_stripes(&s);
    memset(&l, 0, sizeof l);
    l.callback = count_range;
    l.user = seen;
    o.epochs = 2;
    CHECK(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK);
    CHECK(cvn_fit(twin, &s.train, &s.valid, &o) == CVN_OK);
    net->grads[3] = 5;
    CHECKF(cvn_lr_range_test(net, &s.train, &l, &range) == CVN_OK, "%s", cvn_error(net));
    CHECK(net->grads[3] == 5 && net->tick == twin->tick && !net->mixed);
    CHECK(!memcmp(&net->fit, &twin->fit, sizeof net->fit));
    CHECK(net->optimizer_step == twin->optimizer_step && net->ema_started);
    CHECK(!memcmp(net->state, twin->state, net->trainable * sizeof(float)));
    CHECK(same_bits(net, twin) && cvn_history_count(net) == 2);
    net->grads[3] = 0;
    o.resume = 1;
    o.epochs = 4;
    CHECK(cvn_fit(net, &s.train, &s.valid, &o) == CVN_OK);
    CHECK(cvn_fit(twin, &s.train, &s.valid, &o) == CVN_OK);
    CHECK(same_bits(net, twin));
    CHECK(seen[0] == range.count && seen[1] == 1);
    seen[0] = 0;
    seen[2] = 9;
    CHECK(cvn_lr_range_test(net, &s.train, &l, &range) == CVN_STOPPED && range.count == 9);
    CHECK(same_bits(net, twin));
    cvn_destroy(net);
    cvn_destroy(twin);
}

/* The curve, computed again by hand: one batch holds the whole set. */
static void range_curve(void)
{
    const cvn_data data = plain_set(12);
    cvn_lr_range l;
    cvn_net *net = plain(12);
    cvn_net *twin = plain(12);
    double mean = 0;
    double best = HUGE_VAL;
    memset(&l, 0, sizeof l);
    l.low = 1e-3f;
    l.high = 100;
    l.steps = 50;
    CHECKF(cvn_lr_range_test(net, &data, &l, &range) == CVN_OK, "%s", cvn_error(net));
    CHECK(range.count > 10 && range.count < 50);        /* it blew up */
    for (int i = 0; i <= range.count; i++) {
        const double rate = 1e-3 * pow(1e5, i / 49.0);
        double smooth;
        float loss;
        CHECK(cvn_set_lr(twin, (float)rate) == CVN_OK);
        CHECK(cvn_train_batch_target(twin, plain_x, plain_t, 12, &loss) == CVN_OK);
        mean = 0.98 * mean + 0.02 * (double)loss;
        smooth = mean / (1 - pow(0.98, i + 1));
        best = fmin(best, smooth);
        if (i == range.count) {
            CHECK(!(smooth <= 4 * best));
            break;
        }
        CHECK(smooth <= 4 * best);
        CHECK_NEAR(range.lr[i], rate, 1e-5 * rate);
        CHECK_NEAR(range.loss[i], smooth, 1e-3 * smooth);
    }
    CHECK(range.suggested > 1e-3f && range.steepest > 1e-3f && 10 * range.suggested < 100);
    cvn_destroy(net);
    cvn_destroy(twin);
}

static void range_suggests(void)
{
    cvn_lr_range_result r;
    memset(&r, 0, sizeof r);
    r.count = 60;
    for (int i = 0; i < 60; i++) {
        r.lr[i] = (float)pow(10.0, -6 + 0.1 * i);
        r.loss[i] = (float)(2 - 1.5 / (1 + exp(-(i - 30) / 3.0)) + (i > 45 ? 0.2 * (i - 45) : 0));
    }
    cvni_range_suggest(&r);
    CHECK_NEAR(log10((double)r.steepest), -3, 0.11);
    CHECK_NEAR(log10((double)r.suggested), -2.5, 0.11);
    for (int i = 0; i < 60; i++) r.loss[i] = (float)i;
    cvni_range_suggest(&r);
    CHECK(r.suggested == 0 && r.steepest == 0);
}

/* Where it ends: 4 times the least loss, in the mean of a loss of 1 and then of 1 + c. */
static void range_ends(void)
{
    double mean = 0;
    double best = 0;
    memset(&range, 0, sizeof range);
    CHECK(cvni_range_record(&range, &mean, &best, 1, 1) == 1 && best == 1);
    CHECK(cvni_range_record(&range, &mean, &best, 1, 6.9) == 1);        /* a mean of 3.98 */
    CHECK(cvni_range_record(&range, &mean, &best, 1, 4.3) == 0 && range.count == 2);
    CHECK(cvni_range_record(&range, &mean, &best, 1, NAN) == 0);
    /* a loss below 0 */
    memset(&range, 0, sizeof range);
    mean = best = 0;
    CHECK(cvni_range_record(&range, &mean, &best, 1, -2) == 1);
    CHECK(cvni_range_record(&range, &mean, &best, 1, 9) == 1);          /* 3.56 */
    CHECK(cvni_range_record(&range, &mean, &best, 1, 9) == 0);          /* 5.4, above 4 */
}

static void range_refused(void)
{
    const cvn_data data = plain_set(12);
    cvn_lr_range l;
    cvn_net *net = plain(8);
    memset(&l, 0, sizeof l);
    l.low = 1;
    l.high = 0.5f;
    CHECK(cvn_lr_range_test(net, &data, &l, &range) == CVN_ERROR_ARGUMENT);
    CHECK(strstr(cvn_error(net), "do not rise") != NULL);
    l.high = 2;
    l.steps = CVN_MAX_RANGE_STEPS + 1;
    CHECK(cvn_lr_range_test(net, &data, &l, &range) == CVN_ERROR_ARGUMENT);
    l.steps = 1;
    CHECK(cvn_lr_range_test(net, &data, &l, &range) == CVN_ERROR_ARGUMENT);
    l.steps = 10;
    l.batch = 9;
    CHECK(cvn_lr_range_test(net, &data, &l, &range) == CVN_ERROR_ARGUMENT);
    l.batch = 5;
    CHECK(cvn_lr_range_test(net, &data, &l, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_lr_range_test(net, NULL, &l, &range) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_lr_range_test(NULL, &data, &l, &range) == CVN_ERROR_STATE);
    CHECKF(cvn_lr_range_test(net, &data, &l, &range) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* ---- cvn_check ---- */

/* Its forward pass behind a step, in nets that recompute some of their layers, is that of any other
 * forward pass. */
static void check_recomputed(void)
{
    float x[4 * 3 * 64];
    const int labels[4] = { 0, 1, 2, 3 };
    uint32_t state = 5;
    fill_noise(x, 4 * 3 * 64, 9);
    for (int trial = 0; trial < 60; trial++) {
        cvn_net *net = cvn_create(NULL);
        cvn_node node[9];
        char text[256];
        cvni_text t = { text, sizeof text, 0 };
        float loss = 0;
        node[0] = cvn_input(net, 3, 8, 8);
        for (int i = 1; i < 9; i++) {
            const int kind = (int)(4 * (noise(&state) + 1) / 2);
            node[i] = kind < 2 ? cvn_conv2d(net, node[i - 1], 6, kind ? 3 : 1, 1, kind)
                      : kind < 3 ? cvn_gelu(net, node[i - 1]) : cvn_batchnorm(net, node[i - 1]);
        }
        cvn_softmax_loss(net, cvn_dense(net, node[8], 4));
        for (int i = 1; i < 7; i += 3)
            if (noise(&state) > 0) cvn_recompute(net, node[i], node[i + 1 + (noise(&state) > 0)]);
        CHECKF(cvn_build(net, 4) == CVN_OK && cvn_set_lr(net, 0) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_train_batch(net, x, labels, 4, &loss) == CVN_OK);
        test_case("net %d", trial);
        CHECK(cvni_check_forward(net, &t) == CVN_OK);
        CHECK(net->layers[net->layer_count - 1].y[0] == loss);
        cvn_destroy(net);
    }
}

static void without_a_loss(void)
{
    cvn_data data = plain_set(12);
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *net = cvn_create(NULL);
    char text[256];
    cvn_dense(net, cvn_input_vector(net, 3), 2);
    CHECKF(cvn_build(net, 4) == CVN_OK, "%s", cvn_error(net));
    o.epochs = 1;
    CHECK(cvn_fit(net, &data, NULL, &o) == CVN_ERROR_STATE);
    CHECKF(strstr(cvn_error(net), "no loss") != NULL, "%s", cvn_error(net));
    CHECK(cvn_check(net, &data, text, sizeof text) == CVN_ERROR_STATE);
    CHECK(cvn_lr_range_test(net, &data, NULL, &range) == CVN_ERROR_STATE);
    cvn_destroy(net);
}

/* ---- freezing and plans ---- */

static void freeze_after_build(void)
{
    const cvn_optimizer adam = cvn_adam(0.01f);
    const cvn_optimizer sgd = cvn_sgd(0.01f, 0);
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, 1, SIDE, SIDE);
    const cvn_node first = cvn_conv2d(net, x, 3, 3, 1, 1);
    const cvn_node second = cvn_conv2d(net, cvn_relu(net, first), 3, 3, 1, 1);
    cvn_node labels = { 0 };
    const int label[2] = { 0, 1 };
    float value[2 * PIXELS];
    float before;
    fill_noise(value, 2 * PIXELS, 31);
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, second), 2));
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].is_int || net->layers[id].op == &cvni_op_labels) labels.id = id;
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_freeze_to(net, second) == CVN_OK);
    CHECK(cvn_set_optimizer(net, &adam) == CVN_OK && cvn_resize(net, SIDE + 2, SIDE) == CVN_OK &&
          cvn_resize(net, SIDE, SIDE) == CVN_OK);
    CHECKF(cvn_unfreeze(net, first) == CVN_OK && cvn_unfreeze(net, second) == CVN_OK, "%s",
           cvn_error(net));
    before = net->weights[0];
    CHECK(cvn_set_input(net, x, value, 2) == CVN_OK);
    CHECK(cvn_set_labels(net, labels, label, 2) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK && cvn_step(net) == CVN_OK);
    CHECK(net->weights[0] != before);
    /* frozen at cvn_build: left out, in later plans too */
    CHECK(cvn_freeze_to(net, second) == CVN_OK && cvn_build(net, 2) == CVN_OK);
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    CHECK(cvn_unfreeze(net, first) == CVN_ERROR_STATE);
    CHECK(cvn_memory_needed(net, 2, CVN_TRAIN) == net->arena_bytes);
    cvn_destroy(net);
}

int main(void)
{
    RUN(averages);
    RUN(averages_of_one);
    RUN(averages_move);
    RUN(averages_refused);
    RUN(fit_averages);
    RUN(resumes);
    RUN(averages_frozen);
    RUN(averages_not_begun);
    RUN(resumed_without_patience);
    RUN(resumed_without_keep_best);
    RUN(resumed_at_the_limit);
    RUN(resumed_with_nonsense);
    RUN(plateau_begins_late);
    RUN(accumulate);
    RUN(accumulate_fails);
    RUN(beta);
    RUN(mix);
    RUN(coin);
    RUN(boxes);
    RUN(mix_refused);
    RUN(balanced);
    RUN(balanced_pixels);
    RUN(balanced_without_memory);
    RUN(weights_refused);
    RUN(range_restores);
    RUN(range_curve);
    RUN(range_suggests);
    RUN(range_ends);
    RUN(range_refused);
    RUN(check_recomputed);
    RUN(without_a_loss);
    RUN(freeze_after_build);
    return test_done();
}
