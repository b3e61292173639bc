/* LeNet-5 on MNIST or Fashion-MNIST: load, train, evaluate, save; about 10 s an epoch.
 *     cc -O2 -fopenmp -o build/02_mnist_lenet examples/02_mnist_lenet.c -lm
 *     build/02_mnist_lenet DIR [EPOCHS]   trains (5 epochs), writes 02_mnist_lenet.safetensors
 *     build/02_mnist_lenet DIR 0 FILE     only evaluates weights: build/lenet.safetensors
 *     build/02_mnist_lenet ... --device cl            the same on the first GPU (convnet_cl.h)
 * Prints progress and the test accuracy. DIR holds the four unpacked files train-images-idx3-ubyte,
 * train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte.
 * Source: Y. LeCun et al., Gradient-based learning applied to document recognition, 1998. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#define CONVNET_CL_IMPLEMENTATION
#include "../convnet_cl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int load(cvn_data *data, const char *dir, const char *set)
{
    char images[1024];
    char labels[1024];
    snprintf(images, sizeof images, "%s/%s-images-idx3-ubyte", dir, set);
    snprintf(labels, sizeof labels, "%s/%s-labels-idx1-ubyte", dir, set);
    if (cvn_load_idx(data, images, labels) == CVN_OK) return 1;
    fprintf(stderr, "%s\n", data->error);
    return 0;
}

static cvn_net *lenet5(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 1, 28, 28);              /* [N,  1, 28, 28] */
    x = cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2));   /* [N,  6, 28, 28] */
    x = cvn_maxpool(net, x, 2, 2);                       /* [N,  6, 14, 14] */
    x = cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0));  /* [N, 16, 10, 10] */
    x = cvn_maxpool(net, x, 2, 2);                       /* [N, 16,  5,  5] */
    x = cvn_relu(net, cvn_dense(net, x, 120));
    x = cvn_relu(net, cvn_dense(net, x, 84));
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
    return net;
}

static cvn_result train(cvn_net *net, cvn_data *data, const cvn_data *test, int epochs)
{
    const cvn_optimizer adam = cvn_adam(4e-3f);
    cvn_augment augment = { 0 };
    cvn_fit_options options = cvn_fit_defaults();
    cvn_result result;
    augment.shift = 1;                                   /* each image moved by up to a pixel, anew
                                                          * each epoch */
    data->augment = &augment;
    options.epochs = epochs;
    options.optimizer = &adam;
    options.schedule.kind = CVN_SCHEDULE_ONE_CYCLE;
    options.callback = cvn_print_progress;
    result = cvn_fit(net, data, test, &options);
    data->augment = NULL;
    return result < 0 ? result : cvn_save(net, "build/02_mnist_lenet.safetensors");
}

/* The last words "--device cl", or "--device PLATFORM:DEVICE" (numbers that cvncl_info prints), or
 * CONVNET_CL in the environment: the net runs there (convnet_cl.h), if there is one. */
static cvn_backend *device_of(int *argc, char **argv)
{
    cvncl_desc desc = cvncl_defaults();
    const int named = *argc > 2 && !strcmp(argv[*argc - 2], "--device");
    if (!named) return getenv("CONVNET_CL") ? cvncl_open(NULL) : NULL;
    *argc -= 2;
    if (strchr(argv[*argc + 1], ':')) desc.device = argv[*argc + 1];
    return cvncl_open(&desc);
}

int main(int argc, char **argv)
{
    cvn_backend *device = device_of(&argc, argv);
    const int epochs = argc > 2 ? atoi(argv[2]) : 5;
    cvn_data training = { 0 };
    cvn_data test = { 0 };
    cvn_metrics metrics = { 0 };
    cvn_net *net = NULL;
    cvn_result result = CVN_ERROR_FILE;
    if (argc < 2 || (argc < 4 && epochs < 1)) {
        fprintf(stderr, "usage: %s DIR [EPOCHS] [WEIGHTS] [--device cl]\n", argv[0]);
        cvncl_close(device);
        return 1;
    }
    if (load(&training, argv[1], "train") && load(&test, argv[1], "t10k")) {
        cvn_data_normalize_as(&test, &training);         /* the net is to see test images as it saw
                                                          * the others */
        net = lenet5();
        if (device && cvn_use_backend(net, device) < 0) puts(cvn_error(net));
        result = cvn_build(net, 64);
        if (result == CVN_OK)
            result = argc > 3 ? cvn_load(net, argv[3]) : train(net, &training, &test, epochs);
        if (result == CVN_OK) result = cvn_evaluate(net, &test, &metrics);
        if (result == CVN_OK) printf("test accuracy %.2f %%\n", 100 * metrics.accuracy);
        else fprintf(stderr, "%s\n", cvn_error(net));
    }
    cvn_destroy(net);
    cvncl_close(device);
    cvn_data_free(&training);
    cvn_data_free(&test);
    return result == CVN_OK ? 0 : 1;
}
