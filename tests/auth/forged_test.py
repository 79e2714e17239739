"""Client assertions that must not be believed: each is refused 401 invalid_client. https://www.rfc-editor.org/rfc/rfc8725

The good assertion that each differs from in one thing is accepted, in backend_test.
"""

import json
import time
from collections.abc import Callable, Iterator

import httpx2
import pytest

from tests.auth.door import (
    JWT_BEARER,
    ROOT,
    TOKEN,
    Door,
    b64,
    claims,
    ec_jwk,
    rsa_jwk,
    rsa_pem,
    signature,
    signed,
    smart,
)  # fmt: skip


def now() -> int:
    """Seconds since 1970: asked when a forgery is made, for a long run would outlive what was computed before."""
    return int(time.time())


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """One server for all: no attempt leaves anything behind."""
    opened = Door(smart(f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}", rate_limit=0))
    opened.backend()
    weak = [rsa_jwk("enc", use="enc"), rsa_jwk("pinned", alg="RS256"), rsa_jwk("sign", key_ops=["sign"])]
    opened.backend("other", jwks={"keys": [rsa_jwk("a2"), ec_jwk("p256", "256"), *weak]})
    opened.backend("remote", jwks=None, jwks_uri="https://keys.invalid/jwks.json")
    yield opened
    opened.close()


def unsigned(**header: object) -> str:
    """A token whose signature is empty."""
    return signed(claims(), sign="RS384", **header).rpartition(".")[0] + "."  # type: ignore[arg-type]


def payload_changed() -> str:
    """Another payload under the signature of a good one."""
    head, _, tail = signed(claims()).split(".")
    return f"{head}.{b64(json.dumps(claims(sub='backend', exp=now() + 299)).encode())}.{tail}"


def header_changed() -> str:
    """Another header under the signature of a good token."""
    _, body, tail = signed(claims()).split(".")
    return f"{b64(json.dumps({'alg': 'RS384', 'kid': 'a', 'typ': 'JWT', 'x': 1}).encode())}.{body}.{tail}"


def zero_signature() -> str:
    """ECDSA with r = s = 0: accepted by verifiers that do not check the range (CVE-2022-21449)."""
    return signed(claims(), "ES384", "b").rpartition(".")[0] + "." + b64(bytes(96))


def der_signature() -> str:
    """An ECDSA signature in DER instead of r and s."""
    head = signed(claims(), "ES384", "b").rpartition(".")[0]
    raw = signature("ES384", "b", head.encode())
    number = lambda part: b"\x02" + bytes([len(part) + 1]) + b"\0" + part  # noqa: E731
    der = number(raw[:48]) + number(raw[48:])
    return f"{head}.{b64(bytes([0x30, len(der)]) + der)}"


def twice(member: str) -> str:
    """A header or payload in which a member stands twice: readers differ in which counts."""
    if member == "alg":
        head = b64(b'{"alg":"none","alg":"RS384","kid":"a","typ":"JWT"}')
        text = f"{head}.{b64(json.dumps(claims()).encode())}"
        return f"{text}.{b64(signature('RS384', 'a', text.encode()))}"
    return signed(json.dumps(claims()).encode()[:-1] + b', "sub": "backend"}')


def other_spelling() -> str:
    """The last character of the signature differs in bits that base64 does not use."""
    token = signed(claims(), "RS384", "a")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]


FORGERIES: dict[str, Callable[[], str]] = {
    # algorithms
    "alg none": lambda: unsigned(alg="none"),
    "alg None, spelled otherwise": lambda: unsigned(alg="nOnE"),
    "alg empty": lambda: unsigned(alg=""),
    "alg absent": lambda: signed(claims(), sign="RS384", alg=None),  # type: ignore[arg-type]
    "alg is a list": lambda: signed(claims(), ["RS384"], sign="RS384"),  # type: ignore[arg-type]
    "HS256 with the public key": lambda: signed(claims(), "HS256"),
    "HS384 with the public key": lambda: signed(claims(), "HS384"),
    "RS384 whose signature is an HMAC of the public key": lambda: signed(claims(), "RS384", sign="HS384"),
    "RS256, which assertions do not use": lambda: signed(claims(), "RS256"),
    "ES256, which assertions do not use": lambda: signed(claims("other"), "ES256", "p256"),
    "ES384 by a key on another curve": lambda: signed(claims("other"), "ES384", "p256"),
    "ES384 naming an RSA key": lambda: signed(claims(), "ES384", "a", by="b"),
    "RS384 naming an EC key": lambda: signed(claims(), "RS384", "b", by="a"),
    "header says PS384, signature is RS384": lambda: signed(claims(), "PS384", sign="RS384"),
    "key meant for encryption": lambda: signed(claims("other"), "RS384", "enc"),
    "key meant for another algorithm": lambda: signed(claims("other"), "RS384", "pinned"),
    "key not meant for verifying": lambda: signed(claims("other"), "RS384", "sign"),
    # keys
    "kid unknown": lambda: signed(claims(), kid="z", by="a"),
    "kid absent": lambda: signed(claims(), kid=None, by="a"),  # type: ignore[arg-type]
    "kid is a number": lambda: signed(claims(), kid=1, by="a"),  # type: ignore[arg-type]
    "kid is a path": lambda: signed(claims(), kid="../../etc/passwd", by="a"),
    "kid of another key of the client": lambda: signed(claims(), kid="b", by="a"),
    "key of another client": lambda: signed(claims(), kid="a", by="a2"),
    "kid and key of another client": lambda: signed(claims(), kid="a2"),
    "own key for another client": lambda: signed(claims("other"), kid="a"),
    "embedded jwk": lambda: signed(claims(), kid="mine", jwk=rsa_jwk("mine")),
    "embedded jwk beside a good kid": lambda: signed(claims(), jwk=rsa_jwk("a")),
    "x5u": lambda: signed(claims(), x5u="https://evil.example/chain.pem"),
    "x5c": lambda: signed(claims(), x5c=["MIIB"]),
    "crit of an unknown extension": lambda: signed(claims(), crit=["exp"], exp=now() + 9),
    "crit empty": lambda: signed(claims(), crit=[]),
    "b64 false": lambda: signed(claims(), b64=False),
    "jku for a client with a key set of its own": lambda: signed(claims(), jku="https://keys.invalid/jwks.json"),
    "jku elsewhere": lambda: signed(claims("remote"), jku="https://evil.example/jwks.json"),
    "jku one letter off": lambda: signed(claims("remote"), jku="https://keys.invalid/jwks.json?"),
    "jku is a list": lambda: signed(claims("remote"), jku=["https://keys.invalid/jwks.json"]),
    "key set that cannot be fetched": lambda: signed(claims("remote")),
    "typ absent": lambda: signed(claims(), typ=None),
    "typ of an access token": lambda: signed(claims(), typ="at+jwt"),
    # the token itself
    "payload changed": payload_changed,
    "header changed": header_changed,
    "signature cut": lambda: signed(claims())[:-4],
    "signature of zeros": lambda: signed(claims()).rpartition(".")[0] + "." + b64(bytes(256)),
    "ECDSA r and s zero": zero_signature,
    "ECDSA signature in DER": der_signature,
    "signature in another spelling": other_spelling,
    "bytes after the signature": lambda: signed(claims()) + "AAAA",
    "padding": lambda: signed(claims()) + "==",
    "four parts": lambda: signed(claims()) + ".AAAA",
    "two parts": lambda: signed(claims()).rpartition(".")[0],
    "no token": lambda: "x",
    "not ASCII": lambda: "é" + signed(claims()),
    "alg twice": lambda: twice("alg"),
    "sub twice": lambda: twice("sub"),
    "payload is a list": lambda: signed([claims()]),
    "payload is deep": lambda: signed(b"[" * 9000),
    "payload has NaN": lambda: signed(json.dumps(claims()).encode()[:-1] + b', "nbf": NaN}'),
    "token of 20,000 characters": lambda: signed(claims(pad="x" * 20_000)),
    # claims
    "iss absent": lambda: signed(claims(iss=None)),
    "iss of another": lambda: signed(claims(iss="other")),
    "sub absent": lambda: signed(claims(sub=None)),
    "sub is a list": lambda: signed(claims(sub=["backend"])),
    "sub of a client that is not there": lambda: signed(claims("nobody")),
    "sub tries to reach another record": lambda: signed(claims("../user/root")),
    "aud absent": lambda: signed(claims(aud=None)),
    "aud of another server": lambda: signed(claims(aud="https://evil.example/auth/token")),
    "aud is the issuer": lambda: signed(claims(aud=ROOT + "/auth")),
    "aud begins with ours": lambda: signed(claims(aud=TOKEN + "/x")),
    "aud with a slash": lambda: signed(claims(aud=TOKEN + "/")),
    "aud over http": lambda: signed(claims(aud=TOKEN.replace("https", "http"))),
    "aud is an object": lambda: signed(claims(aud={TOKEN: 1})),
    "exp absent": lambda: signed(claims(exp=None)),
    "exp past": lambda: signed(claims(exp=now() - 1)),
    "exp zero": lambda: signed(claims(exp=0)),
    "exp negative": lambda: signed(claims(exp=-1)),
    "exp in ten minutes": lambda: signed(claims(exp=now() + 1000)),
    "exp in milliseconds": lambda: signed(claims(exp=(now() + 100) * 1000)),
    "exp enormous": lambda: signed(claims(exp=10**30)),
    "exp of 400 digits": lambda: signed(claims(exp=10**400)),
    "exp of 5,000 digits": lambda: signed(
        json.dumps(claims(exp=None)).encode()[:-1] + b', "exp": 1' + b"0" * 5000 + b"}"
    ),
    "iss that is no Unicode": lambda: signed(claims(iss="\ud800")),
    "kid that is no Unicode": lambda: signed(claims(), kid="\ud800", by="a"),
    "sub that is no Unicode": lambda: signed(claims(sub="\ud800")),
    "exp infinite": lambda: signed(json.dumps(claims(exp=None)).encode()[:-1] + b', "exp": 1e999}'),
    "exp is text": lambda: signed(claims(exp=str(now() + 100))),
    "exp is true": lambda: signed(claims(exp=True)),
    "nbf in the future": lambda: signed(claims(nbf=now() + 200)),
    "nbf is text": lambda: signed(claims(nbf="now")),
    "iat in the future": lambda: signed(claims(iat=now() + 200)),
    "jti absent": lambda: signed(claims(jti=None)),
    "jti empty": lambda: signed(claims(jti="")),
    "jti is a number": lambda: signed(claims(jti=1)),
    "jti of 10,000 characters": lambda: signed(claims(jti="x" * 10_000)),
}


def refused(answer: httpx2.Response, status: int, error: str) -> None:
    """An OAuth error in JSON that nobody stores and that repeats nothing of the request."""
    assert (answer.status_code, answer.json().get("error")) == (status, error), answer.text
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


def test_there_are_as_many_as_were_promised() -> None:
    assert len(FORGERIES) >= 60


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused(door: Door, name: str) -> None:
    """S-44 to S-48, M-11."""
    assertion = FORGERIES[name]()
    answer = door.token(assertion)
    refused(answer, 401, "invalid_client")
    assert assertion[-40:] not in answer.text


def test_the_same_door_opens_for_a_good_one(door: Door) -> None:
    """Otherwise the refusals above would prove nothing."""
    assert door.token(signed(claims())).status_code == 200
    assert door.token(signed(claims("other"), kid="a2")).status_code == 200


def test_an_unknown_client_is_told_what_a_known_one_is(door: Door) -> None:
    """M-23: neither the words nor the work tell who is registered."""
    answers = [door.token(signed(claims(client), kid="a", by="x")) for client in ("backend", "nobody")]
    words = {answer.json()["error_description"] for answer in answers}
    assert len(words) == 1


def test_a_good_assertion_for_another_client_id_is_refused(door: Door) -> None:
    refused(door.token(signed(claims()), client_id="other"), 401, "invalid_client")


@pytest.mark.parametrize("kind", ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", JWT_BEARER + " "])
def test_a_wrong_assertion_type_is_refused(door: Door, kind: str) -> None:
    """S-43."""
    refused(door.token(signed(claims()), client_assertion_type=kind), 401, "invalid_client")


def test_the_public_key_is_no_secret(door: Door) -> None:
    form = {"grant_type": "client_credentials", "client_id": "backend", "client_secret": rsa_pem("a").decode()}
    refused(door.form("/auth/token", form), 401, "invalid_client")
