/* test_conv_weights.c - gradients of weights and bias where the frames of >>conv-weights differ:
 * whole images, several, strips of rows, of columns, of planes; blocks of channels and of filters;
 * both layouts and patches; one slice and more. Against sums in double precision, on every table of
 * kernels, with one thread and with three; then with one image of the planned batch. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

typedef struct weights_case {
    int n, channels, size[3], filters;
    int kernel[3], stride[3], dilation[3], pad[3];
    int groups;
    cvn_pad_mode mode;
    const char *hits;           /* p planes, c copies, x patches, r, w strips of rows, columns,
                                 * b blocks of channels, f of filters, s slices */
} weights_case;

static const weights_case cases[] = {
    { 3, 1, { 1, 28, 28 }, 6, { 1, 5, 5 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 2, 2 }, 1, CVN_PAD_ZERO,
      "pcs" },
    { 1, 3, { 1, 97, 97 }, 10, { 1, 7, 7 }, { 1, 2, 2 }, { 1, 1, 1 }, { 0, 3, 3 }, 1, CVN_PAD_ZERO,
      "pcrs" },
    { 2, 1, { 1, 1, 5000 }, 3, { 1, 1, 5 }, { 1, 1, 3 }, { 1, 1, 2 }, { 0, 0, 4 }, 1,
      CVN_PAD_REFLECT, "pcs" },
    { 1, 2, { 1, 1, 9000 }, 5, { 1, 1, 3 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 0, 1 }, 1, CVN_PAD_ZERO,
      "pcws" },
    { 17, 48, { 1, 7, 7 }, 19, { 1, 3, 3 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 1, 1 }, 1, CVN_PAD_ZERO,
      "cs" },
    { 2, 48, { 1, 40, 50 }, 16, { 1, 3, 3 }, { 1, 1, 2 }, { 1, 2, 3 }, { 0, 2, 1 }, 1,
      CVN_PAD_REPLICATE, "rs" },
    { 1, 32, { 1, 1, 5000 }, 9, { 1, 1, 3 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 0, 1 }, 1,
      CVN_PAD_ZERO, "cws" },
    { 3, 20, { 5, 9, 20 }, 8, { 3, 3, 3 }, { 1, 2, 1 }, { 2, 1, 1 }, { 1, 1, 1 }, 1, CVN_PAD_ZERO,
      "s" },
    { 1, 40, { 12, 17, 20 }, 8, { 3, 2, 3 }, { 2, 1, 1 }, { 1, 1, 1 }, { 1, 0, 1 }, 1,
      CVN_PAD_REFLECT, "rs" },
    { 2, 203, { 1, 5, 6 }, 11, { 1, 3, 2 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 1, 0 }, 1, CVN_PAD_ZERO,
      "cbs" },
    { 2, 96, { 1, 7, 7 }, 333, { 1, 3, 5 }, { 1, 2, 1 }, { 1, 1, 1 }, { 0, 1, 2 }, 1, CVN_PAD_ZERO,
      "cfs" },
    { 1, 100, { 1, 5, 6 }, 70, { 1, 3, 3 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 1, 1 }, 1,
      CVN_PAD_REFLECT, "cbx" },
    { 3, 33, { 1, 6, 7 }, 96, { 1, 2, 3 }, { 1, 1, 2 }, { 1, 2, 1 }, { 0, 1, 2 }, 3, CVN_PAD_ZERO,
      "s" },
    { 5, 200, { 1, 9, 9 }, 40, { 1, 1, 1 }, { 1, 2, 2 }, { 1, 1, 1 }, { 0, 0, 0 }, 1, CVN_PAD_ZERO,
      "bs" },
    { 4, 24, { 1, 16, 17 }, 32, { 1, 1, 1 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 0, 0 }, 2, CVN_PAD_ZERO,
      "s" }
};

typedef struct weights_run {
    cvn_net *net;
    cvni_layer *l;
    cvni_conv c;
    float *x, *dy, *dw, *db;
} weights_run;

static float *drawn(int n, unsigned seed)
{
    float *v = (float *)malloc(sizeof(float) * (size_t)n);
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(int32_t)seed / 2147483648.0f;
    }
    return v;
}

static weights_run start(const weights_case *w, const char *isa, int threads)
{
    cvn_desc desc = cvn_desc_defaults();
    cvni_conv_desc d;
    weights_run r;
    cvn_node x, y;
    const int axes = w->size[0] > 1 ? 3 : 2;
    const int dims[4] = { w->channels, w->size[0], w->size[1], w->size[2] };
    const cvn_init init = { CVN_INIT_DEFAULT, 0, 0 };
    memset(&r, 0, sizeof r);
    desc.isa = isa;
    desc.threads = threads;
    r.net = cvn_create(&desc);
    r.net->conv_way = "weights";
    d = cvni_conv_begin(axes, w->filters, w->groups, 0, init, init);
    for (int i = 3 - axes; i < 3; i++)
        cvni_conv_set_axis(&d, i, w->kernel[i], w->stride[i], w->dilation[i], w->pad[i], w->pad[i]);
    d.pad_mode = w->mode;
    x = axes == 3 ? cvn_input_tensor(r.net, dims, 4)
                  : cvn_input(r.net, w->channels, w->size[1], w->size[2]);
    y = cvni_add_conv(r.net, x, d);
    cvn_want_grad(r.net, y);
    CHECKF(cvn_build(r.net, w->n) == CVN_OK, "%s", cvn_error(r.net));
    r.l = &r.net->layers[y.id];
    r.x = drawn(w->n * w->channels * w->size[0] * w->size[1] * w->size[2], 1);
    r.dy = drawn((int)cvni_elements(r.l->shape), 2);
    r.dw = cvni_weights_grad(r.net, r.l, 0);
    r.db = cvni_weights_grad(r.net, r.l, 1);
    return r;
}

/* A training pass over the first n samples; what stood in the gradients is added to. */
static void pass(const weights_case *w, weights_run *r, cvn_node x, cvn_node y, int n)
{
    size_t count;
    float *g = cvn_flat_gradients(r->net, &count);
    (void)w;
    CHECK(cvn_set_input(r->net, x, r->x, n) == CVN_OK);
    CHECK(cvn_forward(r->net) == CVN_OK);
    for (size_t i = 0; i < count; i++) g[i] = 0.5f;
    CHECK(cvn_backward_from(r->net, y, r->dy) == CVN_OK);
    r->c = cvni_conv_of(r->net, r->l);
}

/* dw[m][c][k] - 0.5 and the sum of the sizes of its terms. */
static double expected(const weights_run *r, int n, int f, int c, int k, double *size)
{
    const cvni_conv *v = &r->c;
    double sum = *size = 0;
    for (int i = 0; i < n; i++) {
        const float *x = r->x + ((ptrdiff_t)i * v->C + f / v->MG * v->CG + c) * v->H * v->W;
        const float *dy = r->dy + ((ptrdiff_t)i * v->M + f) * v->OH * v->OW;
        for (int p = 0; p < v->OH * v->OW; p++) {
            const int h = v->rows[k / v->KW * v->OH + p / v->OW];
            const int q = v->cols[k % v->KW * v->OW + p % v->OW];
            const double term = h < 0 || q < 0 ? 0 : (double)x[h * v->W + q] * (double)dy[p];
            sum += term;
            *size += fabs(term);
        }
    }
    return sum;
}

/* All weights of the first and the last filter of each block of eight, and a few of the rest. */
static void compare(const weights_run *r, int n)
{
    const cvni_conv *c = &r->c;
    double worst = 0, size;
    for (int f = 0; f < c->M; f++) {
        double sum = 0.5, sizes = 0;
        for (int i = f % 8 == 0 || f == c->M - 1 ? 0 : f % c->K; i < c->K;
             i += f % 8 == 0 || f == c->M - 1 ? 1 : 37) {
            const double want = expected(r, n, f, i / c->taps, i % c->taps, &size) + 0.5;
            const double error = fabs((double)r->dw[(ptrdiff_t)f * c->K + i] - want);
            if (!(error / (size + 0.5) <= worst)) worst = error / (size + 0.5);
        }
        for (int i = 0; i < n; i++)
            for (int p = 0; p < c->OH * c->OW; p++) {
                const double v = (double)r->dy[((ptrdiff_t)i * c->M + f) * c->OH * c->OW + p];
                sum += v;
                sizes += fabs(v);
            }
        CHECKF(fabs((double)r->db[f] - sum) <= 1e-6 * (sizes + 0.5), "bias %d is %.9g, not %.9g", f,
               (double)r->db[f], sum);
    }
    CHECKF(worst <= 2e-6, "error %.3g of the sizes of the terms", worst);
}

/* Does the plan have what the case is there for? */
static void check_hits(const weights_case *w, const weights_run *r)
{
    const cvni_dw_cut f = cvni_dw_cut_of(r->net, &r->c);
    const char *letters = "pcxrwbfs";
    const int has[8] = { f.planes, f.copies, f.patches, f.row_strips > 1, f.col_strips > 1,
                         f.channel_blocks > 1, f.filter_blocks > 1, f.slices > 1 };
    CHECK(!strcmp(cvni_conv_way_of(r->net, &r->c, CVNI_WEIGHTS)->name, "weights"));
    for (int i = 0; i < 8; i++)
        CHECKF(has[i] == (strchr(w->hits, letters[i]) != NULL), "%c is %d", letters[i], has[i]);
}

static void frames(void)
{
    static const char *const isas[] = { "c", "avx2", "avx512" };
    for (int i = 0; i < (int)(sizeof cases / sizeof cases[0]); i++) {
        const weights_case *w = &cases[i];
        for (int k = 0; k < 3; k++) {
            weights_run r, other;
            cvn_node x = { 1 }, y = { 2 };
            const float *g;
            size_t count;
            if (!cvni_find_kernels(isas[k])) continue;
            test_case("case %d, %s", i, isas[k]);
            r = start(w, isas[k], 1);
            other = start(w, isas[k], 3);
            pass(w, &r, x, y, w->n);
            pass(w, &other, x, y, w->n);
            if (!strcmp(isas[k], "avx512")) check_hits(w, &r);
            compare(&r, w->n);
            g = cvn_flat_gradients(r.net, &count);
            CHECK(!memcmp(g, cvn_flat_gradients(other.net, &count), count * sizeof(float)));
            pass(w, &other, x, y, 1);
            compare(&other, 1);
            for (weights_run *e = &r; e; e = e == &r ? &other : NULL) {
                free(e->x);
                free(e->dy);
                cvn_destroy(e->net);
            }
        }
    }
}

int main(void)
{
    RUN(frames);
    return test_done();
}
