"""A small certificate authority that speaks RFC 8555 on loopback, as strictly as it says: nonces good once, requests
signed by the account's key for the very address they came to, names proved over HTTP before anything is signed.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import http.client
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import NameOID

Answer = tuple[int, Any, dict[str, str]]


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Problem(Exception):
    def __init__(self, kind: str, status: int = 400) -> None:
        super().__init__(kind)
        self.kind, self.status = kind, status


class Authority:
    """`challenge_port` is where it asks, instead of 80; certificates are good from `now` for `days`."""

    def __init__(self, challenge_port: int, now: float, days: float = 90) -> None:
        authority = self
        self.port, self.now, self.days = challenge_port, now, days
        self.nonces: set[str] = set()
        self.accounts: dict[str, dict[str, str]] = {}
        self.orders: dict[str, dict[str, Any]] = {}
        self.issued: list[tuple[str, ...]] = []
        self.asked: list[str] = []
        self.refuse = ""
        self.key = ec.generate_private_key(ec.SECP256R1())

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self._say(200, b"", {})

            def do_GET(self) -> None:
                self._say(200, authority.directory(), {})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    status, found, headers = authority.post(self.path, json.loads(body), self.headers)
                except Problem as problem:
                    kind = f"urn:ietf:params:acme:error:{problem.kind}"
                    about = {"type": kind, "detail": f"{problem.kind}\nsecond line"}
                    status, found, headers = problem.status, about, {"Content-Type": "application/problem+json"}
                self._say(status, found, headers)

            def _say(self, status: int, found: Any, headers: dict[str, str]) -> None:
                data = found if isinstance(found, bytes) else json.dumps(found).encode()
                nonce = secrets.token_urlsafe(12)
                authority.nonces.add(nonce)
                base = {"Replay-Nonce": nonce, "Content-Type": "application/json", "Content-Length": str(len(data))}
                self.send_response(status)
                for name, value in {**base, **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Authority:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def directory(self) -> dict[str, Any]:
        places = {"newNonce": "/nonce", "newAccount": "/account", "newOrder": "/order"}
        return {name: self.url + path for name, path in places.items()} | {"meta": {"termsOfService": self.url}}

    def post(self, path: str, body: dict[str, str], headers: Any) -> Answer:
        if headers["Content-Type"] != "application/jose+json":
            raise Problem("malformed", 415)
        head = json.loads(raw(body["protected"]))
        self._verify(head, body, path)
        if self.refuse:
            raise Problem(self.refuse, 429 if self.refuse == "rateLimited" else 403)
        payload = json.loads(raw(body["payload"])) if body["payload"] else None
        _, kind, *rest = path.split("/")
        return getattr(self, f"_{kind}")(payload, head, *rest)

    def _verify(self, head: dict[str, Any], body: dict[str, str], path: str) -> None:
        if head["nonce"] not in self.nonces:
            raise Problem("badNonce")
        self.nonces.remove(head["nonce"])
        if head["url"] != self.url + path or head["alg"] != "ES256" or ("jwk" in head) is ("kid" in head):
            raise Problem("malformed")
        jwk = head["jwk"] if path == "/account" else self.accounts.get(head.get("kid", ""))
        if jwk is None:
            raise Problem("accountDoesNotExist")
        point = ec.EllipticCurvePublicNumbers(
            int.from_bytes(raw(jwk["x"])), int.from_bytes(raw(jwk["y"])), ec.SECP256R1()
        )
        given = raw(body["signature"])
        signature = encode_dss_signature(int.from_bytes(given[:32]), int.from_bytes(given[32:]))
        try:
            signed = f"{body['protected']}.{body['payload']}".encode()
            point.public_key().verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise Problem("malformed") from None

    def _account(self, payload: Any, head: dict[str, Any], *rest: str) -> Answer:
        known = next((kid for kid, jwk in self.accounts.items() if jwk == head["jwk"]), "")
        if not known and not payload.get("termsOfServiceAgreed"):
            raise Problem("userActionRequired", 403)
        kid = known or f"{self.url}/kid/{len(self.accounts)}"
        self.accounts[kid] = head["jwk"]
        return (200 if known else 201), {"status": "valid"}, {"Location": kid}

    def _kid(self, payload: Any, head: dict[str, Any], *rest: str) -> Answer:
        return 200, {"status": "valid"}, {"Location": head["kid"]}

    def _order(self, payload: Any, head: dict[str, Any], key: str = "") -> Answer:
        if not key:
            key = str(len(self.orders))
            names = [one["value"] for one in payload["identifiers"]]
            self.orders[key] = {"names": names, "kid": head["kid"], "proved": set(), "tokens": {}}
        return (201 if payload else 200), self._told(key), {"Location": f"{self.url}/order/{key}"}

    def _told(self, key: str) -> dict[str, Any]:
        order = self.orders[key]
        ready = order["proved"] == set(order["names"])
        told = {
            "status": "valid" if "chain" in order else "ready" if ready else "pending",
            "identifiers": [{"type": "dns", "value": name} for name in order["names"]],
            "authorizations": [f"{self.url}/authz/{key}/{name}" for name in order["names"]],
            "finalize": f"{self.url}/finalize/{key}",
        }
        return told | ({"certificate": f"{self.url}/cert/{key}"} if "chain" in order else {})

    def _authz(self, payload: Any, head: dict[str, Any], key: str, name: str) -> Answer:
        order = self.orders[key]
        token = order["tokens"].setdefault(name, secrets.token_urlsafe(16))
        status = "valid" if name in order["proved"] else "invalid" if name in order.get("failed", ()) else "pending"
        proof = {"type": "http-01", "status": status, "token": token, "url": f"{self.url}/prove/{key}/{name}"}
        other = {"type": "dns-01", "status": "pending", "token": token, "url": f"{self.url}/none"}
        if status == "invalid":
            proof["error"] = {"type": "urn:ietf:params:acme:error:unauthorized", "detail": "not what was expected"}
        found = {"status": status, "identifier": {"type": "dns", "value": name}, "challenges": [other, proof]}
        return 200, found, {}

    def _prove(self, payload: Any, head: dict[str, Any], key: str, name: str) -> Answer:
        order = self.orders[key]
        token = order["tokens"][name]
        jwk = self.accounts[order["kid"]]
        thumb = json.dumps({one: jwk[one] for one in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        expected = f"{token}.{b64(hashlib.sha256(thumb.encode()).digest())}"
        asking = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            asking.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": name})
            said = asking.getresponse().read().decode()
            asking.request("GET", "/.well-known/acme-challenge/other", headers={"Host": name})
            assert asking.getresponse().status == 404
        except OSError:
            said = ""
        finally:
            asking.close()
        self.asked.append(name)
        (order["proved"] if said == expected else order.setdefault("failed", set())).add(name)
        found = {"type": "http-01", "status": "processing", "token": token, "url": self.url + f"/prove/{key}/{name}"}
        return 200, found, {"Link": f'<{self.url}/authz/{key}/{name}>;rel="up"'}

    def _finalize(self, payload: Any, head: dict[str, Any], key: str) -> Answer:
        order = self.orders[key]
        request = x509.load_der_x509_csr(raw(payload["csr"]))
        found = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = tuple(found.get_values_for_type(x509.DNSName))
        if (
            order["proved"] != set(order["names"])
            or set(names) != set(order["names"])
            or not request.is_signature_valid
        ):
            raise Problem("orderNotReady", 403)
        self.issued.append(names)
        order["chain"] = self._sign(request, names)
        return 200, self._told(key), {"Location": f"{self.url}/order/{key}"}

    def _sign(self, request: x509.CertificateSigningRequest, names: tuple[str, ...]) -> bytes:
        begin = datetime.datetime.fromtimestamp(self.now, datetime.UTC)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority for tests")])
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(issuer)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin - datetime.timedelta(hours=1))
            .not_valid_after(begin + datetime.timedelta(days=self.days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def _cert(self, payload: Any, head: dict[str, Any], key: str) -> Answer:
        return 200, self.orders[key]["chain"], {"Content-Type": "application/pem-certificate-chain"}
