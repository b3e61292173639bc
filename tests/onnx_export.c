/* onnx_export.c - nets as ONNX models, with inputs and what the engine computes of them: for
 * tests/onnx_save.py, which runs the models in onnxruntime.
 *     cc -O2 -fopenmp -o build/onnx_export tests/onnx_export.c -lm
 *     build/onnx_export DIR [NAME]            all nets, or one
 *     build/onnx_export DIR MODEL.onnx...     models that are imported
 * Nets: each kind of layer at odd sizes, and those of examples/zoo.c, small. Their weights and
 * running statistics are random. Written of each, for batches of 1 and 3:
 *     DIR/NAME.onnx, DIR/NAME.folded.onnx
 *     DIR/NAME.BATCH.in.VALUE.npy, DIR/NAME.BATCH.out.VALUE.npy, '/' in a value's name as '_' */
#include "onnx_nets.h"

#define FULL 3          /* samples of the larger batch */

/* ---- values, files ---- */

static unsigned char float_bytes(const float *v, int byte)
{
    uint32_t word;
    memcpy(&word, v, sizeof word);
    return (unsigned char)(word >> (8 * byte));
}

/* A tensor of floats, or of ints as int64. */
static int write_npy(const char *path, cvn_shape s, const float *values, const int *ints)
{
    FILE *file = fopen(path, "wb");
    char header[128];
    size_t count = 1;
    int n = snprintf(header, sizeof header, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                     ints ? "<i8" : "<f4");
    if (!file) return 0;
    for (int i = 0; i < s.rank; i++) {
        n += snprintf(header + n, sizeof header - (size_t)n, "%d,", s.dim[i]);
        count *= (size_t)s.dim[i];
    }
    n += snprintf(header + n, sizeof header - (size_t)n, ")}");
    memset(header + n, ' ', sizeof header - (size_t)n);
    header[117] = '\n';                 /* 10 bytes come before: 128 in all */
    fwrite("\x93NUMPY\1\0\x76\0", 1, 10, file);
    fwrite(header, 1, 118, file);
    for (size_t i = 0; i < count; i++)
        for (int byte = 0; byte < (ints ? 8 : 4); byte++)
            fputc(ints ? (byte < 4 ? ints[i] >> (8 * byte) & 255 : 0)
                       : float_bytes(&values[i], byte),
                  file);
    return fclose(file) == 0;
}

static const char *file_name(const char *dir, const char *net, int batch, const char *kind,
                             const char *value)
{
    static char path[512];
    const int n = snprintf(path, sizeof path, "%s/%s.%d.%s.", dir, net, batch, kind);
    snprintf(path + n, sizeof path - (size_t)n, "%s.npy", value);
    for (char *c = path + n; *c; c++) if (*c == '/') *c = '_';
    return path;
}

static int labels_from, labels_to;      /* of the case: labels are in [from, to) */

static int fill(cvn_net *net, cvn_node node, int batch, const char *path)
{
    const cvni_layer *l = &net->layers[node.id];
    cvn_shape s = l->shape;
    const int boxes = !strncmp(l->name, "boxes", 5);
    size_t count = (size_t)batch * (size_t)l->samples;
    float *values;
    int *ints;
    int good = 1;
    s.dim[0] = (int)count;
    for (int i = 1; i < s.rank; i++) count *= (size_t)s.dim[i];
    values = (float *)malloc(count * sizeof *values);
    ints = (int *)malloc(count * sizeof *ints);
    for (size_t i = 0; i < count; i++) {
        values[i] = 2 * random_unit() - 1;
        if (boxes) values[i] = 3 * random_unit() + (i % 4 < 2 ? 0.0f : 5.0f);
        ints[i] = labels_from + (int)((float)(labels_to - labels_from) * random_unit());
    }
    if (l->is_int) good = cvn_set_labels(net, node, ints, batch) == CVN_OK;
    else good = cvn_set_input(net, node, values, batch) == CVN_OK;
    good = good && write_npy(path, s, values, l->is_int ? ints : NULL);
    free(values);
    free(ints);
    return good;
}

/* Inputs, a forward pass, what it made. */
static int run(cvn_net *net, const char *dir, const char *name, int batch)
{
    int good = 1;
    cvn_node node;
    for (node.id = 1; node.id < net->layer_count && good; node.id++)
        if (net->layers[node.id].op->flags & CVNI_SOURCE)
            good = fill(net, node, batch,
                        file_name(dir, name, batch, "in", net->layers[node.id].name));
    if (good) good = cvn_forward_eval(net) == CVN_OK;
    for (node.id = 1; node.id < net->layer_count && good; node.id++) {
        const cvni_layer *l = &net->layers[node.id];
        if ((!l->keep && node.id != net->output) || l->op->flags & (CVNI_SOURCE | CVNI_LOSS))
            continue;
        good = write_npy(file_name(dir, name, batch, "out", l->name), cvn_node_shape(net, node),
                         cvn_value(net, node), NULL);
    }
    return good;
}

/* net: built */
static int export_net(cvn_net *net, const char *dir, const char *name)
{
    cvn_onnx_save_options options = cvn_onnx_save_defaults();
    char path[512];
    int good;
    options.fold_batchnorm = 1;
    options.doc = name;
    snprintf(path, sizeof path, "%s/%s.onnx", dir, name);
    good = cvn_save_onnx(net, path) == CVN_OK;
    snprintf(path, sizeof path, "%s/%s.folded.onnx", dir, name);
    good = good && cvn_save_onnx_ex(net, path, &options) == CVN_OK;
    good = good && run(net, dir, name, 1) && run(net, dir, name, FULL);
    if (!good) fprintf(stderr, "%s: %s\n", name, cvn_error(net));
    return good;
}

static int export_cases(const char *dir, const char *only)
{
    int failed = 0;
    for (int i = 0;; i++) {
        cvn_net *net = cvn_create(NULL);
        const char *name = build_case(net, i, &labels_from, &labels_to);
        if (name && (!only || !strcmp(only, name))) {
            random_state = 1;
            keep_heads(net);
            if (cvn_build(net, FULL) == CVN_OK) random_parameters(net);
            failed += !export_net(net, dir, name);
        }
        cvn_destroy(net);
        if (!name) return failed;
    }
}

/* A model whose sizes are not all in the file is left out. */
static int export_model(const char *dir, const char *path)
{
    cvn_net *net = cvn_create(NULL);
    const char *slash = strrchr(path, '/');
    char name[128];
    int good = 1;
    snprintf(name, sizeof name, "%s", slash ? slash + 1 : path);
    name[strlen(name) > 5 ? strlen(name) - 5 : 0] = 0;
    labels_from = labels_to = 0;
    random_state = 1;
    if (cvn_load_onnx(net, path) == CVN_OK && cvn_build(net, FULL) == CVN_OK)
        good = export_net(net, dir, name);
    else printf("left out: %s\n", cvn_error(net));
    cvn_destroy(net);
    return good;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: %s DIR [NAME | MODEL.onnx...]\n", argv[0]);
        return 2;
    }
    if (argc < 3 || !ends_with(argv[2], ".onnx"))
        return export_cases(argv[1], argc > 2 ? argv[2] : NULL) != 0;
    for (int i = 2; i < argc; i++) failed += !export_model(argv[1], argv[i]);
    return failed != 0;
}
