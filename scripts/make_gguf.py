"""Make synthetic GGUF language models: random weights, real dimensions, the same file for the same seed.

    python scripts/make_gguf.py --preset tiny --out tiny.gguf
    python scripts/make_gguf.py --preset 0.5b --type q8_0 --out half.gguf

They load in llama.cpp and stream tokens, so that tests and benchmarks run the real runtime without a download. What
they say means nothing. The dimensions of ``0.5b`` are those of Qwen2.5-0.5B; ``1.3b`` has 24 layers of width 2048 and
a vocabulary of GPT-2's size.

A bias that no architecture has to know about keeps the output readable: dimension 0 of the residual stream is the same
positive constant for every token, no layer writes to it, and the output matrix uses it to push down tokens that are
not printable ASCII (and, unless ``--stops``, the end-of-text token, so that a reply is exactly as long as asked).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QUANTS = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
}
ROWS = 8192  # rows generated and quantised at a time: bounds the memory of the script


@dataclass(frozen=True)
class Shape:
    """The dimensions of a Llama."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    feed: int
    vocabulary: int
    context: int
    type: str


PRESETS = {
    "tiny": Shape(64, 2, 4, 2, 128, 512, 8192, "f16"),
    "0.5b": Shape(896, 24, 14, 2, 4864, 151936, 32768, "q8_0"),
    "1.3b": Shape(2048, 24, 32, 4, 5632, 50304, 4096, "q8_0"),
}


def byte_alphabet() -> list[str]:
    """The 256 printable stand-ins for bytes of GPT-2's byte-level BPE (``bytes_to_unicode``)."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(spare)) for byte in range(256)]


def tokenizer(size: int) -> tuple[list[str], list[str]]:
    """(tokens, merges) of a byte-level BPE of exactly `size` tokens, the specials last; no text is needed.

    Merges join lower-case ASCII pairs, then those with a letter: they shorten English somewhat and cost nothing.
    """
    alphabet = byte_alphabet()
    tokens, merges, known = list(alphabet), list[str](), set(alphabet)
    space = alphabet[0x20]
    letters = [*"etaoinshrdlucmfwypvbgkjqxz"]
    for left, right in pairs(letters, space):
        if len(tokens) >= size - len(SPECIALS):
            break
        if left + right not in known:
            tokens.append(left + right)
            known.add(left + right)
            merges.append(f"{left} {right}")
    while len(tokens) < size - len(SPECIALS):
        tokens.append(f"<|spare_{len(tokens)}|>")
    return [*tokens, *SPECIALS], merges


def pairs(letters: list[str], space: str) -> Iterator[tuple[str, str]]:
    for left in [space, *letters]:
        for right in letters:
            yield left, right
    for first in [space, *letters]:
        for second in letters:
            for third in letters:
                yield first + second, third


def printable(token: str) -> bool:
    return all(character == "\u0120" or "!" <= character <= "~" for character in token) and not token.startswith("<|")


def token_type(token: str) -> gguf.TokenType:
    if token in SPECIALS:
        return gguf.TokenType.CONTROL
    return gguf.TokenType.UNUSED if token.startswith("<|") else gguf.TokenType.NORMAL


def describe(writer: gguf.GGUFWriter, shape: Shape, name: str, template: str, says: Sequence[str] = ()) -> list[str]:
    """Write the metadata; returns the tokens. The pieces that it `says` are the last before the specials."""
    tokens, merges = tokenizer(shape.vocabulary)
    if new := [spelled(piece) for piece in says if spelled(piece) not in tokens]:
        end = len(tokens) - len(SPECIALS)
        tokens[end - len(new) : end] = new
        kept = set(tokens)
        merges = [merge for merge in merges if merge.replace(" ", "") in kept]
    writer.add_name(name)
    writer.add_license("apache-2.0")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.width // shape.heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(FILE_TYPES[shape.type])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([token_type(token) for token in tokens])
    writer.add_token_merges(merges)
    end = shape.vocabulary - len(SPECIALS)
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(shape.vocabulary - 1)
    writer.add_eot_token_id(shape.vocabulary - 1)
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)
    return tokens


def plan(shape: Shape) -> Iterator[tuple[str, int, int]]:
    """(name, rows, columns) of every tensor; rows 0 for a vector."""
    narrow = shape.width // shape.heads * shape.kv_heads
    yield "token_embd.weight", shape.vocabulary, shape.width
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        yield block + "attn_norm.weight", 0, shape.width
        yield block + "attn_q.weight", shape.width, shape.width
        yield block + "attn_k.weight", narrow, shape.width
        yield block + "attn_v.weight", narrow, shape.width
        yield block + "attn_output.weight", shape.width, shape.width
        yield block + "ffn_norm.weight", 0, shape.width
        yield block + "ffn_gate.weight", shape.feed, shape.width
        yield block + "ffn_up.weight", shape.feed, shape.width
        yield block + "ffn_down.weight", shape.width, shape.feed
    yield "output_norm.weight", 0, shape.width
    yield "output.weight", shape.vocabulary, shape.width


def values(
    name: str, rows: range, columns: int, source: np.random.Generator, bad: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Rows `rows` of the tensor `name`, with the constant dimension 0 described above."""
    data = source.standard_normal((len(rows), columns), dtype=np.float32) * np.float32(1.0 / np.sqrt(columns))
    if name == "token_embd.weight":
        data *= np.float32(np.sqrt(columns))
        data[:, 0] = 1.0
    elif name == "output.weight":
        data *= np.float32(2.0)
        data[:, 0] = np.where(bad[rows.start : rows.stop], np.float32(-1000.0), np.float32(0.0))
    elif name.endswith(("attn_output.weight", "ffn_down.weight")):
        data *= np.float32(0.3)
        if rows.start == 0:
            data[0, :] = 0.0
    return data


def packed(data: NDArray[np.float32], kind: gguf.GGMLQuantizationType) -> NDArray[np.generic]:
    if kind == gguf.GGMLQuantizationType.F32:
        return data
    if kind == gguf.GGMLQuantizationType.F16:
        return data.astype(np.float16)
    return gguf.quants.quantize(data, kind)


def scripted(out: Path, says: list[str], template: str = CHATML) -> Path:
    """A model of the tiny shape that says the given pieces, one token each, and then ends, whatever it is asked.

    Each piece is a token that leads to the next, so none may be there twice; the new line before a reply leads to the
    first. Layers add nothing: the next token depends on the last alone. (A grammar that forces a text spells it with
    tokens of its own choice, and the script goes on behind the last of them.)
    """
    shape = Shape(**{**vars(PRESETS["tiny"]), "type": "f32"})
    writer = gguf.GGUFWriter(out, "llama")
    tokens = describe(writer, shape, "synthetic-scripted", template, says)
    chain = [tokens.index(byte_alphabet()[10]), *(tokens.index(spelled(piece)) for piece in says), len(tokens) - 1]
    for name, rows, columns in plan(shape):
        data = np.ones(columns, dtype=np.float32) if not rows else np.zeros((rows, columns), dtype=np.float32)
        if name == "token_embd.weight":
            data[[token not in chain for token in range(rows)], -1] = 1.0  # what is not in the script ends it
        elif name == "output.weight":
            data[chain[-1], -1] = 10.0
        for place, token in enumerate(chain):
            if name == "token_embd.weight":
                data[token, place] = 1.0
            elif name == "output.weight" and place:
                data[token, place - 1] = 10.0
        writer.add_tensor(name, data)
    return finish(writer, out)


def spelled(text: str) -> str:
    """A text as a byte-level vocabulary writes it."""
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in text.encode())


def adapter(out: Path, seed: int = 2, preset: str = "tiny") -> Path:
    """A LoRA adapter of rank 4 over the queries and the output of the first layer."""
    shape, source = PRESETS[preset], np.random.default_rng(seed)
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 8.0)
    for name in ("attn_q", "ffn_up"):
        rows = shape.width if name == "attn_q" else shape.feed
        for suffix, size in (("lora_a", (4, shape.width)), ("lora_b", (rows, 4))):
            writer.add_tensor(f"blk.0.{name}.weight.{suffix}", source.standard_normal(size, dtype=np.float32))
    return finish(writer, out)


def ranker(out: Path, seed: int = 5) -> Path:
    """A model with a head that scores how well a text answers a query, as the rerankers of Qwen3."""
    shape, source = Shape(**{**vars(PRESETS["tiny"]), "type": "f32"}), np.random.default_rng(seed)
    writer = gguf.GGUFWriter(out, "qwen3")
    describe(writer, shape, "synthetic-ranker", "")
    head = shape.width // shape.heads
    writer.add_pooling_type(gguf.PoolingType.RANK)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_classifier_output_labels(["yes", "no"])
    for name, rows, columns in plan(shape):
        data = source.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.2)
        writer.add_tensor(name, data if rows else np.ones(columns, dtype=np.float32))
    for layer in range(shape.layers):
        for part in ("attn_q_norm", "attn_k_norm"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", np.ones(head, dtype=np.float32))
    writer.add_tensor("cls.output.weight", source.standard_normal((2, shape.width), dtype=np.float32))
    return finish(writer, out)


def projector(out: Path, seed: int = 3, preset: str = "tiny") -> Path:
    """Eyes for a model: a vision transformer of one layer that makes 4 tokens of a picture, as LLaVA's."""
    width, feed, heads, size, patch = 32, 64, 2, 28, 14
    source = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(out, "clip")
    writer.add_type(gguf.GGUFType.MMPROJ)
    writer.add_clip_has_vision_encoder(True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_vision_projection_dim(PRESETS[preset].width)
    writer.add_vision_image_size(size)
    writer.add_vision_patch_size(patch)
    writer.add_vision_embedding_length(width)
    writer.add_vision_feed_forward_length(feed)
    writer.add_vision_block_count(1)
    writer.add_vision_head_count(heads)
    writer.add_vision_attention_layernorm_eps(1e-5)
    writer.add_vision_image_mean([0.5, 0.5, 0.5])
    writer.add_vision_image_std([0.5, 0.5, 0.5])
    writer.add_vision_use_gelu(True)

    def weigh(name: str, *shape: int) -> None:
        writer.add_tensor(name, source.standard_normal(shape, dtype=np.float32) * np.float32(0.2))

    weigh("v.patch_embd.weight", width, 3, patch, patch)
    weigh("v.class_embd", width)
    weigh("v.position_embd.weight", (size // patch) ** 2 + 1, width)
    for part in ("v.pre_ln", "v.post_ln", "v.blk.0.ln1", "v.blk.0.ln2"):
        writer.add_tensor(f"{part}.weight", np.ones(width, dtype=np.float32))
        writer.add_tensor(f"{part}.bias", np.zeros(width, dtype=np.float32))
    for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
        weigh(f"v.blk.0.{part}.weight", width, width)
        weigh(f"v.blk.0.{part}.bias", width)
    for part, rows, columns in (("ffn_up", feed, width), ("ffn_down", width, feed)):
        weigh(f"v.blk.0.{part}.weight", rows, columns)
        weigh(f"v.blk.0.{part}.bias", rows)
    for part, rows, columns in (("mm.0", 64, width), ("mm.2", PRESETS[preset].width, 64)):
        weigh(f"{part}.weight", rows, columns)
        weigh(f"{part}.bias", rows)
    return finish(writer, out)


def finish(writer: gguf.GGUFWriter, out: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def make(
    out: Path, preset: str = "tiny", kind: str = "", seed: int = 1, template: str = CHATML, stops: bool = False
) -> Path:
    """Write the model to `out` and return it. `template` may be empty: a file without a chat template."""
    shape = PRESETS[preset]
    shape = Shape(**{**vars(shape), "type": kind or shape.type})
    quant, source = QUANTS[shape.type], np.random.default_rng(seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(out, "llama", use_temp_file=True)
    tokens = describe(writer, shape, f"synthetic-{preset}", template)
    bad = np.array([not printable(token) for token in tokens])
    bad[-1] = bad[-1] and not stops
    for name, rows, columns in plan(shape):
        if rows == 0:
            writer.add_tensor(name, np.ones(columns, dtype=np.float32))
            continue
        chunks = (range(start, min(start + ROWS, rows)) for start in range(0, rows, ROWS))
        writer.add_tensor(
            name,
            np.concatenate([packed(values(name, chunk, columns, source, bad), quant) for chunk in chunks]),
            raw_dtype=quant,
        )
    return finish(writer, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="tiny")
    parser.add_argument("--type", choices=sorted(QUANTS), default="", help="element type; the preset's own by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stops", action="store_true", help="let the model end its replies")
    parser.add_argument("--no-template", action="store_true", help="leave the chat template out")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    path = make(
        options.out, options.preset, options.type, options.seed, "" if options.no_template else CHATML, options.stops
    )
    print(f"{path} {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
