/* seeds.c - small valid files for the fuzz targets: seeds DIR writes DIR/onnx, DIR/safetensors,
 * DIR/npy and DIR/idx, which must be there. */
#include "fuzz_net.h"
#include <stdio.h>
#include <string.h>

static const char *root;

static void put(const char *name, const void *bytes, size_t size)
{
    char path[500];
    FILE *f;
    snprintf(path, sizeof path, "%s/%s", root, name);
    f = fopen(path, "wb");
    if (!f) return;
    fwrite(bytes, 1, size, f);
    fclose(f);
}

static void models(void)
{
    static const int steps[2] = { 4, 6 };
    char path[500];
    for (int i = 0; i < 4; i++) {
        cvn_net *net = cvn_create(NULL);
        cvn_node x = { 0 };
        if (i == 0) fuzz_small(net);
        else x = i < 2 ? cvn_input(net, 2, 6, 6) : cvn_input_tensor(net, steps, 2);
        if (i == 1) cvn_softmax(net, cvn_squeeze_excite(net, cvn_fire(net, x, 2, 3, 3), 2));
        if (i == 2) cvn_last_step(net, cvn_lstm(net, x, 3));
        if (i == 3) cvn_layernorm(net, cvn_multihead_attention(net, x, x, x, 2));
        if (i) cvn_build_infer(net, 1);
        snprintf(path, sizeof path, "%s/onnx/net%d.onnx", root, i);
        cvn_save_onnx(net, path);
        snprintf(path, sizeof path, "%s/safetensors/net%d.safetensors", root, i);
        cvn_save(net, path);
        cvn_destroy(net);
    }
}

static void arrays(void)
{
    static const float values[6] = { 0, 1, -2.5f, 3, 1e20f, -0.0f };
    static const char *const types[] = { "f4", "i4", "u1", "i8", "f2", "b1" };
    static unsigned char file[2000];
    const int dims[2] = { 2, 3 };
    cvn_array a[2];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char name[30];
        a[0] = cvn_array_make("x", types[i], values, 1 + (int)i % 2, dims);
        snprintf(name, sizeof name, "npy/%s.npy", types[i]);
        put(name, file, cvn_save_npy_memory(file, sizeof file, &a[0]));
    }
    a[1] = cvn_array_make("y", "f4", values, 2, dims);
    put("npy/two.npz", file, cvn_save_npz_memory(file, sizeof file, a, 2));
}

static void data_sets(void)
{
    /* 3*8 bytes of images [2, 2, 2], labels [2] */
    static const unsigned char idx[] = { 3, 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2,
                                         1, 2, 3, 4, 5, 6, 7, 8,
                                         0, 0, 8, 1, 0, 0, 0, 2, 0, 1 };
    static unsigned char cifar[1 + 3073];
    put("idx/images", idx, sizeof idx);
    put("idx/cifar", cifar, sizeof cifar);
}

int main(int argc, char **argv)
{
    if (argc < 2) return 1;
    root = argv[1];
    models();
    arrays();
    data_sets();
    return 0;
}
