/* two_tu_b.c - the file that only uses the library: one training step and a prediction. Linked with
 * two_tu_a.c; also the program that valgrind watches. */
#ifdef TWO_TU_STATIC
    #define CONVNET_STATIC
    #define CONVNET_IMPLEMENTATION
#endif
#include "../convnet.h"
#include "../convnet.h"
#include <stdio.h>

int two_tu_version(void);
float two_tu_loss(cvn_net *net);

static cvn_net *small_net(void)
{
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input(net, 2, 9, 9);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 5, 3, 1, 1)));
    x = cvn_dropout(net, cvn_maxpool(net, x, 2, 2), 0.2f);
    x = cvn_add(net, x, cvn_depthwise(net, x, 3, 1, 1));
    cvn_softmax_loss(net, cvn_dense(net, cvn_global_avgpool(net, x), 3));
    return net;
}

int main(void)
{
    float images[4 * 2 * 9 * 9];
    float out[4 * 3];
    float loss = 0;
    const int labels[4] = { 0, 1, 2, 0 };
    cvn_net *net = small_net();
    int ok;
    for (int i = 0; i < 4 * 2 * 9 * 9; i++) images[i] = (float)(i * 7 % 11) / 5 - 1;
    ok = cvn_build(net, 4) == CVN_OK && cvn_train_batch(net, images, labels, 4, &loss) == CVN_OK;
#ifndef TWO_TU_STATIC
    ok = ok && two_tu_loss(net) - loss == 0;        /* a private copy may not be asked about
                                                     * another's net */
#endif
    ok = ok && cvn_predict(net, images, 4, out) == CVN_OK && loss > 0 && two_tu_version() > 0;
    ok = ok && cvn_build_infer(net, 2) == CVN_OK && cvn_predict(net, images, 4, out) == CVN_OK;
    printf("%s loss %.4f, kernels %s: %s\n", CONVNET_VERSION, (double)loss, cvn_isa(net),
           ok ? "ok" : cvn_error(net));
    cvn_destroy(net);
    return ok ? 0 : 1;
}
