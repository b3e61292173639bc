"""Writes math.h: what PyTorch computes for the layers of tests/test_math.c, as C arrays.

    python3 tests/golden/make_math.py          writes tests/golden/math.h

Inputs are multiples of 1/8 from a fixed seed, so that some are equal and exact in float32. Everything is computed in
float64 and rounded to float32.
"""
import os

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(11)
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


def case(kind, f, *shapes, low=-16, high=17, axis=0):
    """y = f(inputs) and the gradients of sum(g*y), NULL where PyTorch has none. kind as in test_math.c."""
    x = [torch.tensor(rng.integers(low, high, s) * 0.125).requires_grad_(True) for s in shapes]
    y = f(*x).to(torch.float64)
    g = torch.tensor(rng.integers(-8, 9, tuple(y.shape)) * 0.25)
    if y.requires_grad:
        y.backward(g)
    name = "%s_%d" % (kind.lower(), len(rows))
    values = [array("%s_x%d" % (name, i), t) for i, t in enumerate(x)]
    slopes = ["NULL" if t.grad is None else array("%s_dx%d" % (name, i), t.grad) for i, t in enumerate(x)]
    dims = ["{ %d, { %s } }" % (t.dim(), ", ".join(map(str, t.shape))) for t in x]
    while len(values) < 3:
        values.append("NULL")
        slopes.append("NULL")
        dims.append("{ 0, { 0 } }")
    rows.append("    { %s, %d, %d, %d,\n      { %s },\n      { %s },\n      %s, %s,\n      { %s } }" % (
        kind, len(x), axis, y.numel(), ", ".join(dims), ", ".join(values), array(name + "_y", y),
        array(name + "_g", g), ", ".join(slopes)))


V = (3, 9)
IMAGE = (2, 2, 3, 4)
for name in ("erf", "sin", "cos", "atan", "sinh", "cosh", "asinh", "sign", "floor", "ceil", "round", "trunc"):
    case(name.upper(), getattr(torch, name), V)
case("TAN", torch.tan, V, low=-11, high=12)
case("ASIN", torch.asin, V, low=-7, high=8)
case("ACOS", torch.acos, V, low=-7, high=8)
case("ATANH", torch.atanh, V, low=-7, high=8)
case("ACOSH", torch.acosh, V, low=9, high=40)
case("RECIPROCAL", torch.reciprocal, V, low=1, high=30)
case("NOT", lambda x: torch.logical_not(x).double(), V, low=-2, high=3)
case("THRESHOLD", lambda x: torch.nn.functional.threshold(x, 0.25, -3.0), V)
case("SHRINK", lambda x: torch.nn.functional.softshrink(x, 0.75), V)

B = (2, 2, 1, 4)
case("POWER", torch.pow, IMAGE, B, low=1, high=20)
case("REMAINDER", torch.remainder, IMAGE, B, low=1, high=20)
case("REMAINDER", lambda a, b: torch.remainder(a, -b), IMAGE, B, low=1, high=20, axis=1)
case("FMOD", torch.fmod, IMAGE, B, low=1, high=20)
for name in ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
    case(name, lambda a, b: getattr(torch, {"EQUAL": "eq"}.get(name, name.lower()))(a, b).double(), IMAGE, B,
         low=-3, high=4)
for name in ("AND", "OR", "XOR"):
    case(name, lambda a, b: getattr(torch, "logical_" + name.lower())(a, b).double(), IMAGE, B, low=-1, high=2)
case("WHERE", lambda c, a, b: torch.where(c.detach() != 0, a, b), (2, 2, 3, 1), (2, 1, 3, 4), B, low=-1, high=2)

case("REDUCE_MIN", lambda x: x.amin((1, 3), keepdim=True), IMAGE, low=-3, high=4)
case("REDUCE_PROD", lambda x: x.prod(3, keepdim=True).prod(1, keepdim=True), IMAGE, low=3, high=12)
case("REDUCE_PROD", lambda x: x.prod(3, keepdim=True).prod(1, keepdim=True), IMAGE, low=-1, high=24)

for axis in (1, 2, 3):
    case("CUMSUM", lambda x: x.cumsum(axis), IMAGE, axis=axis)
    case("TOPK_LARGEST", lambda x: x.sort(dim=axis, descending=True, stable=True)[0].narrow(axis, 0, 2),
         IMAGE, axis=axis)
    case("TOPK_LEAST", lambda x: x.sort(dim=axis, stable=True)[0].narrow(axis, 0, 2), IMAGE, axis=axis)
    case("TOPK_WHERE", lambda x: x.sort(dim=axis, descending=True, stable=True)[1].narrow(axis, 0, 2),
         IMAGE, axis=axis)
    case("ARGMAX", lambda x: x.argmax(axis, keepdim=True), IMAGE, axis=axis)
    case("ARGMIN", lambda x: x.argmin(axis, keepdim=True), IMAGE, axis=axis)

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "math.h"), "w") as file:
    file.write("/* math.h - made by make_math.py with PyTorch %s */\n" % torch.__version__.split("+")[0])
    file.write("\n".join(arrays))
    file.write("""
typedef struct golden_row {
    int kind, inputs, axis, outputs;
    struct { int rank, dim[4]; } shape[3];
    const float *x[3];
    const float *y, *g;
    const float *dx[3];
} golden_row;

static const golden_row golden_rows[] = {
""" + ",\n".join(rows) + "\n};\n")
