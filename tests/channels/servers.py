"""Real servers on free loopback ports, from the system's packages (scripts/servers.sh), each in a folder of its own.

Each `..._server(folder)` is a context manager that gives the `Server` when it answers, and ends it. Where a program is
missing the test is skipped, except in CI, where that is a failure.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import pwd
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

_PATIENCE = 90.0


@dataclass(slots=True)
class Server:
    """A server that answers on `port` of 127.0.0.1; `more` are its other ports by name."""

    port: int
    process: subprocess.Popen[bytes]
    folder: Path
    more: dict[str, int] = field(default_factory=dict)


def free_port() -> int:
    """A port that nobody listens at, below those that the system gives to connections (Linux: from 32768 on): none of
    them takes it before the server that it is for. Tests that run beside each other draw from ports of their own."""
    chance = random.SystemRandom()
    lanes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    lane = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % lanes
    width = 20_000 // lanes
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", 12_000 + lane * width + chance.randrange(width)))
            return int(probe.getsockname()[1])


def program(name: str) -> str:
    """The path of a server's program; skips the test where it is missing, and fails in CI."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is missing: run scripts/servers.sh")
    return found


@contextlib.contextmanager
def running(command: Sequence[str], folder: Path, port: int, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process of `command`, from the moment when `port` takes connections."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={**os.environ, **environ}
        )
    try:
        _until_open(process, folder, port)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_open(process: subprocess.Popen[bytes], folder: Path, port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
            return
        time.sleep(0.02)
    raise AssertionError(f"the server does not answer: {(folder / 'server.log').read_text(errors='replace')[-2000:]}")


def certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A certificate of its own for `name` and 127.0.0.1, and its key, as files."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    if not cert.exists():
        subprocess.run(
            [
                program("openssl"), "req", "-x509", "-newkey", "ec", "-nodes",
                "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", f"/CN={name}",
                "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1",
            ],
            check=True, capture_output=True,
        )  # fmt: skip
    return cert, key


@contextlib.contextmanager
def irc_server(folder: Path, *, tls: bool = False, password: str = "") -> Iterator[Server]:
    """ngircd; with `tls` the only port is encrypted, with the certificate in `folder`."""
    ngircd, port = program("ngircd"), free_port()
    lines = [
        "[Global]", "Name = irc.test", "Info = test", "Listen = 127.0.0.1", "PidFile =", "MotdPhrase = hello",
        f"Password = {password}" if password else "",
        *(["ServerUID = irc", "ServerGID = irc"] if os.getuid() == 0 else []),
        "[Limits]", "MaxConnectionsIP = 0", "MaxJoins = 50", "MaxPenaltyTime = 0",
        "PingTimeout = 20", "PongTimeout = 10",
        "[Options]", "DNS = no", "Ident = no", "PAM = no", "SyslogFacility = local1", "MorePrivacy = no",
    ]  # fmt: skip
    if tls:
        cert, key = certificate(folder)
        folder.chmod(0o755)
        key.chmod(0o644)
        lines += ["[SSL]", f"CertFile = {cert}", f"KeyFile = {key}", f"Ports = {port}"]
    else:
        lines.insert(1, f"Ports = {port}")
    (folder / "ngircd.conf").write_text("\n".join(lines) + "\n")
    with running([ngircd, "-n", "-f", str(folder / "ngircd.conf")], folder, port) as process:
        yield Server(port, process, folder)


@contextlib.contextmanager
def mqtt_server(folder: Path, port: int = 0, *, password: str = "") -> Iterator[Server]:
    """mosquitto, keeping sessions and messages in `folder`; open to everybody, or to ``kith`` with `password`."""
    mosquitto, port = program("mosquitto"), port or free_port()
    lines = [
        f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true", f"persistence_location {folder}/",
        "autosave_on_changes true", "autosave_interval 1", "max_queued_messages 100000", "max_inflight_messages 20",
        *(["user root"] if os.getuid() == 0 else []),
    ]  # fmt: skip
    if password:
        lines[1:2] = ["allow_anonymous false", f"password_file {folder / 'passwords'}"]
        subprocess.run(
            [program("mosquitto_passwd"), "-b", "-c", str(folder / "passwords"), "kith", password], check=True
        )
    (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
    with running([mosquitto, "-c", str(folder / "mosquitto.conf")], folder, port) as process:
        yield Server(port, process, folder)


class PostOffice:
    """aiosmtpd: puts mail for ``kith@home.test`` into a Maildir and keeps all other mail by its recipient."""

    def __init__(self, folder: Path) -> None:
        self._maildir = folder / "mail" / "kith"
        for name in ("cur", "new", "tmp"):
            (self._maildir / name).mkdir(parents=True, exist_ok=True)
        self._count = 0
        self.delivered: dict[str, list[bytes]] = {}
        self.refuse = ""
        self._lock = threading.Lock()

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        if self.refuse:
            return self.refuse
        for address in envelope.rcpt_tos:
            self.deliver(address, envelope.content)
        return "250 taken"

    def deliver(self, address: str, content: bytes) -> None:
        with self._lock:
            if address != "kith@home.test":
                self.delivered.setdefault(address, []).append(content)
                return
            self._count += 1
            now = time.time_ns()
            name = f"{now // 10**9}.M{now // 1000 % 10**6:06}P1Q{self._count}.test"
            path = self._maildir / "tmp" / name
            path.write_bytes(content)
            path.chmod(0o666)
            path.rename(self._maildir / "new" / name)


@contextlib.contextmanager
def smtp_server(folder: Path) -> Iterator[tuple[int, PostOffice]]:
    """aiosmtpd in a thread of its own, and its port."""
    from aiosmtpd.controller import Controller

    office, port = PostOffice(folder), free_port()
    controller = Controller(office, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield port, office
    finally:
        controller.stop()


@contextlib.contextmanager
def imap_server(folder: Path, *, tls: bool = False) -> Iterator[Server]:
    """dovecot with one mailbox: the user ``kith@home.test``, the password ``secret``, the Maildir of `PostOffice`."""
    dovecot, port = program("dovecot"), free_port()
    user = pwd.getpwuid(os.getuid()).pw_name
    root, mail = os.getuid() == 0, folder / "mail"
    for path in (mail, *mail.rglob("*")):
        path.chmod(0o777)
    owner = "mail" if root else user
    if root:
        shutil.chown(mail, "mail", "mail")
        for path in mail.rglob("*"):
            shutil.chown(path, "mail", "mail")
    cert, key = certificate(folder) if tls else (None, None)
    lines = [
        f"base_dir = {folder}/run", f"state_dir = {folder}/run", "log_path = /dev/stderr", "protocols = imap",
        "listen = 127.0.0.1", f"mail_location = maildir:{mail}/kith", "first_valid_uid = 0",
        "disable_plaintext_auth = no",
        "maildir_very_dirty_syncs = no", "mailbox_idle_check_interval = 1 secs", "mail_max_userip_connections = 100",
        *([] if root else [f"default_internal_user = {user}", f"default_login_user = {user}"]),
        *(["ssl = required", f"ssl_cert = <{cert}", f"ssl_key = <{key}"] if tls else ["ssl = no"]),
        "passdb {", "  driver = static", "  args = password=secret", "}",
        "userdb {", "  driver = static", f"  args = uid={owner} gid={owner} home={mail}", "}",
        "service imap-login {", f"  inet_listener imap{'s' if tls else ''} {{", f"    port = {port}",
        *(["    ssl = yes"] if tls else []), "  }",
        f"  inet_listener imap{'' if tls else 's'} {{", "    port = 0", "  }",
        *([] if root else ["  chroot ="]), "}", *([] if root else ["service anvil {", "  chroot =", "}"]),
    ]  # fmt: skip
    (folder / "dovecot.conf").write_text("\n".join(lines) + "\n")
    folder.chmod(0o755)
    with running([dovecot, "-F", "-c", str(folder / "dovecot.conf")], folder, port) as process:
        yield Server(port, process, folder)


@contextlib.contextmanager
def xmpp_server(folder: Path, users: Sequence[str] = ("kith",), *, tls: bool = False) -> Iterator[Server]:
    """prosody for ``home.test`` with an archive, and rooms at ``rooms.home.test``, files at port ``more["web"]``;
    every user's password is ``secret``.

    With `tls` its port takes only STARTTLS, with the certificate in `folder`.
    """
    prosody, port, web = program("prosody"), free_port(), free_port()
    accounts = folder / "data" / "home%2etest" / "accounts"
    accounts.mkdir(parents=True, exist_ok=True)
    for user in users:
        (accounts / f"{user}.dat").write_text('return { ["password"] = "secret"; };\n')
    cert, key = certificate(folder, "home.test") if tls else (None, None)
    lines = [
        "daemonize = false", f'pidfile = "{folder}/prosody.pid"', f'data_path = "{folder}/data"',
        'log = { info = "*console" }',
        'run_as_root = true', 'interfaces = { "127.0.0.1" }', f"c2s_ports = {{ {port} }}", "s2s_ports = {}",
        'authentication = "internal_plain"', "c2s_direct_tls_ports = {}", "https_ports = {}",
        f"http_ports = {{ {web} }}", 'http_interfaces = { "127.0.0.1" }', 'http_default_host = "files.home.test"',
        f"c2s_require_encryption = {'true' if tls else 'false'}", "allow_unencrypted_plain_auth = true",
        'modules_enabled = { "roster", "saslauth", "disco", "ping", "mam", "smacks", "carbons"'
        + (', "tls" }' if tls else " }"),
        'modules_disabled = { "s2s", "limits" }', "default_archive_policy = true", 'storage = "internal"',
        "max_archive_query_results = 200",
        f'ssl = {{ certificate = "{cert}"; key = "{key}" }}' if tls else "",
        'VirtualHost "home.test"', 'Component "rooms.home.test" "muc"', '  modules_enabled = { "muc_mam" }',
        "  muc_log_by_default = true", "  muc_log_all_rooms = true", "  muc_room_locking = false",
        'Component "files.home.test" "http_file_share"', f'  http_external_url = "http://127.0.0.1:{web}/"',
        '  http_file_share_access = { "home.test" }', "  http_file_share_size_limit = 1000000",
    ]  # fmt: skip
    (folder / "prosody.cfg.lua").write_text("\n".join(lines) + "\n")
    with running([prosody, "-F", "--config", str(folder / "prosody.cfg.lua")], folder, port) as process:
        yield Server(port, process, folder, {"web": web})


@contextlib.contextmanager
def matrix_server(folder: Path, users: Sequence[str] = ("kith",)) -> Iterator[Server]:
    """matrix-synapse for ``home.test`` on SQLite, from its own environment; every user's password is ``secret``."""
    python = Path(os.environ.get("KITH_SYNAPSE", Path(__file__).parents[2] / ".venv" / "synapse")) / "bin" / "python"
    if not python.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("synapse is missing: run scripts/servers.sh")
    port = free_port()
    fast = {"per_second": 10_000, "burst_count": 10_000}
    settings: dict[str, Any] = {
        "server_name": "home.test",
        "pid_file": str(folder / "synapse.pid"),
        "listeners": [
            {"port": port, "type": "http", "bind_addresses": ["127.0.0.1"], "resources": [{"names": ["client"]}]}
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "synapse.db")}},
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "registration_shared_secret": "shared",
        "macaroon_secret_key": "macaroon",
        "form_secret": "form",
        "report_stats": False,
        "suppress_key_server_warning": True,
        "trusted_key_servers": [],
        "bcrypt_rounds": 4,
        "presence": {"enabled": False},
        "rc_message": fast,
        "rc_login": {"address": fast, "account": fast, "failed_attempts": fast},
        "rc_joins": {"local": fast, "remote": fast},
        "rc_invites": {"per_room": fast, "per_user": fast, "per_issuer": fast},
        "rc_registration": fast,
    }
    (folder / "homeserver.yaml").write_text(yaml.safe_dump(settings))
    command = [str(python), "-m", "synapse.app.homeserver", "-c", str(folder / "homeserver.yaml")]
    subprocess.run([*command, "--generate-keys"], cwd=folder, check=True, capture_output=True)
    with running(command, folder, port) as process:
        for user in users:
            _register(port, user)
        yield Server(port, process, folder)


def _register(port: int, user: str) -> None:
    """Make an account by the shared secret (synapse's admin API)."""
    url = f"http://127.0.0.1:{port}/_synapse/admin/v1/register"
    nonce = httpx.get(url, timeout=90).json()["nonce"]
    mac = hmac.new(b"shared", "\0".join((nonce, user, "secret", "notadmin")).encode(), "sha1").hexdigest()
    made = {"nonce": nonce, "username": user, "password": "secret", "admin": False, "mac": mac}
    httpx.post(url, json=made, timeout=90).raise_for_status()
