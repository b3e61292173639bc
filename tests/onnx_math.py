"""The importer's elementwise operators, reductions, order, casts, quantisation, losses beside onnxruntime.

    python3 tests/onnx_math.py build/onnx_run      needs numpy, onnx, onnxruntime; last line: N passed, N failed

Small models with an open batch, run for one sample and for three, of several opsets; constants as operands of every
rank, integers of all widths. What onnxruntime has no kernel for is computed by onnx.reference.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

program = sys.argv[1]
folder = tempfile.mkdtemp()
rng = np.random.default_rng(1)
passed = failed = 0
onnxruntime.set_default_logger_severity(4)


def floats(*shape, low=-3.0, high=3.0, dtype=np.float32):
    return lambda batch: rng.uniform(low, high, (batch,) + shape).astype(dtype)


def ints(*shape, low=-5, high=6, dtype=np.int64):
    return lambda batch: rng.integers(low, high, (batch,) + shape).astype(dtype)


def model_of(nodes, inputs, constants, opset, types):
    graph_inputs = [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(x.dtype), ["N", *x.shape[1:]])
                    for name, x in inputs.items()]
    outputs = [helper.make_tensor_value_info("y%d" % i, t, None) for i, t in enumerate(types)]
    graph = helper.make_graph(nodes, "graph", graph_inputs, outputs,
                              [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def expected(model, inputs):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, inputs)
    except Exception:
        return ReferenceEvaluator(model).run(None, inputs)


def computed(model, inputs, outputs):
    onnx.save(model, folder + "/model.onnx")
    files = []
    for name, x in inputs.items():
        files.append("%s/%s.npy" % (folder, name))
        np.save(files[-1], x)
    run = subprocess.run([program, folder + "/model.onnx", folder] + files, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError((run.stdout + run.stderr).strip())
    result = []
    for i in range(outputs):
        result.append(np.load("%s/y%d.npy" % (folder, i)))
        os.remove("%s/y%d.npy" % (folder, i))
    return result


def check(nodes, inputs, constants=None, opset=17, types=(T.FLOAT,), batches=(1, 3)):
    """nodes: helper nodes from the names in inputs and constants to y0, y1, ...; inputs: name -> array of a batch."""
    global passed, failed
    nodes = nodes if isinstance(nodes, list) else [nodes]
    for batch in batches:
        x = {name: make(batch) for name, make in inputs.items()}
        model = model_of(nodes, x, constants or {}, opset, types)
        problem = None
        try:
            want = [np.asarray(y) for y in expected(model, x)]
            got = computed(model, x, len(types))
            for i, (y, w) in enumerate(zip(got, want)):
                inexact = types[i] in (T.FLOAT, T.FLOAT16, T.DOUBLE)
                near = dict(rtol=1e-4 * inexact, atol=1e-5 * inexact)
                y, w = y.astype(np.float64), w.astype(np.float64)
                if y.shape != w.shape:
                    problem = "output %d has shape %s, not %s" % (i, y.shape, w.shape)
                elif not np.allclose(y, w, equal_nan=True, **near):
                    at = np.argmax(~np.isclose(y, w, equal_nan=True, **near))
                    problem = "output %d at %d: %.9g, not %.9g" % (i, at, y.ravel()[at], w.ravel()[at])
        except RuntimeError as error:
            problem = str(error)
        if problem:
            failed += 1
            print("FAILED batch %d, opset %d, constants %s: %s\n       %s" %
                  (batch, opset, {k: np.shape(v) for k, v in (constants or {}).items()},
                   helper.printable_node(nodes[-1]), problem))
        else:
            passed += 1


def node(op, *inputs, outputs=("y0",), **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


image = floats(3, 4, 5)

# ---- functions
for op in ("Abs Asinh Atan Ceil Cos Cosh Erf Exp Floor HardSwish Neg Reciprocal Relu Round Sigmoid Sign Sin Sinh "
           "Softsign Tan Tanh").split():
    check(node(op, "x"), {"x": floats(3, 5)})
for op in ("Acosh", "Log", "Sqrt"):
    check(node(op, "x"), {"x": floats(3, 5, low=1)})
for op in ("Acos", "Asin", "Atanh"):
    check(node(op, "x"), {"x": floats(3, 5, low=-0.9, high=0.9)})
special = {"x": lambda batch: np.array([[1, np.nan, np.inf, -np.inf]] * batch, np.float32)}
check(node("IsNaN", "x"), special, types=(T.BOOL,))
for negative, positive in ((0, 1), (1, 0), (1, 1)):
    check(node("IsInf", "x", detect_negative=negative, detect_positive=positive), special, types=(T.BOOL,))

# ---- operations: both computed, then with constants of all ranks on either side
for op in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Mean", "Sum"):
    x = {"x": floats(3, 4, low=0.5)}
    check(node(op, "x", "z"), dict(x, z=floats(3, 4, low=0.5)))
    check(node(op, "x", "z"), dict(x, z=floats(3, 1, low=0.5)))
    for number in (2, 0.5, 3, -1, 1, 0):
        if number <= 0 and op == "Pow":
            continue
        for shape in ((), (1,), (1, 1)):
            k = {"k": np.full(shape, number, np.float32)}
            check(node(op, "x", "k"), x, k, batches=(3,))
            check(node(op, "k", "x"), x, k, batches=(3,))
    for shape in ((4,), (3, 1), (1, 3, 4)):
        k = {"k": rng.uniform(0.5, 2, shape).astype(np.float32)}
        check(node(op, "x", "k"), x, k)
        check(node(op, "k", "x"), x, k)
    for shape in ((2, 1, 4), (1, 1, 1)):
        check(node(op, "x", "k"), {"x": floats(4, low=0.5)}, {"k": rng.uniform(0.5, 2, shape).astype(np.float32)},
              batches=(1,))
for op in ("Max", "Min", "Mean", "Sum"):
    check(node(op, "x", "z", "k"), {"x": floats(3, 4), "z": floats(3, 4)}, {"k": np.float32(0.25)})
    check(node(op, "x"), {"x": floats(3, 4)})
for op in ("Add", "Sub", "Mul", "Div"):
    for dtype, low, high in ((np.int64, -100, 100), (np.int32, -100, 100), (np.uint8, 0, 256), (np.int8, -128, 128)):
        t = (helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),)
        both = {"x": ints(9, low=low, high=high, dtype=dtype), "z": ints(9, low=1, high=high, dtype=dtype)}
        check(node(op, "x", "z"), both, types=t)
        check(node(op, "x", "k"), {"x": both["x"]}, {"k": dtype(7)}, types=t)
        check(node(op, "k", "z"), {"z": both["z"]}, {"k": dtype(77)}, types=t)
for k in (np.int64(2), np.int64(3), np.float32(2), np.float32(3)):
    check(node("Pow", "x", "k"), {"x": ints(9)}, {"k": k}, types=(T.INT64,))
for fmod in (0, 1):
    x = {"x": ints(9, low=-20, high=20)}
    check(node("Mod", "x", "z", fmod=fmod), dict(x, z=ints(9, low=1, high=6)), types=(T.INT64,))
    check(node("Mod", "x", "k", fmod=fmod), x, {"k": np.int64(-3)}, types=(T.INT64,))
check(node("Mod", "x", "z", fmod=1), {"x": floats(9), "z": floats(9, low=0.5)})
for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
    x = {"x": ints(3, 4, dtype=np.float32)}
    check(node(op, "x", "z"), dict(x, z=ints(3, 4, dtype=np.float32)), types=(T.BOOL,))
    check(node(op, "x", "k"), x, {"k": np.float32(1)}, types=(T.BOOL,))
    check(node(op, "k", "x"), x, {"k": np.float32(1)}, types=(T.BOOL,))
truth = ints(3, 4, low=0, high=2, dtype=bool)
for op in ("And", "Or", "Xor"):
    check(node(op, "x", "z"), {"x": truth, "z": truth}, types=(T.BOOL,))
check(node("Not", "x"), {"x": truth}, types=(T.BOOL,))
column = ints(3, 1, low=0, high=2, dtype=bool)
check(node("Where", "c", "x", "z"), {"c": column, "x": floats(3, 4), "z": floats(1, 4)})
check(node("Where", "c", "x", "k"), {"c": column, "x": floats(3, 4)}, {"k": np.float32(-np.inf)})
check(node("Where", "c", "k", "x"), {"x": floats(3, 4)}, {"k": np.float32(-9), "c": np.array([[1, 0, 1, 0]], bool)})

# ---- activations
for op, attributes in (("Celu", {"alpha": 2.0}), ("Celu", {}), ("Elu", {"alpha": 0.5}), ("Elu", {}),
                       ("HardSigmoid", {}), ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
                       ("HardSigmoid", {"alpha": 0.3, "beta": 0.1}),
                       ("LeakyRelu", {}), ("LeakyRelu", {"alpha": 0.3}), ("Selu", {}),
                       ("Selu", {"alpha": 2.0, "gamma": 3.0}), ("Shrink", {}), ("Shrink", {"lambd": 1.0, "bias": 0.5}),
                       ("Softplus", {}), ("ThresholdedRelu", {}), ("ThresholdedRelu", {"alpha": 0.5})):
    check(node(op, "x", **attributes), {"x": image})
check(node("Gelu", "x"), {"x": image}, opset=20)
check(node("Gelu", "x", approximate="tanh"), {"x": image}, opset=20)
check(node("Mish", "x"), {"x": image}, opset=18)
for shape in ((), (1,), (3, 1, 1), (5,), (3, 4, 5), (1, 3, 1, 1)):
    check(node("PRelu", "x", "k"), {"x": image}, {"k": rng.uniform(-1, 1, shape).astype(np.float32)})
for low, high in ((0.0, 6.0), (-1.0, 1.0), (0.0, None), (None, 0.5), (1.0, -1.0)):
    bounds = {name: v for name, v in (("min", low), ("max", high)) if v is not None}
    check(node("Clip", "x", "min" if "min" in bounds else "", "max" if "max" in bounds else ""), {"x": image},
          {name: np.float32(v) for name, v in bounds.items()})
    if low != 1:
        check(node("Clip", "x", **bounds), {"x": image}, opset=7)
for op in ("Softmax", "LogSoftmax", "Hardmax"):
    for opset in (7, 11, 13, 17):
        check(node(op, "x"), {"x": image}, opset=opset)
        for axis in (0, 1, 2, 3, -1, -2):
            if axis >= 0 or opset > 7:
                check(node(op, "x", axis=axis), {"x": image}, opset=opset, batches=(3,))

# ---- along axes
for op in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"):
    op = "Reduce" + op
    x = {"x": floats(3, 4, 5, low=0.5)}
    check(node(op, "x"), x)
    check(node(op, "x", keepdims=0), x)
    check(node(op, "x", axes=[0], keepdims=0), x, opset=11)
    check(node(op, "x", "", noop_with_empty_axes=0), x, opset=18)
    check(node(op, "x", "a", noop_with_empty_axes=1), x, {"a": np.zeros(0, np.int64)}, opset=18)
    for axes in ([1], [2, 3], [-1], [1, 3], [3, 1, 2]):
        for keepdims in (0, 1):
            check(node(op, "x", axes=axes, keepdims=keepdims), x, opset=11, batches=(3,))
            check(node(op, "x", "a", keepdims=keepdims), x, {"a": np.array(axes)}, opset=18, batches=(3,))
for op in ("ArgMax", "ArgMin"):
    for axis in (0, 1, 2, 3, -1):
        for keepdims in (0, 1):
            for last in (0, 1):
                check(node(op, "x", axis=axis, keepdims=keepdims, select_last_index=last),
                      {"x": ints(3, 4, 5, low=-2, high=3, dtype=np.float32)}, types=(T.INT64,))
for axis in (0, 1, 2, 3, -1):
    for largest in (0, 1):
        check(node("TopK", "x", "k", outputs=("y0", "y1"), axis=axis, largest=largest), {"x": image},
              {"k": np.array([3])}, types=(T.FLOAT, T.INT64), batches=(3,))
check(node("TopK", "x", outputs=("y0", "y1"), k=2), {"x": image}, opset=9, types=(T.FLOAT, T.INT64))
for axis in (0, 1, 2, -1):
    for exclusive in (0, 1):
        for reverse in (0, 1):
            check(node("CumSum", "x", "a", exclusive=exclusive, reverse=reverse), {"x": floats(3, 4)},
                  {"a": np.int64(axis)}, batches=(3,))

# ---- types
dtypes = (np.float32, np.int32, np.int64, np.uint8, np.int8, bool, np.float16, np.float64)
for a in dtypes:
    for b in dtypes:
        make = ints(7, low=0, high=2, dtype=a) if a == bool else floats(7, low=0, high=100, dtype=a)
        t = helper.np_dtype_to_tensor_dtype(np.dtype(b))
        check(node("Cast", "x", to=t), {"x": make}, types=(t,))
check(node("Cast", "x", to=T.INT32), {"x": floats(7)}, types=(T.INT32,))
check(node("Cast", "x", to=T.UINT8), {"x": ints(7, low=-1000, high=1000, dtype=np.int32)}, types=(T.UINT8,))
for to, limit in ((T.FLOAT16, 70000), (T.FLOAT16, 1e-4), (T.FLOAT16, 1e-7), (T.BFLOAT16, 3), (T.BFLOAT16, 3e38)):
    check([node("Cast", "x", outputs=("t",), to=to), node("Cast", "t", outputs=("u",), to=T.FLOAT),
           node("Div", "u", "k")], {"x": floats(700, low=-limit, high=limit)}, {"k": np.float32(limit)})

# ---- quantisation
for zero, dtype in ((128, np.uint8), (0, np.int8), (-3, np.int8)):
    t = (helper.np_dtype_to_tensor_dtype(np.dtype(dtype)),)
    for axis, size in ((0, 0), (1, 3), (2, 4), (-1, 5)):
        k = {"s": rng.uniform(0.02, 0.1, size).astype(np.float32) if size else np.float32(0.05),
             "z": np.full(size, zero, dtype) if size else dtype(zero)}
        x = {"x": floats(3, 4, 5, low=-10, high=10)}
        there = {"axis": axis} if size else {}
        check(node("QuantizeLinear", "x", "s", "z", **there), x, k, types=t)
        check([node("QuantizeLinear", "x", "s", "z", outputs=("q",), **there),
               node("DequantizeLinear", "q", "s", "z", **there)], x, k)
check(node("QuantizeLinear", "x", "s"), {"x": floats(40, low=-1, high=10)}, {"s": np.float32(0.05)}, types=(T.UINT8,))
check(node("DynamicQuantizeLinear", "x", outputs=("y0", "y1", "y2")), {"x": floats(3, 40)},
      types=(T.UINT8, T.FLOAT, T.UINT8))
check(node("DynamicQuantizeLinear", "x"), {"x": lambda batch: np.zeros((batch, 4), np.float32)}, types=(T.UINT8,))

# ---- losses and windows
for reduction in ("none", "sum", "mean"):
    for ignored in ({}, {"ignore_index": 1}, {"ignore_index": -1}):
        x = {"x": floats(4, 3), "t": ints(3, low=-1 if ignored.get("ignore_index") == -1 else 0, high=4)}
        for k in ({}, {"w": rng.uniform(0.2, 1, 4).astype(np.float32)}):
            for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
                check(node(op, "x", "t", *k, reduction=reduction, **ignored), x, k, batches=(3,))
for op in ("BlackmanWindow", "HammingWindow", "HannWindow"):
    for periodic in (0, 1):
        check([node(op, "k", outputs=("w",), periodic=periodic), node("Mul", "x", "w")], {"x": floats(10)},
              {"k": np.int64(10)})

print("%d passed, %d failed" % (passed, failed))
sys.exit(failed > 0)
