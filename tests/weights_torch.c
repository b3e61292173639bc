/* weights_torch.c - nets whose weights come from PyTorch.
 *     build/weights_torch mnist FILE.safetensors MNIST_FOLDER     prints the right ones of 10,000
 *     build/weights_torch resnet|sequential FILE IN.npy OUT.npy   what tests/weights_torch.py runs
 */
#include "../convnet.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cvn_node conv(cvn_net *net, cvn_node x, int filters, int kernel, int stride)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    d.filters = filters;
    d.kernel_h = d.kernel_w = kernel;
    d.stride_h = d.stride_w = stride;
    d.pad_top = d.pad_bottom = d.pad_left = d.pad_right = kernel / 2;
    d.no_bias = 1;
    return cvn_conv2d_ex(net, x, &d);
}

/* torchvision's BasicBlock; names by scope: layer2.0.conv1.weight, ... */
static cvn_node block(cvn_net *net, cvn_node x, const char *name, int filters, int stride)
{
    cvn_node y;
    char down[64];
    cvn_scope(net, name);
    y = cvn_relu(net, cvn_batchnorm(net, conv(net, x, filters, 3, stride)));
    y = cvn_batchnorm(net, conv(net, y, filters, 3, 1));
    if (stride != 1) {
        snprintf(down, sizeof down, "%s.downsample.0", name);
        x = cvn_name(net, conv(net, x, filters, 1, stride), down);
        snprintf(down, sizeof down, "%s.downsample.1", name);
        x = cvn_name(net, cvn_batchnorm(net, x), down);
    }
    x = cvn_relu(net, cvn_add(net, x, y));
    cvn_scope(net, NULL);
    return x;
}

static void resnet(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 32, 32);
    x = cvn_relu(net, cvn_batchnorm(net, conv(net, x, 8, 3, 1)));
    x = block(net, x, "layer1.0", 8, 1);
    x = block(net, x, "layer1.1", 8, 1);
    x = block(net, x, "layer2.0", 16, 2);
    x = block(net, x, "layer2.1", 16, 1);
    cvn_dense(net, cvn_global_avgpool(net, x), 10);
}

/* nn.Sequential: Conv2d BatchNorm2d ReLU, four times; Flatten; Linear. "0.weight" to "13.bias" */
static void sequential(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 8, 8);
    for (int i = 0; i < 4; i++)
        x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, i ? 6 : 5, 3, 1, 1)));
    cvn_dense(net, x, 10);
}

/* tracel-ai/burn's net of mnist.safetensors. */
static void mnist(cvn_net *net)
{
    cvn_node x = cvn_input(net, 1, 28, 28);
    for (int i = 1; i <= 3; i++) x = cvn_relu(net, cvn_conv2d(net, x, 8 * i, 3, 1, 0));
    x = cvn_relu(net, cvn_dense(net, cvn_name(net, cvn_batchnorm(net, x), "norm1"), 32));
    cvn_name(net, cvn_batchnorm(net, cvn_dense(net, x, 10)), "norm2");
}

static int fail(const char *what)
{
    printf("%s\n", what);
    return 1;
}

static int test_mnist(cvn_net *net, const char *folder)
{
    enum { PIXELS = 28 * 28, BATCH = 100 };
    static float x[BATCH * PIXELS], y[BATCH * 10];
    char images[512], labels[512];
    cvn_data d;
    int right = 0;
    snprintf(images, sizeof images, "%s/t10k-images-idx3-ubyte", folder);
    snprintf(labels, sizeof labels, "%s/t10k-labels-idx1-ubyte", folder);
    if (cvn_load_idx(&d, images, labels) < 0) return fail(d.error);
    for (int i = 0; i < d.count; i++) {
        float *image = x + i % BATCH * PIXELS;
        for (int k = 0; k < PIXELS; k++)
            image[k] = ((float)d.bytes[i * PIXELS + k] / 255.0f - 0.1307f) / 0.3081f;
        if (i % BATCH != BATCH - 1) continue;
        if (cvn_predict(net, x, BATCH, y) < 0) return fail(cvn_error(net));
        for (int n = 0; n < BATCH; n++) {
            int best = 0;
            for (int c = 1; c < 10; c++) best = y[n * 10 + c] > y[n * 10 + best] ? c : best;
            right += best == d.labels[i - BATCH + 1 + n];
        }
    }
    printf("%d of %d right\n", right, d.count);
    cvn_data_free(&d);
    return 0;
}

static int predict_file(cvn_net *net, const char *in, const char *out)
{
    cvn_arrays a;
    cvn_array result;
    float *x, y[100 * 10];
    int dim[2], r;
    if (cvn_load_npy(&a, in) < 0) return fail(a.error);
    x = (float *)malloc(a.array[0].count * sizeof(float));
    dim[0] = a.array[0].dim[0];
    dim[1] = 10;
    if (!x || dim[0] > 100 || cvn_array_floats(&a.array[0], x) < 0) return fail("input");
    if (cvn_predict(net, x, dim[0], y) < 0) return fail(cvn_error(net));
    result = cvn_array_make("", "f4", y, 2, dim);
    r = cvn_save_npy(out, &result);
    free(x);
    cvn_arrays_free(&a);
    return r < 0 ? fail(cvn_result_name((cvn_result)r)) : 0;
}

int main(int argc, char **argv)
{
    static const cvn_rename names[] = {
        { "module.*", "*" }, { "fc.*", "fc1.*" }, { NULL, NULL }
    };
    cvn_net *net = cvn_create(NULL);
    cvn_load_options options = cvn_load_defaults();
    cvn_load_report report;
    int status;
    if (argc < 4) return fail("mnist FILE FOLDER | resnet|sequential FILE IN.npy OUT.npy");
    if (!strcmp(argv[1], "mnist")) mnist(net);
    else if (!strcmp(argv[1], "resnet")) resnet(net);
    else sequential(net);
    options.report = &report;
    options.names = strcmp(argv[1], "resnet") ? NULL : names;
    options.by_order = !strcmp(argv[1], "sequential");
    if (cvn_build_infer(net, 100) != CVN_OK ||
        cvn_load_safetensors(net, argv[2], &options) != CVN_OK)
        return fail(cvn_error(net));
    status = argc == 4 ? test_mnist(net, argv[3]) : predict_file(net, argv[3], argv[4]);
    cvn_destroy(net);
    return status;
}
