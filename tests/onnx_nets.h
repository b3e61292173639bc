/* onnx_nets.h - nets to be exported: each kind of layer at odd sizes, and those of examples/zoo.c.
 * For onnx_export.c and test_onnx_save.c, which hold the implementation with it. */
#ifndef CONVNET_ONNX_NETS_H
#define CONVNET_ONNX_NETS_H

#define main zoo_main
#include "../examples/zoo.c"
#undef main

/* ---- layers, with what they need around them ---- */

typedef struct layer_case {
    const char *name;
    void (*build)(cvn_net *net);
    int from, to;               /* labels; boxes come from inputs named "boxes..." */
} layer_case;

static cvn_node tensor(cvn_net *net, int a, int b, int c, int d)
{
    int dims[4];
    dims[0] = a;
    dims[1] = b;
    dims[2] = c;
    dims[3] = d;
    return cvn_input_tensor(net, dims, (a > 0) + (b > 0) + (c > 0) + (d > 0));
}

static cvn_node volume(cvn_net *net, int c, int d, int h, int w) { return tensor(net, c, d, h, w); }
static cvn_node picture(cvn_net *net) { return cvn_input(net, 4, 9, 7); }
static cvn_node steps(cvn_net *net) { return tensor(net, 5, 6, 0, 0); }
static cvn_node lengths(cvn_net *net) { return cvn_input_labels(net, NULL, 0); }

static void conv1d(cvn_net *net)
{
    cvn_conv1d_desc d = cvn_conv1d_defaults();
    cvn_node x = cvn_conv1d(net, tensor(net, 4, 11, 0, 0), 6, 3, 2, 1);
    d.filters = 6;
    d.kernel = 3;
    d.dilation = 2;
    d.groups = 2;
    d.pad_left = 3;
    d.pad_right = 1;
    d.pad_mode = CVN_PAD_REFLECT;
    d.no_bias = 1;
    cvn_conv1d_ex(net, x, &d);
}

static void conv2d(cvn_net *net)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    cvn_node x = cvn_batchnorm(net, cvn_conv2d(net, picture(net), 6, 3, 1, 1));
    d.filters = 5;
    d.kernel_h = 3;
    d.kernel_w = 2;
    d.stride_h = 2;
    d.stride_w = 1;
    d.pad_top = 2;
    d.pad_right = 1;
    d.dilation_w = 2;
    cvn_name(net, x = cvn_conv2d_ex(net, x, &d), "odd");
    d = cvn_conv2d_defaults();
    d.filters = 10;
    d.kernel_h = 3;
    d.groups = 5;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = 1;
    d.pad_mode = CVN_PAD_REPLICATE;
    d.no_bias = 1;
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d_ex(net, x, &d)));
    cvn_separable_conv2d(net, x, 3, 3, 1, 1);
}

static void conv3d(cvn_net *net)
{
    cvn_conv3d_desc d = cvn_conv3d_defaults();
    d.filters = 4;
    d.kernel_d = 2;
    d.kernel_h = 3;
    d.kernel_w = 1;
    d.stride_h = 2;
    d.pad_front = 1;
    d.pad_bottom = 2;
    cvn_batchnorm(net, cvn_conv3d_ex(net, volume(net, 2, 4, 5, 6), &d));
}

static void conv_transpose(cvn_net *net)
{
    cvn_conv_transpose2d_desc d = cvn_conv_transpose2d_defaults();
    cvn_node x = cvn_batchnorm(net, cvn_conv_transpose2d(net, picture(net), 6, 2, 2, 0));
    d.filters = 4;
    d.kernel_h = 3;
    d.kernel_w = 4;
    d.stride_h = 3;
    d.stride_w = 2;
    d.pad_top = 1;
    d.pad_right = 2;
    d.output_pad_h = 2;
    d.dilation_w = 2;
    d.groups = 2;
    cvn_conv_transpose2d_ex(net, x, &d);
}

static void conv_transpose1d(cvn_net *net)
{
    cvn_conv_transpose1d_desc d = cvn_conv_transpose1d_defaults();
    d.filters = 3;
    d.kernel = 4;
    d.stride = 2;
    d.pad_left = 1;
    d.output_pad = 1;
    d.no_bias = 1;
    cvn_conv_transpose1d_ex(net, tensor(net, 5, 6, 0, 0), &d);
}

static void conv_transpose3d(cvn_net *net)
{
    cvn_conv_transpose3d_desc d = cvn_conv_transpose3d_defaults();
    d.filters = 4;
    d.kernel_d = 2;
    d.kernel_w = 3;
    d.stride_d = 2;
    d.pad_right = 1;
    d.output_pad_h = 1;
    d.groups = 2;
    cvn_conv_transpose3d_ex(net, tensor(net, 4, 3, 4, 5), &d);
}

static void dense(cvn_net *net)
{
    cvn_dense_desc d = cvn_dense_defaults();
    cvn_node x = cvn_dense(net, picture(net), 7);       /* an image is flattened */
    d.units = 5;
    d.no_bias = 1;
    x = cvn_dense_ex(net, cvn_batchnorm(net, cvn_relu(net, x)), &d);
    cvn_batchnorm(net, x);
}

static void dense_sequence(cvn_net *net)
{
    cvn_node x = cvn_dense(net, steps(net), 6);         /* tied: as sequence and as vector */
    cvn_node v = cvn_dense(net, cvn_input_vector(net, 6), 6);
    cvn_node u = cvn_dense(net, x, 6);
    cvn_tie(net, v, x);
    cvn_tie(net, u, x);
    cvn_keep(net, v);
}

static void maxpool(cvn_net *net)
{
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_node x = picture(net);
    cvn_keep(net, cvn_maxpool(net, x, 2, 2));
    d.kernel_h = 3;
    d.kernel_w = 2;
    d.stride_h = 2;
    d.ceil_mode = 1;
    cvn_keep(net, cvn_maxpool_ex(net, tensor(net, 3, 10, 0, 0), &d));
    d.pad_top = 1;
    cvn_keep(net, cvn_maxpool_ex(net, x, &d));
    d.dilation_h = 2;
    d.ceil_mode = 0;
    cvn_maxpool_ex(net, x, &d);
}

static void norm_pools(cvn_net *net)
{
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_node x = picture(net);
    d.kernel_h = 3;
    d.stride_h = 2;
    d.pad_left = d.pad_bottom = 1;
    cvn_keep(net, cvn_lppool(net, x, 2, &d));
    cvn_keep(net, cvn_lppool(net, x, 3, &d));
    cvn_global_lppool(net, x, 1);
}

/* The divisors of the mean: pads inside or not, windows that ceil_mode adds or drops. */
static void avgpool(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 10, 8);
    for (int i = 0; i < 8; i++) {
        cvn_pool_desc d = cvn_pool_defaults();
        d.kernel_h = i & 4 ? 4 : 3;
        d.kernel_w = 3;
        d.stride_h = i & 4 ? 3 : 2;
        d.stride_w = 2;
        d.pad_top = d.pad_bottom = i & 1;
        d.pad_left = i & 1;
        d.pad_right = (i & 4) && (i & 1);
        d.exclude_pad = (i & 2) != 0;
        d.ceil_mode = i > 0;
        cvn_keep(net, cvn_avgpool_ex(net, x, &d));
    }
    cvn_avgpool(net, tensor(net, 3, 11, 0, 0), 4, 3);
}

static void global_pools(cvn_net *net)
{
    cvn_node x = picture(net);
    cvn_keep(net, cvn_global_avgpool(net, x));
    cvn_keep(net, cvn_global_maxpool(net, tensor(net, 3, 11, 0, 0)));
    cvn_global_maxpool(net, x);
}

static void adaptive_pools(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 12, 10);
    cvn_node line = tensor(net, 3, 11, 0, 0);
    cvn_keep(net, cvn_adaptive_avgpool(net, x, 4, 5));
    cvn_keep(net, cvn_adaptive_avgpool(net, x, 5, 5));
    cvn_keep(net, cvn_adaptive_avgpool(net, x, 7, 13));
    cvn_keep(net, cvn_adaptive_maxpool(net, x, 4, 5));
    cvn_keep(net, cvn_adaptive_maxpool(net, x, 4, 7));
    cvn_keep(net, cvn_adaptive_avgpool(net, line, 1, 4));
    cvn_keep(net, cvn_adaptive_maxpool(net, line, 0, 4));
    cvn_adaptive_maxpool(net, x, 17, 0);
}

static void unpool(cvn_net *net)
{
    cvn_pool_desc d = cvn_pool_defaults();
    cvn_node x = cvn_input(net, 3, 8, 6);
    cvn_node odd = cvn_input(net, 3, 8, 7);
    cvn_node y, at;
    d.kernel_h = d.stride_h = 2;
    y = cvn_scale(net, cvn_maxpool_ex(net, x, &d), 2, 1);
    cvn_keep(net, cvn_maxunpool(net, y, cvn_maxpool_indices(net, x, &d), 8, 6));
    y = cvn_scale(net, cvn_maxpool_ex(net, odd, &d), 2, 1);
    at = cvn_maxpool_indices(net, odd, &d);
    cvn_keep(net, cvn_maxunpool(net, y, at, 8, 7));
    cvn_maxunpool(net, y, at, 10, 6);
}

static void roi_align(cvn_net *net)
{
    cvn_roi_align_desc d = cvn_roi_align_defaults();
    cvn_node x = cvn_input(net, 3, 12, 10);
    cvn_node boxes = cvn_name(net, tensor(net, 2, 4, 0, 0), "boxes");
    cvn_node y = cvn_roi_align(net, x, boxes, 3, 2, NULL);
    cvn_keep(net, y);
    d.aligned = 1;
    d.spatial_scale = 0.5f;
    d.sampling_ratio = 2;
    y = cvn_flatten_batch(net, cvn_roi_align(net, x, boxes, 2, 3, &d));
    y = cvn_dense(net, y, 5);                           /* [2*N, 5] */
    cvn_unflatten_batch(net, y, 2);
}

static void batchnorms(cvn_net *net)
{
    cvn_batchnorm_desc d = cvn_batchnorm_defaults();
    d.no_affine = 1;
    d.eps = 1e-3f;
    cvn_keep(net, cvn_batchnorm(net, cvn_input_vector(net, 5)));
    cvn_keep(net, cvn_batchnorm(net, steps(net)));
    cvn_batchnorm_ex(net, picture(net), &d);
}

static void norms(cvn_net *net)
{
    cvn_layernorm_desc l = cvn_layernorm_defaults();
    cvn_instancenorm_desc i = cvn_instancenorm_defaults();
    cvn_groupnorm_desc g = cvn_groupnorm_defaults();
    cvn_node x = picture(net);
    cvn_node s = steps(net);
    l.axes = 3;
    l.no_bias = 1;
    i.affine = 1;
    g.groups = 4;
    g.no_affine = 1;
    cvn_keep(net, cvn_layernorm(net, s));
    cvn_keep(net, cvn_layernorm_ex(net, x, &l));
    l.no_affine = 1;
    l.axes = 2;
    cvn_keep(net, cvn_layernorm_ex(net, x, &l));
    cvn_keep(net, cvn_instancenorm(net, x));
    cvn_keep(net, cvn_instancenorm_ex(net, s, &i));
    cvn_keep(net, cvn_groupnorm_ex(net, x, &g));
    cvn_keep(net, cvn_groupnorm(net, cvn_input_vector(net, 6), 3));
    cvn_groupnorm(net, x, 2);
}

static void spectral(cvn_net *net)
{
    cvn_node x = cvn_spectral_norm(net, cvn_conv2d(net, picture(net), 6, 3, 1, 1));
    x = cvn_batchnorm(net, x);
    x = cvn_spectral_norm(net, cvn_conv_transpose2d(net, x, 3, 3, 2, 1));
    cvn_spectral_norm(net, cvn_dense(net, x, 4));
}

static void l2_lrn(cvn_net *net)
{
    cvn_lrn_desc d = cvn_lrn_defaults();
    cvn_node x = picture(net);
    cvn_node s = steps(net);
    cvn_keep(net, cvn_l2norm(net, x, 1));
    cvn_keep(net, cvn_l2norm(net, cvn_relu(net, cvn_scale(net, s, 1, -2)), 2));     /* zeros */
    cvn_keep(net, cvn_lrn(net, x, 3));
    d.size = 4;
    d.alpha = 0.5f;
    d.beta = 0.6f;
    d.k = 2;
    cvn_keep(net, cvn_lrn_ex(net, s, &d));
    cvn_lrn_ex(net, x, &d);
}

static void activations(cvn_net *net)
{
    cvn_node x = cvn_scale(net, picture(net), 5, 0);
    cvn_node s = steps(net);
    cvn_keep(net, cvn_relu(net, x));
    cvn_keep(net, cvn_leaky_relu(net, x, 0.1f));
    cvn_keep(net, cvn_elu(net, x, 0.7f));
    cvn_keep(net, cvn_sigmoid(net, x));
    cvn_keep(net, cvn_tanh(net, x));
    cvn_keep(net, cvn_softmax(net, x));
    cvn_keep(net, cvn_softmax(net, s));
    cvn_keep(net, cvn_softmax_axis(net, x, 3));
    cvn_keep(net, cvn_relu6(net, x));
    cvn_keep(net, cvn_prelu(net, x, 0));
    cvn_keep(net, cvn_prelu(net, x, 4));
    cvn_keep(net, cvn_prelu(net, cvn_input_vector(net, 3), 3));
    cvn_keep(net, cvn_selu(net, x));
    cvn_keep(net, cvn_celu(net, x, 1.5f));
    cvn_keep(net, cvn_gelu(net, x));
    cvn_keep(net, cvn_gelu_tanh(net, x));
    cvn_keep(net, cvn_silu(net, x));
    cvn_keep(net, cvn_mish(net, x));
    cvn_keep(net, cvn_hardswish(net, x));
    cvn_keep(net, cvn_hardsigmoid(net, x));
    cvn_keep(net, cvn_softplus(net, x, 0, 0));
    cvn_keep(net, cvn_softplus(net, x, 1.5f, 2));
    cvn_keep(net, cvn_softsign(net, x));
    cvn_keep(net, cvn_binary_step(net, x));
    cvn_keep(net, cvn_log_softmax_axis(net, x, 2));
    cvn_keep(net, cvn_glu(net, x, 0));
    cvn_keep(net, cvn_glu(net, s, 0));
    cvn_keep(net, cvn_maxout(net, x, 2));
    cvn_log_softmax(net, s);
}

static void noise(cvn_net *net)
{
    cvn_node x = picture(net);
    cvn_node mean, variance;
    x = cvn_dropout(net, cvn_relu(net, x), 0.3f);
    x = cvn_drop_path(net, cvn_spatial_dropout(net, x, 0.2f), 0.1f);
    x = cvn_gaussian_noise(net, cvn_stop_gradient(net, x), 1);
    x = cvn_gradient_reversal(net, x, 1);
    mean = cvn_dense(net, x, 4);
    variance = cvn_dense(net, x, 4);                    /* is left out */
    cvn_reparameterize(net, mean, variance);
}

static void views(cvn_net *net)
{
    static const int to[3] = { 6, -1, 2 };
    cvn_node x = cvn_reshape(net, cvn_input(net, 4, 9, 7 + 1), to, 3);
    cvn_keep(net, cvn_flatten(net, x));
    cvn_keep(net, cvn_flatten(net, cvn_input_tensor(net, NULL, 0)));
    x = cvn_relu(net, cvn_flatten_batch(net, x));
    cvn_keep(net, x);
    cvn_keep(net, cvn_unflatten_batch(net, x, 3));
    cvn_unflatten_batch(net, x, 6);
}

static void arithmetic(cvn_net *net)
{
    static const int axes[2] = { 1, 3 };
    cvn_node x = cvn_scale(net, cvn_sigmoid(net, picture(net)), 3, 0.5f);
    cvn_node c = cvn_input(net, 4, 1, 1);
    cvn_node n = cvn_input_tensor(net, NULL, 0);
    cvn_keep(net, cvn_add(net, x, c));
    cvn_keep(net, cvn_sub(net, c, x));
    cvn_keep(net, cvn_mul(net, x, x));
    cvn_keep(net, cvn_div(net, c, x));
    cvn_keep(net, cvn_maximum(net, x, c));
    cvn_keep(net, cvn_minimum(net, x, c));
    cvn_keep(net, cvn_exp(net, x));
    cvn_keep(net, cvn_log(net, x));
    cvn_keep(net, cvn_sqrt(net, x));
    cvn_keep(net, cvn_square(net, x));
    cvn_keep(net, cvn_abs(net, c));
    cvn_keep(net, cvn_neg(net, x));
    cvn_keep(net, cvn_clip(net, x, 0.7f, 2));
    cvn_keep(net, cvn_clip(net, x, -INFINITY, 2));
    cvn_keep(net, cvn_pow(net, x, 1.7f));
    cvn_keep(net, cvn_reduce_sum(net, x, axes, 2));
    cvn_keep(net, cvn_reduce_mean(net, x, axes, 1));
    cvn_keep(net, cvn_reduce_max(net, x, NULL, 0));
    cvn_keep(net, cvn_reduce_max(net, cvn_relu(net, n), NULL, 0));
    cvn_reduce_sum(net, x, NULL, 0);
}

static void moves(cvn_net *net)
{
    static const int order[3] = { 3, 1, 2 };
    static const int sizes[3] = { 2, 4, 3 };
    cvn_node x = cvn_input(net, 4, 9, 8);
    cvn_node parts[3];
    cvn_split(net, x, 2, sizes, 3, parts);
    cvn_keep(net, cvn_permute(net, x, order, 3));
    cvn_keep(net, cvn_concat_n(net, parts + 1, 2, 2));
    cvn_keep(net, cvn_last_step(net, steps(net)));
    cvn_keep(net, cvn_pixel_shuffle(net, x, 2));
    cvn_keep(net, cvn_pad(net, x, 1, 2, 3, 0, CVN_PAD_ZERO));
    cvn_keep(net, cvn_pad(net, x, 1, 2, 3, 0, CVN_PAD_REFLECT));
    cvn_keep(net, cvn_pad(net, x, 1, 2, 3, 0, CVN_PAD_REPLICATE));
    cvn_crop(net, x, 1, 2, 5, 4);
}

static void resizes(cvn_net *net)
{
    cvn_node x = cvn_input(net, 2, 5, 7);
    cvn_keep(net, cvn_upsample_nearest(net, x, 2));
    cvn_keep(net, cvn_upsample_nearest(net, x, 3));
    for (int i = 1; i < 60; i += 3) cvn_keep(net, cvn_upsample_nearest_to(net, x, i, 60 - i));
    cvn_keep(net, cvn_upsample_nearest(net, x, 49));    /* 1/49 is rounded */
    cvn_keep(net, cvn_upsample_bilinear(net, x, 2, 0));
    cvn_keep(net, cvn_upsample_bilinear(net, x, 3, 1));
    cvn_keep(net, cvn_upsample_bilinear_to(net, x, 4, 11, 0));
    cvn_keep(net, cvn_upsample_bilinear_to(net, x, 1, 1, 1));
    cvn_upsample_bilinear_to(net, x, 3, 13, 1);
}

static void products(cvn_net *net)
{
    cvn_node a = tensor(net, 2, 3, 4, 0);
    cvn_node b = tensor(net, 2, 4, 5, 0);
    cvn_keep(net, cvn_matmul(net, a, b, 0, 0));
    cvn_keep(net, cvn_matmul(net, a, a, 0, 1));
    cvn_keep(net, cvn_matmul(net, b, b, 1, 0));
    cvn_keep(net, cvn_matmul(net, b, a, 1, 1));
    cvn_keep(net, cvn_matmul(net, tensor(net, 1, 6, 3, 0), a, 0, 0));
    cvn_gram(net, picture(net));
}

static void embedding(cvn_net *net)
{
    static const int dims[1] = { 5 };
    cvn_node labels = cvn_input_labels(net, dims, 1);
    cvn_node x = cvn_positional_encoding(net, cvn_embedding(net, labels, 9, 6));
    cvn_keep(net, cvn_embedding(net, cvn_flatten_batch(net, labels), 9, 3));
    cvn_position_embedding(net, x);
}

static void parameter(cvn_net *net)
{
    static const int dims[2] = { 2, 6 };
    cvn_init init = { CVN_INIT_NORMAL, 0, 1 };
    cvn_node token = cvn_parameter(net, dims, 2, init);
    cvn_node x = cvn_concat_n(net, &token, 1, 1);
    cvn_node both[2];
    both[0] = x;
    both[1] = steps(net);
    cvn_concat_n(net, both, 2, 1);
}

static void parameter_alone(cvn_net *net)       /* no input: the batch of the build */
{
    static const int dims[2] = { 2, 6 };
    cvn_init init = { CVN_INIT_NORMAL, 0, 1 };
    cvn_relu(net, cvn_parameter(net, dims, 2, init));
}

static void attention(cvn_net *net)
{
    cvn_attention_desc d = cvn_attention_defaults();
    cvn_node q = steps(net);
    cvn_node kv = tensor(net, 4, 6, 0, 0);
    cvn_keep(net, cvn_scaled_dot_product_attention(net, q, kv, kv, NULL));
    d.heads = 3;
    d.causal = 1;
    cvn_keep(net, cvn_scaled_dot_product_attention(net, q, q, q, &d));
    cvn_keep(net, cvn_multihead_attention_ex(net, q, q, q, &d));
    d.lengths = lengths(net);
    d.no_bias = 1;
    cvn_keep(net, cvn_multihead_attention_ex(net, q, kv, kv, &d));
    d.causal = 0;
    cvn_spectral_norm(net, cvn_multihead_attention_ex(net, q, kv, kv, &d));
}

static void transformer(cvn_net *net)
{
    cvn_transformer_desc d = cvn_transformer_defaults();
    cvn_node memory, a, b;
    d.heads = 2;
    d.gelu = 1;
    d.dropout = 0.1f;
    memory = cvn_transformer_encoder(net, steps(net), &d);
    d.norm_first = 1;
    cvn_transformer_decoder(net, tensor(net, 3, 6, 0, 0), memory, &d);
    a = cvn_multihead_attention(net, memory, memory, memory, 2);
    b = cvn_multihead_attention(net, a, memory, memory, 2);
    cvn_tie(net, b, a);
}

static void recurrent(cvn_net *net)
{
    cvn_rnn_desc d = cvn_rnn_defaults();
    cvn_node x = steps(net);
    cvn_node y;
    cvn_keep(net, cvn_rnn(net, x, 4));
    cvn_keep(net, cvn_lstm(net, x, 4));
    cvn_keep(net, cvn_spectral_norm(net, cvn_gru(net, x, 4)));
    d.hidden = 3;
    d.layers = 2;
    d.bidirectional = 1;
    d.relu = 1;
    cvn_keep(net, y = cvn_rnn_ex(net, x, &d));
    cvn_keep(net, cvn_rnn_state(net, y, 0));
    d.relu = 0;
    d.no_bias = 1;
    d.lengths = lengths(net);
    cvn_keep(net, y = cvn_lstm_ex(net, x, &d));
    cvn_keep(net, cvn_rnn_state(net, y, 0));
    cvn_keep(net, cvn_rnn_state(net, y, 1));
    d.h0 = tensor(net, 4, 3, 0, 0);
    cvn_keep(net, y = cvn_gru_ex(net, x, &d));
    cvn_keep(net, cvn_rnn_state(net, y, 0));
    d.no_bias = 0;
    d.bidirectional = 0;
    d.layers = 1;
    d.h0 = tensor(net, 1, 3, 0, 0);
    d.c0 = tensor(net, 1, 3, 0, 0);
    d.reverse = 1;
    cvn_rnn_state(net, cvn_lstm_ex(net, x, &d), 1);
}

/* Functions of elements, comparisons, logic: beside what >>act and >>unary have. */
static void functions(cvn_net *net)
{
    cvn_node x = cvn_scale(net, picture(net), 3, 0.1f);
    cvn_node unit = cvn_tanh(net, x);
    cvn_node positive = cvn_scale(net, cvn_exp(net, x), 1, 1);
    cvn_node other = cvn_input(net, 4, 1, 7);
    cvn_node truth = cvn_greater(net, x, other);
    cvn_node whole = cvn_round(net, x);
    cvn_keep(net, cvn_reciprocal(net, positive));
    cvn_keep(net, cvn_erf(net, x));
    cvn_keep(net, cvn_sin(net, x));
    cvn_keep(net, cvn_cos(net, x));
    cvn_keep(net, cvn_tan(net, unit));
    cvn_keep(net, cvn_asin(net, unit));
    cvn_keep(net, cvn_acos(net, unit));
    cvn_keep(net, cvn_atan(net, x));
    cvn_keep(net, cvn_sinh(net, x));
    cvn_keep(net, cvn_cosh(net, x));
    cvn_keep(net, cvn_asinh(net, x));
    cvn_keep(net, cvn_acosh(net, positive));
    cvn_keep(net, cvn_atanh(net, cvn_scale(net, unit, 0.9f, 0)));
    cvn_keep(net, cvn_floor(net, x));
    cvn_keep(net, cvn_ceil(net, x));
    cvn_keep(net, whole);
    cvn_keep(net, cvn_trunc(net, x));
    cvn_keep(net, cvn_sign(net, x));
    cvn_keep(net, cvn_is_nan(net, cvn_log(net, x)));
    cvn_keep(net, cvn_is_inf(net, cvn_log(net, cvn_relu(net, whole))));
    cvn_keep(net, cvn_threshold(net, x, 0.5f, -2));
    cvn_keep(net, cvn_shrink(net, x, 0.5f, 0.25f));
    cvn_keep(net, cvn_power(net, positive, unit));
    cvn_keep(net, cvn_remainder(net, x, positive));
    cvn_keep(net, cvn_fmod(net, x, positive));
    cvn_keep(net, truth);
    cvn_keep(net, cvn_equal(net, whole, cvn_round(net, other)));
    cvn_keep(net, cvn_greater_equal(net, whole, cvn_round(net, other)));
    cvn_keep(net, cvn_less(net, x, other));
    cvn_keep(net, cvn_less_equal(net, x, other));
    cvn_keep(net, cvn_not(net, truth));
    cvn_keep(net, cvn_and(net, truth, whole));
    cvn_keep(net, cvn_or(net, truth, whole));
    cvn_keep(net, cvn_xor(net, truth, whole));
    cvn_where(net, truth, x, other);
}

static void orders(cvn_net *net)
{
    static const int axes[1] = { 2 };
    cvn_node x = picture(net);
    cvn_node indices;
    cvn_keep(net, cvn_reduce_min(net, x, axes, 1));
    cvn_keep(net, cvn_reduce_prod(net, x, axes, 1));
    cvn_keep(net, cvn_topk(net, x, 3, 2, 1, &indices));
    cvn_keep(net, indices);
    cvn_keep(net, cvn_topk(net, x, 2, 3, 0, NULL));
    cvn_keep(net, cvn_argmax(net, x, 1));
    cvn_keep(net, cvn_argmin(net, x, 3));
    cvn_keep(net, cvn_hardmax(net, x, 1));
    cvn_keep(net, cvn_cumsum(net, x, 2, 0, 0));
    cvn_cumsum(net, x, 3, 1, 1);
}

static void selections(cvn_net *net)
{
    static const int repeats[3] = { 2, 1, 3 };
    static const int pads[6] = { 1, 0, 2, -1, 0, 3 };
    static const int around[6] = { 0, 0, 2, 1, 3, 4 };
    static const int list[5] = { 3, -1, 0, 0, 2 };
    static const int wide_pads[6] = { 0, 0, 11, 0, 0, 9 };
    cvn_node x = picture(net);
    cvn_keep(net, cvn_slice_step(net, x, 2, 1, 8, 3));
    cvn_keep(net, cvn_slice_step(net, x, 3, -2, -9, -2));
    cvn_keep(net, cvn_flip(net, x, 1));
    cvn_keep(net, cvn_tile(net, x, repeats, 3));
    cvn_keep(net, cvn_pad_axes(net, x, pads, 3, CVN_PAD_ZERO, 1.5f));
    cvn_keep(net, cvn_pad_axes(net, x, around, 3, CVN_PAD_REFLECT, 0));
    cvn_keep(net, cvn_pad_axes(net, x, around, 3, CVN_PAD_REPLICATE, 0));
    cvn_keep(net, cvn_pad_axes(net, x, around, 3, CVN_PAD_CIRCULAR, 0));
    cvn_keep(net, cvn_pad_axes(net, x, wide_pads, 3, CVN_PAD_REFLECT, 0));
    cvn_index_select(net, x, 1, list, 5);
}

static void lookups(cvn_net *net)
{
    static const int two[2] = { 3, 2 };
    cvn_node x = picture(net);
    cvn_node s = steps(net);                            /* [N, 5, 6] */
    cvn_node at = cvn_input_labels(net, two, 2);        /* [N, 3, 2], 0 to 3 */
    cvn_node places = cvn_floor(net, cvn_scale(net, tensor(net, 3, 6, 0, 0), 2, 0));
    cvn_keep(net, cvn_take(net, x, at, 1));
    cvn_keep(net, cvn_take(net, x, at, 2));
    cvn_keep(net, cvn_take(net, s, at, 2));
    cvn_keep(net, cvn_gather(net, s, places, 1));
    cvn_keep(net, cvn_gather_nd(net, x, at, 1));
    cvn_keep(net, cvn_scatter(net, s, places, tensor(net, 3, 6, 0, 0), 1, CVN_SCATTER_ADD));
    cvn_keep(net, cvn_reverse_sequence(net, s, lengths(net), 0, 1));
    cvn_keep(net, cvn_one_hot(net, at, 2, 3, 2, -1));
    cvn_one_hot(net, at, 3, 5, 1, 0);
}

static void constant(cvn_net *net)
{
    static const int dims[2] = { 5, 6 };
    static const float values[30] = { 1, 2, 3 };
    cvn_add(net, steps(net), cvn_constant(net, dims, 2, values));
}

static void interpolation(cvn_net *net)
{
    static const int sizes[2] = { 7, 13 };
    static const float scales[2] = { 1.5f, 0.6f };
    static const float crop[4] = { 0.2f, 1.3f, -0.1f, 0.7f };
    cvn_interpolate_desc d = cvn_interpolate_defaults();
    cvn_node x = picture(net);
    for (int i = 0; i < 9; i++) {
        d.mode = (cvn_interpolation)(i % 3);
        d.coordinates = (cvn_coordinates)(i % 7);
        d.crop = d.coordinates == CVN_CROP_AND_RESIZE ? crop : NULL;
        d.extrapolation = 3;
        d.antialias = i == 7;
        d.exclude_outside = i == 8;
        cvn_keep(net, cvn_interpolate(net, x, i % 2 ? sizes : NULL, i % 2 ? NULL : scales, 2, &d));
    }
    cvn_keep(net, cvn_grid_sample(net, x, tensor(net, 3, 5, 2, 0), CVN_LINEAR, CVN_PAD_ZERO, 0));
    cvn_keep(net, cvn_grid_sample(net, x, tensor(net, 3, 5, 2, 0), CVN_CUBIC, CVN_PAD_REFLECT, 1));
    cvn_grid_sample(net, x, tensor(net, 3, 5, 2, 0), CVN_NEAREST, CVN_PAD_REPLICATE, 0);
}

static void yolo(cvn_net *net)
{
    cvn_yolo_desc d = cvn_yolo_defaults();
    d.classes = 3;
    d.boxes = 1;
    d.anchors[0][0] = d.anchors[0][1] = 4;
    cvn_yolo(net, cvn_conv2d(net, picture(net), 8, 1, 1, 0), &d);
}

/* Names with slashes, a layer that is called as another one's parameter. */
static void names(cvn_net *net)
{
    cvn_node x = cvn_name(net, picture(net), "in/1");
    x = cvn_name(net, cvn_gelu(net, cvn_conv2d(net, x, 3, 3, 1, 1)), "gelu//1");
    x = cvn_name(net, cvn_gelu(net, x), "conv1.weight");
    cvn_keep(net, cvn_softmax(net, x));
    cvn_output(net, x);
}

static const layer_case layer_cases[] = {
    { "conv1d", conv1d, 0, 0 },
    { "conv2d", conv2d, 0, 0 },
    { "conv3d", conv3d, 0, 0 },
    { "conv_transpose", conv_transpose, 0, 0 },
    { "conv_transpose1d", conv_transpose1d, 0, 0 },
    { "conv_transpose3d", conv_transpose3d, 0, 0 },
    { "dense", dense, 0, 0 },
    { "dense_sequence", dense_sequence, 0, 0 },
    { "maxpool", maxpool, 0, 0 },
    { "avgpool", avgpool, 0, 0 },
    { "norm_pools", norm_pools, 0, 0 },
    { "global_pools", global_pools, 0, 0 },
    { "adaptive_pools", adaptive_pools, 0, 0 },
    { "unpool", unpool, 0, 0 },
    { "roi_align", roi_align, 0, 0 },
    { "batchnorms", batchnorms, 0, 0 },
    { "norms", norms, 0, 0 },
    { "spectral", spectral, 0, 0 },
    { "l2_lrn", l2_lrn, 0, 0 },
    { "activations", activations, 0, 0 },
    { "noise", noise, 0, 0 },
    { "views", views, 0, 0 },
    { "arithmetic", arithmetic, 0, 0 },
    { "moves", moves, 0, 0 },
    { "resizes", resizes, 0, 0 },
    { "products", products, 0, 0 },
    { "embedding", embedding, 0, 9 },
    { "parameter", parameter, 0, 0 },
    { "parameter_alone", parameter_alone, 0, 0 },
    { "attention", attention, 1, 5 },
    { "transformer", transformer, 0, 0 },
    { "recurrent", recurrent, 1, 6 },
    { "functions", functions, 0, 0 },
    { "orders", orders, 0, 0 },
    { "selections", selections, 0, 0 },
    { "lookups", lookups, 0, 4 },
    { "constant", constant, 0, 0 },
    { "interpolation", interpolation, 0, 0 },
    { "yolo", yolo, 0, 0 },
    { "names", names, 0, 0 }
};

enum { LAYER_CASES = (int)(sizeof layer_cases / sizeof layer_cases[0]) };

/* Net number i of all: those above, then the zoo's; its name, or NULL behind the last. */
static const char *build_case(cvn_net *net, int i, int *labels_from, int *labels_to)
{
    *labels_from = *labels_to = 0;
    if (i >= LAYER_CASES + NETS) return NULL;
    if (i >= LAYER_CASES) {
        const zoo_net *z = &nets[i - LAYER_CASES];
        z->build(net, &z->small, z->variant);
        return z->name;
    }
    layer_cases[i].build(net);
    *labels_from = layer_cases[i].from;
    *labels_to = layer_cases[i].to;
    return layer_cases[i].name;
}

static int ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text);
    return n >= strlen(end) && !strcmp(text + n - strlen(end), end);
}

/* All parameters random, so that nothing is 0 or 1 by accident; singular vectors stay. */
static void random_parameters(cvn_net *net)
{
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        const int variance = ends_with(p.name, "running_var");
        const int norm = p.shape.rank == 1 && ends_with(p.name, ".weight");
        if (ends_with(p.name, "weight_u") || ends_with(p.name, "weight_v")) continue;
        if (p.shape.rank > 1) continue;
        for (size_t k = 0; k < p.count; k++)
            p.value[k] = (variance || norm ? 0.5f : -0.5f) + random_unit();
    }
    cvn_touch(net);
}

/* Every head of a net with several losses is an output. */
static void keep_heads(cvn_net *net)
{
    for (int id = 1; id < net->layer_count; id++) {
        cvn_node head;
        if (!(net->layers[id].op->flags & CVNI_LOSS) || !net->layers[id].inputs) continue;
        head.id = net->layers[id].input[0];
        cvn_keep(net, head);
    }
}

#endif
