"""`next` links: where a page ended, sealed. https://hl7.org/fhir/R4/http.html#paging

A position holds sort values such as names, and a query may have come by POST to stay out of URLs. Both are therefore
encrypted (AES-GCM) under a key that all processes of a store share, and bound to the caller. A token proves nothing but
the place: each page is searched with today's permit, and a total counted under another permit is not repeated.
"""

import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fhir_server.access import Caller
from fhir_server.fhir.outcome import refuse
from fhir_server.server import Server
from fhir_server.store.seam import Position, Store

PARAMETER = "_page"
_STATE = "page-key"


class Place(NamedTuple):
    """What the next page continues: the address below the base, the query as asked, its position and the total told.

    `began`: when the first page was asked for; `trail`: how far each page came (moved.py).
    """

    path: str
    query: tuple[tuple[str, str], ...]
    position: Position
    total: int | None
    lenient: bool
    began: int = 0
    trail: tuple[tuple[int, int, tuple[Any, ...]], ...] = ()


class _Content(NamedTuple):
    """What a token holds."""

    expires: int
    permit: bytes
    place: Place


async def shared_key(store: Store) -> bytes:
    """The key that seals page tokens, created by the first process that asks the store for it."""
    while True:
        found = await store.get_state(_STATE)
        if found is not None:
            return found[0]
        await store.put_state(_STATE, os.urandom(32), 0)


def seal(server: Server, caller: Caller, place: Place) -> str:
    """An opaque token for a place, good for `page_lifetime` seconds and this caller."""
    expires = server.clock() // 1_000_000 + server.settings.page_lifetime
    nonce = os.urandom(12)
    # a driver may count in an int type of its own: enc_hook
    content = msgspec.msgpack.encode(_Content(expires, _permit(caller), place), enc_hook=int)
    sealed = AESGCM(server.page_key).encrypt(nonce, content, caller.id.encode())
    return urlsafe_b64encode(nonce + sealed).decode().rstrip("=")


def unseal(server: Server, caller: Caller, path: str, token: str) -> Place:
    """The place in a token. Raises FhirError 400 if it is not ours, of another caller or address, or too old."""
    try:
        raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        content = AESGCM(server.page_key).decrypt(raw[:12], raw[12:], caller.id.encode())
    except (InvalidTag, ValueError):
        raise refuse(400, "invalid", f"{PARAMETER} is not a page that this server gave you: search anew.") from None
    try:
        expires, permit, place = msgspec.msgpack.decode(content, type=_Content)
    except msgspec.DecodeError:
        raise refuse(400, "expired", f"{PARAMETER} is of an earlier version of this server: search anew.") from None
    if place.path != path:
        raise refuse(400, "invalid", f"{PARAMETER} belongs to another search: follow the next link as it is.")
    if expires < server.clock() // 1_000_000:
        raise refuse(400, "expired", f"{PARAMETER} has expired: search anew.")
    return place if permit == _permit(caller) else place._replace(total=None)


def _permit(caller: Caller) -> bytes:
    return hashlib.blake2b(caller.print.encode(), digest_size=16).digest()
