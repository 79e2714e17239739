"""What a client may be, and registering itself. https://www.rfc-editor.org/rfc/rfc7591"""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access.grant import ROLES
from fhir_server.access.scopes import LAUNCH, grantable, read_scope
from fhir_server.auth import limits
from fhir_server.auth.clients import register
from fhir_server.auth.errors import OAuthError, json
from fhir_server.auth.forms import read_bytes
from fhir_server.auth.jose import BadToken, check_jwks
from fhir_server.auth.jwks import Unfetchable, checked_url
from fhir_server.auth.records import Client, fresh
from fhir_server.server import Server

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
# The most that a client which registered itself may be granted: to read, on behalf of who signs in.
DYNAMIC = ("patient/*.rs", "user/*.rs", *sorted(LAUNCH))
METHODS = {
    "none": "public",
    "client_secret_basic": "symmetric",
    "client_secret_post": "symmetric",
    "private_key_jwt": "asymmetric",
}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NATIVE = re.compile(r"[a-z][a-z0-9+\-]*(\.[a-z0-9+\-]+)+", re.ASCII)  # a scheme that is a reversed domain name


class Refused(ValueError):
    """Why a client cannot be registered as it is described; `error` is the code of RFC 7591."""

    def __init__(self, description: str, error: str = "invalid_client_metadata") -> None:
        super().__init__(description)
        self.error = error


def checked(server: Server, client: Client) -> Client:
    """The client with what follows from its description. Raises Refused, a ValueError, for one that may not be."""
    unknown = [grant for grant in client.grants if grant not in GRANT_TYPES]
    if unknown or not client.grants:
        raise Refused(f"Grants are {', '.join(GRANT_TYPES)}.")
    bad = [one for one in client.scopes if one not in LAUNCH and read_scope(server.definitions, one) is None]
    if bad or not client.scopes:
        raise Refused(f"These are no scopes here: {' '.join(bad)}." if bad else "A client needs a scope.")
    if client.role and client.role not in ROLES:
        raise Refused(f"Roles are {', '.join(ROLES)}.")
    _check_keys(server, client)
    if "client_credentials" in client.grants and client.kind != "asymmetric":
        raise Refused("client_credentials is for asymmetric clients only: a shared secret does not do.")
    if "authorization_code" in client.grants and not client.redirects:
        raise Refused("A client with authorization_code needs a redirect URI.", "invalid_redirect_uri")
    for uri in client.redirects:
        check_redirect(uri)
    if client.kind == "public" and not client.origins:
        pages = [urlsplit(uri) for uri in client.redirects if uri.startswith(("https://", "http://"))]
        origins = tuple(dict.fromkeys(f"{page.scheme}://{page.netloc}".lower() for page in pages))
        client = msgspec.structs.replace(client, origins=origins)
    return client


def check_redirect(uri: str) -> None:
    """Raise Refused unless codes may be sent there: HTTPS, HTTP on this machine, or an app's own scheme (RFC 8252)."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError:
        raise Refused("A redirect URI is no URI.", "invalid_redirect_uri") from None
    web = (parts.scheme == "https" and host) or (parts.scheme == "http" and host in _LOOPBACK)
    plain = uri.isascii() and uri.isprintable() and not set(uri) & set(' "<>\\^`{|}*#') and len(uri) <= 2000
    if not plain or parts.username is not None or not (web or _NATIVE.fullmatch(parts.scheme)):
        raise Refused(
            "A redirect URI is https://..., http:// on a loopback address, or begins with an app's own scheme such as "
            "org.example.app:; it has no fragment, user or wildcard.",
            "invalid_redirect_uri",
        )


def _check_keys(server: Server, client: Client) -> None:
    if client.kind != "asymmetric":
        if client.jwks is not None or client.jwks_uri:
            raise Refused("A key set is for asymmetric clients only.")
        return
    if (client.jwks is None) == (not client.jwks_uri):
        raise Refused("An asymmetric client has a key set or the address of one, not both.")
    try:
        if client.jwks is not None:
            check_jwks(client.jwks)
        else:
            checked_url(client.jwks_uri, frozenset(server.settings.jwks_hosts.split()))
    except (BadToken, Unfetchable) as error:
        raise Refused(str(error)) from None


async def register_itself(server: Server, request: Request) -> Response:
    """POST /auth/register: a client adds itself, if the setting allows; it may read for who signs in, nothing more."""
    if server.settings.registration != "open":
        raise OAuthError(403, "access_denied", "Clients do not register themselves here: ask the operator.")
    who = limits.address(request)
    limits.count(server, who, limits.FAILURE)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise OAuthError(400, "invalid_client_metadata", "The body must be application/json.")
    try:
        client = checked(server, _described(server, await read_bytes(request)))
        secret = await register(server, client)
    except Refused as error:
        raise OAuthError(400, error.error, str(error)) from None
    return json(_told(client, secret, server.clock() // 1_000_000), 201)


def _described(server: Server, body: str) -> Client:
    try:
        given = msgspec.json.decode(body)  # which refuses lone surrogates: nothing could store them
    except (ValueError, RecursionError):
        raise Refused("The body is no JSON.") from None
    if not isinstance(given, dict):
        raise Refused("The body is no JSON object.")
    method = _text(given, "token_endpoint_auth_method") or "client_secret_basic"
    kind = METHODS.get(method)
    if kind is None:
        raise Refused(f"token_endpoint_auth_method is one of {', '.join(METHODS)}.")
    grants = tuple(
        one for one in _texts(given, "grant_types") or ("authorization_code",) if one != "client_credentials"
    )
    asked = _text(given, "scope") or " ".join(DYNAMIC)
    if len(asked) > 20_000:
        raise Refused("The scope is too long.")
    jwks = given.get("jwks")
    if jwks is not None and not isinstance(jwks, dict):
        raise Refused("jwks is no JSON object.")
    return Client(
        id=fresh(),
        name=_text(given, "client_name")[:200] or "App without a name",
        kind=kind,  # type: ignore[arg-type]
        scopes=grantable(server.definitions, asked, DYNAMIC),
        grants=grants,
        redirects=_texts(given, "redirect_uris"),
        launch=_launch(_text(given, "initiate_login_uri")),
        jwks=jwks,
        jwks_uri=_text(given, "jwks_uri"),
        dynamic=True,
    )


def _launch(uri: str) -> str:
    if uri:
        check_redirect(uri)
    return uri


def _told(client: Client, secret: str, now: int) -> dict[str, Any]:
    method = {"public": "none", "symmetric": "client_secret_basic", "asymmetric": "private_key_jwt"}[client.kind]
    told: dict[str, Any] = {
        "client_id": client.id,
        "client_id_issued_at": now,
        "client_name": client.name,
        "redirect_uris": client.redirects,
        "grant_types": client.grants,
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "scope": " ".join(client.scopes),
    }
    if secret:
        told |= {"client_secret": secret, "client_secret_expires_at": 0}
    return told


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name, "")
    if not isinstance(value, str):
        raise Refused(f"{name} is a string.")
    return value


def _texts(given: dict[str, Any], name: str) -> tuple[str, ...]:
    value = given.get(name, [])
    if not isinstance(value, list) or len(value) > 50 or not all(isinstance(one, str) for one in value):
        raise Refused(f"{name} is a list of up to 50 strings.")
    return tuple(value)
