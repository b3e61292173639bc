"""Writes tensor.h: what PyTorch computes for the tensor operations, as C arrays for tests/test_tensor.c.

    python3 tests/golden/make_tensor.py          writes tests/golden/tensor.h

Inputs are multiples of 0.25 from a fixed seed, so that some are equal and exact in float32. Everything is computed
in float64 and rounded to float32.
"""
import os

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(7)
rows = []
arrays = []


def number(v):
    """The shortest decimal that reads back as the same float."""
    text = np.format_float_positional(np.float32(v), unique=True, trim="-")
    return text + ("f" if "." in text else ".0f")


def array(name, t):
    items = [number(v) for v in t.detach().numpy().ravel()]
    lines = [", ".join(items[i:i + 8]) for i in range(0, len(items), 8)]
    arrays.append("static const float %s[] = {\n    %s\n};\n" % (name, ",\n    ".join(lines)))
    return name


def rand(shape, low=-8, high=9):
    return torch.tensor(rng.integers(low, high, shape) * 0.25)


def case(name, f, *inputs):
    """y = f(inputs) and the gradients of sum(g*y)."""
    x = [t.clone().requires_grad_(True) for t in inputs]
    y = f(*x)
    g = rand(tuple(y.shape)) if y.dim() else torch.tensor(1.0)
    y.backward(g)
    names = [array("%s_x%d" % (name, i), t) for i, t in enumerate(x)]
    dx = [array("%s_dx%d" % (name, i), t.grad) for i, t in enumerate(x)]
    two = len(x) == 2
    rows.append('    { "%s", %d, %s, %s, %s, %s, %s, %s }' % (
        name, y.numel(), names[0], names[1] if two else "NULL", array(name + "_y", y), array(name + "_g", g),
        dx[0], dx[1] if two else "NULL"))


IMAGE = (2, 3, 4, 5)
positive = dict(low=1, high=12)
case("sub", torch.sub, rand(IMAGE), rand((2, 3, 1, 1)))
case("div", torch.div, rand(IMAGE), rand((2, 1, 4, 5), **positive))
case("maximum", torch.maximum, rand(IMAGE), rand((2, 3, 1, 5)))
case("minimum", torch.minimum, rand(IMAGE), rand(IMAGE))
case("exp", torch.exp, rand((2, 12)))
case("log", torch.log, rand((2, 12), **positive))
case("sqrt", torch.sqrt, rand((2, 12), **positive))
case("square", torch.square, rand((2, 12)))
case("abs", torch.abs, rand((2, 12)))
case("neg", torch.neg, rand((2, 12)))
case("scale", lambda x: 1.5 * x - 0.25, rand((2, 12)))
case("clip", lambda x: torch.clamp(x, -0.5, 0.75), rand((2, 12)))
case("pow", lambda x: x ** 2.5, rand((2, 12), **positive))
case("reduce_sum", lambda x: x.sum((1, 3), keepdim=True), rand(IMAGE))
case("reduce_mean", lambda x: x.mean((2, 3), keepdim=True), rand(IMAGE))
case("reduce_max", lambda x: x.amax((1, 2), keepdim=True), rand(IMAGE))
case("permute", lambda x: x.permute(0, 2, 3, 1), rand(IMAGE))
case("slice", lambda x: x[:, :, 1:3], rand(IMAGE))
case("matmul", torch.matmul, rand((2, 3, 4, 5)), rand((2, 3, 5, 6)))
case("matmul_turned", lambda a, b: a.mT @ b.mT, rand((2, 5, 4)), rand((2, 6, 5)))
case("gram", lambda x: torch.einsum("nchw,ndhw->ncd", x, x) / 60, rand(IMAGE))
case("mean_loss", torch.mean, rand(IMAGE))
case("total_variation", lambda x: (x.diff(dim=2).abs().sum() + x.diff(dim=3).abs().sum()) / 2, rand(IMAGE))

indices = torch.tensor([[1, 4, 1], [0, 1, 3]])
weight = rand((5, 4)).requires_grad_(True)
y = torch.nn.functional.embedding(indices, weight)
g = rand((2, 3, 4))
y.backward(g)
for name, t in (("weight", weight), ("y", y), ("g", g), ("dweight", weight.grad)):
    array("embedding_" + name, t)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensor.h"), "w") as file:
    file.write("/* tensor.h - made by make_tensor.py with PyTorch %s */\n" % torch.__version__.split("+")[0])
    file.write("\n".join(arrays))
    file.write("\nstatic const int embedding_indices[] = { 1, 4, 1, 0, 1, 3 };\n")
    file.write("""
typedef struct golden_row {
    const char *name;
    int outputs;
    const float *a, *b, *y, *g, *da, *db;
} golden_row;

static const golden_row golden_rows[] = {
""" + ",\n".join(rows) + "\n};\n")
