"""Access tokens of other authorization servers that the operator trusts, a hospital's own for example.
https://www.rfc-editor.org/rfc/rfc9068

Such a token counts only if it is for this FHIR base. Its client_id is a name of that issuer's: it has nothing to do
with a client of the same name here.
"""

import re
from typing import Any

from fhir_server.access.grant import ROLES, Grant
from fhir_server.access.scopes import LAUNCH, read_scope
from fhir_server.auth import jose
from fhir_server.auth.jwks import Unfetchable, keys_for
from fhir_server.auth.records import digest
from fhir_server.server import Server

SKEW = 30  # seconds that clocks may differ, of nbf and iat
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
LONGEST = 86_400  # seconds that a token may have left
_USERS = ("Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person")


async def foreign(server: Server, token: str) -> Grant | None:
    """What a token of a trusted issuer stands for; None if it is of nobody we trust, or not sound, or not for us."""
    trusted = server.settings.trusted()
    try:
        issuer = jose.unverified(token).get("iss") if trusted else None
        url = trusted.get(issuer) if isinstance(issuer, str) else None
        if url is None:
            return None
        jose.header(token, jose.TOKEN_ALGORITHMS)
        claims = jose.verify(token, await keys_for(server, url, token), jose.TOKEN_ALGORITHMS)
    except (jose.BadToken, Unfetchable):
        return None
    return _grant(server, claims)


def _grant(server: Server, claims: dict[str, Any]) -> Grant | None:
    now, audience = server.clock() / 1_000_000, claims.get("aud")
    expires = claims.get("exp")
    if not any(
        isinstance(one, str) and one.removesuffix("/") == server.settings.base
        for one in (audience if isinstance(audience, list) else [audience])
    ):
        return None
    if isinstance(expires, bool) or not isinstance(expires, int | float) or not now < expires <= now + LONGEST:
        return None
    for name in ("nbf", "iat"):
        begun = claims.get(name, 0)
        if isinstance(begun, bool) or not isinstance(begun, int | float) or not begun <= now + SKEW:
            return None
    patient, user = _text(claims, "patient"), _user(server, _text(claims, "fhirUser"))
    client = _text(claims, "client_id") or _text(claims, "azp") or _text(claims, "sub")
    if (patient and not _ID.fullmatch(patient)) or user is None or not client:
        return None
    role = _text(claims, "role")
    named = f"{claims['iss']}\n{client}\n{_text(claims, 'sub')}\n{patient}"
    return Grant(
        client=f"{claims['iss']} {client}",
        scopes=_scopes(server, _text(claims, "scope"), patient, user),
        id="issuer-" + digest(named),
        user=user,
        patient=patient,
        encounter=_text(claims, "encounter"),
        role=role if role in ROLES and role != "operator" else "",
        purposes=_texts(claims, "purposes"),
        actors=_texts(claims, "actors"),
        study=_text(claims, "study"),
        expires=int(expires * 1_000_000),
    )


def _scopes(server: Server, text: str, patient: str, user: str) -> tuple[str, ...]:
    """The scopes that mean something here; none of patient/ without a patient, none of user/ without a user."""
    found = []
    for one in text.split()[:500]:
        scope = read_scope(server.definitions, one)
        if one in LAUNCH or (
            scope is not None and (patient or scope.context != "patient") and (user or scope.context != "user")
        ):
            found.append(one)
    return tuple(dict.fromkeys(found))


def _user(server: Server, text: str) -> str | None:
    """The reference of a fhirUser claim, "" if there is none; None if it is of elsewhere or malformed."""
    if not text:
        return ""
    type, _, id = text.removeprefix(server.settings.base + "/").partition("/")
    return f"{type}/{id}" if type in _USERS and _ID.fullmatch(id) else None


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value if isinstance(value, str) and value.isprintable() else ""


def _texts(claims: dict[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name)
    return tuple(one for one in value if isinstance(one, str) and one.isprintable()) if isinstance(value, list) else ()
