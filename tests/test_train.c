/* test_train.c - training on small synthetic sets: cvn_fit and its options, single batches,
 * evaluation, prediction, resuming, threads, what is said about nets and sets that cannot learn. */
#include "../convnet.h"
#include "test.h"

#include <ctype.h>

/* ---- sets and nets ---- */

static float noise(uint32_t *state)     /* uniform in [-1, 1) */
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

/* Points [n, 2] in `classes` clouds on a circle of radius 1.5, so that mean and variance are about
 * 0 and 1. */
static void make_clouds(float *x, int *labels, int n, int classes, float spread, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        const double angle = 6.283185307179586 * (i % classes) / classes;
        x[2 * i] = (float)(1.5 * cos(angle)) + spread * noise(&seed);
        x[2 * i + 1] = (float)(1.5 * sin(angle)) + spread * noise(&seed);
        labels[i] = i % classes;
    }
}

static cvn_data set_of(const float *x, const int *labels, int n)
{
    cvn_data d;
    memset(&d, 0, sizeof d);
    d.count = n;
    d.images = x;
    d.labels = labels;
    return d;
}

/* 120 training and 45 other points of 3 classes, used by most tests. */
typedef struct clouds {
    float x[2 * 120], other_x[2 * 45];
    int labels[120], other_labels[45];
    cvn_data train, valid;
} clouds;

static void make_sets(clouds *c)
{
    make_clouds(c->x, c->labels, 120, 3, 0.7f, 1);
    make_clouds(c->other_x, c->other_labels, 45, 3, 0.7f, 2);
    c->train = set_of(c->x, c->labels, 120);
    c->valid = set_of(c->other_x, c->other_labels, 45);
}

/* 2 -> hidden relu -> classes, cross-entropy; not built */
static cvn_net *new_mlp(const cvn_desc *desc, int hidden, int classes)
{
    cvn_net *const net = cvn_create(desc);
    const cvn_node x = cvn_input_vector(net, 2);
    cvn_softmax_loss(net, cvn_dense(net, cvn_relu(net, cvn_dense(net, x, hidden)), classes));
    return net;
}

static int build(cvn_net *net, int batch)
{
    return CHECKF(cvn_build(net, batch) == CVN_OK, "%s", cvn_error(net));
}

static cvn_net *mlp(int batch)
{
    cvn_net *const net = new_mlp(NULL, 16, 3);
    build(net, batch);
    return net;
}

enum { SIDE = 12, IMAGES = 40, PIXELS = SIDE * SIDE };

/* Images [n, 1, 12, 12]: horizontal stripes are class 0, vertical ones class 1, in noise. */
static void make_stripes(float *x, int *labels, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        labels[i] = i & 1;
        for (int p = 0; p < PIXELS; p++) {
            const int at = labels[i] ? p % SIDE : p / SIDE;
            x[i * PIXELS + p] = ((at + i / 2) % 4 < 2 ? 1.0f : -1.0f) + 0.5f * noise(&seed);
        }
    }
}

/* conv, batch norm, relu, pool, conv, relu, dropout, dense: every kind of state that a run has;
 * returns the logits */
static cvn_node add_convnet(cvn_net *net, float dropout)
{
    cvn_node x = cvn_input(net, 1, SIDE, SIDE);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 8, 3, 1, 1)));
    x = cvn_maxpool(net, x, 2, 2);
    x = cvn_relu(net, cvn_conv2d(net, x, 16, 3, 1, 1));
    if (dropout > 0) x = cvn_dropout(net, x, dropout);
    x = cvn_dense(net, x, 2);
    cvn_softmax_loss(net, x);
    return x;
}

static cvn_net *new_convnet(const cvn_desc *desc)
{
    cvn_net *const net = cvn_create(desc);
    add_convnet(net, 0.3f);
    return net;
}

/* A copy of all parameters and running statistics; the caller frees it. */
static float *copy_params(cvn_net *net, size_t *count)
{
    size_t n = 0;
    const float *const p = cvn_flat_parameters(net, &n);
    float *const copy = (float *)malloc((n + 1) * sizeof(float));
    if (copy && p) memcpy(copy, p, n * sizeof(float));
    if (count) *count = n;
    return copy;
}

static int same_params(cvn_net *net, const float *copy)
{
    size_t n = 0;
    const float *const p = cvn_flat_parameters(net, &n);
    return p && n && copy && !memcmp(p, copy, n * sizeof(float));
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d - d == 0 ? d : HUGE_VAL;
    }
    return most;
}

/* ---- a callback that takes notes and may stop ---- */

typedef struct notes {
    int stop_epoch, stop_batch;         /* stop there; stop_batch 0: at the epoch's end; stop_epoch
                                         * 0: never */
    int batches, epochs, ends;          /* events seen */
    int last_epoch, last_batch;
    int batches_per_epoch;
    int in_order;                       /* 0: an event came with the wrong numbers */
    float rate[64];                     /* of the first batches */
    float *params[32];                  /* after each epoch, where wanted */
    int want_params;
    cvn_result end;
} notes;

static notes new_notes(void)
{
    notes n;
    memset(&n, 0, sizeof n);
    n.in_order = 1;
    n.end = CVN_ERROR_UNSUPPORTED;
    return n;
}

static int take_notes(void *user, const cvn_progress *p)
{
    notes *const n = (notes *)user;
    if (p->event == CVN_EVENT_END) {
        n->ends++;
        n->end = p->result;
        return 0;
    }
    if (p->event == CVN_EVENT_EPOCH) {
        n->epochs++;
        if (p->epoch != n->last_epoch || p->batch != p->batches) n->in_order = 0;
        if (n->want_params && p->epoch <= 32) n->params[p->epoch - 1] = copy_params(p->net, NULL);
        return n->stop_epoch == p->epoch && !n->stop_batch;
    }
    if (n->batches < 64) n->rate[n->batches] = p->lr;
    n->batches++;
    n->batches_per_epoch = p->batches;
    if (p->epoch == n->last_epoch ? p->batch != n->last_batch + 1 : p->batch != 1 && n->batches > 1)
        n->in_order = 0;
    n->last_epoch = p->epoch;
    n->last_batch = p->batch;
    return n->stop_epoch == p->epoch && n->stop_batch == p->batch;
}

static void free_notes(notes *n)
{
    for (int i = 0; i < 32; i++) free(n->params[i]);
}

/* ---- cvn_fit ---- */

static void test_loss_falls(void)
{
    clouds c;
    cvn_net *const net = mlp(16);
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer adam = cvn_adam(0.02f);
    cvn_metrics m;
    cvn_history first, last;
    make_sets(&c);
    memset(&m, 0, sizeof m);
    o.epochs = 15;
    o.optimizer = &adam;
    CHECKF(cvn_fit(net, &c.train, &c.valid, &o) == CVN_OK, "%s", cvn_error(net));
    if (CHECKF(cvn_history_count(net) == 15, "%d entries", cvn_history_count(net))) {
        first = cvn_history_at(net, 0);
        last = cvn_history_at(net, 14);
        CHECKF(last.loss < 0.4f * first.loss, "loss %g, then %g", (double)first.loss,
               (double)last.loss);
        CHECKF(last.accuracy > 0.9f && last.accuracy <= 1, "accuracy %g", (double)last.accuracy);
        CHECK_NEAR(last.lr, 0.02f, 1e-7);
        CHECK(last.seconds >= 0);
        CHECK(cvn_evaluate(net, &c.valid, &m) == CVN_OK);
        CHECK_NEAR(m.loss, last.valid_loss, 1e-6);
        CHECK_NEAR(m.accuracy, last.valid_accuracy, 1e-6);
        CHECKF(m.accuracy > 0.9, "accuracy %g", m.accuracy);
    }
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_OK);
    CHECKF(cvn_history_count(net) == 15, "a new run has %d entries", cvn_history_count(net));
    last = cvn_history_at(net, 14);
    CHECK(last.valid_loss != last.valid_loss && last.valid_accuracy != last.valid_accuracy);
    cvn_destroy(net);
}

static void test_defaults(void)
{
    clouds c;
    cvn_net *const net = mlp(32);
    make_sets(&c);
    CHECKF(cvn_fit(net, &c.train, NULL, NULL) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_history_count(net) == 10);
    CHECK_NEAR(cvn_history_at(net, 9).lr, 1e-3f, 1e-9);
    cvn_destroy(net);
}

static void test_xor(void)
{
    static const float x[] = { -1, -1, -1, 1, 1, -1, 1, 1 };
    static const int labels[] = { 0, 1, 1, 0 };
    static const float targets[] = { 0, 1, 1, 0 };
    cvn_net *net = new_mlp(NULL, 8, 2);
    cvn_data data = set_of(x, labels, 4);
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer adam = cvn_adam(0.05f);
    int found[4];
    float out[4], p[4], loss = 0;
    cvn_node y;
    o.epochs = 200;
    o.optimizer = &adam;
    build(net, 4);
    CHECKF(cvn_fit(net, &data, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_classify(net, x, 4, found, p) == CVN_OK);
    for (int i = 0; i < 4; i++)
        CHECKF(found[i] == labels[i] && p[i] > 0.9f, "%d: %d with %g", i, found[i], (double)p[i]);
    cvn_destroy(net);

    net = cvn_create(NULL);
    y = cvn_dense(net, cvn_tanh(net, cvn_dense(net, cvn_input_vector(net, 2), 8)), 1);
    cvn_bce_with_logits_loss(net, y, cvn_target(net, y));
    CHECK(cvn_set_optimizer(net, &adam) == CVN_OK);
    build(net, 4);
    for (int i = 0; i < 300; i++)
        CHECK(cvn_train_batch_target(net, x, targets, 4, &loss) == CVN_OK);
    CHECKF(loss < 0.1f, "loss %g", (double)loss);
    CHECK(cvn_predict(net, x, 4, out) == CVN_OK);
    for (int i = 0; i < 4; i++)
        CHECKF((out[i] > 0) == (labels[i] == 1), "%d: %g", i, (double)out[i]);
    cvn_destroy(net);
}

/* Validation labels that contradict the training ones: the validation loss must rise. */
static void test_early_stopping(void)
{
    clouds c;
    notes n = new_notes();
    cvn_net *const net = mlp(16);
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer adam = cvn_adam(0.01f);
    int best = 0;
    make_sets(&c);
    for (int i = 0; i < 45; i++) c.other_labels[i] = (c.other_labels[i] + 1) % 3;
    n.want_params = 1;
    o.epochs = 30;
    o.optimizer = &adam;
    o.patience = 3;
    o.keep_best = 1;
    o.callback = take_notes;
    o.user = &n;
    CHECKF(cvn_fit(net, &c.train, &c.valid, &o) == CVN_STOPPED, "%s", cvn_error(net));
    CHECK(n.ends == 1 && n.end == CVN_STOPPED);
    for (int e = 1; e < cvn_history_count(net); e++)
        if (cvn_history_at(net, e).valid_loss < cvn_history_at(net, best).valid_loss) best = e;
    CHECKF(cvn_history_count(net) == best + 1 + 3, "%d epochs, the best was %d",
           cvn_history_count(net), best + 1);
    CHECKF(same_params(net, n.params[best]), "not the parameters of epoch %d", best + 1);
    CHECK(!same_params(net, n.params[best + 1]));
    free_notes(&n);
    cvn_destroy(net);
}

/* keep_best alone runs to the end, then goes back. */
static void test_keep_best(void)
{
    clouds c;
    notes n = new_notes();
    cvn_net *const net = mlp(16);
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer rough = cvn_sgd(2.0f, 0.5f);
    int best = 0;
    cvn_metrics m;
    make_sets(&c);
    memset(&m, 0, sizeof m);
    n.want_params = 1;
    o.epochs = 12;
    o.optimizer = &rough;
    o.keep_best = 1;
    o.callback = take_notes;
    o.user = &n;
    CHECKF(cvn_fit(net, &c.train, &c.valid, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_history_count(net) == 12 && n.epochs == 12);
    for (int e = 1; e < cvn_history_count(net); e++)
        if (cvn_history_at(net, e).valid_loss < cvn_history_at(net, best).valid_loss) best = e;
    CHECKF(same_params(net, n.params[best]), "not the parameters of epoch %d", best + 1);
    CHECK(cvn_evaluate(net, &c.valid, &m) == CVN_OK);
    CHECK_NEAR(m.loss, cvn_history_at(net, best).valid_loss, 1e-6);
    free_notes(&n);
    cvn_destroy(net);
}

static void test_callback_stops(void)
{
    clouds c;
    notes n = new_notes();
    cvn_net *const net = mlp(16);
    cvn_fit_options o = cvn_fit_defaults();
    make_sets(&c);
    o.epochs = 5;
    o.callback = take_notes;
    o.user = &n;
    n.stop_epoch = 2;
    n.stop_batch = 3;
    CHECKF(cvn_fit(net, &c.train, NULL, &o) == CVN_STOPPED, "%s", cvn_error(net));
    CHECKF(n.batches == 8 + 3 && n.epochs == 1, "%d batches, %d epochs", n.batches, n.epochs);
    CHECK(n.ends == 1 && n.end == CVN_STOPPED && n.in_order);
    n = new_notes();
    n.stop_epoch = 3;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_STOPPED);
    CHECKF(n.batches == 24 && n.epochs == 3, "%d batches, %d epochs", n.batches, n.epochs);
    CHECK(n.ends == 1 && cvn_history_count(net) == 3);
    n = new_notes();
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_OK);
    CHECK(n.batches == 40 && n.epochs == 5 && n.ends == 1 && n.end == CVN_OK && n.in_order);
    cvn_destroy(net);
}

/* ---- which samples, in which order ---- */

typedef struct source {                 /* a fill function that writes down what it was asked for */
    const clouds *c;
    cvn_node x, labels;
    int asked[512], count;
    int sizes[128], calls;
} source;

static cvn_result fill(void *user, cvn_net *net, const int *index, int n, int training)
{
    source *const s = (source *)user;
    float x[2 * 16];
    int labels[16];
    cvn_result result;
    if (n > 16) return CVN_ERROR_ARGUMENT;
    for (int i = 0; i < n; i++) {
        if (training && s->count < 512) s->asked[s->count++] = index[i];
        x[2 * i] = s->c->x[2 * index[i]];
        x[2 * i + 1] = s->c->x[2 * index[i] + 1];
        labels[i] = s->c->labels[index[i]];
    }
    if (training && s->calls < 128) s->sizes[s->calls++] = n;
    result = cvn_set_input(net, s->x, x, n);
    return result == CVN_OK ? cvn_set_labels(net, s->labels, labels, n) : result;
}

/* Trains on `count` samples by a fill function; what was asked for is in s. */
static void run_source(source *s, const clouds *c, int count, const cvn_fit_options *options)
{
    cvn_fit_options o = *options;
    cvn_data data;
    cvn_net *const net = cvn_create(NULL);
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    memset(s, 0, sizeof *s);
    memset(&data, 0, sizeof data);
    s->c = c;
    s->x = cvn_input_vector(net, 2);
    s->labels = d.labels = cvn_input_labels(net, NULL, 0);
    cvn_softmax_loss_ex(net, cvn_dense(net, s->x, 3), &d);
    data.count = count;
    data.fill = fill;
    data.user = s;
    build(net, 16);
    CHECKF(cvn_fit(net, &data, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

static int is_permutation(const int *order, int n)
{
    int seen[512];
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < n; i++) {
        if (order[i] < 0 || order[i] >= n || seen[order[i]]++) return 0;
    }
    return 1;
}

static void test_batches(void)
{
    clouds c;
    source s;
    cvn_fit_options o = cvn_fit_defaults();
    make_sets(&c);
    o.epochs = 2;
    o.batch = 4;
    run_source(&s, &c, 10, &o);
    CHECKF(s.calls == 6, "%d batches", s.calls);
    for (int i = 0; i < s.calls; i++)
        CHECKF(s.sizes[i] == (i % 3 < 2 ? 4 : 2), "batch %d has %d", i, s.sizes[i]);
    o.drop_last = 1;
    run_source(&s, &c, 10, &o);
    CHECKF(s.calls == 4, "%d batches with drop_last", s.calls);
    for (int i = 0; i < s.calls; i++) CHECK(s.sizes[i] == 4);
    run_source(&s, &c, 8, &o);
    CHECKF(s.calls == 4, "%d batches when nothing is left over", s.calls);
    o.batch = 0;
    o.drop_last = 0;
    run_source(&s, &c, 120, &o);
    CHECKF(s.calls == 16, "%d batches", s.calls);
    CHECK(s.sizes[0] == 16 && s.sizes[7] == 8);
}

static void test_shuffle(void)
{
    clouds c;
    source a, b;
    cvn_fit_options o = cvn_fit_defaults();
    int in_place = 0;
    make_sets(&c);
    o.epochs = 3;
    o.shuffle_seed = 7;
    run_source(&a, &c, 120, &o);
    CHECK(a.count == 360);
    for (int e = 0; e < 3; e++) CHECKF(is_permutation(a.asked + 120 * e, 120), "epoch %d", e);
    CHECKF(memcmp(a.asked, a.asked + 120, 120 * sizeof(int)) != 0, "the same order in two epochs");
    for (int i = 0; i < 120; i++) in_place += a.asked[i] == i;
    CHECKF(in_place < 12, "%d of 120 samples stand where they stood", in_place);
    run_source(&b, &c, 120, &o);
    CHECKF(!memcmp(a.asked, b.asked, 360 * sizeof(int)), "another order from the same seed");
    o.batch = 5;
    run_source(&b, &c, 120, &o);
    CHECKF(!memcmp(a.asked, b.asked, 360 * sizeof(int)), "another order with another batch");
    o.shuffle_seed = 8;
    run_source(&b, &c, 120, &o);
    CHECKF(memcmp(a.asked, b.asked, 120 * sizeof(int)) != 0, "the same order from another seed");
    o.no_shuffle = 1;
    run_source(&b, &c, 120, &o);
    for (int i = 0; i < 360; i++) CHECK(b.asked[i] == i % 120);
}

/* With a rate that moves nothing, the loss of an epoch is the mean over its samples, the last batch
 * by its size. */
static void test_epoch_loss(void)
{
    clouds c;
    cvn_net *const net = mlp(32);
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer still = cvn_sgd(1e-30f, 0);
    cvn_metrics m;
    make_sets(&c);
    memset(&m, 0, sizeof m);
    o.epochs = 1;
    o.optimizer = &still;
    CHECKF(cvn_fit(net, &c.valid, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_evaluate(net, &c.valid, &m) == CVN_OK);
    CHECK(m.count == 45);
    CHECK_NEAR(cvn_history_at(net, 0).loss, m.loss, 1e-5);
    CHECK_NEAR(cvn_history_at(net, 0).accuracy, m.accuracy, 1e-6);
    cvn_destroy(net);
}

static void test_schedule_in_fit(void)
{
    clouds c;
    notes n = new_notes();
    cvn_net *const net = mlp(16);
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer adam = cvn_adam(0.02f);
    make_sets(&c);
    o.epochs = 4;
    o.optimizer = &adam;
    o.schedule.kind = CVN_SCHEDULE_COSINE;
    o.schedule.warmup = 0.5f;
    o.callback = take_notes;
    o.user = &n;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_OK);
    CHECK(n.batches == 32 && n.batches_per_epoch == 8);
    for (int i = 0; i < 32; i++) {
        const double want = (double)cvn_schedule_lr(&o.schedule, 0.02f, i, 8, 4);
        CHECKF(fabs((double)n.rate[i] - want) <= 1e-9, "batch %d: rate %g, not %g", i,
               (double)n.rate[i], want);
    }
    cvn_destroy(net);
}

static void test_fit_errors(void)
{
    clouds c;
    cvn_net *net = new_mlp(NULL, 4, 3);
    cvn_fit_options o = cvn_fit_defaults();
    cvn_data data;
    cvn_optimizer bad = cvn_sgd(-1.0f, 0);
    make_sets(&c);
    o.epochs = 1;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_STATE);
    CHECK(cvn_fit(NULL, &c.train, NULL, &o) < 0);
    build(net, 16);
    CHECK(cvn_fit(net, NULL, NULL, &o) < 0);
    data = c.train;
    data.count = 0;
    CHECK(cvn_fit(net, &data, NULL, &o) < 0);
    data = c.train;
    data.images = NULL;
    CHECK(cvn_fit(net, &data, NULL, &o) < 0);
    data = c.train;
    data.labels = NULL;
    CHECK(cvn_fit(net, &data, NULL, &o) < 0);
    o.batch = 17;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_ARGUMENT);
    o.batch = 0;
    o.optimizer = &bad;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_ARGUMENT);
    bad.lr = (float)HUGE_VAL;
    CHECK(cvn_set_optimizer(net, &bad) == CVN_ERROR_ARGUMENT);
    o.optimizer = NULL;
    c.labels[50] = 3;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_error(net)[0] != 0);
    c.labels[50] = 0;
    CHECKF(cvn_fit(net, &c.train, NULL, &o) == CVN_OK, "after errors: %s", cvn_error(net));
    CHECK(cvn_history_count(net) == 1);
    CHECK(cvn_build_infer(net, 4) == CVN_OK);
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_STATE);
    cvn_destroy(net);
}

/* ---- same bits ---- */

/* The tasks of a job from the last to the first: a job system may run them in any order. */
static void backwards(void *user, int count, void (*run)(void *context, int index), void *context)
{
    *(int *)user += count > 1;
    for (int i = count - 1; i >= 0; i--) run(context, i);
}

static float *train_convnet(const cvn_desc *desc, size_t *count)
{
    static float x[IMAGES * PIXELS];
    int labels[IMAGES];
    cvn_augment augment;
    cvn_data data = set_of(x, labels, IMAGES);
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *const net = new_convnet(desc);
    float *params;
    make_stripes(x, labels, IMAGES, 3);
    memset(&augment, 0, sizeof augment);
    augment.shift = 1;
    augment.flip = 1;
    augment.noise = 0.1f;
    data.augment = &augment;
    o.epochs = 2;
    build(net, 16);
    CHECKF(cvn_fit(net, &data, NULL, &o) == CVN_OK, "%s", cvn_error(net));
    params = copy_params(net, count);
    cvn_destroy(net);
    return params;
}

static void test_threads(void)
{
    static const int threads[] = { 2, 3, 7 };
    cvn_desc desc = cvn_desc_defaults();
    size_t n = 0;
    size_t m = 0;
    int jobs = 0;
    float *one, *other;
    desc.threads = 1;
    one = train_convnet(&desc, &n);
    for (int i = 0; i < 3; i++) {
        desc.threads = threads[i];
        other = train_convnet(&desc, &m);
        CHECKF(m == n && !memcmp(one, other, n * sizeof(float)), "%d threads differ from 1",
               threads[i]);
        free(other);
    }
    desc.parallel_for = backwards;
    desc.parallel_user = &jobs;
    other = train_convnet(&desc, &m);
    CHECKF(m == n && !memcmp(one, other, n * sizeof(float)),
           "a job system with 7 workers differs from 1 thread");
    CHECK(jobs > 0);
    free(other);
    desc = cvn_desc_defaults();
    desc.seed = 5;
    other = train_convnet(&desc, &m);
    CHECKF(m == n && memcmp(one, other, n * sizeof(float)) != 0, "another seed makes the same net");
    free(other);
    free(one);
}

/* Runs 4 epochs, stopping after (epoch, batch) and going on; epoch 0: without a stop. The net is
 * returned. */
static cvn_net *run_with_stop(int epoch, int batch)
{
    static float x[IMAGES * PIXELS];
    static float valid_x[10 * PIXELS];
    int labels[IMAGES];
    int valid_labels[10];
    cvn_augment augment;
    cvn_data data = set_of(x, labels, IMAGES);
    const cvn_data valid = set_of(valid_x, valid_labels, 10);
    const cvn_optimizer optimizer = cvn_sgd(0.01f, 0.9f);
    cvn_fit_options o = cvn_fit_defaults();
    notes n = new_notes();
    cvn_net *const net = new_convnet(NULL);
    make_stripes(x, labels, IMAGES, 3);
    make_stripes(valid_x, valid_labels, 10, 4);
    memset(&augment, 0, sizeof augment);
    augment.shift = 1;
    augment.brightness = 0.2f;
    data.augment = &augment;
    o.epochs = 4;
    o.optimizer = &optimizer;
    o.schedule.kind = CVN_SCHEDULE_COSINE;
    o.callback = take_notes;
    o.user = &n;
    n.stop_epoch = epoch;
    n.stop_batch = batch;
    build(net, 8);
    CHECKF(cvn_fit(net, &data, &valid, &o) == (epoch ? CVN_STOPPED : CVN_OK), "%s", cvn_error(net));
    if (!epoch) return net;
    n.stop_epoch = 0;
    o.resume = 1;
    CHECKF(cvn_fit(net, &data, &valid, &o) == CVN_OK, "%s", cvn_error(net));
    CHECKF(n.batches == 20 && n.epochs == 4, "%d batches, %d epochs", n.batches, n.epochs);
    return net;
}

static void test_resume(void)
{
    static const int stops[][2] = { { 2, 3 }, { 1, 1 }, { 3, 5 }, { 2, 0 }, { 4, 0 } };
    cvn_net *const whole = run_with_stop(0, 0);
    float *const params = copy_params(whole, NULL);
    for (int i = 0; i < 5; i++) {
        cvn_net *net;
        test_case("stopped in epoch %d after batch %d (0: at its end)", stops[i][0], stops[i][1]);
        net = run_with_stop(stops[i][0], stops[i][1]);
        CHECKF(same_params(net, params), "other parameters");
        CHECKF(cvn_history_count(net) == 4, "%d entries", cvn_history_count(net));
        for (int e = 0; e < 4; e++) {
            const cvn_history a = cvn_history_at(whole, e);
            const cvn_history b = cvn_history_at(net, e);
            CHECKF(!memcmp(&a.loss, &b.loss, sizeof a.loss), "epoch %d: loss %.9g and %.9g", e,
                   (double)a.loss, (double)b.loss);
            CHECKF(!memcmp(&a.valid_loss, &b.valid_loss, sizeof a.loss),
                   "epoch %d: validation %.9g and %.9g", e, (double)a.valid_loss,
                   (double)b.valid_loss);
            CHECKF(!memcmp(&a.lr, &b.lr, sizeof a.lr), "epoch %d: rate %g and %g", e, (double)a.lr,
                   (double)b.lr);
            CHECK(!memcmp(&a.accuracy, &b.accuracy, sizeof a.accuracy));
        }
        cvn_destroy(net);
    }
    free(params);
    cvn_destroy(whole);
}

/* ---- evaluation and prediction ---- */

/* Naive metrics from logits [n, 7]. */
static void count_naively(const float *logits, const int *labels, int n, cvn_metrics *m)
{
    m->loss = m->accuracy = m->top5 = 0;
    for (int i = 0; i < n; i++) {
        const float *const z = logits + 7 * i;
        double sum = 0;
        int above = 0;
        int best = 0;
        for (int k = 0; k < 7; k++) {
            sum += exp((double)z[k]);
            above += z[k] > z[labels[i]];
            if (z[k] > z[best]) best = k;
        }
        m->loss += (log(sum) - (double)z[labels[i]]) / n;
        m->accuracy += (best == labels[i]) / (double)n;
        m->top5 += (above < 5) / (double)n;
        m->confusion[7 * labels[i] + best]++;
    }
}

static void test_evaluate(void)
{
    float x[2 * 61], logits[7 * 61];
    int labels[61], confusion[49], naive_confusion[49];
    cvn_metrics m, naive;
    const cvn_data data = set_of(x, labels, 61);
    cvn_net *const net = new_mlp(NULL, 16, 7);
    make_clouds(x, labels, 61, 7, 1.0f, 9);
    memset(&m, 0, sizeof m);
    memset(&naive, 0, sizeof naive);
    memset(confusion, 0, sizeof confusion);
    memset(naive_confusion, 0, sizeof naive_confusion);
    m.classes = 7;
    m.confusion = confusion;
    naive.confusion = naive_confusion;
    build(net, 8);
    CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_predict(net, x, 61, logits) == CVN_OK);
    count_naively(logits, labels, 61, &naive);
    CHECK(m.count == 61);
    CHECK_NEAR(m.loss, naive.loss, 1e-5);
    CHECK_NEAR(m.accuracy, naive.accuracy, 1e-9);
    CHECK_NEAR(m.top5, naive.top5, 1e-9);
    CHECK(m.top5 > m.accuracy && m.top5 < 1);
    CHECK(!memcmp(confusion, naive_confusion, sizeof confusion));
    memset(&m, 0, sizeof m);
    CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "without a confusion matrix: %s",
           cvn_error(net));
    CHECK_NEAR(m.loss, naive.loss, 1e-5);
    labels[60] = 7;
    CHECK(cvn_evaluate(net, &data, &m) == CVN_ERROR_ARGUMENT);
    cvn_destroy(net);
}

/* Without labels there is a loss but no accuracy; regression has targets. */
static void test_evaluate_regression(void)
{
    float x[2 * 11], t[11], y[11];
    int labels[11];
    cvn_metrics m;
    double sum = 0;
    cvn_data data = set_of(x, NULL, 11);
    cvn_net *const net = cvn_create(NULL);
    const cvn_node out = cvn_dense(net, cvn_input_vector(net, 2), 1);
    cvn_mse_loss(net, out, cvn_target(net, out));
    memset(&m, 0, sizeof m);
    make_clouds(x, labels, 11, 3, 1, 4);
    for (int i = 0; i < 11; i++) t[i] = 2 * x[2 * i] - x[2 * i + 1];
    data.targets = t;
    build(net, 4);
    CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_predict(net, x, 11, y) == CVN_OK);
    for (int i = 0; i < 11; i++)
        sum += ((double)y[i] - (double)t[i]) * ((double)y[i] - (double)t[i]) / 11;
    CHECK_NEAR(m.loss, sum, 1e-5 * (1 + sum));
    CHECK(m.accuracy != m.accuracy);
    cvn_destroy(net);
}

static void test_predict(void)
{
    clouds c;
    float all[3 * 45], some[3 * 7], p[45];
    int found[45];
    cvn_net *const net = mlp(7);
    make_sets(&c);
    CHECKF(cvn_predict(net, c.other_x, 45, all) == CVN_OK, "%s", cvn_error(net));
    for (int i = 0; i < 45; i += 7) {
        const int n = 45 - i < 7 ? 45 - i : 7;
        CHECK(cvn_predict(net, c.other_x + 2 * i, n, some) == CVN_OK);
        CHECKF(!memcmp(some, all + 3 * i, (size_t)n * 3 * sizeof(float)), "samples from %d", i);
    }
    CHECK(cvn_predict(net, c.other_x + 2 * 20, 1, some) == CVN_OK);
    CHECKF(largest_difference(some, all + 3 * 20, 3) < 1e-6, "one sample alone");
    CHECK(cvn_classify(net, c.other_x, 45, found, p) == CVN_OK);
    for (int i = 0; i < 45; i++) {
        const float *const z = all + 3 * i;
        double sum = 0;
        int best = 0;
        for (int k = 1; k < 3; k++) if (z[k] > z[best]) best = k;
        for (int k = 0; k < 3; k++) sum += exp((double)z[k] - (double)z[best]);
        CHECKF(found[i] == best, "sample %d: class %d, not %d", i, found[i], best);
        CHECK_NEAR(p[i], 1 / sum, 1e-5);
    }
    memset(found, 0, sizeof found);
    CHECK(cvn_classify(net, c.other_x, 45, found, NULL) == CVN_OK);
    cvn_destroy(net);
}

/* ---- numbers that are none ---- */

static void test_nan_names_the_layer(void)
{
    clouds c;
    cvn_net *const net = mlp(16);
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer huge = cvn_sgd(1e30f, 0);
    const cvn_optimizer adam = cvn_adam(1e-3f);
    cvn_param p;
    make_sets(&c);
    o.epochs = 3;
    p = cvn_param_find(net, "fc2.weight");
    if (!CHECK(p.value != NULL)) return;
    p.value[5] = NAN;
    cvn_touch(net);
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_NUMBER);
    CHECKF(strstr(cvn_error(net), "fc2") && !strstr(cvn_error(net), "fc1"), "\"%s\"",
           cvn_error(net));

    CHECK(cvn_init_parameters(net, 0) == CVN_OK);
    o.optimizer = &huge;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_NUMBER);
    CHECKF(strstr(cvn_error(net), "fc"), "\"%s\"", cvn_error(net));

    CHECK(cvn_init_parameters(net, 0) == CVN_OK);
    o.optimizer = &adam;
    c.x[77] = NAN;
    CHECK(cvn_fit(net, &c.train, NULL, &o) == CVN_ERROR_NUMBER);
    CHECKF(cvn_error(net)[0] != 0 && !strstr(cvn_error(net), "fc2"), "\"%s\"", cvn_error(net));

    c.x[77] = 0;
    CHECK(cvn_init_parameters(net, 0) == CVN_OK);
    CHECKF(cvn_fit(net, &c.train, NULL, &o) == CVN_OK, "afterwards: %s", cvn_error(net));
    cvn_destroy(net);
}

/* ---- cvn_check ---- */

static int contains(const char *text, const char *word)
{
    for (; *text; text++) {
        size_t i = 0;
        while (word[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)word[i])) i++;
        if (!word[i]) return 1;
    }
    return 0;
}

/* cvn_check finds something and says `word` or `other`. */
static void check_says(cvn_net *net, const cvn_data *data, const char *word, const char *other)
{
    char text[2000] = "";
    const int n = cvn_check(net, data, text, sizeof text);
    CHECKF(n > 0, "finds nothing (%d, %s)", n, cvn_error(net));
    CHECKF(n == (int)strlen(text), "returns %d for %d bytes", n, (int)strlen(text));
    CHECKF(contains(text, word) || contains(text, other), "says \"%s\"", text);
}

static void test_check_finds_nothing(void)
{
    clouds c;
    char text[2000] = "";
    float *params;
    int n;
    cvn_net *const net = mlp(60);
    cvn_net *const twin = mlp(60);
    make_sets(&c);
    params = copy_params(net, NULL);
    n = cvn_check(net, &c.train, text, sizeof text);
    CHECKF(n == 0 && !text[0], "returns %d: %s", n, text);
    CHECKF(same_params(net, params), "the parameters are others than before");
    for (int i = 0; i < 3; i++) {
        CHECK(cvn_train_batch(net, c.x, c.labels, 60, NULL) == CVN_OK);
        CHECK(cvn_train_batch(twin, c.x, c.labels, 60, NULL) == CVN_OK);
    }
    free(params);
    params = copy_params(twin, NULL);
    CHECKF(same_params(net, params), "training after cvn_check goes another way");
    free(params);
    cvn_destroy(twin);
    cvn_destroy(net);
}

/* Every loss over classes has its labels looked at. */
static void test_check_labels(void)
{
    for (int loss = 0; loss < 3; loss++) {
        cvn_net *const net = cvn_create(NULL);
        const cvn_node none = { 0 };
        clouds c;
        cvn_node y = cvn_dense(net, cvn_input_vector(net, 2), 3);
        make_sets(&c);
        test_case("loss %d", loss);
        if (loss == 0) cvn_softmax_loss(net, y);
        if (loss == 1) cvn_nll_loss(net, cvn_log_softmax(net, y), none);
        if (loss == 2) cvn_multi_margin_loss(net, y, none);
        build(net, 60);
        c.labels[4] = -100;                             /* does not count */
        CHECK(cvn_check(net, &c.train, NULL, 0) == 0);
        c.labels[4] = 3;
        check_says(net, &c.train, "1 of 60 labels are not in 0..2", "(one is 3)");
        for (int i = 0; i < 120; i++) c.labels[i] = 1;
        check_says(net, &c.train, "all 60 labels that were looked at are 1", "all 60");
        cvn_destroy(net);
    }
}

/* The same with running statistics, dropout and momentum in the state, and after training. */
static void test_check_restores(void)
{
    static float x[IMAGES * PIXELS];
    int labels[IMAGES];
    char text[2000];
    float *params;
    const cvn_data data = set_of(x, labels, IMAGES);
    cvn_net *const net = new_convnet(NULL);
    cvn_net *const twin = new_convnet(NULL);
    make_stripes(x, labels, IMAGES, 3);
    build(net, 16);
    build(twin, 16);
    for (int i = 0; i < 4; i++) {
        if (i == 2) CHECK(cvn_check(net, &data, text, sizeof text) >= 0);
        CHECK(cvn_train_batch(net, x, labels, 16, NULL) == CVN_OK);
        CHECK(cvn_train_batch(twin, x, labels, 16, NULL) == CVN_OK);
    }
    params = copy_params(twin, NULL);
    CHECKF(same_params(net, params), "training after cvn_check goes another way");
    free(params);
    cvn_destroy(twin);
    cvn_destroy(net);
}

static void test_check_data(void)
{
    clouds c;
    char text[8];
    cvn_net *const net = mlp(60);
    make_sets(&c);
    test_case("values from 0 to 255");
    for (int i = 0; i < 240; i++) c.x[i] = 127.5f + 60 * c.x[i];
    check_says(net, &c.train, "normalis", "mean");
    CHECKF(cvn_check(net, &c.train, text, sizeof text) > 7 && strlen(text) == 7,
           "does not cut as snprintf does");
    CHECK(cvn_check(net, &c.train, NULL, 0) > 7);
    test_case("constant input");
    for (int i = 0; i < 240; i++) c.x[i] = 0.25f;
    check_says(net, &c.train, "constant", "same");
    test_case("a NaN in the input");
    make_sets(&c);
    c.x[13] = NAN;
    check_says(net, &c.train, "nan", "finite");
    test_case("label out of range");
    make_sets(&c);
    c.labels[4] = 7;
    check_says(net, &c.train, "label", "label");
    c.labels[4] = -3;
    check_says(net, &c.train, "label", "label");
    test_case("one class");
    memset(c.labels, 0, sizeof c.labels);
    check_says(net, &c.train, "class", "label");
    cvn_destroy(net);
}

static void test_check_net(void)
{
    clouds c;
    cvn_net *const net = mlp(60);
    cvn_optimizer o = cvn_sgd(1e3f, 0);
    cvn_param p;
    make_sets(&c);
    test_case("learning rate 1000");
    CHECK(cvn_set_optimizer(net, &o) == CVN_OK);
    check_says(net, &c.train, "rate", "rate");
    test_case("learning rate 1e-9");
    o.lr = 1e-9f;
    CHECK(cvn_set_optimizer(net, &o) == CVN_OK);
    check_says(net, &c.train, "rate", "rate");
    test_case("dead ReLUs");
    o = cvn_adam(1e-3f);
    CHECK(cvn_set_optimizer(net, &o) == CVN_OK);
    p = cvn_param_find(net, "fc1.bias");
    for (size_t i = 0; i < p.count; i++) p.value[i] = -1000;
    cvn_touch(net);
    check_says(net, &c.train, "relu", "dead");
    test_case("an initial loss far from chance");
    CHECK(cvn_init_parameters(net, 0) == CVN_OK);
    p = cvn_param_find(net, "fc2.weight");
    for (size_t i = 0; i < p.count; i++) p.value[i] *= 1000;
    cvn_touch(net);
    check_says(net, &c.train, "loss", "loss");
    cvn_destroy(net);
}

/* A set in the order of its classes, as a loader of folders makes it: cvn_fit shuffles, so that is
 * no finding. */
static void test_check_sorted(void)
{
    clouds c;
    cvn_data sorted;
    float x[2 * 120];
    int labels[120], n = 0;
    char text[400] = "";
    cvn_net *const net = mlp(16);
    make_sets(&c);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 120; i++) {
            if (c.labels[i] != k) continue;
            x[2 * n] = c.x[2 * i];
            x[2 * n + 1] = c.x[2 * i + 1];
            labels[n++] = k;
        }
    sorted = set_of(x, labels, 120);
    CHECKF(cvn_check(net, &sorted, text, sizeof text) == 0, "%s", text);
    cvn_destroy(net);
}

static void test_check_errors(void)
{
    clouds c;
    char text[200];
    cvn_net *const net = new_mlp(NULL, 4, 3);
    make_sets(&c);
    CHECK(cvn_check(NULL, &c.train, text, sizeof text) < 0);
    CHECK(cvn_check(net, &c.train, text, sizeof text) == CVN_ERROR_STATE);
    build(net, 8);
    CHECK(cvn_check(net, NULL, text, sizeof text) < 0);
    cvn_destroy(net);
}

/* ---- steps by hand ---- */

static int forward_backward(cvn_net *net, cvn_node x, cvn_node labels, const float *values,
                            const int *classes, int n)
{
    return cvn_set_input(net, x, values, n) == CVN_OK &&
           cvn_set_labels(net, labels, classes, n) == CVN_OK && cvn_forward(net) == CVN_OK &&
           cvn_backward(net) == CVN_OK;
}

/* 2 -> 16 relu -> 3 with the label input in hand. */
static cvn_net *mlp_by_hand(cvn_node *x, cvn_node *labels)
{
    cvn_net *const net = cvn_create(NULL);
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    *x = cvn_input_vector(net, 2);
    *labels = d.labels = cvn_input_labels(net, NULL, 0);
    cvn_softmax_loss_ex(net, cvn_dense(net, cvn_relu(net, cvn_dense(net, *x, 16)), 3), &d);
    build(net, 16);
    return net;
}

/* The loss is a mean: two halves add up to twice the gradient of the whole. */
static void test_gradient_accumulation(void)
{
    clouds c;
    cvn_node x, labels;
    float halves[128];
    size_t n = 0;
    cvn_net *const net = mlp_by_hand(&x, &labels);
    const float *const g = cvn_flat_gradients(net, &n);
    make_sets(&c);
    if (CHECKF(g && n >= 99 && n <= 128, "%d gradients", (int)n)) {
        CHECK(forward_backward(net, x, labels, c.x, c.labels, 8));
        CHECK(forward_backward(net, x, labels, c.x + 16, c.labels + 8, 8));
        for (size_t i = 0; i < n; i++) halves[i] = 0.5f * g[i];
        CHECK(cvn_zero_grad(net) == CVN_OK);
        for (size_t i = 0; i < n; i++) CHECK(g[i] == 0);
        CHECK(forward_backward(net, x, labels, c.x, c.labels, 16));
        CHECKF(largest_difference(g, halves, n) < 1e-6, "differ by %g",
               largest_difference(g, halves, n));
        CHECK(largest_difference(g, halves, n) < HUGE_VAL &&
              fabs((double)g[0]) + fabs((double)g[n - 1]) > 0);
        CHECK(cvn_step(net) == CVN_OK);
        for (size_t i = 0; i < n; i++) CHECK(g[i] == 0);
    }
    cvn_destroy(net);
}

static void test_train_batch_is_three_calls(void)
{
    clouds c;
    cvn_node x, labels;
    float loss = 0;
    float *params;
    cvn_net *const a = mlp_by_hand(&x, &labels);
    cvn_net *const b = mlp(16);
    make_sets(&c);
    for (int i = 0; i < 3; i++) {
        CHECK(forward_backward(a, x, labels, c.x + 32 * i, c.labels + 16 * i, 16));
        CHECK(cvn_step(a) == CVN_OK);
        CHECK(cvn_train_batch(b, c.x + 32 * i, c.labels + 16 * i, 16, &loss) == CVN_OK);
        CHECK_NEAR(loss, cvn_loss(a), 0);
    }
    CHECK(cvn_train_batch(b, c.x, c.labels, 5, NULL) == CVN_OK);
    CHECK(forward_backward(a, x, labels, c.x, c.labels, 5) && cvn_step(a) == CVN_OK);
    params = copy_params(a, NULL);
    CHECK(same_params(b, params));
    free(params);
    CHECK(cvn_train_batch(b, c.x, c.labels, 17, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_train_batch(b, c.x, c.labels, 0, NULL) == CVN_ERROR_ARGUMENT);
    c.labels[3] = 3;
    CHECK(cvn_train_batch(b, c.x, c.labels, 16, NULL) == CVN_ERROR_ARGUMENT);
    c.labels[3] = -1;
    CHECK(cvn_train_batch(b, c.x, c.labels, 16, NULL) == CVN_ERROR_ARGUMENT);
    cvn_destroy(b);
    cvn_destroy(a);
}

/* A linear map is learnt exactly. */
static void test_train_batch_target(void)
{
    clouds c;
    float t[2 * 16];
    float loss = 1;
    cvn_net *const net = cvn_create(NULL);
    const cvn_node y = cvn_dense(net, cvn_input_vector(net, 2), 2);
    const cvn_optimizer sgd = cvn_sgd(0.2f, 0.5f);
    cvn_param w;
    make_sets(&c);
    for (int i = 0; i < 16; i++) {
        t[2 * i] = 3 * c.x[2 * i] - c.x[2 * i + 1] + 0.5f;
        t[2 * i + 1] = -c.x[2 * i];
    }
    cvn_mse_loss(net, y, cvn_target(net, y));
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    build(net, 16);
    for (int i = 0; i < 200; i++) CHECK(cvn_train_batch_target(net, c.x, t, 16, &loss) == CVN_OK);
    CHECKF(loss < 1e-6f, "loss %g", (double)loss);
    w = cvn_param_find(net, "fc1.weight");
    if (CHECK(w.value && w.count == 4)) {
        CHECK_NEAR(w.value[0], 3, 1e-3);
        CHECK_NEAR(w.value[1], -1, 1e-3);
        CHECK_NEAR(w.value[2], -1, 1e-3);
        CHECK_NEAR(w.value[3], 0, 1e-3);
        CHECK_NEAR(cvn_param_find(net, "fc1.bias").value[0], 0.5, 1e-3);
    }
    cvn_destroy(net);
}

/* Bytes, weights, an index: batches by hand take the way of cvn_fit, to the last bit. */
static void test_set_samples_is_fit(void)
{
    static unsigned char bytes[24 * 16];
    int labels[24], index[20], order[20];
    float weights[24];
    uint32_t seed = 5;
    cvn_data d;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_net *nets[2];
    memset(&d, 0, sizeof d);
    for (int i = 0; i < 24 * 16; i++) bytes[i] = (unsigned char)(int)(127 + 100 * noise(&seed));
    for (int i = 0; i < 24; i++) {
        labels[i] = i % 3;
        weights[i] = 0.5f + (float)(i % 4);
    }
    for (int i = 0; i < 20; i++) {
        index[i] = (7 * i) % 22;
        order[i] = i;
    }
    d.count = 20;
    d.first = 2;
    d.index = index;
    d.bytes = bytes;
    d.labels = labels;
    d.weights = weights;
    d.channels = 1;
    d.height = d.width = 4;
    d.mean[0] = 0.5f;
    d.std[0] = 0.25f;
    for (int k = 0; k < 2; k++) {
        nets[k] = cvn_create(NULL);
        cvn_softmax_loss(nets[k], cvn_dense(nets[k], cvn_input(nets[k], 1, 4, 4), 3));
        build(nets[k], 8);
    }
    o.epochs = 1;
    o.no_shuffle = 1;
    CHECK(cvn_fit(nets[0], &d, NULL, &o) == CVN_OK);
    for (int i = 0; i < 20; i += 8) {
        CHECKF(cvn_set_samples(nets[1], &d, order + i, i < 16 ? 8 : 4, 1) == CVN_OK, "%s",
               cvn_error(nets[1]));
        CHECK(cvn_forward(nets[1]) == CVN_OK && cvn_backward(nets[1]) == CVN_OK);
        CHECK(cvn_step(nets[1]) == CVN_OK);
    }
    CHECK(memcmp(cvn_flat_parameters(nets[0], NULL), cvn_flat_parameters(nets[1], NULL),
                 51 * sizeof(float)) == 0);
    for (int k = 0; k < 2; k++) cvn_destroy(nets[k]);
}

/* Augmented for training alone, anew with each training pass; what is wrong is said. */
static void test_set_samples(void)
{
    float x[3 * 16], seen[2][16];
    int labels[3] = { 0, 1, 2 };
    const int one[1] = { 2 }, outside[1] = { 3 };
    cvn_augment augment;
    cvn_data d;
    cvn_net *const net = cvn_create(NULL);
    const cvn_node in = cvn_input(net, 1, 4, 4);
    memset(&augment, 0, sizeof augment);
    for (int i = 0; i < 3 * 16; i++) x[i] = (float)i;
    d = set_of(x, labels, 3);
    augment.noise = 1;
    d.augment = &augment;
    cvn_softmax_loss(net, cvn_dense(net, in, 3));
    CHECK(cvn_set_samples(net, &d, one, 1, 0) == CVN_ERROR_STATE);
    build(net, 2);
    CHECK(cvn_set_samples(net, &d, one, 1, 0) == CVN_OK);
    CHECK(memcmp(cvn_value(net, in), x + 32, 16 * sizeof(float)) == 0);
    for (int k = 0; k < 2; k++) {
        CHECK(cvn_set_samples(net, &d, one, 1, 1) == CVN_OK);
        memcpy(seen[k], cvn_value(net, in), sizeof seen[k]);
        CHECK(cvn_forward(net) == CVN_OK);
    }
    CHECK(memcmp(seen[0], x + 32, sizeof seen[0]) != 0 &&
          memcmp(seen[0], seen[1], sizeof seen[0]) != 0);
    CHECK(cvn_set_samples(net, &d, outside, 1, 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_samples(net, &d, NULL, 1, 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_samples(net, &d, labels, 3, 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_samples(net, NULL, one, 1, 0) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_samples(NULL, &d, one, 1, 0) < 0);
    d.labels = NULL;
    CHECK(cvn_set_samples(net, &d, one, 1, 0) == CVN_ERROR_ARGUMENT);
    cvn_destroy(net);
}

/* A source of its own is asked for the numbers of the samples. */
static void test_set_samples_of_a_source(void)
{
    clouds c;
    source s;
    cvn_data d;
    cvn_net *const net = cvn_create(NULL);
    cvn_softmax_loss_desc l = cvn_softmax_loss_defaults();
    const int index[3] = { 5, 1, 4 };
    make_sets(&c);
    memset(&s, 0, sizeof s);
    memset(&d, 0, sizeof d);
    s.c = &c;
    s.x = cvn_input_vector(net, 2);
    s.labels = l.labels = cvn_input_labels(net, NULL, 0);
    cvn_softmax_loss_ex(net, cvn_dense(net, s.x, 3), &l);
    d.count = 6;
    d.first = 10;
    d.fill = fill;
    d.user = &s;
    build(net, 16);
    CHECK(cvn_set_samples(net, &d, index, 3, 1) == CVN_OK && s.count == 3);
    for (int i = 0; i < 3; i++) CHECK(s.asked[i] == 10 + index[i]);
    CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK);
    cvn_destroy(net);
}

/* Who forgets the loss is told so, and does not train for nothing. */
static void test_no_loss(void)
{
    clouds c;
    float loss = 1;
    const float seed[3] = { 1, 0, 0 };
    cvn_net *const net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 2);
    const cvn_node y = cvn_dense(net, x, 3);
    make_sets(&c);
    cvn_want_grad(net, y);
    build(net, 4);
    CHECK(cvn_train_batch(net, c.x, c.labels, 4, &loss) == CVN_ERROR_STATE);
    CHECKF(strstr(cvn_error(net), "cvn_train_batch: the net has no loss") != NULL, "%s",
           cvn_error(net));
    CHECK(cvn_set_input(net, x, c.x, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK(cvn_backward(net) == CVN_ERROR_STATE);
    CHECK(cvn_backward_from(net, y, seed) == CVN_OK);
    cvn_destroy(net);
}

/* A single output with a target: the two sides are the classes of the confusion matrix. */
static void test_evaluate_binary(void)
{
    const float x[4] = { -2, -1, 1, 2 };
    const float targets[4] = { 0, 1, 1, 1 };
    int confusion[4] = { 9, 9, 9, 9 };
    cvn_data d;
    cvn_metrics m;
    cvn_net *const net = cvn_create(NULL);
    const cvn_node y = cvn_dense(net, cvn_input_vector(net, 1), 1);
    cvn_bce_with_logits_loss(net, y, cvn_target(net, y));
    build(net, 3);
    cvn_param_find(net, "fc1.weight").value[0] = 1;
    cvn_touch(net);
    memset(&d, 0, sizeof d);
    memset(&m, 0, sizeof m);
    d.count = 4;
    d.images = x;
    d.targets = targets;
    m.classes = 2;
    m.confusion = confusion;
    CHECK(cvn_evaluate(net, &d, &m) == CVN_OK && m.accuracy == 0.75);
    CHECK(confusion[0] == 1 && confusion[1] == 0 && confusion[2] == 1 && confusion[3] == 2);
    cvn_destroy(net);
}

/* Two heads on one trunk: the sum of the losses, and the sum of what each alone sends back. */
static void test_several_losses(void)
{
    clouds c;
    float t[2 * 16], trunk[3][64];
    cvn_param w;
    make_sets(&c);
    memset(trunk, 0, sizeof trunk);
    for (int i = 0; i < 32; i++) t[i] = c.x[i] * 2 + 1;
    for (int run = 0; run < 3; run++) {
        const float weights[3][2] = { { 0.7f, 0.3f }, { 0.7f, 0.0f }, { 0.0f, 0.3f } };
        cvn_net *const net = cvn_create(NULL);
        const cvn_node x = cvn_input_vector(net, 2);
        const cvn_node h = cvn_tanh(net, cvn_name(net, cvn_dense(net, x, 8), "trunk"));
        const cvn_node logits = cvn_name(net, cvn_dense(net, h, 3), "head1");
        const cvn_node y = cvn_name(net, cvn_dense(net, h, 2), "head2");
        const cvn_node target = cvn_target(net, y);
        cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
        cvn_node ce, mse;
        d.labels = cvn_input_labels(net, NULL, 0);
        ce = cvn_softmax_loss_ex(net, logits, &d);
        mse = cvn_mse_loss(net, y, target);
        cvn_add_loss(net, ce, weights[run][0]);
        cvn_add_loss(net, mse, weights[run][1]);
        if (!build(net, 16)) return;
        CHECK(cvn_set_input(net, target, t, 16) == CVN_OK);
        CHECK(forward_backward(net, x, d.labels, c.x, c.labels, 16));
        if (CHECK(cvn_value(net, ce) && cvn_value(net, mse))) {
            const float want = weights[run][0] * *cvn_value(net, ce) +
                               weights[run][1] * *cvn_value(net, mse);
            CHECK_NEAR(cvn_loss(net), want, 1e-6);
        }
        w = cvn_param_find(net, "trunk.weight");
        if (CHECK(w.gradient && w.count == 16))
            memcpy(trunk[run], w.gradient, w.count * sizeof(float));
        cvn_destroy(net);
    }
    for (int i = 0; i < 16; i++) CHECK_NEAR(trunk[0][i], trunk[1][i] + trunk[2][i], 1e-6);
    CHECK(fabs((double)trunk[1][0]) > 1e-6 && fabs((double)trunk[2][0]) > 1e-6);
}

/* desc.weight of a loss is its factor too. */
static void test_loss_weight_of_desc(void)
{
    clouds c;
    float loss = 0;
    cvn_net *const net = cvn_create(NULL);
    const cvn_node y = cvn_dense(net, cvn_input_vector(net, 2), 3);
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    cvn_node node;
    make_sets(&c);
    d.weight = 2.5f;
    node = cvn_softmax_loss_ex(net, y, &d);
    build(net, 16);
    CHECK(cvn_train_batch(net, c.x, c.labels, 16, &loss) == CVN_OK);
    if (CHECK(cvn_value(net, node) != NULL)) CHECK_NEAR(loss, 2.5f * *cvn_value(net, node), 1e-6);
    cvn_destroy(net);
}

/* ---- what changes and what does not ---- */

typedef struct snapshot {               /* dense, batch norm, relu, dense */
    float w1[32], b1[16], gamma[16], beta[16], mean[16], w2[48], b2[3];
} snapshot;

static void take(cvn_net *net, const char *name, float *to, size_t count)
{
    const cvn_param p = cvn_param_find(net, name);
    if (CHECKF(p.value && p.count == count, "%s: %d elements", name, (int)p.count))
        memcpy(to, p.value, count * sizeof(float));
}

static snapshot take_all(cvn_net *net)
{
    snapshot s;
    memset(&s, 0, sizeof s);
    take(net, "fc1.weight", s.w1, 32);
    take(net, "fc1.bias", s.b1, 16);
    take(net, "bn1.weight", s.gamma, 16);
    take(net, "bn1.bias", s.beta, 16);
    take(net, "bn1.running_mean", s.mean, 16);
    take(net, "fc2.weight", s.w2, 48);
    take(net, "fc2.bias", s.b2, 3);
    return s;
}

typedef struct norm_net { cvn_net *net; cvn_node fc1, bn1, fc2; } norm_net;

static norm_net new_norm_net(const cvn_optimizer *optimizer)
{
    norm_net n;
    n.net = cvn_create(NULL);
    n.fc1 = cvn_dense(n.net, cvn_input_vector(n.net, 2), 16);
    n.bn1 = cvn_batchnorm(n.net, n.fc1);
    n.fc2 = cvn_dense(n.net, cvn_relu(n.net, n.bn1), 3);
    cvn_softmax_loss(n.net, n.fc2);
    CHECK(cvn_set_optimizer(n.net, optimizer) == CVN_OK);
    return n;
}

/* Biases and the norm's factors away from 0, so that decay would show. */
static void lift_params(cvn_net *net)
{
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        if (p.trainable) for (size_t e = 0; e < p.count; e++) p.value[e] += 0.5f;
    }
    cvn_touch(net);
}

/* A step with gradients of zero: decay alone. */
static void decay_step(cvn_net *net, const clouds *c)
{
    float *const w = copy_params(net, NULL);
    size_t n = 0;
    float *const p = cvn_flat_parameters(net, &n);
    CHECK(cvn_train_batch(net, c->x, c->labels, 16, NULL) == CVN_OK);
    if (p && w) memcpy(p, w, n * sizeof(float));
    cvn_touch(net);
    CHECK(cvn_zero_grad(net) == CVN_OK && cvn_step(net) == CVN_OK);
    free(w);
}

static void check_scaled(const char *what, const float *before, const float *after, size_t n,
                         double factor)
{
    for (size_t i = 0; i < n; i++) {
        const double want = factor * (double)before[i];
        const double got = (double)after[i];
        if (!CHECKF(fabs(got - want) < 1e-6, "%s[%d] becomes %g, not %g", what, (int)i, got, want))
            return;
    }
}

/* lr 0.1, decay 0.5: one step without gradient multiplies by 0.95. */
static void run_decay(cvn_optimizer o, int weights_only, double fc2_scale)
{
    clouds c;
    norm_net n;
    snapshot a, b;
    const double other = weights_only ? 1 : 0.95;
    make_sets(&c);
    o.weight_decay = 0.5f;
    o.decay_weights_only = weights_only;
    n = new_norm_net(&o);
    build(n.net, 16);
    CHECK(cvn_decay_scale(n.net, n.fc2, (float)fc2_scale) == CVN_OK);
    lift_params(n.net);
    a = take_all(n.net);
    decay_step(n.net, &c);
    b = take_all(n.net);
    check_scaled("fc1.weight", a.w1, b.w1, 32, 0.95);
    check_scaled("fc1.bias", a.b1, b.b1, 16, other);
    check_scaled("bn1.weight", a.gamma, b.gamma, 16, other);
    check_scaled("bn1.bias", a.beta, b.beta, 16, other);
    check_scaled("running_mean", a.mean, b.mean, 16, 1);
    check_scaled("fc2.weight", a.w2, b.w2, 48, 1 - 0.05 * fc2_scale);
    check_scaled("fc2.bias", a.b2, b.b2, 3, weights_only ? 1 : 1 - 0.05 * fc2_scale);
    cvn_destroy(n.net);
}

static void test_weight_decay(void)
{
    test_case("SGD, all");
    run_decay(cvn_sgd(0.1f, 0), 0, 1);
    test_case("SGD, weights only");
    run_decay(cvn_sgd(0.1f, 0), 1, 1);
    test_case("SGD, weights only, the last layer half");
    run_decay(cvn_sgd(0.1f, 0), 1, 0.5);
    test_case("SGD, the last layer none");
    run_decay(cvn_sgd(0.1f, 0), 0, 0);
}

#define SAME(member) (!memcmp(a.member, b.member, sizeof a.member))

static void test_freeze_before_build(void)
{
    clouds c;
    snapshot a, b;
    const cvn_optimizer o = cvn_adamw(0.01f, 0.1f);
    norm_net n = new_norm_net(&o);
    make_sets(&c);
    CHECK(cvn_freeze_to(n.net, n.bn1) == CVN_OK);
    build(n.net, 16);
    a = take_all(n.net);
    for (int i = 0; i < 3; i++) CHECK(cvn_train_batch(n.net, c.x, c.labels, 16, NULL) == CVN_OK);
    b = take_all(n.net);
    CHECK(SAME(w1) && SAME(b1) && SAME(gamma) && SAME(beta) && SAME(mean) && !SAME(w2) &&
          !SAME(b2));
    CHECK(!cvn_param_find(n.net, "fc1.weight").trainable &&
          cvn_param_find(n.net, "fc2.weight").trainable);
    CHECK(cvn_unfreeze(n.net, n.fc1) == CVN_ERROR_STATE);
    cvn_destroy(n.net);
}

static void test_freeze_after_build(void)
{
    clouds c;
    snapshot a, b;
    const cvn_optimizer o = cvn_sgd(0.05f, 0.9f);
    norm_net n = new_norm_net(&o);
    make_sets(&c);
    build(n.net, 16);
    CHECK(cvn_train_batch(n.net, c.x, c.labels, 16, NULL) == CVN_OK);
    CHECK(cvn_freeze(n.net, n.fc1) == CVN_OK && cvn_freeze(n.net, n.bn1) == CVN_OK);
    a = take_all(n.net);
    for (int i = 0; i < 3; i++) CHECK(cvn_train_batch(n.net, c.x, c.labels, 16, NULL) == CVN_OK);
    b = take_all(n.net);
    CHECK(SAME(w1) && SAME(b1) && SAME(gamma) && SAME(beta) && SAME(mean) && !SAME(w2) &&
          !SAME(b2));
    CHECKF(cvn_unfreeze(n.net, n.fc1) == CVN_OK && cvn_unfreeze(n.net, n.bn1) == CVN_OK, "%s",
           cvn_error(n.net));
    CHECK(cvn_train_batch(n.net, c.x, c.labels, 16, NULL) == CVN_OK);
    b = take_all(n.net);
    CHECK(!SAME(w1) && !SAME(gamma) && !SAME(mean));
    cvn_destroy(n.net);
}

/* One step of plain SGD: half the rate is half the way. */
static void test_lr_scale(void)
{
    clouds c;
    const cvn_optimizer o = cvn_sgd(0.1f, 0);
    snapshot start, whole, half;
    norm_net n = new_norm_net(&o);
    make_sets(&c);
    build(n.net, 16);
    start = take_all(n.net);
    CHECK(cvn_train_batch(n.net, c.x, c.labels, 16, NULL) == CVN_OK);
    whole = take_all(n.net);
    cvn_destroy(n.net);
    n = new_norm_net(&o);
    CHECK(cvn_lr_scale(n.net, n.fc1, 0.5f) == CVN_OK);
    CHECK(cvn_lr_scale(n.net, n.fc1, -1) == CVN_ERROR_ARGUMENT);
    build(n.net, 16);
    CHECK(cvn_train_batch(n.net, c.x, c.labels, 16, NULL) == CVN_OK);
    half = take_all(n.net);
    for (int i = 0; i < 32; i++)
        CHECK_NEAR(half.w1[i] - start.w1[i], 0.5f * (whole.w1[i] - start.w1[i]), 1e-6);
    for (int i = 0; i < 48; i++) CHECK_NEAR(half.w2[i], whole.w2[i], 0);
    CHECK(fabs((double)(whole.w1[0] - start.w1[0])) > 1e-6);
    cvn_destroy(n.net);
}

static void test_learning_rate(void)
{
    cvn_net *const net = mlp(4);
    CHECK_NEAR(cvn_get_lr(net), 1e-3f, 0);
    CHECK(cvn_set_lr(net, 0.25f) == CVN_OK);
    CHECK_NEAR(cvn_get_lr(net), 0.25f, 0);
    CHECK(cvn_set_lr(net, -1) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_set_lr(net, NAN) == CVN_ERROR_ARGUMENT);
    CHECK_NEAR(cvn_get_lr(net), 0.25f, 0);
    cvn_destroy(net);
}

/* ---- prediction plans ---- */

static void train_a_little(cvn_net *net, const float *x, const int *labels, int steps)
{
    for (int i = 0; i < steps; i++) CHECK(cvn_train_batch(net, x, labels, 16, NULL) == CVN_OK);
}

/* Values of the output for 16 images in prediction mode. */
static void eval_by_hand(cvn_net *net, const float *x, float *out)
{
    const float *y;
    CHECK(cvn_set_input(net, cvn_find(net, "input1"), x, 16) == CVN_OK);
    CHECK(cvn_forward_eval(net) == CVN_OK);
    y = cvn_value(net, cvn_find(net, "fc1"));
    if (CHECKF(y != NULL, "%s", cvn_error(net))) memcpy(out, y, 32 * sizeof(float));
}

/* Folded and fused: as the training plan predicts. */
static void test_build_infer(void)
{
    static float x[IMAGES * PIXELS];
    int labels[IMAGES];
    float want[32], got[32];
    cvn_net *const net = new_convnet(NULL);
    make_stripes(x, labels, IMAGES, 3);
    build(net, 16);
    train_a_little(net, x, labels, 10);
    eval_by_hand(net, x, want);
    CHECK(cvn_predict(net, x, 16, got) == CVN_OK);
    CHECKF(largest_difference(want, got, 32) < 1e-5, "cvn_predict differs by %g",
           largest_difference(want, got, 32));
    CHECKF(cvn_build_infer(net, 16) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_predict(net, x, 16, got) == CVN_OK);
    CHECKF(largest_difference(want, got, 32) < 1e-5, "the plan differs by %g",
           largest_difference(want, got, 32));
    CHECK(cvn_train_batch(net, x, labels, 16, NULL) == CVN_ERROR_STATE);
    CHECKF(cvn_build(net, 16) == CVN_OK, "%s", cvn_error(net));
    eval_by_hand(net, x, got);
    CHECKF(largest_difference(want, got, 32) == 0, "building anew changes the net");
    cvn_destroy(net);
}

/* Each training step shows in the next prediction of the same net and of one that shares its
 * weights. */
static void test_predictions_follow_training(void)
{
    static float x[IMAGES * PIXELS];
    int labels[IMAGES];
    float before[32], want[32], got[32];
    cvn_net *const net = new_convnet(NULL);
    cvn_net *shared;
    make_stripes(x, labels, IMAGES, 3);
    build(net, 16);
    shared = cvn_share(net);
    CHECKF(cvn_build_infer(shared, 16) == CVN_OK, "%s", cvn_error(shared));
    CHECK(cvn_predict(net, x, 16, before) == CVN_OK);
    for (int i = 0; i < 3; i++) {
        train_a_little(net, x, labels, 2);
        CHECK(cvn_predict(net, x, 16, got) == CVN_OK);
        CHECKF(largest_difference(before, got, 32) > 1e-4, "step %d does not show", i);
        eval_by_hand(net, x, want);
        CHECKF(largest_difference(want, got, 32) < 1e-5, "step %d: %g", i,
               largest_difference(want, got, 32));
        CHECK(cvn_predict(shared, x, 16, got) == CVN_OK);
        CHECKF(largest_difference(want, got, 32) < 1e-5, "shared, step %d: %g", i,
               largest_difference(want, got, 32));
        memcpy(before, want, sizeof before);
    }
    cvn_destroy(shared);
    cvn_destroy(net);
}

/* Parameters written from outside show after cvn_touch, in a plan with folded weights too. */
static void test_touch(void)
{
    static float x[IMAGES * PIXELS];
    int labels[IMAGES];
    float before[32], after[32];
    cvn_param p;
    cvn_net *const net = new_convnet(NULL);
    make_stripes(x, labels, IMAGES, 3);
    CHECKF(cvn_build_infer(net, 16) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_predict(net, x, 16, before) == CVN_OK);
    p = cvn_param_find(net, "bn1.weight");
    for (size_t i = 0; i < p.count; i++) p.value[i] = 2;
    cvn_touch(net);
    CHECK(cvn_predict(net, x, 16, after) == CVN_OK);
    CHECKF(largest_difference(before, after, 32) > 1e-2, "nothing changes");
    cvn_destroy(net);
}

/* Dropout acts in training alone, with another mask each step. */
static void test_dropout_only_in_training(void)
{
    clouds c;
    float a[32], b[32];
    float one[2] = { 0, 0 };
    cvn_net *const net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 2);
    const cvn_node y = cvn_dropout(net, x, 0.5f);
    cvn_output(net, y);
    cvn_keep(net, y);
    make_sets(&c);
    build(net, 16);
    CHECK(cvn_predict(net, c.x, 16, a) == CVN_OK);
    CHECK(!memcmp(a, c.x, sizeof a));
    for (int i = 0; i < 2; i++) {
        CHECK(cvn_set_input(net, x, c.x, 16) == CVN_OK && cvn_forward(net) == CVN_OK);
        if (!CHECK(cvn_value(net, y) != NULL)) break;
        memcpy(i ? b : a, cvn_value(net, y), sizeof a);
        for (int k = 0; k < 32; k++) one[i] += (i ? b : a)[k] == 0;
    }
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(one[0] > 4 && one[0] < 28 && one[1] > 4 && one[1] < 28);
    for (int k = 0; k < 32; k++) CHECK(a[k] == 0 || fabs((double)(a[k] - 2 * c.x[k])) < 1e-6);
    cvn_destroy(net);
}

/* ================================================================================================
 * several label inputs: cvn_data.fill sets them, and the accuracy is that of the loss's own
 * ============================================================================================== */

enum { FILL_T = 4, FILL_COUNT = 12, FILL_BATCH = 5 };

typedef struct filled { cvn_node x, lengths, classes; } filled;

/* The class is the sign of the first step; what lies behind the length is noise. */
static cvn_result fill_sequences(void *user, cvn_net *net, const int *index, int n, int training)
{
    const filled *f = (const filled *)user;
    float x[FILL_BATCH * FILL_T];
    int lengths[FILL_BATCH];
    int classes[FILL_BATCH];
    (void)training;
    for (int i = 0; i < n; i++) {
        lengths[i] = 1 + index[i] % FILL_T;
        classes[i] = index[i] / FILL_T % 2;
        for (int t = 0; t < FILL_T; t++)
            x[i * FILL_T + t] = t < lengths[i] ? (classes[i] ? 1.0f : -1.0f) : (float)index[i];
    }
    if (cvn_set_input(net, f->x, x, n) != CVN_OK) return CVN_ERROR_ARGUMENT;
    if (cvn_set_labels(net, f->lengths, lengths, n) != CVN_OK) return CVN_ERROR_ARGUMENT;
    return cvn_set_labels(net, f->classes, classes, n);
}

static void test_lengths_and_labels(void)
{
    const int dims[2] = { FILL_T, 1 };
    cvn_net *net = cvn_create(NULL);
    cvn_rnn_desc r = cvn_rnn_defaults();
    cvn_softmax_loss_desc loss = cvn_softmax_loss_defaults();
    cvn_fit_options o = cvn_fit_defaults();
    cvn_metrics m;
    cvn_data data;
    filled f;
    float value[FILL_BATCH * FILL_T] = { 0 };
    const int labels[FILL_BATCH * FILL_T] = { 0 };
    memset(&data, 0, sizeof data);
    memset(&m, 0, sizeof m);
    f.x = cvn_input_tensor(net, dims, 2);
    f.lengths = r.lengths = cvn_input_labels(net, NULL, 0);
    f.classes = loss.labels = cvn_input_labels(net, NULL, 0);
    r.hidden = 6;
    cvn_softmax_loss_ex(net,
                        cvn_dense(net, cvn_flatten(net, cvn_rnn_state(net, cvn_gru_ex(net, f.x, &r),
                                                                      0)), 2), &loss);
    CHECKF(cvn_build(net, FILL_BATCH) == CVN_OK, "%s", cvn_error(net));
    data.count = FILL_COUNT;
    data.fill = fill_sequences;
    data.user = &f;
    o.epochs = 30;
    CHECK(cvn_set_lr(net, 2e-2f) == CVN_OK);
    CHECKF(cvn_fit(net, &data, &data, &o) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "%s", cvn_error(net));
    CHECKF(m.loss < 0.2 && m.accuracy == 1, "loss %g, accuracy %g", m.loss, m.accuracy);
    CHECK_NEAR(cvn_history_at(net, 29).accuracy, 1, 0);
    cvn_destroy(net);
    /* one array cannot be the labels of inputs of several sizes */
    net = cvn_create(NULL);
    f.x = cvn_input_tensor(net, dims, 2);
    r.lengths = cvn_input_labels(net, NULL, 0);
    cvn_softmax_loss(net, cvn_dense(net, cvn_gru_ex(net, f.x, &r), 2));
    CHECKF(cvn_build(net, FILL_BATCH) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_train_batch(net, value, labels, FILL_BATCH, NULL) == CVN_ERROR_SHAPE);
    CHECK(strstr(cvn_error(net), "of different sizes") != NULL);
    cvn_destroy(net);
}

/* The labels of CTC are not compared step by step, in an inference plan either. */
static void test_ctc_has_no_accuracy(void)
{
    const int dims[2] = { FILL_T, 3 };
    const cvn_node none = { 0 };
    for (int infer = 0; infer < 2; infer++) {
        cvn_net *net = cvn_create(NULL);
        cvn_ctc_desc d = cvn_ctc_defaults();
        float *x = (float *)calloc(2 * FILL_T * 3, sizeof *x);
        int *labels = (int *)calloc(2, sizeof *labels);
        cvn_metrics m;
        cvn_data data;
        cvn_node y = cvn_input_tensor(net, dims, 2);
        memset(&data, 0, sizeof data);
        memset(&m, 0, sizeof m);
        d.max_labels = 1;
        y = cvn_log_softmax(net, cvn_dense(net, y, 3));
        cvn_ctc_loss(net, y, none, &d);
        CHECK((infer ? cvn_build_infer(net, 2) : cvn_build(net, 2)) == CVN_OK);
        if (CHECK(x != NULL && labels != NULL)) {
            labels[0] = labels[1] = 1;
            data.count = 2;
            data.images = x;
            data.labels = labels;
            CHECKF(cvn_evaluate(net, &data, &m) == CVN_OK, "%s", cvn_error(net));
            CHECK(m.accuracy != m.accuracy && (infer || m.loss > 0));
        }
        free(x);
        free(labels);
        cvn_destroy(net);
    }
}

int main(void)
{
    RUN(test_loss_falls);
    RUN(test_defaults);
    RUN(test_xor);
    RUN(test_early_stopping);
    RUN(test_keep_best);
    RUN(test_callback_stops);
    RUN(test_batches);
    RUN(test_shuffle);
    RUN(test_epoch_loss);
    RUN(test_schedule_in_fit);
    RUN(test_fit_errors);
    RUN(test_threads);
    RUN(test_resume);
    RUN(test_evaluate);
    RUN(test_evaluate_regression);
    RUN(test_predict);
    RUN(test_nan_names_the_layer);
    RUN(test_check_finds_nothing);
    RUN(test_check_labels);
    RUN(test_check_restores);
    RUN(test_check_data);
    RUN(test_check_net);
    RUN(test_check_sorted);
    RUN(test_check_errors);
    RUN(test_gradient_accumulation);
    RUN(test_train_batch_is_three_calls);
    RUN(test_train_batch_target);
    RUN(test_set_samples_is_fit);
    RUN(test_set_samples);
    RUN(test_set_samples_of_a_source);
    RUN(test_no_loss);
    RUN(test_evaluate_binary);
    RUN(test_several_losses);
    RUN(test_loss_weight_of_desc);
    RUN(test_weight_decay);
    RUN(test_freeze_before_build);
    RUN(test_freeze_after_build);
    RUN(test_lr_scale);
    RUN(test_learning_rate);
    RUN(test_build_infer);
    RUN(test_predictions_follow_training);
    RUN(test_touch);
    RUN(test_dropout_only_in_training);
    RUN(test_lengths_and_labels);
    RUN(test_ctc_has_no_accuracy);
    return test_done();
}
