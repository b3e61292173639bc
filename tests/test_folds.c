/* test_folds.c - room >>data: views by an index, folds, stratified splits, balanced sampling,
 * sample weights of a batch, statistics, crops at prediction. */
#include <stddef.h>

static void *test_alloc(size_t size);
static void test_free(void *pointer);
#define CONVNET_MALLOC(size) test_alloc(size)
#define CONVNET_FREE(pointer) test_free(pointer)
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

static int live_blocks, allocations, fail_after = INT_MAX;

static void *test_alloc(size_t size)
{
    void *p = allocations++ >= fail_after ? NULL : malloc(size);
    live_blocks += p != NULL;
    return p;
}

static void test_free(void *pointer)
{
    live_blocks -= pointer != NULL;
    free(pointer);
}

/* ---- a set: every sample tells its number ---- */

enum { N = 60, C = 2, H = 3, W = 5, IMAGE = C * H * W, CLASSES = 4 };

static unsigned char set_bytes[N * IMAGE];
static float set_floats[N * IMAGE], set_weights[N], set_targets[N * CLASSES];
static int set_labels[N];

static void fill_set(void)
{
    unsigned state = 11;
    for (int i = 0; i < N * IMAGE; i++) {
        state = state * 1664525u + 1013904223u;
        set_bytes[i] = (unsigned char)(state >> 24);
        set_floats[i] = (float)set_bytes[i] / 128.0f - 0.5f;
    }
    for (int i = 0; i < N; i++) {
        set_labels[i] = i % 7 % CLASSES;
        set_weights[i] = 0.25f + (float)(i % 5);
    }
    for (int i = 0; i < N * CLASSES; i++) set_targets[i] = (float)i;
}

static cvn_data make_data(int floats)
{
    cvn_data d;
    memset(&d, 0, sizeof d);
    fill_set();
    d.count = N;
    d.labels = set_labels;
    d.channels = C;
    d.height = H;
    d.width = W;
    d.mean[0] = 0.4f;
    d.std[0] = 0.3f;
    d.mean[1] = 0.1f;
    if (floats) d.images = set_floats;
    else d.bytes = set_bytes;
    return d;
}

/* The samples of a view, copied one behind the other: what the view must be like. */
static cvn_data copy_of(const cvn_data *d, unsigned char *bytes, float *floats, int *labels)
{
    cvn_data copy = *d;
    for (int i = 0; i < d->count; i++) {
        const int s = d->first + (d->index ? d->index[i] : i);
        memcpy(bytes + i * IMAGE, set_bytes + s * IMAGE, IMAGE);
        memcpy(floats + i * IMAGE, set_floats + s * IMAGE, IMAGE * sizeof(float));
        labels[i] = set_labels[s];
    }
    copy.first = 0;
    copy.index = NULL;
    copy.memory = NULL;
    copy.labels = labels;
    if (d->bytes) copy.bytes = bytes;
    if (d->images) copy.images = floats;
    return copy;
}

typedef struct test_net {
    cvn_net *net;
    cvn_node x;
} test_net;

static test_net make_net(int max_batch, int infer)
{
    test_net t;
    cvn_desc desc = cvn_desc_defaults();
    desc.seed = 77;
    desc.threads = 1;
    t.net = cvn_create(&desc);
    t.x = cvn_input(t.net, C, H, W);
    cvn_softmax_loss(t.net, cvn_dense(t.net, t.x, CLASSES));
    CHECKF((infer ? cvn_build_infer(t.net, max_batch) : cvn_build(t.net, max_batch)) == CVN_OK,
           "%s", cvn_error(t.net));
    return t;
}

/* ---- folds ---- */

/* Each number of [0, n) once in one of the two views, both in order. */
static void check_parts(const cvn_data *train, const cvn_data *valid, int n)
{
    int seen[64] = { 0 };
    CHECK(train->count + valid->count == n);
    for (int v = 0; v < 2; v++) {
        const cvn_data *d = v ? valid : train;
        for (int i = 0; i < d->count; i++) {
            CHECK(d->index[i] >= 0 && d->index[i] < n && seen[d->index[i]]++ == 0);
            CHECK(i == 0 || d->index[i] > d->index[i - 1]);
        }
    }
}

static void folds_partition(void)
{
    cvn_data d = make_data(1);
    for (int n = 2; n <= 40; n++) {
        for (int folds = 2; folds <= n; folds += 1 + folds / 4) {
            int valid_in[64] = { 0 };
            int least = n, most = 0;
            d.count = n;
            for (int f = 0; f < folds; f++) {
                cvn_data train, valid;
                CHECK(cvn_data_fold(&d, folds, f, 5, &train, &valid) == CVN_OK);
                check_parts(&train, &valid, n);
                for (int i = 0; i < valid.count; i++) valid_in[valid.index[i]]++;
                least = valid.count < least ? valid.count : least;
                most = valid.count > most ? valid.count : most;
                cvn_data_free(&train);
                cvn_data_free(&valid);
            }
            for (int i = 0; i < n; i++) CHECK(valid_in[i] == 1);
            CHECK(most - least <= 1);
        }
    }
    CHECK(live_blocks == 0);
}

static int same_index(const cvn_data *a, const cvn_data *b)
{
    return a->count == b->count &&
           memcmp(a->index, b->index, (size_t)a->count * sizeof(int)) == 0;
}

/* The seed alone decides; every sample is as likely as any other in a fold. */
static void folds_seeds(void)
{
    cvn_data d = make_data(0);
    int often[N] = { 0 };
    int differs = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        cvn_data a, b, c, rest;
        CHECK(cvn_data_fold(&d, 5, 2, seed, &rest, &a) == CVN_OK);
        CHECK(rest.memory && rest.bytes == d.bytes && rest.classes == d.classes && !rest.error[0]);
        cvn_data_free(&rest);
        CHECK(cvn_data_fold(&d, 5, 2, seed, &rest, &b) == CVN_OK);
        cvn_data_free(&rest);
        CHECK(cvn_data_fold(&d, 5, 2, seed + 1, &rest, &c) == CVN_OK);
        cvn_data_free(&rest);
        CHECK(same_index(&a, &b));
        differs += !same_index(&a, &c);
        for (int i = 0; i < a.count; i++) often[a.index[i]]++;
        cvn_data_free(&a);
        cvn_data_free(&b);
        cvn_data_free(&c);
    }
    CHECK(differs == 1000);
    for (int i = 0; i < N; i++)                             /* 200, deviation 12.6 */
        CHECKF(often[i] > 140 && often[i] < 260, "sample %d: %d of 1000", i, often[i]);
    CHECK(live_blocks == 0);
}

static void check_text(const cvn_data *d, const char *part)
{
    CHECK(d->count == 0 && !d->index && !d->memory && !d->bytes);
    CHECKF(strstr(d->error, part) != NULL, "\"%s\" does not say \"%s\"", d->error, part);
}

static void folds_refused(void)
{
    static const int bad[5][2] = { { 1, 0 }, { N + 1, 0 }, { 4, 4 }, { 4, -1 }, { 0, 0 } };
    cvn_data d = make_data(0);
    cvn_data train, valid;
    for (int i = 0; i < 5; i++) {
        CHECK(cvn_data_fold(&d, bad[i][0], bad[i][1], 1, &train, &valid) == CVN_ERROR_ARGUMENT);
        check_text(&train, "2 to 60 folds of 60 samples");
        check_text(&valid, "2 to 60 folds of 60 samples");
    }
    CHECK(cvn_data_fold(NULL, 2, 0, 1, &train, &valid) == CVN_ERROR_ARGUMENT);
    check_text(&train, "0 samples");
    CHECK(cvn_data_fold(&d, 2, 0, 1, &train, &train) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_fold(&d, 2, 0, 1, &d, &valid) == CVN_ERROR_ARGUMENT && d.count == N);
    CHECK(cvn_data_fold(&d, 2, 0, 1, NULL, &valid) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_fold(&d, 2, 0, 1, &train, NULL) == CVN_ERROR_ARGUMENT);
    for (int k = 0; k < 3; k++) {
        fail_after = allocations + k;
        CHECK(cvn_data_fold(&d, 2, 0, 1, &train, &valid) == CVN_ERROR_MEMORY);
        check_text(&train, "no memory");
        check_text(&valid, "no memory");
        fail_after = INT_MAX;
        CHECK(live_blocks == 0);
    }
    for (int k = 0; k < 4; k++) {
        fail_after = allocations + k;
        CHECK(cvn_data_split_stratified(&d, 0.5, 1, &train, &valid) == CVN_ERROR_MEMORY);
        check_text(&valid, "no memory");
        fail_after = INT_MAX;
        CHECK(live_blocks == 0);
    }
}

/* ---- stratified splits ---- */

/* Each class has its share rounded down or up, up where the remainders are largest. */
static void check_stratified(const cvn_data *d, double share, uint64_t seed)
{
    cvn_data train, valid;
    int all[CLASSES], part[CLASSES], rounded_up[CLASSES];
    int total = 0;
    CHECKF(cvn_data_split_stratified(d, share, seed, &train, &valid) == CVN_OK, "%s", train.error);
    check_parts(&train, &valid, d->count);
    CHECK(valid.count == (int)floor(d->count * share + 0.5));
    CHECK(cvn_data_class_counts(d, all, CLASSES) == CVN_OK);
    CHECK(cvn_data_class_counts(&valid, part, CLASSES) == CVN_OK);
    for (int c = 0; c < CLASSES; c++) {
        const double exact = all[c] * share;
        rounded_up[c] = part[c] - (int)floor(exact + 1e-9);
        CHECKF(rounded_up[c] == 0 || rounded_up[c] == 1, "class %d: %d of %d", c, part[c], all[c]);
        total += part[c];
    }
    CHECK(total == valid.count);
    for (int a = 0; a < CLASSES; a++)
        for (int b = 0; b < CLASSES; b++)
            if (rounded_up[a] > rounded_up[b])
                CHECK(fmod(all[a] * share + 1e-9, 1) >= fmod(all[b] * share + 1e-9, 1) - 1e-6);
    cvn_data_free(&train);
    cvn_data_free(&valid);
}

static void stratified(void)
{
    cvn_data d = make_data(0);
    cvn_data a, b, rest;
    for (int n = 12; n <= N; n += 7)
        for (int k = 1; k < 20; k++) {
            d.count = n;
            check_stratified(&d, k / 20.0, (uint64_t)k);
        }
    d.count = N;
    CHECK(cvn_data_split_stratified(&d, 0.3, 1, &rest, &a) == CVN_OK);
    cvn_data_free(&rest);
    CHECK(cvn_data_split_stratified(&d, 0.3, 2, &rest, &b) == CVN_OK);
    CHECK(!same_index(&a, &b));
    cvn_data_free(&rest);
    cvn_data_free(&a);
    cvn_data_free(&b);
    CHECK(live_blocks == 0);
}

/* As many classes as samples: 50000 of 200000 are rounded up, too many for a search for each. */
static void stratified_many(void)
{
    enum { MANY = 200000 };
    int *labels = (int *)malloc(MANY * sizeof *labels);
    cvn_data d, train, valid;
    memset(&d, 0, sizeof d);
    d.count = MANY;
    d.labels = labels;
    for (int i = 0; labels && i < MANY; i++) labels[i] = i ^ 1;
    CHECKF(cvn_data_split_stratified(&d, 0.25, 1, &train, &valid) == CVN_OK, "%s", train.error);
    CHECK(train.count == MANY - MANY / 4 && valid.count == MANY / 4);
    for (int i = 0; i < valid.count; i++) CHECK(valid.index[i] == i);   /* the first classes */
    cvn_data_free(&train);
    cvn_data_free(&valid);
    free(labels);
    CHECK(live_blocks == 0);
}

static void stratified_refused(void)
{
    static const double bad[5] = { 0, 1, -1, 0.001, 0.999 };
    cvn_data d = make_data(0);
    cvn_data train, valid;
    for (int i = 0; i < 5; i++) {
        CHECK(cvn_data_split_stratified(&d, bad[i], 1, &train, &valid) == CVN_ERROR_ARGUMENT);
        check_text(&train, "leaves nothing on one side");
    }
    CHECK(cvn_data_split_stratified(&d, NAN, 1, &train, &valid) == CVN_ERROR_ARGUMENT);
    set_labels[9] = -1;
    CHECK(cvn_data_split_stratified(&d, 0.5, 1, &train, &valid) == CVN_ERROR_ARGUMENT);
    check_text(&valid, "label from 0 to");
    set_labels[9] = 1 << 20;
    CHECK(cvn_data_split_stratified(&d, 0.5, 1, &train, &valid) == CVN_ERROR_ARGUMENT);
    check_text(&valid, "label from 0 to");
    set_labels[9] = 0;
    d.labels = NULL;
    CHECK(cvn_data_split_stratified(&d, 0.5, 1, &train, &valid) == CVN_ERROR_ARGUMENT);
    check_text(&valid, "label from 0 to");
    CHECK(live_blocks == 0);
}

/* ---- balanced order ---- */

static void balanced(void)
{
    int first_class[CLASSES + 1] = { 0 };
    int repeated = 0;                                       /* rounds in the order of the last */
    cvn_data d = make_data(0);
    for (int i = 0; i < N; i++)                             /* few of classes 0 and 1, none of 3 */
        set_labels[i] = i == 7 || i == 20 ? 0 : i % 20 == 1 ? 1 : i % 3 ? 2 : i % 2 ? 4 : -5;
    for (uint64_t epoch = 0; epoch < 400; epoch++) {
        int order[N], often[N] = { 0 }, drawn[5] = { 0 };
        CHECK(cvn_data_balanced_order(&d, 9, epoch, order) == CVN_OK);
        for (int i = 0; i < N; i++) {
            const int c = set_labels[order[i]];
            CHECK(order[i] >= 0 && order[i] < N && c >= 0);
            often[order[i]]++;
            drawn[c]++;
            for (int k = i / 4 * 4; k < i; k++) CHECK(set_labels[order[k]] != c);
        }
        CHECK(drawn[0] == 15 && drawn[1] == 15 && drawn[2] == 15 && drawn[3] == 0 &&
              drawn[4] == 15);
        for (int i = 0; i < N; i++)                         /* no member twice before all once */
            for (int k = 0; k < N; k++)
                if (set_labels[i] == set_labels[k]) CHECK(abs(often[i] - often[k]) <= 1);
        first_class[set_labels[order[0]]]++;
        for (int i = 4; i < N; i += 4) {
            int same = 1;
            for (int k = i; k < i + 4; k++)
                same &= set_labels[order[k]] == set_labels[order[k - 4]];
            repeated += same;
        }
    }
    CHECK_NEAR(repeated / 5600.0, 1 / 24.0, 0.01);          /* of 400*14 rounds */
    for (int c = 0; c <= CLASSES; c++)                      /* 100, deviation 8.7 */
        CHECKF(c == 3 ? first_class[c] == 0 : first_class[c] > 60 && first_class[c] < 140,
               "class %d came first %d of 400 times", c, first_class[c]);
}

static void balanced_edges(void)
{
    cvn_data d = make_data(0);
    int order[N], again[N], counts[CLASSES];
    CHECK(cvn_data_balanced_order(&d, 1, 2, order) == CVN_OK);
    CHECK(cvn_data_balanced_order(&d, 1, 2, again) == CVN_OK);
    CHECK(memcmp(order, again, sizeof order) == 0);
    CHECK(cvn_data_balanced_order(&d, 1, 3, again) == CVN_OK);
    CHECK(memcmp(order, again, sizeof order) != 0);
    CHECK(cvn_data_balanced_order(&d, 2, 2, again) == CVN_OK);
    CHECK(memcmp(order, again, sizeof order) != 0);
    CHECK(cvn_data_balanced_order(NULL, 1, 2, order) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_balanced_order(&d, 1, 2, NULL) == CVN_ERROR_ARGUMENT);
    fail_after = allocations;
    CHECK(cvn_data_balanced_order(&d, 1, 2, order) == CVN_ERROR_MEMORY);
    fail_after = INT_MAX;
    CHECK(cvn_data_class_counts(&d, counts, 2) == CVN_OK);  /* classes 2 and 3 are left out */
    CHECK(counts[0] + counts[1] < N);
    CHECK(cvn_data_class_counts(&d, NULL, 2) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_class_counts(NULL, counts, 2) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_class_counts(&d, counts, 0) == CVN_ERROR_ARGUMENT);
    for (int i = 0; i < N; i++) set_labels[i] = -1;
    CHECK(cvn_data_balanced_order(&d, 1, 2, order) == CVN_ERROR_ARGUMENT);
    d.labels = NULL;
    CHECK(cvn_data_balanced_order(&d, 1, 2, order) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_class_counts(&d, counts, 2) == CVN_ERROR_ARGUMENT);
    CHECK(live_blocks == 0);
}

/* ---- what a net sees of a view ---- */

static void compare(cvn_net *net, const cvn_data *view, const cvn_data *copy)
{
    int confusion[2][CLASSES * CLASSES];
    cvn_metrics m[2];
    for (int k = 0; k < 2; k++) {
        memset(&m[k], 0, sizeof m[k]);
        m[k].classes = CLASSES;
        m[k].confusion = confusion[k];
        CHECKF(cvn_evaluate(net, k ? copy : view, &m[k]) == CVN_OK, "%s", cvn_error(net));
    }
    CHECK(m[0].count == m[1].count && m[0].accuracy == m[1].accuracy && m[0].top5 == m[1].top5);
    CHECK(m[0].loss == m[1].loss || (m[0].loss != m[0].loss && m[1].loss != m[1].loss));
    CHECK(memcmp(confusion[0], confusion[1], sizeof confusion[0]) == 0);
}

static void check_view(const cvn_data *view)
{
    static unsigned char bytes[N * IMAGE];
    static float floats[N * IMAGE];
    int labels[N];
    const cvn_data copy = copy_of(view, bytes, floats, labels);
    float mean[2][C], std[2][C];
    for (int which = 0; which < 4; which++) {
        test_net t = make_net(which % 2 ? 7 : N, which / 2);
        compare(t.net, view, &copy);
        cvn_destroy(t.net);
    }
    CHECK(cvn_data_statistics(view, mean[0], std[0]) == CVN_OK);
    CHECK(cvn_data_statistics(&copy, mean[1], std[1]) == CVN_OK);
    CHECK(memcmp(mean[0], mean[1], sizeof mean[0]) == 0);
    CHECK(memcmp(std[0], std[1], sizeof std[0]) == 0);
}

/* Folds of the set, of a view that begins later, of a fold; splits of a fold. */
static void views(void)
{
    for (int floats = 0; floats < 2; floats++) {
        cvn_data d = make_data(floats);
        cvn_data train, valid, inner_train, inner_valid, tail;
        CHECK(cvn_data_fold(&d, 3, 1, 8, &train, &valid) == CVN_OK);
        check_view(&train);
        check_view(&valid);
        CHECK(cvn_data_split_stratified(&train, 0.4, 8, &inner_train, &inner_valid) == CVN_OK);
        check_view(&inner_train);
        check_view(&inner_valid);
        for (int i = 0; i < inner_valid.count; i++) {
            int found = 0;
            for (int k = 0; k < train.count; k++) found += train.index[k] == inner_valid.index[i];
            CHECK(found == 1);
        }
        cvn_data_free(&inner_train);
        cvn_data_free(&inner_valid);
        CHECK(cvn_data_split(&train, &tail, 9) == CVN_OK);
        CHECK(tail.count == 9 && train.count == 31 && tail.index == train.index + 31);
        check_view(&train);
        check_view(&tail);
        cvn_data_free(&tail);
        cvn_data_free(&train);
        cvn_data_free(&valid);
        d.first = 13;
        d.count = 40;
        CHECK(cvn_data_fold(&d, 4, 3, 8, &train, &valid) == CVN_OK && valid.first == 13);
        check_view(&train);
        check_view(&valid);
        CHECK(cvn_data_split(&valid, &tail, 4) == CVN_OK);
        check_view(&tail);
        cvn_data_free(&train);
        cvn_data_free(&valid);
    }
    CHECK(live_blocks == 0);
}

/* Images as labels: as many labels a sample as pixels. */
static void view_of_maps(void)
{
    static int maps[N * H * W];
    cvn_data d = make_data(1);
    cvn_data train, valid;
    cvn_metrics m[3];
    cvn_net *net = cvn_create(NULL);
    cvn_softmax_loss(net, cvn_conv2d(net, cvn_input(net, C, H, W), CLASSES, 1, 1, 0));
    for (int i = 0; i < N * H * W; i++) maps[i] = i * i % 11 % CLASSES;
    d.labels = maps;
    CHECK(cvn_data_fold(&d, 2, 0, 8, &train, &valid) == CVN_OK);
    for (int infer = 0; infer < 2; infer++) {
        memset(m, 0, sizeof m);
        CHECK((infer ? cvn_build_infer(net, 16) : cvn_build(net, 16)) == CVN_OK);
        CHECK(cvn_evaluate(net, &d, &m[0]) == CVN_OK && cvn_evaluate(net, &train, &m[1]) == CVN_OK);
        CHECK(cvn_evaluate(net, &valid, &m[2]) == CVN_OK);
        CHECK_NEAR(m[0].accuracy, (m[1].accuracy + m[2].accuracy) / 2, 1e-9);
        CHECK(m[1].accuracy != m[2].accuracy);
    }
    cvn_data_free(&train);
    cvn_data_free(&valid);
    cvn_destroy(net);
    CHECK(live_blocks == 0);
}

static void index_refused(void)
{
    test_net t = make_net(8, 0);
    cvn_data d = make_data(0);
    int index[N] = { 0 };
    cvn_metrics m;
    memset(&m, 0, sizeof m);
    d.index = index;
    CHECK(cvn_evaluate(t.net, &d, &m) == CVN_OK);
    index[5] = -1;
    CHECK(cvn_evaluate(t.net, &d, &m) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(t.net), "index -1 for its sample 5") != NULL, "%s", cvn_error(t.net));
    index[5] = INT_MAX;
    d.first = 1;
    CHECK(cvn_evaluate(t.net, &d, &m) == CVN_ERROR_ARGUMENT);
    cvn_destroy(t.net);
    CHECK(live_blocks == 0);
}

/* ---- training on a view: order, augmentation, weights, fill ---- */

typedef struct watcher {
    test_net t;
    const cvn_data *view;
    const cvn_augment *augment;
    int done, epoch;
} watcher;

static int watch(void *user, const cvn_progress *p)
{
    watcher *w = (watcher *)user;
    const cvn_net *net = w->t.net;
    const int n = cvn_node_shape(net, w->t.x).dim[0];
    const float *x = cvn_value(w->t.net, w->t.x);
    if (p->event != CVN_EVENT_BATCH) return 0;
    if (w->done == w->view->count) w->done = 0;
    CHECK(net->weighted == n);
    for (int i = 0; i < n; i++) {
        const int s = w->view->first + w->view->index[w->done + i];
        float expected[IMAGE];
        cvn_augment_image(w->augment, 77, (uint64_t)(p->epoch - 1) << 32 | (uint64_t)s,
                          set_floats + s * IMAGE, C, H, W, expected);
        CHECK(memcmp(x + i * IMAGE, expected, sizeof expected) == 0);
        CHECK(net->sample_weights[i] == set_weights[s]);
    }
    w->done += n;
    return 0;
}

static void training_view(void)
{
    cvn_data d = make_data(1);
    cvn_data train, valid;
    cvn_augment a;
    cvn_fit_options o = cvn_fit_defaults();
    watcher w;
    memset(&a, 0, sizeof a);
    memset(&w, 0, sizeof w);
    a.noise = 0.1f;
    a.flip = 1;
    d.augment = &a;
    d.weights = set_weights;
    CHECK(cvn_data_fold(&d, 3, 0, 8, &train, &valid) == CVN_OK);
    w.t = make_net(16, 0);
    w.view = &train;
    w.augment = &a;
    o.epochs = 2;
    o.no_shuffle = 1;
    o.callback = watch;
    o.user = &w;
    CHECKF(cvn_fit(w.t.net, &train, &valid, &o) == CVN_OK, "%s", cvn_error(w.t.net));
    CHECK(w.done == train.count);
    cvn_data_free(&train);
    cvn_data_free(&valid);
    cvn_destroy(w.t.net);
    CHECK(live_blocks == 0);
}

/* Weights stay with their set: not in a plan without losses, not after the evaluation. */
static void weights_end(void)
{
    cvn_data d = make_data(1);
    cvn_metrics m;
    float loss;
    test_net t = make_net(16, 0);
    memset(&m, 0, sizeof m);
    d.weights = set_weights;
    CHECK(cvn_evaluate(t.net, &d, &m) == CVN_OK && t.net->weighted == 0);
    CHECK(cvn_train_batch(t.net, set_floats, set_labels, 5, &loss) == CVN_OK);
    CHECK(cvn_check(t.net, &d, NULL, 0) >= 0 && t.net->weighted == 0);
    CHECK(cvn_build_infer(t.net, 16) == CVN_OK && cvn_evaluate(t.net, &d, &m) == CVN_OK);
    cvn_destroy(t.net);
    CHECK(live_blocks == 0);
}

typedef struct own_source {
    test_net t;
    const cvn_data *view;
    int done, weighted;
} own_source;

static cvn_result own_fill(void *user, cvn_net *net, const int *index, int n, int training)
{
    own_source *s = (own_source *)user;
    float x[N * IMAGE];
    int labels[N];
    (void)training;
    for (int i = 0; i < n; i++) {
        CHECK(index[i] == s->view->first + s->view->index[s->done + i]);
        memcpy(x + i * IMAGE, set_floats + index[i] * IMAGE, IMAGE * sizeof(float));
        labels[i] = set_labels[index[i]];
    }
    s->done += n;
    CHECK(cvn_set_input(net, s->t.x, x, n) == CVN_OK);
    return cvn_set_labels(net, cvn_find(net, "labels1"), labels, n);
}

static void fill_view(void)
{
    cvn_data d = make_data(1);
    cvn_data train, valid;
    cvn_metrics m[2];
    own_source s;
    memset(m, 0, sizeof m);
    memset(&s, 0, sizeof s);
    d.first = 3;
    d.count = N - 5;
    CHECK(cvn_data_fold(&d, 3, 2, 8, &train, &valid) == CVN_OK);
    s.t = make_net(8, 0);
    s.view = &valid;
    CHECK(cvn_evaluate(s.t.net, &valid, &m[0]) == CVN_OK);
    valid.images = NULL;
    valid.fill = own_fill;
    valid.user = &s;
    CHECKF(cvn_evaluate(s.t.net, &valid, &m[1]) == CVN_OK, "%s", cvn_error(s.t.net));
    CHECK(s.done == valid.count && m[0].loss == m[1].loss && m[0].accuracy == m[1].accuracy);
    cvn_data_free(&train);
    cvn_data_free(&valid);
    cvn_destroy(s.t.net);
    CHECK(live_blocks == 0);
}

/* ---- statistics ---- */

static void statistics(void)
{
    for (int floats = 0; floats < 2; floats++) {
        cvn_data d = make_data(floats);
        float mean[C], std[C];
        CHECK(cvn_data_statistics(&d, mean, std) == CVN_OK);
        for (int c = 0; c < C; c++) {
            double sum = 0, squares = 0;
            const int pixels = N * H * W;
            for (int i = 0; i < pixels; i++) {
                const int at = (i / (H * W) * C + c) * H * W + i % (H * W);
                sum += floats ? (double)set_floats[at] : set_bytes[at] / 255.0;
            }
            for (int i = 0; i < pixels; i++) {
                const int at = (i / (H * W) * C + c) * H * W + i % (H * W);
                const double x = floats ? (double)set_floats[at] : set_bytes[at] / 255.0;
                squares += (x - sum / pixels) * (x - sum / pixels);
            }
            CHECK_NEAR(mean[c], sum / pixels, 1e-7);
            CHECK_NEAR(std[c], sqrt(squares / pixels), 1e-7);
        }
        CHECK(d.mean[0] == 0.4f);
        if (!floats) {
            CHECK(cvn_data_normalize(&d) == CVN_OK);
            CHECK(memcmp(d.mean, mean, sizeof mean) == 0 && memcmp(d.std, std, sizeof std) == 0);
        } else {
            CHECK(cvn_data_normalize(&d) == CVN_ERROR_ARGUMENT && d.mean[0] == 0.4f);
            CHECKF(strstr(d.error, "float images are not normalised") != NULL, "%s", d.error);
        }
        d.height = 0;
        CHECK(cvn_data_statistics(&d, mean, std) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_data_normalize(&d) == CVN_ERROR_ARGUMENT);
        d.height = H;
        d.bytes = set_bytes;
        d.images = set_floats;
        CHECK(cvn_data_statistics(&d, mean, std) == CVN_ERROR_ARGUMENT);
        d.bytes = NULL;
        d.images = NULL;
        CHECK(cvn_data_statistics(&d, mean, std) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_data_statistics(NULL, mean, std) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_data_normalize(NULL) == CVN_ERROR_ARGUMENT);
    }
}

/* ---- crops ---- */

enum { BIG = 13, IMAGES = 6 };

/* Crop k as torchvision's TenCrop makes it: of the image, then of the mirrored image. */
static void naive_crop(const float *image, int h, int w, int k, float *out)
{
    static const int half[10] = { 0, 0, 1, 2, 2, 2, 3, 4, 4, 4 };  /* Python: round(d / 2) */
    static const int bottom[5] = { 0, 0, 1, 1, 0 };
    static const int right[5] = { 0, 1, 0, 1, 0 };
    const int top = k % 5 == 4 ? half[h - H] : bottom[k % 5] * (h - H);
    const int left = k % 5 == 4 ? half[w - W] : right[k % 5] * (w - W);
    for (int i = 0; i < IMAGE; i++) {
        const int y = top + i / W % H;
        const int x = left + i % W;
        out[i] = image[(i / W / H * h + y) * w + (k < 5 ? x : w - 1 - x)];
    }
}

static void check_crops(test_net *t, int h, int w, int crops, const float *images)
{
    float out[IMAGES * CLASSES], crop[IMAGE], y[CLASSES];
    const int before = allocations;
    double worst = 0;
    CHECKF(cvn_predict_crops(t->net, images, IMAGES, h, w, crops, out) == CVN_OK, "%s",
           cvn_error(t->net));
    CHECK(allocations == before);
    for (int i = 0; i < IMAGES; i++) {
        double mean[CLASSES] = { 0 };
        for (int k = 0; k < crops; k++) {
            naive_crop(images + i * C * h * w, h, w, crops == 1 ? 4 : k, crop);
            CHECK(cvn_predict(t->net, crop, 1, y) == CVN_OK);
            for (int c = 0; c < CLASSES; c++) mean[c] += (double)y[c] / crops;
        }
        for (int c = 0; c < CLASSES; c++)
            worst = fmax(worst, fabs(mean[c] - (double)out[i * CLASSES + c]));
    }
    CHECK_NEAR(worst, 0, 2e-6);
}

static void crops_reference(void)
{
    static const int crops[3] = { 1, 5, 10 };
    static const int batches[4] = { 1, 4, 10, 64 };
    static float images[IMAGES * C * BIG * BIG];
    unsigned state = 3;
    for (int i = 0; i < IMAGES * C * BIG * BIG; i++) {
        state = state * 1664525u + 1013904223u;
        images[i] = (float)(state >> 24) / 128.0f - 1;
    }
    for (int which = 0; which < 8; which++) {
        test_net t = make_net(batches[which % 4], which / 4);
        for (int d = 0; d < 9; d++)
            for (int k = 0; k < 3; k++) check_crops(&t, H + d, W + (d * 5 + which) % 8, crops[k],
                                                    images);
        cvn_destroy(t.net);
    }
    CHECK(live_blocks == 0);
}

static void crops_refused(void)
{
    static const float x[IMAGE] = { 0 };
    test_net t = make_net(4, 0);
    float out[CLASSES] = { 5, 5, 5, 5 };
    cvn_net *vector = cvn_create(NULL);
    CHECK(cvn_predict_crops(t.net, x, 0, H, W, 5, out) == CVN_OK && out[0] == 5);
    CHECK(cvn_predict_crops(t.net, x, 1, H - 1, W, 5, out) == CVN_ERROR_SHAPE);
    CHECKF(strstr(cvn_error(t.net), "2 x 5 for the input 'input1'") != NULL, "%s",
           cvn_error(t.net));
    CHECK(cvn_predict_crops(t.net, x, 1, H, W - 1, 5, out) == CVN_ERROR_SHAPE);
    CHECK(cvn_predict_crops(t.net, x, 1, INT_MAX, INT_MAX, 5, out) == CVN_ERROR_SHAPE);
    CHECK(cvn_predict_crops(t.net, x, 1, H, W, 0, out) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_predict_crops(t.net, x, 1, H, W, 9, out) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(t.net), "9 crops") != NULL, "%s", cvn_error(t.net));
    CHECK(cvn_predict_crops(t.net, NULL, 1, H, W, 5, out) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_predict_crops(t.net, x, 1, H, W, 5, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_predict_crops(t.net, x, -1, H, W, 5, out) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_predict_crops(NULL, x, 1, H, W, 5, out) == CVN_ERROR_STATE);
    cvn_dense(vector, cvn_input_vector(vector, 4), CLASSES);
    CHECK(cvn_predict_crops(vector, x, 1, H, W, 5, out) == CVN_ERROR_STATE);
    CHECK(cvn_build_infer(vector, 4) == CVN_OK);
    CHECK(cvn_predict_crops(vector, x, 1, H, W, 5, out) == CVN_ERROR_SHAPE);
    cvn_destroy(vector);
    cvn_destroy(t.net);
    CHECK(live_blocks == 0);
}

int main(void)
{
    RUN(folds_partition);
    RUN(folds_seeds);
    RUN(folds_refused);
    RUN(stratified);
    RUN(stratified_many);
    RUN(stratified_refused);
    RUN(balanced);
    RUN(balanced_edges);
    RUN(views);
    RUN(view_of_maps);
    RUN(index_refused);
    RUN(training_view);
    RUN(weights_end);
    RUN(fill_view);
    RUN(statistics);
    RUN(crops_reference);
    RUN(crops_refused);
    return test_done();
}
