"""Writes training.h: optimizers, schedules, losses, averages as PyTorch has them, for test_optim.c, test_pair_loss.c
and test_fit.c.

    python3 tests/golden/make_training.py          writes tests/golden/training.h

Everything is computed in float64 from float32 inputs and rounded to float32 at the end. LAMB and Lion, which PyTorch
does not have, are written out here from their papers.
"""
import os

import numpy as np
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(20240301)
out = ["""/* training.h - made by make_training.py with PyTorch %s: do not edit. */
#ifndef TRAINING_H
#define TRAINING_H
""" % torch.__version__.split("+")[0]]


def number(v):
    """A decimal that reads back as the same float."""
    text = np.format_float_positional(np.float32(v), unique=True, trim="-")
    if len(text) > 13:
        text = np.format_float_scientific(np.float32(v), unique=True, trim="-", exp_digits=1)
    return text + ("f" if "." in text or "e" in text else ".0f")


def floats(name, values):
    lines = [""]
    for item in map(number, np.asarray(values).ravel()):
        if len(lines[-1]) + len(item) > 90:
            lines.append("")
        lines[-1] += item + ", "
    body = "\n".join("    " + line.rstrip() for line in lines)
    out.append("static const float training_%s[] = {\n%s\n};\n" % (name, body))


def rand(*shape, scale=1.0, low=-100):
    return torch.tensor(np.float32(scale * 0.01 * (rng.integers(low, 100, shape) + 0.5)).astype(np.float64))


# ---- optimizers: all parameters after 10 and after 100 steps -------------------------------------

class Lamb(torch.optim.Optimizer):
    """Y. You et al., arXiv:1904.00962, algorithm 2, phi the identity."""
    def __init__(self, params, lr, weight_decay=0.0, betas=(0.9, 0.999), eps=1e-6):
        super().__init__(params, dict(lr=lr, wd=weight_decay, betas=betas, eps=eps))

    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                s = self.state[p]
                if not s:
                    s.update(t=0, m=np.zeros(p.shape), v=np.zeros(p.shape))
                w, g = p.data.numpy(), p.grad.numpy()
                s["t"] += 1
                s["m"] = b1 * s["m"] + (1 - b1) * g
                s["v"] = b2 * s["v"] + (1 - b2) * g * g
                d = s["m"] / (1 - b1 ** s["t"]) / (np.sqrt(s["v"] / (1 - b2 ** s["t"])) + group["eps"])
                d = d + group["wd"] * w
                norms = np.linalg.norm(w), np.linalg.norm(d)
                w -= group["lr"] * (norms[0] / norms[1] if min(norms) > 0 else 1.0) * d


class Lion(torch.optim.Optimizer):
    """X. Chen et al., arXiv:2302.06675, algorithm 2."""
    def __init__(self, params, lr, weight_decay=0.0, betas=(0.9, 0.99)):
        super().__init__(params, dict(lr=lr, wd=weight_decay, betas=betas))

    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].get("m", np.zeros(p.shape))
                w, g = p.data.numpy(), p.grad.numpy()
                w -= group["lr"] * (np.sign(b1 * m + (1 - b1) * g) + group["wd"] * w)
                self.state[p]["m"] = b2 * m + (1 - b2) * g


def optimizer_cases():
    """Regression by 3 -> 4 tanh -> 2 on 8 samples; parameters flat: fc1.weight, fc1.bias, fc2.weight, fc2.bias; the
    last starts at zero."""
    x, target = rand(8, 3), rand(8, 2)
    start = [rand(4, 3, scale=0.7), rand(4, scale=0.3), rand(2, 4, scale=0.7), torch.zeros(2)]
    floats("x", x)
    floats("target", target)
    floats("start", torch.cat([p.ravel() for p in start]))

    def run(name, make):
        ps = [p.clone().requires_grad_(True) for p in start]
        optimizer = make(ps)
        values = []
        for step in range(1, 101):
            optimizer.zero_grad()
            y = F.linear(torch.tanh(F.linear(x, ps[0], ps[1])), ps[2], ps[3])
            F.mse_loss(y, target).backward()
            optimizer.step()
            if step in (10, 100):
                values += [p.detach().clone().ravel() for p in ps]
        floats(name, torch.cat(values))
    O = torch.optim
    run("sgd", lambda p: O.SGD(p, lr=0.1))
    run("sgd_decay", lambda p: O.SGD(p, lr=0.1, weight_decay=0.05))
    run("momentum", lambda p: O.SGD(p, lr=0.05, momentum=0.9))
    run("momentum_decay", lambda p: O.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.02))
    run("mean_momentum", lambda p: O.SGD(p, lr=0.1, momentum=0.9, dampening=0.9))
    run("nesterov", lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True))
    run("nesterov_decay", lambda p: O.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.02))
    run("adam", lambda p: O.Adam(p, lr=0.02))
    run("adam_decay", lambda p: O.Adam(p, lr=0.02, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.05))
    run("adamw", lambda p: O.AdamW(p, lr=0.02, weight_decay=0.1))
    run("rmsprop_decay", lambda p: O.RMSprop(p, lr=0.001, centered=True, eps=1e-2, weight_decay=0.05))
    run("amsgrad_decay", lambda p: O.Adam(p, lr=0.02, amsgrad=True, betas=(0.9, 0.9), weight_decay=0.05))
    run("sgd_dampening", lambda p: O.SGD(p, lr=0.1, momentum=0.9, dampening=0.9, weight_decay=0.01))
    run("adagrad", lambda p: O.Adagrad(p, lr=0.05))
    run("adagrad_decay", lambda p: O.Adagrad(p, lr=0.05, weight_decay=0.05))
    run("adadelta", lambda p: O.Adadelta(p, lr=1.0))
    run("adadelta_decay", lambda p: O.Adadelta(p, lr=0.5, rho=0.8, eps=1e-5, weight_decay=0.05))
    run("rmsprop", lambda p: O.RMSprop(p, lr=0.002))
    run("rmsprop_momentum", lambda p: O.RMSprop(p, lr=0.001, momentum=0.8, weight_decay=0.05))
    run("rmsprop_centered", lambda p: O.RMSprop(p, lr=0.001, alpha=0.9, centered=True, eps=1e-2))
    run("rmsprop_both", lambda p: O.RMSprop(p, lr=0.001, centered=True, momentum=0.5, eps=1e-2))
    run("amsgrad", lambda p: O.Adam(p, lr=0.02, amsgrad=True, betas=(0.9, 0.9)))
    run("amsgrad_adamw", lambda p: O.AdamW(p, lr=0.02, amsgrad=True, betas=(0.9, 0.9), weight_decay=0.1))
    run("adamax", lambda p: O.Adamax(p, lr=0.01))
    run("adamax_decay", lambda p: O.Adamax(p, lr=0.01, betas=(0.8, 0.95), weight_decay=0.05))
    run("nadam", lambda p: O.NAdam(p, lr=0.01))
    run("nadam_decay", lambda p: O.NAdam(p, lr=0.01, weight_decay=0.05, momentum_decay=0.02))
    run("lamb", lambda p: Lamb(p, 0.01))
    run("lamb_decay", lambda p: Lamb(p, 0.02, 0.1))
    run("lion", lambda p: Lion(p, 0.002))
    run("lion_decay", lambda p: Lion(p, 0.002, 0.1))


# ---- averages of the weights: torch.optim.swa_utils, buffers copied -------------------------------

def average_cases():
    """3 -> 4, batch norm, tanh -> 2 on 8 samples, 12 steps: the averages, then the weights. Each as fc1.weight,
    fc1.bias, bn.weight, bn.bias, fc2.weight, fc2.bias, bn.running_mean, bn.running_var."""
    N = torch.nn
    x, target = rand(8, 3), rand(8, 2)
    model = N.Sequential(N.Linear(3, 4), N.BatchNorm1d(4), N.Tanh(), N.Linear(4, 2))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(rand(*p.shape, scale=0.8))

    def flat(m):
        return torch.cat([p.detach().ravel() for p in list(m.parameters()) + [m[1].running_mean, m[1].running_var]])
    floats("average_x", x)
    floats("average_target", target)
    floats("average_start", flat(model))
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(12):
        optimizer.zero_grad()
        F.mse_loss(model(x), target).backward()
        optimizer.step()
        average.update_parameters(model)
    floats("average", torch.cat([flat(average.module), flat(model)]))


# ---- losses: the value, then the gradients of prediction and (where given) target ----------------

def loss_cases():
    def run(name, loss, a, b, wanted=True):
        a = a.clone().requires_grad_(True)
        b = b.clone().requires_grad_(wanted)
        value = loss(a, b)
        value.backward()
        floats(name + "_a", a.detach())
        floats(name + "_b", b.detach())
        parts = [value.detach().reshape(1), a.grad.ravel()] + ([b.grad.ravel()] if wanted else [])
        floats(name, torch.cat(parts))

    def focal(x, t, gamma, alpha):
        """T.-Y. Lin et al., arXiv:1708.02002, as torchvision.ops.sigmoid_focal_loss, mean."""
        p = torch.sigmoid(x)
        q = p * (1 - t) + (1 - p) * t
        at = alpha * t + (1 - alpha) * (1 - t) if alpha >= 0 else 1.0
        return (at * q ** gamma * F.binary_cross_entropy_with_logits(x, t, reduction="none")).mean()

    def dice(p, t):
        """F. Milletari et al., arXiv:1606.04797: one minus their coefficient, mean over the samples."""
        p, t = p.flatten(1), t.flatten(1)
        return (1 - (2 * (p * t).sum(1) + 1) / ((p * p).sum(1) + (t * t).sum(1) + 1)).mean()
    a, b = rand(5, 6, scale=3), rand(5, 6, scale=3)
    run("mae", F.l1_loss, a, b)
    run("huber", lambda x, t: F.huber_loss(x, t, delta=0.75), a, b)
    run("smooth_l1", lambda x, t: F.smooth_l1_loss(x, t, beta=0.5), a, b)
    run("msle", lambda x, t: F.mse_loss(torch.log1p(x), torch.log1p(t)), rand(5, 6, low=0), rand(5, 6, low=0))
    run("hinge", lambda x, t: F.relu(1 - x * t).mean(), a, torch.sign(b), False)
    run("kl", lambda x, t: F.kl_div(x, t, reduction="batchmean"), torch.log_softmax(a, 1).float().double(),
        torch.softmax(b, 1).float().double(), False)
    zero = torch.softmax(b, 1).float().double() * (b > 0)
    run("kl_zero", lambda x, t: F.kl_div(x, t, reduction="batchmean"), torch.log_softmax(a, 1).float().double(),
        zero, False)
    hard = (b > 0).double()
    run("focal", lambda x, t: focal(x, t, 2.0, 0.25), a, hard, False)
    run("focal_plain", lambda x, t: focal(x, t, 1.5, -1.0), a, rand(5, 6, low=0), True)
    run("dice", dice, rand(5, 6, low=0), hard)
    labels = torch.tensor([3, 0, 5, 1, 2])
    run("nll", lambda x, t: F.nll_loss(x, labels), torch.log_softmax(a, 1).float().double(), labels.double(), False)
    run("margin", lambda x, t: F.multi_margin_loss(x, labels), a, labels.double(), False)


# ---- schedules -----------------------------------------------------------------------------------

def schedule_cases():
    S = torch.optim.lr_scheduler

    def rates(name, make, count, losses=None):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
        schedule = make(optimizer)
        values = []
        for i in range(count):
            values.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step(*([losses[i]] if losses else []))
        floats("schedule_" + name, values)
    rates("multi_step", lambda o: S.MultiStepLR(o, [2, 5, 9], gamma=0.3), 12)
    rates("polynomial", lambda o: S.PolynomialLR(o, 30, power=2.0), 30)
    rates("restarts", lambda o: S.CosineAnnealingWarmRestarts(o, 10, T_mult=2, eta_min=0.05), 80)
    rates("restarts_equal", lambda o: S.CosineAnnealingWarmRestarts(o, 10), 30)
    rates("cyclic", lambda o: S.CyclicLR(o, 0.05, 0.5, step_size_up=10, cycle_momentum=False), 50)
    losses = [5, 4, 4, 4, 3.9998, 3, 3, 3, 3, 3, 2, 2.5, 2.5, 2.5, 2.5, 2.5]
    floats("plateau_losses", losses)
    rates("plateau", lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=2), 16, losses)


optimizer_cases()
loss_cases()
schedule_cases()
average_cases()
out.append("#endif /* TRAINING_H */\n")
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "training.h"), "w", encoding="ascii", newline="\n") as f:
    f.write("\n".join(out))
