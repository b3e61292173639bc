"""Writes act.h: what PyTorch computes for the activations, as C arrays for tests/test_act.c.

    python3 tests/golden/make_act.py          writes tests/golden/act.h

The points are float32: a grid from -8 to 8, the corners of the piecewise functions, and numbers far out. Values and
slopes are computed from them in float64 and rounded to float32.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(1302)
out = ["/* Written by make_act.py: values of PyTorch " + torch.__version__.split("+")[0] + ". */",
       "#ifndef CONVNET_GOLDEN_ACT_H", "#define CONVNET_GOLDEN_ACT_H", ""]


def number(v):
    """The shortest decimal that reads back as the same float."""
    v = np.float32(v)
    text = np.format_float_positional(v, unique=True, trim="-")
    if len(text) > 13:
        text = np.format_float_scientific(v, unique=True, trim="-", exp_digits=1)
    return text + ("f" if "." in text or "e" in text else ".0f")


def wrap(values):
    lines = [""]
    for item in [number(v) for v in np.asarray(values).ravel()]:
        if len(lines[-1]) + len(item) > 90:
            lines.append("")
        lines[-1] += item + ", "
    return "\n".join("    " + line.rstrip() for line in lines)


def array(name, values):
    out.append("static const float %s[%d] = {\n%s\n};" % (name, np.asarray(values).size, wrap(values)))


grid = np.arange(-33, 34) * 0.243
corners = [-6, -3, -1, 0, 1, 3, 6, 7, -2.9999998, 2.9999998, 5.9999995, 6.0000005, 1e-6, -1e-6, 1e-20, -1e-20]
far = [-9.5, -11.5, -13, -14, -20, -88, -100, -1e3, -1e10, -3e38, 9.5, 12.5, 20, 20.5, 88, 100, 1e3, 1e10, 3e38]
x = np.concatenate([grid, corners, far]).astype(np.float32)
out.append("enum { ACT_POINTS = %d };\n" % x.size)
array("act_x", x)

functions = [
    ("relu6", F.relu6), ("selu", F.selu), ("celu", lambda t: F.celu(t, 0.7)), ("gelu", F.gelu),
    ("gelu_tanh", lambda t: F.gelu(t, approximate="tanh")), ("silu", F.silu), ("mish", F.mish),
    ("hardswish", F.hardswish), ("hardsigmoid", F.hardsigmoid), ("softplus", F.softplus),
    ("softplus_beta", lambda t: F.softplus(t, 1.5, 4)), ("softsign", F.softsign)]
for name, f in functions:
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    y = f(t)
    y.sum().backward()
    array("act_%s_y" % name, y.detach().numpy())
    # far out PyTorch's own slopes of some are inf*0: there the asymptote stands
    array("act_%s_slope" % name, np.where(np.isnan(t.grad.numpy()), x > 0, t.grad.numpy()))
out.append("\ntypedef struct act_golden { const char *name; const float *y, *slope; } act_golden;\n")
out.append("static const act_golden act_goldens[%d] = {" % len(functions))
out += ['    { "%s", act_%s_y, act_%s_slope },' % (n, n, n) for n, _ in functions]
out.append("};\n")


def tensors(name, shape, f, weight=None):
    """x [2, 4, 3, 2], dy, y, dx and, with a weight, w and dw."""
    t = torch.tensor((rng.integers(-150, 150, shape) * 2 + 1) * 0.01, dtype=torch.float32).double().requires_grad_()
    w = None if weight is None else torch.tensor(weight, dtype=torch.float32).double().requires_grad_()
    y = f(t) if w is None else f(t, w)
    dy = torch.tensor(rng.integers(-99, 99, tuple(y.shape)) * 0.01, dtype=torch.float32).double()
    y.backward(dy)
    for part, v in (("x", t), ("dy", dy), ("y", y), ("dx", t.grad)):
        array("act_%s_%s" % (name, part), v.detach().numpy())
    if w is not None:
        array("act_%s_w" % name, w.detach().numpy())
        array("act_%s_dw" % name, w.grad.numpy())


shape = (2, 4, 3, 2)
tensors("prelu_one", shape, F.prelu, [0.25])
tensors("prelu_channels", shape, F.prelu, [0.25, -0.5, 1.5, 0.0])
tensors("glu_1", shape, lambda t: F.glu(t, 1))
tensors("glu_3", shape, lambda t: F.glu(t, 3))
tensors("log_softmax_1", shape, lambda t: F.log_softmax(t, 1))
tensors("log_softmax_2", shape, lambda t: F.log_softmax(t, 2))
tensors("maxout_2", shape, lambda t: t.reshape(2, 2, 2, 3, 2).amax(2))
out.append("\n#endif")
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "act.h"), "w") as file:
    file.write("\n".join(out) + "\n")
