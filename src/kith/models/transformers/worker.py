"""The process that holds one model of Transformers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from kith.runtime.template import ChatTemplate
from kith.runtime.work import Failure, Job, Speech, serve

SAFE = {"local_files_only": True, "trust_remote_code": False}
"""Nothing is downloaded, and code that comes with a model is not run."""


class Generator:
    """The loaded model with its tokenizer."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        torch: Any = importlib.import_module("torch")
        library: Any = importlib.import_module("transformers")
        self._torch, self._library, self._options = torch, library, options
        torch.set_num_threads(options["threads"])
        path = options["path"]
        self._tokenizer = library.AutoTokenizer.from_pretrained(path, **SAFE)
        loader = library.AutoModel if options["kind"] == "embed" else library.AutoModelForCausalLM
        numbers = options["numbers"] if options["numbers"] == "auto" else getattr(torch, options["numbers"])
        self._device = device_of(torch, options["device"])
        self._model = loader.from_pretrained(path, use_safetensors=True, dtype=numbers, **SAFE).to(self._device).eval()
        self.hello: Mapping[str, Any] = {"device": self._device}
        source = options["template"] or getattr(self._tokenizer, "chat_template", None) or ""
        specials = {key: str(getattr(self._tokenizer, key, None) or "") for key in ("bos_token", "eos_token")}
        controls = [str(token) for token in self._tokenizer.all_special_tokens]
        self._template = ChatTemplate(source if isinstance(source, str) else "", controls, specials)

    def prepare(self, job: Job) -> None:
        """Render a conversation. Raises `Failure`."""
        if "chat" not in job.frame:
            return
        try:
            job.prepared = self._template.render(job.frame["chat"]["messages"], job.frame["chat"]["now"])
        except ValueError as error:
            raise Failure("invalid_prompt", str(error)) from None

    def work(self, job: Job) -> None:
        """Answer one request."""
        if "count" in job.frame:
            job.send(n=len(self._tokenizer(job.frame["count"], add_special_tokens=False)["input_ids"]))
        elif "embed" in job.frame:
            job.send(v=self._embed(job.frame["embed"]))
        else:
            self._chat(job)

    def _embed(self, texts: list[str]) -> list[list[float]]:
        if not texts:
            return []
        torch, limit = self._torch, self._options["context"]
        given = self._tokenizer(texts, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            found = self._model(**given.to(self._device)).last_hidden_state.float()
            weights = given["attention_mask"].unsqueeze(-1).to(found.dtype)
            rows = (found * weights).sum(1) / weights.sum(1).clamp(min=1)
            return torch.nn.functional.normalize(rows, dim=1).cpu().tolist()

    def _chat(self, job: Job) -> None:
        chat, torch = job.frame["chat"], self._torch
        given = self._tokenizer(job.prepared, add_special_tokens=False, return_tensors="pt").to(self._device)
        length = int(given["input_ids"].shape[1])
        room = self._options["context"] - length
        if room < 1 or not length:
            raise Failure("too_long", f"{length} tokens, it takes {self._options['context']}")
        if chat["seed"] is not None:
            torch.manual_seed(int(chat["seed"]) & 0x7FFFFFFF)
        speech = Speech(lambda tokens: self._tokenizer.decode(tokens, skip_special_tokens=True), chat["stop"])
        mouth = Mouth(job, speech)
        most = min(chat["max_tokens"] or room, room)

        def enough(ids: Any, *_: Any, **__: Any) -> Any:
            return torch.full((ids.shape[0],), mouth.over, device=ids.device)

        with torch.inference_mode():
            self._model.generate(
                **given,
                max_new_tokens=most,
                streamer=mouth,
                stopping_criteria=[enough],
                **choice(chat["temperature"], chat["top_p"]),
            )
        if text := "" if job.cancelled.is_set() else speech.end():
            job.send(t=text)
        full = mouth.made >= most and not speech.stopped
        job.send(end=_reason(job, full=full), usage=[length, mouth.made, 0])


class Mouth:
    """What Transformers calls a streamer: it gets the prompt first, then each token."""

    def __init__(self, job: Job, speech: Speech) -> None:
        self.made = 0
        self._job, self._speech = job, speech
        self._prompt = True

    @property
    def over(self) -> bool:
        """Whether to stop: nobody listens any more, or enough is said."""
        return self._speech.stopped or self._job.cancelled.is_set()

    def put(self, value: Any) -> None:
        """Hear the prompt, then tokens."""
        if self._prompt:
            self._prompt = False
            return
        for token in value.flatten().tolist():
            self.made += 1
            if not self.over and (text := self._speech.add(int(token))):
                self._job.send(t=text)

    def end(self) -> None:
        """Nothing more comes."""


def _reason(job: Job, *, full: bool) -> str:
    return "cancelled" if job.cancelled.is_set() else "length" if full else "stop"


def choice(temperature: float | None, top_p: float | None) -> dict[str, Any]:
    """How to choose tokens, in Transformers' words; what is not said is left to the model's own settings."""
    if temperature is not None and temperature <= 0:
        return {"do_sample": False}
    said = {"temperature": temperature, "top_p": top_p}
    return {"do_sample": True, **{key: value for key, value in said.items() if value is not None}}


def device_of(torch: Any, wanted: str) -> str:
    """What computes: a graphics processor where there is one."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


if __name__ == "__main__":
    serve(Generator)
