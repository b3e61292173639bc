"""weights_torch.py - weights of PyTorch in convnet.h: the same numbers come out.

    python3 tests/weights_torch.py [build/weights_torch]        prints N passed, N failed
Needs torch and safetensors.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

tool = sys.argv[1] if len(sys.argv) > 1 else "build/weights_torch"
passed = failed = 0
torch.manual_seed(1)


class BasicBlock(nn.Module):
    def __init__(self, inputs, filters, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (self.downsample(x) if self.downsample else x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2), BasicBlock(16, 16, 1))
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(torch.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))


def sequential():
    layers, c = [], 3
    for i in range(4):
        filters = 6 if i else 5
        layers += [nn.Conv2d(c, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.ReLU()]
        c = filters
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6 * 64, 10))


def shake(model):
    """Values that no layer has by default."""
    for name, p in [*model.named_parameters(), *model.named_buffers()]:
        if p.dtype == torch.float32 and p.dim() == 1:
            p.data.uniform_(0.5, 1.5)
    return model.eval()


def check(name, kind, model, path, x):
    global passed, failed
    folder = os.path.dirname(path)
    np.save(os.path.join(folder, "in.npy"), x.numpy())
    r = subprocess.run([tool, kind, path, os.path.join(folder, "in.npy"), os.path.join(folder, "out.npy")],
                       capture_output=True, text=True)
    error = np.inf
    if r.returncode == 0:
        with torch.no_grad():
            want = model(x).numpy()
        error = np.abs(np.load(os.path.join(folder, "out.npy")) - want).max() / np.abs(want).max()
    ok = error < 1e-5
    passed, failed = passed + ok, failed + (not ok)
    print("ok    " if ok else "FAILED", name, f"{error:.1e}", r.stdout.strip())


with tempfile.TemporaryDirectory() as work:
    path = os.path.join(work, "w.safetensors")
    x = torch.randn(5, 3, 32, 32)
    model = shake(ResNet())
    save_file(model.state_dict(), path)
    check("ResNet, names by rules", "resnet", model, path, x)
    save_file({"module." + k: v for k, v in model.state_dict().items()}, path)
    check("ResNet of DataParallel", "resnet", model, path, x)
    np.savez(path + ".npz", **{k: v.numpy() for k, v in model.state_dict().items()})
    check("ResNet, .npz", "resnet", model, path + ".npz", x)
    save_file({k: v.double() if v.is_floating_point() else v for k, v in model.state_dict().items()}, path)
    check("ResNet, double", "resnet", model, path, x)
    for dtype in torch.float16, torch.bfloat16:
        model = shake(ResNet()).to(dtype)
        save_file(model.state_dict(), path)
        check(f"ResNet, {dtype}", "resnet", model.float(), path, x)
    model = shake(sequential())
    x = torch.randn(5, 3, 8, 8)
    save_file(model.state_dict(), path)
    check("Sequential, by order", "sequential", model, path, x)
    np.savez(path + ".npz", **{k: v.numpy() for k, v in model.state_dict().items()})
    check("Sequential, by order, .npz", "sequential", model, path + ".npz", x)

print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
