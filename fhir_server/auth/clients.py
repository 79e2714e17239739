"""Registered clients: found, added, removed, and proving who they are. https://www.rfc-editor.org/rfc/rfc6749#section-2.3

Who asks in the name of an unknown client is answered like who has the wrong secret, after as much work.
"""

import binascii
import hmac
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from urllib.parse import unquote_plus

import msgspec

from fhir_server.auth.assertions import ASSERTION_TYPE, asserted, claimed_client
from fhir_server.auth.errors import invalid_client, invalid_request
from fhir_server.auth.records import Client, digest, fresh, load, save
from fhir_server.server import Server
from fhir_server.store.seam import Busy, Store

_ID = re.compile(r"[!-~]{1,200}", re.ASCII)
_NOBODY = Client(id="", name="", kind="public", scopes=())
MOST = 20_000  # clients, so that their list stays small
LOOK = 5.0  # seconds for which a process trusts its copy of the origins


class Listed(msgspec.Struct, frozen=True):
    """State `clients`: every client's id with the origins of its browser app."""

    all: dict[str, tuple[str, ...]] = {}


async def client_of(store: Store, id: str) -> Client | None:
    """The client of an id; None if there is none, whatever text it is."""
    if not _ID.fullmatch(id):
        return None
    found = await load(store, f"client/{id}", Client)
    return found[0] if found else None


async def register(server: Server, client: Client) -> str:
    """Add a client that `registration.checked` has passed; returns its secret, once, "" if it has none.

    Raises ValueError if the id is taken, Busy if there are too many.
    """
    if not _ID.fullmatch(client.id):
        raise ValueError("A client id has 1 to 200 characters of visible ASCII.")
    secret = fresh() if client.kind == "symmetric" else ""
    stored = msgspec.structs.replace(client, secret=digest(secret) if secret else "")
    if len((await listed(server.store)).all) >= MOST:
        raise Busy("There are too many clients: remove some.")
    if not await save(server.store, f"client/{client.id}", stored):
        raise ValueError(f"There is a client {client.id!r} already.")
    await _relist(server, lambda all: {**all, client.id: client.origins})
    return secret


async def remove(server: Server, id: str) -> bool:
    """Remove a client: all its tokens are dead within a second. False if there is none."""
    there = await client_of(server.store, id) is not None and await server.store.delete_state(f"client/{id}")
    await _relist(server, lambda all: {name: origins for name, origins in all.items() if name != id})
    server.grants.clear()
    return there


async def listed(store: Store) -> Listed:
    """Every client's id and origins."""
    found = await load(store, "clients", Listed)
    return found[0] if found else Listed()


async def known_origin(server: Server, origin: str) -> bool:
    """Whether a browser app of this origin is registered; what was registered lately may take LOOK seconds."""
    known: frozenset[str] | None = server.origins.get("")
    if known is None:
        all = (await listed(server.store)).all
        known = frozenset(one for origins in all.values() for one in origins)
        server.origins.put("", known, LOOK)
    return origin in known


async def authenticate(server: Server, headers: Mapping[bytes, bytes], form: Mapping[str, str]) -> Client:
    """The client that a request to the authorization server comes from, by the one method it is registered for.

    Raises OAuthError 401 invalid_client if it does not prove that, 400 invalid_request if it tries two ways at once.
    """
    id, secret, basic = form.get("client_id", ""), form.get("client_secret", ""), False
    assertion, kind = form.get("client_assertion", ""), form.get("client_assertion_type", "")
    shown = headers.get(b"authorization", b"")
    if shown[:6].lower() == b"basic ":
        if secret or assertion:
            raise invalid_request("A client authenticates in one way only.")
        named, (id, secret), basic = id, _basic(shown[6:]), True
        if named and named != id:
            raise invalid_client("client_id is not that of the Authorization header.", basic=True)
    if assertion or kind:
        if secret:
            raise invalid_request("A client authenticates in one way only.")
        if kind != ASSERTION_TYPE:
            raise invalid_client(f"client_assertion_type must be {ASSERTION_TYPE}.")
        client = await client_of(server.store, claimed_client(assertion, id))
        return await asserted(server, assertion, client)
    return _proven(await client_of(server.store, id), secret, basic)


def _proven(client: Client | None, secret: str, basic: bool) -> Client:
    """The client, if what it showed is what its kind must show. Raises OAuthError 401 invalid_client."""
    found = client or _NOBODY
    right = hmac.compare_digest(digest(secret), found.secret or digest(fresh()))
    if client is not None and (right if client.kind == "symmetric" else client.kind == "public" and not secret):
        return client
    raise invalid_client("The client is unknown, or this is not how it authenticates.", basic)


def _basic(shown: bytes) -> tuple[str, str]:
    """The id and secret of HTTP Basic, each form-encoded. Raises OAuthError 401 invalid_client."""
    try:
        id, colon, secret = b64decode(shown.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise invalid_client("The Authorization header is malformed.", basic=True)
    return unquote_plus(id), unquote_plus(secret)


async def _relist(server: Server, change: Callable[[dict[str, tuple[str, ...]]], dict[str, tuple[str, ...]]]) -> None:
    while True:
        found = await load(server.store, "clients", Listed)
        known, version = found or (Listed(), 0)
        changed = Listed(change(dict(known.all)))
        if changed == known or await save(server.store, "clients", changed, version):
            server.origins.clear()
            return
