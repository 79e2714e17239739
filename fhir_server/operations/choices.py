"""Patient/[id]/$choices and $choose: what a participant permits, as one page. https://hl7.org/fhir/R4/consent.html"""

from collections.abc import Iterable
from typing import Any

from fhir_server.access import Caller, permitted, transact
from fhir_server.access.choices import POLICY, Choices, Use, checked, choices_of, consent_of
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds, instant
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.draft import change, draft
from fhir_server.interactions.may import require
from fhir_server.interactions.visible import not_found
from fhir_server.operations.inputs import Inputs
from fhir_server.search.index import param_of
from fhir_server.search.predicate import And, Is
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored, Tx

TAKES = {"use": "part*", "contact": "string*", "without": "reference*", "pause": "boolean", "revoke": "boolean"}
NOTHING_CHOSEN = Choices()


async def choices(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """The page as Parameters, empty if nothing was ever chosen. Raises FhirError 404 for a patient the caller does not
    see."""
    await _require_patient(server, caller, ask.id)
    found = await _current(server.store.search, ask.id)
    return _page(found, choices_of(codec.decode(found.body)) if found else None)


async def choose(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Store the page as one Consent of this patient; the answer is the page. What is not given is not permitted.

    `pause` alone keeps what was chosen and switches it off (false: on again), `revoke` alone denies all.

    Raises FhirError 404 for a patient the caller does not see, 403 without rights to write Consents, 400 for what the
    page does not have.
    """
    await _require_patient(server, caller, ask.id)
    require(caller, "Consent", "cu")
    signed = caller.grant.user if caller.grant is not None else ""
    performer = signed if signed.startswith("RelatedPerson/") else f"Patient/{ask.id}"
    now, new_id = server.clock(), server.new_id()

    async def work(tx: Tx) -> tuple[Stored, Choices]:
        before = await _current(tx.search, ask.id)
        held = choices_of(codec.decode(before.body)) if before else None
        chosen = _chosen(given, held or NOTHING_CHOSEN)
        id, version = (before.id, before.version + 1) if before else (new_id, 1)
        made = draft(server, consent_of(chosen, ask.id, performer, instant(now)), id)
        updated = max(now, tx.began, before.updated if before else 0)
        return await tx.write(change(made, id, version, updated, "PUT" if before else "POST")), chosen

    stored, chosen = await transact(server, caller, work)
    return _page(stored, chosen)


async def _require_patient(server: Server, caller: Caller, id: str) -> None:
    row = await server.store.read("Patient", id, permitted(caller, ("Patient",), "r"))
    if row is None or row.deleted:
        raise not_found("Patient", id)


async def _current(find: Any, patient: str) -> Stored | None:
    """The Consent that the page is kept in."""
    about = Is(param_of("patient", "reference"), (("type", "=", "Patient"), ("id", "=", patient)))
    scope = Is(param_of("scope", "token"), (("code", "=", "research"),))
    rows = (await find(Query(("Consent",), And((about, scope)), count=1000))).rows
    ours = [row for row in rows if {"uri": POLICY} in codec.decode(row.body).get("policy", ())]
    return max(ours, key=lambda row: (row.updated, row.id), default=None)


def _chosen(given: Inputs, held: Choices) -> Choices:
    if given.get("revoke"):
        if len(given) > 1:
            raise refuse(400, "invalid", "revoke denies everything: it goes with no other parameter.", "revoke")
        return NOTHING_CHOSEN
    paused = given.get("pause", False)
    if given.keys() == {"pause"}:
        return held._replace(paused=paused)
    try:
        uses = tuple(_use(part) for part in given.get("use", ()))
        without = (one.removeprefix("ResearchStudy/") for one in given.get("without", ()))
        return checked(Choices(uses, tuple(given.get("contact", ())), tuple(without), paused))
    except ValueError as error:
        raise refuse(400, "value", str(error)) from None


def _use(parts: Iterable[Resource]) -> Use:
    """A `use` as it came: parts `data` (repeats), `purpose`, `recipient`, `until`."""
    data: list[str] = []
    found = {"purpose": "", "recipient": "", "until": ""}
    for part in parts:
        name = part.get("name", "")
        value = next((value for key, value in part.items() if key.startswith("value")), None)
        if isinstance(value, dict):
            value = value.get("reference")
        if not isinstance(value, str):
            raise ValueError(f"The part {name[:60]!r} of a use has no value.")
        if name == "data":
            data.append(value)
        elif name in found:
            found[name] = value
        else:
            raise ValueError(f"A use has no part {name[:60]!r}: it has data, purpose, recipient and until.")
    if found["until"]:
        bounds(found["until"])
    return Use(tuple(data), **found)


def _page(stored: Stored | None, chosen: Choices | None) -> Answer:
    told: list[Resource] = []
    if stored is not None:
        told.append({"name": "consent", "valueReference": {"reference": f"Consent/{stored.id}"}})
        told.append({"name": "readable", "valueBoolean": chosen is not None})
    for use in chosen.uses if chosen else ():
        parts: list[Resource] = [{"name": "data", "valueCode": one} for one in use.data]
        parts.append({"name": "purpose", "valueCode": use.purpose})
        parts += [{"name": "recipient", "valueReference": {"reference": use.recipient}}] if use.recipient else []
        parts += [{"name": "until", "valueDate": use.until}] if use.until else []
        told.append({"name": "use", "part": parts})
    if chosen:
        told += [{"name": "contact", "valueCode": one} for one in chosen.contact]
        told += [{"name": "without", "valueReference": {"reference": f"ResearchStudy/{id}"}} for id in chosen.without]
        told.append({"name": "paused", "valueBoolean": chosen.paused})
    return Answer(200, codec.encode({"resourceType": "Parameters", **({"parameter": told} if told else {})}))
