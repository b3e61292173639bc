/* Transfer learning: a trained net from an ONNX file, frozen, with a new head, learns a task; 3 s.
 *     cc -O2 -fopenmp -o build/07_transfer_learning examples/07_transfer_learning.c -lm
 *     build/07_transfer_learning      drawn digits: even or odd, from 40 samples
 *     build/07_transfer_learning MODEL.onnx NODE RANGE DIR [COUNT]
 *                                     the first COUNT (1000) images of an IDX set
 *
 * Learnt here: cvn_save_onnx, cvn_load_onnx, cvn_find, cvn_freeze_to. Without arguments the program
 * first makes its trained net, a small one that reads digits, and writes it to build/digits.onnx;
 * any exporter's file does as well. MODEL takes [N, 1, 28, 28] with pixels from 0 to RANGE (1 or
 * 255); NODE is the layer whose value the new head reads; DIR holds the four unpacked files of
 * MNIST or one of its kin. Prints the accuracy of the new head on frozen features, and that of the
 * same net trained from nothing on the same samples. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "digits.h"
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = DIGITS_SIZE * DIGITS_SIZE, BATCH = 20 };

/* ---- a trained net in a file ---- */

static int draw(cvn_data *data, uint64_t seed, int count)
{
    unsigned char *bytes = (unsigned char *)malloc((size_t)count * PIXELS);
    int *labels = (int *)malloc((size_t)count * sizeof *labels);
    data->bytes = bytes;
    data->labels = labels;
    if (!bytes || !labels) return 0;
    digits_fill(seed, count, bytes, labels);
    data->count = count;
    data->channels = 1;
    data->height = data->width = DIGITS_SIZE;
    return 1;
}

static cvn_result train(cvn_net *net, const cvn_data *data, int epochs)
{
    const cvn_optimizer adam = cvn_adam(3e-3f);
    cvn_fit_options options = cvn_fit_defaults();
    options.epochs = epochs;
    options.optimizer = &adam;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    return cvn_fit(net, data, NULL, &options);
}

static int write_model(const char *path)
{
    cvn_data digits = { 0 };
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 1, DIGITS_SIZE, DIGITS_SIZE);
    cvn_result result = CVN_ERROR_MEMORY;
    x = cvn_relu(net, cvn_conv2d(net, x, 8, 5, 1, 2));
    x = cvn_maxpool(net, x, 2, 2);                          /* [N,  8, 14, 14] */
    x = cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 2));
    x = cvn_maxpool(net, x, 2, 2);                          /* [N, 16,  7,  7] */
    x = cvn_name(net, cvn_relu(net, cvn_dense(net, x, 64)), "features");
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
    if (draw(&digits, 1, 3000)) result = cvn_build(net, BATCH);
    if (result == CVN_OK) result = train(net, &digits, 4);
    if (result == CVN_OK) result = cvn_save_onnx(net, path);
    if (result != CVN_OK) fprintf(stderr, "%s\n", cvn_error(net));
    cvn_destroy(net);
    free((void *)digits.bytes);
    free((void *)digits.labels);
    return result == CVN_OK;
}

/* ---- the new task ---- */

/* The accuracy of a head of `classes` on layer `node` of a model, learnt from `task`: on frozen
 * features, or with all parameters drawn anew; -1 with the reason said. */
static double learn(const char *model, const char *node, int classes, int frozen,
                    const cvn_data *task, const cvn_data *test)
{
    cvn_net *net = cvn_create(NULL);
    cvn_metrics metrics = { 0 };
    cvn_result result = cvn_load_onnx(net, model);
    if (result == CVN_OK) {
        const cvn_node features = cvn_find(net, node);
        cvn_node head;
        char layers[8192];
        if (!features.id && cvn_summary(net, layers, sizeof layers))
            fprintf(stderr, "no layer '%s' among these:\n%s", node, layers);
        if (frozen) cvn_freeze_to(net, features);
        head = cvn_dense(net, features, classes);
        cvn_output(net, head);
        cvn_softmax_loss(net, head);
        result = cvn_build(net, BATCH);
    }
    if (result == CVN_OK && !frozen) result = cvn_init_parameters(net, 7);
    if (result == CVN_OK)
        result = train(net, task, 12000 / task->count < 60 ? 12000 / task->count + 1 : 60);
    if (result == CVN_OK) result = cvn_evaluate(net, test, &metrics);
    if (result != CVN_OK) fprintf(stderr, "%s\n", cvn_error(net));
    cvn_destroy(net);
    return result == CVN_OK ? 100 * metrics.accuracy : -1;
}

static int compare(const char *model, const char *node, int classes, const cvn_data *task,
                   const cvn_data *test)
{
    const double scratch = learn(model, node, classes, 0, task, test);
    const double transfer = scratch < 0 ? -1 : learn(model, node, classes, 1, task, test);
    if (transfer < 0) return 1;
    printf("%d samples, %d classes, %d others to test with\n", task->count, classes, test->count);
    printf("from nothing          test accuracy %.2f %%\n", scratch);
    printf("a new head on '%s', frozen: test accuracy %.2f %%\n", node, transfer);
    return 0;
}

static int even_or_odd(void)
{
    cvn_data task = { 0 }, test = { 0 };
    int bad = !write_model("build/digits.onnx") || !draw(&task, 2, 40) || !draw(&test, 3, 2000);
    for (int i = 0; !bad && i < task.count; i++) ((int *)task.labels)[i] %= 2;
    for (int i = 0; !bad && i < test.count; i++) ((int *)test.labels)[i] %= 2;
    if (!bad) bad = compare("build/digits.onnx", "features", 2, &task, &test);
    free((void *)task.bytes);
    free((void *)task.labels);
    free((void *)test.bytes);
    free((void *)test.labels);
    return bad;
}

/* ---- a model and a set of images that are given ---- */

static int read_set(cvn_data *data, const char *dir, const char *set, float range)
{
    char images[1024];
    char labels[1024];
    snprintf(images, sizeof images, "%s/%s-images-idx3-ubyte", dir, set);
    snprintf(labels, sizeof labels, "%s/%s-labels-idx1-ubyte", dir, set);
    if (cvn_load_idx(data, images, labels) != CVN_OK) {
        fprintf(stderr, "%s\n", data->error);
        return 0;
    }
    data->mean[0] = 0;                                  /* pixels as MODEL was trained on them */
    data->std[0] = 1 / range;
    return 1;
}

int main(int argc, char **argv)
{
    cvn_data task = { 0 }, test = { 0 };
    int bad = 1;
    if (argc == 1) return even_or_odd();
    if (argc < 5) {
        fprintf(stderr, "usage: %s [MODEL.onnx NODE RANGE DIR [COUNT]]\n", argv[0]);
        return 1;
    }
    if (read_set(&task, argv[4], "train", (float)atof(argv[3])) &&
        read_set(&test, argv[4], "t10k", (float)atof(argv[3]))) {
        const int count = argc > 5 ? atoi(argv[5]) : 1000;
        if (count > 0 && count < task.count) task.count = count;
        bad = compare(argv[1], argv[2], task.classes, &task, &test);
    }
    cvn_data_free(&task);
    cvn_data_free(&test);
    return bad;
}
