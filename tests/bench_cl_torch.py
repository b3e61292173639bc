#!/usr/bin/env python3
"""bench_cl_torch.py - the rows of bench_cl for PyTorch on the same machine, as CSV: python3 tests/bench_cl_torch.py

  what, name, seconds, rate, share   as bench_cl prints them (share: of the peak that products of float32 reach here)
  precision                          default: PyTorch's own (TF32 in convolutions); fp32: no TF32; tf32: in products too
  --cpu                              the small rows on the CPU, to try the script where there is no GPU

Inputs are random, weights as PyTorch makes them, images in the order that is the faster of two for each row. A time is
the median of five runs of 0.1 s or more behind one to warm up, between two synchronisations. A step is forward, backward
and Adam with zeroed gradients; fit gathers, flips and shifts batches of bytes that lie on the device.
"""
import statistics
import sys
import time

CONVS = [(16, 16, 32, 16, 3, 1), (16, 32, 16, 64, 3, 2), (16, 64, 8, 64, 1, 1),
         (8, 3, 64, 64, 7, 2),
         (128, 64, 32, 64, 3, 1), (128, 128, 16, 128, 3, 1), (128, 256, 8, 256, 3, 1),
         (128, 512, 4, 512, 3, 1), (128, 64, 32, 128, 3, 2), (64, 3, 224, 64, 7, 2),
         (64, 64, 56, 64, 3, 1), (64, 256, 56, 64, 1, 1), (64, 64, 56, 256, 1, 1),
         (64, 128, 28, 128, 3, 1), (64, 512, 7, 512, 3, 1)]     # as in bench_cl.c
SMALL_CONVS = 4
STEPS = [("LeNet-5 batch 64", "lenet", 64, 28, 1), ("MLP 784-512-512-10 batch 64", "mlp", 64, 28, 1),
         ("small VGG batch 64", "vgg", 64, 32, 0), ("ResNet-20 batch 128", "resnet20", 128, 32, 0),
         ("ResNet-18 batch 128", "resnet18", 128, 32, 0), ("ResNet-18 batch 512", "resnet18", 512, 32, 0),
         ("ResNet-18 of 224 batch 64", "resnet18_large", 64, 224, 0)]


class Bench:
    def __init__(self, torch, device, precision):
        self.torch = torch
        self.device = device
        self.precision = precision
        self.peak = 0.0

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def seconds(self, call):
        call()
        self.wait()
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            count = 0
            while True:
                call()
                count += 1
                if count % 8 == 0:
                    self.wait()
                if time.perf_counter() - begin >= 0.1:
                    break
            self.wait()
            times.append((time.perf_counter() - begin) / count)
        return statistics.median(times)

    def row(self, what, name, seconds, rate, of=0.0):
        share = f"{rate / of:.3f}" if of > 0 else ""
        print(f"{what},{name},{seconds:.3g},{rate:.4g},{share},{self.precision}", flush=True)

    def normal(self, *shape):
        return self.torch.randn(*shape, device=self.device)

    def layouts(self, x):
        """x, and where it is an image the same with its channels last."""
        yield x
        if x.dim() == 4:
            yield x.to(memory_format=self.torch.channels_last)


def products(b, small):
    functional = b.torch.nn.functional
    side = 1024 if small else 4096
    x = b.normal(side, side)
    y = b.torch.empty_like(x)
    s = b.seconds(lambda: y.copy_(x))
    b.row("copy", "read and write", s, 8e-9 * side * side / s)
    rows = []
    n = 256
    while n <= (512 if small else 4096):
        x, w, bias = b.normal(n, n), b.normal(n, n), b.normal(n)
        s = b.seconds(lambda: functional.linear(x, w, bias))
        rows.append((n, s, 2e-12 * n ** 3 / s))
        n *= 2
    b.peak = max(rate for _, _, rate in rows)
    for n, s, rate in rows:
        b.row("product", f"{n}^3", s, rate, b.peak)


def convolutions(b, small):
    backward = b.torch.ops.aten.convolution_backward
    for n, channels, size, filters, kernel, stride in CONVS[:SMALL_CONVS] if small else CONVS:
        pad = kernel // 2
        name = f"{n}x{channels}x{size}^2 {filters} of {kernel}x{kernel} /{stride}"
        best = {}
        for x in b.layouts(b.normal(n, channels, size, size)):
            w = b.normal(filters, channels, kernel, kernel)
            if x.is_contiguous(memory_format=b.torch.channels_last) and channels > 1:
                w = w.to(memory_format=b.torch.channels_last)
            bias = b.normal(filters)

            def forward():
                return b.torch.nn.functional.conv2d(x, w, bias, stride, pad)

            def back(mask):
                return lambda: backward(dy, x, w, [filters], [stride] * 2, [pad] * 2, [1, 1], False, [0, 0], 1, mask)
            dy = b.torch.randn_like(forward())
            for what, call in (("forward", forward), ("backward data", back([True, False, False])),
                               ("backward weights", back([False, True, False]))):
                best[what] = min(best.get(what, 1e9), b.seconds(call))
            work = 2e-12 * n * channels * kernel ** 2 * dy[0].numel()
        for what, s in best.items():
            b.row(what, name, s, work / s, b.peak)


def make_model(torch, kind):
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, i, o, stride):
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(i, o, 3, stride, 1), nn.BatchNorm2d(o), nn.ReLU(True),
                                      nn.Conv2d(o, o, 3, 1, 1), nn.BatchNorm2d(o))
            self.short = nn.Identity() if stride == 1 else nn.Sequential(nn.Conv2d(i, o, 1, stride), nn.BatchNorm2d(o))

        def forward(self, x):
            return torch.relu(self.body(x) + self.short(x))

    def resnet(filters, stages, blocks, large):
        layers = [nn.Conv2d(3, filters, 7, 2, 3) if large else nn.Conv2d(3, filters, 3, 1, 1), nn.BatchNorm2d(filters),
                  nn.ReLU(True)]
        if large:
            layers.append(nn.MaxPool2d(2))
        last = filters
        for i in range(stages * blocks):
            width = filters << i // blocks
            layers.append(Block(last, width, 2 if i and i % blocks == 0 else 1))
            last = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(last, 1000 if large else 10))

    def vgg():
        layers, last = [], 3
        for width in (32, 64, 128):
            layers += [nn.Conv2d(last, width, 3, 1, 1), nn.ReLU(True), nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(True),
                       nn.MaxPool2d(2)]
            last = width
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 10))

    if kind == "lenet":
        return nn.Sequential(nn.Conv2d(1, 6, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                             nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                             nn.Linear(84, 10))
    if kind == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                             nn.Linear(512, 10))
    if kind == "vgg":
        return vgg()
    return {"resnet20": lambda: resnet(16, 3, 3, False), "resnet18": lambda: resnet(64, 4, 2, False),
            "resnet18_large": lambda: resnet(64, 4, 2, True)}[kind]()


def macs_of(torch, model, x):
    """Multiplications with weights in a forward pass of the batch x."""
    total = [0]

    def count(module, _, y):
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            total[0] += y.numel() * module.weight[0].numel()
    hooks = [m.register_forward_hook(count) for m in model.modules()]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return total[0]


def make_step(b, model):
    optimizer = b.torch.optim.Adam(model.parameters(), 1e-3, fused=b.device == "cuda")

    def step(x, labels):
        loss = b.torch.nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss
    return step


def steps(b, small):
    for name, kind, batch, size, on_cpu in STEPS:
        if small and not on_cpu:
            continue
        times = []
        for x in b.layouts(b.normal(batch, 1 if size == 28 else 3, size, size)):
            model = make_model(b.torch, kind).to(b.device)
            if not x.is_contiguous():
                model = model.to(memory_format=b.torch.channels_last)
            labels = b.torch.randint(10, (batch,), device=b.device)
            work = 6e-12 * macs_of(b.torch, model, x)
            step = make_step(b, model)
            times.append(b.seconds(lambda: step(x, labels)))
        s = min(times)
        b.row("step", name, s, batch / s, b.peak and batch / s * b.peak / (work / s))


def epoch(b, step, images, labels, batch, last):
    """Batches of bytes on the device: shifted by up to 4 pixels, half of them mirrored, normalised; the loss is read."""
    torch = b.torch
    order = torch.randperm(len(images), device=b.device)
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    total = 0.0
    for at in range(0, len(images) - batch + 1, batch):
        index = order[at:at + batch]
        top, left = torch.randint(9, (2, batch, 1), device=b.device)
        rows = top + torch.arange(32, device=b.device)
        columns = left + torch.arange(32, device=b.device)
        flip = torch.rand(batch, 1, device=b.device) < 0.5
        columns = torch.where(flip, columns.flip(1), columns)
        x = padded[index[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        x = (x.float() / 255 - 0.5) / 0.25
        total += step(x.contiguous(memory_format=torch.channels_last) if last else x.contiguous(), labels[index]).item()
    return total


def fits(b, small):
    torch = b.torch
    samples = 128 if small else 20480
    for name, kind, batch in (("ResNet-20 batch 128", "resnet20", 128), ("ResNet-18 batch 512", "resnet18", 512)):
        if batch > samples:
            continue
        images = torch.randint(256, (samples, 3, 32, 32), dtype=torch.uint8, device=b.device)
        labels = torch.randint(10, (samples,), device=b.device)
        times = []
        for last in (False, True):
            model = make_model(torch, kind).to(b.device)
            if last:
                model = model.to(memory_format=torch.channels_last)
            step = make_step(b, model)
            for _ in range(2):                  # the last one counts
                b.wait()
                begin = time.perf_counter()
                epoch(b, step, images, labels, batch, last)
                b.wait()
                s = time.perf_counter() - begin
            times.append(s)
        b.row("fit", name, min(times), samples / min(times))


def main():
    small = "--cpu" in sys.argv[1:]
    try:
        import torch
    except ImportError:
        print("# no PyTorch: nothing measured")
        return
    if not small and not torch.cuda.is_available():
        print(f"# PyTorch {torch.__version__} finds no CUDA device: nothing measured (--cpu tries the small rows)")
        return
    device = "cpu" if small else "cuda"
    where = "CPU, " + str(torch.get_num_threads()) + " threads" if small else torch.cuda.get_device_name()
    print(f"# PyTorch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}, {where}")
    print("what,name,seconds,rate,share,precision")
    torch.manual_seed(1)
    torch.backends.cudnn.benchmark = True
    own = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    for precision, matmul, cudnn in (("fp32", False, False), ("default", *own), ("tf32", True, True)):
        torch.backends.cuda.matmul.allow_tf32 = matmul
        torch.backends.cudnn.allow_tf32 = cudnn
        b = Bench(torch, device, precision)
        products(b, small)
        convolutions(b, small)
        steps(b, small)
        fits(b, small)
        if small:
            break


if __name__ == "__main__":
    main()
