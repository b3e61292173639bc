#!/usr/bin/env python3
"""bench_peers.py - what tests/bench_peers.sh measures beside peers_torch.py, with its nets and its clock.

    bench_peers.py PEERS FOLDER export infer:NET                            the net as FOLDER/NET.onnx, for ncnn too
    bench_peers.py PEERS FOLDER LIBRARY:CONFIG ROW [THREADS [SECONDS]]      one row: name,config,threads,median_ms,...

PEERS is the directory of peers_torch.py.
  onnxruntime  run, bound (input and output tensors bound once)   all graph optimisations, spinning workers
  openvino     latency                                            float32 arithmetic, also where the CPU has bfloat16
  ncnn         fp32                                               its defaults, but for float16 and bfloat16
  torch        compile, compile+channels_last                     training by inductor, which compiles C++ at run time
Every library runs in float32 on the same random weights, batch norms with statistics of a training pass."""
import os
import sys
import types

PEERS, FOLDER, WHAT = sys.argv[1:4]
ROW = sys.argv[4] if len(sys.argv) > 4 else ""
THREADS = int(sys.argv[5]) if len(sys.argv) > 5 else 2
SECONDS = float(sys.argv[6]) if len(sys.argv) > 6 else 2.0
LIBRARY, _, CONFIG = WHAT.partition(":")
KIND, _, NET = ROW.partition(":")
MODEL = os.path.join(FOLDER, NET)
sys.path.insert(0, PEERS)
import peers_torch


def evaluated():
    """The net with statistics in its batch norms, and an input."""
    import torch
    torch.manual_seed(1234)
    channels, size = peers_torch.INFER[NET]
    net = peers_torch.models()[NET]()
    net.train()
    with torch.no_grad():
        net(torch.randn(2, channels, size, size))
    net.eval()
    return net, torch.randn(1, channels, size, size)


def export():
    import torch
    net, x = evaluated()
    torch.onnx.export(net, (x,), MODEL + ".onnx", input_names=["x"], output_names=["y"])
    try:
        import pnnx
    except ImportError:
        return
    os.chdir(FOLDER)
    named = torch.nn.Sequential()           # pnnx loads Python that it writes: names must not begin with a digit
    named.add_module("net", net)
    pnnx.export(named, NET + ".pt", x, fp16=False)


def image():
    import numpy
    channels, size = peers_torch.INFER[NET]
    return numpy.random.default_rng(1).standard_normal((1, channels, size, size), dtype=numpy.float32)


def step_onnxruntime():
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(MODEL + ".onnx", options, providers=["CPUExecutionProvider"])
    x = image()
    if CONFIG == "run":
        return lambda: session.run(None, {"x": x})
    bound = session.io_binding()
    bound.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    bound.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_numpy(session.run(None, {"x": x})[0]))
    return lambda: session.run_with_iobinding(bound)


def step_openvino():
    import openvino
    compiled = openvino.Core().compile_model(MODEL + ".onnx", "CPU", {
        "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(image()))
    return request.infer


def step_ncnn():
    import ncnn
    net = ncnn.Net()
    net.opt.num_threads = THREADS
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(MODEL + ".ncnn.param") or net.load_model(MODEL + ".ncnn.bin"):
        sys.exit(1)
    x = ncnn.Mat(image()[0]).clone()

    def step():
        extractor = net.create_extractor()
        extractor.input("in0", x)
        extractor.extract("out0")
    return step


def step_torch():
    import torch
    import torch.nn.functional as F
    torch.set_num_threads(THREADS)
    layout = torch.channels_last if "channels_last" in CONFIG else torch.contiguous_format
    batch, channels, size, classes = peers_torch.TRAIN[NET]
    torch.manual_seed(1234)
    net = torch.compile(peers_torch.models()[NET]().train().to(memory_format=layout))
    x = torch.randn(batch, channels, size, size).to(memory_format=layout)
    y = torch.randint(0, classes, (batch,))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, foreach=True)

    def train():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
    return train


def main():
    if LIBRARY == "export":
        return export()
    step = globals()["step_" + LIBRARY]()
    batch = peers_torch.TRAIN[NET][0] if KIND == "train" else 1
    a = types.SimpleNamespace(threads=THREADS, spread=False)
    peers_torch.emit(a, ROW, CONFIG, peers_torch.timeit(step, 1000, SECONDS), batch)


main()
