"""Real ONNX models: build/onnx_run beside onnxruntime, and the test vectors that come with the models.
    python3 tests/onnx_models.py ONNX_RUN MODELS      ONNX_RUN: the program; MODELS: folder of the .onnx files
Largest difference of an output over its largest element: at most 1e-4. The last line is N passed, N failed."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

onnxruntime.set_default_logger_severity(3)

OPEN = {"ch_ppocr_mobile_v2.0_cls_infer.onnx": [2, 3, 48, 192], "squeezenet_cifar10.onnx": [3, 32, 32, 3]}
RANGE = {"mnist-8/model.onnx": 255, "yunet_s_320_320.onnx": 255}


def find(folder):
    for root, _, files in sorted(os.walk(folder)):
        for name in sorted(files):
            if name.endswith(".onnx"):
                yield os.path.relpath(os.path.join(root, name), folder)


def run_ours(program, model, inputs, names):
    """The outputs by name; a text where the program fails."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, x in enumerate(inputs):
            paths.append(os.path.join(folder, f"in{i}.npy"))
            np.save(paths[-1], x)
        r = subprocess.run([program, model, folder] + paths, capture_output=True, text=True)
        if r.returncode:
            return r.stderr.strip() or f"status {r.returncode}"
        return {n: np.load(os.path.join(folder, n.replace("/", "_").replace(":", "_") + ".npy")) for n in names}


def distance(got, want):
    if got.shape != want.shape:
        return f"shape {got.shape}, not {want.shape}"
    return float(np.abs(got.astype(np.float64) - want).max() / max(np.abs(want).max(), 1e-6))


def graph_inputs(model):
    initial = {t.name for t in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in initial]


def check(program, folder, file):
    path = os.path.join(folder, file)
    model = onnx.load(path)
    rng = np.random.default_rng(1)
    inputs = []
    for i in graph_inputs(model):
        shape = OPEN.get(file) or [d.dim_value for d in i.type.tensor_type.shape.dim]
        inputs.append((rng.random(shape) * RANGE.get(file, 1)).astype(np.float32))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    want = dict(zip(names, session.run(None, {i.name: x for i, x in zip(graph_inputs(model), inputs)})))
    got = run_ours(program, path, inputs, names)
    if isinstance(got, str):
        return got
    worst = [distance(got[n], want[n]) for n in names]
    texts = [w for w in worst if isinstance(w, str)]
    return texts[0] if texts else max(worst)


def tensor(path):
    t = onnx.TensorProto()
    with open(path, "rb") as f:
        t.ParseFromString(f.read())
    return numpy_helper.to_array(t)


def vectors(program, folder):
    """(name, model, input, output) of the test data beside the models."""
    mnist = os.path.join(folder, "mnist-8")
    for k in range(3):
        data = os.path.join(mnist, f"test_data_set_{k}")
        yield (f"mnist-8, data set {k}", os.path.join(mnist, "model.onnx"), tensor(os.path.join(data, "input_0.pb")),
               tensor(os.path.join(data, "output_0.pb")))
    n = 3 * 224 * 224
    ramp = (np.arange(n) / n).astype(np.float32).reshape(1, 3, 224, 224)
    for name in ("light_resnet50", "light_squeezenet"):
        yield (name + ", its output", os.path.join(folder, name + ".onnx"), ramp,
               tensor(os.path.join(folder, name + "_output_0.pb")))


def main():
    program, folder = sys.argv[1:3]
    results = [(file, check(program, folder, file)) for file in find(folder)]
    for name, path, x, want in vectors(program, folder):
        output = onnx.load(path).graph.output[0].name
        got = run_ours(program, path, [x], [output])
        results.append((name, got if isinstance(got, str) else distance(got[output], want)))
    passed = 0
    for name, d in results:
        good = not isinstance(d, str) and d <= 1e-4
        passed += good
        print("ok      " if good else "FAILED  ", name, d if isinstance(d, str) else f"{d:.2g}")
    print(f"{passed} passed, {len(results) - passed} failed")
    return passed != len(results)


if __name__ == "__main__":
    sys.exit(main())
