/* bench_cl.c - how fast convnet_cl.h is on this machine, as CSV: make bench-cl.
 *   what      peak (fused multiply-adds), copy, product, forward, backward data, backward weights,
 *             step; fit: an epoch of cvn_fit with its set of bytes, flips and shifts
 *   seconds   of one call, the median of five runs of 0.1 s or more behind one to warm up
 *   rate      TFLOP/s, GB/s, for steps and fits samples/s
 *   share     of the peak in the same run; a step has three products for each of the forward pass
 *   cpu       samples/s of the CPU engine with its best kernels; small: the rate of its plain C
 *             kernels, in turns with the device
 *   gflop     of one call
 *   mbyte     that a call must read and write, were all caches endless: operands once a product,
 *             once a pass in other layers, none where the plan leaves out or fuses; Adam seven
 *             floats a parameter. float32, whatever the storage
 *   roof      the time that the peak and the copy rate of this run allow (the longer of the two,
 *             layer by layer in a step) over the time taken
 *   launches  kernels of one call
 * bench_cl [small] [tf32|bf16]: small sizes alone, for a CPU; factors of products, for matrix
 * units. The device: environment CONVNET_CL; images of 16 bits: CONVNET_CL_STORAGE.
 * tests/bench_cl_torch.py prints the same rows for PyTorch. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#define CONVNET_CL_IMPLEMENTATION
#include "../convnet_cl.h"

static int small_only;
static double peak, copied;             /* TFLOP/s, GB/s; 0: not known yet */
static long launches;

/* What a call has to do, and how long that takes at least. */
typedef struct work { double flop, bytes, seconds; long launches; } work;

static void add_work(work *w, double flop, double bytes)
{
    w->flop += flop;
    w->bytes += bytes;
    if (peak > 0 && copied > 0) w->seconds += fmax(flop * 1e-12 / peak, bytes * 1e-9 / copied);
}

static int32_t (CVNCL_CALL *enqueue)(void *, void *, uint32_t, const size_t *, const size_t *,
                                     const size_t *, uint32_t, void *const *, void **);

static int32_t CVNCL_CALL count_launch(void *queue, void *kernel, uint32_t axes,
                                       const size_t *offset, const size_t *global,
                                       const size_t *local, uint32_t count, void *const *wait,
                                       void **event)
{
    launches++;
    return enqueue(queue, kernel, axes, offset, global, local, count, wait, event);
}

typedef void (*call_fn)(cvn_net *net, const void *what);

static void finish(cvn_net *net)
{
    cvncl_of(net)->api.Finish(cvncl_of(net)->queue);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double seconds_of(cvn_net *net, call_fn call, const void *what)
{
    double times[5];
    call(net, what);
    if (net->device) finish(net);
    for (int i = 0; i < 5; i++) {
        const double begin = cvni_seconds();
        int count = 0;
        do {
            call(net, what);
            count++;
            if (net->device && count % 8 == 0) finish(net);
        } while (cvni_seconds() - begin < 0.1);
        if (net->device) finish(net);
        times[i] = (cvni_seconds() - begin) / count;
    }
    qsort(times, 5, sizeof times[0], compare);
    return times[2];
}

/* of: the rate's ceiling; 0, NULL: nothing to tell */
static void row(const char *what, const char *name, double seconds, double rate, double of,
                double cpu, const work *w)
{
    printf("%s,%s,%.3g,%.4g,", what, name, seconds, rate);
    if (of > 0) printf("%.3f", rate / of);
    printf(",");
    if (cpu > 0) printf("%.4g", cpu);
    if (w) printf(",%.4g,%.4g,%.3f,%ld\n", w->flop * 1e-9, w->bytes * 1e-6, w->seconds / seconds,
                  w->launches);
    else printf(",,,,\n");
    fflush(stdout);
}

/* Kernels of one call. */
static long launches_of(cvn_net *net, call_fn call)
{
    const long before = launches;
    call(net, NULL);
    return launches - before;
}

static cvn_net *begin_net(cvn_backend *backend)
{
    cvn_desc d = cvn_desc_defaults();
    cvn_net *net;
    if (!backend && small_only) d.isa = "c";
    net = cvn_create(&d);
    if (backend && cvn_use_backend(net, backend) != CVN_OK) fprintf(stderr, "%s\n", cvn_error(net));
    return net;
}

static int built(cvn_net *net, int batch)
{
    if (cvn_build(net, batch) == CVN_OK) return 1;
    fprintf(stderr, "%s\n", cvn_error(net));
    cvn_destroy(net);
    return 0;
}

static void fill_inputs(cvn_net *net)
{
    uint32_t state = 1;
    for (int id = 1; id < net->layer_count; id++) {
        cvni_layer *l = &net->layers[id];
        const size_t n = cvni_elements(l->shape);
        if (!(l->op->flags & CVNI_SOURCE)) continue;
        for (size_t i = 0; i < n; i++) {
            state = state * 1664525u + 1013904223u;
            if (l->is_int) ((int *)(void *)l->y)[i] = (int)(state >> 8) % 10;
            else l->y[i] = (float)(state >> 8) / 8388608.0f - 1;
        }
        l->filled = net->batch;
    }
}

/* ---- ceilings ---- */

enum { PEAK_ITEMS = 1 << 18, PEAK_STEPS = 512, PEAK_CHAINS = 32 };

static const char peak_text[] =
    "kernel void peak(global float *x, const int steps)\n"
    "{\n"
    "    const size_t i = get_global_id(0);\n"
    "    const float a = x[i];\n"
    "    const float16 b = a + 1;\n"
    "    float16 s = a, t = b;\n"
    "    for (int k = 0; k < steps; k++) {\n"
    "        s = s * 0.999f + b;\n"
    "        t = t * 0.999f + b;\n"
    "    }\n"
    "    s += t;\n"
    "    const float8 h = s.lo + s.hi;\n"
    "    const float4 q = h.lo + h.hi;\n"
    "    x[i] = q.x + q.y + q.z + q.w;\n"
    "}\n";

static void call_peak(cvn_net *net, const void *what)
{
    const cvncl_backend *b = cvncl_of(net);
    const int32_t steps = PEAK_STEPS;
    const size_t items = PEAK_ITEMS;
    void *kernel;
    memcpy(&kernel, what, sizeof kernel);
    b->api.SetKernelArg(kernel, 0, sizeof(void *), &cvncl_net_of(net)->arena[0].memory);
    b->api.SetKernelArg(kernel, 1, sizeof steps, &steps);
    b->api.EnqueueNDRangeKernel(b->queue, kernel, 1, NULL, &items, NULL, 0, NULL, NULL);
}

static void call_copy(cvn_net *net, const void *what)
{
    const cvni_layer *x = &net->layers[1];
    const cvni_layer *y = &net->layers[2];
    (void)what;
    cvncl_copy(net, x->y, y->y, (int)cvni_elements(x->shape), 0, 1);
}

static void ceilings(cvn_backend *backend)
{
    const int side = small_only ? 1024 : 4096;
    const char *text = peak_text;
    cvn_net *net = begin_net(backend);
    const cvncl_backend *b = (const cvncl_backend *)backend;
    void *program, *kernel;
    int32_t status;
    double s;
    cvn_keep(net, cvn_scale(net, cvn_input(net, 1, side, side), 2, 0));
    if (!built(net, 1)) return;
    fill_inputs(net);
    cvn_forward_eval(net);
    program = b->api.CreateProgramWithSource(b->context, 1, &text, NULL, &status);
    b->api.BuildProgram(program, 1, &b->device, "-cl-std=CL1.2 -cl-mad-enable", NULL, NULL);
    kernel = b->api.CreateKernel(program, "peak", &status);
    if (kernel) {
        s = seconds_of(net, call_peak, &kernel);
        peak = 2.0 * PEAK_ITEMS * PEAK_STEPS * PEAK_CHAINS / s * 1e-12;
        row("peak", "float32", s, peak, 0, 0, NULL);
        b->api.ReleaseKernel(kernel);
    }
    b->api.ReleaseProgram(program);
    s = seconds_of(net, call_copy, NULL);
    copied = 8e-9 * side * side / s;
    row("copy", "read and write", s, copied, 0, 0, NULL);
    cvn_destroy(net);
}

/* ---- products and convolutions ---- */

static void call_forward(cvn_net *net, const void *what)
{
    cvni_layer *l = &net->layers[2];
    (void)what;
    net->backend->forward(net, l);
}

/* As between other layers on the device: x is channels last, whatever its numbers. */
static void call_conv(cvn_net *net, const void *what)
{
    cvni_layer *l = &net->layers[2];
    const cvncl_terms terms = cvncl_forward_terms(net, l);
    (void)what;
    cvncl_conv_pass(net, l, 0, &terms);
}

static void call_data(cvn_net *net, const void *what)
{
    cvni_layer *l = &net->layers[2];
    const cvncl_terms terms = cvncl_gradient_terms(l->dy, cvni_weights(net, l, 0),
                                                   net->layers[1].dy, 0);
    (void)what;
    cvncl_conv_pass(net, l, 1, &terms);
}

static void call_weights(cvn_net *net, const void *what)
{
    cvni_layer *l = &net->layers[2];
    (void)what;
    cvncl_conv_weights(net, l, net->layers[1].y, l->dy, cvni_weights_grad(net, l, 0));
}

static void products(cvn_backend *backend)
{
    for (int n = 256; n <= (small_only ? 512 : 4096); n *= 2) {
        cvn_net *net = begin_net(backend);
        work w = { 0, 0, 0, 0 };
        char name[64];
        double s;
        cvn_dense(net, cvn_input_vector(net, n), n);
        if (!built(net, n)) return;
        fill_inputs(net);
        cvn_forward_eval(net);
        s = seconds_of(net, call_forward, NULL);
        snprintf(name, sizeof name, "%d^3", n);
        w.launches = launches_of(net, call_forward);
        add_work(&w, 2.0 * n * n * n, 12.0 * n * n);
        row("product", name, s, w.flop * 1e-12 / s, peak, 0, &w);
        cvn_destroy(net);
    }
}

typedef struct conv_case { int n, channels, size, filters, kernel, stride; } conv_case;

static const conv_case convs[] = {
    { 16, 16, 32, 16, 3, 1 }, { 16, 32, 16, 64, 3, 2 }, { 16, 64, 8, 64, 1, 1 },
    { 8, 3, 64, 64, 7, 2 },
    { 128, 64, 32, 64, 3, 1 }, { 128, 128, 16, 128, 3, 1 }, { 128, 256, 8, 256, 3, 1 },
    { 128, 512, 4, 512, 3, 1 }, { 128, 64, 32, 128, 3, 2 }, { 64, 3, 224, 64, 7, 2 },
    { 64, 64, 56, 64, 3, 1 }, { 64, 256, 56, 64, 1, 1 }, { 64, 64, 56, 256, 1, 1 },
    { 64, 128, 28, 128, 3, 1 }, { 64, 512, 7, 512, 3, 1 }
};

/* The CPU's passes; the backward pass has one half at a time. */
static void call_cpu(cvn_net *net, const void *what)
{
    cvni_layer *l = &net->layers[2];
    (void)what;
    l->op->forward(net, l);
}

static void call_cpu_back(cvn_net *net, const void *what)
{
    cvni_layer *l = &net->layers[2];
    net->layers[1].place.grad = what != NULL;
    net->layers[1].grad_written = 0;
    l->frozen = what != NULL;
    l->op->backward(net, l);
}

static cvn_net *conv_net(cvn_backend *backend, const conv_case *c)
{
    cvn_desc d = cvn_desc_defaults();
    cvn_net *net;
    cvn_node x, y;
    if (!backend) d.isa = "c";
    net = cvn_create(&d);
    if (backend) cvn_use_backend(net, backend);
    x = cvn_input(net, c->channels, c->size, c->size);
    y = cvn_conv2d(net, x, c->filters, c->kernel, c->stride, c->kernel / 2);
    cvn_want_grad(net, x);
    cvn_want_grad(net, y);
    if (!built(net, c->n)) return NULL;
    fill_inputs(net);
    cvn_forward(net);
    if (backend) cvncl_net_of(net)->narrow = cvncl_net_of(net)->order[2].narrow;
    return net;
}

static void convolutions(cvn_backend *backend)
{
    static const char *const names[3] = { "forward", "backward data", "backward weights" };
    static const call_fn calls[3] = { call_conv, call_data, call_weights };
    const int count = small_only ? 4 : (int)(sizeof convs / sizeof convs[0]);
    for (int i = 0; i < count; i++) {
        const conv_case *c = &convs[i];
        cvn_net *net = conv_net(backend, c);
        cvn_net *cpu = small_only ? conv_net(NULL, c) : NULL;
        char name[64];
        double flop, bytes;
        if (!net || (small_only && !cpu)) return;
        snprintf(name, sizeof name, "%dx%dx%d^2 %d of %dx%d /%d", c->n, c->channels, c->size,
                 c->filters, c->kernel, c->kernel, c->stride);
        flop = 2 * cvn_macs(net) * c->n;
        bytes = 4 * (double)(cvni_elements(net->layers[1].shape) +
                             cvni_elements(net->layers[2].shape) + net->params[0].count);
        for (int k = 0; k < 3; k++) {
            const double s = seconds_of(net, calls[k], NULL);
            work w = { 0, 0, 0, 0 };
            double plain = 0;
            if (cpu) plain = flop * 1e-12 / seconds_of(cpu, k ? call_cpu_back : call_cpu,
                                                       k == 1 ? (const void *)c : NULL);
            w.launches = launches_of(net, calls[k]);
            add_work(&w, flop, bytes);
            row(names[k], name, s, flop * 1e-12 / s, peak, plain, &w);
        }
        cvn_destroy(net);
        cvn_destroy(cpu);
    }
}

/* ---- training steps ---- */

static void build_lenet(cvn_net *net)
{
    cvn_node x = cvn_input(net, 1, 28, 28);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 6, 5, 1, 2)), 2, 2);
    x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, 16, 5, 1, 0)), 2, 2);
    x = cvn_relu(net, cvn_dense(net, x, 120));
    cvn_softmax_loss(net, cvn_dense(net, cvn_relu(net, cvn_dense(net, x, 84)), 10));
}

/* A ResNet for images of size x size: `blocks` of two convolutions for each of the stages. */
static void build_resnet(cvn_net *net, int size, int filters, int stages, int blocks)
{
    const int large = size > 64;
    cvn_node x = cvn_input(net, 3, size, size);
    x = cvn_conv2d(net, x, filters, large ? 7 : 3, large ? 2 : 1, large ? 3 : 1);
    x = cvn_relu(net, cvn_batchnorm(net, x));
    if (large) x = cvn_maxpool(net, x, 2, 2);
    for (int i = 0; i < stages * blocks; i++) {
        const int width = filters << i / blocks;
        const int stride = i && i % blocks == 0 ? 2 : 1;
        cvn_node y = cvn_batchnorm(net, cvn_conv2d(net, x, width, 3, stride, 1));
        y = cvn_batchnorm(net, cvn_conv2d(net, cvn_relu(net, y), width, 3, 1, 1));
        if (stride > 1) x = cvn_batchnorm(net, cvn_conv2d(net, x, width, 1, stride, 0));
        x = cvn_relu(net, cvn_add(net, y, x));
    }
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, x), large ? 1000 : 10));
}

static void call_step(cvn_net *net, const void *what)
{
    (void)what;
    cvn_forward(net);
    cvn_backward(net);
    cvn_step(net);
}

static void build_mlp(cvn_net *net)
{
    cvn_node x = cvn_flatten(net, cvn_input(net, 1, 28, 28));
    x = cvn_relu(net, cvn_dense(net, cvn_relu(net, cvn_dense(net, x, 512)), 512));
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
}

static void build_small_vgg(cvn_net *net)
{
    cvn_node x = cvn_input(net, 3, 32, 32);
    for (int filters = 32; filters <= 128; filters *= 2) {
        x = cvn_relu(net, cvn_conv2d(net, x, filters, 3, 1, 1));
        x = cvn_maxpool(net, cvn_relu(net, cvn_conv2d(net, x, filters, 3, 1, 1)), 2, 2);
    }
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
}

static void build_resnet20(cvn_net *net) { build_resnet(net, 32, 16, 3, 3); }
static void build_resnet18(cvn_net *net) { build_resnet(net, 32, 64, 4, 2); }
static void build_resnet18_large(cvn_net *net) { build_resnet(net, 224, 64, 4, 2); }

typedef struct step_case {
    const char *name;
    void (*build)(cvn_net *net);
    int batch, small, cpu;              /* small: on a CPU, too; cpu: compared with the engine */
} step_case;

static const step_case step_cases[] = {
    { "LeNet-5 batch 64", build_lenet, 64, 1, 1 },
    { "MLP 784-512-512-10 batch 64", build_mlp, 64, 1, 1 },
    { "small VGG batch 64", build_small_vgg, 64, 0, 1 },
    { "ResNet-20 batch 128", build_resnet20, 128, 0, 1 },
    { "ResNet-18 batch 128", build_resnet18, 128, 0, 0 },
    { "ResNet-18 batch 512", build_resnet18, 512, 0, 0 },
    { "ResNet-18 of 224 batch 64", build_resnet18_large, 64, 0, 0 }
};
enum { STEP_CASES = sizeof step_cases / sizeof step_cases[0] };

/* Of a step of a net that is built, layer by layer: x the inputs, y the output. A product has
 * three passes over x, y and the weights; another layer reads x and writes y, then reads x and y's
 * gradient and writes x's. */
static work work_of_step(const cvn_net *net)
{
    work w = { 0, 0, 0, 0 };
    for (int id = 1; id < net->layer_count; id++) {
        const cvni_layer *l = &net->layers[id];
        const double flop = 2 * cvni_layer_macs(l) * net->batch;
        const double y = 4 * (double)cvni_elements(l->shape);
        double x = 0, weights = 0;
        if (l->place.skip || (l->op->flags & CVNI_SOURCE)) continue;
        for (int i = 0; i < l->inputs; i++)
            x += 4 * (double)cvni_elements(cvni_in(net, l, i)->shape);
        for (int i = 0; i < l->params; i++) weights += 4 * (double)net->params[l->param[i]].count;
        for (int i = 0; i < 3 && flop > 0; i++) add_work(&w, flop, x + y + weights);
        if (flop == 0) add_work(&w, 0, 3 * x + 2 * y);
    }
    add_work(&w, 0, 28 * (double)net->trainable);
    return w;
}

static double step_rate(cvn_backend *backend, const step_case *c, double *seconds, work *w)
{
    cvn_net *net = begin_net(backend);
    c->build(net);
    if (!built(net, c->batch)) return 0;
    fill_inputs(net);
    *seconds = seconds_of(net, call_step, NULL);
    *w = work_of_step(net);
    w->launches = launches_of(net, call_step);
    cvn_destroy(net);
    return c->batch / *seconds;
}

static void steps(cvn_backend *backend)
{
    for (int i = 0; i < STEP_CASES; i++) {
        const step_case *c = &step_cases[i];
        double s = 0, own_s, rate, own;
        work w, own_w;
        if (small_only && !c->small) continue;
        rate = step_rate(backend, c, &s, &w);
        if (rate == 0) continue;
        own = c->cpu ? step_rate(NULL, c, &own_s, &own_w) : 0;
        row("step", c->name, s, rate, peak > 0 ? rate * peak / (w.flop * 1e-12 / s) : 0, own, &w);
    }
}

/* ---- an epoch with its data ---- */

static double fit_rate(cvn_backend *backend, int large, int samples, double *seconds)
{
    const int batch = large ? 512 : 128;
    cvn_net *net = begin_net(backend);
    unsigned char *bytes = (unsigned char *)malloc((size_t)samples * 3072);
    int *labels = (int *)malloc((size_t)samples * sizeof *labels);
    cvn_fit_options o = cvn_fit_defaults();
    cvn_augment augment;
    cvn_data data;
    uint32_t state = 1;
    memset(&data, 0, sizeof data);
    memset(&augment, 0, sizeof augment);
    build_resnet(net, 32, large ? 64 : 16, large ? 4 : 3, large ? 2 : 3);
    *seconds = 0;
    if (bytes && labels && built(net, batch)) {
        for (int i = 0; i < samples * 3072; i++) {
            state = state * 1664525u + 1013904223u;
            bytes[i] = (unsigned char)(state >> 24);
        }
        for (int i = 0; i < samples; i++) labels[i] = i % 10;
        augment.flip = 1;
        augment.shift = 4;
        data.augment = &augment;
        data.bytes = bytes;
        data.labels = labels;
        data.count = samples;
        data.channels = 3;
        data.height = data.width = 32;
        o.epochs = 2;                   /* the last one counts */
        if (cvn_fit(net, &data, NULL, &o) == CVN_OK)
            *seconds = (double)net->history[1].seconds;
        cvn_destroy(net);
    }
    free(bytes);
    free(labels);
    return *seconds > 0 ? samples / *seconds : 0;
}

static void fits(cvn_backend *backend)
{
    const int samples = small_only ? 128 : 20480;
    for (int large = 0; large < (small_only ? 1 : 2); large++) {
        double s;
        const double rate = fit_rate(backend, large, samples, &s);
        row("fit", large ? "ResNet-18 batch 512" : "ResNet-20 batch 128", s, rate, 0, 0, NULL);
    }
}

int main(int argc, char **argv)
{
    cvncl_desc d = cvncl_defaults();
    cvn_backend *backend;
    char text[8000];
    d.any_kind = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "small")) small_only = 1;
        else if (!strcmp(argv[i], "tf32")) d.precision = CVNCL_TF32;
        else if (!strcmp(argv[i], "bf16")) d.precision = CVNCL_BF16;
    }
    backend = cvncl_open(&d);
    cvncl_info(backend, text, sizeof text);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) printf("# %s\n", line);
    if (!backend || backend->unusable) return 0;
    enqueue = ((cvncl_backend *)backend)->api.EnqueueNDRangeKernel;
    ((cvncl_backend *)backend)->api.EnqueueNDRangeKernel = count_launch;
    printf("what,name,seconds,rate,share,cpu,gflop,mbyte,roof,launches\n");
    ceilings(backend);
    products(backend);
    convolutions(backend);
    steps(backend);
    fits(backend);
    cvncl_close(backend);
    return 0;
}
