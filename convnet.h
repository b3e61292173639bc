/* convnet.h - v0.1.0 - convolutional networks in one C header: build, train, predict - no warranty
 * SPDX-License-Identifier: MIT-0 OR Unlicense   (texts at the end of this file)
 *
 * Do this in exactly one C or C++ file, and include the header plainly everywhere else:
 *
 *     #define CONVNET_IMPLEMENTATION
 *     #include "convnet.h"
 *
 * Build:   cc -O2 main.c -lm               add -fopenmp for threads; no other flag is needed
 * Macros:  CONVNET_STATIC                  every function is static (the header may then be private to a file)
 *          CONVNET_MALLOC, CONVNET_FREE    default allocator (define both or none); a net's own: cvn_desc
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
 *         cvn_metrics m;
 *         cvn_net *net = cvn_create(NULL);                     // all defaults
 *         cvn_node x = cvn_input(net, 1, 28, 28);              // [N,  1, 28, 28]
 *         x = cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2));   // [N,  6, 28, 28]
 *         x = cvn_maxpool(net, x, 2, 2);                       // [N,  6, 14, 14]
 *         x = cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0));  // [N, 16, 10, 10]
 *         x = cvn_maxpool(net, x, 2, 2);                       // [N, 16,  5,  5]
 *         x = cvn_relu(net, cvn_dense(net, x, 120));
 *         x = cvn_relu(net, cvn_dense(net, x, 84));
 *         cvn_softmax_loss(net, cvn_dense(net, x, 10));
 *         if (cvn_build(net, 64) != CVN_OK) { puts(cvn_error(net)); return 1; }      // the one check
 *
 *         if (cvn_load_idx(&train, "train-images-idx3-ubyte", "train-labels-idx1-ubyte") != CVN_OK ||
 *             cvn_load_idx(&test, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte") != CVN_OK) return 1;
 *         cvn_fit_options options = cvn_fit_defaults();
 *         options.epochs = 3;
 *         options.callback = cvn_print_progress;
 *         if (cvn_fit(net, &train, &test, &options) < 0 || cvn_evaluate(net, &test, &m) < 0) puts(cvn_error(net));
 *         else printf("accuracy %.2f %%\n", 100 * m.accuracy);
 *         cvn_save(net, "lenet.safetensors");                  // PyTorch and others read it
 *         cvn_data_free(&train);
 *         cvn_data_free(&test);
 *         cvn_destroy(net);
 *         return 0;
 *     }
 *
 * Rooms of this file (search for the word):
 *
 *     interface       >>config >>types >>errors >>graph-api >>layers-api >>train-api >>data-api >>io-api
 *     support         >>platform >>internal >>error >>memory >>random >>threads
 *     engine          >>shape >>graph >>plan >>run
 *     linear algebra  >>gemm
 *     layers          >>input >>conv2d >>dense >>pool >>norm >>act >>softmax >>dropout >>view >>binary >>concat
 *     training        >>loss >>optim >>schedule >>train >>check >>history
 *     data            >>data >>augment
 *     kernels         >>kernels-c >>kernels-avx2 >>kernels-avx512 >>dispatch
 *     files           >>safetensors
 *     end             >>license
 *
 * Conventions. Tensors are float, row-major, batch first: images [N, C, H, W], sequences [N, T, C], vectors [N, C].
 * Convolution is cross-correlation. Weights have PyTorch's layout and names (conv [out, in/groups, KH, KW],
 * dense [out, in], "conv1.weight", "bn1.running_mean"). Labels are int.
 *
 * Errors. Building a net never needs a check per call: on a failed net every builder returns node 0 and does nothing,
 * cvn_build returns the first error and cvn_error() its text: which layer, which shapes, what mends it. Functions
 * called on a built net return a cvn_result and leave the net usable. A NULL net is accepted everywhere. The library
 * never exits, aborts, asserts or prints (cvn_print_progress prints, when you pass it).
 *
 * Memory. The graph takes small records while it is built. Everything else - weights, gradients, optimizer state,
 * activations, workspace - lies in one arena whose size cvn_memory_needed() tells beforehand; the caller may supply it
 * (cvn_build_in). Forward, backward and step allocate nothing.
 *
 * Threads. A net may be used by one thread at a time; two threads may use two nets. cvn_share() gives a second thread
 * its own activations over the same weights. Inside, work is spread with OpenMP or with your own job system
 * (cvn_desc.parallel_for). The same seed gives the same bits for any number of threads.
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
typedef struct cvn_node { int id; } cvn_node;       /* a layer's output in the graph; id 0 is invalid */

typedef struct cvn_shape {
    int rank;                                       /* number of axes; 0 is a scalar */
    int dim[CVN_MAX_RANK];                          /* dim[0] is the batch for all but parameters and losses */
} cvn_shape;

typedef enum cvn_result {
    CVN_OK = 0,
    CVN_STOPPED = 1,                /* cvn_fit: a callback or early stopping ended the training; no error */
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
    int keep_all;                   /* every node's value and gradient stay readable (tests, pictures); more memory */
    const char *isa;                /* force a kernel table: "c", "avx2", "avx512"; NULL: the best of this CPU */
    cvn_allocator allocator;        /* all NULL: CONVNET_MALLOC and CONVNET_FREE */
    /* Your job system: call run(context, i) once for each i in [0, count), on any threads, and return when all are done.
     * count never exceeds `threads`. NULL: OpenMP, or a plain loop. */
    void (*parallel_for)(void *user, int count, void (*run)(void *context, int index), void *context);
    void *parallel_user;
    /* Warnings that are no errors, one line each. NULL: silence. */
    void (*log)(void *user, const char *message);
    void *log_user;
} cvn_desc;

/* Initial values of a parameter. fan_in = inputs per output unit, fan_out = outputs per input unit.
 *   he       std sqrt(2/fan_in)                 K. He et al., arXiv:1502.01852
 *   xavier   std sqrt(2/(fan_in + fan_out))     X. Glorot, Y. Bengio, AISTATS 2010
 *   lecun    std sqrt(1/fan_in)                 Y. LeCun et al., Efficient BackProp, 1998
 * each as a normal distribution or as the uniform one of the same variance, [-sqrt(3) std, sqrt(3) std]. */
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

/* cvn_error - the text of the first error while the graph was built, else of the last call that failed.
 * Never NULL; "" when nothing failed; "no net (out of memory?)" for NULL. Valid until the next call with this net. */
CONVNET_API const char *cvn_error(const cvn_net *net);

/* cvn_result_name - "CVN_OK", "CVN_ERROR_SHAPE", ...; never NULL. */
CONVNET_API const char *cvn_result_name(cvn_result result);

/* ================================================================================================
 * >>graph-api   create, name, build, look into a net
 * ============================================================================================== */

/* cvn_create - a new, empty net. desc NULL: all defaults. Returns NULL when memory is out; every function takes
 * that NULL, so the check may wait until cvn_build. An isa that this CPU or build lacks is CVN_ERROR_UNSUPPORTED. */
CONVNET_API cvn_net *cvn_create(const cvn_desc *desc);
CONVNET_API cvn_desc cvn_desc_defaults(void);
CONVNET_API void cvn_destroy(cvn_net *net);

/* cvn_name - names a node and, with it, its parameters ("conv1" -> "conv1.weight"); returns the node.
 * Before cvn_build. Without it layers are conv1, conv2, fc1, bn1, relu1, ... inside their scope.
 * errors   CVN_ERROR_ARGUMENT when the name is taken, empty or longer than CVN_MAX_NAME - 1 */
CONVNET_API cvn_node cvn_name(cvn_net *net, cvn_node node, const char *name);

/* cvn_scope - layers added from now on are named "prefix.conv1", ... as PyTorch's modules are; numbering starts anew
 * in each scope. "" or NULL ends it. */
CONVNET_API void cvn_scope(cvn_net *net, const char *prefix);

/* cvn_find - the node of that name, or node 0. */
CONVNET_API cvn_node cvn_find(const cvn_net *net, const char *name);
CONVNET_API const char *cvn_node_name(const cvn_net *net, cvn_node node);     /* never NULL */

/* cvn_node_shape - shape of a node's value. dim[0] is the number of samples of the last forward pass (before the first
 * one: the largest batch; before cvn_build: 1). */
CONVNET_API cvn_shape cvn_node_shape(const cvn_net *net, cvn_node node);

/* Marks, before cvn_build:
 *   cvn_output     what cvn_predict and cvn_evaluate read. Default: the first loss's prediction, else the last node.
 *   cvn_keep       the node's value stays readable (cvn_value) after a forward pass. Inputs, output and losses always do.
 *   cvn_want_grad  the node has a gradient: readable after a backward pass (cvn_gradient) and a place to push one in
 *                  (cvn_backward_from). Needed for an input whose gradient you want.
 *   cvn_add_loss   a scalar node is minimised, times `weight`. The loss layers below do this themselves.
 *   cvn_tie        `node` uses the parameters of `with` instead of its own (siamese nets). Same kind, same shapes. */
CONVNET_API void cvn_output(cvn_net *net, cvn_node node);
CONVNET_API void cvn_keep(cvn_net *net, cvn_node node);
CONVNET_API void cvn_want_grad(cvn_net *net, cvn_node node);
CONVNET_API void cvn_add_loss(cvn_net *net, cvn_node node, float weight);
CONVNET_API void cvn_tie(cvn_net *net, cvn_node node, cvn_node with);

/* Training of single layers, at any time:
 *   cvn_freeze     the node's parameters do not change and batch norm keeps and uses its running statistics. Frozen
 *                  before cvn_build, a leading part of the net is left out of the backward pass.
 *   cvn_freeze_to  the same for the node and everything it is computed from.
 *   cvn_unfreeze   undoes it. After cvn_build only for what was not frozen then (CVN_ERROR_STATE).
 *   cvn_lr_scale, cvn_decay_scale   factor on the learning rate or weight decay of the node's parameters; 1. */
CONVNET_API cvn_result cvn_freeze(cvn_net *net, cvn_node node);
CONVNET_API cvn_result cvn_freeze_to(cvn_net *net, cvn_node node);
CONVNET_API cvn_result cvn_unfreeze(cvn_net *net, cvn_node node);
CONVNET_API cvn_result cvn_lr_scale(cvn_net *net, cvn_node node, float factor);
CONVNET_API cvn_result cvn_decay_scale(cvn_net *net, cvn_node node, float factor);

/* cvn_build - plans training (and prediction in the same memory) for batches of 1 to max_batch samples, takes the arena
 * and initialises the parameters. May be called again with another batch: parameters and optimizer state stay.
 * cvn_build_infer - plans prediction alone: dropout gone, batch norm folded into the convolution or dense layer before
 * it, activations fused into theirs, buffers reused as soon as they are free.
 * cvn_build_in - either of them in the caller's buffer of `size` bytes, which must outlive the net (any alignment).
 * errors   the first error of the graph; CVN_ERROR_ARGUMENT for max_batch < 1; CVN_ERROR_STATE for an empty graph;
 *          CVN_ERROR_MEMORY: no memory or a buffer smaller than cvn_memory_needed (the net stays as it was) */
CONVNET_API cvn_result cvn_build(cvn_net *net, int max_batch);
CONVNET_API cvn_result cvn_build_infer(cvn_net *net, int max_batch);
CONVNET_API cvn_result cvn_build_in(cvn_net *net, int max_batch, cvn_mode mode, void *buffer, size_t size);

/* cvn_memory_needed - bytes that the same build would take for its arena; exact. 0 when the net has an error.
 * The optimizer's state is part of it: call cvn_set_optimizer before, if it is not Adam. CVN_TRAIN | CVN_INFER is
 * CVN_TRAIN: a training plan predicts too. */
CONVNET_API size_t cvn_memory_needed(cvn_net *net, int max_batch, int mode);

/* cvn_resize - every image input takes `height` x `width` from now on; same batch, same parameters. For nets whose
 * parameters do not depend on it (fully convolutional ones, or with global pooling).
 * errors   CVN_ERROR_SHAPE with the layer that cannot follow; the net stays as it was */
CONVNET_API cvn_result cvn_resize(cvn_net *net, int height, int width);

/* cvn_share - a second net over the same parameters, with activations and gradients of its own, for another thread.
 * It is not built yet: call cvn_build or cvn_build_infer on it. cvn_step is refused on it. `net` must be built, must
 * outlive it, and must not train, load or rebuild while the other one runs. NULL when memory is out. */
CONVNET_API cvn_net *cvn_share(cvn_net *net);

/* cvn_summary - a table with name, type, output shape, parameters, multiply-accumulates per sample, bytes of the value,
 * one line a layer, and the totals, as text. Like snprintf: returns the length needed, writes at most size - 1 and a 0. */
CONVNET_API int cvn_summary(const cvn_net *net, char *text, size_t size);

/* cvn_value - the node's value of the last forward pass, [N, ...]; cvn_gradient - d loss / d node of the last backward
 * pass. Writable: an image may be optimised in place. NULL (and CVN_ERROR_STATE in cvn_error) when the plan did not
 * keep it: mark the node with cvn_keep or cvn_want_grad before cvn_build. */
CONVNET_API float *cvn_value(cvn_net *net, cvn_node node);
CONVNET_API float *cvn_gradient(cvn_net *net, cvn_node node);

/* Parameters: trainable ones and the running statistics of batch norm, in the order of the layers. */
typedef struct cvn_param {
    const char *name;               /* "conv1.weight" */
    cvn_shape shape;
    size_t count;                   /* elements */
    float *value;                   /* call cvn_touch after writing */
    float *gradient;                /* NULL in an inference plan and for running statistics */
    int trainable;                  /* 0 for running statistics and frozen layers */
} cvn_param;

CONVNET_API int cvn_param_count(const cvn_net *net);
CONVNET_API cvn_param cvn_param_at(const cvn_net *net, int index);            /* value NULL when out of range or not built */
CONVNET_API cvn_param cvn_param_find(const cvn_net *net, const char *name);   /* value NULL when there is none */
CONVNET_API size_t cvn_parameters(const cvn_net *net);                        /* trainable elements, tied ones once */

/* The flat arrays: trainable parameters first, then running statistics; gradients of the trainable ones in the same
 * order. One loop, one allreduce, one upload. NULL before cvn_build. *count (may be NULL) receives the elements. */
CONVNET_API float *cvn_flat_parameters(cvn_net *net, size_t *count);
CONVNET_API float *cvn_flat_gradients(cvn_net *net, size_t *count);

/* cvn_touch - tells the net that parameters were written from outside (folded weights are made anew). */
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
 * cvn_fit and the other functions with data fill inputs by their kind: the first float input takes the images, every
 * label input the labels, every target the targets. */
CONVNET_API cvn_node cvn_input(cvn_net *net, int channels, int height, int width);
CONVNET_API cvn_node cvn_input_vector(cvn_net *net, int features);
CONVNET_API cvn_node cvn_input_tensor(cvn_net *net, const int *dims, int count);
CONVNET_API cvn_node cvn_input_labels(cvn_net *net, const int *dims, int count);
CONVNET_API cvn_node cvn_target(cvn_net *net, cvn_node like);

/* cvn_conv2d - 2-D convolution (cross-correlation: the kernel is not flipped).
 *   x        [N, C, H, W]
 *   returns  [N, filters, OH, OW]    OH = (H + 2*pad - kernel)/stride + 1, rounded down
 *   weights  weight [filters, C, kernel, kernel], He-normal; bias [filters], zero
 *   errors   CVN_ERROR_SHAPE when kernel > H + 2*pad or > W + 2*pad; CVN_ERROR_ARGUMENT for a value out of range
 * cvn_depthwise - one kernel a channel: filters = groups = C, weight [C, 1, kernel, kernel]. */
typedef enum cvn_pad_mode { CVN_PAD_ZERO = 0, CVN_PAD_REFLECT, CVN_PAD_REPLICATE } cvn_pad_mode;

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

CONVNET_API cvn_conv2d_desc cvn_conv2d_defaults(void);
CONVNET_API cvn_node cvn_conv2d(cvn_net *net, cvn_node x, int filters, int kernel, int stride, int pad);
CONVNET_API cvn_node cvn_conv2d_ex(cvn_net *net, cvn_node x, const cvn_conv2d_desc *desc);
CONVNET_API cvn_node cvn_depthwise(cvn_net *net, cvn_node x, int kernel, int stride, int pad);

/* cvn_dense - fully connected: y = x W^T + b.
 *   x        [N, C], or [N, C, H, W] which is flattened to [N, C*H*W], or a sequence [N, T, C], each step by itself
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

/* Pooling: [N, C, H, W] -> [N, C, OH, OW], OH as for convolution; ceil_mode rounds up, and drops a last window that
 * would start in the padding behind the image, as PyTorch does. Pads at most half the kernel.
 *   cvn_maxpool          the largest value (the first of equals); padding never wins; NaN does
 *   cvn_avgpool          the mean; padding counts as zeros unless exclude_pad
 *   cvn_global_avgpool   [N, C, H, W] -> [N, C, 1, 1]; cvn_global_maxpool likewise */
typedef struct cvn_pool_desc {
    int kernel_h, kernel_w;         /* kernel_w 0: kernel_h */
    int stride_h, stride_w;         /* stride_h 0: kernel_h; stride_w 0: stride_h, or kernel_w where that is 0 too */
    int pad_top, pad_left, pad_bottom, pad_right;
    int ceil_mode;
    int exclude_pad;                /* average: divide by the pixels inside the image (count_include_pad = False) */
} cvn_pool_desc;

CONVNET_API cvn_pool_desc cvn_pool_defaults(void);
CONVNET_API cvn_node cvn_maxpool(cvn_net *net, cvn_node x, int kernel, int stride);
CONVNET_API cvn_node cvn_maxpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc *desc);
CONVNET_API cvn_node cvn_avgpool(cvn_net *net, cvn_node x, int kernel, int stride);
CONVNET_API cvn_node cvn_avgpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc *desc);
CONVNET_API cvn_node cvn_global_avgpool(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_global_maxpool(cvn_net *net, cvn_node x);

/* cvn_batchnorm - y = (x - mean)/sqrt(var + eps) * weight + bias, statistics per channel.
 *   x        [N, C] or [N, C, ...]; training: mean and (biased) variance of the batch; prediction: the running ones
 *   running  running = (1 - momentum)*running + momentum*batch, with the unbiased variance, as PyTorch
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

/* cvn_dropout - training: each value is zero with probability p, else divided by 1 - p; prediction: y = x. 0 <= p < 1.
 *   source   N. Srivastava et al., JMLR 15, 2014 (the "inverted" form) */
CONVNET_API cvn_node cvn_dropout(cvn_net *net, cvn_node x, float p);

/* cvn_flatten - [N, ...] -> [N, product]. cvn_reshape - [N, dims...], the same number of elements per sample; one of
 * dims may be -1: what remains. Neither copies when x has no other reader. */
CONVNET_API cvn_node cvn_flatten(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_reshape(cvn_net *net, cvn_node x, const int *dims, int count);

/* cvn_add, cvn_mul - elementwise, with NumPy's broadcasting over any axis of size 1: [N, C, H, W] and [N, C, 1, 1].
 * Ranks must agree. errors: CVN_ERROR_SHAPE */
CONVNET_API cvn_node cvn_add(cvn_net *net, cvn_node a, cvn_node b);
CONVNET_API cvn_node cvn_mul(cvn_net *net, cvn_node a, cvn_node b);

/* cvn_concat - two nodes along the channels (axis 1); cvn_concat_n - any number along an axis from 1 on. */
CONVNET_API cvn_node cvn_concat(cvn_net *net, cvn_node a, cvn_node b);
CONVNET_API cvn_node cvn_concat_n(cvn_net *net, const cvn_node *nodes, int count, int axis);

/* Activations, elementwise.
 *   relu         max(x, 0)
 *   leaky_relu   x for x > 0, else slope*x
 *   elu          x for x > 0, else alpha*(exp(x) - 1)         D.-A. Clevert et al., arXiv:1511.07289
 *   sigmoid      1/(1 + exp(-x))
 *   tanh
 *   softmax      exp(x - max)/sum over the classes: axis 1; for sequences [N, T, C] the last axis; softmax_axis: any */
CONVNET_API cvn_node cvn_relu(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_leaky_relu(cvn_net *net, cvn_node x, float slope);
CONVNET_API cvn_node cvn_elu(cvn_net *net, cvn_node x, float alpha);
CONVNET_API cvn_node cvn_sigmoid(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_tanh(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_softmax(cvn_net *net, cvn_node x);
CONVNET_API cvn_node cvn_softmax_axis(cvn_net *net, cvn_node x, int axis);

/* Losses: scalar nodes, means over the batch, minimised by cvn_fit; several add up.
 *
 * cvn_softmax_loss - softmax and cross-entropy in one.
 *   logits   [N, C], [N, C, H, W] (a class a pixel) or [N, T, C]
 *   labels   int [N], [N, H, W], [N, T]: an input made by the call unless desc.labels names one
 *   value    with weights w and smoothing e:  sum_i w[t_i] l_i / sum_i w[t_i] over the labels not ignored,
 *            l = -(1-e) log p[t] - e/C sum_c w_c log p[c] (the second part under the same divisor), as PyTorch's
 *            CrossEntropyLoss
 *   errors   a label outside [0, C) that is not ignore_index: CVN_ERROR_ARGUMENT from the call that runs the net */
typedef struct cvn_softmax_loss_desc {
    cvn_node labels;                /* 0: an own input */
    float weight;                   /* of this loss in the sum; 0: 1 */
    float label_smoothing;          /* [0, 1) */
    const float *class_weights;     /* [C], copied; NULL: all 1 */
    int ignore_index;               /* such labels do not count; 0: -100 (to ignore class 0 give it weight 0) */
} cvn_softmax_loss_desc;

CONVNET_API cvn_softmax_loss_desc cvn_softmax_loss_defaults(void);
CONVNET_API cvn_node cvn_softmax_loss(cvn_net *net, cvn_node logits);
CONVNET_API cvn_node cvn_softmax_loss_ex(cvn_net *net, cvn_node logits, const cvn_softmax_loss_desc *desc);

/* cvn_mse_loss - mean of (prediction - target)^2 over all elements.
 * cvn_bce_with_logits_loss - mean of max(x, 0) - x*t + log(1 + exp(-|x|)), t in [0, 1]: binary cross-entropy of
 * sigmoid(x). `target` is a node of the same shape: cvn_target(net, x), or any other node of the net (an autoencoder's
 * own input); it receives a gradient too where it has one (MSE). */
CONVNET_API cvn_node cvn_mse_loss(cvn_net *net, cvn_node prediction, cvn_node target);
CONVNET_API cvn_node cvn_bce_with_logits_loss(cvn_net *net, cvn_node logits, cvn_node target);

/* ================================================================================================
 * >>train-api   optimizers, schedules, one step, a whole training
 * ============================================================================================== */

/* Optimizers, as PyTorch defines them (g gradient, w parameter, v, m state, t the step from 1):
 *   SGD      g += weight_decay*w; v = momentum*v + g (v = g at t = 1); w -= lr*v, with Nesterov w -= lr*(g + momentum*v)
 *   ADAM     g += weight_decay*w; m = b1*m + (1-b1)*g; v = b2*v + (1-b2)*g^2;
 *            w -= lr * m/(1-b1^t) / (sqrt(v/(1-b2^t)) + eps)              D. Kingma, J. Ba, arXiv:1412.6980
 *   ADAMW    w -= lr*weight_decay*w, then Adam without decay              I. Loshchilov, F. Hutter, arXiv:1711.05101
 * Clipping comes first: clip_value limits each element of g to [-c, c], then clip_norm scales all of g to a Euclidean
 * norm of at most c. 0: off. */
typedef enum cvn_optimizer_kind { CVN_ADAM = 0, CVN_ADAMW, CVN_SGD } cvn_optimizer_kind;

typedef struct cvn_optimizer {
    cvn_optimizer_kind kind;
    float lr;                       /* 0: 1e-3 (Adam, AdamW), 1e-2 (SGD) */
    float momentum;                 /* SGD */
    int nesterov;                   /* SGD */
    float beta1, beta2;             /* 0: 0.9, 0.999 */
    float eps;                      /* 0: 1e-8 */
    float weight_decay;             /* L2 in the gradient (SGD, Adam); decoupled (AdamW) */
    int decay_weights_only;         /* no decay on biases and on batch norm's weight */
    float clip_value;
    float clip_norm;
} cvn_optimizer;

CONVNET_API cvn_optimizer cvn_sgd(float lr, float momentum);
CONVNET_API cvn_optimizer cvn_nesterov(float lr, float momentum);
CONVNET_API cvn_optimizer cvn_adam(float lr);
CONVNET_API cvn_optimizer cvn_adamw(float lr, float weight_decay);

/* Learning-rate schedules. t = epochs done, a fraction inside an epoch; T = epochs of the whole run; lr the optimizer's.
 *   CONSTANT     lr
 *   STEP         lr * gamma^floor(t/step)
 *   EXPONENTIAL  lr * gamma^floor(t)
 *   COSINE       min_lr + (lr - min_lr)*(1 + cos(pi*t/T))/2              arXiv:1608.03983
 *   ONE_CYCLE    from lr/div to lr in the first `rise` of the run, then down to lr/div/final_div, both by a cosine, as
 *                PyTorch's OneCycleLR with max_lr = lr                   L. Smith, arXiv:1708.07120
 * The rate changes with every batch (STEP, EXPONENTIAL: every epoch). warmup epochs at the start raise any of them
 * linearly: the rate is multiplied by (s + 1)/(warmup steps) while s < warmup steps, s counting batches from 0. */
typedef enum cvn_schedule_kind {
    CVN_SCHEDULE_CONSTANT = 0, CVN_SCHEDULE_STEP, CVN_SCHEDULE_EXPONENTIAL, CVN_SCHEDULE_COSINE, CVN_SCHEDULE_ONE_CYCLE
} cvn_schedule_kind;

typedef struct cvn_schedule {
    cvn_schedule_kind kind;
    float warmup;                   /* epochs, may be a fraction */
    float gamma;                    /* STEP, EXPONENTIAL; 0: 0.1 (STEP), 0.95 (EXPONENTIAL) */
    float step;                     /* STEP, epochs; 0: 10 */
    float min_lr;                   /* COSINE */
    float rise;                     /* ONE_CYCLE; 0: 0.3 */
    float div, final_div;           /* ONE_CYCLE; 0: 25, 1e4 */
} cvn_schedule;

/* cvn_schedule_lr - the rate of batch `step` (from 0) of a run of epochs * steps_per_epoch batches. */
CONVNET_API float cvn_schedule_lr(const cvn_schedule *schedule, float lr, long step, long steps_per_epoch, int epochs);

/* cvn_set_optimizer - the optimizer of cvn_step, cvn_train_batch and cvn_fit; the default is cvn_adam(1e-3). Its state
 * starts at zero. Called before cvn_build it costs nothing; later it lays out the memory anew when the new one needs
 * another amount. cvn_set_lr changes the rate alone.
 * errors   CVN_ERROR_ARGUMENT for a negative or non-finite value; CVN_ERROR_MEMORY (the net stays as it was) */
CONVNET_API cvn_result cvn_set_optimizer(cvn_net *net, const cvn_optimizer *optimizer);
CONVNET_API cvn_result cvn_set_lr(cvn_net *net, float lr);
CONVNET_API float cvn_get_lr(const cvn_net *net);

/* Level 1: by hand.
 *   cvn_set_input, cvn_set_labels   copy n samples into an input or target, or into a label input
 *   cvn_forward        runs the whole graph in training mode over the n samples set last (all inputs: the same n)
 *   cvn_forward_eval   the same in prediction mode (no dropout, running statistics), up to the output and kept nodes
 *   cvn_loss           the weighted sum of all losses of the last forward pass (NaN without one)
 *   cvn_backward       gradients of that sum: adds to the parameters' gradients, sets the nodes' ones
 *   cvn_backward_from  the same from one node with a given gradient [N, ...] instead of the losses; the node was marked
 *                      with cvn_want_grad
 *   cvn_step           one step of the optimizer, then all parameter gradients are zero
 *   cvn_zero_grad      gradients to zero without a step
 * errors   CVN_ERROR_STATE (not built for training, no forward pass before), CVN_ERROR_ARGUMENT (n out of range, label
 *          out of range) */
CONVNET_API cvn_result cvn_set_input(cvn_net *net, cvn_node input, const float *values, int n);
CONVNET_API cvn_result cvn_set_labels(cvn_net *net, cvn_node input, const int *labels, int n);
CONVNET_API cvn_result cvn_forward(cvn_net *net);
CONVNET_API cvn_result cvn_forward_eval(cvn_net *net);
CONVNET_API float cvn_loss(const cvn_net *net);
CONVNET_API cvn_result cvn_backward(cvn_net *net);
CONVNET_API cvn_result cvn_backward_from(cvn_net *net, cvn_node node, const float *gradient);
CONVNET_API cvn_result cvn_step(cvn_net *net);
CONVNET_API cvn_result cvn_zero_grad(cvn_net *net);

/* Level 2: a batch.
 *   cvn_train_batch          forward, backward, step; x for the first input, labels for all label inputs; *loss may be NULL
 *   cvn_train_batch_target   the same with float targets
 *   cvn_predict              any n; out receives [n, output...] (for a softmax loss that is the logits)
 *   cvn_classify             any n; labels[n] receives the class with the largest output, probabilities[n] (may be
 *                            NULL) its softmax */
CONVNET_API cvn_result cvn_train_batch(cvn_net *net, const float *x, const int *labels, int n, float *loss);
CONVNET_API cvn_result cvn_train_batch_target(cvn_net *net, const float *x, const float *targets, int n, float *loss);
CONVNET_API cvn_result cvn_predict(cvn_net *net, const float *x, int n, float *out);
CONVNET_API cvn_result cvn_classify(cvn_net *net, const float *x, int n, int *labels, float *probabilities);

/* Level 3: a data set. */
struct cvn_data;

/* cvn_evaluate - loss and, with labels and an output [N, C], accuracy over a whole set.
 *   m->confusion  set by the caller before: int [classes*classes], row = true class, column = predicted; or NULL
 *                 (m->classes then too: 0). Start from cvn_metrics m = {0} (C++: {}). */
typedef struct cvn_metrics {
    int count;                      /* samples */
    double loss;                    /* mean; NaN when the net has none */
    double accuracy;                /* share of right classes, 0..1; NaN where there is nothing to compare */
    double top5;                    /* share with the true class among the five largest */
    int classes;                    /* in: size of confusion */
    int *confusion;                 /* in: where to count, or NULL */
} cvn_metrics;

CONVNET_API cvn_result cvn_evaluate(cvn_net *net, const struct cvn_data *data, cvn_metrics *metrics);

typedef enum cvn_event { CVN_EVENT_BATCH = 0, CVN_EVENT_EPOCH, CVN_EVENT_END } cvn_event;

typedef struct cvn_progress {
    cvn_net *net;
    cvn_event event;
    int epoch, epochs;              /* from 1 */
    int batch, batches;             /* from 1, of this epoch */
    double loss, accuracy;          /* of this epoch so far, training samples; accuracy NaN where undefined */
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
    int patience;                   /* stop after so many epochs without a better validation loss; 0: never */
    int keep_best;                  /* at the end, restore the parameters of the best epoch (least validation loss) */
    int resume;                     /* go on where a checkpoint, or a stopped cvn_fit, stands */
    const char *checkpoint;         /* path; written after every epoch and when stopped; NULL: none */
    cvn_fit_callback callback;      /* cvn_print_progress, or yours, or NULL */
    void *user;
} cvn_fit_options;

CONVNET_API cvn_fit_options cvn_fit_defaults(void);

/* cvn_fit - trains for options.epochs epochs (NULL: all defaults); valid may be NULL. The optimizer's state starts at
 * zero unless options.resume. Takes memory for the order of the samples and, with keep_best, one copy of the
 * parameters; gives it back at the end.
 *   returns  CVN_OK; CVN_STOPPED; CVN_ERROR_NUMBER with the first layer that made a NaN or Inf; CVN_ERROR_STATE,
 *            CVN_ERROR_ARGUMENT, CVN_ERROR_SHAPE for sets that do not fit the net */
CONVNET_API cvn_result cvn_fit(cvn_net *net, const struct cvn_data *train, const struct cvn_data *valid,
                               const cvn_fit_options *options);

/* cvn_check - looks at up to one batch before a long training and says in words what is wrong: numbers that are not
 * finite, inputs far from zero mean and unit variance, constant inputs, labels out of range or all of one class, dead
 * ReLUs, an initial loss far from chance, a learning rate far too high or low (it trains a few steps on the batch and
 * restores everything). One finding a line; like snprintf it returns the length of the text, 0 when all is well, < 0
 * (a cvn_result) when it could not look. */
CONVNET_API int cvn_check(cvn_net *net, const struct cvn_data *data, char *text, size_t size);

/* History: one entry an epoch of cvn_fit; a new cvn_fit (without resume) starts it anew. */
typedef struct cvn_history {
    float loss, accuracy, valid_loss, valid_accuracy, lr, seconds;      /* NaN where undefined */
} cvn_history;

CONVNET_API int cvn_history_count(const cvn_net *net);
CONVNET_API cvn_history cvn_history_at(const cvn_net *net, int epoch);         /* from 0 */

#ifndef CONVNET_NO_STDIO
/* cvn_print_progress - a ready-made callback, on stderr: a bar with ETA, loss, accuracy and samples/s that redraws
 * itself on a terminal, a plain line an epoch otherwise. */
CONVNET_API int cvn_print_progress(void *user, const cvn_progress *progress);

/* The history as CSV with a header line, and as an SVG picture of the loss and accuracy curves. */
CONVNET_API cvn_result cvn_history_save_csv(cvn_net *net, const char *path);
CONVNET_API cvn_result cvn_history_save_svg(cvn_net *net, const char *path);
#endif

/* ================================================================================================
 * >>data-api   sets of samples, loaders, images, augmentation
 * ============================================================================================== */

/* Changes made to a training image while its batch is gathered, drawn anew each epoch from (seed, epoch, sample): they do
 * not depend on threads or batch size. All zero: none. Geometry is one bilinear warp (none is made for whole pixels);
 * outside the image `fill` is read. Brightness, contrast and noise act on bytes/255, or on float images as they are;
 * the normalisation of byte images comes after. */
typedef struct cvn_augment {
    int flip;                       /* mirror left-right with probability 1/2 */
    int flip_vertical;              /* mirror top-bottom with probability 1/2 */
    int shift;                      /* whole pixels, each axis uniform in [-shift, shift]: pad, then crop */
    float rotate;                   /* degrees, uniform in [-rotate, rotate] */
    float scale;                    /* factor, uniform in [1 - scale, 1 + scale]; < 1 */
    float brightness;               /* added, uniform in [-b, b] */
    float contrast;                 /* factor about the image's mean, uniform in [1 - c, 1 + c] */
    float noise;                    /* standard deviation of added normal noise */
    int cutout;                     /* a square of that side at a random place is set to fill   arXiv:1708.04552 */
    float fill;                     /* of bytes/255, or of the float image */
} cvn_augment;

/* A set of samples in memory. Start from cvn_data d = {0} (C++: {}) or from a loader. */
typedef struct cvn_data {
    int count;                      /* samples */
    const float *images;            /* [count, ...] as the first input takes them; or */
    const unsigned char *bytes;     /* [count, C, H, W], becoming (byte/255 - mean[c])/std[c] */
    const int *labels;              /* [count, ...] for the label inputs, or NULL */
    const float *targets;           /* [count, ...] for the targets, or NULL */
    float mean[CVN_MAX_CHANNELS];   /* of bytes/255 */
    float std[CVN_MAX_CHANNELS];    /* 0: 1 */
    int channels, height, width;    /* of an image in bytes; loaders set it */
    int classes;                    /* largest label + 1; loaders set it */
    const cvn_augment *augment;     /* cvn_fit applies it to the training set; NULL: none */
    /* Own source instead of the pointers above: set every input of net for the n samples index[0..n), then return CVN_OK.
     * training is 1 when cvn_fit asks for a training batch. */
    cvn_result (*fill)(void *user, cvn_net *net, const int *index, int n, int training);
    void *user;
    void *memory;                   /* owned by a loader; cvn_data_free gives it back */
    char error[160];                /* of a loader that failed */
} cvn_data;

/* Loaders. They check every size, find mean and std of the set (per channel; use the training set's for the test set:
 * cvn_data_normalize_as), and leave a message in data->error when they fail. cvn_data_free releases what they took.
 *   cvn_load_idx       IDX files of MNIST and its kin (unpacked): images uint8 [count, H, W], labels uint8 [count];
 *                      labels may be NULL
 *   cvn_load_cifar10   binary batches of CIFAR-10, any number of files joined
 *   ..._memory         the same from buffers, which are copied
 * errors   CVN_ERROR_FILE, CVN_ERROR_FORMAT (with what and where), CVN_ERROR_MEMORY, CVN_ERROR_ARGUMENT */
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

/* cvn_data_split - moves the last `count` samples of data into tail (a view: data stays the owner); for validation. */
CONVNET_API cvn_result cvn_data_split(cvn_data *data, cvn_data *tail, int count);

/* cvn_image_to_tensor - uint8 image as decoders give it, [H, W, channels] interleaved, to floats [channels, H, W]:
 * (byte/255 - mean[c])/std[c]; mean NULL: 0, std NULL: 1; swap_rb reverses the order of the first three channels
 * (BGR). mean[c] and std[c] belong to the channel c of the result. */
CONVNET_API cvn_result cvn_image_to_tensor(const unsigned char *pixels, int height, int width, int channels,
                                           const float *mean, const float *std, int swap_rb, float *out);

/* cvn_augment_image - one image [C, H, W] of floats, changed as the k-th draw of a seed would; out differs from in. */
CONVNET_API void cvn_augment_image(const cvn_augment *augment, uint64_t seed, uint64_t k,
                                   const float *in, int channels, int height, int width, float *out);

/* ================================================================================================
 * >>io-api   weights and checkpoints: safetensors
 * ============================================================================================== */

/* Weights are safetensors files with PyTorch's names and layouts: safetensors.torch.load_file reads what cvn_save
 * writes, and cvn_load takes a state_dict of the same names and shapes saved from there (F32, F64, F16, BF16; integer
 * counters such as num_batches_tracked are skipped).
 *   cvn_save             all parameters and running statistics; atomic: a temporary file is renamed
 *   cvn_load             all or nothing: every parameter must be there with its shape, and nothing else
 *   cvn_load_partial     what fits by name and shape (a new head on old features); *loaded (may be NULL) counts it
 *   cvn_save_checkpoint  also optimizer state, step, position in the shuffled epoch, best weights, history
 *   cvn_load_checkpoint  cvn_fit with options.resume then goes on bit for bit as if never stopped
 *   ..._memory           the same from a buffer
 *   cvn_save_size, cvn_save_memory   the file's bytes into a buffer of that size
 * errors   CVN_ERROR_STATE before cvn_build; CVN_ERROR_FILE; CVN_ERROR_FORMAT; CVN_ERROR_SHAPE with all names that are
 *          missing, left over or of another shape. On an error the net stays as it was. */
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

/* C++: descriptions by reference, so that C++20 may write cvn_conv2d_ex(net, x, {.filters = 32, .kernel_h = 3}). */
inline cvn_net *cvn_create(const cvn_desc &desc) { return cvn_create(&desc); }
inline cvn_node cvn_conv2d_ex(cvn_net *net, cvn_node x, const cvn_conv2d_desc &d) { return cvn_conv2d_ex(net, x, &d); }
inline cvn_node cvn_dense_ex(cvn_net *net, cvn_node x, const cvn_dense_desc &d) { return cvn_dense_ex(net, x, &d); }
inline cvn_node cvn_maxpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc &d) { return cvn_maxpool_ex(net, x, &d); }
inline cvn_node cvn_avgpool_ex(cvn_net *net, cvn_node x, const cvn_pool_desc &d) { return cvn_avgpool_ex(net, x, &d); }
inline cvn_node cvn_batchnorm_ex(cvn_net *net, cvn_node x, const cvn_batchnorm_desc &d)
{
    return cvn_batchnorm_ex(net, x, &d);
}
inline cvn_node cvn_softmax_loss_ex(cvn_net *net, cvn_node x, const cvn_softmax_loss_desc &d)
{
    return cvn_softmax_loss_ex(net, x, &d);
}
inline cvn_result cvn_set_optimizer(cvn_net *net, const cvn_optimizer &o) { return cvn_set_optimizer(net, &o); }
inline cvn_result cvn_fit(cvn_net *net, const cvn_data &train, const cvn_data &valid, const cvn_fit_options &o)
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

#if defined(_OPENMP) && !defined(CONVNET_NO_OPENMP)
    #define CVNI_OPENMP 1
    #include <omp.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
    #define CVNI_PRINTF(text, first) __attribute__((format(printf, text, first)))
    #define CVNI_RESTRICT __restrict__
    #define CVNI_VECTOR4 1                      /* 16-byte vector types: SSE2, NEON, WASM SIMD, or emulated */
#elif defined(_MSC_VER)
    #define CVNI_PRINTF(text, first)
    #define CVNI_RESTRICT __restrict
#else
    #define CVNI_PRINTF(text, first)
    #define CVNI_RESTRICT
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

/* ================================================================================================
 * >>internal   the structures that all rooms share
 * ============================================================================================== */

typedef struct cvni_layer cvni_layer;

/* One row a kind of layer. A layer's output is its node; ids order the graph topologically. */
enum {
    CVNI_USES_X = 1,            /* backward reads the inputs' values */
    CVNI_USES_Y = 2,            /* backward reads the own value */
    CVNI_INPLACE = 4,           /* the value may lie where input 0 lies when nobody else needs that */
    CVNI_VIEW = 8,              /* the value is input 0 under another shape */
    CVNI_INPLACE_GRAD = 16,     /* the gradient of input 0 may lie where the own one lies */
    CVNI_IDENTITY_EVAL = 32,    /* prediction: y = x */
    CVNI_LOSS = 64,             /* not computed for predictions */
    CVNI_SOURCE = 128           /* an input: no computation */
};

typedef struct cvni_op {
    const char *type;           /* "conv2d", in summaries */
    const char *name;           /* "conv", begins automatic names */
    const char *onnx;           /* operator of that name there, or NULL */
    unsigned flags;
    cvn_result (*shape)(cvn_net *net, cvni_layer *l);   /* output shape, parameters, memory; runs again at each plan */
    void (*prepare)(cvn_net *net, cvni_layer *l);       /* fills l->table once the memory is there; may be NULL */
    cvn_result (*forward)(cvn_net *net, cvni_layer *l);
    void (*backward)(cvn_net *net, cvni_layer *l);
} cvni_op;

#define CVNI_LAYER_PARAMS 4     /* parameters of one layer */

/* What the plan decided about one layer: indices into cvni_plan.buffers, -1 for none. */
typedef struct cvni_place {
    int y, dy;                  /* value, gradient */
    int saved;                  /* from forward for backward */
    int work_forward, work_backward, table;
    int skip;                   /* nothing to do at run time: fused, a view, or not needed */
    int predict;                /* runs for predictions */
    int grad;                   /* takes part in backward */
    int folded;                 /* id of the batch norm folded into this layer */
    int activation;             /* id of the activation done on this layer's store */
    int norm_scaled;            /* batch norm: its factors were folded into the producer */
} cvni_place;

struct cvni_layer {
    const cvni_op *op;
    char *name;
    void *desc;                 /* copy of the caller's description, completed */
    int inputs;
    int *input;                 /* ids */
    int params;
    int param[CVNI_LAYER_PARAMS];       /* indices into net->params */
    cvn_shape shape;
    int is_int;                 /* value is int, not float */
    int per_batch;              /* no batch axis: scalar of a loss */
    int keep, want_grad, frozen;
    float loss_weight;          /* not 0: minimised */
    double macs;                /* multiply-accumulates per sample */
    size_t saved_bytes, work_forward_bytes, work_backward_bytes, table_bytes;   /* shape() sets them; whole layer */
    size_t scratch_bytes;       /* per worker, any pass */
    cvni_place place;
    /* bound to memory: */
    float *y, *dy;
    void *saved, *work, *table; /* work: of the pass that runs */
    int grad_written;           /* this backward pass has written dy */
    int gradless;               /* planned without gradients because frozen at that time */
};

typedef struct cvni_param {
    char *name;
    cvn_shape shape;
    size_t offset, count;       /* in net->weights */
    cvn_init init;
    double fan_in, fan_out;
    int layer;                  /* owner */
    int running;                /* batch norm's statistics: no gradient */
    int dead;                   /* tied away */
    int is_weight;              /* more than a bias or a norm's factor: decays */
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
    size_t weights, grads, state;       /* offsets of the persistent part */
    int slots;                          /* optimizer state arrays */
    size_t persistent_bytes, scratch, scratch_bytes, total;
} cvni_plan;

typedef struct cvni_record {    /* header of a small allocation that lives as long as the net */
    struct cvni_record *next;
} cvni_record;

typedef struct cvni_fit_state { /* all that a resumed cvn_fit must know; saved in checkpoints */
    int epoch;                  /* epochs done */
    int position;               /* samples of the current epoch done */
    uint64_t step;              /* batches done */
    double loss_sum, correct_sum, weight_sum;       /* over the current epoch */
    double best_loss;           /* validation */
    int best_epoch, bad_epochs;
} cvni_fit_state;

typedef void (*cvni_job)(void *context, int begin, int end, int worker);

/* The table of kernels: leaves without threads, one table an instruction set. n counts floats. */
typedef struct cvni_kernels {
    const char *name;
    int mr, nr;                 /* register tile of gemm */
    /* c[mr x nr] (+)= a[k x mr]^T b[k x nr], packed panels; rows of c are ldc apart */
    void (*gemm_tile)(int k, const float *a, const float *b, float *c, ptrdiff_t ldc, int add);
    float (*dot)(int n, const float *a, const float *b);
    void (*axpy)(int n, float alpha, const float *x, float *y);                     /* y += alpha*x */
    float (*sum)(int n, const float *x);
    float (*sum_square_diff)(int n, const float *x, float mean);                    /* sum (x - mean)^2 */
    float (*dot_diff)(int n, const float *a, const float *x, float mean);           /* sum a*(x - mean) */
    void (*scale_shift)(int n, float scale, float shift, const float *x, float *y); /* y = scale*x + shift */
    void (*add)(int n, const float *a, const float *b, float *y);                   /* y = a + b */
    void (*relu)(int n, float slope, const float *x, float *y);                     /* x > 0 ? x : slope*x */
    void (*relu_grad)(int n, float slope, const float *y, const float *dy, float *dx, int add);
} cvni_kernels;

struct cvn_net {
    cvn_desc desc;
    const cvni_kernels *k;
    int threads;
    cvni_record *records;
    char scope[CVN_MAX_NAME];
    cvn_net *parent;            /* cvn_share: owner of the weights */

    cvni_layer *layers;         /* [0] is no layer */
    int layer_count, layer_capacity;
    cvni_param *params;
    int param_count, param_capacity;
    int output;

    cvn_result failed;          /* first error of the graph; sticky */
    char message[512];

    int mode;                   /* 0: not built, CVN_INFER, CVN_TRAIN */
    int max_batch, batch;       /* planned; of the inputs set last */
    unsigned char *arena, *arena_block;     /* aligned; as taken */
    size_t arena_bytes;
    int arena_owned;
    cvni_plan plan;
    float *weights, *grads, *state;         /* state: plan.slots arrays of `trainable` floats */
    size_t trainable, running;              /* floats in weights: trainable ones, then running statistics */
    unsigned char *scratch;
    size_t scratch_bytes;                   /* per worker */
    uint64_t weights_version;               /* raised by every change of weights */
    uint64_t folded_version;                /* the one that folded weights were made from */

    int training;               /* of the pass that runs */
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

/* Text that grows like snprintf's: `length` counts what was needed, `size` bounds what is written. */
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

/* "[16, 5, 5]": the axes behind the batch. buffer holds at least 96 bytes. */
static const char *cvni_shape_text(cvn_shape s, char *buffer)
{
    cvni_text t = { buffer, 96, 0 };
    cvni_print(&t, "[");
    for (int i = 1; i < s.rank; i++) cvni_print(&t, i > 1 ? ", %d" : "%d", s.dim[i]);
    cvni_print(&t, "]");
    return buffer;
}

/* ================================================================================================
 * >>memory   checked sizes, blocks, records
 * ============================================================================================== */

static int cvni_min(int a, int b) { return a < b ? a : b; }
static int cvni_max(int a, int b) { return a > b ? a : b; }
static int cvni_ceil_div(int a, int b) { return (a + b - 1) / b; }
static size_t cvni_max_size(size_t a, size_t b) { return a > b ? a : b; }
static size_t cvni_align(size_t bytes) { return (bytes + CVNI_ALIGN - 1) & ~(size_t)(CVNI_ALIGN - 1); }

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
    return net->desc.allocator.alloc ? net->desc.allocator.alloc(net->desc.allocator.user, bytes) : CONVNET_MALLOC(bytes);
}

static void cvni_free(cvn_net *net, void *pointer)
{
    if (!pointer) return;
    if (net->desc.allocator.free) net->desc.allocator.free(net->desc.allocator.user, pointer);
    else CONVNET_FREE(pointer);
}

/* A small zeroed piece of memory that lives as long as the net. NULL is reported as a graph error. */
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
    if (count) memcpy(bigger, *array, (size_t)count * element);
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
 *   counter   { index, id, low 32 bits of step, high 28 bits of step | stream << 28 }          tested: tests/test_core.c */

enum { CVNI_STREAM_INIT = 1, CVNI_STREAM_SHUFFLE = 2, CVNI_STREAM_DROPOUT = 3, CVNI_STREAM_AUGMENT = 4 };

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

/* Four random words of a stream: number `index` of place `id` (layer, parameter, sample) at `step`. */
static void cvni_random4(uint64_t seed, unsigned stream, uint64_t step, uint32_t id, uint32_t index, uint32_t out[4])
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
static uint32_t cvni_below(cvni_rng *r, uint32_t n) { return (uint32_t)(((uint64_t)cvni_next(r) * n) >> 32); }

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
 *   A job is a number of independent tasks; each task's result depends on the task alone, never on who runs it, so the
 *   number of threads does not change a bit. `cost` is the whole job in floating-point operations: a job that is cheaper
 *   than waking a thread stays on this one. */

#define CVNI_COST_PER_WORKER 40000.0

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
    if (cost < CVNI_COST_PER_WORKER * s.workers) s.workers = cvni_max(1, (int)(cost / CVNI_COST_PER_WORKER));
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
