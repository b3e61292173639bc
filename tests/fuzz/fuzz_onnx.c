/* fuzz_onnx.c - libFuzzer target: the bytes of a model. What loads and is small is run once; what
 * does not load says why and leaves the net empty. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cvn_net *net = fuzz_net();
    const cvn_node first = { 1 };
    void *bytes = malloc(size + 1);     /* a block of its own: reading past its end is seen */
    if (bytes) memcpy(bytes, data, size);
    if (cvn_load_onnx_memory(net, bytes, size, NULL, NULL) == CVN_OK) fuzz_run(net);
    else if (!cvn_error(net)[0] || cvn_node_name(net, first)[0]) abort();
    cvn_destroy(net);
    free(bytes);
    return 0;
}
