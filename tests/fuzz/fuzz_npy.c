/* fuzz_npy.c - libFuzzer target: the bytes of a .npy or .npz; what is read is converted and written
 * again. */
#include "fuzz.h"

static void convert(const cvn_array *a)
{
    float *floats;
    int *ints;
    size_t size;
    if (a->count > 1 << 20) return;
    floats = (float *)malloc((a->count + 1) * sizeof *floats);
    ints = (int *)malloc((a->count + 1) * sizeof *ints);
    if (floats && ints) {
        cvn_array_floats(a, floats);
        cvn_array_ints(a, ints);
    }
    size = cvn_save_npy_memory(NULL, 0, a);
    if (size) {
        void *file = malloc(size);
        if (file && cvn_save_npy_memory(file, size, a) != size) abort();
        free(file);
    }
    free(floats);
    free(ints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cvn_arrays arrays;
    void *bytes = malloc(size + 1);
    if (bytes) memcpy(bytes, data, size);
    if (cvn_load_npy_memory(&arrays, bytes, size) == CVN_OK)
        for (int i = 0; i < arrays.count; i++) convert(&arrays.array[i]);
    else if (!arrays.error[0]) abort();
    cvn_arrays_free(&arrays);
    free(bytes);
    return 0;
}
