"""Writes golden.h: what PyTorch computes for small random cases, as C arrays for tests/test_golden.c.

    python3 tests/golden/make_golden.py          writes tests/golden/golden.h

Inputs are odd multiples of 0.01 from a fixed seed, rounded to float32. Everything is computed from them in float64
and then rounded to float32, so what differs from the library is the library's rounding alone.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(1)
rng = np.random.default_rng(20240229)
out = []            # pieces of the header


# ---- writing C -----------------------------------------------------------------------------------

def number(v):
    """The shortest decimal that reads back as the same float."""
    text = np.format_float_positional(np.float32(v), unique=True, trim="-")
    if len(text) > 13:
        text = np.format_float_scientific(np.float32(v), unique=True, trim="-", exp_digits=1)
    return text + ("f" if "." in text or "e" in text else ".0f")


def wrap(items):
    lines = [""]
    for item in items:
        if len(lines[-1]) + len(item) > 108:
            lines.append("")
        lines[-1] += item + ", "
    return "\n".join("    " + line.rstrip() for line in lines)


def plain(t):
    return np.asarray(t.detach() if torch.is_tensor(t) else t)


def floats(name, t):
    out.append("static const float %s[] = {\n%s\n};\n" % (name, wrap(number(v) for v in plain(t).ravel())))


def ints(name, t):
    out.append("static const int %s[] = {\n%s\n};\n" % (name, wrap(str(int(v)) for v in plain(t).ravel())))


def tensor(name, t):
    """Writes the array and returns the initialiser of its golden_tensor."""
    if t is None:
        return "{ 0, { 0, 0, 0, 0 }, NULL }"
    floats(name, t)
    shape = list(plain(t).shape)
    return "{ %d, { %s }, %s }" % (len(shape), ", ".join(map(str, shape + [0] * (4 - len(shape)))), name)


def tensor_alone(name, t):
    out.append("static const golden_tensor golden_%s =\n    %s;\n" % (name, tensor(name + "_values", t)))


def struct(kind, name, fields):
    out.append("static const %s golden_%s = {\n    %s\n};\n" % (kind, name, ",\n    ".join(fields)))


# ---- layers --------------------------------------------------------------------------------------

def rand(*shape, scale=1.0):
    """Values around 0 with two decimals, never 0 itself."""
    n = np.round(rng.uniform(-1, 1, shape) * 60 * scale)
    return torch.tensor(((2 * n + 1) / 100).astype(np.float32).astype(np.float64))


def case(name, f, inputs, params=()):
    """One layer: y = f(inputs, params) and the gradients of sum(g*y)."""
    leaves = [t.clone().requires_grad_(True) for t in list(inputs) + list(params)]
    y = f(*leaves)
    g = rand(*y.shape)
    grads = torch.autograd.grad((g * y).sum(), leaves)
    k = len(inputs)

    def tensors(count, prefix, ts):
        ts = list(ts) + [None] * (count - len(ts))
        return "{ " + ",\n      ".join(tensor("%s_%s%d" % (name, prefix, i), t) for i, t in enumerate(ts)) + " }"
    struct("golden_case", name, [
        '"%s"' % name, tensors(3, "x", inputs), tensors(3, "dx", grads[:k]),
        tensors(2, "p", params), tensors(2, "dp", grads[k:]),
        tensor(name + "_y", y), tensor(name + "_g", g)])


def conv_cases():
    def conv(name, x, w, bias=True, pad=None, mode="constant", **options):
        # pad: left, right, top, bottom, as F.pad has it
        def f(x, w, b=None):
            if pad:
                x = F.pad(x, pad, mode=mode)
            return F.conv2d(x, w, b, **options)
        case("conv2d_" + name, f, [rand(*x)], [rand(*w, scale=0.5)] + ([rand(w[0])] if bias else []))
    conv("plain", (2, 3, 6, 5), (4, 3, 3, 3))
    conv("no_bias", (2, 2, 5, 5), (3, 2, 3, 3), bias=False, padding=1)
    conv("stride", (2, 3, 7, 8), (2, 3, 3, 3), stride=2, padding=1)
    conv("rectangular", (2, 2, 7, 6), (3, 2, 2, 3), stride=(3, 2), padding=(1, 0))
    conv("asymmetric", (1, 2, 5, 6), (3, 2, 3, 3), pad=(2, 0, 1, 3))
    conv("reflect", (1, 2, 5, 6), (2, 2, 3, 3), pad=(2, 1, 1, 3), mode="reflect")
    conv("replicate", (1, 2, 4, 5), (2, 2, 3, 3), pad=(3, 1, 2, 0), mode="replicate", stride=2)
    conv("dilation", (1, 2, 8, 7), (2, 2, 3, 2), dilation=(2, 3), padding=(2, 1))
    conv("groups", (2, 4, 5, 4), (6, 2, 3, 3), groups=2, padding=1)
    conv("depthwise", (2, 3, 6, 6), (3, 1, 3, 3), groups=3, stride=2, padding=1)
    conv("pointwise", (2, 4, 3, 4), (5, 4, 1, 1))
    conv("5x5", (1, 2, 8, 8), (2, 2, 5, 5), padding=2)


def layer_cases():
    case("linear_2d", F.linear, [rand(5, 7)], [rand(4, 7), rand(4)])
    case("linear_3d", F.linear, [rand(2, 3, 5)], [rand(4, 5), rand(4)])

    def pool(name, f, shape, *args, **options):
        case(name, lambda x: f(x, *args, **options), [rand(*shape)])
    pool("maxpool", F.max_pool2d, (2, 2, 6, 6), 2)
    pool("maxpool_stride", F.max_pool2d, (1, 2, 7, 6), 3, 2)
    pool("maxpool_pad", F.max_pool2d, (1, 2, 6, 5), (3, 2), (2, 1), (1, 1))
    pool("maxpool_ceil", F.max_pool2d, (1, 2, 6, 8), 3, 2, ceil_mode=True)
    pool("maxpool_ceil_pad", F.max_pool2d, (1, 2, 5, 4), 2, 2, 1, ceil_mode=True)
    pool("avgpool", F.avg_pool2d, (2, 2, 6, 4), 2)
    pool("avgpool_pad", F.avg_pool2d, (1, 2, 6, 5), 3, 2, 1)
    pool("avgpool_exclude", F.avg_pool2d, (1, 2, 6, 5), 3, 2, 1, count_include_pad=False)
    pool("avgpool_ceil", F.avg_pool2d, (1, 2, 6, 7), 3, 2, 1, ceil_mode=True)
    pool("avgpool_ceil_exclude", F.avg_pool2d, (1, 2, 6, 7), 3, 2, 1, ceil_mode=True, count_include_pad=False)
    pool("global_avgpool", F.adaptive_avg_pool2d, (2, 3, 4, 5), 1)
    pool("global_maxpool", F.adaptive_max_pool2d, (2, 3, 4, 5), 1)

    pool("relu", F.relu, (3, 7))
    pool("leaky_relu", F.leaky_relu, (3, 7), 0.2)
    pool("elu", F.elu, (3, 7), 1.5)
    pool("sigmoid", torch.sigmoid, (3, 7))
    pool("tanh", torch.tanh, (3, 7))
    pool("softmax_2d", F.softmax, (3, 5), 1)
    pool("softmax_3d", F.softmax, (2, 3, 5), 2)
    pool("softmax_4d", F.softmax, (2, 3, 2, 4), 1)

    case("add_same", torch.add, [rand(2, 3, 2, 3), rand(2, 3, 2, 3)])
    case("add_channels", torch.add, [rand(2, 3, 3, 2), rand(2, 3, 1, 1)])
    case("add_both", torch.add, [rand(2, 1, 3, 1), rand(2, 4, 1, 2)])
    case("mul_same", torch.mul, [rand(3, 5), rand(3, 5)])
    case("mul_channels", torch.mul, [rand(2, 3, 1, 1), rand(2, 3, 3, 2)])
    case("mul_both", torch.mul, [rand(2, 3, 1, 2), rand(2, 1, 4, 2)])
    case("concat_channels", lambda a, b: torch.cat([a, b], 1), [rand(2, 2, 3, 2), rand(2, 3, 3, 2)])
    case("concat_three", lambda a, b, c: torch.cat([a, b, c], 2),
         [rand(2, 2, 1, 3), rand(2, 2, 2, 3), rand(2, 2, 3, 3)])


def batchnorm_cases():
    def train(name, shape, momentum, eps):
        c = shape[1]
        mean, var, first = torch.zeros(c), torch.ones(c), rand(*shape) + 0.5
        w, b = rand(c), rand(c)
        F.batch_norm(first, mean, var, w, b, True, momentum, eps)
        case(name, lambda x, w, b: F.batch_norm(x, mean, var, w, b, True, momentum, eps),
             [rand(*shape, scale=2)], [w, b])
        for key, t in (("first", first), ("running_mean", mean), ("running_var", var)):
            tensor_alone("%s_%s" % (name, key), t)
    train("batchnorm_1d", (6, 4), 0.1, 1e-5)
    train("batchnorm_2d", (3, 2, 3, 4), 0.3, 1e-2)
    mean, var = rand(3), rand(3).abs() + 0.2
    case("batchnorm_eval", lambda x, w, b: F.batch_norm(x, mean, var, w, b, False, 0.1, 1e-5),
         [rand(2, 3, 2, 3)], [rand(3), rand(3)])
    tensor_alone("batchnorm_eval_running_mean", mean)
    tensor_alone("batchnorm_eval_running_var", var)


# ---- losses --------------------------------------------------------------------------------------

def loss_cases():
    def cross_entropy(name, shape, weights=False, smoothing=0.0, ignore=-100, sequence=False):
        classes = shape[2] if sequence else shape[1]
        places = shape[:2] if sequence else (shape[0],) + shape[2:]
        logits = rand(*shape, scale=2).requires_grad_(True)
        labels = rng.integers(0, classes, places)
        w = (rand(classes).abs() + 0.2).float().double() if weights else None
        if ignore != -100 or name.endswith("ignored"):
            labels.ravel()[::3] = ignore
        x = logits.transpose(1, 2) if sequence else logits
        loss = F.cross_entropy(x, torch.tensor(labels), w, label_smoothing=smoothing, ignore_index=ignore)
        loss.backward()
        ints(name + "_labels", labels)
        if weights:
            floats(name + "_weights", w)
        struct("golden_cross_entropy", name, [
            '"%s"' % name, tensor(name + "_logits", logits), name + "_labels",
            name + "_weights" if weights else "NULL",
            number(smoothing), "%d" % (0 if ignore == -100 else ignore), number(loss.item()),
            tensor(name + "_dlogits", logits.grad)])
    cross_entropy("ce_plain", (6, 5))
    cross_entropy("ce_smoothing", (6, 5), smoothing=0.1)
    cross_entropy("ce_weights", (6, 5), weights=True)
    cross_entropy("ce_default_ignored", (7, 4))
    cross_entropy("ce_ignored_255", (7, 4), ignore=255)
    cross_entropy("ce_all", (8, 5), weights=True, smoothing=0.2, ignore=2)
    cross_entropy("ce_spatial", (2, 3, 3, 4))
    cross_entropy("ce_spatial_all", (2, 4, 3, 2), weights=True, smoothing=0.1, ignore=255)
    cross_entropy("ce_sequence", (2, 4, 3), sequence=True)
    cross_entropy("ce_sequence_all", (2, 5, 3), weights=True, smoothing=0.3, ignore=255, sequence=True)

    def pair(name, f, a, b, both=True):
        a, b = a.clone().requires_grad_(True), b.clone().requires_grad_(True)
        loss = f(a, b)
        da, db = torch.autograd.grad(loss, [a, b])
        struct("golden_pair_loss", name, [
            '"%s"' % name, tensor(name + "_a", a), tensor(name + "_b", b), number(loss.item()),
            tensor(name + "_da", da), tensor(name + "_db", db if both else None)])
    pair("mse_2d", F.mse_loss, rand(4, 3), rand(4, 3))
    pair("mse_4d", F.mse_loss, rand(2, 3, 2, 2), rand(2, 3, 2, 2))
    logits = rand(4, 5, scale=3)
    logits[0, 0], logits[1, 1] = 60, -60
    pair("bce_with_logits", F.binary_cross_entropy_with_logits, logits,
         torch.tensor(np.round(rng.uniform(0, 1, (4, 5)), 1).astype(np.float32).astype(np.float64)),
         both=False)


# ---- optimizers and schedules --------------------------------------------------------------------

def optimizer_cases():
    """Regression by 3 -> 4 tanh -> 2 on 8 samples; parameters after `early` and after `late` steps, in the order
    fc1.weight, fc1.bias, fc2.weight, fc2.bias."""
    x, target = rand(8, 3), rand(8, 2)
    start = [rand(4, 3, scale=0.7), rand(4, scale=0.3), rand(2, 4, scale=0.7), rand(2, scale=0.3)]
    def flat(ps):
        return torch.cat([p.detach().ravel() for p in ps])
    tensor_alone("optimizer_x", x)
    tensor_alone("optimizer_target", target)
    tensor_alone("optimizer_start", flat(start))

    def run(name, make, late, clip=None, early=3):
        ps = [p.clone().requires_grad_(True) for p in start]
        optimizer = make(ps)
        for step in range(late):
            optimizer.zero_grad()
            y = F.linear(torch.tanh(F.linear(x, ps[0], ps[1])), ps[2], ps[3])
            F.mse_loss(y, target).backward()
            if clip:
                clip(ps)
            optimizer.step()
            if step + 1 == early:
                first = flat(ps)
        fields = ['"%s"' % name, "%d" % early, "%d" % late]
        struct("golden_optimizer", name, fields + [tensor(name + "_early", first), tensor(name + "_late", flat(ps))])
    O = torch.optim
    run("sgd", lambda p: O.SGD(p, lr=0.1), 60)
    run("sgd_decay", lambda p: O.SGD(p, lr=0.1, weight_decay=0.05), 60)
    run("sgd_momentum", lambda p: O.SGD(p, lr=0.05, momentum=0.9), 60)
    run("sgd_momentum_decay", lambda p: O.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.02), 60)
    run("nesterov", lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True), 60)
    run("nesterov_decay", lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.02), 60)
    run("adam", lambda p: O.Adam(p, lr=0.02), 100)
    run("adam_betas", lambda p: O.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3), 50)
    run("adam_decay", lambda p: O.Adam(p, lr=0.02, weight_decay=0.05), 100)
    run("adamw", lambda p: O.AdamW(p, lr=0.02, weight_decay=0.1), 100)
    run("clip_norm", lambda p: O.SGD(p, lr=0.1), 40, lambda p: torch.nn.utils.clip_grad_norm_(p, 0.3))
    run("clip_value", lambda p: O.SGD(p, lr=0.1), 40, lambda p: torch.nn.utils.clip_grad_value_(p, 0.05))
    def both(p):
        torch.nn.utils.clip_grad_value_(p, 0.1)
        torch.nn.utils.clip_grad_norm_(p, 0.2)
    run("clip_both", lambda p: O.SGD(p, lr=0.1, momentum=0.5), 20, both)


def schedule_cases():
    """Rates of 12 epochs (StepLR, ExponentialLR: stepped per epoch) or of 6*5 batches (the others: per batch)."""
    def rates(name, make, lr, count):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
        schedule = make(optimizer)
        values = []
        for _ in range(count):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        tensor_alone("schedule_" + name, torch.tensor(values))
    S = torch.optim.lr_scheduler
    rates("step", lambda o: S.StepLR(o, 3, gamma=0.2), 0.5, 12)
    rates("exponential", lambda o: S.ExponentialLR(o, 0.9), 0.5, 12)
    rates("cosine", lambda o: S.CosineAnnealingLR(o, 30), 0.5, 30)
    rates("cosine_min", lambda o: S.CosineAnnealingLR(o, 30, eta_min=0.05), 0.5, 30)
    rates("one_cycle", lambda o: S.OneCycleLR(o, 0.5, total_steps=30, cycle_momentum=False), 0.5, 30)
    rates("one_cycle_options", lambda o: S.OneCycleLR(o, 0.5, total_steps=30, pct_start=0.45, div_factor=10,
                                                      final_div_factor=100, cycle_momentum=False), 0.5, 30)
    rates("warmup", lambda o: S.LinearLR(o, 1 / 8, total_iters=7), 0.5, 30)


# ---- ResNet-20 -------------------------------------------------------------------------------------------------------
# Weights and images come from a generator that test_golden.c repeats word for word; only the losses are stored.

# The last batch norm of each residual branch starts at 1/4 (P. Goyal et al., arXiv:1706.02677, start it at 0): with 1
# the net is so sensitive that float32 and float64 PyTorch differ by several percent after 20 steps; with 1/4 by 5e-5.

RESNET_BATCH, RESNET_STEPS, RESNET_LR = 8, 20, 0.01


class Xorshift:
    """G. Marsaglia, Xorshift RNGs, JSS 8(14), 2003: 32 bits, shifts 13, 17, 5."""

    def __init__(self, seed):
        self.x = seed

    def next(self):
        x = self.x
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.x = x
        return x

    def symmetric(self, n):
        """n values in [-1, 1), multiples of 2^-23: exact in float32."""
        return np.array([(self.next() >> 8) / 8388608.0 - 1.0 for _ in range(n)], dtype=np.float32)


class Block(torch.nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(cout)
        self.conv2 = torch.nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(cout)
        self.shortcut = torch.nn.Sequential()
        if stride != 1 or cin != cout:
            self.shortcut = torch.nn.Sequential(torch.nn.Conv2d(cin, cout, 1, stride, bias=False),
                                                torch.nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class ResNet20(torch.nn.Module):
    """K. He et al., arXiv:1512.03385, section 4.2, with 1x1 projection shortcuts (option B)."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(16)
        blocks, cin = [], 16
        for cout, stride in ((16, 1), (32, 2), (64, 2)):
            for i in range(3):
                blocks.append(Block(cin, cout, stride if i == 0 else 1))
                cin = cout
        self.blocks = torch.nn.Sequential(*blocks)
        self.fc = torch.nn.Linear(64, 10)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


def resnet_weights(net):
    """He-uniform weights in the order of the layers; biases 0, batch norm 1 and 0, bn2 1/4 and 0."""
    words = Xorshift(2463534242)
    for name, p in net.named_parameters():
        if p.dim() > 1:
            bound = np.float32(np.sqrt(6.0 / (p.numel() // p.shape[0])))
            p.data = torch.tensor(bound * words.symmetric(p.numel())).double().reshape(p.shape)
        elif name.endswith("bn2.weight"):
            p.data.fill_(0.25)
        elif name == "fc.bias":
            p.data.zero_()


def resnet_batch(words):
    """Discs of a random colour in noise; the column tells the class, 0 to 4."""
    x = np.zeros((RESNET_BATCH, 3, 32, 32), dtype=np.float32)
    labels = np.zeros(RESNET_BATCH, dtype=np.int64)
    rows, columns = np.mgrid[0:32, 0:32]
    for n in range(RESNET_BATCH):
        labels[n] = words.next() % 5
        cy = 8 + words.next() % 16
        cx = 4 + 5 * labels[n] + words.next() % 4
        r = 4 + words.next() % 4
        disc = (rows - cy) ** 2 + (columns - cx) ** 2 <= r * r
        for c in range(3):
            colour = words.symmetric(1)[0] + np.float32(1)
            noise = words.symmetric(1024).reshape(32, 32) * np.float32(0.5)
            x[n, c] = noise + disc * colour
    return torch.tensor(x), torch.tensor(labels)


def resnet_losses(dtype=torch.float64):
    net = ResNet20()
    resnet_weights(net)
    net.to(dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=RESNET_LR, momentum=0.9)
    words = Xorshift(88172645)
    losses = []
    for _ in range(RESNET_STEPS):
        x, labels = resnet_batch(words)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x.to(dtype)), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    with torch.no_grad():
        final = F.cross_entropy(net(x.to(dtype)), labels).item()
    return sum(p.numel() for p in net.parameters()), losses, final


def resnet_case():
    parameters, losses, final = resnet_losses()
    out.append("enum { GOLDEN_RESNET_PARAMETERS = %d, GOLDEN_RESNET_BATCH = %d, GOLDEN_RESNET_STEPS = %d };\n"
               % (parameters, RESNET_BATCH, RESNET_STEPS))
    out.append("static const float golden_resnet_lr = %s;\n" % number(RESNET_LR))
    floats("golden_resnet_losses", np.array(losses))
    out.append("/* prediction mode, the last batch again after the last step */\n"
               "static const float golden_resnet_final = %s;\n" % number(final))


HEAD = """\
/* golden.h - values computed by PyTorch %s. Generated by make_golden.py: change that, not this. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <stddef.h>

typedef struct golden_tensor {
    int rank;
    int dim[4];
    const float *value;                 /* NULL: there is none */
} golden_tensor;

/* y = layer(input, param); dinput, dparam = gradients of sum(g*y); param: weight, bias */
typedef struct golden_case {
    const char *name;
    golden_tensor input[3], dinput[3];
    golden_tensor param[2], dparam[2];
    golden_tensor y, g;
} golden_case;

typedef struct golden_cross_entropy {
    const char *name;
    golden_tensor logits;
    const int *labels;
    const float *class_weights;         /* NULL: all 1 */
    float smoothing;
    int ignore_index;                   /* 0: the default */
    float loss;
    golden_tensor dlogits;
} golden_cross_entropy;

typedef struct golden_pair_loss {       /* loss(a, b) and its gradients */
    const char *name;
    golden_tensor a, b;
    float loss;
    golden_tensor da, db;
} golden_pair_loss;

typedef struct golden_optimizer {       /* all parameters, flat, after so many steps */
    const char *name;
    int early_steps, late_steps;
    golden_tensor early, late;
} golden_optimizer;
"""


def main():
    out.append(HEAD % torch.__version__.split("+")[0])
    for part in (conv_cases, layer_cases, batchnorm_cases, loss_cases, optimizer_cases, schedule_cases, resnet_case):
        part()
    out.append("#endif /* GOLDEN_H */\n")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.h")
    with open(path, "w", encoding="ascii", newline="\n") as f:
        f.write("\n".join(out))
    print("%s: %d bytes" % (path, os.path.getsize(path)))


if __name__ == "__main__":
    main()
