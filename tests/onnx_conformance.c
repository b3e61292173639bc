/* The ONNX backend test data: DIR/<case>/model.onnx with test_data_set_<k>/input_<i>.pb and
 * output_<i>.pb.
 *     cc -O2 tests/onnx_conformance.c -o onnx_conformance -lm
 *     onnx_conformance DIR [CASE...]
 * prints one line a case, "pass|fail|unsupported <case> <reason>", and the counts last.
 *
 * The engine's nets are static: an input that decides shapes (the target of a Reshape, axes, ...)
 * is a constant of the model. A case is tried with all inputs computed at run time, then with its
 * integer inputs known when the model is read, then with all but the first, then all; the first
 * that loads is run. Tolerances are those of ONNX's own runner. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"

#include <dirent.h>

#define MOST 32                 /* inputs or outputs of a case */

typedef struct tensor {
    int type, rank, dim[CVN_MAX_RANK];
    size_t count;
    double *values;
    float *floats;              /* the same */
} tensor;

typedef struct test_case {
    unsigned char *model;
    size_t size;
    tensor in[MOST], out[MOST];
    int ins, outs;
    char reason[640];
} test_case;

static unsigned char *read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = NULL;
    long n;
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    if (n >= 0) bytes = (unsigned char *)malloc((size_t)n + 1);
    *size = bytes ? fread(bytes, 1, (size_t)n, f) : 0;
    fclose(f);
    return bytes;
}

/* A TensorProto through the engine's own reader; 0 where it is none that it can hold. */
static int read_tensor(const char *path, tensor *t, char *reason, size_t room)
{
    cvn_net *net = cvn_create(NULL);
    cvni_onnx g;
    cvni_onnx_tensor raw;
    cvni_onnx_value v;
    cvni_wire w;
    size_t size = 0;
    unsigned char *bytes = read_all(path, &size);
    memset(t, 0, sizeof *t);
    memset(&g, 0, sizeof g);
    memset(&v, 0, sizeof v);
    if (!bytes) return 0;
    w.p = bytes;
    w.end = bytes + size;
    w.bad = 0;
    g.owner = g.net = net;
    v.name = "";
    cvni_onnx_open_tensor(&g, w, &raw);
    if (!g.failed) cvni_onnx_take_tensor(&g, &raw, &v);
    if (!g.failed) {
        t->type = v.type;
        t->rank = v.rank;
        memcpy(t->dim, v.dim, sizeof t->dim);
        t->count = v.count;
        t->values = (double *)malloc((v.count + 1) * sizeof(double));
        t->floats = (float *)malloc((v.count + 1) * sizeof(float));
        for (size_t i = 0; i < v.count; i++) {
            t->values[i] = cvni_onnx_element(&v, i);
            t->floats[i] = (float)t->values[i];
        }
    } else {
        snprintf(reason, room, "%s", g.reason);
    }
    cvni_free_records(net, &g.pool, NULL);
    cvn_destroy(net);
    free(bytes);
    return t->values != NULL;
}

static void free_case(test_case *c)
{
    for (int i = 0; i < MOST; i++) {
        free(c->in[i].values);
        free(c->in[i].floats);
        free(c->out[i].values);
        free(c->out[i].floats);
    }
    free(c->model);
}

static int read_set(const char *folder, const char *kind, tensor *t, char *reason, size_t room)
{
    char path[1200];
    int n = 0;
    FILE *f;
    for (; n < MOST; n++) {
        snprintf(path, sizeof path, "%s/%s_%d.pb", folder, kind, n);
        f = fopen(path, "rb");
        if (!f) break;
        fclose(f);
        if (!read_tensor(path, &t[n], reason, room)) return -1;
    }
    return n;
}

/* Which inputs are known when the model is read: 0 none, 1 integers, 2 all but the first, 3 all. */
static int is_known(const test_case *c, int i, int level)
{
    return level == 3 || (level == 2 && i > 0) ||
           (level == 1 && !cvni_onnx_is_float(c->in[i].type));
}

static cvn_result load(test_case *c, cvn_net *net, int level, const char *folder,
                       cvn_onnx_model *model)
{
    cvn_onnx_input in[MOST];
    cvn_onnx_options options = cvn_onnx_defaults();
    memset(in, 0, sizeof in);
    for (int i = 0; i < c->ins; i++) {
        in[i].rank = c->in[i].rank;
        memcpy(in[i].dim, c->in[i].dim, sizeof in[i].dim);
        if (is_known(c, i, level)) in[i].values = c->in[i].floats;
    }
    options.inputs = in;
    options.input_count = c->ins;
    options.folder = folder;
    return cvn_load_onnx_memory(net, c->model, c->size, &options, model);
}

/* The data files hold bfloat16 as the bits of its numbers, which are cut off there, not rounded. */
static void from_bits(tensor *t, int type)
{
    if (type != CVN_ONNX_BFLOAT16 || t->type != CVN_ONNX_UINT16) return;
    t->type = type;
    for (size_t i = 0; i < t->count; i++) {
        t->floats[i] = cvni_word_to_float((uint32_t)t->values[i] << 16);
        t->values[i] = (double)t->floats[i];
    }
}

/* NonMaxSuppression has room for all boxes; rows that are not used are -1 and come last. */
static int only_unused_rows(const tensor *t, const cvn_onnx_port *port, const float *y)
{
    if (t->type != CVN_ONNX_INT64 || t->rank != 2 || port->rank != 2 || t->dim[1] != 3 ||
        port->dim[1] != 3 || port->dim[0] < t->dim[0])
        return 0;
    for (size_t i = t->count; i < 3 * (size_t)port->dim[0]; i++) if (y[i] != -1.0f) return 0;
    return 1;
}

/* Values next to those that are wanted, and of the same shape. */
static int compare(test_case *c, int o, const cvn_onnx_port *port, const float *y, int batch)
{
    tensor *t = &c->out[o];
    int same = t->rank == port->rank;
    from_bits(t, port->type);
    for (int k = 0; same && k < t->rank; k++) same = t->dim[k] == port->dim[k] * (k ? 1 : batch);
    if (!same && !only_unused_rows(t, port, y)) {
        int n = snprintf(c->reason, sizeof c->reason, "output %d has shape [", o);
        for (int k = 0; k < port->rank; k++)
            n += snprintf(c->reason + n, sizeof c->reason - (size_t)n, k ? ", %d" : "%d",
                          port->dim[k] * (k ? 1 : batch));
        n += snprintf(c->reason + n, sizeof c->reason - (size_t)n, "], not [");
        for (int k = 0; k < t->rank; k++)
            n +=
                snprintf(c->reason + n, sizeof c->reason - (size_t)n, k ? ", %d" : "%d", t->dim[k]);
        snprintf(c->reason + n, sizeof c->reason - (size_t)n, "]");
        return 0;
    }
    if (port->type != t->type) {
        snprintf(c->reason, sizeof c->reason, "output %d has type %d, not %d", o, port->type,
                 t->type);
        return 0;
    }
    for (size_t i = 0; i < t->count; i++) {
        const double want = t->values[i], got = (double)y[i];
        const double part = t->type == CVN_ONNX_BFLOAT16 ? 1.0 / 128 : 1e-3;
        const double bound = cvni_onnx_is_float(t->type) ? 1e-7 + part * fabs(want) : 0;
        if (want != want ? got != got : want == got || fabs(got - want) <= bound) continue;
        snprintf(c->reason, sizeof c->reason, "output %d at %lu: %.9g, not %.9g", o,
                 (unsigned long)i, got, want);
        return 0;
    }
    return 1;
}

static int run(test_case *c, cvn_net *net, const cvn_onnx_model *model)
{
    int batch = 1;
    if (model->batched && model->inputs[0].place < c->ins)
        batch = c->in[model->inputs[0].place].dim[0];
    if (cvn_build_infer(net, batch) != CVN_OK) return 0;
    for (int i = 0; i < model->input_count; i++) {
        const int place = model->inputs[i].place;
        if (!model->inputs[i].node.id) continue;
        if (place >= c->ins) return 0;
        from_bits(&c->in[place], model->inputs[i].type);
        if (cvn_set_input(net, model->inputs[i].node, c->in[place].floats, batch) != CVN_OK)
            return 0;
    }
    if (cvn_forward_eval(net) != CVN_OK) return 0;
    c->reason[0] = 0;
    if (model->output_count != c->outs) {
        snprintf(c->reason, sizeof c->reason, "%d outputs, not %d", model->output_count, c->outs);
        return 0;
    }
    for (int o = 0; o < c->outs; o++)
        if (!compare(c, o, &model->outputs[o], cvn_value(net, model->outputs[o].node), batch))
            return 0;
    return 1;
}

/* Nodes have one element or more. */
static int has_empty_input(const test_case *c, int level)
{
    for (int i = 0; i < c->ins; i++) if (!c->in[i].count && !is_known(c, i, level)) return 1;
    return 0;
}

/* 1 pass, 0 fail, -1 unsupported. */
static int run_set(test_case *c, const char *folder)
{
    const char *const levels[] = { "", "integer inputs known", "all inputs but the first known",
                                   "all inputs known" };
    for (int level = 0; level < 4; level++) {
        cvn_net *net = has_empty_input(c, level) ? NULL : cvn_create(NULL);
        cvn_onnx_model model;
        const cvn_result r = !net ? CVN_ERROR_UNSUPPORTED : load(c, net, level, folder, &model);
        int good = 0;
        if (r == CVN_OK) good = run(c, net, &model);
        if (r == CVN_OK && !good && !c->reason[0])
            snprintf(c->reason, sizeof c->reason, "%s", cvn_error(net));
        if (r == CVN_OK && good) snprintf(c->reason, sizeof c->reason, "%s", levels[level]);
        if (r != CVN_OK && !level)
            snprintf(c->reason, sizeof c->reason, "%s",
                     net ? cvn_error(net) : "an input without elements");
        cvn_destroy(net);
        if (r == CVN_OK) return good;
        if (r != CVN_ERROR_UNSUPPORTED && r != CVN_ERROR_SHAPE && r != CVN_ERROR_ARGUMENT) return 0;
    }
    return -1;
}

static int run_case(const char *dir, const char *name, char *reason, size_t room)
{
    char path[1024], folder[1024];
    int result = -1, sets = 0;
    test_case c;
    for (int k = 0; k < 16; k++) {
        int now = -1;
        DIR *d;
        memset(&c, 0, sizeof c);
        snprintf(folder, sizeof folder, "%s/%s/", dir, name);
        snprintf(path, sizeof path, "%s/%s/test_data_set_%d", dir, name, k);
        d = opendir(path);
        if (!d) break;
        closedir(d);
        c.ins = read_set(path, "input", c.in, c.reason, sizeof c.reason);
        c.outs = c.ins < 0 ? -1 : read_set(path, "output", c.out, c.reason, sizeof c.reason);
        snprintf(path, sizeof path, "%s/%s/model.onnx", dir, name);
        c.model = read_all(path, &c.size);
        if (c.model && c.ins >= 0 && c.outs >= 0) {
            now = run_set(&c, folder);
        }
        snprintf(reason, room, "%s", c.reason);
        free_case(&c);
        result = now;
        sets++;
        if (now < 1) break;
    }
    if (!sets) snprintf(reason, room, "no data");
    return result;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv)
{
    char **names = NULL, reason[700];
    int count = 0, passed = 0, failed = 0, unsupported = 0;
    if (argc < 2) {
        fprintf(stderr, "onnx_conformance DIR [CASE...]\n");
        return 2;
    }
    if (argc > 2) {
        names = (char **)malloc((size_t)argc * sizeof *names);
        for (int i = 2; i < argc; i++) names[count++] = argv[i];
    } else {
        DIR *d = opendir(argv[1]);
        struct dirent *e;
        while (d && (e = readdir(d)) != NULL) {
            if (e->d_name[0] == '.') continue;
            names = (char **)realloc(names, (size_t)(count + 1) * sizeof *names);
            names[count] = (char *)malloc(strlen(e->d_name) + 1);
            strcpy(names[count++], e->d_name);
        }
        if (d) closedir(d);
        if (count) qsort(names, (size_t)count, sizeof *names, by_name);
    }
    for (int i = 0; i < count; i++) {
        const int r = run_case(argv[1], names[i], reason, sizeof reason);
        passed += r == 1;
        failed += r == 0;
        unsupported += r == -1;
        printf("%s %s %s\n", r == 1 ? "pass" : r == 0 ? "fail" : "unsupported", names[i], reason);
        fflush(stdout);
    }
    printf("%d pass, %d fail, %d unsupported\n", passed, failed, unsupported);
    for (int i = 0; argc == 2 && i < count; i++) free(names[i]);
    free(names);
    return failed != 0;
}
