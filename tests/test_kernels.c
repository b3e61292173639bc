/* test_kernels.c - each kernel of each table that this CPU has against the plain C one, on every
 * length from 0 to twice the widest vector and one more, and on some long ones; elementwise ones
 * also in place and at odd addresses. Nothing behind the last element is touched. What sums and
 * exponentials promise is checked against double precision, the plain ones included. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

enum { WIDEST = 16, LONGEST = 10007, ROOM = LONGEST + 64 };

static const cvni_kernels *k;           /* the table under test */
static const cvni_kernels *plain;
static float a[ROOM], b[ROOM], x[ROOM], y[ROOM], want[ROOM];

static const int lengths[] = { 63, 64, 65, 127, 129, 1000, 4096, LONGEST };

/* Length number i, or -1. */
static int length_of(int i)
{
    const int count = (int)(sizeof lengths / sizeof lengths[0]);
    if (i <= 2 * WIDEST + 1) return i;
    i -= 2 * WIDEST + 2;
    return i < count ? lengths[i] : -1;
}

static float draw(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(int32_t)*state / 1073741824.0f;      /* -2..2 */
}

static void fill(int seed)
{
    uint32_t state = (uint32_t)seed * 2654435761u + 1;
    for (int i = 0; i < ROOM; i++) {
        a[i] = draw(&state);
        b[i] = i % 7 == 3 ? 0 : draw(&state);
        x[i] = draw(&state);
        y[i] = want[i] = draw(&state);
    }
}

/* Of y: n elements within `bound`, relative above 1 and absolute below; all behind as before. */
static void same(const char *what, int n, double bound)
{
    int worst = 0;
    double most = bound;
    for (int i = 0; i < n; i++) {
        const double size = fabs((double)want[i]) > 1 ? fabs((double)want[i]) : 1;
        const double error = fabs((double)y[i] - (double)want[i]) / size;
        if (error <= most) continue;
        most = error;
        worst = i;
    }
    CHECKF(most <= bound, "%s of %d: [%d] is %.9g, not %.9g", what, n, worst, (double)y[worst],
           (double)want[worst]);
    CHECKF(memcmp(y + n, want + n, sizeof(float) * (size_t)(ROOM - n)) == 0,
           "%s of %d writes behind its end", what, n);
}

/* ---- sums: error below 1e-6 of the sum of the sizes of the terms ---- */

static void sums(void)
{
    for (int l = 0; length_of(l) >= 0; l++) {
        const int n = length_of(l);
        const float mean = 0.25f;
        double s[4] = { 0, 0, 0, 0 };
        double size[4] = { 1e-30, 1e-30, 1e-30, 1e-30 };
        float got[4];
        fill(l);
        for (int i = 0; i < n; i++) {
            const double d = (double)x[i] - (double)mean;
            const double term[4] = { (double)a[i] * (double)b[i], (double)x[i], d * d,
                                     (double)a[i] * d };
            for (int t = 0; t < 4; t++) {
                s[t] += term[t];
                size[t] += fabs(term[t]);
            }
        }
        x[n] = a[n] = b[n] = NAN;                       /* not to be read */
        got[0] = k->dot(n, a, b);
        got[1] = k->sum(n, x);
        got[2] = k->sum_square_diff(n, x, mean);
        got[3] = k->dot_diff(n, a, x, mean);
        for (int t = 0; t < 4; t++)
            CHECKF(fabs((double)got[t] - s[t]) <= 1e-6 * size[t], "sum %d of %d: %.9g, not %.9g",
                   t, n, (double)got[t], s[t]);
    }
}

/* scale and shift of x, slope, most: no activation, relu, leaky relu, relu6 */
static const float clamps[4][4] = { { 1.7f, -0.3f, 1, INFINITY },
                                    { 1.7f, -0.3f, 0, INFINITY },
                                    { 1.7f, -0.3f, 0.2f, INFINITY },
                                    { 5, 1, 0, 6 } };

/* g and its two sums, with the activation's sign from x and from y. */
static void norm_sums(void)
{
    for (int l = 0; length_of(l) >= 0; l++)
        for (int variant = 0; variant < 8; variant++) {
            const int n = length_of(l);
            const float *f = clamps[variant / 2];
            const float *sign = variant % 2 ? b : NULL;
            const float mean = 0.25f;
            double s[2] = { 0, 0 };
            double size[2] = { 1e-30, 1e-30 };
            float got[2], again[2];
            fill(l);
            for (int i = 0; i < n; i++) {
                const float v = sign ? sign[i] : f[0] * x[i] + f[1];
                want[i] = (v > 0 && v < f[3] ? 1 : f[2]) * a[i];
                for (int t = 0; t < 2; t++) {
                    const double term = t ? (double)want[i] * ((double)x[i] - (double)mean)
                                          : (double)want[i];
                    s[t] += term;
                    size[t] += fabs(term);
                }
            }
            x[n] = a[n] = b[n] = NAN;                   /* not to be read */
            k->norm_sums(n, f, mean, x, sign, a, NULL, again);
            k->norm_sums(n, f, mean, x, sign, a, y, got);
            same("norm_sums", n, 0);
            for (int t = 0; t < 2; t++) {
                CHECKF(fabs((double)got[t] - s[t]) <= 1e-6 * size[t],
                       "sum %d of norm_sums of %d: %.9g, not %.9g", t, n, (double)got[t], s[t]);
                CHECK(got[t] >= again[t] && got[t] <= again[t]);
            }
            k->norm_sums(n, f, mean, x, sign, a, a, got);       /* in place */
            memcpy(y, a, (size_t)n * sizeof *a);
            same("norm_sums in place", n, 0);
        }
}

/* Values of one sign round one way: eight accumulators and more lose at most 1e-5 of 10000. One
 * would lose 1e-4. */
static void long_sums(void)
{
    double sum = 0;
    for (int i = 0; i < LONGEST; i++) {
        x[i] = 1 + (float)(i % 3) * 0.1f;
        sum += (double)x[i];
    }
    CHECK_NEAR(k->sum(LONGEST, x), sum, 1e-5 * sum);
}

/* What lies behind each line is not to be read. */
static void dot_products(void)
{
    static const ptrdiff_t at[6] = { 3, 0, 1001, 40, 1000, 7 };
    for (int l = 0; l < 24 * (2 * WIDEST + 3); l++) {
        const int n = l / 24 < 2 * WIDEST + 2 ? l / 24 : 1601;
        float out[4 * 9 + 1];
        cvni_dots t;
        fill(l);
        t.lines = 1 + l % 4;
        t.count = 1 + l / 4 % 6;
        t.n = n;
        t.a = a;
        t.b = b;
        t.a_line = n + 3;
        t.at = at;
        t.out = out;
        t.ld = 9;
        for (int i = 0; i < ROOM; i++) {
            if (i % (n + 3) >= n || i >= t.lines * (n + 3)) a[i] = NAN;
            if (i >= 1001 + n) b[i] = NAN;
        }
        for (int i = 0; i < 37; i++) out[i] = (float)i;
        k->dots(&t);
        for (int i = 0; i < 37; i++) {
            const int inside = i / 9 < t.lines && i % 9 < t.count;
            double sum = i;
            double size = i + 1;
            for (int q = 0; inside && q < n; q++) {
                const double term = (double)a[i / 9 * (n + 3) + q] * (double)b[at[i % 9] + q];
                sum += term;
                size += fabs(term);
            }
            CHECKF(fabs((double)out[i] - sum) <= 1e-6 * size, "dots [%d] of %d: %.9g, not %.9g", i,
                   n, (double)out[i], sum);
        }
    }
}

/* ---- elementwise: the plain kernel's values, to the rounding that a fused product saves ---- */

static void rows(void)
{
    for (int l = 0; length_of(l) >= 0; l++) {
        const int n = length_of(l);
        fill(l);
        plain->axpy(n, 0.3f, x, want);
        k->axpy(n, 0.3f, x, y);
        same("axpy", n, 3e-7);
        plain->scale_shift(n, 1.7f, -0.3f, x, want);
        k->scale_shift(n, 1.7f, -0.3f, x, y);
        same("scale_shift", n, 3e-7);
        plain->add(n, a, b, want);
        k->add(n, a, b, y);
        same("add", n, 0);
        for (int s = 0; s < 2; s++) {
            plain->relu(n, 0.2f * (float)s, b, want);
            k->relu(n, 0.2f * (float)s, b, y);
            same("relu", n, 0);
            for (int add = 0; add < 2; add++) {
                plain->relu_grad(n, 0.2f * (float)s, b, a, want, add);
                k->relu_grad(n, 0.2f * (float)s, b, a, y, add);
                same("relu_grad", n, 3e-7);
            }
        }
        for (int variant = 0; variant < 8; variant++) {
            const float *more = variant % 2 ? b : NULL;
            plain->norm_act(n, clamps[variant / 2], x, more, want);
            k->norm_act(n, clamps[variant / 2], x, more, y);
            same("norm_act", n, 6e-7);
        }
        memcpy(y, x, sizeof y);                         /* in place */
        memcpy(want, x, sizeof want);
        plain->norm_act(n, clamps[3], want, a, want);
        k->norm_act(n, clamps[3], y, a, y);
        same("norm_act in place", n, 6e-7);
        memcpy(y, want, sizeof y);
        plain->relu(n, 0, want, want);
        k->relu(n, 0, y, y);
        same("relu in place", n, 0);
        plain->scale_shift(n, 2, 1, want + 1, want + 1);
        k->scale_shift(n, 2, 1, y + 1, y + 1);
        same("scale_shift in place", n + 1, 3e-7);
    }
}

/* Two rows and a gap that stays as it is. */
static void finishes(void)
{
    static float got[ROOM];
    for (int l = 0; length_of(l) >= 0 && length_of(l) <= 1000; l++) {
        const int n = length_of(l);
        for (int how = 0; how < 12; how++) {
            const float *rows = how & 1 ? a : NULL;
            const float *cols = how & 2 ? b : NULL;
            const float slope = how < 8 ? 0 : 0.2f;
            fill(l);
            plain->finish(2, n, want, n + 5, rows, cols, how >= 4, slope);
            k->finish(2, n, y, n + 5, rows, cols, how >= 4, slope);
            same("finish", 2 * n + 5, 3e-7);
            memcpy(got, want, sizeof got);
            fill(l);
            for (int r = 0; r < 2; r++) {
                for (int j = 0; j < n; j++) {
                    const int i = r * (n + 5) + j;
                    const double v = (double)y[i] + (rows ? (double)a[r] : 0) +
                                     (cols ? (double)b[j] : 0);
                    CHECK_NEAR(got[i], how >= 4 && v < 0 ? v * (double)slope : v, 2e-6);
                }
            }
        }
    }
}

static void gradients(void)
{
    const float f[4] = { 1.3f, -0.4f, 0.2f, 0.05f };
    const float adam[8] = { 0.9f, 0.99f, 1e-8f, 0.01f, 1.5f, 1.25f, 0.1f, 0.001f };
    static float m[2][ROOM], v[2][ROOM], most[2][ROOM];
    for (int l = 0; length_of(l) >= 0; l++) {
        const int n = length_of(l);
        fill(l);
        for (int add = 0; add < 2; add++) {
            plain->norm_grad(n, f, x, a, want, add);
            k->norm_grad(n, f, x, a, y, add);
            same("norm_grad", n, 5e-7);
        }
        for (int amsgrad = 0; amsgrad < 2; amsgrad++) {
            for (int t = 0; t < 2; t++)
                for (int i = 0; i < ROOM; i++) {
                    m[t][i] = b[i];
                    v[t][i] = fabsf(x[i]);
                    most[t][i] = fabsf(a[i]);
                }
            plain->adam(n, adam, a, want, m[0], v[0], amsgrad ? most[0] : NULL);
            k->adam(n, adam, a, y, m[1], v[1], amsgrad ? most[1] : NULL);
            same("adam, w", n, 3e-6);                   /* a small root divides */
            memcpy(want, m[0], sizeof want);
            memcpy(y, m[1], sizeof y);
            same("adam, m", n, 3e-7);
            memcpy(want, v[0], sizeof want);
            memcpy(y, v[1], sizeof y);
            same("adam, v", n, 3e-7);
            memcpy(want, most[0], sizeof want);
            memcpy(y, most[1], sizeof y);
            same("adam, most", n, 3e-7);
        }
        for (int kind = 0; kind < 3; kind++) {      /* without momentum, with it, Nesterov */
            const float sgd[5] = { 0.1f, 0.01f, 0.9f, 0.8f, kind == 2 ? 0.9f : 0 };
            for (int t = 0; t < 2; t++) memcpy(m[t], b, sizeof m[t]);
            memcpy(want, x, sizeof want);
            memcpy(y, x, sizeof y);
            plain->sgd(n, sgd, a, want, kind ? m[0] : NULL);
            k->sgd(n, sgd, a, y, kind ? m[1] : NULL);
            same("sgd, w", n, 5e-7);
            memcpy(want, m[0], sizeof want);
            memcpy(y, m[1], sizeof y);
            same("sgd, v", n, 5e-7);
        }
    }
}

/* Exact; counters that pass 2^32, too. */
static void philox(void)
{
    static const uint32_t first[4] = { 0, 7, 0xFFFFFFF9u, 0xFFFFFFFFu };
    const uint32_t key[2] = { 0xA4093822u, 0x299F31D0u };
    for (int i = 0; i < 4; i++) {
        const uint32_t counter[4] = { first[i], 0x85A308D3u, 0x13198A2Eu, 0x03707344u };
        uint32_t word[64], one[4];
        k->philox(counter, key, word);
        for (uint32_t block = 0; block < 16; block++) {
            memcpy(one, counter, sizeof one);
            one[0] += block;
            cvni_philox(one, key[0], key[1]);
            CHECKF(memcmp(one, word + 4 * block, sizeof one) == 0, "counter %u + %u", first[i],
                   block);
        }
    }
}

/* ---- exponentials: units in the last place, over all sizes of numbers ---- */

static double units(float got, double value)
{
    int exponent;
    if (value > (double)FLT_MAX) return isinf(got) ? 0 : 1e9;
    frexp(value, &exponent);
    return fabs((double)got - value) / ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
}

static void exponentials(void)
{
    double worst[3] = { 0, 0, 0 };
    uint32_t bits = 0;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 4096; i++) {
            bits += 26199u;
            if (round % 2) x[i] = (float)(i - 2048) * (0.055f * (float)(round + 1) / 40);
            else memcpy(&x[i], &bits, sizeof(float));
            if (x[i] != x[i]) x[i] = 0;
        }
        bits += 0x06000000u;
        k->exp(4096, 0, x, y);
        k->sigmoid(4096, x, a);
        k->tanh(4096, x, b);
        for (int i = 0; i < 4096; i++) {
            const double v = (double)x[i];
            const double sigmoid = v < -88.7 ? (double)a[i] : 1 / (1 + exp(-v));
            worst[0] = fmax(worst[0], units(y[i], exp(v)));
            worst[1] = fmax(worst[1], units(a[i], sigmoid));
            worst[2] = fmax(worst[2], units(b[i], tanh(v)));
            if (v < -88.7) CHECK(a[i] >= 0 && a[i] < 1.2e-38f);
        }
    }
    CHECKF(worst[0] <= 2 && worst[1] <= 3 && worst[2] <= 3, "off by %g, %g, %g units", worst[0],
           worst[1], worst[2]);
}

static void exponential_rows(void)
{
    for (int l = 0; length_of(l) >= 0; l++) {
        const int n = length_of(l);
        fill(l);
        plain->exp(n, 0.5f, x, want);
        k->exp(n, 0.5f, x, y);
        same("exp", n, 5e-7);
        plain->sigmoid(n, x, want);
        k->sigmoid(n, x, y);
        same("sigmoid", n, 5e-7);
        plain->tanh(n, x, want);
        k->tanh(n, x, y);
        same("tanh", n, 5e-7);
        memcpy(y, want, sizeof y);
        plain->exp(n, 0, want, want);
        k->exp(n, 0, y, y);
        same("exp in place", n, 5e-7);
    }
}

/* ---- the largest of two by two: exactly, NaN and equal values too ---- */

static void maxima(void)
{
    static int got[ROOM], expected[ROOM];
    for (int cols = 1; cols <= 2 * WIDEST + 1; cols++)
        for (int rows = 1; rows <= 4; rows++) {
            const int W = 2 * cols + rows % 3;
            const int n = rows * cols;
            fill(cols + rows);
            for (int i = 0; i < 2 * rows * W; i++) {
                x[i] = (float)(int)x[i];
                if ((i * 7 + cols) % 23 == 0) x[i] = NAN;
            }
            memset(got, 255, sizeof got);
            memset(expected, 255, sizeof expected);
            k->maxpool2(rows, cols, x, W, y, got);
            plain->maxpool2(rows, cols, x, W, want, expected);
            CHECKF(memcmp(y, want, sizeof y) == 0, "maxima of %d x %d differ", rows, cols);
            CHECKF(memcmp(got, expected, sizeof got) == 0, "places of %d x %d differ", rows, cols);
            fill(0);
            k->maxpool2(rows, cols, x, W, y, NULL);
            plain->maxpool2(rows, cols, x, W, want, NULL);
            same("maxima alone", n, 0);
        }
}

/* Their gradient exactly, means of two by two and theirs within rounding. */
static void pools_of_two(void)
{
    static const float slopes[2][3] = { { 1, 0, -1 }, { 0, 1, -1 } };
    static int winner[ROOM];
    for (int cols = 1; cols <= 2 * WIDEST + 1; cols++)
        for (int how = 0; how < 12; how++) {
            const int rows = 1 + how % 3;
            const int W = 2 * cols + how % 2;
            const int n = rows * cols;
            const int means = how / 6;
            const int gate = how % 4 < 2;
            fill(cols + how);
            plain->maxpool2(rows, cols, x, 2 * cols, y, winner);
            fill(cols + how);
            if (means) {
                k->avgpool2(rows, cols, x, W, y);
                plain->avgpool2(rows, cols, x, W, want);
                same("means", n, 1e-6);
                k->avgpool2_grad(rows, cols, gate ? x : NULL, slopes[how % 2], x, y);
                plain->avgpool2_grad(rows, cols, gate ? x : NULL, slopes[how % 2], x, want);
            } else {
                k->maxpool2_grad(rows, cols, winner, gate ? x + 9 : NULL, 0.3f, x, y);
                plain->maxpool2_grad(rows, cols, winner, gate ? x + 9 : NULL, 0.3f, x, want);
            }
            same(means ? "gradient of means" : "gradient of maxima", 4 * n, means ? 2e-6 : 0);
            if (!means || !gate) continue;
            k->avgpool2_grad(rows, cols, NULL, NULL, x, want);
            k->slope(4 * n, slopes[how % 2], x, want, want, 0);
            same("gradient of means, then the slope", 4 * n, 0);
            plain->slope(4 * n, slopes[how % 2], x, want, want, 1);
            k->slope(4 * n, slopes[how % 2], x, y, y, 1);
            same("slope, added", 4 * n, 2e-6);
        }
}

/* Windows of any kind, NaN among their elements. */
static void windows(void)
{
    for (int n = 0; n <= 2 * WIDEST + 1; n++)
        for (int how = 0; how < 72; how++) {
            cvni_windows s;
            s.n = n;
            s.lines = 1 + how % 5;
            s.rows = 1 + how % 3;
            s.cols = 1 + how / 3 % 3;
            s.stride = 1 + how % 4;
            s.dilation = 1 + how / 36;
            s.step = n * s.stride + 7;
            s.x_line = s.stride * s.step;
            s.y_line = n + how % 2;
            fill(n + how);
            for (int i = n % 11; i < ROOM && how % 2 && n % 3; i += 11)
                x[i] = NAN;
            s.x = x + how % 5;
            s.y = want;
            plain->maxpool(&s);
            s.y = y;
            k->maxpool(&s);
            CHECKF(memcmp(y, want, sizeof y) == 0, "%d x %d windows of %d x %d differ", s.lines, n,
                   s.rows, s.cols);
        }
}

/* ---- stencils: y to 1e-5, and no float beside its rows; sums of the lanes to 1e-5 of the sizes
 * of their terms ---- */

enum { PITCH = 3 * WIDEST };

/* side 0: taps at random places of a frame, `fold` rows of it in a vector. */
static cvni_stencil stencil_of(int side, int step, int rows, int cols, int fold,
                               uint32_t *state)
{
    static int at[9];
    cvni_stencil s;
    memset(&s, 0, sizeof s);
    s.side = side;
    s.step = step;
    s.rows = rows;
    s.cols = cols;
    s.taps = side ? side * side : 1 + (int)(*state >> 16) % 9;
    s.fold = fold;
    s.H = cvni_max(1, step * rows + (int)(*state >> 8) % 5 - 2);
    s.W = cvni_max(1, step * cols + (int)(*state >> 12) % 5 - 2);
    s.top = (int)(*state >> 20) % (side + 1) - (side == 3);
    s.left = (int)(*state >> 24) % (side + 1) - (side == 3);
    s.pitch = fold > 1 ? k->unit / fold : PITCH;
    s.ldy = fold > 1 ? cols : cols + 3;
    for (int t = 0; t < 9; t++) at[t] = (int)(fabsf(draw(state)) * 20);
    s.x = a + 128;
    s.w = b;
    s.at = at;
    s.bias = 0.5f;
    s.add = (int)(*state >> 30 & 1);
    s.act = (int)(*state >> 31);
    s.slope = 0.25f;
    s.ceiling = 1.5f;
    return s;
}

static void check_stencil(cvni_stencil s)
{
    float lanes[25 * WIDEST], plain_lanes[25 * WIDEST];
    const int unit = k->unit;
    cvni_stencil p = s;
    memcpy(y, want, sizeof y);
    s.y = y;
    p.y = want;
    p.fold = 1;
    k->stencil(&s);
    plain->stencil(&p);
    same("stencil", (s.rows - 1) * (int)s.ldy + s.cols, 1e-5);
    memset(lanes, 0, sizeof lanes);
    memset(plain_lanes, 0, sizeof plain_lanes);
    s.y = p.y = x;
    k->stencil_sums(&s, lanes);
    plain->stencil_sums(&p, plain_lanes);
    for (int t = 0; t < s.taps; t++) {
        double got = 0, expected = 0;
        for (int i = 0; i < unit; i++) got += (double)lanes[t * unit + i];
        for (int i = 0; i < plain->unit; i++) expected += (double)plain_lanes[t * plain->unit + i];
        CHECKF(fabs(got - expected) <= 4e-5 * s.rows * s.cols,
               "tap %d of %d (side %d) of %d x %d sums to %g, not %g", t, s.taps, s.side, s.rows,
               s.cols, got, expected);
    }
}

static void stencils(void)
{
    uint32_t state = 5;
    for (int cols = 1; cols <= 2 * WIDEST + 1; cols++)
        for (int rows = 1; rows <= 9; rows++)
            for (int side = 0; side <= k->side; side += side ? 2 : 3) {
                fill(cols + rows);
                draw(&state);
                check_stencil(stencil_of(side, 1, rows, cols, 1, &state));
                if (side && side <= k->side2)
                    check_stencil(stencil_of(side, 2, rows, cols, 1, &state));
                for (int fold = 2; !side && fold * cols <= k->unit; fold *= 2)
                    check_stencil(stencil_of(0, 1, rows, cols, fold, &state));
            }
}

/* ---- NaN, infinities, zeros: at each place of a vector ---- */

static void special(void)
{
    const float list[6] = { NAN, INFINITY, -INFINITY, 0, 1e30f, -1e30f };
    const float exps[6] = { NAN, INFINITY, 0, 1, INFINITY, 0 };
    const float sigmoids[6] = { NAN, 1, 0, 0.5f, 1, 0 };
    const float tanhs[6] = { NAN, 1, -1, 0, 1, -1 };
    const float as_relu[4] = { 1, 0, 0, INFINITY };
    const float relus[6] = { NAN, INFINITY, 0, 0, 1e30f, 0 };
    for (int n = 1; n <= 2 * WIDEST + 1; n++)
        for (int c = 0; c < 6; c++) {
            float got[4];
            for (int i = 0; i < n; i++) x[i] = list[c];
            k->exp(n, 0, x, y);
            got[0] = y[n - 1];
            k->sigmoid(n, x, y);
            got[1] = y[n - 1];
            k->tanh(n, x, y);
            got[2] = y[n - 1];
            k->relu(n, 0, x, y);
            got[3] = y[n - 1];
            k->norm_act(n, as_relu, x, NULL, y);
            CHECK(c ? y[n - 1] >= got[3] && y[n - 1] <= got[3] : y[n - 1] != y[n - 1]);
            if (!c) {
                for (int t = 0; t < 4; t++) CHECKF(got[t] != got[t], "%d loses a NaN", t);
                continue;
            }
            CHECKF(got[0] >= exps[c] && got[0] <= exps[c], "exp(%g) = %g", (double)list[c],
                   (double)got[0]);
            CHECKF(got[1] >= sigmoids[c] && got[1] <= sigmoids[c], "sigmoid(%g) = %g",
                   (double)list[c], (double)got[1]);
            CHECKF(got[2] >= tanhs[c] && got[2] <= tanhs[c], "tanh(%g) = %g", (double)list[c],
                   (double)got[2]);
            CHECKF(got[3] >= relus[c] && got[3] <= relus[c], "relu(%g) = %g", (double)list[c],
                   (double)got[3]);
        }
}

/* ---- the transforms of Winograd's filtering: lines of 16 lanes, by the matrices ---- */

static const struct {
    int rows, cols;
    double m[6][6];
} winograd_of[5] = {
    { 6, 6, { { 4, 0, -5, 0, 1, 0 }, { 0, -4, -4, 1, 1, 0 }, { 0, 4, -4, -1, 1, 0 },
              { 0, -2, -1, 2, 1, 0 }, { 0, 2, -1, -2, 1, 0 }, { 0, 4, 0, -5, 0, 1 } } },
    { 4, 6, { { 1, 1, 1, 1, 1, 0 }, { 0, 1, -1, 2, -2, 0 }, { 0, 1, 1, 4, 4, 0 },
              { 0, 1, -1, 8, -8, 1 } } },
    { 6, 4, { { 1, 0, 0, 0 }, { 1, 1, 1, 1 }, { 1, -1, 1, -1 }, { 1, 2, 4, 8 }, { 1, -2, 4, -8 },
              { 0, 0, 0, 1 } } },
    { 6, 3, { { 1.0 / 4, 0, 0 }, { -1.0 / 6, -1.0 / 6, -1.0 / 6 }, { -1.0 / 6, 1.0 / 6, -1.0 / 6 },
              { 1.0 / 24, 1.0 / 12, 1.0 / 6 }, { 1.0 / 24, -1.0 / 12, 1.0 / 6 }, { 0, 0, 1 } } },
    { 3, 6, { { 1.0 / 4, -1.0 / 6, -1.0 / 6, 1.0 / 24, 1.0 / 24, 0 },
              { 0, -1.0 / 6, 1.0 / 6, 1.0 / 12, -1.0 / 12, 0 },
              { 0, -1.0 / 6, -1.0 / 6, 1.0 / 6, 1.0 / 6, 1 } } }
};

static void winograd(void)
{
    for (int i = 0; i < 5; i++)
        for (int count = 0; count <= 2 * WIDEST + 1; count++) {
            const int in = CVNI_LINE + count % 3;       /* floats from line to line */
            const int out = CVNI_LINE + count % 5;
            cvni_lines s;
            fill(count);
            s.count = count;
            s.x = a;
            s.step = in;
            s.next = 7 * in;
            s.y = y;
            s.to = out;
            s.y_next = 6 * out;
            for (int t = 0; t < count; t++)
                for (int r = 0; r < winograd_of[i].rows; r++)
                    for (int l = 0; l < CVNI_LINE; l++) {
                        double sum = 0;
                        for (int c = 0; c < winograd_of[i].cols; c++)
                            sum += winograd_of[i].m[r][c] * (double)a[t * 7 * in + c * in + l];
                        want[t * 6 * out + r * out + l] = (float)sum;
                    }
            k->wino[i](&s);
            same("winograd", count * 6 * out, 2e-6);
        }
}

int main(void)
{
    static const char *const isa[] = { "c", "avx2", "avx512", "neon", "wasm" };
    plain = cvni_find_kernels("c");
    for (int i = 0; i < 5; i++) {
        k = cvni_find_kernels(isa[i]);
        if (!k) continue;
        printf("  %s\n", isa[i]);
        RUN(sums);
        RUN(long_sums);
        RUN(dot_products);
        RUN(norm_sums);
        RUN(rows);
        RUN(finishes);
        RUN(gradients);
        RUN(philox);
        RUN(exponentials);
        RUN(exponential_rows);
        RUN(special);
        RUN(winograd);
        RUN(stencils);
        RUN(maxima);
        RUN(pools_of_two);
        RUN(windows);
    }
    return test_done();
}
