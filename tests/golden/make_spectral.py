"""Writes spectral.h: what torch.nn.utils.spectral_norm computes, as C arrays for tests/test_spectral.c.

    python3 tests/golden/make_spectral.py        writes tests/golden/spectral.h

Each case runs a module twice in training mode on two inputs (two power iterations), takes the gradients of
sum(g1*y1) + sum(g2*y2), then predicts. Everything is computed in float64 and rounded to float32.
"""
import os
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn.utils import spectral_norm

warnings.simplefilter("ignore")
torch.set_default_dtype(torch.float64)
torch.manual_seed(11)
arrays = []
rows = []


def array(name, t):
    numbers = [np.format_float_positional(np.float32(v), unique=True, trim="-") for v in t.detach().numpy().ravel()]
    items = [n + ("f" if "." in n else ".0f") for n in numbers]
    lines = [", ".join(items[i:i + 8]) for i in range(0, len(items), 8)]
    arrays.append("static const float %s[] = {\n    %s\n};\n" % (name, ",\n    ".join(lines)))
    return name


def rounded(t):
    return t.float().double()


def case(name, module, shape):
    m = spectral_norm(module)
    with torch.no_grad():
        for p in [m.weight_orig, m.bias, m.weight_u, m.weight_v]:
            p.copy_(rounded(p))
    start = [m.weight_orig.clone(), m.bias.clone(), m.weight_u.clone(), m.weight_v.clone()]
    x = [rounded(torch.randn(shape)).requires_grad_(True) for _ in range(2)]
    y = [m(v) for v in x]
    g = [rounded(torch.randn(v.shape)) for v in y]
    (y[0] * g[0]).sum().add((y[1] * g[1]).sum()).backward()
    m.eval()
    eval_y = m(x[0])
    fields = [("w", start[0]), ("b", start[1]), ("u", start[2]), ("v", start[3]), ("x0", x[0]), ("x1", x[1]),
              ("g0", g[0]), ("g1", g[1]), ("y0", y[0]), ("y1", y[1]), ("dx0", x[0].grad), ("dx1", x[1].grad),
              ("dw", m.weight_orig.grad), ("db", m.bias.grad), ("u2", m.weight_u), ("v2", m.weight_v),
              ("eval", eval_y)]
    rows.append('    { "%s", %d, %d, %d, %d, %s }' % (
        name, m.weight_orig.numel(), m.weight_u.numel(), m.weight_v.numel(), y[0].numel(),
        ", ".join(array("%s_%s" % (name, f), t) for f, t in fields)))


case("dense", nn.Linear(5, 4), (3, 5))
case("conv", nn.Conv2d(3, 4, 3, padding=1), (2, 3, 4, 5))
case("transposed", nn.ConvTranspose2d(3, 4, 3, stride=2), (2, 3, 3, 2))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "spectral.h")
with open(path, "w") as f:
    f.write("/* Made by make_spectral.py with PyTorch; see README.md. */\n")
    f.write("\n".join(arrays))
    f.write("\nstatic const spectral_case spectral_cases[] = {\n%s\n};\n" % ",\n".join(rows))
