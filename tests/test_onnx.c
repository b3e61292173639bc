/* >>protobuf >>onnx >>onnx-load: models written here byte by byte, read by the library; what it
 * says of damaged and hostile ones. Operators: tests/onnx_conformance.c, tests/test_math.c,
 * tests/test_gather.c. */
#include "../convnet.h"
#include "test.h"
#include "onnx_bytes.h"

/* ---- a small convolutional net ---- */

static const float conv_w[2 * 1 * 2 * 2] = { 1, -2, 3, 0.5f, -1, 1, 2, -0.25f };
static const float conv_b[2] = { 0.5f, -1 };
static const float fc_w[3 * 8] = { 1,  0, 2,     -1, 0.5f, 3, -2, 1, 0, 1,     1, 0,
                                   -1, 2, 0.25f, -3, 2,    2, -1, 0, 1, -0.5f, 0, 1 };
static const float fc_b[3] = { 0.125f, 0, -2 };

/* x [batch, 1, 3, 3] -> Conv 2x2 -> Relu -> Flatten -> Gemm -> y [batch, 3] */
static bytes small_net(int batch, int raw)
{
    const int x[] = { batch, 1, 3, 3 }, cw[] = { 2, 1, 2, 2 }, cb[] = { 2 }, fw[] = { 3, 8 },
              fb[] = { 3 };
    onnx m = { { NULL, 0, 0 }, 0 };
    bytes gemm = node("Gemm", "flat fc.weight fc.bias", "y");
    add_input(&m, "x", 4, x);
    add_output(&m, "y");
    add(&m, "Conv", "x conv.weight conv.bias", "c");
    add(&m, "Relu", "c", "r");
    add(&m, "Flatten", "r", "flat");
    attribute_int(&gemm, "transB", 1);
    add_node(&m, gemm);
    add_floats(&m, "conv.weight", 4, cw, conv_w, raw);
    add_floats(&m, "conv.bias", 1, cb, conv_b, raw);
    add_floats(&m, "fc.weight", 2, fw, fc_w, raw);
    add_floats(&m, "fc.bias", 1, fb, fc_b, raw);
    return finish(&m);
}

static void small_reference(const float *x, float *y)
{
    double r[8];
    for (int f = 0; f < 2; f++)
        for (int i = 0; i < 4; i++) {
            double s = (double)conv_b[f];
            for (int k = 0; k < 4; k++)
                s += (double)conv_w[f * 4 + k] * (double)x[(i / 2 + k / 2) * 3 + i % 2 + k % 2];
            r[f * 4 + i] = s > 0 ? s : 0;
        }
    for (int o = 0; o < 3; o++) {
        double s = (double)fc_b[o];
        for (int i = 0; i < 8; i++) s += (double)fc_w[o * 8 + i] * r[i];
        y[o] = (float)s;
    }
}

static void a_small_net(void)
{
    float x[4 * 9], y[4 * 3], want[3];
    for (int i = 0; i < 36; i++) x[i] = (float)((i * 37) % 19) * 0.25f - 2;
    for (int kind = 0; kind < 4; kind++) {
        bytes b = small_net(kind < 2 ? 0 : 1, kind & 1);
        cvn_net *net = cvn_create(NULL);
        cvn_onnx_model info;
        test_case("batch %s, weights as %s", kind < 2 ? "open" : "1",
                  kind & 1 ? "raw_data" : "float_data");
        if (!CHECKF(load(net, &b, &info) == CVN_OK, "%s", cvn_error(net))) continue;
        CHECK(info.batched && info.input_count == 1 && info.output_count == 1 && info.opset == 17);
        CHECK(!strcmp(info.inputs[0].name, "x") && !strcmp(info.outputs[0].name, "y"));
        CHECK(info.inputs[0].rank == 4 && info.inputs[0].dim[3] == 3 && info.outputs[0].rank == 2);
        CHECK(cvn_find(net, "x").id && cvn_find(net, "conv").id && cvn_find(net, "fc").id);
        CHECK(cvn_build_infer(net, 4) == CVN_OK);
        free(b.p);                                      /* values were copied by the build */
        CHECK(cvn_param_find(net, "conv.weight").count == 8 &&
              cvn_param_find(net, "fc.bias").count == 3);
        CHECK(!memcmp(cvn_param_find(net, "fc.weight").value, fc_w, sizeof fc_w));
        CHECK(cvn_predict(net, x, 4, y) == CVN_OK);
        for (int n = 0; n < 4; n++) {
            small_reference(x + 9 * n, want);
            for (int o = 0; o < 3; o++) CHECK_NEAR(y[3 * n + o], want[o], 1e-4);
        }
        cvn_destroy(net);
    }
}

/* An imported net is trained: the features frozen, a new head. */
static void trained_on(void)
{
    bytes b = small_net(0, 1);
    cvn_net *net = cvn_create(NULL);
    const cvn_optimizer sgd = cvn_sgd(0.1f, 0);
    cvn_node flat, head;
    float x[2 * 9], y[2 * 2], before;
    int labels[2] = { 0, 1 };
    for (int i = 0; i < 18; i++) x[i] = (float)(i % 7) * 0.5f - 1;
    CHECK(load(net, &b, NULL) == CVN_OK);
    flat = cvn_find(net, "flat");
    CHECK(flat.id && cvn_freeze_to(net, flat) == CVN_OK);
    head = cvn_dense(net, flat, 2);
    cvn_output(net, head);
    cvn_softmax_loss(net, head);
    CHECK(cvn_set_optimizer(net, &sgd) == CVN_OK);
    CHECKF(cvn_build(net, 2) == CVN_OK, "%s", cvn_error(net));
    CHECK(!memcmp(cvn_param_find(net, "conv.weight").value, conv_w, sizeof conv_w));
    CHECK(cvn_train_batch(net, x, labels, 2, &before) == CVN_OK);
    for (int i = 0; i < 20; i++) CHECK(cvn_train_batch(net, x, labels, 2, &y[0]) == CVN_OK);
    CHECK(y[0] < before);
    CHECK(!memcmp(cvn_param_find(net, "conv.weight").value, conv_w, sizeof conv_w));
    CHECK(cvn_predict(net, x, 2, y) == CVN_OK);
    cvn_destroy(net);
    free(b.p);
}

/* ---- layouts ---- */

/* Transpose of the first axis: one sample is one whole evaluation. */
static void whole(void)
{
    const int x[] = { 1, 3 };
    const long long perm[] = { 1, 0 };
    const float in[6] = { 1, -2, 3, -4, 5, -6 };
    float out[6];
    onnx m = { { NULL, 0, 0 }, 0 };
    bytes t = node("Transpose", "x", "t"), b;
    cvn_net *net = cvn_create(NULL);
    cvn_onnx_model info;
    add_input(&m, "x", 2, x);
    add_output(&m, "y");
    attribute_ints(&t, "perm", 2, perm);
    add_node(&m, t);
    add(&m, "Relu", "t", "y");
    b = finish(&m);
    CHECKF(load(net, &b, &info) == CVN_OK, "%s", cvn_error(net));
    CHECK(!info.batched && info.outputs[0].rank == 2 && info.outputs[0].dim[0] == 3 &&
          info.outputs[0].dim[1] == 1);
    CHECK(cvn_node_shape(net, info.inputs[0].node).rank == 3);
    CHECK(cvn_build_infer(net, 2) == CVN_OK && cvn_predict(net, in, 2, out) == CVN_OK);
    for (int i = 0; i < 6; i++) CHECK(out[i] == (in[i] > 0 ? in[i] : 0));
    cvn_destroy(net);
    free(b.p);
}

/* A batch of 2 in the file: whole; the caller's sizes; a constant of the caller's. */
static void sizes_and_values(void)
{
    const int fixed[] = { 2, 3 }, open[] = { 0, 0 };
    const float bias[3] = { 1, 2, 3 }, in[6] = { 0, 0, 0, 1, 1, 1 };
    float out[6];
    for (int kind = 0; kind < 2; kind++) {
        const int three[] = { 3 };
        onnx m = { { NULL, 0, 0 }, 0 };
        cvn_onnx_input given[2];
        cvn_onnx_options options = cvn_onnx_defaults();
        cvn_onnx_model info;
        cvn_net *net = cvn_create(NULL);
        bytes b;
        add_input(&m, "x", 2, kind ? open : fixed);
        add_input(&m, "b", 1, three);
        add_output(&m, "y");
        add(&m, "Add", "x b", "y");
        b = finish(&m);
        memset(given, 0, sizeof given);
        given[0].rank = 2;
        given[0].dim[0] = 2;
        given[0].dim[1] = 3;
        given[1].name = "b";
        given[1].rank = 1;
        given[1].dim[0] = 3;
        given[1].values = bias;
        options.inputs = given;
        options.input_count = 2;
        test_case("%s", kind ? "open" : "fixed");
        CHECKF(cvn_load_onnx_memory(net, b.p, b.n, &options, &info) == CVN_OK, "%s",
               cvn_error(net));
        CHECK(info.batched == kind && info.input_count == 1 && info.inputs[0].place == 0);
        CHECK(cvn_build_infer(net, kind ? 2 : 1) == CVN_OK);
        CHECK(cvn_predict(net, in, kind ? 2 : 1, out) == CVN_OK);
        for (int i = 0; i < 6; i++) CHECK(out[i] == in[i] + bias[i % 3]);
        given[0].dim[1] = 4;
        {
            cvn_net *other = cvn_create(NULL);
            const cvn_result r = cvn_load_onnx_memory(other, b.p, b.n, &options, NULL);
            CHECK(r != CVN_OK && cvn_error(other)[0] && !cvn_find(other, "x").id);
            cvn_destroy(other);
        }
        cvn_destroy(net);
        free(b.p);
    }
}

/* Shape -> Gather -> Concat -> Reshape, as PyTorch writes x.view(x.size(0), -1): folded, and any
 * batch. */
static void folded_shapes(void)
{
    const int x[] = { 0, 2, 3 };
    const long long zero[] = { 0 }, rest[] = { -1 };
    float in[12], out[12];
    onnx m = { { NULL, 0, 0 }, 0 };
    bytes concat = node("Concat", "n rest", "target"), b;
    cvn_net *net = cvn_create(NULL);
    cvn_onnx_model info;
    for (int i = 0; i < 12; i++) in[i] = (float)(i - 5);
    add_input(&m, "x", 3, x);
    add_output(&m, "y");
    add_ints(&m, "zero", 1, zero);
    add_ints(&m, "rest", 1, rest);
    add(&m, "Shape", "x", "s");
    add(&m, "Gather", "s zero", "n");
    attribute_int(&concat, "axis", 0);
    add_node(&m, concat);
    add(&m, "Reshape", "x target", "v");
    add(&m, "Relu", "v", "y");
    b = finish(&m);
    CHECKF(load(net, &b, &info) == CVN_OK, "%s", cvn_error(net));
    CHECK(info.batched && info.outputs[0].rank == 2 && info.outputs[0].dim[1] == 6);
    CHECK(cvn_build_infer(net, 2) == CVN_OK && cvn_predict(net, in, 2, out) == CVN_OK);
    for (int i = 0; i < 12; i++) CHECK(out[i] == (in[i] > 0 ? in[i] : 0));
    cvn_destroy(net);
    free(b.p);
}

/* One initializer for two layers is one parameter. */
static void shared_weights(void)
{
    const int x[] = { 0, 2 }, w[] = { 2, 2 };
    const float values[4] = { 1, 2, 3, 4 }, in[2] = { 1, -1 };
    float out[2];
    onnx m = { { NULL, 0, 0 }, 0 };
    bytes first = node("Gemm", "x w", "a"), second = node("Gemm", "a w", "y"), b;
    cvn_net *net = cvn_create(NULL);
    add_input(&m, "x", 2, x);
    add_output(&m, "y");
    add_floats(&m, "w", 2, w, values, 1);
    attribute_int(&first, "transB", 1);
    attribute_int(&second, "transB", 1);
    add_node(&m, first);
    add_node(&m, second);
    b = finish(&m);
    CHECKF(load(net, &b, NULL) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_param_count(net) == 1 && cvn_parameters(net) == 4);
    CHECK(cvn_build_infer(net, 1) == CVN_OK && cvn_predict(net, in, 1, out) == CVN_OK);
    CHECK(out[0] == -3 && out[1] == -7);                /* a = (-1, -1) */
    cvn_destroy(net);
    free(b.p);
}

/* ---- element types ---- */

static void element_types(void)
{
    static const struct { int type; size_t n; unsigned char raw[16];
    } rows[] = {
        { CVN_ONNX_FLOAT16, 4, { 0x00, 0x3E, 0x00, 0xC0 } }, /* 1.5, -2 */
        { CVN_ONNX_BFLOAT16, 4, { 0xC0, 0x3F, 0x00, 0xC0 } },
        { CVN_ONNX_DOUBLE, 16, { 0, 0, 0, 0, 0, 0, 0xF8, 0x3F, 0, 0, 0, 0, 0, 0, 0x00, 0xC0 } }
    };
    for (int i = 0; i < 3; i++) {
        const int x[] = { 0, 2 }, w[] = { 2 };
        const float in[2] = { 1, 1 };
        float out[2] = { 0, 0 };
        onnx m = { { NULL, 0, 0 }, 0 };
        bytes t = tensor("w", rows[i].type, 1, w), b;
        cvn_net *net = cvn_create(NULL);
        put_data(&t, 9, rows[i].raw, rows[i].n);
        put_message(&m.graph, 5, &t);
        add_input(&m, "x", 2, x);
        add_output(&m, "y");
        add(&m, "Add", "x w", "y");
        b = finish(&m);
        test_case("type %d", rows[i].type);
        CHECKF(load(net, &b, NULL) == CVN_OK, "%s", cvn_error(net));
        CHECK(cvn_build_infer(net, 1) == CVN_OK && cvn_predict(net, in, 1, out) == CVN_OK);
        CHECK(out[0] == 2.5f && out[1] == -1);
        cvn_destroy(net);
        free(b.p);
    }
}

/* ---- external data ---- */

#define FOLDER "build/"

static void add_external(onnx *m, const char *file, const char *offset)
{
    const int w[] = { 2 };
    const char *key[] = { "location", "offset", "length" };
    const char *value[3];
    bytes t = tensor("w", CVN_ONNX_FLOAT, 1, w);
    value[0] = file;
    value[1] = offset;
    value[2] = "8";
    for (int i = 0; i < 3; i++) {
        bytes entry = { NULL, 0, 0 };
        put_text(&entry, 1, key[i]);
        put_text(&entry, 2, value[i]);
        put_message(&t, 13, &entry);
    }
    put_int(&t, 14, 1);
    put_message(&m->graph, 5, &t);
}

static int write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    const int good = f && fwrite(data, 1, n, f) == n;
    if (f) fclose(f);
    return good;
}

static void external_data(void)
{
    static const struct { const char *file, *offset; int good; } rows[] = {
        { "test_onnx.data", "4", 1 },           { "test_onnx.data", "8", 0 },
        { "test_onnx.data", "99999999999", 0 }, { "no such file", "0", 0 },
        { "../build/test_onnx.data", "4", 0 },  { "/etc/passwd", "0", 0 }
    };
    const unsigned char data[12] = { 9, 9, 9, 9, 0, 0, 0x80, 0x3F, 0, 0, 0, 0x40 };     /* 1, 2 */
    CHECK(write_file(FOLDER "test_onnx.data", data, sizeof data));
    for (int i = 0; i < 6; i++) {
        const int x[] = { 0, 2 };
        const float in[2] = { 1, 1 };
        float out[2] = { 0, 0 };
        onnx m = { { NULL, 0, 0 }, 0 };
        cvn_net *net = cvn_create(NULL);
        bytes b;
        add_external(&m, rows[i].file, rows[i].offset);
        add_input(&m, "x", 2, x);
        add_output(&m, "y");
        add(&m, "Add", "x w", "y");
        b = finish(&m);
        test_case("%s at %s", rows[i].file, rows[i].offset);
        CHECK(write_file(FOLDER "test_onnx.onnx", b.p, b.n));
        if (rows[i].good) {
            CHECKF(cvn_load_onnx(net, FOLDER "test_onnx.onnx") == CVN_OK, "%s", cvn_error(net));
            CHECK(cvn_build_infer(net, 1) == CVN_OK && cvn_predict(net, in, 1, out) == CVN_OK);
            CHECK(out[0] == 2 && out[1] == 3);
        } else {
            const cvn_result r = cvn_load_onnx(net, FOLDER "test_onnx.onnx");
            CHECKF(r == CVN_ERROR_FILE || r == CVN_ERROR_FORMAT, "%s", cvn_error(net));
            CHECK(says(net, "external data"));
        }
        cvn_destroy(net);
        free(b.p);
    }
    remove(FOLDER "test_onnx.data");
    remove(FOLDER "test_onnx.onnx");
}

/* ---- refusals ---- */

static void refusals(void)
{
    const int x[] = { 0, 2 }, w[] = { 3 };
    const float values[3] = { 1, 2, 3 };
    for (int kind = 0; kind < 6; kind++) {
        static const char *const wants[] = { "node 'y' (Quux): there is no such operator",
                                             "nothing before it makes",
                                             "output 'z' is made by nothing",
                                             "node 'y' (Add)",
                                             "open along axis 1",
                                             "graph without outputs" };
        const int open[] = { 0, 0 };
        onnx m = { { NULL, 0, 0 }, 0 };
        cvn_net *net = cvn_create(NULL);
        const cvn_node own = cvn_input_vector(net, 7);
        cvn_onnx_model info;
        bytes b;
        add_input(&m, "x", 2, kind == 4 ? open : x);
        if (kind == 3) add_floats(&m, "w", 1, w, values, 1);
        if (kind == 0) add(&m, "Quux", "x", "y");
        else if (kind == 1) add(&m, "Add", "x other", "y");
        else if (kind == 3) add(&m, "Add", "x w", "y");
        else add(&m, "Relu", "x", "y");
        if (kind != 5) add_output(&m, kind == 2 ? "z" : "y");
        b = finish(&m);
        test_case("%s", wants[kind]);
        CHECK(load(net, &b, &info) != CVN_OK && info.input_count == 0);
        CHECKF(says(net, wants[kind]), "%s", cvn_error(net));
        CHECK(!cvn_find(net, "x").id && cvn_param_count(net) == 0);     /* as it was, and usable */
        cvn_dense(net, own, 2);
        CHECK(cvn_build_infer(net, 1) == CVN_OK);
        CHECK(load(net, &b, NULL) == CVN_ERROR_STATE);
        cvn_destroy(net);
        free(b.p);
    }
    {
        cvn_net *net = cvn_create(NULL);
        CHECK(cvn_load_onnx(NULL, "x") == CVN_ERROR_STATE &&
              cvn_load_onnx(net, NULL) == CVN_ERROR_ARGUMENT);
        CHECK(cvn_load_onnx(net, "build/no such file.onnx") == CVN_ERROR_FILE &&
              says(net, "no such file.onnx"));
        CHECK(cvn_load_onnx_memory(net, "", 0, NULL, NULL) == CVN_ERROR_FORMAT);
        cvn_destroy(net);
    }
}

/* Two initializers without a name, which nobody can read. */
static void nameless(void)
{
    const int x[] = { 0, 2 };
    const float in[2] = { 1, -1 };
    float out[2];
    onnx m = { { NULL, 0, 0 }, 0 };
    cvn_net *net = cvn_create(NULL);
    bytes b;
    for (int i = 0; i < 2; i++) {
        bytes t = { NULL, 0, 0 };
        put_int(&t, 2, CVN_ONNX_FLOAT);
        put_float(&t, 4, 1);
        put_message(&m.graph, 5, &t);
    }
    add_input(&m, "x", 2, x);
    add_output(&m, "y");
    add(&m, "Relu", "x", "y");
    b = finish(&m);
    CHECKF(load(net, &b, NULL) == CVN_OK, "%s", cvn_error(net));
    CHECK(cvn_build_infer(net, 1) == CVN_OK && cvn_predict(net, in, 1, out) == CVN_OK);
    CHECK(out[0] == 1 && out[1] == 0);
    cvn_destroy(net);
    free(b.p);
}

/* Beside layers that are there, twice: names that are taken are left alone. */
static void two_models(void)
{
    bytes b = small_net(0, 1);
    cvn_net *net = cvn_create(NULL);
    cvn_onnx_model one, two;
    float x[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, want[3];
    CHECK(load(net, &b, &one) == CVN_OK);
    CHECK(load(net, &b, &two) == CVN_OK);
    CHECK(one.outputs[0].node.id != two.outputs[0].node.id && cvn_param_count(net) == 8);
    CHECK(cvn_build_infer(net, 1) == CVN_OK);
    CHECK(cvn_set_input(net, one.inputs[0].node, x, 1) == CVN_OK &&
          cvn_set_input(net, two.inputs[0].node, x, 1) == CVN_OK);
    CHECK(cvn_forward_eval(net) == CVN_OK);
    small_reference(x, want);
    for (int i = 0; i < 3; i++) {
        CHECK_NEAR(cvn_value(net, one.outputs[0].node)[i], want[i], 1e-4);
        CHECK_NEAR(cvn_value(net, two.outputs[0].node)[i], want[i], 1e-4);
    }
    cvn_destroy(net);
    free(b.p);
}

/* ---- damage ---- */

/* Loaded or refused, never more; what loads is run when it is small. */
static void try_bytes(const unsigned char *p, size_t n)
{
    unsigned char *copy =
        (unsigned char *)malloc(n ? n : 1); /* its end is the sanitizer's to watch */
    cvn_net *net = cvn_create(NULL);
    cvn_onnx_model info;
    if (n) memcpy(copy, p, n);
    if (cvn_load_onnx_memory(net, copy, n, NULL, &info) == CVN_OK) {
        const size_t needed = cvn_memory_needed(net, 1, CVN_INFER);
        if (needed && needed < 1 << 24 && cvn_build_infer(net, 1) == CVN_OK) cvn_forward_eval(net);
    } else {
        CHECK(cvn_error(net)[0] != 0);
        CHECK(cvn_param_count(net) == 0);
    }
    cvn_destroy(net);
    free(copy);
}

static void truncated(void)
{
    bytes b = small_net(0, 0);
    for (size_t n = 0; n < b.n; n++) try_bytes(b.p, n);
    free(b.p);
}

static void flipped(void)
{
    bytes b = small_net(0, 1);
    for (size_t i = 0; i < b.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            b.p[i] ^= (unsigned char)(1 << bit);
            try_bytes(b.p, b.n);
            b.p[i] ^= (unsigned char)(1 << bit);
        }
    free(b.p);
}

static void failing_allocator(void)
{
    bytes b = small_net(0, 0);
    cvn_result r = CVN_ERROR_MEMORY;
    int n = 0;
    for (; r != CVN_OK && n < 2000; n++) {
        counting c = { -1, 0 };
        cvn_desc desc = cvn_desc_defaults();
        cvn_net *net;
        desc.allocator.alloc = count_alloc;
        desc.allocator.free = count_free;
        desc.allocator.user = &c;
        net = cvn_create(&desc);
        c.left = n;
        r = load(net, &b, NULL);
        CHECKF(r == CVN_OK || r == CVN_ERROR_MEMORY, "call %d: %s", n, cvn_error(net));
        CHECK((r == CVN_OK) == (cvn_param_count(net) > 0));
        cvn_destroy(net);
    }
    CHECK(r == CVN_OK);
    free(b.p);
}

int main(void)
{
    RUN(a_small_net);
    RUN(trained_on);
    RUN(whole);
    RUN(sizes_and_values);
    RUN(folded_shapes);
    RUN(shared_weights);
    RUN(element_types);
    RUN(external_data);
    RUN(refusals);
    RUN(nameless);
    RUN(two_models);
    RUN(truncated);
    RUN(flipped);
    RUN(failing_allocator);
    return test_done();
}
