/* Prediction inside a game's frame: own buffer, no allocation, worst time of 600 frames; 1 s.
 *     cc -O2 -o build/06_game_loop examples/06_game_loop.c -lm
 *     build/06_game_loop [WEIGHTS]        build/lenet.safetensors: then it reads the digits too
 * The player draws a digit; the game reads it within the frame. 60 frames a second leave 16 ms for
 * everything. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "digits.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FRAMES 600
#define BUDGET_MS 16.0

static unsigned char memory[1 << 20];           /* the whole net lives here: weights and
                                                 * activations */

static void *counting_alloc(void *user, size_t size)
{
    ++*(int *)user;
    return malloc(size);
}

static void counting_free(void *user, void *pointer)
{
    (void)user;
    free(pointer);
}

static cvn_net *lenet5(int *allocations)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_node x;
    desc.threads = 1;                           /* the other cores are the game's */
    desc.allocator.alloc = counting_alloc;
    desc.allocator.free = counting_free;
    desc.allocator.user = allocations;
    net = cvn_create(&desc);
    x = cvn_input(net, 1, 28, 28);
    x = cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2));
    x = cvn_maxpool(net, x, 2, 2);
    x = cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0));
    x = cvn_maxpool(net, x, 2, 2);
    x = cvn_relu(net, cvn_dense(net, x, 120));
    x = cvn_relu(net, cvn_dense(net, x, 84));
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
    return net;
}

/* What the game would show: the strokes of this frame. Returns the digit that was meant. */
static int player_draws(int frame, float *image)
{
    unsigned char pixels[DIGITS_SIZE * DIGITS_SIZE];
    int digit;
    digits_fill((uint64_t)frame + 1, 1, pixels, &digit);
    for (int i = 0; i < DIGITS_SIZE * DIGITS_SIZE; i++) {
        image[i] = ((float)pixels[i] / 255 - DIGITS_MEAN) / DIGITS_STD;
    }
    return digit;
}

int main(int argc, char **argv)
{
    int allocations = 0, before, right = 0;
    double worst = 0, sum = 0;
    cvn_net *net = lenet5(&allocations);
    const size_t needed = cvn_memory_needed(net, 1, CVN_INFER);
    if (cvn_build_in(net, 1, CVN_INFER, memory, sizeof memory) != CVN_OK ||
        (argc > 1 && cvn_load(net, argv[1]) != CVN_OK)) {
        fprintf(stderr, "%s\n", cvn_error(net));
        cvn_destroy(net);
        return 1;
    }
    printf("%lu of %lu bytes used, %d allocations to set up\n", (unsigned long)needed,
           (unsigned long)sizeof memory, allocations);

    before = allocations;
    for (int frame = 0; frame < FRAMES; frame++) {
        float image[DIGITS_SIZE * DIGITS_SIZE];
        int label = -1;
        const int digit = player_draws(frame, image);
        const clock_t start = clock();
        cvn_classify(net, image, 1, &label, NULL);
        const double ms = 1000.0 * (double)(clock() - start) / CLOCKS_PER_SEC;
        if (ms > worst) worst = ms;
        sum += ms;
        right += label == digit;
    }
    printf("%d frames: mean %.3f ms, worst %.3f ms, budget %.0f ms\n", FRAMES, sum / FRAMES, worst,
           BUDGET_MS);
    printf("%d allocations in the loop\n", allocations - before);
    if (argc > 1) printf("%d of %d digits read right\n", right, FRAMES);
    cvn_destroy(net);
    return allocations == before && worst < BUDGET_MS ? 0 : 1;
}
