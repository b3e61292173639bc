"""npy.py - .npy and .npz of convnet.h against numpy, both ways.

    python3 tests/npy.py [build/npy_tool]        prints N passed, N failed
"""
import io
import os
import subprocess
import sys
import tempfile

import numpy as np

tool = sys.argv[1] if len(sys.argv) > 1 else "build/npy_tool"
passed = failed = 0
rng = np.random.default_rng(1)


def check(name, ok, more=""):
    global passed, failed
    passed += bool(ok)
    failed += not ok
    if not ok:
        print("FAILED", name, more)


def run(*arguments):
    r = subprocess.run([tool, *arguments], capture_output=True, text=True)
    return r.returncode, r.stderr.strip()


def same(a, b):
    """Bits, type and shape; a NaN is a NaN."""
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def make(dtype, shape):
    if dtype[1] == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype[1] == "f":
        a = rng.standard_normal(shape).astype(dtype)
        if a.size > 3:
            a.flat[:4] = [np.nan, np.inf, -np.inf, -0.0]
        return a
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=np.dtype(dtype).newbyteorder("="), endpoint=True).astype(dtype)


shapes = [(), (0,), (1,), (7,), (2, 3), (3, 0, 2), (2, 3, 5), (1, 4, 1, 3), (2, 1, 3, 2, 2), (1, 2, 1, 2, 1, 2, 1, 3)]
types = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "|i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8",
         "|u1", "<u2", ">u2", "<u4", ">u4", "<u8", ">u8", "|b1"]

with tempfile.TemporaryDirectory() as work:
    a_path, b_path = os.path.join(work, "a.npy"), os.path.join(work, "b.npy")
    for dtype in types:
        for shape in shapes:
            for order in "CF":
                a = np.asarray(make(dtype, shape), dtype=dtype, order=order)
                name = f"{dtype} {shape} {order}"
                np.save(a_path, a)
                check(name + " copy", run("copy", a_path, b_path) == (0, "") and same(np.load(b_path), a))
                with np.errstate(over="ignore"):
                    floats = a.astype(np.float32)
                check(name + " floats", run("floats", a_path, b_path) == (0, "") and same(np.load(b_path), floats))
    for version in (1, 0), (2, 0), (3, 0):
        a = make("<f4", (2, 3))
        with open(a_path, "wb") as f:
            np.lib.format.write_array(f, a, version)
        check(f"version {version}", run("copy", a_path, b_path) == (0, "") and same(np.load(b_path), a))
    for dtype in types:
        a = rng.integers(0, 2 if dtype[1] == "b" else 100, (3, 4)).astype(dtype)
        np.save(a_path, a)
        check(f"{dtype} ints", run("ints", a_path, b_path) == (0, "") and same(np.load(b_path), a.astype(np.int32)))
    for a in np.array([2.0**31]), np.array([-2.0**31 - 1]), np.array([0.5]), np.array([np.nan]), np.array([2**40]):
        np.save(a_path, a)
        check(f"no int: {a}", run("ints", a_path, b_path) == (1, "CVN_ERROR_NUMBER"))
    a = np.array([2.0**31 - 1, -2.0**31])
    np.save(a_path, a)
    check("largest ints", run("ints", a_path, b_path) == (0, "") and same(np.load(b_path), a.astype(np.int32)))

    # what is refused, by name
    for name, a, words in [("complex", np.zeros(3, "c8"), "type"), ("text", np.array(["a"]), "type"),
                           ("structures", np.zeros(2, [("x", "f4")]), "structures"),
                           ("dates", np.zeros(2, "M8[s]"), "type"), ("long double", np.zeros(2, np.longdouble), "type"),
                           ("9 axes", np.zeros((1,) * 9, "f4"), "axes")]:
        np.save(a_path, a)
        code, text = run("copy", a_path, b_path)
        check(name, code == 1 and words in text, text)

    # .npz
    z_path, y_path = os.path.join(work, "z.npz"), os.path.join(work, "y.npz")
    arrays = {f"layer{i}.w\u00e9ight": make(t, s) for i, (t, s) in enumerate((t, s) for t in types for s in shapes[:7])}
    np.savez(z_path, **arrays)
    check("npz copy", run("copy", z_path, y_path) == (0, ""))
    y = np.load(y_path)
    check("npz names and their order", list(y) == list(arrays))
    for name, a in arrays.items():
        check("npz " + name, same(y[name], a))
    import zipfile
    with zipfile.ZipFile(y_path) as f:
        check("zipfile finds no mistake", f.testzip() is None)
        check("stored", all(i.compress_type == 0 and i.date_time[0] == 1980 for i in f.infolist()))
    with open(y_path, "rb") as f:
        first = f.read()
    run("copy", y_path, z_path)
    with open(z_path, "rb") as f:
        check("its own copy is the same file", f.read() == first)
    np.savez(z_path, np.arange(3), np.ones((2, 2), "f4"))
    check("unnamed arrays", run("floats", z_path, y_path) == (0, "") and list(np.load(y_path)) == ["arr_0", "arr_1"])
    np.savez_compressed(z_path, x=np.zeros(100))
    code, text = run("copy", z_path, y_path)
    check("packed", code == 1 and "packed" in text and "x.npy" in text, text)
    np.savez(z_path, x=np.zeros(100, "f4"))
    data = bytearray(open(z_path, "rb").read())
    data[300] ^= 1
    open(z_path, "wb").write(data)
    code, text = run("copy", z_path, y_path)
    check("a bit that flipped", code == 1 and "CRC-32" in text, text)
    stream = io.BytesIO()                   # a zip that could not seek: sizes behind the members
    class Pipe(io.RawIOBase):
        def writable(self): return True
        def write(self, b): return stream.write(b)
    with zipfile.ZipFile(Pipe(), "w") as f:
        with f.open("x.npy", "w") as member:
            np.lib.format.write_array(member, np.arange(5.0))
    open(z_path, "wb").write(stream.getvalue())
    check("data descriptors", run("copy", z_path, y_path) == (0, "") and same(np.load(y_path)["x"], np.arange(5.0)))
    with zipfile.ZipFile(z_path, "w") as f:
        f.comment = b"PK\5\6 no end of a directory"
        f.writestr("readme.txt", "hello")
        buffer = io.BytesIO()
        np.save(buffer, np.arange(4))
        f.writestr("x.npy", buffer.getvalue())
    check("comment, another member", run("copy", z_path, y_path) == (0, "") and list(np.load(y_path)) == ["x"])

print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
