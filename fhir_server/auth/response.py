"""What the token endpoint answers to a code or a refresh token. https://hl7.org/fhir/smart-app-launch/app-launch.html#response-5"""

from typing import Any

import msgspec

from fhir_server.auth.jose import sign
from fhir_server.auth.keys import signing_keys
from fhir_server.auth.records import Authorization, Client
from fhir_server.auth.tokens import SECOND, issue, subject
from fhir_server.server import Server


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """How an app was launched, as far as it is no right: told again at each refresh."""

    intent: str = ""
    banner: bool = True  # the app has to show who the patient is
    ehr: bool = False  # launched from an EHR
    signed_in: int = 0  # when the person did, in microseconds since 1970


async def response(
    server: Server, id: str, authorization: Authorization, scopes: tuple[str, ...], context: Context
) -> dict[str, Any]:
    """A fresh access token and what it is about; refresh and id tokens are added by who gives them."""
    seconds = server.settings.access_lifetime
    if authorization.expires:
        seconds = max(1, min(seconds, (authorization.expires - server.clock()) // SECOND))
    found: dict[str, Any] = {
        "access_token": await issue(server, id, authorization, scopes, seconds),
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": " ".join(scopes),
    }
    if authorization.patient:
        found |= {"patient": authorization.patient, "need_patient_banner": context.banner}
    if authorization.encounter:
        found["encounter"] = authorization.encounter
    if context.ehr:
        found["smart_style_url"] = f"{server.settings.issuer}/style.json"
        if context.intent:
            found["intent"] = context.intent
    return found


async def id_token(server: Server, client: Client, authorization: Authorization, context: Context) -> str:
    """Who signed in, signed for one client. https://openid.net/specs/openid-connect-core-1_0.html#IDToken"""
    now = server.clock() // SECOND
    claims = {
        "iss": server.settings.issuer,
        "sub": subject(authorization),
        "aud": client.id,
        "iat": now,
        "exp": now + server.settings.access_lifetime,
        "auth_time": context.signed_in // SECOND,
    }
    if authorization.nonce:
        claims["nonce"] = authorization.nonce
    if {"fhirUser", "profile"} & set(authorization.scopes):
        who = f"{server.settings.base}/{authorization.user}"
        claims |= {"fhirUser": who, "profile": who}
    return sign(await signing_keys(server.store, server.clock()), claims)
