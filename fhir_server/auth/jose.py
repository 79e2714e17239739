"""Signed tokens: every call of the JOSE library. https://www.rfc-editor.org/rfc/rfc7515, https://www.rfc-editor.org/rfc/rfc8725

A token is checked against keys that the reader already has, with an algorithm that the reader chose: nothing in a token
says how it is to be trusted. Only asymmetric algorithms exist here.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

LONGEST = 16_384  # characters of a token
# What may sign a client's assertion, and a trusted issuer's access token.
ASSERTION_ALGORITHMS = ("RS384", "ES384", "RS512", "ES512", "PS384")
TOKEN_ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")
# Each algorithm with the type of key it needs and, of EC keys, the curve.
_KEYS = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS384": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
}
_FORBIDDEN = ("crit", "jwk", "x5u", "x5c", "b64", "zip")  # they bring keys, or change what the rest means
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_RSA_BITS, _MOST_RSA_BITS = 2048, 8192


class BadToken(Exception):
    """A token, or a key set, that is not accepted; the message says why and holds nothing of the token."""


class SigningKey(NamedTuple):
    """A key of ours: its id, algorithm, and private JWK as JSON."""

    kid: str
    alg: str
    private: str


def new_keys(kid: str) -> tuple[SigningKey, SigningKey]:
    """A fresh RSA key for RS256 and EC key for ES384; takes a quarter of a second, so call it in a thread."""
    rsa = RSAKey.generate_key(_RSA_BITS).as_dict(private=True)
    ec = ECKey.generate_key("P-384").as_dict(private=True)
    made = ((f"{kid}-rsa", "RS256", rsa), (f"{kid}-ec", "ES384", ec))
    return tuple(SigningKey(id, alg, json.dumps({**jwk, "kid": id})) for id, alg, jwk in made)  # type: ignore[return-value]


def public(key: SigningKey) -> dict[str, Any]:
    """The JWK that others may have of a key of ours."""
    members = {name: value for name, value in json.loads(key.private).items() if name not in _PRIVATE}
    return {**members, "kid": key.kid, "alg": key.alg, "use": "sig"}


def sign(server_keys: Sequence[SigningKey], claims: dict[str, Any], alg: str = "RS256") -> str:
    """A JWT of the claims by our first key for the algorithm. ValueError if there is none."""
    for key in server_keys:
        if key.alg == alg:
            head = {"alg": alg, "kid": key.kid, "typ": "JWT"}
            body = json.dumps(claims, separators=(",", ":")).encode()
            return jws.serialize_compact(head, body, _private(key.private), registry=_registry(alg))
    raise ValueError(f"There is no key for {alg}.")


def header(token: str, algorithms: Sequence[str]) -> dict[str, Any]:
    """The header of a token after all that can be said without a key. Raises BadToken."""
    if len(token) > LONGEST:
        raise BadToken("The token is too long.")
    parts = token.split(".")
    if len(parts) != 3:
        raise BadToken("The token is no JWS of three parts.")
    head, _, _ = (_bytes(part) for part in parts)
    found = _object(head, "header")
    if found.get("alg") not in algorithms:
        raise BadToken(f"The algorithm must be one of {', '.join(algorithms)}.")
    for name in _FORBIDDEN:
        if name in found:
            raise BadToken(f"The header member {name} is not allowed.")
    if not isinstance(found.get("kid"), str) or not found["kid"]:
        raise BadToken("The header needs a kid.")
    return found


def unverified(token: str) -> dict[str, Any]:
    """The claims of a token that nobody has checked: only to find out whose keys to check it with. Raises BadToken."""
    parts = token.split(".")
    if len(token) > LONGEST or len(parts) != 3:
        raise BadToken("The token is no JWS of three parts.")
    return _object(_bytes(parts[1]), "payload")


def verify(token: str, jwks: Mapping[str, Any], algorithms: Sequence[str]) -> dict[str, Any]:
    """The claims of a token that one of the keys has signed; its times and audience are still to be checked.

    Raises BadToken unless the header is sound, exactly one key has its kid, that key fits its algorithm, and the
    signature is right.
    """
    head = header(token, algorithms)
    key = _public(json.dumps(_key_for(head, jwks)))
    try:
        signed = jws.deserialize_compact(token, key, registry=_registry(head["alg"]))
    except (JoseError, ValueError, TypeError, ArithmeticError) as error:
        raise BadToken("The signature is not that of the key.") from error
    return _object(signed.payload or b"", "payload")


def check_jwks(jwks: Any) -> dict[str, Any]:
    """A key set as a client may register it: public keys only, each with a kid of its own. Raises BadToken."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(keys, list) or not keys or len(keys) > 50 or not all(isinstance(key, dict) for key in keys):
        raise BadToken('A key set is {"keys": [...]} with 1 to 50 keys.')
    if any(_PRIVATE & key.keys() for key in keys):
        raise BadToken("The key set holds a private or symmetric key: give the public keys only, and change that key.")
    ids = [key.get("kid") for key in keys]
    if len(set(map(str, ids))) < len(ids) or not all(isinstance(id, str) and id for id in ids):
        raise BadToken("Each key needs a kid of its own.")
    usable = [key for key in keys if any(_fits(key, alg) for alg in _KEYS)]
    if not usable:
        raise BadToken("The key set has no RSA key of 2048 bits or more, and no EC key on P-256, P-384 or P-521.")
    for key in usable:
        _public(json.dumps(key))
    return dict(jwks)


def has_key(token: str, jwks: Mapping[str, Any]) -> bool:
    """Whether any key of the set has the kid of the token, whose header was checked before."""
    kid = _object(_bytes(token.split(".")[0]), "header").get("kid")
    return any(key.get("kid") == kid for key in jwks.get("keys", ()) if isinstance(key, dict))


def _key_for(head: Mapping[str, Any], jwks: Mapping[str, Any]) -> dict[str, Any]:
    found = [key for key in jwks.get("keys", ()) if isinstance(key, dict) and key.get("kid") == head["kid"]]
    if len(found) != 1:
        raise BadToken("There is no key with this kid." if not found else "Several keys have this kid.")
    if not _fits(found[0], head["alg"]):
        raise BadToken("The key with this kid is not for this algorithm.")
    return {name: value for name, value in found[0].items() if name in ("kty", "n", "e", "crv", "x", "y")}


def _fits(key: Mapping[str, Any], alg: str) -> bool:
    """Whether a JWK is meant for verifying signatures of this algorithm."""
    kind, curve = _KEYS[alg]
    operations = key.get("key_ops", ["verify"])
    return (
        key.get("kty") == kind
        and key.get("crv", "") == curve
        and key.get("use", "sig") == "sig"
        and key.get("alg", alg) == alg
        and isinstance(operations, list)
        and "verify" in operations
    )


@lru_cache(maxsize=500)
def _public(text: str) -> RSAKey | ECKey:
    """The key of a JWK in JSON. Raises BadToken for one that is broken or weak."""
    jwk = json.loads(text)
    try:
        if jwk.get("kty") == "EC":
            return ECKey.import_key(jwk)
        if not _RSA_BITS <= int.from_bytes(_bytes(jwk["n"])).bit_length() <= _MOST_RSA_BITS:
            raise BadToken("An RSA key has 2048 to 8192 bits.")
        return RSAKey.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadToken("The key is broken.") from error


@lru_cache(maxsize=10)
def _private(text: str) -> RSAKey | ECKey:
    jwk = json.loads(text)
    return ECKey.import_key(jwk) if jwk["kty"] == "EC" else RSAKey.import_key(jwk)


def _registry(alg: str) -> JWSRegistry:
    # Not strict: members that only inform are ignored, as RFC 7515 says; those that change the meaning were refused.
    return JWSRegistry(algorithms=[alg], strict_check_header=False)


def _bytes(part: str) -> bytes:
    """What base64url says, in its one right spelling. Raises BadToken."""
    try:
        found = base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadToken("The token is not base64url.") from error
    if base64.urlsafe_b64encode(found).rstrip(b"=") != part.encode("ascii"):
        raise BadToken("The token is not base64url.")
    return found


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadToken(f"The {what} is no JSON object.") from error
    if not isinstance(found, dict):
        raise BadToken(f"The {what} is no JSON object.")
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("A member is given twice.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON.")


@lru_cache(maxsize=8)
def decoy(alg: str) -> dict[str, Any]:
    """A public JWK for an algorithm whose private key nobody has."""
    kind, curve = _KEYS[alg]
    key = ECKey.generate_key(curve) if kind == "EC" else RSAKey.generate_key(_RSA_BITS)
    return key.as_dict(private=False)
