"""A certificate from an authority by ACME (RFC 8555), with the challenge HTTP-01. The library is the extra ``acme``.

The challenge is answered by a server of its own that exists for that moment only, and says nothing but its answer.
"""

from __future__ import annotations

import datetime
import importlib
import importlib.util
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kith import __version__
from kith.core.errors import Invalid, Missing, Unavailable
from kith.gateway.settings import AcmeSettings
from kith.runtime.files import write_private

_PATH = "/.well-known/acme-challenge/"
_NONSENSE = (ValueError, TypeError, KeyError, AttributeError)  # what the library makes of an answer that is none
_PATIENCE = datetime.timedelta(seconds=90)


def order(settings: AcmeSettings, names: Sequence[str], host: str, certificate: Path, key: Path) -> None:
    """Get a certificate for `names` and write it, with its key, where told. Blocks for up to some minutes.

    Raises `Missing` without the library, `Invalid` for what can never succeed, `Unavailable` when it did not this time.
    """
    if importlib.util.find_spec("acme") is None:
        raise Missing("ACME is not installed", extra="acme")
    acme: Any = importlib.import_module("acme.client")
    errors: Any = importlib.import_module("acme.errors")
    library: Any = importlib.import_module("acme.crypto_util")
    requests: Any = importlib.import_module("requests")
    messages: Any = importlib.import_module("acme.messages")
    jose: Any = importlib.import_module("josepy")
    private = _pem(ec.generate_private_key(ec.SECP256R1()))
    try:
        client, account = _client(acme, settings, certificate.with_name("acme-account.key"))
        _register(client, settings)
        made = client.new_order(library.make_csr(private, list(names)))
        proofs = dict(_proof(authority, account) for authority in made.authorizations)
        with _answering(host, settings.port, {path: said for path, (_, said, _) in proofs.items()}):
            for challenge, _, response in proofs.values():
                client.answer_challenge(challenge, response)
            finished = client.poll_and_finalize(made, datetime.datetime.now() + _PATIENCE)  # noqa: DTZ005  # its own clock
    except (errors.Error, messages.Error) as error:
        raise Unavailable(f"the certificate authority refused: {_reason(error)}", code="acme_failed") from None
    except (requests.RequestException, jose.errors.Error, OSError, *_NONSENSE) as error:
        reason = f"the certificate authority, or port {settings.port}, cannot be used: {type(error).__name__}"
        raise Unavailable(reason, code="acme_failed", retry_after=60) from None
    write_private(key, private)
    write_private(certificate, finished.fullchain_pem.encode())


def _client(acme: Any, settings: AcmeSettings, path: Path) -> tuple[Any, Any]:
    """A client of the directory with this household's account key, which is made when there is none."""
    jose: Any = importlib.import_module("josepy")
    if not path.is_file():
        write_private(path, _pem(ec.generate_private_key(ec.SECP256R1())))
    account = jose.JWKEC(key=serialization.load_pem_private_key(path.read_bytes(), None))
    net = acme.ClientNetwork(account, alg=jose.ES256, user_agent=f"kith/{__version__}")
    net.session.trust_env = False  # where bytes go is decided by the settings alone
    if settings.authority is not None:
        net.verify_ssl = str(settings.authority.expanduser())
    return acme.ClientV2(acme.ClientV2.get_directory(settings.directory, net), net), account


def _register(client: Any, settings: AcmeSettings) -> None:
    messages: Any = importlib.import_module("acme.messages")
    errors: Any = importlib.import_module("acme.errors")
    mail = settings.contact or None
    try:
        client.new_account(messages.NewRegistration.from_data(email=mail, terms_of_service_agreed=settings.agreed))
    except errors.ConflictError as known:
        held = messages.RegistrationResource(uri=known.location, body=messages.Registration())
        client.query_registration(held)


def _proof(authority: Any, account: Any) -> tuple[str, tuple[Any, bytes, Any]]:
    """The path at which one name is proved, with the challenge, what is to be said there, and the word that it is."""
    kinds: Any = importlib.import_module("acme.challenges")
    for challenge in authority.body.challenges:
        if isinstance(challenge.chall, kinds.HTTP01):
            response, said = challenge.response_and_validation(account)
            return challenge.chall.path, (challenge, said.encode(), response)
    raise Unavailable("the certificate authority offers no challenge by HTTP", code="acme_failed")


@contextmanager
def _answering(host: str, port: int, answers: Mapping[str, bytes]) -> Generator[None]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            said = answers.get(self.path)
            self.send_response(404 if said is None else 200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(said or b"")))
            self.end_headers()
            self.wfile.write(said or b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            del format, args

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _reason(error: Exception) -> str:
    """What the authority says, short and on one line: it is shown to the owner."""
    return " ".join(str(getattr(error, "detail", "") or error or type(error).__name__).split())[:300]


def check_names(names: Sequence[str]) -> None:
    """Raises `Invalid` unless there are names that an authority can vouch for."""
    if not names:
        raise Invalid(
            "a certificate authority vouches for names, and gateway.origins has none",
            code="bad_certificate",
            hint="add https://NAME to gateway.origins",
        )
