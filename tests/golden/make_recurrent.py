"""Writes recurrent.h: what torch.nn.RNN, LSTM and GRU compute, as C arrays for tests/test_recurrent.c.

    python3 tests/golden/make_recurrent.py          writes tests/golden/recurrent.h

Parameters and inputs are odd multiples of 0.01 from a fixed seed, rounded to float32. Everything is computed from them
in float64 and rounded to float32. The gradients are those of sum(g*y) + sum(gh*h_n) + sum(gc*c_n). Parameters and
their gradients follow each other in the order of named_parameters(). States are written batch first.
"""
import os
import textwrap

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(20240402)
arrays, rows = [], []


def number(v):
    """The shortest decimal that reads back as the same float."""
    text = np.format_float_positional(np.float32(v), unique=True, trim="-")
    if len(text) > 13:
        text = np.format_float_scientific(np.float32(v), unique=True, trim="-", exp_digits=1)
    return text + ("f" if "." in text or "e" in text else ".0f")


def rand(*shape):
    """Values around 0 with two decimals, never 0 itself."""
    n = np.round(rng.uniform(-1, 1, shape) * 45)
    return torch.tensor(((2 * n + 1) / 100).astype(np.float32).astype(np.float64))


def array(name, tensors):
    if tensors is None:
        return "NULL"
    lines = [""]
    for v in np.concatenate([t.detach().numpy().ravel() for t in tensors]):
        item = number(v) + ","
        if len(lines[-1]) + len(item) > 108:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + item
    arrays.append("static const float %s[] = {\n    %s\n};\n" % (name, "\n    ".join(lines)))
    return name


def turned(state):
    """[layers*directions, N, H] -> [N, layers*directions, H]"""
    return None if state is None else [state.transpose(0, 1)]


def case(name, kind, n, t, c, h, layers=1, bidirectional=False, bias=True, relu=False, states=False, lengths=None):
    options = dict(num_layers=layers, bidirectional=bidirectional, bias=bias, batch_first=True)
    if kind == "RNN":
        options["nonlinearity"] = "relu" if relu else "tanh"
    module = getattr(torch.nn, kind)(c, h, **options)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(rand(*p.shape))
    x = rand(n, t, c).requires_grad_(True)
    runs = layers * (2 if bidirectional else 1)
    first = [rand(runs, n, h).requires_grad_(True) for _ in range(2 if kind == "LSTM" else 1)]
    given = None if not states else tuple(first) if kind == "LSTM" else first[0]
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False) if lengths else x
    y, last = module(packed, given)
    if lengths:
        y, _ = pad_packed_sequence(y, batch_first=True, total_length=t)
    hn, cn = last if kind == "LSTM" else (last, None)
    g, gh = rand(*y.shape), rand(*hn.shape)
    gc = rand(*hn.shape) if kind == "LSTM" else None
    total = (g * y).sum() + (gh * hn).sum()
    if cn is not None:
        total = total + (gc * cn).sum()
    leaves = [x] + (first if states else []) + list(module.parameters())
    grads = list(torch.autograd.grad(total, leaves))
    dstates = grads[1:1 + len(first)] if states else []
    dparams = grads[1 + len(dstates):]
    c0 = turned(first[1]) if states and kind == "LSTM" else None
    parts = [("x", [x]), ("h0", turned(first[0]) if states else None), ("c0", c0),
             ("params", list(module.parameters())), ("y", [y]), ("hn", turned(hn)), ("cn", turned(cn)), ("g", [g]),
             ("gh", turned(gh)), ("gc", turned(gc)), ("dx", [grads[0]]),
             ("dh0", turned(dstates[0]) if states else None), ("dc0", turned(dstates[1]) if c0 else None),
             ("dparams", dparams)]
    pointers = textwrap.fill(", ".join(array("%s_%s" % (name, key), v) for key, v in parts), 110)
    names = textwrap.fill(" ".join(k for k, _ in module.named_parameters()), 105, drop_whitespace=False)
    size = [n, t, c, h, layers, int(bidirectional), int(not bias), int(relu)]
    steps = (lengths or [0] * n) + [0] * (4 - n)
    rows.append('    { "%s", %d, { %s }, { %s },\n      "%s",\n      %s }' % (
        name, ["RNN", "LSTM", "GRU"].index(kind), ", ".join(map(str, size)), ", ".join(map(str, steps)),
        names.replace("\n", '"\n      "'), pointers.replace("\n", "\n      ")))


case("rnn", "RNN", 2, 4, 3, 3)
case("rnn_relu", "RNN", 2, 3, 2, 3, relu=True, states=True)
case("rnn_deep", "RNN", 3, 4, 2, 2, layers=2, bidirectional=True, states=True, lengths=[2, 4, 1])
case("lstm", "LSTM", 2, 4, 3, 2)
case("lstm_plain", "LSTM", 2, 3, 2, 3, bias=False, states=True)
case("lstm_deep", "LSTM", 3, 4, 3, 2, layers=2, bidirectional=True, states=True)
case("lstm_packed", "LSTM", 4, 5, 2, 3, layers=2, bidirectional=True, states=True, lengths=[3, 5, 1, 4])
case("gru", "GRU", 2, 4, 3, 2)
case("gru_plain", "GRU", 2, 3, 2, 3, bias=False, states=True)
case("gru_deep", "GRU", 3, 4, 2, 2, layers=3, bidirectional=True, states=True)
case("gru_packed", "GRU", 4, 4, 2, 3, layers=2, bidirectional=True, states=True, lengths=[4, 2, 3, 1])

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "recurrent.h"), "w") as file:
    file.write("/* recurrent.h - made by make_recurrent.py with PyTorch %s */\n" % torch.__version__.split("+")[0])
    file.write("\n".join(arrays))
    file.write("""
typedef struct golden_row {
    const char *name;
    int kind;                   /* 0 RNN, 1 LSTM, 2 GRU */
    int size[8];                /* N, T, C, H, layers, bidirectional, no_bias, relu */
    int lengths[4];             /* 0: none */
    const char *names;          /* of the parameters, in their order */
    const float *x, *h0, *c0, *params, *y, *hn, *cn, *g, *gh, *gc, *dx, *dh0, *dc0, *dparams;
} golden_row;

static const golden_row golden_rows[] = {
""" + ",\n".join(rows) + "\n};\n")
