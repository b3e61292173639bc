/* npy_tool.c - what tests/npy.py runs: reads a .npy or .npz and writes it again.
 *     build/npy_tool copy IN OUT       each array as it is: a .npy, or a .npz where OUT ends so
 *     build/npy_tool floats IN OUT     each array as floats
 *     build/npy_tool ints IN OUT       each array as ints */
#include "../convnet.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    return 1;
}

/* The array as floats or ints in memory of its own. */
static cvn_result convert(cvn_array *a, int ints)
{
    void *values = malloc(a->count * sizeof(float) + 1);
    const cvn_result r = ints ? cvn_array_ints(a, (int *)values)
                              : cvn_array_floats(a, (float *)values);
    *a = cvn_array_make(a->name, ints ? "i4" : "f4", values, a->rank, a->dim);
    return r;
}

int main(int argc, char **argv)
{
    static cvn_array out[1000];
    const size_t length = argc == 4 ? strlen(argv[3]) : 0;
    cvn_arrays in;
    cvn_result r;
    if (argc != 4) return fail("npy_tool copy|floats|ints IN OUT");
    if (cvn_load_npy(&in, argv[2]) < 0) return fail(in.error);
    if (in.count > 1000) return fail("more than 1000 arrays");
    for (int i = 0; i < in.count; i++) {
        out[i] = in.array[i];
        if (!strcmp(argv[1], "copy")) continue;
        r = convert(&out[i], !strcmp(argv[1], "ints"));
        if (r < 0) return fail(cvn_result_name(r));
    }
    r = length > 4 && !strcmp(argv[3] + length - 4, ".npz") ? cvn_save_npz(argv[3], out, in.count)
                                                            : cvn_save_npy(argv[3], out);
    if (r < 0) return fail(cvn_result_name(r));
    for (int i = 0; i < in.count; i++) {
        if (strcmp(argv[1], "copy")) free((void *)out[i].data);
    }
    cvn_arrays_free(&in);
    return 0;
}
