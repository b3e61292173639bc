"""onnx_save.py - models that tests/onnx_export.c wrote, checked by onnx and run by onnxruntime.

    build/onnx_export DIR [MODEL.onnx...] && python3 tests/onnx_save.py DIR

Each model: onnx.checker with full shape inference, strict shape inference with data propagation,
each value declared once, and the outputs for batches of 1 and 3 equal to the engine's to 1e-4 of the
largest value, 1e-6 at least. Needs onnx, onnxruntime, numpy. Prints N passed, N failed."""
import glob
import os
import re
import sys

import numpy as np
import onnx
import onnxruntime

TOLERANCE = 1e-4


def arrays(stem, batch, kind):
    """What DIR/STEM.BATCH.KIND.*.npy hold, by the name of the value."""
    begin = f"{stem}.{batch}.{kind}."
    paths = glob.glob(glob.escape(begin) + "*.npy")
    return {path[len(begin):-len(".npy")]: np.load(path) for path in paths}


def check_model(path):
    """Raises on what the checker finds; returns the model."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    values = [v.name for v in (*model.graph.input, *model.graph.value_info, *model.graph.output)]
    if len(set(values)) != len(values):
        raise ValueError("a value is declared twice")
    if model.producer_name != "convnet.h" or model.opset_import[0].version != 17:
        raise ValueError("producer or opset")
    return model


def file_part(value):
    """The name that the engine's node has in a file's name."""
    return re.sub("_+value$", "", value.replace("/", "_"))


def check_batch(session, stem, batch):
    inputs, outputs = arrays(stem, batch, "in"), arrays(stem, batch, "out")
    feed = {v.name: inputs[file_part(v.name)] for v in session.get_inputs()}
    names = [v.name for v in session.get_outputs()]
    if sorted(map(file_part, names)) != sorted(outputs):
        raise ValueError(f"outputs are {names}, not {sorted(outputs)}")
    for name, got in zip(names, session.run(names, feed)):
        want = outputs[file_part(name)]
        if got.shape != want.shape:
            raise ValueError(f"{name}: {got.shape}, not {want.shape}")
        scale = max(1e-2, np.abs(want).max(initial=0))
        worst = np.abs(got - want).max(initial=0) / scale
        if not worst <= TOLERANCE:
            raise ValueError(f"{name}: off by {worst:.2g} with {batch} samples")


def main(folder):
    passed = failed = 0
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.onnx"))):
        try:
            check_model(path)
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
            for batch in (1, 3):
                check_batch(session, path.removesuffix(".onnx").removesuffix(".folded"), batch)
            passed += 1
        except Exception as error:          # whatever a checker throws is what is reported
            failed += 1
            print(f"FAILED {os.path.basename(path)}: {error}")
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
