/* The whole story in 15 seconds (make demo): LeNet-5 learns drawn digits and shows what it sees.
 *     cc -O2 -fopenmp -o build/demo examples/demo.c -lm
 * Prints the table of the net, progress, test accuracy, confusion matrix and a few digits with
 * their predictions; writes build/lenet.safetensors, build/demo_curves.svg, build/demo_filters.png.
 * No data is needed. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "digits.h"
#include "png.h"
#include <stdio.h>
#include <stdlib.h>

#define TRAINING 20000
#define TEST 2000
#define PIXELS (DIGITS_SIZE * DIGITS_SIZE)

typedef struct lenet { cvn_net *net; cvn_node input, maps1, maps2; } lenet;

static lenet lenet5(void)
{
    lenet l;
    cvn_node x;
    cvn_net *net = l.net = cvn_create(NULL);
    l.input = cvn_input(net, 1, 28, 28);                            /* [N,  1, 28, 28] */
    l.maps1 = cvn_relu(net, cvn_conv2d(net, l.input, 6, 5, 1, 2));  /* [N,  6, 28, 28] */
    x = cvn_maxpool(net, l.maps1, 2, 2);                            /* [N,  6, 14, 14] */
    l.maps2 = cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0));       /* [N, 16, 10, 10] */
    x = cvn_maxpool(net, l.maps2, 2, 2);                            /* [N, 16,  5,  5] */
    x = cvn_relu(net, cvn_dense(net, x, 120));
    x = cvn_relu(net, cvn_dense(net, x, 84));
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
    cvn_keep(net, l.maps1);                                         /* to be looked at */
    cvn_keep(net, l.maps2);
    return l;
}

/* Draws `count` digits; 0 when memory is out. */
static int draw_set(cvn_data *data, uint64_t seed, int count)
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
    data->classes = 10;
    data->mean[0] = DIGITS_MEAN;
    data->std[0] = DIGITS_STD;
    return 1;
}

static void free_set(cvn_data *data)
{
    free((void *)data->bytes);
    free((void *)data->labels);
}

static cvn_result train(cvn_net *net, cvn_data *training, const cvn_data *test)
{
    const cvn_optimizer adam = cvn_adam(2e-3f);
    cvn_augment augment = { 0 };
    cvn_fit_options options = cvn_fit_defaults();
    cvn_result result;
    augment.shift = 1;
    augment.rotate = 8;
    augment.scale = 0.08f;
    training->augment = &augment;
    options.epochs = 10;
    options.optimizer = &adam;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    options.callback = cvn_print_progress;
    result = cvn_fit(net, training, test, &options);
    training->augment = NULL;
    return result;
}

static void print_metrics(const cvn_metrics *m)
{
    printf("\ntest accuracy %.2f %% of %d digits drawn from another seed\n\n", 100 * m->accuracy,
           m->count);
    printf("drawn | read as 0    1    2    3    4    5    6    7    8    9\n");
    for (int i = 0; i < 10; i++) {
        printf("    %d |    ", i);
        for (int j = 0; j < 10; j++) {
            if (m->confusion[10 * i + j]) printf("%5d", m->confusion[10 * i + j]);
            else printf("    .");
        }
        printf("\n");
    }
}

/* Digits side by side as text; a character stands for two pixels, one above the other. */
static void print_digits(const cvn_data *data, const int *chosen, int count, const int *read,
                         const float *sure)
{
    static const char ink[] = " .:-=+*#%@";
    printf("\n");
    for (int y = 4; y < 24; y += 2) {
        for (int k = 0; k < count; k++) {
            const unsigned char *pixel = data->bytes + (size_t)chosen[k] * PIXELS +
                                         y * DIGITS_SIZE + 3;
            printf("  ");
            for (int x = 0; x < 22; x++)
                putchar(ink[(pixel[x] + pixel[x + DIGITS_SIZE]) * 9 / 510]);
        }
        printf("\n");
    }
    for (int k = 0; k < count; k++) {
        const int i = chosen[k];
        char text[40];
        snprintf(text, sizeof text, "%d, %.1f %% sure%s", read[i], 100 * (double)sure[i],
                 read[i] == data->labels[i] ? "" : ": WRONG");
        printf("  %-22s", text);
    }
    printf("\n");
}

/* Three digits that are read right and up to three that are not. x holds the set as the net takes
 * it. */
static cvn_result show_digits(cvn_net *net, const cvn_data *data, const float *x)
{
    static int read[TEST];
    static float probability[TEST];
    int right[3], wrong[3], rights = 0, wrongs = 0;
    const cvn_result result = cvn_classify(net, x, data->count, read, probability);
    if (result != CVN_OK) return result;
    for (int i = 0; i < data->count; i++) {
        if (read[i] != data->labels[i]) {
            if (wrongs < 3) wrong[wrongs++] = i;
        } else if (rights < 3) {
            right[rights++] = i;
        }
    }
    print_digits(data, right, rights, read, probability);
    if (wrongs) print_digits(data, wrong, wrongs, read, probability);
    return CVN_OK;
}

/* A digit; on its right the 6 filters of the first layer over their maps; below the 16 maps of the
 * second layer. */
static int save_filters(lenet *l, const float *digit, const char *path)
{
    const cvn_param filters = cvn_param_find(l->net, "conv1.weight");
    png_image p;
    const float *maps1, *maps2;
    int ok;
    if (cvn_set_input(l->net, l->input, digit, 1) != CVN_OK || cvn_forward_eval(l->net) != CVN_OK)
        return 0;
    maps1 = cvn_value(l->net, l->maps1);
    maps2 = cvn_value(l->net, l->maps2);
    if (!maps1 || !maps2 || !filters.value || !png_create(&p, 984, 500)) return 0;
    png_tile(&p, 12, 68, digit, 28, 28, 5, 0);
    for (int i = 0; i < 6; i++) {
        png_tile(&p, 180 + 134 * i + 1, 12, filters.value + 25 * i, 5, 5, 24, 1);
        png_tile(&p, 180 + 134 * i, 146, maps1 + PIXELS * i, 28, 28, 4, 0);
    }
    for (int i = 0; i < 16; i++) {
        png_tile(&p, 12 + 121 * (i % 8), 276 + 112 * (i / 8), maps2 + 100 * i, 10, 10, 10, 0);
    }
    ok = png_save(&p, path);
    png_free(&p);
    return ok;
}

/* The test images as floats, for the calls that take no cvn_data. */
static float *as_floats(const cvn_data *data)
{
    float *x = (float *)malloc((size_t)data->count * PIXELS * sizeof *x);
    for (int i = 0; x && i < data->count; i++) {
        cvn_image_to_tensor(data->bytes + (size_t)i * PIXELS, DIGITS_SIZE, DIGITS_SIZE, 1,
                            data->mean, data->std, 0, x + (size_t)i * PIXELS);
    }
    return x;
}

static int run(lenet *l, cvn_data *training, const cvn_data *test, const float *x)
{
    static char table[8192];
    int confusion[100];
    cvn_metrics metrics = { 0 };
    metrics.classes = 10;
    metrics.confusion = confusion;
    if (cvn_build(l->net, 50) != CVN_OK) return 0;
    cvn_summary(l->net, table, sizeof table);
    printf("%s\nLearning from %d drawn digits:\n", table, training->count);
    fflush(stdout);
    if (train(l->net, training, test) < 0 || cvn_evaluate(l->net, test, &metrics) != CVN_OK)
        return 0;
    print_metrics(&metrics);
    if (show_digits(l->net, test, x) != CVN_OK) return 0;
    if (cvn_save(l->net, "build/lenet.safetensors") != CVN_OK) return 0;
    if (cvn_history_save_svg(l->net, "build/demo_curves.svg") != CVN_OK) return 0;
    if (!save_filters(l, x, "build/demo_filters.png")) return 0;
    printf(
        "\nwrote build/lenet.safetensors    the weights; PyTorch reads them too\n"
        "      build/demo_curves.svg      loss and accuracy\n"
        "      build/demo_filters.png     a digit, the learnt filters, and what they make of it\n");
    return 1;
}

int main(void)
{
    cvn_data training = { 0 };
    cvn_data test = { 0 };
    float *x = NULL;
    lenet l = lenet5();
    int ok = draw_set(&training, 1, TRAINING) && draw_set(&test, 2, TEST) &&
             (x = as_floats(&test)) != NULL;
    if (!ok) fprintf(stderr, "out of memory\n");
    else if (!(ok = run(&l, &training, &test, x))) fprintf(stderr, "demo: %s\n", cvn_error(l.net));
    free(x);
    free_set(&training);
    free_set(&test);
    cvn_destroy(l.net);
    return ok ? 0 : 1;
}
