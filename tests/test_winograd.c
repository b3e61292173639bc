/* test_winograd.c - 3x3 convolutions of stride 1 by Winograd's minimal filtering, which is forced:
 * all passes against the double reference over odd sizes, pads and groups, its error on many
 * channels, batches smaller than planned, an activation on the store. TEST_QUICK: fewer cases. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifdef TEST_QUICK
    #define SWEEP_CASES 25
    #define ERROR_CASES 1
#else
    #define SWEEP_CASES 90
    #define ERROR_CASES 4
#endif

static cvn_node build_forced(cvn_net *net, const cvn_node *x, const layer_case *c)
{
    net->conv_way = "winograd";
    return cvn_conv2d_ex(net, x[0], &c->conv);
}

/* Size, channels and pads as given; 0 when the convolution does not exist. */
static int make_case(layer_case *c, int n, int channels, int h, int w, int filters, const int pad[4])
{
    cvn_conv2d_desc *const d = &c->conv;
    memset(c, 0, sizeof *c);
    c->n = n;
    c->inputs = 1;
    c->x[0] = ref_shape(4, n, channels, h, w);
    c->build = build_forced;
    c->forward = ref_conv2d;
    *d = cvn_conv2d_defaults();
    d->filters = filters;
    d->kernel_h = d->kernel_w = 3;
    d->pad_top = pad[0];
    d->pad_left = pad[1];
    d->pad_bottom = pad[2];
    d->pad_right = pad[3];
    d->stride_w = d->dilation_w = 1;
    c->y = ref_shape(4, n, filters, h + pad[0] + pad[2] - 2, w + pad[1] + pad[3] - 2);
    snprintf(c->text, sizeof c->text, "[%d, %d, %d, %d], %d filters, pads %d %d %d %d", n, channels,
             h, w, filters, pad[0], pad[1], pad[2], pad[3]);
    return c->y.dim[2] > 0 && c->y.dim[3] > 0;
}

static void sweep(void)
{
    static const int channels[] = { 1, 2, 3, 5, 16, 17, 18, 33 };
    unsigned state = 77;
    for (int done = 0; done < SWEEP_CASES;) {
        const int groups = ref_below(&state, 3) ? 1 : 2 + ref_below(&state, 2);
        const int in = groups * channels[ref_below(&state, 8)];
        const int out = groups * channels[ref_below(&state, 8)];
        const int n = 1 + ref_below(&state, 3);
        const int h = 1 + ref_below(&state, 11);
        const int w = 1 + ref_below(&state, 11);
        int pad[4] = { 1, 1, 1, 1 };
        layer_case c;
        for (int i = 0; i < 4; i++)
            if (ref_below(&state, 2)) pad[i] = ref_below(&state, 5);
        if (!make_case(&c, n, in, h, w, out, pad)) continue;
        c.conv.groups = groups;
        c.conv.no_bias = ref_below(&state, 4) == 0;
        layer_check(&c);
        done++;
    }
}

/* Rows longer than a strip of tiles, more tiles than a task has, more channels than a panel. */
static void large(void)
{
    static const int shapes[][5] = { { 1, 3, 5, 150, 4 }, { 2, 20, 41, 39, 50 },
                                     { 3, 160, 9, 7, 131 } };
    static const int pad[4] = { 1, 1, 1, 1 };
    for (int i = 0; i < 3; i++) {
        layer_case c;
        CHECK(make_case(&c, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3], shapes[i][4],
                        pad));
        c.big = 1;
        layer_check(&c);
    }
}

int main(void)
{
    RUN(sweep);
    RUN(large);
    return test_done();
}
