"""The authorization server over ASGI, and a backend service that signs by hand: a second reader of the RFCs.

Tokens are put together here with the cryptography library alone, so that one may be wrong in any way.
"""

import base64
import json
import time
import uuid
from functools import cache
from typing import Any

import httpx2
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from fhir_server.auth.clients import register
from fhir_server.auth.records import Client as Registered
from fhir_server.auth.registration import checked
from fhir_server.server import Server
from fhir_server.settings import Settings
from tests.client import Client

ROOT = "https://fhir.example"
BASE = ROOT + "/fhir"
TOKEN = ROOT + "/auth/token"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"
_HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


class Door(Client):
    """The application with auth smart."""

    @property
    def server(self) -> Server:
        """What the endpoints work on."""
        server = self.app.endpoint.server
        assert server is not None
        return server

    def register(self, **about: Any) -> str:
        """Add a client as the command line does; returns its secret."""
        given = {"name": about["id"], "kind": "public", "scopes": ("system/*.rs",), **about}
        return self.run(register(self.server, checked(self.server, Registered(**given))))

    def backend(self, id: str = "backend", scopes: tuple[str, ...] = ("system/*.rs",), **more: Any) -> None:
        """Add a backend service with the key of `rsa_key("a")` and `ec_key("b")`, by kid of the same names."""
        jwks = {"keys": [rsa_jwk("a"), ec_jwk("b")]}
        given = {"kind": "asymmetric", "jwks": jwks, "grants": ("client_credentials",), **more}
        self.register(id=id, scopes=scopes, **given)

    def form(self, path: str, form: Any, headers: Any = None, **more: Any) -> httpx2.Response:
        """POST a form."""
        return self("POST", path, data=form, headers=headers, **more)

    def token(self, assertion: str, scope: str = "system/Patient.rs", **form: Any) -> httpx2.Response:
        """Ask for a token as a backend service."""
        given = {"grant_type": "client_credentials", "scope": scope, "client_assertion_type": JWT_BEARER}
        return self.form("/auth/token", {**given, "client_assertion": assertion, **form})


def smart(url: str, **more: Any) -> Settings:
    """Settings of an authorization server on a store."""
    return Settings(store=url, base_url=BASE, auth="smart", access_log=False, **more)


def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same key for the same name and size."""
    return _rsa_key(name, bits)


def ec_key(name: str, curve: str = "384") -> ec.EllipticCurvePrivateKey:
    """The same key for the same name and curve."""
    return _ec_key(name, curve)


@cache
def _rsa_key(name: str, bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def _ec_key(name: str, curve: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key({"256": ec.SECP256R1, "384": ec.SECP384R1, "521": ec.SECP521R1}[curve]())


def b64(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def rsa_jwk(name: str, bits: int = 2048, **more: Any) -> dict[str, Any]:
    """The public JWK, its kid being the name."""
    numbers = rsa_key(name, bits).public_key().public_numbers()
    size = (numbers.n.bit_length() + 7) // 8
    return {"kty": "RSA", "kid": name, "n": b64(numbers.n.to_bytes(size)), "e": b64(numbers.e.to_bytes(3)), **more}


def ec_jwk(name: str, curve: str = "384", **more: Any) -> dict[str, Any]:
    """The public JWK, its kid being the name."""
    numbers, size = ec_key(name, curve).public_key().public_numbers(), (int(curve) + 7) // 8
    place = {"x": b64(numbers.x.to_bytes(size)), "y": b64(numbers.y.to_bytes(size))}
    return {"kty": "EC", "crv": f"P-{curve}", "kid": name, **place, **more}


def rsa_pem(name: str) -> bytes:
    """The public key as text: what a confused verifier takes for an HMAC secret."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return rsa_key(name).public_key().public_bytes(serialization.Encoding.PEM, form)


def claims(client: str = "backend", **more: Any) -> dict[str, Any]:
    """The claims of a good assertion; a value of None leaves one out."""
    now = int(time.time())
    given = {"iss": client, "sub": client, "aud": TOKEN, "exp": now + 240, "jti": uuid.uuid4().hex, **more}
    return {name: value for name, value in given.items() if value is not None}


def signature(alg: str, kid: str, text: bytes) -> bytes:
    """What an algorithm makes of a text with the key of that name."""
    hashed = _HASHES[alg[2:]]()
    if alg.startswith("RS"):
        return rsa_key(kid).sign(text, padding.PKCS1v15(), hashed)
    if alg.startswith("PS"):
        return rsa_key(kid).sign(text, padding.PSS(padding.MGF1(hashed), hashed.digest_size), hashed)
    if alg.startswith("ES"):
        curve = {"256": "256", "384": "384", "512": "521"}[alg[2:]]
        r, s = utils.decode_dss_signature(ec_key(kid, curve).sign(text, ec.ECDSA(hashed)))
        size = (int(curve) + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)
    mac = hmac.HMAC(rsa_pem(kid), hashed)
    mac.update(text)
    return mac.finalize()


def signed(payload: Any, alg: str = "RS384", kid: str = "a", by: str = "", sign: str = "", **header: Any) -> str:
    """A JWT whose header says `alg` and `kid`, signed by the key `by` with the algorithm `sign`, the same by default.

    Header members given as None are left out; a payload of bytes is taken as it is.
    """
    head = {"alg": alg, "kid": kid, "typ": "JWT", **header}
    head = {name: value for name, value in head.items() if value is not None}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = f"{b64(json.dumps(head).encode())}.{b64(body)}"
    return f"{text}.{b64(signature(sign or alg, by or kid, text.encode()))}"
