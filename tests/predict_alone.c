/* predict_alone.c - prints the bits that a small net predicts from the values it was born with.
 * tests/run.sh compares what it prints when the macros that leave parts of the library out are set.
 * Under CONVNET_NO_TRAIN a plan for training is refused, with a text. */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <stdio.h>
#include <string.h>

static cvn_net *make_net(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 3, 20, 20);
    cvn_node y;
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 8, 3, 1, 1)));
    y = cvn_relu6(net, cvn_depthwise(net, x, 3, 1, 1));
    x = cvn_maxpool(net, cvn_add(net, x, cvn_silu(net, cvn_groupnorm(net, y, 2))), 2, 2);
    x = cvn_dropout(net, cvn_sigmoid(net, cvn_conv2d(net, x, 12, 5, 2, 2)), 0.5f);
    x = cvn_prelu(net, cvn_dense(net, cvn_concat(net, x, cvn_tanh(net, x)), 17), 17);
    cvn_softmax_loss(net, cvn_dense(net, x, 10));
    return net;
}

int main(void)
{
    static float images[5 * 3 * 20 * 20];
    float out[5 * 10];
    int labels[5];
    uint64_t hash = 14695981039346656037u;                  /* FNV-1a over the bits */
    cvn_net *net = make_net();
    for (int i = 0; i < 5 * 3 * 20 * 20; i++) images[i] = (float)(i * 37 % 101) / 50.0f - 1;
#ifdef CONVNET_NO_TRAIN
    static unsigned char memory[1 << 20];
    if (cvn_build_in(net, 5, CVN_TRAIN, memory, sizeof memory) != CVN_ERROR_UNSUPPORTED) return 1;
    if (!strstr(cvn_error(net), "CONVNET_NO_TRAIN")) return 2;
#endif
    if (cvn_build_infer(net, 5) != CVN_OK || cvn_predict(net, images, 5, out) != CVN_OK ||
        cvn_classify(net, images, 5, labels, NULL) != CVN_OK) {
        printf("%s\n", cvn_error(net));
        return 3;
    }
    for (int i = 0; i < 5 * 10; i++) {
        uint32_t bits;
        memcpy(&bits, &out[i], sizeof bits);
        hash = (hash ^ bits) * 1099511628211u;
    }
    printf("%s %08lx%08lx %d%d%d%d%d\n", cvn_isa(net), (unsigned long)(hash >> 32),
           (unsigned long)(hash & 0xffffffffu), labels[0], labels[1], labels[2], labels[3],
           labels[4]);
    cvn_destroy(net);
    return 0;
}
