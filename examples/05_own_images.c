/* Your own pictures, a folder a class: decode, shrink, train, test each class; minutes.
 *     cc -O2 -fopenmp -o build/05_own_images examples/05_own_images.c -lstb -lm
 *     build/05_own_images DIR [EPOCHS]    DIR/cat/1.jpg, DIR/cat/2.png, ..., DIR/dog/1.jpg, ...
 * Prints a table. A fifth of the pictures, drawn by chance, is kept for the test. stb_image reads
 * the pictures (Debian: libstb-dev), POSIX's dirent.h the folders. Writes
 * build/05_own_images.safetensors. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <dirent.h>
#include <stb/stb_image.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIZE 64                     /* pictures become SIZE x SIZE */
#define PIXELS (3 * SIZE * SIZE)
#define MAX_CLASSES 100
#define MAX_PICTURES 20000          /* 250 MB */

static char names[MAX_CLASSES][64];
static int labels[MAX_PICTURES];
static unsigned char *pictures;     /* [count, 3, SIZE, SIZE] */
static int count;

/* The middle square of [h, w, 3] as planes [3, SIZE, SIZE]: each pixel the mean of those it
 * covers. */
static void shrink(const unsigned char *image, int h, int w, unsigned char *out)
{
    const int side = h < w ? h : w;
    const int top = (h - side) / 2;
    const int left = (w - side) / 2;
    for (int i = 0; i < PIXELS; i++) {
        const int c = i / (SIZE * SIZE);
        const int row = i / SIZE % SIZE;
        const int column = i % SIZE;
        const int x0 = column * side / SIZE;
        const int y0 = row * side / SIZE;
        int sum = 0;
        int n = 0;
        for (int y = y0; y == y0 || y < (row + 1) * side / SIZE; y++) {
            for (int x = x0; x == x0 || x < (column + 1) * side / SIZE; x++, n++) {
                sum += image[((size_t)(top + y) * (size_t)w + (size_t)(left + x)) * 3 + (size_t)c];
            }
        }
        out[i] = (unsigned char)(sum / n);
    }
}

/* All pictures of a folder, each put at a random place among those before: the last ones are then a
 * fair sample. */
static void read_class(const char *folder, int label)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while (dir && count < MAX_PICTURES && (entry = readdir(dir)) != NULL) {
        const int place = rand() % (count + 1);
        unsigned char *image;
        char path[2048];
        int w, h, channels;
        if (snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) >= (int)sizeof path)
            continue;
        image = entry->d_name[0] == '.' ? NULL : stbi_load(path, &w, &h, &channels, 3);
        if (!image) continue;                           /* no picture */
        memmove(pictures + (size_t)count * PIXELS, pictures + (size_t)place * PIXELS, PIXELS);
        labels[count++] = labels[place];
        shrink(image, h, w, pictures + (size_t)place * PIXELS);
        labels[place] = label;
        stbi_image_free(image);
    }
    if (dir) closedir(dir);
}

/* Every folder with pictures is a class. Returns the number of classes. */
static int read_classes(const char *root)
{
    DIR *dir = opendir(root);
    const struct dirent *entry;
    int classes = 0;
    while (dir && classes < MAX_CLASSES && (entry = readdir(dir)) != NULL) {
        const int before = count;
        char folder[1024];
        if (entry->d_name[0] == '.') continue;
        if (snprintf(folder, sizeof folder, "%s/%s", root, entry->d_name) >= (int)sizeof folder)
            continue;
        read_class(folder, classes);
        if (count == before) continue;
        printf("%5d pictures in %s\n", count - before, folder);
        snprintf(names[classes++], sizeof names[0], "%.63s", entry->d_name);
    }
    if (dir) closedir(dir);
    return classes;
}

/* Four times: convolve, normalise, halve; then the means of the 128 maps decide. */
static cvn_net *small_net(int classes)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 3, SIZE, SIZE);
    for (int filters = 16; filters <= 128; filters *= 2) {
        x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, filters, 3, 1, 1)));
        x = cvn_maxpool(net, x, 2, 2);
    }
    x = cvn_dropout(net, cvn_global_avgpool(net, x), 0.2f);
    cvn_softmax_loss(net, cvn_dense(net, x, classes));
    return net;
}

static cvn_result train(cvn_net *net, int classes, int epochs, cvn_metrics *metrics)
{
    cvn_data data = { 0 };
    cvn_data test = { 0 };
    cvn_augment augment = { 0 };
    cvn_fit_options options = cvn_fit_defaults();
    cvn_result result = cvn_build(net, 32);
    data.count = count;
    data.bytes = pictures;
    data.labels = labels;
    data.channels = 3;
    data.height = data.width = SIZE;
    data.classes = classes;
    for (int c = 0; c < 3; c++) {
        data.mean[c] = 0.45f;                           /* about right for photographs */
        data.std[c] = 0.25f;
    }
    if (result == CVN_OK) result = cvn_data_split(&data, &test, count / 5);
    augment.flip = 1;
    augment.shift = 4;
    augment.brightness = 0.1f;
    data.augment = &augment;                            /* after the split: only for training */
    options.epochs = epochs;
    options.schedule.kind = CVN_SCHEDULE_ONE_CYCLE;
    options.callback = cvn_print_progress;
    if (result == CVN_OK) result = cvn_fit(net, &data, &test, &options);
    if (result == CVN_OK) result = cvn_save(net, "build/05_own_images.safetensors");
    return result == CVN_OK ? cvn_evaluate(net, &test, metrics) : result;
}

int main(int argc, char **argv)
{
    static int confusion[MAX_CLASSES * MAX_CLASSES];
    const int epochs = argc > 2 ? atoi(argv[2]) : 20;
    cvn_metrics metrics = { 0 };
    cvn_result result = CVN_ERROR_ARGUMENT;
    pictures = (unsigned char *)malloc((size_t)MAX_PICTURES * PIXELS);
    metrics.classes = pictures && argc > 1 ? read_classes(argv[1]) : 0;
    metrics.confusion = confusion;
    if (metrics.classes < 2 || count < 5 || epochs < 1) {
        fprintf(stderr, "usage: %s DIR [EPOCHS]\nDIR: a folder of pictures for each class\n",
                argv[0]);
    } else {
        cvn_net *net = small_net(metrics.classes);
        result = train(net, metrics.classes, epochs, &metrics);
        if (result != CVN_OK) fprintf(stderr, "%s\n", cvn_error(net));
        cvn_destroy(net);
    }
    for (int i = 0; result == CVN_OK && i < metrics.classes; i++) {
        int total = 0;
        for (int j = 0; j < metrics.classes; j++) total += confusion[i * metrics.classes + j];
        printf("%-24s %4d of %4d right\n", names[i], confusion[i * metrics.classes + i], total);
    }
    if (result == CVN_OK) printf("test accuracy %.2f %%\n", 100 * metrics.accuracy);
    free(pictures);
    return result == CVN_OK ? 0 : 1;
}
