/* test_found.c - bytes that tests/fuzz has found: each once read or wrote where it must not, which
 * the sanitizers of tests/run.sh see, or gave a wrong answer. */
#include "../convnet.h"
#include "test.h"

/* Bytes that a loader must refuse. */
typedef struct found {
    const char *what;
    const char *bytes;
    size_t size;
} found;

static void models(void)
{
    static const char unpool[] =
        "\010\006\022\014backend-test:\355\001\012M\012\002xT\012\002xI\012\014output_shape"
        "\022\001y\042\011MaxUnpool*\025\012\014kernel_shape@\002@\002\240\001\007*\020\012"
        "\007strides@\002@\002\240\001\007\022'test_maxunpool_export_with_output_shapeZ\034"
        "\012\002xT\022\026\012\024\010\001\022\020\012\002\010\001\012\002\010\001\012\002"
        "\010\002\012\002\010\002Z\034\012\002xI\022\026\012\024\010\007\022\020\012\002\010"
        "\001\012\202\010\001\012\002\010\002\012\002\010\002Z\032\012\014output_shape\022"
        "\012\012\010\010\007\022\004\012\002\010\004b\033\012\001y\022\026\012\024\010\001"
        "\022\020\012\002\010\001\012\002\010\001\012\002\010\005\012\002\010\005B\004\012"
        "\000\020\013";
    static const char split[] =
        "\010\003\022\007pytorch\032\0030.3:t\012-\012\0010\022\001u\022\0012\042\005Split*"
        "\013\012\004axis\030\000\240\001\002*\016\012\005split@\002@\001\240\001\007\022\020"
        "torch-jit-exportZ\017\012\0010\022\012\012\010\010\001\022\004\013\002\010\003b\017"
        "\012\0012\022\012\012\010\010\001\022\004\012\002\010\002b\017\012\0012\022\012\012"
        "\010\010\001\022\004\012\002\010\001B\002\020\006";
    static const found all[] = {
        { "MaxUnpool with an input of no elements and a computed output_shape", unpool,
          sizeof unpool - 1 },
        { "Split of an input without axes", split, sizeof split - 1 }
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        cvn_net *net = cvn_create(NULL);
        void *copy = malloc(all[i].size);
        test_case("%s", all[i].what);
        memcpy(copy, all[i].bytes, all[i].size);
        CHECK(cvn_load_onnx_memory(net, copy, all[i].size, NULL, NULL) < 0);
        CHECK(cvn_error(net)[0] && cvn_param_count(net) == 0);
        cvn_destroy(net);
        free(copy);
    }
}

int main(void)
{
    RUN(models);
    return test_done();
}
