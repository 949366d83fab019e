"""Make synthetic ONNX encoders with a tokenizer: random weights, real mechanics, the same files for the same seed.

    python scripts/make_onnx.py --kind embedding --out folder

They run in ONNX Runtime, so that tests and benchmarks need no download. A text's vector is the mean of its words', so
texts that share words are near one another; the ranker compares the words of a query with those of a text.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

KINDS = ("embedding", "classifier", "rerank")
WORDS = "hello there good bad day night red blue cat dog tea weather i you we is the a in not 你 好 天 气 不 上 海"
_OPSET, _IR = 17, 8


def tokenizer() -> Tokenizer:
    """Words and Chinese characters, with BERT's marks; unknown words are one token."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS.split()]
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def make(folder: Path, kind: str = "embedding", width: int = 16, seed: int = 1, labels: int = 3) -> Path:
    """Write the model with its tokenizer and configuration into `folder`; returns the model's file."""
    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer()
    words.save(str(folder / "tokenizer.json"))
    config = {
        "model_type": "synthetic",
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "id2label": {str(index): f"label {index}" for index in range(labels)},
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    table = np.random.default_rng(seed).standard_normal((words.get_vocab_size(), width)).astype(np.float32)
    table[:4] = 0.0
    nodes, output, weights = {"embedding": _embed, "classifier": _classify, "rerank": _rank}[kind](width, labels)
    shape = {"embedding": ["rows", "columns", width], "classifier": ["rows", labels], "rerank": ["rows", 1]}[kind]
    names = ["input_ids", "attention_mask"] + (["token_type_ids"] if kind == "rerank" else [])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "input_ids"], ["words"]), *nodes],
        kind,
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "columns"]) for name in names],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(table, "table"), *weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def _embed(_: int, __: int) -> tuple[list[onnx.NodeProto], str, list[onnx.TensorProto]]:
    return [helper.make_node("Identity", ["words"], ["last_hidden_state"])], "last_hidden_state", []


def _classify(width: int, labels: int) -> tuple[list[onnx.NodeProto], str, list[onnx.TensorProto]]:
    head = np.random.default_rng(7).standard_normal((width, labels)).astype(np.float32)
    nodes = [
        helper.make_node("ReduceSum", ["words", "axis"], ["sum"], keepdims=0),
        helper.make_node("MatMul", ["sum", "head"], ["logits"]),
    ]
    weights = [numpy_helper.from_array(head, "head"), numpy_helper.from_array(np.array([1]), "axis")]
    return nodes, "logits", weights


def _rank(_: int, __: int) -> tuple[list[onnx.NodeProto], str, list[onnx.TensorProto]]:
    nodes = [
        helper.make_node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "second"], ["first"]),
    ]
    for part in ("first", "second"):
        nodes += [
            helper.make_node("Unsqueeze", [part, "last"], [f"{part} mask"]),
            helper.make_node("Mul", ["words", f"{part} mask"], [f"{part} words"]),
            helper.make_node("ReduceSum", [f"{part} words", "axis"], [f"{part} sum"], keepdims=0),
        ]
    nodes += [
        helper.make_node("Mul", ["first sum", "second sum"], ["product"]),
        helper.make_node("ReduceMean", ["product"], ["logits"], axes=[1], keepdims=1),
    ]
    one = numpy_helper.from_array(np.array(1.0, dtype=np.float32), "one")
    return (
        nodes,
        "logits",
        [one, *(numpy_helper.from_array(np.array([n]), name) for name, n in (("axis", 1), ("last", 2)))],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, default="embedding")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    print(make(options.out, options.kind, options.width, options.seed))


if __name__ == "__main__":
    main()
