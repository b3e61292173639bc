/* two_tu_a.c - the file of a program that holds the implementation; two_tu_b.c is the other one.
 * With TWO_TU_STATIC each of them holds a private copy instead. */
#ifdef TWO_TU_STATIC
    #define CONVNET_STATIC
#endif
#ifndef CONVNET_IMPLEMENTATION
    #define CONVNET_IMPLEMENTATION
#endif
#include "../convnet.h"
#include "../convnet.h"

int two_tu_version(void);
float two_tu_loss(cvn_net *net);

int two_tu_version(void)
{
    return CONVNET_VERSION_MAJOR * 10000 + CONVNET_VERSION_MINOR * 100 + CONVNET_VERSION_PATCH;
}

float two_tu_loss(cvn_net *net)
{
    return cvn_loss(net);
}
