/* convnet_cl.h - v0.1.0 - the nets of convnet.h on any OpenCL device - no warranty
 * SPDX-License-Identifier: MIT-0 OR Unlicense   (texts at the end of convnet.h)
 *
 * In the file that has the implementation of convnet.h, behind it:
 *
 *     #define CONVNET_IMPLEMENTATION
 *     #include "convnet.h"
 *     #define CONVNET_CL_IMPLEMENTATION
 *     #include "convnet_cl.h"
 *
 * and elsewhere plainly, behind convnet.h. No SDK, headers or -lOpenCL: the library is opened at
 * run time (glibc before 2.34: -ldl). Then two lines more than on the CPU:
 *
 *     cvn_backend *cl = cvncl_open(NULL);
 *     ...                                                         // layers
 *     if (cvn_use_backend(net, cl) < 0) puts(cvn_error(net));     // why not: it stays on the CPU
 *     if (cvn_build(net, 64) != CVN_OK) { puts(cvn_error(net)); return 1; }
 *     ...                                                         // cvn_fit, cvn_predict, ...
 *     cvn_destroy(net);
 *     cvncl_close(cl);
 *
 * Macro:        CONVNET_CL_LINK    linked with OpenCL instead; <CL/cl.h> is needed
 * Environment:  CONVNET_CL=0       no device;  =1: the first GPU;  =PLATFORM:DEVICE: numbers that
 *                                  cvncl_info prints, of any kind. It goes before cvncl_desc
 *               CONVNET_CL_LIB     path of the OpenCL library, or of a driver
 *               CONVNET_CL_CACHE   folder where built programs and what tuning has found are kept;
 *                                  =0: nowhere. Not set: one in the user's cache folder; programs
 *                                  only where the driver has no cache of its own
 *               CONVNET_CL_TUNE    off, fast or full, before cvncl_desc.tune
 *               CONVNET_CL_STORAGE fp32, fp16 or bf16, before cvncl_desc.storage
 *
 * Rooms of this file:  >>cl-api  >>cl-library  >>cl-device  >>cl-cache  >>cl-programs
 *     >>cl-memory
 *     kernels and their calls, a family each:  >>cl-gemm  >>cl-mma  >>cl-wgmma  >>cl-tune
 *     >>cl-conv  >>cl-pool  >>cl-norm  >>cl-map  >>cl-layers  >>cl-shape  >>cl-batch
 *     >>cl-recurrent  >>cl-embed  >>cl-gather  >>cl-loss  >>cl-optim  >>cl-data;  >>cl-table
 *
 * What runs on the device, forward and backward:
 *     dense; conv1d, conv2d, conv3d with any groups, strides, dilations and padding; transposed
 *     convolutions; depthwise and separable ones
 *     max, average, lp, global and adaptive pools, dilated ones too; places of maxima
 *     batch norm, with the sum and the relu that follow it; layer, instance, group norm, l2norm
 *     all activations but cvn_activation; prelu; all functions of one element
 *     arithmetic and comparisons with broadcasting, where; concat, flatten, reshape and the
 *     batch's; permute, slice, split; upsampling, interpolate, pad, crop, pixel_shuffle; glu,
 *     maxout; sums, means, products, extremes over axes; stop_gradient, gradient_reversal; softmax,
 *     log_softmax; dropout of all three kinds; topk, argmax, hardmax, cumsum; index_select, tile,
 *     take, gather, scatter, one_hot, reverse_sequence; maxunpool, lrn; roi_align, grid_sample,
 *     non_max_suppression; spectral norms
 *     rnn, lstm, gru with layers, directions, states and lengths; attention, multihead attention;
 *     matmul; embedding, parameter, constant, positional encodings; gaussian_noise, reparameterize
 *     all losses and penalties; cvn_yolo_loss where its truth is an input
 *     all optimizers, clipping, averages of the weights; cvn_mixup, cvn_cutmix, sample weights
 * Others (cvn_activation and cvn_features, which call the caller's C or another net) are an error
 * of cvn_build that names the layer, or, with cvncl_desc.host_layers, run on the CPU in the midst
 * of the others: copies there and back, a warning each.
 *
 * Numbers. float32 with float32 sums, no atomics: the same bits in every run on one device, and
 * where there is local memory tuning does not change them. From the CPU's they differ in rounding.
 * cvncl_desc.precision lets products round their factors, for matrix units, and tuning choose.
 * Random draws (dropout) are the CPU's.
 * On the store. Convolutions and dense layers add the bias and apply the relu behind them, in plans
 * for prediction they add the other term of the sum behind them too: a residual block's last
 * convolution, batch norm, sum and relu are one kernel. In training, where there is local memory, a
 * convolution makes the statistics of the batch norm that runs next, which then reads its image
 * once; of 16-bit images they are those before rounding.
 * Storage. With cvncl_desc.storage values and gradients of images are 16-bit numbers: those of
 * convolutions, batch norms of images, and of the pools, elementwise functions, prelu, arithmetic,
 * where, dropout, concat of channels and resizing behind them. All arithmetic is float32, and so
 * are parameters, their gradients, statistics, the optimizer's state, all other layers and what the
 * host reads and writes; copies convert. Such nets take about half the memory for values, and move
 * half the bytes. Where cvncl_desc.precision allows it (fp16: CVNCL_TF32 or CVNCL_BF16, bf16:
 * CVNCL_BF16), convolutions read their weights rounded to the images' type, and multiply on matrix
 * units without rounding more. What is stored is the nearest number, of two the even one; fp16 has
 * infinity beyond 65504. As fp16 has no small numbers, gradients are stored times a scale, which
 * the kernels put in and take out: nothing that the host sees is scaled. It begins as
 * cvncl_desc.gradient_scale. A step whose gradients of parameters are not finite is left out -
 * parameters and state stay, gradients go to zero, the step counts - and halves it; 2000 others in
 * a row double it, as PyTorch's GradScaler does (cvncl_gradient_scale tells). The device decides,
 * nothing waits. A net that is built anew begins anew. bf16 has the range of floats and needs none.
 * Memory. The device takes what cvn_memory_needed tells, which is less than on the CPU, as its
 * kernels' work is left out (less still with 16-bit images, for which the host takes more), the
 * weights of convolutions once for each pass in an order of their own, and workspace;
 * cvncl_memory_needed tells it all beforehand. The host's arena stays. On the device
 * images are channels last (>>cl-memory); what the host reads and writes is not.
 * Data. While cvn_fit runs, its sets lie on the device, if they find room there (else a warning,
 * and the host gathers). Batches are gathered, normalised, augmented and mixed there; a step moves
 * its loss and output, which the host reads while the backward pass runs. Other inputs go by pinned
 * memory of the host, room for a batch: cvn_train_batch waits for its loss alone, if it is asked
 * for, cvn_evaluate for the numbers of the batch before.
 * Threads. The nets of one backend belong to one thread.
 */
#ifndef CONVNET_CL_H
#define CONVNET_CL_H

#ifndef CONVNET_H
    #error "convnet_cl.h: include convnet.h before"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ================================================================================================
 * >>cl-api   open, close, ask
 * ============================================================================================== */

/* What products may round their factors to; sums are float32. */
enum { CVNCL_FP32, CVNCL_TF32, CVNCL_BF16 };

/* What values and gradients of images are stored as on the device; arithmetic and sums are
 * float32. */
enum { CVNCL_STORE_FP32, CVNCL_STORE_FP16, CVNCL_STORE_BF16 };

/* Time spent on finding the fastest kernels for a net's products, in cvn_build. */
enum {
    CVNCL_TUNE_DEFAULT,         /* off on a CPU, else fast */
    CVNCL_TUNE_OFF,
    CVNCL_TUNE_FAST,            /* 3 s for all nets of a backend */
    CVNCL_TUNE_FULL             /* all candidates, a minute or more */
};

typedef struct cvncl_desc {
    const char *device;         /* "PLATFORM:DEVICE", numbers that cvncl_info prints; NULL: the
                                 * first GPU */
    int any_kind;               /* with device NULL: other kinds too, where there is no GPU */
    int host_layers;            /* layers that the device lacks run on the CPU */
    int local_memory;           /* products: 0 as suits the device, 1 through local memory, -1
                                 * without */
    size_t piece;               /* bytes of a piece of memory, at most; 0: what the device allows */
    int precision;              /* CVNCL_FP32; CVNCL_TF32 (10 bits behind the point) or CVNCL_BF16
                                 * (7 bits): dense layers and convolutions on matrix units, where
                                 * there are such and, but on Hopper, channels are multiples of 4,
                                 * of 16-bit images of 8: see "Storage" above */
    int tune;                   /* CVNCL_TUNE_... */
    int storage;                /* CVNCL_STORE_FP32; CVNCL_STORE_FP16 (10 bits behind the point, at
                                 * most 65504) or CVNCL_STORE_BF16 (7 bits): see "Storage" above */
    float gradient_scale;       /* CVNCL_STORE_FP16: gradients are at first stored times this,
                                 * rounded down to a power of two; 0: 4096 */
} cvncl_desc;

CONVNET_API cvncl_desc cvncl_defaults(void);

/* cvncl_open - a device for cvn_use_backend, for any number of nets, which it must outlive. Never
 * fails: without a usable device cvn_use_backend returns CVN_ERROR_UNSUPPORTED and cvn_error the
 * reason. desc NULL: all defaults. NULL when memory is out, which cvn_use_backend takes too. */
CONVNET_API cvn_backend *cvncl_open(const cvncl_desc *desc);
CONVNET_API void cvncl_close(cvn_backend *backend);

/* cvncl_info - what a bug report needs, as text: the library, all platforms and devices with
 * driver, memory and limits, and which device `backend` (may be NULL) has taken or why none. Like
 * snprintf. */
CONVNET_API int cvncl_info(const cvn_backend *backend, char *text, size_t size);

/* cvncl_memory_needed - what a build of net, which uses a backend of this file, would take on the
 * device, before it is taken. Where the device limits the size of a piece, the net lies in several;
 * no tensor is in two. Sets of samples come on top while cvn_fit runs, if there is room.
 *   mode     CVN_TRAIN or CVN_INFER, as of cvn_memory_needed
 * errors   those of cvn_build; CVN_ERROR_STATE: the net uses no device. A net that needs more than
 *          there is gets its numbers, and CVN_ERROR_MEMORY from cvn_build */
typedef struct cvncl_memory {
    size_t net;                 /* bytes of parameters, gradients, optimizer state and values; */
    size_t copies;              /* of images and weights in another order; */
    size_t work, tables;        /* workspace of the kernels; constant data of the layers; */
    size_t total;               /* all of it */
    size_t pinned;              /* not in it: memory of the host for inputs and results */
    size_t piece;               /* bytes of a piece, at most */
    int pieces;                 /* that the net lies in */
    uint64_t device, taken;     /* the device's memory; what nets and sets of this backend have */
} cvncl_memory;

CONVNET_API cvn_result cvncl_memory_needed(cvn_net *net, int max_batch, int mode,
                                           cvncl_memory *memory);

/* cvncl_gradient_scale - what a net that is built stores narrow gradients times by now (see
 * "Storage" above; 1 but for CVNCL_STORE_FP16), and *left_out (may be NULL): the steps since
 * cvn_build that were left out. Waits for the device. 0: it cannot be read, see cvn_error. */
CONVNET_API float cvncl_gradient_scale(cvn_net *net, int *left_out);

#ifdef __cplusplus
}
#endif
#endif /* CONVNET_CL_H */

#if defined(CONVNET_CL_IMPLEMENTATION) && !defined(CONVNET_CL_IMPLEMENTED)
#define CONVNET_CL_IMPLEMENTED

#if !defined(CONVNET_IMPLEMENTATION) || defined(CONVNET_NO_TRAIN)
    #error "convnet_cl.h: needs the implementation of convnet.h, with training, in the same file"
#endif

/* ================================================================================================
 * >>cl-library   OpenCL without its headers: prototypes, constants, how it is found
 * ==============================================================================================
 *   Where it is looked for: $CONVNET_CL_LIB alone if it is set; else the loader under its usual
 *   names - libOpenCL.so before .so.1, for oclgrind puts itself in place of the first - and last
 *   NVIDIA's driver, which containers have without a loader. A driver without clGetPlatformIDs is
 *   asked for clIcdGetPlatformIDsKHR, and its functions are taken from the dispatch table to which
 *   the first word of a platform points (OpenCL ICD extension, cl_khr_icd). */

#ifdef CONVNET_CL_LINK
    #ifndef CL_TARGET_OPENCL_VERSION
        #define CL_TARGET_OPENCL_VERSION 120
    #endif
    #include <CL/cl.h>
#elif !defined(_WIN32)
    #include <dlfcn.h>
#endif
#ifdef _WIN32
    #define WIN32_LEAN_AND_MEAN
    #include <windows.h>
#else
    #include <sys/stat.h>
#endif
#ifdef _WIN32
    #define CVNCL_CALL __stdcall
#else
    #define CVNCL_CALL
#endif

#ifdef __cplusplus
extern "C" {
#endif

CVNI_SMALL_BEGIN

enum {
    CVNCL_PLATFORM_VERSION = 0x0901, CVNCL_PLATFORM_NAME = 0x0902,
    CVNCL_DEVICE_TYPE = 0x1000, CVNCL_DEVICE_UNITS = 0x1002, CVNCL_DEVICE_GROUP = 0x1004,
    CVNCL_DEVICE_MAX_ALLOC = 0x1010, CVNCL_DEVICE_MEMORY = 0x101F, CVNCL_DEVICE_LOCAL_TYPE = 0x1022,
    CVNCL_DEVICE_LOCAL = 0x1023, CVNCL_DEVICE_AVAILABLE = 0x1027, CVNCL_DEVICE_NAME = 0x102B,
    CVNCL_DEVICE_VENDOR_ID = 0x1001, CVNCL_DEVICE_EXTENSIONS = 0x1030,
    CVNCL_DRIVER_VERSION = 0x102D, CVNCL_BUILD_LOG = 0x1183,
    CVNCL_BINARY_SIZES = 0x1165, CVNCL_BINARIES = 0x1166,
    CVNCL_CPU = 2, CVNCL_GPU = 4,       /* bits of the device type */
    CVNCL_READ_WRITE = 1, CVNCL_READ_ONLY = 4, CVNCL_HOST_MEMORY = 16,
    CVNCL_MAP_BOTH = 3
};

typedef void (CVNCL_CALL *cvncl_function)(void);

/* The functions that are used; status codes are int32_t, 0 is success. */
typedef struct cvncl_api {
    int32_t (CVNCL_CALL *GetPlatformIDs)(uint32_t room, void **platforms, uint32_t *count);
    int32_t (CVNCL_CALL *GetPlatformInfo)(void *platform, uint32_t what, size_t room, void *value,
                                          size_t *size);
    int32_t (CVNCL_CALL *GetDeviceIDs)(void *platform, uint64_t type, uint32_t room, void **devices,
                                       uint32_t *count);
    int32_t (CVNCL_CALL *GetDeviceInfo)(void *device, uint32_t what, size_t room, void *value,
                                        size_t *size);
    void *(CVNCL_CALL *CreateContext)(const intptr_t *properties, uint32_t count,
                                      void *const *devices, cvncl_function notify, void *user,
                                      int32_t *status);
    int32_t (CVNCL_CALL *ReleaseContext)(void *context);
    void *(CVNCL_CALL *CreateCommandQueue)(void *context, void *device, uint64_t properties,
                                           int32_t *status);
    int32_t (CVNCL_CALL *ReleaseCommandQueue)(void *queue);
    void *(CVNCL_CALL *CreateBuffer)(void *context, uint64_t flags, size_t size, void *host,
                                     int32_t *status);
    int32_t (CVNCL_CALL *ReleaseMemObject)(void *memory);
    void *(CVNCL_CALL *CreateProgramWithSource)(void *context, uint32_t count, const char **text,
                                                const size_t *sizes, int32_t *status);
    void *(CVNCL_CALL *CreateProgramWithBinary)(void *context, uint32_t count,
                                                void *const *devices, const size_t *sizes,
                                                const unsigned char **binaries,
                                                int32_t *each_status, int32_t *status);
    int32_t (CVNCL_CALL *GetProgramInfo)(void *program, uint32_t what, size_t room, void *value,
                                         size_t *size);
    int32_t (CVNCL_CALL *ReleaseProgram)(void *program);
    int32_t (CVNCL_CALL *BuildProgram)(void *program, uint32_t count, void *const *devices,
                                       const char *options, cvncl_function notify, void *user);
    int32_t (CVNCL_CALL *GetProgramBuildInfo)(void *program, void *device, uint32_t what,
                                              size_t room, void *value, size_t *size);
    void *(CVNCL_CALL *CreateKernel)(void *program, const char *name, int32_t *status);
    int32_t (CVNCL_CALL *ReleaseKernel)(void *kernel);
    int32_t (CVNCL_CALL *SetKernelArg)(void *kernel, uint32_t index, size_t size,
                                       const void *value);
    int32_t (CVNCL_CALL *WaitForEvents)(uint32_t count, void *const *events);
    int32_t (CVNCL_CALL *ReleaseEvent)(void *event);
    int32_t (CVNCL_CALL *Finish)(void *queue);
    int32_t (CVNCL_CALL *EnqueueReadBuffer)(void *queue, void *memory, uint32_t blocking,
                                            size_t offset, size_t size, void *to, uint32_t events,
                                            void *const *wait, void **event);
    int32_t (CVNCL_CALL *EnqueueWriteBuffer)(void *queue, void *memory, uint32_t blocking,
                                             size_t offset, size_t size, const void *from,
                                             uint32_t events, void *const *wait, void **event);
    void *(CVNCL_CALL *EnqueueMapBuffer)(void *queue, void *memory, uint32_t blocking,
                                         uint64_t flags, size_t offset, size_t size,
                                         uint32_t events, void *const *wait, void **event,
                                         int32_t *status);
    int32_t (CVNCL_CALL *EnqueueUnmapMemObject)(void *queue, void *memory, void *mapped,
                                                uint32_t events, void *const *wait, void **event);
    int32_t (CVNCL_CALL *EnqueueNDRangeKernel)(void *queue, void *kernel, uint32_t axes,
                                               const size_t *offset, const size_t *global,
                                               const size_t *local, uint32_t events,
                                               void *const *wait, void **event);
} cvncl_api;

/* Rows of the functions: name, place in the dispatch table of cl_khr_icd, place in cvncl_api. */
typedef struct cvncl_import {
    const char *name;
    int index;
    size_t offset;
    cvncl_function linked;
} cvncl_import;

#ifdef CONVNET_CL_LINK
    #define CVNCL_IMPORT(name, index) \
        { "cl" #name, index, offsetof(cvncl_api, name), (cvncl_function)cl##name }
#else
    #define CVNCL_IMPORT(name, index) { "cl" #name, index, offsetof(cvncl_api, name), NULL }
#endif

static const cvncl_import cvncl_imports[] = {
    CVNCL_IMPORT(GetPlatformIDs, 0), CVNCL_IMPORT(GetPlatformInfo, 1),
    CVNCL_IMPORT(GetDeviceIDs, 2), CVNCL_IMPORT(GetDeviceInfo, 3),
    CVNCL_IMPORT(CreateContext, 4), CVNCL_IMPORT(ReleaseContext, 7),
    CVNCL_IMPORT(CreateCommandQueue, 9), CVNCL_IMPORT(ReleaseCommandQueue, 11),
    CVNCL_IMPORT(CreateBuffer, 14), CVNCL_IMPORT(ReleaseMemObject, 18),
    CVNCL_IMPORT(CreateProgramWithSource, 26), CVNCL_IMPORT(CreateProgramWithBinary, 27),
    CVNCL_IMPORT(ReleaseProgram, 29), CVNCL_IMPORT(BuildProgram, 30),
    CVNCL_IMPORT(GetProgramInfo, 32), CVNCL_IMPORT(GetProgramBuildInfo, 33),
    CVNCL_IMPORT(CreateKernel, 34), CVNCL_IMPORT(ReleaseKernel, 37),
    CVNCL_IMPORT(SetKernelArg, 38), CVNCL_IMPORT(WaitForEvents, 41),
    CVNCL_IMPORT(ReleaseEvent, 44), CVNCL_IMPORT(Finish, 47),
    CVNCL_IMPORT(EnqueueReadBuffer, 48), CVNCL_IMPORT(EnqueueWriteBuffer, 49),
    CVNCL_IMPORT(EnqueueMapBuffer, 56), CVNCL_IMPORT(EnqueueUnmapMemObject, 58),
    CVNCL_IMPORT(EnqueueNDRangeKernel, 59)
};
enum { CVNCL_IMPORTS = sizeof cvncl_imports / sizeof cvncl_imports[0] };

static void cvncl_set_function(cvncl_api *api, const cvncl_import *row, cvncl_function f)
{
    memcpy((char *)api + row->offset, &f, sizeof f);
}

#ifndef CONVNET_CL_LINK

#ifdef _WIN32
static void *cvncl_library(const char *path) { return (void *)LoadLibraryA(path); }
static void cvncl_unload(void *library) { FreeLibrary((HMODULE)library); }
static cvncl_function cvncl_symbol(void *library, const char *name)
{
    return (cvncl_function)GetProcAddress((HMODULE)library, name);
}
#else
static void *cvncl_library(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
static void cvncl_unload(void *library) { dlclose(library); }
static cvncl_function cvncl_symbol(void *library, const char *name)
{
    void *symbol = dlsym(library, name);
    cvncl_function f;
    memcpy(&f, &symbol, sizeof f);      /* POSIX: of one size */
    return f;
}
#endif

/* A driver on its own. */
static int cvncl_import_driver(cvncl_api *api, void *library)
{
    void *(CVNCL_CALL *find)(const char *name);
    cvncl_function f = cvncl_symbol(library, "clGetExtensionFunctionAddress");
    cvncl_function *table;
    void *platform, *address;
    uint32_t count = 0;
    if (!f) return 0;
    memcpy(&find, &f, sizeof find);
    address = find("clIcdGetPlatformIDsKHR");
    if (!address) return 0;
    memcpy(&api->GetPlatformIDs, &address, sizeof address);
    if (api->GetPlatformIDs(1, &platform, &count) != 0 || !count) return 0;
    memcpy(&table, platform, sizeof table);
    for (int i = 1; i < CVNCL_IMPORTS; i++)
        cvncl_set_function(api, &cvncl_imports[i], table[cvncl_imports[i].index]);
    return 1;
}

static int cvncl_import_library(cvncl_api *api, void *library)
{
    for (int i = 0; i < CVNCL_IMPORTS; i++) {
        const cvncl_function f = cvncl_symbol(library, cvncl_imports[i].name);
        if (!f) return cvncl_import_driver(api, library);
        cvncl_set_function(api, &cvncl_imports[i], f);
    }
    return 1;
}

static int cvncl_try_library(cvncl_api *api, void **library, const char *path)
{
    *library = cvncl_library(path);
    if (!*library) return 0;
    if (cvncl_import_library(api, *library)) return 1;
    cvncl_unload(*library);
    *library = NULL;
    return 0;
}
#endif

/* The functions of the OpenCL library that is found; its name, or NULL. */
static const char *cvncl_find_library(cvncl_api *api, void **library)
{
    *library = NULL;
#ifdef CONVNET_CL_LINK
    for (int i = 0; i < CVNCL_IMPORTS; i++)
        cvncl_set_function(api, &cvncl_imports[i], cvncl_imports[i].linked);
    return "linked";
#else
    static const char *const names[] = {
#ifdef _WIN32
        "OpenCL.dll", "nvopencl64.dll"
#elif defined(__APPLE__)
        "/System/Library/Frameworks/OpenCL.framework/OpenCL"
#else
        "libOpenCL.so", "libOpenCL.so.1", "/system/vendor/lib64/libOpenCL.so",
        "/system/lib64/libOpenCL.so", "/vendor/lib64/libOpenCL.so",
        "/system/vendor/lib64/egl/libGLES_mali.so", "libnvidia-opencl.so.1"
#endif
    };
    const char *chosen = getenv("CONVNET_CL_LIB");
    if (chosen && *chosen) return cvncl_try_library(api, library, chosen) ? chosen : NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (cvncl_try_library(api, library, names[i])) return names[i];
    return NULL;
#endif
}

/* ================================================================================================
 * >>cl-device   which device, what it can, how it is opened
 * ============================================================================================== */

enum { CVNCL_MAX_PLATFORMS = 16, CVNCL_MAX_DEVICES = 32 };

enum {                          /* programs, in the order of cvncl_programs */
    CVNCL_PROGRAM_GEMM, CVNCL_PROGRAM_CONV, CVNCL_PROGRAM_POOL, CVNCL_PROGRAM_NORM,
    CVNCL_PROGRAM_MAP, CVNCL_PROGRAM_LAYERS, CVNCL_PROGRAM_SHAPE, CVNCL_PROGRAM_LOSS,
    CVNCL_PROGRAM_OPTIM, CVNCL_PROGRAM_DATA,
    /* whose layers need products, too: */
    CVNCL_PROGRAM_BATCH, CVNCL_PROGRAM_SEQUENCE, CVNCL_PROGRAM_LOSSES,
    CVNCL_PROGRAM_GATHER, CVNCL_PROGRAM_PLACES, CVNCL_PROGRAM_SPECTRAL,
    CVNCL_PROGRAMS
};

enum { CVNCL_VECTOR = 64 };     /* bytes that a kernel may read behind the end of a tensor */
enum { CVNCL_MAX_KERNELS = 192 };
enum { CVNCL_TILES = 2 };       /* sizes of a tile that products are built for: small, large */
enum { CVNCL_VARIANTS = 2 * CVNCL_TILES };      /* of a program: those, then for narrow images */

/* A tile of a product: rows, columns, depth; rows and columns of a work item. */
typedef struct cvncl_tile { int m, n, k, item_m, item_n; } cvncl_tile;

typedef struct cvncl_backend {
    cvn_backend base;           /* first: cvn_use_backend is given this */
    cvncl_api api;
    void *library, *platform, *device, *context, *queue;
    const char *library_name;
    char name[128], driver[128], platform_name[128];
    char why[400];
    char cache[512];            /* folder; "": none */
    int cache_programs;         /* built programs are kept there */
    int cache_hits;
    uint64_t max_alloc, memory, taken;
    int group;                  /* work items of a group that sums or goes through elements */
    int local;                  /* products go through local memory */
    int units;
    cvncl_tile tile[CVNCL_TILES];
    /* products, >>cl-gemm and >>cl-tune: */
    uint64_t max_group, local_bytes;
    int is_cpu, register_option, precision;
    int storage;
    float gradient_scale;       /* of narrow gradients, at first; 1 but for fp16 */
    int emulate;                /* matrix units by plain C, for tests */
    const char *no_wgmma;       /* why warp group products cannot be had; NULL: not known */
    int tune, choices_read;
    double tune_left;           /* seconds */
    const struct cvncl_vendor *vendor;
    struct cvncl_built *built;
    struct cvncl_choice *choices;
    void *program[CVNCL_PROGRAMS][CVNCL_VARIANTS];
    void *kernel[CVNCL_MAX_KERNELS][CVNCL_VARIANTS];
} cvncl_backend;

static cvncl_backend *cvncl_of(const cvn_net *net) { return (cvncl_backend *)net->backend; }

static void cvncl_text(const cvncl_backend *b, void *of, uint32_t what, int is_device, char *text,
                       size_t room)
{
    text[0] = 0;
    if (is_device) b->api.GetDeviceInfo(of, what, room - 1, text, NULL);
    else b->api.GetPlatformInfo(of, what, room - 1, text, NULL);
    text[room - 1] = 0;
}

/* A number of the device, of 4 or 8 bytes. */
static uint64_t cvncl_number(const cvncl_backend *b, void *device, uint32_t what)
{
    unsigned char bytes[8] = { 0 };
    uint64_t wide;
    uint32_t narrow;
    size_t size = 0;
    if (b->api.GetDeviceInfo(device, what, sizeof bytes, bytes, &size) != 0) return 0;
    memcpy(&wide, bytes, sizeof wide);
    memcpy(&narrow, bytes, sizeof narrow);
    return size == 4 ? narrow : wide;
}

static int cvncl_platforms(const cvncl_backend *b, void **platforms)
{
    uint32_t count = 0;
    if (b->api.GetPlatformIDs(CVNCL_MAX_PLATFORMS, platforms, &count) != 0) return 0;
    return cvni_min((int)count, CVNCL_MAX_PLATFORMS);
}

/* A platform without devices says so by an error. */
static int cvncl_devices(const cvncl_backend *b, void *platform, void **devices)
{
    uint32_t count = 0;
    if (b->api.GetDeviceIDs(platform, 0xFFFFFFFFu, CVNCL_MAX_DEVICES, devices, &count) != 0)
        return 0;
    return cvni_min((int)count, CVNCL_MAX_DEVICES);
}

/* Goes through all devices: the one that `chosen` names, or the first GPU, or, any, the first of
 * other kinds. Returns how many there are. */
static int cvncl_choose(cvncl_backend *b, const char *chosen, int any)
{
    void *platforms[CVNCL_MAX_PLATFORMS];
    void *devices[CVNCL_MAX_DEVICES];
    const int count = cvncl_platforms(b, platforms);
    int found = 0, gpu = 0;
    for (int p = 0; p < count; p++) {
        const int n = cvncl_devices(b, platforms[p], devices);
        for (int d = 0; d < n; d++, found++) {
            const int is_gpu = (cvncl_number(b, devices[d], CVNCL_DEVICE_TYPE) & CVNCL_GPU) != 0;
            char place[32];
            snprintf(place, sizeof place, "%d:%d", p, d);
            if (!cvncl_number(b, devices[d], CVNCL_DEVICE_AVAILABLE)) continue;
            if (chosen ? strcmp(chosen, place) != 0
                       : gpu || (!is_gpu && (!any || b->device)))
                continue;
            b->platform = platforms[p];
            b->device = devices[d];
            gpu = is_gpu;
        }
    }
    return found;
}

/* Limits of the device, and the tiles that products go by. Starting points, measured on no GPU. */
static void cvncl_measure(cvncl_backend *b, const cvncl_desc *d)
{
    static const cvncl_tile small = { 32, 64, 16, 4, 4 };
    static const cvncl_tile large = { 128, 128, 16, 8, 8 };
    static const cvncl_tile plain = { 8, 16, 1, 8, 16 };
    const int is_gpu = (cvncl_number(b, b->device, CVNCL_DEVICE_TYPE) & CVNCL_GPU) != 0;
    const uint64_t group = cvncl_number(b, b->device, CVNCL_DEVICE_GROUP);
    const int fits = group >= 256 && cvncl_number(b, b->device, CVNCL_DEVICE_LOCAL) >= 20480;
    cvncl_text(b, b->device, CVNCL_DEVICE_NAME, 1, b->name, sizeof b->name);
    cvncl_text(b, b->device, CVNCL_DRIVER_VERSION, 1, b->driver, sizeof b->driver);
    cvncl_text(b, b->platform, CVNCL_PLATFORM_NAME, 0, b->platform_name, sizeof b->platform_name);
    b->max_alloc = cvncl_number(b, b->device, CVNCL_DEVICE_MAX_ALLOC);
    if (d->piece && d->piece < b->max_alloc) b->max_alloc = d->piece;
    b->base.piece = (size_t)(b->max_alloc < SIZE_MAX ? b->max_alloc : SIZE_MAX);
    b->base.piece = cvni_max_size((b->base.piece - cvni_min_size(b->base.piece, CVNCL_VECTOR)) /
                                  4096, 1) * 4096;
    b->memory = cvncl_number(b, b->device, CVNCL_DEVICE_MEMORY);
    b->units = cvni_max(1, (int)cvncl_number(b, b->device, CVNCL_DEVICE_UNITS));
    b->group = is_gpu && group >= 256 ? 256 : group >= 64 ? 64 : 1;
    b->local = fits && (d->local_memory ? d->local_memory > 0
                                        : is_gpu && cvncl_number(b, b->device,
                                                                 CVNCL_DEVICE_LOCAL_TYPE) == 1);
    b->tile[0] = b->local ? small : plain;
    b->tile[1] = b->local ? large : plain;
}

static void cvncl_measure_products(cvncl_backend *b, const cvncl_desc *d);   /* >>cl-tune */
static void cvncl_close_products(cvncl_backend *b);

/* 4096: gradients of a mean over samples are far below 16, and 2^-24/4096 is still stored. */
static void cvncl_measure_storage(cvncl_backend *b, const cvncl_desc *d)
{
    const char *env = getenv("CONVNET_CL_STORAGE");
    int power;
    b->storage = d->storage;
    if (env && *env)
        b->storage = !strcmp(env, "fp16") ? CVNCL_STORE_FP16
                                          : !strcmp(env, "bf16") ? CVNCL_STORE_BF16
                                                                 : CVNCL_STORE_FP32;
    (void)frexp(d->gradient_scale > 0 ? (double)d->gradient_scale : 4096.0, &power);
    b->gradient_scale = b->storage == CVNCL_STORE_FP16
                            ? (float)ldexp(1, cvni_max(-24, cvni_min(power - 1, 24))) : 1;
}

static void cvncl_refuse(cvncl_backend *b, const char *why) { b->base.unusable = why; }

/* Library, device, context and queue; what fails is the reason. */
static void cvncl_start(cvncl_backend *b, const cvncl_desc *d)
{
    const char *env = getenv("CONVNET_CL");
    const char *chosen = d->device;
    int32_t status = 0;
    int found;
    if (env && !strcmp(env, "0")) {
        cvncl_refuse(b, "no OpenCL device: the environment has CONVNET_CL=0");
        return;
    }
    if (env && *env) chosen = strchr(env, ':') ? env : NULL;
    b->library_name = cvncl_find_library(&b->api, &b->library);
    if (!b->library_name) {
        cvncl_refuse(b, "no OpenCL device: no OpenCL library was found (CONVNET_CL_LIB names one)");
        return;
    }
    found = cvncl_choose(b, chosen, d->any_kind);
    if (!b->device) {
        snprintf(b->why, sizeof b->why, "no OpenCL device: %s has %d, none of them %s%s",
                 b->library_name, found, chosen ? "at " : "a GPU (CONVNET_CL=0:0 takes any kind)",
                 chosen ? chosen : "");
        cvncl_refuse(b, b->why);
        return;
    }
    cvncl_measure(b, d);
    cvncl_measure_products(b, d);
    cvncl_measure_storage(b, d);
    b->context = b->api.CreateContext(NULL, 1, &b->device, NULL, NULL, &status);
    if (b->context)
        b->queue = b->api.CreateCommandQueue(b->context, b->device, 0, &status);
    if (!b->queue) {
        snprintf(b->why, sizeof b->why, "no OpenCL device: %s, driver %s: cannot be opened (%d)",
                 b->name, b->driver, (int)status);
        cvncl_refuse(b, b->why);
    }
}

cvncl_desc cvncl_defaults(void)
{
    cvncl_desc d;
    memset(&d, 0, sizeof d);
    return d;
}

static void cvncl_fill_backend(cvn_backend *base);      /* >>cl-table */
static void cvncl_open_cache(cvncl_backend *b);         /* >>cl-cache */

cvn_backend *cvncl_open(const cvncl_desc *desc)
{
    const cvncl_desc d = desc ? *desc : cvncl_defaults();
    cvncl_backend *b = (cvncl_backend *)CONVNET_MALLOC(sizeof *b);
    if (!b) return NULL;
    memset(b, 0, sizeof *b);
    cvncl_fill_backend(&b->base);
    b->base.host_layers = d.host_layers;
    cvncl_start(b, &d);
    if (!b->base.unusable) cvncl_open_cache(b);
    return &b->base;
}

void cvncl_close(cvn_backend *backend)
{
    cvncl_backend *b = (cvncl_backend *)backend;
    if (!b) return;
    cvncl_close_products(b);
    for (int i = 0; i < CVNCL_MAX_KERNELS * CVNCL_VARIANTS; i++)
        if (b->kernel[i / CVNCL_VARIANTS][i % CVNCL_VARIANTS])
            b->api.ReleaseKernel(b->kernel[i / CVNCL_VARIANTS][i % CVNCL_VARIANTS]);
    for (int i = 0; i < CVNCL_PROGRAMS * CVNCL_VARIANTS; i++)
        if (b->program[i / CVNCL_VARIANTS][i % CVNCL_VARIANTS])
            b->api.ReleaseProgram(b->program[i / CVNCL_VARIANTS][i % CVNCL_VARIANTS]);
    if (b->queue) b->api.ReleaseCommandQueue(b->queue);
    if (b->context) b->api.ReleaseContext(b->context);
    CONVNET_FREE(b);            /* the library stays: drivers do not survive being unloaded */
}

static void cvncl_print_device(const cvncl_backend *b, void *device, int p, int d, cvni_text *t)
{
    char name[128], driver[128];
    cvncl_text(b, device, CVNCL_DEVICE_NAME, 1, name, sizeof name);
    cvncl_text(b, device, CVNCL_DRIVER_VERSION, 1, driver, sizeof driver);
    cvni_print(t, "  %d:%d  %s, driver %s, %s, %lu units, %lu MiB (largest piece %lu MiB), local "
               "%lu KiB, group %lu%s\n", p, d, name, driver,
               cvncl_number(b, device, CVNCL_DEVICE_TYPE) & CVNCL_GPU ? "GPU" : "no GPU",
               (unsigned long)cvncl_number(b, device, CVNCL_DEVICE_UNITS),
               (unsigned long)(cvncl_number(b, device, CVNCL_DEVICE_MEMORY) >> 20),
               (unsigned long)(cvncl_number(b, device, CVNCL_DEVICE_MAX_ALLOC) >> 20),
               (unsigned long)(cvncl_number(b, device, CVNCL_DEVICE_LOCAL) >> 10),
               (unsigned long)cvncl_number(b, device, CVNCL_DEVICE_GROUP),
               device == b->device ? "  <- in use" : "");
}

int cvncl_info(const cvn_backend *backend, char *text, size_t size)
{
    cvni_text t = { text, size, 0 };
    void *platforms[CVNCL_MAX_PLATFORMS];
    void *devices[CVNCL_MAX_DEVICES];
    cvncl_backend own;
    const cvncl_backend *b = (const cvncl_backend *)backend;
    int count;
    if (!b || !b->library_name) {
        memset(&own, 0, sizeof own);
        own.library_name = cvncl_find_library(&own.api, &own.library);
        if (b && b->base.unusable) cvni_print(&t, "%s\n", b->base.unusable);
        b = &own;
    }
    cvni_print(&t, "convnet.h %s, OpenCL library: %s\n", CONVNET_VERSION,
               b->library_name ? b->library_name : "none found");
    if (!b->library_name) return (int)t.length;
    count = cvncl_platforms(b, platforms);
    for (int p = 0; p < count; p++) {
        const int n = cvncl_devices(b, platforms[p], devices);
        char name[128], version[128];
        cvncl_text(b, platforms[p], CVNCL_PLATFORM_NAME, 0, name, sizeof name);
        cvncl_text(b, platforms[p], CVNCL_PLATFORM_VERSION, 0, version, sizeof version);
        cvni_print(&t, "%d    %s, %s, %d devices\n", p, name, version, n);
        for (int d = 0; d < n; d++) cvncl_print_device(b, devices[d], p, d, &t);
    }
    if (b != &own && b->base.unusable) cvni_print(&t, "%s\n", b->base.unusable);
    return (int)t.length;
}

/* ================================================================================================
 * >>cl-cache   files that spare the next run work: built programs, what tuning has found
 * ==============================================================================================
 *   A file is the key it belongs to, a line with the checksum of what follows, and what follows;
 *   its name is a hash of the key. Another key, another checksum, a folder that cannot be read or
 *   written: as if there were no file, and nothing is said. The key of a program has all that its
 *   binary depends on: version of this file, platform, device, driver, options, hash of the text.
 *   NVIDIA and PoCL keep programs themselves; there only a folder in $CONVNET_CL_CACHE does, but
 *   for those of >>cl-wgmma, whose text no driver has seen. */

/* FNV-1a of 64 bits, going on from h. */
static uint64_t cvncl_hash(uint64_t h, const void *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes;
    if (!h) h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

static void cvncl_make_folder(const char *path)
{
#ifdef _WIN32
    CreateDirectoryA(path, NULL);
#else
    mkdir(path, 0777);
#endif
}

/* The user's cache folder is made too, should it be his first program that has one. */
static void cvncl_open_cache(cvncl_backend *b)
{
    const char *chosen = getenv("CONVNET_CL_CACHE");
    const int has_own = strstr(b->platform_name, "NVIDIA") != NULL ||
                        strstr(b->platform_name, "Portable Computing Language") != NULL;
    const char *home = getenv("XDG_CACHE_HOME");
    const char *under = "";
    int length;
    b->cache_programs = (chosen && *chosen) || !has_own;
    if (chosen && *chosen) {
        length = snprintf(b->cache, sizeof b->cache, "%s", chosen);
        if (!strcmp(chosen, "0") || length >= (int)sizeof b->cache) b->cache[0] = 0;
        if (b->cache[0]) cvncl_make_folder(b->cache);
        return;
    }
#if defined(_WIN32)
    home = getenv("LOCALAPPDATA");
#elif defined(__APPLE__)
    home = getenv("HOME");
    under = "/Library/Caches";
#else
    if (!home || !*home) {
        home = getenv("HOME");
        under = "/.cache";
    }
#endif
    if (!home || !*home || strlen(home) > sizeof b->cache - 64) return;
    snprintf(b->cache, sizeof b->cache, "%s%s", home, under);
    cvncl_make_folder(b->cache);
    snprintf(b->cache, sizeof b->cache, "%s%s/convnet.h", home, under);
    cvncl_make_folder(b->cache);
}

/* What the driver has made of a program, for CONVNET_FREE; NULL: it does not tell. */
static unsigned char *cvncl_binary(const cvncl_backend *b, void *program, size_t *size)
{
    unsigned char *bytes;
    *size = 0;
    if (b->api.GetProgramInfo(program, CVNCL_BINARY_SIZES, sizeof *size, size, NULL) != 0 || !*size)
        return NULL;
    bytes = (unsigned char *)CONVNET_MALLOC(*size);
    if (bytes && b->api.GetProgramInfo(program, CVNCL_BINARIES, sizeof bytes, &bytes, NULL) != 0) {
        CONVNET_FREE(bytes);
        bytes = NULL;
    }
    return bytes;
}

#ifndef CONVNET_NO_STDIO
enum { CVNCL_KEY = 1024, CVNCL_CHECKSUM = 18 };

static void cvncl_cache_path(const cvncl_backend *b, const char *key, char *path, size_t room)
{
    const uint64_t h = cvncl_hash(0, key, strlen(key));
    snprintf(path, room, "%s/%08lx%08lx.bin", b->cache, (unsigned long)(h >> 32),
             (unsigned long)(h & 0xFFFFFFFFu));
}

static void cvncl_checksum(const void *bytes, size_t size, char text[CVNCL_CHECKSUM])
{
    const uint64_t h = cvncl_hash(0, bytes, size);
    snprintf(text, CVNCL_CHECKSUM, "%08lx%08lx\n", (unsigned long)(h >> 32),
             (unsigned long)(h & 0xFFFFFFFFu));
}

/* The bytes under a key, for CONVNET_FREE; NULL: there are none. */
static unsigned char *cvncl_cache_read(const cvncl_backend *b, const char *key, size_t *size)
{
    const size_t head = strlen(key) + CVNCL_CHECKSUM - 1;
    char path[600], sum[CVNCL_CHECKSUM];
    unsigned char *bytes = NULL;
    FILE *file;
    long length;
    *size = 0;
    if (!b->cache[0]) return NULL;
    cvncl_cache_path(b, key, path, sizeof path);
    file = fopen(path, "rb");
    if (!file) return NULL;
    length = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    if (length > (long)head && length < LONG_MAX / 2 && fseek(file, 0, SEEK_SET) == 0)
        bytes = (unsigned char *)CONVNET_MALLOC((size_t)length);
    if (bytes && fread(bytes, 1, (size_t)length, file) == (size_t)length &&
        !memcmp(bytes, key, strlen(key)))
        *size = (size_t)length - head;
    fclose(file);
    if (*size) {
        cvncl_checksum(bytes + head, *size, sum);
        if (memcmp(bytes + strlen(key), sum, CVNCL_CHECKSUM - 1) != 0) *size = 0;
    }
    if (*size) memmove(bytes, bytes + head, *size);
    else {
        CONVNET_FREE(bytes);
        bytes = NULL;
    }
    return bytes;
}

typedef struct cvncl_cached { const char *key; const void *bytes; size_t size; } cvncl_cached;

static void cvncl_put_cached(cvni_sink *s, const void *context)
{
    const cvncl_cached *c = (const cvncl_cached *)context;
    char sum[CVNCL_CHECKSUM];
    cvncl_checksum(c->bytes, c->size, sum);
    cvni_put(s, c->key, strlen(c->key));
    cvni_put(s, sum, CVNCL_CHECKSUM - 1);
    cvni_put(s, c->bytes, c->size);
}

static void cvncl_cache_write(const cvncl_backend *b, const char *key, const void *bytes,
                              size_t size)
{
    cvn_allocator none;
    cvncl_cached c;
    char path[600];
    const char *wrong;
    if (!b->cache[0] || !size) return;
    memset(&none, 0, sizeof none);
    c.key = key;
    c.bytes = bytes;
    c.size = size;
    cvncl_cache_path(b, key, path, sizeof path);
    cvni_write_file(&none, path, cvncl_put_cached, &c, &wrong);
}

static void cvncl_program_key(const cvncl_backend *b, const char **texts, uint32_t count,
                              const char *options, char key[CVNCL_KEY])
{
    uint64_t h = 0;
    for (uint32_t i = 0; i < count; i++) h = cvncl_hash(h, texts[i], strlen(texts[i]));
    snprintf(key, CVNCL_KEY,
             "convnet_cl.h " CONVNET_VERSION " program\n%s\n%s\n%s\n%s\n%08lx%08lx\n",
             b->platform_name, b->name, b->driver, options, (unsigned long)(h >> 32),
             (unsigned long)(h & 0xFFFFFFFFu));
}

/* The program that was kept, built; NULL: none. */
static void *cvncl_kept_program(cvncl_backend *b, const char **texts, uint32_t count,
                                const char *options, int spliced)
{
    char key[CVNCL_KEY];
    const unsigned char *bytes;
    void *program = NULL;
    unsigned char *memory;
    size_t size;
    int32_t status, each;
    if (!b->cache_programs && !spliced) return NULL;
    cvncl_program_key(b, texts, count, options, key);
    bytes = memory = cvncl_cache_read(b, key, &size);
    if (!memory) return NULL;
    program = b->api.CreateProgramWithBinary(b->context, 1, &b->device, &size, &bytes, &each,
                                             &status);
    CONVNET_FREE(memory);
    if (program && b->api.BuildProgram(program, 1, &b->device, options, NULL, NULL) != 0) {
        b->api.ReleaseProgram(program);
        program = NULL;
    }
    b->cache_hits += program != NULL;
    return program;
}

/* After its kernels are made: some drivers compile only then. */
static void cvncl_keep_program(const cvncl_backend *b, void *program, const char **texts,
                               uint32_t count, const char *options, int spliced)
{
    char key[CVNCL_KEY];
    unsigned char *bytes;
    size_t size;
    if ((!b->cache_programs && !spliced) || !b->cache[0]) return;
    bytes = cvncl_binary(b, program, &size);
    if (!bytes) return;
    cvncl_program_key(b, texts, count, options, key);
    cvncl_cache_write(b, key, bytes, size);
    CONVNET_FREE(bytes);
}
#endif

/* ================================================================================================
 * >>cl-programs   what is built of the texts, and how kernels are called
 * ==============================================================================================
 *   Programs are built when a net that needs them is; those of products for two sizes of tiles,
 *   those of layers of images apart for narrow ones (>>cl-memory). */

static const char cvncl_text_common[] =
    "/* A tensor is a memory and a place in it, in elements; NONE: not there. */\n"
    "#define NONE 0xFFFFFFFFFFFFFFFFul\n"
    "#define IN(p) global const float *restrict p, const ulong p##_at\n"
    "#define OUT(p) global float *restrict p, const ulong p##_at\n"
    "#define MEM(p) global float *p, const ulong p##_at\n"
    "#define INTS(p) global const int *restrict p, const ulong p##_at\n"
    "#define HAS(p) (p##_at != NONE)\n"
    "#define AT(p) p += HAS(p) ? p##_at : 0\n"
    "#define NUMBER(p) (HAS(p) ? (p)[p##_at] : 1)     /* without AT */\n"
    "\n"
    "/* Values and gradients of images, which may be narrow: STORED 0 float, 1 fp16, 2 bf16 (the\n"
    " * upper half of a float). GET, SET: an element; GET4, SET4, SET2: four or two, the first\n"
    " * one of which is a multiple of that. */\n"
    "#if STORED\n"
    "#define STORED_TYPE ushort\n"
    "#else\n"
    "#define STORED_TYPE float\n"
    "#endif\n"
    "#define IN_X(p) global const STORED_TYPE *restrict p, const ulong p##_at\n"
    "#define OUT_X(p) global STORED_TYPE *restrict p, const ulong p##_at\n"
    "#define MEM_X(p) global STORED_TYPE *p, const ulong p##_at\n"
    "#if STORED == 2\n"
    "ushort upper_half(const float v)\n"
    "{\n"
    "    const uint u = as_uint(v);\n"
    "    return (v != v ? u | 0x400000u : u + 0x7FFFu + (u >> 16 & 1)) >> 16;\n"
    "}\n"
    "\n"
    "#define GET(p, i) as_float((uint)(p)[i] << 16)\n"
    "#define SET(p, i, v) ((p)[i] = upper_half(v))\n"
    "#define GET4(p) as_float4(convert_uint4(*(global const ushort4 *)(p)) << 16)\n"
    "#define SET2(p, v) \\\n"
    "    (*(global ushort2 *)(p) = (ushort2)(upper_half((v).x), upper_half((v).y)))\n"
    "#define SET4(p, v) \\\n"
    "    (*(global ushort4 *)(p) = (ushort4)(upper_half((v).x), upper_half((v).y), \\\n"
    "                                        upper_half((v).z), upper_half((v).w)))\n"
    "#elif STORED == 1\n"
    "#define GET(p, i) vload_half(i, (global const half *)(p))\n"
    "#define SET(p, i, v) vstore_half_rte(v, i, (global half *)(p))\n"
    "#define GET4(p) vloada_half4(0, (global const half *)(p))\n"
    "#define SET2(p, v) vstorea_half2_rte(v, 0, (global half *)(p))\n"
    "#define SET4(p, v) vstorea_half4_rte(v, 0, (global half *)(p))\n"
    "#else\n"
    "#define GET(p, i) (p)[i]\n"
    "#define SET(p, i, v) ((p)[i] = (v))\n"
    "#define GET4(p) (*(global const float4 *)(p))\n"
    "#define SET2(p, v) (*(global float2 *)(p) = (v))\n"
    "#define SET4(p, v) (*(global float4 *)(p) = (v))\n"
    "#endif\n"
    "\n"
    "/* Sum over the WG items of a group, in an order that never changes. */\n"
    "float group_sum(float x, local float *part)\n"
    "{\n"
    "    const int t = get_local_id(0);\n"
    "    part[t] = x;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "#if CPU     /* where a barrier is the end of a loop over the items */\n"
    "    if (t == 0) for (int i = 1; i < WG; i++) part[0] += part[i];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "#else\n"
    "    for (int n = WG / 2; n > 0; n /= 2) {\n"
    "        if (t < n) part[t] += part[t + n];\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
    "#endif\n"
    "    x = part[0];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    return x;\n"
    "}\n"
    "\n"
    "float clamped(float v, float slope, float most)\n"
    "{\n"
    "    v = v < 0 ? (slope > 0 ? slope * v : 0) : v;\n"
    "    return v > most ? most : v;\n"
    "}\n";

static const char cvncl_text_gemm_tiles[] =
    "#define THREADS (TM / WM * (TN / WN))\n"
    "#define ROW(i) ((i) / 4 * (TM / WM * 4) + ly * 4 + (i) % 4)\n"
    "#define COLUMN(j) ((j) / 4 * (TN / WN * 4) + lx * 4 + (j) % 4)\n";

static const char cvncl_text_gemm_body[] =
    "#if LOCAL\n"
    "kernel __attribute__((reqd_work_group_size(TN / WN, TM / WM, 1)))\n"
    "void NAME(PARAMS)\n"
    "{\n"
    "    local float a[TK][TM + 4], b[TK][TN + 4];\n"
    "    const int lx = get_local_id(0), ly = get_local_id(1), z = get_group_id(2);\n"
    "    const int t = ly * (TN / WN) + lx;\n"
    "    const int m0 = get_group_id(1) * TM, n0 = get_group_id(0) * TN;\n"
    "    float sum[WM][WN];\n"
    "    SETUP\n"
    "    for (int i = 0; i < WM; i++) for (int j = 0; j < WN; j++) sum[i][j] = 0;\n"
    "    for (int k0 = first; k0 < last; k0 += TK) {\n"
    "#if A_FAST_K\n"
    "        for (int m = t / TK, k = t % TK; m < TM; m += THREADS / TK)\n"
    "#else\n"
    "        for (int m = t % TM, k = t / TM; k < TK; k += THREADS / TM)\n"
    "#endif\n"
    "            a[k][m] = m0 + m < M && k0 + k < last ? A_AT(A_ROW(m0 + m), A_DEEP(k0 + k)) : 0;\n"
    "#if B_FAST_K\n"
    "        for (int n = t / TK, k = t % TK; n < TN; n += THREADS / TK)\n"
    "#else\n"
    "        for (int n = t % TN, k = t / TN; k < TK; k += THREADS / TN)\n"
    "#endif\n"
    "            b[k][n] =\n"
    "                n0 + n < N && k0 + k < last ? B_AT(B_DEEP(k0 + k), B_COLUMN(n0 + n)) : 0;\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "        for (int k = 0; k < TK; k++)\n"
    "            for (int i = 0; i < WM; i++)\n"
    "                for (int j = 0; j < WN; j++) sum[i][j] += a[k][ROW(i)] * b[k][COLUMN(j)];\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
    "    for (int i = 0; i < WM; i++)\n"
    "        for (int j = 0; j < WN; j++)\n"
    "            if (m0 + ROW(i) < M && n0 + COLUMN(j) < N)\n"
    "                STORE(m0 + ROW(i), n0 + COLUMN(j), sum[i][j]);\n"
    "}\n"
    "#else\n"
    "kernel void NAME(PARAMS)\n"
    "{\n"
    "    const int m0 = get_global_id(1) * WM, n0 = get_global_id(0) * WN, z = get_global_id(2);\n"
    "    float sum[WM][WN], b[WN];\n"
    "    A_TYPE row[WM];\n"
    "    B_TYPE column[WN];\n"
    "    SETUP\n"
    "    for (int i = 0; i < WM; i++) for (int j = 0; j < WN; j++) sum[i][j] = 0;\n"
    "    for (int i = 0; i < WM; i++) row[i] = A_ROW(min(m0 + i, M - 1));\n"
    "    for (int j = 0; j < WN; j++) column[j] = B_COLUMN(min(n0 + j, N - 1));\n"
    "    for (int k = first; k < last; k++) {\n"
    "        const A_TYPE a_deep = A_DEEP(k);\n"
    "        const B_TYPE b_deep = B_DEEP(k);\n"
    "        for (int j = 0; j < WN; j++) b[j] = B_AT(b_deep, column[j]);\n"
    "        for (int i = 0; i < WM; i++) {\n"
    "            const float a = A_AT(row[i], a_deep);\n"
    "            for (int j = 0; j < WN; j++) sum[i][j] += a * b[j];\n"
    "        }\n"
    "    }\n"
    "    for (int i = 0; i < WM; i++)\n"
    "        for (int j = 0; j < WN; j++)\n"
    "            if (m0 + i < M && n0 + j < N) STORE(m0 + i, n0 + j, sum[i][j]);\n"
    "}\n"
    "#endif\n";

static const char cvncl_text_gemm_end[] =
    "#undef NAME\n"
    "#undef PARAMS\n"
    "#undef SETUP\n"
    "#undef A_TYPE\n"
    "#undef A_ROW\n"
    "#undef A_DEEP\n"
    "#undef A_AT\n"
    "#undef A_FAST_K\n"
    "#undef B_TYPE\n"
    "#undef B_COLUMN\n"
    "#undef B_DEEP\n"
    "#undef B_AT\n"
    "#undef B_FAST_K\n"
    "#undef STORE\n";

#define CVNCL_MAX_TEXTS 16

typedef struct cvncl_program {
    const char *name;
    int tiled;
    const char *text[CVNCL_MAX_TEXTS];
} cvncl_program;

static const cvncl_program *cvncl_program_at(int number);       /* >>cl-table */

enum {                          /* in the order of cvncl_kernels */
    CVNCL_CONV_PACK, CVNCL_CONV_REDUCE, CVNCL_CONV_FOLD, CVNCL_DEPTHWISE, CVNCL_DEPTHWISE_WEIGHTS,
    CVNCL_MAXPOOL, CVNCL_MAXPOOL_BACK, CVNCL_AVGPOOL, CVNCL_AVGPOOL_BACK,
    CVNCL_NORM_PARTS, CVNCL_NORM_STATS, CVNCL_NORM_FACTORS, CVNCL_NORM_APPLY, CVNCL_NORM_SUMS,
    CVNCL_NORM_BACK, CVNCL_NORM_DX,
    CVNCL_GNORM, CVNCL_GNORM_BACK, CVNCL_GNORM_WEIGHTS, CVNCL_L2NORM, CVNCL_L2NORM_BACK,
    CVNCL_MAP, CVNCL_MAP_BACK, CVNCL_PRELU, CVNCL_PRELU_SUMS, CVNCL_PRELU_DW, CVNCL_PRELU_BACK,
    CVNCL_PRODUCT_SUM,
    CVNCL_COPY_LINES, CVNCL_COLUMN_PARTS, CVNCL_COLUMN_SUMS, CVNCL_CHANNEL_SUMS, CVNCL_TURN,
    CVNCL_TURN_BACK, CVNCL_FILL, CVNCL_BINARY, CVNCL_BINARY_BACK,
    CVNCL_SOFTMAX, CVNCL_SOFTMAX_BACK, CVNCL_DROPOUT,
    CVNCL_RESIZE, CVNCL_RESIZE_BACK, CVNCL_PERMUTE, CVNCL_PERMUTE_BACK, CVNCL_GATED,
    CVNCL_GATED_BACK, CVNCL_REDUCE, CVNCL_REDUCE_BACK,
    CVNCL_SOFTMAX_LOSS, CVNCL_SOFTMAX_LOSS_BACK, CVNCL_LOSS_MEAN, CVNCL_PAIR_LOSS,
    CVNCL_PAIR_LOSS_BACK,
    CVNCL_NOT_FINITE, CVNCL_NEXT_SCALE, CVNCL_UPDATE, CVNCL_LAMB_SUMS, CVNCL_LAMB_STEP,
    CVNCL_CLIP_VALUE, CVNCL_SQUARE_SUMS, CVNCL_CLIP_NORM, CVNCL_AVERAGE,
    CVNCL_OLD, CVNCL_MIX, CVNCL_GATHER_ROWS, CVNCL_GATHER_BYTES, CVNCL_ELASTIC, CVNCL_AUGMENT,
    CVNCL_IMAGE_MEANS, CVNCL_AUGMENT_END,
    CVNCL_BATCH_KK, CVNCL_BATCH_KN, CVNCL_BATCH_MN, CVNCL_ATTENTION, CVNCL_ATTENTION_BACK,
    CVNCL_RNN_STEP, CVNCL_RNN_STEP_BACK, CVNCL_EMBEDDING, CVNCL_EMBEDDING_CHAIN,
    CVNCL_EMBEDDING_BACK, CVNCL_ADD_ROW, CVNCL_ROW_SUMS, CVNCL_NOISE, CVNCL_NOISE_BACK,
    CVNCL_LABEL_LOSS, CVNCL_LABEL_LOSS_BACK, CVNCL_ROW_LOSS, CVNCL_ROW_LOSS_BACK, CVNCL_DICE,
    CVNCL_DICE_BACK, CVNCL_VARIATION, CVNCL_VARIATION_BACK, CVNCL_SOFT_LOSS, CVNCL_SOFT_LOSS_BACK,
    CVNCL_ORTHOGONALITY, CVNCL_CTC_ALPHA, CVNCL_CTC_BETA, CVNCL_CTC_BACK,
    CVNCL_YOLO_HOME, CVNCL_YOLO_LOSS, CVNCL_YOLO_BACK,
    CVNCL_SELECT, CVNCL_SELECT_BACK, CVNCL_RESAMPLE, CVNCL_RESAMPLE_BACK, CVNCL_TOPK, CVNCL_CUMSUM,
    CVNCL_GATHER_PLACES, CVNCL_GATHER_CHAIN, CVNCL_GATHER, CVNCL_SCATTER, CVNCL_ONE_HOT,
    CVNCL_UNPOOL, CVNCL_UNPOOL_BACK, CVNCL_LRN, CVNCL_LRN_BACK, CVNCL_WHERE,
    CVNCL_ROI_WEIGHTS, CVNCL_ROI, CVNCL_ROI_BACK, CVNCL_GRID_TAPS, CVNCL_GRID_SAMPLE,
    CVNCL_GRID_LISTS, CVNCL_GRID_BACK, CVNCL_GRID_PLACES_BACK, CVNCL_AS_LABELS, CVNCL_PLACES,
    CVNCL_NMS, CVNCL_NMS_ROWS, CVNCL_LPPOOL, CVNCL_LPPOOL_BACK,
    CVNCL_SPECTRAL_V, CVNCL_SPECTRAL_U, CVNCL_SPECTRAL_UNIT, CVNCL_SPECTRAL_WEIGHT,
    CVNCL_SPECTRAL_BACK,
    CVNCL_KERNELS
};

typedef struct cvncl_kernel { const char *name; int program; } cvncl_kernel;

static const cvncl_kernel cvncl_kernels[CVNCL_KERNELS] = {
    { "conv_pack", CVNCL_PROGRAM_CONV }, { "conv_reduce", CVNCL_PROGRAM_CONV },
    { "conv_fold", CVNCL_PROGRAM_CONV },
    { "depthwise", CVNCL_PROGRAM_CONV }, { "depthwise_weights", CVNCL_PROGRAM_CONV },
    { "maxpool", CVNCL_PROGRAM_POOL }, { "maxpool_back", CVNCL_PROGRAM_POOL },
    { "avgpool", CVNCL_PROGRAM_POOL }, { "avgpool_back", CVNCL_PROGRAM_POOL },
    { "norm_parts", CVNCL_PROGRAM_NORM }, { "norm_stats", CVNCL_PROGRAM_NORM },
    { "norm_factors", CVNCL_PROGRAM_NORM }, { "norm_apply", CVNCL_PROGRAM_NORM },
    { "norm_sums", CVNCL_PROGRAM_NORM }, { "norm_back", CVNCL_PROGRAM_NORM },
    { "norm_dx", CVNCL_PROGRAM_NORM },
    { "gnorm", CVNCL_PROGRAM_NORM }, { "gnorm_back", CVNCL_PROGRAM_NORM },
    { "gnorm_weights", CVNCL_PROGRAM_NORM }, { "l2norm", CVNCL_PROGRAM_NORM },
    { "l2norm_back", CVNCL_PROGRAM_NORM },
    { "map", CVNCL_PROGRAM_MAP }, { "map_back", CVNCL_PROGRAM_MAP },
    { "prelu", CVNCL_PROGRAM_MAP }, { "prelu_sums", CVNCL_PROGRAM_MAP },
    { "prelu_dw", CVNCL_PROGRAM_MAP }, { "prelu_back", CVNCL_PROGRAM_MAP },
    { "product_sum", CVNCL_PROGRAM_LAYERS },
    { "copy_lines", CVNCL_PROGRAM_LAYERS }, { "column_parts", CVNCL_PROGRAM_LAYERS },
    { "column_sums", CVNCL_PROGRAM_LAYERS }, { "channel_sums", CVNCL_PROGRAM_LAYERS },
    { "turn", CVNCL_PROGRAM_LAYERS }, { "turn_back", CVNCL_PROGRAM_LAYERS },
    { "fill", CVNCL_PROGRAM_LAYERS },
    { "binary", CVNCL_PROGRAM_LAYERS }, { "binary_back", CVNCL_PROGRAM_LAYERS },
    { "softmax", CVNCL_PROGRAM_LAYERS }, { "softmax_back", CVNCL_PROGRAM_LAYERS },
    { "dropout", CVNCL_PROGRAM_LAYERS },
    { "resize", CVNCL_PROGRAM_SHAPE }, { "resize_back", CVNCL_PROGRAM_SHAPE },
    { "permute", CVNCL_PROGRAM_SHAPE }, { "permute_back", CVNCL_PROGRAM_SHAPE },
    { "gated", CVNCL_PROGRAM_SHAPE }, { "gated_back", CVNCL_PROGRAM_SHAPE },
    { "reduce", CVNCL_PROGRAM_SHAPE }, { "reduce_back", CVNCL_PROGRAM_SHAPE },
    { "softmax_loss", CVNCL_PROGRAM_LOSS }, { "softmax_loss_back", CVNCL_PROGRAM_LOSS },
    { "loss_mean", CVNCL_PROGRAM_LOSS }, { "pair_loss", CVNCL_PROGRAM_LOSS },
    { "pair_loss_back", CVNCL_PROGRAM_LOSS },
    { "not_finite", CVNCL_PROGRAM_OPTIM }, { "next_scale", CVNCL_PROGRAM_OPTIM },
    { "update", CVNCL_PROGRAM_OPTIM }, { "lamb_sums", CVNCL_PROGRAM_OPTIM },
    { "lamb_step", CVNCL_PROGRAM_OPTIM }, { "clip_value", CVNCL_PROGRAM_OPTIM },
    { "square_sums", CVNCL_PROGRAM_OPTIM }, { "clip_norm", CVNCL_PROGRAM_OPTIM },
    { "average", CVNCL_PROGRAM_OPTIM },
    { "old_values", CVNCL_PROGRAM_DATA }, { "mix_samples", CVNCL_PROGRAM_DATA },
    { "gather_rows", CVNCL_PROGRAM_DATA }, { "gather_bytes", CVNCL_PROGRAM_DATA },
    { "elastic", CVNCL_PROGRAM_DATA }, { "augment", CVNCL_PROGRAM_DATA },
    { "image_means", CVNCL_PROGRAM_DATA }, { "augment_end", CVNCL_PROGRAM_DATA },
    { "batch_kk", CVNCL_PROGRAM_BATCH }, { "batch_kn", CVNCL_PROGRAM_BATCH },
    { "batch_mn", CVNCL_PROGRAM_BATCH }, { "attention", CVNCL_PROGRAM_BATCH },
    { "attention_back", CVNCL_PROGRAM_BATCH },
    { "rnn_step", CVNCL_PROGRAM_SEQUENCE }, { "rnn_step_back", CVNCL_PROGRAM_SEQUENCE },
    { "embedding", CVNCL_PROGRAM_SEQUENCE }, { "embedding_chain", CVNCL_PROGRAM_SEQUENCE },
    { "embedding_back", CVNCL_PROGRAM_SEQUENCE }, { "add_row", CVNCL_PROGRAM_SEQUENCE },
    { "row_sums", CVNCL_PROGRAM_SEQUENCE }, { "noise", CVNCL_PROGRAM_SEQUENCE },
    { "noise_back", CVNCL_PROGRAM_SEQUENCE },
    { "label_loss", CVNCL_PROGRAM_LOSS }, { "label_loss_back", CVNCL_PROGRAM_LOSS },
    { "row_loss", CVNCL_PROGRAM_LOSSES }, { "row_loss_back", CVNCL_PROGRAM_LOSSES },
    { "dice", CVNCL_PROGRAM_LOSSES }, { "dice_back", CVNCL_PROGRAM_LOSSES },
    { "variation", CVNCL_PROGRAM_LOSSES }, { "variation_back", CVNCL_PROGRAM_LOSSES },
    { "soft_loss", CVNCL_PROGRAM_LOSSES }, { "soft_loss_back", CVNCL_PROGRAM_LOSSES },
    { "orthogonality", CVNCL_PROGRAM_LOSSES }, { "ctc_alpha", CVNCL_PROGRAM_LOSSES },
    { "ctc_beta", CVNCL_PROGRAM_LOSSES }, { "ctc_back", CVNCL_PROGRAM_LOSSES },
    { "yolo_home", CVNCL_PROGRAM_LOSSES }, { "yolo_loss", CVNCL_PROGRAM_LOSSES },
    { "yolo_back", CVNCL_PROGRAM_LOSSES },
    { "select_axes", CVNCL_PROGRAM_GATHER }, { "select_back", CVNCL_PROGRAM_GATHER },
    { "resample", CVNCL_PROGRAM_GATHER }, { "resample_back", CVNCL_PROGRAM_GATHER },
    { "topk", CVNCL_PROGRAM_GATHER }, { "cumsum", CVNCL_PROGRAM_GATHER },
    { "gather_places", CVNCL_PROGRAM_GATHER }, { "gather_chain", CVNCL_PROGRAM_GATHER },
    { "gather", CVNCL_PROGRAM_GATHER }, { "scatter", CVNCL_PROGRAM_GATHER },
    { "one_hot", CVNCL_PROGRAM_GATHER }, { "unpool", CVNCL_PROGRAM_GATHER },
    { "unpool_back", CVNCL_PROGRAM_GATHER }, { "lrn", CVNCL_PROGRAM_GATHER },
    { "lrn_back", CVNCL_PROGRAM_GATHER },
    { "choose", CVNCL_PROGRAM_LAYERS },
    { "roi_weights", CVNCL_PROGRAM_PLACES }, { "roi", CVNCL_PROGRAM_PLACES },
    { "roi_back", CVNCL_PROGRAM_PLACES }, { "grid_taps", CVNCL_PROGRAM_PLACES },
    { "grid_sample", CVNCL_PROGRAM_PLACES }, { "grid_lists", CVNCL_PROGRAM_PLACES },
    { "grid_back", CVNCL_PROGRAM_PLACES }, { "grid_places_back", CVNCL_PROGRAM_PLACES },
    { "as_labels", CVNCL_PROGRAM_GATHER }, { "places", CVNCL_PROGRAM_GATHER },
    { "nms", CVNCL_PROGRAM_GATHER }, { "nms_rows", CVNCL_PROGRAM_GATHER },
    { "lppool", CVNCL_PROGRAM_POOL }, { "lppool_back", CVNCL_PROGRAM_POOL },
    { "spectral_v", CVNCL_PROGRAM_SPECTRAL }, { "spectral_u", CVNCL_PROGRAM_SPECTRAL },
    { "spectral_unit", CVNCL_PROGRAM_SPECTRAL }, { "spectral_weight", CVNCL_PROGRAM_SPECTRAL },
    { "spectral_back", CVNCL_PROGRAM_SPECTRAL }
};

/* An OpenCL call that failed: what was done, where, the status. */
static cvn_result cvncl_fail(cvn_net *net, const char *what, int32_t status)
{
    const cvncl_backend *b = cvncl_of(net);
    const char *name = "";
    if (status == -4 || status == -5 || status == -6) name = ": out of memory or resources";
    if (status == -36 || status == -14) name = ": the device was lost or reset";
    return cvni_fail(net, status >= -6 && status <= -4 ? CVN_ERROR_MEMORY : CVN_ERROR_UNSUPPORTED,
                     "OpenCL, %s, driver %s: %s fails with %d%s", b->name, b->driver, what,
                     (int)status, name);
}

static int cvncl_packs_narrow(const cvncl_backend *b);  /* >>cl-gemm */

/* Macros and other options of a program. */
static void cvncl_options(const cvncl_backend *b, int program, int variant, char *text,
                          size_t room)
{
    const cvncl_tile *t = &b->tile[variant % CVNCL_TILES];
    const int stored = variant < CVNCL_TILES ? CVNCL_STORE_FP32 : b->storage;
    const int length = snprintf(text, room,
                                "-cl-std=CL1.2 -DWG=%d -DCPU=%d -DSTORED=%d -DPACKED=%d", b->group,
                                b->is_cpu, stored, cvncl_packs_narrow(b));
    if (cvncl_program_at(program)->tiled)
        snprintf(text + length, room - (size_t)length,
                 " -DLOCAL=%d -DTM=%d -DTN=%d -DTK=%d -DWM=%d -DWN=%d", b->local, t->m, t->n, t->k,
                 t->item_m, t->item_n);
}

/* The same of a kernel: with its program and macros. */
static cvn_result cvncl_kernel_failed(cvn_net *net, int kernel, int variant, int32_t status)
{
    const cvncl_kernel *k = &cvncl_kernels[kernel];
    char options[128], text[256];
    cvncl_options(cvncl_of(net), k->program, variant, options, sizeof options);
    snprintf(text, sizeof text, "kernel %s of program %s (%s)", k->name,
             cvncl_program_at(k->program)->name, options);
    return cvncl_fail(net, text, status);
}

enum { CVNCL_LOG_LINES = 20 };

/* The first lines of what the compiler says. */
static void cvncl_build_log(const cvncl_backend *b, void *program, char *log, size_t room)
{
    char *full, *end;
    size_t size = 0;
    log[0] = 0;
    if (b->api.GetProgramBuildInfo(program, b->device, CVNCL_BUILD_LOG, 0, NULL, &size) != 0)
        return;
    full = (char *)CONVNET_MALLOC(size + 1);
    if (!full) return;
    if (b->api.GetProgramBuildInfo(program, b->device, CVNCL_BUILD_LOG, size, full, NULL) == 0) {
        full[size] = 0;
        end = full;
        for (int i = 0; i < CVNCL_LOG_LINES && end; i++) {
            end = strchr(end, '\n');
            if (end) end++;
        }
        if (end) *end = 0;
        snprintf(log, room, "%s", full);
    }
    CONVNET_FREE(full);
}

static cvn_result cvncl_build_failed(cvn_net *net, const cvncl_program *p, void *program,
                                     const char *options, int32_t status)
{
    const cvncl_backend *b = cvncl_of(net);
    char log[sizeof net->message];
    cvn_result result;
    cvncl_build_log(b, program, log, sizeof log);
    result = cvni_fail(net, CVN_ERROR_UNSUPPORTED,
                       "OpenCL, %s, driver %s: program %s (%s) does not build (%d): %s", b->name,
                       b->driver, p->name, options, (int)status, log);
    b->api.ReleaseProgram(program);
    return result;
}

static void cvncl_forget_program(cvncl_backend *b, int number, int variant)
{
    for (int i = 0; i < CVNCL_KERNELS; i++) {
        if (cvncl_kernels[i].program != number || !b->kernel[i][variant]) continue;
        b->api.ReleaseKernel(b->kernel[i][variant]);
        b->kernel[i][variant] = NULL;
    }
    b->api.ReleaseProgram(b->program[number][variant]);
    b->program[number][variant] = NULL;
}

/* All kernels of a program that is built; on failure it is given back. */
static cvn_result cvncl_make_kernels(cvn_net *net, int number, int variant, void *program)
{
    cvncl_backend *b = cvncl_of(net);
    int32_t status = 0;
    b->program[number][variant] = program;
    for (int i = 0; i < CVNCL_KERNELS; i++) {
        if (cvncl_kernels[i].program != number) continue;
        b->kernel[i][variant] = b->api.CreateKernel(program, cvncl_kernels[i].name, &status);
        if (b->kernel[i][variant]) continue;
        cvncl_forget_program(b, number, variant);
        return cvncl_kernel_failed(net, i, variant, status);
    }
    return CVN_OK;
}

/* Builds a variant of program `number`, or finds it built. */
static cvn_result cvncl_build(cvn_net *net, int number, int variant)
{
    cvncl_backend *b = cvncl_of(net);
    const cvncl_program *p = cvncl_program_at(number);
    const char *texts[CVNCL_MAX_TEXTS];
    char options[128];
    uint32_t count = 0;
    int32_t status = 0;
    cvn_result result;
    void *program;
    while (count < CVNCL_MAX_TEXTS && p->text[count]) {
        texts[count] = p->text[count];
        count++;
    }
    cvncl_options(b, number, variant, options, sizeof options);
#ifndef CONVNET_NO_STDIO
    program = cvncl_kept_program(b, texts, count, options, 0);
    if (program && cvncl_make_kernels(net, number, variant, program) == CVN_OK) return CVN_OK;
#endif
    program = b->api.CreateProgramWithSource(b->context, count, texts, NULL, &status);
    if (!program) return cvncl_fail(net, "clCreateProgramWithSource", status);
    status = b->api.BuildProgram(program, 1, &b->device, options, NULL, NULL);
    if (status != 0) return cvncl_build_failed(net, p, program, options, status);
    result = cvncl_make_kernels(net, number, variant, program);
#ifndef CONVNET_NO_STDIO
    if (result == CVN_OK) cvncl_keep_program(b, program, texts, count, options, 0);
#endif
    return result;
}

/* For narrow images, or for others. */
static cvn_result cvncl_need(cvn_net *net, int program, int narrow)
{
    const cvncl_backend *b = cvncl_of(net);
    const int first = narrow ? CVNCL_TILES : 0;
    const int sizes = cvncl_program_at(program)->tiled && b->local ? CVNCL_TILES : 1;
    cvn_result result = CVN_OK;
    if (!cvncl_program_at(program)->text[0]) return CVN_OK;
    for (int variant = first; variant < first + sizes && result == CVN_OK; variant++)
        if (!b->program[program][variant]) result = cvncl_build(net, program, variant);
    return result;
}

enum { CVNCL_MAX_PIECES = 256 };

/* A buffer, counted in cvncl_backend.taken where it is not the host's. */
typedef struct cvncl_buffer { void *memory; size_t bytes; int host; } cvncl_buffer;

/* Bytes that are on their way: from `landing` they go `to` the host's arena. */
typedef struct cvncl_reply { void *to; size_t at, bytes; } cvncl_reply;
enum { CVNCL_REPLIES = 16 };

/* Order of a tensor: blocks [S, C] where the host has [C, S]; 1, 1: the host's. narrow: of 16-bit
 * numbers. */
typedef struct cvncl_order { int C, S, narrow; } cvncl_order;

/* Weights in another order: where in `packed`, up to the next one's place; whether they are those
 * of the parameter. */
typedef struct cvncl_packed { int at, fresh; } cvncl_packed;

/* An operand in another order while a layer runs, and what it has been before. */
typedef struct cvncl_swap {
    cvni_layer *x;
    float *y, *dy;
    int written;
} cvncl_swap;

/* What a net has on the device: its arena in pieces of cvn_backend.piece bytes, operands in another
 * order, weights in another order, tables of its layers, work of the kernel that runs; on the host,
 * pinned, where replies land. */
typedef struct cvncl_net {
    cvncl_backend *b;
    cvn_net *net;
    cvncl_buffer arena[CVNCL_MAX_PIECES];
    int pieces;
    int narrow_piece;           /* the first one of narrow buffers */
    int narrow;                 /* the layer that runs has narrow images */
    int measured;               /* id of the batch norm whose parts of sums are in the work, or 0 */
    cvncl_buffer spare, packed, tables, work, pinned;
    size_t spare_bytes, packed_bytes;
    unsigned char *landing;
    size_t landing_begin;       /* bytes in front of it, for partners on their way there */
    size_t landed;              /* bytes of it in use */
    size_t sending, sent;       /* behind it: inputs on their way there; the end of those */
    void *sent_event;           /* of the last of them */
    cvncl_reply reply[CVNCL_REPLIES];
    int replies;
    void *event;                /* of the last one */
    int *table_at;              /* by layer, in ints */
    cvncl_order *order;         /* by layer: of value and gradient */
    char *last;                 /* by layer: its kernels work channels last */
    cvncl_packed *packed_at;    /* by layer, for both gathers of >>cl-conv; one more for the end */
    int pack_rows, packs;       /* the table of conv_pack in `tables`; its rows */
    int numbers;                /* behind it, floats: CVNCL_SCALE to CVNCL_LEFT_OUT */
    int stepped;                /* there was a step since the last backward pass */
    cvncl_swap *swap;           /* as many as a layer has operands */
} cvncl_net;

/* Narrow gradients are stored times the scale; 1 over it, now and before the last step; whether the
 * gradients of that step were finite; steps since it was changed; steps left out. */
enum {
    CVNCL_SCALE, CVNCL_INVERSE, CVNCL_BEFORE, CVNCL_FINITE, CVNCL_UNCHANGED, CVNCL_LEFT_OUT,
    CVNCL_NUMBERS
};

static cvncl_net *cvncl_net_of(const cvn_net *net) { return (cvncl_net *)net->device; }

/* Place of such a number among the tables; -1: gradients are stored as they are. */
static int cvncl_number_at(const cvncl_net *d, int number)
{
    return d->b->storage == CVNCL_STORE_FP16 ? d->numbers + number : -1;
}

/* A place in `spare`, as a pointer that no memory of the host has: behind the arena. */
static float *cvncl_spare(const cvn_net *net, size_t at)
{
    return (float *)((uintptr_t)net->arena + net->plan.total + at);
}

/* The work, as such a pointer: behind the spare. */
static float *cvncl_work_at(const cvn_net *net)
{
    return cvncl_spare(net, cvncl_net_of(net)->spare_bytes);
}

/* Memory and place, in elements of `size` bytes, of such a pointer or one into the arena. */
static void *const *cvncl_memory_of(const cvn_net *net, const void *pointer, size_t size,
                                    uint64_t *at)
{
    const cvncl_net *d = cvncl_net_of(net);
    const size_t piece = d->b->base.piece;
    size_t bytes = (size_t)((uintptr_t)pointer - (uintptr_t)net->arena);
    int first = 0;
    if (bytes >= net->plan.total) {
        const size_t behind = bytes - net->plan.total;
        const int spare = behind < d->spare_bytes;
        *at = (spare ? behind : behind - d->spare_bytes) / size;
        return spare ? &d->spare.memory : &d->work.memory;
    }
    if (bytes >= net->plan.narrow) {
        bytes = (bytes - net->plan.narrow) / 2;
        first = d->narrow_piece;
    }
    *at = bytes % piece / size;
    return &d->arena[first + (int)(bytes / piece)].memory;
}

#define CVNCL_NOWHERE UINT64_MAX

/* Arguments by letters: p a pointer into the arena or NULL, x the same to what is narrow where the
 * layer that runs has narrow images, w floats into the work, k into the packed weights, t ints into
 * the tables (-1: none), i int, u unsigned, f float, b a buffer without an offset. The other
 * memories go with their offset in elements. */
static int32_t cvncl_arguments(const cvn_net *net, void *kernel, const char *format, va_list args)
{
    const cvncl_net *d = cvncl_net_of(net);
    int32_t status = 0;
    uint32_t index = 0;
    for (; *format && status == 0; format++) {
        const int letter = *format;
        if (letter == 'i') {
            const int32_t value = va_arg(args, int);
            status = d->b->api.SetKernelArg(kernel, index++, sizeof value, &value);
        } else if (letter == 'u') {
            const uint32_t value = va_arg(args, unsigned);
            status = d->b->api.SetKernelArg(kernel, index++, sizeof value, &value);
        } else if (letter == 'f') {
            const float value = (float)va_arg(args, double);
            status = d->b->api.SetKernelArg(kernel, index++, sizeof value, &value);
        } else if (letter == 'b') {
            void *const memory = va_arg(args, void *);
            status = d->b->api.SetKernelArg(kernel, index++, sizeof memory, &memory);
        } else {
            const size_t size = letter == 'x' && d->narrow ? sizeof(uint16_t) : sizeof(float);
            void *const *memory = letter == 'k'   ? &d->packed.memory
                                  : letter == 'w' ? &d->work.memory
                                  : letter == 't' ? &d->tables.memory
                                                  : &d->arena[0].memory;
            uint64_t at = CVNCL_NOWHERE;
            if (letter == 'p' || letter == 'x') {
                const void *pointer = va_arg(args, const void *);
                if (pointer) memory = cvncl_memory_of(net, pointer, size, &at);
            } else {
                const int place = va_arg(args, int);
                if (place >= 0) at = (uint64_t)place;
            }
            status = d->b->api.SetKernelArg(kernel, index++, sizeof *memory, memory);
            if (status == 0) status = d->b->api.SetKernelArg(kernel, index++, sizeof at, &at);
        }
    }
    return status;
}

static cvn_result cvncl_enqueue(cvn_net *net, int kernel, int size, int axes, const size_t *global,
                                const size_t *local, const char *format, va_list args)
{
    const cvncl_backend *b = cvncl_of(net);
    const int variant = size + (cvncl_net_of(net)->narrow ? CVNCL_TILES : 0);
    void *k = b->kernel[kernel][variant];
    int32_t status = cvncl_arguments(net, k, format, args);
    if (status == 0)
        status = b->api.EnqueueNDRangeKernel(b->queue, k, (uint32_t)axes, NULL, global, local, 0,
                                             NULL, NULL);
    return status == 0 ? CVN_OK : cvncl_kernel_failed(net, kernel, variant, status);
}

/* An item each of n elements. */
static cvn_result cvncl_each(cvn_net *net, int kernel, int n, const char *format, ...)
{
    const size_t local = (size_t)cvncl_of(net)->group;
    const size_t global = ((size_t)n + local - 1) / local * local;
    cvn_result result;
    va_list args;
    if (n <= 0) return CVN_OK;
    va_start(args, format);
    result = cvncl_enqueue(net, kernel, 0, 1, &global, &local, format, args);
    va_end(args);
    return result;
}

static cvn_result cvncl_groups(cvn_net *net, int kernel, int groups, const char *format, ...)
{
    const size_t local = (size_t)cvncl_of(net)->group;
    const size_t global = (size_t)groups * local;
    cvn_result result;
    va_list args;
    if (groups <= 0) return CVN_OK;
    va_start(args, format);
    result = cvncl_enqueue(net, kernel, 0, 1, &global, &local, format, args);
    va_end(args);
    return result;
}

/* Groups for n sums of slices, WG/LANES each: sum_of_slices, >>cl-gemm. */
static int cvncl_sum_groups(const cvn_net *net, int n)
{
    const int local = (int)cvncl_of(net)->group;
    return cvni_ceil_div(n, local >= 256 ? local / 8 : local);
}

/* Large tiles where they leave little of themselves unused and there are enough of them. */
static int cvncl_tile_size(const cvncl_backend *b, int M, int N, int Z)
{
    const cvncl_tile *t = &b->tile[1];
    const double tiles = (double)cvni_ceil_div(M, t->m) * cvni_ceil_div(N, t->n) * Z;
    return b->local && 4 * M >= 3 * t->m && 4 * N >= 3 * t->n && tiles >= b->units;
}

/* `batch` products of [M x N]. */
static cvn_result cvncl_tiles(cvn_net *net, int kernel, int M, int N, int batch, const char *format,
                              ...)
{
    const cvncl_backend *b = cvncl_of(net);
    const int size = cvncl_tile_size(b, M, N, batch);
    const cvncl_tile *t = &b->tile[size];
    size_t global[3], local[3];
    cvn_result result;
    va_list args;
    if (M <= 0 || N <= 0 || batch <= 0) return CVN_OK;
    local[0] = b->local ? (size_t)(t->n / t->item_n) : 1;
    local[1] = b->local ? (size_t)(t->m / t->item_m) : 1;
    local[2] = 1;
    global[0] = (size_t)cvni_ceil_div(N, t->n) * local[0];
    global[1] = (size_t)cvni_ceil_div(M, t->m) * local[1];
    global[2] = (size_t)batch;
    va_start(args, format);
    result = cvncl_enqueue(net, kernel, size, 3, global, local, format, args);
    va_end(args);
    return result;
}

/* ================================================================================================
 * >>cl-memory   a net's memory on the device; the order of its tensors
 * ==============================================================================================
 *   Images are channels last where their layers can work so: [N, ..., C] in the place that the plan
 *   has for [N, C, ...], value and gradient alike. Convolutions and batch norms make it so; pools,
 *   elementwise functions, dropout, arithmetic with broadcasting, resizing and concat over channels
 *   follow their inputs; all others, and what the host sees, have the host's order. A view has its
 *   input's. A layer that finds an operand in the other order gets a copy in `spare` for as long as
 *   it runs, and its gradient goes back the same way.
 *   With cvncl_desc.storage the values and gradients of the layers that make or follow channels
 *   last are narrow, 16-bit numbers, and so are their operands: what such copies turn they convert.
 *   Kernels read and write them by GET and SET. Narrow gradients are times a scale that the device
 *   keeps (CVNCL_SCALE), which passes through all these layers, being linear in them; it is taken
 *   out in the copies, and where gradients of parameters are added up. A buffer in which all is
 *   narrow lies behind the others (cvni_plan.narrow) in half the bytes. */

typedef struct cvncl_row cvncl_row;

/* >>cl-table */
static int cvncl_table_of(const cvn_net *net, const cvni_layer *l, int *table);
static size_t cvncl_work_of(cvn_net *net, const cvni_layer *l);
static int cvncl_find(const cvn_net *net, const cvni_layer *l);
static int cvncl_program_of(int number);
static int cvncl_follows(const cvn_net *net, const cvni_layer *l);

/* >>cl-conv */
static size_t cvncl_packed_count(const cvn_net *net, const cvni_layer *l, int up);
static void cvncl_pack_row(const cvncl_net *d, int number, int *row);
enum { CVNCL_PACK_INTS = 4 };   /* of a row */

static cvn_result cvncl_take(cvn_backend *backend, cvn_net *net, const cvni_plan *plan,
                             void **device);

static cvn_result cvncl_need_products(cvn_net *net, int train);     /* >>cl-gemm */

enum { CVNCL_SLICES = 64 };     /* groups that sum over all parameters */

static double cvncl_mib(uint64_t bytes) { return (double)bytes / 1048576; }

/* Bytes of the device that nobody of this backend has. */
static uint64_t cvncl_left(const cvncl_backend *b)
{
    return b->memory > b->taken ? b->memory - b->taken : 0;
}

static void cvncl_give_back(cvncl_backend *b, cvncl_buffer *buffer)
{
    if (buffer->memory) b->api.ReleaseMemObject(buffer->memory);
    if (buffer->memory && !buffer->host) b->taken -= buffer->bytes;
    memset(buffer, 0, sizeof *buffer);
}

static int32_t cvncl_take_buffer(cvncl_backend *b, size_t bytes, uint64_t flags,
                                 cvncl_buffer *buffer)
{
    int32_t status = 0;
    buffer->bytes = cvni_max_size(bytes, 64);
    buffer->host = (flags & CVNCL_HOST_MEMORY) != 0;
    buffer->memory = b->api.CreateBuffer(b->context, flags, buffer->bytes, NULL, &status);
    if (buffer->memory && !buffer->host) b->taken += buffer->bytes;
    return status;
}

static void cvncl_free_orders(cvncl_net *d)
{
    cvni_free(d->net, d->order);
    cvni_free(d->net, d->last);
    cvni_free(d->net, d->packed_at);
    cvni_free(d->net, d->swap);
}

static void cvncl_release(void *device)
{
    cvncl_net *d = (cvncl_net *)device;
    cvncl_backend *b = d->b;
    if (d->landing)
        b->api.EnqueueUnmapMemObject(b->queue, d->pinned.memory, d->landing, 0, NULL, NULL);
    b->api.Finish(b->queue);
    if (d->event) b->api.ReleaseEvent(d->event);
    if (d->sent_event) b->api.ReleaseEvent(d->sent_event);
    for (int i = 0; i < d->pieces; i++) cvncl_give_back(b, &d->arena[i]);
    cvncl_give_back(b, &d->tables);
    cvncl_give_back(b, &d->work);
    cvncl_give_back(b, &d->pinned);
    cvncl_give_back(b, &d->spare);
    cvncl_give_back(b, &d->packed);
    cvni_free(d->net, d->table_at);
    cvncl_free_orders(d);
    cvni_free(d->net, d);
}

/* Memory of one piece, with room for a vector that begins on its last element; the drivers may take
 * it only when it is used. */
static cvn_result cvncl_one_buffer(cvn_net *net, size_t bytes, const char *of, cvncl_buffer *buffer)
{
    cvncl_backend *b = cvncl_of(net);
    int32_t status;
    bytes = cvni_add_size(bytes, CVNCL_VECTOR);
    if (bytes > b->max_alloc)
        return cvni_fail(net, CVN_ERROR_MEMORY,
                         "OpenCL, %s, driver %s: %s needs %.4g MiB in one piece; the largest that "
                         "the device gives has %.4g; a smaller batch needs less",
                         b->name, b->driver, of, cvncl_mib(bytes), cvncl_mib(b->max_alloc));
    status = cvncl_take_buffer(b, bytes, CVNCL_READ_WRITE, buffer);
    return buffer->memory ? CVN_OK : cvncl_fail(net, of, status);
}

/* Whose buffer number i of a plan is. */
static const char *cvncl_owner(const cvn_net *net, const cvni_plan *plan, int buffer)
{
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_place *p = &plan->places[id];
        if (p->y == buffer || p->dy == buffer || p->saved == buffer || p->work_forward == buffer ||
            p->work_backward == buffer || p->y_again == buffer)
            return net->layers[id].name;
    }
    return "?";
}

/* All parts of a plan fit the pieces, and the whole the device. */
static cvn_result cvncl_check_room(cvn_net *net, const cvni_plan *plan, const cvncl_memory *m)
{
    const cvncl_backend *b = cvncl_of(net);
    const size_t whole[3] = { plan->ema ? plan->ema : plan->grads, plan->state - plan->grads,
                              plan->batch - plan->state };
    const char *who = "parameters or state";
    size_t most = 0;
    for (int i = 0; i < 3; i++) most = cvni_max_size(most, whole[i]);
    for (int i = 0; i < plan->count; i++) {
        const size_t bytes = plan->buffers[i].bytes >> plan->buffers[i].narrow;
        if (bytes <= most) continue;
        most = bytes;
        who = most > m->piece ? cvncl_owner(net, plan, i) : who;
    }
    if (most > m->piece)
        return cvni_fail(net, CVN_ERROR_MEMORY,
                         "OpenCL, %s, driver %s: '%s' needs %.4g MiB in one piece; the largest "
                         "that the device gives has %.4g; a smaller batch needs less",
                         b->name, b->driver, who, cvncl_mib(most), cvncl_mib(m->piece));
    if (m->total <= cvncl_left(b) && m->pieces <= CVNCL_MAX_PIECES) return CVN_OK;
    return cvni_fail(net, CVN_ERROR_MEMORY,
                     "OpenCL, %s, driver %s: the net needs %.4g MiB; the device has %.4g, of which "
                     "%.4g are taken; a smaller batch needs less",
                     b->name, b->driver, cvncl_mib(m->total), cvncl_mib(m->device),
                     cvncl_mib(m->taken));
}

/* Whether a layer of a plan runs on the device. */
static int cvncl_runs(const cvn_net *net, const cvni_plan *plan, int id)
{
    return cvncl_find(net, &net->layers[id]) && (!plan->places[id].skip || plan->places[id].grad);
}

/* The tables of all layers, behind them that of the packed weights and the scale of gradients, in
 * one array. */
static cvn_result cvncl_make_tables(cvn_net *net, cvncl_net *d)
{
    const cvncl_backend *b = d->b;
    const cvncl_packed *packed = d->packed_at;
    const float scale = b->gradient_scale;
    const float numbers[CVNCL_NUMBERS] = { scale, 1 / scale, 1 / scale, 1, 0, 0 };
    cvn_result result;
    int *all;
    int count = 0, at;
    int32_t status = 0;
    d->table_at = (int *)cvni_alloc(net, cvni_mul_size((size_t)net->layer_count, sizeof(int)));
    if (!d->table_at) return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for OpenCL's tables");
    for (int id = 1; id < net->layer_count; id++) {
        d->table_at[id] = count;
        count += cvncl_table_of(net, &net->layers[id], NULL);
    }
    at = d->pack_rows = count;
    d->numbers = count + CVNCL_PACK_INTS * d->packs;
    count = d->numbers + CVNCL_NUMBERS;
    result = cvncl_one_buffer(net, (size_t)count * sizeof(int), "the tables of the layers",
                              &d->tables);
    if (result != CVN_OK) return result;
    all = (int *)cvni_alloc(net, (size_t)count * sizeof(int));
    if (!all) return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for OpenCL's tables");
    for (int id = 1; id < net->layer_count; id++)
        cvncl_table_of(net, &net->layers[id], all + d->table_at[id]);
    for (int i = 2; i < 2 * net->layer_count; i++)
        if (packed[i].at < packed[i + 1].at) {
            cvncl_pack_row(d, i, all + at);
            at += CVNCL_PACK_INTS;
        }
    memcpy(all + d->numbers, numbers, sizeof numbers);
    status = b->api.EnqueueWriteBuffer(b->queue, d->tables.memory, 1, 0,
                                       (size_t)count * sizeof(int), all, 0, NULL, NULL);
    cvni_free(net, all);
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueWriteBuffer", status);
}

/* Channels last; one channel or one position: that is the host's order. */
static cvncl_order cvncl_last_order(const cvni_layer *l, int narrow)
{
    cvncl_order o = { 1, 1, 0 };
    o.narrow = narrow;
    if (l->shape.rank < 3) return o;
    o.C = l->shape.dim[1];
    o.S = (int)(cvni_sample_elements(l->shape) / (size_t)o.C);
    if (o.C == 1 || o.S == 1) o.C = o.S = 1;
    return o;
}

static int cvncl_same_order(cvncl_order a, cvncl_order b)
{
    return a.C == b.C && a.S == b.S && a.narrow == b.narrow;
}

static int cvncl_is_plain(cvncl_order o) { return o.C == 1 && !o.narrow; }

/* Operand i of a layer: its inputs, then the residual that is added on its store. */
static int cvncl_operand(const cvni_layer *l, const cvni_place *place, int i)
{
    return i < l->inputs ? l->input[i] : place->residual;
}

static int cvncl_operands(const cvni_layer *l, const cvni_place *place)
{
    return l->inputs + (place->residual != 0);
}

/* The order in which layer `id` wants its operand x. */
static cvncl_order cvncl_wanted(const cvncl_net *d, int id, int x)
{
    const cvncl_order plain = { 1, 1, 0 };
    return d->last[id] ? cvncl_last_order(&d->net->layers[x], d->order[id].narrow) : plain;
}

static void cvncl_choose_order(const cvncl_net *d, const cvni_plan *plan, int id)
{
    const cvni_layer *l = &d->net->layers[id];
    const cvni_place *place = &plan->places[id];
    const cvncl_order plain = { 1, 1, 0 };
    int follows = 0;
    d->order[id] = plain;
    d->last[id] = 0;
    if (place->by || ((place->skip || l->op->flags & CVNI_VIEW) && l->inputs)) {
        d->order[id] = d->order[place->by ? place->by : l->input[0]];
        d->last[id] = (char)!cvncl_is_plain(d->order[id]);      /* its backward pass may run */
        return;
    }
    if (!cvncl_find(d->net, l)) return;
    d->last[id] = (char)(cvni_is_conv(l) || cvni_outputs_second(l) || cvni_is_batchnorm(l));
    for (int i = 0; cvncl_follows(d->net, l) && i < cvncl_operands(l, place); i++) {
        const int x = cvncl_operand(l, place, i);
        follows |= !cvncl_is_plain(d->order[x]) &&
                   cvncl_same_order(d->order[x], cvncl_last_order(&d->net->layers[x],
                                                                  d->order[x].narrow));
    }
    if (follows) d->last[id] = 1;
    if (d->last[id])            /* a norm of vectors is not narrow */
        d->order[id] = cvncl_last_order(l, d->b->storage != CVNCL_STORE_FP32 &&
                                               (follows || l->shape.rank > 2));
}

/* Elements from one position of a plane to the next where layer `l` works: 1, or its channels. */
static int cvncl_step(const cvn_net *net, const cvni_layer *l)
{
    return cvncl_net_of(net)->last[cvni_id(net, l)] ? l->shape.dim[1] : 1;
}

static size_t cvncl_spare_of(const cvni_layer *x, int narrow)
{
    return cvni_align(cvni_mul_size(cvni_elements(x->shape), sizeof(float) >> narrow));
}

/* Bytes of `spare`: of a layer's operands in the other order, each with its gradient, twice where
 * they come from one such order and are wanted in another; of a tensor that the host asks for. */
static size_t cvncl_spare_bytes(const cvncl_net *d, const cvni_plan *plan)
{
    const cvn_net *net = d->net;
    size_t most = 0;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const cvni_place *place = &plan->places[id];
        size_t bytes = 0;
        for (int i = 0; !(l->op->flags & CVNI_VIEW) && i < cvncl_operands(l, place); i++) {
            const int x = cvncl_operand(l, place, i);
            const cvncl_order wanted = cvncl_wanted(d, id, x);
            const int turns_twice = !cvncl_is_plain(wanted) && !cvncl_is_plain(d->order[x]);
            const int times = 1 + (plan->places[x].grad != 0) + turns_twice;
            const size_t one = cvncl_spare_of(&net->layers[x], wanted.narrow && !turns_twice);
            if (!cvncl_same_order(wanted, d->order[x]))
                bytes = cvni_add_size(bytes, cvni_mul_size((size_t)times, one));
        }
        if (!cvncl_is_plain(d->order[id]) &&
            (d->b->base.host_layers || l->want_grad || cvni_is_kept(net, id)))
            bytes = cvni_max_size(bytes, cvncl_spare_of(l, 0));
        most = cvni_max_size(most, bytes);
    }
    return most;
}

/* Orders of all tensors; 0: memory is out. */
static int cvncl_choose_orders(cvn_net *net, const cvni_plan *plan, cvncl_net *d)
{
    const size_t layers = (size_t)net->layer_count;
    d->order = (cvncl_order *)cvni_alloc(net, layers * sizeof *d->order);
    d->last = (char *)cvni_alloc(net, layers);
    for (int id = 1; d->order && d->last && id < net->layer_count; id++)
        cvncl_choose_order(d, plan, id);
    return d->order && d->last;
}

/* A buffer is narrow in which all values and gradients are: bit 0 of the mark, bit 1: others. */
static int cvncl_mark_narrow(cvn_backend *backend, cvn_net *net, cvni_plan *plan)
{
    cvncl_net d;
    int done;
    memset(&d, 0, sizeof d);
    d.b = (cvncl_backend *)backend;
    d.net = net;
    if (d.b->storage == CVNCL_STORE_FP32) return 1;
    done = cvncl_choose_orders(net, plan, &d);
    for (int id = 1; done && id < net->layer_count; id++) {
        const cvni_place *p = &plan->places[id];
        const int buffers[3] = { p->y, p->dy, p->y_again };
        for (int i = 0; i < 3; i++)
            if (buffers[i] >= 0) plan->buffers[buffers[i]].narrow |= d.order[id].narrow ? 1 : 2;
    }
    for (int i = 0; i < plan->count; i++)
        plan->buffers[i].narrow = plan->buffers[i].narrow == 1;
    cvncl_free_orders(&d);
    return done;
}

/* Whether a plan has a pass of a convolution that reads its weights in the order of a gather. */
static int cvncl_packs(const cvn_net *net, const cvni_plan *plan, int id, int up)
{
    const cvni_layer *l = &net->layers[id];
    if (!(cvni_is_conv(l) || cvni_outputs_second(l)) || !cvncl_runs(net, plan, id)) return 0;
    return up == cvni_outputs_second(l) || plan->places[l->input[0]].grad;
}

/* Orders of all tensors, places of the packed weights; what they need. */
static cvn_result cvncl_make_orders(cvn_net *net, const cvni_plan *plan, cvncl_net *d)
{
    const int entries = 2 * net->layer_count;
    const int chosen = cvncl_choose_orders(net, plan, d);
    size_t packed = 0;
    int most = 1;
    for (int id = 1; id < net->layer_count; id++)
        most = cvni_max(most, net->layers[id].inputs + 1);
    d->packed_at = (cvncl_packed *)cvni_alloc(net, ((size_t)entries + 1) * sizeof *d->packed_at);
    d->swap = (cvncl_swap *)cvni_alloc(net, (size_t)most * sizeof *d->swap);
    if (!chosen || !d->packed_at || !d->swap)
        return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for OpenCL's orders");
    memset(d->packed_at, 0, ((size_t)entries + 1) * sizeof *d->packed_at);
    for (int i = 2; i < entries; i++) {
        const size_t count = cvncl_packs(net, plan, i / 2, i % 2)
                                 ? cvncl_packed_count(net, &net->layers[i / 2], i % 2) : 0;
        packed = cvni_add_size(packed, count);
        packed += (0 - packed) % 16;            /* vectors are read */
        d->packed_at[i + 1].at = (int)cvni_min_size(packed, INT_MAX);
        d->packs += count > 0;
    }
    if (packed > INT_MAX)
        return cvni_fail(net, CVN_ERROR_MEMORY, "OpenCL: the weights need %lu numbers",
                         (unsigned long)packed);
    d->spare_bytes = cvncl_spare_bytes(d, plan);
    d->packed_bytes = packed * sizeof(float) >> cvncl_packs_narrow(d->b);
    return CVN_OK;
}

/* Bytes of all narrow buffers on the device. */
static size_t cvncl_narrow_bytes(const cvni_plan *plan) { return (plan->total - plan->narrow) / 2; }

static int cvncl_pieces(const cvncl_backend *b, size_t bytes)
{
    return (int)cvni_min_size(bytes / b->base.piece + (bytes % b->base.piece != 0), INT_MAX / 2);
}

/* Bytes in which the host finds losses and output and leaves inputs, behind the partners of
 * samples; *inputs: the end of the former. */
static size_t cvncl_landing_bytes(const cvn_net *net, const cvni_plan *plan, size_t *inputs)
{
    size_t sources = 0;
    *inputs = plan->scratch - plan->batch;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const size_t own = cvni_mul_size(cvni_elements(l->shape), sizeof(float));
        if (l->loss_weight != 0 || id == net->output) *inputs = cvni_add_size(*inputs, own);
        if (l->op->flags & CVNI_SOURCE) sources = cvni_add_size(sources, own);
    }
    return cvni_add_size(*inputs, sources);
}

/* Bytes of a net that is planned, the shapes of its layers being those of the plan. */
static void cvncl_measure_net(const cvncl_net *d, const cvni_plan *plan, cvncl_memory *m)
{
    const cvncl_backend *b = d->b;
    cvn_net *net = d->net;
    size_t inputs, floats = 2 * CVNCL_SLICES;
    size_t ints = CVNCL_PACK_INTS * (size_t)d->packs + CVNCL_NUMBERS;
    memset(m, 0, sizeof *m);
    for (int id = 1; id < net->layer_count; id++) {
        ints = cvni_add_size(ints, (size_t)cvncl_table_of(net, &net->layers[id], NULL));
        if (cvncl_runs(net, plan, id))
            floats = cvni_max_size(floats, cvncl_work_of(net, &net->layers[id]));
    }
    m->net = plan->narrow + cvncl_narrow_bytes(plan);
    m->work = cvni_mul_size(floats, sizeof(float));
    m->copies = cvni_add_size(d->spare_bytes, d->packed_bytes);
    m->tables = cvni_mul_size(ints, sizeof(int));
    m->total = cvni_add_size(cvni_add_size(m->net, m->copies), cvni_add_size(m->work, m->tables));
    m->pinned = cvncl_landing_bytes(net, plan, &inputs);
    m->piece = b->base.piece;
    m->pieces = cvncl_pieces(b, plan->narrow) + cvncl_pieces(b, cvncl_narrow_bytes(plan));
    m->device = b->memory;
    m->taken = b->taken;
}

cvn_result cvncl_memory_needed(cvn_net *net, int max_batch, int mode, cvncl_memory *memory)
{
    cvni_plan plan;
    cvncl_net d;
    cvn_result result;
    if (!net || !memory) return CVN_ERROR_ARGUMENT;
    memset(memory, 0, sizeof *memory);
    if (!net->backend || net->backend->take != cvncl_take)
        return cvni_fail(net, CVN_ERROR_STATE, "cvncl_memory_needed: the net uses no device");
    result = cvni_check_build(net, max_batch, mode);
    if (result != CVN_OK) return result;
    result = cvni_make_plan(net, max_batch, cvni_plan_mode(mode), &plan);
    if (result == CVN_OK) {
        memset(&d, 0, sizeof d);
        d.b = cvncl_of(net);
        d.net = net;
        result = cvncl_make_orders(net, &plan, &d);
        if (result == CVN_OK) cvncl_measure_net(&d, &plan, memory);
        cvncl_free_orders(&d);
        cvni_free_plan(net, &plan);
    }
    cvni_restore_shapes(net);
    return result;
}

/* Pinned, so that neither the host nor the device need wait. */
static cvn_result cvncl_take_landing(cvn_net *net, const cvni_plan *plan, cvncl_net *d)
{
    const cvncl_backend *b = d->b;
    const size_t bytes = cvncl_landing_bytes(net, plan, &d->sending);
    int32_t status = cvncl_take_buffer(d->b, bytes, CVNCL_READ_WRITE | CVNCL_HOST_MEMORY,
                                       &d->pinned);
    d->sent = d->sending;
    d->landed = d->landing_begin = plan->scratch - plan->batch;
    if (d->pinned.memory)
        d->landing = (unsigned char *)b->api.EnqueueMapBuffer(b->queue, d->pinned.memory, 1,
                                                              CVNCL_MAP_BOTH, 0, d->pinned.bytes, 0,
                                                              NULL, NULL, &status);
    return d->landing ? CVN_OK : cvncl_fail(net, "memory of the host for results", status);
}

/* The program of a layer and those of others that its calls use. */
static cvn_result cvncl_need_layer(cvn_net *net, const cvni_layer *l, int narrow)
{
    const int program = cvncl_program_of(cvncl_find(net, l));
    cvn_result result = cvncl_need(net, program, narrow);
    if (result == CVN_OK && program >= CVNCL_PROGRAM_BATCH && program <= CVNCL_PROGRAM_LOSSES)
        result = cvncl_need(net, CVNCL_PROGRAM_GEMM, 0);
    if (result == CVN_OK && program == CVNCL_PROGRAM_LOSSES)
        result = cvncl_need(net, CVNCL_PROGRAM_LOSS, 0);
    if (result == CVN_OK && l->spectral) result = cvncl_need(net, CVNCL_PROGRAM_SPECTRAL, 0);
    return result;
}

/* Memory of the arena's pieces, narrow buffers in pieces of their own. */
static cvn_result cvncl_take_pieces(cvn_net *net, const cvni_plan *plan, cvncl_net *d)
{
    const size_t piece = d->b->base.piece;
    cvn_result result = CVN_OK;
    for (int narrow = 0; narrow < 2; narrow++) {
        size_t left = narrow ? cvncl_narrow_bytes(plan) : plan->narrow;
        if (narrow) d->narrow_piece = d->pieces;
        for (size_t n; left && result == CVN_OK; left -= n) {
            n = cvni_min_size(left, piece);
            result = cvncl_one_buffer(net, n, "the net", &d->arena[d->pieces]);
            d->pieces += result == CVN_OK;
        }
    }
    return result;
}

static cvn_result cvncl_take_memory(cvn_net *net, const cvni_plan *plan, cvncl_net *d)
{
    cvncl_memory m;
    cvn_result result = cvncl_make_orders(net, plan, d);
    for (int narrow = 0; narrow < 1 + (d->b->storage != CVNCL_STORE_FP32); narrow++)
        if (result == CVN_OK) result = cvncl_need(net, CVNCL_PROGRAM_LAYERS, narrow);
    if (result == CVN_OK) result = cvncl_need(net, CVNCL_PROGRAM_OPTIM, 0);
    for (int id = 1; id < net->layer_count && result == CVN_OK; id++)
        if (cvncl_runs(net, plan, id))
            result = cvncl_need_layer(net, &net->layers[id], d->order[id].narrow);
    if (result == CVN_OK) result = cvncl_need_products(net, plan->state > plan->grads);
    if (result != CVN_OK) return result;
    cvncl_measure_net(d, plan, &m);
    if (m.work / sizeof(float) > INT_MAX)
        return cvni_fail(net, CVN_ERROR_MEMORY, "OpenCL: the work needs %.4g MiB",
                         cvncl_mib(m.work));
    result = cvncl_check_room(net, plan, &m);
    if (result == CVN_OK) result = cvncl_take_pieces(net, plan, d);
    if (result == CVN_OK)
        result = cvncl_one_buffer(net, d->spare_bytes, "room for images in another order",
                                  &d->spare);
    if (result == CVN_OK)
        result = cvncl_one_buffer(net, d->packed_bytes, "weights in another order", &d->packed);
    if (result == CVN_OK) result = cvncl_one_buffer(net, m.work, "the work", &d->work);
    if (result == CVN_OK) result = cvncl_take_landing(net, plan, d);
    return result == CVN_OK ? cvncl_make_tables(net, d) : result;
}

static cvn_result cvncl_take(cvn_backend *backend, cvn_net *net, const cvni_plan *plan,
                             void **device)
{
    cvncl_net *d = (cvncl_net *)cvni_alloc(net, sizeof *d);
    cvn_result result;
    if (!d) return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for a net on a device");
    memset(d, 0, sizeof *d);
    d->b = (cvncl_backend *)backend;
    d->net = net;
    result = cvncl_take_memory(net, plan, d);
    if (result == CVN_OK) *device = d;
    else cvncl_release(d);
    return result;
}

static cvn_result cvncl_write(cvn_net *net, void *memory, size_t at, const void *from,
                              size_t bytes)
{
    const cvncl_backend *b = cvncl_of(net);
    const int32_t status = b->api.EnqueueWriteBuffer(b->queue, memory, 1, at, bytes, from, 0, NULL,
                                                     NULL);
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueWriteBuffer", status);
}

static int32_t cvncl_wait_for(const cvncl_backend *b, void **event)
{
    int32_t status = 0;
    if (*event) {
        status = b->api.WaitForEvents(1, event);
        b->api.ReleaseEvent(*event);
    }
    *event = NULL;
    return status;
}

/* The same through pinned memory, where there is room: the caller's is free again at once. */
static cvn_result cvncl_write_later(cvn_net *net, void *memory, size_t at, const void *from,
                                    size_t bytes)
{
    cvncl_net *d = cvncl_net_of(net);
    const cvncl_backend *b = d->b;
    int32_t status = 0;
    if (bytes > d->pinned.bytes - d->sending) return cvncl_write(net, memory, at, from, bytes);
    if (bytes > d->pinned.bytes - d->sent) {
        status = cvncl_wait_for(b, &d->sent_event);     /* the queue is in order: for all */
        if (status != 0) return cvncl_fail(net, "clWaitForEvents", status);
        d->sent = d->sending;
    }
    memcpy(d->landing + d->sent, from, bytes);
    if (d->sent_event) b->api.ReleaseEvent(d->sent_event);
    d->sent_event = NULL;
    status = b->api.EnqueueWriteBuffer(b->queue, memory, 0, at, bytes, d->landing + d->sent, 0,
                                       NULL, &d->sent_event);
    d->sent += bytes;
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueWriteBuffer", status);
}

static cvn_result cvncl_read(cvn_net *net, void *memory, size_t at, void *to, size_t bytes)
{
    const cvncl_backend *b = cvncl_of(net);
    const int32_t status = b->api.EnqueueReadBuffer(b->queue, memory, 1, at, bytes, to, 0, NULL,
                                                    NULL);
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueReadBuffer", status);
}

/* Bytes from `at` on that lie in the same piece, at most `bytes`. */
static size_t cvncl_stretch(const cvncl_net *d, size_t at, size_t bytes)
{
    return cvni_min_size(bytes, d->b->base.piece - at % d->b->base.piece);
}

static void *cvncl_piece(const cvncl_net *d, size_t at)
{
    return d->arena[at / d->b->base.piece].memory;
}

/* Bytes of the parameters, which come first in the arena, change: what is packed of them is old. */
static void cvncl_changed(const cvn_net *net, size_t at, size_t bytes)
{
    cvncl_packed *packed = cvncl_net_of(net)->packed_at;
    const size_t begin = at / sizeof(float), end = (at + bytes) / sizeof(float);
    for (int id = 1; id < net->layer_count && at < net->plan.grads; id++) {
        const cvni_layer *l = &net->layers[id];
        const cvni_param *w = l->params ? &net->params[l->param[0]] : NULL;
        if (w && w->offset < end && w->offset + w->count > begin)
            packed[2 * id].fresh = packed[2 * id + 1].fresh = 0;
    }
}

static cvn_result cvncl_push(cvn_net *net, size_t at, const void *from, size_t bytes)
{
    const cvncl_net *d = cvncl_net_of(net);
    const unsigned char *p = (const unsigned char *)from;
    const int passing = at >= net->plan.batch;          /* inputs, not the persistent part */
    cvn_result result = CVN_OK;
    cvncl_changed(net, at, bytes);
    for (size_t n; bytes && result == CVN_OK; at += n, p += n, bytes -= n) {
        n = cvncl_stretch(d, at, bytes);
        result = (passing ? cvncl_write_later : cvncl_write)(net, cvncl_piece(d, at),
                                                             at % d->b->base.piece, p, n);
    }
    return result;
}

static cvn_result cvncl_pull(cvn_net *net, size_t at, void *to, size_t bytes)
{
    const cvncl_net *d = cvncl_net_of(net);
    unsigned char *p = (unsigned char *)to;
    cvn_result result = CVN_OK;
    for (size_t n; bytes && result == CVN_OK; at += n, p += n, bytes -= n) {
        n = cvncl_stretch(d, at, bytes);
        result = cvncl_read(net, cvncl_piece(d, at), at % d->b->base.piece, p, n);
    }
    return result;
}

/* to (+)= from, n elements, from the order `o` to the host's, or, last, the other way round. */
static cvn_result cvncl_turn(cvn_net *net, const float *from, float *to, int n, cvncl_order o,
                             int last, int add, int gradient)
{
    cvncl_net *d = cvncl_net_of(net);
    const int runs_narrow = d->narrow;
    const int factor = last ? CVNCL_SCALE : d->stepped ? CVNCL_BEFORE : CVNCL_INVERSE;
    cvn_result result;
    d->narrow = o.narrow;
    result = cvncl_each(net, last ? CVNCL_TURN : CVNCL_TURN_BACK, n, last ? "pxiiiit" : "xpiiiit",
                        from, to, n, o.C, o.S, add,
                        o.narrow && gradient ? cvncl_number_at(d, factor) : -1);
    d->narrow = runs_narrow;
    return result;
}

/* Value or gradient of a layer, in the host's order on its side. */
static cvn_result cvncl_pull_tensor(cvn_net *net, const cvni_layer *l, int gradient)
{
    const cvncl_net *d = cvncl_net_of(net);
    const cvncl_order o = d->order[cvni_id(net, l)];
    float *x = gradient ? l->dy : l->y;
    const size_t n = cvni_elements(l->shape);
    cvn_result result;
    if (cvncl_is_plain(o))
        return cvncl_pull(net, (size_t)((unsigned char *)x - net->arena), x, n * sizeof(float));
    if (n * sizeof(float) > d->spare_bytes)
        return cvni_fail(net, CVN_ERROR_STATE, "OpenCL: no room to turn '%s'", l->name);
    result = cvncl_turn(net, x, cvncl_spare(net, 0), (int)n, o, 0, 0, gradient);
    return result == CVN_OK ? cvncl_read(net, d->spare.memory, 0, x, n * sizeof(float)) : result;
}

static cvn_result cvncl_push_tensor(cvn_net *net, const cvni_layer *l, int gradient)
{
    const cvncl_net *d = cvncl_net_of(net);
    const cvncl_order o = d->order[cvni_id(net, l)];
    float *x = gradient ? l->dy : l->y;
    const size_t n = cvni_elements(l->shape);
    cvn_result result;
    if (cvncl_is_plain(o))
        return cvncl_push(net, (size_t)((const unsigned char *)x - net->arena), x,
                          n * sizeof(float));
    if (n * sizeof(float) > d->spare_bytes)
        return cvni_fail(net, CVN_ERROR_STATE, "OpenCL: no room to turn '%s'", l->name);
    result = cvncl_write(net, d->spare.memory, 0, x, n * sizeof(float));
    if (result != CVN_OK) return result;
    return cvncl_turn(net, cvncl_spare(net, 0), x, (int)n, o, 1, 0, gradient);
}

/* Between the orders a and b, one of which may be the host's; by way of the host's in `middle`. */
static cvn_result cvncl_reorder(cvn_net *net, const float *from, cvncl_order a, float *to,
                                cvncl_order b, int n, float *middle, int add, int gradient)
{
    const cvncl_order plain = { 1, 1, 0 };
    cvn_result result = CVN_OK;
    if (!cvncl_is_plain(a) && !cvncl_is_plain(b)) {
        result = cvncl_turn(net, from, middle, n, a, 0, 0, gradient);
        from = middle;
        a = plain;
    }
    if (result != CVN_OK) return result;
    return cvncl_is_plain(b) ? cvncl_turn(net, from, to, n, a, 0, add, gradient)
                             : cvncl_turn(net, from, to, n, b, 1, add, gradient);
}

/* The operands of a layer that are not in the order in which it wants them: copies in their place,
 * and for a backward pass room for their gradients. Returns how many, or -1 with `result` set. */
static int cvncl_swap_in(cvn_net *net, const cvni_layer *l, int backward, cvn_result *result)
{
    const cvncl_net *d = cvncl_net_of(net);
    const int id = cvni_id(net, l);
    size_t at = 0;
    int count = 0;
    *result = CVN_OK;
    if (l->op->flags & CVNI_VIEW) return 0;
    for (int i = 0; i < cvncl_operands(l, &l->place) && *result == CVN_OK; i++) {
        const int other = cvncl_operand(l, &l->place, i);
        cvni_layer *x = &net->layers[other];
        const cvncl_order order = d->order[other];
        const cvncl_order wanted = cvncl_wanted(d, id, other);
        const size_t bytes = cvncl_spare_of(x, wanted.narrow && cvncl_is_plain(order));
        const int n = (int)cvni_elements(x->shape);
        const int reads = x->y && (!backward || (l->op->flags & CVNI_USES_X && i < l->inputs));
        cvncl_swap *s = &d->swap[count];
        float *const y = cvncl_spare(net, at);
        float *const dy = cvncl_spare(net, at + bytes);
        int again = cvncl_same_order(order, wanted);
        for (int k = 0; k < count; k++) again = again || d->swap[k].x == x;
        if (again) continue;
        s->x = x;
        s->y = x->y;
        s->dy = x->dy;
        s->written = x->grad_written;
        count++;
        if (reads) *result = cvncl_reorder(net, x->y, order, y, wanted, n, dy, 0, 0);
        x->y = y;
        at += bytes;
        if (!backward || !x->place.grad || !x->dy) continue;
        x->dy = dy;
        x->grad_written = 0;
        at += bytes;
    }
    return count;
}

/* Everything back in its place; gradients in the order of their tensors. */
static cvn_result cvncl_swap_out(cvn_net *net, const cvni_layer *l, int count, cvn_result result)
{
    const cvncl_net *d = cvncl_net_of(net);
    for (int k = 0; k < count; k++) {
        const cvncl_swap *s = &d->swap[k];
        const int id = cvni_id(net, s->x);
        float *const y = s->x->y;
        float *const dy = s->x->dy;
        const int written = s->x->grad_written && dy != s->dy;
        s->x->y = s->y;
        s->x->dy = s->dy;
        if (dy != s->dy) s->x->grad_written = s->written || written;
        if (written && result == CVN_OK)
            result = cvncl_reorder(net, dy, cvncl_wanted(d, cvni_id(net, l), id), s->dy,
                                   d->order[id], (int)cvni_elements(s->x->shape), y, s->written,
                                   1);
    }
    return result;
}

/* A tensor, which lies in one piece. What finds no room to land, or is in another order, is pulled
 * at once. */
static cvn_result cvncl_ask(cvn_net *net, const cvni_layer *l)
{
    const size_t at = (size_t)((unsigned char *)l->y - net->arena);
    const size_t bytes = cvni_elements(l->shape) * sizeof(float);
    cvncl_net *d = cvncl_net_of(net);
    cvncl_reply *r = &d->reply[d->replies];
    int32_t status;
    if (!cvncl_is_plain(d->order[cvni_id(net, l)]) || d->replies == CVNCL_REPLIES ||
        bytes > d->sending - d->landed)
        return cvncl_pull_tensor(net, l, 0);
    r->to = l->y;
    r->at = d->landed;
    r->bytes = bytes;
    if (d->event) d->b->api.ReleaseEvent(d->event);
    d->event = NULL;
    status = d->b->api.EnqueueReadBuffer(d->b->queue, cvncl_piece(d, at), 0,
                                         at % d->b->base.piece, bytes, d->landing + r->at, 0, NULL,
                                         &d->event);
    if (status != 0) return cvncl_fail(net, "clEnqueueReadBuffer", status);
    d->landed += bytes;
    d->replies++;
    return CVN_OK;
}

/* The queue is in order: the last one has come last. */
static cvn_result cvncl_answer(cvn_net *net)
{
    cvncl_net *d = cvncl_net_of(net);
    const int32_t status = cvncl_wait_for(d->b, &d->event);
    for (int i = 0; i < d->replies && status == 0; i++)
        memcpy(d->reply[i].to, d->landing + d->reply[i].at, d->reply[i].bytes);
    d->replies = 0;
    d->landed = d->landing_begin;
    return status == 0 ? CVN_OK : cvncl_fail(net, "clWaitForEvents", status);
}

/* Narrow elements stand in the place of floats. */
static cvn_result cvncl_fill(cvn_net *net, size_t at, size_t floats, float value)
{
    cvncl_net *d = cvncl_net_of(net);
    cvn_result result = CVN_OK;
    for (size_t n; floats && result == CVN_OK; at += n * sizeof(float), floats -= n) {
        d->narrow = at >= net->plan.narrow;
        if (d->narrow)
            n = cvncl_stretch(d, (at - net->plan.narrow) / 2, floats * sizeof(uint16_t)) /
                sizeof(uint16_t);
        else
            n = cvncl_stretch(d, at, cvni_min_size(floats * sizeof(float), net->plan.narrow - at)) /
                sizeof(float);
        result = cvncl_each(net, CVNCL_FILL, (int)n, "xif", net->arena + at, (int)n,
                            (double)value);
    }
    d->narrow = 0;
    return result;
}

/* ================================================================================================
 * >>cl-gemm   products of matrices; dense layers
 * ==============================================================================================
 *   A way to multiply is a kernel with its tile. ROWS: an item has rows of vectors of columns;
 *   DOTS: sums along k, a vector each, where both matrices lie along k; TILED: through local
 *   memory; MMA, WGMMA: on matrix units, a warp's instructions (>>cl-mma) or those of four warps
 *   (>>cl-wgmma). A kernel is built when a shape first needs it, for
 *   one layout of the matrices. Which way goes with which device and shape: cvncl_vendors, or
 *   what >>cl-tune has measured. ROWS and TILED add up in the order of k, so tiles do not change
 *   results. */

static const char cvncl_text_product[] =
    "/* c[z][m][n] = act(sum over k of a[z][m][k] b[z][k][n] + bias[n] + with[z][m][n]); with may\n"
    " * be c. a lies [M, K] (FAST_A) or [K, M], b [N, K] (FAST_B) or [K, N]; ld: elements from a\n"
    " * line to the next. length < K: z counts slices of k, each with a c. A tile is TM x TN, of\n"
    " * it WM x WN an item's or a warp's. VEC 4: lines of a and b begin at 16 bytes and have a\n"
    " * multiple of 4 elements; 8 the same of narrow images. stats [2, N, ceil(M / 32)], where\n"
    " * tiles go through local memory: of each 32 rows of c the mean, and the sum of squares\n"
    " * about it, for batch norm. */\n"
    "#if !CONV\n"
    "#define PARAMS \\\n"
    "    IN(a), IN(b), IN(bias), MEM(with), MEM(c), OUT(stats), const int M, const int N, \\\n"
    "    const int K, const int lda, const int az, const int ldb, const int bz, const int ldc, \\\n"
    "    const int cz, const int length, const float slope, const float most\n"
    "#define SETUP \\\n"
    "    const int z = get_group_id(2), first = length < K ? z * length : 0; \\\n"
    "    const int last = min(first + length, K); \\\n"
    "    AT(a); AT(b); AT(bias); AT(with); AT(c); AT(stats); \\\n"
    "    a += (size_t)z * az; b += (size_t)z * bz; c += (size_t)z * cz; with += (size_t)z * cz;\n"
    "#define A(m, k) a[FAST_A ? (size_t)(m) * lda + (k) : (size_t)(k) * lda + (m)]\n"
    "#define B(k, n) b[FAST_B ? (size_t)(n) * ldb + (k) : (size_t)(k) * ldb + (n)]\n"
    "#define SHIFT(n) (HAS(bias) ? bias[n] : 0)\n"
    "#define ADDED(m) (HAS(with) ? with + (size_t)(m) * ldc : 0)\n"
    "#define TARGET(m) (c + (size_t)(m) * ldc)\n"
    "#define CHANNELS N\n"
    "#define LAST(v) clamped(v, slope, most)\n"
    "#define WHOLE(n) \\\n"
    "    ((((int)c_at | (HAS(with) ? (int)with_at : 0) | ldc | N | cz) & ((n) - 1)) == 0)\n"
    "#endif\n"
    "/* What is stored: an image, or parts of sums. */\n"
    "#if CONV == 2\n"
    "#define OUT_TYPE float\n"
    "#define OUT_SET(p, i, v) ((p)[i] = (v))\n"
    "#define OUT_SET2(p, v) (*(global float2 *)(p) = (v))\n"
    "#define OUT_SET4(p, v) (*(global float4 *)(p) = (v))\n"
    "#else\n"
    "#define OUT_TYPE STORED_TYPE\n"
    "#define OUT_SET(p, i, v) SET(p, i, v)\n"
    "#define OUT_SET2(p, v) SET2(p, v)\n"
    "#define OUT_SET4(p, v) SET4(p, v)\n"
    "#endif\n"
    "/* On matrix units. FACTORS 1: tf32, 2: bf16, 3: fp16; HALVES: of 16 bits. Loaded are 16\n"
    " * bytes, PIECE elements. */\n"
    "#define HALVES (FACTORS > 1)\n"
    "#define PIECE (STORED ? 8 : 4)\n"
    "#define PIECES (TK / PIECE)\n"
    "#define IX (TN / WN)\n"
    "#define IY (TM / WM)\n"
    "/* Tiles lie along the first axis, those of the same rows together: some devices have few\n"
    " * groups on the second. */\n"
    "#define TILES_N ((N + TN - 1) / TN)\n"
    "#define FIRST_M ((int)get_group_id(0) / TILES_N * TM)\n"
    "#define FIRST_N ((int)get_group_id(0) % TILES_N * TN)\n"
    "#if UNROLL\n"
    "#define EACH(i, n) _Pragma(\"unroll\") for (int i = 0; i < (n); i++)\n"
    "#else\n"
    "#define EACH(i, n) for (int i = 0; i < (n); i++)\n"
    "#endif\n";

static const char cvncl_text_plain[] =
    "#define STORE(m, n, v) \\\n"
    "    TARGET(m)[n] = LAST((v) + SHIFT(n) + (HAS(with) ? with[(size_t)(m) * ldc + (n)] : 0))\n"
    "\n"
    "#if DOTS\n"
    "/* Sums along k, a vector wide; lines beyond the edge are the last one again. */\n"
    "kernel __attribute__((reqd_work_group_size(IX, IY, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    VECTOR sum[WM][WN], x[WN];\n"
    "    SETUP\n"
    "    const int m0 = FIRST_M + get_local_id(1) * WM, n0 = FIRST_N + get_local_id(0) * WN;\n"
    "    const int whole = last - (last - first) % WIDE;\n"
    "    EACH(i, WM) EACH(j, WN) sum[i][j] = 0;\n"
    "    for (int k = first; k < whole; k += WIDE) {\n"
    "        EACH(j, WN) x[j] = VLOAD(0, &B(k, min(n0 + j, N - 1)));\n"
    "        EACH(i, WM) {\n"
    "            const VECTOR v = VLOAD(0, &A(min(m0 + i, M - 1), k));\n"
    "            EACH(j, WN) sum[i][j] += v * x[j];\n"
    "        }\n"
    "    }\n"
    "    EACH(i, WM)\n"
    "        EACH(j, WN) {\n"
    "            const int m = min(m0 + i, M - 1), n = min(n0 + j, N - 1);\n"
    "            float part[WIDE], rest = 0;\n"
    "            VSTORE(sum[i][j], 0, part);\n"
    "            for (int w = WIDE / 2; w > 0; w /= 2)\n"
    "                for (int l = 0; l < w; l++) part[l] += part[l + w];\n"
    "            for (int k = whole; k < last; k++) rest += A(m, k) * B(k, n);\n"
    "            if (m0 + i < M && n0 + j < N) STORE(m, n, part[0] + rest);\n"
    "        }\n"
    "}\n"
    "#else\n"
    "/* A vector of columns a row; at the edge it begins further left. */\n"
    "kernel __attribute__((reqd_work_group_size(IX, IY, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    VECTOR sum[WM];\n"
    "    SETUP\n"
    "    const int m0 = FIRST_M + get_local_id(1) * WM, n = FIRST_N + get_local_id(0) * WN;\n"
    "    const int n0 = max(min(n, N - WN), 0);\n"
    "    EACH(i, WM) sum[i] = 0;\n"
    "    if (!FAST_B && N >= WN)\n"
    "        for (int k = first; k < last; k++) {\n"
    "            const VECTOR x = VLOAD(0, &B(k, n0));\n"
    "            EACH(i, WM) sum[i] += A(min(m0 + i, M - 1), k) * x;\n"
    "        }\n"
    "    else\n"
    "        for (int k = first; k < last; k++) {\n"
    "            float x[WN];\n"
    "            EACH(j, WN) x[j] = B(k, min(n0 + j, N - 1));\n"
    "            EACH(i, WM) sum[i] += A(min(m0 + i, M - 1), k) * VLOAD(0, x);\n"
    "        }\n"
    "    EACH(i, WM) {\n"
    "        float part[WN];\n"
    "        VSTORE(sum[i], 0, part);\n"
    "        EACH(j, WN)\n"
    "            if (m0 + i < M && n0 + j >= n && n0 + j < N) STORE(m0 + i, n0 + j, part[j]);\n"
    "    }\n"
    "}\n"
    "#endif\n";

/* In the midst of a kernel whose sums are complete. An item has OWN_ROWS of 32 rows, in OWN_COLUMNS
 * columns at a time; 32 / OWN_ROWS items, side by side in OWN_LINE, have them all. They meet in
 * local memory twice, for the mean and then for the squares: in two places, so that one barrier
 * each time is enough. */
static const char cvncl_text_stats[] =
    "#if CONV != 2\n"
    "    if (HAS(stats)) {\n"
    "        const int slices = (M + 31) / 32, line = OWN_LINE;\n"
    "        const int first_line = line / (32 / OWN_ROWS) * (32 / OWN_ROWS);\n"
    "        DRAIN();\n"
    "        EACH(turn, OWN_TURNS) {\n"
    "            const int slice = OWN_ROW(turn, 0) / 32, rows = min(M - slice * 32, 32);\n"
    "            float mean[OWN_COLUMNS];\n"
    "            EACH(squares, 2) {\n"
    "                local float *part = SHARED + squares * OWN_LINES * OWN_WIDTH;\n"
    "                if (turn + squares == 0) barrier(CLK_LOCAL_MEM_FENCE);\n"
    "                EACH(j, OWN_COLUMNS) {\n"
    "                    float v = 0;\n"
    "                    EACH(e, OWN_ROWS) {\n"
    "                        const float d = LAST(OWN(turn, e, j)) - (squares ? mean[j] : 0);\n"
    "                        if (OWN_ROW(turn, e) < M) v += squares ? d * d : d;\n"
    "                    }\n"
    "                    part[line * OWN_WIDTH + OWN_PLACE(j)] = v;\n"
    "                }\n"
    "                barrier(CLK_LOCAL_MEM_FENCE);\n"
    "                EACH(j, OWN_COLUMNS) {\n"
    "                    const int n = OWN_COLUMN(turn, j);\n"
    "                    float v = 0;\n"
    "                    EACH(l, 32 / OWN_ROWS)\n"
    "                        v += part[(first_line + l) * OWN_WIDTH + OWN_PLACE(j)];\n"
    "                    if (!squares) mean[j] = v / rows;\n"
    "                    if (squares && line == first_line && rows > 0 && n < N) {\n"
    "                        stats[(size_t)n * slices + slice] = mean[j];\n"
    "                        stats[(size_t)(CHANNELS + n) * slices + slice] = v;\n"
    "                    }\n"
    "                }\n"
    "            }\n"
    "        }\n"
    "    }\n"
    "#endif\n";

static const char cvncl_text_slices[] =
    "/* The sum over s of part[s][i], n elements a slice. A group has WG/LANES elements, LANES\n"
    " * items each, of which the first gets the sum. */\n"
    "#define LANES (WG >= 256 ? 8 : 1)\n"
    "#define SLICED (get_group_id(0) * (WG / LANES) + get_local_id(0) % (WG / LANES))\n"
    "float sum_of_slices(global const float *part, const int i, const int n, const int slices,\n"
    "                    local float *shared)\n"
    "{\n"
    "    const int t = get_local_id(0);\n"
    "    float sum = 0;\n"
    "    if (i < n)\n"
    "        for (int s = t / (WG / LANES); s < slices; s += LANES)\n"
    "            sum += part[(size_t)s * n + i];\n"
    "    shared[t] = sum;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    for (int l = t + WG / LANES; l < WG; l += WG / LANES) sum += shared[l];\n"
    "    return sum;\n"
    "}\n";

static const char cvncl_text_product_sum[] =
    "/* c[m][n] = act(the sum of part[s][m][n] + bias[n] + with[m][n]); count: M*N */\n"
    "kernel void product_sum(IN(part), IN(bias), MEM(with), MEM(c), const int count,\n"
    "                        const int slices, const int N, const int ldc, const float slope,\n"
    "                        const float most)\n"
    "{\n"
    "    local float shared[WG];\n"
    "    const int i = SLICED, at = i / N * ldc + i % N;\n"
    "    AT(part); AT(bias); AT(with); AT(c);\n"
    "    float v = sum_of_slices(part, i, count, slices, shared);\n"
    "    if (i >= count || get_local_id(0) >= WG / LANES) return;\n"
    "    v += HAS(bias) ? bias[i % N] : 0;\n"
    "    c[at] = clamped(v + (HAS(with) ? with[at] : 0), slope, most);\n"
    "}\n";

static const char cvncl_text_tiled_layout[] =
    "#define RAW 0\n"
    "#define ITEMS (IX * IY)\n"
    "#define A4 (TM * TK / 4 / ITEMS)\n"
    "#define B4 (TN * TK / 4 / ITEMS)\n"
    "#define LA (TM + 4)\n"
    "#define LB (TN + 4)\n"
    "#define ACROSS (IX < 8 ? IX : 8)\n"
    "#define ROW(i) ((i) / 4 * (IY * 4) + ty * 4 + (i) % 4)\n"
    "#define COLUMN(j) ((j) / 4 * (IX * 4) + tx * 4 + (j) % 4)\n"
    "/* For the statistics: four rows of an item follow each other, so the sums are those of any\n"
    " * tile. */\n"
    "#define OWN_ROWS 4\n"
    "#define OWN_TURNS (WM / 4 * (WN / 4))\n"
    "#define OWN_COLUMNS 4\n"
    "#define OWN_I(turn, e) ((turn) / (WN / 4) * 4 + (e))\n"
    "#define OWN_J(turn, j) ((turn) % (WN / 4) * 4 + (j))\n"
    "#define OWN(turn, e, j) sum[OWN_I(turn, e)][OWN_J(turn, j)]\n"
    "#define OWN_ROW(turn, e) (m0 + ROW(OWN_I(turn, e)))\n"
    "#define OWN_COLUMN(turn, j) (n0 + COLUMN(OWN_J(turn, j)))\n"
    "#define OWN_LINE ty\n"
    "#define OWN_LINES IY\n"
    "#define OWN_PLACE(j) (4 * tx + (j))\n"
    "#define OWN_WIDTH (4 * IX)\n"
    "#define SHARED ((local float *)lb)\n"
    "#if 2 * OWN_LINES * OWN_WIDTH > STAGES * TK * LB || IY % 8\n"
    "#error a tile without room for statistics\n"
    "#endif\n"
    "#define DRAIN()\n"
    "\n"
    "/* The f-th 4 elements of a tile of T lines: along k (FAST), or along the lines. */\n"
    "#define LINE(FAST, f, T) (FAST ? (f) / (TK / 4) : (f) % ((T) / 4) * 4)\n"
    "#define DEEP(FAST, f, T) (FAST ? (f) % (TK / 4) * 4 : (f) / ((T) / 4))\n"
    "\n"
    "/* 4 elements into local memory, [k][line]. */\n"
    "void put(local float *to, const int ld, const int fast, const float4 v)\n"
    "{\n"
    "    if (fast) {\n"
    "        to[0] = v.s0;\n"
    "        to[ld] = v.s1;\n"
    "        to[2 * ld] = v.s2;\n"
    "        to[3 * ld] = v.s3;\n"
    "    } else {\n"
    "        *(local float4 *)to = v;\n"
    "    }\n"
    "}\n";

static const char cvncl_text_tiled_load[] =
    "/* What is loaded: floats, or, RAW, narrow images as they are. */\n"
    "#if RAW\n"
    "#define ONE ushort\n"
    "#define FOUR ushort4\n"
    "#define LOAD1(p) *(p)\n"
    "#define LOAD4(p) *(global const ushort4 *)(p)\n"
    "#else\n"
    "#define ONE float\n"
    "#define FOUR float4\n"
    "#define LOAD1(p) GET(p, 0)\n"
    "#define LOAD4(p) GET4(p)\n"
    "#endif\n"
    "\n"
    "/* Of 4 elements at p those that there are. */\n"
    "FOUR four(global const STORED_TYPE *p, const int left)\n"
    "{\n"
    "#if VEC == 4\n"
    "    return left > 0 ? LOAD4(p) : (FOUR)(0);\n"
    "#else\n"
    "    return (FOUR)(left > 0 ? LOAD1(p) : 0, left > 1 ? LOAD1(p + 1) : 0,\n"
    "                  left > 2 ? LOAD1(p + 2) : 0, left > 3 ? LOAD1(p + 3) : 0);\n"
    "#endif\n"
    "}\n"
    "\n"
    "/* What an item keeps of a place of a and b, and the 4 elements there. Lines beyond the edge\n"
    " * are the last ones again; k beyond the last is zero. */\n"
    "#if !CONV\n"
    "#define SPOT int\n"
    "#define SPOT_A(m, k) (FAST_A ? min(m, M - 1) * lda : min(m, M - VEC))\n"
    "#define QUAD_A(spot, m, k) \\\n"
    "    four(a + spot + (FAST_A ? (k) : (k) * lda), \\\n"
    "         FAST_A ? last - (k) : (k) < last ? M - spot : 0)\n"
    "#define NEXT_A(spot)\n"
    "#define SPOT_B(n) (FAST_B ? min(n, N - 1) * ldb : min(n, N - VEC))\n"
    "#define QUAD_B(spot, k) \\\n"
    "    four(b + spot + (FAST_B ? (k) : (k) * ldb), \\\n"
    "         FAST_B ? last - (k) : (k) < last ? N - spot : 0)\n"
    "#endif\n";

static const char cvncl_text_tiled[] =
    "/* While a tile is multiplied the next one is on its way to registers. Items of 32 lie\n"
    " * ACROSS x 32/ACROSS: 8 x 4 of them read 128 bytes of b from local memory, 64 of a. */\n"
    "kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    local float4 la[STAGES * TK * LA / 4], lb[STAGES * TK * LB / 4];\n"
    "    const int t = get_local_id(0), across = IX / ACROSS;\n"
    "    const int tx = t / 32 % across * ACROSS + t % ACROSS;\n"
    "    const int ty = t / 32 / across * (32 / ACROSS) + t % 32 / ACROSS;\n"
    "    float sum[WM][WN];\n"
    "    float4 fa[A4], fb[B4];\n"
    "    SPOT spot_a[A4];\n"
    "    int spot_b[B4], stage = 0;\n"
    "    SETUP\n"
    "    const int m0 = FIRST_M, n0 = FIRST_N;\n"
    "    EACH(l, A4) {\n"
    "        const int e = t + l * ITEMS;\n"
    "        spot_a[l] = SPOT_A(m0 + LINE(FAST_A, e, TM), first + DEEP(FAST_A, e, TM));\n"
    "    }\n"
    "    EACH(l, B4) spot_b[l] = SPOT_B(n0 + LINE(FAST_B, t + l * ITEMS, TN));\n"
    "    EACH(i, WM) EACH(j, WN) sum[i][j] = 0;\n"
    "    for (int next = first; next < last + TK; next += TK) {\n"
    "        EACH(l, A4) {\n"
    "            const int e = t + l * ITEMS;\n"
    "            fa[l] = QUAD_A(spot_a[l], m0 + LINE(FAST_A, e, TM), next + DEEP(FAST_A, e, TM));\n"
    "            NEXT_A(spot_a[l]);\n"
    "        }\n"
    "        EACH(l, B4) fb[l] = QUAD_B(spot_b[l], next + DEEP(FAST_B, t + l * ITEMS, TN));\n"
    "        if (next > first) {\n"
    "            EACH(k, TK) {\n"
    "                float ra[WM], rb[WN];\n"
    "                EACH(i4, WM / 4) {\n"
    "                    const float4 v = la[((stage * TK + k) * LA + ROW(4 * i4)) / 4];\n"
    "                    ra[4 * i4] = v.s0; ra[4 * i4 + 1] = v.s1;\n"
    "                    ra[4 * i4 + 2] = v.s2; ra[4 * i4 + 3] = v.s3;\n"
    "                }\n"
    "                EACH(j4, WN / 4) {\n"
    "                    const float4 v = lb[((stage * TK + k) * LB + COLUMN(4 * j4)) / 4];\n"
    "                    rb[4 * j4] = v.s0; rb[4 * j4 + 1] = v.s1;\n"
    "                    rb[4 * j4 + 2] = v.s2; rb[4 * j4 + 3] = v.s3;\n"
    "                }\n"
    "                EACH(i, WM)\n"
    "                    EACH(j, WN) sum[i][j] += ra[i] * rb[j];\n"
    "            }\n"
    "        }\n"
    "        stage = (stage + 1) % STAGES;\n"
    "        if (STAGES == 1) barrier(CLK_LOCAL_MEM_FENCE);\n"
    "        EACH(l, A4) {\n"
    "            const int e = t + l * ITEMS;\n"
    "            const int at = (stage * TK + DEEP(FAST_A, e, TM)) * LA + LINE(FAST_A, e, TM);\n"
    "            put((local float *)la + at, LA, FAST_A, fa[l]);\n"
    "        }\n"
    "        EACH(l, B4) {\n"
    "            const int e = t + l * ITEMS;\n"
    "            const int at = (stage * TK + DEEP(FAST_B, e, TN)) * LB + LINE(FAST_B, e, TN);\n"
    "            put((local float *)lb + at, LB, FAST_B, fb[l]);\n"
    "        }\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
    "    EACH(j, WN) {\n"
    "        const float v = SHIFT(min(n0 + COLUMN(j), N - 1));\n"
    "        EACH(i, WM) sum[i][j] += v;\n"
    "    }\n";

static const char cvncl_text_tiled_store[] =
    "    EACH(i, WM) {\n"
    "        const int m = m0 + ROW(i);\n"
    "        global const OUT_TYPE *old = ADDED(min(m, M - 1));\n"
    "        global OUT_TYPE *to = TARGET(min(m, M - 1));\n"
    "        EACH(j4, WN / 4) {\n"
    "            const int j = 4 * j4, n = n0 + COLUMN(j);\n"
    "            float4 v = (float4)(sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]);\n"
    "            if (WHOLE(4) && m < M && n < N) {\n"
    "                if (old) v += GET4(old + n);\n"
    "                v = (float4)(LAST(v.s0), LAST(v.s1), LAST(v.s2), LAST(v.s3));\n"
    "                OUT_SET4(to + n, v);\n"
    "            } else if (m < M) {\n"
    "                EACH(l, 4)\n"
    "                    if (n + l < N)\n"
    "                        OUT_SET(to, n + l,\n"
    "                                LAST(sum[i][j + l] + (old ? GET(old, n + l) : 0)));\n"
    "            }\n"
    "        }\n"
    "    }\n"
    "}\n";

typedef enum cvncl_kind {
    CVNCL_BY_ROWS, CVNCL_BY_DOTS, CVNCL_BY_TILED, CVNCL_BY_MMA, CVNCL_BY_WGMMA
} cvncl_kind;

/* How the matrices lie, a then b: along k, or m and n. The last two are the products of a
 * convolution, both passes and the weights' gradient (>>cl-conv), which have their own loaders. */
enum {
    CVNCL_GEMM_MN, CVNCL_GEMM_MK, CVNCL_GEMM_KN, CVNCL_GEMM_KK,
    CVNCL_LAYOUT_GATHER = 4 + CVNCL_GEMM_KN, CVNCL_LAYOUT_WEIGHTS = 8 + CVNCL_GEMM_MN
};

/* wide: elements of DOTS' vectors, stages of the others; registers: at most that many an item,
 * where the compiler takes such an option. MMA: tile.k is in 4 bytes, a float or two narrow
 * numbers. WGMMA: item_m 64; item_n 64, 128 or 256; m * k and n * k are 16 elements an item, or a
 * multiple. */
typedef struct cvncl_way {
    cvncl_kind kind;
    cvncl_tile tile;
    int wide, registers;
} cvncl_way;

enum {                          /* in the order of cvncl_ways */
    CVNCL_ROWS_8X16, CVNCL_ROWS_4X16, CVNCL_ROWS_64X64, CVNCL_ROWS_32X32, CVNCL_ROWS_16X16,
    CVNCL_DOTS_4X4, CVNCL_DOTS_32X32, CVNCL_TILED_128X128, CVNCL_TILED_64X64, CVNCL_TILED_32X64,
    CVNCL_TILED_32X32, CVNCL_TILED_128X16, CVNCL_TILED_128X32, CVNCL_MMA_128X128, CVNCL_MMA_64X64,
    CVNCL_WGMMA_128X128, CVNCL_WGMMA_64X64,
    CVNCL_STARTS
};

/* The first CVNCL_STARTS are for cvncl_vendors, all for the tuner. */
static const cvncl_way cvncl_ways[] = {
    { CVNCL_BY_ROWS, { 8, 16, 1, 8, 16 }, 1, 0 }, { CVNCL_BY_ROWS, { 4, 16, 1, 4, 16 }, 1, 0 },
    { CVNCL_BY_ROWS, { 64, 64, 1, 8, 8 }, 1, 0 }, { CVNCL_BY_ROWS, { 32, 32, 1, 4, 4 }, 1, 0 },
    { CVNCL_BY_ROWS, { 16, 16, 1, 4, 4 }, 1, 0 }, { CVNCL_BY_DOTS, { 4, 4, 1, 4, 4 }, 8, 0 },
    { CVNCL_BY_DOTS, { 32, 32, 1, 4, 4 }, 4, 0 }, { CVNCL_BY_TILED, { 128, 128, 16, 8, 8 }, 2, 0 },
    { CVNCL_BY_TILED, { 64, 64, 16, 8, 8 }, 2, 0 }, { CVNCL_BY_TILED, { 32, 64, 16, 4, 4 }, 2, 0 },
    { CVNCL_BY_TILED, { 32, 32, 32, 4, 4 }, 1, 0 },
    { CVNCL_BY_TILED, { 128, 16, 16, 8, 4 }, 2, 0 },
    { CVNCL_BY_TILED, { 128, 32, 16, 8, 4 }, 2, 0 },
    { CVNCL_BY_MMA, { 128, 128, 16, 64, 64 }, 3, 0 },
    { CVNCL_BY_MMA, { 64, 64, 16, 32, 32 }, 3, 0 },
    { CVNCL_BY_WGMMA, { 128, 128, 32, 64, 128 }, 3, 0 },
    { CVNCL_BY_WGMMA, { 64, 64, 32, 64, 64 }, 3, 0 },

    { CVNCL_BY_ROWS, { 16, 16, 1, 16, 16 }, 1, 0 }, { CVNCL_BY_ROWS, { 64, 128, 1, 8, 16 }, 1, 0 },
    { CVNCL_BY_DOTS, { 4, 4, 1, 4, 4 }, 16, 0 }, { CVNCL_BY_DOTS, { 16, 16, 1, 4, 4 }, 8, 0 },
    { CVNCL_BY_TILED, { 128, 128, 16, 8, 8 }, 2, 128 },
    { CVNCL_BY_TILED, { 128, 128, 8, 8, 8 }, 2, 128 },
    { CVNCL_BY_TILED, { 128, 128, 16, 8, 8 }, 1, 0 },
    { CVNCL_BY_TILED, { 128, 64, 16, 8, 8 }, 2, 0 },
    { CVNCL_BY_TILED, { 64, 128, 16, 8, 8 }, 2, 0 },
    { CVNCL_BY_TILED, { 128, 256, 8, 8, 16 }, 2, 0 },
    { CVNCL_BY_TILED, { 64, 64, 16, 4, 4 }, 2, 0 }, { CVNCL_BY_TILED, { 64, 64, 32, 8, 8 }, 1, 0 },
    { CVNCL_BY_MMA, { 128, 128, 32, 64, 64 }, 3, 0 },
    { CVNCL_BY_MMA, { 128, 128, 16, 64, 32 }, 3, 0 },
    { CVNCL_BY_MMA, { 128, 128, 32, 64, 32 }, 2, 0 },
    { CVNCL_BY_MMA, { 128, 64, 32, 64, 32 }, 2, 0 },
    { CVNCL_BY_MMA, { 128, 256, 16, 64, 64 }, 4, 0 },
    { CVNCL_BY_MMA, { 128, 256, 32, 64, 64 }, 3, 0 },
    { CVNCL_BY_MMA, { 64, 128, 16, 32, 64 }, 3, 0 }, { CVNCL_BY_MMA, { 64, 64, 32, 32, 32 }, 2, 0 },
    { CVNCL_BY_WGMMA, { 128, 256, 32, 64, 256 }, 2, 0 },
    { CVNCL_BY_WGMMA, { 128, 256, 32, 64, 256 }, 3, 0 },
    { CVNCL_BY_WGMMA, { 128, 128, 32, 64, 128 }, 2, 0 },
    { CVNCL_BY_WGMMA, { 128, 128, 32, 64, 128 }, 3, 128 },
    { CVNCL_BY_WGMMA, { 64, 128, 32, 64, 128 }, 3, 0 },
    { CVNCL_BY_WGMMA, { 128, 128, 64, 64, 128 }, 3, 0 },     /* these two: of 16 bits */
    { CVNCL_BY_WGMMA, { 128, 64, 64, 64, 64 }, 3, 0 }
};
enum { CVNCL_WAYS = sizeof cvncl_ways / sizeof cvncl_ways[0] };

/* By vendor (CL_DEVICE_VENDOR_ID): whether products go through local memory; ways for large and
 * smaller products; the way for both matrices along k without local memory. Measured on a CPU
 * alone; the others are what the field has found for such devices. */
typedef struct cvncl_vendor {
    uint32_t vendor;
    int local, way[3], dots;
} cvncl_vendor;

static const cvncl_vendor cvncl_vendors[] = {
    { 0x10DE, 1, { CVNCL_TILED_128X128, CVNCL_TILED_64X64, CVNCL_TILED_32X64 }, 0 },   /* NVIDIA */
    { 0x1002, 1, { CVNCL_TILED_128X128, CVNCL_TILED_64X64, CVNCL_TILED_32X32 }, 0 },   /* AMD */
    { 0x8086, 0, { CVNCL_ROWS_64X64, CVNCL_ROWS_32X32, CVNCL_ROWS_16X16 },             /* Intel */
      CVNCL_DOTS_32X32 },
    { 0x13B5, 0, { CVNCL_ROWS_32X32, CVNCL_ROWS_32X32, CVNCL_ROWS_16X16 },             /* Mali */
      CVNCL_DOTS_32X32 },
    { 0x5143, 0, { CVNCL_ROWS_64X64, CVNCL_ROWS_32X32, CVNCL_ROWS_16X16 },             /* Adreno */
      CVNCL_DOTS_32X32 },
    { 0x1027F00, 1, { CVNCL_TILED_64X64, CVNCL_TILED_32X64, CVNCL_TILED_32X32 }, 0 },  /* Apple */
    { 0, 1, { CVNCL_TILED_128X128, CVNCL_TILED_64X64, CVNCL_TILED_32X64 }, 0 },        /* others */
};
/* without local memory: a CPU, another GPU */
static const cvncl_vendor cvncl_any_cpu = {
    0, 0, { CVNCL_ROWS_8X16, CVNCL_ROWS_8X16, CVNCL_ROWS_4X16 }, CVNCL_DOTS_4X4
};
static const cvncl_vendor cvncl_any_plain = {
    0, 0, { CVNCL_ROWS_64X64, CVNCL_ROWS_32X32, CVNCL_ROWS_16X16 }, CVNCL_DOTS_32X32
};

/* A kernel that has been built; NULL: it cannot be. vector: 8, 4 or 1, see VEC. */
typedef struct cvncl_built {
    struct cvncl_built *next;
    int way, layout, vector;
    void *program, *kernel;
} cvncl_built;

static const cvncl_vendor *cvncl_vendor_of(uint32_t vendor, int is_cpu, int local)
{
    const cvncl_vendor *s = cvncl_vendors;
    while (s->vendor && s->vendor != vendor) s++;
    if (is_cpu && local <= 0) return &cvncl_any_cpu;
    if (local < 0 || !(s->local || local > 0)) return s->local ? &cvncl_any_plain : s;
    return s->local ? s : &cvncl_vendors[sizeof cvncl_vendors / sizeof cvncl_vendors[0] - 1];
}

static int cvncl_items(const cvncl_way *w)
{
    return w->tile.m / w->tile.item_m * (w->tile.n / w->tile.item_n) *
           (w->kind == CVNCL_BY_MMA ? 32 : w->kind == CVNCL_BY_WGMMA ? 128 : 1);
}

/* Bytes of local memory; twice what WGMMA takes with bf16. */
static int cvncl_way_local(const cvncl_way *w)
{
    const int pad = w->kind == CVNCL_BY_TILED ? 8 : 0;
    return w->kind < CVNCL_BY_TILED ? 0
                                 : w->wide * w->tile.k * (w->tile.m + w->tile.n + pad) * 4;
}

enum { CVNCL_FP16 = CVNCL_BF16 + 1 };    /* factors, behind what cvncl_desc.precision can be */

/* The numbers that a product multiplies on matrix units; CVNCL_FP32: it may not. Narrow images
 * stay as they are, and their convolutions' weights get their type, if the precision lets them:
 * fp16 has as many bits as tf32. */
static int cvncl_factors(const cvncl_backend *b, int layout)
{
    if (layout < 4 || b->storage == CVNCL_STORE_FP32 || b->precision == CVNCL_FP32)
        return b->precision;
    if (b->storage == CVNCL_STORE_FP16) return CVNCL_FP16;
    return b->precision == CVNCL_BF16 ? CVNCL_BF16 : CVNCL_FP32;
}

/* Operands of a product that are images are narrow. */
static int cvncl_has_narrow(const cvncl_backend *b, int layout)
{
    return layout > 3 && b->storage != CVNCL_STORE_FP32;
}

/* Weights in the order of a gather are numbers as of narrow images, whatever way reads them. */
static int cvncl_packs_narrow(const cvncl_backend *b)
{
    return cvncl_has_narrow(b, CVNCL_LAYOUT_GATHER) &&
           cvncl_factors(b, CVNCL_LAYOUT_GATHER) != CVNCL_FP32;
}

/* Whether a way brings narrow factors to matrix units as they are, 16 bytes at a time. */
static int cvncl_way_copies(const cvncl_backend *b, const cvncl_way *w, int layout, int vector)
{
    return w->kind >= CVNCL_BY_MMA && cvncl_has_narrow(b, layout) && vector == 8;
}

/* Whether a way can be tried: of matrix units' local memory the device tells too little. WGMMA: a
 * line of a tile has 128 bytes at most. */
static int cvncl_way_fits(const cvncl_backend *b, const cvncl_way *w, int layout, int vector)
{
    const int factors = cvncl_factors(b, layout);
    if ((uint64_t)cvncl_items(w) > b->max_group) return 0;
    if (w->kind == CVNCL_BY_DOTS) return layout == CVNCL_GEMM_KK && !b->local;
    if (w->kind == CVNCL_BY_ROWS) return !b->local;
    if (w->kind == CVNCL_BY_WGMMA &&
        (b->no_wgmma || w->tile.k * (factors > CVNCL_TF32 ? 2 : 4) > 128))
        return 0;
    if (w->kind >= CVNCL_BY_MMA)
        return factors != CVNCL_FP32 &&
               (w->kind == CVNCL_BY_WGMMA || vector == (cvncl_has_narrow(b, layout) ? 8 : 4)) &&
               (!b->emulate || (uint64_t)cvncl_way_local(w) + 4096 <= b->local_bytes);
    return b->local && (uint64_t)cvncl_way_local(w) <= b->local_bytes;
}

/* The vectors that a way's loaders know. */
static int cvncl_way_vector(const cvncl_way *w, int vector)
{
    if (w->kind < CVNCL_BY_TILED) return 1;
    return w->kind >= CVNCL_BY_MMA ? vector : cvni_min(vector, 4);
}

static void cvncl_way_options(const cvncl_backend *b, const cvncl_way *w, int layout, int vector,
                              char *text, size_t room)
{
    const int wide = w->kind == CVNCL_BY_DOTS ? w->wide : w->tile.item_n;
    const int narrow = cvncl_has_narrow(b, layout);
    const int length = snprintf(text, room,
        "-cl-std=CL1.2 -cl-mad-enable -DWG=64 -DFAST_A=%d -DFAST_B=%d -DVEC=%d -DTM=%d -DTN=%d "
        "-DTK=%d -DWM=%d -DWN=%d -DUNROLL=%d -DCONV=%d -DSTORED=%d -DPACKED=%d ", layout % 4 / 2,
        layout % 2, cvncl_way_vector(w, vector), w->tile.m, w->tile.n,
        w->tile.k << (w->kind == CVNCL_BY_MMA && narrow), w->tile.item_m, w->tile.item_n,
        !b->is_cpu || w->kind < CVNCL_BY_TILED, layout / 4, narrow ? b->storage : 0,
        cvncl_packs_narrow(b));
    char *end = text + length;
    room -= (size_t)length;
    if (w->kind < CVNCL_BY_TILED)
        snprintf(end, room, "-DDOTS=%d -DWIDE=%d -DVECTOR=float%d -DVLOAD=vload%d "
                 "-DVSTORE=vstore%d", w->kind == CVNCL_BY_DOTS, wide, wide, wide, wide);
    else
        snprintf(end, room, "-DSTAGES=%d -DFACTORS=%d -DEMULATE=%d%s", w->wide,
                 cvncl_factors(b, layout), b->emulate,
                 w->registers && b->register_option ? " -cl-nv-maxrregcount=128" : "");
}

static uint32_t cvncl_way_texts(const cvncl_backend *b, const cvncl_way *w, int layout,
                                int vector, const char **texts);            /* >>cl-conv */
static int cvncl_mma_works(cvncl_backend *b, cvncl_built *built);
static void *cvncl_spliced_program(cvncl_backend *b, void *program, const char *options,
                                   int32_t *status);                        /* >>cl-wgmma */

static cvncl_built *cvncl_find_built(const cvncl_backend *b, int way, int layout, int vector)
{
    cvncl_built *built = b->built;
    while (built && (built->way != way || built->layout != layout || built->vector != vector))
        built = built->next;
    return built;
}

/* The program of a way, kept or not; *status is what the compiler or clCreateKernel says. */
static void *cvncl_way_program(cvncl_backend *b, int way, int layout, int vector, void **program,
                               int32_t *status)
{
    const int spliced = cvncl_ways[way].kind == CVNCL_BY_WGMMA && !b->emulate;
    const char *texts[CVNCL_MAX_TEXTS];
    const uint32_t count = cvncl_way_texts(b, &cvncl_ways[way], layout, vector, texts);
    char options[400];
    void *kernel = NULL;
    cvncl_way_options(b, &cvncl_ways[way], layout, vector, options, sizeof options);
#ifndef CONVNET_NO_STDIO
    *program = cvncl_kept_program(b, texts, count, options, spliced);
    if (*program) kernel = b->api.CreateKernel(*program, "product", status);
    if (kernel) return kernel;
    if (*program) b->api.ReleaseProgram(*program);
#endif
    *program = b->api.CreateProgramWithSource(b->context, count, texts, NULL, status);
    if (!*program) return NULL;
    *status = b->api.BuildProgram(*program, 1, &b->device, options, NULL, NULL);
    if (*status == 0 && spliced) *program = cvncl_spliced_program(b, *program, options, status);
    if (*status == 0) kernel = b->api.CreateKernel(*program, "product", status);
#ifndef CONVNET_NO_STDIO
    if (kernel) cvncl_keep_program(b, *program, texts, count, options, spliced);
#endif
    return kernel;
}

static void cvncl_drop_built(cvncl_backend *b, cvncl_built *built)
{
    if (built->kernel) b->api.ReleaseKernel(built->kernel);
    if (built->program) b->api.ReleaseProgram(built->program);
    built->kernel = built->program = NULL;
}

/* The kernel of a way; where there is none, it is not tried again. NULL: memory is out. */
static cvncl_built *cvncl_get_built(cvncl_backend *b, int way, int layout, int vector)
{
    cvncl_built *built;
    int32_t status = 0;
    vector = cvncl_way_vector(&cvncl_ways[way], vector);
    built = cvncl_find_built(b, way, layout, vector);
    if (built) return built;
    built = (cvncl_built *)CONVNET_MALLOC(sizeof *built);
    if (!built) return NULL;
    memset(built, 0, sizeof *built);
    built->way = way;
    built->layout = layout;
    built->vector = vector;
    built->kernel = cvncl_way_program(b, way, layout, vector, &built->program, &status);
    if (cvncl_ways[way].kind >= CVNCL_BY_MMA && (!built->kernel || !cvncl_mma_works(b, built)))
        cvncl_drop_built(b, built);
    built->next = b->built;
    b->built = built;
    return built;
}

/* What a product is for choosing a way: a tuned choice serves all of one class. taps: of a
 * convolution, whose channels times taps are K, of the weights' gradient M. */
typedef struct cvncl_class {
    int layout, vector, batch, M, N, K, taps;
} cvncl_class;

/* Rows as a way's items have them: ROWS has those of one tap together. */
static int cvncl_way_rows(const cvncl_way *w, const cvncl_class *c)
{
    const int item = w->tile.item_m;
    const int channels = c->M / cvni_max(1, c->taps);
    if (w->kind != CVNCL_BY_ROWS || c->layout != CVNCL_LAYOUT_WEIGHTS || channels < item)
        return c->M;
    return c->taps * cvni_ceil_div(channels, item) * item;
}

static int32_t cvncl_run_built(cvncl_backend *b, const cvncl_built *built, const cvncl_class *c)
{
    const cvncl_way *w = &cvncl_ways[built->way];
    const cvncl_tile *t = &w->tile;
    const int plain = w->kind < CVNCL_BY_TILED;
    const size_t tiles = (size_t)cvni_ceil_div(c->N, t->n) *
                         (size_t)cvni_ceil_div(cvncl_way_rows(w, c), t->m);
    const size_t local[3] = { (size_t)(plain ? t->n / t->item_n : cvncl_items(w)),
                              (size_t)(plain ? t->m / t->item_m : 1), 1 };
    const size_t global[3] = { tiles * local[0], local[1], (size_t)c->batch };
    return b->api.EnqueueNDRangeKernel(b->queue, built->kernel, 3, NULL, global, local, 0, NULL,
                                       NULL);
}

/* Whether a tile suits a product: little of it unused, and enough of them. The columns of a
 * convolution are padded, so there a single item is never too wide. */
static int cvncl_tile_suits(const cvncl_backend *b, const cvncl_tile *t, const cvncl_class *c)
{
    const double tiles = (double)cvni_ceil_div(c->M, t->m) * cvni_ceil_div(c->N, t->n) * c->batch;
    const int wide = 4 * c->N >= 3 * t->n || (c->layout > 3 && t->n == t->item_n);
    return 4 * c->M >= 3 * t->m && wide && tiles >= b->units;
}

static int cvncl_tuned(const cvncl_backend *b, const cvncl_class *c);       /* >>cl-tune */
static void cvncl_tune(cvncl_backend *b, const cvncl_class *c);

/* Ways on matrix units, the likely best first: for large products, for smaller ones. */
static const int cvncl_matrix_ways[2][2] = { { CVNCL_WGMMA_128X128, CVNCL_MMA_128X128 },
                                             { CVNCL_WGMMA_64X64, CVNCL_MMA_64X64 } };

/* The i-th way to try, the likely best first; -1: none left. */
static int cvncl_nth_way(const cvncl_backend *b, const cvncl_class *c, int i)
{
    const cvncl_vendor *s = b->vendor;
    int ways[12];
    int count = 0;
    const int tuned = cvncl_tuned(b, c);
    if (tuned >= 0) ways[count++] = tuned;
    if (b->precision != CVNCL_FP32 && c->M >= 32 && c->N >= 32) {
        const int *large = cvncl_matrix_ways[0], *small = cvncl_matrix_ways[1];
        if (cvncl_tile_suits(b, &cvncl_ways[large[0]].tile, c))
            for (int j = 0; j < 2; j++) ways[count++] = large[j];
        for (int j = 0; j < 2; j++) ways[count++] = small[j];
    }
    if (s->dots && c->layout == CVNCL_GEMM_KK) ways[count++] = s->dots;
    for (int j = CVNCL_TILED_128X16; j <= CVNCL_TILED_128X32 && b->local; j++)
        if (c->N <= cvncl_ways[j].tile.n && cvncl_tile_suits(b, &cvncl_ways[j].tile, c))
            ways[count++] = j;
    for (int j = 0; j < 2; j++)
        if (cvncl_tile_suits(b, &cvncl_ways[s->way[j]].tile, c))
            ways[count++] = s->way[j];
    ways[count++] = s->way[2];
    return i < count ? ways[i] : -1;
}

/* The kernel for a product; NULL: none that can be built. */
static const cvncl_built *cvncl_choose_built(cvncl_backend *b, const cvncl_class *c)
{
    int way;
    for (int i = 0; (way = cvncl_nth_way(b, c, i)) >= 0; i++) {
        const cvncl_built *built =
            cvncl_way_fits(b, &cvncl_ways[way], c->layout, c->vector)
                ? cvncl_get_built(b, way, c->layout, c->vector) : NULL;
        if (built && built->kernel) return built;
    }
    return NULL;
}

/* What follows a convolution, product, norm or sum on its store; act NULL: nothing. */
static void cvncl_clamp(const cvni_layer *act, float *slope, float *most)
{
    *slope = 1;
    *most = INFINITY;
    if (act) cvni_clamp_of(act, slope, most);
}

/* c[z][m*ldc + n] = act(sum over k of a[z][m*am + k*ak]*b[z][k*bk + n*bn] + bias[n] +
 * with[z][m*ldc + n]), or, add, += the sum; z: `batch` of them (0: one), az, bz, cz apart. Of am
 * and ak one is 1, of bk and bn too; the layout tells which. with NULL: without. slices > 1: of
 * `length` elements of k each, summed in the work; without a batch. stats: see the kernels' text;
 * NULL: none; without slices and without `with`. */
typedef struct cvncl_product {
    int M, N, K, am, ak, bk, bn, ldc, add;
    const float *a, *b, *bias;
    float *c, *stats;
    const cvni_layer *act;
    const float *with;
    int batch, az, bz, cz;
    int slices, length;
} cvncl_product;

/* A product whose matrices begin at a and b, in elements. */
static cvncl_class cvncl_class_of(int layout, const cvncl_product *p, size_t a, size_t b)
{
    const int a_k = layout / 2;
    const int b_k = layout % 2;
    const int ends = (a_k ? p->am | p->K : p->ak | p->M) | (b_k ? p->bn | p->K : p->bk | p->N);
    cvncl_class c;
    c.layout = layout;
    c.batch = p->slices > 1 ? p->slices : cvni_max(1, p->batch);
    c.vector = (a | b | (size_t)(ends | p->az | p->bz)) & 3 ? 1 : 4;
    c.M = p->M;
    c.N = p->N;
    c.K = p->slices > 1 ? p->length : p->K;
    c.taps = 0;
    return c;
}

/* Why the last way that was tried does not build. */
static cvn_result cvncl_no_way(cvn_net *net, const cvncl_class *c)
{
    cvncl_backend *b = cvncl_of(net);
    const int way = b->vendor->way[2];
    char options[400], log[sizeof net->message] = "";
    void *program;
    int32_t status = 0;
    void *kernel = cvncl_way_program(b, way, c->layout, c->vector, &program, &status);
    cvn_result result;
    cvncl_way_options(b, &cvncl_ways[way], c->layout, c->vector, options, sizeof options);
    if (program) cvncl_build_log(b, program, log, sizeof log);
    result = cvni_fail(net, CVN_ERROR_UNSUPPORTED,
                       "OpenCL, %s, driver %s: kernel 'product' (%s) does not build (%d): %s",
                       b->name, b->driver, options, (int)status, log);
    if (kernel) b->api.ReleaseKernel(kernel);
    if (program) b->api.ReleaseProgram(program);
    return result;
}

static cvn_result cvncl_product_failed(cvn_net *net, const cvncl_built *built, int32_t status)
{
    char options[400], text[440];
    cvncl_way_options(cvncl_of(net), &cvncl_ways[built->way], built->layout, built->vector, options,
                      sizeof options);
    snprintf(text, sizeof text, "kernel product (%s)", options);
    return cvncl_fail(net, text, status);
}

/* Arguments as for cvncl_arguments. */
static cvn_result cvncl_run_product(cvn_net *net, const cvncl_built *built, const cvncl_class *c,
                                    const char *format, ...)
{
    int32_t status;
    va_list args;
    va_start(args, format);
    status = cvncl_arguments(net, built->kernel, format, args);
    va_end(args);
    if (status == 0) status = cvncl_run_built(cvncl_of(net), built, c);
    return status == 0 ? CVN_OK : cvncl_product_failed(net, built, status);
}

/* Slices into which K is cut where a product has too few elements for the device: no shorter ones
 * than `least`. The same whatever way is taken, for they decide about rounding. */
static int cvncl_slices(const cvncl_backend *b, double elements, int K, int least)
{
    const double wanted = (b->local || !b->is_cpu ? 32768.0 : 512.0) * b->units;
    return cvni_max(1, cvni_min(cvni_min(K / least, 256), (int)ceil(wanted / elements)));
}

/* A sum of slices that lie in the work, into p. */
static cvn_result cvncl_product_sum(cvn_net *net, const cvncl_product *p, float slope, float most)
{
    const int count = p->M * p->N;
    return cvncl_groups(net, CVNCL_PRODUCT_SUM, cvncl_sum_groups(net, count), "wpppiiiiff", 0,
                        p->bias, p->add ? p->c : p->with, p->c, count, p->slices, p->N, p->ldc,
                        (double)slope, (double)most);
}

static cvn_result cvncl_gemm(cvn_net *net, int layout, const cvncl_product *p)
{
    const uintptr_t base = (uintptr_t)net->arena;
    const int lda = layout / 2 ? p->am : p->ak;
    const int ldb = layout % 2 ? p->bn : p->bk;
    const cvncl_class c = cvncl_class_of(layout, p, ((uintptr_t)p->a - base) / sizeof(float),
                                         ((uintptr_t)p->b - base) / sizeof(float));
    const cvncl_built *built;
    float slope, most;
    cvn_result result;
    if (p->M <= 0 || p->N <= 0) return CVN_OK;
    built = cvncl_choose_built(cvncl_of(net), &c);
    if (!built) return cvncl_no_way(net, &c);
    cvncl_clamp(p->act, &slope, &most);
    if (p->slices < 2)
        return cvncl_run_product(net, built, &c, "pppppp" "iiiiiiiiii" "ff", p->a, p->b, p->bias,
                                 p->add ? p->c : p->with, p->c, p->stats, p->M, p->N, p->K, lda,
                                 p->az, ldb, p->bz, p->ldc, p->cz, p->K, (double)slope,
                                 (double)most);
    result = cvncl_run_product(net, built, &c, "ppppwp" "iiiiiiiiii" "ff", p->a, p->b, NULL, NULL,
                               0, NULL, p->M, p->N, p->K, lda, 0, ldb, 0, p->N, p->M * p->N,
                               p->length, 1.0, (double)INFINITY);
    return result == CVN_OK ? cvncl_product_sum(net, p, slope, most) : result;
}

/* Slices into which sums over the rows of a matrix [rows, C] are cut, an item each element of
 * [slices, C]: enough items for the device, no short sums. */
static int cvncl_column_slices(const cvncl_backend *b, int rows, int C)
{
    return cvni_max(1, cvni_min(cvni_ceil_div(1024 * b->units, C), cvni_min(rows / 64, 1024)));
}

static size_t cvncl_column_work(const cvncl_backend *b, int rows, int C)
{
    return (size_t)cvncl_column_slices(b, rows, C) * (size_t)C;
}

/* What sums of the gradients of the layer that runs are times in gradients of parameters: place of
 * a number among the tables, or -1 for 1. */
static int cvncl_gradient_factor(const cvn_net *net)
{
    const cvncl_net *d = cvncl_net_of(net);
    return d->narrow ? cvncl_number_at(d, CVNCL_INVERSE) : -1;
}

/* db += the sums of dy [rows, C] over the rows */
static cvn_result cvncl_bias_gradient(cvn_net *net, const float *dy, float *db, int rows, int C)
{
    const cvncl_backend *b = cvncl_of(net);
    const int slices = cvncl_column_slices(b, rows, C);
    cvn_result result;
    if (rows <= 256 && b->storage == CVNCL_STORE_FP32)      /* rows are parts enough */
        return cvncl_groups(net, CVNCL_COLUMN_SUMS, C, "ppiit", dy, db, C, rows,
                            cvncl_gradient_factor(net));
    result = cvncl_each(net, CVNCL_COLUMN_PARTS, slices * C, "xwiiii", dy, 0, slices * C, rows, C,
                        cvni_ceil_div(rows, slices));
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_COLUMN_SUMS, C, "wpiit", 0, db, C, slices,
                        cvncl_gradient_factor(net));
}

/* The products of a dense layer: layout by layout y, dw, dx; pointers are the caller's. */
static cvncl_product cvncl_dense_product(const cvncl_backend *b, const cvni_dense *d, int layout)
{
    cvncl_product p;
    memset(&p, 0, sizeof p);
    p.M = layout == CVNCL_GEMM_MN ? d->units : d->rows;
    p.N = p.ldc = layout == CVNCL_GEMM_KK ? d->units : d->in;
    p.K = layout == CVNCL_GEMM_MN ? d->rows : layout == CVNCL_GEMM_KN ? d->units : d->in;
    p.am = layout == CVNCL_GEMM_MN ? 1 : p.K;
    p.ak = layout == CVNCL_GEMM_MN ? p.M : 1;
    p.bk = layout == CVNCL_GEMM_KK ? 1 : p.N;
    p.bn = layout == CVNCL_GEMM_KK ? p.K : 1;
    p.length = cvni_ceil_div(p.K, cvncl_slices(b, (double)p.M * p.N, p.K, 128));
    p.length = cvni_ceil_div(p.length, 32) * 32;        /* whole steps of all tiles */
    p.slices = cvni_ceil_div(p.K, p.length);
    return p;
}

static const int cvncl_dense_layouts[] = { CVNCL_GEMM_KK, CVNCL_GEMM_MN, CVNCL_GEMM_KN };

/* Floats of work for the products of a dense layer, and the gradient of its bias. */
static size_t cvncl_products_work(const cvncl_backend *b, const cvni_dense *d)
{
    size_t work = cvncl_column_work(b, d->rows, d->units);
    for (int i = 0; i < 3; i++) {
        const cvncl_product p = cvncl_dense_product(b, d, cvncl_dense_layouts[i]);
        if (p.slices > 1)
            work = cvni_max_size(work, cvni_mul_size((size_t)p.slices,
                                                     cvni_mul_size((size_t)p.M, (size_t)p.N)));
    }
    return work;
}

static size_t cvncl_dense_work(cvn_net *net, const cvni_layer *l)
{
    const cvni_dense d = cvni_dense_of(net, l);
    return cvncl_products_work(cvncl_of(net), &d);
}

/* A kernel for a class, tuned where that is wanted: before the first step, not in it. */
static cvn_result cvncl_need_class(cvn_net *net, const cvncl_class *c)
{
    cvncl_tune(cvncl_of(net), c);
    return cvncl_choose_built(cvncl_of(net), c) ? CVN_OK : cvncl_no_way(net, c);
}

/* The same for a product of a dense layer; b: where its second matrix begins, in elements. */
static cvn_result cvncl_need_dense(cvn_net *net, const cvni_dense *d, int layout, size_t b)
{
    const cvncl_product p = cvncl_dense_product(cvncl_of(net), d, layout);
    const cvncl_class c = cvncl_class_of(layout, &p, 0, b);
    return cvncl_need_class(net, &c);
}

static cvn_result cvncl_need_conv(cvn_net *net, const cvni_layer *l, int train);    /* >>cl-conv */

static cvn_result cvncl_need_products(cvn_net *net, int train)
{
    cvn_result result = CVN_OK;
    for (int id = 1; id < net->layer_count && result == CVN_OK; id++) {
        const cvni_layer *l = &net->layers[id];
        if (cvni_is_conv(l) || cvni_outputs_second(l)) result = cvncl_need_conv(net, l, train);
        if (l->op != &cvni_op_dense) continue;
        for (int i = 0; i < (train ? 3 : 1) && result == CVN_OK; i++) {
            const int layout = cvncl_dense_layouts[i];      /* activations are aligned */
            const size_t weight = layout == CVNCL_GEMM_MN ? 0 : net->params[l->param[0]].offset;
            const cvni_dense d = cvni_dense_of(net, l);
            result = cvncl_need_dense(net, &d, layout, weight);
        }
    }
    return result;
}

/* What a dense layer or convolution reads and writes: c = act(the product of a and b + bias +
 * with); with may be c, bias, with, stats and act NULL. */
typedef struct cvncl_terms {
    const float *a, *b, *bias, *with;
    float *c, *stats;
    const cvni_layer *act;
} cvncl_terms;

/* Of a gradient: c (+)= the product. */
static cvncl_terms cvncl_gradient_terms(const float *a, const float *b, float *c, int add)
{
    cvncl_terms o;
    memset(&o, 0, sizeof o);
    o.a = a;
    o.b = b;
    o.c = c;
    o.with = add ? c : NULL;
    return o;
}

/* Of a forward pass, with what the plan has put on its store. */
static cvncl_terms cvncl_forward_terms(cvn_net *net, cvni_layer *l)
{
    cvncl_terms o = cvncl_gradient_terms(cvni_in(net, l, 0)->y, cvni_run_weight(net, l), l->y, 0);
    o.bias = cvni_run_bias(net, l);
    o.act = cvni_activation(net, l);
    if (l->place.residual) o.with = net->layers[l->place.residual].y;
    return o;
}

/* One of the three products. */
static cvn_result cvncl_run_dense(cvn_net *net, const cvni_dense *d, int layout,
                                  const cvncl_terms *o)
{
    cvncl_product p = cvncl_dense_product(cvncl_of(net), d, layout);
    p.a = o->a;
    p.b = o->b;
    p.bias = o->bias;
    p.with = o->with;
    p.c = o->c;
    p.stats = o->stats;
    p.act = o->act;
    return cvncl_gemm(net, layout, &p);
}

static cvn_result cvncl_dense_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_dense d = cvni_dense_of(net, l);
    const cvncl_terms o = cvncl_forward_terms(net, l);
    return cvncl_run_dense(net, &d, CVNCL_GEMM_KK, &o);
}

static cvn_result cvncl_dense_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_dense d = cvni_dense_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    float *dw = cvni_weights_grad(net, l, 0);
    float *db = cvni_weights_grad(net, l, 1);
    const cvncl_terms of_weights = cvncl_gradient_terms(l->dy, x->y, dw, 1);
    cvncl_terms of_x;
    float *dx;
    int add;
    cvn_result result = CVN_OK;
    if (db) result = cvncl_bias_gradient(net, l->dy, db, d.rows, d.units);
    if (dw && result == CVN_OK) result = cvncl_run_dense(net, &d, CVNCL_GEMM_MN, &of_weights);
    dx = cvni_gradient_for(x, &add);
    if (!dx || result != CVN_OK) return result;
    of_x = cvncl_gradient_terms(l->dy, cvni_weights(net, l, 0), dx, add);
    return cvncl_run_dense(net, &d, CVNCL_GEMM_KN, &of_x);
}

/* ================================================================================================
 * >>cl-mma   products and convolutions on NVIDIA's matrix units, by inline PTX
 * ==============================================================================================
 *   mma.sync m16n8k8 (tf32) and m16n8k16 (bf16, fp16), with copies to local memory that go by
 *   themselves (cp.async): PTX ISA, "Warp-level matrix instructions" and "Data movement". The
 *   driver's OpenCL has no other way to them. Floats are rounded on their way to registers; narrow
 *   images, and weights packed so, are copied and multiplied as they are. Whether it works is
 *   tried: each kernel multiplies once and is compared with the plain one. Built with EMULATE the
 *   same kernel runs anywhere, slowly. */

static const char cvncl_text_mma_layout[] =
    "#define ITEMS (32 * IX * IY)\n"
    "#define DEPTH (HALVES ? 16 : 8)     /* of one instruction */\n"
    "#define ROW(i, l) (16 * (i) + (l) / 2 * 8)\n"
    "#define COLUMN(j, l) (8 * (j) + (l) % 2)\n"
    "#define BLOCKS (WM / 16)            /* of 16 lines, of a warp */\n"
    "#define OWN_LINE (t / 32 / IX * 8 + t % 32 / 4)\n"
    "#define OWN_LINES (8 * IY)\n"
    "#define DRAIN() WAIT_FOR(0)\n"
    "/* Where (line, k) of a tile of T lines lies. 16 bytes change places so that what a warp\n"
    " * reads at once lies in all banks: along k eight lines, else eight lines for four k, of\n"
    " * narrow images for eight. */\n"
    "#define ALONG_K(line, k) \\\n"
    "    ((line) * TK + (k) % PIECE + \\\n"
    "     (((k) / PIECE ^ (line) * PIECES / 8) & (PIECES - 1)) * PIECE)\n"
    "#define TURN(k) (STORED ? (k) & 7 : (HALVES ? (k) / (TK / 4) : (k)) & 3)\n"
    "#define ALONG_LINES(T, line, k) ((k) * (T) + ((line) ^ TURN(k) * 8))\n";

static const char cvncl_text_mma_plain[] =
    "/* The instructions in plain C, through local memory, each lane with what the PTX ISA\n"
    " * gives it. */\n"
    "#define SCRATCH , local uint *swap\n"
    "#define SWAP , swap\n"
    "#define COMMIT()\n"
    "#define WAIT_FOR(n)\n"
    "\n"
    "void copy16(local STORED_TYPE *to, global const STORED_TYPE *from, const int there)\n"
    "{\n"
    "    EACH(i, PIECE) to[i] = there ? from[i] : 0;\n"
    "}\n"
    "\n"
    "void matrices(uint *r, local STORED_TYPE *mem, const int at, const int turned SCRATCH)\n"
    "{\n"
    "    const int t = get_local_id(0), g = t % 32 / 4, k = t % 4;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    swap[t] = at;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    EACH(i, 4) {\n"
    "        local const uint *row = swap + t / 32 * 32 + 8 * i;\n"
    "#if STORED\n"
    "        r[i] = turned ? mem[row[2 * k] + g] | (uint)mem[row[2 * k + 1] + g] << 16\n"
    "                      : mem[row[g] + 2 * k] | (uint)mem[row[g] + 2 * k + 1] << 16;\n"
    "#else\n"
    "        r[i] = as_uint(mem[row[g] + k]);\n"
    "#endif\n"
    "    }\n"
    "}\n"
    "\n"
    "float widened(const ushort h)\n"
    "{\n"
    "#if FACTORS == 3\n"
    "    return vload_half(0, (const half *)&h);\n"
    "#else\n"
    "    return as_float((uint)h << 16);\n"
    "#endif\n"
    "}\n"
    "\n"
    "/* Element k of a line of a fragment, which the registers of four lanes hold. */\n"
    "float held(local const uint *regs, const int lane, const int count, const int reg,\n"
    "           const int k)\n"
    "{\n"
    "#if HALVES\n"
    "    const uint two = regs[(lane + k % 8 / 2) * count + reg + k / 8 * (count / 2)];\n"
    "    return widened(k % 2 ? two >> 16 : two);\n"
    "#else\n"
    "    return as_float(regs[(lane + k % 4) * count + reg + k / 4 * (count / 2)]);\n"
    "#endif\n"
    "}\n"
    "\n"
    "void mma(float *d, const uint *a, const uint *b SCRATCH)\n"
    "{\n"
    "    const int t = get_local_id(0), lane = t % 32;\n"
    "    local uint *sa = swap + t / 32 * 192, *sb = sa + 128;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    EACH(i, 4) sa[lane * 4 + i] = a[i % 2 * 2 + i / 2];\n"
    "    EACH(i, 2) sb[lane * 2 + i] = b[i];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    EACH(i, 4)\n"
    "        for (int k = 0; k < DEPTH; k++)\n"
    "            d[i] += held(sa, lane / 4 * 4, 4, i / 2, k) *\n"
    "                    held(sb, (lane % 4 * 2 + i % 2) * 4, 2, 0, k);\n"
    "}\n"
    "\n"
    "uint rounded(const uint x) { return (x + 0x1000u) & 0xFFFFE000u; }\n"
    "\n"
    "uint upper(const float x)\n"
    "{\n"
    "    const uint u = as_uint(x);\n"
    "    return (u + 0x7FFFu + (u >> 16 & 1)) >> 16;\n"
    "}\n"
    "\n"
    "uint pair(const float low, const float high) { return upper(low) | upper(high) << 16; }\n";

static const char cvncl_text_mma_ptx[] =
    "#define SCRATCH\n"
    "#define SWAP\n"
    "#define COMMIT() asm volatile(\"cp.async.commit_group;\" ::: \"memory\")\n"
    "#define WAIT_FOR(n) asm volatile(\"cp.async.wait_group %0;\" :: \"n\"(n) : \"memory\")\n"
    "\n"
    "void copy16(local STORED_TYPE *to, global const STORED_TYPE *from, const int there)\n"
    "{\n"
    "    asm volatile(\"cp.async.cg.shared.global [%0], [%1], 16, %2;\"\n"
    "                 :: \"r\"((uint)(size_t)to), \"l\"(from), \"r\"(there ? 16 : 0)\n"
    "                 : \"memory\");\n"
    "}\n"
    "\n"
    "#define MATRICES(turned) \\\n"
    "    asm volatile(\"ldmatrix.sync.aligned.m8n8.x4\" turned \".shared.b16 \" \\\n"
    "                 \"{%0, %1, %2, %3}, [%4];\" \\\n"
    "                 : \"=r\"(r[0]), \"=r\"(r[1]), \"=r\"(r[2]), \"=r\"(r[3]) \\\n"
    "                 : \"r\"((uint)(size_t)(mem + at)) : \"memory\")\n"
    "\n"
    "void matrices(uint *r, local STORED_TYPE *mem, const int at, const int turned)\n"
    "{\n"
    "    if (turned) MATRICES(\".trans\");\n"
    "    else MATRICES(\"\");\n"
    "}\n"
    "\n"
    "#if FACTORS == 3\n"
    "#define TYPES \"m16n8k16.row.col.f32.f16.f16.f32\"\n"
    "#elif FACTORS == 2\n"
    "#define TYPES \"m16n8k16.row.col.f32.bf16.bf16.f32\"\n"
    "#else\n"
    "#define TYPES \"m16n8k8.row.col.f32.tf32.tf32.f32\"\n"
    "#endif\n"
    "\n"
    "void mma(float *d, const uint *a, const uint *b)\n"
    "{\n"
    "    asm(\"mma.sync.aligned.\" TYPES \" \"\n"
    "        \"{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\"\n"
    "        : \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), \"+f\"(d[3])\n"
    "        : \"r\"(a[0]), \"r\"(a[2]), \"r\"(a[1]), \"r\"(a[3]), \"r\"(b[0]), \"r\"(b[1]));\n"
    "}\n"
    "\n"
    "uint rounded(const uint x)\n"
    "{\n"
    "    uint y;\n"
    "    asm(\"cvt.rna.tf32.f32 %0, %1;\" : \"=r\"(y) : \"f\"(as_float(x)));\n"
    "    return y;\n"
    "}\n"
    "\n"
    "uint pair(const float low, const float high)\n"
    "{\n"
    "    uint y;\n"
    "#if FACTORS == 3\n"
    "    asm(\"cvt.rn.f16x2.f32 %0, %1, %2;\" : \"=r\"(y) : \"f\"(high), \"f\"(low));\n"
    "#else\n"
    "    asm(\"cvt.rn.bf16x2.f32 %0, %1, %2;\" : \"=r\"(y) : \"f\"(high), \"f\"(low));\n"
    "#endif\n"
    "    return y;\n"
    "}\n"
    "\n"
    "#if STORED\n"
    "#undef SET\n"
    "#undef SET2\n"
    "#define SET(p, i, v) ((p)[i] = (ushort)pair(v, 0))\n"
    "#define SET2(p, v) (*(global uint *)(p) = pair((v).x, (v).y))\n"
    "#endif\n";

static const char cvncl_text_mma_fragment[] =
    "/* Registers of 16 lines, two for line + g, two for line + 8 + g (lane = 4 g + t): elements\n"
    " * k + t and k + 4 + t; HALVES: pairs of four elements of k side by side. Which four does\n"
    " * not matter, as a and b agree. */\n"
    "void fragment(uint *r, local STORED_TYPE *tile, const int fast, const int T, const int line,\n"
    "              const int k SCRATCH)\n"
    "{\n"
    "    const int lane = get_local_id(0) % 32, g = lane / 4, t = lane % 4;\n"
    "#if STORED\n"
    "    const int l = line + lane / 16 * 8, own = k + lane / 8 % 2 * 8, i = lane % 8;\n"
    "    matrices(r, tile, fast ? ALONG_K(l + i, own) : ALONG_LINES(T, l, own + i), !fast SWAP);\n"
    "#elif HALVES\n"
    "    const int own = (t * (TK / 16) + k / 16) * 4;\n"
    "    EACH(i, 2) {\n"
    "        const int l = line + g + i * 8;\n"
    "        float4 v;\n"
    "        if (fast)\n"
    "            v = *(local const float4 *)(tile + ALONG_K(l, own));\n"
    "        else\n"
    "            v = (float4)(tile[ALONG_LINES(T, l, own)], tile[ALONG_LINES(T, l, own + 1)],\n"
    "                         tile[ALONG_LINES(T, l, own + 2)],\n"
    "                         tile[ALONG_LINES(T, l, own + 3)]);\n"
    "        r[2 * i] = pair(v.s0, v.s1);\n"
    "        r[2 * i + 1] = pair(v.s2, v.s3);\n"
    "    }\n"
    "#else\n"
    "    if (fast) {\n"
    "        const int l = line + lane % 8 + lane / 16 * 8;\n"
    "        matrices(r, tile, ALONG_K(l, k + lane / 8 % 2 * 4), 0 SWAP);\n"
    "    } else {\n"
    "        EACH(i, 4)\n"
    "            r[i] = as_uint(tile[ALONG_LINES(T, line + g + i / 2 * 8, k + t + i % 2 * 4)]);\n"
    "    }\n"
    "    EACH(i, 4) r[i] = rounded(r[i]);\n"
    "#endif\n"
    "}\n";

static const char cvncl_text_mma_copy[] =
    "/* A tile of lines from line0 on, from k0 on, sets off for local memory. Whether line or k\n"
    " * lies beyond the edge is known for 16 bytes at a time: they are zero then. */\n"
    "void copy_tile(local STORED_TYPE *to, global const STORED_TYPE *from, const int ld,\n"
    "               const int fast, const int T, const int line0, const int lines, const int k0,\n"
    "               const int K)\n"
    "{\n"
    "    EACH(l, T * PIECES / ITEMS) {\n"
    "        const int f = (int)get_local_id(0) + l * ITEMS;\n"
    "        const int line = fast ? f / PIECES : f % (T / PIECE) * PIECE;\n"
    "        const int k = fast ? f % PIECES * PIECE : f / (T / PIECE);\n"
    "        const int in = line0 + line < lines && k0 + k < K;\n"
    "        const size_t at = fast ? (size_t)(line0 + line) * ld + k0 + k\n"
    "                               : (size_t)(k0 + k) * ld + line0 + line;\n"
    "        copy16(to + (fast ? ALONG_K(line, k) : ALONG_LINES(T, line, k)),\n"
    "               from + (in ? at : 0), in);\n"
    "    }\n"
    "}\n"
    "\n"
    "#if !CONV\n"
    "#define BEGIN_A\n"
    "#define COPY_A(to, k) copy_tile(to, a, lda, FAST_A, TM, m0, M, k, K)\n"
    "#define COPY_B(to, k) copy_tile(to, b, ldb, FAST_B, TN, n0, N, k, K)\n"
    "#endif\n";

static const char cvncl_text_mma_conv[] =
    "/* The loaders of a convolution (>>cl-conv), whose channels are whole pieces. */\n"
    "#define SPOTS (TM * PIECES / ITEMS)\n"
    "#if CONV == 1\n"
    "/* Along k: channels of the taps of a phase, each line a window, which an item keeps. */\n"
    "__attribute__((always_inline))\n"
    "void copy_gather(local STORED_TYPE *to, global const STORED_TYPE *x, global const int *g,\n"
    "                 global const int *f, const int4 *windows, const int k0, const int last)\n"
    "{\n"
    "    const int t = get_local_id(0), k = t % PIECES * PIECE;\n"
    "    const int tap = max(min(k0 + k, last - 1), 0) / CI, c = k0 + k - tap * CI;\n"
    "    const int4 place = vload4(min(f[7] + tap, TAPS - 1), TAP(0));\n"
    "    EACH(l, SPOTS) {\n"
    "        const int line = (t + l * ITEMS) / PIECES, at = within(g, windows[l], place);\n"
    "        const int in = at >= 0 && k0 + k < last;\n"
    "        copy16(to + ALONG_K(line, k), x + (in ? (size_t)at * X_ALL + c : 0), in);\n"
    "    }\n"
    "}\n"
    "\n"
    "#define BEGIN_A \\\n"
    "    int4 spot[SPOTS]; \\\n"
    "    EACH(l, SPOTS) \\\n"
    "        spot[l] = window_of(g, grid_point(f, min(m0 + (t + l * ITEMS) / PIECES, M - 1)));\n"
    "#define COPY_A(to, k) copy_gather(to, x, g, f, spot, k, last)\n"
    "#define COPY_B(to, k) copy_tile(to, w, PITCH, 0, TN, n0, PITCH, k, last)\n"
    "#elif CONV == 2\n"
    "/* Along the lines: channels of the taps, at the positions k, which an item keeps. */\n"
    "__attribute__((always_inline))\n"
    "void copy_windows(local STORED_TYPE *to, global const STORED_TYPE *x, global const int *g,\n"
    "                  int4 *points, const int4 step, const int line0, const int lines,\n"
    "                  const int k0, const int last)\n"
    "{\n"
    "    const int t = get_local_id(0), line = t % (TM / PIECE) * PIECE;\n"
    "    const int m = min(line0 + line, lines - PIECE), tap = m / CI;\n"
    "    const int4 place = vload4(tap, TAP(0));\n"
    "    EACH(l, SPOTS) {\n"
    "        const int k = (t + l * ITEMS) / (TM / PIECE);\n"
    "        const int at = within(g, window_of(g, points[l]), place);\n"
    "        const int in = at >= 0 && k0 + k < last;\n"
    "        copy16(to + ALONG_LINES(TM, line, k),\n"
    "               x + (in ? (size_t)at * X_ALL + m - tap * CI : 0), in);\n"
    "        points[l] = later_point(PHASE(0), points[l], step);\n"
    "    }\n"
    "}\n"
    "\n"
    "#define BEGIN_A \\\n"
    "    int4 spot[SPOTS]; \\\n"
    "    EACH(l, SPOTS) \\\n"
    "        spot[l] = grid_point(PHASE(0), first + (t + l * ITEMS) / (TM / PIECE));\n"
    "#define COPY_A(to, k) copy_windows(to, x, g, spot, tile_k, m0, M, k, last)\n"
    "#define COPY_B(to, k) copy_tile(to, y, Y_ALL, 0, TN, n0, N, k, last)\n"
    "#endif\n";

static const char cvncl_text_mma[] =
    "/* Tiles come to local memory by themselves, STAGES - 1 ahead; a warp multiplies WM x WN. */\n"
    "kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    local float4 memory[STAGES * (TM + TN) * PIECES];\n"
    "#if EMULATE\n"
    "    local uint swap[ITEMS / 32 * 192];\n"
    "#endif\n"
    "    local STORED_TYPE *la = (local STORED_TYPE *)memory, *lb = la + STAGES * TM * TK;\n"
    "    const int t = get_local_id(0);\n"
    "    const int wm = t / 32 / IX * WM, wn = t / 32 % IX * WN;\n"
    "    float sum[WM / 16][WN / 8][4];\n"
    "    int stage = 0;\n"
    "    SETUP\n"
    "    int m0 = FIRST_M, n0 = FIRST_N;\n"
    "    BEGIN_A\n"
    "    EACH(i, WM / 16) EACH(j, WN / 8) EACH(l, 4) sum[i][j][l] = 0;\n"
    "    EACH(s, STAGES - 1) {\n"
    "        COPY_A(la + s * TM * TK, first + s * TK);\n"
    "        COPY_B(lb + s * TN * TK, first + s * TK);\n"
    "        COMMIT();\n"
    "    }\n"
    "    for (int k0 = first; k0 < last; k0 += TK) {\n"
    "        const int to = stage ? stage - 1 : STAGES - 1, ahead = k0 + (STAGES - 1) * TK;\n"
    "        WAIT_FOR(STAGES - 2);\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "        COPY_A(la + to * TM * TK, ahead);\n"
    "        COPY_B(lb + to * TN * TK, ahead);\n"
    "        COMMIT();\n"
    "        EACH(part, TK / DEPTH) {\n"
    "            uint fa[WM / 16][4], fb[WN / 16][4];\n"
    "            const int k = part * DEPTH;\n"
    "            EACH(i, WM / 16)\n"
    "                fragment(fa[i], la + stage * TM * TK, FAST_A, TM, wm + 16 * i, k SWAP);\n"
    "            EACH(j, WN / 16)\n"
    "                fragment(fb[j], lb + stage * TN * TK, FAST_B, TN, wn + 16 * j, k SWAP);\n"
    "            EACH(i, WM / 16)\n"
    "                EACH(j, WN / 8) mma(sum[i][j], fa[i], fb[j / 2] + j % 2 * 2 SWAP);\n"
    "        }\n"
    "        stage = stage + 1 == STAGES ? 0 : stage + 1;\n"
    "    }\n"
    "    m0 += wm + t % 32 / 4;\n"
    "    n0 += wn + t % 4 * 2;\n";

/* The end of both kernels on matrix units, whose sums lie alike: sum[i][j] has an item's four of a
 * warp's block of 16 x 8. */
static const char cvncl_text_mma_bias[] =
    "    EACH(j, WN / 8)\n"
    "        EACH(l, 4) {\n"
    "            const float v = SHIFT(min(n0 + COLUMN(j, l), N - 1));\n"
    "            EACH(i, BLOCKS) sum[i][j][l] += v;\n"
    "        }\n"
    "/* For the statistics: rows of two blocks, or of one, in eight columns of a warp at a time:\n"
    " * more take too many registers. */\n"
    "#define OWN_ROWS (BLOCKS > 1 ? 4 : 2)\n"
    "#define OWN_TURNS (WN / 8 * (2 * BLOCKS / OWN_ROWS))\n"
    "#define OWN_COLUMNS 2\n"
    "#define OWN_BLOCK(turn, e) ((turn) / (WN / 8) * (OWN_ROWS / 2) + (e) / 2)\n"
    "#define OWN(turn, e, j) sum[OWN_BLOCK(turn, e)][(turn) % (WN / 8)][(e) % 2 * 2 + (j)]\n"
    "#define OWN_ROW(turn, e) (m0 + ROW(OWN_BLOCK(turn, e), (e) % 2 * 2))\n"
    "#define OWN_COLUMN(turn, j) (n0 + COLUMN((turn) % (WN / 8), j))\n"
    "#define OWN_PLACE(j) (wn / WN * 8 + t % 4 * 2 + (j))\n"
    "#define OWN_WIDTH (8 * IX)\n"
    "#define SHARED ((local float *)memory)\n";

static const char cvncl_text_mma_store[] =
    "    EACH(i, BLOCKS)\n"
    "        EACH(h, 2) {\n"
    "            const int m = m0 + ROW(i, 2 * h);\n"
    "            global const OUT_TYPE *old = ADDED(min(m, M - 1));\n"
    "            global OUT_TYPE *to = TARGET(min(m, M - 1));\n"
    "            EACH(j, WN / 8) {\n"
    "                const int n = n0 + COLUMN(j, 0);\n"
    "                float2 v = (float2)(sum[i][j][2 * h], sum[i][j][2 * h + 1]);\n"
    "                if (old && m < M)\n"
    "                    v += (float2)(n < N ? GET(old, n) : 0, n + 1 < N ? GET(old, n + 1) : 0);\n"
    "                v = (float2)(LAST(v.s0), LAST(v.s1));\n"
    "                if (WHOLE(2) && m < M && n < N) OUT_SET2(to + n, v);\n"
    "                else if (m < M && n < N) {\n"
    "                    OUT_SET(to, n, v.s0);\n"
    "                    if (n + 1 < N) OUT_SET(to, n + 1, v.s1);\n"
    "                }\n"
    "            }\n"
    "        }\n"
    "}\n";

/* ================================================================================================
 * >>cl-wgmma   the same on Hopper's matrix units: instructions of four warps, spliced into PTX
 * ==============================================================================================
 *   wgmma.mma_async m64nNk8 (tf32), m64nNk16 (bf16, fp16): PTX ISA, "Asynchronous Warpgroup Level
 *   Matrix Instructions". It takes both factors from local memory, by descriptors, and asks for
 *   sm_90a, while the driver's OpenCL compiles for sm_90. So all that needs sm_90a is a comment,
 *   "//wgmma:" before the instruction, in inline assembly, which names the operands; the program's
 *   PTX is read, made one for sm_90a by taking these marks away, and built. Sums are in registers
 *   that the PTX declares so too: the compiler does not know them and never moves them between two
 *   instructions. PTX that is not as expected is refused (cvncl_backend.no_wgmma): its comments
 *   would multiply nothing. What is built is tried as in >>cl-mma.
 *   Floats go through registers, where they are rounded, and turned where they do not lie along k:
 *   wgmma cuts tf32 off and takes it along k alone, and cp.async cannot make bf16. The loaders are
 *   those of the tiled kernels. Two tiles are on their way. Narrow factors go the same way as they
 *   are, and where their channels are whole eights they are copied as in >>cl-mma: wgmma takes 16
 *   bits either way.
 *   Built with EMULATE the instruction is plain C, which finds the factors by their descriptors.
 *   It has not run on a GPU yet.                      tested: tests/test_cl.c, tests/ptx_cl.sh */

static const char cvncl_text_wgmma_layout[] =
    "#define ITEMS (128 * IX * IY)\n"
    "#define DEPTH (HALVES ? 16 : 8)     /* of one instruction: 32 bytes */\n"
    "#define RAW STORED\n"
    "#define ROW(i, l) ((l) / 2 * 8)\n"
    "#define COLUMN(j, l) (8 * (j) + (l) % 2)\n"
    "#define BLOCKS 1                    /* of 16 lines, of a warp */\n"
    "#define OWN_LINE (t / 128 / IX * 32 + t % 128 / 4)\n"
    "#define OWN_LINES (32 * IY)\n"
    "#define DRAIN() WAIT_FOR(0)\n"
    "#define QUADS(T) ((T) * TK / 4 / ITEMS)\n"
    "/* Line and k of an item's l-th four of a tile of T lines, along k (FAST) or along the\n"
    " * lines, where four l in a row are a square of 4 x 4. Items side by side have 2 squares\n"
    " * along the lines and NEAR along k: turned, their 16 bytes lie in all banks. */\n"
    "#define NEAR (HALVES ? 8 : 4)\n"
    "#define SQUARE(l) (t + (l) / 4 * ITEMS)\n"
    "#define SQUARE_K(l, T) (SQUARE(l) / 2 % NEAR + SQUARE(l) / (2 * NEAR) / ((T) / 8) * NEAR)\n"
    "#define LINE(FAST, l, T) \\\n"
    "    (FAST ? (t + (l) * ITEMS) / (TK / 4) \\\n"
    "          : (SQUARE(l) % 2 + SQUARE(l) / (2 * NEAR) % ((T) / 8) * 2) * 4)\n"
    "#define DEEP(FAST, l, T) (FAST ? t % (TK / 4) * 4 : SQUARE_K(l, T) * 4 + (l) % 4)\n"
    "#define LINE_BYTES (TK * (HALVES ? 2 : 4))\n"
    "#define STAGE_BYTES ((TM + TN) * LINE_BYTES)\n"
    "/* In local memory lines along k follow each other, their 16 bytes exchanged as the swizzle\n"
    " * of LINE_BYTES has it. Descriptor: PTX ISA, \"Matrix Descriptor Format\"; the stride is\n"
    " * that of eight lines, the leading dimension counts for nothing. Tiles begin at multiples\n"
    " * of 1024 bytes. */\n"
    "#define SWIZZLED(at) ((at) ^ ((at) >> 7 & (LINE_BYTES / 16 - 1)) * 16)\n"
    "#define MODE (LINE_BYTES == 128 ? 1 : LINE_BYTES == 64 ? 2 : 3)\n"
    "#define DESCRIBED(at, leading, stride, mode) \\\n"
    "    ((ulong)((at) >> 4 & 0x3FFF) | (ulong)((leading) / 16) << 16 | \\\n"
    "     (ulong)((stride) / 16) << 32 | (ulong)(mode) << 62)\n"
    "#define DEEP_FACTOR(tile, part) DESCRIBED((tile) + (part) * 32, 16, 8 * LINE_BYTES, MODE)\n"
    "/* Narrow factors that are copied stay along k or along the lines: these in blocks of 64,\n"
    " * for each k 128 bytes, their 16 bytes exchanged in eight k; the stride is that of eight k,\n"
    " * the leading dimension that of blocks. */\n"
    "#define ALONG_K(line, k) (SWIZZLED((line) * LINE_BYTES + (k) * 2) / 2)\n"
    "#define ALONG_LINES(T, line, k) \\\n"
    "    (((line) / 64 * TK + (k)) * 64 + ((line) % 64 ^ ((k) & 7) * 8))\n"
    "#define FACTOR(FAST, tile, part) \\\n"
    "    (FAST ? DEEP_FACTOR(tile, part) \\\n"
    "          : DESCRIBED((tile) + (part) * 2048, 64 * LINE_BYTES, 1024, 1))\n";

static const char cvncl_text_wgmma_plain[] =
    "/* The instruction in plain C. Nothing is multiplied before COMPLETE has to have it done:\n"
    " * what changes a tile that is still in use shows. */\n"
    "#define BEGIN() ulong waiting[STAGES][TK / DEPTH][2]; int begun = 0, done = 0\n"
    "#define FENCE()\n"
    "#define MULTIPLY(a, b) \\\n"
    "    waiting[begun % STAGES][part][0] = a; \\\n"
    "    waiting[begun % STAGES][part][1] = b\n"
    "#define FINISH() begun++\n"
    "#define COMPLETE(n) \\\n"
    "    for (; done < begun - (n); done++) \\\n"
    "        for (int part = 0; part < TK / DEPTH; part++) \\\n"
    "            multiply(sum[0], (local const char *)memory, waiting[done % STAGES][part][0], \\\n"
    "                     waiting[done % STAGES][part][1])\n"
    "#define TURNED(FAST) (STORED && VEC == 8 && !FAST)\n"
    "#define COLLECT()\n"
    "#define PUBLISH() barrier(CLK_LOCAL_MEM_FENCE)\n"
    "#define ADDRESS 0\n"
    "\n"
    "/* Element (line, k) of a factor, where its descriptor says. */\n"
    "float described(local const char *memory, const ulong d, const int line, const int k,\n"
    "                const int turned)\n"
    "{\n"
    "    const uint width = 256u >> (uint)(d >> 62), stride = ((uint)(d >> 32) & 0x3FFF) * 16;\n"
    "    uint at = (uint)(d & 0x3FFF) * 16;\n"
    "    if (turned)\n"
    "        at += line / 64 * ((uint)(d >> 16) & 0x3FFF) * 16 + k / 8 * stride + k % 8 * width +\n"
    "              line % 64 * 2;\n"
    "    else\n"
    "        at += line / 8 * stride + line % 8 * width + k * 32 / DEPTH;\n"
    "    at ^= (at >> 7 & (width / 16 - 1)) * 16;\n"
    "#if HALVES\n"
    "    return widened(*(local const ushort *)(memory + at));\n"
    "#else\n"
    "    return as_float(*(local const uint *)(memory + at) & 0xFFFFE000u);\n"
    "#endif\n"
    "}\n"
    "\n"
    "void multiply(float (*d)[4], local const char *memory, const ulong a, const ulong b)\n"
    "{\n"
    "    const int t = get_local_id(0) % 128, line = t / 32 * 16 + t % 32 / 4;\n"
    "    for (int j = 0; j < WN / 8; j++)\n"
    "        for (int l = 0; l < 4; l++)\n"
    "            for (int k = 0; k < DEPTH; k++)\n"
    "                d[j][l] += described(memory, a, line + ROW(0, l), k, TURNED(FAST_A)) *\n"
    "                           described(memory, b, t % 4 * 2 + COLUMN(j, l), k,\n"
    "                                     TURNED(FAST_B));\n"
    "}\n";

static const char cvncl_text_wgmma_ptx[] =
    "#define MARKED(text) \"//wgmma:\" text \"\\n\"\n"
    "#define TEXT(x) #x\n"
    "#define SPELT(x) TEXT(x)\n"
    "/* f for each eight sums: their names but for the last digit, their number, what parts them\n"
    " * from those before. */\n"
    "#define EACH_32(f) f(\"\", 0, \"\") f(\"1\", 1, \",\") f(\"2\", 2, \",\") f(\"3\", 3, \",\")\n"
    "#define EACH_64(f) \\\n"
    "    EACH_32(f) f(\"4\", 4, \",\") f(\"5\", 5, \",\") f(\"6\", 6, \",\") f(\"7\", 7, \",\")\n"
    "#if WN == 64\n"
    "#define EACH_8(f) EACH_32(f)\n"
    "#elif WN == 128\n"
    "#define EACH_8(f) EACH_64(f)\n"
    "#else\n"
    "#define EACH_8(f) \\\n"
    "    EACH_64(f) f(\"8\", 8, \",\") f(\"9\", 9, \",\") f(\"10\", 10, \",\") \\\n"
    "    f(\"11\", 11, \",\") f(\"12\", 12, \",\") f(\"13\", 13, \",\") \\\n"
    "    f(\"14\", 14, \",\") f(\"15\", 15, \",\")\n"
    "#endif\n"
    "#define REG(n, l) \"cvn\" n #l\n"
    "#define NAMES(n, i, comma) \\\n"
    "    comma REG(n, 0) \",\" REG(n, 1) \",\" REG(n, 2) \",\" REG(n, 3) \",\" \\\n"
    "    REG(n, 4) \",\" REG(n, 5) \",\" REG(n, 6) \",\" REG(n, 7)\n"
    "#define ZERO(n, l) MARKED(\"mov.f32 \" REG(n, l) \", 0f00000000;\")\n"
    "#define ZEROS(n, i, comma) \\\n"
    "    ZERO(n, 0) ZERO(n, 1) ZERO(n, 2) ZERO(n, 3) ZERO(n, 4) ZERO(n, 5) ZERO(n, 6) ZERO(n, 7)\n"
    "#define TAKE(n, l) MARKED(\"mov.f32 %\" #l \", \" REG(n, l) \";\")\n"
    "#define TAKES(n, i, comma) \\\n"
    "    asm volatile(TAKE(n, 0) TAKE(n, 1) TAKE(n, 2) TAKE(n, 3) TAKE(n, 4) TAKE(n, 5) \\\n"
    "                 TAKE(n, 6) TAKE(n, 7) \\\n"
    "                 : \"=f\"(sum[0][2 * i][0]), \"=f\"(sum[0][2 * i][1]), \\\n"
    "                   \"=f\"(sum[0][2 * i][2]), \"=f\"(sum[0][2 * i][3]), \\\n"
    "                   \"=f\"(sum[0][2 * i + 1][0]), \"=f\"(sum[0][2 * i + 1][1]), \\\n"
    "                   \"=f\"(sum[0][2 * i + 1][2]), \"=f\"(sum[0][2 * i + 1][3]));\n"
    "#if FACTORS == 3\n"
    "#define TYPED \"k16.f32.f16.f16\"\n"
    "#elif FACTORS == 2\n"
    "#define TYPED \"k16.f32.bf16.bf16\"\n"
    "#else\n"
    "#define TYPED \"k8.f32.tf32.tf32\"\n"
    "#endif\n"
    "#if STORED && VEC == 8 && FAST_A\n"
    "#define ORDERS \", 0, 1\"\n"
    "#elif STORED && VEC == 8\n"
    "#define ORDERS \", 1, 1\"\n"
    "#elif HALVES\n"
    "#define ORDERS \", 0, 0\"\n"
    "#else\n"
    "#define ORDERS \"\"\n"
    "#endif\n"
    "#define BEGIN() \\\n"
    "    asm volatile(MARKED(\".reg .f32 cvn<160>;\") MARKED(\".reg .pred cvn_add;\") \\\n"
    "                 MARKED(\"setp.eq.u32 cvn_add, 0, 0;\") EACH_8(ZEROS) ::: \"memory\")\n"
    "#define FENCE() asm volatile(MARKED(\"wgmma.fence.sync.aligned;\") ::: \"memory\")\n"
    "#define MULTIPLY(a, b) \\\n"
    "    asm volatile(MARKED(\"wgmma.mma_async.sync.aligned.m64n\" SPELT(WN) TYPED \\\n"
    "                        \" {\" EACH_8(NAMES) \"}, %0, %1, cvn_add, 1, 1\" ORDERS \";\") \\\n"
    "                 :: \"l\"(a), \"l\"(b) : \"memory\")\n"
    "#define FINISH() asm volatile(MARKED(\"wgmma.commit_group.sync.aligned;\") ::: \"memory\")\n"
    "#define COMPLETE(n) \\\n"
    "    asm volatile(MARKED(\"wgmma.wait_group.sync.aligned %0;\") :: \"n\"(n) : \"memory\")\n"
    "#define COLLECT() EACH_8(TAKES)\n"
    "/* What was put into local memory can be multiplied: wgmma reads it by another path. */\n"
    "#define PUBLISH() \\\n"
    "    asm volatile(MARKED(\"fence.proxy.async.shared::cta;\") ::: \"memory\"); \\\n"
    "    barrier(CLK_LOCAL_MEM_FENCE)\n"
    "#define ADDRESS (uint)(size_t)memory\n";

static const char cvncl_text_wgmma[] =
    "/* Four elements along k, rounded, to a tile in local memory. */\n"
    "void put(local char *tile, const int line, const int k, const FOUR v)\n"
    "{\n"
    "    const int at = line * LINE_BYTES + k * (HALVES ? 2 : 4);\n"
    "#if RAW\n"
    "    *(local ushort4 *)(tile + SWIZZLED(at)) = v;\n"
    "#elif HALVES\n"
    "    *(local uint2 *)(tile + SWIZZLED(at)) = (uint2)(pair(v.s0, v.s1), pair(v.s2, v.s3));\n"
    "#else\n"
    "    *(local uint4 *)(tile + SWIZZLED(at)) =\n"
    "        (uint4)(rounded(as_uint(v.s0)), rounded(as_uint(v.s1)), rounded(as_uint(v.s2)),\n"
    "                rounded(as_uint(v.s3)));\n"
    "#endif\n"
    "}\n"
    "\n"
    "/* A square of 4 x 4, turned. */\n"
    "void put_square(local char *tile, const int line, const int k, const FOUR *v)\n"
    "{\n"
    "    put(tile, line, k, (FOUR)(v[0].s0, v[1].s0, v[2].s0, v[3].s0));\n"
    "    put(tile, line + 1, k, (FOUR)(v[0].s1, v[1].s1, v[2].s1, v[3].s1));\n"
    "    put(tile, line + 2, k, (FOUR)(v[0].s2, v[1].s2, v[2].s2, v[3].s2));\n"
    "    put(tile, line + 3, k, (FOUR)(v[0].s3, v[1].s3, v[2].s3, v[3].s3));\n"
    "}\n"
    "\n"
    "#define PUT_TILE(tile, v, FAST, T) \\\n"
    "    EACH(l, QUADS(T)) \\\n"
    "        if (FAST) put(tile, LINE(FAST, l, T), DEEP(FAST, l, T), v[l]); \\\n"
    "        else if (l % 4 == 0) put_square(tile, LINE(FAST, l, T), DEEP(FAST, l, T), v + l);\n"
    "#define PUT(stage) \\\n"
    "    PUT_TILE(la + (stage) * STAGE_BYTES, fa, FAST_A, TM) \\\n"
    "    PUT_TILE(lb + (stage) * STAGE_BYTES, fb, FAST_B, TN)\n"
    "#define LOAD(k0) \\\n"
    "    EACH(l, QUADS(TM)) { \\\n"
    "        fa[l] = QUAD_A(spot_a[l], m0 + LINE(FAST_A, l, TM), (k0) + DEEP(FAST_A, l, TM)); \\\n"
    "        NEXT_A(spot_a[l]); \\\n"
    "    } \\\n"
    "    EACH(l, QUADS(TN)) fb[l] = QUAD_B(spot_b[l], (k0) + DEEP(FAST_B, l, TN));\n"
    "\n"
    "/* While a tile is multiplied the next one goes to local memory and the one after it to\n"
    " * registers; STAGES - 1 tiles may be multiplied at a time. Four warps multiply 64 x WN. */\n"
    "kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    local float4 memory[STAGES * STAGE_BYTES / 16] __attribute__((aligned(1024)));\n"
    "    local char *la = (local char *)memory, *lb = la + TM * LINE_BYTES;\n"
    "    const int t = get_local_id(0);\n"
    "    const int wm = t / 128 / IX * 64, wn = t / 128 % IX * WN;\n"
    "    float sum[1][WN / 8][4];\n"
    "    FOUR fa[QUADS(TM)], fb[QUADS(TN)];\n"
    "    SPOT spot_a[QUADS(TM)];\n"
    "    int spot_b[QUADS(TN)], stage = 0;\n"
    "    SETUP\n"
    "    int m0 = FIRST_M, n0 = FIRST_N;\n"
    "    EACH(j, WN / 8) EACH(l, 4) sum[0][j][l] = 0;\n"
    "    BEGIN();\n"
    "    EACH(l, QUADS(TM))\n"
    "        spot_a[l] = SPOT_A(m0 + LINE(FAST_A, l, TM), first + DEEP(FAST_A, l, TM));\n"
    "    EACH(l, QUADS(TN)) spot_b[l] = SPOT_B(n0 + LINE(FAST_B, l, TN));\n"
    "    LOAD(first)\n"
    "    PUT(0)\n"
    "    LOAD(first + TK)\n"
    "    PUBLISH();\n"
    "    for (int k0 = first; k0 < last; k0 += TK) {\n"
    "        const uint tile_a = ADDRESS + stage * STAGE_BYTES + wm * LINE_BYTES;\n"
    "        const uint tile_b = ADDRESS + stage * STAGE_BYTES + (TM + wn) * LINE_BYTES;\n"
    "        stage = stage + 1 == STAGES ? 0 : stage + 1;\n"
    "        FENCE();\n"
    "        EACH(part, TK / DEPTH) {\n"
    "            MULTIPLY(DEEP_FACTOR(tile_a, part), DEEP_FACTOR(tile_b, part));\n"
    "        }\n"
    "        FINISH();\n"
    "        PUT(stage)\n"
    "        LOAD(k0 + 2 * TK)\n"
    "        COMPLETE(STAGES - 2);\n"
    "        PUBLISH();\n"
    "    }\n"
    "    COMPLETE(0);\n"
    "    COLLECT();\n"
    "    m0 += wm + t % 128 / 32 * 16 + t % 32 / 4;\n"
    "    n0 += wn + t % 4 * 2;\n";

static const char cvncl_text_wgmma_copied[] =
    "/* Narrow factors come to local memory by themselves, as in >>cl-mma, STAGES - 1 ahead: they\n"
    " * set off while a tile is multiplied, when all have done with the one before. */\n"
    "kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    local float4 memory[STAGES * STAGE_BYTES / 16] __attribute__((aligned(1024)));\n"
    "    local STORED_TYPE *la = (local STORED_TYPE *)memory, *lb = la + TM * TK;\n"
    "    const int t = get_local_id(0);\n"
    "    const int wm = t / 128 / IX * 64, wn = t / 128 % IX * WN;\n"
    "    float sum[1][WN / 8][4];\n"
    "    int stage = 0;\n"
    "    SETUP\n"
    "    int m0 = FIRST_M, n0 = FIRST_N;\n"
    "    BEGIN_A\n"
    "    EACH(j, WN / 8) EACH(l, 4) sum[0][j][l] = 0;\n"
    "    BEGIN();\n"
    "    EACH(s, STAGES - 1) {\n"
    "        COPY_A(la + s * (STAGE_BYTES / 2), first + s * TK);\n"
    "        COPY_B(lb + s * (STAGE_BYTES / 2), first + s * TK);\n"
    "        COMMIT();\n"
    "    }\n"
    "    for (int k0 = first; k0 < last; k0 += TK) {\n"
    "        const uint tile_a = ADDRESS + stage * STAGE_BYTES + wm * LINE_BYTES;\n"
    "        const uint tile_b = ADDRESS + stage * STAGE_BYTES + (TM + wn) * LINE_BYTES;\n"
    "        const int to = stage ? stage - 1 : STAGES - 1, ahead = k0 + (STAGES - 1) * TK;\n"
    "        WAIT_FOR(STAGES - 2);\n"
    "        PUBLISH();\n"
    "        FENCE();\n"
    "        EACH(part, TK / DEPTH) {\n"
    "            MULTIPLY(FACTOR(FAST_A, tile_a, part), FACTOR(FAST_B, tile_b, part));\n"
    "        }\n"
    "        FINISH();\n"
    "        COMPLETE(1);\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "        COPY_A(la + to * (STAGE_BYTES / 2), ahead);\n"
    "        COPY_B(lb + to * (STAGE_BYTES / 2), ahead);\n"
    "        COMMIT();\n"
    "        stage = stage + 1 == STAGES ? 0 : stage + 1;\n"
    "    }\n"
    "    COMPLETE(0);\n"
    "    COLLECT();\n"
    "    m0 += wm + t % 128 / 32 * 16 + t % 32 / 4;\n"
    "    n0 += wn + t % 4 * 2;\n";

#define CVNCL_MARK "//wgmma:"
enum { CVNCL_MAX_PTX = 1 << 24 };

/* Names sm_90a where the text has sm_90. Returns what is in the way, or NULL. */
static const char *cvncl_retarget(char *text)
{
    static const char sm_90[] = "\n.target sm_90";
    const char *version = strstr(text, "\n.version ");
    char *end = strstr(text, sm_90);
    if (!version) return "the driver gives no PTX";
    if (strtol(version + 10, NULL, 10) < 8) return "the driver's PTX is older than 8.0";
    if (end) end += sizeof sm_90 - 1;
    if (!end || !strchr(",\n\r ", *end)) return "the driver's PTX is not for sm_90";
    memmove(end + 1, end, strlen(end) + 1);
    *end = 'a';
    return NULL;
}

/* Takes the marks away; each kind of line has to be there. */
static const char *cvncl_unmark(char *text)
{
    static const char *const lines[] = {
        CVNCL_MARK ".reg .f32 cvn<", CVNCL_MARK ".reg .pred cvn_add;", CVNCL_MARK "setp.",
        CVNCL_MARK "mov.f32 cvn", CVNCL_MARK "fence.proxy.async.", CVNCL_MARK "wgmma.fence.",
        CVNCL_MARK "wgmma.mma_async.", CVNCL_MARK "wgmma.commit_group.",
        CVNCL_MARK "wgmma.wait_group.", CVNCL_MARK "mov.f32 %"
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        if (!strstr(text, lines[i])) return "the driver's PTX lacks a marked line";
    for (char *p = text; (p = strstr(p, CVNCL_MARK)) != NULL;)
        memset(p, ' ', sizeof CVNCL_MARK - 1);
    return NULL;
}

/* The PTX that a program's marks stand for, for CONVNET_FREE; NULL: *why not. */
static char *cvncl_splice(const void *ptx, size_t size, size_t *length, const char **why)
{
    char *text = size > CVNCL_MAX_PTX ? NULL : (char *)CONVNET_MALLOC(size + 2);
    *why = size > CVNCL_MAX_PTX ? "the driver's PTX is too long" : "memory is out";
    if (!text) return NULL;
    while (size && strchr(" \r\n", ((const char *)ptx)[size - 1])) size--;      /* and 0 */
    memcpy(text, ptx, size);
    text[size] = 0;
    *why = strlen(text) == size ? cvncl_retarget(text) : "the driver gives no PTX";
    if (!*why && text[size] != '}') *why = "the driver's PTX ends early";
    if (!*why) *why = cvncl_unmark(text);
    *length = size + 1;
    if (!*why) return text;
    CONVNET_FREE(text);
    return NULL;
}

/* The program for sm_90a of one that has been built with marks, which goes; NULL: *status. */
static void *cvncl_spliced_program(cvncl_backend *b, void *program, const char *options,
                                   int32_t *status)
{
    const char *why = "the driver gives no PTX";
    const unsigned char *bytes;
    size_t size;
    unsigned char *ptx = cvncl_binary(b, program, &size);
    char *text = ptx ? cvncl_splice(ptx, size, &size, &why) : NULL;
    int32_t each;
    b->api.ReleaseProgram(program);
    CONVNET_FREE(ptx);
    program = NULL;
    *status = -11;              /* CL_BUILD_PROGRAM_FAILURE */
    if (!text) {
        b->no_wgmma = why;
        return NULL;
    }
    bytes = (const unsigned char *)text;
    program = b->api.CreateProgramWithBinary(b->context, 1, &b->device, &size, &bytes, &each,
                                             status);
    CONVNET_FREE(text);
    if (program) *status = b->api.BuildProgram(program, 1, &b->device, options, NULL, NULL);
    return program;
}

/* ================================================================================================
 * >>cl-tune   which way is the fastest here
 * ==============================================================================================
 *   For each class of products (layout, alignment, powers of two of the sizes) that a net needs,
 *   before its first step: the ways that fit multiply random matrices; those that differ from the
 *   plain kernel are dropped, the fastest stays. Fast tuning ends after 3 s in all, full tuning
 *   tries everything. What is found is kept (>>cl-cache). */

/* A tuned class: powers of two in place of sizes. */
typedef struct cvncl_choice {
    struct cvncl_choice *next;
    cvncl_class of;
    int way;
} cvncl_choice;

enum { CVNCL_TRIAL_MEMORIES = 7 };      /* among a kernel's parameters, at most */

/* Operands for trying ways, in the order of the kernel's parameters, and the plain kernel's
 * result. */
typedef struct cvncl_trial {
    cvncl_class of;
    void *memory[CVNCL_TRIAL_MEMORIES];     /* a, b, bias, with, c, stats; of convolutions:
                                             * >>cl-conv; NULL: not there */
    float *want, *got;
    int out;                    /* the memory with the result, */
    size_t count;               /* of so many elements */
} cvncl_trial;

/* Largest distances from the plain kernel: 2^-11 and 2^-8 are the units of tf32 or fp16 and of
 * bf16. */
static double cvncl_bound(const cvncl_backend *b, cvncl_kind kind, int layout)
{
    if (layout == CVNCL_LAYOUT_GATHER && b->storage != CVNCL_STORE_FP32)
        return b->storage == CVNCL_STORE_FP16 ? 1e-3 : 8e-3;
    if (kind < CVNCL_BY_MMA) return 1e-5;
    return cvncl_factors(b, layout) == CVNCL_BF16 ? 8e-3 : 1e-3;
}

/* Memory i of a trial holds narrow numbers: x, y, and packed weights if they are. */
static int cvncl_trial_narrow(const cvncl_backend *b, const cvncl_class *c, int i)
{
    if (!cvncl_has_narrow(b, c->layout)) return 0;
    if (c->layout == CVNCL_LAYOUT_WEIGHTS) return i < 2;
    return i == 0 || i == 3 || i == 4 || (i == 1 && cvncl_packs_narrow(b));
}

/* A narrow number; a bf16 is the upper half of a float. */
static float cvncl_widened(const cvncl_backend *b, uint16_t h)
{
    return b->storage == CVNCL_STORE_FP16 ? cvni_half_to_float(h)
                                          : cvni_word_to_float((uint32_t)h << 16);
}

/* n narrow numbers at the beginning of x become floats. */
static void cvncl_widen(const cvncl_backend *b, float *x, size_t n)
{
    uint16_t h;
    while (n-- > 0) {
        memcpy(&h, (const char *)x + n * sizeof h, sizeof h);
        x[n] = cvncl_widened(b, h);
    }
}

static int cvncl_power(int n)
{
    int p = 0;
    while (p < 30 && 1 << p < n) p++;
    return p;
}

static cvncl_class cvncl_coarse(const cvncl_class *c)
{
    cvncl_class coarse = *c;
    coarse.batch = cvncl_power(c->batch);
    coarse.M = cvncl_power(c->M);
    coarse.N = cvncl_power(c->N);
    coarse.K = cvncl_power(c->K);
    return coarse;
}

static int cvncl_tuned(const cvncl_backend *b, const cvncl_class *c)
{
    const cvncl_class coarse = cvncl_coarse(c);
    for (const cvncl_choice *t = b->choices; t; t = t->next)
        if (!memcmp(&t->of, &coarse, sizeof coarse)) return t->way;
    return -1;
}

static int cvncl_keep_choice(cvncl_backend *b, const cvncl_class *coarse, int way)
{
    cvncl_choice *t = (cvncl_choice *)CONVNET_MALLOC(sizeof *t);
    if (!t) return 0;
    t->of = *coarse;
    t->way = way;
    t->next = b->choices;
    b->choices = t;
    return 1;
}

static void cvncl_end_trial(cvncl_backend *b, cvncl_trial *t)
{
    for (int i = 0; i < CVNCL_TRIAL_MEMORIES; i++)
        if (t->memory[i]) b->api.ReleaseMemObject(t->memory[i]);
    CONVNET_FREE(t->want);
    CONVNET_FREE(t->got);
    memset(t, 0, sizeof *t);
}

static void *cvncl_filled_buffer(cvncl_backend *b, const void *from, size_t bytes)
{
    int32_t status = 0;
    void *memory = b->api.CreateBuffer(b->context, CVNCL_READ_WRITE, bytes, NULL, &status);
    if (memory && b->api.EnqueueWriteBuffer(b->queue, memory, 1, 0, bytes, from, 0, NULL,
                                            NULL) != 0) {
        b->api.ReleaseMemObject(memory);
        memory = NULL;
    }
    return memory;
}

/* A buffer of n elements, made in `room`: random numbers in -1..1, or narrow ones whose magnitudes
 * are in 1/8..1/2, and `zeros` at the end. */
static void *cvncl_random_buffer(cvncl_backend *b, float *room, size_t n, size_t zeros,
                                 uint32_t seed, int narrow)
{
    const int fp16 = b->storage == CVNCL_STORE_FP16;
    for (size_t i = 0; i < n; i++) {
        const int zero = i + zeros >= n;
        uint16_t h;
        seed = seed * 1664525u + 1013904223u;
        h = (uint16_t)(fp16 ? (seed >> 16 & 0x87FF) | 0x3000 : (seed >> 16 & 0x80FF) | 0x3E00);
        if (zero) h = 0;
        if (narrow) memcpy((char *)room + i * sizeof h, &h, sizeof h);
        else room[i] = zero ? 0 : (float)(seed >> 8) / 8388608.0f - 1;
    }
    return cvncl_filled_buffer(b, room, n * (narrow ? sizeof(uint16_t) : sizeof(float)));
}

static int32_t cvncl_run_trial(cvncl_backend *b, const cvncl_trial *t, const cvncl_built *built)
{
    const cvncl_class *c = &t->of;
    const int32_t ints[3][10] = {
        { c->M, c->N, c->K, c->layout / 2 ? c->K : c->M, c->M * c->K, c->layout % 2 ? c->K : c->N,
          c->N * c->K, c->N, c->M * c->N, c->K },
        { 1 },                                                  /* images */
        { c->batch * c->K, c->batch, c->K }                     /* positions, slices, length */
    };
    static const uint32_t buffers[3] = { 6, 7, 4 };
    static const uint32_t counts[3] = { 10, 1, 3 };
    const float floats[2] = { 0.5f, 2 };
    const int kind = c->layout / 4;
    uint32_t index = 0;
    int32_t status = 0;
    for (uint32_t i = 0; i < buffers[kind] && status == 0; i++) {
        const uint64_t at = t->memory[i] ? 0 : CVNCL_NOWHERE;
        status = b->api.SetKernelArg(built->kernel, index++, sizeof(void *), &t->memory[i]);
        if (status == 0) status = b->api.SetKernelArg(built->kernel, index++, sizeof at, &at);
    }
    for (uint32_t i = 0; i < counts[kind] && status == 0; i++)
        status = b->api.SetKernelArg(built->kernel, index++, sizeof(int32_t), &ints[kind][i]);
    for (uint32_t i = 0; i < 2 && kind < 2 && status == 0; i++)
        status = b->api.SetKernelArg(built->kernel, index++, sizeof(float), &floats[i]);
    return status == 0 ? cvncl_run_built(b, built, c) : status;
}

/* One run into a result full of NaN, and what came. */
static int cvncl_result_of_trial(cvncl_backend *b, const cvncl_trial *t, const cvncl_built *built,
                                 float *to)
{
    const int narrow = cvncl_trial_narrow(b, &t->of, t->out);
    const size_t bytes = t->count * sizeof(float) >> narrow;
    void *out = t->memory[t->out];
    int ok;
    memset(to, 0xFF, bytes);    /* NaN in all types */
    ok = b->api.EnqueueWriteBuffer(b->queue, out, 1, 0, bytes, to, 0, NULL, NULL) == 0 &&
         cvncl_run_trial(b, t, built) == 0 &&
         b->api.EnqueueReadBuffer(b->queue, out, 1, 0, bytes, to, 0, NULL, NULL) == 0;
    if (narrow) cvncl_widen(b, to, t->count);
    return ok;
}

/* Elements of a trial's memories. */
static void cvncl_trial_sizes(const cvncl_class *c, size_t sizes[CVNCL_TRIAL_MEMORIES])
{
    memset(sizes, 0, CVNCL_TRIAL_MEMORIES * sizeof *sizes);
    sizes[0] = (size_t)c->M * (size_t)c->K * (size_t)c->batch;
    sizes[1] = (size_t)c->N * (size_t)c->K * (size_t)c->batch;
    sizes[2] = (size_t)c->N;
    sizes[3] = sizes[4] = (size_t)c->M * (size_t)c->N * (size_t)c->batch;
}

static void cvncl_conv_trial_sizes(const cvncl_class *of,
                                   size_t sizes[CVNCL_TRIAL_MEMORIES]);     /* >>cl-conv */
static int *cvncl_conv_trial_table(const cvncl_class *of, size_t *count);

/* Random operands of a class and what the plain kernel makes of them. */
static int cvncl_begin_trial(cvncl_backend *b, const cvncl_class *c, cvncl_trial *t)
{
    static const int outs[3] = { 4, 4, 2 };
    const cvncl_built *built = cvncl_get_built(b, CVNCL_ROWS_16X16, c->layout, 1);
    const int conv = c->layout > 3;
    size_t sizes[CVNCL_TRIAL_MEMORIES], most = 0, ints = 0;
    int *table = conv ? cvncl_conv_trial_table(c, &ints) : NULL;
    float *room;
    int ok;
    memset(t, 0, sizeof *t);
    t->of = *c;
    t->out = outs[c->layout / 4];
    if (conv) cvncl_conv_trial_sizes(c, sizes);
    else cvncl_trial_sizes(c, sizes);
    for (int i = 0; i < CVNCL_TRIAL_MEMORIES; i++) most = cvni_max_size(most, sizes[i]);
    t->count = sizes[t->out];
    room = (float *)CONVNET_MALLOC(most * sizeof(float));
    t->want = (float *)CONVNET_MALLOC(t->count * sizeof(float));
    t->got = (float *)CONVNET_MALLOC(t->count * sizeof(float));
    ok = built && built->kernel && room && t->want && t->got && (!conv || table);
    for (int i = 0; i < CVNCL_TRIAL_MEMORIES && ok; i++) {
        const int zeros = c->layout == CVNCL_LAYOUT_GATHER && i == 1 ? c->K / c->taps : 0;
        const int is_table = conv && i == t->out + 1;
        if (sizes[i] == 0 && !is_table) continue;
        t->memory[i] = is_table ? cvncl_filled_buffer(b, table, ints * sizeof(int))
                                : cvncl_random_buffer(b, room, sizes[i], (size_t)zeros,
                                                      (uint32_t)i + 1,
                                                      cvncl_trial_narrow(b, c, i));
        ok = t->memory[i] != NULL;
    }
    CONVNET_FREE(table);
    CONVNET_FREE(room);
    ok = ok && cvncl_result_of_trial(b, t, built, t->want);
    if (!ok) cvncl_end_trial(b, t);
    return ok;
}

/* |got - want| over |want|; infinite where it cannot be run. */
static double cvncl_trial_error(cvncl_backend *b, const cvncl_trial *t, const cvncl_built *built)
{
    double d = 0, s = 0;
    if (!cvncl_result_of_trial(b, t, built, t->got)) return HUGE_VAL;
    for (size_t i = 0; i < t->count; i++) {
        const double want = (double)t->want[i];
        const double e = (double)t->got[i] - want;
        d += e * e;
        s += want * want;
    }
    return d <= s ? sqrt(d / s) : HUGE_VAL;     /* NaN too */
}

/* Seconds of a run, the median of three times so many that the clock tells. */
static double cvncl_trial_seconds(cvncl_backend *b, const cvncl_trial *t, const cvncl_built *built)
{
    double times[3] = { 0, 0, 0 };
    int runs = 1;
    for (int i = -1; i < 3; i++) {
        const double begin = cvni_seconds();
        double seconds;
        for (int r = 0; r < runs; r++)
            if (cvncl_run_trial(b, t, built) != 0) return HUGE_VAL;
        b->api.Finish(b->queue);
        seconds = cvni_seconds() - begin;
        if (i >= 0) times[i] = seconds / runs;
        else runs = seconds > 2e-3 ? 1 : (int)cvni_min(50, 1 + (int)(2e-3 / (seconds + 1e-5)));
    }
    return fmax(fmin(times[0], times[1]), fmin(fmax(times[0], times[1]), times[2]));
}

/* A kernel on matrix units against the plain one: edges in all axes, all stages more than once, and
 * several groups for each unit: where these share a unit, local memory read too early shows. */
static int cvncl_mma_works(cvncl_backend *b, cvncl_built *built)
{
    static const cvncl_class shapes[3] = {
        { 0, 4, 2, 140, 132, 244, 0 }, { 0, 8, 2, 140, 136, 360, 9 }, { 0, 8, 2, 144, 136, 244, 9 }
    };
    cvncl_class c = shapes[built->layout / 4];
    cvncl_trial t;
    double error;
    c.layout = built->layout;
    c.vector = built->vector;
    if (built->layout < 4) c.batch = cvni_max(2, cvni_min(b->units, 256));
    if (!cvncl_begin_trial(b, &c, &t)) return 0;
    error = cvncl_trial_error(b, &t, built);
    cvncl_end_trial(b, &t);
    return error < cvncl_bound(b, CVNCL_BY_MMA, c.layout);
}

/* Nothing that cannot be: of a convolution's channels and taps, one side is the product. */
static void cvncl_whole_taps(cvncl_class *c)
{
    int *side = c->layout == CVNCL_LAYOUT_GATHER ? &c->K : &c->M;
    const int unit = c->taps * c->vector;
    if (c->layout > 3) *side = cvni_max(1, *side / unit) * unit;
}

/* The product that stands for a class: at most 2048 a side, and so small that a run of the plain
 * kernel takes 0.1 s at most, for a screen may hang on this device. */
static cvncl_class cvncl_trial_class(cvncl_backend *b, const cvncl_class *c)
{
    cvncl_class small = *c;
    cvncl_class first = *c;
    cvncl_trial t;
    double rate = 1e9;
    first.vector = first.batch = 1;
    first.M = first.N = first.K = 128;
    cvncl_whole_taps(&first);
    if (cvncl_begin_trial(b, &first, &t)) {
        const cvncl_built *built = cvncl_get_built(b, CVNCL_ROWS_16X16, c->layout, 1);
        rate = 128.0 * 128 * 128 / cvncl_trial_seconds(b, &t, built);
        cvncl_end_trial(b, &t);
    }
    small.batch = cvni_min(4, c->batch);
    small.M = cvni_min(2048, c->M);
    small.N = cvni_min(2048, c->N);
    small.K = cvni_min(2048, c->K);
    while ((double)small.M * small.N * small.K * small.batch > 0.1 * rate &&
           cvni_max(small.M, cvni_max(small.N, small.K)) > 64) {
        int *side = small.M >= small.N ? &small.M : &small.N;
        if (small.K > *side) side = &small.K;
        *side = *side / 16 * 8;             /* vectors stay whole */
    }
    cvncl_whole_taps(&small);
    return small;
}

/* Whether a way is worth a try: its tile is not far larger than the matrix. */
static int cvncl_worth(const cvncl_backend *b, const cvncl_class *c, int way)
{
    const cvncl_way *w = &cvncl_ways[way];
    return cvncl_way_fits(b, w, c->layout, c->vector) && w->tile.m < 2 * c->M + 16 &&
           w->tile.n < 2 * c->N + 16;
}

static int cvncl_fastest(cvncl_backend *b, const cvncl_class *c, double until)
{
    const cvncl_class small = cvncl_trial_class(b, c);
    const cvncl_built *first = cvncl_choose_built(b, c);
    const int count = b->tune == CVNCL_TUNE_FULL ? (int)CVNCL_WAYS : (int)CVNCL_STARTS;
    double best = HUGE_VAL;
    cvncl_trial t;
    int found = -1;
    if (!first || !cvncl_begin_trial(b, &small, &t)) return -1;
    for (int i = -1; i < count; i++) {          /* what goes without tuning, then all */
        const int way = i < 0 ? first->way : i;
        const cvncl_built *built;
        double seconds;
        if (i == first->way || !cvncl_worth(b, c, way)) continue;
        if (found >= 0 && cvni_seconds() > until) break;
        built = cvncl_get_built(b, way, c->layout, c->vector);
        if (!built || !built->kernel) continue;
        if (!(cvncl_trial_error(b, &t, built) <
              cvncl_bound(b, cvncl_ways[way].kind, c->layout)))
            continue;
        seconds = cvncl_trial_seconds(b, &t, built);
        if (seconds < best) {
            best = seconds;
            found = way;
        }
    }
    cvncl_end_trial(b, &t);
    return found;
}

#ifndef CONVNET_NO_STDIO
static void cvncl_choices_key(const cvncl_backend *b, char key[CVNCL_KEY])
{
    static const char *const precisions[] = { "fp32", "tf32", "bf16" };
    static const char *const images[] = { "fp32", "fp16", "bf16" };
    snprintf(key, CVNCL_KEY,
             "convnet_cl.h " CONVNET_VERSION " ways 3\n%s\n%s\n%s\n%s, images %s, local %d\n",
             b->platform_name, b->name, b->driver, precisions[b->precision], images[b->storage],
             b->local);
}

/* A line: class, then the way in full, for another version's table may have another order. */
static const char cvncl_choice_line[] = "%d %d %d %d %d %d %d %d %d %d %d %d %d %d %d\n";

static int cvncl_read_choice(cvncl_backend *b, const char *line)
{
    cvncl_class c;
    cvncl_way w;
    int kind;
    if (sscanf(line, cvncl_choice_line, &c.layout, &c.vector, &c.batch, &c.M, &c.N, &c.K, &c.taps,
               &kind, &w.tile.m, &w.tile.n, &w.tile.k, &w.tile.item_m, &w.tile.item_n, &w.wide,
               &w.registers) != 15)
        return 0;
    for (int i = 0; i < CVNCL_WAYS; i++) {
        const cvncl_way *way = &cvncl_ways[i];
        if ((int)way->kind == kind && way->wide == w.wide && way->registers == w.registers &&
            !memcmp(&way->tile, &w.tile, sizeof w.tile))
            return cvncl_keep_choice(b, &c, i);
    }
    return 1;
}

static void cvncl_read_choices(cvncl_backend *b)
{
    char key[CVNCL_KEY];
    size_t size;
    char *text, *line;
    cvncl_choices_key(b, key);
    text = (char *)cvncl_cache_read(b, key, &size);
    if (!text) return;
    text[size - 1] = 0;
    for (line = text; line && cvncl_read_choice(b, line); line = strchr(line + 1, '\n')) continue;
    CONVNET_FREE(text);
}

static void cvncl_write_choices(const cvncl_backend *b)
{
    char key[CVNCL_KEY];
    size_t count = 1, room;
    char *text, *end;
    for (const cvncl_choice *t = b->choices; t; t = t->next) count++;
    room = count * 160;
    text = end = (char *)CONVNET_MALLOC(room);
    if (!text) return;
    for (const cvncl_choice *t = b->choices; t; t = t->next) {
        const cvncl_way *w = &cvncl_ways[t->way];
        end += snprintf(end, room - (size_t)(end - text), cvncl_choice_line, t->of.layout,
                        t->of.vector, t->of.batch, t->of.M, t->of.N, t->of.K, t->of.taps,
                        (int)w->kind, w->tile.m, w->tile.n, w->tile.k, w->tile.item_m,
                        w->tile.item_n, w->wide, w->registers);
    }
    cvncl_choices_key(b, key);
    cvncl_cache_write(b, key, text, (size_t)(end - text));
    CONVNET_FREE(text);
}
#else
static void cvncl_read_choices(cvncl_backend *b) { (void)b; }
static void cvncl_write_choices(const cvncl_backend *b) { (void)b; }
#endif

static void cvncl_tune(cvncl_backend *b, const cvncl_class *c)
{
    const double begin = cvni_seconds();
    const cvncl_class coarse = cvncl_coarse(c);
    int way;
    if (b->tune == CVNCL_TUNE_OFF) return;
    if (!b->choices_read) cvncl_read_choices(b);
    b->choices_read = 1;
    if (cvncl_tuned(b, c) >= 0 || (b->tune == CVNCL_TUNE_FAST && b->tune_left <= 0)) return;
    way = cvncl_fastest(b, c, b->tune == CVNCL_TUNE_FAST ? begin + b->tune_left : HUGE_VAL);
    b->tune_left -= cvni_seconds() - begin;
    if (way >= 0 && cvncl_keep_choice(b, &coarse, way)) cvncl_write_choices(b);
}

/* What of the device and the description decides about products. */
static void cvncl_measure_products(cvncl_backend *b, const cvncl_desc *d)
{
    const char *env = getenv("CONVNET_CL_TUNE");
    char extensions[4000];
    cvncl_text(b, b->device, CVNCL_DEVICE_EXTENSIONS, 1, extensions, sizeof extensions);
    b->register_option = strstr(extensions, "cl_nv_compiler_options") != NULL;
    b->is_cpu = (cvncl_number(b, b->device, CVNCL_DEVICE_TYPE) & CVNCL_CPU) != 0;
    b->max_group = cvncl_number(b, b->device, CVNCL_DEVICE_GROUP);
    b->local_bytes = cvncl_number(b, b->device, CVNCL_DEVICE_LOCAL);
    b->vendor = cvncl_vendor_of((uint32_t)cvncl_number(b, b->device, CVNCL_DEVICE_VENDOR_ID),
                              b->is_cpu, b->local ? 1 : -1);
    b->precision = d->precision;
    b->tune = d->tune ? d->tune : b->is_cpu ? CVNCL_TUNE_OFF : CVNCL_TUNE_FAST;
    if (env && *env)
        b->tune = !strcmp(env, "full") ? CVNCL_TUNE_FULL
                                       : !strcmp(env, "fast") ? CVNCL_TUNE_FAST : CVNCL_TUNE_OFF;
    b->tune_left = 3;
}

static void cvncl_close_products(cvncl_backend *b)
{
    while (b->built) {
        cvncl_built *next = b->built->next;
        cvncl_drop_built(b, b->built);
        CONVNET_FREE(b->built);
        b->built = next;
    }
    while (b->choices) {
        cvncl_choice *next = b->choices->next;
        CONVNET_FREE(b->choices);
        b->choices = next;
    }
}

/* ================================================================================================
 * >>cl-conv   convolution of 1, 2 and 3 axes, and transposed: implicit GEMM; depthwise
 * ==============================================================================================
 *   Geometry: convnet.h, >>conv. All images are channels last here (>>cl-memory), [N, D, H, W, C].
 *   "Down" makes the small image of the big one, "up" the big one of the small one, and both are
 *   one kernel, a gather: a target position reads one source position a tap, all channels of it.
 *   Where a stride leaves out positions, the target of "up" falls into phases, each with the taps
 *   that reach it: no product by a hole. Weights are put into the order that this reads when they
 *   have changed (a frozen layer's once): [group, tap, channel of the source, channel of the target
 *   padded to 16], the taps of a phase side by side, and behind all as many zeros as the source has
 *   channels, which stand for positions outside. Padding that is not zero: "down" and the weights'
 *   gradient read at folded positions; "up" makes the gradient of the padded image in the work,
 *   which a second kernel folds back.
 *   The weights' gradient is summed in slices of the batch's positions, [slice, group, tap, channel
 *   of the big image, filter], which a second kernel adds in their order. No atomics anywhere.
 *                                                                      tested: tests/test_cl.c */

static const char cvncl_text_conv_common[] =
    "/* Weights in the order of a gather: floats, or, PACKED, numbers as of images. */\n"
    "#if PACKED\n"
    "#define WEIGHT STORED_TYPE\n"
    "#define SET_WEIGHT(p, i, v) SET(p, i, v)\n"
    "#else\n"
    "#define WEIGHT float\n"
    "#define SET_WEIGHT(p, i, v) ((p)[i] = (v))\n"
    "#endif\n"
    "/* g: channels of source and target in all, of a group; pitch of the weights; taps, phases,\n"
    " * groups; sizes; source positions from one grid position to the next; target positions;\n"
    " * cvn_pad_mode. Phase: its grid, where it begins in the target, its taps, the first one.\n"
    " * Tap: what it adds on three axes, its number in the parameter. */\n"
    "#define X_ALL g[0]\n"
    "#define Y_ALL g[1]\n"
    "#define CI g[2]\n"
    "#define CO g[3]\n"
    "#define PITCH g[4]\n"
    "#define TAPS g[5]\n"
    "#define PHASES g[6]\n"
    "#define GROUPS g[7]\n"
    "#define XD g[8]\n"
    "#define XH g[9]\n"
    "#define XW g[10]\n"
    "#define YD g[11]\n"
    "#define YH g[12]\n"
    "#define YW g[13]\n"
    "#define X_STEP (g + 14)\n"
    "#define Y_STEP (g + 17)\n"
    "#define PADS g[20]\n"
    "#define PHASE(p) (g + 21 + 8 * (p))\n"
    "#define TAP(t) (g + 21 + 8 * PHASES + 4 * (t))\n"
    "/* Where place i of a padded axis of n reads: mirrored or clamped. */\n"
    "#define FOLDED(i, n) \\\n"
    "    (PADS == 1 ? min(max(i, -(i)), 2 * (n) - 2 - max(i, -(i))) : clamp(i, 0, (n) - 1))\n"
    "\n"
    "/* Grid position q of the batch: image, and its place on the three axes. */\n"
    "int4 grid_point(global const int *f, int q)\n"
    "{\n"
    "    const int row = q / f[2], d = row / f[1], image = d / f[0];\n"
    "    return (int4)(image, d - image * f[0], row - d * f[1], q - row * f[2]);\n"
    "}\n"
    "\n"
    "/* p, step positions on, whose digits are given. */\n"
    "int4 later_point(global const int *f, int4 p, int4 step)\n"
    "{\n"
    "    p += step;\n"
    "    if (p.w >= f[2]) {\n"
    "        p.w -= f[2];\n"
    "        p.z++;\n"
    "    }\n"
    "    if (p.z >= f[1]) {\n"
    "        p.z -= f[1];\n"
    "        p.y++;\n"
    "    }\n"
    "    if (p.y >= f[0]) {\n"
    "        p.y -= f[0];\n"
    "        p.x++;\n"
    "    }\n"
    "    return p;\n"
    "}\n"
    "\n"
    "int4 next_point(global const int *f, int4 p)\n"
    "{\n"
    "    if (++p.w < f[2]) return p;\n"
    "    p.w = 0;\n"
    "    if (++p.z < f[1]) return p;\n"
    "    p.z = 0;\n"
    "    if (++p.y < f[0]) return p;\n"
    "    p.y = 0;\n"
    "    p.x++;\n"
    "    return p;\n"
    "}\n"
    "\n"
    "/* What a grid position reads by tap 0, 0, 0, inside or not: number of the source position,\n"
    " * its place on the three axes. */\n"
    "int4 window_of(global const int *g, int4 p)\n"
    "{\n"
    "    const int d = p.y * X_STEP[0], h = p.z * X_STEP[1], w = p.w * X_STEP[2];\n"
    "    return (int4)(((p.x * XD + d) * XH + h) * XW + w, d, h, w);\n"
    "}\n"
    "\n"
    "/* The source position of a window by a tap; -1: outside. */\n"
    "int within(global const int *g, int4 window, int4 tap)\n"
    "{\n"
    "    int d = window.y + tap.x, h = window.z + tap.y, w = window.w + tap.z;\n"
    "    int at = window.x + (tap.x * XH + tap.y) * XW + tap.z;\n"
    "    if (PADS) {\n"
    "        at -= (d * XH + h) * XW + w;\n"
    "        d = FOLDED(d, XD);\n"
    "        h = FOLDED(h, XH);\n"
    "        w = FOLDED(w, XW);\n"
    "        at += (d * XH + h) * XW + w;\n"
    "    }\n"
    "    const int inside = ((uint)d < (uint)XD) & ((uint)h < (uint)XH) & ((uint)w < (uint)XW);\n"
    "    return inside ? at : -1;\n"
    "}\n"
    "\n"
    "int source_of(global const int *g, int4 p, int4 tap)\n"
    "{\n"
    "    return within(g, window_of(g, p), tap);\n"
    "}\n"
    "\n"
    "int target_of(global const int *g, global const int *f, int4 p)\n"
    "{\n"
    "    const int d = f[3] + p.y * Y_STEP[0], h = f[4] + p.z * Y_STEP[1];\n"
    "    return ((p.x * YD + d) * YH + h) * YW + f[5] + p.w * Y_STEP[2];\n"
    "}\n";

static const char cvncl_text_conv_gather[] =
    "/* target[position][channel] = act(sums over the taps of its phase and the source's channels\n"
    " * + bias[channel] + with[position][channel]); with may be the target. z: group and phase */\n"
    "#if CONV == 1\n"
    "#define PARAMS \\\n"
    "    IN_X(x), global const WEIGHT *restrict w, const ulong w_at, IN(bias), MEM_X(with), \\\n"
    "    MEM_X(y), INTS(g), OUT(stats), const int images, const float slope, const float most\n"
    "#define SETUP \\\n"
    "    const int z = get_group_id(2); \\\n"
    "    AT(x); AT(w); AT(bias); AT(with); AT(y); AT(g); AT(stats); \\\n"
    "    const int group = z / PHASES, N = CO; \\\n"
    "    global const int *f = PHASE(z % PHASES); \\\n"
    "    const int M = images * f[0] * f[1] * f[2], first = 0, last = f[6] * CI; \\\n"
    "    x += group * CI; \\\n"
    "    y += group * CO; \\\n"
    "    bias += HAS(bias) ? group * CO : 0; \\\n"
    "    with += HAS(with) ? group * CO : 0; \\\n"
    "    stats += HAS(stats) ? (size_t)group * CO * ((M + 31) / 32) : 0; \\\n"
    "    w += (size_t)(group * TAPS + f[7]) * CI * PITCH;\n"
    "#define SHIFT(n) (HAS(bias) ? bias[n] : 0)\n"
    "#define PLACE(m) ((size_t)target_of(g, f, grid_point(f, m)) * Y_ALL)\n"
    "#define TARGET(m) (y + PLACE(m))\n"
    "#define ADDED(m) (HAS(with) ? with + PLACE(m) : 0)\n"
    "#define CHANNELS Y_ALL\n"
    "#define LAST(v) clamped(v, slope, most)\n"
    "#define WHOLE(n) \\\n"
    "    ((((int)y_at | (HAS(with) ? (int)with_at : 0) | Y_ALL | CO) & ((n) - 1)) == 0)\n"
    "#endif\n";

static const char cvncl_text_conv_weights[] =
    "/* part[slice][group][tap, channel][filter]: sums over `length` positions of the small image\n"
    " * y; z: group and slice; g: the table of \"down\" */\n"
    "#if CONV == 2\n"
    "#define PARAMS \\\n"
    "    IN_X(x), IN_X(y), OUT(part), INTS(g), const int positions, const int slices, \\\n"
    "    const int length\n"
    "#define SETUP \\\n"
    "    const int z = get_group_id(2); \\\n"
    "    AT(x); AT(y); AT(part); AT(g); \\\n"
    "    const int group = z / slices, slice = z % slices, N = CO, M = TAPS * CI; \\\n"
    "    const int first = slice * length, last = min(first + length, positions); \\\n"
    "    x += group * CI; \\\n"
    "    y += group * CO; \\\n"
    "    part += (size_t)(slice * GROUPS + group) * M * N; \\\n"
    "    const int4 tile_k = grid_point(PHASE(0), TK);\n"
    "#define SHIFT(n) 0\n"
    "#define ADDED(m) 0\n"
    "#define TARGET(m) (part + (size_t)(m) * N)\n"
    "#define LAST(v) (v)\n"
    "#define WHOLE(n) (((int)part_at & ((n) - 1)) == 0 && (CO & ((n) - 1)) == 0)\n"
    "#endif\n";

static const char cvncl_text_tiled_conv[] =
    "/* The loaders of a convolution: channels of a tap at a place of the source. VEC 4: of each\n"
    " * group there are whole fours. */\n"
    "#if CONV\n"
    "FOUR channels(global const STORED_TYPE *x, global const int *g, const int at, const int c)\n"
    "{\n"
    "    return at < 0 ? (FOUR)(0) : LOAD4(x + (size_t)at * X_ALL + c);\n"
    "}\n"
    "#endif\n"
    "#if CONV == 1\n"
    "/* From k on, of a window. */\n"
    "FOUR gather_four(global const STORED_TYPE *x, global const int *g, global const int *f,\n"
    "                 const int4 window, const int k, const int last)\n"
    "{\n"
    "    int t = max(min(k, last - 1), 0) / CI, c = k - t * CI;\n"
    "#if VEC == 4\n"
    "    const int at = within(g, window, vload4(min(f[7] + t, TAPS - 1), TAP(0)));\n"
    "    return channels(x, g, k < last ? at : -1, c);\n"
    "#else\n"
    "    ONE v[4];\n"
    "    for (int i = 0; i < 4; i++) {\n"
    "        const int at = k + i < last ? within(g, window, vload4(f[7] + t, TAP(0))) : -1;\n"
    "        v[i] = at < 0 ? 0 : LOAD1(x + (size_t)at * X_ALL + c);\n"
    "        if (++c == CI) {\n"
    "            c = 0;\n"
    "            t++;\n"
    "        }\n"
    "    }\n"
    "    return vload4(0, v);\n"
    "#endif\n"
    "}\n"
    "\n"
    "#define SPOT int4\n"
    "#define SPOT_A(m, k) window_of(g, grid_point(f, min(m, M - 1)))\n"
    "#define QUAD_A(spot, m, k) gather_four(x, g, f, spot, k, last)\n"
    "#define NEXT_A(spot)\n"
    "#if PACKED\n"
    "#define WEIGHT4(p) LOAD4(p)\n"
    "#else\n"
    "#define WEIGHT4(p) *(global const float4 *)(p)\n"
    "#endif\n"
    "#define SPOT_B(n) min(n, PITCH - 4)\n"
    "#define QUAD_B(spot, k) \\\n"
    "    ((k) < last ? WEIGHT4(w + (size_t)(k) * PITCH + spot) : (FOUR)(0))\n"
    "#elif CONV == 2\n"
    "/* Rows from m on, at a grid position, if it is `in` the slice. */\n"
    "FOUR weights_four(global const STORED_TYPE *x, global const int *g, const int4 point,\n"
    "                  const int m, const int M, const int in)\n"
    "{\n"
    "    const int4 window = window_of(g, point);\n"
    "#if VEC == 4\n"
    "    const int row = min(m, M - 4), t = row / CI;\n"
    "    const int at = within(g, window, vload4(t, TAP(0)));\n"
    "    return channels(x, g, in ? at : -1, row - t * CI);\n"
    "#else\n"
    "    ONE v[4];\n"
    "    EACH(i, 4) {\n"
    "        const int row = min(m + i, M - 1), t = row / CI;\n"
    "        const int at = in ? within(g, window, vload4(t, TAP(0))) : -1;\n"
    "        v[i] = at < 0 ? 0 : LOAD1(x + (size_t)at * X_ALL + row - t * CI);\n"
    "    }\n"
    "    return vload4(0, v);\n"
    "#endif\n"
    "}\n"
    "\n"
    "#define SPOT int4\n"
    "#define SPOT_A(m, k) grid_point(PHASE(0), k)\n"
    "#define QUAD_A(spot, m, k) weights_four(x, g, spot, m, M, (k) < last)\n"
    "#define NEXT_A(spot) spot = later_point(PHASE(0), spot, tile_k)\n"
    "#define SPOT_B(n) min(n, N - VEC)\n"
    "#define QUAD_B(spot, k) four(y + (size_t)(k) * Y_ALL + spot, (k) < last ? N - spot : 0)\n"
    "#endif\n";

static const char cvncl_text_conv_plain[] =
    "#define GLUE_(a, b) a##b\n"
    "#define GLUE(a, b) GLUE_(a, b)\n"
    "#if STORED == 2\n"
    "#define GET_WIDE(p) GLUE(as_float, WN)(GLUE(convert_uint, WN)(VLOAD(0, p)) << 16)\n"
    "#elif STORED == 1\n"
    "#define GET_WIDE(p) GLUE(vload_half, WN)(0, (global const half *)(p))\n"
    "#else\n"
    "#define GET_WIDE(p) VLOAD(0, p)\n"
    "#endif\n"
    "#if PACKED\n"
    "#define WEIGHTS_WIDE(p) GET_WIDE(p)\n"
    "#else\n"
    "#define WEIGHTS_WIDE(p) VLOAD(0, p)\n"
    "#endif\n"
    "\n"
    "/* Four channels, of which `left` are there; whole: all channels are whole fours. bias,\n"
    " * with: or NULL */\n"
    "void store_quad(global STORED_TYPE *y, float4 v, global const float *bias,\n"
    "                global const STORED_TYPE *with, int left, int whole, float slope,\n"
    "                float most)\n"
    "{\n"
    "    float s[4];\n"
    "    if (whole && left >= 4) {\n"
    "        v += bias ? vload4(0, bias) : (float4)(0);\n"
    "        v += with ? GET4(with) : (float4)(0);\n"
    "        v = select(v, slope > 0 ? slope * v : (float4)(0), v < 0);\n"
    "        v = select(v, (float4)(most), v > most);\n"
    "        SET4(y, v);\n"
    "        return;\n"
    "    }\n"
    "    vstore4(v, 0, s);\n"
    "#pragma unroll\n"
    "    for (int i = 0; i < 4; i++)\n"
    "        if (i < left) {\n"
    "            const float sum = s[i] + (bias ? bias[i] : 0) + (with ? GET(with, i) : 0);\n"
    "            SET(y, i, clamped(sum, slope, most));\n"
    "        }\n"
    "}\n"
    "\n"
    "#if CONV == 1\n"
    "/* Without local memory: an item sums WM positions by WN channels at once. Outside it reads\n"
    " * the zeros behind the weights. */\n"
    "kernel __attribute__((reqd_work_group_size(IX, IY, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    VECTOR sum[WM];\n"
    "    int4 window[WM];\n"
    "    SETUP\n"
    "    const int m0 = FIRST_M + get_local_id(1) * WM, n0 = FIRST_N + get_local_id(0) * WN;\n"
    "    global const WEIGHT *zeros = w + (size_t)((GROUPS - group) * TAPS - f[7]) * CI * PITCH;\n"
    "    w += min(n0, PITCH - WN);\n"
    "    for (int i = 0; i < WM; i++) {\n"
    "        sum[i] = (VECTOR)(0);\n"
    "        window[i] = window_of(g, grid_point(f, m0 + i));\n"
    "    }\n"
    "    for (int t = 0; t < f[6]; t++, w += CI * PITCH) {\n"
    "        const int4 tap = vload4(f[7] + t, TAP(0));\n"
    "        global const STORED_TYPE *row[WM];\n"
    "        for (int i = 0; i < WM; i++) {\n"
    "            const int from = m0 + i < M ? within(g, window[i], tap) : -1;\n"
    "            row[i] = from < 0 ? (global const STORED_TYPE *)zeros\n"
    "                              : x + (size_t)from * X_ALL;\n"
    "        }\n"
    "        for (int c = 0; c < CI; c++) {\n"
    "            const VECTOR b = WEIGHTS_WIDE(w + (size_t)c * PITCH);\n"
    "            for (int i = 0; i < WM; i++) sum[i] += GET(row[i], c) * b;\n"
    "        }\n"
    "    }\n"
    "    for (int i = 0; i < WM; i++) {\n"
    "        float line[WN];\n"
    "        if (m0 + i >= M) continue;\n"
    "        const size_t at = PLACE(m0 + i) + n0;\n"
    "        VSTORE(sum[i], 0, line);\n"
    "        for (int j = 0; j < WN; j += 4)\n"
    "            store_quad(y + at + j, vload4(0, line + j), HAS(bias) ? bias + n0 + j : 0,\n"
    "                       HAS(with) ? with + at + j : 0, N - n0 - j, N % 4 == 0, slope, most);\n"
    "    }\n"
    "}\n"
    "#endif\n";

static const char cvncl_text_conv_plain_weights[] =
    "#if CONV == 2\n"
    "#define INTS_WM GLUE(int, WM)\n"
    "#define ROWS GLUE(vload, WM)\n"
    "#define PUT_ROWS GLUE(vstore, WM)\n"
    "\n"
    "/* source_of for WM rows at d, h, w; at: without the tap */\n"
    "INTS_WM sources_of(global const int *g, INTS_WM at, INTS_WM d, INTS_WM h, INTS_WM w,\n"
    "                   int4 tap)\n"
    "{\n"
    "    d += tap.x;\n"
    "    h += tap.y;\n"
    "    w += tap.z;\n"
    "    at += (tap.x * XH + tap.y) * XW + tap.z;\n"
    "    if (PADS) {\n"
    "        at -= (d * XH + h) * XW + w;\n"
    "        d = FOLDED(d, XD);\n"
    "        h = FOLDED(h, XH);\n"
    "        w = FOLDED(w, XW);\n"
    "        at += (d * XH + h) * XW + w;\n"
    "    }\n"
    "    return select((INTS_WM)(-1), at,\n"
    "                  d >= 0 & d < XD & h >= 0 & h < XH & w >= 0 & w < XW);\n"
    "}\n"
    "\n"
    "/* A vector may run into the next position, but not behind the tensor. */\n"
    "VECTOR load_left(global const STORED_TYPE *y, int left)\n"
    "{\n"
    "    float v[WN];\n"
    "    if (left >= WN) return GET_WIDE(y);\n"
    "    for (int j = 0; j < WN; j++) v[j] = j < left ? GET(y, j) : 0;\n"
    "    return VLOAD(0, v);\n"
    "}\n"
    "\n"
    "/* Without local memory: an item sums WM rows, of one tap, by WN filters at once; where a\n"
    " * tap has fewer channels, its rows are of several taps. */\n"
    "kernel __attribute__((reqd_work_group_size(IX, IY, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    VECTOR sum[WM];\n"
    "    int c[WM], d[WM], h[WM], v[WM];\n"
    "    SETUP\n"
    "    const int item = FIRST_M / WM + get_local_id(1), n0 = FIRST_N + get_local_id(0) * WN;\n"
    "    const int blocks = CI < WM ? 1 : (CI + WM - 1) / WM;\n"
    "    const int block = min(item, (CI < WM ? (M + WM - 1) / WM : TAPS * blocks) - 1);\n"
    "    const int c0 = block % blocks * WM;\n"
    "    const int m0 = CI < WM ? block * WM : block / blocks * CI + c0;\n"
    "    const int rows = min(WM, CI < WM ? M - m0 : CI - c0);\n"
    "    int4 p = grid_point(PHASE(0), first);\n"
    "    for (int i = 0; i < WM; i++) {\n"
    "        const int m = min(m0 + i, m0 + rows - 1), t = m / CI;\n"
    "        sum[i] = (VECTOR)(0);\n"
    "        c[i] = m - t * CI;\n"
    "        d[i] = TAP(t)[0];\n"
    "        h[i] = TAP(t)[1];\n"
    "        v[i] = TAP(t)[2];\n"
    "    }\n"
    "    const INTS_WM all_d = ROWS(0, d), all_h = ROWS(0, h), all_w = ROWS(0, v);\n"
    "    const INTS_WM all_at = (all_d * XH + all_h) * XW + all_w;\n"
    "    const int end = positions * Y_ALL - group * CO - n0;\n"
    "    y += n0;\n"
    "    for (int q = first; q < last; q++, p = next_point(PHASE(0), p)) {\n"
    "        const int4 place = (int4)(p.y * X_STEP[0], p.z * X_STEP[1], p.w * X_STEP[2], 0);\n"
    "        const int base = p.x * XD * XH * XW;\n"
    "        if (CI >= WM) {\n"
    "            const int from = source_of(g, p, (int4)(d[0], h[0], v[0], 0));\n"
    "            if (from < 0) continue;\n"
    "            const VECTOR b = load_left(y + (size_t)q * Y_ALL, end - q * Y_ALL);\n"
    "            for (int i = 0; i < WM; i++) sum[i] += GET(x, (size_t)from * X_ALL + c[i]) * b;\n"
    "        } else {\n"
    "            const VECTOR b = load_left(y + (size_t)q * Y_ALL, end - q * Y_ALL);\n"
    "            int from[WM];\n"
    "            PUT_ROWS(sources_of(g, all_at + base, all_d, all_h, all_w, place), 0, from);\n"
    "            for (int i = 0; i < WM; i++)\n"
    "                sum[i] +=\n"
    "                    (from[i] < 0 ? 0 : GET(x, (size_t)from[i] * X_ALL + c[i])) * b;\n"
    "        }\n"
    "    }\n"
    "    for (int i = 0; i < WM; i++) {\n"
    "        float line[WN];\n"
    "        VSTORE(sum[i], 0, line);\n"
    "        for (int j = 0; j < WN; j++)\n"
    "            if (item == block && i < rows && n0 + j < N)\n"
    "                part[(size_t)(m0 + i) * N + n0 + j] = line[j];\n"
    "    }\n"
    "}\n"
    "#endif\n";

static const char cvncl_text_conv_order[] =
    "/* Weights into the orders of gathers, those of many layers side by side in p: an item each\n"
    " * element of [first, first + n). row: where the weights of a gather begin in p and, but for\n"
    " * `own`, which has those of a single layer, in w; its table in g; whether it is \"up\". The\n"
    " * parameter is [filter, channel of the group, tap]. */\n"
    "kernel void conv_pack(IN(w), global WEIGHT *restrict p, const ulong p_at, INTS(row),\n"
    "                      INTS(g), const int rows, const int first, const int n,\n"
    "                      const int own)\n"
    "{\n"
    "    const int at = first + (int)get_global_id(0);\n"
    "    int low = 0;\n"
    "    AT(w); AT(p); AT(row); AT(g);\n"
    "    if (at >= first + n) return;\n"
    "    for (int high = rows; low + 1 < high;) {\n"
    "        const int half_way = (low + high) / 2;\n"
    "        if (row[4 * half_way] <= at) low = half_way;\n"
    "        else high = half_way;\n"
    "    }\n"
    "    row += 4 * low;\n"
    "    g += row[2];\n"
    "    const int up = row[3], i = at - row[0];\n"
    "    const int o = i % PITCH, line = i / PITCH, c = line % CI, slot = line / CI;\n"
    "    const int group = slot / TAPS, t = TAP(slot % TAPS)[3];\n"
    "    const int filter = group * (up ? CI : CO) + (up ? c : o), channel = up ? o : c;\n"
    "    const int from = (own ? 0 : row[1]) + (filter * (up ? CO : CI) + channel) * TAPS + t;\n"
    "    SET_WEIGHT(p, at, group < GROUPS && o < CO ? w[from] : 0);\n"
    "}\n"
    "\n"
    "/* dw [filter, channel of the group, tap] += the sums of the parts [slice, group, tap,\n"
    " * channel, filter], times `factor`; `filters` of a group */\n"
    "kernel void conv_reduce(IN(part), MEM(dw), const int n, const int slices,\n"
    "                        const int channels, const int taps, const int filters,\n"
    "                        IN(factor))\n"
    "{\n"
    "    local float shared[WG];\n"
    "    const int i = SLICED, row = i / filters, c = row % channels, t = row / channels % taps;\n"
    "    const int f = row / channels / taps * filters + i % filters;\n"
    "    AT(part); AT(dw);\n"
    "    const float sum = sum_of_slices(part, i, n, slices, shared);\n"
    "    if (i < n && get_local_id(0) < WG / LANES)\n"
    "        dw[(f * channels + c) * taps + t] += NUMBER(factor) * sum;\n"
    "}\n"
    "\n"
    "/* dx [N, D, H, W, C] (+)= the gradient p of the padded image, folded back. g: sizes of\n"
    " * both; of each axis where the places that each position has in p begin, then those. */\n"
    "kernel void conv_fold(IN_X(p), MEM_X(dx), INTS(g), const int n, const int C, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), c = i % C, row = i / C;\n"
    "    float sum = 0;\n"
    "    AT(p); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int w = row % g[2], h = row / g[2] % g[1], d = row / g[2] / g[1] % g[0];\n"
    "    const int image = row / g[2] / g[1] / g[0];\n"
    "    global const int *fd = g + 6, *fh = fd + g[0] + 1 + g[3], *fw = fh + g[1] + 1 + g[4];\n"
    "    for (int a = fd[d]; a < fd[d + 1]; a++)\n"
    "        for (int b = fh[h]; b < fh[h + 1]; b++)\n"
    "            for (int e = fw[w]; e < fw[w + 1]; e++)\n"
    "                sum += GET(p, ((size_t)((image * g[3] + fd[a]) * g[4] + fh[b]) * g[5] +\n"
    "                               fw[e]) * C + c);\n"
    "    SET(dx, i, add ? GET(dx, i) + sum : sum);\n"
    "}\n";

static const char cvncl_text_depthwise[] =
    "/* Where a group has one channel of the big image: an item each element of the target. */\n"
    "kernel void depthwise(IN_X(x), IN(w), IN(bias), MEM_X(with), MEM_X(y), INTS(g),\n"
    "                      const int n, const float slope, const float most)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(w); AT(bias); AT(with); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int o = i % Y_ALL, q = i / Y_ALL, row = q / YW, d = row / YH;\n"
    "    const int4 at = (int4)(d / YD, d % YD, row % YH, q % YW);\n"
    "    const int4 p = (int4)(at.x, at.y / Y_STEP[0], at.z / Y_STEP[1], at.w / Y_STEP[2]);\n"
    "    const int phase = (at.y % Y_STEP[0] * Y_STEP[1] + at.z % Y_STEP[1]) * Y_STEP[2] +\n"
    "                      at.w % Y_STEP[2];\n"
    "    global const int *f = PHASE(phase);\n"
    "    for (int t = f[7]; t < f[7] + f[6]; t++) {\n"
    "        const int4 tap = vload4(t, TAP(0));\n"
    "        const int from = source_of(g, p, tap);\n"
    "        if (from < 0) continue;\n"
    "        for (int c = 0; c < CI; c++)\n"
    "            sum += w[(o * CI + c) * TAPS + tap.w] *\n"
    "                   GET(x, (size_t)from * X_ALL + o / CO * CI + c);\n"
    "    }\n"
    "    sum += HAS(bias) ? bias[o] : 0;\n"
    "    SET(y, i, clamped(sum + (HAS(with) ? GET(with, i) : 0), slope, most));\n"
    "}\n"
    "\n"
    "/* part[slice][tap][filter], as conv_weights */\n"
    "kernel void depthwise_weights(IN_X(x), IN_X(y), OUT(part), INTS(g), const int positions,\n"
    "                              const int n, const int length)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(y); AT(part); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int o = i % Y_ALL, t = i / Y_ALL % TAPS, first = i / Y_ALL / TAPS * length;\n"
    "    const int last = min(first + length, positions);\n"
    "    const int4 tap = vload4(t, TAP(0));\n"
    "    int4 p = grid_point(PHASE(0), first);\n"
    "    for (int q = first; q < last; q++, p = next_point(PHASE(0), p)) {\n"
    "        const int from = source_of(g, p, tap);\n"
    "        if (from >= 0)\n"
    "            sum += GET(y, (size_t)q * Y_ALL + o) * GET(x, (size_t)from * X_ALL + o / CO);\n"
    "    }\n"
    "    part[i] = sum;\n"
    "}\n";

/* The texts of a way to multiply, >>cl-gemm, >>cl-mma and >>cl-wgmma; how many. */
static uint32_t cvncl_way_texts(const cvncl_backend *b, const cvncl_way *w, int layout,
                                int vector, const char **texts)
{
    const cvncl_kind kind = w->kind;
    const int copies = cvncl_way_copies(b, w, layout, vector);
    uint32_t n = 0;
    texts[n++] = cvncl_text_common;
    texts[n++] = cvncl_text_product;
    if (layout > 3) {
        texts[n++] = cvncl_text_conv_common;
        texts[n++] = cvncl_text_conv_gather;
        texts[n++] = cvncl_text_conv_weights;
    }
    if (kind == CVNCL_BY_MMA) {
        texts[n++] = cvncl_text_mma_layout;
        texts[n++] = b->emulate ? cvncl_text_mma_plain : cvncl_text_mma_ptx;
        texts[n++] = cvncl_text_mma_fragment;
        texts[n++] = cvncl_text_mma_copy;
        texts[n++] = cvncl_text_mma_conv;
        texts[n++] = cvncl_text_mma;
        texts[n++] = cvncl_text_mma_bias;
        texts[n++] = cvncl_text_stats;
        texts[n++] = cvncl_text_mma_store;
    } else if (kind == CVNCL_BY_WGMMA) {
        texts[n++] = cvncl_text_wgmma_layout;
        texts[n++] = b->emulate ? cvncl_text_mma_plain : cvncl_text_mma_ptx;
        texts[n++] = b->emulate ? cvncl_text_wgmma_plain : cvncl_text_wgmma_ptx;
        texts[n++] = copies ? cvncl_text_mma_copy : cvncl_text_tiled_load;
        texts[n++] = copies ? cvncl_text_mma_conv : cvncl_text_tiled_conv;
        texts[n++] = copies ? cvncl_text_wgmma_copied : cvncl_text_wgmma;
        texts[n++] = cvncl_text_mma_bias;
        texts[n++] = cvncl_text_stats;
        texts[n++] = cvncl_text_mma_store;
    } else if (kind == CVNCL_BY_TILED) {
        texts[n++] = cvncl_text_tiled_layout;
        texts[n++] = cvncl_text_tiled_load;
        texts[n++] = cvncl_text_tiled_conv;
        texts[n++] = cvncl_text_tiled;
        texts[n++] = cvncl_text_stats;
        texts[n++] = cvncl_text_tiled_store;
    } else if (layout > 3) {
        texts[n++] = cvncl_text_conv_plain;
        texts[n++] = cvncl_text_conv_plain_weights;
    } else {
        texts[n++] = cvncl_text_plain;
    }
    return n;
}

/* Table of a gather, "down" or "up", as the kernels read it. */
static int cvncl_conv_places(const cvni_conv *c, int up, int *g)
{
    const cvni_axis *a = c->axis;
    int step[3], phases = 1, ints = 21 + 4 * c->taps;
    for (int i = 0; i < 3; i++) {
        step[i] = up ? cvni_axis_phases(&a[i]) : 1;
        phases *= step[i];
    }
    ints += 8 * phases;
    if (!g) return ints;
    g[0] = up ? c->M : c->C;
    g[1] = up ? c->C : c->M;
    g[2] = up ? c->MG : c->CG;
    g[3] = up ? c->CG : c->MG;
    g[4] = cvni_ceil_div(g[3], 16) * 16;
    g[5] = c->taps;
    g[6] = phases;
    g[7] = c->G;
    for (int i = 0; i < 3; i++) {
        g[8 + i] = up ? a[i].small : a[i].big;
        g[11 + i] = up ? a[i].back : a[i].small;
        g[14 + i] = up ? 1 : a[i].stride;
        g[17 + i] = step[i];
    }
    g[20] = up || !c->d ? CVN_PAD_ZERO : (int)c->d->pad_mode;
    for (int p = 0, slot = 0; p < phases; p++) {
        const int origin[3] = { p / step[2] / step[1], p / step[2] % step[1], p % step[2] };
        int *f = g + 21 + 8 * p;
        f[7] = slot;
        for (int i = 0; i < 3; i++) {
            f[i] = up ? cvni_ceil_div(a[i].back - origin[i], a[i].stride) : a[i].small;
            f[3 + i] = origin[i];
        }
        for (int t = 0; t < c->taps; t++) {
            int tap[4] = { 0, 0, 0, t };
            int rest = t, hit = 1;
            for (int i = 2; i >= 0; rest /= a[i].kernel, i--) {
                const int r = rest % a[i].kernel * a[i].dilation - (up ? a[i].offset : a[i].pad);
                hit = hit && (!up || (origin[i] - r) % a[i].stride == 0);
                tap[i] = up ? (origin[i] - r) / a[i].stride : r;
            }
            if (hit) memcpy(g + 21 + 8 * phases + 4 * slot++, tap, sizeof tap);
        }
        f[6] = slot - f[7];
    }
    return ints;
}

static void cvncl_sort(const int *key, int step, int count, int in, int from, int *begins,
                       int *list, int list_step);                       /* >>cl-gather */

/* Which places of the padded image fold back to each position, as conv_fold reads it; behind it
 * room for the keys. */
static int cvncl_fold_table(const cvni_conv *c, int *g)
{
    int at = 6;
    int most = 0;
    for (int i = 0; i < 3; i++) {
        at += c->axis[i].big + 1 + c->axis[i].back;
        most = cvni_max(most, c->axis[i].back);
    }
    if (!g) return at + most;
    for (int i = 0, to = 6; i < 3; i++) {
        const cvni_axis *a = &c->axis[i];
        for (int p = 0; p < a->back; p++)
            g[at + p] = cvni_pad_index(p - a->pad, a->big, c->d->pad_mode);
        g[i] = a->big;
        g[3 + i] = a->back;
        cvncl_sort(g + at, 1, a->back, a->big, a->big + 1, g + to, g + to + a->big + 1, 1);
        to += a->big + 1 + a->back;
    }
    return at + most;
}

/* The gradient of the image is that of a larger one, folded back. */
static int cvncl_is_padded(const cvni_conv *c) { return c->BH != c->H || c->BW != c->W; }

/* Both gathers, "down" first; the folding where there is some. */
static int cvncl_conv_table(const cvn_net *net, const cvni_layer *l, int *g)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const int down = cvncl_conv_places(&c, 0, NULL);
    const int both = down + cvncl_conv_places(&c, 1, NULL);
    const int all = both + (cvncl_is_padded(&c) ? cvncl_fold_table(&c, NULL) : 0);
    if (!g) return all;
    memset(g, 0, (size_t)all * sizeof *g);
    cvncl_conv_places(&c, 0, g);
    cvncl_conv_places(&c, 1, g + down);
    if (all > both) cvncl_fold_table(&c, g + both);
    return all;
}

static int cvncl_is_depthwise(const cvni_conv *c) { return c->CG == 1 && c->G > 1; }

/* 1x1 with stride 1: the products of a dense layer, whose rows are the positions, but for narrow
 * images. Without local memory packed weights are faster than those along k. */
static int cvncl_is_pointwise(const cvncl_backend *b, const cvni_conv *c)
{
    return c->plain && c->G == 1 && b->storage == CVNCL_STORE_FP32;
}

static int cvncl_reads_parameter(const cvncl_backend *b, const cvni_conv *c, int up)
{
    return cvncl_is_pointwise(b, c) && (b->local || up);
}

static cvni_dense cvncl_pointwise(const cvni_conv *c)
{
    cvni_dense d;
    d.rows = c->N * c->OH * c->OW;
    d.in = c->C;
    d.units = c->M;
    return d;
}

/* Slices of the sums for the weights' gradient. */
static int cvncl_conv_slices(const cvncl_backend *b, const cvni_conv *c)
{
    const double elements = (double)c->M * c->K;        /* depthwise: an item has one of them */
    return cvncl_slices(b, cvncl_is_depthwise(c) ? 64 * elements : elements, c->N * c->OH * c->OW,
                        512);
}

static size_t cvncl_conv_work(cvn_net *net, const cvni_layer *l)
{
    const cvncl_backend *b = cvncl_of(net);
    const cvni_conv c = cvni_conv_of(net, l);
    const cvni_dense d = cvncl_pointwise(&c);
    const int rows = (int)(cvni_elements(l->shape) / (size_t)l->shape.dim[1]);
    const size_t sums = cvncl_column_work(b, rows, l->shape.dim[1]);
    const size_t parts = cvni_mul_size((size_t)cvncl_conv_slices(b, &c),
                                       cvni_mul_size((size_t)c.M, (size_t)c.K));
    const size_t padded = cvni_mul_size(cvni_mul_size((size_t)c.N, (size_t)c.C),
                                        cvni_mul_size((size_t)c.BH, (size_t)c.BW));
    const size_t image = cvncl_is_padded(&c) ? cvni_max_size(parts, padded) : parts;
    return cvni_max_size(sums, cvncl_is_pointwise(b, &c) ? cvncl_products_work(b, &d) : image);
}

/* Elements of the weights in the order of a gather; 0: it reads the parameter itself. */
static size_t cvncl_packed_count(const cvn_net *net, const cvni_layer *l, int up)
{
    cvni_conv c;
    int from, to;
    size_t rows;
    if (!cvni_is_conv(l) && !cvni_outputs_second(l)) return 0;
    c = cvni_conv_of(net, l);
    if (cvncl_is_depthwise(&c) || cvncl_reads_parameter(cvncl_of(net), &c, up)) return 0;
    from = up ? c.MG : c.CG;
    to = cvni_ceil_div(up ? c.CG : c.MG, 16) * 16;
    rows = cvni_mul_size(cvni_mul_size((size_t)c.G, (size_t)c.taps), (size_t)from);
    return cvni_add_size(cvni_mul_size(rows, (size_t)to), (size_t)from);
}

/* Row of conv_pack for entry `number` of packed_at. */
static void cvncl_pack_row(const cvncl_net *d, int number, int *row)
{
    const cvn_net *net = d->net;
    const cvni_layer *l = &net->layers[number / 2];
    const cvni_conv c = cvni_conv_of(net, l);
    row[0] = d->packed_at[number].at;
    row[1] = (int)net->params[l->param[0]].offset;
    row[2] = d->table_at[number / 2] + (number % 2 ? cvncl_conv_places(&c, 0, NULL) : 0);
    row[3] = number % 2;
}

/* The weights in the order of a gather; `at`: where. Those that have changed are packed in one
 * launch, from this one to the last one in front of weights that are not parameters (folded, under
 * a spectral norm), which are packed alone. */
static cvn_result cvncl_conv_pack(cvn_net *net, const cvni_layer *l, int up, const float *w,
                                  int *at)
{
    cvncl_net *d = cvncl_net_of(net);
    cvncl_packed *p = d->packed_at;
    const int first = 2 * cvni_id(net, l) + up;
    const int own = w != net->weights + net->params[l->param[0]].offset;
    int end = first + 1;
    *at = p[first].at;
    if (p[first].fresh && !l->spectral) return CVN_OK;
    p[first].fresh = 1;
    for (int i = end; i < 2 * net->layer_count && !own; i++) {
        const cvni_layer *other = &net->layers[i / 2];
        if (p[i].at == p[i + 1].at) continue;
        if (other->spectral || other->fold) break;
        if (!p[i].fresh) end = i + 1;
        p[i].fresh = 1;
    }
    return cvncl_each(net, CVNCL_CONV_PACK, p[end].at - *at, "pkttiiii", own ? w : net->weights,
                      0, d->pack_rows, 0, d->packs, *at, p[end].at - *at, own);
}

/* The vector that numbers of channels, or'ed, allow: 16 bytes at most. */
static int cvncl_channels_vector(const cvncl_backend *b, int channels)
{
    if (channels & 3) return 1;
    return channels & 7 || b->storage == CVNCL_STORE_FP32 ? 4 : 8;
}

/* A pass, "down" or "up", and the weights' gradient as products. The class has the mean of the
 * phases' taps. */
static cvncl_class cvncl_pass_class(const cvncl_backend *b, const cvni_conv *c, int up)
{
    cvncl_class of;
    int phases = 1;
    of.layout = CVNCL_LAYOUT_GATHER;
    of.vector = cvncl_channels_vector(b, up ? c->M | c->MG : c->C | c->CG);
    of.M = c->N;
    of.N = up ? c->CG : c->MG;
    for (int i = 0; i < 3; i++) {
        const cvni_axis *a = &c->axis[i];
        of.M *= up ? cvni_ceil_div(a->back, a->stride) : a->small;
        phases *= up ? cvni_axis_phases(a) : 1;
    }
    of.batch = c->G * phases;
    of.taps = cvni_ceil_div(c->taps, phases);
    of.K = of.taps * (up ? c->MG : c->CG);
    return of;
}

static cvncl_class cvncl_weights_class(const cvncl_backend *b, const cvni_conv *c)
{
    const int slices = cvncl_conv_slices(b, c);
    cvncl_class of;
    of.layout = CVNCL_LAYOUT_WEIGHTS;
    of.vector = cvncl_channels_vector(b, c->C | c->CG | c->M | c->MG);
    of.batch = c->G * slices;
    of.M = c->K;
    of.N = c->MG;
    of.K = cvni_ceil_div(c->N * c->OH * c->OW, slices);
    of.taps = c->taps;
    return of;
}

static cvn_result cvncl_need_pass(cvn_net *net, const cvni_layer *l, const cvni_conv *c, int up)
{
    const cvni_dense d = cvncl_pointwise(c);
    const cvncl_class of = cvncl_pass_class(cvncl_of(net), c, up);
    if (!cvncl_reads_parameter(cvncl_of(net), c, up)) return cvncl_need_class(net, &of);
    return cvncl_need_dense(net, &d, up ? CVNCL_GEMM_KN : CVNCL_GEMM_KK,
                            net->params[l->param[0]].offset);
}

static cvn_result cvncl_need_conv(cvn_net *net, const cvni_layer *l, int train)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const cvni_dense d = cvncl_pointwise(&c);
    const cvncl_class weights = cvncl_weights_class(cvncl_of(net), &c);
    const int transposed = cvni_outputs_second(l);
    cvn_result result;
    if (cvncl_is_depthwise(&c)) return CVN_OK;
    result = cvncl_need_pass(net, l, &c, transposed);
    if (train && result == CVN_OK) result = cvncl_need_pass(net, l, &c, !transposed);
    if (!train || result != CVN_OK) return result;
    return cvncl_is_pointwise(cvncl_of(net), &c) ? cvncl_need_dense(net, &d, CVNCL_GEMM_MN, 0)
                                                 : cvncl_need_class(net, &weights);
}

/* A convolution that is the product of a class: stride 1, M positions in one image, or batch*K;
 * groups where a gather has a batch. */
static cvni_conv cvncl_trial_conv(const cvncl_class *of)
{
    const int gather = of->layout == CVNCL_LAYOUT_GATHER;
    const int positions = gather ? of->M : of->batch * of->K;
    const int square = (int)(sqrt((double)of->taps) + 0.5);
    cvni_conv c;
    int width = 32;
    while (positions % width) width /= 2;
    memset(&c, 0, sizeof c);
    c.N = 1;
    c.G = gather ? of->batch : 1;
    c.taps = of->taps;
    c.K = gather ? of->K : of->M;
    c.CG = c.K / c.taps;
    c.MG = of->N;
    c.C = c.G * c.CG;
    c.M = c.G * c.MG;
    for (int i = 0; i < 3; i++) {
        cvni_axis *a = &c.axis[i];
        a->stride = a->dilation = 1;
        a->kernel = i == 0 ? 1 : square * square == c.taps ? square : i == 1 ? 1 : c.taps;
        a->pad = (a->kernel - 1) / 2;
        a->small = i == 0 ? 1 : i == 1 ? positions / width : width;
        a->big = a->back = a->small + a->kernel - 1 - 2 * a->pad;
    }
    return c;
}

/* x, w, bias, with, y, table, stats; or x, y, part, table: the table is counted in ints, elsewhere;
 * no statistics. */
static void cvncl_conv_trial_sizes(const cvncl_class *of, size_t sizes[CVNCL_TRIAL_MEMORIES])
{
    const cvni_conv c = cvncl_trial_conv(of);
    const size_t small = (size_t)c.axis[1].small * (size_t)c.axis[2].small * (size_t)c.M;
    memset(sizes, 0, CVNCL_TRIAL_MEMORIES * sizeof *sizes);
    sizes[0] = (size_t)c.axis[1].big * (size_t)c.axis[2].big * (size_t)c.C;
    if (of->layout == CVNCL_LAYOUT_GATHER) {
        sizes[1] = (size_t)c.G * (size_t)c.K * (size_t)(cvni_ceil_div(c.MG, 16) * 16) +
                   (size_t)c.CG;
        sizes[2] = (size_t)c.M;
        sizes[3] = sizes[4] = small;
    } else {
        sizes[1] = small;
        sizes[2] = (size_t)of->batch * (size_t)of->M * (size_t)of->N;
    }
}

/* The table of "down", to be freed; NULL: memory is out. */
static int *cvncl_conv_trial_table(const cvncl_class *of, size_t *count)
{
    const cvni_conv c = cvncl_trial_conv(of);
    int *table;
    *count = (size_t)cvncl_conv_places(&c, 0, NULL);
    table = (int *)CONVNET_MALLOC(*count * sizeof *table);
    if (table) cvncl_conv_places(&c, 0, table);
    return table;
}

/* >>cl-norm */
static int cvncl_norm_behind(const cvn_net *net, const cvni_layer *l);
static float *cvncl_norm_parts_at(const cvn_net *net, int C);

/* The kernel for operands that begin at a and b; narrow ones have half the offsets. */
static const cvncl_built *cvncl_conv_built(cvn_net *net, cvncl_class *of, const float *a,
                                           const float *b)
{
    const uintptr_t base = (uintptr_t)net->arena;
    const uintptr_t ends = ((uintptr_t)a - base) | ((uintptr_t)b - base);
    if (ends & 31) of->vector = ends & 15 ? 1 : cvni_min(of->vector, 4);
    return cvncl_choose_built(cvncl_of(net), of);
}

/* From image a to image c with the weights b. */
static cvn_result cvncl_conv_pass(cvn_net *net, const cvni_layer *l, int up,
                                  const cvncl_terms *o)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const cvni_dense d = cvncl_pointwise(&c);
    const int table = cvncl_net_of(net)->table_at[cvni_id(net, l)] +
                      (up ? cvncl_conv_places(&c, 0, NULL) : 0);
    cvncl_class of = cvncl_pass_class(cvncl_of(net), &c, up);
    const cvncl_built *built;
    int packed;
    float slope, most;
    cvn_result result;
    cvncl_clamp(o->act, &slope, &most);
    if (cvncl_is_depthwise(&c)) {
        const int n = c.N * (up ? c.C * c.BH * c.BW : c.M * c.OH * c.OW);
        return cvncl_each(net, CVNCL_DEPTHWISE, n, "xppxxtiff", o->a, o->b, o->bias, o->with, o->c,
                          table, n, (double)slope, (double)most);
    }
    if (cvncl_reads_parameter(cvncl_of(net), &c, up))
        return cvncl_run_dense(net, &d, up ? CVNCL_GEMM_KN : CVNCL_GEMM_KK, o);
    if (of.M <= 0) return CVN_OK;
    result = cvncl_conv_pack(net, l, up, o->b, &packed);
    if (result != CVN_OK) return result;
    built = cvncl_conv_built(net, &of, o->a, o->a);
    if (!built) return cvncl_no_way(net, &of);
    return cvncl_run_product(net, built, &of, "xkpxxtpiff", o->a, packed, o->bias, o->with, o->c,
                             table, o->stats, c.N, (double)slope, (double)most);
}

static cvn_result cvncl_conv_weights(cvn_net *net, const cvni_layer *l, const float *big,
                                     const float *small, float *dw)
{
    const cvncl_backend *b = cvncl_of(net);
    const cvni_conv c = cvni_conv_of(net, l);
    const cvni_dense d = cvncl_pointwise(&c);
    const int table = cvncl_net_of(net)->table_at[cvni_id(net, l)];
    const int positions = c.N * c.OH * c.OW;
    const int slices = cvncl_conv_slices(b, &c);
    const int length = cvni_ceil_div(positions, slices);
    const int n = c.M * c.K;
    cvn_result result;
    if (cvncl_is_pointwise(cvncl_of(net), &c)) {
        const cvncl_terms o = cvncl_gradient_terms(small, big, dw, 1);
        return cvncl_run_dense(net, &d, CVNCL_GEMM_MN, &o);
    }
    if (cvncl_is_depthwise(&c)) {
        result = cvncl_each(net, CVNCL_DEPTHWISE_WEIGHTS, n * slices, "xxwtiii", big, small, 0,
                            table, positions, n * slices, length);
    } else {
        cvncl_class of = cvncl_weights_class(b, &c);
        const cvncl_built *built = cvncl_conv_built(net, &of, big, small);
        if (!built) return cvncl_no_way(net, &of);
        result = cvncl_run_product(net, built, &of, "xxwtiii", big, small, 0, table, positions,
                                   slices, length);
    }
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_CONV_REDUCE, cvncl_sum_groups(net, n), "wpiiiiit", 0, dw, n,
                        slices, c.CG, c.taps, cvncl_is_depthwise(&c) ? c.M : c.MG,
                        cvncl_gradient_factor(net));
}

/* Can the store of a convolution make statistics (>>cl-norm)? All ways through local memory can,
 * where the rows are those of one phase, and no sum is in slices. */
static int cvncl_stores_stats(const cvncl_backend *b, const cvni_conv *c, int up)
{
    const cvni_dense d = cvncl_pointwise(c);
    if (!b->local || cvncl_is_depthwise(c) || cvncl_pass_class(b, c, up).batch > c->G) return 0;
    return !cvncl_reads_parameter(b, c, up) ||
           cvncl_dense_product(b, &d, up ? CVNCL_GEMM_KN : CVNCL_GEMM_KK).slices < 2;
}

static cvn_result cvncl_conv_forward(cvn_net *net, cvni_layer *l)
{
    const int up = ((const cvni_conv_desc *)l->desc)->transposed;
    const cvni_conv c = cvni_conv_of(net, l);
    const int norm = cvncl_norm_behind(net, l);
    cvncl_terms o = cvncl_forward_terms(net, l);
    if (norm && cvncl_stores_stats(cvncl_of(net), &c, up)) {
        cvncl_net_of(net)->measured = norm;
        o.stats = cvncl_norm_parts_at(net, l->shape.dim[1]);
    }
    return cvncl_conv_pass(net, l, up, &o);
}

/* dx (+)= the gradient; that of a padded image goes to the work, and from there folded back. */
static cvn_result cvncl_conv_dx(cvn_net *net, const cvni_layer *l, float *dx, int add)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const int n = c.N * c.C * c.H * c.W, padded = cvncl_is_padded(&c);
    const int table = cvncl_net_of(net)->table_at[cvni_id(net, l)] +
                      cvncl_conv_places(&c, 0, NULL) + cvncl_conv_places(&c, 1, NULL);
    const cvncl_terms o = cvncl_gradient_terms(l->dy, cvni_weights(net, l, 0),
                                               padded ? cvncl_work_at(net) : dx, add && !padded);
    const cvn_result result = cvncl_conv_pass(net, l, !c.d->transposed, &o);
    if (!padded || result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_CONV_FOLD, n, "wxtiii", 0, dx, table, n, c.C, add);
}

static cvn_result cvncl_conv_backward(cvn_net *net, cvni_layer *l)
{
    const int transposed = ((const cvni_conv_desc *)l->desc)->transposed;
    cvni_layer *x = cvni_in(net, l, 0);
    float *dw = cvni_weights_grad(net, l, 0);
    float *db = cvni_weights_grad(net, l, 1);
    float *dx;
    int add;
    cvn_result result = CVN_OK;
    if (dw)
        result = cvncl_conv_weights(net, l, transposed ? l->dy : x->y, transposed ? x->y : l->dy,
                                    dw);
    if (db && result == CVN_OK)
        result = cvncl_bias_gradient(net, l->dy, db,
                                     (int)(cvni_elements(l->shape) / (size_t)l->shape.dim[1]),
                                     l->shape.dim[1]);
    dx = cvni_gradient_for(x, &add);
    return dx && result == CVN_OK ? cvncl_conv_dx(net, l, dx, add) : result;
}

/* ================================================================================================
 * >>cl-pool   maximum, mean and p-norm over windows
 * ============================================================================================== */

static const char cvncl_text_pool[] =
    "/* One axis of a pool (convnet.h, >>pool): n, out, kernel (0: adaptive), stride, pads,\n"
    " * exclude_pad, dilation: elements from one of a window to the next. */\n"
    "typedef struct { int begin, end; float size; } span;\n"
    "\n"
    "int reach(global const int *a) { return a[7] * (a[2] - 1) + 1; }\n"
    "\n"
    "span window(global const int *a, int i)\n"
    "{\n"
    "    span s;\n"
    "    const int first = i * a[3] - a[4];\n"
    "    if (!a[2]) {\n"
    "        s.begin = (int)((long)i * a[0] / a[1]);\n"
    "        s.end = (int)(((long)(i + 1) * a[0] + a[1] - 1) / a[1]);\n"
    "        s.size = s.end - s.begin;\n"
    "        return s;\n"
    "    }\n"
    "    s.begin = first < 0 ? first + (a[7] - 1 - first) / a[7] * a[7] : first;\n"
    "    s.end = min(first + reach(a), a[0]);\n"
    "    s.size = a[6] ? s.end - s.begin : min(first + reach(a), a[0] + a[5]) - first;\n"
    "    s.size = ((int)s.size + a[7] - 1) / a[7];\n"
    "    return s;\n"
    "}\n"
    "\n"
    "/* Windows that may hold element h of the axis: begin <= i < end. */\n"
    "span windows_of(global const int *a, int h)\n"
    "{\n"
    "    span s;\n"
    "    s.size = 0;\n"
    "    if (!a[2]) {\n"
    "        s.begin = (int)((long)h * a[1] / a[0]);\n"
    "        s.end = min((int)(((long)(h + 1) * a[1] + a[0] - 1) / a[0]), a[1]);\n"
    "    } else {\n"
    "        s.begin = max((h + a[4] - reach(a)) / a[3], 0);\n"
    "        s.end = min((h + a[4]) / a[3] + 1, a[1]);\n"
    "    }\n"
    "    return s;\n"
    "}\n"
    "\n"
    "/* Planes whose elements lie `step` apart: 1, or channels last the channels. Of equal values\n"
    " * the first one wins, a NaN against all numbers. winner: position in the plane. */\n"
    "kernel void maxpool(IN_X(x), OUT_X(y), global int *winner, const ulong winner_at, INTS(a),\n"
    "                    const int n, const int step)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(winner); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int W = a[8], outs = a[1] * a[9], o = i / step % outs;\n"
    "    const span rows = window(a, o / a[9]), cols = window(a + 8, o % a[9]);\n"
    "    int best = rows.begin * W + cols.begin;\n"
    "    x += (size_t)(i / step / outs) * (a[0] * W * step) + i % step;\n"
    "    float top = GET(x, best * step);\n"
    "    for (int h = rows.begin; h < rows.end; h += a[7])\n"
    "        for (int k = h * W + cols.begin; k < h * W + cols.end; k += a[15]) {\n"
    "            const float v = GET(x, k * step);\n"
    "            if (!(v > top || (v != v && top == top))) continue;\n"
    "            best = k;\n"
    "            top = v;\n"
    "        }\n"
    "    if (HAS(y)) SET(y, i, top);\n"
    "    if (HAS(winner)) winner[i] = best;\n"
    "}\n"
    "\n"
    "/* y, where there is one: the gradient in front of the relu whose value was pooled; `slope`\n"
    " * where the maximum y is not positive */\n"
    "kernel void maxpool_back(IN_X(dy), INTS(winner), IN_X(y), MEM_X(dx), INTS(a), const int n,\n"
    "                         const int step, const int add, const float slope)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(dy); AT(winner); AT(y); AT(dx); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int plane = a[0] * a[8], outs = a[1] * a[9];\n"
    "    const int p = i / step % plane, base = i / step / plane * (outs * step) + i % step;\n"
    "    const span rows = windows_of(a, p / a[8]), cols = windows_of(a + 8, p % a[8]);\n"
    "    float sum = 0;\n"
    "    for (int h = rows.begin; h < rows.end; h++)\n"
    "        for (int w = cols.begin; w < cols.end; w++) {\n"
    "            const int at = base + (h * a[9] + w) * step;\n"
    "            if (winner[at] == p)\n"
    "                sum += (HAS(y) && !(GET(y, at) > 0) ? slope : 1) * GET(dy, at);\n"
    "        }\n"
    "    SET(dx, i, add ? GET(dx, i) + sum : sum);\n"
    "}\n";

static const char cvncl_text_avgpool[] =
    "kernel void avgpool(IN_X(x), OUT_X(y), INTS(a), const int n, const int step)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int W = a[8], outs = a[1] * a[9], o = i / step % outs;\n"
    "    const span rows = window(a, o / a[9]), cols = window(a + 8, o % a[9]);\n"
    "    float sum = 0;\n"
    "    x += (size_t)(i / step / outs) * (a[0] * W * step) + i % step;\n"
    "    for (int h = rows.begin; h < rows.end; h += a[7]) {\n"
    "        float line = 0;\n"
    "        for (int w = cols.begin; w < cols.end; w += a[15])\n"
    "            line += GET(x, (h * W + w) * step);\n"
    "        sum += line;\n"
    "    }\n"
    "    SET(y, i, sum / (rows.size * cols.size));\n"
    "}\n"
    "\n"
    "kernel void avgpool_back(IN_X(dy), MEM_X(dx), INTS(a), const int n, const int step,\n"
    "                         const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(dy); AT(dx); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int plane = a[0] * a[8], outs = a[1] * a[9];\n"
    "    const int p = i / step % plane, base = i / step / plane * (outs * step) + i % step;\n"
    "    const int h = p / a[8], w = p % a[8];\n"
    "    const span rows = windows_of(a, h), cols = windows_of(a + 8, w);\n"
    "    float sum = 0;\n"
    "    for (int r = rows.begin; r < rows.end; r++) {\n"
    "        const span v = window(a, r);\n"
    "        if (h < v.begin || h >= v.end || (h - v.begin) % a[7]) continue;\n"
    "        for (int c = cols.begin; c < cols.end; c++) {\n"
    "            const span u = window(a + 8, c);\n"
    "            if (w < u.begin || w >= u.end || (w - u.begin) % a[15]) continue;\n"
    "            sum += GET(dy, base + (r * a[9] + c) * step) / (v.size * u.size);\n"
    "        }\n"
    "    }\n"
    "    SET(dx, i, add ? GET(dx, i) + sum : sum);\n"
    "}\n";

static const char cvncl_text_lppool[] =
    "/* y = (sum of |x|^p)^(1/p) */\n"
    "kernel void lppool(IN_X(x), OUT_X(y), INTS(a), const int n, const int step, const int p)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int W = a[8], outs = a[1] * a[9], o = i / step % outs;\n"
    "    const span rows = window(a, o / a[9]), cols = window(a + 8, o % a[9]);\n"
    "    float sum = 0;\n"
    "    x += (size_t)(i / step / outs) * (a[0] * W * step) + i % step;\n"
    "    for (int h = rows.begin; h < rows.end; h += a[7])\n"
    "        for (int w = cols.begin; w < cols.end; w += a[15])\n"
    "            sum += pown(fabs(GET(x, (h * W + w) * step)), p);\n"
    "    SET(y, i, p == 1 ? sum : p == 2 ? sqrt(sum) : pow(sum, 1.0f / p));\n"
    "}\n"
    "\n"
    "kernel void lppool_back(IN_X(x), IN_X(y), IN_X(dy), MEM_X(dx), INTS(a), const int n,\n"
    "                        const int step, const int p, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(dy); AT(dx); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int plane = a[0] * a[8], outs = a[1] * a[9];\n"
    "    const int at = i / step % plane, base = i / step / plane * (outs * step) + i % step;\n"
    "    const int h = at / a[8], w = at % a[8];\n"
    "    const span rows = windows_of(a, h), cols = windows_of(a + 8, w);\n"
    "    const float own = GET(x, i);\n"
    "    float sum = 0;\n"
    "    for (int r = rows.begin; r < rows.end; r++) {\n"
    "        const span v = window(a, r);\n"
    "        if (h < v.begin || h >= v.end || (h - v.begin) % a[7]) continue;\n"
    "        for (int c = cols.begin; c < cols.end; c++) {\n"
    "            const span u = window(a + 8, c);\n"
    "            const int o = base + (r * a[9] + c) * step;\n"
    "            if (w < u.begin || w >= u.end || (w - u.begin) % a[15]) continue;\n"
    "            if (GET(y, o) > 0)\n"
    "                sum += GET(dy, o) * pown(fabs(own) / GET(y, o), p - 1);\n"
    "        }\n"
    "    }\n"
    "    sum = own < 0 ? -sum : own > 0 ? sum : 0;\n"
    "    SET(dx, i, add ? GET(dx, i) + sum : sum);\n"
    "}\n";

/* Table: both axes, 8 ints each, as `window` reads them. */
static int cvncl_pool_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    cvni_pool_axis a[2];
    cvni_pool_axes((const cvni_pool_layer *)l->desc, cvni_in(net, l, 0)->shape, a);
    a[0].out = l->shape.rank == 3 ? 1 : l->shape.dim[2];
    a[1].out = l->shape.dim[l->shape.rank - 1];
    for (int i = 0; table && i < 2; i++) {
        const int axis[8] = { a[i].n, a[i].out, a[i].kernel, a[i].stride, a[i].pad0, a[i].pad1,
                              a[i].exclude_pad, a[i].dilation };
        memcpy(table + 8 * i, axis, sizeof axis);
    }
    return 16;
}

static cvn_result cvncl_maxpool_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_MAXPOOL, n, "xxptii", cvni_in(net, l, 0)->y,
                      l->is_int ? NULL : l->y, l->is_int ? (void *)l->y : l->saved,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, cvncl_step(net, l));
}

static int cvncl_gates(const cvn_net *net, const cvni_layer *l)
{
    return cvni_is_maxpool(l) && cvni_is_relu(cvni_in(net, l, 0));
}

static cvn_result cvncl_maxpool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_MAXPOOL_BACK, n, "xpxxtiiif", l->dy, l->saved,
                      x->place.gate ? l->y : NULL, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, cvncl_step(net, l), add,
                      x->place.gate ? (double)cvni_relu_slope(x) : 1.0);
}

/* Kernels over an element each that read one input and the layer's table. */
static cvn_result cvncl_table_forward(cvn_net *net, cvni_layer *l, int kernel)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, kernel, n, "xxtii", cvni_in(net, l, 0)->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, cvncl_step(net, l));
}

static cvn_result cvncl_table_backward(cvn_net *net, cvni_layer *l, int kernel)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, kernel, n, "xxtiii", l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, cvncl_step(net, l), add);
}

static cvn_result cvncl_avgpool_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_table_forward(net, l, CVNCL_AVGPOOL);
}

static cvn_result cvncl_avgpool_backward(cvn_net *net, cvni_layer *l)
{
    return cvncl_table_backward(net, l, CVNCL_AVGPOOL_BACK);
}

static cvn_result cvncl_lppool_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_LPPOOL, n, "xxtiii", cvni_in(net, l, 0)->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, cvncl_step(net, l),
                      ((const cvni_pool_layer *)l->desc)->p);
}

static cvn_result cvncl_lppool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_LPPOOL_BACK, n, "xxxxtiiii", x->y, l->y, l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, cvncl_step(net, l),
                      ((const cvni_pool_layer *)l->desc)->p, add);
}

/* ================================================================================================
 * >>cl-norm   batch norm, with the sum and the activation that follow it; layer norm and its kin
 * ==============================================================================================
 *   Formulas: convnet.h, >>norm. Batch norm works channels last, on rows of channels. Work: factors
 *   [4, C], factors of dx [3, C], parts of sums [2, slices, C], of statistics [2, C, slices]: mean
 *   and sum of squares about it of as many rows, which are put together about the mean of all.
 *   Where a convolution runs right before, its store makes them, of 32 rows each, and the image is
 *   not read for them (cvncl_stores_stats); the same ones whatever tile it goes by, matrix units
 *   aside.
 *   source   T. F. Chan, G. H. Golub, R. J. LeVeque, Updating Formulae and a Pairwise Algorithm for
 *            Computing Sample Variances, 1979 */

static const char cvncl_text_norm[] =
    "/* x [m, C]. part [2, C, slices]: means of `length` rows, sums of squares about them. The\n"
    " * squares are taken about the mean of the first rows, which is near. */\n"
    "kernel void norm_parts(IN_X(x), OUT(part), const int n, const int m, const int C,\n"
    "                       const int length)\n"
    "{\n"
    "    const int i = get_global_id(0), first = i / C * length, last = min(first + length, m);\n"
    "    const int at = i % C * (n / C) + i / C;\n"
    "    float near = 0, sum = 0, square = 0;\n"
    "    AT(x); AT(part);\n"
    "    if (i >= n) return;\n"
    "    for (int r = first; r < min(first + 8, last); r++)\n"
    "        near += GET(x, (size_t)r * C + i % C);\n"
    "    near /= max(min(8, last - first), 1);\n"
    "    for (int r = first; r < last; r++) {\n"
    "        const float d = GET(x, (size_t)r * C + i % C) - near;\n"
    "        sum += d;\n"
    "        square += d * d;\n"
    "    }\n"
    "    const float mean = sum / max(last - first, 1);\n"
    "    part[at] = near + mean;\n"
    "    part[n + at] = square - sum * mean;\n"
    "}\n"
    "\n"
    "/* f [4, C]: scale and shift of x, center, s */\n"
    "void set_factors(global float *f, const int c, const int C, const float center,\n"
    "                 const float s, const float weight, const float bias)\n"
    "{\n"
    "    f[c] = weight * s;\n"
    "    f[C + c] = bias - center * weight * s;\n"
    "    f[2 * C + c] = center;\n"
    "    f[3 * C + c] = s;\n"
    "}\n"
    "\n"
    "/* saved [2, C]: mean and s = 1/sqrt(var + eps) of the batch, from the parts; the factors;\n"
    " * a group each channel */\n"
    "kernel void norm_stats(IN(part), OUT(f), OUT(saved), MEM(mean), MEM(var), IN(weight),\n"
    "                       IN(bias), const int m, const int C, const int slices,\n"
    "                       const int length, const float eps, const float momentum,\n"
    "                       const int learn)\n"
    "{\n"
    "    local float shared[WG];\n"
    "    const int c = get_group_id(0), n = slices * C;\n"
    "    float sum = 0, square = 0;\n"
    "    AT(part); AT(f); AT(saved); AT(mean); AT(var); AT(weight); AT(bias);\n"
    "    for (int s = get_local_id(0); s < slices; s += WG)\n"
    "        sum += part[c * slices + s] * clamp(m - s * length, 0, length);\n"
    "    const float mu = group_sum(sum, shared) / m;\n"
    "    for (int s = get_local_id(0); s < slices; s += WG) {\n"
    "        const float d = part[c * slices + s] - mu;\n"
    "        square += part[n + c * slices + s] + d * d * clamp(m - s * length, 0, length);\n"
    "    }\n"
    "    square = max(group_sum(square, shared), 0.0f);\n"
    "    if (get_local_id(0) != 0) return;\n"
    "    saved[c] = mu;\n"
    "    saved[C + c] = 1 / sqrt(square / m + eps);\n"
    "    set_factors(f, c, C, mu, saved[C + c], HAS(weight) ? weight[c] : 1,\n"
    "                HAS(bias) ? bias[c] : 0);\n"
    "    if (!learn) return;\n"
    "    mean[c] = (1 - momentum) * mean[c] + momentum * mu;\n"
    "    var[c] = (1 - momentum) * var[c] + momentum * square / max(m - 1, 1);\n"
    "}\n"
    "\n"
    "/* The factors from what was saved, or the running statistics. */\n"
    "kernel void norm_factors(OUT(f), IN(saved), IN(mean), IN(var), IN(weight), IN(bias),\n"
    "                         const int C, const float eps)\n"
    "{\n"
    "    const int c = get_global_id(0);\n"
    "    AT(f); AT(saved); AT(mean); AT(var); AT(weight); AT(bias);\n"
    "    if (c >= C) return;\n"
    "    const float center = HAS(saved) ? saved[c] : mean[c];\n"
    "    const float s = HAS(saved) ? saved[C + c] : 1 / sqrt(var[c] + eps);\n"
    "    set_factors(f, c, C, center, s, HAS(weight) ? weight[c] : 1, HAS(bias) ? bias[c] : 0);\n"
    "}\n"
    "\n"
    "/* y = clamped(scale*x + shift + more) */\n"
    "kernel void norm_apply(MEM_X(x), MEM_X(y), IN(f), MEM_X(more), const int n, const int C,\n"
    "                       const float slope, const float most)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(f); AT(more);\n"
    "    if (i >= n) return;\n"
    "    const int c = i % C;\n"
    "    float v = f[c] * GET(x, i) + f[C + c];\n"
    "    if (HAS(more)) v += GET(more, i);\n"
    "    SET(y, i, clamped(v, slope, most));\n"
    "}\n";

static const char cvncl_text_norm_back[] =
    "/* g = dy where 0 < v < most, else slope*dy; v = clamp_y, or scale*x + shift. part\n"
    " * [2, slices, C]: sums of g, of g*(x - center), over `length` rows */\n"
    "kernel void norm_sums(IN_X(x), MEM_X(dy), IN_X(clamp_y), MEM_X(g), MEM_X(dmore), IN(f),\n"
    "                      OUT(part), const int n, const int m, const int C, const int length,\n"
    "                      const float slope, const float most)\n"
    "{\n"
    "    const int id = get_global_id(0), c = id % C, first = id / C * length;\n"
    "    float sum = 0, dot = 0;\n"
    "    AT(x); AT(dy); AT(clamp_y); AT(g); AT(dmore); AT(f); AT(part);\n"
    "    if (id >= n) return;\n"
    "    const float scale = f[c], shift = f[C + c], center = f[2 * C + c];\n"
    "    for (int r = first; r < min(first + length, m); r++) {\n"
    "        const size_t i = (size_t)r * C + c;\n"
    "        const float own = GET(x, i), gradient = GET(dy, i);\n"
    "        const float v = HAS(clamp_y) ? GET(clamp_y, i) : scale * own + shift;\n"
    "        const float d = v > 0 && v < most ? gradient : slope * gradient;\n"
    "        sum += d;\n"
    "        dot += d * (own - center);\n"
    "        if (HAS(g)) SET(g, i, d);\n"
    "        if (HAS(dmore)) SET(dmore, i, GET(dmore, i) + d);\n"
    "    }\n"
    "    part[id] = sum;\n"
    "    part[n + id] = dot;\n"
    "}\n"
    "\n"
    "/* Gradients of weight and bias, times `factor`; back [3, C]: factors of norm_dx; a group\n"
    " * each channel */\n"
    "kernel void norm_back(IN(part), IN(f), OUT(back), MEM(dweight), MEM(dbias), const int m,\n"
    "                      const int C, const int slices, const int batch, IN(factor))\n"
    "{\n"
    "    local float shared[WG];\n"
    "    const int c = get_group_id(0);\n"
    "    float sum = 0, dot = 0;\n"
    "    AT(part); AT(f); AT(back); AT(dweight); AT(dbias);\n"
    "    for (int s = get_local_id(0); s < slices; s += WG) {\n"
    "        sum += part[s * C + c];\n"
    "        dot += part[(slices + s) * C + c];\n"
    "    }\n"
    "    const float scale = f[c], s = f[3 * C + c];\n"
    "    sum = group_sum(sum, shared);\n"
    "    dot = group_sum(dot, shared) * s;\n"
    "    if (get_local_id(0) != 0) return;\n"
    "    if (HAS(dweight)) dweight[c] += NUMBER(factor) * dot;\n"
    "    if (HAS(dbias)) dbias[c] += NUMBER(factor) * sum;\n"
    "    back[c] = scale;\n"
    "    back[C + c] = batch ? -scale * s * dot / m : 0;\n"
    "    back[2 * C + c] = batch ? -scale * sum / m : 0;\n"
    "}\n"
    "\n"
    "kernel void norm_dx(IN_X(x), MEM_X(g), MEM_X(dx), IN(f), IN(back), const int n, const int C,\n"
    "                    const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(g); AT(dx); AT(f); AT(back);\n"
    "    if (i >= n) return;\n"
    "    const int c = i % C;\n"
    "    const float center = f[2 * C + c];\n"
    "    const float d =\n"
    "        back[c] * GET(g, i) + (back[C + c] * (GET(x, i) - center) + back[2 * C + c]);\n"
    "    SET(dx, i, add ? GET(dx, i) + d : d);\n"
    "}\n";

enum { CVNCL_STATS_ROWS = 32 };         /* of the parts that a convolution makes */

static size_t cvncl_norm_work(cvn_net *net, const cvni_layer *l)
{
    const cvncl_backend *b = cvncl_of(net);
    const int C = l->shape.dim[1];
    const int rows = (int)(cvni_elements(l->shape) / (size_t)C);
    const size_t stats = b->local ? (size_t)cvni_ceil_div(rows, CVNCL_STATS_ROWS) * (size_t)C : 0;
    return 7 * (size_t)C + 2 * cvni_max_size(cvncl_column_work(b, rows, C), stats);
}

static float *cvncl_norm_parts_at(const cvn_net *net, int C) { return cvncl_work_at(net) + 7 * C; }

/* Id of the batch norm of the batch that reads what convolution l stores, and runs next, before
 * anything else is in the work; 0: none. */
static int cvncl_norm_behind(const cvn_net *net, const cvni_layer *l)
{
    int id = cvni_id(net, l) + 1;
    const cvni_layer *norm;
    while (id < net->layer_count && (net->layers[id].place.skip || !net->layers[id].op->forward))
        id++;
    if (id == net->layer_count) return 0;
    norm = &net->layers[id];
    return cvni_is_batchnorm(norm) && cvni_norm_uses_batch(net, norm) &&
           norm->place.again == l->place.again && !l->place.residual &&
           (norm->input[0] == cvni_id(net, l) || norm->input[0] == l->place.activation) ? id : 0;
}

/* Weight or bias; NULL: there is none. */
static const float *cvncl_norm_affine(cvn_net *net, cvni_layer *l, int slot)
{
    return ((const cvn_batchnorm_desc *)l->desc)->no_affine ? NULL : cvni_norm_param(net, l, slot);
}

/* The factors into the work, from what the forward pass saved, or the running statistics. */
static cvn_result cvncl_norm_factors(cvn_net *net, cvni_layer *l)
{
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)l->desc;
    const int C = l->shape.dim[1];
    return cvncl_each(net, CVNCL_NORM_FACTORS, C, "wpppppif", 0,
                      cvni_norm_uses_batch(net, l) ? l->saved : NULL,
                      cvni_norm_param(net, l, CVNI_NORM_MEAN),
                      cvni_norm_param(net, l, CVNI_NORM_VAR),
                      cvncl_norm_affine(net, l, CVNI_NORM_WEIGHT),
                      cvncl_norm_affine(net, l, CVNI_NORM_BIAS), C, (double)d->eps);
}

/* Statistics of the batch, and the factors that they make. */
static cvn_result cvncl_norm_stats(cvn_net *net, cvni_layer *l, const cvni_norm_job *j, int m)
{
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)l->desc;
    const int measured = cvncl_net_of(net)->measured == cvni_id(net, l);
    const int slices = measured ? cvni_ceil_div(m, CVNCL_STATS_ROWS)
                                : cvncl_column_slices(cvncl_of(net), m, j->C);
    const int length = measured ? CVNCL_STATS_ROWS : cvni_ceil_div(m, slices);
    cvn_result result = cvni_norm_enough(net, l, (double)m);
    cvncl_net_of(net)->measured = 0;
    if (result == CVN_OK && !measured)
        result = cvncl_each(net, CVNCL_NORM_PARTS, slices * j->C, "xwiiii", j->x->y, 7 * j->C,
                            slices * j->C, m, j->C, length);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_NORM_STATS, j->C, "wwpppppiiiiffi", 7 * j->C, 0, l->saved,
                        cvni_norm_param(net, l, CVNI_NORM_MEAN),
                        cvni_norm_param(net, l, CVNI_NORM_VAR),
                        cvncl_norm_affine(net, l, CVNI_NORM_WEIGHT),
                        cvncl_norm_affine(net, l, CVNI_NORM_BIAS), m, j->C, slices, length,
                        (double)d->eps, (double)d->momentum, !net->again);
}

static cvn_result cvncl_norm_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_norm_job j = cvni_norm_job_of(net, l, NULL);
    const int m = j.N * j.S;
    const cvn_result result = cvni_norm_uses_batch(net, l) ? cvncl_norm_stats(net, l, &j, m)
                                                           : cvncl_norm_factors(net, l);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_NORM_APPLY, m * j.C, "xxwxiiff", j.x->y, l->y, 0, j.more, m * j.C,
                      j.C, (double)j.slope, (double)j.most);
}

static cvn_result cvncl_norm_backward(cvn_net *net, cvni_layer *l)
{
    const int affine = !((const cvn_batchnorm_desc *)l->desc)->no_affine;
    cvni_norm_job j = cvni_norm_job_of(net, l, NULL);
    const int m = j.N * j.S;
    const int slices = cvncl_column_slices(cvncl_of(net), m, j.C);
    cvn_result result = cvncl_norm_factors(net, l);
    cvni_norm_begin_backward(&j);
    if (result == CVN_OK)
        result = cvncl_each(net, CVNCL_NORM_SUMS, slices * j.C, "xxxxxwwiiiiff", j.x->y, l->dy,
                            j.sign, j.g, j.dmore, 0, 7 * j.C, slices * j.C, m, j.C,
                            cvni_ceil_div(m, slices), (double)j.slope, (double)j.most);
    if (result == CVN_OK)
        result = cvncl_groups(net, CVNCL_NORM_BACK, j.C, "wwwppiiiit", 7 * j.C, 0, 4 * j.C,
                              affine ? cvni_weights_grad(net, l, CVNI_NORM_WEIGHT) : NULL,
                              affine ? cvni_weights_grad(net, l, CVNI_NORM_BIAS) : NULL, m, j.C,
                              slices, cvni_norm_uses_batch(net, l), cvncl_gradient_factor(net));
    if (!j.dx || result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_NORM_DX, m * j.C, "xxxwwiii", j.x->y, j.g ? j.g : l->dy, j.dx, 0,
                      4 * j.C, m * j.C, j.C, j.add);
}

static const char cvncl_text_gnorm[] =
    "/* x cut into groups of shared*run elements; saved [groups, 2]: mean and s (convnet.h,\n"
    " * >>layernorm); a work group each */\n"
    "kernel void gnorm(MEM(x), MEM(y), OUT(saved), IN(w), IN(b), const int period,\n"
    "                  const int shared, const int run, const float eps)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int t = get_group_id(0), size = shared * run, first = t % period * shared;\n"
    "    float sum = 0, square = 0;\n"
    "    AT(x); AT(y); AT(saved); AT(w); AT(b);\n"
    "    x += (size_t)t * size;\n"
    "    y += (size_t)t * size;\n"
    "    for (int i = get_local_id(0); i < size; i += WG) sum += x[i];\n"
    "    const float mean = group_sum(sum, part) / size;\n"
    "    for (int i = get_local_id(0); i < size; i += WG)\n"
    "        square += (x[i] - mean) * (x[i] - mean);\n"
    "    const float s = 1 / sqrt(group_sum(square, part) / size + eps);\n"
    "    if (HAS(saved) && get_local_id(0) == 0) {\n"
    "        saved[2 * t] = mean;\n"
    "        saved[2 * t + 1] = s;\n"
    "    }\n"
    "    for (int i = get_local_id(0); i < size; i += WG) {\n"
    "        const int c = first + i / run;\n"
    "        y[i] = (x[i] - mean) * s * (HAS(w) ? w[c] : 1) + (HAS(b) ? b[c] : 0);\n"
    "    }\n"
    "}\n"
    "\n"
    "kernel void gnorm_back(IN(x), MEM(dy), MEM(dx), IN(saved), IN(w), const int period,\n"
    "                       const int shared, const int run, const int add)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int t = get_group_id(0), size = shared * run, first = t % period * shared;\n"
    "    float sum = 0, dot = 0;\n"
    "    AT(x); AT(dy); AT(dx); AT(saved); AT(w);\n"
    "    const float mean = saved[2 * t], s = saved[2 * t + 1];\n"
    "    x += (size_t)t * size;\n"
    "    dy += (size_t)t * size;\n"
    "    dx += (size_t)t * size;\n"
    "    for (int i = get_local_id(0); i < size; i += WG) {\n"
    "        const float g = HAS(w) ? dy[i] * w[first + i / run] : dy[i];\n"
    "        sum += g;\n"
    "        dot += g * (x[i] - mean);\n"
    "    }\n"
    "    sum = group_sum(sum, part) / size;\n"
    "    dot = group_sum(dot, part) * s * s / size;\n"
    "    for (int i = get_local_id(0); i < size; i += WG) {\n"
    "        const float g = HAS(w) ? dy[i] * w[first + i / run] : dy[i];\n"
    "        const float d = s * (g - sum - (x[i] - mean) * dot);\n"
    "        dx[i] = add ? dx[i] + d : d;\n"
    "    }\n"
    "}\n"
    "\n"
    "/* dw, db of each of the period*shared weights, from all groups that it goes into */\n"
    "kernel void gnorm_weights(IN(x), IN(dy), IN(saved), MEM(dw), MEM(db), const int groups,\n"
    "                          const int period, const int shared, const int run)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int c = get_group_id(0), times = groups / period * run;\n"
    "    float sum = 0, dot = 0;\n"
    "    AT(x); AT(dy); AT(saved); AT(dw); AT(db);\n"
    "    for (int k = get_local_id(0); k < times; k += WG) {\n"
    "        const int t = k / run * period + c / shared;\n"
    "        const int i = (t * shared + c % shared) * run + k % run;\n"
    "        sum += dy[i];\n"
    "        dot += dy[i] * (x[i] - saved[2 * t]) * saved[2 * t + 1];\n"
    "    }\n"
    "    sum = group_sum(sum, part);\n"
    "    dot = group_sum(dot, part);\n"
    "    if (get_local_id(0) == 0 && HAS(dw)) dw[c] += dot;\n"
    "    if (get_local_id(0) == 0 && HAS(db)) db[c] += sum;\n"
    "}\n";

static const char cvncl_text_l2norm[] =
    "/* Lines of `length` elements `inner` apart; an item a line. */\n"
    "kernel void l2norm(MEM(x), MEM(y), const int lines, const int length, const int inner,\n"
    "                   const float eps)\n"
    "{\n"
    "    const int t = get_global_id(0);\n"
    "    float square = 0;\n"
    "    AT(x); AT(y);\n"
    "    if (t >= lines) return;\n"
    "    const int at = t / inner * length * inner + t % inner, end = at + length * inner;\n"
    "    for (int i = at; i < end; i += inner) square += x[i] * x[i];\n"
    "    const float scale = 1 / max(sqrt(square), eps);\n"
    "    for (int i = at; i < end; i += inner) y[i] = x[i] * scale;\n"
    "}\n"
    "\n"
    "kernel void l2norm_back(IN(x), MEM(dy), MEM(dx), const int lines, const int length,\n"
    "                        const int inner, const float eps, const int add)\n"
    "{\n"
    "    const int t = get_global_id(0);\n"
    "    float square = 0, dot = 0;\n"
    "    AT(x); AT(dy); AT(dx);\n"
    "    if (t >= lines) return;\n"
    "    const int at = t / inner * length * inner + t % inner, end = at + length * inner;\n"
    "    for (int i = at; i < end; i += inner) {\n"
    "        square += x[i] * x[i];\n"
    "        dot += x[i] * dy[i];\n"
    "    }\n"
    "    const float norm = sqrt(square), a = 1 / max(norm, eps);\n"
    "    const float b = norm < eps ? 0 : dot / (square * norm);\n"
    "    for (int i = at; i < end; i += inner) {\n"
    "        const float g = dy[i] * a - x[i] * b;\n"
    "        dx[i] = add ? dx[i] + g : g;\n"
    "    }\n"
    "}\n";

/* Layer, instance and group norm. */
static cvn_result cvncl_gnorm_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_gnorm_job j = cvni_start_gnorm(net, l);
    return cvncl_groups(net, CVNCL_GNORM, j.g.count, "pppppiiif", j.x, l->y, l->saved, j.w, j.b,
                        j.g.period, j.g.shared, j.g.run,
                        (double)((const cvni_gnorm_desc *)l->desc)->eps);
}

static cvn_result cvncl_gnorm_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_gnorm_desc *d = (const cvni_gnorm_desc *)l->desc;
    const cvni_gnorm_job j = cvni_start_gnorm(net, l);
    float *dw = d->no_weight ? NULL : cvni_weights_grad(net, l, 0);
    float *db = d->no_bias ? NULL : cvni_weights_grad(net, l, d->no_weight ? 0 : 1);
    float *dx;
    int add;
    cvn_result result = CVN_OK;
    if (dw || db)
        result = cvncl_groups(net, CVNCL_GNORM_WEIGHTS, j.g.period * j.g.shared, "pppppiiii", j.x,
                              l->dy, l->saved, dw, db, j.g.count, j.g.period, j.g.shared, j.g.run);
    dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (!dx || result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_GNORM_BACK, j.g.count, "pppppiiii", j.x, l->dy, dx, l->saved,
                        j.w, j.g.period, j.g.shared, j.g.run, add);
}

static cvn_result cvncl_l2norm_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_l2norm_desc *d = (const cvni_l2norm_desc *)l->desc;
    int outer, length, inner;
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    return cvncl_each(net, CVNCL_L2NORM, outer * inner, "ppiiif", cvni_in(net, l, 0)->y, l->y,
                      outer * inner, length, inner, (double)d->eps);
}

static cvn_result cvncl_l2norm_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_l2norm_desc *d = (const cvni_l2norm_desc *)l->desc;
    cvni_layer *x = cvni_in(net, l, 0);
    int outer, length, inner, add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    return cvncl_each(net, CVNCL_L2NORM_BACK, outer * inner, "pppiiifi", x->y, l->dy, dx,
                      outer * inner, length, inner, (double)d->eps, add);
}

/* ================================================================================================
 * >>cl-map   elementwise functions: activations and others; prelu
 * ============================================================================================== */

static const char cvncl_text_functions[] =
    "/* The nearest float of `digits` binary digits, least exponent `least`. */\n"
    "float rounded(float x, int digits, int least)\n"
    "{\n"
    "    int e;\n"
    "    if (!isfinite(x)) return x;\n"
    "    (void)frexp(x, &e);\n"
    "    const float step = ldexp(1.0f, max(e, least) - digits);\n"
    "    x = rint(x / step) * step;\n"
    "    return fabs(x) >= ldexp(1.0f, 3 - least) ? copysign(INFINITY, x) : x;\n"
    "}\n"
    "\n"
    "/* convnet.h, cvni_function */\n"
    "float function_value(int kind, float x, float p, float q)\n"
    "{\n"
    "    switch (kind) {\n"
    "    case 0: return 1 / x;\n"
    "    case 1: return erf(x);\n"
    "    case 2: return sin(x);\n"
    "    case 3: return cos(x);\n"
    "    case 4: return tan(x);\n"
    "    case 5: return asin(x);\n"
    "    case 6: return acos(x);\n"
    "    case 7: return atan(x);\n"
    "    case 8: return sinh(x);\n"
    "    case 9: return cosh(x);\n"
    "    case 10: return asinh(x);\n"
    "    case 11: return acosh(x);\n"
    "    case 12: return atanh(x);\n"
    "    case 13: return x > p || x != x ? x : q;\n"
    "    case 14: return x > p ? x - q : x < -p ? x + q : x != x ? x : 0;\n"
    "    case 15: return rint(x / p);\n"
    "    case 16: return rounded(x, (int)p, (int)q);\n"
    "    case 17: return floor(x);\n"
    "    case 18: return ceil(x);\n"
    "    case 19: return rint(x);\n"
    "    case 20: return trunc(x);\n"
    "    case 21: return x > 0 ? 1 : x < 0 ? -1 : x;\n"
    "    case 22: return x != x ? 1 : 0;\n"
    "    case 23: return (p != 0 && x == INFINITY) || (q != 0 && x == -INFINITY) ? 1 : 0;\n"
    "    case 24: return x == 0 ? 1 : 0;\n"
    "    default: return x - q * floor((x - p) / q);\n"
    "    }\n"
    "}\n"
    "\n"
    "/* v: y of kinds 0 and 4, x of the others */\n"
    "float function_slope(int kind, float v, float p)\n"
    "{\n"
    "    switch (kind) {\n"
    "    case 0: return -v * v;\n"
    "    case 1: return 1.1283791670955126f * exp(-v * v);\n"
    "    case 2: return cos(v);\n"
    "    case 3: return -sin(v);\n"
    "    case 4: return 1 + v * v;\n"
    "    case 5: return 1 / sqrt((1 - v) * (1 + v));\n"
    "    case 6: return -1 / sqrt((1 - v) * (1 + v));\n"
    "    case 7: return 1 / (1 + v * v);\n"
    "    case 8: return cosh(v);\n"
    "    case 9: return sinh(v);\n"
    "    case 10: return 1 / sqrt(1 + v * v);\n"
    "    case 11: return 1 / (sqrt(v - 1) * sqrt(v + 1));\n"
    "    case 12: return 1 / ((1 - v) * (1 + v));\n"
    "    case 13: return v > p ? 1 : 0;\n"
    "    case 14: return fabs(v) > p ? 1 : 0;\n"
    "    case 15: return 1 / p;\n"
    "    default: return 1;\n"
    "    }\n"
    "}\n";

static const char cvncl_text_map[] =
    "/* Elementwise functions; numbers of kinds: convnet_cl.h, cvncl_maps. */\n"
    "float map_value(int kind, float x, float p, float q)\n"
    "{\n"
    "    switch (kind) {\n"
    "    case 0: return clamped(x, p, INFINITY);\n"
    "    case 1: return x < 0 ? 0 : x > 6 ? 6 : x;\n"
    "    case 2: return x > 0 ? x : p * expm1(x);\n"
    "    case 3: return 1 / (1 + exp(-x));\n"
    "    case 4: return tanh(x);\n"
    "    case 5: return 1.0507009873554804935f * (x > 0 ? x : 1.6732632423543772848f * expm1(x));\n"
    "    case 6: return x > 0 ? x : p * expm1(x / p);\n"
    "    case 7: return x <= -3 ? 0 : x >= 3 ? 1 : x / 6 + 0.5f;\n"
    "    case 8: return x < -14 ? 0 : 0.5f * x * erfc(-0.70710678118654752440f * x);\n"
    "    case 9: {\n"
    "        const float v = 1.5957691216057307f * (x + 0.044715f * x * x * x);\n"
    "        return v < -88 ? 0 : x / (1 + exp(-v));\n"
    "    }\n"
    "    case 10: return x < -88 ? 0 : x / (1 + exp(-x));\n"
    "    case 11: return x < -88 ? 0 : x * tanh(x > 20 ? x : log1p(exp(x)));\n"
    "    case 12: return x <= -3 ? 0 : x >= 3 ? x : x * (x / 6 + 0.5f);\n"
    "    case 13: return p * x > q ? x : (max(p * x, 0.0f) + log1p(exp(-fabs(p * x)))) / p;\n"
    "    case 14: return fabs(x) > 1 ? copysign(1 / (1 / fabs(x) + 1), x) : x / (1 + fabs(x));\n"
    "    case 15: return x >= 0 ? 1 : x < 0 ? 0 : x;\n"
    "    case 16: return exp(x);\n"
    "    case 17: return log(x);\n"
    "    case 18: return sqrt(x);\n"
    "    case 19: return x * x;\n"
    "    case 20: return fabs(x);\n"
    "    case 21: return p * x + q;\n"
    "    case 22: return x < p ? p : x > q ? q : x;\n"
    "    case 23: return pow(x, p);\n"
    "    default: return function_value(kind - 24, x, p, q);\n"
    "    }\n"
    "}\n";

static const char cvncl_text_map_slope[] =
    "/* dy/dx; v: what backward reads, y for kinds 0 to 6, 16 and 18, else x */\n"
    "float map_slope(int kind, float v, float p, float q)\n"
    "{\n"
    "    const float scale = 1.0507009873554804935f;\n"
    "    switch (kind) {\n"
    "    case 0: return v > 0 ? 1 : p;\n"
    "    case 1: return v > 0 && v < 6 ? 1 : 0;\n"
    "    case 2: return v > 0 ? 1 : v + p;\n"
    "    case 3: return v * (1 - v);\n"
    "    case 4: return 1 - v * v;\n"
    "    case 5: return v > 0 ? scale : v + scale * 1.6732632423543772848f;\n"
    "    case 6: return v > 0 ? 1 : v / p + 1;\n"
    "    case 7: return v > -3 && v < 3 ? 1.0f / 6 : 0;\n"
    "    case 8:\n"
    "        if (fabs(v) > 14) return v > 0 ? 1 : 0;\n"
    "        return 0.5f * erfc(-0.70710678118654752440f * v) +\n"
    "               v * 0.3989422804014326779f * exp(-0.5f * v * v);\n"
    "    case 9: {\n"
    "        const float u = 1.5957691216057307f * (v + 0.044715f * v * v * v);\n"
    "        const float du = 1.5957691216057307f * (1 + 3 * 0.044715f * v * v);\n"
    "        const float s = 1 / (1 + exp(-u));\n"
    "        return fabs(v) > 14 ? (v > 0 ? 1 : 0) : s + v * s * (1 - s) * du;\n"
    "    }\n"
    "    case 10: {\n"
    "        const float s = 1 / (1 + exp(-v));\n"
    "        return fabs(v) > 88 ? (v > 0 ? 1 : 0) : s + v * s * (1 - s);\n"
    "    }\n"
    "    case 11: {\n"
    "        const float s = 1 / (1 + exp(-v)), t = tanh(v > 20 ? v : log1p(exp(v)));\n"
    "        return fabs(v) > 88 ? (v > 0 ? 1 : 0) : t + v * (1 - t * t) * s;\n"
    "    }\n"
    "    case 12: return v >= 3 ? 1 : v > -3 ? v / 3 + 0.5f : 0;\n"
    "    case 13: return p * v > q ? 1 : 1 / (1 + exp(-p * v));\n"
    "    case 14: return 1 / ((1 + fabs(v)) * (1 + fabs(v)));\n"
    "    case 15: return fabs(v) <= 1 ? 1 : 0;\n"
    "    case 16: return v;\n"
    "    case 17: return 1 / v;\n"
    "    case 18: return 0.5f / v;\n"
    "    case 19: return 2 * v;\n"
    "    case 20: return sign(v);\n"
    "    case 21: return p;\n"
    "    case 22: return v > p && v < q ? 1 : 0;\n"
    "    case 23: return p == 0 ? 0 : p * pow(v, p - 1);\n"
    "    default: return function_slope(kind - 24, v, p);\n"
    "    }\n"
    "}\n"
    "\n"
    "kernel void map(MEM_X(x), MEM_X(y), const int n, const int kind, const float p,\n"
    "                const float q)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i < n) SET(y, i, map_value(kind, GET(x, i), p, q));\n"
    "}\n"
    "\n"
    "kernel void map_back(MEM_X(v), MEM_X(dy), MEM_X(dx), const int n, const int kind,\n"
    "                     const float p, const float q, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(v); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    const float g = GET(dy, i) * map_slope(kind, GET(v, i), p, q);\n"
    "    SET(dx, i, add ? GET(dx, i) + g : g);\n"
    "}\n";

static const char cvncl_text_prelu[] =
    "kernel void prelu(MEM_X(x), MEM_X(y), IN(w), const int n, const int C, const int S,\n"
    "                  const int step)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(w);\n"
    "    if (i >= n) return;\n"
    "    const float v = GET(x, i);\n"
    "    SET(y, i, v > 0 ? v : w[i / S % C * step] * v);\n"
    "}\n"
    "\n"
    "/* sums [C]: of dy*x over x <= 0; a group each channel */\n"
    "kernel void prelu_sums(IN_X(x), IN_X(dy), OUT(sums), const int N, const int C,\n"
    "                       const int S)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int c = get_group_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(dy); AT(sums);\n"
    "    for (int k = get_local_id(0); k < N * S; k += WG) {\n"
    "        const int i = (k / S * C + c) * S + k % S;\n"
    "        sum += GET(x, i) > 0 ? 0 : GET(dy, i) * GET(x, i);\n"
    "    }\n"
    "    sum = group_sum(sum, part);\n"
    "    if (get_local_id(0) == 0) sums[c] = sum;\n"
    "}\n"
    "\n"
    "/* dw[c], or dw[0] from all channels, += factor*sums */\n"
    "kernel void prelu_dw(IN(sums), MEM(dw), const int C, const int count, IN(factor))\n"
    "{\n"
    "    const int c = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(sums); AT(dw);\n"
    "    if (c >= count) return;\n"
    "    if (count > 1) sum = sums[c];\n"
    "    else for (int i = 0; i < C; i++) sum += sums[i];\n"
    "    dw[c] += NUMBER(factor) * sum;\n"
    "}\n"
    "\n"
    "kernel void prelu_back(IN_X(x), MEM_X(dy), MEM_X(dx), IN(w), const int n, const int C,\n"
    "                       const int S, const int step, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(dy); AT(dx); AT(w);\n"
    "    if (i >= n) return;\n"
    "    const float g = GET(x, i) > 0 ? GET(dy, i) : w[i / S % C * step] * GET(dy, i);\n"
    "    SET(dx, i, add ? GET(dx, i) + g : g);\n"
    "}\n";

/* In the order of map_value; behind them come cvni_function_ops. neg is a scale. */
static const cvni_op *const cvncl_maps[] = {
    &cvni_op_relu, &cvni_op_relu6, &cvni_op_elu, &cvni_op_sigmoid, &cvni_op_tanh, &cvni_op_selu,
    &cvni_op_celu, &cvni_op_hardsigmoid, &cvni_op_gelu, &cvni_op_gelu_tanh, &cvni_op_silu,
    &cvni_op_mish, &cvni_op_hardswish, &cvni_op_softplus, &cvni_op_softsign, &cvni_op_binary_step,
    &cvni_op_exp, &cvni_op_log, &cvni_op_sqrt, &cvni_op_square, &cvni_op_abs, &cvni_op_scale,
    &cvni_op_clip, &cvni_op_pow
};
enum { CVNCL_MAPS = sizeof cvncl_maps / sizeof cvncl_maps[0], CVNCL_FIRST_UNARY = 16 };

static int cvncl_map_kind(const cvni_layer *l, float *p, float *q)
{
    const cvni_op *op = l->op == &cvni_op_leaky_relu ? &cvni_op_relu
                        : l->op == &cvni_op_neg      ? &cvni_op_scale
                                                     : l->op;
    int kind = 0;
    while (kind < CVNCL_MAPS && cvncl_maps[kind] != op) kind++;
    if (kind == CVNCL_MAPS) kind += (int)((const cvni_unary_desc *)l->desc)->function;
    if (kind >= CVNCL_FIRST_UNARY) {
        *p = ((const cvni_unary_desc *)l->desc)->p;
        *q = ((const cvni_unary_desc *)l->desc)->q;
    } else {
        *p = ((const cvni_act_desc *)l->desc)->p[0];
        *q = ((const cvni_act_desc *)l->desc)->p[1];
    }
    return kind;
}

static cvn_result cvncl_map_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    float p, q;
    const int kind = cvncl_map_kind(l, &p, &q);
    return cvncl_each(net, CVNCL_MAP, n, "xxiiff", cvni_in(net, l, 0)->y, l->y, n, kind, (double)p,
                      (double)q);
}

/* What a slope does not read is not there any more: then dy is given, which is. */
/* A pool has applied the slope of its gate (cvni_plan_gates): nothing is left but a copy, where the
 * input is in another order. */
static cvn_result cvncl_map_backward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    const int gate = l->place.gate != 0;
    cvni_layer *x = cvni_in(net, l, 0);
    const float *v = l->op->flags & CVNI_USES_X            ? x->y
                     : l->op->flags & CVNI_USES_Y && !gate ? l->y
                                                           : l->dy;
    int add;
    float p, q;
    const int kind = cvncl_map_kind(l, &p, &q);
    float *dx = cvni_gradient_for(x, &add);
    if (!dx || (gate && dx == l->dy)) return CVN_OK;
    return cvncl_each(net, CVNCL_MAP_BACK, n, "xxxiiffi", v, l->dy, dx, n, kind,
                      gate ? 1.0 : (double)p, (double)q, add);
}

typedef struct cvncl_channels { int N, C, S, n, step; } cvncl_channels;

/* Channels last: [N*S, C, 1]. */
static cvncl_channels cvncl_prelu_of(const cvn_net *net, const cvni_layer *l)
{
    cvncl_channels c;
    c.N = l->shape.dim[0];
    c.C = cvni_prelu_channels(l->shape);
    c.S = (int)(cvni_sample_elements(l->shape) / (size_t)c.C);
    c.n = c.N * c.C * c.S;
    if (cvncl_step(net, l) > 1) {
        c.N *= c.S;
        c.S = 1;
    }
    c.step = ((const cvni_prelu_desc *)l->desc)->parameters > 1;
    return c;
}

static size_t cvncl_prelu_work(cvn_net *net, const cvni_layer *l)
{
    (void)net;
    return (size_t)cvni_prelu_channels(l->shape);
}

static cvn_result cvncl_prelu_forward(cvn_net *net, cvni_layer *l)
{
    const cvncl_channels c = cvncl_prelu_of(net, l);
    return cvncl_each(net, CVNCL_PRELU, c.n, "xxpiiii", cvni_in(net, l, 0)->y, l->y,
                      cvni_weights(net, l, 0), c.n, c.C, c.S, c.step);
}

static cvn_result cvncl_prelu_backward(cvn_net *net, cvni_layer *l)
{
    const cvncl_channels c = cvncl_prelu_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    const int count = c.step ? c.C : 1;
    float *dw = cvni_weights_grad(net, l, 0);
    float *dx;
    int add;
    cvn_result result = CVN_OK;
    if (dw)
        result = cvncl_groups(net, CVNCL_PRELU_SUMS, c.C, "xxwiii", x->y, l->dy, 0, c.N, c.C, c.S);
    if (dw && result == CVN_OK)
        result = cvncl_each(net, CVNCL_PRELU_DW, count, "wpiit", 0, dw, c.C, count,
                            cvncl_gradient_factor(net));
    dx = cvni_gradient_for(x, &add);
    if (!dx || result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_PRELU_BACK, c.n, "xxxpiiiii", x->y, l->dy, dx,
                      cvni_weights(net, l, 0), c.n, c.C, c.S, c.step, add);
}

/* ================================================================================================
 * >>cl-layers   views, concat, arithmetic of two tensors, softmax, dropout
 * ============================================================================================== */

static const char cvncl_text_copy[] =
    "/* `lines` lines of n elements, from `step` to `step` apart */\n"
    "kernel void copy_lines(MEM_X(x), MEM_X(y), const int lines, const int n, const int x_step,\n"
    "                       const int y_step, const int add, const float factor)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= lines * n) return;\n"
    "    const float v = factor * GET(x, (size_t)(i / n) * x_step + i % n);\n"
    "    const size_t to = (size_t)(i / n) * y_step + i % n;\n"
    "    SET(y, to, add ? GET(y, to) + v : v);\n"
    "}\n"
    "\n"
    "/* part[slice][c]: sums of `length` rows of x [rows, C] */\n"
    "kernel void column_parts(IN_X(x), OUT(part), const int n, const int rows, const int C,\n"
    "                         const int length)\n"
    "{\n"
    "    const int i = get_global_id(0), first = i / C * length;\n"
    "    float sum = 0;\n"
    "    AT(x); AT(part);\n"
    "    if (i >= n) return;\n"
    "    for (int r = first; r < min(first + length, rows); r++)\n"
    "        sum += GET(x, (size_t)r * C + i % C);\n"
    "    part[i] = sum;\n"
    "}\n"
    "\n"
    "kernel void channel_sums(IN(x), MEM(out), const int rows, const int step)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int c = get_group_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(out);\n"
    "    for (int i = get_local_id(0); i < rows; i += WG) sum += x[i * step + c];\n"
    "    sum = group_sum(sum, part);\n"
    "    if (get_local_id(0) == 0) out[c] += sum;\n"
    "}\n"
    "\n"
    "/* out[c] += factor*(all parts); a group each column */\n"
    "kernel void column_sums(IN(part), MEM(out), const int C, const int slices, IN(factor))\n"
    "{\n"
    "    local float shared[WG];\n"
    "    const int c = get_group_id(0);\n"
    "    float sum = 0;\n"
    "    AT(part); AT(out);\n"
    "    for (int s = get_local_id(0); s < slices; s += WG) sum += part[s * C + c];\n"
    "    sum = group_sum(sum, shared);\n"
    "    if (get_local_id(0) == 0) out[c] += NUMBER(factor) * sum;\n"
    "}\n"
    "\n"
    "/* Element i of blocks [S, C] in a tensor of blocks [C, S]. */\n"
    "int turned(int i, int C, int S)\n"
    "{\n"
    "    const int block = i / (C * S) * (C * S), p = i - block;\n"
    "    return block + p % C * S + p / C;\n"
    "}\n"
    "\n"
    "/* y (+)= factor*x; y has blocks [S, C] */\n"
    "kernel void turn(IN(x), MEM_X(y), const int n, const int C, const int S, const int add,\n"
    "                 IN(factor))\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const float v = NUMBER(factor) * x[turned(i, C, S)];\n"
    "    SET(y, i, add ? GET(y, i) + v : v);\n"
    "}\n"
    "\n"
    "/* The same where x has them. */\n"
    "kernel void turn_back(IN_X(x), MEM(y), const int n, const int C, const int S, const int add,\n"
    "                      IN(factor))\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const int to = turned(i, C, S);\n"
    "    const float v = NUMBER(factor) * GET(x, i);\n"
    "    y[to] = add ? y[to] + v : v;\n"
    "}\n"
    "\n"
    "kernel void fill(OUT_X(y), const int n, const float value)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(y);\n"
    "    if (i < n) SET(y, i, value);\n"
    "}\n";

static const char cvncl_text_place[] =
    "/* Where element i of a broadcast sample lies in operand `side`; g: rank, then sizes, steps\n"
    " * of a, steps of b of the merged axes. */\n"
    "int place(global const int *g, int i, int side)\n"
    "{\n"
    "    int at = 0;\n"
    "    for (int k = g[0] - 1; k >= 0; k--) {\n"
    "        at += i % g[1 + k] * g[7 + 6 * side + k];\n"
    "        i /= g[1 + k];\n"
    "    }\n"
    "    return at;\n"
    "}\n";

static const char cvncl_text_operations[] =
    "/* convnet.h, cvni_operation */\n"
    "float operation_value(int op, float a, float b)\n"
    "{\n"
    "    const float r = fmod(a, b);\n"
    "    switch (op) {\n"
    "    case 0: return pow(a, b);\n"
    "    case 1: return r != 0 && (r < 0) != (b < 0) ? r + b : r;\n"
    "    case 2: return r;\n"
    "    case 3: return a > 0 ? a : a * b;\n"
    "    case 4: return rint(a / b);\n"
    "    case 5: return a == b ? 1 : 0;\n"
    "    case 6: return a > b ? 1 : 0;\n"
    "    case 7: return a >= b ? 1 : 0;\n"
    "    case 8: return a != 0 && b != 0 ? 1 : 0;\n"
    "    case 9: return a != 0 || b != 0 ? 1 : 0;\n"
    "    default: return (a != 0) != (b != 0) ? 1 : 0;\n"
    "    }\n"
    "}\n"
    "\n"
    "float operation_slope(int op, int side, float a, float b)\n"
    "{\n"
    "    switch (op) {\n"
    "    case 0:\n"
    "        if (!side) return b == 0 ? 0 : b * pow(a, b - 1);\n"
    "        return a == 0 && b >= 0 ? 0 : pow(a, b) * log(a);\n"
    "    case 1: return side ? -floor(a / b) : 1;\n"
    "    case 2: return side ? -trunc(a / b) : 1;\n"
    "    case 3: return side ? (a > 0 ? 0 : a) : a > 0 ? 1 : b;\n"
    "    case 4: return side ? 0 : 1 / b;\n"
    "    case 11: return a != 0 ? 1 : 0;\n"
    "    case 12: return a == 0 ? 1 : 0;\n"
    "    default: return 0;\n"
    "    }\n"
    "}\n"
    "\n"
    "/* y = a where the condition q is not 0, else b; g: tables of q with a, and 38 behind of q\n"
    " * with b */\n"
    "kernel void choose(IN_X(q), IN_X(a), IN_X(b), OUT_X(y), INTS(g), const int n, const int ny,\n"
    "                   const int nq, const int na, const int nb)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(q); AT(a); AT(b); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int s = i / ny, p = i % ny;\n"
    "    const int taken = GET(q, s * nq + place(g, p, 0)) != 0;\n"
    "    SET(y, i, taken ? GET(a, s * na + place(g, p, 1))\n"
    "                    : GET(b, s * nb + place(g + 38, p, 1)));\n"
    "}\n";

static const char cvncl_text_binary[] =
    "/* y = a op b */\n"
    "float pair(int op, float a, float b)\n"
    "{\n"
    "    switch (op) {\n"
    "    case 0: return a + b;\n"
    "    case 1: return a - b;\n"
    "    case 2: return a * b;\n"
    "    case 3: return a / b;\n"
    "    case 4: return a > b || a != a ? a : b;\n"
    "    case 5: return a < b || a != a ? a : b;\n"
    "    default: return operation_value(op - 6, a, b);\n"
    "    }\n"
    "}\n"
    "\n"
    "float pair_slope(int op, int side, float a, float b)\n"
    "{\n"
    "    switch (op) {\n"
    "    case 0: return 1;\n"
    "    case 1: return side ? -1 : 1;\n"
    "    case 2: return side ? a : b;\n"
    "    case 3: return side ? -a / (b * b) : 1 / b;\n"
    "    case 4: return a == b || a != a || b != b ? 0.5f : (a > b) != side ? 1 : 0;\n"
    "    case 5: return a == b || a != a || b != b ? 0.5f : (a < b) != side ? 1 : 0;\n"
    "    default: return operation_slope(op - 6, side, a, b);\n"
    "    }\n"
    "}\n"
    "\n"
    "/* ny, na, nb: elements of a sample */\n"
    "kernel void binary(MEM_X(a), MEM_X(b), MEM_X(y), INTS(g), const int n, const int ny,\n"
    "                   const int na, const int nb, const int op, const float slope,\n"
    "                   const float most)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(a); AT(b); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int sample = i / ny, p = i % ny;\n"
    "    const float va = GET(a, sample * na + place(g, p, 0));\n"
    "    const float vb = GET(b, sample * nb + place(g, p, 1));\n"
    "    SET(y, i, clamped(pair(op, va, vb), slope, most));\n"
    "}\n"
    "\n"
    "/* The gradient of one operand: an item each element of it; goes over the elements of y that\n"
    " * it went into. */\n"
    "kernel void binary_back(IN_X(a), IN_X(b), MEM_X(dy), MEM_X(dx), INTS(g), const int n,\n"
    "                        const int ny, const int na, const int nb, const int op,\n"
    "                        const int side, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(a); AT(b); AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int own = side ? nb : na, sample = i / own;\n"
    "    int rest = i % own, first = 0, times = 1, step = 1;\n"
    "    float sum = 0;\n"
    "    for (int k = g[0] - 1; k >= 0; step *= g[1 + k], k--) {\n"
    "        if (!g[7 + 6 * side + k]) times *= g[1 + k];\n"
    "        else {\n"
    "            first += rest % g[1 + k] * step;\n"
    "            rest /= g[1 + k];\n"
    "        }\n"
    "    }\n"
    "    for (int t = 0; t < times; t++) {\n"
    "        int p = first, left = t;\n"
    "        step = 1;\n"
    "        for (int k = g[0] - 1; k >= 0; step *= g[1 + k], k--) {\n"
    "            if (g[7 + 6 * side + k]) continue;\n"
    "            p += left % g[1 + k] * step;\n"
    "            left /= g[1 + k];\n"
    "        }\n"
    "        const float va = op < 2 ? 0 : GET(a, sample * na + place(g, p, 0));\n"
    "        const float vb = op < 2 ? 0 : GET(b, sample * nb + place(g, p, 1));\n"
    "        const float slope = pair_slope(op, side, va, vb);\n"
    "        if (op < 6 || slope != 0) sum += GET(dy, sample * ny + p) * slope;\n"
    "    }\n"
    "    SET(dx, i, add ? GET(dx, i) + sum : sum);\n"
    "}\n";

static const char cvncl_text_softmax[] =
    "/* Lines of `length` elements `inner` apart; an item a line. */\n"
    "kernel void softmax(MEM(x), MEM(y), const int lines, const int length, const int inner,\n"
    "                    const int logs)\n"
    "{\n"
    "    const int t = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (t >= lines) return;\n"
    "    const int at = t / inner * length * inner + t % inner;\n"
    "    float top = x[at], sum = 0;\n"
    "    for (int i = 1; i < length; i++)\n"
    "        top = x[at + i * inner] > top ? x[at + i * inner] : top;\n"
    "    for (int i = 0; i < length; i++) sum += exp(x[at + i * inner] - top);\n"
    "    const float rest = log(sum);\n"
    "    for (int i = 0; i < length; i++) {\n"
    "        const float v = x[at + i * inner] - top;\n"
    "        y[at + i * inner] = logs ? v - rest : exp(v) / sum;\n"
    "    }\n"
    "}\n"
    "\n"
    "kernel void softmax_back(IN(y), MEM(dy), MEM(dx), const int lines, const int length,\n"
    "                         const int inner, const int logs, const int add)\n"
    "{\n"
    "    const int t = get_global_id(0);\n"
    "    AT(y); AT(dy); AT(dx);\n"
    "    if (t >= lines) return;\n"
    "    const int at = t / inner * length * inner + t % inner;\n"
    "    float sum = 0;\n"
    "    for (int i = at; i < at + length * inner; i += inner)\n"
    "        sum += logs ? dy[i] : dy[i] * y[i];\n"
    "    for (int i = at; i < at + length * inner; i += inner) {\n"
    "        const float g = logs ? dy[i] - exp(y[i]) * sum : y[i] * (dy[i] - sum);\n"
    "        dx[i] = add ? dx[i] + g : g;\n"
    "    }\n"
    "}\n";

static const char cvncl_text_philox[] =
    "/* Philox 4x32-10 (convnet.h, >>random). */\n"
    "uint4 philox(uint4 c, uint k0, uint k1)\n"
    "{\n"
    "    for (int round = 0; round < 10; round++) {\n"
    "        const uint lo0 = 0xD2511F53u * c.x, hi0 = mul_hi(0xD2511F53u, c.x);\n"
    "        const uint lo1 = 0xCD9E8D57u * c.z, hi1 = mul_hi(0xCD9E8D57u, c.z);\n"
    "        c = (uint4)(hi1 ^ c.y ^ k0, lo1, hi0 ^ c.w ^ k1, lo0);\n"
    "        k0 += 0x9E3779B9u;\n"
    "        k1 += 0xBB67AE85u;\n"
    "    }\n"
    "    return c;\n"
    "}\n"
    "\n"
    "uint word_of(uint4 r, uint k) { return k == 0 ? r.x : k == 1 ? r.y : k == 2 ? r.z : r.w; }\n";

static const char cvncl_text_dropout[] =
    "/* Elements that share a draw lie `group` together in the host's order; x has blocks [S, C].\n"
    " * first: number of the first four draws; id, low and high: the counter behind that. */\n"
    "kernel void dropout(MEM_X(x), MEM_X(y), const int n, const int C, const int S,\n"
    "                    const int group, const int limit, const float scale, const uint first,\n"
    "                    const uint id, const uint low, const uint high, const uint k0,\n"
    "                    const uint k1, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const uint draw = turned(i, C, S) / group;\n"
    "    const uint4 r = philox((uint4)(first + draw / 4, id, low, high), k0, k1);\n"
    "    const float v = (int)(word_of(r, draw % 4) >> 8) < limit ? 0 : GET(x, i) * scale;\n"
    "    SET(y, i, add ? GET(y, i) + v : v);\n"
    "}\n";

/* y (+)= factor*x, n elements; in place nothing is left to do. */
static cvn_result cvncl_copy(cvn_net *net, const float *x, float *y, int n, int add, float factor)
{
    if (x == y && !add && factor == 1) return CVN_OK;
    return cvncl_each(net, CVNCL_COPY_LINES, n, "xxiiiiif", x, y, 1, n, n, n, add, (double)factor);
}

static cvn_result cvncl_view_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_copy(net, cvni_in(net, l, 0)->y, l->y, (int)cvni_elements(l->shape), 0, 1);
}

static cvn_result cvncl_view_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    return dx ? cvncl_copy(net, l->dy, dx, (int)cvni_elements(l->shape), add, 1) : CVN_OK;
}

static cvn_result cvncl_reversal_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (!dx) return CVN_OK;
    return cvncl_copy(net, l->dy, dx, (int)cvni_elements(l->shape), add,
                      -((const cvni_reversal_desc *)l->desc)->scale);
}

/* Element `at` of a tensor of the layer that runs. In the arena narrow numbers are as far apart as
 * floats only where the whole buffer is narrow. */
static const void *cvncl_element(const cvn_net *net, const float *x, int at)
{
    const uintptr_t narrow = (uintptr_t)net->arena + net->plan.narrow;
    const int half = cvncl_net_of(net)->narrow && (uintptr_t)x < narrow;
    return (const void *)((uintptr_t)x + (size_t)at * (sizeof(float) >> half));
}

/* Both ways of concat: lines of each input in those of y. */
static cvn_result cvncl_concat_run(cvn_net *net, cvni_layer *l, int backward)
{
    int outer, length, inner;
    int at = 0;
    cvn_result result = CVN_OK;
    cvni_split_axis(l->shape, ((const cvni_concat_desc *)l->desc)->axis, &outer, &length, &inner);
    if (cvncl_step(net, l) > 1) {       /* the channels lie together, innermost */
        outer *= inner;
        inner = 1;
    }
    for (int i = 0; i < l->inputs && result == CVN_OK; i++) {
        cvni_layer *x = cvni_in(net, l, i);
        const int part = (int)(cvni_elements(x->shape) / (size_t)outer);
        int add = 0;
        float *dx = backward ? cvni_gradient_for(x, &add) : NULL;
        if (!backward)
            result = cvncl_each(net, CVNCL_COPY_LINES, outer * part, "xxiiiiif", x->y,
                                cvncl_element(net, l->y, at), outer, part, part, length * inner,
                                0, 1.0);
        else if (dx)
            result = cvncl_each(net, CVNCL_COPY_LINES, outer * part, "xxiiiiif",
                                cvncl_element(net, l->dy, at), dx, outer, part, length * inner,
                                part, add, 1.0);
        at += part;
    }
    return result;
}

static cvn_result cvncl_concat_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_concat_run(net, l, 0);
}

static cvn_result cvncl_concat_backward(cvn_net *net, cvni_layer *l)
{
    return cvncl_concat_run(net, l, 1);
}

/* Table: rank, then six sizes, six steps of a and six of b. */
static int cvncl_broadcast_table(cvn_shape y, cvn_shape a, cvn_shape b, int *table)
{
    const cvni_broadcast m = cvni_make_broadcast(y, a, b);
    if (!table) return 19;
    memset(table, 0, 19 * sizeof *table);
    table[0] = m.rank;
    for (int i = 0; i < m.rank; i++) {
        table[1 + i] = m.dim[i];
        table[7 + i] = (int)m.step[0][i];
        table[13 + i] = (int)m.step[1][i];
    }
    return 19;
}

/* The axes of an image that lies channels last. */
static cvn_shape cvncl_last_shape(cvn_shape s)
{
    const int C = s.rank > 2 ? s.dim[1] : 1;
    for (int i = 1; s.rank > 2 && i < s.rank - 1; i++) s.dim[i] = s.dim[i + 1];
    if (s.rank > 2) s.dim[s.rank - 1] = C;
    return s;
}

/* Inputs a and b of a layer in the host's order, then channels last. */
static int cvncl_pair_table(const cvn_net *net, const cvni_layer *l, int a, int b, int *table)
{
    const cvn_shape y = l->shape, x = cvni_in(net, l, a)->shape, z = cvni_in(net, l, b)->shape;
    cvncl_broadcast_table(y, x, z, table);
    cvncl_broadcast_table(cvncl_last_shape(y), cvncl_last_shape(x), cvncl_last_shape(z),
                          table ? table + 19 : NULL);
    return 38;
}

/* Where the table of such a pair is; number: of the layer's pairs. */
static int cvncl_pair_at(const cvn_net *net, const cvni_layer *l, int number)
{
    const cvncl_net *d = cvncl_net_of(net);
    const int id = cvni_id(net, l);
    return d->table_at[id] + 38 * number + (d->last[id] ? 19 : 0);
}

static int cvncl_binary_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    return cvncl_pair_table(net, l, 0, 1, table);
}

enum { CVNCL_OPERATIONS = 6 };          /* of the kernels' kinds the first of cvni_operation */

static int cvncl_binary_kind(const cvni_layer *l)
{
    static const cvni_arith *const rows[] = { &cvni_arith_add, &cvni_arith_sub, &cvni_arith_mul,
                                              &cvni_arith_div, &cvni_arith_max, &cvni_arith_min };
    const cvni_binary_desc *d = (const cvni_binary_desc *)l->desc;
    int kind = 0;
    if (!d->row) return CVNCL_OPERATIONS + (int)d->operation;
    while (rows[kind] != d->row) kind++;
    return kind;
}

static cvn_result cvncl_binary_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *a = cvni_in(net, l, 0);
    const cvni_layer *b = cvni_in(net, l, 1);
    const int n = (int)cvni_elements(l->shape);
    float slope, most;
    cvncl_clamp(cvni_activation(net, l), &slope, &most);
    return cvncl_each(net, CVNCL_BINARY, n, "xxxtiiiiiff", a->y, b->y, l->y,
                      cvncl_pair_at(net, l, 0), n, (int)cvni_sample_elements(l->shape),
                      (int)cvni_sample_elements(a->shape), (int)cvni_sample_elements(b->shape),
                      cvncl_binary_kind(l), (double)slope, (double)most);
}

/* An operand's gradient may lie where dy lies: that of a sum, which is dy. */
static cvn_result cvncl_binary_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *a = cvni_in(net, l, 0);
    const cvni_layer *b = cvni_in(net, l, 1);
    cvn_result result = CVN_OK;
    for (int side = 0; side < 2 && result == CVN_OK; side++) {
        cvni_layer *x = cvni_in(net, l, side);
        const int n = (int)cvni_elements(x->shape);
        int add;
        float *dx = cvni_gradient_for(x, &add);
        if (!dx || dx == l->dy) continue;
        result = cvncl_each(net, CVNCL_BINARY_BACK, n, "xxxxtiiiiiii", a->y, b->y, l->dy, dx,
                            cvncl_pair_at(net, l, 0), n, (int)cvni_sample_elements(l->shape),
                            (int)cvni_sample_elements(a->shape),
                            (int)cvni_sample_elements(b->shape), cvncl_binary_kind(l), side, add);
    }
    return result;
}

/* The condition with each of both. */
static int cvncl_where_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    for (int i = 0; i < 2; i++)
        cvncl_pair_table(net, l, 0, 1 + i, table ? table + 38 * i : NULL);
    return 76;
}

static cvn_result cvncl_where_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x[3];
    const int n = (int)cvni_elements(l->shape);
    int size[3];
    for (int i = 0; i < 3; i++) {
        x[i] = cvni_in(net, l, i);
        size[i] = (int)cvni_sample_elements(x[i]->shape);
    }
    return cvncl_each(net, CVNCL_WHERE, n, "xxxxtiiiii", x[0]->y, x[1]->y, x[2]->y, l->y,
                      cvncl_pair_at(net, l, 0), n, (int)cvni_sample_elements(l->shape), size[0],
                      size[1], size[2]);
}

static cvn_result cvncl_where_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *q = cvni_in(net, l, 0);
    cvn_result result = CVN_OK;
    for (int i = 0; i < 2 && result == CVN_OK; i++) {
        cvni_layer *x = cvni_in(net, l, 1 + i);
        const int n = (int)cvni_elements(x->shape);
        int add;
        float *dx = cvni_gradient_for(x, &add);
        if (!dx) continue;
        result = cvncl_each(net, CVNCL_BINARY_BACK, n, "xxxxtiiiiiii", q->y, x->y, l->dy, dx,
                            cvncl_pair_at(net, l, i), n, (int)cvni_sample_elements(l->shape),
                            (int)cvni_sample_elements(q->shape),
                            (int)cvni_sample_elements(x->shape),
                            CVNCL_OPERATIONS + (int)(i ? CVNI_LEFT : CVNI_TAKEN), 1, add);
    }
    return result;
}

static cvn_result cvncl_softmax_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_softmax_desc *d = (const cvni_softmax_desc *)l->desc;
    int outer, length, inner;
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    return cvncl_each(net, CVNCL_SOFTMAX, outer * inner, "ppiiii", cvni_in(net, l, 0)->y, l->y,
                      outer * inner, length, inner, d->log);
}

static cvn_result cvncl_softmax_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_softmax_desc *d = (const cvni_softmax_desc *)l->desc;
    int outer, length, inner, add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (!dx) return CVN_OK;
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    return cvncl_each(net, CVNCL_SOFTMAX_BACK, outer * inner, "pppiiiii", l->y, l->dy, dx,
                      outer * inner, length, inner, d->log, add);
}

/* The draws are those of the CPU, of (seed, layer, pass, element): the counter of a layer in this
 * pass but for its first word, and the key. */
typedef struct cvncl_key { unsigned id, low, high, k0, k1; } cvncl_key;

static cvncl_key cvncl_key_of(const cvn_net *net, int id)
{
    uint32_t c[4];
    cvncl_key k;
    cvni_random_counter(CVNI_STREAM_DROPOUT, net->tick, (uint32_t)id, 0, c);
    k.id = c[1];
    k.low = c[2];
    k.high = c[3];
    k.k0 = (unsigned)(net->desc.seed & 0xFFFFFFFFu);
    k.k1 = (unsigned)(net->desc.seed >> 32);
    return k;
}

/* y (+)= x*mask/(1 - p); `group` elements share a draw, the first draws have number `first`; o: the
 * order of both. */
static cvn_result cvncl_drop(cvn_net *net, const cvni_layer *l, float p, int group, unsigned first,
                             const float *in, float *out, int n, cvncl_order o, int add)
{
    const cvncl_key k = cvncl_key_of(net, cvni_id(net, l));
    return cvncl_each(net, CVNCL_DROPOUT, n, "xxiiiiifuuuuuui", in, out, n, o.C, o.S, group,
                      (int)ceilf(p * 16777216.0f), (double)(1 / (1 - p)), first, k.id, k.low,
                      k.high, k.k0, k.k1, add);
}

static cvn_result cvncl_dropout_run(cvn_net *net, cvni_layer *l, const float *in, float *out,
                                    int add)
{
    const int n = (int)cvni_elements(l->shape);
    if (!net->training) return cvncl_copy(net, in, out, n, add, 1);
    return cvncl_drop(net, l, ((const cvni_dropout_desc *)l->desc)->p, (int)cvni_dropout_group(l),
                      0, in, out, n, cvncl_net_of(net)->order[cvni_id(net, l)], add);
}

static cvn_result cvncl_dropout_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_dropout_run(net, l, cvni_in(net, l, 0)->y, l->y, 0);
}

static cvn_result cvncl_dropout_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    return dx ? cvncl_dropout_run(net, l, l->dy, dx, add) : CVN_OK;
}

/* ================================================================================================
 * >>cl-shape   images of another size, axes in another order, parts; GLU, maxout; sums over axes
 * ============================================================================================== */

static const char cvncl_text_resize[] =
    "/* Each output of an axis is a mean of two inputs with weights; g: H, W, OH, OW, places of\n"
    " * the lists of rows and columns; from 8 on, for rows and for columns, [out] from (-1: 0),\n"
    " * to and the weight of `to`; then, for the way back, of both axes where the list of an\n"
    " * input begins, [in + 1], and the lists: outputs, weights. */\n"
    "#define WEIGHT(p) as_float(p)\n"
    "\n"
    "kernel void resize(IN_X(x), OUT_X(y), INTS(g), const int n, const int step)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int H = g[0], W = g[1], OH = g[2], OW = g[3], o = i / step % (OH * OW);\n"
    "    global const int *row = g + 8 + 3 * (o / OW), *col = g + 8 + 3 * OH + 3 * (o % OW);\n"
    "    const float a = WEIGHT(row[2]), b = WEIGHT(col[2]);\n"
    "    float v = 0;\n"
    "    x += (size_t)(i / step / (OH * OW)) * (H * W * step) + i % step;\n"
    "    if (row[0] >= 0 && col[0] >= 0) {\n"
    "        const int left = col[0] * step, right = col[1] * step, line = W * step;\n"
    "        v = GET(x, row[0] * line + left);\n"
    "        if (b != 0) v = (1 - b) * v + b * GET(x, row[0] * line + right);\n"
    "        if (a != 0)\n"
    "            v = (1 - a) * v + a * ((1 - b) * GET(x, row[1] * line + left) +\n"
    "                                   b * GET(x, row[1] * line + right));\n"
    "    }\n"
    "    SET(y, i, v);\n"
    "}\n"
    "\n"
    "kernel void resize_back(IN_X(dy), MEM_X(dx), INTS(g), const int n, const int step,\n"
    "                        const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int H = g[0], W = g[1], OH = g[2], OW = g[3], p = i / step % (H * W);\n"
    "    global const int *rows = g + g[4], *cols = g + g[5];\n"
    "    dy += (size_t)(i / step / (H * W)) * (OH * OW * step) + i % step;\n"
    "    for (int r = rows[p / W]; r < rows[p / W + 1]; r++)\n"
    "        for (int c = cols[p % W]; c < cols[p % W + 1]; c++)\n"
    "            sum += WEIGHT(g[2 * r + 1]) * WEIGHT(g[2 * c + 1]) *\n"
    "                   GET(dy, (g[2 * r] * OW + g[2 * c]) * step);\n"
    "    SET(dx, i, add ? GET(dx, i) + sum : sum);\n"
    "}\n";

static const char cvncl_text_permute[] =
    "/* Element i of y is element source(g, i) of x; g: rank, then sizes of y, steps in x. */\n"
    "int source(global const int *g, int i)\n"
    "{\n"
    "    int at = 0;\n"
    "    for (int k = g[0] - 1; k > 0; k--) {\n"
    "        at += i % g[1 + k] * g[7 + k];\n"
    "        i /= g[1 + k];\n"
    "    }\n"
    "    return at + i * g[7];\n"
    "}\n"
    "\n"
    "kernel void permute(IN(x), OUT(y), INTS(g), const int n)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(g);\n"
    "    if (i < n) y[i] = x[source(g, i)];\n"
    "}\n"
    "\n"
    "kernel void permute_back(IN(dy), MEM(dx), INTS(g), const int n, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int at = source(g, i);\n"
    "    dx[at] = add ? dx[at] + dy[i] : dy[i];\n"
    "}\n"
    "\n"
    "/* x [outer, k, run] to y [outer, run]: k 0: two halves a, b, y = a/(1 + exp(-b)); else the\n"
    " * largest of k, of equals the first, NaN before numbers */\n"
    "kernel void gated(IN(x), OUT(y), const int n, const int k, const int run)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const int at = i / run * run * (k ? k : 2) + i % run;\n"
    "    float v = x[at];\n"
    "    if (!k) v /= 1 + exp(-x[at + run]);\n"
    "    for (int s = 1; s < k; s++) {\n"
    "        const float other = x[at + s * run];\n"
    "        if (other > v || (other != other && v == v)) v = other;\n"
    "    }\n"
    "    y[i] = v;\n"
    "}\n"
    "\n"
    "kernel void gated_back(IN(x), IN(dy), MEM(dx), const int n, const int k, const int run,\n"
    "                       const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    const int at = i / run * run * (k ? k : 2) + i % run;\n"
    "    int best = 0;\n"
    "    for (int s = 1; s < k; s++) {\n"
    "        const float v = x[at + s * run], top = x[at + best * run];\n"
    "        if (v > top || (v != v && top == top)) best = s;\n"
    "    }\n"
    "    const float sig = k ? 0 : 1 / (1 + exp(-x[at + run]));\n"
    "    const float other = k ? 0 : 1 / (1 + exp(x[at + run]));\n"
    "    for (int s = 0; s < (k ? k : 2); s++) {\n"
    "        const float own = k ? (s == best ? 1 : 0) : s ? x[at] * sig * other : sig;\n"
    "        dx[at + s * run] = add ? dx[at + s * run] + dy[i] * own : dy[i] * own;\n"
    "    }\n"
    "}\n";

static const char cvncl_text_reduce[] =
    "/* y over the axes of x on which its step in g is 0 (as `place` has it, x for a, y for b);\n"
    " * kinds: sum, mean, max, min, product. */\n"
    "int reduced(global const int *g, int i, int t)\n"
    "{\n"
    "    int at = 0, step = 1;\n"
    "    for (int k = g[0] - 1; k >= 0; step *= g[1 + k], k--) {\n"
    "        if (g[13 + k]) {\n"
    "            at += i % g[1 + k] * step;\n"
    "            i /= g[1 + k];\n"
    "        } else {\n"
    "            at += t % g[1 + k] * step;\n"
    "            t /= g[1 + k];\n"
    "        }\n"
    "    }\n"
    "    return at;\n"
    "}\n"
    "\n"
    "/* ties [y]: how often the value occurs, for the way back of max and min */\n"
    "kernel void reduce(IN(x), OUT(y), OUT(ties), INTS(g), const int n, const int nx,\n"
    "                   const int ny, const int kind, const float scale)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(ties); AT(g);\n"
    "    if (i >= n) return;\n"
    "    float v = kind == 4 ? 1 : kind < 2 ? 0 : x[i / ny * nx + reduced(g, i % ny, 0)];\n"
    "    float count = 0;\n"
    "    for (int t = 0; t < nx / ny; t++) {\n"
    "        const float u = x[i / ny * nx + reduced(g, i % ny, t)];\n"
    "        if (kind < 2) v += u;\n"
    "        else if (kind == 4) v *= u;\n"
    "        else if ((kind == 2 ? u > v : u < v) || u != u) v = u;\n"
    "    }\n"
    "    for (int t = 0; HAS(ties) && t < nx / ny; t++)\n"
    "        count += x[i / ny * nx + reduced(g, i % ny, t)] == v;\n"
    "    if (HAS(ties)) ties[i] = count;\n"
    "    else y[i] = v * scale;\n"
    "}\n"
    "\n"
    "kernel void reduce_back(IN(x), IN(y), IN(ties), IN(dy), MEM(dx), INTS(g), const int n,\n"
    "                        const int nx, const int ny, const int kind, const float scale,\n"
    "                        const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(ties); AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int to = i / nx * ny + place(g, i % nx, 1);\n"
    "    float d = scale * dy[to];\n"
    "    if (kind == 2 || kind == 3) d = x[i] == y[to] ? dy[to] / ties[to] : 0;\n"
    "    for (int t = 0; kind == 4 && t < nx / ny; t++) {\n"
    "        const int other = i / nx * nx + reduced(g, to % ny, t);\n"
    "        if (other != i) d *= x[other];\n"
    "    }\n"
    "    dx[i] = add ? dx[i] + d : d;\n"
    "}\n";

/* What output o of an axis reads. */
static cvni_tap cvncl_resize_tap(const cvni_resize_desc *d, int axis, int o, int in, int out)
{
    const int before = axis ? d->left : d->top;
    cvni_tap t;
    if (d->kind == CVNI_RESIZE_BILINEAR) return cvni_bilinear_tap(o, in, out, d->align_corners);
    t.from = d->kind == CVNI_RESIZE_NEAREST
                 ? cvni_nearest_index(o, in, out)
                 : cvni_pad_index(d->crop ? o + before : o - before, in, d->mode);
    t.to = t.from;
    t.weight = 0;
    return t;
}

/* Of one axis the outputs that read each input, behind `at` ints of the table; returns the ints
 * then used. The lists are pairs of ints, and so they are counted. */
static int cvncl_resize_lists(const cvni_resize_desc *d, int axis, int in, int out, int *table,
                              int at)
{
    const int first = (at + in + 2) / 2;
    int *begins = table ? table + at : NULL;
    int count = 0;
    for (int pass = 0; pass < 2; pass++) {      /* how many each input has; the lists */
        for (int i = 0; table && !pass && i <= in; i++) begins[i] = 0;
        for (int i = 1; table && pass && i <= in; i++) begins[i] += begins[i - 1];
        for (int o = out - 1; o >= 0; o--) {
            const cvni_tap t = cvncl_resize_tap(d, axis, o, in, out);
            const float weight[2] = { t.from == t.to ? 1 : 1 - t.weight, t.weight };
            for (int k = 0; k < 2; k++) {
                const int i = k ? t.to : t.from;
                if (i < 0 || !(weight[k] > 0) || (k && t.from == t.to)) continue;
                count += !pass;
                if (table && !pass) begins[i]++;
                if (!table || !pass) continue;
                begins[i]--;
                table[2 * (first + begins[i])] = o;
                memcpy(&table[2 * (first + begins[i]) + 1], &weight[k], sizeof weight[k]);
            }
        }
    }
    for (int i = 0; table && i < in; i++) begins[i] += first;
    if (table) begins[in] = first + count;
    return 2 * (first + count);
}

static int cvncl_resize_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const cvni_resize_desc *d = (const cvni_resize_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    int at = 8 + 3 * (l->shape.dim[2] + l->shape.dim[3]);
    for (int axis = 0; table && axis < 2; axis++) {
        const int in = x.dim[2 + axis], out = l->shape.dim[2 + axis];
        int *taps = table + 8 + (axis ? 3 * l->shape.dim[2] : 0);
        table[axis] = in;
        table[2 + axis] = out;
        for (int o = 0; o < out; o++) {
            const cvni_tap t = cvncl_resize_tap(d, axis, o, in, out);
            taps[3 * o] = t.from;
            taps[3 * o + 1] = t.to;
            memcpy(&taps[3 * o + 2], &t.weight, sizeof t.weight);
        }
    }
    for (int axis = 0; axis < 2; axis++) {
        if (table) table[4 + axis] = at;
        at = cvncl_resize_lists(d, axis, x.dim[2 + axis], l->shape.dim[2 + axis], table, at);
    }
    return at;
}

static cvn_result cvncl_resize_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_table_forward(net, l, CVNCL_RESIZE);
}

static cvn_result cvncl_resize_backward(cvn_net *net, cvni_layer *l)
{
    return cvncl_table_backward(net, l, CVNCL_RESIZE_BACK);
}

/* Sizes of y and steps in x, 6 axes at most; the size of the first one is not read. */
static int cvncl_permute_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const cvni_permute_job j = cvni_permute_job_of(net, l);
    if (!table) return 13;
    memset(table, 0, 13 * sizeof *table);
    table[0] = j.y.rank;
    for (int i = 0; i < j.y.rank; i++) {
        table[1 + i] = j.y.dim[i];
        table[7 + i] = (int)j.step[i];
    }
    return 13;
}

/* y as [N*C, H, r, W, r]. */
static int cvncl_shuffle_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const int r = ((const cvni_shuffle_desc *)l->desc)->factor;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const int H = x.dim[2], W = x.dim[3];
    const int all[13] = { 5, 0, H, r, W, r, 0, r * r * H * W, W, r * H * W, 1, H * W, 0 };
    if (table) memcpy(table, all, sizeof all);
    return 13;
}

static cvn_result cvncl_permute_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_PERMUTE, n, "ppti", cvni_in(net, l, 0)->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n);
}

static cvn_result cvncl_permute_backward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_PERMUTE_BACK, n, "pptii", l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, add);
}

/* Both ways of slice: lines of y in those of x. */
static cvn_result cvncl_slice_run(cvn_net *net, cvni_layer *l, int backward)
{
    const cvni_slice_desc *d = (const cvni_slice_desc *)l->desc;
    cvni_layer *x = cvni_in(net, l, 0);
    int outer, length, inner, add, part, at;
    float *dx;
    cvn_result result = CVN_OK;
    cvni_split_axis(x->shape, d->axis, &outer, &length, &inner);
    part = (d->end - d->begin) * inner;
    at = d->begin * inner;
    if (!backward)
        return cvncl_each(net, CVNCL_COPY_LINES, outer * part, "ppiiiiif", x->y + at, l->y, outer,
                          part, length * inner, part, 0, 1.0);
    dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    if (!add)
        result = cvncl_each(net, CVNCL_FILL, outer * length * inner, "pif", dx,
                            outer * length * inner, 0.0);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_COPY_LINES, outer * part, "ppiiiiif", l->dy, dx + at, outer, part,
                      part, length * inner, 1, 1.0);
}

static cvn_result cvncl_slice_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_slice_run(net, l, 0);
}

static cvn_result cvncl_slice_backward(cvn_net *net, cvni_layer *l)
{
    return cvncl_slice_run(net, l, 1);
}

/* Slices that make one element (0: the halves of GLU), elements from one to the next. */
static void cvncl_gated_of(const cvni_layer *l, int *k, int *run)
{
    const cvni_gated_desc *d = (const cvni_gated_desc *)l->desc;
    int outer, length, inner;
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    *k = d->maxout ? d->k : 0;
    *run = d->maxout ? inner : length * inner;
}

static cvn_result cvncl_gated_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    int k, run;
    cvncl_gated_of(l, &k, &run);
    return cvncl_each(net, CVNCL_GATED, n, "ppiii", cvni_in(net, l, 0)->y, l->y, n, k, run);
}

static cvn_result cvncl_gated_backward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    cvni_layer *x = cvni_in(net, l, 0);
    int k, run, add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    cvncl_gated_of(l, &k, &run);
    return cvncl_each(net, CVNCL_GATED_BACK, n, "pppiiii", x->y, l->dy, dx, n, k, run, add);
}

static int cvncl_reduce_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    return cvncl_broadcast_table(x, x, l->shape, table);
}

/* y, or, ties, how often the largest or least values occur. */
static cvn_result cvncl_reduce(cvn_net *net, cvni_layer *l, const float *y, const float *ties)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    const cvni_reduce_job j = cvni_reduce_job_of(net, l);
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_REDUCE, n, "ppptiiiif", x->y, y, ties,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n,
                      (int)cvni_sample_elements(x->shape), (int)cvni_sample_elements(l->shape),
                      (int)j.kind, (double)j.scale);
}

static cvn_result cvncl_reduce_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_reduce(net, l, l->y, NULL);
}

static cvn_result cvncl_reduce_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_reduce_job j = cvni_reduce_job_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    cvn_result result = CVN_OK;
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    if (j.ties && j.kind != CVNI_REDUCE_PROD) result = cvncl_reduce(net, l, NULL, j.ties);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_REDUCE_BACK, n, "ppppptiiiifi", x->y, l->y, j.ties, l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n,
                      (int)cvni_sample_elements(x->shape), (int)cvni_sample_elements(l->shape),
                      (int)j.kind, (double)j.scale, add);
}

/* ================================================================================================
 * >>cl-batch   many products at once: matmul; attention
 * ==============================================================================================
 *   Attention: P = softmax(Q K^T/sqrt(d)) of all heads of some samples at a time lies in the work,
 *   so that it is bounded, and is computed anew on the way back: convnet.h, >>attention. */

static const char cvncl_text_batch_common[] =
    "/* c[z][m][n] (+)= sum over k of a[z][m][k] b[z][k][n]; z counts through four axes, of which\n"
    " * d1, d2, d3 are the sizes of the last three; steps in elements; wa, wc: a or c in the\n"
    " * work */\n"
    "#define STEPS(s) const int s##0, const int s##1, const int s##2, const int s##3\n"
    "#define BATCH_PARAMS \\\n"
    "    IN(pa), IN(wa), IN(pb), MEM(pc), MEM(wc), const int M, const int N, const int K, \\\n"
    "    const int am, const int ak, const int bk, const int bn, const int ldc, const int add, \\\n"
    "    const int d1, const int d2, const int d3, STEPS(sa), STEPS(sb), STEPS(sc)\n"
    "#define STEP(s) \\\n"
    "    ((size_t)i0 * s##0 + (size_t)i1 * s##1 + (size_t)i2 * s##2 + (size_t)i3 * s##3)\n"
    "#define BATCH_SETUP \\\n"
    "    const int first = 0, last = K; \\\n"
    "    const int i3 = z % d3, i2 = z / d3 % d2; \\\n"
    "    const int i1 = z / d3 / d2 % d1, i0 = z / d3 / d2 / d1; \\\n"
    "    AT(pa); AT(wa); AT(pb); AT(pc); AT(wc); \\\n"
    "    global const float *restrict a_z = (HAS(pa) ? pa : wa) + STEP(sa); \\\n"
    "    global float *c = (HAS(pc) ? pc : wc) + STEP(sc); \\\n"
    "    pb += STEP(sb);\n"
    "#define BATCH_STORE(m, n, v) c[(m) * ldc + (n)] = add ? c[(m) * ldc + (n)] + v : v\n";

#define CVNCL_BATCH_TEXT(name, a_fast, b_fast) \
    "#define NAME " name "\n" \
    "#define PARAMS BATCH_PARAMS\n" \
    "#define SETUP BATCH_SETUP\n" \
    "#define A_FAST_K " a_fast "\n" \
    "#define B_FAST_K " b_fast "\n" \
    "#define A_TYPE int\n" \
    "#define A_ROW(m) ((m) * am)\n" \
    "#define A_DEEP(k) ((k) * ak)\n" \
    "#define A_AT(row, deep) a_z[(row) + (deep)]\n" \
    "#define B_TYPE int\n" \
    "#define B_COLUMN(n) ((n) * bn)\n" \
    "#define B_DEEP(k) ((k) * bk)\n" \
    "#define B_AT(deep, column) pb[(deep) + (column)]\n" \
    "#define STORE BATCH_STORE\n"

static const char cvncl_text_batch_kk[] = CVNCL_BATCH_TEXT("batch_kk", "1", "1");
static const char cvncl_text_batch_kn[] = CVNCL_BATCH_TEXT("batch_kn", "1", "0");
static const char cvncl_text_batch_mn[] = CVNCL_BATCH_TEXT("batch_mn", "0", "0");

static const char cvncl_text_attention[] =
    "/* Largest x of the WG items of a group. */\n"
    "float group_top(float x, local float *part)\n"
    "{\n"
    "    const int t = get_local_id(0);\n"
    "    part[t] = x;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "#if CPU\n"
    "    if (t == 0) for (int i = 1; i < WG; i++) part[0] = fmax(part[0], part[i]);\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "#else\n"
    "    for (int n = WG / 2; n > 0; n /= 2) {\n"
    "        if (t < n) part[t] = fmax(part[t], part[t + n]);\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
    "#endif\n"
    "    x = part[0];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    return x;\n"
    "}\n"
    "\n"
    "#define HEAD_PARAMS \\\n"
    "    INTS(lengths), const int T, const int S, const int heads, const int sample, \\\n"
    "    const int causal, const float scale, const int limit, const float keep, \\\n"
    "    const uint id, const uint low, const uint high, const uint k0, const uint k1\n"
    "/* keys that query t of sample n sees */\n"
    "#define SEEN(n, t) \\\n"
    "    min(HAS(lengths) ? lengths[n] : S, causal ? (t) + 1 : S)\n"
    "#define KEPT(row, s) \\\n"
    "    (limit ? kept((row) * ((uint)(S + 3) / 4), s, limit, keep, id, low, high, k0, k1) : 1)\n"
    "\n"
    "/* mask/(1 - p) of key s: convnet.h, cvni_attention_mask */\n"
    "float kept(uint first, int s, int limit, float keep, uint id, uint low, uint high, uint k0,\n"
    "           uint k1)\n"
    "{\n"
    "    const uint4 r = philox((uint4)(first + s / 4, id, low, high), k0, k1);\n"
    "    const int k = s % 4;\n"
    "    const uint word = k == 0 ? r.x : k == 1 ? r.y : k == 2 ? r.z : r.w;\n"
    "    return (int)(word >> 8) < limit ? 0 : keep;\n"
    "}\n"
    "\n"
    "/* p [samples*heads*T, S], Q K^T, becomes P' or, limit 0, P; a group a row; sample: of the\n"
    " * batch, the first one */\n"
    "kernel void attention(MEM(p), HEAD_PARAMS)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int row = get_group_id(0), t = row % T, i = get_local_id(0);\n"
    "    float top = -INFINITY, sum = 0;\n"
    "    AT(p); AT(lengths);\n"
    "    p += (size_t)row * S;\n"
    "    const int seen = SEEN(sample + row / T / heads, t);\n"
    "    const uint all = (uint)sample * heads * T + row;\n"
    "    for (int s = i; s < seen; s += WG) top = fmax(top, p[s]);\n"
    "    top = scale * group_top(top, part);\n"
    "    for (int s = i; s < seen; s += WG) sum += exp(scale * p[s] - top);\n"
    "    sum = group_sum(sum, part);\n"
    "    for (int s = i; s < S; s += WG)\n"
    "        p[s] = s < seen ? exp(scale * p[s] - top) / sum * KEPT(all, s) : 0;\n"
    "}\n"
    "\n"
    "/* g = dP' becomes dA, p = P becomes P' */\n"
    "kernel void attention_back(MEM(p), MEM(g), HEAD_PARAMS)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int row = get_group_id(0), i = get_local_id(0);\n"
    "    float sum = 0;\n"
    "    AT(p); AT(g); AT(lengths);\n"
    "    p += (size_t)row * S;\n"
    "    g += (size_t)row * S;\n"
    "    const int seen = SEEN(sample + row / T / heads, row % T);\n"
    "    const uint all = (uint)sample * heads * T + row;\n"
    "    for (int s = i; s < seen; s += WG) {\n"
    "        g[s] *= KEPT(all, s);\n"
    "        sum += p[s] * g[s];\n"
    "    }\n"
    "    sum = group_sum(sum, part);\n"
    "    for (int s = i; s < S; s += WG) {\n"
    "        g[s] = s < seen ? p[s] * (g[s] - sum) * scale : 0;\n"
    "        if (s < seen) p[s] *= KEPT(all, s);\n"
    "    }\n"
    "}\n";

/* dim, step: of the axes that count the products; the last ones are the fastest. a or c NULL: in
 * the work, at a_work or c_work. */
typedef struct cvncl_batch {
    int M, N, K, am, ak, bk, bn, ldc, add;
    int dim[4], step[3][4];                     /* step: of a, b, c */
    const float *a, *b;
    float *c;
    int a_work, c_work;
} cvncl_batch;

static cvn_result cvncl_batch_run(cvn_net *net, const cvncl_batch *p)
{
    const int kernel = p->ak == 1 && p->bk == 1 ? CVNCL_BATCH_KK
                       : p->ak == 1             ? CVNCL_BATCH_KN
                                                : CVNCL_BATCH_MN;
    const int *a = p->step[0], *b = p->step[1], *c = p->step[2];
    return cvncl_tiles(net, kernel, p->M, p->N, p->dim[0] * p->dim[1] * p->dim[2] * p->dim[3],
                       "pwppw" "iii" "iiiiii" "iii" "iiii" "iiii" "iiii", p->a,
                       p->a ? -1 : p->a_work, p->b, p->c, p->c ? -1 : p->c_work, p->M, p->N, p->K,
                       p->am, p->ak, p->bk, p->bn, p->ldc, p->add, p->dim[1], p->dim[2], p->dim[3],
                       a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3]);
}

/* ---- matmul: cvni_matmul_run ---- */

/* Axes on which c has one matrix for several products are walked here, in order. */
static cvn_result cvncl_matmul_sums(cvn_net *net, const cvni_matmul *m, const int which[3],
                                    cvncl_batch *p)
{
    const int size[3] = { p->M * p->K, p->N * p->K, p->M * p->N };
    const float *a = p->a, *b = p->b;
    int sums = 1;
    cvn_result result = CVN_OK;
    for (int i = 0; i < 4; i++) {
        const int k = i - (4 - m->axes);        /* of the axes of m */
        const int summed = k >= 0 && !m->step[which[2]][k];
        p->dim[i] = k >= 0 && !summed ? m->dim[k] : 1;
        if (summed) sums *= m->dim[k];
        for (int o = 0; o < 3; o++)
            p->step[o][i] = k >= 0 && !summed ? m->step[which[o]][k] * size[o] : 0;
    }
    for (int s = 0; s < sums && result == CVN_OK; s++) {
        int rest = s;
        p->a = a;
        p->b = b;
        for (int k = m->axes - 1; k >= 0; k--) {
            if (m->step[which[2]][k]) continue;
            p->a += (ptrdiff_t)(rest % m->dim[k]) * m->step[which[0]][k] * size[0];
            p->b += (ptrdiff_t)(rest % m->dim[k]) * m->step[which[1]][k] * size[1];
            rest /= m->dim[k];
        }
        result = cvncl_batch_run(net, p);
        p->add = 1;
    }
    return result;
}

static cvn_result cvncl_matmul(cvn_net *net, const cvni_matmul *m, int M, int N, int K,
                               cvni_factor a, cvni_factor b, float *c, int which, int add)
{
    const int of[3] = { a.which, b.which, which };
    cvncl_batch p;
    memset(&p, 0, sizeof p);
    p.M = M;
    p.N = p.ldc = N;
    p.K = K;
    p.am = a.turn ? 1 : K;
    p.ak = a.turn ? M : 1;
    p.bk = b.turn ? 1 : N;
    p.bn = b.turn ? K : 1;
    p.a = a.at;
    p.b = b.at;
    p.c = c;
    p.add = add;
    return cvncl_matmul_sums(net, m, of, &p);
}

static cvn_result cvncl_matmul_forward(cvn_net *net, cvni_layer *l)
{
    const int *turn = ((const cvni_matmul_desc *)l->desc)->transpose;
    const cvni_matmul m = cvni_matmul_of(net, l);
    return cvncl_matmul(net, &m, m.T, m.S, m.K, cvni_factor_of(cvni_in(net, l, 0)->y, 0, turn[0]),
                        cvni_factor_of(cvni_in(net, l, 1)->y, 1, turn[1]), l->y, 2, 0);
}

static cvn_result cvncl_matmul_backward(cvn_net *net, cvni_layer *l)
{
    const int *turn = ((const cvni_matmul_desc *)l->desc)->transpose;
    const cvni_matmul m = cvni_matmul_of(net, l);
    cvni_layer *a = cvni_in(net, l, 0), *b = cvni_in(net, l, 1);
    const cvni_factor fa = cvni_factor_of(a->y, 0, turn[0] ? 1 : 0);
    const cvni_factor fb = cvni_factor_of(b->y, 1, turn[1] ? 1 : 0);
    cvn_result result = CVN_OK;
    int add = 0;
    float *d = cvni_gradient_for(a, &add);
    if (d && turn[0])
        result = cvncl_matmul(net, &m, m.K, m.T, m.S, fb, cvni_factor_of(l->dy, 2, 1), d, 0, add);
    else if (d)
        result = cvncl_matmul(net, &m, m.T, m.K, m.S, cvni_factor_of(l->dy, 2, 0),
                              cvni_factor_of(b->y, 1, !turn[1]), d, 0, add);
    d = result == CVN_OK ? cvni_gradient_for(b, &add) : NULL;
    if (d && turn[1])
        result = cvncl_matmul(net, &m, m.S, m.K, m.T, cvni_factor_of(l->dy, 2, 1), fa, d, 1, add);
    else if (d)
        result = cvncl_matmul(net, &m, m.K, m.S, m.T, cvni_factor_of(a->y, 0, !turn[0]),
                              cvni_factor_of(l->dy, 2, 0), d, 1, add);
    return result;
}

/* ---- products of layers that are made of several ---- */

/* y [rows, n] = x [rows, k] w^T + bias; w [n, k] */
static cvn_result cvncl_project(cvn_net *net, int rows, int n, int k, const float *x,
                                const float *w, const float *bias, float *y, int ldc)
{
    cvncl_product p;
    memset(&p, 0, sizeof p);
    p.M = rows;
    p.N = n;
    p.K = p.am = p.bn = k;
    p.ak = p.bk = 1;
    p.ldc = ldc;
    p.a = x;
    p.b = w;
    p.bias = bias;
    p.c = y;
    return cvncl_gemm(net, CVNCL_GEMM_KK, &p);
}

/* dx [rows, k] (+)= dy w; dy_step, dx_step: from row to row */
static cvn_result cvncl_project_back(cvn_net *net, int rows, int n, int k, const float *dy,
                                     int dy_step, const float *w, float *dx, int dx_step, int add)
{
    cvncl_product p;
    memset(&p, 0, sizeof p);
    if (!dx) return CVN_OK;
    p.M = rows;
    p.N = p.bk = k;
    p.K = n;
    p.am = dy_step;
    p.ldc = dx_step;
    p.ak = p.bn = 1;
    p.a = dy;
    p.b = w;
    p.c = dx;
    p.add = add;
    return cvncl_gemm(net, CVNCL_GEMM_KN, &p);
}

/* ---- attention ---- */

#ifndef CONVNET_NO_SEQUENCES

#ifndef CVNCL_ATTENTION_FLOATS
    #define CVNCL_ATTENTION_FLOATS (1 << 24)    /* of P at a time, unless one sample has more */
#endif

static int cvncl_attention_samples(const cvni_heads *a)
{
    const double one = (double)a->heads * a->T * a->S;
    return (int)cvni_max_size(1, (size_t)fmin(a->N, CVNCL_ATTENTION_FLOATS / one));
}

static size_t cvncl_attention_floats(const cvni_heads *a)
{
    return cvni_mul_size(cvni_mul_size((size_t)cvncl_attention_samples(a), (size_t)a->heads),
                         cvni_mul_size((size_t)a->T, (size_t)a->S));
}

/* P and its gradient. */
static size_t cvncl_attention_work(cvn_net *net, const cvni_layer *l)
{
    const cvni_heads a = cvni_heads_of(net, l);
    return 2 * cvncl_attention_floats(&a);
}

/* Products of all heads of `count` samples. */
static cvncl_batch cvncl_heads_product(const cvni_heads *a, int count)
{
    cvncl_batch p;
    memset(&p, 0, sizeof p);
    p.dim[0] = p.dim[1] = 1;
    p.dim[2] = count;
    p.dim[3] = a->heads;
    return p;
}

/* Steps of an operand: `rows` rows a sample, ld apart; ld 0: P or its gradient in the work. */
static void cvncl_heads_steps(const cvni_heads *a, cvncl_batch *p, int which, int rows,
                              ptrdiff_t ld)
{
    p->step[which][2] = ld ? rows * (int)ld : a->heads * a->T * a->S;
    p->step[which][3] = ld ? a->E / a->heads : a->T * a->S;
}

/* c [T, S] in the work = x y^T: Q K^T, or dO V^T. */
static cvn_result cvncl_heads_scores(const cvni_heads *a, int n, int count, const float *x,
                                     ptrdiff_t x_ld, const float *y, ptrdiff_t y_ld, int work)
{
    cvncl_batch p = cvncl_heads_product(a, count);
    p.M = a->T;
    p.N = p.ldc = a->S;
    p.K = a->E / a->heads;
    p.am = (int)x_ld;
    p.bn = (int)y_ld;
    p.ak = p.bk = 1;
    p.a = x + (ptrdiff_t)n * a->T * x_ld;
    p.b = y + (ptrdiff_t)n * a->S * y_ld;
    p.c_work = work;
    cvncl_heads_steps(a, &p, 0, a->T, x_ld);
    cvncl_heads_steps(a, &p, 1, a->S, y_ld);
    cvncl_heads_steps(a, &p, 2, 0, 0);
    return cvncl_batch_run(a->net, &p);
}

/* c (+)= w x of the weights w in the work: turn 0: [T, S] times x [S, d], 1: their transposed times
 * x [T, d]. */
static cvn_result cvncl_heads_mix(const cvni_heads *a, int n, int count, int work, int turn,
                                  const float *x, ptrdiff_t x_ld, float *c, ptrdiff_t c_ld, int add)
{
    const int rows = turn ? a->S : a->T;
    cvncl_batch p = cvncl_heads_product(a, count);
    if (!c) return CVN_OK;
    p.M = rows;
    p.N = a->E / a->heads;
    p.K = turn ? a->T : a->S;
    p.am = turn ? 1 : a->S;
    p.ak = turn ? a->S : 1;
    p.bk = (int)x_ld;
    p.bn = 1;
    p.ldc = (int)c_ld;
    p.add = add;
    p.a_work = work;
    p.b = x + (ptrdiff_t)n * p.K * x_ld;
    p.c = c + (ptrdiff_t)n * rows * c_ld;
    cvncl_heads_steps(a, &p, 0, 0, 0);
    cvncl_heads_steps(a, &p, 1, p.K, x_ld);
    cvncl_heads_steps(a, &p, 2, rows, c_ld);
    return cvncl_batch_run(a->net, &p);
}

/* Softmax of the rows of P, or the way back through it; drops: P' is wanted. */
static cvn_result cvncl_heads_rows(const cvni_heads *a, int n, int count, int grad, int drops)
{
    const int rows = count * a->heads * a->T;
    const double scale = (double)(float)(1 / sqrt((double)a->E / a->heads));
    const double keep = (double)(1 / (1 - a->dropout));
    const int limit = drops ? (int)ceilf(a->dropout * 16777216.0f) : 0;
    const cvncl_key k = cvncl_key_of(a->net, a->id);
    if (!grad)
        return cvncl_groups(a->net, CVNCL_ATTENTION, rows, "wpiiiiififuuuuu", 0, a->lengths, a->T,
                            a->S, a->heads, n, a->causal, scale, limit, keep, k.id, k.low, k.high,
                            k.k0, k.k1);
    return cvncl_groups(a->net, CVNCL_ATTENTION_BACK, rows, "wwpiiiiififuuuuu", 0, grad,
                        a->lengths, a->T, a->S, a->heads, n, a->causal, scale, limit, keep, k.id,
                        k.low, k.high, k.k0, k.k1);
}

static cvn_result cvncl_heads_forward(const cvni_heads *a)
{
    const int all = cvncl_attention_samples(a);
    cvn_result result = CVN_OK;
    for (int n = 0; n < a->N && result == CVN_OK; n += all) {
        const int count = cvni_min(all, a->N - n);
        result = cvncl_heads_scores(a, n, count, a->x[0], a->ld[0], a->x[1], a->ld[1], 0);
        if (result == CVN_OK) result = cvncl_heads_rows(a, n, count, 0, 1);
        if (result == CVN_OK)
            result = cvncl_heads_mix(a, n, count, 0, 0, a->x[2], a->ld[2], a->y, a->E, 0);
    }
    return result;
}

static cvn_result cvncl_heads_backward(const cvni_heads *a)
{
    const int all = cvncl_attention_samples(a);
    const int grad = (int)cvncl_attention_floats(a);
    cvn_result result = CVN_OK;
    for (int n = 0; n < a->N && result == CVN_OK; n += all) {
        const int count = cvni_min(all, a->N - n);
        result = cvncl_heads_scores(a, n, count, a->x[0], a->ld[0], a->x[1], a->ld[1], 0);
        if (result == CVN_OK) result = cvncl_heads_rows(a, n, count, 0, 0);
        if (result == CVN_OK)
            result = cvncl_heads_scores(a, n, count, a->dy, a->E, a->x[2], a->ld[2], grad);
        if (result == CVN_OK) result = cvncl_heads_rows(a, n, count, grad, 1);
        if (result == CVN_OK)
            result = cvncl_heads_mix(a, n, count, grad, 0, a->x[1], a->ld[1], a->dx[0],
                                     a->dx_ld[0], a->add[0]);
        if (result == CVN_OK)
            result = cvncl_heads_mix(a, n, count, grad, 1, a->x[0], a->ld[0], a->dx[1],
                                     a->dx_ld[1], a->add[1]);
        if (result == CVN_OK)
            result = cvncl_heads_mix(a, n, count, 0, 1, a->dy, a->E, a->dx[2], a->dx_ld[2],
                                     a->add[2]);
    }
    return result;
}

static cvn_result cvncl_check_lengths(cvn_net *net, const cvni_layer *l, const cvni_heads *a)
{
    const cvn_result result = l->inputs > 3 ? cvni_fetch(net, cvni_in(net, l, 3)) : CVN_OK;
    return result == CVN_OK ? cvni_check_lengths(net, l, a) : result;
}

static cvn_result cvncl_attention_forward(cvn_net *net, cvni_layer *l)
{
    cvni_heads a = cvni_heads_of(net, l);
    const cvn_result result = cvncl_check_lengths(net, l, &a);
    for (int i = 0; i < 3; i++) {
        a.x[i] = cvni_in(net, l, i)->y;
        a.ld[i] = a.E;
    }
    a.y = l->y;
    return result == CVN_OK ? cvncl_heads_forward(&a) : result;
}

static cvn_result cvncl_attention_backward(cvn_net *net, cvni_layer *l)
{
    cvni_heads a = cvni_heads_of(net, l);
    for (int i = 0; i < 3; i++) {
        a.x[i] = cvni_in(net, l, i)->y;
        a.dx[i] = cvni_gradient_for(cvni_in(net, l, i), &a.add[i]);
        a.ld[i] = a.dx_ld[i] = a.E;
    }
    a.dy = l->dy;
    return cvncl_heads_backward(&a);
}

/* dw [n, k] += dy^T x; x_step: from row to row of x */
static cvn_result cvncl_project_weights(cvn_net *net, int rows, int n, int k, const float *dy,
                                        int dy_step, const float *x, int x_step, float *dw)
{
    cvncl_product p;
    memset(&p, 0, sizeof p);
    if (!dw || rows < 1) return CVN_OK;
    p.M = n;
    p.N = p.ldc = k;
    p.K = rows;
    p.am = p.bn = p.add = 1;
    p.ak = dy_step;
    p.bk = x_step;
    p.a = dy;
    p.b = x;
    p.c = dw;
    return cvncl_gemm(net, CVNCL_GEMM_MN, &p);
}

/* db [width] += the sums of the columns of dy, rows of `step` floats */
static cvn_result cvncl_project_bias(cvn_net *net, int rows, int width, const float *dy, int step,
                                     float *db)
{
    if (!db) return CVN_OK;
    return cvncl_groups(net, CVNCL_CHANNEL_SUMS, width, "ppii", dy, db, rows, step);
}

static cvn_result cvncl_mha_forward(cvn_net *net, cvni_layer *l)
{
    const int no_bias = ((const cvni_attention_desc *)l->desc)->no_bias;
    const float *w = cvni_weights(net, l, 0);
    const float *bias = no_bias ? NULL : cvni_weights(net, l, 1);
    cvni_heads a = cvni_heads_of(net, l);
    cvn_result result = cvncl_check_lengths(net, l, &a);
    const int E = a.E;
    float *qkv[3];
    a.y = cvni_mha_places(&a, l, (float *)l->saved, qkv, a.ld);
    for (int i = 0; i < 3 && result == CVN_OK; i += cvni_same_inputs(l, i))
        result = cvncl_project(net, cvni_mha_rows(&a, i), cvni_same_inputs(l, i) * E, E,
                               cvni_in(net, l, i)->y, w + (ptrdiff_t)i * E * E,
                               bias ? bias + (ptrdiff_t)i * E : NULL, qkv[i],
                               cvni_same_inputs(l, i) * E);
    for (int i = 0; i < 3; i++) a.x[i] = qkv[i];
    if (result == CVN_OK) result = cvncl_heads_forward(&a);
    if (result != CVN_OK) return result;
    return cvncl_project(net, a.N * a.T, E, E, a.y, cvni_weights(net, l, no_bias ? 1 : 2),
                         no_bias ? NULL : cvni_weights(net, l, 3), l->y, E);
}

/* From dQ, dK, dV to in_proj and the inputs. */
static cvn_result cvncl_mha_inputs_back(cvn_net *net, cvni_layer *l, const cvni_heads *a)
{
    const int E = a->E;
    const float *w = cvni_weights(net, l, 0);
    float *dw = cvni_weights_grad(net, l, 0);
    float *db = ((const cvni_attention_desc *)l->desc)->no_bias ? NULL
                                                                : cvni_weights_grad(net, l, 1);
    cvn_result result = CVN_OK;
    for (int i = 0; i < 3 && result == CVN_OK; i += cvni_same_inputs(l, i)) {
        cvni_layer *x = cvni_in(net, l, i);
        const int rows = cvni_mha_rows(a, i), width = cvni_same_inputs(l, i) * E;
        const ptrdiff_t at = (ptrdiff_t)i * E;
        int add = 0;
        float *dx = cvni_gradient_for(x, &add);
        result = cvncl_project_weights(net, rows, width, E, a->dx[i], width, x->y, E,
                                       dw ? dw + at * E : NULL);
        if (result == CVN_OK)
            result = cvncl_project_bias(net, rows, width, a->dx[i], width, db ? db + at : NULL);
        if (result == CVN_OK)
            result = cvncl_project_back(net, rows, width, E, a->dx[i], width, w + at * E, dx, E,
                                        add);
    }
    return result;
}

static cvn_result cvncl_mha_backward(cvn_net *net, cvni_layer *l)
{
    const int no_bias = ((const cvni_attention_desc *)l->desc)->no_bias;
    const int out = no_bias ? 1 : 2;
    cvni_heads a = cvni_heads_of(net, l);
    const int rows = a.N * a.T, E = a.E;
    float *qkv[3];
    float *const o = cvni_mha_places(&a, l, (float *)l->saved, qkv, a.ld);
    float *const dy = cvni_mha_places(&a, l, (float *)l->work_backward, a.dx, a.dx_ld);
    cvn_result result = cvncl_project_weights(net, rows, E, E, l->dy, E, o, E,
                                              cvni_weights_grad(net, l, out));
    if (result == CVN_OK && !no_bias)
        result = cvncl_project_bias(net, rows, E, l->dy, E, cvni_weights_grad(net, l, 3));
    if (result == CVN_OK)
        result = cvncl_project_back(net, rows, E, E, l->dy, E, cvni_weights(net, l, out), dy, E,
                                    0);
    for (int i = 0; i < 3; i++) a.x[i] = qkv[i];
    a.dy = dy;
    if (result == CVN_OK) result = cvncl_heads_backward(&a);
    return result == CVN_OK ? cvncl_mha_inputs_back(net, l, &a) : result;
}

#endif /* CONVNET_NO_SEQUENCES */

/* ================================================================================================
 * >>cl-recurrent   RNN, LSTM, GRU
 * ==============================================================================================
 *   As convnet.h, >>recurrent, has it, in the same places of the arena, but with all samples at
 *   each step: a step forward is the product h' W_hh^T added to the step's slots, then a kernel for
 *   the gates; a step back is a kernel for the gates, then the product that adds du W_hh to dh. */

static const char cvncl_text_recurrent[] =
    "#define STEP_PARAMS \\\n"
    "    INTS(lengths), const int kind, const int N, const int H, const int T, const int t, \\\n"
    "    const int slots, const int width, const int state\n"
    "float sigmoid(float x) { return 1 / (1 + exp(-x)); }\n"
    "\n"
    "/* kind: 0 RNN, 1 LSTM, 2 GRU, 3 RNN with relu; width, state: floats from step to step of y,\n"
    " * from sample to sample of h and c */\n"
    "kernel void rnn_step(MEM(a), MEM(cells), MEM(y), MEM(h), MEM(c), STEP_PARAMS)\n"
    "{\n"
    "    const int i = get_global_id(0), n = i / H, k = i % H;\n"
    "    AT(a); AT(cells); AT(y); AT(h); AT(c); AT(lengths);\n"
    "    if (i >= N * H) return;\n"
    "    const size_t at = (size_t)n * T + t;\n"
    "    float v = 0;\n"
    "    y += at * width + k;\n"
    "    if (HAS(lengths) && t >= lengths[n]) {\n"
    "        y[0] = 0;\n"
    "        return;\n"
    "    }\n"
    "    a += at * slots * H + k;\n"
    "    h += (size_t)n * state + k;\n"
    "    if (kind == 1) {\n"
    "        const float in = sigmoid(a[0]), f = sigmoid(a[H]), g = tanh(a[2 * H]);\n"
    "        const float o = sigmoid(a[3 * H]);\n"
    "        c += (size_t)n * state + k;\n"
    "        c[0] = f * c[0] + in * g;\n"
    "        a[0] = in; a[H] = f; a[2 * H] = g; a[3 * H] = o;\n"
    "        if (HAS(cells)) cells[at * H + k] = c[0];\n"
    "        v = o * tanh(c[0]);\n"
    "    } else if (kind == 2) {\n"
    "        const float r = sigmoid(a[0]), z = sigmoid(a[H]);\n"
    "        const float m = tanh(a[2 * H] + r * a[3 * H]);\n"
    "        a[0] = r; a[H] = z; a[2 * H] = m;\n"
    "        v = m + z * (h[0] - m);\n"
    "    } else {\n"
    "        v = kind == 0 ? tanh(a[0]) : a[0] < 0 ? 0 : a[0];\n"
    "    }\n"
    "    h[0] = y[0] = v;\n"
    "}\n";

static const char cvncl_text_recurrent_back[] =
    "/* d: of what stands under s or tanh, as the slots; GRU's du of n in the last. first [N,\n"
    " * gates*H]: du of the first steps, where there is h0 */\n"
    "kernel void rnn_step_back(IN(a), IN(cells), IN(y), IN(h0), IN(c0), IN(dy), MEM(d), MEM(dh),\n"
    "                          MEM(dc), MEM(first), STEP_PARAMS, const int reverse)\n"
    "{\n"
    "    const int i = get_global_id(0), n = i / H, k = i % H;\n"
    "    AT(a); AT(cells); AT(y); AT(h0); AT(c0); AT(dy); AT(d); AT(dh); AT(dc); AT(first);\n"
    "    AT(lengths);\n"
    "    if (i >= N * H) return;\n"
    "    const size_t at = (size_t)n * T + t, own = (size_t)n * state + k;\n"
    "    const int last = (HAS(lengths) ? lengths[n] : T) - 1;\n"
    "    const bool begins = t == (reverse ? last : 0);\n"
    "    const size_t before = reverse ? at + 1 : at - 1;\n"
    "    const int gates = kind == 1 ? 4 : kind == 2 ? 3 : 1;\n"
    "    d += at * slots * H + k;\n"
    "    if (t > last) {\n"
    "        for (int s = 0; s < slots; s++) d[s * H] = 0;\n"
    "        return;\n"
    "    }\n"
    "    a += at * slots * H + k;\n"
    "    const float g = dh[own] + dy[at * width + k];\n"
    "    float rest = 0;\n"
    "    if (kind == 1) {\n"
    "        const float c1 = begins ? (HAS(c0) ? c0[own] : 0) : cells[before * H + k];\n"
    "        const float in = a[0], f = a[H], m = a[2 * H], o = a[3 * H];\n"
    "        const float top = tanh(cells[at * H + k]);\n"
    "        const float all = dc[own] + g * o * (1 - top * top);\n"
    "        d[0] = all * m * in * (1 - in);\n"
    "        d[H] = all * c1 * f * (1 - f);\n"
    "        d[2 * H] = all * in * (1 - m * m);\n"
    "        d[3 * H] = g * top * o * (1 - o);\n"
    "        dc[own] = all * f;\n"
    "    } else if (kind == 2) {\n"
    "        const float h1 = begins ? (HAS(h0) ? h0[own] : 0) : y[before * width + k];\n"
    "        const float r = a[0], z = a[H], m = a[2 * H];\n"
    "        const float dn = g * (1 - z) * (1 - m * m);\n"
    "        d[0] = dn * a[3 * H] * r * (1 - r);\n"
    "        d[H] = g * (h1 - m) * z * (1 - z);\n"
    "        d[2 * H] = dn;\n"
    "        d[3 * H] = dn * r;\n"
    "        rest = g * z;\n"
    "    } else {\n"
    "        const float v = y[at * width + k];\n"
    "        d[0] = kind == 0 ? g * (1 - v * v) : v > 0 ? g : 0;\n"
    "    }\n"
    "    dh[own] = rest;\n"
    "    for (int s = 0; HAS(first) && begins && s < gates; s++)\n"
    "        first[((size_t)n * gates + s) * H + k] = d[(kind == 2 && s == 2 ? 3 : s) * H];\n"
    "}\n";

#ifndef CONVNET_NO_SEQUENCES

/* Of the kernels above. */
static int cvncl_rnn_kind(const cvni_rnn *r)
{
    return r->kind == CVNI_LSTM ? 1 : r->kind == CVNI_GRU ? 2 : r->desc->d.relu ? 3 : 0;
}

/* Gates whose product with h is added to their own slots; GRU's last one has a slot of its own. */
static int cvncl_rnn_added(const cvni_rnn *r) { return r->kind == CVNI_GRU ? 2 : r->gates; }

/* Slots of step t += h' W_hh^T; the last one of a GRU = that + b_hh. */
static cvn_result cvncl_rnn_hidden(const cvni_rnn_job *j, int t)
{
    const cvni_rnn *r = &j->r;
    const int added = cvncl_rnn_added(r) * r->h;
    cvn_result result;
    cvncl_product p;
    memset(&p, 0, sizeof p);
    p.M = r->n;
    p.N = added;
    p.K = p.bn = r->h;
    p.am = r->state;
    p.ak = p.bk = p.add = 1;
    p.ldc = r->t * r->slots * r->h;
    p.a = j->h;
    p.b = j->weight;
    p.c = j->slots + (ptrdiff_t)t * r->slots * r->h;
    result = cvncl_gemm(j->net, CVNCL_GEMM_KK, &p);
    if (r->kind != CVNI_GRU || result != CVN_OK) return result;
    p.N = r->h;
    p.add = 0;
    p.b += (ptrdiff_t)added * r->h;
    p.bias = j->bias;
    p.c += 3 * r->h;
    return cvncl_gemm(j->net, CVNCL_GEMM_KK, &p);
}

/* dh += du of step t times W_hh. */
static cvn_result cvncl_rnn_hidden_back(const cvni_rnn_job *j, int t)
{
    const cvni_rnn *r = &j->r;
    const int added = cvncl_rnn_added(r) * r->h, step = r->t * r->slots * r->h;
    const float *d = j->d + (ptrdiff_t)t * r->slots * r->h;
    const cvn_result result =
        cvncl_project_back(j->net, r->n, added, r->h, d, step, j->weight, j->dh, r->state, 1);
    if (r->kind != CVNI_GRU || result != CVN_OK) return result;
    return cvncl_project_back(j->net, r->n, r->h, r->h, d + 3 * r->h, step,
                              j->weight + (ptrdiff_t)added * r->h, j->dh, r->state, 1);
}

/* a of all steps, then the steps. */
static cvn_result cvncl_rnn_run(cvn_net *net, cvni_layer *l, int layer, int dir)
{
    cvni_rnn_job j = cvni_rnn_job_of(net, l, layer, dir);
    const cvni_rnn *r = &j.r;
    const int rows = r->gates * r->h, in = cvni_rnn_width(r, layer);
    const float *x = layer ? cvni_rnn_dropped(net, r, l, layer - 1) : cvni_in(net, l, 0)->y;
    float *bias = NULL;
    cvn_result result = CVN_OK;
    if (!r->desc->d.no_bias) {
        const float *hidden = cvni_weights(net, l, cvni_rnn_param(r, layer, dir, 3));
        const int both = cvncl_rnn_added(r) * r->h;
        bias = cvni_floats_at(l->work_forward, r->slot_bytes + cvni_rnn_inner_bytes(r) +
                                                   cvni_rnn_packed_bytes(net, rows, r->h));
        result = cvncl_copy(net, cvni_weights(net, l, cvni_rnn_param(r, layer, dir, 2)), bias, rows,
                            0, 1);
        if (result == CVN_OK) result = cvncl_copy(net, hidden, bias, both, 1, 1);
        if (r->kind == CVNI_GRU) j.bias = hidden + both;
    }
    if (result == CVN_OK)
        result = cvncl_project(net, r->n * r->t, rows, in, x,
                               cvni_weights(net, l, cvni_rnn_param(r, layer, dir, 0)), bias,
                               j.slots, r->slots * r->h);
    for (int s = 0; s < r->t && result == CVN_OK; s++) {
        const int t = j.reverse ? r->t - 1 - s : s;
        result = cvncl_rnn_hidden(&j, t);
        if (result == CVN_OK)
            result = cvncl_each(net, CVNCL_RNN_STEP, r->n * r->h, "ppppppiiiiiiii", j.slots,
                                j.cells, j.steps, j.h, j.c, j.lengths, cvncl_rnn_kind(r), r->n,
                                r->h, r->t, t, r->slots, r->dirs * r->h, r->state);
    }
    return result;
}

/* What a layer hands to the next, or its gradient. */
static cvn_result cvncl_rnn_drop(cvn_net *net, const cvni_layer *l, const cvni_rnn *r, int layer,
                                 const float *in, float *out)
{
    const cvncl_order plain = { 1, 1, 0 };
    const int n = (int)cvni_elements(l->shape);
    if (!net->training || !(r->desc->d.dropout > 0)) return CVN_OK;
    return cvncl_drop(net, l, r->desc->d.dropout, 1, (unsigned)layer * (((unsigned)n + 3) / 4), in,
                      out, n, plain, 0);
}

static cvn_result cvncl_rnn_set_state(cvn_net *net, const cvni_layer *l, const cvni_rnn *r,
                                      int slot, float *state)
{
    const int n = r->n * r->state;
    return slot ? cvncl_copy(net, cvni_in(net, l, slot)->y, state, n, 0, 1)
                : cvncl_each(net, CVNCL_FILL, n, "pif", state, n, 0.0);
}

static cvn_result cvncl_rnn_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_rnn r = cvni_rnn_of(net, l);
    const int floats = (int)(l->table_bytes / sizeof(float));
    cvn_result result = r.desc->lengths ? cvni_fetch(net, cvni_in(net, l, r.desc->lengths))
                                        : CVN_OK;
    if (result == CVN_OK) result = cvni_rnn_check_lengths(net, l, &r);
    if (result == CVN_OK && !net->again)
        result = cvncl_each(net, CVNCL_FILL, floats, "pif", l->table, floats, 0.0);
    if (result == CVN_OK) result = cvncl_rnn_set_state(net, l, &r, r.desc->h0, (float *)l->table);
    if (result == CVN_OK && r.kind == CVNI_LSTM)
        result = cvncl_rnn_set_state(net, l, &r, r.desc->c0,
                                     cvni_floats_at(l->table, 2 * r.state_bytes));
    for (int layer = 0; layer < r.layers; layer++) {
        for (int dir = 0; dir < r.dirs && result == CVN_OK; dir++)
            result = cvncl_rnn_run(net, l, layer, dir);
        if (layer < r.layers - 1 && result == CVN_OK)
            result = cvncl_rnn_drop(net, l, &r, layer, cvni_rnn_steps_of(&r, l, layer),
                                    cvni_rnn_dropped(net, &r, l, layer));
    }
    return result;
}

/* dW_hh: rows [row, row + rows) from the slots at column `from`: of the steps with one before them,
 * whose d is 0 where it meets a step of another sample; then the first steps with h0. */
static cvn_result cvncl_rnn_hidden_weights(const cvni_rnn_job *j, int row, int rows, int from,
                                           float *dw)
{
    const cvni_rnn *r = &j->r;
    const int d_step = r->slots * r->h, h_step = r->dirs * r->h;
    float *to = dw + (ptrdiff_t)row * r->h;
    const cvn_result result = cvncl_project_weights(
        j->net, r->n * r->t - 1, rows, r->h, j->d + from + (j->reverse ? 0 : d_step), d_step,
        j->steps + (j->reverse ? h_step : 0), h_step, to);
    if (!j->h0 || result != CVN_OK) return result;
    return cvncl_project_weights(j->net, r->n, rows, r->h, j->first + row, r->gates * r->h, j->h0,
                                 r->state, to);
}

/* What is left when da and du of all steps are there. The steps without one before them in memory
 * lose theirs here, behind all other products. */
static cvn_result cvncl_rnn_weights_back(cvni_layer *l, const cvni_rnn_job *j, int layer, float *dx,
                                         int add)
{
    cvn_net *net = j->net;
    const cvni_rnn *r = &j->r;
    const int in = cvni_rnn_width(r, layer), all = r->n * r->t, step = r->slots * r->h;
    const int rows = r->gates * r->h, split = cvncl_rnn_added(r) * r->h;
    const float *x = layer ? cvni_rnn_dropped(net, r, l, layer - 1) : cvni_in(net, l, 0)->y;
    float *grad[4];
    float *edge = j->d + (j->reverse ? (ptrdiff_t)(r->t - 1) * step : 0);
    cvn_result result;
    for (int i = 0; i < 4; i++)
        grad[i] = i < 2 || !r->desc->d.no_bias
                      ? cvni_weights_grad(net, l, cvni_rnn_param(r, layer, j->dir, i)) : NULL;
    result = cvncl_project_weights(net, all, rows, in, j->d, step, x, in, grad[0]);
    if (result == CVN_OK) result = cvncl_project_bias(net, all, rows, j->d, step, grad[2]);
    if (result == CVN_OK) result = cvncl_project_bias(net, all, split, j->d, step, grad[3]);
    if (result == CVN_OK && grad[3] && r->kind == CVNI_GRU)
        result = cvncl_project_bias(net, all, r->h, j->d + 3 * r->h, step, grad[3] + split);
    if (result == CVN_OK)
        result = cvncl_project_back(net, all, rows, in, j->d, step,
                                    cvni_weights(net, l, cvni_rnn_param(r, layer, j->dir, 0)), dx,
                                    in, add);
    if (!grad[1] || result != CVN_OK) return result;
    result = cvncl_each(net, CVNCL_COPY_LINES, r->n * step, "ppiiiiif", edge, edge, r->n, step,
                        r->t * step, r->t * step, 0, 0.0);
    if (result == CVN_OK) result = cvncl_rnn_hidden_weights(j, 0, split, 0, grad[1]);
    if (result == CVN_OK && r->kind == CVNI_GRU)
        result = cvncl_rnn_hidden_weights(j, split, r->h, 3 * r->h, grad[1]);
    return result;
}

/* One layer and direction: dsteps [N, T, D*H] is the gradient of its steps. */
static cvn_result cvncl_rnn_run_back(cvn_net *net, cvni_layer *l, int layer, int dir,
                                     const float *dsteps, float *dx, int add)
{
    cvni_rnn_job j = cvni_rnn_job_of(net, l, layer, dir);
    const cvni_rnn *r = &j.r;
    cvn_result result = CVN_OK;
    j.d = (float *)l->work_backward;
    j.dsteps = dsteps + (ptrdiff_t)dir * r->h;
    if (j.h0)
        j.first = cvni_floats_at(l->work_backward,
                                 r->slot_bytes + cvni_rnn_inner_bytes(r) +
                                     cvni_rnn_packed_bytes(net, r->h, r->gates * r->h));
    for (int s = 0; s < r->t && result == CVN_OK; s++) {
        const int t = j.reverse ? s : r->t - 1 - s;
        result = cvncl_each(net, CVNCL_RNN_STEP_BACK, r->n * r->h, "pppppppppppiiiiiiiii", j.slots,
                            j.cells, j.steps, j.h0, j.c0, j.dsteps, j.d, j.dh, j.dc, j.first,
                            j.lengths, cvncl_rnn_kind(r), r->n, r->h, r->t, t, r->slots,
                            r->dirs * r->h, r->state, j.reverse);
        if (result == CVN_OK) result = cvncl_rnn_hidden_back(&j, t);
    }
    return result == CVN_OK ? cvncl_rnn_weights_back(l, &j, layer, dx, add) : result;
}

/* The gradient of an initial state, which is then zero again. */
static cvn_result cvncl_rnn_state_back(cvn_net *net, const cvni_layer *l, const cvni_rnn *r,
                                       int slot, float *d)
{
    const int n = r->n * r->state;
    int add = 0;
    float *to = slot ? cvni_gradient_for(cvni_in(net, l, slot), &add) : NULL;
    const cvn_result result = to ? cvncl_copy(net, d, to, n, add, 1) : CVN_OK;
    return result == CVN_OK ? cvncl_each(net, CVNCL_FILL, n, "pif", d, n, 0.0) : result;
}

static cvn_result cvncl_rnn_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_rnn r = cvni_rnn_of(net, l);
    const float *dsteps = l->dy;
    int add = 0;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    cvn_result result = CVN_OK;
    for (int layer = r.layers - 1; layer >= 0; layer--) {
        float *inner = layer ? cvni_rnn_inner_gradient(&r, l, layer - 1) : dx;
        for (int dir = 0; dir < r.dirs && result == CVN_OK; dir++)
            result = cvncl_rnn_run_back(net, l, layer, dir, dsteps, inner, dir || (!layer && add));
        if (layer && result == CVN_OK) result = cvncl_rnn_drop(net, l, &r, layer - 1, inner, inner);
        dsteps = inner;
    }
    if (result == CVN_OK)
        result = cvncl_rnn_state_back(net, l, &r, r.desc->h0,
                                      cvni_floats_at(l->table, r.state_bytes));
    if (r.kind != CVNI_LSTM || result != CVN_OK) return result;
    return cvncl_rnn_state_back(net, l, &r, r.desc->c0,
                                cvni_floats_at(l->table, 3 * r.state_bytes));
}

static cvn_result cvncl_rnn_state_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_copy(net, cvni_rnn_state_at(net, l, 0), l->y, (int)cvni_elements(l->shape), 0, 1);
}

/* What it adds to: cvni_rnn_state_backward. */
static cvn_result cvncl_rnn_state_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dy = cvni_gradient_for(x, &add);
    cvn_result result = CVN_OK;
    if (!dy) return CVN_OK;
    if (!add) result = cvncl_each(net, CVNCL_FILL, n, "pif", dy, n, 0.0);
    if (result != CVN_OK) return result;
    return cvncl_copy(net, l->dy, cvni_rnn_state_at(net, l, 1), (int)cvni_elements(l->shape), 1, 1);
}

#endif /* CONVNET_NO_SEQUENCES */

/* ================================================================================================
 * >>cl-embed   embedding, learned tensors, positions; normal noise
 * ============================================================================================== */

static const char cvncl_text_index[] =
    "/* Indices are ints or floats whose fractions are cut off. */\n"
    "int index_of(global const float *x, int i, int is_int)\n"
    "{\n"
    "    return is_int ? as_int(x[i]) : (int)x[i];\n"
    "}\n";

static const char cvncl_text_embed[] =
    "kernel void embedding(IN(x), IN(w), OUT(y), const int n, const int dim, const int is_int)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(w); AT(y);\n"
    "    if (i < n) y[i] = w[(size_t)index_of(x, i / dim, is_int) * dim + i % dim];\n"
    "}\n"
    "\n"
    "/* next [n, 2]: whether a position is the first one of its index; the next one, -1: none */\n"
    "kernel void embedding_chain(IN(x), global int *restrict next, const ulong next_at,\n"
    "                            const int n, const int is_int)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(next);\n"
    "    if (i >= n) return;\n"
    "    const int own = index_of(x, i, is_int);\n"
    "    int before = i - 1, behind = i + 1;\n"
    "    while (before >= 0 && index_of(x, before, is_int) != own) before--;\n"
    "    while (behind < n && index_of(x, behind, is_int) != own) behind++;\n"
    "    next[2 * i] = before < 0;\n"
    "    next[2 * i + 1] = behind < n ? behind : -1;\n"
    "}\n"
    "\n"
    "/* dw[x[i]] += the sum of dy over the positions of that index, in order; an item each column\n"
    " * of each position, of which the first of an index does it */\n"
    "kernel void embedding_back(IN(x), IN(dy), INTS(next), MEM(dw), const int n, const int dim,\n"
    "                           const int is_int)\n"
    "{\n"
    "    const int i = get_global_id(0), column = i % dim;\n"
    "    float sum = 0;\n"
    "    AT(x); AT(dy); AT(next); AT(dw);\n"
    "    if (i >= n || !next[2 * (i / dim)]) return;\n"
    "    for (int k = i / dim; k >= 0; k = next[2 * k + 1]) sum += dy[(size_t)k * dim + column];\n"
    "    dw[(size_t)index_of(x, i / dim, is_int) * dim + column] += sum;\n"
    "}\n"
    "\n"
    "/* y = p, or x + p, for each of the rows of `width` */\n"
    "kernel void add_row(MEM(x), IN(p), MEM(y), const int n, const int width)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(p); AT(y);\n"
    "    if (i < n) y[i] = (HAS(x) ? x[i] : 0) + p[i % width];\n"
    "}\n"
    "\n"
    "/* out [width] += the sum of the rows of x */\n"
    "kernel void row_sums(IN(x), MEM(out), const int rows, const int width)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(out);\n"
    "    if (i >= width) return;\n"
    "    for (int r = 0; r < rows; r++) sum += x[(size_t)r * width + i];\n"
    "    out[i] += sum;\n"
    "}\n";

static const char cvncl_text_noise[] =
    "/* Element i of the normals of convnet.h, cvni_gauss4. */\n"
    "float normal_at(int i, uint id, uint low, uint high, uint k0, uint k1)\n"
    "{\n"
    "    const uint4 r = philox((uint4)(i / 4, id, low, high), k0, k1);\n"
    "    const uint u = i % 4 < 2 ? r.x : r.z, v = i % 4 < 2 ? r.y : r.w;\n"
    "    const float log_u = u < 0x80000000u ? log(((float)u + 1) / 4294967296.0f)\n"
    "                                        : log1p(-(float)(0xFFFFFFFFu - u) / 4294967296.0f);\n"
    "    const float radius = sqrt(-2 * log_u), turns = (float)v / 2147483648.0f;\n"
    "    return radius * (i % 2 ? sinpi(turns) : cospi(turns));\n"
    "}\n"
    "\n"
    "/* y = x + s e of normals e, s = exp(v/2) or std */\n"
    "kernel void noise(MEM(x), IN(v), MEM(y), const int n, const float std, const uint id,\n"
    "                  const uint low, const uint high, const uint k0, const uint k1)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(v); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const float s = HAS(v) ? exp(v[i] / 2) : std;\n"
    "    y[i] = x[i] + s * normal_at(i, id, low, high, k0, k1);\n"
    "}\n"
    "\n"
    "/* dv, of exp(v/2) e; zero of a pass without noise */\n"
    "kernel void noise_back(IN(v), MEM(dy), MEM(dv), const int n, const int noisy, const int add,\n"
    "                       const uint id, const uint low, const uint high, const uint k0,\n"
    "                       const uint k1)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(v); AT(dy); AT(dv);\n"
    "    if (i >= n) return;\n"
    "    const float e = noisy ? normal_at(i, id, low, high, k0, k1) : 0;\n"
    "    const float g = dy[i] * exp(v[i] / 2) * e / 2;\n"
    "    dv[i] = add ? dv[i] + g : g;\n"
    "}\n";

static size_t cvncl_embedding_work(cvn_net *net, const cvni_layer *l)
{
    return 2 * cvni_elements(cvni_in(net, l, 0)->shape);
}

static cvn_result cvncl_embedding_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_embedding_job j = cvni_embedding_job_of(net, l);
    const int n = (int)cvni_elements(l->shape);
    cvn_result result = cvni_fetch(net, cvni_in(net, l, 0));
    if (result == CVN_OK) result = cvni_embedding_check(net, l, &j);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_EMBEDDING, n, "pppiii", j.x->y, cvni_weights(net, l, 0), l->y, n,
                      j.dim, j.x->is_int);
}

static cvn_result cvncl_embedding_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_embedding_job j = cvni_embedding_job_of(net, l);
    const int n = (int)cvni_elements(l->shape);
    float *dw = cvni_weights_grad(net, l, 0);
    cvn_result result;
    if (!dw) return CVN_OK;
    result = cvncl_each(net, CVNCL_EMBEDDING_CHAIN, j.positions, "pwii", j.x->y, 0, j.positions,
                        j.x->is_int);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_EMBEDDING_BACK, n, "ppwpiii", j.x->y, l->dy, 0, dw, n, j.dim,
                      j.x->is_int);
}

static cvn_result cvncl_parameter_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_ADD_ROW, n, "pppii", NULL, cvni_weights(net, l, 0), l->y, n,
                      (int)cvni_sample_elements(l->shape));
}

static cvn_result cvncl_parameter_backward(cvn_net *net, cvni_layer *l)
{
    const int width = (int)cvni_sample_elements(l->shape);
    float *dw = cvni_weights_grad(net, l, 0);
    if (!dw) return CVN_OK;
    return cvncl_each(net, CVNCL_ROW_SUMS, width, "ppii", l->dy, dw, l->shape.dim[0], width);
}

/* The bits of the waves. */
static int cvncl_posenc_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const int T = l->shape.dim[1], C = l->shape.dim[2];
    (void)net;
    for (int i = 0; table && i < T * C; i++) {
        const float wave = cvni_posenc_wave(i / C, i % C, C);
        memcpy(&table[i], &wave, sizeof wave);
    }
    return T * C;
}

static cvn_result cvncl_posenc_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_ADD_ROW, n, "ptpii", cvni_in(net, l, 0)->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], l->y, n,
                      (int)cvni_sample_elements(l->shape));
}

static cvn_result cvncl_posemb_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_ADD_ROW, n, "pppii", cvni_in(net, l, 0)->y,
                      cvni_weights(net, l, 0), l->y, n, (int)cvni_sample_elements(l->shape));
}

static cvn_result cvncl_posemb_backward(cvn_net *net, cvni_layer *l)
{
    const cvn_result result = cvncl_parameter_backward(net, l);
    return result == CVN_OK ? cvncl_view_backward(net, l) : result;
}

/* Normals of (seed, layer, pass, element), as on the CPU. v: log variance, or NULL: std. */
static cvn_result cvncl_noise_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    const float *v = l->inputs > 1 ? cvni_in(net, l, 1)->y : NULL;
    const double std = v ? 0 : (double)((const cvni_gauss_desc *)l->desc)->std;
    const cvncl_key k = cvncl_key_of(net, cvni_id(net, l));
    if (!net->training) return cvncl_view_forward(net, l);
    return cvncl_each(net, CVNCL_NOISE, n, "pppifuuuuu", cvni_in(net, l, 0)->y, v, l->y, n, std,
                      k.id, k.low, k.high, k.k0, k.k1);
}

/* dv before dm, which may lie where dy lies. */
static cvn_result cvncl_reparameterize_backward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    cvni_layer *v = cvni_in(net, l, 1);
    const cvncl_key k = cvncl_key_of(net, cvni_id(net, l));
    cvn_result result = CVN_OK;
    int add;
    float *dv = cvni_gradient_for(v, &add);
    if (dv)
        result = cvncl_each(net, CVNCL_NOISE_BACK, n, "pppiiiuuuuu", v->y, l->dy, dv, n,
                            net->training, add, k.id, k.low, k.high, k.k0, k.k1);
    return result == CVN_OK ? cvncl_view_backward(net, l) : result;
}

/* ================================================================================================
 * >>cl-gather   elements chosen: axis by axis, by rank, at indices; resampling; LRN; spectral norm
 * ==============================================================================================
 *   What is read several times gets its gradient as a sum over those that read it, in order: by
 *   lists in the tables where the places are known, by chains of equal places in the work where
 *   they are computed. */

static const char cvncl_text_select[] =
    "/* y = x at places that each axis maps for itself, or `value`; g: axes, then by five: sizes\n"
    " * of y, sizes of x, where the maps begin (-1: value), where the way back's lists begin:\n"
    " * of an axis [in + 1] begins of the outputs that read an element, then these. */\n"
    "kernel void select_axes(IN(x), OUT(y), INTS(g), const int n, const float value)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    int rest = i, at = 0, step = 1;\n"
    "    bool there = true;\n"
    "    for (int k = g[0] - 1; k >= 0; k--) {\n"
    "        const int from = g[g[11 + k] + rest % g[1 + k]];\n"
    "        there = there && from >= 0;\n"
    "        at += from * step;\n"
    "        rest /= g[1 + k];\n"
    "        step *= g[6 + k];\n"
    "    }\n"
    "    y[i] = there ? x[rest * step + at] : value;\n"
    "}\n"
    "\n"
    "kernel void select_back(IN(dy), MEM(dx), INTS(g), const int n, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    int rest = i, times = 1, all = 1, first[5], count[5];\n"
    "    float sum = 0;\n"
    "    AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    for (int k = g[0] - 1; k >= 0; k--) {\n"
    "        global const int *begins = g + g[16 + k] + rest % g[6 + k];\n"
    "        first[k] = begins[0];\n"
    "        count[k] = begins[1] - begins[0];\n"
    "        times *= count[k];\n"
    "        all *= g[1 + k];\n"
    "        rest /= g[6 + k];\n"
    "    }\n"
    "    for (int t = 0; t < times; t++) {\n"
    "        int left = t, at = 0, step = 1;\n"
    "        for (int k = g[0] - 1; k >= 0; k--) {\n"
    "            at += g[first[k] + left % count[k]] * step;\n"
    "            left /= count[k];\n"
    "            step *= g[1 + k];\n"
    "        }\n"
    "        sum += dy[rest * all + at];\n"
    "    }\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
    "}\n"
    "\n"
    "/* An axis of another length; g: [out, count] pairs of place (-1: outside) and weight; then\n"
    " * [in + 1] where the list of an element begins, in pairs; pairs of output and weight. */\n"
    "kernel void resample(IN(x), OUT(y), INTS(g), const int n, const int in, const int out,\n"
    "                     const int inner, const int count, const float outside)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    g += i / inner % out * count * 2;\n"
    "    x += (size_t)(i / inner / out) * in * inner + i % inner;\n"
    "    for (int k = 0; g[0] >= 0 && k < count; k++)\n"
    "        sum += as_float(g[2 * k + 1]) * x[(size_t)g[2 * k] * inner];\n"
    "    y[i] = g[0] < 0 ? outside : sum;\n"
    "}\n"
    "\n"
    "kernel void resample_back(IN(dy), MEM(dx), INTS(g), const int n, const int in,\n"
    "                          const int out, const int inner, const int count, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    global const int *begins = g + 2 * out * count + i / inner % in;\n"
    "    dy += (size_t)(i / inner / in) * out * inner + i % inner;\n"
    "    for (int k = begins[0]; k < begins[1]; k++)\n"
    "        sum += as_float(g[2 * k + 1]) * dy[(size_t)g[2 * k] * inner];\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
    "}\n";

static const char cvncl_text_topk[] =
    "/* Lines of `length` elements `inner` apart; of element i of x, how many come before it:\n"
    " * larger or, least, smaller ones, NaN before numbers, of equals the earlier or, last, the\n"
    " * later. */\n"
    "int rank_of(global const float *x, int i, int length, int inner, int least, int last)\n"
    "{\n"
    "    const int own = i / inner % length;\n"
    "    int before = 0;\n"
    "    const float b = x[i];\n"
    "    x += i - own * inner;\n"
    "    for (int k = 0; k < length; k++) {\n"
    "        const float a = x[k * inner];\n"
    "        if (least ? a < b : a > b) before++;\n"
    "        else if (least ? a > b : a < b) continue;\n"
    "        else if (isnan(a) != isnan(b)) before += isnan(a);\n"
    "        else before += last ? k > own : k < own;\n"
    "    }\n"
    "    return before;\n"
    "}\n"
    "\n"
    "/* result: 0 values, 1 places, 2 a one at the first k; back: `from` is dy, else x */\n"
    "kernel void topk(IN(x), IN(from), MEM(to), const int n, const int length, const int inner,\n"
    "                 const int k, const int least, const int last, const int result,\n"
    "                 const int back, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(from); AT(to);\n"
    "    if (i >= n) return;\n"
    "    const int rank = rank_of(x, i, length, inner, least, last);\n"
    "    const int line = i / (length * inner) * k * inner + i % inner;\n"
    "    if (back) {\n"
    "        const float g = rank < k ? from[line + rank * inner] : 0;\n"
    "        to[i] = add ? to[i] + g : g;\n"
    "    } else if (result == 2) {\n"
    "        to[i] = rank < k ? 1 : 0;\n"
    "    } else if (rank < k) {\n"
    "        to[line + rank * inner] = result ? i / inner % length : x[i];\n"
    "    }\n"
    "}\n"
    "\n"
    "/* an item a line; down: from its end */\n"
    "kernel void cumsum(MEM(x), MEM(y), const int lines, const int length, const int inner,\n"
    "                   const int exclusive, const int down, const int add)\n"
    "{\n"
    "    const int t = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(y);\n"
    "    if (t >= lines) return;\n"
    "    for (int i = 0; i < length; i++) {\n"
    "        const int o = down ? length - 1 - i : i;\n"
    "        const int at = (t / inner * length + o) * inner + t % inner;\n"
    "        const float v = x[at], s = exclusive ? sum : sum + v;\n"
    "        sum += v;\n"
    "        y[at] = add ? y[at] + s : s;\n"
    "    }\n"
    "}\n";

static const char cvncl_text_gather[] =
    "/* places [rows, 3]: where a row lies, whether it is the first one of its place, the next\n"
    " * one of it, -1: none; g: axes, parts, time, then by six: the grid, its steps, its steps in\n"
    " * the indices, sizes of the parts, their steps */\n"
    "kernel void gather_places(IN(index), INTS(g), global int *places,\n"
    "                          const ulong places_at, const int rows, const int is_int)\n"
    "{\n"
    "    const int row = get_global_id(0);\n"
    "    int rest = row, place = 0, at = 0, t = 0;\n"
    "    AT(index); AT(g); AT(places);\n"
    "    if (row >= rows) return;\n"
    "    for (int i = g[0] - 1; i >= 0; i--) {\n"
    "        const int k = rest % g[3 + i];\n"
    "        rest /= g[3 + i];\n"
    "        place += k * g[9 + i];\n"
    "        at += k * g[15 + i];\n"
    "        if (i == g[2]) t = k;\n"
    "    }\n"
    "    for (int i = 0; i < g[1]; i++) {\n"
    "        int k = index_of(index, at + i, is_int);\n"
    "        if (g[2] >= 0) k = t < k ? k - 1 - t : t;\n"
    "        place += (k < 0 ? k + g[21 + i] : k) * g[27 + i];\n"
    "    }\n"
    "    places[3 * row] = place;\n"
    "}\n"
    "\n"
    "/* each: rows of a sample, among which places may meet */\n"
    "kernel void gather_chain(global int *places, const ulong places_at, const int rows,\n"
    "                         const int each)\n"
    "{\n"
    "    const int row = get_global_id(0), end = (row / each + 1) * each;\n"
    "    AT(places);\n"
    "    if (row >= rows) return;\n"
    "    const int own = places[3 * row];\n"
    "    int before = row - 1, behind = row + 1;\n"
    "    while (before >= end - each && places[3 * before] != own) before--;\n"
    "    while (behind < end && places[3 * behind] != own) behind++;\n"
    "    places[3 * row + 1] = before < end - each;\n"
    "    places[3 * row + 2] = behind < end ? behind : -1;\n"
    "}\n"
    "\n"
    "/* y[row] (+)= x[place]; n: floats of all rows */\n"
    "kernel void gather(IN(x), INTS(places), MEM(y), const int n, const int run, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(places); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const float v = x[places[3 * (i / run)] + i % run];\n"
    "    y[i] = add ? y[i] + v : v;\n"
    "}\n"
    "\n"
    "/* y[place] op= u[row] for the rows of a place in order; op: cvn_scatter_reduce (1 adds, 2\n"
    " * multiplies, 3 and 4 take the largest and least, 0 replaces), -1: y = 0 */\n"
    "kernel void scatter(IN(u), INTS(places), MEM(y), const int n, const int run, const int op)\n"
    "{\n"
    "    const int i = get_global_id(0), r = i % run;\n"
    "    AT(u); AT(places); AT(y);\n"
    "    if (i >= n || !places[3 * (i / run) + 1]) return;\n"
    "    const int to = places[3 * (i / run)] + r;\n"
    "    float v = op < 0 ? 0 : y[to];\n"
    "    for (int row = i / run; op >= 0 && row >= 0; row = places[3 * row + 2]) {\n"
    "        const float w = u[row * run + r];\n"
    "        v = op == 1 ? v + w\n"
    "            : op == 2 ? v * w\n"
    "            : op == 3 ? (w > v || w != w ? w : v)\n"
    "            : op == 4 ? (w < v || w != w ? w : v)\n"
    "                                : w;\n"
    "    }\n"
    "    y[to] = v;\n"
    "}\n";

static const char cvncl_text_places[] =
    "/* numbers as labels, -1 where one is none: below 0, from `limit` on, not a number */\n"
    "kernel void as_labels(IN(x), OUT(y), const int n, const float limit)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i < n) ((global int *)y)[i] = x[i] >= 0 && x[i] < limit ? (int)x[i] : -1;\n"
    "}\n"
    "\n"
    "kernel void one_hot(IN(x), OUT(y), const int n, const int length, const int inner,\n"
    "                    const int is_int, const float on, const float off)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const int at = i / (length * inner) * inner + i % inner;\n"
    "    const float v = is_int ? (float)as_int(x[at]) : x[at];\n"
    "    const bool counts = v >= -length && v < length;\n"
    "    int k = counts ? index_of(x, at, is_int) : -1;\n"
    "    if (counts && k < 0) k += length;\n"
    "    y[i] = counts && k == i / inner % length ? on : off;\n"
    "}\n"
    "\n"
    "/* planes of `from` values to planes of `to`; of several that meet the last one stays */\n"
    "kernel void unpool(IN(x), IN(index), OUT(y), const int n, const int from, const int to,\n"
    "                   const int is_int)\n"
    "{\n"
    "    const int i = get_global_id(0), plane = i / from;\n"
    "    AT(x); AT(index); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const int own = index_of(index, i, is_int);\n"
    "    for (int k = i + 1; k < (plane + 1) * from; k++)\n"
    "        if (index_of(index, k, is_int) == own) return;\n"
    "    y[(size_t)plane * to + own] = x[i];\n"
    "}\n"
    "\n"
    "kernel void unpool_back(IN(index), IN(dy), MEM(dx), const int n, const int from,\n"
    "                        const int to, const int is_int, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(index); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    const float g = dy[(size_t)(i / from) * to + index_of(index, i, is_int)];\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n"
    "\n"
    "/* y = x D^-beta, D = k + alpha/size sum of x^2 over `size` channels around; or, with dy,\n"
    " * y = dy x D^(-beta - 1), what the neighbours' gradients take */\n"
    "kernel void lrn(IN(x), IN(dy), OUT(y), const int n, const int C, const int inner,\n"
    "                const int size, const float alpha, const float beta, const float k)\n"
    "{\n"
    "    const int i = get_global_id(0), c = i / inner % C;\n"
    "    float sum = 0;\n"
    "    AT(x); AT(dy); AT(y);\n"
    "    if (i >= n) return;\n"
    "    for (int o = max(c - size / 2, 0); o <= min(c + (size - 1) / 2, C - 1); o++)\n"
    "        sum += x[i + (o - c) * inner] * x[i + (o - c) * inner];\n"
    "    sum = k + alpha / size * sum;\n"
    "    const float v = x[i] * pow(sum, -beta);\n"
    "    y[i] = HAS(dy) ? dy[i] * v / sum : v;\n"
    "}\n"
    "\n"
    "kernel void lrn_back(IN(x), IN(ratio), MEM(dy), MEM(dx), const int n, const int C,\n"
    "                     const int inner, const int size, const float alpha, const float beta,\n"
    "                     const float k, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), c = i / inner % C;\n"
    "    float sum = 0, all = 0;\n"
    "    AT(x); AT(ratio); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    for (int o = max(c - size / 2, 0); o <= min(c + (size - 1) / 2, C - 1); o++)\n"
    "        sum += x[i + (o - c) * inner] * x[i + (o - c) * inner];\n"
    "    for (int o = max(c - (size - 1) / 2, 0); o <= min(c + size / 2, C - 1); o++)\n"
    "        all += ratio[i + (o - c) * inner];\n"
    "    const float g = dy[i] * pow(k + alpha / size * sum, -beta) -\n"
    "                    2 * alpha * beta / size * x[i] * all;\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n";

static const char cvncl_text_nms[] =
    "/* Places of maxima in their planes as numbers that count through the sample; by columns: H\n"
    " * below each other */\n"
    "kernel void places(INTS(index), OUT(y), const int n, const int outs, const int planes,\n"
    "                   const int H, const int W, const int by_columns)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(index); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const int p = index[i];\n"
    "    y[i] = i / outs % planes * (H * W) + (by_columns ? p % W * H + p / W : p);\n"
    "}\n"
    "\n"
    "/* Do two boxes cover each other by more than iou? */\n"
    "int covers(global const float *a, global const float *b, int centers, float iou)\n"
    "{\n"
    "    float both = 1, one = 1, other = 1;\n"
    "    for (int i = 0; i < 2; i++) {\n"
    "        const float a0 = centers ? a[i] - a[i + 2] / 2 : fmin(a[i], a[i + 2]);\n"
    "        const float a1 = centers ? a[i] + a[i + 2] / 2 : fmax(a[i], a[i + 2]);\n"
    "        const float b0 = centers ? b[i] - b[i + 2] / 2 : fmin(b[i], b[i + 2]);\n"
    "        const float b1 = centers ? b[i] + b[i + 2] / 2 : fmax(b[i], b[i + 2]);\n"
    "        both *= fmax(fmin(a1, b1) - fmax(a0, b0), 0.0f);\n"
    "        one *= a1 - a0;\n"
    "        other *= b1 - b0;\n"
    "    }\n"
    "    return both > 0 ? both > iou * (one + other - both) : 0 > iou;\n"
    "}\n"
    "\n"
    "/* work: [tasks, most] boxes that are kept, [tasks] how many, [tasks, S] those that are out.\n"
    " * A group a class of an image; of all that are left the best one is kept, and puts out\n"
    " * those that cover it. Each item looks after its own boxes. */\n"
    "kernel void nms(IN(boxes), IN(scores), global int *work, const ulong work_at,\n"
    "                const int tasks, const int S, const int classes, const int most,\n"
    "                const int centers, const float least, const float iou)\n"
    "{\n"
    "    local float top[WG];\n"
    "    local int number[WG];\n"
    "    const int task = get_group_id(0), t = get_local_id(0);\n"
    "    int best = 0, count = 0;\n"
    "    AT(boxes); AT(scores); AT(work);\n"
    "    global int *kept = work + task * most, *out = work + tasks * (most + 1) + task * S;\n"
    "    boxes += (size_t)(task / classes) * S * 4;\n"
    "    scores += (size_t)task * S;\n"
    "    for (int s = t; s < S; s += WG) out[s] = !(scores[s] > least);\n"
    "    while (best >= 0 && count < most) {\n"
    "        best = -1;\n"
    "        for (int s = t; s < S; s += WG)\n"
    "            if (!out[s] && (best < 0 || scores[s] > scores[best])) best = s;\n"
    "        number[t] = best;\n"
    "        top[t] = best < 0 ? -INFINITY : scores[best];\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "        for (int n = WG / 2; n > 0; n /= 2) {\n"
    "            const int o = t + n, other = t < n ? number[o] : -1, own = number[t];\n"
    "            if (other >= 0 && (own < 0 || top[o] > top[t] ||\n"
    "                               (top[o] == top[t] && other < own))) {\n"
    "                number[t] = other;\n"
    "                top[t] = top[o];\n"
    "            }\n"
    "            barrier(CLK_LOCAL_MEM_FENCE);\n"
    "        }\n"
    "        best = number[0];\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "        if (best >= 0 && t == 0) kept[count] = best;\n"
    "        if (best >= 0) count++;\n"
    "        for (int s = t; best >= 0 && s < S; s += WG)\n"
    "            if (s == best || covers(boxes + 4 * s, boxes + 4 * best, centers, iou))\n"
    "                out[s] = 1;\n"
    "    }\n"
    "    if (t == 0) work[tasks * most + task] = count;\n"
    "}\n"
    "\n"
    "/* y [N, rows, 3]: image, class, box of those that are kept, then -1; each: tasks of a\n"
    " * sample */\n"
    "kernel void nms_rows(INTS(work), OUT(y), const int n, const int rows, const int each,\n"
    "                     const int classes, const int images, const int most)\n"
    "{\n"
    "    const int i = get_global_id(0), first = i / rows * each;\n"
    "    int row = i % rows, task = first;\n"
    "    AT(work); AT(y);\n"
    "    if (i >= n) return;\n"
    "    global const int *counts = work + n / rows * each * most;\n"
    "    while (task < first + each && row >= counts[task]) row -= counts[task++];\n"
    "    const int found = task < first + each;\n"
    "    y[3 * i] = found ? task / classes % images : -1;\n"
    "    y[3 * i + 1] = found ? task % classes : -1;\n"
    "    y[3 * i + 2] = found ? work[task * most + row] : -1;\n"
    "}\n";

static const char cvncl_text_roi[] =
    "/* Weights of the cells of an axis of a box (convnet.h, >>roi): [cells, n], then the first\n"
    " * and the last + 1 of those that are not 0, [cells, 2]; an item a cell. A box has the table\n"
    " * of its rows, then that of its columns; one that is not finite has ranges of -1. */\n"
    "kernel void roi_weights(IN(boxes), OUT(table), const int count, const int height,\n"
    "                        const int width, const int H, const int W, const float scale,\n"
    "                        const int aligned, const int ratio)\n"
    "{\n"
    "    const int t = get_global_id(0), cells = height + width, b = t / cells;\n"
    "    const int axis = t % cells >= height, p = axis ? t % cells - height : t % cells;\n"
    "    const int n = axis ? W : H, all = axis ? width : height;\n"
    "    AT(boxes); AT(table);\n"
    "    if (t >= count) return;\n"
    "    table += (size_t)b * (height * (H + 2) + width * (W + 2));\n"
    "    if (axis) table += height * (H + 2);\n"
    "    global float *range = table + all * n + 2 * p, *weight = table + p * n;\n"
    "    float edge[4];\n"
    "    bool fine = true;\n"
    "    for (int i = 0; i < 4; i++) {\n"
    "        fine = fine && isfinite(boxes[4 * b + i]);\n"
    "        edge[i] = clamp(boxes[4 * b + i] * scale - (aligned ? 0.5f : 0), -0x1p30f, 0x1p30f);\n"
    "    }\n"
    "    float side = axis ? edge[2] - edge[0] : edge[3] - edge[1];\n"
    "    if (!aligned && side < 1) side = 1;\n"
    "    const float bin = side / all, parts = ratio ? ratio : ceil(bin);\n"
    "    const float first = (axis ? edge[0] : edge[1]) + p * bin, step = bin / parts;\n"
    "    int low = n, high = 0;\n"
    "    for (int i = 0; i < n; i++) weight[i] = 0;\n"
    "    for (float i = step > 0 ? fmax(0.0f, floor((-1 - first) / step - 1)) : 0;\n"
    "         fine && i < parts; i++) {\n"
    "        const float at = first + (i + 0.5f) * step;\n"
    "        if (at > n && step > 0) break;\n"
    "        if (at < -1 || at > n) continue;\n"
    "        const int below = min((int)fmax(at, 0.0f), n - 1);\n"
    "        const float above = below == n - 1 ? 0 : fmax(at, 0.0f) - below;\n"
    "        weight[below] += (1 - above) / parts;\n"
    "        if (above > 0) weight[below + 1] += above / parts;\n"
    "        low = min(low, below);\n"
    "        high = max(high, min(below + 2, n));\n"
    "    }\n"
    "    range[0] = fine ? min(low, high) : -1;\n"
    "    range[1] = fine ? high : -1;\n"
    "}\n"
    "\n"
    "#define ROI_PARAMS \\\n"
    "    const int C, const int H, const int W, const int R, const int height, const int width\n"
    "#define ROI_SIZE (height * (H + 2) + width * (W + 2))\n"
    "\n"
    "kernel void roi(IN(x), IN(table), OUT(y), const int n, ROI_PARAMS)\n"
    "{\n"
    "    const int i = get_global_id(0), q = i % width, p = i / width % height;\n"
    "    const int c = i / width / height % C, b = i / width / height / C;\n"
    "    AT(x); AT(table); AT(y);\n"
    "    if (i >= n) return;\n"
    "    table += (size_t)b * ROI_SIZE;\n"
    "    global const float *rows = table + height * H + 2 * p;\n"
    "    global const float *cols = table + height * (H + 2) + width * W + 2 * q;\n"
    "    float sum = rows[0] < 0 ? NAN : 0;\n"
    "    x += (size_t)(b / R * C + c) * H * W;\n"
    "    for (int h = (int)rows[0]; h < (int)rows[1]; h++) {\n"
    "        float line = 0;\n"
    "        for (int w = (int)cols[0]; w < (int)cols[1]; w++)\n"
    "            line += table[height * (H + 2) + q * W + w] * x[h * W + w];\n"
    "        sum += table[p * H + h] * line;\n"
    "    }\n"
    "    y[i] = sum;\n"
    "}\n"
    "\n"
    "/* an item each element of x: over all boxes and the cells that reach it, in order */\n"
    "kernel void roi_back(IN(table), IN(dy), MEM(dx), const int n, ROI_PARAMS, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), w = i % W, h = i / W % H, c = i / W / H % C;\n"
    "    const int sample = i / W / H / C;\n"
    "    float sum = 0;\n"
    "    AT(table); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    for (int b = sample * R; b < (sample + 1) * R; b++) {\n"
    "        global const float *rows = table + (size_t)b * ROI_SIZE;\n"
    "        global const float *cols = rows + height * (H + 2);\n"
    "        global const float *g = dy + ((size_t)b * C + c) * height * width;\n"
    "        if (rows[height * H] < 0) continue;\n"
    "        for (int p = 0; p < height; p++) {\n"
    "            float line = 0;\n"
    "            if (rows[p * H + h] == 0) continue;\n"
    "            for (int q = 0; q < width; q++) line += cols[q * W + w] * g[p * width + q];\n"
    "            sum += rows[p * H + h] * line;\n"
    "        }\n"
    "    }\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
    "}\n";

static const char cvncl_text_grid[] =
    "/* Values at computed places: convnet.h, >>resample. */\n"
    "#define GRID_PARAMS \\\n"
    "    IN(grid), const int n, const int C, const int axes, const int D, const int H, \\\n"
    "    const int W, const int plane, const int points, const int mode, const int pad, \\\n"
    "    const int align\n"
    "#define GRID_POINT(t) grid_point(grid, t, axes, D, H, W, mode, pad, align)\n"
    "\n"
    "typedef struct {\n"
    "    int taps, lost, at[3][4], size[3];\n"
    "    float weight[3][4], slope[3][4];\n"
    "} point;\n"
    "\n"
    "/* modes: 0 nearest, 1 linear, 2 cubic; weight of an element `d` away, or its slope */\n"
    "float kernel_weight(int mode, float d)\n"
    "{\n"
    "    const float a = -0.75f;\n"
    "    d = fabs(d);\n"
    "    if (mode != 2) return d < 1 ? 1 - d : 0;\n"
    "    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;\n"
    "    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;\n"
    "}\n"
    "\n"
    "float kernel_slope(int mode, float d)\n"
    "{\n"
    "    const float a = -0.75f, sign = d < 0 ? -1 : 1;\n"
    "    d = fabs(d);\n"
    "    if (mode != 2) return -sign;\n"
    "    return d < 1 ? sign * (3 * (a + 2) * d - 2 * (a + 3)) * d\n"
    "                 : sign * ((3 * a * d - 10 * a) * d + 8 * a);\n"
    "}\n"
    "\n"
    "/* pads: 0 zero, 1 reflect, 2 replicate */\n"
    "int border(int i, int n, int pad, int align)\n"
    "{\n"
    "    const int period = align ? 2 * (n - 1) : 2 * n;\n"
    "    if (i >= 0 && i < n) return i;\n"
    "    if (pad == 0) return -1;\n"
    "    if (pad == 2) return i < 0 ? 0 : n - 1;\n"
    "    if (!period) return 0;\n"
    "    i = (i % period + period) % period;\n"
    "    return i < n ? i : period - (align ? 0 : 1) - i;\n"
    "}\n"
    "\n"
    "point grid_point(global const float *grid, int t, int axes, int D, int H, int W, int mode,\n"
    "                 int pad, int align)\n"
    "{\n"
    "    const int size[3] = { axes == 3 ? D : H, axes == 3 ? H : W, W };\n"
    "    point p;\n"
    "    p.taps = mode == 0 ? 1 : mode == 1 ? 2 : 4;\n"
    "    p.lost = 0;\n"
    "    for (int i = 0; i < axes; i++) {\n"
    "        const int n = p.size[i] = size[i];\n"
    "        const float g = grid[t * axes + axes - 1 - i];\n"
    "        const float factor = align ? 0.5f * (n - 1) : 0.5f * n;\n"
    "        const float at = clamp((g + 1) * factor - (align ? 0 : 0.5f), -0x1p29f, 0x1p29f);\n"
    "        const int first = (int)(mode == 0 ? rint(at) : floor(at) - p.taps / 2 + 1);\n"
    "        if (!isfinite(g)) p.lost = 1;\n"
    "        for (int k = 0; k < p.taps; k++) {\n"
    "            const float away = first + k - at;\n"
    "            p.at[i][k] = border(first + k, n, pad, align);\n"
    "            p.weight[i][k] = mode == 0 ? 1 : kernel_weight(mode, away);\n"
    "            p.slope[i][k] = mode == 0 ? 0 : -factor * kernel_slope(mode, away);\n"
    "        }\n"
    "    }\n"
    "    return p;\n"
    "}\n"
    "\n"
    "/* tap t: its place or -1, its weight; by >= 0: the derivative by that axis */\n"
    "int tap(const point *p, int axes, int t, int by, float *weight)\n"
    "{\n"
    "    int place = 0;\n"
    "    *weight = 1;\n"
    "    for (int i = 0; i < axes; i++, t /= p->taps) {\n"
    "        const int k = t % p->taps;\n"
    "        if (p->at[i][k] < 0) return -1;\n"
    "        place = place * p->size[i] + p->at[i][k];\n"
    "        *weight *= i == by ? p->slope[i][k] : p->weight[i][k];\n"
    "    }\n"
    "    return place;\n"
    "}\n"
    "\n"
    "#define TAPS(p) (p.taps * p.taps * (axes == 3 ? p.taps : 1))\n";

static const char cvncl_text_grid_sample[] =
    "/* table [tap][place, weight][n points], for all channels; place -1: nowhere, of weight 0,\n"
    " * or NAN of a point that is lost */\n"
    "kernel void grid_taps(global int *table, const ulong table_at, GRID_PARAMS)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float weight;\n"
    "    AT(table); AT(grid);\n"
    "    if (i >= n) return;\n"
    "    const point p = GRID_POINT(i);\n"
    "    for (int k = 0; k < TAPS(p); k++) {\n"
    "        const int place = p.lost ? -1 : tap(&p, axes, k, -1, &weight);\n"
    "        table[(size_t)2 * k * n + i] = place;\n"
    "        table[(size_t)(2 * k + 1) * n + i] = as_int(place >= 0 ? weight : p.lost ? NAN : 0);\n"
    "    }\n"
    "}\n"
    "\n"
    "/* all: points of the batch */\n"
    "#define TABLE_PARAMS \\\n"
    "    INTS(table), const int n, const int C, const int plane, const int points, \\\n"
    "    const int all, const int taps\n"
    "kernel void grid_sample(IN(x), OUT(y), TABLE_PARAMS)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(table);\n"
    "    if (i >= n) return;\n"
    "    const int t = i / points / C * points + i % points;\n"
    "    float sum = 0;\n"
    "    x += (size_t)(i / points) * plane;\n"
    "    for (int k = 0; k < taps; k++) {\n"
    "        const size_t at = 2 * (size_t)k * all + t;\n"
    "        const int place = table[at];\n"
    "        const float weight = as_float(table[at + all]), v = x[max(place, 0)];\n"
    "        sum += place < 0 ? weight : weight * v;\n"
    "    }\n"
    "    y[i] = sum;\n"
    "}\n"
    "\n"
    "/* The taps of a sample that fall on a place of its plane, as a list in the order of points:\n"
    " * head [samples, plane] of the first ones, behind it next [samples, points*taps]; -1: none.\n"
    " * An item a row of a plane, which goes through all taps from the end. n: rows */\n"
    "kernel void grid_lists(OUT(head), TABLE_PARAMS, const int width)\n"
    "{\n"
    "    const int i = get_global_id(0), s = i / (plane / width);\n"
    "    const int first = i % (plane / width) * width;\n"
    "    AT(head); AT(table);\n"
    "    if (i >= n) return;\n"
    "    global int *list = (global int *)head + (size_t)s * plane;\n"
    "    global int *next = (global int *)head + (size_t)(all / points) * plane +\n"
    "                       (size_t)s * points * taps;\n"
    "    for (int k = first; k < first + width; k++) list[k] = -1;\n"
    "    for (int t = points - 1; t >= 0; t--)\n"
    "        for (int k = taps - 1; k >= 0; k--) {\n"
    "            const int place = table[2 * (size_t)k * all + s * points + t];\n"
    "            if (place < first || place >= first + width) continue;\n"
    "            next[t * taps + k] = list[place];\n"
    "            list[place] = t * taps + k;\n"
    "        }\n"
    "}\n"
    "\n"
    "/* dx (+)= what the list of each place asks for; an item an element */\n"
    "kernel void grid_back(IN(dy), MEM(dx), IN(head), TABLE_PARAMS, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), s = i / plane / C;\n"
    "    float sum = 0;\n"
    "    AT(dy); AT(dx); AT(head); AT(table);\n"
    "    if (i >= n) return;\n"
    "    global const int *list = (global const int *)head + (size_t)s * plane;\n"
    "    global const int *next = (global const int *)head + (size_t)(all / points) * plane +\n"
    "                             (size_t)s * points * taps;\n"
    "    dy += (size_t)(i / plane) * points;\n"
    "    table += (size_t)s * points + all;\n"
    "    for (int e = list[i % plane]; e >= 0; e = next[e])\n"
    "        sum += as_float(table[2 * (size_t)(e % taps) * all + e / taps]) * dy[e / taps];\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
    "}\n"
    "\n"
    "/* an item a point, of which there are n */\n"
    "kernel void grid_places_back(IN(x), IN(dy), MEM(dgrid), GRID_PARAMS, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), s = i / points;\n"
    "    float sum[3] = { 0, 0, 0 }, slope;\n"
    "    AT(x); AT(dy); AT(dgrid); AT(grid);\n"
    "    if (i >= n) return;\n"
    "    const point p = GRID_POINT(i);\n"
    "    x += (size_t)s * C * plane;\n"
    "    dy += (size_t)s * C * points + i % points;\n"
    "    for (int k = 0; !p.lost && k < TAPS(p); k++) {\n"
    "        const int place = tap(&p, axes, k, -1, &slope);\n"
    "        float value = 0;\n"
    "        for (int c = 0; place >= 0 && c < C; c++)\n"
    "            value += x[(size_t)c * plane + place] * dy[(size_t)c * points];\n"
    "        for (int a = 0; place >= 0 && a < axes; a++) {\n"
    "            tap(&p, axes, k, a, &slope);\n"
    "            sum[axes - 1 - a] += slope * value;\n"
    "        }\n"
    "    }\n"
    "    for (int a = 0; a < axes; a++)\n"
    "        dgrid[i * axes + a] = add ? dgrid[i * axes + a] + sum[a] : sum[a];\n"
    "}\n";

static const char cvncl_text_spectral[] =
    "/* Weight [outer, rows, inner] over its largest singular value: convnet.h, >>spectral. */\n"
    "#define SPECTRAL const int outer, const int rows, const int inner\n"
    "\n"
    "/* v = W^T u */\n"
    "kernel void spectral_v(IN(w), IN(u), OUT(v), SPECTRAL)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(w); AT(u); AT(v);\n"
    "    if (i >= outer * inner) return;\n"
    "    w += (size_t)(i / inner) * rows * inner + i % inner;\n"
    "    for (int r = 0; r < rows; r++) sum += u[r] * w[(size_t)r * inner];\n"
    "    v[i] = sum;\n"
    "}\n"
    "\n"
    "/* t = W v; a group a row */\n"
    "kernel void spectral_u(IN(w), IN(v), OUT(t), SPECTRAL)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int r = get_group_id(0);\n"
    "    float sum = 0;\n"
    "    AT(w); AT(v); AT(t);\n"
    "    for (int c = get_local_id(0); c < outer * inner; c += WG)\n"
    "        sum += w[((size_t)(c / inner) * rows + r) * inner + c % inner] * v[c];\n"
    "    sum = group_sum(sum, part);\n"
    "    if (get_local_id(0) == 0) t[r] = sum;\n"
    "}\n"
    "\n"
    "/* x = t/|t|, if it is asked for; s = x t of the x then; one group */\n"
    "kernel void spectral_unit(IN(t), MEM(x), OUT(s), const int n, const int unit)\n"
    "{\n"
    "    local float part[WG];\n"
    "    float sum = 0;\n"
    "    AT(t); AT(x); AT(s);\n"
    "    for (int i = get_local_id(0); unit && i < n; i += WG) sum += t[i] * t[i];\n"
    "    const float length = fmax(sqrt(group_sum(sum, part)), 1e-12f);\n"
    "    sum = 0;\n"
    "    for (int i = get_local_id(0); i < n; i += WG) {\n"
    "        if (unit) x[i] = t[i] / length;\n"
    "        sum += x[i] * t[i];\n"
    "    }\n"
    "    sum = group_sum(sum, part);\n"
    "    if (HAS(s) && get_local_id(0) == 0) s[0] = sum;\n"
    "}\n"
    "\n"
    "kernel void spectral_weight(IN(w), IN(s), OUT(normed), const int n)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(w); AT(s); AT(normed);\n"
    "    if (i < n) normed[i] = w[i] / s[0];\n"
    "}\n"
    "\n"
    "/* dw += (g - sum u v^T)/s */\n"
    "kernel void spectral_back(IN(g), IN(sum), IN(u), IN(v), IN(s), MEM(dw), const int n,\n"
    "                          SPECTRAL)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(g); AT(sum); AT(u); AT(v); AT(s); AT(dw);\n"
    "    if (i >= n) return;\n"
    "    const int o = i / inner / rows;\n"
    "    dw[i] += (g[i] - sum[0] * u[i / inner % rows] * v[o * inner + i % inner]) / s[0];\n"
    "}\n";

/* ---- axis by axis ---- */

/* Numbers 0 to count - 1 in the order of their keys, `step` apart, in `list`, `list_step` apart;
 * begins [in + 1]: where those of each key 0 to in - 1 begin, counted from `from`. Others are left
 * out. */
static void cvncl_sort(const int *key, int step, int count, int in, int from, int *begins,
                       int *list, int list_step)
{
    for (int i = 0; i <= in; i++) begins[i] = 0;
    for (int t = 0; t < count; t++) if (key[t * step] >= 0) begins[key[t * step]]++;
    for (int i = 1; i <= in; i++) begins[i] += begins[i - 1];
    for (int t = count - 1; t >= 0; t--)
        if (key[t * step] >= 0) list[--begins[key[t * step]] * list_step] = t;
    for (int i = 0; i <= in; i++) begins[i] += from;
}

/* Axis by axis [out], the map; [in + 1], where the lists begin; [out], those. */
static int cvncl_select_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const cvni_select_desc *d = (const cvni_select_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    int at = 21;
    if (table) memset(table, 0, 21 * sizeof *table);
    if (table) table[0] = x.rank - 1;
    for (int k = 0; k < x.rank - 1; k++) {
        const int in = x.dim[k + 1], out = l->shape.dim[k + 1];
        int *map = table + at, *begins = map + out;
        const int lists = at + out + in + 1;
        at = lists + out;
        if (!table) continue;
        table[1 + k] = out;
        table[6 + k] = in;
        table[11 + k] = (int)(map - table);
        table[16 + k] = (int)(begins - table);
        for (int o = 0; o < out; o++) map[o] = cvni_select_index(&d->axis[k + 1], o, in, out);
        cvncl_sort(map, 1, out, in, lists, begins, table + lists, 1);
    }
    return at;
}

static cvn_result cvncl_select_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_SELECT, n, "pptif", cvni_in(net, l, 0)->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n,
                      (double)((const cvni_select_desc *)l->desc)->value);
}

static cvn_result cvncl_select_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_SELECT_BACK, n, "pptii", l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, add);
}

typedef struct cvncl_axis { int outer, in, out, inner, count; } cvncl_axis;

static cvncl_axis cvncl_resample_of(const cvn_net *net, const cvni_layer *l)
{
    const cvni_resample *r = (const cvni_resample *)l->desc;
    cvncl_axis a;
    int side;
    cvni_split_axis(l->shape, r->axis, &a.outer, &a.out, &a.inner);
    a.in = cvni_in(net, l, 0)->shape.dim[r->axis];
    cvni_resample_reach(r, a.in, a.out, &side);
    a.count = 2 * side;
    return a;
}

/* The lists are pairs, as the taps are. */
static int cvncl_resample_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const cvncl_axis a = cvncl_resample_of(net, l);
    const int taps = a.out * a.count, first = taps + (a.in + 2) / 2;
    int *list = table + 2 * first;
    if (!table) return 2 * (first + taps);
    for (int o = 0; o < a.out; o++)
        cvni_resample_taps((const cvni_resample *)l->desc, o, a.in, a.out,
                           (cvni_weighted *)(void *)(table + 2 * o * a.count));
    cvncl_sort(table, 2, taps, a.in, first, table + 2 * taps, list, 2);
    for (int e = 0; e < table[2 * taps + a.in] - first; e++) {
        const int t = list[2 * e];
        list[2 * e] = t / a.count;
        memcpy(&list[2 * e + 1], &table[2 * t + 1], sizeof *list);
    }
    return 2 * (first + taps);
}

static cvn_result cvncl_resample_forward(cvn_net *net, cvni_layer *l)
{
    const cvncl_axis a = cvncl_resample_of(net, l);
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_RESAMPLE, n, "pptiiiiif", cvni_in(net, l, 0)->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, a.in, a.out, a.inner,
                      a.count, (double)((const cvni_resample *)l->desc)->d.extrapolation);
}

static cvn_result cvncl_resample_backward(cvn_net *net, cvni_layer *l)
{
    const cvncl_axis a = cvncl_resample_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_RESAMPLE_BACK, n, "pptiiiiii", l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, a.in, a.out, a.inner,
                      a.count, add);
}

/* ---- by rank; running sums ---- */

static cvn_result cvncl_topk_run(cvn_net *net, cvni_layer *l, float *to, int back, int add)
{
    const cvni_topk_desc *d = (const cvni_topk_desc *)l->desc;
    const cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int outer, length, inner;
    cvni_split_axis(x->shape, d->axis, &outer, &length, &inner);
    return cvncl_each(net, CVNCL_TOPK, n, "pppiiiiiiiii", x->y, back ? l->dy : x->y, to, n, length,
                      inner, d->k, d->least, d->last, (int)d->result, back, add);
}

static cvn_result cvncl_topk_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_topk_run(net, l, l->y, 0, 0);
}

static cvn_result cvncl_topk_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    return dx ? cvncl_topk_run(net, l, dx, 1, add) : CVN_OK;
}

static cvn_result cvncl_cumsum_run(cvn_net *net, cvni_layer *l, const float *x, float *y,
                                   int back, int add)
{
    const cvni_cumsum_desc *d = (const cvni_cumsum_desc *)l->desc;
    int outer, length, inner;
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    return cvncl_each(net, CVNCL_CUMSUM, outer * inner, "ppiiiiii", x, y, outer * inner, length,
                      inner, d->exclusive, !d->reverse != !back, add);
}

static cvn_result cvncl_cumsum_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_cumsum_run(net, l, cvni_in(net, l, 0)->y, l->y, 0, 0);
}

static cvn_result cvncl_cumsum_backward(cvn_net *net, cvni_layer *l)
{
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    return dx ? cvncl_cumsum_run(net, l, l->dy, dx, 1, add) : CVN_OK;
}

/* ---- at indices ---- */

static int cvncl_gather_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const cvni_gather_map m = cvni_index_job_of(net, l).m;
    if (!table) return 33;
    memset(table, 0, 33 * sizeof *table);
    table[0] = m.axes;
    table[1] = m.parts;
    table[2] = m.time;
    for (int i = 0; i < m.axes; i++) {
        table[3 + i] = m.grid[i];
        table[9 + i] = (int)m.step[i];
        table[15 + i] = (int)m.index_step[i];
    }
    for (int i = 0; i < m.parts; i++) {
        table[21 + i] = m.size[i];
        table[27 + i] = (int)m.part_step[i];
    }
    return 33;
}

static size_t cvncl_gather_work(cvn_net *net, const cvni_layer *l)
{
    return 3 * (size_t)cvni_index_job_of(net, l).m.rows;
}

/* Places of the rows in the work; chains: and those that meet. */
static cvn_result cvncl_gather_places(cvn_net *net, const cvni_layer *l, const cvni_index_job *j,
                                      int chains)
{
    const cvn_result result =
        cvncl_each(net, CVNCL_GATHER_PLACES, j->m.rows, "ptwii", j->index->y,
                   cvncl_net_of(net)->table_at[cvni_id(net, l)], 0, j->m.rows, j->index->is_int);
    if (!chains || result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_GATHER_CHAIN, j->m.rows, "wii", 0, j->m.rows,
                      j->m.rows / j->m.grid[0]);
}

/* The indices on the host, where they are checked: else a kernel would leave its memory. */
static cvn_result cvncl_check_indices(cvn_net *net, cvni_layer *l, const cvni_index_job *j)
{
    const cvn_result result = cvni_fetch(net, cvni_in(net, l, 1));
    return result == CVN_OK ? cvni_check_indices(net, l, j) : result;
}

static cvn_result cvncl_gather_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_index_job j = cvni_index_job_of(net, l);
    const int n = (int)cvni_elements(l->shape);
    cvn_result result = cvncl_check_indices(net, l, &j);
    if (result == CVN_OK) result = cvncl_gather_places(net, l, &j, 0);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_GATHER, n, "pwpiii", cvni_in(net, l, 0)->y, 0, l->y, n, j.m.run,
                      0);
}

static cvn_result cvncl_gather_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_index_job j = cvni_index_job_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(l->shape), all = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    cvn_result result;
    if (!dx) return CVN_OK;
    result = cvncl_gather_places(net, l, &j, 1);
    if (result == CVN_OK && !add)
        result = cvncl_each(net, CVNCL_FILL, all, "pif", dx, all, 0.0);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_SCATTER, n, "pwpiii", l->dy, 0, dx, n, j.m.run,
                      (int)CVN_SCATTER_ADD);
}

static cvn_result cvncl_scatter_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_index_job j = cvni_index_job_of(net, l);
    const int n = j.m.rows * j.m.run;
    cvn_result result = cvncl_check_indices(net, l, &j);
    if (result == CVN_OK) result = cvncl_gather_places(net, l, &j, 1);
    if (result == CVN_OK)
        result = cvncl_copy(net, cvni_in(net, l, 0)->y, l->y, (int)cvni_elements(l->shape), 0, 1);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_SCATTER, n, "pwpiii", cvni_in(net, l, 2)->y, 0, l->y, n, j.m.run,
                      (int)j.reduce);
}

/* dx = dy, 0 where it was replaced. */
static cvn_result cvncl_scatter_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_index_job j = cvni_index_job_of(net, l);
    const int n = j.m.rows * j.m.run, all = (int)cvni_elements(l->shape);
    const float *passed = l->dy;
    int add;
    float *d = cvni_gradient_for(cvni_in(net, l, 2), &add);
    cvn_result result = cvncl_gather_places(net, l, &j, 1);
    if (result == CVN_OK && d)
        result = cvncl_each(net, CVNCL_GATHER, n, "pwpiii", l->dy, 0, d, n, j.m.run, add);
    if (result == CVN_OK && j.reduce == CVN_SCATTER_REPLACE) {
        float *left = (float *)l->work_backward;
        passed = left;
        result = cvncl_copy(net, l->dy, left, all, 0, 1);
        if (result == CVN_OK)
            result = cvncl_each(net, CVNCL_SCATTER, n, "pwpiii", l->dy, 0, left, n, j.m.run, -1);
    }
    d = cvni_gradient_for(cvni_in(net, l, 0), &add);
    return d && result == CVN_OK ? cvncl_copy(net, passed, d, all, add, 1) : result;
}

static cvn_result cvncl_one_hot_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_one_hot_desc *d = (const cvni_one_hot_desc *)l->desc;
    const cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(l->shape);
    int outer, length, inner;
    cvni_split_axis(l->shape, d->axis, &outer, &length, &inner);
    return cvncl_each(net, CVNCL_ONE_HOT, n, "ppiiiiff", x->y, l->y, n, length, inner, x->is_int,
                      (double)d->on, (double)d->off);
}

#if !defined(CONVNET_NO_ONNX) && !defined(CONVNET_NO_SEQUENCES)
static cvn_result cvncl_as_labels_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_AS_LABELS, n, "ppif", cvni_in(net, l, 0)->y, l->y, n,
                      (double)CVNI_ONNX_EXACT);
}
#endif

#ifndef CONVNET_NO_ONNX
static cvn_result cvncl_places_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *index = cvni_in(net, l, 0);
    const cvn_shape x = cvni_in(net, index, 0)->shape;
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_PLACES, n, "ppiiiiii", index->y, l->y, n,
                      n / (x.dim[0] * x.dim[1]), l->samples * x.dim[1],
                      x.rank == 3 ? 1 : x.dim[2], x.dim[x.rank - 1],
                      ((const cvni_places_desc *)l->desc)->by_columns);
}
#endif

/* ---- boxes that cover no better one ---- */

/* Classes of all images, in each of which boxes are chosen. */
static int cvncl_nms_tasks(const cvn_net *net, const cvni_layer *l)
{
    const cvn_shape scores = cvni_in(net, l, 1)->shape;
    return (int)(cvni_elements(scores) / (size_t)scores.dim[scores.rank - 1]);
}

static size_t cvncl_nms_work(cvn_net *net, const cvni_layer *l)
{
    const size_t most = (size_t)((const cvni_nms_desc *)l->desc)->most;
    return cvni_add_size(cvni_mul_size((size_t)cvncl_nms_tasks(net, l), most + 1),
                         cvni_elements(cvni_in(net, l, 1)->shape));
}

static cvn_result cvncl_nms_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_nms_desc *d = (const cvni_nms_desc *)l->desc;
    const cvni_layer *boxes = cvni_in(net, l, 0);
    const cvni_layer *scores = cvni_in(net, l, 1);
    const cvn_shape s = scores->shape;
    const int tasks = cvncl_nms_tasks(net, l), rows = l->shape.dim[1];
    const int classes = s.dim[s.rank - 2];
    const cvn_result result = cvncl_groups(net, CVNCL_NMS, tasks, "ppwiiiiiff", boxes->y,
                                           scores->y, 0, tasks, s.dim[s.rank - 1], classes,
                                           d->most, d->d.centers, (double)d->d.score,
                                           (double)d->d.iou);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_NMS_ROWS, s.dim[0] * rows, "wpiiiiii", 0, l->y, s.dim[0] * rows,
                      rows, tasks / s.dim[0], classes, s.rank == 4 ? s.dim[1] : 1, d->most);
}

/* ---- max unpooling, local response ---- */

static cvn_result cvncl_unpool_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    cvni_layer *index = cvni_in(net, l, 1);
    const int n = (int)cvni_elements(x->shape), all = (int)cvni_elements(l->shape);
    const int tasks = cvni_unpool_tasks(l);
    cvn_result result = cvni_fetch(net, index);
    if (result == CVN_OK) result = cvni_unpool_check(net, l);
    if (result == CVN_OK) result = cvncl_each(net, CVNCL_FILL, all, "pif", l->y, all, 0.0);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_UNPOOL, n, "pppiiii", x->y, index->y, l->y, n, n / tasks,
                      all / tasks, index->is_int);
}

static cvn_result cvncl_unpool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const cvni_layer *index = cvni_in(net, l, 1);
    const int n = (int)cvni_elements(x->shape), tasks = cvni_unpool_tasks(l);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_UNPOOL_BACK, n, "pppiiiii", index->y, l->dy, dx, n, n / tasks,
                      (int)cvni_elements(l->shape) / tasks, index->is_int, add);
}

static size_t cvncl_lrn_work(cvn_net *net, const cvni_layer *l)
{
    (void)net;
    return cvni_elements(l->shape);
}

static cvn_result cvncl_lrn_forward(cvn_net *net, cvni_layer *l)
{
    const cvn_lrn_desc *d = (const cvn_lrn_desc *)l->desc;
    const int n = (int)cvni_elements(l->shape), C = l->shape.dim[1];
    return cvncl_each(net, CVNCL_LRN, n, "pppiiiifff", cvni_in(net, l, 0)->y, NULL, l->y, n, C,
                      n / l->shape.dim[0] / C, d->size, (double)d->alpha, (double)d->beta,
                      (double)d->k);
}

/* By way of the work: dx may lie where dy lies. */
static cvn_result cvncl_lrn_backward(cvn_net *net, cvni_layer *l)
{
    const cvn_lrn_desc *d = (const cvn_lrn_desc *)l->desc;
    const int n = (int)cvni_elements(l->shape), C = l->shape.dim[1];
    const int inner = n / l->shape.dim[0] / C;
    cvni_layer *x = cvni_in(net, l, 0);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    cvn_result result;
    if (!dx) return CVN_OK;
    result = cvncl_each(net, CVNCL_LRN, n, "ppwiiiifff", x->y, l->dy, 0, n, C, inner, d->size,
                        (double)d->alpha, (double)d->beta, (double)d->k);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_LRN_BACK, n, "pwppiiiifffi", x->y, 0, l->dy, dx, n, C, inner,
                      d->size, (double)d->alpha, (double)d->beta, (double)d->k, add);
}

/* ---- boxes, places ---- */

static size_t cvncl_roi_work(cvn_net *net, const cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const cvni_roi_desc *d = (const cvni_roi_desc *)l->desc;
    const size_t one = (size_t)d->height * ((size_t)x.dim[2] + 2) +
                       (size_t)d->width * ((size_t)x.dim[3] + 2);
    return cvni_mul_size(one, cvni_mul_size((size_t)x.dim[0], (size_t)l->shape.dim[1]));
}

static cvn_result cvncl_roi_weights(cvn_net *net, const cvni_layer *l, const cvni_roi_job *j)
{
    const int count = l->shape.dim[0] * j->R * (j->d->height + j->d->width);
    return cvncl_each(net, CVNCL_ROI_WEIGHTS, count, "pwiiiiifii", j->boxes, 0, count,
                      j->d->height, j->d->width, j->H, j->W, (double)j->d->d.spatial_scale,
                      j->d->d.aligned, j->d->d.sampling_ratio);
}

static cvn_result cvncl_roi_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_roi_job j = cvni_roi_job_of(net, l);
    const int n = (int)cvni_elements(l->shape);
    const cvn_result result = cvncl_roi_weights(net, l, &j);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_ROI, n, "pwpiiiiiii", j.x, 0, j.y, n, j.C, j.H, j.W, j.R,
                      j.d->height, j.d->width);
}

static cvn_result cvncl_roi_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_roi_job j = cvni_roi_job_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    const cvn_result result = dx ? cvncl_roi_weights(net, l, &j) : CVN_OK;
    if (!dx || result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_ROI_BACK, n, "wppiiiiiiii", 0, j.dy, dx, n, j.C, j.H, j.W, j.R,
                      j.d->height, j.d->width, add);
}

/* What follows the tensors of a kernel: GRID_PARAMS. */
#define CVNCL_GRID "piiiiiiiiiii"
#define CVNCL_GRID_ARGUMENTS(j, n) \
    (j).grid, n, (j).C, (j).axes, (j).axes == 3 ? (j).size[0] : 1, (j).size[(j).axes - 2], \
        (j).size[(j).axes - 1], (int)(j).plane, (int)(j).points, cvncl_grid_mode((j).d), \
        cvncl_grid_pad((j).d), (j).d->align_corners

static int cvncl_grid_mode(const cvni_grid_desc *d)
{
    return d->mode == CVN_NEAREST ? 0 : d->mode == CVN_LINEAR ? 1 : 2;
}

static int cvncl_grid_pad(const cvni_grid_desc *d)
{
    return d->pad_mode == CVN_PAD_ZERO ? 0 : d->pad_mode == CVN_PAD_REFLECT ? 1 : 2;
}

static int cvncl_grid_taps(const cvni_grid_job *j)
{
    const int each = j->d->mode == CVN_NEAREST ? 1 : j->d->mode == CVN_LINEAR ? 2 : 4;
    return each * each * (j->axes == 3 ? each : 1);
}

static int cvncl_grid_table(const cvni_layer *l, const cvni_grid_job *j)
{
    return 2 * cvncl_grid_taps(j) * l->shape.dim[0] * (int)j->points;
}

/* The table, behind it the lists of the backward pass. */
static size_t cvncl_grid_work(cvn_net *net, const cvni_layer *l)
{
    const cvni_grid_job j = cvni_grid_job_of(net, (cvni_layer *)l);
    const size_t table = cvni_mul_size((size_t)(2 * cvncl_grid_taps(&j)),
                                       cvni_mul_size((size_t)l->shape.dim[0], (size_t)j.points));
    const size_t heads = cvni_mul_size((size_t)l->shape.dim[0], (size_t)j.plane);
    return cvni_add_size(cvni_add_size(table, table / 2), heads);
}

static cvn_result cvncl_grid_taps_of(cvn_net *net, const cvni_layer *l, const cvni_grid_job *j)
{
    const int all = l->shape.dim[0] * (int)j->points;
    return cvncl_each(net, CVNCL_GRID_TAPS, all, "w" CVNCL_GRID, 0, CVNCL_GRID_ARGUMENTS(*j, all));
}

static cvn_result cvncl_grid_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_grid_job j = cvni_grid_job_of(net, l);
    const int n = (int)cvni_elements(l->shape);
    const cvn_result result = cvncl_grid_taps_of(net, l, &j);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_GRID_SAMPLE, n, "ppwiiiiii", j.x, l->y, 0, n, j.C, (int)j.plane,
                      (int)j.points, l->shape.dim[0] * (int)j.points, cvncl_grid_taps(&j));
}

static cvn_result cvncl_grid_dx(cvn_net *net, const cvni_layer *l, const cvni_grid_job *j,
                                float *dx, int add)
{
    const int N = l->shape.dim[0], n = N * j->C * (int)j->plane, width = j->size[j->axes - 1];
    const int lists = cvncl_grid_table(l, j), taps = cvncl_grid_taps(j);
    const int rows = N * ((int)j->plane / width), all = N * (int)j->points;
    cvn_result result = cvncl_grid_taps_of(net, l, j);
    if (result == CVN_OK)
        result = cvncl_each(net, CVNCL_GRID_LISTS, rows, "wwiiiiiii", lists, 0, rows, j->C,
                            (int)j->plane, (int)j->points, all, taps, width);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_GRID_BACK, n, "ppwwiiiiiii", j->dy, dx, lists, 0, n, j->C,
                      (int)j->plane, (int)j->points, all, taps, add);
}

static cvn_result cvncl_grid_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_grid_job j = cvni_grid_job_of(net, l);
    const int points = l->shape.dim[0] * (int)j.points;
    int add;
    float *d = cvni_gradient_for(cvni_in(net, l, 0), &add);
    const cvn_result result = d ? cvncl_grid_dx(net, l, &j, d, add) : CVN_OK;
    d = result == CVN_OK ? cvni_gradient_for(cvni_in(net, l, 1), &add) : NULL;
    if (!d) return result;
    return cvncl_each(net, CVNCL_GRID_PLACES_BACK, points, "ppp" CVNCL_GRID "i", j.x, j.dy, d,
                      CVNCL_GRID_ARGUMENTS(j, points), add);
}

/* ---- spectral norm: around any layer ---- */

static cvn_result cvncl_spectral_times(cvn_net *net, const cvni_spectral *d, const float *v)
{
    return cvncl_groups(net, CVNCL_SPECTRAL_U, d->rows, "ppwiii", d->w, v, 0, d->outer, d->rows,
                        d->inner);
}

static cvn_result cvncl_spectral_forward(cvn_net *net, const cvni_layer *l)
{
    const cvni_spectral d = cvni_spectral_of(net, l);
    float *u = net->weights + net->params[l->spectral - 1].offset;
    float *v = net->weights + net->params[l->spectral].offset;
    const int iterates = net->training && !net->parent && !l->frozen;
    cvn_result result = CVN_OK;
    if (iterates)
        result = cvncl_each(net, CVNCL_SPECTRAL_V, d.cols, "pppiii", d.w, u, d.v, d.outer, d.rows,
                            d.inner);
    if (iterates && result == CVN_OK)
        result = cvncl_groups(net, CVNCL_SPECTRAL_UNIT, 1, "pppii", d.v, v, NULL, d.cols, 1);
    if (result == CVN_OK) result = cvncl_spectral_times(net, &d, v);
    if (result == CVN_OK)
        result = cvncl_groups(net, CVNCL_SPECTRAL_UNIT, 1, "wppii", 0, u, d.s, d.rows, iterates);
    if (result == CVN_OK) result = cvncl_copy(net, u, d.normed + d.count, d.rows, 0, 1);
    if (result == CVN_OK) result = cvncl_copy(net, v, d.normed + d.count + d.rows, d.cols, 0, 1);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_SPECTRAL_WEIGHT, (int)d.count, "pppi", d.w, d.s, d.normed,
                      (int)d.count);
}

static cvn_result cvncl_spectral_backward(cvn_net *net, const cvni_layer *l)
{
    const cvni_spectral d = cvni_spectral_of(net, l);
    float *dw = net->grads + net->params[l->param[0]].offset;
    const int n = (int)d.count;
    cvn_result result;
    if (!cvni_weights_grad(net, l, 0)) return CVN_OK;
    result = cvncl_groups(net, CVNCL_SPECTRAL_UNIT, 1, "ppwii", l->normed_grad, d.normed, 0, n, 0);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_SPECTRAL_BACK, n, "pwppppiiii", l->normed_grad, 0, d.u, d.v, d.s,
                      dw, n, d.outer, d.rows, d.inner);
}

/* ================================================================================================
 * >>cl-loss   softmax with cross-entropy; losses element by element, of rows, of samples; CTC
 * ==============================================================================================
 *   Formulas: convnet.h, >>loss. Work: what each position or element adds, then one group sums. */

static const char cvncl_text_label_loss[] =
    "typedef struct { int label[2]; float share[2], weight[2]; } labels;\n"
    "\n"
    "/* The labels of position i with their shares: convnet.h, >>loss. weights: of classes. */\n"
    "labels labels_at(global const int *t, global const int *partner, int i, int each, int mixed,\n"
    "                 float mix, int ignore, global const float *weights, int weighted)\n"
    "{\n"
    "    labels l;\n"
    "    l.label[0] = t[i];\n"
    "    l.label[1] = mixed ? t[partner[i / each] * each + i % each] : ignore;\n"
    "    l.share[0] = mixed ? mix : 1;\n"
    "    l.share[1] = mixed ? 1 - mix : 0;\n"
    "    for (int k = 0; k < 2; k++) {\n"
    "        if (l.label[k] == ignore) l.label[k] = -1;\n"
    "        if (l.label[k] < 0) l.share[k] = 0;\n"
    "        l.weight[k] = l.share[k];\n"
    "        if (l.share[k] > 0 && weighted) l.weight[k] *= weights[l.label[k]];\n"
    "    }\n"
    "    return l;\n"
    "}\n"
    "\n"
    "#define LABEL_PARAMS \\\n"
    "    INTS(t), INTS(partner), IN(samples), IN(weights), const int n, const int each, \\\n"
    "    const int classes, const int inner, const int ignore, const float mix, \\\n"
    "    const float smoothing\n"
    "#define LABEL_AT AT(t); AT(partner); AT(samples); AT(weights)\n"
    "#define LABELS_AT(i) \\\n"
    "    labels_at(t, partner, i, each, HAS(partner), mix, ignore, weights, HAS(weights))\n"
    "\n"
    "/* p = softmax(x); part [n, 2]: loss and weight of each position */\n"
    "kernel void softmax_loss(IN(x), OUT(p), OUT(part), LABEL_PARAMS)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(p); AT(part); LABEL_AT;\n"
    "    if (i >= n) return;\n"
    "    const labels l = LABELS_AT(i);\n"
    "    const float share = l.share[0] + l.share[1];\n"
    "    const int at = i / inner * classes * inner + i % inner;\n"
    "    float top = x[at], sum = 0, loss = 0;\n"
    "    for (int c = 1; c < classes; c++)\n"
    "        top = x[at + c * inner] > top ? x[at + c * inner] : top;\n"
    "    for (int c = 0; c < classes; c++) sum += exp(x[at + c * inner] - top);\n"
    "    for (int c = 0; c < classes; c++)\n"
    "        p[at + c * inner] = exp(x[at + c * inner] - top) / sum;\n"
    "    const float log_sum = top + log(sum);\n"
    "    for (int k = 0; k < 2; k++)\n"
    "        if (l.share[k] > 0)\n"
    "            loss += (1 - smoothing) * l.weight[k] * (log_sum - x[at + l.label[k] * inner]);\n"
    "    for (int c = 0; smoothing > 0 && share > 0 && c < classes; c++)\n"
    "        loss += smoothing / classes * share * (HAS(weights) ? weights[c] : 1) *\n"
    "                (log_sum - x[at + c * inner]);\n"
    "    part[2 * i] = share > 0 ? loss * (HAS(samples) ? samples[i / each] : 1) : 0;\n"
    "    part[2 * i + 1] = l.weight[0] + l.weight[1];\n"
    "}\n";

static const char cvncl_text_label_loss_back[] =
    "/* total: the sum of the weights */\n"
    "kernel void softmax_loss_back(IN(p), IN(dy), IN(total), MEM(dx), LABEL_PARAMS,\n"
    "                              const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(p); AT(dy); AT(total); AT(dx); LABEL_AT;\n"
    "    if (i >= n) return;\n"
    "    const labels l = LABELS_AT(i);\n"
    "    const int at = i / inner * classes * inner + i % inner;\n"
    "    const float share = l.share[0] + l.share[1], e = smoothing / classes;\n"
    "    const float scale = (total[0] > 0 ? dy[0] / total[0] : 0) *\n"
    "                        (HAS(samples) ? samples[i / each] : 1);\n"
    "    const float own = (1 - smoothing) * l.weight[0], other = (1 - smoothing) * l.weight[1];\n"
    "    float all = 0;\n"
    "    for (int c = 0; c < classes; c++) all += e * (HAS(weights) ? weights[c] : 1);\n"
    "    all = own + other + share * all;\n"
    "    for (int c = 0; c < classes; c++) {\n"
    "        const int k = at + c * inner;\n"
    "        const float a = (c == l.label[0] ? own : 0) + (c == l.label[1] ? other : 0) +\n"
    "                        share * e * (HAS(weights) ? weights[c] : 1);\n"
    "        const float g = share > 0 ? scale * (p[k] * all - a) : 0;\n"
    "        dx[k] = add ? dx[k] + g : g;\n"
    "    }\n"
    "}\n"
    "\n"
    "/* y[0] = sum of part[i*step] / divisor, or / sum of part[i*step + 1], which goes to total;\n"
    " * one group */\n"
    "kernel void loss_mean(IN(part), OUT(y), OUT(total), const int n, const int step,\n"
    "                      const float divisor)\n"
    "{\n"
    "    local float sums[WG];\n"
    "    float sum = 0, weight = 0;\n"
    "    AT(part); AT(y); AT(total);\n"
    "    for (int i = get_local_id(0); i < n; i += WG) {\n"
    "        sum += part[i * step];\n"
    "        if (HAS(total)) weight += part[i * step + 1];\n"
    "    }\n"
    "    sum = group_sum(sum, sums);\n"
    "    weight = group_sum(weight, sums);\n"
    "    if (get_local_id(0) != 0) return;\n"
    "    if (HAS(total)) total[0] = weight;\n"
    "    if (HAS(total)) y[0] = weight > 0 ? sum / weight : 0;\n"
    "    else y[0] = sum / divisor;\n"
    "}\n";

static const char cvncl_text_labels[] =
    "/* How far class c comes too near to the label's. */\n"
    "float margin(global const float *x, int inner, int label, int c)\n"
    "{\n"
    "    const float m = 1 - x[label * inner] + x[c * inner];\n"
    "    return c == label || m <= 0 ? 0 : m;\n"
    "}\n"
    "\n"
    "/* part [n, 2]: loss and weight of each position; kind 0: -x[label], 1: mean margin */\n"
    "kernel void label_loss(IN(x), OUT(part), LABEL_PARAMS, const int kind)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(part); LABEL_AT;\n"
    "    if (i >= n) return;\n"
    "    const labels l = LABELS_AT(i);\n"
    "    x += i / inner * classes * inner + i % inner;\n"
    "    for (int k = 0; k < 2; k++) {\n"
    "        float v = 0;\n"
    "        if (!(l.share[k] > 0)) continue;\n"
    "        for (int c = 0; kind && c < classes; c++) v += margin(x, inner, l.label[k], c);\n"
    "        sum += l.weight[k] * (kind ? v / classes : -x[l.label[k] * inner]);\n"
    "    }\n"
    "    part[2 * i] = sum * (HAS(samples) ? samples[i / each] : 1);\n"
    "    part[2 * i + 1] = l.weight[0] + l.weight[1];\n"
    "}\n"
    "\n"
    "kernel void label_loss_back(IN(x), IN(dy), IN(total), MEM(dx), LABEL_PARAMS, const int kind,\n"
    "                            const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), at = i / inner * classes * inner + i % inner;\n"
    "    AT(x); AT(dy); AT(total); AT(dx); LABEL_AT;\n"
    "    if (i >= n) return;\n"
    "    const labels l = LABELS_AT(i);\n"
    "    const float scale = (total[0] > 0 ? dy[0] / total[0] : 0) *\n"
    "                        (HAS(samples) ? samples[i / each] : 1);\n"
    "    float above[2] = { classes, classes };\n"
    "    for (int k = 0; k < 2 && kind; k++) {\n"
    "        above[k] = 0;\n"
    "        for (int c = 0; l.share[k] > 0 && c < classes; c++)\n"
    "            above[k] += margin(x + at, inner, l.label[k], c) > 0 ? 1 : 0;\n"
    "    }\n"
    "    for (int c = 0; c < classes; c++) {\n"
    "        float g = 0;\n"
    "        for (int k = 0; k < 2; k++) {\n"
    "            if (!(l.share[k] > 0)) continue;\n"
    "            if (c == l.label[k]) g -= l.weight[k] * above[k];\n"
    "            else if (kind && margin(x + at, inner, l.label[k], c) > 0) g += l.weight[k];\n"
    "        }\n"
    "        g *= scale / classes;\n"
    "        dx[at + c * inner] = add ? dx[at + c * inner] + g : g;\n"
    "    }\n"
    "}\n";

static const char cvncl_text_pair_loss[] =
    "/* Prediction x and target t, an element each; kinds: convnet_cl.h, cvncl_pair_kind. */\n"
    "float bce(float x, float t)\n"
    "{\n"
    "    return x != x ? x : (x > 0 ? x : 0) - x * t + log1p(exp(-fabs(x)));\n"
    "}\n"
    "\n"
    "float pair_value(int kind, float p, float q, float x, float t)\n"
    "{\n"
    "    const float d = x - t, a = fabs(d);\n"
    "    switch (kind) {\n"
    "    case 0: return d * d;\n"
    "    case 1: return bce(x, t);\n"
    "    case 2: return a;\n"
    "    case 3: return q * (a <= p ? a * a / 2 : p * (a - p / 2));\n"
    "    case 4: return (log1p(x) - log1p(t)) * (log1p(x) - log1p(t));\n"
    "    case 5: return 1 - t * x <= 0 ? 0 : 1 - t * x;\n"
    "    case 6: return t == 0 ? 0 : t * (log(t) - x);\n"
    "    case 7: {\n"
    "        const float e = exp(-fabs(x)), s = (x > 0 ? 1 : e) / (1 + e);\n"
    "        const float rest = (x > 0 ? e : 1) / (1 + e);\n"
    "        const float share = q < 0 ? 1 : q * t + (1 - q) * (1 - t);\n"
    "        return share * pow(s * (1 - t) + rest * t, p) * bce(x, t);\n"
    "    }\n"
    "    case 8: return x;\n"
    "    case 9: return fabs(x);\n"
    "    default: return x * x;\n"
    "    }\n"
    "}\n"
    "\n"
    "/* side 0: by x, 1: by t */\n"
    "float pair_slope(int kind, float p, float q, float x, float t, int side)\n"
    "{\n"
    "    const float d = x - t, sign = side ? -1 : 1;\n"
    "    switch (kind) {\n"
    "    case 0: return sign * 2 * d;\n"
    "    case 1: return side ? -x : 1 / (1 + exp(-x)) - t;\n"
    "    case 2: return sign * ((x > t) - (x < t));\n"
    "    case 3: return sign * q * (d > p ? p : d < -p ? -p : d);\n"
    "    case 4: return sign * 2 * (log1p(x) - log1p(t)) / (1 + (side ? t : x));\n"
    "    case 5: return 1 - t * x <= 0 ? 0 : side ? -x : -t;\n"
    "    case 6: return side ? (t == 0 ? 0 : log(t) + 1 - x) : -t;\n"
    "    case 7: {\n"
    "        const float e = exp(-fabs(x)), s = (x > 0 ? 1 : e) / (1 + e);\n"
    "        const float rest = (x > 0 ? e : 1) / (1 + e), missed = s * (1 - t) + rest * t;\n"
    "        const float share = q < 0 ? 1 : q * t + (1 - q) * (1 - t);\n"
    "        const float dshare = q < 0 || !side ? 0 : 2 * q - 1;\n"
    "        const float inner = side ? rest - s : s * rest * (1 - 2 * t);\n"
    "        const float outer = p > 0 && missed > 0 ? p * pow(missed, p - 1) : 0;\n"
    "        return (dshare * bce(x, t) + share * (side ? -x : s - t)) * pow(missed, p) +\n"
    "               share * bce(x, t) * outer * inner;\n"
    "    }\n"
    "    case 8: return 1;\n"
    "    case 9: return (x > 0) - (x < 0);\n"
    "    default: return 2 * x;\n"
    "    }\n"
    "}\n"
    "\n"
    "/* entry: elements of a sample */\n"
    "kernel void pair_loss(IN(x), IN(t), IN(samples), OUT(part), const int n, const int entry,\n"
    "                      const int kind, const float p, const float q)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(t); AT(samples); AT(part);\n"
    "    if (i < n)\n"
    "        part[i] = pair_value(kind, p, q, x[i], HAS(t) ? t[i] : 0) *\n"
    "                  (HAS(samples) ? samples[i / entry] : 1);\n"
    "}\n"
    "\n"
    "kernel void pair_loss_back(IN(x), IN(t), IN(samples), IN(dy), MEM(dx), const int n,\n"
    "                           const int entry, const int kind, const float p, const float q,\n"
    "                           const float divisor, const int side, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(t); AT(samples); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    const float g = dy[0] / divisor * (HAS(samples) ? samples[i / entry] : 1) *\n"
    "                    pair_slope(kind, p, q, x[i], HAS(t) ? t[i] : 0, side);\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n";

/* Table of a loss with class weights: their bits. */
static int cvncl_label_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    const cvni_ce_desc *d = (const cvni_ce_desc *)l->desc;
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const int classes = d->weights ? x.dim[cvni_class_axis(x)] : 0;
    if (table && classes) memcpy(table, d->weights, (size_t)classes * sizeof(float));
    return classes;
}

static size_t cvncl_label_work(cvn_net *net, const cvni_layer *l)
{
    return 2 * cvni_elements(cvni_in(net, l, 1)->shape);
}

static const float *cvncl_sample_weights(const cvn_net *net)
{
    return net->weighted ? net->sample_weights : NULL;
}

static int cvncl_class_weights(const cvn_net *net, const cvni_layer *l)
{
    return ((const cvni_ce_desc *)l->desc)->weights ? cvncl_net_of(net)->table_at[cvni_id(net, l)]
                                                    : -1;
}

#define CVNCL_LABELS "pppt" "iiiiiff"   /* LABEL_PARAMS */

static cvn_result cvncl_softmax_loss_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_label_job j = cvni_label_job_of(net, l);
    cvn_result result = cvni_fetch(net, cvni_in(net, l, 1));
    if (result == CVN_OK)
        result = cvni_labels_in_range(net, l, j.labels, j.count, j.classes, j.d->ignore_index);
    if (result == CVN_OK)
        result = cvncl_each(net, CVNCL_SOFTMAX_LOSS, j.count, "ppw" CVNCL_LABELS, j.x, j.p, 0,
                            j.labels, net->mixed ? net->partner : NULL, cvncl_sample_weights(net),
                            cvncl_class_weights(net, l), j.count, j.per_sample, j.classes, j.inner,
                            j.d->ignore_index, (double)net->mix, (double)j.d->smoothing);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y,
                        j.p + (ptrdiff_t)j.count * j.classes, j.count, 2, 1.0);
}

static cvn_result cvncl_softmax_loss_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_label_job j = cvni_label_job_of(net, l);
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_SOFTMAX_LOSS_BACK, j.count, "pppp" CVNCL_LABELS "i", j.p, l->dy,
                      j.p + (ptrdiff_t)j.count * j.classes, dx, j.labels,
                      net->mixed ? net->partner : NULL, cvncl_sample_weights(net),
                      cvncl_class_weights(net, l), j.count, j.per_sample, j.classes, j.inner,
                      j.d->ignore_index, (double)net->mix, (double)j.d->smoothing, add);
}

/* In the order of pair_value. smooth_l1 is a huber loss. */
static int cvncl_pair_kind(const cvni_layer *l)
{
    static const cvni_pair_loss *const rows[] = { &cvni_mse_loss, &cvni_bce_loss, &cvni_mae_loss,
                                                  &cvni_huber_loss, &cvni_msle_loss,
                                                  &cvni_hinge_loss, &cvni_kl_loss,
                                                  &cvni_focal_loss };
    const cvni_pair_loss *row = cvni_pair_row(l);
    int kind = 0;
    if (row == &cvni_smooth_l1_loss) row = &cvni_huber_loss;
    while (rows[kind] != row) kind++;
    return kind;
}

static float cvncl_pair_parameter(const cvni_layer *l, int i)
{
    return l->desc ? ((const float *)l->desc)[i] : 0;
}

static size_t cvncl_pair_work(cvn_net *net, const cvni_layer *l)
{
    return cvni_elements(cvni_in(net, l, 0)->shape);
}

static cvn_result cvncl_pair_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    const int n = (int)j.count;
    const cvn_result result = cvncl_each(net, CVNCL_PAIR_LOSS, n, "pppwiiiff", j.x->y, j.t->y,
                                         cvncl_sample_weights(net), 0, n,
                                         (int)j.entry * j.x->samples, cvncl_pair_kind(l),
                                         (double)cvncl_pair_parameter(l, 0),
                                         (double)cvncl_pair_parameter(l, 1));
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, n, 1,
                        cvni_pair_divisor(&j));
}

static cvn_result cvncl_pair_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    const int n = (int)j.count;
    cvn_result result = CVN_OK;
    for (int side = 0; side < 2 && result == CVN_OK; side++) {
        int add;
        float *dx = cvni_gradient_for(side ? j.t : j.x, &add);
        if (!dx) continue;
        result = cvncl_each(net, CVNCL_PAIR_LOSS_BACK, n, "pppppiiifffii", j.x->y, j.t->y,
                            cvncl_sample_weights(net), l->dy, dx, n, (int)j.entry * j.x->samples,
                            cvncl_pair_kind(l), (double)cvncl_pair_parameter(l, 0),
                            (double)cvncl_pair_parameter(l, 1), cvni_pair_divisor(&j), side, add);
    }
    return result;
}

static const char cvncl_text_more_losses[] =
    "/* ---- losses of rows: convnet.h, >>rowloss; kinds: convnet_cl.h, cvncl_row_kind ---- */\n"
    "float row_distance(global const float *a, global const float *b, int size, float eps)\n"
    "{\n"
    "    float sum = 0;\n"
    "    for (int i = 0; i < size; i++) sum += (a[i] - b[i] + eps) * (a[i] - b[i] + eps);\n"
    "    return sqrt(sum);\n"
    "}\n"
    "\n"
    "typedef struct { float side[2][2], both[2], around[2], I, U, C; } boxes;\n"
    "\n"
    "boxes boxes_of(global const float *a, global const float *b)\n"
    "{\n"
    "    boxes o;\n"
    "    for (int k = 0; k < 2; k++) {\n"
    "        o.both[k] = min(a[k + 2], b[k + 2]) - max(a[k], b[k]);\n"
    "        o.around[k] = max(a[k + 2], b[k + 2]) - min(a[k], b[k]);\n"
    "        o.side[0][k] = a[k + 2] - a[k];\n"
    "        o.side[1][k] = b[k + 2] - b[k];\n"
    "    }\n"
    "    o.I = o.both[0] > 0 && o.both[1] > 0 ? o.both[0] * o.both[1] : 0;\n"
    "    o.U = o.side[0][0] * o.side[0][1] + o.side[1][0] * o.side[1][1] - o.I;\n"
    "    o.C = o.around[0] * o.around[1];\n"
    "    return o;\n"
    "}\n"
    "\n"
    "/* part [rows] */\n"
    "kernel void row_loss(IN(a), IN(b), IN(c), IN(samples), OUT(part), const int rows,\n"
    "                     const int entry, const int size, const int kind, const float p)\n"
    "{\n"
    "    const int t = get_global_id(0);\n"
    "    float v = 0;\n"
    "    AT(a); AT(b); AT(c); AT(samples); AT(part);\n"
    "    if (t >= rows) return;\n"
    "    a += (size_t)t * size;\n"
    "    b += (size_t)t * size;\n"
    "    if (kind < 2) {\n"
    "        const boxes o = boxes_of(a, b);\n"
    "        v = 1 - o.I / (o.U + 1e-7f) + (kind ? (o.C - o.U) / (o.C + 1e-7f) : 0);\n"
    "    } else if (kind == 2) {\n"
    "        v = p + row_distance(a, b, size, 1e-6f) -\n"
    "            row_distance(a, c + (size_t)t * size, size, 1e-6f);\n"
    "        v = v < 0 ? 0 : v;\n"
    "    } else if (kind == 3) {\n"
    "        const float d = row_distance(a, b, size, 0), gap = d > p ? 0 : p - d;\n"
    "        v = 0.5f * (c[t] * d * d + (1 - c[t]) * gap * gap);\n"
    "    } else {\n"
    "        for (int i = 0; i < size; i++) v -= 0.5f * (1 + b[i] - a[i] * a[i] - exp(b[i]));\n"
    "    }\n"
    "    part[t] = v * (HAS(samples) ? samples[t / entry] : 1);\n"
    "}\n";

static const char cvncl_text_more_losses_back[] =
    "/* the derivative by edge k of the box `own` */\n"
    "float box_slope(global const float *own, global const float *other, int k, int outer)\n"
    "{\n"
    "    const boxes o = boxes_of(own, other);\n"
    "    const float U = o.U + 1e-7f, C = o.C + 1e-7f;\n"
    "    const float by_union = o.I / (U * U) - (outer ? 1 / C : 0);\n"
    "    const float by_both = o.I > 0 ? -1 / U - by_union : 0;\n"
    "    const float by_around = outer ? U / (C * C) : 0;\n"
    "    const int across = 1 - k % 2;\n"
    "    const float larger = own[k] == other[k] ? 0.5f : own[k] > other[k] ? 1 : 0;\n"
    "    const float inner = k < 2 ? larger : 1 - larger;\n"
    "    const float g = by_union * o.side[0][across] + by_both * inner * o.both[across] +\n"
    "                    by_around * (1 - inner) * o.around[across];\n"
    "    return k < 2 ? -g : g;\n"
    "}\n"
    "\n"
    "/* by input `side`, whose rows have `own` floats; an item each of them */\n"
    "kernel void row_loss_back(IN(a), IN(b), IN(c), IN(samples), IN(dy), MEM(dx), const int rows,\n"
    "                          const int entry, const int size, const int kind, const float p,\n"
    "                          const int side, const int own, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), t = i / own, k = i % own;\n"
    "    float g = 0;\n"
    "    AT(a); AT(b); AT(c); AT(samples); AT(dy); AT(dx);\n"
    "    if (i >= rows * own) return;\n"
    "    a += (size_t)t * size;\n"
    "    b += (size_t)t * size;\n"
    "    if (kind < 2) {\n"
    "        g = side ? box_slope(b, a, k, kind) : box_slope(a, b, k, kind);\n"
    "    } else if (kind == 2) {\n"
    "        c += (size_t)t * size;\n"
    "        const float near_by = row_distance(a, b, size, 1e-6f);\n"
    "        const float far_off = row_distance(a, c, size, 1e-6f);\n"
    "        const float by_p = near_by > 0 ? (a[k] + 1e-6f - b[k]) / near_by : 0;\n"
    "        const float by_n = far_off > 0 ? (a[k] + 1e-6f - c[k]) / far_off : 0;\n"
    "        if (!(p + near_by - far_off < 0))\n"
    "            g = side == 0 ? by_p - by_n : side == 1 ? -by_p : by_n;\n"
    "    } else if (kind == 3) {\n"
    "        const float d = row_distance(a, b, size, 0), gap = d > p ? 0 : p - d;\n"
    "        const float away = d > 0 ? (1 - c[t]) * gap / d : 0;\n"
    "        if (side == 2) g = 0.5f * (d * d - gap * gap);\n"
    "        else g = (c[t] - away) * (side ? b[k] - a[k] : a[k] - b[k]);\n"
    "    } else {\n"
    "        g = side ? 0.5f * (exp(b[k]) - 1) : a[k];\n"
    "    }\n"
    "    g *= dy[0] / rows * (HAS(samples) ? samples[t / entry] : 1);\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n";

static const char cvncl_text_sample_losses[] =
    "/* saved [N, 2]: 1 - loss and divisor of each sample; a group a sample */\n"
    "kernel void dice(IN(x), IN(t), IN(samples), OUT(saved), OUT(part), const int size,\n"
    "                 const int per, const float smooth)\n"
    "{\n"
    "    local float sums[WG];\n"
    "    const int n = get_group_id(0);\n"
    "    float both = 0, all = 0;\n"
    "    AT(x); AT(t); AT(samples); AT(saved); AT(part);\n"
    "    for (int k = get_local_id(0); k < size; k += WG) {\n"
    "        const size_t i = (size_t)n * size + k;\n"
    "        both += x[i] * t[i];\n"
    "        all += x[i] * x[i] + t[i] * t[i];\n"
    "    }\n"
    "    both = group_sum(both, sums);\n"
    "    all = group_sum(all, sums) + smooth;\n"
    "    if (get_local_id(0) != 0) return;\n"
    "    const float v = all == 0 ? 1 : (2 * both + smooth) / all;\n"
    "    saved[2 * n] = v;\n"
    "    saved[2 * n + 1] = all;\n"
    "    part[n] = (1 - v) * (HAS(samples) ? samples[n / per] : 1);\n"
    "}\n"
    "\n"
    "/* x: of the side whose gradient dx is */\n"
    "kernel void dice_back(IN(x), IN(t), IN(samples), IN(saved), IN(dy), MEM(dx), const int n,\n"
    "                      const int size, const int per, const int N, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), s = i / size;\n"
    "    AT(x); AT(t); AT(samples); AT(saved); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    const float scale = 2 * dy[0] / N * (HAS(samples) ? samples[s / per] : 1);\n"
    "    const float d = x[i] * saved[2 * s] - t[i];\n"
    "    const float g = saved[2 * s + 1] == 0 ? 0 : scale * d / saved[2 * s + 1];\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n"
    "\n"
    "/* planes [H, W]; entry: elements of a sample */\n"
    "kernel void variation(IN(x), IN(samples), OUT(part), const int n, const int entry,\n"
    "                      const int H, const int W)\n"
    "{\n"
    "    const int i = get_global_id(0), p = i % (H * W);\n"
    "    AT(x); AT(samples); AT(part);\n"
    "    if (i >= n) return;\n"
    "    float v = p % W < W - 1 ? fabs(x[i + 1] - x[i]) : 0;\n"
    "    if (p < (H - 1) * W) v += fabs(x[i + W] - x[i]);\n"
    "    part[i] = v * (HAS(samples) ? samples[i / entry] : 1);\n"
    "}\n"
    "\n"
    "kernel void variation_back(IN(x), IN(samples), IN(dy), MEM(dx), const int n,\n"
    "                           const int entry, const int H, const int W, const int N,\n"
    "                           const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), p = i % (H * W);\n"
    "    float g = 0;\n"
    "    AT(x); AT(samples); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    if (p % W > 0) g += sign(x[i] - x[i - 1]);\n"
    "    if (p % W < W - 1) g += sign(x[i] - x[i + 1]);\n"
    "    if (p >= W) g += sign(x[i] - x[i - W]);\n"
    "    if (p < (H - 1) * W) g += sign(x[i] - x[i + W]);\n"
    "    g *= dy[0] / N * (HAS(samples) ? samples[i / entry] : 1);\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n";

static const char cvncl_text_soft_loss[] =
    "/* log_sum, part [n]: of each position */\n"
    "kernel void soft_loss(IN(x), IN(t), IN(samples), OUT(log_sum), OUT(part), const int n,\n"
    "                      const int classes, const int inner, const int entry)\n"
    "{\n"
    "    const int i = get_global_id(0), at = i / inner * classes * inner + i % inner;\n"
    "    AT(x); AT(t); AT(samples); AT(log_sum); AT(part);\n"
    "    if (i >= n) return;\n"
    "    float top = x[at], sum = 0, loss = 0;\n"
    "    for (int c = 1; c < classes; c++) top = fmax(top, x[at + c * inner]);\n"
    "    for (int c = 0; c < classes; c++) sum += exp(x[at + c * inner] - top);\n"
    "    sum = top + log(sum);\n"
    "    for (int c = 0; c < classes; c++) loss += t[at + c * inner] * (sum - x[at + c * inner]);\n"
    "    log_sum[i] = sum;\n"
    "    part[i] = loss * (HAS(samples) ? samples[at / entry] : 1);\n"
    "}\n"
    "\n"
    "kernel void soft_loss_back(IN(x), IN(t), IN(samples), IN(log_sum), IN(dy), MEM(dx),\n"
    "                           const int n, const int classes, const int inner, const int entry,\n"
    "                           const int side, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), at = i / inner * classes * inner + i % inner;\n"
    "    float all = 0;\n"
    "    AT(x); AT(t); AT(samples); AT(log_sum); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    const float scale = dy[0] / n * (HAS(samples) ? samples[at / entry] : 1);\n"
    "    for (int c = 0; c < classes; c++) all += t[at + c * inner];\n"
    "    for (int k = at; k < at + classes * inner; k += inner) {\n"
    "        const float below = log_sum[i] - x[k];\n"
    "        const float g = scale * (side ? below : exp(-below) * all - t[k]);\n"
    "        dx[k] = add ? dx[k] + g : g;\n"
    "    }\n"
    "}\n"
    "\n"
    "/* g -= the identity, part = g^2; or, with dy, part = 4 f dy g */\n"
    "kernel void orthogonality(MEM(g), IN(dy), OUT(part), const int rows, const float factor)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(g); AT(dy); AT(part);\n"
    "    if (i >= rows * rows) return;\n"
    "    if (HAS(dy)) {\n"
    "        part[i] = 4 * factor * dy[0] * g[i];\n"
    "        return;\n"
    "    }\n"
    "    const float v = g[i] - (i / rows == i % rows ? 1 : 0);\n"
    "    g[i] = v;\n"
    "    part[i] = v * v;\n"
    "}\n";

static const char cvncl_text_ctc[] =
    "/* Connectionist temporal classification: convnet.h, >>ctc. a, b [N, T, 2*S + 1]; a group a\n"
    " * sample, its items go through the states, step after step. */\n"
    "#define CTC_PARAMS \\\n"
    "    INTS(labels), INTS(lengths), INTS(counts), const int T, const int C, const int S, \\\n"
    "    const int blank\n"
    "#define CTC_STEPS(n) (HAS(lengths) ? lengths[n] : T)\n"
    "#define CTC_CLASS(k) ((k) % 2 ? labels[(k) / 2] : blank)\n"
    "#define CTC_SKIPS(k) ((k) % 2 && (k) > 1 && labels[(k) / 2] != labels[(k) / 2 - 1])\n"
    "\n"
    "float log_add(float a, float b)\n"
    "{\n"
    "    const float high = a > b ? a : b, low = a > b ? b : a;\n"
    "    return low == -INFINITY ? high : high + log1p(exp(low - high));\n"
    "}\n"
    "\n"
    "int ctc_count(global const int *labels, int S)\n"
    "{\n"
    "    int count = 0;\n"
    "    while (count < S && labels[count] >= 0) count++;\n"
    "    return count;\n"
    "}\n"
    "\n"
    "kernel void ctc_alpha(IN(x), MEM(a), OUT(loss), IN(samples), OUT(part), CTC_PARAMS,\n"
    "                      const int per, const int zero_infinity)\n"
    "{\n"
    "    const int n = get_group_id(0), i = get_local_id(0), width = 2 * S + 1;\n"
    "    AT(x); AT(a); AT(loss); AT(samples); AT(part); AT(labels); AT(lengths); AT(counts);\n"
    "    labels += n * S;\n"
    "    x += (size_t)n * T * C;\n"
    "    a += (size_t)n * T * width;\n"
    "    const int steps = CTC_STEPS(n), count = HAS(counts) ? counts[n] : ctc_count(labels, S);\n"
    "    const int K = 2 * count + 1;\n"
    "    for (int t = 0; t < steps; t++) {\n"
    "        global const float *before = a + (size_t)(t - 1) * width;\n"
    "        for (int k = i; k < K; k += WG) {\n"
    "            float v = t ? before[k] : k < 2 ? 0 : -INFINITY;\n"
    "            if (t && k > 0) v = log_add(v, before[k - 1]);\n"
    "            if (t && CTC_SKIPS(k)) v = log_add(v, before[k - 2]);\n"
    "            a[(size_t)t * width + k] = v + x[(size_t)t * C + CTC_CLASS(k)];\n"
    "        }\n"
    "        barrier(CLK_GLOBAL_MEM_FENCE);\n"
    "    }\n"
    "    if (i != 0) return;\n"
    "    float v = count ? INFINITY : 0;\n"
    "    a += (size_t)(steps - 1) * width;\n"
    "    if (steps) v = -log_add(a[K - 1], count ? a[K - 2] : -INFINITY);\n"
    "    loss[n] = v;\n"
    "    part[n] = zero_infinity && v == INFINITY\n"
    "                  ? 0 : v / max(count, 1) * (HAS(samples) ? samples[n / per] : 1);\n"
    "}\n"
    "\n"
    "kernel void ctc_beta(IN(x), MEM(b), CTC_PARAMS)\n"
    "{\n"
    "    const int n = get_group_id(0), width = 2 * S + 1;\n"
    "    AT(x); AT(b); AT(labels); AT(lengths); AT(counts);\n"
    "    labels += n * S;\n"
    "    x += (size_t)n * T * C;\n"
    "    b += (size_t)n * T * width;\n"
    "    const int steps = CTC_STEPS(n), count = HAS(counts) ? counts[n] : ctc_count(labels, S);\n"
    "    const int K = 2 * count + 1;\n"
    "    for (int t = steps - 1; t >= 0; t--) {\n"
    "        const bool more = t < steps - 1;\n"
    "        global const float *after = b + (size_t)(t + 1) * width;\n"
    "        for (int k = get_local_id(0); k < K; k += WG) {\n"
    "            float v = more ? after[k] : k >= K - 2 ? 0 : -INFINITY;\n"
    "            if (more && k + 1 < K) v = log_add(v, after[k + 1]);\n"
    "            if (more && k + 2 < K && CTC_SKIPS(k + 2)) v = log_add(v, after[k + 2]);\n"
    "            b[(size_t)t * width + k] = v + x[(size_t)t * C + CTC_CLASS(k)];\n"
    "        }\n"
    "        barrier(CLK_GLOBAL_MEM_FENCE);\n"
    "    }\n"
    "}\n";

static const char cvncl_text_ctc_back[] =
    "/* an item each class of each step */\n"
    "kernel void ctc_back(IN(x), IN(a), IN(b), IN(loss), IN(samples), IN(dy), MEM(dx),\n"
    "                     CTC_PARAMS, const int N, const int per, const int zero_infinity,\n"
    "                     const int add)\n"
    "{\n"
    "    const int i = get_global_id(0), c = i % C, n = i / C / T, width = 2 * S + 1;\n"
    "    AT(x); AT(a); AT(b); AT(loss); AT(samples); AT(dy); AT(dx);\n"
    "    AT(labels); AT(lengths); AT(counts);\n"
    "    if (i >= N * T * C) return;\n"
    "    labels += n * S;\n"
    "    a += (size_t)(i / C) * width;\n"
    "    b += (size_t)(i / C) * width;\n"
    "    const int count = HAS(counts) ? counts[n] : ctc_count(labels, S);\n"
    "    const bool counts_not = zero_infinity && loss[n] == INFINITY;\n"
    "    float sum = -INFINITY, g = 0;\n"
    "    if (!counts_not && i / C % T < CTC_STEPS(n)) {\n"
    "        for (int k = 0; k <= 2 * count; k++)\n"
    "            if (CTC_CLASS(k) == c) sum = log_add(sum, a[k] + b[k]);\n"
    "        const float seen = sum == -INFINITY && loss[n] != INFINITY\n"
    "                               ? 0 : exp(sum + loss[n] - x[i]);\n"
    "        g = dy[0] / ((float)max(count, 1) * N) * (HAS(samples) ? samples[n / per] : 1) *\n"
    "            (exp(x[i]) - seen);\n"
    "    }\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n";

/* ---- labels: negative log-likelihood, margins ---- */

static int cvncl_label_kind(const cvni_layer *l) { return l->op == &cvni_multi_margin_loss.op; }

static cvn_result cvncl_label_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_label_job j = cvni_label_job_of(net, l);
    cvn_result result = cvni_fetch(net, cvni_in(net, l, 1));
    if (result == CVN_OK)
        result = cvni_labels_in_range(net, l, j.labels, j.count, j.classes, j.d->ignore_index);
    if (result == CVN_OK)
        result = cvncl_each(net, CVNCL_LABEL_LOSS, j.count, "pw" CVNCL_LABELS "i", j.x, 0, j.labels,
                            net->mixed ? net->partner : NULL, cvncl_sample_weights(net),
                            cvncl_class_weights(net, l), j.count, j.per_sample, j.classes, j.inner,
                            j.d->ignore_index, (double)net->mix, 0.0, cvncl_label_kind(l));
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, l->saved, j.count, 2, 1.0);
}

static cvn_result cvncl_label_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_label_job j = cvni_label_job_of(net, l);
    int add;
    float *dx = cvni_gradient_for(cvni_in(net, l, 0), &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_LABEL_LOSS_BACK, j.count, "pppp" CVNCL_LABELS "ii", j.x, l->dy,
                      l->saved, dx, j.labels, net->mixed ? net->partner : NULL,
                      cvncl_sample_weights(net), cvncl_class_weights(net, l), j.count,
                      j.per_sample, j.classes, j.inner, j.d->ignore_index, (double)net->mix, 0.0,
                      cvncl_label_kind(l), add);
}

/* ---- rows ---- */

/* In the order of row_loss. */
static int cvncl_row_kind(const cvni_layer *l)
{
    static const cvni_row_loss *const rows[] = { &cvni_iou_loss, &cvni_giou_loss,
                                                 &cvni_triplet_loss, &cvni_contrastive_loss,
                                                 &cvni_vae_loss };
    int kind = 0;
    while (rows[kind] != cvni_row_loss_of(l)) kind++;
    return kind;
}

static size_t cvncl_row_work(cvn_net *net, const cvni_layer *l)
{
    return (size_t)cvni_row_count(net, l);
}

static cvn_result cvncl_row_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_row_job j = cvni_row_job_of(net, l);
    const cvni_rows r = cvni_rows_at(&j, 0);
    const cvn_result result =
        cvncl_each(net, CVNCL_ROW_LOSS, j.rows, "ppppwiiiif", r.in[0], r.in[1], r.in[2],
                   cvncl_sample_weights(net), 0, j.rows,
                   j.per_entry * cvni_in(net, l, 0)->samples, r.size, cvncl_row_kind(l), r.p);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, j.rows, 1,
                        (double)j.rows);
}

static cvn_result cvncl_row_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_row_job j = cvni_row_job_of(net, l);
    const cvni_rows r = cvni_rows_at(&j, 0);
    cvn_result result = CVN_OK;
    for (int side = 0; side < l->inputs && result == CVN_OK; side++) {
        const int own = cvni_row_size(&j, side);
        int add;
        float *dx = cvni_gradient_for(cvni_in(net, l, side), &add);
        if (!dx) continue;
        result = cvncl_each(net, CVNCL_ROW_LOSS_BACK, j.rows * own, "ppppppiiiifiii", r.in[0],
                            r.in[1], r.in[2], cvncl_sample_weights(net), l->dy, dx, j.rows,
                            j.per_entry * cvni_in(net, l, 0)->samples, r.size, cvncl_row_kind(l),
                            r.p, side, own, add);
    }
    return result;
}

/* ---- Dice, total variation, distributions as targets ---- */

static size_t cvncl_dice_work(cvn_net *net, const cvni_layer *l)
{
    return (size_t)cvni_in(net, l, 0)->shape.dim[0];
}

static cvn_result cvncl_dice_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    const int N = j.x->shape.dim[0];
    const cvn_result result =
        cvncl_groups(net, CVNCL_DICE, N, "ppppwiif", j.x->y, j.t->y, cvncl_sample_weights(net),
                     l->saved, 0, (int)j.entry, j.x->samples, (double)((const float *)l->desc)[0]);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, N, 1, (double)N);
}

static cvn_result cvncl_dice_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    cvn_result result = CVN_OK;
    for (int side = 0; side < 2 && result == CVN_OK; side++) {
        const cvni_layer *other = side ? j.x : j.t;
        cvni_layer *own = side ? j.t : j.x;
        int add;
        float *dx = cvni_gradient_for(own, &add);
        if (!dx) continue;
        result = cvncl_each(net, CVNCL_DICE_BACK, (int)j.count, "ppppppiiiii", own->y, other->y,
                            cvncl_sample_weights(net), l->saved, l->dy, dx, (int)j.count,
                            (int)j.entry, j.x->samples, j.x->shape.dim[0], add);
    }
    return result;
}

static cvn_result cvncl_variation_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    const cvn_shape s = j.x->shape;
    const int n = (int)j.count;
    const cvn_result result =
        cvncl_each(net, CVNCL_VARIATION, n, "ppwiiii", j.x->y, cvncl_sample_weights(net), 0, n,
                   (int)j.entry * j.x->samples, s.dim[2], s.dim[3]);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, n, 1, (double)s.dim[0]);
}

static cvn_result cvncl_variation_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    const cvn_shape s = j.x->shape;
    int add;
    float *dx = cvni_gradient_for(j.x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_VARIATION_BACK, (int)j.count, "ppppiiiiii", j.x->y,
                      cvncl_sample_weights(net), l->dy, dx, (int)j.count,
                      (int)j.entry * j.x->samples, s.dim[2], s.dim[3], s.dim[0], add);
}

static cvn_result cvncl_soft_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_soft_job s = cvni_soft_job_of(net, l);
    const cvn_result result =
        cvncl_each(net, CVNCL_SOFT_LOSS, s.count, "ppppwiiii", s.j.x->y, s.j.t->y,
                   cvncl_sample_weights(net), l->saved, 0, s.count, s.classes, s.inner,
                   (int)s.j.entry * s.j.x->samples);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, s.count, 1,
                        (double)s.count);
}

static cvn_result cvncl_soft_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_soft_job s = cvni_soft_job_of(net, l);
    cvn_result result = CVN_OK;
    for (int side = 0; side < 2 && result == CVN_OK; side++) {
        int add;
        float *dx = cvni_gradient_for(side ? s.j.t : s.j.x, &add);
        if (!dx) continue;
        result = cvncl_each(net, CVNCL_SOFT_LOSS_BACK, s.count, "ppppppiiiiii", s.j.x->y, s.j.t->y,
                            cvncl_sample_weights(net), l->saved, l->dy, dx, s.count, s.classes,
                            s.inner, (int)s.j.entry * s.j.x->samples, side, add);
    }
    return result;
}

/* ---- of one tensor, element by element: its mean; penalties of a weight ---- */

enum { CVNCL_PAIR_MEAN = 8, CVNCL_PAIR_L1, CVNCL_PAIR_L2 };      /* kinds of pair_value */

static cvn_result cvncl_mean_loss_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    const int n = (int)j.count;
    const cvn_result result = cvncl_each(net, CVNCL_PAIR_LOSS, n, "pppwiiiff", j.x->y, NULL,
                                         cvncl_sample_weights(net), 0, n,
                                         (int)j.entry * j.x->samples, CVNCL_PAIR_MEAN, 0.0, 0.0);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, n, 1, (double)n);
}

static cvn_result cvncl_mean_loss_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_loss_job j = cvni_loss_job_of(net, l);
    const int n = (int)j.count;
    int add;
    float *dx = cvni_gradient_for(j.x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_PAIR_LOSS_BACK, n, "pppppiiifffii", j.x->y, NULL,
                      cvncl_sample_weights(net), l->dy, dx, n, (int)j.entry * j.x->samples,
                      CVNCL_PAIR_MEAN, 0.0, 0.0, (double)n, 0, add);
}

static size_t cvncl_penalty_work(cvn_net *net, const cvni_layer *l)
{
    return cvni_penalty_param(net, l)->count;
}

static int cvncl_penalty_kind(const cvni_layer *l)
{
    return l->op == &cvni_op_l2_penalty ? CVNCL_PAIR_L2 : CVNCL_PAIR_L1;
}

static double cvncl_penalty_divisor(const cvni_layer *l)
{
    return 1 / (double)((const cvni_penalty_desc *)l->desc)->factor;
}

static cvn_result cvncl_penalty_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_penalty_param(net, l)->count;
    const cvn_result result = cvncl_each(net, CVNCL_PAIR_LOSS, n, "pppwiiiff",
                                         cvni_weights(net, l, 0), NULL, NULL, 0, n, n,
                                         cvncl_penalty_kind(l), 0.0, 0.0);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, n, 1,
                        cvncl_penalty_divisor(l));
}

static cvn_result cvncl_penalty_backward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_penalty_param(net, l)->count;
    float *dw = cvni_penalty_grad(net, l);
    if (!dw) return CVN_OK;
    return cvncl_each(net, CVNCL_PAIR_LOSS_BACK, n, "pppppiiifffii", cvni_weights(net, l, 0), NULL,
                      NULL, l->dy, dw, n, n, cvncl_penalty_kind(l), 0.0, 0.0,
                      cvncl_penalty_divisor(l), 0, 1);
}

static size_t cvncl_orthogonality_work(cvn_net *net, const cvni_layer *l)
{
    (void)net;
    return l->saved_bytes / sizeof(float);
}

static cvn_result cvncl_orthogonality_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_param *p = cvni_penalty_param(net, l);
    const int rows = p->shape.dim[0], n = rows * rows;
    const float *w = cvni_weights(net, l, 0);
    const int rest = (int)(p->count / (size_t)rows);
    cvn_result result = cvncl_project(net, rows, rows, rest, w, w, NULL, (float *)l->saved, rows);
    if (result == CVN_OK)
        result = cvncl_each(net, CVNCL_ORTHOGONALITY, n, "ppwif", l->saved, NULL, 0, rows, 0.0);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, n, 1,
                        cvncl_penalty_divisor(l));
}

static cvn_result cvncl_orthogonality_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_param *p = cvni_penalty_param(net, l);
    const int rows = p->shape.dim[0];
    const int rest = (int)(p->count / (size_t)rows);
    float *dw = cvni_penalty_grad(net, l);
    cvn_result result;
    if (!dw) return CVN_OK;
    result = cvncl_each(net, CVNCL_ORTHOGONALITY, rows * rows, "pppif", l->saved, l->dy,
                        l->work_backward, rows,
                        (double)((const cvni_penalty_desc *)l->desc)->factor);
    if (result != CVN_OK) return result;
    return cvncl_project_back(net, rows, rows, rest, (const float *)l->work_backward, rows,
                              cvni_weights(net, l, 0), dw, rest, 1);
}

/* ---- CTC ---- */

static size_t cvncl_ctc_floats(const cvn_net *net, const cvni_layer *l)
{
    const cvn_shape x = cvni_in(net, l, 0)->shape;
    const size_t states = 2 * (size_t)cvni_in(net, l, 1)->shape.dim[1] + 1;
    return cvni_mul_size(cvni_mul_size((size_t)x.dim[0], (size_t)x.dim[1]), states);
}

static size_t cvncl_ctc_work(cvn_net *net, const cvni_layer *l)
{
    return cvni_add_size(2 * cvncl_ctc_floats(net, l), (size_t)cvni_in(net, l, 0)->shape.dim[0]);
}

static const void *cvncl_ctc_input(const cvn_net *net, const cvni_layer *l, int i)
{
    return i ? cvni_in(net, l, i)->y : NULL;
}

static cvn_result cvncl_ctc_alpha(cvn_net *net, cvni_layer *l, const cvni_ctc_job *j)
{
    const cvni_layer *x = cvni_in(net, l, 0);
    return cvncl_groups(net, CVNCL_CTC_ALPHA, x->shape.dim[0], "pwppwpppiiiiii", x->y, 0, l->saved,
                        cvncl_sample_weights(net), 2 * (int)cvncl_ctc_floats(net, l),
                        cvni_in(net, l, 1)->y, cvncl_ctc_input(net, l, j->d->input_lengths),
                        cvncl_ctc_input(net, l, j->d->label_lengths), j->T, j->C, j->S,
                        j->d->blank, x->samples, j->d->zero_infinity);
}

static cvn_result cvncl_ctc_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_ctc_job j = cvni_ctc_job_of(net, l);
    const int N = cvni_in(net, l, 0)->shape.dim[0];
    cvn_result result = CVN_OK;
    for (int i = 1; i < l->inputs && result == CVN_OK; i++)
        result = cvni_fetch(net, cvni_in(net, l, i));
    for (int n = 0; n < N && result == CVN_OK; n++) result = cvni_ctc_check(net, l, &j, n);
    if (result == CVN_OK) result = cvncl_ctc_alpha(net, l, &j);
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 2 * (int)cvncl_ctc_floats(net, l), l->y,
                        NULL, N, 1, (double)N);
}

static cvn_result cvncl_ctc_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_ctc_job j = cvni_ctc_job_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    const int N = x->shape.dim[0], b = (int)cvncl_ctc_floats(net, l);
    const void *lengths = cvncl_ctc_input(net, l, j.d->input_lengths);
    const void *counts = cvncl_ctc_input(net, l, j.d->label_lengths);
    cvn_result result;
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    result = cvncl_ctc_alpha(net, l, &j);
    if (result == CVN_OK)
        result = cvncl_groups(net, CVNCL_CTC_BETA, N, "pwpppiiii", x->y, b, cvni_in(net, l, 1)->y,
                              lengths, counts, j.T, j.C, j.S, j.d->blank);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_CTC_BACK, N * j.T * j.C, "pwwppppppp" "iiii" "iiii", x->y, 0, b,
                      l->saved, cvncl_sample_weights(net), l->dy, dx, cvni_in(net, l, 1)->y,
                      lengths, counts, j.T, j.C, j.S, j.d->blank, N, x->samples,
                      j.d->zero_infinity, add);
}

/* ---- heads of detectors: convnet.h, >>yolo-loss ---- */

static const char cvncl_text_yolo[] =
    "/* g: heads, classes, boxes of a sample; sides of the image, `ignore`, the factors of box,\n"
    " * object, no_object, classes. A head: rows, columns, anchors, its first box; softmax; where\n"
    " * its anchors are, in pixels; scale_x_y, pixels a cell. */\n"
    "#define HEADS g[0]\n"
    "#define CLASSES g[1]\n"
    "#define BOXES g[2]\n"
    "#define VALUE(i) as_float(g[i])\n"
    "#define HEAD(h) (g + 10 + 9 * (h))\n"
    "#define ANCHOR(f, a, axis) VALUE(f[5] + 2 * (a) + (axis))\n"
    "\n"
    "/* The box of a sample that each truth [n, 5] belongs to; -1: it is none. */\n"
    "kernel void yolo_home(IN(truth), global int *home, const ulong home_at, INTS(g),\n"
    "                      const int n)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    int at = -1;\n"
    "    float best = -1;\n"
    "    AT(truth); AT(home); AT(g);\n"
    "    if (i >= n) return;\n"
    "    global const float *v = truth + 5 * i;\n"
    "    const float w = v[3] * VALUE(3), h = v[4] * VALUE(4);\n"
    "    for (int k = 0; v[0] >= 0 && k < HEADS; k++) {\n"
    "        global const int *f = HEAD(k);\n"
    "        const int column = min((int)(v[1] * f[1]), f[1] - 1);\n"
    "        const int row = min((int)(v[2] * f[0]), f[0] - 1);\n"
    "        for (int a = 0; a < f[2]; a++) {\n"
    "            const float aw = ANCHOR(f, a, 0), ah = ANCHOR(f, a, 1);\n"
    "            const float both = fmin(w, aw) * fmin(h, ah);\n"
    "            const float fit = both / (w * h + aw * ah - both);\n"
    "            if (fit <= best) continue;\n"
    "            best = fit;\n"
    "            at = f[3] + (a * f[0] + row) * f[1] + column;\n"
    "        }\n"
    "    }\n"
    "    home[i] = at;\n"
    "}\n"
    "\n"
    "/* A box of head f: its anchor, cell and tx, the other values `step` apart; its truth, or 0;\n"
    " * of a softmax over its classes the largest and the sum. */\n"
    "typedef struct {\n"
    "    global const int *f;\n"
    "    global const float *x, *v;\n"
    "    int anchor, row, column, step;\n"
    "    float top, sum;\n"
    "} spot;\n"
    "\n"
    "/* box b of sample s in head f; mark: number of its truth, from 1; soft: with top and sum */\n"
    "spot spot_of(global const int *g, global const int *f, global const float *x,\n"
    "             global const float *truth, int s, int b, int mark, int soft)\n"
    "{\n"
    "    const int cells = f[0] * f[1], cell = b % cells;\n"
    "    spot p = { f, x, mark > 0 ? truth + 5 * (mark - 1) : 0, b / cells, cell / f[1],\n"
    "               cell % f[1], cells, 0, 0 };\n"
    "    p.x += (size_t)(s * f[2] + p.anchor) * (5 + CLASSES) * cells + cell;\n"
    "    if (!f[4] || !soft) return p;\n"
    "    p.top = p.x[5 * cells];\n"
    "    for (int k = 1; k < CLASSES; k++) p.top = fmax(p.top, p.x[(5 + k) * cells]);\n"
    "    for (int k = 0; k < CLASSES; k++) p.sum += exp(p.x[(5 + k) * cells] - p.top);\n"
    "    return p;\n"
    "}\n"
    "\n"
    "float2 logistic(float z, float target, float factor)\n"
    "{\n"
    "    return factor * (float2)(fmax(z, 0.0f) - z * target + log1p(exp(-fabs(z))),\n"
    "                             1 / (1 + exp(-z)) - target);\n"
    "}\n"
    "\n"
    "/* Value and slope of the term of tx, ty, tw, th, to or class k - 5. */\n"
    "float2 yolo_term(global const int *g, const spot *p, int k)\n"
    "{\n"
    "    const float z = p->x[k * p->step];\n"
    "    global const float *v = p->v;\n"
    "    if (k == 4) return logistic(z, v ? 1 : 0, VALUE(v ? 7 : 8));\n"
    "    if (k > 4) {\n"
    "        const float is = k - 5 == (int)v[0] ? 1 : 0;\n"
    "        if (!p->f[4]) return logistic(z, is, VALUE(9));\n"
    "        return VALUE(9) * (float2)(is * (log(p->sum) + p->top - z),\n"
    "                                   exp(z - p->top) / p->sum - is);\n"
    "    }\n"
    "    const float factor = VALUE(6) * (2 - v[3] * v[4]);\n"
    "    if (k < 2) {\n"
    "        const float scale = as_float(p->f[6]);\n"
    "        const float offset = k ? fma(v[2], (float)p->f[0], -(float)p->row)\n"
    "                               : fma(v[1], (float)p->f[1], -(float)p->column);\n"
    "        return logistic(z, clamp((offset + (scale - 1) / 2) / scale, 0.0f, 1.0f), factor);\n"
    "    }\n"
    "    const float d = z - log(v[1 + k] * VALUE(1 + k) / ANCHOR(p->f, p->anchor, k - 2));\n"
    "    return factor * (float2)(d * d / 2, d);\n"
    "}\n";

static const char cvncl_text_yolo_loss[] =
    "/* Does what the net says of a box cover a truth by more than `ignore`? */\n"
    "int yolo_covers(global const int *g, const spot *p, global const float *truth, int truths)\n"
    "{\n"
    "    const float k = as_float(p->f[6]);\n"
    "    float side[2], at[2];\n"
    "    for (int a = 0; a < 2; a++) {\n"
    "        const float z = 1 / (1 + exp(-p->x[a * p->step])) * k - (k - 1) / 2;\n"
    "        at[a] = ((a ? p->row : p->column) + z) * as_float(p->f[7 + a]);\n"
    "        side[a] = exp(p->x[(2 + a) * p->step]) * ANCHOR(p->f, p->anchor, a);\n"
    "    }\n"
    "    for (global const float *v = truth; v < truth + 5 * truths; v += 5) {\n"
    "        float both[2];\n"
    "        if (!(v[0] >= 0)) continue;\n"
    "        for (int a = 0; a < 2; a++) {\n"
    "            const float t = v[1 + a] * VALUE(3 + a), s = v[3 + a] * VALUE(3 + a);\n"
    "            both[a] = fmin(at[a] + side[a] / 2, t + s / 2) -\n"
    "                      fmax(at[a] - side[a] / 2, t - s / 2);\n"
    "        }\n"
    "        const float I = both[0] > 0 && both[1] > 0 ? both[0] * both[1] : 0;\n"
    "        const float own = v[3] * VALUE(3) * (v[4] * VALUE(4));\n"
    "        if (I > VALUE(5) * (side[0] * side[1] + own - I)) return 1;\n"
    "    }\n"
    "    return 0;\n"
    "}\n"
    "\n"
    "/* marks and part [samples, boxes]: what each box of head h is to be (convnet.h,\n"
    " * >>yolo-loss) and its loss; each: entries of x a sample weight */\n"
    "#define YOLO_PARAMS \\\n"
    "    INTS(g), const int n, const int h, const int truths, const int each\n"
    "kernel void yolo_loss(IN(x), IN(truth), INTS(home), IN(samples), OUT(part),\n"
    "                      global int *marks, const ulong marks_at, YOLO_PARAMS)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    int mark = 0;\n"
    "    float sum = 0;\n"
    "    AT(x); AT(truth); AT(home); AT(samples); AT(part); AT(marks); AT(g);\n"
    "    if (i >= n) return;\n"
    "    global const int *f = HEAD(h);\n"
    "    const int own = f[0] * f[1] * f[2], s = i / own, b = i % own;\n"
    "    const int at = s * BOXES + f[3] + b;\n"
    "    truth += 5 * s * truths;\n"
    "    for (int t = 0; t < truths; t++) if (home[s * truths + t] == f[3] + b) mark = t + 1;\n"
    "    const spot p = spot_of(g, f, x, truth, s, b, mark, mark);\n"
    "    if (!mark && yolo_covers(g, &p, truth, truths)) mark = -1;\n"
    "    if (mark >= 0) sum = yolo_term(g, &p, 4).x;\n"
    "    for (int k = 0; mark > 0 && k < 5 + CLASSES; k++)\n"
    "        if (k != 4) sum += yolo_term(g, &p, k).x;\n"
    "    marks[at] = mark;\n"
    "    part[at] = sum * (HAS(samples) ? samples[s / each] : 1);\n"
    "}\n"
    "\n"
    "/* an item each value of head h; N: samples of the batch */\n"
    "kernel void yolo_back(IN(x), IN(truth), INTS(marks), IN(samples), IN(dy), MEM(dx),\n"
    "                      YOLO_PARAMS, const int N, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(truth); AT(marks); AT(samples); AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    global const int *f = HEAD(h);\n"
    "    const int cells = f[0] * f[1], k = i / cells % (5 + CLASSES);\n"
    "    const int box = i / cells / (5 + CLASSES), s = box / f[2];\n"
    "    const int b = box % f[2] * cells + i % cells, mark = marks[s * BOXES + f[3] + b];\n"
    "    if (mark > 0 || (mark == 0 && k == 4)) {\n"
    "        const spot p = spot_of(g, f, x, truth + 5 * s * truths, s, b, mark, k > 4);\n"
    "        sum = dy[0] / N * (HAS(samples) ? samples[s / each] : 1) * yolo_term(g, &p, k).y;\n"
    "    }\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
    "}\n";

static int cvncl_yolo_can(const cvn_net *net, const cvni_layer *l)
{
    const cvni_yolo_loss *d = (const cvni_yolo_loss *)l->desc;
    return (cvni_in(net, l, d->heads)->op->flags & CVNI_SOURCE) != 0;   /* the host checks it */
}

static void cvncl_put_float(int *table, float value) { memcpy(table, &value, sizeof value); }

static int cvncl_yolo_table(const cvn_net *net, const cvni_layer *l, int *g)
{
    const cvni_yolo_job j = cvni_yolo_job_of((cvn_net *)net, (cvni_layer *)l);
    const cvn_yolo_loss_desc *d = &j.d->d;
    const float values[7] = { j.width, j.height, d->ignore, d->box, d->object, d->no_object,
                              d->classes };
    int at = 10 + 9 * j.d->heads;
    for (int i = 0; g && i < 7; i++) cvncl_put_float(g + 3 + i, values[i]);
    if (g) {
        g[0] = j.d->heads;
        g[1] = j.grid[0].d->classes;
        g[2] = (int)j.boxes;
    }
    for (int h = 0; h < j.d->heads; h++) {
        const cvni_yolo_grid *k = &j.grid[h];
        const int head[6] = { k->H, k->W, k->d->boxes, (int)k->first, k->d->softmax, at };
        for (int a = 0; g && a < 2 * k->d->boxes; a++)
            cvncl_put_float(g + at + a, cvni_yolo_anchor(k, a / 2, a % 2));
        at += 2 * k->d->boxes;
        if (!g) continue;
        memcpy(g + 10 + 9 * h, head, sizeof head);
        cvncl_put_float(g + 10 + 9 * h + 6, k->d->scale_x_y);
        cvncl_put_float(g + 10 + 9 * h + 7, k->sx);
        cvncl_put_float(g + 10 + 9 * h + 8, k->sy);
    }
    return at;
}

/* The losses of the boxes, then the homes of the truths. */
static size_t cvncl_yolo_work(cvn_net *net, const cvni_layer *l)
{
    const cvni_yolo_job j = cvni_yolo_job_of(net, (cvni_layer *)l);
    const size_t samples = (size_t)j.grid[0].x->shape.dim[0];
    return cvni_mul_size(samples, (size_t)j.boxes + (size_t)j.truths);
}

static cvn_result cvncl_yolo_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_yolo_job j = cvni_yolo_job_of(net, l);
    cvni_layer *truth = cvni_in(net, l, j.d->heads);
    const int table = cvncl_net_of(net)->table_at[cvni_id(net, l)];
    const int N = j.grid[0].x->shape.dim[0], all = N * (int)j.boxes;
    cvn_result result = cvni_fetch(net, truth);
    for (int n = 0; n < N && result == CVN_OK; n++) result = cvni_yolo_check(&j, n);
    if (result == CVN_OK)
        result = cvncl_each(net, CVNCL_YOLO_HOME, N * j.truths, "pwti", truth->y, all, table,
                            N * j.truths);
    for (int h = 0; h < j.d->heads && result == CVN_OK; h++) {
        const int n = N * j.grid[h].d->boxes * (int)j.grid[h].cells;
        result = cvncl_each(net, CVNCL_YOLO_LOSS, n, "ppwpwptiiii", j.grid[h].x->y, truth->y, all,
                            cvncl_sample_weights(net), 0, l->saved, table, n, h, j.truths,
                            j.grid[0].x->samples);
    }
    if (result != CVN_OK) return result;
    return cvncl_groups(net, CVNCL_LOSS_MEAN, 1, "wppiif", 0, l->y, NULL, all, 1, (double)N);
}

static cvn_result cvncl_yolo_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_yolo_job j = cvni_yolo_job_of(net, l);
    const int table = cvncl_net_of(net)->table_at[cvni_id(net, l)];
    cvn_result result = CVN_OK;
    for (int h = 0; h < j.d->heads && result == CVN_OK; h++) {
        cvni_layer *x = cvni_in(net, l, h);
        const int n = (int)cvni_elements(x->shape);
        int add;
        float *dx = cvni_gradient_for(x, &add);
        if (!dx) continue;
        result = cvncl_each(net, CVNCL_YOLO_BACK, n, "pppppptiiiiii", x->y,
                            cvni_in(net, l, j.d->heads)->y, l->saved, cvncl_sample_weights(net),
                            l->dy, dx, table, n, h, j.truths, j.grid[0].x->samples,
                            x->shape.dim[0], add);
    }
    return result;
}

/* ================================================================================================
 * >>cl-optim   clipping, one step of an optimizer, averages
 * ============================================================================================== */

static const char cvncl_text_scale[] =
    "/* part[groups]: how many gradients are not finite */\n"
    "kernel void not_finite(IN(g), OUT(part), const int n)\n"
    "{\n"
    "    local float sums[WG];\n"
    "    float a = 0;\n"
    "    AT(g); AT(part);\n"
    "    for (int i = get_global_id(0); i < n; i += get_global_size(0)) a += !isfinite(g[i]);\n"
    "    a = group_sum(a, sums);\n"
    "    if (get_local_id(0) == 0) part[get_group_id(0)] = a;\n"
    "}\n"
    "\n"
    "/* number: the scale of gradients, 1 over it, the same before; whether they are finite;\n"
    " * steps since the scale was changed; steps left out. A step that is left out halves the\n"
    " * scale, `growth` others double it: Micikevicius et al., arXiv:1710.03740, section 3.2. One\n"
    " * item */\n"
    "kernel void next_scale(IN(part), MEM(number), const int groups, const float growth)\n"
    "{\n"
    "    float bad = 0;\n"
    "    AT(part); AT(number);\n"
    "    if (get_global_id(0) > 0) return;\n"
    "    for (int k = 0; k < groups; k++) bad += part[k];\n"
    "    const float steps = number[4] + 1;\n"
    "    const float factor = bad > 0 ? 0.5f : steps >= growth ? 2 : 1;\n"
    "    number[2] = number[1];\n"
    "    number[3] = bad == 0;\n"
    "    number[4] = factor == 1 ? steps : 0;\n"
    "    number[5] += bad > 0;\n"
    "    number[0] = clamp(factor * number[0], 0x1p-24f, 0x1p24f);\n"
    "    number[1] = 1 / number[0];\n"
    "}\n"
    "\n"
    "#define LEFT_OUT(number) (HAS(number) && (number)[number##_at] == 0)\n";

static const char cvncl_text_update[] =
    "/* One step of an optimizer (convnet.h, >>train-api and >>optim) over n parameters side by\n"
    " * side, and their gradients to zero; kind: cvn_optimizer_kind, factors: cvncl_update. */\n"
    "kernel void update(MEM(w), MEM(grad), MEM(s0), MEM(s1), MEM(s2), const int n,\n"
    "                   const int kind, const float lr, const float decay, const float b1,\n"
    "                   const float b2, const float eps, const float c1, const float c2,\n"
    "                   const float momentum, const float dampening, const int flag,\n"
    "                   IN(finite))\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(w); AT(grad); AT(s0); AT(s1); AT(s2);\n"
    "    if (i >= n) return;\n"
    "    const float x = w[i];\n"
    "    float g = grad[i], d, m, v;\n"
    "    grad[i] = 0;\n"
    "    if (LEFT_OUT(finite)) return;\n"
    "    if (kind != 1 && kind != 8 && kind != 9) g += decay * x;\n"
    "    switch (kind) {\n"
    "    case 0:\n"
    "    case 1:             /* Adam, AdamW; flag: amsgrad */\n"
    "        m = s0[i] = b1 * s0[i] + (1 - b1) * g;\n"
    "        v = s1[i] = b2 * s1[i] + (1 - b2) * g * g;\n"
    "        if (flag) v = s2[i] = s2[i] > v ? s2[i] : v;\n"
    "        d = lr * (m * c1) / (sqrt(v * c2) + eps) + (kind ? lr * decay * x : 0);\n"
    "        break;\n"
    "    case 2:             /* SGD; flag: Nesterov */\n"
    "        d = g;\n"
    "        if (momentum != 0) {\n"
    "            v = s0[i] = momentum * s0[i] + dampening * g;\n"
    "            d = flag ? g + c1 * v : v;\n"
    "        }\n"
    "        d *= lr;\n"
    "        break;\n"
    "    case 3:             /* AdaGrad */\n"
    "        v = s0[i] += g * g;\n"
    "        d = lr * g / (sqrt(v) + eps);\n"
    "        break;\n"
    "    case 4:             /* AdaDelta */\n"
    "        v = s1[i] = b2 * s1[i] + (1 - b2) * g * g;\n"
    "        d = g * (sqrt(s0[i] + eps) / sqrt(v + eps));\n"
    "        s0[i] = b2 * s0[i] + (1 - b2) * d * d;\n"
    "        d *= lr;\n"
    "        break;\n"
    "    case 5:             /* RMSProp; flag: centred */\n"
    "        v = s0[i] = b2 * s0[i] + (1 - b2) * g * g;\n"
    "        if (flag) {\n"
    "            m = s2[i] = b2 * s2[i] + (1 - b2) * g;\n"
    "            v = max(v - m * m, 0.0f);\n"
    "        }\n"
    "        d = g / (sqrt(v) + eps);\n"
    "        if (momentum != 0) d = s1[i] = momentum * s1[i] + d;\n"
    "        d *= lr;\n"
    "        break;\n"
    "    case 6:             /* AdaMax */\n"
    "        m = s0[i] = b1 * s0[i] + (1 - b1) * g;\n"
    "        v = s1[i] = max(b2 * s1[i], fabs(g) + eps);\n"
    "        d = lr * (m * c1) / v;\n"
    "        break;\n"
    "    case 7:             /* NAdam; momentum, dampening: factors of g and m */\n"
    "        m = s0[i] = b1 * s0[i] + (1 - b1) * g;\n"
    "        v = s1[i] = b2 * s1[i] + (1 - b2) * g * g;\n"
    "        d = lr * (momentum * g + dampening * m) / (sqrt(v * c2) + eps);\n"
    "        break;\n"
    "    default:            /* Lion */\n"
    "        m = b1 * s0[i] + (1 - b1) * g;\n"
    "        s0[i] = b2 * s0[i] + (1 - b2) * g;\n"
    "        d = lr * (m != m ? m : (float)((m > 0) - (m < 0)) + decay * x);\n"
    "    }\n"
    "    w[i] = x - d;\n"
    "}\n";

static const char cvncl_text_lamb[] =
    "/* Moments; then part [2, groups]: sums of squares of w and of the direction */\n"
    "float lamb_direction(float m, float v, float w, float c1, float c2, float eps, float decay)\n"
    "{\n"
    "    return m * c1 / (sqrt(v * c2) + eps) + decay * w;\n"
    "}\n"
    "\n"
    "kernel void lamb_sums(IN(w), IN(grad), MEM(m), MEM(v), OUT(part), const int n,\n"
    "                      const float b1, const float b2, const float c1, const float c2,\n"
    "                      const float eps, const float decay, IN(finite))\n"
    "{\n"
    "    local float sums[WG];\n"
    "    const int groups = get_num_groups(0);\n"
    "    float a = 0, b = 0;\n"
    "    AT(w); AT(grad); AT(m); AT(v); AT(part);\n"
    "    for (int i = get_global_id(0); i < n && !LEFT_OUT(finite); i += groups * WG) {\n"
    "        m[i] = b1 * m[i] + (1 - b1) * grad[i];\n"
    "        v[i] = b2 * v[i] + (1 - b2) * grad[i] * grad[i];\n"
    "        const float d = lamb_direction(m[i], v[i], w[i], c1, c2, eps, decay);\n"
    "        a += w[i] * w[i];\n"
    "        b += d * d;\n"
    "    }\n"
    "    a = group_sum(a, sums);\n"
    "    b = group_sum(b, sums);\n"
    "    if (get_local_id(0) == 0) part[get_group_id(0)] = a;\n"
    "    if (get_local_id(0) == 0) part[groups + get_group_id(0)] = b;\n"
    "}\n"
    "\n"
    "kernel void lamb_step(MEM(w), MEM(grad), IN(m), IN(v), IN(part), const int n,\n"
    "                      const int groups, const float lr, const float c1, const float c2,\n"
    "                      const float eps, const float decay, IN(finite))\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float a = 0, b = 0;\n"
    "    AT(w); AT(grad); AT(m); AT(v); AT(part);\n"
    "    if (i >= n) return;\n"
    "    for (int k = 0; k < groups; k++) a += part[k];\n"
    "    for (int k = 0; k < groups; k++) b += part[groups + k];\n"
    "    const float ratio = a > 0 && b > 0 ? sqrt(a) / sqrt(b) : 1;\n"
    "    if (!LEFT_OUT(finite))\n"
    "        w[i] -= lr * ratio * lamb_direction(m[i], v[i], w[i], c1, c2, eps, decay);\n"
    "    grad[i] = 0;\n"
    "}\n";

static const char cvncl_text_clip[] =
    "/* A NaN stays. */\n"
    "kernel void clip_value(MEM(g), const int n, const float limit)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(g);\n"
    "    if (i < n) g[i] = g[i] > limit ? limit : g[i] < -limit ? -limit : g[i];\n"
    "}\n"
    "\n"
    "kernel void square_sums(IN(g), OUT(part), const int n)\n"
    "{\n"
    "    local float sums[WG];\n"
    "    float a = 0;\n"
    "    AT(g); AT(part);\n"
    "    for (int i = get_global_id(0); i < n; i += get_global_size(0)) a += g[i] * g[i];\n"
    "    a = group_sum(a, sums);\n"
    "    if (get_local_id(0) == 0) part[get_group_id(0)] = a;\n"
    "}\n"
    "\n"
    "kernel void clip_norm(MEM(g), IN(part), const int n, const int groups, const float limit)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float norm = 0;\n"
    "    AT(g); AT(part);\n"
    "    if (i >= n) return;\n"
    "    for (int k = 0; k < groups; k++) norm += part[k];\n"
    "    norm = sqrt(norm);\n"
    "    if (!(norm <= limit)) g[i] *= limit / (norm + 1e-6f);\n"
    "}\n"
    "\n"
    "/* Averages take in the weights; from `first` on they are copies. */\n"
    "kernel void average(IN(w), MEM(ema), const int n, const int first, const float part)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(w); AT(ema);\n"
    "    if (i < n) ema[i] = i < first ? ema[i] + part * (w[i] - ema[i]) : w[i];\n"
    "}\n";

enum { CVNCL_GROWTH = 2000 };   /* steps after which the scale of gradients is doubled */

/* Whether the gradients are finite, and the scale of the next ones. */
static cvn_result cvncl_next_scale(cvn_net *net)
{
    cvncl_net *d = cvncl_net_of(net);
    const int at = cvncl_number_at(d, 0);
    cvn_result result;
    if (at < 0) return CVN_OK;
    d->stepped = 1;
    result = cvncl_groups(net, CVNCL_NOT_FINITE, CVNCL_SLICES, "pwi", net->grads, 0,
                          (int)net->trainable);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_NEXT_SCALE, 1, "wtif", 0, at, CVNCL_SLICES,
                      (double)CVNCL_GROWTH);
}

static cvn_result cvncl_clip(cvn_net *net)
{
    const cvn_optimizer *o = &net->optimizer;
    const int n = (int)net->trainable;
    cvn_result result = cvncl_next_scale(net);
    if (o->clip_value > 0 && result == CVN_OK)
        result = cvncl_each(net, CVNCL_CLIP_VALUE, n, "pif", net->grads, n, (double)o->clip_value);
    if (o->clip_norm <= 0 || result != CVN_OK) return result;
    result = cvncl_groups(net, CVNCL_SQUARE_SUMS, CVNCL_SLICES, "pwi", net->grads, 0, n);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_CLIP_NORM, n, "pwiif", net->grads, 0, n, CVNCL_SLICES,
                      (double)o->clip_norm);
}

static cvn_result cvncl_lamb(cvn_net *net, const cvni_update *u)
{
    const int n = (int)u->count, finite = cvncl_number_at(cvncl_net_of(net), CVNCL_FINITE);
    const cvn_result result =
        cvncl_groups(net, CVNCL_LAMB_SUMS, CVNCL_SLICES, "ppppwifffffft", u->w, u->g, u->s[0],
                     u->s[1], 0, n, (double)u->o->beta1, (double)u->o->beta2, (double)u->correct1,
                     (double)u->correct2, (double)u->o->eps, (double)u->decay, finite);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_LAMB_STEP, n, "ppppwiiffffft", u->w, u->g, u->s[0], u->s[1], 0, n,
                      CVNCL_SLICES, (double)u->lr, (double)u->correct1, (double)u->correct2,
                      (double)u->o->eps, (double)u->decay, finite);
}

static cvn_result cvncl_update(cvn_net *net, const cvni_update *u)
{
    const cvn_optimizer *o = u->o;
    const int n = (int)u->count;
    double c1 = (double)u->correct1;
    double momentum = (double)o->momentum;
    double dampening = 0;
    int flag = o->amsgrad;
    cvncl_changed(net, (size_t)((unsigned char *)u->w - net->arena), u->count * sizeof(float));
    if (o->kind == CVN_LAMB) return cvncl_lamb(net, u);
    if (o->kind == CVN_SGD) {           /* v begins as the gradient */
        c1 = momentum;
        dampening = u->first ? 1 : 1 - (double)o->dampening;
        flag = o->nesterov;
    }
    if (o->kind == CVN_RMSPROP) flag = o->centered;
    if (o->kind == CVN_NADAM) {
        momentum = (double)u->now;
        dampening = (double)u->next;
    }
    return cvncl_each(net, CVNCL_UPDATE, n, "pppppiifffffffffit", u->w, u->g, u->s[0], u->s[1],
                      u->s[2], n, (int)o->kind, (double)u->lr, (double)u->decay, (double)o->beta1,
                      (double)o->beta2, (double)o->eps, c1, (double)u->correct2, momentum,
                      dampening, flag, cvncl_number_at(cvncl_net_of(net), CVNCL_FINITE));
}

float cvncl_gradient_scale(cvn_net *net, int *left_out)
{
    float numbers[CVNCL_NUMBERS] = { 1, 1, 1, 1, 0, 0 };
    cvn_result result = CVN_OK;
    if (net && net->device && net->backend->take == cvncl_take &&
        cvncl_number_at(cvncl_net_of(net), 0) >= 0)
        result = cvncl_read(net, cvncl_net_of(net)->tables.memory,
                            (size_t)cvncl_net_of(net)->numbers * sizeof(float), numbers,
                            sizeof numbers);
    if (left_out) *left_out = (int)numbers[CVNCL_LEFT_OUT];
    return result == CVN_OK ? numbers[CVNCL_SCALE] : 0;
}

static cvn_result cvncl_average(cvn_net *net)
{
    const int n = (int)(net->trainable + net->running);
    return cvncl_each(net, CVNCL_AVERAGE, n, "ppiif", net->weights, net->ema, n,
                      net->ema_started ? (int)net->trainable : 0, 1 - (double)net->ema_decay);
}

/* ================================================================================================
 * >>cl-data   sets of samples on the device: batches gathered, normalised, augmented there
 * ==============================================================================================
 *   cvn_fit's sets lie on the device as they lie on the host, in pieces of whole rows. Once an
 *   epoch the host sends its order; where images are augmented each sample's record goes with it:
 *   what >>augment draws from the sample's first blocks, by the host's own functions. A step then
 *   moves nothing but its loss and output. Formulas, draws of single pixels (noise, elastic nodes):
 *   convnet.h, >>augment. The bilinear warp is in float, the host's places are in double; values of
 *   bytes are divided by 255 before they are mixed, not behind. */

enum {              /* words of a sample's record, as in the text; without augmentation the first */
    CVNCL_ROW, CVNCL_SAMPLE, CVNCL_WARP, CVNCL_TONE = CVNCL_WARP + 6, CVNCL_ERASE = CVNCL_TONE + 4,
    CVNCL_CUT = CVNCL_ERASE + 4, CVNCL_RECORD = CVNCL_CUT + 2
};

static const char cvncl_text_gather_rows[] =
    "enum { SAMPLE = 1, WARP = 2, TONE = 8, ERASE = 12, CUT = 16 };  /* as CVNCL_SAMPLE, ... */\n"
    "\n"
    "/* order: a record of `record` words for each place of the epoch, its row first. This piece\n"
    " * of the set has the rows first .. first + rows - 1. y [n] */\n"
    "#define SET \\\n"
    "    global const int *restrict order, const int record, const int at, const int first, \\\n"
    "    const int rows\n"
    "\n"
    "kernel void gather_rows(SET, global const int *restrict from, global int *restrict y,\n"
    "                        const ulong y_at, const int n, const int length)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(y);\n"
    "    if (i >= n) return;\n"
    "    const int row = order[(ulong)(at + i / length) * record] - first;\n"
    "    if (row >= 0 && row < rows) y[i] = from[(ulong)row * length + i % length];\n"
    "}\n"
    "\n"
    "kernel void old_values(IN(x), global float *restrict old, const int n)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x);\n"
    "    if (i < n) old[i] = x[i];\n"
    "}\n"
    "\n"
    "/* x [n/length, length]: of each sample its share with that of its partner, all as in `old`;\n"
    " * of planes the rows of `wide` elements from `from` on, `step` apart. high 0: everything */\n"
    "kernel void mix_samples(MEM(x), global const float *restrict old, INTS(partner),\n"
    "                        const int n, const int length, const float keep, const int plane,\n"
    "                        const int from, const int step, const int high, const int wide)\n"
    "{\n"
    "    const int i = get_global_id(0), p = i % plane - from;\n"
    "    AT(x); AT(partner);\n"
    "    if (i >= n || (high > 0 && (p < 0 || p / step >= high || p % step >= wide))) return;\n"
    "    const float other = old[(ulong)partner[i / length] * length + i % length];\n"
    "    x[i] = keep == 0 ? other : keep * x[i] + (1 - keep) * other;\n"
    "}\n"
    "\n"
    "/* table [C, 256]: normalised bytes */\n"
    "kernel void gather_bytes(SET, global const uchar *restrict from,\n"
    "                         global const float *restrict table, OUT(y), const int n,\n"
    "                         const int length, const int plane)\n"
    "{\n"
    "    const int i = get_global_id(0), e = i % length;\n"
    "    AT(y);\n"
    "    if (i >= n) return;\n"
    "    const int row = order[(ulong)(at + i / length) * record] - first;\n"
    "    if (row >= 0 && row < rows)\n"
    "        y[i] = table[e / plane * 256 + from[(ulong)row * length + e]];\n"
    "}\n";

static const char cvncl_text_augment[] =
    "/* Two normal numbers of two words, by Box and Muller; log1p where the word is near 2^32. */\n"
    "float2 normals(uint a, uint b)\n"
    "{\n"
    "    const float part = 1.0f / 4294967296.0f;\n"
    "    const float l = a >> 31 ? log1p(-(float)~a * part) : log(((float)a + 1) * part);\n"
    "    const float radius = sqrt(-2 * l), angle = 2 * ((float)b * part);\n"
    "    return (float2)(radius * cospi(angle), radius * sinpi(angle));\n"
    "}\n"
    "\n"
    "#define KEY const uint low, const uint high, const uint k0, const uint k1\n"
    "#define WORDS(sample, block) philox((uint4)(block, sample, low, high), k0, k1)\n"
    "\n"
    "/* nodes [n/count, count, 2]: displacements */\n"
    "kernel void elastic(SET, global float *restrict nodes, const int n, const int count,\n"
    "                    const float amplitude, KEY)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    if (i >= n) return;\n"
    "    const uint sample = order[(ulong)(at + i / count) * record + SAMPLE];\n"
    "    const uint4 w = WORDS(sample, 0xC0000000u + (uint)(i % count));\n"
    "    vstore2(amplitude * normals(w.x, w.y), i, nodes);\n"
    "}\n"
    "\n"
    "float to_edge(float s, int size)\n"
    "{\n"
    "    if (s < 0 && s >= -0.5f) return 0;\n"
    "    return s > size - 1 && s <= size - 0.5f ? size - 1 : s;\n"
    "}\n"
    "\n"
    "void spline(float t, float *b)\n"
    "{\n"
    "    const float s = 1 - t;\n"
    "    b[0] = s * s * s / 6;\n"
    "    b[1] = 2.0f / 3 - t * t + 0.5f * t * t * t;\n"
    "    b[2] = 2.0f / 3 - s * s + 0.5f * s * s * s;\n"
    "    b[3] = t * t * t / 6;\n"
    "}\n"
    "\n"
    "float2 displacement(int y, int x, int lines, int columns, float step,\n"
    "                    global const float *nodes)\n"
    "{\n"
    "    const int i = min((int)(y / step), lines - 4), j = min((int)(x / step), columns - 4);\n"
    "    float by[4], bx[4];\n"
    "    float2 move = 0;\n"
    "    spline(y / step - i, by);\n"
    "    spline(x / step - j, bx);\n"
    "    for (int k = 0; k < 4; k++)\n"
    "        for (int l = 0; l < 4; l++)\n"
    "            move += by[k] * bx[l] * vload2((i + k) * columns + j + l, nodes);\n"
    "    return move;\n"
    "}\n";

static const char cvncl_text_warp[] =
    "/* An image [height, width] of the set, as bytes/255 or floats. */\n"
    "float pixel_or(global const uchar *bytes, global const float *floats, int is_bytes, int y,\n"
    "               int x, int height, int width, float fill)\n"
    "{\n"
    "    if (y < 0 || x < 0 || y >= height || x >= width) return fill;\n"
    "    return is_bytes ? bytes[y * width + x] / 255.0f : floats[y * width + x];\n"
    "}\n"
    "\n"
    "/* Saturation and hue of v, red green blue. */\n"
    "void colour(float saturation, float turn, float *v)\n"
    "{\n"
    "    const float top = fmax(v[0], fmax(v[1], v[2])), bottom = fmin(v[0], fmin(v[1], v[2]));\n"
    "    const float span = top - bottom;\n"
    "    float chroma = saturation * span, angle;\n"
    "    if (!(span > 0)) return;\n"
    "    if (saturation > 1 && chroma > top) chroma = top > span ? top : span;\n"
    "    if (top == v[0]) angle = (v[1] - v[2]) / span;\n"
    "    else angle = top == v[1] ? 2 + (v[2] - v[0]) / span : 4 + (v[0] - v[1]) / span;\n"
    "    for (int c = 0; c < 3; c++) {\n"
    "        float t = 5 - 2 * c + angle + 6 * turn;\n"
    "        t -= t >= 12 ? 12 : t >= 6 ? 6 : t < 0 ? -6 : 0;\n"
    "        v[c] = top - chroma * clamp(fmin(t, 4 - t), 0.0f, 1.0f);\n"
    "    }\n"
    "}\n"
    "\n"
    "/* Geometry and colour of n pixels of all channels; lines 0: no elastic nodes. */\n"
    "kernel void augment(SET, global const uchar *bytes, global const float *floats,\n"
    "                    const int is_bytes, global const float *nodes, const int lines,\n"
    "                    const int columns, const float step, OUT(y), const int n,\n"
    "                    const int channels, const int height, const int width,\n"
    "                    const float fill, const int edge, const int tone)\n"
    "{\n"
    "    const int i = get_global_id(0), plane = height * width, s = i / plane, p = i % plane;\n"
    "    AT(y);\n"
    "    if (i >= n) return;\n"
    "    global const int *r = order + (ulong)(at + s) * record;\n"
    "    const int row = r[0] - first, py = p / width, px = p % width;\n"
    "    if (row < 0 || row >= rows) return;\n"
    "    const ulong image = (ulong)row * channels * plane;\n"
    "    global const float *f = (global const float *)(r + WARP);\n"
    "    float sx = fma(f[1], (float)px, fma(f[2], (float)py, f[0]));\n"
    "    float sy = fma(f[4], (float)px, fma(f[5], (float)py, f[3])), v[3];\n"
    "    if (lines > 0) {\n"
    "        const float2 move = displacement(py, px, lines, columns, step,\n"
    "                                         nodes + (ulong)s * lines * columns * 2);\n"
    "        sx += move.x;\n"
    "        sy += move.y;\n"
    "    }\n"
    "    if (edge) sx = to_edge(sx, width);\n"
    "    if (edge) sy = to_edge(sy, height);\n"
    "    const int inside = sx > -1 && sy > -1 && sx < width && sy < height;\n"
    "    const int x0 = inside ? (int)floor(sx) : 0, y0 = inside ? (int)floor(sy) : 0;\n"
    "    const float fx = sx - x0, fy = sy - y0;\n"
    "    for (int c = 0; c < channels; c++) {\n"
    "        const ulong from = image + c * plane;\n"
    "        float q[4];\n"
    "        for (int k = 0; k < 4; k++)\n"
    "            q[k] = pixel_or(bytes + from, floats + from, is_bytes, y0 + k / 2, x0 + k % 2,\n"
    "                            height, width, fill);\n"
    "        const float top = q[0] + fx * (q[1] - q[0]), bottom = q[2] + fx * (q[3] - q[2]);\n"
    "        const float value = inside ? top + fy * (bottom - top) : fill;\n"
    "        if (tone) v[c] = value;\n"
    "        else y[((ulong)s * channels + c) * plane + p] = value;\n"
    "    }\n"
    "    if (!tone) return;\n"
    "    f = (global const float *)(r + TONE);\n"
    "    colour(f[2], f[3], v);\n"
    "    for (int c = 0; c < 3; c++) y[((ulong)s * 3 + c) * plane + p] = v[c];\n"
    "}\n";

static const char cvncl_text_augment_end[] =
    "/* means of images of n elements, a group each */\n"
    "kernel void image_means(IN(x), global float *restrict means, const int n)\n"
    "{\n"
    "    local float sums[WG];\n"
    "    float a = 0;\n"
    "    AT(x);\n"
    "    x += (ulong)get_group_id(0) * n;\n"
    "    for (int i = get_local_id(0); i < n; i += WG) a += x[i];\n"
    "    a = group_sum(a, sums);\n"
    "    if (get_local_id(0) == 0) means[get_group_id(0)] = a / n;\n"
    "}\n"
    "\n"
    "/* What follows the colours, and the normalisation; y [n/length, channels, height, width].\n"
    " * table: behind the bytes' values means and deviations of the channels; bits: 1 contrast\n"
    " * and brightness, 2 erase with noise, 4 normalise */\n"
    "kernel void augment_end(SET, MEM(y), global const float *means,\n"
    "                        global const float *table, const int n, const int channels,\n"
    "                        const int height, const int width, const int bits,\n"
    "                        const float noise, const int cutout, const float fill, KEY)\n"
    "{\n"
    "    const int i = get_global_id(0), plane = height * width, length = channels * plane;\n"
    "    const int e = i % length, py = e % plane / width, px = e % width, c = e / plane;\n"
    "    AT(y);\n"
    "    if (i >= n) return;\n"
    "    global const int *r = order + (ulong)(at + i / length) * record;\n"
    "    global const float *f = (global const float *)(r + TONE);\n"
    "    float v = y[i];\n"
    "    if (bits & 1) v = means[i / length] + f[0] * (v - means[i / length]) + f[1];\n"
    "    if (noise > 0) {\n"
    "        const uint4 w = WORDS(r[SAMPLE], 3 + (uint)e / 4);\n"
    "        const float2 two = e % 4 < 2 ? normals(w.x, w.y) : normals(w.z, w.w);\n"
    "        v += noise * (e % 2 ? two.y : two.x);\n"
    "    }\n"
    "    if (py - r[ERASE] >= 0 && py - r[ERASE] < r[ERASE + 2] && px - r[ERASE + 1] >= 0 &&\n"
    "        px - r[ERASE + 1] < r[ERASE + 3]) {\n"
    "        v = fill;\n"
    "        if (bits & 2)\n"
    "            v = (float)(word_of(WORDS(r[SAMPLE], 0x40000000u + (uint)e / 4), e % 4) >> 8) /\n"
    "                16777216.0f;\n"
    "    }\n"
    "    if (cutout > 0 && py >= r[CUT] && (uint)(py - r[CUT]) < (uint)cutout &&\n"
    "        px >= r[CUT + 1] && (uint)(px - r[CUT + 1]) < (uint)cutout)\n"
    "        v = fill;\n"
    "    if (bits & 4) v = (v - table[channels * 256 + c]) / table[channels * 257 + c];\n"
    "    y[i] = v;\n"
    "}\n";

/* One array of a set: rows first .. first + rows - 1, `each` of them in a piece. */
enum { CVNCL_SET_PIECES = 64 };
typedef struct cvncl_array {
    cvncl_buffer piece[CVNCL_SET_PIECES];
    size_t row_bytes;
    int each;
} cvncl_array;

typedef struct cvncl_set {
    cvncl_backend *b;
    const cvn_data *data;
    cvncl_array array[4];       /* images or bytes, labels, targets, weights */
    int first, rows;
    int channels, height, width;        /* of an image, where they are augmented */
    int lines, columns;                 /* of elastic nodes, `step` pixels apart */
    double step;
    cvncl_buffer order, table, nodes, means, mixed;
    int *records;               /* [count, record], on the host */
    int record;
    uint64_t seed, epoch;
} cvncl_set;

static void cvncl_drop_set(void *set)
{
    cvncl_set *s = (cvncl_set *)set;
    for (int i = 0; i < 4 * CVNCL_SET_PIECES; i++)
        cvncl_give_back(s->b, &s->array[i / CVNCL_SET_PIECES].piece[i % CVNCL_SET_PIECES]);
    cvncl_give_back(s->b, &s->order);
    cvncl_give_back(s->b, &s->table);
    cvncl_give_back(s->b, &s->nodes);
    cvncl_give_back(s->b, &s->means);
    cvncl_give_back(s->b, &s->mixed);
    CONVNET_FREE(s->records);
    CONVNET_FREE(s);
}

/* A new buffer with `bytes` of the host, or, from NULL, with anything; 0: no room. */
static int cvncl_send(cvncl_backend *b, const void *from, size_t bytes, cvncl_buffer *to)
{
    if (bytes > b->max_alloc || bytes > cvncl_left(b)) return 0;
    if (cvncl_take_buffer(b, bytes, CVNCL_READ_WRITE, to) != 0) return 0;
    return !from || b->api.EnqueueWriteBuffer(b->queue, to->memory, 1, 0, bytes, from, 0, NULL,
                                              NULL) == 0;
}

static int cvncl_send_array(cvncl_set *s, const void *from, size_t row_bytes, cvncl_array *a)
{
    const size_t most = cvni_min_size((size_t)s->b->base.piece / row_bytes, INT_MAX);
    int piece = 0;
    a->row_bytes = row_bytes;
    a->each = (int)most;
    if (!most) return 0;
    for (int done = 0; done < s->rows; done += a->each, piece++) {
        const size_t rows = (size_t)cvni_min(s->rows - done, a->each);
        const unsigned char *p = (const unsigned char *)from +
                                 ((size_t)s->first + (size_t)done) * row_bytes;
        if (piece == CVNCL_SET_PIECES) return 0;
        if (!cvncl_send(s->b, p, rows * row_bytes, &a->piece[piece])) return 0;
    }
    return 1;
}

/* The rows of the arrays that the set has. */
static void cvncl_set_range(cvncl_set *s)
{
    size_t low = SIZE_MAX, high = 0;
    for (int i = 0; i < s->data->count; i++) {
        const size_t row = cvni_data_number(s->data, i);
        low = cvni_min_size(low, row);
        high = cvni_max_size(high, row);
    }
    s->first = (int)low;
    s->rows = (int)(high - low + 1);
}

/* The values of normalised bytes; then mean and deviation of each channel. */
static int cvncl_send_table(cvncl_set *s)
{
    const int channels = s->data->channels;
    float *table = (float *)CONVNET_MALLOC((size_t)channels * 258 * sizeof(float));
    int sent;
    if (!table) return 0;
    for (int c = 0; c < channels; c++) {
        const float std = s->data->std[c];
        cvni_byte_table(s->data->mean[c], std, table + 256 * c);
        table[256 * channels + c] = s->data->mean[c];
        table[257 * channels + c] = std != 0 ? std : 1;
    }
    sent = cvncl_send(s->b, table, (size_t)channels * 258 * sizeof(float), &s->table);
    CONVNET_FREE(table);
    return sent;
}

/* Which array an input is gathered from. */
static int cvncl_array_of(const cvni_layer *l)
{
    return !l ? 3 : l->is_int ? 1 : l->op == &cvni_op_target ? 2 : 0;
}

static const void *cvncl_array_at(const cvn_data *d, int i)
{
    const void *at[4];
    at[0] = d->bytes ? (const void *)d->bytes : (const void *)d->images;
    at[1] = d->labels;
    at[2] = d->targets;
    at[3] = d->weights;
    return at[i];
}

/* Lines and columns of elastic nodes for images of the set; 0: none. */
static void cvncl_set_nodes(cvncl_set *s)
{
    const cvn_augment *a = s->data->augment;
    const double sigma = a->elastic_sigma != 0 ? (double)a->elastic_sigma : 4.0;
    if (a->elastic == 0) return;
    s->step = sqrt(3.0) * sigma;
    s->lines = (int)((s->height - 1) / s->step) + 4;
    s->columns = (int)((s->width - 1) / s->step) + 4;
}

/* The augmentation's own memory, for batches of the net's size. */
static int cvncl_send_room(const cvn_net *net, cvncl_set *s)
{
    const size_t batch = (size_t)net->max_batch;
    const size_t nodes = cvni_mul_size(cvni_mul_size((size_t)s->lines, (size_t)s->columns), batch);
    if (!cvncl_send(s->b, NULL, batch * sizeof(float), &s->means)) return 0;
    if (!nodes) return 1;
    return nodes <= INT_MAX && cvncl_send(s->b, NULL, nodes * 2 * sizeof(float), &s->nodes);
}

/* Room for the largest float input or target, as it is before it is mixed. */
static int cvncl_send_mixed(const cvn_net *net, cvncl_set *s)
{
    size_t floats = 1;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        if (!(l->op->flags & CVNI_SOURCE) || l->is_int || !l->y) continue;
        floats = cvni_max_size(floats, cvni_batch_elements(l) * (size_t)net->max_batch);
    }
    return cvncl_send(s->b, NULL, cvni_mul_size(floats, sizeof(float)), &s->mixed);
}

static int cvncl_fill_set(cvn_net *net, cvncl_set *s)
{
    const cvn_data *d = s->data;
    const size_t bytes = cvni_mul_size((size_t)d->count, (size_t)s->record * sizeof(int));
    cvncl_set_range(s);
    s->records = (int *)CONVNET_MALLOC(bytes);
    if (!s->records || !cvncl_send(s->b, NULL, bytes, &s->order)) return 0;
    if (d->bytes && !cvncl_send_table(s)) return 0;
    if (d->weights && !cvncl_send_array(s, d->weights, sizeof(float), &s->array[3])) return 0;
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const int i = cvncl_array_of(l);
        const size_t bytes_each = i || !d->bytes ? sizeof(float) : 1;
        if (!(l->op->flags & CVNI_SOURCE) || !l->y || s->array[i].each) continue;
        if (!cvncl_array_at(d, i)) continue;
        if (!cvncl_send_array(s, cvncl_array_at(d, i), cvni_batch_elements(l) * bytes_each,
                              &s->array[i]))
            return 0;
    }
    return s->record == 1 || cvncl_send_room(net, s);
}

static cvn_result cvncl_put_order(cvn_net *net, void *set, const int *order, uint64_t seed,
                              uint64_t epoch);

static void *cvncl_keep(cvn_net *net, const cvn_data *data, int training, int mixes)
{
    cvncl_set *s = (cvncl_set *)CONVNET_MALLOC(sizeof *s);
    char text[200];
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    s->b = cvncl_of(net);
    s->data = data;
    s->record = 1;
    if (training && data->augment && cvni_first_input(net)) {
        cvni_gather_job size;
        cvni_image_size(data, cvni_first_input(net), &size);
        s->record = CVNCL_RECORD;
        s->channels = size.channels;
        s->height = size.height;
        s->width = size.width;
        cvncl_set_nodes(s);
    }
    if (cvncl_need(net, CVNCL_PROGRAM_DATA, 0) == CVN_OK && cvncl_fill_set(net, s) &&
        (!mixes || cvncl_send_mixed(net, s)) &&
        cvncl_put_order(net, s, NULL, 0, 0) == CVN_OK)
        return s;
    cvncl_drop_set(s);
    snprintf(text, sizeof text, "the %d samples find no room on the device (%.0f of %.0f MiB are "
             "taken): batches are sent one by one", data->count, cvncl_mib(cvncl_of(net)->taken),
             cvncl_mib(cvncl_of(net)->memory));
    cvni_warn(net, text);
    return NULL;
}

/* ---- records ---- */

typedef struct cvncl_record_job {
    cvncl_set *s;
    const int *order;           /* or NULL */
} cvncl_record_job;

static void cvncl_put_floats(int *to, const double *values, int n)
{
    for (int i = 0; i < n; i++) {
        const float value = (float)values[i];
        memcpy(to + i, &value, sizeof value);
    }
}

/* What is drawn for one sample; warp: where pixel (y, x) reads, as c + a*x + b*y, for x and for
 * y. */
static void cvncl_record(const cvncl_set *s, uint32_t sample, int *r)
{
    const cvn_augment *a = s->data->augment;
    cvni_augment_key key;
    cvni_augment_draw d;
    cvni_image image;
    cvni_warp p[2];
    double warp[6], tone[4];
    key.seed = s->seed;
    key.epoch = s->epoch;
    key.sample = sample;
    d = cvni_draw_augment(a, &key, s->height, s->width);
    memset(&image, 0, sizeof image);
    memset(p, 0, sizeof p);
    image.height = s->height;
    image.width = s->width;
    for (int y = 0; y < 2; y++) {
        p[y].in = &image;
        cvni_warp_row(&d, y, &p[y]);
    }
    warp[0] = p[0].sx;
    warp[1] = p[0].step_x;
    warp[2] = p[1].sx - p[0].sx;
    warp[3] = p[0].sy;
    warp[4] = p[0].step_y;
    warp[5] = p[1].sy - p[0].sy;
    tone[0] = (double)d.contrast;
    tone[1] = (double)d.brightness;
    tone[2] = (double)d.saturation;
    tone[3] = (double)d.turn;
    memcpy(r + CVNCL_SAMPLE, &sample, sizeof sample);
    cvncl_put_floats(r + CVNCL_WARP, warp, 6);
    cvncl_put_floats(r + CVNCL_TONE, tone, 4);
    r[CVNCL_ERASE] = d.erase.top;
    r[CVNCL_ERASE + 1] = d.erase.left;
    r[CVNCL_ERASE + 2] = d.erase.height;
    r[CVNCL_ERASE + 3] = d.erase.width;
    r[CVNCL_CUT] = d.cut_y;
    r[CVNCL_CUT + 1] = d.cut_x;
}

static void cvncl_records(void *context, int begin, int end, int worker)
{
    const cvncl_record_job *j = (const cvncl_record_job *)context;
    (void)worker;
    for (int i = begin; i < end; i++) {
        const size_t number = cvni_data_number(j->s->data, j->order ? j->order[i] : i);
        int *r = j->s->records + (size_t)i * (size_t)j->s->record;
        r[CVNCL_ROW] = (int)(number - (size_t)j->s->first);
        if (j->s->record > 1) cvncl_record(j->s, (uint32_t)number, r);
    }
}

static cvn_result cvncl_put_order(cvn_net *net, void *set, const int *order, uint64_t seed,
                              uint64_t epoch)
{
    cvncl_set *s = (cvncl_set *)set;
    const int count = s->data->count;
    const size_t bytes = (size_t)count * (size_t)s->record * sizeof(int);
    cvncl_record_job j;
    int32_t status;
    s->seed = seed;
    s->epoch = epoch;
    j.s = s;
    j.order = order;
    cvni_parallel_for(net, count, (double)count * (s->record > 1 ? 3000 : 3), cvncl_records, &j);
    status = s->b->api.EnqueueWriteBuffer(s->b->queue, s->order.memory, 1, 0, bytes, s->records, 0,
                                          NULL, NULL);
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueWriteBuffer", status);
}

/* ---- a batch ---- */

#define CVNCL_SET_FORMAT "biiii"

/* Every piece of the set fills in the samples that it has. */
static cvn_result cvncl_gather_plain(cvn_net *net, const cvncl_set *s, int i, float *to, int at,
                                     int n)
{
    const cvncl_array *a = &s->array[i];
    const int bytes = i == 0 && s->data->bytes;
    const int length = (int)(a->row_bytes / (bytes ? 1 : sizeof(float)));
    cvn_result result = CVN_OK;
    for (int p = 0; p * (int64_t)a->each < s->rows && result == CVN_OK; p++) {
        const int first = p * a->each;
        const int rows = cvni_min(a->each, s->rows - first);
        if (bytes)
            result = cvncl_each(net, CVNCL_GATHER_BYTES, n * length, CVNCL_SET_FORMAT "bbpiii",
                                s->order.memory, s->record, at, first, rows, a->piece[p].memory,
                                s->table.memory, to, n * length, length,
                                length / s->data->channels);
        else
            result = cvncl_each(net, CVNCL_GATHER_ROWS, n * length, CVNCL_SET_FORMAT "bpii",
                                s->order.memory, s->record, at, first, rows, a->piece[p].memory,
                                to, n * length, length);
    }
    return result;
}

static cvn_result cvncl_gather_augmented(cvn_net *net, const cvncl_set *s, cvni_layer *l, int at,
                                         int n)
{
    const cvn_augment *g = s->data->augment;
    const cvncl_array *a = &s->array[0];
    const int bytes = s->data->bytes != NULL;
    const int tones = g->contrast != 0 || g->brightness != 0;
    const unsigned k0 = (unsigned)(s->seed & 0xFFFFFFFFu);
    const unsigned k1 = (unsigned)(s->seed >> 32);
    void *const nodes = s->nodes.memory ? s->nodes.memory : s->order.memory;
    void *const table = s->table.memory ? s->table.memory : s->order.memory;
    cvn_result result = CVN_OK;
    const int plane = s->height * s->width;
    const int all = n * s->channels * plane;
    uint32_t c[4];
    cvni_random_counter(CVNI_STREAM_AUGMENT, s->epoch, 0, 0, c);
    if (s->lines) {
        const int count = s->lines * s->columns;
        result = cvncl_each(net, CVNCL_ELASTIC, n * count, CVNCL_SET_FORMAT "biifuuuu",
                            s->order.memory, s->record, at, 0, s->rows, nodes, n * count, count,
                            (double)g->elastic * (315.0 / 151.0), c[2], c[3], k0, k1);
    }
    for (int p = 0; p * (int64_t)a->each < s->rows && result == CVN_OK; p++)
        result = cvncl_each(net, CVNCL_AUGMENT, n * plane, CVNCL_SET_FORMAT "bbibiifpiiiifii",
                            s->order.memory, s->record, at, p * a->each,
                            cvni_min(a->each, s->rows - p * a->each), a->piece[p].memory,
                            a->piece[p].memory, bytes, nodes, s->lines, s->columns, s->step, l->y,
                            n * plane, s->channels, s->height, s->width, (double)g->fill,
                            g->crop_scale_min > 0,
                            s->channels == 3 && (g->saturation != 0 || g->hue != 0));
    if (tones && result == CVN_OK)
        result = cvncl_groups(net, CVNCL_IMAGE_MEANS, n, "pbi", l->y, s->means.memory,
                              s->channels * plane);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_AUGMENT_END, all, CVNCL_SET_FORMAT "pbbiiiiififuuuu",
                      s->order.memory, s->record, at, 0, s->rows, l->y, s->means.memory, table,
                      all, s->channels, s->height, s->width,
                      tones | (g->erase_noise ? 2 : 0) | (bytes ? 4 : 0),
                      (double)g->noise, g->cutout, (double)g->fill, c[2], c[3], k0, k1);
}

static cvn_result cvncl_gather_batch(cvn_net *net, void *set, cvni_layer *l, int at, int n)
{
    const cvncl_set *s = (const cvncl_set *)set;
    const int i = cvncl_array_of(l);
    if (!s->array[i].each) return CVN_OK;
    if (i == 0 && s->record > 1) return cvncl_gather_augmented(net, s, l, at, n);
    return cvncl_gather_plain(net, s, i, l ? l->y : net->sample_weights, at, n);
}

/* A batch of the set, as the host would mix it (>>mix). The partners go by pinned memory, which is
 * free again when the results of the step have come. */
static cvn_result cvncl_mix(cvn_net *net, void *set, const cvni_mix_job *j)
{
    const cvncl_set *s = (const cvncl_set *)set;
    cvncl_net *d = cvncl_net_of(net);
    const size_t at = (size_t)((unsigned char *)net->partner - net->arena);
    const int n = j->n * (int)j->sample;
    int *partner = (int *)(void *)d->landing;
    cvn_result result;
    int32_t status;
    for (int i = 0; i < j->n; i++)
        partner[i] = j->partner[i] < 0 ? ~j->partner[i] : j->partner[i];
    status = d->b->api.EnqueueWriteBuffer(d->b->queue, cvncl_piece(d, at), 0,
                                          at % d->b->base.piece, (size_t)j->n * sizeof(int),
                                          partner, 0, NULL, NULL);
    if (status != 0) return cvncl_fail(net, "clEnqueueWriteBuffer", status);
    result = cvncl_each(net, CVNCL_OLD, n, "pbi", j->x, s->mixed.memory, n);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_MIX, n, "pbpiifiiiii", j->x, s->mixed.memory, net->partner, n,
                      (int)j->sample, (double)j->keep, (int)j->plane, (int)j->first, (int)j->step,
                      j->length ? j->rows : 0, j->length);
}

/* ================================================================================================
 * >>cl-table   which layers the device has
 * ============================================================================================== */

/* One row a kind of layer. */
struct cvncl_row {
    const cvni_op *op;
    int program;
    cvn_result (*forward)(cvn_net *net, cvni_layer *l);
    cvn_result (*backward)(cvn_net *net, cvni_layer *l);
    int (*can)(const cvn_net *net, const cvni_layer *l);        /* NULL: always */
    /* ints of constant data, which are written where table is not NULL; NULL: none */
    int (*table)(const cvn_net *net, const cvni_layer *l, int *table);
    size_t (*work)(cvn_net *net, const cvni_layer *l);          /* floats; NULL: none */
};

#define CVNCL_CONV_ROW(i) { &cvni_op_conv[i], CVNCL_PROGRAM_CONV, cvncl_conv_forward, \
                            cvncl_conv_backward, NULL, cvncl_conv_table, cvncl_conv_work }
#define CVNCL_POOL_ROW(op, kind) { &cvni_op_##op, CVNCL_PROGRAM_POOL, cvncl_##kind##_forward, \
                                   cvncl_##kind##_backward, NULL, cvncl_pool_table, NULL }
#define CVNCL_MAP_ROW(op) { &cvni_op_##op, CVNCL_PROGRAM_MAP, cvncl_map_forward, \
                            cvncl_map_backward, NULL, NULL, NULL }
#define CVNCL_LAYER_ROW(op, kind) { &cvni_op_##op, CVNCL_PROGRAM_LAYERS, cvncl_##kind##_forward, \
                                    cvncl_##kind##_backward, NULL, NULL, NULL }
#define CVNCL_BINARY_ROW(op) { &cvni_op_##op, CVNCL_PROGRAM_LAYERS, cvncl_binary_forward, \
                               cvncl_binary_backward, NULL, cvncl_binary_table, NULL }
#define CVNCL_PAIR_ROW(name) { &cvni_##name##_loss.op, CVNCL_PROGRAM_LOSS, cvncl_pair_forward, \
                               cvncl_pair_backward, NULL, NULL, cvncl_pair_work }

#define CVNCL_NORM_ROW(op, kind) { &cvni_op_##op, CVNCL_PROGRAM_NORM, cvncl_##kind##_forward, \
                                   cvncl_##kind##_backward, NULL, NULL, NULL }
#define CVNCL_SHAPE_ROW(op, kind) { &cvni_op_##op, CVNCL_PROGRAM_SHAPE, cvncl_##kind##_forward, \
                                    cvncl_##kind##_backward, NULL, cvncl_##kind##_table, NULL }
#define CVNCL_REDUCE_ROW(kind) { &cvni_op_reduce_##kind, CVNCL_PROGRAM_SHAPE, \
                                 cvncl_reduce_forward, cvncl_reduce_backward, NULL, \
                                 cvncl_reduce_table, NULL }

#define CVNCL_SELECT_ROW(op) CVNCL_ROW(op, GATHER, select, select, cvncl_select_table, NULL)
#define CVNCL_GATHER_ROW(op, kind) \
    CVNCL_ROW(op, GATHER, kind, kind, cvncl_gather_table, cvncl_gather_work)
#define CVNCL_TOPK_ROW(result) { &cvni_topk_ops[CVNI_TOPK_##result], CVNCL_PROGRAM_GATHER, \
                                 cvncl_topk_forward, cvncl_topk_backward, NULL, NULL, NULL }
#define CVNCL_OPERATION_ROW(kind) { &cvni_operation_ops[CVNI_##kind], CVNCL_PROGRAM_LAYERS, \
                                    cvncl_binary_forward, cvncl_binary_backward, NULL, \
                                    cvncl_binary_table, NULL }
#define CVNCL_FUNCTION_ROW(kind) { &cvni_function_ops[CVNI_##kind], CVNCL_PROGRAM_MAP, \
                                   cvncl_map_forward, cvncl_map_backward, NULL, NULL, NULL }
#define CVNCL_ROW_LOSS_ROW(name) { &cvni_##name##_loss.op, CVNCL_PROGRAM_LOSSES, \
                                   cvncl_row_forward, cvncl_row_backward, NULL, NULL, \
                                   cvncl_row_work }
#define CVNCL_ROW(op, program, forward, backward, table, work) \
    { &cvni_op_##op, CVNCL_PROGRAM_##program, cvncl_##forward##_forward, \
      cvncl_##backward##_backward, NULL, table, work }

static const cvncl_row cvncl_rows[] = {
    CVNCL_CONV_ROW(0), CVNCL_CONV_ROW(1), CVNCL_CONV_ROW(2), CVNCL_CONV_ROW(3), CVNCL_CONV_ROW(4),
    CVNCL_CONV_ROW(5),
    { &cvni_op_dense, CVNCL_PROGRAM_GEMM, cvncl_dense_forward, cvncl_dense_backward, NULL, NULL,
      cvncl_dense_work },
    CVNCL_POOL_ROW(maxpool, maxpool), CVNCL_POOL_ROW(global_maxpool, maxpool),
    CVNCL_POOL_ROW(adaptive_maxpool, maxpool), CVNCL_POOL_ROW(maxpool_indices, maxpool),
    CVNCL_POOL_ROW(avgpool, avgpool), CVNCL_POOL_ROW(global_avgpool, avgpool),
    CVNCL_POOL_ROW(adaptive_avgpool, avgpool),
    CVNCL_POOL_ROW(lppool, lppool), CVNCL_POOL_ROW(global_lppool, lppool),
    { &cvni_op_batchnorm, CVNCL_PROGRAM_NORM, cvncl_norm_forward, cvncl_norm_backward, NULL, NULL,
      cvncl_norm_work },
    CVNCL_MAP_ROW(relu), CVNCL_MAP_ROW(leaky_relu), CVNCL_MAP_ROW(relu6), CVNCL_MAP_ROW(elu),
    CVNCL_MAP_ROW(sigmoid), CVNCL_MAP_ROW(tanh), CVNCL_MAP_ROW(selu), CVNCL_MAP_ROW(celu),
    CVNCL_MAP_ROW(hardsigmoid), CVNCL_MAP_ROW(gelu), CVNCL_MAP_ROW(gelu_tanh), CVNCL_MAP_ROW(silu),
    CVNCL_MAP_ROW(mish), CVNCL_MAP_ROW(hardswish), CVNCL_MAP_ROW(softplus), CVNCL_MAP_ROW(softsign),
    CVNCL_MAP_ROW(binary_step), CVNCL_MAP_ROW(exp), CVNCL_MAP_ROW(log), CVNCL_MAP_ROW(sqrt),
    CVNCL_MAP_ROW(square), CVNCL_MAP_ROW(abs), CVNCL_MAP_ROW(neg), CVNCL_MAP_ROW(scale),
    CVNCL_MAP_ROW(clip), CVNCL_MAP_ROW(pow),
    { &cvni_op_prelu, CVNCL_PROGRAM_MAP, cvncl_prelu_forward, cvncl_prelu_backward, NULL, NULL,
      cvncl_prelu_work },
    CVNCL_LAYER_ROW(flatten, view), CVNCL_LAYER_ROW(reshape, view),
    CVNCL_LAYER_ROW(flatten_batch, view), CVNCL_LAYER_ROW(unflatten_batch, view),
    { &cvni_op_stop_gradient, CVNCL_PROGRAM_LAYERS, cvncl_view_forward, NULL, NULL, NULL, NULL },
    { &cvni_op_gradient_reversal, CVNCL_PROGRAM_LAYERS, cvncl_view_forward,
      cvncl_reversal_backward, NULL, NULL, NULL },
    CVNCL_LAYER_ROW(slice, slice),
    CVNCL_LAYER_ROW(concat, concat), CVNCL_LAYER_ROW(softmax, softmax),
    CVNCL_LAYER_ROW(log_softmax, softmax), CVNCL_LAYER_ROW(dropout, dropout),
    CVNCL_LAYER_ROW(spatial_dropout, dropout), CVNCL_LAYER_ROW(drop_path, dropout),
    CVNCL_BINARY_ROW(add), CVNCL_BINARY_ROW(sub), CVNCL_BINARY_ROW(mul), CVNCL_BINARY_ROW(div),
    CVNCL_BINARY_ROW(maximum), CVNCL_BINARY_ROW(minimum),
    CVNCL_NORM_ROW(layernorm, gnorm), CVNCL_NORM_ROW(instancenorm, gnorm),
    CVNCL_NORM_ROW(groupnorm, gnorm), CVNCL_NORM_ROW(l2norm, l2norm),
    CVNCL_SHAPE_ROW(upsample_nearest, resize), CVNCL_SHAPE_ROW(upsample_bilinear, resize),
    CVNCL_SHAPE_ROW(pad, resize), CVNCL_SHAPE_ROW(crop, resize), CVNCL_SHAPE_ROW(permute, permute),
    { &cvni_op_pixel_shuffle, CVNCL_PROGRAM_SHAPE, cvncl_permute_forward, cvncl_permute_backward,
      NULL, cvncl_shuffle_table, NULL },
    { &cvni_op_glu, CVNCL_PROGRAM_SHAPE, cvncl_gated_forward, cvncl_gated_backward, NULL, NULL,
      NULL },
    { &cvni_op_maxout, CVNCL_PROGRAM_SHAPE, cvncl_gated_forward, cvncl_gated_backward, NULL, NULL,
      NULL },
    CVNCL_REDUCE_ROW(sum), CVNCL_REDUCE_ROW(mean), CVNCL_REDUCE_ROW(max), CVNCL_REDUCE_ROW(min),
    CVNCL_REDUCE_ROW(prod),
    { &cvni_op_softmax_loss, CVNCL_PROGRAM_LOSS, cvncl_softmax_loss_forward,
      cvncl_softmax_loss_backward, NULL, cvncl_label_table, cvncl_label_work },
    CVNCL_PAIR_ROW(mse), CVNCL_PAIR_ROW(bce), CVNCL_PAIR_ROW(mae), CVNCL_PAIR_ROW(huber),
    CVNCL_PAIR_ROW(smooth_l1), CVNCL_PAIR_ROW(msle), CVNCL_PAIR_ROW(hinge), CVNCL_PAIR_ROW(kl),
    CVNCL_ROW(matmul, BATCH, matmul, matmul, NULL, NULL),
#ifndef CONVNET_NO_SEQUENCES
    CVNCL_ROW(attention, BATCH, attention, attention, NULL, cvncl_attention_work),
    CVNCL_ROW(mha, BATCH, mha, mha, NULL, cvncl_attention_work),
    CVNCL_ROW(rnn, SEQUENCE, rnn, rnn, NULL, NULL),
    CVNCL_ROW(lstm, SEQUENCE, rnn, rnn, NULL, NULL),
    CVNCL_ROW(gru, SEQUENCE, rnn, rnn, NULL, NULL),
    CVNCL_ROW(rnn_state, SEQUENCE, rnn_state, rnn_state, NULL, NULL),
#endif
    CVNCL_ROW(embedding, SEQUENCE, embedding, embedding, NULL, cvncl_embedding_work),
    CVNCL_ROW(parameter, SEQUENCE, parameter, parameter, NULL, NULL),
    CVNCL_ROW(constant, SEQUENCE, parameter, parameter, NULL, NULL),
    CVNCL_ROW(posenc, SEQUENCE, posenc, view, cvncl_posenc_table, NULL),
    CVNCL_ROW(posemb, SEQUENCE, posemb, posemb, NULL, NULL),
    CVNCL_ROW(gaussian_noise, SEQUENCE, noise, view, NULL, NULL),
    CVNCL_ROW(reparameterize, SEQUENCE, noise, reparameterize, NULL, NULL),
    CVNCL_PAIR_ROW(focal),
    { &cvni_nll_loss.op, CVNCL_PROGRAM_LOSS, cvncl_label_forward, cvncl_label_backward, NULL,
      cvncl_label_table, cvncl_label_work },
    { &cvni_multi_margin_loss.op, CVNCL_PROGRAM_LOSS, cvncl_label_forward, cvncl_label_backward,
      NULL, cvncl_label_table, cvncl_label_work },
    CVNCL_ROW_LOSS_ROW(iou), CVNCL_ROW_LOSS_ROW(giou), CVNCL_ROW_LOSS_ROW(triplet),
    CVNCL_ROW_LOSS_ROW(contrastive), CVNCL_ROW_LOSS_ROW(vae),
    CVNCL_ROW(dice_loss, LOSSES, dice, dice, NULL, cvncl_dice_work),
    CVNCL_ROW(total_variation, LOSSES, variation, variation, NULL, cvncl_pair_work),
    CVNCL_ROW(soft_cross_entropy, LOSSES, soft, soft, NULL, cvncl_pair_work),
    CVNCL_ROW(mean_loss, LOSS, mean_loss, mean_loss, NULL, cvncl_pair_work),
    CVNCL_ROW(l1_penalty, LOSS, penalty, penalty, NULL, cvncl_penalty_work),
    CVNCL_ROW(l2_penalty, LOSS, penalty, penalty, NULL, cvncl_penalty_work),
    CVNCL_ROW(orthogonality, LOSSES, orthogonality, orthogonality, NULL, cvncl_orthogonality_work),
    CVNCL_ROW(ctc_loss, LOSSES, ctc, ctc, NULL, cvncl_ctc_work),
    { &cvni_op_yolo_loss, CVNCL_PROGRAM_LOSSES, cvncl_yolo_forward, cvncl_yolo_backward,
      cvncl_yolo_can, cvncl_yolo_table, cvncl_yolo_work },
    CVNCL_SELECT_ROW(slice_step), CVNCL_SELECT_ROW(tile), CVNCL_SELECT_ROW(pad_axes),
    CVNCL_SELECT_ROW(index_select), CVNCL_SELECT_ROW(interpolate_nearest),
    CVNCL_ROW(interpolate, GATHER, resample, resample, cvncl_resample_table, NULL),
    CVNCL_TOPK_ROW(VALUES), CVNCL_TOPK_ROW(INDICES), CVNCL_TOPK_ROW(HARDMAX),
    CVNCL_ROW(cumsum, GATHER, cumsum, cumsum, NULL, NULL),
    CVNCL_GATHER_ROW(take, gather), CVNCL_GATHER_ROW(gather, gather),
    CVNCL_GATHER_ROW(gather_nd, gather), CVNCL_GATHER_ROW(reverse_sequence, gather),
    CVNCL_GATHER_ROW(scatter, scatter), CVNCL_GATHER_ROW(scatter_nd, scatter),
    CVNCL_GATHER_ROW(scatter_reduce, scatter),
    { &cvni_op_one_hot, CVNCL_PROGRAM_GATHER, cvncl_one_hot_forward, NULL, NULL, NULL, NULL },
#if !defined(CONVNET_NO_ONNX) && !defined(CONVNET_NO_SEQUENCES)
    { &cvni_op_as_labels, CVNCL_PROGRAM_GATHER, cvncl_as_labels_forward, NULL, NULL, NULL, NULL },
#endif
#ifndef CONVNET_NO_ONNX
    { &cvni_op_places, CVNCL_PROGRAM_GATHER, cvncl_places_forward, NULL, NULL, NULL, NULL },
#endif
    { &cvni_op_nms, CVNCL_PROGRAM_GATHER, cvncl_nms_forward, NULL, NULL, NULL, cvncl_nms_work },
    CVNCL_LAYER_ROW(yolo, view),
    CVNCL_ROW(maxunpool, GATHER, unpool, unpool, NULL, NULL),
    CVNCL_ROW(lrn, GATHER, lrn, lrn, NULL, cvncl_lrn_work),
    CVNCL_ROW(roi_align, PLACES, roi, roi, NULL, cvncl_roi_work),
    CVNCL_ROW(grid_sample, PLACES, grid, grid, NULL, cvncl_grid_work),
    CVNCL_ROW(where, LAYERS, where, where, cvncl_where_table, NULL),
    CVNCL_OPERATION_ROW(POWER), CVNCL_OPERATION_ROW(REMAINDER), CVNCL_OPERATION_ROW(FMOD),
    CVNCL_OPERATION_ROW(PRELU), CVNCL_OPERATION_ROW(QUANTIZE), CVNCL_OPERATION_ROW(EQUAL),
    CVNCL_OPERATION_ROW(GREATER), CVNCL_OPERATION_ROW(GREATER_EQUAL), CVNCL_OPERATION_ROW(AND),
    CVNCL_OPERATION_ROW(OR), CVNCL_OPERATION_ROW(XOR),
    CVNCL_FUNCTION_ROW(RECIPROCAL), CVNCL_FUNCTION_ROW(ERF), CVNCL_FUNCTION_ROW(SIN),
    CVNCL_FUNCTION_ROW(COS), CVNCL_FUNCTION_ROW(TAN), CVNCL_FUNCTION_ROW(ASIN),
    CVNCL_FUNCTION_ROW(ACOS), CVNCL_FUNCTION_ROW(ATAN), CVNCL_FUNCTION_ROW(SINH),
    CVNCL_FUNCTION_ROW(COSH), CVNCL_FUNCTION_ROW(ASINH), CVNCL_FUNCTION_ROW(ACOSH),
    CVNCL_FUNCTION_ROW(ATANH), CVNCL_FUNCTION_ROW(THRESHOLD), CVNCL_FUNCTION_ROW(SHRINK),
    CVNCL_FUNCTION_ROW(QUANTIZED), CVNCL_FUNCTION_ROW(ROUNDED), CVNCL_FUNCTION_ROW(FLOOR),
    CVNCL_FUNCTION_ROW(CEIL), CVNCL_FUNCTION_ROW(ROUND), CVNCL_FUNCTION_ROW(TRUNC),
    CVNCL_FUNCTION_ROW(SIGN), CVNCL_FUNCTION_ROW(IS_NAN), CVNCL_FUNCTION_ROW(IS_INF),
    CVNCL_FUNCTION_ROW(NOT), CVNCL_FUNCTION_ROW(WRAPPED)
};
enum { CVNCL_ROWS = sizeof cvncl_rows / sizeof cvncl_rows[0] };

/* Does a layer work in either order, that of its inputs, and with narrow images (>>cl-memory)?
 * Pools, elementwise functions, prelu, resizing, dropout, arithmetic, where; concat of channels. */
static int cvncl_follows(const cvn_net *net, const cvni_layer *l)
{
    const cvncl_row *row = &cvncl_rows[cvncl_find(net, l) - 1];
    if (l->is_int) return 0;
    if (l->op == &cvni_op_concat) return ((const cvni_concat_desc *)l->desc)->axis == 1;
    return row->program == CVNCL_PROGRAM_POOL || row->program == CVNCL_PROGRAM_MAP ||
           row->forward == cvncl_resize_forward || row->forward == cvncl_dropout_forward ||
           row->forward == cvncl_binary_forward || row->forward == cvncl_where_forward;
}

static const cvncl_program cvncl_programs[CVNCL_PROGRAMS] = {
    { "gemm", 0, { NULL } },            /* kernel by kernel: cvncl_get_built */
    { "conv", 0, { cvncl_text_common, cvncl_text_slices, cvncl_text_conv_common,
                   cvncl_text_conv_order, cvncl_text_depthwise } },
    { "pool", 0, { cvncl_text_common, cvncl_text_pool, cvncl_text_avgpool, cvncl_text_lppool } },
    { "norm", 0, { cvncl_text_common, cvncl_text_norm, cvncl_text_norm_back, cvncl_text_gnorm,
                   cvncl_text_l2norm } },
    { "map", 0, { cvncl_text_common, cvncl_text_functions, cvncl_text_map, cvncl_text_map_slope,
                  cvncl_text_prelu } },
    { "layers", 0, { cvncl_text_common, cvncl_text_slices, cvncl_text_product_sum,
                     cvncl_text_copy, cvncl_text_place, cvncl_text_operations,
                     cvncl_text_binary, cvncl_text_softmax, cvncl_text_philox,
                     cvncl_text_dropout } },
    { "shape", 0, { cvncl_text_common, cvncl_text_resize, cvncl_text_permute, cvncl_text_place,
                    cvncl_text_reduce } },
    { "loss", 0, { cvncl_text_common, cvncl_text_label_loss, cvncl_text_label_loss_back,
                   cvncl_text_labels, cvncl_text_pair_loss } },
    { "optim", 0, { cvncl_text_common, cvncl_text_scale, cvncl_text_update, cvncl_text_lamb,
                    cvncl_text_clip } },
    { "data", 0, { cvncl_text_common, cvncl_text_philox, cvncl_text_gather_rows,
                   cvncl_text_augment, cvncl_text_warp, cvncl_text_augment_end } },
    { "batch", 1, { cvncl_text_common, cvncl_text_philox, cvncl_text_attention,
                    cvncl_text_gemm_tiles, cvncl_text_batch_common,
                    cvncl_text_batch_kk, cvncl_text_gemm_body, cvncl_text_gemm_end,
                    cvncl_text_batch_kn, cvncl_text_gemm_body, cvncl_text_gemm_end,
                    cvncl_text_batch_mn, cvncl_text_gemm_body, cvncl_text_gemm_end } },
    { "sequence", 0, { cvncl_text_common, cvncl_text_philox, cvncl_text_recurrent,
                       cvncl_text_recurrent_back, cvncl_text_index, cvncl_text_embed,
                       cvncl_text_noise } },
    { "losses", 0, { cvncl_text_common, cvncl_text_more_losses, cvncl_text_more_losses_back,
                     cvncl_text_sample_losses, cvncl_text_soft_loss, cvncl_text_ctc,
                     cvncl_text_ctc_back, cvncl_text_yolo, cvncl_text_yolo_loss } },
    { "gather", 0, { cvncl_text_common, cvncl_text_index, cvncl_text_select, cvncl_text_topk,
                     cvncl_text_gather, cvncl_text_places, cvncl_text_nms } },
    { "places", 0, { cvncl_text_common, cvncl_text_roi, cvncl_text_grid,
                     cvncl_text_grid_sample } },
    { "spectral", 0, { cvncl_text_common, cvncl_text_spectral } }
};

static const cvncl_program *cvncl_program_at(int number) { return &cvncl_programs[number]; }

/* Row of a layer plus 1; 0: none. */
static int cvncl_find(const cvn_net *net, const cvni_layer *l)
{
    for (int i = 0; i < CVNCL_ROWS; i++)
        if (cvncl_rows[i].op == l->op)
            return !cvncl_rows[i].can || cvncl_rows[i].can(net, l) ? i + 1 : 0;
    return 0;
}

static int cvncl_program_of(int number) { return cvncl_rows[number - 1].program; }

static int cvncl_table_of(const cvn_net *net, const cvni_layer *l, int *table)
{
    const int number = cvncl_find(net, l);
    return number && cvncl_rows[number - 1].table ? cvncl_rows[number - 1].table(net, l, table) : 0;
}

enum { CVNCL_SAVED = 1, CVNCL_FORWARD = 2, CVNCL_BACKWARD = 4, CVNCL_TABLE = 8 };

/* By program, in the order of cvncl_programs: the buffers of the host's plan that its kernels use,
 * too. */
static const unsigned char cvncl_uses[CVNCL_PROGRAMS] = {
    0, 0, CVNCL_SAVED, CVNCL_SAVED, 0, 0, CVNCL_BACKWARD, CVNCL_SAVED, 0, 0,
    CVNCL_SAVED | CVNCL_BACKWARD,
    CVNCL_SAVED | CVNCL_FORWARD | CVNCL_BACKWARD | CVNCL_TABLE,
    CVNCL_SAVED | CVNCL_BACKWARD, CVNCL_BACKWARD, 0, 0
};

static void cvncl_trim(const cvn_net *net, cvni_layer *l)
{
    const int number = cvncl_find(net, l);
    const unsigned uses = number ? cvncl_uses[cvncl_rows[number - 1].program] : 0;
    if (!number) return;
    if (!(uses & CVNCL_SAVED)) l->saved_bytes = 0;
    if (!(uses & CVNCL_FORWARD)) l->work_forward_bytes = 0;
    if (!(uses & CVNCL_BACKWARD)) l->work_backward_bytes = 0;
    if (!(uses & CVNCL_TABLE)) l->table_bytes = 0;
    l->packed_bytes = l->scratch_bytes = 0;
}

static size_t cvncl_work_of(cvn_net *net, const cvni_layer *l)
{
    const int number = cvncl_find(net, l);
    const size_t work = number && cvncl_rows[number - 1].work ? cvncl_rows[number - 1].work(net, l)
                                                              : 0;
    return l->spectral ? cvni_max_size(work, (size_t)cvni_spectral_of(net, l).rows) : work;
}

static cvn_result cvncl_forward(cvn_net *net, cvni_layer *l)
{
    cvncl_net *d = cvncl_net_of(net);
    int swapped = 0;
    cvn_result result = CVN_OK;
    if (l->normed && !net->again) result = cvncl_spectral_forward(net, l);
    if (result == CVN_OK) swapped = cvncl_swap_in(net, l, 0, &result);
    d->narrow = d->order[cvni_id(net, l)].narrow;
    if (result == CVN_OK) result = cvncl_rows[l->device_op - 1].forward(net, l);
    d->narrow = 0;
    return cvncl_swap_out(net, l, swapped, result);
}

static cvn_result cvncl_backward(cvn_net *net, cvni_layer *l)
{
    cvncl_net *d = cvncl_net_of(net);
    const int n = l->normed_grad ? (int)net->params[l->param[0]].count : 0;
    int swapped = 0;
    cvn_result result = CVN_OK;
    d->stepped = 0;
    if (n) result = cvncl_each(net, CVNCL_FILL, n, "pif", l->normed_grad, n, 0.0);
    if (result == CVN_OK) swapped = cvncl_swap_in(net, l, 1, &result);
    d->narrow = d->order[cvni_id(net, l)].narrow;
    if (result == CVN_OK) result = cvncl_rows[l->device_op - 1].backward(net, l);
    d->narrow = 0;
    result = cvncl_swap_out(net, l, swapped, result);
    return n && result == CVN_OK ? cvncl_spectral_backward(net, l) : result;
}

static void cvncl_fill_backend(cvn_backend *base)
{
    base->find = cvncl_find;
    base->trim = cvncl_trim;
    base->gates = cvncl_gates;
    base->take = cvncl_take;
    base->release = cvncl_release;
    base->push = cvncl_push;
    base->pull = cvncl_pull;
    base->ask = cvncl_ask;
    base->answer = cvncl_answer;
    base->keep = cvncl_keep;
    base->drop = cvncl_drop_set;
    base->order = cvncl_put_order;
    base->gather = cvncl_gather_batch;
    base->mix = cvncl_mix;
    base->mark_narrow = cvncl_mark_narrow;
    base->push_tensor = cvncl_push_tensor;
    base->pull_tensor = cvncl_pull_tensor;
    base->fill = cvncl_fill;
    base->forward = cvncl_forward;
    base->backward = cvncl_backward;
    base->clip = cvncl_clip;
    base->update = cvncl_update;
    base->average = cvncl_average;
}

CVNI_SMALL_END

#ifdef __cplusplus
}
#endif
#endif /* CONVNET_CL_IMPLEMENTATION */
