"""Writes blocks.h: what PyTorch computes for the blocks of tests/test_blocks.c.

    python3 tests/golden/make_blocks.py           writes tests/golden/blocks.h

The modules below have the structure of torchvision's and give their parameters the same names. Inputs and parameters
are odd multiples of 0.01 from a fixed seed. Everything is computed from them in float64, in training mode, and then
rounded to six digits. Small numbers of channels keep the header small.
"""
import os

import numpy as np
import torch
from torch import nn

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(20240611)
arrays, rows = [], []


def number(v):
    """Six digits: the test allows 2e-5."""
    text = ("%.6g" % v).replace("e-0", "e-").replace("-0.", "-.")
    text = text[1:] if text.startswith("0.") else text
    return text + ("f" if "." in text or "e" in text else ".0f")


def rand(*shape, low=-0.6, high=0.6):
    n = np.round(rng.uniform(low, high, shape) * 50)
    return torch.tensor(((2 * n + 1) / 100).astype(np.float32).astype(np.float64))


def array(name, t):
    lines = [""]
    for v in t.detach().numpy().ravel():
        item = number(v) + ","
        if len(lines[-1]) + len(item) > 110:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + item
    arrays.append("static const float %s[] = {\n    %s\n};\n" % (name, "\n    ".join(lines)))
    return name


def case(name, module, shape):
    """y = module(x), the gradients of sum(g*y), and the running statistics behind the pass."""
    x = rand(*shape).requires_grad_(True)
    before = []
    with torch.no_grad():
        for key, t in list(module.named_parameters()) + list(module.named_buffers()):
            if key.endswith("num_batches_tracked"):
                continue
            positive = t.dim() == 1 and not key.endswith("bias") and not key.endswith("running_mean")
            t.copy_(rand(*t.shape, low=0.5, high=1.5) if positive else rand(*t.shape))
            before.append((key, t.clone()))
    y = module(x)
    g = rand(*y.shape)
    (g * y).sum().backward()
    params, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    lines = []
    for i, (key, t) in enumerate(before):
        label = "%s_%d" % (name, i)
        after = params[key].grad if key in params else buffers[key]
        lines.append('    { "%s", %d, %s, %s }' % (key, t.numel(), array(label, t), array(label + "d", after)))
    arrays.append("static const blocks_param %s_params[] = {\n%s\n};\n" % (name, ",\n".join(lines)))
    rows.append('    { "%s", { %s }, { %s }, %d, %s_params,\n      %s, %s, %s, %s }' % (
        name, ", ".join(map(str, x.shape)), ", ".join(map(str, y.shape)), len(before), name, array(name + "_x", x),
        array(name + "_g", g), array(name + "_y", y), array(name + "_dx", x.grad)))


class SqueezeExcite(nn.Module):
    def __init__(self, channels, reduced, act=nn.ReLU, gate=nn.Sigmoid):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, reduced, 1), nn.Conv2d(reduced, channels, 1)
        self.act, self.gate = act(), gate()

    def forward(self, x):
        return x * self.gate(self.fc2(self.act(self.fc1(x.mean((2, 3), keepdim=True)))))


class Residual(nn.Module):
    """BasicBlock and Bottleneck, before and after "Identity Mappings"."""

    def __init__(self, cin, channels, out, stride=1, dilation=1, groups=1, bottleneck=False, pre=False, squeeze=0):
        super().__init__()
        self.count, self.pre = (3 if bottleneck else 2), pre
        sizes = [cin] + [channels] * (self.count - 1) + [out]
        for i in range(self.count):
            wide = not bottleneck or i == 1
            conv = nn.Conv2d(sizes[i], sizes[i + 1], 3 if wide else 1, stride if i == (1 if bottleneck else 0) else 1,
                             dilation if wide else 0, dilation if wide else 1, groups if wide else 1, bias=False)
            setattr(self, "conv%d" % (i + 1), conv)
            setattr(self, "bn%d" % (i + 1), nn.BatchNorm2d(sizes[i] if pre else sizes[i + 1]))
        self.se = SqueezeExcite(out, squeeze) if squeeze else nn.Identity()
        self.downsample = None
        if stride != 1 or cin != out:
            self.downsample = nn.Sequential(nn.Conv2d(cin, out, 1, stride, bias=False))
            if not pre:
                self.downsample.append(nn.BatchNorm2d(out))

    def forward(self, x):
        y, shortcut = x, x
        for i in range(1, self.count + 1):
            conv, bn = getattr(self, "conv%d" % i), getattr(self, "bn%d" % i)
            if self.pre:
                y = torch.relu(bn(y))
                if i == 1 and self.downsample is not None:
                    shortcut = y
                y = conv(y)
            else:
                y = bn(conv(y))
                if i < self.count:
                    y = torch.relu(y)
        y = self.se(y) + (self.downsample(shortcut) if self.downsample is not None else shortcut)
        return y if self.pre else torch.relu(y)


class ConvRelu(nn.Module):
    def __init__(self, cin, cout, kernel, norm):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=not norm)
        self.bn = nn.BatchNorm2d(cout, eps=1e-3) if norm else nn.Identity()

    def forward(self, x):
        return torch.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    def __init__(self, cin, w, kernel, norm):
        super().__init__()
        self.branch1 = ConvRelu(cin, w[0], 1, norm)
        self.branch2 = nn.Sequential(ConvRelu(cin, w[1], 1, norm), ConvRelu(w[1], w[2], 3, norm))
        self.branch3 = nn.Sequential(ConvRelu(cin, w[3], 1, norm), ConvRelu(w[3], w[4], kernel, norm))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), ConvRelu(cin, w[5], 1, norm))

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Fire(nn.Module):
    def __init__(self, cin, squeeze, expand1, expand3):
        super().__init__()
        self.squeeze = nn.Conv2d(cin, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand1, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand3, 3, padding=1)

    def forward(self, x):
        x = torch.relu(self.squeeze(x))
        return torch.cat([torch.relu(self.expand1x1(x)), torch.relu(self.expand3x3(x))], 1)


class InvertedResidual(nn.Module):
    """v2: MobileNetV2's module and names; else MobileNetV3's and EfficientNet's."""

    def __init__(self, cin, expanded, out, kernel=3, stride=1, act=nn.ReLU6, squeeze=None, v2=False, eps=1e-5,
                 momentum=0.1):
        super().__init__()

        def conv(a, b, kernel, stride, groups):
            layers = [nn.Conv2d(a, b, kernel, stride, kernel // 2, groups=groups, bias=False),
                      nn.BatchNorm2d(b, eps, momentum)]
            return layers

        layers = []
        if expanded != cin:
            layers.append(nn.Sequential(*conv(cin, expanded, 1, 1, 1), act()))
        layers.append(nn.Sequential(*conv(expanded, expanded, kernel, stride, expanded), act()))
        if squeeze:
            layers.append(squeeze)
        last = conv(expanded, out, 1, 1, 1)
        layers += last if v2 else [nn.Sequential(*last)]
        self.add = stride == 1 and cin == out
        setattr(self, "conv" if v2 else "block", nn.Sequential(*layers))
        self.layers = [getattr(self, "conv" if v2 else "block")]

    def forward(self, x):
        y = self.layers[0](x)
        return x + y if self.add else y


case("basic", Residual(3, 3, 3), (2, 3, 4, 4))
case("basic_stride", Residual(2, 3, 3, stride=2), (2, 2, 5, 5))
case("bottleneck", Residual(6, 2, 6, bottleneck=True), (2, 6, 3, 3))
case("bottleneck_wider", Residual(3, 2, 8, bottleneck=True), (2, 3, 3, 4))
case("bottleneck_groups", Residual(3, 4, 4, stride=2, groups=2, bottleneck=True), (2, 3, 4, 4))
case("bottleneck_dilated", Residual(3, 1, 4, dilation=2, bottleneck=True), (2, 3, 4, 4))
case("preactivation", Residual(3, 3, 3, pre=True), (2, 3, 4, 4))
case("preactivation_bottleneck", Residual(4, 2, 5, stride=2, bottleneck=True, pre=True), (2, 4, 4, 4))
case("residual_squeeze", Residual(3, 3, 3, squeeze=2), (2, 3, 4, 4))
case("squeeze_excite", SqueezeExcite(4, 3), (2, 4, 3, 3))
case("inception", Inception(3, (2, 1, 3, 2, 2, 1), 5, False), (2, 3, 4, 5))
case("inception_norm", Inception(3, (2, 2, 2, 1, 2, 2), 3, True), (2, 3, 3, 4))
case("fire", Fire(3, 2, 2, 3), (2, 3, 4, 3))
case("mobilenet_v2", InvertedResidual(3, 6, 3, v2=True), (2, 3, 4, 4))
case("mobilenet_v2_first", InvertedResidual(4, 4, 3, v2=True), (2, 4, 3, 3))
case("mobilenet_v3", InvertedResidual(3, 4, 4, kernel=5, stride=2, act=nn.Hardswish, eps=1e-3, momentum=0.01,
                                      squeeze=SqueezeExcite(4, 2, gate=nn.Hardsigmoid)), (2, 3, 5, 4))
case("efficientnet", InvertedResidual(3, 6, 3, act=nn.SiLU, squeeze=SqueezeExcite(6, 2, nn.SiLU)), (2, 3, 4, 4))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "blocks.h"), "w") as file:
    file.write("/* blocks.h - made by make_blocks.py with PyTorch %s */\n" % torch.__version__.split("+")[0])
    file.write("""
/* after: the gradient, of running statistics the value behind the pass */
typedef struct blocks_param {
    const char *name;
    int count;
    const float *value, *after;
} blocks_param;

typedef struct blocks_golden {
    const char *name;
    int x_dim[4], y_dim[4], params;
    const blocks_param *param;
    const float *x, *g, *y, *dx;
} blocks_golden;

""")
    file.write("\n".join(arrays))
    file.write("\nstatic const blocks_golden blocks_goldens[] = {\n%s\n};\n" % ",\n".join(rows))
