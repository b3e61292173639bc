"""Writes loss.h: losses as PyTorch has them, plain and with sample weights, for tests/test_metric_loss.c.

    python3 tests/golden/make_loss.py           writes tests/golden/loss.h

Everything is computed in float64 from float32 inputs and rounded to float32 at the end. With weights the loss is
(w * loss(reduction="none")).mean(), the divisor that of the loss without weights. The losses of boxes are written out
here as torchvision.ops has them.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(20240517)
WEIGHTS = [0.5, 2.0, 0.0, 1.25, 3.0, 0.75]
arrays, rows = [], []


def number(v):
    """A decimal that reads back as the same float."""
    if not np.isfinite(v):
        return "NAN" if np.isnan(v) else "INFINITY" if v > 0 else "-INFINITY"
    text = np.format_float_positional(np.float32(v), unique=True, trim="-")
    if len(text) > 13:
        text = np.format_float_scientific(np.float32(v), unique=True, trim="-", exp_digits=1)
    return text + ("f" if "." in text or "e" in text else ".0f")


def array(name, t):
    if t is None:
        return "NULL"
    whole = not t.is_floating_point()
    lines = [""]
    for v in t.detach().numpy().ravel():
        item = (str(int(v)) if whole else number(v)) + ","
        if len(lines[-1]) + len(item) > 110:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + item
    kind = "int" if whole else "float"
    arrays.append("static const %s loss_%s[] = {\n    %s\n};\n" % (kind, name, "\n    ".join(lines)))
    return "loss_" + name


def rand(*shape, scale=1.0, low=-100):
    return torch.tensor(np.float32(scale * 0.01 * (rng.integers(low, 100, shape) + 0.5)).astype(np.float64))


def ints(high, *shape):
    return torch.tensor(rng.integers(0, high, shape))


def case(name, loss, *inputs, fixed=()):
    """loss(w, *inputs), w [N] or ones; gradients of all float inputs but those in fixed."""
    n = inputs[0].shape[0]
    results = []
    for w in (torch.ones(n), torch.tensor(WEIGHTS[:n])):
        leaves = [t.clone().requires_grad_(t.is_floating_point() and i not in fixed) for i, t in enumerate(inputs)]
        value = loss(w, *leaves)
        value.backward()
        results.append((value.item(), [t.grad for t in leaves]))
    tensors = []
    for i, t in enumerate(inputs):
        key = "%s_%d" % (name, i)
        tensors.append("{ %d, { %s }, %s, %s,\n          %s, %s }" % (
            t.dim(), ", ".join(map(str, t.shape)), array(key, t) if t.is_floating_point() else "NULL",
            "NULL" if t.is_floating_point() else array(key, t),
            array(key + "_d", results[0][1][i]), array(key + "_w", results[1][1][i])))
    rows.append('    { "%s", %d, %s, %s,\n      { %s } }' % (
        name, len(inputs), number(results[0][0]), number(results[1][0]), ",\n        ".join(tensors)))


def over(w, t):
    """w for each sample, in the shape of t."""
    return w.reshape([-1] + [1] * (t.dim() - 1))


def elementwise(f):
    def loss(w, *x):
        values = f(*x)
        return (over(w, values) * values).mean()
    return loss


def pairs():
    a, b = rand(4, 6, scale=3), rand(4, 6, scale=3)
    p, q = rand(4, 6, low=0), rand(4, 6, low=0)
    case("mse", elementwise(lambda x, t: F.mse_loss(x, t, reduction="none")), a, b)
    case("bce", elementwise(lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none")), a, q,
         fixed=(1,))
    case("mae", elementwise(lambda x, t: F.l1_loss(x, t, reduction="none")), a, b)
    case("huber", elementwise(lambda x, t: F.huber_loss(x, t, reduction="none", delta=0.75)), a, b)
    case("smooth_l1", elementwise(lambda x, t: F.smooth_l1_loss(x, t, reduction="none", beta=0.5)), a, b)
    case("msle", elementwise(lambda x, t: (torch.log1p(x) - torch.log1p(t)) ** 2), p, q)
    case("kl", lambda w, x, t: (over(w, x) * F.kl_div(x, t, reduction="none")).sum() / len(w),
         F.log_softmax(a, 1).float().double(), q, fixed=(1,))
    case("dice", lambda w, x, t: (w * (1 - (2 * (x * t).sum(1) + 1) / ((x * x).sum(1) + (t * t).sum(1) + 1))).mean(),
         p, q)
    case("mean", elementwise(lambda x: x), rand(3, 2, 2, 2))
    case("variation", lambda w, x: (w * ((x[..., 1:] - x[..., :-1]).abs().sum((1, 2, 3)) +
                                         (x[..., 1:, :] - x[..., :-1, :]).abs().sum((1, 2, 3)))).mean(),
         rand(3, 2, 4, 3))
    case("soft_cross_entropy", lambda w, x, t: (w * F.cross_entropy(x, t, reduction="none")).mean(), a,
         F.softmax(b, 1).float().double())
    case("soft_cross_entropy_image", elementwise(lambda x, t: F.cross_entropy(x, t, reduction="none")),
         rand(3, 4, 2, 3, scale=2), rand(3, 4, 2, 3, low=0))


def labelled(values, weight=None, ignore=-100):
    """values(x, t): the loss of each label with its class weight; divided by the sum of the class weights."""
    def loss(w, x, t):
        c = weight if weight is not None else torch.ones(x.shape[1])
        counts = t != ignore
        return (over(w, t) * values(x, t)).sum() / (c[t.clamp(0)] * counts).sum()
    return loss


MIX = 0.7
PARTNER = [3, 0, 1, 4, 2]


def mixed(values, weight=None, ignore=-100):
    def loss(w, x, t):
        c = weight if weight is not None else torch.ones(x.shape[1])
        other = t[PARTNER]
        both = MIX * values(x, t) + (1 - MIX) * values(x, other)
        share = MIX * c[t.clamp(0)] * (t != ignore) + (1 - MIX) * c[other.clamp(0)] * (other != ignore)
        return (over(w, t) * both).sum() / share.sum()
    return loss


def labels():
    classes = torch.tensor([0.25, 1.5, 2.0, 0.5])
    x, t = rand(5, 4, scale=2), ints(4, 5)
    image, map_ = rand(5, 4, 2, 2, scale=2), ints(4, 5, 2, 2)
    t[3] = 2
    ignored = t.clone()
    ignored[1] = -7
    map_[0, 1, 0] = -7
    logs = F.log_softmax(x, 1).float().double()
    image_logs = F.log_softmax(image, 1).float().double()

    def softmax(weight=None, smoothing=0.0, ignore=-100):
        return lambda x, t: F.cross_entropy(x, t, weight, reduction="none", label_smoothing=smoothing,
                                            ignore_index=ignore)

    def nll(weight=None, ignore=-100):
        return lambda x, t: F.nll_loss(x, t, weight, reduction="none", ignore_index=ignore)

    def margin(x, t):
        return F.multi_margin_loss(x, t, reduction="none")
    case("softmax", labelled(softmax()), x, t)
    case("softmax_all", labelled(softmax(classes, 0.1, -7), classes, -7), image, map_)
    case("nll", labelled(nll()), logs, t)
    case("nll_all", labelled(nll(classes, -7), classes, -7), logs, ignored)
    case("nll_all_image", labelled(nll(classes, -7), classes, -7), image_logs, map_)
    case("margin", labelled(margin), x, t)
    case("softmax_mixed", mixed(softmax()), x, t)
    case("softmax_all_mixed", mixed(softmax(classes, 0.1, -7), classes, -7), image, map_)
    case("nll_all_mixed", mixed(nll(classes, -7), classes, -7), logs, ignored)
    case("margin_mixed", mixed(margin), x, t)


def boxes(*shape):
    low = rand(*shape, 2, scale=0.5)
    return torch.cat([low, low + rand(*shape, 2, low=10)], -1).float().double()


def iou(a, b, generalized):
    x1, y1, x2, y2 = a.unbind(-1)
    u1, v1, u2, v2 = b.unbind(-1)
    wide, high = torch.min(x2, u2) - torch.max(x1, u1), torch.min(y2, v2) - torch.max(y1, v1)
    both = torch.where((wide > 0) & (high > 0), wide * high, torch.zeros_like(wide))
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - both
    around = (torch.max(x2, u2) - torch.min(x1, u1)) * (torch.max(y2, v2) - torch.min(y1, v1))
    loss = 1 - both / (union + 1e-7)
    return loss + (around - union) / (around + 1e-7) if generalized else loss


def rows_of_numbers():
    a, b = boxes(4, 3), boxes(4, 3)
    b[1, 1] = a[1, 1]                                                # equal boxes
    b[2, 0] = a[2, 0] + 4.0                                          # far apart
    b[0, 2, 0] = a[0, 2, 0]                                          # one common edge
    b = b.float().double()
    case("iou", elementwise(lambda x, t: iou(x, t, False)), a, b)
    case("giou", elementwise(lambda x, t: iou(x, t, True)), a, b)
    x, y, z = rand(6, 5), rand(6, 5), rand(6, 5, scale=2)
    case("triplet", lambda w, a, p, n: (w * F.triplet_margin_loss(a, p, n, margin=1.5, reduction="none")).mean(),
         x, y, z)

    def contrastive(w, a, b, same):
        d = (a - b).pow(2).sum(1).sqrt()
        s = same.reshape(-1)
        return (w * 0.5 * (s * d ** 2 + (1 - s) * torch.clamp(2.0 - d, min=0) ** 2)).mean()
    case("contrastive", contrastive, x, y, torch.tensor([1.0, 0, 1, 0, 0, 1]), fixed=(2,))
    case("contrastive_column", contrastive, x, z, torch.tensor([[0.0], [0], [1], [0], [0.5], [1]]))
    case("vae", lambda w, m, v: (w * (-0.5 * (1 + v - m ** 2 - v.exp()).sum((1, 2)))).mean(), rand(4, 2, 3),
         rand(4, 2, 3))


def ctc():
    def loss(w, x, t, steps=None, count=None, blank=0, zero=False):
        n, T, _ = x.shape
        steps = torch.full((n,), T) if steps is None else steps
        if count is None:
            count = (t >= 0).cumprod(1).sum(1)
        t = t.clamp(0)
        each = F.ctc_loss(x.transpose(0, 1), t, steps, count, blank, "none", zero)
        return (w * each / count.clamp(min=1)).mean()
    x = F.log_softmax(rand(4, 7, 5, scale=3), 2).float().double()
    t = torch.tensor([[1, 2, 2], [3, -1, -1], [4, 4, 1], [-1, 2, 3]])
    case("ctc", loss, x, t)
    case("ctc_blank", lambda w, x, t: loss(w, x, t, blank=4), x,
         torch.tensor([[1, 2, 2], [3, 0, -1], [0, 0, 1], [3, 2, 3]]))
    case("ctc_lengths", loss, x, torch.tensor([[1, 2, 2], [3, 1, 4], [4, 4, 1], [1, 2, 3]]), torch.tensor([7, 5, 5, 4]),
         torch.tensor([3, 2, 3, 0]))
    case("ctc_zero", lambda w, x, t, steps, count: loss(w, x, t, steps, count, zero=True), x,
         torch.tensor([[1, 2, 2], [3, 1, 4], [4, 4, 1], [1, 2, 3]]), torch.tensor([3, 7, 2, 4]),
         torch.tensor([3, 2, 3, 1]))
    case("ctc_infinite", loss, x[:2], torch.tensor([[1, 2, 2], [3, 1, 4]]), torch.tensor([3, 7]),
         torch.tensor([3, 2]))
    logits = rand(3, 6, 4, scale=3)
    case("ctc_logits", lambda w, x, t: loss(w, F.log_softmax(x, 2), t), logits,
         torch.tensor([[1, 2, 2], [3, -1, -1], [1, 3, 1]]))


pairs()
labels()
rows_of_numbers()
ctc()
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "loss.h"), "w") as f:
    f.write("/* loss.h - values computed by PyTorch %s. Generated by make_loss.py: change that, not this. */\n"
            "#ifndef GOLDEN_LOSS_H\n#define GOLDEN_LOSS_H\n\n#include <math.h>\n#include <stddef.h>\n\n"
            % torch.__version__.split("+")[0])
    f.write("/* f or i; d: gradient, w: gradient with the sample weights; NULL: none */\n"
            "typedef struct loss_tensor {\n    int rank;\n    int dim[4];\n    const float *f;\n    const int *i;\n"
            "    const float *d, *w;\n} loss_tensor;\n\n"
            "typedef struct loss_golden {\n    const char *name;\n    int inputs;\n    float value, weighted;\n"
            "    loss_tensor x[4];\n} loss_golden;\n\n")
    f.write("static const float loss_weights[%d] = { %s };\n" % (len(WEIGHTS), ", ".join(map(number, WEIGHTS))))
    f.write("static const int loss_partner[%d] = { %s };\n\n" % (len(PARTNER), ", ".join(map(str, PARTNER))))
    f.write("\n".join(arrays))
    f.write("\nstatic const loss_golden loss_goldens[] = {\n%s\n};\n\n#endif\n" % ",\n".join(rows))
