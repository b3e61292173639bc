/* Regression: a small net with a squared error fits a noisy curve, and draws it as an SVG; 2 s.
 *     cc -O2 -o build/04_regression examples/04_regression.c -lm */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define POINTS 200
#define STEPS 400       /* of the drawn curve */

static float curve(float x) { return sinf(3 * x) * expf(-0.3f * x * x) + 0.2f * x; }

static float noise(void) { return 0.15f * (float)(rand() % 2001 - 1000) / 1000; }

/* x in [-3, 3] and y in [-1.5, 1.5] become pixels of 800 x 400. */
static double pixel_x(float x) { return 400 + 130 * (double)x; }
static double pixel_y(float y) { return 200 - 130 * (double)y; }

static void polyline(FILE *file, const float *x, const float *y, const char *color)
{
    fprintf(file, "<polyline fill='none' stroke='%s' stroke-width='2' points='", color);
    for (int i = 0; i < STEPS; i++) fprintf(file, "%.1f,%.1f ", pixel_x(x[i]), pixel_y(y[i]));
    fprintf(file, "'/>\n");
}

static int draw(const char *path, cvn_net *net, const float *x, const float *y)
{
    static float grid[STEPS], truth[STEPS], fit[STEPS];
    FILE *file = fopen(path, "w");
    if (!file) return 0;
    for (int i = 0; i < STEPS; i++) {
        grid[i] = -3 + 6 * (float)i / (STEPS - 1);
        truth[i] = curve(grid[i]);
    }
    /* any number: it runs in batches of its own */
    cvn_predict(net, grid, STEPS, fit);
    fprintf(
        file,
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 800 400' font-family='sans-serif'>\n"
        "<rect width='800' height='400' fill='white'/>\n");
    for (int i = 0; i < POINTS; i++) {
        fprintf(file, "<circle cx='%.1f' cy='%.1f' r='3' fill='#999'/>\n", pixel_x(x[i]),
                pixel_y(y[i]));
    }
    polyline(file, grid, truth, "#2a2");
    polyline(file, grid, fit, "#d22");
    fprintf(file, "<text x='20' y='30' fill='#777'>noisy points</text>\n"
                  "<text x='20' y='50' fill='#2a2'>true curve</text>\n"
                  "<text x='20' y='70' fill='#d22'>fit</text>\n</svg>\n");
    return fclose(file) == 0;
}

int main(void)
{
    static float x[POINTS], y[POINTS];
    cvn_data data = { 0 };
    cvn_metrics metrics = { 0 };
    cvn_net *net = cvn_create(NULL);
    cvn_node n = cvn_input_vector(net, 1);
    n = cvn_tanh(net, cvn_dense(net, n, 32));
    n = cvn_tanh(net, cvn_dense(net, n, 32));
    n = cvn_dense(net, n, 1);
    cvn_mse_loss(net, n, cvn_target(net, n));
    if (cvn_build(net, 32) != CVN_OK) {
        puts(cvn_error(net));
        cvn_destroy(net);
        return 1;
    }

    for (int i = 0; i < POINTS; i++) {
        x[i] = -3 + 6 * (float)i / (POINTS - 1);
        y[i] = curve(x[i]) + noise();
    }
    data.count = POINTS;
    /* the samples: here one number each */
    data.images = x;
    data.targets = y;

    const cvn_optimizer adam = cvn_adam(0.01f);
    cvn_fit_options options = cvn_fit_defaults();
    options.epochs = 500;
    options.optimizer = &adam;
    options.schedule.kind = CVN_SCHEDULE_COSINE;
    if (cvn_fit(net, &data, NULL, &options) < 0 || cvn_evaluate(net, &data, &metrics) < 0) {
        puts(cvn_error(net));
    } else {
        printf("mean squared error %.4f, of which the noise %.4f\n", metrics.loss, 0.15 * 0.15 / 3);
        if (draw("build/04_regression.svg", net, x, y)) puts("wrote build/04_regression.svg");
    }
    cvn_destroy(net);
    return 0;
}
