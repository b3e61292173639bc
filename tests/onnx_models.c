/* Real ONNX models on real test sets: how many of 10,000 images each classifier gets right, to the
 * image.
 *     cc -O2 -fopenmp tests/onnx_models.c -o onnx_models -lm
 *     onnx_models MODELS DATA      MODELS: folder of the .onnx files; DATA: unpacked
 *                                  t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte (MNIST),
 *                                  test_batch.bin (CIFAR-10)
 * The counts wanted were measured with PyTorch on the same files. The last line is N passed, N
 * failed. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"

enum { IMAGES = 10000, BATCH = 100 };

typedef struct classifier {
    const char *file;
    int cifar, channels_last;
    float scale;                    /* x = (byte*scale - mean)/std */
    float mean[3], std[3];
    int right;
} classifier;

static const classifier classifiers[] = {
    { "mnist-8/model.onnx", 0, 0, 1, { 0, 0, 0 }, { 1, 1, 1 }, 9891 },
    { "Convnet_avgpool.onnx", 0, 0, 1 / 255.0f, { 0, 0, 0 }, { 1, 1, 1 }, 9795 },
    { "cifar_base_kw.onnx",
      1,
      0,
      1 / 255.0f,
      { 0.485f, 0.456f, 0.406f },
      { 0.225f, 0.225f, 0.225f },
      5853 },
    { "resnet_2b.onnx",
      1,
      0,
      1 / 255.0f,
      { 0.4914f, 0.4822f, 0.4465f },
      { 0.2471f, 0.2435f, 0.2616f },
      6925 },
    { "resnet20.onnx",
      1,
      0,
      1 / 255.0f,
      { 0.4914f, 0.4822f, 0.4465f },
      { 0.2471f, 0.2435f, 0.2616f },
      9202 },
    { "squeezenet_cifar10.onnx", 1, 1, 1 / 255.0f, { 0, 0, 0 }, { 1, 1, 1 }, 7706 }
};

/* BATCH images as the classifier takes them, planes or pixels. */
static void fill(const classifier *c, const cvn_data *data, int first, float *x)
{
    const int planes = c->cifar ? 3 : 1, area = c->cifar ? 32 * 32 : 28 * 28;
    for (int n = 0; n < BATCH; n++)
        for (int p = 0; p < planes; p++)
            for (int i = 0; i < area; i++) {
                const int from = ((first + n) * planes + p) * area + i;
                const int to =
                    c->channels_last ? (n * area + i) * planes + p : (n * planes + p) * area + i;
                x[to] = ((float)data->bytes[from] * c->scale - c->mean[p]) / c->std[p];
            }
}

/* How many are right; -1 with the reason said. */
static int count_right(const char *folder, const classifier *c, const cvn_data *data)
{
    static float x[BATCH * 3 * 32 * 32], y[BATCH * 10];
    char path[1024];
    cvn_net *net = cvn_create(NULL);
    cvn_onnx_model model;
    int right = 0;
    snprintf(path, sizeof path, "%s/%s", folder, c->file);
    if (cvn_load_onnx_ex(net, path, NULL, &model) != CVN_OK ||
        cvn_build_infer(net, BATCH) != CVN_OK)
        right = -1;
    if (right == 0 && !model.batched) printf("%s has no free batch\n", c->file), right = -1;
    for (int first = 0; right >= 0 && first < IMAGES; first += BATCH) {
        fill(c, data, first, x);
        if (cvn_predict(net, x, BATCH, y) != CVN_OK) {
            right = -1;
            break;
        }
        for (int n = 0; n < BATCH; n++) {
            int best = 0;
            for (int k = 1; k < 10; k++) if (y[n * 10 + k] > y[n * 10 + best]) best = k;
            right += best == data->labels[first + n];
        }
    }
    if (right < 0) printf("%s\n", cvn_error(net));
    cvn_destroy(net);
    return right;
}

int main(int argc, char **argv)
{
    cvn_data mnist, cifar;
    char images[1024], labels[1024], batch[1024];
    const char *batches[1];
    int passed = 0, failed = 0;
    if (argc < 3) {
        fprintf(stderr, "onnx_models MODELS DATA\n");
        return 2;
    }
    memset(&mnist, 0, sizeof mnist);
    memset(&cifar, 0, sizeof cifar);
    snprintf(images, sizeof images, "%s/t10k-images-idx3-ubyte", argv[2]);
    snprintf(labels, sizeof labels, "%s/t10k-labels-idx1-ubyte", argv[2]);
    snprintf(batch, sizeof batch, "%s/test_batch.bin", argv[2]);
    batches[0] = batch;
    if (cvn_load_idx(&mnist, images, labels) != CVN_OK ||
        cvn_load_cifar10(&cifar, batches, 1) != CVN_OK) {
        fprintf(stderr, "%s%s\n", mnist.error, cifar.error);
        return 1;
    }
    for (size_t i = 0; i < sizeof classifiers / sizeof *classifiers; i++) {
        const classifier *c = &classifiers[i];
        const int right = count_right(argv[1], c, c->cifar ? &cifar : &mnist);
        printf("%-8s %s: %d of %d right, %d wanted\n", right == c->right ? "ok" : "FAILED", c->file,
               right, IMAGES, c->right);
        passed += right == c->right;
        failed += right != c->right;
    }
    printf("%d passed, %d failed\n", passed, failed);
    cvn_data_free(&mnist);
    cvn_data_free(&cifar);
    return failed != 0;
}
