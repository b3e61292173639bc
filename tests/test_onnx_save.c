/* test_onnx_save.c - ONNX models as cvn_save_onnx writes them, read back field by field: every
 * value is made before it is read, names and weights, shapes, what is folded and what is left out,
 * errors, memory that runs out, the same bytes for any number of threads; imported again they
 * predict the same. What onnx and onnxruntime say of the same nets: onnx_save.py. Writes to
 * build/. TEST_QUICK: every fourth net of the zoo. */
#define CONVNET_IMPLEMENTATION
#include "onnx_nets.h"
#include "test.h"

#define MODEL "build/test_model.onnx"

#ifdef TEST_QUICK
    #define ZOO_STEP 4
#else
    #define ZOO_STEP 1
#endif

/* ---- protobuf and models, read ---- */

typedef struct span { const unsigned char *at, *end; } span;
typedef struct field { int number, kind; uint64_t value; span body; } field;

static uint64_t read_varint(span *s)
{
    uint64_t v = 0;
    for (int shift = 0; s->at < s->end && shift < 64; shift += 7) {
        const unsigned char byte = *s->at++;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) return v;
    }
    s->at = s->end + 1;         /* no end: an error */
    return v;
}

/* The next field of a message; 0 at its end, and after a mistake, which leaves s->at != s->end. */
static int next_field(span *s, field *f)
{
    uint64_t tag;
    if (s->at >= s->end) return 0;
    tag = read_varint(s);
    memset(f, 0, sizeof *f);
    f->number = (int)(tag >> 3);
    f->kind = (int)(tag & 7);
    if (f->kind != 5) f->value = read_varint(s);
    f->body.at = s->at;
    f->body.end = s->at + (f->kind == 5 ? 4 : f->kind == 2 ? f->value : 0);
    if (f->kind != 0 && f->kind != 2 && f->kind != 5) f->body.end = s->end + 1;
    if (f->body.end > s->end || f->body.at > s->end) {
        s->at = s->end + 1;
        return 0;
    }
    s->at = f->body.end;
    return 1;
}

/* Field `index` of that number in a message; body empty when there is none. */
static field get(span message, int number, int index)
{
    field f;
    while (next_field(&message, &f)) if (f.number == number && index-- == 0) return f;
    memset(&f, 0, sizeof f);
    return f;
}

static int count(span message, int number)
{
    field f;
    int n = 0;
    while (next_field(&message, &f)) n += f.number == number;
    return n;
}

static size_t length(span s) { return (size_t)(s.end - s.at); }

static int is(span s, const char *text)
{
    return length(s) == strlen(text) && !memcmp(s.at, text, length(s));
}

static int same(span a, span b)
{
    return length(a) == length(b) && !memcmp(a.at, b.at, length(a));
}

enum { NODE = 1, INITIALIZER = 5, INPUT = 11, OUTPUT = 12, INFO = 13 };     /* of a graph */

/* A model in memory; the caller frees at. */
static span save(cvn_net *net, const cvn_onnx_save_options *options)
{
    const size_t size = cvn_save_onnx_size(net, options);
    unsigned char *bytes = (unsigned char *)malloc(size + 1);
    span s;
    CHECKF(size > 0, "%s", cvn_error(net));
    bytes[size] = 0xA5;
    CHECKF(cvn_save_onnx_memory(net, bytes, size, options) == CVN_OK, "%s", cvn_error(net));
    CHECK(bytes[size] == 0xA5);
    s.at = bytes;
    s.end = bytes + size;
    return s;
}

static void drop(span s) { free((void *)(uintptr_t)s.at); }

static span graph_of(span model) { return get(model, 7, 0).body; }

/* A node by its name, an initializer or declared value by its. */
static span find(span graph, int number, const char *name)
{
    const int name_field = number == NODE ? 3 : number == INITIALIZER ? 8 : 1;
    span none = { NULL, NULL };
    for (int i = 0; i < count(graph, number); i++) {
        const span s = get(graph, number, i).body;
        if (is(get(s, name_field, 0).body, name)) return s;
    }
    return none;
}

static span attribute(span node, const char *name)
{
    span none = { NULL, NULL };
    for (int i = 0; i < count(node, 5); i++)
        if (is(get(get(node, 5, i).body, 1, 0).body, name)) return get(node, 5, i).body;
    return none;
}

static int is_node(span graph, const char *name, const char *type)
{
    return is(get(find(graph, NODE, name), 4, 0).body, type);
}

/* "N 3 5": the shape of a declared value. */
static const char *shape_text(span info)
{
    static char text[128];
    const span shape = get(get(get(info, 2, 0).body, 1, 0).body, 2, 0).body;
    int at = 0;
    text[0] = 0;
    for (int i = 0; i < count(shape, 1); i++) {
        const span dim = get(shape, 1, i).body;
        const span name = get(dim, 2, 0).body;
        if (name.at)
            at += snprintf(text + at, sizeof text - (size_t)at, "%s%.*s", i ? " " : "",
                           (int)length(name), (const char *)name.at);
        else
            at += snprintf(text + at, sizeof text - (size_t)at, "%s%d", i ? " " : "",
                           (int)get(dim, 1, 0).value);
    }
    return text;
}

static float float_at(span raw, size_t i)
{
    const unsigned char *b = raw.at + 4 * i;
    const uint32_t word = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
                          (uint32_t)b[3] << 24;
    float v;
    memcpy(&v, &word, sizeof v);
    return v;
}

/* Does the initializer of that name hold these floats? */
static int holds(span graph, const char *name, const float *values, size_t n)
{
    const span raw = get(find(graph, INITIALIZER, name), 9, 0).body;
    if (length(raw) != 4 * n) return 0;
    for (size_t i = 0; i < n; i++) if (float_at(raw, i) != values[i]) return 0;
    return 1;
}

/* ---- every value is made once, before it is read ---- */

typedef struct values { span name[20000]; int count; } values;

static int known(const values *v, span name)
{
    for (int i = 0; i < v->count; i++) if (same(v->name[i], name)) return 1;
    return 0;
}

static int learn(values *v, span name)
{
    if (known(v, name) || v->count == 20000) return 0;
    v->name[v->count++] = name;
    return 1;
}

/* Fields at all depths end where they should. */
static int whole(span s)
{
    field f;
    while (next_field(&s, &f)) { }
    return s.at == s.end;
}

static void check_graph(span model, const char *label)
{
    static values v;
    const span graph = graph_of(model);
    span s = graph;
    field f;
    v.count = 0;
    CHECKF(whole(model) && whole(graph), "%s", label);
    for (int i = 0; i < count(graph, INPUT); i++)
        CHECKF(learn(&v, get(get(graph, INPUT, i).body, 1, 0).body), "%s: input %d", label, i);
    while (next_field(&s, &f)) {
        if (f.number == INITIALIZER)
            CHECKF(learn(&v, get(f.body, 8, 0).body), "%s: '%.*s' twice", label,
                   (int)length(get(f.body, 8, 0).body), (const char *)get(f.body, 8, 0).body.at);
        if (f.number != NODE) continue;
        CHECKF(whole(f.body), "%s", label);
        for (int i = 0; i < count(f.body, 1); i++) {
            const span in = get(f.body, 1, i).body;
            CHECKF(!length(in) || known(&v, in), "%s: '%.*s' is not there", label, (int)length(in),
                   (const char *)in.at);
        }
        for (int i = 0; i < count(f.body, 2); i++) {
            const span out = get(f.body, 2, i).body;
            CHECKF(learn(&v, out), "%s: '%.*s' twice", label, (int)length(out),
                   (const char *)out.at);
        }
    }
    CHECK(count(graph, OUTPUT) > 0);
    for (int i = 0; i < count(graph, OUTPUT); i++)
        CHECKF(known(&v, get(get(graph, OUTPUT, i).body, 1, 0).body), "%s: output %d", label, i);
}

static void all_nets(void)
{
    cvn_onnx_save_options folded = cvn_onnx_save_defaults();
    folded.fold_batchnorm = 1;
    for (int i = 0;; i += i < LAYER_CASES ? 1 : ZOO_STEP) {
        cvn_net *net = cvn_create(NULL);
        int from, to;
        const char *name = build_case(net, i, &from, &to);
        span model;
        if (!name) {
            cvn_destroy(net);
            return;
        }
        test_case("%s", name);
        keep_heads(net);
        CHECKF(cvn_build_infer(net, 2) == CVN_OK, "%s", cvn_error(net));
        model = save(net, NULL);
        check_graph(model, name);
        drop(model);
        model = save(net, &folded);
        check_graph(model, name);
        drop(model);
        cvn_destroy(net);
    }
}

/* ---- there and back ---- */

/* The same random values for the inputs of both nets, which have the same names. */
static void fill_both(cvn_net *net, cvn_net *back, const cvn_onnx_model *m, int batch, int from,
                      int to)
{
    for (int i = 0; i < m->input_count; i++) {
        const cvn_node node = cvn_find(net, m->inputs[i].name);
        const cvn_node other = m->inputs[i].node;
        const cvni_layer *l = &net->layers[node.id];
        const size_t n = cvni_batch_elements(l) * (size_t)batch;
        const int boxes = !strncmp(l->name, "boxes", 5);
        float *floats = (float *)malloc(n * sizeof *floats);
        int *labels = (int *)malloc(n * sizeof *labels);
        for (size_t k = 0; k < n; k++) {
            floats[k] = 2 * random_unit() - 1;
            if (boxes) floats[k] = 3 * random_unit() + (k % 4 < 2 ? 0.0f : 5.0f);
            labels[k] = from + (int)((float)(to - from) * random_unit());
            if (l->is_int) floats[k] = (float)labels[k];
        }
        CHECKF((l->is_int ? cvn_set_labels(net, node, labels, batch)
                          : cvn_set_input(net, node, floats, batch)) == CVN_OK,
               "%s", cvn_error(net));
        CHECKF((back->layers[other.id].is_int ? cvn_set_labels(back, other, labels, batch)
                                              : cvn_set_input(back, other, floats, batch)) ==
                   CVN_OK, "%s", cvn_error(back));
        free(floats);
        free(labels);
    }
}

/* The largest difference of two values as a part of the largest one. */
static double difference(const float *a, const float *b, size_t n)
{
    double most = 1e-3;
    double worst = 0;
    for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)a[i]));
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i]) worst = fmax(worst, fabs((double)a[i] - (double)b[i]) / most);
    return worst;
}

/* Outputs of both, in the model's order: the output, then what is kept. */
static double worst_output(cvn_net *net, cvn_net *back, const cvn_onnx_model *m, int batch)
{
    double worst = 0;
    int next = 1;
    for (int i = 0; i < m->output_count; i++) {
        cvn_node node;
        node.id = net->output;
        while (i && (!net->layers[next].keep || next == net->output ||
                     net->layers[next].op->flags & (CVNI_SOURCE | CVNI_LOSS)))
            next++;
        if (i) node.id = next++;
        CHECKF(cvn_value(net, node) && cvn_value(back, m->outputs[i].node), "%s: %s",
               net->layers[node.id].name, cvn_error(back));
        if (!cvn_value(back, m->outputs[i].node)) return INFINITY;
        worst = fmax(worst, difference(cvn_value(net, node), cvn_value(back, m->outputs[i].node),
                                       cvni_batch_elements(&net->layers[node.id]) *
                                           (size_t)batch));
    }
    return worst;
}

/* Nets of the zoo return to the bit. So do most layers; a few are made of several there. */
static void there_and_back(void)
{
    int refused = 0;
    for (int i = 0;; i += i < LAYER_CASES ? 1 : ZOO_STEP) {
        cvn_net *net = cvn_create(NULL);
        cvn_net *back = cvn_create(NULL);
        cvn_onnx_model m;
        int from, to;
        const char *name = build_case(net, i, &from, &to);
        cvn_result r;
        span model;
        if (!name) {
            cvn_destroy(net);
            cvn_destroy(back);
            break;
        }
        test_case("%s, there and back", name);
        keep_heads(net);
        CHECK(cvn_build_infer(net, 2) == CVN_OK);
        random_state = 3;
        random_parameters(net);
        model = save(net, NULL);
        r = cvn_load_onnx_memory(back, model.at, length(model), NULL, &m);
        if (r == CVN_OK) r = cvn_build_infer(back, 2);
        if (r != CVN_OK) {
            refused++;
            CHECKF(i < LAYER_CASES, "%s", cvn_error(back));
        } else if (m.input_count) {
            const int batch = m.batched ? 2 : 1;
            double worst;
            fill_both(net, back, &m, batch, from, to);
            CHECKF(cvn_forward_eval(net) == CVN_OK, "%s", cvn_error(net));
            CHECKF(cvn_forward_eval(back) == CVN_OK, "%s", cvn_error(back));
            worst = worst_output(net, back, &m, batch);
            CHECKF(worst <= (i < LAYER_CASES ? 1e-6 : 0), "%g", worst);
        }
        drop(model);
        cvn_destroy(net);
        cvn_destroy(back);
    }
    CHECKF(refused <= 1, "%d nets were not imported", refused);
}

/* ---- what stands in a model ---- */

/* [N, 2, 6, 6] -> conv1, bn1, relu1 -> fc1 -> loss */
static cvn_net *make_net(const cvn_desc *desc, int training)
{
    cvn_net *net = cvn_create(desc);
    cvn_node x = cvn_input(net, 2, 6, 6);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 3, 3, 1, 0)));
    x = cvn_dropout(net, x, 0.25f);
    cvn_softmax_loss(net, cvn_dense(net, x, 4));
    CHECKF((training ? cvn_build(net, 5) : cvn_build_infer(net, 5)) == CVN_OK, "%s",
           cvn_error(net));
    random_state = 7;
    random_parameters(net);
    return net;
}

static void contents(void)
{
    static const char *const types[5] = { "Conv", "BatchNormalization", "Relu", "Dropout", "Gemm" };
    static const char *const names[5] = { "conv1", "bn1", "relu1", "dropout1", "fc1" };
    cvn_onnx_save_options o = cvn_onnx_save_defaults();
    cvn_net *net = make_net(NULL, 1);
    span model, graph, node;
    o.name = "digits";
    o.doc = "what it is";
    model = save(net, &o);
    graph = graph_of(model);
    CHECK(get(model, 1, 0).value == 8);
    CHECK(is(get(model, 2, 0).body, "convnet.h") && is(get(model, 3, 0).body, CONVNET_VERSION));
    CHECK(is(get(model, 6, 0).body, "what it is"));
    CHECK(is(get(graph, 2, 0).body, "digits"));
    CHECK(count(model, 8) == 1 && get(get(model, 8, 0).body, 2, 0).value == 17);
    CHECK(count(model, 14) == 2 && is(get(get(model, 14, 0).body, 1, 0).body, "parameters"));
    CHECK(is(get(get(model, 14, 0).body, 2, 0).body, "259"));     /* 57 + 6 + 196 */
    for (int i = 0; i < 5; i++) {
        CHECKF(is_node(graph, names[i], types[i]), "%s", names[i]);
        CHECK(is(get(find(graph, NODE, names[i]), 2, 0).body, names[i]));
    }
    CHECK(count(graph, NODE) == 7);         /* and the ratio of the dropout, a Flatten */
    CHECK(count(graph, INITIALIZER) == 8 && count(graph, INPUT) == 1 && count(graph, OUTPUT) == 1);
    for (int i = 0; i < cvn_param_count(net); i++) {
        const cvn_param p = cvn_param_at(net, i);
        CHECKF(holds(graph, p.name, p.value, p.count), "%s", p.name);
    }
    CHECK(!strcmp(shape_text(get(graph, INPUT, 0).body), "N 2 6 6"));
    CHECK(!strcmp(shape_text(find(graph, INFO, "conv1")), "N 3 4 4"));
    CHECK(!strcmp(shape_text(find(graph, OUTPUT, "fc1")), "N 4"));
    node = attribute(find(graph, NODE, "conv1"), "pads");
    CHECK(count(node, 8) == 4 && get(node, 20, 0).value == 7);
    CHECKF(fabsf(float_at(get(attribute(find(graph, NODE, "bn1"), "momentum"), 2, 0).body, 0) -
                 0.9f) < 1e-6f, "1 - PyTorch's");
    drop(model);
    model = save(net, NULL);
    CHECK(is(get(graph_of(model), 2, 0).body, "convnet") && !count(model, 6));
    drop(model);
    cvn_destroy(net);
}

/* w' = w s, b' = (b - mean) s + shift, s = scale/sqrt(var + eps) */
static void folding(void)
{
    cvn_onnx_save_options o = cvn_onnx_save_defaults();
    cvn_net *net = make_net(NULL, 1);
    const float *w = cvn_param_find(net, "conv1.weight").value;
    const float *b = cvn_param_find(net, "conv1.bias").value;
    const float *scale = cvn_param_find(net, "bn1.weight").value;
    const float *shift = cvn_param_find(net, "bn1.bias").value;
    const float *mean = cvn_param_find(net, "bn1.running_mean").value;
    const float *var = cvn_param_find(net, "bn1.running_var").value;
    span model, graph, weight, bias;
    o.fold_batchnorm = 1;
    model = save(net, &o);
    graph = graph_of(model);
    check_graph(model, "folded");
    CHECK(!find(graph, NODE, "bn1").at && is(get(find(graph, NODE, "conv1"), 2, 0).body, "bn1"));
    CHECK(count(graph, INITIALIZER) == 4 && !find(graph, INFO, "conv1").at);
    weight = get(find(graph, INITIALIZER, "conv1.weight"), 9, 0).body;
    bias = get(find(graph, INITIALIZER, "conv1.bias"), 9, 0).body;
    CHECK(length(weight) == 4 * 54 && length(bias) == 4 * 3);
    for (int f = 0; f < 3; f++) {
        const double s = (double)scale[f] / sqrt((double)var[f] + 1e-5);
        for (int i = 0; i < 18; i++)
            CHECK_NEAR((double)float_at(weight, (size_t)(18 * f + i)), (double)w[18 * f + i] * s,
                       1e-6);
        CHECK_NEAR((double)float_at(bias, (size_t)f), ((double)b[f] - (double)mean[f]) * s +
                                                           (double)shift[f], 1e-6);
    }
    drop(model);
    cvn_destroy(net);
}

/* Nothing is folded into a layer that is an output, has another reader, or shares its weights. */
static void folding_refused(void)
{
    cvn_onnx_save_options o = cvn_onnx_save_defaults();
    o.fold_batchnorm = 1;
    for (int i = 0; i < 5; i++) {
        cvn_net *net = cvn_create(NULL);
        cvn_conv2d_desc d = cvn_conv2d_defaults();
        cvn_node x = cvn_input(net, 2, 5, 5);
        cvn_node y, z;
        span model;
        d.filters = d.kernel_h = 2;
        d.no_bias = 1;
        y = cvn_conv2d_ex(net, x, &d);
        x = i == 2 ? cvn_relu(net, y) : x;
        z = cvn_batchnorm(net, y);
        if (i == 1) cvn_keep(net, y);
        if (i == 2) z = cvn_add(net, z, x);
        if (i == 3) {
            const cvn_node tied = cvn_conv2d_ex(net, x, &d);
            cvn_tie(net, tied, y);
            z = cvn_add(net, z, tied);
        }
        if (i == 4) cvn_spectral_norm(net, y);
        cvn_output(net, z);
        CHECKF(cvn_build_infer(net, 1) == CVN_OK, "%s", cvn_error(net));
        model = save(net, &o);
        check_graph(model, "folding");
        CHECKF(!find(graph_of(model), NODE, "bn1").at == (i == 0), "case %d", i);
        CHECKF(!find(graph_of(model), INITIALIZER, "conv1.bias").at == (i != 0), "case %d", i);
        drop(model);
        cvn_destroy(net);
    }
}

/* Losses, labels, and what only they read; the variance of a sample. Kept nodes are outputs. */
static void left_out(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input_vector(net, 6);
    cvn_node mean = cvn_name(net, cvn_dense(net, x, 3), "mean");
    cvn_node variance = cvn_name(net, cvn_dense(net, x, 3), "variance");
    cvn_node z = cvn_reparameterize(net, mean, variance);
    cvn_node y = cvn_dense(net, z, 6);
    span model, graph;
    cvn_keep(net, x);
    cvn_keep(net, mean);
    cvn_mse_loss(net, y, x);
    cvn_vae_kl_loss(net, mean, variance);
    CHECK(cvn_build(net, 2) == CVN_OK);
    model = save(net, NULL);
    graph = graph_of(model);
    check_graph(model, "left out");
    CHECK(!find(graph, NODE, "variance").at && !find(graph, INITIALIZER, "variance.weight").at);
    CHECK(count(graph, INPUT) == 1 && count(graph, OUTPUT) == 2);
    CHECK(is(get(get(graph, OUTPUT, 0).body, 1, 0).body, "fc3"));
    CHECK(is(get(get(graph, OUTPUT, 1).body, 1, 0).body, "mean"));
    CHECK(is_node(graph, "sample1", "Identity"));
    drop(model);
    cvn_destroy(net);
}

/* Rows of a sample, tied weights in two forms, separators, a layer named as a parameter. */
static void names_and_shapes(void)
{
    static const int dims[2] = { 3, 4 };
    cvn_net *net = cvn_create(NULL);
    cvn_node s = cvn_input_tensor(net, dims, 2);
    cvn_node a = cvn_dense(net, s, 4);
    cvn_node b = cvn_dense(net, cvn_flatten_batch(net, a), 4);
    cvn_node c = cvn_dense(net, a, 4);
    cvn_node d = cvn_name(net, cvn_silu(net, b), "fc1.weight");
    const float *w;
    float turned[16];
    span model, graph;
    cvn_keep(net, cvn_name(net, cvn_silu(net, c), "a/b"));
    cvn_tie(net, b, a);
    cvn_tie(net, c, a);
    cvn_output(net, d);
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    w = cvn_param_find(net, "fc1.weight").value;
    for (int i = 0; i < 16; i++) turned[i] = w[i % 4 * 4 + i / 4];
    model = save(net, NULL);
    graph = graph_of(model);
    check_graph(model, "names");
    CHECK(!strcmp(shape_text(find(graph, OUTPUT, "fc1.weight//value")), "3*N 4"));
    CHECK(is_node(graph, "a/b//1", "Sigmoid") && is_node(graph, "a/b", "Mul"));
    CHECK(holds(graph, "fc1.weight", turned, 16));      /* the first reader is a sequence */
    CHECK(count(graph, INITIALIZER) == 3);              /* and the bias, and as it is */
    CHECK(holds(graph, "fc2//1", w, 16));
    drop(model);
    cvn_destroy(net);
}

/* ---- the same bytes; errors ---- */

static void determinism(void)
{
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *a = make_net(NULL, 1);
    cvn_net *b, *shared;
    span one, two;
    FILE *file;
    size_t n;
    desc.threads = 3;
    b = make_net(&desc, 0);
    one = save(a, NULL);
    two = save(b, NULL);
    CHECK(same(one, two));
    drop(two);
    shared = cvn_share(a);
    CHECK(cvn_build_infer(shared, 1) == CVN_OK);
    two = save(shared, NULL);
    CHECK(same(one, two));
    memset((void *)(uintptr_t)two.at, 0, length(two));
    CHECKF(cvn_save_onnx(a, MODEL) == CVN_OK, "%s", cvn_error(a));
    file = fopen(MODEL, "rb");
    n = fread((void *)(uintptr_t)two.at, 1, length(two), file);
    CHECK(n == length(two) && fgetc(file) == EOF && same(one, two));
    fclose(file);
    drop(one);
    drop(two);
    cvn_destroy(shared);
    cvn_destroy(a);
    cvn_destroy(b);
}

static int exists(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

static int says(const cvn_net *net, const char *text)
{
    return strstr(cvn_error(net), text) != NULL;
}

static void twice(void *user, int n, const float *x, float *y)
{
    (void)user;
    for (int i = 0; i < n; i++) y[i] = 2 * x[i];
}

static void twice_back(void *user, int n, const float *x, const float *y, const float *dy,
                       float *dx)
{
    (void)user;
    (void)x;
    (void)y;
    for (int i = 0; i < n; i++) dx[i] = 2 * dy[i];
}

static void errors(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 2, 6, 6);
    unsigned char byte = 0;
    cvn_pool_desc two = cvn_pool_defaults();
    CHECK(cvn_save_onnx(NULL, MODEL) == CVN_ERROR_STATE);
    CHECK(cvn_save_onnx_size(NULL, NULL) == 0);
    CHECK(cvn_save_onnx_memory(NULL, &byte, 1, NULL) == CVN_ERROR_STATE);
    CHECK(cvn_save_onnx(net, MODEL) == CVN_ERROR_STATE && says(net, "not built"));
    remove(MODEL);
    cvn_name(net, cvn_activation(net, x, twice, twice_back, NULL), "mine");
    CHECK(cvn_build(net, 2) == CVN_OK);
    CHECK(cvn_save_onnx(net, MODEL) == CVN_ERROR_UNSUPPORTED);
    CHECKF(says(net, "mine: activation has no form in ONNX"), "%s", cvn_error(net));
    CHECK(cvn_save_onnx_size(net, NULL) == 0);
    CHECK(cvn_save_onnx_memory(net, &byte, 1, NULL) == CVN_ERROR_UNSUPPORTED && byte == 0);
    CHECK(!exists(MODEL) && !exists(MODEL ".tmp"));
    cvn_destroy(net);

    net = make_net(NULL, 0);
    CHECK(cvn_save_onnx(net, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_save_onnx_memory(net, NULL, 100, NULL) == CVN_ERROR_ARGUMENT);
    CHECK(cvn_save_onnx_memory(net, &byte, 1, NULL) == CVN_ERROR_MEMORY && byte == 0);
    CHECKF(says(net, "cvn_save_onnx_size"), "%s", cvn_error(net));
    CHECK(cvn_save_onnx(net, "build/no such folder/x.onnx") == CVN_ERROR_FILE);
    cvn_destroy(net);

    net = cvn_create(NULL);
    x = cvn_input(net, 2, 6, 6);
    two.kernel_h = two.dilation_h = 2;
    cvn_avgpool_ex(net, x, &two);
    CHECKF(cvn_build(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_save_onnx(net, MODEL) == CVN_ERROR_UNSUPPORTED && says(net, "pool1: opset 17"));
    cvn_destroy(net);
}

/* 17 layers over the same 134 MB: recurrent layers that are tied have their weights each. */
static void too_large(void)
{
    cvn_net *net = cvn_create(NULL);
    const int dims[2] = { 1, 2048 };
    cvn_node x = cvn_input_tensor(net, dims, 2);
    cvn_node first = x = cvn_lstm(net, x, 2048);
    for (int i = 0; i < 16; i++) {
        x = cvn_lstm(net, x, 2048);
        cvn_tie(net, x, first);
    }
    CHECKF(cvn_build_infer(net, 1) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_save_onnx(net, MODEL) == CVN_ERROR_UNSUPPORTED);
    CHECKF(says(net, "a model of 22828"), "%s", cvn_error(net));
    CHECK(cvn_save_onnx_size(net, NULL) == 0);
    cvn_destroy(net);
}

static void failing_allocator(void)
{
    counting c = { -1, 0 };
    cvn_desc desc = cvn_desc_defaults();
    cvn_result r = CVN_ERROR_MEMORY;
    cvn_net *net;
    int n = 0;
    desc.allocator.alloc = count_alloc;
    desc.allocator.free = count_free;
    desc.allocator.user = &c;
    net = make_net(&desc, 1);
    remove(MODEL);
    for (; r != CVN_OK && n < 20; n++) {
        c.left = n;
        r = cvn_save_onnx(net, MODEL);
        CHECKF(r == CVN_OK || r == CVN_ERROR_MEMORY, "call %d: %s", n, cvn_error(net));
        CHECK((r == CVN_OK) == exists(MODEL) && !exists(MODEL ".tmp"));
    }
    CHECK(r == CVN_OK && n > 1);
    c.left = -1;
    cvn_destroy(net);
}

int main(void)
{
    RUN(contents);
    RUN(folding);
    RUN(folding_refused);
    RUN(left_out);
    RUN(names_and_shapes);
    RUN(all_nets);
    RUN(there_and_back);
    RUN(determinism);
    RUN(errors);
    if (ZOO_STEP == 1) RUN(too_large);
    RUN(failing_allocator);
    return test_done();
}
