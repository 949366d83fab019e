"""`kith doctor --security`: each setting that lets somebody in, what they would do with it, and how to mend it.

``fail`` is what no household should run with: `kith serve` refuses it too. The settings are read as a tree of plain
values, as `kith.yaml` has them, so that no other room is asked.
"""

from __future__ import annotations

import ipaddress
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from kith.ops.finding import Finding, Status

Tree = Mapping[str, Any]
_OLD = 365 * 86400.0  # seconds after which a key is old
_FLOOD = 6000.0  # messages a minute of one sender that are no limit any more
_SECRET = re.compile(r"(?:key|token|secret|password|passwd|dsn|authorization)$", re.IGNORECASE)
_LOOSE = 0o077


def exposed(home: Path, settings: Tree, written: Tree, now: float | None = None) -> list[Finding]:
    """What an attacker could use, the worst first. `settings` with all defaults, `written` as the file has it."""
    found = [
        *_files(home, time.time() if now is None else now),
        *_door(settings.get("gateway", {})),
        *_secrets(written, ()),
        *_people(settings.get("security", {}), _public(settings.get("gateway", {}))),
        *_channels(settings.get("channels", {})),
        *_programs(settings.get("plugins", {})),
        *_models(settings.get("models", [])),
    ]
    if str(settings.get("log", {}).get("level", "")).lower() == "debug":
        found.append(_risk("warn", "debug_log"))
    return sorted(found, key=lambda one: one.status != "fail") or [Finding("exposure", "ok", "risk_none")]


def _risk(status: Status, which: str, /, **values: Any) -> Finding:
    return Finding("exposure", status, f"risk_{which}", values)


def _public(gateway: Tree) -> bool:
    try:
        return not ipaddress.ip_address(str(gateway.get("host", "127.0.0.1"))).is_loopback
    except ValueError:
        return True


def _files(home: Path, now: float) -> Iterator[Finding]:
    """Who else on this machine can read what should be the owner's alone."""
    if os.name == "nt":
        return
    for name, status in (("keys", "fail"), ("data", "warn"), ("run", "warn"), ("kith.yaml", "warn")):
        place = home / name
        if place.exists() and stat.S_IMODE(place.stat().st_mode) & _LOOSE and _reachable(home):
            yield _risk(cast("Status", status), "readable", place=place)
    key = home / "keys" / "master.key"
    if key.exists() and now - key.stat().st_mtime > _OLD:
        yield _risk("warn", "old_key", days=int((now - key.stat().st_mtime) // 86400))
    if os.geteuid() == 0:
        yield _risk("warn", "root")


def _reachable(home: Path) -> bool:
    """Whether others can pass through the folder itself."""
    return bool(stat.S_IMODE(home.stat().st_mode) & 0o011)


def _door(gateway: Tree) -> Iterator[Finding]:
    if _public(gateway):
        tls = gateway.get("tls", {})
        if not (tls.get("automatic") or tls.get("certificate") or tls.get("acme")):
            yield _risk("fail", "no_tls", host=gateway.get("host"))
        if not gateway.get("origins"):
            yield _risk("fail", "no_origins")
        if not gateway.get("allow"):
            yield _risk("warn", "everywhere", host=gateway.get("host"))
    for network in gateway.get("proxies", []):
        if ipaddress.ip_network(str(network), strict=False).num_addresses > 2**16:
            yield _risk("fail", "proxies", network=network)
    for origin in gateway.get("origins", []):
        if urlsplit(str(origin)).scheme == "http" and not _local(str(origin)):
            yield _risk("warn", "plain_origin", origin=origin)


def _secrets(value: Any, path: tuple[str, ...]) -> Iterator[Finding]:
    """Secrets that stand in the file themselves, wherever they stand."""
    if isinstance(value, Mapping):
        for key, one in cast("Mapping[str, Any]", value).items():
            yield from _secrets(one, (*path, str(key)))
    elif isinstance(value, list):
        for place, one in enumerate(cast("list[Any]", value)):
            yield from _secrets(one, (*path, str(place)))
    elif isinstance(value, str) and path and value and "${" not in value and _SECRET.search(path[-1]):
        bare = path[-1].lower().endswith("dsn") and not re.search(r"://[^/@\s]*:[^/@\s]+@", value)
        if not bare:
            yield _risk("warn", "plain_secret", path=".".join(path))


def _people(security: Tree, public: bool) -> Iterator[Finding]:
    chosen = security.get("filter", {})
    if chosen.get("incoming") == "off" or chosen.get("outgoing") == "off":
        yield _risk("warn", "filter")
    if security.get("second_factor") == "off" and public:
        yield _risk("fail", "second_factor")
    if float(security.get("messages_per_minute", 0)) > _FLOOD:
        yield _risk("warn", "flood", limit=int(float(security["messages_per_minute"])))
    if float(security.get("code_hours", 0)) > 72:
        yield _risk("warn", "codes", hours=security["code_hours"])


def _channels(channels: Tree) -> Iterator[Finding]:
    for name, one in channels.items():
        if isinstance(one, Mapping):
            open_to = [key for key, value in cast("Mapping[str, Any]", one).items() if value in ("open", "everybody")]
            if open_to:
                yield _risk("warn", "open_channel", name=name, setting=open_to[0])


def _programs(plugins: Tree) -> Iterator[Finding]:
    for one in cast("list[Tree]", plugins.get("mcp", [])):
        name = one.get("name", "?")
        if one.get("command"):
            yield _risk("warn", "program", name=name, command=one["command"][0])
        elif str(one.get("url", "")).startswith("http://") and not _local(str(one["url"])):
            yield _risk("warn", "plain_server", name=name)
        if one.get("role") == "guest":
            yield _risk("warn", "guests_tools", name=name)


def _models(models: Any) -> Iterator[Finding]:
    for one in cast("list[Tree]", models if isinstance(models, list) else []):
        url = str(one.get("url") or "")
        if not url or _local(url):
            continue
        if url.startswith("http://"):
            yield _risk(
                "fail" if one.get("api_key") and one.get("trusted") else "warn", "plain_model", name=one["name"]
            )
        if one.get("trusted"):
            yield _risk("warn", "trusted_model", name=one["name"], host=urlsplit(url).hostname)


def _local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
