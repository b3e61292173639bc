/* A variational autoencoder: digits squeezed into two numbers and drawn again from them; writes
 * build/vae.png, what the decoder draws all over the plane of the two. A quarter of a minute.
 *     cc -O2 -fopenmp -o build/11_vae examples/11_vae.c -lm
 * The encoder gives a mean and a variance for each number, cvn_reparameterize draws from these, and
 * the divergence from N(0, 1) keeps the plane without holes. The decoder then becomes a net of its
 * own: the same layers under the same names take its weights from the file. D. Kingma, M. Welling,
 * arXiv:1312.6114. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "digits.h"
#include "png.h"
#include <stdio.h>

enum { PIXELS = DIGITS_SIZE * DIGITS_SIZE, LATENT = 2, IMAGES = 6000, GRID = 16 };

static int failed(cvn_net *net) { return puts(cvn_error(net)), 1; }

/* Points [N, 2] to logits of pixels [N, 784]. */
static cvn_node add_decoder(cvn_net *net, cvn_node z)
{
    cvn_node x;
    cvn_scope(net, "decoder");
    x = cvn_relu(net, cvn_dense(net, z, 128));
    x = cvn_relu(net, cvn_dense(net, x, 256));
    x = cvn_dense(net, x, PIXELS);
    cvn_scope(net, "");
    return x;
}

static cvn_net *make_autoencoder(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node image = cvn_input_vector(net, PIXELS);
    cvn_node x, mean, log_variance;
    cvn_scope(net, "encoder");
    x = cvn_relu(net, cvn_dense(net, image, 256));
    x = cvn_relu(net, cvn_dense(net, x, 128));
    mean = cvn_dense(net, x, LATENT);
    log_variance = cvn_dense(net, x, LATENT);
    cvn_scope(net, "");
    x = add_decoder(net, cvn_reparameterize(net, mean, log_variance));
    /* both losses as sums over an image */
    cvn_add_loss(net, cvn_bce_with_logits_loss(net, x, image), PIXELS);
    cvn_vae_kl_loss(net, mean, log_variance);
    return net;
}

static cvn_net *make_decoder(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_sigmoid(net, add_decoder(net, cvn_input_vector(net, LATENT)));
    return net;
}

/* The value below which a share p of a normal distribution lies: equal steps of p make the picture
 * as dense as the digits lie. By bisection. */
static float normal_quantile(double p)
{
    double low = -8, high = 8;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        if (0.5 * erfc(-middle / sqrt(2.0)) < p) low = middle;
        else high = middle;
    }
    return (float)low;
}

static int draw_plane(cvn_net *decoder, const char *path)
{
    static float z[GRID * GRID * LATENT], images[GRID * GRID * PIXELS];
    png_image picture;
    int saved;
    for (int i = 0; i < GRID * GRID; i++) {
        z[2 * i] = normal_quantile((i % GRID + 0.5) / GRID);
        z[2 * i + 1] = normal_quantile((i / GRID + 0.5) / GRID);
    }
    if (cvn_predict(decoder, z, GRID * GRID, images) != CVN_OK) return 0;
    if (!png_create(&picture, GRID * DIGITS_SIZE, GRID * DIGITS_SIZE)) return 0;
    for (int i = 0; i < GRID * GRID; i++)
        png_tile(&picture, i % GRID * DIGITS_SIZE, i / GRID * DIGITS_SIZE, images + i * PIXELS,
                 DIGITS_SIZE, DIGITS_SIZE, 1, 0);
    saved = png_save(&picture, path);
    png_free(&picture);
    return saved;
}

int main(void)
{
    static unsigned char bytes[IMAGES * PIXELS];
    static float images[IMAGES * PIXELS];
    static int labels[IMAGES];
    const cvn_optimizer adam = cvn_adam(0.001f);
    cvn_fit_options options = cvn_fit_defaults();
    cvn_data data = { 0 };
    cvn_net *net = make_autoencoder(), *decoder = make_decoder();
    if (cvn_build(net, 64) != CVN_OK) return failed(net);
    digits_fill(1, IMAGES, bytes, labels);
    for (int i = 0; i < IMAGES * PIXELS; i++) images[i] = (float)bytes[i] / 255;
    data.count = IMAGES;
    data.images = images;
    options.epochs = 40;
    options.optimizer = &adam;
    options.callback = cvn_print_progress;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    if (cvn_fit(net, &data, NULL, &options) < 0) return failed(net);
    if (cvn_save(net, "build/vae.safetensors") != CVN_OK) return failed(net);

    if (cvn_build_infer(decoder, GRID) != CVN_OK) return failed(decoder);
    if (cvn_load_partial(decoder, "build/vae.safetensors", NULL) != CVN_OK) return failed(decoder);
    if (!draw_plane(decoder, "build/vae.png")) return puts("build/vae.png cannot be written"), 1;
    puts("build/vae.png: the plane of the two numbers");
    cvn_destroy(net);
    cvn_destroy(decoder);
    return 0;
}
