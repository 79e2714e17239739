"""Every transaction gives what it writes its rule, and what a Consent is about a new one. decisions/0011-consent.md

State `consent/policy/[id]` holds, for each Patient about whom there are Consents, what is needed to judge a resource:
the Consents and who the person is (Patients joined by `link` are one person). It is written in the transaction that
changes a Consent, which gives all resources of the person their new rule as well. So a revocation is in force from its
commit on. Where time alone changes what Consents say, rows carry the instant up to which their rule holds; `Due` says
whose rules are to be made anew then (access/renewal.py).
"""

import re
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache, partial

import msgspec

from fhir_server.access.compartment import BESIDE, SHARED, references
from fhir_server.access.consent import told_at_once
from fhir_server.access.facts import Facts
from fhir_server.access.gate import ASKED, Hold, begins, holds, leads, touches, with_candidates
from fhir_server.access.provisions import voters
from fhir_server.access.rules import DEFAULT_NUMBER, OPEN, UNKNOWN, Rule, Rules, rule_of
from fhir_server.access.statements import FOREVER, Person, Statement, next_edge, person_of, statement_of
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.definitions import Definitions
from fhir_server.search.predicate import ID, And, Entry, Is, Of, Or, Param, Predicate
from fhir_server.store.seam import Change, Query, Ruling, Store, Stored, Tx
from fhir_server.terminology.codes import Terminology

POLICY, DUE = "consent/policy/", "consent/due/"
CHANGED = "consent/changed/"  # [time]/[id]: persons whose Consents are others since, until recipients are told
LINK, ENTITY = Param("link", "reference"), Param("entity", "reference")
MOST_PEOPLE = 20  # that one resource may be about; one about more is nobody's to see by consent
MOST_LINKED = 100  # Patients that are one person
CHUNK = 500
# Rows that no consent decides about: nobody's, descriptions of cohorts, and the log of who looked (access/rights.py).
UNRULED = SHARED | {"AuditEvent", "Group"}


class Changed(msgspec.Struct, frozen=True):
    """Whose Consents changed, when, and the policies of these Patients before; b"" where there was none."""

    at: int
    before: dict[str, bytes]


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
    gate: bool = False  # whether reports that the laboratory has not finished are held from participants (gate.py)


class Ruled:
    """A Tx that gives every resource it writes its rule; `settle` is to be called when all is written."""

    def __init__(self, tx: Tx, consents: Consents, changes: list[Change] | None = None) -> None:
        """`changes` gets what is written."""
        self._tx, self._consents = tx, consents
        self._changes = [] if changes is None else changes
        self._now = consents.clock()
        self._policies: dict[str, bytes | None] = {}  # of Patients, as far as they were looked up
        self._glimpsed: dict[str, bytes | None] = {}  # the same, where nothing depends on it that matters to others
        self._stale: set[str] = set()  # ids of Patients whose policy is to be made anew
        self.read, self.search, self.rule = tx.read, tx.search, tx.rule
        self.share, self.own, self.began = tx.share, tx.own, tx.began
        self.get_state, self.put_state = tx.get_state, tx.put_state

    async def write(self, change: Change) -> Stored:
        """As Tx.write, with the rule of the resource as its patients' Consents stand."""
        self._changes.append(change)
        if change.type == "Consent":
            await self._touched(change)
        if change.method == "DELETE":
            rule, until = UNKNOWN, 0
        elif change.type in UNRULED:
            rule, until = await self._unruled(change.type, change.id, change.entries, change.body), FOREVER
        else:
            patients = patients_of(self._consents.definitions, change.type, change.id, change.entries)
            if change.type == "Patient":
                linked = {entry[2] for entry in change.entries if entry[0] == LINK and entry[1] == "Patient"}
                policy = await self.policy(change.id)
                if linked or policy:  # those it was joined with as well
                    self._stale |= {change.id, *linked, *(read_policy(policy)[0].ids if policy else ())}
            elif await self._at_gate(change, patients):
                self._stale |= patients
            rule, until = await self._ruling(change.type, patients, lambda: codec.decode(change.body))
        return await self._tx.write(change._replace(rule=rule, until=until))

    async def expunge(self, resources: Sequence[tuple[str, str]], now: int) -> int:
        """As Tx.expunge; what expunged Consents said is forgotten."""
        for type, id in resources:
            if type == "Consent":
                await self._touched(Change(type, id, 0, now, "DELETE", b"", ()))
        return await self._tx.expunge(resources, now)

    async def settle(self) -> None:
        """Make the policies anew that were touched, and the rules of all that is about these persons."""
        done: set[str] = set()
        for id in sorted(self._stale):
            if id not in done:
                done |= await self.renew(id)

    async def renew(self, id: str, always: bool = False) -> set[str]:
        """Make a person's policy anew and, if it is another one or `always`, the rules of their resources.

        Returns the ids of their Patients."""
        patients = await self._joined(id)
        ids = sorted(patients)
        await self._tx.own([f"{POLICY}{one}" for one in ids])
        person = person_of(filter(None, patients.values()), self._consents.adult_age)._replace(ids=tuple(ids))
        found = await self._all(("Consent",), all_about(self._consents.definitions, ("Consent",), ids))
        policy = Policy(person.ids, person.adult, tuple(msgspec.Raw(row.body) for row in found))
        before = [await self._tx.get_state(f"{POLICY}{one}") for one in ids]
        earlier = {hold for old in before if old for hold in msgspec.json.decode(old[0], type=Policy).holds}
        policy = msgspec.structs.replace(policy, holds=await self._holds(ids, policy, earlier))
        value = msgspec.json.encode(policy)
        silent = not found and not policy.holds
        same = (silent and not any(before)) or all(old is not None and old[0] == value for old in before)
        if same and not always:
            return set(ids)
        for one, old in zip(ids, before, strict=True):
            await self._tx.put_state(f"{POLICY}{one}", value, old[1] if old else 0)
            self._policies[one] = value
        if any(old is not None and said_by(old[0]) != said_by(value) for old in before):
            # Before there was a Consent nothing was handed out by one.
            changed = Changed(self._now, {one: old[0] if old else b"" for one, old in zip(ids, before, strict=True)})
            key = f"{CHANGED}{self._now:020}/{ids[0]}"
            if await self._tx.get_state(key) is None:
                await self._tx.put_state(key, msgspec.json.encode(changed), 0)
        until = min([next_edge(read_policy(value)[1], person, self._now), *(hold.until for hold in policy.holds)])
        if until < FOREVER:
            await self._tx.put_state(f"{DUE}{until:020}/{ids[0]}", b"", 0)
        await self._rerule(ids)
        await self._relog({one for hold in (*earlier, *policy.holds) for one in hold.held})
        return set(ids)

    async def _holds(self, ids: list[str], policy: Policy, before: Iterable[Hold]) -> tuple[Hold, ...]:
        """What is held from the person."""
        definitions = self._consents.definitions
        about = partial(all_about, definitions, ids=ids)
        rows = await self._all(("Task", "DiagnosticReport"), And((about(("Task", "DiagnosticReport")), ASKED)))
        if not self._consents.gate:
            rows = [row for row in rows if row.type == "Task"]
        person, statements = read_policy(msgspec.json.encode(policy))

        def at_once(report: Resource) -> bool:
            return told_at_once(voters(statements, person, Facts(report, self._consents.terminology), self._now))

        found = await holds(self._tx, rows, before, at_once, self._now)
        if not found:
            return found
        return with_candidates(found, await self._all(("GuidanceResponse",), about(("GuidanceResponse",))))

    async def _at_gate(self, change: Change, patients: Set[str]) -> bool:
        """Whether a write may change what is held from the patients that it is about."""
        return begins(change) or leads(change, held_by([await self.policy(id) for id in patients]))

    async def _rerule(self, ids: list[str]) -> None:
        types = person_types(self._consents.definitions)
        where = all_about(self._consents.definitions, types, ids)
        mine = set(ids)
        query: Query | None = Query((), where, count=CHUNK)  # of the types that there are: the fewer the sooner
        while query is not None:
            page = await self._tx.search(query)
            await self._tx.rule([await self.anew(row, mine) for row in page.rows])
            query = query._replace(after=page.next) if page.next is not None else None

    async def _relog(self, references: Set[str]) -> None:
        """Give the log of accesses to these its number anew."""
        named = [tuple(one.split("/", 1)) for one in sorted(references)]
        for at in range(0, len(named), CHUNK):
            rows = await self._all(("AuditEvent",), Is(ENTITY, (("type,id", "in", tuple(named[at : at + CHUNK])),)))
            await self._tx.rule([await self.anew(row) for row in rows])

    async def anew(self, row: Stored, mine: Set[str] = frozenset()) -> Ruling:
        """The rule that a resource has now; `mine`: Patients of whom it is known that they are one person."""
        if row.type in UNRULED:
            entries = self._consents.index(codec.decode(row.body)) if row.type == "AuditEvent" else ()
            return Ruling(row.type, row.id, await self._unruled(row.type, row.id, entries, row.body), FOREVER)
        about = patients_in(row.body)
        if row.type == "Patient" or not about <= mine:  # of those it names, some may be no subject of it
            entries = self._consents.index(codec.decode(row.body))
            about = patients_of(self._consents.definitions, row.type, row.id, entries)
        return Ruling(row.type, row.id, *await self._ruling(row.type, about, lambda: codec.decode(row.body)))

    async def _ruling(self, type: str, patients: Iterable[str], resource: Callable[[], Resource]) -> tuple[int, int]:
        policies = [await self.policy(id) for id in patients]
        rule, until, held = judged(self._consents, type, policies, resource, self._now)
        return (rule if isinstance(rule, int) else await self._consents.rules.add(self._tx, rule, held)), until

    async def _unruled(self, type: str, id: str, entries: Iterable[Entry], body: bytes) -> int:
        """The number that a resource has about which no consent decides. The log of who looked at what is held from
        participants is held with it."""
        if type != "AuditEvent":
            return OPEN
        patients = patients_of(self._consents.definitions, type, id, entries)
        for one in patients - self._glimpsed.keys() - self._policies.keys():
            found = await self._tx.get_state(f"{POLICY}{one}")
            self._glimpsed[one] = found[0] if found else None
        held = held_by([self._policies.get(one) or self._glimpsed.get(one) for one in patients])
        return -OPEN if held and touches(codec.decode(body), held) else OPEN

    async def policy(self, id: str) -> bytes | None:
        """As policy_in; asked once."""
        if id not in self._policies:
            self._policies[id] = await policy_in(self._tx, id)
        return self._policies[id]

    async def _touched(self, change: Change) -> None:
        """A Consent is written: whom it was about, and whom it is about now."""
        for entry in change.entries:
            if entry[0].kind == "reference" and entry[1] == "Patient":
                self._stale.add(entry[2])
        before = await self._tx.read(change.type, change.id) if change.version != 1 else None
        if before is not None and before.body:
            self._stale |= patients_in(before.body)

    async def _joined(self, id: str) -> dict[str, Resource | None]:
        """The Patients that are one person with this one, itself included; None for one that is not there."""
        found: dict[str, Resource | None] = {}
        waiting = [id]
        while waiting and len(found) < MOST_LINKED:
            one = waiting.pop()
            if one in found:
                continue
            stored = await self._tx.read("Patient", one)
            body = codec.decode(stored.body) if stored is not None and stored.body else None
            found[one] = body
            for link in (body or {}).get("link", ()):
                named_there = link.get("other", {}).get("reference", "")
                if named_there.startswith("Patient/"):
                    waiting.append(named_there.split("/")[1])
            where = Is(LINK, (("type", "=", "Patient"), ("id", "=", one)))
            waiting += [row.id for row in (await self._tx.search(Query(("Patient",), where, count=CHUNK))).rows]
        return found

    async def _all(self, types: tuple[str, ...], where: Predicate) -> list[Stored]:
        rows: list[Stored] = []
        query: Query | None = Query(types, where, count=CHUNK)
        while query is not None:
            page = await self._tx.search(query)
            rows += page.rows
            query = query._replace(after=page.next) if page.next is not None else None
        return rows


async def policy_in(tx: Tx, id: str) -> bytes | None:
    """What is known of the person that a Patient is, held until the commit; None without any Consent."""
    if isinstance(tx, Ruled):
        return await tx.policy(id)
    key = f"{POLICY}{id}"
    await tx.share([key])
    found = await tx.get_state(key)
    return found[0] if found else None


def judged(
    consents: Consents, type: str, policies: Iterable[bytes | None], resource: Callable[[], Resource], now: int
) -> tuple[Rule | int, int, bool]:
    """The rule of a resource about patients with these policies (None: no Consents), until when it holds, and whether
    the resource is held from participants.

    A number where the rule is known by that. `resource` is called if it matters what it is.
    """
    distinct = {policy or b"" for policy in policies}
    if not distinct:
        return (OPEN, FOREVER, False) if type == "Device" else (UNKNOWN, 0, False)
    held = held_by(distinct)
    closed = bool(held) and touches(resource(), held)
    if len(distinct) > MOST_PEOPLE:
        return (-OPEN if closed else UNKNOWN), 0, closed  # a number that no rule has
    if distinct == {b""}:
        return DEFAULT_NUMBER, FOREVER, False
    said = [read_policy(policy) for policy in distinct if policy]
    silent = [()] if b"" in distinct else []
    facts = Facts(resource(), consents.terminology)
    people = [voters(statements, person, facts, now) for person, statements in said]
    contact = None
    if type == "Patient":
        details = Facts(facts.resource, consents.terminology, "contact")
        contact = [*(voters(statements, person, details, now) for person, statements in said), *silent]
    until = min(next_edge(statements, person, now) for person, statements in said)
    return rule_of([*people, *silent], contact), until, closed


async def rule_today(store: Store, consents: Consents, type: str, id: str, body: bytes) -> tuple[int, int]:
    """The rule that a resource, or an old version of one, would have if it were written now."""
    if type in UNRULED:
        return OPEN, FOREVER
    decoded = codec.decode(body)
    patients = patients_of(consents.definitions, type, id, consents.index(decoded))
    found = [await store.get_state(f"{POLICY}{one}") for one in patients]
    rule, until, held = judged(consents, type, [one and one[0] for one in found], lambda: decoded, consents.clock())
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
    return frozenset().union(*(_held(policy) for policy in policies if policy))


@lru_cache(maxsize=1000)
def _held(value: bytes) -> frozenset[str]:
    return frozenset(one for hold in msgspec.json.decode(value, type=Policy).holds for one in hold.held)


def patients_of(definitions: Definitions, type: str, id: str, entries: Iterable[Entry]) -> set[str]:
    """The ids of the Patients that a resource is about: by the compartment and what compartment.py has beside it."""
    params = _params(definitions, type)
    found = {entry[2] for entry in entries if entry[0] in params and entry[1] == "Patient" and entry[2]}
    return found | {id} if type == "Patient" else found


def patients_in(body: bytes) -> set[str]:
    """The ids of all Patients that a body refers to, in whatever element."""
    return {one.decode() for one in _NAMED.findall(body)}


_NAMED = re.compile(rb'"reference":"(?:[^"]*/)?Patient/([A-Za-z0-9\-.]{1,64})')
_PARAMS: dict[tuple[int, str], frozenset[Param]] = {}


def _params(definitions: Definitions, type: str) -> frozenset[Param]:
    key = id(definitions), type
    if key not in _PARAMS:
        codes = BESIDE.get(type, definitions.compartments["Patient"].get(type, ()))
        if type == "Device":
            codes = ("patient",)
        _PARAMS[key] = frozenset(
            param for code in codes if code not in ("_id", "link") for param in references(definitions, type, code)
        )
    return _PARAMS[key]


def person_types(definitions: Definitions) -> tuple[str, ...]:
    """The types whose resources are about patients."""
    found = {*definitions.compartments["Patient"], *BESIDE, "Device", "Patient"} - UNRULED
    return tuple(sorted(found))


def all_about(definitions: Definitions, types: tuple[str, ...], ids: Sequence[str]) -> Predicate:
    """Whatever of some types is about one of these Patients."""
    alike: dict[frozenset[Param], list[str]] = {}
    for type in types:
        alike.setdefault(_params(definitions, type), []).append(type)
    parts: list[Predicate] = []
    targets = tuple(("Patient", id) for id in ids)
    for params, members in alike.items():
        links: tuple[Predicate, ...] = tuple(
            Is(param, (("type", "=", "Patient"), ("id", "=", id))) for param in sorted(params) for _, id in targets
        )
        if "Patient" in members:
            parts.append(Of(("Patient",), Or(tuple(Is(ID, (("id", "=", id),)) for id in ids))))
            members = [one for one in members if one != "Patient"]
        if links and members:
            parts.append(Of(tuple(members), Or(links)))
    return Or(tuple(parts))
