#!/usr/bin/env python3
"""ONNX's own node tests through `fanin run`: every model whose operators are all in `fanin list operators`
has to run and to give the standard's numbers. Usage: onnx_nodes.py FANIN FOLDER [part of a name | all]; without
the last one in four is tried, since each is a run of the program."""
import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np

warnings.filterwarnings("ignore")
for name, value in (("float", float), ("bool", bool), ("int", int), ("object", object)):
    if name not in np.__dict__:
        setattr(np, name, value)  # onnx 1.12 was written for an older numpy
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

# Not as the standard has it, and why.
DIFFERENT = {
    "bfloat16": "numbers that numpy does not have",
    "training_dropout": "random",
    "window": "expands to a rounded pi",
    "linear_align_corners": "sizes that are not whole; PyTorch and ONNX Runtime round them, and so do we",
    "cubic_align_corners": "the same",
    "maxpool_2d_uint8": "pooling of integers",
    "scatternd_multiply": "a scatter that multiplies",
}


def constants_of(inputs, level):
    """Which inputs become initialisers: none, whole numbers after the first, all after the first, all."""
    tests = [lambda i, x: False, lambda i, x: i > 0 and x.dtype.kind != "f", lambda i, x: i > 0,
             lambda i, x: True]
    return [tests[level](i, x) for i, x in enumerate(inputs)]


def write(model, inputs, fixed, output, folder):
    m = onnx.ModelProto()
    m.CopyFrom(model)
    names = [v.name for v in m.graph.input]
    kept = [v for v, f in zip(model.graph.input, fixed) if not f]
    del m.graph.input[:], m.graph.output[:]
    m.graph.input.extend(kept)
    m.graph.output.extend([output])
    arguments = []
    for name, x, f in zip(names, inputs, fixed):
        if f:
            m.graph.initializer.append(numpy_helper.from_array(x, name))
        else:
            path = "%s/input%d.npy" % (folder, len(arguments))
            np.save(path, x)
            arguments += ["--input", name + "=" + path]
    onnx.save(m, folder + "/model.onnx")
    return arguments


def compute(fanin, model, inputs, output, folder):
    """The output, or what was said instead of it."""
    said = ""
    for level in range(4):
        arguments = write(model, inputs, constants_of(inputs, level), output, folder)
        train = any(a.name == "training_mode" and a.i for n in model.graph.node for a in n.attribute)
        r = subprocess.run([fanin, "run", folder + "/model.onnx", "-o", folder, "--mode",
                            "train" if train else "eval"] + arguments, capture_output=True, text=True)
        if r.returncode in (0, 4):  # 4: the standard's own infinities
            return np.load(folder + "/output.npy"), ""
        said = said or r.stderr.strip()
        if r.returncode not in (2, 3):
            break
    return None, said


def check(fanin, case, folder):
    inputs, outputs = [[np.asarray(x) for x in part] for part in case.data_sets[0]]
    for value, want in zip(case.model.graph.output, outputs):
        got, said = compute(fanin, case.model, inputs, value, folder)
        if got is None:
            return said
        if got.shape != want.shape:
            return "shape %s, expected %s" % (got.shape, want.shape)
        coarse = any(x.dtype == np.float16 for x in inputs + outputs)
        if not np.allclose(got.astype(float), want.astype(float), rtol=2e-3 if coarse else 2e-5,
                           atol=1e-3 if coarse else 1e-5, equal_nan=True):
            return "%s: numbers differ" % value.name
    return ""


def plain(case):
    arrays = [x for part in case.data_sets[0] for x in part] if case.data_sets else [None]
    return all(not isinstance(x, list) and x is not None and np.asarray(x).dtype.kind in "fiub"
               for x in arrays)


def main():
    fanin, folder, part = sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
    listed = subprocess.run([fanin, "list", "operators", "--json"], capture_output=True, text=True, check=True)
    known = {row["name"] for row in json.loads(listed.stdout)["operators"]}
    agreed = other = wrong = 0
    for i, case in enumerate(collect_testcases(None)):
        operators = {n.op_type for n in case.model.graph.node}
        if i % 4 if part is None else part != "all" and part not in case.name:
            continue
        if not operators <= known or not plain(case) or any(d in case.name.lower() for d in DIFFERENT):
            other += 1
            continue
        said = check(fanin, case, folder)
        agreed += not said
        wrong += bool(said)
        if said:
            print("%s (%s): %s" % (case.name, ", ".join(sorted(operators)), said))
    print("%d agree, %d do not, %d of operators or kinds that fanin has not" % (agreed, wrong, other))
    sys.exit(wrong > 0 or agreed < (100 if part is None else 1))


main()
