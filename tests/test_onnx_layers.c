/* >>onnx-layers >>onnx-patterns: models written here, against arithmetic in double; which layers
 * operators become. ONNX's own cases: tests/onnx_conformance.c; models of PyTorch's exporters:
 * tests/onnx_torch.py. */
#include "../convnet.h"
#include "test.h"
#include "onnx_bytes.h"

#define MOST 512

static float value_of(int i) { return (float)((i * 37 + 11) % 29) * 0.125f - 1.75f; }

static void fill(float *v, int n, int seed)
{
    for (int i = 0; i < n; i++) v[i] = value_of(i * 3 + seed);
}

/* The layers of a net as cvn_summary lists them. */
static int has_layer(const cvn_net *net, const char *type)
{
    char text[16384];
    char word[64];
    snprintf(word, sizeof word, " %s ", type);
    cvn_summary(net, text, sizeof text);
    return strstr(text, word) != NULL;
}

/* Loads, runs, copies output 0; its count, or -1 with the error printed. x: inputs in the graph's
 * order. */
static int run(const bytes *b, float *const *x, int batch, float *y, cvn_net **out)
{
    cvn_net *net = cvn_create(NULL);
    cvn_onnx_model info;
    int n = -1;
    if (CHECKF(load(net, b, &info) == CVN_OK &&
                   cvn_build_infer(net, info.batched ? batch : 1) == CVN_OK,
               "%s", cvn_error(net))) {
        const int samples = info.batched ? batch : 1;
        for (int i = 0; i < info.input_count; i++)
            CHECKF(cvn_set_input(net, info.inputs[i].node, x[i], samples) == CVN_OK, "%s",
                   cvn_error(net));
        if (CHECKF(cvn_forward_eval(net) == CVN_OK, "%s", cvn_error(net))) {
            const cvn_shape s = cvn_node_shape(net, info.outputs[0].node);
            n = 1;
            for (int i = 0; i < s.rank; i++) n *= s.dim[i];
            memcpy(y, cvn_value(net, info.outputs[0].node), (size_t)n * sizeof *y);
        }
    }
    if (out) *out = net;
    else cvn_destroy(net);
    return n;
}

static void check_values(const float *y, const double *want, int n, double bound)
{
    for (int i = 0; i < n; i++) CHECK_NEAR((double)y[i], want[i], bound * (1 + fabs(want[i])));
}

/* ================================================================================================
 * expressions: NAME(operand,...), x, numbers; written as operators, and evaluated
 * ============================================================================================== */

typedef struct expression {
    onnx m;
    const char *t;
    int numbers, operators, swap;
    double x;
} expression;

static void scalar(onnx *m, const char *name, double v)
{
    const float f = (float)v;
    add_floats(m, name, 0, NULL, &f, 1);
}

/* The operator at e->t as a node, its value's name into `name`; root: it is "y". */
static void emit(expression *e, char *name, int root)
{
    char type[32], in[3][16], operands[64], hold[16];
    int n = 0, length = 0;
    snprintf(name, 16, "x");
    if (*e->t == 'x') {
        e->t++;
        return;
    }
    snprintf(name, 16, root ? "y" : *e->t < 'A' ? "c%d" : "v%d",
             *e->t < 'A' ? e->numbers++ : e->operators++);
    if (*e->t < 'A') {
        char *end;
        scalar(&e->m, name, strtod(e->t, &end));
        e->t = end;
        return;
    }
    while (*e->t != '(') type[length++] = *e->t++;
    type[length] = 0;
    do {
        e->t++;
        emit(e, in[n++], 0);
    } while (*e->t == ',');
    e->t++;
    if (e->swap && n == 2 && (!strcmp(type, "Add") || !strcmp(type, "Mul"))) {
        memcpy(hold, in[0], sizeof hold);
        memcpy(in[0], in[1], sizeof hold);
        memcpy(in[1], hold, sizeof hold);
    }
    operands[0] = 0;
    for (int i = 0; i < n; i++) snprintf(operands + strlen(operands), 18, i ? " %s" : "%s", in[i]);
    {
        bytes b = node(type, operands, name);
        if (!strcmp(type, "HardSigmoid")) {
            bytes a = { NULL, 0, 0 };
            put_text(&a, 1, "alpha");
            put_float(&a, 2, 1.0f / 6);
            put_message(&b, 5, &a);
        }
        add_node(&e->m, b);
    }
}

static double evaluate(expression *e)
{
    char type[32];
    double v[3] = { 0, 0, 0 };
    int n = 0, length = 0;
    if (*e->t == 'x') return e->t++, e->x;
    if (*e->t < 'A') {
        char *end;
        v[0] = strtod(e->t, &end);
        e->t = end;
        return v[0];
    }
    while (*e->t != '(') type[length++] = *e->t++;
    type[length] = 0;
    do {
        e->t++;
        v[n++] = evaluate(e);
    } while (*e->t == ',');
    e->t++;
    switch (type[0]) {
    case 'A': return v[0] + v[1];
    case 'M': return v[0] * v[1];
    case 'D': return v[0] / v[1];
    case 'E': return erf(v[0]);
    case 'T': return tanh(v[0]);
    case 'P': return pow(v[0], v[1]);
    case 'H': return fmin(1, fmax(0, v[0] / 6 + 0.5));
    case 'C': return fmin(v[2], fmax(v[1], v[0]));
    default: return !strcmp(type, "Sigmoid") ? 1 / (1 + exp(-v[0])) : log1p(exp(v[0]));
    }
}

/* kind 0: as it stands; 1: operands of Add and Mul swapped; 2: the value behind the first operator
 * is an output too. */
static void check_expression(const char *text, const char *type, int kind)
{
    static const int dim[2] = { 0, 24 };
    expression e;
    cvn_net *net;
    float x[48], y[MOST];
    double want[48];
    float *in[1];
    char name[16];
    bytes b;
    memset(&e, 0, sizeof e);
    e.t = text;
    e.swap = kind == 1;
    add_input(&e.m, "x", 2, dim);
    add_output(&e.m, "y");
    if (kind == 2) add_output(&e.m, "v1");
    emit(&e, name, 1);
    b = finish(&e.m);
    test_case("%s, kind %d", text, kind);
    for (int i = 0; i < 48; i++) {
        e.x = x[i] = 2 * value_of(i);
        e.t = text;
        want[i] = evaluate(&e);
    }
    in[0] = x;
    CHECK(run(&b, in, 2, y, &net) == 48);
    CHECK(has_layer(net, type) == (kind < 2));
    check_values(y, want, 48, 2e-6);
    cvn_destroy(net);
    free(b.p);
}

static void activations(void)
{
    static const char *const rows[][2] = {
        { "gelu", "Mul(Mul(x,Add(Erf(Div(x,1.4142135)),1)),0.5)" },
        { "gelu", "Mul(x,Mul(0.5,Add(Erf(Mul(x,0.70710678)),1)))" },
        { "gelu", "Mul(Mul(x,0.5),Add(Erf(Div(x,1.4142135)),1))" },
        { "gelu_tanh",
          "Mul(0.5,Mul(x,Add(1,Tanh(Mul(0.7978845608,Add(x,Mul(0.044715,Mul(x,Mul(x,x)))))))))" },
        { "gelu_tanh",
          "Mul(x,Mul(0.5,Add(Tanh(Mul(0.7978845608,Add(x,Mul(0.044715,Pow(x,3))))),1)))" },
        { "hardswish", "Mul(x,HardSigmoid(x))" },
        { "hardswish", "Div(Mul(x,Clip(Add(x,3),0,6)),6)" },
        { "hardswish", "Mul(x,Div(Clip(Add(x,3),0,6),6))" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int kind = 0; kind < 3; kind++) check_expression(rows[i][1], rows[i][0], kind);
    check_expression("Mul(x,Tanh(Softplus(x)))", "mish", 1);
    check_expression("Mul(x,Sigmoid(x))", "silu", 0);
    /* other numbers are another function: kind 2 wants no such layer (and has an output more) */
    check_expression("Mul(Mul(x,Add(Erf(Div(x,1.5)),1)),0.5)", "gelu", 2);
}

/* ================================================================================================
 * norm, biases, attention
 * ============================================================================================== */

static bytes with_axis(const char *type, const char *in, const char *out)
{
    static const long long last[1] = { -1 };
    bytes b = node(type, in, out);
    attribute_ints(&b, "axes", 1, last);
    return b;
}

static void layer_norm(void)
{
    static const int dim[3] = { 0, 4, 6 }, six[1] = { 6 };
    float w[6], bias[6], x[48], y[MOST];
    double want[48];
    float *in[1];
    onnx m = { { NULL, 0, 0 }, 0 };
    cvn_net *net;
    bytes b;
    fill(w, 6, 1);
    fill(bias, 6, 2);
    fill(x, 48, 5);
    add_input(&m, "x", 3, dim);
    add_output(&m, "y");
    add_floats(&m, "w", 1, six, w, 1);
    add_floats(&m, "b", 1, six, bias, 1);
    scalar(&m, "two", 2);
    scalar(&m, "eps", 0.01);
    add_node(&m, with_axis("ReduceMean", "x", "mean"));
    add(&m, "Sub", "x mean", "d");
    add(&m, "Pow", "d two", "d2");
    add_node(&m, with_axis("ReduceMean", "d2", "var"));
    add(&m, "Add", "eps var", "sum");
    add(&m, "Sqrt", "sum", "root");
    add(&m, "Div", "d root", "q");
    add(&m, "Mul", "w q", "scaled");
    add(&m, "Add", "scaled b", "y");
    b = finish(&m);
    for (int r = 0; r < 8; r++) {
        double mean = 0, var = 0;
        for (int i = 0; i < 6; i++) mean += (double)x[6 * r + i] / 6;
        for (int i = 0; i < 6; i++)
            var += ((double)x[6 * r + i] - mean) * ((double)x[6 * r + i] - mean) / 6;
        for (int i = 0; i < 6; i++)
            want[6 * r + i] =
                ((double)x[6 * r + i] - mean) / sqrt(var + 0.01) * (double)w[i] + (double)bias[i];
    }
    in[0] = x;
    CHECK(run(&b, in, 2, y, &net) == 48);
    CHECK(has_layer(net, "layernorm") && !has_layer(net, "div") &&
          cvn_param_find(net, "w").count == 6);
    check_values(y, want, 48, 1e-5);
    cvn_destroy(net);
    free(b.p);
}

/* A constant behind a product or a convolution is its bias where it has one number a unit. */
static void biases(void)
{
    static const int line[2] = { 0, 3 }, square[2] = { 3, 2 }, two[1] = { 2 }, one[1] = { 1 };
    static const int image[4] = { 0, 1, 3, 3 }, kernel[4] = { 2, 1, 2, 2 }, plane[3] = { 2, 1, 1 };
    const float w[8] = { 1, -2, 3, 0.5f, -1, 2, 0.25f, -3 }, bias[2] = { 0.5f, -1.5f };
    float x[18], y[MOST];
    float *in[1];
    fill(x, 18, 3);
    in[0] = x;
    for (int kind = 0; kind < 3; kind++) { /* product, with one number for all, convolution */
        onnx m = { { NULL, 0, 0 }, 0 };
        double want[MOST];
        cvn_net *net;
        bytes b;
        const int n = kind < 2 ? 4 : 16;
        test_case("bias, kind %d", kind);
        if (kind < 2) {
            add_input(&m, "x", 2, line);
            add_floats(&m, "w", 2, square, w, 1);
            add_floats(&m, "b", 1, kind ? one : two, bias, 1);
            add(&m, "MatMul", "x w", "p");
        } else {
            add_input(&m, "x", 4, image);
            add_floats(&m, "w", 4, kernel, w, 1);
            add_floats(&m, "b", 3, plane, bias, 1);
            add(&m, "Conv", "x w", "p");
        }
        add(&m, "Add", "b p", "y");
        add_output(&m, "y");
        b = finish(&m);
        for (int i = 0; i < n; i++) {
            const int f = kind < 2 ? i % 2 : i / 4 % 2;
            want[i] = (double)bias[kind == 1 ? 0 : f];
            for (int k = 0; kind < 2 && k < 3; k++)
                want[i] += (double)x[i / 2 * 3 + k] * (double)w[k * 2 + f];
            for (int k = 0; kind == 2 && k < 4; k++)
                want[i] += (double)x[i / 8 * 9 + (i % 4 / 2 + k / 2) * 3 + i % 2 + k % 2] *
                           (double)w[f * 4 + k];
        }
        CHECK(run(&b, in, 2, y, &net) == n);
        CHECK(!has_layer(net, "add") && has_layer(net, "scale") == (kind == 1));
        check_values(y, want, n, 1e-5);
        cvn_destroy(net);
        free(b.p);
    }
}

enum { H = 2, T = 3, S = 4, D = 5 };

static void attention_reference(const float *q, const float *k, const float *v, double scale,
                                double *y)
{
    for (int i = 0; i < 2 * H * T; i++) {
        const int head = i / T;
        double p[S], sum = 0;
        for (int s = 0; s < S; s++) {
            p[s] = 0;
            for (int d = 0; d < D; d++)
                p[s] += (double)q[i * D + d] * (double)k[(head * S + s) * D + d];
            sum += p[s] = exp(scale * p[s]);
        }
        for (int d = 0; d < D; d++) {
            y[i * D + d] = 0;
            for (int s = 0; s < S; s++)
                y[i * D + d] += p[s] / sum * (double)v[(head * S + s) * D + d];
        }
    }
}

/* The forms of the table; the last has a factor for each head, and stays spelled out. */
static void attention(void)
{
    static const int dq[4] = { 0, H, T, D }, dk[4] = { 0, H, S, D }, heads[4] = { 1, H, 1, 1 };
    static const long long perm[4] = { 0, 1, 3, 2 };
    const float each[H] = { 0.5f, 0.5f };
    float q[2 * H * T * D], k[2 * H * S * D], v[2 * H * S * D], y[MOST];
    double want[2 * H * T * D];
    float *in[3];
    in[0] = q;
    in[1] = k;
    in[2] = v;
    fill(q, 2 * H * T * D, 1);
    fill(k, 2 * H * S * D, 2);
    fill(v, 2 * H * S * D, 4);
    for (int kind = 0; kind < 5; kind++) {
        onnx m = { { NULL, 0, 0 }, 0 };
        bytes t = node("Transpose", "k", "kt"), softmax;
        cvn_net *net;
        bytes b;
        test_case("attention, kind %d", kind);
        attribute_ints(&t, "perm", 4, perm);
        add_input(&m, "q", 4, dq);
        add_input(&m, "k", 4, dk);
        add_input(&m, "v", 4, dk);
        add_output(&m, "y");
        if (kind == 4) add_floats(&m, "s", 4, heads, each, 1);
        else scalar(&m, "s", kind == 3 ? 2 : 0.5);
        scalar(&m, "t", 1.25);
        add_node(&m, t);
        if (kind < 2 || kind == 4) add(&m, "Mul", "q s", "qs");
        if (kind == 0) add(&m, "Mul", "kt t", "kts");
        add(&m, "MatMul", kind == 0 ? "qs kts" : kind == 1 || kind == 4 ? "qs kt" : "q kt", "p");
        if (kind == 2) add(&m, "Mul", "s p", "ps");
        if (kind == 3) add(&m, "Div", "p s", "ps");
        softmax = node("Softmax", kind == 2 || kind == 3 ? "ps" : "p", "weights");
        attribute_int(&softmax, "axis", -1);
        add_node(&m, softmax);
        add(&m, "MatMul", "weights v", "y");
        b = finish(&m);
        attention_reference(q, k, v, kind == 0 ? 0.625 : 0.5, want);
        CHECK(run(&b, in, 2, y, &net) == 2 * H * T * D);
        CHECK(has_layer(net, "softmax") == (kind == 4));
        check_values(y, want, 2 * H * T * D, 1e-5);
        cvn_destroy(net);
        free(b.p);
    }
}

/* ================================================================================================
 * products: Einsum, MatMul and Gemm against sums over all labels
 * ============================================================================================== */

typedef struct operand { const char *label; int known; float v[MOST]; } operand;

static int size_of(char label) { return label == '*' ? 1 : 2 + (label - 'a') % 4; }

static int count_of(const char *label)
{
    int n = 1;
    for (; *label; label++) n *= size_of(*label);
    return n;
}

static int index_of(const char *label, const int *at)       /* at: by letter */
{
    int i = 0;
    for (; *label; label++) i = i * size_of(*label) + (*label == '*' ? 0 : at[*label - 'a']);
    return i;
}

/* y[out] += the products over all values of the 26 letters that occur. */
static void label_sums(const operand *o, int count, const char *out, double *y)
{
    char all[26];
    int n = 0, total = 1;
    memset(y, 0, (size_t)count_of(out) * sizeof *y);
    for (char c = 'a'; c <= 'z'; c++)
        for (int i = 0; i < count; i++)
            if (strchr(o[i].label, c)) {
                all[n++] = c;
                total *= size_of(c);
                break;
            }
    for (int i = 0; i < total; i++) {
        int at[26];
        int rest = i;
        double p = 1;
        for (int k = 0; k < n; k++) {
            at[all[k] - 'a'] = rest % size_of(all[k]);
            rest /= size_of(all[k]);
        }
        for (int k = 0; k < count; k++) p *= (double)o[k].v[index_of(o[k].label, at)];
        y[index_of(out, at)] += p;
    }
}

static void add_operand(onnx *m, const operand *o, const char *name)
{
    int dim[8];
    const int rank = (int)strlen(o->label);
    for (int i = 0; i < rank; i++) dim[i] = size_of(o->label[i]);
    if (o->known) add_floats(m, name, rank, dim, o->v, 1);
    else add_input(m, name, rank, dim);
}

/* type Einsum or MatMul of a and b (b "": one operand). */
static void check_labels(const char *type, const char *equation, const char *a, const char *b,
                         const char *out, int known)
{
    operand o[2];
    onnx m = { { NULL, 0, 0 }, 0 };
    double want[MOST];
    float y[MOST];
    float *in[2];
    const int count = *b ? 2 : 1;
    bytes n = node(type, count == 2 ? "a b" : "a", "y");
    bytes file;
    test_case("%s %s of %s and %s%s", type, equation, a, b, known ? ", known" : "");
    o[0].label = a;
    o[1].label = b;
    for (int i = 0; i < count; i++) {
        o[i].known = i && known;
        fill(o[i].v, count_of(o[i].label), 7 * i + 1);
        in[i] = o[i].v;
        add_operand(&m, &o[i], i ? "b" : "a");
    }
    add_output(&m, "y");
    if (*equation) {
        bytes text = { NULL, 0, 0 };
        put_text(&text, 1, "equation");
        put_text(&text, 4, equation);
        put_message(&n, 5, &text);
    }
    add_node(&m, n);
    file = finish(&m);
    label_sums(o, count, out, want);
    CHECK(run(&file, in, 1, y, NULL) == count_of(out));
    check_values(y, want, count_of(out), 1e-5);
    free(file.p);
}

static void products(void)
{
    static const char *const rows[][5] = { { "Einsum", "bij,bjk->bik", "bij", "bjk", "bik" },
                                           { "Einsum", "bij,bkj->bik", "bij", "bkj", "bik" },
                                           { "Einsum", "ij,jk", "ij", "jk", "ik" },
                                           { "Einsum", "i,i->", "i", "i", "" },
                                           { "Einsum", "i,j->ij", "i", "j", "ij" },
                                           { "Einsum", "ij->ji", "ij", "", "ji" },
                                           { "Einsum", "...ii->...i", "ebb", "", "eb" },
                                           { "Einsum", "ab c, c d -> d a b", "abc", "cd", "dab" },
                                           { "Einsum", "abcd,cdef->abef", "abcd", "cdef", "abef" },
                                           { "Einsum", "bhqd,bhkd->bhqk", "bhqd", "bhkd", "bhqk" },
                                           { "Einsum", "...ab,...bc->...ac", "dab", "dbc", "dac" },
                                           { "Einsum", "ijk,ijk->j", "ijk", "ijk", "j" },
                                           { "Einsum", "ijk->j", "ijk", "", "j" },
                                           { "MatMul", "", "ab", "bc", "ac" },
                                           { "MatMul", "", "dab", "bc", "dac" },
                                           { "MatMul", "", "cdab", "cdbe", "cdae" },
                                           { "MatMul", "", "cdab", "c*be", "cdae" },
                                           { "MatMul", "", "dab", "dbc", "dac" },
                                           { "MatMul", "", "b", "bc", "c" },
                                           { "MatMul", "", "ab", "b", "a" },
                                           { "MatMul", "", "b", "b", "" },
                                           { "MatMul", "", "cab", "b", "ca" },
                                           { "MatMul", "", "ab", "dbc", "dac" },
                                           { "MatMul", "", "cdab", "be", "cdae" } };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int known = 0; known < 2; known++)
            check_labels(rows[i][0], rows[i][1], rows[i][2], rows[i][3], rows[i][4], known);
}

static void gemm(void)
{
    const float alpha = 0.5f, beta = -2;
    for (int i = 0; i < 48; i++) {
        const int ta = i & 1, tb = i >> 1 & 1, known = i >> 2 & 1,
                  c = i >> 3; /* C: none, 1, [S], [M, 1], [M, S], [1, S] */
        static const int cd[6][2] = { { 0, 0 }, { 1, 0 }, { 4, 0 }, { 3, 1 }, { 3, 4 }, { 1, 4 } };
        const int ad[2] = { ta ? 5 : 3, ta ? 3 : 5 }, bd[2] = { tb ? 4 : 5, tb ? 5 : 4 };
        float a[15], b[20], bias[12], y[MOST];
        double want[12];
        float *in[2];
        onnx m = { { NULL, 0, 0 }, 0 };
        bytes n = node("Gemm", c ? "a b c" : "a b", "y"), part, file;
        test_case("Gemm %d", i);
        fill(a, 15, 1);
        fill(b, 20, 2);
        fill(bias, 12, 3);
        in[0] = a;
        in[1] = b;
        add_input(&m, "a", 2, ad);
        if (known) add_floats(&m, "b", 2, bd, b, 1);
        else add_input(&m, "b", 2, bd);
        if (c) add_floats(&m, "c", c < 3 ? 1 : 2, cd[c], bias, 1);
        add_output(&m, "y");
        attribute_int(&n, "transA", ta);
        attribute_int(&n, "transB", tb);
        for (int k = 0; k < 2; k++) {
            memset(&part, 0, sizeof part);
            put_text(&part, 1, k ? "beta" : "alpha");
            put_float(&part, 2, k ? beta : alpha);
            put_message(&n, 5, &part);
        }
        add_node(&m, n);
        file = finish(&m);
        for (int r = 0; r < 3; r++)
            for (int s = 0; s < 4; s++) {
                const int at = c == 1 ? 0 : c == 2 || c == 5 ? s : c == 3 ? r : r * 4 + s;
                double sum = 0;
                for (int k = 0; k < 5; k++)
                    sum += (double)a[ta ? k * 3 + r : r * 5 + k] *
                           (double)b[tb ? s * 5 + k : k * 4 + s];
                want[r * 4 + s] = (double)alpha * sum + (c ? (double)beta * (double)bias[at] : 0);
            }
        CHECK(run(&file, in, 1, y, NULL) == 12);
        check_values(y, want, 12, 1e-5);
        free(file.p);
    }
}

/* ================================================================================================
 * recurrent layers
 * ============================================================================================== */

enum { RT = 3, RN = 2, RI = 2, RH = 3 };

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* One step of one sample: gates a (ONNX's order) from x and both biases, R, B_R of the last GRU
 * gate, peepholes. */
static void cell(int gates, int before, const double *a, const float *r, const float *rb,
                 const float *p, double *h, double *c)
{
    double u[4 * RH], old[RH], v[RH];
    memcpy(old, h, sizeof old);
    for (int k = 0; k < gates * RH; k++) {
        u[k] = 0;
        for (int j = 0; j < RH; j++) u[k] += (double)r[k * RH + j] * old[j];
    }
    for (int k = 0; k < RH; k++) {
        if (gates == 4) {
            const double i = logistic(a[k] + u[k] + (p ? (double)p[k] * c[k] : 0));
            const double f =
                logistic(a[2 * RH + k] + u[2 * RH + k] + (p ? (double)p[2 * RH + k] * c[k] : 0));
            const double now = f * c[k] + i * tanh(a[3 * RH + k] + u[3 * RH + k]);
            h[k] = logistic(a[RH + k] + u[RH + k] + (p ? (double)p[RH + k] * now : 0)) * tanh(now);
            c[k] = now;
            continue;
        }
        if (gates == 1) h[k] = tanh(a[k] + u[k]);
        else v[k] = logistic(a[RH + k] + u[RH + k]) * old[k];           /* r h */
    }
    for (int k = 0; gates == 3 && k < RH; k++) {
        const double z = logistic(a[k] + u[k]);
        double m = (double)rb[k];
        for (int j = 0; j < RH; j++)
            m += (double)r[(2 * RH + k) * RH + j] * (before ? v[j] : old[j]);
        if (!before) m *= logistic(a[RH + k] + u[RH + k]);
        h[k] = (1 - z) * tanh(a[2 * RH + k] + m) + z * old[k];
    }
}

typedef struct rnn_case {
    const char *type;
    int gates, before, dirs, reverse, layout, bias, states, peep, lengths;
} rnn_case;

static const long long rnn_lengths[RN] = { 2, 3 };

static void rnn_reference(const rnn_case *k, const float *x, const float *w, const float *r,
                          const float *b, const float *p, const float *h0, double *y)
{
    const int rows = k->gates * RH;
    for (int n = 0; n < RN; n++)
        for (int dir = 0; dir < k->dirs; dir++) {
            double h[RH], c[RH];
            const float *bias = b + 2 * dir * rows;
            for (int i = 0; i < RH; i++)
                h[i] = c[i] =
                    k->states ? (double)h0[(k->layout ? n * k->dirs + dir : dir * RN + n) * RH + i]
                              : 0;
            for (int s = 0; s < RT; s++) {
                const int length = k->lengths ? (int)rnn_lengths[n] : RT;
                const int t = s < length && (dir || k->reverse) ? length - 1 - s : s;
                double a[4 * RH];
                for (int g = 0; g < rows; g++) {
                    const int own =
                        k->gates == 3 && g >= 2 * RH; /* its hidden bias comes with R h */
                    a[g] = k->bias ? (double)bias[g] + (own ? 0 : (double)bias[rows + g]) : 0;
                    for (int i = 0; i < RI; i++)
                        a[g] += (double)w[(dir * rows + g) * RI + i] *
                                (double)x[(k->layout ? n * RT + t : t * RN + n) * RI + i];
                }
                {
                    const float none[RH] = { 0 };
                    if (s < length)
                        cell(k->gates, k->before, a, r + dir * rows * RH,
                             k->bias ? bias + rows + 2 * RH : none,
                             k->peep ? p + dir * 3 * RH : NULL, h, c);
                }
                for (int i = 0; i < RH; i++)
                    y[(k->layout ? (n * RT + t) * k->dirs + dir : (t * k->dirs + dir) * RN + n) *
                          RH +
                      i] = s < length ? h[i] : 0;
            }
        }
}

static void check_rnn(const rnn_case *k)
{
    const int rows = k->gates * RH;
    const int dx[3] = { k->layout ? RN : RT, k->layout ? RT : RN, RI },
              dw[3] = { k->dirs, rows, RI };
    const int dr[3] = { k->dirs, rows, RH }, db[2] = { k->dirs, 2 * rows },
              dp[2] = { k->dirs, 3 * RH };
    const int dh[3] = { k->layout ? RN : k->dirs, k->layout ? k->dirs : RN, RH };
    const char *way = k->dirs == 2 ? "bidirectional" : k->reverse ? "reverse" : "forward";
    float x[RT * RN * RI], w[MOST], r[MOST], b[MOST], p[MOST], h[MOST], y[MOST];
    double want[MOST];
    float *in[1];
    char names[64];
    onnx m = { { NULL, 0, 0 }, 0 };
    bytes n, text = { NULL, 0, 0 }, file;
    in[0] = x;
    fill(x, RT * RN * RI, 1);
    fill(w, MOST, 2);
    fill(r, MOST, 5);
    fill(b, MOST, 3);
    fill(p, MOST, 4);
    fill(h, MOST, 6);
    snprintf(names, sizeof names, "x w r %s %s %s %s %s", k->bias ? "b" : "-",
             k->lengths ? "n" : "-", k->states ? "h" : "-", k->states && k->gates == 4 ? "h" : "-",
             k->peep ? "p" : "-");
    if (k->gates < 4) names[strlen(names) - 4] = 0;
    n = node(k->type, names, "y");
    put_text(&text, 1, "direction");
    put_text(&text, 4, way);
    put_message(&n, 5, &text);
    attribute_int(&n, "hidden_size", RH);
    attribute_int(&n, "layout", k->layout);
    if (k->gates == 3) attribute_int(&n, "linear_before_reset", !k->before);
    add_node(&m, n);
    add_input(&m, "x", 3, dx);
    add_output(&m, "y");
    add_floats(&m, "w", 3, dw, w, 1);
    add_floats(&m, "r", 3, dr, r, 1);
    add_floats(&m, "b", 2, db, b, 1);
    add_floats(&m, "p", 2, dp, p, 1);
    add_floats(&m, "h", 3, dh, h, 1);
    add_ints(&m, "n", RN, rnn_lengths);
    file = finish(&m);
    test_case("%s %s, before %d, layout %d, bias %d, states %d, peepholes %d, lengths %d", k->type,
              way, k->before, k->layout, k->bias, k->states, k->peep, k->lengths);
    rnn_reference(k, x, w, r, b, p, h, want);
    CHECK(run(&file, in, RN, y, NULL) == RT * RN * k->dirs * RH);
    check_values(y, want, RT * RN * k->dirs * RH, 2e-6);
    free(file.p);
}

static void recurrent(void)
{
    for (int i = 0; i < 240; i++) {
        static const rnn_case kinds[5] = { { "RNN", 1, 0, 1, 0, 0, 0, 0, 0, 0 },
                                           { "LSTM", 4, 0, 1, 0, 0, 0, 0, 0, 0 },
                                           { "LSTM", 4, 0, 1, 0, 0, 0, 0, 1, 0 },
                                           { "GRU", 3, 0, 1, 0, 0, 0, 0, 0, 0 },
                                           { "GRU", 3, 1, 1, 0, 0, 0, 0, 0, 0 } };
        rnn_case k = kinds[i % 5];
        k.dirs = i / 5 % 3 == 2 ? 2 : 1;
        k.reverse = i / 5 % 3 == 1;
        k.layout = i / 15 & 1;
        k.bias = i / 30 & 1;
        k.states = i / 60 & 1;
        k.lengths = i >= 120 && !k.before && !k.peep;
        check_rnn(&k);
    }
}

/* ================================================================================================
 * quantised products; pools of volumes; indices
 * ============================================================================================== */

static void add_bytes(onnx *m, const char *name, int type, int rank, const int *dim,
                      const int *values)
{
    bytes t = tensor(name, type, rank, dim);
    for (int i = 0; i < product(rank, dim); i++) put_int(&t, 5, values[i]);
    put_message(&m->graph, 5, &t);
}

/* Weights with a zero point and a scale for each filter; results round half to even and saturate.
 */
static void quantised(void)
{
    static const int image[4] = { 1, 1, 3, 3 }, kernel[4] = { 2, 1, 2, 2 }, two[1] = { 2 };
    static const int w[8] = { 3, -4, 100, 7, -128, 5, 9, 127 }, zw[2] = { 1, -2 }, zx[1] = { 120 },
                     zy[1] = { 10 };
    static const int bias[2] = { 300, -70 };
    const float sx[1] = { 0.5f }, sw[2] = { 0.25f, 0.125f }, sy[1] = { 2 };
    float x[9], y[MOST];
    double want[8];
    float *in[1];
    onnx m = { { NULL, 0, 0 }, 0 };
    bytes b;
    in[0] = x;
    for (int i = 0; i < 9; i++) x[i] = (float)((i * 53) % 256);
    add_port(&m, 11, "x", CVN_ONNX_UINT8, 4, image);
    add_port(&m, 12, "y", CVN_ONNX_UINT8, 0, NULL);
    add_floats(&m, "sx", 0, NULL, sx, 1);
    add_floats(&m, "sw", 1, two, sw, 1);
    add_floats(&m, "sy", 0, NULL, sy, 1);
    add_bytes(&m, "zx", CVN_ONNX_UINT8, 0, NULL, zx);
    add_bytes(&m, "zy", CVN_ONNX_UINT8, 0, NULL, zy);
    add_bytes(&m, "zw", CVN_ONNX_INT8, 1, two, zw);
    add_bytes(&m, "w", CVN_ONNX_INT8, 4, kernel, w);
    add_bytes(&m, "bias", CVN_ONNX_INT32, 1, two, bias);
    add(&m, "QLinearConv", "x sx zx w sw zw sy zy bias", "y");
    b = finish(&m);
    for (int i = 0; i < 8; i++) {
        const int f = i / 4;
        double sum = bias[f];
        for (int k = 0; k < 4; k++)
            sum += ((double)x[(i % 4 / 2 + k / 2) * 3 + i % 2 + k % 2] - zx[0]) *
                   (w[f * 4 + k] - zw[f]);
        want[i] = nearbyint(sum * (double)(sx[0] * sw[f] / sy[0])) + zy[0];
        want[i] = fmin(255, fmax(0, want[i]));
    }
    CHECK(run(&b, in, 1, y, NULL) == 8);
    check_values(y, want, 8, 0);
    free(b.p);
}

/* Two axes and then one are all three. */
static void volumes(void)
{
    static const char *const types[3] = { "MaxPool", "AveragePool", "LpPool" };
    static const int dim[5] = { 0, 2, 5, 4, 6 };
    static const long long kernel[3] = { 3, 2, 3 }, stride[3] = { 2, 1, 2 },
                           pads[6] = { 1, 0, 1, 1, 1, 0 };
    float x[480], y[MOST];
    float *in[1];
    in[0] = x;
    fill(x, 480, 3);
    for (int kind = 0; kind < 4; kind++) {              /* 3: the mean counts the pads */
        onnx m = { { NULL, 0, 0 }, 0 };
        bytes n = node(types[kind % 3 + (kind == 3)], "x", "y"), b;
        double want[MOST];
        int count = 0;
        test_case("volumes, kind %d", kind);
        attribute_ints(&n, "kernel_shape", 3, kernel);
        attribute_ints(&n, "strides", 3, stride);
        attribute_ints(&n, "pads", 6, pads);
        if (kind == 3) attribute_int(&n, "count_include_pad", 1);
        add_input(&m, "x", 5, dim);
        add_output(&m, "y");
        add_node(&m, n);
        b = finish(&m);
        for (int plane = 0; plane < 4; plane++)
            for (int o = 0; o < 3 * 4 * 3; o++) {
                double most = -HUGE_VAL, sum = 0, square = 0;
                int inside = 0;
                for (int k = 0; k < 18; k++) {
                    const int d = o / 12 * 2 - 1 + k / 6, h = o / 3 % 4 + k / 3 % 2,
                              w = o % 3 * 2 - 1 + k % 3;
                    if (d < 0 || d >= 5 || h >= 4 || w < 0 || w >= 6) continue;
                    most = fmax(most, (double)x[((plane * 5 + d) * 4 + h) * 6 + w]);
                    sum += (double)x[((plane * 5 + d) * 4 + h) * 6 + w];
                    square += (double)x[((plane * 5 + d) * 4 + h) * 6 + w] *
                              (double)x[((plane * 5 + d) * 4 + h) * 6 + w];
                    inside++;
                }
                want[count++] = !kind       ? most
                                : kind == 2 ? sqrt(square)
                                            : sum / (kind == 1 ? inside : 18);
            }
        CHECK(run(&b, in, 2, y, NULL) == count);
        check_values(y, want, count, 1e-5);
        free(b.p);
    }
}

/* Maxima go back to their places, of each sample and channel. */
static void indices(void)
{
    static const int dim[4] = { 0, 2, 4, 4 };
    static const long long two[2] = { 2, 2 };
    onnx m = { { NULL, 0, 0 }, 0 };
    bytes pool = node("MaxPool", "x", "p i"), back = node("MaxUnpool", "p i", "y"), b;
    float x[64], y[MOST];
    float *in[1];
    in[0] = x;
    for (int i = 0; i < 64; i++) x[i] = (float)((i * 37 + 5) % 64);
    attribute_ints(&pool, "kernel_shape", 2, two);
    attribute_ints(&pool, "strides", 2, two);
    attribute_ints(&back, "kernel_shape", 2, two);
    attribute_ints(&back, "strides", 2, two);
    add_input(&m, "x", 4, dim);
    add_output(&m, "y");
    add_node(&m, pool);
    add_node(&m, back);
    b = finish(&m);
    CHECK(run(&b, in, 2, y, NULL) == 64);
    for (int i = 0; i < 64; i++) {
        const int corner = i / 16 * 16 + i % 16 / 8 * 8 + i % 4 / 2 * 2;
        const float most =
            fmaxf(fmaxf(x[corner], x[corner + 1]), fmaxf(x[corner + 4], x[corner + 5]));
        CHECK_NEAR(y[i], x[i] == most ? x[i] : 0, 0);
    }
    free(b.p);
}

/* ================================================================================================
 * what cannot be, and memory
 * ============================================================================================== */

static void refuse(bytes n, const int *dim, int rank, const char *reason)
{
    static const int w[4] = { 2, 3, 2, 2 };
    float values[24];
    onnx m = { { NULL, 0, 0 }, 0 };
    cvn_net *net = cvn_create(NULL);
    bytes b;
    fill(values, 24, 1);
    add_input(&m, "x", rank, dim);
    add_output(&m, "y");
    add_floats(&m, "w", 4, w, values, 1);
    add_node(&m, n);
    b = finish(&m);
    test_case("refused: %s", reason);
    CHECK(load(net, &b, NULL) < 0);
    CHECKF(says(net, reason), "'%s'", cvn_error(net));
    CHECK(cvn_param_count(net) == 0);
    cvn_destroy(net);
    free(b.p);
}

static void refusals(void)
{
    static const int image[4] = { 0, 3, 5, 5 }, narrow[4] = { 0, 2, 5, 5 }, flat[2] = { 0, 3 };
    static const long long huge[2] = { 1LL << 40, 1 }, three[3] = { 1, 1, 1 };
    bytes n = node("Conv", "x w", "y");
    attribute_ints(&n, "strides", 2, huge);
    refuse(n, image, 4, "out of range");
    n = node("Conv", "x w", "y");
    attribute_ints(&n, "dilations", 3, three);
    refuse(n, image, 4, "dilations has 3 elements, not 2");
    refuse(node("Conv", "x w", "y"), narrow, 4, "do not fit an input of 2 channels");
    refuse(node("Conv", "x x", "y"), image, 4, "must be known");
    refuse(node("MaxPool", "x", "y"), flat, 2, "an input of 2 axes");
    n = node("LRN", "x", "y");
    attribute_int(&n, "size", 4);
    refuse(n, image, 4, "odd sizes");
    n = node("Einsum", "x", "y");
    refuse(n, image, 4, "an equation that does not fit");
    refuse(node("LSTM", "x w w", "y"), image, 4, "three axes");
    refuse(node("attention", "x w", "y"), image, 4, "no such operator");
}

/* A weight with another number of rows than the other operand has columns. */
static void misfits(void)
{
    static const int x[2] = { 2, 3 }, w[2] = { 4, 5 };
    static const char *const types[3] = { "Gemm", "MatMul", "MatMulInteger" };
    float values[20];
    fill(values, 20, 1);
    for (int i = 0; i < 6; i++) {
        onnx m = { { NULL, 0, 0 }, 0 };
        cvn_net *net = cvn_create(NULL);
        bytes b;
        test_case("%s, x %s", types[i / 2], i % 2 ? "known" : "computed");
        if (i % 2) add_floats(&m, "x", 2, x, values, 1);
        else add_input(&m, "x", 2, x);
        add_floats(&m, "w", 2, w, values, 1);
        add_output(&m, "y");
        add(&m, types[i / 2], "x w", "y");
        b = finish(&m);
        CHECK(load(net, &b, NULL) < 0);
        CHECKF(says(net, "do not fit"), "'%s'", cvn_error(net));
        cvn_destroy(net);
        free(b.p);
    }
}

/* A GRU of single steps, a product by labels, an activation spelled out: each allocation fails
 * once. */
static void failing_allocator(void)
{
    static const int dx[3] = { 2, 1, 2 }, dw[3] = { 1, 6, 2 }, square[2] = { 2, 2 };
    float v[12];
    onnx m = { { NULL, 0, 0 }, 0 };
    cvn_result r = CVN_ERROR_MEMORY;
    bytes n = node("Einsum", "h a", "e"), text = { NULL, 0, 0 }, b;
    int calls = 0;
    fill(v, 12, 1);
    put_text(&text, 1, "equation");
    put_text(&text, 4, "tdnh,hk->tdnk");
    put_message(&n, 5, &text);
    add_input(&m, "x", 3, dx);
    add_output(&m, "y");
    add_floats(&m, "w", 3, dw, v, 1);
    add_floats(&m, "a", 2, square, v, 0);
    add(&m, "GRU", "x w w", "h");
    add_node(&m, n);
    add(&m, "Sigmoid", "e", "s");
    add(&m, "Mul", "e s", "y");
    b = finish(&m);
    for (; r != CVN_OK && calls < 5000; calls++) {
        counting c = { -1, 0 };
        cvn_desc desc = cvn_desc_defaults();
        cvn_net *net;
        desc.allocator.alloc = count_alloc;
        desc.allocator.free = count_free;
        desc.allocator.user = &c;
        net = cvn_create(&desc);
        c.left = calls;
        r = load(net, &b, NULL);
        CHECKF(r == CVN_OK || r == CVN_ERROR_MEMORY, "call %d: %s", calls, cvn_error(net));
        CHECK((r == CVN_OK) == (cvn_param_count(net) > 0));
        cvn_destroy(net);
    }
    CHECK(r == CVN_OK && calls > 20);
    free(b.p);
}

int main(void)
{
    RUN(activations);
    RUN(layer_norm);
    RUN(biases);
    RUN(attention);
    RUN(products);
    RUN(gemm);
    RUN(recurrent);
    RUN(quantised);
    RUN(volumes);
    RUN(indices);
    RUN(refusals);
    RUN(misfits);
    RUN(failing_allocator);
    return test_done();
}
