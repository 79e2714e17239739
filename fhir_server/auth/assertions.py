"""private_key_jwt: a client proves who it is by a short-lived token that it signed, each usable once.
https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html
"""

from typing import Any

from fhir_server.auth import jose
from fhir_server.auth.errors import OAuthError, invalid_client
from fhir_server.auth.jwks import Unfetchable, keys_for
from fhir_server.auth.records import Client, digest
from fhir_server.server import Server

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 300  # seconds that an assertion may have left
SKEW = 30  # seconds that clocks may differ
_NOBODY = Client(id="", name="", kind="asymmetric", scopes=())


def claimed_client(assertion: str, id: str) -> str:
    """The client that an assertion says it is from; nothing about it is proven yet.

    Raises OAuthError 401 invalid_client if it cannot be read, or the request names another client beside it.
    """
    try:
        claims = jose.unverified(assertion)
    except jose.BadToken as error:
        raise invalid_client(f"The client assertion is refused. {error}") from None
    subject = claims.get("sub")
    if not isinstance(subject, str) or (id and id != subject):
        raise invalid_client("The client assertion is refused. sub must be the client_id.")
    return subject


async def asserted(server: Server, assertion: str, client: Client | None) -> Client:
    """The client, if the assertion is by its key, about itself, for us, of now, and new.

    Raises OAuthError 401 invalid_client if not; which part was wrong is told only after the signature proved right.
    """
    known = client if client is not None and client.kind == "asymmetric" else _NOBODY
    try:
        head = jose.header(assertion, jose.ASSERTION_ALGORITHMS)
        if str(head.get("typ", "")).upper() != "JWT":
            raise jose.BadToken("The header's typ must be JWT.")
        if "jku" in head and (not known.jwks_uri or head["jku"] != known.jwks_uri):
            raise jose.BadToken("jku must be the registered address of the key set.")
        keys = known.jwks or (await keys_for(server, known.jwks_uri, assertion) if known.jwks_uri else decoy(head))
        claims = jose.verify(assertion, keys, jose.ASSERTION_ALGORITHMS)
        if known is not client:
            raise jose.BadToken("The signature is not that of the key.")
    except (jose.BadToken, Unfetchable) as error:
        raise invalid_client(f"The client assertion is refused. {error}") from None
    await _once(server, known, claims, _expiry(server, known, claims))
    return known


def decoy(head: dict[str, Any]) -> dict[str, Any]:
    """A key set that no signature matches: a client that is not there takes as long as one that is."""
    key = jose.decoy(str(head["alg"]))
    return {"keys": [{**key, "kid": head["kid"]}]}


def _expiry(server: Server, client: Client, claims: dict[str, Any]) -> float:
    """When the assertion expires, in seconds, if all its claims are right. Raises OAuthError 401 invalid_client."""
    now, expires = server.clock() / 1_000_000, claims.get("exp")
    audience = claims.get("aud")
    if claims.get("iss") != client.id or claims.get("sub") != client.id:
        raise _refused("iss and sub must both be the client_id.")
    if server.settings.issuer + "/token" not in (audience if isinstance(audience, list) else [audience]):
        raise _refused(f"aud must be {server.settings.issuer}/token.")
    if not _number(expires):
        raise _refused("exp must be given, as a number of seconds.")
    assert isinstance(expires, int | float)  # _number said so
    if expires <= now:
        raise _refused("It has expired.")
    if expires > now + LONGEST + SKEW:
        raise _refused(f"exp must lie at most {LONGEST} seconds ahead.")
    for name in ("nbf", "iat"):
        begun = claims.get(name, now)
        if not _number(begun) or begun > now + SKEW:
            raise _refused(f"{name} lies in the future.")
    return float(expires)


async def _once(server: Server, client: Client, claims: dict[str, Any], expires: float) -> None:
    """Note the jti for as long as the assertion could be shown again. Raises OAuthError 401 if that was done before."""
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= 1000:
        raise _refused("jti must be given, a new one each time.")
    key = "jti/" + digest(f"{client.id}\n{jti}")
    if not await server.store.put_state(key, b"{}", 0, int((expires + SKEW) * 1_000_000)):
        raise _refused("Its jti was used before.")


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53


def _refused(why: str) -> OAuthError:
    return invalid_client(f"The client assertion is refused. {why}")
