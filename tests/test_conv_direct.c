/* test_conv_direct.c - direct convolution: frames against the padded image that they stand for.
 * TEST_QUICK: fewer cases. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"
#include "reference.h"

#ifdef TEST_QUICK
    #define CASES 60
#else
    #define CASES 600
#endif

/* ---- frames ---- */

enum { FRAME_ROOM = 1 << 20 };
static float image[FRAME_ROOM], frame[FRAME_ROOM];

static void draw_axis(unsigned *state, int reflect, cvni_axis *a)
{
    memset(a, 0, sizeof *a);
    do {
        a->big = 1 + ref_below(state, 12);
        a->kernel = 1 + ref_below(state, 5);
        a->stride = 1 + ref_below(state, 3);
        a->dilation = 1 + ref_below(state, 2);
        a->pad = ref_below(state, reflect ? a->big : 6);
        a->small = (a->big + a->pad + ref_below(state, reflect ? a->big : 6) -
                    (a->kernel - 1) * a->dilation - 1) / a->stride + 1;
    } while (a->small < 1 || a->big + 2 * a->pad < (a->kernel - 1) * a->dilation + 1);
}

/* Every tap of every position that the frame was cut for. */
static void check_frame(const cvni_frame *f, const cvni_axis *h, const cvni_axis *w, int channels)
{
    int wrong = 0;
    for (int c = 0; c < channels; c++)
        for (int t = 0; t < h->kernel * w->kernel; t++)
            for (int q = 0; q < f->images * f->h.count * f->w.count; q++) {
                const int n = q / f->w.count / f->h.count;
                const int i = q / f->w.count % f->h.count;
                const int j = q % f->w.count;
                const int dh = t / w->kernel * h->dilation;
                const int dw = t % w->kernel * w->dilation;
                const int r = cvni_pad_index((f->h.first + i) * h->stride + dh - h->pad, h->big,
                                             f->mode);
                const int k = cvni_pad_index((f->w.first + j) * w->stride + dw - w->pad, w->big,
                                             f->mode);
                const ptrdiff_t p = ((ptrdiff_t)n * f->h.pitch + i) * f->w.pitch + j;
                const float want = r < 0 || k < 0 ? 0
                                                  : image[((n * channels + c) * h->big + r) *
                                                          w->big + k];
                const float got = frame[c * cvni_frame_channel(f) + cvni_frame_at(f, dh, dw) + p];
                wrong += memcmp(&got, &want, sizeof got) != 0;
            }
    CHECKF(wrong == 0, "%d wrong", wrong);
}

static void frames(void)
{
    unsigned state = 11;
    for (int i = 0; i < FRAME_ROOM; i++) image[i] = (float)(i + 1);
    for (int i = 0; i < CASES; i++) {
        const cvn_pad_mode mode = (cvn_pad_mode)(i % 5 < 3 ? 0 : i % 5 - 2);
        const int channels = 1 + ref_below(&state, 3);
        const int images = 1 + ref_below(&state, 3);
        cvni_conv_desc d;
        cvni_conv c;
        cvni_axis *a = c.axis;
        cvni_frame f;
        memset(&d, 0, sizeof d);
        memset(&c, 0, sizeof c);
        c.d = &d;
        d.pad_mode = mode;
        draw_axis(&state, mode == CVN_PAD_REFLECT, &a[1]);
        draw_axis(&state, mode == CVN_PAD_REFLECT, &a[2]);
        for (int cut = 0; cut < 2; cut++) {
            const int row0 = cut * ref_below(&state, a[1].small);
            const int col0 = cut * ref_below(&state, a[2].small);
            const int rows = cut ? 1 + ref_below(&state, a[1].small - row0) : a[1].small;
            const int cols = cut ? 1 + ref_below(&state, a[2].small - col0) : a[2].small;
            ptrdiff_t end;
            test_case("%d images of %d x %d, kernel %d x %d, stride %d %d, dilation %d %d, pad %d "
                      "%d, mode %d, rows %d + %d of %d, cols %d + %d of %d", images, a[1].big,
                      a[2].big, a[1].kernel, a[2].kernel, a[1].stride, a[2].stride, a[1].dilation,
                      a[2].dilation, a[1].pad, a[2].pad, (int)mode, row0, rows, a[1].small, col0,
                      cols, a[2].small);
            f = cvni_frame_of(&c);
            cvni_frame_cut(&f, images, row0, rows, col0, cols);
            end = channels * cvni_frame_channel(&f) + cvni_frame_tail(&f);
            CHECK(end < FRAME_ROOM);
            memset(frame, 255, sizeof frame);
            cvni_frame_fill(cvni_find_kernels(i % 2 ? "c" : NULL), &f, image,
                            (ptrdiff_t)channels * a[1].big * a[2].big,
                            (ptrdiff_t)a[1].big * a[2].big, a[2].big, channels, frame);
            check_frame(&f, &a[1], &a[2], channels);
            CHECK(frame[end] != frame[end] && frame[end - 1] == 0);
        }
    }
}

/* 8x8 and 7x7 under 3x3 with a pad of 1: rows and images share their zeros. */
static void pitches(void)
{
    const cvni_axis a = { 8, 8, 3, 1, 1, 1, 8, 1 };
    cvni_conv_desc d;
    cvni_conv c;
    cvni_frame f;
    memset(&d, 0, sizeof d);
    memset(&c, 0, sizeof c);
    c.d = &d;
    c.axis[1] = c.axis[2] = a;
    f = cvni_frame_of(&c);
    cvni_frame_cut(&f, 4, 0, 8, 0, 8);
    CHECK(f.h.pitch == 9 && f.w.pitch == 9 && f.plane == 4 * 81);
    cvni_frame_cut(&f, 1, 2, 4, 0, 8);
    CHECK(f.h.pitch == 6 && f.w.pitch == 9);
}

int main(void)
{
    RUN(frames);
    RUN(pitches);
    return test_done();
}
