/* The smallest training: a net of 49 weights learns exclusive or. Prints loss and answers; no time.
 * cc -O2 -o build/01_xor examples/01_xor.c -lm */
#define CONVNET_STATIC              /* one file: what it does not use is left out */
#define CONVNET_IMPLEMENTATION
#include "../convnet.h"
#include <stdio.h>

int main(void)
{
    static const float inputs[4][2] = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 } };
    static const float targets[4] = { 0, 1, 1, 0 };
    float answers[4] = { 0 };
    float loss = 0;

    /* The graph: two inputs, a hidden layer, one output. The loss compares the logit with a target
     * that is fed in. */
    cvn_net *net = cvn_create(NULL);
    cvn_node x = cvn_input_vector(net, 2);
    x = cvn_tanh(net, cvn_dense(net, x, 12));
    x = cvn_dense(net, x, 1);
    cvn_bce_with_logits_loss(net, x, cvn_target(net, x));
    cvn_output(net, cvn_sigmoid(net, x));               /* what cvn_predict returns: a
                                                         * probability */

    const cvn_optimizer adam = cvn_adam(0.02f);
    cvn_set_optimizer(net, &adam);
    if (cvn_build(net, 4) != CVN_OK) {                  /* the one check for all of the above */
        puts(cvn_error(net));
        cvn_destroy(net);
        return 1;
    }

    for (int step = 0; step <= 500; step++) {
        cvn_train_batch_target(net, inputs[0], targets, 4, &loss);
        if (step % 100 == 0) printf("step %3d   loss %.4f\n", step, (double)loss);
    }

    cvn_predict(net, inputs[0], 4, answers);
    for (int i = 0; i < 4; i++) {
        printf("%.0f xor %.0f = %.3f\n", (double)inputs[i][0], (double)inputs[i][1],
               (double)answers[i]);
    }
    cvn_destroy(net);
    return 0;
}
