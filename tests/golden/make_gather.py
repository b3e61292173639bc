"""Writes gather.h: what PyTorch computes for the layers that move and interpolate elements, for tests/test_gather.c.

    python3 tests/golden/make_gather.py          writes tests/golden/gather.h

Inputs are multiples of 0.25 from a fixed seed. Everything is computed in float64 and rounded to float32.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

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


def rand(*shape):
    return torch.tensor(rng.integers(-8, 9, shape) * 0.25)


def case(name, f, *inputs, index=None):
    """y = f(inputs[, index]) and the gradients of sum(g*y)."""
    x = [t.clone().requires_grad_(True) for t in inputs]
    y = f(*x) if index is None else f(*x, index)
    g = rand(*y.shape)
    y.backward(g)
    names = [array("%s_x%d" % (name, i), t) for i, t in enumerate(x)] + ["NULL"]
    dx = [array("%s_dx%d" % (name, i), t.grad) for i, t in enumerate(x)] + ["NULL"]
    rows.append('    { "%s", %d, %s, %s, %s, %s, %s, %s, %s }' % (
        name, y.numel(), names[0], names[1], "NULL" if index is None else array(name + "_index", index.double()),
        array(name + "_y", y), array(name + "_g", g), dx[0], dx[1]))


image = (2, 3, 4, 5)
case("flip", lambda x: x.flip(2), rand(*image))
case("tile", lambda x: x.tile(1, 2, 1, 3), rand(*image))
case("index_select", lambda x: x.index_select(3, torch.tensor([4, 0, 0, 2])), rand(*image))
case("pad_constant", lambda x: F.pad(x, (1, 2, -1, 3), value=0.75), rand(*image))
case("pad_reflect", lambda x: F.pad(x, (4, 2, 3, 1), "reflect"), rand(*image))
case("pad_replicate", lambda x: F.pad(x, (1, 6, 2, 1), "replicate"), rand(*image))
case("pad_circular", lambda x: F.pad(x, (5, 2, 1, 4), "circular"), rand(*image))
case("gather", lambda x, i: x.gather(2, i), rand(*image), index=torch.tensor(rng.integers(0, 4, (2, 2, 6, 5))))
case("scatter", lambda x, u, i: x.scatter(2, i, u), rand(*image), rand(2, 3, 2, 4),
     index=torch.stack([torch.tensor(rng.permutation(4)[:2]) for _ in range(24)]).reshape(2, 3, 4, 2).transpose(2, 3))
case("scatter_add", lambda x, u, i: x.scatter_add(3, i, u), rand(*image), rand(2, 3, 4, 7),
     index=torch.tensor(rng.integers(0, 5, (2, 3, 4, 7))))
case("linear", lambda x: F.interpolate(x, (7, 3), mode="bilinear"), rand(*image))
case("linear_corners", lambda x: F.interpolate(x, (7, 3), mode="bilinear", align_corners=True), rand(*image))
case("cubic", lambda x: F.interpolate(x, (9, 3), mode="bicubic"), rand(*image))
case("cubic_corners", lambda x: F.interpolate(x, (3, 8), mode="bicubic", align_corners=True), rand(*image))
case("antialias", lambda x: F.interpolate(x, (2, 7), mode="bilinear", antialias=True), rand(2, 3, 7, 6))
case("antialias_cubic", lambda x: F.interpolate(x, (3, 2), mode="bicubic", antialias=True, align_corners=False),
     rand(2, 3, 7, 6))
case("nearest", lambda x: F.interpolate(x, (7, 3), mode="nearest-exact"), rand(*image))
case("trilinear", lambda x: F.interpolate(x, (2, 5, 4), mode="trilinear"), rand(2, 2, 3, 4, 3))
for mode in "nearest", "bilinear", "bicubic":
    for padding in "zeros", "border", "reflection":
        for corners in False, True:
            grid = torch.tensor(rng.uniform(-1.9, 1.9, (2, 3, 2, 2)).astype(np.float32).astype(np.float64))
            case("grid_%s_%s_%d" % (mode, padding, corners),
                 lambda x, g: F.grid_sample(x, g, mode, padding, corners), rand(2, 2, 4, 5), grid)
case("grid_volume", lambda x, g: F.grid_sample(x, g, "bilinear", "zeros", False), rand(2, 2, 3, 4, 3),
     torch.tensor(rng.uniform(-1.4, 1.4, (2, 2, 3, 2, 3)).astype(np.float32).astype(np.float64)))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "gather.h"), "w") as out:
    out.write("/* gather.h - made by make_gather.py: PyTorch's values; see there */\n")
    out.write("\n".join(arrays))
    out.write("""
typedef struct gather_golden {
    const char *name;
    int outputs;
    const float *a, *b, *index, *y, *g, *da, *db;
} gather_golden;

static const gather_golden gather_goldens[] = {
""")
    out.write(",\n".join(rows) + "\n};\n")
