"""Turn a BERT encoder as sentence-transformers publishes it into an ONNX file that Kith's `onnx` backend runs.

    python scripts/make_encoder.py FOLDER --out TARGET

FOLDER holds model.safetensors, config.json and tokenizer.json (all-MiniLM-L6-v2, for instance). The graph is written
out by hand after Devlin et al., "BERT" (2019), so that neither torch nor transformers is needed. Its output is one
vector a token; the mean of these is the sentence's, which is what the backend does unless told otherwise.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_OPSET, _IR = 17, 8
_KINDS = {"F32": np.float32, "F16": np.float16, "I64": np.int64}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


def tensors(path: Path) -> dict[str, Any]:
    """The arrays of a safetensors file, as 32-bit floats."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    head: dict[str, Any] = json.loads(data[8 : 8 + size])
    found: dict[str, Any] = {}
    for name, about in head.items():
        if name != "__metadata__" and about["dtype"] in ("F32", "F16"):
            start, end = (8 + size + place for place in about["data_offsets"])
            array = np.frombuffer(data[start:end], _KINDS[about["dtype"]]).reshape(about["shape"])
            found[name.removeprefix("bert.")] = array.astype(np.float32)
    return found


class Graph:
    """Nodes and constants, one after another."""

    def __init__(self, weights: dict[str, Any]) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def add(self, kind: str, *given: str, **how: Any) -> str:
        """One node; returns the name of what comes out."""
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(given), [out], **how))
        return out

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def dense(self, x: str, name: str) -> str:
        """A linear layer of the published weights."""
        turned = self.constant(np.ascontiguousarray(self.weights[f"{name}.weight"].T))
        return self.add("Add", self.add("MatMul", x, turned), self.constant(self.weights[f"{name}.bias"]))

    def norm(self, x: str, name: str, small: float) -> str:
        both = (self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.add("LayerNormalization", x, *both, axis=-1, epsilon=small)


def build(folder: Path) -> Any:
    """The ONNX model of a folder."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    if config.get("model_type") != "bert":
        raise SystemExit(f"{folder} holds a {config.get('model_type')}, not a BERT encoder")
    graph, small = Graph(tensors(folder / "model.safetensors")), float(config["layer_norm_eps"])
    parts = [
        graph.add("Gather", graph.constant(graph.weights[f"embeddings.{kind}_embeddings.weight"]), given)
        for kind, given in (("word", _INPUTS[0]), ("token_type", _INPUTS[2]), ("position", _INPUTS[3]))
    ]
    x = graph.norm(graph.add("Add", graph.add("Add", *parts[:2]), parts[2]), "embeddings.LayerNorm", small)
    kept = graph.add("Cast", _INPUTS[1], to=TensorProto.FLOAT)
    away = graph.add("Mul", graph.add("Sub", kept, graph.constant(np.float32(1))), graph.constant(np.float32(1e9)))
    mask = graph.add("Unsqueeze", away, graph.constant(np.array([1, 2], np.int64)))
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        seen = graph.dense(attention(graph, x, name, mask, config), f"{name}.attention.output.dense")
        x = graph.norm(graph.add("Add", seen, x), f"{name}.attention.output.LayerNorm", small)
        wide = graph.dense(x, f"{name}.intermediate.dense")
        root = graph.add("Div", wide, graph.constant(np.float32(2**0.5)))
        half = graph.add("Mul", wide, graph.constant(np.float32(0.5)))
        grown = graph.add("Mul", half, graph.add("Add", graph.add("Erf", root), graph.constant(np.float32(1))))
        x = graph.norm(
            graph.add("Add", graph.dense(grown, f"{name}.output.dense"), x), f"{name}.output.LayerNorm", small
        )
    graph.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
    inputs = [helper.make_tensor_value_info(one, TensorProto.INT64, ["rows", "width"]) for one in _INPUTS]
    output = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["rows", "width", config["hidden_size"]]
    )
    made = helper.make_graph(graph.nodes, "encoder", inputs, [output], list(graph.constants.values()))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)


def attention(graph: Graph, x: str, name: str, mask: str, config: dict[str, Any]) -> str:
    """What every token takes from the others."""
    heads, size = config["num_attention_heads"], config["hidden_size"] // config["num_attention_heads"]
    split = graph.constant(np.array([0, 0, heads, size], np.int64))

    def part(kind: str, order: list[int]) -> str:
        flat = graph.dense(x, f"{name}.attention.self.{kind}")
        return graph.add("Transpose", graph.add("Reshape", flat, split), perm=order)

    near = graph.add("MatMul", part("query", [0, 2, 1, 3]), part("key", [0, 2, 3, 1]))
    scaled = graph.add("Div", near, graph.constant(np.float32(size**0.5)))
    shares = graph.add("Softmax", graph.add("Add", scaled, mask), axis=-1)
    taken = graph.add("Transpose", graph.add("MatMul", shares, part("value", [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    return graph.add("Reshape", taken, graph.constant(np.array([0, 0, -1], np.int64)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    onnx.save(build(given.folder), str(given.out / "model.onnx"))
    for name in ("config.json", "tokenizer.json"):
        shutil.copy2(given.folder / name, given.out / name)
    print(given.out / "model.onnx")


if __name__ == "__main__":
    main()
