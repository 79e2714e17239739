"""Authorization codes: given for a consent, redeemed once. https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3

The record outlives the code, so that a code which comes a second time is known, and all that was got for it falls.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any

import msgspec

from fhir_server.auth.errors import OAuthError, invalid_request
from fhir_server.auth.flow import Flow, needs_patient
from fhir_server.auth.records import Authorization, Client, digest, fresh, load, save
from fhir_server.auth.refresh import LIFETIME as OFFLINE
from fhir_server.auth.refresh import given, refreshable
from fhir_server.auth.response import Context, id_token, response
from fhir_server.auth.session import Visit
from fhir_server.auth.tokens import authorize, revoke
from fhir_server.server import Server

LIFETIME = 60 * 1_000_000  # µs
REMEMBERED = 24 * 3600 * 1_000_000  # µs after its use in which a second use is noticed
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}", re.ASCII)


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A code. State key `code/[digest]`."""

    redirect: str
    challenge: str
    aud: str
    authorization: Authorization
    context: Context
    expires: int
    used: bool = False
    again: bool = False  # it came a second time
    made: str = ""  # id of the authorization that was got for it


async def granted(
    server: Server, client: Client, flow: Flow, scopes: tuple[str, ...], seen: Visit, patient: str
) -> str:
    """A code for what a person has allowed a client to do."""
    assert seen.user is not None
    assert seen.session is not None
    launch = flow.launch if "launch" in scopes else None
    now = server.clock()
    bound = patient if needs_patient(scopes) or launch else ""
    authorization = Authorization(
        client=client.id,
        scopes=scopes,
        user=seen.user.fhir_user,
        name=seen.user.name,
        patient=bound,
        encounter=launch.encounter if launch and bound else "",
        purposes=client.purposes,
        actors=client.actors,
        study=client.study,
        nonce=flow.nonce,
        made=now,
        **_limits(server, client, scopes, seen),
    )
    context = Context(
        intent=launch.intent if launch else "",
        banner=launch.need_patient_banner if launch else True,
        ehr=launch is not None,
        signed_in=seen.session.made,
    )
    code = fresh()
    record = Code(
        redirect=flow.redirect,
        challenge=flow.challenge,
        aud=flow.aud.removesuffix("/"),
        authorization=authorization,
        context=context,
        expires=now + LIFETIME,
    )
    await save(server.store, f"code/{digest(code)}", record, expires=record.expires)
    return code


async def redeem(server: Server, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
    """The token response for a code. Raises OAuthError; for a code that was used, after revoking what it brought."""
    if not form.get("code"):
        raise invalid_request("code is missing.")
    key = f"code/{digest(form['code'])}"
    found = await load(server.store, key, Code)
    if found is None or found[0].authorization.client != client.id:
        raise _bad()
    code, version = found
    if code.used:
        await _fallen(server, key)
        raise _bad()
    if code.expires <= server.clock() or form.get("redirect_uri") != code.redirect or code.aud != server.settings.base:
        raise _bad()
    if not _proves(form.get("code_verifier", ""), code.challenge):
        raise OAuthError(400, "invalid_grant", "code_verifier is missing or does not fit the code_challenge.")
    kept = server.clock() + REMEMBERED
    used = msgspec.structs.replace(code, used=True)
    if not await save(server.store, key, used, version, kept):
        await _fallen(server, key)
        raise _bad()
    id = await authorize(server, code.authorization)
    if not await save(server.store, key, msgspec.structs.replace(used, made=id), version + 1, kept):
        await revoke(server, id)  # it came again in between
        raise _bad()
    authorization, context = code.authorization, code.context
    answer = await response(server, id, authorization, authorization.scopes, context)
    if refreshable(client, authorization.scopes):
        answer["refresh_token"] = await given(server, id, authorization, context)
    if "openid" in authorization.scopes:
        answer["id_token"] = await id_token(server, client, authorization, context)
    return answer


def _limits(server: Server, client: Client, scopes: tuple[str, ...], seen: Visit) -> dict[str, Any]:
    """How long an authorization lasts: offline until it lies unused, else with the session at the longest."""
    now = server.clock()
    if "offline_access" in scopes and refreshable(client, scopes):
        return {"expires": now + OFFLINE}
    assert seen.session is not None
    alone = now + LIFETIME + server.settings.access_lifetime * 1_000_000
    ends = seen.session.expires
    return {"session": seen.id, "expires": ends if refreshable(client, scopes) else min(ends, alone)}


async def _fallen(server: Server, key: str) -> None:
    """A used code came again: revoke what it brought, or let its first use notice."""
    while (found := await load(server.store, key, Code)) is not None:
        code, version = found
        if code.made:
            await revoke(server, code.made)
            return
        marked = msgspec.structs.replace(code, again=True)
        if await save(server.store, key, marked, version, server.clock() + REMEMBERED):
            return


def _proves(verifier: str, challenge: str) -> bool:
    if not _VERIFIER.fullmatch(verifier):
        return False
    made = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode())


def _bad() -> OAuthError:
    return OAuthError(400, "invalid_grant", "The code is unknown, used, expired or another's, or redirect_uri differs.")
