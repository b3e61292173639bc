/* fuzz_net.h - the net whose weights fuzz_safetensors reads and seeds.c writes. */
#ifndef FUZZ_NET_H
#define FUZZ_NET_H

#include "../../convnet.h"

/* [N, 2, 4, 4] -> conv1, bn1, relu, fc1 -> [N, 3] */
static inline void fuzz_small(cvn_net *net)
{
    cvn_node x = cvn_input(net, 2, 4, 4);
    x = cvn_relu(net, cvn_batchnorm(net, cvn_conv2d(net, x, 3, 3, 1, 0)));
    cvn_softmax_loss(net, cvn_dense(net, x, 3));
    cvn_build(net, 2);
}

#endif
