/* digits.h - draws handwritten-looking digits in the manner of MNIST: a demo without a download.
 *     digits_fill(seed, count, images, labels);  a whole set: [count, 28, 28] bytes, [count] labels
 * A digit starts as one of several skeletons, the ways in which people write it. Its points are
 * jittered, bent by a smooth random field, slanted, turned and stretched; a pen of varying width
 * and pressure follows them. As in MNIST the ink is white on black, fits a box of 20x20 pixels and
 * has its centre of mass in the middle of 28x28. Only + - * / and sqrt on doubles are used, on
 * numbers from an integer generator: the same digits on every machine.
 */
#ifndef DIGITS_H
#define DIGITS_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_SIZE 28
#define DIGITS_MEAN 0.144f          /* of all pixels / 255 */
#define DIGITS_STD 0.320f
#define DIGITS_MAX_POINTS 40        /* of one skeleton */
#define DIGITS_MAX_SEGMENTS 320     /* 8 a span */

/* Skeletons on a square of 100, y down: "~" starts a smooth curve through its points, "-" a broken
 * line. A digit's spellings are equally likely; a common one stands here more than once, slightly
 * changed. */
static const char *const digits_skeletons[10][13] = {
    { "~ 55 2 28 10 12 50 25 90 50 99 76 88 88 50 74 10 52 1",
      "~ 70 12 45 2 18 25 12 65 35 97 68 88 88 50 80 15 55 4 40 12",
      "~ 62 4 42 20 32 60 40 95 60 90 72 50 70 12 58 5",
      "~ 40 6 15 35 15 75 40 98 75 85 90 45 75 12 45 4 34 14",
      "~ 78 18 60 2 30 12 10 50 22 90 55 98 84 75 90 40 76 12 58 8",
      "~ 24 14 10 50 18 86 50 99 82 86 92 50 78 12 62 6",
      "~ 30 20 14 55 28 92 58 97 86 70 86 30 64 3 36 8 26 24" },
    { "- 50 0 50 100", "- 54 0 46 100", "~ 56 0 51 40 46 100", "~ 46 0 50 50 52 100",
      "- 62 0 38 100", "- 30 26 54 0 52 100", "~ 32 22 46 12 56 0 - 56 0 50 100",
      "- 28 24 52 0 52 100 - 24 100 80 100", "- 34 18 54 2 50 98 - 22 98 80 96" },
    { "~ 14 22 35 3 65 4 76 24 62 52 34 78 10 97 - 10 97 92 95",
      "~ 16 20 42 2 74 10 74 36 48 70 20 92 8 90 16 78 40 84 66 96 94 92",
      "~ 18 16 48 2 76 16 70 46 44 78 16 98 - 16 98 90 98",
      "~ 12 26 28 6 58 2 76 20 68 48 42 76 16 90 10 98 22 100 26 88 16 80 - 16 82 50 94 ~ 50 94 72 "
      "98 96 88",
      "~ 22 12 50 0 70 12 66 42 40 76 8 98 ~ 8 98 40 90 66 94 98 98",
      "~ 8 18 34 4 66 8 78 30 64 60 34 86 14 92 12 80 28 76 54 90 98 98",
      "~ 20 30 30 8 58 2 78 18 74 44 50 72 14 96 ~ 14 96 40 94 88 88",
      "~ 24 20 44 2 72 10 76 42 60 78 34 98 10 94 8 76 30 70 56 82 92 98",
      "~ 18 10 50 2 82 20 78 56 50 90 22 98 8 84 24 68 52 78 76 94 96 92",
      "~ 10 8 60 2 ~ 60 2 66 20 40 60 10 92 ~ 10 92 50 96 94 88" },
    { "~ 18 14 42 2 70 8 74 28 58 44 38 48 - 38 48 ~ 38 48 66 50 82 68 72 92 42 100 12 90",
      "~ 22 8 52 2 76 14 70 34 46 46 ~ 46 46 76 54 84 76 64 96 34 100 12 88",
      "- 18 6 78 4 44 42 ~ 44 42 72 46 84 68 70 92 42 100 12 92",
      "~ 20 20 36 4 66 4 76 22 62 40 40 46 36 50 44 50 66 50 80 66 74 90 46 99 14 86",
      "~ 16 10 46 0 72 10 68 30 46 44 34 48 50 46 72 58 74 82 52 98 26 98 10 86",
      "~ 24 6 56 0 70 18 56 38 36 46 ~ 36 46 64 48 72 70 58 90 34 100 16 96",
      "~ 14 10 60 2 84 10 70 30 48 42 ~ 48 42 76 46 78 66 50 88 6 100",
      "~ 14 16 40 2 72 6 80 24 64 40 42 45 38 41 46 40 70 48 86 66 78 90 48 100 18 94" },
    { "- 22 2 14 54 82 52 - 74 0 72 100", "~ 24 4 16 34 22 54 50 56 82 48 - 78 6 70 100",
      "- 66 0 10 66 92 66 - 66 0 66 100", "~ 18 8 12 44 30 56 60 52 76 40 - 80 4 76 48 70 100",
      "- 30 0 10 50 ~ 10 50 40 54 88 48 - 70 20 62 100",
      "~ 20 0 14 40 30 54 72 50 ~ 82 2 74 46 68 70 66 100", "- 62 2 16 52 86 56 - 64 4 58 98",
      "~ 26 6 20 36 36 50 74 40 - 76 2 74 42 78 100", "- 70 2 12 58 88 56 - 70 2 64 100" },
    { "- 82 2 32 4 26 42 ~ 26 42 54 36 80 52 80 78 58 98 18 94",
      "- 30 4 24 44 ~ 24 44 52 38 78 54 76 82 52 100 14 92 - 30 6 84 2",
      "~ 34 8 24 30 28 46 52 46 74 60 70 86 44 100 12 92 - 34 10 88 2",
      "~ 84 4 58 4 38 8 30 24 26 44 44 46 64 58 66 80 46 98 16 94",
      "~ 92 0 66 8 40 8 ~ 40 8 30 28 34 42 56 50 68 70 54 92 26 100 6 92",
      "- 76 4 30 4 22 48 ~ 22 48 46 34 74 44 82 68 66 94 36 100 12 86",
      "~ 96 2 70 6 44 4 30 16 32 34 52 46 66 62 60 84 36 100 10 96",
      "~ 80 6 56 2 36 12 32 30 50 44 70 60 68 84 46 98 18 90 14 78",
      "~ 24 10 20 40 36 44 66 50 76 74 58 96 20 98 ~ 26 12 56 8 92 8" },
    { "~ 66 2 38 24 18 60 24 92 52 100 76 84 72 62 50 56 26 70",
      "~ 78 4 44 20 20 54 18 86 44 100 74 90 80 66 58 54 30 66 20 80",
      "~ 46 0 26 36 18 72 34 98 62 96 76 76 60 60 36 68 24 84",
      "~ 60 0 34 40 24 76 40 98 66 90 70 66 52 60 32 80",
      "~ 82 10 60 2 34 26 18 62 28 94 58 98 80 78 68 60 42 64 24 82",
      "~ 36 0 20 40 18 80 44 100 72 88 74 66 52 58 30 70 22 84",
      "~ 30 2 14 40 14 80 40 100 72 90 84 62 66 46 44 60 38 88",
      "~ 34 2 16 36 12 74 34 98 66 96 88 70 80 48 58 44 40 62 42 92",
      "~ 58 0 28 24 10 60 20 92 52 100 84 86 88 58 64 44 38 52 22 74",
      "~ 40 0 22 40 20 80 40 98 68 86 72 60 54 50 36 66 34 90",
      "~ 92 0 50 24 14 62 12 90 44 100 80 86 78 64 46 66 20 84",
      "~ 72 0 44 34 24 74 46 98 82 82 78 64 54 66 30 88" },
    { "- 12 6 82 4 42 100", "~ 10 12 40 6 84 4 ~ 84 4 62 42 44 100",
      "- 14 22 16 6 82 6 ~ 82 6 62 36 50 70 46 100", "~ 8 22 20 8 50 12 84 6 ~ 84 6 64 40 52 100",
      "- 14 8 84 4 46 100 - 34 52 82 50", "~ 12 14 44 10 78 2 82 14 60 50 40 100",
      "~ 10 8 50 4 78 8 78 30 68 60 64 100", "~ 12 10 42 6 82 4 ~ 82 4 60 46 42 100 - 26 56 84 48",
      "~ 12 16 40 4 74 12 72 40 50 100 - 20 56 86 52", "~ 8 34 16 12 44 6 72 10 76 36 62 100",
      "~ 14 30 18 12 48 10 82 4 ~ 82 4 66 34 56 66 54 100", "- 10 30 14 8 86 4 38 100" },
    { "~ 74 14 50 2 26 14 32 36 60 54 76 78 56 99 28 90 26 70 50 50 72 30 72 12",
      "~ 78 10 52 2 28 18 40 42 66 60 72 84 48 100 24 86 32 64 58 44 80 22 76 8",
      "~ 50 48 28 34 28 12 52 2 74 14 72 34 50 48 26 66 26 90 50 100 74 90 74 66 50 48",
      "~ 70 20 52 2 30 16 36 38 58 50 68 70 60 94 40 98 32 78 46 56 64 36 74 18 66 6",
      "~ 84 16 60 2 34 10 34 34 54 50 62 76 42 98 18 90 22 72 52 50 86 24",
      "~ 96 10 60 0 30 12 38 40 60 60 58 88 36 100 20 84 36 60 70 36 88 14",
      "~ 56 46 36 34 36 12 58 0 76 14 68 36 50 50 30 66 20 88 36 100 58 90 62 68 46 50",
      "~ 56 42 24 40 10 20 30 4 62 4 80 20 60 40 40 56 24 80 40 100 64 90 66 66 46 48",
      "~ 72 6 44 2 34 18 52 40 64 62 58 92 42 98 36 80 52 54 68 30 74 4",
      "~ 90 12 58 16 38 4 24 16 38 36 62 58 66 84 44 100 26 84 44 58 66 38 84 20",
      "~ 42 50 30 28 42 6 64 2 72 22 58 42 36 62 26 84 40 100 62 92 66 70 40 46" },
    { "~ 76 16 52 2 26 18 24 42 48 50 70 36 78 12 - 77 14 70 100",
      "~ 74 10 44 4 24 28 36 50 60 42 76 14 ~ 76 14 74 50 64 80 44 100",
      "~ 70 22 54 2 28 12 22 38 44 50 66 36 74 10 ~ 74 10 76 50 72 100",
      "~ 80 8 52 2 26 22 32 46 60 44 78 18 ~ 78 16 72 60 54 94 22 96",
      "~ 66 28 60 6 36 6 24 30 40 48 62 34 70 10 ~ 70 10 66 50 52 100",
      "~ 50 48 26 40 28 12 52 0 74 12 72 36 50 48 - 74 14 62 100",
      "~ 82 22 64 2 30 4 10 24 18 46 46 50 74 36 82 14 ~ 82 14 78 50 66 100",
      "~ 84 6 44 6 12 22 14 44 40 48 72 34 86 8 ~ 86 8 66 50 46 100",
      "~ 66 10 40 2 22 22 30 44 56 40 70 20 ~ 70 16 72 40 76 70 66 96 40 98 24 86",
      "~ 74 6 46 4 26 24 26 44 46 48 72 40 - 76 4 72 40 74 100",
      "~ 70 12 50 4 30 20 36 36 54 34 70 12 ~ 70 12 66 60 58 100",
      "~ 78 18 60 4 32 16 22 40 44 46 72 24 80 4 ~ 80 4 68 48 46 100" }
};

/* Random numbers: SplitMix64 (G. Steele et al., OOPSLA 2014), started anew for each digit. */
typedef struct digits_rng { uint64_t state; } digits_rng;

static uint64_t digits_next(digits_rng *r)
{
    uint64_t z = r->state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double digits_uniform(digits_rng *r, double low, double high)
{
    return low + (high - low) * ((double)(digits_next(r) >> 11) / 9007199254740992.0);
}

/* Nearly normal, mean 0, standard deviation 1, within +-3.5: the sum of four uniforms. */
static double digits_normal(digits_rng *r)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) sum += digits_uniform(r, -1, 1);
    return sum * 0.8660254037844386;
}

/* r: half the width of the line */
typedef struct digits_point { double x, y, r; } digits_point;
typedef struct digits_segment { digits_point a, b; } digits_segment;

/* How this one digit is written: shift of its middle, 4x4 displacements to interpolate between, a
 * linear map. */
typedef struct digits_hand {
    double dx[4][4], dy[4][4], wx, wy, xx, xy, yx, yy, jitter;
} digits_hand;

static digits_hand digits_new_hand(digits_rng *r, int digit)
{
    digits_hand h;
    const double bend = digits_uniform(r, 0, 0.08);
    const double slant = 0.12 + 0.24 * digits_normal(r);
    const double turn = 0.10 * digits_normal(r);
    const double wide = digits_uniform(r, 0.5, digit == 1 ? 1 : 1.3);
    const double c = 1 / sqrt(1 + turn * turn);
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) {
            h.dx[i][j] = bend * digits_normal(r);
            h.dy[i][j] = bend * digits_normal(r);
        }
    }
    h.wx = digits_uniform(r, -0.3, 0.3);
    h.wy = digits_uniform(r, -0.4, 0.4);
    h.xx = c * wide;
    h.xy = c * (-slant - turn);
    h.yx = c * turn * wide;
    h.yy = c * (1 - turn * slant);
    h.jitter = digits_uniform(r, 0.005, 0.035);
    return h;
}

/* A grid of displacements at u, v in [0, 1]; smoothstep between its points. */
static double digits_field(const double grid[4][4], double u, double v)
{
    const double x = 3 * (u < 0 ? 0 : u > 0.999 ? 0.999 : u);
    const double y = 3 * (v < 0 ? 0 : v > 0.999 ? 0.999 : v);
    const int i = (int)y;
    const int j = (int)x;
    const double s = (x - j) * (x - j) * (3 - 2 * (x - j));
    const double t = (y - i) * (y - i) * (3 - 2 * (y - i));
    const double above = (1 - s) * grid[i][j] + s * grid[i][j + 1];
    const double below = (1 - s) * grid[i + 1][j] + s * grid[i + 1][j + 1];
    return (1 - t) * above + t * below;
}

/* A point of the curve between b and c (t from 0 to 1), Catmull-Rom, in the three coordinates. */
static double digits_spline(double a, double b, double c, double d, double t)
{
    return b + 0.5 * t * ((c - a) + t * ((2 * a - 5 * b + 4 * c - d) + t * (3 * (b - c) + d - a)));
}

static digits_point digits_curve(const digits_point *p, int count, int span, double t, int smooth)
{
    const digits_point *b = p + span;
    const digits_point *c = b + 1;
    const digits_point *a = smooth && span > 0 ? b - 1 : b;
    const digits_point *d = smooth && span + 2 < count ? c + 1 : c;
    digits_point q;
    q.x = smooth ? digits_spline(a->x, b->x, c->x, d->x, t) : b->x + t * (c->x - b->x);
    q.y = smooth ? digits_spline(a->y, b->y, c->y, d->y, t) : b->y + t * (c->y - b->y);
    q.r = b->r + t * (c->r - b->r);
    return q;
}

/* What a hand makes of a point: proportions, bend, linear map. */
static digits_point digits_place(const digits_hand *h, digits_point p)
{
    const double x = p.x + h->wx * p.x * (1 - p.x) + digits_field(h->dx, p.x, p.y) - 0.5;
    const double y = p.y + h->wy * p.y * (1 - p.y) + digits_field(h->dy, p.x, p.y) - 0.5;
    p.x = h->xx * x + h->xy * y;
    p.y = h->yx * x + h->yy * y;
    return p;
}

/* One skeleton as straight pieces in the plane of the hand; returns their number. */
static int digits_trace(digits_rng *r, const digits_hand *h, const char *path, digits_segment *out)
{
    int n = 0;
    while (*path) {
        digits_point p[DIGITS_MAX_POINTS];
        const int smooth = *path++ == '~';
        int count = 0;
        while (*path && *path != '~' && *path != '-') {
            char *end;
            p[count].x = 0.01 * (double)strtol(path, &end, 10) + h->jitter * digits_normal(r);
            p[count].y = 0.01 * (double)strtol(end, &end, 10) + h->jitter * digits_normal(r);
            p[count++].r = 1 + 0.12 * digits_normal(r);
            for (path = end; *path == ' '; path++) { }
        }
        for (int span = 0; span + 1 < count; span++) {
            for (int k = 0; k < 8; k++, n++) {
                out[n].a = digits_place(h, digits_curve(p, count, span, k / 8.0, smooth));
                out[n].b = digits_place(h, digits_curve(p, count, span, (k + 1) / 8.0, smooth));
            }
        }
    }
    return n;
}

/* Scales the drawing to the box of 20 pixels, pen included, and moves its centre of mass to the
 * middle. */
static void digits_fit(digits_rng *r, digits_segment *s, int n, double radius)
{
    double x0 = 1e9, x1 = -1e9, y0 = 1e9, y1 = -1e9, mass = 0, mx = 0, my = 0, size, scale;
    for (int i = 0; i < n; i++) {
        const double w = s[i].b.x - s[i].a.x;
        const double h = s[i].b.y - s[i].a.y;
        const double m = sqrt(w * w + h * h) * s[i].a.r;
        x0 = fmin(x0, fmin(s[i].a.x, s[i].b.x));
        x1 = fmax(x1, fmax(s[i].a.x, s[i].b.x));
        y0 = fmin(y0, fmin(s[i].a.y, s[i].b.y));
        y1 = fmax(y1, fmax(s[i].a.y, s[i].b.y));
        mx += m * 0.5 * (s[i].a.x + s[i].b.x);
        my += m * 0.5 * (s[i].a.y + s[i].b.y);
        mass += m;
    }
    size = fmax(x1 - x0, y1 - y0);
    scale = (20.0 - 2 * radius) / size;
    mx = mx / mass - digits_uniform(r, -0.6, 0.6) / scale;
    my = my / mass - digits_uniform(r, -0.6, 0.6) / scale;
    for (int i = 0; i < n; i++) {
        digits_point *ends[2];
        ends[0] = &s[i].a;
        ends[1] = &s[i].b;
        for (int k = 0; k < 2; k++) {
            ends[k]->x = 14 + scale * (ends[k]->x - mx);
            ends[k]->y = 14 + scale * (ends[k]->y - my);
            ends[k]->r *= radius;
        }
    }
}

/* Ink of one straight piece: full inside the pen, falling to nothing over `soft` pixels at its
 * rim. */
static void digits_ink(const digits_segment *s, double soft, double ink[DIGITS_SIZE * DIGITS_SIZE])
{
    const double dx = s->b.x - s->a.x;
    const double dy = s->b.y - s->a.y;
    const double length2 = dx * dx + dy * dy;
    const double reach = fmax(s->a.r, s->b.r) + soft;
    const int left = (int)fmax(0, fmin(s->a.x, s->b.x) - reach);
    const int right = (int)fmin(DIGITS_SIZE - 1, fmax(s->a.x, s->b.x) + reach);
    const int top = (int)fmax(0, fmin(s->a.y, s->b.y) - reach);
    const int bottom = (int)fmin(DIGITS_SIZE - 1, fmax(s->a.y, s->b.y) + reach);
    for (int y = top; y <= bottom; y++) {
        for (int x = left; x <= right; x++) {
            const double px = x + 0.5 - s->a.x;
            const double py = y + 0.5 - s->a.y;
            const double along = length2 > 0 ? (px * dx + py * dy) / length2 : 0;
            const double t = along < 0 ? 0 : along > 1 ? 1 : along;
            const double ex = px - t * dx;
            const double ey = py - t * dy;
            const double d = s->a.r + t * (s->b.r - s->a.r) - sqrt(ex * ex + ey * ey);
            double *pixel = ink + y * DIGITS_SIZE + x;
            *pixel = fmax(*pixel, fmin(1, 0.5 + d / soft));
        }
    }
}

static void digits_draw(uint64_t seed, uint32_t index, int digit,
                        unsigned char pixels[DIGITS_SIZE * DIGITS_SIZE])
{
    digits_segment s[DIGITS_MAX_SEGMENTS];
    double ink[DIGITS_SIZE * DIGITS_SIZE] = { 0 };
    digits_rng r;
    digits_hand hand;
    double radius, soft, pressure;
    int spellings = 0, n;
    r.state = (seed << 32 | index) * 16 + (uint64_t)digit;
    digits_next(&r);
    r.state = digits_next(&r);                   /* neighbouring digits start far apart */
    while (spellings < 13 && digits_skeletons[digit][spellings]) spellings++;
    hand = digits_new_hand(&r, digit);
    n = digits_trace(&r, &hand, digits_skeletons[digit][digits_next(&r) % (uint64_t)spellings], s);
    radius = digits_uniform(&r, 0.7, digit == 1 ? 2.6 : 1.9);
    soft = digits_uniform(&r, 0.9, 1.7);
    pressure = digits_uniform(&r, 0.9, 1.4);
    digits_fit(&r, s, n, radius);
    for (int i = 0; i < n; i++) digits_ink(s + i, soft, ink);
    for (int i = 0; i < DIGITS_SIZE * DIGITS_SIZE; i++) {
        const double grain = ink[i] > 0 ? 0.04 * digits_normal(&r) : 0;
        pixels[i] = (unsigned char)(255 * fmax(0, fmin(1, pressure * ink[i] + grain)));
    }
}

/* Random digits: images [count, 28, 28], labels [count]. */
static void digits_fill(uint64_t seed, int count, unsigned char *images, int *labels)
{
    digits_rng r;
    int i;
    r.state = seed;
    for (i = 0; i < count; i++) labels[i] = (int)(digits_next(&r) % 10);
#ifdef _OPENMP
    #pragma omp parallel for schedule(dynamic, 64)
#endif
    for (i = 0; i < count; i++)
        digits_draw(seed, (uint32_t)i, labels[i], images + (size_t)i * DIGITS_SIZE * DIGITS_SIZE);
}

#endif
