/* fuzz_darknet.c - libFuzzer target: a cfg, and behind its first 0 byte, if there is one, weights.
 * A net that loads and is small is built, run, and asked for boxes.
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize=pointer-overflow \
 *         tests/fuzz/fuzz_darknet.c -o fuzz_darknet -lm
 *     ./fuzz_darknet -rss_limit_mb=1024 SEEDS/      any .cfg is a seed */
#define CONVNET_IMPLEMENTATION
#include "../../convnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(cvn_net *net)
{
    const cvn_shape in = cvn_node_shape(net, cvn_find(net, "input1"));
    cvn_shape out;
    cvn_box boxes[20];
    float *x, *y;
    size_t inputs = 1, outputs = 1;
    if (cvn_memory_needed(net, 1, CVN_INFER) > (size_t)1 << 24 || cvn_macs(net) > 1e7) return;
    if (cvn_build_infer(net, 1) != CVN_OK) return;
    out = cvn_node_shape(net, cvn_find(net, net->layers[net->output].name));
    for (int i = 1; i < in.rank; i++) inputs *= (size_t)in.dim[i];
    for (int i = 1; i < out.rank; i++) outputs *= (size_t)out.dim[i];
    x = (float *)calloc(inputs, sizeof *x);
    y = (float *)calloc(outputs, sizeof *y);
    if (x && y && cvn_predict(net, x, 1, y) == CVN_OK) {
        const int count = cvn_yolo_boxes(net, 0, 0.01f, boxes, 20);
        if (cvn_nms(boxes, count, 0.5f, 0) > (count > 0 ? count : 0)) abort();
    }
    free(x);
    free(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? (const uint8_t *)memchr(data, 0, size) : NULL;
    const size_t cfg = zero ? (size_t)(zero - data) : size;
    cvn_desc desc = cvn_desc_defaults();
    cvn_net *net;
    desc.isa = "c";
    desc.threads = 1;
    net = cvn_create(&desc);
    if (cvn_load_darknet_memory(net, (const char *)data, cfg, zero ? zero + 1 : NULL,
                                zero ? size - cfg - 1 : 0) == CVN_OK)
        run(net);
    else if (!cvn_error(net)[0] || cvn_param_count(net)) abort();
    cvn_destroy(net);
    return 0;
}
