/* test_gemm.c - the matrix product from inside: every table's tile and packing kernels on all edge
 * sizes, whole products in all four forms against the double reference, the same bits for any
 * number of threads and any division into blocks. TEST_QUICK: fewer cases. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

#ifdef TEST_QUICK
    #define SIZES 8
#else
    #define SIZES 16
#endif
#define TABLES 5
#define GUARD 12345.0f

static const char *const tables[] = { "c", "avx2", "avx512", "neon", "wasm" };
static uint32_t random_state = 1;

static float random_value(void)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / 8388608.0f - 1.0f;
}

static float *some_floats(int n)
{
    float *p = (float *)malloc((size_t)(n > 0 ? n : 1) * sizeof(float));
    for (int i = 0; p && i < n; i++) p[i] = random_value();
    if (!p) exit(1);
    return p;
}

/* The error of a sum of k products in any order, values in [-1, 1], and of adding it to one:
 * (k + 1) roundings of sums of at most k + 1. */
static double bound_of(int k) { return (k + 1.0) * (k + 1.0) * 6e-8; }

/* ---- one tile ---- */

/* a [mr][k], lines a_line apart, or packed [k][mr]; b [k][b_k], NaN behind the last vector. */
static void check_tile(const cvni_kernels *kern, int rows, int cols, int k, int add, int packed)
{
    const int mr = rows > kern->mr ? kern->tall : kern->mr;
    const int a_line = packed ? 1 : k + 3;
    const int a_k = packed ? mr : 1;
    const int read = cvni_round_up(cols, kern->reads);
    const int b_k = read + 5;
    const int ldc = kern->nr + 3;
    float *a = some_floats(mr * (k + 3));
    float *b = some_floats(k * b_k + 1);
    float *c = some_floats((mr + 1) * ldc);
    float *before = some_floats((mr + 1) * ldc);
    int wrong = 0;
    cvni_tile t;
    memcpy(before, c, (size_t)((mr + 1) * ldc) * sizeof(float));
    for (int q = 0; q < k; q++)
        for (int j = read; j < b_k; j++) b[q * b_k + j] = NAN;
    memset(&t, 0, sizeof t);
    t.k = k;
    t.add = add;
    t.rows = rows;
    t.cols = cols;
    t.a = a;
    t.a_line = a_line;
    t.a_k = a_k;
    t.b = b;
    t.b_k = b_k;
    t.c = c;
    t.ldc = ldc;
    kern->gemm_tile(&t);
    for (int i = 0; i <= mr; i++) {
        for (int j = 0; j < ldc; j++) {
            double sum = add ? before[i * ldc + j] : 0;
            for (int q = 0; q < k && i < rows && j < cols; q++)
                sum += (double)a[i * a_line + q * a_k] * b[q * b_k + j];
            if (i >= rows || j >= cols) wrong += c[i * ldc + j] != before[i * ldc + j];
            else wrong += !(fabs(c[i * ldc + j] - sum) <= bound_of(k));
        }
    }
    CHECKF(!wrong, "%d values of %d x %d, k %d, add %d, packed %d", wrong, rows, cols, k, add,
           packed);
    free(a);
    free(b);
    free(c);
    free(before);
}

static void tiles(void)
{
    static const int depth[] = { 0, 1, 2, 7, 33 };
    for (int i = 0; i < TABLES; i++) {
        const cvni_kernels *kern = cvni_find_kernels(tables[i]);
        if (!kern) continue;
        test_case("%s", tables[i]);
        for (int rows = 1; rows <= kern->mr; rows++)
            for (int cols = 1; cols <= kern->nr; cols++)
                for (int d = 0; d < 5; d++)
                    check_tile(kern, rows, cols, depth[d], (rows + cols + d) & 1,
                               (rows + cols / 2) & 1);
        for (int rows = kern->mr + 1; rows <= kern->tall; rows++)
            for (int d = 0; d < 5; d++)
                for (int how = 0; how < 4; how++)
                    check_tile(kern, rows, kern->unit, depth[d], how & 1, how / 2);
    }
}

/* ---- dots ---- */

/* NaN behind the lines; nothing is written behind the tile. */
static void check_dots(const cvni_kernels *kern, int rows, int cols, int n)
{
    const int step = n + 3;
    float *a = some_floats(rows * step);
    float *b = some_floats(cols * step);
    float out[CVNI_DOTS_ROWS * CVNI_DOTS_COLS + 1];
    int wrong = 0;
    for (int q = n; q < step; q++) {
        for (int r = 0; r < rows; r++) a[r * step + q] = NAN;
        for (int c = 0; c < cols; c++) b[c * step + q] = NAN;
    }
    out[cols * CVNI_DOTS_ROWS] = GUARD;
    kern->line_dots(rows, cols, n, a, step, b, step, out);
    for (int c = 0; c < cols; c++) {
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int q = 0; q < n; q++) sum += (double)a[r * step + q] * b[c * step + q];
            wrong += !(fabs(out[c * CVNI_DOTS_ROWS + r] - sum) <= bound_of(n));
        }
    }
    CHECKF(!wrong && out[cols * CVNI_DOTS_ROWS] >= GUARD, "%d of %d x %d, n %d", wrong, rows, cols,
           n);
    free(a);
    free(b);
}

static void dots(void)
{
    for (int i = 0; i < 3; i++) {
        const cvni_kernels *kern = cvni_find_kernels(tables[i]);
        if (!kern) continue;
        test_case("%s", tables[i]);
        for (int rows = 1; rows <= CVNI_DOTS_ROWS; rows++)
            for (int cols = 1; cols <= kern->dots_cols; cols++)
                for (int n = 0; n <= 33; n++) check_dots(kern, rows, cols, n);
    }
}

/* ---- packing kernels ---- */

/* Rows of `step` floats that end with the last one read, so that a tool sees a read beyond. */
static void check_pack(const cvni_kernels *kern, int turn, int lines, int k, int width, int up)
{
    const int step = (turn ? k : lines) + 2;
    const int count = turn ? lines : k;
    const int size = count && lines && k ? (count - 1) * step + (turn ? k : lines) : 0;
    float *p = some_floats(size);
    float *out = some_floats(k * width);
    int wrong = 0;
    for (int i = 0; i < k * width; i++) out[i] = GUARD;
    if (turn)
        kern->pack_rows(lines, k, p, step, up ? width : -width,
                        out + (up || !k ? 0 : (k - 1) * width));
    else kern->pack_columns(lines, k, p, step, width, out);
    for (int q = 0; q < k; q++) {
        const float *row = out + (turn && !up ? k - 1 - q : q) * width;
        for (int i = 0; i < width; i++)
            wrong += row[i] != (i >= lines ? GUARD : turn ? p[i * step + q] : p[q * step + i]);
    }
    CHECKF(!wrong, "%d values, turn %d, %d lines of %d, k %d, up %d", wrong, turn, lines, width, k,
           up);
    free(p);
    free(out);
}

static void packing(void)
{
    for (int i = 0; i < TABLES; i++) {
        const cvni_kernels *kern = cvni_find_kernels(tables[i]);
        if (!kern) continue;
        test_case("%s", tables[i]);
        for (int side = 0; side < 2; side++) {
            const int width = side ? kern->nr : kern->mr;
            for (int lines = 0; lines <= width; lines++)
                for (int k = 0; k <= 17; k++)
                    for (int how = 0; how < 3; how++)
                        check_pack(kern, how > 0, lines, k, width, how != 2);
        }
    }
}

/* ---- whole products ---- */

typedef struct product {
    int m, n, k, form;          /* form: 1 b lies as [n, k], 2 a as [k, m], 4 every second value */
    float *a, *b, *row_bias, *col_bias;
    int add, activate;
} product;

static cvni_gemm gemm_of(const product *p, float *c)
{
    const int two = p->form & 4 ? 2 : 1;
    cvni_gemm g;
    memset(&g, 0, sizeof g);
    g.m = p->m;
    g.n = p->n;
    g.k = p->k;
    g.a = p->form & 2 ? cvni_matrix(p->a, two, (ptrdiff_t)p->m * two)
                      : cvni_matrix(p->a, (ptrdiff_t)p->k * two, two);
    g.b = p->form & 1 ? cvni_matrix(p->b, (ptrdiff_t)p->k * two, two)
                      : cvni_matrix(p->b, two, (ptrdiff_t)p->n * two);
    g.c = c;
    g.ldc = p->n + 1;
    g.add = p->add;
    g.row_bias = p->row_bias;
    g.col_bias = p->col_bias;
    g.activate = p->activate;
    g.slope = 0.25f;
    return g;
}

/* The product on so many threads; the net's scratch is replaced by one of the right size. */
static void run_product(const char *isa, int threads, const product *p, float *c)
{
    const cvni_gemm g = gemm_of(p, c);
    cvn_desc d;
    cvn_net *net;
    unsigned char *own;
    memset(&d, 0, sizeof d);
    d.isa = isa;
    d.threads = threads;
    net = cvn_create(&d);
    if (!CHECK(net != NULL)) return;
    own = net->scratch;
    net->scratch_bytes = cvni_gemm_scratch(net->k, p->m, p->n, p->k);
    net->scratch = (unsigned char *)malloc(net->scratch_bytes * (size_t)threads + 1);
    if (CHECK(net->scratch != NULL)) cvni_gemm_run(net, &g);
    free(net->scratch);
    net->scratch = own;
    cvn_destroy(net);
}

static double expected(const product *p, const float *before, int i, int j)
{
    const cvni_gemm g = gemm_of(p, NULL);
    double sum = p->add ? before[i * g.ldc + j] : 0;
    for (int k = 0; k < p->k; k++)
        sum += (double)p->a[i * g.a.line_step + k * g.a.k_step] *
               p->b[j * g.b.line_step + k * g.b.k_step];
    if (p->row_bias) sum += p->row_bias[i];
    if (p->col_bias) sum += p->col_bias[j];
    return p->activate && sum < 0 ? 0.25 * sum : sum;
}

static void check_product(const char *isa, const product *p)
{
    const int size = p->m * (p->n + 1);
    const size_t bytes = (size_t)size * sizeof(float);
    float *before = some_floats(size);
    float *c = some_floats(size);
    float *again = some_floats(size);
    int wrong = 0;
    memcpy(c, before, bytes);
    run_product(isa, 1, p, c);
    for (int i = 0; i < p->m; i++) {
        for (int j = 0; j < p->n; j++)
            wrong += !(fabs(c[i * (p->n + 1) + j] - expected(p, before, i, j)) <=
                       bound_of(p->k) + 1e-6);
        wrong += c[i * (p->n + 1) + p->n] != before[i * (p->n + 1) + p->n];
    }
    CHECKF(!wrong, "%d values are wrong", wrong);
    for (int threads = 2; threads <= 5; threads += 3) {
        memcpy(again, before, bytes);
        run_product(isa, threads, p, again);
        CHECKF(!memcmp(c, again, bytes), "other bits on %d threads", threads);
    }
    free(before);
    free(c);
    free(again);
}

static void products(void)
{
    static const int sizes[][3] = { { 1, 1, 1 },     { 3, 5, 7 },      { 1, 70, 1500 },
                                    { 70, 9, 1900 }, { 31, 33, 250 },  { 17, 49, 31 },
                                    { 64, 64, 64 },  { 5, 300, 257 },  { 130, 7, 520 },
                                    { 97, 145, 300 }, { 600, 50, 20 }, { 40, 1030, 33 },
                                    { 9, 48, 1 },    { 25, 64, 513 },  { 512, 16, 40 },
                                    { 150, 1100, 9 } };
    for (int i = 0; i < TABLES; i++) {
        if (!cvni_find_kernels(tables[i])) continue;
        for (int s = 0; s < SIZES; s++) {
            for (int form = 0; form < 8; form++) {
                product p;
                memset(&p, 0, sizeof p);
                p.m = sizes[s][0];
                p.n = sizes[s][1];
                p.k = sizes[s][2];
                p.form = form;
                p.add = form & 1;
                p.activate = form == 2 || form == 5;
                test_case("%s, %d x %d x %d, form %d", tables[i], p.m, p.n, p.k, form);
                p.a = some_floats(2 * p.m * p.k);
                p.b = some_floats(2 * p.n * p.k);
                p.row_bias = form == 3 || form == 5 ? some_floats(p.m) : NULL;
                p.col_bias = form == 2 || form == 6 ? some_floats(p.n) : NULL;
                check_product(tables[i], &p);
                free(p.a);
                free(p.b);
                free(p.row_bias);
                free(p.col_bias);
            }
        }
    }
}

/* An element does not depend on what else is computed with it: the block it lies in, its place in a
 * tile, packed or not. */
static void parts(void)
{
    product p;
    float *whole, *part;
    memset(&p, 0, sizeof p);
    p.m = 100;
    p.n = 150;
    p.k = 300;
    p.a = some_floats(p.m * p.k);
    p.b = some_floats(p.n * p.k);
    whole = some_floats(p.m * (p.n + 1));
    part = some_floats(p.m * (p.n + 1));
    for (int i = 0; i < TABLES; i++) {
        const cvni_kernels *kern = cvni_find_kernels(tables[i]);
        void *scratch;
        cvni_gemm g = gemm_of(&p, part);
        if (!kern) continue;
        test_case("%s", tables[i]);
        run_product(tables[i], 1, &p, whole);
        scratch = malloc(cvni_gemm_scratch(kern, p.m, p.n, p.k));
        for (int m = 0; m < p.m; m += 13)
            for (int n = 0; n < p.n && scratch; n += 37)
                cvni_gemm_block(kern, &g, m, cvni_min(13, p.m - m), n, cvni_min(37, p.n - n),
                                scratch);
        for (int r = 0; r < p.m; r++)
            CHECK(!memcmp(whole + r * (p.n + 1), part + r * (p.n + 1),
                          (size_t)p.n * sizeof(float)));
        free(scratch);
    }
    free(p.a);
    free(p.b);
    free(whole);
    free(part);
}

int main(void)
{
    RUN(tiles);
    RUN(dots);
    RUN(packing);
    RUN(products);
    RUN(parts);
    return test_done();
}
