/* Training within a memory budget: values given up and computed again; 3 s on two cores.
 *     cc -O2 -fopenmp -o build/08_memory_budget examples/08_memory_budget.c -lm
 *
 * Learnt here: cvn_memory_needed, cvn_set_memory_budget. ResNet-18 on batches of 8 images of
 * 224 x 224, SGD with momentum: parameters, gradients and momentum take 140 MB, the values that the
 * backward pass reads take the rest. Within a budget the net gives some of them up after the
 * forward pass and computes them again when the backward pass needs them: the losses are the same
 * to the last bit, a step took up to a tenth longer.
 *
 *     build/08_memory_budget [MEGABYTES ...]      without arguments: no budget, then two
 *
 * Prints a line a budget: what the arena takes, the losses of three steps, seconds. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BATCH = 8, SIZE = 224, CLASSES = 1000, STEPS = 3 };

static cvn_net *resnet18(void)
{
    static const int channels[4] = { 64, 128, 256, 512 };
    cvn_net *net = cvn_create(NULL);
    cvn_conv2d_desc stem = cvn_conv2d_defaults();
    cvn_pool_desc pool = cvn_pool_defaults();
    const cvn_optimizer sgd = cvn_sgd(0.01f, 0.9f);
    cvn_node x = cvn_input(net, 3, SIZE, SIZE);
    stem.filters = 64;
    stem.kernel_h = 7;
    stem.stride_h = 2;
    stem.pad_top = stem.pad_left = stem.pad_bottom = stem.pad_right = 3;
    stem.no_bias = 1;
    pool.kernel_h = 3;
    pool.stride_h = 2;
    pool.pad_top = pool.pad_left = pool.pad_bottom = pool.pad_right = 1;
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d_ex(net, x, &stem)));
    x = cvn_maxpool_ex(net, x, &pool);
    for (int stage = 0; stage < 4; stage++)
        for (int block = 0; block < 2; block++)
            x = cvn_residual_basic(net, x, channels[stage], stage > 0 && block == 0 ? 2 : 1);
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, x), CLASSES));
    cvn_set_optimizer(net, &sgd);
    return net;
}

/* Random images: only memory, time and the bits of the loss matter here. */
static int train(double megabytes, const float *images, const int *labels)
{
    cvn_net *net = resnet18();
    time_t begin;
    cvn_set_memory_budget(net, (size_t)(megabytes * 1e6));
    if (cvn_build(net, BATCH) != CVN_OK) {
        printf("budget %4.0f MB: %s\n", megabytes, cvn_error(net));
        cvn_destroy(net);
        return 0;
    }
    printf("budget %4.0f MB: arena %5.1f MB, losses", megabytes,
           (double)cvn_memory_needed(net, BATCH, CVN_TRAIN) / 1e6);
    begin = time(NULL);
    for (int step = 0; step < STEPS; step++) {
        float loss = 0;
        if (cvn_train_batch(net, images, labels, BATCH, &loss) != CVN_OK) break;
        printf(" %.7f", (double)loss);
        fflush(stdout);
    }
    printf(", %.0f s\n", difftime(time(NULL), begin));
    cvn_destroy(net);
    return 1;
}

int main(int argc, char **argv)
{
    static const double budgets[3] = { 0, 270, 235 };
    static float images[BATCH * 3 * SIZE * SIZE];
    int labels[BATCH];
    int good = 1;
    unsigned state = 1;
    for (size_t i = 0; i < sizeof images / sizeof images[0]; i++) {
        state = state * 1664525u + 1013904223u;
        images[i] = (float)(state >> 8) / 8388608.0f - 1;
    }
    for (int i = 0; i < BATCH; i++) labels[i] = i;
    for (int i = 1; i < argc; i++) good &= train(atof(argv[i]), images, labels);
    for (int i = 0; argc < 2 && i < 3; i++) good &= train(budgets[i], images, labels);
    return good ? 0 : 1;
}
