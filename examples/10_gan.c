/* A GAN: one net invents digits, another learns to tell them from drawn ones, and each is the
 * other's teacher; writes build/gan.png, a row of inventions after every fourth epoch. Half a
 * minute.
 *     cc -O2 -fopenmp -o build/10_gan examples/10_gan.c -lm
 * Two nets, two optimizers. The gradient that the judge finds at its input image is what the
 * inventor needs at its output: cvn_gradient takes it out of one net, cvn_backward_from gives it to
 * the other. Architecture and rates: A. Radford et al., arXiv:1511.06434 (DCGAN), made small. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "digits.h"
#include "png.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { PIXELS = DIGITS_SIZE * DIGITS_SIZE, NOISE = 32, BATCH = 64, IMAGES = 4000, EPOCHS = 32 };
enum { SHOWN = 16, ROWS = 8, ENLARGE = 2, TILE = DIGITS_SIZE * ENLARGE + 4 };

static int failed(cvn_net *net) { return puts(cvn_error(net)), 1; }

/* Noise [N, 32] to an image [N, 1, 28, 28] in -1..1. */
static cvn_net *make_inventor(cvn_node *image)
{
    static const int first[3] = { 64, 7, 7 };
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input_vector(net, NOISE);
    x = cvn_reshape(net, cvn_dense(net, x, 64 * 7 * 7), first, 3);
    x = cvn_relu(net, cvn_batchnorm(net, x));
    x = cvn_conv_transpose2d(net, x, 32, 4, 2, 1);                  /* [N, 32, 14, 14] */
    x = cvn_relu(net, cvn_batchnorm(net, x));
    *image = cvn_tanh(net, cvn_conv_transpose2d(net, x, 1, 4, 2, 1));       /* [N, 1, 28, 28] */
    cvn_want_grad(net, *image);
    return net;
}

/* An image to one number: above 0 it takes it for a drawn one. */
static cvn_net *make_judge(cvn_node *image)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 1, DIGITS_SIZE, DIGITS_SIZE);
    *image = x;
    cvn_want_grad(net, x);
    x = cvn_leaky_relu(net, cvn_conv2d(net, x, 32, 4, 2, 1), 0.2f);         /* [N, 32, 14, 14] */
    x = cvn_leaky_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 64, 4, 2, 1)), 0.2f);
    x = cvn_dense(net, x, 1);
    cvn_bce_with_logits_loss(net, x, cvn_target(net, x));
    return net;
}

/* Normal draws, by Box and Muller. */
static void draw_noise(float *z, int count)
{
    for (int i = 0; i < count; i++) {
        const double u = (rand() + 1.0) / (RAND_MAX + 2.0);
        const double v = (rand() + 1.0) / (RAND_MAX + 2.0);
        z[i] = (float)(sqrt(-2 * log(u)) * cos(6.283185307179586 * v));
    }
}

/* The judge's loss on a batch that is to be called `answer`, and its gradients. */
static cvn_result judge_batch(cvn_net *judge, cvn_node image, const float *images, float answer,
                              float *loss)
{
    float answers[BATCH];
    cvn_result result;
    for (int i = 0; i < BATCH; i++) answers[i] = answer;
    cvn_set_input(judge, image, images, BATCH);
    cvn_set_input(judge, cvn_find(judge, "target1"), answers, BATCH);
    result = cvn_forward(judge);
    *loss = cvn_loss(judge);
    return result == CVN_OK ? cvn_backward(judge) : result;
}

typedef struct gan {
    cvn_net *inventor, *judge;
    cvn_node invented, judged;
} gan;

/* One step of each net. */
static cvn_result train_step(gan *g, const float *real, float *judge_loss, float *inventor_loss)
{
    static float z[BATCH * NOISE];
    float on_real, on_invented = 0;
    cvn_result result;
    draw_noise(z, BATCH * NOISE);
    cvn_set_input(g->inventor, cvn_find(g->inventor, "input1"), z, BATCH);
    if ((result = cvn_forward(g->inventor)) != CVN_OK) return result;

    /* the judge: the gradients of both batches add up */
    result = judge_batch(g->judge, g->judged, real, 0.9f, &on_real);
    if (result == CVN_OK)
        result = judge_batch(g->judge, g->judged, cvn_value(g->inventor, g->invented), 0,
                             &on_invented);
    if (result == CVN_OK) result = cvn_step(g->judge);

    /* the inventor: how would its images be taken for drawn ones? */
    if (result == CVN_OK)
        result = judge_batch(g->judge, g->judged, cvn_value(g->inventor, g->invented), 1,
                             inventor_loss);
    if (result == CVN_OK)
        result = cvn_backward_from(g->inventor, g->invented, cvn_gradient(g->judge, g->judged));
    if (result == CVN_OK) result = cvn_step(g->inventor);
    cvn_zero_grad(g->judge);            /* that batch was not for the judge to learn from */
    *judge_loss = on_real + on_invented;
    return result;
}

/* A row of the picture: the same noise every time. */
static void show(gan *g, const float *z, png_image *picture, int row)
{
    static float images[SHOWN * PIXELS];
    if (cvn_predict(g->inventor, z, SHOWN, images) != CVN_OK) return;
    for (int i = 0; i < SHOWN; i++)
        png_tile(picture, 2 + i * TILE, 2 + row * TILE, images + i * PIXELS, DIGITS_SIZE,
                 DIGITS_SIZE, ENLARGE, 0);
}

int main(void)
{
    static unsigned char bytes[IMAGES * PIXELS];
    static float images[IMAGES * PIXELS];
    static int labels[IMAGES];
    static float z[SHOWN * NOISE];
    cvn_optimizer adam = cvn_adam(0.0004f);
    png_image picture;
    gan g;
    g.inventor = make_inventor(&g.invented);
    g.judge = make_judge(&g.judged);
    adam.beta1 = 0.5f;
    cvn_set_optimizer(g.inventor, &adam);
    cvn_set_optimizer(g.judge, &adam);
    if (cvn_build(g.inventor, BATCH) != CVN_OK) return failed(g.inventor);
    if (cvn_build(g.judge, BATCH) != CVN_OK) return failed(g.judge);
    if (!png_create(&picture, SHOWN * TILE, ROWS * TILE)) return puts("out of memory"), 1;
    digits_fill(1, IMAGES, bytes, labels);
    for (int i = 0; i < IMAGES * PIXELS; i++) images[i] = (float)bytes[i] / 127.5f - 1;
    draw_noise(z, SHOWN * NOISE);
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        float judge_loss = 0, inventor_loss = 0;
        for (int i = 0; i + BATCH <= IMAGES; i += BATCH)
            if (train_step(&g, images + i * PIXELS, &judge_loss, &inventor_loss) != CVN_OK)
                return cvn_error(g.judge)[0] ? failed(g.judge) : failed(g.inventor);
        if ((epoch + 1) % (EPOCHS / ROWS) != 0) continue;
        show(&g, z, &picture, epoch / (EPOCHS / ROWS));
        printf("epoch %d of %d   loss of the judge %.3f, of the inventor %.3f\n", epoch + 1, EPOCHS,
               (double)judge_loss, (double)inventor_loss);
        fflush(stdout);
    }
    if (!png_save(&picture, "build/gan.png")) return puts("build/gan.png cannot be written"), 1;
    puts("build/gan.png: what the same 16 draws of noise became in the course of it");
    png_free(&picture);
    cvn_destroy(g.inventor);
    cvn_destroy(g.judge);
    return 0;
}
