"""Make a synthetic CTranslate2 model: a Llama of random weights with a byte-level tokenizer, the same for one seed.

    python scripts/make_ct2.py --out folder --quantisation int8

Built from CTranslate2's own specification, so that tests run the real runtime without a conversion or a download.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def tokenizer() -> Tokenizer:
    """Bytes, and the marks of ChatML."""
    letters = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(letters, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(text, special=True) for text in SPECIALS])
    return made


def make(folder: Path, quantisation: str = "int8", width: int = 64, layers: int = 2, seed: int = 1) -> Path:
    """Write the model into `folder`, which must not exist or be empty, and return it."""
    words, source = tokenizer(), np.random.default_rng(seed)
    spec = ctranslate2.specs.TransformerDecoderModelSpec.from_config(
        layers,
        4,
        activation=ctranslate2.specs.Activation.SWISH,
        pre_norm=True,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
    )
    size = words.get_vocab_size()
    spec.decoder.scale_embeddings = False

    def weigh(*shape: int) -> Any:
        return source.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(shape[-1]))

    spec.decoder.embeddings.weight = weigh(size, width)
    spec.decoder.projection.weight = weigh(size, width) * 4
    spec.decoder.layer_norm.gamma = np.ones(width, dtype=np.float32)
    for layer in spec.decoder.layer:
        for norm in (layer.self_attention.layer_norm, layer.ffn.layer_norm):
            norm.gamma = np.ones(width, dtype=np.float32)
        layer.self_attention.linear[0].weight = weigh(3 * width, width)
        layer.self_attention.linear[1].weight = weigh(width, width)
        layer.ffn.linear_0.weight = weigh(2 * width, width)
        layer.ffn.linear_0_noact.weight = weigh(2 * width, width)
        layer.ffn.linear_1.weight = weigh(width, 2 * width)
    ordered = sorted(words.get_vocab(), key=words.get_vocab().__getitem__)
    spec.register_vocabulary(ordered)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = SPECIALS[0], SPECIALS[2], SPECIALS[0]
    spec.validate()
    spec.optimize(quantization=None if quantisation == "float32" else quantisation)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    words.save(str(folder / "tokenizer.json"))
    about = {"chat_template": CHATML, "eos_token": SPECIALS[2], "model_max_length": 2048}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), "utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quantisation", choices=("float32", "int16", "int8"), default="int8")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    options = parser.parse_args()
    print(make(options.out, options.quantisation, options.width, options.layers))


if __name__ == "__main__":
    main()
