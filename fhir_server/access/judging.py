"""What the Consents of its patients make of a resource: its rule. docs/decisions/0011-consent.md"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import msgspec

from fhir_server.access.facts import Facts, data_class
from fhir_server.access.gate import Hold, touches
from fhir_server.access.provisions import voters
from fhir_server.access.rules import DEFAULT_NUMBER, OPEN, UNKNOWN, Rule, Rules, rule_of
from fhir_server.access.statements import FOREVER, Person, Statement, next_edge, statement_of
from fhir_server.access.subjects import UNRULED, patients_of
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.predicate import Entry, Is, Param
from fhir_server.store.seam import Page, Query, Store
from fhir_server.terminology.codes import Terminology

POLICY = "consent/policy/"
RESULT = Param("result", "reference")  # of a DiagnosticReport
GENOMIC = "-genomic"
MOST_PEOPLE = 20  # that one resource may be about; one about more is nobody's to see by consent
MOST_REPORTS = 50  # that are asked about one Observation
Read = Callable[[], Resource]


class Searcher(Protocol):
    """A Store, or a Tx."""

    async def search(self, query: Query) -> Page: ...


class Policy(msgspec.Struct, frozen=True, omit_defaults=True):
    """All that is known of one person: their Patients, when they come of age, their Consents as they were sent, and the
    reports that are held from them."""

    ids: tuple[str, ...]
    adult: int | None
    consents: tuple[msgspec.Raw, ...]
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class Consents:
    """What giving rules takes; part of the Server."""

    definitions: Definitions
    terminology: Terminology
    index: Callable[[Resource], tuple[Entry, ...]]
    clock: Callable[[], int]
    adult_age: int
    treatment: bool  # whether care is permitted where no Consent speaks of it
    rules: Rules
    secret: bytes = b""  # of the store: what pseudonyms are made from
    by_organization: bool = False  # whether an organization's clinicians are tied to all its patients
    release_days: int = 0  # how long genomic reports wait for their review (gate.py); 0: participants see all at once


def judged(
    consents: Consents, type: str, policies: Iterable[bytes | None], read: Read, now: int, only: str = ""
) -> tuple[Rule | int, int, bool]:
    """The rule of a resource about patients with these policies (None: no Consents), until when it holds, and whether
    the resource is held from participants.

    A number where the rule is known by that. `read` is called if it matters what it is. `only`: the class of data that
    it is by what else is known of it.
    """
    distinct = {policy or b"" for policy in policies}
    if not distinct:
        return (OPEN, FOREVER, False) if type == "Device" else (UNKNOWN, 0, False)
    held = held_by(distinct)
    closed = bool(held) and touches(read(), held)
    if len(distinct) > MOST_PEOPLE:
        return (-OPEN if closed else UNKNOWN), 0, closed  # a number that no rule has
    if distinct == {b""}:
        return DEFAULT_NUMBER, FOREVER, False
    said = [read_policy(policy) for policy in distinct if policy]
    silent = [()] if b"" in distinct else []
    facts = Facts(read(), consents.terminology, only)
    people = [voters(statements, person, facts, now) for person, statements in said]
    contact = None
    if type == "Patient":
        details = Facts(facts.resource, consents.terminology, "contact")
        contact = [*(voters(statements, person, details, now) for person, statements in said), *silent]
    until = min(next_edge(statements, person, now) for person, statements in said)
    return rule_of([*people, *silent], contact), until, closed


async def judged_among(
    found: Searcher, consents: Consents, type: str, id: str, policies: Collection[bytes | None], read: Read, now: int
) -> tuple[Rule | int, int, bool]:
    """As `judged`, where it matters what else is stored: what a genomic report lists is genomic, whatever it says."""
    plain = judged(consents, type, policies, read, now)
    if type != "Observation" or isinstance(plain[0], int) or data_class(read()).endswith(GENOMIC):
        return plain
    strict = judged(consents, type, policies, read, now, "germline-genomic")
    if strict[0] == plain[0]:
        return plain
    where = Is(RESULT, (("type", "=", "Observation"), ("id", "=", id)))
    reports = (await found.search(Query(("DiagnosticReport",), where, count=MOST_REPORTS))).rows
    classes = sorted({data_class(codec.decode(row.body)) for row in reports})  # germline comes before somatic
    genomic = next((name for name in classes if name.endswith(GENOMIC)), "")
    return judged(consents, type, policies, read, now, genomic) if genomic else plain


async def rule_today(store: Store, consents: Consents, type: str, id: str, body: bytes) -> tuple[int, int]:
    """The rule that a resource, or an old version of one, would have if it were written now."""
    if type in UNRULED:
        return OPEN, FOREVER
    decoded = codec.decode(body)
    patients = patients_of(consents.definitions, type, id, consents.index(decoded))
    keys = [f"{POLICY}{one}" for one in patients]
    found = await store.get_states(keys)
    policies = [found[key][0] if key in found else None for key in keys]
    rule, until, held = await judged_among(store, consents, type, id, policies, lambda: decoded, consents.clock())
    return (rule if isinstance(rule, int) else consents.rules.learn(rule, held)), until


@lru_cache(maxsize=10_000)
def read_policy(value: bytes) -> tuple[Person, tuple[Statement, ...]]:
    """A policy as the person and their statements."""
    policy = msgspec.json.decode(value, type=Policy)
    person = Person(policy.ids, policy.adult)
    read = (statement_of(codec.decode(bytes(raw)), person) for raw in policy.consents)
    return person, tuple(statement for statement in read if statement is not None)


def said_by(value: bytes) -> bytes:
    """A policy without what is held: who the person is, and what their Consents say."""
    policy = msgspec.json.decode(value, type=Policy)
    return msgspec.json.encode(msgspec.structs.replace(policy, holds=()))


def held_by(policies: Iterable[bytes | None]) -> frozenset[str]:
    """The references of all that is held from these persons."""
    found = [held for policy in policies if policy and (held := _held(policy))]
    return found[0] if len(found) == 1 else frozenset().union(*found)  # of one person no copy: it may be 100,000


@lru_cache(maxsize=1000)
def holds_in(value: bytes) -> tuple[frozenset[str], ...]:
    """The references of all that each report holds, of a policy."""
    return tuple(frozenset(hold.held) for hold in msgspec.json.decode(value, type=Policy).holds)


@lru_cache(maxsize=1000)
def _held(value: bytes) -> frozenset[str]:
    return frozenset().union(*holds_in(value))
