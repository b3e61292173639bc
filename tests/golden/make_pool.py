"""Writes pool.h: what PyTorch and torchvision compute for the layers of tests/test_pool.c.

    python3 tests/golden/make_pool.py           writes tests/golden/pool.h; needs torchvision for roi_align

Inputs are odd multiples of 0.01 from a fixed seed, rounded to float32. Everything is computed from them in float64
and then rounded to float32.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(20240512)
arrays, rows = [], []


def number(v):
    """The shortest decimal that reads back as the same float."""
    text = np.format_float_positional(np.float32(v), unique=True, trim="-")
    if len(text) > 13:
        text = np.format_float_scientific(np.float32(v), unique=True, trim="-", exp_digits=1)
    return text + ("f" if "." in text or "e" in text else ".0f")


def array(name, t):
    if t is None:
        return "NULL"
    lines = [""]
    for v in t.detach().numpy().ravel():
        item = number(v) + ","
        if len(lines[-1]) + len(item) > 112:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + item
    arrays.append("static const float %s[] = {\n    %s\n};\n" % (name, "\n    ".join(lines)))
    return name


def rand(*shape):
    """Distinct values around 0, never 0 itself."""
    count = int(np.prod(shape))
    n = rng.permutation(count) - count // 2
    return torch.tensor(((2 * n + 1) / 100).astype(np.float32).astype(np.float64).reshape(shape))


def case(name, f, x, boxes=None, indices=None):
    """y = f(x) and the gradient of sum(g*y)."""
    leaf = x.clone().requires_grad_(True)
    y = f(leaf)
    g = rand(*y.shape)
    dx, = torch.autograd.grad((g * y).sum(), leaf)
    parts = [("x", x), ("boxes", boxes), ("indices", indices), ("g", g), ("y", y), ("dx", dx)]
    names = [array(name + "_" + key, t) for key, t in parts]
    rows.append('    { "%s", %d, { %s }, %d, { %s },\n      %s,\n      %s }' % (
        name, x.dim(), ", ".join(map(str, x.shape)), y.dim(), ", ".join(map(str, y.shape)),
        ", ".join(names[:3]), ", ".join(names[3:])))


def unpooled(name, pool, unpool, size, x, **how):
    """Maximum, its indices, and the values put back."""
    indices = pool(x, return_indices=True, **how)[1].to(torch.float64)

    def f(x):
        y, index = pool(x, return_indices=True, **how)
        return unpool(y, index, output_size=size, **how)
    case(name, f, x, indices=indices)


def roi(name, x, boxes, size, **how):
    """boxes [N, R, 4]"""
    n, r = boxes.shape[:2]
    number_of = torch.arange(n).repeat_interleave(r).to(torch.float64)
    flat = torch.cat([number_of[:, None], boxes.reshape(n * r, 4)], 1)
    case(name, lambda x: roi_align(x, flat, size, **how).reshape(n, r, x.shape[1], *size), x, boxes=boxes)


case("max_1d", lambda x: F.max_pool1d(x, 3, 2, 1), rand(2, 3, 9))
case("max_1d_ceil", lambda x: F.max_pool1d(x, 2, 2, ceil_mode=True), rand(2, 2, 7))
case("avg_1d", lambda x: F.avg_pool1d(x, 3, 2, 1), rand(2, 3, 9))
case("avg_1d_exclude", lambda x: F.avg_pool1d(x, 4, 3, 2, ceil_mode=True, count_include_pad=False), rand(2, 2, 8))
case("global_max_1d", lambda x: F.adaptive_max_pool1d(x, 1), rand(2, 3, 5))
case("global_avg_1d", lambda x: F.adaptive_avg_pool1d(x, 1), rand(2, 3, 5))
case("adaptive_avg", lambda x: F.adaptive_avg_pool2d(x, (3, 4)), rand(2, 2, 7, 10))
case("adaptive_max", lambda x: F.adaptive_max_pool2d(x, (3, 4)), rand(2, 2, 7, 10))
case("adaptive_avg_keep", lambda x: F.adaptive_avg_pool2d(x, (None, 2)), rand(1, 2, 5, 7))
case("adaptive_max_larger", lambda x: F.adaptive_max_pool2d(x, (5, 4)), rand(1, 2, 2, 3))
case("adaptive_avg_1d", lambda x: F.adaptive_avg_pool1d(x, 4), rand(2, 3, 11))
case("adaptive_max_1d", lambda x: F.adaptive_max_pool1d(x, 3), rand(2, 3, 8))
unpooled("unpool", F.max_pool2d, F.max_unpool2d, (6, 7), rand(2, 2, 6, 7), kernel_size=2)
unpooled("unpool_pads", F.max_pool2d, F.max_unpool2d, (6, 7), rand(1, 2, 6, 7), kernel_size=3, stride=3, padding=1)
unpooled("unpool_overlap", F.max_pool2d, F.max_unpool2d, (5, 5), rand(2, 1, 5, 5), kernel_size=3, stride=1)
unpooled("unpool_1d", F.max_pool1d, F.max_unpool1d, (9,), rand(2, 2, 9), kernel_size=2)

boxes = torch.tensor([[[0.0, 0, 6, 5], [1.3, 0.6, 4.9, 3.2], [2.5, 2.5, 2.75, 2.625]],
                      [[-3.5, -2, 3, 4], [4.25, 1, 15, 20], [30, 30, 40, 50]]])
roi("roi", rand(2, 2, 6, 7), boxes, (2, 3))
roi("roi_aligned", rand(2, 2, 6, 7), boxes, (2, 3), aligned=True)
roi("roi_scale", rand(2, 1, 6, 7), boxes, (3, 2), spatial_scale=0.5, sampling_ratio=2)
roi("roi_scale_aligned", rand(2, 1, 6, 7), boxes, (3, 3), spatial_scale=0.25, sampling_ratio=3, aligned=True)
turned = torch.tensor([[[5.0, 4, 2, 1], [3, 1, 3, 5]]])
roi("roi_turned", rand(1, 2, 6, 7), turned, (2, 2))
roi("roi_turned_aligned", rand(1, 2, 6, 7), turned, (2, 2), sampling_ratio=2, aligned=True)
roi("roi_one_pixel", rand(1, 2, 1, 1), torch.tensor([[[0.0, 0, 1, 1], [-0.5, -0.5, 2, 2]]]), (2, 2))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pool.h"), "w") as file:
    file.write("/* pool.h - values computed by PyTorch %s. Generated by make_pool.py: change that, not this. */\n"
               % torch.__version__.split("+")[0])
    file.write("#ifndef GOLDEN_POOL_H\n#define GOLDEN_POOL_H\n\n#include <stddef.h>\n\n")
    file.write("/* y = layer(x); dx = gradient of sum(g*y); indices as floats; NULL: there is none */\n"
               "typedef struct pool_golden {\n    const char *name;\n    int x_rank;\n    int x_dim[4];\n"
               "    int y_rank;\n    int y_dim[5];\n    const float *x, *boxes, *indices, *g, *y, *dx;\n"
               "} pool_golden;\n\n")
    file.write("\n".join(arrays))
    file.write("\nstatic const pool_golden pool_goldens[] = {\n%s\n};\n\n#endif\n" % ",\n".join(rows))
