"""Writes augment.h: what torchvision 0.29 computes for the warps, colours and crops of tests/test_data.c.

    python3 tests/golden/make_augment.py        writes tests/golden/augment.h (needs torchvision)

The image is one of odd multiples of 0.01 from a fixed seed. torchvision computes in float32.
"""
import os

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from torchvision.transforms import InterpolationMode

C, H, W = 3, 6, 7
rng = np.random.default_rng(20240302)
image = torch.tensor(((2 * np.round(rng.uniform(0, 49, (C, H, W))) + 1) / 100).astype(np.float32))
# angle, shear in degrees, factor, dx, dy
affine = [(0, 20, 1, 0, 0), (25, 0, 0.75, 1, 0), (-40, -15, 1.25, 0, -1), (10, 35, 0.9, -2, 1)]
turns = [0.5, 0.1, -0.3]
# top, left, height, width
crops = [(0, 0, 6, 7), (1, 2, 4, 3), (2, 0, 3, 7)]
ten = (3, 4)


def number(v):
    """The shortest decimal that reads back as the same float."""
    text = np.format_float_positional(np.float32(v), unique=True, trim="-")
    return text + ("f" if "." in text else ".0f")


def write(out, name, rows):
    rows = [np.asarray(r, dtype=np.float32).ravel() for r in rows]
    out.write("static const float %s[%d][%d] = {\n" % (name, len(rows), len(rows[0])))
    for row in rows:
        line = "    { "
        for i, v in enumerate(row):
            text = number(v) + (", " if i + 1 < len(row) else " },")
            if len(line) + len(text) > 116:
                out.write(line.rstrip() + "\n")
                line = "      "
            line += text
        out.write(line.rstrip() + "\n")
    out.write("};\n")


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "augment.h"), "w") as f:
    f.write("/* Made by make_augment.py; do not edit. */\n")
    f.write("enum { GOLDEN_C = %d, GOLDEN_H = %d, GOLDEN_W = %d, GOLDEN_CROP_H = %d, GOLDEN_CROP_W = %d };\n"
            % (C, H, W, ten[0], ten[1]))
    write(f, "golden_image", [image])
    write(f, "golden_affine_how", affine)
    write(f, "golden_affine",
          [F.affine(image, angle=float(a), translate=[dx, dy], scale=float(s), shear=[float(p), 0.0],
                    interpolation=InterpolationMode.BILINEAR) for a, p, s, dx, dy in affine])
    write(f, "golden_turn", [turns])
    write(f, "golden_hue", [F.adjust_hue(image, t) for t in turns])
    write(f, "golden_crop_box", crops)
    write(f, "golden_crop", [F.resized_crop(image, t, l, h, w, [H, W], antialias=False) for t, l, h, w in crops])
    write(f, "golden_ten", F.ten_crop(image, list(ten)))
