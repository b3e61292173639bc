/* test_plan.c - the plan of memory, by comparison: random graphs are built twice, once with every
 * value and gradient kept (cvn_desc.keep_all: nothing shares memory) and once as planned, in a
 * buffer of exactly the size that cvn_memory_needed names, full of NaN, at a crooked address.
 * Outputs, losses, kept values, wanted gradients and all parameters must agree bit for bit through
 * forward, backward, pushed-in gradients, steps, predictions, another batch and another image size;
 * so must nets whose values are recomputed, in chosen segments or within a memory budget.
 * An inference plan must agree too: bit for bit where no batch norm is folded. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include "test.h"

#ifndef GRAPHS
    #define GRAPHS 1000                 /* -DGRAPHS=50000: a night's search */
#endif
#ifndef OTHERS
    #define OTHERS 45                   /* per cent of the layers: of add_other's kinds */
#endif
#define MAX_NODES 64
#define MAX_LOSSES 3
#define MAX_PENALTIES 2
#define MAX_INTS 8                      /* label inputs: of losses, of embeddings, lengths */
#define MAX_SAMPLE 2048                 /* floats of one sample in a node: larger ones are not built
                                         * upon */
#define MAX_BATCH 4

typedef struct graph {
    cvn_net *net;
    uint64_t random;
    cvn_node node[MAX_NODES];           /* float tensors, inputs first */
    int tied[MAX_NODES];
    int kept[MAX_NODES], wanted[MAX_NODES];
    int nodes, inputs, norms;
    int foldable;                       /* the newest node is a convolution or dense layer, or a
                                         * norm behind one */
    cvn_node target[MAX_LOSSES], labels[MAX_INTS], loss[MAX_LOSSES];
    int lowest[MAX_INTS], classes[MAX_INTS];    /* labels[i] are from lowest to below classes */
    int ignores[MAX_INTS];              /* may be -100 */
    int targets, label_inputs, losses, penalties;
    int recurrent[MAX_NODES];           /* 1: rnn or gru, 2: lstm */
    cvn_node penalty[MAX_PENALTIES];
    cvn_net *other;                     /* that features come from, or NULL */
    unsigned char *block;               /* the caller's buffer, or NULL */
} graph;

/* splitmix64: the choices of a graph depend on its seed alone. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static int below(uint64_t *state, int n) { return (int)(draw(state) % (uint64_t)n); }
static int chance(uint64_t *state, int percent) { return below(state, 100) < percent; }
static float real(uint64_t *state) { return (float)below(state, 20001) / 10000 - 1; }

static size_t elements(cvn_shape s, int first)
{
    size_t n = 1;
    for (int i = first; i < s.rank; i++) n *= (size_t)s.dim[i];
    return n;
}

static cvn_shape shape_of(const graph *g, int i) { return cvn_node_shape(g->net, g->node[i]); }

/* ---- a random graph ---- */

static int same_parameter(const graph *g, cvn_node a, cvn_node b, const char *suffix)
{
    char name[2][CVN_MAX_NAME + 16];
    cvn_param p[2];
    for (int i = 0; i < 2; i++) {
        snprintf(name[i], sizeof name[i], "%s.%s", cvn_node_name(g->net, i ? b : a), suffix);
        p[i] = cvn_param_find(g->net, name[i]);
    }
    return p[0].count == p[1].count && p[0].shape.rank == p[1].shape.rank &&
           !memcmp(p[0].shape.dim, p[1].shape.dim, sizeof p[0].shape.dim);
}

/* The newest node takes the parameters of an earlier one: same kind (names begin alike: conv, fc),
 * same shapes. */
static void tie_newest(graph *g)
{
    const int last = g->nodes - 1;
    const char *name = cvn_node_name(g->net, g->node[last]);
    for (int i = g->inputs; i < last; i++) {
        if (g->tied[i] || strncmp(cvn_node_name(g->net, g->node[i]), name, 2)) continue;
        if (!same_parameter(g, g->node[i], g->node[last], "weight")) continue;
        if (!same_parameter(g, g->node[i], g->node[last], "bias")) continue;
        cvn_tie(g->net, g->node[last], g->node[i]);
        g->tied[last] = 1;
        return;
    }
}

static cvn_node add_conv(graph *g, cvn_node x, cvn_shape s)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    d.kernel_h = 1 + below(&g->random, s.dim[2] < 3 ? s.dim[2] : 3);
    d.kernel_w = 1 + below(&g->random, s.dim[3] < 3 ? s.dim[3] : 3);
    d.stride_h = 1 + below(&g->random, 2);
    d.stride_w = 1 + below(&g->random, 2);
    d.pad_top = d.pad_bottom = below(&g->random, d.kernel_h);
    d.pad_left = below(&g->random, d.kernel_w);
    d.pad_right = below(&g->random, d.kernel_w);
    if (chance(&g->random, 30)) d.pad_mode = CVN_PAD_REPLICATE;
    d.groups = chance(&g->random, 30) ? s.dim[1] : 1;
    d.filters = d.groups * (1 + below(&g->random, 3));
    d.no_bias = chance(&g->random, 30);
    return cvn_conv2d_ex(g->net, x, &d);
}

static cvn_node add_pool(graph *g, cvn_node x)
{
    cvn_pool_desc d = cvn_pool_defaults();
    const int kind = below(&g->random, 4);
    if (kind == 0) return cvn_global_avgpool(g->net, x);
    if (kind == 1) return cvn_global_maxpool(g->net, x);
    d.kernel_h = 2;
    d.stride_h = 1 + below(&g->random, 2);
    d.pad_top = d.pad_left = below(&g->random, 2);
    d.pad_bottom = d.pad_right = 1;
    d.ceil_mode = chance(&g->random, 50);
    d.exclude_pad = chance(&g->random, 50);
    return kind == 2 ? cvn_maxpool_ex(g->net, x, &d) : cvn_avgpool_ex(g->net, x, &d);
}

static cvn_node add_elementwise(graph *g, cvn_node x)
{
    switch (below(&g->random, 8)) {
    case 0: return cvn_leaky_relu(g->net, x, 0.1f);
    case 1: return cvn_elu(g->net, x, 0.7f);
    case 2: return cvn_sigmoid(g->net, x);
    case 3: return cvn_tanh(g->net, x);
    case 4: return cvn_softmax(g->net, x);
    case 5: return cvn_dropout(g->net, x, chance(&g->random, 50) ? 0.0f : 0.4f);
    default: return cvn_relu(g->net, x);
    }
}

static cvn_node add_view(graph *g, cvn_node x, cvn_shape s)
{
    const int back[3] = { 1, -1, 1 };
    const int pair[2] = { s.dim[1], -1 };
    switch (below(&g->random, 3)) {
    case 0: return cvn_reshape(g->net, x, back, 3);
    case 1: return cvn_reshape(g->net, x, pair, 2);
    default: return cvn_flatten(g->net, x);
    }
}

/* What an operation on two tensors asks of them. */
static int fits(cvn_shape a, cvn_shape b, int concat)
{
    if (a.rank != b.rank || a.rank < 2) return 0;
    if (a.dim[0] != b.dim[0]) return 0;
    for (int i = concat ? 2 : 1; i < a.rank; i++)
        if (a.dim[i] != b.dim[i] && (concat || (a.dim[i] != 1 && b.dim[i] != 1))) return 0;
    return 1;
}

/* Joins node x with another one that fits: a random one, or x itself. */
static cvn_node add_join(graph *g, int x)
{
    const int kind = below(&g->random, 3);
    int other = x;
    for (int tries = 0; tries < 20; tries++) {
        const int i = below(&g->random, g->nodes);
        if (i == x || !fits(shape_of(g, x), shape_of(g, i), kind == 2)) continue;
        other = i;
        break;
    }
    if (kind == 0) return cvn_mul(g->net, g->node[x], g->node[other]);
    if (kind == 1) return cvn_add(g->net, g->node[x], g->node[other]);
    return cvn_concat(g->net, g->node[other], g->node[x]);
}

/* ---- the same for the other layers: each adds a layer of its kind, or none where x does not
 * suit it ---- */

static cvn_node none(void)
{
    const cvn_node n = { 0 };
    return n;
}

/* Another node of the shape of x, or x. */
static cvn_node alike(graph *g, int x)
{
    const cvn_shape s = shape_of(g, x);
    for (int tries = 0; tries < 10; tries++) {
        const int i = below(&g->random, g->nodes);
        const cvn_shape o = shape_of(g, i);
        if (i != x && o.rank == s.rank && !memcmp(o.dim, s.dim, sizeof s.dim)) return g->node[i];
    }
    return g->node[x];
}

/* A label input whose values lie in [lowest, classes), filled with all others. */
static cvn_node add_labels(graph *g, const int *dims, int count, int lowest, int classes)
{
    const cvn_node labels = cvn_input_labels(g->net, dims, count);
    g->lowest[g->label_inputs] = lowest;
    g->classes[g->label_inputs] = classes;
    g->labels[g->label_inputs++] = labels;
    return labels;
}

static int ints_left(const graph *g) { return g->label_inputs + MAX_LOSSES < MAX_INTS; }

/* Lengths of the sequences of x: one for each sample of the batch. */
static cvn_node add_lengths(graph *g, cvn_shape s)
{
    if (s.dim[0] != 1 || !ints_left(g) || chance(&g->random, 60)) return none();
    return add_labels(g, NULL, 0, 1, s.dim[1] + 1);
}

static cvn_node add_unpool(graph *g, cvn_node x, cvn_shape s)
{
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_node y, index;
    d.kernel_h = s.dim[2] < 2 ? 1 : 2;
    d.kernel_w = s.dim[3] < 2 ? 1 : 2;
    d.stride_h = 1 + below(&g->random, 2);
    y = cvn_maxpool_ex(g->net, x, &d);
    if (chance(&g->random, 50)) y = cvn_tanh(g->net, y);
    index = cvn_maxpool_indices(g->net, x, &d);
    return cvn_maxunpool(g->net, y, index, s.dim[2], s.dim[3]);
}

static cvn_node add_roi(graph *g, cvn_node x, cvn_shape s)
{
    const int rows[2] = { -1, 4 };
    cvn_roi_align_desc d = cvn_roi_align_defaults();
    for (int i = 0; i < g->nodes; i++) {
        const cvn_shape b = shape_of(g, i);
        const size_t n = elements(b, 1);
        cvn_node boxes;
        if (b.dim[0] != s.dim[0] || n % 4 || n > 32) continue;
        d.sampling_ratio = 1 + below(&g->random, 2);
        d.aligned = chance(&g->random, 50);
        boxes = cvn_reshape(g->net, g->node[i], rows, 2);
        boxes = cvn_scale(g->net, cvn_sigmoid(g->net, boxes), 4, 0);
        return cvn_roi_align(g->net, x, boxes, 2, 2, &d);
    }
    return none();
}

/* Values of another net's layer. */
static cvn_node add_features(graph *g, cvn_node x, cvn_shape s)
{
    cvn_desc d = cvn_desc_defaults();
    cvn_node in, y;
    if (g->other || s.dim[0] != 1) return none();
    d.threads = 1;
    g->other = cvn_create(&d);
    in = cvn_input(g->other, s.dim[1], s.dim[2], s.dim[3]);
    y = cvn_tanh(g->other, cvn_conv2d(g->other, in, 2, 3, 1, 1));
    y = cvn_batchnorm(g->other, cvn_conv2d(g->other, y, 2, 1, 1, 0));
    cvn_want_grad(g->other, in);
    cvn_want_grad(g->other, y);
    cvn_output(g->other, y);
    CHECK(cvn_build(g->other, MAX_BATCH + 1) == CVN_OK);
    return cvn_features(g->net, x, g->other, y);
}

/* x [N, C, H, W] */
static cvn_node add_image_layer(graph *g, cvn_node x, cvn_shape s)
{
    cvn_conv_transpose2d_desc t = cvn_conv_transpose2d_defaults();
    const int size = 1 + below(&g->random, 4);
    const int width = 1 + below(&g->random, 4);
    switch (below(&g->random, 18)) {
    case 0: return cvn_depthwise(g->net, x, 3, 1, 1);
    case 1: return cvn_separable_conv2d(g->net, x, size, 3, 1 + below(&g->random, 2), 1);
    case 2:
        t.filters = size;
        t.kernel_h = 1 + below(&g->random, 3);
        t.kernel_w = 1 + below(&g->random, 3);
        t.stride_h = 1 + below(&g->random, 2);
        t.no_bias = chance(&g->random, 30);
        return cvn_conv_transpose2d_ex(g->net, x, &t);
    case 3: return s.dim[2] * s.dim[3] > 1 ? cvn_instancenorm(g->net, x) : none();
    case 4: return cvn_groupnorm(g->net, x, s.dim[1] % 2 ? s.dim[1] : s.dim[1] / 2);
    case 5: return cvn_lrn(g->net, x, 3);
    case 6: return cvn_adaptive_avgpool(g->net, x, size, width);
    case 7: return cvn_adaptive_maxpool(g->net, x, size, 0);
    case 8: return add_unpool(g, x, s);
    case 9: return cvn_upsample_nearest(g->net, x, 2);
    case 10: return cvn_upsample_bilinear_to(g->net, x, size + 2, width + 2, size % 2);
    case 11: return s.dim[1] % 4 ? none() : cvn_pixel_shuffle(g->net, x, 2);
    case 12: return cvn_pad(g->net, x, 1, 0, size, 1, chance(&g->random, 50) ? CVN_PAD_ZERO
                                                                             : CVN_PAD_REPLICATE);
    case 13: return cvn_crop(g->net, x, s.dim[2] / 2, 0, 1, (s.dim[3] + 1) / 2);
    case 14: return add_roi(g, x, s);
    case 15: return add_features(g, x, s);
    case 16: return cvn_gram(g->net, x);
    default: return cvn_squeeze_excite(g->net, x, 2);
    }
}

static cvn_node add_recurrent(graph *g, cvn_node x, cvn_shape s)
{
    cvn_rnn_desc d = cvn_rnn_defaults();
    const int kind = below(&g->random, 3);
    d.hidden = 1 + below(&g->random, 4);
    d.layers = 1 + below(&g->random, 2);
    d.bidirectional = chance(&g->random, 40);
    d.relu = kind == 0 && chance(&g->random, 30);
    d.dropout = chance(&g->random, 30) ? 0.3f : 0;
    d.no_bias = chance(&g->random, 20);
    for (int i = 0; i < g->nodes; i++) {                /* states that fit */
        const cvn_shape h = shape_of(g, i);
        if (h.rank != 3 || h.dim[0] != s.dim[0] || h.dim[1] != d.layers * (1 + d.bidirectional) ||
            h.dim[2] != d.hidden)
            continue;
        if (chance(&g->random, 60)) d.h0 = g->node[i];
        else if (kind == 1) d.c0 = g->node[i];
    }
    d.lengths = add_lengths(g, s);
    g->recurrent[g->nodes] = kind == 1 ? 2 : 1;
    if (kind == 0) return cvn_rnn_ex(g->net, x, &d);
    return kind == 1 ? cvn_lstm_ex(g->net, x, &d) : cvn_gru_ex(g->net, x, &d);
}

static cvn_node add_attention(graph *g, int x, cvn_shape s)
{
    cvn_attention_desc d = cvn_attention_defaults();
    const cvn_node key = alike(g, x);
    d.heads = s.dim[2] % 2 ? 1 : 2;
    d.causal = chance(&g->random, 40);
    d.dropout = chance(&g->random, 40) ? 0.3f : 0;
    d.no_bias = chance(&g->random, 20);
    d.lengths = add_lengths(g, s);
    if (chance(&g->random, 50))
        return cvn_multihead_attention_ex(g->net, g->node[x], key, key, &d);
    return cvn_scaled_dot_product_attention(g->net, g->node[x], key, alike(g, x), &d);
}

/* x [N, T, C] */
static cvn_node add_sequence_layer(graph *g, int x, cvn_shape s)
{
    const cvn_node in = g->node[x];
    cvn_transformer_desc t = cvn_transformer_defaults();
    const int turned = chance(&g->random, 50);
    switch (below(&g->random, 12)) {
    case 0:
    case 1:
    case 2: return add_recurrent(g, in, s);
    case 3:
    case 4: return add_attention(g, x, s);
    case 5: return cvn_positional_encoding(g->net, in);
    case 6: return cvn_position_embedding(g->net, in);
    case 7: return cvn_last_step(g->net, in);
    case 8: return cvn_conv1d(g->net, in, 1 + below(&g->random, 3), 3, 1, 1);
    case 9: return s.dim[2] > 1 ? cvn_maxpool(g->net, in, 2, 1) : none();
    case 10:
        t.feedforward = 3;
        t.dropout = 0.2f;
        t.norm_first = chance(&g->random, 50);
        return cvn_transformer_encoder(g->net, in, &t);
    default: return cvn_matmul(g->net, in, alike(g, x), turned, !turned);
    }
}

/* A final state of one of the recurrent layers. */
static cvn_node add_state(graph *g)
{
    for (int tries = 0; tries < 2 * g->nodes; tries++) {
        const int i = below(&g->random, g->nodes);
        if (g->recurrent[i])
            return cvn_rnn_state(g->net, g->node[i], below(&g->random, g->recurrent[i]));
    }
    return none();
}

static void bent_forward(void *user, int n, const float *x, float *y)
{
    (void)user;
    for (int i = 0; i < n; i++) y[i] = x[i] / (1 + x[i] * x[i]);
}

static void bent_backward(void *user, int n, const float *x, const float *y, const float *dy,
                          float *dx)
{
    (void)user;
    for (int i = 0; i < n; i++) dx[i] = dy[i] * (1 / (1 + x[i] * x[i]) - 2 * y[i] * y[i]);
}

/* Any tensor of rank 2 or more: functions of its elements. */
static cvn_node add_function(graph *g, int x, cvn_shape s)
{
    const cvn_node in = g->node[x];
    switch (below(&g->random, 20)) {
    case 0: return cvn_square(g->net, in);
    case 1: return cvn_abs(g->net, in);
    case 2: return cvn_scale(g->net, in, 0.5f, 0.25f);
    case 3: return cvn_clip(g->net, in, -0.5f, 0.5f);
    case 4: return cvn_sub(g->net, in, alike(g, x));
    case 5: return cvn_maximum(g->net, in, alike(g, x));
    case 6: return cvn_div(g->net, in, cvn_softplus(g->net, alike(g, x), 0, 0));
    case 7: return cvn_stop_gradient(g->net, in);
    case 8: return cvn_gradient_reversal(g->net, in, 0.5f);
    case 9: return cvn_prelu(g->net, in, chance(&g->random, 50) ? s.dim[1] : 1);
    case 10: return cvn_gelu(g->net, in);
    case 11: return cvn_silu(g->net, in);
    case 12: return cvn_log_softmax(g->net, in);
    case 13: return cvn_gaussian_noise(g->net, in, 0.1f);
    case 14: return cvn_reparameterize(g->net, in, alike(g, x));
    case 15: return cvn_spatial_dropout(g->net, in, 0.3f);
    case 16: return cvn_drop_path(g->net, in, 0.3f);
    case 17: return cvn_activation(g->net, in, bent_forward, bent_backward, NULL);
    case 18: return cvn_l2norm(g->net, in, 1 + below(&g->random, s.rank - 1));
    default: return cvn_layernorm(g->net, in);
    }
}

/* Any tensor of rank 2 or more: other shapes, other axes, learned tensors. */
static cvn_node add_shaping(graph *g, int x, cvn_shape s)
{
    const cvn_node in = g->node[x];
    const int axis = 1 + below(&g->random, s.rank - 1);
    int turned[CVN_MAX_RANK];
    cvn_init init;
    memset(&init, 0, sizeof init);
    init.kind = CVN_INIT_NORMAL;
    init.b = 1;
    for (int i = 1; i < s.rank; i++) turned[i - 1] = s.rank - i;
    switch (below(&g->random, 12)) {
    case 0: return cvn_permute(g->net, in, turned, s.rank - 1);
    case 1: return cvn_slice(g->net, in, axis, s.dim[axis] / 2, s.dim[axis]);
    case 2: return cvn_reduce_mean(g->net, in, &axis, 1);
    case 3: return cvn_reduce_max(g->net, in, &axis, 1);
    case 4: return cvn_reduce_sum(g->net, in, NULL, 0);
    case 5: return s.dim[axis] % 2 ? none() : cvn_glu(g->net, in, axis);
    case 6: return s.dim[1] % 2 ? none() : cvn_maxout(g->net, in, 2);
    case 7: return s.rank > 2 ? cvn_flatten_batch(g->net, in) : none();
    case 8:
        if (s.rank >= CVN_MAX_RANK || s.dim[0] < 2) return none();
        return cvn_unflatten_batch(g->net, in, s.dim[0]);
    case 9:
        if (s.dim[0] != 1) return none();
        return cvn_mul(g->net, in, cvn_parameter(g->net, s.dim + 1, s.rank - 1, init));
    case 10:
        if (s.dim[0] != 1 || !ints_left(g)) return none();
        return cvn_embedding(g->net, add_labels(g, s.dim + 1, 1, 0, 5), 5, 3);
    default: return cvn_concat_n(g->net, &g->node[x], 1, axis);
    }
}

static cvn_node add_sequence(graph *g, cvn_node x, cvn_shape s)
{
    const int steps[2] = { s.dim[1], -1 };
    const int volume[4] = { 1, s.dim[1], 1, -1 };
    if (chance(&g->random, 20)) {
        const cvn_node v = cvn_reshape(g->net, x, volume, 4);
        return cvn_conv3d(g->net, v, 2, 1 + below(&g->random, 2) * 2, 1, 1);
    }
    return cvn_reshape(g->net, x, steps, 2);
}

/* One of the layers above, or node 0. */
static cvn_node add_other(graph *g, int x)
{
    const cvn_shape s = shape_of(g, x);
    const int kind = below(&g->random, 10);
    if (kind < 4 && s.rank == 4) return add_image_layer(g, g->node[x], s);
    if (kind < 4 && s.rank == 3) return add_sequence_layer(g, x, s);
    if (kind == 4) return add_state(g);
    if (s.rank < 2) return none();
    if (kind < 7) return add_function(g, x, s);
    if (kind == 7) return add_sequence(g, g->node[x], s);
    return add_shaping(g, x, s);
}

static cvn_node penalty_of(graph *g, cvn_node node)
{
    switch (below(&g->random, 3)) {
    case 0: return cvn_l1_penalty(g->net, node, 0.01f);
    case 1: return cvn_l2_penalty(g->net, node, 0.01f);
    default: return cvn_orthogonality_penalty(g->net, node, 0.01f);
    }
}

/* The newest node has a weight: a penalty on it, a spectral norm. */
static void add_on_weight(graph *g)
{
    const cvn_node newest = g->node[g->nodes - 1];
    const int spectral = chance(&g->random, 15);
    if (spectral && chance(&g->random, 50)) cvn_spectral_norm(g->net, newest);
    if (g->penalties < MAX_PENALTIES && chance(&g->random, 10))
        g->penalty[g->penalties++] = penalty_of(g, newest);
    if (spectral) cvn_spectral_norm(g->net, newest);
}

/* Behind a foldable layer: what an inference plan takes into it. */
static void add_fused(graph *g)
{
    const cvn_node x = g->node[g->nodes - 1];
    const int kind = below(&g->random, 7);
    cvn_node y;
    if (kind > 4) {                     /* a residual, from before or behind */
        const cvn_node other = alike(g, g->nodes - 1);
        y = kind == 5 ? cvn_add(g->net, x, other) : cvn_add(g->net, other, x);
    } else if (kind < 2) y = cvn_batchnorm(g->net, x);
    else if (kind == 2) y = cvn_dropout(g->net, x, 0.3f);
    else if (kind == 4) y = cvn_leaky_relu(g->net, x, 0.2f);
    else y = chance(&g->random, 70) ? cvn_relu(g->net, x) : cvn_relu6(g->net, x);
    g->norms += kind < 2;
    g->node[g->nodes++] = y;
    g->foldable = chance(&g->random, 70);
}

/* A norm, a residual from before or behind it, an activation: what a norm does in one pass. */
static void add_residual(graph *g, int x)
{
    const cvn_node residual = chance(&g->random, 70) ? g->node[x] : alike(g, x);
    cvn_node y = alike(g, x);
    if (chance(&g->random, 50)) y = cvn_tanh(g->net, y);
    y = g->node[g->nodes++] = cvn_batchnorm(g->net, y);
    if (chance(&g->random, 10)) y = g->node[g->nodes++] = cvn_leaky_relu(g->net, y, 0.1f);
    if (chance(&g->random, 15)) g->node[g->nodes++] = cvn_tanh(g->net, residual);
    if (chance(&g->random, 80))
        y = g->node[g->nodes++] = chance(&g->random, 50) ? cvn_add(g->net, y, residual)
                                                         : cvn_add(g->net, residual, y);
    if (chance(&g->random, 20)) return;
    g->node[g->nodes++] = chance(&g->random, 60)   ? cvn_relu(g->net, y)
                          : chance(&g->random, 50) ? cvn_relu6(g->net, y)
                                                   : cvn_leaky_relu(g->net, y, 0.2f);
}

static void add_layer(graph *g)
{
    const int x = chance(&g->random, 60) ? g->nodes - 1 : below(&g->random, g->nodes);
    const cvn_shape s = shape_of(g, x);
    const cvn_node in = g->node[x];
    const int kind = below(&g->random, 12);
    int weights = 0;
    cvn_node y;
    if (elements(s, 0) > MAX_SAMPLE) return;
    if (g->foldable && chance(&g->random, 60)) {
        add_fused(g);
        return;
    }
    if (s.rank > 1 && g->nodes + 5 < MAX_NODES && chance(&g->random, 12)) {
        add_residual(g, x);
        g->norms++;
        g->foldable = 0;
        return;
    }
    g->recurrent[g->nodes] = 0;
    if (chance(&g->random, OTHERS)) {
        y = add_other(g, x);
        if (!y.id) return;
        g->node[g->nodes++] = y;
        g->foldable = chance(&g->random, 20);
        return;
    }
    if (kind < 3 && s.rank == 4) y = add_conv(g, in, s);
    else if (kind == 3 && s.rank == 4) y = add_pool(g, in);
    else if (kind == 4 && s.rank < 5) y = cvn_dense(g->net, in, 1 + below(&g->random, 6));
    else if (kind == 5) y = add_view(g, in, s);
    else if (kind < 8) y = add_join(g, x);
    else if (kind == 8) y = cvn_batchnorm(g->net, in);
    else y = add_elementwise(g, in);
    weights = (kind < 3 && s.rank == 4) || (kind == 4 && s.rank < 5);
    g->norms += kind == 8;
    g->node[g->nodes++] = y;
    g->foldable = weights;
    if (weights && chance(&g->random, 40)) tie_newest(g);
    if (weights) add_on_weight(g);
}

static void add_loss(graph *g)
{
    const int x = below(&g->random, g->nodes);
    const int i = g->losses++;
    cvn_shape s = shape_of(g, x);
    const int kind = below(&g->random, 4) + (s.rank < 2 || s.rank > 4);
    if (kind == 0) {
        g->loss[i] = cvn_softmax_loss(g->net, g->node[x]);
        g->lowest[g->label_inputs] = 0;
        g->classes[g->label_inputs] = s.dim[s.rank == 3 ? 2 : 1];
        g->ignores[g->label_inputs] = 1;
        /* the input that the call made */
        g->labels[g->label_inputs++].id = g->loss[i].id - 1;
    } else if (kind == 1) {
        int other = x;
        for (int k = 0; k < g->nodes; k++) {
            const cvn_shape o = shape_of(g, k);
            if (k != x && o.rank == s.rank && !memcmp(o.dim, s.dim, sizeof s.dim)) other = k;
        }
        g->loss[i] = cvn_mse_loss(g->net, g->node[x], g->node[other]);
    } else {
        const cvn_node t = g->target[g->targets++] = cvn_target(g->net, g->node[x]);
        g->loss[i] = kind == 2 ? cvn_mse_loss(g->net, g->node[x], t)
                               : cvn_bce_with_logits_loss(g->net, g->node[x], t);
    }
    cvn_add_loss(g->net, g->loss[i],
                 chance(&g->random, 20) ? 0 : 0.25f + (float)below(&g->random, 4) / 4);
}

static void add_marks(graph *g)
{
    for (int i = 0; i < g->nodes; i++) {
        g->kept[i] = chance(&g->random, 15);
        g->wanted[i] = chance(&g->random, 15);
        if (g->kept[i]) cvn_keep(g->net, g->node[i]);
        if (g->wanted[i]) cvn_want_grad(g->net, g->node[i]);
        if (chance(&g->random, 8)) cvn_freeze(g->net, g->node[i]);
    }
    if (chance(&g->random, 5)) cvn_freeze_to(g->net, g->node[below(&g->random, g->nodes)]);
    if (chance(&g->random, 40)) cvn_output(g->net, g->node[below(&g->random, g->nodes)]);
}

/* Layers whose values are dropped and recomputed: a net that keeps all has none of it. */
static void add_segments(graph *g)
{
    const int count = chance(&g->random, 60) ? 1 + below(&g->random, 3) : 0;
    for (int i = 0; i < count; i++) {
        const int a = below(&g->random, g->nodes);
        const int b = below(&g->random, g->nodes);
        cvn_recompute(g->net, g->node[a < b ? a : b], g->node[a < b ? b : a]);
    }
}

static graph make_graph(uint64_t seed, int keep_all, int threads)
{
    cvn_desc d = cvn_desc_defaults();
    const cvn_optimizer sgd = cvn_sgd(1e-3f, 0.9f);
    int layers;
    graph g;
    memset(&g, 0, sizeof g);
    g.random = seed;
    d.seed = seed + 1;
    d.keep_all = keep_all;
    d.threads = threads;
    g.net = cvn_create(&d);
    g.inputs = 1 + below(&g.random, 2);
    for (int i = 0; i < g.inputs; i++) {
        const int channels = 1 + below(&g.random, 4);
        const int height = 3 + below(&g.random, 5);
        g.node[g.nodes++] = cvn_input(g.net, channels, height, 3 + below(&g.random, 5));
    }
    layers = 3 + below(&g.random, 22);
    while (layers-- && g.nodes < MAX_NODES - 1) {
        add_layer(&g);
        /* some losses stand in the middle */
        if (g.losses + 1 < MAX_LOSSES && chance(&g.random, 6)) add_loss(&g);
    }
    add_loss(&g);
    CHECKF(!g.net->failed, "graph %d: %s", (int)seed, cvn_error(g.net));
    add_marks(&g);
    add_segments(&g);
    cvn_set_optimizer(g.net, &sgd);
    return g;
}

static void free_graph(graph *g)
{
    cvn_destroy(g->net);
    cvn_destroy(g->other);
    free(g->block);
}

/* Builds in a buffer of the promised size whose bytes are all NaN and whose address is odd. */
static cvn_result build_in(graph *g, int batch, cvn_mode mode)
{
    const size_t size = cvn_memory_needed(g->net, batch, (int)mode);
    unsigned char *old = g->block;
    cvn_result result;
    g->block = (unsigned char *)malloc(size + 1);
    if (!g->block) return CVN_ERROR_MEMORY;
    memset(g->block, 0xFF, size + 1);
    CHECK(cvn_build_in(g->net, batch, mode, g->block + 1, size - 1) == CVN_ERROR_MEMORY);
    result = cvn_build_in(g->net, batch, mode, g->block + 1, size);
    free(old);
    return result;
}

/* ---- the same data into both, everything out of both compared ---- */

static float *random_values(uint64_t *random, size_t n)
{
    float *v = (float *)malloc((n + 1) * sizeof *v);
    for (size_t i = 0; v && i < n; i++) v[i] = real(random);
    return v;
}

/* Elements for each sample of the batch: of several rows behind cvn_flatten_batch. */
static size_t sample_elements(const graph *g, cvn_node node)
{
    const int batch = g->net->batch > 0 ? g->net->batch : 1;
    return elements(cvn_node_shape(g->net, node), 0) / (size_t)batch;
}

static void fill_node(graph *a, graph *b, cvn_node node, int n, uint64_t *random)
{
    float *v = random_values(random, sample_elements(a, node) * (size_t)n);
    CHECK(cvn_set_input(a->net, node, v, n) == CVN_OK);
    CHECK(cvn_set_input(b->net, node, v, n) == CVN_OK);
    free(v);
}

/* all: an inference plan refuses what it does not need. */
static void fill_labels(graph *a, graph *b, int i, int n, int all, uint64_t *random)
{
    const size_t count = sample_elements(a, a->labels[i]) * (size_t)n;
    int *v = (int *)malloc((count + 1) * sizeof *v);
    for (size_t k = 0; v && k < count; k++) {
        const int any = a->lowest[i] + below(random, a->classes[i] - a->lowest[i]);
        v[k] = a->ignores[i] && chance(random, 10) ? -100 : any;
    }
    CHECK(cvn_set_labels(a->net, a->labels[i], v, n) == CVN_OK);
    CHECK(cvn_set_labels(b->net, b->labels[i], v, n) == CVN_OK || !all);
    free(v);
}

static void fill_all(graph *a, graph *b, int n, uint64_t *random)
{
    for (int i = 0; i < a->inputs; i++) fill_node(a, b, a->node[i], n, random);
    for (int i = 0; i < a->targets; i++) fill_node(a, b, a->target[i], n, random);
    for (int i = 0; i < a->label_inputs; i++) fill_labels(a, b, i, n, 1, random);
}

/* Any NaN is as good as another. */
static int same_bits(const float *a, const float *b, size_t n)
{
    if (!a || !b) return 0;
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) && (a[i] == a[i] || b[i] == b[i])) return 0;
    return 1;
}

/* Close enough for folded weights; numbers that overflowed say nothing. */
static int close_to(const float *a, const float *b, size_t n)
{
    double top = 1;
    for (size_t i = 0; i < n; i++) {
        if (!(fabs((double)a[i]) < 1e6)) return 1;
        if (fabs((double)a[i]) > top) top = fabs((double)a[i]);
    }
    for (size_t i = 0; i < n; i++) if (!(fabs((double)a[i] - (double)b[i]) <= 2e-4 * top)) return 0;
    return 1;
}

/* Values that the planned net must keep. */
static void compare_values(const graph *all, const graph *b, int losses, const char *when)
{
    for (int i = 0; i < b->nodes; i++) {
        const size_t n = elements(shape_of(b, i), 0);
        if (!b->kept[i] && i >= b->inputs) continue;
        CHECKF(same_bits(cvn_value(all->net, all->node[i]), cvn_value(b->net, b->node[i]), n),
               "value of %s %s", cvn_node_name(b->net, b->node[i]), when);
    }
    for (int i = 0; losses && i < b->losses; i++)
        CHECKF(same_bits(cvn_value(all->net, all->loss[i]), cvn_value(b->net, b->loss[i]), 1),
               "loss %d %s", i, when);
    for (int i = 0; losses && i < b->penalties; i++)
        CHECKF(same_bits(cvn_value(all->net, all->penalty[i]), cvn_value(b->net, b->penalty[i]), 1),
               "penalty %d %s", i, when);
}

static void compare_gradients(const graph *all, const graph *b, const char *when)
{
    size_t n;
    const float *flat = cvn_flat_gradients(all->net, &n);
    CHECKF(same_bits(flat, cvn_flat_gradients(b->net, NULL), n), "gradients of the parameters %s",
           when);
    for (int i = 0; i < b->nodes; i++) {
        if (!b->wanted[i]) continue;
        n = elements(shape_of(b, i), 0);
        CHECKF(same_bits(cvn_gradient(all->net, all->node[i]), cvn_gradient(b->net, b->node[i]), n),
               "gradient of %s %s", cvn_node_name(b->net, b->node[i]), when);
    }
}

static void compare_parameters(const graph *all, const graph *b, const char *when)
{
    size_t n;
    const float *flat = cvn_flat_parameters(all->net, &n);
    CHECKF(same_bits(flat, cvn_flat_parameters(b->net, NULL), n), "parameters %s", when);
}

/* Forward, backward, step. Returns 0 when a batch norm met one value a channel: then both must say
 * so. */
static int compare_training(graph *all, graph *b, int n, uint64_t *random)
{
    cvn_result result;
    fill_all(all, b, n, random);
    result = cvn_forward(all->net);
    CHECK(cvn_forward(b->net) == result);
    if (result != CVN_OK) return 0;
    compare_values(all, b, 1, "after forward");
    CHECK(cvn_backward(all->net) == CVN_OK && cvn_backward(b->net) == CVN_OK);
    compare_values(all, b, 1, "after backward");
    compare_gradients(all, b, "after backward");
    CHECK(cvn_step(all->net) == CVN_OK && cvn_step(b->net) == CVN_OK);
    compare_parameters(all, b, "after the step");
    return 1;
}

/* A gradient pushed in at each node that was asked to have one, after a forward pass of either
 * kind. (The net that keeps all predicts all: a layer that refuses its data may be one of them.) */
static void compare_pushes(graph *all, graph *b, int n, uint64_t *random)
{
    for (int i = 0; i < b->nodes; i++) {
        const int eval = b->kept[i] && chance(random, 50);
        cvn_result result, mine;
        float *v;
        if (!b->wanted[i]) continue;
        fill_all(all, b, n, random);
        result = eval ? cvn_forward_eval(all->net) : cvn_forward(all->net);
        mine = eval ? cvn_forward_eval(b->net) : cvn_forward(b->net);
        CHECKF(mine == result || result != CVN_OK, "%s", cvn_error(b->net));
        if (result != CVN_OK) return;
        v = random_values(random, elements(shape_of(b, i), 0));
        CHECK(cvn_backward_from(all->net, all->node[i], v) == CVN_OK);
        CHECKF(cvn_backward_from(b->net, b->node[i], v) == CVN_OK, "%s", cvn_error(b->net));
        free(v);
        compare_gradients(all, b, "after a pushed-in gradient");
        cvn_zero_grad(all->net);
        cvn_zero_grad(b->net);
    }
}

/* What a prediction must leave: the kept values. */
static void compare_kept(const graph *all, const graph *b, int exact)
{
    for (int i = b->inputs; i < b->nodes; i++) {
        const size_t n = elements(shape_of(b, i), 0);
        const float *x = cvn_value(all->net, all->node[i]);
        const float *y = b->kept[i] ? cvn_value(b->net, b->node[i]) : NULL;
        if (!b->kept[i]) continue;
        CHECKF(exact ? same_bits(x, y, n) : x && y && close_to(x, y, n),
               "%s kept by a prediction, exact %d", cvn_node_name(b->net, b->node[i]), exact);
    }
}

/* Predictions of more samples than a batch holds; of one batch where a second input must keep what
 * was set. */
static void compare_predictions(graph *all, graph *b, int batch, int exact, uint64_t *random)
{
    const int n = b->inputs > 1 || b->label_inputs ? batch : 2 * batch + 1;
    const cvn_node output = { all->net->output };
    const size_t count = sample_elements(all, output) * (size_t)n;
    float *x = random_values(random, sample_elements(all, all->node[0]) * (size_t)n);
    float *ya = random_values(random, count);
    float *yb = random_values(random, count);
    CHECK(all->net->output == b->net->output);
    for (int i = 1; i < b->inputs; i++) {
        float *v = random_values(random, sample_elements(all, all->node[i]) * (size_t)n);
        CHECK(cvn_set_input(all->net, all->node[i], v, n) == CVN_OK);
        cvn_set_input(b->net, b->node[i], v, n);        /* refused where an inference plan does not
                                                         * need it */
        free(v);
    }
    for (int i = 0; i < b->label_inputs; i++) fill_labels(all, b, i, n, 0, random);
    /* refused likewise when the first input is not needed. The other net computes more layers: one
     * of them may refuse its data after cvn_resize */
    if (cvn_predict(b->net, x, n, yb) == CVN_OK && cvn_predict(all->net, x, n, ya) == CVN_OK) {
        CHECKF(exact ? same_bits(ya, yb, count) : close_to(ya, yb, count), "predictions, exact %d",
               exact);
        compare_kept(all, b, exact);
    }
    free(x);
    free(ya);
    free(yb);
}

/* ---- tests ---- */

static void both_train(graph *all, graph *b, int batch, uint64_t *random)
{
    for (int round = 0; round < 2; round++) {
        if (!compare_training(all, b, 1 + below(random, batch), random)) continue;
        compare_pushes(all, b, 1 + below(random, batch), random);
        compare_predictions(all, b, batch, 1, random);
        compare_parameters(all, b, "after all");
    }
}

/* Layers that are frozen once the nets are built stay in the plan: they may be thawed again. */
static void freeze_some(graph *all, graph *b, int frozen)
{
    uint64_t random = all->random;
    for (int i = 0; i < b->nodes; i++) {
        if (!chance(&random, 20) || b->net->layers[b->node[i].id].left_out) continue;
        CHECK((frozen ? cvn_freeze(all->net, all->node[i])
                      : cvn_unfreeze(all->net, all->node[i])) == CVN_OK);
        CHECKF((frozen ? cvn_freeze(b->net, b->node[i])
                       : cvn_unfreeze(b->net, b->node[i])) == CVN_OK, "%s", cvn_error(b->net));
    }
}

static void random_graphs(void)
{
    for (int seed = 1; seed <= GRAPHS; seed++) {
        uint64_t random = (uint64_t)seed * 1000003;
        const int batch = 1 + below(&random, MAX_BATCH);
        graph all = make_graph((uint64_t)seed, 1, 1);
        graph b = make_graph((uint64_t)seed, 0, 1 + below(&random, 3));
        const int height = 3 + below(&random, 6);
        const int width = 3 + below(&random, 6);
        cvn_result result;
        test_case("graph %d, batch %d", seed, batch);
        CHECKF(cvn_build(all.net, batch) == CVN_OK, "%s", cvn_error(all.net));
        CHECKF(build_in(&b, batch, CVN_TRAIN) == CVN_OK, "%s", cvn_error(b.net));
        both_train(&all, &b, batch, &random);

        /* parameters and momentum move along */
        CHECK(cvn_build(all.net, batch + 1) == CVN_OK);
        CHECK(build_in(&b, batch + 1, CVN_TRAIN) == CVN_OK);
        both_train(&all, &b, batch + 1, &random);

        /* may not fit the buffer: all stays as it was */
        freeze_some(&all, &b, 1);
        result = cvn_resize(b.net, height, width);
        if (result != CVN_ERROR_MEMORY) CHECK(cvn_resize(all.net, height, width) == result);
        both_train(&all, &b, batch + 1, &random);
        freeze_some(&all, &b, 0);
        both_train(&all, &b, batch + 1, &random);

        /* an arena of its own can grow */
        CHECK(cvn_build(b.net, batch) == CVN_OK);
        CHECK(cvn_build(all.net, batch) == CVN_OK);
        result = cvn_resize(all.net, width, height);
        CHECK(cvn_resize(b.net, width, height) == result);
        both_train(&all, &b, batch, &random);
        free_graph(&all);
        free_graph(&b);
    }
}

/* A tight budget: recomputation makes the plan fit, or the build says what it would need; then that
 * much is enough, and one byte less is not. */
static void random_budgets(void)
{
    int fitted = 0;
    int refused = 0;
    for (int seed = 1; seed <= GRAPHS / 4; seed++) {
        uint64_t random = (uint64_t)seed * 1000037;
        const int batch = 1 + below(&random, MAX_BATCH);
        graph all = make_graph((uint64_t)seed, 1, 1);
        graph b = make_graph((uint64_t)seed, 0, 1 + below(&random, 3));
        const size_t whole = cvn_memory_needed(b.net, batch, CVN_TRAIN);
        const size_t budget = whole / 100 * (size_t)(60 + below(&random, 41));
        unsigned long needs = 0;
        test_case("budget of graph %d, batch %d", seed, batch);
        CHECKF(cvn_build(all.net, batch) == CVN_OK, "%s", cvn_error(all.net));
        cvn_set_memory_budget(b.net, budget);
        if (cvn_memory_needed(b.net, batch, CVN_TRAIN) == 0) {
            const char *number = strstr(cvn_error(b.net), "needs ");
            CHECKF(number && sscanf(number, "needs %lu", &needs) == 1 && needs > budget, "%s",
                   cvn_error(b.net));
            cvn_set_memory_budget(b.net, needs - 1);
            CHECK(cvn_build(b.net, batch) == CVN_ERROR_MEMORY);
            cvn_set_memory_budget(b.net, needs);
            refused++;
        } else {
            CHECK(cvn_memory_needed(b.net, batch, CVN_TRAIN) <= budget);
            fitted += budget < whole;
        }
        CHECKF(build_in(&b, batch, CVN_TRAIN) == CVN_OK, "%s", cvn_error(b.net));
        both_train(&all, &b, batch, &random);
        free_graph(&all);
        free_graph(&b);
    }
    CHECK(fitted > 0 && refused > 0);
}

/* A shared net predicts as its owner does, also after the owner's weights have changed. */
static void compare_share(graph *all, graph *b, int batch, uint64_t *random)
{
    graph other = *b;
    other.net = cvn_share(b->net);
    other.block = NULL;
    CHECKF(cvn_build_infer(other.net, batch) == CVN_OK, "%s", cvn_error(other.net));
    compare_predictions(all, &other, batch, !b->norms, random);
    CHECK(cvn_init_parameters(all->net, 77) == CVN_OK && cvn_init_parameters(b->net, 77) == CVN_OK);
    compare_predictions(all, &other, batch, !b->norms, random);
    compare_predictions(all, b, batch, !b->norms, random);
    CHECK(build_in(b, batch, CVN_INFER) == CVN_OK);             /* the old memory is gone */
    CHECK(cvn_resize(other.net, 5, 4) == cvn_resize(all->net, 5, 4));
    compare_predictions(all, &other, batch, !b->norms, random);
    cvn_destroy(other.net);
}

static void random_inference(void)
{
    for (int seed = 1; seed <= GRAPHS; seed++) {
        uint64_t random = (uint64_t)seed * 1000033;
        const int batch = 1 + below(&random, MAX_BATCH);
        graph all = make_graph((uint64_t)seed, 1, 1);
        graph b = make_graph((uint64_t)seed, 0, 1 + below(&random, 3));
        float *weights;
        size_t n;
        test_case("inference graph %d, batch %d", seed, batch);
        CHECKF(cvn_build(all.net, batch) == CVN_OK, "%s", cvn_error(all.net));
        CHECKF(build_in(&b, batch, CVN_INFER) == CVN_OK, "%s", cvn_error(b.net));
        /* running statistics that are not 0 and 1 */
        for (int step = 0; step < 3; step++) {
            for (int i = 0; i < all.inputs; i++) fill_node(&all, &all, all.node[i], batch, &random);
            for (int i = 0; i < all.targets; i++)
                fill_node(&all, &all, all.target[i], batch, &random);
            for (int i = 0; i < all.label_inputs; i++)
                fill_labels(&all, &all, i, batch, 1, &random);
            if (cvn_forward(all.net) != CVN_OK) break;
            CHECK(cvn_backward(all.net) == CVN_OK && cvn_step(all.net) == CVN_OK);
        }
        weights = cvn_flat_parameters(b.net, &n);
        memcpy(weights, cvn_flat_parameters(all.net, NULL), n * sizeof(float));
        cvn_touch(b.net);
        compare_predictions(&all, &b, batch, !b.norms, &random);
        CHECK(cvn_build(all.net, batch + 1) == CVN_OK &&
              build_in(&b, batch + 1, CVN_INFER) == CVN_OK);
        compare_predictions(&all, &b, batch + 1, !b.norms, &random);
        compare_share(&all, &b, batch + 1, &random);
        free_graph(&all);
        free_graph(&b);
    }
}

/* ---- what random graphs meet seldom ---- */

/* Two nets of one seed, one with all values kept: their gradients after a step of training. */
static void compare_pair(cvn_net *all, cvn_net *b, cvn_node input, int count, const char *what)
{
    float *x = (float *)malloc((size_t)(2 * count) * sizeof *x);
    const float *flat;
    size_t n;
    test_case("%s", what);
    for (int i = 0; x && i < 2 * count; i++) x[i] = (float)sin(i + 1.0);
    CHECKF(cvn_build(all, 2) == CVN_OK, "%s", cvn_error(all));
    CHECKF(cvn_build(b, 2) == CVN_OK, "%s", cvn_error(b));
    CHECK(cvn_set_input(all, input, x, 2) == CVN_OK && cvn_set_input(b, input, x, 2) == CVN_OK);
    CHECK(cvn_forward(all) == CVN_OK && cvn_forward(b) == CVN_OK);
    CHECK(cvn_backward(all) == CVN_OK && cvn_backward(b) == CVN_OK);
    flat = cvn_flat_gradients(all, &n);
    CHECK(n > 0 && same_bits(flat, cvn_flat_gradients(b, NULL), n));
    cvn_destroy(all);
    cvn_destroy(b);
    free(x);
}

static cvn_net *seeded(int keep_all)
{
    cvn_desc d = cvn_desc_defaults();
    d.keep_all = keep_all;
    return cvn_create(&d);
}

/* The gradients of the final states lie in the memory of a layer that is computed again. */
static void recomputed_states(void)
{
    cvn_net *net[2];
    cvn_node x = none();
    for (int i = 0; i < 2; i++) {
        const int dims[2] = { 4, 3 };
        cvn_node y, state;
        net[i] = seeded(!i);
        x = cvn_input_tensor(net[i], dims, 2);
        y = cvn_lstm(net[i], x, 5);
        y = cvn_tanh(net[i], y);
        cvn_recompute(net[i], cvn_find(net[i], "lstm1"), y);
        state = cvn_concat(net[i], cvn_rnn_state(net[i], cvn_find(net[i], "lstm1"), 0),
                           cvn_rnn_state(net[i], cvn_find(net[i], "lstm1"), 1));
        cvn_mean_loss(net[i], cvn_square(net[i], state));
        cvn_mean_loss(net[i], cvn_square(net[i], y));
    }
    compare_pair(net[0], net[1], x, 12, "states of a recomputed LSTM");
}

/* A frozen layer without a gradient is computed again, with its normed weight. */
static void recomputed_frozen_spectral(void)
{
    cvn_net *net[2];
    cvn_node x = none();
    for (int i = 0; i < 2; i++) {
        cvn_node y;
        net[i] = seeded(!i);
        x = cvn_input(net[i], 2, 6, 6);
        y = cvn_spectral_norm(net[i], cvn_conv2d(net[i], x, 8, 3, 1, 1));
        cvn_freeze(net[i], y);
        y = cvn_conv2d(net[i], cvn_tanh(net[i], y), 4, 3, 1, 1);
        cvn_recompute(net[i], cvn_find(net[i], "conv1"), y);
        y = cvn_dense(net[i], y, 2000);         /* its value fits where the weight lay */
        cvn_mean_loss(net[i], cvn_square(net[i], y));
    }
    compare_pair(net[0], net[1], x, 72, "a frozen spectral norm computed again");
}

/* The backward pass of a pool that does its activation's, too, has the bits of both apart. */
static void pooled_activations(void)
{
    for (int kind = 0; kind < 3; kind++) {
        cvn_net *net[2];
        cvn_node x = none();
        for (int i = 0; i < 2; i++) {
            cvn_node y;
            net[i] = seeded(!i);
            x = cvn_input(net[i], 2, 12, 34);
            y = cvn_conv2d(net[i], x, 4, 3, 1, 1);
            y = kind == 0 ? cvn_tanh(net[i], y) : kind == 1 ? cvn_sigmoid(net[i], y)
                                                            : cvn_leaky_relu(net[i], y, 0.3f);
            y = kind < 2 ? cvn_avgpool(net[i], y, 2, 2) : cvn_maxpool(net[i], y, 2, 2);
            cvn_mean_loss(net[i], cvn_square(net[i], y));
        }
        compare_pair(net[0], net[1], x, 816, kind == 0 ? "mean of tanh"
                                             : kind == 1 ? "mean of sigmoid" : "maxima of relu");
    }
}

static int counted_calls;

static void counted_forward(void *user, int n, const float *x, float *y)
{
    (void)user;
    counted_calls++;
    memcpy(y, x, (size_t)n * sizeof *y);
}

static void counted_backward(void *user, int n, const float *x, const float *y, const float *dy,
                             float *dx)
{
    (void)user, (void)x, (void)y;
    memcpy(dx, dy, (size_t)n * sizeof *dx);
}

/* What a prediction leaves out, its inputs may not be filled: no backward pass computes it. */
static void prediction_again(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 4);
    const cvn_node target = cvn_input_vector(net, 4);
    const cvn_node y = cvn_tanh(net, cvn_dense(net, cvn_tanh(net, cvn_dense(net, x, 4)), 4));
    cvn_node t = cvn_dense(net, cvn_activation(net, target, counted_forward, counted_backward,
                                               NULL), 4);
    float v[4] = { 1, 2, 3, 4 };
    cvn_output(net, y);
    cvn_want_grad(net, y);
    cvn_want_grad(net, target);
    cvn_mse_loss(net, y, t);
    cvn_recompute(net, cvn_find(net, "fc1"), t);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_set_input(net, x, v, 1) == CVN_OK && cvn_forward_eval(net) == CVN_OK);
    CHECK(cvn_backward_from(net, y, v) == CVN_OK && counted_calls == 0);
    CHECK(cvn_set_input(net, target, v, 1) == CVN_OK && cvn_forward(net) == CVN_OK);
    CHECK(cvn_backward(net) == CVN_OK && counted_calls == 2);
    cvn_destroy(net);
}

/* The gradient that is stopped can be read, and goes no further. */
static void stopped_gradient(void)
{
    for (int keep_all = 0; keep_all < 2; keep_all++) {
        cvn_net *net = seeded(keep_all);
        const cvn_node x = cvn_input_vector(net, 2);
        const cvn_node y = cvn_stop_gradient(net, cvn_scale(net, x, 2, 0));
        float v[2] = { 1, 3 };
        const float *g;
        cvn_want_grad(net, x);
        cvn_want_grad(net, y);
        cvn_mean_loss(net, cvn_square(net, y));
        CHECK(cvn_build(net, 1) == CVN_OK && cvn_set_input(net, x, v, 1) == CVN_OK);
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward(net) == CVN_OK);
        g = cvn_gradient(net, y);
        CHECK(g && g[0] == 2 && g[1] == 6);
        g = cvn_gradient(net, x);
        CHECK(g && g[0] == 0 && g[1] == 0);
        CHECK(cvn_forward(net) == CVN_OK && cvn_backward_from(net, y, v) == CVN_OK);
        cvn_destroy(net);
    }
}

/* A shared net follows when its owner is built anew in other memory. */
static void shared_and_rebuilt(void)
{
    cvn_net *net = cvn_create(NULL);
    const cvn_node x = cvn_input_vector(net, 3);
    const cvn_node y = cvn_batchnorm(net, cvn_dense(net, cvn_dense(net, x, 4), 2));
    const size_t size = cvn_memory_needed(net, 2, CVN_INFER);
    unsigned char *first = (unsigned char *)malloc(size);
    unsigned char *second = (unsigned char *)malloc(size);
    const float v[3] = { 1, 2, 3 };
    float before[2], after[2];
    cvn_net *other;
    CHECK(y.id && cvn_build_in(net, 2, CVN_INFER, first, size) == CVN_OK);
    other = cvn_share(net);
    CHECK(cvn_build_infer(other, 1) == CVN_OK && cvn_predict(other, v, 1, before) == CVN_OK);
    CHECK(cvn_build_in(net, 2, CVN_INFER, second, size) == CVN_OK);
    memset(first, 0xFF, size);
    CHECK(cvn_param_find(other, "fc1.weight").value == cvn_param_find(net, "fc1.weight").value);
    CHECK(cvn_flat_parameters(other, NULL) == cvn_flat_parameters(net, NULL));
    CHECK(cvn_predict(other, v, 1, after) == CVN_OK && same_bits(before, after, 2));
    cvn_destroy(other);
    cvn_destroy(net);
    free(first);
    free(second);
}

/* As many units as an int holds: the plan says what they need. */
static void largest_dense(void)
{
    cvn_net *net = cvn_create(NULL);
    const size_t floats = ((size_t)1 << 31) - 1;
    size_t bytes;
    cvn_dense(net, cvn_input_vector(net, 1), 0x7FFFFFFF);
    bytes = cvn_memory_needed(net, 1, CVN_INFER);
    CHECKF(cvn_node_shape(net, cvn_find(net, "fc1")).dim[1] == 0x7FFFFFFF, "%s", cvn_error(net));
    CHECKF(sizeof bytes < 8 || (bytes > 12 * floats && bytes < 13 * floats), "%lu bytes",
           (unsigned long)bytes);
    cvn_destroy(net);
}

int main(void)
{
    RUN(random_graphs);
    RUN(random_budgets);
    RUN(random_inference);
    RUN(recomputed_states);
    RUN(recomputed_frozen_spectral);
    RUN(pooled_activations);
    RUN(prediction_again);
    RUN(stopped_gradient);
    RUN(shared_and_rebuilt);
    RUN(largest_dense);
    return test_done();
}
