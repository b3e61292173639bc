/* fuzz_safetensors.c - libFuzzer target: the bytes of a weights file for a small net. What is
 * refused leaves the weights as they were. */
#include "fuzz.h"
#include "fuzz_net.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float before[1 << 12];
    cvn_net *net = fuzz_net();
    size_t count;
    float *now;
    void *bytes = malloc(size + 1);
    if (bytes) memcpy(bytes, data, size);
    fuzz_small(net);
    now = cvn_flat_parameters(net, &count);
    if (!now || count > sizeof before / sizeof *before) abort();
    memcpy(before, now, count * sizeof *now);
    if (cvn_load_memory(net, bytes, size) == CVN_OK) fuzz_run(net);
    else if (!cvn_error(net)[0] || memcmp(before, now, count * sizeof *now) != 0) abort();
    cvn_destroy(net);
    free(bytes);
    return 0;
}
