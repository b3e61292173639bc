/* The nets of the papers, each from one short function: counts that match the published ones.
 *     cc -O2 -fopenmp -o build/zoo examples/zoo.c -lm
 *     build/zoo              CSV: name,parameters,macs of all nets, at once: nothing is computed
 *     build/zoo --check      the same beside the published figures, with ok or FAILED for each
 *     build/zoo NAME         trains that net, narrow and on small random images, on one batch and
 *                            prints the loss, which must fall; a second at most
 *     build/zoo --train      that for all of them, ten seconds
 * Learnt: how the architectures are put together, from LeNet-5 to the Vision Transformer. Where
 * torchvision has the net its layers and names are those, so that its weights load by name. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a builder is asked for: the paper's size, or a small one for a quick training. */
typedef struct zoo_size {
    int width;              /* percent of the paper's channels */
    int image;              /* height and width of the input */
    int classes;
} zoo_size;

/* ================================================================================================
 * what many of them need
 * ============================================================================================== */

/* Channels at this size: at least 4 and a multiple of 4, so that groups and halves remain whole. */
static int wide(const zoo_size *z, int channels)
{
    const int fours = (channels * z->width / 100 + 3) / 4;
    return z->width == 100 ? channels : fours < 1 ? 4 : 4 * fours;
}

/* A formatted name; good until the fourth call behind it. */
static const char *text(const char *format, ...)
{
    static char buffers[4][CVN_MAX_NAME];
    static int next;
    char *buffer = buffers[next++ % 4];
    va_list args;
    va_start(args, format);
    vsnprintf(buffer, CVN_MAX_NAME, format, args);
    va_end(args);
    return buffer;
}

static cvn_node image(cvn_net *net, const zoo_size *z)
{
    return cvn_input(net, 3, z->image, z->image);
}

/* Convolution that keeps the size (but for the stride), without bias, and batch norm. */
static cvn_node conv_bn(cvn_net *net, cvn_node x, int filters, int kernel, int stride, int groups)
{
    cvn_conv2d_desc desc = cvn_conv2d_defaults();
    desc.filters = filters;
    desc.kernel_h = kernel;
    desc.stride_h = stride;
    desc.groups = groups;
    desc.pad_top = desc.pad_left = desc.pad_bottom = desc.pad_right = kernel / 2;
    desc.no_bias = 1;
    return cvn_batchnorm(net, cvn_conv2d_ex(net, x, &desc));
}

/* The same with names, and with the norm's constants. */
static cvn_node conv_bn_named(cvn_net *net, cvn_node x, const int shape[4], float eps,
                              const char *conv_name, const char *norm_name)
{
    cvn_conv2d_desc desc = cvn_conv2d_defaults();
    cvn_batchnorm_desc norm = cvn_batchnorm_defaults();
    desc.filters = shape[0];
    desc.kernel_h = shape[1];
    desc.stride_h = shape[2];
    desc.groups = shape[3];
    desc.pad_top = desc.pad_left = desc.pad_bottom = desc.pad_right = shape[1] / 2;
    desc.no_bias = 1;
    norm.eps = eps;
    x = cvn_name(net, cvn_conv2d_ex(net, x, &desc), conv_name);
    return cvn_name(net, cvn_batchnorm_ex(net, x, &norm), norm_name);
}

/* Max pooling 3x3, stride 2, that keeps what is left over at the border, or pads. */
static cvn_node pool3(cvn_net *net, cvn_node x, int ceil_mode, int pad)
{
    cvn_pool_desc desc = cvn_pool_defaults();
    desc.kernel_h = 3;
    desc.stride_h = 2;
    desc.ceil_mode = ceil_mode;
    desc.pad_top = desc.pad_left = desc.pad_bottom = desc.pad_right = pad;
    return cvn_maxpool_ex(net, x, &desc);
}

/* Global mean, one dense layer of that name, softmax loss. */
static void classify(cvn_net *net, cvn_node x, const zoo_size *z, const char *name)
{
    x = cvn_flatten(net, cvn_global_avgpool(net, x));
    cvn_softmax_loss(net, cvn_name(net, cvn_dense(net, x, z->classes), name));
}

/* ================================================================================================
 * the first ones
 * ============================================================================================== */

/* K. Fukushima, Biological Cybernetics 36, 1980: S-cells find a pattern (convolution, relu),
 * C-cells find it anywhere near (mean, x/(1 + x)). The sizes are the paper's, the training is not:
 * it had no backpropagation. */
static void neocognitron(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node x = cvn_input(net, 1, z->image, z->image);             /* U0         16 x 16 */
    (void)variant;
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 24), 5, 1, 2));    /* S1    24 x 16 x 16 */
    x = cvn_softsign(net, cvn_avgpool(net, x, 7, 1));               /* C1    24 x 10 x 10 */
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 24), 3, 1, 0));    /* S2    24 x  8 x  8 */
    x = cvn_softsign(net, cvn_avgpool(net, x, 3, 1));               /* C2    24 x  6 x  6 */
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 24), 5, 1, 0));    /* S3    24 x  2 x  2 */
    x = cvn_softsign(net, cvn_avgpool(net, x, 2, 1));               /* C3    24 */
    cvn_softmax_loss(net, cvn_dense(net, x, z->classes));
}

/* Y. LeCun et al., Proceedings of the IEEE 86, 1998; with what came later: relu, max pooling, and
 * every map of the second convolution connected to all of the first. */
static void lenet5(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node x = cvn_input(net, 1, z->image, z->image);             /* [N,  1, 28, 28] */
    (void)variant;
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 6), 5, 1, 2));
    x = cvn_maxpool(net, x, 2, 2);                                  /* [N,  6, 14, 14] */
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 16), 5, 1, 0));
    x = cvn_maxpool(net, x, 2, 2);                                  /* [N, 16,  5,  5] */
    x = cvn_relu(net, cvn_dense(net, x, wide(z, 120)));
    x = cvn_relu(net, cvn_dense(net, x, wide(z, 84)));
    cvn_softmax_loss(net, cvn_dense(net, x, z->classes));
}

/* ================================================================================================
 * convolutions, then dense layers: AlexNet, ZFNet, VGG, Network in Network
 * ============================================================================================== */

/* Dropout and three dense layers, the end of all nets of these years. */
static void dense_head(cvn_net *net, cvn_node x, const zoo_size *z, const char *const names[3],
                       int dropout_first)
{
    if (dropout_first) x = cvn_dropout(net, x, 0.5f);
    x = cvn_relu(net, cvn_name(net, cvn_dense(net, x, wide(z, 4096)), names[0]));
    x = cvn_dropout(net, x, 0.5f);
    x = cvn_relu(net, cvn_name(net, cvn_dense(net, x, wide(z, 4096)), names[1]));
    if (!dropout_first) x = cvn_dropout(net, x, 0.5f);
    cvn_softmax_loss(net, cvn_name(net, cvn_dense(net, x, z->classes), names[2]));
}

/* A. Krizhevsky, "One weird trick", arXiv:1404.5997: AlexNet on one GPU, as torchvision has it. */
static void alexnet(cvn_net *net, const zoo_size *z, int variant)
{
    static const char *const heads[3] = { "classifier.1", "classifier.4", "classifier.6" };
    static const int filters[5] = { 64, 192, 384, 256, 256 };
    static const int kernels[5] = { 11, 5, 3, 3, 3 };
    static const int index[5] = { 0, 3, 6, 8, 10 };
    cvn_node x = image(net, z);
    (void)variant;
    for (int i = 0; i < 5; i++) {
        x = cvn_conv2d(net, x, wide(z, filters[i]), kernels[i], i == 0 ? 4 : 1, i < 2 ? 2 : 1);
        x = cvn_relu(net, cvn_name(net, x, text("features.%d", index[i])));
        if (i < 2 || i == 4) x = cvn_maxpool(net, x, 3, 2);
    }
    dense_head(net, x, z, heads, 1);
}

/* The net of the paper: A. Krizhevsky et al., NeurIPS 2012. Two GPUs each had half of the channels:
 * groups of two. Local response normalisation follows the first two convolutions. */
static void alexnet_paper(cvn_net *net, const zoo_size *z, int variant)
{
    static const char *const heads[3] = { "fc6", "fc7", "fc8" };
    static const int filters[5] = { 96, 256, 384, 384, 256 };
    static const int kernels[5] = { 11, 5, 3, 3, 3 };
    static const int groups[5] = { 1, 2, 1, 2, 2 };
    cvn_lrn_desc lrn = cvn_lrn_defaults();
    cvn_node x = image(net, z);
    (void)variant;
    lrn.size = 5;
    lrn.alpha = 5e-4f;                      /* divided by the size: 1e-4 in the paper */
    lrn.k = 2;
    for (int i = 0; i < 5; i++) {
        cvn_conv2d_desc conv = cvn_conv2d_defaults();
        conv.filters = wide(z, filters[i]);
        conv.kernel_h = kernels[i];
        conv.stride_h = i == 0 ? 4 : 1;
        conv.groups = groups[i];
        conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = i == 0 ? 0
                                                                                 : kernels[i] / 2;
        x = cvn_relu(net, cvn_conv2d_ex(net, x, &conv));
        if (i < 2) x = cvn_lrn_ex(net, x, &lrn);
        if (i < 2 || i == 4) x = cvn_maxpool(net, x, 3, 2);
    }
    dense_head(net, x, z, heads, 0);
}

/* M. Zeiler, R. Fergus, arXiv:1311.2901, figure 3: AlexNet with smaller windows at first. */
static void zfnet(cvn_net *net, const zoo_size *z, int variant)
{
    static const char *const heads[3] = { "fc6", "fc7", "fc8" };
    cvn_node x = image(net, z);
    (void)variant;
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 96), 7, 2, 1));        /*  96 x 110 x 110 */
    x = cvn_lrn(net, pool3(net, x, 0, 1), 5);                           /*  96 x  55 x  55 */
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 256), 5, 2, 0));       /* 256 x  26 x  26 */
    x = cvn_lrn(net, pool3(net, x, 0, 1), 5);                           /* 256 x  13 x  13 */
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 384), 3, 1, 1));
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 384), 3, 1, 1));
    x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 256), 3, 1, 1));
    dense_head(net, pool3(net, x, 0, 0), z, heads, 0);                  /* 256 x   6 x   6 */
}

/* K. Simonyan, A. Zisserman, arXiv:1409.1556: five stages of 3x3 convolutions; variant 11, 16, 19
 * layers. Returns what the last pooling gives. */
static cvn_node vgg_features(cvn_net *net, cvn_node x, const zoo_size *z, int layers)
{
    static const int filters[5] = { 64, 128, 256, 512, 512 };
    int index = 0;
    for (int stage = 0; stage < 5; stage++) {
        const int count = layers == 11 ? (stage < 2 ? 1 : 2)
                                       : (stage < 2 ? 2 : layers == 16 ? 3 : 4);
        for (int i = 0; i < count; i++, index += 2) {
            x = cvn_conv2d(net, x, wide(z, filters[stage]), 3, 1, 1);
            x = cvn_relu(net, cvn_name(net, x, text("features.%d", index)));
        }
        x = cvn_maxpool(net, x, 2, 2);
        index++;
    }
    return x;
}

static void vgg(cvn_net *net, const zoo_size *z, int variant)
{
    static const char *const heads[3] = { "classifier.0", "classifier.3", "classifier.6" };
    dense_head(net, vgg_features(net, image(net, z), z, variant), z, heads, 0);
}

/* M. Lin et al., arXiv:1312.4400: 1x1 convolutions, and the mean of each last map is a class. For
 * CIFAR-10. */
static void network_in_network(cvn_net *net, const zoo_size *z, int variant)
{
    static const int filters[9] = { 192, 160, 96, 192, 192, 192, 192, 192, 0 };
    static const int kernels[9] = { 5, 1, 1, 5, 1, 1, 3, 1, 1 };
    cvn_node x = image(net, z);
    (void)variant;
    for (int i = 0; i < 9; i++) {
        const int count = i == 8 ? z->classes : wide(z, filters[i]);
        x = cvn_relu(net, cvn_conv2d(net, x, count, kernels[i], 1, kernels[i] / 2));
        if (i == 2) x = cvn_dropout(net, pool3(net, x, 0, 1), 0.5f);
        if (i == 5) {
            cvn_pool_desc pool = cvn_pool_defaults();
            pool.kernel_h = 3;
            pool.stride_h = 2;
            pool.pad_top = pool.pad_left = pool.pad_bottom = pool.pad_right = 1;
            x = cvn_dropout(net, cvn_avgpool_ex(net, x, &pool), 0.5f);
        }
    }
    cvn_softmax_loss(net, cvn_flatten(net, cvn_global_avgpool(net, x)));
}

/* ================================================================================================
 * branches side by side: GoogLeNet, Inception-v3
 * ============================================================================================== */

/* One convolution with batch norm and relu, as these two have it. */
typedef struct branch_conv {
    const char *name;
    int filters, kernel_h, kernel_w, stride, same;      /* same: padded to keep the size */
} branch_conv;

/* `count` of them, one behind the other, named block.name.conv and block.name.bn. */
static cvn_node chain(cvn_net *net, cvn_node x, const zoo_size *z, const char *block,
                      const branch_conv *c, int count)
{
    for (int i = 0; i < count; i++) {
        const char *const dot = block[0] ? "." : "";
        cvn_conv2d_desc desc = cvn_conv2d_defaults();
        cvn_batchnorm_desc norm = cvn_batchnorm_defaults();
        desc.filters = wide(z, c[i].filters);
        desc.kernel_h = c[i].kernel_h;
        desc.kernel_w = c[i].kernel_w;
        desc.stride_h = c[i].stride;
        desc.no_bias = 1;
        if (c[i].same) {
            desc.pad_top = desc.pad_bottom = c[i].kernel_h / 2;
            desc.pad_left = desc.pad_right = c[i].kernel_w / 2;
        }
        norm.eps = 1e-3f;
        x = cvn_conv2d_ex(net, x, &desc);
        x = cvn_name(net, x, text("%s%s%s.conv", block, dot, c[i].name));
        x = cvn_batchnorm_ex(net, x, &norm);
        x = cvn_relu(net, cvn_name(net, x, text("%s%s%s.bn", block, dot, c[i].name)));
    }
    return x;
}

/* A loss in the middle of the net, for the gradient's sake; its weight is 0.3. */
static void googlenet_aux(cvn_net *net, cvn_node x, const zoo_size *z, const char *name)
{
    static const branch_conv conv = { "conv", 128, 1, 1, 1, 1 };
    cvn_softmax_loss_desc loss = cvn_softmax_loss_defaults();
    x = chain(net, cvn_avgpool(net, x, 5, 3), z, name, &conv, 1);       /* [N, 128, 4, 4] */
    x = cvn_name(net, cvn_dense(net, x, wide(z, 1024)), text("%s.fc1", name));
    x = cvn_dropout(net, cvn_relu(net, x), 0.7f);
    x = cvn_name(net, cvn_dense(net, x, z->classes), text("%s.fc2", name));
    loss.weight = 0.3f;
    cvn_softmax_loss_ex(net, x, &loss);
}

/* C. Szegedy et al., arXiv:1409.4842, with torchvision's batch norms (and its 3x3 in place of the
 * 5x5 convolutions). variant 1: with the two auxiliary heads. */
static void googlenet(cvn_net *net, const zoo_size *z, int variant)
{
    static const branch_conv first = { "conv1", 64, 7, 7, 2, 1 };
    static const branch_conv next[2] = { { "conv2", 64, 1, 1, 1, 1 },
                                         { "conv3", 192, 3, 3, 1, 1 } };
    static const char *const blocks[9] = { "3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b" };
    static const int widths[9][6] = {
        { 64, 96, 128, 16, 32, 32 },     { 128, 128, 192, 32, 96, 64 },
        { 192, 96, 208, 16, 48, 64 },    { 160, 112, 224, 24, 64, 64 },
        { 128, 128, 256, 24, 64, 64 },   { 112, 144, 288, 32, 64, 64 },
        { 256, 160, 320, 32, 128, 128 }, { 256, 160, 320, 32, 128, 128 },
        { 384, 192, 384, 48, 128, 128 }
    };
    cvn_inception_desc block = cvn_inception_defaults();
    cvn_node x = pool3(net, chain(net, image(net, z), z, "", &first, 1), 1, 0);
    block.kernel = 3;
    block.batchnorm = 1;
    x = pool3(net, chain(net, x, z, "", next, 2), 1, 0);                /* [N, 192, 28, 28] */
    for (int i = 0; i < 9; i++) {
        for (int k = 0; k < 6; k++) block.widths[k] = wide(z, widths[i][k]);
        cvn_scope(net, text("inception%s", blocks[i]));
        x = cvn_inception_ex(net, x, &block);
        cvn_scope(net, NULL);
        if (i == 1) x = pool3(net, x, 1, 0);                            /* [N, 480, 14, 14] */
        if (i == 6) x = cvn_maxpool(net, x, 2, 2);                      /* [N, 832,  7,  7] */
        if (variant && i == 2) googlenet_aux(net, x, z, "aux1");
        if (variant && i == 5) googlenet_aux(net, x, z, "aux2");
    }
    x = cvn_dropout(net, cvn_global_avgpool(net, x), 0.2f);
    x = cvn_name(net, cvn_dense(net, x, z->classes), "fc");
    cvn_softmax_loss(net, x);
    cvn_output(net, x);                 /* else that of the first loss, an auxiliary one */
}

/* The pooling branch of Inception-v3: a mean, then 1x1. */
static cvn_node pool_branch(cvn_net *net, cvn_node x, const zoo_size *z, const char *block,
                            int filters)
{
    branch_conv conv = { "branch_pool", 0, 1, 1, 1, 1 };
    cvn_pool_desc pool = cvn_pool_defaults();
    conv.filters = filters;
    pool.kernel_h = 3;
    pool.stride_h = 1;
    pool.pad_top = pool.pad_left = pool.pad_bottom = pool.pad_right = 1;
    return chain(net, cvn_avgpool_ex(net, x, &pool), z, block, &conv, 1);
}

/* 35 x 35: two 3x3 convolutions see as much as a 5x5 one. */
static cvn_node inception_a(cvn_net *net, cvn_node x, const zoo_size *z, const char *block,
                            int pooled)
{
    static const branch_conv one = { "branch1x1", 64, 1, 1, 1, 1 };
    static const branch_conv five[2] = { { "branch5x5_1", 48, 1, 1, 1, 1 },
                                         { "branch5x5_2", 64, 5, 5, 1, 1 } };
    static const branch_conv twice[3] = { { "branch3x3dbl_1", 64, 1, 1, 1, 1 },
                                          { "branch3x3dbl_2", 96, 3, 3, 1, 1 },
                                          { "branch3x3dbl_3", 96, 3, 3, 1, 1 } };
    cvn_node y[4];
    y[0] = chain(net, x, z, block, &one, 1);
    y[1] = chain(net, x, z, block, five, 2);
    y[2] = chain(net, x, z, block, twice, 3);
    y[3] = pool_branch(net, x, z, block, pooled);
    return cvn_concat_n(net, y, 4, 1);
}

/* 35 x 35 -> 17 x 17 */
static cvn_node inception_b(cvn_net *net, cvn_node x, const zoo_size *z, const char *block)
{
    static const branch_conv three = { "branch3x3", 384, 3, 3, 2, 0 };
    static const branch_conv twice[3] = { { "branch3x3dbl_1", 64, 1, 1, 1, 1 },
                                          { "branch3x3dbl_2", 96, 3, 3, 1, 1 },
                                          { "branch3x3dbl_3", 96, 3, 3, 2, 0 } };
    cvn_node y[3];
    y[0] = chain(net, x, z, block, &three, 1);
    y[1] = chain(net, x, z, block, twice, 3);
    y[2] = cvn_maxpool(net, x, 3, 2);
    return cvn_concat_n(net, y, 3, 1);
}

/* 17 x 17: 7x7 as 1x7 and 7x1. */
static cvn_node inception_c(cvn_net *net, cvn_node x, const zoo_size *z, const char *block, int c)
{
    static const branch_conv one = { "branch1x1", 192, 1, 1, 1, 1 };
    branch_conv seven[3] = { { "branch7x7_1", 0, 1, 1, 1, 1 },
                             { "branch7x7_2", 0, 1, 7, 1, 1 },
                             { "branch7x7_3", 192, 7, 1, 1, 1 } };
    branch_conv twice[5] = { { "branch7x7dbl_1", 0, 1, 1, 1, 1 },
                             { "branch7x7dbl_2", 0, 7, 1, 1, 1 },
                             { "branch7x7dbl_3", 0, 1, 7, 1, 1 },
                             { "branch7x7dbl_4", 0, 7, 1, 1, 1 },
                             { "branch7x7dbl_5", 192, 1, 7, 1, 1 } };
    cvn_node y[4];
    for (int i = 0; i < 2; i++) seven[i].filters = c;
    for (int i = 0; i < 4; i++) twice[i].filters = c;
    y[0] = chain(net, x, z, block, &one, 1);
    y[1] = chain(net, x, z, block, seven, 3);
    y[2] = chain(net, x, z, block, twice, 5);
    y[3] = pool_branch(net, x, z, block, 192);
    return cvn_concat_n(net, y, 4, 1);
}

/* 17 x 17 -> 8 x 8 */
static cvn_node inception_d(cvn_net *net, cvn_node x, const zoo_size *z, const char *block)
{
    static const branch_conv three[2] = { { "branch3x3_1", 192, 1, 1, 1, 1 },
                                          { "branch3x3_2", 320, 3, 3, 2, 0 } };
    static const branch_conv seven[4] = { { "branch7x7x3_1", 192, 1, 1, 1, 1 },
                                          { "branch7x7x3_2", 192, 1, 7, 1, 1 },
                                          { "branch7x7x3_3", 192, 7, 1, 1, 1 },
                                          { "branch7x7x3_4", 192, 3, 3, 2, 0 } };
    cvn_node y[3];
    y[0] = chain(net, x, z, block, three, 2);
    y[1] = chain(net, x, z, block, seven, 4);
    y[2] = cvn_maxpool(net, x, 3, 2);
    return cvn_concat_n(net, y, 3, 1);
}

/* 8 x 8: 1x3 and 3x1 side by side. */
static cvn_node inception_e(cvn_net *net, cvn_node x, const zoo_size *z, const char *block)
{
    static const branch_conv one = { "branch1x1", 320, 1, 1, 1, 1 };
    static const branch_conv three[3] = { { "branch3x3_1", 384, 1, 1, 1, 1 },
                                          { "branch3x3_2a", 384, 1, 3, 1, 1 },
                                          { "branch3x3_2b", 384, 3, 1, 1, 1 } };
    static const branch_conv twice[4] = { { "branch3x3dbl_1", 448, 1, 1, 1, 1 },
                                          { "branch3x3dbl_2", 384, 3, 3, 1, 1 },
                                          { "branch3x3dbl_3a", 384, 1, 3, 1, 1 },
                                          { "branch3x3dbl_3b", 384, 3, 1, 1, 1 } };
    cvn_node y[6];
    cvn_node a;
    y[0] = chain(net, x, z, block, &one, 1);
    a = chain(net, x, z, block, three, 1);
    y[1] = chain(net, a, z, block, three + 1, 1);
    y[2] = chain(net, a, z, block, three + 2, 1);
    a = chain(net, x, z, block, twice, 2);
    y[3] = chain(net, a, z, block, twice + 2, 1);
    y[4] = chain(net, a, z, block, twice + 3, 1);
    y[5] = pool_branch(net, x, z, block, 192);
    return cvn_concat_n(net, y, 6, 1);
}

/* C. Szegedy et al., arXiv:1512.00567, as torchvision has it, without the auxiliary head. */
static void inception_v3(cvn_net *net, const zoo_size *z, int variant)
{
    static const branch_conv stem[5] = { { "Conv2d_1a_3x3", 32, 3, 3, 2, 0 },
                                         { "Conv2d_2a_3x3", 32, 3, 3, 1, 0 },
                                         { "Conv2d_2b_3x3", 64, 3, 3, 1, 1 },
                                         { "Conv2d_3b_1x1", 80, 1, 1, 1, 1 },
                                         { "Conv2d_4a_3x3", 192, 3, 3, 1, 0 } };
    cvn_node x = chain(net, image(net, z), z, "", stem, 3);
    (void)variant;
    x = chain(net, cvn_maxpool(net, x, 3, 2), z, "", stem + 3, 2);
    x = inception_a(net, cvn_maxpool(net, x, 3, 2), z, "Mixed_5b", 32);
    x = inception_a(net, x, z, "Mixed_5c", 64);
    x = inception_a(net, x, z, "Mixed_5d", 64);
    x = inception_b(net, x, z, "Mixed_6a");
    x = inception_c(net, x, z, "Mixed_6b", 128);
    x = inception_c(net, x, z, "Mixed_6c", 160);
    x = inception_c(net, x, z, "Mixed_6d", 160);
    x = inception_c(net, x, z, "Mixed_6e", 192);
    x = inception_d(net, x, z, "Mixed_7a");
    x = inception_e(net, x, z, "Mixed_7b");
    x = inception_e(net, x, z, "Mixed_7c");
    x = cvn_dropout(net, cvn_global_avgpool(net, x), 0.5f);
    cvn_softmax_loss(net, cvn_name(net, cvn_dense(net, x, z->classes), "fc"));
}

/* ================================================================================================
 * sums with what was there before: ResNet and its kin
 * ============================================================================================== */

enum { PLAIN, RESNEXT, SQUEEZE_EXCITE };

/* conv1, pooling and the four stages of a ResNet of 18, 34, 50, 101 or 152 layers, named behind
 * `prefix`. `dilated`: the last two stages keep the size and widen the kernels' reach instead
 * (DeepLab's way; torchvision's segmentation nets). stages receives the four outputs. */
static void resnet_stages(cvn_net *net, const zoo_size *z, const char *prefix, int layers, int kind,
                          int dilated, cvn_node stages[4])
{
    static const int counts[5][4] = {
        { 2, 2, 2, 2 }, { 3, 4, 6, 3 }, { 3, 4, 6, 3 }, { 3, 4, 23, 3 }, { 3, 8, 36, 3 }
    };
    const int row = layers == 18 ? 0 : layers == 34 ? 1 : layers == 50 ? 2 : layers == 101 ? 3 : 4;
    cvn_residual_desc d = cvn_residual_defaults();
    cvn_node x = image(net, z);
    cvn_scope(net, prefix);
    x = cvn_relu(net, conv_bn(net, x, wide(z, 64), 7, 2, 1));
    x = pool3(net, x, 0, 1);
    d.bottleneck = layers >= 50;
    d.groups = kind == RESNEXT ? 32 : 1;
    d.dilation = 1;
    for (int stage = 0; stage < 4; stage++) {
        d.channels = wide(z, (kind == RESNEXT ? 128 : 64) << stage);
        d.out_channels = wide(z, (d.bottleneck ? 256 : 64) << stage);
        d.squeeze = kind == SQUEEZE_EXCITE ? wide(z, 16 << stage) : 0;
        for (int i = 0; i < counts[row][stage]; i++) {
            d.stride = stage > 0 && i == 0 && !(dilated && stage > 1) ? 2 : 1;
            if (dilated && stage > 1 && i == 1) d.dilation *= 2;
            cvn_scope(net, text("%s%slayer%d.%d", prefix, prefix[0] ? "." : "", stage + 1, i));
            x = cvn_residual_ex(net, x, &d);
        }
        stages[stage] = x;
    }
    cvn_scope(net, NULL);
}

/* K. He et al., arXiv:1512.03385 */
static void resnet(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node stages[4];
    resnet_stages(net, z, "", variant, PLAIN, 0, stages);
    classify(net, stages[3], z, "fc");
}

/* S. Xie et al., arXiv:1611.05431: ResNeXt, 32 groups of 4 channels */
static void resnext(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node stages[4];
    resnet_stages(net, z, "", variant, RESNEXT, 0, stages);
    classify(net, stages[3], z, "fc");
}

/* J. Hu et al., arXiv:1709.01507 */
static void se_resnet(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node stages[4];
    resnet_stages(net, z, "", variant, SQUEEZE_EXCITE, 0, stages);
    classify(net, stages[3], z, "fc");
}

/* ResNet for CIFAR-10, section 4.2 of arXiv:1512.03385: three stages of n blocks, 6n + 2 layers.
 * Shortcuts that change the shape are convolutions (option B there). */
static void cifar_resnet(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node x = cvn_relu(net, conv_bn(net, image(net, z), wide(z, 16), 3, 1, 1));
    for (int stage = 0; stage < 3; stage++)
        for (int i = 0; i < (variant - 2) / 6; i++) {
            cvn_scope(net, text("layer%d.%d", stage + 1, i));
            x = cvn_residual_basic(net, x, wide(z, 16 << stage), stage > 0 && i == 0 ? 2 : 1);
        }
    cvn_scope(net, NULL);
    classify(net, x, z, "fc");
}

/* K. He et al., arXiv:1603.05027: norm and relu before the convolutions, nothing behind the sum;
 * for CIFAR-10, bottlenecks, 9n + 2 layers. */
static void preactivation_resnet(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_residual_desc d = cvn_residual_defaults();
    cvn_conv2d_desc first = cvn_conv2d_defaults();
    cvn_node x = image(net, z);
    first.filters = wide(z, 16);
    first.kernel_h = 3;
    first.pad_top = first.pad_left = first.pad_bottom = first.pad_right = 1;
    first.no_bias = 1;
    x = cvn_conv2d_ex(net, x, &first);
    d.bottleneck = d.preactivation = 1;
    for (int stage = 0; stage < 3; stage++) {
        d.channels = wide(z, 16 << stage);
        d.out_channels = 4 * d.channels;
        for (int i = 0; i < (variant - 2) / 9; i++) {
            d.stride = stage > 0 && i == 0 ? 2 : 1;
            cvn_scope(net, text("layer%d.%d", stage + 1, i));
            x = cvn_residual_ex(net, x, &d);
        }
    }
    cvn_scope(net, NULL);
    classify(net, cvn_relu(net, cvn_batchnorm(net, x)), z, "fc");
}

/* One layer of DenseNet: norm, relu, 1x1 to 4*growth, norm, relu, 3x3 to growth channels, which
 * stand behind those that came in. */
static cvn_node dense_layer(cvn_net *net, cvn_node x, const char *name, int growth)
{
    cvn_conv2d_desc conv = cvn_conv2d_defaults();
    cvn_node y = cvn_name(net, cvn_batchnorm(net, x), text("%s.norm1", name));
    conv.filters = 4 * growth;
    conv.kernel_h = 1;
    conv.no_bias = 1;
    y = cvn_conv2d_ex(net, cvn_relu(net, y), &conv);
    y = cvn_name(net, y, text("%s.conv1", name));
    y = cvn_name(net, cvn_batchnorm(net, y), text("%s.norm2", name));
    conv.filters = growth;
    conv.kernel_h = 3;
    conv.pad_top = conv.pad_left = conv.pad_bottom = conv.pad_right = 1;
    y = cvn_conv2d_ex(net, cvn_relu(net, y), &conv);
    return cvn_concat(net, x, cvn_name(net, y, text("%s.conv2", name)));
}

/* G. Huang et al., arXiv:1608.06993: each layer sees all before it. */
static void densenet121(cvn_net *net, const zoo_size *z, int variant)
{
    static const int counts[4] = { 6, 12, 24, 16 };
    const int stem[4] = { wide(z, 64), 7, 2, 1 };
    cvn_node x = image(net, z);
    char name[CVN_MAX_NAME];
    (void)variant;
    x = conv_bn_named(net, x, stem, 0, "features.conv0", "features.norm0");
    x = pool3(net, cvn_relu(net, x), 0, 1);
    for (int block = 0; block < 4; block++) {
        for (int i = 0; i < counts[block]; i++) {
            snprintf(name, sizeof name, "features.denseblock%d.denselayer%d", block + 1, i + 1);
            x = dense_layer(net, x, name, wide(z, 32));
        }
        if (block == 3) break;
        snprintf(name, sizeof name, "features.transition%d", block + 1);
        {   /* half the channels, half the size */
            cvn_conv2d_desc half = cvn_conv2d_defaults();
            half.filters = cvn_node_shape(net, x).dim[1] / 2;
            half.kernel_h = 1;
            half.no_bias = 1;
            x = cvn_relu(net, cvn_name(net, cvn_batchnorm(net, x), text("%s.norm", name)));
            x = cvn_name(net, cvn_conv2d_ex(net, x, &half), text("%s.conv", name));
            x = cvn_avgpool(net, x, 2, 2);
        }
    }
    x = cvn_relu(net, cvn_name(net, cvn_batchnorm(net, x), "features.norm5"));
    classify(net, x, z, "classifier");
}

/* ================================================================================================
 * small ones: SqueezeNet, MobileNet, ShuffleNet, EfficientNet
 * ============================================================================================== */

/* F. Iandola et al., arXiv:1602.07360, version 1.1 */
static void squeezenet(cvn_net *net, const zoo_size *z, int variant)
{
    static const int squeeze[8] = { 16, 16, 32, 32, 48, 48, 64, 64 };
    static const int index[8] = { 3, 4, 6, 7, 9, 10, 11, 12 };
    cvn_node x = cvn_conv2d(net, image(net, z), wide(z, 64), 3, 2, 0);
    (void)variant;
    x = pool3(net, cvn_relu(net, cvn_name(net, x, "features.0")), 1, 0);
    for (int i = 0; i < 8; i++) {
        const int expand = wide(z, 4 * squeeze[i]);
        cvn_scope(net, text("features.%d", index[i]));
        x = cvn_fire(net, x, wide(z, squeeze[i]), expand, expand);
        cvn_scope(net, NULL);
        if (i == 1 || i == 3) x = pool3(net, x, 1, 0);
    }
    x = cvn_conv2d(net, cvn_dropout(net, x, 0.5f), z->classes, 1, 1, 0);
    x = cvn_relu(net, cvn_name(net, x, "classifier.1"));
    cvn_softmax_loss(net, cvn_flatten(net, cvn_global_avgpool(net, x)));
}

/* A. Howard et al., arXiv:1704.04861: a depthwise convolution, then 1x1, thirteen times. */
static void mobilenet_v1(cvn_net *net, const zoo_size *z, int variant)
{
    static const int filters[13] = { 64,  128, 128, 256, 256,  512, 512,
                                     512, 512, 512, 512, 1024, 1024 };
    cvn_node x = cvn_relu(net, conv_bn(net, image(net, z), wide(z, 32), 3, 2, 1));
    (void)variant;
    for (int i = 0; i < 13; i++) {
        const int stride = i == 1 || i == 3 || i == 5 || i == 11 ? 2 : 1;
        const int channels = cvn_node_shape(net, x).dim[1];
        x = cvn_relu(net, conv_bn(net, x, channels, 3, stride, channels));
        x = cvn_relu(net, conv_bn(net, x, wide(z, filters[i]), 1, 1, 1));
    }
    classify(net, x, z, "fc");
}

/* M. Sandler et al., arXiv:1801.04381, table 2 */
static void mobilenet_v2(cvn_net *net, const zoo_size *z, int variant)
{
    static const int rows[7][4] = {     /* expansion, filters, blocks, stride of the first */
        { 1, 16, 1, 1 }, { 6, 24, 2, 2 }, { 6, 32, 3, 2 }, { 6, 64, 4, 2 },
        { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 }
    };
    const int first[4] = { wide(z, 32), 3, 2, 1 };
    const int last[4] = { wide(z, 1280), 1, 1, 1 };
    cvn_inverted_residual_desc d = cvn_inverted_residual_defaults();
    cvn_node x = image(net, z);
    int index = 1;
    (void)variant;
    d.v2_names = 1;
    x = cvn_relu6(net, conv_bn_named(net, x, first, 0, "features.0.0", "features.0.1"));
    for (int row = 0; row < 7; row++)
        for (int i = 0; i < rows[row][2]; i++) {
            d.expanded = rows[row][0] * cvn_node_shape(net, x).dim[1];
            d.filters = wide(z, rows[row][1]);
            d.stride = i == 0 ? rows[row][3] : 1;
            cvn_scope(net, text("features.%d", index++));
            x = cvn_inverted_residual(net, x, &d);
        }
    cvn_scope(net, NULL);
    x = cvn_relu6(net, conv_bn_named(net, x, last, 0, "features.18.0", "features.18.1"));
    x = cvn_dropout(net, x, 0.2f);
    classify(net, x, z, "classifier.1");
}

/* The nearest multiple of 8, not below nine tenths. */
static int multiple_of_8(int channels)
{
    const int near = channels + 4 < 16 ? 8 : (channels + 4) / 8 * 8;
    return 10 * near < 9 * channels ? near + 8 : near;
}

/* A. Howard et al., arXiv:1905.02244, tables 1 and 2: variant 0 small, 1 large. */
static void mobilenet_v3(cvn_net *net, const zoo_size *z, int variant)
{
    static const int large[15][6] = {   /* kernel, expanded, filters, squeeze, hardswish, stride */
        { 3, 16, 16, 0, 0, 1 },   { 3, 64, 24, 0, 0, 2 },   { 3, 72, 24, 0, 0, 1 },
        { 5, 72, 40, 1, 0, 2 },   { 5, 120, 40, 1, 0, 1 },  { 5, 120, 40, 1, 0, 1 },
        { 3, 240, 80, 0, 1, 2 },  { 3, 200, 80, 0, 1, 1 },  { 3, 184, 80, 0, 1, 1 },
        { 3, 184, 80, 0, 1, 1 },  { 3, 480, 112, 1, 1, 1 }, { 3, 672, 112, 1, 1, 1 },
        { 5, 672, 160, 1, 1, 2 }, { 5, 960, 160, 1, 1, 1 }, { 5, 960, 160, 1, 1, 1 }
    };
    static const int small[11][6] = {
        { 3, 16, 16, 1, 0, 2 },  { 3, 72, 24, 0, 0, 2 },  { 3, 88, 24, 0, 0, 1 },
        { 5, 96, 40, 1, 1, 2 },  { 5, 240, 40, 1, 1, 1 }, { 5, 240, 40, 1, 1, 1 },
        { 5, 120, 48, 1, 1, 1 }, { 5, 144, 48, 1, 1, 1 }, { 5, 288, 96, 1, 1, 2 },
        { 5, 576, 96, 1, 1, 1 }, { 5, 576, 96, 1, 1, 1 }
    };
    const int count = variant ? 15 : 11;
    const int first[4] = { wide(z, 16), 3, 2, 1 };
    const int last[4] = { wide(z, variant ? 960 : 576), 1, 1, 1 };
    cvn_inverted_residual_desc d = cvn_inverted_residual_defaults();
    cvn_node x = conv_bn_named(net, image(net, z), first, 1e-3f, "features.0.0", "features.0.1");
    x = cvn_hardswish(net, x);
    d.gate = CVN_ACT_HARDSIGMOID;
    d.norm.eps = 1e-3f;
    d.norm.momentum = 0.01f;
    for (int i = 0; i < count; i++) {
        const int *const row = variant ? large[i] : small[i];
        d.kernel = row[0];
        d.expanded = wide(z, row[1]);
        d.filters = wide(z, row[2]);
        d.squeeze = row[3] ? multiple_of_8(d.expanded / 4) : 0;
        d.activation = row[4] ? CVN_ACT_HARDSWISH : CVN_ACT_RELU;
        d.stride = row[5];
        cvn_scope(net, text("features.%d", i + 1));
        x = cvn_inverted_residual(net, x, &d);
    }
    cvn_scope(net, NULL);
    x = conv_bn_named(net, x, last, 1e-3f, text("features.%d.0", count + 1),
                      text("features.%d.1", count + 1));
    x = cvn_global_avgpool(net, cvn_hardswish(net, x));
    x = cvn_name(net, cvn_dense(net, x, wide(z, variant ? 1280 : 1024)), "classifier.0");
    x = cvn_dropout(net, cvn_hardswish(net, x), 0.2f);
    cvn_softmax_loss(net, cvn_name(net, cvn_dense(net, x, z->classes), "classifier.3"));
}

/* Channels of two halves mixed: [N, 2, C/2, H, W] -> [N, C/2, 2, H, W]. */
static cvn_node channel_shuffle(cvn_net *net, cvn_node x)
{
    static const int turned[4] = { 2, 1, 3, 4 };
    const cvn_shape s = cvn_node_shape(net, x);
    int split[4] = { 2, 0, 0, 0 };
    split[1] = s.dim[1] / 2;
    split[2] = s.dim[2];
    split[3] = s.dim[3];
    x = cvn_permute(net, cvn_reshape(net, x, split, 4), turned, 4);
    return cvn_reshape(net, x, s.dim + 1, 3);
}

/* One unit of ShuffleNet v2: half of the channels pass by unchanged; at stride 2 they too are
 * convolved. */
static cvn_node shuffle_unit(cvn_net *net, cvn_node x, int filters, int stride, const char *unit)
{
    const int in = cvn_node_shape(net, x).dim[1];
    const int half = filters / 2;
    const int pointwise[4] = { half, 1, 1, 1 };
    int depthwise[4] = { 0, 3, 0, 0 };
    cvn_node a = x;
    cvn_node b = x;
    depthwise[2] = stride;
    if (stride == 1) {
        a = cvn_slice(net, x, 1, 0, in / 2);
        b = cvn_slice(net, x, 1, in / 2, in);
    } else {
        depthwise[0] = depthwise[3] = in;
        a = conv_bn_named(net, a, depthwise, 0, text("%s.branch1.0", unit),
                          text("%s.branch1.1", unit));
        a = cvn_relu(net, conv_bn_named(net, a, pointwise, 0, text("%s.branch1.2", unit),
                                        text("%s.branch1.3", unit)));
    }
    depthwise[0] = depthwise[3] = half;
    b = cvn_relu(net, conv_bn_named(net, b, pointwise, 0, text("%s.branch2.0", unit),
                                    text("%s.branch2.1", unit)));
    b = conv_bn_named(net, b, depthwise, 0, text("%s.branch2.3", unit),
                      text("%s.branch2.4", unit));
    b = cvn_relu(net, conv_bn_named(net, b, pointwise, 0, text("%s.branch2.5", unit),
                                    text("%s.branch2.6", unit)));
    return channel_shuffle(net, cvn_concat(net, a, b));
}

/* N. Ma et al., arXiv:1807.11164 */
static void shufflenet_v2(cvn_net *net, const zoo_size *z, int variant)
{
    static const int counts[3] = { 4, 8, 4 };
    const int first[4] = { wide(z, 24), 3, 2, 1 };
    const int last[4] = { wide(z, 1024), 1, 1, 1 };
    cvn_node x = conv_bn_named(net, image(net, z), first, 0, "conv1.0", "conv1.1");
    char unit[CVN_MAX_NAME];
    (void)variant;
    x = pool3(net, cvn_relu(net, x), 0, 1);
    for (int stage = 0; stage < 3; stage++)
        for (int i = 0; i < counts[stage]; i++) {
            snprintf(unit, sizeof unit, "stage%d.%d", stage + 2, i);
            x = shuffle_unit(net, x, wide(z, 116 << stage), i == 0 ? 2 : 1, unit);
        }
    x = cvn_relu(net, conv_bn_named(net, x, last, 0, "conv5.0", "conv5.1"));
    classify(net, x, z, "fc");
}

/* M. Tan, Q. Le, arXiv:1905.11946, table 1 */
static void efficientnet_b0(cvn_net *net, const zoo_size *z, int variant)
{
    static const int rows[7][5] = {     /* expansion, kernel, filters, blocks, first stride */
        { 1, 3, 16, 1, 1 }, { 6, 3, 24, 2, 2 },  { 6, 5, 40, 2, 2 }, { 6, 3, 80, 3, 2 },
        { 6, 5, 112, 3, 1 }, { 6, 5, 192, 4, 2 }, { 6, 3, 320, 1, 1 }
    };
    const int first[4] = { wide(z, 32), 3, 2, 1 };
    const int last[4] = { wide(z, 1280), 1, 1, 1 };
    cvn_inverted_residual_desc d = cvn_inverted_residual_defaults();
    cvn_node x = conv_bn_named(net, image(net, z), first, 0, "features.0.0", "features.0.1");
    int block = 0;
    (void)variant;
    x = cvn_silu(net, x);
    d.activation = d.squeeze_activation = CVN_ACT_SILU;
    for (int row = 0; row < 7; row++)
        for (int i = 0; i < rows[row][3]; i++) {
            const int in = cvn_node_shape(net, x).dim[1];
            d.kernel = rows[row][1];
            d.expanded = rows[row][0] * in;
            d.filters = wide(z, rows[row][2]);
            d.squeeze = in / 4;
            d.drop_path = 0.2f * (float)block++ / 16;           /* the deeper, the more often */
            d.stride = i == 0 ? rows[row][4] : 1;
            cvn_scope(net, text("features.%d.%d", row + 1, i));
            x = cvn_inverted_residual(net, x, &d);
        }
    cvn_scope(net, NULL);
    x = cvn_silu(net, conv_bn_named(net, x, last, 0, "features.8.0", "features.8.1"));
    classify(net, cvn_dropout(net, x, 0.2f), z, "classifier.1");
}

/* ================================================================================================
 * a class for each pixel: U-Net, SegNet, FCN
 * ============================================================================================== */

/* Two 3x3 convolutions without padding: four pixels less. */
static cvn_node unet_pair(cvn_net *net, cvn_node x, int filters)
{
    x = cvn_relu(net, cvn_conv2d(net, x, filters, 3, 1, 0));
    return cvn_relu(net, cvn_conv2d(net, x, filters, 3, 1, 0));
}

/* O. Ronneberger et al., arXiv:1505.04597, figure 1: down four times and up again, and at each size
 * the middle of what was there on the way down stands beside what comes up. */
static void unet(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node down[4];
    cvn_node x = cvn_input(net, 1, z->image, z->image);                 /* [N, 1, 572, 572] */
    (void)variant;
    for (int i = 0; i < 4; i++) {
        down[i] = x = unet_pair(net, x, wide(z, 64 << i));
        x = cvn_maxpool(net, x, 2, 2);
    }
    x = cvn_dropout(net, unet_pair(net, x, wide(z, 1024)), 0.5f);       /* [N, 1024, 28, 28] */
    for (int i = 3; i >= 0; i--) {
        cvn_shape s;
        int margin;
        x = cvn_conv_transpose2d(net, x, wide(z, 64 << i), 2, 2, 0);
        s = cvn_node_shape(net, x);
        margin = (cvn_node_shape(net, down[i]).dim[2] - s.dim[2]) / 2;
        x = cvn_concat(net, cvn_crop(net, down[i], margin, margin, s.dim[2], s.dim[3]), x);
        x = unet_pair(net, x, wide(z, 64 << i));
    }
    cvn_softmax_loss(net, cvn_conv2d(net, x, z->classes, 1, 1, 0));     /* [N, 2, 388, 388] */
}

static cvn_node segnet_conv(cvn_net *net, cvn_node x, int filters)
{
    return cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, filters, 3, 1, 1)));
}

/* V. Badrinarayanan et al., arXiv:1511.00561: the convolutions of VGG-16 and their mirror image. On
 * the way up each value goes back to the pixel that was the largest on the way down. */
static void segnet(cvn_net *net, const zoo_size *z, int variant)
{
    static const int filters[5] = { 64, 128, 256, 512, 512 };
    cvn_pool_desc pool = cvn_pool_defaults();
    cvn_node indices[5];
    cvn_shape sizes[5];
    cvn_node x = image(net, z);
    (void)variant;
    pool.kernel_h = 2;
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < (i < 2 ? 2 : 3); k++) x = segnet_conv(net, x, wide(z, filters[i]));
        sizes[i] = cvn_node_shape(net, x);
        indices[i] = cvn_maxpool_indices(net, x, &pool);
        x = cvn_maxpool_ex(net, x, &pool);
    }
    for (int i = 4; i >= 0; i--) {
        x = cvn_maxunpool(net, x, indices[i], sizes[i].dim[2], sizes[i].dim[3]);
        for (int k = 0; k < (i < 2 ? 1 : 2); k++) x = segnet_conv(net, x, wide(z, filters[i]));
        if (i > 0) x = segnet_conv(net, x, wide(z, filters[i - 1]));
    }
    cvn_softmax_loss(net, cvn_conv2d(net, x, z->classes, 3, 1, 1));
}

/* A 3x3 convolution to a quarter of the channels, 1x1 to the classes, up to the image's size. */
static void fcn_head(cvn_net *net, cvn_node x, const zoo_size *z, const char *name, float weight)
{
    const int conv[4] = { cvn_node_shape(net, x).dim[1] / 4, 3, 1, 1 };
    cvn_softmax_loss_desc loss = cvn_softmax_loss_defaults();
    x = conv_bn_named(net, x, conv, 0, text("%s.0", name), text("%s.1", name));
    x = cvn_dropout(net, cvn_relu(net, x), 0.1f);
    x = cvn_name(net, cvn_conv2d(net, x, z->classes, 1, 1, 0), text("%s.4", name));
    x = cvn_upsample_bilinear_to(net, x, z->image, z->image, 0);
    loss.weight = weight;
    cvn_softmax_loss_ex(net, x, &loss);
}

/* E. Shelhamer et al., arXiv:1605.06211, on a dilated ResNet-50 with an auxiliary head, as
 * torchvision has it. */
static void fcn(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node stages[4];
    resnet_stages(net, z, "backbone", variant, PLAIN, 1, stages);
    fcn_head(net, stages[3], z, "classifier", 1);
    fcn_head(net, stages[2], z, "aux_classifier", 0.5f);
}

/* ================================================================================================
 * where is what: YOLO, SSD, Mask R-CNN
 * ============================================================================================== */

static cvn_node yolo_conv(cvn_net *net, cvn_node x, int filters, int kernel)
{
    return cvn_leaky_relu(net, conv_bn(net, x, filters, kernel, 1, 1), 0.1f);
}

/* Six convolutions with pooling; the last pooling keeps the size. *finer: the map of half the
 * resolution, 256 x 26 x 26. */
static cvn_node yolo_features(cvn_net *net, const zoo_size *z, cvn_node *finer)
{
    cvn_pool_desc keep = cvn_pool_defaults();
    cvn_node x = image(net, z);
    for (int i = 0; i < 6; i++) {
        x = yolo_conv(net, x, wide(z, 16 << i), 3);
        if (i == 4) *finer = x;
        if (i < 5) x = cvn_maxpool(net, x, 2, 2);
    }
    keep.kernel_h = 2;
    keep.stride_h = 1;
    keep.pad_bottom = keep.pad_right = 1;
    return yolo_conv(net, cvn_maxpool_ex(net, x, &keep), wide(z, 1024), 3);
}

/* A map of predictions: for each anchor x, y, w, h, objectness and the classes. The papers' losses
 * compare it with a map drawn from the true boxes; here that is simply a target. */
static void yolo_output(cvn_net *net, cvn_node x, const zoo_size *z, int anchors)
{
    x = cvn_conv2d(net, x, anchors * (5 + z->classes), 1, 1, 0);
    cvn_mse_loss(net, x, cvn_target(net, x));
}

/* J. Redmon, A. Farhadi, arXiv:1612.08242: the small model, for VOC. */
static void yolo_v2_tiny(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node finer;
    cvn_node x = yolo_features(net, z, &finer);
    (void)variant;
    yolo_output(net, yolo_conv(net, x, wide(z, 1024), 3), z, 5);
}

/* J. Redmon, A. Farhadi, arXiv:1804.02767: the small model, for COCO; predictions at two sizes. */
static void yolo_v3_tiny(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node finer;
    cvn_node x = yolo_features(net, z, &finer);
    (void)variant;
    x = yolo_conv(net, x, wide(z, 256), 1);
    yolo_output(net, yolo_conv(net, x, wide(z, 512), 3), z, 3);
    x = cvn_upsample_nearest(net, yolo_conv(net, x, wide(z, 128), 1), 2);
    x = yolo_conv(net, cvn_concat(net, x, finer), wide(z, 256), 3);
    yolo_output(net, x, z, 3);
}

/* Scores or offsets of all boxes of one map: [N, boxes*values, H, W] -> [N, H*W*boxes, values]. */
static cvn_node ssd_predictions(cvn_net *net, cvn_node map, int boxes, int values, const char *name)
{
    static const int last[3] = { 2, 3, 1 };
    int rows[2] = { -1, 0 };
    rows[1] = values;
    map = cvn_name(net, cvn_conv2d(net, map, boxes * values, 3, 1, 1), name);
    return cvn_reshape(net, cvn_permute(net, map, last, 3), rows, 2);
}

/* The maps of SSD: VGG-16 up to its fourth stage, normalised and scaled, then the rest of it with
 * dense layers made convolutions, and four pairs of further convolutions. */
static void ssd_maps(cvn_net *net, const zoo_size *z, cvn_node maps[6])
{
    static const int filters[5] = { 64, 128, 256, 512, 512 };
    static const int extra[4][4] = { { 256, 512, 2, 1 }, { 128, 256, 2, 1 },
                                     { 128, 256, 1, 0 }, { 128, 256, 1, 0 } };
    cvn_conv2d_desc atrous = cvn_conv2d_defaults();
    cvn_conv2d_desc scale = cvn_conv2d_defaults();
    cvn_node x = image(net, z);
    for (int stage = 0; stage < 5; stage++) {
        for (int i = 0; i < (stage < 2 ? 2 : 3); i++)
            x = cvn_relu(net, cvn_conv2d(net, x, wide(z, filters[stage]), 3, 1, 1));
        if (stage == 3) maps[0] = x;                        /* [N, 512, 38, 38] */
        if (stage < 4) {
            cvn_pool_desc pool = cvn_pool_defaults();
            pool.kernel_h = 2;
            pool.ceil_mode = stage == 2;
            x = cvn_maxpool_ex(net, x, &pool);
        }
    }
    scale.kernel_h = 1;                                     /* one factor for each channel */
    scale.filters = scale.groups = wide(z, 512);
    scale.no_bias = 1;
    scale.weight_init.kind = CVN_INIT_CONSTANT;
    scale.weight_init.a = 20;
    maps[0] = cvn_conv2d_ex(net, cvn_l2norm(net, maps[0], 1), &scale);
    {   /* 3x3 at stride 1 keeps the size */
        cvn_pool_desc pool = cvn_pool_defaults();
        pool.kernel_h = 3;
        pool.stride_h = pool.pad_top = pool.pad_left = pool.pad_bottom = pool.pad_right = 1;
        x = cvn_maxpool_ex(net, x, &pool);
    }
    atrous.filters = wide(z, 1024);
    atrous.kernel_h = 3;
    atrous.dilation_h = 6;
    atrous.pad_top = atrous.pad_left = atrous.pad_bottom = atrous.pad_right = 6;
    x = cvn_relu(net, cvn_conv2d_ex(net, x, &atrous));
    maps[1] = x = cvn_relu(net, cvn_conv2d(net, x, wide(z, 1024), 1, 1, 0));
    for (int i = 0; i < 4; i++) {
        x = cvn_relu(net, cvn_conv2d(net, x, wide(z, extra[i][0]), 1, 1, 0));
        x = cvn_conv2d(net, x, wide(z, extra[i][1]), 3, extra[i][2], extra[i][3]);
        maps[i + 2] = x = cvn_relu(net, x);
    }
}

/* W. Liu et al., arXiv:1512.02325: boxes of several shapes at each place of six maps. A class and
 * four offsets are predicted for each; which box is which object is found outside the net. */
static void ssd300(cvn_net *net, const zoo_size *z, int variant)
{
    static const int boxes[6] = { 4, 6, 6, 6, 4, 4 };
    cvn_node maps[6], scores[6], offsets[6], all;
    (void)variant;
    ssd_maps(net, z, maps);
    for (int i = 0; i < 6; i++) {
        scores[i] = ssd_predictions(net, maps[i], boxes[i], z->classes, text("scores%d", i));
        offsets[i] = ssd_predictions(net, maps[i], boxes[i], 4, text("offsets%d", i));
    }
    cvn_softmax_loss(net, cvn_concat_n(net, scores, 6, 1));             /* [N, 8732, classes] */
    all = cvn_concat_n(net, offsets, 6, 1);                             /* [N, 8732, 4] */
    cvn_smooth_l1_loss(net, all, cvn_target(net, all), 1);
}

/* K. He et al., arXiv:1703.06870: the heads of Mask R-CNN on a map of features, as torchvision has
 * them. ROI align cuts each proposed box out of the map; behind cvn_flatten_batch every box is a
 * sample: a class, a better box for each class, and a mask for each class. variant: boxes. */
static void mask_rcnn_heads(cvn_net *net, const zoo_size *z, int variant)
{
    const cvn_node map = cvn_input(net, wide(z, 256), z->image, z->image);
    cvn_roi_align_desc roi = cvn_roi_align_defaults();
    cvn_node boxes, x, y;
    char name[CVN_MAX_NAME];
    int dims[2] = { 0, 4 };
    dims[0] = variant;
    boxes = cvn_name(net, cvn_input_tensor(net, dims, 2), "boxes");
    roi.sampling_ratio = 2;
    x = cvn_flatten_batch(net, cvn_roi_align(net, map, boxes, 7, 7, &roi));     /* [N*R, C, 7, 7] */
    x = cvn_relu(net, cvn_name(net, cvn_dense(net, x, wide(z, 1024)), "roi_heads.box_head.fc6"));
    x = cvn_relu(net, cvn_name(net, cvn_dense(net, x, wide(z, 1024)), "roi_heads.box_head.fc7"));
    y = cvn_name(net, cvn_dense(net, x, z->classes), "roi_heads.box_predictor.cls_score");
    cvn_softmax_loss(net, y);
    x = cvn_name(net, cvn_dense(net, x, 4 * z->classes), "roi_heads.box_predictor.bbox_pred");
    cvn_smooth_l1_loss(net, x, cvn_target(net, x), 1);
    y = cvn_flatten_batch(net, cvn_roi_align(net, map, boxes, 14, 14, &roi));
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "roi_heads.mask_head.%d.0", i);
        y = cvn_relu(net, cvn_name(net, cvn_conv2d(net, y, wide(z, 256), 3, 1, 1), name));
    }
    y = cvn_name(net, cvn_conv_transpose2d(net, y, wide(z, 256), 2, 2, 0),
                 "roi_heads.mask_predictor.conv5_mask");
    y = cvn_conv2d(net, cvn_relu(net, y), z->classes, 1, 1, 0);
    y = cvn_name(net, y, "roi_heads.mask_predictor.mask_fcn_logits");       /* 28 x 28 */
    cvn_bce_with_logits_loss(net, y, cvn_target(net, y));
}

/* ================================================================================================
 * nets that make images: DCGAN, variational autoencoder
 * ============================================================================================== */

/* A. Radford et al., arXiv:1511.06434, in the sizes of PyTorch's example: 64 x 64 pixels from a
 * hundred numbers. Here it learns to draw given images; in a GAN the gradient at the image would
 * come from the discriminator. */
static void dcgan_generator(cvn_net *net, const zoo_size *z, int variant)
{
    static const int filters[5] = { 512, 256, 128, 64, 3 };
    static const int one[3] = { -1, 1, 1 };
    cvn_node x = cvn_reshape(net, cvn_input_vector(net, 100), one, 3);
    (void)variant;
    for (int i = 0; i < 5; i++) {
        cvn_conv_transpose2d_desc d = cvn_conv_transpose2d_defaults();
        d.filters = i < 4 ? wide(z, filters[i]) : filters[i];
        d.kernel_h = 4;
        d.stride_h = i == 0 ? 1 : 2;
        d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = i == 0 ? 0 : 1;
        d.no_bias = 1;
        d.weight_init.kind = CVN_INIT_NORMAL;
        d.weight_init.b = 0.02f;
        x = cvn_name(net, cvn_conv_transpose2d_ex(net, x, &d), text("main.%d", 3 * i));
        if (i == 4) break;
        x = cvn_relu(net, cvn_name(net, cvn_batchnorm(net, x), text("main.%d", 3 * i + 1)));
    }
    x = cvn_tanh(net, x);                                               /* [N, 3, 64, 64] */
    cvn_mse_loss(net, x, cvn_target(net, x));
}

/* The same paper: is an image drawn or real? */
static void dcgan_discriminator(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_node x = image(net, z);
    (void)variant;
    for (int i = 0; i < 5; i++) {
        cvn_conv2d_desc d = cvn_conv2d_defaults();
        d.filters = i < 4 ? wide(z, 64 << i) : 1;
        d.kernel_h = 4;
        d.stride_h = i < 4 ? 2 : 1;
        d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = i < 4 ? 1 : 0;
        d.no_bias = 1;
        d.weight_init.kind = CVN_INIT_NORMAL;
        d.weight_init.b = 0.02f;
        x = cvn_name(net, cvn_conv2d_ex(net, x, &d), text("main.%d", i == 0 ? 0 : 3 * i - 1));
        if (i == 4) break;
        if (i > 0) x = cvn_name(net, cvn_batchnorm(net, x), text("main.%d", 3 * i));
        x = cvn_leaky_relu(net, x, 0.2f);
    }
    x = cvn_flatten(net, x);
    cvn_bce_with_logits_loss(net, x, cvn_target(net, x));
}

/* D. Kingma, M. Welling, arXiv:1312.6114, in the sizes of PyTorch's example: 784 pixels to the mean
 * and variance of 20 numbers, a draw of those numbers, and back to the pixels. */
static void vae(cvn_net *net, const zoo_size *z, int variant)
{
    /* the random pixels from -1 to 1 become probabilities */
    const cvn_node pixels = cvn_scale(net, cvn_input_vector(net, z->image * z->image), 0.5f, 0.5f);
    cvn_node mean, log_variance, loss;
    cvn_node x = cvn_relu(net, cvn_name(net, cvn_dense(net, pixels, wide(z, 400)), "fc1"));
    (void)variant;
    mean = cvn_name(net, cvn_dense(net, x, wide(z, 20)), "fc21");
    log_variance = cvn_name(net, cvn_dense(net, x, wide(z, 20)), "fc22");
    x = cvn_reparameterize(net, mean, log_variance);
    x = cvn_relu(net, cvn_name(net, cvn_dense(net, x, wide(z, 400)), "fc3"));
    x = cvn_name(net, cvn_dense(net, x, z->image * z->image), "fc4");
    loss = cvn_bce_with_logits_loss(net, x, pixels);
    cvn_add_loss(net, loss, (float)(z->image * z->image));      /* the sum over the pixels */
    cvn_vae_kl_loss(net, mean, log_variance);
}

/* ================================================================================================
 * sequences: character LSTM, Vision Transformer
 * ============================================================================================== */

/* The char-rnn of A. Karpathy, 2015: two layers of 128 cells predict the next character of
 * `image` characters. Each is a vector of 65, all zero but one (here: random numbers). */
static void char_lstm(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_rnn_desc d = cvn_rnn_defaults();
    int dims[2];
    (void)variant;
    dims[0] = z->image;
    dims[1] = z->classes;
    d.hidden = wide(z, 128);
    d.layers = 2;
    cvn_softmax_loss(net, cvn_dense(net, cvn_lstm_ex(net, cvn_input_tensor(net, dims, 2), &d),
                                    z->classes));
}

/* A. Dosovitskiy et al., arXiv:2010.11929, in the size that H. Touvron et al., arXiv:2012.12877,
 * call tiny: 16 x 16 patches are words, twelve layers of three heads look at all of them, and a
 * first word that was never in the image ends up as its class. */
static void vit_tiny(cvn_net *net, const zoo_size *z, int variant)
{
    cvn_transformer_desc d = cvn_transformer_defaults();
    cvn_layernorm_desc last = cvn_layernorm_defaults();
    cvn_init init = { CVN_INIT_NORMAL, 0, 0.02f };
    cvn_node x = image(net, z);
    int dims[2] = { 1, 0 };
    (void)variant;
    dims[1] = wide(z, 192);
    x = cvn_patch_embedding(net, x, 16, dims[1]);                       /* [N, 196, 192] */
    x = cvn_concat(net, cvn_name(net, cvn_parameter(net, dims, 2, init), "class_token"), x);
    x = cvn_position_embedding(net, x);                                 /* [N, 197, 192] */
    d.heads = 3;
    d.norm_first = d.gelu = 1;
    d.eps = last.eps = 1e-6f;
    for (int i = 0; i < 12; i++) {
        cvn_scope(net, text("encoder.layers.%d", i));
        x = cvn_transformer_encoder(net, x, &d);
    }
    cvn_scope(net, NULL);
    x = cvn_flatten(net, cvn_slice(net, cvn_layernorm_ex(net, x, &last), 1, 0, 1));
    cvn_softmax_loss(net, cvn_name(net, cvn_dense(net, x, z->classes), "head"));
}

/* ================================================================================================
 * the table
 * ============================================================================================== */

typedef struct zoo_net {
    const char *name;
    void (*build)(cvn_net *net, const zoo_size *z, int variant);
    int variant;
    zoo_size full, small;           /* small: for training */
    double parameters, macs;        /* as published */
    const char *source;             /* of the figures; parameters that it rounds are counted */
} zoo_net;

#define TORCHVISION "torchvision 0.29, num_params and _ops of its weights"
#define BY_HAND "counted by hand from the layers' sizes"

static const zoo_net nets[] = {
    { "neocognitron", neocognitron, 0, { 100, 16, 10 }, { 100, 16, 5 }, 20506, 543216, BY_HAND },
    { "lenet5", lenet5, 0, { 100, 28, 10 }, { 100, 28, 10 }, 61706, 416520, BY_HAND },
    { "alexnet", alexnet, 0, { 100, 224, 1000 }, { 12, 64, 10 }, 61100840, 0.714e9, TORCHVISION },
    { "alexnet_two_groups", alexnet_paper, 0, { 100, 227, 1000 }, { 12, 67, 10 }, 60965224, 0.724e9,
      "bvlc_alexnet; V. Sze et al., arXiv:1703.09039, table 2" },
    { "zfnet", zfnet, 0, { 100, 224, 1000 }, { 12, 64, 10 }, 62357608, 1.168e9, BY_HAND },
    { "network_in_network", network_in_network, 0, { 100, 32, 10 }, { 12, 16, 5 }, 966986, 222.5e6,
      BY_HAND },
    { "vgg11", vgg, 11, { 100, 224, 1000 }, { 12, 32, 10 }, 132863336, 7.609e9, TORCHVISION },
    { "vgg16", vgg, 16, { 100, 224, 1000 }, { 12, 32, 10 }, 138357544, 15.47e9, TORCHVISION },
    { "vgg19", vgg, 19, { 100, 224, 1000 }, { 12, 32, 10 }, 143667240, 19.632e9, TORCHVISION },
    { "googlenet_aux", googlenet, 1, { 100, 224, 1000 }, { 12, 80, 10 }, 13004888, 1506.7e6,
      "torchvision, aux_logits=True; products of the two heads by hand" },
    { "googlenet", googlenet, 0, { 100, 224, 1000 }, { 12, 64, 10 }, 6624904, 1.498e9,
      TORCHVISION },
    { "inception_v3", inception_v3, 0, { 100, 299, 1000 }, { 12, 139, 10 }, 23834568, 5.713e9,
      "torchvision, aux_logits=False; its _ops" },
    { "resnet18", resnet, 18, { 100, 224, 1000 }, { 12, 64, 10 }, 11689512, 1.814e9, TORCHVISION },
    { "resnet34", resnet, 34, { 100, 224, 1000 }, { 12, 64, 10 }, 21797672, 3.664e9, TORCHVISION },
    { "resnet50", resnet, 50, { 100, 224, 1000 }, { 12, 64, 10 }, 25557032, 4.089e9, TORCHVISION },
    { "resnet101", resnet, 101, { 100, 224, 1000 }, { 12, 64, 10 }, 44549160, 7.801e9,
      TORCHVISION },
    { "resnet152", resnet, 152, { 100, 224, 1000 }, { 12, 64, 10 }, 60192808, 11.514e9,
      TORCHVISION },
    { "cifar_resnet20", cifar_resnet, 20, { 100, 32, 10 }, { 50, 16, 10 }, 272474, 40.8e6,
      BY_HAND },
    { "cifar_resnet56", cifar_resnet, 56, { 100, 32, 10 }, { 50, 16, 10 }, 855770, 1.25e8,
      "H. Li et al., arXiv:1608.08710, table 1, and 2,752 for the convolved shortcuts" },
    { "cifar_resnet110", cifar_resnet, 110, { 100, 32, 10 }, { 50, 16, 10 }, 1730714, 2.53e8,
      "H. Li et al., arXiv:1608.08710, table 1, and 2,752 for the convolved shortcuts" },
    { "preactivation_resnet164", preactivation_resnet, 164, { 100, 32, 10 }, { 25, 16, 10 },
      1703258, 2.5e8, "Z. Liu et al., arXiv:1708.06519, table 1 (its FLOPs are two a product)" },
    { "resnext50", resnext, 50, { 100, 224, 1000 }, { 25, 64, 10 }, 25028904, 4.23e9,
      TORCHVISION },
    { "se_resnet50", se_resnet, 50, { 100, 224, 1000 }, { 12, 64, 10 }, 28088024, 4.1e9,
      "timm 1.0, seresnet50, and its model card" },
    { "densenet121", densenet121, 0, { 100, 224, 1000 }, { 25, 32, 10 }, 7978856, 2.834e9,
      TORCHVISION },
    { "squeezenet1_1", squeezenet, 0, { 100, 224, 1000 }, { 25, 64, 10 }, 1235496, 0.349e9,
      TORCHVISION },
    { "mobilenet_v1", mobilenet_v1, 0, { 100, 224, 1000 }, { 25, 64, 10 }, 4231976, 569e6,
      "keras.applications, trainable; A. Howard et al., table 4" },
    { "mobilenet_v2", mobilenet_v2, 0, { 100, 224, 1000 }, { 25, 64, 10 }, 3504872, 0.301e9,
      TORCHVISION },
    { "mobilenet_v3_small", mobilenet_v3, 0, { 100, 224, 1000 }, { 25, 64, 10 }, 2542856, 0.057e9,
      TORCHVISION },
    { "mobilenet_v3_large", mobilenet_v3, 1, { 100, 224, 1000 }, { 25, 64, 10 }, 5483032, 0.217e9,
      TORCHVISION },
    { "shufflenet_v2", shufflenet_v2, 0, { 100, 224, 1000 }, { 25, 64, 10 }, 2278604, 0.145e9,
      TORCHVISION },
    { "efficientnet_b0", efficientnet_b0, 0, { 100, 224, 1000 }, { 25, 64, 10 }, 5288548, 0.386e9,
      TORCHVISION },
    { "fcn_resnet50", fcn, 50, { 100, 520, 21 }, { 12, 32, 5 }, 35322218, 152.717e9, TORCHVISION },
    { "unet", unet, 0, { 100, 572, 2 }, { 6, 188, 2 }, 31030658, 150428.4e6, BY_HAND },
    { "segnet", segnet, 0, { 100, 480, 12 }, { 12, 32, 5 }, 29449932, 143.015e9,
      "A. Paszke et al., arXiv:1606.02147, table 1 (640 x 360: as many pixels)" },
    { "yolo_v2_tiny", yolo_v2_tiny, 0, { 100, 416, 20 }, { 12, 64, 5 }, 15861773, 3.49e9,
      "tiny-yolo-voc.weights without 6,112 running statistics; 6.97 billion FLOPs" },
    { "yolo_v3_tiny", yolo_v3_tiny, 0, { 100, 416, 80 }, { 12, 64, 5 }, 8852366, 2.78e9,
      "yolov3-tiny.weights without 6,368 running statistics; 5.56 billion FLOPs" },
    { "ssd300", ssd300, 0, { 100, 300, 91 }, { 6, 272, 5 }, 35641826, 34.858e9, TORCHVISION },
    { "mask_rcnn_heads", mask_rcnn_heads, 2, { 100, 50, 91 }, { 12, 14, 5 }, 17008162, 1092.9e6,
      "torchvision, roi_heads; products by hand" },
    { "dcgan_generator", dcgan_generator, 0, { 100, 64, 0 }, { 12, 64, 0 }, 3576704, 104.6e6,
      "PyTorch's DCGAN example; products by hand" },
    { "dcgan_discriminator", dcgan_discriminator, 0, { 100, 64, 0 }, { 12, 64, 0 }, 2765568,
      103.8e6, "PyTorch's DCGAN example; products by hand" },
    { "vae", vae, 0, { 100, 28, 0 }, { 50, 28, 0 }, 652824, 651200,
      "PyTorch's VAE example; products by hand" },
    { "char_lstm", char_lstm, 0, { 100, 50, 65 }, { 50, 12, 20 }, 240321, 11910400,
      "char-rnn prints 240,321; products by hand" },
    { "vit_tiny", vit_tiny, 0, { 100, 224, 1000 }, { 25, 64, 10 }, 5717416, 1253.7e6,
      "timm 1.0, vit_tiny_patch16_224; products by hand" },
};

enum { NETS = sizeof nets / sizeof nets[0], BATCH = 4, STEPS = 12 };

/* ================================================================================================
 * counting, checking, training
 * ============================================================================================== */

/* The graph alone, at the paper's size: no memory is taken for weights or values. */
static int count_net(const zoo_net *row, double *parameters, double *macs)
{
    cvn_net *net = cvn_create(NULL);
    int good;
    row->build(net, &row->full, row->variant);
    good = cvn_error(net)[0] == 0;
    if (!good) fprintf(stderr, "%s: %s\n", row->name, cvn_error(net));
    *parameters = (double)cvn_parameters(net);
    *macs = cvn_macs(net);
    cvn_destroy(net);
    return good;
}

static int print_counts(void)
{
    int good = 1;
    printf("name,parameters,macs\n");
    for (int i = 0; i < NETS; i++) {
        double parameters, macs;
        good &= count_net(&nets[i], &parameters, &macs);
        printf("%s,%.0f,%.0f\n", nets[i].name, parameters, macs);
    }
    return good;
}

/* Parameters exactly, multiply-accumulates within 1 %. */
static int check_counts(void)
{
    int failed = 0;
    printf("%-24s %11s %11s   %9s %9s        million MACs, published ones first\n", "name",
           "published", "parameters", "", "");
    for (int i = 0; i < NETS; i++) {
        const zoo_net *row = &nets[i];
        double parameters, macs;
        int good = count_net(row, &parameters, &macs);
        if (parameters != row->parameters) good = 0;
        if (fabs(macs - row->macs) > 0.01 * row->macs) good = 0;
        printf("%-24s %11.0f %11.0f   %9.1f %9.1f %-6s %s\n", row->name, row->parameters,
               parameters, row->macs / 1e6, macs / 1e6, good ? "ok" : "FAILED", row->source);
        failed += !good;
    }
    printf("%d nets, %d FAILED\n", NETS, failed);
    return !failed;
}

static unsigned random_state = 1;

static float random_unit(void)              /* [0, 1) */
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 16777216.0f;
}

/* Every input of a built net receives random values of its kind, which its name tells. */
static cvn_result fill_inputs(cvn_net *net, int classes)
{
    cvn_result result = CVN_OK;
    cvn_node node = { 1 };
    for (; cvn_node_name(net, node)[0] && result == CVN_OK; node.id++) {
        const char *const name = cvn_node_name(net, node);
        const cvn_shape s = cvn_node_shape(net, node);
        const int is_labels = strncmp(name, "labels", 6) == 0;
        const int is_boxes = strcmp(name, "boxes") == 0;
        size_t count = 1;
        float *values;
        int *labels;
        if (!is_labels && !is_boxes && strncmp(name, "input", 5) != 0 &&
            strncmp(name, "target", 6) != 0)
            continue;
        for (int i = 0; i < s.rank; i++) count *= (size_t)s.dim[i];
        values = (float *)malloc(count * sizeof *values);
        labels = (int *)malloc(count * sizeof *labels);
        for (size_t i = 0; values && labels && i < count; i++) {
            values[i] = name[0] == 't' ? random_unit() : 2 * random_unit() - 1;
            if (is_boxes) values[i] = 3 * random_unit() + (i % 4 < 2 ? 0.0f : 8.0f);
            labels[i] = (int)((float)classes * random_unit());
        }
        if (!values || !labels) result = CVN_ERROR_MEMORY;
        else if (is_labels) result = cvn_set_labels(net, node, labels, BATCH);
        else result = cvn_set_input(net, node, values, BATCH);
        free(values);
        free(labels);
    }
    return result;
}

/* A few steps on one batch: a net whose gradients are right learns it by heart. The mean of the
 * last three losses counts, for dropout makes each of them a draw. One thread: nets as narrow as
 * these have no work for more. */
static int train_net(const zoo_net *row)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_result result;
    float losses[STEPS];
    int good;
    desc.threads = 1;
    random_state = 1;
    net = cvn_create(&desc);
    row->build(net, &row->small, row->variant);
    result = cvn_build(net, BATCH);
    printf("%-24s", row->name);
    if (result == CVN_OK) result = fill_inputs(net, row->small.classes);
    for (int step = 0; step < STEPS && result == CVN_OK; step++) {
        result = cvn_forward(net);
        losses[step] = cvn_loss(net);
        if (step % 3 == 0 || step == STEPS - 1) printf(" %9.4f", (double)losses[step]);
        if (result == CVN_OK) result = cvn_backward(net);
        if (result == CVN_OK) result = cvn_step(net);           /* Adam, rate 0.001 */
    }
    if (result != CVN_OK) fprintf(stderr, "%s: %s\n", row->name, cvn_error(net));
    good = result == CVN_OK &&
           losses[STEPS - 1] + losses[STEPS - 2] + losses[STEPS - 3] < 3 * losses[0];
    cvn_destroy(net);
    printf("   %s\n", good ? "ok" : "FAILED");
    fflush(stdout);
    return good;
}

static int train_all(void)
{
    int failed = 0;
    for (int i = 0; i < NETS; i++) failed += !train_net(&nets[i]);
    printf("%d nets, %d FAILED\n", NETS, failed);
    return !failed;
}

int main(int argc, char **argv)
{
    if (argc < 2) return print_counts() ? 0 : 1;
    if (strcmp(argv[1], "--check") == 0) return check_counts() ? 0 : 1;
    if (strcmp(argv[1], "--train") == 0) return train_all() ? 0 : 1;
    for (int i = 0; i < NETS; i++)
        if (strcmp(argv[1], nets[i].name) == 0) return train_net(&nets[i]) ? 0 : 1;
    fprintf(stderr, "usage: %s [--check | --train | NAME]; the names are in the first column\n",
            argv[0]);
    return 1;
}
