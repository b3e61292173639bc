/* test_data.c - rooms >>data and >>augment: loaders against good, cut and mutated files,
 * statistics, images to tensors, the batch that cvn_fit and cvn_evaluate give a net, each
 * augmentation against a naive reference. */
#include <stddef.h>

static void *test_alloc(size_t size);
static void test_free(void *pointer);
#define CONVNET_MALLOC(size) test_alloc(size)
#define CONVNET_FREE(pointer) test_free(pointer)
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "golden/augment.h"

static int live_blocks, fail_alloc;

static void *test_alloc(size_t size)
{
    void *p = fail_alloc ? NULL : malloc(size);
    live_blocks += p != NULL;
    return p;
}

static void test_free(void *pointer)
{
    live_blocks -= pointer != NULL;
    free(pointer);
}

static unsigned char random_byte(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (unsigned char)(*state >> 24);
}

/* ---- files ---- */

enum { COUNT = 7, HEIGHT = 3, WIDTH = 5, IMAGES = 16 + COUNT * HEIGHT * WIDTH, LABELS = 8 + COUNT };

/* IDX of `axes` axes from random bytes; `last` is the largest element + 1. */
static void make_idx(unsigned char *out, int axes, const int *dim, unsigned last)
{
    unsigned state = 5;
    int elements = 1;
    out[0] = out[1] = 0;
    out[2] = 8;
    out[3] = (unsigned char)axes;
    for (int a = 0; a < axes; a++) {
        for (int k = 0; k < 4; k++) out[4 + 4 * a + k] = (unsigned char)(dim[a] >> (24 - 8 * k));
        elements *= dim[a];
    }
    for (int i = 0; i < elements; i++)
        out[4 + 4 * axes + i] = (unsigned char)(random_byte(&state) % last);
}

static void make_set(unsigned char images[IMAGES], unsigned char labels[LABELS])
{
    const int dim[3] = { COUNT, HEIGHT, WIDTH };
    make_idx(images, 3, dim, 256);
    make_idx(labels, 1, dim, 4);
    labels[8 + 2] = 6;
}

static void make_cifar(unsigned char *out, int records)
{
    unsigned state = 9;
    for (int i = 0; i < records * 3073; i++) out[i] = random_byte(&state);
    for (int i = 0; i < records; i++) out[i * 3073] = (unsigned char)(i % 10);
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!CHECKF(f != NULL, "cannot write %s: does build/ exist?", path)) return;
    CHECK(fwrite(bytes, 1, size, f) == size);
    fclose(f);
}

static int is_zero(const cvn_data *d)
{
    cvn_data zero;
    memset(&zero, 0, sizeof zero);
    return d->count == 0 && !d->images && !d->bytes && !d->labels && !d->targets && !d->memory &&
           !d->augment && !d->fill && memcmp(d->mean, zero.mean, sizeof zero.mean) == 0 &&
           memcmp(d->std, zero.std, sizeof zero.std) == 0 && d->channels == 0 && d->height == 0 &&
           d->width == 0 && d->classes == 0;
}

/* A loader failed as it should: result, empty set, a text. */
static void check_failed(const cvn_data *d, cvn_result got, cvn_result expected, const char *part)
{
    CHECKF(got == expected, "%s, expected %s: %s", cvn_result_name(got), cvn_result_name(expected),
           d->error);
    CHECK(is_zero(d));
    CHECKF(strstr(d->error, part) != NULL, "\"%s\" does not say \"%s\"", d->error, part);
}

static void check_set(const cvn_data *d, const unsigned char *images, const unsigned char *labels)
{
    double sum = 0, squares = 0;
    const int n = COUNT * HEIGHT * WIDTH;
    CHECK(d->count == COUNT && d->channels == 1 && d->height == HEIGHT && d->width == WIDTH);
    CHECK(!d->images && !d->targets && !d->augment && !d->fill && d->memory && d->error[0] == 0);
    CHECK(memcmp(d->bytes, images + 16, (size_t)n) == 0);
    if (labels) {
        CHECK(d->classes == 7);
        for (int i = 0; i < COUNT; i++) CHECK(d->labels[i] == labels[8 + i]);
    } else {
        CHECK(!d->labels && d->classes == 0);
    }
    for (int i = 0; i < n; i++) sum += images[16 + i] / 255.0;
    for (int i = 0; i < n; i++)
        squares += (images[16 + i] / 255.0 - sum / n) * (images[16 + i] / 255.0 - sum / n);
    CHECK_NEAR(d->mean[0], sum / n, 1e-7);
    CHECK_NEAR(d->std[0], sqrt(squares / n), 1e-7);
}

static void idx_good(void)
{
    unsigned char images[IMAGES], labels[LABELS];
    cvn_data d;
    make_set(images, labels);
    CHECK(cvn_load_idx_memory(&d, images, IMAGES, labels, LABELS) == CVN_OK);
    check_set(&d, images, labels);
    cvn_data_free(&d);
    CHECK(is_zero(&d) && live_blocks == 0);
    CHECK(cvn_load_idx_memory(&d, images, IMAGES, NULL, 0) == CVN_OK);
    check_set(&d, images, NULL);
    cvn_data_free(&d);
    cvn_data_free(&d);
    cvn_data_free(NULL);
    write_file("build/test_data-images", images, IMAGES);
    write_file("build/test_data-labels", labels, LABELS);
    CHECK(cvn_load_idx(&d, "build/test_data-images", "build/test_data-labels") == CVN_OK);
    check_set(&d, images, labels);
    cvn_data_free(&d);
    CHECK(cvn_load_idx(&d, "build/test_data-images", NULL) == CVN_OK);
    check_set(&d, images, NULL);
    cvn_data_free(&d);
    CHECK(live_blocks == 0);
}

static void idx_cut(void)
{
    unsigned char images[IMAGES + 1], labels[LABELS + 1];
    cvn_data d;
    make_set(images, labels);
    images[IMAGES] = labels[LABELS] = 0;
    for (int n = 0; n <= IMAGES + 1; n++) {
        if (n == IMAGES) continue;
        check_failed(&d, cvn_load_idx_memory(&d, images, (size_t)n, labels, LABELS),
                     CVN_ERROR_FORMAT, "images");
        write_file("build/test_data-cut", images, (size_t)n);
        check_failed(&d, cvn_load_idx(&d, "build/test_data-cut", NULL), CVN_ERROR_FORMAT, "-cut: ");
    }
    for (int n = 0; n <= LABELS + 1; n++) {
        if (n == LABELS) continue;
        check_failed(&d, cvn_load_idx_memory(&d, images, IMAGES, labels, (size_t)n),
                     CVN_ERROR_FORMAT, "labels");
        write_file("build/test_data-cut", labels, (size_t)n);
        check_failed(&d, cvn_load_idx(&d, "build/test_data-images", "build/test_data-cut"),
                     CVN_ERROR_FORMAT, "-cut: ");
    }
    CHECK(live_blocks == 0);
}

/* Every other value of every byte of the headers: sizes no longer agree with the file, or the type
 * is another. */
static void idx_mutated(void)
{
    unsigned char images[IMAGES], labels[LABELS];
    cvn_data d;
    make_set(images, labels);
    for (int at = 0; at < 16 + 8; at++) {
        unsigned char *p = at < 16 ? images + at : labels + at - 16;
        const unsigned char was = *p;
        for (int value = 0; value < 256; value++) {
            if (value == was) continue;
            *p = (unsigned char)value;
            check_failed(&d, cvn_load_idx_memory(&d, images, IMAGES, labels, LABELS),
                         CVN_ERROR_FORMAT, ": ");
        }
        *p = was;
    }
    CHECK(live_blocks == 0);
}

static void idx_absurd(void)
{
    static const unsigned sizes[] = { 0u,          1u,          0xffffu,    0x10000u,
                                      0x7fffffffu, 0x80000000u, 0xffffffffu };
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    unsigned char images[IMAGES], labels[LABELS];
    cvn_data d;
    make_set(images, labels);
    for (int i = 0; i < SIZES * SIZES * SIZES; i++) {
        const unsigned size[3] = { sizes[i % SIZES], sizes[i / SIZES % SIZES],
                                   sizes[i / SIZES / SIZES] };
        for (int k = 0; k < 12; k++)
            images[4 + k] = (unsigned char)(size[k / 4] >> (24 - 8 * (k % 4)));
        check_failed(&d, cvn_load_idx_memory(&d, images, IMAGES, labels, LABELS), CVN_ERROR_FORMAT,
                     "images: ");
    }
}

static void idx_messages(void)
{
    unsigned char images[IMAGES], labels[LABELS], other[LABELS + 1];
    unsigned char gzip[20] = { 0x1f, 0x8b, 8 };
    unsigned char xz[20] = { 0xfd, '7', 'z', 'X', 'Z', 0 };
    const int six = COUNT - 1;
    const int eight = COUNT + 1;
    char path[400];
    cvn_data d;
    make_set(images, labels);
    make_idx(other, 1, &six, 4);
    check_failed(&d, cvn_load_idx_memory(&d, labels, LABELS, images, IMAGES), CVN_ERROR_FORMAT,
                 "swapped?");
    check_failed(&d, cvn_load_idx_memory(&d, images, IMAGES, other, LABELS - 1), CVN_ERROR_FORMAT,
                 "but 6 labels");
    make_idx(other, 1, &eight, 4);
    check_failed(&d, cvn_load_idx_memory(&d, images, IMAGES, other, LABELS + 1), CVN_ERROR_FORMAT,
                 "but 8 labels");
    check_failed(&d, cvn_load_idx_memory(&d, gzip, 20, NULL, 0), CVN_ERROR_FORMAT,
                 "gzip-compressed; unpack it");
    check_failed(&d, cvn_load_idx_memory(&d, xz, 20, NULL, 0), CVN_ERROR_FORMAT,
                 "xz-compressed; unpack it first");
    check_failed(&d, cvn_load_idx_memory(&d, NULL, 0, NULL, 0), CVN_ERROR_ARGUMENT, "NULL");
    check_failed(&d, cvn_load_idx(&d, NULL, NULL), CVN_ERROR_ARGUMENT, "NULL");
    check_failed(&d, cvn_load_idx(&d, "build/test_data-none", NULL), CVN_ERROR_FILE,
                 "test_data-none: cannot be opened");
    check_failed(&d, cvn_load_idx(&d, "build/test_data-images", "build/test_data-none"),
                 CVN_ERROR_FILE, "open");
    CHECK(cvn_load_idx(&d, "build", NULL) < 0 && is_zero(&d) && d.error[0]);       /* a folder */
    memset(path, 'p', sizeof path);
    path[sizeof path - 1] = 0;
    check_failed(&d, cvn_load_idx(&d, path, NULL), CVN_ERROR_FILE, "ppp");
    CHECK(cvn_load_idx(NULL, "a", "b") == CVN_ERROR_ARGUMENT);
    CHECK(cvn_load_idx_memory(NULL, images, IMAGES, NULL, 0) == CVN_ERROR_ARGUMENT);
    fail_alloc = 1;
    check_failed(&d, cvn_load_idx_memory(&d, images, IMAGES, labels, LABELS), CVN_ERROR_MEMORY,
                 "no memory");
    check_failed(&d, cvn_load_idx(&d, "build/test_data-images", NULL), CVN_ERROR_MEMORY,
                 "no memory");
    fail_alloc = 0;
    CHECK(live_blocks == 0);
}

static void cifar(void)
{
    enum { RECORDS = 5, SIZE = RECORDS * 3073 };
    static unsigned char file[SIZE];
    const char *paths[2] = { "build/test_data-cifar1", "build/test_data-cifar2" };
    cvn_data d, joined;
    make_cifar(file, RECORDS);
    CHECK(cvn_load_cifar10_memory(&d, file, SIZE) == CVN_OK);
    CHECK(d.count == RECORDS && d.channels == 3 && d.height == 32 && d.width == 32 &&
          d.classes == RECORDS);
    for (int i = 0; i < RECORDS; i++) {
        CHECK(d.labels[i] == i);
        CHECK(memcmp(d.bytes + i * 3072, file + i * 3073 + 1, 3072) == 0);
    }
    for (int c = 0; c < 3; c++) {
        double sum = 0, squares = 0;
        for (int i = 0; i < RECORDS * 1024; i++)
            sum += d.bytes[i / 1024 * 3072 + c * 1024 + i % 1024] / 255.0;
        sum /= RECORDS * 1024;
        for (int i = 0; i < RECORDS * 1024; i++) {
            const double x = d.bytes[i / 1024 * 3072 + c * 1024 + i % 1024] / 255.0 - sum;
            squares += x * x;
        }
        CHECK_NEAR(d.mean[c], sum, 1e-7);
        CHECK_NEAR(d.std[c], sqrt(squares / (RECORDS * 1024)), 1e-7);
    }
    write_file(paths[0], file, 2 * 3073);
    write_file(paths[1], file + 2 * 3073, SIZE - 2 * 3073);
    CHECK(cvn_load_cifar10(&joined, paths, 2) == CVN_OK);
    CHECK(joined.count == d.count && joined.classes == d.classes);
    CHECK(memcmp(joined.bytes, d.bytes, RECORDS * 3072) == 0);
    CHECK(memcmp(joined.labels, d.labels, RECORDS * sizeof(int)) == 0);
    CHECK(memcmp(joined.mean, d.mean, sizeof d.mean) == 0 &&
          memcmp(joined.std, d.std, sizeof d.std) == 0);
    cvn_data_free(&d);
    cvn_data_normalize_as(&d, &joined);
    CHECK(memcmp(joined.mean, d.mean, sizeof d.mean) == 0 &&
          memcmp(joined.std, d.std, sizeof d.std) == 0);
    cvn_data_free(&joined);
    CHECK(live_blocks == 0);
}

static void cifar_bad(void)
{
    enum { SIZE = 2 * 3073 };
    static unsigned char file[SIZE + 1];
    const char *paths[3] = { "build/test_data-cifar1", "build/test_data-cut", NULL };
    cvn_data d;
    make_cifar(file, 2);
    for (int n = 0; n <= SIZE + 1; n++) {
        if (n == 3073 || n == SIZE) continue;
        check_failed(&d, cvn_load_cifar10_memory(&d, file, (size_t)n), CVN_ERROR_FORMAT, "3073");
    }
    for (int n = 0; n <= SIZE; n += 97) {
        write_file(paths[1], file, (size_t)n);
        check_failed(&d, cvn_load_cifar10(&d, paths, 2), CVN_ERROR_FORMAT, "-cut: ");
    }
    for (int label = 10; label < 256; label++) {
        file[3073] = (unsigned char)label;
        check_failed(&d, cvn_load_cifar10_memory(&d, file, SIZE), CVN_ERROR_FORMAT,
                     "record 1 has label");
    }
    write_file(paths[1], file, SIZE);
    check_failed(&d, cvn_load_cifar10(&d, paths, 2), CVN_ERROR_FORMAT, "record 1 has label");
    file[0] = 0x1f;
    file[1] = 0x8b;
    check_failed(&d, cvn_load_cifar10_memory(&d, file, SIZE), CVN_ERROR_FORMAT, "gzip");
    check_failed(&d, cvn_load_cifar10(&d, paths, 3), CVN_ERROR_ARGUMENT, "path 2 is NULL");
    check_failed(&d, cvn_load_cifar10(&d, paths, 0), CVN_ERROR_ARGUMENT, "no files");
    check_failed(&d, cvn_load_cifar10(&d, NULL, 1), CVN_ERROR_ARGUMENT, "no files");
    check_failed(&d, cvn_load_cifar10_memory(&d, NULL, SIZE), CVN_ERROR_ARGUMENT, "NULL");
    paths[1] = "build/test_data-none";
    check_failed(&d, cvn_load_cifar10(&d, paths, 2), CVN_ERROR_FILE, "cannot be opened");
    fail_alloc = 1;
    check_failed(&d, cvn_load_cifar10(&d, paths, 1), CVN_ERROR_MEMORY, "no memory");
    fail_alloc = 0;
    CHECK(live_blocks == 0);
}

/* A set of one grey value has no spread. */
static void constant_set(void)
{
    unsigned char images[IMAGES], labels[LABELS];
    cvn_data d;
    make_set(images, labels);
    memset(images + 16, 51, IMAGES - 16);
    CHECK(cvn_load_idx_memory(&d, images, IMAGES, NULL, 0) == CVN_OK);
    CHECK_NEAR(d.mean[0], 0.2, 1e-7);
    CHECK(d.std[0] == 0);
    cvn_data_free(&d);
}

static void split(void)
{
    unsigned char images[IMAGES], labels[LABELS];
    cvn_data d, tail;
    make_set(images, labels);
    CHECK(cvn_load_idx_memory(&d, images, IMAGES, labels, LABELS) == CVN_OK);
    CHECK(cvn_data_split(&d, &tail, 0) == CVN_ERROR_ARGUMENT && d.error[0]);
    CHECK(cvn_data_split(&d, &tail, COUNT) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_split(&d, &tail, -1) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_split(&d, &d, 1) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_data_split(NULL, &tail, 1) == CVN_ERROR_ARGUMENT &&
          cvn_data_split(&d, NULL, 1) == CVN_ERROR_ARGUMENT);
    CHECK(d.count == COUNT);
    CHECK(cvn_data_split(&d, &tail, 3) == CVN_OK);
    CHECK(d.count == COUNT - 3 && tail.count == 3 && !tail.memory && d.memory);
    CHECK(tail.bytes == d.bytes && tail.labels == d.labels && tail.first == COUNT - 3);
    CHECK(tail.mean[0] == d.mean[0] && tail.std[0] == d.std[0] && tail.classes == d.classes);
    CHECK(tail.channels == 1 && tail.height == HEIGHT && tail.width == WIDTH);
    cvn_data_free(&tail);
    CHECK(d.labels[0] == labels[8]);
    cvn_data_free(&d);
    CHECK(live_blocks == 0);
}

typedef struct sample_notes { int first, count; } sample_notes;

/* Notes which samples were asked for; they follow each other. */
static cvn_result note_samples(void *user, cvn_net *net, const int *index, int n, int training)
{
    static const float zeros[COUNT * 2] = { 0 };
    static const int labels[COUNT] = { 0 };
    sample_notes *s = (sample_notes *)user;
    (void)training;
    if (!s->count) s->first = index[0];
    for (int i = 0; i < n; i++) CHECK(index[i] == s->first + s->count + i);
    s->count += n;
    if (cvn_set_input(net, cvn_find(net, "input1"), zeros, n) != CVN_OK) return CVN_ERROR_STATE;
    return cvn_set_labels(net, cvn_find(net, "labels1"), labels, n);
}

/* The views of a split set give the net the samples, labels and fill indices that belong to
 * them. */
static void split_views(void)
{
    float x[COUNT * 2];
    int labels[COUNT];
    sample_notes s = { 0, 0 };
    cvn_data d, all, tail, middle;
    cvn_metrics whole, part[3];
    cvn_net *net = cvn_create(NULL);
    cvn_softmax_loss(net, cvn_dense(net, cvn_input_vector(net, 2), 3));
    CHECK(cvn_build(net, 4) == CVN_OK);
    for (int i = 0; i < COUNT; i++) {
        x[2 * i] = (float)(i % 5) - 2;
        x[2 * i + 1] = (float)(i % 3);
        labels[i] = i % 3;
    }
    memset(&d, 0, sizeof d);
    memset(&whole, 0, sizeof whole);
    memset(part, 0, sizeof part);
    d.count = COUNT;
    d.images = x;
    d.labels = labels;
    all = d;
    CHECK(cvn_data_split(&d, &tail, 2) == CVN_OK && cvn_data_split(&d, &middle, 3) == CVN_OK);
    CHECK(d.count == COUNT - 5 && middle.first == COUNT - 5 && tail.first == COUNT - 2);
    for (int infer = 0; infer < 2; infer++) {
        double loss = 0;
        double right = 0;
        if (infer) CHECK(cvn_build_infer(net, 4) == CVN_OK);
        CHECK(cvn_evaluate(net, &all, &whole) == CVN_OK &&
              cvn_evaluate(net, &d, &part[0]) == CVN_OK);
        CHECK(cvn_evaluate(net, &middle, &part[1]) == CVN_OK &&
              cvn_evaluate(net, &tail, &part[2]) == CVN_OK);
        for (int i = 0; i < 3; i++) {
            loss += part[i].loss * part[i].count;
            right += part[i].accuracy * part[i].count;
        }
        if (!infer) CHECK_NEAR(loss / all.count, whole.loss, 1e-6);
        CHECK_NEAR(right / all.count, whole.accuracy, 1e-9);
    }
    CHECK(cvn_build(net, 4) == CVN_OK);
    middle.images = NULL;
    middle.labels = NULL;
    middle.fill = note_samples;
    middle.user = &s;
    CHECK(cvn_evaluate(net, &middle, &whole) == CVN_OK && s.first == COUNT - 5 && s.count == 3);
    cvn_destroy(net);
}

static void image_to_tensor(void)
{
    enum { H = 5, W = 7 };
    const float mean[5] = { 0.5f, 0.4f, 0.3f, 0.2f, 0.1f };
    const float std[5] = { 0.25f, 0.5f, 0.0f, 2.0f, 1.0f };
    unsigned char pixels[H * W * 5];
    float out[H * W * 5];
    unsigned state = 3;
    for (int i = 0; i < H * W * 5; i++) pixels[i] = random_byte(&state);
    for (int i = 0; i < 5 * 8; i++) {
        const int channels = i % 5 + 1;
        const float *m = i / 5 % 2 ? mean : NULL;
        const float *s = i / 10 % 2 ? std : NULL;
        const int swap = i / 20;
        CHECK(cvn_image_to_tensor(pixels, H, W, channels, m, s, swap, out) == CVN_OK);
        for (int c = 0; c < channels; c++) {
            const int from = swap && channels >= 3 && c < 3 ? 2 - c : c;
            const double scale = s && s[c] != 0 ? (double)s[c] : 1.0;
            double worst = 0;
            for (int p = 0; p < H * W; p++) {
                const double x = (pixels[p * channels + from] / 255.0 - (m ? (double)m[c] : 0.0)) /
                                 scale;
                worst = fmax(worst, fabs(x - (double)out[c * H * W + p]));
            }
            CHECK_NEAR(worst, 0, 1e-6);
        }
    }
    CHECK(cvn_image_to_tensor(NULL, H, W, 1, NULL, NULL, 0, out) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_to_tensor(pixels, H, W, 1, NULL, NULL, 0, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_to_tensor(pixels, 0, W, 1, NULL, NULL, 0, out) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_to_tensor(pixels, H, -1, 1, NULL, NULL, 0, out) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_to_tensor(pixels, H, W, 0, NULL, NULL, 0, out) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_to_tensor(pixels, INT_MAX, INT_MAX, INT_MAX, NULL, NULL, 0, out) ==
          CVN_ERROR_ARGUMENT);
}

/* ---- augmentation ---- */

enum { AC = 3, AH = 9, AW = 12, AN = AC * AH * AW };

static double naive_uniform(uint32_t word) { return (word >> 8) / 16777216.0; }

static double naive_pixel(const float *plane, int h, int w, int y, int x, double fill)
{
    return y < 0 || x < 0 || y >= h || x >= w ? fill : (double)plane[y * w + x];
}

/* Whose numbers are drawn. */
typedef struct naive_key {
    uint64_t seed, epoch;
    uint32_t sample;
} naive_key;

static void naive_words(const naive_key *key, uint32_t block, uint32_t w[4])
{
    cvni_random4(key->seed, CVNI_STREAM_AUGMENT, key->epoch, key->sample, block, w);
}

static int naive_below(uint32_t word, int n) { return (int)floor(word * (double)n / 4294967296.0); }

typedef struct naive_box { int top, left, h, w; } naive_box;

static naive_box naive_crop(const cvn_augment *a, const naive_key *key, int h, int w)
{
    const double most = a->crop_scale_max > 0 ? (double)a->crop_scale_max : 1;
    const double r = a->crop_ratio > 0 ? (double)a->crop_ratio : 4 / 3.0;
    const double ratio = (double)w / h;
    naive_box b = { 0, 0, h, w };
    for (unsigned t = 0; t < 10; t++) {
        uint32_t word[4];
        double area, part;
        naive_words(key, 2147483648u + 16 + t, word);
        area = (double)a->crop_scale_min;
        area = h * w * (area + (most - area) * naive_uniform(word[0]));
        part = exp(log(r) * (2 * naive_uniform(word[1]) - 1));
        b.w = (int)floor(sqrt(area * part) + 0.5);
        b.h = (int)floor(sqrt(area / part) + 0.5);
        if (b.w < 1 || b.h < 1 || b.w > w || b.h > h) continue;
        b.top = naive_below(word[2], h - b.h + 1);
        b.left = naive_below(word[3], w - b.w + 1);
        return b;
    }
    b.h = ratio < 1 / r ? (int)floor(w * r + 0.5) : h;
    b.w = ratio > r ? (int)floor(h * r + 0.5) : w;
    b.top = (h - b.h) / 2;
    b.left = (w - b.w) / 2;
    return b;
}

/* h 0: nothing is erased. */
static naive_box naive_erase_box(const cvn_augment *a, const naive_key *key, int h, int w)
{
    const naive_box none = { 0, 0, 0, 0 };
    uint32_t word[4];
    naive_words(key, 2147483648u, word);
    if (naive_uniform(word[3]) >= (double)a->erase) return none;
    for (unsigned t = 0; t < 10; t++) {
        naive_box b;
        double area, part;
        naive_words(key, 2147483648u + 32 + t, word);
        area = h * w * (0.02 + 0.31 * naive_uniform(word[0]));
        part = exp(log(0.3) + (log(3.3) - log(0.3)) * naive_uniform(word[1]));
        b.h = (int)floor(sqrt(area * part) + 0.5);
        b.w = (int)floor(sqrt(area / part) + 0.5);
        if (b.h < 1 || b.w < 1 || b.h >= h || b.w >= w) continue;
        b.top = naive_below(word[2], h - b.h + 1);
        b.left = naive_below(word[3], w - b.w + 1);
        return b;
    }
    return none;
}

static double naive_spline(double t)
{
    t = fabs(t);
    if (t < 1) return 2 / 3.0 - t * t + t * t * t / 2;
    return t < 2 ? (2 - t) * (2 - t) * (2 - t) / 6 : 0;
}

/* Elastic displacement of pixel (x, y) of an image `width` wide. */
static void naive_elastic(const cvn_augment *a, const naive_key *key, int width, int x, int y,
                          double move[2])
{
    const double g = sqrt(3.0) * (a->elastic_sigma > 0 ? (double)a->elastic_sigma : 4);
    const int columns = (int)floor((width - 1) / g) + 4;
    move[0] = move[1] = 0;
    for (int i = (int)floor(y / g) - 1; i <= (int)floor(y / g) + 2; i++) {
        for (int j = (int)floor(x / g) - 1; j <= (int)floor(x / g) + 2; j++) {
            const double b = (double)a->elastic * 315 / 151 * naive_spline(y / g - i) *
                             naive_spline(x / g - j);
            uint32_t w[4];
            double radius;
            naive_words(key, 3221225472u + (uint32_t)((i + 1) * columns + j + 1), w);
            radius = sqrt(-2 * log((w[0] + 1.0) / 4294967296.0));
            move[0] += b * radius * cos(6.283185307179586 * w[1] / 4294967296.0);
            move[1] += b * radius * sin(6.283185307179586 * w[1] / 4294967296.0);
        }
    }
}

/* With crop, the half pixel around the image belongs to it. */
static double naive_edge(const cvn_augment *a, double s, int size)
{
    if (a->crop_scale_min <= 0 || s < -0.5 || s > size - 0.5) return s;
    return fmin(fmax(s, 0), size - 1);
}

static double naive_bilinear(const float *plane, int h, int w, double sy, double sx, double fill)
{
    const int x0 = (int)floor(sx);
    const int y0 = (int)floor(sy);
    const double fx = sx - x0;
    const double fy = sy - y0;
    return (1 - fy) * ((1 - fx) * naive_pixel(plane, h, w, y0, x0, fill) +
                       fx * naive_pixel(plane, h, w, y0, x0 + 1, fill)) +
           fy * ((1 - fx) * naive_pixel(plane, h, w, y0 + 1, x0, fill) +
                 fx * naive_pixel(plane, h, w, y0 + 1, x0 + 1, fill));
}

/* The geometry as documented, one pixel after the other in double: the inverse of torchvision's
 * matrix, which scales, rotates and shears about the centre and then moves. */
static void naive_warp(const cvn_augment *a, const naive_key *key, const float *in, int channels,
                       int h, int w, double *out)
{
    const double pi = 3.14159265358979324;
    const double range = 2.0 * a->shift + 1;
    const naive_box crop = naive_crop(a, key, h, w);
    uint32_t w0[4], w1[4], w2[4];
    double dx, dy, angle, factor, phi, m[4];
    naive_words(key, 0, w0);
    naive_words(key, 1, w1);
    naive_words(key, 2147483648u, w2);
    dy = floor(w0[2] * range / 4294967296.0) - a->shift;
    dx = floor(w0[3] * range / 4294967296.0) - a->shift;
    dx += w * (double)a->translate * (2 * naive_uniform(w2[1]) - 1);
    dy += h * (double)a->translate * (2 * naive_uniform(w2[2]) - 1);
    angle = (double)a->rotate * (2 * naive_uniform(w1[0]) - 1) * pi / 180;
    factor = 1 + (double)a->scale * (2 * naive_uniform(w1[1]) - 1);
    phi = (double)a->shear * (2 * naive_uniform(w2[0]) - 1) * pi / 180;
    m[0] = factor * cos(angle);
    m[1] = factor * (-cos(angle) * tan(phi) - sin(angle));
    m[2] = factor * sin(angle);
    m[3] = factor * (-sin(angle) * tan(phi) + cos(angle));
    for (int i = 0; i < h * w; i++) {
        const double u = i % w - dx - (w - 1) / 2.0;
        const double v = i / w - dy - (h - 1) / 2.0;
        const double det = m[0] * m[3] - m[1] * m[2];
        double sx = (w - 1) / 2.0 + (m[3] * u - m[1] * v) / det;
        double sy = (h - 1) / 2.0 + (m[0] * v - m[2] * u) / det;
        double move[2] = { 0, 0 };
        if (a->flip && w0[0] >= 0x80000000u) sx = w - 1 - sx;
        if (a->flip_vertical && w0[1] >= 0x80000000u) sy = h - 1 - sy;
        if (a->crop_scale_min > 0) sx = crop.left + (sx + 0.5) * crop.w / w - 0.5;
        if (a->crop_scale_min > 0) sy = crop.top + (sy + 0.5) * crop.h / h - 0.5;
        if (a->elastic > 0) naive_elastic(a, key, w, i % w, i / w, move);
        sx = naive_edge(a, sx + move[0], w);
        sy = naive_edge(a, sy + move[1], h);
        for (int c = 0; c < channels; c++) {
            double *y = &out[c * h * w + i];
            *y = (double)a->fill;
            if (sx > -1 && sy > -1 && sx < w && sy < h)
                *y = naive_bilinear(in + c * h * w, h, w, sy, sx, (double)a->fill);
        }
    }
}

/* Through HSV as textbooks have it; saturation limited to 1, not raised where it is above. */
static void naive_colour(const cvn_augment *a, const naive_key *key, int plane, double *y)
{
    uint32_t word[4];
    double k, turn;
    naive_words(key, 2147483649u, word);
    k = 1 + (double)a->saturation * (2 * naive_uniform(word[0]) - 1);
    turn = (double)a->hue * (2 * naive_uniform(word[1]) - 1);
    for (int i = 0; i < plane; i++) {
        const double r = y[i], g = y[plane + i], b = y[2 * plane + i];
        const double top = fmax(r, fmax(g, b));
        const double c = top - fmin(r, fmin(g, b));
        double hue, chroma, x, rest, part[3];
        int sector;
        if (c <= 0) continue;
        hue = top == r ? (g - b) / c : top == g ? (b - r) / c + 2 : (r - g) / c + 4;
        hue = fmod(hue / 6 + turn + 2, 1.0) * 6;
        chroma = k * c;
        if (top >= c) chroma = fmin(chroma, top);
        else if (k > 1) chroma = c;
        x = chroma * (1 - fabs(fmod(hue, 2) - 1));
        rest = top - chroma;
        sector = (int)hue;
        part[0] = sector == 0 || sector == 5 ? chroma : sector == 1 || sector == 4 ? x : 0;
        part[1] = sector == 1 || sector == 2 ? chroma : sector == 0 || sector == 3 ? x : 0;
        part[2] = sector == 3 || sector == 4 ? chroma : sector == 2 || sector == 5 ? x : 0;
        for (int j = 0; j < 3; j++) y[j * plane + i] = rest + part[j];
    }
}

static void naive_erase(const cvn_augment *a, const naive_key *key, int n, int h, int w,
                        double *out)
{
    const naive_box b = naive_erase_box(a, key, h, w);
    for (int i = 0; i < n; i++) {
        const int y = i / w % h - b.top;
        const int x = i % w - b.left;
        uint32_t word[4];
        if (y < 0 || y >= b.h || x < 0 || x >= b.w) continue;
        naive_words(key, 1073741824u + (uint32_t)(i / 4), word);
        out[i] = a->erase_noise ? naive_uniform(word[i % 4]) : (double)a->fill;
    }
}

static void naive_augment(const cvn_augment *a, uint64_t seed, uint64_t epoch, uint32_t sample,
                          const float *in, int channels, int h, int w, double *out)
{
    const int n = channels * h * w;
    uint32_t w1[4], w2[4];
    double mean = 0, contrast, brightness;
    naive_key key;
    key.seed = seed;
    key.epoch = epoch;
    key.sample = sample;
    naive_words(&key, 1, w1);
    naive_words(&key, 2, w2);
    naive_warp(a, &key, in, channels, h, w, out);
    if (channels == 3) naive_colour(a, &key, h * w, out);
    contrast = 1 + (double)a->contrast * (2 * naive_uniform(w1[2]) - 1);
    brightness = (double)a->brightness * (2 * naive_uniform(w1[3]) - 1);
    for (int i = 0; i < n; i++) mean += out[i] / n;
    for (int i = 0; i < n; i++) out[i] = mean + contrast * (out[i] - mean) + brightness;
    for (int i = 0; i < n; i++) {
        uint32_t r[4];
        double radius, phase;
        naive_words(&key, (uint32_t)(3 + i / 4), r);
        radius = sqrt(-2 * log((r[i % 4 / 2 * 2] + 1.0) / 4294967296.0));
        phase = 6.283185307179586 * r[i % 4 / 2 * 2 + 1] / 4294967296.0;
        out[i] += (double)a->noise * radius * (i % 2 ? sin(phase) : cos(phase));
    }
    naive_erase(a, &key, n, h, w, out);
    for (int i = 0; i < n; i++) {
        const int top = (int)(w2[0] * (double)h / 4294967296.0) - a->cutout / 2;
        const int left = (int)(w2[1] * (double)w / 4294967296.0) - a->cutout / 2;
        const int y = i / w % h - top;
        const int x = i % w - left;
        if (y >= 0 && y < a->cutout && x >= 0 && x < a->cutout) out[i] = (double)a->fill;
    }
}

/* Option number `which`; several at once for 10 and for the last three. */
enum { OPTIONS = 23 };

static cvn_augment one_option(int which)
{
    const int all = which == 22;
    cvn_augment a;
    memset(&a, 0, sizeof a);
    a.fill = 0.25f;
    if (which == 1 || which == 10 || which == 20 || all) a.flip = 1;
    if (which == 2 || which == 10 || all) a.flip_vertical = 1;
    if (which == 3 || which == 10 || all) a.shift = 4;
    if (which == 4 || which == 10 || which == 20 || all) a.rotate = 30;
    if (which == 5 || which == 10 || all) a.scale = 0.4f;
    if (which == 6 || which == 10 || all) a.brightness = 0.3f;
    if (which == 7 || which == 10 || all) a.contrast = 0.5f;
    if (which == 8 || which == 10 || all) a.noise = 0.1f;
    if (which == 9 || which == 10 || all) a.cutout = 4;
    if (which == 11 || which == 20 || all) a.shear = 25;
    if (which == 12 || which == 21 || all) a.translate = 0.3f;
    if (which == 13 || all) a.saturation = 0.9f;
    if (which == 14 || all) a.hue = 0.5f;
    if (which == 15 || which == 20 || all) a.crop_scale_min = 0.08f;
    if (which == 16 || which == 21) a.crop_scale_min = 0.5f;
    if (which == 16 || all) a.crop_scale_max = 0.8f;
    if (which == 16 || which == 21) a.crop_ratio = 2.5f;
    if (which == 17 || which == 21 || all) a.elastic = 1.5f;
    if (which == 21) a.elastic_sigma = 1;
    if (which == 18 || which == 19 || all) a.erase = 0.7f;
    if (which == 19) a.erase_noise = 1;
    return a;
}

static void random_image(float *image, int n, unsigned state)
{
    for (int i = 0; i < n; i++) image[i] = random_byte(&state) / 255.0f;
}

static void augment_reference(void)
{
    static const int sizes[5][3] = {
        { AC, AH, AW }, { 1, 1, 1 }, { 2, 1, 7 }, { 1, 8, 1 }, { 3, 8, 8 }
    };
    float in[AN], out[AN];
    double expected[AN];
    for (int which = 0; which < OPTIONS; which++) {
        const cvn_augment a = one_option(which);
        int changed = 0;
        for (int k = 0; k < 5 * 60; k++) {
            const int *s = sizes[k / 60];
            const int n = s[0] * s[1] * s[2];
            const uint64_t draw = ((uint64_t)(k % 3) << 32) + (uint64_t)k;
            double worst = 0;
            random_image(in, n, (unsigned)k);
            cvn_augment_image(&a, 77, draw, in, s[0], s[1], s[2], out);
            naive_augment(&a, 77, draw >> 32, (uint32_t)draw, in, s[0], s[1], s[2], expected);
            for (int i = 0; i < n; i++) worst = fmax(worst, fabs((double)out[i] - expected[i]));
            CHECKF(worst < 2e-5, "option %d, draw %d, %d x %d: off by %g", which, k, s[1], s[2],
                   worst);
            changed += memcmp(in, out, (size_t)n * sizeof *in) != 0;
        }
        CHECKF(which == 0 ? changed == 0 : changed > 50, "option %d changed %d images", which,
               changed);
    }
}

/* Images of several tiles of the elastic displacement, the most and few nodes to a tile. */
static void augment_tiles(void)
{
    enum { H = 70, W = 50, T = 3 * H * W };
    static float in[T], out[T];
    static double expected[T];
    static const float sigma[4] = { 1, 2.7f, 0, 1000 };
    for (int k = 0; k < 8; k++) {
        const int h = k < 4 ? H : W;
        const int w = k < 4 ? W : H;
        cvn_augment a = one_option(0);
        double worst = 0;
        a.elastic = 2;
        a.elastic_sigma = sigma[k % 4];
        random_image(in, T, (unsigned)k);
        cvn_augment_image(&a, 3, (uint64_t)k, in, 3, h, w, out);
        naive_augment(&a, 3, 0, (uint32_t)k, in, 3, h, w, expected);
        for (int i = 0; i < T; i++) worst = fmax(worst, fabs((double)out[i] - expected[i]));
        CHECKF(worst < 2e-5, "sigma %g: off by %g", (double)sigma[k % 4], worst);
    }
}

/* The displacement has the promised standard deviation, and is alike over about sigma pixels: the
 * correlation of the cubic B-spline over a shift of one node is 0.498 (of the Gaussian 0.472). */
static void elastic_spread(void)
{
    enum { S = 64 };
    static float in[S * S], out[S * S];
    cvn_augment a = one_option(0);
    double squares = 0, products = 0;
    int n = 0;
    a.elastic = 2;
    a.elastic_sigma = 4 / 1.7320508f;                       /* nodes 4 pixels apart */
    for (int i = 0; i < S * S; i++) in[i] = (float)(i % S); /* the value is the place */
    for (uint64_t k = 0; k < 100; k++) {
        cvn_augment_image(&a, 1, k, in, 1, S, S, out);
        for (int i = 12 * S; i < S * (S - 12); i++) {
            if (i % S < 12 || i % S >= S - 16) continue;
            squares += ((double)out[i] - i % S) * ((double)out[i] - i % S);
            products += ((double)out[i] - i % S) * ((double)out[i + 4] - i % S - 4);
            n++;
        }
    }
    CHECK_NEAR(sqrt(squares / n), 2, 0.05);
    CHECK_NEAR(products / squares, 0.498, 0.03);
}

/* Values on both sides of [0, 1], and grey ones, which have no hue. */
static void augment_colour(void)
{
    enum { SIDE = 16, M = 3 * SIDE * SIDE };
    float in[M], out[M];
    double expected[M];
    for (uint64_t k = 0; k < 40; k++) {
        const uint64_t options = k % 3;
        cvn_augment a = one_option(0);
        double worst = 0, range = 0;
        if (options != 1) a.saturation = 1;
        if (options != 0) a.hue = 0.3f;
        random_image(in, M, (unsigned)k);
        for (int i = 0; i < M; i++) in[i] = 3 * in[i] - 1;
        for (int i = 0; i < SIDE; i++) in[i] = in[i + M / 3] = in[i + 2 * M / 3];
        cvn_augment_image(&a, 9, k, in, 3, SIDE, SIDE, out);
        naive_augment(&a, 9, 0, (uint32_t)k, in, 3, SIDE, SIDE, expected);
        for (int i = 0; i < M; i++) worst = fmax(worst, fabs((double)out[i] - expected[i]));
        CHECKF(worst < 2e-5, "draw %d: off by %g", (int)k, worst);
        for (int i = 0; i < SIDE; i++)
            CHECK(out[i] == in[i] && out[i + M / 3] == in[i] && out[i + 2 * M / 3] == in[i]);
        for (int i = 0; i < M; i++) {
            in[i] = (in[i] + 1) / 3;
            range = fmax(range, fabs((double)in[i] - 0.5));
        }
        CHECK(range <= 0.5);
        cvn_augment_image(&a, 9, k, in, 3, SIDE, SIDE, out);
        for (int i = 0; i < M; i++) CHECK(out[i] >= -1e-6f && out[i] <= 1);     /* stays inside */
    }
}

/* A third of a turn makes red green and green blue; no saturation is grey of the largest value. */
static void colour_known(void)
{
    float y[3] = { 0.75f, 0.25f, 0.5f };
    const float third[3] = { 0.5f, 0.75f, 0.25f };
    cvni_colour(1, 1 / 3.0f, 1, y);
    for (int c = 0; c < 3; c++) CHECK_NEAR(y[c], third[c], 1e-6);
    cvni_colour(0, 0, 1, y);
    for (int c = 0; c < 3; c++) CHECK(y[c] == 0.75f);
    y[0] = NAN;
    cvni_colour(1.5f, 0.25f, 1, y);
    CHECK(y[0] != y[0] && y[1] == 0.75f);
}

enum { GOLDEN_N = GOLDEN_C * GOLDEN_H * GOLDEN_W };

static void golden_warp(const cvni_augment_draw *d, float *out)
{
    cvni_image image;
    cvn_augment a = one_option(0);
    cvni_augment_key key;
    memset(&image, 0, sizeof image);
    memset(&key, 0, sizeof key);
    image.floats = golden_image[0];
    image.channels = GOLDEN_C;
    image.height = GOLDEN_H;
    image.width = GOLDEN_W;
    a.fill = 0;
    cvni_warp_any(d, &a, &key, &image, out);
}

static double golden_worst(const float *a, const float *b, int n)
{
    double worst = 0;
    for (int i = 0; i < n; i++) worst = fmax(worst, fabs((double)a[i] - (double)b[i]));
    return worst;
}

/* torchvision's affine, adjust_hue, resized_crop, ten_crop. It resizes a crop without the pixels
 * around it, so its edge differs. */
static void torchvision(void)
{
    const double degree = 3.14159265358979324 / 180;
    float out[GOLDEN_N];
    for (int k = 0; k < 4; k++) {
        const float *how = golden_affine_how[k];
        cvni_augment_draw d;
        memset(&d, 0, sizeof d);
        d.cosine = cos((double)how[0] * degree) / (double)how[2];
        d.sine = sin((double)how[0] * degree) / (double)how[2];
        d.shear = tan((double)how[1] * degree);
        d.dx = (int)how[3];
        d.dy = (int)how[4];
        golden_warp(&d, out);
        CHECK_NEAR(golden_worst(out, golden_affine[k], GOLDEN_N), 0, 5e-6);
    }
    for (int k = 0; k < 3; k++) {
        memcpy(out, golden_image[0], sizeof out);
        cvni_colour(1, golden_turn[0][k], GOLDEN_H * GOLDEN_W, out);
        CHECK_NEAR(golden_worst(out, golden_hue[k], GOLDEN_N), 0, 3e-6);
    }
    for (int k = 0; k < 3; k++) {
        const float *box = golden_crop_box[k];
        const double zoom_y = (double)box[2] / (int)GOLDEN_H;
        const double zoom_x = (double)box[3] / (int)GOLDEN_W;
        cvni_augment_draw d;
        memset(&d, 0, sizeof d);
        d.cosine = 1;
        d.cropped = 1;
        d.crop.top = (int)box[0];
        d.crop.left = (int)box[1];
        d.crop.height = (int)box[2];
        d.crop.width = (int)box[3];
        golden_warp(&d, out);
        for (int i = 0; i < GOLDEN_N; i++) {
            const double y = (i / GOLDEN_W % GOLDEN_H + 0.5) * zoom_y - 0.5;
            const double x = (i % GOLDEN_W + 0.5) * zoom_x - 0.5;
            if (y < 0 || x < 0 || y > (double)box[2] - 1 || x > (double)box[3] - 1) continue;
            CHECK_NEAR(out[i], golden_crop[k][i], 3e-6);
        }
    }
    for (int k = 0; k < 10; k++) {
        cvn_shape s = { 4, { 1, GOLDEN_C, GOLDEN_CROP_H, GOLDEN_CROP_W, 0, 0 } };
        cvni_crop(golden_image[0], GOLDEN_H, GOLDEN_W, &s, k, out);
        CHECK(memcmp(out, golden_ten[k], sizeof golden_ten[k]) == 0);
    }
}

/* How often and how much is erased; the rest stays. */
static void erase_share(void)
{
    enum { S = 24, M = S * S };
    const double all = M;
    static float in[M], out[M];
    cvn_augment a = one_option(0);
    int erased = 0;
    double area = 0;
    a.erase = 0.4f;
    a.fill = -1;
    random_image(in, M, 4);
    for (uint64_t k = 0; k < 2000; k++) {
        int n = 0;
        cvn_augment_image(&a, 2, k, in, 1, S, S, out);
        for (int i = 0; i < M; i++) n += out[i] == -1;
        for (int i = 0; i < M; i++) CHECK(out[i] == -1 || out[i] == in[i]);
        CHECK(n < all * 0.36);
        if (!n) continue;
        erased++;
        area += n / all;
    }
    CHECK_NEAR(erased / 2000.0, 0.4, 0.04);
    CHECK_NEAR(area / erased, 0.175, 0.02);                 /* (0.02 + 0.33)/2 */
}

/* A crop of the whole image is the image, one of a quarter, of ratio 1, its enlarged part. */
static void crop_known(void)
{
    enum { S = 8, M = S * S };
    float in[M], out[M];
    cvn_augment a = one_option(0);
    a.crop_scale_min = 1;
    a.crop_ratio = 1;
    random_image(in, M, 8);
    cvn_augment_image(&a, 2, 1, in, 1, S, S, out);
    CHECK(memcmp(in, out, sizeof in) == 0);
    for (int i = 0; i < M; i++) in[i] = (float)(i % S + 100 * (i / S));
    a.crop_scale_min = a.crop_scale_max = 0.25f;
    for (uint64_t k = 0; k < 100; k++) {
        double x0, y0;
        cvn_augment_image(&a, 2, k, in, 1, S, S, out);
        y0 = floor((double)out[S + 1] / 100);               /* (1, 1) reads (y0 + 1/4, x0 + 1/4) */
        x0 = (double)out[S + 1] - 100 * y0 - 25.25;
        for (int i = 0; i < M; i++) {
            const double x = fmin(fmax(x0 + (i % S + 0.5) / 2 - 0.5, 0), S - 1);
            const double y = fmin(fmax(y0 + (i / S + 0.5) / 2 - 0.5, 0), S - 1);
            CHECK_NEAR(out[i], x + 100 * y, 1e-3);
        }
    }
}

/* Whole pixels are copied exactly: the four corners of all draws of flips and shifts. */
static void augment_exact(void)
{
    cvn_augment a = one_option(0);
    float in[AN], out[AN];
    int seen[2][2][5][5];
    memset(seen, 0, sizeof seen);
    a.flip = a.flip_vertical = 1;
    a.shift = 2;
    for (int i = 0; i < AN; i++) in[i] = (float)(i + 1);
    for (uint64_t k = 0; k < 2000; k++) {
        int found = 0;
        cvn_augment_image(&a, 5, k, in, AC, AH, AW, out);
        for (int m = 0; m < 100; m++) {
            const int f = m % 2, g = m / 2 % 2, dy = m / 4 % 5 - 2, dx = m / 20 - 2;
            int same = 1;
            for (int i = 0; i < AN && same; i++) {
                const int y = i / AW % AH - dy, x = i % AW - dx;
                const int sy = g ? AH - 1 - y : y, sx = f ? AW - 1 - x : x;
                const int inside = sy >= 0 && sy < AH && sx >= 0 && sx < AW;
                same = out[i] == (inside ? in[(i / AW / AH * AH + sy) * AW + sx] : a.fill);
            }
            found += same;
            if (same) seen[f][g][dy + 2][dx + 2]++;
        }
        CHECK(found == 1);
    }
    for (int m = 0; m < 100; m++) {
        const int n = seen[m % 2][m / 2 % 2][m / 4 % 5][m / 20];
        CHECKF(n >= 5 && n <= 45, "%d of 2000 draws have the change %d, expected about 20", n, m);
    }
}

static void augment_edges(void)
{
    cvn_augment a = one_option(0);
    float in[AN], out[AN];
    random_image(in, AN, 1);
    cvn_augment_image(NULL, 1, 1, in, AC, AH, AW, out);
    CHECK(memcmp(in, out, sizeof in) == 0);
    a.scale = 1;                                            /* out of range: a plain copy */
    memset(out, 0, sizeof out);
    cvn_augment_image(&a, 1, 1, in, AC, AH, AW, out);
    CHECK(memcmp(in, out, sizeof in) == 0);
    a = one_option(0);
    a.shift = INT_MAX;                                      /* nothing left */
    cvn_augment_image(&a, 1, 1, in, AC, AH, AW, out);
    for (int i = 0; i < AN; i++) CHECK(out[i] == a.fill);
    a.shift = 0;
    a.cutout = INT_MAX;
    cvn_augment_image(&a, 1, 1, in, AC, AH, AW, out);
    for (int i = 0; i < AN; i++) CHECK(out[i] == a.fill || i % AW < AW / 2 || i / AW % AH < AH / 2);
    a.cutout = 0;
    a.scale = 0.999999f;                                    /* from a millionth to twice the size */
    a.rotate = 1e30f;
    for (uint64_t k = 0; k < 500; k++) {
        cvn_augment_image(&a, 1, k, in, AC, AH, AW, out);
        for (int i = 0; i < AN; i++) CHECK(out[i] >= 0 && out[i] <= 1);
    }
    cvn_augment_image(&a, 1, 1, NULL, AC, AH, AW, out);
    cvn_augment_image(&a, 1, 1, in, 0, AH, AW, out);
}

/* One field out of its range, or only just inside. */
static void augment_ranges(void)
{
    const float nan = (float)NAN;
    for (int k = 0; k < 17; k++) {
        cvn_augment a = one_option(0);
        CHECK(cvni_augment_valid(&a));
        if (k == 0) a.shear = 90;
        if (k == 1) a.shear = -1;
        if (k == 2) a.translate = -0.1f;
        if (k == 3) a.translate = nan;
        if (k == 4) a.saturation = 1.1f;
        if (k == 5) a.hue = 0.6f;
        if (k == 6) a.hue = nan;
        if (k == 7) a.crop_scale_min = 1.1f;
        if (k == 8) a.crop_scale_max = 0.5f;                /* without a least */
        if (k == 9) { a.crop_scale_min = 0.6f; a.crop_scale_max = 0.5f; }
        if (k == 10) { a.crop_scale_min = 0.6f; a.crop_scale_max = 1.5f; }
        if (k == 11) { a.crop_scale_min = 0.6f; a.crop_ratio = 0.9f; }
        if (k == 12) a.elastic = -1;
        if (k == 13) { a.elastic = 1; a.elastic_sigma = 0.9f; }
        if (k == 14) { a.elastic = 1; a.elastic_sigma = nan; }
        if (k == 15) a.erase = 1.01f;
        if (k == 16) a.erase = nan;
        CHECKF(!cvni_augment_valid(&a), "field %d", k);
    }
    {
        cvn_augment a = one_option(0);
        a.shear = 89;
        a.translate = 7;
        a.saturation = a.crop_scale_min = a.crop_scale_max = a.erase = a.elastic_sigma = 1;
        a.crop_ratio = 1;
        a.elastic = 1e30f;
        a.hue = 0.5f;
        CHECK(cvni_augment_valid(&a));
    }
}

/* ---- the batch of a net ---- */

enum { N = 45, GC = 3, GH = 20, GW = 16, GN = GC * GH * GW };

typedef struct test_net {
    cvn_net *net;
    cvn_node x, labels;
} test_net;

/* A classifier; vector: the input is [features] instead of [C, H, W]. */
static test_net make_net(int threads, int max_batch, int vector)
{
    test_net t;
    cvn_desc desc = cvn_desc_defaults();
    cvn_softmax_loss_desc loss = cvn_softmax_loss_defaults();
    desc.seed = 77;
    desc.threads = threads;
    t.net = cvn_create(&desc);
    t.x = vector ? cvn_input_vector(t.net, GN) : cvn_input(t.net, GC, GH, GW);
    t.labels = cvn_input_labels(t.net, NULL, 0);
    loss.labels = t.labels;
    cvn_softmax_loss_ex(t.net, cvn_dense(t.net, t.x, 10), &loss);
    CHECKF(cvn_build(t.net, max_batch) == CVN_OK, "%s", cvn_error(t.net));
    return t;
}

static int *label_values(const test_net *t)
{
    return (int *)(void *)t->net->layers[t->labels.id].y;
}

static unsigned char set_bytes[N * GN];
static float set_floats[N * GN], seen_images[N * GN];
static int set_labels[N], seen_labels[N];

static cvn_data make_data(int floats)
{
    cvn_data d;
    unsigned state = 21;
    memset(&d, 0, sizeof d);
    d.count = N;
    d.labels = set_labels;
    for (int i = 0; i < N * GN; i++) {
        set_bytes[i] = random_byte(&state);
        set_floats[i] = (float)set_bytes[i] / 255.0f;
    }
    for (int i = 0; i < N; i++) set_labels[i] = i * 7 % 10;
    if (floats) {
        d.images = set_floats;
        return d;
    }
    d.bytes = set_bytes;
    d.channels = GC;
    d.height = GH;
    d.width = GW;
    for (int c = 0; c < GC; c++) {
        d.mean[c] = 0.3f + 0.1f * (float)c;
        d.std[c] = c == 1 ? 0.0f : 0.2f + 0.1f * (float)c;
    }
    return d;
}

static double normalized(const cvn_data *d, int c, double value)
{
    if (d->images) return value;
    return (value - (double)d->mean[c]) / (d->std[c] != 0 ? (double)d->std[c] : 1.0);
}

static void gather_plain(void)
{
    for (int which = 0; which < 16; which++) {
        const int vector = which / 2 % 2;
        const int threads = which / 4 % 2 ? 3 : 1;
        const int batch = which / 8 ? 8 : N;
        /* samples in the last batch: what is left to see */
        const int last = (N - 1) % batch + 1;
        test_net t = make_net(threads, batch, vector);
        cvn_data d = make_data(which % 2);
        cvn_metrics m;
        const float *x;
        double worst = 0;
        memset(&m, 0, sizeof m);
        test_case("%s, input %s, threads %d, batch %d", which % 2 ? "floats" : "bytes",
                  vector ? "vector" : "image", threads, batch);
        CHECKF(cvn_evaluate(t.net, &d, &m) == CVN_OK, "%s", cvn_error(t.net));
        CHECK(m.count == N);
        x = cvn_value(t.net, t.x);
        for (int i = 0; x && i < last * GN; i++) {
            const double value = set_bytes[(N - last) * GN + i] / 255.0;
            worst = fmax(worst, fabs((double)x[i] - normalized(&d, i / GH / GW % GC, value)));
        }
        CHECK(x != NULL);
        CHECK_NEAR(worst, 0, 1e-6);
        CHECK(memcmp(label_values(&t), set_labels + N - last, (size_t)last * sizeof(int)) == 0);
        cvn_destroy(t.net);
    }
}

static test_net *collecting;
static int collected;

/* Keeps what each batch had. */
static int collect(void *user, const cvn_progress *p)
{
    const int n = cvn_node_shape(p->net, collecting->x).dim[0];
    (void)user;
    if (p->event != CVN_EVENT_BATCH || collected + n > N) return 0;
    memcpy(seen_images + (size_t)collected * GN, cvn_value(p->net, collecting->x),
           (size_t)n * GN * sizeof(float));
    memcpy(seen_labels + collected, label_values(collecting), (size_t)n * sizeof(int));
    collected += n;
    return 0;
}

/* All of an epoch's training samples in order; the weights do not matter. */
static void train_one_epoch(test_net *t, const cvn_data *d, int batch)
{
    cvn_fit_options o = cvn_fit_defaults();
    const cvn_optimizer slow = cvn_sgd(1e-6f, 0);
    o.epochs = 1;
    o.batch = batch;
    o.no_shuffle = 1;
    o.optimizer = &slow;
    o.callback = collect;
    collecting = t;
    collected = 0;
    memset(seen_images, 0, sizeof seen_images);
    CHECKF(cvn_fit(t->net, d, NULL, &o) == CVN_OK, "%s", cvn_error(t->net));
    CHECK(collected == N);
    CHECK(memcmp(seen_labels, set_labels, sizeof set_labels) == 0);
}

static void gather_augmented(void)
{
    static float first[N * GN];
    static double expected[GN];
    static const int threads[3] = { 1, 2, 7 };
    static const int batches[3] = { N, 8, 1 };
    for (int which = 0; which < 2 * OPTIONS; which++) {
        cvn_data d = make_data(which % 2);
        const cvn_augment a = one_option(which / 2);
        double worst = 0;
        d.augment = &a;
        test_case("option %d, %s", which / 2, which % 2 ? "floats" : "bytes");
        for (int run = 0; run < 3; run++) {
            test_net t = make_net(threads[run], batches[run], 0);
            train_one_epoch(&t, &d, batches[run]);
            if (run == 0) memcpy(first, seen_images, sizeof first);
            else CHECK(memcmp(first, seen_images, sizeof first) == 0);
            cvn_destroy(t.net);
        }
        for (int s = 0; s < N; s++) {
            naive_augment(&a, 77, 0, (uint32_t)s, set_floats + s * GN, GC, GH, GW, expected);
            for (int i = 0; i < GN; i++)
                worst = fmax(worst, fabs((double)first[s * GN + i] -
                                         normalized(&d, i / GH / GW, expected[i])));
        }
        CHECK_NEAR(worst, 0, 2e-4);             /* divided by a std of 0.2 */
    }
}

static float targets[N * 2];

static void gather_targets(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, GC, GH, GW);
    const cvn_node y = cvn_dense(net, x, 2);
    const cvn_node target = cvn_target(net, y);
    cvn_data d = make_data(0);
    cvn_metrics m;
    memset(&m, 0, sizeof m);
    for (int i = 0; i < N * 2; i++) targets[i] = (float)i;
    d.targets = targets;
    cvn_mse_loss(net, y, target);
    CHECKF(cvn_build(net, N) == CVN_OK, "%s", cvn_error(net));
    CHECKF(cvn_evaluate(net, &d, &m) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_value(net, target) && memcmp(cvn_value(net, target), targets, sizeof targets) == 0);
    d.targets = NULL;
    CHECK(cvn_evaluate(net, &d, &m) == CVN_ERROR_ARGUMENT);
    CHECKF(strstr(cvn_error(net), "targets") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* ---- own source ---- */

typedef struct own_source {
    test_net *t;
    int calls, samples, training, fail, less;
    int next;                               /* sample that must come next, in order */
} own_source;

static cvn_result own_fill(void *user, cvn_net *net, const int *index, int n, int training)
{
    own_source *s = (own_source *)user;
    cvn_result r;
    s->calls++;
    s->samples += n;
    s->training = training;
    if (s->fail) return CVN_ERROR_FILE;
    for (int i = 0; i < n; i++) {
        CHECK(index[i] == s->next + i);
        memcpy(seen_images + (size_t)i * GN, set_floats + (size_t)index[i] * GN,
               GN * sizeof(float));
        seen_labels[i] = set_labels[index[i]];
    }
    s->next += n;
    r = cvn_set_input(net, s->t->x, seen_images, n - s->less);
    return r == CVN_OK ? cvn_set_labels(net, s->t->labels, seen_labels, n - s->less) : r;
}

static void own_data(void)
{
    test_net t = make_net(1, 8, 0);
    cvn_data floats = make_data(1);
    cvn_data d;
    own_source s;
    cvn_fit_options o = cvn_fit_defaults();
    cvn_metrics m, expected;
    memset(&d, 0, sizeof d);
    memset(&s, 0, sizeof s);
    memset(&m, 0, sizeof m);
    memset(&expected, 0, sizeof expected);
    s.t = &t;
    d.count = N;
    d.fill = own_fill;
    d.user = &s;
    CHECKF(cvn_evaluate(t.net, &d, &m) == CVN_OK, "%s", cvn_error(t.net));
    CHECK(s.calls == (N + 7) / 8 && s.samples == N && s.training == 0);
    CHECK(cvn_evaluate(t.net, &floats, &expected) == CVN_OK && m.loss == expected.loss);
    o.epochs = 1;
    o.no_shuffle = 1;
    s.next = s.calls = s.samples = 0;
    CHECKF(cvn_fit(t.net, &d, NULL, &o) == CVN_OK, "%s", cvn_error(t.net));
    CHECK(s.calls == (N + 7) / 8 && s.samples == N && s.training == 1);
    s.fail = 1;
    CHECK(cvn_fit(t.net, &d, NULL, &o) == CVN_ERROR_FILE);
    CHECKF(strstr(cvn_error(t.net), "fill") != NULL, "%s", cvn_error(t.net));
    s.fail = s.next = 0;
    s.less = 1;
    CHECK(cvn_fit(t.net, &d, NULL, &o) == CVN_ERROR_STATE);
    CHECKF(strstr(cvn_error(t.net), "fill") != NULL, "%s", cvn_error(t.net));
    cvn_destroy(t.net);
}

/* ---- sets that do not fit ---- */

static void check_refused(test_net *t, const cvn_data *d, cvn_result expected, const char *part)
{
    cvn_fit_options o = cvn_fit_defaults();
    o.epochs = 1;
    CHECK(cvn_fit(t->net, d, NULL, &o) == expected);
    CHECKF(strstr(cvn_error(t->net), part) != NULL, "\"%s\" does not say \"%s\"", cvn_error(t->net),
           part);
}

static void refused(void)
{
    test_net t = make_net(1, 8, 0);
    const cvn_data good = make_data(0);
    cvn_augment a = one_option(0);
    cvn_data d = good;
    d.count = 0;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "0 samples");
    check_refused(&t, NULL, CVN_ERROR_ARGUMENT, "NULL");
    d = good;
    d.bytes = NULL;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "no images");
    d = good;
    d.images = set_floats;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "images and bytes");
    d = good;
    d.labels = NULL;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "no labels");
    d = good;
    d.channels = GH;                                        /* [H, C, W]: as many elements, another
                                                             * order */
    d.height = GC;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "20 channels");
    d = good;
    d.height = GW;
    d.width = GH;
    check_refused(&t, &d, CVN_ERROR_SHAPE, "[3, 20, 16]");
    d = good;
    d.augment = &a;
    a.noise = (float)NAN;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "augmentation");
    a = one_option(0);
    a.shift = -1;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "augmentation");
    cvn_destroy(t.net);
}

static void refused_inputs(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input(net, GC, GH, GW);
    const cvn_node z = cvn_input(net, GC, GH, GW);
    cvn_data d = make_data(0);
    test_net t;
    cvn_augment a = one_option(1);
    cvn_softmax_loss(net, cvn_dense(net, cvn_add(net, x, z), 10));
    CHECKF(cvn_build(net, 8) == CVN_OK, "%s", cvn_error(net));
    t.net = net;
    check_refused(&t, &d, CVN_ERROR_ARGUMENT, "use cvn_data.fill");
    cvn_destroy(net);
    t = make_net(1, 8, 1);
    d = make_data(1);
    d.augment = &a;
    check_refused(&t, &d, CVN_ERROR_SHAPE, "augmentation needs images");
    d.channels = GC;
    d.height = GH;
    d.width = GW;
    train_one_epoch(&t, &d, 8);
    d.augment = NULL;                                       /* smaller images than the input's */
    d.width = GW - 1;
    check_refused(&t, &d, CVN_ERROR_SHAPE, "[3, 20, 15]");
    cvn_destroy(t.net);
    CHECK(live_blocks == 0);
}

int main(void)
{
    RUN(idx_good);
    RUN(idx_cut);
    RUN(idx_mutated);
    RUN(idx_absurd);
    RUN(idx_messages);
    RUN(cifar);
    RUN(cifar_bad);
    RUN(constant_set);
    RUN(split);
    RUN(split_views);
    RUN(image_to_tensor);
    RUN(augment_reference);
    RUN(augment_tiles);
    RUN(elastic_spread);
    RUN(augment_colour);
    RUN(colour_known);
    RUN(torchvision);
    RUN(erase_share);
    RUN(crop_known);
    RUN(augment_exact);
    RUN(augment_edges);
    RUN(augment_ranges);
    RUN(gather_plain);
    RUN(gather_augmented);
    RUN(gather_targets);
    RUN(own_data);
    RUN(refused);
    RUN(refused_inputs);
    return test_done();
}
