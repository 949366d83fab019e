"""The OpenAPI 3.1 description of every route, made from what the routes declare of themselves."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import Any, cast

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from kith import __version__
from kith.gateway.stream import PLAIN, Whole

_ERRORS = {
    "400": "The request is not valid; every wrong field is named.",
    "401": "The API token is missing or not valid.",
    "403": "Not allowed for this principal, host or origin.",
    "404": "There is no such thing.",
    "408": "The request was not sent in time.",
    "413": "The request is too large.",
    "429": "Too often; see Retry-After.",
    "501": "Nothing here does this yet, or an optional part is not installed.",
    "500": "Something went wrong inside Kith.",
    "503": "Not now; see Retry-After.",
}
_PARAMETER = re.compile(r"\{(\w+):\w+\}")


class Schema:
    """The route ``/openapi.json``.

    A route declares in its `opt`: ``answer`` (name of the answer's schema), ``body`` (its msgspec type), ``status``,
    ``stream`` (the media type that it can stream), ``only`` (it only streams), ``plain`` (it streams plain text too),
    ``lane`` (see `kith.gateway.lane`), ``query``, and either ``role``, the least role that it is for, or ``open``, with
    ``closed`` where it has a proof of its own in the body and refuses those that are not good.
    """

    def __init__(self, routes: Sequence[HTTPRouteHandler]) -> None:
        self._described = routes

    def routes(self) -> Sequence[HTTPRouteHandler]:
        """The route, ready to be registered."""
        return (get("/openapi.json", opt={"answer": "OpenAPI", "role": "guest"})(self.describe),)

    async def describe(self) -> ASGIApp:
        """Describe this API (OpenAPI 3.1)."""

        async def work() -> tuple[int, Any]:
            return 200, self.document()

        return Whole(work)

    def document(self) -> dict[str, Any]:
        """The whole description, JSON-shaped."""
        paths: dict[str, dict[str, Any]] = {}
        routes = [*self._described, *self.routes()]
        for route in routes:
            for path in route.paths:
                for method in route.http_methods:
                    paths.setdefault(_PARAMETER.sub(r"{\1}", path), {})[method.lower()] = _operation(route, path)
        _distinguish(paths)
        bodies = [route.opt["body"] for route in routes if "body" in route.opt]
        _, schemas = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
        answers = {str(route.opt["answer"]): {"type": "object"} for route in routes}
        return {
            "openapi": "3.1.0",
            "info": {"title": "Kith", "version": __version__, "description": "A private AI assistant."},
            "servers": [{"url": "/"}],
            "security": [{"token": []}],
            "paths": dict(sorted(paths.items())),
            "components": {
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "kith_..."}},
                "schemas": {**answers, **schemas, **_errors()},
            },
        }


def _operation(route: HTTPRouteHandler, path: str) -> dict[str, Any]:
    opt = route.opt
    function = cast("Any", route.fn)
    beginning = path.split("/")[1] or "root"
    end = "_" + "_".join(path.split("/")[2:]) if len(route.paths) > 1 else ""
    found: dict[str, Any] = {
        "operationId": f"{beginning}_{function.__name__}{end}",
        "summary": (inspect.getdoc(function) or "").split("\n")[0],
        "responses": _responses(opt, "OpenAIError" if path.startswith("/v1") else "KithError"),
    }
    names = [(name, "path") for name in _PARAMETER.findall(path)] + [(name, "query") for name in opt.get("query", ())]
    if names:
        found["parameters"] = [
            {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}}
            for name, where in names
        ]
    if "body" in opt:
        schema = {"$ref": f"#/components/schemas/{opt['body'].__name__}"}
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if opt.get("open"):
        found["security"] = []
    if "role" in opt:
        found["description"] = f"For the role {opt['role']} and above."
    return found


def _distinguish(paths: dict[str, dict[str, Any]]) -> None:
    """Operations of several rooms can have one name: those get their path's words behind it."""
    found = [(path, operation) for path, methods in paths.items() for operation in methods.values()]
    names = [operation["operationId"] for _, operation in found]
    for path, operation in found:
        if names.count(operation["operationId"]) > 1:
            words = [word for word in re.split(r"\W+", path) if word][1:]
            operation["operationId"] = "_".join((operation["operationId"], *words))


def _responses(opt: dict[str, Any], error: str) -> dict[str, Any]:
    answer = {"schema": {"$ref": f"#/components/schemas/{opt['answer']}"}}
    content = {} if opt.get("only") else {"application/json": answer}
    if "stream" in opt:
        content[str(opt["stream"])] = {"schema": {"type": "string"}}
        if opt.get("plain"):
            content[PLAIN.partition(";")[0]] = {"schema": {"type": "string"}}
    refusal = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    if opt.get("open") and not opt.get("closed"):
        others = {"503": {"description": _ERRORS["503"], "content": {"application/json": answer}}}
    else:
        others = {code: {"description": text, "content": refusal} for code, text in _ERRORS.items()}
    return {str(opt.get("status", 200)): {"description": "Done.", "content": content}, **others}


def _errors() -> dict[str, Any]:
    text = {"type": "string"}
    line = {"type": "integer"}
    fault = {"type": "object", "properties": {"path": text, "reason": text, "line": line}}
    house = {"code": text, "message": text, "hint": text, "faults": {"type": "array", "items": fault}}
    openai = {"message": text, "type": text, "param": {"type": ["string", "null"]}, "code": text}
    return {name: _wrapped(inner) for name, inner in (("KithError", house), ("OpenAIError", openai))}


def _wrapped(properties: dict[str, Any]) -> dict[str, Any]:
    inner = {"type": "object", "required": list(properties), "properties": properties}
    return {"type": "object", "required": ["error"], "properties": {"error": inner}}
