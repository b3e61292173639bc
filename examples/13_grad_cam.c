/* Grad-CAM: where does a net look when it says what it says? It learns to name the one digit that
 * stands somewhere among scraps of others; build/grad_cam.png shows test images, and beside each in
 * red what spoke for the answer. Half a minute.
 *     cc -O2 -fopenmp -o build/13_grad_cam examples/13_grad_cam.c -lm
 * The gradient of the answer's score at the last convolution, its mean over each channel, weighs
 * the channels; their sum, where it is positive, is the map. R. Selvaraju et al., arXiv:1610.02391,
 * equations 1 and 2. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "digits.h"
#include "png.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 56, PIXELS = SIDE * SIDE, DIGIT = DIGITS_SIZE, SCRAPS = 6, SCRAP = 8 };
enum { TRAIN = 6000, TEST = 500, CHANNELS = 64, CELLS = 14, BATCH = 50 };
enum { SHOWN = 12, COLUMNS = 4, ENLARGE = 2, TILE = SIDE * ENLARGE + 4 };

static int failed(cvn_net *net) { return puts(cvn_error(net)), 1; }

/* ---- images ---- */

/* A square of `side` from (x, y) of a digit into the image at (to_x, to_y). */
static void paste(unsigned char *image, const unsigned char *digit, int x, int y, int side,
                  int to_x, int to_y)
{
    for (int i = 0; i < side; i++)
        for (int k = 0; k < side; k++) {
            const unsigned char ink = digit[(y + i) * DIGIT + x + k];
            unsigned char *pixel = &image[(to_y + i) * SIDE + to_x + k];
            if (ink > *pixel) *pixel = ink;
        }
}

static int make_set(cvn_data *data, uint64_t seed, int count)
{
    unsigned char *images = (unsigned char *)calloc((size_t)count, PIXELS);
    unsigned char *digits = (unsigned char *)malloc((size_t)count * DIGIT * DIGIT);
    int *labels = (int *)malloc((size_t)count * sizeof *labels);
    memset(data, 0, sizeof *data);
    data->count = count;
    data->bytes = images;
    data->labels = labels;
    data->channels = 1;
    data->height = data->width = SIDE;
    if (images && digits && labels) {
        digits_fill(seed, count, digits, labels);
        for (int i = 0; i < count; i++) {
            unsigned char *image = images + (size_t)i * PIXELS;
            for (int k = 0; k < SCRAPS; k++)
                paste(image, digits + (size_t)(rand() % count) * DIGIT * DIGIT,
                      6 + rand() % 8, 6 + rand() % 8, SCRAP, rand() % (SIDE - SCRAP),
                      rand() % (SIDE - SCRAP));
            paste(image, digits + (size_t)i * DIGIT * DIGIT, 0, 0, DIGIT, rand() % (SIDE - DIGIT),
                  rand() % (SIDE - DIGIT));
        }
    }
    free(digits);
    return images && digits && labels;
}

/* ---- the net, and where it looks ---- */

typedef struct classifier {
    cvn_net *net;
    cvn_node features, scores;      /* [N, 64, 14, 14], [N, 10] */
} classifier;

static classifier make_net(void)
{
    classifier c;
    cvn_net *net = c.net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 1, SIDE, SIDE);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 2)), 2, 2);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 32, 3, 1, 1)), 2, 2);
    x = cvn_relu(net, cvn_conv2d(net, x, 64, 3, 1, 1));
    c.features = cvn_relu(net, cvn_conv2d(net, x, CHANNELS, 3, 1, 1));
    cvn_keep(net, c.features);
    cvn_want_grad(net, c.features);
    x = cvn_global_maxpool(net, c.features);
    c.scores = cvn_dense(net, x, 10);
    cvn_want_grad(net, c.scores);
    cvn_softmax_loss(net, c.scores);
    return c;
}

/* The answer for one image, and map [14, 14], 0 where nothing spoke for it; -1: an error. */
static int grad_cam(classifier *c, const float *image, float *map)
{
    float one_hot[10] = { 0 };
    float values[CHANNELS * CELLS * CELLS];
    const float *slopes;
    int answer;
    if (cvn_classify(c->net, image, 1, &answer, NULL) != CVN_OK) return -1;
    cvn_set_input(c->net, cvn_find(c->net, "input1"), image, 1);
    cvn_set_labels(c->net, cvn_find(c->net, "labels1"), &answer, 1);
    if (cvn_forward(c->net) != CVN_OK) return -1;
    memcpy(values, cvn_value(c->net, c->features), sizeof values);
    one_hot[answer] = 1;            /* d score[answer]/d scores */
    if (cvn_backward_from(c->net, c->scores, one_hot) != CVN_OK) return -1;
    slopes = cvn_gradient(c->net, c->features);
    for (int i = 0; i < CELLS * CELLS; i++) map[i] = 0;
    for (int k = 0; k < CHANNELS; k++) {
        float weight = 0;
        for (int i = 0; i < CELLS * CELLS; i++) weight += slopes[k * CELLS * CELLS + i];
        weight /= CELLS * CELLS;
        for (int i = 0; i < CELLS * CELLS; i++) map[i] += weight * values[k * CELLS * CELLS + i];
    }
    for (int i = 0; i < CELLS * CELLS; i++) if (map[i] < 0) map[i] = 0;
    cvn_zero_grad(c->net);
    return answer;
}

/* ---- the picture ---- */

/* The map at a pixel of the image, bilinear. */
static float map_at(const float *map, int y, int x)
{
    const float fy = ((float)y + 0.5f) * CELLS / SIDE - 0.5f;
    const float fx = ((float)x + 0.5f) * CELLS / SIDE - 0.5f;
    float sum = 0;
    for (int i = 0; i < CELLS; i++)
        for (int k = 0; k < CELLS; k++) {
            const float wy = 1 - (fy > (float)i ? fy - (float)i : (float)i - fy);
            const float wx = 1 - (fx > (float)k ? fx - (float)k : (float)k - fx);
            if (wy > 0 && wx > 0) sum += wy * wx * map[i * CELLS + k];
        }
    return sum;
}

static void draw_pair(png_image *p, int left, int top, const unsigned char *image, const float *map)
{
    float most = 1e-9f;
    for (int i = 0; i < CELLS * CELLS; i++) if (map[i] > most) most = map[i];
    for (int i = 0; i < PIXELS; i++) {
        const int x = left + i % SIDE * ENLARGE, y = top + i / SIDE * ENLARGE;
        const float heat = map_at(map, i / SIDE, i % SIDE) / most;
        unsigned char color[3];
        memset(color, image[i], 3);
        png_rectangle(p, x, y, ENLARGE, color);
        color[0] = (unsigned char)((float)image[i] + (float)(255 - image[i]) * heat);
        color[1] = color[2] = (unsigned char)((float)image[i] * (1 - heat / 2));
        png_rectangle(p, x + TILE, y, ENLARGE, color);
    }
}

static int draw_maps(classifier *c, const cvn_data *test, const char *path)
{
    static float image[PIXELS];
    float map[CELLS * CELLS];
    png_image p;
    int saved;
    if (!png_create(&p, 2 * COLUMNS * TILE, SHOWN / COLUMNS * TILE)) return 0;
    for (int i = 0; i < SHOWN; i++) {
        const unsigned char *bytes = test->bytes + (size_t)i * PIXELS;
        int answer;
        for (int k = 0; k < PIXELS; k++) image[k] = (float)bytes[k] / 255;
        if ((answer = grad_cam(c, image, map)) < 0) return puts(cvn_error(c->net)), 0;
        printf("%d is called %d%s", test->labels[i], answer, (i + 1) % COLUMNS ? "    " : "\n");
        draw_pair(&p, 2 + i % COLUMNS * 2 * TILE, 2 + i / COLUMNS * TILE, bytes, map);
    }
    saved = png_save(&p, path);
    png_free(&p);
    return saved;
}

int main(void)
{
    const cvn_optimizer adam = cvn_adam(0.002f);
    cvn_fit_options options = cvn_fit_defaults();
    classifier c = make_net();
    cvn_data train, test;
    if (!make_set(&train, 1, TRAIN) || !make_set(&test, 2, TEST)) return puts("out of memory"), 1;
    if (cvn_build(c.net, BATCH) != CVN_OK) return failed(c.net);
    options.epochs = 6;
    options.optimizer = &adam;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    options.callback = cvn_print_progress;
    if (cvn_fit(c.net, &train, &test, &options) < 0) return failed(c.net);
    if (!draw_maps(&c, &test, "build/grad_cam.png")) return 1;
    puts("build/grad_cam.png: image and map side by side");
    cvn_destroy(c.net);
    free((void *)train.bytes);
    free((void *)train.labels);
    free((void *)test.bytes);
    free((void *)test.labels);
    return 0;
}
