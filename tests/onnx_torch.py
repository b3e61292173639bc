#!/usr/bin/env python3
"""Models written by PyTorch's exporters, against onnxruntime.

    onnx_torch.py ONNX_RUN [NAME ...]        ONNX_RUN: the program that examples/onnx_run.c becomes

Needs torch, onnx, onnxruntime, onnxscript. Each net is exported by both exporters at opsets 11, 17, 20 (where the
exporter can), run by onnxruntime and by the library, which must agree to 1e-4 relative to the largest value. Nets with
an open batch are run at batches 1 and 3. Prints "N passed, N failed"."""
import contextlib, logging, os, subprocess, sys, tempfile, warnings

import numpy as np
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


class ViTBlock(nn.Module):
    def __init__(self, dim=24, heads=3):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def attend(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v)

    def forward(self, x):
        N, T, C = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(N, T, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        x = x + self.proj(self.attend(q, k, v).transpose(1, 2).reshape(N, T, C))
        return x + self.mlp(self.norm2(x))


class ViTBlockByHand(ViTBlock):
    """timm's and Hugging Face's way: products and softmax spelled out."""

    def attend(self, q, k, v):
        return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v


class ViT(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.patch = nn.Conv2d(3, dim, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.position = nn.Parameter(torch.randn(1, 17, dim) * 0.02)
        self.blocks = nn.Sequential(ViTBlock(dim), ViTBlock(dim))
        self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, dim=12):
        super().__init__()
        self.down = nn.Sequential(LayerNorm2d(dim), nn.Conv2d(dim, dim, 2, 2))
        self.conv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(approximate="tanh"), nn.Linear(4 * dim, dim))
        self.scale = nn.Parameter(torch.rand(dim, 1, 1))

    def forward(self, x):
        x = self.down(x)
        y = self.mlp(self.norm(self.conv(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x + self.scale * y


class SqueezeExcite(nn.Module):
    def __init__(self, c, r):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(c, r, 1), nn.Conv2d(r, c, 1)

    def forward(self, x):
        return x * F.hardsigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


def cba(i, o, k, s=1, g=1, act=nn.Hardswish):
    return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o, eps=1e-3), act())


class MobileNetV3(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = cba(3, 8, 3, 2)
        self.block1 = nn.Sequential(cba(8, 16, 1, act=nn.ReLU), cba(16, 16, 3, 1, 16, nn.ReLU), SqueezeExcite(16, 8),
                                    nn.Conv2d(16, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.block2 = nn.Sequential(cba(8, 24, 1), cba(24, 24, 5, 2, 24), SqueezeExcite(24, 8), nn.Conv2d(24, 12, 1),
                                    nn.BatchNorm2d(12))
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 20), nn.Hardswish(), nn.Dropout(0.2),
                                  nn.Linear(20, 10))

    def forward(self, x):
        x = self.stem(x)
        return self.head(self.block2(x + self.block1(x)))


class Bottleneck(nn.Module):
    def __init__(self, i, c, s):
        super().__init__()
        self.f = nn.Sequential(cba(i, c, 1, act=nn.ReLU), cba(c, c, 3, s, 2, nn.ReLU), nn.Conv2d(c, 4 * c, 1, bias=False),
                               nn.BatchNorm2d(4 * c))
        self.down = nn.Sequential(nn.Conv2d(i, 4 * c, 1, s, bias=False), nn.BatchNorm2d(4 * c))

    def forward(self, x):
        return F.relu(self.f(x) + self.down(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.body = nn.Sequential(Bottleneck(8, 4, 1), Bottleneck(16, 8, 2))
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(self.body(self.stem(x)), (1, 1)), 1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (self.two(3, 6), self.two(6, 12), self.two(12, 24))
        self.up1, self.d1 = nn.ConvTranspose2d(24, 12, 2, 2), self.two(24, 12)
        self.d0, self.out = self.two(18, 6), nn.Conv2d(6, 2, 1)

    @staticmethod
    def two(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.InstanceNorm2d(o, affine=True), nn.LeakyReLU(0.1),
                             nn.Conv2d(o, o, 3, padding=1), nn.GroupNorm(2, o), nn.SiLU())

    def forward(self, x):
        a = self.a(x)
        b = self.b(F.max_pool2d(a, 2))
        x = self.d1(torch.cat([self.up1(self.c(F.avg_pool2d(b, 2))), b], 1))
        x = self.d0(torch.cat([F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), a], 1))
        return torch.sigmoid(self.out(x))


class Recurrent(nn.Module):
    def __init__(self, kind, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(5, 7, batch_first=True, **options)
        self.fc = nn.Linear(14 if options.get("bidirectional") else 7, 3)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class States(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru = nn.LSTM(5, 4, batch_first=True, bidirectional=True), nn.GRU(8, 3, batch_first=True)

    def forward(self, x):
        y, (h, c) = self.lstm(x)
        return self.gru(y)[1].squeeze(0) + h[0, :, :3] * c[1, :, 1:]


class MultiHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Activations(nn.Module):
    def forward(self, x):
        y = F.gelu(x) + F.gelu(x, approximate="tanh") + F.silu(x) + F.mish(x) + F.hardswish(x) + F.hardsigmoid(x)
        return y + x * (F.relu6(x + 3) / 6) + x * torch.sigmoid(x) + F.elu(x) + F.softplus(x) + F.hardtanh(x)


class Pools(nn.Module):
    def forward(self, x):
        a = F.max_pool2d(x, 3, 2, 1, dilation=1, ceil_mode=True)
        b = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False, ceil_mode=True)
        c = F.max_pool2d(x, 3, 2, 2 // 2, dilation=1, ceil_mode=True)
        return a + b * c


class Volume(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv3d(2, 4, 3, padding=1), nn.BatchNorm3d(4)
        self.up = nn.ConvTranspose3d(4, 3, 2, 2)

    def forward(self, x):
        x = F.relu(self.norm(self.conv(x)))
        x = self.up(F.max_pool3d(x, 2) + F.avg_pool3d(x, 2))
        return F.adaptive_avg_pool3d(x, 1).flatten(1)


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Conv1d(3, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2),
                               nn.Conv1d(8, 6, 3, dilation=2, groups=2), nn.Tanh(), nn.AvgPool1d(3, 1),
                               nn.ConvTranspose1d(6, 4, 4, 2, 1), nn.Flatten(), nn.Linear(32, 5), nn.Softmax(-1))

    def forward(self, x):
        return self.f(x)


class NormByHand(nn.Module):
    """A layer norm in primitives, as older code and older exporters have it."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.rand(12)), nn.Parameter(torch.randn(12))

    def forward(self, x):
        d = x - x.mean(-1, keepdim=True)
        return d / torch.sqrt((d ** 2).mean(-1, keepdim=True) + 1e-6) * self.weight + self.bias


class Products(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 6))

    def forward(self, x):                       # [N, 3, 4]
        y = x @ self.w                          # [N, 3, 6]
        z = torch.bmm(y.transpose(1, 2), x)     # [N, 6, 4]
        return torch.einsum("bij,bkj->bik", z, x) + F.normalize(y, dim=-1).transpose(1, 2)[:, :, :3]


NETS = {    # name: net, shape of a sample
    "vit_block": (ViTBlock, (6, 24)), "vit_block_by_hand": (ViTBlockByHand, (6, 24)), "vit": (ViT, (3, 32, 32)),
    "convnext": (ConvNeXtBlock, (12, 14, 10)), "mobilenet_v3": (MobileNetV3, (3, 32, 32)), "resnet": (ResNet, (3, 40, 33)),
    "unet": (UNet, (3, 16, 24)), "rnn": (lambda: Recurrent("RNN"), (6, 5)),
    "rnn_relu": (lambda: Recurrent("RNN", nonlinearity="relu"), (6, 5)), "lstm": (lambda: Recurrent("LSTM"), (6, 5)),
    "lstm_both": (lambda: Recurrent("LSTM", bidirectional=True), (6, 5)),
    "lstm_two": (lambda: Recurrent("LSTM", num_layers=2), (6, 5)), "gru": (lambda: Recurrent("GRU"), (6, 5)),
    "gru_both": (lambda: Recurrent("GRU", bidirectional=True, bias=False), (6, 5)), "states": (States, (6, 5)),
    "multi_head": (MultiHead, (5, 16)), "activations": (Activations, (3, 8)), "pools": (Pools, (2, 9, 12)),
    "encoder": (lambda: nn.TransformerEncoderLayer(16, 4, 32, activation="gelu", batch_first=True), (5, 16)),
    "volume": (Volume, (2, 4, 6, 8)), "line": (Line, (3, 20)), "norm_by_hand": (NormByHand, (5, 12)),
    "products": (Products, (3, 4)),
}


def randomize(net):
    """Running statistics and norms that are not the ones of a new net."""
    for m in net.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            m.running_mean.normal_()
            m.running_var.uniform_(0.5, 2)
        if isinstance(m, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias)


@contextlib.contextmanager
def silence():
    """Nothing on the terminal: the exporters' C++ prints too."""
    sys.stdout.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(os.devnull, "w") as nowhere:
        for i in (1, 2):
            os.dup2(nowhere.fileno(), i)
        try:
            yield
        finally:
            sys.stdout.flush()
            for i in (1, 2):
                os.dup2(kept[i - 1], i)
                os.close(kept[i - 1])


def export(net, x, path, dynamo, opset):
    with silence():
        if dynamo:
            torch.onnx.export(net, (x,), path, dynamo=True, opset_version=opset, verbose=False,
                              dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        else:
            torch.onnx.export(net, (x,), path, dynamo=False, opset_version=opset, input_names=["x"], output_names=["y"],
                              dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})


def compare(run, path, x, folder):
    """None, or what is wrong."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    want = session.run(None, {session.get_inputs()[0].name: x})
    np.save(os.path.join(folder, "x.npy"), x)
    result = subprocess.run([run, path, folder, os.path.join(folder, "x.npy")], capture_output=True, text=True)
    if result.returncode:
        return (result.stdout + result.stderr).strip()
    for output, w in zip(session.get_outputs(), want):
        got = np.load(os.path.join(folder, output.name.replace("/", "_").replace(":", "_") + ".npy"))
        if got.shape != w.shape:
            return f"{output.name}: shape {got.shape}, not {w.shape}"
        error = np.abs(got - w).max() / max(np.abs(w).max(), 1e-6)
        if not error < 1e-4:
            return f"{output.name}: off by {error:.2e}"
    return None


def main():
    run, names = sys.argv[1], sys.argv[2:] or NETS
    passed = failed = 0
    torch.manual_seed(1)
    torch.backends.mha.set_fastpath_enabled(False)      # the exporters do not know its operators
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        for name in names:
            build, shape = NETS[name]
            net = build().eval()
            randomize(net)
            for dynamo, opset in [(False, 11), (False, 17), (False, 20), (True, 18), (True, 20)]:
                path = os.path.join(folder, f"{name}_{int(dynamo)}_{opset}.onnx")
                text = f"{name}, {'dynamo' if dynamo else 'TorchScript'}, opset {opset}"
                try:
                    export(net, torch.randn(2, *shape), path, dynamo, opset)
                except Exception as e:
                    print(f"  not exported  {text}: {str(e).splitlines()[0][:100]}")
                    continue
                for batch in (1, 3):
                    wrong = compare(run, path, np.random.default_rng(batch).standard_normal((batch, *shape)).astype("f"),
                                    folder)
                    passed, failed = passed + (not wrong), failed + bool(wrong)
                    if wrong:
                        print(f"  FAILED  {text}, batch {batch}: {wrong}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
