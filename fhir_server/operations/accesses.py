"""Patient/[id]/$accesses: who looked at a record, and which Consent let them. https://hl7.org/fhir/R4/auditevent.html"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from fhir_server.access import Caller, permitted, restrict
from fhir_server.access.asking import requests_of
from fhir_server.access.consent import Request, decide
from fhir_server.access.facts import Facts
from fhir_server.access.provisions import voters
from fhir_server.access.statements import person_of, statement_of
from fhir_server.audit.event import count_of, grant_of
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import bounds
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.interactions.visible import not_found
from fhir_server.operations.inputs import Inputs
from fhir_server.search.index import param_of
from fhir_server.search.predicate import EVERYTHING, And, Is, Predicate, Sort
from fhir_server.server import Server
from fhir_server.store.seam import Query

TAKES = {"date": "date", "own": "boolean", "_count": "count"}
MOST = 200
DATE = param_of("date", "date")


class Past(NamedTuple):
    """A version of a Consent and when it was written, µs."""

    since: int
    consent: Resource
    version: int


async def accesses(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters with an `access` for each AuditEvent about the patient, newest first, `own` ones only if asked for.

    `date` bounds the time. Raises FhirError 404 for a patient whom the caller does not see.
    """
    require(caller, "AuditEvent", "s")
    row = await server.store.read("Patient", ask.id, permitted(caller, ("Patient",), "r"))
    if row is None or row.deleted:
        raise not_found("Patient", ask.id)
    about: list[Predicate] = [_of(ask.id)]
    if "date" in given:
        low, high = given["date"]
        about.append(Is(DATE, (("low", ">=", low), ("low", "<", high))))
    where = restrict(And(tuple(about)), caller, ("AuditEvent",), "s")
    patient = codec.decode(row.body)
    past = await _past(server, ask.id)
    told: list[Resource] = []
    most = min(given.get("_count", MOST), MOST)
    query: Query | None = Query(("AuditEvent",), where, (Sort(DATE, True),), MOST)
    while query is not None and len(told) < most:
        page = await server.store.search(query)
        for event in map(codec.decode, (one.body for one in page.rows)):
            if given.get("own") or grant_of(event).user != f"Patient/{ask.id}":
                told.append({"name": "access", "part": list(_told(server, event, patient, past))})
        query = query._replace(after=page.next) if page.next is not None else None
    body = {"resourceType": "Parameters", **({"parameter": told[:most]} if told else {})}
    return Answer(200, codec.encode(body))


def _of(patient: str) -> Predicate:
    return Is(param_of("patient", "reference"), (("type", "=", "Patient"), ("id", "=", patient)))


async def _past(server: Server, patient: str) -> list[Past]:
    """All versions of the patient's Consents; what the caller may see of them is told by reference only."""
    found: list[Past] = []
    async for row in server.store.scan(Query(("Consent",), _of(patient))):
        after: Any = None
        while True:
            page = await server.store.history("Consent", row.id, EVERYTHING, None, after, 100)
            found += [Past(one.updated, codec.decode(one.body), one.version) for one in page.rows if one.body]
            after = page.next
            if after is None:
                break
    return found


def _told(server: Server, event: Resource, patient: Resource, past: Sequence[Past]) -> Iterator[Resource]:
    who = grant_of(event)
    yield {"name": "period", "valuePeriod": event.get("period", {"start": event["recorded"]})}
    yield {"name": "count", "valueInteger": count_of(event)}
    yield {"name": "client", "valueString": who.client or "unknown"}
    if who.role:
        yield {"name": "role", "valueString": who.role}
    if who.user:
        yield {"name": "user", "valueReference": {"reference": who.user}}
    for actor in who.actors:
        yield {"name": "recipient", "valueReference": {"reference": actor}}
    if who.study:
        yield {"name": "study", "valueReference": {"reference": f"ResearchStudy/{who.study}"}}
    for code in who.purposes:
        yield {"name": "purpose", "valueCode": code}
    kind = event["subtype"][-1] if "subtype" in event else event["type"]
    yield {"name": "interaction", "valueCode": kind.get("code", "unknown")}
    yield {"name": "permitted", "valueBoolean": event.get("outcome", "0") == "0"}
    if "outcomeDesc" in event:
        yield {"name": "remark", "valueString": event["outcomeDesc"]}
    for entity in event.get("entity", ()):
        named = entity.get("what", {}).get("reference", "")
        if entity.get("role", {}).get("code") == "4" and named not in ("", f"Patient/{patient['id']}"):
            yield {"name": "resource", "valueReference": {"reference": named}}
    if event.get("outcome", "0") == "0":
        requests = requests_of(who, frozenset(who.actors), server.consents.treatment) or ()
        for reference in _consents(server, requests, patient, past, bounds(event["recorded"])[0]):
            yield {"name": "consent", "valueReference": {"reference": reference}}


def _consents(
    server: Server, requests: Sequence[Request], patient: Resource, past: Sequence[Past], at: int
) -> list[str]:
    """Versioned references to the Consents that permitted the requests then."""
    current: dict[str, Past] = {}
    for one in sorted((one for one in past if one.since <= at), key=lambda one: (one.since, one.version)):
        current[one.consent["id"]] = one
    person = person_of([patient], server.consents.adult_age)
    statements = [read for one in current.values() if (read := statement_of(one.consent, person)) is not None]
    rule = voters(statements, person, Facts(patient, server.terminology), at)
    found = {
        f"{by.consent}/_history/{current[by.consent.partition('/')[2]].version}"
        for request in requests
        for by in decide(rule, request).by
        if by.vote == "permit"
    }
    return sorted(found)
