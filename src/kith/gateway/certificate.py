"""The door's certificate: the household's own, one of an authority, or one that Kith makes, signs and renews itself."""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kith.core.clock import Clock
from kith.core.errors import Invalid, Unavailable
from kith.gateway.acme import check_names, order
from kith.gateway.settings import GatewaySettings
from kith.runtime.files import write_private
from kith.runtime.telemetry import get_logger

_log = get_logger(__name__)
_YEARS = 5
_MARGIN = datetime.timedelta(days=30)
# TLS 1.2 with forward secrecy and authenticated encryption only (BSI TR-02102-2, 2024); TLS 1.3 has no other suites.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!MD5:!DSS"


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where the two files are, and the SHA-256 of the certificate that clients compare, as pairs of hex digits."""

    certificate: Path
    key: Path
    fingerprint: str

    def context(self) -> ssl.SSLContext:
        """TLS 1.3, or 1.2 for clients that have nothing newer. Raises `Invalid` when the files do not fit."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        self.load(context)
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Show this certificate to whoever connects from now on. Raises `Invalid` when the files do not fit."""
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_passphrase)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise _unusable(f"do not work as certificate and key: {type(error).__name__}", self.certificate) from None


def obtain(settings: GatewaySettings, folder: Path, clock: Clock) -> Certificate | None:
    """The certificate that the settings ask for, None without TLS. Raises `Invalid` when it cannot be used.

    One that Kith makes or orders is kept in `folder`, and replaced 30 days before its end (sooner where it lives for
    less than 90), or when the names have changed.
    """
    tls = settings.tls
    if not tls.on:
        return None
    if tls.certificate is not None and tls.key is not None:
        return _checked(tls.certificate.expanduser(), tls.key.expanduser(), clock)
    if tls.acme.directory:
        return _ordered(settings, folder / "acme.crt", folder / "acme.key", clock)
    certificate, key = folder / "gateway.crt", folder / "gateway.key"
    names = _names(settings)
    if not _good(certificate, key, names, clock):
        _make(certificate, key, names, clock)
    return _checked(certificate, key, clock)


def _ordered(settings: GatewaySettings, certificate: Path, key: Path, clock: Clock) -> Certificate:
    """One from an authority. While an old one is good, a failure to renew it is only told."""
    names = [urlsplit(origin).hostname or "" for origin in settings.origins if origin.startswith("https:")]
    check_names(names)
    if not _good(certificate, key, names, clock):
        try:
            order(settings.tls.acme, names, settings.host, certificate, key)
        except Unavailable as error:
            found = _read(certificate)
            if found is None or not key.is_file() or found.not_valid_after_utc <= _now(clock):
                raise
            _log.warning("certificate not renewed", reason=error.message, until=f"{found.not_valid_after_utc:%Y-%m-%d}")
    return _checked(certificate, key, clock)


def _checked(certificate: Path, key: Path, clock: Clock) -> Certificate:
    found = _read(certificate)
    if found is None or not key.is_file():
        raise _unusable("cannot be read as a certificate with its key", certificate)
    if found.not_valid_after_utc <= _now(clock):
        raise _unusable(f"ran out at {found.not_valid_after_utc:%Y-%m-%d}", certificate)
    digest = hashlib.sha256(found.public_bytes(serialization.Encoding.DER)).hexdigest().upper()
    return Certificate(certificate, key, ":".join(digest[place : place + 2] for place in range(0, 64, 2)))


def _read(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _good(certificate: Path, key: Path, names: Sequence[str], clock: Clock) -> bool:
    found = _read(certificate)
    if found is None or not _belongs(key, found):
        return False
    life = found.not_valid_after_utc - found.not_valid_before_utc
    if found.not_valid_after_utc - _now(clock) < min(_MARGIN, life / 3):
        return False
    try:
        held = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(held) == set(_alternatives(names))


def _belongs(key: Path, certificate: x509.Certificate) -> bool:
    """Whether it is this certificate's key: they are written one after the other."""
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except (OSError, ValueError, TypeError):
        return False
    return private.public_key() == certificate.public_key()


def _make(certificate: Path, key: Path, names: Sequence[str], clock: Clock) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Kith on this machine")])
    now = _now(clock)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
        .add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(private, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(key, private.private_bytes(form, *plain))
    write_private(certificate, made.public_bytes(form))


def _names(settings: GatewaySettings) -> list[str]:
    hosts = [urlsplit(origin).hostname or "" for origin in settings.origins]
    bound = [] if ipaddress.ip_address(settings.host).is_unspecified else [settings.host]
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *bound, *hosts]))


def _alternatives(names: Sequence[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name.encode("idna").decode()))
    return found


def _now(clock: Clock) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(clock.now(), datetime.UTC)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase")


def _unusable(reason: str, path: Path) -> Invalid:
    return Invalid(
        f"{path} and its key {reason}" if reason.startswith("do") else f"{path} {reason}",
        code="bad_certificate",
        hint="see gateway.tls in kith.yaml; automatic: true makes a certificate",
    )
