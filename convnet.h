/* convnet.h - v0.1.0 - convolutional networks in one C header: build, train, predict - no warranty
 * SPDX-License-Identifier: MIT-0 OR Unlicense   (texts at the end of this file)
 *
 * Do this in exactly one C or C++ file, and include the header plainly everywhere else:
 *
 *     #define CONVNET_IMPLEMENTATION
 *     #include "convnet.h"
 *
 * Build:   cc -O2 main.c -lm               add -fopenmp for threads; no other flag is needed
 * Macros:  CONVNET_STATIC                  every function is static: the header private to a file
 *          CONVNET_MALLOC, CONVNET_FREE    default allocator (define both or none); a net's own:
 *                                          cvn_desc
 *          CONVNET_NO_STDIO                leaves out everything that opens files or prints
 *          CONVNET_NO_OPENMP               one thread even under -fopenmp
 *          CONVNET_NO_SIMD                 only the plain C kernels
 *          CONVNET_MAX_ELEMENTS            limit on the elements of a tensor (default 2^31 - 1)
 *          CONVNET_MAX_FILE_HEADER         limit on a safetensors header in bytes (default 100 MB)
 *
 * A whole program: LeNet-5 on MNIST.
 *
 *     #define CONVNET_IMPLEMENTATION
 *     #include "convnet.h"
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         cvn_data train, test;
 *         cvn_metrics m = { 0 };
 *         cvn_net *net = cvn_create(NULL);                     // all defaults
 *         cvn_node x = cvn_input(net, 1, 28, 28);              // [N,  1, 28, 28]
 *         x = cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2));   // [N,  6, 28, 28]
 *         x = cvn_maxpool(net, x, 2, 2);                       // [N,  6, 14, 14]
 *         x = cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0));  // [N, 16, 10, 10]
 *         x = cvn_maxpool(net, x, 2, 2);                       // [N, 16,  5,  5]
 *         x = cvn_relu(net, cvn_dense(net, x, 120));
 *         x = cvn_relu(net, cvn_dense(net, x, 84));
 *         cvn_softmax_loss(net, cvn_dense(net, x, 10));
 *         if (cvn_build(net, 64) != CVN_OK) { puts(cvn_error(net)); return 1; }   // the one check
 *
 *         if (cvn_load_idx(&train, "train-images-idx3-ubyte", "train-labels-idx1-ubyte") < 0 ||
 *             cvn_load_idx(&test, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte") < 0)
 *             return 1;
 *         cvn_data_normalize_as(&test, &train);
 *         cvn_fit_options options = cvn_fit_defaults();
 *         options.epochs = 3;
 *         options.callback = cvn_print_progress;
 *         if (cvn_fit(net, &train, &test, &options) < 0 || cvn_evaluate(net, &test, &m) < 0)
 *             puts(cvn_error(net));
 *         else
 *             printf("accuracy %.2f %%\n", 100 * m.accuracy);
 *         cvn_save(net, "lenet.safetensors");                  // PyTorch and others read it
 *         cvn_data_free(&train);
 *         cvn_data_free(&test);
 *         cvn_destroy(net);
 *         return 0;
 *     }
 *
 * Rooms of this file (search for the word):
 *
 *     interface       >>config >>types >>errors >>graph-api >>layers-api >>train-api >>data-api
 *                     >>io-api
 *     support         >>platform >>internal >>error >>memory >>random >>threads
 *     engine          >>shape >>graph >>input >>plan >>run >>spectral
 *     linear algebra  >>gemm
 *     layers          >>conv >>dense >>pool >>roi >>norm >>layernorm >>act >>softmax >>gated
 *                     >>dropout >>view >>binary >>concat >>unary >>reduce >>permute >>matmul
 *                     >>embedding >>parameter >>attention >>recurrent >>resize
 *     blocks          >>transformer >>blocks
 *     losses          >>loss >>rowloss >>ctc >>penalty >>features
 *     data            >>data >>augment
 *     training        >>optim >>schedule >>mix >>train >>check >>lr-range >>history
 *     files           >>safetensors
 *     kernels         >>kernels-c >>kernels-avx2 >>kernels-avx512 >>dispatch
 *     end             >>license
 *
 * Conventions. Tensors are float, row-major, batch first: images [N, C, H, W], sequences [N, T, C],
 * vectors [N, C]. Convolution is cross-correlation. Weights have PyTorch's layout and names (conv
 * [out, in/groups, KH, KW], dense [out, in], "conv1.weight", "bn1.running_mean"). Labels are int.
 *
 * Errors. Building a net never needs a check per call: on a failed net every builder returns node 0
 * and does nothing, cvn_build returns the first error and cvn_error() its text: which layer, which
 * shapes, what mends it. Functions called on a built net return a cvn_result and leave the net
 * usable. A NULL net is accepted everywhere. The library never exits, aborts, asserts or prints
 * (cvn_print_progress prints, when you pass it).
 *
 * Memory. The graph takes small records while it is built. Everything else - weights, gradients,
 * optimizer state, activations, workspace - lies in one arena whose size cvn_memory_needed() tells
 * beforehand; the caller may supply it (cvn_build_in). Forward, backward and step allocate nothing.
 *
 * Threads. A net may be used by one thread at a time; two threads may use two nets. cvn_share()
 * gives a second thread its own activations over the same weights. Inside, work is spread with
 * OpenMP or with your own job system (cvn_desc.parallel_for). The same seed gives the same bits for
 * any number of threads.
 */
#ifndef CONVNET_H
#define CONVNET_H

#include <stddef.h>
#include <stdint.h>

/* ================================================================================================
 * >>config   version, linkage, limits
 * ============================================================================================== */

#define CONVNET_VERSION_MAJOR 0
#define CONVNET_VERSION_MINOR 1
#define CONVNET_VERSION_PATCH 0
#define CONVNET_VERSION "0.1.0"

#ifndef CONVNET_API
    #if defined(CONVNET_STATIC) && (defined(__GNUC__) || defined(__clang__))
        #define CONVNET_API static __attribute__((unused))
    #elif defined(CONVNET_STATIC)
        #define CONVNET_API static
    #else
        #define CONVNET_API extern
    #endif
#endif

#define CVN_MAX_RANK 6          /* axes of a tensor, the batch included */
#define CVN_MAX_NAME 64         /* bytes of a layer's name, the 0 included */
#define CVN_MAX_CHANNELS 4      /* channels of byte images (float images: any number) */

#ifdef __cplusplus
extern "C" {
#endif

/* ================================================================================================
 * >>types   nets, nodes, shapes, descriptions
 * ============================================================================================== */

typedef struct cvn_net cvn_net;                     /* opaque */
typedef struct cvn_node { int id; } cvn_node;       /* a layer's output in the graph; id 0 is
                                                     * invalid */

typedef struct cvn_shape {
    int rank;                                       /* number of axes; 0 is a scalar */
    int dim[CVN_MAX_RANK];                          /* dim[0] is the batch for all but parameters
                                                     * and losses */
} cvn_shape;

typedef enum cvn_result {
    CVN_OK = 0,
    CVN_STOPPED = 1,                /* cvn_fit: a callback or early stopping ended the training; no
                                     * error */
    CVN_ERROR_ARGUMENT = -1,        /* a value outside what the function accepts */
    CVN_ERROR_SHAPE = -2,           /* tensors that do not fit together */
    CVN_ERROR_STATE = -3,           /* called too early, too late or in the wrong mode */
    CVN_ERROR_MEMORY = -4,          /* out of memory, or the caller's buffer is too small */
    CVN_ERROR_FILE = -5,            /* cannot open, read or write */
    CVN_ERROR_FORMAT = -6,          /* the file is damaged, hostile or of another kind */
    CVN_ERROR_NUMBER = -7,          /* NaN or Inf where numbers were expected */
    CVN_ERROR_UNSUPPORTED = -8      /* understood, but not available here */
} cvn_result;

typedef enum cvn_mode { CVN_INFER = 1, CVN_TRAIN = 2 } cvn_mode;

/* alloc returns at least `size` bytes or NULL; alignment is done by the library. */
typedef struct cvn_allocator {
    void *(*alloc)(void *user, size_t size);
    void (*free)(void *user, void *pointer);
    void *user;
} cvn_allocator;

typedef struct cvn_desc {
    uint64_t seed;                  /* init, shuffle, dropout, augmentation; 0: 1 */
    int threads;                    /* 0: OpenMP's number, or 1 */
    int keep_all;                   /* every node's value and gradient stay readable (tests,
                                     * pictures; an input's gradient: cvn_want_grad); more memory */
    const char *isa;                /* force a kernel table: "c", "avx2", "avx512"; NULL: the best
                                     * of this CPU */
    cvn_allocator allocator;        /* all NULL: CONVNET_MALLOC and CONVNET_FREE */
    /* Your job system: call run(context, i) once for each i in [0, count), on any threads, and
     * return when all are done. count never exceeds `threads`. NULL: OpenMP, or a plain loop. */
    void (*parallel_for)(void *user, int count, void (*run)(void *context, int index),
                         void *context);
    void *parallel_user;
    /* Warnings that are no errors, one line each. NULL: silence. */
    void (*log)(void *user, const char *message);
    void *log_user;
} cvn_desc;

/* Initial values of a parameter. fan_in = inputs per output unit, fan_out = outputs per input unit.
 *   he       std sqrt(2/fan_in)                 K. He et al., arXiv:1502.01852
 *   xavier   std sqrt(2/(fan_in + fan_out))     X. Glorot, Y. Bengio, AISTATS 2010
 *   lecun    std sqrt(1/fan_in)                 Y. LeCun et al., Efficient BackProp, 1998
 * each as a normal distribution or as the uniform one of the same variance, [-sqrt(3) std, sqrt(3)
 * std]. */
typedef enum cvn_init_kind {
    CVN_INIT_DEFAULT = 0,           /* the layer's own: He-normal weights, zero bias */
    CVN_INIT_HE_NORMAL, CVN_INIT_HE_UNIFORM,
    CVN_INIT_XAVIER_NORMAL, CVN_INIT_XAVIER_UNIFORM,
    CVN_INIT_LECUN_NORMAL, CVN_INIT_LECUN_UNIFORM,
    CVN_INIT_NORMAL,                /* mean a, standard deviation b */
    CVN_INIT_UNIFORM,               /* [a, b) */
    CVN_INIT_CONSTANT,              /* a */
    CVN_INIT_ZERO
} cvn_init_kind;

typedef struct cvn_init { cvn_init_kind kind; float a; float b; } cvn_init;

/* ================================================================================================
 * >>errors   what went wrong
 * ============================================================================================== */

/* cvn_error - the text of the first error while the graph was built, else of the last call that
 * failed. Never NULL; "" when nothing failed; "no net (out of memory?)" for NULL. Valid until the
 * next call with this net. */
CONVNET_API const char *cvn_error(const cvn_net *net);

/* cvn_result_name - "CVN_OK", "CVN_ERROR_SHAPE", ...; never NULL. */
CONVNET_API const char *cvn_result_name(cvn_result result);

/* ================================================================================================
 * >>graph-api   create, name, build, look into a net
 * ============================================================================================== */

/* cvn_create - a new, empty net. desc NULL: all defaults. Returns NULL when memory is out; every
 * function takes that NULL, so the check may wait until cvn_build. An isa that this CPU or build
 * lacks is CVN_ERROR_UNSUPPORTED. */
CONVNET_API cvn_net *cvn_create(const cvn_desc *desc);
CONVNET_API cvn_desc cvn_desc_defaults(void);
CONVNET_API void cvn_destroy(cvn_net *net);

/* cvn_name - names a node and, with it, its parameters ("conv1" -> "conv1.weight"); returns the
 * node. Before cvn_build. The name stands as given, without the scope. Without it layers are conv1,
 * conv2, fc1, bn1, relu1, ... inside their scope.
 * errors   CVN_ERROR_ARGUMENT when the name is taken, empty or longer than CVN_MAX_NAME - 1 */
CONVNET_API cvn_node cvn_name(cvn_net *net, cvn_node node, const char *name);

/* cvn_scope - layers added from now on are named "prefix.conv1", ... as PyTorch's modules are;
 * numbering starts anew in each scope. "" or NULL ends it. */
CONVNET_API void cvn_scope(cvn_net *net, const char *prefix);

/* cvn_find - the node of that name, or node 0. */
CONVNET_API cvn_node cvn_find(const cvn_net *net, const char *name);
CONVNET_API const char *cvn_node_name(const cvn_net *net, cvn_node node);     /* never NULL */

/* cvn_node_shape - shape of a node's value. dim[0] is the number of samples of the last forward
 * pass (before the first one: the largest batch; before cvn_build: 1). */
CONVNET_API cvn_shape cvn_node_shape(const cvn_net *net, cvn_node node);

/* Marks, before cvn_build:
 *   cvn_output     what cvn_predict and cvn_evaluate read. Default: the first loss's prediction,
 *                  else the last node.
 *   cvn_keep       the node's value stays readable (cvn_value) after a forward pass. Inputs, output
 *                  and losses always do.
 *   cvn_want_grad  the node has a gradient: readable after a backward pass (cvn_gradient) and a
 *                  place to push one in (cvn_backward_from). Needed for an input whose gradient you
 *                  want.
 *   cvn_add_loss   a scalar node is minimised, times `weight`; 0 only watches it. The loss layers
 *                  below do this themselves with weight 1; calling it on one of them replaces that
 *                  weight.
 *   cvn_tie        `node` uses the parameters of `with` instead of its own (siamese nets). Same
 *                  kind, same shapes. */
CONVNET_API void cvn_output(cvn_net *net, cvn_node node);
CONVNET_API void cvn_keep(cvn_net *net, cvn_node node);
CONVNET_API void cvn_want_grad(cvn_net *net, cvn_node node);
CONVNET_API void cvn_add_loss(cvn_net *net, cvn_node node, float weight);
CONVNET_API void cvn_tie(cvn_net *net, cvn_node node, cvn_node with);

/* Training of single layers, at any time:
 *   cvn_freeze     the node's parameters do not change and batch norm keeps and uses its running
 *                  statistics. Frozen before cvn_build, a leading part of the net is left out of
 *                  the backward pass; cvn_resize and cvn_set_optimizer leave out no more than
 *                  that.
 *   cvn_freeze_to  the same for the node and everything it is computed from.
 *   cvn_unfreeze   undoes it. After cvn_build only for what was not frozen then (CVN_ERROR_STATE).
 *   cvn_lr_scale, cvn_decay_scale   factor on the learning rate or weight decay of the node's
 *                                   parameters; 1. */
CONVNET_API cvn_result cvn_freeze(cvn_net *net, cvn_node node);
CONVNET_API cvn_result cvn_freeze_to(cvn_net *net, cvn_node node);
CONVNET_API cvn_result cvn_unfreeze(cvn_net *net, cvn_node node);
CONVNET_API cvn_result cvn_lr_scale(cvn_net *net, cvn_node node, float factor);
CONVNET_API cvn_result cvn_decay_scale(cvn_net *net, cvn_node node, float factor);

/* cvn_build - plans training (and prediction in the same memory) for batches of 1 to max_batch
 * samples, takes the arena and initialises the parameters. May be called again with another batch:
 * parameters and optimizer state stay. cvn_build_infer - plans prediction alone: dropout gone,
 * batch norm folded into the convolution or dense layer before it, activations fused into theirs,
 * buffers reused as soon as they are free. cvn_build_in - either of them in the caller's buffer of
 * `size` bytes, which must outlive the net (any alignment).
 * errors   the first error of the graph; CVN_ERROR_ARGUMENT for max_batch < 1; CVN_ERROR_STATE for
 *          an empty graph; CVN_ERROR_MEMORY: no memory or a buffer smaller than cvn_memory_needed
 *          (the net stays as it was) */
CONVNET_API cvn_result cvn_build(cvn_net *net, int max_batch);
CONVNET_API cvn_result cvn_build_infer(cvn_net *net, int max_batch);
CONVNET_API cvn_result cvn_build_in(cvn_net *net, int max_batch, cvn_mode mode, void *buffer,
                                    size_t size);

/* cvn_memory_needed - bytes that the same build would take for its arena; exact. 0 when the net has
 * an error. The optimizer's state is part of it: call cvn_set_optimizer before, if it is not Adam.
 * CVN_TRAIN | CVN_INFER is CVN_TRAIN: a training plan predicts too. */
CONVNET_API size_t cvn_memory_needed(cvn_net *net, int max_batch, int mode);

/* Recomputation (gradient checkpointing): training in less memory for some more time, with the same
 * bits. Values inside a recomputed segment are given up after the forward pass and computed again
 * when the backward pass comes to it.
 *   cvn_recompute          before cvn_build: the layers from `first` to `last`, in the order in
 *                          which they were added, are a segment: a block of a residual net, say
 *   cvn_set_memory_budget  training plans to come take at most so many bytes (cvn_memory_needed):
 *                          segments beside those of cvn_recompute are chosen where it needs them,
 *                          so that as little as possible is computed twice. 0: no budget. A batch
 *                          that does not fit is CVN_ERROR_MEMORY with the least number of bytes.
 *   source   T. Chen et al., arXiv:1604.06174 */
CONVNET_API void cvn_recompute(cvn_net *net, cvn_node first, cvn_node last);
CONVNET_API void cvn_set_memory_budget(cvn_net *net, size_t bytes);

/* cvn_resize - every image input takes `height` x `width` from now on; same batch, same parameters.
 * For nets whose parameters do not depend on it (fully convolutional ones, or with global pooling).
 * errors   CVN_ERROR_SHAPE with the layer that cannot follow; the net stays as it was */
CONVNET_API cvn_result cvn_resize(cvn_net *net, int height, int width);

/* cvn_share - a second net over the same parameters, with activations and gradients of its own, for
 * another thread. It is not built yet: call cvn_build or cvn_build_infer on it. cvn_step is refused
 * on it, layers cannot be added to it, and its training passes leave running statistics alone.
 * `net` must be built, must outlive it, and must not train, load or rebuild while the other one
 * runs. NULL when memory is out. */
CONVNET_API cvn_net *cvn_share(cvn_net *net);

/* cvn_summary - a table with name, type, output shape, parameters, multiply-accumulates per sample,
 * bytes of the value, one line a layer, and the totals, as text. Like snprintf: returns the length
 * needed, writes at most size - 1 and a 0. */
CONVNET_API int cvn_summary(const cvn_net *net, char *text, size_t size);

/* cvn_value - the node's value of the last forward pass, [N, ...]; cvn_gradient - d loss / d node
 * of the last backward pass, until the next pass of any kind. Writable: an image may be optimised
 * in place. NULL (and CVN_ERROR_STATE in cvn_error) when the plan did not keep it: mark the node
 * with cvn_keep or cvn_want_grad before cvn_build. */
CONVNET_API float *cvn_value(cvn_net *net, cvn_node node);
CONVNET_API float *cvn_gradient(cvn_net *net, cvn_node node);

/* Parameters: trainable ones and the running statistics of batch norm, in the order of the
 * layers. */
typedef struct cvn_param {
    const char *name;               /* "conv1.weight" */
    cvn_shape shape;
    size_t count;                   /* elements */
    float *value;                   /* call cvn_touch after writing */
    float *gradient;                /* NULL in an inference plan and for running statistics */
    int trainable;                  /* 0 for running statistics and frozen layers */
} cvn_param;

CONVNET_API int cvn_param_count(const cvn_net *net);
/* value NULL when out of range or not built */
CONVNET_API cvn_param cvn_param_at(const cvn_net *net, int index);
/* value NULL when there is none */
CONVNET_API cvn_param cvn_param_find(const cvn_net *net, const char *name);
/* trainable elements, tied ones once */
CONVNET_API size_t cvn_parameters(const cvn_net *net);

/* cvn_macs - multiply-accumulates of one forward pass of one sample, as papers count them: those of
 * convolutions, dense layers and matrix products; norms, activations and pools have none. The graph
 * is enough, before cvn_build too. */
CONVNET_API double cvn_macs(const cvn_net *net);

/* The flat arrays: trainable parameters first, then running statistics; gradients of the trainable
 * ones in the same order. One loop, one allreduce, one upload. NULL before cvn_build. *count (may
 * be NULL) receives the elements. */
CONVNET_API float *cvn_flat_parameters(cvn_net *net, size_t *count);
CONVNET_API float *cvn_flat_gradients(cvn_net *net, size_t *count);

/* cvn_touch - tells the net that parameters were written from outside (folded weights are made
 * anew). */
CONVNET_API void cvn_touch(cvn_net *net);

/* cvn_init_parameters - draws all initial values anew from a seed (0: the net's). */
CONVNET_API cvn_result cvn_init_parameters(cvn_net *net, uint64_t seed);

/* cvn_isa - name of the kernels in use: "c", "avx2", "avx512". */
CONVNET_API const char *cvn_isa(const cvn_net *net);

/* ================================================================================================
 * >>layers-api   inputs, layers, losses; each layer's full documentation stands in its room
 * ============================================================================================== */

/* Inputs. The batch is implicit.
 *   cvn_input          images [N, C, H, W]
 *   cvn_input_vector   [N, features]
 *   cvn_input_tensor   [N, dims[0], ..., dims[count - 1]], count from 0 to CVN_MAX_RANK - 1
 *   cvn_input_labels   the same for int values (class labels); no gradient
 *   cvn_target         a float input of the shape of `like`, for what a net is to produce
 * cvn_fit and the other functions with data fill inputs by their kind: the first float input takes
 * the images, every label input the labels, every target the targets. */
CONVNET_API cvn_node cvn_input(cvn_net *net, int channels, int height, int width);
CONVNET_API cvn_node cvn_input_vector(cvn_net *net, int features);
CONVNET_API cvn_node cvn_input_tensor(cvn_net *net, const int *dims, int count);
CONVNET_API cvn_node cvn_input_labels(cvn_net *net, const int *dims, int count);
CONVNET_API cvn_node cvn_target(cvn_net *net, cvn_node like);

/* Convolution (cross-correlation: the kernel is not flipped). Weights He-normal, bias zero.
 *   cvn_conv1d  [N, C, L] -> [N, filters, OL]             weight [filters, C/groups, kernel]
 *   cvn_conv2d  [N, C, H, W] -> [N, filters, OH, OW]
 *                                               weight [filters, C/groups, kernel_h, kernel_w]
 *   cvn_conv3d  [N, C, D, H, W] -> [N, filters, OD, OH, OW]
 *                                     weight [filters, C/groups, kernel_d, kernel_h, kernel_w]
 *   each size   (size + pads - dilation*(kernel - 1) - 1)/stride + 1, rounded down
 *   bias        [filters]
 *   errors      CVN_ERROR_SHAPE when the (dilated) kernel is larger than the padded input, groups
 *               do not divide, or the input has another rank; CVN_ERROR_ARGUMENT for a value out of
 *               range
 * The short calls have the same kernel, stride and pad on all axes and sides; a pad of kernel/2
 * keeps the size at stride 1 and odd kernels. An image with a depth axis (video, volumes) is what
 * cvn_conv3d is for.
 *   cvn_depthwise         one kernel a channel: filters = groups = C, weight [C, 1, kernel, kernel]
 *   cvn_pointwise         1x1: a dense layer at each pixel ("network in network", M. Lin et al.,
 *                         arXiv:1312.4400)
 *   cvn_separable_conv2d  cvn_depthwise without bias, then cvn_pointwise with one, as Keras has it:
 *                         with many filters about kernel^2 times cheaper than cvn_conv2d. Two
 *                         layers; the second one is returned. F. Chollet, arXiv:1610.02357 */
typedef enum cvn_pad_mode { CVN_PAD_ZERO = 0, CVN_PAD_REFLECT, CVN_PAD_REPLICATE } cvn_pad_mode;

typedef struct cvn_conv1d_desc {
    int filters, kernel;
    int stride;                     /* 0: 1 */
    int pad_left, pad_right;
    int dilation;                   /* 0: 1 */
    int groups;                     /* 0: 1; divides channels and filters */
    cvn_pad_mode pad_mode;          /* reflect: -1 reads 1 (pad < size); replicate: -1 reads 0 */
    int no_bias;
    cvn_init weight_init;           /* default He-normal, fan_in = C/groups * kernel */
    cvn_init bias_init;             /* default zero */
} cvn_conv1d_desc;

typedef struct cvn_conv2d_desc {
    int filters;
    int kernel_h, kernel_w;         /* kernel_w 0: kernel_h */
    int stride_h, stride_w;         /* stride_h 0: 1; stride_w 0: stride_h */
    int pad_top, pad_left, pad_bottom, pad_right;
    int dilation_h, dilation_w;     /* dilation_h 0: 1; dilation_w 0: dilation_h */
    int groups;                     /* 0: 1; divides channels and filters */
    cvn_pad_mode pad_mode;          /* reflect: -1 reads 1 (pad < size); replicate: -1 reads 0 */
    int no_bias;
    cvn_init weight_init;           /* default He-normal, fan_in = C/groups * kernel_h * kernel_w */
    cvn_init bias_init;             /* default zero */
} cvn_conv2d_desc;

typedef struct cvn_conv3d_desc {
    int filters;
    int kernel_d, kernel_h, kernel_w;           /* 0: as the one before */
    int stride_d, stride_h, stride_w;           /* stride_d 0: 1; others 0: as the one before */
    int pad_front, pad_top, pad_left, pad_back, pad_bottom, pad_right;
    int dilation_d, dilation_h, dilation_w;     /* as the strides */
    int groups;                     /* 0: 1; divides channels and filters */
    cvn_pad_mode pad_mode;          /* reflect: -1 reads 1 (pad < size); replicate: -1 reads 0 */
    int no_bias;
    cvn_init weight_init;           /* default He-normal, fan_in = C/groups * the kernel's taps */
    cvn_init bias_init;             /* default zero */
} cvn_conv3d_desc;

CONVNET_API cvn_conv1d_desc cvn_conv1d_defaults(void);
CONVNET_API cvn_conv2d_desc cvn_conv2d_defaults(void);
CONVNET_API cvn_conv3d_desc cvn_conv3d_defaults(void);
CONVNET_API cvn_node cvn_conv1d(cvn_net *net, cvn_node x, int filters, int kernel, int stride,
                                int pad);
CONVNET_API cvn_node cvn_conv2d(cvn_net *net, cvn_node x, int filters, int kernel, int stride,
                                int pad);
CONVNET_API cvn_node cvn_conv3d(cvn_net *net, cvn_node x, int filters, int kernel, int stride,
                                int pad);
CONVNET_API cvn_node cvn_conv1d_ex(cvn_net *net, cvn_node x, const cvn_conv1d_desc *desc);
CONVNET_API cvn_node cvn_conv2d_ex(cvn_net *net, cvn_node x, const cvn_conv2d_desc *desc);
CONVNET_API cvn_node cvn_conv3d_ex(cvn_net *net, cvn_node x, const cvn_conv3d_desc *desc);
CONVNET_API cvn_node cvn_depthwise(cvn_net *net, cvn_node x, int kernel, int stride, int pad);
CONVNET_API cvn_node cvn_pointwise(cvn_net *net, cvn_node x, int filters);
CONVNET_API cvn_node cvn_separable_conv2d(cvn_net *net, cvn_node x, int filters, int kernel,
                                          int stride, int pad);

/* Transposed convolution: the gradient of a convolution as a layer of its own. Each input element
 * adds its kernel, times its value, to the output; neighbours are `stride` apart there.
 *   cvn_conv_transpose1d  [N, C, L] -> [N, filters, OL]       weight [C, filters/groups, kernel]
 *   cvn_conv_transpose2d  [N, C, H, W] -> [N, filters, OH, OW]
 *                                                weight [C, filters/groups, kernel_h, kernel_w]
 *   each size   (size - 1)*stride - pads + dilation*(kernel - 1) + output_pad + 1
 *   bias        [filters], zero
 *   weights     He-normal with fan_in = C/groups * taps / strides (1 at least): so many products
 *               make one output element, on average, and the variance stays what it is. (PyTorch
 *               takes filters/groups * taps, the fan of the other direction.)
 *   pads        take away from the output; output_pad adds to its end (it is smaller than the
 *               stride or the dilation): a stride-2 convolution has two input sizes for one output
 *               size, 0 and 1 choose. No pad modes.
 *   errors      CVN_ERROR_SHAPE when nothing is left of the output, groups do not divide, or the
 *               input has another rank; CVN_ERROR_ARGUMENT for a value out of range
 * Named deconv1, deconv2, ... An inference plan does not fold a batch norm behind it.
 * M. D. Zeiler et al., Deconvolutional networks, CVPR 2010; V. Dumoulin, F. Visin,
 * arXiv:1603.07285, section 4 */
typedef struct cvn_conv_transpose1d_desc {
    int filters, kernel;
    int stride;                     /* 0: 1 */
    int pad_left, pad_right;
    int output_pad;
    int dilation;                   /* 0: 1 */
    int groups;                     /* 0: 1; divides channels and filters */
    int no_bias;
    cvn_init weight_init;           /* default He-normal, see above */
    cvn_init bias_init;             /* default zero */
} cvn_conv_transpose1d_desc;

typedef struct cvn_conv_transpose2d_desc {
    int filters;
    int kernel_h, kernel_w;         /* kernel_w 0: kernel_h */
    int stride_h, stride_w;         /* stride_h 0: 1; stride_w 0: stride_h */
    int pad_top, pad_left, pad_bottom, pad_right;
    int output_pad_h, output_pad_w;
    int dilation_h, dilation_w;     /* dilation_h 0: 1; dilation_w 0: dilation_h */
    int groups;                     /* 0: 1; divides channels and filters */
    int no_bias;
    cvn_init weight_init;           /* default He-normal, see above */
    cvn_init bias_init;             /* default zero */
} cvn_conv_transpose2d_desc;

CONVNET_API cvn_conv_transpose1d_desc cvn_conv_transpose1d_defaults(void);
CONVNET_API cvn_conv_transpose2d_desc cvn_conv_transpose2d_defaults(void);
CONVNET_API cvn_node cvn_conv_transpose1d(cvn_net *net, cvn_node x, int filters, int kernel,
                                          int stride, int pad);
CONVNET_API cvn_node cvn_conv_transpose2d(cvn_net *net, cvn_node x, int filters, int kernel,
                                          int stride, int pad);
CONVNET_API cvn_node cvn_conv_transpose1d_ex(cvn_net *net, cvn_node x,
                                             const cvn_conv_transpose1d_desc *desc);
CONVNET_API cvn_node cvn_conv_transpose2d_ex(cvn_net *net, cvn_node x,
                                             const cvn_conv_transpose2d_desc *desc);

/* cvn_dense - fully connected: y = x W^T + b.
 *   x        [N, C], or [N, C, H, W] which is flattened to [N, C*H*W], or a sequence [N, T, C],
 *            each step by itself
 *   returns  [N, units], for a sequence [N, T, units]
 *   weights  weight [units, in], He-normal; bias [units], zero */
typedef struct cvn_dense_desc {
    int units;
    int no_bias;
    cvn_init weight_init;           /* default He-normal */
    cvn_init bias_init;             /* default zero */
} cvn_dense_desc;

CONVNET_API cvn_dense_desc cvn_dense_defaults(void);
CONVNET_API cvn_node cvn_dense(cvn_net *net, cvn_node x, int units);
CONVNET_API cvn_node cvn_dense_ex(cvn_net *net, cvn_node x, const cvn_dense_desc *desc);

/* Pooling: [N, C, H, W] -> [N, C, OH, OW], OH as for convolution; ceil_mode rounds up, and drops a
 * last window that would start in the padding behind the image, as PyTorch does. Pads at most half
 * the kernel. A sequence [N, C, L] is an image of one line and gives [N, C, OL]: of a description
 * kernel_w, stride_w, pad_left and pad_right count, the other pads are 0.
 *   cvn_maxpool           the largest value (the first of equals); padding never wins; NaN does
 *   cvn_avgpool           the mean; padding counts as zeros unless exclude_pad
 *   cvn_global_avgpool    [N, C, H, W] -> [N, C, 1, 1], [N, C, L] -> [N, C, 1];
 *                         cvn_global_maxpool likewise
 *   cvn_adaptive_avgpool, cvn_adaptive_maxpool   to height x width; 0: as the input; for [N, C, L]
 *                         height is 1 (or 0). Window i of OH is floor(i*H/OH) to
 *                         ceil((i + 1)*H/OH) - 1: nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d
 *   cvn_maxpool_indices   where the values of the same cvn_maxpool_ex stand: an int node
 *                         [N, C, OH, OW] of h*W + w. For cvn_maxunpool; no gradient, no cvn_value
 *   cvn_maxunpool         [N, C, OH, OW] -> [N, C, height, width]: each value at its index of its
 *                         channel, the last one of equal indices; 0 elsewhere (F.max_unpool2d).
 *                         Backward: the gradient at the index. An index outside the result:
 *                         CVN_ERROR_ARGUMENT from the call that runs the net
 *   errors   CVN_ERROR_SHAPE for a kernel larger than input and pads, CVN_ERROR_ARGUMENT for a
 *            value out of range
 *   source   unpooling: M. Zeiler, R. Fergus, arXiv:1311.2901; V. Badrinarayanan et al.,
 *            arXiv:1511.00561 */
typedef struct cvn_pool_desc {
    int kernel_h, kernel_w;         /* kernel_w 0: kernel_h */
    int stride_h, stride_w;         /* stride_h 0: kernel_h; stride_w 0: stride_h, or kernel_w where
                                     * that is 0 too */
    int pad_top, pad_left, pad_bottom, pad_right;
    int ceil_mode;
    int exclude_pad;                /* average: divide by the pixels inside the image
                                     * (count_include_pad = False) */
} cvn_pool_desc;

CONVNET_API cvn_pool_desc cvn_pool_defaults(void);
CONVNET_API cvn_node cvn_maxpool(cvn_net *net, cvn_node x, int kernel, int stride);
CONVNET_API cvn_node cvn_maxpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc *desc);
CONVNET_API cvn_node cvn_avgpool(cvn_net *net, cvn_node x, int kernel, int stride);
CONVNET_API cvn_node cvn_avgpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc *desc);
CONVNET_API cvn_node cvn_global_avgpool(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_global_maxpool(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_adaptive_avgpool(cvn_net *net, cvn_node x, int height, int width);
CONVNET_API cvn_node cvn_adaptive_maxpool(cvn_net *net, cvn_node x, int height, int width);
CONVNET_API cvn_node cvn_maxpool_indices(cvn_net *net, cvn_node x, const cvn_pool_desc *desc);
CONVNET_API cvn_node cvn_maxunpool(cvn_net *net, cvn_node x, cvn_node indices, int height,
                                   int width);

/* cvn_roi_align - the part of an image inside each box, at one size (torchvision.ops.roi_align).
 *   x        [N, C, H, W]
 *   boxes    [N, R, 4]: x1, y1, x2, y2 of the R boxes of a sample, times spatial_scale in pixels of
 *            x; an input or any other node, gets no gradient
 *   returns  [N, R, C, height, width]; cvn_flatten_batch makes N*R samples of it
 *   value    the mean of sampling_ratio^2 bilinear values a cell; 0 for what lies more than a pixel
 *            outside x. A box that is not finite gives NaN
 *   desc     NULL: defaults
 *   errors   CVN_ERROR_SHAPE, CVN_ERROR_ARGUMENT for a value out of range
 *   source   K. He et al., arXiv:1703.06870 */
typedef struct cvn_roi_align_desc {
    float spatial_scale;            /* 0: 1; 1/16 for boxes of an image that is 16 times x */
    int sampling_ratio;             /* values per cell and axis; 0: ceil(side of the cell) */
    int aligned;                    /* boxes half a pixel up and to the left, so that pixels are
                                     * points at their centres; else boxes have sides of at least
                                     * 1 */
} cvn_roi_align_desc;

CONVNET_API cvn_roi_align_desc cvn_roi_align_defaults(void);
CONVNET_API cvn_node cvn_roi_align(cvn_net *net, cvn_node x, cvn_node boxes, int height, int width,
                                   const cvn_roi_align_desc *desc);

/* cvn_batchnorm - y = (x - mean)/sqrt(var + eps) * weight + bias, statistics per channel.
 *   x        [N, C] or [N, C, ...]; training: mean and (biased) variance of the batch; prediction:
 *            the running ones
 *   running  running = (1 - momentum)*running + momentum*batch, with the unbiased variance, as
 *            PyTorch
 *   weights  weight [C], one; bias [C], zero; running_mean [C], zero; running_var [C], one
 *   source   S. Ioffe, C. Szegedy, arXiv:1502.03167 */
typedef struct cvn_batchnorm_desc {
    float eps;                      /* 0: 1e-5 */
    float momentum;                 /* 0: 0.1 */
    int no_affine;                  /* without weight and bias */
    cvn_init weight_init;           /* default one */
    cvn_init bias_init;             /* default zero */
} cvn_batchnorm_desc;

CONVNET_API cvn_batchnorm_desc cvn_batchnorm_defaults(void);
CONVNET_API cvn_node cvn_batchnorm(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_batchnorm_ex(cvn_net *net, cvn_node x, const cvn_batchnorm_desc *desc);

/* cvn_layernorm, cvn_instancenorm, cvn_groupnorm - y = (x - mean)/sqrt(var + eps) * weight + bias,
 * mean and (biased) variance of each group of a sample; the same in training and prediction, there
 * are no running statistics.
 *   layer      any x of rank 2 or more, a group is the last axis: [N, T, C] step by step; with
 *              axes = a the last a ones (rank - 1: the whole sample), nn.LayerNorm's
 *              normalized_shape
 *   instance   x [N, C, ...], a group is a channel; without weight and bias unless affine
 *   group      x [N, C, ...], C/groups channels are a group
 *   weights    weight, one, and bias, zero: [C], for layer norm the shape of the normalised axes
 *   errors     CVN_ERROR_ARGUMENT when groups do not divide C or for axes out of range;
 *              CVN_ERROR_SHAPE for an instance norm of one value a channel
 *   source     J. L. Ba et al., arXiv:1607.06450; D. Ulyanov et al., arXiv:1607.08022;
 *              Y. Wu, K. He, arXiv:1803.08494 */
typedef struct cvn_layernorm_desc {
    int axes;                       /* last axes that are normalised; 0: 1 */
    float eps;                      /* 0: 1e-5 */
    int no_affine;                  /* without weight and bias */
    int no_bias;
    cvn_init weight_init;           /* default one */
    cvn_init bias_init;             /* default zero */
} cvn_layernorm_desc;

typedef struct cvn_instancenorm_desc {
    float eps;                      /* 0: 1e-5 */
    int affine;                     /* with weight and bias */
    cvn_init weight_init;           /* default one */
    cvn_init bias_init;             /* default zero */
} cvn_instancenorm_desc;

typedef struct cvn_groupnorm_desc {
    int groups;
    float eps;                      /* 0: 1e-5 */
    int no_affine;                  /* without weight and bias */
    cvn_init weight_init;           /* default one */
    cvn_init bias_init;             /* default zero */
} cvn_groupnorm_desc;

CONVNET_API cvn_layernorm_desc cvn_layernorm_defaults(void);
CONVNET_API cvn_instancenorm_desc cvn_instancenorm_defaults(void);
CONVNET_API cvn_groupnorm_desc cvn_groupnorm_defaults(void);
CONVNET_API cvn_node cvn_layernorm(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_layernorm_ex(cvn_net *net, cvn_node x, const cvn_layernorm_desc *desc);
CONVNET_API cvn_node cvn_instancenorm(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_instancenorm_ex(cvn_net *net, cvn_node x,
                                         const cvn_instancenorm_desc *desc);
CONVNET_API cvn_node cvn_groupnorm(cvn_net *net, cvn_node x, int groups);
CONVNET_API cvn_node cvn_groupnorm_ex(cvn_net *net, cvn_node x, const cvn_groupnorm_desc *desc);

/* cvn_spectral_norm - the node's weight is divided by its largest singular value, the weight taken
 * as a matrix with the outputs as rows; returns the node. u, v follow the singular vectors by one
 * power iteration a training forward pass; predictions use them as they stand. Parameters are named
 * as by torch.nn.utils.spectral_norm: weight_orig, and among the running statistics weight_u and
 * weight_v. Tied layers share it. A batch norm behind the layer is not folded.
 *   errors   CVN_ERROR_ARGUMENT when the node has no weight of two or more axes
 *   source   T. Miyato et al., arXiv:1802.05957 */
CONVNET_API cvn_node cvn_spectral_norm(cvn_net *net, cvn_node node);

/* cvn_l2norm - y = x/max(|x|, 1e-12), |x| the Euclidean length along an axis from 1 on
 * (F.normalize). */
CONVNET_API cvn_node cvn_l2norm(cvn_net *net, cvn_node x, int axis);

/* cvn_lrn - local response normalisation across channels, as nn.LocalResponseNorm:
 * y_c = x_c * (k + alpha/size * sum x^2)^-beta, the sum over the channels c - size/2 to
 * c + (size - 1)/2 that there are.
 *   x        [N, C, ...]
 *   source   A. Krizhevsky et al., NeurIPS 2012, section 3.3 (there size 5, k 2 and 1e-4 for
 *            alpha/size) */
typedef struct cvn_lrn_desc {
    int size;
    float alpha;                    /* 0: 1e-4 */
    float beta;                     /* 0: 0.75 */
    float k;                        /* 0: 1 */
} cvn_lrn_desc;

CONVNET_API cvn_lrn_desc cvn_lrn_defaults(void);
CONVNET_API cvn_node cvn_lrn(cvn_net *net, cvn_node x, int size);
CONVNET_API cvn_node cvn_lrn_ex(cvn_net *net, cvn_node x, const cvn_lrn_desc *desc);

/* cvn_dropout - training: each value is zero with probability p, else divided by 1 - p; prediction:
 * y = x. 0 <= p < 1.
 * cvn_spatial_dropout - whole channels of [N, C, ...] are (nn.Dropout2d).
 * cvn_drop_path - whole samples are (stochastic depth): y = x + f(x) with f(x) behind it. Behind
 * cvn_flatten_batch each entry of the first axis has a draw of its own.
 *   source   N. Srivastava et al., JMLR 15, 2014 (the "inverted" form); J. Tompson et al.,
 *            arXiv:1411.4280; G. Huang et al., arXiv:1603.09382 */
CONVNET_API cvn_node cvn_dropout(cvn_net *net, cvn_node x, float p);
CONVNET_API cvn_node cvn_spatial_dropout(cvn_net *net, cvn_node x, float p);
CONVNET_API cvn_node cvn_drop_path(cvn_net *net, cvn_node x, float p);

/* cvn_gaussian_noise - training: y = x + std*e, e normal with mean 0 and deviation 1; prediction:
 * y = x. std >= 0.
 * cvn_reparameterize - training: y = mean + exp(log_variance/2)*e, prediction: y = mean; both have
 * gradients. The sample of a variational autoencoder.
 *   source   D. Kingma, M. Welling, arXiv:1312.6114 */
CONVNET_API cvn_node cvn_gaussian_noise(cvn_net *net, cvn_node x, float std);
CONVNET_API cvn_node cvn_reparameterize(cvn_net *net, cvn_node mean, cvn_node log_variance);

/* cvn_flatten - [N, ...] -> [N, product]. cvn_reshape - [N, dims...], the same number of elements
 * per sample; one of dims may be -1: what remains. Neither copies when x has no other reader. */
CONVNET_API cvn_node cvn_flatten(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_reshape(cvn_net *net, cvn_node x, const int *dims, int count);

/* cvn_flatten_batch - [N, R, ...] -> [N*R, ...]: the layers behind it take every region, frame or
 * step for a sample (torch's flatten(0, 1)). cvn_unflatten_batch - back: [N*R, ...] ->
 * [N, R, ...] with R = count. Neither copies; labels pass too.
 *   The batch stays what it is: n samples in cvn_set_input and cvn_predict, whose result then has R
 *   rows a sample, and so have the labels or targets of a loss behind cvn_flatten_batch (its own
 *   label input takes n*R of them, [N*R] without another axis). Batch norm and means of losses go
 *   over all N*R rows.
 *   errors   CVN_ERROR_SHAPE when there is no axis R, or count does not divide the rows of a
 *            sample */
CONVNET_API cvn_node cvn_flatten_batch(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_unflatten_batch(cvn_net *net, cvn_node x, int count);

/* cvn_add, cvn_mul - elementwise, with NumPy's broadcasting over any axis of size 1: [N, C, H, W]
 * and [N, C, 1, 1]. Ranks must agree. errors: CVN_ERROR_SHAPE */
CONVNET_API cvn_node cvn_add(cvn_net *net, cvn_node a, cvn_node b);
CONVNET_API cvn_node cvn_mul(cvn_net *net, cvn_node a, cvn_node b);

/* Tensor operations, all with gradients. Axes count from 0, the batch, which is never reduced,
 * moved or cut; each axis that is named is from 1 to rank - 1.
 *
 * cvn_sub, cvn_div, cvn_maximum, cvn_minimum - elementwise, broadcasting as cvn_add. Where the two
 * are equal, maximum and minimum give each half of the gradient; NaN wins. */
CONVNET_API cvn_node cvn_sub(cvn_net *net, cvn_node a, cvn_node b);
CONVNET_API cvn_node cvn_div(cvn_net *net, cvn_node a, cvn_node b);
CONVNET_API cvn_node cvn_maximum(cvn_net *net, cvn_node a, cvn_node b);
CONVNET_API cvn_node cvn_minimum(cvn_net *net, cvn_node a, cvn_node b);

/* Elementwise functions. As in C: the logarithm of a negative number is NaN.
 *   scale   scale*x + shift
 *   clip    low below low, high above high; no gradient there, nor at the two, as PyTorch
 *   pow     x to a constant power
 *   abs     gradient 0 at 0 */
CONVNET_API cvn_node cvn_exp(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_log(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_sqrt(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_square(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_abs(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_neg(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_scale(cvn_net *net, cvn_node x, float scale, float shift);
CONVNET_API cvn_node cvn_clip(cvn_net *net, cvn_node x, float low, float high);
CONVNET_API cvn_node cvn_pow(cvn_net *net, cvn_node x, float exponent);

/* cvn_reduce_sum, cvn_reduce_mean, cvn_reduce_max - over `count` axes; count 0: over all but the
 * batch. The reduced axes stay with size 1 (keepdim = True), so that the result broadcasts to x;
 * cvn_reshape drops them without a copy. Equal largest values share the gradient, as torch.amax. */
CONVNET_API cvn_node cvn_reduce_sum(cvn_net *net, cvn_node x, const int *axes, int count);
CONVNET_API cvn_node cvn_reduce_mean(cvn_net *net, cvn_node x, const int *axes, int count);
CONVNET_API cvn_node cvn_reduce_max(cvn_net *net, cvn_node x, const int *axes, int count);

/* cvn_permute - axis k of the result is axis axes[k - 1] of x; axes names each axis but the batch
 * once: { 2, 3, 1 } turns [N, C, H, W] into [N, H, W, C].
 * cvn_slice - the elements [begin, end) of an axis.
 * cvn_split - parts[i] are the next sizes[i] elements of an axis; the sizes add up to it. On an
 * error all parts are invalid. */
CONVNET_API cvn_node cvn_permute(cvn_net *net, cvn_node x, const int *axes, int count);
CONVNET_API cvn_node cvn_slice(cvn_net *net, cvn_node x, int axis, int begin, int end);
CONVNET_API void cvn_split(cvn_net *net, cvn_node x, int axis, const int *sizes, int count,
                           cvn_node *parts);

/* cvn_matmul - a matrix product for each index of the axes before the last two.
 *   a        [N, ..., T, K], or [N, ..., K, T] with transpose_a
 *   b        [N, ..., K, S], or [N, ..., S, K] with transpose_b
 *   returns  [N, ..., T, S]
 *   errors   CVN_ERROR_SHAPE; the axes before the last two must agree
 * cvn_gram - Gram matrix of the channels: [N, C, H, W] -> [N, C, C], the sum over pixels of the
 * products of two channels, divided by C*H*W. Made of reshape, matmul and scale.
 *   source   L. Gatys et al., arXiv:1508.06576 */
CONVNET_API cvn_node cvn_matmul(cvn_net *net, cvn_node a, cvn_node b, int transpose_a,
                                int transpose_b);
CONVNET_API cvn_node cvn_gram(cvn_net *net, cvn_node x);

/* cvn_stop_gradient - y = x, and no gradient goes back.
 * cvn_gradient_reversal - y = x; the gradient goes back times -scale.
 *   source   Y. Ganin, V. Lempitsky, arXiv:1409.7495 */
CONVNET_API cvn_node cvn_stop_gradient(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_gradient_reversal(cvn_net *net, cvn_node x, float scale);

/* cvn_embedding - a row of a table for each label.
 *   labels   int [N, ...] (cvn_input_labels)
 *   returns  [N, ..., dim]
 *   weights  weight [count, dim], normal with mean 0 and deviation 1, as nn.Embedding
 *   errors   a label outside [0, count): CVN_ERROR_ARGUMENT from the call that runs the net */
CONVNET_API cvn_node cvn_embedding(cvn_net *net, cvn_node labels, int count, int dim);

/* cvn_parameter - a learned tensor that is the same for every sample: class tokens, queries, an
 * image that is optimised.
 *   dims     `count` axes, 1 to CVN_MAX_RANK - 1
 *   returns  [N, dims[0], ..., dims[count - 1]], the tensor once for each sample; its gradient is
 *            the sum over the samples
 *   weights  one of shape dims with the layer's name alone ("parameter1"); zero unless init says
 *            more; for init fan_in is the product of dims[1], ..., fan_out dims[0]*dims[2]*...
 * A net without any input runs the batch it was built for.
 * cvn_positional_encoding - x [N, T, C] plus fixed waves: for t from 0 and even c
 * sin(t/10000^(c/C)), and cos of the same at c + 1.
 *   source   A. Vaswani et al., arXiv:1706.03762, section 3.5
 * cvn_position_embedding - x [N, T, C] plus learned positions.
 *   weights  weight [T, C], normal with mean 0 and deviation 0.02
 *   errors   CVN_ERROR_SHAPE when x is no sequence, CVN_ERROR_ARGUMENT for an axis below 1 */
CONVNET_API cvn_node cvn_parameter(cvn_net *net, const int *dims, int count, cvn_init init);
CONVNET_API cvn_node cvn_positional_encoding(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_position_embedding(cvn_net *net, cvn_node x);

/* cvn_multihead_attention - nn.MultiheadAttention(batch_first=True): each query is answered by a
 * mean of the values, weighted by how well it fits their keys.
 *   query    [N, T, E]
 *   key      [N, S, E], value [N, S, E]; query, key and value may be one node (self-attention)
 *   returns  [N, T, E]: Q, K, V = query, key, value times their part of in_proj_weight, plus its
 *            bias, cut into `heads` parts of d = E/heads columns; softmax(Q K^T/sqrt(d)) V of each
 *            part; side by side times out_proj
 *   weights  in_proj_weight [3E, E] (for query, key, value), Xavier-uniform; in_proj_bias [3E],
 *            zero; out_proj.weight [E, E], uniform in +-1/sqrt(E); out_proj.bias [E], zero
 *   memory   for backward Q, K, V and what out_proj reads; the weights of the mean, [N, heads, T,
 *            S], are never stored
 *   errors   CVN_ERROR_SHAPE when the shapes do not fit, CVN_ERROR_ARGUMENT when heads do not
 *            divide E or for a dropout outside [0, 1); a length outside 1..S is
 *            CVN_ERROR_ARGUMENT from the call that runs the net
 *   source   A. Vaswani et al., arXiv:1706.03762, section 3.2
 * cvn_scaled_dot_product_attention - the same without in_proj and out_proj: Q, K, V are the nodes
 * themselves (F.scaled_dot_product_attention). desc NULL: one head. */
typedef struct cvn_attention_desc {
    int heads;                      /* 0: 1 */
    int causal;                     /* query t sees the keys 0 to t alone */
    float dropout;                  /* of the weights of the mean, in training; [0, 1) */
    int no_bias;                    /* without in_proj_bias and out_proj.bias */
    cvn_node lengths;               /* labels [N] (cvn_input_labels(net, NULL, 0)): the keys that
                                     * each sample has, 1..S, those behind are not seen, as
                                     * key_padding_mask; id 0: S for all. cvn_fit and the like
                                     * would fill it with the labels of the data: such a net is
                                     * trained with cvn_set_labels, cvn_forward, cvn_backward,
                                     * cvn_step */
    cvn_init weight_init;           /* of both weights; default: each as above */
} cvn_attention_desc;

CONVNET_API cvn_attention_desc cvn_attention_defaults(void);
CONVNET_API cvn_node cvn_multihead_attention(cvn_net *net, cvn_node query, cvn_node key,
                                             cvn_node value, int heads);
CONVNET_API cvn_node cvn_multihead_attention_ex(cvn_net *net, cvn_node query, cvn_node key,
                                                cvn_node value, const cvn_attention_desc *desc);
CONVNET_API cvn_node cvn_scaled_dot_product_attention(cvn_net *net, cvn_node query, cvn_node key,
                                                      cvn_node value,
                                                      const cvn_attention_desc *desc);

/* Transformer layers, made of the layers above; one call is one layer, a stack is a loop with a
 * cvn_scope each ("encoder.layers.0"), which gives the parts the names that PyTorch's have. Where
 * such a name is taken (two layers in one scope) a part keeps its automatic one.
 *   cvn_transformer_encoder   nn.TransformerEncoderLayer: x [N, T, E] -> [N, T, E];
 *                             x = norm1(x + self_attn(x)); x = norm2(x + linear2(act(linear1(x))))
 *   cvn_transformer_decoder   nn.TransformerDecoderLayer: x [N, T, E], memory [N, S, E] ->
 *                             [N, T, E]; x = norm1(x + self_attn(x)), causal;
 *                             x = norm2(x + multihead_attn(x, memory));
 *                             x = norm3(x + linear2(act(linear1(x))))
 *   norm_first                x = x + f(norm(x)) instead of norm(x + f(x)); PyTorch's stacks end
 *                             with one more norm then
 *   weights                   of all linear maps Xavier-uniform, as nn.Transformer has them
 *   errors                    those of the parts
 * cvn_patch_embedding - patches of an image as a sequence: x [N, C, H, W] -> [N, (H/patch)*
 * (W/patch), dim], a convolution (conv_proj, weight of deviation sqrt(1/fan_in)) with kernel and
 * stride `patch`, row by row.
 *   source   A. Vaswani et al., arXiv:1706.03762; R. Xiong et al., arXiv:2002.04745 (norm_first);
 *            A. Dosovitskiy et al., arXiv:2010.11929 (patches) */
typedef struct cvn_transformer_desc {
    int heads;                      /* 0: 1 */
    int feedforward;                /* units of linear1; 0: 4*E */
    float dropout;                  /* everywhere PyTorch has it, the attention weights too; its
                                     * default there is 0.1, here 0 */
    int norm_first;
    int gelu;                       /* act: gelu instead of relu */
    int causal;                     /* encoder; the decoder always is */
    cvn_node lengths;               /* labels [N]: positions of x that each sample has; 0: all */
    cvn_node memory_lengths;        /* decoder: the same of memory */
    float eps;                      /* of the norms; 0: 1e-5 */
} cvn_transformer_desc;

CONVNET_API cvn_transformer_desc cvn_transformer_defaults(void);
CONVNET_API cvn_node cvn_transformer_encoder(cvn_net *net, cvn_node x,
                                             const cvn_transformer_desc *desc);
CONVNET_API cvn_node cvn_transformer_decoder(cvn_net *net, cvn_node x, cvn_node memory,
                                             const cvn_transformer_desc *desc);
CONVNET_API cvn_node cvn_patch_embedding(cvn_net *net, cvn_node x, int patch, int dim);

/* cvn_rnn, cvn_lstm, cvn_gru - recurrent layers over a sequence, as torch.nn.RNN, LSTM and GRU with
 * batch_first = True define them. With s(v) = 1/(1 + exp(-v)), h' and c' of the step before, one
 * line of W and b for each gate:
 *   rnn      h = tanh(W_ih x + b_ih + W_hh h' + b_hh)
 *   lstm     i, f, o = s(W_ih x + b_ih + W_hh h' + b_hh), g the same with tanh;
 *            c = f c' + i g;  h = o tanh(c)
 *   gru      r, z = s(W_ih x + b_ih + W_hh h' + b_hh);
 *            n = tanh(W_in x + b_in + r (W_hn h' + b_hn));  h = (1 - z) n + z h'
 *   x        [N, T, C]
 *   returns  [N, T, hidden], the h of each step; bidirectional [N, T, 2*hidden], the reverse
 *            direction behind the other one; of several layers, the last one's
 *   weights  weight_ih_l0 [G*hidden, C], weight_hh_l0 [G*hidden, hidden], bias_ih_l0, bias_hh_l0
 *            [G*hidden]; then those of ..._l0_reverse, ..._l1, ..., where weight_ih is
 *            [G*hidden, directions*hidden]. G gates: rnn 1; lstm 4, in the order i, f, g, o;
 *            gru 3, in the order r, z, n. Uniform in +-1/sqrt(hidden).
 *   lengths  one label a sample, the steps of it that count, 1 to T: behind them y is 0 and the
 *            state stays, and the reverse direction begins at the last one that counts, as with
 *            pack_padded_sequence. (cvn_fit gives labels to every label input: train such nets with
 *            cvn_set_labels, cvn_forward, cvn_backward, cvn_step.)
 *   errors   CVN_ERROR_SHAPE for inputs that do not fit; CVN_ERROR_ARGUMENT for a value out of
 *            range, and for a length outside 1 to T from the call that runs the net
 *   source   S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997; K. Cho et al.,
 *            arXiv:1406.1078
 *
 * cvn_rnn_state - the final state of such a layer: which 0 its h, which 1 the c of an LSTM.
 *   returns  [N, layers*directions, hidden], for each layer its directions, PyTorch's h_n and c_n
 *            with the batch first. It has a gradient, and fits h0 and c0 of another layer: encoder
 *            and decoder. To go on step by step, build a net of T = 1 whose h0 and c0 are inputs,
 *            and feed it these outputs.
 * cvn_last_step - [N, T, C] -> [N, C], step T. Of a reverse direction that is the one that has seen
 * least, and behind a sample's length it is 0: there read cvn_rnn_state. */
typedef struct cvn_rnn_desc {
    int hidden;
    int layers;                     /* 0: 1 */
    int bidirectional;
    int no_bias;
    int relu;                       /* cvn_rnn alone: max(., 0) instead of tanh */
    float dropout;                  /* on the steps that a layer hands to the next, in training;
                                     * 0 <= dropout < 1 */
    cvn_node h0, c0;                /* initial states [N, layers*directions, hidden]; id 0: zeros;
                                     * c0: cvn_lstm alone */
    cvn_node lengths;               /* label input [N] (cvn_input_labels(net, NULL, 0)); id 0: T */
    cvn_init weight_init;           /* default uniform in +-1/sqrt(hidden) */
    cvn_init bias_init;             /* the same */
} cvn_rnn_desc;

CONVNET_API cvn_rnn_desc cvn_rnn_defaults(void);
CONVNET_API cvn_node cvn_rnn(cvn_net *net, cvn_node x, int hidden);
CONVNET_API cvn_node cvn_rnn_ex(cvn_net *net, cvn_node x, const cvn_rnn_desc *desc);
CONVNET_API cvn_node cvn_lstm(cvn_net *net, cvn_node x, int hidden);
CONVNET_API cvn_node cvn_lstm_ex(cvn_net *net, cvn_node x, const cvn_rnn_desc *desc);
CONVNET_API cvn_node cvn_gru(cvn_net *net, cvn_node x, int hidden);
CONVNET_API cvn_node cvn_gru_ex(cvn_net *net, cvn_node x, const cvn_rnn_desc *desc);
CONVNET_API cvn_node cvn_rnn_state(cvn_net *net, cvn_node rnn_node, int which);
CONVNET_API cvn_node cvn_last_step(cvn_net *net, cvn_node x);

/* cvn_concat - two nodes along the channels (axis 1); cvn_concat_n - any number along an axis from
 * 1 on. */
CONVNET_API cvn_node cvn_concat(cvn_net *net, cvn_node a, cvn_node b);
CONVNET_API cvn_node cvn_concat_n(cvn_net *net, const cvn_node *nodes, int count, int axis);

/* Images of another size, [N, C, H, W] -> [N, C, OH, OW].
 *   cvn_upsample_nearest    each pixel factor x factor times; _to: any size, also smaller, as
 *                           F.interpolate: output line h reads line floor(h * H/OH)
 *   cvn_upsample_bilinear   between the four nearest pixels; align_corners: the centres of the
 *                           corner pixels stay where they are, else the corners of the image do
 *   cvn_pixel_shuffle       [N, C*factor^2, H, W] -> [N, C, H*factor, W*factor]
 *   cvn_pad                 a border of zeros, of the mirrored image (pad < size) or of its
 *                           outermost pixels
 *   cvn_crop                height x width pixels from (top, left) on */
CONVNET_API cvn_node cvn_upsample_nearest(cvn_net *net, cvn_node x, int factor);
CONVNET_API cvn_node cvn_upsample_nearest_to(cvn_net *net, cvn_node x, int height, int width);
CONVNET_API cvn_node cvn_upsample_bilinear(cvn_net *net, cvn_node x, int factor,
                                           int align_corners);
CONVNET_API cvn_node cvn_upsample_bilinear_to(cvn_net *net, cvn_node x, int height, int width,
                                              int align_corners);
CONVNET_API cvn_node cvn_pixel_shuffle(cvn_net *net, cvn_node x, int factor);
CONVNET_API cvn_node cvn_pad(cvn_net *net, cvn_node x, int top, int left, int bottom, int right,
                             cvn_pad_mode mode);
CONVNET_API cvn_node cvn_crop(cvn_net *net, cvn_node x, int top, int left, int height, int width);

/* Activations, elementwise.
 *   relu         max(x, 0)
 *   leaky_relu   x for x > 0, else slope*x
 *   elu          x for x > 0, else alpha*(exp(x) - 1)   D.-A. Clevert et al., arXiv:1511.07289
 *   sigmoid      1/(1 + exp(-x))
 *   tanh
 *   softmax      exp(x - max)/sum over the classes: axis 1; for sequences [N, T, C] the last axis;
 *                softmax_axis: any */
CONVNET_API cvn_node cvn_relu(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_leaky_relu(cvn_net *net, cvn_node x, float slope);
CONVNET_API cvn_node cvn_elu(cvn_net *net, cvn_node x, float alpha);
CONVNET_API cvn_node cvn_sigmoid(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_tanh(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_softmax(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_softmax_axis(cvn_net *net, cvn_node x, int axis);

/* Further activations, elementwise; s(x) = 1/(1 + exp(-x)).
 *   relu6         min(max(x, 0), 6)
 *   prelu         x for x > 0, else w*x: one w for all (`parameters` 0 or 1), or one for each
 *                 channel of axis 1 (`parameters` C); weight [parameters], 0.25
 *                                                                K. He et al., arXiv:1502.01852
 *   selu          1.0507 (x for x > 0, else 1.6733 (exp(x) - 1))
 *                                                          G. Klambauer et al., arXiv:1706.02515
 *   celu          x for x > 0, else alpha*(exp(x/alpha) - 1), alpha > 0
 *                                                                 J. T. Barron, arXiv:1704.07483
 *   gelu          x P(x), P the normal distribution: x/2 (1 + erf(x/sqrt(2)))
 *   gelu_tanh     x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), its usual approximation
 *                                                 D. Hendrycks, K. Gimpel, arXiv:1606.08415
 *   silu          x s(x), also called swish                P. Ramachandran et al., arXiv:1710.05941
 *   mish          x tanh(log(1 + exp(x)))                           D. Misra, arXiv:1908.08681
 *   hardswish     x min(max(x + 3, 0), 6)/6                   A. Howard et al., arXiv:1905.02244
 *   hardsigmoid   min(max(x + 3, 0), 6)/6
 *   softplus      log(1 + exp(beta*x))/beta, x itself where beta*x > threshold;
 *                 beta 0: 1, threshold 0: 20
 *   softsign      x/(1 + |x|)
 *   binary_step   1 for x >= 0, else 0. Its derivative is 0; backward passes dy straight through
 *                 where |x| <= 1, and 0 elsewhere: Y. Bengio et al., arXiv:1308.3432 (straight
 *                 through), with the window of I. Hubara et al., arXiv:1602.02830, section 1.3
 *   log_softmax   x - max - log(sum of exp(x - max)); axes as softmax and softmax_axis */
CONVNET_API cvn_node cvn_relu6(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_prelu(cvn_net *net, cvn_node x, int parameters);
CONVNET_API cvn_node cvn_selu(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_celu(cvn_net *net, cvn_node x, float alpha);
CONVNET_API cvn_node cvn_gelu(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_gelu_tanh(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_silu(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_mish(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_hardswish(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_hardsigmoid(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_softplus(cvn_net *net, cvn_node x, float beta, float threshold);
CONVNET_API cvn_node cvn_softsign(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_binary_step(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_log_softmax(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_log_softmax_axis(cvn_net *net, cvn_node x, int axis);

/* Activations of several slices.
 *   cvn_glu      the first half of an axis times s of the second: x [N, 2C, ...] -> [N, C, ...].
 *                axis 0: the channels, axis 1, but the last axis of a sequence [N, T, 2C]; else
 *                from 1 on, as PyTorch's GLU(dim)
 *   cvn_maxout   the largest of each group of k neighbouring channels:
 *                [N, C, ...] -> [N, C/k, ...], y[c] = max of x[c*k], ..., x[c*k + k - 1]; the first
 *                of equals has the gradient; NaN wins
 *   errors   CVN_ERROR_SHAPE when the axis is odd, or k does not divide C
 *   source   Y. N. Dauphin et al., arXiv:1612.08083; I. Goodfellow et al., arXiv:1302.4389 */
CONVNET_API cvn_node cvn_glu(cvn_net *net, cvn_node x, int axis);
CONVNET_API cvn_node cvn_maxout(cvn_net *net, cvn_node x, int k);

/* cvn_activation - an elementwise function of your own.
 *   forward    writes y[i] = f(x[i]) for i from 0 to n - 1
 *   backward   writes dx[i] = dy[i]*f'(x[i]); y[i] is f(x[i]) (the gradients of other readers of x
 *              are added behind it)
 *   The arrays of one call do not overlap. A tensor comes in pieces of any n, in any order, from
 *   several threads at once: what is written for an element must depend on that element and on
 *   what `user` points to alone. That must not change during a pass, and must live as long as the
 *   net (and the nets that share with it); the library never reads it, and files hold nothing of
 *   it.
 *   errors     CVN_ERROR_ARGUMENT when one of the two functions is NULL */
typedef void (*cvn_activation_forward)(void *user, int n, const float *x, float *y);
typedef void (*cvn_activation_backward)(void *user, int n, const float *x, const float *y,
                                        const float *dy, float *dx);
CONVNET_API cvn_node cvn_activation(cvn_net *net, cvn_node x, cvn_activation_forward forward,
                                    cvn_activation_backward backward, void *user);

/* Blocks: several of the layers above in one call. Each names its layers inside the current scope
 * as torchvision's modules are named (cvn_scope(net, "layer1.0") and a residual block give
 * "layer1.0.conv1.weight", ..., "layer1.0.downsample.0.weight"), so that weights cross by name; a
 * name that is taken already leaves its layer with the automatic one. Convolutions behind which a
 * batch norm stands have no bias. An activation of 0 is the block's own. */
typedef enum cvn_activation_kind {
    CVN_ACT_DEFAULT = 0,
    CVN_ACT_RELU,
    CVN_ACT_RELU6,
    CVN_ACT_SILU,
    CVN_ACT_HARDSWISH,
    CVN_ACT_GELU,
    CVN_ACT_SIGMOID,
    CVN_ACT_HARDSIGMOID
} cvn_activation_kind;

/* cvn_residual_basic, cvn_residual_bottleneck - y = relu(f(x) + x), f convolutions with batch norm:
 *   basic        3x3, relu, 3x3: [N, C, H, W] -> [N, channels, OH, OW]
 *   bottleneck   1x1, relu, 3x3, relu, 1x1: [N, C, H, W] -> [N, 4*channels, OH, OW]
 *                OH = (H - 1)/stride + 1, rounded down; the stride is that of the first 3x3 one
 *                (torchvision's, "v1.5"). Where the shape changes, a 1x1 convolution with batch
 *                norm takes the place of x in the sum (option B of the paper).
 *   names        conv1, bn1, conv2, bn2, conv3, bn3, downsample.0, downsample.1
 * cvn_residual_ex - the same with what came later:
 *   preactivation   f is batch norm, relu, convolution, twice or three times; y = f(x) + x, and a
 *                   shortcut that changes the shape is a 1x1 convolution of the first relu
 *   squeeze         f ends with cvn_squeeze_excite: names se.fc1, se.fc2
 *   groups          of the bottleneck's 3x3 convolution; ResNeXt-50 32x4d begins with channels 128,
 *                   out_channels 256, groups 32
 *   errors   CVN_ERROR_ARGUMENT for a value out of range, groups that do not divide channels or
 *            belong to no bottleneck; CVN_ERROR_SHAPE when x is no image
 *   source   K. He et al., arXiv:1512.03385 and arXiv:1603.05027; S. Xie et al., arXiv:1611.05431;
 *            J. Hu et al., arXiv:1709.01507 */
typedef struct cvn_residual_desc {
    int channels;                   /* inside the block */
    int out_channels;               /* 0: channels, with bottleneck 4*channels */
    int stride;                     /* 0: 1 */
    int dilation;                   /* of the 3x3 convolutions; 0: 1 */
    int groups;                     /* 0: 1 */
    int bottleneck;
    int preactivation;
    int squeeze;                    /* channels between the two layers of squeeze and excitation;
                                     * 0: without */
    float drop_path;                /* of f(x), in training: cvn_drop_path; [0, 1) */
    cvn_batchnorm_desc norm;
} cvn_residual_desc;

CONVNET_API cvn_residual_desc cvn_residual_defaults(void);
CONVNET_API cvn_node cvn_residual_basic(cvn_net *net, cvn_node x, int channels, int stride);
CONVNET_API cvn_node cvn_residual_bottleneck(cvn_net *net, cvn_node x, int channels, int stride);
CONVNET_API cvn_node cvn_residual_ex(cvn_net *net, cvn_node x, const cvn_residual_desc *desc);

/* cvn_squeeze_excite - x times a factor for each channel, which two 1x1 convolutions make of the
 * channels' means: x * gate(fc2(act(fc1(mean of x)))), fc1 to `reduced` channels and fc2 back, both
 * with bias; act relu and gate sigmoid, or others with _ex (0: those).
 *   x        [N, C, H, W], returned in that shape
 *   names    fc1, fc2
 *   source   J. Hu et al., arXiv:1709.01507 */
CONVNET_API cvn_node cvn_squeeze_excite(cvn_net *net, cvn_node x, int reduced);
CONVNET_API cvn_node cvn_squeeze_excite_ex(cvn_net *net, cvn_node x, int reduced,
                                           cvn_activation_kind act, cvn_activation_kind gate);

/* cvn_inception - four branches side by side, their channels one behind the other:
 *   1x1 | 1x1, 3x3 | 1x1, 5x5 | max pool 3x3, 1x1       every convolution followed by relu
 *   x        [N, C, H, W] -> [N, widths[0] + widths[2] + widths[4] + widths[5], H, W]
 *   widths   filters of the 1x1; of the 1x1 and the 3x3; of the 1x1 and the 5x5; of the 1x1 behind
 *            the pool
 *   names    branch1.conv, branch2.0.conv, branch2.1.conv, branch3.0.conv, branch3.1.conv,
 *            branch4.1.conv; norms .bn in place of .conv
 * cvn_inception_ex - with batch norm between convolution and relu, and with another third branch:
 * torchvision's GoogLeNet has batchnorm 1 and kernel 3.
 *   source   C. Szegedy et al., arXiv:1409.4842 */
typedef struct cvn_inception_desc {
    int widths[6];
    int kernel;                     /* of the third branch, odd; 0: 5 */
    int batchnorm;
    cvn_batchnorm_desc norm;        /* eps 0: 1e-3 */
} cvn_inception_desc;

CONVNET_API cvn_inception_desc cvn_inception_defaults(void);
CONVNET_API cvn_node cvn_inception(cvn_net *net, cvn_node x, const int widths[6]);
CONVNET_API cvn_node cvn_inception_ex(cvn_net *net, cvn_node x, const cvn_inception_desc *desc);

/* cvn_fire - SqueezeNet's: a 1x1 convolution to `squeeze` channels, then a 1x1 and a 3x3 one side
 * by side, each followed by relu: [N, C, H, W] -> [N, expand1 + expand3, H, W].
 *   names    squeeze, expand1x1, expand3x3
 *   source   F. Iandola et al., arXiv:1602.07360 */
CONVNET_API cvn_node cvn_fire(cvn_net *net, cvn_node x, int squeeze, int expand1, int expand3);

/* cvn_inverted_residual - a 1x1 convolution to `expanded` channels (left out when C is that
 * already), a depthwise one, squeeze and excitation where asked for, a 1x1 convolution to `filters`
 * without activation; batch norm behind each of the three. x is added when the shape is the same.
 *   x        [N, C, H, W] -> [N, filters, OH, OW]    OH = (H - 1)/stride + 1, rounded down
 *   MobileNetV2     activation relu6, v2_names
 *   MobileNetV3     activation relu or hardswish, squeeze expanded/4 (to a multiple of 8) with gate
 *                   hardsigmoid, norm.eps 1e-3, norm.momentum 0.01
 *   EfficientNet    activation silu, squeeze C/4 with squeeze_activation silu
 *   names    block.0.0, block.0.1 (convolution, norm), block.1.0, ..., block.2.fc1, block.2.fc2,
 *            block.3.0, block.3.1, counted without what is left out; with v2_names conv.0.0,
 *            conv.0.1, conv.1.0, conv.1.1, conv.2, conv.3
 *   source   M. Sandler et al., arXiv:1801.04381; A. Howard et al., arXiv:1905.02244; M. Tan,
 *            Q. Le, arXiv:1905.11946 */
typedef struct cvn_inverted_residual_desc {
    int kernel;                     /* of the depthwise convolution, odd; 0: 3 */
    int expanded;                   /* 0: C, which means no first convolution */
    int filters;
    int stride;                     /* 0: 1 */
    int squeeze;                    /* channels inside squeeze and excitation; 0: without */
    cvn_activation_kind activation;             /* 0: relu6 */
    cvn_activation_kind squeeze_activation;     /* 0: relu */
    cvn_activation_kind gate;                   /* 0: sigmoid */
    float drop_path;                /* where x is added: of what it is added to, in training */
    cvn_batchnorm_desc norm;
    int v2_names;                   /* names as in torchvision's MobileNetV2 */
} cvn_inverted_residual_desc;

CONVNET_API cvn_inverted_residual_desc cvn_inverted_residual_defaults(void);
CONVNET_API cvn_node cvn_inverted_residual(cvn_net *net, cvn_node x,
                                           const cvn_inverted_residual_desc *desc);

/* Losses: scalar nodes, means over the batch, minimised by cvn_fit; several add up.
 *
 * cvn_set_sample_weights gives each sample of a batch a weight w in all losses: what the sample
 * adds to the sum counts w times, what the sum is divided by stays as it is without weights; with
 * PyTorch: (w*loss(..., reduction='none')).mean(). Penalties on weights know no samples.
 *
 * cvn_softmax_loss - softmax and cross-entropy in one.
 *   logits   [N, C], [N, C, H, W] (a class a pixel) or [N, T, C]
 *   labels   int [N], [N, H, W], [N, T]: an input made by the call unless desc.labels names one
 *   value    with weights w and smoothing e: sum_i w[t_i] l_i / sum_i w[t_i] over the labels not
 *            ignored, l = -(1-e) log p[t] - e/C sum_c w_c log p[c] (the second part under the same
 *            divisor), as PyTorch's CrossEntropyLoss
 *   errors   a label outside [0, C) that is not ignore_index: CVN_ERROR_ARGUMENT from the call that
 *            runs the net */
typedef struct cvn_softmax_loss_desc {
    cvn_node labels;                /* 0: an own input */
    float weight;                   /* of this loss in the sum; 0: 1 */
    float label_smoothing;          /* [0, 1) */
    const float *class_weights;     /* [C], copied; NULL: all 1 */
    int ignore_index;               /* such labels do not count; 0: -100 (to ignore class 0 give it
                                     * weight 0) */
} cvn_softmax_loss_desc;

CONVNET_API cvn_softmax_loss_desc cvn_softmax_loss_defaults(void);
CONVNET_API cvn_node cvn_softmax_loss(cvn_net *net, cvn_node logits);
CONVNET_API cvn_node cvn_softmax_loss_ex(cvn_net *net, cvn_node logits,
                                         const cvn_softmax_loss_desc *desc);

/* cvn_mse_loss - mean of (prediction - target)^2 over all elements.
 * cvn_bce_with_logits_loss - mean of max(x, 0) - x*t + log(1 + exp(-|x|)), t in [0, 1]: binary
 * cross-entropy of sigmoid(x). `target` is a node of the same shape: cvn_target(net, x), or any
 * other node of the net (an autoencoder's own input); it receives a gradient too where it has
 * one. */
CONVNET_API cvn_node cvn_mse_loss(cvn_net *net, cvn_node prediction, cvn_node target);
CONVNET_API cvn_node cvn_bce_with_logits_loss(cvn_net *net, cvn_node logits, cvn_node target);

/* cvn_mean_loss - the mean of all elements of x: minimises any tensor.
 * cvn_total_variation_loss - of images [N, C, H, W]: sum |x[i, j + 1] - x[i, j]| +
 * |x[i + 1, j] - x[i, j]| over all channels, the mean over the batch.
 *   source   L. Rudin et al., Physica D 60, 1992 (its anisotropic form) */
CONVNET_API cvn_node cvn_mean_loss(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_total_variation_loss(cvn_net *net, cvn_node x);

/* More losses between a prediction x and a target t of the same shape; both receive gradients.
 * Means over all elements unless said otherwise; d = x - t.
 *   mae         |d|                                        (nn.L1Loss)
 *   huber       d^2/2 where |d| <= delta, else delta*(|d| - delta/2)     (nn.HuberLoss)
 *   smooth_l1   d^2/(2*beta) where |d| <= beta, else |d| - beta/2        (nn.SmoothL1Loss)
 *   msle        (log(1 + x) - log(1 + t))^2, x and t above -1
 *   hinge       max(0, 1 - t*x), t = -1 or 1
 *   kl_div      t*(log t - x), x log-probabilities, t probabilities, 0 where t = 0; the sum over
 *               the sample, the mean over the samples: nn.KLDivLoss("batchmean")
 *   focal_with_logits   a*(1 - p)^gamma * bce, p the probability that sigmoid(x) gives to the
 *               target, bce as in bce_with_logits, a = alpha*t + (1 - alpha)*(1 - t), or 1 when
 *               alpha < 0; the paper has gamma 2, alpha 0.25
 *                                                        T.-Y. Lin et al., arXiv:1708.02002
 *   dice        1 - (2*sum(x*t) + smooth)/(sum(x^2) + sum(t^2) + smooth), sums over a sample, mean
 *               over the samples; x are probabilities, as sigmoid gives them; smooth 0 is the form
 *               with squares of F. Milletari et al., arXiv:1606.04797, and 0 where both are empty
 * delta, beta > 0 and gamma, smooth >= 0, else CVN_ERROR_ARGUMENT. */
CONVNET_API cvn_node cvn_mae_loss(cvn_net *net, cvn_node prediction, cvn_node target);
CONVNET_API cvn_node cvn_huber_loss(cvn_net *net, cvn_node prediction, cvn_node target,
                                    float delta);
CONVNET_API cvn_node cvn_smooth_l1_loss(cvn_net *net, cvn_node prediction, cvn_node target,
                                        float beta);
CONVNET_API cvn_node cvn_msle_loss(cvn_net *net, cvn_node prediction, cvn_node target);
CONVNET_API cvn_node cvn_hinge_loss(cvn_net *net, cvn_node prediction, cvn_node target);
CONVNET_API cvn_node cvn_kl_div_loss(cvn_net *net, cvn_node log_probabilities, cvn_node target);
CONVNET_API cvn_node cvn_focal_with_logits_loss(cvn_net *net, cvn_node logits, cvn_node target,
                                                float gamma, float alpha);
CONVNET_API cvn_node cvn_dice_loss(cvn_net *net, cvn_node probabilities, cvn_node target,
                                   float smooth);

/* Losses with labels other than cvn_softmax_loss; shapes as there, the label -100 does not count,
 * means over the labels that do.
 *   nll            -x[t], x log-probabilities                             (nn.NLLLoss)
 *   nll_ex         with class weights w: sum_i w[t_i] l_i / sum_i w[t_i]
 *   multi_margin   1/C sum over c != t of max(0, 1 - x[t] + x[c]), the multi-class SVM
 *                  (nn.MultiMarginLoss)                     J. Weston, C. Watkins, ESANN 1999
 * labels: a label input, or (cvn_node){ 0 }: an own one. */
typedef struct cvn_nll_loss_desc {
    cvn_node labels;                /* 0: an own input */
    float weight;                   /* of this loss in the sum; 0: 1 */
    const float *class_weights;     /* [C], copied; NULL: all 1 */
    int ignore_index;               /* such labels do not count; 0: -100 */
} cvn_nll_loss_desc;

CONVNET_API cvn_nll_loss_desc cvn_nll_loss_defaults(void);
CONVNET_API cvn_node cvn_nll_loss(cvn_net *net, cvn_node log_probabilities, cvn_node labels);
CONVNET_API cvn_node cvn_nll_loss_ex(cvn_net *net, cvn_node log_probabilities,
                                     const cvn_nll_loss_desc *desc);
CONVNET_API cvn_node cvn_multi_margin_loss(cvn_net *net, cvn_node scores, cvn_node labels);

/* cvn_soft_cross_entropy_loss - cross-entropy with a distribution as target (mixed or distilled
 * labels): -sum_c t[c] log softmax(x)[c], the mean over all positions (a sample, a pixel, a step).
 * Both have the shape of cvn_softmax_loss's logits and receive gradients: PyTorch's
 * CrossEntropyLoss with probabilities as target. */
CONVNET_API cvn_node cvn_soft_cross_entropy_loss(cvn_net *net, cvn_node logits, cvn_node target);

/* Boxes [N, ..., 4] as x1, y1, x2, y2 with x1 < x2, y1 < y2; the mean over all boxes. I the area of
 * the intersection, U of the union, C of the smallest box around both; e = 1e-7.
 *   iou    1 - I/(U + e)                          no gradient where the boxes do not meet
 *   giou   1 - I/(U + e) + (C - U)/(C + e)        torchvision.ops.generalized_box_iou_loss
 *                                                 H. Rezatofighi et al., arXiv:1902.09630
 * Prediction and target receive gradients. */
CONVNET_API cvn_node cvn_iou_loss(cvn_net *net, cvn_node prediction, cvn_node target);
CONVNET_API cvn_node cvn_giou_loss(cvn_net *net, cvn_node prediction, cvn_node target);

/* Losses of embeddings [N, C]; all of them receive gradients; the mean over the samples.
 *   triplet      max(0, margin + |a - p + e| - |a - n + e|), e = 1e-6, Euclidean norms
 *                (nn.TripletMarginLoss)   V. Balntas et al., BMVC 2016; F. Schroff et al.,
 *                arXiv:1503.03832
 *   contrastive  1/2 (s d^2 + (1 - s) max(0, margin - d)^2), d = |a - b|, s = `same`, [N] or
 *                [N, 1], 1 for two of a kind and 0 else  R. Hadsell et al., CVPR 2006, equation 4
 * errors   CVN_ERROR_ARGUMENT for a margin that is not above 0 */
CONVNET_API cvn_node cvn_triplet_loss(cvn_net *net, cvn_node anchor, cvn_node positive,
                                      cvn_node negative, float margin);
CONVNET_API cvn_node cvn_contrastive_loss(cvn_net *net, cvn_node a, cvn_node b, cvn_node same,
                                          float margin);

/* cvn_vae_kl_loss - divergence of the normal distributions N(m, e^v) from N(0, 1), the sum over a
 * sample, the mean over the samples: -1/2 sum(1 + v - m^2 - e^v).
 *   mean, log_variance   [N, ...], of one shape
 *   source   D. Kingma, M. Welling, arXiv:1312.6114, appendix B */
CONVNET_API cvn_node cvn_vae_kl_loss(cvn_net *net, cvn_node mean, cvn_node log_variance);

/* cvn_ctc_loss - a sequence of labels without their places in time: -log of the sum over all paths
 * that become the labels when repeats and then blanks are left out; the mean over the samples of
 * that divided by the number of labels (at least 1), as nn.CTCLoss.
 *   log_probabilities   [N, T, C], from cvn_log_softmax
 *   labels   int [N, S]: a label input, or (cvn_node){ 0 }: an own one, S = desc.max_labels.
 *            With inputs of lengths set all of them by cvn_set_labels: cvn_train_batch and cvn_fit
 *            give every label input the same labels
 *   gradient   exp(log p) - posterior, which holds behind a log softmax alone, as PyTorch's; where
 *            no path fits into the T steps the loss is Inf and the gradient NaN, or 0 both with
 *            zero_infinity
 *   errors   from the call that runs the net, CVN_ERROR_ARGUMENT: a label that is blank or not in
 *            [0, C), lengths outside [0, T], [0, S]
 *   source   A. Graves et al., ICML 2006, section 4
 * cvn_ctc_decode - the best path of one sample [T, C]: the largest of each step, repeats and blanks
 * left out. labels has room for T. Returns how many there are, or CVN_ERROR_ARGUMENT. */
typedef struct cvn_ctc_desc {
    int blank;                      /* class that stands for no label */
    int max_labels;                 /* S of an own label input */
    cvn_node input_lengths;         /* label input [N], steps that count; id 0: T */
    cvn_node label_lengths;         /* label input [N]; id 0: the labels before the first negative
                                     * one */
    int zero_infinity;
} cvn_ctc_desc;

CONVNET_API cvn_ctc_desc cvn_ctc_defaults(void);
CONVNET_API cvn_node cvn_ctc_loss(cvn_net *net, cvn_node log_probabilities, cvn_node labels,
                                  const cvn_ctc_desc *desc);
CONVNET_API int cvn_ctc_decode(const float *log_probabilities, int T, int C, int blank,
                               int *labels);

/* Penalties on the weight W of a layer (its first parameter, not the bias), part of cvn_loss;
 * another factor later: cvn_add_loss. They follow the layer when it is tied; a frozen layer has no
 * gradient of them.
 *   l1              factor * sum |w|, gradient 0 at 0
 *   l2              factor * sum w^2 (weight_decay of SGD is 2*factor)
 *   orthogonality   factor * sum (W W^T - I)^2, W as the matrix [out, all other axes]
 *                                                           A. Brock et al., arXiv:1609.07093
 * errors   CVN_ERROR_ARGUMENT for a layer without a weight or a factor that is not finite */
CONVNET_API cvn_node cvn_l1_penalty(cvn_net *net, cvn_node node, float factor);
CONVNET_API cvn_node cvn_l2_penalty(cvn_net *net, cvn_node node, float factor);
CONVNET_API cvn_node cvn_orthogonality_penalty(cvn_net *net, cvn_node node, float factor);

/* cvn_features - what another net makes of x: the value of `node` there, in prediction mode.
 * Gradients go through it to x, never to the other net's parameters.
 *   x        of the shape of the other net's first input
 *   other    built with cvn_build for at least this batch, before this call; its first input and
 *            `node` marked with cvn_want_grad, `node` with cvn_output (nothing behind it is
 *            computed then) or cvn_keep. It must outlive this net, belongs to it while a pass runs,
 *            and may serve several such layers.
 *   errors   what is missing, when the layer is added and when the net is built
 * cvn_perceptual_loss - mean squared error between the features of x and of a target
 *                                                         J. Johnson et al., arXiv:1603.08155 */
CONVNET_API cvn_node cvn_features(cvn_net *net, cvn_node x, cvn_net *other, cvn_node node);
CONVNET_API cvn_node cvn_perceptual_loss(cvn_net *net, cvn_node x, cvn_node target,
                                         cvn_net *other, cvn_node node);

/* ================================================================================================
 * >>train-api   optimizers, schedules, one step, a whole training
 * ============================================================================================== */

/* Optimizers, as PyTorch defines them (g gradient, w parameter, v, m state, t the step from 1):
 *   SGD      g += weight_decay*w; v = momentum*v + (1 - dampening)*g (v = g at t = 1);
 *            w -= lr*v, with Nesterov w -= lr*(g + momentum*v). dampening = momentum is the other
 *            form of momentum, a running mean of gradients.
 *   ADAM     g += weight_decay*w; m = b1*m + (1-b1)*g; v = b2*v + (1-b2)*g^2;
 *            w -= lr * m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps)   D. Kingma, J. Ba, arXiv:1412.6980
 *            amsgrad (ADAM, ADAMW): the largest v so far in place of v  S. Reddi et al.,
 *                                                                       arXiv:1904.09237
 *   ADAMW    w -= lr*weight_decay*w, then Adam without decay
 *                                                        I. Loshchilov, F. Hutter, arXiv:1711.05101
 *   ADAGRAD  g += weight_decay*w; v += g^2; w -= lr*g/(sqrt(v) + eps)
 *                                                        J. Duchi et al., JMLR 12, 2011
 *   ADADELTA g += weight_decay*w; v = b2*v + (1-b2)*g^2; d = g*sqrt(m + eps)/sqrt(v + eps);
 *            m = b2*m + (1-b2)*d^2; w -= lr*d            M. Zeiler, arXiv:1212.5701
 *   RMSPROP  g += weight_decay*w; v = b2*v + (1-b2)*g^2; d = g/(sqrt(v) + eps), centred
 *            g/(sqrt(v - mean^2) + eps) with mean = b2*mean + (1-b2)*g; w -= lr*d, with momentum
 *            m = momentum*m + d; w -= lr*m               G. Hinton, lecture 6e of Coursera, 2012;
 *                                                        centred: A. Graves, arXiv:1308.0850
 *   ADAMAX   g += weight_decay*w; m as Adam; v = max(b2*v, |g| + eps); w -= lr*m/(1-b1^t)/v
 *                                                        D. Kingma, J. Ba, arXiv:1412.6980
 *   NADAM    Adam with Nesterov's look ahead: w -= lr*((1-u[t])*g/(1-U[t]) +
 *            u[t+1]*m/(1-U[t+1])) / (sqrt(v/(1-b2^t)) + eps), u[t] = b1*(1 - 0.96^(t*d)/2), U[t]
 *            the product of u[1..t], d = momentum_decay  T. Dozat, ICLR workshop 2016
 *   LAMB     d = m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps) + weight_decay*w with Adam's m and v;
 *            w -= lr*d*|w|/|d|, Euclidean norms over each parameter; a factor of 1 where one of
 *            them is 0                                   Y. You et al., arXiv:1904.00962
 *   LION     w -= lr*(sign(b1*m + (1-b1)*g) + weight_decay*w); m = b2*m + (1-b2)*g
 *                                                        X. Chen et al., arXiv:2302.06675
 * Clipping comes first: clip_value limits each element of g to [-c, c], then clip_norm scales all
 * of g to a Euclidean norm of at most c. 0: off. */
typedef enum cvn_optimizer_kind {
    CVN_ADAM = 0,
    CVN_ADAMW,
    CVN_SGD,
    CVN_ADAGRAD,
    CVN_ADADELTA,
    CVN_RMSPROP,
    CVN_ADAMAX,
    CVN_NADAM,
    CVN_LAMB,
    CVN_LION
} cvn_optimizer_kind;

typedef struct cvn_optimizer {
    cvn_optimizer_kind kind;
    float lr;                       /* 0: 1e-3 (Adam, AdamW, LAMB), 1e-2 (SGD, AdaGrad, RMSProp),
                                     * 2e-3 (AdaMax, NAdam), 1 (AdaDelta), 1e-4 (Lion) */
    float momentum;                 /* SGD, RMSProp */
    int nesterov;                   /* SGD; not with dampening */
    float beta1;                    /* 0: 0.9 */
    float beta2;                    /* 0: 0.999; 0.99 (RMSProp, where it is called alpha, and
                                     * Lion), 0.9 (AdaDelta, where it is called rho) */
    float eps;                      /* 0: 1e-8; 1e-10 (AdaGrad), 1e-6 (AdaDelta, LAMB) */
    float weight_decay;             /* L2 in the gradient; decoupled (AdamW, LAMB, Lion) */
    int decay_weights_only;         /* no decay on biases and on batch norm's weight */
    float clip_value;
    float clip_norm;
    float dampening;                /* SGD with momentum, [0, 1] */
    int amsgrad;                    /* Adam, AdamW */
    int centered;                   /* RMSProp */
    float momentum_decay;           /* NAdam; 0: 4e-3 */
} cvn_optimizer;

CONVNET_API cvn_optimizer cvn_sgd(float lr, float momentum);
CONVNET_API cvn_optimizer cvn_nesterov(float lr, float momentum);
CONVNET_API cvn_optimizer cvn_adam(float lr);
CONVNET_API cvn_optimizer cvn_adamw(float lr, float weight_decay);
CONVNET_API cvn_optimizer cvn_adagrad(float lr);
CONVNET_API cvn_optimizer cvn_adadelta(float lr);
CONVNET_API cvn_optimizer cvn_rmsprop(float lr);
CONVNET_API cvn_optimizer cvn_adamax(float lr);
CONVNET_API cvn_optimizer cvn_nadam(float lr);
CONVNET_API cvn_optimizer cvn_lamb(float lr, float weight_decay);
CONVNET_API cvn_optimizer cvn_lion(float lr, float weight_decay);

/* Learning-rate schedules. t = epochs done, a fraction inside an epoch; T = epochs of the whole
 * run; lr the optimizer's.
 *   CONSTANT     lr
 *   STEP         lr * gamma^floor(t/step)
 *   EXPONENTIAL  lr * gamma^floor(t)
 *   COSINE       min_lr + (lr - min_lr)*(1 + cos(pi*t/T))/2              arXiv:1608.03983
 *   ONE_CYCLE    from lr/div to lr in the first `rise` of the run, then down to lr/div/final_div,
 *                both
 *                by a cosine, as PyTorch's OneCycleLR with max_lr = lr   L. Smith, arXiv:1708.07120
 *   MULTI_STEP   lr * gamma^(milestones passed)
 *   POLYNOMIAL   min_lr + (lr - min_lr)*(1 - t/T)^power
 *   INVERSE      lr * sqrt(w/max(s + 1, w)), s batches done, w the warmup steps, at least 1: the
 *                Transformer's                           A. Vaswani et al., arXiv:1706.03762
 *   RESTARTS     COSINE again and again: the first period has `step` epochs, each next one
 *                `growth` times as many                                    arXiv:1608.03983
 *   CYCLIC       from min_lr up to lr in `step` epochs and down again, linearly, for ever
 *                                                                 L. Smith, arXiv:1506.01186
 *   PLATEAU      cvn_fit alone: times gamma, but not below min_lr, when more than `wait` epochs in
 *                a row have not made the validation loss (without validation the training loss)
 *                less than 0.9999 of the best, as PyTorch's ReduceLROnPlateau; cvn_schedule_lr
 *                alone gives lr
 * The rate changes with every batch; STEP, MULTI_STEP, EXPONENTIAL, PLATEAU: with every epoch.
 * warmup epochs at the start
 * raise any of them linearly: the rate is multiplied by (s + 1)/(warmup steps) while s < warmup
 * steps, s counting batches from 0. */
typedef enum cvn_schedule_kind {
    CVN_SCHEDULE_CONSTANT = 0,
    CVN_SCHEDULE_STEP,
    CVN_SCHEDULE_EXPONENTIAL,
    CVN_SCHEDULE_COSINE,
    CVN_SCHEDULE_ONE_CYCLE,
    CVN_SCHEDULE_MULTI_STEP,
    CVN_SCHEDULE_POLYNOMIAL,
    CVN_SCHEDULE_INVERSE,
    CVN_SCHEDULE_RESTARTS,
    CVN_SCHEDULE_CYCLIC,
    CVN_SCHEDULE_PLATEAU
} cvn_schedule_kind;

#define CVN_MAX_MILESTONES 8

typedef struct cvn_schedule {
    cvn_schedule_kind kind;
    float warmup;                   /* epochs, may be a fraction */
    float gamma;                    /* STEP, MULTI_STEP, PLATEAU (0: 0.1), EXPONENTIAL (0: 0.95) */
    float step;                     /* STEP, RESTARTS, CYCLIC, epochs; 0: 10 */
    float min_lr;                   /* COSINE, POLYNOMIAL, RESTARTS, CYCLIC, PLATEAU */
    float rise;                     /* ONE_CYCLE; 0: 0.3 */
    float div, final_div;           /* ONE_CYCLE; 0: 25, 1e4 */
    float milestones[CVN_MAX_MILESTONES];       /* MULTI_STEP, epochs; 0: none */
    float power;                    /* POLYNOMIAL; 0: 1 */
    float growth;                   /* RESTARTS; below 1: 1 */
    int wait;                       /* PLATEAU; 0: 10 */
} cvn_schedule;

/* cvn_schedule_lr - the rate of batch `step` (from 0) of a run of epochs * steps_per_epoch
 * batches. */
CONVNET_API float cvn_schedule_lr(const cvn_schedule *schedule, float lr, long step,
                                  long steps_per_epoch, int epochs);

/* cvn_set_optimizer - the optimizer of cvn_step, cvn_train_batch and cvn_fit; the default is
 * cvn_adam(1e-3). Its state starts at zero. Called before cvn_build it costs nothing; later it lays
 * out the memory anew when the new one needs another amount. cvn_set_lr changes the rate alone.
 * errors   CVN_ERROR_ARGUMENT for a negative or non-finite value; CVN_ERROR_MEMORY (the net stays
 *          as it was) */
CONVNET_API cvn_result cvn_set_optimizer(cvn_net *net, const cvn_optimizer *optimizer);
CONVNET_API cvn_result cvn_set_lr(cvn_net *net, float lr);
CONVNET_API float cvn_get_lr(const cvn_net *net);

/* cvn_set_ema - keeps averages of the weights: with each step ema = decay*ema + (1 - decay)*w.
 * They begin as a copy of the weights behind the first step; the running statistics of batch norm
 * are not averaged but copied, as PyTorch's torch.optim.swa_utils.AveragedModel does. decay 0: off
 * (the default); 0.999 is usual. Takes one more array of all parameters and running statistics,
 * part of cvn_memory_needed; before or after cvn_build. cvn_load and cvn_init_parameters begin the
 * averages anew, so does an inference plan; every other plan keeps them, checkpoints hold them.
 * errors   CVN_ERROR_ARGUMENT for a decay not in [0, 1); CVN_ERROR_MEMORY (the net stays as it was)
 *
 * cvn_swap_ema - exchanges weights and averages, for cvn_evaluate, cvn_predict and cvn_save; a
 * second call exchanges them back, and until then the net does not train. cvn_build_infer or
 * cvn_set_ema(net, 0) between the two calls leave the averages as the weights for good.
 * errors   CVN_ERROR_STATE: no averages, as no step was made with cvn_set_ema */
CONVNET_API cvn_result cvn_set_ema(cvn_net *net, float decay);
CONVNET_API cvn_result cvn_swap_ema(cvn_net *net);

/* Level 1: by hand.
 *   cvn_set_input, cvn_set_labels   copy n samples into an input or target, or into a label input
 *   cvn_set_sample_weights          the losses count sample i weights[i] times, from the next
 *                      forward pass until changed; n is that of the batches. NULL (or a new
 *                      cvn_build): all 1. Definition: head of the losses
 *   cvn_forward        runs the whole graph in training mode over the n samples set last (all
 *                      inputs: the same n)
 *   cvn_forward_eval   the same in prediction mode (no dropout, running statistics), up to the
 *                      output and kept nodes
 *   cvn_loss           the weighted sum of all losses of the last forward pass (NaN without one)
 *   cvn_backward       gradients of that sum: adds to the parameters' gradients, sets the nodes'
 *                      ones. Once for each forward pass: gradients reuse the memory of values
 *                      (with cvn_desc.keep_all as often as you like)
 *   cvn_backward_from  the same from one node with a given gradient [N, ...] instead of the losses;
 *                      the node was marked with cvn_want_grad
 *   cvn_step           one step of the optimizer, then all parameter gradients are zero
 *   cvn_zero_grad      gradients to zero without a step
 * errors   CVN_ERROR_STATE (not built for training, no forward pass before, an input that holds
 *          another number of samples than the batch, or sample weights for another one),
 *          CVN_ERROR_ARGUMENT (n out of range, label out of range, a sample weight below 0 or not
 *          finite) */
CONVNET_API cvn_result cvn_set_input(cvn_net *net, cvn_node input, const float *values, int n);
CONVNET_API cvn_result cvn_set_labels(cvn_net *net, cvn_node input, const int *labels, int n);
CONVNET_API cvn_result cvn_set_sample_weights(cvn_net *net, const float *weights, int n);
CONVNET_API cvn_result cvn_forward(cvn_net *net);
CONVNET_API cvn_result cvn_forward_eval(cvn_net *net);
CONVNET_API float cvn_loss(const cvn_net *net);
CONVNET_API cvn_result cvn_backward(cvn_net *net);
CONVNET_API cvn_result cvn_backward_from(cvn_net *net, cvn_node node, const float *gradient);
CONVNET_API cvn_result cvn_step(cvn_net *net);
CONVNET_API cvn_result cvn_zero_grad(cvn_net *net);

/* Mixed samples, between setting all inputs of a batch and cvn_forward: each sample takes in
 * another one of the batch, drawn as a permutation, with a share that is drawn once for the batch,
 * lambda ~ Beta(alpha, alpha). Setting an input ends it. A label counts with lambda in the label
 * losses (cvn_softmax_loss, cvn_nll_loss and their kin), its partner's with 1 - lambda.
 *   cvn_mixup    x = lambda*x + (1 - lambda)*partner, in all float inputs and targets
 *                                                            H. Zhang et al., arXiv:1710.09412
 *   cvn_cutmix   a box of the partner's image, sides sqrt(1 - lambda) of the image's about a
 *                uniform centre, cut off at the border, in all float inputs and targets
 *                [N, C, H, W] of the first image's H, W; lambda becomes the share of the rest, with
 *                which all other float inputs and targets are mixed as by cvn_mixup
 *                                                            S. Yun et al., arXiv:1905.04899
 * alpha 0: nothing is mixed; the draws depend on the seed and the number of training passes alone.
 * errors   CVN_ERROR_ARGUMENT (alpha negative or not finite); CVN_ERROR_STATE (not built for
 *          training, an input is not set, mixed already); CVN_ERROR_UNSUPPORTED (an input of ints
 *          into another layer than a loss; cvn_cutmix without an input of images, or with labels
 *          of more than one position a sample) */
CONVNET_API cvn_result cvn_mixup(cvn_net *net, float alpha);
CONVNET_API cvn_result cvn_cutmix(cvn_net *net, float alpha);

/* Level 2: a batch.
 *   cvn_train_batch          forward, backward, step; x for the first input, labels for all label
 *                            inputs; *loss may be NULL
 *   cvn_train_batch_target   the same with float targets
 *   cvn_predict              any n; out receives [n, output...] (for a softmax loss that is the
 *                            logits)
 *   cvn_classify             any n; labels[n] receives the class with the largest output,
 *                            probabilities[n] (may be NULL) its softmax. An output that is a
 *                            softmax or sigmoid layer is taken as it is; a single output means two
 *                            classes: 1 where it is above 0 (a sigmoid: above 1/2)
 * None of them takes memory. */
CONVNET_API cvn_result cvn_train_batch(cvn_net *net, const float *x, const int *labels, int n,
                                       float *loss);
CONVNET_API cvn_result cvn_train_batch_target(cvn_net *net, const float *x, const float *targets,
                                              int n, float *loss);
CONVNET_API cvn_result cvn_predict(cvn_net *net, const float *x, int n, float *out);
CONVNET_API cvn_result cvn_classify(cvn_net *net, const float *x, int n, int *labels,
                                    float *probabilities);

/* Level 3: a data set. */
struct cvn_data;

/* cvn_evaluate - loss and, with labels and an output [N, C], accuracy over a whole set.
 *   m->confusion  set by the caller before: int [classes*classes], row = true class, column =
 *                 predicted; or NULL (m->classes then too: 0). Start from cvn_metrics m = {0} (C++:
 *                 {}). */
typedef struct cvn_metrics {
    int count;                      /* samples */
    double loss;                    /* mean; NaN when the net has none */
    double accuracy;                /* share of right classes, 0..1; NaN where there is nothing to
                                     * compare */
    double top5;                    /* share with the true class among the five largest */
    int classes;                    /* in: size of confusion */
    int *confusion;                 /* in: where to count, or NULL */
} cvn_metrics;

CONVNET_API cvn_result cvn_evaluate(cvn_net *net, const struct cvn_data *data,
                                    cvn_metrics *metrics);

typedef enum cvn_event { CVN_EVENT_BATCH = 0, CVN_EVENT_EPOCH, CVN_EVENT_END } cvn_event;

typedef struct cvn_progress {
    cvn_net *net;
    cvn_event event;
    int epoch, epochs;              /* from 1 */
    int batch, batches;             /* from 1, of this epoch */
    double loss, accuracy;          /* of this epoch so far, training samples; accuracy NaN where
                                     * undefined */
    double valid_loss, valid_accuracy;      /* of the last validation; NaN before the first */
    int best_epoch;                 /* 0 before the first validation */
    float lr;
    double samples_per_second;      /* of this epoch */
    double seconds, seconds_left;   /* since cvn_fit was called; estimate to its end */
    cvn_result result;              /* CVN_EVENT_END: what cvn_fit returns */
} cvn_progress;

/* Called after each batch, each epoch and at the end; non-zero stops the training. */
typedef int (*cvn_fit_callback)(void *user, const cvn_progress *progress);

typedef struct cvn_fit_options {
    int epochs;                     /* 0: 10 */
    int batch;                      /* 0: the largest the net was built for */
    const cvn_optimizer *optimizer; /* NULL: the net's (cvn_set_optimizer) */
    cvn_schedule schedule;
    uint64_t shuffle_seed;          /* 0: the net's seed */
    int no_shuffle;
    int drop_last;                  /* leave out the last batch of an epoch when it is smaller */
    int balanced;                   /* each epoch draws every class equally often, in place of each
                                     * sample once; the set needs labels, one a sample */
    int accumulate;                 /* a step every so many batches, with the mean of their
                                     * gradients; 0: 1 */
    float mixup, cutmix;            /* alpha of cvn_mixup, cvn_cutmix; 0: none. Both: one of them
                                     * for each batch, by a coin */
    int patience;                   /* stop after so many epochs without a better validation loss;
                                     * 0: never */
    int keep_best;                  /* at the end, restore the parameters of the best epoch (least
                                     * validation loss) */
    int resume;                     /* go on where a checkpoint, or a stopped cvn_fit, stands */
    const char *checkpoint;         /* path; written after every epoch and when stopped; NULL:
                                     * none */
    cvn_fit_callback callback;      /* cvn_print_progress, or yours, or NULL */
    void *user;
} cvn_fit_options;

CONVNET_API cvn_fit_options cvn_fit_defaults(void);

/* cvn_fit - trains for options.epochs epochs (NULL: all defaults); valid may be NULL: patience and
 * keep_best then judge by the training loss. options.optimizer becomes the net's; its state starts
 * at zero unless options.resume. keep_best takes effect when the run is complete or patience ends
 * it; a run that a callback stopped keeps its last parameters and may be resumed, at once or from a
 * checkpoint. Takes memory for the order of the samples and, with keep_best, one copy of the
 * parameters; gives it back at the end.
 *   accumulate  k batches of b act as one batch of k*b in the memory of b (but for batch norm,
 *               which sees b samples): what a schedule, a callback and progress->batch call a batch
 *               is a step then. The rest at the end of an epoch makes a step too.
 *   averages    (cvn_set_ema) begin anew unless options.resume. The validation judges them and
 *               keep_best keeps them; at the end of a run, as above, they become the weights. A
 *               callback finds the weights in the net: cvn_swap_ema, twice, shows it the averages.
 *   mixed samples (mixup, cutmix) count as their own class in the training accuracy.
 *   returns  CVN_OK; CVN_STOPPED; CVN_ERROR_NUMBER with the first layer that made a NaN or Inf;
 *            CVN_ERROR_STATE, CVN_ERROR_ARGUMENT, CVN_ERROR_SHAPE for sets that do not fit the
 *            net */
CONVNET_API cvn_result cvn_fit(cvn_net *net, const struct cvn_data *train,
                               const struct cvn_data *valid, const cvn_fit_options *options);

/* cvn_check - looks at up to one batch before a long training and says in words what is wrong:
 * numbers that are not finite, inputs far from zero mean and unit variance, constant inputs, labels
 * out of range or all of one class, dead ReLUs, an initial loss far from chance, a learning rate
 * far too high or low (it trains a few steps on the batch and restores everything). One finding a
 * line; like snprintf it returns the length of the text, 0 when all is well, < 0 (a cvn_result)
 * when it could not look. */
CONVNET_API int cvn_check(cvn_net *net, const struct cvn_data *data, char *text, size_t size);

/* cvn_lr_range_test - which learning rate to begin with: trains with a rate that rises
 * exponentially from low to high and records the loss, smoothed, until it exceeds 4 times its least
 * or the steps are done. The optimizer starts from zero as in cvn_fit; afterwards parameters,
 * running statistics, averages, optimizer and position are as they were, bit for bit.
 *   suggested   a tenth of the rate of the least loss, 0 where the loss never falls. steepest, the
 *               rate where it falls most steeply over the logarithm of the rate, is another
 *               customary choice, often higher, as the smoothing lags behind
 *   options     NULL: all defaults. callback: after each batch (loss and rate of progress) and at
 *               the end; non-zero stops the test, with what there is by then
 *   returns     CVN_OK; CVN_STOPPED; CVN_ERROR_ARGUMENT, CVN_ERROR_STATE, CVN_ERROR_SHAPE as
 *               cvn_fit; CVN_ERROR_MEMORY
 *   source      L. Smith, arXiv:1506.01186, section 3.3 */
#define CVN_MAX_RANGE_STEPS 1000

typedef struct cvn_lr_range {
    float low, high;                /* rates; 0: 1e-7, 10 */
    int steps;                      /* batches, from 2 to CVN_MAX_RANGE_STEPS; 0: 100 */
    int batch;                      /* 0: the largest the net was built for */
    cvn_fit_callback callback;
    void *user;
} cvn_lr_range;

typedef struct cvn_lr_range_result {
    int count;                      /* batches recorded */
    float suggested, steepest;
    float lr[CVN_MAX_RANGE_STEPS];
    float loss[CVN_MAX_RANGE_STEPS];        /* smoothed */
} cvn_lr_range_result;

CONVNET_API cvn_result cvn_lr_range_test(cvn_net *net, const struct cvn_data *data,
                                         const cvn_lr_range *options, cvn_lr_range_result *result);

/* History: one entry an epoch of cvn_fit; a new cvn_fit (without resume) starts it anew. */
typedef struct cvn_history {
    float loss, accuracy, valid_loss, valid_accuracy, lr, seconds;      /* NaN where undefined */
} cvn_history;

CONVNET_API int cvn_history_count(const cvn_net *net);
CONVNET_API cvn_history cvn_history_at(const cvn_net *net, int epoch);         /* from 0 */

#ifndef CONVNET_NO_STDIO
/* cvn_print_progress - a ready-made callback, on stderr: a bar with ETA, loss, accuracy and
 * samples/s that redraws itself on a terminal, a plain line an epoch otherwise. */
CONVNET_API int cvn_print_progress(void *user, const cvn_progress *progress);

/* The history as CSV with a header line, and as an SVG picture of the loss and accuracy curves. */
CONVNET_API cvn_result cvn_history_save_csv(cvn_net *net, const char *path);
CONVNET_API cvn_result cvn_history_save_svg(cvn_net *net, const char *path);

/* The loss of a range test over the logarithm of the rate, the suggestion marked, as an SVG
 * picture.
 * errors   CVN_ERROR_STATE for fewer than 2 batches; CVN_ERROR_FILE; CVN_ERROR_ARGUMENT */
CONVNET_API cvn_result cvn_lr_range_save_svg(cvn_net *net, const cvn_lr_range_result *result,
                                             const char *path);
#endif

/* ================================================================================================
 * >>data-api   sets of samples, loaders, images, augmentation
 * ============================================================================================== */

/* Changes made to a training image while its batch is gathered, drawn anew each epoch from (seed,
 * epoch, sample): they do not depend on threads or batch size. All zero: none. Geometry is one
 * bilinear warp (none is made for whole pixels); outside the image `fill` is read. Colour, noise
 * and erasing act on bytes/255, or on float images as they are; the normalisation of byte images
 * comes after. Order: geometry (crop, flips, shear, rotate, scale, shift and translate, elastic),
 * saturation and hue, contrast and brightness (values are not clamped), noise, erase, cutout; the
 * draws are specified in the room.
 *   hue, saturation   of the HSV hexcone, images of 3 channels (red, green, blue) only, others stay
 *                     as they are. Saturation is limited to 1. Values outside [0, 1] are not
 *                     clamped: a hue moves between a pixel's smallest and largest channel wherever
 *                     these lie; where the smallest is below 0, saturation only falls.
 *   crop              torchvision.transforms.RandomResizedCrop, the image's size staying as it is:
 *                     C. Szegedy et al., arXiv:1409.4842. Pixels at the crop's edge mix with their
 *                     neighbours outside the crop (torchvision repeats the edge); at the edge of
 *                     the image the edge is repeated.
 *   elastic           P. Simard et al., Best Practices for Convolutional Neural Networks, 2003
 *   erase             torchvision.transforms.RandomErasing with its defaults, except that the noise
 *                     is uniform: Z. Zhong et al., arXiv:1708.04896 */
typedef struct cvn_augment {
    int flip;                       /* mirror left-right with probability 1/2 */
    int flip_vertical;              /* mirror top-bottom with probability 1/2 */
    int shift;                      /* whole pixels, each axis uniform in [-shift, shift]: pad, then
                                     * crop */
    float rotate;                   /* degrees, uniform in [-rotate, rotate] */
    float scale;                    /* factor, uniform in [1 - scale, 1 + scale]; < 1 */
    float brightness;               /* added, uniform in [-b, b] */
    float contrast;                 /* factor about the image's mean, uniform in [1 - c, 1 + c] */
    float noise;                    /* standard deviation of added normal noise */
    int cutout;                     /* a square of that side at a random place is set to fill
                                     * arXiv:1708.04552 */
    float fill;                     /* of bytes/255, or of the float image */
    float shear;                    /* degrees, uniform in [-shear, shear], < 90: x moves by
                                     * -y*tan(shear), as in torchvision's affine */
    float translate;                /* share of the size, each axis uniform in [-t, t]; parts of
                                     * pixels too */
    float saturation;               /* factor, uniform in [1 - s, 1 + s]; <= 1 */
    float hue;                      /* turns, uniform in [-hue, hue]; <= 1/2 */
    float crop_scale_min;           /* share of the area, uniform in [min, max], of a part that is
                                     * resized to the whole; 0: no crop; usual is 0.08 */
    float crop_scale_max;           /* 0: 1; <= 1 */
    float crop_ratio;               /* width/height of the part, its logarithm uniform, in [1/r, r];
                                     * 0: 4/3 */
    float elastic;                  /* pixels, standard deviation of the displacement, each axis */
    float elastic_sigma;            /* pixels over which displacements are alike; 0: 4; >= 1 */
    float erase;                    /* probability that a rectangle is erased: 0.02 to 0.33 of the
                                     * area, height/width 0.3 to 3.3 */
    int erase_noise;                /* 0: with fill; 1: with noise, uniform in [0, 1) */
} cvn_augment;

/* A set of samples in memory. Start from cvn_data d = {0} (C++: {}) or from a loader. */
typedef struct cvn_data {
    int count;                      /* samples */
    int first;                      /* samples before this set in all the arrays below: a view
                                     * behind another one */
    const int *index;               /* [count]: sample i is number first + index[i] of the arrays:
                                     * a view of some of them; NULL: first + i */
    const float *images;            /* [count, ...] as the first input takes them; or */
    const unsigned char *bytes;     /* [count, C, H, W], becoming (byte/255 - mean[c])/std[c]; not
                                     * both */
    const int *labels;              /* [count, ...] for the label inputs, or NULL */
    const float *targets;           /* [count, ...] for the targets, or NULL */
    const float *weights;           /* [count] weights of the samples in the losses, for cvn_fit and
                                     * cvn_evaluate; NULL: all 1; used beside fill too */
    float mean[CVN_MAX_CHANNELS];   /* of bytes/255 */
    float std[CVN_MAX_CHANNELS];    /* 0: 1 */
    int channels, height, width;    /* of an image: for bytes, and to augment what goes into a
                                     * vector; loaders set it */
    int classes;                    /* largest label + 1; loaders set it */
    const cvn_augment *augment;     /* cvn_fit applies it to the training set; NULL: none */
    /* Own source instead of the pointers above: set every input of net for the n samples
     * index[0..n) (numbers in the arrays: first and cvn_data.index are reckoned with) with
     * cvn_set_input and cvn_set_labels, then return CVN_OK. training is 1 when cvn_fit asks for a
     * training batch. */
    cvn_result (*fill)(void *user, cvn_net *net, const int *index, int n, int training);
    void *user;
    void *memory;                   /* of a loader, or the index of a view; cvn_data_free gives it
                                     * back */
    char error[160];                /* of a loader or split that failed */
} cvn_data;

/* Loaders. They check every size, find mean and std of the set (per channel; use the training set's
 * for the test set: cvn_data_normalize_as), and leave a message in data->error when they fail.
 * cvn_data_free releases what they took.
 *   cvn_load_idx       IDX files of MNIST and its kin (unpacked): images uint8 [count, H, W],
 *                      labels uint8 [count]; labels may be NULL
 *   cvn_load_cifar10   binary batches of CIFAR-10, any number of files joined
 *   ..._memory         the same from buffers, which are copied
 * errors   CVN_ERROR_FILE, CVN_ERROR_FORMAT (with what and where), CVN_ERROR_MEMORY,
 *          CVN_ERROR_ARGUMENT */
#ifndef CONVNET_NO_STDIO
CONVNET_API cvn_result cvn_load_idx(cvn_data *data, const char *images, const char *labels);
CONVNET_API cvn_result cvn_load_cifar10(cvn_data *data, const char *const *paths, int files);
#endif
CONVNET_API cvn_result cvn_load_idx_memory(cvn_data *data, const void *images, size_t images_size,
                                           const void *labels, size_t labels_size);
CONVNET_API cvn_result cvn_load_cifar10_memory(cvn_data *data, const void *bytes, size_t size);
CONVNET_API void cvn_data_free(cvn_data *data);

/* cvn_data_normalize_as - data takes the mean and std of `training`. */
CONVNET_API void cvn_data_normalize_as(cvn_data *data, const cvn_data *training);

/* cvn_data_statistics - mean and (biased) standard deviation of each channel over all pixels of the
 * set: of bytes/255, or of float images [C, H, W] with data->channels, height and width set.
 *   mean, std  [channels]
 * cvn_data_normalize - finds mean and std of a set of bytes and keeps them in it, as loaders do;
 * for a set from elsewhere, or for the training part of a split. Float images go into the net as
 * they are, so a set of them is refused: apply cvn_data_statistics to them yourself.
 * errors   CVN_ERROR_ARGUMENT: no images, or of unknown size; text of cvn_data_normalize in
 *          data->error */
CONVNET_API cvn_result cvn_data_statistics(const cvn_data *data, float *mean, float *std);
CONVNET_API cvn_result cvn_data_normalize(cvn_data *data);

/* cvn_data_split - moves the last `count` samples of data into tail, a view of the same memory
 * (data stays the owner); for validation (which cvn_fit does not augment).
 * errors   CVN_ERROR_ARGUMENT, with a text in data->error: count not in [1, data->count - 1] */
CONVNET_API cvn_result cvn_data_split(cvn_data *data, cvn_data *tail, int count);

/* Splits into two views of the same arrays: data itself stays as it is and must outlive them. Each
 * view owns its index (cvn_data_free of the view frees that alone); samples keep their order, and
 * the part a sample falls into depends on the seed alone. Views can be split again. For honest
 * statistics: cvn_data_normalize(train), cvn_data_normalize_as(valid, train).
 *   cvn_data_fold              k-fold cross-validation: each sample is in valid for one `fold` of
 *                              0..folds-1 and in train for all others; sizes of valid differ by at
 *                              most one
 *   cvn_data_split_stratified  valid gets the nearest whole number to count*share samples, each
 *                              class its share of them, rounded by the largest remainder
 *   cvn_data_class_counts      how often each label 0..classes-1 stands in the set; others are not
 *                              counted
 *   cvn_data_balanced_order    class-balanced sampling: order[count] gets the numbers (0..count-1)
 *                              of samples of the set so that each class that occurs is equally
 *                              likely at any place: the classes follow each other in rounds of
 *                              random order, and each member of a class comes before one comes
 *                              again. Samples with negative labels are never drawn. Another epoch,
 *                              another order.
 * The last three need one label a sample, below 2^20.
 * errors   CVN_ERROR_ARGUMENT: a part would be empty, labels missing or out of range;
 *          CVN_ERROR_MEMORY. Text of a split in train->error and valid->error. */
CONVNET_API cvn_result cvn_data_fold(const cvn_data *data, int folds, int fold, uint64_t seed,
                                     cvn_data *train, cvn_data *valid);
CONVNET_API cvn_result cvn_data_split_stratified(const cvn_data *data, double share, uint64_t seed,
                                                 cvn_data *train, cvn_data *valid);
CONVNET_API cvn_result cvn_data_class_counts(const cvn_data *data, int *counts, int classes);
CONVNET_API cvn_result cvn_data_balanced_order(const cvn_data *data, uint64_t seed, uint64_t epoch,
                                               int *order);

/* cvn_image_to_tensor - uint8 image as decoders give it, [H, W, channels] interleaved, to floats
 * [channels, H, W]: (byte/255 - mean[c])/std[c]; mean NULL: 0, std NULL: 1; swap_rb reverses the
 * order of the first three channels (BGR). mean[c] and std[c] belong to the channel c of the
 * result. */
CONVNET_API cvn_result cvn_image_to_tensor(const unsigned char *pixels, int height, int width,
                                           int channels, const float *mean, const float *std,
                                           int swap_rb, float *out);

/* cvn_augment_image - one image [C, H, W] of floats, changed as the k-th draw of a seed would; out
 * differs from in. */
CONVNET_API void cvn_augment_image(const cvn_augment *augment, uint64_t seed, uint64_t k,
                                   const float *in, int channels, int height, int width,
                                   float *out);

/* cvn_predict_crops - the mean of the net's output over crops of images that are at least as large
 * as its first input [C, h, w]. For a mean of probabilities put a softmax into the net; otherwise
 * it is one of logits. Takes no memory.
 *   images  [n, C, height, width]
 *   crops   1: the centre; 5: the corners and the centre; 10: these of the mirrored image too
 *           (torchvision's CenterCrop, FiveCrop, TenCrop, with their rounding)
 *   out     [n, ...] as of cvn_predict
 * errors   CVN_ERROR_ARGUMENT: other crops, NULL; CVN_ERROR_SHAPE: images smaller than the input,
 *          or the input is no image */
CONVNET_API cvn_result cvn_predict_crops(cvn_net *net, const float *images, int n, int height,
                                         int width, int crops, float *out);

/* ================================================================================================
 * >>io-api   weights and checkpoints: safetensors
 * ============================================================================================== */

/* Weights are safetensors files with PyTorch's names and layouts: safetensors.torch.load_file reads
 * what cvn_save writes, and cvn_load takes a state_dict of the same names and shapes saved from
 * there (F32, F64, F16, BF16; integer counters such as num_batches_tracked are skipped).
 *   cvn_save             all parameters and running statistics; atomic: a temporary file is renamed
 *   cvn_load             all or nothing: every parameter must be there with its shape, and nothing
 *                        else
 *   cvn_load_partial     what fits by name and shape (a new head on old features); *loaded (may be
 *                        NULL) counts it
 *   cvn_save_checkpoint  also optimizer state, step, position in the shuffled epoch, best weights,
 *                        averages (cvn_set_ema), history
 *   cvn_load_checkpoint  cvn_fit with options.resume then goes on bit for bit as if never stopped.
 *                        The net must have an optimizer of the same kind (cvn_set_optimizer)
 *   ..._memory           the same from a buffer
 *   cvn_save_size, cvn_save_memory   the file's bytes into a buffer of that size
 * errors   CVN_ERROR_STATE before cvn_build; CVN_ERROR_FILE; CVN_ERROR_FORMAT; CVN_ERROR_SHAPE with
 *          all names that are missing, left over or of another shape. On an error the net stays as
 *          it was. */
#ifndef CONVNET_NO_STDIO
CONVNET_API cvn_result cvn_save(cvn_net *net, const char *path);
CONVNET_API cvn_result cvn_load(cvn_net *net, const char *path);
CONVNET_API cvn_result cvn_load_partial(cvn_net *net, const char *path, int *loaded);
CONVNET_API cvn_result cvn_save_checkpoint(cvn_net *net, const char *path);
CONVNET_API cvn_result cvn_load_checkpoint(cvn_net *net, const char *path);
#endif
CONVNET_API cvn_result cvn_load_memory(cvn_net *net, const void *bytes, size_t size);
CONVNET_API size_t cvn_save_size(cvn_net *net);
CONVNET_API cvn_result cvn_save_memory(cvn_net *net, void *bytes, size_t size);

#ifdef __cplusplus
} /* extern "C" */

/* C++: descriptions by reference, so that C++20 may write cvn_conv2d_ex(net, x, {.filters = 32,
 * .kernel_h = 3}). */
inline cvn_net *cvn_create(const cvn_desc &desc) { return cvn_create(&desc); }
inline cvn_node cvn_conv1d_ex(cvn_net *net, cvn_node x, const cvn_conv1d_desc &d)
{
    return cvn_conv1d_ex(net, x, &d);
}
inline cvn_node cvn_conv2d_ex(cvn_net *net, cvn_node x, const cvn_conv2d_desc &d)
{
    return cvn_conv2d_ex(net, x, &d);
}
inline cvn_node cvn_conv3d_ex(cvn_net *net, cvn_node x, const cvn_conv3d_desc &d)
{
    return cvn_conv3d_ex(net, x, &d);
}
inline cvn_node cvn_conv_transpose1d_ex(cvn_net *net, cvn_node x,
                                        const cvn_conv_transpose1d_desc &d)
{
    return cvn_conv_transpose1d_ex(net, x, &d);
}
inline cvn_node cvn_conv_transpose2d_ex(cvn_net *net, cvn_node x,
                                        const cvn_conv_transpose2d_desc &d)
{
    return cvn_conv_transpose2d_ex(net, x, &d);
}
inline cvn_node cvn_dense_ex(cvn_net *net, cvn_node x, const cvn_dense_desc &d)
{
    return cvn_dense_ex(net, x, &d);
}
inline cvn_node cvn_maxpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc &d)
{
    return cvn_maxpool_ex(net, x, &d);
}
inline cvn_node cvn_avgpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc &d)
{
    return cvn_avgpool_ex(net, x, &d);
}
inline cvn_node cvn_maxpool_indices(cvn_net *net, cvn_node x, const cvn_pool_desc &d)
{
    return cvn_maxpool_indices(net, x, &d);
}
inline cvn_node cvn_roi_align(cvn_net *net, cvn_node x, cvn_node boxes, int height, int width,
                              const cvn_roi_align_desc &d)
{
    return cvn_roi_align(net, x, boxes, height, width, &d);
}
inline cvn_node cvn_batchnorm_ex(cvn_net *net, cvn_node x, const cvn_batchnorm_desc &d)
{
    return cvn_batchnorm_ex(net, x, &d);
}
inline cvn_node cvn_multihead_attention_ex(cvn_net *net, cvn_node query, cvn_node key,
                                           cvn_node value, const cvn_attention_desc &d)
{
    return cvn_multihead_attention_ex(net, query, key, value, &d);
}
inline cvn_node cvn_scaled_dot_product_attention(cvn_net *net, cvn_node query, cvn_node key,
                                                 cvn_node value, const cvn_attention_desc &d)
{
    return cvn_scaled_dot_product_attention(net, query, key, value, &d);
}
inline cvn_node cvn_transformer_encoder(cvn_net *net, cvn_node x, const cvn_transformer_desc &d)
{
    return cvn_transformer_encoder(net, x, &d);
}
inline cvn_node cvn_transformer_decoder(cvn_net *net, cvn_node x, cvn_node memory,
                                        const cvn_transformer_desc &d)
{
    return cvn_transformer_decoder(net, x, memory, &d);
}
inline cvn_node cvn_residual_ex(cvn_net *net, cvn_node x, const cvn_residual_desc &d)
{
    return cvn_residual_ex(net, x, &d);
}
inline cvn_node cvn_inception_ex(cvn_net *net, cvn_node x, const cvn_inception_desc &d)
{
    return cvn_inception_ex(net, x, &d);
}
inline cvn_node cvn_inverted_residual(cvn_net *net, cvn_node x,
                                      const cvn_inverted_residual_desc &d)
{
    return cvn_inverted_residual(net, x, &d);
}
inline cvn_node cvn_softmax_loss_ex(cvn_net *net, cvn_node x, const cvn_softmax_loss_desc &d)
{
    return cvn_softmax_loss_ex(net, x, &d);
}
inline cvn_node cvn_nll_loss_ex(cvn_net *net, cvn_node x, const cvn_nll_loss_desc &d)
{
    return cvn_nll_loss_ex(net, x, &d);
}
inline cvn_node cvn_ctc_loss(cvn_net *net, cvn_node x, cvn_node labels, const cvn_ctc_desc &d)
{
    return cvn_ctc_loss(net, x, labels, &d);
}
inline cvn_result cvn_set_optimizer(cvn_net *net, const cvn_optimizer &o)
{
    return cvn_set_optimizer(net, &o);
}
inline cvn_result cvn_fit(cvn_net *net, const cvn_data &train, const cvn_data &valid,
                          const cvn_fit_options &o)
{
    return cvn_fit(net, &train, &valid, &o);
}
#endif

#endif /* CONVNET_H */

#ifdef CONVNET_IMPLEMENTATION
#ifndef CONVNET_IMPLEMENTATION_ONCE
#define CONVNET_IMPLEMENTATION_ONCE

/* ================================================================================================
 * >>platform   what is used of compiler and C library
 * ============================================================================================== */

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__unix__) || defined(__APPLE__) || defined(__wasi__) || defined(__EMSCRIPTEN__)
    #define CVNI_TIMEVAL 1
    #include <sys/time.h>
#endif

#if defined(_OPENMP) && !defined(CONVNET_NO_OPENMP)
    #define CVNI_OPENMP 1
    #include <omp.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
    #define CVNI_PRINTF(text, first) __attribute__((format(printf, text, first)))
    #define CVNI_RESTRICT __restrict__
    #define CVNI_ALWAYS_INLINE inline __attribute__((always_inline))
    #define CVNI_VECTOR4 1                      /* 16-byte vector types: SSE2, NEON, WASM SIMD, or
                                                 * emulated */
#elif defined(_MSC_VER)
    #define CVNI_PRINTF(text, first)
    #define CVNI_RESTRICT __restrict
    #define CVNI_ALWAYS_INLINE __forceinline
#else
    #define CVNI_PRINTF(text, first)
    #define CVNI_RESTRICT
    #define CVNI_ALWAYS_INLINE
#endif

#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
    #define CVNI_HOT __attribute__((optimize("O3")))    /* gcc -O2 leaves loops of unknown length
                                                         * scalar */
#else
    #define CVNI_HOT
#endif

/* Rooms that run once, wait for a disk or mostly move data: compiled quickly rather than optimised
 * (4.3 s instead of 5.9 s for the implementation, gcc 12.2). */
#if defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
    #define CVNI_COLD_BEGIN _Pragma("GCC push_options") _Pragma("GCC optimize(\"O1\")")
    #define CVNI_COLD_END _Pragma("GCC pop_options")
#else
    #define CVNI_COLD_BEGIN
    #define CVNI_COLD_END
#endif

#if !defined(CONVNET_NO_SIMD) && (defined(__x86_64__) || defined(_M_X64)) && \
    !(defined(__clang__) && defined(_MSC_VER))  /* clang-cl hides these intrinsics without /arch */
    #define CVNI_X86 1
    #if defined(__GNUC__) || defined(__clang__)
        #define CVNI_TARGET(isa) __attribute__((target(isa)))
        #include <cpuid.h>
    #else
        #define CVNI_TARGET(isa)
        #include <intrin.h>
    #endif
    #include <immintrin.h>
#endif

#if defined(CONVNET_MALLOC) != defined(CONVNET_FREE)
    #error "convnet.h: define both CONVNET_MALLOC and CONVNET_FREE, or none"
#endif
#ifndef CONVNET_MALLOC
    #define CONVNET_MALLOC(size) malloc(size)
    #define CONVNET_FREE(pointer) free(pointer)
#endif
#ifndef CONVNET_MAX_ELEMENTS
    #define CONVNET_MAX_ELEMENTS 2147483647
#endif
#ifndef CONVNET_MAX_FILE_HEADER
    #define CONVNET_MAX_FILE_HEADER 100000000
#endif

#define CVNI_ALIGN 64                           /* bytes: a cache line, an AVX-512 register */
#define CVNI_FOREVER INT_MAX

#ifdef __cplusplus
extern "C" {
#endif

/* ================================================================================================
 * >>internal   the structures that all rooms share
 * ============================================================================================== */

typedef struct cvni_layer cvni_layer;

/* One row a kind of layer. A layer's output is its node; ids order the graph topologically. */
enum {
    CVNI_USES_X = 1,            /* backward reads the inputs' values */
    CVNI_USES_Y = 2,            /* backward reads the own value */
    CVNI_INPLACE = 4,           /* the value may lie where input 0 lies when nobody else needs
                                 * that */
    CVNI_VIEW = 8,              /* the value is input 0 under another shape */
    CVNI_INPLACE_GRAD = 16,     /* the gradient of input 0 may lie where the own one lies */
    CVNI_IDENTITY_EVAL = 32,    /* prediction: y = x */
    CVNI_LOSS = 64,             /* not computed for predictions */
    CVNI_SOURCE = 128,          /* an input: no computation */
    CVNI_TAKES_INT = 256,       /* an input may be int, as a loss's may */
    CVNI_SAVED_EVAL = 512       /* l->saved is there for predictions too, during forward */
};

typedef struct cvni_op {
    const char *type;           /* "conv2d", in summaries */
    const char *name;           /* "conv", begins automatic names */
    const char *onnx;           /* operator of that name there, or NULL */
    unsigned flags;
    cvn_result (*shape)(cvn_net *net, cvni_layer *l);   /* output shape, parameters, memory; runs
                                                         * again at each plan */
    void (*prepare)(cvn_net *net, cvni_layer *l);       /* fills l->table once the memory is there;
                                                         * may be NULL */
    cvn_result (*forward)(cvn_net *net, cvni_layer *l);
    void (*backward)(cvn_net *net, cvni_layer *l);
} cvni_op;

/* What the plan decided about one layer: indices into cvni_plan.buffers, -1 for none. */
typedef struct cvni_place {
    int y, dy;                  /* value, gradient */
    int saved;                  /* from forward for backward */
    int work_forward, work_backward, table;
    int skip;                   /* nothing to do at run time: fused, a view, or not needed */
    int predict;                /* runs for predictions */
    int grad;                   /* takes part in backward */
    int folded;                 /* id of the batch norm folded into this layer's weights, or 0 */
    int fold;                   /* buffer of the folded weights and bias */
    int activation;             /* id of the activation done on this layer's store, or 0 */
    int segment;                /* first layer of its recomputed segment, or 0 */
    int again;                  /* recomputed for the backward pass, then with these: */
    int y_again, saved_again, work_again;
    int normed, normed_grad;    /* weights under a spectral norm, their gradient */
} cvni_place;

struct cvni_layer {
    const cvni_op *op;
    char *name;
    void *desc;                 /* copy of the caller's description, completed */
    int inputs;
    int *input;                 /* ids */
    int params;
    int *param;                 /* indices into net->params; a record, it grows */
    int param_capacity;
    cvn_shape shape;
    int samples;                /* entries of the first axis for each sample of the batch; 1, more
                                 * behind cvn_flatten_batch */
    int is_int;                 /* value is int, not float */
    int per_batch;              /* no batch axis: scalar of a loss */
    int keep, want_grad, frozen;
    int segment;                /* number of the recomputed segment that it belongs to, or 0 */
    int spectral;               /* its weight has a spectral norm: 1 + index into net->params of u,
                                 * v behind it; else 0 */
    int left_out;               /* was frozen at the last cvn_build: no plan has its gradients */
    float loss_weight;          /* not 0: minimised */
    double macs;                /* of each entry of the first axis: products with weights and of
                                 * matrices */
    /* shape() sets them; whole layer */
    size_t saved_bytes, work_forward_bytes, work_backward_bytes, table_bytes;
    size_t scratch_bytes;       /* per worker, any pass */
    cvni_place place;
    /* bound to memory: */
    float *y, *dy;
    void *saved, *table;
    void *work_forward, *work_backward;
    float *fold;
    float *normed, *normed_grad;
    const char *scope;          /* the net's when it was added */
    int grad_written;           /* this backward pass has written dy */
    int filled;                 /* an input: samples that were set last */
};

typedef enum cvni_role { CVNI_WEIGHT, CVNI_BIAS, CVNI_RUNNING } cvni_role;

typedef struct cvni_param {
    char *name;
    const char *suffix;         /* "weight"; "": the layer's name alone */
    cvn_shape shape;
    size_t offset, count;       /* in net->weights */
    cvn_init init;
    double fan_in, fan_out;
    int layer;                  /* owner */
    cvni_role role;             /* CVNI_RUNNING: batch norm's statistics, no gradient */
    int decays;                 /* under decay_weights_only: no bias, no factor of a norm */
    int dead;                   /* tied away */
    float lr_scale, decay_scale;
} cvni_param;

typedef struct cvni_buffer {
    size_t bytes, offset;
    int begin, end;             /* steps of the timeline in which it is in use, both included */
} cvni_buffer;

typedef struct cvni_plan {
    cvni_buffer *buffers;
    int count, capacity;
    cvni_place *places;         /* by layer id */
    size_t weights, ema, grads, state, batch;   /* offsets of the persistent part */
    int slots;                          /* optimizer state arrays */
    int averages;                       /* has room at ema */
    size_t persistent_bytes, scratch, scratch_bytes, total;
    double macs_again;                  /* of the recomputed layers, per sample */
} cvni_plan;

typedef struct cvni_record {    /* header of a small allocation that lives as long as the net */
    struct cvni_record *next;
} cvni_record;

typedef struct cvni_fit_state { /* all that a resumed cvn_fit must know; saved in checkpoints */
    int epoch;                  /* epochs done */
    int position;               /* samples of the current epoch done */
    uint64_t step;              /* steps done */
    double loss_sum, correct_sum, weight_sum;       /* over the current epoch */
    double best_loss;           /* validation */
    int best_epoch, bad_epochs;
    double plateau_best;        /* CVN_SCHEDULE_PLATEAU: least loss, */
    int plateau_bad;            /* epochs since, */
    int plateau_cuts;           /* reductions of the rate */
} cvni_fit_state;

typedef void (*cvni_job)(void *context, int begin, int end, int worker);

/* One register tile of a matrix product: c[rows x cols] (+)= sum over k of a[row][k] b[k][col]. All
 * mr rows of a are read, and columns of b up to a multiple of `unit`. */
typedef struct cvni_tile {
    int k, add;
    int rows, cols;
    const float *a, *b;
    ptrdiff_t a_line, a_k;      /* floats from row to row, k to k */
    ptrdiff_t b_k;              /* columns are neighbours */
    ptrdiff_t ahead;            /* from b to what comes next: to be fetched meanwhile */
    float *c;
    ptrdiff_t ldc;
} cvni_tile;

/* The table of kernels: leaves without threads, one table an instruction set. n counts floats. */
typedef struct cvni_kernels {
    const char *name;
    int mr, nr, unit;           /* register tile of gemm; floats of a vector in it */
    void (*gemm_tile)(const cvni_tile *t);
    /* out[k*width + i] = p[i*step + k], i < lines */
    void (*pack_rows)(int lines, int k, const float *p, ptrdiff_t step, int width, float *out);
    /* out[k*width + i] = p[k*step + i] */
    void (*pack_columns)(int lines, int k, const float *p, ptrdiff_t step, int width, float *out);
    float (*dot)(int n, const float *a, const float *b);
    /* y += alpha*x */
    void (*axpy)(int n, float alpha, const float *x, float *y);
    float (*sum)(int n, const float *x);
    /* sum (x - mean)^2 */
    float (*sum_square_diff)(int n, const float *x, float mean);
    /* sum a*(x - mean) */
    float (*dot_diff)(int n, const float *a, const float *x, float mean);
    /* y = scale*x + shift */
    void (*scale_shift)(int n, float scale, float shift, const float *x, float *y);
    void (*add)(int n, const float *a, const float *b, float *y);                   /* y = a + b */
    /* x > 0 ? x : slope*x */
    void (*relu)(int n, float slope, const float *x, float *y);
    void (*relu_grad)(int n, float slope, const float *y, const float *dy, float *dx, int add);
} cvni_kernels;

struct cvn_net {
    cvn_desc desc;
    const cvni_kernels *k;
    int threads;
    cvni_record *records;
    const char *scope;          /* prefix of names, a record; "" outside of all */
    cvn_net *parent;            /* cvn_share: owner of the weights */

    cvni_layer *layers;         /* [0] is no layer */
    int layer_count, layer_capacity;
    cvni_param *params;
    int param_count, param_capacity;
    int output, chosen_output;  /* what predictions read; what cvn_output named, or 0 */

    cvn_result failed;          /* first error of the graph; sticky */
    char message[512];

    int mode;                   /* 0: not built, CVN_INFER, CVN_TRAIN */
    int segments;               /* recomputed ones that cvn_recompute named */
    size_t memory_budget;       /* bytes of a training plan's arena, or 0 */
    int max_batch, batch;       /* planned; of the inputs set last */
    int shape_batch;            /* batch that shape functions reckon with */
    unsigned char *arena, *arena_block;     /* aligned; as taken */
    size_t arena_bytes;
    int arena_owned;
    cvni_plan plan;
    float *weights, *grads, *state;         /* state: plan.slots arrays of `trainable` floats, each
                                             * aligned */
    size_t trainable, running;              /* floats in weights: trainable ones, then running
                                             * statistics */
    float *ema;                             /* averages of all weights, or NULL */
    float ema_decay;                        /* 0: none */
    int ema_started;                        /* ema holds something */
    int ema_swapped;                        /* ema holds the weights, and they the averages */
    int replan;                             /* the plan in the making keeps what cvn_build left
                                             * out, and no more */
    unsigned char *scratch;
    size_t scratch_bytes;                   /* per worker */
    uint64_t weights_version;               /* raised by every change of weights */
    uint64_t folded_version;                /* the one that folded weights were made from */

    float *sample_weights;      /* [max_batch], in a training plan */
    int *partner;               /* [max_batch]: the sample that each one was mixed with */
    int weighted;               /* samples that have a weight; 0: all weigh 1 */
    int mixed;                  /* samples that were mixed; 0: none */
    float mix;                  /* share of a mixed sample itself; its partner has 1 - mix */

    int inputs_only;            /* the backward pass that runs leaves parameter gradients alone */
    const void *fed_by;         /* >>features: the layer of another net that ran this one last */

    int training;               /* of the pass that runs */
    int again;                  /* layers are recomputed for the backward pass */
    int forward_done;           /* 0, CVN_INFER or CVN_TRAIN */
    uint64_t tick;              /* training forward passes so far: step of the dropout stream */
    float loss;

    cvn_optimizer optimizer;
    uint64_t optimizer_step;
    cvni_fit_state fit;
    float *best;                /* parameters of the best epoch while cvn_fit keeps them */
    cvn_history *history;
    int history_count, history_capacity;
};

static const cvni_kernels *cvni_find_kernels(const char *isa);      /* >>dispatch */

/* ================================================================================================
 * >>error   the first error of a graph sticks, later ones replace each other
 * ============================================================================================== */

static cvn_result cvni_vfail(cvn_net *net, cvn_result result, const char *format, va_list args)
{
    if (net->failed) return net->failed;
    vsnprintf(net->message, sizeof net->message, format, args);
    return result;
}

/* An error of a call on a net: said, not kept. */
CVNI_PRINTF(3, 4)
static cvn_result cvni_fail(cvn_net *net, cvn_result result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    result = cvni_vfail(net, result, format, args);
    va_end(args);
    return result;
}

/* An error while the graph is built: kept. */
CVNI_PRINTF(3, 4)
static cvn_result cvni_graph_fail(cvn_net *net, cvn_result result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    result = cvni_vfail(net, result, format, args);
    va_end(args);
    net->failed = result;
    return result;
}

static void cvni_warn(const cvn_net *net, const char *message)
{
    if (net->desc.log) net->desc.log(net->desc.log_user, message);
}

const char *cvn_error(const cvn_net *net)
{
    return net ? net->message : "no net (out of memory?)";
}

const char *cvn_result_name(cvn_result result)
{
    switch (result) {
    case CVN_OK: return "CVN_OK";
    case CVN_STOPPED: return "CVN_STOPPED";
    case CVN_ERROR_ARGUMENT: return "CVN_ERROR_ARGUMENT";
    case CVN_ERROR_SHAPE: return "CVN_ERROR_SHAPE";
    case CVN_ERROR_STATE: return "CVN_ERROR_STATE";
    case CVN_ERROR_MEMORY: return "CVN_ERROR_MEMORY";
    case CVN_ERROR_FILE: return "CVN_ERROR_FILE";
    case CVN_ERROR_FORMAT: return "CVN_ERROR_FORMAT";
    case CVN_ERROR_NUMBER: return "CVN_ERROR_NUMBER";
    case CVN_ERROR_UNSUPPORTED: return "CVN_ERROR_UNSUPPORTED";
    }
    return "unknown result";
}

/* Text that grows like snprintf's: `length` counts what was needed, `size` bounds what is
 * written. */
typedef struct cvni_text { char *text; size_t size, length; } cvni_text;

CVNI_PRINTF(2, 3)
static void cvni_print(cvni_text *t, const char *format, ...)
{
    const size_t room = t->length < t->size ? t->size - t->length : 0;
    va_list args;
    int n;
    va_start(args, format);
    n = vsnprintf(room ? t->text + t->length : NULL, room, format, args);
    va_end(args);
    if (n > 0) t->length += (size_t)n;
}

/* "[16, 5, 5]": the axes from `first` on (1: behind the batch). buffer holds at least 96 bytes. */
static const char *cvni_axes_text(cvn_shape s, int first, char *buffer)
{
    cvni_text t = { buffer, 96, 0 };
    cvni_print(&t, "[");
    for (int i = first; i < s.rank; i++) cvni_print(&t, i > first ? ", %d" : "%d", s.dim[i]);
    cvni_print(&t, "]");
    return buffer;
}

static const char *cvni_shape_text(cvn_shape s, char *buffer)
{
    return cvni_axes_text(s, 1, buffer);
}

/* ================================================================================================
 * >>memory   checked sizes, blocks, records
 * ============================================================================================== */

static int cvni_min(int a, int b) { return a < b ? a : b; }
static int cvni_max(int a, int b) { return a > b ? a : b; }
static int cvni_ceil_div(int a, int b) { return a / b + (a % b > 0); }
static size_t cvni_max_size(size_t a, size_t b) { return a > b ? a : b; }
static size_t cvni_min_size(size_t a, size_t b) { return a < b ? a : b; }
static size_t cvni_align(size_t bytes)      /* SIZE_MAX, a size that does not fit, stays */
{
    if (bytes > SIZE_MAX - CVNI_ALIGN) return SIZE_MAX;
    return (bytes + CVNI_ALIGN - 1) & ~(size_t)(CVNI_ALIGN - 1);
}

/* a*b, or SIZE_MAX where that does not fit; SIZE_MAX stays SIZE_MAX. */
static size_t cvni_mul_size(size_t a, size_t b)
{
    return a && b > SIZE_MAX / a ? SIZE_MAX : a * b;
}

static size_t cvni_add_size(size_t a, size_t b)
{
    return b > SIZE_MAX - a ? SIZE_MAX : a + b;
}

static void *cvni_alloc(cvn_net *net, size_t bytes)
{
    if (bytes == SIZE_MAX) return NULL;
    if (bytes == 0) bytes = 1;
    return net->desc.allocator.alloc ? net->desc.allocator.alloc(net->desc.allocator.user, bytes)
                                     : CONVNET_MALLOC(bytes);
}

static void cvni_free(cvn_net *net, void *pointer)
{
    if (!pointer) return;
    if (net->desc.allocator.free) net->desc.allocator.free(net->desc.allocator.user, pointer);
    else CONVNET_FREE(pointer);
}

/* A small zeroed piece of memory that lives as long as the net. NULL is reported as a graph
 * error. */
static void *cvni_new_record(cvn_net *net, size_t bytes)
{
    const size_t head = (sizeof(cvni_record) + 15) & ~(size_t)15;
    cvni_record *r = (cvni_record *)cvni_alloc(net, cvni_add_size(head, bytes));
    if (!r) {
        cvni_graph_fail(net, CVN_ERROR_MEMORY, "out of memory while the graph is built");
        return NULL;
    }
    r->next = net->records;
    net->records = r;
    memset((char *)r + head, 0, bytes);
    return (char *)r + head;
}

static char *cvni_copy_text(cvn_net *net, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = (char *)cvni_new_record(net, bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

/* Makes room for one more element in a growing array of the net; 0 when memory is out. */
static int cvni_grow(cvn_net *net, void **array, int *capacity, int count, size_t element)
{
    void *bigger;
    int room;
    if (count < *capacity) return 1;
    room = *capacity ? *capacity * 2 : 16;
    bigger = cvni_alloc(net, cvni_mul_size((size_t)room, element));
    if (!bigger) return 0;
    memset(bigger, 0, (size_t)room * element);
    if (*array) memcpy(bigger, *array, (size_t)*capacity * element);
    cvni_free(net, *array);
    *array = bigger;
    *capacity = room;
    return 1;
}

/* ================================================================================================
 * >>random   Philox 4x32-10: counter based, the same numbers whoever asks and in whatever order
 * ==============================================================================================
 *   source    J. Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011
 *   key       the 64-bit seed
 *   counter   { index, id, low 32 bits of step, high 28 bits of step | stream << 28 }
 *                                                                      tested: tests/test_core.c */

enum {
    CVNI_STREAM_INIT = 1,
    CVNI_STREAM_SHUFFLE = 2,
    CVNI_STREAM_DROPOUT = 3,
    CVNI_STREAM_AUGMENT = 4
};

static void cvni_philox(uint32_t counter[4], uint32_t key0, uint32_t key1)
{
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * counter[0];
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * counter[2];
        counter[0] = (uint32_t)(p1 >> 32) ^ counter[1] ^ key0;
        counter[1] = (uint32_t)p1;
        counter[2] = (uint32_t)(p0 >> 32) ^ counter[3] ^ key1;
        counter[3] = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* Four random words of a stream: number `index` of place `id` (layer, parameter, sample) at
 * `step`. */
static void cvni_random4(uint64_t seed, unsigned stream, uint64_t step, uint32_t id, uint32_t index,
                         uint32_t out[4])
{
    out[0] = index;
    out[1] = id;
    out[2] = (uint32_t)step;
    out[3] = ((uint32_t)(step >> 32) & 0x0FFFFFFFu) | (uint32_t)stream << 28;
    cvni_philox(out, (uint32_t)seed, (uint32_t)(seed >> 32));
}

/* The same words one after the other. */
typedef struct cvni_rng {
    uint64_t seed, step;
    unsigned stream;
    uint32_t id, index;
    uint32_t word[4];
    int left;
} cvni_rng;

static cvni_rng cvni_rng_start(uint64_t seed, unsigned stream, uint64_t step, uint32_t id)
{
    cvni_rng r;
    memset(&r, 0, sizeof r);
    r.seed = seed;
    r.step = step;
    r.stream = stream;
    r.id = id;
    return r;
}

static uint32_t cvni_next(cvni_rng *r)
{
    if (!r->left) {
        cvni_random4(r->seed, r->stream, r->step, r->id, r->index++, r->word);
        r->left = 4;
    }
    return r->word[4 - r->left--];
}

/* Uniform in [0, 1), a multiple of 2^-24. */
static float cvni_to_uniform(uint32_t word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }
static float cvni_uniform(cvni_rng *r) { return cvni_to_uniform(cvni_next(r)); }

/* Uniform in [0, n) without bias to speak of: n/2^32. */
static uint32_t cvni_below(cvni_rng *r, uint32_t n)
{
    return (uint32_t)(((uint64_t)cvni_next(r) * n) >> 32);
}

/* Standard normal by Box and Muller; u > 0 keeps the logarithm finite. */
static float cvni_normal(cvni_rng *r)
{
    const double u = ((double)cvni_next(r) + 1.0) / 4294967296.0;
    const double v = (double)cvni_next(r) / 4294967296.0;
    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

/* ================================================================================================
 * >>threads   the one place where work is spread
 * ==============================================================================================
 *   A job is a number of independent tasks; each task's result depends on the task alone, never on
 *   who runs it, so the number of threads does not change a bit. `cost` is the whole job in
 *   floating-point operations: a job that is cheaper than waking a thread stays on this one. */

#define CVNI_COST_PER_WORKER 100000.0

typedef struct cvni_spread {
    cvni_job job;
    void *context;
    int tasks, workers;
} cvni_spread;

static void cvni_run_part(void *context, int w)
{
    const cvni_spread *s = (const cvni_spread *)context;
    const int begin = (int)((int64_t)s->tasks * w / s->workers);
    const int end = (int)((int64_t)s->tasks * (w + 1) / s->workers);
    s->job(s->context, begin, end, w);
}

static void cvni_parallel_for(cvn_net *net, int tasks, double cost, cvni_job job, void *context)
{
    cvni_spread s;
    s.job = job;
    s.context = context;
    s.tasks = tasks;
    s.workers = cvni_min(net->threads, tasks);
    if (cost < CVNI_COST_PER_WORKER * s.workers)
        s.workers = cvni_max(1, (int)(cost / CVNI_COST_PER_WORKER));
    if (tasks <= 0) return;
    if (s.workers == 1) {
        job(context, 0, tasks, 0);
    } else if (net->desc.parallel_for) {
        net->desc.parallel_for(net->desc.parallel_user, s.workers, cvni_run_part, &s);
    } else {
#ifdef CVNI_OPENMP
        int w;
        #pragma omp parallel for schedule(static) num_threads(s.workers)
        for (w = 0; w < s.workers; w++) cvni_run_part(&s, w);
#else
        for (int w = 0; w < s.workers; w++) cvni_run_part(&s, w);
#endif
    }
}

static int cvni_default_threads(const cvn_desc *desc)
{
    if (desc->threads > 0) return desc->threads;
#ifdef CVNI_OPENMP
    if (!desc->parallel_for) return cvni_max(1, omp_get_max_threads());
#endif
    return 1;
}

static void *cvni_scratch(const cvn_net *net, int worker)
{
    return net->scratch + net->scratch_bytes * (size_t)worker;
}

/* ================================================================================================
 * >>shape   arithmetic on shapes
 * ============================================================================================== */

static size_t cvni_elements(cvn_shape s)
{
    size_t n = 1;
    for (int i = 0; i < s.rank; i++) n = cvni_mul_size(n, (size_t)s.dim[i]);
    return n;
}

/* Elements of one sample: the product of all axes but the batch. */
static size_t cvni_sample_elements(cvn_shape s)
{
    size_t n = 1;
    for (int i = 1; i < s.rank; i++) n = cvni_mul_size(n, (size_t)s.dim[i]);
    return n;
}

/* Elements of a layer's value for one sample of the batch: all its entries of the first axis. */
static size_t cvni_batch_elements(const cvni_layer *l)
{
    return cvni_mul_size(cvni_sample_elements(l->shape), (size_t)l->samples);
}

static cvn_shape cvni_shape(int rank, int d0, int d1, int d2, int d3)
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

static int cvni_same_shape(cvn_shape a, cvn_shape b)
{
    if (a.rank != b.rank) return 0;
    for (int i = 0; i < a.rank; i++) if (a.dim[i] != b.dim[i]) return 0;
    return 1;
}

/* Splits a shape at an axis: [outer, dim[axis], inner]. */
static void cvni_split_axis(cvn_shape s, int axis, int *outer, int *length, int *inner)
{
    *outer = *inner = 1;
    for (int i = 0; i < axis; i++) *outer *= s.dim[i];
    for (int i = axis + 1; i < s.rank; i++) *inner *= s.dim[i];
    *length = s.dim[axis];
}

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>graph   create and destroy nets, add layers and parameters, marks
 * ============================================================================================== */

static cvni_layer *cvni_in(const cvn_net *net, const cvni_layer *l, int i)
{
    return &net->layers[l->input[i]];
}

static int cvni_id(const cvn_net *net, const cvni_layer *l) { return (int)(l - net->layers); }

/* Pointer to a parameter of a layer, its gradient (NULL: none is wanted), and its running
 * statistics. */
static float *cvni_weights(const cvn_net *net, const cvni_layer *l, int slot)
{
    if (slot == 0 && l->normed) return l->normed;
    return slot < l->params ? net->weights + net->params[l->param[slot]].offset : NULL;
}

static float *cvni_weights_grad(const cvn_net *net, const cvni_layer *l, int slot)
{
    if (slot >= l->params || l->frozen || !net->grads || net->inputs_only) return NULL;
    if (slot == 0 && l->normed) return l->normed_grad;
    return net->grads + net->params[l->param[slot]].offset;
}

cvn_desc cvn_desc_defaults(void)
{
    cvn_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

cvn_net *cvn_create(const cvn_desc *desc)
{
    cvn_desc d = desc ? *desc : cvn_desc_defaults();
    cvn_net *net;
    if (!d.allocator.alloc || !d.allocator.free) memset(&d.allocator, 0, sizeof d.allocator);
    net = (cvn_net *)(d.allocator.alloc ? d.allocator.alloc(d.allocator.user, sizeof *net)
                                        : CONVNET_MALLOC(sizeof *net));
    if (!net) return NULL;
    memset(net, 0, sizeof *net);
    if (!d.seed) d.seed = 1;
    net->desc = d;
    net->threads = cvni_default_threads(&d);
    net->layer_count = 1;
    net->scope = "";
    net->shape_batch = 1;
    net->loss = NAN;
    net->optimizer = cvn_adam(1e-3f);
    net->k = cvni_find_kernels(d.isa);
    if (!net->k) {
        net->k = cvni_find_kernels("c");
        cvni_graph_fail(net, CVN_ERROR_UNSUPPORTED,
                        "cvn_create: this CPU or build has no kernels \"%s\"", d.isa ? d.isa : "");
    }
    return net;
}

static void cvni_release_arena(cvn_net *net)
{
    if (net->arena_owned) cvni_free(net, net->arena_block);
    cvni_free(net, net->plan.buffers);
    cvni_free(net, net->plan.places);
    memset(&net->plan, 0, sizeof net->plan);
    net->arena = net->arena_block = NULL;
    net->arena_owned = 0;
}

void cvn_destroy(cvn_net *net)
{
    cvni_record *r;
    if (!net) return;
    cvni_release_arena(net);
    cvni_free(net, net->best);
    cvni_free(net, net->history);
    cvni_free(net, net->params);
    cvni_free(net, net->layers);
    for (r = net->records; r;) {
        cvni_record *next = r->next;
        cvni_free(net, r);
        r = next;
    }
    cvni_free(net, net);
}

/* A layer's own error: its name before the text. */
CVNI_PRINTF(4, 5)
static cvn_result cvni_layer_fail(cvn_net *net, const cvni_layer *l, cvn_result result,
                                  const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return cvni_fail(net, result, "%s: %s", l->name, text);
}

static int cvni_find_layer(const cvn_net *net, const char *name)
{
    for (int i = 1; i < net->layer_count; i++) if (!strcmp(net->layers[i].name, name)) return i;
    return 0;
}

/* conv1, conv2, ... in the current scope: the first that is free. */
static char *cvni_automatic_name(cvn_net *net, const cvni_op *op)
{
    const char *dot = net->scope[0] ? "." : "";
    char name[2 * CVN_MAX_NAME];
    int number = 1;
    for (int i = 1; i < net->layer_count; i++)
        number += !strcmp(net->layers[i].op->name, op->name) &&
                  !strcmp(net->layers[i].scope, net->scope);
    do {
        snprintf(name, sizeof name, "%s%s%s%d", net->scope, dot, op->name, number++);
    } while (cvni_find_layer(net, name));
    return cvni_copy_text(net, name);
}

static int cvni_valid(const cvn_net *net, cvn_node node)
{
    return node.id > 0 && node.id < net->layer_count;
}

/* After shape(): how often the batch the first axis is. */
static void cvni_count_samples(const cvn_net *net, cvni_layer *l)
{
    l->samples = l->per_batch ? 1 : cvni_max(1, l->shape.dim[0] / net->shape_batch);
}

static cvn_result cvni_check_elements(cvn_net *net, const cvni_layer *l)
{
    char text[96];
    if (cvni_elements(l->shape) <= (size_t)CONVNET_MAX_ELEMENTS && cvni_elements(l->shape) > 0)
        return CVN_OK;
    return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                           "output %s for a batch of %d has more than %ld elements",
                           cvni_shape_text(l->shape, text), net->shape_batch,
                           (long)CONVNET_MAX_ELEMENTS);
}

/* What a node is whose value is no tensor of floats. */
static const char *cvni_not_floats(const cvni_layer *l)
{
    return !l->is_int ? "a loss" : l->op->flags & CVNI_SOURCE ? "labels" : "a tensor of ints";
}

/* Adds one row to the graph. desc is copied; the shape function completes the layer. */
static cvn_node cvni_add_layer(cvn_net *net, const cvni_op *op, const cvn_node *inputs, int count,
                               const void *desc, size_t desc_bytes)
{
    const cvn_node none = { 0 };
    cvn_node node;
    cvni_layer *l;
    cvn_result result;
    if (!net || net->failed) return none;
    if (net->mode || net->parent) {
        cvni_fail(net, CVN_ERROR_STATE, "%s: the net is built or shared; add layers before",
                  op->type);
        return none;
    }
    for (int i = 0; i < count; i++) {
        if (!cvni_valid(net, inputs[i])) {
            cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: input %d is no node of this net",
                            op->type, i + 1);
            return none;
        }
        if (net->layers[inputs[i].id].per_batch ||
            (net->layers[inputs[i].id].is_int && !(op->flags & (CVNI_LOSS | CVNI_TAKES_INT)))) {
            cvni_graph_fail(net, CVN_ERROR_SHAPE,
                            "%s: input '%s' is %s; a tensor of floats is needed", op->type,
                            net->layers[inputs[i].id].name,
                            cvni_not_floats(&net->layers[inputs[i].id]));
            return none;
        }
    }
    if (!cvni_grow(net, (void **)&net->layers, &net->layer_capacity, net->layer_count + 1,
                   sizeof *net->layers)) {
        cvni_graph_fail(net, CVN_ERROR_MEMORY, "out of memory while the graph is built");
        return none;
    }
    l = &net->layers[net->layer_count];
    memset(l, 0, sizeof *l);
    l->op = op;
    l->scope = net->scope;
    l->inputs = count;
    l->name = cvni_automatic_name(net, op);
    l->input = (int *)cvni_new_record(net, (size_t)cvni_max(count, 1) * sizeof(int));
    l->desc = cvni_new_record(net, cvni_max_size(desc_bytes, 1));
    if (net->failed) return none;
    for (int i = 0; i < count; i++) l->input[i] = inputs[i].id;
    if (desc_bytes) memcpy(l->desc, desc, desc_bytes);
    result = op->shape(net, l);
    if (result == CVN_OK) result = cvni_check_elements(net, l);
    cvni_count_samples(net, l);
    if (result != CVN_OK) {
        net->failed = result;
        return none;
    }
    node.id = net->layer_count++;
    return node;
}

static char *cvni_param_name(cvn_net *net, const char *layer, const char *suffix)
{
    char name[CVN_MAX_NAME + 32];
    snprintf(name, sizeof name, "%s%s%s", layer, suffix[0] ? "." : "", suffix);
    return cvni_copy_text(net, name);
}

/* Room for one more parameter of a layer. */
static int cvni_grow_params(cvn_net *net, cvni_layer *l)
{
    int *more;
    if (l->params < l->param_capacity) return 1;
    more = (int *)cvni_new_record(net, (size_t)(2 * l->params + 4) * sizeof(int));
    if (!more) return 0;
    if (l->params) memcpy(more, l->param, (size_t)l->params * sizeof(int));
    l->param = more;
    l->param_capacity = 2 * l->params + 4;
    return 1;
}

/* Declares parameter `slot` of a layer; when it is there already (a new plan), its shape must be
 * the same. */
static cvn_result cvni_add_param(cvn_net *net, cvni_layer *l, int slot, const char *suffix,
                                 cvn_shape shape, cvni_role role, cvn_init init, double fan_in,
                                 double fan_out)
{
    cvni_param *p;
    char had[96];
    char wants[96];
    if (slot < l->params) {
        p = &net->params[l->param[slot]];
        if (cvni_same_shape(p->shape, shape)) return CVN_OK;
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "%s is %s but this input would need %s",
                               suffix, cvni_axes_text(p->shape, 0, had),
                               cvni_axes_text(shape, 0, wants));
    }
    if (!cvni_grow_params(net, l) ||
        !cvni_grow(net, (void **)&net->params, &net->param_capacity, net->param_count + 1,
                   sizeof *net->params))
        return cvni_graph_fail(net, CVN_ERROR_MEMORY, "out of memory while the graph is built");
    p = &net->params[net->param_count];
    memset(p, 0, sizeof *p);
    p->suffix = suffix;
    p->shape = shape;
    p->count = cvni_elements(shape);
    p->init = init;
    p->fan_in = fan_in;
    p->fan_out = fan_out;
    p->layer = cvni_id(net, l);
    p->role = role;
    p->decays = role == CVNI_WEIGHT && shape.rank > 1;
    p->lr_scale = p->decay_scale = 1;
    p->name = cvni_param_name(net, l->name, suffix);
    if (!p->name) return net->failed;
    if (p->count > (size_t)CONVNET_MAX_ELEMENTS)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "%s has more than %ld elements", suffix,
                               (long)CONVNET_MAX_ELEMENTS);
    l->param[slot] = net->param_count++;
    l->params = slot + 1;
    return CVN_OK;
}

cvn_node cvn_name(cvn_net *net, cvn_node node, const char *name)
{
    const cvn_node none = { 0 };
    cvni_layer *l;
    int taken;
    if (!net || net->failed) return none;
    if (!cvni_valid(net, node) || net->mode || !name || !name[0] || strlen(name) >= CVN_MAX_NAME) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT,
                        "cvn_name: needs a node, a name of 1 to %d bytes, and a net not yet built",
                        CVN_MAX_NAME - 1);
        return none;
    }
    taken = cvni_find_layer(net, name);
    if (taken && taken != node.id) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "cvn_name: there is a %s named '%s' already",
                        net->layers[taken].op->type, name);
        return none;
    }
    l = &net->layers[node.id];
    l->name = cvni_copy_text(net, name);
    for (int i = 0; i < net->param_count && !net->failed; i++) {
        cvni_param *p = &net->params[i];
        if (p->layer == node.id) p->name = cvni_param_name(net, name, p->suffix);
    }
    return net->failed ? none : node;
}

void cvn_scope(cvn_net *net, const char *prefix)
{
    if (!net || net->failed) return;
    if (prefix && strlen(prefix) > CVN_MAX_NAME - 24) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "cvn_scope: '%.40s...' is longer than %d bytes",
                        prefix, CVN_MAX_NAME - 24);
        return;
    }
    prefix = prefix && prefix[0] ? cvni_copy_text(net, prefix) : "";
    if (prefix) net->scope = prefix;
}

cvn_node cvn_find(const cvn_net *net, const char *name)
{
    cvn_node node = { 0 };
    if (net && name) node.id = cvni_find_layer(net, name);
    return node;
}

const char *cvn_node_name(const cvn_net *net, cvn_node node)
{
    return net && cvni_valid(net, node) ? net->layers[node.id].name : "";
}

cvn_shape cvn_node_shape(const cvn_net *net, cvn_node node)
{
    return net && cvni_valid(net, node) ? net->layers[node.id].shape : cvni_shape(0, 0, 0, 0, 0);
}

/* The layer to mark before cvn_build, or NULL with the error said. */
static cvni_layer *cvni_mark(cvn_net *net, cvn_node node, const char *call)
{
    if (!net || net->failed) return NULL;
    if (net->mode) {
        cvni_fail(net, CVN_ERROR_STATE, "%s: the net is built; mark nodes before cvn_build", call);
        return NULL;
    }
    if (!cvni_valid(net, node)) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: not a node of this net", call);
        return NULL;
    }
    return &net->layers[node.id];
}

void cvn_output(cvn_net *net, cvn_node node)
{
    cvni_layer *l = cvni_mark(net, node, "cvn_output");
    if (!l) return;
    if (l->is_int || l->per_batch)
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "cvn_output: '%s' is %s", l->name,
                        cvni_not_floats(l));
    net->chosen_output = node.id;
}

void cvn_keep(cvn_net *net, cvn_node node)
{
    cvni_layer *l = cvni_mark(net, node, "cvn_keep");
    if (l) l->keep = 1;
}

void cvn_want_grad(cvn_net *net, cvn_node node)
{
    cvni_layer *l = cvni_mark(net, node, "cvn_want_grad");
    if (!l) return;
    if (l->is_int)
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "cvn_want_grad: '%s' is %s and has no gradient",
                        l->name, cvni_not_floats(l));
    l->want_grad = 1;
}

void cvn_add_loss(cvn_net *net, cvn_node node, float weight)
{
    cvni_layer *l = cvni_mark(net, node, "cvn_add_loss");
    if (!l) return;
    if (!l->per_batch || l->shape.rank != 0 || !(weight - weight == 0)) {
        cvni_graph_fail(net, CVN_ERROR_SHAPE,
                        "cvn_add_loss: '%s' must be a scalar and its weight a finite number",
                        l->name);
        return;
    }
    l->loss_weight = weight;
}

void cvn_recompute(cvn_net *net, cvn_node first, cvn_node last)
{
    if (!cvni_mark(net, first, "cvn_recompute") || !cvni_mark(net, last, "cvn_recompute")) return;
    if (first.id > last.id) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "cvn_recompute: '%s' comes behind '%s'",
                        net->layers[first.id].name, net->layers[last.id].name);
        return;
    }
    net->segments++;
    for (int id = first.id; id <= last.id; id++) net->layers[id].segment = net->segments;
}

void cvn_set_memory_budget(cvn_net *net, size_t bytes)
{
    if (net) net->memory_budget = bytes;
}

void cvn_tie(cvn_net *net, cvn_node node, cvn_node with)
{
    cvni_layer *l = cvni_mark(net, node, "cvn_tie");
    cvni_layer *w = cvni_mark(net, with, "cvn_tie");
    if (!l || !w || l == w) return;
    if (net->parent) {
        cvni_fail(net, CVN_ERROR_STATE, "cvn_tie: a shared net does not own its parameters");
        return;
    }
    if (l->op != w->op || l->params != w->params || !l->params || l->op->flags & CVNI_LOSS) {
        cvni_graph_fail(net, CVN_ERROR_SHAPE,
                        "cvn_tie: '%s' (%s) and '%s' (%s) have not the same parameters", l->name,
                        l->op->type, w->name, w->op->type);
        return;
    }
    for (int i = 0; i < l->params; i++) {
        if (!cvni_same_shape(net->params[l->param[i]].shape, net->params[w->param[i]].shape)) {
            cvni_graph_fail(net, CVN_ERROR_SHAPE, "cvn_tie: '%s' and '%s' have another shape",
                            net->params[l->param[i]].name, net->params[w->param[i]].name);
            return;
        }
    }
    if (l->spectral && l->spectral != w->spectral)
        net->params[l->spectral - 1].dead = net->params[l->spectral].dead = 1;
    l->spectral = w->spectral;
    for (int i = 0; i < l->params; i++) {
        const int own = l->param[i];
        if (own == w->param[i]) continue;
        net->params[own].dead = 1;
        for (int id = 1; id < net->layer_count; id++)       /* all that were tied to it follow */
            for (int k = 0; k < net->layers[id].params; k++)
                if (net->layers[id].param[k] == own) {
                    net->layers[id].param[k] = w->param[i];
                    net->layers[id].spectral = w->spectral;
                }
    }
}

static cvn_result cvni_set_frozen(cvn_net *net, cvn_node node, int frozen)
{
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!cvni_valid(net, node))
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_freeze: not a node of this net");
    if (!frozen && net->mode == CVN_TRAIN && net->layers[node.id].params &&
        !net->layers[node.id].place.grad)
        return cvni_fail(net, CVN_ERROR_STATE,
                         "cvn_unfreeze: '%s' was frozen when the net was built; build it anew",
                         net->layers[node.id].name);
    net->layers[node.id].frozen = frozen;
    return CVN_OK;
}

cvn_result cvn_freeze(cvn_net *net, cvn_node node) { return cvni_set_frozen(net, node, 1); }
cvn_result cvn_unfreeze(cvn_net *net, cvn_node node) { return cvni_set_frozen(net, node, 0); }

cvn_result cvn_freeze_to(cvn_net *net, cvn_node node)
{
    char *reached;
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!cvni_valid(net, node))
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_freeze_to: not a node of this net");
    reached = (char *)cvni_alloc(net, (size_t)net->layer_count);
    if (!reached) return cvni_fail(net, CVN_ERROR_MEMORY, "cvn_freeze_to: out of memory");
    memset(reached, 0, (size_t)net->layer_count);
    reached[node.id] = 1;
    for (int id = node.id; id > 0; id--) {
        cvni_layer *l = &net->layers[id];
        if (!reached[id]) continue;
        l->frozen = 1;
        for (int i = 0; i < l->inputs; i++) reached[l->input[i]] = 1;
    }
    cvni_free(net, reached);
    return CVN_OK;
}

static cvn_result cvni_set_scale(cvn_net *net, cvn_node node, float factor, int decay)
{
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!cvni_valid(net, node) || !(factor >= 0) || !(factor - factor == 0))
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "%s: needs a node and a factor of 0 or more",
                         decay ? "cvn_decay_scale" : "cvn_lr_scale");
    for (int i = 0; i < net->layers[node.id].params; i++) {
        cvni_param *p = &net->params[net->layers[node.id].param[i]];
        if (decay) p->decay_scale = factor;
        else p->lr_scale = factor;
    }
    return CVN_OK;
}

cvn_result cvn_lr_scale(cvn_net *net, cvn_node node, float factor)
{
    return cvni_set_scale(net, node, factor, 0);
}
cvn_result cvn_decay_scale(cvn_net *net, cvn_node node, float factor)
{
    return cvni_set_scale(net, node, factor, 1);
}

int cvn_param_count(const cvn_net *net)
{
    int n = 0;
    if (net) for (int i = 0; i < net->param_count; i++) n += !net->params[i].dead;
    return n;
}

static cvn_param cvni_param_info(const cvn_net *net, const cvni_param *p)
{
    cvn_param info;
    memset(&info, 0, sizeof info);
    info.name = p->name;
    info.shape = p->shape;
    info.count = p->count;
    info.value = net->weights ? net->weights + p->offset : NULL;
    info.gradient = net->grads && p->role != CVNI_RUNNING ? net->grads + p->offset : NULL;
    info.trainable = p->role != CVNI_RUNNING && !net->layers[p->layer].frozen;
    return info;
}

static cvn_param cvni_no_param(void)
{
    cvn_param info;
    memset(&info, 0, sizeof info);
    info.name = "";
    return info;
}

cvn_param cvn_param_at(const cvn_net *net, int index)
{
    for (int i = 0; net && index >= 0 && i < net->param_count; i++)
        if (!net->params[i].dead && index-- == 0) return cvni_param_info(net, &net->params[i]);
    return cvni_no_param();
}

cvn_param cvn_param_find(const cvn_net *net, const char *name)
{
    for (int i = 0; net && name && i < net->param_count; i++)
        if (!net->params[i].dead && !strcmp(net->params[i].name, name))
            return cvni_param_info(net, &net->params[i]);
    return cvni_no_param();
}

size_t cvn_parameters(const cvn_net *net)
{
    size_t n = 0;
    for (int i = 0; net && i < net->param_count; i++)
        if (!net->params[i].dead && net->params[i].role != CVNI_RUNNING) n += net->params[i].count;
    return n;
}

static double cvni_layer_macs(const cvni_layer *l) { return l->macs * l->samples; }

double cvn_macs(const cvn_net *net)
{
    double n = 0;
    for (int id = 1; net && id < net->layer_count; id++) n += cvni_layer_macs(&net->layers[id]);
    return n;
}

float *cvn_flat_parameters(cvn_net *net, size_t *count)
{
    if (count) *count = net && net->mode ? net->trainable + net->running : 0;
    return net ? net->weights : NULL;
}

float *cvn_flat_gradients(cvn_net *net, size_t *count)
{
    if (count) *count = net && net->grads ? net->trainable : 0;
    return net ? net->grads : NULL;
}

void cvn_touch(cvn_net *net)
{
    if (net) (net->parent ? net->parent : net)->weights_version++;
}

const char *cvn_isa(const cvn_net *net) { return net ? net->k->name : ""; }

static float cvni_init_value(const cvni_param *p, cvni_rng *r)
{
    const double std[] = { 0, sqrt(2 / p->fan_in), sqrt(2 / (p->fan_in + p->fan_out)),
                           sqrt(1 / p->fan_in) };
    switch (p->init.kind) {
    case CVN_INIT_HE_NORMAL: return cvni_normal(r) * (float)std[1];
    case CVN_INIT_XAVIER_NORMAL: return cvni_normal(r) * (float)std[2];
    case CVN_INIT_LECUN_NORMAL: return cvni_normal(r) * (float)std[3];
    case CVN_INIT_HE_UNIFORM: return (2 * cvni_uniform(r) - 1) * (float)(sqrt(3.0) * std[1]);
    case CVN_INIT_XAVIER_UNIFORM: return (2 * cvni_uniform(r) - 1) * (float)(sqrt(3.0) * std[2]);
    case CVN_INIT_LECUN_UNIFORM: return (2 * cvni_uniform(r) - 1) * (float)(sqrt(3.0) * std[3]);
    case CVN_INIT_NORMAL: return p->init.a + p->init.b * cvni_normal(r);
    case CVN_INIT_UNIFORM: return p->init.a + (p->init.b - p->init.a) * cvni_uniform(r);
    case CVN_INIT_CONSTANT: return p->init.a;
    case CVN_INIT_DEFAULT:
    case CVN_INIT_ZERO: break;
    }
    return 0;
}

static void cvni_spectral_init(cvn_net *net);       /* >>spectral */

/* Each parameter has a stream of its own, so that a new head does not change the draws of the
 * features before it. */
cvn_result cvn_init_parameters(cvn_net *net, uint64_t seed)
{
    if (!net) return CVN_ERROR_STATE;
    if (!net->mode || net->parent)
        return cvni_fail(net, CVN_ERROR_STATE,
                         "cvn_init_parameters: call it on a built net that owns its parameters");
    for (int i = 0; i < net->param_count; i++) {
        const cvni_param *p = &net->params[i];
        cvni_rng r = cvni_rng_start(seed ? seed : net->desc.seed, CVNI_STREAM_INIT, 0, (uint32_t)i);
        if (!p->dead)
            for (size_t e = 0; e < p->count; e++)
                net->weights[p->offset + e] = cvni_init_value(p, &r);
    }
    cvni_spectral_init(net);
    net->ema_started = net->ema_swapped = 0;
    cvn_touch(net);
    return CVN_OK;
}

static cvn_init cvni_init_or(cvn_init given, cvn_init_kind kind, float a)
{
    cvn_init init;
    init.kind = kind;
    init.a = a;
    init.b = 0;
    return given.kind == CVN_INIT_DEFAULT ? init : given;
}

/* "1,234,567" would need a locale; plain digits it is. */
int cvn_summary(const cvn_net *net, char *text, size_t size)
{
    cvni_text t;
    size_t bytes = 0;
    if (!net) return 0;
    t.text = text;
    t.size = size;
    t.length = 0;
    cvni_print(&t, "%-24s %-18s %-20s %12s %14s %12s\n", "name", "type", "output", "parameters",
               "MACs", "bytes");
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const size_t value = (l->per_batch ? cvni_elements(l->shape) : cvni_batch_elements(l)) *
                             sizeof(float);
        size_t own = 0;
        char shape[96];
        for (int i = 0; i < l->params; i++)
            if (net->params[l->param[i]].layer == id &&
                net->params[l->param[i]].role != CVNI_RUNNING)
                own += net->params[l->param[i]].count;
        cvni_print(&t, "%-24s %-18s %-20s %12lu %14.0f %12lu\n", l->name, l->op->type,
                   cvni_shape_text(l->shape, shape), (unsigned long)own, cvni_layer_macs(l),
                   (unsigned long)value);
        bytes += value;
    }
    cvni_print(&t, "%-24s %-18s %-20s %12lu %14.0f %12lu\n", "total", "", "per sample",
               (unsigned long)cvn_parameters(net), cvn_macs(net), (unsigned long)bytes);
    return (int)t.length;
}

/* ================================================================================================
 * >>input   where values enter: images, vectors, labels, targets
 * ============================================================================================== */

typedef struct cvni_source_desc {
    int rank;                           /* with the batch */
    int dim[CVN_MAX_RANK];
    int like;                           /* id of the layer whose shape it has, or 0: dim */
    int drop_axis;                      /* without this axis (labels of a class axis), or 0 */
    int old_height, old_width;          /* before cvn_resize */
} cvni_source_desc;

static cvn_result cvni_source_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_source_desc *d = (const cvni_source_desc *)l->desc;
    if (d->like) {
        const cvn_shape s = net->layers[d->like].shape;
        l->shape = s;
        if (d->drop_axis) {
            l->shape.rank = 0;
            for (int i = 0; i < s.rank; i++)
                if (i != d->drop_axis) l->shape.dim[l->shape.rank++] = s.dim[i];
        }
        return CVN_OK;
    }
    l->shape.rank = d->rank;
    for (int i = 1; i < d->rank; i++) {
        l->shape.dim[i] = d->dim[i];
        if (d->dim[i] < 1)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "axis %d has %d elements; 1 or more are needed", i, d->dim[i]);
    }
    l->shape.dim[0] = net->shape_batch;
    return CVN_OK;
}

static cvn_result cvni_labels_shape(cvn_net *net, cvni_layer *l)
{
    l->is_int = 1;
    return cvni_source_shape(net, l);
}

static const cvni_op cvni_op_input = { "input",           "input", NULL, CVNI_SOURCE,
                                       cvni_source_shape, NULL,    NULL, NULL };
static const cvni_op cvni_op_labels = { "labels",          "labels", NULL, CVNI_SOURCE,
                                        cvni_labels_shape, NULL,     NULL, NULL };
static const cvni_op cvni_op_target = { "target",          "target", NULL, CVNI_SOURCE,
                                        cvni_source_shape, NULL,     NULL, NULL };

static cvn_node cvni_add_source(cvn_net *net, const cvni_op *op, const int *dims, int count)
{
    cvni_source_desc d;
    const cvn_node none = { 0 };
    if (!net || net->failed) return none;
    if (count < 0 || count >= CVN_MAX_RANK || (count && !dims)) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: %d axes; 0 to %d are possible", op->type,
                        count, CVN_MAX_RANK - 1);
        return none;
    }
    memset(&d, 0, sizeof d);
    d.rank = count + 1;
    for (int i = 0; i < count; i++) d.dim[i + 1] = dims[i];
    return cvni_add_layer(net, op, NULL, 0, &d, sizeof d);
}

/* A source of the shape of a node; without one axis when drop_axis is not 0. */
static cvn_node cvni_add_source_like(cvn_net *net, const cvni_op *op, cvn_node like, int drop_axis)
{
    const cvn_node none = { 0 };
    cvni_source_desc d;
    memset(&d, 0, sizeof d);
    if (!net || net->failed) return none;
    if (!cvni_valid(net, like)) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: not a node of this net", op->type);
        return none;
    }
    d.like = like.id;
    d.drop_axis = drop_axis;
    return cvni_add_layer(net, op, NULL, 0, &d, sizeof d);
}

cvn_node cvn_input_tensor(cvn_net *net, const int *dims, int count)
{
    return cvni_add_source(net, &cvni_op_input, dims, count);
}
cvn_node cvn_input_labels(cvn_net *net, const int *dims, int count)
{
    return cvni_add_source(net, &cvni_op_labels, dims, count);
}
cvn_node cvn_input_vector(cvn_net *net, int features)
{
    return cvni_add_source(net, &cvni_op_input, &features, 1);
}
cvn_node cvn_target(cvn_net *net, cvn_node like)
{
    return cvni_add_source_like(net, &cvni_op_target, like, 0);
}

cvn_node cvn_input(cvn_net *net, int channels, int height, int width)
{
    int dims[3];
    dims[0] = channels;
    dims[1] = height;
    dims[2] = width;
    return cvni_add_source(net, &cvni_op_input, dims, 3);
}

/* cvn_resize: all image inputs take a new size and remember the old one; 0, 0 goes back to it. */
static void cvni_swap_image_sizes(cvn_net *net, int height, int width)
{
    for (int id = 1; id < net->layer_count; id++) {
        cvni_source_desc *d = (cvni_source_desc *)net->layers[id].desc;
        if (net->layers[id].op != &cvni_op_input || d->rank != 4) continue;
        if (height) {
            d->old_height = d->dim[2];
            d->old_width = d->dim[3];
        }
        d->dim[2] = height ? height : d->old_height;
        d->dim[3] = width ? width : d->old_width;
    }
}

/* The first float input: where images go. */
static cvni_layer *cvni_first_input(cvn_net *net)
{
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].op == &cvni_op_input) return &net->layers[id];
    return NULL;
}

/* ================================================================================================
 * >>plan   which layers run, where every buffer lies, how large the arena is
 * ==============================================================================================
 *   Time is one line for a whole training step: the forward passes of the layers, the moment at
 *   which gradients are pushed in, the backward passes in reverse order. A buffer has the interval
 *   of steps in which it is needed; buffers whose intervals do not meet share memory. Placement:
 *   largest first, each at the lowest offset that is free during its interval.
 *
 *   Recomputation. A value inside a segment that only the segment itself reads later is dropped
 *   after its forward use. Right before the backward pass of the segment's last layer its layers
 *   run forward again, in order, into buffers of their own (y_again, ...); layers that no backward
 *   pass needs stay out. Random draws are those of the first time (>>random: a draw depends on the
 *   pass, not on when it is made) and running statistics stay, so all bits are the same.
 *                                          source: T. Chen et al., arXiv:1604.06174
 *
 *   Arena: [ parameters, running statistics | averages of them | gradients | optimizer state |
 *            weights and partners of the samples | scratch | buffers ]
 *                                                                      tested: tests/test_core.c */

static int cvni_can_fold(const cvni_layer *l);              /* >>conv, >>dense: takes a norm and
                                                             * an activation in */
static int cvni_is_batchnorm(const cvni_layer *l);          /* >>norm */
static int cvni_is_relu(const cvni_layer *l);               /* >>act: relu or leaky relu */
static float cvni_relu_slope(const cvni_layer *l);

/* The number of samples of the passes to come: the first axis of every value. */
static cvn_result cvni_set_batch(cvn_net *net, int n)
{
    if (n < 1 || n > net->max_batch)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "a batch of %d; the net was built for 1 to %d", n,
                         net->max_batch);
    if (n == net->batch) return CVN_OK;
    net->batch = n;
    net->forward_done = 0;
    for (int id = 1; id < net->layer_count; id++)
        if (!net->layers[id].per_batch)
            net->layers[id].shape.dim[0] = n * net->layers[id].samples;
    return CVN_OK;
}

static int cvni_param_frozen(const cvn_net *net, const cvni_param *p)
{
    return net->layers[p->layer].frozen;
}

static int cvni_optimizer_slots(const cvn_optimizer *o);    /* >>optim: state arrays */
static size_t cvni_spectral_bytes(const cvn_net *net, const cvni_layer *l);     /* >>spectral */

static void cvni_free_plan(cvn_net *net, cvni_plan *plan)
{
    cvni_free(net, plan->buffers);
    cvni_free(net, plan->places);
    memset(plan, 0, sizeof *plan);
}

/* Index of a new buffer, -1 for an empty one, -2 when memory is out. */
static int cvni_add_buffer(cvn_net *net, cvni_plan *plan, size_t bytes, int begin, int end)
{
    cvni_buffer *b;
    if (!bytes) return -1;
    if (!cvni_grow(net, (void **)&plan->buffers, &plan->capacity, plan->count,
                   sizeof *plan->buffers))
        return -2;
    b = &plan->buffers[plan->count];
    b->bytes = cvni_align(bytes);
    b->offset = 0;
    b->begin = begin;
    b->end = end;
    return plan->count++;
}

static void cvni_extend(cvni_plan *plan, int buffer, int begin, int end)
{
    if (buffer < 0) return;
    plan->buffers[buffer].begin = cvni_min(plan->buffers[buffer].begin, begin);
    plan->buffers[buffer].end = cvni_max(plan->buffers[buffer].end, end);
}

/* Scratch facts of a plan that is being made. */
typedef struct cvni_planner {
    cvn_net *net;
    cvni_plan *plan;
    int train;
    int seed;                   /* step at which gradients are pushed in */
    /* by layer: */
    int *forward, *again, *backward;    /* steps; again 0: not recomputed */
    int *readers;               /* layers that read it and run */
    int *alias;                 /* the layer whose memory its value shares, or 0 */
    char *live;                 /* runs in this plan */
    char *dropped;              /* its value does not outlive the forward pass */
} cvni_planner;

enum { CVNI_PLANNER_INTS = 7 }; /* the arrays above, the two of chars as one */

static int cvni_is_kept(const cvn_net *net, int id)
{
    const cvni_layer *l = &net->layers[id];
    return l->keep || net->desc.keep_all || l->per_batch || id == net->output;
}

/* Which layers are needed for predictions (the output, kept nodes, and all they are computed
 * from). */
static void cvni_plan_predict(const cvni_planner *p)
{
    const cvn_net *net = p->net;
    for (int id = net->layer_count - 1; id > 0; id--) {
        const cvni_layer *l = &net->layers[id];
        cvni_place *place = &p->plan->places[id];
        const int read = id == net->output ||
                         ((l->keep || net->desc.keep_all) && !(l->op->flags & CVNI_SOURCE));
        if (read && !(l->op->flags & CVNI_LOSS)) place->predict = 1;
        if (!place->predict) continue;
        for (int i = 0; i < l->inputs; i++) p->plan->places[l->input[i]].predict = 1;
    }
}

/* Which layers take part in backward: something to train (or a wanted gradient) lies at or before
 * them, a loss (or a place to push a gradient in) at or behind them. */
static void cvni_plan_gradients(const cvni_planner *p)
{
    const cvn_net *net = p->net;
    cvni_place *places = p->plan->places;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        int grad = l->want_grad ||
                   (net->desc.keep_all && !l->is_int && !(l->op->flags & CVNI_SOURCE));
        for (int i = 0; i < l->params; i++)
            grad |= net->params[l->param[i]].role != CVNI_RUNNING &&
                    !(net->replan ? l->left_out : l->frozen);
        for (int i = 0; i < l->inputs; i++) grad |= places[l->input[i]].grad;
        places[id].grad = grad && (l->op->backward || l->op->flags & CVNI_SOURCE) && !l->is_int;
    }
    /* here: a seed lies at or behind it */
    for (int id = 1; id < net->layer_count; id++) p->live[id] = 0;
    for (int id = net->layer_count - 1; id > 0; id--) {
        const cvni_layer *l = &net->layers[id];
        p->live[id] = (char)(p->live[id] || l->loss_weight != 0 || l->want_grad ||
                             net->desc.keep_all);
        for (int i = 0; p->live[id] && i < l->inputs; i++) p->live[l->input[i]] = 1;
        places[id].grad = places[id].grad && p->live[id];
    }
}

/* An inference plan computes a chain conv/dense -> batch norm -> relu as one layer, when nobody
 * reads what lies between: the later layers are views of the first one's value. */
static void cvni_plan_fusion(const cvni_planner *p)
{
    cvn_net *net = p->net;
    cvni_place *places = p->plan->places;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        int x;
        if (!p->live[id] || l->inputs != 1) continue;
        x = l->input[0];
        if (l->op->flags & CVNI_IDENTITY_EVAL) {
            places[id].skip = 1;
            continue;
        }
        while (places[x].skip && p->readers[x] == 1 && !cvni_is_kept(net, x))
            x = net->layers[x].input[0];
        if (p->readers[l->input[0]] != 1 || cvni_is_kept(net, l->input[0])) continue;
        if (p->readers[x] != 1 || cvni_is_kept(net, x) || places[x].activation) continue;
        if (!cvni_can_fold(&net->layers[x])) continue;
        if (cvni_is_batchnorm(l) && !places[x].folded) {
            places[x].folded = id;
            places[id].skip = 1;
        } else if (cvni_is_relu(l)) {
            places[x].activation = id;
            places[id].skip = 1;
        }
    }
}

/* May layer `id` write its value where its input lies? Nobody else reads that value, now or in the
 * backward pass. */
static int cvni_may_overwrite(const cvni_planner *p, int id)
{
    const cvn_net *net = p->net;
    const cvni_place *places = p->plan->places;
    int x = net->layers[id].input[0];
    if (p->train && places[id].grad && net->layers[id].op->flags & CVNI_USES_X) return 0;
    for (;;) {
        const cvni_layer *l = &net->layers[x];
        if (cvni_is_kept(net, x) || l->op->flags & CVNI_SOURCE || p->readers[x] != 1) return 0;
        if (p->train && places[x].grad && l->op->flags & CVNI_USES_Y) return 0;
        if (places[id].again && !places[x].again) return 0;     /* it is read again */
        if (!p->alias[x]) return 1;
        x = p->alias[x];
    }
}

/* Last step that reads the value of layer `id` itself (not of others that share its memory) while
 * it lies where it was computed first, or, `again`, where it was recomputed. */
static int cvni_last_use(const cvni_planner *p, int id, int again)
{
    const cvn_net *net = p->net;
    const cvni_place *places = p->plan->places;
    const cvni_layer *l = &net->layers[id];
    const int backward = p->train && (again || !p->dropped[id]);
    int last = again ? p->again[id] : p->forward[id];
    if (cvni_is_kept(net, id) || l->op->flags & CVNI_SOURCE) return CVNI_FOREVER;
    if (backward && places[id].grad && l->op->flags & CVNI_USES_Y) last = p->backward[id];
    for (int c = id + 1; c < net->layer_count; c++) {
        if (!p->live[c]) continue;
        for (int i = 0; i < net->layers[c].inputs; i++) {
            if (net->layers[c].input[i] != id) continue;
            if (!again) last = cvni_max(last, p->forward[c]);
            if (backward) last = cvni_max(last, p->again[c]);
            if (backward && places[c].grad && net->layers[c].op->flags & CVNI_USES_X)
                last = cvni_max(last, p->backward[c]);
        }
    }
    return last;
}

/* Does what a layer saves outlive its forward pass? Where the value is dropped only if it is
 * small. */
static int cvni_saved_stays(const cvni_planner *p, int id)
{
    const cvni_layer *l = &p->net->layers[id];
    if (!p->plan->places[id].grad) return 0;
    return !p->dropped[id] || l->saved_bytes <= cvni_elements(l->shape) * sizeof(float) / 16;
}

/* Does something behind the forward pass read the value of `id`: a backward pass, or a layer that
 * is recomputed? inside: by a reader of the same segment; else by any other. */
static int cvni_read_later(const cvni_planner *p, int id, int inside)
{
    const cvn_net *net = p->net;
    const cvni_place *places = p->plan->places;
    if (inside && places[id].grad && net->layers[id].op->flags & CVNI_USES_Y) return 1;
    for (int c = id + 1; c < net->layer_count; c++) {
        const cvni_layer *l = &net->layers[c];
        const int later = places[c].again || (places[c].grad && l->op->flags & CVNI_USES_X);
        if (!later || (places[c].segment == places[id].segment) != inside) continue;
        for (int i = 0; i < l->inputs; i++) if (l->input[i] == id) return 1;
    }
    return 0;
}

/* A view that stays needs the memory of its input to stay. */
static int cvni_view_stays(const cvni_planner *p, int id)
{
    const cvn_net *net = p->net;
    for (int c = id + 1; c < net->layer_count; c++)
        if (p->live[c] && net->layers[c].op->flags & CVNI_VIEW && net->layers[c].input[0] == id &&
            !p->dropped[c])
            return 1;
    return 0;
}

/* Which values are dropped, which layers run again; readers come before what they read. */
static void cvni_plan_again(const cvni_planner *p)
{
    const cvn_net *net = p->net;
    for (int id = net->layer_count - 1; id > 0; id--) {
        const cvni_layer *l = &net->layers[id];
        cvni_place *place = &p->plan->places[id];
        if (!place->segment || !p->live[id] || l->op->flags & (CVNI_SOURCE | CVNI_LOSS) ||
            cvni_is_kept(net, id) || cvni_read_later(p, id, 0) || cvni_view_stays(p, id))
            continue;
        p->dropped[id] = 1;
        place->again = cvni_read_later(p, id, 1) || (place->grad && !cvni_saved_stays(p, id));
        if (place->again) p->plan->macs_again += cvni_layer_macs(l);
    }
}

/* Numbers the steps: forward, seeds, then backward with what is recomputed before a segment. */
static void cvni_plan_steps(cvni_planner *p)
{
    const cvn_net *net = p->net;
    const cvni_place *places = p->plan->places;
    int step = 0;
    int open = 0;               /* segment whose recomputation is planned */
    for (int id = 1; id < net->layer_count; id++) p->forward[id] = ++step;
    p->seed = ++step;
    for (int id = net->layer_count - 1; id > 0; id--) {
        const int segment = places[id].segment;
        for (int i = 1; segment != open && i <= id; i++)
            if (places[i].segment == segment && places[i].again) p->again[i] = ++step;
        open = segment;
        p->backward[id] = ++step;
    }
}

/* Where the value of a layer lies: in the memory of its input, or in a buffer of its own. */
static int cvni_plan_value(const cvni_planner *p, int id, int again)
{
    const cvn_net *net = p->net;
    cvni_plan *plan = p->plan;
    const cvni_layer *l = &net->layers[id];
    const int kept = l->op->flags & CVNI_SOURCE || l->per_batch || net->desc.keep_all;
    const int begin = kept ? 0 : again ? p->again[id] : p->forward[id];
    const int end = cvni_last_use(p, id, again);
    if (p->alias[id]) {
        const cvni_place *x = &plan->places[p->alias[id]];
        const int buffer = again && x->again ? x->y_again : x->y;
        cvni_extend(plan, buffer, begin, end);
        return buffer;
    }
    return cvni_add_buffer(p->net, plan, cvni_mul_size(cvni_elements(l->shape), sizeof(float)),
                           begin, end);
}

/* The buffers of a layer that runs again, beside those of the first time. */
static int cvni_plan_layer_again(const cvni_planner *p, int id)
{
    const cvni_layer *l = &p->net->layers[id];
    cvni_place *place = &p->plan->places[id];
    const int step = p->again[id];
    place->y_again = cvni_plan_value(p, id, 1);
    place->work_again = cvni_add_buffer(p->net, p->plan, l->work_forward_bytes, step, step);
    if (cvni_saved_stays(p, id)) place->saved_again = place->saved;
    else
        place->saved_again = cvni_add_buffer(p->net, p->plan, l->saved_bytes, step,
                                             place->grad ? p->backward[id] : step);
    return place->y_again != -2 && place->work_again != -2 && place->saved_again != -2;
}

static int cvni_plan_values(const cvni_planner *p)
{
    cvn_net *net = p->net;
    cvni_plan *plan = p->plan;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        cvni_place *place = &plan->places[id];
        const int step = p->forward[id];
        if (!p->live[id]) {
            place->skip = 1;
            continue;
        }
        if (place->skip || l->op->flags & CVNI_VIEW ||
            (l->op->flags & CVNI_INPLACE && cvni_may_overwrite(p, id)))
            p->alias[id] = l->input[0];
        place->y = cvni_plan_value(p, id, 0);
        place->work_forward = cvni_add_buffer(net, plan, l->work_forward_bytes, step, step);
        place->table = cvni_add_buffer(net, plan, l->table_bytes, 0, CVNI_FOREVER);
        if (place->folded) {
            const cvni_param *w = &net->params[l->param[0]];
            place->fold = cvni_add_buffer(net, plan,
                                          (w->count + (size_t)w->shape.dim[0]) * sizeof(float), 0,
                                          CVNI_FOREVER);
        }
        if (l->spectral)
            place->normed = cvni_add_buffer(net, plan, cvni_spectral_bytes(net, l), step,
                                            place->grad ? p->backward[id] : step);
        if (p->train || l->op->flags & CVNI_SAVED_EVAL)
            place->saved = cvni_add_buffer(net, plan, l->saved_bytes, step,
                                           cvni_saved_stays(p, id) ? p->backward[id] : step);
        if (place->y == -2 || place->work_forward == -2 || place->table == -2 ||
            place->saved == -2 || place->fold == -2 || place->normed == -2 ||
            (place->again && !cvni_plan_layer_again(p, id)))
            return 0;
    }
    return 1;
}

/* First step of the backward pass that writes the gradient of `id`. */
static int cvni_first_gradient(const cvni_planner *p, int id)
{
    const cvn_net *net = p->net;
    const cvni_layer *l = &net->layers[id];
    if (l->loss_weight != 0 || l->want_grad || net->desc.keep_all) return p->seed;
    for (int c = net->layer_count - 1; c > id; c--)
        for (int i = 0; p->plan->places[c].grad && i < net->layers[c].inputs; i++)
            if (net->layers[c].input[i] == id) return p->backward[c];
    return p->backward[id];
}

static int cvni_plan_node_gradients(const cvni_planner *p)
{
    cvn_net *net = p->net;
    cvni_plan *plan = p->plan;
    for (int id = net->layer_count - 1; id > 0; id--) {
        const cvni_layer *l = &net->layers[id];
        cvni_place *place = &plan->places[id];
        const int wanted = l->want_grad || net->desc.keep_all;
        const int step = p->backward[id];
        if (!place->grad) continue;
        if (place->dy < 0)
            place->dy = cvni_add_buffer(net, plan,
                                        cvni_mul_size(cvni_elements(l->shape), sizeof(float)),
                                        net->desc.keep_all ? 0 : cvni_first_gradient(p, id),
                                        wanted ? CVNI_FOREVER : step);
        else cvni_extend(plan, place->dy, cvni_first_gradient(p, id), step);
        place->work_backward = cvni_add_buffer(net, plan, l->work_backward_bytes, step, step);
        if (l->spectral)
            place->normed_grad = cvni_add_buffer(net, plan,
                                                 net->params[l->param[0]].count * sizeof(float),
                                                 step, step);
        if (place->dy == -2 || place->work_backward == -2 || place->normed_grad == -2) return 0;
        /* the gradient of x may lie in the same memory */
        if (l->op->flags & CVNI_INPLACE_GRAD && !wanted) {
            const int x = l->input[0];
            if (plan->places[x].grad && p->readers[x] == 1 && !net->layers[x].want_grad &&
                net->layers[x].loss_weight == 0)
                plan->places[x].dy = place->dy;
        }
    }
    return 1;
}

static int cvni_compare_buffers(const void *a, const void *b)
{
    const cvni_buffer *x = *(cvni_buffer *const *)a;
    const cvni_buffer *y = *(cvni_buffer *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;      /* one array: its order breaks ties, so that a plan is
                                     * reproducible */
}

static int cvni_compare_offsets(const void *a, const void *b)
{
    const cvni_buffer *x = *(cvni_buffer *const *)a;
    const cvni_buffer *y = *(cvni_buffer *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Gives every buffer its offset; returns the bytes of all, SIZE_MAX when memory is out or they do
 * not fit size_t. */
static size_t cvni_place_buffers(cvn_net *net, cvni_plan *plan)
{
    cvni_buffer **order = (cvni_buffer **)cvni_alloc(net, cvni_mul_size((size_t)plan->count * 2 + 1,
                                                                        sizeof *order));
    cvni_buffer **near_ones = order + plan->count;
    size_t total = 0;
    if (!order) return SIZE_MAX;
    for (int i = 0; i < plan->count; i++) order[i] = &plan->buffers[i];
    qsort(order, (size_t)plan->count, sizeof *order, cvni_compare_buffers);
    for (int i = 0; i < plan->count; i++) {
        cvni_buffer *b = order[i];
        int found = 0;
        size_t offset = 0;
        for (int j = 0; j < i; j++)
            if (order[j]->begin <= b->end && b->begin <= order[j]->end)
                near_ones[found++] = order[j];
        qsort(near_ones, (size_t)found, sizeof *near_ones, cvni_compare_offsets);
        for (int j = 0; j < found; j++) {
            if (near_ones[j]->offset >= cvni_add_size(offset, b->bytes)) break;
            offset = cvni_max_size(offset,
                                   cvni_add_size(near_ones[j]->offset, near_ones[j]->bytes));
        }
        b->offset = offset;
        total = cvni_max_size(total, cvni_add_size(offset, b->bytes));
    }
    cvni_free(net, order);
    return total;
}

/* Offsets of the parameters: trainable ones from the front, running statistics behind them. */
static void cvni_place_params(cvn_net *net)
{
    size_t at = 0;
    for (int running = 0; running < 2; running++) {
        for (int i = 0; i < net->param_count; i++) {
            cvni_param *p = &net->params[i];
            if (p->dead || (p->role == CVNI_RUNNING) != running) continue;
            p->offset = at;
            at = cvni_add_size(at, p->count);
        }
        if (!running) net->trainable = at;
    }
    net->running = at - net->trainable;
}

static cvn_result cvni_shapes(cvn_net *net, int batch)
{
    net->shape_batch = batch;
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        cvn_result result = l->op->shape(net, l);
        if (result == CVN_OK) result = cvni_check_elements(net, l);
        if (result != CVN_OK) return result;
        cvni_count_samples(net, l);
    }
    return CVN_OK;
}

/* After a plan that did not come into force: the shapes of the one that is. */
static void cvni_restore_shapes(cvn_net *net)
{
    const int n = net->batch;
    const int forward_done = net->forward_done;
    cvni_shapes(net, net->mode ? net->max_batch : 1);
    if (!net->mode || n == net->max_batch) return;
    net->batch = net->max_batch;
    cvni_set_batch(net, n);
    net->forward_done = forward_done;
}

static void cvni_plan_persistent(cvn_net *net, cvni_plan *plan, int batch, int train)
{
    const size_t bytes = cvni_align(cvni_mul_size(net->trainable, sizeof(float)));
    size_t at = 0;
    if (!net->parent) at = cvni_align(cvni_mul_size(net->trainable + net->running, sizeof(float)));
    plan->ema = at;
    plan->averages = train && !net->parent && net->ema_decay > 0;
    if (plan->averages) at = cvni_add_size(at, at);
    plan->grads = at;
    if (train) at = cvni_add_size(at, bytes);
    plan->slots = train && !net->parent ? cvni_optimizer_slots(&net->optimizer) : 0;
    plan->state = at;
    at = cvni_add_size(at, cvni_mul_size(bytes, (size_t)plan->slots));
    plan->batch = at;
    if (train)
        at = cvni_add_size(at, cvni_align(cvni_mul_size((size_t)batch,
                                                        sizeof(float) + sizeof(int))));
    for (int id = 1; id < net->layer_count; id++)
        plan->scratch_bytes = cvni_max_size(plan->scratch_bytes,
                                            cvni_align(net->layers[id].scratch_bytes));
    plan->scratch = at;
    at = cvni_add_size(at, cvni_mul_size(plan->scratch_bytes, (size_t)net->threads));
    plan->persistent_bytes = at;
}

static int cvni_plan_layers(cvni_planner *p)
{
    const cvn_net *net = p->net;
    p->plan->macs_again = 0;
    cvni_plan_predict(p);
    if (p->train) cvni_plan_gradients(p);
    for (int id = 1; id < net->layer_count; id++)
        p->live[id] = (char)(p->train || p->plan->places[id].predict);
    for (int id = 1; id < net->layer_count; id++)
        for (int i = 0; p->live[id] && i < net->layers[id].inputs; i++)
            p->readers[net->layers[id].input[i]]++;
    if (p->train) cvni_plan_again(p);
    else cvni_plan_fusion(p);
    cvni_plan_steps(p);
    return cvni_plan_values(p) && (!p->train || cvni_plan_node_gradients(p));
}

/* Plans into an empty plan, for the shapes that the layers have; segment: by layer. */
static cvn_result cvni_plan_with(cvn_net *net, int batch, int mode, const int *segment,
                                 cvni_plan *plan)
{
    const size_t layers = (size_t)net->layer_count;
    cvni_planner p;
    size_t buffers;
    int *memory;
    int done;
    memset(plan, 0, sizeof *plan);
    plan->places = (cvni_place *)cvni_alloc(net, cvni_mul_size(layers, sizeof *plan->places));
    memory = (int *)cvni_alloc(net, cvni_mul_size(layers, CVNI_PLANNER_INTS * sizeof(int)));
    if (!plan->places || !memory) {
        cvni_free(net, memory);
        cvni_free_plan(net, plan);
        return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for the plan of %d layers",
                         net->layer_count - 1);
    }
    memset(plan->places, 0, layers * sizeof *plan->places);
    memset(memory, 0, layers * CVNI_PLANNER_INTS * sizeof(int));
    for (int id = 0; id < net->layer_count; id++) {
        cvni_place *place = &plan->places[id];
        place->y = place->dy = place->saved = place->fold = -1;
        place->work_forward = place->work_backward = place->table = -1;
        place->y_again = place->saved_again = place->work_again = -1;
        place->normed = place->normed_grad = -1;
        if (id && mode != CVN_INFER && segment[id])     /* each run of one number is a segment */
            place->segment = segment[id] == segment[id - 1] ? place[-1].segment : id;
    }
    p.net = net;
    p.plan = plan;
    p.train = mode != CVN_INFER;
    p.forward = memory;
    p.again = memory + layers;
    p.backward = memory + 2 * layers;
    p.readers = memory + 3 * layers;
    p.alias = memory + 4 * layers;
    p.live = (char *)(memory + 5 * layers);
    p.dropped = (char *)(memory + 6 * layers);
    done = cvni_plan_layers(&p);
    cvni_free(net, memory);
    cvni_plan_persistent(net, plan, batch, p.train);
    buffers = done ? cvni_place_buffers(net, plan) : SIZE_MAX;
    plan->total = cvni_add_size(plan->persistent_bytes, buffers);
    if (plan->total > SIZE_MAX - CVNI_ALIGN) {
        cvni_free_plan(net, plan);
        return cvni_fail(net, CVN_ERROR_MEMORY,
                         "a batch of %d needs more memory than can be addressed", batch);
    }
    return CVN_OK;
}

/* Cuts the layers into `parts` segments of about equal bytes of values; the first `chosen` of them
 * are recomputed, those that cvn_recompute named stay as they are. */
static void cvni_cut_segments(const cvn_net *net, int parts, int chosen, int *segment)
{
    double all = 0;
    double sum = 0;
    for (int id = 1; id < net->layer_count; id++)
        all += (double)cvni_elements(net->layers[id].shape);
    for (int id = 1; id < net->layer_count; id++) {
        const int part = cvni_min((int)(sum * parts / all), parts - 1);
        segment[id] = net->layers[id].segment;
        if (!segment[id] && part < chosen) segment[id] = net->segments + 1 + part;
        sum += (double)cvni_elements(net->layers[id].shape);
    }
}

enum { CVNI_MAX_PARTS = 16 };   /* segments that a budget is tried with */

/* A plan within the memory budget that recomputes the least; without one that fits, the smallest.
 * `plan` holds the plan without. */
static cvn_result cvni_plan_within(cvn_net *net, int batch, int *segment, cvni_plan *plan)
{
    const size_t budget = net->memory_budget - cvni_min_size(net->memory_budget, CVNI_ALIGN);
    for (int parts = 2; parts <= CVNI_MAX_PARTS; parts++) {
        int low = 1;
        int high = parts;
        while (low <= high) {           /* the fewest parts that must be recomputed */
            const int chosen = (low + high) / 2;
            cvni_plan other;
            cvn_result result;
            cvni_cut_segments(net, parts, chosen, segment);
            result = cvni_plan_with(net, batch, CVN_TRAIN, segment, &other);
            if (result != CVN_OK) return result;
            if (other.total <= budget) high = chosen - 1;
            else low = chosen + 1;
            if (other.total <= budget ? plan->total > budget || other.macs_again < plan->macs_again
                                      : other.total < plan->total) {
                cvni_free_plan(net, plan);
                *plan = other;
            } else {
                cvni_free_plan(net, &other);
            }
        }
    }
    if (plan->total <= budget) return CVN_OK;
    return cvni_fail(net, CVN_ERROR_MEMORY,
                     "a batch of %d needs %lu bytes even with recomputation; the budget is %lu",
                     batch, (unsigned long)(plan->total + CVNI_ALIGN),
                     (unsigned long)net->memory_budget);
}

/* Plans for a batch into an empty plan; the net's shapes then stand for that batch. */
static cvn_result cvni_make_plan(cvn_net *net, int batch, int mode, cvni_plan *plan)
{
    int *segment;
    cvn_result result = cvni_shapes(net, batch);
    memset(plan, 0, sizeof *plan);
    if (result != CVN_OK) return result;
    cvni_place_params(net);
    segment = (int *)cvni_alloc(net, cvni_mul_size((size_t)net->layer_count, sizeof(int)));
    if (!segment)
        return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for the plan of %d layers",
                         net->layer_count - 1);
    for (int id = 0; id < net->layer_count; id++) segment[id] = net->layers[id].segment;
    result = cvni_plan_with(net, batch, mode, segment, plan);
    if (result == CVN_OK && mode != CVN_INFER && net->memory_budget &&
        plan->total + CVNI_ALIGN > net->memory_budget) {
        result = cvni_plan_within(net, batch, segment, plan);
        if (result != CVN_OK) cvni_free_plan(net, plan);
    }
    cvni_free(net, segment);
    return result;
}

static void *cvni_bound(const cvn_net *net, int buffer)
{
    unsigned char *base = net->arena + net->plan.persistent_bytes;
    return buffer < 0 ? NULL : base + net->plan.buffers[buffer].offset;
}

/* Where a recomputed layer works, the first time or again. */
static void cvni_bind_again(const cvn_net *net, cvni_layer *l, int again)
{
    const cvni_place *p = &l->place;
    l->y = (float *)cvni_bound(net, again ? p->y_again : p->y);
    l->saved = cvni_bound(net, again ? p->saved_again : p->saved);
    l->work_forward = cvni_bound(net, again ? p->work_again : p->work_forward);
}

/* Gives every layer its pointers into the arena. */
static void cvni_bind(cvn_net *net)
{
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        l->place = net->plan.places[id];
        l->filled = 0;
        cvni_bind_again(net, l, 0);
        l->dy = (float *)cvni_bound(net, l->place.dy);
        l->work_backward = cvni_bound(net, l->place.work_backward);
        l->table = cvni_bound(net, l->place.table);
        l->fold = (float *)cvni_bound(net, l->place.fold);
        l->normed = (float *)cvni_bound(net, l->place.normed);
        l->normed_grad = (float *)cvni_bound(net, l->place.normed_grad);
        if (l->op->prepare && l->table) l->op->prepare(net, l);
    }
}

/* Parameters, averages and optimizer state move from the old arena to the new one; both may be the
 * same buffer, where the averages stay in their place. */
static void cvni_move_persistent(cvn_net *net, unsigned char *arena, const cvni_plan *plan)
{
    const size_t state_bytes = cvni_align(net->trainable * sizeof(float)) * (size_t)plan->slots;
    const size_t weight_bytes = (net->trainable + net->running) * sizeof(float);
    const int state_stays = plan->slots > 0 && net->mode == CVN_TRAIN &&
                            net->plan.slots == plan->slots;
    if (net->parent) return;
    if (net->mode) memmove(arena, net->weights, weight_bytes);
    if (net->ema && plan->averages) memmove(arena + plan->ema, net->ema, weight_bytes);
    else net->ema_started = net->ema_swapped = 0;
    if (state_stays) memmove(arena + plan->state, net->state, state_bytes);
    else memset(arena + plan->state, 0, state_bytes);
    if (!state_stays) net->optimizer_step = 0;
}

static unsigned char *cvni_align_pointer(void *pointer)
{
    const size_t over = (size_t)((uintptr_t)pointer % CVNI_ALIGN);
    return (unsigned char *)pointer + (over ? CVNI_ALIGN - over : 0);
}

static void cvni_take_plan(cvn_net *net, const cvni_plan *plan, unsigned char *block, size_t size,
                           int owned, int batch, int mode)
{
    unsigned char *arena = cvni_align_pointer(block);
    const int first = net->mode == 0;
    cvni_move_persistent(net, arena, plan);
    cvni_release_arena(net);
    net->plan = *plan;
    net->arena_block = block;
    net->arena = arena;
    net->arena_owned = owned;
    net->arena_bytes = size;
    net->weights = net->parent ? net->parent->weights : (float *)(void *)arena;
    net->ema = plan->averages ? (float *)(void *)(arena + plan->ema) : NULL;
    net->grads = mode == CVN_TRAIN ? (float *)(void *)(arena + plan->grads) : NULL;
    net->state = (float *)(void *)(arena + plan->state);
    net->sample_weights = mode == CVN_TRAIN ? (float *)(void *)(arena + plan->batch) : NULL;
    net->partner = mode == CVN_TRAIN ? (int *)(void *)(net->sample_weights + batch) : NULL;
    net->weighted = net->mixed = 0;
    net->scratch = arena + plan->scratch;
    net->scratch_bytes = plan->scratch_bytes;
    net->mode = mode;
    net->max_batch = net->batch = batch;
    net->forward_done = 0;
    net->weights_version++;
    if (net->grads) memset(net->grads, 0, net->trainable * sizeof(float));
    cvni_bind(net);
    if (first && !net->parent) cvn_init_parameters(net, 0);
}

/* Plans anew and takes the memory for it; on failure the net stays as it was. buffer NULL: from the
 * allocator. */
static cvn_result cvni_rebuild(cvn_net *net, int batch, int mode, void *buffer, size_t size)
{
    cvni_plan plan;
    cvn_result result = cvni_make_plan(net, batch, mode, &plan);
    if (result == CVN_OK && buffer && size < plan.total + CVNI_ALIGN)
        result = cvni_fail(net, CVN_ERROR_MEMORY,
                           "the buffer has %lu bytes; cvn_memory_needed says %lu",
                           (unsigned long)size, (unsigned long)(plan.total + CVNI_ALIGN));
    if (result == CVN_OK && !buffer) {
        unsigned char *block = (unsigned char *)cvni_alloc(net, plan.total + CVNI_ALIGN);
        if (block) {
            cvni_take_plan(net, &plan, block, plan.total + CVNI_ALIGN, 1, batch, mode);
            return CVN_OK;
        }
        result = cvni_fail(net, CVN_ERROR_MEMORY,
                           "no memory for the arena of %lu bytes; a smaller batch needs less",
                           (unsigned long)(plan.total + CVNI_ALIGN));
    } else if (result == CVN_OK) {
        cvni_take_plan(net, &plan, (unsigned char *)buffer, size, 0, batch, mode);
        return CVN_OK;
    }
    cvni_free_plan(net, &plan);
    cvni_restore_shapes(net);
    return result;
}

/* What must hold before any plan; picks the output when none was named. */
static cvn_result cvni_check_build(cvn_net *net, int max_batch, int mode)
{
    if (net->failed) return net->failed;
    if (max_batch < 1)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_build: a batch of %d; it must be 1 or more",
                         max_batch);
    if (mode < 1 || mode > 3)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_build: mode %d is not CVN_TRAIN or CVN_INFER", mode);
    if (net->layer_count < 2)
        return cvni_fail(net, CVN_ERROR_STATE, "cvn_build: the net is empty; begin with cvn_input");
    if (net->parent && !net->parent->mode)
        return cvni_fail(net, CVN_ERROR_STATE, "cvn_build: the shared net is not built");
    net->output = net->chosen_output;
    for (int id = 1; id < net->layer_count && !net->output; id++)
        if (net->layers[id].op->flags & CVNI_LOSS && net->layers[id].inputs)
            net->output = net->layers[id].input[0];
    for (int id = net->layer_count - 1; id > 0 && !net->output; id--)
        if (!net->layers[id].is_int && !net->layers[id].per_batch) net->output = id;
    if (!net->output)
        return cvni_fail(net, CVN_ERROR_STATE, "cvn_build: the net has no output; add layers");
    return CVN_OK;
}

static int cvni_has_gradients(const cvn_net *net)
{
    for (int id = 1; id < net->layer_count; id++) if (net->layers[id].place.grad) return 1;
    return 0;
}

/* After cvn_build: what was frozen then. */
static void cvni_mark_left_out(cvn_net *net)
{
    for (int id = 1; id < net->layer_count; id++) net->layers[id].left_out = net->layers[id].frozen;
}

/* The same net in another plan: another optimizer, another size. In the caller's buffer when it is
 * there. */
static cvn_result cvni_plan_anew(cvn_net *net)
{
    cvn_result result;
    net->replan = 1;
    result = cvni_rebuild(net, net->max_batch, net->mode,
                          net->arena_owned ? NULL : net->arena_block, net->arena_bytes);
    net->replan = 0;
    return result;
}

static int cvni_plan_mode(int mode) { return mode & CVN_TRAIN ? CVN_TRAIN : CVN_INFER; }

cvn_result cvn_build(cvn_net *net, int max_batch)
{
    cvn_result result;
    if (!net) return CVN_ERROR_MEMORY;
    result = cvni_check_build(net, max_batch, CVN_TRAIN);
    if (result == CVN_OK) result = cvni_rebuild(net, max_batch, CVN_TRAIN, NULL, 0);
    if (result == CVN_OK) cvni_mark_left_out(net);
    if (result == CVN_OK && !cvni_has_gradients(net))
        cvni_warn(net, "cvn_build: no gradients: the net has no loss, no cvn_want_grad, or nothing "
                       "that is not frozen");
    return result;
}

cvn_result cvn_build_infer(cvn_net *net, int max_batch)
{
    cvn_result result;
    if (!net) return CVN_ERROR_MEMORY;
    result = cvni_check_build(net, max_batch, CVN_INFER);
    return result == CVN_OK ? cvni_rebuild(net, max_batch, CVN_INFER, NULL, 0) : result;
}

cvn_result cvn_build_in(cvn_net *net, int max_batch, cvn_mode mode, void *buffer, size_t size)
{
    cvn_result result;
    if (!net) return CVN_ERROR_MEMORY;
    result = cvni_check_build(net, max_batch, (int)mode);
    if (result != CVN_OK) return result;
    if (!buffer) return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_build_in: no buffer");
    result = cvni_rebuild(net, max_batch, cvni_plan_mode((int)mode), buffer, size);
    if (result == CVN_OK) cvni_mark_left_out(net);
    return result;
}

size_t cvn_memory_needed(cvn_net *net, int max_batch, int mode)
{
    cvni_plan plan;
    size_t bytes = 0;
    if (!net || cvni_check_build(net, max_batch, mode) != CVN_OK) return 0;
    if (cvni_make_plan(net, max_batch, cvni_plan_mode(mode), &plan) == CVN_OK) {
        bytes = plan.total + CVNI_ALIGN;
        cvni_free_plan(net, &plan);
    }
    cvni_restore_shapes(net);
    return bytes;
}

cvn_result cvn_resize(cvn_net *net, int height, int width)
{
    cvn_result result;
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!net->mode) return cvni_fail(net, CVN_ERROR_STATE, "cvn_resize: build the net first");
    if (height < 1 || width < 1)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_resize: %d x %d is no image", height, width);
    cvni_swap_image_sizes(net, height, width);
    result = cvni_plan_anew(net);
    if (result == CVN_OK) return CVN_OK;
    cvni_swap_image_sizes(net, 0, 0);
    cvni_restore_shapes(net);
    return result;
}

cvn_net *cvn_share(cvn_net *net)
{
    cvn_net *other;
    size_t params, layers;
    if (!net || net->failed || !net->mode) {
        if (net) cvni_fail(net, CVN_ERROR_STATE, "cvn_share: build the net first");
        return NULL;
    }
    other = cvn_create(&net->desc);
    if (!other) return NULL;
    params = (size_t)net->param_count * sizeof *net->params;
    layers = (size_t)net->layer_count * sizeof *net->layers;
    other->params = (cvni_param *)cvni_alloc(net, params);
    other->layers = (cvni_layer *)cvni_alloc(net, layers);
    if (!other->params || !other->layers) {
        cvn_destroy(other);
        return NULL;
    }
    if (params) memcpy(other->params, net->params, params);
    memcpy(other->layers, net->layers, layers);
    for (int id = 1; id < net->layer_count; id++) {         /* input sizes are each net's own:
                                                             * cvn_resize */
        if (!(net->layers[id].op->flags & CVNI_SOURCE)) continue;
        other->layers[id].desc = cvni_new_record(other, sizeof(cvni_source_desc));
        if (other->layers[id].desc)
            memcpy(other->layers[id].desc, net->layers[id].desc, sizeof(cvni_source_desc));
    }
    if (other->failed) {
        cvn_destroy(other);
        return NULL;
    }
    other->param_count = other->param_capacity = net->param_count;
    other->layer_count = other->layer_capacity = net->layer_count;
    other->chosen_output = net->output;
    other->segments = net->segments;
    other->parent = net->parent ? net->parent : net;
    other->optimizer = net->optimizer;
    return other;
}

float *cvn_value(cvn_net *net, cvn_node node)
{
    const cvni_layer *l;
    if (!net || net->failed) return NULL;
    if (!net->mode || !cvni_valid(net, node)) {
        cvni_fail(net, CVN_ERROR_STATE, "cvn_value: needs a node of a built net");
        return NULL;
    }
    l = &net->layers[node.id];
    if (l->y && !l->is_int && (cvni_is_kept(net, node.id) || l->op->flags & CVNI_SOURCE))
        return l->y;
    cvni_fail(net, CVN_ERROR_STATE,
              l->is_int ? "cvn_value: '%s' holds ints"
                        : "cvn_value: the plan does not keep '%s'; call cvn_keep before cvn_build",
              l->name);
    return NULL;
}

float *cvn_gradient(cvn_net *net, cvn_node node)
{
    const cvni_layer *l;
    if (!net || net->failed) return NULL;
    if (!net->mode || !cvni_valid(net, node)) {
        cvni_fail(net, CVN_ERROR_STATE, "cvn_gradient: needs a node of a built net");
        return NULL;
    }
    l = &net->layers[node.id];
    if (l->dy && (l->want_grad || net->desc.keep_all)) return l->dy;
    cvni_fail(net, CVN_ERROR_STATE,
              "cvn_gradient: the plan has none for '%s'; call cvn_want_grad, then cvn_build",
              l->name);
    return NULL;
}

CVNI_COLD_END

/* ================================================================================================
 * >>run   inputs, forward, backward, predict
 * ============================================================================================== */

static int cvni_is_finite(double x) { return x - x == 0; }

/* Finite and not below `low`; false for NaN. */
static int cvni_at_least(float x, float low) { return x >= low && cvni_is_finite((double)x); }

/* Begins the write of a node's gradient: NULL when it has none; *add tells whether something stands
 * there already. */
static float *cvni_gradient_for(cvni_layer *x, int *add)
{
    if (!x->place.grad || !x->dy) return NULL;
    *add = x->grad_written;
    x->grad_written = 1;
    return x->dy;
}

/* Share of entry i of a layer's first axis in a loss. */
static float cvni_sample_weight(const cvn_net *net, const cvni_layer *l, int i)
{
    return net->weighted ? net->sample_weights[i / l->samples] : 1;
}

static void cvni_zero(float *x, size_t n) { memset(x, 0, n * sizeof *x); }

static cvn_result cvni_needs_build(cvn_net *net, const char *call, int train)
{
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!net->mode) return cvni_fail(net, CVN_ERROR_STATE, "%s: call cvn_build first", call);
    if (train && net->mode != CVN_TRAIN)
        return cvni_fail(net, CVN_ERROR_STATE,
                         "%s: the net was built for inference; call cvn_build", call);
    return CVN_OK;
}

/* The samples of a batch into an input (int or float: of one size). */
static void cvni_fill_input(cvn_net *net, cvni_layer *l, const void *values)
{
    memcpy(l->y, values, cvni_elements(l->shape) * sizeof(float));
    l->filled = net->batch;
    net->mixed = 0;
    net->forward_done = 0;
}

static cvn_result cvni_write_input(cvn_net *net, cvn_node input, const void *values, int n,
                                   int is_int, const char *call)
{
    cvni_layer *l;
    cvn_result result = cvni_needs_build(net, call, 0);
    if (result != CVN_OK) return result;
    if (!cvni_valid(net, input) || !(net->layers[input.id].op->flags & CVNI_SOURCE) ||
        net->layers[input.id].is_int != is_int || !values)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "%s: needs %s and a pointer", call,
                         is_int ? "a label input" : "an input or target");
    l = &net->layers[input.id];
    if (!l->y)
        return cvni_fail(net, CVN_ERROR_STATE, "%s: '%s' is not used by this inference plan", call,
                         l->name);
    result = cvni_set_batch(net, n);
    if (result == CVN_OK) cvni_fill_input(net, l, values);
    return result;
}

cvn_result cvn_set_input(cvn_net *net, cvn_node input, const float *values, int n)
{
    return cvni_write_input(net, input, values, n, 0, "cvn_set_input");
}

cvn_result cvn_set_labels(cvn_net *net, cvn_node input, const int *labels, int n)
{
    return cvni_write_input(net, input, labels, n, 1, "cvn_set_labels");
}

cvn_result cvn_set_sample_weights(cvn_net *net, const float *weights, int n)
{
    const cvn_result result = cvni_needs_build(net, "cvn_set_sample_weights", 1);
    if (result != CVN_OK) return result;
    if (weights && (n < 1 || n > net->max_batch))
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_set_sample_weights: %d samples; the net was built for 1 to %d", n,
                         net->max_batch);
    for (int i = 0; weights && i < n; i++) {
        if (cvni_at_least(weights[i], 0)) continue;
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_set_sample_weights: the weight of sample %d is %g; 0 or more is "
                         "needed",
                         i, (double)weights[i]);
    }
    if (weights) memcpy(net->sample_weights, weights, (size_t)n * sizeof *weights);
    net->weighted = weights ? n : 0;
    net->forward_done = 0;
    return CVN_OK;
}

static void cvni_refold(cvn_net *net);      /* >>norm */

/* All inputs that the pass reads hold the same number of samples. */
static cvn_result cvni_check_filled(cvn_net *net, int losses)
{
    if (losses && ((net->weighted && net->weighted != net->batch) ||
                   (net->mixed && net->mixed != net->batch)))
        return cvni_fail(net, CVN_ERROR_STATE,
                         "%d sample weights or mixed samples, the batch has %d",
                         net->weighted ? net->weighted : net->mixed, net->batch);
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        if (!(l->op->flags & CVNI_SOURCE) || !l->y || (!losses && !l->place.predict)) continue;
        if (l->filled != net->batch)
            return cvni_fail(net, CVN_ERROR_STATE,
                             "input '%s' holds %d samples, the batch has %d; set it", l->name,
                             l->filled, net->batch);
    }
    return CVN_OK;
}

static void cvni_spectral_forward(cvn_net *net, cvni_layer *l);     /* >>spectral */
static void cvni_spectral_backward(cvn_net *net, cvni_layer *l);

static cvn_result cvni_forward_layer(cvn_net *net, cvni_layer *l)
{
    if (l->normed) cvni_spectral_forward(net, l);
    return l->op->forward(net, l);
}

static void cvni_backward_layer(cvn_net *net, cvni_layer *l)
{
    if (l->normed_grad) cvni_zero(l->normed_grad, net->params[l->param[0]].count);
    l->op->backward(net, l);
    if (l->normed_grad) cvni_spectral_backward(net, l);
}

/* Runs the graph. training: dropout and batch statistics; losses: with them, else only what
 * predictions need. */
static cvn_result cvni_run(cvn_net *net, int training, int losses)
{
    cvn_result filled = cvni_check_filled(net, losses);
    net->forward_done = 0;
    net->fed_by = NULL;
    if (filled != CVN_OK) return filled;
    net->training = training;
    if (training) net->tick++;
    if (net->mode == CVN_INFER) cvni_refold(net);
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].place.again) cvni_bind_again(net, &net->layers[id], 0);
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        cvn_result result;
        if (l->place.skip || !l->op->forward || (!losses && !l->place.predict)) continue;
        result = cvni_forward_layer(net, l);
        if (result != CVN_OK) return result;
    }
    net->loss = NAN;
    if (losses) {
        double sum = 0;
        int found = 0;
        for (int id = 1; id < net->layer_count; id++) {
            const cvni_layer *l = &net->layers[id];
            if (l->loss_weight == 0) continue;
            sum += (double)l->loss_weight * (double)l->y[0];
            found = 1;
        }
        if (found) net->loss = (float)sum;
    }
    net->forward_done = losses ? CVN_TRAIN : CVN_INFER;
    return CVN_OK;
}

cvn_result cvn_forward(cvn_net *net)
{
    const cvn_result result = cvni_needs_build(net, "cvn_forward", 1);
    return result == CVN_OK ? cvni_run(net, 1, 1) : result;
}

cvn_result cvn_forward_eval(cvn_net *net)
{
    const cvn_result result = cvni_needs_build(net, "cvn_forward_eval", 0);
    return result == CVN_OK ? cvni_run(net, 0, 0) : result;
}

float cvn_loss(const cvn_net *net) { return net ? net->loss : NAN; }

/* Before the backward pass of its last layer: computes the dropped values of a segment anew,
 * unless no gradient reaches it. */
static void cvni_run_again(cvn_net *net, int segment)
{
    int reached = 0;
    for (int id = segment; id < net->layer_count && net->layers[id].place.segment == segment; id++)
        reached |= net->layers[id].grad_written;
    if (!reached) return;
    net->again = 1;
    for (int id = segment; id < net->layer_count && net->layers[id].place.segment == segment;
         id++) {
        cvni_layer *l = &net->layers[id];
        if (!l->place.again) continue;
        cvni_bind_again(net, l, 1);
        l->op->forward(net, l);         /* with the spectral norm of the first time */
    }
    net->again = 0;
}

/* From the seeds in place (dy with grad_written set) back to the first layers. */
static void cvni_run_backward(cvn_net *net)
{
    int segment = 0;
    if (!net->desc.keep_all) net->forward_done = 0;     /* gradients lie where values have lain */
    for (int id = net->layer_count - 1; id > 0; id--) {
        cvni_layer *l = &net->layers[id];
        if (l->place.segment != segment) {
            segment = l->place.segment;
            if (segment) cvni_run_again(net, segment);
        }
        if (!l->place.grad || !l->grad_written || !l->op->backward) continue;
        cvni_backward_layer(net, l);
    }
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        if (l->dy && !l->grad_written && (l->want_grad || net->desc.keep_all))
            cvni_zero(l->dy, cvni_elements(l->shape));
    }
}

static void cvni_begin_backward(cvn_net *net)
{
    for (int id = 1; id < net->layer_count; id++) net->layers[id].grad_written = 0;
}

/* The gradients of `share` times the sum of all losses. */
static void cvni_backward(cvn_net *net, float share)
{
    cvni_begin_backward(net);
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        if (l->loss_weight == 0 || !l->place.grad) continue;
        l->dy[0] = l->loss_weight * share;
        l->grad_written = 1;
    }
    cvni_run_backward(net);
}

cvn_result cvn_backward(cvn_net *net)
{
    cvn_result result = cvni_needs_build(net, "cvn_backward", 1);
    if (result != CVN_OK) return result;
    if (net->forward_done != CVN_TRAIN)
        return cvni_fail(net, CVN_ERROR_STATE, "cvn_backward: call cvn_forward first");
    cvni_backward(net, 1);
    return CVN_OK;
}

cvn_result cvn_backward_from(cvn_net *net, cvn_node node, const float *gradient)
{
    cvni_layer *l;
    cvn_result result = cvni_needs_build(net, "cvn_backward_from", 1);
    if (result != CVN_OK) return result;
    if (!net->forward_done)
        return cvni_fail(net, CVN_ERROR_STATE, "cvn_backward_from: run a forward pass first");
    if (!cvni_valid(net, node) || !gradient)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_backward_from: needs a node of this net and a gradient");
    l = &net->layers[node.id];
    if (!l->place.grad || !(l->want_grad || net->desc.keep_all))
        return cvni_fail(net, CVN_ERROR_STATE,
                         "cvn_backward_from: call cvn_want_grad on '%s' before cvn_build", l->name);
    if (net->forward_done == CVN_INFER && !l->place.predict && !(l->op->flags & CVNI_SOURCE))
        return cvni_fail(net, CVN_ERROR_STATE,
                         "cvn_backward_from: cvn_forward_eval did not compute '%s'", l->name);
    cvni_begin_backward(net);
    if (gradient != l->dy) memcpy(l->dy, gradient, cvni_elements(l->shape) * sizeof(float));
    l->grad_written = 1;
    cvni_run_backward(net);
    return CVN_OK;
}

cvn_result cvn_predict(cvn_net *net, const float *x, int n, float *out)
{
    cvni_layer *in;
    const cvni_layer *y;
    cvn_result result = cvni_needs_build(net, "cvn_predict", 0);
    if (result != CVN_OK) return result;
    in = cvni_first_input(net);
    y = &net->layers[net->output];
    if (!x || !out || n < 0 || !in || !in->y)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_predict: needs samples, room for the result and a net with an input");
    for (int done = 0; done < n;) {
        const int now = cvni_min(n - done, net->max_batch);
        result = cvni_set_batch(net, now);
        if (result != CVN_OK) return result;
        cvni_fill_input(net, in, x + cvni_sample_elements(in->shape) * (size_t)done);
        result = cvni_run(net, 0, 0);
        if (result != CVN_OK) return result;
        memcpy(out + cvni_elements(y->shape) / (size_t)now * (size_t)done, y->y,
               cvni_elements(y->shape) * sizeof(float));
        done += now;
    }
    return CVN_OK;
}

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>spectral   weights divided by their largest singular value
 * ==============================================================================================
 *   The weight as a matrix W [rows, cols]: rows are outputs, cols all other axes. u and v follow
 *   the singular vectors of the largest singular value s by one step of the power iteration a
 *   training forward pass: v = W^T u/|W^T u|, u = W v/|W v|. The layer computes with W/s,
 *   s = u^T W v; u and v count as constants in the gradient:
 *
 *     dW = (G - <G, W/s> u v^T)/s          G: the gradient with respect to W/s
 *
 *   Memory of a layer: [W/s | u | v | s], as used by its forward pass, for tied layers step u and v
 *   again. source: T. Miyato et al., arXiv:1802.05957         tested: tests/test_spectral.c */

typedef struct cvni_spectral {
    int outer, rows, inner;             /* weight [outer, rows, inner]: transposed convolutions have
                                         * the outputs second */
    int cols;
    size_t count;
    const float *w;                     /* the parameter */
    float *normed, *u, *v, *s;          /* of the layer */
} cvni_spectral;

static int cvni_outputs_second(const cvni_layer *l);        /* >>conv */

static cvni_spectral cvni_spectral_of(const cvn_net *net, const cvni_layer *l)
{
    const cvni_param *p = &net->params[l->param[0]];
    cvni_spectral d;
    cvni_split_axis(p->shape, cvni_outputs_second(l), &d.outer, &d.rows, &d.inner);
    d.cols = d.outer * d.inner;
    d.count = p->count;
    d.w = net->weights ? net->weights + p->offset : NULL;
    d.normed = l->normed;
    d.u = l->normed ? d.normed + d.count : NULL;
    d.v = l->normed ? d.u + d.rows : NULL;
    d.s = l->normed ? d.v + d.cols : NULL;
    return d;
}

static size_t cvni_spectral_bytes(const cvn_net *net, const cvni_layer *l)
{
    const cvni_spectral d = cvni_spectral_of(net, l);
    return cvni_mul_size(d.count + (size_t)d.rows + (size_t)d.cols + 1, sizeof(float));
}

static const float *cvni_spectral_line(const cvni_spectral *d, int outer, int row)
{
    return d->w + ((ptrdiff_t)outer * d->rows + row) * d->inner;
}

/* x/max(|x|, 1e-12), as F.normalize. */
static void cvni_unit_length(const cvn_net *net, float *x, int n)
{
    const float length = sqrtf(net->k->dot(n, x, x));
    net->k->scale_shift(n, 1 / (length > 1e-12f ? length : 1e-12f), 0, x, x);
}

/* u = W v; returns u^T W v for the u before. */
static float cvni_spectral_apply(const cvn_net *net, const cvni_spectral *d, const float *v,
                                 const float *old, float *u)
{
    float sum = 0;
    for (int r = 0; r < d->rows; r++) {
        float dot = 0;
        for (int o = 0; o < d->outer; o++)
            dot += net->k->dot(d->inner, cvni_spectral_line(d, o, r), v + (ptrdiff_t)o * d->inner);
        sum += old[r] * dot;
        if (u) u[r] = dot;
    }
    return sum;
}

/* v = W^T u/|W^T u|, u = W v/|W v| */
static void cvni_spectral_iterate(const cvn_net *net, const cvni_spectral *d, float *u, float *v)
{
    cvni_zero(v, (size_t)d->cols);
    for (int o = 0; o < d->outer; o++)
        for (int r = 0; r < d->rows; r++)
            net->k->axpy(d->inner, u[r], cvni_spectral_line(d, o, r), v + (ptrdiff_t)o * d->inner);
    cvni_unit_length(net, v, d->cols);
    cvni_spectral_apply(net, d, v, u, u);
    cvni_unit_length(net, u, d->rows);
}

static void cvni_spectral_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_spectral d = cvni_spectral_of(net, l);
    float *u = net->weights + net->params[l->spectral - 1].offset;
    float *v = net->weights + net->params[l->spectral].offset;
    if (net->training && !net->parent && !l->frozen) cvni_spectral_iterate(net, &d, u, v);
    memcpy(d.u, u, (size_t)d.rows * sizeof(float));
    memcpy(d.v, v, (size_t)d.cols * sizeof(float));
    d.s[0] = cvni_spectral_apply(net, &d, v, u, NULL);
    for (int o = 0; o < d.outer * d.rows; o++)
        net->k->scale_shift(d.inner, 1 / d.s[0], 0, d.w + (ptrdiff_t)o * d.inner,
                            d.normed + (ptrdiff_t)o * d.inner);
}

static void cvni_spectral_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_spectral d = cvni_spectral_of(net, l);
    float *dw = net->grads + net->params[l->param[0]].offset;
    const int lines = d.outer * d.rows;
    double sum = 0;
    if (!cvni_weights_grad(net, l, 0)) return;
    for (int i = 0; i < lines; i++)
        sum += (double)net->k->dot(d.inner, l->normed_grad + (ptrdiff_t)i * d.inner,
                                   d.normed + (ptrdiff_t)i * d.inner);
    for (int i = 0; i < lines; i++) {
        const float *g = l->normed_grad + (ptrdiff_t)i * d.inner;
        const float share = -(float)sum * d.u[i % d.rows] / d.s[0];
        net->k->axpy(d.inner, 1 / d.s[0], g, dw + (ptrdiff_t)i * d.inner);
        net->k->axpy(d.inner, share, d.v + (ptrdiff_t)(i / d.rows) * d.inner,
                     dw + (ptrdiff_t)i * d.inner);
    }
}

enum { CVNI_SPECTRAL_START = 15 };      /* iterations on new weights */

static void cvni_spectral_init(cvn_net *net)
{
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        cvni_spectral d;
        if (!l->spectral || net->params[l->param[0]].layer != id) continue;
        d = cvni_spectral_of(net, l);
        for (int i = 0; i < CVNI_SPECTRAL_START; i++)
            cvni_spectral_iterate(net, &d, net->weights + net->params[l->spectral - 1].offset,
                                  net->weights + net->params[l->spectral].offset);
    }
}

/* The two vectors behind a weight, normal draws; the weight's name says what it is now. */
static cvn_result cvni_spectral_params(cvn_net *net, cvni_layer *l)
{
    const cvni_spectral d = cvni_spectral_of(net, l);
    const char *const suffix[2] = { "weight_u", "weight_v" };
    const char *owner = net->layers[net->params[l->param[0]].layer].name;
    for (int i = 0; i < 2; i++) {
        cvni_param *p;
        if (!cvni_grow(net, (void **)&net->params, &net->param_capacity, net->param_count + 1,
                       sizeof *net->params))
            return cvni_graph_fail(net, CVN_ERROR_MEMORY, "out of memory while the graph is built");
        p = &net->params[net->param_count++];
        *p = net->params[l->param[0]];
        p->suffix = suffix[i];
        p->shape = cvni_shape(1, i ? d.cols : d.rows, 0, 0, 0);
        p->count = (size_t)p->shape.dim[0];
        p->init.kind = CVN_INIT_NORMAL;
        p->init.a = 0;
        p->init.b = 1;
        p->role = CVNI_RUNNING;
        p->name = cvni_param_name(net, owner, suffix[i]);
    }
    net->params[l->param[0]].suffix = "weight_orig";
    net->params[l->param[0]].name = cvni_param_name(net, owner, "weight_orig");
    return net->failed;
}

cvn_node cvn_spectral_norm(cvn_net *net, cvn_node node)
{
    const cvn_node none = { 0 };
    cvni_layer *l = cvni_mark(net, node, "cvn_spectral_norm");
    int weight;
    if (!l) return none;
    if (!l->params || net->params[l->param[0]].shape.rank < 2) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT,
                        "cvn_spectral_norm: '%s' (%s) has no weight of two or more axes", l->name,
                        l->op->type);
        return none;
    }
    if (l->spectral) return node;
    if (cvni_spectral_params(net, l) != CVN_OK) return none;
    weight = l->param[0];
    for (int id = 1; id < net->layer_count; id++)           /* with all that are tied to it */
        if (net->layers[id].params && net->layers[id].param[0] == weight)
            net->layers[id].spectral = net->param_count - 1;
    return node;
}

CVNI_COLD_END

/* ================================================================================================
 * >>gemm   packed, blocked matrix product; operands are matrices or patches of an image
 * ==============================================================================================
 *   C[m x n] (+)= A[m x k] B[k x n]. Both operands are seen as lines along k: the rows of A, the
 *   columns of B. A block of lines is packed into panels of mr (nr) lines, k-major, and the
 *   register tile runs over two panels. An operand knows how to read its element (line, k):
 *
 *     strided   p[line*line_step + (k / taps)*k_step + tap[k % taps]] (taps = 1, tap = NULL: a
 *               plain matrix)
 *     patches   line = output position, k = (channel, tap): the im2col matrix, never stored
 *     taps      line = (channel, tap), k = output position: its transpose
 *
 *   Every element of C is summed over k in the same order, chunks of CVNI_KC, whatever the
 *   blocking: the division into
 *   blocks, and so the number of threads, does not change a bit. source: K. Goto, R. van de Geijn,
 *   ACM TOMS 34(3) */

#define CVNI_KC 256             /* k of a packed panel: 256 x nr floats stay in L1 */
#define CVNI_BLOCK_M 512        /* rows of a block of C, about */
#define CVNI_BLOCK_N 480        /* columns: so many lines of B are packed at once */
#define CVNI_PART_M 96          /* lines of A that are packed at once; both in L2 */
#define CVNI_NEAR 1024          /* floats from k to k of lines that are not packed, */
#define CVNI_FEW 16             /* or tiles that read them */
#define CVNI_MAX_PANEL 64       /* largest mr, nr */
#define CVNI_TURN 32            /* k that are turned through a buffer */

/* Positions of an output (or of one phase of it) and, per tap of the kernel, where each row and
 * column of positions reads: -1 is padding that reads 0. */
typedef struct cvni_patches {
    const float *x;             /* first channel */
    ptrdiff_t plane, row;       /* floats from channel to channel, row to row */
    int taps_h, taps_w;
    const int *rows, *cols;     /* [taps_h][height], [taps_w][width] */
    int height, width;          /* rows of positions, positions in a row */
    int unit;                   /* neighbouring positions read neighbouring columns */
} cvni_patches;

typedef struct cvni_operand {
    const float *p;
    ptrdiff_t line_step, k_step;
    int taps;
    const int *tap;
    const cvni_patches *patches;
    int lines_are_taps;
} cvni_operand;

typedef struct cvni_gemm {
    int m, n, k;
    cvni_operand a, b;
    float *c;
    ptrdiff_t ldc;
    int add;                    /* C += instead of C = */
    const float *row_bias;      /* [m], or NULL */
    const float *col_bias;      /* [n], or NULL */
    int activate;               /* leaky relu on the store */
    float slope;
} cvni_gemm;

static cvni_operand cvni_matrix(const float *p, ptrdiff_t line_step, ptrdiff_t k_step)
{
    cvni_operand o;
    memset(&o, 0, sizeof o);
    o.p = p;
    o.line_step = line_step;
    o.k_step = k_step;
    o.taps = 1;
    return o;
}

/* One panel of `lines` <= width lines from a strided operand. */
CVNI_HOT
static void cvni_pack_strided(const cvni_operand *o, int line0, int lines, int k0, int ks,
                              int width, float *out)
{
    for (int k = 0; k < ks; k++, out += width) {
        const int kk = k0 + k;
        const float *p = o->p + line0 * o->line_step + (kk / o->taps) * o->k_step +
                         (o->tap ? o->tap[kk % o->taps] : 0);
        for (int i = 0; i < lines; i++) out[i] = p[i * o->line_step];
        for (int i = lines; i < width; i++) out[i] = 0;
    }
}

/* Zeros for the lines that a panel has too few. */
static void cvni_pack_zeros(int lines, int ks, int width, float *out)
{
    for (int k = 0; lines < width && k < ks; k++, out += width)
        for (int i = lines; i < width; i++) out[i] = 0;
}

/* The same where taps stand next to each other, up or down: such runs are turned. */
static int cvni_tap_run(const int *tap, int n, int *down)
{
    int i = 1;
    *down = n > 1 && tap[1] == tap[0] - 1;
    while (i < n && tap[i] == tap[i - 1] + (*down ? -1 : 1)) i++;
    return i;
}

static void cvni_pack_runs(const cvni_kernels *kern, const cvni_operand *o, int line0, int lines,
                           int k0, int ks, int width, float *out)
{
    for (int k = 0; k < ks;) {
        const int tap = (k0 + k) % o->taps;
        int down;
        const int n = cvni_tap_run(o->tap + tap, cvni_min(o->taps - tap, ks - k), &down);
        const float *p = o->p + line0 * o->line_step + (k0 + k) / o->taps * o->k_step +
                         o->tap[down ? tap + n - 1 : tap];
        float *to = out + (ptrdiff_t)(down ? k + n - 1 : k) * width;
        for (int i = 0; i < lines; i += width, to += (ptrdiff_t)ks * width)
            kern->pack_rows(cvni_min(width, lines - i), n, p + i * o->line_step, o->line_step,
                            down ? -width : width, to);
        k += n;
    }
    if (lines % width == 0) return;
    cvni_pack_zeros(lines % width, ks, width, out + (ptrdiff_t)(lines - lines % width) * ks);
}

/* A plain matrix whose lines are neighbours: a few k over all panels, for a row of it is
 * contiguous. */
static void cvni_pack_plain(const cvni_kernels *kern, const float *p, ptrdiff_t k_step, int lines,
                            int ks, int width, float *out)
{
    for (int k = 0; k < ks; k += 8) {
        const int some = cvni_min(8, ks - k);
        float *to = out + (ptrdiff_t)k * width;
        for (int i = 0; i < lines; i += width, to += (ptrdiff_t)ks * width) {
            const int n = cvni_min(width, lines - i);
            kern->pack_columns(n, some, p + k * k_step + i, k_step, width, to);
            cvni_pack_zeros(n, some, width, to);
        }
    }
}

/* Runs of positions that share a row of the output: row, first column, first line of the panel,
 * length. */
typedef struct cvni_run_of { int row, col, line, n; } cvni_run_of;

static int cvni_split_runs(int width, int first, int n, cvni_run_of *run)
{
    int runs = 0;
    for (int i = 0; i < n; i += run[runs++].n) {
        run[runs].row = (first + i) / width;
        run[runs].col = (first + i) % width;
        run[runs].line = i;
        run[runs].n = cvni_min(n - i, width - run[runs].col);
    }
    return runs;
}

/* One run under one tap for `channels` channels, `step` floats apart in `out`: all read the same
 * places of their planes. What lies in the padding is at the ends; between them neighbours read
 * neighbours, or places of their own (a stride, mirrored padding). */
CVNI_HOT
static void cvni_pack_run(const cvni_kernels *kern, const cvni_patches *g, const cvni_run_of *run,
                          int tap, const float *x, int channels, int step, float *out)
{
    const int *cols = g->cols + tap % g->taps_w * g->width + run->col;
    const int r = g->rows[tap / g->taps_w * g->height + run->row];
    int begin = 0;
    int end = r < 0 ? 0 : run->n;
    int unit;
    while (begin < end && cols[begin] < 0) begin++;
    while (end > begin && cols[end - 1] < 0) end--;
    unit = g->unit && begin < end && cols[end - 1] - cols[begin] == end - begin - 1;
    x += r * g->row;
    if (unit)
        kern->pack_columns(end - begin, channels, x + cols[begin], g->plane, step, out + begin);
    for (int c = 0; c < channels && (!unit || begin > 0 || end < run->n); c++) {
        for (int i = 0; i < begin; i++) out[i] = 0;
        if (!unit) for (int i = begin; i < end; i++) out[i] = cols[i] < 0 ? 0 : x[cols[i]];
        for (int i = end; i < run->n; i++) out[i] = 0;
        x += g->plane;
        out += step;
    }
}

static void cvni_pack_patches(const cvni_kernels *kern, const cvni_operand *o, int line0, int lines,
                              int k0, int ks, int width, float *out)
{
    const cvni_patches *g = o->patches;
    const int taps = g->taps_h * g->taps_w;
    cvni_run_of run[CVNI_MAX_PANEL];
    const int runs = cvni_split_runs(g->width, line0, lines, run);
    for (int tap = 0; tap < taps; tap++) {          /* k = channel*taps + tap in [k0, k0 + ks) */
        const int c0 = tap >= k0 ? 0 : cvni_ceil_div(k0 - tap, taps);
        const int c1 = k0 + ks > tap ? cvni_ceil_div(k0 + ks - tap, taps) : 0;
        float *to = out + (ptrdiff_t)(c0 * taps + tap - k0) * width;
        for (int s = 0; s < runs && c0 < c1; s++)
            cvni_pack_run(kern, g, &run[s], tap, g->x + c0 * g->plane, c1 - c0, taps * width,
                          to + run[s].line);
    }
    cvni_pack_zeros(lines, ks, width, out);
}

/* Lines are taps, k runs over positions: some positions of each line side by side in a buffer that
 * stays in L1, then turned. */
CVNI_HOT
static void cvni_gather_taps(const cvni_patches *g, int line, const cvni_run_of *run, int runs,
                             float *to)
{
    const int taps = g->taps_h * g->taps_w;
    const int tap = line % taps;
    const float *plane = g->x + line / taps * g->plane;
    for (int s = 0; s < runs; s++) {
        const int *cols = g->cols + tap % g->taps_w * g->width + run[s].col;
        const int r = g->rows[tap / g->taps_w * g->height + run[s].row];
        const float *row = plane + r * g->row;
        const int n = run[s].n;
        float *out = to + run[s].line;
        if (r < 0) for (int j = 0; j < n; j++) out[j] = 0;
        else if (g->unit && cols[0] >= 0 && cols[n - 1] - cols[0] == n - 1)
            for (int j = 0; j < n; j++) out[j] = row[cols[0] + j];
        else for (int j = 0; j < n; j++) out[j] = cols[j] < 0 ? 0 : row[cols[j]];
    }
}

static void cvni_pack_taps(const cvni_kernels *kern, const cvni_operand *o, int line0, int lines,
                           int k0, int ks, int width, float *out)
{
    float part[CVNI_MAX_PANEL * CVNI_TURN];
    cvni_run_of run[CVNI_TURN];
    for (int k = 0; k < ks; k += CVNI_TURN, out += CVNI_TURN * width) {
        const int n = cvni_min(CVNI_TURN, ks - k);
        const int runs = cvni_split_runs(o->patches->width, k0 + k, n, run);
        for (int i = 0; i < lines; i++)
            cvni_gather_taps(o->patches, line0 + i, run, runs, part + i * CVNI_TURN);
        kern->pack_rows(lines, n, part, CVNI_TURN, width, out);
        cvni_pack_zeros(lines, n, width, out);
    }
}

static int cvni_is_plain(const cvni_operand *o) { return !o->patches && o->taps == 1; }

/* Packs lines [line0, line0 + lines) into panels of `width`, each ks x width. */
static void cvni_pack(const cvni_kernels *kern, const cvni_operand *o, int line0, int lines, int k0,
                      int ks, int width, float *out)
{
    const float *p = o->p + line0 * o->line_step + k0 * o->k_step;
    if (cvni_is_plain(o) && o->line_step == 1) {
        cvni_pack_plain(kern, p, o->k_step, lines, ks, width, out);
        return;
    }
    if (o->tap && o->line_step != 1) {
        cvni_pack_runs(kern, o, line0, lines, k0, ks, width, out);
        return;
    }
    for (int i = 0; i < lines; i += width, out += (ptrdiff_t)ks * width) {
        const int n = cvni_min(width, lines - i);
        if (o->patches && o->lines_are_taps)
            cvni_pack_taps(kern, o, line0 + i, n, k0, ks, width, out);
        else if (o->patches) cvni_pack_patches(kern, o, line0 + i, n, k0, ks, width, out);
        else if (cvni_is_plain(o) && o->k_step == 1) {
            kern->pack_rows(n, ks, p + i * o->line_step, o->line_step, width, out);
            cvni_pack_zeros(n, ks, width, out);
        } else cvni_pack_strided(o, line0 + i, n, k0, ks, width, out);
    }
}

static int cvni_round_up(int n, int unit) { return cvni_ceil_div(n, unit) * unit; }

/* Lines of a block: about `aim`, whole panels, no more than there are. */
static int cvni_block(int lines, int aim, int panel)
{
    return cvni_min(cvni_round_up(lines, panel), cvni_max(panel, aim / panel * panel));
}

/* Scratch of one worker for a product of this size, in bytes. */
static size_t cvni_gemm_scratch(const cvni_kernels *kern, int m, int n, int k)
{
    const size_t lines = (size_t)cvni_block(m, CVNI_PART_M, kern->mr) +
                         (size_t)cvni_block(n, CVNI_BLOCK_N, kern->nr);
    return cvni_align(lines * (size_t)cvni_min(k, CVNI_KC) * sizeof(float));
}

/* Lines of an operand as the tiles read them, panel by panel: packed, or where they lie. */
typedef struct cvni_panels {
    const float *p;
    int width;                  /* lines of a panel */
    ptrdiff_t next;             /* floats from panel to panel */
    ptrdiff_t line, k;          /* inside a panel */
    int edge;                   /* from this line on: packed, one panel */
    const float *packed;
} cvni_panels;

static cvni_panels cvni_packed_panels(const float *p, int ks, int width)
{
    cvni_panels s;
    s.p = s.packed = p;
    s.width = width;
    s.next = (ptrdiff_t)ks * width;
    s.line = 1;
    s.k = width;
    s.edge = INT_MAX;
    return s;
}

/* Lines that the last of `lines` have for themselves when tiles of `width` take them in place: not
 * only one vector when the tile before can spare some. */
static int cvni_last_lines(int lines, int width, int unit)
{
    const int last = lines % width;
    return last > 0 && last <= unit && unit < width && lines > width ? last + unit : last;
}

static cvni_panels cvni_pack_panels(const cvni_kernels *kern, const cvni_operand *o, int line0,
                                    int lines, int k0, int ks, int width, float *packed)
{
    cvni_pack(kern, o, line0, lines, k0, ks, width, packed);
    return cvni_packed_panels(packed, ks, width);
}

/* A plain matrix in place; the last lines are packed if tiles would read beyond them. unit: tiles
 * read multiples of that. */
static cvni_panels cvni_place_panels(const cvni_kernels *kern, const cvni_operand *o, int line0,
                                     int lines, int k0, int ks, int width, int unit, float *packed)
{
    const int last = cvni_last_lines(lines, width, unit);
    cvni_panels s;
    s.p = o->p + line0 * o->line_step + k0 * o->k_step;
    s.width = width;
    s.next = width * o->line_step;
    s.line = o->line_step;
    s.k = o->k_step;
    s.edge = last % unit ? lines - last : INT_MAX;
    s.packed = packed;
    if (last % unit) cvni_pack(kern, o, line0 + lines - last, last, k0, ks, width, packed);
    return s;
}

/* Where line i and those behind it lie. */
static const float *cvni_panel_at(const cvni_panels *s, int i, ptrdiff_t *line, ptrdiff_t *k)
{
    *line = i < s->edge ? s->line : 1;
    *k = i < s->edge ? s->k : s->width;
    if (i >= s->edge) return s->packed;
    return s->p + i / s->width * s->next + i % s->width * s->line;
}

/* The tiles of two blocks: rows [m0, m0 + ms), columns [n0, n0 + ns) of C. */
static void cvni_gemm_tiles(const cvni_kernels *kern, const cvni_gemm *g, int m0, int ms, int n0,
                            int ns, int ks, int add, const cvni_panels *a, const cvni_panels *b)
{
    const int in_place = b->p != b->packed;
    const int far = in_place && b->k > CVNI_NEAR;   /* no prefetcher follows such steps */
    const int last = in_place ? cvni_last_lines(ns, kern->nr, kern->unit) : ns % kern->nr;
    ptrdiff_t b_line;
    cvni_tile t;
    t.k = ks;
    t.add = add;
    t.ldc = g->ldc;
    for (int j = 0; j < ns; j += t.cols) {
        t.cols = ns - j == last ? last : cvni_min(kern->nr, ns - last - j);
        t.b = cvni_panel_at(b, j, &b_line, &t.b_k);
        t.c = g->c + m0 * g->ldc + n0 + j;
        for (int i = 0; i < ms; i += kern->mr, t.c += kern->mr * g->ldc) {
            t.rows = cvni_min(kern->mr, ms - i);
            t.a = cvni_panel_at(a, i, &t.a_line, &t.a_k);
            t.ahead = i == 0 && far && ns - j >= 2 * kern->nr ? kern->nr : 0;
            kern->gemm_tile(&t);
        }
    }
}

/* Bias and activation on a finished block, still in the cache. */
static void cvni_gemm_store(const cvni_kernels *kern, const cvni_gemm *g, int m0, int ms, int n0,
                            int ns)
{
    for (int i = 0; i < ms; i++) {
        float *c = g->c + (m0 + i) * g->ldc + n0;
        if (g->row_bias) kern->scale_shift(ns, 1, g->row_bias[m0 + i], c, c);
        if (g->col_bias) kern->add(ns, c, g->col_bias + n0, c);
        if (g->activate) kern->relu(ns, g->slope, c, c);
    }
}

/* Whether neighbouring lines are read where they lie: `uses` tiles read each; where k is a page
 * further each time, packing costs less than the pages. */
static int cvni_in_place(const cvni_operand *o, int uses)
{
    return cvni_is_plain(o) && o->line_step == 1 && (o->k_step <= CVNI_NEAR || uses <= CVNI_FEW);
}

/* One block of C over the whole of k, on this thread. ms and ns at most the blocks that
 * cvni_gemm_scratch assumes. */
static void cvni_gemm_block(const cvni_kernels *kern, const cvni_gemm *g, int m0, int ms, int n0,
                            int ns, void *scratch)
{
    const int part = cvni_block(ms, CVNI_PART_M, kern->mr);
    const int depth = cvni_min(g->k, CVNI_KC);
    const int a_in_place = (cvni_is_plain(&g->a) && g->a.k_step == 1) ||
                           cvni_in_place(&g->a, cvni_ceil_div(ns, kern->nr));
    const int b_in_place = cvni_in_place(&g->b, cvni_ceil_div(ms, kern->mr));
    float *packed_a = (float *)scratch;
    float *packed_b = packed_a + (ptrdiff_t)part * depth;
    for (int k0 = 0; k0 < g->k; k0 += CVNI_KC) {
        const int ks = cvni_min(CVNI_KC, g->k - k0);
        const cvni_panels b =
            b_in_place
                ? cvni_place_panels(kern, &g->b, n0, ns, k0, ks, kern->nr, kern->unit, packed_b)
                : cvni_pack_panels(kern, &g->b, n0, ns, k0, ks, kern->nr, packed_b);
        for (int i = m0; i < m0 + ms; i += part) {
            const int rows = cvni_min(part, m0 + ms - i);
            const cvni_panels a =
                a_in_place
                    ? cvni_place_panels(kern, &g->a, i, rows, k0, ks, kern->mr, kern->mr, packed_a)
                    : cvni_pack_panels(kern, &g->a, i, rows, k0, ks, kern->mr, packed_a);
            cvni_gemm_tiles(kern, g, i, rows, n0, ns, ks, g->add || k0 > 0, &a, &b);
            if (k0 + ks == g->k && (g->row_bias || g->col_bias || g->activate))
                cvni_gemm_store(kern, g, i, rows, n0, ns);
        }
    }
}

/* Division of one product into blocks: as few as the caches allow, more when `want` tasks are
 * needed. */
typedef struct cvni_blocks { int ms, ns, rows, cols; } cvni_blocks;

static cvni_blocks cvni_make_blocks(const cvni_kernels *kern, int m, int n, int want)
{
    cvni_blocks b;
    b.rows = cvni_ceil_div(m, CVNI_BLOCK_M);
    b.cols = cvni_ceil_div(n, cvni_block(n, CVNI_BLOCK_N, kern->nr));
    for (;;) {
        b.ms = cvni_round_up(cvni_ceil_div(m, b.rows), kern->mr);
        b.ns = cvni_round_up(cvni_ceil_div(n, b.cols), kern->unit);
        if (b.rows * b.cols >= want || (b.ns <= 2 * kern->nr && b.ms <= 4 * kern->mr)) break;
        if (b.ms > 4 * kern->mr && (b.ms >= b.ns / 2 || b.ns <= 2 * kern->nr)) b.rows++;
        else b.cols++;
    }
    if (b.rows * b.cols < 4 * want && b.ns > 2 * kern->nr)      /* each thread as many */
        b.cols = cvni_round_up(b.rows * b.cols, want) / b.rows;
    b.ns = cvni_round_up(cvni_ceil_div(n, b.cols), kern->unit);
    b.rows = cvni_ceil_div(m, b.ms);
    b.cols = cvni_ceil_div(n, b.ns);
    return b;
}

static void cvni_gemm_task(const cvn_net *net, const cvni_gemm *g, const cvni_blocks *b, int task,
                           int worker)
{
    const int m0 = task / b->cols * b->ms;
    const int n0 = task % b->cols * b->ns;
    cvni_gemm_block(net->k, g, m0, cvni_min(b->ms, g->m - m0), n0, cvni_min(b->ns, g->n - n0),
                    cvni_scratch(net, worker));
}

typedef struct cvni_gemm_job {
    const cvn_net *net;
    const cvni_gemm *g;
    cvni_blocks blocks;
} cvni_gemm_job;

static void cvni_gemm_part(void *context, int begin, int end, int worker)
{
    const cvni_gemm_job *job = (const cvni_gemm_job *)context;
    for (int t = begin; t < end; t++) cvni_gemm_task(job->net, job->g, &job->blocks, t, worker);
}

/* The whole product on all threads. */
static void cvni_gemm_run(cvn_net *net, const cvni_gemm *g)
{
    cvni_gemm_job job;
    job.net = net;
    job.g = g;
    job.blocks = cvni_make_blocks(net->k, g->m, g->n, 2 * net->threads);
    cvni_parallel_for(net, job.blocks.rows * job.blocks.cols, 2.0 * g->m * g->n * g->k,
                      cvni_gemm_part, &job);
}

/* ================================================================================================
 * >>conv   convolution in 1, 2, 3 dimensions and transposed: implicit GEMM; direct for depthwise
 * ==============================================================================================
 *   One geometry for all: a convolution leads from a big image B [N, C, D, H, W] to a small one
 *   S [N, M, OD, OH, OW]; an axis that a layer does not have has size 1, kernel 1.
 *
 *     S[n, m, o] = sum over c, k of w[m, c, k] * B[n, c, o*stride + k*dilation - pad]
 *     o, k: positions and taps on the three axes; c: the C/groups channels of the group of m
 *
 *                       x is   y is   forward        dx             dw
 *     conv1d, 2d, 3d    B      S      down + bias    up             weights
 *     conv_transpose    S      B      up + bias      down           weights
 *
 *   down      per image and group: S[M x positions] = W[M x K] patches[K x positions] of B
 *   up        the transpose of it, as a gather: positions of B whose coordinates are congruent
 *             modulo the stride meet the same taps; each such phase is one product
 *             B[C x positions] = W^T[C x M*taps] patches of S. With reflect or replicate padding
 *             this is the gradient of the padded image, which then is folded back.
 *   weights   dW[M x K] += S[M x positions] patches^T of B; the batch is cut into slices of fixed
 *             size whose sums are added in order
 *
 *   An image with a depth is one of D*H rows: a kernel row is a pair (kd, kh). Tables, made once
 *   per plan, say for each kernel row (column) and row (column) of S which row (column) of B it
 *   reads, -1 for zero padding: stride, dilation, depth and the pad modes live there alone. Each
 *   phase has the same the other way round.
 *
 *   source    V. Dumoulin, F. Visin, arXiv:1603.07285, section 4 (both ways through a convolution)
 *             M. D. Zeiler et al., Deconvolutional networks, CVPR 2010 (transposed)
 *             M. Lin et al., arXiv:1312.4400 (1x1); F. Chollet, arXiv:1610.02357 (separable)
 *                                                                      tested: tests/test_conv.c */

/* Few filters a channel: packing patches would cost more than the products. */
#define CVNI_DIRECT_FILTERS 2

#define CVNI_MAX_AXIS (1 << 30)         /* depth, height, width; windows below: their sums fit an
                                         * int */
#define CVNI_MAX_WINDOW (1 << 15)       /* kernel, stride, dilation, pad */

/* What all public descriptions become. Arrays: depth, height, width; the last `axes` are used. */
typedef struct cvni_conv_desc {
    int axes, transposed;
    int filters;                        /* channels of y; 0 before shape(): depthwise */
    int kernel[3], stride[3], dilation[3];
    int pad[3], pad_end[3];
    int output_pad[3];                  /* transposed: what y has behind the last window */
    int groups;
    cvn_pad_mode pad_mode;
    int no_bias;
    cvn_init weight_init, bias_init;
} cvni_conv_desc;

/* One axis of both images. */
typedef struct cvni_axis {
    int big, small;
    int kernel, stride, dilation, pad;
    int back, offset;                   /* image that the product up makes: the big one, or the
                                         * padded one; of small position 0 in it */
} cvni_axis;

/* Rows (or columns) of the back image congruent modulo the stride, and the kernel rows that reach
 * them. */
typedef struct cvni_phase {
    int n, taps;
    const int *place;                   /* [n] in the back image */
    const int *tap;                     /* [taps] kernel rows */
    const int *map;                     /* [taps][n] in the small image, or -1 */
} cvni_phase;

typedef struct cvni_conv {
    const cvni_conv_desc *d;
    int N, C, M;
    int G, CG, MG;                      /* groups, channels and filters of one */
    cvni_axis axis[3];
    int H, W, OH, OW, BH, BW, KH, KW;   /* rows and columns of the big image, the small one, the
                                         * back image, the kernel: rows are depth*height */
    int taps, K;                        /* KH*KW, CG*taps */
    int direct;                         /* no GEMM */
    int unit;                           /* stride 1 along the row */
    int plain;                          /* 1x1, stride 1, no padding: patches are the image */
    int row_phases, col_phases;         /* no more than the back image has rows, columns */
    const cvni_phase *row_phase, *col_phase;
    const int *rows, *cols;             /* [KH][OH], [KW][OW] */
    const int *runs;                    /* per kernel column: first and last + 1 column of the
                                         * small image that lies inside */
    const int *tap;                     /* taps of the phases, one phase behind the other */
} cvni_conv;

CVNI_COLD_BEGIN

/* Stands for the axis before the columns. */
static const cvni_axis cvni_no_axis = { 1, 1, 1, 1, 1, 0, 1, 0 };

static int cvni_axis_phases(const cvni_axis *a) { return cvni_min(a->stride, a->back); }

/* Entries of the maps of all phases of an axis. */
static size_t cvni_axis_back_entries(const cvni_axis *a)
{
    size_t count = 0;
    for (int k = 0; k < a->kernel; k++) {       /* tap k reaches first, first + stride, ... */
        const int first = ((k * a->dilation - a->offset) % a->stride + a->stride) % a->stride;
        if (first < a->back) count += (size_t)cvni_ceil_div(a->back - first, a->stride);
    }
    return count;
}

static size_t cvni_conv_table_bytes(const cvni_conv *c)
{
    const cvni_axis *a = c->axis;
    size_t ints = cvni_add_size(cvni_mul_size((size_t)c->KH, (size_t)c->OH),
                                cvni_mul_size((size_t)c->KW, (size_t)c->OW + 2));
    ints = cvni_add_size(ints, cvni_mul_size(cvni_axis_back_entries(&a[0]),
                                             cvni_axis_back_entries(&a[1])));
    ints = cvni_add_size(ints, cvni_axis_back_entries(&a[2]));
    ints = cvni_add_size(ints, (size_t)c->KH + (size_t)c->BH);          /* tap and place, rows */
    ints = cvni_add_size(ints, (size_t)c->KW + (size_t)c->BW);          /* columns */
    ints = cvni_add_size(ints, (size_t)c->taps);
    return cvni_add_size(((size_t)c->row_phases + (size_t)c->col_phases) * sizeof(cvni_phase),
                         cvni_mul_size(ints, sizeof(int)));
}

static cvni_axis cvni_conv_axis_of(const cvni_conv_desc *d, int i, cvn_shape big, cvn_shape small)
{
    const int padded = d->pad_mode != CVN_PAD_ZERO;
    const int at = i - 3 + big.rank;            /* axis of the shapes */
    cvni_axis a = cvni_no_axis;
    if (i < 3 - d->axes) return a;
    a.big = big.dim[at];
    a.small = small.dim[at];
    a.kernel = d->kernel[i];
    a.stride = d->stride[i];
    a.dilation = d->dilation[i];
    a.pad = d->pad[i];
    a.back = a.big + (padded ? d->pad[i] + d->pad_end[i] : 0);
    a.offset = padded ? 0 : d->pad[i];
    return a;
}

static cvni_conv cvni_conv_of(const cvn_net *net, const cvni_layer *l)
{
    const cvni_conv_desc *d = (const cvni_conv_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvn_shape big = d->transposed ? l->shape : x;
    const cvn_shape small = d->transposed ? x : l->shape;
    cvni_conv c;
    const cvni_axis *a = c.axis;
    memset(&c, 0, sizeof c);
    c.d = d;
    c.N = x.dim[0];
    c.C = big.dim[1];
    c.M = small.dim[1];
    c.G = d->groups;
    c.CG = c.C / c.G;
    c.MG = c.M / c.G;
    for (int i = 0; i < 3; i++) c.axis[i] = cvni_conv_axis_of(d, i, big, small);
    c.H = a[0].big * a[1].big;
    c.W = a[2].big;
    c.OH = a[0].small * a[1].small;
    c.OW = a[2].small;
    c.BH = a[0].back * a[1].back;
    c.BW = a[2].back;
    c.KH = a[0].kernel * a[1].kernel;
    c.KW = a[2].kernel;
    c.taps = c.KH * c.KW;
    c.K = c.CG * c.taps;
    c.direct = c.CG == 1 && c.MG <= CVNI_DIRECT_FILTERS;
    c.unit = a[2].stride == 1;
    c.plain = c.taps == 1;
    for (int i = 0; i < 3; i++)
        c.plain = c.plain && a[i].stride == 1 && a[i].pad == 0 && a[i].small == a[i].big;
    c.row_phases = cvni_axis_phases(&a[0]) * cvni_axis_phases(&a[1]);
    c.col_phases = cvni_axis_phases(&a[2]);
    if (!l->table) return c;
    c.row_phase = (const cvni_phase *)l->table;
    c.col_phase = c.row_phase + c.row_phases;
    c.rows = (const int *)(const void *)(c.col_phase + c.col_phases);
    c.cols = c.rows + (ptrdiff_t)c.KH * c.OH;
    c.runs = c.cols + (ptrdiff_t)c.KW * c.OW;
    c.tap = c.runs + 2 * c.KW;
    return c;
}

/* Where padded coordinate i of an axis of n elements reads: inside, mirrored, clamped, or -1. */
static int cvni_pad_index(int i, int n, cvn_pad_mode mode)
{
    if (i >= 0 && i < n) return i;
    if (mode == CVN_PAD_ZERO) return -1;
    if (mode == CVN_PAD_REPLICATE) return i < 0 ? 0 : n - 1;
    return i < 0 ? -i : 2 * (n - 1) - i;
}

/* Place in the big image that position o of the small one reads through tap k, or -1. */
static int cvni_axis_reads(const cvni_axis *a, int o, int k, cvn_pad_mode mode)
{
    return cvni_pad_index(o * a->stride + k * a->dilation - a->pad, a->big, mode);
}

/* The inverse: position of the small image that reads place i of the back image through tap k, or
 * -1. */
static int cvni_axis_back(const cvni_axis *a, int i, int k)
{
    const int s = i + a->offset - k * a->dilation;
    return s >= 0 && s % a->stride == 0 && s / a->stride < a->small ? s / a->stride : -1;
}

/* The axes a and b as one of a*b places. Returns the end of what was written. */
static int *cvni_fill_map(const cvni_axis *a, const cvni_axis *b, cvn_pad_mode mode, int *at)
{
    for (int k = 0; k < a->kernel * b->kernel; k++) {
        for (int o = 0; o < a->small * b->small; o++) {
            const int i = cvni_axis_reads(a, o / b->small, k / b->kernel, mode);
            const int j = cvni_axis_reads(b, o % b->small, k % b->kernel, mode);
            *at++ = i < 0 || j < 0 ? -1 : i * b->big + j;
        }
    }
    return at;
}

static int *cvni_fill_phase(const cvni_axis *a, const cvni_axis *b, int a0, int b0, cvni_phase *p,
                            int *at)
{
    p->n = p->taps = 0;
    p->tap = at;
    for (int i = 0; i < a->kernel; i++)
        for (int k = 0; k < b->kernel; k++)
            if ((a0 + a->offset - i * a->dilation) % a->stride == 0 &&
                (b0 + b->offset - k * b->dilation) % b->stride == 0)
                at[p->taps++] = i * b->kernel + k;
    at += p->taps;
    p->place = at;
    for (int i = a0; i < a->back; i += a->stride)
        for (int k = b0; k < b->back; k += b->stride) at[p->n++] = i * b->back + k;
    at += p->n;
    p->map = at;
    for (int t = 0; t < p->taps; t++) {
        for (int q = 0; q < p->n; q++) {
            const int i = cvni_axis_back(a, p->place[q] / b->back, p->tap[t] / b->kernel);
            const int k = cvni_axis_back(b, p->place[q] % b->back, p->tap[t] % b->kernel);
            *at++ = i < 0 || k < 0 ? -1 : i * b->small + k;
        }
    }
    return at;
}

static int *cvni_fill_phases(const cvni_axis *a, const cvni_axis *b, cvni_phase *phase, int *at)
{
    for (int i = 0; i < cvni_axis_phases(a); i++)
        for (int k = 0; k < cvni_axis_phases(b); k++)
            at = cvni_fill_phase(a, b, i, k, phase++, at);
    return at;
}

static void cvni_conv_prepare(cvn_net *net, cvni_layer *l)
{
    const cvni_conv c = cvni_conv_of(net, l);
    cvni_phase *phase = (cvni_phase *)l->table;
    int *rows = (int *)(void *)(phase + c.row_phases + c.col_phases);
    int *cols = cvni_fill_map(&c.axis[0], &c.axis[1], c.d->pad_mode, rows);
    int *runs = cvni_fill_map(&cvni_no_axis, &c.axis[2], c.d->pad_mode, cols);
    int *tap = runs + 2 * c.KW;
    int *rest = cvni_fill_phases(&c.axis[0], &c.axis[1], phase, tap + c.taps);
    cvni_fill_phases(&cvni_no_axis, &c.axis[2], phase + c.row_phases, rest);
    for (int i = 0; i < c.row_phases; i++)
        for (int k = 0; k < c.col_phases; k++)
            for (int t = 0; t < phase[i].taps; t++)
                for (int s = 0; s < phase[c.row_phases + k].taps; s++)
                    *tap++ = phase[i].tap[t] * c.KW + phase[c.row_phases + k].tap[s];
    for (int k = 0; k < c.KW; k++, runs += 2) {
        for (runs[0] = 0; runs[0] < c.OW && cols[k * c.OW + runs[0]] < 0;) runs[0]++;
        for (runs[1] = runs[0]; runs[1] < c.OW && cols[k * c.OW + runs[1]] >= 0;) runs[1]++;
    }
}

/* Slices of the batch in the product of the weights: enough for a few threads where the product
 * itself has few blocks. They depend on the shapes alone, so the sums do not depend on the
 * threads. */
static int cvni_conv_slices(const cvn_net *net, const cvni_conv *c)
{
    const cvni_blocks b = cvni_make_blocks(net->k, c->MG, c->K, 1);
    return cvni_max(1, cvni_min(c->N, 8 / (b.rows * b.cols * c->G)));
}

/* "3 x 5": the axes that the layer has. */
static const char *cvni_conv_text(const cvni_conv_desc *d, const int *v, char text[48])
{
    int at = 0;
    for (int i = 3 - d->axes; i < 3; i++)
        at += snprintf(text + at, 48 - (size_t)at, "%s%d", i > 3 - d->axes ? " x " : "", v[i]);
    return text;
}

/* Is every number of the description in its range? */
static int cvni_conv_in_range(const cvni_conv_desc *d)
{
    const int big = CVNI_MAX_WINDOW;
    double taps = 1;
    int ok = d->filters > 0 && d->groups > 0 && d->pad_mode >= CVN_PAD_ZERO &&
             d->pad_mode <= CVN_PAD_REPLICATE;
    for (int i = 0; i < 3; i++) {
        ok = ok && d->kernel[i] >= 1 && d->kernel[i] <= big && d->stride[i] >= 1 &&
             d->stride[i] <= big && d->dilation[i] >= 1 && d->dilation[i] <= big &&
             d->pad[i] >= 0 && d->pad[i] <= big && d->pad_end[i] >= 0 && d->pad_end[i] <= big;
        taps *= d->kernel[i];
    }
    return ok && taps <= CONVNET_MAX_ELEMENTS;
}

static cvn_result cvni_conv_check(cvn_net *net, const cvni_layer *l, cvn_shape x)
{
    static const char *const kinds[3] = { "sequence [C, L]", "image [C, H, W]",
                                          "volume [C, D, H, W]" };
    const cvni_conv_desc *d = (const cvni_conv_desc *)l->desc;
    char text[96];
    char kernel[48];
    char stride[48];
    char dilation[48];
    if (x.rank != d->axes + 2)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "input %s is no %s; reshape it",
                               cvni_shape_text(x, text), kinds[d->axes - 1]);
    for (int i = 2; i < x.rank; i++)
        if (x.dim[i] > CVNI_MAX_AXIS)
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "input %s is larger than %d",
                                   cvni_shape_text(x, text), CVNI_MAX_AXIS);
    if (!cvni_conv_in_range(d))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "%d filters of %s, stride %s, dilation %s, %d groups: "
                               "out of range (1 or more; pads 0 or more)",
                               d->filters, cvni_conv_text(d, d->kernel, kernel),
                               cvni_conv_text(d, d->stride, stride),
                               cvni_conv_text(d, d->dilation, dilation), d->groups);
    if (x.dim[1] % d->groups || d->filters % d->groups)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "%d groups do not divide %d channels and %d filters", d->groups,
                               x.dim[1], d->filters);
    return CVN_OK;
}

/* Sizes of y. */
static cvn_result cvni_conv_down_shape(cvn_net *net, cvni_layer *l, cvn_shape x)
{
    const cvni_conv_desc *d = (const cvni_conv_desc *)l->desc;
    double padded = 1;
    int reach[3] = { 1, 1, 1 };
    int fits = 1;
    char text[96];
    char kernel[48];
    char dilated[48];
    char pads[48];
    char ends[48];
    l->shape = x;
    l->shape.dim[1] = d->filters;
    for (int i = 3 - d->axes; i < 3; i++) {
        const int at = i - 3 + x.rank;
        const int room = x.dim[at] + d->pad[i] + d->pad_end[i];
        reach[i] = d->dilation[i] * (d->kernel[i] - 1) + 1;
        fits = fits && reach[i] <= room;
        padded *= room;
        l->shape.dim[at] = (room - reach[i]) / d->stride[i] + 1;
        if (d->pad_mode == CVN_PAD_REFLECT && cvni_max(d->pad[i], d->pad_end[i]) >= x.dim[at])
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "reflect padding must be smaller than the input %s",
                                   cvni_shape_text(x, text));
    }
    if (!fits)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "kernel %s (dilated: %s) is larger than input %s with pads %s and "
                               "%s behind it; raise the pads or shrink the kernel",
                               cvni_conv_text(d, d->kernel, kernel),
                               cvni_conv_text(d, reach, dilated), cvni_shape_text(x, text),
                               cvni_conv_text(d, d->pad, pads),
                               cvni_conv_text(d, d->pad_end, ends));
    if (d->pad_mode != CVN_PAD_ZERO && padded > CONVNET_MAX_ELEMENTS)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the input %s is too large with its pads",
                               cvni_shape_text(x, text));
    return CVN_OK;
}

static cvn_result cvni_conv_up_shape(cvn_net *net, cvni_layer *l, cvn_shape x)
{
    const cvni_conv_desc *d = (const cvni_conv_desc *)l->desc;
    char text[96];
    char pads[48];
    char ends[48];
    l->shape = x;
    l->shape.dim[1] = d->filters;
    for (int i = 3 - d->axes; i < 3; i++) {
        const int at = i - 3 + x.rank;
        const int64_t size = ((int64_t)x.dim[at] - 1) * d->stride[i] - d->pad[i] - d->pad_end[i] +
                             d->dilation[i] * (d->kernel[i] - 1) + d->output_pad[i] + 1;
        if (d->output_pad[i] < 0 || d->output_pad[i] >= cvni_max(d->stride[i], d->dilation[i]))
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "output padding %d must be 0 or more and smaller than the "
                                   "stride %d or the dilation %d",
                                   d->output_pad[i], d->stride[i], d->dilation[i]);
        if (size < 1 || size > CVNI_MAX_AXIS)
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "input %s with pads %s and %s behind it gives an output of %.0f "
                                   "along axis %d; change pads or stride",
                                   cvni_shape_text(x, text), cvni_conv_text(d, d->pad, pads),
                                   cvni_conv_text(d, d->pad_end, ends), (double)size, at);
        l->shape.dim[at] = (int)size;
    }
    return CVN_OK;
}

/* weight [M, C/groups, kernel...], which is [filters, in/groups, ...] or, transposed, [in,
 * filters/groups, ...]; bias [filters]. */
static cvn_result cvni_conv_params(cvn_net *net, cvni_layer *l, int in)
{
    const cvni_conv_desc *d = (const cvni_conv_desc *)l->desc;
    cvn_shape shape = l->shape;
    cvn_result result;
    double taps = 1;
    double strides = 1;
    double fan_in, fan_out;
    shape.dim[0] = d->transposed ? in : d->filters;
    shape.dim[1] = (d->transposed ? d->filters : in) / d->groups;
    for (int i = 0; i < 3; i++) {
        if (i >= 3 - d->axes) shape.dim[i - 3 + shape.rank] = d->kernel[i];
        taps *= d->kernel[i];
        strides *= d->stride[i];
    }
    fan_in = (double)(in / d->groups) * taps;
    fan_out = (double)(d->filters / d->groups) * taps;
    if (d->transposed) fan_in = fan_in > strides ? fan_in / strides : 1;
    result = cvni_add_param(net, l, 0, "weight", shape, CVNI_WEIGHT,
                            cvni_init_or(d->weight_init, CVN_INIT_HE_NORMAL, 0), fan_in, fan_out);
    if (result == CVN_OK && !d->no_bias)
        result = cvni_add_param(net, l, 1, "bias", cvni_shape(1, d->filters, 0, 0, 0), CVNI_BIAS,
                                cvni_init_or(d->bias_init, CVN_INIT_ZERO, 0), fan_in, fan_out);
    return result;
}

static cvn_result cvni_conv_shape(cvn_net *net, cvni_layer *l)
{
    cvni_conv_desc *d = (cvni_conv_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    char text[96];
    size_t scratch;
    int slices;
    int rows;                   /* of a block of the product up */
    cvni_conv c;
    cvn_result result;
    if (!d->filters && x.rank == d->axes + 2) d->filters = d->groups = x.dim[1];
    result = cvni_conv_check(net, l, x);
    if (result == CVN_OK)
        result = d->transposed ? cvni_conv_up_shape(net, l, x) : cvni_conv_down_shape(net, l, x);
    if (result == CVN_OK) result = cvni_conv_params(net, l, x.dim[1]);
    if (result == CVN_OK) result = cvni_check_elements(net, l);
    if (result != CVN_OK) return result;
    c = cvni_conv_of(net, l);
    if ((double)c.KH * cvni_max(c.OH, c.BH) > CONVNET_MAX_ELEMENTS ||
        (double)c.KW * cvni_max(c.OW, c.BW) > CONVNET_MAX_ELEMENTS)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the kernel is too large for an output %s",
                               cvni_shape_text(l->shape, text));
    l->macs = (double)c.M * c.K * c.OH * c.OW;
    l->table_bytes = cvni_conv_table_bytes(&c);
    slices = cvni_conv_slices(net, &c);
    l->work_backward_bytes = slices > 1 && !c.direct ? cvni_mul_size((size_t)slices * (size_t)c.M,
                                                                     (size_t)c.K * sizeof(float))
                                                     : 0;
    rows = cvni_block(c.CG, CVNI_BLOCK_M, net->k->mr);
    scratch = cvni_gemm_scratch(net->k, c.MG, c.OH * c.OW, c.K);
    scratch = cvni_max_size(scratch, cvni_gemm_scratch(net->k, c.MG, c.K, c.OH * c.OW));
    scratch = cvni_max_size(scratch, cvni_gemm_scratch(net->k, c.CG, c.BH * c.BW, c.MG * c.taps));
    if (c.row_phases * c.col_phases > 1)
        scratch += cvni_align((size_t)rows * (size_t)cvni_block(c.BH * c.BW, CVNI_BLOCK_N,
                                                                net->k->nr) * sizeof(float));
    if (d->pad_mode != CVN_PAD_ZERO)
        scratch = cvni_add_size(scratch,
                                cvni_mul_size((size_t)rows,
                                              cvni_mul_size((size_t)c.BH,
                                                            (size_t)c.BW * sizeof(float))));
    l->scratch_bytes = scratch;
    return CVN_OK;
}

CVNI_COLD_END

static const cvni_layer *cvni_activation(const cvn_net *net, const cvni_layer *l)
{
    return l->place.activation ? &net->layers[l->place.activation] : NULL;
}

/* Weights and bias to compute with: the folded ones of an inference plan, or the parameters. */
static const float *cvni_run_weight(const cvn_net *net, const cvni_layer *l)
{
    return l->fold ? l->fold : cvni_weights(net, l, 0);
}

static const float *cvni_run_bias(const cvn_net *net, const cvni_layer *l)
{
    return l->fold ? l->fold + net->params[l->param[0]].count : cvni_weights(net, l, 1);
}

/* One of the three products. */
typedef struct cvni_conv_job {
    cvn_net *net;
    cvni_layer *l;
    cvni_conv c;
    cvni_blocks blocks;
    int slices;
    const float *big, *small;           /* images that it reads: one, the weights' product both */
    float *to;                          /* image or weights that it makes */
    int add;                            /* to += instead of to = */
    const float *weight, *bias;         /* bias: NULL for none */
    const cvni_layer *act;              /* activation on the store, or NULL; down alone */
} cvni_conv_job;

/* First channel of a group in both images. */
static ptrdiff_t cvni_conv_big_at(const cvni_conv *c, int n, int g)
{
    return ((ptrdiff_t)n * c->C + (ptrdiff_t)g * c->CG) * c->H * c->W;
}

static ptrdiff_t cvni_conv_small_at(const cvni_conv *c, int n, int g)
{
    return ((ptrdiff_t)n * c->M + (ptrdiff_t)g * c->MG) * c->OH * c->OW;
}

static cvni_patches cvni_conv_patches(const cvni_conv *c, const float *big)
{
    cvni_patches p;
    p.x = big;
    p.plane = (ptrdiff_t)c->H * c->W;
    p.row = c->W;
    p.taps_h = c->KH;
    p.taps_w = c->KW;
    p.rows = c->rows;
    p.cols = c->cols;
    p.height = c->OH;
    p.width = c->OW;
    p.unit = c->unit;
    return p;
}

static cvni_operand cvni_conv_operand(const cvni_conv *c, const cvni_patches *patches,
                                      int lines_are_taps)
{
    const ptrdiff_t plane = (ptrdiff_t)c->H * c->W;
    cvni_operand o = cvni_matrix(patches->x, lines_are_taps ? plane : 1,
                                 lines_are_taps ? 1 : plane);
    if (c->plain) return o;
    o.patches = patches;
    o.lines_are_taps = lines_are_taps;
    return o;
}

static void cvni_conv_down_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    const cvni_conv *c = &j->c;
    const int blocks = j->blocks.rows * j->blocks.cols;
    const int positions = c->OH * c->OW;
    for (int t = begin; t < end; t++) {
        const int n = t / blocks / c->G;
        const int g = t / blocks % c->G;
        const cvni_patches patches = cvni_conv_patches(c, j->big + cvni_conv_big_at(c, n, g));
        cvni_gemm p;
        memset(&p, 0, sizeof p);
        p.m = c->MG;
        p.n = positions;
        p.k = c->K;
        p.a = cvni_matrix(j->weight + (ptrdiff_t)g * c->MG * c->K, c->K, 1);
        p.b = cvni_conv_operand(c, &patches, 0);
        p.c = j->to + cvni_conv_small_at(c, n, g);
        p.ldc = positions;
        p.add = j->add;
        p.row_bias = j->bias ? j->bias + g * c->MG : NULL;
        p.activate = j->act != NULL;
        p.slope = j->act ? cvni_relu_slope(j->act) : 0;
        cvni_gemm_task(j->net, &p, &j->blocks, t % blocks, worker);
    }
}

CVNI_HOT
static void cvni_conv_fill(float *to, int n, float value)
{
    for (int i = 0; i < n; i++) to[i] = value;
}

/* Direct: one small plane of a group with one channel, from its bias or (add) what stands there. */
static void cvni_conv_direct_down_plane(const cvni_kernels *kern, const cvni_conv *c,
                                        const float *big, const float *w, float bias, int add,
                                        float *small)
{
    for (int oh = 0; oh < c->OH; oh++, small += c->OW) {
        if (!add) cvni_conv_fill(small, c->OW, bias);
        for (int t = 0; t < c->taps; t++) {
            const int r = c->rows[t / c->KW * c->OH + oh];
            const int *cols = c->cols + t % c->KW * c->OW;
            const int *run = c->runs + 2 * (t % c->KW);
            const float *row = big + (ptrdiff_t)r * c->W;
            if (r < 0) continue;
            if (c->unit && c->d->pad_mode == CVN_PAD_ZERO) {
                if (run[0] < run[1])
                    kern->axpy(run[1] - run[0], w[t], row + cols[run[0]], small + run[0]);
            } else {
                for (int i = 0; i < c->OW; i++) if (cols[i] >= 0) small[i] += w[t] * row[cols[i]];
            }
        }
    }
}

/* Tasks are small planes of the batch. */
static void cvni_conv_direct_down_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    const cvni_conv *c = &j->c;
    const cvni_kernels *kern = j->net->k;
    const int positions = c->OH * c->OW;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const int f = t % c->M;
        const float *big = j->big + cvni_conv_big_at(c, t / c->M, f / c->MG);
        float *to = j->to + (ptrdiff_t)t * positions;
        cvni_conv_direct_down_plane(kern, c, big, j->weight + (ptrdiff_t)f * c->taps,
                                    j->bias ? j->bias[f] : 0, j->add, to);
        if (j->act) kern->relu(positions, cvni_relu_slope(j->act), to, to);
    }
}

static void cvni_conv_down(cvni_conv_job *j, double cost)
{
    const cvni_conv *c = &j->c;
    cvn_net *net = j->net;
    if (c->direct) {
        cvni_parallel_for(net, c->N * c->M, cost, cvni_conv_direct_down_part, j);
        return;
    }
    j->blocks = cvni_make_blocks(net->k, c->MG, c->OH * c->OW,
                                 cvni_ceil_div(2 * net->threads, c->N * c->G));
    cvni_parallel_for(net, c->N * c->G * j->blocks.rows * j->blocks.cols, cost, cvni_conv_down_part,
                      j);
}

/* Adds (or writes) a block of phase positions [q0, q0 + count) to their places in an image. */
static void cvni_conv_scatter(const cvni_conv *c, const cvni_phase *rows, const cvni_phase *cols,
                              const float *block, int channels, int q0, int count, float *image,
                              int add)
{
    for (int i = 0; i < channels; i++, block += count, image += (ptrdiff_t)c->BH * c->BW) {
        for (int q = 0; q < count;) {
            const int col = (q0 + q) % cols->n;
            const int n = cvni_min(count - q, cols->n - col);
            const int *place = cols->place + col;
            float *to = image + (ptrdiff_t)rows->place[(q0 + q) / cols->n] * c->BW;
            if (add) for (int k = 0; k < n; k++) to[place[k]] += block[q + k];
            else for (int k = 0; k < n; k++) to[place[k]] = block[q + k];
            q += n;
        }
    }
}

/* A phase that no tap reaches is its bias. */
static void cvni_conv_fill_phase(const cvni_conv *c, const cvni_phase *rows, const cvni_phase *cols,
                                 int channels, const float *bias, float *image)
{
    for (int i = 0; i < channels; i++, image += (ptrdiff_t)c->BH * c->BW)
        for (int h = 0; h < rows->n; h++)
            for (int w = 0; w < cols->n; w++)
                image[(ptrdiff_t)rows->place[h] * c->BW + cols->place[w]] = bias ? bias[i] : 0;
}

static cvni_patches cvni_conv_back_patches(const cvni_conv *c, const cvni_phase *rows,
                                           const cvni_phase *cols, const float *small)
{
    cvni_patches g;
    g.x = small;
    g.plane = (ptrdiff_t)c->OH * c->OW;
    g.row = c->OW;
    g.taps_h = rows->taps;
    g.taps_w = cols->taps;
    g.rows = rows->map;
    g.cols = cols->map;
    g.height = rows->n;
    g.width = cols->n;
    g.unit = 1;
    return g;
}

/* Scratch of the product up before the block that a phase is computed in. */
static size_t cvni_conv_up_scratch(const cvni_conv_job *j)
{
    const cvni_conv *c = &j->c;
    return cvni_gemm_scratch(j->net->k, c->CG, c->BH * c->BW, c->MG * c->taps);
}

/* One phase of channels [m0, m0 + ms) of one image and group; p: what does not depend on it. The
 * only phase writes the rows of the image itself. */
static void cvni_conv_up_phase(const cvni_conv_job *j, const cvni_gemm *product,
                               const cvni_phase *rows, const cvni_phase *cols, int m0, int ms,
                               float *image, int add, void *scratch)
{
    const cvni_conv *c = &j->c;
    const int single = c->row_phases * c->col_phases == 1;
    float *block = (float *)(void *)((char *)scratch + cvni_conv_up_scratch(j));
    cvni_gemm p = *product;
    p.n = rows->n * cols->n;
    p.add = single && add;
    for (int q = 0; q < p.n; q += j->blocks.ns) {
        const int ns = cvni_min(j->blocks.ns, p.n - q);
        p.ldc = single ? p.n : ns;
        p.c = single ? image - m0 * p.ldc : block - m0 * p.ldc - q;
        cvni_gemm_block(j->net->k, &p, m0, ms, q, ns, scratch);
        if (!single) cvni_conv_scatter(c, rows, cols, block, ms, q, ns, image, add);
    }
}

/* Channels [m0, m0 + ms) of one image and group: the big (padded) image into `image`. */
static void cvni_conv_up_image(const cvni_conv_job *j, int n, int g, int m0, int ms, float *image,
                               int add, void *scratch)
{
    const cvni_conv *c = &j->c;
    const float *small = j->small + cvni_conv_small_at(c, n, g);
    const float *bias = j->bias ? j->bias + g * c->CG : NULL;
    const int *tap = c->tap;
    for (int i = 0; i < c->row_phases * c->col_phases; i++) {
        const cvni_phase *rows = &c->row_phase[i / c->col_phases];
        const cvni_phase *cols = &c->col_phase[i % c->col_phases];
        const cvni_patches patches = cvni_conv_back_patches(c, rows, cols, small);
        const int taps = rows->taps * cols->taps;
        cvni_gemm p;
        if (!taps && !add)
            cvni_conv_fill_phase(c, rows, cols, ms, bias ? bias + m0 : NULL, image);
        if (!taps) continue;
        memset(&p, 0, sizeof p);
        p.m = c->CG;
        p.k = c->MG * taps;
        p.a = cvni_matrix(j->weight + (ptrdiff_t)g * c->MG * c->K, c->taps, c->K);
        p.a.taps = taps;
        p.a.tap = tap;
        p.b.patches = &patches;
        p.b.taps = 1;
        p.row_bias = bias;
        cvni_conv_up_phase(j, &p, rows, cols, m0, ms, image, add, scratch);
        tap += taps;
    }
}

/* Reflect and replicate: every padded position adds to the pixel that it was read from. */
static void cvni_conv_fold(const cvni_conv *c, const float *padded, int channels, float *big,
                           int add)
{
    const cvni_axis *a = c->axis;
    const cvn_pad_mode mode = c->d->pad_mode;
    for (int i = 0; i < channels; i++, big += (ptrdiff_t)c->H * c->W) {
        if (!add) cvni_zero(big, (size_t)c->H * (size_t)c->W);
        for (int h = 0; h < c->BH; h++, padded += c->BW) {
            const int d = cvni_pad_index(h / a[1].back - a[0].pad, a[0].big, mode);
            const int r = cvni_pad_index(h % a[1].back - a[1].pad, a[1].big, mode);
            float *row = big + ((ptrdiff_t)d * a[1].big + r) * c->W;
            for (int w = 0; w < c->BW; w++)
                row[cvni_pad_index(w - a[2].pad, c->W, mode)] += padded[w];
        }
    }
}

static void cvni_conv_up_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    const cvni_conv *c = &j->c;
    char *scratch = (char *)cvni_scratch(j->net, worker);
    const size_t plane_at = j->net->scratch_bytes;
    for (int t = begin; t < end; t++) {
        const int n = t / j->blocks.rows / c->G;
        const int g = t / j->blocks.rows % c->G;
        const int m0 = t % j->blocks.rows * j->blocks.ms;
        const int ms = cvni_min(j->blocks.ms, c->CG - m0);
        float *to = j->to + cvni_conv_big_at(c, n, g) + (ptrdiff_t)m0 * c->H * c->W;
        if (c->d->pad_mode == CVN_PAD_ZERO) {
            cvni_conv_up_image(j, n, g, m0, ms, to, j->add, scratch);
        } else {        /* the padded image lies at the end of the scratch */
            float *padded = (float *)(void *)(scratch + plane_at) - (ptrdiff_t)ms * c->BH * c->BW;
            cvni_conv_up_image(j, n, g, m0, ms, padded, 0, scratch);
            cvni_conv_fold(c, padded, ms, to, j->add);
        }
    }
}

/* A big plane += what one small plane gives back. */
static void cvni_conv_direct_up_plane(const cvni_kernels *kern, const cvni_conv *c, const float *w,
                                      const float *small, float *big)
{
    for (int oh = 0; oh < c->OH; oh++, small += c->OW) {
        for (int t = 0; t < c->taps; t++) {
            const int r = c->rows[t / c->KW * c->OH + oh];
            const int *cols = c->cols + t % c->KW * c->OW;
            const int *run = c->runs + 2 * (t % c->KW);
            float *row = big + (ptrdiff_t)r * c->W;
            if (r < 0) continue;
            if (c->unit && c->d->pad_mode == CVN_PAD_ZERO) {
                if (run[0] < run[1])
                    kern->axpy(run[1] - run[0], w[t], small + run[0], row + cols[run[0]]);
            } else {
                for (int q = 0; q < c->OW; q++) if (cols[q] >= 0) row[cols[q]] += w[t] * small[q];
            }
        }
    }
}

/* Tasks are big planes of the batch, each from all small planes of its group. */
static void cvni_conv_direct_up_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    const cvni_conv *c = &j->c;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const int g = t % c->C;
        const float *small = j->small + cvni_conv_small_at(c, t / c->C, g);
        float *to = j->to + (ptrdiff_t)t * c->H * c->W;
        if (!j->add) cvni_conv_fill(to, c->H * c->W, j->bias ? j->bias[g] : 0);
        for (int k = 0; k < c->MG; k++)
            cvni_conv_direct_up_plane(j->net->k, c,
                                      j->weight + ((ptrdiff_t)g * c->MG + k) * c->taps,
                                      small + (ptrdiff_t)k * c->OH * c->OW, to);
    }
}

static void cvni_conv_up(cvni_conv_job *j, double cost)
{
    const cvni_conv *c = &j->c;
    cvn_net *net = j->net;
    if (c->direct) {
        cvni_parallel_for(net, c->N * c->C, cost, cvni_conv_direct_up_part, j);
        return;
    }
    j->blocks = cvni_make_blocks(net->k, c->CG, c->BH * c->BW, 1);
    while (c->N * c->G * cvni_ceil_div(c->CG, j->blocks.ms) < 2 * net->threads &&
           j->blocks.ms > 4 * net->k->mr)
        j->blocks.ms = cvni_round_up(j->blocks.ms / 2, net->k->mr);
    j->blocks.rows = cvni_ceil_div(c->CG, j->blocks.ms);
    cvni_parallel_for(net, c->N * c->G * j->blocks.rows, cost, cvni_conv_up_part, j);
}

static void cvni_conv_weight_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    const cvni_conv *c = &j->c;
    const int blocks = j->blocks.rows * j->blocks.cols;
    const int positions = c->OH * c->OW;
    for (int t = begin; t < end; t++) {
        const int slice = t / blocks / c->G;
        const int g = t / blocks % c->G;
        const int n0 = (int)((int64_t)c->N * slice / j->slices);
        const int n1 = (int)((int64_t)c->N * (slice + 1) / j->slices);
        cvni_gemm p;
        memset(&p, 0, sizeof p);
        p.m = c->MG;
        p.n = c->K;
        p.k = positions;
        p.ldc = c->K;
        p.c = (j->slices > 1 ? (float *)j->l->work_backward + (ptrdiff_t)slice * c->M * c->K
                             : j->to) +
              (ptrdiff_t)g * c->MG * c->K;
        for (int n = n0; n < n1; n++) {
            const cvni_patches patches = cvni_conv_patches(c, j->big + cvni_conv_big_at(c, n, g));
            p.a = cvni_matrix(j->small + cvni_conv_small_at(c, n, g), positions, 1);
            p.b = cvni_conv_operand(c, &patches, 1);
            p.add = n > n0 || j->slices == 1;
            cvni_gemm_task(j->net, &p, &j->blocks, t % blocks, worker);
        }
    }
}

/* to += the slices, in order; tasks are filters. */
static void cvni_conv_add_slices_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    const int K = j->c.K;
    (void)worker;
    for (int f = begin; f < end; f++) {
        float *dw = j->to + (ptrdiff_t)f * K;
        for (int s = 0; s < j->slices; s++)
            j->net->k->add(K, dw,
                           (const float *)j->l->work_backward + ((ptrdiff_t)s * j->c.M + f) * K,
                           dw);
    }
}

static float cvni_conv_direct_tap(const cvni_conv_job *j, int f, int tap)
{
    const cvni_conv *c = &j->c;
    const int *cols = c->cols + tap % c->KW * c->OW;
    const int *run = c->runs + 2 * (tap % c->KW);
    const int unit = c->unit && c->d->pad_mode == CVN_PAD_ZERO;
    double sum = 0;
    for (int n = 0; n < c->N; n++) {
        const float *big = j->big + cvni_conv_big_at(c, n, f / c->MG);
        const float *small = j->small + ((ptrdiff_t)n * c->M + f) * c->OH * c->OW;
        for (int oh = 0; oh < c->OH; oh++, small += c->OW) {
            const int r = c->rows[tap / c->KW * c->OH + oh];
            const float *row = big + (ptrdiff_t)r * c->W;
            float part = 0;
            if (r < 0 || run[0] >= run[1]) continue;
            if (unit) part = j->net->k->dot(run[1] - run[0], small + run[0], row + cols[run[0]]);
            else for (int i = 0; i < c->OW; i++) if (cols[i] >= 0) part += small[i] * row[cols[i]];
            sum += (double)part;
        }
    }
    return (float)sum;
}

static void cvni_conv_direct_weight_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++)
        j->to[t] += cvni_conv_direct_tap(j, t / j->c.taps, t % j->c.taps);
}

static void cvni_conv_weight(cvni_conv_job *j, double cost)
{
    const cvni_conv *c = &j->c;
    cvn_net *net = j->net;
    if (c->direct) {
        cvni_parallel_for(net, c->M * c->taps, cost, cvni_conv_direct_weight_part, j);
        return;
    }
    j->slices = cvni_conv_slices(net, c);
    j->blocks = cvni_make_blocks(net->k, c->MG, c->K,
                                 cvni_ceil_div(2 * net->threads, j->slices * c->G));
    cvni_parallel_for(net, j->slices * c->G * j->blocks.rows * j->blocks.cols, cost,
                      cvni_conv_weight_part, j);
    if (j->slices > 1)
        cvni_parallel_for(net, c->M, (double)j->slices * c->M * c->K, cvni_conv_add_slices_part, j);
}

/* db += the sums of dy over the batch and the positions; tasks are channels of y. */
static void cvni_conv_bias_part(void *context, int begin, int end, int worker)
{
    const cvni_conv_job *j = (const cvni_conv_job *)context;
    const cvn_shape y = j->l->shape;
    const int positions = (int)(cvni_sample_elements(y) / (size_t)y.dim[1]);
    (void)worker;
    for (int f = begin; f < end; f++) {
        double sum = 0;
        for (int n = 0; n < y.dim[0]; n++)
            sum += (double)j->net->k->sum(positions,
                                          j->l->dy + ((ptrdiff_t)n * y.dim[1] + f) * positions);
        j->to[f] += (float)sum;
    }
}

static cvni_conv_job cvni_conv_job_of(cvn_net *net, cvni_layer *l)
{
    cvni_conv_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.c = cvni_conv_of(net, l);
    return j;
}

static cvn_result cvni_conv_forward(cvn_net *net, cvni_layer *l)
{
    cvni_conv_job j = cvni_conv_job_of(net, l);
    const double cost = 2 * l->macs * j.c.N;
    j.to = l->y;
    j.weight = cvni_run_weight(net, l);
    j.bias = cvni_run_bias(net, l);
    j.act = cvni_activation(net, l);
    j.big = j.small = cvni_in(net, l, 0)->y;
    if (j.c.d->transposed) cvni_conv_up(&j, cost);
    else cvni_conv_down(&j, cost);
    return CVN_OK;
}

static void cvni_conv_backward(cvn_net *net, cvni_layer *l)
{
    cvni_conv_job j = cvni_conv_job_of(net, l);
    const double cost = 2 * l->macs * j.c.N;
    cvni_layer *x = cvni_in(net, l, 0);
    const int transposed = j.c.d->transposed;
    j.to = cvni_weights_grad(net, l, 1);
    if (j.to)
        cvni_parallel_for(net, l->shape.dim[1], (double)cvni_elements(l->shape),
                          cvni_conv_bias_part, &j);
    j.big = transposed ? l->dy : x->y;
    j.small = transposed ? x->y : l->dy;
    j.to = cvni_weights_grad(net, l, 0);
    if (j.to) cvni_conv_weight(&j, cost);
    j.to = cvni_gradient_for(x, &j.add);
    if (!j.to) return;
    j.weight = cvni_weights(net, l, 0);
    if (transposed) cvni_conv_down(&j, cost);
    else cvni_conv_up(&j, cost);
}

CVNI_COLD_BEGIN

/* By axes; the transposed ones behind. */
static const cvni_op cvni_op_conv[5] = {
    { "conv1d", "conv", "Conv", CVNI_USES_X, cvni_conv_shape, cvni_conv_prepare, cvni_conv_forward,
      cvni_conv_backward },
    { "conv2d", "conv", "Conv", CVNI_USES_X, cvni_conv_shape, cvni_conv_prepare, cvni_conv_forward,
      cvni_conv_backward },
    { "conv3d", "conv", "Conv", CVNI_USES_X, cvni_conv_shape, cvni_conv_prepare, cvni_conv_forward,
      cvni_conv_backward },
    { "conv_transpose1d", "deconv", "ConvTranspose", CVNI_USES_X, cvni_conv_shape,
      cvni_conv_prepare, cvni_conv_forward, cvni_conv_backward },
    { "conv_transpose2d", "deconv", "ConvTranspose", CVNI_USES_X, cvni_conv_shape,
      cvni_conv_prepare, cvni_conv_forward, cvni_conv_backward }
};

/* A row of weights for each filter, as folding a norm needs it: not so the transposed ones. */
static int cvni_is_conv(const cvni_layer *l)
{
    return l->op == &cvni_op_conv[0] || l->op == &cvni_op_conv[1] || l->op == &cvni_op_conv[2];
}

/* Does the weight have the outputs as its second axis? */
static int cvni_outputs_second(const cvni_layer *l)
{
    return l->op == &cvni_op_conv[3] || l->op == &cvni_op_conv[4];
}

/* Completes a description: an axis where nothing is said is as the one before. */
static cvn_node cvni_add_conv(cvn_net *net, cvn_node x, cvni_conv_desc d)
{
    const int first = 3 - d.axes;
    for (int i = 0; i < 3; i++) {
        if (i < first) d.kernel[i] = d.stride[i] = d.dilation[i] = 1;
        if (i > first && !d.kernel[i]) d.kernel[i] = d.kernel[i - 1];
        if (!d.stride[i]) d.stride[i] = i > first ? d.stride[i - 1] : 1;
        if (!d.dilation[i]) d.dilation[i] = i > first ? d.dilation[i - 1] : 1;
    }
    if (!d.groups) d.groups = 1;
    return cvni_add_layer(net, &cvni_op_conv[d.axes - 1 + 3 * d.transposed], &x, 1, &d, sizeof d);
}

static cvni_conv_desc cvni_conv_begin(int axes, int filters, int groups, int no_bias,
                                      cvn_init weight_init, cvn_init bias_init)
{
    cvni_conv_desc d;
    memset(&d, 0, sizeof d);
    d.axes = axes;
    d.filters = filters ? filters : -1;         /* 0 stands for depthwise inside */
    d.groups = groups;
    d.no_bias = no_bias;
    d.weight_init = weight_init;
    d.bias_init = bias_init;
    return d;
}

static void cvni_conv_set_axis(cvni_conv_desc *d, int axis, int kernel, int stride, int dilation,
                               int pad, int pad_end)
{
    d->kernel[axis] = kernel;
    d->stride[axis] = stride;
    d->dilation[axis] = dilation;
    d->pad[axis] = pad;
    d->pad_end[axis] = pad_end;
}

/* The short calls: the same on every axis. */
static cvni_conv_desc cvni_conv_uniform(int axes, int filters, int kernel, int stride, int pad)
{
    const cvn_init init = { CVN_INIT_DEFAULT, 0, 0 };
    cvni_conv_desc d = cvni_conv_begin(axes, filters, 1, 0, init, init);
    for (int i = 3 - axes; i < 3; i++)
        cvni_conv_set_axis(&d, i, kernel, stride ? stride : -1, 1, pad, pad);
    return d;
}

cvn_conv1d_desc cvn_conv1d_defaults(void)
{
    cvn_conv1d_desc d;
    memset(&d, 0, sizeof d);
    d.stride = d.dilation = d.groups = 1;
    return d;
}

cvn_conv2d_desc cvn_conv2d_defaults(void)
{
    cvn_conv2d_desc d;
    memset(&d, 0, sizeof d);
    d.stride_h = d.dilation_h = d.groups = 1;
    return d;
}

cvn_conv3d_desc cvn_conv3d_defaults(void)
{
    cvn_conv3d_desc d;
    memset(&d, 0, sizeof d);
    d.stride_d = d.dilation_d = d.groups = 1;
    return d;
}

cvn_conv_transpose1d_desc cvn_conv_transpose1d_defaults(void)
{
    cvn_conv_transpose1d_desc d;
    memset(&d, 0, sizeof d);
    d.stride = d.dilation = d.groups = 1;
    return d;
}

cvn_conv_transpose2d_desc cvn_conv_transpose2d_defaults(void)
{
    cvn_conv_transpose2d_desc d;
    memset(&d, 0, sizeof d);
    d.stride_h = d.dilation_h = d.groups = 1;
    return d;
}

cvn_node cvn_conv1d_ex(cvn_net *net, cvn_node x, const cvn_conv1d_desc *desc)
{
    const cvn_conv1d_desc u = desc ? *desc : cvn_conv1d_defaults();
    cvni_conv_desc d = cvni_conv_begin(1, u.filters, u.groups, u.no_bias, u.weight_init,
                                       u.bias_init);
    cvni_conv_set_axis(&d, 2, u.kernel, u.stride, u.dilation, u.pad_left, u.pad_right);
    d.pad_mode = u.pad_mode;
    return cvni_add_conv(net, x, d);
}

cvn_node cvn_conv2d_ex(cvn_net *net, cvn_node x, const cvn_conv2d_desc *desc)
{
    const cvn_conv2d_desc u = desc ? *desc : cvn_conv2d_defaults();
    cvni_conv_desc d = cvni_conv_begin(2, u.filters, u.groups, u.no_bias, u.weight_init,
                                       u.bias_init);
    cvni_conv_set_axis(&d, 1, u.kernel_h, u.stride_h, u.dilation_h, u.pad_top, u.pad_bottom);
    cvni_conv_set_axis(&d, 2, u.kernel_w, u.stride_w, u.dilation_w, u.pad_left, u.pad_right);
    d.pad_mode = u.pad_mode;
    return cvni_add_conv(net, x, d);
}

cvn_node cvn_conv3d_ex(cvn_net *net, cvn_node x, const cvn_conv3d_desc *desc)
{
    const cvn_conv3d_desc u = desc ? *desc : cvn_conv3d_defaults();
    cvni_conv_desc d = cvni_conv_begin(3, u.filters, u.groups, u.no_bias, u.weight_init,
                                       u.bias_init);
    cvni_conv_set_axis(&d, 0, u.kernel_d, u.stride_d, u.dilation_d, u.pad_front, u.pad_back);
    cvni_conv_set_axis(&d, 1, u.kernel_h, u.stride_h, u.dilation_h, u.pad_top, u.pad_bottom);
    cvni_conv_set_axis(&d, 2, u.kernel_w, u.stride_w, u.dilation_w, u.pad_left, u.pad_right);
    d.pad_mode = u.pad_mode;
    return cvni_add_conv(net, x, d);
}

cvn_node cvn_conv_transpose1d_ex(cvn_net *net, cvn_node x, const cvn_conv_transpose1d_desc *desc)
{
    const cvn_conv_transpose1d_desc u = desc ? *desc : cvn_conv_transpose1d_defaults();
    cvni_conv_desc d = cvni_conv_begin(1, u.filters, u.groups, u.no_bias, u.weight_init,
                                       u.bias_init);
    cvni_conv_set_axis(&d, 2, u.kernel, u.stride, u.dilation, u.pad_left, u.pad_right);
    d.output_pad[2] = u.output_pad;
    d.transposed = 1;
    return cvni_add_conv(net, x, d);
}

cvn_node cvn_conv_transpose2d_ex(cvn_net *net, cvn_node x, const cvn_conv_transpose2d_desc *desc)
{
    const cvn_conv_transpose2d_desc u = desc ? *desc : cvn_conv_transpose2d_defaults();
    cvni_conv_desc d = cvni_conv_begin(2, u.filters, u.groups, u.no_bias, u.weight_init,
                                       u.bias_init);
    cvni_conv_set_axis(&d, 1, u.kernel_h, u.stride_h, u.dilation_h, u.pad_top, u.pad_bottom);
    cvni_conv_set_axis(&d, 2, u.kernel_w, u.stride_w, u.dilation_w, u.pad_left, u.pad_right);
    d.output_pad[1] = u.output_pad_h;
    d.output_pad[2] = u.output_pad_w;
    d.transposed = 1;
    return cvni_add_conv(net, x, d);
}

cvn_node cvn_conv1d(cvn_net *net, cvn_node x, int filters, int kernel, int stride, int pad)
{
    return cvni_add_conv(net, x, cvni_conv_uniform(1, filters, kernel, stride, pad));
}

cvn_node cvn_conv2d(cvn_net *net, cvn_node x, int filters, int kernel, int stride, int pad)
{
    return cvni_add_conv(net, x, cvni_conv_uniform(2, filters, kernel, stride, pad));
}

cvn_node cvn_conv3d(cvn_net *net, cvn_node x, int filters, int kernel, int stride, int pad)
{
    return cvni_add_conv(net, x, cvni_conv_uniform(3, filters, kernel, stride, pad));
}

static cvn_node cvni_add_transposed(cvn_net *net, cvn_node x, cvni_conv_desc d)
{
    d.transposed = 1;
    return cvni_add_conv(net, x, d);
}

cvn_node cvn_conv_transpose1d(cvn_net *net, cvn_node x, int filters, int kernel, int stride,
                              int pad)
{
    return cvni_add_transposed(net, x, cvni_conv_uniform(1, filters, kernel, stride, pad));
}

cvn_node cvn_conv_transpose2d(cvn_net *net, cvn_node x, int filters, int kernel, int stride,
                              int pad)
{
    return cvni_add_transposed(net, x, cvni_conv_uniform(2, filters, kernel, stride, pad));
}

static cvn_node cvni_add_depthwise(cvn_net *net, cvn_node x, int kernel, int stride, int pad,
                                   int no_bias)
{
    cvni_conv_desc d = cvni_conv_uniform(2, 1, kernel, stride, pad);
    d.filters = 0;
    d.no_bias = no_bias;
    return cvni_add_conv(net, x, d);
}

cvn_node cvn_depthwise(cvn_net *net, cvn_node x, int kernel, int stride, int pad)
{
    return cvni_add_depthwise(net, x, kernel, stride, pad, 0);
}

cvn_node cvn_pointwise(cvn_net *net, cvn_node x, int filters)
{
    return cvn_conv2d(net, x, filters, 1, 1, 0);
}

cvn_node cvn_separable_conv2d(cvn_net *net, cvn_node x, int filters, int kernel, int stride,
                              int pad)
{
    return cvn_pointwise(net, cvni_add_depthwise(net, x, kernel, stride, pad, 1), filters);
}

CVNI_COLD_END

/* ================================================================================================
 * >>dense   fully connected: y = x W^T + b
 * ==============================================================================================
 *   x [rows, in], rows = N or, for a sequence, N*T; W [units, in]
 *   backward  dx = dy W; dW += dy^T x; db += sum of dy over rows     tested: tests/test_layers.c */

typedef struct cvni_dense { int rows, in, units; } cvni_dense;

static cvni_dense cvni_dense_of(const cvn_net *net, const cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    cvni_dense d;
    d.units = l->shape.dim[l->shape.rank - 1];
    d.rows = x.rank == 3 ? x.dim[0] * x.dim[1] : x.dim[0];
    d.in = x.rank == 3 ? x.dim[2] : (int)cvni_sample_elements(x);
    return d;
}

static cvn_result cvni_dense_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_dense_desc *d = (const cvn_dense_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    cvni_dense g;
    cvn_result result;
    if (d->units < 1)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "%d units; 1 or more are needed",
                               d->units);
    if (x.rank < 2)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the input has no axis but the batch");
    l->shape = x.rank == 3 ? cvni_shape(3, x.dim[0], x.dim[1], d->units, 0)
                           : cvni_shape(2, x.dim[0], d->units, 0, 0);
    g = cvni_dense_of(net, l);
    l->macs = (double)g.in * g.units * (x.rank == 3 ? x.dim[1] : 1);
    result = cvni_add_param(net, l, 0, "weight", cvni_shape(2, g.units, g.in, 0, 0), CVNI_WEIGHT,
                            cvni_init_or(d->weight_init, CVN_INIT_HE_NORMAL, 0), g.in, g.units);
    if (result == CVN_OK && !d->no_bias)
        result = cvni_add_param(net, l, 1, "bias", cvni_shape(1, g.units, 0, 0, 0), CVNI_BIAS,
                                cvni_init_or(d->bias_init, CVN_INIT_ZERO, 0), g.in, g.units);
    l->scratch_bytes = cvni_gemm_scratch(net->k, g.rows, g.units, g.in);
    l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                     cvni_gemm_scratch(net->k, g.rows, g.in, g.units));
    l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                     cvni_gemm_scratch(net->k, g.units, g.in, g.rows));
    return result;
}

typedef struct cvni_dense_job { cvn_net *net; cvni_layer *l; cvni_dense d; } cvni_dense_job;

/* One row: packing would cost as much as the product. Tasks are units. */
static void cvni_dense_row_part(void *context, int begin, int end, int worker)
{
    const cvni_dense_job *j = (const cvni_dense_job *)context;
    const float *w = cvni_run_weight(j->net, j->l);
    const float *bias = cvni_run_bias(j->net, j->l);
    const float *x = cvni_in(j->net, j->l, 0)->y;
    (void)worker;
    for (int u = begin; u < end; u++)
        j->l->y[u] = j->net->k->dot(j->d.in, w + (ptrdiff_t)u * j->d.in, x) + (bias ? bias[u] : 0);
}

static cvn_result cvni_dense_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *act = cvni_activation(net, l);
    cvni_dense_job j;
    cvni_gemm g;
    j.net = net;
    j.l = l;
    j.d = cvni_dense_of(net, l);
    if (j.d.rows == 1) {
        cvni_parallel_for(net, j.d.units, 2.0 * j.d.units * j.d.in, cvni_dense_row_part, &j);
        if (act) net->k->relu(j.d.units, cvni_relu_slope(act), l->y, l->y);
        return CVN_OK;
    }
    memset(&g, 0, sizeof g);
    g.m = j.d.rows;
    g.n = j.d.units;
    g.k = j.d.in;
    g.a = cvni_matrix(cvni_in(net, l, 0)->y, j.d.in, 1);
    g.b = cvni_matrix(cvni_run_weight(net, l), j.d.in, 1);
    g.c = l->y;
    g.ldc = j.d.units;
    g.col_bias = cvni_run_bias(net, l);
    g.activate = act != NULL;
    g.slope = act ? cvni_relu_slope(act) : 0;
    cvni_gemm_run(net, &g);
    return CVN_OK;
}

static void cvni_dense_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_dense d = cvni_dense_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    float *dw = cvni_weights_grad(net, l, 0);
    float *db = cvni_weights_grad(net, l, 1);
    cvni_gemm g;
    for (int r = 0; db && r < d.rows; r++)
        net->k->add(d.units, db, l->dy + (ptrdiff_t)r * d.units, db);
    memset(&g, 0, sizeof g);
    if (dw) {
        g.m = d.units;
        g.n = d.in;
        g.k = d.rows;
        g.a = cvni_matrix(l->dy, 1, d.units);
        g.b = cvni_matrix(x->y, 1, d.in);
        g.c = dw;
        g.ldc = d.in;
        g.add = 1;
        cvni_gemm_run(net, &g);
    }
    g.c = cvni_gradient_for(x, &g.add);
    if (!g.c) return;
    g.m = d.rows;
    g.n = d.in;
    g.k = d.units;
    g.a = cvni_matrix(l->dy, d.units, 1);
    g.b = cvni_matrix(cvni_weights(net, l, 0), 1, d.in);
    g.ldc = d.in;
    cvni_gemm_run(net, &g);
}

static const cvni_op cvni_op_dense = { "dense",
                                       "fc",
                                       "Gemm",
                                       CVNI_USES_X,
                                       cvni_dense_shape,
                                       NULL,
                                       cvni_dense_forward,
                                       cvni_dense_backward };

static int cvni_can_fold(const cvni_layer *l)
{
    if (l->spectral) return 0;
    return cvni_is_conv(l) || (l->op == &cvni_op_dense && l->shape.rank == 2);
}

cvn_dense_desc cvn_dense_defaults(void)
{
    cvn_dense_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

cvn_node cvn_dense_ex(cvn_net *net, cvn_node x, const cvn_dense_desc *desc)
{
    const cvn_dense_desc d = desc ? *desc : cvn_dense_defaults();
    return cvni_add_layer(net, &cvni_op_dense, &x, 1, &d, sizeof d);
}

cvn_node cvn_dense(cvn_net *net, cvn_node x, int units)
{
    cvn_dense_desc d = cvn_dense_defaults();
    d.units = units;
    return cvn_dense_ex(net, x, &d);
}

/* ================================================================================================
 * >>pool   maximum and mean over windows, places of maxima
 * ==============================================================================================
 *   x [N, C, H, W], or [N, C, L]: an image of one line. Tasks are planes.
 *   Size      (in + pads - kernel)/stride + 1, rounded down, or up with ceil_mode; then a last
 *             window that starts at in + leading pad or behind is dropped
 *   adaptive  window i of `out` is [floor(i*in/out), ceil((i + 1)*in/out))
 *   max       training keeps, per output, the offset of the winner in its plane (int); backward
 *             adds dy there
 *   average   the divisor counts the window inside image + pads (exclude_pad: inside the image), as
 *             PyTorch
 *   unpool    y[index] = x, in the order of x, so the later one of equal indices stays;
 *             dx = dy[index]
 *                                             tested: tests/test_layers.c, tests/test_pool.c */

/* adaptive: d is not used; sizes of 0 are those of the input */
typedef struct cvni_pool_layer { cvn_pool_desc d; int adaptive, height, width; } cvni_pool_layer;

typedef struct cvni_pool_axis {
    int n, out;                         /* elements of the input and of the result */
    int kernel, stride, pad0, pad1;     /* kernel 0: adaptive */
    int exclude_pad;
} cvni_pool_axis;

/* Part of an axis under a window; size: what the mean divides by. */
typedef struct cvni_span { int begin, end; double size; } cvni_span;

static int cvni_pool_size(const cvni_pool_axis *a, int ceil_mode)
{
    const int room = a->n + a->pad0 + a->pad1 - a->kernel;
    int out = (ceil_mode ? cvni_ceil_div(room, a->stride) : room / a->stride) + 1;
    if (ceil_mode && (out - 1) * a->stride >= a->n + a->pad0) out--;
    return out;
}

static cvni_span cvni_pool_span(const cvni_pool_axis *a, int i)
{
    const int first = i * a->stride - a->pad0;
    cvni_span s;
    if (!a->kernel) {
        s.begin = (int)((int64_t)i * a->n / a->out);
        s.end = (int)((((int64_t)i + 1) * a->n + a->out - 1) / a->out);
        s.size = s.end - s.begin;
        return s;
    }
    s.begin = cvni_max(first, 0);
    s.end = cvni_min(first + a->kernel, a->n);
    s.size = a->exclude_pad ? s.end - s.begin
                            : cvni_min(first + a->kernel, a->n + a->pad1) - first;
    return s;
}

/* Both axes of a pool over x but for the sizes of the result. A kernel of 0 is global. */
static void cvni_pool_axes(const cvni_pool_layer *p, cvn_shape x, cvni_pool_axis a[2])
{
    const cvn_pool_desc *d = &p->d;
    const int line = x.rank == 3;
    memset(a, 0, 2 * sizeof *a);
    a[0].n = line ? 1 : x.dim[2];
    a[1].n = x.dim[x.rank - 1];
    if (p->adaptive) return;
    a[0].kernel = line ? 1 : d->kernel_h ? d->kernel_h : a[0].n;
    a[1].kernel = d->kernel_w ? d->kernel_w : a[1].n;
    a[0].stride = line ? 1 : d->stride_h;
    a[1].stride = d->stride_w;
    a[0].pad0 = d->pad_top;
    a[0].pad1 = d->pad_bottom;
    a[1].pad0 = d->pad_left;
    a[1].pad1 = d->pad_right;
    a[0].exclude_pad = a[1].exclude_pad = d->exclude_pad;
}

static int cvni_pool_axis_valid(const cvni_pool_axis *a)
{
    return a->kernel >= 1 && (a->kernel <= CVNI_MAX_WINDOW || a->kernel == a->n) &&
           a->stride >= 1 && a->stride <= CVNI_MAX_WINDOW && a->pad0 >= 0 && a->pad1 >= 0 &&
           cvni_max(a->pad0, a->pad1) <= a->kernel / 2;
}

static cvn_result cvni_pool_check_input(cvn_net *net, cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    char text[96];
    if ((x.rank != 3 && x.rank != 4) || cvni_in(net, l, 0)->is_int)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "input %s is neither an image [C, H, W] nor a line [C, L]; "
                               "reshape it",
                               cvni_shape_text(x, text));
    if (x.dim[2] > CVNI_MAX_AXIS || x.dim[x.rank - 1] > CVNI_MAX_AXIS)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "input %s is larger than %d",
                               cvni_shape_text(x, text), CVNI_MAX_AXIS);
    return CVN_OK;
}

/* [N, C, height, width], or [N, C, width] where x is [N, C, L] (height 1). */
static void cvni_pool_set_shape(cvni_layer *l, cvn_shape x, int height, int width)
{
    if (x.rank == 3) l->shape = cvni_shape(3, x.dim[0], x.dim[1], width, 0);
    else l->shape = cvni_shape(4, x.dim[0], x.dim[1], height, width);
}

/* A size that was asked for; a line has the height 1. */
static cvn_result cvni_pool_ask_shape(cvn_net *net, cvni_layer *l, int height, int width)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    if (height < 1 || width < 1 || height > CVNI_MAX_AXIS || width > CVNI_MAX_AXIS ||
        (x.rank == 3 && height != 1))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "a result of %d x %d: out of range (1 or more; the height of a "
                               "line [C, L] is 1)",
                               height, width);
    cvni_pool_set_shape(l, x, height, width);
    return CVN_OK;
}

static cvn_result cvni_pool_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_pool_layer *p = (const cvni_pool_layer *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvn_result result = cvni_pool_check_input(net, l);
    cvni_pool_axis a[2];
    char text[96];
    if (result != CVN_OK) return result;
    cvni_pool_axes(p, x, a);
    if (p->adaptive)
        return cvni_pool_ask_shape(net, l, p->height ? p->height : a[0].n,
                                   p->width ? p->width : a[1].n);
    if (!cvni_pool_axis_valid(&a[0]) || !cvni_pool_axis_valid(&a[1]))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "kernel %d x %d, stride %d x %d, pads %d %d %d %d: out of range "
                               "(kernel and stride 1 or more, pads at most half the kernel)",
                               a[0].kernel, a[1].kernel, a[0].stride, a[1].stride, a[0].pad0,
                               a[1].pad0, a[0].pad1, a[1].pad1);
    if (a[0].kernel > a[0].n + a[0].pad0 + a[0].pad1 ||
        a[1].kernel > a[1].n + a[1].pad0 + a[1].pad1)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "kernel %d x %d is larger than input %s with its pads; shrink the "
                               "kernel or pool less before",
                               a[0].kernel, a[1].kernel, cvni_shape_text(x, text));
    cvni_pool_set_shape(l, x, cvni_pool_size(&a[0], p->d.ceil_mode),
                        cvni_pool_size(&a[1], p->d.ceil_mode));
    return CVN_OK;
}

static cvn_result cvni_maxpool_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_result result = cvni_pool_shape(net, l);
    l->saved_bytes = cvni_mul_size(cvni_elements(l->shape), sizeof(int));
    return result;
}

static cvn_result cvni_maxpool_indices_shape(cvn_net *net, cvni_layer *l)
{
    l->is_int = 1;
    return cvni_pool_shape(net, l);
}

typedef struct cvni_pool_job {
    cvn_net *net;
    const float *x, *dy;
    float *y, *dx;                      /* y NULL: not wanted */
    int *winner;                        /* NULL: not wanted */
    cvni_pool_axis h, w;
    ptrdiff_t plane, outputs;           /* elements of a plane of x and of y */
    int add;
} cvni_pool_job;

static void cvni_maxpool_part(void *context, int begin, int end, int worker)
{
    const cvni_pool_job *j = (const cvni_pool_job *)context;
    const int W = j->w.n;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *plane = j->x + t * j->plane;
        float *y = j->y ? j->y + t * j->outputs : NULL;
        int *winner = j->winner ? j->winner + t * j->outputs : NULL;
        for (int o = 0, oh = 0; oh < j->h.out; oh++) {
            const cvni_span rows = cvni_pool_span(&j->h, oh);
            for (int ow = 0; ow < j->w.out; ow++, o++) {
                const cvni_span cols = cvni_pool_span(&j->w, ow);
                int best = rows.begin * W + cols.begin;
                for (int h = rows.begin; h < rows.end; h++)
                    for (int i = h * W + cols.begin; i < h * W + cols.end; i++)
                        if (plane[i] > plane[best] ||
                            (plane[i] != plane[i] && plane[best] == plane[best]))
                            best = i;
                if (y) y[o] = plane[best];
                if (winner) winner[o] = best;
            }
        }
    }
}

static void cvni_maxpool_back_part(void *context, int begin, int end, int worker)
{
    const cvni_pool_job *j = (const cvni_pool_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *dy = j->dy + t * j->outputs;
        const int *winner = j->winner + t * j->outputs;
        float *dx = j->dx + t * j->plane;
        if (!j->add) cvni_zero(dx, (size_t)j->plane);
        for (ptrdiff_t o = 0; o < j->outputs; o++) dx[winner[o]] += dy[o];
    }
}

static void cvni_avgpool_part(void *context, int begin, int end, int worker)
{
    const cvni_pool_job *j = (const cvni_pool_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *plane = j->x + t * j->plane;
        float *y = j->y + t * j->outputs;
        for (int oh = 0; oh < j->h.out; oh++) {
            const cvni_span rows = cvni_pool_span(&j->h, oh);
            for (int ow = 0; ow < j->w.out; ow++) {
                const cvni_span cols = cvni_pool_span(&j->w, ow);
                double sum = 0;
                for (int h = rows.begin; h < rows.end; h++)
                    sum += (double)j->net->k->sum(cols.end - cols.begin,
                                                  plane + (ptrdiff_t)h * j->w.n + cols.begin);
                *y++ = (float)(sum / (rows.size * cols.size));
            }
        }
    }
}

static void cvni_avgpool_back_part(void *context, int begin, int end, int worker)
{
    const cvni_pool_job *j = (const cvni_pool_job *)context;
    const int W = j->w.n;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *dy = j->dy + t * j->outputs;
        float *dx = j->dx + t * j->plane;
        if (!j->add) cvni_zero(dx, (size_t)j->plane);
        for (int oh = 0; oh < j->h.out; oh++) {
            const cvni_span rows = cvni_pool_span(&j->h, oh);
            for (int ow = 0; ow < j->w.out; ow++) {
                const cvni_span cols = cvni_pool_span(&j->w, ow);
                const float g = *dy++ / (float)(rows.size * cols.size);
                for (int h = rows.begin; h < rows.end; h++)
                    for (int i = h * W + cols.begin; i < h * W + cols.end; i++) dx[i] += g;
            }
        }
    }
}

static double cvni_pool_window(const cvni_pool_axis *a)
{
    return a->kernel ? a->kernel : (double)a->n / a->out + 1;
}

static void cvni_pool_run(cvn_net *net, cvni_layer *l, cvni_job part, int backward)
{
    cvni_layer *x = cvni_in(net, l, 0);
    cvni_pool_axis a[2];
    cvni_pool_job j;
    double cost;
    memset(&j, 0, sizeof j);
    cvni_pool_axes((const cvni_pool_layer *)l->desc, x->shape, a);
    a[0].out = l->shape.rank == 3 ? 1 : l->shape.dim[2];
    a[1].out = l->shape.dim[l->shape.rank - 1];
    j.net = net;
    j.h = a[0];
    j.w = a[1];
    j.plane = (ptrdiff_t)a[0].n * a[1].n;
    j.outputs = (ptrdiff_t)a[0].out * a[1].out;
    j.x = x->y;
    j.y = l->is_int ? NULL : l->y;
    j.winner = (int *)(l->is_int ? (void *)l->y : l->saved);
    j.dy = l->dy;
    if (backward && (j.dx = cvni_gradient_for(x, &j.add)) == NULL) return;
    cost = (double)cvni_elements(l->shape) * cvni_pool_window(&a[0]) * cvni_pool_window(&a[1]);
    cvni_parallel_for(net, l->shape.dim[0] * l->shape.dim[1],
                      2 * cost + (double)cvni_elements(x->shape), part, &j);
}

static cvn_result cvni_maxpool_forward(cvn_net *net, cvni_layer *l)
{
    cvni_pool_run(net, l, cvni_maxpool_part, 0);
    return CVN_OK;
}

static cvn_result cvni_avgpool_forward(cvn_net *net, cvni_layer *l)
{
    cvni_pool_run(net, l, cvni_avgpool_part, 0);
    return CVN_OK;
}

static void cvni_maxpool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_pool_run(net, l, cvni_maxpool_back_part, 1);
}
static void cvni_avgpool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_pool_run(net, l, cvni_avgpool_back_part, 1);
}

static const cvni_op cvni_op_maxpool = { "maxpool", "pool", "MaxPool", 0, cvni_maxpool_shape, NULL,
                                         cvni_maxpool_forward, cvni_maxpool_backward };
static const cvni_op cvni_op_avgpool = { "avgpool", "pool", "AveragePool", 0, cvni_pool_shape, NULL,
                                         cvni_avgpool_forward, cvni_avgpool_backward };
static const cvni_op cvni_op_global_maxpool = { "global_maxpool",     "pool",
                                                "GlobalMaxPool",      0,
                                                cvni_maxpool_shape,   NULL,
                                                cvni_maxpool_forward, cvni_maxpool_backward };
static const cvni_op cvni_op_global_avgpool = { "global_avgpool",     "pool",
                                                "GlobalAveragePool",  0,
                                                cvni_pool_shape,      NULL,
                                                cvni_avgpool_forward, cvni_avgpool_backward };
static const cvni_op cvni_op_adaptive_maxpool = { "adaptive_maxpool",   "pool",
                                                  NULL,                 0,
                                                  cvni_maxpool_shape,   NULL,
                                                  cvni_maxpool_forward, cvni_maxpool_backward };
static const cvni_op cvni_op_adaptive_avgpool = { "adaptive_avgpool",   "pool",
                                                  NULL,                 0,
                                                  cvni_pool_shape,      NULL,
                                                  cvni_avgpool_forward, cvni_avgpool_backward };
static const cvni_op cvni_op_maxpool_indices = { "maxpool_indices",    "indices",
                                                 NULL,                 0,
                                                 cvni_maxpool_indices_shape,
                                                 NULL,                 cvni_maxpool_forward,
                                                 NULL };

/* ---- the way back: values to the places that their maxima had ---- */

typedef struct cvni_unpool_desc { int height, width; } cvni_unpool_desc;

static cvn_result cvni_unpool_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_unpool_desc *d = (const cvni_unpool_desc *)l->desc;
    const cvni_layer *x = cvni_in(net, l, 0);
    const cvni_layer *index = cvni_in(net, l, 1);
    const cvn_result result = cvni_pool_check_input(net, l);
    char one[96];
    char two[96];
    if (result != CVN_OK) return result;
    if (!index->is_int || !cvni_same_shape(x->shape, index->shape))
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' %s needs an index for each value (cvn_maxpool_indices); '%s' "
                               "%s is %s",
                               x->name, cvni_shape_text(x->shape, one), index->name,
                               cvni_shape_text(index->shape, two),
                               index->is_int ? "of another shape" : "a tensor of floats");
    return cvni_pool_ask_shape(net, l, x->shape.rank == 3 && !d->height ? 1 : d->height, d->width);
}

static void cvni_unpool_part(void *context, int begin, int end, int worker)
{
    const cvni_pool_job *j = (const cvni_pool_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *x = j->x + t * j->plane;
        const int *index = j->winner + t * j->plane;
        float *y = j->y + t * j->outputs;
        cvni_zero(y, (size_t)j->outputs);
        for (ptrdiff_t i = 0; i < j->plane; i++) y[index[i]] = x[i];
    }
}

static void cvni_unpool_back_part(void *context, int begin, int end, int worker)
{
    const cvni_pool_job *j = (const cvni_pool_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *dy = j->dy + t * j->outputs;
        const int *index = j->winner + t * j->plane;
        float *dx = j->dx + t * j->plane;
        for (ptrdiff_t i = 0; i < j->plane; i++)
            dx[i] = j->add ? dx[i] + dy[index[i]] : dy[index[i]];
    }
}

static void cvni_unpool_run(cvn_net *net, cvni_layer *l, cvni_job part, int backward)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int planes = l->shape.dim[0] * l->shape.dim[1];
    cvni_pool_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.plane = (ptrdiff_t)(cvni_elements(x->shape) / (size_t)planes);
    j.outputs = (ptrdiff_t)(cvni_elements(l->shape) / (size_t)planes);
    j.x = x->y;
    j.winner = (int *)(void *)cvni_in(net, l, 1)->y;
    j.y = l->y;
    j.dy = l->dy;
    if (backward && (j.dx = cvni_gradient_for(x, &j.add)) == NULL) return;
    cvni_parallel_for(net, planes,
                      (double)cvni_elements(x->shape) + (double)cvni_elements(l->shape), part, &j);
}

static cvn_result cvni_unpool_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *index = cvni_in(net, l, 1);
    const int *values = (const int *)(const void *)index->y;
    const size_t count = cvni_elements(index->shape);
    const int places = (int)(cvni_elements(l->shape) /
                             ((size_t)l->shape.dim[0] * (size_t)l->shape.dim[1]));
    for (size_t i = 0; i < count; i++)
        if (values[i] < 0 || values[i] >= places)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "index %d of '%s' (number %lu of the batch) is not in 0..%d",
                                   values[i], index->name, (unsigned long)i, places - 1);
    cvni_unpool_run(net, l, cvni_unpool_part, 0);
    return CVN_OK;
}

static void cvni_unpool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_unpool_run(net, l, cvni_unpool_back_part, 1);
}

static const cvni_op cvni_op_maxunpool = { "maxunpool",
                                           "unpool",
                                           NULL,
                                           CVNI_USES_X | CVNI_TAKES_INT,
                                           cvni_unpool_shape,
                                           NULL,
                                           cvni_unpool_forward,
                                           cvni_unpool_backward };

/* ---- builders ---- */

cvn_pool_desc cvn_pool_defaults(void)
{
    cvn_pool_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

/* A kernel of 0 is an error here: inside it means the whole image. */
static cvn_node cvni_add_pool(cvn_net *net, const cvni_op *op, cvn_node x,
                              const cvn_pool_desc *desc)
{
    cvni_pool_layer p;
    memset(&p, 0, sizeof p);
    p.d = desc ? *desc : cvn_pool_defaults();
    if (!p.d.kernel_h) p.d.kernel_h = -1;
    if (!p.d.kernel_w) p.d.kernel_w = p.d.kernel_h;
    if (!p.d.stride_w) p.d.stride_w = p.d.stride_h ? p.d.stride_h : p.d.kernel_w;
    if (!p.d.stride_h) p.d.stride_h = p.d.kernel_h;
    return cvni_add_layer(net, op, &x, 1, &p, sizeof p);
}

static cvn_node cvni_add_square_pool(cvn_net *net, const cvni_op *op, cvn_node x, int kernel,
                                     int stride)
{
    cvn_pool_desc d = cvn_pool_defaults();
    d.kernel_h = kernel;
    d.stride_h = stride;
    return cvni_add_pool(net, op, x, &d);
}

static cvn_node cvni_add_global_pool(cvn_net *net, const cvni_op *op, cvn_node x)
{
    cvni_pool_layer p;
    memset(&p, 0, sizeof p);
    p.d.stride_h = p.d.stride_w = 1;
    return cvni_add_layer(net, op, &x, 1, &p, sizeof p);
}

static cvn_node cvni_add_adaptive_pool(cvn_net *net, const cvni_op *op, cvn_node x, int height,
                                       int width)
{
    cvni_pool_layer p;
    memset(&p, 0, sizeof p);
    p.adaptive = 1;
    p.height = height;
    p.width = width;
    return cvni_add_layer(net, op, &x, 1, &p, sizeof p);
}

cvn_node cvn_maxpool(cvn_net *net, cvn_node x, int kernel, int stride)
{
    return cvni_add_square_pool(net, &cvni_op_maxpool, x, kernel, stride);
}

cvn_node cvn_avgpool(cvn_net *net, cvn_node x, int kernel, int stride)
{
    return cvni_add_square_pool(net, &cvni_op_avgpool, x, kernel, stride);
}

cvn_node cvn_maxpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc *d)
{
    return cvni_add_pool(net, &cvni_op_maxpool, x, d);
}
cvn_node cvn_avgpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc *d)
{
    return cvni_add_pool(net, &cvni_op_avgpool, x, d);
}
cvn_node cvn_global_maxpool(cvn_net *net, cvn_node x)
{
    return cvni_add_global_pool(net, &cvni_op_global_maxpool, x);
}
cvn_node cvn_global_avgpool(cvn_net *net, cvn_node x)
{
    return cvni_add_global_pool(net, &cvni_op_global_avgpool, x);
}
cvn_node cvn_adaptive_maxpool(cvn_net *net, cvn_node x, int height, int width)
{
    return cvni_add_adaptive_pool(net, &cvni_op_adaptive_maxpool, x, height, width);
}
cvn_node cvn_adaptive_avgpool(cvn_net *net, cvn_node x, int height, int width)
{
    return cvni_add_adaptive_pool(net, &cvni_op_adaptive_avgpool, x, height, width);
}
cvn_node cvn_maxpool_indices(cvn_net *net, cvn_node x, const cvn_pool_desc *d)
{
    return cvni_add_pool(net, &cvni_op_maxpool_indices, x, d);
}

cvn_node cvn_maxunpool(cvn_net *net, cvn_node x, cvn_node indices, int height, int width)
{
    cvni_unpool_desc d;
    cvn_node inputs[2];
    d.height = height;
    d.width = width;
    inputs[0] = x;
    inputs[1] = indices;
    return cvni_add_layer(net, &cvni_op_maxunpool, inputs, 2, &d, sizeof d);
}

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>roi   values of an image inside boxes, each box at one size
 * ==============================================================================================
 *   x [N, C, H, W], boxes [N, R, 4] = (x1, y1, x2, y2) -> y [N, R, C, height, width]
 *   Box times spatial_scale, minus 1/2 when aligned; else its sides are at least 1. It is cut into
 *   height x width cells; a cell is the mean of g_h x g_w values of x, at the centres of the parts
 *   of the cell, g = sampling_ratio or ceil(side of the cell), each bilinear between the four
 *   nearest pixels; 0 where a coordinate lies below -1 or above the size, held at the outermost
 *   pixel between. As torchvision's roi_align.
 *   The grid of a cell is a product, and so are the bilinear weights: per box and axis a table of
 *   weights [cells, size] is summed up once, then y = sum over h, w of Wy[h] Wx[w] x[h, w].
 *   forward   tasks are boxes; backward: planes of x, boxes in order; the tables are made again
 *   A box that is not finite gives NaN, and no gradient. Coordinates are held in +-2^30.
 *   source    K. He et al., arXiv:1703.06870, section 3                tested: tests/test_pool.c */

typedef struct cvni_roi_desc { cvn_roi_align_desc d; int height, width; } cvni_roi_desc;

static cvn_result cvni_roi_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_roi_desc *d = (const cvni_roi_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvn_shape boxes = cvni_in(net, l, 1)->shape;
    char one[96];
    char two[96];
    if (x.rank != 4 || boxes.rank != 3 || boxes.dim[2] != 4 || x.dim[0] != boxes.dim[0] ||
        x.dim[2] > CVNI_MAX_AXIS || x.dim[3] > CVNI_MAX_AXIS)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' %s and '%s' %s must be images [C, H, W] and boxes [R, 4]",
                               cvni_in(net, l, 0)->name, cvni_shape_text(x, one),
                               cvni_in(net, l, 1)->name, cvni_shape_text(boxes, two));
    if (d->height < 1 || d->width < 1 || d->height > CVNI_MAX_WINDOW ||
        d->width > CVNI_MAX_WINDOW || d->d.sampling_ratio < 0 ||
        d->d.sampling_ratio > CVNI_MAX_WINDOW || !cvni_is_finite((double)d->d.spatial_scale))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "%d x %d cells, sampling_ratio %d, spatial_scale %g: out of range",
                               d->height, d->width, d->d.sampling_ratio,
                               (double)d->d.spatial_scale);
    l->shape = cvni_shape(4, x.dim[0], boxes.dim[1], x.dim[1], d->height);
    l->shape.dim[l->shape.rank++] = d->width;
    l->scratch_bytes = cvni_mul_size(
        cvni_add_size(cvni_mul_size((size_t)d->height, (size_t)x.dim[2] + 2),
                      cvni_mul_size((size_t)d->width, (size_t)x.dim[3] + 2)),
        sizeof(float));
    return CVN_OK;
}

/* Weights of one axis of a box: of cell p, weight[p*n + i] for i in [range[2p], range[2p + 1]). */
typedef struct cvni_roi_axis { float *weight; int *range; int cells, n; } cvni_roi_axis;

/* One axis of a box from `begin` on, `side` long. */
static void cvni_roi_weights(const cvni_roi_axis *a, double begin, double side, int ratio)
{
    const double bin = side / a->cells;
    const double parts = ratio ? ratio : ceil(bin);
    for (int p = 0; p < a->cells; p++) {
        float *const weight = a->weight + (ptrdiff_t)p * a->n;
        const double first = begin + p * bin;
        const double step = bin / parts;
        int low = a->n;
        int high = 0;
        memset(weight, 0, (size_t)a->n * sizeof *weight);
        /* a side of 2^30 pixels has as many parts: those before the image are skipped */
        for (double i = step > 0 ? fmax(0, floor((-1 - first) / step - 1)) : 0; i < parts; i++) {
            const double at = first + (i + 0.5) * step;
            int below;
            double above;
            if (at > a->n && step > 0) break;
            if (at < -1 || at > a->n) continue;
            below = cvni_min((int)fmax(at, 0), a->n - 1);
            above = below == a->n - 1 ? 0 : fmax(at, 0) - below;
            weight[below] += (float)((1 - above) / parts);
            if (above > 0) weight[below + 1] += (float)(above / parts);
            low = cvni_min(low, below);
            high = cvni_max(high, cvni_min(below + 2, a->n));
        }
        a->range[2 * p] = cvni_min(low, high);
        a->range[2 * p + 1] = high;
    }
}

typedef struct cvni_roi_job {
    cvn_net *net;
    const cvni_roi_desc *d;
    const float *x, *boxes, *dy;
    float *y, *dx;
    int C, H, W, R;
    int add;
} cvni_roi_job;

/* Both axes of a box with their tables in scratch memory; 0 when it is not finite. */
static int cvni_roi_box(const cvni_roi_job *j, const float *box, int worker, cvni_roi_axis a[2])
{
    const cvn_roi_align_desc *d = &j->d->d;
    const double offset = d->aligned ? 0.5 : 0;
    const double most = 1073741824;
    double edge[4];
    double side[2];
    a[0].cells = j->d->height;
    a[0].n = j->H;
    a[1].cells = j->d->width;
    a[1].n = j->W;
    a[0].weight = (float *)cvni_scratch(j->net, worker);
    a[1].weight = a[0].weight + (ptrdiff_t)a[0].cells * a[0].n;
    a[0].range = (int *)(void *)(a[1].weight + (ptrdiff_t)a[1].cells * a[1].n);
    a[1].range = a[0].range + 2 * a[0].cells;
    for (int i = 0; i < 4; i++) {
        if (!cvni_is_finite((double)box[i])) return 0;
        edge[i] = (double)box[i] * (double)d->spatial_scale - offset;
        edge[i] = fmin(fmax(edge[i], -most), most);
    }
    side[0] = edge[3] - edge[1];
    side[1] = edge[2] - edge[0];
    for (int i = 0; i < 2; i++) if (!d->aligned && side[i] < 1) side[i] = 1;
    cvni_roi_weights(&a[0], edge[1], side[0], d->sampling_ratio);
    cvni_roi_weights(&a[1], edge[0], side[1], d->sampling_ratio);
    return 1;
}

/* One plane: the weighted sum under each cell. */
static void cvni_roi_plane(const cvni_roi_job *j, const cvni_roi_axis a[2], const float *x,
                           float *y)
{
    for (int p = 0; p < a[0].cells; p++) {
        for (int q = 0; q < a[1].cells; q++) {
            const int w0 = a[1].range[2 * q];
            const int w1 = a[1].range[2 * q + 1];
            const float *wx = a[1].weight + (ptrdiff_t)q * j->W + w0;
            double sum = 0;
            for (int h = a[0].range[2 * p]; w0 < w1 && h < a[0].range[2 * p + 1]; h++)
                sum += (double)a[0].weight[(ptrdiff_t)p * j->H + h] *
                       (double)j->net->k->dot(w1 - w0, wx, x + (ptrdiff_t)h * j->W + w0);
            *y++ = (float)sum;
        }
    }
}

static void cvni_roi_back_plane(const cvni_roi_job *j, const cvni_roi_axis a[2], const float *dy,
                                float *dx)
{
    for (int p = 0; p < a[0].cells; p++) {
        for (int q = 0; q < a[1].cells; q++, dy++) {
            const int w0 = a[1].range[2 * q];
            const int w1 = a[1].range[2 * q + 1];
            const float *wx = a[1].weight + (ptrdiff_t)q * j->W + w0;
            for (int h = a[0].range[2 * p]; w0 < w1 && h < a[0].range[2 * p + 1]; h++)
                j->net->k->axpy(w1 - w0, *dy * a[0].weight[(ptrdiff_t)p * j->H + h], wx,
                                dx + (ptrdiff_t)h * j->W + w0);
        }
    }
}

static void cvni_roi_part(void *context, int begin, int end, int worker)
{
    const cvni_roi_job *j = (const cvni_roi_job *)context;
    const ptrdiff_t plane = (ptrdiff_t)j->H * j->W;
    const ptrdiff_t cells = (ptrdiff_t)j->d->height * j->d->width;
    cvni_roi_axis a[2];
    for (int t = begin; t < end; t++) {
        const float *x = j->x + t / j->R * plane * j->C;
        float *y = j->y + t * cells * j->C;
        const int fine = cvni_roi_box(j, j->boxes + (ptrdiff_t)t * 4, worker, a);
        for (int c = 0; fine && c < j->C; c++)
            cvni_roi_plane(j, a, x + c * plane, y + c * cells);
        for (ptrdiff_t i = 0; !fine && i < cells * j->C; i++) y[i] = NAN;
    }
}

static void cvni_roi_back_part(void *context, int begin, int end, int worker)
{
    const cvni_roi_job *j = (const cvni_roi_job *)context;
    const ptrdiff_t plane = (ptrdiff_t)j->H * j->W;
    const ptrdiff_t cells = (ptrdiff_t)j->d->height * j->d->width;
    cvni_roi_axis a[2];
    for (int t = begin; t < end; t++) {
        float *dx = j->dx + t * plane;
        if (!j->add) cvni_zero(dx, (size_t)plane);
        for (int r = 0; r < j->R; r++) {
            const ptrdiff_t box = (ptrdiff_t)(t / j->C) * j->R + r;
            if (cvni_roi_box(j, j->boxes + box * 4, worker, a))
                cvni_roi_back_plane(j, a, j->dy + (box * j->C + t % j->C) * cells, dx);
        }
    }
}

static cvni_roi_job cvni_roi_job_of(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    cvni_roi_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.d = (const cvni_roi_desc *)l->desc;
    j.x = x->y;
    j.boxes = cvni_in(net, l, 1)->y;
    j.y = l->y;
    j.dy = l->dy;
    j.C = x->shape.dim[1];
    j.H = x->shape.dim[2];
    j.W = x->shape.dim[3];
    j.R = l->shape.dim[1];
    return j;
}

static cvn_result cvni_roi_forward(cvn_net *net, cvni_layer *l)
{
    cvni_roi_job j = cvni_roi_job_of(net, l);
    cvni_parallel_for(net, l->shape.dim[0] * j.R, 30.0 * (double)cvni_elements(l->shape),
                      cvni_roi_part, &j);
    return CVN_OK;
}

static void cvni_roi_backward(cvn_net *net, cvni_layer *l)
{
    cvni_roi_job j = cvni_roi_job_of(net, l);
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx)
        cvni_parallel_for(net, l->shape.dim[0] * j.C, 60.0 * (double)cvni_elements(l->shape),
                          cvni_roi_back_part, &j);
}

static const cvni_op cvni_op_roi_align = { "roi_align",    "roi", NULL, CVNI_USES_X,
                                           cvni_roi_shape, NULL,  cvni_roi_forward,
                                           cvni_roi_backward };

cvn_roi_align_desc cvn_roi_align_defaults(void)
{
    cvn_roi_align_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

cvn_node cvn_roi_align(cvn_net *net, cvn_node x, cvn_node boxes, int height, int width,
                       const cvn_roi_align_desc *desc)
{
    cvni_roi_desc d;
    cvn_node inputs[2];
    d.d = desc ? *desc : cvn_roi_align_defaults();
    if (d.d.spatial_scale == 0) d.d.spatial_scale = 1;
    d.height = height;
    d.width = width;
    inputs[0] = x;
    inputs[1] = boxes;
    return cvni_add_layer(net, &cvni_op_roi_align, inputs, 2, &d, sizeof d);
}

CVNI_COLD_END

/* ================================================================================================
 * >>norm   batch normalisation
 * ==============================================================================================
 *   per channel c, m = N*H*W values:   mean = sum x / m; var = sum (x - mean)^2 / m; s = 1/sqrt(var
 *                                      + eps)
 *   y = (x - mean) s w + b
 *   backward, batch statistics     dw = sum dy (x - mean) s;  db = sum dy
 *                                  dx = w s (dy - db/m - (x - mean) s dw/m)
 *   backward, running statistics   (prediction, frozen)  dx = w s dy
 *   saved     mean and s of the batch [2, C]
 *   source    S. Ioffe, C. Szegedy, arXiv:1502.03167, section 3         tested: tests/test_layers.c
 *
 *   An inference plan folds a norm behind a convolution or dense layer into its weights: w' =
 *   w*scale, b' = b*scale + shift with scale = w_bn/sqrt(running_var + eps), shift = b_bn -
 *   running_mean*scale. */

/* Parameter slots, in PyTorch's order; without the affine part the last two alone. */
enum { CVNI_NORM_WEIGHT, CVNI_NORM_BIAS, CVNI_NORM_MEAN, CVNI_NORM_VAR };

static float *cvni_norm_param(const cvn_net *net, const cvni_layer *l, int which)
{
    return cvni_weights(net, l,
                        ((const cvn_batchnorm_desc *)l->desc)->no_affine ? which - CVNI_NORM_MEAN
                                                                         : which);
}

static cvn_result cvni_norm_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvn_shape c = cvni_shape(1, x.dim[1], 0, 0, 0);
    const cvn_init none = { CVN_INIT_DEFAULT, 0, 0 };
    cvn_result result;
    int slot;
    if (x.rank < 2) return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the input has no channels");
    if (!(d->eps > 0) || !(d->momentum > 0) || d->momentum > 1)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "eps %g, momentum %g: out of range (eps > 0, 0 < momentum <= 1)",
                               (double)d->eps, (double)d->momentum);
    l->shape = x;
    l->saved_bytes = 2 * (size_t)x.dim[1] * sizeof(float);
    slot = d->no_affine ? 0 : CVNI_NORM_MEAN;
    result = CVN_OK;
    if (!d->no_affine)
        result = cvni_add_param(net, l, CVNI_NORM_WEIGHT, "weight", c, CVNI_WEIGHT,
                                cvni_init_or(d->weight_init, CVN_INIT_CONSTANT, 1), 1, 1);
    if (result == CVN_OK && !d->no_affine)
        result = cvni_add_param(net, l, CVNI_NORM_BIAS, "bias", c, CVNI_BIAS,
                                cvni_init_or(d->bias_init, CVN_INIT_ZERO, 0), 1, 1);
    if (result == CVN_OK)
        result = cvni_add_param(net, l, slot, "running_mean", c, CVNI_RUNNING,
                                cvni_init_or(none, CVN_INIT_ZERO, 0), 1, 1);
    if (result == CVN_OK)
        result = cvni_add_param(net, l, slot + 1, "running_var", c, CVNI_RUNNING,
                                cvni_init_or(none, CVN_INIT_CONSTANT, 1), 1, 1);
    return result;
}

typedef struct cvni_norm_job {
    cvn_net *net;
    cvni_layer *l, *x;
    int N, C, S;                        /* samples, channels, values of a channel of one sample */
    float *dx;
    int add;
} cvni_norm_job;

static int cvni_norm_uses_batch(const cvn_net *net, const cvni_layer *l)
{
    return net->training && !l->frozen;
}

/* y = scale*x + shift with the running statistics. */
static void cvni_norm_running(const cvn_net *net, const cvni_layer *l, int c, float *scale,
                              float *shift)
{
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)l->desc;
    const float s = (float)(1 / sqrt((double)cvni_norm_param(net, l, CVNI_NORM_VAR)[c] +
                                     (double)d->eps));
    *scale = d->no_affine ? s : cvni_norm_param(net, l, CVNI_NORM_WEIGHT)[c] * s;
    *shift = (d->no_affine ? 0 : cvni_norm_param(net, l, CVNI_NORM_BIAS)[c]) -
             cvni_norm_param(net, l, CVNI_NORM_MEAN)[c] * *scale;
}

/* Statistics of the batch for channel c into the running ones and l->saved; scale and shift of
 * y. */
static void cvni_norm_batch(const cvni_norm_job *j, int c, float *scale, float *shift)
{
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)j->l->desc;
    const double m = (double)j->N * j->S;
    const double keep = 1 - (double)d->momentum;
    float *saved = (float *)j->l->saved;
    float *running_mean = cvni_norm_param(j->net, j->l, CVNI_NORM_MEAN) + c;
    float *running_var = cvni_norm_param(j->net, j->l, CVNI_NORM_VAR) + c;
    double mean = 0;
    double var = 0;
    for (int n = 0; n < j->N; n++)
        mean += (double)j->net->k->sum(j->S, j->x->y + ((ptrdiff_t)n * j->C + c) * j->S);
    mean /= m;
    for (int n = 0; n < j->N; n++)
        var += (double)j->net->k->sum_square_diff(j->S, j->x->y + ((ptrdiff_t)n * j->C + c) * j->S,
                                                  (float)mean);
    saved[c] = (float)mean;
    saved[j->C + c] = (float)(1 / sqrt(var / m + (double)d->eps));
    if (!j->net->parent && !j->net->again) {    /* a shared net leaves the owner's alone */
        *running_mean = (float)(keep * (double)*running_mean + (double)d->momentum * mean);
        *running_var = (float)(keep * (double)*running_var +
                               (double)d->momentum * (m > 1 ? var / (m - 1) : var));
    }
    *scale = d->no_affine ? saved[j->C + c]
                          : cvni_norm_param(j->net, j->l, CVNI_NORM_WEIGHT)[c] * saved[j->C + c];
    *shift = (d->no_affine ? 0 : cvni_norm_param(j->net, j->l, CVNI_NORM_BIAS)[c]) -
             (float)mean * *scale;
}

static void cvni_norm_part(void *context, int begin, int end, int worker)
{
    const cvni_norm_job *j = (const cvni_norm_job *)context;
    (void)worker;
    for (int c = begin; c < end; c++) {
        float scale, shift;
        if (cvni_norm_uses_batch(j->net, j->l)) cvni_norm_batch(j, c, &scale, &shift);
        else cvni_norm_running(j->net, j->l, c, &scale, &shift);
        for (int n = 0; n < j->N; n++) {
            const ptrdiff_t at = ((ptrdiff_t)n * j->C + c) * j->S;
            j->net->k->scale_shift(j->S, scale, shift, j->x->y + at, j->l->y + at);
        }
    }
}

CVNI_HOT
static void cvni_norm_back_part(void *context, int begin, int end, int worker)
{
    const cvni_norm_job *j = (const cvni_norm_job *)context;
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)j->l->desc;
    const int batch = cvni_norm_uses_batch(j->net, j->l);
    const double m = (double)j->N * j->S;
    float *dweight = d->no_affine ? NULL : cvni_weights_grad(j->net, j->l, CVNI_NORM_WEIGHT);
    float *dbias = d->no_affine ? NULL : cvni_weights_grad(j->net, j->l, CVNI_NORM_BIAS);
    (void)worker;
    for (int c = begin; c < end; c++) {
        const float mean = batch ? ((float *)j->l->saved)[c]
                                 : cvni_norm_param(j->net, j->l, CVNI_NORM_MEAN)[c];
        const float s = batch
                            ? ((float *)j->l->saved)[j->C + c]
                            : (float)(1 /
                                      sqrt((double)cvni_norm_param(j->net, j->l, CVNI_NORM_VAR)[c] +
                                           (double)d->eps));
        const float w = d->no_affine ? 1 : cvni_norm_param(j->net, j->l, CVNI_NORM_WEIGHT)[c];
        double db = 0;
        double dw = 0;
        float a, b;
        for (int n = 0; n < j->N; n++) {
            const ptrdiff_t at = ((ptrdiff_t)n * j->C + c) * j->S;
            db += (double)j->net->k->sum(j->S, j->l->dy + at);
            dw += (double)j->net->k->dot_diff(j->S, j->l->dy + at, j->x->y + at, mean);
        }
        dw *= (double)s;
        if (dweight) dweight[c] += (float)dw;
        if (dbias) dbias[c] += (float)db;
        if (!j->dx) continue;
        /* factor of x - mean */
        a = batch ? (float)(-(double)(w * s) * (double)s * dw / m) : 0;
        b = batch ? (float)(-(double)(w * s) * db / m) : 0;
        for (int n = 0; n < j->N; n++) {
            const ptrdiff_t at = ((ptrdiff_t)n * j->C + c) * j->S;
            const float *x = j->x->y + at;
            const float *dy = j->l->dy + at;
            float *dx = j->dx + at;
            if (j->add)
                for (int i = 0; i < j->S; i++) dx[i] += w * s * dy[i] + a * (x[i] - mean) + b;
            else for (int i = 0; i < j->S; i++) dx[i] = w * s * dy[i] + a * (x[i] - mean) + b;
        }
    }
}

static void cvni_norm_run(cvn_net *net, cvni_layer *l, int backward)
{
    cvni_norm_job j;
    j.net = net;
    j.l = l;
    j.x = cvni_in(net, l, 0);
    j.N = l->shape.dim[0];
    j.C = l->shape.dim[1];
    j.S = (int)(cvni_sample_elements(l->shape) / (size_t)j.C);
    j.dx = backward ? cvni_gradient_for(j.x, &j.add) : NULL;
    cvni_parallel_for(net, j.C, 4.0 * j.N * j.C * j.S,
                      backward ? cvni_norm_back_part : cvni_norm_part, &j);
}

static cvn_result cvni_norm_forward(cvn_net *net, cvni_layer *l)
{
    if (cvni_norm_uses_batch(net, l) && cvni_elements(l->shape) == (size_t)l->shape.dim[1])
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "one value a channel has no variance; train with larger batches "
                               "(cvn_fit_options.drop_last leaves out a last batch of one sample)");
    cvni_norm_run(net, l, 0);
    return CVN_OK;
}

static void cvni_norm_backward(cvn_net *net, cvni_layer *l) { cvni_norm_run(net, l, 1); }

static const cvni_op cvni_op_batchnorm = { "batchnorm",          "bn",
                                           "BatchNormalization", CVNI_USES_X | CVNI_INPLACE,
                                           cvni_norm_shape,      NULL,
                                           cvni_norm_forward,    cvni_norm_backward };

static int cvni_is_batchnorm(const cvni_layer *l) { return l->op == &cvni_op_batchnorm; }

/* Makes the folded weights of an inference plan anew when the parameters have changed since. */
static void cvni_refold(cvn_net *net)
{
    const uint64_t version = net->parent ? net->parent->weights_version + net->weights_version
                                         : net->weights_version;
    if (net->folded_version == version) return;
    net->folded_version = version;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const cvni_param *w;
        const float *bias = cvni_weights(net, l, 1);
        size_t row;
        if (!l->fold) continue;
        w = &net->params[l->param[0]];
        row = w->count / (size_t)w->shape.dim[0];
        for (int f = 0; f < w->shape.dim[0]; f++) {
            float scale, shift;
            cvni_norm_running(net, &net->layers[l->place.folded], f, &scale, &shift);
            net->k->scale_shift((int)row, scale, 0, net->weights + w->offset + row * (size_t)f,
                                l->fold + row * (size_t)f);
            l->fold[w->count + (size_t)f] = shift + (bias ? bias[f] * scale : 0);
        }
    }
}

cvn_batchnorm_desc cvn_batchnorm_defaults(void)
{
    cvn_batchnorm_desc d;
    memset(&d, 0, sizeof d);
    d.eps = 1e-5f;
    d.momentum = 0.1f;
    return d;
}

cvn_node cvn_batchnorm_ex(cvn_net *net, cvn_node x, const cvn_batchnorm_desc *desc)
{
    cvn_batchnorm_desc d = desc ? *desc : cvn_batchnorm_defaults();
    if (d.eps == 0) d.eps = 1e-5f;
    if (d.momentum == 0) d.momentum = 0.1f;
    return cvni_add_layer(net, &cvni_op_batchnorm, &x, 1, &d, sizeof d);
}

cvn_node cvn_batchnorm(cvn_net *net, cvn_node x) { return cvn_batchnorm_ex(net, x, NULL); }

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>layernorm   layer, instance and group normalisation; L2; local response
 * ==============================================================================================
 *   Layer, instance and group norm are one: the sample is cut into groups of M elements that lie
 *   one behind the other, each group has its own mean and variance, in training and prediction.
 *     layer      x [N, ..., d1, ..., da]: M = d1*...*da, weight and bias [d1, ..., da]
 *     instance   x [N, C, ...]: a channel of a sample is a group; weight and bias [C]
 *     group      x [N, C, ...]: C/groups channels of a sample are a group; weight and bias [C]
 *   per group:  mean = sum x / M; var = sum (x - mean)^2 / M; s = 1/sqrt(var + eps)
 *   y = (x - mean) s w + b
 *   backward    g = w dy;  dx = s (g - sum g / M - (x - mean) s^2 sum g (x - mean) / M)
 *               dw = sum dy (x - mean) s;  db = sum dy, over all elements that share w and b
 *   saved       mean and s of every group
 *   source      J. L. Ba et al., arXiv:1607.06450; D. Ulyanov et al., arXiv:1607.08022;
 *               Y. Wu, K. He, arXiv:1803.08494
 *
 *   L2          n = max(sqrt(sum x^2), eps) along the axis; y = x/n
 *               dx = (dy - y sum dy y)/n, and dy/eps where eps is the larger one
 *   LRN         D_c = k + alpha/size * sum x^2 over the channels c - size/2 to c + (size - 1)/2
 *               y = x D^-beta
 *               dx_c = dy_c D_c^-beta - 2 alpha beta/size x_c sum dy x D^(-beta - 1) over the
 *               channels whose sum x_c is part of: c - (size - 1)/2 to c + size/2
 *   source      A. Krizhevsky et al., NeurIPS 2012, section 3.3
 *                                                                      tested: tests/test_norm.c */

typedef enum cvni_group_kind { CVNI_GROUP_LAYER, CVNI_GROUP_INSTANCE, CVNI_GROUP_GROUP }
    cvni_group_kind;

typedef struct cvni_gnorm_desc {
    cvni_group_kind kind;
    int number;                 /* layer: normalised axes; group: groups of a sample */
    float eps;
    int no_weight, no_bias;
    cvn_init weight_init, bias_init;
} cvni_gnorm_desc;

/* How the values lie: `count` groups of `run` elements for each of `shared` weights; a sample (for
 * layer norm: a step) has `period` groups, so weight and bias have period*shared elements. */
typedef struct cvni_groups { int count, period, shared, run, size; } cvni_groups;

#define CVNI_NORM_BLOCK 64              /* neighbours that one task sums side by side */
#define CVNI_NORM_SPAN 4096             /* elements summed in float; spans add up in double */

static cvni_groups cvni_find_groups(const cvni_gnorm_desc *d, cvn_shape x)
{
    cvni_groups g;
    int inner = 1;
    int rest = 1;               /* values of a channel */
    for (int i = 2; i < x.rank; i++) rest *= x.dim[i];
    if (d->kind == CVNI_GROUP_LAYER) {
        for (int i = x.rank - d->number; i < x.rank; i++) inner *= x.dim[i];
        g.period = 1;
        g.shared = inner;
        g.run = 1;
    } else {
        g.period = d->kind == CVNI_GROUP_INSTANCE ? x.dim[1] : d->number;
        g.shared = x.dim[1] / g.period;
        g.run = rest;
    }
    g.size = g.shared * g.run;
    g.count = (int)(cvni_elements(x) / (size_t)g.size);
    return g;
}

static cvn_result cvni_gnorm_check(cvn_net *net, const cvni_layer *l, cvn_shape x)
{
    const cvni_gnorm_desc *d = (const cvni_gnorm_desc *)l->desc;
    const int least = d->kind == CVNI_GROUP_INSTANCE ? 3 : 2;
    char text[96];
    if (!(d->eps > 0) || !cvni_is_finite((double)d->eps))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "eps %g; eps > 0 is needed",
                               (double)d->eps);
    if (x.rank < least)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "input %s; [C%s] is needed, reshape it", cvni_shape_text(x, text),
                               least == 3 ? ", H, W" : ", ...");
    if (d->kind == CVNI_GROUP_LAYER && (d->number < 1 || d->number >= x.rank))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "%d axes to normalise; input %s has 1 to %d", d->number,
                               cvni_shape_text(x, text), x.rank - 1);
    if (d->kind == CVNI_GROUP_GROUP && (d->number < 1 || x.dim[1] % d->number))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "%d groups do not divide the %d channels of input %s", d->number,
                               x.dim[1], cvni_shape_text(x, text));
    if (d->kind == CVNI_GROUP_INSTANCE && cvni_find_groups(d, x).size == 1)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "input %s: one value a channel has no variance; normalise before "
                               "the image has shrunk to one pixel", cvni_shape_text(x, text));
    return CVN_OK;
}

static cvn_result cvni_gnorm_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_gnorm_desc *d = (const cvni_gnorm_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    cvn_shape w = cvni_shape(1, x.dim[1], 0, 0, 0);
    cvn_result result = cvni_gnorm_check(net, l, x);
    cvni_groups g;
    if (result != CVN_OK) return result;
    g = cvni_find_groups(d, x);
    if (d->kind == CVNI_GROUP_LAYER) {
        w.rank = d->number;
        for (int i = 0; i < w.rank; i++) w.dim[i] = x.dim[x.rank - w.rank + i];
    }
    l->shape = x;
    l->saved_bytes = cvni_mul_size((size_t)g.count, 2 * sizeof(float));
    l->scratch_bytes = g.run == 1 ? cvni_mul_size((size_t)g.size, sizeof(float)) : 0;
    if (!d->no_weight)
        result = cvni_add_param(net, l, 0, "weight", w, CVNI_WEIGHT,
                                cvni_init_or(d->weight_init, CVN_INIT_CONSTANT, 1), 1, 1);
    if (!d->no_bias && result == CVN_OK)
        result = cvni_add_param(net, l, d->no_weight ? 0 : 1, "bias", w, CVNI_BIAS,
                                cvni_init_or(d->bias_init, CVN_INIT_ZERO, 0), 1, 1);
    if (result == CVN_OK && !d->no_weight) net->params[l->param[0]].decays = 0;
    return result;
}

typedef struct cvni_gnorm_job {
    cvn_net *net;
    cvni_layer *l;
    cvni_groups g;
    const float *x, *w, *b;             /* w, b: NULL without */
    float *dw, *db, *dx;
    int add;
} cvni_gnorm_job;

/* y = (x - mean) a w + b of neighbours with one weight each; w, b may be NULL. */
CVNI_HOT
static void cvni_gnorm_line(int n, float mean, float a, const float *w, const float *b,
                            const float *x, float *y)
{
    if (w && b) for (int i = 0; i < n; i++) y[i] = (x[i] - mean) * a * w[i] + b[i];
    else if (w) for (int i = 0; i < n; i++) y[i] = (x[i] - mean) * a * w[i];
    else for (int i = 0; i < n; i++) y[i] = (x[i] - mean) * a;
}

/* y = (x - mean) a + b: the elements of one weight. */
CVNI_HOT
static void cvni_gnorm_run_line(int n, float mean, float a, float b, const float *x, float *y)
{
    for (int i = 0; i < n; i++) y[i] = (x[i] - mean) * a + b;
}

/* dx = scale dy + a (x - mean) + b */
CVNI_HOT
static void cvni_gnorm_back_line(int n, float scale, float a, float b, float mean, const float *dy,
                                 const float *x, float *dx, int add)
{
    if (add) for (int i = 0; i < n; i++) dx[i] += scale * dy[i] + a * (x[i] - mean) + b;
    else for (int i = 0; i < n; i++) dx[i] = scale * dy[i] + a * (x[i] - mean) + b;
}

/* Sums of dy and of dy (x - mean). */
static void cvni_gnorm_sums(const cvn_net *net, int n, const float *dy, const float *x, float mean,
                            double *sum, double *dot)
{
    *sum = *dot = 0;
    for (int i = 0; i < n; i += CVNI_NORM_SPAN) {
        const int m = cvni_min(n - i, CVNI_NORM_SPAN);
        *sum += (double)net->k->sum(m, dy + i);
        *dot += (double)net->k->dot_diff(m, dy + i, x + i, mean);
    }
}

static void cvni_gnorm_moments(const cvni_gnorm_job *j, const float *x, float *mean, float *s)
{
    const cvni_gnorm_desc *d = (const cvni_gnorm_desc *)j->l->desc;
    double sum = 0;
    double square = 0;
    for (int i = 0; i < j->g.size; i += CVNI_NORM_SPAN)
        sum += (double)j->net->k->sum(cvni_min(j->g.size - i, CVNI_NORM_SPAN), x + i);
    *mean = (float)(sum / j->g.size);
    for (int i = 0; i < j->g.size; i += CVNI_NORM_SPAN)
        square += (double)j->net->k->sum_square_diff(cvni_min(j->g.size - i, CVNI_NORM_SPAN),
                                                     x + i, *mean);
    *s = (float)(1 / sqrt(square / j->g.size + (double)d->eps));
}

static void cvni_gnorm_part(void *context, int begin, int end, int worker)
{
    const cvni_gnorm_job *j = (const cvni_gnorm_job *)context;
    float *saved = (float *)j->l->saved;        /* NULL in an inference plan */
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *x = j->x + (ptrdiff_t)t * j->g.size;
        float *y = j->l->y + (ptrdiff_t)t * j->g.size;
        const int first = t % j->g.period * j->g.shared;
        float mean, s;
        cvni_gnorm_moments(j, x, &mean, &s);
        if (saved) {
            saved[2 * (ptrdiff_t)t] = mean;
            saved[2 * (ptrdiff_t)t + 1] = s;
        }
        if (j->g.run == 1) {
            cvni_gnorm_line(j->g.size, mean, s, j->w ? j->w + first : NULL,
                            j->b ? j->b + first : NULL, x, y);
            continue;
        }
        for (int c = 0; c < j->g.shared; c++)
            cvni_gnorm_run_line(j->g.run, mean, j->w ? s * j->w[first + c] : s,
                                j->b ? j->b[first + c] : 0, x + (ptrdiff_t)c * j->g.run,
                                y + (ptrdiff_t)c * j->g.run);
    }
}

/* dx of groups. Neighbours with one weight each are multiplied by them first, into scratch. */
static void cvni_gnorm_back_part(void *context, int begin, int end, int worker)
{
    const cvni_gnorm_job *j = (const cvni_gnorm_job *)context;
    const float *saved = (const float *)j->l->saved;
    const int lines = j->g.run == 1 ? 1 : j->g.shared;
    const int n = j->g.size / lines;
    float *product = (float *)cvni_scratch(j->net, worker);
    for (int t = begin; t < end; t++) {
        const ptrdiff_t at = (ptrdiff_t)t * j->g.size;
        const float mean = saved[2 * (ptrdiff_t)t];
        const float s = saved[2 * (ptrdiff_t)t + 1];
        const float *w = j->w ? j->w + t % j->g.period * j->g.shared : NULL;
        const float *dy = j->l->dy + at;
        double sum = 0;
        double dot = 0;
        float a, b;
        if (w && j->g.run == 1) {
            cvni_gnorm_line(n, 0, 1, w, NULL, dy, product);
            dy = product;
            w = NULL;
        }
        for (int c = 0; c < lines; c++) {
            double line_sum, line_dot;
            cvni_gnorm_sums(j->net, n, dy + (ptrdiff_t)c * n, j->x + at + (ptrdiff_t)c * n, mean,
                            &line_sum, &line_dot);
            sum += w ? line_sum * (double)w[c] : line_sum;
            dot += w ? line_dot * (double)w[c] : line_dot;
        }
        a = (float)(-(double)s * (double)s * (double)s * dot / j->g.size);
        b = (float)(-(double)s * sum / j->g.size);
        for (int c = 0; c < lines; c++)
            cvni_gnorm_back_line(n, w ? s * w[c] : s, a, b, mean, dy + (ptrdiff_t)c * n,
                                 j->x + at + (ptrdiff_t)c * n, j->dx + at + (ptrdiff_t)c * n,
                                 j->add);
    }
}

/* dw, db of channels: a task is a channel. */
static void cvni_gnorm_channel_part(void *context, int begin, int end, int worker)
{
    const cvni_gnorm_job *j = (const cvni_gnorm_job *)context;
    const float *saved = (const float *)j->l->saved;
    (void)worker;
    for (int c = begin; c < end; c++) {
        double dw = 0;
        double db = 0;
        for (int t = c / j->g.shared; t < j->g.count; t += j->g.period) {
            const ptrdiff_t at = (ptrdiff_t)t * j->g.size +
                                 (ptrdiff_t)(c % j->g.shared) * j->g.run;
            double sum, dot;
            cvni_gnorm_sums(j->net, j->g.run, j->l->dy + at, j->x + at, saved[2 * (ptrdiff_t)t],
                            &sum, &dot);
            dw += dot * (double)saved[2 * (ptrdiff_t)t + 1];
            db += sum;
        }
        if (j->dw) j->dw[c] += (float)dw;
        if (j->db) j->db[c] += (float)db;
    }
}

/* Adds dy (x - mean) s to dw and dy to db, element by element. */
CVNI_HOT
static void cvni_gnorm_add_row(int n, float mean, float s, const float *dy, const float *x,
                               double *dw, double *db)
{
    for (int i = 0; i < n; i++) {
        dw[i] += (double)(dy[i] * (x[i] - mean) * s);
        db[i] += (double)dy[i];
    }
}

/* dw, db where neighbours have one weight each: a task is CVNI_NORM_BLOCK of them. */
static void cvni_gnorm_block_part(void *context, int begin, int end, int worker)
{
    const cvni_gnorm_job *j = (const cvni_gnorm_job *)context;
    const int width = j->g.period * j->g.shared;
    const int rows = j->g.count / j->g.period;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const int first = t * CVNI_NORM_BLOCK;
        const int n = cvni_min(CVNI_NORM_BLOCK, width - first);
        double dw[CVNI_NORM_BLOCK] = { 0 };
        double db[CVNI_NORM_BLOCK] = { 0 };
        for (int r = 0; r < rows; r++) {
            const ptrdiff_t at = (ptrdiff_t)r * width + first;
            const float *saved = (const float *)j->l->saved + 2 * (ptrdiff_t)r * j->g.period;
            for (int i = 0; i < n;) {
                const int group = (first + i) / j->g.shared;
                const int next = cvni_min(n, (group + 1) * j->g.shared - first);
                cvni_gnorm_add_row(next - i, saved[2 * group], saved[2 * group + 1],
                                   j->l->dy + at + i, j->x + at + i, dw + i, db + i);
                i = next;
            }
        }
        for (int i = 0; j->dw && i < n; i++) j->dw[first + i] += (float)dw[i];
        for (int i = 0; j->db && i < n; i++) j->db[first + i] += (float)db[i];
    }
}

static cvni_gnorm_job cvni_start_gnorm(cvn_net *net, cvni_layer *l)
{
    const cvni_gnorm_desc *d = (const cvni_gnorm_desc *)l->desc;
    cvni_gnorm_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.g = cvni_find_groups(d, l->shape);
    j.x = cvni_in(net, l, 0)->y;
    j.w = d->no_weight ? NULL : cvni_weights(net, l, 0);
    j.b = d->no_bias ? NULL : cvni_weights(net, l, d->no_weight ? 0 : 1);
    return j;
}

static cvn_result cvni_gnorm_forward(cvn_net *net, cvni_layer *l)
{
    cvni_gnorm_job j = cvni_start_gnorm(net, l);
    cvni_parallel_for(net, j.g.count, 4.0 * (double)cvni_elements(l->shape), cvni_gnorm_part, &j);
    return CVN_OK;
}

static void cvni_gnorm_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_gnorm_desc *d = (const cvni_gnorm_desc *)l->desc;
    const double cost = 6.0 * (double)cvni_elements(l->shape);
    cvni_gnorm_job j = cvni_start_gnorm(net, l);
    const int width = j.g.period * j.g.shared;
    j.dw = d->no_weight ? NULL : cvni_weights_grad(net, l, 0);
    j.db = d->no_bias ? NULL : cvni_weights_grad(net, l, d->no_weight ? 0 : 1);
    if (j.dw || j.db) {
        if (j.g.run == 1)
            cvni_parallel_for(net, cvni_ceil_div(width, CVNI_NORM_BLOCK), cost,
                              cvni_gnorm_block_part, &j);
        else cvni_parallel_for(net, width, cost, cvni_gnorm_channel_part, &j);
    }
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx) cvni_parallel_for(net, j.g.count, cost, cvni_gnorm_back_part, &j);
}

enum { CVNI_GNORM_FLAGS = CVNI_USES_X | CVNI_INPLACE | CVNI_INPLACE_GRAD };

static const cvni_op cvni_op_layernorm = { "layernorm",          "ln",
                                           "LayerNormalization", CVNI_GNORM_FLAGS,
                                           cvni_gnorm_shape,     NULL,
                                           cvni_gnorm_forward,   cvni_gnorm_backward };
static const cvni_op cvni_op_instancenorm = { "instancenorm",          "in",
                                              "InstanceNormalization", CVNI_GNORM_FLAGS,
                                              cvni_gnorm_shape,        NULL,
                                              cvni_gnorm_forward,      cvni_gnorm_backward };
static const cvni_op cvni_op_groupnorm = { "groupnorm",          "gn",
                                           "GroupNormalization", CVNI_GNORM_FLAGS,
                                           cvni_gnorm_shape,     NULL,
                                           cvni_gnorm_forward,   cvni_gnorm_backward };

cvn_layernorm_desc cvn_layernorm_defaults(void)
{
    cvn_layernorm_desc d;
    memset(&d, 0, sizeof d);
    d.axes = 1;
    d.eps = 1e-5f;
    return d;
}

cvn_instancenorm_desc cvn_instancenorm_defaults(void)
{
    cvn_instancenorm_desc d;
    memset(&d, 0, sizeof d);
    d.eps = 1e-5f;
    return d;
}

cvn_groupnorm_desc cvn_groupnorm_defaults(void)
{
    cvn_groupnorm_desc d;
    memset(&d, 0, sizeof d);
    d.eps = 1e-5f;
    return d;
}

cvn_node cvn_layernorm_ex(cvn_net *net, cvn_node x, const cvn_layernorm_desc *desc)
{
    const cvn_layernorm_desc d = desc ? *desc : cvn_layernorm_defaults();
    cvni_gnorm_desc g;
    g.kind = CVNI_GROUP_LAYER;
    g.number = d.axes ? d.axes : 1;
    g.eps = d.eps == 0 ? 1e-5f : d.eps;
    g.no_weight = d.no_affine;
    g.no_bias = d.no_affine || d.no_bias;
    g.weight_init = d.weight_init;
    g.bias_init = d.bias_init;
    return cvni_add_layer(net, &cvni_op_layernorm, &x, 1, &g, sizeof g);
}

cvn_node cvn_instancenorm_ex(cvn_net *net, cvn_node x, const cvn_instancenorm_desc *desc)
{
    const cvn_instancenorm_desc d = desc ? *desc : cvn_instancenorm_defaults();
    cvni_gnorm_desc g;
    g.kind = CVNI_GROUP_INSTANCE;
    g.number = 0;
    g.eps = d.eps == 0 ? 1e-5f : d.eps;
    g.no_weight = g.no_bias = !d.affine;
    g.weight_init = d.weight_init;
    g.bias_init = d.bias_init;
    return cvni_add_layer(net, &cvni_op_instancenorm, &x, 1, &g, sizeof g);
}

cvn_node cvn_groupnorm_ex(cvn_net *net, cvn_node x, const cvn_groupnorm_desc *desc)
{
    const cvn_groupnorm_desc d = desc ? *desc : cvn_groupnorm_defaults();
    cvni_gnorm_desc g;
    g.kind = CVNI_GROUP_GROUP;
    g.number = d.groups;
    g.eps = d.eps == 0 ? 1e-5f : d.eps;
    g.no_weight = g.no_bias = d.no_affine;
    g.weight_init = d.weight_init;
    g.bias_init = d.bias_init;
    return cvni_add_layer(net, &cvni_op_groupnorm, &x, 1, &g, sizeof g);
}

cvn_node cvn_layernorm(cvn_net *net, cvn_node x) { return cvn_layernorm_ex(net, x, NULL); }
cvn_node cvn_instancenorm(cvn_net *net, cvn_node x) { return cvn_instancenorm_ex(net, x, NULL); }

cvn_node cvn_groupnorm(cvn_net *net, cvn_node x, int groups)
{
    cvn_groupnorm_desc d = cvn_groupnorm_defaults();
    d.groups = groups;
    return cvn_groupnorm_ex(net, x, &d);
}

/* A job over an axis: [outer, length, inner]; a task is CVNI_NORM_BLOCK neighbours of `inner`. */
typedef struct cvni_axis_job {
    cvn_net *net;
    cvni_layer *l;
    const float *x;
    int outer, length, inner, blocks;
    float *dx;
    int add;
} cvni_axis_job;

static cvni_axis_job cvni_start_axis(cvn_net *net, cvni_layer *l, int axis)
{
    cvni_axis_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.x = cvni_in(net, l, 0)->y;
    cvni_split_axis(l->shape, axis, &j.outer, &j.length, &j.inner);
    j.blocks = cvni_ceil_div(j.inner, CVNI_NORM_BLOCK);
    return j;
}

/* First element of task t; *n receives the number of neighbours. */
static ptrdiff_t cvni_axis_task(const cvni_axis_job *j, int t, int *n)
{
    const int first = t % j->blocks * CVNI_NORM_BLOCK;
    *n = cvni_min(CVNI_NORM_BLOCK, j->inner - first);
    return (ptrdiff_t)(t / j->blocks) * j->length * j->inner + first;
}

typedef struct cvni_l2norm_desc { int axis; float eps; } cvni_l2norm_desc;

static cvn_result cvni_l2norm_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_l2norm_desc *d = (const cvni_l2norm_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    if (d->axis < 1 || d->axis >= x.rank)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "axis %d; an input of rank %d has 1 to %d", d->axis, x.rank,
                               x.rank - 1);
    l->shape = x;
    return CVN_OK;
}

/* sum[i] = sum of a b along the axis, for n neighbours; a, b at the first element. */
CVNI_HOT
static void cvni_axis_dot(const cvni_axis_job *j, int n, const float *a, const float *b,
                          double *sum)
{
    for (int i = 0; i < n; i++) sum[i] = 0;
    for (int c = 0; c < j->length; c++, a += j->inner, b += j->inner)
        for (int i = 0; i < n; i++) sum[i] += (double)a[i] * (double)b[i];
}

CVNI_HOT
static void cvni_l2norm_part(void *context, int begin, int end, int worker)
{
    const cvni_axis_job *j = (const cvni_axis_job *)context;
    const double eps = (double)((const cvni_l2norm_desc *)j->l->desc)->eps;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double square[CVNI_NORM_BLOCK];
        float scale[CVNI_NORM_BLOCK];
        int n;
        const ptrdiff_t at = cvni_axis_task(j, t, &n);
        cvni_axis_dot(j, n, j->x + at, j->x + at, square);
        for (int i = 0; i < n; i++) {
            const double norm = sqrt(square[i]);
            scale[i] = (float)(1 / (norm < eps ? eps : norm));
        }
        for (int c = 0; c < j->length; c++) {
            const float *x = j->x + at + (ptrdiff_t)c * j->inner;
            float *y = j->l->y + at + (ptrdiff_t)c * j->inner;
            for (int i = 0; i < n; i++) y[i] = x[i] * scale[i];
        }
    }
}

/* dx = dy/n - x (sum dy x)/n^3 */
CVNI_HOT
static void cvni_l2norm_back_part(void *context, int begin, int end, int worker)
{
    const cvni_axis_job *j = (const cvni_axis_job *)context;
    const double eps = (double)((const cvni_l2norm_desc *)j->l->desc)->eps;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double square[CVNI_NORM_BLOCK], dot[CVNI_NORM_BLOCK];
        float a[CVNI_NORM_BLOCK], b[CVNI_NORM_BLOCK];
        int n;
        const ptrdiff_t at = cvni_axis_task(j, t, &n);
        cvni_axis_dot(j, n, j->x + at, j->x + at, square);
        cvni_axis_dot(j, n, j->x + at, j->l->dy + at, dot);
        for (int i = 0; i < n; i++) {
            const double norm = sqrt(square[i]);
            a[i] = (float)(1 / (norm < eps ? eps : norm));
            b[i] = norm < eps ? 0 : (float)(dot[i] / (square[i] * norm));
        }
        for (int c = 0; c < j->length; c++) {
            const ptrdiff_t line = at + (ptrdiff_t)c * j->inner;
            const float *x = j->x + line;
            const float *dy = j->l->dy + line;
            float *dx = j->dx + line;
            if (j->add) for (int i = 0; i < n; i++) dx[i] += dy[i] * a[i] - x[i] * b[i];
            else for (int i = 0; i < n; i++) dx[i] = dy[i] * a[i] - x[i] * b[i];
        }
    }
}

static cvn_result cvni_l2norm_forward(cvn_net *net, cvni_layer *l)
{
    cvni_axis_job j = cvni_start_axis(net, l, ((const cvni_l2norm_desc *)l->desc)->axis);
    cvni_parallel_for(net, j.outer * j.blocks, 4.0 * (double)cvni_elements(l->shape),
                      cvni_l2norm_part, &j);
    return CVN_OK;
}

static void cvni_l2norm_backward(cvn_net *net, cvni_layer *l)
{
    cvni_axis_job j = cvni_start_axis(net, l, ((const cvni_l2norm_desc *)l->desc)->axis);
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx)
        cvni_parallel_for(net, j.outer * j.blocks, 8.0 * (double)cvni_elements(l->shape),
                          cvni_l2norm_back_part, &j);
}

static const cvni_op cvni_op_l2norm = { "l2norm",            "l2norm",
                                        "LpNormalization",   CVNI_GNORM_FLAGS,
                                        cvni_l2norm_shape,   NULL,
                                        cvni_l2norm_forward, cvni_l2norm_backward };

cvn_node cvn_l2norm(cvn_net *net, cvn_node x, int axis)
{
    cvni_l2norm_desc d;
    d.axis = axis;
    d.eps = 1e-12f;
    return cvni_add_layer(net, &cvni_op_l2norm, &x, 1, &d, sizeof d);
}

static cvn_result cvni_lrn_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_lrn_desc *d = (const cvn_lrn_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    if (x.rank < 2) return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the input has no channels");
    if (d->size < 1 || !(d->alpha >= 0) || !(d->k > 0) || !cvni_is_finite((double)d->alpha) ||
        !cvni_is_finite((double)d->beta) || !cvni_is_finite((double)d->k))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "size %d, alpha %g, beta %g, k %g: out of range (size 1 or more, "
                               "alpha >= 0, k > 0)",
                               d->size, (double)d->alpha, (double)d->beta, (double)d->k);
    l->shape = x;
    l->scratch_bytes = cvni_mul_size((size_t)x.dim[1], 2 * CVNI_NORM_BLOCK * sizeof(float));
    return CVN_OK;
}

/* power[i] = D^-beta and sum[i] = D of channel c, for n neighbours; x at channel 0. beta 3/4 and
 * 1/2 are roots. */
CVNI_HOT
static void cvni_lrn_powers(const cvni_axis_job *j, int n, int c, const float *x, float *sum,
                            float *power)
{
    const cvn_lrn_desc *d = (const cvn_lrn_desc *)j->l->desc;
    const float alpha = d->alpha / (float)d->size;
    const int first = cvni_max(c - d->size / 2, 0);
    const int last = (int)(c < j->length - (int64_t)((d->size - 1) / 2) ? c + (d->size - 1) / 2
                                                                        : j->length - 1);
    for (int i = 0; i < n; i++) sum[i] = 0;
    for (int k = first; k <= last; k++) {
        const float *line = x + (ptrdiff_t)k * j->inner;
        for (int i = 0; i < n; i++) sum[i] += line[i] * line[i];
    }
    for (int i = 0; i < n; i++) sum[i] = d->k + alpha * sum[i];
    if (d->beta == 0.75f)
        for (int i = 0; i < n; i++) power[i] = 1 / (sqrtf(sum[i]) * sqrtf(sqrtf(sum[i])));
    else if (d->beta == 0.5f) for (int i = 0; i < n; i++) power[i] = 1 / sqrtf(sum[i]);
    else for (int i = 0; i < n; i++) power[i] = powf(sum[i], -d->beta);
}

static void cvni_lrn_part(void *context, int begin, int end, int worker)
{
    const cvni_axis_job *j = (const cvni_axis_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        float sum[CVNI_NORM_BLOCK], power[CVNI_NORM_BLOCK];
        int n;
        const ptrdiff_t at = cvni_axis_task(j, t, &n);
        for (int c = 0; c < j->length; c++) {
            const float *x = j->x + at + (ptrdiff_t)c * j->inner;
            float *y = j->l->y + at + (ptrdiff_t)c * j->inner;
            cvni_lrn_powers(j, n, c, j->x + at, sum, power);
            for (int i = 0; i < n; i++) y[i] = x[i] * power[i];
        }
    }
}

/* dx of n neighbours in all channels from D^-beta and dy x D^(-beta - 1), both [C, block]. */
CVNI_HOT
static void cvni_lrn_back_block(const cvni_axis_job *j, int n, ptrdiff_t at, const float *power,
                                const float *ratio)
{
    const cvn_lrn_desc *d = (const cvn_lrn_desc *)j->l->desc;
    const float factor = 2 * d->alpha * d->beta / (float)d->size;
    for (int c = 0; c < j->length; c++) {
        const ptrdiff_t line = at + (ptrdiff_t)c * j->inner;
        const int first = cvni_max(c - (d->size - 1) / 2, 0);
        const int last = c < j->length - (int64_t)(d->size / 2) ? c + d->size / 2 : j->length - 1;
        const float *p = power + (ptrdiff_t)c * CVNI_NORM_BLOCK;
        float sum[CVNI_NORM_BLOCK] = { 0 };
        for (int k = first; k <= last; k++) {
            const float *r = ratio + (ptrdiff_t)k * CVNI_NORM_BLOCK;
            for (int i = 0; i < n; i++) sum[i] += r[i];
        }
        for (int i = 0; i < n; i++) {
            const float g = j->l->dy[line + i] * p[i] - factor * j->x[line + i] * sum[i];
            j->dx[line + i] = j->add ? j->dx[line + i] + g : g;
        }
    }
}

static void cvni_lrn_back_part(void *context, int begin, int end, int worker)
{
    const cvni_axis_job *j = (const cvni_axis_job *)context;
    float *power = (float *)cvni_scratch(j->net, worker);
    float *ratio = power + (ptrdiff_t)j->length * CVNI_NORM_BLOCK;
    for (int t = begin; t < end; t++) {
        float sum[CVNI_NORM_BLOCK];
        int n;
        const ptrdiff_t at = cvni_axis_task(j, t, &n);
        for (int c = 0; c < j->length; c++) {
            const ptrdiff_t line = at + (ptrdiff_t)c * j->inner;
            float *p = power + (ptrdiff_t)c * CVNI_NORM_BLOCK;
            float *r = ratio + (ptrdiff_t)c * CVNI_NORM_BLOCK;
            cvni_lrn_powers(j, n, c, j->x + at, sum, p);
            for (int i = 0; i < n; i++) r[i] = j->l->dy[line + i] * j->x[line + i] * p[i] / sum[i];
        }
        cvni_lrn_back_block(j, n, at, power, ratio);
    }
}

static double cvni_lrn_cost(const cvni_layer *l)
{
    const int size = cvni_min(((const cvn_lrn_desc *)l->desc)->size, l->shape.dim[1]);
    return (double)cvni_elements(l->shape) * (2.0 * size + 20.0);
}

static cvn_result cvni_lrn_forward(cvn_net *net, cvni_layer *l)
{
    cvni_axis_job j = cvni_start_axis(net, l, 1);
    cvni_parallel_for(net, j.outer * j.blocks, cvni_lrn_cost(l), cvni_lrn_part, &j);
    return CVN_OK;
}

static void cvni_lrn_backward(cvn_net *net, cvni_layer *l)
{
    cvni_axis_job j = cvni_start_axis(net, l, 1);
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx)
        cvni_parallel_for(net, j.outer * j.blocks, 2 * cvni_lrn_cost(l), cvni_lrn_back_part, &j);
}

/* dx may lie where dy lay: a block's dy has gone into `ratio` before, and each is read once more
 * before dx takes its place. */
static const cvni_op cvni_op_lrn = { "lrn",            "lrn",
                                     "LRN",            CVNI_USES_X | CVNI_INPLACE_GRAD,
                                     cvni_lrn_shape,   NULL,
                                     cvni_lrn_forward, cvni_lrn_backward };

cvn_lrn_desc cvn_lrn_defaults(void)
{
    cvn_lrn_desc d;
    memset(&d, 0, sizeof d);
    d.alpha = 1e-4f;
    d.beta = 0.75f;
    d.k = 1;
    return d;
}

cvn_node cvn_lrn_ex(cvn_net *net, cvn_node x, const cvn_lrn_desc *desc)
{
    cvn_lrn_desc d = desc ? *desc : cvn_lrn_defaults();
    if (d.alpha == 0) d.alpha = 1e-4f;
    if (d.beta == 0) d.beta = 0.75f;
    if (d.k == 0) d.k = 1;
    return cvni_add_layer(net, &cvni_op_lrn, &x, 1, &d, sizeof d);
}

cvn_node cvn_lrn(cvn_net *net, cvn_node x, int size)
{
    cvn_lrn_desc d = cvn_lrn_defaults();
    d.size = size;
    return cvn_lrn_ex(net, x, &d);
}

CVNI_COLD_END

/* ================================================================================================
 * >>act   elementwise activations
 * ==============================================================================================
 *   Where backward needs the output alone, an activation may overwrite its input; where it needs
 *   the input (CVNI_USES_X) only a net for prediction does so. The gradient lies where dy lay.
 *   From y:
 *     relu, leaky relu   dx = dy (y > 0), else slope*dy (slope >= 0: y and x have the same sign)
 *     relu6              dx = dy (0 < y < 6)
 *     elu                dx = dy (y > 0), else dy*(y + alpha)
 *     selu               dx = dy*s (y > 0), else dy*(y + s*alpha)
 *     celu               dx = dy (y > 0), else dy*(y/alpha + 1)
 *     sigmoid            dx = dy y (1 - y)
 *     tanh               dx = dy (1 - y^2)
 *   From x; s(x) = 1/(1 + exp(-x)), P and p the standard normal distribution and its density:
 *     gelu               dx = dy (P(x) + x p(x))
 *     gelu_tanh          dx = dy (s(v) + x s(v) s(-v) v'), v = 2 sqrt(2/pi) (x + 0.044715 x^3)
 *     silu               dx = dy (s(x) + x s(x) s(-x))
 *     mish               dx = dy (t + x (1 - t^2) s(x)), t = tanh(log(1 + exp(x)))
 *     hardswish          dx = dy (x >= 3), else dy (x/3 + 1/2) (x > -3)
 *     hardsigmoid        dx = dy/6 (-3 < x < 3)
 *     softplus           dx = dy s(beta x)
 *     softsign           dx = dy/(1 + |x|)^2
 *     binary_step        dx = dy (|x| <= 1)
 *     prelu              dx = dy (x > 0), else w[c]*dy; dw[c] = sum of dy*x over x <= 0
 *   No exponential overflows to NaN, and none is multiplied by an infinite x: behind the point
 *   where float32 rounds to the asymptote, the asymptote stands.
 *                                          tested: tests/test_layers.c, tests/test_act.c */

#define CVNI_CHUNK 8192         /* elements of a task */
#define CVNI_SELU_SCALE 1.0507009873554804935f          /* arXiv:1706.02515 */
#define CVNI_SELU_ALPHA 1.6732632423543772848f

/* One row an activation; p its parameters. Either n elements at a time, or one at a time by value
 * and slope. Backward is given v: the input's values when its op has CVNI_USES_X, else the own
 * ones. */
typedef struct cvni_act {
    int cost;                   /* operations an element */
    void (*forward)(const cvni_kernels *kern, int n, const float *p, const float *x, float *y);
    void (*backward)(const cvni_kernels *kern, int n, const float *p, const float *v,
                     const float *dy, float *dx, int add);
    float (*value)(float x, const float *p);
    float (*slope)(float v, const float *p);            /* dy/dx */
} cvni_act;

typedef struct cvni_act_desc {
    const cvni_act *act;        /* NULL: the user's pair */
    float p[2];
    cvn_activation_forward forward;
    cvn_activation_backward backward;
    void *user;
} cvni_act_desc;

static void cvni_relu_forward(const cvni_kernels *kern, int n, const float *p, const float *x,
                              float *y)
{
    kern->relu(n, p[0], x, y);
}

static void cvni_relu_backward(const cvni_kernels *kern, int n, const float *p, const float *y,
                               const float *dy, float *dx, int add)
{
    kern->relu_grad(n, p[0], y, dy, dx, add);
}

CVNI_HOT
static void cvni_relu6_forward(const cvni_kernels *kern, int n, const float *p, const float *x,
                               float *y)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) y[i] = x[i] < 0 ? 0 : x[i] > 6 ? 6 : x[i];
}

CVNI_HOT
static void cvni_relu6_backward(const cvni_kernels *kern, int n, const float *p, const float *y,
                                const float *dy, float *dx, int add)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) {
        const float g = y[i] > 0 && y[i] < 6 ? dy[i] : 0;
        dx[i] = add ? dx[i] + g : g;
    }
}

static void cvni_elu_forward(const cvni_kernels *kern, int n, const float *p, const float *x,
                             float *y)
{
    (void)kern;
    for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : p[0] * expm1f(x[i]);
}

static void cvni_elu_backward(const cvni_kernels *kern, int n, const float *p, const float *y,
                              const float *dy, float *dx, int add)
{
    (void)kern;
    for (int i = 0; i < n; i++) {
        const float g = y[i] > 0 ? dy[i] : dy[i] * (y[i] + p[0]);
        dx[i] = add ? dx[i] + g : g;
    }
}

static float cvni_selu(float x, const float *p)
{
    (void)p;
    return x > 0 ? CVNI_SELU_SCALE * x : CVNI_SELU_SCALE * CVNI_SELU_ALPHA * expm1f(x);
}

static float cvni_selu_slope(float y, const float *p)
{
    (void)p;
    return y > 0 ? CVNI_SELU_SCALE : y + CVNI_SELU_SCALE * CVNI_SELU_ALPHA;
}

static float cvni_celu(float x, const float *p) { return x > 0 ? x : p[0] * expm1f(x / p[0]); }
static float cvni_celu_slope(float y, const float *p) { return y > 0 ? 1 : y / p[0] + 1; }

static float cvni_sigmoid(float x) { return 1 / (1 + expf(-x)); }

static void cvni_sigmoid_forward(const cvni_kernels *kern, int n, const float *p, const float *x,
                                 float *y)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) y[i] = cvni_sigmoid(x[i]);
}

static void cvni_sigmoid_backward(const cvni_kernels *kern, int n, const float *p, const float *y,
                                  const float *dy, float *dx, int add)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) {
        const float g = dy[i] * y[i] * (1 - y[i]);
        dx[i] = add ? dx[i] + g : g;
    }
}

static void cvni_tanh_forward(const cvni_kernels *kern, int n, const float *p, const float *x,
                              float *y)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) y[i] = tanhf(x[i]);
}

static void cvni_tanh_backward(const cvni_kernels *kern, int n, const float *p, const float *y,
                               const float *dy, float *dx, int add)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) {
        const float g = dy[i] * (1 - y[i] * y[i]);
        dx[i] = add ? dx[i] + g : g;
    }
}

/* s(v), and s(-v) = 1 - s(v) without its cancellation. */
static float cvni_logistic(float v, float *other)
{
    const float e = expf(-fabsf(v));
    const float large = 1 / (1 + e);
    const float small = e / (1 + e);
    *other = v < 0 ? large : small;
    return v < 0 ? small : large;
}

/* 0.5 erfc(-x/sqrt(2)) is P(x), and keeps its digits for negative x where 1 + erf would not. */
static float cvni_gelu(float x, const float *p)
{
    (void)p;
    return x < -15 ? 0 : x * 0.5f * erfcf(x * -0.70710678118654752f);
}

static float cvni_gelu_slope(float x, const float *p)
{
    (void)p;
    if (x < -15 || x > 15) return x > 0 ? 1.0f : 0.0f;
    return 0.5f * erfcf(x * -0.70710678118654752f) +
           x * 0.39894228040143268f * expf(-0.5f * x * x);
}

/* 0.5 x (1 + tanh(v/2)) = x s(v) */
static float cvni_gelu_tanh(float x, const float *p)
{
    (void)p;
    return x < -12 ? 0 : x * cvni_sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
}

static float cvni_gelu_tanh_slope(float x, const float *p)
{
    const float dv = 1.5957691216057308f * (1 + 3 * 0.044715f * x * x);
    float s, other;
    (void)p;
    if (x < -12 || x > 12) return x > 0 ? 1.0f : 0.0f;
    s = cvni_logistic(1.5957691216057308f * (x + 0.044715f * x * x * x), &other);
    return s + x * s * other * dv;
}

static float cvni_silu(float x, const float *p)
{
    (void)p;
    return x < -110 ? 0 : x * cvni_sigmoid(x);
}

static float cvni_silu_slope(float x, const float *p)
{
    float s, other;
    (void)p;
    if (x < -110 || x > 110) return x > 0 ? 1.0f : 0.0f;
    s = cvni_logistic(x, &other);
    return s + x * s * other;
}

/* tanh(log(1 + e^x)) and 1 minus it, with e = exp(-|x|): (1 + 2e)/(1 + 2e + 2e^2) for x > 0, else
 * e(e + 2)/(e(e + 2) + 2). */
static float cvni_mish_factor(float x, float *other)
{
    const float e = expf(-fabsf(x));
    const float top = x > 0 ? 1 + 2 * e : e * (e + 2);
    const float rest = x > 0 ? 2 * e * e : 2;
    *other = rest / (top + rest);
    return top / (top + rest);
}

static float cvni_mish(float x, const float *p)
{
    float other;
    (void)p;
    return x < -110 ? 0 : x * cvni_mish_factor(x, &other);
}

static float cvni_mish_slope(float x, const float *p)
{
    float t, other;
    (void)p;
    if (x < -110 || x > 110) return x > 0 ? 1.0f : 0.0f;
    t = cvni_mish_factor(x, &other);
    return t + x * other * (1 + t) * cvni_sigmoid(x);
}

CVNI_HOT
static void cvni_hardswish_forward(const cvni_kernels *kern, int n, const float *p, const float *x,
                                   float *y)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) {
        const float v = x[i] * (x[i] + 3) * (1.0f / 6);
        y[i] = x[i] <= -3 ? 0 : x[i] >= 3 ? x[i] : v;
    }
}

CVNI_HOT
static void cvni_hardswish_backward(const cvni_kernels *kern, int n, const float *p,
                                    const float *x, const float *dy, float *dx, int add)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) {
        const float slope = x[i] <= -3 ? 0 : x[i] >= 3 ? 1 : x[i] * (1.0f / 3) + 0.5f;
        const float g = dy[i] * slope;
        dx[i] = add ? dx[i] + g : g;
    }
}

CVNI_HOT
static void cvni_hardsigmoid_forward(const cvni_kernels *kern, int n, const float *p,
                                     const float *x, float *y)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) {
        const float v = (x[i] + 3) * (1.0f / 6);
        y[i] = x[i] <= -3 ? 0 : x[i] >= 3 ? 1 : v;
    }
}

CVNI_HOT
static void cvni_hardsigmoid_backward(const cvni_kernels *kern, int n, const float *p,
                                      const float *x, const float *dy, float *dx, int add)
{
    (void)kern;
    (void)p;
    for (int i = 0; i < n; i++) {
        const float g = x[i] > -3 && x[i] < 3 ? dy[i] * (1.0f / 6) : 0;
        dx[i] = add ? dx[i] + g : g;
    }
}

/* p: beta, threshold */
static float cvni_softplus(float x, const float *p)
{
    const float v = x * p[0];
    if (v > p[1]) return x;
    return ((v > 0 ? v : 0) + log1pf(expf(-fabsf(v)))) / p[0];
}

static float cvni_softplus_slope(float x, const float *p)
{
    return x * p[0] > p[1] ? 1 : cvni_sigmoid(x * p[0]);
}

static float cvni_softsign(float x, const float *p)
{
    const float a = fabsf(x);
    (void)p;
    return a > 1 ? copysignf(1 / (1 / a + 1), x) : x / (1 + a);
}

static float cvni_softsign_slope(float x, const float *p)
{
    const float r = 1 / (1 + fabsf(x));
    (void)p;
    return r * r;
}

static float cvni_binary_step(float x, const float *p)
{
    (void)p;
    return x >= 0 ? 1 : x < 0 ? 0 : x;
}

static float cvni_binary_step_slope(float x, const float *p)
{
    (void)p;
    return fabsf(x) <= 1 ? 1.0f : 0.0f;
}

static const cvni_act cvni_act_relu = { 1, cvni_relu_forward, cvni_relu_backward, NULL, NULL };
static const cvni_act cvni_act_relu6 = { 1, cvni_relu6_forward, cvni_relu6_backward, NULL, NULL };
static const cvni_act cvni_act_elu = { 20, cvni_elu_forward, cvni_elu_backward, NULL, NULL };
static const cvni_act cvni_act_selu = { 20, NULL, NULL, cvni_selu, cvni_selu_slope };
static const cvni_act cvni_act_celu = { 20, NULL, NULL, cvni_celu, cvni_celu_slope };
static const cvni_act cvni_act_sigmoid = { 20, cvni_sigmoid_forward, cvni_sigmoid_backward, NULL,
                                           NULL };
static const cvni_act cvni_act_tanh = { 20, cvni_tanh_forward, cvni_tanh_backward, NULL, NULL };
static const cvni_act cvni_act_gelu = { 40, NULL, NULL, cvni_gelu, cvni_gelu_slope };
static const cvni_act cvni_act_gelu_tanh = { 25, NULL, NULL, cvni_gelu_tanh, cvni_gelu_tanh_slope };
static const cvni_act cvni_act_silu = { 20, NULL, NULL, cvni_silu, cvni_silu_slope };
static const cvni_act cvni_act_mish = { 25, NULL, NULL, cvni_mish, cvni_mish_slope };
static const cvni_act cvni_act_hardswish = { 2, cvni_hardswish_forward, cvni_hardswish_backward,
                                             NULL, NULL };
static const cvni_act cvni_act_hardsigmoid = { 2, cvni_hardsigmoid_forward,
                                               cvni_hardsigmoid_backward, NULL, NULL };
static const cvni_act cvni_act_softplus = { 40, NULL, NULL, cvni_softplus, cvni_softplus_slope };
static const cvni_act cvni_act_softsign = { 8, NULL, NULL, cvni_softsign, cvni_softsign_slope };
static const cvni_act cvni_act_binary_step = { 4, NULL, NULL, cvni_binary_step,
                                               cvni_binary_step_slope };

static cvn_result cvni_act_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_act_desc *d = (const cvni_act_desc *)l->desc;
    if (!(d->p[0] >= 0) || !cvni_is_finite((double)d->p[0]))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "a slope or alpha of %g; 0 or more is needed", (double)d->p[0]);
    l->shape = cvni_in(net, l, 0)->shape;
    return CVN_OK;
}

/* celu divides by alpha, softplus by beta: p[0]. */
static cvn_result cvni_act_shape_positive(cvn_net *net, cvni_layer *l)
{
    const cvni_act_desc *d = (const cvni_act_desc *)l->desc;
    if (!(d->p[0] > 0) || !cvni_is_finite((double)d->p[0]) || d->p[1] != d->p[1])
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "alpha or beta %g, threshold %g; the first must be above 0, the "
                               "second a number",
                               (double)d->p[0], (double)d->p[1]);
    l->shape = cvni_in(net, l, 0)->shape;
    return CVN_OK;
}

static cvn_result cvni_act_shape_user(cvn_net *net, cvni_layer *l)
{
    const cvni_act_desc *d = (const cvni_act_desc *)l->desc;
    if (!d->forward || !d->backward)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "no %s function; both of the pair are needed",
                               d->forward ? "backward" : "forward");
    l->shape = cvni_in(net, l, 0)->shape;
    l->scratch_bytes = CVNI_CHUNK * sizeof(float);
    return CVN_OK;
}

typedef struct cvni_act_job {
    cvn_net *net;
    const cvni_act_desc *d;
    const float *x, *y, *dy;            /* dy NULL: forward */
    const float *v;                     /* x or y, whichever the op uses in backward */
    float *out;
    size_t count;
    int add;
} cvni_act_job;

static void cvni_act_chunk(const cvni_act_job *j, size_t at, int n)
{
    const cvni_act *act = j->d->act;
    const float *x = j->x + at;
    float *y = j->out + at;
    if (!act) j->d->forward(j->d->user, n, x, y);
    else if (act->forward) act->forward(j->net->k, n, j->d->p, x, y);
    else for (int i = 0; i < n; i++) y[i] = act->value(x[i], j->d->p);
}

static void cvni_act_back_chunk(const cvni_act_job *j, size_t at, int n, int worker)
{
    const cvni_act *act = j->d->act;
    const float *dy = j->dy + at;
    float *dx = j->out + at;
    if (!act) {
        float *to = j->add ? (float *)cvni_scratch(j->net, worker) : dx;
        j->d->backward(j->d->user, n, j->x + at, j->y + at, dy, to);
        if (j->add) j->net->k->add(n, dx, to, dx);
    } else if (act->backward) {
        act->backward(j->net->k, n, j->d->p, j->v + at, dy, dx, j->add);
    } else {
        for (int i = 0; i < n; i++) {
            const float g = dy[i] * act->slope(j->v[at + (size_t)i], j->d->p);
            dx[i] = j->add ? dx[i] + g : g;
        }
    }
}

static void cvni_act_part(void *context, int begin, int end, int worker)
{
    const cvni_act_job *j = (const cvni_act_job *)context;
    for (int t = begin; t < end; t++) {
        const size_t at = (size_t)t * CVNI_CHUNK;
        const int n = (int)(j->count - at < CVNI_CHUNK ? j->count - at : CVNI_CHUNK);
        if (j->dy) cvni_act_back_chunk(j, at, n, worker);
        else cvni_act_chunk(j, at, n);
    }
}

static int cvni_chunks(size_t count) { return (int)((count + CVNI_CHUNK - 1) / CVNI_CHUNK); }

static cvni_act_job cvni_act_job_of(cvn_net *net, cvni_layer *l)
{
    cvni_act_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.d = (const cvni_act_desc *)l->desc;
    j.x = cvni_in(net, l, 0)->y;
    j.y = l->y;
    j.v = l->op->flags & CVNI_USES_X ? j.x : j.y;
    j.count = cvni_elements(l->shape);
    return j;
}

static double cvni_act_cost(const cvni_act_job *j)
{
    return (double)j->count * (j->d->act ? j->d->act->cost : 20);
}

static cvn_result cvni_act_forward(cvn_net *net, cvni_layer *l)
{
    cvni_act_job j = cvni_act_job_of(net, l);
    j.out = l->y;
    cvni_parallel_for(net, cvni_chunks(j.count), cvni_act_cost(&j), cvni_act_part, &j);
    return CVN_OK;
}

static void cvni_act_backward(cvn_net *net, cvni_layer *l)
{
    cvni_act_job j = cvni_act_job_of(net, l);
    j.dy = l->dy;
    j.out = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.out)
        cvni_parallel_for(net, cvni_chunks(j.count),
                          !j.d->act || j.d->act->slope ? cvni_act_cost(&j) : 2.0 * (double)j.count,
                          cvni_act_part, &j);
}

enum {
    CVNI_ACT_FLAGS = CVNI_USES_Y | CVNI_INPLACE | CVNI_INPLACE_GRAD,
    CVNI_ACT_X_FLAGS = CVNI_USES_X | CVNI_INPLACE | CVNI_INPLACE_GRAD,
    CVNI_ACT_USER_FLAGS = CVNI_USES_X | CVNI_USES_Y     /* the user's arrays never overlap */
};

static const cvni_op cvni_op_relu = { "relu",         "relu", "Relu",           CVNI_ACT_FLAGS,
                                      cvni_act_shape, NULL,   cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_leaky_relu = { "leaky_relu",     "leaky_relu",     "LeakyRelu",
                                            CVNI_ACT_FLAGS,   cvni_act_shape,   NULL,
                                            cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_elu = {
    "elu", "elu", "Elu", CVNI_ACT_FLAGS, cvni_act_shape, NULL, cvni_act_forward, cvni_act_backward
};
static const cvni_op cvni_op_sigmoid = { "sigmoid",        "sigmoid",        "Sigmoid",
                                         CVNI_ACT_FLAGS,   cvni_act_shape,   NULL,
                                         cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_tanh = { "tanh",         "tanh", "Tanh",           CVNI_ACT_FLAGS,
                                      cvni_act_shape, NULL,   cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_relu6 = { "relu6", "relu6_", "Clip", CVNI_ACT_FLAGS,
                                       cvni_act_shape, NULL,
                                       cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_selu = { "selu", "selu", "Selu", CVNI_ACT_FLAGS,
                                      cvni_act_shape, NULL,
                                      cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_celu = { "celu", "celu", "Celu", CVNI_ACT_FLAGS,
                                      cvni_act_shape_positive, NULL,
                                      cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_hardsigmoid = { "hardsigmoid", "hardsigmoid", "HardSigmoid",
                                             CVNI_ACT_X_FLAGS,
                                             cvni_act_shape, NULL,
                                             cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_gelu = { "gelu", "gelu", "Gelu", CVNI_ACT_X_FLAGS,
                                      cvni_act_shape, NULL,
                                      cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_gelu_tanh = { "gelu_tanh", "gelu", "Gelu", CVNI_ACT_X_FLAGS,
                                           cvni_act_shape, NULL,
                                           cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_silu = { "silu", "silu", "Swish", CVNI_ACT_X_FLAGS,
                                      cvni_act_shape, NULL,
                                      cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_mish = { "mish", "mish", "Mish", CVNI_ACT_X_FLAGS,
                                      cvni_act_shape, NULL,
                                      cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_hardswish = { "hardswish", "hardswish", "HardSwish", CVNI_ACT_X_FLAGS,
                                           cvni_act_shape, NULL,
                                           cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_softplus = { "softplus", "softplus", "Softplus", CVNI_ACT_X_FLAGS,
                                          cvni_act_shape_positive, NULL,
                                          cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_softsign = { "softsign", "softsign", "Softsign", CVNI_ACT_X_FLAGS,
                                          cvni_act_shape, NULL,
                                          cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_binary_step = { "binary_step", "binary_step", NULL, CVNI_ACT_X_FLAGS,
                                             cvni_act_shape, NULL,
                                             cvni_act_forward, cvni_act_backward };
static const cvni_op cvni_op_activation = { "activation", "activation", NULL, CVNI_ACT_USER_FLAGS,
                                            cvni_act_shape_user, NULL,
                                            cvni_act_forward, cvni_act_backward };

static int cvni_is_relu(const cvni_layer *l)
{
    return l->op == &cvni_op_relu || l->op == &cvni_op_leaky_relu;
}
static float cvni_relu_slope(const cvni_layer *l)
{
    return ((const cvni_act_desc *)l->desc)->p[0];
}

static cvn_node cvni_add_act2(cvn_net *net, const cvni_op *op, cvn_node x, const cvni_act *act,
                              float p, float q)
{
    cvni_act_desc d;
    memset(&d, 0, sizeof d);
    d.act = act;
    d.p[0] = p;
    d.p[1] = q;
    return cvni_add_layer(net, op, &x, 1, &d, sizeof d);
}

static cvn_node cvni_add_act(cvn_net *net, const cvni_op *op, cvn_node x, const cvni_act *act,
                             float p)
{
    return cvni_add_act2(net, op, x, act, p, 0);
}

cvn_node cvn_relu(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_relu, x, &cvni_act_relu, 0);
}
cvn_node cvn_relu6(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_relu6, x, &cvni_act_relu6, 0);
}
cvn_node cvn_elu(cvn_net *net, cvn_node x, float alpha)
{
    return cvni_add_act(net, &cvni_op_elu, x, &cvni_act_elu, alpha);
}
cvn_node cvn_sigmoid(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_sigmoid, x, &cvni_act_sigmoid, 0);
}
cvn_node cvn_tanh(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_tanh, x, &cvni_act_tanh, 0);
}

cvn_node cvn_leaky_relu(cvn_net *net, cvn_node x, float slope)
{
    return cvni_add_act(net, &cvni_op_leaky_relu, x, &cvni_act_relu, slope);
}

cvn_node cvn_selu(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_selu, x, &cvni_act_selu, 0);
}

cvn_node cvn_gelu(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_gelu, x, &cvni_act_gelu, 0);
}

cvn_node cvn_gelu_tanh(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_gelu_tanh, x, &cvni_act_gelu_tanh, 0);
}

cvn_node cvn_silu(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_silu, x, &cvni_act_silu, 0);
}

cvn_node cvn_mish(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_mish, x, &cvni_act_mish, 0);
}

cvn_node cvn_hardswish(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_hardswish, x, &cvni_act_hardswish, 0);
}

cvn_node cvn_hardsigmoid(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_hardsigmoid, x, &cvni_act_hardsigmoid, 0);
}

cvn_node cvn_softsign(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_softsign, x, &cvni_act_softsign, 0);
}

cvn_node cvn_binary_step(cvn_net *net, cvn_node x)
{
    return cvni_add_act(net, &cvni_op_binary_step, x, &cvni_act_binary_step, 0);
}

cvn_node cvn_celu(cvn_net *net, cvn_node x, float alpha)
{
    return cvni_add_act(net, &cvni_op_celu, x, &cvni_act_celu, alpha);
}

cvn_node cvn_softplus(cvn_net *net, cvn_node x, float beta, float threshold)
{
    return cvni_add_act2(net, &cvni_op_softplus, x, &cvni_act_softplus, beta == 0 ? 1 : beta,
                         threshold == 0 ? 20 : threshold);
}

cvn_node cvn_activation(cvn_net *net, cvn_node x, cvn_activation_forward forward,
                        cvn_activation_backward backward, void *user)
{
    cvni_act_desc d;
    memset(&d, 0, sizeof d);
    d.forward = forward;
    d.backward = backward;
    d.user = user;
    return cvni_add_layer(net, &cvni_op_activation, &x, 1, &d, sizeof d);
}

/* prelu has parameters, and sums over each channel: tasks are channels. Work of backward: dw of
 * each channel [C]. */

typedef struct cvni_prelu_desc { int parameters; } cvni_prelu_desc;

static int cvni_prelu_channels(cvn_shape s) { return s.rank > 1 ? s.dim[1] : 1; }

static cvn_result cvni_prelu_shape(cvn_net *net, cvni_layer *l)
{
    const int count = ((const cvni_prelu_desc *)l->desc)->parameters;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvn_init none = { CVN_INIT_DEFAULT, 0, 0 };
    const int channels = cvni_prelu_channels(x);
    char text[96];
    if (count != 1 && count != channels)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "%d parameters for an input %s; 1 or the channels, %d, are needed",
                               count, cvni_shape_text(x, text), channels);
    l->shape = x;
    l->work_backward_bytes = cvni_mul_size((size_t)channels, sizeof(double));
    return cvni_add_param(net, l, 0, "weight", cvni_shape(1, count, 0, 0, 0), CVNI_WEIGHT,
                          cvni_init_or(none, CVN_INIT_CONSTANT, 0.25f), 1, 1);
}

typedef struct cvni_prelu_job {
    cvn_net *net;
    cvni_layer *l;
    const float *w;
    int N, C, S, step;          /* S values of a channel of a sample; w[c*step] */
    float *dx;
    int add;
} cvni_prelu_job;

static void cvni_prelu_part(void *context, int begin, int end, int worker)
{
    const cvni_prelu_job *j = (const cvni_prelu_job *)context;
    const float *x = cvni_in(j->net, j->l, 0)->y;
    (void)worker;
    for (int c = begin; c < end; c++)
        for (int n = 0; n < j->N; n++) {
            const ptrdiff_t at = ((ptrdiff_t)n * j->C + c) * j->S;
            j->net->k->relu(j->S, j->w[c * j->step], x + at, j->l->y + at);
        }
}

static void cvni_prelu_back_part(void *context, int begin, int end, int worker)
{
    const cvni_prelu_job *j = (const cvni_prelu_job *)context;
    double *dw = (double *)j->l->work_backward;
    (void)worker;
    for (int c = begin; c < end; c++) {
        const float w = j->w[c * j->step];
        double sum = 0;
        for (int n = 0; n < j->N; n++) {
            const ptrdiff_t at = ((ptrdiff_t)n * j->C + c) * j->S;
            const float *x = cvni_in(j->net, j->l, 0)->y + at;
            const float *dy = j->l->dy + at;
            float *dx = j->dx ? j->dx + at : NULL;
            for (int i = 0; i < j->S; i++) {            /* dx may be dy */
                const float g = x[i] > 0 ? dy[i] : w * dy[i];
                if (!(x[i] > 0)) sum += (double)dy[i] * (double)x[i];
                if (dx) dx[i] = j->add ? dx[i] + g : g;
            }
        }
        dw[c] = sum;
    }
}

static void cvni_prelu_run(cvn_net *net, cvni_layer *l, int backward)
{
    float *dw = backward ? cvni_weights_grad(net, l, 0) : NULL;
    cvni_prelu_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.w = cvni_weights(net, l, 0);
    j.N = l->shape.dim[0];
    j.C = cvni_prelu_channels(l->shape);
    j.S = (int)(cvni_sample_elements(l->shape) / (size_t)j.C);
    j.step = ((const cvni_prelu_desc *)l->desc)->parameters > 1;
    if (backward) j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    cvni_parallel_for(net, j.C, 2.0 * (double)cvni_elements(l->shape),
                      backward ? cvni_prelu_back_part : cvni_prelu_part, &j);
    if (!dw) return;
    if (j.step) {
        for (int c = 0; c < j.C; c++) dw[c] += (float)((double *)l->work_backward)[c];
    } else {
        double sum = 0;
        for (int c = 0; c < j.C; c++) sum += ((double *)l->work_backward)[c];
        dw[0] += (float)sum;
    }
}

static cvn_result cvni_prelu_forward(cvn_net *net, cvni_layer *l)
{
    cvni_prelu_run(net, l, 0);
    return CVN_OK;
}

static void cvni_prelu_backward(cvn_net *net, cvni_layer *l) { cvni_prelu_run(net, l, 1); }

static const cvni_op cvni_op_prelu = { "prelu",
                                       "prelu",
                                       "PRelu",
                                       CVNI_ACT_X_FLAGS,
                                       cvni_prelu_shape,
                                       NULL,
                                       cvni_prelu_forward,
                                       cvni_prelu_backward };

cvn_node cvn_prelu(cvn_net *net, cvn_node x, int parameters)
{
    cvni_prelu_desc d;
    d.parameters = parameters ? parameters : 1;
    return cvni_add_layer(net, &cvni_op_prelu, &x, 1, &d, sizeof d);
}

/* ================================================================================================
 * >>softmax   y = exp(x - max x) / sum of it, along one axis; and the logarithm of that
 * ==============================================================================================
 *   backward  softmax       dx = y (dy - sum dy y)                   tested: tests/test_layers.c
 *             log softmax   dx = dy - exp(y) sum dy                  tested: tests/test_act.c */

typedef struct cvni_softmax_desc { int axis, log; } cvni_softmax_desc;

/* The axis of the classes: 1, but the last one of a sequence [N, T, C]. */
static int cvni_class_axis(cvn_shape s) { return s.rank == 3 ? 2 : 1; }

static cvn_result cvni_softmax_shape(cvn_net *net, cvni_layer *l)
{
    cvni_softmax_desc *d = (cvni_softmax_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    if (!d->axis) d->axis = cvni_class_axis(x);
    if (d->axis < 1 || d->axis >= x.rank)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "axis %d; an input of rank %d has 1 to %d", d->axis, x.rank,
                               x.rank - 1);
    l->shape = x;
    return CVN_OK;
}

/* n numbers `step` apart: y = softmax(x), may be the same place. Returns log of the sum of exp(x -
 * max), plus max. */
static float cvni_softmax_line(int n, ptrdiff_t step, const float *x, float *y)
{
    float top = x[0];
    double sum = 0;
    for (int i = 1; i < n; i++) if (x[i * step] > top) top = x[i * step];
    for (int i = 0; i < n; i++) {
        y[i * step] = expf(x[i * step] - top);
        sum += (double)y[i * step];
    }
    for (int i = 0; i < n; i++) y[i * step] *= (float)(1 / sum);
    return top + (float)log(sum);
}

/* The same of y = log(softmax(x)); no exponential is above 1. */
static void cvni_log_softmax_line(int n, ptrdiff_t step, const float *x, float *y)
{
    float top = x[0];
    double sum = 0;
    float rest;
    for (int i = 1; i < n; i++) if (x[i * step] > top) top = x[i * step];
    for (int i = 0; i < n; i++) sum += (double)expf(x[i * step] - top);
    rest = (float)log(sum);
    for (int i = 0; i < n; i++) y[i * step] = x[i * step] - top - rest;
}

typedef struct cvni_softmax_job {
    cvn_net *net;
    cvni_layer *l;
    int log;
    int outer, length, inner;
    float *dx;
    int add;
} cvni_softmax_job;

static void cvni_softmax_part(void *context, int begin, int end, int worker)
{
    const cvni_softmax_job *j = (const cvni_softmax_job *)context;
    const float *x = cvni_in(j->net, j->l, 0)->y;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const ptrdiff_t at = (ptrdiff_t)(t / j->inner) * j->length * j->inner + t % j->inner;
        if (j->log) cvni_log_softmax_line(j->length, j->inner, x + at, j->l->y + at);
        else cvni_softmax_line(j->length, j->inner, x + at, j->l->y + at);
    }
}

static void cvni_softmax_back_part(void *context, int begin, int end, int worker)
{
    const cvni_softmax_job *j = (const cvni_softmax_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const ptrdiff_t at = (ptrdiff_t)(t / j->inner) * j->length * j->inner + t % j->inner;
        const float *y = j->l->y + at;
        const float *dy = j->l->dy + at;
        float *dx = j->dx + at;
        double sum = 0;
        for (int i = 0; i < j->length; i++)
            sum += (double)dy[i * j->inner] * (j->log ? 1.0 : (double)y[i * j->inner]);
        for (int i = 0; i < j->length; i++) {
            const float v = y[i * j->inner];
            const float g = j->log ? dy[i * j->inner] - expf(v) * (float)sum
                                   : v * (dy[i * j->inner] - (float)sum);
            dx[i * j->inner] = j->add ? dx[i * j->inner] + g : g;
        }
    }
}

static void cvni_softmax_run(cvn_net *net, cvni_layer *l, int backward)
{
    cvni_softmax_job j;
    j.net = net;
    j.l = l;
    j.log = ((const cvni_softmax_desc *)l->desc)->log;
    cvni_split_axis(l->shape, ((const cvni_softmax_desc *)l->desc)->axis, &j.outer, &j.length,
                    &j.inner);
    j.dx = backward ? cvni_gradient_for(cvni_in(net, l, 0), &j.add) : NULL;
    if (backward && !j.dx) return;
    cvni_parallel_for(net, j.outer * j.inner, 20.0 * (double)cvni_elements(l->shape),
                      backward ? cvni_softmax_back_part : cvni_softmax_part, &j);
}

static cvn_result cvni_softmax_forward(cvn_net *net, cvni_layer *l)
{
    cvni_softmax_run(net, l, 0);
    return CVN_OK;
}

static void cvni_softmax_backward(cvn_net *net, cvni_layer *l) { cvni_softmax_run(net, l, 1); }

static const cvni_op cvni_op_softmax = { "softmax",
                                         "softmax",
                                         "Softmax",
                                         CVNI_ACT_FLAGS,
                                         cvni_softmax_shape,
                                         NULL,
                                         cvni_softmax_forward,
                                         cvni_softmax_backward };

static const cvni_op cvni_op_log_softmax = { "log_softmax",
                                             "log_softmax",
                                             "LogSoftmax",
                                             CVNI_ACT_FLAGS,
                                             cvni_softmax_shape,
                                             NULL,
                                             cvni_softmax_forward,
                                             cvni_softmax_backward };

static cvn_node cvni_add_softmax(cvn_net *net, cvn_node x, int axis, int log)
{
    cvni_softmax_desc d;
    d.axis = axis;
    d.log = log;
    return cvni_add_layer(net, log ? &cvni_op_log_softmax : &cvni_op_softmax, &x, 1, &d, sizeof d);
}

cvn_node cvn_softmax(cvn_net *net, cvn_node x) { return cvni_add_softmax(net, x, 0, 0); }
cvn_node cvn_softmax_axis(cvn_net *net, cvn_node x, int axis)
{
    return cvni_add_softmax(net, x, axis ? axis : -1, 0);
}
cvn_node cvn_log_softmax(cvn_net *net, cvn_node x) { return cvni_add_softmax(net, x, 0, 1); }
cvn_node cvn_log_softmax_axis(cvn_net *net, cvn_node x, int axis)
{
    return cvni_add_softmax(net, x, axis ? axis : -1, 1);
}

/* ================================================================================================
 * >>gated   GLU and maxout: several slices of x make one of y
 * ==============================================================================================
 *   Both see x as [groups, k, run] and y as [groups, run]:
 *     glu      k = 2 halves a, b of an axis: y = a s(b), s(b) = 1/(1 + exp(-b))
 *              backward  da = dy s(b); db = dy a s(b) s(-b)
 *     maxout   k neighbouring channels: y = the largest of them
 *              backward  the first of the largest has dy, the others 0; NaN wins
 *   source   Y. N. Dauphin et al., arXiv:1612.08083, equation 1; I. Goodfellow et al.,
 *            arXiv:1302.4389, section 3                                tested: tests/test_act.c */

typedef struct cvni_gated_desc { int axis, k, maxout; } cvni_gated_desc;

static cvn_result cvni_glu_shape(cvn_net *net, cvni_layer *l)
{
    cvni_gated_desc *d = (cvni_gated_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    char text[96];
    if (!d->axis) d->axis = cvni_class_axis(x);
    if (d->axis < 1 || d->axis >= x.rank)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "axis %d; an input of rank %d has 1 to %d", d->axis, x.rank,
                               x.rank - 1);
    if (x.dim[d->axis] % 2)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "axis %d of the input %s cannot be halved; an even size is needed",
                               d->axis, cvni_shape_text(x, text));
    l->shape = x;
    l->shape.dim[d->axis] /= 2;
    return CVN_OK;
}

static cvn_result cvni_maxout_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_gated_desc *d = (const cvni_gated_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    char text[96];
    if (x.rank < 2) return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the input has no channels");
    if (d->k < 1 || x.dim[1] % d->k)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "groups of %d channels of the input %s; a divisor of %d is needed",
                               d->k, cvni_shape_text(x, text), x.dim[1]);
    l->shape = x;
    l->shape.dim[1] /= d->k;
    return CVN_OK;
}

typedef struct cvni_gated_job {
    cvni_layer *l, *x;
    size_t count;               /* elements of y */
    int k;
    ptrdiff_t run;
    float *dx;                  /* NULL: forward */
    int add;
} cvni_gated_job;

static void cvni_put_gradient(float *dx, float g, int add) { *dx = add ? *dx + g : g; }

/* n elements of y; x points to the first slice, the others are `run` apart. */
static void cvni_glu_span(const cvni_gated_job *j, int n, const float *x, float *y, const float *dy,
                          float *dx)
{
    for (int i = 0; i < n; i++) {
        float other;
        const float a = x[i];
        const float s = cvni_logistic(x[i + j->run], &other);
        if (!dx) {
            y[i] = a * s;
            continue;
        }
        cvni_put_gradient(&dx[i], dy[i] * s, j->add);
        cvni_put_gradient(&dx[i + j->run], dy[i] * (a * s * other), j->add);
    }
}

static void cvni_maxout_span(const cvni_gated_job *j, int n, const float *x, float *y,
                             const float *dy, float *dx)
{
    for (int i = 0; i < n; i++) {
        int best = 0;
        for (int s = 1; s < j->k; s++) {
            const float v = x[i + s * j->run];
            const float top = x[i + best * j->run];
            if (v > top || (v != v && top == top)) best = s;
        }
        if (!dx) y[i] = x[i + best * j->run];
        for (int s = 0; dx && s < j->k; s++)
            cvni_put_gradient(&dx[i + s * j->run], s == best ? dy[i] : 0, j->add);
    }
}

/* A chunk of y, span by span: a span ends where a group does. */
static void cvni_gated_part(void *context, int begin, int end, int worker)
{
    const cvni_gated_job *j = (const cvni_gated_job *)context;
    const int maxout = ((const cvni_gated_desc *)j->l->desc)->maxout;
    size_t at = (size_t)begin * CVNI_CHUNK;
    const size_t stop = (size_t)end * CVNI_CHUNK < j->count ? (size_t)end * CVNI_CHUNK : j->count;
    (void)worker;
    while (at < stop) {
        const size_t run = (size_t)j->run;
        const size_t from = at / run * run * (size_t)j->k + at % run;
        const size_t left = run - at % run;
        const int n = (int)(stop - at < left ? stop - at : left);
        float *y = j->l->y + at;
        const float *dy = j->dx ? j->l->dy + at : NULL;
        float *dx = j->dx ? j->dx + from : NULL;
        if (maxout) cvni_maxout_span(j, n, j->x->y + from, y, dy, dx);
        else cvni_glu_span(j, n, j->x->y + from, y, dy, dx);
        at += (size_t)n;
    }
}

static void cvni_gated_run(cvn_net *net, cvni_layer *l, int backward)
{
    const cvni_gated_desc *d = (const cvni_gated_desc *)l->desc;
    int outer, length, inner;
    cvni_gated_job j;
    memset(&j, 0, sizeof j);
    j.l = l;
    j.x = cvni_in(net, l, 0);
    j.k = d->k;
    j.count = cvni_elements(l->shape);
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    j.run = d->maxout ? (ptrdiff_t)inner : (ptrdiff_t)length * inner;
    if (backward && (j.dx = cvni_gradient_for(j.x, &j.add)) == NULL) return;
    cvni_parallel_for(net, cvni_chunks(j.count), (double)j.count * (d->maxout ? 2.0 * d->k : 20.0),
                      cvni_gated_part, &j);
}

static cvn_result cvni_gated_forward(cvn_net *net, cvni_layer *l)
{
    cvni_gated_run(net, l, 0);
    return CVN_OK;
}

static void cvni_gated_backward(cvn_net *net, cvni_layer *l) { cvni_gated_run(net, l, 1); }

static const cvni_op cvni_op_glu = { "glu",
                                     "glu",
                                     NULL,
                                     CVNI_USES_X,
                                     cvni_glu_shape,
                                     NULL,
                                     cvni_gated_forward,
                                     cvni_gated_backward };
static const cvni_op cvni_op_maxout = { "maxout",           "maxout",           NULL,
                                        CVNI_USES_X,        cvni_maxout_shape,  NULL,
                                        cvni_gated_forward, cvni_gated_backward };

cvn_node cvn_glu(cvn_net *net, cvn_node x, int axis)
{
    cvni_gated_desc d;
    d.axis = axis;
    d.k = 2;
    d.maxout = 0;
    return cvni_add_layer(net, &cvni_op_glu, &x, 1, &d, sizeof d);
}

cvn_node cvn_maxout(cvn_net *net, cvn_node x, int k)
{
    cvni_gated_desc d;
    d.axis = 1;
    d.k = k;
    d.maxout = 1;
    return cvni_add_layer(net, &cvni_op_maxout, &x, 1, &d, sizeof d);
}

/* ================================================================================================
 * >>dropout   y = x*mask/(1 - p), and other noise of a training pass
 * ==============================================================================================
 *   Noise is drawn from (seed, layer, forward pass, index), and drawn again in backward: it takes
 *   no memory. Prediction: y = x.
 *   dropout            a draw an element; spatial_dropout: a draw a channel [N, C]; drop_path: a
 *                      draw an entry of the first axis; dx = dy*mask/(1 - p)
 *   gaussian_noise     y = x + std*e, a normal e an element; dx = dy
 *   reparameterize     y = m + exp(v/2)*e; dm = dy, dv = dy*exp(v/2)*e/2
 *                                             tested: tests/test_layers.c, tests/test_noise.c */

typedef enum cvni_noise { CVNI_NOISE_ELEMENT, CVNI_NOISE_CHANNEL, CVNI_NOISE_SAMPLE } cvni_noise;

typedef struct cvni_dropout_desc { float p; cvni_noise shared; } cvni_dropout_desc;

static cvn_result cvni_dropout_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_dropout_desc *d = (const cvni_dropout_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    if (!(d->p >= 0) || !(d->p < 1))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "p = %g; 0 <= p < 1 is needed",
                               (double)d->p);
    if (d->shared == CVNI_NOISE_CHANNEL && x.rank < 2)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "an input of rank %d has no channels",
                               x.rank);
    l->shape = x;
    return CVN_OK;
}

typedef struct cvni_dropout_job {
    cvn_net *net;
    const cvni_layer *l;
    const float *in;
    float *out;
    size_t count, group;                /* elements; of those that share a draw */
    int add;
} cvni_dropout_job;

/* Elements that share a draw. */
static size_t cvni_dropout_group(const cvni_layer *l)
{
    const cvni_noise shared = ((const cvni_dropout_desc *)l->desc)->shared;
    const size_t sample = cvni_sample_elements(l->shape);
    if (shared == CVNI_NOISE_ELEMENT) return 1;
    return shared == CVNI_NOISE_SAMPLE ? sample : sample / (size_t)l->shape.dim[1];
}

/* The elements [begin, end) of a group. */
static void cvni_dropout_span(const cvni_dropout_job *j, size_t begin, size_t end, int dropped,
                              float scale)
{
    for (size_t i = begin; i < end; i++) {
        const float v = dropped ? 0 : j->in[i] * scale;
        j->out[i] = j->add ? j->out[i] + v : v;
    }
}

static void cvni_dropout_part(void *context, int begin, int end, int worker)
{
    const cvni_dropout_job *j = (const cvni_dropout_job *)context;
    const float p = ((const cvni_dropout_desc *)j->l->desc)->p;
    const float scale = 1 / (1 - p);
    const uint32_t id = (uint32_t)cvni_id(j->net, j->l);
    size_t at = (size_t)begin * CVNI_CHUNK;
    const size_t stop = (size_t)end * CVNI_CHUNK < j->count ? (size_t)end * CVNI_CHUNK : j->count;
    (void)worker;
    while (at < stop) {
        const size_t first = at / j->group;
        uint32_t word[4];
        cvni_random4(j->net->desc.seed, CVNI_STREAM_DROPOUT, j->net->tick, id,
                     (uint32_t)(first / 4), word);
        for (size_t g = first; at < stop && g / 4 == first / 4; g++) {
            const size_t next = (g + 1) * j->group < stop ? (g + 1) * j->group : stop;
            cvni_dropout_span(j, at, next, cvni_to_uniform(word[g % 4]) < p, scale);
            at = next;
        }
    }
}

/* out (+)= in where nothing is drawn. */
static void cvni_noise_pass(const cvn_net *net, size_t count, const float *in, float *out, int add)
{
    if (add) net->k->add((int)count, out, in, out);
    else if (in != out) memcpy(out, in, count * sizeof(float));
}

static void cvni_dropout_run(cvn_net *net, cvni_layer *l, const float *in, float *out, int add)
{
    cvni_dropout_job j;
    j.net = net;
    j.l = l;
    j.in = in;
    j.out = out;
    j.count = cvni_elements(l->shape);
    j.group = cvni_dropout_group(l);
    j.add = add;
    if (net->training)
        cvni_parallel_for(net, cvni_chunks(j.count), 20.0 * (double)j.count, cvni_dropout_part, &j);
    else cvni_noise_pass(net, j.count, in, out, add);
}

static cvn_result cvni_dropout_forward(cvn_net *net, cvni_layer *l)
{
    cvni_dropout_run(net, l, cvni_in(net, l, 0)->y, l->y, 0);
    return CVN_OK;
}

static void cvni_dropout_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (dx) cvni_dropout_run(net, l, l->dy, dx, add);
}

static const cvni_op cvni_op_dropout = { "dropout",
                                         "dropout",
                                         "Dropout",
                                         CVNI_INPLACE | CVNI_INPLACE_GRAD | CVNI_IDENTITY_EVAL,
                                         cvni_dropout_shape,
                                         NULL,
                                         cvni_dropout_forward,
                                         cvni_dropout_backward };
static const cvni_op cvni_op_spatial_dropout = {
    "spatial_dropout",    "dropout",
    "Identity",           CVNI_INPLACE | CVNI_INPLACE_GRAD | CVNI_IDENTITY_EVAL,
    cvni_dropout_shape,   NULL,
    cvni_dropout_forward, cvni_dropout_backward
};
static const cvni_op cvni_op_drop_path = {
    "drop_path",          "drop_path",
    "Identity",           CVNI_INPLACE | CVNI_INPLACE_GRAD | CVNI_IDENTITY_EVAL,
    cvni_dropout_shape,   NULL,
    cvni_dropout_forward, cvni_dropout_backward
};

static cvn_node cvni_add_dropout(cvn_net *net, const cvni_op *op, cvn_node x, float p,
                                 cvni_noise shared)
{
    cvni_dropout_desc d;
    memset(&d, 0, sizeof d);
    d.p = p;
    d.shared = shared;
    return cvni_add_layer(net, op, &x, 1, &d, sizeof d);
}

cvn_node cvn_dropout(cvn_net *net, cvn_node x, float p)
{
    return cvni_add_dropout(net, &cvni_op_dropout, x, p, CVNI_NOISE_ELEMENT);
}
cvn_node cvn_spatial_dropout(cvn_net *net, cvn_node x, float p)
{
    return cvni_add_dropout(net, &cvni_op_spatial_dropout, x, p, CVNI_NOISE_CHANNEL);
}
cvn_node cvn_drop_path(cvn_net *net, cvn_node x, float p)
{
    return cvni_add_dropout(net, &cvni_op_drop_path, x, p, CVNI_NOISE_SAMPLE);
}

/* ---- normal noise ---- */

typedef struct cvni_gauss_desc { float std; } cvni_gauss_desc;

typedef struct cvni_gauss_job {
    cvn_net *net;
    const cvni_layer *l;
    const float *x, *v, *dy;            /* v: log variance, NULL: std of the description */
    float *y, *dm, *dv;
    size_t count;
    int add_m, add_v;
} cvni_gauss_job;

/* The normals of elements 4*index to 4*index + 3, by Box and Muller: two words give two. */
static void cvni_gauss4(const cvni_gauss_job *j, uint32_t index, float e[4])
{
    uint32_t word[4];
    cvni_random4(j->net->desc.seed, CVNI_STREAM_DROPOUT, j->net->tick,
                 (uint32_t)cvni_id(j->net, j->l), index, word);
    for (int i = 0; i < 4; i += 2) {
        const double radius = sqrt(-2 * log(((double)word[i] + 1) / 4294967296.0));
        const double angle = 6.283185307179586 * ((double)word[i + 1] / 4294967296.0);
        e[i] = (float)(radius * cos(angle));
        e[i + 1] = (float)(radius * sin(angle));
    }
}

/* What a unit of noise moves element i by. */
static float cvni_gauss_scale(const cvni_gauss_job *j, size_t i)
{
    return j->v ? expf(j->v[i] / 2) : ((const cvni_gauss_desc *)j->l->desc)->std;
}

static void cvni_gauss_part(void *context, int begin, int end, int worker)
{
    const cvni_gauss_job *j = (const cvni_gauss_job *)context;
    const size_t stop = (size_t)end * CVNI_CHUNK < j->count ? (size_t)end * CVNI_CHUNK : j->count;
    (void)worker;
    for (size_t i = (size_t)begin * CVNI_CHUNK; i < stop; i += 4) {
        float e[4];
        cvni_gauss4(j, (uint32_t)(i / 4), e);
        for (size_t k = i; k < i + 4 && k < stop; k++)
            j->y[k] = j->x[k] + cvni_gauss_scale(j, k) * e[k - i];
    }
}

/* dv before dm, which may lie where dy lies. */
static void cvni_gauss_back_part(void *context, int begin, int end, int worker)
{
    const cvni_gauss_job *j = (const cvni_gauss_job *)context;
    const size_t stop = (size_t)end * CVNI_CHUNK < j->count ? (size_t)end * CVNI_CHUNK : j->count;
    (void)worker;
    for (size_t i = (size_t)begin * CVNI_CHUNK; i < stop; i += 4) {
        float e[4] = { 0, 0, 0, 0 };
        if (j->dv && j->net->training) cvni_gauss4(j, (uint32_t)(i / 4), e);
        for (size_t k = i; k < i + 4 && k < stop; k++) {
            const float dy = j->dy[k];
            const float g = j->dv ? dy * cvni_gauss_scale(j, k) * e[k - i] / 2 : 0;
            if (j->dv) j->dv[k] = j->add_v ? j->dv[k] + g : g;
            if (j->dm) j->dm[k] = j->add_m ? j->dm[k] + dy : dy;
        }
    }
}

static cvn_result cvni_gauss_forward(cvn_net *net, cvni_layer *l)
{
    cvni_gauss_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.x = cvni_in(net, l, 0)->y;
    j.v = l->inputs > 1 ? cvni_in(net, l, 1)->y : NULL;
    j.y = l->y;
    j.count = cvni_elements(l->shape);
    if (net->training)
        cvni_parallel_for(net, cvni_chunks(j.count), 80.0 * (double)j.count, cvni_gauss_part, &j);
    else cvni_noise_pass(net, j.count, j.x, j.y, 0);
    return CVN_OK;
}

static void cvni_noise_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (dx) cvni_noise_pass(net, cvni_elements(l->shape), l->dy, dx, add);
}

static void cvni_reparameterize_backward(cvn_net *net, cvni_layer *l)
{
    cvni_gauss_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.v = cvni_in(net, l, 1)->y;
    j.dy = l->dy;
    j.count = cvni_elements(l->shape);
    j.dv = cvni_gradient_for(cvni_in(net, l, 1), &j.add_v);
    j.dm = cvni_gradient_for(cvni_in(net, l, 0), &j.add_m);
    cvni_parallel_for(net, cvni_chunks(j.count), 80.0 * (double)j.count, cvni_gauss_back_part, &j);
}

static cvn_result cvni_noise_shape(cvn_net *net, cvni_layer *l)
{
    const float std = ((const cvni_gauss_desc *)l->desc)->std;
    if (!cvni_at_least(std, 0))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "a deviation of %g; 0 or more is needed",
                               (double)std);
    l->shape = cvni_in(net, l, 0)->shape;
    return CVN_OK;
}

static cvn_result cvni_reparameterize_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *mean = cvni_in(net, l, 0);
    const cvni_layer *variance = cvni_in(net, l, 1);
    char one[96];
    char two[96];
    l->shape = mean->shape;
    if (cvni_same_shape(mean->shape, variance->shape)) return CVN_OK;
    return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                           "mean '%s' %s and log variance '%s' %s must have one shape", mean->name,
                           cvni_shape_text(mean->shape, one), variance->name,
                           cvni_shape_text(variance->shape, two));
}

static const cvni_op cvni_op_gaussian_noise = {
    "gaussian_noise",   "noise",
    "Identity",         CVNI_INPLACE | CVNI_INPLACE_GRAD | CVNI_IDENTITY_EVAL,
    cvni_noise_shape,   NULL,
    cvni_gauss_forward, cvni_noise_backward
};
static const cvni_op cvni_op_reparameterize = {
    "reparameterize",          "sample",
    NULL,                      CVNI_USES_X | CVNI_INPLACE | CVNI_INPLACE_GRAD,
    cvni_reparameterize_shape, NULL,
    cvni_gauss_forward,        cvni_reparameterize_backward
};

cvn_node cvn_gaussian_noise(cvn_net *net, cvn_node x, float std)
{
    cvni_gauss_desc d;
    d.std = std;
    return cvni_add_layer(net, &cvni_op_gaussian_noise, &x, 1, &d, sizeof d);
}

cvn_node cvn_reparameterize(cvn_net *net, cvn_node mean, cvn_node log_variance)
{
    cvn_node inputs[2];
    inputs[0] = mean;
    inputs[1] = log_variance;
    return cvni_add_layer(net, &cvni_op_reparameterize, inputs, 2, NULL, 0);
}

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>view   flatten, reshape, the batch: the same elements under another shape
 * ============================================================================================== */

/* rank 0: flatten */
typedef struct cvni_view_desc { int rank; int dim[CVN_MAX_RANK]; } cvni_view_desc;

static cvn_result cvni_view_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_view_desc *d = (const cvni_view_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const size_t elements = cvni_sample_elements(x);
    size_t known = 1;
    int open = 0;
    char from[96];
    char to[96];
    if (!d->rank) {
        l->shape = cvni_shape(2, x.dim[0], (int)elements, 0, 0);
        return CVN_OK;
    }
    l->shape.rank = d->rank;
    l->shape.dim[0] = x.dim[0];
    for (int i = 1; i < d->rank; i++) {
        l->shape.dim[i] = d->dim[i];
        if (d->dim[i] == -1 && !open) open = i;
        else if (d->dim[i] < 1)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "axis %d has %d elements", i,
                                   d->dim[i]);
        else known = cvni_mul_size(known, (size_t)d->dim[i]);
    }
    if (open && known <= elements) l->shape.dim[open] = (int)(elements / known);
    if (cvni_sample_elements(l->shape) != elements)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "%s has not as many elements as %s",
                               cvni_shape_text(x, from), cvni_shape_text(l->shape, to));
    return CVN_OK;
}

static cvn_result cvni_view_forward(cvn_net *net, cvni_layer *l)
{
    const float *x = cvni_in(net, l, 0)->y;
    if (x != l->y) memcpy(l->y, x, cvni_elements(l->shape) * sizeof(float));
    return CVN_OK;
}

static void cvni_view_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (dx && add) net->k->add((int)cvni_elements(l->shape), dx, l->dy, dx);
    else if (dx && dx != l->dy) memcpy(dx, l->dy, cvni_elements(l->shape) * sizeof(float));
}

static const cvni_op cvni_op_flatten = { "flatten",         "flatten",
                                         "Flatten",         CVNI_VIEW | CVNI_INPLACE_GRAD,
                                         cvni_view_shape,   NULL,
                                         cvni_view_forward, cvni_view_backward };
static const cvni_op cvni_op_reshape = { "reshape",         "reshape",
                                         "Reshape",         CVNI_VIEW | CVNI_INPLACE_GRAD,
                                         cvni_view_shape,   NULL,
                                         cvni_view_forward, cvni_view_backward };

cvn_node cvn_flatten(cvn_net *net, cvn_node x)
{
    cvni_view_desc d;
    memset(&d, 0, sizeof d);
    return cvni_add_layer(net, &cvni_op_flatten, &x, 1, &d, sizeof d);
}

cvn_node cvn_reshape(cvn_net *net, cvn_node x, const int *dims, int count)
{
    const cvn_node none = { 0 };
    cvni_view_desc d;
    if (!net || net->failed) return none;
    if (!dims || count < 1 || count >= CVN_MAX_RANK) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "reshape: %d axes; 1 to %d are possible", count,
                        CVN_MAX_RANK - 1);
        return none;
    }
    memset(&d, 0, sizeof d);
    d.rank = count + 1;
    for (int i = 0; i < count; i++) d.dim[i + 1] = dims[i];
    return cvni_add_layer(net, &cvni_op_reshape, &x, 1, &d, sizeof d);
}

/* ---- the first axis: [N, R, ...] as [N*R, ...], and back ----
 *   What a layer behind it takes for samples are l->samples entries of one. Ints pass too: the
 *   labels of regions or frames.                                      tested: tests/test_pool.c */

typedef struct cvni_batch_view_desc { int count; } cvni_batch_view_desc;    /* 0: flatten */

static cvn_result cvni_batch_view_shape(cvn_net *net, cvni_layer *l)
{
    const int count = ((const cvni_batch_view_desc *)l->desc)->count;
    const cvni_layer *x = cvni_in(net, l, 0);
    const cvn_shape s = x->shape;
    l->is_int = x->is_int;
    if (count) {
        if (count < 1 || s.rank >= CVN_MAX_RANK || x->samples % count)
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "%d entries of a sample, %d axes: cannot be split by %d, or "
                                   "there is no axis left",
                                   x->samples, s.rank, count);
        l->shape.rank = s.rank + 1;
        l->shape.dim[0] = s.dim[0] / count;
        l->shape.dim[1] = count;
        for (int i = 1; i < s.rank; i++) l->shape.dim[i + 1] = s.dim[i];
        return CVN_OK;
    }
    if (s.rank < 2)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the input has no axis behind the batch");
    l->shape.rank = s.rank - 1;
    l->shape.dim[0] = s.dim[0] * s.dim[1];
    for (int i = 2; i < s.rank; i++) l->shape.dim[i - 1] = s.dim[i];
    return CVN_OK;
}

static const cvni_op cvni_op_flatten_batch = {
    "flatten_batch",       "flatten",
    "Reshape",             CVNI_VIEW | CVNI_INPLACE_GRAD | CVNI_TAKES_INT,
    cvni_batch_view_shape, NULL,
    cvni_view_forward,     cvni_view_backward
};
static const cvni_op cvni_op_unflatten_batch = {
    "unflatten_batch",     "unflatten",
    "Reshape",             CVNI_VIEW | CVNI_INPLACE_GRAD | CVNI_TAKES_INT,
    cvni_batch_view_shape, NULL,
    cvni_view_forward,     cvni_view_backward
};

cvn_node cvn_flatten_batch(cvn_net *net, cvn_node x)
{
    cvni_batch_view_desc d;
    d.count = 0;
    return cvni_add_layer(net, &cvni_op_flatten_batch, &x, 1, &d, sizeof d);
}

/* A count of 0 would mean flatten: -1 is refused. */
cvn_node cvn_unflatten_batch(cvn_net *net, cvn_node x, int count)
{
    cvni_batch_view_desc d;
    d.count = count ? count : -1;
    return cvni_add_layer(net, &cvni_op_unflatten_batch, &x, 1, &d, sizeof d);
}

/* ---- values as they are, other gradients ----
 *   stop_gradient      none: with no backward function nothing before it takes part by this path
 *   gradient_reversal  dx = -scale*dy */

typedef struct cvni_reversal_desc { float scale; } cvni_reversal_desc;

static cvn_result cvni_same_view_shape(cvn_net *net, cvni_layer *l)
{
    l->shape = cvni_in(net, l, 0)->shape;
    return CVN_OK;
}

static cvn_result cvni_reversal_shape(cvn_net *net, cvni_layer *l)
{
    const float scale = ((const cvni_reversal_desc *)l->desc)->scale;
    if (!cvni_is_finite((double)scale))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "a scale of %g", (double)scale);
    return cvni_same_view_shape(net, l);
}

static void cvni_reversal_backward(cvn_net *net, cvni_layer *l)
{
    const float scale = -((const cvni_reversal_desc *)l->desc)->scale;
    const int n = (int)cvni_elements(l->shape);
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (dx && add) net->k->axpy(n, scale, l->dy, dx);
    else if (dx) net->k->scale_shift(n, scale, 0, l->dy, dx);
}

static const cvni_op cvni_op_stop_gradient = { "stop_gradient",      "stop", "Identity",
                                               CVNI_VIEW,            cvni_same_view_shape,
                                               NULL,                 cvni_view_forward,
                                               NULL };
static const cvni_op cvni_op_gradient_reversal = { "gradient_reversal",
                                                   "reversal",
                                                   "Identity",
                                                   CVNI_VIEW | CVNI_INPLACE_GRAD,
                                                   cvni_reversal_shape,
                                                   NULL,
                                                   cvni_view_forward,
                                                   cvni_reversal_backward };

cvn_node cvn_stop_gradient(cvn_net *net, cvn_node x)
{
    return cvni_add_layer(net, &cvni_op_stop_gradient, &x, 1, NULL, 0);
}

cvn_node cvn_gradient_reversal(cvn_net *net, cvn_node x, float scale)
{
    cvni_reversal_desc d;
    d.scale = scale;
    return cvni_add_layer(net, &cvni_op_gradient_reversal, &x, 1, &d, sizeof d);
}

/* ================================================================================================
 * >>binary   a + b, a - b, a*b, a/b, larger and smaller of both, with broadcasting
 * ==============================================================================================
 *   Axes that follow each other and broadcast alike are merged, so that the innermost loop is long:
 *   [N, C, H, W] with [N, C, 1, 1] runs over N*C lines of H*W. Tasks are samples: a broadcast
 *   operand is summed within one sample.
 *   backward  add: da = dy, db = dy; sub: db = -dy; mul: da = dy b, db = dy a; div: da = dy/b,
 *             db = -dy a/b^2; max, min: dy to the one that was taken, half to each of equals;
 *             summed over the axes that were broadcast
 *                                             tested: tests/test_layers.c, tests/test_tensor.c */

typedef struct cvni_broadcast {
    int rank;                                   /* merged axes, without the batch; at least 1 */
    int dim[CVN_MAX_RANK];
    ptrdiff_t step[2][CVN_MAX_RANK];            /* of operand a, b; 0 where it is broadcast */
    ptrdiff_t sample[2], out_sample;            /* elements of one sample */
} cvni_broadcast;

static cvni_broadcast cvni_make_broadcast(cvn_shape y, cvn_shape a, cvn_shape b)
{
    const cvn_shape in[2] = { a, b };
    cvni_broadcast m;
    memset(&m, 0, sizeof m);
    m.rank = 1;
    m.dim[0] = 1;
    for (int s = 0; s < 2; s++) m.sample[s] = (ptrdiff_t)cvni_sample_elements(in[s]);
    m.out_sample = (ptrdiff_t)cvni_sample_elements(y);
    for (int i = 1; i < y.rank; i++) {
        ptrdiff_t step[2];
        int merges = 1;
        for (int s = 0; s < 2; s++) {
            step[s] = 1;
            for (int k = i + 1; k < y.rank; k++) step[s] *= in[s].dim[k];
            if (in[s].dim[i] == 1 && y.dim[i] > 1) step[s] = 0;
            merges &= m.step[s][m.rank - 1] == step[s] * y.dim[i];
        }
        if (y.dim[i] == 1) continue;
        if (m.dim[m.rank - 1] != 1 && !merges) m.rank++;
        if (m.dim[m.rank - 1] == 0) m.dim[m.rank - 1] = 1;
        m.dim[m.rank - 1] *= y.dim[i];
        for (int s = 0; s < 2; s++) m.step[s][m.rank - 1] = step[s];
    }
    return m;
}

static cvn_result cvni_binary_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_shape a = cvni_in(net, l, 0)->shape;
    const cvn_shape b = cvni_in(net, l, 1)->shape;
    char one[96];
    char two[96];
    int fits = a.rank == b.rank && a.dim[0] == b.dim[0];
    l->shape = a;
    for (int i = 1; fits && i < a.rank; i++) {
        l->shape.dim[i] = cvni_max(a.dim[i], b.dim[i]);
        fits = a.dim[i] == b.dim[i] || a.dim[i] == 1 || b.dim[i] == 1;
    }
    if (fits) return CVN_OK;
    if (a.rank == b.rank && a.dim[0] != b.dim[0])
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' has %d entries a sample, '%s' %d; cvn_unflatten_batch or "
                               "cvn_flatten_batch brings them together",
                               cvni_in(net, l, 0)->name, cvni_in(net, l, 0)->samples,
                               cvni_in(net, l, 1)->name, cvni_in(net, l, 1)->samples);
    return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                           "'%s' %s and '%s' %s do not fit; each axis must agree or be 1",
                           cvni_in(net, l, 0)->name, cvni_shape_text(a, one),
                           cvni_in(net, l, 1)->name, cvni_shape_text(b, two));
}

/* One line of both operands; a step is 1, or 0 where the operand is broadcast. */
typedef struct cvni_operands {
    int n;
    const float *x[2];
    ptrdiff_t step[2];
    ptrdiff_t at[2];            /* of the line in a sample */
} cvni_operands;

typedef struct cvni_arith {     /* one row an operation; backward adds to the gradient of x[side] */
    void (*forward)(const cvni_kernels *kern, const cvni_operands *o, float *y);
    void (*backward)(const cvni_kernels *kern, const cvni_operands *o, int side, const float *dy,
                     float *dx);
} cvni_arith;

typedef struct cvni_binary_desc { const cvni_arith *row; } cvni_binary_desc;

typedef struct cvni_binary_job {
    cvn_net *net;
    cvni_layer *l;
    const cvni_arith *row;
    cvni_broadcast m;
    int side;                                   /* backward: the operand whose gradient is made */
    float *dx;
    int add;
} cvni_binary_job;

/* Offsets of line `line` (all merged axes but the last) in a, b and the output. */
static void cvni_binary_line(const cvni_broadcast *m, int line, ptrdiff_t at[2])
{
    at[0] = at[1] = 0;
    for (int i = m->rank - 2; i >= 0; i--) {
        at[0] += line % m->dim[i] * m->step[0][i];
        at[1] += line % m->dim[i] * m->step[1][i];
        line /= m->dim[i];
    }
}

static cvni_operands cvni_binary_operands(const cvni_binary_job *j, int sample, int line)
{
    cvni_operands o;
    cvni_binary_line(&j->m, line, o.at);
    o.n = j->m.dim[j->m.rank - 1];
    for (int s = 0; s < 2; s++) {
        o.x[s] = cvni_in(j->net, j->l, s)->y + sample * j->m.sample[s] + o.at[s];
        o.step[s] = j->m.step[s][j->m.rank - 1];
    }
    return o;
}

static void cvni_add_line(const cvni_kernels *kern, const cvni_operands *o, float *y)
{
    if (o->step[0] && o->step[1]) kern->add(o->n, o->x[0], o->x[1], y);
    else if (!o->step[1]) kern->scale_shift(o->n, 1, o->x[1][0], o->x[0], y);
    else kern->scale_shift(o->n, 1, o->x[0][0], o->x[1], y);
}

static void cvni_sub_line(const cvni_kernels *kern, const cvni_operands *o, float *y)
{
    if (!o->step[1]) kern->scale_shift(o->n, 1, -o->x[1][0], o->x[0], y);
    else if (!o->step[0]) kern->scale_shift(o->n, -1, o->x[0][0], o->x[1], y);
    else for (int i = 0; i < o->n; i++) y[i] = o->x[0][i] - o->x[1][i];
}

static void cvni_mul_line(const cvni_kernels *kern, const cvni_operands *o, float *y)
{
    if (!o->step[1]) kern->scale_shift(o->n, o->x[1][0], 0, o->x[0], y);
    else if (!o->step[0]) kern->scale_shift(o->n, o->x[0][0], 0, o->x[1], y);
    else for (int i = 0; i < o->n; i++) y[i] = o->x[0][i] * o->x[1][i];
}

/* dx += factor*dy; a broadcast operand receives the sum. */
static void cvni_add_back(const cvni_kernels *kern, const cvni_operands *o, int side, float factor,
                          const float *dy, float *dx)
{
    if (!o->step[side]) dx[0] += factor * kern->sum(o->n, dy);
    else kern->axpy(o->n, factor, dy, dx);
}

static void cvni_add_back_line(const cvni_kernels *kern, const cvni_operands *o, int side,
                               const float *dy, float *dx)
{
    cvni_add_back(kern, o, side, 1, dy, dx);
}

static void cvni_sub_back_line(const cvni_kernels *kern, const cvni_operands *o, int side,
                               const float *dy, float *dx)
{
    cvni_add_back(kern, o, side, side ? -1.0f : 1.0f, dy, dx);
}

static void cvni_mul_back_line(const cvni_kernels *kern, const cvni_operands *o, int side,
                               const float *dy, float *dx)
{
    const float *other = o->x[!side];
    if (!o->step[!side]) cvni_add_back(kern, o, side, other[0], dy, dx);
    else if (!o->step[side]) dx[0] += kern->dot(o->n, dy, other);
    else for (int i = 0; i < o->n; i++) dx[i] += dy[i] * other[i];
}

/* The operations without a kernel: y and the slopes of one element. */
#define CVNI_ARITH(name, value, slope_a, slope_b)                                                  \
    static void cvni_##name##_line(const cvni_kernels *kern, const cvni_operands *o, float *y)     \
    {                                                                                              \
        (void)kern;                                                                                \
        for (int i = 0; i < o->n; i++) {                                                           \
            const float a = o->x[0][i * o->step[0]];                                               \
            const float b = o->x[1][i * o->step[1]];                                               \
            y[i] = value;                                                                          \
        }                                                                                          \
    }                                                                                              \
    static void cvni_##name##_back_line(const cvni_kernels *kern, const cvni_operands *o,          \
                                        int side, const float *dy, float *dx)                      \
    {                                                                                              \
        double sum = 0;                                                                            \
        (void)kern;                                                                                \
        for (int i = 0; i < o->n; i++) {                                                           \
            const float a = o->x[0][i * o->step[0]];                                               \
            const float b = o->x[1][i * o->step[1]];                                               \
            const float g = dy[i] * (side ? (slope_b) : (slope_a));                                \
            if (o->step[side]) dx[i] += g;                                                         \
            else sum += (double)g;                                                                 \
        }                                                                                          \
        if (!o->step[side]) dx[0] += (float)sum;                                                   \
    }

CVNI_ARITH(div, a / b, 1 / b, -a / (b * b))
CVNI_ARITH(max, a > b || a != a ? a : b, a > b ? 1.0f : a < b ? 0.0f : 0.5f,
           a < b ? 1.0f : a > b ? 0.0f : 0.5f)
CVNI_ARITH(min, a < b || a != a ? a : b, a < b ? 1.0f : a > b ? 0.0f : 0.5f,
           a > b ? 1.0f : a < b ? 0.0f : 0.5f)

static const cvni_arith cvni_arith_add = { cvni_add_line, cvni_add_back_line };
static const cvni_arith cvni_arith_sub = { cvni_sub_line, cvni_sub_back_line };
static const cvni_arith cvni_arith_mul = { cvni_mul_line, cvni_mul_back_line };
static const cvni_arith cvni_arith_div = { cvni_div_line, cvni_div_back_line };
static const cvni_arith cvni_arith_max = { cvni_max_line, cvni_max_back_line };
static const cvni_arith cvni_arith_min = { cvni_min_line, cvni_min_back_line };

static void cvni_binary_part(void *context, int begin, int end, int worker)
{
    const cvni_binary_job *j = (const cvni_binary_job *)context;
    const int n = j->m.dim[j->m.rank - 1];
    const int lines = (int)(j->m.out_sample / n);
    (void)worker;
    for (int t = begin; t < end; t++) {
        for (int line = 0; line < lines; line++) {
            const cvni_operands o = cvni_binary_operands(j, t, line);
            j->row->forward(j->net->k, &o, j->l->y + t * j->m.out_sample + (ptrdiff_t)line * n);
        }
    }
}

static void cvni_binary_back_part(void *context, int begin, int end, int worker)
{
    const cvni_binary_job *j = (const cvni_binary_job *)context;
    const int n = j->m.dim[j->m.rank - 1];
    const int lines = (int)(j->m.out_sample / n);
    const ptrdiff_t sample = j->m.sample[j->side];
    (void)worker;
    for (int t = begin; t < end; t++) {
        if (!j->add) cvni_zero(j->dx + t * sample, (size_t)sample);
        for (int line = 0; line < lines; line++) {
            const cvni_operands o = cvni_binary_operands(j, t, line);
            j->row->backward(j->net->k, &o, j->side,
                             j->l->dy + t * j->m.out_sample + (ptrdiff_t)line * n,
                             j->dx + t * sample + o.at[j->side]);
        }
    }
}

static cvni_binary_job cvni_binary_job_of(cvn_net *net, cvni_layer *l)
{
    cvni_binary_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.row = ((const cvni_binary_desc *)l->desc)->row;
    j.m = cvni_make_broadcast(l->shape, cvni_in(net, l, 0)->shape, cvni_in(net, l, 1)->shape);
    return j;
}

static cvn_result cvni_binary_forward(cvn_net *net, cvni_layer *l)
{
    cvni_binary_job j = cvni_binary_job_of(net, l);
    cvni_parallel_for(net, l->shape.dim[0], (double)cvni_elements(l->shape), cvni_binary_part, &j);
    return CVN_OK;
}

static void cvni_binary_backward(cvn_net *net, cvni_layer *l)
{
    cvni_binary_job j = cvni_binary_job_of(net, l);
    for (j.side = 0; j.side < 2; j.side++) {
        j.dx = cvni_gradient_for(cvni_in(net, l, j.side), &j.add);
        if (j.dx)
            cvni_parallel_for(net, l->shape.dim[0], 2.0 * (double)cvni_elements(l->shape),
                              cvni_binary_back_part, &j);
    }
}

#define CVNI_BINARY_OP(name, onnx, flags)                                                          \
    static const cvni_op cvni_op_##name = { #name, #name, onnx,                flags,              \
                                            cvni_binary_shape, NULL, cvni_binary_forward,          \
                                            cvni_binary_backward };

CVNI_BINARY_OP(add, "Add", 0)
CVNI_BINARY_OP(sub, "Sub", 0)
CVNI_BINARY_OP(mul, "Mul", CVNI_USES_X)
CVNI_BINARY_OP(div, "Div", CVNI_USES_X)
CVNI_BINARY_OP(maximum, "Max", CVNI_USES_X)
CVNI_BINARY_OP(minimum, "Min", CVNI_USES_X)

/* A layer of two inputs; row: of the table above, or NULL for losses. */
static cvn_node cvni_add_binary(cvn_net *net, const cvni_op *op, const cvni_arith *row,
                                    cvn_node a, cvn_node b)
{
    cvni_binary_desc d;
    cvn_node in[2];
    d.row = row;
    in[0] = a;
    in[1] = b;
    return cvni_add_layer(net, op, in, 2, &d, sizeof d);
}

cvn_node cvn_add(cvn_net *net, cvn_node a, cvn_node b)
{
    return cvni_add_binary(net, &cvni_op_add, &cvni_arith_add, a, b);
}
cvn_node cvn_sub(cvn_net *net, cvn_node a, cvn_node b)
{
    return cvni_add_binary(net, &cvni_op_sub, &cvni_arith_sub, a, b);
}
cvn_node cvn_mul(cvn_net *net, cvn_node a, cvn_node b)
{
    return cvni_add_binary(net, &cvni_op_mul, &cvni_arith_mul, a, b);
}
cvn_node cvn_div(cvn_net *net, cvn_node a, cvn_node b)
{
    return cvni_add_binary(net, &cvni_op_div, &cvni_arith_div, a, b);
}
cvn_node cvn_maximum(cvn_net *net, cvn_node a, cvn_node b)
{
    return cvni_add_binary(net, &cvni_op_maximum, &cvni_arith_max, a, b);
}
cvn_node cvn_minimum(cvn_net *net, cvn_node a, cvn_node b)
{
    return cvni_add_binary(net, &cvni_op_minimum, &cvni_arith_min, a, b);
}

/* ================================================================================================
 * >>concat   tensors one behind the other along an axis
 * ============================================================================================== */

typedef struct cvni_concat_desc { int axis; } cvni_concat_desc;

static cvn_result cvni_concat_shape(cvn_net *net, cvni_layer *l)
{
    const int axis = ((const cvni_concat_desc *)l->desc)->axis;
    const cvn_shape first = cvni_in(net, l, 0)->shape;
    char one[96];
    char two[96];
    if (axis < 1 || axis >= first.rank)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "axis %d; an input of rank %d has 1 to %d", axis, first.rank,
                               first.rank - 1);
    l->shape = first;
    l->shape.dim[axis] = 0;
    for (int i = 0; i < l->inputs; i++) {
        cvn_shape s = cvni_in(net, l, i)->shape;
        const int own = s.dim[axis];
        s.dim[axis] = first.dim[axis];
        if (!cvni_same_shape(s, first) || own > INT_MAX - l->shape.dim[axis]) {
            s.dim[axis] = own;
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "'%s' %s and '%s' %s differ in more than axis %d",
                                   cvni_in(net, l, 0)->name, cvni_shape_text(first, one),
                                   cvni_in(net, l, i)->name, cvni_shape_text(s, two), axis);
        }
        l->shape.dim[axis] += own;
    }
    return CVN_OK;
}

static cvn_result cvni_concat_forward(cvn_net *net, cvni_layer *l)
{
    int outer, length, inner;
    ptrdiff_t at = 0;
    cvni_split_axis(l->shape, ((const cvni_concat_desc *)l->desc)->axis, &outer, &length, &inner);
    for (int i = 0; i < l->inputs; i++) {
        const cvni_layer *x = cvni_in(net, l, i);
        const ptrdiff_t part = (ptrdiff_t)(cvni_elements(x->shape) / (size_t)outer);
        for (int o = 0; o < outer; o++)
            memcpy(l->y + o * (ptrdiff_t)length * inner + at, x->y + o * part,
                   (size_t)part * sizeof(float));
        at += part;
    }
    return CVN_OK;
}

static void cvni_concat_backward(cvn_net *net, cvni_layer *l)
{
    int outer, length, inner;
    ptrdiff_t at = 0;
    cvni_split_axis(l->shape, ((const cvni_concat_desc *)l->desc)->axis, &outer, &length, &inner);
    for (int i = 0; i < l->inputs; i++) {
        cvni_layer *x = cvni_in(net, l, i);
        const ptrdiff_t part = (ptrdiff_t)(cvni_elements(x->shape) / (size_t)outer);
        int add = 0;
        float *dx = cvni_gradient_for(x, &add);
        for (int o = 0; dx && o < outer; o++) {
            const float *dy = l->dy + o * (ptrdiff_t)length * inner + at;
            if (add) net->k->add((int)part, dx + o * part, dy, dx + o * part);
            else memcpy(dx + o * part, dy, (size_t)part * sizeof(float));
        }
        at += part;
    }
}

static const cvni_op cvni_op_concat = { "concat",
                                        "concat",
                                        "Concat",
                                        0,
                                        cvni_concat_shape,
                                        NULL,
                                        cvni_concat_forward,
                                        cvni_concat_backward };

cvn_node cvn_concat_n(cvn_net *net, const cvn_node *nodes, int count, int axis)
{
    const cvn_node none = { 0 };
    cvni_concat_desc d;
    d.axis = axis;
    if (!nodes || count < 1) {
        if (net && !net->failed) cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "concat: no inputs");
        return none;
    }
    return cvni_add_layer(net, &cvni_op_concat, nodes, count, &d, sizeof d);
}

cvn_node cvn_concat(cvn_net *net, cvn_node a, cvn_node b)
{
    cvn_node in[2];
    in[0] = a;
    in[1] = b;
    return cvn_concat_n(net, in, 2, 1);
}

/* ================================================================================================
 * >>unary   elementwise functions of one tensor
 * ==============================================================================================
 *   Row by row y = f(x) and dx = dy*slope, where the slope is written in x, in y or in neither
 *   (CVNI_USES_X, CVNI_USES_Y in the row):
 *     exp       y                 log     1/x             sqrt    1/(2 y), Inf at 0
 *     square    2 x               abs     sign(x), 0 at 0 neg     -1
 *     scale     p                 clip    1 for p < x < q, else 0
 *     pow       p x^(p - 1)
 *                                                                    tested: tests/test_tensor.c */

typedef struct cvni_unary {     /* one row a function: n elements; v is x or y, as its op says */
    void (*forward)(int n, float p, float q, const float *x, float *y);
    void (*backward)(int n, float p, float q, const float *v, const float *dy, float *dx, int add);
} cvni_unary;

/* A row: its value in x, p, q; its slope in v, p, q. */
#define CVNI_UNARY(name, value, slope)                                                             \
    static void cvni_##name##_line(int n, float p, float q, const float *in, float *y)             \
    {                                                                                              \
        (void)p;                                                                                   \
        (void)q;                                                                                   \
        for (int i = 0; i < n; i++) {                                                              \
            const float x = in[i];                                                                 \
            y[i] = value;                                                                          \
        }                                                                                          \
    }                                                                                              \
    static void cvni_##name##_back_line(int n, float p, float q, const float *values,              \
                                        const float *dy, float *dx, int add)                       \
    {                                                                                              \
        (void)p;                                                                                   \
        (void)q;                                                                                   \
        for (int i = 0; i < n; i++) {                                                              \
            const float v = values[i];                                                             \
            const float g = dy[i] * (slope);                                                       \
            (void)v;                                                                               \
            dx[i] = add ? dx[i] + g : g;                                                           \
        }                                                                                          \
    }                                                                                              \
    static const cvni_unary cvni_unary_##name = { cvni_##name##_line, cvni_##name##_back_line };

CVNI_UNARY(exp, expf(x), v)
CVNI_UNARY(log, logf(x), 1 / v)
CVNI_UNARY(sqrt, sqrtf(x), 0.5f / v)
CVNI_UNARY(square, x * x, 2 * v)
CVNI_UNARY(abs, fabsf(x), v > 0 ? 1.0f : v < 0 ? -1.0f : 0.0f)
CVNI_UNARY(scale, p * x + q, p)
CVNI_UNARY(clip, x < p ? p : x > q ? q : x, v > p && v < q ? 1.0f : 0.0f)
CVNI_UNARY(pow, powf(x, p), p == 0.0f ? 0.0f : p * powf(v, p - 1))

typedef struct cvni_unary_desc { const cvni_unary *row; float p, q; } cvni_unary_desc;

static cvn_result cvni_unary_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_unary_desc *d = (const cvni_unary_desc *)l->desc;
    if (!(d->p == d->p) || !(d->q == d->q))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "a constant is not a number");
    if (d->row == &cvni_unary_clip && d->p > d->q)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "clips to [%g, %g]; the first must not be above the second",
                               (double)d->p, (double)d->q);
    l->shape = cvni_in(net, l, 0)->shape;
    return CVN_OK;
}

typedef struct cvni_unary_job {
    const cvni_unary_desc *d;
    const float *v, *dy;                /* forward: x, NULL */
    float *out;
    size_t count;
    int add;
} cvni_unary_job;

static void cvni_unary_part(void *context, int begin, int end, int worker)
{
    const cvni_unary_job *j = (const cvni_unary_job *)context;
    const cvni_unary_desc *d = j->d;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const size_t at = (size_t)t * CVNI_CHUNK;
        const int n = (int)(j->count - at < CVNI_CHUNK ? j->count - at : CVNI_CHUNK);
        if (j->dy) d->row->backward(n, d->p, d->q, j->v + at, j->dy + at, j->out + at, j->add);
        else d->row->forward(n, d->p, d->q, j->v + at, j->out + at);
    }
}

static void cvni_unary_run(cvn_net *net, cvni_layer *l, int backward)
{
    cvni_unary_job j;
    j.d = (const cvni_unary_desc *)l->desc;
    j.count = cvni_elements(l->shape);
    j.add = 0;
    j.dy = backward ? l->dy : NULL;
    /* a row that needs neither x nor y reads dy there: memory that is sure to be in place */
    j.v = !backward || l->op->flags & CVNI_USES_X ? cvni_in(net, l, 0)->y
          : l->op->flags & CVNI_USES_Y            ? l->y
                                                  : l->dy;
    j.out = backward ? cvni_gradient_for(cvni_in(net, l, 0), &j.add) : l->y;
    if (j.out)
        cvni_parallel_for(net, cvni_chunks(j.count), 10.0 * (double)j.count, cvni_unary_part, &j);
}

static cvn_result cvni_unary_forward(cvn_net *net, cvni_layer *l)
{
    cvni_unary_run(net, l, 0);
    return CVN_OK;
}

static void cvni_unary_backward(cvn_net *net, cvni_layer *l) { cvni_unary_run(net, l, 1); }

/* The value may overwrite x unless the slope is in x; the gradient always overwrites dy. */
enum {
    CVNI_UNARY_X = CVNI_USES_X | CVNI_INPLACE | CVNI_INPLACE_GRAD,
    CVNI_UNARY_Y = CVNI_USES_Y | CVNI_INPLACE | CVNI_INPLACE_GRAD,
    CVNI_UNARY_NONE = CVNI_INPLACE | CVNI_INPLACE_GRAD
};

#define CVNI_UNARY_OP(name, onnx, flags)                                                           \
    static const cvni_op cvni_op_##name = { #name, #name, onnx,               flags,               \
                                            cvni_unary_shape, NULL, cvni_unary_forward,            \
                                            cvni_unary_backward };

CVNI_UNARY_OP(exp, "Exp", CVNI_UNARY_Y)
CVNI_UNARY_OP(log, "Log", CVNI_UNARY_X)
CVNI_UNARY_OP(sqrt, "Sqrt", CVNI_UNARY_Y)
CVNI_UNARY_OP(square, "Mul", CVNI_UNARY_X)
CVNI_UNARY_OP(abs, "Abs", CVNI_UNARY_X)
CVNI_UNARY_OP(neg, "Neg", CVNI_UNARY_NONE)
CVNI_UNARY_OP(scale, NULL, CVNI_UNARY_NONE)
CVNI_UNARY_OP(clip, "Clip", CVNI_UNARY_X)
CVNI_UNARY_OP(pow, "Pow", CVNI_UNARY_X)

static cvn_node cvni_add_unary(cvn_net *net, const cvni_op *op, cvn_node x, const cvni_unary *row,
                               float p, float q)
{
    cvni_unary_desc d;
    memset(&d, 0, sizeof d);
    d.row = row;
    d.p = p;
    d.q = q;
    return cvni_add_layer(net, op, &x, 1, &d, sizeof d);
}

cvn_node cvn_exp(cvn_net *net, cvn_node x)
{
    return cvni_add_unary(net, &cvni_op_exp, x, &cvni_unary_exp, 0, 0);
}
cvn_node cvn_log(cvn_net *net, cvn_node x)
{
    return cvni_add_unary(net, &cvni_op_log, x, &cvni_unary_log, 0, 0);
}
cvn_node cvn_sqrt(cvn_net *net, cvn_node x)
{
    return cvni_add_unary(net, &cvni_op_sqrt, x, &cvni_unary_sqrt, 0, 0);
}
cvn_node cvn_square(cvn_net *net, cvn_node x)
{
    return cvni_add_unary(net, &cvni_op_square, x, &cvni_unary_square, 0, 0);
}
cvn_node cvn_abs(cvn_net *net, cvn_node x)
{
    return cvni_add_unary(net, &cvni_op_abs, x, &cvni_unary_abs, 0, 0);
}
cvn_node cvn_neg(cvn_net *net, cvn_node x)
{
    return cvni_add_unary(net, &cvni_op_neg, x, &cvni_unary_scale, -1, 0);
}
cvn_node cvn_scale(cvn_net *net, cvn_node x, float scale, float shift)
{
    return cvni_add_unary(net, &cvni_op_scale, x, &cvni_unary_scale, scale, shift);
}
cvn_node cvn_clip(cvn_net *net, cvn_node x, float low, float high)
{
    return cvni_add_unary(net, &cvni_op_clip, x, &cvni_unary_clip, low, high);
}
cvn_node cvn_pow(cvn_net *net, cvn_node x, float exponent)
{
    return cvni_add_unary(net, &cvni_op_pow, x, &cvni_unary_pow, exponent, 0);
}

/* ================================================================================================
 * >>reduce   sum, mean, largest value over a set of axes
 * ==============================================================================================
 *   x [N, d1, d2, ...], y the same with size 1 on the reduced axes. y broadcasts to x, so the lines
 *   are those of >>binary with x as operand 0 and y as operand 1. Tasks are samples.
 *   backward  sum: dx = dy; mean: dx = dy/count; max: dx = dy/ties where x = y, else 0 (equal
 *             values share, as torch.amax)
 *                                                                    tested: tests/test_tensor.c */

typedef enum cvni_reduce_kind { CVNI_REDUCE_SUM, CVNI_REDUCE_MEAN, CVNI_REDUCE_MAX }
cvni_reduce_kind;

typedef struct cvni_reduce_desc {
    cvni_reduce_kind kind;
    int count;                          /* 0: all axes but the batch */
    int axes[CVN_MAX_RANK];
} cvni_reduce_desc;

static cvn_result cvni_reduce_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_reduce_desc *d = (const cvni_reduce_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    l->shape = x;
    for (int i = 0; i < d->count; i++) {
        if (d->axes[i] < 1 || d->axes[i] >= x.rank)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "axis %d; an input of rank %d has 1 to %d, and the batch stays",
                                   d->axes[i], x.rank, x.rank - 1);
        l->shape.dim[d->axes[i]] = 1;
    }
    for (int i = 1; !d->count && i < x.rank; i++) l->shape.dim[i] = 1;
    if (d->kind == CVNI_REDUCE_MAX)     /* ties */
        l->work_backward_bytes = cvni_mul_size(cvni_elements(l->shape), sizeof(float));
    return CVN_OK;
}

typedef struct cvni_reduce_job {
    const cvni_kernels *k;
    cvni_reduce_kind kind;
    cvni_broadcast m;
    int n, lines;
    ptrdiff_t step;                     /* of y along a line: 1, or 0 where it is reduced */
    float scale;                        /* 1, or 1/count for the mean */
    const float *x, *dy;
    float *y, *dx;
    float *ties;
    int add;
} cvni_reduce_job;

static cvni_reduce_job cvni_reduce_job_of(const cvn_net *net, const cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    cvni_reduce_job j;
    memset(&j, 0, sizeof j);
    j.k = net->k;
    j.kind = ((const cvni_reduce_desc *)l->desc)->kind;
    j.m = cvni_make_broadcast(x->shape, x->shape, l->shape);
    j.n = j.m.dim[j.m.rank - 1];
    j.lines = (int)(j.m.out_sample / j.n);
    j.step = j.m.step[1][j.m.rank - 1];
    j.scale = j.kind == CVNI_REDUCE_MEAN
                  ? (float)((double)j.m.sample[1] / (double)j.m.sample[0])
                  : 1;
    j.x = x->y;
    j.y = l->y;
    j.dy = l->dy;
    j.ties = (float *)l->work_backward;
    return j;
}

static void cvni_reduce_max_line(int n, const float *x, float *y, ptrdiff_t step)
{
    for (int i = 0; i < n; i++)
        if (x[i] > y[i * step] || x[i] != x[i]) y[i * step] = x[i];     /* NaN wins */
}

static void cvni_reduce_part(void *context, int begin, int end, int worker)
{
    const cvni_reduce_job *j = (const cvni_reduce_job *)context;
    const ptrdiff_t size = j->m.sample[1];
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *x = j->x + t * j->m.sample[0];
        float *y = j->y + t * size;
        for (ptrdiff_t i = 0; i < size; i++) y[i] = j->kind == CVNI_REDUCE_MAX ? -INFINITY : 0;
        for (int line = 0; line < j->lines; line++) {
            ptrdiff_t at[2];
            cvni_binary_line(&j->m, line, at);
            if (j->kind == CVNI_REDUCE_MAX)
                cvni_reduce_max_line(j->n, x + at[0], y + at[1], j->step);
            else if (j->step) j->k->add(j->n, y + at[1], x + at[0], y + at[1]);
            else y[at[1]] += j->k->sum(j->n, x + at[0]);
        }
        if (j->kind == CVNI_REDUCE_MEAN) j->k->scale_shift((int)size, j->scale, 0, y, y);
    }
}

static void cvni_reduce_back_line(const cvni_reduce_job *j, const float *dy, float *dx)
{
    for (int i = 0; i < j->n; i++) {
        const float g = j->scale * dy[i * j->step];
        dx[i] = j->add ? dx[i] + g : g;
    }
}

static void cvni_reduce_back_part(void *context, int begin, int end, int worker)
{
    const cvni_reduce_job *j = (const cvni_reduce_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        for (int line = 0; line < j->lines; line++) {
            ptrdiff_t at[2];
            cvni_binary_line(&j->m, line, at);
            cvni_reduce_back_line(j, j->dy + t * j->m.sample[1] + at[1],
                                  j->dx + t * j->m.sample[0] + at[0]);
        }
    }
}

/* Two walks over a sample: how many values are the largest, then their shares. */
static void cvni_reduce_max_back_part(void *context, int begin, int end, int worker)
{
    const cvni_reduce_job *j = (const cvni_reduce_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *x = j->x + t * j->m.sample[0];
        const ptrdiff_t at_y = t * j->m.sample[1];
        float *dx = j->dx + t * j->m.sample[0];
        cvni_zero(j->ties + at_y, (size_t)j->m.sample[1]);
        for (int share = 0; share < 2; share++) {
            for (int line = 0; line < j->lines; line++) {
                ptrdiff_t at[2];
                cvni_binary_line(&j->m, line, at);
                for (int i = 0; i < j->n; i++) {
                    const ptrdiff_t to = at_y + at[1] + i * j->step;
                    const int largest = x[at[0] + i] >= j->y[to];
                    float *own = dx + at[0] + i;
                    if (!share) {
                        j->ties[to] += largest ? 1.0f : 0.0f;
                        continue;
                    }
                    if (!j->add) *own = 0;
                    if (largest) *own += j->dy[to] / j->ties[to];
                }
            }
        }
    }
}

static cvn_result cvni_reduce_forward(cvn_net *net, cvni_layer *l)
{
    cvni_reduce_job j = cvni_reduce_job_of(net, l);
    cvni_parallel_for(net, l->shape.dim[0], (double)l->shape.dim[0] * (double)j.m.sample[0],
                      cvni_reduce_part, &j);
    return CVN_OK;
}

static void cvni_reduce_backward(cvn_net *net, cvni_layer *l)
{
    cvni_reduce_job j = cvni_reduce_job_of(net, l);
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx)
        cvni_parallel_for(net, l->shape.dim[0], 2.0 * l->shape.dim[0] * (double)j.m.sample[0],
                          j.kind == CVNI_REDUCE_MAX ? cvni_reduce_max_back_part
                                                    : cvni_reduce_back_part,
                          &j);
}

static const cvni_op cvni_op_reduce_sum = { "reduce_sum",        "sum", "ReduceSum", 0,
                                            cvni_reduce_shape,   NULL,
                                            cvni_reduce_forward, cvni_reduce_backward };
static const cvni_op cvni_op_reduce_mean = { "reduce_mean",       "mean", "ReduceMean", 0,
                                             cvni_reduce_shape,   NULL,
                                             cvni_reduce_forward, cvni_reduce_backward };
static const cvni_op cvni_op_reduce_max = { "reduce_max",
                                            "max",
                                            "ReduceMax",
                                            CVNI_USES_X | CVNI_USES_Y,
                                            cvni_reduce_shape,
                                            NULL,
                                            cvni_reduce_forward,
                                            cvni_reduce_backward };

static cvn_node cvni_add_reduce(cvn_net *net, const cvni_op *op, cvni_reduce_kind kind, cvn_node x,
                                const int *axes, int count)
{
    cvni_reduce_desc d;
    memset(&d, 0, sizeof d);
    d.kind = kind;
    if (net && !net->failed && (count < 0 || count >= CVN_MAX_RANK || (count && !axes)))
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: %d axes; 0 (all) to %d are possible",
                        op->type, count, CVN_MAX_RANK - 1);
    else for (int i = 0; axes && i < count; i++) d.axes[d.count++] = axes[i];
    return cvni_add_layer(net, op, &x, 1, &d, sizeof d);
}

cvn_node cvn_reduce_sum(cvn_net *net, cvn_node x, const int *axes, int count)
{
    return cvni_add_reduce(net, &cvni_op_reduce_sum, CVNI_REDUCE_SUM, x, axes, count);
}
cvn_node cvn_reduce_mean(cvn_net *net, cvn_node x, const int *axes, int count)
{
    return cvni_add_reduce(net, &cvni_op_reduce_mean, CVNI_REDUCE_MEAN, x, axes, count);
}
cvn_node cvn_reduce_max(cvn_net *net, cvn_node x, const int *axes, int count)
{
    return cvni_add_reduce(net, &cvni_op_reduce_max, CVNI_REDUCE_MAX, x, axes, count);
}

/* ================================================================================================
 * >>permute   axes in another order; a part of an axis
 * ==============================================================================================
 *   permute   axis k of y is axis axes[k - 1] of x: [N, C, H, W] with { 2, 3, 1 } is [N, H, W, C].
 *             Tasks are the parts of y along its first two axes.
 *   slice     y = x[..., begin:end, ...] along one axis; tasks are the runs before that axis
 *   backward  dx at the place that was read; slice: 0 elsewhere
 *                                                                    tested: tests/test_tensor.c */

typedef struct cvni_permute_desc { int count; int axes[CVN_MAX_RANK]; } cvni_permute_desc;

static cvn_result cvni_permute_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_permute_desc *d = (const cvni_permute_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    unsigned seen = 0;
    char text[96];
    l->shape = x;
    for (int i = 0; i < d->count; i++) {
        if (d->count != x.rank - 1 || d->axes[i] < 1 || d->axes[i] >= x.rank ||
            (seen >> d->axes[i] & 1u))
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "%d axes, of them axis %d; %s needs each of 1 to %d once",
                                   d->count, d->axes[i], cvni_shape_text(x, text), x.rank - 1);
        seen |= 1u << d->axes[i];
        l->shape.dim[i + 1] = x.dim[d->axes[i]];
    }
    return d->count ? CVN_OK
                    : cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "no axes; all but the batch are "
                                                                  "needed");
}

typedef struct cvni_permute_job {
    cvn_shape y;
    ptrdiff_t step[CVN_MAX_RANK];       /* in x, of the axes of y */
    const float *x, *dy;                /* dy: backward */
    float *out;                         /* y or dx */
    int lines;                          /* of a task */
    int add;
} cvni_permute_job;

static cvni_permute_job cvni_permute_job_of(const cvn_net *net, const cvni_layer *l)
{
    const cvni_permute_desc *d = (const cvni_permute_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    ptrdiff_t step[CVN_MAX_RANK];
    cvni_permute_job j;
    memset(&j, 0, sizeof j);
    j.y = l->shape;
    j.lines = 1;
    for (int i = x.rank - 1; i >= 0; i--)
        step[i] = i == x.rank - 1 ? 1 : step[i + 1] * x.dim[i + 1];
    j.step[0] = step[0];
    for (int i = 0; i < d->count; i++) j.step[i + 1] = step[d->axes[i]];
    for (int i = 2; i < j.y.rank - 1; i++) j.lines *= j.y.dim[i];
    return j;
}

static void cvni_permute_part(void *context, int begin, int end, int worker)
{
    const cvni_permute_job *j = (const cvni_permute_job *)context;
    const int last = j->y.rank - 1;
    const int n = j->y.dim[last];
    const ptrdiff_t step = j->step[last];
    (void)worker;
    for (int line = begin * j->lines; line < end * j->lines; line++) {
        ptrdiff_t x = 0;
        const ptrdiff_t y = (ptrdiff_t)line * n;
        int rest = line;
        for (int i = last - 1; i >= 0; i--) {
            x += rest % j->y.dim[i] * j->step[i];
            rest /= j->y.dim[i];
        }
        if (!j->dy)
            for (int i = 0; i < n; i++) j->out[y + i] = j->x[x + i * step];
        else if (!j->add)
            for (int i = 0; i < n; i++) j->out[x + i * step] = j->dy[y + i];
        else
            for (int i = 0; i < n; i++) j->out[x + i * step] += j->dy[y + i];
    }
}

static void cvni_permute_run(cvn_net *net, const cvni_layer *l, cvni_permute_job *j)
{
    const int tasks = l->shape.dim[0] * (l->shape.rank > 2 ? l->shape.dim[1] : 1);
    cvni_parallel_for(net, tasks, 4.0 * (double)cvni_elements(l->shape), cvni_permute_part, j);
}

static cvn_result cvni_permute_forward(cvn_net *net, cvni_layer *l)
{
    cvni_permute_job j = cvni_permute_job_of(net, l);
    j.x = cvni_in(net, l, 0)->y;
    j.out = l->y;
    cvni_permute_run(net, l, &j);
    return CVN_OK;
}

static void cvni_permute_backward(cvn_net *net, cvni_layer *l)
{
    cvni_permute_job j = cvni_permute_job_of(net, l);
    j.dy = l->dy;
    j.out = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.out) cvni_permute_run(net, l, &j);
}

static const cvni_op cvni_op_permute = { "permute",
                                         "permute",
                                         "Transpose",
                                         0,
                                         cvni_permute_shape,
                                         NULL,
                                         cvni_permute_forward,
                                         cvni_permute_backward };

cvn_node cvn_permute(cvn_net *net, cvn_node x, const int *axes, int count)
{
    cvni_permute_desc d;
    memset(&d, 0, sizeof d);
    if (net && !net->failed && (!axes || count < 1 || count >= CVN_MAX_RANK))
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "permute: %d axes; 1 to %d are possible", count,
                        CVN_MAX_RANK - 1);
    else for (int i = 0; axes && i < count; i++) d.axes[d.count++] = axes[i];
    return cvni_add_layer(net, &cvni_op_permute, &x, 1, &d, sizeof d);
}

typedef struct cvni_slice_desc { int axis, begin, end; } cvni_slice_desc;

static cvn_result cvni_slice_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_slice_desc *d = (const cvni_slice_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    if (d->axis < 1 || d->axis >= x.rank)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "axis %d; an input of rank %d has 1 to %d, and the batch stays",
                               d->axis, x.rank, x.rank - 1);
    if (d->begin < 0 || d->begin >= d->end || d->end > x.dim[d->axis])
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "[%d, %d) of axis %d; it has %d elements, and 1 or more must remain",
                               d->begin, d->end, d->axis, x.dim[d->axis]);
    l->shape = x;
    l->shape.dim[d->axis] = d->end - d->begin;
    return CVN_OK;
}

typedef struct cvni_slice_job {
    const cvni_kernels *k;
    const float *from;                  /* x or dy */
    float *to;                          /* y or dx */
    ptrdiff_t whole, part, at;          /* floats of a run of x, of y, and before the part */
    int add, backward;
} cvni_slice_job;

static void cvni_slice_part(void *context, int begin, int end, int worker)
{
    const cvni_slice_job *j = (const cvni_slice_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        if (j->backward) {
            float *dx = j->to + t * j->whole;
            const float *dy = j->from + t * j->part;
            if (!j->add) cvni_zero(dx, (size_t)j->whole);
            j->k->add((int)j->part, dx + j->at, dy, dx + j->at);
        } else {
            memcpy(j->to + t * j->part, j->from + t * j->whole + j->at,
                   (size_t)j->part * sizeof(float));
        }
    }
}

static void cvni_slice_run(cvn_net *net, cvni_layer *l, int backward)
{
    const cvni_slice_desc *d = (const cvni_slice_desc *)l->desc;
    cvni_layer *x = cvni_in(net, l, 0);
    cvni_slice_job j;
    int outer, length, inner;
    cvni_split_axis(x->shape, d->axis, &outer, &length, &inner);
    j.k = net->k;
    j.whole = (ptrdiff_t)length * inner;
    j.part = (ptrdiff_t)(d->end - d->begin) * inner;
    j.at = (ptrdiff_t)d->begin * inner;
    j.add = 0;
    j.backward = backward;
    j.from = backward ? l->dy : x->y;
    j.to = backward ? cvni_gradient_for(x, &j.add) : l->y;
    if (j.to) cvni_parallel_for(net, outer, (double)outer * (double)j.part, cvni_slice_part, &j);
}

static cvn_result cvni_slice_forward(cvn_net *net, cvni_layer *l)
{
    cvni_slice_run(net, l, 0);
    return CVN_OK;
}

static void cvni_slice_backward(cvn_net *net, cvni_layer *l) { cvni_slice_run(net, l, 1); }

static const cvni_op cvni_op_slice = { "slice",          "slice", "Slice",            0,
                                       cvni_slice_shape, NULL,    cvni_slice_forward,
                                       cvni_slice_backward };

cvn_node cvn_slice(cvn_net *net, cvn_node x, int axis, int begin, int end)
{
    cvni_slice_desc d;
    d.axis = axis;
    d.begin = begin;
    d.end = end;
    return cvni_add_layer(net, &cvni_op_slice, &x, 1, &d, sizeof d);
}

void cvn_split(cvn_net *net, cvn_node x, int axis, const int *sizes, int count, cvn_node *parts)
{
    const cvn_shape s = cvn_node_shape(net, x);
    int64_t sum = 0;
    int begin = 0;
    for (int i = 0; parts && i < count; i++) parts[i].id = 0;
    if (!net || net->failed) return;
    for (int i = 0; sizes && i < count; i++) sum += sizes[i] > 0 ? sizes[i] : INT_MAX;
    if (!sizes || !parts || axis < 1 || axis >= s.rank || sum != s.dim[axis]) {
        cvni_graph_fail(net, CVN_ERROR_SHAPE,
                        "split: the sizes of %d parts must add up to axis %d, from 1 on, of the "
                        "input",
                        count, axis);
        return;
    }
    for (int i = 0; i < count; i++) {
        parts[i] = cvn_slice(net, x, axis, begin, begin + sizes[i]);
        begin += sizes[i];
    }
}

/* ================================================================================================
 * >>matmul   batched matrix product
 * ==============================================================================================
 *   a [N, ..., T, K] (transposed: [N, ..., K, T]), b [N, ..., K, S] ([N, ..., S, K]),
 *   y [N, ..., T, S] = a b, one product for each index of the axes before the last two. Tasks are
 *   blocks of the products.
 *   backward  da = dy b^T, db = a^T dy; of a transposed operand the transposed of it
 *                                                                    tested: tests/test_tensor.c */

typedef struct cvni_matmul_desc { int transpose[2]; } cvni_matmul_desc;

typedef struct cvni_matmul { int count, T, K, S; } cvni_matmul;

static cvni_matmul cvni_matmul_of(const cvn_net *net, const cvni_layer *l)
{
    const cvni_matmul_desc *d = (const cvni_matmul_desc *)l->desc;
    const cvn_shape a = cvni_in(net, l, 0)->shape;
    cvni_matmul m;
    m.T = l->shape.dim[l->shape.rank - 2];
    m.S = l->shape.dim[l->shape.rank - 1];
    m.K = a.dim[a.rank - (d->transpose[0] ? 2 : 1)];
    m.count = 1;
    for (int i = 0; i < a.rank - 2; i++) m.count *= a.dim[i];
    return m;
}

static cvn_result cvni_matmul_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_matmul_desc *d = (const cvni_matmul_desc *)l->desc;
    const cvn_shape a = cvni_in(net, l, 0)->shape;
    const cvn_shape b = cvni_in(net, l, 1)->shape;
    const int last = a.rank - 1;
    const int ta = d->transpose[0] != 0;
    const int tb = d->transpose[1] != 0;
    int fits = a.rank == b.rank && a.rank >= 3;
    cvni_matmul m;
    char one[96];
    char two[96];
    for (int i = 1; fits && i < last - 1; i++) fits = a.dim[i] == b.dim[i];
    if (!fits || a.dim[last - ta] != b.dim[last - 1 + tb])
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' %s%s and '%s' %s%s do not fit; [N, ..., T, K] and "
                               "[N, ..., K, S] are needed",
                               cvni_in(net, l, 0)->name, cvni_shape_text(a, one),
                               ta ? " transposed" : "", cvni_in(net, l, 1)->name,
                               cvni_shape_text(b, two), tb ? " transposed" : "");
    l->shape = a;
    l->shape.dim[last - 1] = a.dim[last - 1 + ta];
    l->shape.dim[last] = b.dim[last - tb];
    m = cvni_matmul_of(net, l);
    l->macs = (double)(m.count / a.dim[0]) * m.T * m.K * m.S;
    l->scratch_bytes = cvni_gemm_scratch(net->k, m.T, m.S, m.K);
    for (int t = 0; t < 2; t++) {       /* either order of the gradients' axes */
        l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                         cvni_gemm_scratch(net->k, t ? m.T : m.K, t ? m.K : m.T,
                                                           m.S));
        l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                         cvni_gemm_scratch(net->k, t ? m.S : m.K, t ? m.K : m.S,
                                                           m.T));
    }
    return CVN_OK;
}

/* `count` products of one size, their matrices without gaps: c (+)= a b. a_step: line, k. */
typedef struct cvni_matmul_job {
    cvn_net *net;
    int count, m, n, k;
    const float *a, *b;
    ptrdiff_t a_step[2], b_step[2];
    float *c;
    int add;
    cvni_blocks blocks;
} cvni_matmul_job;

static void cvni_matmul_part(void *context, int begin, int end, int worker)
{
    const cvni_matmul_job *j = (const cvni_matmul_job *)context;
    const int blocks = j->blocks.rows * j->blocks.cols;
    for (int t = begin; t < end; t++) {
        const ptrdiff_t i = t / blocks;
        cvni_gemm g;
        memset(&g, 0, sizeof g);
        g.m = j->m;
        g.n = j->n;
        g.k = j->k;
        g.a = cvni_matrix(j->a + i * j->m * j->k, j->a_step[0], j->a_step[1]);
        g.b = cvni_matrix(j->b + i * j->n * j->k, j->b_step[0], j->b_step[1]);
        g.c = j->c + i * j->m * j->n;
        g.ldc = j->n;
        g.add = j->add;
        cvni_gemm_task(j->net, &g, &j->blocks, t % blocks, worker);
    }
}

/* c [m, n] = op(a) [m, k] op(b) [k, n]; a lies as [k, m] when turned, b as [n, k]. */
static void cvni_matmul_run(cvn_net *net, int count, int m, int n, int k, const float *a,
                            int turn_a, const float *b, int turn_b, float *c, int add)
{
    cvni_matmul_job j;
    j.net = net;
    j.count = count;
    j.m = m;
    j.n = n;
    j.k = k;
    j.a = a;
    j.b = b;
    j.a_step[0] = turn_a ? 1 : k;
    j.a_step[1] = turn_a ? m : 1;
    j.b_step[0] = turn_b ? k : 1;
    j.b_step[1] = turn_b ? 1 : n;
    j.c = c;
    j.add = add;
    j.blocks = cvni_make_blocks(net->k, m, n, cvni_ceil_div(2 * net->threads, count));
    cvni_parallel_for(net, count * j.blocks.rows * j.blocks.cols, 2.0 * count * m * n * k,
                      cvni_matmul_part, &j);
}

static cvn_result cvni_matmul_forward(cvn_net *net, cvni_layer *l)
{
    const int *turn = ((const cvni_matmul_desc *)l->desc)->transpose;
    const cvni_matmul m = cvni_matmul_of(net, l);
    cvni_matmul_run(net, m.count, m.T, m.S, m.K, cvni_in(net, l, 0)->y, turn[0],
                    cvni_in(net, l, 1)->y, turn[1], l->y, 0);
    return CVN_OK;
}

static void cvni_matmul_backward(cvn_net *net, cvni_layer *l)
{
    const int *turn = ((const cvni_matmul_desc *)l->desc)->transpose;
    const cvni_matmul m = cvni_matmul_of(net, l);
    cvni_layer *a = cvni_in(net, l, 0);
    cvni_layer *b = cvni_in(net, l, 1);
    int add = 0;
    float *d = cvni_gradient_for(a, &add);
    if (d && turn[0])
        cvni_matmul_run(net, m.count, m.K, m.T, m.S, b->y, turn[1], l->dy, 1, d, add);
    else if (d)
        cvni_matmul_run(net, m.count, m.T, m.K, m.S, l->dy, 0, b->y, !turn[1], d, add);
    d = cvni_gradient_for(b, &add);
    if (d && turn[1])
        cvni_matmul_run(net, m.count, m.S, m.K, m.T, l->dy, 1, a->y, turn[0], d, add);
    else if (d)
        cvni_matmul_run(net, m.count, m.K, m.S, m.T, a->y, !turn[0], l->dy, 0, d, add);
}

static const cvni_op cvni_op_matmul = { "matmul",
                                        "matmul",
                                        "MatMul",
                                        CVNI_USES_X,
                                        cvni_matmul_shape,
                                        NULL,
                                        cvni_matmul_forward,
                                        cvni_matmul_backward };

cvn_node cvn_matmul(cvn_net *net, cvn_node a, cvn_node b, int transpose_a, int transpose_b)
{
    cvni_matmul_desc d;
    cvn_node in[2];
    in[0] = a;
    in[1] = b;
    d.transpose[0] = transpose_a != 0;
    d.transpose[1] = transpose_b != 0;
    return cvni_add_layer(net, &cvni_op_matmul, in, 2, &d, sizeof d);
}

cvn_node cvn_gram(cvn_net *net, cvn_node x)
{
    const cvn_node none = { 0 };
    const cvn_shape s = cvn_node_shape(net, x);
    int dims[2];
    cvn_node f;
    if (!net || net->failed) return none;
    if (s.rank != 4) {
        cvni_graph_fail(net, CVN_ERROR_SHAPE, "gram: an input of rank %d; [N, C, H, W] is needed",
                        s.rank);
        return none;
    }
    dims[0] = s.dim[1];
    dims[1] = -1;
    f = cvn_reshape(net, x, dims, 2);
    return cvn_scale(net, cvn_matmul(net, f, f, 0, 1),
                     (float)(1 / ((double)s.dim[1] * s.dim[2] * s.dim[3])), 0);
}

/* ================================================================================================
 * >>embedding   a row of a table for each label
 * ==============================================================================================
 *   x int [N, ...], weight [count, dim], y[n, ..., :] = weight[x[n, ...], :]
 *   backward  weight[x] += dy, position by position: tasks are parts of the rows, so that the order
 *             of a sum is fixed                                      tested: tests/test_tensor.c */

#define CVNI_EMBEDDING_PART 16          /* columns of a task of the backward pass */

typedef struct cvni_embedding_desc { int count, dim; } cvni_embedding_desc;

static cvn_result cvni_embedding_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_embedding_desc *d = (const cvni_embedding_desc *)l->desc;
    const cvni_layer *x = cvni_in(net, l, 0);
    cvn_init normal;
    if (!x->is_int || x->shape.rank >= CVN_MAX_RANK)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' must be labels (cvn_input_labels) of at most %d axes", x->name,
                               CVN_MAX_RANK - 1);
    if (d->count < 1 || d->dim < 1)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "a table of %d rows of %d; 1 or more are needed", d->count, d->dim);
    l->shape = x->shape;
    l->shape.dim[l->shape.rank++] = d->dim;
    normal.kind = CVN_INIT_NORMAL;
    normal.a = 0;
    normal.b = 1;
    return cvni_add_param(net, l, 0, "weight", cvni_shape(2, d->count, d->dim, 0, 0), CVNI_WEIGHT,
                          normal, d->dim, d->count);
}

typedef struct cvni_embedding_job {
    const int *x;
    const float *from;                  /* weight or dy */
    float *to;                          /* y or the weight's gradient */
    int positions, dim;
} cvni_embedding_job;

static cvni_embedding_job cvni_embedding_job_of(const cvn_net *net, const cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    cvni_embedding_job j;
    j.x = (const int *)(const void *)x->y;
    j.from = NULL;
    j.to = NULL;
    j.positions = (int)cvni_elements(x->shape);
    j.dim = ((const cvni_embedding_desc *)l->desc)->dim;
    return j;
}

static void cvni_embedding_part(void *context, int begin, int end, int worker)
{
    const cvni_embedding_job *j = (const cvni_embedding_job *)context;
    (void)worker;
    for (int i = begin; i < end; i++)
        memcpy(j->to + (ptrdiff_t)i * j->dim, j->from + (ptrdiff_t)j->x[i] * j->dim,
               (size_t)j->dim * sizeof(float));
}

static void cvni_embedding_back_part(void *context, int begin, int end, int worker)
{
    const cvni_embedding_job *j = (const cvni_embedding_job *)context;
    const int first = begin * CVNI_EMBEDDING_PART;
    const int last = cvni_min(end * CVNI_EMBEDDING_PART, j->dim);
    (void)worker;
    for (int i = 0; i < j->positions; i++) {
        const float *dy = j->from + (ptrdiff_t)i * j->dim;
        float *dw = j->to + (ptrdiff_t)j->x[i] * j->dim;
        for (int k = first; k < last; k++) dw[k] += dy[k];
    }
}

static cvn_result cvni_embedding_forward(cvn_net *net, cvni_layer *l)
{
    const int rows = ((const cvni_embedding_desc *)l->desc)->count;
    cvni_embedding_job j = cvni_embedding_job_of(net, l);
    for (int i = 0; i < j.positions; i++)
        if (j.x[i] < 0 || j.x[i] >= rows)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "index %d (number %d of the batch) is not in 0..%d", j.x[i], i,
                                   rows - 1);
    j.from = cvni_weights(net, l, 0);
    j.to = l->y;
    cvni_parallel_for(net, j.positions, (double)j.positions * j.dim, cvni_embedding_part, &j);
    return CVN_OK;
}

static void cvni_embedding_backward(cvn_net *net, cvni_layer *l)
{
    cvni_embedding_job j = cvni_embedding_job_of(net, l);
    j.from = l->dy;
    j.to = cvni_weights_grad(net, l, 0);
    if (j.to)
        cvni_parallel_for(net, cvni_ceil_div(j.dim, CVNI_EMBEDDING_PART),
                          (double)j.positions * j.dim, cvni_embedding_back_part, &j);
}

static const cvni_op cvni_op_embedding = { "embedding",
                                           "embedding",
                                           "Gather",
                                           CVNI_TAKES_INT | CVNI_USES_X,
                                           cvni_embedding_shape,
                                           NULL,
                                           cvni_embedding_forward,
                                           cvni_embedding_backward };

cvn_node cvn_embedding(cvn_net *net, cvn_node labels, int count, int dim)
{
    cvni_embedding_desc d;
    d.count = count;
    d.dim = dim;
    return cvni_add_layer(net, &cvni_op_embedding, &labels, 1, &d, sizeof d);
}

/* ================================================================================================
 * >>parameter   learned tensors without an input; positions of a sequence
 * ==============================================================================================
 *   parameter            y[n] = w; w [dims...]; backward  dw += sum over n of dy[n]
 *   positional encoding  y = x + p; p [T, C] in l->table, waves of A. Vaswani et al.,
 *                        arXiv:1706.03762, section 3.5; backward  dx = dy
 *   position embedding   y = x + w, w [T, C]; backward  dx = dy, dw += sum over n of dy[n]
 *                                                                 tested: tests/test_attention.c */

#define CVNI_ROWS_BLOCK 256             /* columns of a task that sums rows */

typedef struct cvni_rows_job {
    int rows, width;
    const float *from;
    float *to;
} cvni_rows_job;

/* A block of columns, row after row. */
CVNI_HOT
static void cvni_add_rows_part(void *context, int begin, int end, int worker)
{
    const cvni_rows_job *j = (const cvni_rows_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const int first = t * CVNI_ROWS_BLOCK;
        const int n = cvni_min(CVNI_ROWS_BLOCK, j->width - first);
        double sum[CVNI_ROWS_BLOCK] = { 0 };
        for (int r = 0; r < j->rows; r++) {
            const float *row = j->from + (ptrdiff_t)r * j->width + first;
            for (int i = 0; i < n; i++) sum[i] += (double)row[i];
        }
        for (int i = 0; i < n; i++) j->to[first + i] += (float)sum[i];
    }
}

/* to [width] += the sum over the rows of from [rows, width]; to may be NULL. */
static void cvni_add_rows(cvn_net *net, int rows, int width, const float *from, float *to)
{
    cvni_rows_job j;
    j.rows = rows;
    j.width = width;
    j.from = from;
    j.to = to;
    if (to)
        cvni_parallel_for(net, cvni_ceil_div(width, CVNI_ROWS_BLOCK), 1.0 * rows * width,
                          cvni_add_rows_part, &j);
}

typedef struct cvni_parameter_desc {
    int rank;                           /* of the tensor */
    int dim[CVN_MAX_RANK];
    cvn_init init;
} cvni_parameter_desc;

static cvn_result cvni_parameter_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_parameter_desc *d = (const cvni_parameter_desc *)l->desc;
    cvn_shape s = cvni_shape(d->rank, 0, 0, 0, 0);
    double fan_in = 1;
    double fan_out;
    for (int i = 0; i < d->rank; i++) {
        if (d->dim[i] < 1)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "axis %d has %d elements; 1 or more are needed", i + 1,
                                   d->dim[i]);
        s.dim[i] = l->shape.dim[i + 1] = d->dim[i];
        if (i) fan_in *= d->dim[i];
    }
    fan_out = fan_in * d->dim[0] / (d->rank > 1 ? d->dim[1] : 1);
    l->shape.rank = d->rank + 1;
    l->shape.dim[0] = net->shape_batch;
    return cvni_add_param(net, l, 0, "", s, CVNI_WEIGHT, cvni_init_or(d->init, CVN_INIT_ZERO, 0),
                          fan_in, fan_out);
}

static void cvni_parameter_part(void *context, int begin, int end, int worker)
{
    const cvni_rows_job *j = (const cvni_rows_job *)context;
    (void)worker;
    for (int n = begin; n < end; n++)
        memcpy(j->to + (ptrdiff_t)n * j->width, j->from, (size_t)j->width * sizeof(float));
}

static cvn_result cvni_parameter_forward(cvn_net *net, cvni_layer *l)
{
    cvni_rows_job j;
    j.rows = l->shape.dim[0];
    j.width = (int)cvni_sample_elements(l->shape);
    j.from = cvni_weights(net, l, 0);
    j.to = l->y;
    cvni_parallel_for(net, j.rows, 1.0 * j.rows * j.width, cvni_parameter_part, &j);
    return CVN_OK;
}

static void cvni_parameter_backward(cvn_net *net, cvni_layer *l)
{
    cvni_add_rows(net, l->shape.dim[0], (int)cvni_sample_elements(l->shape), l->dy,
                  cvni_weights_grad(net, l, 0));
}

static const cvni_op cvni_op_parameter = { "parameter",
                                           "parameter",
                                           NULL,
                                           0,
                                           cvni_parameter_shape,
                                           NULL,
                                           cvni_parameter_forward,
                                           cvni_parameter_backward };

cvn_node cvn_parameter(cvn_net *net, const int *dims, int count, cvn_init init)
{
    const cvn_node none = { 0 };
    cvni_parameter_desc d;
    memset(&d, 0, sizeof d);
    if (!net || net->failed) return none;
    if (count < 1 || count >= CVN_MAX_RANK || !dims) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "parameter: %d axes; 1 to %d are possible", count,
                        CVN_MAX_RANK - 1);
        return none;
    }
    d.rank = count;
    for (int i = 0; i < count; i++) d.dim[i] = dims[i];
    d.init = init;
    return cvni_add_layer(net, &cvni_op_parameter, NULL, 0, &d, sizeof d);
}

static cvn_result cvni_sequence_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    char text[96];
    if (x->shape.rank != 3)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' %s is no sequence; [T, C] for each sample is needed", x->name,
                               cvni_shape_text(x->shape, text));
    l->shape = x->shape;
    return CVN_OK;
}

static cvn_result cvni_posenc_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_result result = cvni_sequence_shape(net, l);
    l->table_bytes = cvni_mul_size(cvni_sample_elements(l->shape), sizeof(float));
    return result;
}

static void cvni_posenc_prepare(cvn_net *net, cvni_layer *l)
{
    const int T = l->shape.dim[1];
    const int C = l->shape.dim[2];
    float *p = (float *)l->table;
    (void)net;
    for (int t = 0; t < T; t++)
        for (int c = 0; c < C; c++) {
            const double angle = t / pow(10000.0, (double)(c / 2 * 2) / C);
            *p++ = (float)(c % 2 ? cos(angle) : sin(angle));
        }
}

static cvn_result cvni_posemb_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_result result = cvni_sequence_shape(net, l);
    cvn_init normal;
    normal.kind = CVN_INIT_NORMAL;
    normal.a = 0;
    normal.b = 0.02f;
    if (result != CVN_OK) return result;
    return cvni_add_param(net, l, 0, "weight",
                          cvni_shape(2, l->shape.dim[1], l->shape.dim[2], 0, 0), CVNI_WEIGHT,
                          normal, l->shape.dim[2], l->shape.dim[1]);
}

typedef struct cvni_position_job {
    const cvni_kernels *kern;
    int width;                          /* T*C */
    const float *x, *p;                 /* p NULL: backward */
    float *y;
    int add;
} cvni_position_job;

static void cvni_position_part(void *context, int begin, int end, int worker)
{
    const cvni_position_job *j = (const cvni_position_job *)context;
    (void)worker;
    for (int n = begin; n < end; n++) {
        const ptrdiff_t at = (ptrdiff_t)n * j->width;
        if (j->p) j->kern->add(j->width, j->x + at, j->p, j->y + at);
        else if (j->add) j->kern->add(j->width, j->x + at, j->y + at, j->y + at);
        else memcpy(j->y + at, j->x + at, (size_t)j->width * sizeof(float));
    }
}

static void cvni_position_run(cvn_net *net, cvni_layer *l, const float *x, const float *p, float *y,
                              int add)
{
    cvni_position_job j;
    j.kern = net->k;
    j.width = (int)cvni_sample_elements(l->shape);
    j.x = x;
    j.p = p;
    j.y = y;
    j.add = add;
    cvni_parallel_for(net, l->shape.dim[0], 1.0 * l->shape.dim[0] * j.width, cvni_position_part,
                      &j);
}

static cvn_result cvni_position_forward(cvn_net *net, cvni_layer *l)
{
    const float *p = l->params ? cvni_weights(net, l, 0) : (const float *)l->table;
    cvni_position_run(net, l, cvni_in(net, l, 0)->y, p, l->y, 0);
    return CVN_OK;
}

static void cvni_position_backward(cvn_net *net, cvni_layer *l)
{
    int add = 0;
    float *dx;
    cvni_add_rows(net, l->shape.dim[0], (int)cvni_sample_elements(l->shape), l->dy,
                  cvni_weights_grad(net, l, 0));
    dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (dx && dx != l->dy) cvni_position_run(net, l, l->dy, NULL, dx, add);
}

static const cvni_op cvni_op_posenc = { "positional_encoding", "posenc",
                                        NULL,                  CVNI_INPLACE | CVNI_INPLACE_GRAD,
                                        cvni_posenc_shape,     cvni_posenc_prepare,
                                        cvni_position_forward, cvni_position_backward };
static const cvni_op cvni_op_posemb = { "position_embedding",  "posemb",
                                        NULL,                  CVNI_INPLACE | CVNI_INPLACE_GRAD,
                                        cvni_posemb_shape,     NULL,
                                        cvni_position_forward, cvni_position_backward };

cvn_node cvn_positional_encoding(cvn_net *net, cvn_node x)
{
    return cvni_add_layer(net, &cvni_op_posenc, &x, 1, NULL, 0);
}

cvn_node cvn_position_embedding(cvn_net *net, cvn_node x)
{
    return cvni_add_layer(net, &cvni_op_posemb, &x, 1, NULL, 0);
}

/* ================================================================================================
 * >>attention   softmax(Q K^T/sqrt(d)) V, head by head; with the projections around it
 * ==============================================================================================
 *   Q [N, T, E], K and V [N, S, E], E = heads*d: head h is columns [h*d, (h + 1)*d)
 *   P = softmax(Q K^T/sqrt(d)) over the keys that are seen: s < length of the sample, and s <= t
 *   where causal; dropout: P' = P*mask/(1 - p), else P' = P; O = P' V
 *   multihead  Q, K, V = x W^T + b with the three parts of in_proj; y = O out_proj^T + bias
 *
 *   backward  dV = P'^T dO; dP = dO V^T times the mask; dA = P (dP - sum over s of P dP)/sqrt(d);
 *             dQ = dA K; dK = dA^T Q
 *
 *   P is never stored: a task has CVNI_ATTENTION_ROWS queries of one head in its scratch, and
 *   backward computes them again from Q and K. Tasks forward are such blocks of queries; backward
 *   (sample, head), block after block, since all of them add to dK and dV. Saved: Q, K, V, O of
 *   multihead attention; of neighbours among query, key, value that are one node in one matrix,
 *   so that they are one product.
 *   source   A. Vaswani et al., arXiv:1706.03762, section 3.2; P again in backward: T. Dao et al.,
 *            arXiv:2205.14135, section 3.1                        tested: tests/test_attention.c */

#define CVNI_ATTENTION_ROWS 64          /* queries of a block */

typedef struct cvni_attention_desc {
    int heads, causal, no_bias;
    float dropout;
    cvn_init weight_init;
} cvni_attention_desc;

/* The core's view: rows of Q, K, V (and of their gradients) are ld floats apart. */
typedef struct cvni_heads {
    cvn_net *net;
    int id;                             /* of the layer: dropout */
    int N, T, S, E, heads, causal;
    float dropout;                      /* 0 in prediction */
    const int *lengths;                 /* [N], or NULL */
    const float *x[3];                  /* Q, K, V */
    float *dx[3];                       /* their gradients, or NULL */
    ptrdiff_t ld[3], dx_ld[3];
    int add[3];                         /* dx +=, else = */
    float *y;                           /* O [N, T, E] */
    const float *dy;
} cvni_heads;

static int cvni_attention_blocks(const cvni_heads *a)
{
    return cvni_ceil_div(a->T, CVNI_ATTENTION_ROWS);
}

/* Scratch of a worker: that of the products, then two blocks of weights and a row of the mask. */
static size_t cvni_attention_products(const cvn_net *net, int T, int S, int d)
{
    const int rows = cvni_min(T, CVNI_ATTENTION_ROWS);
    const size_t one = cvni_gemm_scratch(net->k, rows, S, d);
    const size_t two = cvni_gemm_scratch(net->k, rows, d, S);
    return cvni_max_size(cvni_max_size(one, two), cvni_gemm_scratch(net->k, S, d, rows));
}

static size_t cvni_attention_scratch(const cvn_net *net, int T, int S, int d)
{
    const size_t rows = 2 * (size_t)cvni_min(T, CVNI_ATTENTION_ROWS) + 1;
    return cvni_add_size(cvni_attention_products(net, T, S, d),
                         cvni_mul_size(cvni_mul_size(rows, (size_t)S), sizeof(float)));
}

/* Where Q, K or V (which = 0, 1, 2) of a head begins, from row t on. */
static ptrdiff_t cvni_head_at(const cvni_heads *a, int which, ptrdiff_t ld, int n, int head, int t)
{
    return ((ptrdiff_t)n * (which ? a->S : a->T) + t) * ld + (ptrdiff_t)head * (a->E / a->heads);
}

/* Keys that query t of sample n sees. */
static int cvni_keys_seen(const cvni_heads *a, int n, int t)
{
    const int keys = a->lengths ? a->lengths[n] : a->S;
    return a->causal ? cvni_min(keys, t + 1) : keys;
}

/* c [m, n] (+)= a b inside a task. */
static void cvni_head_product(const cvni_heads *a, int m, int n, int k, cvni_operand left,
                              cvni_operand right, float *c, ptrdiff_t ldc, int add, void *scratch)
{
    const cvni_blocks b = cvni_make_blocks(a->net->k, m, n, 1);
    cvni_gemm g;
    memset(&g, 0, sizeof g);
    g.m = m;
    g.n = n;
    g.k = k;
    g.a = left;
    g.b = right;
    g.c = c;
    g.ldc = ldc;
    g.add = add;
    for (int i = 0; i < m; i += b.ms)
        for (int j = 0; j < n; j += b.ns)
            cvni_gemm_block(a->net->k, &g, i, cvni_min(b.ms, m - i), j, cvni_min(b.ns, n - j),
                            scratch);
}

/* P of the queries [t, t + rows), rows of S floats; returns the keys that any of them sees, only so
 * many columns are written. */
static int cvni_attention_weights(const cvni_heads *a, int n, int head, int t, int rows, float *p,
                                  void *scratch)
{
    const int keys = cvni_keys_seen(a, n, t + rows - 1);
    const int d = a->E / a->heads;
    const float scale = (float)(1 / sqrt((double)d));
    cvni_head_product(a, rows, keys, d,
                      cvni_matrix(a->x[0] + cvni_head_at(a, 0, a->ld[0], n, head, t), a->ld[0], 1),
                      cvni_matrix(a->x[1] + cvni_head_at(a, 1, a->ld[1], n, head, 0), a->ld[1], 1),
                      p, a->S, 0, scratch);
    for (int r = 0; r < rows; r++) {
        const int seen = cvni_keys_seen(a, n, t + r);
        float *row = p + (ptrdiff_t)r * a->S;
        a->net->k->scale_shift(seen, scale, 0, row, row);
        cvni_softmax_line(seen, 1, row, row);
        cvni_zero(row + seen, (size_t)(keys - seen));
    }
    return keys;
}

/* mask/(1 - p) of the first `keys` weights of a query. Number of the random words: that of the
 * query among all, times the words of a row. */
static void cvni_attention_mask(const cvni_heads *a, int n, int head, int t, int keys, float *mask)
{
    const float scale = 1 / (1 - a->dropout);
    const uint32_t row = ((uint32_t)n * (uint32_t)a->heads + (uint32_t)head) * (uint32_t)a->T +
                         (uint32_t)t;
    const uint32_t first = row * (uint32_t)cvni_ceil_div(a->S, 4);
    for (int s = 0; s < keys; s += 4) {
        uint32_t word[4];
        cvni_random4(a->net->desc.seed, CVNI_STREAM_DROPOUT, a->net->tick, (uint32_t)a->id,
                     first + (uint32_t)(s / 4), word);
        for (int i = 0; i < 4 && s + i < keys; i++)
            mask[s + i] = cvni_to_uniform(word[i]) < a->dropout ? 0 : scale;
    }
}

CVNI_HOT
static void cvni_times(int n, const float *a, float *x)
{
    for (int i = 0; i < n; i++) x[i] *= a[i];
}

static void cvni_attention_part(void *context, int begin, int end, int worker)
{
    const cvni_heads *a = (const cvni_heads *)context;
    const int d = a->E / a->heads;
    const int blocks = cvni_attention_blocks(a);
    char *scratch = (char *)cvni_scratch(a->net, worker);
    float *p = (float *)(void *)(scratch + cvni_attention_products(a->net, a->T, a->S, d));
    float *mask = p + (ptrdiff_t)cvni_min(a->T, CVNI_ATTENTION_ROWS) * a->S;
    for (int task = begin; task < end; task++) {
        const int n = task / blocks / a->heads;
        const int head = task / blocks % a->heads;
        const int t = task % blocks * CVNI_ATTENTION_ROWS;
        const int rows = cvni_min(CVNI_ATTENTION_ROWS, a->T - t);
        const int keys = cvni_attention_weights(a, n, head, t, rows, p, scratch);
        for (int r = 0; a->dropout > 0 && r < rows; r++) {
            cvni_attention_mask(a, n, head, t + r, keys, mask);
            cvni_times(keys, mask, p + (ptrdiff_t)r * a->S);
        }
        cvni_head_product(a, rows, d, keys, cvni_matrix(p, a->S, 1),
                          cvni_matrix(a->x[2] + cvni_head_at(a, 2, a->ld[2], n, head, 0), 1,
                                      a->ld[2]),
                          a->y + cvni_head_at(a, 0, a->E, n, head, t), a->E, 0, scratch);
    }
}

/* One row: g = dP becomes dA, p = P becomes P'. mask NULL: without dropout. */
CVNI_HOT
static void cvni_attention_row_back(int n, float scale, const float *mask, float *p, float *g)
{
    double sum = 0;
    if (mask) for (int i = 0; i < n; i++) g[i] *= mask[i];
    for (int i = 0; i < n; i++) sum += (double)(p[i] * g[i]);
    for (int i = 0; i < n; i++) g[i] = p[i] * (g[i] - (float)sum) * scale;
    if (mask) for (int i = 0; i < n; i++) p[i] *= mask[i];
}

/* The queries [t, t + rows) of one head add to dQ, dK, dV. */
static void cvni_attention_block_back(const cvni_heads *a, int n, int head, int t, int rows,
                                      float *p, float *g, float *mask, void *scratch)
{
    const int d = a->E / a->heads;
    const float scale = (float)(1 / sqrt((double)d));
    const float *q = a->x[0] + cvni_head_at(a, 0, a->ld[0], n, head, t);
    const float *k = a->x[1] + cvni_head_at(a, 1, a->ld[1], n, head, 0);
    const float *v = a->x[2] + cvni_head_at(a, 2, a->ld[2], n, head, 0);
    const float *dy = a->dy + cvni_head_at(a, 0, a->E, n, head, t);
    const int keys = cvni_attention_weights(a, n, head, t, rows, p, scratch);
    cvni_head_product(a, rows, keys, d, cvni_matrix(dy, a->E, 1), cvni_matrix(v, a->ld[2], 1), g,
                      a->S, 0, scratch);
    for (int r = 0; r < rows; r++) {
        if (a->dropout > 0) cvni_attention_mask(a, n, head, t + r, keys, mask);
        cvni_attention_row_back(keys, scale, a->dropout > 0 ? mask : NULL, p + (ptrdiff_t)r * a->S,
                                g + (ptrdiff_t)r * a->S);
    }
    if (a->dx[0])
        cvni_head_product(a, rows, d, keys, cvni_matrix(g, a->S, 1), cvni_matrix(k, 1, a->ld[1]),
                          a->dx[0] + cvni_head_at(a, 0, a->dx_ld[0], n, head, t), a->dx_ld[0], 1,
                          scratch);
    if (a->dx[1])
        cvni_head_product(a, keys, d, rows, cvni_matrix(g, 1, a->S), cvni_matrix(q, 1, a->ld[0]),
                          a->dx[1] + cvni_head_at(a, 1, a->dx_ld[1], n, head, 0), a->dx_ld[1], 1,
                          scratch);
    if (a->dx[2])
        cvni_head_product(a, keys, d, rows, cvni_matrix(p, 1, a->S), cvni_matrix(dy, 1, a->E),
                          a->dx[2] + cvni_head_at(a, 2, a->dx_ld[2], n, head, 0), a->dx_ld[2], 1,
                          scratch);
}

/* dQ, dK and dV may be one array: what is not to be added to is zeroed before anything adds. */
static void cvni_attention_back_part(void *context, int begin, int end, int worker)
{
    const cvni_heads *a = (const cvni_heads *)context;
    const int d = a->E / a->heads;
    char *scratch = (char *)cvni_scratch(a->net, worker);
    float *p = (float *)(void *)(scratch + cvni_attention_products(a->net, a->T, a->S, d));
    float *g = p + (ptrdiff_t)cvni_min(a->T, CVNI_ATTENTION_ROWS) * a->S;
    float *mask = g + (ptrdiff_t)cvni_min(a->T, CVNI_ATTENTION_ROWS) * a->S;
    for (int task = begin; task < end; task++) {
        const int n = task / a->heads;
        const int head = task % a->heads;
        for (int i = 0; i < 3; i++)
            for (int t = 0; a->dx[i] && !a->add[i] && t < (i ? a->S : a->T); t++)
                cvni_zero(a->dx[i] + cvni_head_at(a, i, a->dx_ld[i], n, head, t), (size_t)d);
        for (int t = 0; t < a->T; t += CVNI_ATTENTION_ROWS)
            cvni_attention_block_back(a, n, head, t, cvni_min(CVNI_ATTENTION_ROWS, a->T - t), p, g,
                                      mask, scratch);
    }
}

/* The core: O from Q, K, V, or their gradients from dy. */
static void cvni_attention_run(const cvni_heads *a, int backward)
{
    const double weights = (double)a->N * a->T * a->S;
    const double cost = weights * (4.0 * a->E + 30.0 * a->heads);
    cvni_heads copy = *a;
    if (backward)
        cvni_parallel_for(a->net, a->N * a->heads, 2.5 * cost, cvni_attention_back_part, &copy);
    else
        cvni_parallel_for(a->net, a->N * a->heads * cvni_attention_blocks(a), cost,
                          cvni_attention_part, &copy);
}

/* Everything but Q, K, V and the results. */
static cvni_heads cvni_heads_of(cvn_net *net, const cvni_layer *l)
{
    const cvni_attention_desc *d = (const cvni_attention_desc *)l->desc;
    cvni_heads a;
    memset(&a, 0, sizeof a);
    a.net = net;
    a.id = cvni_id(net, l);
    a.N = l->shape.dim[0];
    a.T = l->shape.dim[1];
    a.E = l->shape.dim[2];
    a.S = cvni_in(net, l, 1)->shape.dim[1];
    a.heads = d->heads;
    a.causal = d->causal;
    a.dropout = net->training ? d->dropout : 0;
    if (l->inputs > 3) a.lengths = (const int *)(const void *)cvni_in(net, l, 3)->y;
    return a;
}

static cvn_result cvni_attention_inputs(cvn_net *net, cvni_layer *l)
{
    const cvni_attention_desc *d = (const cvni_attention_desc *)l->desc;
    const cvn_shape q = cvni_in(net, l, 0)->shape;
    const cvn_shape k = cvni_in(net, l, 1)->shape;
    const cvn_shape v = cvni_in(net, l, 2)->shape;
    char one[96];
    char two[96];
    char three[96];
    for (int i = 0; i < 3; i++)
        if (cvni_in(net, l, i)->is_int)
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "'%s' is labels; a tensor of floats is needed",
                                   cvni_in(net, l, i)->name);
    if (q.rank != 3 || k.rank != 3 || !cvni_same_shape(k, v) || q.dim[0] != k.dim[0] ||
        q.dim[2] != k.dim[2])
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "query %s, key %s and value %s do not fit; [T, E], [S, E] and "
                               "[S, E] are needed", cvni_shape_text(q, one),
                               cvni_shape_text(k, two), cvni_shape_text(v, three));
    if (d->heads < 1 || q.dim[2] % d->heads)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "%d heads; a divisor of the %d columns of the query is needed",
                               d->heads, q.dim[2]);
    if (!(d->dropout >= 0) || !(d->dropout < 1))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "dropout %g; 0 <= dropout < 1 is needed", (double)d->dropout);
    if (l->inputs > 3) {
        const cvni_layer *lengths = cvni_in(net, l, 3);
        if (!lengths->is_int || lengths->shape.rank != 1 || lengths->shape.dim[0] != k.dim[0])
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "the lengths '%s' must be labels with one number a sample: "
                                   "cvn_input_labels(net, NULL, 0)", lengths->name);
    }
    return CVN_OK;
}

static cvn_result cvni_attention_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_attention_desc *d = (const cvni_attention_desc *)l->desc;
    const cvn_result result = cvni_attention_inputs(net, l);
    int T, S, E;
    if (result != CVN_OK) return result;
    l->shape = cvni_in(net, l, 0)->shape;
    T = l->shape.dim[1];
    E = l->shape.dim[2];
    S = cvni_in(net, l, 1)->shape.dim[1];
    l->scratch_bytes = cvni_attention_scratch(net, T, S, E / d->heads);
    l->macs = 2.0 * T * S * E;
    return CVN_OK;
}

/* Every length is from 1 to S: no query is left without a key. */
static cvn_result cvni_check_lengths(cvn_net *net, const cvni_layer *l, const cvni_heads *a)
{
    for (int n = 0; a->lengths && n < a->N; n++)
        if (a->lengths[n] < 1 || a->lengths[n] > a->S)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "length %d (sample %d of the batch) is not in 1..%d",
                                   a->lengths[n], n, a->S);
    return CVN_OK;
}

static cvn_result cvni_attention_forward(cvn_net *net, cvni_layer *l)
{
    cvni_heads a = cvni_heads_of(net, l);
    const cvn_result result = cvni_check_lengths(net, l, &a);
    for (int i = 0; i < 3; i++) {
        a.x[i] = cvni_in(net, l, i)->y;
        a.ld[i] = a.E;
    }
    a.y = l->y;
    if (result == CVN_OK) cvni_attention_run(&a, 0);
    return result;
}

static void cvni_attention_backward(cvn_net *net, cvni_layer *l)
{
    cvni_heads a = cvni_heads_of(net, l);
    for (int i = 0; i < 3; i++) {
        a.x[i] = cvni_in(net, l, i)->y;
        a.dx[i] = cvni_gradient_for(cvni_in(net, l, i), &a.add[i]);
        a.ld[i] = a.dx_ld[i] = a.E;
    }
    a.dy = l->dy;
    cvni_attention_run(&a, 1);
}

/* Of query, key, value from i on: how many are the same node. */
static int cvni_same_inputs(const cvni_layer *l, int i)
{
    int count = 1;
    while (i + count < 3 && l->input[i + count] == l->input[i]) count++;
    return count;
}

static int cvni_mha_rows(const cvni_heads *a, int i) { return a->N * (i ? a->S : a->T); }

/* Q, K, V, O one behind the other in `at`; Q, K, V of one node side by side. Returns O. */
static float *cvni_mha_places(const cvni_heads *a, const cvni_layer *l, float *at, float **place,
                              ptrdiff_t *ld)
{
    for (int i = 0; i < 3;) {
        const int count = cvni_same_inputs(l, i);
        for (int k = 0; k < count; k++) {
            place[i + k] = at + (ptrdiff_t)k * a->E;
            ld[i + k] = (ptrdiff_t)count * a->E;
        }
        at += (ptrdiff_t)cvni_mha_rows(a, i) * count * a->E;
        i += count;
    }
    return at;
}

static cvn_init cvni_out_proj_init(cvn_init given, int E)
{
    cvn_init init;
    init.kind = CVN_INIT_UNIFORM;
    init.b = (float)(1 / sqrt((double)E));
    init.a = -init.b;
    return given.kind == CVN_INIT_DEFAULT ? init : given;
}

static cvn_result cvni_mha_params(cvn_net *net, cvni_layer *l, int E)
{
    const cvni_attention_desc *d = (const cvni_attention_desc *)l->desc;
    const cvn_init zero = { CVN_INIT_ZERO, 0, 0 };
    int slot = 0;
    cvn_result result =
        cvni_add_param(net, l, slot++, "in_proj_weight", cvni_shape(2, 3 * E, E, 0, 0), CVNI_WEIGHT,
                       cvni_init_or(d->weight_init, CVN_INIT_XAVIER_UNIFORM, 0), E, 3.0 * E);
    if (result == CVN_OK && !d->no_bias)
        result = cvni_add_param(net, l, slot++, "in_proj_bias", cvni_shape(1, 3 * E, 0, 0, 0),
                                CVNI_BIAS, zero, E, 3.0 * E);
    if (result == CVN_OK)
        result = cvni_add_param(net, l, slot++, "out_proj.weight", cvni_shape(2, E, E, 0, 0),
                                CVNI_WEIGHT, cvni_out_proj_init(d->weight_init, E), E, E);
    if (result == CVN_OK && !d->no_bias)
        result = cvni_add_param(net, l, slot, "out_proj.bias", cvni_shape(1, E, 0, 0, 0), CVNI_BIAS,
                                zero, E, E);
    return result;
}

static cvn_result cvni_mha_shape(cvn_net *net, cvni_layer *l)
{
    cvn_result result = cvni_attention_shape(net, l);
    size_t floats, largest;
    int N, T, S, E, rows;
    if (result != CVN_OK) return result;
    N = l->shape.dim[0];
    T = l->shape.dim[1];
    E = l->shape.dim[2];
    S = cvni_in(net, l, 1)->shape.dim[1];
    if (cvni_mul_size(3 * (size_t)E, (size_t)E) > (size_t)CONVNET_MAX_ELEMENTS)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "in_proj_weight for %d columns has more than %ld elements", E,
                               (long)CONVNET_MAX_ELEMENTS);
    result = cvni_mha_params(net, l, E);
    rows = N * cvni_max(T, S);
    largest = cvni_gemm_scratch(net->k, rows, 3 * E, 3 * E);
    largest = cvni_max_size(largest, cvni_gemm_scratch(net->k, 3 * E, E, rows));
    l->scratch_bytes = cvni_max_size(l->scratch_bytes, largest);
    floats = cvni_mul_size(2 * (size_t)N, cvni_mul_size((size_t)T + (size_t)S, (size_t)E));
    l->saved_bytes = l->work_backward_bytes = cvni_mul_size(floats, sizeof(float));
    l->macs += 2.0 * E * E * ((double)T + S);
    return result;
}

/* c [m, n] (+)= a b on all threads; bias [n] or NULL. */
static void cvni_mha_product(cvn_net *net, int m, int n, int k, cvni_operand a, cvni_operand b,
                             const float *bias, float *c, int add)
{
    cvni_gemm g;
    memset(&g, 0, sizeof g);
    g.m = m;
    g.n = n;
    g.k = k;
    g.a = a;
    g.b = b;
    g.c = c;
    g.ldc = n;
    g.add = add;
    g.col_bias = bias;
    cvni_gemm_run(net, &g);
}

static cvn_result cvni_mha_forward(cvn_net *net, cvni_layer *l)
{
    const int no_bias = ((const cvni_attention_desc *)l->desc)->no_bias;
    const float *w = cvni_weights(net, l, 0);
    const float *bias = no_bias ? NULL : cvni_weights(net, l, 1);
    cvni_heads a = cvni_heads_of(net, l);
    const cvn_result result = cvni_check_lengths(net, l, &a);
    const int E = a.E;
    float *qkv[3];
    if (result != CVN_OK) return result;
    a.y = cvni_mha_places(&a, l, (float *)l->saved, qkv, a.ld);
    for (int i = 0; i < 3; i += cvni_same_inputs(l, i))
        cvni_mha_product(net, cvni_mha_rows(&a, i), cvni_same_inputs(l, i) * E, E,
                         cvni_matrix(cvni_in(net, l, i)->y, E, 1),
                         cvni_matrix(w + (ptrdiff_t)i * E * E, E, 1),
                         bias ? bias + (ptrdiff_t)i * E : NULL, qkv[i], 0);
    for (int i = 0; i < 3; i++) a.x[i] = qkv[i];
    cvni_attention_run(&a, 0);
    cvni_mha_product(net, a.N * a.T, E, E, cvni_matrix(a.y, E, 1),
                     cvni_matrix(cvni_weights(net, l, no_bias ? 1 : 2), E, 1),
                     no_bias ? NULL : cvni_weights(net, l, 3), l->y, 0);
    return CVN_OK;
}

/* From dQ, dK, dV to in_proj and the inputs. */
static void cvni_mha_inputs_back(cvn_net *net, cvni_layer *l, const cvni_heads *a)
{
    const int E = a->E;
    const float *w = cvni_weights(net, l, 0);
    float *dw = cvni_weights_grad(net, l, 0);
    float *db = ((const cvni_attention_desc *)l->desc)->no_bias ? NULL
                                                                : cvni_weights_grad(net, l, 1);
    for (int i = 0; i < 3; i += cvni_same_inputs(l, i)) {
        cvni_layer *x = cvni_in(net, l, i);
        const int rows = cvni_mha_rows(a, i);
        const int width = cvni_same_inputs(l, i) * E;
        int add = 0;
        float *dx;
        if (dw)
            cvni_mha_product(net, width, E, rows, cvni_matrix(a->dx[i], 1, width),
                             cvni_matrix(x->y, 1, E), NULL, dw + (ptrdiff_t)i * E * E, 1);
        if (db) cvni_add_rows(net, rows, width, a->dx[i], db + (ptrdiff_t)i * E);
        dx = cvni_gradient_for(x, &add);
        if (dx)
            cvni_mha_product(net, rows, E, width, cvni_matrix(a->dx[i], width, 1),
                             cvni_matrix(w + (ptrdiff_t)i * E * E, 1, E), NULL, dx, add);
    }
}

static void cvni_mha_backward(cvn_net *net, cvni_layer *l)
{
    const int no_bias = ((const cvni_attention_desc *)l->desc)->no_bias;
    const int out = no_bias ? 1 : 2;
    cvni_heads a = cvni_heads_of(net, l);
    const int rows = a.N * a.T;
    const int E = a.E;
    float *dw = cvni_weights_grad(net, l, out);
    float *qkv[3];
    float *dy;
    const float *o = cvni_mha_places(&a, l, (float *)l->saved, qkv, a.ld);
    dy = cvni_mha_places(&a, l, (float *)l->work_backward, a.dx, a.dx_ld);
    for (int i = 0; i < 3; i++) a.x[i] = qkv[i];
    if (dw)
        cvni_mha_product(net, E, E, rows, cvni_matrix(l->dy, 1, E), cvni_matrix(o, 1, E), NULL, dw,
                         1);
    if (!no_bias) cvni_add_rows(net, rows, E, l->dy, cvni_weights_grad(net, l, 3));
    cvni_mha_product(net, rows, E, E, cvni_matrix(l->dy, E, 1),
                     cvni_matrix(cvni_weights(net, l, out), 1, E), NULL, dy, 0);
    a.dy = dy;
    cvni_attention_run(&a, 1);
    cvni_mha_inputs_back(net, l, &a);
}

static const cvni_op cvni_op_attention = { "attention",
                                           "attention",
                                           NULL,
                                           CVNI_USES_X | CVNI_TAKES_INT,
                                           cvni_attention_shape,
                                           NULL,
                                           cvni_attention_forward,
                                           cvni_attention_backward };
static const cvni_op cvni_op_mha = { "multihead_attention",
                                     "mha",
                                     NULL,
                                     CVNI_USES_X | CVNI_TAKES_INT | CVNI_SAVED_EVAL,
                                     cvni_mha_shape,
                                     NULL,
                                     cvni_mha_forward,
                                     cvni_mha_backward };

cvn_attention_desc cvn_attention_defaults(void)
{
    cvn_attention_desc d;
    memset(&d, 0, sizeof d);
    d.heads = 1;
    return d;
}

static cvn_node cvni_add_attention(cvn_net *net, const cvni_op *op, cvn_node query, cvn_node key,
                                   cvn_node value, const cvn_attention_desc *desc)
{
    const cvn_attention_desc c = desc ? *desc : cvn_attention_defaults();
    cvni_attention_desc d;
    cvn_node in[4];
    in[0] = query;
    in[1] = key;
    in[2] = value;
    in[3] = c.lengths;
    d.heads = c.heads ? c.heads : 1;
    d.causal = c.causal != 0;
    d.no_bias = c.no_bias != 0;
    d.dropout = c.dropout;
    d.weight_init = c.weight_init;
    return cvni_add_layer(net, op, in, c.lengths.id ? 4 : 3, &d, sizeof d);
}

cvn_node cvn_multihead_attention_ex(cvn_net *net, cvn_node query, cvn_node key, cvn_node value,
                                    const cvn_attention_desc *desc)
{
    return cvni_add_attention(net, &cvni_op_mha, query, key, value, desc);
}

cvn_node cvn_multihead_attention(cvn_net *net, cvn_node query, cvn_node key, cvn_node value,
                                 int heads)
{
    cvn_attention_desc d = cvn_attention_defaults();
    d.heads = heads > 0 ? heads : -1;
    return cvni_add_attention(net, &cvni_op_mha, query, key, value, &d);
}

cvn_node cvn_scaled_dot_product_attention(cvn_net *net, cvn_node query, cvn_node key,
                                          cvn_node value, const cvn_attention_desc *desc)
{
    return cvni_add_attention(net, &cvni_op_attention, query, key, value, desc);
}

/* ================================================================================================
 * >>recurrent   RNN, LSTM, GRU: layers that go through a sequence step by step
 * ==============================================================================================
 *   x [N, T, C], y [N, T, D*H]: D directions, H hidden units; of several layers each reads the
 *   steps of the one before. Of one layer and direction, with s(v) = 1/(1 + exp(-v)), h' and c' of
 *   the step before, a = W_ih x[t] + b_ih and u = W_hh h' + b_hh (H rows for each gate):
 *     RNN    h = tanh(a + u), or max(a + u, 0)
 *     LSTM   i, f, g, o of a + u under s, s, tanh, s;  c = f c' + i g;  h = o tanh(c)
 *     GRU    r, z of a + u under s;  n = tanh(a + r u);  h = (1 - z) n + z h'
 *   backward, dh and dc from the step behind, dh += dy[t]; d of what stands under s or tanh:
 *     RNN    da = du = dh (1 - h^2), or dh where h > 0
 *     LSTM   dc += dh o (1 - tanh(c)^2);  di = dc g i (1 - i);  df = dc c' f (1 - f);
 *            dg = dc i (1 - g^2);  do = dh tanh(c) o (1 - o);  dc' = dc f
 *     GRU    dn = dh (1 - z)(1 - n^2);  dr = dn u r (1 - r);  dz = dh (h' - n) z (1 - z);
 *            du = dn r for n's rows;  dh' = dh z
 *     dh' += du W_hh;  dx = da W_ih;  dW_ih += da^T x;  dW_hh += du^T h'
 *   What all steps have in common is one product: a before the steps, dx, dW_ih, dW_hh behind them.
 *   The products of the steps use W_hh packed once a pass. Samples do not meet, so that a task is a
 *   group of samples on its way through all steps.
 *   Past a sample's length y = 0, da = du = 0, and h, c, dh, dc stay as they are: the reverse
 *   direction, which begins at step T - 1, reaches the last valid step with the initial state.
 *
 *   Slots of a step, H floats each: RNN a; LSTM i, f, g, o; GRU r, z, n, u of n.
 *   table           h, dh (LSTM: c, dc behind them), each [N, L*D, H]: the running states, in the
 *                   end h_n and c_n; their gradients, which cvn_rnn_state writes before backward,
 *                   in the end those of h0 and c0
 *   saved           for each layer and direction the slots (but of an RNN) [N, T, S*H] and c
 *                   [N, T, H]; the steps of all layers but the last, [N, T, D*H], and what dropout
 *                   made of them. h is y.
 *   work_forward    slots of one direction, steps of two layers, W_hh packed, b_ih + b_hh
 *   work_backward   da and du of one direction, the gradients of two layers' steps, W_hh packed,
 *                   du of the first steps, sums, zeros, steps of the operands of dW_hh
 *   source   S. Hochreiter, J. Schmidhuber, Neural Computation 9(8), 1997; F. Gers et al., Neural
 *            Computation 12(10), 2000 (forget gate); K. Cho et al., arXiv:1406.1078, in the form of
 *            torch.nn.GRU                                        tested: tests/test_recurrent.c */

#define CVNI_RNN_ROWS 64            /* samples of a task, about */
#define CVNI_RNN_FEW 4              /* below: rows of W_hh as they lie, packing would cost more */

enum { CVNI_RNN, CVNI_LSTM, CVNI_GRU };

typedef struct cvni_rnn_desc {
    cvn_rnn_desc d;                 /* completed */
    int kind;
    int h0, c0, lengths;            /* which inputs they are; 0: none */
} cvni_rnn_desc;

typedef struct cvni_rnn {           /* sizes of a layer for the batch of this pass */
    const cvni_rnn_desc *desc;
    int kind, n, t, c, h, layers, dirs;
    int gates, slots;               /* gates*h rows in a weight, slots*h floats a step */
    int state;                      /* floats from sample to sample of a state */
    int few;
    size_t slot_bytes, cell_bytes, step_bytes, state_bytes;     /* of one direction; layer; all */
} cvni_rnn;

/* Bytes of a*b*c*d floats. */
static size_t cvni_rnn_bytes(int a, int b, int c, int d)
{
    const size_t ab = cvni_mul_size((size_t)a, (size_t)b);
    const size_t cd = cvni_mul_size((size_t)c, (size_t)d);
    return cvni_align(cvni_mul_size(cvni_mul_size(ab, cd), sizeof(float)));
}

static cvni_rnn cvni_rnn_of(const cvn_net *net, const cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    cvni_rnn r;
    memset(&r, 0, sizeof r);
    r.desc = (const cvni_rnn_desc *)l->desc;
    r.kind = r.desc->kind;
    r.n = x.dim[0];
    r.t = x.dim[1];
    r.c = x.dim[2];
    r.h = r.desc->d.hidden;
    r.layers = r.desc->d.layers;
    r.dirs = r.desc->d.bidirectional ? 2 : 1;
    r.gates = r.kind == CVNI_LSTM ? 4 : r.kind == CVNI_GRU ? 3 : 1;
    r.slots = r.kind == CVNI_RNN ? 1 : 4;
    r.state = r.layers * r.dirs * r.h;
    r.few = r.n < CVNI_RNN_FEW;
    r.slot_bytes = cvni_rnn_bytes(r.n, r.t, r.slots, r.h);
    r.cell_bytes = r.kind == CVNI_LSTM ? cvni_rnn_bytes(r.n, r.t, r.h, 1) : 0;
    r.step_bytes = cvni_rnn_bytes(r.n, r.t, r.dirs, r.h);
    r.state_bytes = cvni_rnn_bytes(r.n, r.layers, r.dirs, r.h);
    return r;
}

static float *cvni_floats_at(void *base, size_t bytes)
{
    return (float *)(void *)((unsigned char *)base + bytes);
}

/* Slots and cells of one layer and direction. An inference plan has no `saved`. */
static float *cvni_rnn_slots_of(const cvni_rnn *r, const cvni_layer *l, int layer, int dir)
{
    if (!l->saved || r->kind == CVNI_RNN) return (float *)l->work_forward;
    return cvni_floats_at(l->saved, (size_t)(layer * r->dirs + dir) * r->slot_bytes);
}

static float *cvni_rnn_cells_of(const cvni_rnn *r, const cvni_layer *l, int layer, int dir)
{
    const size_t behind = (size_t)(r->layers * r->dirs) * r->slot_bytes;
    if (!l->saved || r->kind != CVNI_LSTM) return NULL;
    return cvni_floats_at(l->saved, behind + (size_t)(layer * r->dirs + dir) * r->cell_bytes);
}

/* Steps that a layer makes. */
static float *cvni_rnn_steps_of(const cvni_rnn *r, const cvni_layer *l, int layer)
{
    const size_t slots = r->kind == CVNI_RNN ? 0 : r->slot_bytes;
    const size_t behind = (size_t)(r->layers * r->dirs) * (slots + r->cell_bytes);
    if (layer == r->layers - 1) return l->y;
    if (l->saved) return cvni_floats_at(l->saved, behind + (size_t)layer * r->step_bytes);
    return cvni_floats_at(l->work_forward, r->slot_bytes + (size_t)(layer % 2) * r->step_bytes);
}

/* Steps that layer + 1 reads. */
static float *cvni_rnn_dropped(const cvn_net *net, const cvni_rnn *r, const cvni_layer *l,
                               int layer)
{
    float *steps = cvni_rnn_steps_of(r, l, layer);
    if (!net->training || !(r->desc->d.dropout > 0)) return steps;
    return cvni_floats_at(steps, (size_t)(r->layers - 1) * r->step_bytes);
}

static int cvni_rnn_width(const cvni_rnn *r, int layer) { return layer ? r->dirs * r->h : r->c; }

/* Steps of layers that lie between others, and how many of them a pass holds at once. */
static size_t cvni_rnn_inner_bytes(const cvni_rnn *r)
{
    return cvni_mul_size(r->step_bytes, (size_t)cvni_min(2, r->layers - 1));
}

static size_t cvni_rnn_packed_bytes(const cvn_net *net, int lines, int k)
{
    return cvni_rnn_bytes(cvni_round_up(lines, net->k->nr), k, 1, 1);
}

/* ---- shape and parameters ---- */

static cvn_result cvni_rnn_check(cvn_net *net, const cvni_layer *l)
{
    const cvni_rnn_desc *r = (const cvni_rnn_desc *)l->desc;
    const cvn_rnn_desc *d = &r->d;
    if (d->hidden < 1 || d->layers < 1)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "%d hidden units, %d layers; 1 or more are needed", d->hidden,
                               d->layers);
    if (!(d->dropout >= 0) || !(d->dropout < 1))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "dropout = %g; 0 <= dropout < 1 is needed", (double)d->dropout);
    if ((d->relu && r->kind != CVNI_RNN) || (r->c0 && r->kind != CVNI_LSTM))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "%s; drop it from the description",
                               r->kind != CVNI_RNN && d->relu ? "relu is of cvn_rnn alone"
                                                              : "c0 is of cvn_lstm alone");
    return CVN_OK;
}

/* The further inputs: initial states [N, L*D, H] of floats, lengths int [N]. */
static cvn_result cvni_rnn_check_inputs(cvn_net *net, const cvni_layer *l, const cvni_rnn *r)
{
    const cvn_shape state = cvni_shape(3, r->n, r->layers * r->dirs, r->h, 0);
    char text[96];
    char wants[96];
    for (int i = 1; i < l->inputs; i++) {
        const cvni_layer *x = cvni_in(net, l, i);
        if (i == r->desc->lengths && (!x->is_int || x->shape.rank != 1 || x->shape.dim[0] != r->n))
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "lengths '%s' must be one label a sample: "
                                   "cvn_input_labels(net, NULL, 0)", x->name);
        if (i != r->desc->lengths && (x->is_int || !cvni_same_shape(x->shape, state)))
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "the initial state '%s' is %s%s; [layers*directions, hidden] "
                                   "= %s is needed", x->name, x->is_int ? "labels " : "",
                                   cvni_shape_text(x->shape, text), cvni_shape_text(state, wants));
    }
    return CVN_OK;
}

/* Weights and biases of one layer and direction, under PyTorch's names and in its order. */
static cvn_result cvni_rnn_params(cvn_net *net, cvni_layer *l, const cvni_rnn *r, int layer,
                                  int dir)
{
    static const char *const names[4] = { "weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l" };
    const int rows = r->gates * r->h;
    const int biases = r->desc->d.no_bias ? 0 : 2;
    cvn_result result = CVN_OK;
    for (int i = 0; i < 2 + biases && result == CVN_OK; i++) {
        const int slot = (layer * r->dirs + dir) * (2 + biases) + i;
        const int in = i == 0 ? cvni_rnn_width(r, layer) : r->h;
        cvn_init init = i < 2 ? r->desc->d.weight_init : r->desc->d.bias_init;
        char buffer[48];
        const char *suffix = buffer;
        snprintf(buffer, sizeof buffer, "%s%d%s", names[i], layer, dir ? "_reverse" : "");
        if (slot >= l->params) suffix = cvni_copy_text(net, buffer);
        if (!suffix) return net->failed;
        if (init.kind == CVN_INIT_DEFAULT) {
            init.kind = CVN_INIT_UNIFORM;
            init.b = (float)(1 / sqrt((double)r->h));
            init.a = -init.b;
        }
        result = cvni_add_param(net, l, slot, suffix, cvni_shape(i < 2 ? 2 : 1, rows, in, 0, 0),
                                i < 2 ? CVNI_WEIGHT : CVNI_BIAS, init, in, rows);
    }
    return result;
}

static int cvni_rnn_task_rows(const cvn_net *net, const cvni_rnn *r)
{
    return cvni_block(cvni_ceil_div(r->n, net->threads), CVNI_RNN_ROWS, net->k->mr);
}

/* Scratch of one worker in the steps: packed rows, a tile, u or du. */
static size_t cvni_rnn_scratch(const cvn_net *net, const cvni_rnn *r)
{
    const int rows = cvni_rnn_task_rows(net, r);
    const int panel = cvni_round_up(rows, net->k->mr) * CVNI_KC;
    return cvni_add_size(cvni_rnn_bytes(panel, 1, 1, 1),
                         cvni_rnn_bytes(rows, r->gates, r->h, 1));
}

static void cvni_rnn_memory(const cvn_net *net, cvni_layer *l, const cvni_rnn *r)
{
    const int rows = r->gates * r->h;
    const int width = r->layers > 1 ? cvni_max(r->c, r->dirs * r->h) : r->c;
    const int steps = r->n * r->t;
    const size_t runs = (size_t)(r->layers * r->dirs);
    const size_t dropped = r->desc->d.dropout > 0 ? 2 : 1;
    const size_t slots = r->kind == CVNI_RNN ? 0 : r->slot_bytes;
    l->table_bytes = cvni_mul_size(r->state_bytes, r->kind == CVNI_LSTM ? 4 : 2);
    l->saved_bytes = cvni_mul_size(runs, cvni_add_size(slots, r->cell_bytes));
    l->saved_bytes = cvni_add_size(l->saved_bytes,
                                   cvni_mul_size(r->step_bytes, (size_t)(r->layers - 1) * dropped));
    l->work_forward_bytes = cvni_add_size(r->slot_bytes, cvni_rnn_inner_bytes(r));
    l->work_forward_bytes = cvni_add_size(l->work_forward_bytes,
                                          cvni_rnn_packed_bytes(net, rows, r->h));
    l->work_forward_bytes = cvni_add_size(l->work_forward_bytes, cvni_rnn_bytes(rows, 1, 1, 1));
    l->work_backward_bytes = cvni_add_size(r->slot_bytes, cvni_rnn_inner_bytes(r));
    l->work_backward_bytes = cvni_add_size(l->work_backward_bytes,
                                           cvni_rnn_packed_bytes(net, r->h, rows));
    l->work_backward_bytes = cvni_add_size(l->work_backward_bytes,
                                           cvni_rnn_bytes(r->n, rows, 1, 1));
    l->work_backward_bytes = cvni_add_size(l->work_backward_bytes,
                                           cvni_rnn_bytes(r->slots + 1, r->h, 1, 1));
    l->work_backward_bytes = cvni_add_size(l->work_backward_bytes, cvni_rnn_bytes(2, r->t, 1, 1));
    l->scratch_bytes = cvni_rnn_scratch(net, r);
    l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                     cvni_gemm_scratch(net->k, steps, rows, width));
    l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                     cvni_gemm_scratch(net->k, steps, width, rows));
    l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                     cvni_gemm_scratch(net->k, rows, width, steps));
    l->scratch_bytes = cvni_max_size(l->scratch_bytes,
                                     cvni_gemm_scratch(net->k, rows, r->h, steps));
}

static cvn_result cvni_rnn_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvn_rnn_desc *d = &((const cvni_rnn_desc *)l->desc)->d;
    cvn_result result = cvni_rnn_check(net, l);
    cvni_rnn r;
    char text[96];
    if (result != CVN_OK) return result;
    if (cvni_in(net, l, 0)->is_int || x.rank != 3)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "the input %s is no sequence of floats; [N, T, C] is needed",
                               cvni_shape_text(x, text));
    /* states, rows of weights and the steps of one sample are counted in int */
    if (4.0 * d->hidden * d->layers * cvni_max(x.dim[1], 2) > (double)INT_MAX)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "%d layers of %d hidden units over %d steps are too many", d->layers,
                               d->hidden, x.dim[1]);
    r = cvni_rnn_of(net, l);
    result = cvni_rnn_check_inputs(net, l, &r);
    l->shape = cvni_shape(3, x.dim[0], r.t, r.dirs * r.h, 0);
    l->macs = 0;
    for (int layer = 0; layer < r.layers; layer++) {
        l->macs += (double)r.t * r.dirs * r.gates * r.h * (r.h + (double)cvni_rnn_width(&r, layer));
        for (int dir = 0; dir < r.dirs && result == CVN_OK; dir++)
            result = cvni_rnn_params(net, l, &r, layer, dir);
    }
    if (result == CVN_OK) result = cvni_check_elements(net, l);
    if (result == CVN_OK) cvni_rnn_memory(net, l, &r);
    return result;
}

/* ---- one sample, one step ---- */

/* e^x - 1 for |x| < 88, without a branch, so that loops become vectors; a few units in the last
 * place, also near 0; NaN stays. x = n log 2 + r: 2^n (e^r - 1) + (2^n - 1), the series of e^r. */
CVNI_HOT
static float cvni_expm1(float x)
{
    const float shifted = x * 1.44269504f + 12582912.0f;        /* 1.5*2^23: rounds to a whole n */
    uint32_t bits;
    float n, r, p, power;
    memcpy(&bits, &shifted, sizeof bits);
    bits -= 0x4B400000u;
    n = (float)(int32_t)bits;
    r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    p = 1.0f / 720 + r * (1.0f / 5040);
    p = 1.0f / 24 + r * (1.0f / 120 + r * p);
    p = r + r * r * (0.5f + r * (1.0f / 6 + r * p));
    bits = (bits + 127) << 23;
    memcpy(&power, &bits, sizeof power);
    return power * p + (power - 1);
}

/* To [-limit, limit]; a loop of its own, for in one with what follows gcc keeps a branch. */
CVNI_HOT
static void cvni_rnn_clamp(int n, float limit, float *x)
{
    for (int i = 0; i < n; i++) x[i] = fabsf(x[i]) > limit ? copysignf(limit, x[i]) : x[i];
}

CVNI_HOT
static void cvni_rnn_sigmoid(int n, float *x)
{
    cvni_rnn_clamp(n, 87, x);
    for (int i = 0; i < n; i++) x[i] = 1 / (2 + cvni_expm1(-x[i]));
}

CVNI_HOT
static void cvni_rnn_tanh(int n, float *x)
{
    cvni_rnn_clamp(n, 10, x);                   /* where it is 1 in float */
    for (int i = 0; i < n; i++) {
        const float e = cvni_expm1(2 * x[i]);
        x[i] = e / (e + 2);
    }
}

/* Everything of one layer and direction; pointers to its first sample and step. */
typedef struct cvni_rnn_job {
    cvn_net *net;
    cvni_rnn r;
    int reverse, rows;              /* rows: samples of a task */
    const int *lengths;             /* NULL: all have r.t steps */
    const float *weight;            /* W_hh */
    float *packed;
    const float *bias;              /* GRU: b_hh of n, or NULL */
    float *slots, *cells, *steps, *h, *c;
    /* backward: */
    const float *h0, *c0;           /* NULL: zeros */
    const float *zeros;
    float *d;                       /* da; GRU's du of n in the last slot */
    const float *dsteps;
    float *dh, *dc;
    float *first;                   /* du of the first steps [N, gates*H] */
} cvni_rnn_job;

CVNI_HOT
static void cvni_lstm_step(int h, float *CVNI_RESTRICT a, const float *CVNI_RESTRICT u,
                           float *CVNI_RESTRICT state, float *CVNI_RESTRICT c,
                           float *CVNI_RESTRICT y)
{
    for (int k = 0; k < 4 * h; k++) a[k] += u[k];
    cvni_rnn_sigmoid(2 * h, a);
    cvni_rnn_tanh(h, a + 2 * h);
    cvni_rnn_sigmoid(h, a + 3 * h);
    for (int k = 0; k < h; k++) c[k] = a[h + k] * c[k] + a[k] * a[2 * h + k];
    memcpy(y, c, (size_t)h * sizeof(float));
    cvni_rnn_tanh(h, y);
    for (int k = 0; k < h; k++) state[k] = y[k] = a[3 * h + k] * y[k];
}

CVNI_HOT
static void cvni_gru_step(int h, float *CVNI_RESTRICT a, const float *CVNI_RESTRICT u,
                          const float *CVNI_RESTRICT bias, float *CVNI_RESTRICT state,
                          float *CVNI_RESTRICT y)
{
    for (int k = 0; k < 2 * h; k++) a[k] += u[k];
    cvni_rnn_sigmoid(2 * h, a);
    memcpy(a + 3 * h, u + 2 * h, (size_t)h * sizeof(float));
    for (int k = 0; bias && k < h; k++) a[3 * h + k] += bias[k];
    for (int k = 0; k < h; k++) a[2 * h + k] += a[k] * a[3 * h + k];
    cvni_rnn_tanh(h, a + 2 * h);
    for (int k = 0; k < h; k++) {
        const float n = a[2 * h + k];
        state[k] = y[k] = n + a[h + k] * (state[k] - n);
    }
}

CVNI_HOT
static void cvni_rnn_step(int h, int relu, float *CVNI_RESTRICT a, const float *CVNI_RESTRICT u,
                          float *CVNI_RESTRICT state, float *CVNI_RESTRICT y)
{
    for (int k = 0; k < h; k++) a[k] += u[k];
    if (!relu) cvni_rnn_tanh(h, a);
    for (int k = 0; k < h; k++) state[k] = y[k] = relu && a[k] < 0 ? 0 : a[k];
}

static void cvni_rnn_cell(const cvni_rnn_job *j, int n, int t, const float *u)
{
    const cvni_rnn *r = &j->r;
    const ptrdiff_t at = (ptrdiff_t)n * r->t + t;
    float *a = j->slots + at * r->slots * r->h;
    float *y = j->steps + at * r->dirs * r->h;
    float *h = j->h + (ptrdiff_t)n * r->state;
    float *c = j->c + (ptrdiff_t)n * r->state;
    if (j->lengths && t >= j->lengths[n]) {
        cvni_zero(y, (size_t)r->h);
    } else if (r->kind == CVNI_LSTM) {
        cvni_lstm_step(r->h, a, u, h, c, y);
        if (j->cells) memcpy(j->cells + at * r->h, c, (size_t)r->h * sizeof(float));
    } else if (r->kind == CVNI_GRU) {
        cvni_gru_step(r->h, a, u, j->bias, h, y);
    } else {
        cvni_rnn_step(r->h, r->desc->d.relu, a, u, h, y);
    }
}

CVNI_HOT
static void cvni_lstm_step_back(int h, const float *CVNI_RESTRICT a, const float *CVNI_RESTRICT c,
                                const float *CVNI_RESTRICT before, float *CVNI_RESTRICT d,
                                float *CVNI_RESTRICT dh, float *CVNI_RESTRICT dc)
{
    float *const top = d + 3 * h;
    memcpy(top, c, (size_t)h * sizeof(float));
    cvni_rnn_tanh(h, top);
    for (int k = 0; k < h; k++) {
        const float i = a[k];
        const float f = a[h + k];
        const float g = a[2 * h + k];
        const float o = a[3 * h + k];
        const float all = dc[k] + dh[k] * o * (1 - top[k] * top[k]);
        d[k] = all * g * i * (1 - i);
        d[h + k] = all * before[k] * f * (1 - f);
        d[2 * h + k] = all * i * (1 - g * g);
        top[k] = dh[k] * top[k] * o * (1 - o);
        dc[k] = all * f;
        dh[k] = 0;
    }
}

CVNI_HOT
static void cvni_gru_step_back(int h, const float *CVNI_RESTRICT a,
                               const float *CVNI_RESTRICT before, float *CVNI_RESTRICT d,
                               float *CVNI_RESTRICT dh)
{
    for (int k = 0; k < h; k++) {
        const float r = a[k];
        const float z = a[h + k];
        const float n = a[2 * h + k];
        const float dn = dh[k] * (1 - z) * (1 - n * n);
        d[k] = dn * a[3 * h + k] * r * (1 - r);
        d[h + k] = dh[k] * (before[k] - n) * z * (1 - z);
        d[2 * h + k] = dn;
        d[3 * h + k] = dn * r;
        dh[k] *= z;
    }
}

CVNI_HOT
static void cvni_rnn_step_back(int h, int relu, const float *CVNI_RESTRICT y,
                               float *CVNI_RESTRICT d, float *CVNI_RESTRICT dh)
{
    for (int k = 0; k < h; k++) {
        d[k] = relu ? (y[k] > 0 ? dh[k] : 0) : dh[k] * (1 - y[k] * y[k]);
        dh[k] = 0;
    }
}

/* One sample, one step of the way back; u receives du. */
static void cvni_rnn_cell_back(const cvni_rnn_job *j, int n, int t, float *u)
{
    const cvni_rnn *r = &j->r;
    const int h = r->h;
    const int last = (j->lengths ? j->lengths[n] : r->t) - 1;
    const int first = t == (j->reverse ? last : 0);
    const ptrdiff_t at = (ptrdiff_t)n * r->t + t;
    const ptrdiff_t before = at + (j->reverse ? 1 : -1);
    const ptrdiff_t state = (ptrdiff_t)n * r->state;
    const float *a = j->slots + at * r->slots * h;
    const float *y = j->steps + at * r->dirs * h;
    const float *h0 = j->h0 ? j->h0 + state : j->zeros;
    const float *c0 = j->c0 ? j->c0 + state : j->zeros;
    float *d = j->d + at * r->slots * h;
    const size_t part = (size_t)((r->kind == CVNI_GRU ? 2 : r->gates) * h);
    if (t > last) {
        cvni_zero(d, (size_t)(r->slots * h));
        cvni_zero(u, (size_t)(r->gates * h));
        return;
    }
    j->net->k->add(h, j->dh + state, j->dsteps + at * r->dirs * h, j->dh + state);
    if (r->kind == CVNI_LSTM)
        cvni_lstm_step_back(h, a, j->cells + at * h, first ? c0 : j->cells + before * h, d,
                            j->dh + state, j->dc + state);
    else if (r->kind == CVNI_GRU)
        cvni_gru_step_back(h, a, first ? h0 : j->steps + before * r->dirs * h, d, j->dh + state);
    else cvni_rnn_step_back(h, r->desc->d.relu, y, d, j->dh + state);
    memcpy(u, d, part * sizeof(float));
    if (r->kind == CVNI_GRU) memcpy(u + part, d + 3 * h, (size_t)h * sizeof(float));
    if (first && j->h0)
        memcpy(j->first + (ptrdiff_t)n * r->gates * h, u, (size_t)(r->gates * h) * sizeof(float));
}

/* ---- all steps ---- */

typedef struct cvni_rnn_pack {
    const cvni_kernels *kern;
    cvni_operand o;
    int lines, k;
    float *out;
} cvni_rnn_pack;

/* Tasks are panels; the panels of one chunk of k lie together. */
static void cvni_rnn_pack_part(void *context, int begin, int end, int worker)
{
    const cvni_rnn_pack *p = (const cvni_rnn_pack *)context;
    const int nr = p->kern->nr;
    const ptrdiff_t all = cvni_round_up(p->lines, nr);
    (void)worker;
    for (int i = begin; i < end; i++) {
        for (int k0 = 0; k0 < p->k; k0 += CVNI_KC) {
            const int ks = cvni_min(CVNI_KC, p->k - k0);
            cvni_pack(p->kern, &p->o, i * nr, cvni_min(nr, p->lines - i * nr), k0, ks, nr,
                      p->out + all * k0 + (ptrdiff_t)i * nr * ks);
        }
    }
}

static void cvni_rnn_pack_weight(cvn_net *net, cvni_operand o, int lines, int k, float *out)
{
    cvni_rnn_pack p;
    p.kern = net->k;
    p.o = o;
    p.lines = lines;
    p.k = k;
    p.out = out;
    cvni_parallel_for(net, cvni_ceil_div(lines, net->k->nr), 4.0 * lines * k, cvni_rnn_pack_part,
                      &p);
}

/* c [m, n] (+)= a [m, k] times the packed weight. */
static void cvni_rnn_product(const cvni_rnn_job *j, cvni_operand a, int m, int n, int k, float *c,
                             ptrdiff_t ldc, int add, float *scratch)
{
    const cvni_kernels *kern = j->net->k;
    const ptrdiff_t all = cvni_round_up(n, kern->nr);
    cvni_gemm g;
    memset(&g, 0, sizeof g);
    g.c = c;
    g.ldc = ldc;
    for (int k0 = 0; k0 < k; k0 += CVNI_KC) {
        const int ks = cvni_min(CVNI_KC, k - k0);
        const cvni_panels rows = cvni_pack_panels(kern, &a, 0, m, k0, ks, kern->mr, scratch);
        const cvni_panels cols = cvni_packed_panels(j->packed + all * k0, ks, kern->nr);
        cvni_gemm_tiles(kern, &g, 0, m, 0, n, ks, add || k0, &rows, &cols);
    }
}

/* Memory of a worker: where u begins. */
static float *cvni_rnn_u(const cvni_rnn_job *j, float *scratch)
{
    const cvni_kernels *kern = j->net->k;
    const int rows = cvni_round_up(j->rows, kern->mr);
    return cvni_floats_at(scratch, cvni_rnn_bytes(rows * CVNI_KC, 1, 1, 1));
}

/* Tasks are groups of samples. */
static void cvni_rnn_steps_part(void *context, int begin, int end, int worker)
{
    const cvni_rnn_job *j = (const cvni_rnn_job *)context;
    const cvni_rnn *r = &j->r;
    const int width = r->gates * r->h;
    float *scratch = (float *)cvni_scratch(j->net, worker);
    float *u = cvni_rnn_u(j, scratch);
    for (int task = begin; task < end; task++) {
        const int n0 = task * j->rows;
        const int m = cvni_min(j->rows, r->n - n0);
        float *h = j->h + (ptrdiff_t)n0 * r->state;
        for (int s = 0; s < r->t; s++) {
            const int t = j->reverse ? r->t - 1 - s : s;
            if (!r->few)
                cvni_rnn_product(j, cvni_matrix(h, r->state, 1), m, width, r->h, u, width, 0,
                                 scratch);
            for (int i = 0; i < m; i++) {
                for (int k = 0; r->few && k < width; k++)
                    u[i * width + k] = j->net->k->dot(r->h, j->weight + (ptrdiff_t)k * r->h,
                                                      h + (ptrdiff_t)i * r->state);
                cvni_rnn_cell(j, n0 + i, t, u + (ptrdiff_t)i * width);
            }
        }
    }
}

static void cvni_rnn_steps_back_part(void *context, int begin, int end, int worker)
{
    const cvni_rnn_job *j = (const cvni_rnn_job *)context;
    const cvni_rnn *r = &j->r;
    const int width = r->gates * r->h;
    float *scratch = (float *)cvni_scratch(j->net, worker);
    float *u = cvni_rnn_u(j, scratch);
    for (int task = begin; task < end; task++) {
        const int n0 = task * j->rows;
        const int m = cvni_min(j->rows, r->n - n0);
        float *dh = j->dh + (ptrdiff_t)n0 * r->state;
        for (int s = 0; s < r->t; s++) {
            const int t = j->reverse ? s : r->t - 1 - s;
            for (int i = 0; i < m; i++) {
                cvni_rnn_cell_back(j, n0 + i, t, u + (ptrdiff_t)i * width);
                for (int k = 0; r->few && k < width; k++)
                    j->net->k->axpy(r->h, u[i * width + k], j->weight + (ptrdiff_t)k * r->h,
                                    dh + (ptrdiff_t)i * r->state);
            }
            if (!r->few)
                cvni_rnn_product(j, cvni_matrix(u, width, 1), m, r->h, width, dh, r->state, 1,
                                 scratch);
        }
    }
}

/* Parameter i (W_ih, W_hh, b_ih, b_hh) of one layer and direction: its slot in the layer. */
static int cvni_rnn_param(const cvni_rnn *r, int layer, int dir, int i)
{
    return (layer * r->dirs + dir) * (r->desc->d.no_bias ? 2 : 4) + i;
}

static cvni_rnn_job cvni_rnn_job_of(cvn_net *net, const cvni_layer *l, int layer, int dir)
{
    cvni_rnn_job j;
    ptrdiff_t at;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.r = cvni_rnn_of(net, l);
    j.reverse = dir;
    j.rows = cvni_rnn_task_rows(net, &j.r);
    at = (ptrdiff_t)(layer * j.r.dirs + dir) * j.r.h;
    if (j.r.desc->lengths)
        j.lengths = (const int *)(const void *)cvni_in(net, l, j.r.desc->lengths)->y;
    j.weight = cvni_weights(net, l, cvni_rnn_param(&j.r, layer, dir, 1));
    j.slots = cvni_rnn_slots_of(&j.r, l, layer, dir);
    j.cells = cvni_rnn_cells_of(&j.r, l, layer, dir);
    j.steps = cvni_rnn_steps_of(&j.r, l, layer) + (ptrdiff_t)dir * j.r.h;
    j.h = (float *)l->table + at;
    j.dh = cvni_floats_at(l->table, j.r.state_bytes) + at;
    j.c = j.dc = j.h;
    if (j.r.kind == CVNI_LSTM) {
        j.c = cvni_floats_at(l->table, 2 * j.r.state_bytes) + at;
        j.dc = cvni_floats_at(l->table, 3 * j.r.state_bytes) + at;
    }
    if (j.r.desc->h0) j.h0 = cvni_in(net, l, j.r.desc->h0)->y + at;
    if (j.r.desc->c0) j.c0 = cvni_in(net, l, j.r.desc->c0)->y + at;
    return j;
}

static double cvni_rnn_cost(const cvni_rnn *r)
{
    return (double)r->n * r->t * r->h * r->gates * (2.0 * r->h + 30);
}

/* ---- forward ---- */

typedef struct cvni_rnn_row_job {
    const cvni_kernels *kern;
    const float *x, *weight, *bias;
    float *y;
    int in;
} cvni_rnn_row_job;

/* One step of one sample: packing would cost as much as the product. Tasks are rows of W_ih. */
static void cvni_rnn_row_part(void *context, int begin, int end, int worker)
{
    const cvni_rnn_row_job *j = (const cvni_rnn_row_job *)context;
    (void)worker;
    for (int u = begin; u < end; u++)
        j->y[u] = j->kern->dot(j->in, j->weight + (ptrdiff_t)u * j->in, j->x) +
                  (j->bias ? j->bias[u] : 0);
}

/* a of all steps: x W_ih^T and what biases may be added here. */
static void cvni_rnn_input_product(cvn_net *net, const cvni_rnn *r, const float *x, int in,
                                   const float *weight, const float *bias, float *slots)
{
    cvni_rnn_row_job j;
    cvni_gemm g;
    memset(&g, 0, sizeof g);
    g.m = r->n * r->t;
    g.n = r->gates * r->h;
    g.k = in;
    if (g.m == 1) {
        j.kern = net->k;
        j.x = x;
        j.weight = weight;
        j.bias = bias;
        j.y = slots;
        j.in = in;
        cvni_parallel_for(net, g.n, 2.0 * g.n * in, cvni_rnn_row_part, &j);
        return;
    }
    g.a = cvni_matrix(x, in, 1);
    g.b = cvni_matrix(weight, in, 1);
    g.c = slots;
    g.ldc = (ptrdiff_t)r->slots * r->h;
    g.col_bias = bias;
    cvni_gemm_run(net, &g);
}

static void cvni_rnn_run(cvn_net *net, cvni_layer *l, int layer, int dir)
{
    cvni_rnn_job j = cvni_rnn_job_of(net, l, layer, dir);
    const cvni_rnn *r = &j.r;
    const int rows = r->gates * r->h;
    const int in = cvni_rnn_width(r, layer);
    const float *x = layer ? cvni_rnn_dropped(net, r, l, layer - 1) : cvni_in(net, l, 0)->y;
    const size_t packed = r->slot_bytes + cvni_rnn_inner_bytes(r);
    float *bias = NULL;
    j.packed = cvni_floats_at(l->work_forward, packed);
    if (!r->desc->d.no_bias) {
        const float *own = cvni_weights(net, l, cvni_rnn_param(r, layer, dir, 2));
        const float *hidden = cvni_weights(net, l, cvni_rnn_param(r, layer, dir, 3));
        const int both = r->kind == CVNI_GRU ? 2 * r->h : rows;
        bias = cvni_floats_at(l->work_forward, packed + cvni_rnn_packed_bytes(net, rows, r->h));
        memcpy(bias, own, (size_t)rows * sizeof(float));
        net->k->add(both, bias, hidden, bias);
        if (r->kind == CVNI_GRU) j.bias = hidden + both;
    }
    cvni_rnn_input_product(net, r, x, in,
                           cvni_weights(net, l, cvni_rnn_param(r, layer, dir, 0)), bias, j.slots);
    if (!r->few)
        cvni_rnn_pack_weight(net, cvni_matrix(j.weight, r->h, 1), rows, r->h, j.packed);
    cvni_parallel_for(net, cvni_ceil_div(r->n, j.rows), cvni_rnn_cost(r), cvni_rnn_steps_part, &j);
}

typedef struct cvni_rnn_drop_job {
    const cvn_net *net;
    uint32_t id;
    uint64_t base;              /* number of the layer's first group of four */
    size_t count;
    float p;
    const float *in;
    float *out;
} cvni_rnn_drop_job;

static void cvni_rnn_drop_part(void *context, int begin, int end, int worker)
{
    const cvni_rnn_drop_job *j = (const cvni_rnn_drop_job *)context;
    const float scale = 1 / (1 - j->p);
    (void)worker;
    for (int t = begin; t < end; t++) {
        const size_t stop = ((size_t)t + 1) * CVNI_CHUNK;
        for (size_t i = (size_t)t * CVNI_CHUNK; i < j->count && i < stop; i += 4) {
            uint32_t word[4];
            cvni_random4(j->net->desc.seed, CVNI_STREAM_DROPOUT, j->net->tick, j->id,
                         (uint32_t)(j->base + i / 4), word);
            for (size_t e = 0; e < 4 && i + e < j->count; e++)
                j->out[i + e] = cvni_to_uniform(word[e]) < j->p ? 0 : j->in[i + e] * scale;
        }
    }
}

/* Dropout on what a layer hands to the next, or on its gradient: the same mask. */
static void cvni_rnn_drop(cvn_net *net, const cvni_layer *l, const cvni_rnn *r, int layer,
                          const float *in, float *out)
{
    cvni_rnn_drop_job j;
    if (!net->training || !(r->desc->d.dropout > 0)) return;
    j.net = net;
    j.id = (uint32_t)cvni_id(net, l);
    j.count = cvni_elements(l->shape);
    j.base = (uint64_t)layer * ((j.count + 3) / 4);
    j.p = r->desc->d.dropout;
    j.in = in;
    j.out = out;
    cvni_parallel_for(net, cvni_chunks(j.count), 20.0 * (double)j.count, cvni_rnn_drop_part, &j);
}

static cvn_result cvni_rnn_check_lengths(cvn_net *net, const cvni_layer *l, const cvni_rnn *r)
{
    const int *lengths;
    if (!r->desc->lengths) return CVN_OK;
    lengths = (const int *)(const void *)cvni_in(net, l, r->desc->lengths)->y;
    for (int i = 0; i < r->n; i++)
        if (lengths[i] < 1 || lengths[i] > r->t)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "sample %d has a length of %d; 1 to %d are possible", i,
                                   lengths[i], r->t);
    return CVN_OK;
}

/* A state from its input, or zeros. */
static void cvni_rnn_set_state(const cvn_net *net, const cvni_layer *l, const cvni_rnn *r, int slot,
                               float *state)
{
    const size_t count = (size_t)r->n * (size_t)r->state;
    if (slot) memcpy(state, cvni_in(net, l, slot)->y, count * sizeof(float));
    else cvni_zero(state, count);
}

static cvn_result cvni_rnn_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_rnn r = cvni_rnn_of(net, l);
    const cvn_result result = cvni_rnn_check_lengths(net, l, &r);
    if (result != CVN_OK) return result;
    memset(l->table, 0, l->table_bytes);
    cvni_rnn_set_state(net, l, &r, r.desc->h0, (float *)l->table);
    if (r.kind == CVNI_LSTM)
        cvni_rnn_set_state(net, l, &r, r.desc->c0, cvni_floats_at(l->table, 2 * r.state_bytes));
    for (int layer = 0; layer < r.layers; layer++) {
        for (int dir = 0; dir < r.dirs; dir++) cvni_rnn_run(net, l, layer, dir);
        if (layer < r.layers - 1)
            cvni_rnn_drop(net, l, &r, layer, cvni_rnn_steps_of(&r, l, layer),
                          cvni_rnn_dropped(net, &r, l, layer));
    }
    return CVN_OK;
}

/* ---- backward ---- */

#define CVNI_RNN_SUM_PART 64        /* columns of a task */

typedef struct cvni_rnn_sum_job {
    const cvni_kernels *kern;
    const float *d;
    float *sums;
    int rows, width;
} cvni_rnn_sum_job;

/* Sums of the columns of d, row by row. Tasks are parts of the columns. */
static void cvni_rnn_sum_part(void *context, int begin, int end, int worker)
{
    const cvni_rnn_sum_job *j = (const cvni_rnn_sum_job *)context;
    const int from = begin * CVNI_RNN_SUM_PART;
    const int count = cvni_min(end * CVNI_RNN_SUM_PART, j->width) - from;
    (void)worker;
    cvni_zero(j->sums + from, (size_t)count);
    for (int i = 0; i < j->rows; i++)
        j->kern->add(count, j->sums + from, j->d + (ptrdiff_t)i * j->width + from, j->sums + from);
}

static void cvni_rnn_bias_back(const cvni_rnn_job *j, float *db_ih, float *db_hh, float *sums)
{
    const cvni_rnn *r = &j->r;
    const int shared = (r->kind == CVNI_GRU ? 2 : r->gates) * r->h;
    cvni_rnn_sum_job s;
    s.kern = j->net->k;
    s.d = j->d;
    s.sums = sums;
    s.rows = r->n * r->t;
    s.width = r->slots * r->h;
    cvni_parallel_for(j->net, cvni_ceil_div(s.width, CVNI_RNN_SUM_PART), (double)s.rows * s.width,
                      cvni_rnn_sum_part, &s);
    s.kern->add(r->gates * r->h, db_ih, sums, db_ih);
    s.kern->add(shared, db_hh, sums, db_hh);
    if (r->kind == CVNI_GRU)
        s.kern->add(r->h, db_hh + shared, sums + 3 * r->h, db_hh + shared);
}

/* dW_hh: rows [row, row + rows) from the slots at column `from`. Steps with one before them are one
 * product over all samples; past a sample's length d or h is 0. The first steps meet h0. */
static void cvni_rnn_hidden_back(const cvni_rnn_job *j, int row, int rows, int from, float *dw,
                                 int *taps)
{
    const cvni_rnn *r = &j->r;
    const int d_step = r->slots * r->h;
    const int h_step = r->dirs * r->h;
    const float *d = j->d + from + (j->reverse ? 0 : d_step);
    const float *h = j->steps + (j->reverse ? h_step : 0);
    cvni_gemm g;
    memset(&g, 0, sizeof g);
    g.m = rows;
    g.n = r->h;
    g.k = r->n * (r->t - 1);
    g.c = dw + (ptrdiff_t)row * r->h;
    g.ldc = r->h;
    g.add = 1;
    g.a = cvni_matrix(d, 1, (ptrdiff_t)r->t * d_step);
    g.b = cvni_matrix(h, 1, (ptrdiff_t)r->t * h_step);
    g.a.taps = g.b.taps = r->t - 1;
    g.a.tap = taps;
    g.b.tap = taps + r->t;
    for (int t = 0; t < r->t; t++) {
        taps[t] = t * d_step;
        taps[r->t + t] = t * h_step;
    }
    if (g.k) cvni_gemm_run(j->net, &g);
    if (!j->h0) return;
    g.k = r->n;
    g.a = cvni_matrix(j->first + row, 1, (ptrdiff_t)r->gates * r->h);
    g.b = cvni_matrix(j->h0, 1, r->state);
    cvni_gemm_run(j->net, &g);
}

/* What is left when da and du of all steps are there. dx NULL: not wanted. */
static void cvni_rnn_products_back(cvni_layer *l, const cvni_rnn_job *j, int layer, float *dx,
                                   int add, float *sums, int *taps)
{
    cvn_net *net = j->net;
    const cvni_rnn *r = &j->r;
    const int in = cvni_rnn_width(r, layer);
    const int dir = j->reverse;
    float *dw_hh = cvni_weights_grad(net, l, cvni_rnn_param(r, layer, dir, 1));
    const int split = r->kind == CVNI_GRU ? 2 * r->h : r->gates * r->h;
    cvni_gemm g;
    memset(&g, 0, sizeof g);
    g.c = cvni_weights_grad(net, l, cvni_rnn_param(r, layer, dir, 0));
    g.n = in;
    g.ldc = in;
    if (g.c) {
        g.m = r->gates * r->h;
        g.k = r->n * r->t;
        g.add = 1;
        g.a = cvni_matrix(j->d, 1, (ptrdiff_t)r->slots * r->h);
        g.b = cvni_matrix(layer ? cvni_rnn_dropped(net, r, l, layer - 1) : cvni_in(net, l, 0)->y, 1,
                          in);
        cvni_gemm_run(net, &g);
    }
    if (dw_hh) cvni_rnn_hidden_back(j, 0, split, 0, dw_hh, taps);
    if (dw_hh && r->kind == CVNI_GRU) cvni_rnn_hidden_back(j, split, r->h, 3 * r->h, dw_hh, taps);
    if (dw_hh && !r->desc->d.no_bias)
        cvni_rnn_bias_back(j, cvni_weights_grad(net, l, cvni_rnn_param(r, layer, dir, 2)),
                           cvni_weights_grad(net, l, cvni_rnn_param(r, layer, dir, 3)), sums);
    if (!dx) return;
    g.m = r->n * r->t;
    g.k = r->gates * r->h;
    g.a = cvni_matrix(j->d, (ptrdiff_t)r->slots * r->h, 1);
    g.b = cvni_matrix(cvni_weights(net, l, cvni_rnn_param(r, layer, dir, 0)), 1, in);
    g.c = dx;
    g.add = add;
    cvni_gemm_run(net, &g);
}

/* One layer and direction: dsteps [N, T, D*H] is the gradient of its steps. */
static void cvni_rnn_run_back(cvn_net *net, cvni_layer *l, int layer, int dir, const float *dsteps,
                              float *dx, int add)
{
    cvni_rnn_job j = cvni_rnn_job_of(net, l, layer, dir);
    const cvni_rnn *r = &j.r;
    const int rows = r->gates * r->h;
    const size_t packed = r->slot_bytes + cvni_rnn_inner_bytes(r);
    const size_t first = packed + cvni_rnn_packed_bytes(net, r->h, rows);
    const size_t sums = first + cvni_rnn_bytes(r->n, rows, 1, 1);
    const size_t taps = sums + cvni_rnn_bytes(r->slots + 1, r->h, 1, 1);
    float *zeros = cvni_floats_at(l->work_backward, sums) + (ptrdiff_t)r->slots * r->h;
    j.d = (float *)l->work_backward;
    j.packed = cvni_floats_at(l->work_backward, packed);
    j.first = cvni_floats_at(l->work_backward, first);
    j.dsteps = dsteps + (ptrdiff_t)dir * r->h;
    j.zeros = zeros;
    cvni_zero(zeros, (size_t)r->h);
    if (!r->few) cvni_rnn_pack_weight(net, cvni_matrix(j.weight, 1, r->h), r->h, rows, j.packed);
    cvni_parallel_for(net, cvni_ceil_div(r->n, j.rows), cvni_rnn_cost(r), cvni_rnn_steps_back_part,
                      &j);
    cvni_rnn_products_back(l, &j, layer, dx, add, cvni_floats_at(l->work_backward, sums),
                           (int *)(void *)cvni_floats_at(l->work_backward, taps));
}

/* The gradient of an initial state: what is left of it behind the first step. */
static void cvni_rnn_state_back(cvn_net *net, const cvni_layer *l, const cvni_rnn *r, int slot,
                                const float *d)
{
    const size_t count = (size_t)r->n * (size_t)r->state;
    int add = 0;
    float *to = slot ? cvni_gradient_for(cvni_in(net, l, slot), &add) : NULL;
    if (to && add) net->k->add((int)count, to, d, to);
    else if (to) memcpy(to, d, count * sizeof(float));
}

/* Gradient of the steps of a layer that is not the last. */
static float *cvni_rnn_inner_gradient(const cvni_rnn *r, const cvni_layer *l, int layer)
{
    return cvni_floats_at(l->work_backward, r->slot_bytes + (size_t)(layer % 2) * r->step_bytes);
}

static void cvni_rnn_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_rnn r = cvni_rnn_of(net, l);
    const float *dsteps = l->dy;
    int add = 0;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    for (int layer = r.layers - 1; layer >= 0; layer--) {
        float *inner = layer ? cvni_rnn_inner_gradient(&r, l, layer - 1) : dx;
        for (int dir = 0; dir < r.dirs; dir++)
            cvni_rnn_run_back(net, l, layer, dir, dsteps, inner, dir || (!layer && add));
        if (layer) cvni_rnn_drop(net, l, &r, layer - 1, inner, inner);
        dsteps = inner;
    }
    cvni_rnn_state_back(net, l, &r, r.desc->h0, cvni_floats_at(l->table, r.state_bytes));
    memset(cvni_floats_at(l->table, r.state_bytes), 0, r.state_bytes);
    if (r.kind != CVNI_LSTM) return;
    cvni_rnn_state_back(net, l, &r, r.desc->c0, cvni_floats_at(l->table, 3 * r.state_bytes));
    memset(cvni_floats_at(l->table, 3 * r.state_bytes), 0, r.state_bytes);
}

static const cvni_op cvni_op_rnn = { "rnn",
                                     "rnn",
                                     "RNN",
                                     CVNI_USES_X | CVNI_USES_Y | CVNI_TAKES_INT,
                                     cvni_rnn_shape,
                                     NULL,
                                     cvni_rnn_forward,
                                     cvni_rnn_backward };
static const cvni_op cvni_op_lstm = { "lstm",
                                      "lstm",
                                      "LSTM",
                                      CVNI_USES_X | CVNI_USES_Y | CVNI_TAKES_INT,
                                      cvni_rnn_shape,
                                      NULL,
                                      cvni_rnn_forward,
                                      cvni_rnn_backward };
static const cvni_op cvni_op_gru = { "gru",
                                     "gru",
                                     "GRU",
                                     CVNI_USES_X | CVNI_USES_Y | CVNI_TAKES_INT,
                                     cvni_rnn_shape,
                                     NULL,
                                     cvni_rnn_forward,
                                     cvni_rnn_backward };

cvn_rnn_desc cvn_rnn_defaults(void)
{
    cvn_rnn_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

/* Inputs: x and what else the description names. */
static cvn_node cvni_add_rnn(cvn_net *net, int kind, cvn_node x, const cvn_rnn_desc *desc)
{
    static const cvni_op *const ops[3] = { &cvni_op_rnn, &cvni_op_lstm, &cvni_op_gru };
    cvni_rnn_desc r;
    cvn_node in[4];
    int count = 0;
    memset(&r, 0, sizeof r);
    r.d = desc ? *desc : cvn_rnn_defaults();
    if (!r.d.layers) r.d.layers = 1;
    r.kind = kind;
    in[count++] = x;
    if (r.d.h0.id) {
        r.h0 = count;
        in[count++] = r.d.h0;
    }
    if (r.d.c0.id) {
        r.c0 = count;
        in[count++] = r.d.c0;
    }
    if (r.d.lengths.id) {
        r.lengths = count;
        in[count++] = r.d.lengths;
    }
    return cvni_add_layer(net, ops[kind], in, count, &r, sizeof r);
}

cvn_node cvn_rnn_ex(cvn_net *net, cvn_node x, const cvn_rnn_desc *desc)
{
    return cvni_add_rnn(net, CVNI_RNN, x, desc);
}
cvn_node cvn_lstm_ex(cvn_net *net, cvn_node x, const cvn_rnn_desc *desc)
{
    return cvni_add_rnn(net, CVNI_LSTM, x, desc);
}
cvn_node cvn_gru_ex(cvn_net *net, cvn_node x, const cvn_rnn_desc *desc)
{
    return cvni_add_rnn(net, CVNI_GRU, x, desc);
}

static cvn_node cvni_add_plain_rnn(cvn_net *net, int kind, cvn_node x, int hidden)
{
    cvn_rnn_desc d = cvn_rnn_defaults();
    d.hidden = hidden;
    return cvni_add_rnn(net, kind, x, &d);
}

cvn_node cvn_rnn(cvn_net *net, cvn_node x, int hidden)
{
    return cvni_add_plain_rnn(net, CVNI_RNN, x, hidden);
}
cvn_node cvn_lstm(cvn_net *net, cvn_node x, int hidden)
{
    return cvni_add_plain_rnn(net, CVNI_LSTM, x, hidden);
}
cvn_node cvn_gru(cvn_net *net, cvn_node x, int hidden)
{
    return cvni_add_plain_rnn(net, CVNI_GRU, x, hidden);
}

/* ---- final states and the last step ---- */

typedef struct cvni_rnn_state_desc { int which; } cvni_rnn_state_desc;

static cvn_result cvni_rnn_state_shape(cvn_net *net, cvni_layer *l)
{
    const int which = ((const cvni_rnn_state_desc *)l->desc)->which;
    const cvni_layer *x = cvni_in(net, l, 0);
    cvni_rnn r;
    if (x->op->forward != cvni_rnn_forward)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "'%s' is %s; a node of cvn_rnn, cvn_lstm or cvn_gru is needed",
                               x->name, x->op->type);
    r = cvni_rnn_of(net, x);
    if (which != 0 && (which != 1 || r.kind != CVNI_LSTM))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "state %d of '%s'; 0 is the hidden state, 1 the cells of an LSTM",
                               which, x->name);
    l->shape = cvni_shape(3, r.n, r.layers * r.dirs, r.h, 0);
    return CVN_OK;
}

/* The state in the table of the recurrent layer; its gradient lies behind it. */
static float *cvni_rnn_state_at(const cvn_net *net, const cvni_layer *l, int gradient)
{
    const int which = ((const cvni_rnn_state_desc *)l->desc)->which;
    const cvni_layer *x = cvni_in(net, l, 0);
    return cvni_floats_at(x->table, (size_t)(2 * which + gradient) *
                                        cvni_rnn_of(net, x).state_bytes);
}

static cvn_result cvni_rnn_state_forward(cvn_net *net, cvni_layer *l)
{
    memcpy(l->y, cvni_rnn_state_at(net, l, 0), cvni_elements(l->shape) * sizeof(float));
    return CVN_OK;
}

/* The recurrent layer's own backward pass takes it from there; without a reader of its steps that
 * have a gradient, they have the gradient 0. */
static void cvni_rnn_state_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    float *d = cvni_rnn_state_at(net, l, 1);
    int add;
    float *dy = cvni_gradient_for(x, &add);
    if (!dy) return;
    if (!add) cvni_zero(dy, cvni_elements(x->shape));
    net->k->add((int)cvni_elements(l->shape), d, l->dy, d);
}

static const cvni_op cvni_op_rnn_state = { "rnn_state",
                                           "state",
                                           NULL,
                                           0,
                                           cvni_rnn_state_shape,
                                           NULL,
                                           cvni_rnn_state_forward,
                                           cvni_rnn_state_backward };

cvn_node cvn_rnn_state(cvn_net *net, cvn_node rnn_node, int which)
{
    cvni_rnn_state_desc d;
    d.which = which;
    return cvni_add_layer(net, &cvni_op_rnn_state, &rnn_node, 1, &d, sizeof d);
}

cvn_node cvn_last_step(cvn_net *net, cvn_node x)
{
    const cvn_node none = { 0 };
    const cvn_shape s = cvn_node_shape(net, x);
    if (!net || net->failed) return none;
    if (s.rank != 3) {
        cvni_graph_fail(net, CVN_ERROR_SHAPE,
                        "last_step: an input of rank %d; a sequence [N, T, C] is needed", s.rank);
        return none;
    }
    return cvn_reshape(net, cvn_slice(net, x, 1, s.dim[1] - 1, s.dim[1]), &s.dim[2], 1);
}

/* ================================================================================================
 * >>resize   images of another size: upsampling, pixel shuffle, pad, crop
 * ==============================================================================================
 *   x [N, C, H, W], each plane by itself.
 *   nearest, pad, crop   y[h, w] = x[rows[h], cols[w]]; -1 in rows or cols: 0. Backward adds dy
 *                        there. Nearest reads floor(h * (H/OH)) in float, as PyTorch; for OH = 2 H
 *                        that is h/2.
 *   bilinear             y = (1-a)(1-b) x[h0, w0] + (1-a) b x[h0, w1] + a (1-b) x[h1, w0]
 *                        + a b x[h1, w1], h0 = floor(s), a = s - h0, h1 = h0 + 1 inside the image;
 *                        s = max(0, (h + 1/2) H/OH - 1/2), align_corners: h (H - 1)/(OH - 1).
 *                        Backward adds dy times the same four weights.
 *   pixel shuffle        y[c, h r + i, w r + j] = x[c r^2 + i r + j, h, w]; backward: the way back
 *   source               W. Shi et al., arXiv:1609.05158 (pixel shuffle)
 *                                                                    tested: tests/test_resize.c */

typedef enum cvni_resize_kind { CVNI_RESIZE_NEAREST, CVNI_RESIZE_BILINEAR, CVNI_RESIZE_WINDOW }
    cvni_resize_kind;

typedef struct cvni_resize_desc {
    cvni_resize_kind kind;
    int factor;                         /* upsampling; 0: to height x width */
    int height, width;
    int align_corners;
    int crop;                           /* window: height x width from top, left; else pads */
    int top, left, bottom, right;
    cvn_pad_mode mode;
} cvni_resize_desc;

/* One output line or column of bilinear interpolation. */
typedef struct cvni_tap { int from, to; float weight; } cvni_tap;

static cvn_result cvni_resize_check(cvn_net *net, const cvni_layer *l, cvn_shape x)
{
    const cvni_resize_desc *d = (const cvni_resize_desc *)l->desc;
    char text[96];
    if (x.rank != 4)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "input %s is no image [C, H, W]; reshape it",
                               cvni_shape_text(x, text));
    if (d->kind == CVNI_RESIZE_WINDOW && d->crop) {
        if (d->top < 0 || d->left < 0 || d->height < 1 || d->width < 1)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "top %d, left %d, size %d x %d: out of range (top and left 0 "
                                   "or more, size 1 or more)",
                                   d->top, d->left, d->height, d->width);
        if (d->height > x.dim[2] - d->top || d->width > x.dim[3] - d->left)
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "%d x %d from (%d, %d) does not lie inside input %s; pad it or "
                                   "crop less",
                                   d->height, d->width, d->top, d->left, cvni_shape_text(x, text));
    } else if (d->kind == CVNI_RESIZE_WINDOW) {
        const int most = cvni_max(cvni_max(d->top, d->bottom), cvni_max(d->left, d->right));
        if (d->top < 0 || d->left < 0 || d->bottom < 0 || d->right < 0 || most > INT_MAX / 4 ||
            d->mode < CVN_PAD_ZERO || d->mode > CVN_PAD_REPLICATE)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "pads %d %d %d %d, mode %d: out of range (pads 0 or more; to "
                                   "cut off use cvn_crop)",
                                   d->top, d->left, d->bottom, d->right, (int)d->mode);
        if (d->mode == CVN_PAD_REFLECT && (cvni_max(d->top, d->bottom) >= x.dim[2] ||
                                           cvni_max(d->left, d->right) >= x.dim[3]))
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "reflect padding must be smaller than the input %s",
                                   cvni_shape_text(x, text));
    } else if (d->factor < 0 || (d->factor == 0 && (d->height < 1 || d->width < 1)) ||
               d->factor > INT_MAX / cvni_max(x.dim[2], x.dim[3])) {
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "factor %d, size %d x %d: out of range (1 or more)", d->factor,
                               d->height, d->width);
    }
    return CVN_OK;
}

static cvn_result cvni_resize_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_resize_desc *d = (const cvni_resize_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvn_result result = cvni_resize_check(net, l, x);
    int OH = d->height;
    int OW = d->width;
    if (result != CVN_OK) return result;
    if (d->kind == CVNI_RESIZE_WINDOW && !d->crop) {
        if (x.dim[2] > INT_MAX / 2 || x.dim[3] > INT_MAX / 2)
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "the image is too large");
        OH = x.dim[2] + d->top + d->bottom;
        OW = x.dim[3] + d->left + d->right;
    } else if (d->factor) {
        OH = x.dim[2] * d->factor;
        OW = x.dim[3] * d->factor;
    }
    l->shape = cvni_shape(4, x.dim[0], x.dim[1], OH, OW);
    l->table_bytes = cvni_mul_size(
        (size_t)OH + (size_t)OW, d->kind == CVNI_RESIZE_BILINEAR ? sizeof(cvni_tap) : sizeof(int));
    return CVN_OK;
}

/* The input line that output line o of nearest upsampling reads. */
static int cvni_nearest_index(int o, int in, int out)
{
    const float scale = (float)in / (float)out;
    if (out == in) return o;
    if (in <= INT_MAX / 2 && out == 2 * in) return o / 2;
    return cvni_min((int)floorf((float)o * scale), in - 1);
}

static cvni_tap cvni_bilinear_tap(int o, int in, int out, int align_corners)
{
    double at = 0;
    cvni_tap t;
    if (align_corners && out > 1) at = (double)o * (in - 1) / (out - 1);
    else if (!align_corners) at = ((double)o + 0.5) * in / out - 0.5;
    if (at < 0) at = 0;
    t.from = cvni_min((int)at, in - 1);
    t.to = cvni_min(t.from + 1, in - 1);
    t.weight = (float)(at - t.from);
    return t;
}

static void cvni_resize_prepare(cvn_net *net, cvni_layer *l)
{
    const cvni_resize_desc *d = (const cvni_resize_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    for (int axis = 2; axis < 4; axis++) {
        const int in = x.dim[axis];
        const int out = l->shape.dim[axis];
        const int before = axis == 2 ? d->top : d->left;
        cvni_tap *taps = (cvni_tap *)l->table + (axis == 2 ? 0 : l->shape.dim[2]);
        int *map = (int *)l->table + (axis == 2 ? 0 : l->shape.dim[2]);
        for (int o = 0; o < out; o++) {
            if (d->kind == CVNI_RESIZE_BILINEAR)
                taps[o] = cvni_bilinear_tap(o, in, out, d->align_corners);
            else if (d->kind == CVNI_RESIZE_NEAREST) map[o] = cvni_nearest_index(o, in, out);
            else map[o] = cvni_pad_index(d->crop ? o + before : o - before, in, d->mode);
        }
    }
}

typedef struct cvni_resize_job {
    cvni_layer *l;
    cvn_shape x;
    const float *in;                    /* forward: x; backward: dy */
    float *out;                         /* forward: y; backward: dx */
    int add;
} cvni_resize_job;

static void cvni_pick_part(void *context, int begin, int end, int worker)
{
    const cvni_resize_job *j = (const cvni_resize_job *)context;
    const int OH = j->l->shape.dim[2];
    const int OW = j->l->shape.dim[3];
    const int W = j->x.dim[3];
    const int *rows = (const int *)j->l->table;
    const int *cols = rows + OH;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *plane = j->in + (ptrdiff_t)t * j->x.dim[2] * W;
        float *y = j->out + (ptrdiff_t)t * OH * OW;
        for (int h = 0; h < OH; h++, y += OW) {
            const float *x = plane + (ptrdiff_t)cvni_max(rows[h], 0) * W;
            if (rows[h] < 0) cvni_zero(y, (size_t)OW);
            else for (int w = 0; w < OW; w++) y[w] = cols[w] < 0 ? 0 : x[cols[w]];
        }
    }
}

static void cvni_pick_back_part(void *context, int begin, int end, int worker)
{
    const cvni_resize_job *j = (const cvni_resize_job *)context;
    const int OH = j->l->shape.dim[2];
    const int OW = j->l->shape.dim[3];
    const int W = j->x.dim[3];
    const int *rows = (const int *)j->l->table;
    const int *cols = rows + OH;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *dy = j->in + (ptrdiff_t)t * OH * OW;
        float *plane = j->out + (ptrdiff_t)t * j->x.dim[2] * W;
        if (!j->add) cvni_zero(plane, (size_t)j->x.dim[2] * (size_t)W);
        for (int h = 0; h < OH; h++, dy += OW) {
            float *dx = plane + (ptrdiff_t)cvni_max(rows[h], 0) * W;
            if (rows[h] < 0) continue;
            for (int w = 0; w < OW; w++) if (cols[w] >= 0) dx[cols[w]] += dy[w];
        }
    }
}

static void cvni_bilinear_part(void *context, int begin, int end, int worker)
{
    const cvni_resize_job *j = (const cvni_resize_job *)context;
    const int OH = j->l->shape.dim[2];
    const int OW = j->l->shape.dim[3];
    const int W = j->x.dim[3];
    const cvni_tap *rows = (const cvni_tap *)j->l->table;
    const cvni_tap *cols = rows + OH;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *plane = j->in + (ptrdiff_t)t * j->x.dim[2] * W;
        float *y = j->out + (ptrdiff_t)t * OH * OW;
        for (int h = 0; h < OH; h++, y += OW) {
            const float *x0 = plane + (ptrdiff_t)rows[h].from * W;
            const float *x1 = plane + (ptrdiff_t)rows[h].to * W;
            const float a = rows[h].weight;
            for (int w = 0; w < OW; w++) {
                const cvni_tap c = cols[w];
                y[w] = (1 - a) * ((1 - c.weight) * x0[c.from] + c.weight * x0[c.to]) +
                       a * ((1 - c.weight) * x1[c.from] + c.weight * x1[c.to]);
            }
        }
    }
}

static void cvni_bilinear_back_part(void *context, int begin, int end, int worker)
{
    const cvni_resize_job *j = (const cvni_resize_job *)context;
    const int OH = j->l->shape.dim[2];
    const int OW = j->l->shape.dim[3];
    const int W = j->x.dim[3];
    const cvni_tap *rows = (const cvni_tap *)j->l->table;
    const cvni_tap *cols = rows + OH;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *dy = j->in + (ptrdiff_t)t * OH * OW;
        float *plane = j->out + (ptrdiff_t)t * j->x.dim[2] * W;
        if (!j->add) cvni_zero(plane, (size_t)j->x.dim[2] * (size_t)W);
        for (int h = 0; h < OH; h++, dy += OW) {
            float *x0 = plane + (ptrdiff_t)rows[h].from * W;
            float *x1 = plane + (ptrdiff_t)rows[h].to * W;
            const float a = rows[h].weight;
            for (int w = 0; w < OW; w++) {
                const cvni_tap c = cols[w];
                x0[c.from] += (1 - a) * (1 - c.weight) * dy[w];
                x0[c.to] += (1 - a) * c.weight * dy[w];
                x1[c.from] += a * (1 - c.weight) * dy[w];
                x1[c.to] += a * c.weight * dy[w];
            }
        }
    }
}

static void cvni_resize_run(cvn_net *net, cvni_layer *l, cvni_job part, int backward)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const double cost = (double)cvni_elements(l->shape) + (double)cvni_elements(x->shape);
    cvni_resize_job j;
    j.l = l;
    j.x = x->shape;
    j.in = backward ? l->dy : x->y;
    j.add = 0;
    j.out = backward ? cvni_gradient_for(x, &j.add) : l->y;
    if (j.out) cvni_parallel_for(net, x->shape.dim[0] * x->shape.dim[1], 4 * cost, part, &j);
}

static cvn_result cvni_pick_forward(cvn_net *net, cvni_layer *l)
{
    cvni_resize_run(net, l, cvni_pick_part, 0);
    return CVN_OK;
}

static cvn_result cvni_bilinear_forward(cvn_net *net, cvni_layer *l)
{
    cvni_resize_run(net, l, cvni_bilinear_part, 0);
    return CVN_OK;
}

static void cvni_pick_backward(cvn_net *net, cvni_layer *l)
{
    cvni_resize_run(net, l, cvni_pick_back_part, 1);
}
static void cvni_bilinear_backward(cvn_net *net, cvni_layer *l)
{
    cvni_resize_run(net, l, cvni_bilinear_back_part, 1);
}

static const cvni_op cvni_op_upsample_nearest = { "upsample_nearest", "upsample",
                                                  "Resize",           0,
                                                  cvni_resize_shape,  cvni_resize_prepare,
                                                  cvni_pick_forward,  cvni_pick_backward };
static const cvni_op cvni_op_upsample_bilinear = { "upsample_bilinear",   "upsample",
                                                   "Resize",              0,
                                                   cvni_resize_shape,     cvni_resize_prepare,
                                                   cvni_bilinear_forward, cvni_bilinear_backward };
static const cvni_op cvni_op_pad = { "pad",             "pad",
                                     "Pad",             0,
                                     cvni_resize_shape, cvni_resize_prepare,
                                     cvni_pick_forward, cvni_pick_backward };
static const cvni_op cvni_op_crop = { "crop",            "crop",
                                      "Slice",           0,
                                      cvni_resize_shape, cvni_resize_prepare,
                                      cvni_pick_forward, cvni_pick_backward };

static cvn_node cvni_add_upsample(cvn_net *net, cvn_node x, int factor, int height, int width,
                                  cvni_resize_kind kind, int align_corners)
{
    cvni_resize_desc d;
    memset(&d, 0, sizeof d);
    d.kind = kind;
    d.factor = factor;
    d.height = height;
    d.width = width;
    d.align_corners = align_corners;
    return cvni_add_layer(net, kind == CVNI_RESIZE_NEAREST ? &cvni_op_upsample_nearest
                                                           : &cvni_op_upsample_bilinear,
                          &x, 1, &d, sizeof d);
}

/* A factor of 0 is an error here: inside it means height x width. */
cvn_node cvn_upsample_nearest(cvn_net *net, cvn_node x, int factor)
{
    return cvni_add_upsample(net, x, factor ? factor : -1, 0, 0, CVNI_RESIZE_NEAREST, 0);
}

cvn_node cvn_upsample_nearest_to(cvn_net *net, cvn_node x, int height, int width)
{
    return cvni_add_upsample(net, x, 0, height, width, CVNI_RESIZE_NEAREST, 0);
}

cvn_node cvn_upsample_bilinear(cvn_net *net, cvn_node x, int factor, int align_corners)
{
    return cvni_add_upsample(net, x, factor ? factor : -1, 0, 0, CVNI_RESIZE_BILINEAR,
                             align_corners);
}

cvn_node cvn_upsample_bilinear_to(cvn_net *net, cvn_node x, int height, int width,
                                  int align_corners)
{
    return cvni_add_upsample(net, x, 0, height, width, CVNI_RESIZE_BILINEAR, align_corners);
}

cvn_node cvn_pad(cvn_net *net, cvn_node x, int top, int left, int bottom, int right,
                 cvn_pad_mode mode)
{
    cvni_resize_desc d;
    memset(&d, 0, sizeof d);
    d.kind = CVNI_RESIZE_WINDOW;
    d.top = top;
    d.left = left;
    d.bottom = bottom;
    d.right = right;
    d.mode = mode;
    return cvni_add_layer(net, &cvni_op_pad, &x, 1, &d, sizeof d);
}

cvn_node cvn_crop(cvn_net *net, cvn_node x, int top, int left, int height, int width)
{
    cvni_resize_desc d;
    memset(&d, 0, sizeof d);
    d.kind = CVNI_RESIZE_WINDOW;
    d.crop = 1;
    d.top = top;
    d.left = left;
    d.height = height;
    d.width = width;
    return cvni_add_layer(net, &cvni_op_crop, &x, 1, &d, sizeof d);
}

typedef struct cvni_shuffle_desc { int factor; } cvni_shuffle_desc;

static cvn_result cvni_shuffle_shape(cvn_net *net, cvni_layer *l)
{
    const int r = ((const cvni_shuffle_desc *)l->desc)->factor;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    char text[96];
    if (x.rank != 4)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "input %s is no image [C, H, W]; reshape it",
                               cvni_shape_text(x, text));
    if (r < 1)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "factor %d; 1 or more is needed", r);
    if (r > 32767 || x.dim[1] % (r * r) || cvni_max(x.dim[2], x.dim[3]) > INT_MAX / r)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "factor %d squared does not divide the %d channels of input %s; "
                               "have a convolution make a multiple of it",
                               r, x.dim[1], cvni_shape_text(x, text));
    l->shape = cvni_shape(4, x.dim[0], x.dim[1] / (r * r), x.dim[2] * r, x.dim[3] * r);
    return CVN_OK;
}

/* A task is a channel of x: line h of it goes to every r-th value of line h r + i of y. */
static void cvni_shuffle_part(void *context, int begin, int end, int worker)
{
    const cvni_resize_job *j = (const cvni_resize_job *)context;
    const int r = ((const cvni_shuffle_desc *)j->l->desc)->factor;
    const int H = j->x.dim[2];
    const int W = j->x.dim[3];
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *x = j->in + (ptrdiff_t)t * H * W;
        float *y = j->out + (ptrdiff_t)(t / (r * r)) * H * W * r * r +
                   (ptrdiff_t)(t / r % r) * W * r + t % r;
        for (int h = 0; h < H; h++, x += W, y += (ptrdiff_t)W * r * r)
            for (int w = 0; w < W; w++) y[w * r] = x[w];
    }
}

static void cvni_shuffle_back_part(void *context, int begin, int end, int worker)
{
    const cvni_resize_job *j = (const cvni_resize_job *)context;
    const int r = ((const cvni_shuffle_desc *)j->l->desc)->factor;
    const int H = j->x.dim[2];
    const int W = j->x.dim[3];
    (void)worker;
    for (int t = begin; t < end; t++) {
        float *dx = j->out + (ptrdiff_t)t * H * W;
        const float *dy = j->in + (ptrdiff_t)(t / (r * r)) * H * W * r * r +
                          (ptrdiff_t)(t / r % r) * W * r + t % r;
        for (int h = 0; h < H; h++, dx += W, dy += (ptrdiff_t)W * r * r)
            for (int w = 0; w < W; w++) dx[w] = j->add ? dx[w] + dy[w * r] : dy[w * r];
    }
}

static cvn_result cvni_shuffle_forward(cvn_net *net, cvni_layer *l)
{
    cvni_resize_run(net, l, cvni_shuffle_part, 0);
    return CVN_OK;
}

static void cvni_shuffle_backward(cvn_net *net, cvni_layer *l)
{
    cvni_resize_run(net, l, cvni_shuffle_back_part, 1);
}

static const cvni_op cvni_op_pixel_shuffle = { "pixel_shuffle",      "shuffle",
                                               "DepthToSpace",       0,
                                               cvni_shuffle_shape,   NULL,
                                               cvni_shuffle_forward, cvni_shuffle_backward };

cvn_node cvn_pixel_shuffle(cvn_net *net, cvn_node x, int factor)
{
    cvni_shuffle_desc d;
    d.factor = factor;
    return cvni_add_layer(net, &cvni_op_pixel_shuffle, &x, 1, &d, sizeof d);
}

/* ================================================================================================
 * >>transformer   encoder and decoder layers, patches of images: made of layers
 * ==============================================================================================
 *   Formulas, names and sources: >>layers-api.                    tested: tests/test_attention.c */

/* Names a node "scope.part" where that name is free. */
static cvn_node cvni_part(cvn_net *net, cvn_node node, const char *part)
{
    char name[2 * CVN_MAX_NAME];
    if (!net || net->failed || net->mode || net->parent || !cvni_valid(net, node)) return node;
    snprintf(name, sizeof name, "%s%s%s", net->scope, net->scope[0] ? "." : "", part);
    if (strlen(name) >= CVN_MAX_NAME || cvni_find_layer(net, name)) return node;
    return cvn_name(net, node, name);
}

static cvn_node cvni_block_norm(cvn_net *net, cvn_node x, const cvn_transformer_desc *d,
                                const char *part)
{
    cvn_layernorm_desc n = cvn_layernorm_defaults();
    n.eps = d->eps;
    return cvni_part(net, cvn_layernorm_ex(net, x, &n), part);
}

static cvn_node cvni_block_dropout(cvn_net *net, cvn_node x, const cvn_transformer_desc *d)
{
    return d->dropout != 0 ? cvn_dropout(net, x, d->dropout) : x;
}

static cvn_node cvni_block_attention(cvn_net *net, cvn_node x, cvn_node memory,
                                     const cvn_transformer_desc *d, int causal, cvn_node lengths,
                                     const char *part)
{
    cvn_attention_desc a = cvn_attention_defaults();
    a.heads = d->heads;
    a.causal = causal;
    a.dropout = d->dropout;
    a.lengths = lengths;
    a.weight_init.kind = CVN_INIT_XAVIER_UNIFORM;
    x = cvni_part(net, cvn_multihead_attention_ex(net, x, memory, memory, &a), part);
    return cvni_block_dropout(net, x, d);
}

static cvn_node cvni_block_linear(cvn_net *net, cvn_node x, int units, const char *part)
{
    cvn_dense_desc d = cvn_dense_defaults();
    d.units = units;
    d.weight_init.kind = CVN_INIT_XAVIER_UNIFORM;
    return cvni_part(net, cvn_dense_ex(net, x, &d), part);
}

static cvn_node cvni_block_feedforward(cvn_net *net, cvn_node x, const cvn_transformer_desc *d)
{
    const cvn_shape s = cvn_node_shape(net, x);
    const int units = s.rank == 3 ? s.dim[2] : 0;
    x = cvni_block_linear(net, x, d->feedforward ? d->feedforward : 4 * units, "linear1");
    x = d->gelu ? cvn_gelu(net, x) : cvn_relu(net, x);
    x = cvni_block_linear(net, cvni_block_dropout(net, x, d), units, "linear2");
    return cvni_block_dropout(net, x, d);
}

/* The feed-forward part and its norm: the end of both layers. */
static cvn_node cvni_block_end(cvn_net *net, cvn_node x, const cvn_transformer_desc *d,
                               const char *norm)
{
    if (d->norm_first)
        return cvn_add(net, x,
                       cvni_block_feedforward(net, cvni_block_norm(net, x, d, norm), d));
    return cvni_block_norm(net, cvn_add(net, x, cvni_block_feedforward(net, x, d)), d, norm);
}

/* The attention to itself and its norm: the beginning of both. */
static cvn_node cvni_block_begin(cvn_net *net, cvn_node x, const cvn_transformer_desc *d,
                                 int causal)
{
    cvn_node y = d->norm_first ? cvni_block_norm(net, x, d, "norm1") : x;
    y = cvni_block_attention(net, y, y, d, causal, d->lengths, "self_attn");
    y = cvn_add(net, x, y);
    return d->norm_first ? y : cvni_block_norm(net, y, d, "norm1");
}

cvn_transformer_desc cvn_transformer_defaults(void)
{
    cvn_transformer_desc d;
    memset(&d, 0, sizeof d);
    d.heads = 1;
    return d;
}

cvn_node cvn_transformer_encoder(cvn_net *net, cvn_node x, const cvn_transformer_desc *desc)
{
    const cvn_transformer_desc d = desc ? *desc : cvn_transformer_defaults();
    return cvni_block_end(net, cvni_block_begin(net, x, &d, d.causal), &d, "norm2");
}

cvn_node cvn_transformer_decoder(cvn_net *net, cvn_node x, cvn_node memory,
                                 const cvn_transformer_desc *desc)
{
    const cvn_transformer_desc d = desc ? *desc : cvn_transformer_defaults();
    cvn_node y;
    x = cvni_block_begin(net, x, &d, 1);
    y = d.norm_first ? cvni_block_norm(net, x, &d, "norm2") : x;
    y = cvni_block_attention(net, y, memory, &d, 0, d.memory_lengths, "multihead_attn");
    x = cvn_add(net, x, y);
    if (!d.norm_first) x = cvni_block_norm(net, x, &d, "norm2");
    return cvni_block_end(net, x, &d, "norm3");
}

cvn_node cvn_patch_embedding(cvn_net *net, cvn_node x, int patch, int dim)
{
    static const int turned[2] = { 2, 1 };
    cvn_conv2d_desc c = cvn_conv2d_defaults();
    int dims[2];
    c.filters = dim;
    c.kernel_h = patch;
    c.stride_h = patch;
    c.weight_init.kind = CVN_INIT_LECUN_NORMAL;
    dims[0] = dim;
    dims[1] = -1;
    x = cvni_part(net, cvn_conv2d_ex(net, x, &c), "conv_proj");
    return cvn_permute(net, cvn_reshape(net, x, dims, 2), turned, 2);
}

/* ================================================================================================
 * >>blocks   several layers in one call: residual, inception, fire, inverted residual
 * ==============================================================================================
 *   No operations of their own: every layer below is one of the rooms above, and all that these
 *   functions add is the order of layers, and names as torchvision has them. Formulas and sources:
 *   >>layers-api.                                                    tested: tests/test_blocks.c */

/* 1 when x is an image of a net that takes layers; else 0 and, on a net that worked, the error. */
static int cvni_block_image(cvn_net *net, cvn_node x, const char *call)
{
    const cvn_shape s = cvn_node_shape(net, x);
    if (!net || net->failed) return 0;
    if (net->mode || net->parent) {
        cvni_fail(net, CVN_ERROR_STATE, "%s: the net is built or shared; add layers before", call);
        return 0;
    }
    if (!cvni_valid(net, x))
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: the input is no node of this net", call);
    else if (s.rank != 4)
        cvni_graph_fail(net, CVN_ERROR_SHAPE, "%s: '%s' has rank %d; [N, C, H, W] is needed", call,
                        net->layers[x.id].name, s.rank);
    return !net->failed;
}

static cvn_node cvni_block_activation(cvn_net *net, cvn_node x, cvn_activation_kind kind,
                                      cvn_activation_kind own)
{
    const cvn_node none = { 0 };
    switch (kind == CVN_ACT_DEFAULT ? own : kind) {
    case CVN_ACT_RELU: return cvn_relu(net, x);
    case CVN_ACT_RELU6: return cvn_relu6(net, x);
    case CVN_ACT_SILU: return cvn_silu(net, x);
    case CVN_ACT_HARDSWISH: return cvn_hardswish(net, x);
    case CVN_ACT_GELU: return cvn_gelu(net, x);
    case CVN_ACT_SIGMOID: return cvn_sigmoid(net, x);
    case CVN_ACT_HARDSIGMOID: return cvn_hardsigmoid(net, x);
    case CVN_ACT_DEFAULT: break;
    }
    if (net && !net->failed)
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "activation %d is not one of cvn_activation_kind",
                        (int)kind);
    return none;
}

/* Convolution that keeps the size at stride 1: kernel odd, its reach as pad. */
typedef struct cvni_block_conv { int filters, kernel, stride, dilation, groups, bias; }
    cvni_block_conv;

static cvni_block_conv cvni_block_conv_of(int filters, int kernel, int stride, int groups)
{
    cvni_block_conv c;
    c.filters = filters;
    c.kernel = kernel;
    c.stride = stride;
    c.dilation = 1;
    c.groups = groups;
    c.bias = 0;
    return c;
}

static cvn_node cvni_add_block_conv(cvn_net *net, cvn_node x, const cvni_block_conv *c,
                                    const char *part)
{
    cvn_conv2d_desc d = cvn_conv2d_defaults();
    d.filters = c->filters;
    d.kernel_h = c->kernel;
    d.stride_h = c->stride;
    d.dilation_h = c->dilation;
    d.groups = c->groups;
    d.no_bias = !c->bias;
    d.pad_top = d.pad_left = d.pad_bottom = d.pad_right = c->dilation * (c->kernel / 2);
    return cvni_part(net, cvn_conv2d_ex(net, x, &d), part);
}

/* The same for a 1x1 convolution. */
static cvn_node cvni_add_pointwise(cvn_net *net, cvn_node x, int filters, int stride, int bias,
                                   const char *part)
{
    cvni_block_conv c = cvni_block_conv_of(filters, 1, stride, 1);
    c.bias = bias;
    return cvni_add_block_conv(net, x, &c, part);
}

static cvn_node cvni_add_block_norm(cvn_net *net, cvn_node x, const cvn_batchnorm_desc *norm,
                                    const char *part)
{
    return cvni_part(net, cvn_batchnorm_ex(net, x, norm), part);
}

/* ---- squeeze and excitation ---- */

static cvn_node cvni_squeeze_excite(cvn_net *net, cvn_node x, int reduced, cvn_activation_kind act,
                                    cvn_activation_kind gate, const char *prefix)
{
    const int channels = cvn_node_shape(net, x).dim[1];
    char part[CVN_MAX_NAME];
    cvn_node y = cvn_global_avgpool(net, x);
    snprintf(part, sizeof part, "%sfc1", prefix);
    y = cvni_add_pointwise(net, y, reduced, 1, 1, part);
    y = cvni_block_activation(net, y, act, CVN_ACT_RELU);
    snprintf(part, sizeof part, "%sfc2", prefix);
    y = cvni_add_pointwise(net, y, channels, 1, 1, part);
    return cvn_mul(net, x, cvni_block_activation(net, y, gate, CVN_ACT_SIGMOID));
}

cvn_node cvn_squeeze_excite_ex(cvn_net *net, cvn_node x, int reduced, cvn_activation_kind act,
                               cvn_activation_kind gate)
{
    const cvn_node none = { 0 };
    if (!cvni_block_image(net, x, "squeeze_excite")) return none;
    return cvni_squeeze_excite(net, x, reduced, act, gate, "");
}

cvn_node cvn_squeeze_excite(cvn_net *net, cvn_node x, int reduced)
{
    return cvn_squeeze_excite_ex(net, x, reduced, CVN_ACT_DEFAULT, CVN_ACT_DEFAULT);
}

/* ---- residual ---- */

cvn_residual_desc cvn_residual_defaults(void)
{
    cvn_residual_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

static int cvni_complete_residual(cvn_net *net, cvn_node x, cvn_residual_desc *d)
{
    if (!cvni_block_image(net, x, "residual")) return 0;
    if (!d->stride) d->stride = 1;
    if (!d->dilation) d->dilation = 1;
    if (!d->groups) d->groups = 1;
    if (d->channels < 1 || d->channels > INT_MAX / 4 || d->out_channels < 0 || d->stride < 1 ||
        d->dilation < 1 || d->groups < 1 || d->squeeze < 0 || d->channels % d->groups ||
        (d->groups > 1 && !d->bottleneck)) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT,
                        "residual: channels %d, out_channels %d, stride %d, dilation %d, groups %d,"
                        " squeeze %d: out of range (groups divide the channels of a bottleneck)",
                        d->channels, d->out_channels, d->stride, d->dilation, d->groups,
                        d->squeeze);
        return 0;
    }
    if (!d->out_channels) d->out_channels = d->bottleneck ? 4 * d->channels : d->channels;
    return 1;
}

/* Convolution i of the block, from 0: 3x3 but for the outer two of a bottleneck. */
static cvn_node cvni_residual_conv(cvn_net *net, cvn_node x, const cvn_residual_desc *d, int i)
{
    static const char *const parts[3] = { "conv1", "conv2", "conv3" };
    const int wide = !d->bottleneck || i == 1;
    const int last = i == (d->bottleneck ? 2 : 1);
    const int strided = i == (d->bottleneck ? 1 : 0);
    cvni_block_conv c = cvni_block_conv_of(last ? d->out_channels : d->channels, wide ? 3 : 1,
                                           strided ? d->stride : 1, wide ? d->groups : 1);
    if (wide) c.dilation = d->dilation;
    return cvni_add_block_conv(net, x, &c, parts[i]);
}

cvn_node cvn_residual_ex(cvn_net *net, cvn_node x, const cvn_residual_desc *desc)
{
    static const char *const norms[3] = { "bn1", "bn2", "bn3" };
    const cvn_node none = { 0 };
    cvn_residual_desc d = desc ? *desc : cvn_residual_defaults();
    cvn_node shortcut = x;
    cvn_node y = x;
    int project;
    if (!cvni_complete_residual(net, x, &d)) return none;
    project = d.stride != 1 || cvn_node_shape(net, x).dim[1] != d.out_channels;
    for (int i = 0; i < (d.bottleneck ? 3 : 2); i++) {
        if (d.preactivation) {
            y = cvn_relu(net, cvni_add_block_norm(net, y, &d.norm, norms[i]));
            if (i == 0 && project) shortcut = y;
            y = cvni_residual_conv(net, y, &d, i);
        } else {
            if (i > 0) y = cvn_relu(net, y);
            y = cvni_add_block_norm(net, cvni_residual_conv(net, y, &d, i), &d.norm, norms[i]);
        }
    }
    if (d.squeeze)
        y = cvni_squeeze_excite(net, y, d.squeeze, CVN_ACT_DEFAULT, CVN_ACT_DEFAULT, "se.");
    if (project) {
        shortcut = cvni_add_pointwise(net, shortcut, d.out_channels, d.stride, 0, "downsample.0");
        if (!d.preactivation)
            shortcut = cvni_add_block_norm(net, shortcut, &d.norm, "downsample.1");
    }
    if (d.drop_path != 0) y = cvn_drop_path(net, y, d.drop_path);
    y = cvn_add(net, y, shortcut);
    return d.preactivation ? y : cvn_relu(net, y);
}

cvn_node cvn_residual_basic(cvn_net *net, cvn_node x, int channels, int stride)
{
    cvn_residual_desc d = cvn_residual_defaults();
    d.channels = channels;
    d.stride = stride;
    return cvn_residual_ex(net, x, &d);
}

cvn_node cvn_residual_bottleneck(cvn_net *net, cvn_node x, int channels, int stride)
{
    cvn_residual_desc d = cvn_residual_defaults();
    d.channels = channels;
    d.stride = stride;
    d.bottleneck = 1;
    return cvn_residual_ex(net, x, &d);
}

/* ---- inception ---- */

cvn_inception_desc cvn_inception_defaults(void)
{
    cvn_inception_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

/* Convolution, batch norm where the block has it, relu; named branch.conv and branch.bn. */
static cvn_node cvni_inception_conv(cvn_net *net, cvn_node x, const cvn_inception_desc *d,
                                    int filters, int kernel, const char *branch)
{
    cvni_block_conv c = cvni_block_conv_of(filters, kernel, 1, 1);
    char part[CVN_MAX_NAME];
    c.bias = !d->batchnorm;
    snprintf(part, sizeof part, "%s.conv", branch);
    x = cvni_add_block_conv(net, x, &c, part);
    snprintf(part, sizeof part, "%s.bn", branch);
    if (d->batchnorm) x = cvni_add_block_norm(net, x, &d->norm, part);
    return cvn_relu(net, x);
}

cvn_node cvn_inception_ex(cvn_net *net, cvn_node x, const cvn_inception_desc *desc)
{
    const cvn_node none = { 0 };
    cvn_inception_desc d = desc ? *desc : cvn_inception_defaults();
    cvn_pool_desc pool = cvn_pool_defaults();
    cvn_node branch[4];
    if (!cvni_block_image(net, x, "inception")) return none;
    if (!d.kernel) d.kernel = 5;
    if (d.norm.eps == 0) d.norm.eps = 1e-3f;
    if (d.kernel < 1 || d.kernel % 2 == 0) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "inception: a kernel of %d; it must be odd",
                        d.kernel);
        return none;
    }
    branch[0] = cvni_inception_conv(net, x, &d, d.widths[0], 1, "branch1");
    branch[1] = cvni_inception_conv(net, x, &d, d.widths[1], 1, "branch2.0");
    branch[1] = cvni_inception_conv(net, branch[1], &d, d.widths[2], 3, "branch2.1");
    branch[2] = cvni_inception_conv(net, x, &d, d.widths[3], 1, "branch3.0");
    branch[2] = cvni_inception_conv(net, branch[2], &d, d.widths[4], d.kernel, "branch3.1");
    pool.kernel_h = 3;
    pool.stride_h = 1;
    pool.pad_top = pool.pad_left = pool.pad_bottom = pool.pad_right = 1;
    branch[3] = cvn_maxpool_ex(net, x, &pool);
    branch[3] = cvni_inception_conv(net, branch[3], &d, d.widths[5], 1, "branch4.1");
    return cvn_concat_n(net, branch, 4, 1);
}

cvn_node cvn_inception(cvn_net *net, cvn_node x, const int widths[6])
{
    const cvn_node none = { 0 };
    cvn_inception_desc d = cvn_inception_defaults();
    if (!cvni_block_image(net, x, "inception")) return none;
    if (!widths) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "inception: no widths");
        return none;
    }
    memcpy(d.widths, widths, sizeof d.widths);
    return cvn_inception_ex(net, x, &d);
}

/* ---- fire ---- */

cvn_node cvn_fire(cvn_net *net, cvn_node x, int squeeze, int expand1, int expand3)
{
    const cvn_node none = { 0 };
    cvni_block_conv wide = cvni_block_conv_of(expand3, 3, 1, 1);
    cvn_node a;
    if (!cvni_block_image(net, x, "fire")) return none;
    wide.bias = 1;
    x = cvn_relu(net, cvni_add_pointwise(net, x, squeeze, 1, 1, "squeeze"));
    a = cvn_relu(net, cvni_add_pointwise(net, x, expand1, 1, 1, "expand1x1"));
    return cvn_concat(net, a, cvn_relu(net, cvni_add_block_conv(net, x, &wide, "expand3x3")));
}

/* ---- inverted residual ---- */

cvn_inverted_residual_desc cvn_inverted_residual_defaults(void)
{
    cvn_inverted_residual_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

static int cvni_complete_inverted(cvn_net *net, cvn_node x, cvn_inverted_residual_desc *d)
{
    if (!cvni_block_image(net, x, "inverted_residual")) return 0;
    if (!d->kernel) d->kernel = 3;
    if (!d->stride) d->stride = 1;
    if (!d->expanded) d->expanded = cvn_node_shape(net, x).dim[1];
    if (d->kernel > 0 && d->kernel % 2 && d->stride > 0 && d->expanded > 0 && d->filters > 0 &&
        d->squeeze >= 0)
        return 1;
    cvni_graph_fail(net, CVN_ERROR_ARGUMENT,
                    "inverted_residual: kernel %d, expanded %d, filters %d, stride %d, squeeze %d:"
                    " out of range (the kernel is odd)",
                    d->kernel, d->expanded, d->filters, d->stride, d->squeeze);
    return 0;
}

/* Convolution, norm and (but for the last one) activation number `*index`, which is raised. */
static cvn_node cvni_inverted_conv(cvn_net *net, cvn_node x, const cvn_inverted_residual_desc *d,
                                   const cvni_block_conv *c, int last, int *index)
{
    const char *const group = d->v2_names ? "conv" : "block";
    const int i = (*index)++;
    char conv[CVN_MAX_NAME];
    char norm[CVN_MAX_NAME];
    if (last && d->v2_names) {
        snprintf(conv, sizeof conv, "%s.%d", group, i);
        snprintf(norm, sizeof norm, "%s.%d", group, i + 1);
    } else {
        snprintf(conv, sizeof conv, "%s.%d.0", group, i);
        snprintf(norm, sizeof norm, "%s.%d.1", group, i);
    }
    x = cvni_add_block_norm(net, cvni_add_block_conv(net, x, c, conv), &d->norm, norm);
    return last ? x : cvni_block_activation(net, x, d->activation, CVN_ACT_RELU6);
}

cvn_node cvn_inverted_residual(cvn_net *net, cvn_node x, const cvn_inverted_residual_desc *desc)
{
    const cvn_node none = { 0 };
    const int channels = cvn_node_shape(net, x).dim[1];
    cvn_inverted_residual_desc d = desc ? *desc : cvn_inverted_residual_defaults();
    cvni_block_conv c;
    cvn_node y = x;
    int index = 0;
    if (!cvni_complete_inverted(net, x, &d)) return none;
    if (d.expanded != channels) {
        c = cvni_block_conv_of(d.expanded, 1, 1, 1);
        y = cvni_inverted_conv(net, y, &d, &c, 0, &index);
    }
    c = cvni_block_conv_of(d.expanded, d.kernel, d.stride, d.expanded);
    y = cvni_inverted_conv(net, y, &d, &c, 0, &index);
    if (d.squeeze) {
        char prefix[CVN_MAX_NAME];
        snprintf(prefix, sizeof prefix, "%s.%d.", d.v2_names ? "conv" : "block", index++);
        y = cvni_squeeze_excite(net, y, d.squeeze, d.squeeze_activation, d.gate, prefix);
    }
    c = cvni_block_conv_of(d.filters, 1, 1, 1);
    y = cvni_inverted_conv(net, y, &d, &c, 1, &index);
    if (d.stride != 1 || d.filters != channels) return y;
    if (d.drop_path != 0) y = cvn_drop_path(net, y, d.drop_path);
    return cvn_add(net, y, x);
}

CVNI_COLD_END

/* ================================================================================================
 * >>loss   scalar nodes to minimise
 * ==============================================================================================
 *   Sums run over chunks of fixed size in double and are added in order. What a sample adds is
 *   multiplied by its weight (net->sample_weights) where it is added; divisors know no weights.
 *                                                                      tested: tests/test_loss.c */

enum { CVNI_LOSS_FLAGS = CVNI_LOSS | CVNI_USES_X };

static size_t cvni_chunk_bytes(size_t count, int sums)
{
    return (size_t)cvni_chunks(count) * (size_t)sums * sizeof(double);
}

static double cvni_sum_partials(const double *partial, int chunks, int step)
{
    double sum = 0;
    for (int i = 0; i < chunks; i++) sum += partial[i * step];
    return sum;
}

static void cvni_scalar_shape(cvni_layer *l)
{
    l->shape = cvni_shape(0, 0, 0, 0, 0);
    if (!l->per_batch) l->loss_weight = 1;
    l->per_batch = 1;
}

typedef struct cvni_loss_job {
    cvn_net *net;
    cvni_layer *l;
    cvni_layer *x, *t;
    size_t count;
    size_t entry;               /* elements of one entry of the first axis */
    int side;
    float *dx;
    int add;
} cvni_loss_job;

static cvni_loss_job cvni_loss_job_of(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.x = cvni_in(net, l, 0);
    j.t = l->inputs > 1 ? cvni_in(net, l, 1) : NULL;
    j.count = cvni_elements(j.x->shape);
    j.entry = cvni_sample_elements(j.x->shape);
    return j;
}

/* How often element i of x counts: the weight of its sample. */
static double cvni_element_weight(const cvni_loss_job *j, size_t i)
{
    return j->net->weighted ? (double)cvni_sample_weight(j->net, j->x, (int)(i / j->entry)) : 1;
}

static size_t cvni_chunk_end(size_t count, int t)
{
    const size_t end = ((size_t)t + 1) * CVNI_CHUNK;
    return end < count ? end : count;
}

/* ---- sums over elements: prediction and target of one shape ----
 *   A row a loss: value and derivative of one element, x the prediction, t the target, p the
 *   parameters of the call. Formulas and sources: >>layers-api.
 *                                             tested: tests/test_loss.c, tests/test_pair_loss.c */

typedef struct cvni_pair_loss {
    cvni_op op;                         /* first: a layer's op leads to its row */
    double (*value)(const float *p, float x, float t);
    /* side 0: by x, 1: by t */
    double (*slope)(const float *p, float x, float t, int side);
    int per_sample;                     /* the mean is over samples, not elements */
} cvni_pair_loss;

static const cvni_pair_loss *cvni_pair_row(const cvni_layer *l)
{
    return (const cvni_pair_loss *)(const void *)l->op;
}

/* What the sum is divided by. */
static double cvni_pair_divisor(const cvni_loss_job *j)
{
    return cvni_pair_row(j->l)->per_sample ? (double)j->x->shape.dim[0] : (double)j->count;
}

static cvn_result cvni_pair_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    const cvni_layer *t = cvni_in(net, l, 1);
    char one[96];
    char two[96];
    if (x->is_int || t->is_int || x->per_batch || t->per_batch ||
        !cvni_same_shape(x->shape, t->shape))
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "prediction '%s' %s and target '%s' %s must be floats of one shape; "
                               "cvn_target(net, prediction) makes one",
                               x->name, cvni_shape_text(x->shape, one), t->name,
                               cvni_shape_text(t->shape, two));
    cvni_scalar_shape(l);
    l->work_forward_bytes = cvni_chunk_bytes(cvni_elements(x->shape), 1);
    return CVN_OK;
}

static void cvni_pair_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    const cvni_pair_loss *row = cvni_pair_row(j->l);
    const float *p = (const float *)j->l->desc;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double sum = 0;
        for (size_t i = (size_t)t * CVNI_CHUNK; i < cvni_chunk_end(j->count, t); i++)
            sum += cvni_element_weight(j, i) * row->value(p, j->x->y[i], j->t->y[i]);
        ((double *)j->l->work_forward)[t] = sum;
    }
}

static cvn_result cvni_pair_forward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    cvni_parallel_for(net, cvni_chunks(j.count), 20.0 * (double)j.count, cvni_pair_part, &j);
    l->y[0] = (float)(cvni_sum_partials((const double *)l->work_forward, cvni_chunks(j.count), 1) /
                      cvni_pair_divisor(&j));
    return CVN_OK;
}

/* side 0: the prediction, 1: the target. */
static void cvni_pair_back_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    const cvni_pair_loss *row = cvni_pair_row(j->l);
    const float *p = (const float *)j->l->desc;
    const double scale = (double)j->l->dy[0] / cvni_pair_divisor(j);
    (void)worker;
    for (int t = begin; t < end; t++) {
        for (size_t i = (size_t)t * CVNI_CHUNK; i < cvni_chunk_end(j->count, t); i++) {
            const float g = (float)(scale * cvni_element_weight(j, i) *
                                    row->slope(p, j->x->y[i], j->t->y[i], j->side));
            j->dx[i] = j->add ? j->dx[i] + g : g;
        }
    }
}

static void cvni_pair_backward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    for (j.side = 0; j.side < 2; j.side++) {
        j.dx = cvni_gradient_for(j.side ? j.t : j.x, &j.add);
        if (j.dx)
            cvni_parallel_for(net, cvni_chunks(j.count), 20.0 * (double)j.count,
                              cvni_pair_back_part, &j);
    }
}

static double cvni_mse_value(const float *p, float x, float t)
{
    const double d = (double)x - (double)t;
    (void)p;
    return d * d;
}
static double cvni_mse_slope(const float *p, float x, float t, int side)
{
    (void)p;
    return (side ? -2 : 2) * ((double)x - (double)t);
}

/* The maximum would hide a NaN. */
static double cvni_bce_value(const float *p, float x, float t)
{
    (void)p;
    if (x != x) return (double)x;
    return (double)((x > 0 ? x : 0) - x * t + log1pf(expf(-fabsf(x))));
}
static double cvni_bce_slope(const float *p, float x, float t, int side)
{
    (void)p;
    return (double)(side ? -x : cvni_sigmoid(x) - t);
}

static double cvni_mae_value(const float *p, float x, float t)
{
    (void)p;
    return fabs((double)x - (double)t);
}
static double cvni_mae_slope(const float *p, float x, float t, int side)
{
    const int sign = (x > t) - (x < t);
    (void)p;
    return side ? -sign : sign;
}

/* Huber and smooth L1 (Huber's divided by beta); p: delta, factor. */
static double cvni_huber_value(const float *p, float x, float t)
{
    const double d = fabs((double)x - (double)t);
    const double delta = (double)p[0];
    return (double)p[1] * (d <= delta ? d * d / 2 : delta * (d - delta / 2));
}
static double cvni_huber_slope(const float *p, float x, float t, int side)
{
    const double d = (double)x - (double)t;
    const double delta = (double)p[0];
    const double slope = (double)p[1] * (d > delta ? delta : d < -delta ? -delta : d);
    return side ? -slope : slope;
}

static double cvni_msle_value(const float *p, float x, float t)
{
    const double d = log1p((double)x) - log1p((double)t);
    (void)p;
    return d * d;
}
static double cvni_msle_slope(const float *p, float x, float t, int side)
{
    const double d = 2 * (log1p((double)x) - log1p((double)t));
    (void)p;
    return side ? -d / (1 + (double)t) : d / (1 + (double)x);
}

static double cvni_hinge_value(const float *p, float x, float t)
{
    const double m = 1 - (double)t * (double)x;
    (void)p;
    return m <= 0 ? 0 : m;              /* so that a NaN stays */
}
static double cvni_hinge_slope(const float *p, float x, float t, int side)
{
    (void)p;
    if (1 - (double)t * (double)x <= 0) return 0;
    return side ? -(double)x : -(double)t;
}

static double cvni_kl_value(const float *p, float x, float t)
{
    (void)p;
    return t == 0 ? 0 : (double)t * (log((double)t) - (double)x);
}
static double cvni_kl_slope(const float *p, float x, float t, int side)
{
    (void)p;
    if (!side) return -(double)t;
    return t == 0 ? 0 : log((double)t) + 1 - (double)x;
}

/* p: gamma, alpha. The share that is missed, s*(1 - t) + (1 - s)*t with s = sigmoid(x), to a power;
 * its derivative there is 0 at 0, where the other factors make it so. */
static double cvni_focal_missed(float x, float t, double *s, double *rest)
{
    const double e = exp(-fabs((double)x));
    *s = (x > 0 ? 1 : e) / (1 + e);
    *rest = (x > 0 ? e : 1) / (1 + e);
    return *s * (1 - (double)t) + *rest * (double)t;
}
static double cvni_focal_value(const float *p, float x, float t)
{
    const double alpha = (double)p[1];
    const double a = alpha < 0 ? 1 : alpha * (double)t + (1 - alpha) * (1 - (double)t);
    double s, rest;
    const double missed = cvni_focal_missed(x, t, &s, &rest);
    return a * pow(missed, (double)p[0]) * cvni_bce_value(p, x, t);
}
static double cvni_focal_slope(const float *p, float x, float t, int side)
{
    const double gamma = (double)p[0];
    const double alpha = (double)p[1];
    const double a = alpha < 0 ? 1 : alpha * (double)t + (1 - alpha) * (1 - (double)t);
    const double da = alpha < 0 || !side ? 0 : 2 * alpha - 1;
    const double bce = cvni_bce_value(p, x, t);
    double s, rest;
    const double missed = cvni_focal_missed(x, t, &s, &rest);
    const double inner = side ? rest - s : s * rest * (1 - 2 * (double)t);
    const double outer = gamma > 0 && missed > 0 ? gamma * pow(missed, gamma - 1) : 0;
    const double dbce = side ? -(double)x : s - (double)t;
    return (da * bce + a * dbce) * pow(missed, gamma) + a * bce * outer * inner;
}

#define CVNI_PAIR_OP(type) { type, "loss", NULL, CVNI_LOSS_FLAGS, cvni_pair_shape, NULL, \
                             cvni_pair_forward, cvni_pair_backward }

static const cvni_pair_loss cvni_mse_loss = { CVNI_PAIR_OP("mse_loss"), cvni_mse_value,
                                              cvni_mse_slope, 0 };
static const cvni_pair_loss cvni_bce_loss = { CVNI_PAIR_OP("bce_with_logits"), cvni_bce_value,
                                              cvni_bce_slope, 0 };
static const cvni_pair_loss cvni_mae_loss = { CVNI_PAIR_OP("mae_loss"), cvni_mae_value,
                                              cvni_mae_slope, 0 };
static const cvni_pair_loss cvni_huber_loss = { CVNI_PAIR_OP("huber_loss"), cvni_huber_value,
                                                cvni_huber_slope, 0 };
static const cvni_pair_loss cvni_smooth_l1_loss = { CVNI_PAIR_OP("smooth_l1_loss"),
                                                    cvni_huber_value, cvni_huber_slope, 0 };
static const cvni_pair_loss cvni_msle_loss = { CVNI_PAIR_OP("msle_loss"), cvni_msle_value,
                                               cvni_msle_slope, 0 };
static const cvni_pair_loss cvni_hinge_loss = { CVNI_PAIR_OP("hinge_loss"), cvni_hinge_value,
                                                cvni_hinge_slope, 0 };
static const cvni_pair_loss cvni_kl_loss = { CVNI_PAIR_OP("kl_div_loss"), cvni_kl_value,
                                             cvni_kl_slope, 1 };
static const cvni_pair_loss cvni_focal_loss = { CVNI_PAIR_OP("focal_with_logits"),
                                                cvni_focal_value, cvni_focal_slope, 0 };

/* A loss with two parameters in its description. */
static cvn_node cvni_add_pair(cvn_net *net, const cvni_op *op, cvn_node x, cvn_node t, float p0,
                              float p1)
{
    const float p[2] = { p0, p1 };
    cvn_node in[2];
    in[0] = x;
    in[1] = t;
    return cvni_add_layer(net, op, in, 2, p, sizeof p);
}

/* The same, with an error unless the first parameter is above 0, or with `zero` at least 0. */
static cvn_node cvni_add_pair_checked(cvn_net *net, const cvni_op *op, cvn_node x, cvn_node t,
                                      float p0, float p1, int zero)
{
    const cvn_node none = { 0 };
    if (!net || net->failed) return none;
    if (p0 > 0 || (zero && p0 == 0)) {
        if (cvni_is_finite((double)p0) && cvni_is_finite((double)p1))
            return cvni_add_pair(net, op, x, t, p0, p1);
    }
    cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: parameter %g out of range", op->type,
                    (double)p0);
    return none;
}

cvn_node cvn_mse_loss(cvn_net *net, cvn_node prediction, cvn_node target)
{
    return cvni_add_pair(net, &cvni_mse_loss.op, prediction, target, 0, 0);
}

cvn_node cvn_bce_with_logits_loss(cvn_net *net, cvn_node logits, cvn_node target)
{
    return cvni_add_pair(net, &cvni_bce_loss.op, logits, target, 0, 0);
}

cvn_node cvn_mae_loss(cvn_net *net, cvn_node prediction, cvn_node target)
{
    return cvni_add_pair(net, &cvni_mae_loss.op, prediction, target, 0, 0);
}

cvn_node cvn_huber_loss(cvn_net *net, cvn_node prediction, cvn_node target, float delta)
{
    return cvni_add_pair_checked(net, &cvni_huber_loss.op, prediction, target, delta, 1, 0);
}

cvn_node cvn_smooth_l1_loss(cvn_net *net, cvn_node prediction, cvn_node target, float beta)
{
    return cvni_add_pair_checked(net, &cvni_smooth_l1_loss.op, prediction, target, beta,
                                 beta > 0 ? 1 / beta : 1, 0);
}

cvn_node cvn_msle_loss(cvn_net *net, cvn_node prediction, cvn_node target)
{
    return cvni_add_pair(net, &cvni_msle_loss.op, prediction, target, 0, 0);
}

cvn_node cvn_hinge_loss(cvn_net *net, cvn_node prediction, cvn_node target)
{
    return cvni_add_pair(net, &cvni_hinge_loss.op, prediction, target, 0, 0);
}

cvn_node cvn_kl_div_loss(cvn_net *net, cvn_node log_probabilities, cvn_node target)
{
    return cvni_add_pair(net, &cvni_kl_loss.op, log_probabilities, target, 0, 0);
}

cvn_node cvn_focal_with_logits_loss(cvn_net *net, cvn_node logits, cvn_node target, float gamma,
                                    float alpha)
{
    return cvni_add_pair_checked(net, &cvni_focal_loss.op, logits, target, gamma, alpha, 1);
}

/* ---- Dice: a quotient of sums over each sample ----
 *   With A = 2 sum x t + s, B = sum x^2 + sum t^2 + s: d(1 - A/B)/dx = (2 x A/B - 2 t)/B
 *   saved    A/B and B of each sample
 *   source   F. Milletari et al., arXiv:1606.04797      tested: tests/test_pair_loss.c */

static cvn_result cvni_dice_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_result result = cvni_pair_shape(net, l);
    if (result != CVN_OK) return result;
    l->work_forward_bytes = 0;
    l->saved_bytes = cvni_mul_size((size_t)cvni_in(net, l, 0)->shape.dim[0], 2 * sizeof(double));
    return CVN_OK;
}

static void cvni_dice_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    const double smooth = (double)((const float *)j->l->desc)[0];
    const size_t size = cvni_sample_elements(j->x->shape);
    (void)worker;
    for (int n = begin; n < end; n++) {
        double *saved = (double *)j->l->saved + 2 * n;
        double both = 0;
        double sum = 0;
        for (size_t i = size * (size_t)n; i < size * (size_t)(n + 1); i++) {
            const double x = (double)j->x->y[i];
            const double t = (double)j->t->y[i];
            both += x * t;
            sum += x * x + t * t;
        }
        saved[1] = sum + smooth;
        saved[0] = saved[1] == 0 ? 1 : (2 * both + smooth) / saved[1];
    }
}

static cvn_result cvni_dice_forward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    const int N = j.x->shape.dim[0];
    double sum = 0;
    cvni_parallel_for(net, N, 4.0 * (double)j.count, cvni_dice_part, &j);
    for (int n = 0; n < N; n++)
        sum += (double)cvni_sample_weight(net, j.x, n) * (1 - ((const double *)l->saved)[2 * n]);
    l->y[0] = (float)(sum / N);
    return CVN_OK;
}

static void cvni_dice_back_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    const size_t size = cvni_sample_elements(j->x->shape);
    const float *x = j->side ? j->t->y : j->x->y;
    const float *t = j->side ? j->x->y : j->t->y;
    (void)worker;
    for (int n = begin; n < end; n++) {
        const double *saved = (const double *)j->l->saved + 2 * n;
        const double scale = 2 * (double)j->l->dy[0] / j->x->shape.dim[0] *
                             (double)cvni_sample_weight(j->net, j->x, n);
        for (size_t i = size * (size_t)n; i < size * (size_t)(n + 1); i++) {
            const double d = (double)x[i] * saved[0] - (double)t[i];
            const float g = saved[1] == 0 ? 0 : (float)(scale * d / saved[1]);
            j->dx[i] = j->add ? j->dx[i] + g : g;
        }
    }
}

static void cvni_dice_backward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    for (j.side = 0; j.side < 2; j.side++) {
        j.dx = cvni_gradient_for(j.side ? j.t : j.x, &j.add);
        if (j.dx)
            cvni_parallel_for(net, j.x->shape.dim[0], 4.0 * (double)j.count, cvni_dice_back_part,
                              &j);
    }
}

static const cvni_op cvni_op_dice_loss = { "dice_loss",       "loss",            NULL,
                                           CVNI_LOSS_FLAGS,   cvni_dice_shape,   NULL,
                                           cvni_dice_forward, cvni_dice_backward };

cvn_node cvn_dice_loss(cvn_net *net, cvn_node probabilities, cvn_node target, float smooth)
{
    return cvni_add_pair_checked(net, &cvni_op_dice_loss, probabilities, target, smooth, 0, 1);
}

/* ---- of one tensor: its mean; total variation, sum |right - x| + |below - x| over an image ----
 *   Tasks of the variation are planes.
 *   backward  mean: dx = dy/count; variation: dx = dy/N sum of sign(x - neighbour), sign(0) = 0 */

static cvn_result cvni_single_shape(cvn_net *net, cvni_layer *l, int rank, int sums)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    if (x->is_int || (rank && x->shape.rank != rank))
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "input '%s' is %s", x->name,
                               x->is_int ? "labels; a tensor of floats is needed"
                                         : "no image [N, C, H, W]");
    cvni_scalar_shape(l);
    l->work_forward_bytes = (size_t)sums * sizeof(double);
    return CVN_OK;
}

static cvn_result cvni_mean_loss_shape(cvn_net *net, cvni_layer *l)
{
    return cvni_single_shape(net, l, 0, cvni_chunks(cvni_elements(cvni_in(net, l, 0)->shape)));
}

static cvn_result cvni_variation_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    return cvni_single_shape(net, l, 4, x.dim[0] * x.dim[1]);
}

static void cvni_mean_loss_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double sum = 0;
        for (size_t i = (size_t)t * CVNI_CHUNK; i < cvni_chunk_end(j->count, t); i++)
            sum += cvni_element_weight(j, i) * (double)j->x->y[i];
        ((double *)j->l->work_forward)[t] = sum;
    }
}

static void cvni_mean_loss_back_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    const double scale = (double)j->l->dy[0] / (double)j->count;
    (void)worker;
    for (int t = begin; t < end; t++) {
        for (size_t i = (size_t)t * CVNI_CHUNK; i < cvni_chunk_end(j->count, t); i++) {
            const float g = (float)(scale * cvni_element_weight(j, i));
            j->dx[i] = j->add ? j->dx[i] + g : g;
        }
    }
}

static void cvni_variation_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    const int H = j->x->shape.dim[2];
    const int W = j->x->shape.dim[3];
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *x = j->x->y + (ptrdiff_t)t * H * W;
        double sum = 0;
        for (int i = 0; i < H * W; i++) {
            if (i % W < W - 1) sum += fabs((double)x[i + 1] - (double)x[i]);
            if (i < (H - 1) * W) sum += fabs((double)x[i + W] - (double)x[i]);
        }
        ((double *)j->l->work_forward)[t] = cvni_element_weight(j, (size_t)t * (size_t)(H * W)) *
                                            sum;
    }
}

static float cvni_sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f; }

static void cvni_variation_back_part(void *context, int begin, int end, int worker)
{
    const cvni_loss_job *j = (const cvni_loss_job *)context;
    const int H = j->x->shape.dim[2];
    const int W = j->x->shape.dim[3];
    const float all = j->l->dy[0] / (float)j->x->shape.dim[0];
    (void)worker;
    for (int t = begin; t < end; t++) {
        const float *x = j->x->y + (ptrdiff_t)t * H * W;
        const float scale = all * (float)cvni_element_weight(j, (size_t)t * (size_t)(H * W));
        float *dx = j->dx + (ptrdiff_t)t * H * W;
        for (int i = 0; i < H * W; i++) {
            float g = 0;
            if (i % W > 0) g += cvni_sign(x[i] - x[i - 1]);
            if (i % W < W - 1) g += cvni_sign(x[i] - x[i + 1]);
            if (i >= W) g += cvni_sign(x[i] - x[i - W]);
            if (i < (H - 1) * W) g += cvni_sign(x[i] - x[i + W]);
            dx[i] = j->add ? dx[i] + scale * g : scale * g;
        }
    }
}

static cvn_result cvni_mean_loss_forward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    const int chunks = cvni_chunks(j.count);
    cvni_parallel_for(net, chunks, (double)j.count, cvni_mean_loss_part, &j);
    l->y[0] = (float)(cvni_sum_partials((const double *)l->work_forward, chunks, 1) /
                      (double)j.count);
    return CVN_OK;
}

static cvn_result cvni_variation_forward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    const cvn_shape x = j.x->shape;
    const int planes = x.dim[0] * x.dim[1];
    cvni_parallel_for(net, planes, 4.0 * (double)j.count, cvni_variation_part, &j);
    l->y[0] = (float)(cvni_sum_partials((const double *)l->work_forward, planes, 1) / x.dim[0]);
    return CVN_OK;
}

static void cvni_mean_loss_backward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    j.dx = cvni_gradient_for(j.x, &j.add);
    if (j.dx)
        cvni_parallel_for(net, cvni_chunks(j.count), (double)j.count, cvni_mean_loss_back_part, &j);
}

static void cvni_variation_backward(cvn_net *net, cvni_layer *l)
{
    cvni_loss_job j = cvni_loss_job_of(net, l);
    j.dx = cvni_gradient_for(j.x, &j.add);
    if (j.dx)
        cvni_parallel_for(net, j.x->shape.dim[0] * j.x->shape.dim[1], 8.0 * (double)j.count,
                          cvni_variation_back_part, &j);
}

static const cvni_op cvni_op_mean_loss = { "mean_loss",
                                           "loss",
                                           "ReduceMean",
                                           CVNI_LOSS,
                                           cvni_mean_loss_shape,
                                           NULL,
                                           cvni_mean_loss_forward,
                                           cvni_mean_loss_backward };
static const cvni_op cvni_op_total_variation = { "total_variation",
                                                 "loss",
                                                 NULL,
                                                 CVNI_LOSS_FLAGS,
                                                 cvni_variation_shape,
                                                 NULL,
                                                 cvni_variation_forward,
                                                 cvni_variation_backward };

cvn_node cvn_mean_loss(cvn_net *net, cvn_node x)
{
    return cvni_add_layer(net, &cvni_op_mean_loss, &x, 1, NULL, 0);
}

cvn_node cvn_total_variation_loss(cvn_net *net, cvn_node x)
{
    return cvni_add_layer(net, &cvni_op_total_variation, &x, 1, NULL, 0);
}

/* ---- losses with labels: what they share ----
 *   A position (a sample, a pixel, a step) has one label, in a mixed batch (net->mixed) two: its
 *   own with the share net->mix, that of the same position of its partner with the rest. A loss l
 *   of positions and labels becomes
 *       sum over positions of s sum over labels of share w[label] l / sum of share w[label]
 *   with class weights w and sample weights s. The weight of a label is 0 where it is ignored. */

enum { CVNI_IGNORE_INDEX = -100 };

typedef struct cvni_ce_desc {
    float smoothing;
    const float *weights;
    int ignore_index;
} cvni_ce_desc;

/* Logits and their labels; work: two sums a chunk of positions. */
static cvn_result cvni_label_loss_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    const cvni_layer *t = cvni_in(net, l, 1);
    const int axis = cvni_class_axis(x->shape);
    char one[96];
    char two[96];
    cvn_shape s = x->shape;
    if (x->is_int || x->shape.rank < 2)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "'%s' has no axis of classes", x->name);
    s.rank = 0;
    for (int i = 0; i < x->shape.rank; i++) if (i != axis) s.dim[s.rank++] = x->shape.dim[i];
    if (!t->is_int || !cvni_same_shape(s, t->shape))
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "logits '%s' %s need labels %s; '%s' is %s",
                               x->name, cvni_shape_text(x->shape, one), cvni_shape_text(s, two),
                               t->name, t->is_int ? "another shape" : "no label input");
    cvni_scalar_shape(l);
    l->work_forward_bytes = cvni_chunk_bytes(cvni_elements(s), 2);
    return CVN_OK;
}

static cvn_result cvni_labels_in_range(cvn_net *net, cvni_layer *l, const int *labels,
                                       int count, int classes, int ignore_index)
{
    for (int i = 0; i < count; i++) {
        if (labels[i] == ignore_index || (labels[i] >= 0 && labels[i] < classes)) continue;
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "label %d (number %d of the batch) is not in 0..%d", labels[i], i,
                               classes - 1);
    }
    return CVN_OK;
}

typedef struct cvni_label_job {
    const cvn_net *net;
    const cvni_layer *l;
    const cvni_ce_desc *d;
    const float *x;
    float *p, *dx;
    const int *labels;
    double *partial;                    /* of a chunk: sum of losses, sum of class weights */
    int classes, inner, count;          /* positions */
    int per_sample;                     /* positions of a sample */
    float scale;                        /* backward: dy / sum of class weights */
    int add;
} cvni_label_job;

static cvni_label_job cvni_label_job_of(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    cvni_label_job j;
    int outer;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.d = (const cvni_ce_desc *)l->desc;
    j.x = x->y;
    j.p = (float *)l->saved;
    j.labels = (const int *)(const void *)cvni_in(net, l, 1)->y;
    j.partial = (double *)l->work_forward;
    cvni_split_axis(x->shape, cvni_class_axis(x->shape), &outer, &j.classes, &j.inner);
    j.count = outer * j.inner;
    j.per_sample = j.count / (x->shape.dim[0] / x->samples);
    return j;
}

static ptrdiff_t cvni_label_position(const cvni_label_job *j, int i)
{
    return (ptrdiff_t)(i / j->inner) * j->classes * j->inner + i % j->inner;
}

static float cvni_ce_weight(const cvni_ce_desc *d, int c) { return d->weights ? d->weights[c] : 1; }

/* The labels of a position, their shares (0: does not count), and shares times class weights. */
typedef struct cvni_labels {
    int label[2];
    float share[2], weight[2];
} cvni_labels;

static cvni_labels cvni_labels_at(const cvni_label_job *j, int i)
{
    cvni_labels t;
    t.label[0] = j->labels[i];
    t.label[1] = j->d->ignore_index;
    t.share[0] = 1;
    t.share[1] = 0;
    if (j->net->mixed) {
        const int partner = j->net->partner[i / j->per_sample];
        t.label[1] = j->labels[partner * j->per_sample + i % j->per_sample];
        t.share[0] = j->net->mix;
        t.share[1] = 1 - j->net->mix;
    }
    for (int k = 0; k < 2; k++) {
        if (t.label[k] == j->d->ignore_index) t.label[k] = -1;
        if (t.label[k] < 0) t.share[k] = 0;
        t.weight[k] = t.share[k] > 0 ? t.share[k] * cvni_ce_weight(j->d, t.label[k]) : 0;
    }
    return t;
}

static float cvni_position_weight(const cvni_label_job *j, int i)
{
    return j->net->weighted ? j->net->sample_weights[i / j->per_sample] : 1;
}

/* ---- softmax and cross-entropy ----
 *   With a[c] = sum over the labels of share ((1 - e) w[t] [c == t] + e/C w[c]):
 *   l = -sum a[c] log p[c], dl/dx[c] = p[c] sum a - a[c]
 *   saved    p, then the sum of w[t] over the labels that count */

static cvn_result cvni_ce_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    l->saved_bytes = cvni_mul_size(cvni_add_size(cvni_elements(x->shape), 1), sizeof(float));
    return cvni_label_loss_shape(net, l);
}

/* -sum a[c] log p[c] of one position. */
static double cvni_ce_value(const cvni_label_job *j, ptrdiff_t at, const cvni_labels *t)
{
    const double e = (double)j->d->smoothing;
    const double smooth = e / j->classes * (double)(t->share[0] + t->share[1]);
    const float *x = j->x + at;
    const double log_sum = (double)cvni_softmax_line(j->classes, j->inner, x, j->p + at);
    double loss = 0;
    for (int k = 0; k < 2; k++)
        if (t->share[k] > 0)
            loss += (1 - e) * (double)t->weight[k] *
                    (log_sum - (double)x[(ptrdiff_t)t->label[k] * j->inner]);
    for (int c = 0; e > 0 && c < j->classes; c++)
        loss += smooth * (double)cvni_ce_weight(j->d, c) *
                (log_sum - (double)x[(ptrdiff_t)c * j->inner]);
    return loss;
}

static void cvni_ce_part(void *context, int begin, int end, int worker)
{
    const cvni_label_job *j = (const cvni_label_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double loss = 0;
        double weight = 0;
        for (int i = t * CVNI_CHUNK; i < (int)cvni_chunk_end((size_t)j->count, t); i++) {
            const cvni_labels labels = cvni_labels_at(j, i);
            if (!(labels.share[0] + labels.share[1] > 0)) continue;
            loss += (double)cvni_position_weight(j, i) *
                    cvni_ce_value(j, cvni_label_position(j, i), &labels);
            weight += (double)labels.weight[0] + (double)labels.weight[1];
        }
        j->partial[2 * t] = loss;
        j->partial[2 * t + 1] = weight;
    }
}

static cvn_result cvni_ce_forward(cvn_net *net, cvni_layer *l)
{
    cvni_label_job j = cvni_label_job_of(net, l);
    const int chunks = cvni_chunks((size_t)j.count);
    double weight;
    const cvn_result result = cvni_labels_in_range(net, l, j.labels, j.count, j.classes,
                                                   j.d->ignore_index);
    if (result != CVN_OK) return result;
    cvni_parallel_for(net, chunks, 20.0 * j.count * j.classes, cvni_ce_part, &j);
    weight = cvni_sum_partials(j.partial + 1, chunks, 2);
    l->y[0] = weight > 0 ? (float)(cvni_sum_partials(j.partial, chunks, 2) / weight) : 0;
    j.p[(ptrdiff_t)j.count * j.classes] = (float)weight;
    return CVN_OK;
}

static void cvni_ce_back_part(void *context, int begin, int end, int worker)
{
    const cvni_label_job *j = (const cvni_label_job *)context;
    const float e = j->d->smoothing / (float)j->classes;
    float all = 0;
    (void)worker;
    for (int c = 0; c < j->classes; c++) all += e * cvni_ce_weight(j->d, c);
    for (int i = begin; i < end; i++) {
        const ptrdiff_t at = cvni_label_position(j, i);
        const cvni_labels t = cvni_labels_at(j, i);
        const float share = t.share[0] + t.share[1];
        const float scale = j->scale * cvni_position_weight(j, i);
        const float own = (1 - j->d->smoothing) * t.weight[0];
        const float other = (1 - j->d->smoothing) * t.weight[1];
        const float total = own + other + share * all;
        const float smooth = share * e;
        for (int c = 0; c < j->classes; c++) {
            const ptrdiff_t k = at + (ptrdiff_t)c * j->inner;
            const float a = (c == t.label[0] ? own : 0) + (c == t.label[1] ? other : 0) +
                            smooth * cvni_ce_weight(j->d, c);
            const float g = share > 0 ? scale * (j->p[k] * total - a) : 0;
            j->dx[k] = j->add ? j->dx[k] + g : g;
        }
    }
}

static void cvni_ce_backward(cvn_net *net, cvni_layer *l)
{
    cvni_label_job j = cvni_label_job_of(net, l);
    const float weight = j.p[(ptrdiff_t)j.count * j.classes];
    j.scale = weight > 0 ? l->dy[0] / weight : 0;
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx) cvni_parallel_for(net, j.count, 4.0 * j.count * j.classes, cvni_ce_back_part, &j);
}

/* Backward reads p, not the logits, but their memory must not be reused before: no flag for x. */
static const cvni_op cvni_op_softmax_loss = { "softmax_loss",  "loss",          NULL,
                                              CVNI_LOSS,       cvni_ce_shape,   NULL,
                                              cvni_ce_forward, cvni_ce_backward };

cvn_softmax_loss_desc cvn_softmax_loss_defaults(void)
{
    cvn_softmax_loss_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

/* The copy of the class weights, or NULL. */
static const float *cvni_copy_class_weights(cvn_net *net, const cvni_op *op, const float *weights,
                                            int classes)
{
    float *copy;
    for (int c = 0; c < classes; c++) {
        if (weights[c] >= 0 && cvni_is_finite((double)weights[c])) continue;
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: the weight of class %d is %g", op->type, c,
                        (double)weights[c]);
        return NULL;
    }
    copy = (float *)cvni_new_record(net, (size_t)classes * sizeof(float));
    if (copy) memcpy(copy, weights, (size_t)classes * sizeof(float));
    return copy;
}

/* A loss with labels (id 0: an own input). d is as cvn_softmax_loss_ex has it. */
static cvn_node cvni_add_label_loss(cvn_net *net, const cvni_op *op, cvn_node x,
                                    const cvn_softmax_loss_desc *d)
{
    const cvn_node none = { 0 };
    cvn_node in[2];
    cvn_node loss;
    cvn_shape s;
    cvni_ce_desc own;
    if (!net || net->failed) return none;
    if (!(d->label_smoothing >= 0) || !(d->label_smoothing < 1) ||
        !cvni_is_finite((double)d->weight)) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT,
                        "%s: label smoothing %g, weight %g: out of range", op->type,
                        (double)d->label_smoothing, (double)d->weight);
        return none;
    }
    memset(&own, 0, sizeof own);
    own.smoothing = d->label_smoothing;
    own.ignore_index = d->ignore_index ? d->ignore_index : CVNI_IGNORE_INDEX;
    s = cvn_node_shape(net, x);
    if (d->class_weights && s.rank > 1)
        own.weights = cvni_copy_class_weights(net, op, d->class_weights,
                                              s.dim[cvni_class_axis(s)]);
    in[0] = x;
    in[1] = d->labels.id ? d->labels
                         : cvni_add_source_like(net, &cvni_op_labels, x,
                                                s.rank > 1 ? cvni_class_axis(s) : 0);
    loss = cvni_add_layer(net, op, in, 2, &own, sizeof own);
    if (loss.id && d->weight != 0) net->layers[loss.id].loss_weight = d->weight;
    return loss;
}

cvn_node cvn_softmax_loss_ex(cvn_net *net, cvn_node logits, const cvn_softmax_loss_desc *desc)
{
    const cvn_softmax_loss_desc d = desc ? *desc : cvn_softmax_loss_defaults();
    return cvni_add_label_loss(net, &cvni_op_softmax_loss, logits, &d);
}

cvn_node cvn_softmax_loss(cvn_net *net, cvn_node logits)
{
    return cvn_softmax_loss_ex(net, logits, NULL);
}

/* ---- other losses with labels: the value of one position and its gradient ----
 *   saved    the sum of the class weights of the labels that count
 *                                                                 tested: tests/test_pair_loss.c */

typedef struct cvni_label_loss {
    cvni_op op;                         /* first: a layer's op leads to its row */
    double (*value)(const float *x, int classes, ptrdiff_t step, int label);
    /* dx (+)= scale*gradient */
    void (*back)(const float *x, int classes, ptrdiff_t step, int label, float scale, int add,
                 float *dx);
} cvni_label_loss;

static const cvni_label_loss *cvni_label_row(const cvni_label_job *j)
{
    return (const cvni_label_loss *)(const void *)j->l->op;
}

static cvn_result cvni_label_shape(cvn_net *net, cvni_layer *l)
{
    l->saved_bytes = sizeof(double);
    return cvni_label_loss_shape(net, l);
}

static void cvni_label_part(void *context, int begin, int end, int worker)
{
    const cvni_label_job *j = (const cvni_label_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double sum = 0;
        double weight = 0;
        for (int i = t * CVNI_CHUNK; i < (int)cvni_chunk_end((size_t)j->count, t); i++) {
            const cvni_labels at = cvni_labels_at(j, i);
            const double s = (double)cvni_position_weight(j, i);
            for (int k = 0; k < 2; k++) {
                if (!(at.share[k] > 0)) continue;
                sum += s * (double)at.weight[k] *
                       cvni_label_row(j)->value(j->x + cvni_label_position(j, i), j->classes,
                                                j->inner, at.label[k]);
                weight += (double)at.weight[k];
            }
        }
        j->partial[2 * t] = sum;
        j->partial[2 * t + 1] = weight;
    }
}

static cvn_result cvni_label_forward(cvn_net *net, cvni_layer *l)
{
    cvni_label_job j = cvni_label_job_of(net, l);
    const int chunks = cvni_chunks((size_t)j.count);
    double weight;
    const cvn_result result = cvni_labels_in_range(net, l, j.labels, j.count, j.classes,
                                                   j.d->ignore_index);
    if (result != CVN_OK) return result;
    cvni_parallel_for(net, chunks, 4.0 * j.count * j.classes, cvni_label_part, &j);
    weight = cvni_sum_partials(j.partial + 1, chunks, 2);
    l->y[0] = weight > 0 ? (float)(cvni_sum_partials(j.partial, chunks, 2) / weight) : 0;
    *(double *)l->saved = weight;
    return CVN_OK;
}

static void cvni_label_back_part(void *context, int begin, int end, int worker)
{
    const cvni_label_job *j = (const cvni_label_job *)context;
    (void)worker;
    for (int i = begin; i < end; i++) {
        const ptrdiff_t at = cvni_label_position(j, i);
        const cvni_labels t = cvni_labels_at(j, i);
        int add = j->add;
        for (int k = 0; k < 2; k++) {
            if (!(t.share[k] > 0)) continue;
            cvni_label_row(j)->back(j->x + at, j->classes, j->inner, t.label[k],
                                    j->scale * cvni_position_weight(j, i) * t.weight[k], add,
                                    j->dx + at);
            add = 1;
        }
        for (int c = 0; c < j->classes && !add; c++) j->dx[at + (ptrdiff_t)c * j->inner] = 0;
    }
}

static void cvni_label_backward(cvn_net *net, cvni_layer *l)
{
    cvni_label_job j = cvni_label_job_of(net, l);
    const double weight = *(const double *)l->saved;
    j.scale = weight > 0 ? (float)((double)l->dy[0] / weight) : 0;
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx)
        cvni_parallel_for(net, j.count, 4.0 * j.count * j.classes, cvni_label_back_part, &j);
}

static double cvni_nll_value(const float *x, int classes, ptrdiff_t step, int label)
{
    (void)classes;
    return -(double)x[label * step];
}

static void cvni_nll_back(const float *x, int classes, ptrdiff_t step, int label, float scale,
                          int add, float *dx)
{
    (void)x;
    for (int c = 0; c < classes && !add; c++) dx[c * step] = 0;
    dx[label * step] -= scale;
}

/* The margin of class c against the label's: above 0 it counts. */
static double cvni_margin(const float *x, ptrdiff_t step, int label, int c)
{
    const double m = 1 - (double)x[label * step] + (double)x[c * step];
    return c == label || m <= 0 ? 0 : m;
}

static double cvni_margin_value(const float *x, int classes, ptrdiff_t step, int label)
{
    double sum = 0;
    for (int c = 0; c < classes; c++) sum += cvni_margin(x, step, label, c);
    return sum / classes;
}

static void cvni_margin_back(const float *x, int classes, ptrdiff_t step, int label, float scale,
                             int add, float *dx)
{
    const float one = scale / (float)classes;
    int above = 0;
    for (int c = 0; c < classes; c++) {
        const int counts = cvni_margin(x, step, label, c) > 0;
        const float g = counts ? one : 0;
        above += counts;
        dx[c * step] = add ? dx[c * step] + g : g;
    }
    dx[label * step] -= one * (float)above;
}

#define CVNI_LABEL_OP(type) { type, "loss", NULL, CVNI_LOSS_FLAGS, cvni_label_shape, NULL, \
                              cvni_label_forward, cvni_label_backward }

static const cvni_label_loss cvni_nll_loss = { CVNI_LABEL_OP("nll_loss"), cvni_nll_value,
                                               cvni_nll_back };
static const cvni_label_loss cvni_multi_margin_loss = { CVNI_LABEL_OP("multi_margin_loss"),
                                                        cvni_margin_value, cvni_margin_back };

cvn_nll_loss_desc cvn_nll_loss_defaults(void)
{
    cvn_nll_loss_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

cvn_node cvn_nll_loss_ex(cvn_net *net, cvn_node log_probabilities, const cvn_nll_loss_desc *desc)
{
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    if (desc) {
        d.labels = desc->labels;
        d.weight = desc->weight;
        d.class_weights = desc->class_weights;
        d.ignore_index = desc->ignore_index;
    }
    return cvni_add_label_loss(net, &cvni_nll_loss.op, log_probabilities, &d);
}

cvn_node cvn_nll_loss(cvn_net *net, cvn_node log_probabilities, cvn_node labels)
{
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    d.labels = labels;
    return cvni_add_label_loss(net, &cvni_nll_loss.op, log_probabilities, &d);
}

cvn_node cvn_multi_margin_loss(cvn_net *net, cvn_node scores, cvn_node labels)
{
    cvn_softmax_loss_desc d = cvn_softmax_loss_defaults();
    d.labels = labels;
    return cvni_add_label_loss(net, &cvni_multi_margin_loss.op, scores, &d);
}

/* ---- cross-entropy with a distribution as target ----
 *   l = sum t[c] (L - x[c]) with L = log sum exp(x)
 *   dl/dx[c] = p[c] sum t - t[c], p = exp(x - L); dl/dt[c] = L - x[c]
 *   saved    L of each position                                   tested: tests/test_pair_loss.c */

typedef struct cvni_soft_job {
    cvni_loss_job j;
    double *log_sum;
    int classes, inner, count;          /* positions */
} cvni_soft_job;

static cvni_soft_job cvni_soft_job_of(cvn_net *net, cvni_layer *l)
{
    cvni_soft_job s;
    int outer;
    s.j = cvni_loss_job_of(net, l);
    s.log_sum = (double *)l->saved;
    cvni_split_axis(s.j.x->shape, cvni_class_axis(s.j.x->shape), &outer, &s.classes, &s.inner);
    s.count = outer * s.inner;
    return s;
}

static cvn_result cvni_soft_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    size_t positions;
    const cvn_result result = cvni_pair_shape(net, l);
    if (result != CVN_OK) return result;
    if (x->shape.rank < 2)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "'%s' has no axis of classes", x->name);
    positions = cvni_elements(x->shape) / (size_t)x->shape.dim[cvni_class_axis(x->shape)];
    l->work_forward_bytes = cvni_chunk_bytes(positions, 1);
    l->saved_bytes = cvni_mul_size(positions, sizeof(double));
    return CVN_OK;
}

static void cvni_soft_part(void *context, int begin, int end, int worker)
{
    const cvni_soft_job *s = (const cvni_soft_job *)context;
    (void)worker;
    for (int chunk = begin; chunk < end; chunk++) {
        double loss = 0;
        for (int i = chunk * CVNI_CHUNK; i < (int)cvni_chunk_end((size_t)s->count, chunk); i++) {
            const ptrdiff_t at = (ptrdiff_t)(i / s->inner) * s->classes * s->inner + i % s->inner;
            const float *x = s->j.x->y + at;
            const float *t = s->j.t->y + at;
            double top = (double)x[0];
            double sum = 0;
            double one = 0;
            for (int c = 1; c < s->classes; c++) top = fmax(top, (double)x[c * s->inner]);
            for (int c = 0; c < s->classes; c++) sum += exp((double)x[c * s->inner] - top);
            s->log_sum[i] = top + log(sum);
            for (int c = 0; c < s->classes; c++)
                one += (double)t[c * s->inner] * (s->log_sum[i] - (double)x[c * s->inner]);
            loss += cvni_element_weight(&s->j, (size_t)at) * one;
        }
        ((double *)s->j.l->work_forward)[chunk] = loss;
    }
}

static cvn_result cvni_soft_forward(cvn_net *net, cvni_layer *l)
{
    cvni_soft_job s = cvni_soft_job_of(net, l);
    const int chunks = cvni_chunks((size_t)s.count);
    cvni_parallel_for(net, chunks, 20.0 * (double)s.j.count, cvni_soft_part, &s);
    l->y[0] = (float)(cvni_sum_partials((const double *)l->work_forward, chunks, 1) / s.count);
    return CVN_OK;
}

static void cvni_soft_back_part(void *context, int begin, int end, int worker)
{
    const cvni_soft_job *s = (const cvni_soft_job *)context;
    (void)worker;
    for (int i = begin; i < end; i++) {
        const ptrdiff_t at = (ptrdiff_t)(i / s->inner) * s->classes * s->inner + i % s->inner;
        const double scale = (double)s->j.l->dy[0] / s->count *
                             cvni_element_weight(&s->j, (size_t)at);
        double all = 0;
        for (int c = 0; c < s->classes; c++) all += (double)s->j.t->y[at + c * s->inner];
        for (int c = 0; c < s->classes; c++) {
            const ptrdiff_t k = at + (ptrdiff_t)c * s->inner;
            const double below = s->log_sum[i] - (double)s->j.x->y[k];
            const float g = (float)(scale * (s->j.side ? below
                                                       : exp(-below) * all -
                                                             (double)s->j.t->y[k]));
            s->j.dx[k] = s->j.add ? s->j.dx[k] + g : g;
        }
    }
}

static void cvni_soft_backward(cvn_net *net, cvni_layer *l)
{
    cvni_soft_job s = cvni_soft_job_of(net, l);
    for (s.j.side = 0; s.j.side < 2; s.j.side++) {
        s.j.dx = cvni_gradient_for(s.j.side ? s.j.t : s.j.x, &s.j.add);
        if (s.j.dx)
            cvni_parallel_for(net, s.count, 20.0 * (double)s.j.count, cvni_soft_back_part, &s);
    }
}

static const cvni_op cvni_op_soft_cross_entropy = { "soft_cross_entropy", "loss",
                                                    NULL,                 CVNI_LOSS_FLAGS,
                                                    cvni_soft_shape,      NULL,
                                                    cvni_soft_forward,    cvni_soft_backward };

cvn_node cvn_soft_cross_entropy_loss(cvn_net *net, cvn_node logits, cvn_node target)
{
    return cvni_add_pair(net, &cvni_op_soft_cross_entropy, logits, target, 0, 0);
}

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>rowloss   losses of rows: boxes, embeddings, the parameters of a distribution
 * ==============================================================================================
 *   Each input is seen as rows (a box, an embedding, a sample); the loss is the mean over the rows.
 *   Tasks are rows. Formulas and sources: >>layers-api.       tested: tests/test_metric_loss.c */

enum { CVNI_ROW_INPUTS = 3 };

typedef struct cvni_rows {              /* a row of each input */
    const float *in[CVNI_ROW_INPUTS];
    int size;                           /* elements of it in the first input */
    double p;                           /* margin */
} cvni_rows;

typedef struct cvni_row_loss {
    cvni_op op;                         /* first: a layer's op leads to its row */
    int alike;                          /* so many first inputs have one shape */
    int rank;                           /* that they must have; 0: any */
    int last;                           /* a row is the last axis and has so many elements; 0: a row
                                         * is an entry of the first axis */
    double (*value)(const cvni_rows *r);
    /* dx (+)= scale*gradient by the row of input `side` */
    void (*slope)(const cvni_rows *r, int side, double scale, int add, float *dx);
} cvni_row_loss;

static const cvni_row_loss *cvni_row_loss_of(const cvni_layer *l)
{
    return (const cvni_row_loss *)(const void *)l->op;
}

static int cvni_row_count(const cvn_net *net, const cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const int last = cvni_row_loss_of(l)->last;
    return last ? (int)(cvni_elements(x) / (size_t)last) : x.dim[0];
}

static cvn_result cvni_row_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_row_loss *row = cvni_row_loss_of(l);
    const cvni_layer *x = cvni_in(net, l, 0);
    const int rank = x->shape.rank;
    int fits = !row->rank || rank == row->rank;
    char text[96];
    char wants[48] = "";
    if (row->last) fits = rank > 1 && x->shape.dim[rank - 1] == row->last;
    if (row->last) snprintf(wants, sizeof wants, "[N, ..., %d], ", row->last);
    else if (row->rank) snprintf(wants, sizeof wants, "[N, C], ");
    for (int i = 0; i < l->inputs; i++) {
        const cvni_layer *in = cvni_in(net, l, i);
        if (i < row->alike) fits = fits && cvni_same_shape(in->shape, x->shape);
        else fits = fits && cvni_elements(in->shape) == (size_t)x->shape.dim[0];
        fits = fits && !in->is_int;
    }
    if (!fits)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' is %s; %sfloats, and %d inputs of one shape%s are needed",
                               x->name, cvni_shape_text(x->shape, text), wants, row->alike,
                               l->inputs > row->alike ? " with one number a sample" : "");
    cvni_scalar_shape(l);
    l->work_forward_bytes = cvni_mul_size((size_t)cvni_row_count(net, l), sizeof(double));
    return CVN_OK;
}

typedef struct cvni_row_job {
    cvn_net *net;
    cvni_layer *l;
    int rows, per_entry;                /* in all; of an entry of the first axis */
    int side;
    float *dx;
    int add;
} cvni_row_job;

static cvni_row_job cvni_row_job_of(cvn_net *net, cvni_layer *l)
{
    cvni_row_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.rows = cvni_row_count(net, l);
    j.per_entry = j.rows / cvni_in(net, l, 0)->shape.dim[0];
    return j;
}

/* Floats of a row in input i. */
static int cvni_row_size(const cvni_row_job *j, int i)
{
    return (int)(cvni_elements(cvni_in(j->net, j->l, i)->shape) / (size_t)j->rows);
}

static cvni_rows cvni_rows_at(const cvni_row_job *j, int t)
{
    cvni_rows r;
    memset(&r, 0, sizeof r);
    for (int i = 0; i < j->l->inputs; i++)
        r.in[i] = cvni_in(j->net, j->l, i)->y + (ptrdiff_t)t * cvni_row_size(j, i);
    r.size = cvni_row_size(j, 0);
    r.p = (double)((const float *)j->l->desc)[0];
    return r;
}

static double cvni_row_weight(const cvni_row_job *j, int t)
{
    return (double)cvni_sample_weight(j->net, cvni_in(j->net, j->l, 0), t / j->per_entry);
}

static double cvni_row_cost(const cvni_row_job *j)
{
    return 40.0 * (double)cvni_elements(cvni_in(j->net, j->l, 0)->shape);
}

static void cvni_row_part(void *context, int begin, int end, int worker)
{
    const cvni_row_job *j = (const cvni_row_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const cvni_rows r = cvni_rows_at(j, t);
        ((double *)j->l->work_forward)[t] = cvni_row_weight(j, t) *
                                            cvni_row_loss_of(j->l)->value(&r);
    }
}

static cvn_result cvni_row_forward(cvn_net *net, cvni_layer *l)
{
    cvni_row_job j = cvni_row_job_of(net, l);
    cvni_parallel_for(net, j.rows, cvni_row_cost(&j), cvni_row_part, &j);
    l->y[0] = (float)(cvni_sum_partials((const double *)l->work_forward, j.rows, 1) / j.rows);
    return CVN_OK;
}

static void cvni_row_back_part(void *context, int begin, int end, int worker)
{
    const cvni_row_job *j = (const cvni_row_job *)context;
    const int size = cvni_row_size(j, j->side);
    (void)worker;
    for (int t = begin; t < end; t++) {
        const cvni_rows r = cvni_rows_at(j, t);
        const double scale = (double)j->l->dy[0] / j->rows * cvni_row_weight(j, t);
        cvni_row_loss_of(j->l)->slope(&r, j->side, scale, j->add, j->dx + (ptrdiff_t)t * size);
    }
}

static void cvni_row_backward(cvn_net *net, cvni_layer *l)
{
    cvni_row_job j = cvni_row_job_of(net, l);
    for (j.side = 0; j.side < l->inputs; j.side++) {
        j.dx = cvni_gradient_for(cvni_in(net, l, j.side), &j.add);
        if (j.dx) cvni_parallel_for(net, j.rows, cvni_row_cost(&j), cvni_row_back_part, &j);
    }
}

static void cvni_give(float *dx, double g, int add) { *dx = add ? *dx + (float)g : (float)g; }

/* ---- boxes: lengths of intersection and smallest box around, along x and y ---- */

#define CVNI_BOX_EPS 1e-7

typedef struct cvni_boxes {
    double area[2], side[2][2];         /* of each box: area; lengths */
    double both[2], around[2];
    double I, U, C;
} cvni_boxes;

static cvni_boxes cvni_boxes_of(const cvni_rows *r)
{
    cvni_boxes b;
    for (int axis = 0; axis < 2; axis++) {
        const double low[2] = { (double)r->in[0][axis], (double)r->in[1][axis] };
        const double high[2] = { (double)r->in[0][axis + 2], (double)r->in[1][axis + 2] };
        b.both[axis] = (high[0] < high[1] ? high[0] : high[1]) -
                       (low[0] > low[1] ? low[0] : low[1]);
        b.around[axis] = (high[0] > high[1] ? high[0] : high[1]) -
                         (low[0] < low[1] ? low[0] : low[1]);
        for (int i = 0; i < 2; i++) b.side[i][axis] = high[i] - low[i];
    }
    for (int i = 0; i < 2; i++) b.area[i] = b.side[i][0] * b.side[i][1];
    b.I = b.both[0] > 0 && b.both[1] > 0 ? b.both[0] * b.both[1] : 0;
    b.U = b.area[0] + b.area[1] - b.I;
    b.C = b.around[0] * b.around[1];
    return b;
}

static double cvni_iou_value(const cvni_rows *r)
{
    const cvni_boxes b = cvni_boxes_of(r);
    return 1 - b.I / (b.U + CVNI_BOX_EPS);
}

static double cvni_giou_value(const cvni_rows *r)
{
    const cvni_boxes b = cvni_boxes_of(r);
    return 1 - b.I / (b.U + CVNI_BOX_EPS) + (b.C - b.U) / (b.C + CVNI_BOX_EPS);
}

/* An edge moves the intersection where it is the inner one of the two, the box around where it is
 * the outer one; of equals each moves them by half, as torch.min and torch.max have it. */
static void cvni_box_slope(const cvni_rows *r, int side, double scale, int add, float *dx,
                           int outer)
{
    const cvni_boxes b = cvni_boxes_of(r);
    const double U = b.U + CVNI_BOX_EPS;
    const double C = b.C + CVNI_BOX_EPS;
    const double by_union = b.I / (U * U) - (outer ? 1 / C : 0);
    const double by_both = b.I > 0 ? -1 / U - by_union : 0;
    const double by_around = outer ? U / (C * C) : 0;
    for (int k = 0; k < 4; k++) {
        const int across = 1 - k % 2;
        const double sign = k < 2 ? -1 : 1;
        const float own = r->in[side][k];
        const float other = r->in[1 - side][k];
        const double larger = own == other ? 0.5 : own > other;
        const double inner = k < 2 ? larger : 1 - larger;
        const double g = sign * (by_union * b.side[side][across] +
                                 by_both * inner * b.both[across] +
                                 by_around * (1 - inner) * b.around[across]);
        cvni_give(&dx[k], scale * g, add);
    }
}

static void cvni_iou_slope(const cvni_rows *r, int side, double scale, int add, float *dx)
{
    cvni_box_slope(r, side, scale, add, dx, 0);
}

static void cvni_giou_slope(const cvni_rows *r, int side, double scale, int add, float *dx)
{
    cvni_box_slope(r, side, scale, add, dx, 1);
}

/* ---- embeddings ---- */

#define CVNI_TRIPLET_EPS 1e-6

/* |in[0] - in[i] + eps| */
static double cvni_distance(const cvni_rows *r, int i, double eps)
{
    double sum = 0;
    for (int c = 0; c < r->size; c++) {
        const double d = (double)r->in[0][c] - (double)r->in[i][c] + eps;
        sum += d * d;
    }
    return sqrt(sum);
}

static double cvni_triplet_value(const cvni_rows *r)
{
    const double v = r->p + cvni_distance(r, 1, CVNI_TRIPLET_EPS) -
                     cvni_distance(r, 2, CVNI_TRIPLET_EPS);
    return v < 0 ? 0 : v;               /* so that a NaN stays */
}

static void cvni_triplet_slope(const cvni_rows *r, int side, double scale, int add, float *dx)
{
    const double near_by = cvni_distance(r, 1, CVNI_TRIPLET_EPS);
    const double far_off = cvni_distance(r, 2, CVNI_TRIPLET_EPS);
    const int counts = !(r->p + near_by - far_off < 0);
    for (int c = 0; c < r->size; c++) {
        const double a = (double)r->in[0][c] + CVNI_TRIPLET_EPS;
        const double p = near_by > 0 ? (a - (double)r->in[1][c]) / near_by : 0;
        const double n = far_off > 0 ? (a - (double)r->in[2][c]) / far_off : 0;
        const double g = side == 0 ? p - n : side == 1 ? -p : n;
        cvni_give(&dx[c], counts ? scale * g : 0, add);
    }
}

/* What is missing to the margin. */
static double cvni_contrastive_gap(const cvni_rows *r, double d) { return d > r->p ? 0 : r->p - d; }

static double cvni_contrastive_value(const cvni_rows *r)
{
    const double d = cvni_distance(r, 1, 0);
    const double gap = cvni_contrastive_gap(r, d);
    const double same = (double)r->in[2][0];
    return 0.5 * (same * d * d + (1 - same) * gap * gap);
}

/* Two equal embeddings that should differ have no direction: 0. */
static void cvni_contrastive_slope(const cvni_rows *r, int side, double scale, int add, float *dx)
{
    const double d = cvni_distance(r, 1, 0);
    const double gap = cvni_contrastive_gap(r, d);
    const double same = (double)r->in[2][0];
    const double away = d > 0 ? (1 - same) * gap / d : 0;
    if (side == 2) {
        cvni_give(dx, scale * 0.5 * (d * d - gap * gap), add);
        return;
    }
    for (int c = 0; c < r->size; c++) {
        const double g = (same - away) * ((double)r->in[0][c] - (double)r->in[1][c]);
        cvni_give(&dx[c], scale * (side ? -g : g), add);
    }
}

/* ---- a normal distribution against N(0, 1) ---- */

static double cvni_vae_value(const cvni_rows *r)
{
    double sum = 0;
    for (int i = 0; i < r->size; i++) {
        const double m = (double)r->in[0][i];
        const double v = (double)r->in[1][i];
        sum -= 0.5 * (1 + v - m * m - exp(v));
    }
    return sum;
}

static void cvni_vae_slope(const cvni_rows *r, int side, double scale, int add, float *dx)
{
    for (int i = 0; i < r->size; i++)
        cvni_give(&dx[i], scale * (side ? 0.5 * (exp((double)r->in[1][i]) - 1)
                                        : (double)r->in[0][i]), add);
}

#define CVNI_ROW_OP(type) { type, "loss", NULL, CVNI_LOSS_FLAGS, cvni_row_shape, NULL, \
                            cvni_row_forward, cvni_row_backward }

static const cvni_row_loss cvni_iou_loss = { CVNI_ROW_OP("iou_loss"), 2, 0, 4, cvni_iou_value,
                                             cvni_iou_slope };
static const cvni_row_loss cvni_giou_loss = { CVNI_ROW_OP("giou_loss"), 2, 0, 4, cvni_giou_value,
                                              cvni_giou_slope };
static const cvni_row_loss cvni_triplet_loss = { CVNI_ROW_OP("triplet_loss"), 3, 2, 0,
                                                 cvni_triplet_value, cvni_triplet_slope };
static const cvni_row_loss cvni_contrastive_loss = { CVNI_ROW_OP("contrastive_loss"), 2, 2, 0,
                                                     cvni_contrastive_value,
                                                     cvni_contrastive_slope };
static const cvni_row_loss cvni_vae_loss = { CVNI_ROW_OP("vae_kl_loss"), 2, 0, 0, cvni_vae_value,
                                             cvni_vae_slope };

cvn_node cvn_iou_loss(cvn_net *net, cvn_node prediction, cvn_node target)
{
    return cvni_add_pair(net, &cvni_iou_loss.op, prediction, target, 0, 0);
}

cvn_node cvn_giou_loss(cvn_net *net, cvn_node prediction, cvn_node target)
{
    return cvni_add_pair(net, &cvni_giou_loss.op, prediction, target, 0, 0);
}

cvn_node cvn_vae_kl_loss(cvn_net *net, cvn_node mean, cvn_node log_variance)
{
    return cvni_add_pair(net, &cvni_vae_loss.op, mean, log_variance, 0, 0);
}

static cvn_node cvni_add_margin_loss(cvn_net *net, const cvni_op *op, cvn_node a, cvn_node b,
                                     cvn_node c, float margin)
{
    const cvn_node none = { 0 };
    cvn_node in[CVNI_ROW_INPUTS];
    if (!net || net->failed) return none;
    if (!(margin > 0) || !cvni_is_finite((double)margin)) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: a margin of %g; it must be above 0", op->type,
                        (double)margin);
        return none;
    }
    in[0] = a;
    in[1] = b;
    in[2] = c;
    return cvni_add_layer(net, op, in, CVNI_ROW_INPUTS, &margin, sizeof margin);
}

cvn_node cvn_triplet_loss(cvn_net *net, cvn_node anchor, cvn_node positive, cvn_node negative,
                          float margin)
{
    return cvni_add_margin_loss(net, &cvni_triplet_loss.op, anchor, positive, negative, margin);
}

cvn_node cvn_contrastive_loss(cvn_net *net, cvn_node a, cvn_node b, cvn_node same, float margin)
{
    return cvni_add_margin_loss(net, &cvni_contrastive_loss.op, a, b, same, margin);
}

/* ================================================================================================
 * >>ctc   connectionist temporal classification
 * ==============================================================================================
 *   The labels of a sample, with a blank before, between and behind them, are K = 2 L + 1 states;
 *   y[t, s] the log-probability of state s at step t. A path stays, goes on by one state, or by two
 *   where that leaves out a blank between two different labels:
 *     a[t, s] = y[t, s] + log sum exp a[t - 1, s - 2 .. s]
 *     b[t, s] = y[t, s] + log sum exp b[t + 1, s .. s + 2]
 *     loss    = -log sum exp(a[T - 1, K - 2], a[T - 1, K - 1])
 *   backward  dx[t, c] = p[t, c] - exp(loss - y[t, c] + log sum exp of a + b over the states c)
 *   saved     the loss of each sample; a is computed again in scratch, b row by row. Tasks are
 *             samples; all in double.
 *   source    A. Graves et al., ICML 2006, equations 6, 10, 16 (there without logarithms)
 *                                                               tested: tests/test_metric_loss.c */

typedef struct cvni_ctc_desc {
    int blank, zero_infinity;
    int input_lengths, label_lengths;   /* which input of the layer; 0: none */
} cvni_ctc_desc;

static cvn_result cvni_ctc_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_ctc_desc *d = (const cvni_ctc_desc *)l->desc;
    const cvni_layer *x = cvni_in(net, l, 0);
    const cvni_layer *t = cvni_in(net, l, 1);
    size_t states;
    char one[96];
    char two[96];
    if (x->is_int || x->shape.rank != 3 || !t->is_int || t->shape.rank != 2 ||
        t->shape.dim[0] != x->shape.dim[0])
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                               "'%s' %s and '%s' %s: log-probabilities [N, T, C] and labels "
                               "[N, S] are needed",
                               x->name, cvni_shape_text(x->shape, one), t->name,
                               cvni_shape_text(t->shape, two));
    if (d->blank < 0 || d->blank >= x->shape.dim[2])
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "blank %d is not in 0..%d", d->blank,
                               x->shape.dim[2] - 1);
    for (int i = 2; i < l->inputs; i++) {
        const cvni_layer *in = cvni_in(net, l, i);
        if (!in->is_int || cvni_elements(in->shape) != (size_t)x->shape.dim[0])
            return cvni_layer_fail(net, l, CVN_ERROR_SHAPE,
                                   "lengths '%s' must be labels [N]: cvn_input_labels(net, NULL, "
                                   "0)",
                                   in->name);
    }
    cvni_scalar_shape(l);
    states = 2 * (size_t)t->shape.dim[1] + 1;
    l->saved_bytes = cvni_mul_size((size_t)x->shape.dim[0], sizeof(double));
    l->scratch_bytes = cvni_mul_size(states, (size_t)x->shape.dim[1] + 2);
    l->scratch_bytes = cvni_add_size(l->scratch_bytes, (size_t)x->shape.dim[2]);
    l->scratch_bytes = cvni_mul_size(l->scratch_bytes, sizeof(double));
    return CVN_OK;
}

/* log(e^a + e^b) */
static double cvni_log_add(double a, double b)
{
    const double high = a > b ? a : b;
    const double low = a > b ? b : a;
    return low == -HUGE_VAL ? high : high + log1p(exp(low - high));
}

typedef struct cvni_ctc_job {
    cvn_net *net;
    cvni_layer *l;
    const cvni_ctc_desc *d;
    int T, C, S;
    float *dx;
    int add;
} cvni_ctc_job;

typedef struct cvni_ctc_sample {
    const float *x;                     /* [steps, C] */
    const int *labels;
    int steps, count;                   /* count labels, K = 2*count + 1 states */
    int classes, blank;
} cvni_ctc_sample;

static cvni_ctc_job cvni_ctc_job_of(cvn_net *net, cvni_layer *l)
{
    cvni_ctc_job j;
    memset(&j, 0, sizeof j);
    j.net = net;
    j.l = l;
    j.d = (const cvni_ctc_desc *)l->desc;
    j.T = cvni_in(net, l, 0)->shape.dim[1];
    j.C = cvni_in(net, l, 0)->shape.dim[2];
    j.S = cvni_in(net, l, 1)->shape.dim[1];
    return j;
}

static const int *cvni_ctc_ints(const cvni_ctc_job *j, int input)
{
    return (const int *)(const void *)cvni_in(j->net, j->l, input)->y;
}

static cvni_ctc_sample cvni_ctc_sample_of(const cvni_ctc_job *j, int n)
{
    cvni_ctc_sample s;
    s.x = cvni_in(j->net, j->l, 0)->y + (ptrdiff_t)n * j->T * j->C;
    s.labels = cvni_ctc_ints(j, 1) + (ptrdiff_t)n * j->S;
    s.steps = j->d->input_lengths ? cvni_ctc_ints(j, j->d->input_lengths)[n] : j->T;
    s.count = 0;
    if (j->d->label_lengths) s.count = cvni_ctc_ints(j, j->d->label_lengths)[n];
    else while (s.count < j->S && s.labels[s.count] >= 0) s.count++;
    s.classes = j->C;
    s.blank = j->d->blank;
    return s;
}

static int cvni_ctc_class(const cvni_ctc_sample *s, int state)
{
    return state % 2 ? s->labels[state / 2] : s->blank;
}

static double cvni_ctc_log(const cvni_ctc_sample *s, int t, int state)
{
    return (double)s->x[(ptrdiff_t)t * s->classes + cvni_ctc_class(s, state)];
}

/* May a path go from `state` - 2 to `state`? */
static int cvni_ctc_skips(const cvni_ctc_sample *s, int state)
{
    return state % 2 && state > 1 && s->labels[state / 2] != s->labels[state / 2 - 1];
}

/* a [steps, K]; returns the loss. */
static double cvni_ctc_alpha(const cvni_ctc_sample *s, double *a)
{
    const int K = 2 * s->count + 1;
    if (!s->steps) return s->count ? HUGE_VAL : 0;
    for (int k = 0; k < K; k++) a[k] = k < 2 ? cvni_ctc_log(s, 0, k) : -HUGE_VAL;
    for (int t = 1; t < s->steps; t++) {
        const double *before = a;
        a += K;
        for (int k = 0; k < K; k++) {
            a[k] = before[k];
            if (k > 0) a[k] = cvni_log_add(a[k], before[k - 1]);
            if (cvni_ctc_skips(s, k)) a[k] = cvni_log_add(a[k], before[k - 2]);
            a[k] += cvni_ctc_log(s, t, k);
        }
    }
    return -cvni_log_add(a[K - 1], s->count ? a[K - 2] : -HUGE_VAL);
}

/* b of step t from b of step t + 1 (NULL: t is the last one). */
static void cvni_ctc_beta(const cvni_ctc_sample *s, int t, const double *after, double *b)
{
    const int K = 2 * s->count + 1;
    for (int k = 0; k < K; k++) {
        b[k] = after ? after[k] : k >= K - 2 ? 0 : -HUGE_VAL;
        if (after && k + 1 < K) b[k] = cvni_log_add(b[k], after[k + 1]);
        if (after && k + 2 < K && cvni_ctc_skips(s, k + 2)) b[k] = cvni_log_add(b[k], after[k + 2]);
        b[k] += cvni_ctc_log(s, t, k);
    }
}

static void cvni_ctc_part(void *context, int begin, int end, int worker)
{
    const cvni_ctc_job *j = (const cvni_ctc_job *)context;
    for (int n = begin; n < end; n++) {
        const cvni_ctc_sample s = cvni_ctc_sample_of(j, n);
        ((double *)j->l->saved)[n] = cvni_ctc_alpha(&s, (double *)cvni_scratch(j->net, worker));
    }
}

static cvn_result cvni_ctc_check(cvn_net *net, const cvni_layer *l, const cvni_ctc_job *j, int n)
{
    const cvni_ctc_sample s = cvni_ctc_sample_of(j, n);
    if (s.steps < 0 || s.steps > j->T || s.count < 0 || s.count > j->S)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "sample %d has %d steps and %d labels; 0..%d and 0..%d are possible",
                               n, s.steps, s.count, j->T, j->S);
    for (int i = 0; i < s.count; i++)
        if (s.labels[i] < 0 || s.labels[i] >= j->C || s.labels[i] == s.blank)
            return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                                   "label %d of sample %d is %d; 0..%d without the blank %d are "
                                   "possible",
                                   i, n, s.labels[i], j->C - 1, s.blank);
    return CVN_OK;
}

/* What the loss of sample n is multiplied with in the sum, the batch's divisor included. */
static double cvni_ctc_factor(const cvni_ctc_job *j, const cvni_ctc_sample *s, int n)
{
    const cvni_layer *x = cvni_in(j->net, j->l, 0);
    return (double)cvni_sample_weight(j->net, x, n) /
           ((double)cvni_max(s->count, 1) * x->shape.dim[0]);
}

static double cvni_ctc_cost(const cvni_ctc_job *j)
{
    return 100.0 * cvni_in(j->net, j->l, 0)->shape.dim[0] * j->T * (2.0 * j->S + 1);
}

static cvn_result cvni_ctc_forward(cvn_net *net, cvni_layer *l)
{
    cvni_ctc_job j = cvni_ctc_job_of(net, l);
    const int N = cvni_in(net, l, 0)->shape.dim[0];
    double sum = 0;
    for (int n = 0; n < N; n++) {
        const cvn_result result = cvni_ctc_check(net, l, &j, n);
        if (result != CVN_OK) return result;
    }
    cvni_parallel_for(net, N, cvni_ctc_cost(&j), cvni_ctc_part, &j);
    for (int n = 0; n < N; n++) {
        const cvni_ctc_sample s = cvni_ctc_sample_of(&j, n);
        const double loss = ((const double *)l->saved)[n];
        if (loss == HUGE_VAL && j.d->zero_infinity) continue;
        sum += cvni_ctc_factor(&j, &s, n) * loss;
    }
    l->y[0] = (float)sum;
    return CVN_OK;
}

/* Gradient of one step: sums of a + b by class, then the difference. */
static void cvni_ctc_back_step(const cvni_ctc_sample *s, int t, double loss, const double *a,
                               const double *b, double *sums, double scale, float *dx, int add)
{
    for (int c = 0; c < s->classes; c++) sums[c] = -HUGE_VAL;
    for (int k = 0; k <= 2 * s->count; k++) {
        double *sum = &sums[cvni_ctc_class(s, k)];
        *sum = cvni_log_add(*sum, a[k] + b[k]);
    }
    for (int c = 0; c < s->classes; c++) {
        const double y = (double)s->x[(ptrdiff_t)t * s->classes + c];
        const double seen = sums[c] == -HUGE_VAL && loss != HUGE_VAL ? 0 : exp(sums[c] + loss - y);
        cvni_give(&dx[c], scale * (exp(y) - seen), add);
    }
}

static void cvni_ctc_back_part(void *context, int begin, int end, int worker)
{
    const cvni_ctc_job *j = (const cvni_ctc_job *)context;
    const int states = 2 * j->S + 1;
    double *a = (double *)cvni_scratch(j->net, worker);
    double *b = a + (ptrdiff_t)j->T * states;
    double *sums = b + 2 * (ptrdiff_t)states;
    for (int n = begin; n < end; n++) {
        const cvni_ctc_sample s = cvni_ctc_sample_of(j, n);
        const double loss = ((const double *)j->l->saved)[n];
        const int skip = loss == HUGE_VAL && j->d->zero_infinity;
        const double scale = (double)j->l->dy[0] * cvni_ctc_factor(j, &s, n);
        const double *after = NULL;
        float *dx = j->dx + (ptrdiff_t)n * j->T * j->C;
        if (!skip) cvni_ctc_alpha(&s, a);
        for (int t = j->T - 1; t >= 0; t--) {
            double *row = b + (t % 2) * (ptrdiff_t)states;
            if (skip || t >= s.steps) {
                if (!j->add) cvni_zero(dx + (ptrdiff_t)t * j->C, (size_t)j->C);
                continue;
            }
            cvni_ctc_beta(&s, t, after, row);
            cvni_ctc_back_step(&s, t, loss, a + (ptrdiff_t)t * (2 * s.count + 1), row, sums, scale,
                               dx + (ptrdiff_t)t * j->C, j->add);
            after = row;
        }
    }
}

static void cvni_ctc_backward(cvn_net *net, cvni_layer *l)
{
    cvni_ctc_job j = cvni_ctc_job_of(net, l);
    j.dx = cvni_gradient_for(cvni_in(net, l, 0), &j.add);
    if (j.dx)
        cvni_parallel_for(net, cvni_in(net, l, 0)->shape.dim[0], 2 * cvni_ctc_cost(&j),
                          cvni_ctc_back_part, &j);
}

static const cvni_op cvni_op_ctc_loss = { "ctc_loss",       "loss",         NULL,
                                          CVNI_LOSS_FLAGS,  cvni_ctc_shape, NULL,
                                          cvni_ctc_forward, cvni_ctc_backward };

cvn_ctc_desc cvn_ctc_defaults(void)
{
    cvn_ctc_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

cvn_node cvn_ctc_loss(cvn_net *net, cvn_node log_probabilities, cvn_node labels,
                      const cvn_ctc_desc *desc)
{
    const cvn_ctc_desc d = desc ? *desc : cvn_ctc_defaults();
    cvni_ctc_desc own;
    cvn_node in[4];
    int inputs = 2;
    memset(&own, 0, sizeof own);
    own.blank = d.blank;
    own.zero_infinity = d.zero_infinity != 0;
    in[0] = log_probabilities;
    in[1] = labels.id ? labels : cvn_input_labels(net, &d.max_labels, 1);
    if (d.input_lengths.id) {
        own.input_lengths = inputs;
        in[inputs++] = d.input_lengths;
    }
    if (d.label_lengths.id) {
        own.label_lengths = inputs;
        in[inputs++] = d.label_lengths;
    }
    return cvni_add_layer(net, &cvni_op_ctc_loss, in, inputs, &own, sizeof own);
}

int cvn_ctc_decode(const float *log_probabilities, int T, int C, int blank, int *labels)
{
    int count = 0;
    int last = blank;
    if (!log_probabilities || !labels || T < 0 || C < 1 || blank < 0 || blank >= C)
        return CVN_ERROR_ARGUMENT;
    for (int t = 0; t < T; t++) {
        const float *x = log_probabilities + (ptrdiff_t)t * C;
        int best = 0;
        for (int c = 1; c < C; c++) if (x[c] > x[best]) best = c;
        if (best != last && best != blank) labels[count++] = best;
        last = best;
    }
    return count;
}

/* ================================================================================================
 * >>penalty   losses of a layer's weight: L1, L2, orthogonality
 * ==============================================================================================
 *   The layer has no inputs; its parameter is that of the layer it is for, as if tied to it.
 *     l1              dW += dy f sign(W)
 *     l2              dW += 2 dy f W
 *     orthogonality   G = W W^T - I, dW += 4 dy f G W
 *   saved     orthogonality: G                                tested: tests/test_metric_loss.c */

typedef struct cvni_penalty_desc {
    int node;
    float factor;
} cvni_penalty_desc;

static const cvni_param *cvni_penalty_param(const cvn_net *net, const cvni_layer *l)
{
    return &net->params[l->param[0]];
}

static cvn_result cvni_penalty_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_penalty_desc *d = (const cvni_penalty_desc *)l->desc;
    const cvni_layer *of = &net->layers[d->node];
    if (!of->params || net->params[of->param[0]].role != CVNI_WEIGHT || of->op->flags & CVNI_LOSS)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "'%s' (%s) has no weight", of->name,
                               of->op->type);
    if (!cvni_is_finite((double)d->factor))
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "a factor of %g", (double)d->factor);
    if (!l->params) {
        if (!cvni_grow_params(net, l)) return net->failed;
        l->param[l->params++] = of->param[0];
    }
    cvni_scalar_shape(l);
    l->work_forward_bytes = cvni_chunk_bytes(cvni_penalty_param(net, l)->count, 1);
    return CVN_OK;
}

typedef struct cvni_penalty_job {
    const float *w;
    float *dw;
    double *partial;
    size_t count;
    int squares;
    double scale;
} cvni_penalty_job;

static void cvni_penalty_part(void *context, int begin, int end, int worker)
{
    const cvni_penalty_job *j = (const cvni_penalty_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double sum = 0;
        for (size_t i = (size_t)t * CVNI_CHUNK; i < cvni_chunk_end(j->count, t); i++) {
            const double w = (double)j->w[i];
            sum += j->squares ? w * w : fabs(w);
        }
        j->partial[t] = sum;
    }
}

static void cvni_penalty_back_part(void *context, int begin, int end, int worker)
{
    const cvni_penalty_job *j = (const cvni_penalty_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++)
        for (size_t i = (size_t)t * CVNI_CHUNK; i < cvni_chunk_end(j->count, t); i++)
            j->dw[i] += (float)(j->scale * (double)(j->squares ? 2 * j->w[i] : cvni_sign(j->w[i])));
}

static cvn_result cvni_penalty_run(cvn_net *net, cvni_layer *l, int squares)
{
    cvni_penalty_job j;
    memset(&j, 0, sizeof j);
    j.w = cvni_weights(net, l, 0);
    j.count = cvni_penalty_param(net, l)->count;
    j.partial = (double *)l->work_forward;
    j.squares = squares;
    cvni_parallel_for(net, cvni_chunks(j.count), 2.0 * (double)j.count, cvni_penalty_part, &j);
    l->y[0] = (float)((double)((const cvni_penalty_desc *)l->desc)->factor *
                      cvni_sum_partials(j.partial, cvni_chunks(j.count), 1));
    return CVN_OK;
}

/* The weight's gradient; NULL when the layer that owns it is frozen. */
static float *cvni_penalty_grad(cvn_net *net, const cvni_layer *l)
{
    return net->layers[cvni_penalty_param(net, l)->layer].frozen ? NULL
                                                                 : cvni_weights_grad(net, l, 0);
}

static double cvni_penalty_scale(const cvni_layer *l)
{
    return (double)l->dy[0] * (double)((const cvni_penalty_desc *)l->desc)->factor;
}

static void cvni_penalty_back(cvn_net *net, cvni_layer *l, int squares)
{
    cvni_penalty_job j;
    memset(&j, 0, sizeof j);
    j.w = cvni_weights(net, l, 0);
    j.dw = cvni_penalty_grad(net, l);
    j.count = cvni_penalty_param(net, l)->count;
    j.squares = squares;
    j.scale = cvni_penalty_scale(l);
    if (j.dw)
        cvni_parallel_for(net, cvni_chunks(j.count), 2.0 * (double)j.count, cvni_penalty_back_part,
                          &j);
}

static cvn_result cvni_l1_forward(cvn_net *net, cvni_layer *l)
{
    return cvni_penalty_run(net, l, 0);
}
static cvn_result cvni_l2_forward(cvn_net *net, cvni_layer *l)
{
    return cvni_penalty_run(net, l, 1);
}
static void cvni_l1_backward(cvn_net *net, cvni_layer *l) { cvni_penalty_back(net, l, 0); }
static void cvni_l2_backward(cvn_net *net, cvni_layer *l) { cvni_penalty_back(net, l, 1); }

static cvn_result cvni_orthogonality_shape(cvn_net *net, cvni_layer *l)
{
    const cvn_result result = cvni_penalty_shape(net, l);
    const cvni_param *p;
    int rows, rest;
    if (result != CVN_OK) return result;
    p = cvni_penalty_param(net, l);
    rows = p->shape.dim[0];
    rest = (int)(p->count / (size_t)rows);
    l->work_forward_bytes = 0;
    l->saved_bytes = cvni_mul_size(cvni_mul_size((size_t)rows, (size_t)rows), sizeof(float));
    l->work_backward_bytes = l->saved_bytes;
    l->scratch_bytes = cvni_max_size(cvni_gemm_scratch(net->k, rows, rows, rest),
                                     cvni_gemm_scratch(net->k, rows, rest, rows));
    if (cvni_mul_size((size_t)rows, (size_t)rows) > (size_t)CONVNET_MAX_ELEMENTS)
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "a weight of %d rows is too large", rows);
    return CVN_OK;
}

static cvn_result cvni_orthogonality_forward(cvn_net *net, cvni_layer *l)
{
    const float *w = cvni_weights(net, l, 0);
    const int rows = cvni_penalty_param(net, l)->shape.dim[0];
    const int rest = (int)(cvni_penalty_param(net, l)->count / (size_t)rows);
    float *g = (float *)l->saved;
    double sum = 0;
    cvni_matmul_run(net, 1, rows, rows, rest, w, 0, w, 1, g, 0);
    for (int i = 0; i < rows; i++) g[(ptrdiff_t)i * (rows + 1)] -= 1;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * rows; i++) sum += (double)g[i] * (double)g[i];
    l->y[0] = (float)((double)((const cvni_penalty_desc *)l->desc)->factor * sum);
    return CVN_OK;
}

static void cvni_orthogonality_backward(cvn_net *net, cvni_layer *l)
{
    const float *w = cvni_weights(net, l, 0);
    const int rows = cvni_penalty_param(net, l)->shape.dim[0];
    const int rest = (int)(cvni_penalty_param(net, l)->count / (size_t)rows);
    const float *g = (const float *)l->saved;
    const float scale = (float)(4 * cvni_penalty_scale(l));
    float *scaled = (float *)l->work_backward;
    float *dw = cvni_penalty_grad(net, l);
    if (!dw) return;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * rows; i++) scaled[i] = scale * g[i];
    cvni_matmul_run(net, 1, rows, rest, rows, scaled, 0, w, 0, dw, 1);
}

static const cvni_op cvni_op_l1_penalty = { "l1_penalty",    "penalty",          NULL,
                                            CVNI_LOSS,       cvni_penalty_shape, NULL,
                                            cvni_l1_forward, cvni_l1_backward };
static const cvni_op cvni_op_l2_penalty = { "l2_penalty",    "penalty",          NULL,
                                            CVNI_LOSS,       cvni_penalty_shape, NULL,
                                            cvni_l2_forward, cvni_l2_backward };
static const cvni_op cvni_op_orthogonality = { "orthogonality",
                                               "penalty",
                                               NULL,
                                               CVNI_LOSS,
                                               cvni_orthogonality_shape,
                                               NULL,
                                               cvni_orthogonality_forward,
                                               cvni_orthogonality_backward };

static cvn_node cvni_add_penalty(cvn_net *net, const cvni_op *op, cvn_node node, float factor)
{
    const cvn_node none = { 0 };
    cvni_penalty_desc d;
    if (!net || net->failed) return none;
    if (!cvni_valid(net, node)) {
        cvni_graph_fail(net, CVN_ERROR_ARGUMENT, "%s: not a node of this net", op->type);
        return none;
    }
    memset(&d, 0, sizeof d);
    d.node = node.id;
    d.factor = factor;
    return cvni_add_layer(net, op, NULL, 0, &d, sizeof d);
}

cvn_node cvn_l1_penalty(cvn_net *net, cvn_node node, float factor)
{
    return cvni_add_penalty(net, &cvni_op_l1_penalty, node, factor);
}

cvn_node cvn_l2_penalty(cvn_net *net, cvn_node node, float factor)
{
    return cvni_add_penalty(net, &cvni_op_l2_penalty, node, factor);
}

cvn_node cvn_orthogonality_penalty(cvn_net *net, cvn_node node, float factor)
{
    return cvni_add_penalty(net, &cvni_op_orthogonality, node, factor);
}

/* ================================================================================================
 * >>features   another net as a layer
 * ==============================================================================================
 *   forward   x into the other net's first input, its prediction, the node's value
 *   backward  the same again, unless this layer was the last to run that net; then its backward
 *             pass from dy, with parameter gradients left alone; dx = gradient of its input
 *                                                             tested: tests/test_metric_loss.c */

typedef struct cvni_features_desc {
    cvn_net *other;
    int node;
} cvni_features_desc;

/* What must hold of the other net, at each plan and each pass. */
static cvn_result cvni_features_check(cvn_net *net, const cvni_layer *l)
{
    const cvni_features_desc *d = (const cvni_features_desc *)l->desc;
    const cvni_layer *x = cvni_in(net, l, 0);
    cvn_net *other = d->other;
    const cvni_layer *in;
    const cvni_layer *y;
    cvn_shape s = x->shape;
    char one[96];
    char two[96];
    if (!other || other == net)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT, "needs another net");
    if (other->failed || other->mode != CVN_TRAIN)
        return cvni_layer_fail(net, l, CVN_ERROR_STATE,
                               "the other net must be built before, with cvn_build%s%s",
                               other->failed ? ": " : "", other->failed ? other->message : "");
    in = cvni_first_input(other);
    y = &other->layers[d->node > 0 && d->node < other->layer_count ? d->node : 0];
    if (!in || y == other->layers || y->is_int || y->per_batch || y->op->flags & CVNI_SOURCE)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "needs a layer of the other net, and a float input there");
    if (!in->want_grad || !in->place.grad || !y->want_grad || !y->place.grad ||
        !y->place.predict || !cvni_is_kept(other, d->node))
        return cvni_layer_fail(net, l, CVN_ERROR_STATE,
                               "in the other net mark '%s' with cvn_want_grad, '%s' with "
                               "cvn_want_grad and cvn_output, then call cvn_build",
                               in->name, y->name);
    s.dim[0] = in->shape.dim[0];
    if (!cvni_same_shape(s, in->shape))
        return cvni_layer_fail(net, l, CVN_ERROR_SHAPE, "'%s' is %s, the other net takes %s",
                               x->name, cvni_shape_text(x->shape, one),
                               cvni_shape_text(in->shape, two));
    if (x->shape.dim[0] > other->max_batch)
        return cvni_layer_fail(net, l, CVN_ERROR_ARGUMENT,
                               "the other net was built for %d samples; build it for %d",
                               other->max_batch, x->shape.dim[0]);
    return CVN_OK;
}

static cvn_result cvni_features_shape(cvn_net *net, cvni_layer *l)
{
    const cvni_features_desc *d = (const cvni_features_desc *)l->desc;
    const cvn_result result = cvni_features_check(net, l);
    if (result != CVN_OK) return result;
    l->shape = d->other->layers[d->node].shape;
    l->shape.dim[0] = cvni_in(net, l, 0)->shape.dim[0] * d->other->layers[d->node].samples;
    l->macs = 0;
    for (int id = 1; id < d->other->layer_count; id++)
        if (d->other->layers[id].place.predict) l->macs += cvni_layer_macs(&d->other->layers[id]);
    return CVN_OK;
}

/* x through the other net. */
static cvn_result cvni_features_run(cvn_net *net, cvni_layer *l)
{
    cvn_net *other = ((const cvni_features_desc *)l->desc)->other;
    const cvni_layer *x = cvni_in(net, l, 0);
    cvn_result result = cvni_features_check(net, l);
    if (result != CVN_OK) return result;
    result = cvni_set_batch(other, x->shape.dim[0]);
    if (result == CVN_OK) {
        cvni_fill_input(other, cvni_first_input(other), x->y);
        result = cvni_run(other, 0, 0);
    }
    if (result != CVN_OK)
        return cvni_layer_fail(net, l, result, "the other net: %s", other->message);
    other->fed_by = l;
    return CVN_OK;
}

static cvn_result cvni_features_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_features_desc *d = (const cvni_features_desc *)l->desc;
    const cvn_result result = cvni_features_run(net, l);
    if (result == CVN_OK)
        memcpy(l->y, d->other->layers[d->node].y, cvni_elements(l->shape) * sizeof(float));
    return result;
}

/* The forward pass has seen all that can be wrong. Should the other net have been taken apart in
 * between, the gradient is NaN rather than a wrong number. */
static void cvni_features_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_features_desc *d = (const cvni_features_desc *)l->desc;
    cvni_layer *x = cvni_in(net, l, 0);
    const size_t n = cvni_elements(x->shape);
    cvn_result result = CVN_OK;
    cvn_node node;
    int add = 0;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return;
    node.id = d->node;
    if (d->other->fed_by != l || !d->other->forward_done) result = cvni_features_run(net, l);
    if (result == CVN_OK) {
        d->other->inputs_only = 1;
        result = cvn_backward_from(d->other, node, l->dy);
        d->other->inputs_only = 0;
    }
    for (size_t i = 0; i < n; i++) {
        const float g = result == CVN_OK ? cvni_first_input(d->other)->dy[i] : NAN;
        dx[i] = add ? dx[i] + g : g;
    }
}

static const cvni_op cvni_op_features = { "features",
                                          "features",
                                          NULL,
                                          CVNI_USES_X,
                                          cvni_features_shape,
                                          NULL,
                                          cvni_features_forward,
                                          cvni_features_backward };

cvn_node cvn_features(cvn_net *net, cvn_node x, cvn_net *other, cvn_node node)
{
    cvni_features_desc d;
    memset(&d, 0, sizeof d);
    d.other = other;
    d.node = node.id;
    return cvni_add_layer(net, &cvni_op_features, &x, 1, &d, sizeof d);
}

cvn_node cvn_perceptual_loss(cvn_net *net, cvn_node x, cvn_node target, cvn_net *other,
                             cvn_node node)
{
    const cvn_node a = cvn_features(net, x, other, node);
    const cvn_node b = cvn_features(net, target, other, node);
    return cvn_mse_loss(net, a, b);
}

CVNI_COLD_END

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>data   sets of samples: loaders, statistics, the batch that a net is given
 * ==============================================================================================
 *   IDX          2 zero bytes, type (8: unsigned byte), number of axes, then each axis as a
 *                big-endian 32-bit number, then the elements, last axis fastest. Images have the
 *                axes count, height, width; labels
 *                count. The file has exactly the bytes its header asks for.
 *                                                               Y. LeCun, yann.lecun.com/exdb/mnist
 *   CIFAR-10     records of 3073 bytes: the label 0..9, then red, green and blue plane of 32 x 32,
 *                row by row. A file
 *                holds whole records only.
 *                                         A. Krizhevsky, Learning Multiple Layers of Features, 2009
 *   mean, std    per channel over all pixels of the set, of byte/255: mean = sum/n, std = sqrt(sum
 *                of squares/n - mean^2) (the biased one), from exact integer sums. A std of 0
 *                stands for 1.
 *   normalised   y = (byte/255 - mean[c])/std[c], each operation rounded to float
 *   memory       one block a set: the labels as int, then the bytes. A view owns its index only.
 *   splits       words of the stream CVNI_STREAM_SHUFFLE: (seed, 0, id 1) for folds, (seed, 0, id
 *                2) for stratified splits, (seed, epoch, id 3) for balanced orders; cvn_fit's own
 *                shuffle has id 0. Shuffled by Fisher and Yates from the end.
 *     fold       samples shuffled[count*fold/folds .. count*(fold + 1)/folds) are the valid ones
 *     stratified the members of each class, in order, are shuffled class by class; the first
 *                ones of each are the valid ones
 *     balanced   the members are shuffled so, too; then the classes that occur are shuffled anew
 *                for each round
 *                                            tested: tests/test_data.c, tests/test_folds.c */

#define CVNI_CIFAR_IMAGE 3072               /* bytes: 3 x 32 x 32 */
#define CVNI_CIFAR_RECORD 3073

/* A loader failed: gives back what it took and leaves only the message. */
CVNI_PRINTF(3, 4)
static cvn_result cvni_data_fail(cvn_data *data, cvn_result result, const char *format, ...)
{
    va_list args;
    cvn_data_free(data);
    va_start(args, format);
    vsnprintf(data->error, sizeof data->error, format, args);
    va_end(args);
    return result;
}

/* Where a loader reads from: a file, or a buffer. */
typedef struct cvni_feed {
    const char *name;                       /* for messages */
    const unsigned char *bytes;             /* the buffer; NULL: the file */
#ifndef CONVNET_NO_STDIO
    FILE *file;
#endif
    size_t size, position;
} cvni_feed;

static cvni_feed cvni_feed_memory(const char *name, const void *bytes, size_t size)
{
    cvni_feed f;
    memset(&f, 0, sizeof f);
    f.name = name;
    f.bytes = (const unsigned char *)bytes;
    f.size = size;
    return f;
}

/* Copies the next n bytes; 0 when they are not there. */
static int cvni_feed_read(cvni_feed *f, void *to, size_t n)
{
    if (n > f->size - f->position) return 0;
    f->position += n;
    if (f->bytes) {
        memcpy(to, f->bytes + f->position - n, n);
        return 1;
    }
#ifndef CONVNET_NO_STDIO
    return fread(to, 1, n, f->file) == n;
#else
    return 0;
#endif
}

#ifndef CONVNET_NO_STDIO
/* The end of a path: a message has 160 bytes, and the end tells more than the beginning. */
static const char *cvni_path_tail(const char *path)
{
    const size_t length = strlen(path);
    return length > 60 ? path + length - 60 : path;
}

static cvn_result cvni_feed_open(cvn_data *data, cvni_feed *f, const char *path)
{
    long size = -1;
    memset(f, 0, sizeof *f);
    f->name = cvni_path_tail(path);
    f->file = fopen(path, "rb");
    if (!f->file) return cvni_data_fail(data, CVN_ERROR_FILE, "cannot open %s", f->name);
    if (fseek(f->file, 0, SEEK_END) == 0) size = ftell(f->file);
    if (size < 0 || fseek(f->file, 0, SEEK_SET) != 0) {
        fclose(f->file);
        f->file = NULL;
        return cvni_data_fail(data, CVN_ERROR_FILE,
                              "cannot find the size of %s: a pipe, or too large", f->name);
    }
    f->size = (size_t)size;
    return CVN_OK;
}

static void cvni_feed_close(cvni_feed *f)
{
    if (f->file) fclose(f->file);
    f->file = NULL;
}
#endif

/* The packer that wrote these first bytes, or NULL. Neither IDX nor CIFAR-10 can begin like any of
 * them. */
static const char *cvni_packer(const unsigned char *head, size_t n)
{
    if (n >= 2 && memcmp(head, "\x1f\x8b", 2) == 0) return "gzip";
    if (n >= 5 && memcmp(head, "\xfd" "7zXZ", 5) == 0) return "xz";
    if (n >= 3 && memcmp(head, "BZh", 3) == 0) return "bzip2";
    if (n >= 4 && memcmp(head, "\x28\xb5\x2f\xfd", 4) == 0) return "zstd";
    if (n >= 4 && memcmp(head, "PK\x03\x04", 4) == 0) return "zip";
    return NULL;
}

/* Reads the first n bytes, or all there are where the file is shorter; *got tells how many. */
static cvn_result cvni_feed_head(cvn_data *data, cvni_feed *f, unsigned char *head, size_t n,
                                 size_t *got)
{
    const char *packer;
    *got = f->size < n ? f->size : n;
    if (!cvni_feed_read(f, head, *got))
        return cvni_data_fail(data, CVN_ERROR_FILE, "cannot read %s", f->name);
    packer = cvni_packer(head, *got);
    if (!packer) return CVN_OK;
    return cvni_data_fail(data, CVN_ERROR_FORMAT, "%s: is %s-compressed: unpack it first", f->name,
                          packer);
}

/* Room for the labels (when there are any) and bytes of `count` images [channels, height,
 * width]. */
static cvn_result cvni_data_take(cvn_data *data, int count, int channels, int height, int width,
                                 int labels)
{
    const size_t image = cvni_mul_size(cvni_mul_size((size_t)channels, (size_t)height),
                                       (size_t)width);
    const size_t label_bytes = labels ? cvni_mul_size((size_t)count, sizeof(int)) : 0;
    const size_t bytes = cvni_add_size(label_bytes, cvni_mul_size((size_t)count, image));
    unsigned char *memory = bytes == SIZE_MAX ? NULL : (unsigned char *)CONVNET_MALLOC(bytes);
    if (!memory)
        return cvni_data_fail(data, CVN_ERROR_MEMORY, "no memory for %d images [%d, %d, %d]", count,
                              channels, height, width);
    data->memory = memory;
    data->labels = labels ? (const int *)(void *)memory : NULL;
    data->bytes = memory + label_bytes;     /* where cvni_data_bytes says */
    data->count = count;
    data->channels = channels;
    data->height = height;
    data->width = width;
    return CVN_OK;
}

/* Where a loader stores the bytes of the set: behind the labels. */
static unsigned char *cvni_data_bytes(const cvn_data *data)
{
    return (unsigned char *)data->memory + (data->labels ? (size_t)data->count * sizeof(int) : 0);
}

/* Number of sample i of the set in its arrays. */
static size_t cvni_data_number(const cvn_data *data, int i)
{
    return (size_t)data->first + (size_t)(data->index ? data->index[i] : i);
}

/* Mean and std of channel c of a set of bytes, from exact sums. */
static void cvni_byte_statistics(const cvn_data *data, int c, float *mean, float *std)
{
    const size_t plane = (size_t)data->height * (size_t)data->width;
    const double pixels = (double)plane * data->count;
    uint64_t sum = 0, squares = 0;
    double average, variance;
    for (int i = 0; i < data->count; i++) {
        const size_t at = cvni_data_number(data, i) * (size_t)data->channels + (size_t)c;
        const unsigned char *p = data->bytes + at * plane;
        for (size_t j = 0; j < plane; j++) {
            const uint32_t byte = p[j];
            sum += byte;
            squares += byte * byte;
        }
    }
    average = (double)sum / pixels;
    variance = (double)squares / pixels - average * average;
    *mean = (float)(average / 255.0);
    *std = variance > 0 ? (float)(sqrt(variance) / 255.0) : 0.0f;
}

/* The same of a set of floats, in two passes. */
static void cvni_float_statistics(const cvn_data *data, int c, float *mean, float *std)
{
    const size_t plane = (size_t)data->height * (size_t)data->width;
    const double pixels = (double)plane * data->count;
    double average = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++) {
        double sum = 0;
        for (int i = 0; i < data->count; i++) {
            const size_t at = cvni_data_number(data, i) * (size_t)data->channels + (size_t)c;
            const float *x = data->images + at * plane;
            for (size_t j = 0; j < plane; j++) {
                const double d = (double)x[j] - average;
                sum += pass ? d * d : d;
            }
        }
        if (pass) squares = sum;
        else average = sum / pixels;
    }
    *mean = (float)average;
    *std = (float)sqrt(squares / pixels);
}

/* Finds mean, std and classes of a set of bytes. */
static void cvni_data_measure(cvn_data *data)
{
    for (int c = 0; c < data->channels; c++)
        cvni_byte_statistics(data, c, &data->mean[c], &data->std[c]);
    if (!data->labels) return;
    for (int i = 0; i < data->count; i++)
        data->classes = cvni_max(data->classes, data->labels[i] + 1);
}

/* Reads and checks the header of an IDX file of unsigned bytes with `axes` axes (at most 3). */
static cvn_result cvni_idx_header(cvn_data *data, cvni_feed *f, int axes, int *dim)
{
    const size_t header = 4 + 4 * (size_t)axes;
    unsigned char head[16];
    size_t got, elements = 1;
    const cvn_result r = cvni_feed_head(data, f, head, header, &got);
    if (r != CVN_OK) return r;
    if (got < 4 || head[0] || head[1] || head[2] < 8 || head[2] > 14)
        return cvni_data_fail(data, CVN_ERROR_FORMAT, "%s: is no IDX file", f->name);
    if (head[2] != 8)
        return cvni_data_fail(data, CVN_ERROR_FORMAT, "%s: IDX type 0x%02x, must be 0x08 (bytes)",
                              f->name, head[2]);
    if (head[3] != axes)
        return cvni_data_fail(data, CVN_ERROR_FORMAT,
                              "%s: has %d axes, %s; images and labels swapped?", f->name, head[3],
                              axes == 3 ? "images have 3" : "labels have 1");
    if (got < header)
        return cvni_data_fail(data, CVN_ERROR_FORMAT, "%s: ends inside its header", f->name);
    for (int a = 0; a < axes; a++) {
        const unsigned char *p = head + 4 + 4 * a;
        const uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
        if (n == 0 || n > INT_MAX)
            return cvni_data_fail(data, CVN_ERROR_FORMAT, "%s: axis %d has size %lu", f->name, a,
                                  (unsigned long)n);
        dim[a] = (int)n;
        elements = cvni_mul_size(elements, (size_t)n);
    }
    if (elements != f->size - header)
        return cvni_data_fail(data, CVN_ERROR_FORMAT,
                              "%s: header asks for %.0f bytes behind it, the file has %.0f",
                              f->name, (double)elements, (double)(f->size - header));
    return CVN_OK;
}

/* labels NULL: none. */
static cvn_result cvni_load_idx(cvn_data *data, cvni_feed *images, cvni_feed *labels)
{
    int dim[3], count;
    size_t image;
    cvn_result r = cvni_idx_header(data, images, 3, dim);
    if (r != CVN_OK) return r;
    image = cvni_mul_size((size_t)dim[1], (size_t)dim[2]);
    if (image > (size_t)CONVNET_MAX_ELEMENTS)
        return cvni_data_fail(data, CVN_ERROR_FORMAT, "%s: images of %d x %d", images->name, dim[1],
                              dim[2]);
    if (labels && (r = cvni_idx_header(data, labels, 1, &count)) != CVN_OK) return r;
    if (labels && count != dim[0])
        return cvni_data_fail(data, CVN_ERROR_FORMAT,
                              "%d images, but %d labels: files of different sets?", dim[0], count);
    r = cvni_data_take(data, dim[0], 1, dim[1], dim[2], labels != NULL);
    if (r != CVN_OK) return r;
    if (!cvni_feed_read(images, cvni_data_bytes(data), (size_t)dim[0] * image))
        return cvni_data_fail(data, CVN_ERROR_FILE, "cannot read %s", images->name);
    if (labels) {
        /* Read into the last bytes of the ints, then spread from the front: int i ends before byte
         * i + 1 lies. */
        unsigned char *packed = (unsigned char *)data->memory + (sizeof(int) - 1) * (size_t)dim[0];
        int *label = (int *)data->memory;
        if (!cvni_feed_read(labels, packed, (size_t)dim[0]))
            return cvni_data_fail(data, CVN_ERROR_FILE, "cannot read %s", labels->name);
        for (int i = 0; i < dim[0]; i++) {
            const int value = packed[i];
            label[i] = value;
        }
    }
    cvni_data_measure(data);
    return CVN_OK;
}

/* Number of records of a CIFAR-10 file; its reading position is behind the first bytes then. */
static cvn_result cvni_cifar_count(cvn_data *data, cvni_feed *f, int *count)
{
    unsigned char head[6];
    size_t got;
    const cvn_result r = cvni_feed_head(data, f, head, sizeof head, &got);
    if (r != CVN_OK) return r;
    if (f->size == 0 || f->size % CVNI_CIFAR_RECORD || f->size / CVNI_CIFAR_RECORD > INT_MAX)
        return cvni_data_fail(data, CVN_ERROR_FORMAT,
                              "%s: %.0f bytes are not CIFAR-10 records of 3073 bytes", f->name,
                              (double)f->size);
    *count = (int)(f->size / CVNI_CIFAR_RECORD);
    return CVN_OK;
}

/* Reads `count` records into the samples from `first` on. */
static cvn_result cvni_cifar_read(cvn_data *data, cvni_feed *f, int first, int count)
{
    int *labels = (int *)data->memory;
    unsigned char *bytes = cvni_data_bytes(data);
    for (int i = 0; i < count; i++) {
        unsigned char label;
        if (!cvni_feed_read(f, &label, 1) ||
            !cvni_feed_read(f, bytes + (size_t)(first + i) * CVNI_CIFAR_IMAGE, CVNI_CIFAR_IMAGE))
            return cvni_data_fail(data, CVN_ERROR_FILE, "cannot read %s", f->name);
        if (label > 9)
            return cvni_data_fail(data, CVN_ERROR_FORMAT,
                                  "%s: record %d has label %d, CIFAR-10's are 0 to 9", f->name, i,
                                  label);
        labels[first + i] = label;
    }
    return CVN_OK;
}

cvn_result cvn_load_idx_memory(cvn_data *data, const void *images, size_t images_size,
                               const void *labels, size_t labels_size)
{
    cvni_feed image_feed = cvni_feed_memory("images", images, images_size);
    cvni_feed label_feed = cvni_feed_memory("labels", labels, labels_size);
    if (!data) return CVN_ERROR_ARGUMENT;
    memset(data, 0, sizeof *data);
    if (!images)
        return cvni_data_fail(data, CVN_ERROR_ARGUMENT, "cvn_load_idx_memory: images is NULL");
    return cvni_load_idx(data, &image_feed, labels ? &label_feed : NULL);
}

cvn_result cvn_load_cifar10_memory(cvn_data *data, const void *bytes, size_t size)
{
    cvni_feed f = cvni_feed_memory("buffer", bytes, size);
    int count;
    cvn_result r;
    if (!data) return CVN_ERROR_ARGUMENT;
    memset(data, 0, sizeof *data);
    if (!bytes)
        return cvni_data_fail(data, CVN_ERROR_ARGUMENT, "cvn_load_cifar10_memory: bytes is NULL");
    r = cvni_cifar_count(data, &f, &count);
    if (r == CVN_OK) r = cvni_data_take(data, count, 3, 32, 32, 1);
    f.position = 0;
    if (r == CVN_OK) r = cvni_cifar_read(data, &f, 0, count);
    if (r == CVN_OK) cvni_data_measure(data);
    return r;
}

#ifndef CONVNET_NO_STDIO
cvn_result cvn_load_idx(cvn_data *data, const char *images, const char *labels)
{
    cvni_feed image_feed, label_feed;
    cvn_result r;
    if (!data) return CVN_ERROR_ARGUMENT;
    memset(data, 0, sizeof *data);
    memset(&label_feed, 0, sizeof label_feed);
    if (!images)
        return cvni_data_fail(data, CVN_ERROR_ARGUMENT,
                              "cvn_load_idx: the path of the images is NULL");
    r = cvni_feed_open(data, &image_feed, images);
    if (r == CVN_OK && labels) r = cvni_feed_open(data, &label_feed, labels);
    if (r == CVN_OK) r = cvni_load_idx(data, &image_feed, labels ? &label_feed : NULL);
    cvni_feed_close(&image_feed);
    cvni_feed_close(&label_feed);
    return r;
}

/* One file of a CIFAR-10 set. Counting, `read` 0: adds its records to *total. Reading: stores them
 * from *total on. */
static cvn_result cvni_cifar_file(cvn_data *data, const char *path, int read, int *total)
{
    cvni_feed f;
    int count = 0;
    cvn_result r = cvni_feed_open(data, &f, path);
    if (r != CVN_OK) return r;
    r = cvni_cifar_count(data, &f, &count);
    if (r == CVN_OK && count > (read ? data->count : INT_MAX) - *total)
        r = cvni_data_fail(data, CVN_ERROR_FILE, "%s: too many records, or the file is changing",
                           f.name);
    if (r == CVN_OK && read) {
        rewind(f.file);
        f.position = 0;
        r = cvni_cifar_read(data, &f, *total, count);
    }
    *total += r == CVN_OK ? count : 0;
    cvni_feed_close(&f);
    return r;
}

cvn_result cvn_load_cifar10(cvn_data *data, const char *const *paths, int files)
{
    cvn_result r = CVN_OK;
    int total = 0, done = 0;
    if (!data) return CVN_ERROR_ARGUMENT;
    memset(data, 0, sizeof *data);
    if (!paths || files < 1)
        return cvni_data_fail(data, CVN_ERROR_ARGUMENT, "cvn_load_cifar10: no files");
    for (int i = 0; i < files; i++)
        if (!paths[i])
            return cvni_data_fail(data, CVN_ERROR_ARGUMENT, "cvn_load_cifar10: path %d is NULL", i);
    for (int i = 0; i < files && r == CVN_OK; i++) r = cvni_cifar_file(data, paths[i], 0, &total);
    if (r == CVN_OK) r = cvni_data_take(data, total, 3, 32, 32, 1);
    for (int i = 0; i < files && r == CVN_OK; i++) r = cvni_cifar_file(data, paths[i], 1, &done);
    if (r == CVN_OK && done != total)
        r = cvni_data_fail(data, CVN_ERROR_FILE, "a file changed while it was read");
    if (r == CVN_OK) cvni_data_measure(data);
    return r;
}
#endif

void cvn_data_free(cvn_data *data)
{
    if (!data) return;
    if (data->memory) CONVNET_FREE(data->memory);
    memset(data, 0, sizeof *data);
}

void cvn_data_normalize_as(cvn_data *data, const cvn_data *training)
{
    if (!data || !training) return;
    memcpy(data->mean, training->mean, sizeof data->mean);
    memcpy(data->std, training->std, sizeof data->std);
}

cvn_result cvn_data_split(cvn_data *data, cvn_data *tail, int count)
{
    if (!data || !tail || data == tail) return CVN_ERROR_ARGUMENT;
    if (count < 1 || count >= data->count) {
        snprintf(data->error, sizeof data->error,
                 "cvn_data_split: %d of %d samples leave nothing on one side", count, data->count);
        return CVN_ERROR_ARGUMENT;
    }
    *tail = *data;
    tail->memory = NULL;
    tail->count = count;
    data->count -= count;
    if (data->index) tail->index = data->index + data->count;
    else tail->first = data->first + data->count;
    return CVN_OK;
}

cvn_result cvn_data_statistics(const cvn_data *data, float *mean, float *std)
{
    if (!data || !mean || !std || !data->bytes == !data->images || data->count < 1 ||
        data->channels < 1 || data->height < 1 || data->width < 1)
        return CVN_ERROR_ARGUMENT;
    for (int c = 0; c < data->channels; c++) {
        if (data->bytes) cvni_byte_statistics(data, c, &mean[c], &std[c]);
        else cvni_float_statistics(data, c, &mean[c], &std[c]);
    }
    return CVN_OK;
}

cvn_result cvn_data_normalize(cvn_data *data)
{
    if (!data) return CVN_ERROR_ARGUMENT;
    if (!data->bytes || data->channels > CVN_MAX_CHANNELS ||
        cvn_data_statistics(data, data->mean, data->std) != CVN_OK) {
        snprintf(data->error, sizeof data->error,
                 "cvn_data_normalize: needs bytes [%d, %d, %d, %d] with 1 to %d channels%s",
                 data->count, data->channels, data->height, data->width, CVN_MAX_CHANNELS,
                 data->images ? "; float images are not normalised" : "");
        return CVN_ERROR_ARGUMENT;
    }
    return CVN_OK;
}

/* ---- views: folds, stratified splits, balanced sampling ---- */

#define CVNI_MAX_CLASSES 1048576            /* of stratified and balanced sets: limits memory */

enum { CVNI_SHUFFLE_FOLD = 1, CVNI_SHUFFLE_STRATIFIED = 2, CVNI_SHUFFLE_BALANCED = 3 };

/* Fisher and Yates with the next words of r. */
static void cvni_shuffle_ints(int *x, int n, cvni_rng *r)
{
    for (int i = n - 1; i > 0; i--) {
        const int j = (int)cvni_below(r, (uint32_t)i + 1);
        const int t = x[i];
        x[i] = x[j];
        x[j] = t;
    }
}

static int *cvni_take_ints(size_t n)
{
    const size_t bytes = cvni_mul_size(n, sizeof(int));
    return bytes == SIZE_MAX ? NULL : (int *)CONVNET_MALLOC(bytes);
}

/* A split failed: both results are empty sets with the text. */
CVNI_PRINTF(4, 5)
static cvn_result cvni_split_fail(cvn_data *train, cvn_data *valid, cvn_result result,
                                  const char *format, ...)
{
    va_list args;
    memset(train, 0, sizeof *train);
    memset(valid, 0, sizeof *valid);
    va_start(args, format);
    vsnprintf(train->error, sizeof train->error, format, args);
    va_end(args);
    memcpy(valid->error, train->error, sizeof valid->error);
    return result;
}

static cvn_result cvni_split_check(const cvn_data *data, cvn_data *train, cvn_data *valid,
                                   const char *call)
{
    if (!train || !valid || train == valid || data == train || data == valid)
        return CVN_ERROR_ARGUMENT;
    if (!data || data->count < 2)
        return cvni_split_fail(train, valid, CVN_ERROR_ARGUMENT,
                               "%s: %d samples cannot be split", call, data ? data->count : 0);
    return CVN_OK;
}

/* The samples with part[i] == which, `count` of them, as a view. */
static int cvni_make_view(const cvn_data *data, const int *part, int which, int count,
                          cvn_data *view)
{
    int *index = cvni_take_ints((size_t)count);
    int n = 0;
    if (!index) return 0;
    for (int i = 0; i < data->count; i++)
        if (part[i] == which) index[n++] = data->index ? data->index[i] : i;
    *view = *data;
    view->memory = index;
    view->index = index;
    view->count = count;
    view->error[0] = 0;
    return 1;
}

/* Both views of a split; part[i] is 1 for the `count` samples of valid. Gives part back. */
static cvn_result cvni_make_views(const cvn_data *data, int *part, int count, cvn_data *train,
                                  cvn_data *valid)
{
    int done = cvni_make_view(data, part, 0, data->count - count, train);
    if (done && !cvni_make_view(data, part, 1, count, valid)) {
        cvn_data_free(train);
        done = 0;
    }
    CONVNET_FREE(part);
    if (done) return CVN_OK;
    return cvni_split_fail(train, valid, CVN_ERROR_MEMORY, "no memory for views of %d samples",
                           data->count);
}

cvn_result cvn_data_fold(const cvn_data *data, int folds, int fold, uint64_t seed, cvn_data *train,
                         cvn_data *valid)
{
    cvni_rng r = cvni_rng_start(seed, CVNI_STREAM_SHUFFLE, 0, CVNI_SHUFFLE_FOLD);
    const cvn_result result = cvni_split_check(data, train, valid, "cvn_data_fold");
    int n, begin, end;
    int *part, *order;
    if (result != CVN_OK) return result;
    n = data->count;
    if (folds < 2 || folds > n || fold < 0 || fold >= folds)
        return cvni_split_fail(train, valid, CVN_ERROR_ARGUMENT,
                               "cvn_data_fold: fold %d of %d; 2 to %d folds of %d samples are "
                               "possible, counted from 0", fold, folds, n, n);
    part = cvni_take_ints(cvni_mul_size(2, (size_t)n));
    if (!part)
        return cvni_split_fail(train, valid, CVN_ERROR_MEMORY,
                               "cvn_data_fold: no memory for the order of %d samples", n);
    order = part + n;
    for (int i = 0; i < n; i++) order[i] = i;
    cvni_shuffle_ints(order, n, &r);
    begin = (int)((int64_t)n * fold / folds);
    end = (int)((int64_t)n * (fold + 1) / folds);
    for (int i = 0; i < n; i++) part[order[i]] = i >= begin && i < end;
    return cvni_make_views(data, part, end - begin, train, valid);
}

/* Largest label of the set + 1; -1 when there are none, or one is CVNI_MAX_CLASSES or more. */
static int cvni_data_classes(const cvn_data *data)
{
    int classes = 0;
    for (int i = 0; data->labels && i < data->count; i++) {
        const int label = data->labels[cvni_data_number(data, i)];
        if (label >= CVNI_MAX_CLASSES) return -1;
        classes = cvni_max(classes, label + 1);
    }
    return classes > 0 ? classes : -1;
}

/* Sorts the samples by class and shuffles each class: those of class c are members[start[c] ..
 * start[c + 1]), start having classes + 1 elements. Negative labels are left out. */
static void cvni_class_members(const cvn_data *data, int classes, cvni_rng *r, int *start,
                               int *members)
{
    for (int c = 0; c <= classes; c++) start[c] = 0;
    for (int i = 0; i < data->count; i++) {
        const int label = data->labels[cvni_data_number(data, i)];
        if (label >= 0) start[label + 1]++;
    }
    for (int c = 0; c < classes; c++) start[c + 1] += start[c];
    for (int i = 0; i < data->count; i++) {
        const int label = data->labels[cvni_data_number(data, i)];
        if (label >= 0) members[start[label]++] = i;    /* now it is the end of the class */
    }
    for (int c = classes; c > 0; c--) start[c] = start[c - 1];
    start[0] = 0;
    for (int c = 0; c < classes; c++)
        cvni_shuffle_ints(members + start[c], start[c + 1] - start[c], r);
}

/* quota[c] = members of class c in valid, `count` in all: count[c]*share rounded down, and one more
 * for the largest remainders, of equal ones for the first. */
static void cvni_quotas(const int *start, int classes, double share, int count, int *quota)
{
    int given = 0;
    for (int c = 0; c < classes; c++) {
        quota[c] = (int)((start[c + 1] - start[c]) * share);
        given += quota[c];
    }
    for (; given < count; given++) {
        double most = -1;
        int best = 0;
        for (int c = 0; c < classes; c++) {
            const int members = start[c + 1] - start[c];
            if (quota[c] < members && members * share - quota[c] > most) {
                most = members * share - quota[c];
                best = c;
            }
        }
        quota[best]++;
    }
}

cvn_result cvn_data_split_stratified(const cvn_data *data, double share, uint64_t seed,
                                     cvn_data *train, cvn_data *valid)
{
    cvni_rng r = cvni_rng_start(seed, CVNI_STREAM_SHUFFLE, 0, CVNI_SHUFFLE_STRATIFIED);
    const cvn_result result = cvni_split_check(data, train, valid, "cvn_data_split_stratified");
    int n, count, classes;
    int *part, *members, *start, *quota;
    if (result != CVN_OK) return result;
    n = data->count;
    count = share > 0 && share < 1 ? (int)(n * share + 0.5) : 0;
    if (count < 1 || count >= n)
        return cvni_split_fail(train, valid, CVN_ERROR_ARGUMENT,
                               "cvn_data_split_stratified: a share of %g of %d samples leaves "
                               "nothing on one side", share, n);
    classes = cvni_data_classes(data);
    for (int i = 0; i < n && classes > 0; i++)
        if (data->labels[cvni_data_number(data, i)] < 0) classes = -1;
    if (classes < 0)
        return cvni_split_fail(train, valid, CVN_ERROR_ARGUMENT,
                               "cvn_data_split_stratified: needs a label from 0 to %d for each "
                               "sample", CVNI_MAX_CLASSES - 1);
    part = cvni_take_ints(cvni_add_size(cvni_mul_size(2, (size_t)n), 2 * (size_t)classes + 1));
    if (!part)
        return cvni_split_fail(train, valid, CVN_ERROR_MEMORY,
                               "cvn_data_split_stratified: no memory for %d samples", n);
    members = part + n;
    start = members + n;
    quota = start + classes + 1;
    cvni_class_members(data, classes, &r, start, members);
    cvni_quotas(start, classes, share, count, quota);
    for (int c = 0; c < classes; c++)
        for (int i = start[c]; i < start[c + 1]; i++) part[members[i]] = i - start[c] < quota[c];
    return cvni_make_views(data, part, count, train, valid);
}

cvn_result cvn_data_class_counts(const cvn_data *data, int *counts, int classes)
{
    if (!data || !data->labels || !counts || classes < 1 || data->count < 0)
        return CVN_ERROR_ARGUMENT;
    for (int c = 0; c < classes; c++) counts[c] = 0;
    for (int i = 0; i < data->count; i++) {
        const int label = data->labels[cvni_data_number(data, i)];
        if (label >= 0 && label < classes) counts[label]++;
    }
    return CVN_OK;
}

/* Ints of work that cvni_balanced_order needs. */
static size_t cvni_balanced_work(int count, int classes)
{
    return cvni_add_size((size_t)count, 3 * (size_t)classes + 1);
}

/* The order of cvn_data_balanced_order in given memory; classes from cvni_data_classes, not -1. */
static void cvni_balanced_order(const cvn_data *data, int classes, uint64_t seed, uint64_t epoch,
                                int *order, int *work)
{
    cvni_rng r = cvni_rng_start(seed, CVNI_STREAM_SHUFFLE, epoch, CVNI_SHUFFLE_BALANCED);
    int *members = work;
    int *start = members + data->count;
    int *next = start + classes + 1;        /* member of each class to come */
    int *round = next + classes;            /* the classes that occur */
    int n = 0;
    cvni_class_members(data, classes, &r, start, members);
    for (int c = 0; c < classes; c++) {
        next[c] = start[c];
        if (start[c + 1] > start[c]) round[n++] = c;
    }
    for (int i = 0; i < data->count; i++) {
        const int place = i % n;
        int c;
        if (place == 0) cvni_shuffle_ints(round, n, &r);
        c = round[place];
        order[i] = members[next[c]++];
        if (next[c] == start[c + 1]) next[c] = start[c];
    }
}

cvn_result cvn_data_balanced_order(const cvn_data *data, uint64_t seed, uint64_t epoch, int *order)
{
    int classes;
    int *work;
    if (!data || !order || data->count < 1) return CVN_ERROR_ARGUMENT;
    classes = cvni_data_classes(data);
    if (classes < 0) return CVN_ERROR_ARGUMENT;
    work = cvni_take_ints(cvni_balanced_work(data->count, classes));
    if (!work) return CVN_ERROR_MEMORY;
    cvni_balanced_order(data, classes, seed, epoch, order, work);
    CONVNET_FREE(work);
    return CVN_OK;
}

/* The one place of the formula, so that all ways to a tensor give the same bits. */
static float cvni_normalized(float value, float mean, float std)
{
    return (value - mean) / (std != 0 ? std : 1.0f);
}

/* table[b] = (b/255 - mean)/std */
static void cvni_byte_table(float mean, float std, float table[256])
{
    for (int b = 0; b < 256; b++) table[b] = cvni_normalized((float)b / 255.0f, mean, std);
}

/* A std of 0 stands for 1; swap_rb does nothing below 3 channels.
 * errors   CVN_ERROR_ARGUMENT for NULL, sizes below 1, more than CONVNET_MAX_ELEMENTS elements */
cvn_result cvn_image_to_tensor(const unsigned char *pixels, int height, int width, int channels,
                               const float *mean, const float *std, int swap_rb, float *out)
{
    size_t plane, elements;
    if (!pixels || !out || height < 1 || width < 1 || channels < 1) return CVN_ERROR_ARGUMENT;
    plane = cvni_mul_size((size_t)height, (size_t)width);
    elements = cvni_mul_size(plane, (size_t)channels);
    if (elements > (size_t)CONVNET_MAX_ELEMENTS) return CVN_ERROR_ARGUMENT;
    for (int c = 0; c < channels; c++) {
        const unsigned char *p = pixels + (swap_rb && channels >= 3 && c < 3 ? 2 - c : c);
        float *y = out + (size_t)c * plane;
        float table[256];
        cvni_byte_table(mean ? mean[c] : 0.0f, std ? std[c] : 1.0f, table);
        for (size_t i = 0; i < plane; i++) y[i] = table[p[i * (size_t)channels]];
    }
    return CVN_OK;
}

/* ---- the batch that a net is given ---- */

/* One image [channels, height, width], as bytes or as floats. */
typedef struct cvni_image {
    const unsigned char *bytes;             /* or */
    const float *floats;
    int channels, height, width;
} cvni_image;

/* >>augment */
static void cvni_augment(const cvn_augment *a, uint64_t seed, uint64_t epoch, uint32_t sample,
                         const cvni_image *in, float *out);
static int cvni_augment_valid(const cvn_augment *a);

/* Which samples to gather, and for what. */
typedef struct cvni_batch {
    const int *index;                       /* [n]; NULL: first, first + 1, ..., first + n - 1 */
    int first, n;
    int *work;                              /* room for n ints; used only for cvn_data.fill */
    int training;                           /* augment; also told to cvn_data.fill */
    uint64_t seed, epoch;                   /* of the augmentation */
} cvni_batch;

typedef struct cvni_gather_job {
    const cvni_batch *batch;
    const cvn_data *data;
    const unsigned char *from;              /* rows of row_bytes: */
    size_t row_bytes;
    void *to;
    int channels, height, width;            /* of an image */
    float table[CVN_MAX_CHANNELS][256];     /* normalised bytes */
} cvni_gather_job;

/* Place of sample i of the batch in the arrays of the set. */
static size_t cvni_sample(const cvni_gather_job *g, int i)
{
    return cvni_data_number(g->data, g->batch->index ? g->batch->index[i] : g->batch->first + i);
}

static void cvni_gather_rows(void *context, int begin, int end, int worker)
{
    const cvni_gather_job *g = (const cvni_gather_job *)context;
    (void)worker;
    for (int i = begin; i < end; i++)
        memcpy((unsigned char *)g->to + (size_t)i * g->row_bytes,
               g->from + cvni_sample(g, i) * g->row_bytes, g->row_bytes);
}

static void cvni_gather_bytes(void *context, int begin, int end, int worker)
{
    const cvni_gather_job *g = (const cvni_gather_job *)context;
    const size_t plane = (size_t)g->height * (size_t)g->width;
    (void)worker;
    for (int i = begin; i < end; i++) {
        const unsigned char *x = g->from + cvni_sample(g, i) * g->row_bytes;
        float *y = (float *)g->to + (size_t)i * g->row_bytes;       /* a byte becomes a float */
        for (int c = 0; c < g->channels; c++, x += plane, y += plane)
            for (size_t j = 0; j < plane; j++) y[j] = g->table[c][x[j]];
    }
}

static void cvni_gather_augmented(void *context, int begin, int end, int worker)
{
    const cvni_gather_job *g = (const cvni_gather_job *)context;
    const cvni_batch *b = g->batch;
    const size_t plane = (size_t)g->height * (size_t)g->width;
    const size_t elements = plane * (size_t)g->channels;
    cvni_image in;
    (void)worker;
    in.channels = g->channels;
    in.height = g->height;
    in.width = g->width;
    for (int i = begin; i < end; i++) {
        const size_t s = cvni_sample(g, i);
        float *y = (float *)g->to + (size_t)i * elements;
        in.bytes = g->data->bytes ? g->data->bytes + s * elements : NULL;
        in.floats = g->data->bytes ? NULL : g->data->images + s * elements;
        cvni_augment(g->data->augment, b->seed, b->epoch, (uint32_t)s, &in, y);
        for (int c = 0; in.bytes && c < g->channels; c++) {
            const float mean = g->data->mean[c];
            const float std = g->data->std[c];
            float *p = y + (size_t)c * plane;
            for (size_t j = 0; j < plane; j++) p[j] = cvni_normalized(p[j], mean, std);
        }
    }
}

/* Channels, height and width of the images that the input l takes from data; 0 when they have
 * none. */
static int cvni_image_size(const cvn_data *data, const cvni_layer *l, cvni_gather_job *g)
{
    const int own = data->channels > 0 && data->height > 0 && data->width > 0;
    const size_t plane = own ? cvni_mul_size((size_t)data->height, (size_t)data->width) : 0;
    if (l->shape.rank == 4) {
        g->channels = l->shape.dim[1];
        g->height = l->shape.dim[2];
        g->width = l->shape.dim[3];
        return 1;
    }
    g->channels = data->channels;
    g->height = data->height;
    g->width = data->width;
    return own && cvni_mul_size(plane, (size_t)data->channels) == cvni_sample_elements(l->shape);
}

/* The images of a batch into the first float input. */
static void cvni_gather_images(cvn_net *net, cvni_layer *l, cvni_gather_job *g)
{
    const cvn_data *data = g->data;
    const size_t elements = cvni_sample_elements(l->shape);
    const double work = (double)elements * g->batch->n;
    const int images = cvni_image_size(data, l, g);
    g->to = l->y;
    if (g->batch->training && data->augment && images) {
        const int slow = data->augment->noise > 0 || data->augment->elastic > 0;
        cvni_parallel_for(net, g->batch->n, work * (slow ? 60 : 15), cvni_gather_augmented,
                          g);
    } else if (data->bytes) {
        g->from = data->bytes;
        g->row_bytes = elements;
        for (int c = 0; c < data->channels; c++)
            cvni_byte_table(data->mean[c], data->std[c], g->table[c]);
        cvni_parallel_for(net, g->batch->n, work * 2, cvni_gather_bytes, g);
    } else {
        g->from = (const unsigned char *)data->images;
        g->row_bytes = elements * sizeof(float);
        cvni_parallel_for(net, g->batch->n, work, cvni_gather_rows, g);
    }
}

static cvn_result cvni_gather_fill(cvn_net *net, const cvn_data *data, const cvni_batch *batch)
{
    cvn_result r;
    for (int i = 0; i < batch->n; i++)
        batch->work[i] = (int)cvni_data_number(data, batch->index ? batch->index[i]
                                                                  : batch->first + i);
    net->message[0] = 0;                    /* what is there afterwards is the callback's own
                                             * trouble */
    r = data->fill(data->user, net, batch->work, batch->n, batch->training);
    if (r != CVN_OK) {
        if (r > 0) r = CVN_ERROR_STATE;
        return net->message[0] ? r
                               : cvni_fail(net, r, "cvn_data.fill returned %s", cvn_result_name(r));
    }
    if (net->batch != batch->n)
        return cvni_fail(net, CVN_ERROR_STATE, "cvn_data.fill was asked for %d samples and set %d",
                         batch->n, net->batch);
    return CVN_OK;
}

/* The weights of a batch; a plan without losses has no room for them. */
static void cvni_gather_weights(cvn_net *net, const cvn_data *data, const cvni_batch *batch)
{
    if (!data->weights || !net->sample_weights) return;
    for (int i = 0; i < batch->n; i++) {
        const int s = batch->index ? batch->index[i] : batch->first + i;
        net->sample_weights[i] = data->weights[cvni_data_number(data, s)];
    }
    net->weighted = batch->n;
}

/* Gives all inputs of a net the samples of a batch: bytes normalised, training images augmented,
 * and their weights, if the set has some (only those weigh: weights set before are forgotten).
 * data has passed cvni_check_data, the samples exist. Takes no memory.
 * errors   what cvni_set_batch or cvn_data.fill return */
static cvn_result cvni_gather(cvn_net *net, const cvn_data *data, const cvni_batch *batch)
{
    cvni_gather_job g;
    int images_done = 0;
    cvn_result r;
    net->weighted = net->mixed = 0;
    r = data->fill ? cvni_gather_fill(net, data, batch) : cvni_set_batch(net, batch->n);
    if (r != CVN_OK) return r;
    cvni_gather_weights(net, data, batch);
    if (data->fill) return CVN_OK;
    memset(&g, 0, sizeof g);
    g.batch = batch;
    g.data = data;
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        const void *from;
        if (!(l->op->flags & CVNI_SOURCE) || !l->y) continue;
        l->filled = batch->n;
        if (!l->is_int && l->op != &cvni_op_target) {
            if (!images_done) cvni_gather_images(net, l, &g);
            images_done = 1;
            continue;
        }
        from = l->is_int ? (const void *)data->labels : (const void *)data->targets;
        if (!from) continue;
        g.from = (const unsigned char *)from;
        g.row_bytes = cvni_batch_elements(l) * (l->is_int ? sizeof(int) : sizeof(float));
        g.to = l->y;
        cvni_parallel_for(net, batch->n, (double)batch->n * (double)g.row_bytes / 4,
                          cvni_gather_rows, &g);
    }
    return CVN_OK;
}

/* The images of a set against the input that takes them. */
static cvn_result cvni_check_images(cvn_net *net, const cvn_data *data, const cvni_layer *l)
{
    char text[96];
    cvni_gather_job size;
    const int images = cvni_image_size(data, l, &size);
    cvni_shape_text(l->shape, text);
    if (!data->images && !data->bytes)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "the set has no images, bytes or fill for the input '%s' %s", l->name,
                         text);
    if (data->images && data->bytes)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "the set has images and bytes: set one of them to NULL");
    if (data->bytes) {
        if (data->channels < 1 || data->channels > CVN_MAX_CHANNELS)
            return cvni_fail(net, CVN_ERROR_ARGUMENT,
                             "the set has bytes with %d channels, 1 to %d are possible: "
                             "use cvn_data.images or cvn_data.fill",
                             data->channels, CVN_MAX_CHANNELS);
        if (!images || size.channels != data->channels || size.height != data->height ||
            size.width != data->width)
            return cvni_fail(net, CVN_ERROR_SHAPE,
                             "the set has images [%d, %d, %d], the input '%s' takes %s: "
                             "channels, height, width must agree",
                             data->channels, data->height, data->width, l->name, text);
    }
    if (data->augment && !images)
        return cvni_fail(net, CVN_ERROR_SHAPE,
                         "augmentation needs images, the input '%s' takes %s: set channels, "
                         "height and width of the set",
                         l->name, text);
    if (data->augment && !cvni_augment_valid(data->augment))
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "augmentation: values must be finite, not negative, scale below 1; "
                         "the limits stand at each field of cvn_augment");
    return CVN_OK;
}

/* Whether a set has what the inputs of a net need; once, before it is gathered from.
 * errors   CVN_ERROR_ARGUMENT: something is missing; CVN_ERROR_SHAPE: it does not fit */
static cvn_result cvni_check_data(cvn_net *net, const cvn_data *data)
{
    const cvni_layer *image = NULL;
    size_t elements[2] = { 0, 0 };          /* of a sample of the label inputs, of the targets */
    if (!data) return cvni_fail(net, CVN_ERROR_ARGUMENT, "the data set is NULL");
    if (data->count < 1 || data->first < 0 || data->count > INT_MAX - data->first)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "the data set has %d samples from number %d on",
                         data->count, data->first);
    for (int i = 0; data->index && i < data->count; i++)
        if (data->index[i] < 0 || data->index[i] > INT_MAX - data->first)
            return cvni_fail(net, CVN_ERROR_ARGUMENT,
                             "the data set has the index %d for its sample %d, from number %d on",
                             data->index[i], i, data->first);
    if (data->fill) return CVN_OK;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const int target = l->op == &cvni_op_target;
        if (!(l->op->flags & CVNI_SOURCE) || !l->y) continue;
        if (!l->is_int && !target) {
            cvn_result r;
            if (image)
                return cvni_fail(net, CVN_ERROR_ARGUMENT,
                                 "the net has two inputs, '%s' and '%s': use cvn_data.fill",
                                 image->name, l->name);
            image = l;
            r = cvni_check_images(net, data, l);
            if (r != CVN_OK) return r;
            continue;
        }
        if (net->mode != CVN_TRAIN && !l->place.predict) continue;
        if (target ? !data->targets : !data->labels)
            return cvni_fail(net, CVN_ERROR_ARGUMENT, "the set has no %s for the input '%s'",
                             target ? "targets" : "labels", l->name);
        if (elements[target] && elements[target] != cvni_batch_elements(l))
            return cvni_fail(net, CVN_ERROR_SHAPE,
                             "the net has several inputs for %s, of different sizes: use "
                             "cvn_data.fill",
                             target ? "targets" : "labels");
        elements[target] = cvni_batch_elements(l);
    }
    return CVN_OK;
}

/* ---- crops at prediction ---- */

/* Half of d, halves rounded to the even number: Python's round, by which torchvision finds the
 * centre. */
static int cvni_half_even(int d) { return d / 2 + (d % 4 == 3); }

/* Crop number k of an image [C, height, width] as the input takes it, of size h x w: 0 to 3 the
 * corners (top left, top right, bottom left, bottom right), 4 the centre, then those of the
 * mirrored image. */
static void cvni_crop(const float *image, int height, int width, const cvn_shape *s, int k,
                      float *out)
{
    const int h = s->dim[2];
    const int w = s->dim[3];
    const int corner = k % 5;
    const int mirrored = k >= 5;
    const int top = corner == 4 ? cvni_half_even(height - h) : corner / 2 * (height - h);
    const int from = corner == 4 ? cvni_half_even(width - w) : corner % 2 * (width - w);
    const int left = mirrored ? width - w - from : from;
    for (int c = 0; c < s->dim[1]; c++) {
        const float *plane = image + (size_t)c * (size_t)height * (size_t)width;
        for (int y = 0; y < h; y++, out += w) {
            const float *row = plane + (size_t)(top + y) * (size_t)width + left;
            if (mirrored) for (int x = 0; x < w; x++) out[x] = row[w - 1 - x];
            else memcpy(out, row, (size_t)w * sizeof *out);
        }
    }
}

/* What cvn_predict_crops cannot work with. */
static cvn_result cvni_check_crops(cvn_net *net, const float *images, int n, int height, int width,
                                   int crops, const float *out)
{
    const cvni_layer *in = cvni_first_input(net);
    const cvni_layer *y = &net->layers[net->output];
    char text[96];
    if (!images || !out || n < 0 || !in || !in->y || y->per_batch)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_predict_crops: needs images, room for the result and a net with an "
                         "input");
    if (crops != 1 && crops != 5 && crops != 10)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_predict_crops: %d crops; 1, 5 or 10 are "
                         "possible", crops);
    cvni_shape_text(in->shape, text);
    if (in->shape.rank != 4 || height < in->shape.dim[2] || width < in->shape.dim[3] ||
        cvni_mul_size((size_t)height, (size_t)width) > (size_t)CONVNET_MAX_ELEMENTS)
        return cvni_fail(net, CVN_ERROR_SHAPE,
                         "cvn_predict_crops: images of %d x %d for the input '%s' %s: they must be "
                         "as large as it or larger", height, width, in->name, text);
    return CVN_OK;
}

cvn_result cvn_predict_crops(cvn_net *net, const float *images, int n, int height, int width,
                             int crops, float *out)
{
    cvn_result r = cvni_needs_build(net, "cvn_predict_crops", 0);
    cvni_layer *in;
    int image = 0, k = 0;                   /* crop k of that image comes next */
    if (r == CVN_OK) r = cvni_check_crops(net, images, n, height, width, crops, out);
    if (r != CVN_OK) return r;
    in = cvni_first_input(net);
    while (image < n) {
        const int64_t left = (int64_t)(n - image) * crops - k;
        const int now = left < net->max_batch ? (int)left : net->max_batch;
        const size_t elements = cvni_sample_elements(in->shape);
        const size_t plane = (size_t)height * (size_t)width;
        const cvni_layer *y = &net->layers[net->output];
        size_t results;
        r = cvni_set_batch(net, now);
        if (r != CVN_OK) return r;
        for (int i = 0; i < now; i++) {
            const size_t at = (size_t)image + (size_t)((k + i) / crops);
            cvni_crop(images + at * (size_t)in->shape.dim[1] * plane, height, width, &in->shape,
                      (crops == 1 ? 4 : (k + i) % crops), in->y + (size_t)i * elements);
        }
        in->filled = now;
        net->mixed = 0;
        r = cvni_run(net, 0, 0);
        if (r != CVN_OK) return r;
        results = cvni_elements(y->shape) / (size_t)now;
        for (int i = 0; i < now; i++) {
            float *sum = out + (size_t)image * results;
            const float *x = y->y + (size_t)i * results;
            for (size_t j = 0; j < results; j++) sum[j] = (k ? sum[j] : 0) + x[j];
            k = (k + 1) % crops;
            if (!k) for (size_t j = 0; j < results; j++) sum[j] /= (float)crops;
            image += k == 0;
        }
    }
    return CVN_OK;
}

CVNI_COLD_END

/* ================================================================================================
 * >>augment   changed copies of training images
 * ==============================================================================================
 *   Draws of sample s in epoch e: the four words w of cvni_random4(seed, CVNI_STREAM_AUGMENT, e, s,
 *   block), the same words for the same purpose whatever is switched on; u = floor(w/2^8)/2^24,
 *   below(w, n) = floor(w*n/2^32):
 *     block 0   flip when w[0] >= 2^31; flip_vertical when w[1] >= 2^31; dy = below(w[2], 2*shift +
 *               1) - shift, dx the same of w[3]
 *     block 1   angle = rotate*(2u - 1) degrees; factor = 1 + scale*(2u - 1); f = 1 + contrast*(2u
 *               - 1); b = brightness*(2u - 1)
 *     block 2   cutout's centre: row below(w[0], H), column below(w[1], W)
 *     block 3+i noise of elements 4i .. 4i+3, by Box and Muller from words 0, 1 (cosine, sine) and
 *     2, 3
 *     block 2^30+i      erase_noise of elements 4i .. 4i+3: u of the four words
 *     block 2^31        phi = shear*(2u - 1) degrees; tx = W*translate*(2u - 1), ty the same with
 *                       H; word 3: erase when u < erase
 *     block 2^31+1      k = 1 + saturation*(2u - 1); turn = hue*(2u - 1)
 *     block 2^31+16+t   crop, attempt t = 0..9: area = H*W*(min + (max - min)*u), ratio =
 *                       r^(2u - 1), w = round(sqrt(area*ratio)), h = round(sqrt(area/ratio)). The
 *                       first one with 1 <= w <= W and 1 <= h <= H is taken: top = below(w[2], H -
 *                       h + 1), left = below(w[3], W - w + 1). When none fits: the whole image, or
 *                       what is left of it in the middle when W/H < 1/r is mended by h =
 *                       round(W*r), W/H > r by w = round(H*r); top = (H - h)/2 rounded down, left
 *                       likewise
 *     block 2^31+32+t   erase, attempt t = 0..9: area = H*W*(0.02 + 0.31*u), ratio =
 *                       0.3*11^u, h = round(sqrt(area*ratio)), w = round(sqrt(area/ratio)). The
 *                       first one with 1 <= w < W and 1 <= h < H is taken, top and left as above.
 *                       When none fits nothing is erased
 *     block 2^31+2^30+n elastic: node n, of dx from words 0, 1 (cosine), of dy the sine
 *   Then, in this order:
 *     geometry  with cx = (W-1)/2, cy = (H-1)/2, u = x - dx - tx - cx, v = y - dy - ty - cy,
 *               out[y][x] is the image at
 *                   sx = cx + ((cos(angle) - sin(angle)*tan(phi))*u
 *                              + (sin(angle) + cos(angle)*tan(phi))*v)/factor
 *                   sy = cy + (cos(angle)*v - sin(angle)*u)/factor
 *               with sx for flip replaced by W-1-sx, sy for flip_vertical by H-1-sy, then for crop
 *               sx by left + (sx + 1/2)*w/W - 1/2, sy by top + (sy + 1/2)*h/H - 1/2, then the
 *               elastic displacement added; bilinear between the four pixels around it, those
 *               outside the image being `fill`. With crop, places up to half a pixel outside the
 *               image are moved to its edge. Without rotate, scale, shear, translate, crop and
 *               elastic pixels are copied.
 *     elastic   uniform cubic B-splines over a grid of normal numbers n_ij, nodes g = sqrt(3)*sigma
 *               apart so that the spline, like the Gaussian of Simard, has the standard deviation
 *               sigma:
 *                   displacement(x, y) = elastic * 315/151 * sum_ij B(y/g - i) B(x/g - j) n_ij
 *               with i, j from -1 on: node n = (i + 1)*(floor((W-1)/g) + 4) + j + 1 (mod 2^30);
 *               151/315 is the integral of B^2. B(t) = 2/3 - t^2 + |t|^3/2 for |t| < 1, (2 -
 *               |t|)^3/6 for |t| < 2, else 0
 *     saturation and hue, with 3 channels   M, m = largest and smallest channel of a pixel;
 *               k limited to max(1, M/(M - m)); x = M - k*(M - x) for each channel. Then the
 *               hexagon's angle of the pixel, in turns, + turn; M and m stay
 *     contrast and brightness   x = m + f*(x - m) + b, m the mean of all elements of the image now;
 *                               no clamping
 *     noise     x += noise*normal
 *     erase     rows [top, top + h), columns [left, left + w) are `fill` or noise
 *     cutout    rows and columns [centre - cutout/2, centre - cutout/2 + cutout) inside the image
 *               are `fill`
 *   Byte images are bytes/255 meanwhile; their normalisation follows. In cvn_augment_image the
 *   epoch is k >> 32, the
 *   sample k & 0xffffffff.                                             tested: tests/test_data.c */

/* Blocks of random words that the newer draws take; noise ends below the first. */
#define CVNI_AUGMENT_ERASE_NOISE 0x40000000u
#define CVNI_AUGMENT_AFFINE 0x80000000u
#define CVNI_AUGMENT_COLOUR 0x80000001u
#define CVNI_AUGMENT_CROP 0x80000010u
#define CVNI_AUGMENT_ERASE 0x80000020u
#define CVNI_AUGMENT_ELASTIC 0xC0000000u

typedef struct cvni_box { int top, left, height, width; } cvni_box;

/* Which words an image's numbers come from. */
typedef struct cvni_augment_key {
    uint64_t seed, epoch;
    uint32_t sample;
} cvni_augment_key;

typedef struct cvni_augment_draw {
    int flip, flip_vertical, dy, dx;
    double cosine, sine;                    /* of the angle, divided by the factor */
    double shear, ty, tx;                   /* tangent; pixels */
    int cropped;
    cvni_box crop, erase;                   /* erase.height 0: none */
    float contrast, brightness, saturation, turn;
    int cut_y, cut_x;                       /* corner; may be outside */
} cvni_augment_draw;

/* Whether x is in [0, high]; false for NaN. */
static int cvni_within(float x, float high) { return x >= 0 && x <= high; }

static int cvni_augment_valid(const cvn_augment *a)
{
    const float most = a->crop_scale_max != 0 ? a->crop_scale_max : 1;
    if (a->shift < 0 || a->cutout < 0 || !cvni_at_least(a->rotate, 0) ||
        !cvni_at_least(a->scale, 0) || a->scale >= 1 || !cvni_at_least(a->brightness, 0) ||
        !cvni_at_least(a->contrast, 0) || !cvni_at_least(a->noise, 0) ||
        !(a->fill >= -FLT_MAX && a->fill <= FLT_MAX))
        return 0;
    if (!cvni_within(a->shear, 89.99f) || !cvni_at_least(a->translate, 0) ||
        !cvni_within(a->saturation, 1) || !cvni_within(a->hue, 0.5f) || !cvni_within(a->erase, 1) ||
        !cvni_at_least(a->elastic, 0) ||
        !(a->elastic_sigma == 0 || cvni_at_least(a->elastic_sigma, 1)))
        return 0;
    if (!cvni_within(a->crop_scale_min, most) || !cvni_within(most, 1) ||
        (a->crop_scale_max != 0 && a->crop_scale_min == 0))
        return 0;
    return a->crop_ratio == 0 || cvni_at_least(a->crop_ratio, 1);
}

static void cvni_augment_words(const cvni_augment_key *key, uint32_t block, uint32_t w[4])
{
    cvni_random4(key->seed, CVNI_STREAM_AUGMENT, key->epoch, key->sample, block, w);
}

/* Uniform in [-1, 1) */
static float cvni_plus_minus(uint32_t word) { return 2.0f * cvni_to_uniform(word) - 1.0f; }

static int cvni_word_below(uint32_t word, uint32_t n) { return (int)(((uint64_t)word * n) >> 32); }

/* Whole pixels in [-shift, shift]. */
static int cvni_draw_shift(uint32_t word, int shift)
{
    return (int)((int64_t)(((uint64_t)word * (2 * (uint64_t)shift + 1)) >> 32) - shift);
}

/* A box of the area and of the ratio `tall` of height to width, at a random place; 0 when it does
 * not fit into height x width. */
static int cvni_place_box(double area, double tall, int height, int width, const uint32_t w[4],
                          cvni_box *box)
{
    const double h = floor(sqrt(area * tall) + 0.5);
    const double v = floor(sqrt(area / tall) + 0.5);
    if (!(h >= 1 && v >= 1 && h <= height && v <= width)) return 0;
    box->height = (int)h;
    box->width = (int)v;
    box->top = cvni_word_below(w[2], (uint32_t)(height - box->height + 1));
    box->left = cvni_word_below(w[3], (uint32_t)(width - box->width + 1));
    return 1;
}

static cvni_box cvni_draw_crop(const cvn_augment *a, const cvni_augment_key *key, int height,
                               int width)
{
    const double least = (double)a->crop_scale_min;
    const double most = a->crop_scale_max != 0 ? (double)a->crop_scale_max : 1.0;
    const double ratio = a->crop_ratio != 0 ? (double)a->crop_ratio : 4.0 / 3.0;
    cvni_box box;
    for (uint32_t attempt = 0; attempt < 10; attempt++) {
        uint32_t w[4];
        double share, wide;
        cvni_augment_words(key, CVNI_AUGMENT_CROP + attempt, w);
        share = least + (most - least) * (double)cvni_to_uniform(w[0]);
        wide = pow(ratio, (double)cvni_plus_minus(w[1]));
        if (cvni_place_box(share * height * width, 1 / wide, height, width, w, &box)) return box;
    }
    box.height = (double)height > width * ratio ? (int)floor(width * ratio + 0.5) : height;
    box.width = (double)width > height * ratio ? (int)floor(height * ratio + 0.5) : width;
    box.top = (height - box.height) / 2;
    box.left = (width - box.width) / 2;
    return box;
}

static cvni_box cvni_draw_erase(const cvni_augment_key *key, int height, int width)
{
    cvni_box box = { 0, 0, 0, 0 };
    for (uint32_t attempt = 0; attempt < 10; attempt++) {
        uint32_t w[4];
        double share, tall;
        cvni_augment_words(key, CVNI_AUGMENT_ERASE + attempt, w);
        share = 0.02 + 0.31 * (double)cvni_to_uniform(w[0]);
        tall = 0.3 * pow(11.0, (double)cvni_to_uniform(w[1]));
        if (cvni_place_box(share * height * width, tall, height, width, w, &box) &&
            box.height < height && box.width < width)
            return box;
    }
    box.height = 0;
    return box;
}

/* What came later than the first three blocks. */
static void cvni_draw_more(const cvn_augment *a, const cvni_augment_key *key, int height, int width,
                           cvni_augment_draw *d)
{
    uint32_t w[4];
    int erase;
    cvni_augment_words(key, CVNI_AUGMENT_AFFINE, w);
    d->shear = tan((double)a->shear * (double)cvni_plus_minus(w[0]) *
                   (3.14159265358979324 / 180.0));
    d->tx = width * (double)a->translate * (double)cvni_plus_minus(w[1]);
    d->ty = height * (double)a->translate * (double)cvni_plus_minus(w[2]);
    erase = cvni_to_uniform(w[3]) < a->erase;
    cvni_augment_words(key, CVNI_AUGMENT_COLOUR, w);
    d->saturation = 1.0f + a->saturation * cvni_plus_minus(w[0]);
    d->turn = a->hue * cvni_plus_minus(w[1]);
    d->cropped = a->crop_scale_min > 0;
    if (d->cropped) d->crop = cvni_draw_crop(a, key, height, width);
    if (erase) d->erase = cvni_draw_erase(key, height, width);
}

static cvni_augment_draw cvni_draw_augment(const cvn_augment *a, const cvni_augment_key *key,
                                           int height, int width)
{
    cvni_augment_draw d;
    uint32_t w[4];
    double angle, factor;
    memset(&d, 0, sizeof d);
    cvni_augment_words(key, 0, w);
    d.flip = a->flip && w[0] >> 31;
    d.flip_vertical = a->flip_vertical && w[1] >> 31;
    d.dy = cvni_draw_shift(w[2], a->shift);
    d.dx = cvni_draw_shift(w[3], a->shift);
    cvni_augment_words(key, 1, w);
    angle = (double)a->rotate * (double)cvni_plus_minus(w[0]) * (3.14159265358979324 / 180.0);
    factor = 1.0 + (double)a->scale * (double)cvni_plus_minus(w[1]);
    d.cosine = cos(angle) / factor;
    d.sine = sin(angle) / factor;
    d.contrast = 1.0f + a->contrast * cvni_plus_minus(w[2]);
    d.brightness = a->brightness * cvni_plus_minus(w[3]);
    cvni_augment_words(key, 2, w);
    d.cut_y = cvni_word_below(w[0], (uint32_t)height) - a->cutout / 2;
    d.cut_x = cvni_word_below(w[1], (uint32_t)width) - a->cutout / 2;
    cvni_draw_more(a, key, height, width, &d);
    return d;
}

static void cvni_set_pixels(float *y, int n, float value)
{
    for (int i = 0; i < n; i++) y[i] = value;
}

/* n pixels from offset `at` on, forwards or, mirrored, backwards. */
static void cvni_copy_pixels(const cvni_image *in, size_t at, int n, int mirrored, float *y)
{
    if (in->bytes && mirrored) {
        for (int i = 0; i < n; i++) y[i] = (float)in->bytes[at - (size_t)i] / 255.0f;
    } else if (in->bytes) {
        for (int i = 0; i < n; i++) y[i] = (float)in->bytes[at + (size_t)i] / 255.0f;
    } else if (mirrored) {
        for (int i = 0; i < n; i++) y[i] = in->floats[at - (size_t)i];
    } else {
        memcpy(y, in->floats + at, (size_t)n * sizeof *y);
    }
}

/* Flip and shift: out[y][x] = in[y - dy][x - dx] or its mirror image; exact. */
static void cvni_shift_image(const cvni_augment_draw *d, float fill, const cvni_image *in,
                             float *out)
{
    const int w = in->width;
    const int h = in->height;
    const int dy = cvni_max(-h, cvni_min(h, d->dy));        /* further out nothing is left either */
    const int dx = cvni_max(-w, cvni_min(w, d->dx));
    const int begin = cvni_max(0, dx);                      /* columns [begin, end) are inside */
    const int end = w + cvni_min(0, dx);
    for (int c = 0; c < in->channels; c++) {
        for (int y = 0; y < h; y++, out += w) {
            const size_t plane = (size_t)c * (size_t)h * (size_t)w;
            const int row = d->flip_vertical ? h - 1 - (y - dy) : y - dy;
            const int column = d->flip ? w - 1 - (begin - dx) : begin - dx;
            if (row < 0 || row >= h || begin >= end) {
                cvni_set_pixels(out, w, fill);
                continue;
            }
            cvni_set_pixels(out, begin, fill);
            cvni_copy_pixels(in, plane + (size_t)row * (size_t)w + (size_t)column, end - begin,
                             d->flip, out + begin);
            cvni_set_pixels(out + end, w - end, fill);
        }
    }
}

/* One row of the warp: pixel x reads (sx + x*step_x, sy + x*step_y) of a plane, moved by the
 * displacement of that pixel where there is one. */
typedef struct cvni_warp {
    const cvni_image *in;
    size_t plane;                           /* offset of the channel */
    double sx, sy, step_x, step_y;
    const float *move_x, *move_y;           /* elastic displacement, of pixels [begin, end), or
                                             * NULL */
    int to_edge;                            /* half a pixel outside the image its edge is read */
    float outside;                          /* fill, in units of the source: of bytes where it has
                                             * them */
} cvni_warp;

static float cvni_warp_pixel(const cvni_image *in, size_t at)
{
    return in->bytes ? (float)in->bytes[at] : in->floats[at];
}

static float cvni_warp_pixel_or_fill(const cvni_warp *p, int y, int x)
{
    const int w = p->in->width;
    if (y < 0 || x < 0 || y >= p->in->height || x >= w) return p->outside;
    return cvni_warp_pixel(p->in, p->plane + (size_t)y * (size_t)w + (size_t)x);
}

static float cvni_warp_mix(float a, float b, float c, float d, float fy, float fx)
{
    const float top = a + fx * (b - a);
    const float bottom = c + fx * (d - c);
    return top + fy * (bottom - top);
}

/* Places in [-1/2, 0) and (size - 1, size - 1/2] go to the nearest pixel. */
static double cvni_to_edge(double s, int size)
{
    if (s < 0 && s >= -0.5) return 0;
    return s > size - 1 && s <= size - 0.5 ? size - 1 : s;
}

/* Pixels [begin, end) of the row wherever they read. */
static void cvni_warp_checked(const cvni_warp *p, int begin, int end, float *out)
{
    for (int x = begin; x < end; x++) {
        double sx = p->sx + x * p->step_x;
        double sy = p->sy + x * p->step_y;
        int x0, y0;
        if (p->move_x) {
            sx += (double)p->move_x[x - begin];
            sy += (double)p->move_y[x - begin];
        }
        if (p->to_edge) {
            sx = cvni_to_edge(sx, p->in->width);
            sy = cvni_to_edge(sy, p->in->height);
        }
        if (!(sx > -1 && sy > -1 && sx < p->in->width && sy < p->in->height)) {
            out[x] = p->outside;
            continue;
        }
        x0 = (int)(sx + 1) - 1;             /* floor, for sx > -1 */
        y0 = (int)(sy + 1) - 1;
        out[x] = cvni_warp_mix(cvni_warp_pixel_or_fill(p, y0, x0),
                               cvni_warp_pixel_or_fill(p, y0, x0 + 1),
                               cvni_warp_pixel_or_fill(p, y0 + 1, x0),
                               cvni_warp_pixel_or_fill(p, y0 + 1, x0 + 1), (float)(sy - y0),
                               (float)(sx - x0));
    }
}

/* Pixels [begin, end) of the row, all of which have their four neighbours inside. */
static void cvni_warp_inside(const cvni_warp *p, int begin, int end, float *out)
{
    const size_t w = (size_t)p->in->width;
    for (int x = begin; x < end; x++) {
        const double sx = p->sx + x * p->step_x;
        const double sy = p->sy + x * p->step_y;
        const int x0 = (int)sx;
        const int y0 = (int)sy;
        const size_t at = p->plane + (size_t)y0 * w + (size_t)x0;
        out[x] = cvni_warp_mix(cvni_warp_pixel(p->in, at), cvni_warp_pixel(p->in, at + 1),
                               cvni_warp_pixel(p->in, at + w), cvni_warp_pixel(p->in, at + w + 1),
                               (float)(sy - y0), (float)(sx - x0));
    }
}

/* Narrows [*begin, *end) to those x with 0 <= s + x*step < size - 1. The margin above is larger
 * than any rounding; below, -1e-12 still truncates to 0. */
static void cvni_warp_span(double s, double step, int size, int *begin, int *end)
{
    const double high = size - 1 - 1e-6;
    double first, last;
    if (step == 0) {
        if (s < 0 || s > high) *end = *begin;
        return;
    }
    first = step > 0 ? -s / step : (high - s) / step;
    last = step > 0 ? (high - s) / step : -s / step;
    if (first > *begin) *begin = first < *end ? (int)ceil(first) : *end;
    if (last < *end - 1) *end = last >= *begin ? (int)floor(last) + 1 : *begin;
}

/* Where the pixels of row y read. */
static void cvni_warp_row(const cvni_augment_draw *d, int y, cvni_warp *p)
{
    const int w = p->in->width;
    const int h = p->in->height;
    const double cx = 0.5 * (w - 1);
    const double cy = 0.5 * (h - 1);
    const double u = -(double)d->dx - d->tx - cx;
    const double v = (double)y - d->dy - d->ty - cy;
    p->step_x = d->cosine - d->sine * d->shear;
    p->step_y = -d->sine;
    p->sx = cx + p->step_x * u + (d->sine + d->cosine * d->shear) * v;
    p->sy = cy + d->cosine * v - d->sine * u;
    if (d->flip) {
        p->sx = w - 1 - p->sx;
        p->step_x = -p->step_x;
    }
    if (d->flip_vertical) {
        p->sy = h - 1 - p->sy;
        p->step_y = -p->step_y;
    }
    if (d->cropped) {
        const double zoom_x = (double)d->crop.width / w;
        const double zoom_y = (double)d->crop.height / h;
        p->sx = d->crop.left + (p->sx + 0.5) * zoom_x - 0.5;
        p->sy = d->crop.top + (p->sy + 0.5) * zoom_y - 0.5;
        p->step_x *= zoom_x;
        p->step_y *= zoom_y;
    }
}

static void cvni_warp_image(const cvni_augment_draw *d, cvni_warp *p, float *out)
{
    const int w = p->in->width;
    const int h = p->in->height;
    for (int c = 0; c < p->in->channels; c++) {
        p->plane = (size_t)c * (size_t)h * (size_t)w;
        for (int y = 0; y < h; y++, out += w) {
            int begin = 0, end = w;
            cvni_warp_row(d, y, p);
            cvni_warp_span(p->sx, p->step_x, w, &begin, &end);
            cvni_warp_span(p->sy, p->step_y, h, &begin, &end);
            cvni_warp_checked(p, 0, begin, out);
            cvni_warp_inside(p, begin, end, out);
            cvni_warp_checked(p, end, w, out);
        }
    }
}

/* ---- elastic displacement: tiles of the image, so that nodes are drawn once a tile ---- */

#define CVNI_ELASTIC_TILE 32
#define CVNI_ELASTIC_NODES 23               /* 31/sqrt(3) rounded up, 4 for a spline, 1 to spare */

typedef struct cvni_elastic {
    const cvni_augment_key *key;
    double amplitude, step;                 /* of the nodes, pixels */
    size_t columns;                         /* nodes in a row of the whole grid */
    float node_x[CVNI_ELASTIC_NODES][CVNI_ELASTIC_NODES];
    float node_y[CVNI_ELASTIC_NODES][CVNI_ELASTIC_NODES];
    float x[CVNI_ELASTIC_TILE][CVNI_ELASTIC_TILE];      /* the displacement */
    float y[CVNI_ELASTIC_TILE][CVNI_ELASTIC_TILE];
} cvni_elastic;

/* The four weights of a uniform cubic B-spline at t in [0, 1) of a cell. */
static void cvni_spline(double t, float b[4])
{
    const double s = 1 - t;
    b[0] = (float)(s * s * s / 6);
    b[1] = (float)(2.0 / 3.0 - t * t + 0.5 * t * t * t);
    b[2] = (float)(2.0 / 3.0 - s * s + 0.5 * s * s * s);
    b[3] = (float)(t * t * t / 6);
}

/* Draws the nodes [top, top + rows) x [left, left + columns), counted from the grid's first. */
static void cvni_elastic_nodes(cvni_elastic *e, int top, int rows, int left, int columns)
{
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            const size_t n = (size_t)(top + i) * e->columns + (size_t)(left + j);
            double radius, angle;
            uint32_t w[4];
            cvni_augment_words(e->key, CVNI_AUGMENT_ELASTIC + (uint32_t)(n & 0x3FFFFFFFu), w);
            radius = e->amplitude * sqrt(-2.0 * log(((double)w[0] + 1.0) / 4294967296.0));
            angle = 6.283185307179586 / 4294967296.0 * (double)w[1];
            e->node_x[i][j] = (float)(radius * cos(angle));
            e->node_y[i][j] = (float)(radius * sin(angle));
        }
    }
}

/* The displacement of pixels [top, bottom) x [left, right), a tile. */
static void cvni_elastic_tile(cvni_elastic *e, int top, int bottom, int left, int right)
{
    const int first_row = (int)(top / e->step);             /* node -1 of the formula is number 0 */
    const int first_column = (int)(left / e->step);
    const int columns = (int)((right - 1) / e->step) - first_column + 4;
    cvni_elastic_nodes(e, first_row, (int)((bottom - 1) / e->step) - first_row + 4, first_column,
                       columns);
    for (int y = top; y < bottom; y++) {
        const double t = y / e->step;
        const int i = (int)t - first_row;
        float sum_x[CVNI_ELASTIC_NODES], sum_y[CVNI_ELASTIC_NODES], b[4];
        cvni_spline(t - (int)t, b);
        for (int j = 0; j < columns; j++) {
            sum_x[j] = sum_y[j] = 0;
            for (int k = 0; k < 4; k++) {
                sum_x[j] += b[k] * e->node_x[i + k][j];
                sum_y[j] += b[k] * e->node_y[i + k][j];
            }
        }
        for (int x = left; x < right; x++) {
            const double s = x / e->step;
            const int j = (int)s - first_column;
            float move_x = 0, move_y = 0;
            cvni_spline(s - (int)s, b);
            for (int k = 0; k < 4; k++) {
                move_x += b[k] * sum_x[j + k];
                move_y += b[k] * sum_y[j + k];
            }
            e->x[y - top][x - left] = move_x;
            e->y[y - top][x - left] = move_y;
        }
    }
}

static void cvni_warp_elastic(const cvni_augment_draw *d, const cvn_augment *a,
                              const cvni_augment_key *key, cvni_warp *p, float *out)
{
    const int w = p->in->width;
    const int h = p->in->height;
    cvni_elastic e;
    e.key = key;
    e.amplitude = (double)a->elastic * (315.0 / 151.0);
    e.step = sqrt(3.0) * (a->elastic_sigma != 0 ? (double)a->elastic_sigma : 4.0);
    e.columns = (size_t)((w - 1) / e.step) + 4;
    for (int top = 0; top < h; top += CVNI_ELASTIC_TILE) {
        const int bottom = cvni_min(h - top, CVNI_ELASTIC_TILE) + top;
        for (int left = 0; left < w; left += CVNI_ELASTIC_TILE) {
            const int right = cvni_min(w - left, CVNI_ELASTIC_TILE) + left;
            cvni_elastic_tile(&e, top, bottom, left, right);
            for (int c = 0; c < p->in->channels; c++) {
                p->plane = (size_t)c * (size_t)h * (size_t)w;
                for (int y = top; y < bottom; y++) {
                    cvni_warp_row(d, y, p);
                    p->move_x = e.x[y - top];
                    p->move_y = e.y[y - top];
                    cvni_warp_checked(p, left, right, out + p->plane + (size_t)y * (size_t)w);
                }
            }
        }
    }
}

/* The geometry of a draw, by the one bilinear warp. */
static void cvni_warp_any(const cvni_augment_draw *d, const cvn_augment *a,
                          const cvni_augment_key *key, const cvni_image *in, float *out)
{
    const size_t n = (size_t)in->channels * (size_t)in->height * (size_t)in->width;
    cvni_warp p;
    memset(&p, 0, sizeof p);
    p.in = in;
    p.outside = in->bytes ? a->fill * 255.0f : a->fill;
    p.to_edge = d->cropped;
    if (a->elastic != 0) cvni_warp_elastic(d, a, key, &p, out);
    else cvni_warp_image(d, &p, out);
    for (size_t i = 0; in->bytes && i < n; i++) out[i] *= 1.0f / 255.0f;
}

/* Saturation and hue of the pixels of three planes. In the hexcone channel c of a pixel at the
 * angle a (in sixths of a turn) is M - (M - m)*clamp(min(t, 4 - t), 0, 1), t = (5 - 2c + a) mod
 * 6:  A. R. Smith, Color Gamut Transform Pairs, SIGGRAPH 1978. */
static void cvni_colour(float saturation, float turn, size_t plane, float *y)
{
    for (size_t i = 0; i < plane; i++) {
        const float r = y[i], g = y[i + plane], b = y[i + 2 * plane];
        const float top = r > g ? (r > b ? r : b) : (g > b ? g : b);
        const float bottom = r < g ? (r < b ? r : b) : (g < b ? g : b);
        const float span = top - bottom;
        float angle, chroma;
        if (!(span > 0)) continue;
        chroma = saturation * span;
        if (saturation > 1 && chroma > top) chroma = top > span ? top : span;
        if (top == r) angle = (g - b) / span;
        else angle = top == g ? 2 + (b - r) / span : 4 + (r - g) / span;
        angle += 6 * turn;
        for (int c = 0; c < 3; c++) {
            float t = (float)(5 - 2 * c) + angle;           /* in [-3, 13] */
            t -= t >= 12 ? 12.0f : t >= 6 ? 6.0f : t < 0 ? -6.0f : 0.0f;
            t = t < 4 - t ? t : 4 - t;
            y[i + (size_t)c * plane] = top - chroma * (t < 0 ? 0 : t > 1 ? 1 : t);
        }
    }
}

static void cvni_contrast_brightness(float contrast, float brightness, size_t n, float *y)
{
    double sum = 0;
    float mean;
    for (size_t i = 0; i < n; i++) sum += (double)y[i];
    mean = (float)(sum / (double)n);
    for (size_t i = 0; i < n; i++) y[i] = mean + contrast * (y[i] - mean) + brightness;
}

static void cvni_add_noise(float noise, const cvni_augment_key *key, size_t n, float *y)
{
    for (size_t i = 0; i < n; i += 4) {
        uint32_t w[4];
        float normal[4];
        cvni_augment_words(key, (uint32_t)(3 + i / 4), w);
        for (int j = 0; j < 4; j += 2) {
            const double radius = sqrt(-2.0 * log(((double)w[j] + 1.0) / 4294967296.0));
            const double angle = 6.283185307179586 / 4294967296.0 * (double)w[j + 1];
            normal[j] = (float)(radius * cos(angle));
            normal[j + 1] = (float)(radius * sin(angle));
        }
        for (size_t j = 0; j < 4 && i + j < n; j++) y[i + j] += noise * normal[j];
    }
}

/* Sides may reach over the edge, where the square is cut off. */
static void cvni_cut_out(const cvni_augment_draw *d, int side, float fill, const cvni_image *in,
                         float *out)
{
    const int top = cvni_max(0, d->cut_y);
    const int left = cvni_max(0, d->cut_x);
    const int bottom = (int64_t)d->cut_y + side < in->height ? d->cut_y + side : in->height;
    const int right = (int64_t)d->cut_x + side < in->width ? d->cut_x + side : in->width;
    for (int c = 0; c < in->channels; c++, out += (size_t)in->height * (size_t)in->width)
        for (int y = top; y < bottom; y++)
            cvni_set_pixels(out + (size_t)y * (size_t)in->width + left, right - left, fill);
}

static void cvni_erase(const cvni_box *box, const cvn_augment *a, const cvni_augment_key *key,
                       const cvni_image *in, float *out)
{
    for (int c = 0; c < in->channels; c++) {
        for (int y = box->top; y < box->top + box->height; y++) {
            const size_t begin = ((size_t)c * (size_t)in->height + (size_t)y) * (size_t)in->width +
                                 (size_t)box->left;
            uint32_t w[4];
            if (!a->erase_noise) {
                cvni_set_pixels(out + begin, box->width, a->fill);
                continue;
            }
            for (size_t i = begin; i < begin + (size_t)box->width; i++) {
                if (i == begin || i % 4 == 0)
                    cvni_augment_words(key, CVNI_AUGMENT_ERASE_NOISE + (uint32_t)(i / 4), w);
                out[i] = cvni_to_uniform(w[i % 4]);
            }
        }
    }
}

/* One image, [C, H, W] as floats (bytes as bytes/255), into out; `a` is valid. */
static void cvni_augment(const cvn_augment *a, uint64_t seed, uint64_t epoch, uint32_t sample,
                         const cvni_image *in, float *out)
{
    const size_t plane = (size_t)in->height * (size_t)in->width;
    const size_t n = (size_t)in->channels * plane;
    cvni_augment_draw d;
    cvni_augment_key key;
    key.seed = seed;
    key.epoch = epoch;
    key.sample = sample;
    d = cvni_draw_augment(a, &key, in->height, in->width);
    if (a->rotate != 0 || a->scale != 0 || a->shear != 0 || a->translate != 0 || d.cropped ||
        a->elastic != 0)
        cvni_warp_any(&d, a, &key, in, out);
    else cvni_shift_image(&d, a->fill, in, out);
    if (in->channels == 3 && (a->saturation != 0 || a->hue != 0))
        cvni_colour(d.saturation, d.turn, plane, out);
    if (a->contrast != 0 || a->brightness != 0)
        cvni_contrast_brightness(d.contrast, d.brightness, n, out);
    if (a->noise != 0) cvni_add_noise(a->noise, &key, n, out);
    if (d.erase.height > 0) cvni_erase(&d.erase, a, &key, in, out);
    if (a->cutout != 0) cvni_cut_out(&d, a->cutout, a->fill, in, out);
}

/* augment NULL or with values out of range: a plain copy. */
void cvn_augment_image(const cvn_augment *augment, uint64_t seed, uint64_t k,
                       const float *in, int channels, int height, int width, float *out)
{
    cvni_image image;
    if (!in || !out || channels < 1 || height < 1 || width < 1) return;
    image.bytes = NULL;
    image.floats = in;
    image.channels = channels;
    image.height = height;
    image.width = width;
    if (augment && cvni_augment_valid(augment))
        cvni_augment(augment, seed, k >> 32, (uint32_t)k, &image, out);
    else memcpy(out, in, (size_t)channels * (size_t)height * (size_t)width * sizeof *out);
}

/* ================================================================================================
 * >>optim   clipping and one step of an optimizer over the flat arrays
 * ==============================================================================================
 *   Formulas: >>train-api.  One row of cvni_optimizers an optimizer, one range function a family.
 *   State arrays, each as long as the trainable parameters, named as in the formulas:
 *     SGD [v] with momentum; ADAM, ADAMW [m, v, largest v with amsgrad]; ADAGRAD [v];
 *     ADADELTA, ADAMAX, NADAM, LAMB [m, v]; LION [m];
 *     RMSPROP [v], with momentum [v, m], centred [v, m, mean]: the number tells the kind
 *   Averages of the weights (cvn_set_ema) are one array over all parameters and running statistics.
 *                             tested: tests/test_golden.c, tests/test_optim.c, tests/test_fit.c */

#define CVNI_MAX_SLOTS 3        /* state arrays */

/* One parameter's share of a step. */
typedef struct cvni_update {
    const cvn_optimizer *o;
    float *w, *g;
    float *s[CVNI_MAX_SLOTS];           /* state; NULL where the optimizer has none */
    size_t count;
    float lr, decay;
    float correct1, correct2;           /* 1/(1 - beta^t) */
    float now, next;                    /* NAdam: factors of g and of m */
    float ratio;                        /* LAMB: |w|/|d| */
    int first;                          /* t = 1 */
} cvni_update;

CVNI_HOT
static void cvni_sgd_range(const cvni_update *u, size_t begin, size_t end)
{
    const float momentum = u->o->momentum;
    const float part = 1 - u->o->dampening;
    float *v = u->s[0];
    for (size_t i = begin; i < end; i++) {
        float g = u->g[i] + u->decay * u->w[i];
        if (momentum != 0) {
            v[i] = u->first ? g : momentum * v[i] + part * g;
            g = u->o->nesterov ? g + momentum * v[i] : v[i];
        }
        u->w[i] -= u->lr * g;
    }
}

/* Adam and AdamW. */
CVNI_HOT
static void cvni_adam_range(const cvni_update *u, size_t begin, size_t end)
{
    const float b1 = u->o->beta1;
    const float b2 = u->o->beta2;
    const int decoupled = u->o->kind == CVN_ADAMW;
    float *m = u->s[0];
    float *v = u->s[1];
    float *most = u->o->amsgrad ? u->s[2] : NULL;
    for (size_t i = begin; i < end; i++) {
        const float g = u->g[i] + (decoupled ? 0 : u->decay * u->w[i]);
        const float w = decoupled ? u->w[i] - u->lr * u->decay * u->w[i] : u->w[i];
        float second;
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        if (most && !(most[i] >= v[i])) most[i] = v[i];
        second = most ? most[i] : v[i];
        u->w[i] = w - u->lr * (m[i] * u->correct1) / (sqrtf(second * u->correct2) + u->o->eps);
    }
}

CVNI_HOT
static void cvni_adagrad_range(const cvni_update *u, size_t begin, size_t end)
{
    float *v = u->s[0];
    for (size_t i = begin; i < end; i++) {
        const float g = u->g[i] + u->decay * u->w[i];
        v[i] += g * g;
        u->w[i] -= u->lr * g / (sqrtf(v[i]) + u->o->eps);
    }
}

CVNI_HOT
static void cvni_adadelta_range(const cvni_update *u, size_t begin, size_t end)
{
    const float b2 = u->o->beta2;
    const float eps = u->o->eps;
    float *m = u->s[0];
    float *v = u->s[1];
    for (size_t i = begin; i < end; i++) {
        const float g = u->g[i] + u->decay * u->w[i];
        float d;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        d = g * (sqrtf(m[i] + eps) / sqrtf(v[i] + eps));
        m[i] = b2 * m[i] + (1 - b2) * d * d;
        u->w[i] -= u->lr * d;
    }
}

/* Rounding may leave v below mean^2: that is a variance of zero. */
CVNI_HOT
static void cvni_rmsprop_range(const cvni_update *u, size_t begin, size_t end)
{
    const float b2 = u->o->beta2;
    float *v = u->s[0];
    float *m = u->o->momentum != 0 ? u->s[1] : NULL;
    float *mean = u->o->centered ? u->s[2] : NULL;
    for (size_t i = begin; i < end; i++) {
        const float g = u->g[i] + u->decay * u->w[i];
        float square, d;
        square = v[i] = b2 * v[i] + (1 - b2) * g * g;
        if (mean) {
            mean[i] = b2 * mean[i] + (1 - b2) * g;
            square -= mean[i] * mean[i];
            if (square < 0) square = 0;
        }
        d = g / (sqrtf(square) + u->o->eps);
        if (m) d = m[i] = u->o->momentum * m[i] + d;
        u->w[i] -= u->lr * d;
    }
}

CVNI_HOT
static void cvni_adamax_range(const cvni_update *u, size_t begin, size_t end)
{
    const float b1 = u->o->beta1;
    const float b2 = u->o->beta2;
    float *m = u->s[0];
    float *v = u->s[1];
    for (size_t i = begin; i < end; i++) {
        const float g = u->g[i] + u->decay * u->w[i];
        const float size = fabsf(g) + u->o->eps;
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] > size ? b2 * v[i] : size;
        u->w[i] -= u->lr * (m[i] * u->correct1) / v[i];
    }
}

CVNI_HOT
static void cvni_nadam_range(const cvni_update *u, size_t begin, size_t end)
{
    const float b1 = u->o->beta1;
    const float b2 = u->o->beta2;
    float *m = u->s[0];
    float *v = u->s[1];
    for (size_t i = begin; i < end; i++) {
        const float g = u->g[i] + u->decay * u->w[i];
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        u->w[i] -= u->lr * (u->now * g + u->next * m[i]) /
                   (sqrtf(v[i] * u->correct2) + u->o->eps);
    }
}

static float cvni_lamb_direction(const cvni_update *u, size_t i)
{
    return u->s[0][i] * u->correct1 / (sqrtf(u->s[1][i] * u->correct2) + u->o->eps) +
           u->decay * u->w[i];
}

/* The moments are new already: cvni_lamb_ratio. */
CVNI_HOT
static void cvni_lamb_range(const cvni_update *u, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        u->w[i] -= u->lr * u->ratio * cvni_lamb_direction(u, i);
}

CVNI_HOT
static void cvni_lion_range(const cvni_update *u, size_t begin, size_t end)
{
    const float b1 = u->o->beta1;
    const float b2 = u->o->beta2;
    float *m = u->s[0];
    for (size_t i = begin; i < end; i++) {
        const float c = b1 * m[i] + (1 - b1) * u->g[i];
        const float sign = (float)((c > 0) - (c < 0));
        u->w[i] -= u->lr * (c != c ? c : sign + u->decay * u->w[i]);    /* a NaN shows */
        m[i] = b2 * m[i] + (1 - b2) * u->g[i];
    }
}

/* by cvn_optimizer_kind; lr, beta2 and eps are what 0 stands for */
typedef struct cvni_optimizer_row {
    const char *name;           /* in checkpoints */
    int slots;                  /* the least: cvni_optimizer_slots */
    float lr, beta2, eps;
    void (*range)(const cvni_update *u, size_t begin, size_t end);
} cvni_optimizer_row;

static const cvni_optimizer_row cvni_optimizers[] = {
    { "adam", 2, 1e-3f, 0.999f, 1e-8f, cvni_adam_range },
    { "adamw", 2, 1e-3f, 0.999f, 1e-8f, cvni_adam_range },
    { "sgd", 0, 1e-2f, 0.999f, 1e-8f, cvni_sgd_range },
    { "adagrad", 1, 1e-2f, 0.999f, 1e-10f, cvni_adagrad_range },
    { "adadelta", 2, 1, 0.9f, 1e-6f, cvni_adadelta_range },
    { "rmsprop", 1, 1e-2f, 0.99f, 1e-8f, cvni_rmsprop_range },
    { "adamax", 2, 2e-3f, 0.999f, 1e-8f, cvni_adamax_range },
    { "nadam", 2, 2e-3f, 0.999f, 1e-8f, cvni_nadam_range },
    { "lamb", 2, 1e-3f, 0.999f, 1e-6f, cvni_lamb_range },
    { "lion", 1, 1e-4f, 0.99f, 1e-8f, cvni_lion_range }
};

static int cvni_optimizer_slots(const cvn_optimizer *o)
{
    const int slots = cvni_optimizers[o->kind].slots;
    const int momentum = o->momentum != 0;
    if (o->kind == CVN_SGD) return slots + momentum;
    if (o->kind == CVN_RMSPROP) return o->centered ? 3 : slots + momentum;
    return o->kind == CVN_ADAM || o->kind == CVN_ADAMW ? slots + (o->amsgrad != 0) : slots;
}

static cvn_optimizer cvni_optimizer_completed(cvn_optimizer o)
{
    const cvni_optimizer_row *row;
    if (o.kind < CVN_ADAM || o.kind > CVN_LION) return o;
    row = &cvni_optimizers[o.kind];
    if (o.lr == 0) o.lr = row->lr;
    if (o.beta1 == 0) o.beta1 = 0.9f;
    if (o.beta2 == 0) o.beta2 = row->beta2;
    if (o.eps == 0) o.eps = row->eps;
    if (o.momentum_decay == 0) o.momentum_decay = 4e-3f;
    return o;
}

static cvn_optimizer cvni_optimizer(cvn_optimizer_kind kind, float lr, float weight_decay)
{
    cvn_optimizer o;
    memset(&o, 0, sizeof o);
    o.kind = kind;
    o.lr = lr;
    o.weight_decay = weight_decay;
    return cvni_optimizer_completed(o);
}

cvn_optimizer cvn_sgd(float lr, float momentum)
{
    cvn_optimizer o = cvni_optimizer(CVN_SGD, lr, 0);
    o.momentum = momentum;
    return o;
}

cvn_optimizer cvn_nesterov(float lr, float momentum)
{
    cvn_optimizer o = cvn_sgd(lr, momentum);
    o.nesterov = 1;
    return o;
}

cvn_optimizer cvn_adam(float lr) { return cvni_optimizer(CVN_ADAM, lr, 0); }

cvn_optimizer cvn_adamw(float lr, float weight_decay)
{
    return cvni_optimizer(CVN_ADAMW, lr, weight_decay);
}

cvn_optimizer cvn_adagrad(float lr) { return cvni_optimizer(CVN_ADAGRAD, lr, 0); }
cvn_optimizer cvn_adadelta(float lr) { return cvni_optimizer(CVN_ADADELTA, lr, 0); }
cvn_optimizer cvn_rmsprop(float lr) { return cvni_optimizer(CVN_RMSPROP, lr, 0); }
cvn_optimizer cvn_adamax(float lr) { return cvni_optimizer(CVN_ADAMAX, lr, 0); }
cvn_optimizer cvn_nadam(float lr) { return cvni_optimizer(CVN_NADAM, lr, 0); }

cvn_optimizer cvn_lamb(float lr, float weight_decay)
{
    return cvni_optimizer(CVN_LAMB, lr, weight_decay);
}

cvn_optimizer cvn_lion(float lr, float weight_decay)
{
    return cvni_optimizer(CVN_LION, lr, weight_decay);
}

static void cvni_reset_optimizer(cvn_net *net)
{
    net->optimizer_step = 0;
    if (net->mode == CVN_TRAIN && !net->parent)
        memset(net->state, 0, cvni_align(net->trainable * sizeof(float)) * (size_t)net->plan.slots);
}

cvn_result cvn_set_optimizer(cvn_net *net, const cvn_optimizer *optimizer)
{
    cvn_optimizer before, o;
    cvn_result result = CVN_OK;
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!optimizer) return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_set_optimizer: no optimizer");
    o = cvni_optimizer_completed(*optimizer);
    if (o.kind < CVN_ADAM || o.kind > CVN_LION || !cvni_at_least(o.lr, 0) ||
        !cvni_at_least(o.momentum, 0) || !cvni_at_least(o.beta1, 0) || !(o.beta1 < 1) ||
        !cvni_at_least(o.beta2, 0) || !(o.beta2 < 1) || !cvni_at_least(o.eps, 0) ||
        !cvni_at_least(o.weight_decay, 0) || !cvni_at_least(o.clip_value, 0) ||
        !cvni_at_least(o.clip_norm, 0) || !cvni_at_least(o.momentum_decay, 0))
        return cvni_fail(
            net, CVN_ERROR_ARGUMENT,
            "cvn_set_optimizer: rate %g, momentum %g, betas %g %g, eps %g, decay %g: out of range",
            (double)o.lr, (double)o.momentum, (double)o.beta1, (double)o.beta2, (double)o.eps,
            (double)o.weight_decay);
    if (!cvni_at_least(o.dampening, 0) || o.dampening > 1 || (o.nesterov && o.dampening != 0))
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_set_optimizer: a dampening of %g must be in 0..1, and 0 for Nesterov",
                         (double)o.dampening);
    before = net->optimizer;
    net->optimizer = o;
    if (net->mode == CVN_TRAIN && !net->parent && net->plan.slots != cvni_optimizer_slots(&o))
        result = cvni_plan_anew(net);
    if (result == CVN_OK) cvni_reset_optimizer(net);
    else net->optimizer = before;
    return result;
}

cvn_result cvn_set_lr(cvn_net *net, float lr)
{
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!cvni_at_least(lr, 0))
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_set_lr: a rate of %g", (double)lr);
    net->optimizer.lr = lr;
    return CVN_OK;
}

float cvn_get_lr(const cvn_net *net) { return net ? net->optimizer.lr : 0; }

cvn_result cvn_set_ema(cvn_net *net, float decay)
{
    const float before = net ? net->ema_decay : 0;
    cvn_result result = CVN_OK;
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!(decay >= 0 && decay < 1))
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_set_ema: a decay of %g is not in [0, 1)",
                         (double)decay);
    if (net->parent)
        return cvni_fail(net, CVN_ERROR_STATE,
                         "cvn_set_ema: a shared net does not own its parameters");
    net->ema_decay = decay;
    if (net->mode == CVN_TRAIN && net->plan.averages != (decay > 0)) result = cvni_plan_anew(net);
    if (result != CVN_OK) net->ema_decay = before;
    return result;
}

/* Weights and averages change places. */
static void cvni_exchange_ema(cvn_net *net)
{
    for (size_t i = 0; i < net->trainable + net->running; i++) {
        const float w = net->weights[i];
        net->weights[i] = net->ema[i];
        net->ema[i] = w;
    }
    net->weights_version++;
    net->forward_done = 0;
}

cvn_result cvn_swap_ema(cvn_net *net)
{
    cvn_result result = cvni_needs_build(net, "cvn_swap_ema", 1);
    if (result != CVN_OK) return result;
    if (!net->ema || !net->ema_started)
        return cvni_fail(net, CVN_ERROR_STATE,
                         "cvn_swap_ema: there are no averages: cvn_set_ema, then a step");
    cvni_exchange_ema(net);
    net->ema_swapped = !net->ema_swapped;
    return CVN_OK;
}

/* The averages take in what a step has made of the weights. */
static void cvni_ema_part(void *context, int begin, int end, int worker)
{
    cvn_net *net = (cvn_net *)context;
    const float decay = net->ema_decay;
    const float part = 1 - decay;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const size_t stop = cvni_chunk_end(net->trainable, t);
        for (size_t i = (size_t)t * CVNI_CHUNK; i < stop; i++)
            net->ema[i] = decay * net->ema[i] + part * net->weights[i];
    }
}

static void cvni_update_ema(cvn_net *net)
{
    const size_t first = net->ema_started ? net->trainable : 0;     /* copied from here on */
    if (!net->ema) return;
    if (net->ema_started)
        cvni_parallel_for(net, cvni_chunks(net->trainable), 3.0 * (double)net->trainable,
                          cvni_ema_part, net);
    memcpy(net->ema + first, net->weights + first,
           (net->trainable + net->running - first) * sizeof(float));
    net->ema_started = 1;
}

static void cvni_update_part(void *context, int begin, int end, int worker)
{
    const cvni_update *u = (const cvni_update *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        cvni_optimizers[u->o->kind].range(u, (size_t)t * CVNI_CHUNK, cvni_chunk_end(u->count, t));
    }
}

#define CVNI_NORM_SLICES 64

typedef struct cvni_norm_sum {
    const float *g;
    size_t count;
    double partial[CVNI_NORM_SLICES];
} cvni_norm_sum;

static void cvni_norm_sum_part(void *context, int begin, int end, int worker)
{
    cvni_norm_sum *s = (cvni_norm_sum *)context;
    const size_t slice = (s->count + CVNI_NORM_SLICES - 1) / CVNI_NORM_SLICES;
    (void)worker;
    for (int t = begin; t < end; t++) {
        double sum = 0;
        for (size_t i = slice * (size_t)t; i < s->count && i < slice * (size_t)(t + 1); i++)
            sum += (double)s->g[i] * (double)s->g[i];
        s->partial[t] = sum;
    }
}

/* Clips all gradients as the optimizer asks. */
static void cvni_clip(cvn_net *net)
{
    const float limit = net->optimizer.clip_value;
    cvni_norm_sum s;
    double norm;
    for (size_t i = 0; limit > 0 && i < net->trainable; i++)
        net->grads[i] = net->grads[i] > limit    ? limit
                        : net->grads[i] < -limit ? -limit
                                                 : net->grads[i];
    if (net->optimizer.clip_norm <= 0) return;
    s.g = net->grads;
    s.count = net->trainable;
    cvni_parallel_for(net, CVNI_NORM_SLICES, 2.0 * (double)s.count, cvni_norm_sum_part, &s);
    norm = sqrt(cvni_sum_partials(s.partial, CVNI_NORM_SLICES, 1));
    if (norm <= (double)net->optimizer.clip_norm) return;
    for (size_t i = 0; i < net->trainable; i++)
        net->grads[i] *= (float)((double)net->optimizer.clip_norm / (norm + 1e-6));
}

typedef struct cvni_lamb_sums {
    const cvni_update *u;
    double w[CVNI_NORM_SLICES];         /* of squares */
    double d[CVNI_NORM_SLICES];
} cvni_lamb_sums;

static void cvni_lamb_part(void *context, int begin, int end, int worker)
{
    cvni_lamb_sums *s = (cvni_lamb_sums *)context;
    const cvni_update *u = s->u;
    const float b1 = u->o->beta1;
    const float b2 = u->o->beta2;
    const size_t slice = (u->count + CVNI_NORM_SLICES - 1) / CVNI_NORM_SLICES;
    (void)worker;
    for (int t = begin; t < end; t++) {
        s->w[t] = s->d[t] = 0;
        for (size_t i = slice * (size_t)t; i < u->count && i < slice * (size_t)(t + 1); i++) {
            double d;
            u->s[0][i] = b1 * u->s[0][i] + (1 - b1) * u->g[i];
            u->s[1][i] = b2 * u->s[1][i] + (1 - b2) * u->g[i] * u->g[i];
            d = (double)cvni_lamb_direction(u, i);
            s->w[t] += (double)u->w[i] * (double)u->w[i];
            s->d[t] += d * d;
        }
    }
}

/* Steps the moments of one parameter; returns |w|/|d|, or 1 where one of them is 0. */
static float cvni_lamb_ratio(cvn_net *net, const cvni_update *u)
{
    cvni_lamb_sums s;
    double w, d;
    s.u = u;
    cvni_parallel_for(net, CVNI_NORM_SLICES, 20.0 * (double)u->count, cvni_lamb_part, &s);
    w = sqrt(cvni_sum_partials(s.w, CVNI_NORM_SLICES, 1));
    d = sqrt(cvni_sum_partials(s.d, CVNI_NORM_SLICES, 1));
    return w > 0 && d > 0 ? (float)(w / d) : 1;
}

/* NAdam's factors of g and m at step t. The product over all steps so far is soon too small to
 * count beside 1; from there on it is left. */
static void cvni_nadam_factors(cvni_update *u, uint64_t t)
{
    const double b1 = (double)u->o->beta1;
    const double decay = (double)u->o->momentum_decay;
    const double now = b1 * (1 - 0.5 * pow(0.96, (double)t * decay));
    const double next = b1 * (1 - 0.5 * pow(0.96, (double)(t + 1) * decay));
    double product = 1;
    for (uint64_t i = 1; i <= t && product > 1e-12; i++)
        product *= b1 * (1 - 0.5 * pow(0.96, (double)i * decay));
    u->now = (float)((1 - now) / (1 - product));
    u->next = (float)(next / (1 - product * next));
}

static void cvni_step(cvn_net *net, float lr)
{
    const cvn_optimizer *o = &net->optimizer;
    const size_t state_bytes = cvni_align(net->trainable * sizeof(float));
    cvni_update u;
    cvni_clip(net);
    net->optimizer_step++;
    memset(&u, 0, sizeof u);
    u.o = o;
    u.first = net->optimizer_step == 1;
    u.correct1 = (float)(1 / (1 - pow((double)o->beta1, (double)net->optimizer_step)));
    u.correct2 = (float)(1 / (1 - pow((double)o->beta2, (double)net->optimizer_step)));
    if (o->kind == CVN_NADAM) cvni_nadam_factors(&u, net->optimizer_step);
    for (int i = 0; i < net->param_count; i++) {
        const cvni_param *p = &net->params[i];
        if (p->dead || p->role == CVNI_RUNNING || cvni_param_frozen(net, p)) continue;
        u.w = net->weights + p->offset;
        u.g = net->grads + p->offset;
        for (int k = 0; k < net->plan.slots; k++)
            u.s[k] = (float *)(void *)((char *)net->state + state_bytes * (size_t)k) + p->offset;
        u.count = p->count;
        u.lr = lr * p->lr_scale;
        u.decay = o->decay_weights_only && !p->decays ? 0 : o->weight_decay * p->decay_scale;
        if (o->kind == CVN_LAMB) u.ratio = cvni_lamb_ratio(net, &u);
        cvni_parallel_for(net, cvni_chunks(p->count), 10.0 * (double)p->count, cvni_update_part,
                          &u);
    }
    cvni_zero(net->grads, net->trainable);
    net->weights_version++;
    cvni_update_ema(net);
}

/* The net may change its parameters. */
static cvn_result cvni_needs_own(cvn_net *net, const char *call)
{
    const cvn_result result = cvni_needs_build(net, call, 1);
    if (result != CVN_OK) return result;
    if (net->parent)
        return cvni_fail(net, CVN_ERROR_STATE, "%s: a shared net does not own its parameters",
                         call);
    if (net->ema_swapped)
        return cvni_fail(net, CVN_ERROR_STATE,
                         "%s: the net holds its averages; cvn_swap_ema brings the weights back",
                         call);
    return CVN_OK;
}

cvn_result cvn_step(cvn_net *net)
{
    const cvn_result result = cvni_needs_own(net, "cvn_step");
    if (result == CVN_OK) cvni_step(net, net->optimizer.lr);
    return result;
}

cvn_result cvn_zero_grad(cvn_net *net)
{
    const cvn_result result = cvni_needs_build(net, "cvn_zero_grad", 1);
    if (result == CVN_OK) cvni_zero(net->grads, net->trainable);
    return result;
}

CVNI_COLD_BEGIN

/* ================================================================================================
 * >>schedule   the learning rate over a run
 * ============================================================================================== */

static double cvni_anneal(double from, double to, double part)
{
    return to + (from - to) / 2 * (1 + cos(3.14159265358979323846 * part));
}

static double cvni_one_cycle(const cvn_schedule *s, double lr, long step, long steps)
{
    const double first = lr / (s->div > 0 ? (double)s->div : 25);
    const double last = first / (s->final_div > 0 ? (double)s->final_div : 1e4);
    const double top = (s->rise > 0 ? (double)s->rise : 0.3) * (double)steps - 1;
    const double end = (double)steps - 1;
    if ((double)step <= top) return top > 0 ? cvni_anneal(first, lr, (double)step / top) : lr;
    return end > top ? cvni_anneal(lr, last, ((double)step - top) / (end - top)) : last;
}

/* length: batches of the first period */
static double cvni_restarts(const cvn_schedule *s, double lr, double step, double length)
{
    if (s->growth <= 1) step = fmod(step, length);
    else
        while (step >= length) {
            step -= length;
            length *= (double)s->growth;
        }
    return cvni_anneal(lr, (double)s->min_lr, step / length);
}

static int cvni_milestones_passed(const cvn_schedule *s, double epoch)
{
    int passed = 0;
    for (int i = 0; i < CVN_MAX_MILESTONES; i++)
        passed += s->milestones[i] > 0 && epoch >= (double)s->milestones[i];
    return passed;
}

static double cvni_schedule_gamma(const cvn_schedule *s)
{
    return s->gamma > 0 ? (double)s->gamma : s->kind == CVN_SCHEDULE_EXPONENTIAL ? 0.95 : 0.1;
}

/* Rates of PLATEAU: what an epoch's loss changes, and the rate after the cuts so far. */
static void cvni_plateau(const cvn_schedule *s, cvni_fit_state *f, double loss)
{
    if (s->kind != CVN_SCHEDULE_PLATEAU) return;
    f->plateau_bad++;
    if (f->epoch == 0 || loss < f->plateau_best * (1 - 1e-4)) {
        f->plateau_best = loss;
        f->plateau_bad = 0;
    }
    if (f->plateau_bad <= (s->wait > 0 ? s->wait : 10)) return;
    f->plateau_bad = 0;
    if (f->plateau_cuts < INT_MAX) f->plateau_cuts++;
}

static float cvni_plateau_lr(const cvn_schedule *s, const cvni_fit_state *f, float lr)
{
    double rate;
    if (s->kind != CVN_SCHEDULE_PLATEAU || f->plateau_cuts == 0) return lr;
    rate = (double)lr * pow(cvni_schedule_gamma(s), f->plateau_cuts);
    return rate > (double)s->min_lr ? (float)rate : lr < s->min_lr ? lr : s->min_lr;
}

float cvn_schedule_lr(const cvn_schedule *schedule, float lr, long step, long steps_per_epoch,
                      int epochs)
{
    const long steps = steps_per_epoch > 0 ? steps_per_epoch : 1;
    const double epoch = (double)(step / steps);
    double rate = (double)lr;
    double warm, length, done, low;
    if (!schedule) return lr;
    warm = floor((double)schedule->warmup * (double)steps + 0.5);
    length = (schedule->step > 0 ? (double)schedule->step : 10) * (double)steps;
    done = epochs > 0 ? (double)step / ((double)steps * epochs) : 1;
    low = (double)schedule->min_lr;
    switch (schedule->kind) {
    case CVN_SCHEDULE_CONSTANT:
        break;
    case CVN_SCHEDULE_STEP:
        rate *= pow(cvni_schedule_gamma(schedule),
                    floor(epoch / (schedule->step > 0 ? (double)schedule->step : 10)));
        break;
    case CVN_SCHEDULE_EXPONENTIAL:
        rate *= pow(cvni_schedule_gamma(schedule), epoch);
        break;
    case CVN_SCHEDULE_COSINE:
        rate = cvni_anneal(rate, low, done);
        break;
    case CVN_SCHEDULE_ONE_CYCLE:
        rate = cvni_one_cycle(schedule, rate, step, steps * cvni_max(epochs, 1));
        break;
    case CVN_SCHEDULE_MULTI_STEP:
        rate *= pow(cvni_schedule_gamma(schedule), cvni_milestones_passed(schedule, epoch));
        break;
    case CVN_SCHEDULE_POLYNOMIAL:
        rate = low + (rate - low) * pow(done < 1 ? 1 - done : 0,
                                        schedule->power > 0 ? (double)schedule->power : 1);
        break;
    case CVN_SCHEDULE_INVERSE:
        if ((double)(step + 1) > warm) rate *= sqrt((warm > 1 ? warm : 1) / (double)(step + 1));
        break;
    case CVN_SCHEDULE_RESTARTS:
        rate = cvni_restarts(schedule, rate, (double)step, length);
        break;
    case CVN_SCHEDULE_CYCLIC:
        rate = low + (rate - low) * (1 - fabs(fmod((double)step, 2 * length) / length - 1));
        break;
    case CVN_SCHEDULE_PLATEAU:
        break;
    }
    if ((double)step < warm) rate *= (double)(step + 1) / warm;
    return (float)rate;
}

/* ================================================================================================
 * >>mix   mixup and cutmix: samples of a batch blended with each other
 * ==============================================================================================
 *   y[i] = keep*x[i] + (1 - keep)*x[partner[i]], in place. A permutation falls into cycles: along a
 *   cycle each row is read by the one before it alone, so only the first row of a cycle is kept
 *   aside, block by block.
 *   draws     words of the dropout stream at (seed, training passes, layer 0, which is none): coin
 *             of options.mixup and cutmix; lambda; permutation (Fisher and Yates); the box's centre
 *   lambda    a/(a + b) of two draws from Gamma(alpha), by logarithms, as they may underflow
 *             G. Marsaglia, W. Tsang, A Simple Method for Generating Gamma Variables, 2000
 *   source    arXiv:1710.09412, arXiv:1905.04899                      tested: tests/test_fit.c */

/* ln of a draw from Gamma(alpha, 1). */
static double cvni_log_gamma_draw(cvni_rng *r, double alpha)
{
    const double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3.0;
    const double c = 1 / sqrt(9 * d);
    for (;;) {
        const double x = (double)cvni_normal(r);
        const double root = 1 + c * x;
        const double u = ((double)cvni_next(r) + 1.0) / 4294967296.0;
        double boost = 0;
        if (root <= 0) continue;
        if (log(u) >= 0.5 * x * x + d - d * root * root * root + 3 * d * log(root)) continue;
        if (alpha < 1) boost = log(((double)cvni_next(r) + 1.0) / 4294967296.0) / alpha;
        return log(d) + 3 * log(root) + boost;
    }
}

static double cvni_beta_draw(cvni_rng *r, double alpha)
{
    const double a = cvni_log_gamma_draw(r, alpha);
    return 1 / (1 + exp(cvni_log_gamma_draw(r, alpha) - a));
}

/* A part of every sample: in each plane `rows` runs of `length` floats, `step` apart from `first`
 * on. length 0: all of it, a plane a block. */
typedef struct cvni_mix_job {
    float *x;
    const int *partner;                 /* ~partner where it is not the first of a cycle */
    int n;
    size_t sample, plane, first, step;  /* floats */
    int rows, length;
    float keep;
} cvni_mix_job;

enum { CVNI_MIX_BLOCK = 256 };          /* floats of a row that are kept aside */

static void cvni_mix_row(float keep, int count, const float *partner, float *x)
{
    if (keep == 0) memcpy(x, partner, (size_t)count * sizeof *x);
    else for (int i = 0; i < count; i++) x[i] = keep * x[i] + (1 - keep) * partner[i];
}

/* The floats at..at + count of all samples. */
static void cvni_mix_block(const cvni_mix_job *j, size_t at, int count)
{
    float first[CVNI_MIX_BLOCK];
    float *x = j->x + at;
    for (int s = 0; s < j->n; s++) {
        int i = s;
        if (j->partner[s] < 0 || j->partner[s] == s) continue;
        memcpy(first, x + (size_t)s * j->sample, (size_t)count * sizeof *first);
        do {
            const int next = j->partner[i] < 0 ? ~j->partner[i] : j->partner[i];
            cvni_mix_row(j->keep, count, next == s ? first : x + (size_t)next * j->sample,
                         x + (size_t)i * j->sample);
            i = next;
        } while (i != s);
    }
}

static void cvni_mix_part(void *context, int begin, int end, int worker)
{
    const cvni_mix_job *j = (const cvni_mix_job *)context;
    (void)worker;
    for (int t = begin; t < end; t++) {
        const size_t at = (size_t)(t / j->rows) * j->plane + j->first +
                          (size_t)(t % j->rows) * j->step;
        const int length = j->length ? j->length
                                     : (int)cvni_min_size(j->sample - at, CVNI_MIX_BLOCK);
        for (int done = 0; done < length; done += CVNI_MIX_BLOCK)
            cvni_mix_block(j, at + (size_t)done, cvni_min(length - done, CVNI_MIX_BLOCK));
    }
}

/* A permutation of n into partner, its cycles marked as cvni_mix_job has them. */
static void cvni_draw_partners(cvni_rng *r, int *partner, int n)
{
    for (int i = 0; i < n; i++) partner[i] = i;
    for (int i = n - 1; i > 0; i--) {
        const int k = (int)cvni_below(r, (uint32_t)i + 1);
        const int t = partner[i];
        partner[i] = partner[k];
        partner[k] = t;
    }
    for (int s = 0; s < n; s++) {
        int i = partner[s];
        while (i >= 0 && i != s) {
            const int next = partner[i];
            partner[i] = ~next;
            i = next;
        }
    }
}

typedef struct cvni_mix_box { int x0, y0, x1, y1, height, width; } cvni_mix_box;

static int cvni_in_box(const cvni_layer *l, const cvni_mix_box *box)
{
    return box->width > 0 && l->shape.rank == 4 && l->shape.dim[2] == box->height &&
           l->shape.dim[3] == box->width;
}

/* All float inputs and targets of the batch; net->partner holds the permutation, net->mix lambda.
 * box->width 0: no box. */
static void cvni_mix_inputs(cvn_net *net, const cvni_mix_box *box)
{
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        const int boxed = cvni_in_box(l, box);
        const size_t sample = cvni_elements(l->shape) / (size_t)net->batch;
        cvni_mix_job j;
        int tasks;
        if (!(l->op->flags & CVNI_SOURCE) || l->is_int || !l->y) continue;
        if (boxed && (box->x0 == box->x1 || box->y0 == box->y1)) continue;
        memset(&j, 0, sizeof j);
        j.x = l->y;
        j.partner = net->partner;
        j.n = net->batch;
        j.sample = sample;
        j.keep = boxed ? 0 : net->mix;
        if (boxed) {
            j.plane = (size_t)box->height * (size_t)box->width;
            j.step = (size_t)box->width;
            j.first = (size_t)box->y0 * j.step + (size_t)box->x0;
            j.rows = box->y1 - box->y0;
            j.length = box->x1 - box->x0;
            tasks = (int)(sample / j.plane) * j.rows;
        } else {
            j.plane = j.step = CVNI_MIX_BLOCK;
            j.rows = 1;
            tasks = (int)((sample + j.plane - 1) / j.plane);
        }
        cvni_parallel_for(net, tasks, 3.0 * (double)sample * j.n, cvni_mix_part, &j);
    }
}

/* The batch can be mixed; *image receives the first input of images, or NULL. */
static cvn_result cvni_check_mix(cvn_net *net, const char *call, float alpha,
                                 const cvni_layer **image)
{
    cvn_result result = cvni_needs_build(net, call, 1);
    if (result != CVN_OK) return result;
    if (!cvni_at_least(alpha, 0))
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "%s: alpha is %g", call, (double)alpha);
    if (net->mixed)
        return cvni_fail(net, CVN_ERROR_STATE, "%s: the batch is mixed already", call);
    *image = NULL;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        if (l->op == &cvni_op_input && l->shape.rank == 4 && !*image) *image = l;
        for (int i = 0; i < l->inputs && !(l->op->flags & CVNI_LOSS); i++)
            if (cvni_in(net, l, i)->is_int)
                return cvni_fail(net, CVN_ERROR_UNSUPPORTED,
                                 "%s: '%s' are ints that '%s' reads; they cannot be mixed", call,
                                 cvni_in(net, l, i)->name, l->name);
    }
    return cvni_check_filled(net, 1);
}

static cvni_rng cvni_mix_draws(const cvn_net *net)
{
    return cvni_rng_start(net->desc.seed, CVNI_STREAM_DROPOUT, net->tick, 0);
}

static cvn_result cvni_mix(cvn_net *net, const cvni_mix_box *box)
{
    cvni_mix_inputs(net, box);
    for (int i = 0; i < net->batch; i++)
        if (net->partner[i] < 0) net->partner[i] = ~net->partner[i];
    net->mixed = net->batch;
    net->forward_done = 0;
    return CVN_OK;
}

cvn_result cvn_mixup(cvn_net *net, float alpha)
{
    const cvni_layer *image;
    cvni_mix_box none;
    cvni_rng r;
    const cvn_result result = cvni_check_mix(net, "cvn_mixup", alpha, &image);
    if (result != CVN_OK || alpha == 0) return result;
    memset(&none, 0, sizeof none);
    r = cvni_mix_draws(net);
    cvni_next(&r);
    net->mix = (float)cvni_beta_draw(&r, (double)alpha);
    cvni_draw_partners(&r, net->partner, net->batch);
    return cvni_mix(net, &none);
}

/* The range of a box's side about a centre, cut off at the border. */
static void cvni_box_side(cvni_rng *r, int size, double share, int *begin, int *end)
{
    const int half = (int)(size * share) / 2;
    const int centre = (int)cvni_below(r, (uint32_t)size);
    *begin = cvni_max(centre - half, 0);
    *end = cvni_min(centre + half, size);
}

cvn_result cvn_cutmix(cvn_net *net, float alpha)
{
    const cvni_layer *image;
    cvni_mix_box box;
    cvni_rng r;
    double share;
    const cvn_result result = cvni_check_mix(net, "cvn_cutmix", alpha, &image);
    if (result != CVN_OK || alpha == 0) return result;
    if (!image)
        return cvni_fail(net, CVN_ERROR_UNSUPPORTED, "cvn_cutmix: the net has no input of images");
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        if (l->op->flags & CVNI_SOURCE && l->is_int && cvni_elements(l->shape) !=
                                                           (size_t)net->batch)
            return cvni_fail(net, CVN_ERROR_UNSUPPORTED,
                             "cvn_cutmix: '%s' has more than one label a sample; cvn_mixup takes "
                             "them", l->name);
    }
    r = cvni_mix_draws(net);
    cvni_next(&r);
    share = sqrt(1 - cvni_beta_draw(&r, (double)alpha));
    cvni_draw_partners(&r, net->partner, net->batch);
    box.height = image->shape.dim[2];
    box.width = image->shape.dim[3];
    cvni_box_side(&r, box.height, share, &box.y0, &box.y1);
    cvni_box_side(&r, box.width, share, &box.x0, &box.x1);
    net->mix = (float)(1 - (double)(box.y1 - box.y0) * (box.x1 - box.x0) /
                               ((double)box.height * box.width));
    return cvni_mix(net, &box);
}

/* By a coin where both are wanted. */
static cvn_result cvni_mix_either(cvn_net *net, float mixup, float cutmix)
{
    cvni_rng r = cvni_mix_draws(net);
    const int coin = (int)(cvni_next(&r) >> 31);
    if (mixup == 0 && cutmix == 0) return CVN_OK;
    if (mixup != 0 && (cutmix == 0 || coin)) return cvn_mixup(net, mixup);
    return cvn_cutmix(net, cutmix);
}

/* ================================================================================================
 * >>train   a batch, an evaluation, a whole training
 * ============================================================================================== */

/* Copies x into the first input and the same labels (or targets) into all label inputs (or
 * targets). */
static cvn_result cvni_fill_inputs(cvn_net *net, const float *x, const int *labels,
                                   const float *targets, int n)
{
    cvni_layer *in = cvni_first_input(net);
    cvn_result result;
    if (!x || !in)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_train_batch: no samples or no input");
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_op *op = net->layers[id].op;
        if ((op == &cvni_op_labels && !labels) || (op == &cvni_op_target && !targets))
            return cvni_fail(net, CVN_ERROR_ARGUMENT,
                             "cvn_train_batch: the net has an input '%s'; give it %s",
                             net->layers[id].name, op->type);
    }
    result = cvni_set_batch(net, n);
    if (result != CVN_OK) return result;
    cvni_fill_input(net, in, x);
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        if (l->op == &cvni_op_labels) cvni_fill_input(net, l, labels);
        if (l->op == &cvni_op_target) cvni_fill_input(net, l, targets);
    }
    return CVN_OK;
}

static cvn_result cvni_train_batch(cvn_net *net, const float *x, const int *labels,
                                   const float *targets, int n, float *loss)
{
    cvn_result result = cvni_needs_own(net, "cvn_train_batch");
    if (result == CVN_OK) result = cvni_fill_inputs(net, x, labels, targets, n);
    if (result == CVN_OK) result = cvni_run(net, 1, 1);
    if (result == CVN_OK) result = cvn_backward(net);
    if (result != CVN_OK) return result;
    if (loss) *loss = net->loss;
    cvni_step(net, net->optimizer.lr);
    return CVN_OK;
}

cvn_result cvn_train_batch(cvn_net *net, const float *x, const int *labels, int n, float *loss)
{
    return cvni_train_batch(net, x, labels, NULL, n, loss);
}

cvn_result cvn_train_batch_target(cvn_net *net, const float *x, const float *targets, int n,
                                  float *loss)
{
    return cvni_train_batch(net, x, NULL, targets, n, loss);
}

/* The class of one position of the output: the largest of `classes` values `step` apart; of a
 * single one, 1 where it is above 0 (a logit), or above 1/2 behind a sigmoid. */
static int cvni_winner(const float *y, int classes, ptrdiff_t step, int is_sigmoid)
{
    int best = 0;
    if (classes == 1) return y[0] > (is_sigmoid ? 0.5f : 0.0f);
    for (int c = 1; c < classes; c++) if (y[c * step] > y[best * step]) best = c;
    return best;
}

static float cvni_winner_probability(const cvni_layer *out, const float *y, int classes,
                                     ptrdiff_t step, int winner)
{
    double sum = 0;
    if (out->op == &cvni_op_softmax) return y[winner * step];
    if (classes == 1) {
        const float p = out->op == &cvni_op_sigmoid ? y[0] : cvni_sigmoid(y[0]);
        return winner ? p : 1 - p;
    }
    for (int c = 0; c < classes; c++) sum += exp((double)y[c * step] - (double)y[winner * step]);
    return (float)(1 / sum);
}

cvn_result cvn_classify(cvn_net *net, const float *x, int n, int *labels, float *probabilities)
{
    cvni_layer *in;
    const cvni_layer *out;
    int outer, classes, inner;
    cvn_result result = cvni_needs_build(net, "cvn_classify", 0);
    if (result != CVN_OK) return result;
    in = cvni_first_input(net);
    out = &net->layers[net->output];
    if (!x || !labels || n < 0 || !in || !in->y || out->shape.rank < 2)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_classify: needs samples, room for labels and an output with classes");
    for (int done = 0; done < n;) {
        result = cvni_set_batch(net, cvni_min(n - done, net->max_batch));
        if (result != CVN_OK) return result;
        cvni_fill_input(net, in, x + cvni_sample_elements(in->shape) * (size_t)done);
        result = cvni_run(net, 0, 0);
        if (result != CVN_OK) return result;
        cvni_split_axis(out->shape, cvni_class_axis(out->shape), &outer, &classes, &inner);
        for (int i = 0; i < outer * inner; i++) {
            const float *y = out->y + (ptrdiff_t)(i / inner) * classes * inner + i % inner;
            const ptrdiff_t at = (ptrdiff_t)done * (outer * inner / net->batch) + i;
            labels[at] = cvni_winner(y, classes, inner, out->op == &cvni_op_sigmoid);
            if (probabilities)
                probabilities[at] = cvni_winner_probability(out, y, classes, inner, labels[at]);
        }
        done += net->batch;
    }
    return CVN_OK;
}

/* What a batch scored: positions that count, right ones, ones with the true class among the best
 * five. */
typedef struct cvni_score { double counted, right, top5; } cvni_score;

static void cvni_score_labels(const cvni_layer *out, const int *labels, cvni_score *s,
                              cvn_metrics *m)
{
    int outer, classes, inner;
    cvni_split_axis(out->shape, cvni_class_axis(out->shape), &outer, &classes, &inner);
    for (int i = 0; i < outer * inner; i++) {
        const float *y = out->y + (ptrdiff_t)(i / inner) * classes * inner + i % inner;
        const int label = labels[i];
        int winner, better = 0;
        if (label < 0 || label >= cvni_max(classes, 2)) continue;
        winner = cvni_winner(y, classes, inner, out->op == &cvni_op_sigmoid);
        for (int c = 0; label < classes && c < classes; c++)
            better += y[c * inner] > y[label * inner];
        s->counted++;
        s->right += winner == label;
        s->top5 += better < 5;
        if (m && m->confusion && label < m->classes && winner < m->classes)
            m->confusion[label * m->classes + winner]++;
    }
}

/* Binary targets behind a cross-entropy: an element is right when it lies on the target's side. */
static void cvni_score_binary(const cvni_layer *x, const cvni_layer *t, cvni_score *s)
{
    const size_t n = cvni_elements(x->shape);
    for (size_t i = 0; i < n; i++) {
        s->counted++;
        s->right += (x->y[i] > 0) == (t->y[i] > 0.5f);
        s->top5++;
    }
}

/* Scores the batch that was run. labels: [positions], or NULL for those in the net's label
 * input. */
static void cvni_score_batch(cvn_net *net, const int *labels, cvni_score *s, cvn_metrics *m)
{
    const cvni_layer *out = &net->layers[net->output];
    const size_t positions = out->shape.rank < 2
                                 ? 0
                                 : cvni_elements(out->shape) /
                                       (size_t)out->shape.dim[cvni_class_axis(out->shape)];
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        if (!labels && l->op == &cvni_op_labels && l->y && cvni_elements(l->shape) == positions)
            labels = (const int *)(const void *)l->y;
        if (l->op != &cvni_bce_loss.op || l->input[0] != net->output || !cvni_in(net, l, 1)->y)
            continue;
        cvni_score_binary(out, cvni_in(net, l, 1), s);
        return;
    }
    if (labels && positions) cvni_score_labels(out, labels, s, m);
}

/* Samples first to first + n - 1, as they are. work: room for n ints when data->fill is set. */
static cvn_result cvni_gather_range(cvn_net *net, const cvn_data *data, int first, int n, int *work)
{
    cvni_batch b;
    memset(&b, 0, sizeof b);
    b.first = first;
    b.n = n;
    b.work = work;
    net->weighted = net->mixed = 0;
    return cvni_gather(net, data, &b);
}

/* Labels of a sample that a plan without label inputs is compared with; 0: look into the net. */
static size_t cvni_labels_each(const cvn_net *net, const cvn_data *data)
{
    const cvn_shape s = net->layers[net->output].shape;
    if (net->mode == CVN_TRAIN || !data->labels || s.rank < 2) return 0;
    return cvni_sample_elements(s) / (size_t)s.dim[cvni_class_axis(s)] *
           (size_t)net->layers[net->output].samples;
}

/* The labels of the batch of sample `first` on, for a plan without label inputs; NULL: look into
 * the net. work: room for the labels of a batch when data->index is set. */
static const int *cvni_labels_of(const cvn_net *net, const cvn_data *data, int first, int *work)
{
    const size_t each = cvni_labels_each(net, data);
    if (!each) return NULL;
    if (!data->index) return data->labels + each * ((size_t)data->first + (size_t)first);
    for (int i = 0; i < net->batch; i++)
        memcpy(work + (size_t)i * each, data->labels + cvni_data_number(data, first + i) * each,
               each * sizeof *work);
    return work;
}

cvn_result cvn_evaluate(cvn_net *net, const cvn_data *data, cvn_metrics *metrics)
{
    cvn_metrics m;
    cvni_score s = { 0, 0, 0 };
    double loss = 0;
    size_t ints;
    int *work;
    cvn_result result = cvni_needs_build(net, "cvn_evaluate", 0);
    if (result != CVN_OK) return result;
    if (!metrics) return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_evaluate: no metrics");
    result = cvni_check_data(net, data);
    if (result != CVN_OK) return result;
    m = *metrics;
    if (m.confusion && m.classes > 0)
        memset(m.confusion, 0, (size_t)m.classes * (size_t)m.classes * sizeof(int));
    ints = data->index ? cvni_labels_each(net, data) : 0;
    if (data->fill && !ints) ints = 1;
    ints = cvni_mul_size(ints, (size_t)net->max_batch);
    work = ints ? (int *)cvni_alloc(net, cvni_mul_size(ints, sizeof(int))) : NULL;
    if (ints && !work) return cvni_fail(net, CVN_ERROR_MEMORY, "cvn_evaluate: out of memory");
    for (int done = 0; result == CVN_OK && done < data->count; done += net->batch) {
        result = cvni_gather_range(net, data, done, cvni_min(data->count - done, net->max_batch),
                                   work);
        if (result == CVN_OK) result = cvni_run(net, 0, net->mode == CVN_TRAIN);
        if (result != CVN_OK) break;
        cvni_score_batch(net, cvni_labels_of(net, data, done, work), &s, &m);
        loss += (double)net->loss * net->batch;
    }
    net->weighted = 0;
    cvni_free(net, work);
    net->weighted = 0;
    if (result != CVN_OK) return result;
    m.count = data->count;
    m.loss = loss / data->count;
    m.accuracy = s.counted > 0 ? s.right / s.counted : NAN;
    m.top5 = s.counted > 0 ? s.top5 / s.counted : NAN;
    *metrics = m;
    return CVN_OK;
}

static int cvni_all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) if (x[i] - x[i] != 0) return 0;
    return 1;
}

/* Runs the last batch again, layer by layer, up to the first one that makes a NaN or Inf; says
 * which. */
static cvn_result cvni_find_nonfinite(cvn_net *net, const char *when)
{
    char kind[16];
    snprintf(kind, sizeof kind, "%s", net->loss != net->loss ? "NaN" : "infinite");
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        for (int i = 0; i < l->params; i++) {
            const cvni_param *p = &net->params[l->param[i]];
            if (!cvni_all_finite(net->weights + p->offset, p->count))
                return cvni_fail(
                    net, CVN_ERROR_NUMBER,
                    "the loss is %s %s; first in '%s': its %s is not finite; a smaller "
                    "learning rate or clipping may help",
                    kind, when, l->name, p->suffix);
        }
        if (l->op->forward && cvni_forward_layer(net, l) != CVN_OK) return CVN_ERROR_NUMBER;
        if (!l->is_int && l->y && !cvni_all_finite(l->y, cvni_elements(l->shape)))
            return cvni_fail(net, CVN_ERROR_NUMBER, "the loss is %s %s; first in '%s' (%s)%s", kind,
                             when, l->name, l->op->type,
                             l->op->flags & CVNI_SOURCE ? ": the data are not finite" : "");
    }
    return cvni_fail(net, CVN_ERROR_NUMBER,
                     "the loss is %s %s; all layers are finite, their sum is not", kind, when);
}

/* Seconds of a clock that runs on; only differences mean something. */
static double cvni_seconds(void)
{
#ifdef CVNI_TIMEVAL
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
#else
    return (double)clock() / CLOCKS_PER_SEC;    /* wall time on Windows, processor time of one
                                                 * thread elsewhere */
#endif
}

cvn_fit_options cvn_fit_defaults(void)
{
    cvn_fit_options o;
    memset(&o, 0, sizeof o);
    o.epochs = 10;
    return o;
}

/* One running cvn_fit. */
typedef struct cvni_fit_run {
    cvn_net *net;
    const cvn_data *train, *valid;
    cvn_fit_options o;
    int batch;                          /* samples of a batch */
    int group, steps;                   /* samples of a step, steps of an epoch */
    int *order;                         /* samples of the epoch, shuffled; then room for a batch
                                         * (cvni_batch.work) */
    double started, epoch_started;
    int epoch_first;                    /* samples of this epoch done before this call */
    double epoch_seconds_before;
    double valid_loss, valid_accuracy;
} cvni_fit_run;

/* Fisher and Yates with the words of (seed, epoch): any epoch's order can be made without the ones
 * before. */
static void cvni_shuffle(int *order, int count, uint64_t seed, uint64_t epoch)
{
    cvni_rng r = cvni_rng_start(seed, CVNI_STREAM_SHUFFLE, epoch, 0);
    for (int i = 0; i < count; i++) order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        const int j = (int)cvni_below(&r, (uint32_t)i + 1);
        const int t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

static cvn_progress cvni_fit_progress(const cvni_fit_run *r, cvn_event event, float lr,
                                      cvn_result result)
{
    const cvni_fit_state *f = &r->net->fit;
    const double now = cvni_seconds();
    const double samples = event == CVN_EVENT_BATCH ? f->position : r->train->count;
    const double total = (double)r->o.epochs * r->train->count;
    const double epochs_done = event == CVN_EVENT_BATCH ? f->epoch : f->epoch - 1;
    cvn_progress p;
    memset(&p, 0, sizeof p);
    p.net = r->net;
    p.event = event;
    p.epoch = event == CVN_EVENT_BATCH ? f->epoch + 1 : cvni_max(f->epoch, 1);
    p.epochs = r->o.epochs;
    p.batches = r->steps;
    p.batch = event == CVN_EVENT_BATCH ? cvni_ceil_div(f->position, r->group) : r->steps;
    if (event == CVN_EVENT_BATCH || r->net->history_count == 0) {
        p.loss = f->position ? f->loss_sum / f->position : NAN;
        p.accuracy = f->weight_sum > 0 ? f->correct_sum / f->weight_sum : NAN;
    } else {
        p.loss = (double)r->net->history[r->net->history_count - 1].loss;
        p.accuracy = (double)r->net->history[r->net->history_count - 1].accuracy;
    }
    p.valid_loss = r->valid_loss;
    p.valid_accuracy = r->valid_accuracy;
    p.best_epoch = f->best_epoch;
    p.lr = lr;
    p.samples_per_second = now > r->epoch_started
                               ? (samples - r->epoch_first) / (now - r->epoch_started)
                               : 0;
    p.seconds = now - r->started;
    if (p.samples_per_second > 0)
        p.seconds_left = (total - epochs_done * r->train->count - samples) / p.samples_per_second;
    p.result = result;
    return p;
}

static int cvni_fit_tell(const cvni_fit_run *r, cvn_event event, float lr, cvn_result result)
{
    cvn_progress p;
    if (!r->o.callback) return 0;
    p = cvni_fit_progress(r, event, lr, result);
    return r->o.callback(r->o.user, &p);
}

static cvn_result cvni_fit_checkpoint(const cvni_fit_run *r)
{
#ifndef CONVNET_NO_STDIO
    if (r->o.checkpoint) return cvn_save_checkpoint(r->net, r->o.checkpoint);
#endif
    (void)r;
    return CVN_OK;
}

/* The inputs of n samples from the current position of the epoch on, as they train. */
static cvn_result cvni_fit_gather(cvni_fit_run *r, int n)
{
    cvn_net *net = r->net;
    cvni_batch b;
    cvn_result result;
    memset(&b, 0, sizeof b);
    b.index = r->order + net->fit.position;
    b.n = n;
    b.work = r->order + r->train->count;
    b.training = 1;
    b.seed = r->o.shuffle_seed;
    b.epoch = (uint64_t)net->fit.epoch;
    net->weighted = net->mixed = 0;
    result = cvni_gather(net, r->train, &b);
    return result == CVN_OK ? cvni_mix_either(net, r->o.mixup, r->o.cutmix) : result;
}

/* Adds a batch of n samples to the gradients, as its share of the step. */
static cvn_result cvni_fit_batch(cvni_fit_run *r, int n, float share)
{
    cvn_net *net = r->net;
    cvni_fit_state *f = &net->fit;
    cvni_score s = { 0, 0, 0 };
    char when[64];
    cvn_result result = cvni_fit_gather(r, n);
    if (result == CVN_OK) result = cvni_run(net, 1, 1);
    if (result != CVN_OK) return result;
    if (!cvni_is_finite((double)net->loss)) {
        snprintf(when, sizeof when, "in epoch %d, batch %d", f->epoch + 1,
                 f->position / r->batch + 1);
        return cvni_find_nonfinite(net, when);
    }
    cvni_score_batch(net, NULL, &s, NULL);
    cvni_backward(net, share);
    f->position += n;
    f->loss_sum += (double)net->loss * n;
    f->correct_sum += s.right;
    f->weight_sum += s.counted;
    return CVN_OK;
}

/* Samples of the batch at a position of the epoch; 0 at its end. */
static int cvni_fit_count(const cvni_fit_run *r, int position)
{
    const int n = cvni_min(r->batch, r->train->count - position);
    return r->o.drop_last && n < r->batch ? 0 : n;
}

/* One step: the mean over up to options.accumulate batches. A batch that fails leaves no trace of
 * those before it. */
static cvn_result cvni_fit_step(cvni_fit_run *r, float *lr)
{
    cvn_net *net = r->net;
    const cvni_fit_state before = net->fit;
    const int end = cvni_min(r->train->count - before.position, r->group) + before.position;
    int samples = 0;
    for (int at = before.position, n; at < end && (n = cvni_fit_count(r, at)) > 0; at += n)
        samples += n;
    for (int done = 0; done < samples;) {
        const int n = cvni_fit_count(r, net->fit.position);
        const cvn_result result = cvni_fit_batch(r, n, (float)((double)n / samples));
        if (result != CVN_OK) {
            net->fit = before;
            if (done) cvni_zero(net->grads, net->trainable);
            return result;
        }
        done += n;
    }
    *lr = cvn_schedule_lr(&r->o.schedule, net->optimizer.lr, (long)before.step, r->steps,
                          r->o.epochs);
    *lr = cvni_plateau_lr(&r->o.schedule, &before, *lr);
    cvni_step(net, *lr);
    net->fit.step++;
    return CVN_OK;
}

/* The set in validation, with the averages where there are any. */
static cvn_result cvni_fit_validate(const cvni_fit_run *r, cvn_metrics *m)
{
    cvn_net *net = r->net;
    cvn_result result;
    memset(m, 0, sizeof *m);
    m->loss = m->accuracy = NAN;
    if (!r->valid) return CVN_OK;
    if (net->ema) cvni_exchange_ema(net);
    result = cvn_evaluate(net, r->valid, m);
    if (net->ema) cvni_exchange_ema(net);
    return result;
}

/* Validation, history, best weights; returns CVN_STOPPED when patience is at its end. */
static cvn_result cvni_fit_end_epoch(cvni_fit_run *r, float lr)
{
    cvn_net *net = r->net;
    cvni_fit_state *f = &net->fit;
    cvn_history *h;
    cvn_metrics m;
    double judged = f->position ? f->loss_sum / f->position : NAN;
    const cvn_result result = cvni_fit_validate(r, &m);
    if (result != CVN_OK) return result;
    if (r->valid) judged = m.loss;
    if (!cvni_grow(net, (void **)&net->history, &net->history_capacity, net->history_count,
                   sizeof *net->history))
        return cvni_fail(net, CVN_ERROR_MEMORY, "cvn_fit: no memory for the history");
    h = &net->history[net->history_count++];
    h->loss = (float)(f->position ? f->loss_sum / f->position : NAN);
    h->accuracy = (float)(f->weight_sum > 0 ? f->correct_sum / f->weight_sum : NAN);
    h->valid_loss = (float)m.loss;
    h->valid_accuracy = (float)m.accuracy;
    h->lr = lr;
    h->seconds = (float)(cvni_seconds() - r->epoch_started);
    r->valid_loss = m.loss;
    r->valid_accuracy = m.accuracy;
    cvni_plateau(&r->o.schedule, f, judged);
    f->epoch++;
    f->bad_epochs++;
    if (f->best_epoch == 0 || judged < f->best_loss || f->best_loss != f->best_loss) {
        f->best_loss = judged;
        f->best_epoch = f->epoch;
        f->bad_epochs = 0;
        if (net->best)
            memcpy(net->best, net->ema ? net->ema : net->weights,
                   (net->trainable + net->running) * sizeof(float));
    }
    f->position = 0;
    f->loss_sum = f->correct_sum = f->weight_sum = 0;
    return r->o.patience > 0 && f->bad_epochs >= r->o.patience ? CVN_STOPPED : CVN_OK;
}

/* The samples of the current epoch in their order. */
static cvn_result cvni_fit_order(const cvni_fit_run *r)
{
    const uint64_t epoch = (uint64_t)r->net->fit.epoch;
    if (r->o.balanced) {
        const cvn_result result = cvn_data_balanced_order(r->train, r->o.shuffle_seed, epoch,
                                                          r->order);
        return result == CVN_OK
                   ? result
                   : cvni_fail(r->net, result, "cvn_fit: no balanced order: one label a sample, "
                                               "0 or more, is needed");
    }
    if (!r->o.no_shuffle) cvni_shuffle(r->order, r->train->count, r->o.shuffle_seed, epoch);
    else for (int i = 0; i < r->train->count; i++) r->order[i] = i;
    return CVN_OK;
}

static cvn_result cvni_fit_epochs(cvni_fit_run *r)
{
    cvn_net *net = r->net;
    cvni_fit_state *f = &net->fit;
    float lr = cvn_schedule_lr(&r->o.schedule, net->optimizer.lr, f->step ? (long)f->step - 1 : 0,
                               r->steps, r->o.epochs);
    while (f->epoch < r->o.epochs) {
        cvn_result result, saved;
        result = cvni_fit_order(r);
        if (result != CVN_OK) return result;
        r->epoch_started = cvni_seconds();
        r->epoch_first = f->position;
        while (cvni_fit_count(r, f->position) > 0) {
            result = cvni_fit_step(r, &lr);
            if (result != CVN_OK) return result;
            if (cvni_fit_tell(r, CVN_EVENT_BATCH, lr, CVN_OK)) {
                result = cvni_fit_checkpoint(r);
                return result == CVN_OK ? CVN_STOPPED : result;
            }
        }
        result = cvni_fit_end_epoch(r, lr);
        if (result < 0) return result;
        saved = cvni_fit_checkpoint(r);
        if (saved != CVN_OK) return saved;
        if (cvni_fit_tell(r, CVN_EVENT_EPOCH, lr, CVN_OK) || result == CVN_STOPPED)
            return CVN_STOPPED;
    }
    return CVN_OK;
}

/* A training from the start: optimizer, position, history and best weights as new. */
static void cvni_fit_restart(cvn_net *net)
{
    cvni_reset_optimizer(net);
    cvni_zero(net->grads, net->trainable);
    memset(&net->fit, 0, sizeof net->fit);
    net->history_count = 0;
    net->ema_started = 0;
    cvni_free(net, net->best);
    net->best = NULL;
}

static cvn_result cvni_fit_prepare(cvni_fit_run *r)
{
    cvn_net *net = r->net;
    const size_t bytes = (net->trainable + net->running) * sizeof(float);
    cvn_result result = CVN_OK;
    if (r->o.optimizer) {
        cvn_optimizer same = cvni_optimizer_completed(*r->o.optimizer);
        if (r->o.resume && same.kind == net->optimizer.kind &&
            cvni_optimizer_slots(&same) == net->plan.slots)
            net->optimizer = same;
        else result = cvn_set_optimizer(net, r->o.optimizer);
    }
    if (result != CVN_OK) return result;
    if (!r->o.resume) cvni_fit_restart(net);
    if (net->fit.position < 0 || net->fit.position > r->train->count || net->fit.epoch < 0)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_fit: resumes at sample %d of epoch %d; the set has %d samples",
                         net->fit.position, net->fit.epoch + 1, r->train->count);
    if (r->o.keep_best && !net->best) {
        net->best = (float *)cvni_alloc(net, bytes);
        if (!net->best)
            return cvni_fail(net, CVN_ERROR_MEMORY,
                             "cvn_fit: no memory for a copy of the parameters");
        memcpy(net->best, net->weights, bytes);
    }
    r->order = (int *)cvni_alloc(net, cvni_mul_size((size_t)r->train->count + (size_t)r->batch,
                                                    sizeof(int)));
    return r->order ? CVN_OK
                    : cvni_fail(net, CVN_ERROR_MEMORY,
                                "cvn_fit: no memory for the order of %d samples", r->train->count);
}

/* What is left of a run that is complete: the best weights, or the averages. */
static void cvni_fit_finish(cvn_net *net)
{
    const size_t bytes = (net->trainable + net->running) * sizeof(float);
    const float *last = net->best ? net->best : net->ema;
    if (!last) return;
    memcpy(net->weights, last, bytes);
    if (net->ema && last != net->ema) memcpy(net->ema, last, bytes);
    net->weights_version++;
    cvni_free(net, net->best);
    net->best = NULL;
}

/* Options and sets of a run. */
static cvn_result cvni_fit_check(const cvni_fit_run *r)
{
    cvn_net *net = r->net;
    cvn_result result = cvni_check_data(net, r->train);
    if (result == CVN_OK && r->valid) result = cvni_check_data(net, r->valid);
    if (result != CVN_OK) return result;
    if (r->o.epochs < 0 || r->batch < 1 || r->batch > net->max_batch)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_fit: %d epochs, batch %d; the net was built for 1 to %d", r->o.epochs,
                         r->batch, net->max_batch);
    if (r->o.accumulate < 0)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_fit: a step every %d batches",
                         r->o.accumulate);
    if (r->o.drop_last && r->train->count < r->batch)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_fit: %d samples make no batch of %d",
                         r->train->count, r->batch);
    if (r->o.balanced && !r->train->labels)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_fit: options.balanced needs the labels of the set");
    return CVN_OK;
}

cvn_result cvn_fit(cvn_net *net, const cvn_data *train, const cvn_data *valid,
                   const cvn_fit_options *options)
{
    cvni_fit_run r;
    cvn_result result = cvni_needs_own(net, "cvn_fit");
    if (result != CVN_OK) return result;
    memset(&r, 0, sizeof r);
    r.net = net;
    r.train = train;
    r.valid = valid;
    r.o = options ? *options : cvn_fit_defaults();
    if (!r.o.epochs) r.o.epochs = 10;
    r.batch = r.o.batch ? r.o.batch : net->max_batch;
    if (!r.o.shuffle_seed) r.o.shuffle_seed = net->desc.seed;
    r.valid_loss = r.valid_accuracy = NAN;
    result = cvni_fit_check(&r);
    if (result != CVN_OK) return result;
    r.group = cvni_max(r.o.accumulate, 1) > INT_MAX / r.batch
                  ? INT_MAX
                  : r.batch * cvni_max(r.o.accumulate, 1);
    r.steps = r.o.drop_last ? train->count / r.batch * r.batch : train->count;
    r.steps = cvni_ceil_div(r.steps, r.group);
    r.started = r.epoch_started = cvni_seconds();
    result = cvni_fit_prepare(&r);
    if (result == CVN_OK) result = cvni_fit_epochs(&r);
    cvni_free(net, r.order);
    net->weighted = net->mixed = 0;
    if (result == CVN_OK ||
        (result == CVN_STOPPED && r.o.patience > 0 && net->fit.bad_epochs >= r.o.patience))
        cvni_fit_finish(net);
    cvni_fit_tell(&r, CVN_EVENT_END, net->optimizer.lr, result);
    return result;
}

/* ================================================================================================
 * >>check   what is wrong with a net and its data, in words, before hours are spent on them
 * ============================================================================================== */

#define CVNI_CHECK_STEPS 10     /* of the optimizer, on one batch */

static void cvni_check_input(const cvni_layer *in, cvni_text *t)
{
    const size_t n = cvni_elements(in->shape);
    const size_t sample = cvni_sample_elements(in->shape);
    double sum = 0;
    double squares = 0;
    double mean, std;
    int differs = 0;
    if (!cvni_all_finite(in->y, n)) {
        cvni_print(t, "input '%s' has values that are not finite (NaN or Inf); clean the data\n",
                   in->name);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        sum += (double)in->y[i];
        squares += (double)in->y[i] * (double)in->y[i];
        differs |= in->y[i] != in->y[i % sample];
    }
    mean = sum / (double)n;
    std = sqrt(squares / (double)n - mean * mean > 0 ? squares / (double)n - mean * mean : 0);
    if (!differs && in->shape.dim[0] > 1)
        cvni_print(t, "input '%s' is the same for all samples of the batch; is it loaded?\n",
                   in->name);
    else if (fabs(mean) > 3 || std > 5 || std < 0.05)
        cvni_print(t,
                   "input '%s' is not normalised: mean %.3g, standard deviation %.3g; bring them "
                   "near 0 and 1 "
                   "(cvn_data.mean and std, or (x - mean)/std)\n",
                   in->name, mean, std);
}

/* A loss over classes and their labels; *ignore receives the label that does not count. */
static int cvni_is_label_loss(const cvni_layer *l, int *ignore)
{
    *ignore = CVNI_IGNORE_INDEX;
    if (l->op == &cvni_op_softmax_loss) *ignore = ((const cvni_ce_desc *)l->desc)->ignore_index;
    else if (l->op != &cvni_nll_loss.op && l->op != &cvni_multi_margin_loss.op) return 0;
    return 1;
}

/* The labels of one loss; 0 when some are out of range. */
static int cvni_check_labels_of(const cvn_net *net, const cvni_layer *l, int ignore, cvni_text *t)
{
    const cvn_shape s = cvni_in(net, l, 0)->shape;
    const int classes = s.dim[cvni_class_axis(s)];
    const int *labels = (const int *)(const void *)cvni_in(net, l, 1)->y;
    const size_t n = cvni_elements(cvni_in(net, l, 1)->shape);
    size_t outside = 0, same = 0;
    int example = 0;
    for (size_t i = 0; i < n; i++) {
        same += labels[i] == labels[0];
        if (labels[i] == ignore || (labels[i] >= 0 && labels[i] < classes)) continue;
        outside++;
        example = labels[i];
    }
    if (outside)
        cvni_print(t,
                   "%lu of %lu labels are not in 0..%d (one is %d); has the last layer as many "
                   "units as there are classes?\n",
                   (unsigned long)outside, (unsigned long)n, classes - 1, example);
    else if (same == n && n > 1)
        cvni_print(t,
                   "all %lu labels of the batch are %d; shuffle the data or look at the loader\n",
                   (unsigned long)n, labels[0]);
    return outside == 0;
}

/* Labels of each classification loss. Returns 0 when some are out of range: the net cannot run
 * then. */
static int cvni_check_labels(cvn_net *net, cvni_text *t)
{
    int fine = 1;
    for (int id = 1; id < net->layer_count; id++) {
        int ignore;
        if (cvni_is_label_loss(&net->layers[id], &ignore))
            fine &= cvni_check_labels_of(net, &net->layers[id], ignore, t);
    }
    return fine;
}

/* Channels (units) of a relu that are zero in all samples of the batch. */
static int cvni_dead_channels(const cvni_layer *l)
{
    const int channels = l->shape.dim[1];
    const ptrdiff_t inner = (ptrdiff_t)(cvni_sample_elements(l->shape) / (size_t)channels);
    int dead = 0;
    for (int c = 0; c < channels; c++) {
        int zero = 1;
        for (int n = 0; zero && n < l->shape.dim[0]; n++)
            for (ptrdiff_t i = 0; zero && i < inner; i++)
                zero = l->y[((ptrdiff_t)n * channels + c) * inner + i] == 0;
        dead += zero;
    }
    return dead;
}

/* A forward pass that looks at each layer's value before the next one may reuse its memory. */
static cvn_result cvni_check_forward(cvn_net *net, cvni_text *t)
{
    net->training = 1;
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        cvn_result result = CVN_OK;
        if (!l->op->forward || l->place.skip) continue;
        result = cvni_forward_layer(net, l);
        if (result != CVN_OK) return result;
        if (l->op == &cvni_op_relu && l->shape.rank >= 2 && l->shape.dim[0] > 1 &&
            2 * cvni_dead_channels(l) > l->shape.dim[1])
            cvni_print(t,
                       "'%s': %d of %d units are 0 for every sample of the batch (dead); look at "
                       "the bias and scale of the "
                       "layer before it, or use leaky_relu\n",
                       l->name, cvni_dead_channels(l), l->shape.dim[1]);
        if (!l->is_int && !cvni_all_finite(l->y, cvni_elements(l->shape))) {
            cvni_print(t, "'%s' (%s) makes values that are not finite\n", l->name, l->op->type);
            return CVN_ERROR_NUMBER;
        }
        if (l->op == &cvni_op_softmax_loss) {
            const cvn_shape s = cvni_in(net, l, 0)->shape;
            const double chance = log((double)s.dim[cvni_class_axis(s)]);
            if ((double)l->y[0] > 4 * chance + 1)
                cvni_print(t,
                           "the first loss of '%s' is %.3g, far above ln(classes) = %.3g of a "
                           "guess; the inputs or the initial "
                           "weights are too large\n",
                           l->name, (double)l->y[0], chance);
        }
    }
    return CVN_OK;
}

/* A few steps on the batch in the net: does the loss fall? The dropout mask of both measurements is
 * the same. */
static cvn_result cvni_check_rate(cvn_net *net, cvni_text *t)
{
    const uint64_t tick = net->tick;
    double before, after;
    cvn_result result = cvni_run(net, 1, 1);
    before = (double)net->loss;
    for (int i = 0; result == CVN_OK && i < CVNI_CHECK_STEPS && cvni_is_finite((double)net->loss);
         i++) {
        cvn_backward(net);
        cvni_step(net, net->optimizer.lr);
        net->tick = tick;
        result = cvni_run(net, 1, 1);
    }
    after = (double)net->loss;
    if (result != CVN_OK) return result;
    if (!cvni_is_finite(after) || after > 2 * before + 0.1)
        cvni_print(t,
                   "the learning rate %g is too high: %d steps on one batch took the loss from "
                   "%.4g to %.4g\n",
                   (double)net->optimizer.lr, CVNI_CHECK_STEPS, before, after);
    else if (fabs(before - after) < 1e-5 * fabs(before))
        cvni_print(t,
                   "the learning rate %g is too low: %d steps on one batch left the loss at %.6g\n",
                   (double)net->optimizer.lr, CVNI_CHECK_STEPS, before);
    return CVN_OK;
}

/* All that training changes, to be put back. */
typedef struct cvni_snapshot {
    size_t params, state, grads;        /* bytes */
    char *copy;                         /* parameters, optimizer state, gradients */
    float *ema;                         /* out of the net meanwhile: no step changes them */
    uint64_t tick, step;
    cvni_fit_state fit;
} cvni_snapshot;

/* Gradients are zero afterwards. */
static cvn_result cvni_take_snapshot(cvn_net *net, cvni_snapshot *s, const char *call)
{
    s->params = (net->trainable + net->running) * sizeof(float);
    s->grads = net->trainable * sizeof(float);
    s->state = cvni_align(s->grads) * (size_t)net->plan.slots;
    s->copy = (char *)cvni_alloc(net, cvni_add_size(s->params, cvni_add_size(s->state, s->grads)));
    if (!s->copy)
        return cvni_fail(net, CVN_ERROR_MEMORY, "%s: no memory for a copy of the parameters", call);
    memcpy(s->copy, net->weights, s->params);
    memcpy(s->copy + s->params, net->state, s->state);
    memcpy(s->copy + s->params + s->state, net->grads, s->grads);
    cvni_zero(net->grads, net->trainable);
    s->ema = net->ema;
    s->tick = net->tick;
    s->step = net->optimizer_step;
    s->fit = net->fit;
    net->ema = NULL;
    return CVN_OK;
}

static void cvni_put_back(cvn_net *net, cvni_snapshot *s)
{
    memcpy(net->weights, s->copy, s->params);
    memcpy(net->state, s->copy + s->params, s->state);
    memcpy(net->grads, s->copy + s->params + s->state, s->grads);
    net->ema = s->ema;
    net->tick = s->tick;
    net->optimizer_step = s->step;
    net->fit = s->fit;
    net->weights_version++;
    net->forward_done = 0;
    net->weighted = net->mixed = 0;
    cvni_free(net, s->copy);
}

static cvn_result cvni_check_batch(cvn_net *net, const cvn_data *data, cvni_text *t)
{
    int *work = data->fill
                    ? (int *)cvni_alloc(net, cvni_mul_size((size_t)net->max_batch, sizeof(int)))
                    : NULL;
    cvn_result result = CVN_OK;
    if (data->fill && !work) return cvni_fail(net, CVN_ERROR_MEMORY, "cvn_check: out of memory");
    result = cvni_gather_range(net, data, 0, cvni_min(data->count, net->max_batch), work);
    cvni_free(net, work);
    if (result != CVN_OK) return result;
    for (int id = 1; id < net->layer_count; id++)
        if (net->layers[id].op == &cvni_op_input) cvni_check_input(&net->layers[id], t);
    if (!cvni_check_labels(net, t)) return CVN_OK;
    result = cvni_check_forward(net, t);
    if (result == CVN_OK) result = cvni_check_rate(net, t);
    return result == CVN_ERROR_NUMBER ? CVN_OK : result;
}

int cvn_check(cvn_net *net, const cvn_data *data, char *text, size_t size)
{
    cvni_text t;
    cvni_snapshot s;
    cvn_result result = cvni_needs_own(net, "cvn_check");
    if (result == CVN_OK) result = cvni_check_data(net, data);
    if (result == CVN_OK) result = cvni_take_snapshot(net, &s, "cvn_check");
    if (result != CVN_OK) return (int)result;
    t.text = text;
    t.size = size;
    t.length = 0;
    if (size) text[0] = 0;
    result = cvni_check_batch(net, data, &t);
    net->weighted = 0;
    cvni_put_back(net, &s);
    return result == CVN_OK ? (int)t.length : (int)result;
}

/* ================================================================================================
 * >>lr-range   which learning rate: a short training with a rising one
 * ==============================================================================================
 *   rate      of batch i of n: low*(high/low)^(i/(n - 1))
 *   loss      m = 0.98*m + 0.02*loss of the batch, m/(1 - 0.98^(i + 1)); the batch's own number is
 *             found before the step with its rate
 *   end       the loss exceeds 4 times the least so far (where that is not above 0, it by 3 times
 *             the larger of its size and the first), or is not finite: that batch is not counted
 *   steepest  the rate in the middle of the steepest fall of the loss over ln(rate): least squares
 *             over 1/10 of the batches, at least 3, none behind the least loss
 *   source    L. Smith, arXiv:1506.01186, section 3.3            tested: tests/test_fit.c */

#define CVNI_RANGE_SMOOTH 0.98

static double cvni_range_rate(const cvn_lr_range *o, int i)
{
    const double part = o->steps > 1 ? (double)i / (o->steps - 1) : 0;
    return (double)o->low * pow((double)o->high / (double)o->low, part);
}

/* Slope of the loss over the number of the batch, batches first..first + n. */
static double cvni_range_slope(const cvn_lr_range_result *r, int first, int n)
{
    double sum = 0;
    double norm = 0;
    for (int i = 0; i < n; i++) {
        const double x = i - (n - 1) / 2.0;
        sum += x * (double)r->loss[first + i];
        norm += x * x;
    }
    return sum / norm;
}

static void cvni_range_suggest(cvn_lr_range_result *r)
{
    const int n = cvni_max(r->count / 10, 3);
    int least = 0;
    double steepest = 0;
    for (int i = 1; i < r->count; i++) if (r->loss[i] < r->loss[least]) least = i;
    r->suggested = least ? r->lr[least] / 10 : 0;
    r->steepest = 0;
    for (int first = 0; first + n <= least + 1; first++) {
        const double slope = cvni_range_slope(r, first, n);
        if (slope >= steepest) continue;
        steepest = slope;
        r->steepest = r->lr[first + n / 2];
    }
}

/* Takes the loss of the next batch in; 0 when the test is at its end. */
static int cvni_range_record(cvn_lr_range_result *r, double *mean, double *best, double lr,
                             double loss)
{
    double smooth, limit;
    if (!cvni_is_finite(loss)) return 0;
    *mean = CVNI_RANGE_SMOOTH * *mean + (1 - CVNI_RANGE_SMOOTH) * loss;
    smooth = *mean / (1 - pow(CVNI_RANGE_SMOOTH, r->count + 1));
    if (r->count == 0 || smooth < *best) *best = smooth;
    limit = *best > 0 ? 4 * *best
                      : *best + 3 * fmax(fabs(*best), r->count ? fabs((double)r->loss[0]) : 0);
    if (smooth > limit) return 0;
    r->lr[r->count] = (float)lr;
    r->loss[r->count++] = (float)smooth;
    return 1;
}

static int cvni_range_tell(const cvni_fit_run *run, const cvn_lr_range *o, cvn_event event,
                           const cvn_lr_range_result *r, cvn_result result)
{
    const double seconds = cvni_seconds() - run->started;
    cvn_progress p;
    if (!o->callback) return 0;
    memset(&p, 0, sizeof p);
    p.net = run->net;
    p.event = event;
    p.epoch = p.epochs = 1;
    p.batch = r->count;
    p.batches = o->steps;
    p.loss = r->count ? (double)r->loss[r->count - 1] : NAN;
    p.accuracy = p.valid_loss = p.valid_accuracy = NAN;
    p.lr = r->count ? r->lr[r->count - 1] : o->low;
    p.seconds = seconds;
    if (r->count && seconds > 0) {
        p.samples_per_second = (double)r->count * run->batch / seconds;
        p.seconds_left = seconds / r->count * (o->steps - r->count);
    }
    p.result = result;
    return o->callback(o->user, &p);
}

static cvn_result cvni_range_run(cvni_fit_run *run, const cvn_lr_range *o, cvn_lr_range_result *r)
{
    cvn_net *net = run->net;
    cvni_fit_state *f = &net->fit;
    double mean = 0;
    double best = 0;
    memset(f, 0, sizeof *f);
    for (int i = 0; i < o->steps; i++) {
        const double lr = cvni_range_rate(o, i);
        int n = cvni_fit_count(run, f->position);
        cvn_result result;
        if (i == 0 || n == 0) {
            f->epoch += i > 0;
            f->position = 0;
            n = cvni_fit_count(run, 0);
            result = cvni_fit_order(run);
            if (result != CVN_OK) return result;
        }
        result = cvni_fit_gather(run, n);
        if (result == CVN_OK) result = cvni_run(net, 1, 1);
        if (result != CVN_OK) return result;
        if (!cvni_range_record(r, &mean, &best, lr, (double)net->loss)) return CVN_OK;
        cvni_backward(net, 1);
        cvni_step(net, (float)lr);
        f->position += n;
        if (cvni_range_tell(run, o, CVN_EVENT_BATCH, r, CVN_OK)) return CVN_STOPPED;
    }
    return CVN_OK;
}

static cvn_result cvni_range_check(cvn_net *net, const cvn_data *data, const cvn_lr_range *o,
                                   int batch, cvn_lr_range_result *out)
{
    if (!out) return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_lr_range_test: no room for a result");
    if (!cvni_at_least(o->low, 0) || !cvni_is_finite((double)o->high) || !(o->high > o->low) ||
        o->low == 0)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_lr_range_test: rates from %g to %g do not rise", (double)o->low,
                         (double)o->high);
    if (o->steps < 2 || o->steps > CVN_MAX_RANGE_STEPS || batch < 1 || batch > net->max_batch)
        return cvni_fail(net, CVN_ERROR_ARGUMENT,
                         "cvn_lr_range_test: %d steps of 2 to %d, batch %d of 1 to %d", o->steps,
                         CVN_MAX_RANGE_STEPS, batch, net->max_batch);
    return cvni_check_data(net, data);
}

cvn_result cvn_lr_range_test(cvn_net *net, const cvn_data *data, const cvn_lr_range *options,
                             cvn_lr_range_result *out)
{
    cvni_fit_run run;
    cvni_snapshot s;
    cvn_lr_range o;
    cvn_result result = cvni_needs_own(net, "cvn_lr_range_test");
    if (result != CVN_OK) return result;
    memset(&o, 0, sizeof o);
    if (options) o = *options;
    if (o.low == 0) o.low = 1e-7f;
    if (o.high == 0) o.high = 10;
    if (o.steps == 0) o.steps = 100;
    memset(&run, 0, sizeof run);
    run.net = net;
    run.train = data;
    run.batch = o.batch ? o.batch : net->max_batch;
    run.o.shuffle_seed = net->desc.seed;
    result = cvni_range_check(net, data, &o, run.batch, out);
    if (result == CVN_OK) result = cvni_take_snapshot(net, &s, "cvn_lr_range_test");
    if (result != CVN_OK) return result;
    memset(out, 0, sizeof *out);
    run.started = cvni_seconds();
    run.order = (int *)cvni_alloc(net, cvni_mul_size((size_t)data->count + (size_t)run.batch,
                                                     sizeof(int)));
    cvni_reset_optimizer(net);
    if (run.order) result = cvni_range_run(&run, &o, out);
    else
        result = cvni_fail(net, CVN_ERROR_MEMORY,
                           "cvn_lr_range_test: no memory for the order of %d samples", data->count);
    cvni_free(net, run.order);
    cvni_put_back(net, &s);
    if (result >= 0) cvni_range_suggest(out);
    cvni_range_tell(&run, &o, CVN_EVENT_END, out, result);
    return result;
}

/* ================================================================================================
 * >>history   what a training looked like: a progress line, CSV, a picture of the curves
 * ==============================================================================================
 *   CSV    header epoch,loss,accuracy,valid_loss,valid_accuracy,lr,seconds; one line an epoch, from
 *          1; as few digits as give the float back, with a decimal point in any locale; an empty
 *          cell for NaN
 *   SVG    one panel for the loss, one for the accuracy where there is any; points that are no
 *          finite numbers are left out, and so is the line to them; integer coordinates; no style
 *          sheet, script or font of its own                         tested: tests/test_history.c */

int cvn_history_count(const cvn_net *net)
{
    return net ? net->history_count : 0;
}

cvn_history cvn_history_at(const cvn_net *net, int epoch)
{
    cvn_history none;
    if (net && epoch >= 0 && epoch < net->history_count) return net->history[epoch];
    none.loss = none.accuracy = none.valid_loss = none.valid_accuracy = none.lr = none.seconds =
        (float)NAN;
    return none;
}

#ifndef CONVNET_NO_STDIO

#if defined(_WIN32)
    #include <io.h>
#elif defined(__unix__) || defined(__APPLE__) || defined(__HAIKU__)
    #include <unistd.h>
#endif

/* ---- progress on stderr ---- */

static int cvni_on_terminal(void)
{
#if defined(_WIN32)
    return _isatty(2);
#elif defined(__unix__) || defined(__APPLE__) || defined(__HAIKU__)
    return isatty(2);
#else
    return 0;
#endif
}

/* "0:07", "12:34", "1:02:03" */
static void cvni_print_time(cvni_text *t, double seconds)
{
    const long s = seconds >= 0 && seconds < 3.6e9 ? (long)(seconds + 0.5) : 0;
    if (s >= 3600) cvni_print(t, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else cvni_print(t, "%ld:%02ld", s / 60, s % 60);
}

/* " 7/10" */
static void cvni_print_part(cvni_text *t, int part, int whole)
{
    cvni_print(t, "%*d/%d", snprintf(NULL, 0, "%d", whole), part, whole);
}

static void cvni_print_loss(cvni_text *t, double loss, double accuracy)
{
    cvni_print(t, fabs(loss) < 1e-3 || fabs(loss) >= 1e4 ? " %.3e" : " %.4f", loss);
    if (accuracy >= 0) cvni_print(t, "  %6.2f %%", 100 * accuracy);
}

/* " 3/10 [=========>          ] 312/938 loss 0.2345 92.31 % 5321/s ETA 0:42": at most 79 columns as
 *                             a rule */
static void cvni_print_bar(cvni_text *t, const cvn_progress *p)
{
    const int width = 20;
    const int done = p->batches > 0 ? (int)((int64_t)width * p->batch / p->batches) : 0;
    cvni_print_part(t, p->epoch, p->epochs);
    cvni_print(t, " [");
    for (int i = 0; i < width; i++) cvni_print(t, "%c", i < done ? '=' : i == done ? '>' : ' ');
    cvni_print(t, "] ");
    cvni_print_part(t, p->batch, p->batches);
    cvni_print(t, "  loss");
    cvni_print_loss(t, p->loss, p->accuracy);
    cvni_print(t, "  %.0f/s  ETA ", p->samples_per_second);
    cvni_print_time(t, p->seconds_left);
}

/* "epoch  3/10  loss 0.2345   92.31 %  validation 0.2001   93.87 %  5321/s  0:42  best" */
static void cvni_print_epoch(cvni_text *t, const cvn_progress *p)
{
    cvni_print(t, "epoch ");
    cvni_print_part(t, p->epoch, p->epochs);
    cvni_print(t, "  loss");
    cvni_print_loss(t, p->loss, p->accuracy);
    if (p->valid_loss == p->valid_loss || p->valid_accuracy >= 0) {
        cvni_print(t, "  validation");
        cvni_print_loss(t, p->valid_loss, p->valid_accuracy);
    }
    cvni_print(t, "  %.0f/s  ", p->samples_per_second);
    cvni_print_time(t, p->seconds);
    if (p->best_epoch == p->epoch) cvni_print(t, "  best");
}

/* Whether a tenth of a second has begun since the batch before, if batches take their average time:
 * a callback that remembers nothing redraws about ten times a second. */
static int cvni_redraw(const cvn_progress *p)
{
    const double batches = (double)(p->epoch - 1) * p->batches + p->batch;
    const double before = p->seconds - p->seconds / (batches > 1 ? batches : 1);
    return p->batch == p->batches || floor(10 * p->seconds) > floor(10 * before);
}

int cvn_print_progress(void *user, const cvn_progress *progress)
{
    char line[256];
    cvni_text t = { line, sizeof line, 0 };
    const int terminal = cvni_on_terminal();
    (void)user;
    if (!progress) return 0;
    line[0] = 0;
    if (progress->event == CVN_EVENT_BATCH) {
        if (!terminal || !cvni_redraw(progress)) return 0;
        cvni_print_bar(&t, progress);
        fprintf(stderr, "\r%-78s", line);
    } else if (progress->event == CVN_EVENT_EPOCH) {
        cvni_print_epoch(&t, progress);
        fprintf(stderr, terminal ? "\r%-78s\n" : "%s\n", line);
    } else if (progress->result != CVN_OK) {
        cvni_print(&t, "stopped in epoch %d", progress->epoch);
        if (progress->best_epoch > 0) cvni_print(&t, ", best epoch %d", progress->best_epoch);
        if (progress->result < 0) cvni_print(&t, ": %s", cvn_result_name(progress->result));
        fprintf(stderr, terminal ? "\r%-78s\n" : "%s\n", line);
    }
    fflush(stderr);
    return 0;
}

/* ---- files ---- */

/* Whatever the locale takes for a decimal point becomes '.'. */
static void cvni_to_point(char *text)
{
    char *to = text;
    int foreign = 0;
    for (const char *p = text; *p; p++) {
        const int known = (*p >= '0' && *p <= '9') || *p == '-' || *p == '+' || *p == 'e' ||
                          *p == 'E';
        if (known) *to++ = *p;
        else if (!foreign) *to++ = '.';
        foreign = !known;
    }
    *to = 0;
}

/* The shortest decimal text that gives x back; "" for NaN, "inf", "-inf". buffer holds at least 32
 * bytes. */
static const char *cvni_float_text(float x, char *buffer)
{
    if (x != x) return "";
    if (!cvni_is_finite((double)x)) return x > 0 ? "inf" : "-inf";
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(buffer, 32, "%.*g", digits, (double)x);
        if ((float)strtod(buffer, NULL) == x) break;
    }
    cvni_to_point(buffer);
    return buffer;
}

static FILE *cvni_picture_open(cvn_net *net, const char *path, cvn_result *result)
{
    FILE *f = fopen(path, "wb");
    *result = f ? CVN_OK : cvni_fail(net, CVN_ERROR_FILE, "cannot open %s for writing", path);
    return f;
}

/* A file for the history, or NULL with *result and the message set. */
static FILE *cvni_history_open(cvn_net *net, const char *path, cvn_result *result)
{
    *result = CVN_ERROR_ARGUMENT;
    if (!net) return NULL;
    if (!path) {
        *result = cvni_fail(net, CVN_ERROR_ARGUMENT, "the history's path is NULL");
        return NULL;
    }
    if (net->history_count < 1) {
        *result = cvni_fail(net, CVN_ERROR_STATE,
                            "there is no history: cvn_fit has not finished an epoch");
        return NULL;
    }
    return cvni_picture_open(net, path, result);
}

static cvn_result cvni_history_close(cvn_net *net, const char *path, FILE *f)
{
    const int bad = ferror(f);
    if (fclose(f) == 0 && !bad) return CVN_OK;
    return cvni_fail(net, CVN_ERROR_FILE, "cannot write %s: disk full?", path);
}

/* errors   CVN_ERROR_STATE without a finished epoch; CVN_ERROR_FILE; CVN_ERROR_ARGUMENT for a NULL
 *          path */
cvn_result cvn_history_save_csv(cvn_net *net, const char *path)
{
    cvn_result r;
    FILE *f = cvni_history_open(net, path, &r);
    if (!f) return r;
    fprintf(f, "epoch,loss,accuracy,valid_loss,valid_accuracy,lr,seconds\n");
    for (int i = 0; i < net->history_count; i++) {
        const cvn_history *h = &net->history[i];
        const float cell[6] = { h->loss,           h->accuracy, h->valid_loss,
                                h->valid_accuracy, h->lr,       h->seconds };
        char text[32];
        fprintf(f, "%d", i + 1);
        for (int k = 0; k < 6; k++) fprintf(f, ",%s", cvni_float_text(cell[k], text));
        fprintf(f, "\n");
    }
    return cvni_history_close(net, path, f);
}

/* ---- the picture: coordinates are tenths of a pixel, so that no decimal point is needed ---- */

enum {
    CVNI_PANEL_X = 700,
    CVNI_PANEL_Y = 620,
    CVNI_PANEL_W = 3900,
    CVNI_PANEL_H = 2800,
    CVNI_PANEL_STEP = 4900,
    CVNI_PANEL_MARGIN = 200,
    CVNI_PICTURE_H = 4000
};

static const char *const cvni_curve_color[2] = { "#2563eb", "#ea580c" };
static const char *const cvni_curve_name[2] = { "training", "validation" };

/* One panel: curve 0 is of the training set, 1 of the validation set; or, range given, the one
 * curve of a range test. */
typedef struct cvni_panel {
    FILE *f;
    const cvn_history *history;
    const cvn_lr_range_result *range;
    int count;
    int accuracy;               /* 0: loss; 1: accuracy in percent */
    int left;                   /* of the plot area */
    double low, high, step;     /* of the value axis */
} cvni_panel;

static float cvni_panel_value(const cvni_panel *p, int curve, int i)
{
    const cvn_history *h = p->history + i;
    if (p->range) return curve ? (float)NAN : p->range->loss[i];
    if (p->accuracy) return 100.0f * (curve ? h->valid_accuracy : h->accuracy);
    return curve ? h->valid_loss : h->loss;
}

/* The smallest of 1, 2, 5 times a power of ten that is not below x > 0. */
static double cvni_nice_step(double x)
{
    const double power = pow(10.0, floor(log10(x)));
    const double m = x / power;
    return (m <= 1.0000001 ? 1 : m <= 2.0000001 ? 2 : m <= 5.0000001 ? 5 : 10) * power;
}

/* Range and step of the value axis around all finite values; 0 when there is none. */
static int cvni_panel_range(cvni_panel *p)
{
    double low = DBL_MAX, high = -DBL_MAX, margin;
    for (int curve = 0; curve < 2; curve++) {
        for (int i = 0; i < p->count; i++) {
            const float v = cvni_panel_value(p, curve, i);
            if (!cvni_is_finite((double)v)) continue;
            low = (double)v < low ? (double)v : low;
            high = (double)v > high ? (double)v : high;
        }
    }
    if (low > high) return 0;
    if (!p->accuracy && low >= 0 && low < 0.5 * high) low = 0;
    margin = high > low ? 0.02 * (high - low) : fabs(high) > 1e-30 ? 0.1 * fabs(high) : 1;
    if (low != 0) low -= margin;
    if (p->accuracy && low < 0) low = 0;
    high += margin;
    if (p->accuracy && high > 100) high = 100;
    p->step = cvni_nice_step((high - low) / 7);
    p->low = p->step * floor(low / p->step + 1e-9);
    p->high = p->step * ceil(high / p->step - 1e-9);
    return 1;
}

static int cvni_panel_rate_x(const cvni_panel *p, double rate);

/* Place of a point of a curve, from 1. */
static int cvni_panel_x(const cvni_panel *p, int epoch)
{
    if (p->range) return cvni_panel_rate_x(p, (double)p->range->lr[epoch - 1]);
    if (p->count == 1) return p->left + CVNI_PANEL_W / 2;
    return p->left + (int)((double)CVNI_PANEL_W * (epoch - 1) / (p->count - 1) + 0.5);
}

static int cvni_panel_y(const cvni_panel *p, double value)
{
    const double share = (value - p->low) / (p->high - p->low);
    return CVNI_PANEL_Y + CVNI_PANEL_H - (int)((double)CVNI_PANEL_H * share + 0.5);
}

static void cvni_panel_text(const cvni_panel *p, int x, int y, const char *anchor,
                            const char *color, const char *text)
{
    fprintf(p->f, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\" fill=\"%s\">%s</text>\n", x, y,
            anchor, color, text);
}

static void cvni_panel_line(const cvni_panel *p, int x1, int y1, int x2, int y2, const char *color)
{
    fprintf(p->f,
            "<line x1=\"%d\" y1=\"%d\" x2=\"%d\" y2=\"%d\" stroke=\"%s\" stroke-width=\"10\"/>\n",
            x1, y1, x2, y2, color);
}

static const int cvni_panel_bottom = CVNI_PANEL_Y + CVNI_PANEL_H;

/* Grid and ticks of the values, the frame's left side and the name of the other axis. */
static void cvni_panel_values(const cvni_panel *p, const char *name)
{
    const int right = p->left + CVNI_PANEL_W;
    const int ticks = (int)((p->high - p->low) / p->step + 0.5);
    const int decimals = p->step < 1 ? (int)ceil(-log10(p->step) - 1e-9) : 0;
    char text[64];
    for (int i = 0; i <= ticks; i++) {
        const double value = p->low + i * p->step;
        const int y = cvni_panel_y(p, value);
        if (decimals > 6 || fabs(value) >= 1e6) snprintf(text, sizeof text, "%.3e", value);
        else snprintf(text, sizeof text, "%.*f", decimals, fabs(value) < 1e-9 ? 0.0 : value);
        cvni_to_point(text);
        cvni_panel_line(p, p->left, y, right, y, i ? "#e5e7eb" : "#6b7280");
        cvni_panel_text(p, p->left - 80, y + 40, "end", "#4b5563", text);
    }
    cvni_panel_line(p, p->left, CVNI_PANEL_Y, p->left, cvni_panel_bottom, "#6b7280");
    cvni_panel_text(p, p->left + CVNI_PANEL_W / 2, cvni_panel_bottom + 390, "middle", "#4b5563",
                    name);
}

static void cvni_panel_tick(const cvni_panel *p, int x, const char *text)
{
    cvni_panel_line(p, x, cvni_panel_bottom, x, cvni_panel_bottom + 50, "#6b7280");
    cvni_panel_text(p, x, cvni_panel_bottom + 190, "middle", "#4b5563", text);
}

static void cvni_panel_epochs(const cvni_panel *p)
{
    const int every = p->count > 10 ? (int)(cvni_nice_step(p->count / 10.0) + 0.5) : 1;
    char text[64];
    for (int epoch = every; epoch <= p->count; epoch += every) {
        snprintf(text, sizeof text, "%d", epoch);
        cvni_panel_tick(p, cvni_panel_x(p, epoch), text);
        if (epoch > INT_MAX - every) break;
    }
}

/* Place of a rate: the logarithm from the first rate of the test to its last. */
static int cvni_panel_rate_x(const cvni_panel *p, double rate)
{
    const double first = log10((double)p->range->lr[0]);
    const double last = log10((double)p->range->lr[p->count - 1]);
    double share = (log10(rate) - first) / (last - first);
    if (!(share > 0)) share = 0;
    if (share > 1) share = 1;
    return p->left + (int)((double)CVNI_PANEL_W * share + 0.5);
}

/* A tick at each power of ten, or at every n-th, and the suggested rate. */
static void cvni_panel_rates(const cvni_panel *p)
{
    const int first = (int)ceil(log10((double)p->range->lr[0]) - 1e-5);
    const int last = (int)floor(log10((double)p->range->lr[p->count - 1]) + 1e-5);
    char text[64], label[80];
    for (int power = first; power <= last; power += 1 + (last - first) / 12) {
        snprintf(text, sizeof text, "1e%d", power);
        cvni_panel_tick(p, cvni_panel_rate_x(p, pow(10.0, power)), text);
    }
    if (p->range->suggested > p->range->lr[0]) {
        const int x = cvni_panel_rate_x(p, (double)p->range->suggested);
        cvni_panel_line(p, x, CVNI_PANEL_Y, x, cvni_panel_bottom, cvni_curve_color[1]);
        snprintf(text, sizeof text, "%.2g", (double)p->range->suggested);
        cvni_to_point(text);
        snprintf(label, sizeof label, "suggested %s", text);
        cvni_panel_text(p, p->left + CVNI_PANEL_W, 380, "end", cvni_curve_color[1], label);
    }
}

/* A line through consecutive finite points; dots where they are few or alone. */
static void cvni_panel_curve(const cvni_panel *p, int curve)
{
    const char *color = cvni_curve_color[curve];
    int open = 0;
    fprintf(p->f,
            "<path fill=\"none\" stroke=\"%s\" stroke-width=\"22\" stroke-linejoin=\"round\" d=\"",
            color);
    for (int i = 0; i < p->count; i++) {
        const float v = cvni_panel_value(p, curve, i);
        if (cvni_is_finite((double)v))
            fprintf(p->f, "%s%d %d", open ? " L" : " M", cvni_panel_x(p, i + 1),
                    cvni_panel_y(p, (double)v));
        open = cvni_is_finite((double)v);
    }
    fprintf(p->f, "\"/>\n");
    for (int i = 0; i < p->count; i++) {
        const float v = cvni_panel_value(p, curve, i);
        const int alone = (i == 0 || !cvni_is_finite((double)cvni_panel_value(p, curve, i - 1))) &&
                          (i == p->count - 1 ||
                           !cvni_is_finite((double)cvni_panel_value(p, curve, i + 1)));
        if (cvni_is_finite((double)v) && (p->count <= 30 || alone))
            fprintf(p->f, "<circle cx=\"%d\" cy=\"%d\" r=\"%d\" fill=\"%s\"/>\n",
                    cvni_panel_x(p, i + 1), cvni_panel_y(p, (double)v), p->count <= 30 ? 30 : 20,
                    color);
    }
}

/* The last finite value of a curve behind its name; curves without one are not named. */
static void cvni_panel_legend(const cvni_panel *p)
{
    int x = p->left + CVNI_PANEL_W;
    for (int curve = 1; curve >= 0; curve--) {
        char number[32], text[80];
        int last = p->count - 1;
        const char *format = "%.2f";
        float v;
        while (last >= 0 && !cvni_is_finite((double)cvni_panel_value(p, curve, last))) last--;
        if (last < 0) continue;
        v = cvni_panel_value(p, curve, last);
        if (!p->accuracy)
            format = fabs((double)v) < 1e-3 || fabs((double)v) >= 1e4 ? "%.2e" : "%.4f";
        snprintf(number, sizeof number, format, (double)v);
        cvni_to_point(number);
        snprintf(text, sizeof text, "%s %s", cvni_curve_name[curve], number);
        cvni_panel_text(p, x, 380, "end", cvni_curve_color[curve], text);
        x -= 70 * (int)strlen(text) + 160;
    }
}

static void cvni_panel_draw(cvni_panel *p)
{
    if (!cvni_panel_range(p)) {
        p->low = 0;
        p->high = p->step = 1;
    }
    fprintf(p->f,
            "<text x=\"%d\" y=\"380\" font-size=\"170\" font-weight=\"bold\" "
            "fill=\"#111827\">%s</text>\n",
            p->left, p->accuracy ? "Accuracy, %" : "Loss");
    cvni_panel_values(p, p->range ? "learning rate" : "epoch");
    if (p->range) cvni_panel_rates(p);
    else cvni_panel_epochs(p);
    for (int curve = 0; curve < 2; curve++) cvni_panel_curve(p, curve);
    if (!p->range) cvni_panel_legend(p);
}

static void cvni_picture_begin(FILE *f, int width, const char *title)
{
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d "
            "%d\" "
            "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"120\">\n<title>%s"
            "</title>\n",
            width / 10, CVNI_PICTURE_H / 10, width, CVNI_PICTURE_H, title);
    fprintf(f, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, CVNI_PICTURE_H);
}

/* errors   as cvn_history_save_csv */
cvn_result cvn_history_save_svg(cvn_net *net, const char *path)
{
    cvn_result r;
    cvni_panel p;
    int width = CVNI_PANEL_STEP + CVNI_PANEL_MARGIN;
    FILE *f = cvni_history_open(net, path, &r);
    if (!f) return r;
    memset(&p, 0, sizeof p);
    p.f = f;
    p.history = net->history;
    p.count = net->history_count;
    p.accuracy = 1;
    if (cvni_panel_range(&p)) width += CVNI_PANEL_STEP;
    cvni_picture_begin(f, width, "training history");
    for (int panel = 0; panel < width / CVNI_PANEL_STEP; panel++) {
        p.accuracy = panel;
        p.left = CVNI_PANEL_X + panel * CVNI_PANEL_STEP;
        cvni_panel_draw(&p);
    }
    fprintf(f, "</svg>\n");
    return cvni_history_close(net, path, f);
}

cvn_result cvn_lr_range_save_svg(cvn_net *net, const cvn_lr_range_result *result, const char *path)
{
    cvni_panel p;
    cvn_result r;
    if (!net) return CVN_ERROR_ARGUMENT;
    if (!result || !path)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_lr_range_save_svg: no result or no path");
    if (result->count < 2)
        return cvni_fail(net, CVN_ERROR_STATE, "cvn_lr_range_save_svg: %d batches make no curve",
                         result->count);
    if (result->count > CVN_MAX_RANGE_STEPS || !(result->lr[0] > 0) ||
        !(result->lr[result->count - 1] > result->lr[0]) ||
        !cvni_is_finite((double)result->lr[result->count - 1]))
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "cvn_lr_range_save_svg: rates do not rise");
    memset(&p, 0, sizeof p);
    p.f = cvni_picture_open(net, path, &r);
    if (!p.f) return r;
    p.range = result;
    p.count = result->count;
    p.left = CVNI_PANEL_X;
    cvni_picture_begin(p.f, CVNI_PANEL_STEP + CVNI_PANEL_MARGIN, "learning rate range test");
    cvni_panel_draw(&p);
    fprintf(p.f, "</svg>\n");
    return cvni_history_close(net, path, p.f);
}

#endif /* CONVNET_NO_STDIO */

/* ================================================================================================
 * >>safetensors   weights and checkpoints: hostile files in, atomic files out
 * ==============================================================================================
 *   file        u64 n | n bytes of JSON, blanks at its end make n a multiple of 8 | data; all
 *               little-endian
 *   JSON        { "__metadata__": { text: text, ... }, name: { "dtype": "F32", "shape": [dims],
 *               "data_offsets": [begin, end] }, ... }; offsets in bytes from the start of the data.
 *               The tensors cover the data without holes, overlaps or a rest.
 *   weights     every parameter and running statistic by its name, F32; metadata "format": "pt"
 *   checkpoint  a weights file with more tensors, F32 as well:
 *                 cvn.state.0, .1, .2 [P] optimizer state over the P elements of
 *                 cvn_flat_gradients, as many arrays as the optimizer has (>>optim)
 *                 cvn.best [P+R] parameters of the best epoch, as in cvn_flat_parameters; only
 *                                                    where cvn_fit keeps them
 *                 cvn.ema [P+R] averages of the parameters, in the same order; only where there
 *                                                    are any (cvn_set_ema)
 *                 cvn.history [E, 6] rows of cvn_history, in its order; only where E > 0
 *               and more metadata, all of it text:
 *                 cvn.version                1, this format's
 *                 cvn.optimizer              its name: adam, adamw, sgd, ... (>>optim)
 *                 cvn.optimizer_step         steps made (decimal, as all integers)
 *                 cvn.tick training forward passes made: the step of the dropout stream
 *                 cvn.seed                   cvn_desc.seed
 *                 cvn.epoch .position .step epochs done, samples of the current one done, steps
 *                 done in all
 *                 cvn.loss_sum .correct_sum .weight_sum      of the current epoch so far
 *                 cvn.best_loss .best_epoch .bad_epochs      early stopping
 *                 cvn.plateau_best .plateau_bad .plateau_cuts        CVN_SCHEDULE_PLATEAU
 *               Doubles (the sums, best_loss) are the 64 bits of IEEE 754 as 16 hex digits: they
 *               return bit for bit.
 *   reading     a file is believed only after all of it was checked; then nothing can fail any
 *               more, and only then the net is changed. Tensors named "cvn." and more belong to
 *               checkpoints: cvn_load leaves them out.
 *   source      https://huggingface.co/docs/safetensors         tested: tests/test_safetensors.c */

/* ---- numbers: little-endian bytes, half floats ---- */

enum {
    CVNI_DTYPE_INTEGER = 0,
    CVNI_DTYPE_OTHER,
    CVNI_DTYPE_F32,
    CVNI_DTYPE_F64,
    CVNI_DTYPE_F16,
    CVNI_DTYPE_BF16
};

typedef struct cvni_dtype { const char *name; size_t bytes; int kind; } cvni_dtype;

static const cvni_dtype cvni_dtypes[] = {
    { "F32", 4, CVNI_DTYPE_F32 },       { "F64", 8, CVNI_DTYPE_F64 },
    { "F16", 2, CVNI_DTYPE_F16 },       { "BF16", 2, CVNI_DTYPE_BF16 },
    { "BOOL", 1, CVNI_DTYPE_INTEGER },  { "U8", 1, CVNI_DTYPE_INTEGER },
    { "I8", 1, CVNI_DTYPE_INTEGER },    { "U16", 2, CVNI_DTYPE_INTEGER },
    { "I16", 2, CVNI_DTYPE_INTEGER },   { "U32", 4, CVNI_DTYPE_INTEGER },
    { "I32", 4, CVNI_DTYPE_INTEGER },   { "U64", 8, CVNI_DTYPE_INTEGER },
    { "I64", 8, CVNI_DTYPE_INTEGER },   { "F8_E4M3", 1, CVNI_DTYPE_OTHER },
    { "F8_E5M2", 1, CVNI_DTYPE_OTHER }, { "F8_E8M0", 1, CVNI_DTYPE_OTHER },
    { "C64", 8, CVNI_DTYPE_OTHER }
};

static int cvni_little_endian(void)
{
    const uint32_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static uint64_t cvni_le_word(const unsigned char *p, size_t bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < bytes; i++) word |= (uint64_t)p[i] << (8 * i);
    return word;
}

static float cvni_word_to_float(uint32_t word)
{
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static double cvni_word_to_double(uint64_t word)
{
    double value;
    memcpy(&value, &word, sizeof value);
    return value;
}

static uint64_t cvni_double_to_word(double value)
{
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

/* IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 of fraction. Exact; the bits of a NaN
 * stay. */
static float cvni_half_to_float(uint32_t h)
{
    const uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 0x1Fu, fraction = h & 0x3FFu;
    if (exponent == 31) return cvni_word_to_float(sign | 0x7F800000u | fraction << 13);
    if (exponent != 0) return cvni_word_to_float(sign | (exponent + 112) << 23 | fraction << 13);
    /* subnormal: fraction * 2^-24 */
    return (sign ? -1.0f : 1.0f) * ((float)fraction * (1.0f / 16777216.0f));
}

/* count little-endian elements of a float dtype, at any address, to floats. */
static void cvni_read_floats(const cvni_dtype *dtype, const unsigned char *from, size_t count,
                             float *to)
{
    if (dtype->kind == CVNI_DTYPE_F32 && cvni_little_endian()) {
        if (count) memcpy(to, from, count * sizeof(float));
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t word = cvni_le_word(from + i * dtype->bytes, dtype->bytes);
        switch (dtype->kind) {
        case CVNI_DTYPE_F32: to[i] = cvni_word_to_float((uint32_t)word); break;
        case CVNI_DTYPE_F64: to[i] = (float)cvni_word_to_double(word); break;
        case CVNI_DTYPE_F16: to[i] = cvni_half_to_float((uint32_t)word); break;
        /* bfloat16: a float's upper half */
        default: to[i] = cvni_word_to_float((uint32_t)word << 16); break;
        }
    }
}

/* ---- JSON: as much of it as the header needs, in place; the first mistake stops everything
 * ---- */

#define CVNI_JSON_DEPTH 32      /* of values that are skipped */

typedef struct cvni_json {
    char *at, *end;
    const char *wrong;          /* NULL while all is well */
} cvni_json;

static int cvni_json_stop(cvni_json *j, const char *wrong)
{
    if (!j->wrong) j->wrong = wrong;
    return 0;
}

/* The next character that is no blank; 0 at the end and after a mistake. */
static int cvni_json_peek(cvni_json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
    return j->wrong || j->at == j->end ? 0 : (unsigned char)*j->at;
}

static int cvni_json_take(cvni_json *j, int c, const char *wrong)
{
    if (cvni_json_peek(j) != c) return cvni_json_stop(j, wrong);
    j->at++;
    return 1;
}

/* Steps to the next element of an object or array, over the comma; 0 behind its end and after a
 * mistake. */
static int cvni_json_more(cvni_json *j, int close, int *first)
{
    const int c = cvni_json_peek(j);
    if (j->wrong) return 0;
    if (c == close) {
        j->at++;
        return 0;
    }
    if (!*first && !cvni_json_take(j, ',', "',' or a closing bracket expected")) return 0;
    *first = 0;
    return 1;
}

static int cvni_json_hex4(cvni_json *j, uint32_t *unit)
{
    if (j->end - j->at < 4) return cvni_json_stop(j, "unfinished \\u escape");
    *unit = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        const char c = *j->at;
        if (c >= '0' && c <= '9') *unit = *unit << 4 | (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f') *unit = *unit << 4 | (uint32_t)(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') *unit = *unit << 4 | (uint32_t)(c - 'A' + 10);
        else return cvni_json_stop(j, "a \\u escape without four hex digits");
    }
    return 1;
}

/* \uXXXX, or a surrogate pair of two, as UTF-8: at most 3 bytes for 6, 4 for 12. 0 is refused:
 * names are C texts. */
static int cvni_json_unicode(cvni_json *j, char **out)
{
    uint32_t u, low = 0;
    if (!cvni_json_hex4(j, &u)) return 0;
    if (u >= 0xD800u && u <= 0xDBFFu) {
        if (j->end - j->at < 6 || memcmp(j->at, "\\u", 2))
            return cvni_json_stop(j, "half a surrogate pair");
        j->at += 2;
        if (!cvni_json_hex4(j, &low)) return 0;
        if (low < 0xDC00u || low > 0xDFFFu) return cvni_json_stop(j, "half a surrogate pair");
        u = 0x10000u + ((u - 0xD800u) << 10) + (low - 0xDC00u);
    } else if (u == 0 || (u >= 0xDC00u && u <= 0xDFFFu)) {
        return cvni_json_stop(j, u ? "half a surrogate pair" : "a 0 in a text");
    }
    if (u < 0x80u) {
        *(*out)++ = (char)u;
        return 1;
    }
    if (u < 0x800u) {
        *(*out)++ = (char)(0xC0u | u >> 6);
    } else {
        if (u < 0x10000u) *(*out)++ = (char)(0xE0u | u >> 12);
        else {
            *(*out)++ = (char)(0xF0u | u >> 18);
            *(*out)++ = (char)(0x80u | (u >> 12 & 0x3Fu));
        }
        *(*out)++ = (char)(0x80u | (u >> 6 & 0x3Fu));
    }
    *(*out)++ = (char)(0x80u | (u & 0x3Fu));
    return 1;
}

static int cvni_json_escape(cvni_json *j, char **out)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char c = j->at < j->end ? *j->at++ : 0;
    const char *hit = c ? strchr(letters, c) : NULL;
    if (c == 'u') return cvni_json_unicode(j, out);
    if (!hit) return cvni_json_stop(j, "unknown escape in a text");
    *(*out)++ = meanings[hit - letters];
    return 1;
}

/* A string, decoded where it stands (it never grows) and ended by a 0, at the latest over its
 * closing quote. NULL after a mistake. */
static char *cvni_json_string(cvni_json *j)
{
    char *text, *out;
    if (!cvni_json_take(j, '"', "a text in quotes expected")) return NULL;
    text = out = j->at;
    while (j->at < j->end && *j->at != '"') {
        const char c = *j->at++;
        if ((unsigned char)c < 0x20) cvni_json_stop(j, "a control character in a text");
        else if (c == '\\') cvni_json_escape(j, &out);
        else *out++ = c;
        if (j->wrong) return NULL;
    }
    if (j->at == j->end) {
        cvni_json_stop(j, "a text without its closing quote");
        return NULL;
    }
    j->at++;
    *out = 0;
    return text;
}

static char *cvni_json_key(cvni_json *j)
{
    char *key = cvni_json_string(j);
    return key && cvni_json_take(j, ':', "':' expected") ? key : NULL;
}

/* A non-negative whole number. */
static int cvni_json_number(cvni_json *j, size_t *number)
{
    const int c = cvni_json_peek(j);
    const char *begin = j->at;
    *number = 0;
    if (c < '0' || c > '9') return cvni_json_stop(j, "a non-negative whole number expected");
    while (j->at < j->end && *j->at >= '0' && *j->at <= '9') {
        const size_t digit = (size_t)(*j->at - '0');
        if (*number > (SIZE_MAX - digit) / 10) return cvni_json_stop(j, "a number too large");
        *number = *number * 10 + digit;
        j->at++;
    }
    return c != '0' || j->at - begin == 1 ? 1 : cvni_json_stop(j, "a number that begins with 0");
}

/* Any value, of an unknown key. Numbers are taken by their letters alone: nothing is done with
 * them. */
static int cvni_json_skip(cvni_json *j, int depth)
{
    static const char *const literals[] = { "true", "false", "null" };
    const int c = cvni_json_peek(j);
    int first = 1;
    if (depth > CVNI_JSON_DEPTH) return cvni_json_stop(j, "nested too deeply");
    if (c == '"') return cvni_json_string(j) != NULL;
    if (c == '{' || c == '[') {
        j->at++;
        while (cvni_json_more(j, c == '{' ? '}' : ']', &first)) {
            if (c == '{') cvni_json_key(j);
            cvni_json_skip(j, depth + 1);
        }
        return !j->wrong;
    }
    for (int i = 0; i < 3; i++) {
        const size_t length = strlen(literals[i]);
        if ((size_t)(j->end - j->at) < length || memcmp(j->at, literals[i], length)) continue;
        j->at += length;
        return 1;
    }
    if (c != '-' && (c < '0' || c > '9')) return cvni_json_stop(j, "a value expected");
    while (j->at < j->end && *j->at && strchr("0123456789+-.eE", *j->at)) j->at++;
    return 1;
}

/* ---- reading: header -> array of tensors, all of it checked ---- */

enum {
    CVNI_META_VERSION,
    CVNI_META_OPTIMIZER,
    CVNI_META_OPTIMIZER_STEP,
    CVNI_META_TICK,
    CVNI_META_SEED,
    CVNI_META_EPOCH,
    CVNI_META_POSITION,
    CVNI_META_STEP,
    CVNI_META_LOSS_SUM,
    CVNI_META_CORRECT_SUM,
    CVNI_META_WEIGHT_SUM,
    CVNI_META_BEST_LOSS,
    CVNI_META_BEST_EPOCH,
    CVNI_META_BAD_EPOCHS,
    CVNI_META_PLATEAU_BEST,
    CVNI_META_PLATEAU_BAD,
    CVNI_META_PLATEAU_CUTS,
    CVNI_METAS
};

typedef struct cvni_meta {
    const char *key;
    int form;                   /* 'd' decimal, 'x' 16 hex digits, 'o' an optimizer's name */
    uint64_t limit;             /* largest value */
} cvni_meta;

static const cvni_meta cvni_metas[CVNI_METAS] = {
    { "cvn.version", 'd', UINT64_MAX },
    { "cvn.optimizer", 'o', CVN_LION },
    { "cvn.optimizer_step", 'd', UINT64_MAX },
    { "cvn.tick", 'd', UINT64_MAX },
    { "cvn.seed", 'd', UINT64_MAX },
    { "cvn.epoch", 'd', INT_MAX },
    { "cvn.position", 'd', INT_MAX },
    { "cvn.step", 'd', UINT64_MAX },
    { "cvn.loss_sum", 'x', UINT64_MAX },
    { "cvn.correct_sum", 'x', UINT64_MAX },
    { "cvn.weight_sum", 'x', UINT64_MAX },
    { "cvn.best_loss", 'x', UINT64_MAX },
    { "cvn.best_epoch", 'd', INT_MAX },
    { "cvn.bad_epochs", 'd', INT_MAX },
    { "cvn.plateau_best", 'x', UINT64_MAX },
    { "cvn.plateau_bad", 'd', INT_MAX },
    { "cvn.plateau_cuts", 'd', INT_MAX }
};

typedef struct cvni_tensor {
    const char *name;
    const cvni_dtype *dtype;
    int rank;
    size_t dim[CVN_MAX_RANK];   /* the first ones, where there are more */
    size_t count;               /* elements */
    size_t begin, end;          /* bytes in the data */
    int param;                  /* index of the parameter of that name, or -1 */
    int fits;                   /* and it can be copied there */
} cvni_tensor;

typedef struct cvni_weights_file {
    cvn_net *net;
    const char *label;          /* what messages call it */
    char *header;
    const unsigned char *data;
    size_t header_size, data_size;
    cvni_tensor *tensors;       /* sorted by name */
    int count, capacity;
    int metadata;               /* seen */
    const char *meta[CVNI_METAS];       /* values, NULL: not there */
} cvni_weights_file;

/* A name out of a file for a message: at most 80 bytes, no control characters. buffer holds 96
 * bytes. */
static const char *cvni_printable(const char *name, char *buffer)
{
    size_t n = 0;
    for (; name[n] && n < 80; n++) {
        const unsigned char c = (unsigned char)name[n];
        buffer[n] = c < 0x20 || c == 0x7F ? '?' : name[n];
    }
    memcpy(buffer + n, name[n] ? "..." : "", name[n] ? 4 : 1);
    return buffer;
}

static cvn_result cvni_tensor_fail(const cvni_weights_file *f, const cvni_tensor *t,
                                   const char *wrong)
{
    char name[96];
    return cvni_fail(f->net, CVN_ERROR_FORMAT, "%s: tensor %s (data bytes %.0f to %.0f) %s",
                     f->label, cvni_printable(t->name, name), (double)t->begin, (double)t->end,
                     wrong);
}

static void cvni_json_dtype(cvni_json *j, cvni_tensor *t)
{
    const char *name = cvni_json_string(j);
    if (!name) return;
    for (size_t i = 0; i < sizeof cvni_dtypes / sizeof *cvni_dtypes; i++) {
        if (!strcmp(name, cvni_dtypes[i].name)) t->dtype = &cvni_dtypes[i];
    }
    if (!t->dtype) cvni_json_stop(j, "unknown dtype");
}

static void cvni_json_shape(cvni_json *j, cvni_tensor *t)
{
    int first = 1;
    size_t dim;
    t->rank = 0;
    t->count = 1;
    cvni_json_take(j, '[', "'[' expected");
    while (cvni_json_more(j, ']', &first) && cvni_json_number(j, &dim)) {
        if (t->rank < CVN_MAX_RANK) t->dim[t->rank] = dim;
        if (t->rank <= CVN_MAX_RANK) t->rank++;
        t->count = cvni_mul_size(t->count, dim);
        if (t->count == SIZE_MAX) cvni_json_stop(j, "a shape too large");
    }
}

static void cvni_json_offsets(cvni_json *j, cvni_tensor *t)
{
    cvni_json_take(j, '[', "'[' expected");
    cvni_json_number(j, &t->begin);
    cvni_json_take(j, ',', "',' expected");
    cvni_json_number(j, &t->end);
    cvni_json_take(j, ']', "']' expected");
}

static int cvni_json_tensor(cvni_json *j, cvni_tensor *t)
{
    int first = 1;
    unsigned seen = 0;
    cvni_json_take(j, '{', "'{' expected");
    while (cvni_json_more(j, '}', &first)) {
        const char *key = cvni_json_key(j);
        unsigned field = 0;
        if (!key) break;
        if (!strcmp(key, "dtype")) field = 1;
        else if (!strcmp(key, "shape")) field = 2;
        else if (!strcmp(key, "data_offsets")) field = 4;
        if (seen & field) return cvni_json_stop(j, "a key stands there twice");
        seen |= field;
        if (field == 1) cvni_json_dtype(j, t);
        else if (field == 2) cvni_json_shape(j, t);
        else if (field == 4) cvni_json_offsets(j, t);
        else cvni_json_skip(j, 1);
    }
    return seen == 7 ? !j->wrong
                     : cvni_json_stop(j, "a tensor without dtype, shape or data_offsets");
}

static void cvni_json_metadata(cvni_json *j, cvni_weights_file *f)
{
    int first = 1;
    if (f->metadata) cvni_json_stop(j, "__metadata__ stands there twice");
    f->metadata = 1;
    cvni_json_take(j, '{', "'{' expected");
    while (cvni_json_more(j, '}', &first)) {
        const char *key = cvni_json_key(j);
        const char *value = key ? cvni_json_string(j) : NULL;
        if (!value) return;
        for (int i = 0; i < CVNI_METAS; i++) {
            if (strcmp(key, cvni_metas[i].key)) continue;
            if (f->meta[i]) cvni_json_stop(j, "a checkpoint value stands there twice");
            f->meta[i] = value;
        }
    }
}

static cvn_result cvni_parse_header(cvni_weights_file *f)
{
    cvni_json j = { f->header, f->header + f->header_size, NULL };
    int first = 1;
    if (f->header_size == 0 || f->header[0] != '{')
        cvni_json_stop(&j, "a header that does not begin with '{'");
    cvni_json_take(&j, '{', "'{' expected");
    while (cvni_json_more(&j, '}', &first)) {
        const char *name = cvni_json_key(&j);
        cvni_tensor t;
        if (!name) break;
        if (!strcmp(name, "__metadata__")) {
            cvni_json_metadata(&j, f);
            continue;
        }
        memset(&t, 0, sizeof t);
        t.name = name;
        t.param = -1;
        if (!cvni_json_tensor(&j, &t)) break;
        if (f->count >= INT_MAX / 2 ||
            !cvni_grow(f->net, (void **)&f->tensors, &f->capacity, f->count, sizeof *f->tensors)) {
            return cvni_fail(f->net, CVN_ERROR_MEMORY, "%s: out of memory for its header",
                             f->label);
        }
        f->tensors[f->count++] = t;
    }
    cvni_json_peek(&j);
    if (j.at < j.end) cvni_json_stop(&j, "something behind the header's end");
    if (!j.wrong) return CVN_OK;
    return cvni_fail(f->net, CVN_ERROR_FORMAT, "%s: header, byte %lu of the file: %s", f->label,
                     (unsigned long)(8 + (j.at - f->header)), j.wrong);
}

static int cvni_by_place(const void *a, const void *b)
{
    const cvni_tensor *s = (const cvni_tensor *)a, *t = (const cvni_tensor *)b;
    if (s->begin != t->begin) return s->begin < t->begin ? -1 : 1;
    return s->end == t->end ? 0 : s->end < t->end ? -1 : 1;
}

static int cvni_by_name(const void *a, const void *b)
{
    return strcmp(((const cvni_tensor *)a)->name, ((const cvni_tensor *)b)->name);
}

/* Sizes, places and names; leaves the tensors sorted by name. */
static cvn_result cvni_check_tensors(cvni_weights_file *f)
{
    size_t place = 0;
    if (f->count) qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, cvni_by_place);
    for (int i = 0; i < f->count; i++) {
        const cvni_tensor *t = &f->tensors[i];
        if (t->begin > t->end) return cvni_tensor_fail(f, t, "ends before it begins");
        if (t->end > f->data_size)
            return cvni_tensor_fail(f, t, "reaches behind the file's end: truncated?");
        if (cvni_mul_size(t->count, t->dtype->bytes) != t->end - t->begin) {
            return cvni_tensor_fail(f, t, "has not the bytes that its shape and dtype need");
        }
        if (t->begin < place) return cvni_tensor_fail(f, t, "overlaps the one before");
        if (t->begin > place) return cvni_tensor_fail(f, t, "leaves a hole before it");
        place = t->end;
    }
    if (place != f->data_size) {
        return cvni_fail(f->net, CVN_ERROR_FORMAT, "%s: %.0f bytes behind the last tensor",
                         f->label, (double)(f->data_size - place));
    }
    if (f->count) qsort(f->tensors, (size_t)f->count, sizeof *f->tensors, cvni_by_name);
    for (int i = 1; i < f->count; i++) {
        if (!cvni_by_name(&f->tensors[i - 1], &f->tensors[i])) {
            return cvni_tensor_fail(f, &f->tensors[i], "stands there twice");
        }
    }
    return CVN_OK;
}

/* Fills f from the bytes of a file; f->data points into them. cvni_close_weights follows whatever
 * the result. */
static cvn_result cvni_open_weights(cvni_weights_file *f, cvn_net *net, const char *label,
                                    const unsigned char *bytes, size_t size)
{
    uint64_t n;
    cvn_result r;
    memset(f, 0, sizeof *f);
    f->net = net;
    f->label = label;
    if (size < 8) {
        return cvni_fail(net, CVN_ERROR_FORMAT, "%s: %d bytes are no safetensors file", label,
                         (int)size);
    }
    n = cvni_le_word(bytes, 8);
    if (n > (uint64_t)CONVNET_MAX_FILE_HEADER) {
        return cvni_fail(net, CVN_ERROR_FORMAT,
                         "%s: a header of %.0f bytes, over CONVNET_MAX_FILE_HEADER: no "
                         "safetensors file?",
                         label, (double)n);
    }
    if (n > size - 8) {
        return cvni_fail(net, CVN_ERROR_FORMAT,
                         "%s: truncated: a header of %.0f bytes in a file of %.0f", label,
                         (double)n, (double)size);
    }
    f->header_size = (size_t)n;
    f->data = bytes + 8 + f->header_size;
    f->data_size = size - 8 - f->header_size;
    f->header = (char *)cvni_alloc(net, f->header_size);
    if (!f->header)
        return cvni_fail(net, CVN_ERROR_MEMORY, "%s: out of memory for its header", label);
    memcpy(f->header, bytes + 8, f->header_size);
    r = cvni_parse_header(f);
    return r == CVN_OK ? cvni_check_tensors(f) : r;
}

static void cvni_close_weights(cvni_weights_file *f)
{
    cvni_free(f->net, f->tensors);
    cvni_free(f->net, f->header);
}

static cvni_tensor *cvni_find_tensor(const cvni_weights_file *f, const char *name)
{
    int low = 0, high = f->count;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        const int order = strcmp(f->tensors[middle].name, name);
        if (order == 0) return &f->tensors[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* ---- loading: names and shapes against the net's, then the copy ---- */

/* What does not fit, one text for all; what has no room is counted. */
typedef struct cvni_misfits {
    char text[sizeof ((cvn_net *)0)->message];
    cvni_text out;
    int count, left_out;
} cvni_misfits;

#define CVNI_MISFITS_TAIL 32    /* bytes kept for "; and N more" */

CVNI_PRINTF(2, 3)
static void cvni_misfit(cvni_misfits *m, const char *format, ...)
{
    char item[400];
    va_list args;
    va_start(args, format);
    vsnprintf(item, sizeof item, format, args);
    va_end(args);
    if (m->left_out || m->out.length + strlen(item) + 2 + CVNI_MISFITS_TAIL > sizeof m->text)
        m->left_out++;
    else cvni_print(&m->out, m->count ? "; %s" : " %s", item);
    m->count++;
}

/* "F16 [6, 1, 5, 5]", and "[6, 1, 5, 5]" for a parameter. buffer holds 160 bytes: 6 times 20 digits
 * and the rest. */
static const char *cvni_tensor_text(const cvni_tensor *t, char *buffer)
{
    cvni_text out = { buffer, 160, 0 };
    cvni_print(&out, "%s [", t->dtype->name);
    for (int i = 0; i < t->rank && i < CVN_MAX_RANK; i++)
        cvni_print(&out, i ? ", %.0f" : "%.0f", (double)t->dim[i]);
    cvni_print(&out, t->rank > CVN_MAX_RANK ? ", ...]" : "]");
    return buffer;
}

static const char *cvni_param_text(const cvni_param *p, char *buffer)
{
    cvni_text out = { buffer, 160, 0 };
    cvni_print(&out, "[");
    for (int i = 0; i < p->shape.rank; i++) cvni_print(&out, i ? ", %d" : "%d", p->shape.dim[i]);
    cvni_print(&out, "]");
    return buffer;
}

static int cvni_tensor_fits(const cvni_tensor *t, const cvni_param *p)
{
    if (t->dtype->kind < CVNI_DTYPE_F32 || t->rank != p->shape.rank || t->count != p->count)
        return 0;
    for (int i = 0; i < t->rank; i++) {
        if (t->dim[i] != (size_t)p->shape.dim[i]) return 0;
    }
    return 1;
}

/* Gives every tensor its parameter and marks those that fit. */
static void cvni_match_tensors(cvni_weights_file *f)
{
    for (int i = 0; i < f->net->param_count; i++) {
        const cvni_param *p = &f->net->params[i];
        cvni_tensor *t = p->dead ? NULL : cvni_find_tensor(f, p->name);
        if (!t) continue;
        t->param = i;
        t->fits = cvni_tensor_fits(t, p);
    }
}

/* The strict rule: every parameter has its tensor, every tensor of floats its parameter. */
static cvn_result cvni_require_all(cvni_weights_file *f)
{
    char name[96], is[160], needs[160];
    cvni_misfits m;
    memset(&m, 0, sizeof m);
    m.out.text = m.text;
    m.out.size = sizeof m.text;
    cvni_print(&m.out, "%s:", f->label);
    for (int i = 0; i < f->net->param_count; i++) {
        const cvni_param *p = &f->net->params[i];
        const cvni_tensor *t = p->dead ? NULL : cvni_find_tensor(f, p->name);
        if (p->dead || (t && t->fits)) continue;
        if (!t) cvni_misfit(&m, "missing %s", p->name);
        else
            cvni_misfit(&m, "%s is %s, needs %s", p->name, cvni_tensor_text(t, is),
                        cvni_param_text(p, needs));
    }
    for (int i = 0; i < f->count; i++) {
        const cvni_tensor *t = &f->tensors[i];
        if (t->param >= 0 || t->dtype->kind == CVNI_DTYPE_INTEGER || !strncmp(t->name, "cvn.", 4))
            continue;
        cvni_misfit(&m, "left over %s", cvni_printable(t->name, name));
    }
    if (m.count == 0) return CVN_OK;
    if (m.left_out)
        cvni_print(&m.out, m.count > m.left_out ? "; and %d more" : " %d names do not fit",
                   m.left_out);
    return cvni_fail(f->net, CVN_ERROR_SHAPE, "%s", m.text);
}

/* Copies all tensors that fit; cannot fail. Returns their number. */
static int cvni_copy_weights(const cvni_weights_file *f)
{
    cvn_net *net = f->net;
    int copied = 0;
    for (int i = 0; i < f->count; i++) {
        const cvni_tensor *t = &f->tensors[i];
        if (!t->fits) continue;
        cvni_read_floats(t->dtype, f->data + t->begin, t->count,
                         net->weights + net->params[t->param].offset);
        copied++;
    }
    cvn_touch(net);
    return copied;
}

/* What is to become of an open file; *loaded receives the parameters taken. */
typedef cvn_result (*cvni_take)(cvni_weights_file *f, int *loaded);

static cvn_result cvni_take_all(cvni_weights_file *f, int *loaded)
{
    cvn_result r;
    cvni_match_tensors(f);
    r = cvni_require_all(f);
    if (r != CVN_OK) return r;
    *loaded = cvni_copy_weights(f);
    f->net->ema_started = f->net->ema_swapped = 0;
    return CVN_OK;
}

static cvn_result cvni_load_bytes(cvn_net *net, const char *label, const void *bytes, size_t size,
                                  cvni_take take, int *loaded)
{
    cvni_weights_file f;
    cvn_result r = cvni_open_weights(&f, net, label, (const unsigned char *)bytes, size);
    if (r == CVN_OK) r = take(&f, loaded);
    cvni_close_weights(&f);
    return r;
}

/* The net may receive (or give, with writes 0) weights. */
static cvn_result cvni_check_transfer(cvn_net *net, const char *call, const void *argument,
                                      int writes)
{
    if (!net) return CVN_ERROR_STATE;
    if (net->failed) return net->failed;
    if (!net->mode)
        return cvni_fail(net, CVN_ERROR_STATE, "%s: the net is not built; call cvn_build first",
                         call);
    if (net->parent && writes) {
        return cvni_fail(net, CVN_ERROR_STATE,
                         "%s: a shared net; call it on the owner of the weights", call);
    }
    if (!argument)
        return cvni_fail(net, CVN_ERROR_ARGUMENT, "%s: NULL instead of a path or buffer", call);
    return CVN_OK;
}

cvn_result cvn_load_memory(cvn_net *net, const void *bytes, size_t size)
{
    int loaded;
    const cvn_result r = cvni_check_transfer(net, "cvn_load_memory", bytes, 1);
    return r == CVN_OK
               ? cvni_load_bytes(net, "weights in memory", bytes, size, cvni_take_all, &loaded)
               : r;
}

/* ---- saving: one writer for files, buffers and sizes ---- */

typedef struct cvni_sink {
    unsigned char *memory;      /* large enough, or NULL */
#ifndef CONVNET_NO_STDIO
    FILE *file;                 /* or NULL */
    int failed;
#endif
    size_t size;                /* bytes so far */
} cvni_sink;

static void cvni_put(cvni_sink *s, const void *bytes, size_t count)
{
    if (count == 0) return;
    if (s->memory) memcpy(s->memory + s->size, bytes, count);
#ifndef CONVNET_NO_STDIO
    if (s->file && !s->failed && fwrite(bytes, 1, count, s->file) != count) s->failed = 1;
#endif
    s->size = cvni_add_size(s->size, count);
}

static void cvni_put_text(cvni_sink *s, const char *text)
{
    cvni_put(s, text, strlen(text));
}

/* A JSON string. Names are UTF-8 already; only what JSON forbids inside quotes is escaped. */
static void cvni_put_quoted(cvni_sink *s, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    cvni_put_text(s, "\"");
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 0x20) {
            cvni_put_text(s, "\\u00");
            cvni_put(s, &hex[c >> 4], 1);
            cvni_put(s, &hex[c & 15], 1);
        } else {
            if (c == '"' || c == '\\') cvni_put_text(s, "\\");
            cvni_put(s, text, 1);
        }
    }
    cvni_put_text(s, "\"");
}

static void cvni_put_number(cvni_sink *s, uint64_t number, unsigned base, int least_digits)
{
    char digits[20];            /* 2^64 has 20 decimal ones */
    int at = 20;
    while (number || at > 20 - least_digits) {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    }
    cvni_put(s, digits + at, (size_t)(20 - at));
}

static void cvni_put_floats(cvni_sink *s, const float *values, size_t count)
{
    unsigned char block[1024];
    if (cvni_little_endian()) {
        cvni_put(s, values, cvni_mul_size(count, sizeof *values));
        return;
    }
    for (size_t done = 0; done < count;) {
        size_t n = 0;
        for (; n < sizeof block && done < count; n += 4, done++) {
            uint32_t word;
            memcpy(&word, &values[done], sizeof word);
            for (int i = 0; i < 4; i++) block[n + (size_t)i] = (unsigned char)(word >> (8 * i));
        }
        cvni_put(s, block, n);
    }
}

/* One tensor of the file to be written. */
typedef struct cvni_chunk {
    const char *name;
    char own_name[32];
    int rank;
    size_t dim[CVN_MAX_RANK];
    const float *values;
    size_t count;
} cvni_chunk;

/* An array of the optimizer's state; each begins on a cache line. */
static float *cvni_state_slot(const cvn_net *net, int slot)
{
    const size_t bytes = cvni_align(net->trainable * sizeof(float));
    return (float *)(void *)((unsigned char *)net->state + bytes * (size_t)slot);
}

/* What a checkpoint has beyond the weights, by number; 0 behind the last. */
static int cvni_state_chunk(const cvn_net *net, int number, cvni_chunk *c)
{
    const int slots = net->plan.slots, best = net->best != NULL;
    c->name = c->own_name;
    c->rank = 1;
    if (number < slots) {
        snprintf(c->own_name, sizeof c->own_name, "cvn.state.%d", number);
        c->values = cvni_state_slot(net, number);
        c->count = c->dim[0] = net->trainable;
    } else if (best && number == slots) {
        c->name = "cvn.best";
        c->values = net->best;
        c->count = c->dim[0] = net->trainable + net->running;
    } else if (number == slots + best && net->history_count) {
        c->name = "cvn.history";
        c->rank = 2;
        c->dim[0] = (size_t)net->history_count;
        c->dim[1] = sizeof(cvn_history) / sizeof(float);
        c->values = (const float *)net->history;       /* six floats a row */
        c->count = c->dim[0] * c->dim[1];
    } else if (number == slots + best + (net->history_count > 0) && net->ema && net->ema_started) {
        c->name = "cvn.ema";
        c->values = net->ema;
        c->count = c->dim[0] = net->trainable + net->running;
    } else {
        return 0;
    }
    return 1;
}

/* Walks the tensors of the file in their order; *next starts at 0. */
static int cvni_next_chunk(const cvn_net *net, int checkpoint, int *next, cvni_chunk *c)
{
    while (*next < net->param_count && net->params[*next].dead) ++*next;
    if (*next < net->param_count) {
        const cvni_param *p = &net->params[(*next)++];
        c->name = p->name;
        c->rank = p->shape.rank;
        for (int i = 0; i < c->rank; i++) c->dim[i] = (size_t)p->shape.dim[i];
        c->values = net->weights + p->offset;
        c->count = p->count;
        return 1;
    }
    return checkpoint && cvni_state_chunk(net, (*next)++ - net->param_count, c);
}

/* All of the net's training state that is no tensor, as words by CVNI_META_..., and back. */
static void cvni_pack_state(const cvn_net *net, uint64_t *w)
{
    w[CVNI_META_VERSION] = 1;
    w[CVNI_META_OPTIMIZER] = (uint64_t)net->optimizer.kind;
    w[CVNI_META_OPTIMIZER_STEP] = net->optimizer_step;
    w[CVNI_META_TICK] = net->tick;
    w[CVNI_META_SEED] = net->desc.seed;
    w[CVNI_META_EPOCH] = (uint64_t)net->fit.epoch;
    w[CVNI_META_POSITION] = (uint64_t)net->fit.position;
    w[CVNI_META_STEP] = net->fit.step;
    w[CVNI_META_LOSS_SUM] = cvni_double_to_word(net->fit.loss_sum);
    w[CVNI_META_CORRECT_SUM] = cvni_double_to_word(net->fit.correct_sum);
    w[CVNI_META_WEIGHT_SUM] = cvni_double_to_word(net->fit.weight_sum);
    w[CVNI_META_BEST_LOSS] = cvni_double_to_word(net->fit.best_loss);
    w[CVNI_META_BEST_EPOCH] = (uint64_t)net->fit.best_epoch;
    w[CVNI_META_BAD_EPOCHS] = (uint64_t)net->fit.bad_epochs;
    w[CVNI_META_PLATEAU_BEST] = cvni_double_to_word(net->fit.plateau_best);
    w[CVNI_META_PLATEAU_BAD] = (uint64_t)net->fit.plateau_bad;
    w[CVNI_META_PLATEAU_CUTS] = (uint64_t)net->fit.plateau_cuts;
}

static void cvni_put_state(cvni_sink *s, const cvn_net *net)
{
    uint64_t words[CVNI_METAS];
    cvni_pack_state(net, words);
    for (int i = 0; i < CVNI_METAS; i++) {
        cvni_put_text(s, ",");
        cvni_put_quoted(s, cvni_metas[i].key);
        cvni_put_text(s, ":\"");
        if (cvni_metas[i].form == 'o') cvni_put_text(s, cvni_optimizers[words[i]].name);
        else if (cvni_metas[i].form == 'x') cvni_put_number(s, words[i], 16, 16);
        else cvni_put_number(s, words[i], 10, 1);
        cvni_put_text(s, "\"");
    }
}

static void cvni_put_header(cvni_sink *s, const cvn_net *net, int checkpoint)
{
    cvni_chunk c;
    size_t offset = 0;
    cvni_put_text(s, "{\"__metadata__\":{\"format\":\"pt\"");
    if (checkpoint) cvni_put_state(s, net);
    cvni_put_text(s, "}");
    for (int next = 0; cvni_next_chunk(net, checkpoint, &next, &c);) {
        cvni_put_text(s, ",");
        cvni_put_quoted(s, c.name);
        cvni_put_text(s, ":{\"dtype\":\"F32\",\"shape\":[");
        for (int i = 0; i < c.rank; i++) {
            if (i) cvni_put_text(s, ",");
            cvni_put_number(s, c.dim[i], 10, 1);
        }
        cvni_put_text(s, "],\"data_offsets\":[");
        cvni_put_number(s, offset, 10, 1);
        cvni_put_text(s, ",");
        offset = cvni_add_size(offset, cvni_mul_size(c.count, sizeof(float)));
        cvni_put_number(s, offset, 10, 1);
        cvni_put_text(s, "]}");
    }
    cvni_put_text(s, "}");
}

/* The whole file. The header is made twice: once to count it. */
static void cvni_put_weights(cvni_sink *s, const cvn_net *net, int checkpoint)
{
    unsigned char length[8];
    cvni_sink counter;
    cvni_chunk c;
    uint64_t padded;
    memset(&counter, 0, sizeof counter);
    cvni_put_header(&counter, net, checkpoint);
    padded = ((uint64_t)counter.size + 7) & ~(uint64_t)7;
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(padded >> (8 * i));
    cvni_put(s, length, 8);
    cvni_put_header(s, net, checkpoint);
    cvni_put(s, "       ", (size_t)(padded - counter.size));
    for (int next = 0; cvni_next_chunk(net, checkpoint, &next, &c);)
        cvni_put_floats(s, c.values, c.count);
}

size_t cvn_save_size(cvn_net *net)
{
    cvni_sink s;
    if (cvni_check_transfer(net, "cvn_save_size", net, 0) != CVN_OK) return 0;
    memset(&s, 0, sizeof s);
    cvni_put_weights(&s, net, 0);
    return s.size;
}

cvn_result cvn_save_memory(cvn_net *net, void *bytes, size_t size)
{
    const cvn_result r = cvni_check_transfer(net, "cvn_save_memory", bytes, 0);
    cvni_sink s;
    if (r != CVN_OK) return r;
    memset(&s, 0, sizeof s);
    if (size < cvn_save_size(net)) {
        return cvni_fail(net, CVN_ERROR_MEMORY,
                         "cvn_save_memory: a buffer of %.0f bytes for %.0f (cvn_save_size)",
                         (double)size, (double)cvn_save_size(net));
    }
    s.memory = (unsigned char *)bytes;
    cvni_put_weights(&s, net, 0);
    return CVN_OK;
}

#ifndef CONVNET_NO_STDIO

/* The end of a path, so that a long one leaves room for the message. */
static const char *cvni_path_label(const char *path)
{
    const size_t length = strlen(path);
    return length > 160 ? path + length - 160 : path;
}

/* Writes beside the target, then renames: whatever happens, the path holds the old file or the
 * whole new one. */
static cvn_result cvni_save_path(cvn_net *net, const char *path, int checkpoint)
{
    const char *label = cvni_path_label(path);
    const size_t length = strlen(path);
    cvni_sink s;
    int bad;
    char *temporary = (char *)cvni_alloc(net, cvni_add_size(length, 5));
    if (!temporary)
        return cvni_fail(net, CVN_ERROR_MEMORY, "%s: out of memory for its name", label);
    memcpy(temporary, path, length);
    memcpy(temporary + length, ".tmp", 5);
    memset(&s, 0, sizeof s);
    s.file = fopen(temporary, "wb");
    if (!s.file) {
        cvni_free(net, temporary);
        return cvni_fail(net, CVN_ERROR_FILE, "%s: cannot create %s.tmp", label, label);
    }
    cvni_put_weights(&s, net, checkpoint);
    bad = s.failed || fflush(s.file) != 0 || ferror(s.file);
    if (fclose(s.file) != 0) bad = 1;
#ifdef _WIN32
    if (!bad) remove(path);     /* rename does not replace there */
#endif
    if (!bad && rename(temporary, path) != 0) bad = 2;
    if (bad) remove(temporary);
    cvni_free(net, temporary);
    if (bad == 2) return cvni_fail(net, CVN_ERROR_FILE, "%s: cannot be replaced", label);
    return bad ? cvni_fail(net, CVN_ERROR_FILE, "%s: cannot be written (disk full?)", label)
               : CVN_OK;
}

cvn_result cvn_save(cvn_net *net, const char *path)
{
    const cvn_result r = cvni_check_transfer(net, "cvn_save", path, 0);
    return r == CVN_OK ? cvni_save_path(net, path, 0) : r;
}

#define CVNI_READ_BLOCK 65536

/* The size of a file where the C library tells it, else 0: then the buffer grows. Directories tell
 * LONG_MAX. */
static size_t cvni_file_size(FILE *file)
{
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0) size = ftell(file);
    rewind(file);
    return size > 0 && (uint64_t)size < SIZE_MAX / 4 ? (size_t)size : 0;
}

/* Reads to the end. One byte more than the size is asked for, so that the end is seen without
 * growing. NULL when memory is out; *bad when reading failed. */
static unsigned char *cvni_read_stream(cvn_net *net, FILE *file, size_t *size, int *bad)
{
    size_t room = cvni_max_size(cvni_file_size(file), CVNI_READ_BLOCK - 1) + 1;
    unsigned char *block = (unsigned char *)cvni_alloc(net, room);
    *size = 0;
    while (block) {
        unsigned char *bigger;
        *size += fread(block + *size, 1, room - *size, file);
        if (*size < room) break;
        room = cvni_mul_size(room, 2);
        bigger = (unsigned char *)cvni_alloc(net, room);
        if (bigger) memcpy(bigger, block, *size);
        cvni_free(net, block);
        block = bigger;
    }
    *bad = ferror(file) != 0;
    return block;
}

static cvn_result cvni_load_path(cvn_net *net, const char *path, cvni_take take, int *loaded)
{
    const char *label = cvni_path_label(path);
    FILE *file = fopen(path, "rb");
    unsigned char *block;
    size_t size;
    cvn_result r;
    int bad;
    if (!file) return cvni_fail(net, CVN_ERROR_FILE, "%s: cannot be opened", label);
    block = cvni_read_stream(net, file, &size, &bad);
    fclose(file);
    if (bad) r = cvni_fail(net, CVN_ERROR_FILE, "%s: cannot be read", label);
    else if (!block) r = cvni_fail(net, CVN_ERROR_MEMORY, "%s: out of memory for the file", label);
    else r = cvni_load_bytes(net, label, block, size, take, loaded);
    cvni_free(net, block);
    return r;
}

static cvn_result cvni_take_fitting(cvni_weights_file *f, int *loaded)
{
    cvni_match_tensors(f);
    *loaded = cvni_copy_weights(f);
    f->net->ema_started = f->net->ema_swapped = 0;
    return CVN_OK;
}

cvn_result cvn_load(cvn_net *net, const char *path)
{
    int loaded;
    const cvn_result r = cvni_check_transfer(net, "cvn_load", path, 1);
    return r == CVN_OK ? cvni_load_path(net, path, cvni_take_all, &loaded) : r;
}

cvn_result cvn_load_partial(cvn_net *net, const char *path, int *loaded)
{
    const cvn_result r = cvni_check_transfer(net, "cvn_load_partial", path, 1);
    int ignored;
    if (!loaded) loaded = &ignored;
    *loaded = 0;
    return r == CVN_OK ? cvni_load_path(net, path, cvni_take_fitting, loaded) : r;
}

/* ---- checkpoints ---- */

static void cvni_unpack_state(cvn_net *net, const uint64_t *w)
{
    net->optimizer_step = w[CVNI_META_OPTIMIZER_STEP];
    net->tick = w[CVNI_META_TICK];
    net->desc.seed = w[CVNI_META_SEED];
    net->fit.epoch = (int)w[CVNI_META_EPOCH];
    net->fit.position = (int)w[CVNI_META_POSITION];
    net->fit.step = w[CVNI_META_STEP];
    net->fit.loss_sum = cvni_word_to_double(w[CVNI_META_LOSS_SUM]);
    net->fit.correct_sum = cvni_word_to_double(w[CVNI_META_CORRECT_SUM]);
    net->fit.weight_sum = cvni_word_to_double(w[CVNI_META_WEIGHT_SUM]);
    net->fit.best_loss = cvni_word_to_double(w[CVNI_META_BEST_LOSS]);
    net->fit.best_epoch = (int)w[CVNI_META_BEST_EPOCH];
    net->fit.bad_epochs = (int)w[CVNI_META_BAD_EPOCHS];
    net->fit.plateau_best = cvni_word_to_double(w[CVNI_META_PLATEAU_BEST]);
    net->fit.plateau_bad = (int)w[CVNI_META_PLATEAU_BAD];
    net->fit.plateau_cuts = (int)w[CVNI_META_PLATEAU_CUTS];
}

/* One value of the metadata; 0 when it is not of its form. */
static int cvni_parse_meta(const cvni_meta *meta, const char *text, uint64_t *word)
{
    const uint64_t base = meta->form == 'x' ? 16 : 10;
    *word = 0;
    if (meta->form == 'o') {
        for (*word = 0; *word <= meta->limit; ++*word) {
            if (!strcmp(text, cvni_optimizers[*word].name)) return 1;
        }
        return 0;
    }
    if (meta->form == 'x' ? strlen(text) != 16 : !*text) return 0;
    for (; *text; text++) {
        uint64_t digit = base;
        if (*text >= '0' && *text <= '9') digit = (uint64_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f') digit = (uint64_t)(*text - 'a' + 10);
        if (digit >= base || *word > (meta->limit - digit) / base) return 0;
        *word = *word * base + digit;
    }
    return 1;
}

/* All values of the metadata, and the optimizer must be the net's. */
static cvn_result cvni_read_state(const cvni_weights_file *f, uint64_t *words)
{
    const cvn_net *net = f->net;
    char text[96];
    if (!f->meta[CVNI_META_VERSION]) {
        return cvni_fail(f->net, CVN_ERROR_FORMAT,
                         "%s: no checkpoint: a weights file; cvn_load reads it", f->label);
    }
    for (int i = 0; i < CVNI_METAS; i++) {
        if (!f->meta[i]) {
            return cvni_fail(f->net, CVN_ERROR_FORMAT, "%s: no checkpoint: %s is missing", f->label,
                             cvni_metas[i].key);
        }
        if (!cvni_parse_meta(&cvni_metas[i], f->meta[i], &words[i])) {
            return cvni_fail(f->net, CVN_ERROR_FORMAT, "%s: %s is \"%s\", no value of its kind",
                             f->label, cvni_metas[i].key, cvni_printable(f->meta[i], text));
        }
    }
    if (words[CVNI_META_VERSION] != 1) {
        return cvni_fail(f->net, CVN_ERROR_FORMAT,
                         "%s: a checkpoint of version %s; this convnet.h reads 1", f->label,
                         cvni_printable(f->meta[CVNI_META_VERSION], text));
    }
    if (words[CVNI_META_OPTIMIZER] != (uint64_t)net->optimizer.kind) {
        return cvni_fail(f->net, CVN_ERROR_FORMAT,
                         "%s: a checkpoint of %s, but the net's optimizer is %s; call "
                         "cvn_set_optimizer first",
                         f->label, cvni_optimizers[words[CVNI_META_OPTIMIZER]].name,
                         cvni_optimizers[net->optimizer.kind].name);
    }
    return CVN_OK;
}

/* A tensor of the checkpoint: F32 [rows], or [rows, columns] when columns > 0. rows SIZE_MAX: any
 * number. */
static cvn_result cvni_check_state_tensor(const cvni_weights_file *f, const cvni_tensor *t,
                                          size_t rows, size_t columns)
{
    const int rank = columns ? 2 : 1;
    if (t->dtype->kind == CVNI_DTYPE_F32 && t->rank == rank &&
        (rows == SIZE_MAX || t->dim[0] == rows) && (!columns || t->dim[1] == columns))
        return CVN_OK;
    return cvni_tensor_fail(f, t, "is not as this net's checkpoint has it");
}

/* The tensors of a checkpoint; NULL where it has none. */
typedef struct cvni_state_tensors {
    const cvni_tensor *slot[CVNI_MAX_SLOTS];
    const cvni_tensor *best, *history, *ema;
} cvni_state_tensors;

static cvn_result cvni_find_state(const cvni_weights_file *f, cvni_state_tensors *s)
{
    const cvn_net *net = f->net;
    cvn_result r = CVN_OK;
    int slots = 0;
    for (int i = 0; i < CVNI_MAX_SLOTS; i++) {
        char name[32];
        snprintf(name, sizeof name, "cvn.state.%d", i);
        s->slot[i] = cvni_find_tensor(f, name);
        if (!s->slot[i]) continue;
        slots++;
        if (r == CVN_OK) r = cvni_check_state_tensor(f, s->slot[i], net->trainable, 0);
    }
    s->best = cvni_find_tensor(f, "cvn.best");
    s->history = cvni_find_tensor(f, "cvn.history");
    s->ema = cvni_find_tensor(f, "cvn.ema");
    for (int i = 0; i < slots; i++) if (!s->slot[i]) slots = -1;    /* a gap */
    if (slots != net->plan.slots) {
        return cvni_fail(f->net, CVN_ERROR_FORMAT,
                         "%s: a checkpoint with %d arrays of optimizer state, but the "
                         "net's optimizer has %d (momentum or another option differs?)",
                         f->label, slots, net->plan.slots);
    }
    if (r == CVN_OK && s->best)
        r = cvni_check_state_tensor(f, s->best, net->trainable + net->running, 0);
    if (r == CVN_OK && s->ema)
        r = cvni_check_state_tensor(f, s->ema, net->trainable + net->running, 0);
    if (r == CVN_OK && s->history) {
        r = cvni_check_state_tensor(f, s->history, SIZE_MAX, sizeof(cvn_history) / sizeof(float));
        if (r == CVN_OK && s->history->dim[0] > INT_MAX)
            r = cvni_tensor_fail(f, s->history, "is too long");
    }
    return r;
}

/* Takes the memory first; from there on nothing fails. */
static cvn_result cvni_restore_state(const cvni_weights_file *f, const cvni_state_tensors *s,
                                     const uint64_t *words)
{
    cvn_net *net = f->net;
    const size_t rows = s->history ? s->history->dim[0] : 0;
    float *best = s->best ? (float *)cvni_alloc(net, cvni_mul_size(s->best->count, sizeof(float)))
                          : NULL;
    cvn_history *history =
        rows ? (cvn_history *)cvni_alloc(net, cvni_mul_size(rows, sizeof(cvn_history))) : NULL;
    if ((s->best && !best) || (rows && !history)) {
        cvni_free(net, best);
        cvni_free(net, history);
        return cvni_fail(net, CVN_ERROR_MEMORY, "%s: out of memory for best weights and history",
                         f->label);
    }
    for (int i = 0; i < net->plan.slots; i++) {
        const cvni_tensor *t = s->slot[i];
        cvni_read_floats(t->dtype, f->data + t->begin, t->count, cvni_state_slot(net, i));
    }
    if (best) cvni_read_floats(s->best->dtype, f->data + s->best->begin, s->best->count, best);
    if (history) {
        cvni_read_floats(s->history->dtype, f->data + s->history->begin, s->history->count,
                         (float *)history);
    }
    net->ema_swapped = 0;
    net->ema_started = s->ema && net->ema;
    if (net->ema_started)
        cvni_read_floats(s->ema->dtype, f->data + s->ema->begin, s->ema->count, net->ema);
    /* a half-made step is not part of a checkpoint */
    memset(net->grads, 0, net->trainable * sizeof(float));
    cvni_free(net, net->best);
    cvni_free(net, net->history);
    net->best = best;
    net->history = history;
    net->history_count = net->history_capacity = (int)rows;
    cvni_unpack_state(net, words);
    return CVN_OK;
}

static cvn_result cvni_take_checkpoint(cvni_weights_file *f, int *loaded)
{
    uint64_t words[CVNI_METAS];
    cvni_state_tensors tensors;
    cvn_result r = cvni_read_state(f, words);
    cvni_match_tensors(f);
    if (r == CVN_OK) r = cvni_require_all(f);
    if (r == CVN_OK) r = cvni_find_state(f, &tensors);
    if (r == CVN_OK) r = cvni_restore_state(f, &tensors, words);
    if (r == CVN_OK) *loaded = cvni_copy_weights(f);
    return r;
}

static cvn_result cvni_check_checkpoint(cvn_net *net, const char *call, const char *path)
{
    const cvn_result r = cvni_check_transfer(net, call, path, 1);
    if (r != CVN_OK || net->mode == CVN_TRAIN) return r;
    return cvni_fail(net, CVN_ERROR_STATE,
                     "%s: the net is built for prediction alone; call cvn_build", call);
}

cvn_result cvn_save_checkpoint(cvn_net *net, const char *path)
{
    const cvn_result r = cvni_check_checkpoint(net, "cvn_save_checkpoint", path);
    if (r == CVN_OK && net->ema_swapped)
        return cvni_fail(net, CVN_ERROR_STATE,
                         "cvn_save_checkpoint: the net holds its averages; cvn_swap_ema first");
    return r == CVN_OK ? cvni_save_path(net, path, 1) : r;
}

cvn_result cvn_load_checkpoint(cvn_net *net, const char *path)
{
    int loaded;
    const cvn_result r = cvni_check_checkpoint(net, "cvn_load_checkpoint", path);
    return r == CVN_OK ? cvni_load_path(net, path, cvni_take_checkpoint, &loaded) : r;
}

#endif /* CONVNET_NO_STDIO */

CVNI_COLD_END

/* ================================================================================================
 * >>kernels-c   the plain kernels: portable, and the reference of all others
 * ==============================================================================================
 *   Sums run in eight lanes, so that a compiler may vectorise them without reordering what the code
 *   says. */

#define CVNI_LANES 8

#if defined(CVNI_VECTOR4)
typedef float cvni_v4 __attribute__((vector_size(16), aligned(4), may_alias));

/* 4 x 8: eight accumulators of four floats each, named, for no compiler keeps an array of them in
 * registers at -O2. */
static void cvni_gemm_whole_c(const cvni_tile *t, float *c, ptrdiff_t ldc, int add)
{
    const cvni_v4 zero = { 0, 0, 0, 0 };
    cvni_v4 c00 = zero, c01 = zero, c10 = zero, c11 = zero;
    cvni_v4 c20 = zero, c21 = zero, c30 = zero, c31 = zero;
    cvni_v4 *r0 = (cvni_v4 *)(void *)c;
    cvni_v4 *r1 = (cvni_v4 *)(void *)(c + ldc);
    cvni_v4 *r2 = (cvni_v4 *)(void *)(c + 2 * ldc);
    cvni_v4 *r3 = (cvni_v4 *)(void *)(c + 3 * ldc);
    const float *a = t->a;
    const float *b = t->b;
    const ptrdiff_t line = t->a_line;
    for (int k = t->k; k > 0; k--, a += t->a_k, b += t->b_k) {
        const cvni_v4 b0 = *(const cvni_v4 *)(const void *)b;
        const cvni_v4 b1 = *(const cvni_v4 *)(const void *)(b + 4);
        const cvni_v4 a0 = { a[0], a[0], a[0], a[0] };
        const cvni_v4 a1 = { a[line], a[line], a[line], a[line] };
        const cvni_v4 a2 = { a[2 * line], a[2 * line], a[2 * line], a[2 * line] };
        const cvni_v4 a3 = { a[3 * line], a[3 * line], a[3 * line], a[3 * line] };
        c00 += a0 * b0;
        c01 += a0 * b1;
        c10 += a1 * b0;
        c11 += a1 * b1;
        c20 += a2 * b0;
        c21 += a2 * b1;
        c30 += a3 * b0;
        c31 += a3 * b1;
    }
    if (add) {
        c00 += r0[0];
        c01 += r0[1];
        c10 += r1[0];
        c11 += r1[1];
        c20 += r2[0];
        c21 += r2[1];
        c30 += r3[0];
        c31 += r3[1];
    }
    r0[0] = c00;
    r0[1] = c01;
    r1[0] = c10;
    r1[1] = c11;
    r2[0] = c20;
    r2[1] = c21;
    r3[0] = c30;
    r3[1] = c31;
}
#else
static void cvni_gemm_whole_c(const cvni_tile *t, float *c, ptrdiff_t ldc, int add)
{
    float sum[4][8];
    memset(sum, 0, sizeof sum);
    for (int k = 0; k < t->k; k++)
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 8; j++)
                sum[i][j] += t->a[i * t->a_line + k * t->a_k] * t->b[k * t->b_k + j];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 8; j++) c[i * ldc + j] = add ? c[i * ldc + j] + sum[i][j] : sum[i][j];
}
#endif

/* What lies over the edge of c goes through a tile of its own. */
static void cvni_gemm_tile_c(const cvni_tile *t)
{
    float whole[4 * 8];
    if (t->rows == 4 && t->cols == 8) {
        cvni_gemm_whole_c(t, t->c, t->ldc, t->add);
        return;
    }
    cvni_gemm_whole_c(t, whole, 8, 0);
    for (int i = 0; i < t->rows; i++) {
        float *c = t->c + i * t->ldc;
        for (int j = 0; j < t->cols; j++)
            c[j] = t->add ? c[j] + whole[i * 8 + j] : whole[i * 8 + j];
    }
}

CVNI_HOT
static void cvni_pack_rows_c(int lines, int k, const float *p, ptrdiff_t step, int width,
                             float *out)
{
    for (int i = 0; i < lines; i++, p += step)
        for (int j = 0; j < k; j++) out[j * width + i] = p[j];
}

CVNI_HOT
static void cvni_pack_columns_c(int lines, int k, const float *p, ptrdiff_t step, int width,
                                float *out)
{
    for (; k > 0; k--, p += step, out += width)
        for (int i = 0; i < lines; i++) out[i] = p[i];
}

static float cvni_add_lanes(const float s[CVNI_LANES])
{
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

CVNI_HOT
static float cvni_dot_c(int n, const float *a, const float *b)
{
    float s[CVNI_LANES] = { 0 };
    int i = 0;
    for (; i + CVNI_LANES <= n; i += CVNI_LANES)
        for (int j = 0; j < CVNI_LANES; j++) s[j] += a[i + j] * b[i + j];
    for (int j = 0; i < n; i++, j++) s[j] += a[i] * b[i];
    return cvni_add_lanes(s);
}

CVNI_HOT
static float cvni_sum_c(int n, const float *x)
{
    float s[CVNI_LANES] = { 0 };
    int i = 0;
    for (; i + CVNI_LANES <= n; i += CVNI_LANES)
        for (int j = 0; j < CVNI_LANES; j++) s[j] += x[i + j];
    for (int j = 0; i < n; i++, j++) s[j] += x[i];
    return cvni_add_lanes(s);
}

CVNI_HOT
static float cvni_sum_square_diff_c(int n, const float *x, float mean)
{
    float s[CVNI_LANES] = { 0 };
    int i = 0;
    for (; i + CVNI_LANES <= n; i += CVNI_LANES)
        for (int j = 0; j < CVNI_LANES; j++) s[j] += (x[i + j] - mean) * (x[i + j] - mean);
    for (int j = 0; i < n; i++, j++) s[j] += (x[i] - mean) * (x[i] - mean);
    return cvni_add_lanes(s);
}

CVNI_HOT
static float cvni_dot_diff_c(int n, const float *a, const float *x, float mean)
{
    float s[CVNI_LANES] = { 0 };
    int i = 0;
    for (; i + CVNI_LANES <= n; i += CVNI_LANES)
        for (int j = 0; j < CVNI_LANES; j++) s[j] += a[i + j] * (x[i + j] - mean);
    for (int j = 0; i < n; i++, j++) s[j] += a[i] * (x[i] - mean);
    return cvni_add_lanes(s);
}

CVNI_HOT
static void cvni_axpy_c(int n, float alpha, const float *x, float *y)
{
    for (int i = 0; i < n; i++) y[i] += alpha * x[i];
}

CVNI_HOT
static void cvni_scale_shift_c(int n, float scale, float shift, const float *x, float *y)
{
    for (int i = 0; i < n; i++) y[i] = scale * x[i] + shift;
}

CVNI_HOT
static void cvni_add_c(int n, const float *a, const float *b, float *y)
{
    for (int i = 0; i < n; i++) y[i] = a[i] + b[i];
}

/* NaN stays NaN: it is not <= 0. A slope of 0 times -Inf would be one. */
CVNI_HOT
static void cvni_relu_c(int n, float slope, const float *x, float *y)
{
    if (slope == 0) for (int i = 0; i < n; i++) y[i] = x[i] <= 0 ? 0 : x[i];
    else for (int i = 0; i < n; i++) y[i] = x[i] <= 0 ? slope * x[i] : x[i];
}

CVNI_HOT
static void cvni_relu_grad_c(int n, float slope, const float *y, const float *dy, float *dx,
                             int add)
{
    if (add) for (int i = 0; i < n; i++) dx[i] += y[i] > 0 ? dy[i] : slope * dy[i];
    else for (int i = 0; i < n; i++) dx[i] = y[i] > 0 ? dy[i] : slope * dy[i];
}

static const cvni_kernels cvni_kernels_c = { "c",
                                             4,
                                             8,
                                             8,
                                             cvni_gemm_tile_c,
                                             cvni_pack_rows_c,
                                             cvni_pack_columns_c,
                                             cvni_dot_c,
                                             cvni_axpy_c,
                                             cvni_sum_c,
                                             cvni_sum_square_diff_c,
                                             cvni_dot_diff_c,
                                             cvni_scale_shift_c,
                                             cvni_add_c,
                                             cvni_relu_c,
                                             cvni_relu_grad_c };

#if defined(CVNI_X86)
/* ================================================================================================
 * >>kernels-avx2   256-bit vectors with FMA
 * ============================================================================================== */

/* v of lanes below n into c, the rest stays as it is. */
CVNI_TARGET("avx2,fma")
static void cvni_store_avx2(float *c, int n, int add, __m256 v)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
    if (n >= 8) {
        _mm256_storeu_ps(c, add ? _mm256_add_ps(_mm256_loadu_ps(c), v) : v);
    } else if (n > 0) {
        if (add) v = _mm256_add_ps(_mm256_maskload_ps(c, mask), v);
        _mm256_maskstore_ps(c, mask, v);
    }
}

/* Row i of the tile t. */
CVNI_TARGET("avx2,fma")
static void cvni_store_row_avx2(const cvni_tile *t, int i, __m256 v0, __m256 v1, __m256 v2)
{
    float *c = t->c + i * t->ldc;
    if (i >= t->rows) return;
    cvni_store_avx2(c, t->cols, t->add, v0);
    cvni_store_avx2(c + 8, t->cols - 8, t->add, v1);
    cvni_store_avx2(c + 16, t->cols - 16, t->add, v2);
}

#define CVNI_FMA3_AVX2(i) v = _mm256_broadcast_ss(a + i * line); \
    c##i##0 = _mm256_fmadd_ps(v, b0, c##i##0); \
    c##i##1 = _mm256_fmadd_ps(v, b1, c##i##1); c##i##2 = _mm256_fmadd_ps(v, b2, c##i##2)
#define CVNI_FMA2_AVX2(i) v = _mm256_broadcast_ss(a + i * line); \
    c##i##0 = _mm256_fmadd_ps(v, b0, c##i##0); c##i##1 = _mm256_fmadd_ps(v, b1, c##i##1)

/* 4 x 16, for the last columns. */
CVNI_TARGET("avx2,fma")
static void cvni_gemm_narrow_avx2(const cvni_tile *t)
{
    const ptrdiff_t line = t->a_line;
    const __m256 zero = _mm256_setzero_ps();
    __m256 c00 = zero, c01 = zero, c10 = zero, c11 = zero;
    __m256 c20 = zero, c21 = zero, c30 = zero, c31 = zero;
    const float *a = t->a;
    const float *b = t->b;
    const int second = t->cols > 8 ? 8 : 0;     /* a vector beyond the columns is not read */
    for (int k = t->k; k > 0; k--, a += t->a_k, b += t->b_k) {
        const __m256 b0 = _mm256_loadu_ps(b);
        const __m256 b1 = _mm256_loadu_ps(b + second);
        __m256 v;
        CVNI_FMA2_AVX2(0);
        CVNI_FMA2_AVX2(1);
        CVNI_FMA2_AVX2(2);
        CVNI_FMA2_AVX2(3);
    }
    cvni_store_row_avx2(t, 0, c00, c01, zero);
    cvni_store_row_avx2(t, 1, c10, c11, zero);
    cvni_store_row_avx2(t, 2, c20, c21, zero);
    cvni_store_row_avx2(t, 3, c30, c31, zero);
}

/* 4 x 24: twelve accumulators, three of b, one of a: 7 loads for 12 products. */
CVNI_TARGET("avx2,fma")
static void cvni_gemm_tile_avx2(const cvni_tile *t)
{
    const ptrdiff_t line = t->a_line;
    const __m256 zero = _mm256_setzero_ps();
    __m256 c00 = zero, c01 = zero, c02 = zero, c10 = zero, c11 = zero, c12 = zero;
    __m256 c20 = zero, c21 = zero, c22 = zero, c30 = zero, c31 = zero, c32 = zero;
    const float *a = t->a;
    const float *b = t->b;
    if (t->cols <= 16) {
        cvni_gemm_narrow_avx2(t);
        return;
    }
    for (int k = t->k; k > 0; k--, a += t->a_k, b += t->b_k) {
        const __m256 b0 = _mm256_loadu_ps(b);
        const __m256 b1 = _mm256_loadu_ps(b + 8);
        const __m256 b2 = _mm256_loadu_ps(b + 16);
        __m256 v;
        CVNI_FMA3_AVX2(0);
        CVNI_FMA3_AVX2(1);
        CVNI_FMA3_AVX2(2);
        CVNI_FMA3_AVX2(3);
    }
    cvni_store_row_avx2(t, 0, c00, c01, c02);
    cvni_store_row_avx2(t, 1, c10, c11, c12);
    cvni_store_row_avx2(t, 2, c20, c21, c22);
    cvni_store_row_avx2(t, 3, c30, c31, c32);
}

/* Four floats of row i and of row i + 4. */
CVNI_TARGET("avx2,fma")
static CVNI_ALWAYS_INLINE __m256 cvni_two_rows_avx2(const float *p, ptrdiff_t step)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                _mm_loadu_ps(p + 4 * step), 1);
}

/* Eight lines times four k, turned in registers. */
CVNI_TARGET("avx2,fma")
static CVNI_ALWAYS_INLINE void cvni_turn_8x4_avx2(const float *p, ptrdiff_t step, int width,
                                                  float *out)
{
    const __m256 r0 = cvni_two_rows_avx2(p, step);
    const __m256 r1 = cvni_two_rows_avx2(p + step, step);
    const __m256 r2 = cvni_two_rows_avx2(p + 2 * step, step);
    const __m256 r3 = cvni_two_rows_avx2(p + 3 * step, step);
    const __m256 t0 = _mm256_unpacklo_ps(r0, r1);
    const __m256 t1 = _mm256_unpackhi_ps(r0, r1);
    const __m256 t2 = _mm256_unpacklo_ps(r2, r3);
    const __m256 t3 = _mm256_unpackhi_ps(r2, r3);
    _mm256_storeu_ps(out, _mm256_shuffle_ps(t0, t2, 0x44));
    _mm256_storeu_ps(out + width, _mm256_shuffle_ps(t0, t2, 0xee));
    _mm256_storeu_ps(out + 2 * width, _mm256_shuffle_ps(t1, t3, 0x44));
    _mm256_storeu_ps(out + 3 * width, _mm256_shuffle_ps(t1, t3, 0xee));
}

CVNI_TARGET("avx2,fma")
static CVNI_ALWAYS_INLINE void cvni_turn_4x4_avx2(const float *p, ptrdiff_t step, int width,
                                                  float *out)
{
    __m128 r0 = _mm_loadu_ps(p);
    __m128 r1 = _mm_loadu_ps(p + step);
    __m128 r2 = _mm_loadu_ps(p + 2 * step);
    __m128 r3 = _mm_loadu_ps(p + 3 * step);
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    _mm_storeu_ps(out, r0);
    _mm_storeu_ps(out + width, r1);
    _mm_storeu_ps(out + 2 * width, r2);
    _mm_storeu_ps(out + 3 * width, r3);
}

/* What is left over at the ends is done again with what stands before it. */
CVNI_TARGET("avx2,fma")
static void cvni_pack_rows_avx2(int lines, int k, const float *p, ptrdiff_t step, int width,
                                float *out)
{
    const int some = lines < 8 ? 4 : 8;
    if (lines < 4 || k < 4) {
        cvni_pack_rows_c(lines, k, p, step, width, out);
        return;
    }
    for (int i = 0; i < lines; i += some) {
        const int line = cvni_min(i, lines - some);
        const float *from = p + line * step;
        for (int j = 0; j < k; j += 4) {
            const int at = cvni_min(j, k - 4);
            if (some == 8) cvni_turn_8x4_avx2(from + at, step, width, out + at * width + line);
            else cvni_turn_4x4_avx2(from + at, step, width, out + at * width + line);
        }
    }
}

static const cvni_kernels cvni_kernels_avx2 = { "avx2",
                                                4,
                                                24,
                                                8,
                                                cvni_gemm_tile_avx2,
                                                cvni_pack_rows_avx2,
                                                cvni_pack_columns_c,
                                                cvni_dot_c,
                                                cvni_axpy_c,
                                                cvni_sum_c,
                                                cvni_sum_square_diff_c,
                                                cvni_dot_diff_c,
                                                cvni_scale_shift_c,
                                                cvni_add_c,
                                                cvni_relu_c,
                                                cvni_relu_grad_c };

/* ================================================================================================
 * >>kernels-avx512   512-bit vectors
 * ============================================================================================== */

/* Row i of the tile t. */
CVNI_TARGET("avx512f")
static CVNI_ALWAYS_INLINE void cvni_store_row_avx512(const cvni_tile *t, int i, __m512 v0,
                                                     __m512 v1, __m512 v2)
{
    float *c = t->c + i * t->ldc;
    const uint64_t lanes = ((uint64_t)1 << t->cols) - 1;
    const __mmask16 m0 = (__mmask16)lanes;
    const __mmask16 m1 = (__mmask16)(lanes >> 16);
    const __mmask16 m2 = (__mmask16)(lanes >> 32);
    if (i >= t->rows) return;
    if (t->add) {
        v0 = _mm512_add_ps(_mm512_maskz_loadu_ps(m0, c), v0);
        v1 = _mm512_add_ps(_mm512_maskz_loadu_ps(m1, c + 16), v1);
        v2 = _mm512_add_ps(_mm512_maskz_loadu_ps(m2, c + 32), v2);
    }
    _mm512_mask_storeu_ps(c, m0, v0);
    _mm512_mask_storeu_ps(c + 16, m1, v1);
    _mm512_mask_storeu_ps(c + 32, m2, v2);
}

#define CVNI_FMA1_AVX512(i) c##i##0 = _mm512_fmadd_ps(_mm512_set1_ps(a[i * line]), b0, c##i##0)
#define CVNI_FMA2_AVX512(i) v = _mm512_set1_ps(a[i * line]); \
    c##i##0 = _mm512_fmadd_ps(v, b0, c##i##0); c##i##1 = _mm512_fmadd_ps(v, b1, c##i##1)
#define CVNI_FMA3_AVX512(i) v = _mm512_set1_ps(a[i * line]); \
    c##i##0 = _mm512_fmadd_ps(v, b0, c##i##0); \
    c##i##1 = _mm512_fmadd_ps(v, b1, c##i##1); c##i##2 = _mm512_fmadd_ps(v, b2, c##i##2)

/* The last columns. */
CVNI_TARGET("avx512f")
static void cvni_gemm_8x16_avx512(const cvni_tile *t)
{
    const ptrdiff_t line = t->a_line;
    const __m512 zero = _mm512_setzero_ps();
    __m512 c00 = zero;
    __m512 c10 = zero;
    __m512 c20 = zero;
    __m512 c30 = zero;
    __m512 c40 = zero;
    __m512 c50 = zero;
    __m512 c60 = zero;
    __m512 c70 = zero;
    const float *a = t->a;
    const float *b = t->b;
    for (int k = t->k; k > 0; k--, a += t->a_k, b += t->b_k) {
        const __m512 b0 = _mm512_loadu_ps(b);
        CVNI_FMA1_AVX512(0);
        CVNI_FMA1_AVX512(1);
        CVNI_FMA1_AVX512(2);
        CVNI_FMA1_AVX512(3);
        CVNI_FMA1_AVX512(4);
        CVNI_FMA1_AVX512(5);
        CVNI_FMA1_AVX512(6);
        CVNI_FMA1_AVX512(7);
    }
    cvni_store_row_avx512(t, 0, c00, zero, zero);
    cvni_store_row_avx512(t, 1, c10, zero, zero);
    cvni_store_row_avx512(t, 2, c20, zero, zero);
    cvni_store_row_avx512(t, 3, c30, zero, zero);
    cvni_store_row_avx512(t, 4, c40, zero, zero);
    cvni_store_row_avx512(t, 5, c50, zero, zero);
    cvni_store_row_avx512(t, 6, c60, zero, zero);
    cvni_store_row_avx512(t, 7, c70, zero, zero);
}

CVNI_TARGET("avx512f")
static void cvni_gemm_8x32_avx512(const cvni_tile *t)
{
    const ptrdiff_t line = t->a_line;
    const __m512 zero = _mm512_setzero_ps();
    __m512 c00 = zero, c01 = zero;
    __m512 c10 = zero, c11 = zero;
    __m512 c20 = zero, c21 = zero;
    __m512 c30 = zero, c31 = zero;
    __m512 c40 = zero, c41 = zero;
    __m512 c50 = zero, c51 = zero;
    __m512 c60 = zero, c61 = zero;
    __m512 c70 = zero, c71 = zero;
    const float *a = t->a;
    const float *b = t->b;
    for (int k = t->k; k > 0; k--, a += t->a_k, b += t->b_k) {
        const __m512 b0 = _mm512_loadu_ps(b);
        const __m512 b1 = _mm512_loadu_ps(b + 16);
        __m512 v;
        CVNI_FMA2_AVX512(0);
        CVNI_FMA2_AVX512(1);
        CVNI_FMA2_AVX512(2);
        CVNI_FMA2_AVX512(3);
        CVNI_FMA2_AVX512(4);
        CVNI_FMA2_AVX512(5);
        CVNI_FMA2_AVX512(6);
        CVNI_FMA2_AVX512(7);
    }
    cvni_store_row_avx512(t, 0, c00, c01, zero);
    cvni_store_row_avx512(t, 1, c10, c11, zero);
    cvni_store_row_avx512(t, 2, c20, c21, zero);
    cvni_store_row_avx512(t, 3, c30, c31, zero);
    cvni_store_row_avx512(t, 4, c40, c41, zero);
    cvni_store_row_avx512(t, 5, c50, c51, zero);
    cvni_store_row_avx512(t, 6, c60, c61, zero);
    cvni_store_row_avx512(t, 7, c70, c71, zero);
}

/* The last rows, of any width: a vector beyond the columns is not read. */
CVNI_TARGET("avx512f")
static void cvni_gemm_4x48_avx512(const cvni_tile *t)
{
    const ptrdiff_t line = t->a_line;
    const __m512 zero = _mm512_setzero_ps();
    __m512 c00 = zero, c01 = zero, c02 = zero;
    __m512 c10 = zero, c11 = zero, c12 = zero;
    __m512 c20 = zero, c21 = zero, c22 = zero;
    __m512 c30 = zero, c31 = zero, c32 = zero;
    const float *a = t->a;
    const float *b = t->b;
    const int second = t->cols > 16 ? 16 : 0;
    const int third = t->cols > 32 ? 32 : 0;
    for (int k = t->k; k > 0; k--, a += t->a_k, b += t->b_k) {
        const __m512 b0 = _mm512_loadu_ps(b);
        const __m512 b1 = _mm512_loadu_ps(b + second);
        const __m512 b2 = _mm512_loadu_ps(b + third);
        __m512 v;
        CVNI_FMA3_AVX512(0);
        CVNI_FMA3_AVX512(1);
        CVNI_FMA3_AVX512(2);
        CVNI_FMA3_AVX512(3);
    }
    cvni_store_row_avx512(t, 0, c00, c01, c02);
    cvni_store_row_avx512(t, 1, c10, c11, c12);
    cvni_store_row_avx512(t, 2, c20, c21, c22);
    cvni_store_row_avx512(t, 3, c30, c31, c32);
}

/* 8 x 48: 24 accumulators, three of b, one of a: 11 loads for 24 products. */
CVNI_TARGET("avx512f")
static void cvni_gemm_tile_avx512(const cvni_tile *t)
{
    const ptrdiff_t line = t->a_line;
    const __m512 zero = _mm512_setzero_ps();
    __m512 c00 = zero, c01 = zero, c02 = zero;
    __m512 c10 = zero, c11 = zero, c12 = zero;
    __m512 c20 = zero, c21 = zero, c22 = zero;
    __m512 c30 = zero, c31 = zero, c32 = zero;
    __m512 c40 = zero, c41 = zero, c42 = zero;
    __m512 c50 = zero, c51 = zero, c52 = zero;
    __m512 c60 = zero, c61 = zero, c62 = zero;
    __m512 c70 = zero, c71 = zero, c72 = zero;
    const float *a = t->a;
    const float *b = t->b;
    const ptrdiff_t ahead = t->ahead;
    if (t->rows <= 4 || t->cols <= 32) {
        if (t->rows <= 4) cvni_gemm_4x48_avx512(t);
        else if (t->cols <= 16) cvni_gemm_8x16_avx512(t);
        else cvni_gemm_8x32_avx512(t);
        return;
    }
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < 48; j += 16)
            _mm_prefetch((const char *)(t->c + i * t->ldc + j), _MM_HINT_T0);
    for (int k = t->k; k > 0; k--, a += t->a_k, b += t->b_k) {
        const __m512 b0 = _mm512_loadu_ps(b);
        const __m512 b1 = _mm512_loadu_ps(b + 16);
        _mm_prefetch((const char *)(b + ahead), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + ahead + 16), _MM_HINT_T0);
        _mm_prefetch((const char *)(b + ahead + 32), _MM_HINT_T0);
        const __m512 b2 = _mm512_loadu_ps(b + 32);
        __m512 v;
        CVNI_FMA3_AVX512(0);
        CVNI_FMA3_AVX512(1);
        CVNI_FMA3_AVX512(2);
        CVNI_FMA3_AVX512(3);
        CVNI_FMA3_AVX512(4);
        CVNI_FMA3_AVX512(5);
        CVNI_FMA3_AVX512(6);
        CVNI_FMA3_AVX512(7);
    }
    cvni_store_row_avx512(t, 0, c00, c01, c02);
    cvni_store_row_avx512(t, 1, c10, c11, c12);
    cvni_store_row_avx512(t, 2, c20, c21, c22);
    cvni_store_row_avx512(t, 3, c30, c31, c32);
    cvni_store_row_avx512(t, 4, c40, c41, c42);
    cvni_store_row_avx512(t, 5, c50, c51, c52);
    cvni_store_row_avx512(t, 6, c60, c61, c62);
    cvni_store_row_avx512(t, 7, c70, c71, c72);
}

CVNI_TARGET("avx512f")
static void cvni_pack_columns_avx512(int lines, int k, const float *p, ptrdiff_t step, int width,
                                     float *out)
{
    const int wide = lines & ~15;
    const int rest = lines - wide;
    const __mmask16 m = (__mmask16)((1u << rest) - 1);
    for (; k > 0; k--, p += step, out += width) {
        for (int i = 0; i < wide; i += 16) _mm512_storeu_ps(out + i, _mm512_loadu_ps(p + i));
        if (rest == 8) _mm256_storeu_ps(out + wide, _mm256_loadu_ps(p + wide));
        else if (rest)
            _mm512_mask_storeu_ps(out + wide, m, _mm512_maskz_loadu_ps(m, p + wide));
    }
}

static const cvni_kernels cvni_kernels_avx512 = { "avx512",
                                                  8,
                                                  48,
                                                  16,
                                                  cvni_gemm_tile_avx512,
                                                  cvni_pack_rows_avx2,
                                                  cvni_pack_columns_avx512,
                                                  cvni_dot_c,
                                                  cvni_axpy_c,
                                                  cvni_sum_c,
                                                  cvni_sum_square_diff_c,
                                                  cvni_dot_diff_c,
                                                  cvni_scale_shift_c,
                                                  cvni_add_c,
                                                  cvni_relu_c,
                                                  cvni_relu_grad_c };
#endif

/* ================================================================================================
 * >>dispatch   which kernels this CPU and this build have
 * ==============================================================================================
 *   Own cpuid and xgetbv: the compilers' builtins do not link everywhere. The answer is not stored:
 *   cvn_create asks once a net. */

#if defined(CVNI_X86)
static void cvni_cpuid(unsigned leaf, unsigned r[4])
{
#if defined(__GNUC__) || defined(__clang__)
    r[0] = r[1] = r[2] = r[3] = 0;
    __get_cpuid_count(leaf, 0, &r[0], &r[1], &r[2], &r[3]);
#else
    __cpuidex((int *)r, (int)leaf, 0);
#endif
}

/* Which registers the operating system saves. */
static uint64_t cvni_xgetbv(void)
{
#if defined(__GNUC__) || defined(__clang__)
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
#else
    return _xgetbv(0);
#endif
}

/* 0: neither, 1: AVX2 and FMA, 2: AVX-512F too. */
static int cvni_x86_level(void)
{
    unsigned r[4];
    uint64_t saved;
    cvni_cpuid(1, r);
    if (!(r[2] >> 27 & 1) || !(r[2] >> 12 & 1)) return 0;       /* OSXSAVE, FMA */
    saved = cvni_xgetbv();
    cvni_cpuid(7, r);
    if ((saved & 0x06) != 0x06 || !(r[1] >> 5 & 1)) return 0;
    return (saved & 0xe6) == 0xe6 && (r[1] >> 16 & 1) ? 2 : 1;
}
#endif

/* The table of that name when this CPU can run it, NULL for the best one; else NULL. */
static const cvni_kernels *cvni_find_kernels(const char *isa)
{
#if defined(CVNI_X86)
    const int level = cvni_x86_level();
    if (level >= 2 && (!isa || !strcmp(isa, "avx512"))) return &cvni_kernels_avx512;
    if (level >= 1 && (!isa || !strcmp(isa, "avx2"))) return &cvni_kernels_avx2;
#endif
    return !isa || !strcmp(isa, "c") ? &cvni_kernels_c : NULL;
}

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* CONVNET_IMPLEMENTATION_ONCE */
#endif /* CONVNET_IMPLEMENTATION */

/* ================================================================================================
 * >>license
 * ==============================================================================================
 * This software is available under two licences; choose whichever you prefer.
 *
 * ALTERNATIVE A - MIT No Attribution (MIT-0)
 * Copyright (c) 2026 the convnet.h authors
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
 * associated documentation files (the "Software"), to deal in the Software without restriction,
 * including without limitation the rights to use, copy, modify, merge, publish, distribute,
 * sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
 * furnished to do so. THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
 * IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR
 * PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY
 * CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING
 * FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 *
 * ALTERNATIVE B - Public Domain (Unlicense, www.unlicense.org)
 * This is free and unencumbered software released into the public domain.
 * Anyone is free to copy, modify, publish, use, compile, sell, or distribute this software, either
 * in source code form or as a compiled binary, for any purpose, commercial or non-commercial, and
 * by any means. In jurisdictions that recognize copyright laws, the author or authors of this
 * software dedicate any and all copyright interest in the software to the public domain. We make
 * this dedication for the benefit of the public at large and to the detriment of our heirs and
 * successors. We intend this dedication to be an overt act of relinquishment in perpetuity of all
 * present and future rights to this software under copyright law. THE SOFTWARE IS PROVIDED "AS IS",
 * WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
 * MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
 * AUTHORS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT,
 * TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER
 * DEALINGS IN THE SOFTWARE.
 */
