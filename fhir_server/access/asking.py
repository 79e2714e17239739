"""What a caller asks of consent: for which purpose, on whose behalf, for which study. docs/consent.md

All of it comes from the grant, that is from the client's registration or the token's issuer. Of systems that hold a
record themselves (EHR, laboratory, operator) nothing is asked unless they are registered for a purpose; nor of the
patient, and who represents them: from these is kept what waits at the gate (gate.py).
"""

from collections.abc import Callable, Iterable, Set
from dataclasses import replace
from functools import cache
from typing import Protocol

from fhir_server.access.caller import Caller, Permits
from fhir_server.access.consent import Request
from fhir_server.access.grant import Grant
from fhir_server.access.limits import Partly, shower
from fhir_server.access.pseudonyms import pseudonyms
from fhir_server.access.rights import addressed, caller_of
from fhir_server.access.rules import RELEASED, Limits, Rules
from fhir_server.access.subjects import UNRULED, patients_of, person_types
from fhir_server.access.write import Site
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.predicate import EVERYTHING, NOTHING, RULE, UNTIL, And, Chain, Is, Or, Param, Predicate
from fhir_server.store.seam import Query, Store, Stored

OF_ROLE = {"researcher": "HRESCH", "study-team": "CLINTRCH"}
SECOND = 1_000_000
MOST = 10_000  # callers remembered: their predicates are worth keeping while a token is used
# How one belongs to another: a type, its reference to the one, its elements that name the other.
MEMBERSHIPS = (
    ("PractitionerRole", "practitioner", ("organization",)),
    ("OrganizationAffiliation", "participating-organization", ("organization", "network")),
    ("Group", "member", ()),
    ("CareTeam", "participant", ()),
)
Judges = Callable[[], Predicate]  # what consent permits now

_callers: dict[tuple[int, bool, Grant], Caller] = {}


class Asked(Site, Protocol):
    """What it takes of the server."""

    @property
    def definitions(self) -> Definitions: ...


async def caller_for(site: Asked, grant: Grant, action: str = "access") -> Caller:
    """The caller that a grant makes, held to what consent permits of an action (a code of consentaction) now."""
    key = id(site.definitions), site.consents.by_organization, grant
    caller = _callers.get(key)
    if caller is None:
        if len(_callers) >= MOST:
            _callers.clear()
        caller = caller_of(site.definitions, grant, site.consents.by_organization)
        if waits(grant):
            caller = consented(caller, lambda: RELEASED, unruled=UNRULED - {"AuditEvent"})
            caller = replace(caller, permits=cache(caller.permits))  # it is always the same
        _callers[key] = caller
    consents = site.consents
    if requests_of(grant, frozenset(), consents.treatment, action) is None:
        return caller
    await consents.rules.fresh(site.store)
    requests = requests_of(grant, await actors_of(site, grant), consents.treatment, action)
    judge = permitted_by(consents.rules, requests or (), consents.clock)
    held = consented(caller, judge, lambda: addressed(site.definitions, grant))
    if requests is None or len(requests) != 1 or not consents.rules.allowed(requests[0]).limited:
        return held
    recipient = grant.study or min(grant.actors, default=f"client {grant.client}")
    return replace(held, partly=_partly(site, caller, requests[0], recipient))


def _partly(site: Asked, caller: Caller, request: Request, recipient: str) -> Partly:
    """What a caller may have in part, for one request of consent."""
    consents, definitions, base = site.consents, site.definitions, caller.permits
    limited = consents.rules.allowed(request).limited
    now = consents.clock() // SECOND * SECOND

    def permits_of(limits: Limits) -> Permits:
        numbers = tuple((number,) for number, found in limited.items() if found == limits)
        ruled = And((Is(RULE, (("rule", "in", numbers),)), Is(UNTIL, (("until", ">", now),))))

        def permits(type: str, letter: str) -> Predicate:
            permit = base(type, letter)
            hidden = letter not in "rs" or type == "Binary" or type in UNRULED or permit == NOTHING
            return NOTHING if hidden else And((permit, ruled))

        return permits

    def patient(row: Stored) -> str:
        found = patients_of(definitions, row.type, row.id, consents.index(codec.decode(row.body)))
        return min(found, default="")

    names = pseudonyms(consents.secret, recipient)
    show = shower(definitions, lambda: limited, names, patient, frozenset(person_types(definitions)), consents.clock)
    return Partly({limits: permits_of(limits) for limits in dict.fromkeys(limited.values())}, show, names)


async def actors_of(site: Asked, grant: Grant) -> frozenset[str]:
    """References to all that the caller is and belongs to, directly or not; what no rule names is not looked for."""
    own = frozenset({*grant.actors, grant.user} - {""})
    rules = site.consents.rules
    if not own or not rules.names_groups:
        return own
    found = rules.belonging.get(own)
    if found is None:
        found = await _belonging(site.store, own)
        rules.belonging.put(own, found, 1.0)  # seconds: a change of membership is in force that soon
    return found


async def _belonging(store: Store, own: Iterable[str]) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(own)
    while waiting and len(found) < 1000:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        kind, _, id = one.partition("/")
        for type, code, elements in MEMBERSHIPS:
            where = Is(Param(code, "reference"), (("type", "=", kind), ("id", "=", id)))
            for row in (await store.search(Query((type,), where, count=500))).rows:
                body = codec.decode(row.body)
                if body.get("active", True) and body.get("status", "active") in ("active", "proposed"):
                    waiting += [f"{type}/{row.id}", *_named(body, elements)]
        if kind == "Organization":
            stored = await store.read(kind, id, And(()))
            waiting += _named(codec.decode(stored.body), ("partOf",)) if stored is not None and stored.body else []
    return frozenset(found)


def _named(body: Resource, elements: Iterable[str]) -> list[str]:
    values = (body[name] for name in elements if name in body)
    listed = (one for value in values for one in (value if isinstance(value, list) else [value]))
    return [one["reference"] for one in listed if isinstance(one.get("reference"), str)]


def requests_of(
    grant: Grant, actors: frozenset[str], treatment: bool, action: str = "access"
) -> tuple[Request, ...] | None:
    """What consent is asked, once for each purpose: all must be permitted. None: nothing is asked."""
    if is_participant(grant):
        return None
    if grant.emergency:
        purposes: tuple[str, ...] = ("BTG",)
    elif grant.purposes:
        purposes = grant.purposes
    elif not grant.user and not grant.patient and grant.role not in OF_ROLE:
        return None
    else:
        purposes = (OF_ROLE.get(grant.role, "TREAT"),)
    actions = frozenset({action})
    return tuple(Request(purpose, actors, actions, grant.study, frozenset(), treatment) for purpose in purposes)


def is_participant(grant: Grant | None) -> bool:
    """Whether it is the patient, or somebody who represents them, who asks."""
    return grant is not None and grant.user.startswith(("Patient/", "RelatedPerson/"))


def waits(grant: Grant | None) -> bool:
    """Whether what waits at the gate is kept from a caller: from participants, and from a patient's app of whose user
    the issuer says nothing."""
    return is_participant(grant) or (grant is not None and grant.patient != "" and not grant.user)


def released_to(caller: Caller) -> Predicate:
    """What may show, even in a reason, to a caller: for a participant what does not wait at the gate."""
    return RELEASED if waits(caller.grant) else EVERYTHING


def permitted_by(rules: Rules, requests: tuple[Request, ...], clock: Callable[[], int]) -> Judges:
    """What consent permits, as a condition that is made anew every second: rules come to an end."""
    made: dict[tuple[int, int], Predicate] = {}

    def judge() -> Predicate:
        now = clock() // SECOND * SECOND
        found = made.get((now, rules.known))
        if found is None:
            made.clear()
            parts = [rules.allowed(request).at(now) for request in requests]
            found = made[now, rules.known] = parts[0] if len(parts) == 1 else And(tuple(parts))
        return found

    return judge


def consented(caller: Caller, judge: Judges, told: Judges = lambda: NOTHING, unruled: Set[str] = UNRULED) -> Caller:
    """The caller, for whom what no consent permits is not there; but the Tasks are that `told` picks. Creating is not
    held to it: so data come in. `unruled`: types that nothing is asked of."""
    base = caller.permits

    def permits(type: str, letter: str) -> Predicate:
        permit = base(type, letter)
        if letter == "c" or permit == NOTHING or type in unruled:
            return permit
        if type == "Task" and letter in "rs":
            return And((permit, Or((judge(), told()))))
        return _of_contexts(permit, judge()) if type == "Binary" else And((permit, judge()))

    return replace(caller, permits=permits)


def _of_contexts(permit: Predicate, allowed: Predicate) -> Predicate:
    """A Binary is what its context is: consent is asked of that."""
    match permit:
        case Chain(param, type, inner):
            return permit if type in UNRULED else Chain(param, type, And((inner, allowed)))
        case Or(parts):
            return Or(tuple(_of_contexts(part, allowed) for part in parts))
    return NOTHING
