"""Fetching key sets: from public addresses over TLS, within bounds, and not more often than need be. https://www.rfc-editor.org/rfc/rfc7517"""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

import pytest

from fhir_server.auth.jwks import Unfetchable, checked_url, fetch, lifetime, public
from tests.auth.door import Door, claims, rsa_jwk, signed, smart

NONE: frozenset[str] = frozenset()
Reply = tuple[int, dict[str, str], bytes]


class Origin:
    """A web server on this machine that answers as it is told and counts how often it is asked."""

    def __init__(self) -> None:
        self.reply: Callable[[str], Reply] = lambda path: (200, {}, b"{}")
        self.asked: list[tuple[str, dict[str, str]]] = []
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                origin.asked.append((self.path, dict(self.headers)))
                status, headers, body = origin.reply(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"localhost:{self.server.server_port}"
        self.url = f"http://{self.host}/jwks"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, *keys: dict[str, Any], **headers: str) -> None:
        body = json.dumps({"keys": keys}).encode()
        self.reply = lambda path: (200, headers, body)


@pytest.fixture
def origin() -> Iterator[Origin]:
    opened = Origin()
    yield opened
    opened.server.shutdown()
    opened.server.server_close()


@pytest.fixture
def door(tmp_path_factory: pytest.TempPathFactory, origin: Origin) -> Iterator[Door]:
    opened = Door(smart(f"sqlite:///{tmp_path_factory.mktemp('door') / 'fhir.db'}", jwks_hosts="localhost"))
    opened.backend(jwks=None, jwks_uri=origin.url)
    yield opened
    opened.close()


INWARD = [
    "https://127.0.0.1/jwks", "https://127.1/jwks", "https://2130706433/jwks", "https://0x7f000001/jwks",
    "https://017700000001/jwks", "https://0/jwks", "https://0.0.0.0/jwks", "https://localhost/jwks",
    "https://10.0.0.1/jwks", "https://172.16.0.1/jwks", "https://192.168.1.1/jwks", "https://100.64.0.1/jwks",
    "https://169.254.169.254/latest/meta-data/", "https://169.254.170.2/", "https://224.0.0.1/", "https://255.255.255.255/",
    "https://[::1]/jwks", "https://[::]/jwks", "https://[::ffff:127.0.0.1]/jwks", "https://[::ffff:169.254.169.254]/",
    "https://[fe80::1]/jwks", "https://[fc00::1]/jwks", "https://[fd00:ec2::254]/", "https://[ff02::1]/",
    "https://[64:ff9b::7f00:1]/jwks", "https://[64:ff9b::a9fe:a9fe]/", "https://[2002:7f00:1::]/jwks",
    "https://[2001:0:7f00:1::]/jwks", "https://[::127.0.0.1]/",
]  # fmt: skip
NO_ADDRESS = [
    "", "x", "http://keys.example/jwks", "file:///etc/passwd", "ftp://keys.example/jwks", "gopher://127.0.0.1:70/",
    "https://", "https:///jwks", "https://user@keys.example/", "https://user:pass@keys.example/", "https://keys.example/#x",
    "https://keys.example:99999/", "https://keys.example/\r\nHost: evil", "https://keys.example/ x", "https://kéys.example/",
    "https://[::1", "HTTP://keys.example/", "https://keys.example/" + "x" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("url", INWARD)
async def test_no_key_set_is_fetched_from_inside(url: str) -> None:
    """S-49, M-12, M-18: judged by the address that the name has, however it is spelled."""
    with pytest.raises(Unfetchable, match="address"):
        await fetch(url, NONE)


@pytest.mark.parametrize("url", NO_ADDRESS)
def test_what_is_no_https_address_is_refused_at_registration(url: str) -> None:
    with pytest.raises(Unfetchable):
        checked_url(url, NONE)


@pytest.mark.parametrize("text", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_public(text: str) -> None:
    assert public(ip_address(text))


async def test_the_connection_goes_to_the_address_that_was_checked(origin: Origin) -> None:
    """The name is not resolved a second time: the host says so, and the address is the literal one."""
    origin.serve(rsa_jwk("a"))
    found, _ = await fetch(origin.url, frozenset({"localhost"}))
    assert [key["kid"] for key in found["keys"]] == ["a"]
    path, headers = origin.asked[0]
    assert (path, headers["Host"], headers["Accept"]) == ("/jwks", origin.host, "application/json")


async def test_an_allowed_host_is_allowed_by_its_name_only(origin: Origin) -> None:
    origin.serve(rsa_jwk("a"))
    with pytest.raises(Unfetchable):
        await fetch(origin.url.replace("localhost", "127.0.0.1"), frozenset({"localhost"}))
    assert origin.asked == []


BAD: dict[str, Reply] = {
    "redirect": (302, {"Location": "http://169.254.169.254/"}, b""),
    "permanent redirect": (308, {"Location": "/other"}, b""),
    "not found": (404, {}, b'{"keys": []}'),
    "failure": (500, {}, b""),
    "no JSON": (200, {}, b"<html>"),
    "a list": (200, {}, b"[]"),
    "no keys": (200, {}, b"{}"),
    "keys are no list": (200, {}, b'{"keys": {}}'),
    "too deep": (200, {}, b"[" * 100_000),
    "too large": (200, {}, b'{"keys": [], "x": "' + b"x" * 1_000_001 + b'"}'),
    "compressed": (200, {"Content-Encoding": "gzip"}, b"\x1f\x8b\x08\x00"),
    "no UTF-8": (200, {}, b'{"keys": "\xff"}'),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_answer_is_no_key_set(origin: Origin, name: str) -> None:
    origin.reply = lambda path: BAD[name]
    with pytest.raises(Unfetchable):
        await fetch(origin.url, frozenset({"localhost"}))
    assert len(origin.asked) == 1, "no redirect is followed"


async def test_a_slow_answer_is_not_waited_for(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhir_server.auth.jwks.PATIENCE", 0.3)
    origin.reply = lambda path: (time.sleep(1.0), (200, {}, b'{"keys": []}'))[1]  # type: ignore[func-returns-value]
    began = time.monotonic()
    with pytest.raises(Unfetchable):
        await fetch(origin.url, frozenset({"localhost"}))
    assert time.monotonic() - began < 0.9


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("", 300), ("max-age=60", 60), ("public, max-age=99999999", 3600), ("no-store", 0), ("no-cache, max-age=60", 0),
        ("max-age=0", 0), ("private", 300), ("s-maxage=5", 300), ('max-age="7"', 7), ("MAX-AGE = 8", 8),
    ],
)  # fmt: skip
def test_a_set_is_kept_no_longer_than_it_may_be(control: str, seconds: float) -> None:
    """S-49."""
    assert lifetime(control) == seconds


def test_a_set_is_fetched_once_for_many_tokens(door: Door, origin: Origin) -> None:
    origin.serve(rsa_jwk("a"))
    for _ in range(3):
        assert door.token(signed(claims(), jku=origin.url)).status_code == 200
    assert len(origin.asked) == 1


def test_a_set_that_may_not_be_kept_is_fetched_each_time(door: Door, origin: Origin) -> None:
    origin.serve(rsa_jwk("a"), **{"Cache-Control": "no-store"})
    for _ in range(3):
        assert door.token(signed(claims())).status_code == 200
    assert len(origin.asked) == 3


def test_a_new_key_is_found_but_random_kids_do_not_make_us_ask(door: Door, origin: Origin) -> None:
    """S-48, S-49, M-12: one refetch, then a cooldown."""
    origin.serve(rsa_jwk("a"))
    assert door.token(signed(claims())).status_code == 200
    origin.serve(rsa_jwk("a"), rsa_jwk("fresh"))
    assert door.token(signed(claims(), kid="fresh")).status_code == 200
    assert len(origin.asked) == 2
    for number in range(20):
        assert door.token(signed(claims(), kid=f"guess{number}", by="a")).status_code == 401
    assert len(origin.asked) == 2
    assert door.token(signed(claims())).status_code == 200


def test_many_at_once_fetch_once(door: Door, origin: Origin) -> None:
    origin.serve(rsa_jwk("a"))
    form = {"grant_type": "client_credentials", "scope": "system/Patient.rs"}
    form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

    async def many() -> list[int]:
        asked = (door.http.post("/auth/token", data={**form, "client_assertion": signed(claims())}) for _ in range(10))
        return [answer.status_code for answer in await asyncio.gather(*asked)]

    assert door.run(many()) == [200] * 10
    assert len(origin.asked) == 1


def test_a_failing_address_is_left_alone_for_a_while(door: Door, origin: Origin) -> None:
    origin.reply = lambda path: (500, {}, b"")
    for _ in range(5):
        assert door.token(signed(claims())).status_code == 401
    assert len(origin.asked) == 1


@pytest.mark.parametrize(
    "keys",
    [[], [rsa_jwk("b")], [rsa_jwk("a"), rsa_jwk("a")], [{"kid": "a"}], ["a"], [{"kid": "a", "kty": "oct", "k": "AA"}]],
)
def test_a_set_without_exactly_one_fitting_key_proves_nothing(door: Door, origin: Origin, keys: list[Any]) -> None:
    """S-48."""
    origin.serve(*keys)
    assert door.token(signed(claims())).status_code == 401
