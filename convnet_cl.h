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
 *               CONVNET_CL_TUNE    off, fast or full, before cvncl_desc.tune
 *               CONVNET_CL_CACHE   folder for what tuning has found; =0: nowhere. Not set: the
 *                                  user's cache folder
 *
 * Rooms of this file:  >>cl-api  >>cl-library  >>cl-device  >>cl-programs  >>cl-memory
 *     kernels and their calls, a family each:  >>cl-gemm  >>cl-mma  >>cl-tune  >>cl-conv  >>cl-pool
 *     >>cl-norm  >>cl-map  >>cl-layers  >>cl-shape  >>cl-loss  >>cl-optim;  >>cl-table
 *
 * What runs on the device, forward and backward:
 *     dense; conv1d, conv2d, conv3d with any groups, strides, dilations and zero padding;
 *     transposed convolutions; depthwise and separable ones
 *     max, average, global and adaptive pools, places of maxima
 *     batch norm, with the sum and the relu that follow it; layer, instance, group norm, l2norm
 *     all activations but cvn_activation; prelu; exp, log, sqrt, square, abs, neg, scale, clip, pow
 *     add, sub, mul, div, maximum, minimum with broadcasting; concat, flatten, reshape and the
 *     batch's; permute, slice, split; upsampling, pad, crop, pixel_shuffle; glu, maxout; sum, mean,
 *     max, min over axes; stop_gradient, gradient_reversal; softmax, log_softmax; dropout of all
 *     three kinds
 *     softmax_loss; mse, mae, huber, smooth_l1, msle, hinge, kl_div losses, bce_with_logits
 *     all optimizers, clipping, averages of the weights; cvn_mixup, cvn_cutmix, sample weights
 * Other layers are an error of cvn_build that names the layer, or, with cvncl_desc.host_layers, run
 * on the CPU in the midst of the others: copies there and back, a warning each.
 *
 * Numbers. float32 with float32 sums, no atomics: the same bits in every run on one device. From
 * the CPU's they differ in rounding. Random draws (dropout) are the CPU's.
 * Memory. The device takes what cvn_memory_needed tells, and workspace; the host's arena stays.
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
    int precision;              /* CVNCL_FP32; CVNCL_TF32 (10 bits behind the point) or CVNCL_BF16
                                 * (7 bits): dense layers on matrix units, where there are such */
    int tune;                   /* CVNCL_TUNE_... */
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
    #include <CL/cl.h>
#elif defined(_WIN32)
    #define WIN32_LEAN_AND_MEAN
    #include <windows.h>
#else
    #include <dlfcn.h>
#endif
#ifdef _WIN32
    #define CVNCL_CALL __stdcall
#else
    #define CVNCL_CALL
#endif

#ifdef __cplusplus
extern "C" {
#endif

CVNI_COLD_BEGIN

enum {
    CVNCL_PLATFORM_VERSION = 0x0901, CVNCL_PLATFORM_NAME = 0x0902,
    CVNCL_DEVICE_TYPE = 0x1000, CVNCL_DEVICE_UNITS = 0x1002, CVNCL_DEVICE_GROUP = 0x1004,
    CVNCL_DEVICE_MAX_ALLOC = 0x1010, CVNCL_DEVICE_MEMORY = 0x101F, CVNCL_DEVICE_LOCAL_TYPE = 0x1022,
    CVNCL_DEVICE_LOCAL = 0x1023, CVNCL_DEVICE_AVAILABLE = 0x1027, CVNCL_DEVICE_NAME = 0x102B,
    CVNCL_DEVICE_VENDOR_ID = 0x1001, CVNCL_DEVICE_EXTENSIONS = 0x1030,
    CVNCL_DRIVER_VERSION = 0x102D, CVNCL_BUILD_LOG = 0x1183,
    CVNCL_CPU = 2, CVNCL_GPU = 4,       /* bits of the device type */
    CVNCL_READ_WRITE = 1
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
    int32_t (CVNCL_CALL *ReleaseProgram)(void *program);
    int32_t (CVNCL_CALL *BuildProgram)(void *program, uint32_t count, void *const *devices,
                                       const char *options, cvncl_function notify, void *user);
    int32_t (CVNCL_CALL *GetProgramBuildInfo)(void *program, void *device, uint32_t what,
                                              size_t room, void *value, size_t *size);
    void *(CVNCL_CALL *CreateKernel)(void *program, const char *name, int32_t *status);
    int32_t (CVNCL_CALL *ReleaseKernel)(void *kernel);
    int32_t (CVNCL_CALL *SetKernelArg)(void *kernel, uint32_t index, size_t size,
                                       const void *value);
    int32_t (CVNCL_CALL *Finish)(void *queue);
    int32_t (CVNCL_CALL *EnqueueReadBuffer)(void *queue, void *memory, uint32_t blocking,
                                            size_t offset, size_t size, void *to, uint32_t events,
                                            void *const *wait, void **event);
    int32_t (CVNCL_CALL *EnqueueWriteBuffer)(void *queue, void *memory, uint32_t blocking,
                                             size_t offset, size_t size, const void *from,
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
    CVNCL_IMPORT(CreateProgramWithSource, 26), CVNCL_IMPORT(ReleaseProgram, 29),
    CVNCL_IMPORT(BuildProgram, 30), CVNCL_IMPORT(GetProgramBuildInfo, 33),
    CVNCL_IMPORT(CreateKernel, 34), CVNCL_IMPORT(ReleaseKernel, 37),
    CVNCL_IMPORT(SetKernelArg, 38), CVNCL_IMPORT(Finish, 47),
    CVNCL_IMPORT(EnqueueReadBuffer, 48), CVNCL_IMPORT(EnqueueWriteBuffer, 49),
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
    CVNCL_PROGRAM_OPTIM,
    CVNCL_PROGRAMS
};

enum { CVNCL_MAX_KERNELS = 96 };
enum { CVNCL_TILES = 2 };       /* sizes of a tile that products are built for: small, large */

/* A tile of a product: rows, columns, depth; rows and columns of a work item. */
typedef struct cvncl_tile { int m, n, k, item_m, item_n; } cvncl_tile;

typedef struct cvncl_backend {
    cvn_backend base;           /* first: cvn_use_backend is given this */
    cvncl_api api;
    void *library, *platform, *device, *context, *queue;
    const char *library_name;
    char name[128], driver[128];
    char why[400];
    uint64_t max_alloc, memory;
    int group;                  /* work items of a group that sums or goes through elements */
    int local;                  /* products go through local memory */
    int units;
    cvncl_tile tile[CVNCL_TILES];
    /* products, >>cl-gemm and >>cl-tune: */
    uint64_t max_group, local_bytes;
    int is_cpu, register_option, precision;
    int emulate;                /* matrix units by plain C, for tests */
    int tune, choices_read;
    double tune_left;           /* seconds */
    const struct cvncl_vendor *vendor;
    struct cvncl_built *built;
    struct cvncl_choice *choices;
    void *program[CVNCL_PROGRAMS][CVNCL_TILES];
    void *kernel[CVNCL_MAX_KERNELS][CVNCL_TILES];
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
    b->max_alloc = cvncl_number(b, b->device, CVNCL_DEVICE_MAX_ALLOC);
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

cvn_backend *cvncl_open(const cvncl_desc *desc)
{
    const cvncl_desc d = desc ? *desc : cvncl_defaults();
    cvncl_backend *b = (cvncl_backend *)CONVNET_MALLOC(sizeof *b);
    if (!b) return NULL;
    memset(b, 0, sizeof *b);
    cvncl_fill_backend(&b->base);
    b->base.host_layers = d.host_layers;
    cvncl_start(b, &d);
    return &b->base;
}

void cvncl_close(cvn_backend *backend)
{
    cvncl_backend *b = (cvncl_backend *)backend;
    if (!b) return;
    cvncl_close_products(b);
    for (int i = 0; i < CVNCL_MAX_KERNELS * CVNCL_TILES; i++)
        if (b->kernel[i / CVNCL_TILES][i % CVNCL_TILES])
            b->api.ReleaseKernel(b->kernel[i / CVNCL_TILES][i % CVNCL_TILES]);
    for (int i = 0; i < CVNCL_PROGRAMS * CVNCL_TILES; i++)
        if (b->program[i / CVNCL_TILES][i % CVNCL_TILES])
            b->api.ReleaseProgram(b->program[i / CVNCL_TILES][i % CVNCL_TILES]);
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
 * >>cl-programs   what is built of the texts, and how kernels are called
 * ==============================================================================================
 *   Programs are built when a net that needs them is; those of products for two sizes of tiles. */

static const char cvncl_text_common[] =
    "/* A tensor is a memory and a place in it, in elements; NONE: not there. */\n"
    "#define NONE 0xFFFFFFFFFFFFFFFFul\n"
    "#define IN(p) global const float *restrict p, const ulong p##_at\n"
    "#define OUT(p) global float *restrict p, const ulong p##_at\n"
    "#define MEM(p) global float *p, const ulong p##_at\n"
    "#define INTS(p) global const int *restrict p, const ulong p##_at\n"
    "#define HAS(p) (p##_at != NONE)\n"
    "#define AT(p) p += HAS(p) ? p##_at : 0\n"
    "\n"
    "/* Sum over the WG items of a group, in an order that never changes. */\n"
    "float group_sum(float x, local float *part)\n"
    "{\n"
    "    const int t = get_local_id(0);\n"
    "    part[t] = x;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    for (int n = WG / 2; n > 0; n /= 2) {\n"
    "        if (t < n) part[t] += part[t + n];\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
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
    CVNCL_CONV_DOWN, CVNCL_CONV_UP, CVNCL_CONV_WEIGHTS, CVNCL_CONV_REDUCE,
    CVNCL_DEPTHWISE_DOWN, CVNCL_DEPTHWISE_UP, CVNCL_DEPTHWISE_WEIGHTS,
    CVNCL_MAXPOOL, CVNCL_MAXPOOL_BACK, CVNCL_AVGPOOL, CVNCL_AVGPOOL_BACK,
    CVNCL_NORM_STATS, CVNCL_NORM_FACTORS, CVNCL_NORM_APPLY, CVNCL_NORM_SUMS, CVNCL_NORM_DX,
    CVNCL_GNORM, CVNCL_GNORM_BACK, CVNCL_GNORM_WEIGHTS, CVNCL_L2NORM, CVNCL_L2NORM_BACK,
    CVNCL_MAP, CVNCL_MAP_BACK, CVNCL_PRELU, CVNCL_PRELU_SUMS, CVNCL_PRELU_DW, CVNCL_PRELU_BACK,
    CVNCL_COPY_LINES, CVNCL_CHANNEL_SUMS, CVNCL_FILL, CVNCL_BINARY, CVNCL_BINARY_BACK,
    CVNCL_SOFTMAX, CVNCL_SOFTMAX_BACK, CVNCL_DROPOUT,
    CVNCL_RESIZE, CVNCL_RESIZE_BACK, CVNCL_PERMUTE, CVNCL_PERMUTE_BACK, CVNCL_GATED,
    CVNCL_GATED_BACK, CVNCL_REDUCE, CVNCL_REDUCE_BACK,
    CVNCL_SOFTMAX_LOSS, CVNCL_SOFTMAX_LOSS_BACK, CVNCL_LOSS_MEAN, CVNCL_PAIR_LOSS,
    CVNCL_PAIR_LOSS_BACK,
    CVNCL_UPDATE, CVNCL_LAMB_SUMS, CVNCL_LAMB_STEP, CVNCL_CLIP_VALUE, CVNCL_SQUARE_SUMS,
    CVNCL_CLIP_NORM, CVNCL_AVERAGE,
    CVNCL_KERNELS
};

typedef struct cvncl_kernel { const char *name; int program; } cvncl_kernel;

static const cvncl_kernel cvncl_kernels[CVNCL_KERNELS] = {
    { "conv_down", CVNCL_PROGRAM_CONV }, { "conv_up", CVNCL_PROGRAM_CONV },
    { "conv_weights", CVNCL_PROGRAM_CONV }, { "conv_reduce", CVNCL_PROGRAM_CONV },
    { "depthwise_down", CVNCL_PROGRAM_CONV }, { "depthwise_up", CVNCL_PROGRAM_CONV },
    { "depthwise_weights", CVNCL_PROGRAM_CONV },
    { "maxpool", CVNCL_PROGRAM_POOL }, { "maxpool_back", CVNCL_PROGRAM_POOL },
    { "avgpool", CVNCL_PROGRAM_POOL }, { "avgpool_back", CVNCL_PROGRAM_POOL },
    { "norm_stats", CVNCL_PROGRAM_NORM }, { "norm_factors", CVNCL_PROGRAM_NORM },
    { "norm_apply", CVNCL_PROGRAM_NORM }, { "norm_sums", CVNCL_PROGRAM_NORM },
    { "norm_dx", CVNCL_PROGRAM_NORM },
    { "gnorm", CVNCL_PROGRAM_NORM }, { "gnorm_back", CVNCL_PROGRAM_NORM },
    { "gnorm_weights", CVNCL_PROGRAM_NORM }, { "l2norm", CVNCL_PROGRAM_NORM },
    { "l2norm_back", CVNCL_PROGRAM_NORM },
    { "map", CVNCL_PROGRAM_MAP }, { "map_back", CVNCL_PROGRAM_MAP },
    { "prelu", CVNCL_PROGRAM_MAP }, { "prelu_sums", CVNCL_PROGRAM_MAP },
    { "prelu_dw", CVNCL_PROGRAM_MAP }, { "prelu_back", CVNCL_PROGRAM_MAP },
    { "copy_lines", CVNCL_PROGRAM_LAYERS }, { "channel_sums", CVNCL_PROGRAM_LAYERS },
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
    { "update", CVNCL_PROGRAM_OPTIM }, { "lamb_sums", CVNCL_PROGRAM_OPTIM },
    { "lamb_step", CVNCL_PROGRAM_OPTIM }, { "clip_value", CVNCL_PROGRAM_OPTIM },
    { "square_sums", CVNCL_PROGRAM_OPTIM }, { "clip_norm", CVNCL_PROGRAM_OPTIM },
    { "average", CVNCL_PROGRAM_OPTIM }
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

/* The first lines of what the compiler says. */
static void cvncl_build_log(const cvncl_backend *b, void *program, char *log, size_t room)
{
    char *full;
    size_t size = 0;
    log[0] = 0;
    if (b->api.GetProgramBuildInfo(program, b->device, CVNCL_BUILD_LOG, 0, NULL, &size) != 0)
        return;
    full = (char *)CONVNET_MALLOC(size + 1);
    if (!full) return;
    if (b->api.GetProgramBuildInfo(program, b->device, CVNCL_BUILD_LOG, size, full, NULL) == 0) {
        full[size] = 0;
        snprintf(log, room, "%s", full);
    }
    CONVNET_FREE(full);
}

static cvn_result cvncl_build_failed(cvn_net *net, const cvncl_program *p, void *program,
                                     const char *options, int32_t status)
{
    const cvncl_backend *b = cvncl_of(net);
    char log[300];
    cvn_result result;
    cvncl_build_log(b, program, log, sizeof log);
    result = cvni_fail(net, CVN_ERROR_UNSUPPORTED,
                       "OpenCL, %s, driver %s: program '%s' (%s) does not build (%d): %s", b->name,
                       b->driver, p->name, options, (int)status, log);
    b->api.ReleaseProgram(program);
    return result;
}

/* Builds program `number` for one size of tiles. */
static cvn_result cvncl_build(cvn_net *net, int number, int size)
{
    cvncl_backend *b = cvncl_of(net);
    const cvncl_program *p = cvncl_program_at(number);
    const cvncl_tile *t = &b->tile[size];
    const char *texts[CVNCL_MAX_TEXTS];
    char options[128];
    uint32_t count = 0;
    int32_t status = 0;
    void *program;
    while (count < CVNCL_MAX_TEXTS && p->text[count]) {
        texts[count] = p->text[count];
        count++;
    }
    snprintf(options, sizeof options,
             "-cl-std=CL1.2 -DWG=%d -DLOCAL=%d -DTM=%d -DTN=%d -DTK=%d -DWM=%d -DWN=%d", b->group,
             b->local, t->m, t->n, t->k, t->item_m, t->item_n);
    program = b->api.CreateProgramWithSource(b->context, count, texts, NULL, &status);
    if (!program) return cvncl_fail(net, "clCreateProgramWithSource", status);
    status = b->api.BuildProgram(program, 1, &b->device, options, NULL, NULL);
    if (status != 0) return cvncl_build_failed(net, p, program, options, status);
    b->program[number][size] = program;
    for (int i = 0; i < CVNCL_KERNELS; i++) {
        if (cvncl_kernels[i].program != number) continue;
        b->kernel[i][size] = b->api.CreateKernel(program, cvncl_kernels[i].name, &status);
        if (!b->kernel[i][size]) return cvncl_fail(net, cvncl_kernels[i].name, status);
    }
    return CVN_OK;
}

static cvn_result cvncl_need(cvn_net *net, int program)
{
    const cvncl_backend *b = cvncl_of(net);
    const int sizes = cvncl_program_at(program)->tiled && b->local ? CVNCL_TILES : 1;
    cvn_result result = CVN_OK;
    if (!cvncl_program_at(program)->text[0]) return CVN_OK;
    for (int size = 0; size < sizes && result == CVN_OK; size++)
        if (!b->program[program][size]) result = cvncl_build(net, program, size);
    return result;
}

/* What a net has on the device: its arena, tables of its layers, work of the kernel that runs. */
typedef struct cvncl_net {
    cvncl_backend *b;
    cvn_net *net;
    void *arena, *tables, *work;
    int *table_at;              /* by layer, in ints; then [layer_count]: all of them */
} cvncl_net;

static cvncl_net *cvncl_net_of(const cvn_net *net) { return (cvncl_net *)net->device; }

#define CVNCL_NOWHERE UINT64_MAX

/* Arguments by letters: p a pointer into the arena or NULL, w floats into the work, t ints into the
 * tables (-1: none), i int, u unsigned, f float. A memory goes with its offset in elements. */
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
        } else {
            void *const *memory = letter == 'p' ? &d->arena : letter == 'w' ? &d->work : &d->tables;
            uint64_t at = CVNCL_NOWHERE;
            if (letter == 'p') {
                const void *pointer = va_arg(args, const void *);
                if (pointer)
                    at = (uint64_t)((const unsigned char *)pointer - net->arena) / sizeof(float);
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
    void *k = b->kernel[kernel][size];
    int32_t status = cvncl_arguments(net, k, format, args);
    if (status == 0)
        status = b->api.EnqueueNDRangeKernel(b->queue, k, (uint32_t)axes, NULL, global, local, 0,
                                             NULL, NULL);
    return status == 0 ? CVN_OK : cvncl_fail(net, cvncl_kernels[kernel].name, status);
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
    va_start(args, format);
    result = cvncl_enqueue(net, kernel, 0, 1, &global, &local, format, args);
    va_end(args);
    return result;
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
 * >>cl-memory   a net's memory on the device
 * ============================================================================================== */

typedef struct cvncl_row cvncl_row;

/* >>cl-table */
static int cvncl_table_of(const cvn_net *net, const cvni_layer *l, int *table);
static size_t cvncl_work_of(cvn_net *net, const cvni_layer *l);
static int cvncl_find(const cvn_net *net, const cvni_layer *l);
static int cvncl_program_of(int number);

static cvn_result cvncl_need_products(cvn_net *net, int train);     /* >>cl-gemm */

enum { CVNCL_SLICES = 64 };     /* groups that sum over all parameters */

static void cvncl_release(void *device)
{
    cvncl_net *d = (cvncl_net *)device;
    const cvncl_api *api = &d->b->api;
    api->Finish(d->b->queue);
    if (d->arena) api->ReleaseMemObject(d->arena);
    if (d->tables) api->ReleaseMemObject(d->tables);
    if (d->work) api->ReleaseMemObject(d->work);
    cvni_free(d->net, d->table_at);
    cvni_free(d->net, d);
}

/* A piece of memory; the drivers may take it only when it is used. */
static cvn_result cvncl_buffer(cvn_net *net, size_t bytes, const char *of, void **memory)
{
    const cvncl_backend *b = cvncl_of(net);
    int32_t status = 0;
    if (bytes > b->max_alloc)
        return cvni_fail(net, CVN_ERROR_MEMORY,
                         "OpenCL, %s: %s needs %lu bytes; the largest piece that the device gives "
                         "has %lu of its %lu; a smaller batch needs less",
                         b->name, of, (unsigned long)bytes, (unsigned long)b->max_alloc,
                         (unsigned long)b->memory);
    *memory = b->api.CreateBuffer(b->context, CVNCL_READ_WRITE, cvni_max_size(bytes, 64), NULL,
                                  &status);
    return *memory ? CVN_OK : cvncl_fail(net, of, status);
}

/* The tables of all layers, in one array. */
static cvn_result cvncl_make_tables(cvn_net *net, cvncl_net *d)
{
    const cvncl_backend *b = d->b;
    cvn_result result;
    int *all;
    int count = 0;
    int32_t status = 0;
    d->table_at = (int *)cvni_alloc(net, cvni_mul_size((size_t)net->layer_count, sizeof(int)));
    if (!d->table_at) return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for OpenCL's tables");
    for (int id = 1; id < net->layer_count; id++) {
        d->table_at[id] = count;
        count += cvncl_table_of(net, &net->layers[id], NULL);
    }
    result = cvncl_buffer(net, (size_t)count * sizeof(int), "the tables", &d->tables);
    if (result != CVN_OK || !count) return result;
    all = (int *)cvni_alloc(net, (size_t)count * sizeof(int));
    if (!all) return cvni_fail(net, CVN_ERROR_MEMORY, "out of memory for OpenCL's tables");
    for (int id = 1; id < net->layer_count; id++)
        cvncl_table_of(net, &net->layers[id], all + d->table_at[id]);
    status = b->api.EnqueueWriteBuffer(b->queue, d->tables, 1, 0, (size_t)count * sizeof(int), all,
                                       0, NULL, NULL);
    cvni_free(net, all);
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueWriteBuffer", status);
}

static cvn_result cvncl_take_memory(cvn_net *net, const cvni_plan *plan, cvncl_net *d)
{
    size_t floats = 2 * CVNCL_SLICES;
    cvn_result result = cvncl_need(net, CVNCL_PROGRAM_LAYERS);
    if (result == CVN_OK) result = cvncl_need(net, CVNCL_PROGRAM_OPTIM);
    for (int id = 1; id < net->layer_count && result == CVN_OK; id++) {
        const int number = cvncl_find(net, &net->layers[id]);
        if (!number || (plan->places[id].skip && !plan->places[id].grad)) continue;
        result = cvncl_need(net, cvncl_program_of(number));
        floats = cvni_max_size(floats, cvncl_work_of(net, &net->layers[id]));
    }
    if (result == CVN_OK) result = cvncl_need_products(net, plan->state > plan->grads);
    if (result == CVN_OK && floats > INT_MAX)
        result = cvni_fail(net, CVN_ERROR_MEMORY, "OpenCL: the work needs %lu floats",
                           (unsigned long)floats);
    if (result == CVN_OK) result = cvncl_buffer(net, plan->total, "the net", &d->arena);
    if (result == CVN_OK)
        result = cvncl_buffer(net, floats * sizeof(float), "the work", &d->work);
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

static cvn_result cvncl_push(cvn_net *net, size_t at, const void *from, size_t bytes)
{
    const cvncl_net *d = cvncl_net_of(net);
    const int32_t status = d->b->api.EnqueueWriteBuffer(d->b->queue, d->arena, 1, at, bytes, from,
                                                        0, NULL, NULL);
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueWriteBuffer", status);
}

static cvn_result cvncl_pull(cvn_net *net, size_t at, void *to, size_t bytes)
{
    const cvncl_net *d = cvncl_net_of(net);
    const int32_t status = d->b->api.EnqueueReadBuffer(d->b->queue, d->arena, 1, at, bytes, to, 0,
                                                       NULL, NULL);
    return status == 0 ? CVN_OK : cvncl_fail(net, "clEnqueueReadBuffer", status);
}

static cvn_result cvncl_fill(cvn_net *net, size_t at, size_t floats, float value)
{
    return cvncl_each(net, CVNCL_FILL, (int)floats, "pif", net->arena + at, (int)floats,
                      (double)value);
}

/* ================================================================================================
 * >>cl-gemm   products of matrices; dense layers
 * ==============================================================================================
 *   A way to multiply is a kernel with its tile. ROWS: an item has rows of vectors of columns;
 *   DOTS: sums along k, a vector each, where both matrices lie along k; TILED: through local
 *   memory; MMA: on matrix units (>>cl-mma). A kernel is built when a shape first needs it, for
 *   one layout of the matrices. Which way goes with which device and shape: cvncl_vendors, or
 *   what >>cl-tune has measured. ROWS and TILED add up in the order of k, so tiles do not change
 *   results. */

static const char cvncl_text_product[] =
    "/* c[z][m][n] = act(sum over k of a[z][m][k] b[z][k][n] + bias[n] + with[z][m][n]); with may\n"
    " * be c. a lies [M, K] (A_K) or [K, M], b [N, K] (B_K) or [K, N]; ld: elements from line to\n"
    " * line. A tile is TM x TN, of it WM x WN an item's or a warp's. VEC 4: lines of a and b\n"
    " * begin at 16 bytes and have a multiple of 4 elements. */\n"
    "#define PARAMS \\\n"
    "    IN(a), IN(b), IN(bias), MEM(with), MEM(c), const int M, const int N, const int K, \\\n"
    "    const int lda, const int az, const int ldb, const int bz, const int ldc, \\\n"
    "    const int cz, const float slope, const float most\n"
    "#define SETUP \\\n"
    "    const int z = get_group_id(2); \\\n"
    "    AT(a); AT(b); AT(bias); AT(with); AT(c); \\\n"
    "    a += (size_t)z * az; b += (size_t)z * bz; c += (size_t)z * cz; with += (size_t)z * cz;\n"
    "#define A(m, k) a[A_K ? (size_t)(m) * lda + (k) : (size_t)(k) * lda + (m)]\n"
    "#define B(k, n) b[B_K ? (size_t)(n) * ldb + (k) : (size_t)(k) * ldb + (n)]\n"
    "#define PLACE(m, n) ((size_t)(m) * ldc + (n))\n"
    "#define IX (TN / WN)\n"
    "#define IY (TM / WM)\n"
    "#if UNROLL\n"
    "#define EACH(i, n) _Pragma(\"unroll\") for (int i = 0; i < (n); i++)\n"
    "#else\n"
    "#define EACH(i, n) for (int i = 0; i < (n); i++)\n"
    "#endif\n";

static const char cvncl_text_plain[] =
    "#define STORE(m, n, v) \\\n"
    "    c[PLACE(m, n)] = clamped((v) + (HAS(bias) ? bias[n] : 0) + \\\n"
    "                                 (HAS(with) ? with[PLACE(m, n)] : 0), slope, most)\n"
    "\n"
    "#if DOTS\n"
    "/* Sums along k, a vector wide; lines beyond the edge are the last one again. */\n"
    "kernel __attribute__((reqd_work_group_size(IX, IY, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    const int m0 = get_global_id(1) * WM, n0 = get_global_id(0) * WN, whole = K - K % WIDE;\n"
    "    VECTOR sum[WM][WN], x[WN];\n"
    "    SETUP\n"
    "    EACH(i, WM) EACH(j, WN) sum[i][j] = 0;\n"
    "    for (int k = 0; k < whole; k += WIDE) {\n"
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
    "            for (int k = whole; k < K; k++) rest += A(m, k) * B(k, n);\n"
    "            if (m0 + i < M && n0 + j < N) STORE(m, n, part[0] + rest);\n"
    "        }\n"
    "}\n"
    "#else\n"
    "/* A vector of columns a row; at the edge it begins further left. */\n"
    "kernel __attribute__((reqd_work_group_size(IX, IY, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    const int m0 = get_global_id(1) * WM, n = get_global_id(0) * WN;\n"
    "    const int n0 = max(min(n, N - WN), 0);\n"
    "    VECTOR sum[WM];\n"
    "    SETUP\n"
    "    EACH(i, WM) sum[i] = 0;\n"
    "    if (!B_K && N >= WN)\n"
    "        for (int k = 0; k < K; k++) {\n"
    "            const VECTOR x = VLOAD(0, &B(k, n0));\n"
    "            EACH(i, WM) sum[i] += A(min(m0 + i, M - 1), k) * x;\n"
    "        }\n"
    "    else\n"
    "        for (int k = 0; k < K; k++) {\n"
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

static const char cvncl_text_tiled_load[] =
    "#define ITEMS (IX * IY)\n"
    "#define A4 (TM * TK / 4 / ITEMS)\n"
    "#define B4 (TN * TK / 4 / ITEMS)\n"
    "#define LA (TM + 4)\n"
    "#define LB (TN + 4)\n"
    "#define ROW(i) ((i) / 4 * (IY * 4) + y * 4 + (i) % 4)\n"
    "#define COLUMN(j) ((j) / 4 * (IX * 4) + x * 4 + (j) % 4)\n"
    "\n"
    "/* The f-th 4 elements of a tile of T lines: along k (FAST), or along the lines. */\n"
    "#define LINE(FAST, f, T) (FAST ? (f) / (TK / 4) : (f) % ((T) / 4) * 4)\n"
    "#define DEEP(FAST, f, T) (FAST ? (f) % (TK / 4) * 4 : (f) / ((T) / 4))\n"
    "\n"
    "/* Of 4 elements at p those that there are. */\n"
    "float4 four(global const float *p, const int left)\n"
    "{\n"
    "#if VEC == 4\n"
    "    return left > 0 ? *(global const float4 *)p : (float4)(0);\n"
    "#else\n"
    "    return (float4)(left > 0 ? p[0] : 0, left > 1 ? p[1] : 0, left > 2 ? p[2] : 0,\n"
    "                    left > 3 ? p[3] : 0);\n"
    "#endif\n"
    "}\n"
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

static const char cvncl_text_tiled[] =
    "/* While a tile is multiplied the next one is on its way to registers. Items of 32 lie 8 x\n"
    " * 4: they read 128 bytes of b from local memory, 64 of a. Lines beyond the edge are the\n"
    " * last ones again; k beyond K is zero. */\n"
    "kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    local float4 la[STAGES * TK * LA / 4], lb[STAGES * TK * LB / 4];\n"
    "    const int t = get_local_id(0), m0 = get_group_id(1) * TM, n0 = get_group_id(0) * TN;\n"
    "    const int x = t / 32 % (IX / 8) * 8 + t % 8, y = t / 32 / (IX / 8) * 4 + t % 32 / 8;\n"
    "    float sum[WM][WN];\n"
    "    float4 fa[A4], fb[B4];\n"
    "    int row[A4], column[B4], stage = 0;\n"
    "    SETUP\n"
    "    EACH(l, A4) {\n"
    "        const int m = min(m0 + LINE(A_K, t + l * ITEMS, TM), A_K ? M - 1 : M - VEC);\n"
    "        row[l] = A_K ? m * lda : m;\n"
    "    }\n"
    "    EACH(l, B4) {\n"
    "        const int n = min(n0 + LINE(B_K, t + l * ITEMS, TN), B_K ? N - 1 : N - VEC);\n"
    "        column[l] = B_K ? n * ldb : n;\n"
    "    }\n"
    "    EACH(i, WM) EACH(j, WN) sum[i][j] = 0;\n"
    "    for (int next = 0; next < K + TK; next += TK) {\n"
    "        EACH(l, A4) {\n"
    "            const int k = next + DEEP(A_K, t + l * ITEMS, TM);\n"
    "            fa[l] = four(a + row[l] + (A_K ? k : k * lda),\n"
    "                         A_K ? K - k : k < K ? M - row[l] : 0);\n"
    "        }\n"
    "        EACH(l, B4) {\n"
    "            const int k = next + DEEP(B_K, t + l * ITEMS, TN);\n"
    "            fb[l] = four(b + column[l] + (B_K ? k : k * ldb),\n"
    "                         B_K ? K - k : k < K ? N - column[l] : 0);\n"
    "        }\n"
    "        if (next > 0) {\n"
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
    "            const int f = t + l * ITEMS;\n"
    "            const int at = (stage * TK + DEEP(A_K, f, TM)) * LA + LINE(A_K, f, TM);\n"
    "            put((local float *)la + at, LA, A_K, fa[l]);\n"
    "        }\n"
    "        EACH(l, B4) {\n"
    "            const int f = t + l * ITEMS;\n"
    "            const int at = (stage * TK + DEEP(B_K, f, TN)) * LB + LINE(B_K, f, TN);\n"
    "            put((local float *)lb + at, LB, B_K, fb[l]);\n"
    "        }\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
    "    EACH(j, WN) {\n"
    "        const float v = HAS(bias) ? bias[min(n0 + COLUMN(j), N - 1)] : 0;\n"
    "        EACH(i, WM) sum[i][j] += v;\n"
    "    }\n"
    "    if (HAS(with))\n"
    "        EACH(i, WM)\n"
    "            EACH(j, WN)\n"
    "                sum[i][j] += with[PLACE(min(m0 + ROW(i), M - 1),\n"
    "                                        min(n0 + COLUMN(j), N - 1))];\n"
    "    EACH(i, WM) EACH(j, WN) sum[i][j] = clamped(sum[i][j], slope, most);\n"
    "    if (((c_at | ldc | N | cz) & 3) == 0)\n"
    "        EACH(i, WM)\n"
    "            EACH(j4, WN / 4) {\n"
    "                const int j = 4 * j4, m = m0 + ROW(i), n = n0 + COLUMN(j);\n"
    "                const float4 v = (float4)(sum[i][j], sum[i][j + 1], sum[i][j + 2],\n"
    "                                          sum[i][j + 3]);\n"
    "                if (m < M && n < N) *(global float4 *)(c + PLACE(m, n)) = v;\n"
    "            }\n"
    "    else\n"
    "        EACH(i, WM)\n"
    "            EACH(j, WN)\n"
    "                if (m0 + ROW(i) < M && n0 + COLUMN(j) < N)\n"
    "                    c[PLACE(m0 + ROW(i), n0 + COLUMN(j))] = sum[i][j];\n"
    "}\n";

typedef enum cvncl_kind { CVNCL_BY_ROWS, CVNCL_BY_DOTS, CVNCL_BY_TILED, CVNCL_BY_MMA } cvncl_kind;

/* How the matrices lie, a then b: along k, or m and n. */
enum { CVNCL_GEMM_MN, CVNCL_GEMM_MK, CVNCL_GEMM_KN, CVNCL_GEMM_KK };

/* wide: elements of DOTS' vectors, stages of TILED and MMA; registers: at most that many an item,
 * where the compiler takes such an option. */
typedef struct cvncl_way {
    cvncl_kind kind;
    cvncl_tile tile;
    int wide, registers;
} cvncl_way;

enum {                          /* in the order of cvncl_ways */
    CVNCL_ROWS_8X16, CVNCL_ROWS_4X16, CVNCL_ROWS_64X64, CVNCL_ROWS_32X32, CVNCL_ROWS_16X16,
    CVNCL_DOTS_4X4, CVNCL_DOTS_32X32, CVNCL_TILED_128X128, CVNCL_TILED_64X64, CVNCL_TILED_32X64,
    CVNCL_TILED_32X32, CVNCL_MMA_128X128, CVNCL_MMA_64X64,
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
    { CVNCL_BY_MMA, { 128, 128, 16, 64, 64 }, 3, 0 },
    { CVNCL_BY_MMA, { 64, 64, 32, 32, 32 }, 2, 0 },

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
    { CVNCL_BY_MMA, { 64, 128, 16, 32, 64 }, 3, 0 }
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

/* A kernel that has been built; NULL: it cannot be. vector: 4 or 1, see VEC. */
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
           (w->kind == CVNCL_BY_MMA ? 32 : 1);
}

/* Bytes of local memory. */
static int cvncl_way_local(const cvncl_way *w)
{
    const int pad = w->kind == CVNCL_BY_TILED ? 8 : 0;
    return w->kind < CVNCL_BY_TILED ? 0
                                 : w->wide * w->tile.k * (w->tile.m + w->tile.n + pad) * 4;
}

/* Whether a way can be tried: of MMA's local memory the device tells too little. */
static int cvncl_way_fits(const cvncl_backend *b, const cvncl_way *w, int layout, int vector)
{
    if ((uint64_t)cvncl_items(w) > b->max_group) return 0;
    if (w->kind == CVNCL_BY_DOTS) return layout == CVNCL_GEMM_KK && !b->local;
    if (w->kind == CVNCL_BY_ROWS) return !b->local;
    if (w->kind == CVNCL_BY_MMA) return vector == 4 && b->precision != CVNCL_FP32;
    return b->local && (uint64_t)cvncl_way_local(w) <= b->local_bytes;
}

static void cvncl_way_options(const cvncl_backend *b, const cvncl_way *w, int layout, int vector,
                              char *text, size_t room)
{
    const int wide = w->kind == CVNCL_BY_DOTS ? w->wide : w->tile.item_n;
    const int length = snprintf(text, room,
        "-cl-std=CL1.2 -cl-mad-enable -DWG=64 -DA_K=%d -DB_K=%d -DVEC=%d -DTM=%d -DTN=%d -DTK=%d "
        "-DWM=%d -DWN=%d -DUNROLL=%d ", layout / 2, layout % 2, vector, w->tile.m, w->tile.n,
        w->tile.k, w->tile.item_m, w->tile.item_n,
        !b->is_cpu || w->kind < CVNCL_BY_TILED);
    char *end = text + length;
    room -= (size_t)length;
    if (w->kind < CVNCL_BY_TILED)
        snprintf(end, room, "-DDOTS=%d -DWIDE=%d -DVECTOR=float%d -DVLOAD=vload%d "
                 "-DVSTORE=vstore%d", w->kind == CVNCL_BY_DOTS, wide, wide, wide, wide);
    else
        snprintf(end, room, "-DSTAGES=%d -DBF16=%d -DEMULATE=%d%s", w->wide,
                 b->precision == CVNCL_BF16, b->emulate,
                 w->registers && b->register_option ? " -cl-nv-maxrregcount=128" : "");
}

static const char *const *cvncl_way_texts(const cvncl_backend *b, cvncl_kind kind);  /* >>cl-mma */
static int cvncl_mma_works(cvncl_backend *b, cvncl_built *built);

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
    const char *const *texts = cvncl_way_texts(b, cvncl_ways[way].kind);
    char options[400];
    uint32_t count = 0;
    void *kernel = NULL;
    while (texts[count]) count++;
    cvncl_way_options(b, &cvncl_ways[way], layout, vector, options, sizeof options);
    *program = b->api.CreateProgramWithSource(b->context, count, (const char **)texts, NULL,
                                              status);
    if (!*program) return NULL;
    *status = b->api.BuildProgram(*program, 1, &b->device, options, NULL, NULL);
    if (*status == 0) kernel = b->api.CreateKernel(*program, "product", status);
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
    vector = cvncl_ways[way].kind < CVNCL_BY_TILED ? 1 : vector;
    built = cvncl_find_built(b, way, layout, vector);
    if (built) return built;
    built = (cvncl_built *)CONVNET_MALLOC(sizeof *built);
    if (!built) return NULL;
    memset(built, 0, sizeof *built);
    built->way = way;
    built->layout = layout;
    built->vector = vector;
    built->kernel = cvncl_way_program(b, way, layout, vector, &built->program, &status);
    if (built->kernel && cvncl_ways[way].kind == CVNCL_BY_MMA && !cvncl_mma_works(b, built))
        cvncl_drop_built(b, built);
    if (!built->kernel && cvncl_ways[way].kind == CVNCL_BY_MMA) cvncl_drop_built(b, built);
    built->next = b->built;
    b->built = built;
    return built;
}

static int32_t cvncl_run_built(cvncl_backend *b, const cvncl_built *built, int M, int N, int batch)
{
    const cvncl_way *w = &cvncl_ways[built->way];
    const cvncl_tile *t = &w->tile;
    const int plain = w->kind < CVNCL_BY_TILED;
    const size_t local[3] = { (size_t)(plain ? t->n / t->item_n : cvncl_items(w)),
                              (size_t)(plain ? t->m / t->item_m : 1), 1 };
    const size_t global[3] = { (size_t)cvni_ceil_div(N, t->n) * local[0],
                               (size_t)cvni_ceil_div(M, t->m) * local[1], (size_t)batch };
    return b->api.EnqueueNDRangeKernel(b->queue, built->kernel, 3, NULL, global, local, 0, NULL,
                                       NULL);
}

/* Whether a tile suits a product: little of it unused, and enough of them. */
static int cvncl_tile_suits(const cvncl_backend *b, const cvncl_tile *t, int M, int N, int batch)
{
    const double tiles = (double)cvni_ceil_div(M, t->m) * cvni_ceil_div(N, t->n) * batch;
    return 4 * M >= 3 * t->m && 4 * N >= 3 * t->n && tiles >= b->units;
}

/* What a product is for choosing a way: a tuned choice serves all of one class. */
typedef struct cvncl_class {
    int layout, vector, batch, M, N, K;
} cvncl_class;

static int cvncl_tuned(const cvncl_backend *b, const cvncl_class *c);       /* >>cl-tune */
static void cvncl_tune(cvncl_backend *b, const cvncl_class *c);

/* The i-th way to try, the likely best first; -1: none left. */
static int cvncl_nth_way(const cvncl_backend *b, const cvncl_class *c, int i)
{
    const cvncl_vendor *s = b->vendor;
    int ways[8];
    int count = 0;
    const int tuned = cvncl_tuned(b, c);
    if (tuned >= 0) ways[count++] = tuned;
    if (b->precision != CVNCL_FP32 && c->vector == 4 && c->M >= 32 && c->N >= 32) {
        if (cvncl_tile_suits(b, &cvncl_ways[CVNCL_MMA_128X128].tile, c->M, c->N, c->batch))
            ways[count++] = CVNCL_MMA_128X128;
        ways[count++] = CVNCL_MMA_64X64;
    }
    if (s->dots && c->layout == CVNCL_GEMM_KK) ways[count++] = s->dots;
    for (int j = 0; j < 2; j++)
        if (cvncl_tile_suits(b, &cvncl_ways[s->way[j]].tile, c->M, c->N, c->batch))
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
 * and ak one is 1, of bk and bn too; the layout tells which. with NULL: without. */
typedef struct cvncl_product {
    int M, N, K, am, ak, bk, bn, ldc, add;
    const float *a, *b, *bias;
    float *c;
    const cvni_layer *act;
    const float *with;
    int batch, az, bz, cz;
} cvncl_product;

/* A product whose matrices begin at a and b, in elements. */
static cvncl_class cvncl_class_of(int layout, const cvncl_product *p, size_t a, size_t b)
{
    const int a_k = layout / 2;
    const int b_k = layout % 2;
    const int ends = (a_k ? p->am | p->K : p->ak | p->M) | (b_k ? p->bn | p->K : p->bk | p->N);
    cvncl_class c;
    c.layout = layout;
    c.batch = cvni_max(1, p->batch);
    c.vector = (a | b | (size_t)(ends | p->az | p->bz)) & 3 ? 1 : 4;
    c.M = p->M;
    c.N = p->N;
    c.K = p->K;
    return c;
}

/* Why the last way that was tried does not build. */
static cvn_result cvncl_no_way(cvn_net *net, const cvncl_class *c)
{
    cvncl_backend *b = cvncl_of(net);
    const int way = b->vendor->way[2];
    char options[400], log[300] = "";
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

/* Arguments as for cvncl_arguments. */
static cvn_result cvncl_run_product(cvn_net *net, const cvncl_built *built, const cvncl_class *c,
                                    const char *format, ...)
{
    int32_t status;
    va_list args;
    va_start(args, format);
    status = cvncl_arguments(net, built->kernel, format, args);
    va_end(args);
    if (status == 0) status = cvncl_run_built(cvncl_of(net), built, c->M, c->N, c->batch);
    return status == 0 ? CVN_OK : cvncl_fail(net, "product", status);
}

static cvn_result cvncl_gemm(cvn_net *net, int layout, const cvncl_product *p)
{
    const uintptr_t base = (uintptr_t)net->arena;
    const cvncl_class c = cvncl_class_of(layout, p, ((uintptr_t)p->a - base) / sizeof(float),
                                         ((uintptr_t)p->b - base) / sizeof(float));
    const cvncl_built *built;
    float slope, most;
    if (p->M <= 0 || p->N <= 0) return CVN_OK;
    built = cvncl_choose_built(cvncl_of(net), &c);
    if (!built) return cvncl_no_way(net, &c);
    cvncl_clamp(p->act, &slope, &most);
    return cvncl_run_product(net, built, &c, "ppppp" "iiiiiiiii" "ff", p->a, p->b, p->bias,
                             p->add ? p->c : p->with, p->c, p->M, p->N, p->K,
                             layout / 2 ? p->am : p->ak, p->az, layout % 2 ? p->bn : p->bk, p->bz,
                             p->ldc, p->cz, (double)slope, (double)most);
}

/* db += the sums of dy [N, C, S] over N and S */
static cvn_result cvncl_bias_gradient(cvn_net *net, const float *dy, float *db, int N, int C, int S)
{
    return cvncl_groups(net, CVNCL_CHANNEL_SUMS, C, "ppiii", dy, db, N, C, S);
}

/* The products of a dense layer: layout by layout y, dw, dx; pointers are the caller's. */
static cvncl_product cvncl_dense_product(const cvni_dense *d, int layout)
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
    return p;
}

/* Kernels of all dense layers, tuned where that is wanted: before the first step, not in it. */
static cvn_result cvncl_need_products(cvn_net *net, int train)
{
    static const int layouts[] = { CVNCL_GEMM_KK, CVNCL_GEMM_MN, CVNCL_GEMM_KN };
    cvncl_backend *b = cvncl_of(net);
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        cvni_dense d;
        if (l->op != &cvni_op_dense) continue;
        d = cvni_dense_of(net, l);
        for (int i = 0; i < (train ? 3 : 1); i++) {
            const cvncl_product p = cvncl_dense_product(&d, layouts[i]);
            const size_t weight = net->params[l->param[0]].offset;      /* activations: aligned */
            const cvncl_class c = cvncl_class_of(layouts[i], &p, 0,
                                                 layouts[i] == CVNCL_GEMM_MN ? 0 : weight);
            cvncl_tune(b, &c);
            if (!cvncl_choose_built(b, &c)) return cvncl_no_way(net, &c);
        }
    }
    return CVN_OK;
}

static cvn_result cvncl_dense_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_dense d = cvni_dense_of(net, l);
    cvncl_product p = cvncl_dense_product(&d, CVNCL_GEMM_KK);
    p.a = cvni_in(net, l, 0)->y;
    p.b = cvni_run_weight(net, l);
    p.bias = cvni_run_bias(net, l);
    p.c = l->y;
    p.act = cvni_activation(net, l);
    return cvncl_gemm(net, CVNCL_GEMM_KK, &p);
}

static cvn_result cvncl_dense_backward(cvn_net *net, cvni_layer *l)
{
    const cvni_dense d = cvni_dense_of(net, l);
    cvni_layer *x = cvni_in(net, l, 0);
    float *db = cvni_weights_grad(net, l, 1);
    cvncl_product p = cvncl_dense_product(&d, CVNCL_GEMM_MN);
    cvn_result result = CVN_OK;
    if (db) result = cvncl_bias_gradient(net, l->dy, db, d.rows, d.units, 1);
    p.a = l->dy;
    p.b = x->y;
    p.c = cvni_weights_grad(net, l, 0);
    p.add = 1;
    if (p.c && result == CVN_OK) result = cvncl_gemm(net, CVNCL_GEMM_MN, &p);
    p = cvncl_dense_product(&d, CVNCL_GEMM_KN);
    p.a = l->dy;
    p.b = cvni_weights(net, l, 0);
    p.c = cvni_gradient_for(x, &p.add);
    return p.c && result == CVN_OK ? cvncl_gemm(net, CVNCL_GEMM_KN, &p) : result;
}

/* ================================================================================================
 * >>cl-mma   products on NVIDIA's matrix units, by inline PTX
 * ==============================================================================================
 *   mma.sync m16n8k8 (tf32) and m16n8k16 (bf16), with copies to local memory that go by themselves
 *   (cp.async): PTX ISA, "Warp-level matrix instructions" and "Data movement". The driver's OpenCL
 *   has no other way to them. Whether it works is tried: each kernel multiplies once and is
 *   compared with the plain one. Built with EMULATE the same kernel runs anywhere, slowly. */

static const char cvncl_text_mma_layout[] =
    "#define ITEMS (32 * IX * IY)\n"
    "#define DEPTH (BF16 ? 16 : 8)       /* of one instruction */\n"
    "#define ROW(i, l) (16 * (i) + (l) / 2 * 8)\n"
    "#define COLUMN(j, l) (8 * (j) + (l) % 2)\n"
    "/* Where (line, k) of a tile of T lines lies. 16 bytes change places so that what a warp\n"
    " * reads at once lies in all banks: along k eight lines, else eight lines for four k. */\n"
    "#define ALONG_K(line, k) \\\n"
    "    ((line) * TK + (((k) / 4 ^ (line) * (TK / 4) / 8) & TK / 4 - 1) * 4 + (k) % 4)\n"
    "#define ALONG_LINES(T, line, k) \\\n"
    "    ((k) * (T) + ((line) ^ ((BF16 ? (k) / (TK / 4) : (k)) & 3) * 8))\n";

static const char cvncl_text_mma_plain[] =
    "/* The instructions in plain C, through local memory, each lane with what the PTX ISA\n"
    " * gives it. */\n"
    "#define SCRATCH , local uint *swap\n"
    "#define SWAP , swap\n"
    "#define COMMIT()\n"
    "#define WAIT() barrier(CLK_LOCAL_MEM_FENCE)\n"
    "\n"
    "void copy16(local float *to, global const float *from, const int there)\n"
    "{\n"
    "    EACH(i, 4) to[i] = there ? from[i] : 0;\n"
    "}\n"
    "\n"
    "void matrices(uint *r, local float *mem, const int at SCRATCH)\n"
    "{\n"
    "    const int t = get_local_id(0);\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    swap[t] = at;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    EACH(i, 4)\n"
    "        r[i] = as_uint(mem[swap[t / 32 * 32 + 8 * i + t % 32 / 4] + t % 4]);\n"
    "}\n"
    "\n"
    "/* Element k of a line of a fragment, which the registers of four lanes hold. */\n"
    "float held(local const uint *regs, const int lane, const int count, const int reg,\n"
    "           const int k)\n"
    "{\n"
    "#if BF16\n"
    "    const uint two = regs[(lane + k % 8 / 2) * count + reg + k / 8 * (count / 2)];\n"
    "    return as_float(k % 2 ? two & 0xFFFF0000u : two << 16);\n"
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
    "uint rounded(const uint x) { return x + 0x1000u & 0xFFFFE000u; }\n"
    "\n"
    "uint upper(const float x)\n"
    "{\n"
    "    const uint u = as_uint(x);\n"
    "    return u + 0x7FFFu + (u >> 16 & 1) >> 16;\n"
    "}\n"
    "\n"
    "uint pair(const float low, const float high) { return upper(low) | upper(high) << 16; }\n";

static const char cvncl_text_mma_ptx[] =
    "#define SCRATCH\n"
    "#define SWAP\n"
    "#define COMMIT() asm volatile(\"cp.async.commit_group;\" ::: \"memory\")\n"
    "#define WAIT_FOR(n) asm volatile(\"cp.async.wait_group %0;\" :: \"n\"(n) : \"memory\")\n"
    "#define WAIT() WAIT_FOR(STAGES - 2); barrier(CLK_LOCAL_MEM_FENCE)\n"
    "\n"
    "void copy16(local float *to, global const float *from, const int there)\n"
    "{\n"
    "    asm volatile(\"cp.async.cg.shared.global [%0], [%1], 16, %2;\"\n"
    "                 :: \"r\"((uint)(size_t)to), \"l\"(from), \"r\"(there ? 16 : 0)\n"
    "                 : \"memory\");\n"
    "}\n"
    "\n"
    "void matrices(uint *r, local float *mem, const int at)\n"
    "{\n"
    "    asm volatile(\"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\"\n"
    "                 : \"=r\"(r[0]), \"=r\"(r[1]), \"=r\"(r[2]), \"=r\"(r[3])\n"
    "                 : \"r\"((uint)(size_t)(mem + at)) : \"memory\");\n"
    "}\n"
    "\n"
    "void mma(float *d, const uint *a, const uint *b)\n"
    "{\n"
    "#if BF16\n"
    "    asm(\"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 \"\n"
    "        \"{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\"\n"
    "#else\n"
    "    asm(\"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 \"\n"
    "        \"{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\"\n"
    "#endif\n"
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
    "    asm(\"cvt.rn.bf16x2.f32 %0, %1, %2;\" : \"=r\"(y) : \"f\"(high), \"f\"(low));\n"
    "    return y;\n"
    "}\n";

static const char cvncl_text_mma_fragment[] =
    "/* Registers of 16 lines, two for line + g, two for line + 8 + g (lane = 4 g + t): elements\n"
    " * k + t and k + 4 + t; BF16: pairs of four elements of k side by side. Which four does not\n"
    " * matter, as a and b agree. */\n"
    "void fragment(uint *r, local float *tile, const int fast, const int T, const int line,\n"
    "              const int k SCRATCH)\n"
    "{\n"
    "    const int lane = get_local_id(0) % 32, g = lane / 4, t = lane % 4;\n"
    "#if BF16\n"
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
    "        matrices(r, tile, ALONG_K(l, k + lane / 8 % 2 * 4) SWAP);\n"
    "    } else {\n"
    "        EACH(i, 4)\n"
    "            r[i] = as_uint(tile[ALONG_LINES(T, line + g + i / 2 * 8, k + t + i % 2 * 4)]);\n"
    "    }\n"
    "    EACH(i, 4) r[i] = rounded(r[i]);\n"
    "#endif\n"
    "}\n"
    "\n"
    "/* A tile of lines from line0 on, from k0 on, sets off for local memory. Whether line or k\n"
    " * lies beyond the edge is known for 16 bytes at a time: they are zero then. */\n"
    "void copy_tile(local float *to, global const float *from, const int ld, const int fast,\n"
    "               const int T, const int line0, const int lines, const int k0, const int K)\n"
    "{\n"
    "    EACH(l, T * TK / 4 / ITEMS) {\n"
    "        const int f = (int)get_local_id(0) + l * ITEMS;\n"
    "        const int line = fast ? f / (TK / 4) : f % (T / 4) * 4;\n"
    "        const int k = fast ? f % (TK / 4) * 4 : f / (T / 4);\n"
    "        const int in = line0 + line < lines && k0 + k < K;\n"
    "        const size_t at = fast ? (size_t)(line0 + line) * ld + k0 + k\n"
    "                               : (size_t)(k0 + k) * ld + line0 + line;\n"
    "        copy16(to + (fast ? ALONG_K(line, k) : ALONG_LINES(T, line, k)),\n"
    "               from + (in ? at : 0), in);\n"
    "    }\n"
    "}\n";

static const char cvncl_text_mma[] =
    "/* Tiles come to local memory by themselves, STAGES - 1 ahead; a warp multiplies WM x WN. */\n"
    "kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1)))\n"
    "void product(PARAMS)\n"
    "{\n"
    "    local float4 memory[STAGES * (TM + TN) * TK / 4];\n"
    "#if EMULATE\n"
    "    local uint swap[ITEMS / 32 * 192];\n"
    "#endif\n"
    "    local float *la = (local float *)memory, *lb = la + STAGES * TM * TK;\n"
    "    const int t = get_local_id(0);\n"
    "    int m0 = get_group_id(1) * TM, n0 = get_group_id(0) * TN;\n"
    "    const int wm = t / 32 / IX * WM, wn = t / 32 % IX * WN;\n"
    "    float sum[WM / 16][WN / 8][4];\n"
    "    int stage = 0;\n"
    "    SETUP\n"
    "    EACH(i, WM / 16) EACH(j, WN / 8) EACH(l, 4) sum[i][j][l] = 0;\n"
    "    EACH(s, STAGES - 1) {\n"
    "        copy_tile(la + s * TM * TK, a, lda, A_K, TM, m0, M, s * TK, K);\n"
    "        copy_tile(lb + s * TN * TK, b, ldb, B_K, TN, n0, N, s * TK, K);\n"
    "        COMMIT();\n"
    "    }\n"
    "    for (int k0 = 0; k0 < K; k0 += TK) {\n"
    "        const int to = stage ? stage - 1 : STAGES - 1, ahead = k0 + (STAGES - 1) * TK;\n"
    "        WAIT();\n"
    "        copy_tile(la + to * TM * TK, a, lda, A_K, TM, m0, M, ahead, K);\n"
    "        copy_tile(lb + to * TN * TK, b, ldb, B_K, TN, n0, N, ahead, K);\n"
    "        COMMIT();\n"
    "        EACH(part, TK / DEPTH) {\n"
    "            uint fa[WM / 16][4], fb[WN / 16][4];\n"
    "            const int k = part * DEPTH;\n"
    "            EACH(i, WM / 16)\n"
    "                fragment(fa[i], la + stage * TM * TK, A_K, TM, wm + 16 * i, k SWAP);\n"
    "            EACH(j, WN / 16)\n"
    "                fragment(fb[j], lb + stage * TN * TK, B_K, TN, wn + 16 * j, k SWAP);\n"
    "            EACH(i, WM / 16)\n"
    "                EACH(j, WN / 8) mma(sum[i][j], fa[i], fb[j / 2] + j % 2 * 2 SWAP);\n"
    "        }\n"
    "        stage = stage + 1 == STAGES ? 0 : stage + 1;\n"
    "    }\n"
    "    m0 += wm + t % 32 / 4;\n"
    "    n0 += wn + t % 4 * 2;\n"
    "    EACH(j, WN / 8)\n"
    "        EACH(l, 4) {\n"
    "            const float v = HAS(bias) ? bias[min(n0 + COLUMN(j, l), N - 1)] : 0;\n"
    "            EACH(i, WM / 16) sum[i][j][l] += v;\n"
    "        }\n"
    "    if (HAS(with))\n"
    "        EACH(i, WM / 16)\n"
    "            EACH(j, WN / 8)\n"
    "                EACH(l, 4)\n"
    "                    sum[i][j][l] += with[PLACE(min(m0 + ROW(i, l), M - 1),\n"
    "                                               min(n0 + COLUMN(j, l), N - 1))];\n"
    "    EACH(i, WM / 16)\n"
    "        EACH(j, WN / 8) EACH(l, 4) sum[i][j][l] = clamped(sum[i][j][l], slope, most);\n"
    "    if (((c_at | ldc | N | cz) & 1) == 0)\n"
    "        EACH(i, WM / 16)\n"
    "            EACH(j, WN / 8)\n"
    "                EACH(h, 2) {\n"
    "                    const int m = m0 + ROW(i, 2 * h), n = n0 + COLUMN(j, 0);\n"
    "                    const float2 v = (float2)(sum[i][j][2 * h], sum[i][j][2 * h + 1]);\n"
    "                    if (m < M && n < N) *(global float2 *)(c + PLACE(m, n)) = v;\n"
    "                }\n"
    "    else\n"
    "        EACH(i, WM / 16)\n"
    "            EACH(j, WN / 8)\n"
    "                EACH(l, 4) {\n"
    "                    const int m = m0 + ROW(i, l), n = n0 + COLUMN(j, l);\n"
    "                    if (m < M && n < N) c[PLACE(m, n)] = sum[i][j][l];\n"
    "                }\n"
    "}\n";

static const char *const *cvncl_way_texts(const cvncl_backend *b, cvncl_kind kind)
{
    static const char *const plain[] = { cvncl_text_common, cvncl_text_product, cvncl_text_plain,
                                         NULL };
    static const char *const tiled[] = { cvncl_text_common, cvncl_text_product,
                                         cvncl_text_tiled_load, cvncl_text_tiled, NULL };
    static const char *const mma[] = { cvncl_text_common, cvncl_text_product, cvncl_text_mma_layout,
                                       cvncl_text_mma_ptx, cvncl_text_mma_fragment,
                                       cvncl_text_mma, NULL };
    static const char *const emulated[] = { cvncl_text_common, cvncl_text_product,
                                            cvncl_text_mma_layout, cvncl_text_mma_plain,
                                            cvncl_text_mma_fragment, cvncl_text_mma, NULL };
    if (kind != CVNCL_BY_MMA) return kind == CVNCL_BY_TILED ? tiled : plain;
    return b->emulate ? emulated : mma;
}

/* ================================================================================================
 * >>cl-tune   which way is the fastest here
 * ==============================================================================================
 *   For each class of products (layout, alignment, powers of two of the sizes) that a net needs,
 *   before its first step: the ways that fit multiply random matrices; those that differ from the
 *   plain kernel are dropped, the fastest stays. Fast tuning ends after 3 s in all, full tuning
 *   tries everything. What is found goes to a file of the device in the folder of
 *   $CONVNET_CL_CACHE or the user's cache; where it cannot be written that is all the same. */

/* A tuned class: powers of two in place of sizes. */
typedef struct cvncl_choice {
    struct cvncl_choice *next;
    cvncl_class of;
    int way;
} cvncl_choice;

/* Matrices for trying ways, with the plain kernel's result. */
typedef struct cvncl_trial {
    cvncl_class of;
    void *memory[5];            /* a, b, bias, with, c */
    float *want, *got;
    size_t count;               /* of c */
} cvncl_trial;

/* Largest distances from the plain kernel: 2^-11 and 2^-8 are the units of tf32 and bf16. */
static double cvncl_bound(const cvncl_backend *b, cvncl_kind kind)
{
    if (kind != CVNCL_BY_MMA) return 1e-5;
    return b->precision == CVNCL_TF32 ? 1e-3 : 8e-3;
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
    for (int i = 0; i < 5; i++)
        if (t->memory[i]) b->api.ReleaseMemObject(t->memory[i]);
    CONVNET_FREE(t->want);
    CONVNET_FREE(t->got);
    memset(t, 0, sizeof *t);
}

/* A buffer of n random numbers in -1..1, from `room`. */
static void *cvncl_random_buffer(cvncl_backend *b, float *room, size_t n, uint32_t seed)
{
    int32_t status = 0;
    void *memory = b->api.CreateBuffer(b->context, CVNCL_READ_WRITE, n * sizeof(float), NULL,
                                       &status);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        room[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
    if (memory && b->api.EnqueueWriteBuffer(b->queue, memory, 1, 0, n * sizeof(float), room, 0,
                                            NULL, NULL) != 0) {
        b->api.ReleaseMemObject(memory);
        memory = NULL;
    }
    return memory;
}

static int32_t cvncl_run_trial(cvncl_backend *b, const cvncl_trial *t, const cvncl_built *built)
{
    const cvncl_class *c = &t->of;
    const int32_t ints[9] = { c->M, c->N, c->K, c->layout / 2 ? c->K : c->M, c->M * c->K,
                              c->layout % 2 ? c->K : c->N, c->N * c->K, c->N, c->M * c->N };
    const float floats[2] = { 0.5f, 2 };
    const uint64_t at = 0;
    int32_t status = 0;
    for (uint32_t i = 0; i < 5 && status == 0; i++) {
        status = b->api.SetKernelArg(built->kernel, 2 * i, sizeof(void *), &t->memory[i]);
        if (status == 0) status = b->api.SetKernelArg(built->kernel, 2 * i + 1, sizeof at, &at);
    }
    for (uint32_t i = 0; i < 9 && status == 0; i++)
        status = b->api.SetKernelArg(built->kernel, 10 + i, sizeof ints[i], &ints[i]);
    for (uint32_t i = 0; i < 2 && status == 0; i++)
        status = b->api.SetKernelArg(built->kernel, 19 + i, sizeof floats[i], &floats[i]);
    return status == 0 ? cvncl_run_built(b, built, c->M, c->N, c->batch) : status;
}

/* One run into c full of NaN, and what came. */
static int cvncl_result_of_trial(cvncl_backend *b, const cvncl_trial *t, const cvncl_built *built,
                                 float *to)
{
    const size_t bytes = t->count * sizeof(float);
    for (size_t i = 0; i < t->count; i++) to[i] = NAN;
    return b->api.EnqueueWriteBuffer(b->queue, t->memory[4], 1, 0, bytes, to, 0, NULL, NULL) == 0 &&
           cvncl_run_trial(b, t, built) == 0 &&
           b->api.EnqueueReadBuffer(b->queue, t->memory[4], 1, 0, bytes, to, 0, NULL, NULL) == 0;
}

/* Random matrices of a class and what the plain kernel makes of them. */
static int cvncl_begin_trial(cvncl_backend *b, const cvncl_class *c, cvncl_trial *t)
{
    static const int plain = CVNCL_ROWS_16X16;
    const size_t sizes[5] = { (size_t)c->M * (size_t)c->K * (size_t)c->batch,
                              (size_t)c->N * (size_t)c->K * (size_t)c->batch, (size_t)c->N,
                              (size_t)c->M * (size_t)c->N * (size_t)c->batch,
                              (size_t)c->M * (size_t)c->N * (size_t)c->batch };
    const cvncl_built *built = cvncl_get_built(b, plain, c->layout, 1);
    float *room = (float *)CONVNET_MALLOC(cvni_max_size(cvni_max_size(sizes[0], sizes[1]),
                                                        sizes[4]) * sizeof(float));
    int ok = room && built && built->kernel;
    memset(t, 0, sizeof *t);
    t->of = *c;
    t->count = sizes[4];
    t->want = (float *)CONVNET_MALLOC(t->count * sizeof(float));
    t->got = (float *)CONVNET_MALLOC(t->count * sizeof(float));
    for (int i = 0; i < 5 && ok; i++) {
        t->memory[i] = cvncl_random_buffer(b, room, sizes[i], (uint32_t)i + 1);
        ok = t->memory[i] != NULL;
    }
    CONVNET_FREE(room);
    ok = ok && t->want && t->got && cvncl_result_of_trial(b, t, built, t->want);
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

/* A kernel on matrix units against the plain one, in a batch of two with edges in all axes. */
static int cvncl_mma_works(cvncl_backend *b, cvncl_built *built)
{
    const cvncl_class c = { built->layout, built->vector, 2, 140, 132, 84 };
    cvncl_trial t;
    double error;
    if (!cvncl_begin_trial(b, &c, &t)) return 0;
    error = cvncl_trial_error(b, &t, built);
    cvncl_end_trial(b, &t);
    return error < cvncl_bound(b, CVNCL_BY_MMA);
}

/* The product that stands for a class: at most 2048 a side, and so small that a run of the plain
 * kernel takes 0.1 s at most, for a screen may hang on this device. */
static cvncl_class cvncl_trial_class(cvncl_backend *b, const cvncl_class *c)
{
    const cvncl_class first = { c->layout, 1, 1, 128, 128, 128 };
    cvncl_class small = *c;
    cvncl_trial t;
    double rate = 1e9;
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
        *side = *side / 8 * 4;
    }
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
    double best = HUGE_VAL;
    cvncl_trial t;
    int found = -1;
    if (!first || !cvncl_begin_trial(b, &small, &t)) return -1;
    for (int i = -1; i < CVNCL_WAYS; i++) {     /* what goes without tuning, then all */
        const int way = i < 0 ? first->way : i;
        const cvncl_built *built;
        double seconds;
        if (i == first->way || !cvncl_worth(b, c, way)) continue;
        if (found >= 0 && cvni_seconds() > until) break;
        built = cvncl_get_built(b, way, c->layout, c->vector);
        if (!built || !built->kernel) continue;
        if (!(cvncl_trial_error(b, &t, built) < cvncl_bound(b, cvncl_ways[way].kind))) continue;
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
/* The file of this device; its first line says of which, in full. 0: there is no place for it. */
static int cvncl_choices_path(const cvncl_backend *b, char *path, size_t room, char *head,
                              size_t head_room)
{
    static const char *const precisions[] = { "fp32", "tf32", "bf16" };
    const char *folder = getenv("CONVNET_CL_CACHE");
    const char *under = "";
    uint64_t hash = 14695981039346656037u;      /* FNV-1a */
#ifdef _WIN32
    if (!folder) folder = getenv("LOCALAPPDATA");
#else
    if (!folder) folder = getenv("XDG_CACHE_HOME");
    if (!folder) {
        folder = getenv("HOME");
        under = "/.cache";
    }
#endif
    if (!folder || !*folder || !strcmp(folder, "0")) return 0;
    snprintf(head, head_room, "convnet_cl.h %s|%s|%s|%s|%d\n", CONVNET_VERSION, b->name, b->driver,
             precisions[b->precision], b->local);
    for (const char *c = head; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    return snprintf(path, room, "%s%s/convnet_cl-%08lx%08lx.txt", folder, under,
                    (unsigned long)(hash >> 32), (unsigned long)(hash & 0xFFFFFFFFu)) < (int)room;
}

/* A line: class, then the way in full, for another version's table may have another order. */
static void cvncl_read_choices(cvncl_backend *b)
{
    char path[600], head[400], line[400];
    FILE *f = cvncl_choices_path(b, path, sizeof path, head, sizeof head) ? fopen(path, "r") : NULL;
    if (!f) return;
    if (fgets(line, sizeof line, f) && !strcmp(line, head))
        while (fgets(line, sizeof line, f)) {
            cvncl_class c;
            cvncl_way w;
            int kind;
            if (sscanf(line, "%d %d %d %d %d %d %d %d %d %d %d %d %d %d", &c.layout, &c.vector,
                       &c.batch, &c.M, &c.N, &c.K, &kind, &w.tile.m, &w.tile.n, &w.tile.k,
                       &w.tile.item_m, &w.tile.item_n, &w.wide, &w.registers) != 14)
                break;
            for (int i = 0; i < CVNCL_WAYS; i++) {
                const cvncl_way *way = &cvncl_ways[i];
                if ((int)way->kind == kind && way->wide == w.wide &&
                    way->registers == w.registers &&
                    !memcmp(&way->tile, &w.tile, sizeof w.tile))
                    cvncl_keep_choice(b, &c, i);
            }
        }
    fclose(f);
}

typedef struct cvncl_choices { const char *head; const cvncl_choice *first; } cvncl_choices;

static void cvncl_put_choices(cvni_sink *s, const void *context)
{
    const cvncl_choices *c = (const cvncl_choices *)context;
    cvni_put(s, c->head, strlen(c->head));
    for (const cvncl_choice *t = c->first; t; t = t->next) {
        const cvncl_way *w = &cvncl_ways[t->way];
        char line[200];
        snprintf(line, sizeof line, "%d %d %d %d %d %d %d %d %d %d %d %d %d %d\n", t->of.layout,
                 t->of.vector, t->of.batch, t->of.M, t->of.N, t->of.K, (int)w->kind, w->tile.m,
                 w->tile.n, w->tile.k, w->tile.item_m, w->tile.item_n, w->wide, w->registers);
        cvni_put(s, line, strlen(line));
    }
}

static void cvncl_write_choices(const cvncl_backend *b)
{
    char path[600], head[400];
    const char *wrong;
    cvn_allocator none;
    cvncl_choices c;
    memset(&none, 0, sizeof none);
    c.head = head;
    c.first = b->choices;
    if (cvncl_choices_path(b, path, sizeof path, head, sizeof head))
        cvni_write_file(&none, path, cvncl_put_choices, &c, &wrong);
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
 *   Geometry and the three products are those of convnet.h, >>conv. Columns are the positions of
 *   the whole batch, which lie side by side. "up" is a gather too, so nothing is added by atomics;
 *   the sums of the weights' gradient are cut into slices that a second kernel adds in order. */

static const char cvncl_text_conv_common[] =
    "/* Geometry of a convolution (convnet.h, >>conv): channels of the big and the small image,\n"
    " * of a group; sizes, strides; then for each tap what it adds to position*stride, on three\n"
    " * axes. */\n"
    "#define C g[0]\n"
    "#define F g[1]\n"
    "#define CG g[2]\n"
    "#define FG g[3]\n"
    "#define TAPS g[4]\n"
    "#define BD g[6]\n"
    "#define BH g[7]\n"
    "#define BW g[8]\n"
    "#define SD g[9]\n"
    "#define SH g[10]\n"
    "#define SW g[11]\n"
    "#define STEP_D g[12]\n"
    "#define STEP_H g[13]\n"
    "#define STEP_W g[14]\n"
    "#define TAP(t) (g + 16 + 3 * (t))\n"
    "\n"
    "/* Position q of all small images: where its image begins in the big ones, for a group, and\n"
    " * its place on the three axes of the padded big image. */\n"
    "int4 small_point(global const int *g, int group, int q)\n"
    "{\n"
    "    const int small = SD * SH * SW, image = q / small, p = q - image * small;\n"
    "    const int row = p / SW, d = row / SH;\n"
    "    return (int4)((image * C + group * CG) * BD * BH * BW, d * STEP_D,\n"
    "                  (row - d * SH) * STEP_H, (p - row * SW) * STEP_W);\n"
    "}\n"
    "\n"
    "/* k = (channel of the group, tap): what both add to that. */\n"
    "int4 big_tap(global const int *g, int k)\n"
    "{\n"
    "    const int c = k / TAPS;\n"
    "    global const int *tap = TAP(k - c * TAPS);\n"
    "    return (int4)(c * BD * BH * BW, tap[0], tap[1], tap[2]);\n"
    "}\n"
    "\n"
    "float big_at(global const float *x, global const int *g, int4 at)\n"
    "{\n"
    "    if ((uint)at.y >= (uint)BD || (uint)at.z >= (uint)BH || (uint)at.w >= (uint)BW)\n"
    "        return 0;\n"
    "    return x[at.x + (at.y * BH + at.z) * BW + at.w];\n"
    "}\n"
    "\n"
    "/* The same from position q of all big images, and k = (filter of the group, tap), back to\n"
    " * the small ones. */\n"
    "int4 big_point(global const int *g, int group, int q)\n"
    "{\n"
    "    const int big = BD * BH * BW, image = q / big, p = q - image * big;\n"
    "    const int row = p / BW, d = row / BH;\n"
    "    return (int4)((image * F + group * FG) * SD * SH * SW, d, row - d * BH, p - row * BW);\n"
    "}\n"
    "\n"
    "int4 small_tap(global const int *g, int k)\n"
    "{\n"
    "    const int f = k / TAPS;\n"
    "    global const int *tap = TAP(k - f * TAPS);\n"
    "    return (int4)(f * SD * SH * SW, -tap[0], -tap[1], -tap[2]);\n"
    "}\n"
    "\n"
    "float small_at(global const float *y, global const int *g, int4 at)\n"
    "{\n"
    "    if (at.y < 0 || at.z < 0 || at.w < 0) return 0;\n"
    "    if (STEP_D * STEP_H * STEP_W > 1) {\n"
    "        const int d = at.y / STEP_D, h = at.z / STEP_H, w = at.w / STEP_W;\n"
    "        if (d * STEP_D != at.y || h * STEP_H != at.z || w * STEP_W != at.w) return 0;\n"
    "        at.y = d;\n"
    "        at.z = h;\n"
    "        at.w = w;\n"
    "    }\n"
    "    if (at.y >= SD || at.z >= SH || at.w >= SW) return 0;\n"
    "    return y[at.x + (at.y * SH + at.z) * SW + at.w];\n"
    "}\n";

static const char cvncl_text_conv_store[] =
    "void store(global float *y, float v, float bias, int add, float slope, float most)\n"
    "{\n"
    "    *y = add ? *y + v : clamped(v + bias, slope, most);\n"
    "}\n";

static const char cvncl_text_conv_down[] =
    "/* y[image][filter][position] of small images from big ones; M = FG, N: positions of the\n"
    " * batch */\n"
    "#define NAME conv_down\n"
    "#define PARAMS \\\n"
    "    IN(x), IN(w), IN(bias), MEM(y), INTS(g), const int M, const int N, const int K, \\\n"
    "    const int add, const float slope, const float most\n"
    "#define SETUP \\\n"
    "    AT(x); AT(w); AT(bias); AT(y); AT(g); \\\n"
    "    const int first = 0, last = K, plane = SD * SH * SW;\n"
    "#define A_FAST_K 1\n"
    "#define B_FAST_K 0\n"
    "#define A_TYPE int\n"
    "#define A_ROW(m) ((z * M + (m)) * K)\n"
    "#define A_DEEP(k) (k)\n"
    "#define A_AT(row, deep) w[(row) + (deep)]\n"
    "#define B_TYPE int4\n"
    "#define B_COLUMN(n) small_point(g, z, n)\n"
    "#define B_DEEP(k) big_tap(g, k)\n"
    "#define B_AT(deep, column) big_at(x, g, (deep) + (column))\n"
    "#define STORE(m, n, v) \\\n"
    "    store(y + ((n) / plane * F + z * M + (m)) * plane + (n) % plane, v, \\\n"
    "          HAS(bias) ? bias[z * M + (m)] : 0, add, slope, most)\n";

static const char cvncl_text_conv_up[] =
    "/* x[image][channel][position] of big images from small ones, as a gather; M = CG */\n"
    "#define NAME conv_up\n"
    "#define PARAMS \\\n"
    "    IN(y), IN(w), IN(bias), MEM(x), INTS(g), const int M, const int N, const int K, \\\n"
    "    const int add, const float slope, const float most\n"
    "#define SETUP \\\n"
    "    AT(x); AT(w); AT(bias); AT(y); AT(g); \\\n"
    "    const int first = 0, last = K, plane = BD * BH * BW;\n"
    "#define A_FAST_K 1\n"
    "#define B_FAST_K 0\n"
    "#define A_TYPE int\n"
    "#define A_ROW(m) ((z * FG * M + (m)) * TAPS)\n"
    "#define A_DEEP(k) ((k) / TAPS * M * TAPS + (k) % TAPS)\n"
    "#define A_AT(row, deep) w[(row) + (deep)]\n"
    "#define B_TYPE int4\n"
    "#define B_COLUMN(n) big_point(g, z, n)\n"
    "#define B_DEEP(k) small_tap(g, k)\n"
    "#define B_AT(deep, column) small_at(y, g, (deep) + (column))\n"
    "#define STORE(m, n, v) \\\n"
    "    store(x + ((n) / plane * C + z * M + (m)) * plane + (n) % plane, v, \\\n"
    "          HAS(bias) ? bias[z * M + (m)] : 0, add, slope, most)\n";

static const char cvncl_text_conv_weights[] =
    "/* part[slice][filter][channel, tap]: sums over `length` positions of the batch each;\n"
    " * M = FG, N = CG*TAPS, K: positions of the batch */\n"
    "#define NAME conv_weights\n"
    "#define PARAMS \\\n"
    "    IN(x), IN(y), OUT(part), INTS(g), const int M, const int N, const int K, \\\n"
    "    const int slices, const int length\n"
    "#define SETUP \\\n"
    "    AT(x); AT(y); AT(part); AT(g); \\\n"
    "    const int group = z / slices, first = z % slices * length; \\\n"
    "    const int last = min(first + length, K), plane = SD * SH * SW;\n"
    "#define A_FAST_K 1\n"
    "#define B_FAST_K 1\n"
    "#define A_TYPE int\n"
    "#define A_ROW(m) ((group * M + (m)) * plane)\n"
    "#define A_DEEP(k) ((k) / plane * F * plane + (k) % plane)\n"
    "#define A_AT(row, deep) y[(row) + (deep)]\n"
    "#define B_TYPE int4\n"
    "#define B_COLUMN(n) big_tap(g, n)\n"
    "#define B_DEEP(k) small_point(g, group, k)\n"
    "#define B_AT(deep, column) big_at(x, g, (deep) + (column))\n"
    "#define STORE(m, n, v) part[(size_t)((z % slices * F + group * M + (m)) * N + (n))] = v\n";

static const char cvncl_text_conv_sums[] =
    "/* dw += the parts, in their order */\n"
    "kernel void conv_reduce(IN(part), MEM(dw), const int n, const int slices)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(part); AT(dw);\n"
    "    if (i >= n) return;\n"
    "    for (int s = 0; s < slices; s++) sum += part[(size_t)s * n + i];\n"
    "    dw[i] += sum;\n"
    "}\n";

static const char cvncl_text_depthwise[] =
    "/* The same where a group has one channel: an item each element. */\n"
    "kernel void depthwise_down(IN(x), IN(w), IN(bias), MEM(y), INTS(g), const int n,\n"
    "                           const int add, const float slope, const float most)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(w); AT(bias); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int small = SD * SH * SW, f = i / small % F;\n"
    "    const int q = i / small / F * small + i % small;\n"
    "    const int4 point = small_point(g, f / FG, q);\n"
    "    for (int t = 0; t < TAPS; t++)\n"
    "        sum += w[f * TAPS + t] *\n"
    "               big_at(x, g, point + (int4)(0, TAP(t)[0], TAP(t)[1], TAP(t)[2]));\n"
    "    store(y + i, sum, HAS(bias) ? bias[f] : 0, add, slope, most);\n"
    "}\n"
    "\n"
    "kernel void depthwise_up(IN(y), IN(w), IN(bias), MEM(x), INTS(g), const int n,\n"
    "                         const int add, const float slope, const float most)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(w); AT(bias); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int big = BD * BH * BW, c = i / big % C, q = i / big / C * big + i % big;\n"
    "    const int4 point = big_point(g, c, q);\n"
    "    for (int f = 0; f < FG; f++)\n"
    "        for (int t = 0; t < TAPS; t++)\n"
    "            sum += w[(c * FG + f) * TAPS + t] *\n"
    "                   small_at(y, g, point + (int4)(f * SD * SH * SW, -TAP(t)[0], -TAP(t)[1],\n"
    "                                                 -TAP(t)[2]));\n"
    "    store(x + i, sum, HAS(bias) ? bias[c] : 0, add, slope, most);\n"
    "}\n"
    "\n"
    "/* dw[filter][tap] += sums over `positions` of the batch; a group each */\n"
    "kernel void depthwise_weights(IN(x), IN(y), MEM(dw), INTS(g), const int positions)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int id = get_group_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(y); AT(dw); AT(g);\n"
    "    const int small = SD * SH * SW, f = id / TAPS;\n"
    "    const int4 tap = big_tap(g, id % TAPS);\n"
    "    for (int q = get_local_id(0); q < positions; q += WG)\n"
    "        sum += y[(q / small * F + f) * small + q % small] *\n"
    "               big_at(x, g, small_point(g, f / FG, q) + tap);\n"
    "    sum = group_sum(sum, part);\n"
    "    if (get_local_id(0) == 0) dw[id] += sum;\n"
    "}\n";

static int cvncl_conv_table(const cvn_net *net, const cvni_layer *l, int *g)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const cvni_axis *a = c.axis;
    const int head[16] = { c.C, c.M, c.CG, c.MG, c.taps, 0, a[0].big, a[1].big, a[2].big,
                           a[0].small, a[1].small, a[2].small, a[0].stride, a[1].stride,
                           a[2].stride, 0 };
    const int count = 16 + 3 * c.taps;
    if (!g) return count;
    memcpy(g, head, sizeof head);
    for (int t = 0; t < c.taps; t++) {
        int rest = t;
        for (int i = 2; i >= 0; i--) {
            g[16 + 3 * t + i] = rest % a[i].kernel * a[i].dilation - a[i].pad;
            rest /= a[i].kernel;
        }
    }
    return count;
}

static int cvncl_is_depthwise(const cvni_conv *c) { return c->CG == 1 && c->G > 1; }

/* Slices of the sums for the weights' gradient: enough tiles for the device, no short ones. */
static int cvncl_conv_slices(const cvncl_backend *b, const cvni_conv *c)
{
    const int size = cvncl_tile_size(b, c->MG, c->K, c->G);
    const double tiles = (double)cvni_ceil_div(c->MG, b->tile[size].m) *
                         cvni_ceil_div(c->K, b->tile[size].n) * c->G;
    const double positions = (double)c->N * c->OH * c->OW;
    double slices = ceil(4.0 * b->units / tiles);
    if (slices > ceil(positions / 512)) slices = ceil(positions / 512);
    return slices > 64 ? 64 : (int)slices;
}

static size_t cvncl_conv_work(cvn_net *net, const cvni_layer *l)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const size_t weights = cvni_mul_size((size_t)c.M, (size_t)c.K);
    if (cvncl_is_depthwise(&c)) return 0;
    return cvni_mul_size((size_t)cvncl_conv_slices(cvncl_of(net), &c), weights);
}

/* The gradient of a padded image would have to be folded back. */
static int cvncl_conv_can(const cvn_net *net, const cvni_layer *l)
{
    const cvni_conv_desc *d = (const cvni_conv_desc *)l->desc;
    (void)net;
    return !l->spectral && d->pad_mode == CVN_PAD_ZERO;
}

/* From one image to the other; act NULL: none. */
static cvn_result cvncl_conv_pass(cvn_net *net, const cvni_layer *l, int up, const float *from,
                                  const float *w, const float *bias, float *to, int add,
                                  const cvni_layer *act)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const int table = cvncl_net_of(net)->table_at[cvni_id(net, l)];
    const int positions = c.N * (up ? c.H * c.W : c.OH * c.OW);
    const int M = up ? c.CG : c.MG;
    const int K = up ? c.MG * c.taps : c.K;
    float slope, most;
    cvncl_clamp(act, &slope, &most);
    if (cvncl_is_depthwise(&c)) {
        const int n = positions * (up ? c.C : c.M);
        return cvncl_each(net, up ? CVNCL_DEPTHWISE_UP : CVNCL_DEPTHWISE_DOWN, n, "pppptiiff", from,
                          w, bias, to, table, n, add, (double)slope, (double)most);
    }
    return cvncl_tiles(net, up ? CVNCL_CONV_UP : CVNCL_CONV_DOWN, M, positions, c.G, "pppptiiiiff",
                       from, w, bias, to, table, M, positions, K, add, (double)slope, (double)most);
}

static cvn_result cvncl_conv_weights(cvn_net *net, const cvni_layer *l, const float *big,
                                     const float *small, float *dw)
{
    const cvni_conv c = cvni_conv_of(net, l);
    const int table = cvncl_net_of(net)->table_at[cvni_id(net, l)];
    const int positions = c.N * c.OH * c.OW;
    const int slices = cvncl_conv_slices(cvncl_of(net), &c);
    cvn_result result;
    if (cvncl_is_depthwise(&c))
        return cvncl_groups(net, CVNCL_DEPTHWISE_WEIGHTS, c.M * c.taps, "pppti", big, small, dw,
                            table, positions);
    result = cvncl_tiles(net, CVNCL_CONV_WEIGHTS, c.MG, c.K, c.G * slices, "ppwtiiiii", big, small,
                         0, table, c.MG, c.K, positions, slices, cvni_ceil_div(positions, slices));
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_CONV_REDUCE, c.M * c.K, "wpii", 0, dw, c.M * c.K, slices);
}

static cvn_result cvncl_conv_forward(cvn_net *net, cvni_layer *l)
{
    const int up = ((const cvni_conv_desc *)l->desc)->transposed;
    return cvncl_conv_pass(net, l, up, cvni_in(net, l, 0)->y, cvni_run_weight(net, l),
                           cvni_run_bias(net, l), l->y, 0, cvni_activation(net, l));
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
        result = cvncl_bias_gradient(net, l->dy, db, l->shape.dim[0], l->shape.dim[1],
                                     (int)(cvni_sample_elements(l->shape) /
                                           (size_t)l->shape.dim[1]));
    dx = cvni_gradient_for(x, &add);
    if (!dx || result != CVN_OK) return result;
    return cvncl_conv_pass(net, l, !transposed, l->dy, cvni_weights(net, l, 0), NULL, dx, add,
                           NULL);
}

/* ================================================================================================
 * >>cl-pool   maximum and mean over windows
 * ============================================================================================== */

static const char cvncl_text_pool[] =
    "/* One axis of a pool (convnet.h, >>pool): n, out, kernel (0: adaptive), stride, pads,\n"
    " * exclude_pad. */\n"
    "typedef struct { int begin, end; float size; } span;\n"
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
    "    s.begin = max(first, 0);\n"
    "    s.end = min(first + a[2], a[0]);\n"
    "    s.size = a[6] ? s.end - s.begin : min(first + a[2], a[0] + a[5]) - first;\n"
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
    "        s.begin = max((h + a[4] - a[2]) / a[3], 0);\n"
    "        s.end = min((h + a[4]) / a[3] + 1, a[1]);\n"
    "    }\n"
    "    return s;\n"
    "}\n"
    "\n"
    "/* Of equal values the first one wins, a NaN against all numbers. winner: offsets in the\n"
    " * plane. */\n"
    "kernel void maxpool(IN(x), OUT(y), global int *winner, const ulong winner_at, INTS(a),\n"
    "                    const int n)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(winner); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int W = a[8], outs = a[1] * a[9], o = i % outs;\n"
    "    const span rows = window(a, o / a[9]), cols = window(a + 8, o % a[9]);\n"
    "    int best = rows.begin * W + cols.begin;\n"
    "    x += (size_t)(i / outs) * (a[0] * W);\n"
    "    for (int h = rows.begin; h < rows.end; h++)\n"
    "        for (int k = h * W + cols.begin; k < h * W + cols.end; k++)\n"
    "            if (x[k] > x[best] || (x[k] != x[k] && x[best] == x[best])) best = k;\n"
    "    if (HAS(y)) y[i] = x[best];\n"
    "    if (HAS(winner)) winner[i] = best;\n"
    "}\n"
    "\n"
    "kernel void maxpool_back(IN(dy), INTS(winner), MEM(dx), INTS(a), const int n, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(dy); AT(winner); AT(dx); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int plane = a[0] * a[8], outs = a[1] * a[9];\n"
    "    const int p = i % plane, base = i / plane * outs;\n"
    "    const span rows = windows_of(a, p / a[8]), cols = windows_of(a + 8, p % a[8]);\n"
    "    float sum = 0;\n"
    "    for (int h = rows.begin; h < rows.end; h++)\n"
    "        for (int w = cols.begin; w < cols.end; w++)\n"
    "            if (winner[base + h * a[9] + w] == p) sum += dy[base + h * a[9] + w];\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
    "}\n";

static const char cvncl_text_avgpool[] =
    "kernel void avgpool(IN(x), OUT(y), INTS(a), const int n)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int W = a[8], outs = a[1] * a[9], o = i % outs;\n"
    "    const span rows = window(a, o / a[9]), cols = window(a + 8, o % a[9]);\n"
    "    float sum = 0;\n"
    "    x += (size_t)(i / outs) * (a[0] * W);\n"
    "    for (int h = rows.begin; h < rows.end; h++) {\n"
    "        float line = 0;\n"
    "        for (int w = cols.begin; w < cols.end; w++) line += x[h * W + w];\n"
    "        sum += line;\n"
    "    }\n"
    "    y[i] = sum / (rows.size * cols.size);\n"
    "}\n"
    "\n"
    "kernel void avgpool_back(IN(dy), MEM(dx), INTS(a), const int n, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(dy); AT(dx); AT(a);\n"
    "    if (i >= n) return;\n"
    "    const int plane = a[0] * a[8], outs = a[1] * a[9];\n"
    "    const int p = i % plane, base = i / plane * outs;\n"
    "    const int h = p / a[8], w = p % a[8];\n"
    "    const span rows = windows_of(a, h), cols = windows_of(a + 8, w);\n"
    "    float sum = 0;\n"
    "    for (int r = rows.begin; r < rows.end; r++) {\n"
    "        const span v = window(a, r);\n"
    "        if (h < v.begin || h >= v.end) continue;\n"
    "        for (int c = cols.begin; c < cols.end; c++) {\n"
    "            const span u = window(a + 8, c);\n"
    "            if (w < u.begin || w >= u.end) continue;\n"
    "            sum += dy[base + r * a[9] + c] / (v.size * u.size);\n"
    "        }\n"
    "    }\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
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
                              a[i].exclude_pad, 0 };
        memcpy(table + 8 * i, axis, sizeof axis);
    }
    return 16;
}

static cvn_result cvncl_maxpool_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_MAXPOOL, n, "pppti", cvni_in(net, l, 0)->y,
                      l->is_int ? NULL : l->y, l->is_int ? (void *)l->y : l->saved,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n);
}

static cvn_result cvncl_maxpool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_MAXPOOL_BACK, n, "ppptii", l->dy, l->saved, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, add);
}

static cvn_result cvncl_avgpool_forward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_AVGPOOL, n, "ppti", cvni_in(net, l, 0)->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n);
}

static cvn_result cvncl_avgpool_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_AVGPOOL_BACK, n, "pptii", l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, add);
}

/* ================================================================================================
 * >>cl-norm   batch norm, with the sum and the activation that follow it; layer norm and its kin
 * ==============================================================================================
 *   Formulas: convnet.h, >>norm. Work: factors [4, C], then factors of dx [3, C]. */

static const char cvncl_text_norm[] =
    "/* x [N, C, S]; saved [2, C]: mean and s = 1/sqrt(var + eps) of the batch; a group each\n"
    " * channel */\n"
    "kernel void norm_stats(IN(x), OUT(saved), MEM(mean), MEM(var), const int N, const int C,\n"
    "                       const int S, const float eps, const float momentum, const int learn)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int c = get_group_id(0), m = N * S;\n"
    "    float sum = 0, square = 0;\n"
    "    AT(x); AT(saved); AT(mean); AT(var);\n"
    "    for (int i = get_local_id(0); i < m; i += WG) sum += x[(i / S * C + c) * S + i % S];\n"
    "    const float mu = group_sum(sum, part) / m;\n"
    "    for (int i = get_local_id(0); i < m; i += WG) {\n"
    "        const float d = x[(i / S * C + c) * S + i % S] - mu;\n"
    "        square += d * d;\n"
    "    }\n"
    "    square = group_sum(square, part);\n"
    "    if (get_local_id(0) != 0) return;\n"
    "    saved[c] = mu;\n"
    "    saved[C + c] = 1 / sqrt(square / m + eps);\n"
    "    if (!learn) return;\n"
    "    mean[c] = (1 - momentum) * mean[c] + momentum * mu;\n"
    "    var[c] = (1 - momentum) * var[c] + momentum * square / max(m - 1, 1);\n"
    "}\n"
    "\n"
    "/* f [4, C]: scale and shift of x, center, s; from what was saved, or the running\n"
    " * statistics */\n"
    "kernel void norm_factors(OUT(f), IN(saved), IN(mean), IN(var), IN(weight), IN(bias),\n"
    "                         const int C, const float eps)\n"
    "{\n"
    "    const int c = get_global_id(0);\n"
    "    AT(f); AT(saved); AT(mean); AT(var); AT(weight); AT(bias);\n"
    "    if (c >= C) return;\n"
    "    const float center = HAS(saved) ? saved[c] : mean[c];\n"
    "    const float s = HAS(saved) ? saved[C + c] : 1 / sqrt(var[c] + eps);\n"
    "    const float scale = HAS(weight) ? weight[c] * s : s;\n"
    "    f[c] = scale;\n"
    "    f[C + c] = (HAS(bias) ? bias[c] : 0) - center * scale;\n"
    "    f[2 * C + c] = center;\n"
    "    f[3 * C + c] = s;\n"
    "}\n"
    "\n"
    "/* y = clamped(scale*x + shift + more) */\n"
    "kernel void norm_apply(MEM(x), MEM(y), IN(f), MEM(more), const int n, const int C,\n"
    "                       const int S, const float slope, const float most)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(f); AT(more);\n"
    "    if (i >= n) return;\n"
    "    const int c = i / S % C;\n"
    "    float v = f[c] * x[i] + f[C + c];\n"
    "    if (HAS(more)) v += more[i];\n"
    "    y[i] = clamped(v, slope, most);\n"
    "}\n";

static const char cvncl_text_norm_back[] =
    "/* g = dy where 0 < v < most, else slope*dy; v = clamp_y, or scale*x + shift. Gradients of\n"
    " * weight and bias; back [3, C]: factors of norm_dx; a group each channel */\n"
    "kernel void norm_sums(IN(x), MEM(dy), IN(clamp_y), MEM(g), MEM(dmore), IN(f), OUT(back),\n"
    "                      MEM(dweight), MEM(dbias), const int N, const int C, const int S,\n"
    "                      const float slope, const float most, const int batch)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int c = get_group_id(0), m = N * S;\n"
    "    float sum = 0, dot = 0;\n"
    "    AT(x); AT(dy); AT(clamp_y); AT(g); AT(dmore); AT(f); AT(back); AT(dweight); AT(dbias);\n"
    "    const float scale = f[c], shift = f[C + c], center = f[2 * C + c], s = f[3 * C + c];\n"
    "    for (int k = get_local_id(0); k < m; k += WG) {\n"
    "        const int i = (k / S * C + c) * S + k % S;\n"
    "        const float v = HAS(clamp_y) ? clamp_y[i] : scale * x[i] + shift;\n"
    "        const float d = v > 0 && v < most ? dy[i] : slope * dy[i];\n"
    "        sum += d;\n"
    "        dot += d * (x[i] - center);\n"
    "        if (HAS(g)) g[i] = d;\n"
    "        if (HAS(dmore)) dmore[i] += d;\n"
    "    }\n"
    "    sum = group_sum(sum, part);\n"
    "    dot = group_sum(dot, part) * s;\n"
    "    if (get_local_id(0) != 0) return;\n"
    "    if (HAS(dweight)) dweight[c] += dot;\n"
    "    if (HAS(dbias)) dbias[c] += sum;\n"
    "    back[c] = scale;\n"
    "    back[C + c] = batch ? -scale * s * dot / m : 0;\n"
    "    back[2 * C + c] = batch ? -scale * sum / m : 0;\n"
    "}\n"
    "\n"
    "kernel void norm_dx(IN(x), MEM(g), MEM(dx), IN(f), IN(back), const int n, const int C,\n"
    "                    const int S, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(g); AT(dx); AT(f); AT(back);\n"
    "    if (i >= n) return;\n"
    "    const int c = i / S % C;\n"
    "    const float center = f[2 * C + c];\n"
    "    const float d = back[c] * g[i] + (back[C + c] * (x[i] - center) + back[2 * C + c]);\n"
    "    dx[i] = add ? dx[i] + d : d;\n"
    "}\n";

static size_t cvncl_norm_work(cvn_net *net, const cvni_layer *l)
{
    (void)net;
    return 7 * (size_t)l->shape.dim[1];
}

/* Scale and shift of x into the work. */
static cvn_result cvncl_norm_factors(cvn_net *net, cvni_layer *l)
{
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)l->desc;
    const int affine = !d->no_affine;
    const int C = l->shape.dim[1];
    return cvncl_each(net, CVNCL_NORM_FACTORS, C, "wpppppif", 0,
                      cvni_norm_uses_batch(net, l) ? l->saved : NULL,
                      cvni_norm_param(net, l, CVNI_NORM_MEAN),
                      cvni_norm_param(net, l, CVNI_NORM_VAR),
                      affine ? cvni_norm_param(net, l, CVNI_NORM_WEIGHT) : NULL,
                      affine ? cvni_norm_param(net, l, CVNI_NORM_BIAS) : NULL, C, (double)d->eps);
}

static cvn_result cvncl_norm_forward(cvn_net *net, cvni_layer *l)
{
    const cvn_batchnorm_desc *d = (const cvn_batchnorm_desc *)l->desc;
    const cvni_norm_job j = cvni_norm_job_of(net, l, NULL);
    const int n = j.N * j.C * j.S;
    cvn_result result = CVN_OK;
    if (cvni_norm_uses_batch(net, l)) {
        result = cvni_norm_enough(net, l, (double)j.N * j.S);
        if (result == CVN_OK)
            result = cvncl_groups(net, CVNCL_NORM_STATS, j.C, "ppppiiiffi", j.x->y, l->saved,
                                  cvni_norm_param(net, l, CVNI_NORM_MEAN),
                                  cvni_norm_param(net, l, CVNI_NORM_VAR), j.N, j.C, j.S,
                                  (double)d->eps, (double)d->momentum, !net->again);
    }
    if (result == CVN_OK) result = cvncl_norm_factors(net, l);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_NORM_APPLY, n, "ppwpiiiff", j.x->y, l->y, 0, j.more, n, j.C, j.S,
                      (double)j.slope, (double)j.most);
}

static cvn_result cvncl_norm_backward(cvn_net *net, cvni_layer *l)
{
    const int affine = !((const cvn_batchnorm_desc *)l->desc)->no_affine;
    cvni_norm_job j = cvni_norm_job_of(net, l, NULL);
    const int n = j.N * j.C * j.S;
    cvn_result result = cvncl_norm_factors(net, l);
    cvni_norm_begin_backward(&j);
    if (result == CVN_OK)
        result = cvncl_groups(net, CVNCL_NORM_SUMS, j.C, "pppppwwppiiiffi", j.x->y, l->dy, j.sign,
                              j.g, j.dmore, 0, 4 * j.C,
                              affine ? cvni_weights_grad(net, l, CVNI_NORM_WEIGHT) : NULL,
                              affine ? cvni_weights_grad(net, l, CVNI_NORM_BIAS) : NULL, j.N, j.C,
                              j.S, (double)j.slope, (double)j.most, cvni_norm_uses_batch(net, l));
    if (!j.dx || result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_NORM_DX, n, "pppwwiiii", j.x->y, j.g ? j.g : l->dy, j.dx, 0,
                      4 * j.C, n, j.C, j.S, j.add);
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
    "    default: return pow(x, p);\n"
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
    "    case 20: return v > 0 ? 1 : v < 0 ? -1 : 0;\n"
    "    case 21: return p;\n"
    "    case 22: return v > p && v < q ? 1 : 0;\n"
    "    default: return p == 0 ? 0 : p * pow(v, p - 1);\n"
    "    }\n"
    "}\n"
    "\n"
    "kernel void map(MEM(x), MEM(y), const int n, const int kind, const float p, const float q)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i < n) y[i] = map_value(kind, x[i], p, q);\n"
    "}\n"
    "\n"
    "kernel void map_back(MEM(v), MEM(dy), MEM(dx), const int n, const int kind, const float p,\n"
    "                     const float q, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(v); AT(dy); AT(dx);\n"
    "    if (i >= n) return;\n"
    "    const float g = dy[i] * map_slope(kind, v[i], p, q);\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n";

static const char cvncl_text_prelu[] =
    "kernel void prelu(MEM(x), MEM(y), IN(w), const int n, const int C, const int S,\n"
    "                  const int step)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(w);\n"
    "    if (i < n) y[i] = x[i] > 0 ? x[i] : w[i / S % C * step] * x[i];\n"
    "}\n"
    "\n"
    "/* sums [C]: of dy*x over x <= 0; a group each channel */\n"
    "kernel void prelu_sums(IN(x), IN(dy), OUT(sums), const int N, const int C, const int S)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int c = get_group_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(dy); AT(sums);\n"
    "    for (int k = get_local_id(0); k < N * S; k += WG) {\n"
    "        const int i = (k / S * C + c) * S + k % S;\n"
    "        sum += x[i] > 0 ? 0 : dy[i] * x[i];\n"
    "    }\n"
    "    sum = group_sum(sum, part);\n"
    "    if (get_local_id(0) == 0) sums[c] = sum;\n"
    "}\n"
    "\n"
    "/* dw[c], or dw[0] from all channels */\n"
    "kernel void prelu_dw(IN(sums), MEM(dw), const int C, const int count)\n"
    "{\n"
    "    const int c = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(sums); AT(dw);\n"
    "    if (c >= count) return;\n"
    "    if (count > 1) sum = sums[c];\n"
    "    else for (int i = 0; i < C; i++) sum += sums[i];\n"
    "    dw[c] += sum;\n"
    "}\n"
    "\n"
    "kernel void prelu_back(IN(x), MEM(dy), MEM(dx), IN(w), const int n, const int C,\n"
    "                       const int S, const int step, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(dy); AT(dx); AT(w);\n"
    "    if (i >= n) return;\n"
    "    const float g = x[i] > 0 ? dy[i] : w[i / S % C * step] * dy[i];\n"
    "    dx[i] = add ? dx[i] + g : g;\n"
    "}\n";

/* In the order of map_value. neg is a scale. */
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
    while (cvncl_maps[kind] != op) kind++;
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
    return cvncl_each(net, CVNCL_MAP, n, "ppiiff", cvni_in(net, l, 0)->y, l->y, n, kind, (double)p,
                      (double)q);
}

/* What a slope does not read is not there any more: then dy is given, which is. */
static cvn_result cvncl_map_backward(cvn_net *net, cvni_layer *l)
{
    const int n = (int)cvni_elements(l->shape);
    cvni_layer *x = cvni_in(net, l, 0);
    const float *v = l->op->flags & CVNI_USES_X ? x->y : l->op->flags & CVNI_USES_Y ? l->y : l->dy;
    int add;
    float p, q;
    const int kind = cvncl_map_kind(l, &p, &q);
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_MAP_BACK, n, "pppiiffi", v, l->dy, dx, n, kind, (double)p,
                      (double)q, add);
}

typedef struct cvncl_channels { int N, C, S, n, step; } cvncl_channels;

static cvncl_channels cvncl_prelu_of(const cvni_layer *l)
{
    cvncl_channels c;
    c.N = l->shape.dim[0];
    c.C = cvni_prelu_channels(l->shape);
    c.S = (int)(cvni_sample_elements(l->shape) / (size_t)c.C);
    c.n = c.N * c.C * c.S;
    c.step = ((const cvni_prelu_desc *)l->desc)->parameters > 1;
    return c;
}

static size_t cvncl_prelu_work(cvn_net *net, const cvni_layer *l)
{
    (void)net;
    return (size_t)cvncl_prelu_of(l).C;
}

static cvn_result cvncl_prelu_forward(cvn_net *net, cvni_layer *l)
{
    const cvncl_channels c = cvncl_prelu_of(l);
    return cvncl_each(net, CVNCL_PRELU, c.n, "pppiiii", cvni_in(net, l, 0)->y, l->y,
                      cvni_weights(net, l, 0), c.n, c.C, c.S, c.step);
}

static cvn_result cvncl_prelu_backward(cvn_net *net, cvni_layer *l)
{
    const cvncl_channels c = cvncl_prelu_of(l);
    cvni_layer *x = cvni_in(net, l, 0);
    const int count = c.step ? c.C : 1;
    float *dw = cvni_weights_grad(net, l, 0);
    float *dx;
    int add;
    cvn_result result = CVN_OK;
    if (dw)
        result = cvncl_groups(net, CVNCL_PRELU_SUMS, c.C, "ppwiii", x->y, l->dy, 0, c.N, c.C, c.S);
    if (dw && result == CVN_OK)
        result = cvncl_each(net, CVNCL_PRELU_DW, count, "wpii", 0, dw, c.C, count);
    dx = cvni_gradient_for(x, &add);
    if (!dx || result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_PRELU_BACK, c.n, "ppppiiiii", x->y, l->dy, dx,
                      cvni_weights(net, l, 0), c.n, c.C, c.S, c.step, add);
}

/* ================================================================================================
 * >>cl-layers   views, concat, arithmetic of two tensors, softmax, dropout
 * ============================================================================================== */

static const char cvncl_text_copy[] =
    "/* `lines` lines of n elements, from `step` to `step` apart */\n"
    "kernel void copy_lines(MEM(x), MEM(y), const int lines, const int n, const int x_step,\n"
    "                       const int y_step, const int add, const float factor)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= lines * n) return;\n"
    "    const float v = factor * x[(size_t)(i / n) * x_step + i % n];\n"
    "    const size_t to = (size_t)(i / n) * y_step + i % n;\n"
    "    y[to] = add ? y[to] + v : v;\n"
    "}\n"
    "\n"
    "/* out[c] += sum over n, i of x[n][c][i]; a group each channel */\n"
    "kernel void channel_sums(IN(x), MEM(out), const int N, const int channels, const int S)\n"
    "{\n"
    "    local float part[WG];\n"
    "    const int c = get_group_id(0);\n"
    "    float sum = 0;\n"
    "    AT(x); AT(out);\n"
    "    for (int i = get_local_id(0); i < N * S; i += WG)\n"
    "        sum += x[(i / S * channels + c) * S + i % S];\n"
    "    sum = group_sum(sum, part);\n"
    "    if (get_local_id(0) == 0) out[c] += sum;\n"
    "}\n"
    "kernel void fill(OUT(y), const int n, const float value)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(y);\n"
    "    if (i < n) y[i] = value;\n"
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
    "    default: return a < b || a != a ? a : b;\n"
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
    "    default: return a == b || a != a || b != b ? 0.5f : (a < b) != side ? 1 : 0;\n"
    "    }\n"
    "}\n"
    "\n"
    "/* ny, na, nb: elements of a sample */\n"
    "kernel void binary(MEM(a), MEM(b), MEM(y), INTS(g), const int n, const int ny, const int na,\n"
    "                   const int nb, const int op, const float slope, const float most)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(a); AT(b); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int sample = i / ny, p = i % ny;\n"
    "    const float va = a[sample * na + place(g, p, 0)], vb = b[sample * nb + place(g, p, 1)];\n"
    "    y[i] = clamped(pair(op, va, vb), slope, most);\n"
    "}\n"
    "\n"
    "/* The gradient of one operand: an item each element of it; goes over the elements of y that\n"
    " * it went into. */\n"
    "kernel void binary_back(IN(a), IN(b), MEM(dy), MEM(dx), INTS(g), const int n, const int ny,\n"
    "                        const int na, const int nb, const int op, const int side,\n"
    "                        const int add)\n"
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
    "        const float slope = op < 2 ? pair_slope(op, side, 0, 0)\n"
    "                                   : pair_slope(op, side, a[sample * na + place(g, p, 0)],\n"
    "                                                b[sample * nb + place(g, p, 1)]);\n"
    "        sum += dy[sample * ny + p] * slope;\n"
    "    }\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
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

static const char cvncl_text_dropout[] =
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
    "/* Elements that share a draw lie `group` together; id, low and high: the counter behind the\n"
    " * index. */\n"
    "kernel void dropout(MEM(x), MEM(y), const int n, const int group, const int limit,\n"
    "                    const float scale, const uint id, const uint low, const uint high,\n"
    "                    const uint k0, const uint k1, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y);\n"
    "    if (i >= n) return;\n"
    "    const uint draw = i / group;\n"
    "    const uint4 r = philox((uint4)(draw / 4, id, low, high), k0, k1);\n"
    "    const uint k = draw % 4, word = k == 0 ? r.x : k == 1 ? r.y : k == 2 ? r.z : r.w;\n"
    "    const float v = (int)(word >> 8) < limit ? 0 : x[i] * scale;\n"
    "    y[i] = add ? y[i] + v : v;\n"
    "}\n";

/* y (+)= factor*x, n elements; in place nothing is left to do. */
static cvn_result cvncl_copy(cvn_net *net, const float *x, float *y, int n, int add, float factor)
{
    if (x == y && !add && factor == 1) return CVN_OK;
    return cvncl_each(net, CVNCL_COPY_LINES, n, "ppiiiiif", x, y, 1, n, n, n, add, (double)factor);
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

/* Both ways of concat: lines of each input in those of y. */
static cvn_result cvncl_concat_run(cvn_net *net, cvni_layer *l, int backward)
{
    int outer, length, inner;
    int at = 0;
    cvn_result result = CVN_OK;
    cvni_split_axis(l->shape, ((const cvni_concat_desc *)l->desc)->axis, &outer, &length, &inner);
    for (int i = 0; i < l->inputs && result == CVN_OK; i++) {
        cvni_layer *x = cvni_in(net, l, i);
        const int part = (int)(cvni_elements(x->shape) / (size_t)outer);
        int add = 0;
        float *dx = backward ? cvni_gradient_for(x, &add) : NULL;
        if (!backward)
            result = cvncl_each(net, CVNCL_COPY_LINES, outer * part, "ppiiiiif", x->y, l->y + at,
                                outer, part, part, length * inner, 0, 1.0);
        else if (dx)
            result = cvncl_each(net, CVNCL_COPY_LINES, outer * part, "ppiiiiif", l->dy + at, dx,
                                outer, part, length * inner, part, add, 1.0);
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

static int cvncl_binary_table(const cvn_net *net, const cvni_layer *l, int *table)
{
    return cvncl_broadcast_table(l->shape, cvni_in(net, l, 0)->shape, cvni_in(net, l, 1)->shape,
                                 table);
}

static int cvncl_binary_kind(const cvni_layer *l)
{
    static const cvni_arith *const rows[] = { &cvni_arith_add, &cvni_arith_sub, &cvni_arith_mul,
                                              &cvni_arith_div, &cvni_arith_max, &cvni_arith_min };
    int kind = 0;
    while (rows[kind] != ((const cvni_binary_desc *)l->desc)->row) kind++;
    return kind;
}

static cvn_result cvncl_binary_forward(cvn_net *net, cvni_layer *l)
{
    const cvni_layer *a = cvni_in(net, l, 0);
    const cvni_layer *b = cvni_in(net, l, 1);
    const int n = (int)cvni_elements(l->shape);
    float slope, most;
    cvncl_clamp(cvni_activation(net, l), &slope, &most);
    return cvncl_each(net, CVNCL_BINARY, n, "ppptiiiiiff", a->y, b->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n,
                      (int)cvni_sample_elements(l->shape), (int)cvni_sample_elements(a->shape),
                      (int)cvni_sample_elements(b->shape), cvncl_binary_kind(l), (double)slope,
                      (double)most);
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
        result = cvncl_each(net, CVNCL_BINARY_BACK, n, "pppptiiiiiii", a->y, b->y, l->dy, dx,
                            cvncl_net_of(net)->table_at[cvni_id(net, l)], n,
                            (int)cvni_sample_elements(l->shape),
                            (int)cvni_sample_elements(a->shape),
                            (int)cvni_sample_elements(b->shape), cvncl_binary_kind(l), side, add);
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

/* The draws are those of the CPU: of (seed, layer, pass, element). */
static cvn_result cvncl_dropout_run(cvn_net *net, cvni_layer *l, const float *in, float *out,
                                    int add)
{
    const float p = ((const cvni_dropout_desc *)l->desc)->p;
    const int n = (int)cvni_elements(l->shape);
    uint32_t c[4];
    if (!net->training) return cvncl_copy(net, in, out, n, add, 1);
    cvni_random_counter(CVNI_STREAM_DROPOUT, net->tick, (uint32_t)cvni_id(net, l), 0, c);
    return cvncl_each(net, CVNCL_DROPOUT, n, "ppiiifuuuuui", in, out, n,
                      (int)cvni_dropout_group(l), (int)ceilf(p * 16777216.0f),
                      (double)(1 / (1 - p)), c[1], c[2], c[3],
                      (unsigned)(net->desc.seed & 0xFFFFFFFFu), (unsigned)(net->desc.seed >> 32),
                      add);
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
    "kernel void resize(IN(x), OUT(y), INTS(g), const int n)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(x); AT(y); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int H = g[0], W = g[1], OH = g[2], OW = g[3], o = i % (OH * OW);\n"
    "    global const int *row = g + 8 + 3 * (o / OW), *col = g + 8 + 3 * OH + 3 * (o % OW);\n"
    "    const float a = WEIGHT(row[2]), b = WEIGHT(col[2]);\n"
    "    float v = 0;\n"
    "    x += (size_t)(i / (OH * OW)) * (H * W);\n"
    "    if (row[0] >= 0 && col[0] >= 0) {\n"
    "        v = x[row[0] * W + col[0]];\n"
    "        if (b != 0) v = (1 - b) * v + b * x[row[0] * W + col[1]];\n"
    "        if (a != 0)\n"
    "            v = (1 - a) * v +\n"
    "                a * ((1 - b) * x[row[1] * W + col[0]] + b * x[row[1] * W + col[1]]);\n"
    "    }\n"
    "    y[i] = v;\n"
    "}\n"
    "\n"
    "kernel void resize_back(IN(dy), MEM(dx), INTS(g), const int n, const int add)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float sum = 0;\n"
    "    AT(dy); AT(dx); AT(g);\n"
    "    if (i >= n) return;\n"
    "    const int H = g[0], W = g[1], OH = g[2], OW = g[3], p = i % (H * W);\n"
    "    global const int *rows = g + g[4], *cols = g + g[5];\n"
    "    dy += (size_t)(i / (H * W)) * (OH * OW);\n"
    "    for (int r = rows[p / W]; r < rows[p / W + 1]; r++)\n"
    "        for (int c = cols[p % W]; c < cols[p % W + 1]; c++)\n"
    "            sum += WEIGHT(g[2 * r + 1]) * WEIGHT(g[2 * c + 1]) *\n"
    "                   dy[g[2 * r] * OW + g[2 * c]];\n"
    "    dx[i] = add ? dx[i] + sum : sum;\n"
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
    " * kinds: sum, mean, max, min. */\n"
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
    "    float v = kind < 2 ? 0 : x[i / ny * nx + reduced(g, i % ny, 0)], count = 0;\n"
    "    for (int t = 0; t < nx / ny; t++) {\n"
    "        const float u = x[i / ny * nx + reduced(g, i % ny, t)];\n"
    "        if (kind < 2) v += u;\n"
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
    "    const float d = kind < 2 ? scale * dy[to] : x[i] == y[to] ? dy[to] / ties[to] : 0;\n"
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
    const int n = (int)cvni_elements(l->shape);
    return cvncl_each(net, CVNCL_RESIZE, n, "ppti", cvni_in(net, l, 0)->y, l->y,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n);
}

static cvn_result cvncl_resize_backward(cvn_net *net, cvni_layer *l)
{
    cvni_layer *x = cvni_in(net, l, 0);
    const int n = (int)cvni_elements(x->shape);
    int add;
    float *dx = cvni_gradient_for(x, &add);
    if (!dx) return CVN_OK;
    return cvncl_each(net, CVNCL_RESIZE_BACK, n, "pptii", l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n, add);
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

static int cvncl_reduce_can(const cvn_net *net, const cvni_layer *l)
{
    (void)net;
    return ((const cvni_reduce_desc *)l->desc)->kind != CVNI_REDUCE_PROD;
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
    if (j.ties) result = cvncl_reduce(net, l, NULL, j.ties);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_REDUCE_BACK, n, "ppppptiiiifi", x->y, l->y, j.ties, l->dy, dx,
                      cvncl_net_of(net)->table_at[cvni_id(net, l)], n,
                      (int)cvni_sample_elements(x->shape), (int)cvni_sample_elements(l->shape),
                      (int)j.kind, (double)j.scale, add);
}

/* ================================================================================================
 * >>cl-loss   softmax with cross-entropy; losses of prediction and target, element by element
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

static const char cvncl_text_pair_loss[] =
    "/* Prediction x and target t, an element each; kinds: convnet_cl.h, cvncl_pairs. */\n"
    "float pair_value(int kind, float p, float q, float x, float t)\n"
    "{\n"
    "    const float d = x - t, a = fabs(d);\n"
    "    switch (kind) {\n"
    "    case 0: return d * d;\n"
    "    case 1: return x != x ? x : (x > 0 ? x : 0) - x * t + log1p(exp(-fabs(x)));\n"
    "    case 2: return a;\n"
    "    case 3: return q * (a <= p ? a * a / 2 : p * (a - p / 2));\n"
    "    case 4: return (log1p(x) - log1p(t)) * (log1p(x) - log1p(t));\n"
    "    case 5: return 1 - t * x <= 0 ? 0 : 1 - t * x;\n"
    "    default: return t == 0 ? 0 : t * (log(t) - x);\n"
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
    "    default: return side ? (t == 0 ? 0 : log(t) + 1 - x) : -t;\n"
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
    "        part[i] = pair_value(kind, p, q, x[i], t[i]) *\n"
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
    "                    pair_slope(kind, p, q, x[i], t[i], side);\n"
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
                                                  &cvni_hinge_loss, &cvni_kl_loss };
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

/* ================================================================================================
 * >>cl-optim   clipping, one step of an optimizer, averages
 * ============================================================================================== */

static const char cvncl_text_update[] =
    "/* One step of an optimizer (convnet.h, >>train-api and >>optim) over n parameters side by\n"
    " * side, and their gradients to zero; kind: cvn_optimizer_kind, factors: cvncl_update. */\n"
    "kernel void update(MEM(w), MEM(grad), MEM(s0), MEM(s1), MEM(s2), const int n,\n"
    "                   const int kind, const float lr, const float decay, const float b1,\n"
    "                   const float b2, const float eps, const float c1, const float c2,\n"
    "                   const float momentum, const float dampening, const int flag)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    AT(w); AT(grad); AT(s0); AT(s1); AT(s2);\n"
    "    if (i >= n) return;\n"
    "    const float x = w[i];\n"
    "    float g = grad[i], d, m, v;\n"
    "    grad[i] = 0;\n"
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
    "                      const float eps, const float decay)\n"
    "{\n"
    "    local float sums[WG];\n"
    "    const int groups = get_num_groups(0);\n"
    "    float a = 0, b = 0;\n"
    "    AT(w); AT(grad); AT(m); AT(v); AT(part);\n"
    "    for (int i = get_global_id(0); i < n; i += groups * WG) {\n"
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
    "                      const float eps, const float decay)\n"
    "{\n"
    "    const int i = get_global_id(0);\n"
    "    float a = 0, b = 0;\n"
    "    AT(w); AT(grad); AT(m); AT(v); AT(part);\n"
    "    if (i >= n) return;\n"
    "    for (int k = 0; k < groups; k++) a += part[k];\n"
    "    for (int k = 0; k < groups; k++) b += part[groups + k];\n"
    "    const float ratio = a > 0 && b > 0 ? sqrt(a) / sqrt(b) : 1;\n"
    "    w[i] -= lr * ratio * lamb_direction(m[i], v[i], w[i], c1, c2, eps, decay);\n"
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

static cvn_result cvncl_clip(cvn_net *net)
{
    const cvn_optimizer *o = &net->optimizer;
    const int n = (int)net->trainable;
    cvn_result result = CVN_OK;
    if (o->clip_value > 0)
        result = cvncl_each(net, CVNCL_CLIP_VALUE, n, "pif", net->grads, n, (double)o->clip_value);
    if (o->clip_norm <= 0 || result != CVN_OK) return result;
    result = cvncl_groups(net, CVNCL_SQUARE_SUMS, CVNCL_SLICES, "pwi", net->grads, 0, n);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_CLIP_NORM, n, "pwiif", net->grads, 0, n, CVNCL_SLICES,
                      (double)o->clip_norm);
}

static cvn_result cvncl_lamb(cvn_net *net, const cvni_update *u)
{
    const int n = (int)u->count;
    const cvn_result result =
        cvncl_groups(net, CVNCL_LAMB_SUMS, CVNCL_SLICES, "ppppwiffffff", u->w, u->g, u->s[0],
                     u->s[1], 0, n, (double)u->o->beta1, (double)u->o->beta2, (double)u->correct1,
                     (double)u->correct2, (double)u->o->eps, (double)u->decay);
    if (result != CVN_OK) return result;
    return cvncl_each(net, CVNCL_LAMB_STEP, n, "ppppwiifffff", u->w, u->g, u->s[0], u->s[1], 0, n,
                      CVNCL_SLICES, (double)u->lr, (double)u->correct1, (double)u->correct2,
                      (double)u->o->eps, (double)u->decay);
}

static cvn_result cvncl_update(cvn_net *net, const cvni_update *u)
{
    const cvn_optimizer *o = u->o;
    const int n = (int)u->count;
    double c1 = (double)u->correct1;
    double momentum = (double)o->momentum;
    double dampening = 0;
    int flag = o->amsgrad;
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
    return cvncl_each(net, CVNCL_UPDATE, n, "pppppiifffffffffi", u->w, u->g, u->s[0], u->s[1],
                      u->s[2], n, (int)o->kind, (double)u->lr, (double)u->decay, (double)o->beta1,
                      (double)o->beta2, (double)o->eps, c1, (double)u->correct2, momentum,
                      dampening, flag);
}

static cvn_result cvncl_average(cvn_net *net)
{
    const int n = (int)(net->trainable + net->running);
    return cvncl_each(net, CVNCL_AVERAGE, n, "ppiif", net->weights, net->ema, n,
                      net->ema_started ? (int)net->trainable : 0, 1 - (double)net->ema_decay);
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
                            cvncl_conv_backward, cvncl_conv_can, cvncl_conv_table, cvncl_conv_work }
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
                                 cvncl_reduce_forward, cvncl_reduce_backward, cvncl_reduce_can, \
                                 cvncl_reduce_table, NULL }

static int cvncl_plain(const cvn_net *net, const cvni_layer *l)
{
    (void)net;
    return !l->spectral;
}

static const cvncl_row cvncl_rows[] = {
    CVNCL_CONV_ROW(0), CVNCL_CONV_ROW(1), CVNCL_CONV_ROW(2), CVNCL_CONV_ROW(3), CVNCL_CONV_ROW(4),
    { &cvni_op_dense, CVNCL_PROGRAM_GEMM, cvncl_dense_forward, cvncl_dense_backward, cvncl_plain,
      NULL, NULL },
    CVNCL_POOL_ROW(maxpool, maxpool), CVNCL_POOL_ROW(global_maxpool, maxpool),
    CVNCL_POOL_ROW(adaptive_maxpool, maxpool), CVNCL_POOL_ROW(maxpool_indices, maxpool),
    CVNCL_POOL_ROW(avgpool, avgpool), CVNCL_POOL_ROW(global_avgpool, avgpool),
    CVNCL_POOL_ROW(adaptive_avgpool, avgpool),
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
    { &cvni_op_softmax_loss, CVNCL_PROGRAM_LOSS, cvncl_softmax_loss_forward,
      cvncl_softmax_loss_backward, NULL, cvncl_label_table, cvncl_label_work },
    CVNCL_PAIR_ROW(mse), CVNCL_PAIR_ROW(bce), CVNCL_PAIR_ROW(mae), CVNCL_PAIR_ROW(huber),
    CVNCL_PAIR_ROW(smooth_l1), CVNCL_PAIR_ROW(msle), CVNCL_PAIR_ROW(hinge), CVNCL_PAIR_ROW(kl)
};
enum { CVNCL_ROWS = sizeof cvncl_rows / sizeof cvncl_rows[0] };

static const cvncl_program cvncl_programs[CVNCL_PROGRAMS] = {
    { "gemm", 0, { NULL } },            /* kernel by kernel: cvncl_get_built */
    { "conv", 1, { cvncl_text_common, cvncl_text_gemm_tiles, cvncl_text_conv_common,
                   cvncl_text_conv_store,
                   cvncl_text_conv_down, cvncl_text_gemm_body, cvncl_text_gemm_end,
                   cvncl_text_conv_up, cvncl_text_gemm_body, cvncl_text_gemm_end,
                   cvncl_text_conv_weights, cvncl_text_gemm_body, cvncl_text_gemm_end,
                   cvncl_text_conv_sums, cvncl_text_depthwise } },
    { "pool", 0, { cvncl_text_common, cvncl_text_pool, cvncl_text_avgpool } },
    { "norm", 0, { cvncl_text_common, cvncl_text_norm, cvncl_text_norm_back, cvncl_text_gnorm,
                   cvncl_text_l2norm } },
    { "map", 0, { cvncl_text_common, cvncl_text_map, cvncl_text_map_slope, cvncl_text_prelu } },
    { "layers", 0, { cvncl_text_common, cvncl_text_copy, cvncl_text_place, cvncl_text_binary,
                     cvncl_text_softmax, cvncl_text_dropout } },
    { "shape", 0, { cvncl_text_common, cvncl_text_resize, cvncl_text_permute, cvncl_text_place,
                    cvncl_text_reduce } },
    { "loss", 0, { cvncl_text_common, cvncl_text_label_loss, cvncl_text_label_loss_back,
                   cvncl_text_pair_loss } },
    { "optim", 0, { cvncl_text_common, cvncl_text_update, cvncl_text_lamb, cvncl_text_clip } }
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

static size_t cvncl_work_of(cvn_net *net, const cvni_layer *l)
{
    const int number = cvncl_find(net, l);
    return number && cvncl_rows[number - 1].work ? cvncl_rows[number - 1].work(net, l) : 0;
}

static cvn_result cvncl_forward(cvn_net *net, cvni_layer *l)
{
    return cvncl_rows[l->device_op - 1].forward(net, l);
}

static cvn_result cvncl_backward(cvn_net *net, cvni_layer *l)
{
    return cvncl_rows[l->device_op - 1].backward(net, l);
}

static void cvncl_fill_backend(cvn_backend *base)
{
    base->find = cvncl_find;
    base->take = cvncl_take;
    base->release = cvncl_release;
    base->push = cvncl_push;
    base->pull = cvncl_pull;
    base->fill = cvncl_fill;
    base->forward = cvncl_forward;
    base->backward = cvncl_backward;
    base->clip = cvncl_clip;
    base->update = cvncl_update;
    base->average = cvncl_average;
}

CVNI_COLD_END

#ifdef __cplusplus
}
#endif
#endif /* CONVNET_CL_IMPLEMENTATION */
