// compile_cpp.cc - the library from C++11 and C++20: references to descriptions, and designated initialisers where the
// language has them. With CONVNET_IMPLEMENTATION it is the whole program, without it links with two_tu_a.c (C).
#include "../convnet.h"
#include <cstdio>
#include <memory>
#include <vector>

struct destroy_net {
    void operator()(cvn_net *net) const { cvn_destroy(net); }
};

int main()
{
    cvn_desc desc{};
    desc.threads = 1;
    const std::unique_ptr<cvn_net, destroy_net> owner(cvn_create(desc));
    cvn_net *net = owner.get();
    cvn_node x = cvn_input(net, 3, 8, 8);
#if __cplusplus >= 202002L
    x = cvn_conv2d_ex(net, x, {.filters = 4, .kernel_h = 3, .pad_top = 1, .pad_left = 1});
#else
    cvn_conv2d_desc conv = cvn_conv2d_defaults();
    conv.filters = 4;
    conv.kernel_h = 3;
    conv.pad_top = conv.pad_left = 1;
    x = cvn_conv2d_ex(net, x, conv);
#endif
    cvn_pool_desc pool{};
    pool.kernel_h = 2;
    x = cvn_maxpool_ex(net, cvn_relu(net, x), pool);
    cvn_groupnorm_desc group{};
    group.groups = 2;
    x = cvn_layernorm_ex(net, cvn_groupnorm_ex(net, x, group), cvn_layernorm_desc());
    cvn_softmax_loss_ex(net, cvn_dense(net, x, 2), cvn_softmax_loss_desc());
    cvn_set_optimizer(net, cvn_sgd(0.1f, 0.9f));
    if (cvn_build(net, 2) != CVN_OK) {
        std::puts(cvn_error(net));
        return 1;
    }
    std::vector<float> images(2 * 3 * 8 * 8, 0.5f);
    const int labels[2] = {0, 1};
    float loss = 0;
    cvn_result result = CVN_OK;
    for (int i = 0; i < 3 && result == CVN_OK; i++)
        result = cvn_train_batch(net, images.data(), labels, 2, &loss);
    std::printf("loss %.4f: %s\n", static_cast<double>(loss), cvn_result_name(result));
    return result == CVN_OK && loss > 0 ? 0 : 1;
}
