/* test_darknet.c - nets of Darknet against naive double arithmetic that is written down while their
 * cfg is, heads and tables decoded, non-maximum suppression, images resized, hostile and truncated
 * files, memory that runs out. Writes to build/. TEST_QUICK: fewer mutations. */
#include "../convnet.h"
#include "test.h"

#ifdef TEST_QUICK
    #define MUTATIONS 300
#else
    #define MUTATIONS 4000
#endif

static uint32_t draw_state = 1;

static uint32_t draw(void)
{
    draw_state = draw_state * 1664525u + 1013904223u;
    return draw_state >> 8;
}

static double uniform(double low, double high)
{
    return low + (high - low) * draw() / 16777216.0;
}

/* ---- a net written down twice: as cfg with weights, and as values ---- */

enum { SAMPLES = 2, MOST = 32, MAX_WEIGHTS = 4000, MAX_TEXT = 8192 };

typedef struct tensor {
    int C, H, W;                    /* H 0: a vector */
    double *v;                      /* [SAMPLES, C, H, W] */
} tensor;

static struct {
    char text[MAX_TEXT];
    size_t length;
    float weights[MAX_WEIGHTS];
    int count;
    tensor input, layers[MOST];
    int layer_count;
} m;

static size_t area(const tensor *t) { return t->H ? (size_t)t->H * (size_t)t->W : 1; }
static size_t size_of(const tensor *t) { return (size_t)t->C * area(t); }

static double *at(const tensor *t, int n, int c, int y, int x)
{
    return t->v + (size_t)n * size_of(t) + (size_t)c * area(t) + (size_t)y * (size_t)t->W +
           (size_t)x;
}

static tensor new_tensor(int C, int H, int W)
{
    tensor t;
    t.C = C;
    t.H = H;
    t.W = W;
    t.v = NULL;
    t.v = (double *)calloc(SAMPLES * size_of(&t), sizeof(double));
    if (!t.v) exit(1);
    return t;
}

TEST_PRINTF(1, 2)
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    m.length += (size_t)vsnprintf(m.text + m.length, MAX_TEXT - m.length, format, args);
    va_end(args);
}

static void begin(int C, int H, int W)
{
    for (int i = 0; i < m.layer_count; i++) free(m.layers[i].v);
    free(m.input.v);
    memset(&m, 0, sizeof m);
    m.input = new_tensor(C, H, W);
    for (size_t i = 0; i < SAMPLES * size_of(&m.input); i++) m.input.v[i] = (float)uniform(-2, 2);
    if (H) say("[net]\nbatch=8\nwidth=%d\nheight=%d # pixels\nchannels=%d\n\n", W, H, C);
    else say("[net]\ninputs=%d\n", C);
}

static const tensor *last(void)
{
    return m.layer_count ? &m.layers[m.layer_count - 1] : &m.input;
}

static const tensor *layer(int i) { return &m.layers[i < 0 ? m.layer_count + i : i]; }

static tensor *push(int C, int H, int W)
{
    m.layers[m.layer_count] = new_tensor(C, H, W);
    return &m.layers[m.layer_count++];
}

/* The next weights of the file, drawn. */
static const float *weights(int count, double low, double high)
{
    float *w = m.weights + m.count;
    for (int i = 0; i < count; i++) w[i] = (float)uniform(low, high);
    m.count += count;
    return w;
}

/* The file of version 0.`minor`, static, with room for what a test adds. */
static unsigned char *weights_file(int minor, size_t *size)
{
    static unsigned char bytes[20 + 4 * (MAX_WEIGHTS + 1)];
    const size_t head = minor < 2 ? 16 : 20;
    memset(bytes, 0, head);
    bytes[4] = (unsigned char)minor;
    for (int i = 0; i < m.count; i++) {
        uint32_t word;
        memcpy(&word, &m.weights[i], 4);
        for (int k = 0; k < 4; k++)
            bytes[head + 4 * (size_t)i + (size_t)k] = (unsigned char)(word >> 8 * k);
    }
    *size = head + 4 * (size_t)m.count;
    return bytes;
}

static double activated(const char *name, double x)
{
    const double s = 1 / (1 + exp(-x));
    if (!strcmp(name, "leaky")) return x > 0 ? x : 0.1 * x;
    if (!strcmp(name, "relu")) return x > 0 ? x : 0;
    if (!strcmp(name, "relu6")) return x < 0 ? 0 : x > 6 ? 6 : x;
    if (!strcmp(name, "logistic")) return s;
    if (!strcmp(name, "mish")) return x * tanh(log1p(exp(x)));
    if (!strcmp(name, "swish")) return x * s;
    if (!strcmp(name, "tanh")) return tanh(x);
    if (!strcmp(name, "elu")) return x >= 0 ? x : exp(x) - 1;
    if (!strcmp(name, "selu")) return 1.0507 * (x >= 0 ? x : 1.6732 * (exp(x) - 1));
    if (!strcmp(name, "gelu")) return 0.5 * x * (1 + tanh(0.797885 * x + 0.035677 * x * x * x));
    if (!strcmp(name, "loggy")) return 2 * s - 1;
    if (!strcmp(name, "relie")) return x > 0 ? x : 0.01 * x;
    if (!strcmp(name, "ramp")) return (x > 0 ? x : 0) + 0.1 * x;
    if (!strcmp(name, "plse"))
        return x < -4 ? 0.01 * (x + 4) : x > 4 ? 0.01 * (x - 4) + 1 : 0.125 * x + 0.5;
    if (!strcmp(name, "hardtan")) return x < -1 ? -1 : x > 1 ? 1 : x;
    if (!strcmp(name, "lhtan")) return x < 0 ? 0.001 * x : x > 1 ? 0.001 * (x - 1) + 1 : x;
    return x;
}

static void activate(tensor *t, const char *name)
{
    for (size_t i = 0; i < SAMPLES * size_of(t); i++) t->v[i] = activated(name, t->v[i]);
}

/* Bias or batch norm, of which statistics come in the order of the file; then the activation. */
static void finish(tensor *y, const float *bias, const float *norm, const char *act)
{
    for (int n = 0; n < SAMPLES; n++) {
        for (int c = 0; c < y->C; c++) {
            for (size_t i = 0; i < area(y); i++) {
                double *v = at(y, n, c, 0, 0) + i;
                if (norm)
                    *v = (*v - norm[y->C + c]) / sqrt(norm[2 * y->C + c] + 1e-5) * norm[c];
                *v += bias[c];
            }
        }
    }
    activate(y, act);
}

typedef struct conv_case {
    int filters, size, stride_y, stride_x, padding, dilation, groups, norm;
    const char *act;
} conv_case;

static void conv(conv_case d)
{
    const tensor x = *last();
    const int pad = d.padding * d.dilation, per = x.C / d.groups;
    tensor *y = push(d.filters, (x.H + 2 * d.padding - d.size) / d.stride_y + 1,
                     (x.W + 2 * d.padding - d.size) / d.stride_x + 1);
    const float *bias = weights(d.filters, -1, 1);
    const float *norm = d.norm ? weights(d.filters, 0.5, 1.5) : NULL;
    const float *w;
    if (d.norm) weights(d.filters, -0.5, 0.5);
    if (d.norm) weights(d.filters, 0.2, 2);
    w = weights(d.filters * per * d.size * d.size, -0.5, 0.5);
    say("[convolutional]\nfilters=%d\nsize = %d\nstride_y=%d\nstride_x=%d\n", d.filters, d.size,
        d.stride_y, d.stride_x);
    say("dilation=%d\ngroups=%d\n", d.dilation, d.groups);
    if (d.padding == d.size / 2) say("pad=1\n");
    else say("padding=%d\n", d.padding);
    say("batch_normalize=%d\nactivation=%s\n\n", d.norm, d.act);
    for (int n = 0; n < SAMPLES; n++)
        for (int f = 0; f < y->C; f++)
            for (int i = 0; i < y->H; i++)
                for (int j = 0; j < y->W; j++)
                    for (int c = 0; c < per; c++)
                        for (int k = 0; k < d.size * d.size; k++) {
                            const int r = i * d.stride_y - pad + k / d.size * d.dilation;
                            const int s = j * d.stride_x - pad + k % d.size * d.dilation;
                            if (r < 0 || s < 0 || r >= x.H || s >= x.W) continue;
                            *at(y, n, f, i, j) +=
                                (double)w[(f * per + c) * d.size * d.size + k] *
                                *at(&x, n, f / (d.filters / d.groups) * per + c, r, s);
                        }
    finish(y, bias, norm, d.act);
}

/* A 1x1 convolution without batch norm. */
static void pointwise(int filters, const char *act)
{
    const conv_case d = { filters, 1, 1, 1, 0, 1, 1, 0, act };
    conv(d);
}

static void connected(int output, int norm, const char *act)
{
    const tensor x = *last();
    const int in = (int)size_of(&x);
    tensor *y = push(output, 0, 0);
    const float *bias = weights(output, -1, 1), *w = weights(output * in, -0.5, 0.5);
    const float *scale = norm ? weights(output, 0.5, 1.5) : NULL;
    if (norm) weights(output, -0.5, 0.5);
    if (norm) weights(output, 0.2, 2);
    say("[connected]\noutput=%d\nbatch_normalize=%d\nactivation=%s\n", output, norm, act);
    for (int n = 0; n < SAMPLES; n++)
        for (int o = 0; o < output; o++)
            for (int i = 0; i < in; i++)
                y->v[n * output + o] += (double)w[o * in + i] * x.v[n * in + i];
    finish(y, bias, scale, act);
}

/* padding -1: Darknet's default, size - 1. */
static void pool(const char *kind, int size, int stride, int padding)
{
    const tensor x = *last();
    const int pad = padding < 0 ? size - 1 : padding, mean = strcmp(kind, "maxpool") != 0;
    tensor *y = push(x.C, (x.H + pad - size) / stride + 1, (x.W + pad - size) / stride + 1);
    say("[%s]\nsize=%d\nstride=%d\n", kind, size, stride);
    if (padding >= 0) say("padding=%d\n", padding);
    for (int n = 0; n < SAMPLES; n++)
        for (int c = 0; c < y->C; c++)
            for (int i = 0; i < y->H; i++)
                for (int j = 0; j < y->W; j++) {
                    double most = -1e30, sum = 0;
                    int inside = 0;
                    for (int k = 0; k < size * size; k++) {
                        const int r = i * stride - pad / 2 + k / size;
                        const int s = j * stride - pad / 2 + k % size;
                        if (r < 0 || s < 0 || r >= x.H || s >= x.W) continue;
                        most = fmax(most, *at(&x, n, c, r, s));
                        sum += *at(&x, n, c, r, s);
                        inside++;
                    }
                    *at(y, n, c, i, j) = mean ? sum / inside : most;
                }
}

/* A layer of the shape [C, H, W] whose value is f(n, c, y, x). */
typedef double (*value_of)(const tensor *x, int n, int c, int i, int j);

static void fill(int C, int H, int W, value_of f)
{
    const tensor x = *last();
    tensor *y = push(C, H, W);
    for (int n = 0; n < SAMPLES; n++)
        for (int c = 0; c < C; c++)
            for (int i = 0; i < (H ? H : 1); i++)
                for (int j = 0; j < (H ? W : 1); j++) *at(y, n, c, i, j) = f(&x, n, c, i, j);
}

/* ---- the net itself ---- */

/* Predicts with the net that the text describes and compares what its last layer says. */
static void compare(cvn_mode mode)
{
    cvn_net *net = cvn_create(NULL);
    const tensor *y = last();
    float *in = (float *)malloc(SAMPLES * size_of(&m.input) * sizeof(float));
    float *out = (float *)malloc(SAMPLES * size_of(y) * sizeof(float));
    size_t size;
    const unsigned char *file;
    double worst = 0;
    for (size_t i = 0; i < SAMPLES * size_of(&m.input); i++) in[i] = (float)m.input.v[i];
    file = weights_file(2, &size);
    CHECKF(cvn_load_darknet_memory(net, m.text, m.length, file, size) == CVN_OK, "%s",
           cvn_error(net));
    CHECKF((mode == CVN_TRAIN ? cvn_build(net, SAMPLES) : cvn_build_infer(net, SAMPLES)) == CVN_OK,
           "%s", cvn_error(net));
    CHECKF(cvn_predict(net, in, SAMPLES, out) == CVN_OK, "%s", cvn_error(net));
    for (size_t i = 0; i < SAMPLES * size_of(y) && !*cvn_error(net); i++)
        worst = fmax(worst, fabs((double)out[i] - y->v[i]) / (1 + fabs(y->v[i])));
    CHECKF(worst < 5e-5, "off by %g", worst);
    cvn_destroy(net);
    free(in);
    free(out);
}

static void check_net(void)
{
    compare(CVN_INFER);
    compare(CVN_TRAIN);
}

/* ---- layers ---- */

static void convolutions(void)
{
    static const conv_case cases[] = {
        { 4, 3, 1, 1, 1, 1, 1, 1, "leaky" },    { 5, 3, 2, 2, 1, 1, 1, 0, "relu" },
        { 6, 1, 1, 1, 0, 1, 1, 1, "linear" },   { 6, 5, 2, 1, 2, 1, 3, 1, "mish" },
        { 3, 3, 1, 1, 1, 2, 1, 0, "linear" },   { 6, 3, 1, 1, 1, 1, 6, 1, "leaky" },
        { 2, 4, 3, 2, 1, 1, 2, 0, "logistic" }, { 6, 2, 2, 2, 0, 1, 1, 1, "swish" }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_case("convolution %d", (int)i);
        begin(6, 9, 11);
        conv(cases[i]);
        conv(cases[0]);
        check_net();
    }
}

static void activations(void)
{
    static const char *const names[] = { "linear", "leaky", "relu",  "relu6", "logistic", "mish",
                                         "swish",  "tanh",  "elu",   "selu",  "gelu",     "loggy",
                                         "relie",  "ramp",  "plse",  "hardtan", "lhtan" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tensor *y;
        test_case("%s", names[i]);
        begin(3, 4, 5);
        for (size_t k = 0; k < SAMPLES * size_of(&m.input); k++) m.input.v[k] *= 3;
        say("[activation]\nactivation=%s\n", names[i]);
        y = push(3, 4, 5);
        memcpy(y->v, m.input.v, SAMPLES * size_of(y) * sizeof(double));
        activate(y, names[i]);
        check_net();
    }
}

static void pools(void)
{
    static const int cases[][3] = { { 2, 2, -1 }, { 2, 1, -1 }, { 3, 1, -1 }, { 3, 2, -1 },
                                    { 5, 1, -1 }, { 9, 1, -1 }, { 3, 3, 0 },  { 2, 2, 0 },
                                    { 3, 2, 1 },  { 1, 2, -1 } };
    for (int kind = 0; kind < 2; kind++) {
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            for (int odd = 0; odd < 2; odd++) {
                test_case("%s %d/%d padding %d, odd %d", kind ? "local_avgpool" : "maxpool",
                          cases[i][0], cases[i][1], cases[i][2], odd);
                begin(3, 8 + odd, 10 + odd);
                pool(kind ? "local_avgpool" : "maxpool", cases[i][0], cases[i][1], cases[i][2]);
                check_net();
            }
        }
    }
}

static double mean_of(const tensor *x, int n, int c, int i, int j)
{
    double sum = 0;
    (void)i;
    (void)j;
    for (size_t k = 0; k < area(x); k++) sum += at(x, n, c, 0, 0)[k];
    return sum / (double)area(x);
}

static int softmax_groups;

static double softmax_of(const tensor *x, int n, int c, int i, int j)
{
    const int part = (int)size_of(x) / softmax_groups;
    const double *v = x->v + (size_t)n * size_of(x), *first = v + c / part * part;
    double sum = 0;
    (void)i;
    (void)j;
    for (int k = 0; k < part; k++) sum += exp(first[k] / 2);
    return exp(v[c] / 2) / sum;
}

static double spatial_of(const tensor *x, int n, int c, int i, int j)
{
    double sum = 0;
    for (int k = 0; k < x->C; k++) sum += exp(*at(x, n, k, i, j));
    return exp(*at(x, n, c, i, j)) / sum;
}

static void classifiers(void)
{
    for (int groups = 1; groups < 4; groups += 2) {
        test_case("%d groups", groups);
        begin(3, 5, 7);
        pointwise(6, "leaky");
        say("[avgpool]\n");
        fill(6, 1, 1, mean_of);
        say("[dropout]\nprobability=50e-2\n");
        fill(6, 1, 1, mean_of);
        connected(9, 1, "relu");
        connected(6, 0, "linear");
        say("[softmax]\ngroups=%d\ntemperature=.2E+1\n[cost]\ntype=sse\n", groups);
        softmax_groups = groups;
        fill(6, 0, 0, softmax_of);
        check_net();
    }
    test_case("a softmax over an image");
    begin(2, 3, 4);
    say("[softmax]\ntemperature=2.0\n");
    softmax_groups = 1;
    fill(24, 0, 0, softmax_of);
    check_net();
    test_case("spatial");
    begin(4, 3, 4);
    say("[softmax]\nspatial=1\n");
    fill(4, 3, 4, spatial_of);
    check_net();
    test_case("a vector");
    begin(7, 0, 0);
    connected(5, 0, "tanh");
    check_net();
}

/* ---- layers that read others ---- */

static void route(const int *from, int count, int groups, int group)
{
    int C = 0;
    tensor parts[4], *y;
    say("[route]\nlayers = ");
    for (int i = 0; i < count; i++) {
        say(i ? ", %d" : "%d", from[i]);
        parts[i] = *layer(from[i]);
        C += parts[i].C / groups;
    }
    say("\ngroups=%d\ngroup_id=%d\n", groups, group);
    y = push(C, parts[0].H, parts[0].W);
    for (int n = 0; n < SAMPLES; n++) {
        for (int i = 0, c = 0; i < count; c += parts[i].C / groups, i++) {
            memcpy(at(y, n, c, 0, 0), at(&parts[i], n, parts[i].C / groups * group, 0, 0),
                   (size_t)(parts[i].C / groups) * area(y) * sizeof(double));
        }
    }
}

static void routes(void)
{
    static const int one[] = { 0 }, back[] = { -1, -2, 0 }, same[] = { -1 };
    test_case("routes");
    begin(3, 4, 5);
    pointwise(4, "leaky");
    pointwise(6, "leaky");
    route(back, 3, 1, 0);
    route(back, 2, 2, 1);
    route(same, 1, 2, 0);
    pointwise(3, "linear");
    route(one, 1, 1, 0);
    route(same, 1, 4, 3);
    check_net();
}

static void shortcut(const int *from, int count, const char *act)
{
    const tensor x = *last();
    tensor others[4], *y;
    say("[shortcut]\nfrom=");
    for (int i = 0; i < count; i++) {
        say(i ? ",%d" : "%d", from[i]);
        others[i] = *layer(from[i]);
    }
    say("\nactivation=%s\n", act);
    y = push(x.C, x.H, x.W);
    memcpy(y->v, x.v, SAMPLES * size_of(&x) * sizeof(double));
    for (int i = 0; i < count; i++)
        for (int n = 0; n < SAMPLES; n++)
            for (int c = 0; c < x.C && c < others[i].C; c++)
                for (int k = 0; k < (int)area(y); k++)
                    at(y, n, c, 0, 0)[k] += *at(&others[i], n, c, k / x.W * (others[i].H / x.H),
                                                k % x.W * (others[i].W / x.W));
    activate(y, act);
}

static void shortcuts(void)
{
    static const int fewer[] = { -2, -3 }, several[] = { -3, 0, -1 };
    test_case("shortcuts");
    begin(3, 4, 5);
    pointwise(4, "leaky");
    pointwise(4, "linear");
    shortcut(fewer, 1, "linear");
    pointwise(6, "linear");
    shortcut(fewer, 1, "leaky");
    pointwise(2, "leaky");
    shortcut(several, 3, "logistic");
    check_net();
    test_case("a shortcut from larger images");
    begin(3, 8, 11);
    pointwise(4, "leaky");
    pool("maxpool", 2, 2, 0);
    pointwise(6, "leaky");
    shortcut(fewer + 1, 1, "linear");
    check_net();
}

static double first_times(const tensor *x, int n, int c, int i, int j)
{
    const int image = x->H > 1;
    return *at(layer(0), n, c, i, j) *
           *at(x, n, x->C > 1 ? c : 0, image ? i : 0, image ? j : 0);
}

static void gates(void)
{
    test_case("squeeze and excitation");
    begin(3, 4, 5);
    pointwise(6, "leaky");
    say("[avgpool]\n");
    fill(6, 1, 1, mean_of);
    pointwise(6, "logistic");
    say("[scale_channels]\nfrom=0\nactivation=linear\n");
    fill(6, 4, 5, first_times);
    check_net();
    test_case("spatial attention");
    begin(3, 4, 5);
    pointwise(6, "leaky");
    pointwise(6, "logistic");
    say("[sam]\nfrom=-2\n");
    fill(6, 4, 5, first_times);
    pointwise(1, "logistic");
    say("[scale_channels]\nfrom=0\nscale_wh=1\n");
    fill(6, 4, 5, first_times);
    check_net();
}

static double upsampled(const tensor *x, int n, int c, int i, int j)
{
    return 0.5 * *at(x, n, c, i / 3, j / 3);
}

static double middle(const tensor *x, int n, int c, int i, int j)
{
    return 2 * *at(x, n, c, i + 1, j + 2) - 1;
}

/* Darknet's order, over the flat values: result [k][j][i] of the shape of the input. */
static double reorg(const tensor *x, int n, int c, int i, int j)
{
    const int s = 2, flat = (c * (x->H / s) + i) * (x->W / s) + j;
    const int column = flat % x->W, row = flat / x->W % x->H, k = flat / (x->W * x->H);
    const int few = x->C / (s * s), offset = k / few;
    return x->v[(size_t)n * size_of(x) +
                (size_t)((k % few * x->H * s + row * s + offset / s) * x->W * s + column * s +
                         offset % s)];
}

static double reorg3d(const tensor *x, int n, int c, int i, int j)
{
    const int offset = c / x->C;
    return *at(x, n, c % x->C, i * 2 + offset / 2, j * 2 + offset % 2);
}

static void geometry(void)
{
    test_case("upsample");
    begin(2, 3, 4);
    say("[upsample]\nstride=3\nscale=.5\n");
    fill(2, 9, 12, upsampled);
    check_net();
    test_case("crop");
    begin(3, 8, 10);
    say("[crop]\ncrop_height=5\ncrop_width=6\nflip=1\nangle=0\n");
    fill(3, 5, 6, middle);
    check_net();
    test_case("reorg");
    begin(8, 4, 6);
    say("[reorg]\nstride=2\n");
    fill(32, 2, 3, reorg);
    check_net();
    test_case("reorg3d");
    begin(3, 4, 6);
    say("[reorg3d]\nstride=2\n");
    fill(12, 2, 3, reorg3d);
    check_net();
}

/* ---- names, values, training, files ---- */

static cvn_net *load(const char *text)
{
    cvn_net *net = cvn_create(NULL);
    CHECKF(cvn_load_darknet_memory(net, text, strlen(text), NULL, 0) == CVN_OK, "%s",
           cvn_error(net));
    return net;
}

static const conv_case small_conv = { 4, 3, 1, 1, 1, 1, 1, 1, "leaky" };

/* conv0, bn0, leaky0, maxpool1, conv2; 4 + 3*4 + 108 + 5 + 20 floats */
static void small_net(void)
{
    begin(3, 6, 8);
    conv(small_conv);
    pool("maxpool", 2, 2, -1);
    pointwise(5, "linear");
}

static void names(void)
{
    static const char *const expected[] = { "bn0.bias", "bn0.weight", "bn0.running_mean",
                                            "bn0.running_var", "conv0.weight", "conv2.bias",
                                            "conv2.weight" };
    cvn_net *net = cvn_create(NULL);
    const float *w = m.weights;
    const unsigned char *file;
    size_t size;
    small_net();
    cvn_input(net, 1, 1, 1);
    cvn_scope(net, "eye");
    file = weights_file(2, &size);
    CHECK(cvn_load_darknet_memory(net, m.text, m.length, file, 20) == CVN_ERROR_FORMAT);
    CHECKF(cvn_load_darknet_memory(net, m.text, m.length, file, size) == CVN_OK, "%s",
           cvn_error(net));
    CHECK(cvn_find(net, "eye.pool1").id > 0);
    CHECK(cvn_build(net, 1) == CVN_OK);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char name[64];
        cvn_param p;
        snprintf(name, sizeof name, "eye.%s", expected[i]);
        p = cvn_param_find(net, name);
        CHECKF(p.value && !memcmp(p.value, w, p.count * sizeof(float)), "%s", name);
        w += p.count;
    }
    CHECK(w == m.weights + m.count);
    cvn_destroy(net);
}

/* A new head on it, a few steps. */
static void trained_on(void)
{
    static const int labels[4] = { 0, 1, 2, 0 };
    static float images[4 * 3 * 6 * 8];
    cvn_net *net = cvn_create(NULL);
    cvn_node x;
    float before = 0, loss = 0;
    const unsigned char *file;
    size_t size;
    small_net();
    file = weights_file(2, &size);
    CHECK(cvn_load_darknet_memory(net, m.text, m.length, file, size) == CVN_OK);
    x = cvn_find(net, "conv2");
    CHECK(x.id > 0);
    cvn_softmax_loss(net, cvn_dense(net, x, 3));
    CHECKF(cvn_build(net, 4) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_param_find(net, "conv0.weight").value != NULL);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) images[i] = (float)uniform(-1, 1);
    for (int step = 0; step < 30; step++) {
        CHECKF(cvn_train_batch(net, images, labels, 4, &loss) == CVN_OK, "%s", cvn_error(net));
        if (!step) before = loss;
    }
    CHECKF(loss < before / 2, "%g, then %g", (double)before, (double)loss);
    cvn_destroy(net);
}

/* The second one finds its names taken; its weights lie where no float can be read. */
static void twice(void)
{
    static unsigned char odd[4 * MAX_WEIGHTS];
    const unsigned char *file;
    size_t size;
    cvn_net *net = cvn_create(NULL);
    cvn_param a, b;
    small_net();
    file = weights_file(2, &size);
    memcpy(odd + 1, file, size);
    for (int i = 0; i < 2; i++)
        CHECK(cvn_load_darknet_memory(net, m.text, m.length, i ? odd + 1 : file, size) == CVN_OK);
    CHECKF(cvn_build_infer(net, 1) == CVN_OK && cvn_param_count(net) == 14, "%s", cvn_error(net));
    a = cvn_param_at(net, 0);
    b = cvn_param_at(net, 7);
    CHECK(strcmp(a.name, b.name) != 0 && a.count == b.count);
    CHECK(!memcmp(a.value, b.value, a.count * sizeof(float)));
    cvn_destroy(net);
}

#define CFG "build/test_darknet.cfg"
#define WEIGHTS "build/test_darknet.weights"

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(bytes, 1, size, file) == size);
    if (file) fclose(file);
}

static void files(void)
{
    cvn_net *net = cvn_create(NULL);
    const unsigned char *file;
    size_t size;
    small_net();
    file = weights_file(1, &size);
    write_file(CFG, m.text, m.length);
    write_file(WEIGHTS, file, size);
    CHECK(cvn_load_darknet(net, "build/none.cfg", WEIGHTS) == CVN_ERROR_FILE);
    CHECK(strstr(cvn_error(net), "build/none.cfg") != NULL);
    CHECK(cvn_load_darknet(net, CFG, "build/none.weights") == CVN_ERROR_FILE);
    CHECK(cvn_load_darknet(net, NULL, WEIGHTS) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_load_darknet(NULL, CFG, WEIGHTS) == CVN_ERROR_STATE);
    CHECK(cvn_load_darknet(net, WEIGHTS, CFG) == CVN_ERROR_FORMAT);
    CHECKF(cvn_load_darknet(net, CFG, WEIGHTS) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_build_infer(net, 1) == CVN_OK);
    CHECK(!memcmp(cvn_param_find(net, "bn0.bias").value, m.weights, 4 * sizeof(float)));
    CHECK(cvn_load_darknet(net, CFG, WEIGHTS) == CVN_ERROR_STATE);
    cvn_destroy(net);
    remove(CFG);
    remove(WEIGHTS);
}

/* ---- boxes ---- */

static int by_all(const void *a, const void *b)
{
    const cvn_box *p = (const cvn_box *)a, *q = (const cvn_box *)b;
    if (p->score != q->score) return p->score < q->score ? 1 : -1;
    if (p->label != q->label) return p->label - q->label;
    if (p->x1 != q->x1) return p->x1 < q->x1 ? -1 : 1;
    if (p->y1 != q->y1) return p->y1 < q->y1 ? -1 : 1;
    if (p->x2 != q->x2) return p->x2 < q->x2 ? -1 : 1;
    return p->y2 < q->y2 ? -1 : p->y2 > q->y2;
}

static int near_boxes(cvn_box *a, cvn_box *b, int count)
{
    double worst = 0;
    qsort(a, (size_t)count, sizeof *a, by_all);
    qsort(b, (size_t)count, sizeof *b, by_all);
    for (int i = 0; i < count; i++) {
        worst = fmax(worst, fabs((double)a[i].x1 - (double)b[i].x1));
        worst = fmax(worst, fabs((double)a[i].y1 - (double)b[i].y1));
        worst = fmax(worst, fabs((double)a[i].x2 - (double)b[i].x2));
        worst = fmax(worst, fabs((double)a[i].y2 - (double)b[i].y2));
        worst = fmax(worst, 100 * fabs((double)a[i].score - (double)b[i].score));
        if (a[i].label != b[i].label) worst = 1e9;
    }
    return worst < 1e-3;
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }

enum { BOXES = 2000 };

static void put(cvn_box *out, int *count, double threshold, double x, double y, double w, double h,
                double score, int label)
{
    cvn_box b;
    if (score < threshold) return;
    b.x1 = (float)(x - w / 2);
    b.y1 = (float)(y - h / 2);
    b.x2 = (float)(x + w / 2);
    b.y2 = (float)(y + h / 2);
    b.score = (float)score;
    b.label = label;
    out[(*count)++] = b;
}

/* v [boxes*(5 + classes), H, W] or version 1's order; the image has 8 pixels a cell. */
static int decode(const cvn_yolo_desc *d, const float *v, int H, int W, double threshold,
                  cvn_box *out)
{
    const int C = d->classes, S = H * W;
    int count = 0;
    for (int b = 0; b < d->boxes; b++) {
        for (int i = 0; i < S; i++) {
            double t[4], p[64], sum = 0, o = 0;
            for (int k = 0; k < 5 + C; k++) {
                const int grid = k < 4   ? S * (C + d->boxes) + (i * d->boxes + b) * 4 + k
                                 : k > 4 ? i * C + k - 5
                                         : S * C + i * d->boxes + b;
                double e = v[d->kind == CVN_YOLO_GRID ? grid : (b * (5 + C) + k) * S + i];
                if (d->kind != CVN_YOLO_GRID && !d->new_coords && (k < 2 || k == 4))
                    e = logistic(e);
                if (k < 4) t[k] = e;
                else if (k > 4) p[k - 5] = e;
                else o = e;
            }
            for (int k = 0; k < C; k++) sum += exp(p[k]);
            for (int k = 0; k < C; k++) {
                if (d->softmax) p[k] = exp(p[k]) / sum;
                else if (d->kind != CVN_YOLO_GRID && !d->new_coords) p[k] = logistic(p[k]);
                if (d->kind == CVN_YOLO_GRID) {
                    const double w = d->square_root ? t[2] * t[2] : t[2];
                    const double h = d->square_root ? t[3] * t[3] : t[3];
                    put(out, &count, threshold, (i % W + t[0]) * 8, (i / W + t[1]) * 8, w * 8 * W,
                        h * 8 * H, o * p[k], k);
                } else {
                    const double s = d->kind == CVN_YOLO_REGION ? 8 : 1;
                    const double z = (double)d->scale_x_y;
                    const double w = d->new_coords ? 4 * t[2] * t[2] : exp(t[2]);
                    const double h = d->new_coords ? 4 * t[3] * t[3] : exp(t[3]);
                    put(out, &count, threshold, (i % W + t[0] * z - (z - 1) / 2) * 8,
                        (i / W + t[1] * z - (z - 1) / 2) * 8, w * (double)d->anchors[b][0] * s,
                        h * (double)d->anchors[b][1] * s, o * p[k], k);
                }
            }
        }
    }
    return count;
}

static void heads(void)
{
    static const struct { const char *text; cvn_yolo_desc d; } cases[] = {
        { "[yolo]\nmask=2,0\nnum=3\nclasses=3\nanchors=10,14, 23,27, 37.5,58\n",
          { CVN_YOLO, 3, 2, { { 37.5f, 58 }, { 10, 14 } }, 1, 0, 0, 0, 0 } },
        { "[yolo]\nnum=2\nclasses=3\nanchors=10,14, 23,27\nscale_x_y=1.2\n",
          { CVN_YOLO, 3, 2, { { 10, 14 }, { 23, 27 } }, 1.2f, 0, 0, 0, 0 } },
        { "[yolo]\nnum=2\nclasses=3\nanchors=10,14, 23,27\nscale_x_y=2\nnew_coords=1\n",
          { CVN_YOLO, 3, 2, { { 10, 14 }, { 23, 27 } }, 2, 1, 0, 0, 0 } },
        { "[region]\nanchors = 1.08,1.19,  3.42,4.41,\nclasses=3\ncoords=4\nnum=2\nsoftmax=1\n",
          { CVN_YOLO_REGION, 3, 2, { { 1.08f, 1.19f }, { 3.42f, 4.41f } }, 1, 0, 1, 0, 0 } },
        { "[region]\nanchors = 1.08,1.19,  3.42,4.41\nclasses=3\nnum=2\n",
          { CVN_YOLO_REGION, 3, 2, { { 1.08f, 1.19f }, { 3.42f, 4.41f } }, 1, 0, 0, 0, 0 } },
        { "[detection]\nclasses=3\ncoords=4\nside=4\nnum=2\nsqrt=1\n",
          { CVN_YOLO_GRID, 3, 2, { { 0, 0 } }, 1, 0, 0, 1, 4 } },
        { "[detection]\nclasses=3\ncoords=4\nside=4\nnum=2\nsoftmax=1\n",
          { CVN_YOLO_GRID, 3, 2, { { 0, 0 } }, 1, 0, 1, 0, 4 } }
    };
    static cvn_box found[BOXES], wanted[BOXES], best[BOXES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int grid = cases[i].d.kind == CVN_YOLO_GRID, W = grid ? 4 : 5;
        const int elements = grid ? 16 * 13 : 16 * 20;
        float in[SAMPLES * 3 * 32 * 40], out[SAMPLES * 16 * 20];
        cvn_net *net;
        test_case("%s", cases[i].text);
        begin(3, 32, 8 * W);
        say("[maxpool]\nsize=8\nstride=8\npadding=0\n");
        if (grid) say("[connected]\noutput=208\nactivation=linear\n");
        else say("[convolutional]\nfilters=16\nsize=1\nactivation=linear\n");
        say("%s", cases[i].text);
        net = load(m.text);
        CHECKF(cvn_build_infer(net, SAMPLES) == CVN_OK, "%s", cvn_error(net));
        for (size_t k = 0; k < sizeof in / sizeof *in; k++) in[k] = (float)uniform(-2, 2);
        CHECK(cvn_yolo_boxes(net, 0, 0.2f, found, BOXES) == CVN_ERROR_STATE);
        CHECK(cvn_predict(net, in, SAMPLES, out) == CVN_OK);
        for (int n = 0; n < SAMPLES; n++) {
            const int count =
                decode(&cases[i].d, out + n * elements, 4, W, 0.2000001, wanted);
            CHECK(count > 5);
            CHECKF(cvn_yolo_boxes(net, n, 0.2f, found, BOXES) == count, "%d", count);
            CHECK(near_boxes(found, wanted, count));
            for (int most = 0; most < count; most += 3) {
                CHECK(cvn_yolo_boxes(net, n, 0.2f, best, most) == most);
                CHECK(near_boxes(best, wanted, most));
            }
        }
        CHECK(cvn_yolo_boxes(net, SAMPLES, 0.2f, found, BOXES) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_yolo_boxes(net, -1, 0.2f, found, BOXES) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_yolo_boxes(net, 0, 0, found, BOXES) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_yolo_boxes(net, 0, 0.2f, NULL, 1) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_yolo_boxes(net, 0, 0.2f, NULL, 0) == 0);
        cvn_destroy(net);
    }
    CHECK(cvn_yolo_boxes(NULL, 0, 0.2f, found, BOXES) == CVN_ERROR_STATE);
}

/* Two heads, one of them not on the way to the output; a shared net finds them too. */
static void two_heads(void)
{
    static const char text[] = "[net]\nwidth=16\nheight=16\nchannels=1\n"
                               "[convolutional]\nfilters=6\nstride=4\nactivation=linear\n"
                               "[yolo]\nclasses=1\nnum=1\nanchors=4,4\n"
                               "[route]\nlayers=0\n"
                               "[convolutional]\nfilters=6\nstride=2\nactivation=linear\n"
                               "[yolo]\nclasses=1\nnum=1\nanchors=8,8\n";
    static cvn_box boxes[100];
    float in[256], out[6 * 4];
    cvn_net *net = load(text), *other;
    int count, large = 0;
    for (int i = 0; i < 256; i++) in[i] = (float)uniform(-1, 1);
    CHECKF(cvn_build_infer(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_predict(net, in, 1, out) == CVN_OK);
    count = cvn_yolo_boxes(net, 0, 1e-6f, boxes, 100);
    CHECKF(count == 16 + 4, "%d", count);
    CHECKF(cvn_save_onnx_size(net, NULL) > 0, "%s", cvn_error(net));
    other = cvn_share(net);
    CHECK(cvn_build_infer(other, 1) == CVN_OK);
    CHECK(cvn_predict(other, in, 1, out) == CVN_OK);
    CHECK(cvn_yolo_boxes(other, 0, 1e-6f, boxes, 100) == count);
    CHECK(cvn_resize(net, 32, 16) == CVN_OK);
    CHECKF(cvn_param_find(net, "conv0.weight").value != NULL, "%s", cvn_error(net));
    {
        float big[512], y[48];
        for (int i = 0; i < 512; i++) big[i] = in[i % 256];
        CHECK(cvn_predict(net, big, 1, y) == CVN_OK);
        count = cvn_yolo_boxes(net, 0, 1e-6f, boxes, 100);
        CHECK(count == 32 + 8);
        for (int i = 0; i < count; i++) large += boxes[i].y1 > 16;
        CHECK(large > 0);
    }
    cvn_destroy(other);
    cvn_destroy(net);
}

/* Gradients go through a head as they are. */
static void head_gradients(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_yolo_desc d = cvn_yolo_defaults();
    cvn_node x = cvn_input(net, 7, 3, 2), y;
    float in[42], *dx;
    d.classes = 2;
    d.boxes = 1;
    for (int i = 0; i < 42; i++) in[i] = (float)uniform(-1, 1);
    cvn_want_grad(net, x);
    y = cvn_yolo(net, cvn_scale(net, x, 3, 0), &d);
    cvn_mean_loss(net, cvn_square(net, y));
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, x, in, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECKF(cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
    dx = cvn_gradient(net, x);
    for (int i = 0; i < 42; i++) {
        CHECK_NEAR(cvn_value(net, y)[i], 3 * in[i], 1e-6);
        CHECK_NEAR(dx[i], 2 * 9 * in[i] / 42, 1e-6);
    }
    cvn_destroy(net);
}

static void head_errors(void)
{
    cvn_yolo_desc d = cvn_yolo_defaults();
    d.classes = 2;
    d.boxes = 3;
    for (int i = 0; i < 9; i++) {
        cvn_yolo_desc e = d;
        cvn_net *net = cvn_create(NULL);
        cvn_node x = cvn_input(net, i == 8 ? 22 : 21, 2, 2);
        if (i == 1) e.classes = 0;
        if (i == 2) e.boxes = 17;
        if (i == 3) e.boxes = 0;
        if (i == 4) e.anchors[2][1] = NAN;
        if (i == 5) e.anchors[0][0] = -1;
        if (i == 6) e.kind = CVN_YOLO_GRID;
        if (i == 7) e.kind = (cvn_yolo_kind)3;
        x = cvn_yolo(net, x, i == 9 ? NULL : &e);
        CHECKF((x.id > 0) == (i == 0), "case %d: %s", i, cvn_error(net));
        cvn_destroy(net);
    }
}

static void tables(void)
{
    enum { N = 50, C = 3 };
    static float rows[N * (5 + C)], columns[(4 + C) * N], box[N * 4], score[N * C];
    static cvn_box wanted[3][N * C], found[N * C];
    int counts[3] = { 0, 0, 0 };
    cvn_box_table t[3];
    for (int i = 0; i < N; i++) {
        float *r = rows + i * (5 + C);
        for (int k = 0; k < 5 + C; k++) r[k] = (float)uniform(0, 1);
        for (int k = 0; k < 4 + C; k++) columns[k * N + i] = r[k < 4 ? k : k + 1];
        for (int k = 0; k < 4; k++) box[i * 4 + k] = r[k];
        for (int c = 0; c < C; c++) {
            score[i * C + c] = r[5 + c];
            put(wanted[0], &counts[0], 0.3, (double)r[0], (double)r[1], (double)r[2], (double)r[3],
                (double)(r[4] * r[5 + c]), c);
            put(wanted[1], &counts[1], 0.3, (double)r[0], (double)r[1], (double)r[2], (double)r[3],
                (double)r[5 + c], c);
            put(wanted[2], &counts[2], 0.3, (double)(r[0] + r[2]) / 2, (double)(r[1] + r[3]) / 2,
                (double)(r[2] - r[0]), (double)(r[3] - r[1]), (double)r[5 + c], c);
        }
    }
    memset(t, 0, sizeof t);
    for (int i = 0; i < 3; i++) {
        t[i].boxes = N;
        t[i].classes = C;
    }
    t[0].box = rows;
    t[0].objectness = rows + 4;
    t[0].score = rows + 5;
    t[0].box_row = t[0].score_row = 5 + C;
    t[1].box = columns;
    t[1].score = columns + 4 * N;
    t[1].box_row = t[1].score_row = 1;
    t[1].box_column = t[1].score_column = N;
    t[2].box = box;
    t[2].score = score;
    t[2].corners = 1;
    for (int i = 0; i < 3; i++) {
        test_case("table %d", i);
        CHECK(cvn_table_boxes(&t[i], 0.3f, found, N * C) == counts[i]);
        CHECK(near_boxes(found, wanted[i], counts[i]));
        CHECK(cvn_table_boxes(&t[i], 0.3f, found, 7) == 7);
        CHECK(near_boxes(found, wanted[i], 7));
        t[i].classes = 0;
        CHECK(cvn_table_boxes(&t[i], 0.3f, found, N * C) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_table_boxes(NULL, 0.3f, found, N * C) == CVN_ERROR_ARGUMENT);
    }
}

/* ---- non-maximum suppression ---- */

static double overlap(const cvn_box *a, const cvn_box *b)
{
    const double w = fmin((double)a->x2, (double)b->x2) - fmax((double)a->x1, (double)b->x1);
    const double h = fmin((double)a->y2, (double)b->y2) - fmax((double)a->y1, (double)b->y1);
    const double p = ((double)a->x2 - (double)a->x1) * ((double)a->y2 - (double)a->y1);
    const double q = ((double)b->x2 - (double)b->x1) * ((double)b->y2 - (double)b->y1);
    return w > 0 && h > 0 ? w * h / (p + q - w * h) : 0;
}

/* Again and again the best one that is left, and all that it covers are struck. */
static int plain_nms(const cvn_box *boxes, int count, double iou, int any, cvn_box *out)
{
    static int gone[BOXES];
    int kept = 0;
    memset(gone, 0, sizeof gone);
    for (;;) {
        int best = -1;
        for (int i = 0; i < count; i++)
            if (!gone[i] && (best < 0 || by_all(&boxes[i], &boxes[best]) < 0)) best = i;
        if (best < 0) return kept;
        for (int i = 0; i < count; i++)
            if ((any || boxes[i].label == boxes[best].label) &&
                overlap(&boxes[i], &boxes[best]) > iou)
                gone[i] = 1;
        gone[best] = 1;
        out[kept++] = boxes[best];
    }
}

static void suppression(void)
{
    static cvn_box boxes[BOXES], wanted[BOXES], shuffled[BOXES];
    for (int round = 0; round < 20; round++) {
        const int count = 1 + (int)(draw() % 300), any = round & 1;
        const double iou = 0.1 + 0.04 * round;
        int kept;
        test_case("%d boxes, %g", count, iou);
        for (int i = 0; i < count; i++) {
            cvn_box *b = &boxes[i];
            b->x1 = (float)(draw() % 40);
            b->y1 = (float)(draw() % 40);
            b->x2 = b->x1 + (float)(draw() % 20);           /* some are empty */
            b->y2 = b->y1 + (float)(1 + draw() % 20);
            b->score = (float)(draw() % 20) / 20;           /* many are equal */
            b->label = (int)(draw() % 3);
        }
        memcpy(shuffled, boxes, sizeof boxes);
        for (int i = count - 1; i > 0; i--) {
            const int k = (int)(draw() % (uint32_t)(i + 1));
            const cvn_box b = shuffled[i];
            shuffled[i] = shuffled[k];
            shuffled[k] = b;
        }
        kept = plain_nms(boxes, count, (double)(float)iou, any, wanted);
        CHECK(cvn_nms(boxes, count, (float)iou, any) == kept);
        CHECK(!memcmp(boxes, wanted, (size_t)kept * sizeof *boxes));
        CHECK(cvn_nms(shuffled, count, (float)iou, any) == kept);
        CHECK(!memcmp(shuffled, wanted, (size_t)kept * sizeof *boxes));
    }
    test_case("odd ones");
    boxes[0].x1 = NAN;
    boxes[1].score = INFINITY;
    boxes[2].x1 = boxes[2].y1 = -3e38f;
    boxes[2].x2 = boxes[2].y2 = 3e38f;
    boxes[2].score = 0.5f;
    boxes[3] = boxes[2];
    CHECK(cvn_nms(boxes, 4, 0.5f, 1) == 1);
    CHECK(boxes[0].x2 > 1e38f);
    CHECK(cvn_nms(boxes, 0, 0.5f, 1) == 0);
    CHECK(cvn_nms(NULL, 3, 0.5f, 1) == 0);
}

/* ---- images ---- */

static double triangle(double x) { return fabs(x) < 1 ? 1 - fabs(x) : 0; }

/* Value of channel c at output pixel (y, x) of an image stretched to oh x ow: two sums over the
 * whole image. */
static double resampled(const unsigned char *p, int h, int w, int channels, int oh, int ow, int y,
                        int x, int c)
{
    const double fy = fmax(1, (double)h / oh), fx = fmax(1, (double)w / ow);
    double sum = 0, all = 0;
    for (int i = 0; i < h; i++) {
        for (int j = 0; j < w; j++) {
            const double k = triangle((i + 0.5 - (y + 0.5) * h / oh) / fy) *
                             triangle((j + 0.5 - (x + 0.5) * w / ow) / fx);
            sum += k * p[(i * w + j) * channels + c];
            all += k;
        }
    }
    return sum / all;
}

static void resizing(void)
{
    static const int cases[][4] = { { 7, 9, 7, 9 },  { 30, 41, 8, 9 }, { 5, 4, 13, 11 },
                                    { 16, 3, 5, 8 }, { 1, 1, 4, 4 },   { 12, 20, 1, 1 } };
    static unsigned char in[4096], out[4096], boxed[4096];
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        const int h = cases[k][0], w = cases[k][1], oh = cases[k][2], ow = cases[k][3];
        double worst = 0;
        test_case("%d x %d to %d x %d", h, w, oh, ow);
        for (int i = 0; i < h * w * 3; i++) in[i] = (unsigned char)draw();
        CHECK(cvn_image_resize(in, h, w, 3, 0, out, oh, ow) == CVN_OK);
        for (int i = 0; i < oh * ow * 3; i++)
            worst = fmax(worst, fabs(out[i] - resampled(in, h, w, 3, oh, ow, i / 3 / ow,
                                                        i / 3 % ow, i % 3)));
        CHECKF(worst <= 0.5 + 1e-9, "%g", worst);
        if (h == oh && w == ow) CHECK(!memcmp(in, out, (size_t)(h * w * 3)));
    }
    test_case("letterbox");
    CHECK(cvn_image_resize(in, 10, 20, 3, 1, boxed, 16, 16) == CVN_OK);
    CHECK(cvn_image_resize(in, 10, 20, 3, 0, out, 8, 16) == CVN_OK);
    CHECK(!memcmp(boxed + 4 * 16 * 3, out, 8 * 16 * 3));
    for (int i = 0; i < 4 * 16 * 3; i++) CHECK(boxed[i] == 128 && boxed[12 * 16 * 3 + i] == 128);
    CHECK(cvn_image_resize(in, 20, 10, 3, 1, boxed, 16, 16) == CVN_OK);
    CHECK(boxed[3 * 3] == 128 && boxed[12 * 3] == 128);
    CHECK(cvn_image_resize(NULL, 2, 2, 3, 0, out, 2, 2) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_resize(in, 0, 2, 3, 0, out, 2, 2) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_resize(in, 2, 2, 3, 0, out, 2, 1 << 30) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_image_resize(in, 2, 2, 5, 0, out, 2, 2) == CVN_ERROR_ARGUMENT);
}

static void back_to_the_image(void)
{
    cvn_box b[2] = { { 0, 4, 8, 12, 1, 0 }, { -5, 0, 99, 99, 1, 0 } };
    cvn_boxes_to_image(b, 2, 16, 16, 10, 20, 1);
    CHECK(b[0].x1 == 0 && b[0].y1 == 0 && b[0].x2 == 10 && b[0].y2 == 10);
    CHECK(b[1].x1 == 0 && b[1].y1 == 0 && b[1].x2 == 20 && b[1].y2 == 10);
    b[0].x1 = 4;
    b[0].y2 = 8;
    cvn_boxes_to_image(b, 1, 16, 16, 8, 64, 0);
    CHECK(b[0].x1 == 16 && b[0].x2 == 40 && b[0].y1 == 0 && b[0].y2 == 4);
    cvn_boxes_to_image(NULL, 1, 16, 16, 8, 64, 0);
}

/* ---- hostile files ---- */

#define NET "[net]\nwidth=8\nheight=8\nchannels=3\n"
#define CONV "[convolutional]\nfilters=4\nsize=3\nactivation=leaky\n"

static void refusals(void)
{
    static const struct { const char *text; cvn_result result; const char *says;
    } cases[] = {
        { "", CVN_ERROR_FORMAT, "no [net]" },
        { "[net]\nwidth=8\nheight=8\nchannels=3\n", CVN_ERROR_FORMAT, "no [net] with layers" },
        { "hello\n", CVN_ERROR_FORMAT, "cfg:1: neither" },
        { "width=3\n", CVN_ERROR_FORMAT, "cfg:1: neither" },
        { CONV, CVN_ERROR_FORMAT, "cfg:1: [convolutional]: the first section" },
        { "[net]\n" CONV, CVN_ERROR_FORMAT, "cfg:1: [net]: needs height" },
        { "[net]\nwidth=-8\nheight=8\nchannels=3\n" CONV, CVN_ERROR_FORMAT, "width = -8" },
        { NET "[convolutional\n", CVN_ERROR_FORMAT, "cfg:5: [convolutional]: no ']'" },
        { NET "[", CVN_ERROR_FORMAT, "no ']'" },
        { NET "[lstm]\n", CVN_ERROR_UNSUPPORTED, "cfg:5: [lstm]: layer 0" },
        { NET CONV "[Gaussian_yolo]\n", CVN_ERROR_UNSUPPORTED, "cfg:9: [Gaussian_yolo]: layer 1" },
        { NET CONV "xnor=1\n", CVN_ERROR_UNSUPPORTED, "xnor = 1 is not available" },
        { NET CONV "binary = 1\n", CVN_ERROR_UNSUPPORTED, "binary" },
        { NET "[conv]\nactivation=stair\n", CVN_ERROR_UNSUPPORTED, "activation = stair" },
        { NET "[conv]\nsize=x\n", CVN_ERROR_FORMAT,
          "size = x: up to 1 whole numbers from 1 to 32768" },
        { NET "[conv]\nsize=\n", CVN_ERROR_FORMAT, "size" },
        { NET "[conv]\nsize=1.5\n", CVN_ERROR_FORMAT, "size = 1.5" },
        { NET "[conv]\nsize=99999999999999999999\n", CVN_ERROR_FORMAT, "size" },
        { NET "[conv]\nsize=1e999\n", CVN_ERROR_FORMAT, "size" },
        { NET "[conv]\nsize=1e1e1\n", CVN_ERROR_FORMAT, "size" },
        { NET "[conv]\nsize=1e-1\n", CVN_ERROR_FORMAT, "size" },
        { NET "[conv]\nstride=0\n", CVN_ERROR_FORMAT, "stride = 0" },
        { NET "[conv]\ngroups=2\nfilters=4\n", CVN_ERROR_SHAPE, "[conv]: " },
        { NET "[conv]\nfilters=2147483647\nsize=32768\npad=1\n", CVN_ERROR_SHAPE, "[conv]: " },
        { NET "[conv]\nsize=9\n", CVN_ERROR_SHAPE, "cfg:5: [conv]: conv" },
        { NET "[route]\n", CVN_ERROR_FORMAT, "[route]: has no layers" },
        { NET "[route]\nlayers=0\n", CVN_ERROR_FORMAT, "layers = 0" },
        { NET "[route]\nlayers=-1\n", CVN_ERROR_FORMAT, "layers = -1" },
        { NET CONV "[route]\nlayers=1\n", CVN_ERROR_FORMAT, "layers = 1" },
        { NET CONV "[route]\nlayers=-2\n", CVN_ERROR_FORMAT, "layers = -2" },
        { NET CONV "[route]\nlayers=0\ngroups=3\n", CVN_ERROR_SHAPE, "3 groups" },
        { NET CONV "[route]\nlayers=0\ngroups=2\ngroup_id=2\n", CVN_ERROR_FORMAT, "group_id = 2" },
        { NET CONV "[maxpool]\nsize=2\nstride=2\n[route]\nlayers=0,1\n", CVN_ERROR_SHAPE,
          "[route]: " },
        { NET CONV "[maxpool]\nsize=2\nstride=2\n[upsample]\n[shortcut]\nfrom=1\n", CVN_ERROR_SHAPE,
          "other sizes" },
        { NET CONV "[connected]\noutput=4\n[shortcut]\nfrom=0\n", CVN_ERROR_SHAPE, "other sizes" },
        { NET CONV "[shortcut]\nfrom=-1\nweights_type=per_channel\n", CVN_ERROR_UNSUPPORTED,
          "weights_type" },
        { NET CONV "[shortcut]\nfrom=-1\nbeta=2\n", CVN_ERROR_FORMAT, "beta = 2" },
        { NET CONV "[yolo]\n", CVN_ERROR_FORMAT, "anchor 0 is missing" },
        { NET CONV "[yolo]\nanchors=1,2\nmask=1\n", CVN_ERROR_FORMAT, "anchor 1 is missing" },
        { NET CONV "[yolo]\nanchors=1,2\nmask=-1\n", CVN_ERROR_FORMAT, "mask = -1" },
        { NET CONV "[yolo]\nanchors=1,2\nclasses=3\n", CVN_ERROR_SHAPE, "has not 8 channels" },
        { NET CONV "[detection]\nside=0\n", CVN_ERROR_FORMAT, "side = 0" },
        { NET "[conv]\nfilters=8\n[yolo]\nanchors=1,2\nclasses=3\n[conv]\n", CVN_ERROR_UNSUPPORTED,
          "the head of a detector" },
        { NET "[conv]\nfilters=8\n[yolo]\nanchors=1,2\nclasses=3\n[route]\nlayers=-1\n",
          CVN_ERROR_UNSUPPORTED, "the head of a detector" },
        { NET "[crop]\ncrop_height=9\ncrop_width=4\n", CVN_ERROR_FORMAT, "crop_height = 9" },
        { NET "[reorg]\nreverse=1\n", CVN_ERROR_UNSUPPORTED, "reverse = 1" },
        { NET "[reorg]\nstride=2\n", CVN_ERROR_SHAPE, "stride 2 does not divide" },
        { NET "[connected]\noutput=4\n[reorg]\nstride=2\n", CVN_ERROR_SHAPE, "no image" },
        { NET "[connected]\noutput=4\n[upsample]\nstride=2\n", CVN_ERROR_SHAPE, "[upsample]: " },
        { NET "[upsample]\nstride=32768\n[upsample]\nstride=32768\n", CVN_ERROR_SHAPE,
          "[upsample]" },
        { NET "[softmax]\ngroups=5\n", CVN_ERROR_SHAPE, "[softmax]: " },
        { NET "[maxpool]\nsize=3\npadding=7\n", CVN_ERROR_ARGUMENT, "[maxpool]: " },
        { NET "[dropout]\nprobability=1\n", CVN_ERROR_FORMAT, "probability = 1" }
    };
    cvn_net *net = cvn_create(NULL);
    cvn_node kept = cvn_dense(net, cvn_input_vector(net, 3), 2);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cvn_result r;
        test_case("%s", cases[i].text);
        r = cvn_load_darknet_memory(net, cases[i].text, strlen(cases[i].text), NULL, 0);
        CHECKF(r == cases[i].result, "%s: %s", cvn_result_name(r), cvn_error(net));
        CHECKF(strstr(cvn_error(net), cases[i].says) != NULL, "%s", cvn_error(net));
        CHECK(cvn_param_count(net) == 2 && !cvn_find(net, "conv0").id);
        CHECK(!cvn_find(net, "input2").id);
    }
    CHECK(cvn_find(net, "fc1").id == kept.id);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

static void many_sections(void)
{
    static char text[200000];
    size_t length = (size_t)snprintf(text, sizeof text, NET);
    cvn_net *net = cvn_create(NULL);
    for (int i = 0; i < 5000; i++) {
        memcpy(text + length, "[maxpool]\nsize=1\n", 17);
        length += 17;
    }
    CHECK(cvn_load_darknet_memory(net, text, length, NULL, 0) == CVN_ERROR_FORMAT);
    CHECKF(strstr(cvn_error(net), "more than 1024 layers") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

/* Every size of the weights but one is refused, with both numbers. */
static void weight_sizes(void)
{
    cvn_net *net = cvn_create(NULL);
    unsigned char *file;
    size_t whole;
    char numbers[64];
    small_net();
    file = weights_file(2, &whole);
    for (size_t size = 0; size < whole; size++) {
        unsigned char *copy = (unsigned char *)malloc(size ? size : 1);
        if (!copy) break;
        memcpy(copy, file, size);
        CHECK(cvn_load_darknet_memory(net, m.text, m.length, copy, size) == CVN_ERROR_FORMAT);
        free(copy);
    }
    for (int more = -1; more < 2; more += 2) {
        snprintf(numbers, sizeof numbers, "has %d floats, cfg wants %d", m.count + more, m.count);
        CHECK(cvn_load_darknet_memory(net, m.text, m.length, file, whole + (size_t)(4 * more)) ==
              CVN_ERROR_FORMAT);
        CHECKF(strstr(cvn_error(net), numbers) != NULL, "%s", cvn_error(net));
    }
    file[3] = 1;
    CHECK(cvn_load_darknet_memory(net, m.text, m.length, file, whole) == CVN_ERROR_FORMAT);
    CHECKF(strstr(cvn_error(net), "version") != NULL, "%s", cvn_error(net));
    cvn_destroy(net);
}

static const char rich[] =
    "\xEF\xBB\xBF; a comment\r\n[network]\r\nwidth=8\r\nheight = 8\r\nchannels=3\r\n\r\n"
    "[convolutional]\r\nfilters=4\r\nsize=3\r\npad=1\r\nbatch_normalize=1\r\nactivation=leaky\r\n"
    "[maxpool]\nsize=2\nstride=2\n[conv]\nfilters=4\n[shortcut]\nfrom=-2\n[route]\nlayers=-1,-3\n"
    "[upsample]\n[reorg]\nstride=2\n[avgpool]\n[conn]\noutput=28\n[softmax]\n[detection]\nside=2\n"
    "num=1\nclasses=2\n";

/* Truncated and mutated texts: an answer, and a net that still builds. */
static void mutations(void)
{
    cvn_net *net;
    char text[sizeof rich];
    int loaded = 0;
    for (size_t n = 0; n < sizeof rich; n++) {
        char *copy = (char *)malloc(n ? n : 1);
        if (!copy) break;
        memcpy(copy, rich, n);
        net = cvn_create(NULL);
        loaded += cvn_load_darknet_memory(net, copy, n, NULL, 0) == CVN_OK;
        cvn_destroy(net);
        free(copy);
    }
    CHECK(loaded > 10);
    for (int i = 0; i < MUTATIONS; i++) {
        cvn_result r;
        memcpy(text, rich, sizeof rich);
        for (uint32_t k = 1 + draw() % 4; k > 0; k--)
            text[draw() % (sizeof rich - 1)] = draw() % 3 ? rich[draw() % (sizeof rich - 1)]
                                                          : (char)draw();
        net = cvn_create(NULL);
        r = cvn_load_darknet_memory(net, text, sizeof rich - 1, NULL, 0);
        if (r != CVN_OK) CHECK(cvn_error(net)[0] != 0);
        cvn_input(net, 1, 2, 2);
        CHECK(cvn_memory_needed(net, 1, CVN_INFER) > 0);
        cvn_destroy(net);
    }
}

static void failing_allocator(void)
{
    counting c = { -1, 0 };
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    cvn_result r = CVN_ERROR_MEMORY;
    const unsigned char *file;
    size_t size;
    int n;
    desc.allocator.alloc = count_alloc;
    desc.allocator.free = count_free;
    desc.allocator.user = &c;
    net = cvn_create(&desc);
    small_net();
    file = weights_file(2, &size);
    for (n = 0; r != CVN_OK && n < 1000; n++) {
        c.left = n;
        r = cvn_load_darknet_memory(net, m.text, m.length, file, size);
        c.left = -1;
        CHECKF(r == CVN_OK || r == CVN_ERROR_MEMORY, "%d: %s", n, cvn_error(net));
        if (r != CVN_OK) CHECK(cvn_param_count(net) == 0 && !cvn_find(net, "conv0").id);
    }
    CHECK(r == CVN_OK && n > 20);
    CHECKF(cvn_build_infer(net, 1) == CVN_OK, "%s", cvn_error(net));
    cvn_destroy(net);
}

int main(void)
{
    RUN(convolutions);
    RUN(activations);
    RUN(pools);
    RUN(classifiers);
    RUN(routes);
    RUN(shortcuts);
    RUN(gates);
    RUN(geometry);
    RUN(names);
    RUN(trained_on);
    RUN(twice);
    RUN(files);
    RUN(heads);
    RUN(two_heads);
    RUN(head_gradients);
    RUN(head_errors);
    RUN(tables);
    RUN(suppression);
    RUN(resizing);
    RUN(back_to_the_image);
    RUN(refusals);
    RUN(many_sections);
    RUN(weight_sizes);
    RUN(mutations);
    RUN(failing_allocator);
    begin(1, 1, 1);
    free(m.input.v);
    return test_done();
}
