"""Recipients are told when what they were given may no longer be used. https://hl7.org/fhir/R4/task.html

A change of a person's Consents leaves State `consent/changed/[time]/[id]` in its transaction (access/policy.py). Once
every access from before it is an AuditEvent, whoever was given something by consent is compared: what was permitted to
them and is not any more is told in a Task. Its id follows from what it says, so that a second process writes nothing.
"""

import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial

import msgspec
from msgspec import structs

from fhir_server.access import OPERATOR, transact
from fhir_server.access.asking import actors_of, requests_of
from fhir_server.access.consent import Request
from fhir_server.access.grant import Grant
from fhir_server.access.judging import POLICY, judged_among
from fhir_server.access.policy import CHANGED, Changed
from fhir_server.access.pseudonyms import pseudonyms
from fhir_server.access.rights import CLIENT, STOP_USING, TASK_KIND, caller_of
from fhir_server.access.rules import Limits, Rule
from fhir_server.access.subjects import all_about, patients_of, person_types
from fhir_server.audit.event import REFERENCE, grant_of
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import instant
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.draft import change, draft
from fhir_server.search.index import param_of
from fhir_server.search.predicate import And, Is, Or
from fhir_server.server import Server
from fhir_server.store.seam import Query, Tx

log = logging.getLogger("fhir_server")

WAIT = 60_000_000  # microseconds until requests that were under way at the change are AuditEvents
MOST = 100  # changes in one look
# Purposes for which a record is given to those who care for the patient: the record is theirs to keep.
CARE = frozenset({"TREAT", "ETREAT", "BTG", "CAREMGT", "COC"})


async def recall(server: Server) -> int:
    """Look at the changes that are old enough; returns how many Tasks were written. Call it after a fold."""
    written = 0
    for key, value in await server.store.list_state(CHANGED, MOST):
        found = msgspec.json.decode(value, type=Changed)
        if found.at + WAIT > server.clock():
            break
        for id, task in await _tasks(server, found):
            try:
                written += await _write(server, id, task)
            except FhirError as error:  # one that cannot be told must not keep the others waiting for ever
                log.error("a recipient cannot be told of a withdrawn consent: status %s", error.status)
        await server.store.delete_state(key)
    return written


async def _tasks(server: Server, changed: Changed) -> list[tuple[str, Resource]]:
    recipients = await _recipients(server, changed)
    if not recipients:
        return []
    stand = await server.store.get_states([f"{POLICY}{id}" for id in changed.before])
    after = {key.removeprefix(POLICY): value for key, (value, _) in stand.items()}
    asked = {
        grant: requests_of(grant, await actors_of(server, grant), server.consents.treatment) or ()
        for grant in recipients
    }
    callers = {
        grant: caller_of(server.definitions, structs.replace(grant, scopes=("system/*.rs", "user/*.rs")))
        for grant in recipients
    }
    lost: dict[Grant, dict[str, Limits]] = {}
    async for type, before, now in _rules(server, changed, after):
        for grant, requests in asked.items():
            was, is_ = _least(server, before, requests), _least(server, now, requests)
            if was is not None and _less(is_, was) and callers[grant].may(type, "r"):
                lost.setdefault(grant, {}).setdefault(type, was)
    print_ = hashlib.sha256(msgspec.json.encode(sorted(after.items()))).hexdigest()
    patient = min(changed.before)
    return [
        (_id(grant, patient, print_), _task(server, grant, patient, types, changed.at)) for grant, types in lost.items()
    ]


async def _recipients(server: Server, changed: Changed) -> list[Grant]:
    """Those who were given something of this person by consent, as grants without scopes."""
    link = param_of("patient", "reference")
    named = tuple(Is(link, (("type", "=", "Patient"), ("id", "=", id))) for id in changed.before)
    given = Is(param_of("outcome", "token"), (("code", "=", "0"),))
    found: dict[Grant, None] = {}
    async for row in server.store.scan(Query(("AuditEvent",), And((Or(named), given)))):
        grant = grant_of(codec.decode(row.body))
        requests = requests_of(grant, frozenset(), server.consents.treatment)
        # Events of other systems may not say who it was, or name whom no Task can be for.
        told = grant.client and all(map(REFERENCE.fullmatch, filter(None, (grant.user, *grant.actors))))
        if told and requests and CARE.isdisjoint(request.purpose for request in requests):
            found[grant] = None
    return list(found)


async def _rules(
    server: Server, changed: Changed, after: Mapping[str, bytes]
) -> AsyncIterator[tuple[str, Rule | int, Rule | int]]:
    """For everything about a person: its type, and its rule by the policies before the change and now."""
    definitions = server.definitions
    types, mine = person_types(definitions), changed.before.keys()
    others: dict[str, bytes] = {}
    async for row in server.store.scan(Query(types, all_about(definitions, types, sorted(mine)))):
        body = codec.decode(row.body)
        patients = patients_of(definitions, row.type, row.id, server.index(body))
        new = patients - mine - others.keys()
        found = await server.store.get_states([f"{POLICY}{id}" for id in new]) if new else {}
        others |= {id: found[key][0] if (key := f"{POLICY}{id}") in found else b"" for id in new}

        rules = []
        for policies in (changed.before, after):
            known = [(policies if id in mine else others).get(id) for id in patients]
            rule, *_ = await judged_among(
                server.store, server.consents, row.type, row.id, known, partial(codec.decode, row.body), changed.at
            )
            rules.append(rule)
        yield row.type, rules[0], rules[1]


def _less(now: Limits | None, before: Limits) -> bool:
    return now is None or any(hidden and not was for hidden, was in zip(now, before, strict=True))


def _least(server: Server, rule: Rule | int, requests: Iterable[Request]) -> Limits | None:
    """What must be left out when all of the requests must be permitted."""
    found = [server.consents.rules.permits(rule, request) for request in requests]
    if any(one is None for one in found):
        return None
    return Limits(*(any(each) for each in zip(*(one for one in found if one), strict=True)))


def _id(grant: Grant, patient: str, print_: str) -> str:
    return hashlib.sha256(repr(("recall", grant, patient, print_)).encode()).hexdigest()[:40]


def _task(server: Server, grant: Grant, patient: str, types: Mapping[str, Limits], at: int) -> Resource:
    """What one recipient is told. One to whom the patient was never named is told of their pseudonym."""
    named = not any(limits.identity for limits in types.values())
    recipient = grant.study or min(grant.actors, default=f"client {grant.client}")
    id = patient if named else pseudonyms(server.consents.secret, recipient).name("Patient", patient)
    owner: Resource = {"identifier": {"system": CLIENT, "value": grant.client}}
    if grant.user or grant.actors:
        owner["reference"] = grant.user or min(grant.actors)
    listed = ", ".join(sorted(types))
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "asap",
        "code": {"coding": [{"system": TASK_KIND, "code": STOP_USING}]},
        "description": "This participant's Consent has changed: what you were given may no longer be used as before."
        f" Concerned are: {listed}.",
        **({"for": {"reference": f"Patient/{patient}"}} if named else {}),
        "authoredOn": instant(at),
        "owner": owner,
        "input": [
            {"type": {"text": "patient"}, "valueString": id},
            *({"type": {"text": "type"}, "valueCode": type} for type in sorted(types)),
        ],
    }


async def _write(server: Server, id: str, task: Resource) -> int:
    made = draft(server, task, id)

    async def work(tx: Tx) -> int:
        if await tx.read("Task", id) is not None:
            return 0
        await tx.write(change(made, id, 1, max(server.clock(), tx.began), "POST"))
        return 1

    return await transact(server, OPERATOR, work)
