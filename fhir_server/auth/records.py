"""What the authorization server keeps in the store's State, as JSON, each record under a key of its own.

Secrets are kept as SHA-256 of what the client holds: all but passwords are 256 random bits, so that a plain hash is
enough, and a copy of the store opens nothing. https://www.rfc-editor.org/rfc/rfc9700
"""

import hashlib
import secrets
from typing import Any, Literal, TypeVar

import msgspec

from fhir_server.store.seam import Store

R = TypeVar("R", bound=msgspec.Struct)


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A registered client. State key `client/[id]`."""

    id: str
    name: str
    kind: Literal["public", "symmetric", "asymmetric"]
    scopes: tuple[str, ...]  # the most that it may be granted
    grants: tuple[str, ...] = ("authorization_code",)  # also refresh_token, client_credentials
    redirects: tuple[str, ...] = ()  # exact redirect URIs
    origins: tuple[str, ...] = ()  # of browser apps, for CORS
    launch: str = ""  # where an EHR launch begins
    secret: str = ""  # `digest` of the secret of a symmetric client
    jwks: dict[str, Any] | None = None
    jwks_uri: str = ""
    role: str = ""  # one of access.grant.ROLES, for client_credentials
    purposes: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    study: str = ""
    dynamic: bool = False  # registered itself


class User(msgspec.Struct, frozen=True, kw_only=True):
    """Someone who signs in. State key `user/[name]`."""

    name: str
    password: str  # argon2id, in its own encoded form
    fhir_user: str  # Patient/1, Practitioner/2 or RelatedPerson/3
    shown: str = ""  # the name on pages
    disabled: bool = False


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """What was granted once, by a person or a registration: all its tokens fall with it. State key
    `authorization/[id]`. Times are microseconds since 1970."""

    client: str
    scopes: tuple[str, ...]
    user: str = ""  # fhir_user
    name: str = ""  # of the User
    patient: str = ""
    encounter: str = ""
    role: str = ""
    purposes: tuple[str, ...] = ()
    actors: tuple[str, ...] = ()
    study: str = ""
    emergency: str = ""
    nonce: str = ""
    session: str = ""  # id of the session with which it ends; "" if it goes on without the person
    made: int = 0
    expires: int = 0


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An access token. State key `token/[digest]`; `authorization` is the id of the record above."""

    authorization: str
    scopes: tuple[str, ...]  # all of the authorization's, or fewer
    expires: int


def digest(secret: str) -> str:
    """The form in which a secret of full entropy is kept."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def fresh() -> str:
    """A new secret or id of 256 random bits, safe in a URL."""
    return secrets.token_urlsafe(32)


async def load(store: Store, key: str, kind: type[R]) -> tuple[R, int] | None:
    """The record under a key with its version, None if it is absent or has expired."""
    found = await store.get_state(key)
    return None if found is None else (msgspec.json.decode(found[0], type=kind), found[1])


async def save(store: Store, key: str, record: msgspec.Struct, version: int = 0, expires: int | None = None) -> bool:
    """Write a record if its version is still `version` (0: new); False if it is not."""
    return await store.put_state(key, msgspec.json.encode(record), version, expires)
