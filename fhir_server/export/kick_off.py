"""$export: what is asked is checked, kept and answered with an address to ask at. https://hl7.org/fhir/uv/bulkdata/STU2/export.html#bulk-data-kick-off-request"""

import secrets
from collections.abc import Sequence

from msgspec.structs import replace

from fhir_server.access import READ, Caller
from fhir_server.export.asked import filtered
from fhir_server.export.group import filter_of, members, queries, read_group
from fhir_server.export.job import EXPORTS, Export
from fhir_server.export.job import Issue as Told
from fhir_server.export.run import schedule
from fhir_server.export.wish import Given, Wish, read_wish
from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError, Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.server import Server

WAIT = 60  # seconds after which a client with too many exports may try again
MOST_PATIENTS = 10_000  # named in `patient`
SECOND = 1_000_000


async def kick_off(server: Server, caller: Caller, ask: Ask, given: Given, ballot: bool = False) -> Answer:
    """202 with the address of the export's status; `ballot`: its manifest is that of version 4. Raises FhirError 400,
    403, 404 for a Group, 429."""
    require_async(ask, "An export")
    level = {"": "system", "Patient": "patient", "Group": "group"}[ask.type]
    require_backend(caller, "Exports")
    posted = ask.resource is not None
    now, base = server.clock(), server.settings.base
    wish, passed = read_wish(server.definitions, level, ask.id, given, posted, base, now, ask.lenient)
    wish, barred = _within_rights(caller, wish, ask.lenient)
    passed += barred
    wish, strange = await _filters(server, caller, wish, ask.lenient, now)
    passed += strange
    await _require_patients(server, caller, wish)
    await _require_room(server, caller)
    id = secrets.token_hex(16)
    job = Export(
        caller=caller.id,
        request=_address(server, ask, "$export-v4" if ballot else "$export"),
        wish=wish,
        kicked=now,
        expires=now + server.settings.job_lifetime * SECOND,
        grant=caller.grant,
        passed=tuple(Told(one.code, one.diagnostics, one.expression, one.severity) for one in passed),
        secured=server.settings.auth != "open",
        ballot=ballot,
        separate=ask.separate,
    )
    await EXPORTS.add(server, id, job)
    await schedule(server)
    address = f"{base}/_export/{id}"
    issue = Issue("informational", f"{address} tells how the export stands.", severity="information")
    applied = (("Preference-Applied", "respond-async, separate-export-status"),) if ask.separate else ()
    headers = (("Content-Location", address), *applied)
    return Answer(202, codec.encode(operation_outcome([issue])), headers=headers)


def require_async(ask: Ask, what: str) -> None:
    """Raise FhirError 400 unless both headers are there. The specification lets a server assume them; clients that
    forget them should learn of it here."""
    if not ask.later:
        raise refuse(400, "required", f"{what} is answered later: send the header Prefer: respond-async.")
    if not ask.accept or not ask.accept.strip():
        raise refuse(400, "required", "Say how to be answered: send the header Accept: application/fhir+json.")


def require_backend(caller: Caller, what: str) -> None:
    """Raise FhirError 403 unless the caller is a backend service with scopes of system/, or everyone is let in."""
    grant = caller.grant
    if caller.free or (
        grant is not None
        and not (grant.user or grant.patient)
        and all(scope.startswith("system/") for scope in grant.scopes if "/" in scope)
    ):
        return
    text = f"{what} are for backend services: ask for scopes of system/ by client_credentials."
    raise refuse(403, "forbidden", text, WWW_Authenticate='Bearer error="insufficient_scope"')


def _within_rights(caller: Caller, wish: Wish, lenient: bool) -> tuple[Wish, list[Issue]]:
    """The wish for what the scopes cover. Raises FhirError 403 for a type named that they do not, unless lenient."""
    allowed = tuple(type for type in wish.types if caller.may(type, "s") and caller.may(type, READ))
    barred = [type for type in wish.types if type not in allowed] if wish.named else []
    if not allowed or (barred and not lenient):
        text = f"Your scopes do not let you export {', '.join(barred or wish.types)[:200]}: ask for system/TYPE.rs."
        raise refuse(403, "forbidden", text, WWW_Authenticate='Bearer error="insufficient_scope"')
    told = [
        Issue("forbidden", f"{type} is not exported: your scopes leave it out.", ("_type",), "warning")
        for type in barred
    ]
    return replace(wish, types=allowed, filters=tuple(one for one in wish.filters if one.type in allowed)), told


async def _filters(server: Server, caller: Caller, wish: Wish, lenient: bool, now: int) -> tuple[Wish, list[Issue]]:
    """The wish with the filters that can be searched. Raises FhirError 400 for another, unless lenient."""
    kept, passed = [], []
    for one in wish.filters:
        try:
            await filtered(server, caller, replace(wish, filters=(one,)), one.type, now)
            kept.append(one)
        except FhirError as error:
            if not lenient:
                raise
            text = f"_typeFilter of {one.type} was ignored: {error.issues[0].diagnostics}"
            passed.append(Issue("not-supported", text, ("_typeFilter",), "warning"))
    return replace(wish, filters=tuple(kept)), passed


async def _require_patients(server: Server, caller: Caller, wish: Wish) -> None:
    """Raise FhirError 404 for a Group that the caller may not read, 400 for patients that the export cannot hold."""
    if len(wish.patients) > MOST_PATIENTS:
        raise refuse(400, "too-costly", f"Name at most {MOST_PATIENTS} patients, or make a Group of them.", "patient")
    if wish.level == "group":
        group = await read_group(server, caller, wish.group)
        for query in queries(group):
            await filter_of(server, caller, group, query)
        known = frozenset(await members(server, caller, group)) if wish.patients else frozenset()
        strangers: Sequence[str] = [id for id in wish.patients if id not in known]
    else:
        strangers = [id for id in wish.patients if not await _known(server, caller, id)]
    if strangers:
        text = f"Patient/{strangers[0][:64]} is not among those that you can export here."
        raise refuse(400, "not-found", text, "patient")


async def _known(server: Server, caller: Caller, id: str) -> bool:
    stored = await server.store.read("Patient", id, caller.permit("Patient", READ))
    return stored is not None and not stored.deleted


async def _require_room(server: Server, caller: Caller) -> None:
    """Raise FhirError 429 when the client has enough exports that have not ended."""
    unfinished = [one for one in (await EXPORTS.open(server)).values() if one.caller == caller.id]
    if len(unfinished) >= server.settings.export_open:
        text = f"You have {len(unfinished)} exports that have not ended: wait for one, or delete it."
        raise refuse(429, "throttled", text, Retry_After=str(WAIT))


def _address(server: Server, ask: Ask, name: str) -> str:
    """The URL of the request as it was sent."""
    path = "/".join(part for part in (ask.type, ask.id, name) if part)
    return f"{server.settings.base}/{path}" + (f"?{ask.sent}" if ask.sent else "")
