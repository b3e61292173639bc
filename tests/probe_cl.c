/* probe_cl.c - what this OpenCL device can beyond OpenCL 1.2, and how fast each way to multiply is:
 * make build/probe_cl, build/probe_cl [SIZE] [tf32|bf16] [ways]; images of 16 bits:
 * CONVNET_CL_STORAGE. The first minutes on a new GPU.
 *   launch    microseconds of an empty kernel, one after the other and waited for
 *   asm       NVIDIA's PTX inside OpenCL C, rung by rung: builds, runs, is right; "wgmma plain" is
 *             not expected to build
 *   wgmma     spliced into PTX (>>cl-wgmma), by precision: why refused, or TFLOP/s at SIZE^3, those
 *             of mma.sync, and how many times as fast
 *   local     KiB of static local memory: builds, runs, is right; whatever the device reports
 *   option    compiler options
 *   way       each row of cvncl_ways (>>cl-gemm), each layout, at SIZE^3 (default 1024): distance
 *             from the plain kernel, TFLOP/s
 * "ways": those alone. Environment: CONVNET_CL. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#define CONVNET_CL_IMPLEMENTATION
#include "../convnet_cl.h"

enum { ITEMS = 64 };

/* Builds `text`, whose kernel is "f", runs it for ITEMS items; what came, or why not. */
static const char *run(cvncl_backend *b, const char *text, const char *options, float *result)
{
    static char why[200];
    const size_t items = ITEMS;
    int32_t status = 0;
    void *kernel = NULL;
    void *memory = b->api.CreateBuffer(b->context, CVNCL_READ_WRITE, 4096, NULL, &status);
    void *program = b->api.CreateProgramWithSource(b->context, 1, &text, NULL, &status);
    why[0] = 0;
    for (int i = 0; i < ITEMS; i++) result[i] = (float)i;
    b->api.EnqueueWriteBuffer(b->queue, memory, 1, 0, ITEMS * sizeof(float), result, 0, NULL, NULL);
    status = b->api.BuildProgram(program, 1, &b->device, options, NULL, NULL);
    if (status != 0) {
        char log[120];
        cvncl_build_log(b, program, log, sizeof log);
        for (char *c = log; *c; c++)
            if (*c == '\n') *c = ' ';
        snprintf(why, sizeof why, "does not build (%d): %s", (int)status, log);
    } else {
        kernel = b->api.CreateKernel(program, "f", &status);
    }
    if (kernel) {
        b->api.SetKernelArg(kernel, 0, sizeof memory, &memory);
        status = b->api.EnqueueNDRangeKernel(b->queue, kernel, 1, NULL, &items, &items, 0, NULL,
                                             NULL);
        if (status == 0)
            status = b->api.EnqueueReadBuffer(b->queue, memory, 1, 0, ITEMS * sizeof(float), result,
                                              0, NULL, NULL);
        b->api.ReleaseKernel(kernel);
    }
    if (status != 0 && !why[0]) snprintf(why, sizeof why, "fails with %d", (int)status);
    b->api.ReleaseProgram(program);
    b->api.ReleaseMemObject(memory);
    return why;
}

static void launches(cvncl_backend *b)
{
    const char *text = "kernel void f(global float *x) { if (x[0] == 77) x[1] = 0; }";
    const size_t items = ITEMS;
    int32_t status;
    void *memory = b->api.CreateBuffer(b->context, CVNCL_READ_WRITE, 4096, NULL, &status);
    void *program = b->api.CreateProgramWithSource(b->context, 1, &text, NULL, &status);
    void *kernel;
    b->api.BuildProgram(program, 1, &b->device, "", NULL, NULL);
    kernel = b->api.CreateKernel(program, "f", &status);
    b->api.SetKernelArg(kernel, 0, sizeof memory, &memory);
    for (int wait = 0; wait < 2; wait++)
        for (int pass = 0; pass < 2; pass++) {
            const double begin = cvni_seconds();
            for (int i = 0; i < 1000; i++) {
                b->api.EnqueueNDRangeKernel(b->queue, kernel, 1, NULL, &items, &items, 0, NULL,
                                            NULL);
                if (wait) b->api.Finish(b->queue);
            }
            b->api.Finish(b->queue);
            if (pass) printf("launch,%s,%.2f us\n", wait ? "waited for" : "in a row",
                             1e3 * (cvni_seconds() - begin));
        }
    b->api.ReleaseKernel(kernel);
    b->api.ReleaseProgram(program);
    b->api.ReleaseMemObject(memory);
}

/* Each kernel leaves `want` + the item's number (of its warp) in x. */
typedef struct rung { const char *name, *text; } rung;

static const rung rungs[] = {
    { "laneid", "kernel void f(global float *x) { uint l;"
                " asm(\"mov.u32 %0, %%laneid;\" : \"=r\"(l));"
                " x[get_local_id(0)] = l; }" },
    { "shfl.sync", "kernel void f(global float *x) { uint l = get_local_id(0) % 32, r;"
                   " asm volatile(\"shfl.sync.bfly.b32 %0, %1, 1, 31, -1;\" : \"=r\"(r) :"
                   " \"r\"(l));"
                   " x[get_local_id(0)] = r ^ 1; }" },
    { "cp.async", "kernel void f(global float *x) { local float4 m[64]; uint t = get_local_id(0);"
                  " asm volatile(\"cp.async.cg.shared.global [%0], [%1], 16, %2;\" ::"
                  " \"r\"((uint)(size_t)(local void *)(m + t)), \"l\"(x + t / 4 * 4), \"r\"(16) :"
                  " \"memory\");"
                  " asm volatile(\"cp.async.commit_group;\" ::: \"memory\");"
                  " asm volatile(\"cp.async.wait_group 0;\" ::: \"memory\");"
                  " barrier(CLK_LOCAL_MEM_FENCE);"
                  " float4 v = m[t]; uint i = t % 4;"
                  " float y = i == 0 ? v.s0 : i == 1 ? v.s1 : i == 2 ? v.s2 : v.s3;"
                  " barrier(CLK_LOCAL_MEM_FENCE);"
                  " x[t] = y >= 32 ? y - 32 : y; }" },
    { "ldmatrix", "kernel void f(global float *x) { local float m[64]; uint t = get_local_id(0), r;"
                  " m[t] = t % 32; barrier(CLK_LOCAL_MEM_FENCE);"
                  " asm volatile(\"ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];\" :"
                  " \"=r\"(r) : \"r\"((uint)(size_t)(local void *)(m + t % 8 * 4)) : \"memory\");"
                  " x[t] = as_float(r); }" },
    { "ldmatrix.trans", "kernel void f(global float *x) { local uint4 m[8];"
                        " uint t = get_local_id(0), r;"
                        " ((local ushort *)m)[t] = t % 8 * 4; barrier(CLK_LOCAL_MEM_FENCE);"
                        " asm volatile(\"ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0},"
                        " [%1];\" : \"=r\"(r) : \"r\"((uint)(size_t)(local void *)(m + t % 8)) :"
                        " \"memory\");"
                        " x[t] = (r & 0xFFFF) + (r >> 16) - t % 32 / 4 * 8 + t % 32; }" },
    { "mma tf32", "kernel void f(global float *x) { float d[4] = { 0, 0, 0, 0 };"
                  " uint a = as_uint(1.0f), t = get_local_id(0);"
                  " asm volatile(\"mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
                  " {%0, %1, %2, %3}, {%4, %4, %4, %4}, {%4, %4}, {%0, %1, %2, %3};\" :"
                  " \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), \"+f\"(d[3]) : \"r\"(a));"
                  " x[t] = d[0] + d[3] - 16 + t % 32; }" },
    { "mma bf16", "kernel void f(global float *x) { float d[4] = { 0, 0, 0, 0 };"
                  " uint a = 0x3F803F80u, t = get_local_id(0);"
                  " asm volatile(\"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
                  " {%0, %1, %2, %3}, {%4, %4, %4, %4}, {%4, %4}, {%0, %1, %2, %3};\" :"
                  " \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), \"+f\"(d[3]) : \"r\"(a));"
                  " x[t] = d[0] + d[3] - 32 + t % 32; }" },
    { "mma fp16", "kernel void f(global float *x) { float d[4] = { 0, 0, 0, 0 };"
                  " uint a = 0x3C003C00u, t = get_local_id(0);"
                  " asm volatile(\"mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
                  " {%0, %1, %2, %3}, {%4, %4, %4, %4}, {%4, %4}, {%0, %1, %2, %3};\" :"
                  " \"+f\"(d[0]), \"+f\"(d[1]), \"+f\"(d[2]), \"+f\"(d[3]) : \"r\"(a));"
                  " x[t] = d[0] + d[3] - 32 + t % 32; }" },
    { "wgmma plain", "kernel void f(global float *x) { uint t = get_local_id(0);"
                     " asm volatile(\"wgmma.fence.sync.aligned;\" ::: \"memory\");"
                     " x[t] = t % 32; }" }
};

static void ladder(cvncl_backend *b)
{
    for (size_t i = 0; i < sizeof rungs / sizeof rungs[0]; i++) {
        float x[ITEMS];
        const char *why = run(b, rungs[i].text, "-cl-std=CL1.2", x);
        int right = 1;
        for (int t = 0; t < ITEMS; t++)
            if (!(x[t] == (float)(t % 32))) right = 0;
        printf("asm,%s,%s\n", rungs[i].name, *why ? why : right ? "ok" : "WRONG");
    }
}

static void local_sizes(cvncl_backend *b)
{
    static const int sizes[] = { 16, 32, 48, 64, 96, 128, 160, 192, 224 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char text[500];
        const char *why;
        float x[ITEMS];
        int right = 1;
        snprintf(text, sizeof text,
                 "kernel void f(global float *x) { local float m[%d]; int t = get_local_id(0);"
                 " for (int i = t; i < %d; i += 64) m[i] = i; barrier(CLK_LOCAL_MEM_FENCE);"
                 " float s = 0; for (int i = (t + 1) %% 64; i < %d; i += 64) s += m[i] - i;"
                 " x[t] = s + t; }", sizes[i] * 256, sizes[i] * 256, sizes[i] * 256);
        why = run(b, text, "-cl-std=CL1.2", x);
        for (int t = 0; t < ITEMS; t++)
            if (!(x[t] == (float)t)) right = 0;
        printf("local,%d KiB,%s\n", sizes[i], *why ? why : right ? "ok" : "WRONG");
    }
}

static void compiler_options(cvncl_backend *b)
{
    static const char *const options[] = { "-cl-std=CL1.2", "-cl-std=CL3.0", "-cl-mad-enable",
                                           "-cl-nv-maxrregcount=128", "-cl-nv-verbose",
                                           "-cl-nv-opt-level=3" };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        float x[ITEMS];
        const char *why = run(b, "kernel void f(global float *x) { x[get_local_id(0)] += 1; }",
                              options[i], x);
        printf("option,%s,%s\n", options[i], *why ? why : x[7] == 8 ? "ok" : "WRONG");
    }
}

static void one_way(cvncl_backend *b, const cvncl_trial *t, int way)
{
    const cvncl_way *w = &cvncl_ways[way];
    const cvncl_class *c = &t->of;
    const cvncl_built *built;
    double error, s;
    if (!cvncl_way_fits(b, w, c->layout, c->vector)) return;
    printf("way,%s %dx%dx%d %dx%d %d %d layout %d,",
           w->kind == CVNCL_BY_ROWS ? "rows" : w->kind == CVNCL_BY_DOTS ? "dots"
           : w->kind == CVNCL_BY_TILED ? "tiled" : w->kind == CVNCL_BY_MMA ? "mma" : "wgmma",
           w->tile.m, w->tile.n, w->tile.k, w->tile.item_m, w->tile.item_n, w->wide, w->registers,
           c->layout);
    fflush(stdout);
    built = cvncl_get_built(b, way, c->layout, c->vector);
    if (!built || !built->kernel) {
        printf("does not build, or is wrong\n");
        return;
    }
    error = cvncl_trial_error(b, t, built);
    s = cvncl_trial_seconds(b, t, built);
    printf("%.2g,%.4f\n", error, 2e-12 * c->M * c->N * c->K / s);
    fflush(stdout);
}

/* TFLOP/s of a way; 0: it does not build, or is wrong. */
static double rate_of(cvncl_backend *b, const cvncl_trial *t, int way)
{
    const cvncl_built *built = cvncl_get_built(b, way, t->of.layout, 4);
    return built && built->kernel ? 2e-12 * t->of.M * t->of.N * t->of.K /
                                    cvncl_trial_seconds(b, t, built) : 0;
}

static void warp_groups(cvncl_desc d, int size)
{
    static const char *const names[] = { "", "tf32", "bf16" };
    const cvncl_class c = { CVNCL_GEMM_KK, 4, 1, size, size, size, 0 };
    for (d.precision = CVNCL_TF32; d.precision <= CVNCL_BF16; d.precision++) {
        cvncl_backend *b = (cvncl_backend *)(void *)cvncl_open(&d);
        cvncl_trial t;
        double four, one;
        if (!b || b->base.unusable || !cvncl_begin_trial(b, &c, &t)) return;
        four = rate_of(b, &t, CVNCL_WGMMA_128X128);
        one = rate_of(b, &t, CVNCL_MMA_128X128);
        printf("wgmma,%s,", names[d.precision]);
        if (four > 0) printf("%.4f,mma.sync,%.4f,%.2f\n", four, one, one > 0 ? four / one : 0);
        else printf("refused: %s\n", b->no_wgmma ? b->no_wgmma : "does not build, or is wrong");
        cvncl_end_trial(b, &t);
        cvncl_close(&b->base);
    }
}

static void ways(cvncl_backend *b, int size)
{
    static const int layouts[] = { CVNCL_GEMM_MN, CVNCL_GEMM_KN, CVNCL_GEMM_KK,
                                   CVNCL_LAYOUT_GATHER, CVNCL_LAYOUT_WEIGHTS };
    for (int i = 0; i < 5; i++) {
        cvncl_class c = { 0, 4, 1, 0, 0, 0, 0 };
        cvncl_trial t;
        c.layout = layouts[i];
        c.vector = cvncl_has_narrow(b, c.layout) ? 8 : 4;
        c.taps = i < 3 ? 0 : 9;
        c.M = c.N = c.K = size;
        cvncl_whole_taps(&c);
        if (!cvncl_begin_trial(b, &c, &t)) continue;
        for (int way = 0; way < CVNCL_WAYS; way++) one_way(b, &t, way);
        cvncl_end_trial(b, &t);
    }
}

int main(int argc, char **argv)
{
    cvncl_desc d = cvncl_defaults();
    cvncl_backend *b;
    char text[8000];
    int size = 1024, only = 0;
    d.any_kind = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "tf32")) d.precision = CVNCL_TF32;
        else if (!strcmp(argv[i], "bf16")) d.precision = CVNCL_BF16;
        else if (!strcmp(argv[i], "ways")) only = 1;
        else if (atoi(argv[i]) > 0) size = atoi(argv[i]) / 4 * 4;
    }
    b = (cvncl_backend *)(void *)cvncl_open(&d);
    cvncl_info(&b->base, text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) printf("# %s\n", line);
    if (!b || b->base.unusable) return 0;
    if (!only) {
        launches(b);
        ladder(b);
        local_sizes(b);
        compiler_options(b);
        warp_groups(d, size);
    }
    ways(b, size);
    cvncl_close(&b->base);
    return 0;
}
