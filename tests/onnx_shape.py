"""The operators that move data, with a symbolic batch: build/onnx_run against onnxruntime for batches of 1 and 3.

    python3 tests/onnx_shape.py build/onnx_run        needs onnx, onnxruntime; prints "N passed, N failed"

Where ONNX's node tests have the operators one by one and of one size, these are small graphs: what is computed from
shapes, constants of every kind, samples laid out as rows, embeddings, sizes given as scales and as numbers.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(3)
passed = failed = 0


class Graph:
    """Nodes and initializers in order; a call adds a node and returns the name of its output."""

    def __init__(self, opset):
        self.opset, self.nodes, self.inits = opset, [], []

    def const(self, value, dtype=np.int64):
        name = "c%d" % len(self.inits)
        self.inits.append(numpy_helper.from_array(np.array(value, dtype=dtype), name))
        return name

    def node(self, kind, *inputs, outputs=1, **attributes):
        names = ["%s%d_%d" % (kind.lower(), len(self.nodes), i) for i in range(outputs)]
        inputs = [i if isinstance(i, str) else self.const(i) for i in inputs]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def __getattr__(self, kind):
        return lambda *inputs, **attributes: self.node(kind, *inputs, **attributes)


def check(name, inputs, build, opset=17, batches=(1, 3), first="N", wrong=1e-5):
    """inputs: shapes without the batch, floats, or (shape, high) for integers below high."""
    global passed, failed
    g = Graph(opset)
    names = ["x%d" % i for i in range(len(inputs))]
    y = build(g, *names)
    y = [y] if isinstance(y, str) else y
    infos = []
    for n, s in zip(names, inputs):
        ints = len(s) == 2 and isinstance(s[0], tuple)
        shape = list(s[0] if ints else s)
        infos.append(helper.make_tensor_value_info(n, TensorProto.INT64 if ints else TensorProto.FLOAT, [first] + shape))
    model = helper.make_model(
        helper.make_graph(g.nodes, "g", infos, [onnx.ValueInfoProto(name=n) for n in y], g.inits),
        opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    try:
        model = onnx.shape_inference.infer_shapes(model)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as e:
        print("FAILED   %s: onnxruntime: %s" % (name, str(e)[:300]))
        failed += 1
        return
    for batch in batches:
        with tempfile.TemporaryDirectory() as folder:
            feed, files = {}, []
            for n, s in zip(names, inputs):
                ints = len(s) == 2 and isinstance(s[0], tuple)
                feed[n] = (rng.integers(0, s[1], (batch,) + s[0]) if ints
                           else rng.normal(size=(batch,) + tuple(s)).astype(np.float32))
                files.append(os.path.join(folder, n + ".npy"))
                np.save(files[-1], feed[n])
            onnx.save(model, os.path.join(folder, "m.onnx"))
            want = session.run(y, feed)
            run = subprocess.run([sys.argv[1], os.path.join(folder, "m.onnx"), folder] + files, capture_output=True,
                                 text=True)
            problem = run.stderr.strip() if run.returncode else ""
            for n, w in zip(y, want):
                if problem:
                    break
                got = np.load(os.path.join(folder, n + ".npy"))
                if got.shape != w.shape:
                    problem = "%s is %s, not %s" % (n, got.shape, w.shape)
                elif not np.allclose(got, w, rtol=1e-4, atol=wrong, equal_nan=True):
                    problem = "%s is off by %g" % (n, np.abs(got - w).max())
            if problem:
                print("FAILED   %s, batch %d: %s" % (name, batch, problem))
                failed += 1
            else:
                passed += 1


image = (4, 6, 8)
f32 = np.float32
check("flatten", [image], lambda g, x: g.Flatten(x))
check("flatten from 3", [image], lambda g, x: g.Flatten(x, axis=3))
check("flatten from 0", [image], lambda g, x: g.Flatten(x, axis=0))
check("reshape 0 -1", [image], lambda g, x: g.Reshape(x, [0, 4, -1]))
check("reshape -1 first", [image], lambda g, x: g.Relu(g.Reshape(x, [-1, 6, 8])))
check("rows and back", [image], lambda g, x: g.Reshape(g.Relu(g.Reshape(x, [-1, 48])), [-1, 4, 6, 8]))
check("reshape by shape", [image], lambda g, x: g.Reshape(x, g.Concat(
    g.Slice(g.Shape(x), [0], [1]), g.const([-1]), g.Slice(g.Shape(x), [3], [4]), axis=0)))
check("reshape by gathered shape", [image], lambda g, x: g.Reshape(x, g.Concat(
    g.Unsqueeze(g.Gather(g.Shape(x), g.const(0)), [0]), g.Unsqueeze(g.Mul(
        g.Gather(g.Shape(x), g.const(1)), g.Gather(g.Shape(x), g.const(2))), [0]), g.const([8]), axis=0)))
check("shuffle of channels", [image], lambda g, x: g.Reshape(g.Transpose(
    g.Reshape(x, [0, 2, 2, 6, 8]), perm=[0, 2, 1, 3, 4]), [0, 4, 6, 8]))
check("transpose", [image], lambda g, x: g.Transpose(x, perm=[0, 2, 3, 1]))
check("time first and back", [(5, 7)], lambda g, x: g.Transpose(g.Relu(g.Transpose(x, perm=[1, 0, 2])), perm=[1, 0, 2]))
check("squeeze", [(4, 1, 1)], lambda g, x: g.Squeeze(x, [2, 3]))
check("squeeze of all", [(4, 1, 6)], lambda g, x: g.Squeeze(g.Relu(x), [-2]))
check("unsqueeze", [(4,)], lambda g, x: g.Unsqueeze(x, [1, -1]))
check("batch unsqueezed and squeezed", [(4, 5)], lambda g, x: g.Squeeze(g.Relu(g.Unsqueeze(x, [0])), [0]))
check("squeeze 11", [(4, 1, 6)], lambda g, x: g.Squeeze(x, axes=[2]), opset=11)
check("concat", [image, (2, 6, 8)], lambda g, a, b: g.Concat(a, b, a, axis=1))
check("concat of the batch", [image, image], lambda g, a, b: g.Concat(a, b, axis=0))
check("class token", [(5, 6)], lambda g, x: g.Concat(g.Expand(
    g.const(rng.normal(size=(1, 1, 6)), f32), g.Concat(g.Slice(g.Shape(x), [0], [1]), g.const([1, 6]), axis=0)),
    x, axis=1))
check("split", [image], lambda g, x: g.node("Split", x, [1, 3], outputs=2, axis=1))
check("split in equal parts", [image], lambda g, x: g.node("Split", x, outputs=3, axis=2))
check("split 18", [(7, 2)], lambda g, x: g.node("Split", x, outputs=3, axis=1, num_outputs=3), opset=18)
check("split 11", [image], lambda g, x: g.node("Split", x, outputs=2, axis=1, split=[3, 1]), opset=11)
check("slice", [image], lambda g, x: g.Slice(x, [1, 2], [3, 2 ** 63 - 1], [1, 3]))
check("slice with steps", [image], lambda g, x: g.Slice(x, [0, -1, 1], [2 ** 31, -(2 ** 63), -1], [0, 2, 3], [1, -2, 3]))
check("slice of the batch", [image], lambda g, x: g.Slice(x, [0], [1], [0]))
check("focus", [(3, 8, 8)], lambda g, x: g.Concat(*[
    g.Slice(x, [i, j], [2 ** 62, 2 ** 62], [2, 3], [2, 2]) for i in (0, 1) for j in (0, 1)], axis=1))
check("slice 9", [image], lambda g, x: g.Slice(x, starts=[1, 0], ends=[3, -1], axes=[1, 2]), opset=9)
check("gather", [image], lambda g, x: g.Gather(x, [3, 0, 0, -2], axis=2))
check("gather one", [image], lambda g, x: g.Gather(x, g.const(1), axis=1))
check("gather last step", [(5, 6)], lambda g, x: g.Gather(x, g.const(-1), axis=1))
check("gather a table of indices", [image], lambda g, x: g.Gather(x, [[0, 1], [3, 2]], axis=1))
check("gather of the batch", [image], lambda g, x: g.Gather(x, g.const(0), axis=0))
check("embedding", [((7,), 11)], lambda g, i: g.Gather(g.const(rng.normal(size=(11, 5)), f32), i))
check("embedding of matrices", [((3,), 4)], lambda g, i: g.Gather(g.const(rng.normal(size=(4, 2, 3)), f32), i))
check("two embeddings tied", [((7,), 11), ((2,), 11)], lambda g, i, k: (lambda t: g.Concat(
    g.Gather(t, i), g.Gather(t, k), axis=1))(g.const(rng.normal(size=(11, 5)), f32)))
check("gather at run time", [(5, 6), ((3,), 5)], lambda g, x, i: g.Gather(x, g.Squeeze(g.Slice(
    i, [0], [1], [0]), [0]), axis=1), batches=(1,))
check("gather elements", [(5, 6), ((4, 6), 5)], lambda g, x, i: g.GatherElements(x, i, axis=1))
check("gather nd", [(5, 6), ((4, 2), 5)], lambda g, x, i: g.GatherND(x, i, batch_dims=1))
check("scatter elements", [(5, 6), ((1, 6), 5), (1, 6)], lambda g, x, i, u: g.ScatterElements(x, i, u, axis=1))
check("scatter, add", [(5, 6), ((9, 6), 5), (9, 6)], lambda g, x, i, u: g.ScatterElements(
    x, i, u, axis=1, reduction="add"))
check("scatter nd", [(5,)], lambda g, x: g.ScatterND(x, [[0, 1], [0, 4]], g.const([1.5, 2.5], f32)))
check("one hot", [((3,), 6)], lambda g, i: g.OneHot(i, g.const(4), g.const([0.5, 2], f32), axis=1))
check("reverse sequence", [(5, 6)], lambda g, x: g.ReverseSequence(x, g.Expand(g.const([3]), g.Slice(
    g.Shape(x), [0], [1])), batch_axis=0, time_axis=1), batches=(1,))
check("tile", [(2, 3)], lambda g, x: g.Tile(x, [1, 2, 3]))
check("expand", [(1, 3)], lambda g, x: g.Expand(x, [1, 4, 3]))
check("expand to more axes", [(3,)], lambda g, x: g.Expand(x, [2, 1, 3]))
for mode in "constant", "reflect", "edge", "wrap":
    check("pad " + mode, [image], lambda g, x: g.Pad(x, [0, 0, 1, 2, 0, 0, 3, 0], mode=mode), opset=19)
    check("pad all " + mode, [image], lambda g, x: g.Pad(x, [0, 1, 1, 2, 0, 2, 3, 5], mode=mode), opset=19)
check("pad with a value", [image], lambda g, x: g.Pad(x, [0, 0, 1, 1, 0, 0, 1, 1], g.const(-1.5, f32)))
check("pad 2", [image], lambda g, x: g.Pad(x, pads=[0, 0, 1, 2, 0, 0, 3, 0], value=0.5), opset=9)
check("negative pads", [image], lambda g, x: g.Pad(x, [0, 0, -1, 2, 0, 0, -2, 0]))
check("depth to space", [(8, 3, 5)], lambda g, x: g.DepthToSpace(x, blocksize=2))
check("depth to space, CRD", [(8, 3, 5)], lambda g, x: g.DepthToSpace(x, blocksize=2, mode="CRD"))
check("space to depth", [(3, 4, 6)], lambda g, x: g.SpaceToDepth(x, blocksize=2))
for coordinates in "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric":
    for mode in "nearest", "linear", "cubic":
        for sizes in True, False:
            more = dict(sizes=[9, 5]) if sizes else dict(scales=[1.6, 0.5])
            check("resize %s %s %s" % (mode, coordinates, more), [image], lambda g, x: (
                g.Resize(x, "", "", g.Concat(g.Slice(g.Shape(x), [0], [2]), g.const([9, 5]), axis=0), mode=mode,
                         coordinate_transformation_mode=coordinates) if sizes else
                g.Resize(x, "", g.const([1, 1, 1.5, 0.5], f32), mode=mode,
                         coordinate_transformation_mode=coordinates)))
check("resize twice", [image], lambda g, x: g.Resize(x, "", g.const([1, 1, 2, 2], f32), mode="nearest",
                                                     coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
check("resize of axes", [image], lambda g, x: g.Resize(x, "", g.const([0.5, 2], f32), mode="linear", axes=[3, 2],
                                                       antialias=0), opset=18)
check("upsample 9", [image], lambda g, x: g.Upsample(x, g.const([1, 1, 2, 3], f32), mode="nearest"), opset=9)
check("upsample 7", [image], lambda g, x: g.Upsample(x, mode="linear", scales=[1.0, 1.0, 2.0, 2.0]), opset=7)
check("crop and resize", [image], lambda g, x: g.Resize(
    x, g.const([0, 0, 0.2, -0.1, 1, 1, 0.9, 1.2], f32), "", [1, 4, 5, 7], mode="linear",
    coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0), batches=(1,))
for mode in "bilinear", "nearest", "bicubic":
    for pad in "zeros", "border", "reflection":
        check("grid sample %s %s" % (mode, pad), [image, (3, 4, 2)], lambda g, x, p: g.GridSample(
            x, p, mode=mode, padding_mode=pad, align_corners=pad == "border"), wrong=1e-4)
check("mask of a triangle", [(4, 5, 5)], lambda g, x: g.Trilu(x, g.const(1), upper=0))
check("causal mask", [(4, 5, 5)], lambda g, x: g.Add(x, g.Trilu(g.Expand(
    g.const(-np.inf, f32), [5, 5]), g.const(1))))
check("range and where", [(4, 5)], lambda g, x: g.Add(x, g.Cast(g.Range(
    g.const(0), g.Gather(g.Shape(x), g.const(2)), g.const(1)), to=1)))
check("constant of shape", [(4, 5)], lambda g, x: g.Add(x, g.ConstantOfShape(
    g.Shape(x), value=numpy_helper.from_array(np.array([2.5], f32)))))
check("dropout", [(4, 5)], lambda g, x: g.Dropout(x, g.const(0.5, f32)))
check("compress", [(4, 5)], lambda g, x: g.Compress(x, g.const([True, False, False, True], bool), axis=1))
check("center crop or pad", [image], lambda g, x: g.CenterCropPad(x, [3, 11], axes=[2, 3]), opset=18)
check("affine grid", [(2, 3)], lambda g, t: g.AffineGrid(t, g.Concat(g.Slice(g.Shape(t), [0], [1]), g.const([1, 4, 5]),
                                                                     axis=0), align_corners=0), opset=20)
check("columns to image", [(3 * 6, 12)], lambda g, x: g.Col2Im(x, [7, 8], [3, 2], strides=[2, 3], pads=[1, 2, 0, 2]),
      opset=18)
check("boxes", [(30, 4), (3, 30)], lambda g, b, s: g.NonMaxSuppression(
    b, s, g.const([30]), g.const([1.0], f32), g.const([-9.0], f32)), batches=(1,), first=1)
check("boxes of two images", [(30, 4), (3, 30)], lambda g, b, s: g.NonMaxSuppression(
    b, s, g.const([4]), g.const([1.0], f32)), batches=(2,), first=2)
check("regions", [image, (4,)], lambda g, x, b: g.RoiAlign(x, g.Abs(b), g.const([0]), output_height=3, output_width=2,
                                                           sampling_ratio=2), batches=(1,), first=1)
check("regions of three images", [image, (4,)], lambda g, x, b: g.RoiAlign(
    x, g.Mul(g.Abs(b), g.const([3], f32)), g.const([2, 0, 2]), output_height=3, output_width=2, spatial_scale=0.5), batches=(3,),
    first=3)
print("%d passed, %d failed" % (passed, failed))
sys.exit(failed > 0)
