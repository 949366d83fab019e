"""Everything that can go wrong, as a tree.

KithError
├── Refused      not allowed, or too often                  403 / 429
├── NotFound     no such thing                              404
├── Invalid      input that cannot be accepted, and where   400
├── Unavailable  not now; `retry_after` says when           503
├── Missing      an optional part is not installed          501
└── Broken       a bug of ours                              500

`code` is stable and machine-readable, `hint` says what to do about it, `retry` whether trying again can help.
"""

from __future__ import annotations

from dataclasses import dataclass, field


class KithError(Exception):
    """The root. `str(error)` is a sentence that may be shown to a person."""

    status = 500
    code = "error"
    retry = False

    def __init__(self, message: str, *, code: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code:
            self.code = code


class Refused(KithError):
    """Not allowed (403), not known (401, code ``unauthenticated``) or too often (429, with `retry_after` seconds)."""

    status = 403
    code = "refused"

    def __init__(self, message: str, *, code: str = "", hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after = retry_after
        if retry_after is not None:
            self.status, self.retry = 429, True
        elif code == "unauthenticated":
            self.status = 401


class NotFound(KithError):
    """There is no such thing."""

    status = 404
    code = "not_found"


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in an input: where it is (`path`, and `line` counted from 1, 0 if unknown) and why.

    `kind` and `values` are for saying the reason in another language: empty where it is known in English only.
    """

    path: str
    reason: str
    line: int = 0
    kind: str = field(default="", compare=False)
    values: tuple[tuple[str, str], ...] = field(default=(), compare=False)


class Invalid(KithError):
    """An input that cannot be accepted: every mistake found in it, with its place."""

    status = 400
    code = "invalid"

    def __init__(
        self, message: str, *, faults: tuple[Fault, ...] = (), file: str = "", code: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.faults = faults
        self.file = file

    def __str__(self) -> str:
        lines = [self.message]
        for fault in self.faults:
            place = ":".join(part for part in (self.file, str(fault.line) if fault.line else "") if part)
            lines.append(" ".join(part for part in (place, fault.path, fault.reason) if part))
        return "\n  ".join(lines)


class Unavailable(KithError):
    """Cannot be done now. `retry_after` is in seconds."""

    status = 503
    code = "unavailable"
    retry = True

    def __init__(self, message: str, *, retry_after: float = 1.0, code: str = "", hint: str = "") -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after = retry_after


class Missing(KithError):
    """An optional part is not installed; `hint` is the command that installs it."""

    status = 501
    code = "missing"

    def __init__(self, message: str, *, extra: str, code: str = "") -> None:
        super().__init__(message, code=code, hint=f'pip install "kith[{extra}]"')
        self.extra = extra


class Broken(KithError):
    """A bug of ours, or of an extension."""

    code = "broken"
