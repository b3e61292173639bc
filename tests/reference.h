/* reference.h - what the layers are measured against, and how.
 *
 * First half: each layer's forward pass in double precision, straight from its formula, loops as
 * one would write them on paper. Second half: layer_check(), which takes one layer_case and checks
 * everything the library promises of it:
 *
 *   - values in training and prediction mode, against the reference
 *   - the gradients of sum(g*y) for a random g with respect to every input and parameter, against
 *   central differences
 *     of the reference (double precision: the tolerance is 1e-4 of the gradient's size); elements
 *     one by one, and along random directions so that no element is left out
 *   - that parameters' gradients add up over two backward passes
 *   - the layer inside a net, 2*x before it and y*y after it, where the plan may share and reuse
 *   memory; and two of
 *     them with tied parameters on the same inputs
 *   - the same bits for 1, 2, 3, 7 threads, with the library's own spreading and with a caller's
 *   that runs backwards - the same bits with and without desc.keep_all
 *   - fewer samples than the net was built for
 *   - a net built for prediction alone
 *   - all of it for each kernel table that this CPU has
 *
 * Include it behind convnet.h and test.h. C99 and C++11. */
#ifndef CONVNET_TEST_REFERENCE_H
#define CONVNET_TEST_REFERENCE_H

enum { REF_MAX_INPUTS = 4, REF_MAX_PARAMS = 16, REF_SAMPLES = 40, REF_DIRECTIONS = 3 };

/* ================================================================================================
 * cases: one layer with its description, inputs and reference
 * ============================================================================================== */

typedef struct layer_case layer_case;

/* A convolution over any number of axes, transposed or not; the first `axes` elements are used. */
typedef struct ref_conv_desc {
    int axes, transposed, filters, groups, no_bias;
    int kernel[3], stride[3], dilation[3];
    int before[3], after[3];            /* pads */
    int extra[3];                       /* output padding of a transposed one */
    cvn_pad_mode pad_mode;
} ref_conv_desc;

/* x[i] and p[i] as the net has them (labels as whole numbers); y receives the value of the
 * layer. */
typedef void (*ref_forward)(const layer_case *c, int training, double *const *x, double *const *p,
                            double *y);

struct layer_case {
    char text[200];
    int n;                              /* samples */
    int inputs;
    cvn_shape x[REF_MAX_INPUTS];        /* dim[0] = n */
    int label_classes[REF_MAX_INPUTS];  /* > 0: that input holds labels in [0, classes) */
    int label_first[REF_MAX_INPUTS];    /* more than that: labels from this one on */
    int no_gradient[REF_MAX_INPUTS];    /* inputs without a gradient */
    int positive[REF_MAX_INPUTS];       /* inputs in (0, 1) instead of (-1.5, 1.5) */
    int loss;                           /* the value is a scalar loss */
    int weighted;                       /* samples have weights: ref_weight */
    int mixed;                          /* samples are mixed: ref_partner, REF_MIX */
    int big;                            /* few differences only: the reference is slow */
    int ties_itself;                    /* build ties what it adds to what it has added before */
    int varies;                         /* training values are random (dropout): no reference for
                                         * them */
    cvn_shape y;                        /* expected; rank 0 for losses */
    cvn_node (*build)(cvn_net *net, const cvn_node *x, const layer_case *c);
    ref_forward forward;
    /* what build and forward need to know */
    cvn_conv2d_desc conv;
    ref_conv_desc nd;
    cvn_pool_desc pool;
    cvn_dense_desc dense;
    cvn_batchnorm_desc norm;
    cvn_softmax_loss_desc softmax;
    cvn_rnn_desc rnn;                   /* ids of h0, c0, lengths: numbers of the inputs */
    float class_weights[16];
    float a;                            /* slope, alpha, probability */
    int axis, kind;
};

static inline cvn_shape ref_shape(int rank, int d0, int d1, int d2, int d3)
{
    cvn_shape s;
    memset(&s, 0, sizeof s);
    s.rank = rank;
    s.dim[0] = d0;
    s.dim[1] = d1;
    s.dim[2] = d2;
    s.dim[3] = d3;
    return s;
}

static inline int ref_count(cvn_shape s)
{
    int count = 1;
    for (int i = 0; i < s.rank; i++) count *= s.dim[i];
    return count;
}

/* Weight of sample i in a loss; some are 0. */
static inline double ref_weight(const layer_case *c, int i)
{
    return c->weighted ? 0.5 * ((i * 3 + 1) % 5) : 1;
}

/* A mixed sample has the labels of its partner with the share 1 - REF_MIX. */
#define REF_MIX 0.75

static inline int ref_partner(const layer_case *c, int i) { return (i * 2 + 1) % c->n; }

/* Share of label k (0: the own one, 1: the partner's) of position i of `count`, and in *label the
 * label, of t as a label input has them. */
static inline double ref_label_share(const layer_case *c, const double *t, int count, int i, int k,
                                     int *label)
{
    const int each = count / c->n;
    *label = (int)t[k ? ref_partner(c, i / each) * each + i % each : i];
    return !c->mixed ? !k : k ? 1 - REF_MIX : REF_MIX;
}

static inline int ref_same_shape(cvn_shape a, cvn_shape b)
{
    int same = a.rank == b.rank;
    for (int i = 0; same && i < a.rank; i++) same = a.dim[i] == b.dim[i];
    return same;
}

/* ================================================================================================
 * the layers, in double precision
 * ============================================================================================== */

/* Where position i of an axis is read when it lies outside [0, size); -1 reads zero. */
static inline int ref_pad(int i, int size, cvn_pad_mode mode)
{
    if (i >= 0 && i < size) return i;
    if (mode == CVN_PAD_REFLECT) return i < 0 ? -i : 2 * (size - 1) - i;
    if (mode == CVN_PAD_REPLICATE) return i < 0 ? 0 : size - 1;
    return -1;
}

/* One output of the convolution: sum over the group's channels and the kernel. */
static inline double ref_conv2d_at(const layer_case *c, const double *x, const double *w, int group,
                                   int oh, int ow)
{
    const cvn_conv2d_desc *d = &c->conv;
    const int h = c->x[0].dim[2];
    const int wd = c->x[0].dim[3];
    const int channels = c->x[0].dim[1] / d->groups;
    double sum = 0;
    for (int kh = 0; kh < d->kernel_h; kh++) {
        const int ih = ref_pad(oh * d->stride_h - d->pad_top + kh * d->dilation_h, h, d->pad_mode);
        for (int kw = 0; kw < d->kernel_w; kw++) {
            const int iw = ref_pad(ow * d->stride_w - d->pad_left + kw * d->dilation_w, wd,
                                   d->pad_mode);
            if (ih < 0 || iw < 0) continue;
            for (int k = 0; k < channels; k++)
                sum += x[((group * channels + k) * h + ih) * wd + iw] *
                       w[(k * d->kernel_h + kh) * d->kernel_w + kw];
        }
    }
    return sum;
}

/* c->conv complete (no zeros that stand for defaults); p: weight, bias */
static inline void ref_conv2d(const layer_case *c, int training, double *const *x, double *const *p,
                              double *y)
{
    const cvn_conv2d_desc *d = &c->conv;
    const int per_filter = c->x[0].dim[1] / d->groups * d->kernel_h * d->kernel_w;
    const int per_image = ref_count(c->x[0]) / c->n;
    (void)training;
    for (int n = 0; n < c->n; n++)
        for (int f = 0; f < d->filters; f++)
            for (int oh = 0; oh < c->y.dim[2]; oh++)
                for (int ow = 0; ow < c->y.dim[3]; ow++)
                    *y++ = ref_conv2d_at(c, x[0] + n * per_image, p[0] + f * per_filter,
                                         f / (d->filters / d->groups), oh, ow) +
                           (d->no_bias ? 0.0 : p[1][f]);
}

/* Coordinates of place `at` of a box; returns the number of places. */
static inline int ref_coordinates(int at, const int *size, int axes, int *out)
{
    int count = 1;
    for (int i = axes - 1; i >= 0; i--) {
        if (out) out[i] = at / count % size[i];
        count *= size[i];
    }
    return count;
}

/* Place in the input that the output `o` reads through tap `tap`, or -1. */
static inline int ref_conv_reads(const layer_case *c, int o, int tap)
{
    const ref_conv_desc *d = &c->nd;
    int at[3];
    int k[3];
    int place = 0;
    ref_coordinates(o, c->y.dim + 2, d->axes, at);
    ref_coordinates(tap, d->kernel, d->axes, k);
    for (int i = 0; i < d->axes; i++) {
        const int size = c->x[0].dim[2 + i];
        const int in = ref_pad(at[i] * d->stride[i] + k[i] * d->dilation[i] - d->before[i], size,
                               d->pad_mode);
        if (in < 0) return -1;
        place = place * size + in;
    }
    return place;
}

/* y[n, f, o] = bias[f] + sum over c, k of w[f, c, k] * x[n, c, o*stride + k*dilation - before] */
static inline void ref_conv_nd(const layer_case *c, int training, double *const *x,
                               double *const *p, double *y)
{
    const ref_conv_desc *d = &c->nd;
    const int taps = ref_coordinates(0, d->kernel, d->axes, NULL);
    const int in = ref_coordinates(0, c->x[0].dim + 2, d->axes, NULL);
    const int out = ref_coordinates(0, c->y.dim + 2, d->axes, NULL);
    const int channels = c->x[0].dim[1];
    const int each = channels / d->groups;
    (void)training;
    for (int i = 0; i < c->n * d->filters * out; i++) {
        const int f = i / out % d->filters;
        const int c0 = i / out / d->filters * channels + f / (d->filters / d->groups) * each;
        y[i] = d->no_bias ? 0 : p[1][f];
        for (int k = 0; k < taps; k++) {
            const int at = ref_conv_reads(c, i % out, k);
            for (int m = 0; at >= 0 && m < each; m++)
                y[i] += x[0][(c0 + m) * in + at] * p[0][(f * each + m) * taps + k];
        }
    }
}

/* Place in the output that input `at` is added to through tap `tap`, or -1. */
static inline int ref_conv_writes(const layer_case *c, int at, int tap)
{
    const ref_conv_desc *d = &c->nd;
    int from[3];
    int k[3];
    int place = 0;
    ref_coordinates(at, c->x[0].dim + 2, d->axes, from);
    ref_coordinates(tap, d->kernel, d->axes, k);
    for (int i = 0; i < d->axes; i++) {
        const int o = from[i] * d->stride[i] + k[i] * d->dilation[i] - d->before[i];
        if (o < 0 || o >= c->y.dim[2 + i]) return -1;
        place = place * c->y.dim[2 + i] + o;
    }
    return place;
}

/* Transposed: each input element adds its kernel to the output. p: weight [in, filters/groups,
 * ...], bias */
static inline void ref_conv_transposed(const layer_case *c, int training, double *const *x,
                                       double *const *p, double *y)
{
    const ref_conv_desc *d = &c->nd;
    const int taps = ref_coordinates(0, d->kernel, d->axes, NULL);
    const int in = ref_coordinates(0, c->x[0].dim + 2, d->axes, NULL);
    const int out = ref_coordinates(0, c->y.dim + 2, d->axes, NULL);
    const int channels = c->x[0].dim[1];
    const int each = d->filters / d->groups;
    (void)training;
    for (int i = 0; i < c->n * d->filters * out; i++)
        y[i] = d->no_bias ? 0 : p[1][i / out % d->filters];
    for (int i = 0; i < c->n * channels * in; i++) {
        const int m = i / in % channels;
        const int f0 = i / in / channels * d->filters + m / (channels / d->groups) * each;
        for (int k = 0; k < taps; k++) {
            const int at = ref_conv_writes(c, i % in, k);
            for (int f = 0; at >= 0 && f < each; f++)
                y[(f0 + f) * out + at] += x[0][i] * p[0][(m * each + f) * taps + k];
        }
    }
}

/* x as rows of `in` values, whatever the axes before; p: weight [units, in], bias */
static inline void ref_dense(const layer_case *c, int training, double *const *x, double *const *p,
                             double *y)
{
    const int rows = ref_count(c->y) / c->dense.units;
    const int in = ref_count(c->x[0]) / rows;
    (void)training;
    for (int r = 0; r < rows; r++)
        for (int u = 0; u < c->dense.units; u++) {
            double sum = c->dense.no_bias ? 0.0 : p[1][u];
            for (int k = 0; k < in; k++) sum += x[0][r * in + k] * p[0][u * in + k];
            *y++ = sum;
        }
}

/* PyTorch's rule: with ceil_mode the last window must start inside the image or its left
 * padding. */
static inline int ref_pool_size(int size, int kernel, int stride, int before, int after,
                                int ceil_mode)
{
    const int room = size + before + after - kernel;
    int out = (room + (ceil_mode ? stride - 1 : 0)) / stride + 1;
    if (ceil_mode && (out - 1) * stride >= size + before) out--;
    return out;
}

/* One window [h0, h1) x [w0, w1) of one channel, image coordinates, its parts outside the image
 * included. */
static inline double ref_pool_at(const double *x, int h, int w, int h0, int h1, int w0, int w1,
                                 int mean, int divisor)
{
    double best = -HUGE_VAL;
    double sum = 0;
    int inside = 0;
    for (int i = h0 < 0 ? 0 : h0; i < h1 && i < h; i++)
        for (int j = w0 < 0 ? 0 : w0; j < w1 && j < w; j++) {
            sum += x[i * w + j];
            inside++;
            if (x[i * w + j] > best) best = x[i * w + j];
        }
    return mean ? sum / (divisor ? divisor : inside) : best;
}

/* kind 0: maximum, 1: mean. PyTorch's divisor counts the padding but not what ceil_mode adds behind
 * it. */
static inline void ref_pool(const layer_case *c, int training, double *const *x, double *const *p,
                            double *y)
{
    const cvn_pool_desc *d = &c->pool;
    const int h = c->x[0].dim[2];
    const int w = c->x[0].dim[3];
    (void)training;
    (void)p;
    for (int plane = 0; plane < c->n * c->x[0].dim[1]; plane++)
        for (int oh = 0; oh < c->y.dim[2]; oh++)
            for (int ow = 0; ow < c->y.dim[3]; ow++) {
                const int h0 = oh * d->stride_h - d->pad_top;
                const int w0 = ow * d->stride_w - d->pad_left;
                const int h1 = h0 + d->kernel_h < h + d->pad_bottom ? h0 + d->kernel_h
                                                                    : h + d->pad_bottom;
                const int w1 = w0 + d->kernel_w < w + d->pad_right ? w0 + d->kernel_w
                                                                   : w + d->pad_right;
                *y++ = ref_pool_at(x[0] + plane * h * w, h, w, h0, h1, w0, w1, c->kind,
                                   d->exclude_pad ? 0 : (h1 - h0) * (w1 - w0));
            }
}

static inline void ref_global_pool(const layer_case *c, int training, double *const *x,
                                   double *const *p, double *y)
{
    const int h = c->x[0].dim[2];
    const int w = c->x[0].dim[3];
    (void)training;
    (void)p;
    for (int plane = 0; plane < c->n * c->x[0].dim[1]; plane++)
        y[plane] = ref_pool_at(x[0] + plane * h * w, h, w, 0, h, 0, w, c->kind, 0);
}

/* Mean and biased variance of one channel of [N, C, inner]. */
static inline void ref_moments(const double *x, int n, int channels, int inner, int channel,
                               double *mean, double *var)
{
    double sum = 0;
    double square = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < inner; j++) sum += x[(i * channels + channel) * inner + j];
    *mean = sum / (n * inner);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < inner; j++) {
            const double d = x[(i * channels + channel) * inner + j] - *mean;
            square += d * d;
        }
    *var = square / (n * inner);
}

/* p: weight, bias, running_mean, running_var, or with no_affine the last two */
static inline void ref_batchnorm(const layer_case *c, int training, double *const *x,
                                 double *const *p, double *y)
{
    const int channels = c->x[0].dim[1];
    const int inner = ref_count(c->x[0]) / (c->n * channels);
    const double eps = c->norm.eps > 0 ? (double)c->norm.eps : 1e-5;
    double *const *running = c->norm.no_affine ? p : p + 2;
    for (int k = 0; k < channels; k++) {
        const double weight = c->norm.no_affine ? 1.0 : p[0][k];
        const double bias = c->norm.no_affine ? 0.0 : p[1][k];
        double mean = running[0][k];
        double var = running[1][k];
        if (training) ref_moments(x[0], c->n, channels, inner, k, &mean, &var);
        for (int i = 0; i < c->n; i++)
            for (int j = 0; j < inner; j++) {
                const int at = (i * channels + k) * inner + j;
                y[at] = (x[0][at] - mean) / sqrt(var + eps) * weight + bias;
            }
    }
}

enum { REF_RELU, REF_LEAKY_RELU, REF_ELU, REF_SIGMOID, REF_TANH, REF_ACTIVATIONS };

static inline void ref_activation(const layer_case *c, int training, double *const *x,
                                  double *const *p, double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        const double v = x[0][i];
        switch (c->kind) {
        case REF_RELU: y[i] = v > 0 ? v : 0; break;
        case REF_LEAKY_RELU: y[i] = v > 0 ? v : (double)c->a * v; break;
        case REF_ELU: y[i] = v > 0 ? v : (double)c->a * (exp(v) - 1); break;
        case REF_SIGMOID: y[i] = 1 / (1 + exp(-v)); break;
        default: y[i] = tanh(v); break;
        }
    }
}

/* Softmax over c->axis of the shape. */
static inline void ref_softmax(const layer_case *c, int training, double *const *x,
                               double *const *p, double *y)
{
    const int count = c->x[0].dim[c->axis];
    int inner = 1;
    (void)training;
    (void)p;
    for (int i = c->axis + 1; i < c->x[0].rank; i++) inner *= c->x[0].dim[i];
    for (int o = 0; o < ref_count(c->x[0]) / (count * inner); o++)
        for (int i = 0; i < inner; i++) {
            const double *from = x[0] + o * count * inner + i;
            double *to = y + o * count * inner + i;
            double sum = 0;
            for (int k = 0; k < count; k++) sum += exp(from[k * inner]);
            for (int k = 0; k < count; k++) to[k * inner] = exp(from[k * inner]) / sum;
        }
}

/* The same values: flatten, reshape, and dropout in prediction mode. */
static inline void ref_copy(const layer_case *c, int training, double *const *x, double *const *p,
                            double *y)
{
    (void)training;
    (void)p;
    memcpy(y, x[0], (size_t)ref_count(c->y) * sizeof *y);
}

/* Offset in an input of shape s of what output element `at` of shape y reads: axes of size 1 stay
 * at 0. */
static inline int ref_broadcast(cvn_shape s, cvn_shape y, int at)
{
    int stride = 1;
    int offset = 0;
    for (int i = y.rank - 1; i >= 0; i--) {
        offset += (s.dim[i] == 1 ? 0 : at % y.dim[i]) * stride;
        at /= y.dim[i];
        stride *= s.dim[i];
    }
    return offset;
}

/* kind 0: add, 1: mul */
static inline void ref_binary(const layer_case *c, int training, double *const *x, double *const *p,
                              double *y)
{
    (void)training;
    (void)p;
    for (int i = 0; i < ref_count(c->y); i++) {
        const double a = x[0][ref_broadcast(c->x[0], c->y, i)];
        const double b = x[1][ref_broadcast(c->x[1], c->y, i)];
        y[i] = c->kind ? a * b : a + b;
    }
}

static inline void ref_concat(const layer_case *c, int training, double *const *x, double *const *p,
                              double *y)
{
    int outer = 1;
    (void)training;
    (void)p;
    for (int i = 0; i < c->axis; i++) outer *= c->y.dim[i];
    for (int o = 0; o < outer; o++)
        for (int k = 0; k < c->inputs; k++) {
            const int run = ref_count(c->x[k]) / outer;
            for (int i = 0; i < run; i++) *y++ = x[k][o * run + i];
        }
}

/* log softmax of class k, a column of `classes` values that are `step` apart */
static inline double ref_log_softmax(const double *x, int classes, int step, int k)
{
    double most = x[0];
    double sum = 0;
    for (int i = 1; i < classes; i++) most = x[i * step] > most ? x[i * step] : most;
    for (int i = 0; i < classes; i++) sum += exp(x[i * step] - most);
    return x[k * step] - most - log(sum);
}

/* x: logits, labels; classes on axis c->axis */
static inline void ref_softmax_loss(const layer_case *c, int training, double *const *x,
                                    double *const *p, double *y)
{
    const int classes = c->x[0].dim[c->axis];
    const double e = (double)c->softmax.label_smoothing;
    const int ignored = c->softmax.ignore_index ? c->softmax.ignore_index : -100;
    const int count = ref_count(c->x[1]);
    double total = 0;
    double divisor = 0;
    int inner = 1;
    (void)training;
    (void)p;
    for (int i = c->axis + 1; i < c->x[0].rank; i++) inner *= c->x[0].dim[i];
    for (int i = 0; i < 2 * count; i++) {
        const int at = i / 2;
        const double *column = x[0] + at / inner * classes * inner + at % inner;
        double smooth = 0;
        double weight;
        int t;
        const double share = ref_label_share(c, x[1], count, at, i % 2, &t);
        if (t == ignored || share == 0) continue;
        weight = c->softmax.class_weights ? (double)c->class_weights[t] : 1.0;
        for (int k = 0; k < classes; k++)
            smooth += (c->softmax.class_weights ? (double)c->class_weights[k] : 1.0) *
                      ref_log_softmax(column, classes, inner, k);
        total -= ref_weight(c, at / (count / c->n)) * share *
                 ((1 - e) * weight * ref_log_softmax(column, classes, inner, t) +
                  e / classes * smooth);
        divisor += share * weight;
    }
    y[0] = total / divisor * (c->softmax.weight > 0 ? (double)c->softmax.weight : 1.0);
}

static inline void ref_mse_loss(const layer_case *c, int training, double *const *x,
                                double *const *p, double *y)
{
    const int count = ref_count(c->x[0]);
    double sum = 0;
    (void)training;
    (void)p;
    for (int i = 0; i < count; i++)
        sum += ref_weight(c, i / (count / c->n)) * (x[0][i] - x[1][i]) * (x[0][i] - x[1][i]);
    y[0] = sum / count;
}

static inline void ref_bce_loss(const layer_case *c, int training, double *const *x,
                                double *const *p, double *y)
{
    const int count = ref_count(c->x[0]);
    double sum = 0;
    (void)training;
    (void)p;
    for (int i = 0; i < count; i++) {
        const double q = 1 / (1 + exp(-x[0][i]));
        sum -= ref_weight(c, i / (count / c->n)) *
               (x[1][i] * log(q) + (1 - x[1][i]) * log(1 - q));
    }
    y[0] = sum / count;
}

/* ================================================================================================
 * data of a case, and the differences of its reference
 * ============================================================================================== */

/* Differences of L = sum(g*y) for one tensor: single elements, and whole directions of signs. */
typedef struct ref_slopes {
    int samples;
    int index[REF_SAMPLES];
    double slope[REF_SAMPLES];
    double along[REF_DIRECTIONS];
    double norm;                        /* estimated from the samples and directions: the gradient's
                                         * size */
} ref_slopes;

typedef struct layer_data {
    int tensors;                        /* inputs, then parameters */
    int counts[REF_MAX_INPUTS + REF_MAX_PARAMS];
    int wants[REF_MAX_INPUTS + REF_MAX_PARAMS];         /* has a gradient */
    float *value[REF_MAX_INPUTS + REF_MAX_PARAMS];
    double *exact[REF_MAX_INPUTS + REF_MAX_PARAMS];
    int *labels[REF_MAX_INPUTS];
    int params;
    int param[REF_MAX_PARAMS];          /* indices for cvn_param_at: running statistics last */
    int outputs;                        /* elements of y */
    float *g;
    double *y, *y_eval, *y_inside;
    ref_slopes slopes[REF_MAX_INPUTS + REF_MAX_PARAMS], inside[REF_MAX_INPUTS + REF_MAX_PARAMS];
} layer_data;

static inline unsigned ref_next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static inline int ref_below(unsigned *state, int n)
{
    return (int)(ref_next(state) % (unsigned)n);
}

static inline void *ref_alloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size);
    if (!p) abort();
    return p;
}

/* A shuffle of evenly spaced values in (low, high), none of them 0: no ties for a maximum, no kink
 * in a difference. */
static inline void ref_fill(float *v, int count, double low, double high, unsigned seed)
{
    unsigned state = seed * 2654435761u + 12345u;
    for (int i = 0; i < count; i++) v[i] = (float)(low + (high - low) * (i + 0.75) / (count + 1));
    for (int i = count - 1; i > 0; i--) {
        const int j = ref_below(&state, i + 1);
        const float t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}

static inline double ref_sign(int tensor, int direction, int index)
{
    unsigned h = (unsigned)index * 2654435761u + (unsigned)(tensor * 8 + direction) * 40503u + 977u;
    h ^= h >> 15;
    h *= 2246822519u;
    h ^= h >> 13;
    return (h & 1u) ? 1.0 : -1.0;
}

/* L = sum(g*y) of the reference; inside: of y(2*x[0])^2. Writes y, exact[0] is back at its value
 * afterwards. */
static inline double ref_objective(const layer_case *c, layer_data *d, int inside, double *y)
{
    double sum = 0;
    for (int i = 0; inside && i < d->counts[0]; i++) d->exact[0][i] *= 2;
    c->forward(c, 1, d->exact, d->exact + c->inputs, y);
    for (int i = 0; inside && i < d->counts[0]; i++) d->exact[0][i] *= 0.5;
    for (int i = 0; i < d->outputs; i++) {
        if (inside && !c->loss) y[i] *= y[i];
        sum += (double)d->g[i] * y[i];
    }
    return sum;
}

/* Central difference along step*direction; index >= 0: along that axis alone. */
static inline double ref_difference(const layer_case *c, layer_data *d, int inside, int tensor,
                                    int index, int direction)
{
    double *const v = d->exact[tensor];
    const int count = d->counts[tensor];
    const double step = count > 2000 ? 0.2 / count : 1e-4;     /* below the spacing of the values */
    double *y = (double *)ref_alloc((size_t)d->outputs, sizeof *y);
    double *kept = (double *)ref_alloc((size_t)count, sizeof *kept);
    double side[2];
    memcpy(kept, v, (size_t)count * sizeof *v);
    for (int s = 0; s < 2; s++) {
        const double by = s ? step : -step;
        if (index >= 0) v[index] = kept[index] + by;
        for (int i = 0; index < 0 && i < count; i++)
            v[i] = kept[i] + by * ref_sign(tensor, direction, i);
        side[s] = ref_objective(c, d, inside, y);
        memcpy(v, kept, (size_t)count * sizeof *v);
    }
    free(y);
    free(kept);
    return (side[1] - side[0]) / (2 * step);
}

static inline void ref_find_slopes(const layer_case *c, layer_data *d, int inside, int tensor,
                                   ref_slopes *s)
{
    const int count = d->counts[tensor];
    const int wanted = c->big ? 2 : inside ? 6 : REF_SAMPLES;
    const int directions = c->big ? 1 : REF_DIRECTIONS;
    unsigned state = (unsigned)tensor * 77u + 5u;
    double square = 0;
    s->samples = wanted < count ? wanted : count;
    for (int i = 0; i < s->samples; i++) {
        s->index[i] = wanted < count ? ref_below(&state, count) : i;
        s->slope[i] = ref_difference(c, d, inside, tensor, s->index[i], 0);
        square += s->slope[i] * s->slope[i];
    }
    s->norm = sqrt(square * count / (s->samples ? s->samples : 1));
    for (int k = 0; k < REF_DIRECTIONS; k++) {
        s->along[k] = k < directions ? ref_difference(c, d, inside, tensor, -1, k) : 0;
        if (fabs(s->along[k]) > s->norm) s->norm = fabs(s->along[k]);
    }
}

/* Inputs, labels and g of the case; the parameters come with ref_add_params. */
static inline void ref_make_inputs(const layer_case *c, layer_data *d)
{
    memset(d, 0, sizeof *d);
    d->tensors = c->inputs;
    d->outputs = ref_count(c->y);
    d->g = (float *)ref_alloc((size_t)d->outputs, sizeof(float));
    ref_fill(d->g, d->outputs, -1, 1, 99);
    if (c->loss) d->g[0] = 1;
    for (int i = 0; i < c->inputs; i++) {
        const int count = ref_count(c->x[i]);
        unsigned state = 31u + (unsigned)i;
        d->counts[i] = count;
        d->value[i] = (float *)ref_alloc((size_t)count, sizeof(float));
        d->labels[i] = (int *)ref_alloc((size_t)count, sizeof(int));
        d->exact[i] = (double *)ref_alloc((size_t)count, sizeof(double));
        d->wants[i] = !c->no_gradient[i] && !c->label_classes[i];
        ref_fill(d->value[i], count, c->positive[i] ? 0 : -1.5, c->positive[i] ? 1 : 1.5,
                 7u + (unsigned)i);
        for (int k = 0; k < count; k++) {
            if (c->label_classes[i]) {
                d->labels[i][k] = c->label_first[i] + ref_below(&state, c->label_classes[i]);
                if (c->softmax.ignore_index && ref_below(&state, 4) == 0 &&
                    k) d->labels[i][k] = c->softmax.ignore_index;
            }
            d->exact[i][k] = c->label_classes[i] ? (double)d->labels[i][k] : (double)d->value[i][k];
        }
    }
}

static inline void ref_add_params(const layer_case *c, layer_data *d, const cvn_net *net)
{
    for (int running = 0; running < 2; running++)
        for (int i = 0; i < cvn_param_count(net) && d->params < REF_MAX_PARAMS; i++)
            if ((strstr(cvn_param_at(net, i).name, "running_") != NULL) == running)
                d->param[d->params++] = i;
    d->tensors = c->inputs + d->params;
    for (int i = 0; i < d->params; i++) {
        const cvn_param p = cvn_param_at(net, d->param[i]);
        const int at = c->inputs + i;
        const int variance = strstr(p.name, "running_var") != NULL;
        d->counts[at] = (int)p.count;
        d->wants[at] = strstr(p.name, "running_") == NULL;
        d->value[at] = (float *)ref_alloc(p.count, sizeof(float));
        d->exact[at] = (double *)ref_alloc(p.count, sizeof(double));
        ref_fill(d->value[at], d->counts[at], variance ? 0.3 : -1, variance ? 2 : 1,
                 51u + (unsigned)i);
        for (int k = 0; k < d->counts[at]; k++) d->exact[at][k] = (double)d->value[at][k];
    }
}

static inline void ref_make_expected(const layer_case *c, layer_data *d)
{
    d->y = (double *)ref_alloc((size_t)d->outputs, sizeof(double));
    d->y_eval = (double *)ref_alloc((size_t)d->outputs, sizeof(double));
    d->y_inside = (double *)ref_alloc((size_t)d->outputs, sizeof(double));
    c->forward(c, 0, d->exact, d->exact + c->inputs, d->y_eval);
    ref_objective(c, d, 0, d->y);
    ref_objective(c, d, 1, d->y_inside);
    for (int t = 0; t < d->tensors && !c->varies; t++) {
        if (!d->wants[t]) continue;
        ref_find_slopes(c, d, 0, t, &d->slopes[t]);
        ref_find_slopes(c, d, 1, t, &d->inside[t]);
    }
}

static inline void ref_free(const layer_case *c, layer_data *d)
{
    for (int t = 0; t < d->tensors; t++) {
        free(d->value[t]);
        free(d->exact[t]);
        if (t < c->inputs) free(d->labels[t]);
    }
    free(d->g);
    free(d->y);
    free(d->y_eval);
    free(d->y_inside);
}

/* ================================================================================================
 * the layer itself
 * ============================================================================================== */

/* A caller's job system at its most unhelpful: last index first. */
static inline void ref_backwards_for(void *user, int count, void (*run)(void *context, int index),
                                     void *context)
{
    int *calls = (int *)user;
    if (calls) ++*calls;
    for (int i = count - 1; i >= 0; i--) run(context, i);
}

typedef struct layer_run {              /* how the case is run, and what came out */
    const char *isa;
    int threads, hook, keep_all, extra; /* extra: samples the net is built for beyond n */
    int inside;                         /* 1: 2*x before, y*y after the layer; 2: two layers, tied,
                                         * and their product */
    int predict;                        /* a net for prediction alone */
    float *y;
    float *grad[REF_MAX_INPUTS + REF_MAX_PARAMS];
} layer_run;

/* Inputs as the case asks, the layer, and around it what `inside` asks; returns the last node. Of
 * two layers that read the same inputs, one finds a gradient there and has to add its own. */
static inline cvn_node ref_build_graph(const layer_case *c, cvn_net *net, int inside,
                                       cvn_node *inputs)
{
    cvn_node used[REF_MAX_INPUTS];
    cvn_node twin;
    cvn_node y;
    for (int i = 0; i < c->inputs; i++) {
        if (c->label_classes[i])
            inputs[i] = cvn_input_labels(net, c->x[i].dim + 1, c->x[i].rank - 1);
        else inputs[i] = cvn_input_tensor(net, c->x[i].dim + 1, c->x[i].rank - 1);
        used[i] = inputs[i];
    }
    if (inside) used[0] = cvn_add(net, inputs[0], inputs[0]);
    y = c->build(net, used, c);
    if (inside == 2) twin = c->build(net, used, c);
    if (inside == 2 && cvn_param_count(net) > 0 && !c->ties_itself) cvn_tie(net, twin, y);
    return inside && !c->loss ? cvn_mul(net, y, inside == 2 ? twin : y) : y;
}

static inline cvn_net *ref_make_net(const layer_case *c, const layer_data *d, const layer_run *r,
                                    cvn_node *inputs, cvn_node *y)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    desc.isa = r->isa;
    desc.threads = r->threads;
    desc.keep_all = r->keep_all;
    if (r->hook) desc.parallel_for = ref_backwards_for;
    net = cvn_create(&desc);
    *y = ref_build_graph(c, net, r->inside, inputs);
    for (int i = 0; i < c->inputs && !r->predict; i++)
        if (!c->no_gradient[i] && !c->label_classes[i]) cvn_want_grad(net, inputs[i]);
    if (!c->loss && !r->predict) cvn_want_grad(net, *y);
    if (!c->loss) cvn_output(net, *y);
    if ((r->predict ? cvn_build_infer(net, c->n + r->extra) : cvn_build(net, c->n + r->extra)) !=
        CVN_OK) {
        CHECKF(0, "cannot build: %s", cvn_error(net));
        cvn_destroy(net);
        return NULL;
    }
    for (int i = 0; d && i < d->params; i++) {
        const cvn_param p = cvn_param_at(net, d->param[i]);
        if (CHECK(p.value && p.count == (size_t)d->counts[c->inputs + i]))
            memcpy(p.value, d->value[c->inputs + i], p.count * sizeof(float));
    }
    cvn_touch(net);
    return net;
}

/* Weights and partners of the samples, where the case asks for them. */
static inline int ref_set_samples(const layer_case *c, cvn_net *net)
{
    float *weights = (float *)ref_alloc((size_t)c->n, sizeof(float));
    cvn_result result = CVN_OK;
    for (int i = 0; i < c->n; i++) weights[i] = (float)ref_weight(c, i);
    if (c->weighted) result = cvn_set_sample_weights(net, weights, c->n);
    free(weights);
#ifdef CONVNET_IMPLEMENTATION
    for (int i = 0; c->mixed && i < c->n; i++) net->partner[i] = ref_partner(c, i);
    if (c->mixed) net->mixed = c->n;
    net->mix = (float)REF_MIX;
#endif
    return CHECKF(result == CVN_OK, "%s", cvn_error(net));
}

static inline int ref_set_inputs(const layer_case *c, const layer_data *d, cvn_net *net,
                                 const cvn_node *inputs)
{
    for (int i = 0; i < c->inputs; i++) {
        const cvn_result result = c->label_classes[i]
                                      ? cvn_set_labels(net, inputs[i], d->labels[i], c->n)
                                      : cvn_set_input(net, inputs[i], d->value[i], c->n);
        if (!CHECKF(result == CVN_OK, "input %d: %s", i, cvn_error(net))) return 0;
    }
    return ref_set_samples(c, net);
}

static inline float *ref_copy_floats(const float *from, int count)
{
    float *copy = (float *)ref_alloc((size_t)count, sizeof(float));
    if (CHECKF(from != NULL, "value or gradient is missing"))
        memcpy(copy, from, (size_t)count * sizeof(float));
    return copy;
}

/* One training forward and backward pass; 0 when something was refused. */
static inline int ref_pass(const layer_case *c, const layer_data *d, cvn_net *net,
                           const cvn_node *inputs, cvn_node y)
{
    if (!ref_set_inputs(c, d, net, inputs)) return 0;
    if (!CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net))) return 0;
    if (c->loss) return CHECKF(cvn_backward(net) == CVN_OK, "%s", cvn_error(net));
    return CHECKF(cvn_backward_from(net, y, d->g) == CVN_OK, "%s", cvn_error(net));
}

static inline const float *ref_gradient(const layer_case *c, const layer_data *d, cvn_net *net,
                                        const cvn_node *inputs, int tensor)
{
    if (tensor < c->inputs) return cvn_gradient(net, inputs[tensor]);
    return cvn_param_at(net, d->param[tensor - c->inputs]).gradient;
}

/* Runs the case once in training mode and keeps values and gradients in r; 0 when it could not
 * run. */
static inline int ref_train(const layer_case *c, const layer_data *d, layer_run *r)
{
    cvn_node inputs[REF_MAX_INPUTS];
    cvn_node y;
    cvn_net *net = ref_make_net(c, d, r, inputs, &y);
    int ok = net != NULL && ref_pass(c, d, net, inputs, y);
    if (ok) {
        r->y = ref_copy_floats(cvn_value(net, y), d->outputs);
        for (int t = 0; t < d->tensors; t++) {
            if (!d->wants[t]) continue;
            r->grad[t] = ref_copy_floats(ref_gradient(c, d, net, inputs, t), d->counts[t]);
        }
    }
    cvn_destroy(net);
    return ok;
}

static inline void ref_free_run(layer_run *r)
{
    free(r->y);
    for (int t = 0; t < REF_MAX_INPUTS + REF_MAX_PARAMS; t++) free(r->grad[t]);
    r->y = NULL;
    memset(r->grad, 0, sizeof r->grad);
}

/* ================================================================================================
 * comparisons
 * ============================================================================================== */

static inline const char *ref_run_text(const layer_run *r, char *text, size_t size)
{
    static const char *const places[3] = { "", ", inside a net", ", two in a net" };
    snprintf(text, size, "%s, %d threads%s%s%s%s%s", r->isa, r->threads,
             r->hook ? ", own job system" : "", r->keep_all ? ", keep_all" : "",
             r->extra ? ", built for more" : "", places[r->inside],
             r->predict ? ", prediction net" : "");
    return text;
}

static inline void ref_compare_values(const char *what, const float *a, const double *b, int count,
                                      const char *how)
{
    double scale = 1e-3;
    double worst = 0;
    int at = 0;
    for (int i = 0; i < count; i++) scale = fabs(b[i]) > scale ? fabs(b[i]) : scale;
    for (int i = 0; i < count; i++) {
        const double e = fabs((double)a[i] - b[i]);
        if (!(e <= worst)) {
            worst = e;
            at = i;
        }
    }
    CHECKF(worst <= 2e-5 * scale, "%s[%d] is %.9g, the reference %.9g, largest value %.3g (%s)",
           what, at, (double)a[at], b[at], scale, how);
}

static inline void ref_compare_slopes(const layer_case *c, const layer_data *d, const layer_run *r,
                                      int tensor)
{
    const ref_slopes *s = r->inside ? &d->inside[tensor] : &d->slopes[tensor];
    const float *g = r->grad[tensor];
    const int count = d->counts[tensor];
    /* two losses: twice the gradient */
    const double times = c->loss && r->inside == 2 ? 0.5 : 1;
    /* of one element */
    const double size = s->norm / sqrt((double)count) + (c->loss ? 1e-4 : 5e-3);
    char how[120];
    char what[40];
    ref_run_text(r, how, sizeof how);
    snprintf(what, sizeof what, tensor < c->inputs ? "input %d" : "parameter %d",
             tensor < c->inputs ? tensor : tensor - c->inputs);
    for (int i = 0; i < s->samples; i++) {
        const double a = times * (double)g[s->index[i]];
        if (!(fabs(a - s->slope[i]) <= 1e-4 * (fabs(s->slope[i]) + size))) {
            CHECKF(0, "gradient of %s[%d] is %.9g, the difference %.9g (%s)", what, s->index[i], a,
                   s->slope[i], how);
            return;
        }
    }
    for (int k = 0; k < (c->big ? 1 : REF_DIRECTIONS); k++) {
        double along = 0;
        for (int i = 0; i < count; i++) along += times * (double)g[i] * ref_sign(tensor, k, i);
        CHECKF(fabs(along - s->along[k]) <= 1e-4 * (s->norm + size * sqrt((double)count)),
               "gradient of %s along direction %d is %.9g, the difference %.9g (%s)", what, k,
               along, s->along[k], how);
    }
}

static inline void ref_compare_run(const layer_case *c, const layer_data *d, const layer_run *r)
{
    char how[120];
    if (c->varies) return;
    ref_compare_values("y", r->y, r->inside ? d->y_inside : d->y, d->outputs,
                       ref_run_text(r, how, sizeof how));
    for (int t = 0; t < d->tensors; t++)
        if (d->wants[t]) ref_compare_slopes(c, d, r, t);
}

static inline void ref_same_bits(const layer_data *d, const layer_run *a, const layer_run *b)
{
    char how[120];
    ref_run_text(b, how, sizeof how);
    CHECKF(memcmp(a->y, b->y, (size_t)d->outputs * sizeof(float)) == 0, "y has other bits with %s",
           how);
    for (int t = 0; t < d->tensors; t++)
        if (d->wants[t])
            CHECKF(memcmp(a->grad[t], b->grad[t], (size_t)d->counts[t] * sizeof(float)) == 0,
                   "the gradient of tensor %d has other bits with %s", t, how);
}

/* Prediction: in the training plan, and in a plan for prediction alone. */
static inline void ref_check_prediction(const layer_case *c, const layer_data *d, layer_run r)
{
    cvn_node inputs[REF_MAX_INPUTS];
    cvn_node y;
    char how[120];
    cvn_net *net;
    if (c->loss) return;
    for (int predict = 0; predict < 2; predict++) {
        r.predict = predict;
        ref_run_text(&r, how, sizeof how);
        net = ref_make_net(c, d, &r, inputs, &y);
        if (net && ref_set_inputs(c, d, net, inputs) &&
            CHECKF(cvn_forward_eval(net) == CVN_OK, "%s", cvn_error(net)) &&
            CHECKF(cvn_value(net, y) != NULL, "%s", cvn_error(net)))
            ref_compare_values("prediction", cvn_value(net, y), d->y_eval, d->outputs, how);
        cvn_destroy(net);
    }
}

/* A second pass adds to the parameters' gradients and sets the inputs' anew. */
static inline void ref_check_accumulation(const layer_case *c, const layer_data *d,
                                          const layer_run *first)
{
    cvn_node inputs[REF_MAX_INPUTS];
    cvn_node y;
    cvn_net *net = ref_make_net(c, d, first, inputs, &y);
    if (net && ref_pass(c, d, net, inputs, y) && ref_pass(c, d, net, inputs, y)) {
        for (int t = 0; t < d->tensors; t++) {
            const int param = t - c->inputs;
            const float *g = ref_gradient(c, d, net, inputs, t);
            double worst = 0;
            double scale = 1e-3;
            if (!d->wants[t] || !CHECK(g != NULL)) continue;
            for (int i = 0; i < d->counts[t]; i++) {
                const double once = (double)first->grad[t][i];
                const double e = fabs((double)g[i] - (param < 0 ? once : 2 * once));
                worst = e > worst ? e : worst;
                scale = fabs(once) > scale ? fabs(once) : scale;
            }
            CHECKF(worst <= 1e-4 * scale, "tensor %d after two passes: off by %.3g of %.3g", t,
                   worst, scale);
        }
    }
    cvn_destroy(net);
}

/* The kernel tables that this CPU and build have. */
static inline int ref_isas(const char **isas)
{
    static const char *const all[5] = { "c", "avx2", "avx512", "neon", "wasm" };
    int count = 0;
    for (int i = 0; i < 5; i++) {
        cvn_desc desc = cvn_desc_defaults();
        cvn_net *net;
        desc.isa = all[i];
        net = cvn_create(&desc);
        if (net && !cvn_error(net)[0] && strcmp(cvn_isa(net), all[i]) == 0) isas[count++] = all[i];
        cvn_destroy(net);
    }
    return count;
}

/* All runs of one kernel table. */
static inline void ref_check_isa(const layer_case *c, const layer_data *d, const char *isa)
{
    static const int threads[6] = { 2, 3, 7, 3, 7, 1 };
    layer_run first;
    memset(&first, 0, sizeof first);
    first.isa = isa;
    first.threads = first.keep_all = 1;
    if (!ref_train(c, d, &first)) return;
    ref_compare_run(c, d, &first);
    for (int i = 0; i < 6; i++) {
        layer_run again;
        memset(&again, 0, sizeof again);
        again.isa = isa;
        again.threads = threads[i];
        again.hook = i == 3 || i == 4;
        again.keep_all = i != 5;
        if (ref_train(c, d, &again)) ref_same_bits(d, &first, &again);
        ref_free_run(&again);
    }
    for (int i = 0; i < 4; i++) {
        layer_run other;
        memset(&other, 0, sizeof other);
        other.isa = isa;
        other.threads = 2;
        other.inside = i == 3 ? 2 : i > 0;
        other.keep_all = i == 1;
        other.extra = i == 0 ? 3 : 0;
        if (ref_train(c, d, &other)) ref_compare_run(c, d, &other);
        ref_free_run(&other);
    }
    if (!c->varies) ref_check_accumulation(c, d, &first);
    ref_check_prediction(c, d, first);
    ref_free_run(&first);
}

/* layer_check - everything this file's head promises, for one case; opens a test case. */
static inline void layer_check(const layer_case *c)
{
    const char *isas[3];
    const int count = ref_isas(isas);
    cvn_node inputs[REF_MAX_INPUTS];
    layer_data d;
    layer_run plain;
    cvn_node y;
    cvn_net *net;
    test_case("%s", c->text);
    memset(&plain, 0, sizeof plain);
    plain.isa = "c";
    plain.threads = 1;
    net = ref_make_net(c, NULL, &plain, inputs, &y);
    if (!net) return;
    if (CHECK(ref_same_shape(cvn_node_shape(net, y), c->y))) {
        ref_make_inputs(c, &d);
        ref_add_params(c, &d, net);
        ref_make_expected(c, &d);
        for (int i = 0; i < count; i++) ref_check_isa(c, &d, isas[i]);
        ref_free(c, &d);
    }
    cvn_destroy(net);
}

/* ================================================================================================
 * the library against itself: no reference has a part in this
 * ============================================================================================== */

static inline double ref_library_objective(const layer_case *c, const layer_data *d, cvn_net *net,
                                           cvn_node y)
{
    const float *v;
    double sum = 0;
    if (!CHECKF(cvn_forward(net) == CVN_OK, "%s", cvn_error(net))) return 0;
    if (c->loss) return (double)cvn_loss(net);
    v = cvn_value(net, y);
    for (int i = 0; v && i < d->outputs; i++) sum += (double)v[i] * (double)d->g[i];
    return sum;
}

/* Some elements of one tensor of the net, each moved by a little both ways. */
static inline void ref_library_slopes(const layer_case *c, const layer_data *d, cvn_net *net,
                                      cvn_node y, float *values, const float *gradient, int tensor)
{
    const float step = 1.0f / 128;
    unsigned state = 3;
    for (int k = 0; k < 8; k++) {
        const int i = ref_below(&state, d->counts[tensor]);
        const float kept = values[i];
        double up;
        double down;
        values[i] = kept + step;
        up = ref_library_objective(c, d, net, y);
        values[i] = kept - step;
        down = ref_library_objective(c, d, net, y);
        values[i] = kept;
        CHECK_NEAR((up - down) / (2 * (double)step), gradient[i],
                   2e-3 * (1 + fabs((double)gradient[i])));
    }
}

/* library_check - gradients against differences of the library's own float forward pass; for smooth
 * layers. */
static inline void library_check(const layer_case *c)
{
    cvn_node inputs[REF_MAX_INPUTS];
    layer_data d;
    layer_run r;
    cvn_node y;
    cvn_net *net;
    float *kept;
    test_case("against itself: %s", c->text);
    memset(&r, 0, sizeof r);
    r.threads = r.keep_all = 1;
    net = ref_make_net(c, NULL, &r, inputs, &y);
    if (!net) return;
    ref_make_inputs(c, &d);
    ref_add_params(c, &d, net);
    for (int i = 0; i < d.params; i++) {
        const cvn_param p = cvn_param_at(net, d.param[i]);
        memcpy(p.value, d.value[c->inputs + i], p.count * sizeof(float));
    }
    for (int t = 0; t < d.tensors && ref_pass(c, &d, net, inputs, y); t++) {
        const cvn_param p = cvn_param_at(net, t < c->inputs ? -1 : d.param[t - c->inputs]);
        float *const v = t < c->inputs ? cvn_value(net, inputs[t]) : p.value;
        const float *const g = t < c->inputs ? cvn_gradient(net, inputs[t]) : p.gradient;
        if (!d.wants[t] || !CHECK(g != NULL && v != NULL)) continue;
        kept = ref_copy_floats(g, d.counts[t]);
        ref_library_slopes(c, &d, net, y, v, kept, t);
        free(kept);
        cvn_zero_grad(net);
    }
    ref_free(c, &d);
    cvn_destroy(net);
}

#endif
