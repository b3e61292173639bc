/* test_yolo_loss.c - room >>yolo-loss: value and gradient against a naive double reference that
 * decodes every box of every head, central differences of that reference, sample weights, threads,
 * errors; a detector that learns where squares are; and the average precision of >>boxes. */
#include "../convnet.h"
#include "test.h"

#define SAMPLES 3
enum { HEADS = 2, TRUTHS = 4, SIDE = 32, MOST = 4096 };

typedef struct setup {
    const char *name;
    int heads, softmax;
    cvn_yolo_kind kind;
    float k;                            /* scale_x_y */
    cvn_yolo_loss_desc d;
    int weighted;
} setup;

static const int grid_h[HEADS] = { 4, 2 };
static const int grid_w[HEADS] = { 5, 3 };
enum { CLASSES = 3, ANCHORS = 2, CHANNELS = ANCHORS * (5 + CLASSES) };

/* Class, centre, sides; two truths of sample 0 in one box, a big and a small one, none in sample
 * 2. */
static const float truths[SAMPLES][TRUTHS][5] = {
    { { 1, 0.31f, 0.42f, 0.2f, 0.3f }, { -1, 9, 9, 9, 9 }, { 2, 0.33f, 0.44f, 0.21f, 0.31f },
      { 0, 0.9f, 0.1f, 0.9f, 0.8f } },
    { { 0, 0, 0, 0.05f, 1 }, { 2, 0.999f, 0.999f, 1, 0.4f }, { 2, 0.5f, 0.5f, 0.4f, 0.4f },
      { -1, 0, 0, 0, 0 } },
    { { -1, 0, 0, 0, 0 }, { -1, 0, 0, 0, 0 }, { -1, 0, 0, 0, 0 }, { -1, 0, 0, 0, 0 } }
};
static const float weights[SAMPLES] = { 1, 0.5f, 2 };

/* Sides in fractions of the image. */
static const double anchor_sides[HEADS][ANCHORS][2] = { { { 0.1, 0.2 }, { 0.25, 0.25 } },
                                                        { { 0.5, 0.4 }, { 0.9, 0.9 } } };

static uint32_t state = 7;
static double uniform(double low, double high)
{
    state = state * 1664525u + 1013904223u;
    return low + (high - low) * (state >> 8) / 16777216.0;
}

static int values_of(int h) { return CHANNELS * grid_h[h] * grid_w[h]; }

/* ---- the reference ---- */

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double bce(double x, double t) { return -t * log(sigmoid(x)) - (1 - t) * log(sigmoid(-x)); }

static double overlap(double a, double a_side, double b, double b_side)
{
    const double low = fmax(a - a_side / 2, b - b_side / 2);
    const double high = fmin(a + a_side / 2, b + b_side / 2);
    return fmax(0, high - low);
}

static double iou(const double *a, const double *b)     /* centre, sides */
{
    const double both = overlap(a[0], a[2], b[0], b[2]) * overlap(a[1], a[3], b[1], b[3]);
    return both / (a[2] * a[3] + b[2] * b[3] - both);
}

static void truth_box(int n, int t, double *box)
{
    for (int i = 0; i < 4; i++) box[i] = truths[n][t][1 + i];
}

/* Which truth the box (h, a, row, column) of sample n is to find, or -1. */
static int truth_of(const setup *s, int n, int h, int a, int row, int column)
{
    for (int t = TRUTHS - 1; t >= 0; t--) {
        double box[4], best = -1;
        int best_h = 0, best_a = 0;
        if (truths[n][t][0] < 0) continue;
        truth_box(n, t, box);
        box[0] = box[1] = 0;
        for (int i = 0; i < s->heads; i++)
            for (int k = 0; k < ANCHORS; k++) {
                double anchor[4] = { 0, 0, 0, 0 };
                anchor[2] = anchor_sides[i][k][0];
                anchor[3] = anchor_sides[i][k][1];
                if (iou(box, anchor) > best) {
                    best = iou(box, anchor);
                    best_h = i;
                    best_a = k;
                }
            }
        if (best_h == h && best_a == a && (int)(truths[n][t][1] * (float)grid_w[h]) == column &&
            (int)(truths[n][t][2] * (float)grid_h[h]) == row)
            return t;
    }
    return -1;
}

static double class_loss(const setup *s, const double *z, int step, int label)
{
    double sum = 0;
    double all = 0;
    for (int c = 0; c < CLASSES; c++) all += exp(z[c * step]);
    if (s->softmax) return log(all) - z[label * step];
    for (int c = 0; c < CLASSES; c++) sum += bce(z[c * step], c == label);
    return sum;
}

static double box_loss(const setup *s, const double *z, int n, int h, int a, int row, int column)
{
    const int step = grid_h[h] * grid_w[h];
    const int size[2] = { grid_w[h], grid_h[h] };
    const int cell[2] = { column, row };
    const int t = truth_of(s, n, h, a, row, column);
    double sum = 0;
    double box[4];
    double truth[4];
    if (t >= 0) {
        truth_box(n, t, truth);
        for (int i = 0; i < 2; i++) {
            const double offset = truth[i] * size[i] - cell[i];
            sum += bce(z[i * step], (offset + (s->k - 1) / 2) / s->k);
            sum += pow(z[(2 + i) * step] - log(truth[2 + i] / anchor_sides[h][a][i]), 2) / 2;
        }
        sum *= s->d.box * (2 - truth[2] * truth[3]);
        sum += s->d.object * bce(z[4 * step], 1);
        return sum + s->d.classes * class_loss(s, z + 5 * step, step, (int)truths[n][t][0]);
    }
    for (int i = 0; i < 2; i++) {
        box[i] = (cell[i] + s->k * sigmoid(z[i * step]) - (s->k - 1) / 2) / size[i];
        box[2 + i] = anchor_sides[h][a][i] * exp(z[(2 + i) * step]);
    }
    for (int k = 0; k < TRUTHS; k++) {
        if (truths[n][k][0] < 0) continue;
        truth_box(n, k, truth);
        if (iou(box, truth) > s->d.ignore) return 0;
    }
    return s->d.no_object * bce(z[4 * step], 0);
}

/* z[h] [SAMPLES, CHANNELS, H, W] */
static double reference(const setup *s, double *const *z)
{
    double sum = 0;
    for (int n = 0; n < SAMPLES; n++)
        for (int h = 0; h < s->heads; h++)
            for (int a = 0; a < ANCHORS; a++)
                for (int i = 0; i < grid_h[h] * grid_w[h]; i++)
                    sum += (s->weighted ? weights[n] : 1) *
                           box_loss(s, z[h] + n * values_of(h) + a * (5 + CLASSES) * grid_h[h] *
                                    grid_w[h] + i, n, h, a, i / grid_w[h], i % grid_w[h]);
    return sum / SAMPLES;
}

/* ---- the net: each head is an input ---- */

static cvn_yolo_desc head_desc(const setup *s, int h)
{
    cvn_yolo_desc d = cvn_yolo_defaults();
    d.kind = s->kind;
    d.classes = CLASSES;
    d.boxes = ANCHORS;
    d.softmax = s->softmax;
    d.scale_x_y = s->k;
    for (int a = 0; a < ANCHORS; a++) {
        const int region = s->kind == CVN_YOLO_REGION;
        d.anchors[a][0] = (float)(anchor_sides[h][a][0] * (region ? grid_w[h] : SIDE));
        d.anchors[a][1] = (float)(anchor_sides[h][a][1] * (region ? grid_h[h] : SIDE));
    }
    return d;
}

static cvn_net *make_net(const setup *s, int threads, cvn_node *x)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_node heads[HEADS];
    cvn_yolo_loss_desc loss = s->d;
    cvn_net *net;
    int dims[3];
    desc.threads = threads;
    net = cvn_create(&desc);
    cvn_input(net, 1, SIDE, SIDE);
    for (int h = 0; h < s->heads; h++) {
        const cvn_yolo_desc d = head_desc(s, h);
        dims[0] = CHANNELS;
        dims[1] = grid_h[h];
        dims[2] = grid_w[h];
        x[h] = cvn_input_tensor(net, dims, 3);
        cvn_want_grad(net, x[h]);
        heads[h] = cvn_yolo(net, x[h], &d);
    }
    loss.max_boxes = TRUTHS;
    cvn_yolo_loss(net, heads, s->heads, &loss);
    CHECKF(cvn_build(net, SAMPLES) == CVN_OK, "%s", cvn_error(net));
    return net;
}

static void run(const setup *s, cvn_net *net, const cvn_node *x, float *const *v)
{
    static float image[SAMPLES * SIDE * SIDE];
    CHECK(cvn_set_input(net, cvn_find(net, "input1"), image, SAMPLES) == CVN_OK);
    CHECK(cvn_set_input(net, cvn_find(net, "target1"), &truths[0][0][0], SAMPLES) == CVN_OK);
    for (int h = 0; h < s->heads; h++) CHECK(cvn_set_input(net, x[h], v[h], SAMPLES) == CVN_OK);
    if (s->weighted) CHECK(cvn_set_sample_weights(net, weights, SAMPLES) == CVN_OK);
    CHECKF(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
}

static void compare(const setup *s, cvn_net *net, const cvn_node *x, double *const *z)
{
    const double step = 1e-5;
    CHECKF(fabs((double)cvn_loss(net) - reference(s, z)) <= 2e-6 * reference(s, z),
           "%.8g, not %.8g", (double)cvn_loss(net), reference(s, z));
    for (int h = 0; h < s->heads; h++) {
        const float *d = cvn_gradient(net, x[h]);
        for (int i = 0; CHECK(d != NULL) && i < SAMPLES * values_of(h); i++) {
            const double at = z[h][i];
            double slope;
            z[h][i] = at + step;
            slope = reference(s, z);
            z[h][i] = at - step;
            slope = (slope - reference(s, z)) / (2 * step);
            z[h][i] = at;
            CHECKF(fabs((double)d[i] - slope) <= 1e-5 * (1 + fabs(slope)),
                   "head %d, element %d: %.8g, not %.8g", h, i, (double)d[i], slope);
        }
    }
}

static void check_setup(const setup *s)
{
    static float v[HEADS][MOST];
    static double z[HEADS][MOST];
    float *vs[HEADS];
    double *zs[HEADS];
    static float kept[HEADS][MOST];
    float loss = 0;
    test_case("%s", s->name);
    for (int h = 0; h < HEADS; h++) {
        vs[h] = v[h];
        zs[h] = z[h];
        for (int i = 0; i < SAMPLES * values_of(h); i++) {
            v[h][i] = (float)uniform(-1.5, 1.5);
            z[h][i] = v[h][i];
        }
    }
    for (int threads = 1; threads <= 3; threads += 2) {
        cvn_node x[HEADS];
        cvn_net *net = make_net(s, threads, x);
        run(s, net, x, vs);
        if (threads == 1) compare(s, net, x, zs);
        else CHECK(cvn_loss(net) == loss);
        loss = cvn_loss(net);
        for (int h = 0; h < s->heads; h++) {
            const size_t bytes = (size_t)(SAMPLES * values_of(h)) * sizeof(float);
            if (threads > 1) CHECK(memcmp(kept[h], cvn_gradient(net, x[h]), bytes) == 0);
            memcpy(kept[h], cvn_gradient(net, x[h]), bytes);
        }
        cvn_destroy(net);
    }
}

static void reference_and_differences(void)
{
    setup s;
    memset(&s, 0, sizeof s);
    s.d = cvn_yolo_loss_defaults();
    s.k = 1;
    s.heads = 2;
    s.name = "two heads";
    check_setup(&s);
    s.weighted = 1;
    s.name = "sample weights";
    check_setup(&s);
    s.k = 1.5f;
    s.d.box = 0.75f;
    s.d.object = 2;
    s.d.no_object = 0.25f;
    s.d.classes = 3;
    s.d.ignore = 0.2f;
    s.name = "scale_x_y and factors";
    check_setup(&s);
    s.kind = CVN_YOLO_REGION;
    s.softmax = 1;
    s.heads = 1;
    s.name = "region with softmax";
    check_setup(&s);
}

/* ---- errors ---- */

static void check_refused(int wrong, const char *text)
{
    cvn_net *net = cvn_create(NULL);
    cvn_yolo_loss_desc loss = cvn_yolo_loss_defaults();
    cvn_yolo_desc d[2];
    cvn_node heads[2];
    setup s;
    memset(&s, 0, sizeof s);
    s.k = 1;
    for (int h = 0; h < 2; h++) d[h] = head_desc(&s, h);
    if (wrong == 2) d[0].new_coords = 1;
    if (wrong == 3) d[0].classes++;
    if (wrong == 4) d[0].anchors[1][1] = 0;
    if (wrong == 5) loss.object = -1;
    test_case("%s", text);
    for (int h = 0; h < 2; h++) {
        cvn_node x = cvn_input(net, d[h].boxes * (5 + d[h].classes), 4, 4);
        heads[h] = wrong == 1 ? x : cvn_yolo(net, x, &d[h]);
    }
    if (wrong == 6) loss.truth = cvn_input(net, 1, TRUTHS, 4);
    if (wrong == 7) loss.max_boxes = -1;
    CHECK(!cvn_yolo_loss(net, heads, wrong == 8 ? 0 : 2, &loss).id);
    CHECKF(strstr(cvn_error(net), text) != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

static void check_bad_truth(int element, float value, const char *text)
{
    static float image[SAMPLES * SIDE * SIDE];
    static float v[MOST];
    float t[SAMPLES][TRUTHS][5];
    cvn_node x[HEADS];
    cvn_net *net;
    setup s;
    memset(&s, 0, sizeof s);
    s.d = cvn_yolo_loss_defaults();
    s.k = 1;
    s.heads = 1;
    memcpy(t, truths, sizeof t);
    t[1][2][element] = value;
    net = make_net(&s, 1, x);
    CHECK(cvn_set_input(net, cvn_find(net, "input1"), image, SAMPLES) == CVN_OK);
    CHECK(cvn_set_input(net, cvn_find(net, "target1"), &t[0][0][0], SAMPLES) == CVN_OK);
    CHECK(cvn_set_input(net, x[0], v, SAMPLES) == CVN_OK);
    CHECK(cvn_forward(net) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), text) != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

static void errors(void)
{
    cvn_node x[HEADS];
    cvn_net *net;
    setup s;
    check_refused(1, "head 1 is not from cvn_yolo");
    check_refused(2, "with new_coords");
    check_refused(3, "one number of classes");
    check_refused(4, "anchors above 0");
    check_refused(5, "factors not below 0");
    check_refused(6, "floats [N, boxes, 5]");
    check_refused(7, "-1 elements");
    check_refused(8, "0 heads");
    check_bad_truth(0, CLASSES, "truth 2 of sample 1: class 3 of 3");
    check_bad_truth(1, 1, "centre (1, 0.5)");
    check_bad_truth(4, 0, "sides 0.4 x 0");
    check_bad_truth(3, NAN, "sides nan");
    memset(&s, 0, sizeof s);
    s.d = cvn_yolo_loss_defaults();
    s.k = 1;
    s.heads = 1;
    net = make_net(&s, 1, x);
    CHECK(cvn_mixup(net, 1) == CVN_ERROR_UNSUPPORTED);
    CHECKF(strstr(cvn_error(net), "boxes") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* ---- a detector of bright and dark squares ---- */

#define IMAGES 24
#define EDGE 24

static void paint(int n, float *image, float *truth)
{
    for (int i = 0; i < EDGE * EDGE; i++) image[i] = (float)uniform(-0.1, 0.1);
    for (int t = 0; t < 2; t++) {
        const int side = 5 + (int)uniform(0, 3.99);
        const int left = t * EDGE / 2 + (int)uniform(0, EDGE / 2 - side + 0.99);
        const int top = (int)uniform(0, EDGE - side + 0.99);
        const int label = (n + t) % 2;
        for (int y = top; y < top + side; y++)
            for (int x = left; x < left + side; x++) image[y * EDGE + x] = label ? 1 : -1;
        truth[t * 5] = (float)label;
        truth[t * 5 + 1] = ((float)left + (float)side / 2) / EDGE;
        truth[t * 5 + 2] = ((float)top + (float)side / 2) / EDGE;
        truth[t * 5 + 3] = truth[t * 5 + 4] = (float)side / EDGE;
    }
}

static int finds(const cvn_box *boxes, int count, const float *truth)
{
    for (int i = 0; i < count; i++) {
        double found[4], wanted[4];
        for (int k = 0; k < 4; k++) wanted[k] = truth[1 + k];
        found[0] = (boxes[i].x1 + boxes[i].x2) / 2 / EDGE;
        found[1] = (boxes[i].y1 + boxes[i].y2) / 2 / EDGE;
        found[2] = (boxes[i].x2 - boxes[i].x1) / EDGE;
        found[3] = (boxes[i].y2 - boxes[i].y1) / EDGE;
        if (boxes[i].label == (int)truth[0] && iou(found, wanted) > 0.5) return 1;
    }
    return 0;
}

static void learns(void)
{
    static float images[IMAGES][EDGE * EDGE];
    static float boxes[IMAGES][2][5];
    cvn_net *net = cvn_create(NULL);
    cvn_yolo_desc d = cvn_yolo_defaults();
    cvn_yolo_loss_desc loss;
    cvn_fit_options options = cvn_fit_defaults();
    const cvn_optimizer adam = cvn_adam(0.01f);
    cvn_data data;
    cvn_node x = cvn_input(net, 1, EDGE, EDGE);
    float out[7 * (EDGE / 4) * (EDGE / 4)];
    int found = 0, extra = 0;
    for (int i = 0; i < IMAGES; i++) paint(i, images[i], boxes[i][0]);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 16, 3, 1, 1)));
    x = cvn_maxpool(net, x, 2, 2);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 32, 3, 1, 1)));
    x = cvn_maxpool(net, x, 2, 2);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 32, 3, 1, 1)));
    d.classes = 2;
    d.boxes = 1;
    d.anchors[0][0] = d.anchors[0][1] = 6;
    x = cvn_yolo(net, cvn_conv2d(net, x, 7, 1, 1, 0), &d);
    memset(&loss, 0, sizeof loss);              /* zeros stand for the defaults */
    loss.max_boxes = 2;
    cvn_yolo_loss(net, &x, 1, &loss);
    CHECKF(cvn_build(net, 8) == CVN_OK, "%s", cvn_error(net));
    memset(&data, 0, sizeof data);
    data.count = IMAGES;
    data.images = images[0];
    data.targets = boxes[0][0];
    options.epochs = 60;
    options.callback = NULL;
    options.optimizer = &adam;
    CHECKF(cvn_fit(net, &data, NULL, &options) >= 0, "%s", cvn_error(net));
    for (int i = 0; i < IMAGES; i++) {
        cvn_box seen[64];
        int count;
        CHECKF(cvn_predict(net, images[i], 1, out) == CVN_OK, "%s", cvn_error(net));
        count = cvn_nms(seen, cvn_yolo_boxes(net, 0, 0.5f, seen, 64), 0.5f, 0);
        extra += count > 2 ? count - 2 : 0;
        for (int t = 0; t < 2; t++) found += finds(seen, count, boxes[i][t]);
    }
    CHECKF(found >= 2 * IMAGES - 1 && extra <= 1, "%d of %d squares found, %d too many", found,
           2 * IMAGES, extra);
    cvn_destroy(net);
}

/* ---- average precision ---- */

static cvn_found found_box(int image, int label, float score, float left, float side)
{
    cvn_found f;
    memset(&f, 0, sizeof f);
    f.image = image;
    f.hit = -1;
    f.box.label = label;
    f.box.score = score;
    f.box.x1 = left;
    f.box.x2 = left + side;
    f.box.y2 = side;
    return f;
}

/* Four truths of class 1; found in the order of scores: hit, a second on the same one, hit, beside
 * one, hit. Precisions at the hits 1, 2/3, 3/5. */
static void precision_by_hand(void)
{
    cvn_found truth[5], found[7];
    int hits = 0;
    truth[0] = found_box(3, 1, 0, 0, 10);
    truth[1] = found_box(3, 1, 0, 20, 10);
    truth[2] = found_box(1, 1, 0, 0, 10);
    truth[3] = found_box(2, 1, 0, 50, 10);
    truth[4] = found_box(1, 0, 0, 0, 10);
    found[0] = found_box(1, 1, 0.5f, 1, 10);        /* 9/11 */
    found[1] = found_box(3, 1, 0.9f, 20, 10);
    found[2] = found_box(3, 1, 0.8f, 21, 10);
    found[3] = found_box(2, 1, 0.6f, 55, 10);       /* 1/3 */
    found[4] = found_box(3, 1, 0.7f, 0, 9);
    found[5] = found_box(7, 2, 1, 0, 10);
    found[6] = found_box(1, 0, 0.1f, 0, 10);
    CHECK_NEAR(cvn_average_precision(found, 7, truth, 5, 1, 0.5f), (1 + 2 / 3.0 + 3 / 5.0) / 4,
               1e-6);
    for (int i = 0; i < 5; i++) hits += truth[i].hit;
    CHECK(hits == 3);
    hits = 0;
    for (int i = 0; i < 7; i++) hits += found[i].hit;
    CHECK(hits == 3);
    CHECK_NEAR(cvn_average_precision(found, 7, truth, 5, -1, 0.5f),
               (1 + (1 + 2 / 3.0 + 3 / 5.0) / 4) / 2, 1e-6);
    /* the first */
    CHECK_NEAR(cvn_average_precision(found, 7, truth, 5, 1, 0.85f), 1 / 4.0, 1e-6);
    CHECK_NEAR(cvn_average_precision(found, 7, truth, 5, 0, 0.5f), 1, 1e-6);
    CHECK(cvn_average_precision(found, 7, truth, 5, 2, 0.5f) == 0);
    CHECK(cvn_average_precision(found, 0, truth, 5, -1, 0.5f) == 0);
    CHECK(cvn_average_precision(NULL, 0, NULL, 0, -1, 0.5f) == 0);
}

/* Random boxes against the definition: for each recall the best precision at it or above. */
#define FOUND 60
#define TRUE_BOXES 30

static double cover(const cvn_box *a, const cvn_box *b)
{
    const double both = fmax(0, fmin((double)a->x2, (double)b->x2) -
                                    fmax((double)a->x1, (double)b->x1)) *
                        fmin((double)a->y2, (double)b->y2);
    const double area_a = ((double)a->x2 - (double)a->x1) * (double)a->y2;
    const double area_b = ((double)b->x2 - (double)b->x1) * (double)b->y2;
    return both / (area_a + area_b - both);
}

static double defined_precision(const cvn_found *found, const cvn_found *truth, double limit)
{
    int taken[TRUE_BOXES] = { 0 }, done[FOUND] = { 0 };
    double precision[FOUND], recall[FOUND], sum = 0;
    int hits = 0;
    for (int rank = 0; rank < FOUND; rank++) {
        int next = -1, met = -1;
        for (int i = 0; i < FOUND; i++)
            if (!done[i] && (next < 0 || found[i].box.score > found[next].box.score)) next = i;
        done[next] = 1;
        for (int t = 0; t < TRUE_BOXES; t++)
            if (truth[t].image == found[next].image &&
                (met < 0 || cover(&found[next].box, &truth[t].box) >
                                cover(&found[next].box, &truth[met].box)))
                met = t;
        if (met >= 0 && cover(&found[next].box, &truth[met].box) >= limit && !taken[met]++) hits++;
        precision[rank] = (double)hits / (rank + 1);
        recall[rank] = (double)hits / TRUE_BOXES;
    }
    for (int rank = 0; rank < FOUND; rank++) {
        const double before = rank ? recall[rank - 1] : 0;
        double best = 0;
        for (int k = rank; k < FOUND; k++) best = fmax(best, precision[k]);
        sum += (recall[rank] - before) * best;
    }
    return sum;
}

static void precision_at_random(void)
{
    for (int round = 0; round < 50; round++) {
        cvn_found found[FOUND], truth[TRUE_BOXES];
        double expected;
        for (int i = 0; i < FOUND; i++)
            found[i] = found_box((int)uniform(0, 9.99), 0, (float)uniform(0, 1),
                                 (float)uniform(0, 30), (float)uniform(5, 12));
        for (int i = 0; i < TRUE_BOXES; i++)
            truth[i] = found_box((int)uniform(0, 9.99), 0, 0, (float)uniform(0, 30),
                                 (float)uniform(5, 12));
        expected = defined_precision(found, truth, 0.4);
        CHECK_NEAR(cvn_average_precision(found, FOUND, truth, TRUE_BOXES, -1, 0.4f), expected,
                   1e-6);
    }
}

int main(void)
{
    RUN(reference_and_differences);
    RUN(errors);
    RUN(learns);
    RUN(precision_by_hand);
    RUN(precision_at_random);
    return test_done();
}
