/* A detector from nothing: a small YOLO learns circles, squares and triangles that the program
 * draws itself; prints the average precision of each class on new images and writes
 * build/shapes.png, the truth in white and what was found in colour. A quarter of a minute.
 *     cc -O2 -fopenmp -o build/09_train_detector examples/09_train_detector.c -lm */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "png.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 64, PIXELS = SIDE * SIDE, CLASSES = 3, SHAPES = 4, TRAIN = 2000, TEST = 200 };
enum { MOST = 100, ENLARGE = 3, COLUMNS = 6, ROWS = 3, TILE = SIDE * ENLARGE + 6 };

static const char *const class_names[CLASSES] = { "circle", "square", "triangle" };

typedef struct set {
    unsigned char (*images)[3 * PIXELS];    /* [3, SIDE, SIDE] each */
    float (*truths)[SHAPES][5];             /* class or -1, centre x, y, width, height over SIDE */
} set;

/* ---- the images ---- */

static float uniform(float low, float high)
{
    return low + (high - low) * (float)(rand() % 10001) / 10000;
}

/* Is the centre of pixel (x, y) inside the shape with the centre (cx, cy) and the half side r? */
static int inside(int label, float cx, float cy, float r, int x, int y)
{
    const float dx = (float)x + 0.5f - cx, dy = (float)y + 0.5f - cy;
    if (label == 0) return dx * dx + dy * dy <= r * r;
    if (label == 1) return fabsf(dx) <= r && fabsf(dy) <= r;
    return fabsf(dy) <= r && fabsf(dx) <= (dy + r) / 2;
}

static void draw_shape(unsigned char *image, int label, float cx, float cy, float r)
{
    unsigned char color[3];
    for (int c = 0; c < 3; c++) color[c] = (unsigned char)(rand() % 256);
    color[rand() % 3] = 255;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++)
            if (inside(label, cx, cy, r, x, y))
                for (int c = 0; c < 3; c++) image[c * PIXELS + y * SIDE + x] = color[c];
}

/* Room for a new shape beside those that are there? */
static int is_free(float (*truths)[5], int count, float cx, float cy, float r)
{
    for (int i = 0; i < count; i++) {
        const float reach = r + truths[i][3] * SIDE / 2;
        if (fabsf(truths[i][1] * SIDE - cx) < 0.8f * reach &&
            fabsf(truths[i][2] * SIDE - cy) < 0.8f * reach)
            return 0;
    }
    return 1;
}

/* One to SHAPES shapes on noise; at least the first one finds room. */
static void draw_image(unsigned char *image, float (*truths)[5])
{
    const int wanted = 1 + rand() % SHAPES;
    int count = 0;
    for (int i = 0; i < 3 * PIXELS; i++) image[i] = (unsigned char)(rand() % 128);
    for (int i = 0; i < SHAPES; i++) truths[i][0] = -1;
    for (int tries = 0; tries < 20 && count < wanted; tries++) {
        const float r = uniform(5, 14);
        const float cx = uniform(r, SIDE - r), cy = uniform(r, SIDE - r);
        const int label = rand() % CLASSES;
        if (!is_free(truths, count, cx, cy, r)) continue;
        draw_shape(image, label, cx, cy, r);
        truths[count][0] = (float)label;
        truths[count][1] = cx / SIDE;
        truths[count][2] = cy / SIDE;
        truths[count][3] = truths[count][4] = 2 * r / SIDE;
        count++;
    }
}

static int make_set(set *s, int count, cvn_data *data)
{
    s->images = (unsigned char (*)[3 * PIXELS])malloc((size_t)count * sizeof *s->images);
    s->truths = (float (*)[SHAPES][5])calloc((size_t)count, sizeof *s->truths);
    if (!s->images || !s->truths) return 0;
    for (int i = 0; i < count; i++) draw_image(s->images[i], s->truths[i]);
    memset(data, 0, sizeof *data);
    data->count = count;
    data->bytes = s->images[0];
    data->targets = &s->truths[0][0][0];
    data->channels = 3;
    data->height = data->width = SIDE;
    return 1;
}

/* ---- the net ---- */

static cvn_node block(cvn_net *net, cvn_node x, int filters)
{
    return cvn_leaky_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, filters, 3, 1, 1)), 0.1f);
}

/* Two anchors in each cell of 8 x 8 pixels. */
static cvn_net *make_net(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_yolo_desc head = cvn_yolo_defaults();
    cvn_yolo_loss_desc loss = cvn_yolo_loss_defaults();
    cvn_node x = cvn_input(net, 3, SIDE, SIDE);
    x = cvn_maxpool(net, block(net, x, 16), 2, 2);                  /* [N, 16, 32, 32] */
    x = cvn_maxpool(net, block(net, x, 32), 2, 2);                  /* [N, 32, 16, 16] */
    x = cvn_maxpool(net, block(net, x, 64), 2, 2);                  /* [N, 64,  8,  8] */
    x = block(net, block(net, x, 64), 64);
    head.classes = CLASSES;
    head.boxes = 2;
    head.anchors[0][0] = head.anchors[0][1] = 14;                   /* pixels */
    head.anchors[1][0] = head.anchors[1][1] = 24;
    x = cvn_yolo(net, cvn_conv2d(net, x, head.boxes * (5 + CLASSES), 1, 1, 0), &head);
    loss.max_boxes = SHAPES;
    cvn_yolo_loss(net, &x, 1, &loss);
    return net;
}

/* ---- what it found ---- */

static int find_shapes(cvn_net *net, const set *s, int image, float threshold, cvn_box *boxes)
{
    static float pixels[3 * PIXELS], out[2 * (5 + CLASSES) * 8 * 8];
    int count;
    for (int i = 0; i < 3 * PIXELS; i++) pixels[i] = (float)s->images[image][i] / 255;
    if (cvn_predict(net, pixels, 1, out) != CVN_OK) return 0;
    count = cvn_yolo_boxes(net, 0, threshold, boxes, MOST);
    return cvn_nms(boxes, count, 0.45f, 0);
}

static cvn_box truth_box(const float *v)
{
    cvn_box box = { 0, 0, 0, 0, 1, (int)v[0] };
    box.x1 = (v[1] - v[3] / 2) * SIDE;
    box.y1 = (v[2] - v[4] / 2) * SIDE;
    box.x2 = (v[1] + v[3] / 2) * SIDE;
    box.y2 = (v[2] + v[4] / 2) * SIDE;
    return box;
}

static void print_precision(cvn_net *net, const set *s)
{
    static cvn_found found[TEST * MOST], truth[TEST * SHAPES];
    cvn_box boxes[MOST];
    int count = 0, truths = 0;
    for (int i = 0; i < TEST; i++) {
        const int n = find_shapes(net, s, i, 0.01f, boxes);
        for (int k = 0; k < n; k++, count++) {
            found[count].box = boxes[k];
            found[count].image = i;
        }
        for (int k = 0; k < SHAPES; k++) {
            if (s->truths[i][k][0] < 0) continue;
            truth[truths].box = truth_box(s->truths[i][k]);
            truth[truths++].image = i;
        }
    }
    for (int c = 0; c < CLASSES; c++)
        printf("average precision of %-8s  %.3f\n", class_names[c],
               (double)cvn_average_precision(found, count, truth, truths, c, 0.5f));
    printf("mean average precision         %.3f\n",
           (double)cvn_average_precision(found, count, truth, truths, -1, 0.5f));
}

static void draw_box(png_image *p, int left, int top, const cvn_box *b, const unsigned char *color)
{
    const int x1 = left + (int)(b->x1 * ENLARGE), x2 = left + (int)(b->x2 * ENLARGE);
    const int y1 = top + (int)(b->y1 * ENLARGE), y2 = top + (int)(b->y2 * ENLARGE);
    for (int x = x1; x <= x2; x++) {
        png_rectangle(p, x, y1, 2, color);
        png_rectangle(p, x, y2, 2, color);
    }
    for (int y = y1; y <= y2; y++) {
        png_rectangle(p, x1, y, 2, color);
        png_rectangle(p, x2, y, 2, color);
    }
}

static int draw_found(cvn_net *net, const set *s, const char *path)
{
    static const unsigned char colors[CLASSES + 1][3] = {
        { 255, 96, 64 }, { 64, 224, 96 }, { 96, 160, 255 }, { 255, 255, 255 }
    };
    png_image p;
    int saved;
    if (!png_create(&p, COLUMNS * TILE, ROWS * TILE)) return 0;
    for (int i = 0; i < COLUMNS * ROWS; i++) {
        const int left = i % COLUMNS * TILE + 3, top = i / COLUMNS * TILE + 3;
        cvn_box boxes[MOST];
        const int count = find_shapes(net, s, i, 0.3f, boxes);
        for (int y = 0; y < SIDE; y++) {
            for (int x = 0; x < SIDE; x++) {
                unsigned char color[3];
                for (int c = 0; c < 3; c++) color[c] = s->images[i][c * PIXELS + y * SIDE + x];
                png_rectangle(&p, left + x * ENLARGE, top + y * ENLARGE, ENLARGE, color);
            }
        }
        for (int k = 0; k < SHAPES; k++) {
            const cvn_box box = truth_box(s->truths[i][k]);
            if (s->truths[i][k][0] >= 0) draw_box(&p, left, top, &box, colors[CLASSES]);
        }
        for (int k = 0; k < count; k++) draw_box(&p, left, top, &boxes[k], colors[boxes[k].label]);
    }
    saved = png_save(&p, path);
    png_free(&p);
    return saved;
}

int main(void)
{
    cvn_fit_options options = cvn_fit_defaults();
    const cvn_optimizer optimizer = cvn_adam(0.002f);
    cvn_data train, test;
    set train_set, test_set;
    cvn_net *net = make_net();
    if (cvn_build(net, 32) != CVN_OK) return puts(cvn_error(net)), 1;
    if (!make_set(&train_set, TRAIN, &train) || !make_set(&test_set, TEST, &test))
        return puts("out of memory"), 1;
    options.epochs = 15;
    options.optimizer = &optimizer;
    options.callback = cvn_print_progress;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    if (cvn_fit(net, &train, &test, &options) < 0) return puts(cvn_error(net)), 1;
    print_precision(net, &test_set);
    if (!draw_found(net, &test_set, "build/shapes.png"))
        return puts("build/shapes.png cannot be written"), 1;
    puts("build/shapes.png: truth in white, circles red, squares green, triangles blue");
    cvn_destroy(net);
    free(train_set.images);
    free(train_set.truths);
    free(test_set.images);
    free(test_set.truths);
    return 0;
}
