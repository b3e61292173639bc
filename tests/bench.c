/* bench.c - how long matrix products, convolutions, training steps and predictions take.
 *
 *     make bench                                              the whole table
 *     build/bench [--threads N] [--seconds S] [--spread] [--isa NAME] [--cpu] NAME...
 *
 *   NAME   gemm:MxNxK             C = A B, row-major; any sizes
 *          conv:LAYER:BATCH:PASS  PASS fwd, bwd_d (gradient of the input), bwd_w (of weights and
 *                                 bias); a part of it takes all that have it: conv:r50_3x3
 *          train:NET              forward, softmax cross-entropy, backward, SGD with momentum
 *                                 (cvn_train_batch)
 *          infer:NET              cvn_predict of one image on an inference plan
 *          gemm:all, conv:all, train:all, infer:all, all, list
 *
 * Prints CSV; lines before and behind it begin with #:
 *     name,config,threads,median_ms,samples_per_s,peak_rss_mb,gflops,peak_percent
 *     and with --spread ,p25_ms,p75_ms,n
 *   config         the kernels in use, +policy where OMP_WAIT_POLICY is set, +cpu with --cpu: then
 *                  times are those that the process had a processor, which on one thread is
 *                  worth more than the clock on the wall where others use the machine
 *   median_ms      of samples of 20 ms or one step, whichever is longer; at least 5 of them, and
 *                  --seconds (2) in all, behind a warm-up
 *   peak_rss_mb    of this row alone: each runs in a child process where there is fork()
 *   gflops         two operations a multiply-accumulate of convolutions, dense layers and products,
 *                  nothing else; a training step counts three passes less the input gradient of
 *                  the first layer
 *   peak_percent   of the FMA peak of that many threads when the program starts: independent
 *                  multiply-adds of the widest vectors that the kernels in use have (16
 *                  accumulators for AVX-512, 12 for AVX2, 8 of four floats in plain C, where it is
 *                  a multiply and an add), one factor of each read from an 8 KiB buffer in L1, as
 *                  the kernel of a product reads it. It is measured again at the end: where the two
 *                  differ by more than a tenth, others used the machine and the table is worth
 *                  little.
 *
 * Layers, nets, batches, loss and optimizer are those that the peers are measured with
 * (tests/bench_peers.sh). Weights and data are random, the same in each run. A convolution's
 * forward pass runs on an inference plan, so that weights may be packed beforehand; its backward
 * passes are the layer's backward() with the other gradients switched off. */
#if !defined(_WIN32)
    #define _XOPEN_SOURCE 700           /* fork, getrusage, clock_gettime under -std=c99 */
#endif
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"

#if defined(__unix__) || defined(__APPLE__)
    #define BENCH_FORK 1
    #include <sys/resource.h>
    #include <sys/wait.h>
    #include <unistd.h>
#endif

enum { MIN_SAMPLES = 5, MAX_SAMPLES = 1 << 16 };

typedef struct bench_options {
    int threads;
    double seconds;
    int spread;
    const char *isa;
    double peak;                        /* GFLOP/s of the probe */
} bench_options;

static int processor_time;              /* --cpu */

/* ================================================================================================
 * clock, random numbers
 * ============================================================================================== */

static double now(void)
{
#if defined(BENCH_FORK)
    struct timespec t;
    clock_gettime(processor_time ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#else
    return cvni_seconds();
#endif
}

static unsigned bench_random(unsigned *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* n floats in [low, high); NULL when memory is out. */
static float *random_floats(size_t n, float low, float high)
{
    float *x = (float *)malloc(n * sizeof *x);
    unsigned state = 20240229;
    for (size_t i = 0; x && i < n; i++)
        x[i] = low + (high - low) * (float)(bench_random(&state) >> 8) / 16777216.0f;
    return x;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* ================================================================================================
 * the peak: multiply-adds with one factor from L1
 * ============================================================================================== */

enum { PROBE_FLOATS = 2048 };           /* 8 KiB */

/* Each returns a value that depends on all accumulators, so that no compiler drops them. */
typedef float (*probe_function)(const float *p, long rounds);

/* 8 accumulators of 4 floats; multiply and add are two instructions in plain x86-64 code. */
static float probe_c(const float *p, long rounds)
{
#if defined(CVNI_VECTOR4)
    const cvni_v4 f = { 1e-3f, 1e-3f, 1e-3f, 1e-3f };
    cvni_v4 a = { 0, 0, 0, 0 };
    cvni_v4 b = a, c = a, d = a, e = a, g = a, h = a, k = a;
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < PROBE_FLOATS; i += 32) {
            const cvni_v4 *v = (const cvni_v4 *)(const void *)(p + i);
            a += f * v[0];
            b += f * v[1];
            c += f * v[2];
            d += f * v[3];
            e += f * v[4];
            g += f * v[5];
            h += f * v[6];
            k += f * v[7];
        }
    }
    a += b + c + d + e + g + h + k;
    return a[0] + a[1] + a[2] + a[3];
#else
    float s[8] = { 0 };
    for (long r = 0; r < rounds; r++)
        for (int i = 0; i < PROBE_FLOATS; i += 8)
            for (int j = 0; j < 8; j++) s[j] += 1e-3f * p[i + j];
    return s[0] + s[1] + s[2] + s[3] + s[4] + s[5] + s[6] + s[7];
#endif
}

#if defined(CVNI_X86)
/* 12 accumulators of 8 floats; 21 x 96 floats of the buffer. */
CVNI_TARGET("avx2,fma")
static float probe_avx2(const float *p, long rounds)
{
    const __m256 f = _mm256_set1_ps(1e-3f);
    __m256 a = _mm256_setzero_ps(), b = a, c = a, d = a, e = a, g = a;
    __m256 h = a, k = a, l = a, m = a, n = a, o = a;
    float out[8];
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i + 96 <= PROBE_FLOATS; i += 96) {
            a = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i), a);
            b = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 8), b);
            c = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 16), c);
            d = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 24), d);
            e = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 32), e);
            g = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 40), g);
            h = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 48), h);
            k = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 56), k);
            l = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 64), l);
            m = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 72), m);
            n = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 80), n);
            o = _mm256_fmadd_ps(f, _mm256_loadu_ps(p + i + 88), o);
        }
    }
    a = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)),
                      _mm256_add_ps(e, g));
    h = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(h, k), _mm256_add_ps(l, m)),
                      _mm256_add_ps(n, o));
    _mm256_storeu_ps(out, _mm256_add_ps(a, h));
    return out[0] + out[1] + out[2] + out[3] + out[4] + out[5] + out[6] + out[7];
}

/* 16 accumulators of 16 floats. */
CVNI_TARGET("avx512f")
static float probe_avx512(const float *p, long rounds)
{
    const __m512 f = _mm512_set1_ps(1e-3f);
    __m512 a = _mm512_setzero_ps(), b = a, c = a, d = a, e = a, g = a, h = a, k = a;
    __m512 l = a, m = a, n = a, o = a, q = a, s = a, t = a, u = a;
    float out[16];
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < PROBE_FLOATS; i += 256) {
            a = _mm512_fmadd_ps(f, _mm512_load_ps(p + i), a);
            b = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 16), b);
            c = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 32), c);
            d = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 48), d);
            e = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 64), e);
            g = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 80), g);
            h = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 96), h);
            k = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 112), k);
            l = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 128), l);
            m = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 144), m);
            n = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 160), n);
            o = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 176), o);
            q = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 192), q);
            s = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 208), s);
            t = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 224), t);
            u = _mm512_fmadd_ps(f, _mm512_load_ps(p + i + 240), u);
        }
    }
    a = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)),
                      _mm512_add_ps(_mm512_add_ps(e, g), _mm512_add_ps(h, k)));
    l = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(l, m), _mm512_add_ps(n, o)),
                      _mm512_add_ps(_mm512_add_ps(q, s), _mm512_add_ps(t, u)));
    _mm512_storeu_ps(out, _mm512_add_ps(a, l));
    for (int i = 1; i < 16; i++) out[0] += out[i];
    return out[0];
}
#endif

typedef struct probe_job {
    probe_function function;
    const float *buffer;                /* one for each thread, aligned */
    long rounds;
    volatile float sink;
} probe_job;

static void probe_part(void *context, int begin, int end, int worker)
{
    probe_job *j = (probe_job *)context;
    (void)worker;
    for (int i = begin; i < end; i++)
        j->sink = j->function(j->buffer + (ptrdiff_t)i * PROBE_FLOATS, j->rounds);
}

/* GFLOP/s of all threads together: the upper quartile of 15 runs of about 5 ms. */
static double measure_peak(const bench_options *o)
{
    double rate[15];
    int flops = 2 * PROBE_FLOATS;       /* of one round */
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    probe_job job;
    float *memory = random_floats((size_t)(o->threads + 1) * PROBE_FLOATS, -1, 1);
    const size_t off = (64 - ((uintptr_t)memory & 63)) / sizeof(float) % 16;
    desc.threads = o->threads;
    desc.isa = o->isa;
    net = cvn_create(&desc);
    if (!memory || !net) exit(1);
    job.function = probe_c;
    job.buffer = memory + off;
    job.rounds = 1000;
    job.sink = 0;
#if defined(CVNI_X86)
    if (!strcmp(cvn_isa(net), "avx512")) job.function = probe_avx512;
    if (!strcmp(cvn_isa(net), "avx2")) {
        job.function = probe_avx2;
        flops = 2 * (PROBE_FLOATS / 96 * 96);
    }
#endif
    for (int i = -5; i < 15; i++) {     /* the first five find the rounds */
        const double start = now();
        double seconds;
        cvni_parallel_for(net, i < 0 ? 1 : net->threads, 1e12, probe_part, &job);
        seconds = now() - start;
        if (i >= 0) rate[i] = 1e-9 * flops * (double)job.rounds * net->threads / seconds;
        else if (0.005 > seconds) job.rounds = (long)((double)job.rounds * 0.005 / seconds) + 1;
    }
    qsort(rate, 15, sizeof *rate, compare_doubles);
    cvn_destroy(net);
    free(memory);
    return rate[11];
}

/* ================================================================================================
 * nets
 * ============================================================================================== */

/* Convolution without bias, padded by kernel/2, and batch norm. */
static cvn_node conv_norm(cvn_net *net, cvn_node x, int filters, int kernel, int stride)
{
    cvn_conv2d_desc desc = cvn_conv2d_defaults();
    desc.filters = filters;
    desc.kernel_h = kernel;
    desc.stride_h = stride;
    desc.pad_top = desc.pad_left = desc.pad_bottom = desc.pad_right = kernel / 2;
    desc.no_bias = 1;
    return cvn_batchnorm(net, cvn_conv2d_ex(net, x, &desc));
}

static cvn_node conv_relu(cvn_net *net, cvn_node x, int filters, int kernel, int stride, int pad)
{
    return cvn_relu(net, cvn_conv2d(net, x, filters, kernel, stride, pad));
}

static cvn_node dense_relu(cvn_net *net, cvn_node x, int units)
{
    return cvn_relu(net, cvn_dense(net, x, units));
}

/* Max pooling 3x3, stride 2. */
static cvn_node pool3(cvn_net *net, cvn_node x, int pad, int ceil_mode)
{
    cvn_pool_desc desc = cvn_pool_defaults();
    desc.kernel_h = 3;
    desc.stride_h = 2;
    desc.pad_top = desc.pad_left = desc.pad_bottom = desc.pad_right = pad;
    desc.ceil_mode = ceil_mode;
    return cvn_maxpool_ex(net, x, &desc);
}

static cvn_node mean_dense(cvn_net *net, cvn_node x, int classes)
{
    return cvn_dense(net, cvn_global_avgpool(net, x), classes);
}

static cvn_node lenet_relu(cvn_net *net, cvn_node x)
{
    x = cvn_maxpool(net, conv_relu(net, x, 6, 5, 1, 2), 2, 2);
    x = cvn_maxpool(net, conv_relu(net, x, 16, 5, 1, 0), 2, 2);
    return cvn_dense(net, dense_relu(net, dense_relu(net, x, 120), 84), 10);
}

static cvn_node lenet_tanh(cvn_net *net, cvn_node x)
{
    x = cvn_avgpool(net, cvn_tanh(net, cvn_conv2d(net, x, 6, 5, 1, 2)), 2, 2);
    x = cvn_avgpool(net, cvn_tanh(net, cvn_conv2d(net, x, 16, 5, 1, 0)), 2, 2);
    x = cvn_tanh(net, cvn_dense(net, x, 120));
    return cvn_dense(net, cvn_tanh(net, cvn_dense(net, x, 84)), 10);
}

static cvn_node mlp(cvn_net *net, cvn_node x)
{
    return cvn_dense(net, dense_relu(net, dense_relu(net, x, 512), 512), 10);
}

static cvn_node resnet20(cvn_net *net, cvn_node x)
{
    x = cvn_relu(net, conv_norm(net, x, 16, 3, 1));
    for (int i = 0; i < 9; i++)
        x = cvn_residual_basic(net, x, 16 << i / 3, i == 3 || i == 6 ? 2 : 1);
    return mean_dense(net, x, 10);
}

static cvn_node smallvgg(cvn_net *net, cvn_node x)
{
    for (int filters = 32; filters <= 128; filters *= 2) {
        x = conv_relu(net, x, filters, 3, 1, 1);
        x = cvn_maxpool(net, conv_relu(net, x, filters, 3, 1, 1), 2, 2);
    }
    return cvn_dense(net, x, 10);
}

static cvn_node resnet18(cvn_net *net, cvn_node x)
{
    x = pool3(net, cvn_relu(net, conv_norm(net, x, 64, 7, 2)), 1, 0);
    for (int i = 0; i < 8; i++)
        x = cvn_residual_basic(net, x, 64 << i / 2, i > 0 && i % 2 == 0 ? 2 : 1);
    return mean_dense(net, x, 1000);
}

static cvn_node resnet50(cvn_net *net, cvn_node x)
{
    static const int blocks[4] = { 3, 4, 6, 3 };
    x = pool3(net, cvn_relu(net, conv_norm(net, x, 64, 7, 2)), 1, 0);
    for (int stage = 0; stage < 4; stage++)
        for (int i = 0; i < blocks[stage]; i++)
            x = cvn_residual_bottleneck(net, x, 64 << stage, stage > 0 && i == 0 ? 2 : 1);
    return mean_dense(net, x, 1000);
}

/* Two dropped-out layers of 4096, as AlexNet and VGG end; dropout before or behind each. */
static cvn_node large_head(cvn_net *net, cvn_node x, int before)
{
    for (int i = 0; i < 2; i++) {
        if (before) x = cvn_dropout(net, x, 0.5f);
        x = dense_relu(net, x, 4096);
        if (!before) x = cvn_dropout(net, x, 0.5f);
    }
    return cvn_dense(net, x, 1000);
}

static cvn_node vgg16(cvn_net *net, cvn_node x)
{
    static const int filters[5] = { 64, 128, 256, 512, 512 };
    for (int stage = 0; stage < 5; stage++) {
        for (int i = 0; i < (stage < 2 ? 2 : 3); i++)
            x = conv_relu(net, x, filters[stage], 3, 1, 1);
        x = cvn_maxpool(net, x, 2, 2);
    }
    return large_head(net, x, 0);
}

static cvn_node mobilenetv2(cvn_net *net, cvn_node x)
{
    static const int rows[7][4] = {     /* expansion, filters, blocks, stride of the first */
        { 1, 16, 1, 1 }, { 6, 24, 2, 2 }, { 6, 32, 3, 2 }, { 6, 64, 4, 2 },
        { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 }
    };
    cvn_inverted_residual_desc d = cvn_inverted_residual_defaults();
    int channels = 32;
    x = cvn_relu6(net, conv_norm(net, x, channels, 3, 2));
    for (int row = 0; row < 7; row++) {
        for (int i = 0; i < rows[row][2]; i++) {
            d.expanded = rows[row][0] * channels;
            d.filters = channels = rows[row][1];
            d.stride = i == 0 ? rows[row][3] : 1;
            x = cvn_inverted_residual(net, x, &d);
        }
    }
    x = cvn_global_avgpool(net, cvn_relu6(net, conv_norm(net, x, 1280, 1, 1)));
    return cvn_dense(net, cvn_dropout(net, x, 0.2f), 1000);
}

static cvn_node squeezenet1_1(cvn_net *net, cvn_node x)
{
    static const int squeeze[8] = { 16, 16, 32, 32, 48, 48, 64, 64 };
    x = pool3(net, conv_relu(net, x, 64, 3, 2, 0), 0, 1);
    for (int i = 0; i < 8; i++) {
        x = cvn_fire(net, x, squeeze[i], 4 * squeeze[i], 4 * squeeze[i]);
        if (i == 1 || i == 3) x = pool3(net, x, 0, 1);
    }
    x = conv_relu(net, cvn_dropout(net, x, 0.5f), 1000, 1, 1, 0);
    return cvn_flatten(net, cvn_global_avgpool(net, x));
}

static cvn_node alexnet(cvn_net *net, cvn_node x)
{
    x = pool3(net, conv_relu(net, x, 64, 11, 4, 2), 0, 0);
    x = pool3(net, conv_relu(net, x, 192, 5, 1, 2), 0, 0);
    x = conv_relu(net, conv_relu(net, x, 384, 3, 1, 1), 256, 3, 1, 1);
    x = pool3(net, conv_relu(net, x, 256, 3, 1, 1), 0, 0);
    return large_head(net, x, 1);
}

typedef struct bench_net {
    const char *name;
    cvn_node (*body)(cvn_net *net, cvn_node x);     /* logits */
    int channels, size, classes;
    int batch;                                      /* of training; 0: prediction alone */
} bench_net;

static const bench_net nets[] = {
    { "lenet_tanh", lenet_tanh, 1, 28, 10, 64 },
    { "lenet_relu", lenet_relu, 1, 28, 10, 64 },
    { "mlp", mlp, 1, 28, 10, 64 },
    { "resnet20", resnet20, 3, 32, 10, 128 },
    { "smallvgg", smallvgg, 3, 32, 10, 64 },
    { "resnet18", resnet18, 3, 224, 1000, 8 },
    { "resnet50", resnet50, 3, 224, 1000, 0 },
    { "vgg16", vgg16, 3, 224, 1000, 0 },
    { "mobilenetv2", mobilenetv2, 3, 224, 1000, 8 },
    { "squeezenet1_1", squeezenet1_1, 3, 224, 1000, 0 },
    { "alexnet", alexnet, 3, 224, 1000, 16 }
};

enum { NETS = (int)(sizeof nets / sizeof *nets) };
enum { SMALLVGG = 4 };                  /* row of the net that is only trained */

/* ================================================================================================
 * convolutions, products
 * ============================================================================================== */

typedef struct bench_conv {
    const char *name;
    int channels, size, filters, kernel, stride, pad, groups;
    int batch[2];                       /* 0: none */
} bench_conv;

static const bench_conv convs[] = {
    { "r50_7x7s2_3-64@224", 3, 224, 64, 7, 2, 3, 1, { 1, 16 } },
    { "r50_3x3_64@56", 64, 56, 64, 3, 1, 1, 1, { 1, 16 } },
    { "r50_1x1_64-256@56", 64, 56, 256, 1, 1, 0, 1, { 1, 16 } },
    { "r50_3x3_128@28", 128, 28, 128, 3, 1, 1, 1, { 1, 16 } },
    { "r50_3x3_256@14", 256, 14, 256, 3, 1, 1, 1, { 1, 16 } },
    { "r50_3x3_512@7", 512, 7, 512, 3, 1, 1, 1, { 1, 16 } },
    { "r50_1x1s2_1024-2048@14", 1024, 14, 2048, 1, 2, 0, 1, { 1, 16 } },
    { "dw_3x3_144@56", 144, 56, 144, 3, 1, 1, 144, { 1, 16 } },
    { "dw_3x3_576@14", 576, 14, 576, 3, 1, 1, 576, { 1, 16 } },
    { "cifar_3x3_16@32", 16, 32, 16, 3, 1, 1, 1, { 128, 0 } },
    { "cifar_3x3_32@16", 32, 16, 32, 3, 1, 1, 1, { 128, 0 } },
    { "cifar_3x3_64@8", 64, 8, 64, 3, 1, 1, 1, { 128, 0 } },
    { "lenet_5x5_1-6@28", 1, 28, 6, 5, 1, 2, 1, { 64, 0 } },
    { "lenet_5x5_6-16@14", 6, 14, 16, 5, 1, 0, 1, { 64, 0 } }
};

enum { CONVS = (int)(sizeof convs / sizeof *convs) };

static const char *const passes[3] = { "fwd", "bwd_d", "bwd_w" };

/* Cubes; convolutions of ResNet-18 as products; dense layers; LeNet-5's convolutions, 64 images. */
static const char *const products[] = {
    "64x64x64", "128x128x128", "256x256x256", "512x512x512", "1024x1024x1024", "2048x2048x2048",
    "64x3136x576", "128x784x1152", "256x196x2304", "512x49x4608", "1000x1x512", "64x10x1024",
    "64x512x784", "64x512x512", "6x36864x25", "16x6400x150"
};

enum { PRODUCTS = (int)(sizeof products / sizeof *products) };

/* ================================================================================================
 * one row: something that can be repeated, and what it costs
 * ============================================================================================== */

typedef struct bench_row {
    char name[128];
    cvn_net *net;
    void (*step)(struct bench_row *row);
    int samples;                        /* of one step */
    double flops;                       /* of one step */
    cvni_layer *layer;                  /* gemm, conv: what runs */
    int batch;                          /* train, infer */
    float *x, *out;
    int *labels;
    float loss;
} bench_row;

/* Ends this row's process. */
static void row_fail(const bench_row *row, const char *why)
{
    printf("%s,failed: %s\n", row->name, why);
    fflush(stdout);
    exit(2);
}

static void check(const bench_row *row, cvn_result result)
{
    if (result != CVN_OK) row_fail(row, cvn_error(row->net));
}

static cvn_net *row_net(const bench_row *row, const bench_options *o)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    desc.threads = o->threads;
    desc.isa = o->isa;
    net = cvn_create(&desc);
    if (!net) row_fail(row, "out of memory");
    return net;
}

static void step_forward(bench_row *row) { cvni_forward_layer(row->net, row->layer); }

/* The layer's gradient stands in dy; those of its inputs are written, not added to. */
static void step_backward(bench_row *row)
{
    for (int i = 0; i < row->layer->inputs; i++)
        row->net->layers[row->layer->input[i]].grad_written = 0;
    cvni_backward_layer(row->net, row->layer);
}

static void step_train(bench_row *row)
{
    check(row, cvn_train_batch(row->net, row->x, row->labels, row->batch, &row->loss));
}

static void step_infer(bench_row *row)
{
    check(row, cvn_predict(row->net, row->x, row->batch, row->out));
}

/* Fills an input with random values. */
static void fill(bench_row *row, cvn_node input, int batch)
{
    const size_t n = cvni_elements(cvn_node_shape(row->net, input));
    float *values = random_floats(n, -1, 1);
    if (!values) row_fail(row, "out of memory");
    check(row, cvn_set_input(row->net, input, values, batch));
    free(values);
}

static void prepare_gemm(bench_row *row, int m, int n, int k)
{
    int dims[2];
    cvn_node a, b, y;
    dims[0] = m;
    dims[1] = k;
    a = cvn_input_tensor(row->net, dims, 2);
    dims[0] = k;
    dims[1] = n;
    b = cvn_input_tensor(row->net, dims, 2);
    y = cvn_matmul(row->net, a, b, 0, 0);
    check(row, cvn_build_infer(row->net, 1));
    fill(row, a, 1);
    fill(row, b, 1);
    check(row, cvn_forward_eval(row->net));
    row->layer = &row->net->layers[y.id];
    row->step = step_forward;
    row->samples = 1;
    row->flops = 2.0 * m * n * k;
}

static void prepare_conv(bench_row *row, const bench_conv *c, int batch, int pass)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_node x, y;
    d.filters = c->filters;
    d.kernel_h = c->kernel;
    d.stride_h = c->stride;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = c->pad;
    d.groups = c->groups;
    x = cvn_input(row->net, c->channels, c->size, c->size);
    y = cvn_conv2d_ex(row->net, x, &d);
    cvn_want_grad(row->net, y);
    if (pass == 1) cvn_want_grad(row->net, x);
    if (pass == 1) cvn_freeze(row->net, y);
    check(row, pass == 0 ? cvn_build_infer(row->net, batch) : cvn_build(row->net, batch));
    fill(row, x, batch);
    check(row, pass == 0 ? cvn_forward_eval(row->net) : cvn_forward(row->net));
    row->layer = &row->net->layers[y.id];
    row->step = pass == 0 ? step_forward : step_backward;
    row->samples = batch;
    row->flops = 2 * row->layer->macs * batch;
    if (pass > 0) {
        const size_t n = cvni_elements(row->layer->shape);
        float *values = random_floats(n, -1, 1);
        if (!values || !row->layer->dy) row_fail(row, "no gradient");
        memcpy(row->layer->dy, values, n * sizeof *values);
        free(values);
    }
}

/* Multiply-accumulates of the first layer that has any. */
static double first_macs(const cvn_net *net)
{
    for (int i = 1; i < net->layer_count; i++)
        if (net->layers[i].macs > 0) return net->layers[i].macs;
    return 0;
}

/* Statistics as training would leave them: small means, variances about 1. */
static void draw_statistics(cvn_net *net)
{
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        const int mean = strstr(p.name, "running_mean") != NULL;
        const int variance = strstr(p.name, "running_var") != NULL;
        float *values = mean || variance ? random_floats(p.count, mean ? -0.1f : 0.5f,
                                                         mean ? 0.1f : 1.5f)
                                         : NULL;
        if (values) memcpy(p.value, values, p.count * sizeof *values);
        free(values);
    }
    cvn_touch(net);
}

static void prepare_net(bench_row *row, const bench_net *n, int train)
{
    const cvn_optimizer sgd = cvn_sgd(1e-3f, 0.9f);
    const cvn_node x = cvn_input(row->net, n->channels, n->size, n->size);
    const cvn_node y = n->body(row->net, x);
    const size_t sample = (size_t)n->channels * (size_t)n->size * (size_t)n->size;
    unsigned state = 7;
    row->batch = row->samples = train ? n->batch : 1;
    if (train) cvn_softmax_loss(row->net, y);
    check(row, cvn_set_optimizer(row->net, &sgd));
    check(row, train ? cvn_build(row->net, row->batch) : cvn_build_infer(row->net, 1));
    row->x = random_floats((size_t)row->batch * sample, -1.7f, 1.7f);       /* variance 1 */
    row->out = random_floats((size_t)n->classes, 0, 1);
    row->labels = (int *)malloc((size_t)row->batch * sizeof *row->labels);
    if (!row->x || !row->out || !row->labels) row_fail(row, "out of memory");
    for (int i = 0; i < row->batch; i++)
        row->labels[i] = (int)(bench_random(&state) % (unsigned)n->classes);
    if (!train) draw_statistics(row->net);
    row->step = train ? step_train : step_infer;
    row->flops = 2.0 * row->batch *
                 (train ? 3 * cvn_macs(row->net) - first_macs(row->net) : cvn_macs(row->net));
}

/* ================================================================================================
 * measuring
 * ============================================================================================== */

static double time_steps(bench_row *row, int count)
{
    const double start = now();
    for (int i = 0; i < count; i++) row->step(row);
    return (now() - start) / count;
}

/* Sorted seconds a step; returns how many. */
static int sample(bench_row *row, const bench_options *o, double *times)
{
    const double warm = o->seconds / 4 < 1 ? o->seconds / 4 : 1;
    double start, once;
    int count, n = 0;
    time_steps(row, 2);
    once = time_steps(row, 1);
    count = once > 0.02 ? 1 : once < 1e-6 ? 20000 : (int)(0.02 / once);
    for (start = now(); now() - start < warm;) time_steps(row, count);
    for (start = now(); n < MAX_SAMPLES && (n < MIN_SAMPLES || now() - start < o->seconds);)
        times[n++] = time_steps(row, count);
    qsort(times, (size_t)n, sizeof *times, compare_doubles);
    return n;
}

/* Of this process, in MB of 2^20 bytes; 0 where it is not known. */
static double peak_memory(void)
{
#if defined(BENCH_FORK)
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    #if defined(__APPLE__)
    return (double)usage.ru_maxrss / 1048576;
    #else
    return (double)usage.ru_maxrss / 1024;
    #endif
#else
    return 0;
#endif
}

static void measure(bench_row *row, const bench_options *o)
{
    static double times[MAX_SAMPLES];
    const int n = sample(row, o, times);
    const double median = n % 2 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
    const double rate = 1e-9 * row->flops / median;
    const char *policy = getenv("OMP_WAIT_POLICY");
    if (row->step == step_train && !cvni_is_finite((double)row->loss))
        row_fail(row, "the loss is not finite");
    if (row->step == step_infer && !cvni_is_finite((double)row->out[0]))
        row_fail(row, "the output is not finite");
    printf("%s,%s%s%s%s,%d,%.4f,%.1f,%.0f,%.1f,%.1f", row->name, cvn_isa(row->net),
           policy ? "+" : "", policy ? policy : "", processor_time ? "+cpu" : "", o->threads,
           1e3 * median, row->samples / median, peak_memory(), rate, 100 * rate / o->peak);
    if (o->spread) printf(",%.4f,%.4f,%d", 1e3 * times[n / 4], 1e3 * times[3 * n / 4], n);
    printf("\n");
}

/* ================================================================================================
 * rows by name
 * ============================================================================================== */

/* What stands behind the kind: a net, a layer with batch and pass, or sizes. */
typedef struct bench_target {
    const bench_net *net;
    int train;
    const bench_conv *conv;
    int batch, pass;
    int m, n, k;
} bench_target;

static void run_target(const char *name, const bench_target *t, const bench_options *o)
{
    bench_row row;
    memset(&row, 0, sizeof row);
    snprintf(row.name, sizeof row.name, "%s", name);
    row.net = row_net(&row, o);
    if (t->net) prepare_net(&row, t->net, t->train);
    else if (t->conv) prepare_conv(&row, t->conv, t->batch, t->pass);
    else prepare_gemm(&row, t->m, t->n, t->k);
    measure(&row, o);
    cvn_destroy(row.net);
    free(row.x);
    free(row.out);
    free(row.labels);
}

/* In a process of its own: threads do not outlive a fork, so this process never starts any. */
static void run_row(const char *name, const bench_target *t, const bench_options *o)
{
#if defined(BENCH_FORK)
    int status = 0;
    pid_t child;
    fflush(stdout);
    child = fork();
    if (child == 0) {
        run_target(name, t, o);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0) printf("%s,failed: no process\n", name);
    else if (WIFSIGNALED(status)) printf("%s,failed: signal %d\n", name, WTERMSIG(status));
#else
    run_target(name, t, o);
    fflush(stdout);
#endif
}

static double peak_of(const bench_options *o)
{
#if defined(BENCH_FORK)
    double peak = 0;
    int ends[2];
    pid_t child;
    fflush(stdout);
    if (pipe(ends) != 0) return measure_peak(o);
    child = fork();
    if (child == 0) {
        peak = measure_peak(o);
        _exit(write(ends[1], &peak, sizeof peak) != (ssize_t)sizeof peak);
    }
    close(ends[1]);
    if (child < 0 || read(ends[0], &peak, sizeof peak) != (ssize_t)sizeof peak) peak = 0;
    close(ends[0]);
    if (child > 0) waitpid(child, NULL, 0);
    return peak;
#else
    return measure_peak(o);
#endif
}

/* All rows whose name matches; returns how many. */
static int run_products(const char *wanted, int all, const bench_options *o)
{
    int found = 0;
    for (int i = 0; i < (all ? PRODUCTS : 1); i++) {
        const char *sizes = all ? products[i] : wanted;
        bench_target t;
        char name[128];
        char more;
        memset(&t, 0, sizeof t);
        if (sscanf(sizes, "%dx%dx%d%c", &t.m, &t.n, &t.k, &more) != 3) continue;
        if (t.m < 1 || t.n < 1 || t.k < 1) continue;
        snprintf(name, sizeof name, "gemm:%dx%dx%d", t.m, t.n, t.k);
        if (o) run_row(name, &t, o);
        else puts(name);
        found++;
    }
    return found;
}

static int run_convs(const char *wanted, int all, const bench_options *o)
{
    int found = 0;
    for (int i = 0; i < CONVS * 6; i++) {
        bench_target t;
        char name[128];
        memset(&t, 0, sizeof t);
        t.conv = &convs[i / 6];
        t.batch = t.conv->batch[i / 3 % 2];
        t.pass = i % 3;
        snprintf(name, sizeof name, "conv:%s:%d:%s", t.conv->name, t.batch, passes[t.pass]);
        if (!t.batch || (!all && !strstr(name, wanted))) continue;
        if (o) run_row(name, &t, o);
        else puts(name);
        found++;
    }
    return found;
}

static int run_nets(const char *wanted, int all, int train, const bench_options *o)
{
    int found = 0;
    for (int i = 0; i < NETS; i++) {
        bench_target t;
        char name[128];
        memset(&t, 0, sizeof t);
        t.net = &nets[i];
        t.train = train;
        if (train ? !t.net->batch : i == SMALLVGG) continue;
        if (!all && strcmp(wanted, t.net->name) != 0) continue;
        snprintf(name, sizeof name, "%s:%s", train ? "train" : "infer", t.net->name);
        if (o) run_row(name, &t, o);
        else puts(name);
        found++;
    }
    return found;
}

/* "kind:rest"; options NULL: only prints the names. */
static int run_name(const char *name, const bench_options *o)
{
    const char *colon = strchr(name, ':');
    const char *rest = colon ? colon + 1 : "";
    const size_t kind = colon ? (size_t)(colon - name) : strlen(name);
    const int all = !strcmp(name, "all");
    const int each = all || !strcmp(rest, "all");
    int found = 0;
    if (all || !strncmp(name, "gemm", kind)) found += run_products(rest, each, o);
    if (all || !strncmp(name, "conv", kind)) found += run_convs(rest, each, o);
    if (all || !strncmp(name, "train", kind)) found += run_nets(rest, each, 1, o);
    if (all || !strncmp(name, "infer", kind)) found += run_nets(rest, each, 0, o);
    return found;
}

static int usage(void)
{
    fprintf(stderr, "bench [--threads N] [--seconds S] [--spread] [--isa NAME] [--cpu] NAME...\n"
                    "NAME: gemm:MxNxK conv:LAYER:BATCH:PASS train:NET infer:NET\n"
                    "      gemm:all conv:all train:all infer:all all list\n");
    return 1;
}

/* Threads and kernels as a net would have them. */
static int settle(bench_options *o, char isa[32])
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    desc.threads = o->threads;
    desc.isa = o->isa;
    net = cvn_create(&desc);
    if (!net || cvn_error(net)[0]) {
        fprintf(stderr, "bench: %s\n", net ? cvn_error(net) : "out of memory");
        return 0;
    }
    o->threads = net->threads;
    snprintf(isa, 32, "%s", cvn_isa(net));
    cvn_destroy(net);
    return 1;
}

int main(int argc, char **argv)
{
    bench_options o = { 0, 2, 0, NULL, 0 };
    char isa[32];
    int first = 1;
    int missing = 0;
    for (; first < argc && !strncmp(argv[first], "--", 2); first++) {
        const char *value = first + 1 < argc ? argv[first + 1] : NULL;
        if (!strcmp(argv[first], "--spread")) o.spread = 1;
        else if (!strcmp(argv[first], "--cpu")) processor_time = 1;
        if (!strcmp(argv[first], "--spread") || !strcmp(argv[first], "--cpu")) continue;
        if (!value) return usage();
        if (!strcmp(argv[first], "--threads")) o.threads = atoi(value);
        else if (!strcmp(argv[first], "--seconds")) o.seconds = atof(value);
        else if (!strcmp(argv[first], "--isa")) o.isa = value;
        else return usage();
        first++;
    }
    if (first == argc) return usage();
    if (!strcmp(argv[first], "list")) return run_name("all", NULL) == 0;
    if (!settle(&o, isa)) return 1;
    o.peak = peak_of(&o);
    printf("# %s, FMA peak from L1 at start: %.1f GFLOP/s on %d threads\n", isa, o.peak,
           o.threads);
    printf("name,config,threads,median_ms,samples_per_s,peak_rss_mb,gflops,peak_percent%s\n",
           o.spread ? ",p25_ms,p75_ms,n" : "");
    for (int i = first; i < argc; i++) {
        if (run_name(argv[i], &o)) continue;
        fprintf(stderr, "bench: no row '%s'; build/bench list prints all\n", argv[i]);
        missing = 1;
    }
    printf("# FMA peak from L1 at the end: %.1f GFLOP/s\n", peak_of(&o));
    return missing;
}
