/* export_lenet.c - LeNet-5 and ResNet-20 as C source, with ten digits and what this library says
 * about them: for tests/cortex_m.sh. LeNet learns drawn digits for some seconds.
 *     export_lenet DIR     writes DIR/lenet.c, DIR/resnet.c (random weights), DIR/digits_in.h */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "../examples/digits.h"
#include <stdio.h>

enum { TRAINING = 4000, PIXELS = DIGITS_SIZE * DIGITS_SIZE, SHOWN = 10 };

static cvn_net *lenet(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 1, 28, 28);                     /* [N,  1, 28, 28] */
    x = cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2));          /* [N,  6, 28, 28] */
    x = cvn_maxpool(net, x, 2, 2);                              /* [N,  6, 14, 14] */
    x = cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0));         /* [N, 16, 10, 10] */
    x = cvn_maxpool(net, x, 2, 2);                              /* [N, 16,  5,  5] */
    x = cvn_relu(net, cvn_dense(net, x, 120));
    x = cvn_relu(net, cvn_dense(net, x, 84));
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
    return net;
}

/* K. He et al., arXiv:1512.03385, section 4.2, n = 3. */
static cvn_net *resnet20(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 3, 32, 32);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 16, 3, 1, 1)));
    for (int i = 0; i < 9; i++)
        x = cvn_residual_basic(net, x, 16 << i / 3, i == 3 || i == 6 ? 2 : 1);
    cvn_dense(net, cvn_flatten(net, cvn_global_avgpool(net, x)), 10);
    return net;
}

static int write_digits(const char *dir, cvn_net *net, const cvn_data *data)
{
    char path[300];
    float x[PIXELS], y[10];
    FILE *f;
    snprintf(path, sizeof path, "%s/digits_in.h", dir);
    f = fopen(path, "w");
    if (!f) return 0;
    fprintf(f, "static const struct {\n    int label;\n    float y[10];\n"
               "    unsigned char x[%d];\n} digits[%d] = {", PIXELS, SHOWN);
    for (int i = 0; i < SHOWN; i++) {
        const unsigned char *pixels = data->bytes + (size_t)i * PIXELS;
        if (cvn_image_to_tensor(pixels, 28, 28, 1, data->mean, data->std, 0, x) != CVN_OK ||
            cvn_predict(net, x, 1, y) != CVN_OK)
            return 0;
        fprintf(f, "\n{ %d, {", data->labels[i]);
        for (int k = 0; k < 10; k++) fprintf(f, " %.9ef,", (double)y[k]);
        fprintf(f, " }, {");
        for (int k = 0; k < PIXELS; k++) fprintf(f, "%d,", pixels[k]);
        fprintf(f, "} },");
    }
    fprintf(f, "\n};\nstatic const float mean = %.9ef, deviation = %.9ef;\n", (double)data->mean[0],
            (double)data->std[0]);
    return fclose(f) == 0;
}

static int write_net(const char *dir, cvn_net *net, const char *name)
{
    cvn_export_c_options o = cvn_export_c_defaults();
    char path[300];
    snprintf(path, sizeof path, "%s/%s.c", dir, name);
    o.name = name;
    if (cvn_export_c_ex(net, path, &o) == CVN_OK) return 1;
    puts(cvn_error(net));
    return 0;
}

int main(int argc, char **argv)
{
    static unsigned char bytes[TRAINING * PIXELS];
    static int labels[TRAINING];
    cvn_fit_options options = cvn_fit_defaults();
    cvn_data data = { 0 };
    cvn_net *net = lenet();
    cvn_net *deep = resnet20();
    int good;
    digits_fill(1, TRAINING, bytes, labels);
    data.bytes = bytes;
    data.labels = labels;
    data.count = TRAINING;
    data.channels = 1;
    data.height = data.width = 28;
    data.classes = 10;
    data.mean[0] = DIGITS_MEAN;
    data.std[0] = DIGITS_STD;
    options.epochs = 3;
    good = argc > 1 && cvn_build(net, 32) == CVN_OK && cvn_build_infer(deep, 1) == CVN_OK &&
           cvn_fit(net, &data, NULL, &options) >= 0 && write_digits(argv[1], net, &data) &&
           write_net(argv[1], net, "lenet") && write_net(argv[1], deep, "resnet");
    cvn_destroy(net);
    cvn_destroy(deep);
    return !good;
}
