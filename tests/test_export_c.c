/* test_export_c.c - nets as C source.
 *     test_export_c        what can be checked without a compiler: errors, names, memory that runs
 *                          out, the same text from every way to get it
 *     test_export_c DIR    writes each kind of layer and net of examples/zoo.c as DIR/NNN.c with
 *                          random weights, and DIR/main.c, which runs them all on random inputs
 *                          and compares with what this library computes; tests/run.sh compiles and
 *                          runs it: to 1e-5 of the largest value, for the deep nets of the zoo to
 *                          1e-4, which is what two sets of this library's own kernels differ by.
 *                          The nets of the zoo have their constants in DIR/NNN.bin. */
#define CONVNET_IMPLEMENTATION
int zoo_main(int argc, char **argv);
#define main zoo_main
#include "../examples/zoo.c"
#undef main
#include "test.h"

/* ---- the cases ---- */

static cvn_node features(cvn_net *net, int n) { return cvn_input_vector(net, n); }

static cvn_node tensor(cvn_net *net, int a, int b, int c, int d)
{
    int dims[4];
    dims[0] = a;
    dims[1] = b;
    dims[2] = c;
    dims[3] = d;
    return cvn_input_tensor(net, dims, d ? 4 : c ? 3 : b ? 2 : 1);
}

static cvn_node lengths(cvn_net *net) { return cvn_input_labels(net, NULL, 0); }

static void convolutions(cvn_net *net, int i)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_node x = tensor(net, 6, 7, 5, 0);
    d.filters = i == 4 ? 4 : 10;
    d.kernel_h = 3;
    d.kernel_w = 2;
    d.stride_h = i == 1 ? 2 : 1;
    d.dilation_h = i == 2 ? 2 : 1;
    d.pad_top = 2;
    d.pad_left = 1;
    d.pad_right = i == 3 ? 4 : 1;
    d.groups = i == 3 ? 2 : i == 4 ? 2 : 1;
    d.no_bias = i == 3;
    if (i == 5) d.pad_mode = CVN_PAD_REFLECT;
    if (i == 6) d.pad_mode = CVN_PAD_REPLICATE;
    x = cvn_conv2d_ex(net, x, &d);
    if (i == 1) cvn_relu(net, x);
    if (i == 2) cvn_leaky_relu(net, cvn_batchnorm(net, x), 0.2f);
    if (i == 3) cvn_relu6(net, cvn_batchnorm(net, x));
}

static void other_convolutions(cvn_net *net, int i)
{
    cvn_conv_transpose2d_desc t = cvn_conv_transpose2d_defaults();
    cvn_conv1d_desc l = cvn_conv1d_defaults();
    cvn_conv3d_desc d = cvn_conv3d_defaults();
    t.filters = l.filters = d.filters = 6;
    t.kernel_h = 3;
    t.kernel_w = 2;
    t.stride_h = 2;
    t.pad_top = t.pad_left = 1;
    t.output_pad_h = 1;
    t.dilation_w = 2;
    t.groups = 2;
    l.kernel = 3;
    l.dilation = 2;
    l.pad_left = 3;
    d.kernel_d = 3;
    d.kernel_h = d.kernel_w = 2;
    d.stride_d = 2;
    d.pad_front = d.pad_right = 1;
    d.pad_mode = i == 3 ? CVN_PAD_REPLICATE : CVN_PAD_ZERO;
    switch (i) {
    case 0: cvn_conv_transpose2d_ex(net, tensor(net, 4, 5, 3, 0), &t); break;
    case 1: cvn_conv1d_ex(net, tensor(net, 3, 11, 0, 0), &l); break;
    case 2: case 3: cvn_conv3d_ex(net, tensor(net, 2, 5, 4, 6), &d); break;
    case 4: cvn_depthwise(net, tensor(net, 5, 6, 6, 0), 3, 2, 1); break;
    case 5: cvn_relu(net, cvn_pointwise(net, tensor(net, 5, 6, 6, 0), 7)); break;
    case 6: cvn_conv_transpose1d(net, tensor(net, 3, 5, 0, 0), 4, 3, 2, 0); break;
    case 7: cvn_spectral_norm(net, cvn_conv2d(net, tensor(net, 3, 6, 6, 0), 5, 3, 1, 1)); break;
    default: cvn_conv_transpose3d(net, tensor(net, 2, 3, 4, 3), 4, 3, 2, 1); break;
    }
}

static void dense(cvn_net *net, int i)
{
    cvn_dense_desc d = cvn_dense_defaults();
    cvn_node x = i == 1 ? tensor(net, 5, 7, 0, 0) : features(net, 7);
    d.units = 9;
    d.no_bias = i == 2;
    x = cvn_dense_ex(net, x, &d);
    if (i == 3) x = cvn_relu(net, cvn_batchnorm(net, x));
    if (i == 4) cvn_dense(net, cvn_spectral_norm(net, x), 3);
}

static void pools(cvn_net *net, int i)
{
    cvn_pool_desc d = cvn_pool_defaults();
    const cvn_node x = i % 4 == 3 ? tensor(net, 3, 9, 0, 0) : tensor(net, 3, 7, 9, 0);
    d.kernel_h = 3;
    d.stride_h = 2;
    d.pad_top = d.pad_left = 1;
    d.pad_bottom = i % 2;
    d.ceil_mode = i == 2 || i == 5;
    d.exclude_pad = i == 5 || i == 6;
    if (i % 4 == 3) d.pad_top = d.pad_bottom = 0;
    if (i < 4) cvn_maxpool_ex(net, x, &d);
    else if (i < 8) cvn_avgpool_ex(net, x, &d);
    else if (i == 8) cvn_global_avgpool(net, x);
    else if (i == 9) cvn_global_maxpool(net, x);
    else if (i == 10) cvn_adaptive_avgpool(net, x, 3, 4);
    else if (i == 11) cvn_adaptive_maxpool(net, x, 1, 5);
    else {
        d.dilation_h = 2;
        d.dilation_w = 3;
        if (i < 14) cvn_maxpool_ex(net, x, &d);
        else if (i < 16) cvn_avgpool_ex(net, x, &d);
        else if (i < 18) cvn_lppool(net, x, i - 15, &d);
        else cvn_global_lppool(net, x, 3);
    }
}

static void unpool(cvn_net *net, int i)
{
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_node x = tensor(net, 3, 6, 8, 0);
    d.kernel_h = 2;
    x = cvn_relu(net, x);
    if (i) cvni_add_places(net, cvn_maxpool_indices(net, x, &d), i - 1);
    else
        cvn_maxunpool(net, cvn_maxpool_ex(net, x, &d), cvn_maxpool_indices(net, x, &d), 6,
                      8);
}

static void regions(cvn_net *net, int i)
{
    cvn_roi_align_desc d = cvn_roi_align_defaults();
    cvn_node x = tensor(net, 3, 9, 8, 0);
    cvn_node boxes = cvn_name(net, tensor(net, 4, 4, 0, 0), "boxes");
    d.aligned = i;
    d.sampling_ratio = i ? 2 : 0;
    d.spatial_scale = 0.5f;
    x = cvn_flatten_batch(net, cvn_roi_align(net, x, boxes, 3, 2, &d));
    x = cvn_relu(net, cvn_conv2d(net, x, 5, 2, 1, 1));
    cvn_unflatten_batch(net, cvn_maxpool(net, cvn_pointwise(net, x, 3), 2, 1), 4);
}

static void norms(cvn_net *net, int i)
{
    const cvn_node x = tensor(net, 6, 5, 4, 0);
    cvn_layernorm_desc l = cvn_layernorm_defaults();
    cvn_instancenorm_desc n = cvn_instancenorm_defaults();
    l.axes = 2;
    l.no_bias = 1;
    n.affine = 1;
    switch (i) {
    case 0: cvn_batchnorm(net, x); break;
    case 1: cvn_relu(net, cvn_batchnorm(net, x)); break;
    case 2: cvn_relu(net, cvn_add(net, cvn_batchnorm(net, cvn_exp(net, x)), x)); break;
    case 3: cvn_layernorm(net, x); break;
    case 4: cvn_layernorm_ex(net, x, &l); break;
    case 5: cvn_instancenorm(net, x); break;
    case 6: cvn_instancenorm_ex(net, x, &n); break;
    case 7: cvn_groupnorm(net, x, 3); break;
    case 8: cvn_l2norm(net, x, 1); break;
    case 9: cvn_l2norm(net, x, 3); break;
    case 10: cvn_lrn(net, x, 3); break;
    default: cvn_lrn(net, x, 4); break;
    }
}

static void activations(cvn_net *net, int i)
{
    static const int turn[3] = { 2, 3, 1 };
    const cvn_node x = tensor(net, 4, 3, 5, 0);
    switch (i) {
    case 0: cvn_relu(net, x); break;
    case 1: cvn_leaky_relu(net, x, 0.1f); break;
    case 2: cvn_relu6(net, cvn_scale(net, x, 5, 1)); break;
    case 3: cvn_elu(net, x, 0.7f); break;
    case 4: cvn_selu(net, x); break;
    case 5: cvn_celu(net, x, 0.6f); break;
    case 6: cvn_sigmoid(net, x); break;
    case 7: cvn_tanh(net, x); break;
    case 8: cvn_gelu(net, x); break;
    case 9: cvn_gelu_tanh(net, x); break;
    case 10: cvn_silu(net, x); break;
    case 11: cvn_mish(net, cvn_scale(net, x, 30, 0)); break;
    case 12: cvn_hardswish(net, cvn_scale(net, x, 5, 0)); break;
    case 13: cvn_hardsigmoid(net, cvn_scale(net, x, 5, 0)); break;
    case 14: cvn_softplus(net, cvn_scale(net, x, 9, 0), 2, 3); break;
    case 15: cvn_softsign(net, x); break;
    case 16: cvn_binary_step(net, x); break;
    case 17: cvn_prelu(net, x, 4); break;
    case 18: cvn_prelu(net, x, 1); break;
    case 19: cvn_softmax(net, x); break;
    case 20: cvn_softmax_axis(net, x, 3); break;
    case 21: cvn_log_softmax(net, x); break;
    case 22: cvn_glu(net, x, 1); break;
    case 23: cvn_glu(net, cvn_permute(net, x, turn, 3), 3); break;
    default: cvn_maxout(net, x, 2); break;
    }
}

static void elementwise(cvn_net *net, int i)
{
    const cvn_node x = tensor(net, 4, 3, 5, 0);
    const cvn_node up = cvn_scale(net, x, 0.4f, 1.5f);
    const cvn_node b = i % 2 ? tensor(net, 4, 1, 1, 0) : tensor(net, 1, 3, 5, 0);
    switch (i) {
    case 0: cvn_add(net, up, b); break;
    case 1: cvn_sub(net, up, b); break;
    case 2: cvn_mul(net, up, b); break;
    case 3: cvn_div(net, b, up); break;
    case 4: cvn_maximum(net, up, b); break;
    case 5: cvn_minimum(net, b, up); break;
    case 6: cvn_relu(net, cvn_add(net, cvn_exp(net, up), up)); break;
    case 7: cvn_log(net, up); break;
    case 8: cvn_sqrt(net, up); break;
    case 9: cvn_square(net, up); break;
    case 10: cvn_abs(net, x); break;
    case 11: cvn_neg(net, up); break;
    case 12: cvn_clip(net, up, 1.2f, 1.7f); break;
    case 13: cvn_pow(net, up, 1.7f); break;
    case 14: cvn_power(net, up, b); break;
    case 15: cvn_remainder(net, x, b); break;
    case 16: cvn_fmod(net, x, b); break;
    case 17: cvn_equal(net, cvn_sign(net, x), cvn_sign(net, b)); break;
    case 18: cvn_greater(net, x, b); break;
    case 19: cvn_less_equal(net, x, b); break;
    case 20: cvn_where(net, cvn_greater(net, x, b), tensor(net, 4, 1, 5, 0), b); break;
    case 21: cvn_or(net, cvn_xor(net, cvn_round(net, x), b), cvn_not(net, x)); break;
    case 22: cvn_reciprocal(net, up); break;
    case 23: cvn_erf(net, x); break;
    case 24: cvn_asinh(net, cvn_sinh(net, x)); break;
    case 25: cvn_atan(net, x); break;
    case 26: cvn_floor(net, up); break;
    case 27: cvn_shrink(net, x, 0.2f, 0.1f); break;
    case 28: cvn_cos(net, cvn_sin(net, x)); break;
    case 29: cvni_add_function(net, CVNI_ROUNDED, x, 8, -125); break;
    default: cvn_atanh(net, cvn_scale(net, x, 0.9f, 0)); break;
    }
}

static void moving(cvn_net *net, int i)
{
    static const int turn[3] = { 2, 3, 1 }, axes[2] = { 1, 3 }, flat[2] = { 6, -1 };
    const cvn_node x = tensor(net, 4, 3, 5, 0);
    cvn_node other;
    switch (i) {
    case 0: cvn_permute(net, x, turn, 3); break;
    case 1: cvn_slice(net, x, 1, 1, 3); break;
    case 2: cvn_slice(net, x, 3, 2, 4); break;
    case 3: cvn_concat(net, x, tensor(net, 2, 3, 5, 0)); break;
    case 4: cvn_reduce_sum(net, x, axes, 2); break;
    case 5: cvn_reduce_mean(net, x, NULL, 0); break;
    case 6: cvn_reduce_max(net, x, axes + 1, 1); break;
    case 7: cvn_pad(net, x, 1, 2, 0, 3, CVN_PAD_ZERO); break;
    case 8: cvn_pad(net, x, 1, 2, 0, 3, CVN_PAD_REFLECT); break;
    case 9: cvn_pad(net, x, 4, 2, 5, 3, CVN_PAD_REPLICATE); break;
    case 10: cvn_crop(net, x, 1, 2, 2, 3); break;
    case 11: cvn_upsample_nearest(net, x, 2); break;
    case 12: cvn_upsample_nearest_to(net, x, 7, 4); break;
    case 13: cvn_upsample_bilinear(net, x, 3, 0); break;
    case 14: cvn_upsample_bilinear_to(net, x, 8, 3, 1); break;
    case 15: cvn_pixel_shuffle(net, x, 2); break;
    case 16: cvn_matmul(net, x, tensor(net, 4, 5, 6, 0), 0, 0); break;
    case 17: cvn_matmul(net, x, tensor(net, 4, 6, 3, 0), 1, 1); break;
    case 18: cvn_dropout(net, cvn_flatten(net, cvn_exp(net, x)), 0.5f); break;
    case 19: cvn_reshape(net, x, flat, 2); break;
    case 20: cvn_reparameterize(net, cvn_exp(net, x), x); break;
    case 21: cvn_gram(net, x); break;
    case 22: cvn_matmul(net, tensor(net, 1, 3, 5, 0), tensor(net, 4, 5, 2, 0), 0, 0); break;
    case 23: cvn_matmul(net, x, tensor(net, 1, 5, 2, 0), 0, 0); break;
    case 24: cvn_reduce_min(net, x, axes, 2); break;
    case 25: cvn_reduce_prod(net, x, axes, 1); break;
    case 26: cvn_argmax(net, x, 1); break;
    case 27: cvn_hardmax(net, x, 3); break;
    case 28: cvn_keep(net, cvn_topk(net, x, 3, 3, 0, &other)); cvn_output(net, other); break;
    case 29: cvn_cumsum(net, x, 2, 1, 0); break;
    case 30: cvn_cumsum(net, x, 3, 0, 1); break;
    default: cvn_gaussian_noise(net, cvn_stop_gradient(net, cvn_exp(net, x)), 1); break;
    }
}

/* Elements chosen when the net is built, or at indices that it is given. */
static void choices(cvn_net *net, int i)
{
    static const int repeats[3] = { 2, 1, 3 }, pads[6] = { 1, 2, -1, 0, 3, 1 };
    static const int list[4] = { 2, 0, -1, 2 }, sizes[2] = { 7, 4 };
    cvn_interpolate_desc d = cvn_interpolate_defaults();
    const cvn_node x = tensor(net, 4, 3, 5, 0);
    const int dims[3] = { 4, 2, 5 };
    const cvn_node index = cvn_input_labels(net, dims, i < 14 ? 1 : 3);
    const cvn_node near = cvn_scale(net, cvn_round(net, tensor(net, 2, 0, 0, 0)), 1, 1);
    d.mode = i == 8 ? CVN_CUBIC : i == 9 ? CVN_NEAREST : CVN_LINEAR;
    d.antialias = i == 7;
    d.coordinates = i == 10 ? CVN_ALIGN_CORNERS : i == 11 ? CVN_TF_HALF_PIXEL : CVN_HALF_PIXEL;
    switch (i) {
    case 0: cvn_slice_step(net, x, 3, 4, -6, -2); break;
    case 1: cvn_flip(net, cvn_slice_step(net, x, 1, 0, 4, 3), 2); break;
    case 2: cvn_tile(net, x, repeats, 3); break;
    case 3: cvn_pad_axes(net, x, pads, 3, CVN_PAD_ZERO, 0.5f); break;
    case 4: cvn_pad_axes(net, x, pads, 3, CVN_PAD_REFLECT, 0); break;
    case 5: cvn_pad_axes(net, x, pads, 3, CVN_PAD_CIRCULAR, 0); break;
    case 6: cvn_index_select(net, x, 1, list, 4); break;
    case 12: cvn_take(net, x, index, 1); break;
    case 13: cvn_take(net, x, near, 3); break;
    case 14: cvn_gather(net, x, cvn_slice(net, x, 1, 0, 1), 2); break;
    case 15: cvn_scatter(net, x, cvn_clip(net, x, 0, 0.9f), cvn_exp(net, x), 2, CVN_SCATTER_ADD);
        break;
    case 16: cvn_scatter(net, x, index, cvn_slice(net, x, 2, 0, 2), 1, CVN_SCATTER_MAX); break;
    case 17: cvn_one_hot(net, near, 1, 3, 2, -1); break;
    case 18: cvn_one_hot(net, index, 2, 5, 1, 0); break;
    case 19: cvn_reverse_sequence(net, x, lengths(net), 0, 1); break;
    default: cvn_interpolate(net, x, sizes, NULL, 2, &d); break;
    }
}

static void constants(cvn_net *net, int i)
{
    static const int dims[2] = { 5, 6 };
    const cvn_init init = { CVN_INIT_NORMAL, 0, 1 };
    const cvn_node p = cvn_parameter(net, dims, 2, init);
    const cvn_node x = tensor(net, 5, 6, 0, 0);
    switch (i) {
    case 0: cvn_add(net, x, p); break;
    case 1: cvn_relu(net, p); break;
    case 2: cvn_output(net, p); break;
    case 3: cvn_embedding(net, cvn_input_labels(net, dims, 1), 4, 3); break;
    case 6: cvn_embedding(net, cvn_abs(net, cvn_round(net, x)), 4, 3); break;
    case 4: cvn_positional_encoding(net, cvn_exp(net, x)); break;
    default: cvn_position_embedding(net, x); break;
    }
}

static void attention(cvn_net *net, int i)
{
    cvn_attention_desc d = cvn_attention_defaults();
    cvn_node x = tensor(net, 5, 8, 0, 0);
    cvn_node memory = tensor(net, 7, 8, 0, 0);
    d.heads = 2;
    d.causal = i % 2;
    d.no_bias = i == 2;
    if (i == 1 || i == 3) d.lengths = lengths(net);
    if (i < 2) cvn_scaled_dot_product_attention(net, x, memory, memory, &d);
    else if (i == 2) cvn_multihead_attention_ex(net, x, memory, memory, &d);
    else if (i == 3) cvn_multihead_attention_ex(net, x, x, x, &d);
    else {
        x = cvn_flatten_batch(net, tensor(net, 2, 3, 8, 0));
        cvn_multihead_attention(net, x, x, x, 4);
    }
}

static void recurrent(cvn_net *net, int i)
{
    cvn_rnn_desc d = cvn_rnn_defaults();
    const cvn_node x = tensor(net, 5, 3, 0, 0);
    cvn_node y;
    d.hidden = 6;
    d.layers = i % 3 + 1;
    d.reverse = i == 4;
    d.bidirectional = i % 2;
    d.no_bias = i == 4;
    d.relu = i == 6;
    if (i == 1 || i == 3) d.lengths = lengths(net);
    if (i == 2 || i == 5) d.h0 = tensor(net, d.layers * (1 + d.bidirectional), 6, 0, 0);
    if (i == 2) d.c0 = tensor(net, d.layers, 6, 0, 0);
    y = i < 3 ? cvn_lstm_ex(net, x, &d) : i < 6 ? cvn_gru_ex(net, x, &d) : cvn_rnn_ex(net, x, &d);
    cvn_keep(net, y);
    if (i == 2) cvn_keep(net, cvn_rnn_state(net, y, 1));
    if (i < 6) cvn_output(net, cvn_rnn_state(net, y, 0));
    if (i == 8) cvn_last_step(net, cvn_lstm(net, cvn_flatten_batch(net, tensor(net, 2, 4, 3, 0)),
                                            4));
}

/* Several outputs, ties, names that are no identifiers, values side by side. */
static void graphs(cvn_net *net, int i)
{
    cvn_node x = tensor(net, 3, 6, 6, 0), a, b;
    switch (i) {
    case 0:
        a = cvn_relu(net, cvn_conv2d(net, x, 4, 3, 1, 1));
        cvn_keep(net, a);
        b = cvn_flatten(net, a);
        cvn_keep(net, b);
        cvn_output(net, cvn_softmax(net, cvn_dense(net, b, 5)));
        break;
    case 1:
        a = cvn_dense(net, cvn_flatten(net, x), 4);
        b = cvn_dense(net, cvn_flatten(net, cvn_tanh(net, x)), 4);
        cvn_tie(net, b, a);
        cvn_output(net, cvn_sub(net, a, b));
        break;
    case 2:
        a = cvn_name(net, cvn_conv2d(net, x, 4, 3, 1, 1), "0.*/ \\\" \xC3\xA4");
        b = cvn_name(net, cvn_conv2d(net, a, 4, 3, 1, 1), "0_*/ \\\" \xC3\xA4");
        cvn_output(net, cvn_add(net, a, b));
        break;
    case 3:
        cvn_output(net, x);
        break;
    case 4:
        cvn_output(net, cvn_residual_basic(net, cvn_relu(net, x), 3, 1));
        break;
    default:
        x = cvn_squeeze_excite(net, cvn_fire(net, x, 2, 3, 4), 2);
        cvn_softmax_loss(net, cvn_dense(net, x, 3));
        break;
    }
}

typedef struct family {
    const char *name;
    void (*build)(cvn_net *net, int i);
    int count;
} family;

static const family families[] = {
    { "convolution", convolutions, 7 },     { "other convolution", other_convolutions, 9 },
    { "dense", dense, 5 },                  { "pool", pools, 19 },
    { "unpool", unpool, 3 },                { "regions", regions, 2 },
    { "norm", norms, 12 },                  { "activation", activations, 25 },
    { "elementwise", elementwise, 31 },     { "moving", moving, 32 },
    { "choice", choices, 20 },              { "constant", constants, 7 },
    { "attention", attention, 5 },          { "recurrent", recurrent, 9 },
    { "graph", graphs, 6 }
};

/* ---- values ---- */

static int is_source(const cvn_net *net, int id)
{
    return net->layers[id].op->flags & CVNI_SOURCE && net->layers[id].place.predict;
}

/* Parameters that are neither 0 nor 1; variances stay positive. */
static void disturb(cvn_net *net)
{
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        for (size_t k = 0; k < p.count; k++)
            p.value[k] += p.shape.rank > 1 ? 0.1f * p.value[k] : 0.3f * (random_unit() - 0.3f);
    }
    cvn_touch(net);
}

/* Inputs of one sample; ints below 4. Returns all of them in order, NULL-terminated. */
static void fill_sources(cvn_net *net, void **values)
{
    int count = 0;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const size_t n = cvni_sample_elements(l->shape);
        const cvn_node node = { id };
        float *floats;
        int *ints;
        if (!is_source(net, id)) continue;
        values[count++] = floats = (float *)malloc((n + 1) * sizeof(float));
        ints = (int *)(void *)floats;
        for (size_t i = 0; floats && i < n; i++) {
            if (l->is_int) ints[i] = 1 + (int)(3 * random_unit());
            else if (!strcmp(l->name, "boxes"))
                floats[i] = 8 * random_unit() + (i % 4 < 2 ? 0.0f : 5.0f);
            else floats[i] = 2 * random_unit() - 1;
        }
        CHECK((l->is_int ? cvn_set_labels(net, node, ints, 1)
                         : cvn_set_input(net, node, floats, 1)) == CVN_OK);
    }
    values[count] = NULL;
}

/* ---- the programs ---- */

enum { MOST = 16 };                     /* inputs and outputs of a case */

typedef struct record {                 /* what main.c must know of a case */
    char name[64];
    int inputs, count;                  /* count: with the outputs */
    int is_int[MOST];
    size_t size[MOST];
    int weights;
} record;

static record records[400];
static int record_count;

/* What goes out: the output, then nodes that are kept, as documented. */
static int list_outputs(cvn_net *net, int *ids)
{
    int count = 0;
    ids[count++] = net->output;
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].keep && id != net->output && net->layers[id].place.predict)
            ids[count++] = id;
    return count;
}

/* One net: its file, then inputs and what is right for them behind the others' values. */
static void write_case(cvn_net *net, const char *dir, const char *name, int number, int weights,
                       FILE *values)
{
    cvn_export_c_options o = cvn_export_c_defaults();
    record *r = &records[record_count];
    char path[200], weights_path[200], prefix[40];
    void *in[MOST + 1];
    int out[MOST];
    int outputs;
    snprintf(path, sizeof path, "%s/%03d.c", dir, record_count);
    snprintf(weights_path, sizeof weights_path, "%s/%03d.bin", dir, record_count);
    snprintf(prefix, sizeof prefix, "case%d", record_count);
    o.name = prefix;
    if (weights) o.weights_path = weights_path;
    test_case("%s %d", name, number);
    if (!CHECKF((record_count % 2 ? cvn_build(net, 2) : cvn_build_infer(net, 2)) == CVN_OK, "%s",
                cvn_error(net)))
        return;
    disturb(net);
    CHECK(cvni_set_batch(net, 1) == CVN_OK);
    if (!CHECKF(cvn_export_c_ex(net, path, &o) == CVN_OK, "%s", cvn_error(net))) return;
    fill_sources(net, in);
    CHECKF(cvn_forward_eval(net) == CVN_OK, "%s", cvn_error(net));
    memset(r, 0, sizeof *r);
    snprintf(r->name, sizeof r->name, "%s %d", name, number);
    r->weights = weights;
    for (int id = 1; id < net->layer_count; id++) {
        if (!is_source(net, id)) continue;
        r->is_int[r->inputs] = net->layers[id].is_int;
        r->size[r->inputs] = cvni_elements(net->layers[id].shape);
        fwrite(in[r->inputs], 4, r->size[r->inputs], values);
        free(in[r->inputs++]);
    }
    outputs = list_outputs(net, out);
    r->count = r->inputs + outputs;
    for (int i = 0; i < outputs; i++) {
        const cvn_node node = { out[i] };
        const float *y = cvn_value(net, node);
        r->size[r->inputs + i] = cvni_elements(net->layers[out[i]].shape);
        if (CHECK(y != NULL)) fwrite(y, 4, r->size[r->inputs + i], values);
    }
    record_count++;
}

static void write_signature(FILE *f, const record *r, int i, const char *argument)
{
    fprintf(f, "case%d_run(", i);
    for (int k = 0; k < r->count; k++) {
        const char *type = k >= r->inputs ? "float *" : r->is_int[k] ? "const int *"
                                                                     : "const float *";
        fprintf(f, "%s", k ? ", " : "");
        if (argument) fprintf(f, "(%s)%s[%d]", type, argument, k);
        else fprintf(f, "%sp%d", type, k);
    }
    fprintf(f, ");");
}

static const char *const program_text =
    "static void *take(FILE *f, size_t bytes)\n"
    "{\n"
    "    char *p = (char *)malloc(bytes + 1);\n"
    "    if (!p || (f && fread(p, 1, bytes, f) != bytes)) exit(2);\n"
    "    return p;\n"
    "}\n\n"
    "static int load(const char *dir, int i)\n"
    "{\n"
    "    char path[300];\n"
    "    FILE *f;\n"
    "    long size;\n"
    "    char *bytes;\n"
    "    int bad;\n"
    "    snprintf(path, sizeof path, \"%s/%03d.bin\", dir, i);\n"
    "    f = fopen(path, \"rb\");\n"
    "    if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) <= 0) return 4;\n"
    "    rewind(f);\n"
    "    bytes = (char *)take(f, (size_t)size);\n"
    "    fclose(f);\n"
    "    bad = cases[i].load(bytes, (size_t)size - 1) != 1;\n"
    "    bad |= cases[i].load(bytes + 1, (size_t)size) != 2;\n"
    "    return bad ? 5 : cases[i].load(bytes, (size_t)size);    /* stays */\n"
    "}\n\n"
    "int main(int argc, char **argv)\n"
    "{\n"
    "    int passed = 0, failed = 0;\n"
    "    char path[300];\n"
    "    FILE *f;\n"
    "    if (argc < 2) return 2;\n"
    "    snprintf(path, sizeof path, \"%s/values.bin\", argv[1]);\n"
    "    f = fopen(path, \"rb\");\n"
    "    if (!f) return 2;\n"
    "    for (int i = 0; i < COUNT; i++) {\n"
    "        void *p[MOST];\n"
    "        double worst = 0;\n"
    "        int good = 1;\n"
    "        if (cases[i].load) good = load(argv[1], i) == 0;\n"
    "        for (int k = 0; k < cases[i].inputs; k++) p[k] = take(f, 4 * cases[i].size[k]);\n"
    "        for (int k = cases[i].inputs; k < cases[i].count; k++) {\n"
    "            p[k] = take(NULL, 4 * cases[i].size[k]);\n"
    "            memset(p[k], 0xFF, 4 * cases[i].size[k]);\n"
    "        }\n"
    "        for (int twice = 0; twice < 2; twice++) cases[i].call(p);\n"
    "        for (int k = 0; k < cases[i].count; k++) {\n"
    "            const float *y = (const float *)p[k];\n"
    "            double most = 1e-6;\n"
    "            float *right;\n"
    "            if (k < cases[i].inputs) continue;\n"
    "            right = (float *)take(f, 4 * cases[i].size[k]);\n"
    "            for (size_t n = 0; n < cases[i].size[k]; n++)\n"
    "                most = fabs((double)right[n]) > most ? fabs((double)right[n]) : most;\n"
    "            for (size_t n = 0; n < cases[i].size[k]; n++) {\n"
    "                const double d = fabs((double)y[n] - (double)right[n]) / most;\n"
    "                if (!(d <= (cases[i].load ? 1e-4 : 1e-5))) good = 0;\n"
    "                if (!(d <= worst)) worst = d;\n"
    "            }\n"
    "            free(right);\n"
    "        }\n"
    "        if (!good) printf(\"    FAILED %s (case %d): %.3g\\n\", cases[i].name, i, worst);\n"
    "        for (int k = 0; k < cases[i].count; k++) free(p[k]);\n"
    "        if (good) passed++;\n"
    "        else failed++;\n"
    "    }\n"
    "    printf(\"%d passed, %d failed\\n\", passed, failed);\n"
    "    return failed > 0;\n"
    "}\n";

static void write_program(const char *dir)
{
    char path[200];
    FILE *f;
    snprintf(path, sizeof path, "%s/main.c", dir);
    f = fopen(path, "w");
    if (!CHECK(f != NULL)) return;
    fprintf(f, "#include <math.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
               "#include <string.h>\n\n");
    for (int i = 0; i < record_count; i++) {
        fprintf(f, "void ");
        write_signature(f, &records[i], i, NULL);
        if (records[i].weights) fprintf(f, "\nint case%d_load(const void *bytes, size_t size);", i);
        fprintf(f, "\nstatic void call%d(void *const *p) { ", i);
        write_signature(f, &records[i], i, "p");
        fprintf(f, " }\n");
    }
    fprintf(f, "\nenum { COUNT = %d, MOST = %d };\n\nstatic const struct {\n"
               "    const char *name;\n"
               "    void (*call)(void *const *p);\n"
               "    int (*load)(const void *bytes, size_t size);\n"
               "    int inputs, count;\n    size_t size[MOST];\n} cases[COUNT] = {\n",
            record_count, MOST);
    for (int i = 0; i < record_count; i++) {
        const record *r = &records[i];
        fprintf(f, "    { \"%s\", call%d, ", r->name, i);
        if (r->weights) fprintf(f, "case%d_load", i);
        else fprintf(f, "NULL");
        fprintf(f, ", %d, %d, {", r->inputs, r->count);
        for (int k = 0; k < r->count; k++)
            fprintf(f, "%s%lu", k ? ", " : " ", (unsigned long)r->size[k]);
        fprintf(f, " } },\n");
    }
    fprintf(f, "};\n\n%s", program_text);
    fclose(f);
}

static const char *target;

static void write_all(void)
{
    char path[200];
    FILE *values;
    snprintf(path, sizeof path, "%s/values.bin", target);
    values = fopen(path, "wb");
    if (!CHECKF(values != NULL, "%s", path)) return;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (int i = 0; i < families[f].count; i++) {
            cvn_net *net = cvn_create(NULL);
            families[f].build(net, i);
            write_case(net, target, families[f].name, i, 0, values);
            cvn_destroy(net);
        }
    for (int i = 0; i < NETS; i++) {
        cvn_net *net = cvn_create(NULL);
        nets[i].build(net, &nets[i].small, nets[i].variant);
        write_case(net, target, nets[i].name, 0, 1, values);
        cvn_destroy(net);
    }
    fclose(values);
    write_program(target);
}

/* ---- what needs no compiler ---- */

static cvn_net *small_net(const cvn_desc *desc)
{
    cvn_net *net = cvn_create(desc);
    cvn_node x = cvn_input(net, 2, 6, 6);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 3, 3, 1, 0)));
    cvn_softmax_loss(net, cvn_dense(net, cvn_add(net, x, cvn_tanh(net, x)), 4));
    return net;
}

#define PATH "build/test_export.c"

/* The whole text; the caller frees it. */
static char *text_of(cvn_net *net, const cvn_export_c_options *o)
{
    const size_t size = cvn_export_c_memory(net, NULL, 0, o);
    char *text = (char *)calloc(size + 1, 1);
    CHECK(size > 0 && cvn_export_c_memory(net, text, size - 1, o) == size);
    CHECK(text && text[0] == 0);
    CHECK(cvn_export_c_memory(net, text, size, o) == size);
    return text;
}

static char *read_text(const char *path)
{
    char *text = (char *)calloc(1 << 20, 1);
    FILE *f = fopen(path, "rb");
    CHECK(f && text && fread(text, 1, (1 << 20) - 1, f) > 0);
    if (f) fclose(f);
    return text;
}

/* A training plan, one for prediction, one of another batch and a shared net give the same text,
 * and the net predicts as before. */
static void same_text(void)
{
    cvn_net *net = small_net(NULL);
    cvn_net *shared;
    float in[2 * 72], before[8], after[8];
    char *first, *other;
    CHECK(cvn_build(net, 5) == CVN_OK);
    disturb(net);
    for (int i = 0; i < 144; i++) in[i] = random_unit();
    CHECK(cvn_predict(net, in, 2, before) == CVN_OK);
    first = text_of(net, NULL);
    CHECK(cvn_predict(net, in, 2, after) == CVN_OK && !memcmp(before, after, sizeof after));
    CHECK(cvn_build_infer(net, 1) == CVN_OK);
    other = text_of(net, NULL);
    CHECK(!strcmp(first, other));
    free(other);
    shared = cvn_share(net);
    CHECK(cvn_build_infer(shared, 3) == CVN_OK);
    other = text_of(shared, NULL);
    CHECK(!strcmp(first, other));
    free(other);
    cvn_destroy(shared);
    CHECK(cvn_export_c(net, PATH) == CVN_OK);
    other = read_text(PATH);
    CHECK(!strcmp(first, other));
    CHECK(strstr(first, "void net_run(const float *in, float *out)") != NULL);
    CHECK(strstr(first, "net_inputs = 72, net_outputs = 4") != NULL);
    CHECK(strstr(first, "malloc") == NULL && strstr(first, "bn1") == NULL);
    free(other);
    free(first);
    cvn_destroy(net);
}

static void user_forward(void *user, int n, const float *x, float *y)
{
    (void)user;
    memcpy(y, x, (size_t)n * sizeof *x);
}

static void user_backward(void *user, int n, const float *x, const float *y, const float *dy,
                          float *dx)
{
    (void)user;
    (void)x;
    (void)y;
    memcpy(dx, dy, (size_t)n * sizeof *dx);
}

static void refusals(void)
{
    static const char *const names[] = { "", "1a", "a b", "a;b", "a\nb", "\xC3\xA4", "x*/" };
    cvn_export_c_options o = cvn_export_c_defaults();
    cvn_net *net = small_net(NULL);
    char long_name[CVN_MAX_NAME + 1];
    CHECK(cvn_export_c(NULL, PATH) == CVN_ERROR_STATE);
    CHECK(cvn_export_c(net, PATH) == CVN_ERROR_STATE);
    CHECK(cvn_export_c_memory(net, NULL, 0, NULL) == 0);
    CHECK(cvn_build(net, 1) == CVN_OK);
    CHECK(cvn_export_c(net, NULL) == CVN_ERROR_ARGUMENT);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        o.name = names[i];
        CHECKF(cvn_export_c_ex(net, PATH, &o) == CVN_ERROR_ARGUMENT, "%s", names[i]);
    }
    memset(long_name, 'x', sizeof long_name);
    long_name[CVN_MAX_NAME] = 0;
    o.name = long_name;
    CHECK(cvn_export_c_ex(net, PATH, &o) == CVN_ERROR_ARGUMENT);
    long_name[CVN_MAX_NAME - 1] = 0;
    CHECK(cvn_export_c_ex(net, PATH, &o) == CVN_OK);
    o = cvn_export_c_defaults();
    o.weights_path = "build/test_export.bin";
    CHECK(cvn_export_c_memory(net, NULL, 0, &o) == 0);
    CHECK(cvn_export_c(net, "build/no such folder/x.c") == CVN_ERROR_FILE);
    o.weights_path = "build/no such folder/x.bin";
    CHECK(cvn_export_c_ex(net, PATH, &o) == CVN_ERROR_FILE);
    cvn_destroy(net);

    net = cvn_create(NULL);
    cvn_name(net, cvn_activation(net, features(net, 3), user_forward, user_backward, NULL), "mine");
    CHECK(cvn_build_infer(net, 1) == CVN_OK);
    remove(PATH);
    CHECK(cvn_export_c(net, PATH) == CVN_ERROR_UNSUPPORTED);
    CHECKF(strstr(cvn_error(net), "mine") != NULL, "%s", cvn_error(net));
    CHECK(fopen(PATH, "rb") == NULL);
    cvn_destroy(net);
}

static const char *number(float x)
{
    static cvni_c_texts texts;
    cvni_c_export e;
    memset(&e, 0, sizeof e);
    e.texts = &texts;
    return cvni_c_number(&e, x);
}

/* Numbers read back to the same bits, in any locale's C. */
static void numbers(void)
{
    float values[] = { 0, 1, -1, 0.1f, 1e-38f, 1e-45f, 3.4028235e38f, 16777216, 1e20f, 0.3333333f };
    CHECK(!strcmp(number(1), "1.0f"));
    CHECK(!strcmp(number(INFINITY), "INFINITY"));
    CHECK(!strcmp(number(-INFINITY), "-INFINITY"));
    CHECK(!strcmp(number(NAN), "NAN"));
    for (int i = 0; i < 3000; i++) {
        float x = values[i % 10];
        uint32_t bits;
        memcpy(&bits, &x, 4);
        if (i >= 10)
            bits = (uint32_t)(random_unit() * 65536) << 16 | (uint32_t)(random_unit() * 65536);
        memcpy(&x, &bits, 4);
        if (x - x != 0) continue;
        CHECK((float)strtod(number(x), NULL) == x);
    }
}

/* ---- memory ---- */

static void failing_memory(void)
{
    counting c = { -1, 0 };
    cvn_desc desc = cvn_desc_defaults();
    cvn_export_c_options o = cvn_export_c_defaults();
    cvn_result r = CVN_ERROR_MEMORY;
    cvn_net *net;
    int live;
    desc.allocator.alloc = count_alloc;
    desc.allocator.free = count_free;
    desc.allocator.user = &c;
    net = small_net(&desc);
    CHECK(cvn_build(net, 2) == CVN_OK);
    o.weights_path = "build/test_export.bin";
    live = c.live;
    for (int n = 0; r != CVN_OK && n < 100; n++) {
        c.left = n;
        r = cvn_export_c_ex(net, PATH, &o);
        CHECKF(r == CVN_OK || r == CVN_ERROR_MEMORY, "call %d: %s", n, cvn_error(net));
        CHECKF(c.live == live, "call %d: %d blocks stay", n, c.live - live);
        CHECKF(r == CVN_OK || cvn_error(net)[0], "call %d", n);
    }
    CHECK(r == CVN_OK);
    c.left = -1;
    cvn_destroy(net);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        target = argv[1];
        RUN(write_all);
        return test_done();
    }
    RUN(same_text);
    RUN(refusals);
    RUN(numbers);
    RUN(failing_memory);
    return test_done();
}
