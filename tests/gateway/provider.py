"""A small OpenID provider on loopback: codes that are good once, PKCE and the client's secret checked, RS256 keys."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = "the client's secret"
_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Provider:
    """`claims` are those of the next person who signs in; `twist` changes what the next token is made of."""

    def __init__(self) -> None:
        provider = self
        self.key, self.kid = _KEY, "k1"
        self.claims: dict[str, Any] = {"sub": "7", "preferred_username": "Mia", "groups": ["family"]}
        self.userinfo: dict[str, Any] = {}
        self.twist: Callable[[dict[str, Any]], Any] = lambda claims: claims
        self.description: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.fetched: list[str] = []
        self.now: Callable[[], float] = time.time

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place = urlsplit(self.path)
                provider.fetched.append(place.path)
                asked = {name: values[0] for name, values in parse_qs(place.query).items()}
                found = provider.get(place.path, asked)
                if isinstance(found, str):
                    self.send_response(302)
                    self.send_header("Location", found)
                    self.end_headers()
                else:
                    self._say(found)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(body).items()}
                self._say(provider.token(form, self.headers.get("Authorization", "")))

            def _say(self, found: Any) -> None:
                raw = found if isinstance(found, bytes) else json.dumps(found).encode()
                self.send_response(400 if isinstance(found, dict) and "error" in found else 200)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, path: str, asked: dict[str, str]) -> Any:
        match path:
            case "/.well-known/openid-configuration":
                places = {"authorization_endpoint": "/login", "token_endpoint": "/token", "jwks_uri": "/keys"}
                about = {name: self.issuer + place for name, place in places.items()}
                more = {"userinfo_endpoint": self.issuer + "/me"} if self.userinfo else {}
                return {"issuer": self.issuer, **about, **more, **self.description}
            case "/login":
                code = secrets.token_urlsafe(8)
                self.codes[code] = asked
                return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
            case "/keys":
                made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
                return {"keys": [{**made, "kid": self.kid, "use": "sig", "alg": "RS256"}]}
            case _:
                return self.userinfo

    def token(self, form: dict[str, str], authorization: str) -> Any:
        asked = self.codes.pop(form.get("code", ""), None)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=")
        expected = "Basic " + base64.b64encode(f"kith:{SECRET}".encode()).decode()
        good = asked and asked["code_challenge"] == challenge.decode() and asked["code_challenge_method"] == "S256"
        if not good or authorization != expected or form["redirect_uri"] != asked["redirect_uri"]:
            return {"error": "invalid_grant"}
        now = int(self.now())
        claims = {"iss": self.issuer, "aud": "kith", "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        made = self.twist({**claims, **self.claims})
        token = made if isinstance(made, str) else jwt.encode(made, self.key, "RS256", {"kid": self.kid})
        return {"access_token": "a", "token_type": "Bearer", "id_token": token}
