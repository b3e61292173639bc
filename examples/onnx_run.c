/* onnx_run.c - runs an ONNX model on arrays of numpy.
 *   cc -O2 -fopenmp examples/onnx_run.c -o onnx_run -lm
 *   onnx_run MODEL.onnx OUT_DIR IN1.npy [IN2.npy ...]
 *
 * Inputs in the graph's order; their shapes decide the sizes that the file leaves open. Each output
 * becomes OUT_DIR/<name>.npy ('/' and ':' in a name become '_'), in the type that the file says.
 * Integer inputs that the graph must know when it is read, such as the target of a Reshape, are
 * taken from their files. */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"

#define MOST 32

typedef struct input {
    cvn_arrays file;
    float *values;
} input;

static int fail(const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n", what, text);
    return 1;
}

static int read_input(input *in, const char *path, cvn_onnx_input *sizes)
{
    const cvn_array *a;
    if (cvn_load_npy(&in->file, path) != CVN_OK) return fail(path, in->file.error);
    a = in->file.array;
    if (a->rank > CVN_MAX_RANK) return fail(path, "more axes than the engine has");
    in->values = (float *)malloc((a->count + 1) * sizeof(float));
    if (!in->values || cvn_array_floats(a, in->values) != CVN_OK) return fail(path, "no numbers");
    sizes->rank = a->rank;
    memcpy(sizes->dim, a->dim, sizeof sizes->dim);
    return 0;
}

/* known: integer inputs are constants. */
static int load(cvn_net **net, const char *path, const input *in, cvn_onnx_input *sizes, int count,
                int known, cvn_onnx_model *model)
{
    cvn_onnx_options options = cvn_onnx_defaults();
    for (int i = 0; i < count; i++)
        sizes[i].values = known && strchr("iub", in[i].file.array->type[1]) ? in[i].values : NULL;
    options.inputs = sizes;
    options.input_count = count;
    cvn_destroy(*net);
    *net = cvn_create(NULL);
    return cvn_load_onnx_ex(*net, path, &options, model) == CVN_OK;
}

/* "conv/y:0" -> "OUT_DIR/conv_y_0.npy" */
static void output_path(char *path, size_t size, const char *folder, const char *name)
{
    const int n = snprintf(path, size, "%s/", folder);
    snprintf(path + n, size - (size_t)n, "%s.npy", name);
    for (char *c = path + n; *c; c++) if (*c == '/' || *c == ':' || *c == '\\') *c = '_';
}

static int write_output(cvn_net *net, const cvn_onnx_port *port, int batch, const char *folder)
{
    const float *y = cvn_value(net, port->node);
    char path[1024];
    cvn_array a;
    int dim[CVN_MAX_RANK];
    long long *ints = NULL;
    size_t count = 1;
    int bad;
    for (int k = 0; k < port->rank; k++) {
        dim[k] = port->dim[k] * (k ? 1 : batch);
        count *= (size_t)dim[k];
    }
    if (port->type != CVN_ONNX_FLOAT && port->type != CVN_ONNX_FLOAT16 &&
        port->type != CVN_ONNX_DOUBLE && port->type != CVN_ONNX_BFLOAT16) {
        ints = (long long *)malloc((count + 1) * sizeof *ints);
        for (size_t i = 0; ints && i < count; i++) ints[i] = (long long)y[i];
    }
    output_path(path, sizeof path, folder, port->name);
    a = cvn_array_make("", ints ? "i8" : "f4", ints ? (const void *)ints : (const void *)y,
                       port->rank, dim);
    bad = cvn_save_npy(path, &a) != CVN_OK;
    free(ints);
    return bad ? fail(path, "cannot be written") : 0;
}

static int run(cvn_net *net, const cvn_onnx_model *model, const input *in, int count,
               const char *folder)
{
    const int first = model->input_count ? model->inputs[0].place : count;
    const int batch = model->batched && first < count ? in[first].file.array->dim[0] : 1;
    if (cvn_build_infer(net, batch) != CVN_OK) return fail("build", cvn_error(net));
    for (int i = 0; i < model->input_count; i++) {
        const cvn_onnx_port *port = &model->inputs[i];
        if (!port->node.id) continue;
        if (port->place >= count) return fail(port->name, "no file for this input");
        if (model->batched && in[port->place].file.array->dim[0] != batch)
            return fail(port->name, "has another number of samples than the first input");
        if (cvn_set_input(net, port->node, in[port->place].values, batch) != CVN_OK)
            return fail(port->name, cvn_error(net));
    }
    if (cvn_forward_eval(net) != CVN_OK) return fail("run", cvn_error(net));
    for (int i = 0; i < model->output_count; i++) {
        const cvn_onnx_port *port = &model->outputs[i];
        printf("%s [", port->name);
        for (int k = 0; k < port->rank; k++)
            printf(k ? ", %d" : "%d", port->dim[k] * (k ? 1 : batch));
        printf("]\n");
        if (write_output(net, port, batch, folder)) return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    input in[MOST];
    cvn_onnx_input sizes[MOST];
    cvn_onnx_model model;
    cvn_net *net = NULL;
    const int count = argc - 3;
    int bad = 0;
    if (argc < 3 || count > MOST) {
        fprintf(stderr, "onnx_run MODEL.onnx OUT_DIR IN1.npy [IN2.npy ...]\n");
        return 2;
    }
    memset(in, 0, sizeof in);
    memset(sizes, 0, sizeof sizes);
    for (int i = 0; i < count && !bad; i++) bad = read_input(&in[i], argv[3 + i], &sizes[i]);
    if (!bad && !load(&net, argv[1], in, sizes, count, 0, &model) &&
        !load(&net, argv[1], in, sizes, count, 1, &model))
        bad = fail("load", cvn_error(net));
    if (!bad) bad = run(net, &model, in, count, argv[2]);
    cvn_destroy(net);
    for (int i = 0; i < MOST; i++) {
        free(in[i].values);
        if (in[i].file.count) cvn_arrays_free(&in[i].file);
    }
    return bad;
}
