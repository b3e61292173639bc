/* fuzz_idx.c - libFuzzer target: data sets. The first byte: 0 a batch of CIFAR-10, else an IDX file
 * of images, and behind so many bytes, times 8, one of labels. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cvn_data set;
    uint8_t *bytes;
    cvn_result result;
    if (!size) return 0;
    bytes = (uint8_t *)malloc(size);
    if (!bytes) return 0;
    memcpy(bytes, data + 1, size - 1);
    if (!data[0]) {
        result = cvn_load_cifar10_memory(&set, bytes, size - 1);
    } else {
        const size_t images = data[0] * (size_t)8 < size - 1 ? data[0] * (size_t)8 : size - 1;
        const size_t labels = size - 1 - images;
        result = cvn_load_idx_memory(&set, bytes, images, labels ? bytes + images : NULL, labels);
    }
    if (result != CVN_OK && !set.error[0]) abort();
    if (result == CVN_OK) {
        float mean[16], std[16];
        if (set.channels <= 16) cvn_data_statistics(&set, mean, std);
    }
    cvn_data_free(&set);
    free(bytes);
    return 0;
}
