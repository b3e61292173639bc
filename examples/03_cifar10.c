/* ResNet-20 on CIFAR-10: residual blocks, batch norm, augmentation, SGD; minutes an epoch.
 *     cc -O2 -fopenmp -o build/03_cifar10 examples/03_cifar10.c -lm
 *     build/03_cifar10 DIR [EPOCHS]       30 epochs; writes weights and curves to build/
 *     build/03_cifar10 ... --device cl    the same on the first GPU (convnet_cl.h)
 * Prints progress and the test accuracy. DIR holds test_batch.bin and as many of data_batch_1.bin
 * ... data_batch_5.bin as there are ("binary version"). Source: K. He et al., Deep Residual
 * Learning for Image Recognition, arXiv:1512.03385, section 4.2; shortcuts that change the shape
 * are 1x1 convolutions with batch norm (option B there): 272,474 parameters. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#define CONVNET_CL_IMPLEMENTATION
#include "../convnet_cl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Convolution without bias, which the batch norm behind it would only take away again. */
static cvn_node conv_bn(cvn_net *net, cvn_node x, int filters, int kernel, int stride)
{
    cvn_conv2d_desc desc = cvn_conv2d_defaults();
    desc.filters = filters;
    desc.kernel_h = kernel;
    desc.stride_h = stride;
    desc.pad_top = desc.pad_left = desc.pad_bottom = desc.pad_right = kernel / 2;
    desc.no_bias = 1;
    return cvn_batchnorm(net, cvn_conv2d_ex(net, x, &desc));
}

/* [N, C, H, W] -> [N, filters, H/stride, W/stride]: relu(shortcut + two 3x3 convolutions). Scopes
 * name the parameters as modules do in PyTorch: "layer2.0.conv1.weight",
 * "layer2.0.shortcut.bn1.bias". */
static cvn_node block(cvn_net *net, cvn_node x, int stage, int index)
{
    const int filters = 8 << stage;
    const int stride = stage > 1 && index == 0 ? 2 : 1;
    char scope[32];
    cvn_node y;
    snprintf(scope, sizeof scope, "layer%d.%d", stage, index);
    cvn_scope(net, scope);
    y = cvn_relu(net, conv_bn(net, x, filters, 3, stride));
    y = conv_bn(net, y, filters, 3, 1);
    if (stride == 2) {
        snprintf(scope, sizeof scope, "layer%d.%d.shortcut", stage, index);
        cvn_scope(net, scope);
        x = conv_bn(net, x, filters, 1, stride);
    }
    y = cvn_relu(net, cvn_add(net, y, x));
    cvn_scope(net, NULL);
    return y;
}

static cvn_net *resnet20(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 3, 32, 32);
    x = cvn_relu(net, conv_bn(net, x, 16, 3, 1));
    /* 16 x 32 x 32, 32 x 16 x 16, 64 x 8 x 8 */
    for (int stage = 1; stage <= 3; stage++) {
        for (int index = 0; index < 3; index++) x = block(net, x, stage, index);
    }
    x = cvn_name(net, cvn_dense(net, cvn_global_avgpool(net, x), 10), "fc");
    cvn_softmax_loss(net, x);
    return net;
}

static int load(const char *dir, cvn_data *training, cvn_data *test)
{
    char paths[6][1024];
    const char *found[6];
    int count = 0;
    for (int i = 1; i <= 5; i++) {
        FILE *file;
        snprintf(paths[count], sizeof paths[0], "%s/data_batch_%d.bin", dir, i);
        file = fopen(paths[count], "rb");
        if (!file) continue;
        fclose(file);
        found[count] = paths[count];
        count++;
    }
    snprintf(paths[5], sizeof paths[5], "%s/test_batch.bin", dir);
    found[5] = paths[5];
    if (cvn_load_cifar10(training, found, count) != CVN_OK)
        fprintf(stderr, "%s\n", training->error);
    else if (cvn_load_cifar10(test, found + 5, 1) != CVN_OK) fprintf(stderr, "%s\n", test->error);
    else return 1;
    return 0;
}

static cvn_result train(cvn_net *net, cvn_data *training, const cvn_data *test, int epochs)
{
    cvn_optimizer sgd = cvn_sgd(0.1f, 0.9f);
    cvn_augment augment = { 0 };
    cvn_fit_options options = cvn_fit_defaults();
    cvn_result result;
    sgd.weight_decay = 1e-4f;
    augment.flip = 1;
    augment.shift = 4;                                          /* pad by 4, crop 32 x 32 */
    training->augment = &augment;
    options.epochs = epochs;
    options.optimizer = &sgd;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    options.schedule.warmup = 0.5f;
    options.callback = cvn_print_progress;
    result = cvn_fit(net, training, test, &options);
    if (result == CVN_OK) result = cvn_save(net, "build/03_cifar10.safetensors");
    return result == CVN_OK ? cvn_history_save_svg(net, "build/03_cifar10.svg") : result;
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
    cvn_data training = { 0 };
    cvn_data test = { 0 };
    cvn_metrics metrics = { 0 };
    cvn_net *net = NULL;
    cvn_result result = CVN_ERROR_FILE;
    const int epochs = argc > 2 ? atoi(argv[2]) : 30;
    if (argc < 2 || epochs < 1) {
        fprintf(stderr, "usage: %s DIR [EPOCHS] [--device cl]\n", argv[0]);
        cvncl_close(device);
        return 1;
    }
    if (load(argv[1], &training, &test)) {
        cvn_data_normalize_as(&test, &training);
        net = resnet20();
        if (device && cvn_use_backend(net, device) < 0) puts(cvn_error(net));
        result = cvn_build(net, 128);
        printf("%d training images, %lu parameters\n", training.count,
               (unsigned long)cvn_parameters(net));
        if (result == CVN_OK) result = train(net, &training, &test, epochs);
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
