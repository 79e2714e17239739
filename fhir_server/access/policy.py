"""Every transaction gives what it writes its rule, and what a Consent is about a new one. decisions/0011-consent.md

State `consent/policy/[id]` holds, for each Patient about whom there are Consents, what is needed to judge a resource:
the Consents and who the person is (Patients joined by `link` are one person). It is written in the transaction that
changes a Consent, which gives all resources of the person their new rule as well. So a revocation is in force from its
commit on. Where time alone changes what Consents say, rows carry the instant up to which their rule holds; `Due` says
whose rules are to be made anew then (access/renewal.py).
"""

from collections.abc import Collection, Iterable, Sequence, Set
from functools import partial

import msgspec

from fhir_server.access.consent import told_at_once
from fhir_server.access.facts import Facts, data_class
from fhir_server.access.gate import (
    ASKED,
    CANDIDATE,
    PAIR,
    Hold,
    begins,
    grounds,
    holds,
    leads,
    moves,
    named,
    touches,
    with_candidates,
)
from fhir_server.access.judging import (
    GENOMIC,
    POLICY,
    Consents,
    Policy,
    held_by,
    holds_in,
    judged_among,
    read_policy,
    said_by,
)
from fhir_server.access.provisions import voters
from fhir_server.access.rules import OPEN, UNKNOWN, Rule
from fhir_server.access.statements import FOREVER, next_edge, person_of
from fhir_server.access.subjects import UNRULED, all_about, patients_in, patients_of, person_types
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.dates import DAY
from fhir_server.search.predicate import ID, And, Entry, Is, Param, Predicate
from fhir_server.store.seam import Change, Query, Ruling, Stored, Tx

DUE = "consent/due/"
CHANGED = "consent/changed/"  # [time]/[id]: persons whose Consents are others since, until recipients are told
LINK, ENTITY = Param("link", "reference"), Param("entity", "reference")
MOST_LINKED = 100  # Patients that are one person
CHUNK = 500


class Changed(msgspec.Struct, frozen=True):
    """Whose Consents changed, when, and the policies of these Patients before; b"" where there was none."""

    at: int
    before: dict[str, bytes]


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
        self._listed: set[str] = set()  # ids of Observations that a genomic report lists, or did
        self._pairs: dict[tuple[str, ...], dict[str, frozenset[str]]] = {}  # of persons: new conclusions to be held
        self._numbers: dict[tuple[Rule, bool], int] = {}  # of rules that were stored, or found stored
        self.read, self.read_all, self.search, self.rule = tx.read, tx.read_all, tx.search, tx.rule
        self.share, self.own, self.began = tx.share, tx.own, tx.began
        self.get_state, self.get_states, self.put_state = tx.get_state, tx.get_states, tx.put_state

    async def write(self, change: Change) -> Stored:
        """As Tx.write, with the rule of the resource as its patients' Consents stand."""
        if change.type != "GuidanceResponse":
            await self._hold_pairs()
        self._changes.append(change)
        if change.type == "Consent":
            await self._touched(change)
        elif change.type == "DiagnosticReport":
            await self._lists(change)
        if change.method == "DELETE":
            rule, until = UNKNOWN, 0
        elif change.type in UNRULED:
            rule, until = await self._unruled(change.type, change.id, change.entries, change.body), FOREVER
        else:
            patients = patients_of(self._consents.definitions, change.type, change.id, change.entries)
            if change.type == "Patient":
                linked = {entry[2] for entry in change.entries if entry[0] == LINK and entry[1] == "Patient"}
                [policy] = await self.policies([change.id])
                if linked or policy:  # those it was joined with as well
                    self._stale |= {change.id, *linked, *(read_policy(policy)[0].ids if policy else ())}
            elif change.type == "GuidanceResponse" and change.id.startswith(CANDIDATE):
                await self._concluded(change, patients)
            elif await self._at_gate(change, patients):
                self._stale |= patients
            rule, until = await self._ruling(change.type, change.id, patients, change.body)
        return await self._tx.write(change._replace(rule=rule, until=until))

    async def expunge(self, resources: Sequence[tuple[str, str]], now: int) -> int:
        """As Tx.expunge; what expunged Consents said is forgotten."""
        for type, id in resources:
            if type == "Consent":
                await self._touched(Change(type, id, 0, now, "DELETE", b"", ()))
        return await self._tx.expunge(resources, now)

    async def settle(self) -> None:
        """Make the rules anew of what reports list; then the policies that were touched, and the rules of all that is
        about these persons."""
        await self._hold_pairs()
        for at in range(0, len(self._listed), CHUNK):
            ids = tuple((id,) for id in sorted(self._listed)[at : at + CHUNK])
            rows = await self._all(("Observation",), Is(ID, (("id", "in", ids),)))
            await self._tx.rule([await self.anew(row) for row in rows])
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
        before = await self._before(ids)
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
        if not self._consents.release_days:
            rows = [row for row in rows if row.type == "Task"]
        person, statements = read_policy(msgspec.json.encode(policy))

        def at_once(report: Resource) -> bool:
            return told_at_once(voters(statements, person, Facts(report, self._consents.terminology), self._now))

        opens = self._now + self._consents.release_days * DAY
        found = await holds(self._tx, rows, before, at_once, self._now, opens)
        if not found:
            return found
        guidance = await self._all(("GuidanceResponse",), about(("GuidanceResponse",)))
        concluded = [row for row in guidance if row.id.startswith(CANDIDATE)]
        return with_candidates(found, {row.id: grounds(codec.decode(row.body)) for row in concluded})

    async def _at_gate(self, change: Change, patients: Set[str]) -> bool:
        """Whether a write may change what is held from the patients that it is about."""
        return begins(change) or leads(change, held_by(await self.policies(patients)))

    async def _concluded(self, change: Change, patients: Set[str]) -> None:
        """A conclusion of the matcher is written. A new one joins what is held before more is written of its pair; else
        all that is about the persons has to be looked at."""
        holding = [one for one in await self.policies(patients) if one is not None and holds_in(one)]
        if not holding:
            return
        refs = grounds(codec.decode(change.body)) if change.body else frozenset[str]()
        moved = [one for one in holding if moves(holds_in(one), change.id, refs)]
        id = change.id.encode()
        if moved and (change.version > 1 or any(id in one.body for one in self._changes if one.type != change.type)):
            self._stale |= patients
        else:
            for policy in moved:
                self._pairs.setdefault(read_policy(policy)[0].ids, {})[change.id] = refs

    async def _hold_pairs(self) -> None:
        """Add to what is held the new conclusions that rest on it, which nothing refers to yet. Where the rest of a
        pair is there already, all that is about the persons has to be looked at."""
        pairs, self._pairs = self._pairs, {}
        for ids, concluded in pairs.items():
            rest = [(type, id) for id in concluded for type in PAIR if type != "GuidanceResponse"]
            if await self._tx.read_all(rest):
                self._stale |= {*ids}
                continue
            await self._tx.own([f"{POLICY}{id}" for id in ids])
            before = await self._before(ids)
            for id, old in zip(ids, before, strict=True):
                if old is not None:
                    policy = msgspec.json.decode(old[0], type=Policy)
                    more = msgspec.structs.replace(policy, holds=with_candidates(policy.holds, concluded))
                    self._policies[id] = value = msgspec.json.encode(more)
                    await self._tx.put_state(f"{POLICY}{id}", value, old[1])

    async def _before(self, ids: Sequence[str]) -> list[tuple[bytes, int] | None]:
        """The policies of Patients as they are stored, each with its version."""
        found = await self._tx.get_states([f"{POLICY}{id}" for id in ids])
        return [found.get(f"{POLICY}{id}") for id in ids]

    async def _rerule(self, ids: list[str]) -> None:
        patients = [row for row in await self._tx.read_all([("Patient", id) for id in ids]) if not row.deleted]
        mine = set(ids)
        await self._tx.rule([await self.anew(row, mine) for row in patients])
        types = tuple(type for type in person_types(self._consents.definitions) if type != "Patient")
        where = all_about(self._consents.definitions, types, ids)  # by reference, all of them: one index will do
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
        return Ruling(row.type, row.id, *await self._ruling(row.type, row.id, about, row.body))

    async def _ruling(self, type: str, id: str, patients: Collection[str], body: bytes) -> tuple[int, int]:
        policies = await self.policies(patients)
        rule, until, held = await judged_among(
            self._tx, self._consents, type, id, policies, lambda: codec.decode(body), self._now
        )
        if isinstance(rule, int):
            return rule, until
        if (rule, held) not in self._numbers:
            self._numbers[rule, held] = await self._consents.rules.add(self._tx, rule, held)
        return self._numbers[rule, held], until

    async def _unruled(self, type: str, id: str, entries: Iterable[Entry], body: bytes) -> int:
        """The number that a resource has about which no consent decides. The log of who looked at what is held from
        participants is held with it."""
        if type != "AuditEvent":
            return OPEN
        patients = patients_of(self._consents.definitions, type, id, entries)
        new = {one: f"{POLICY}{one}" for one in patients - self._glimpsed.keys() - self._policies.keys()}
        if new:
            found = await self._tx.get_states(list(new.values()))
            self._glimpsed.update((one, found[key][0] if key in found else None) for one, key in new.items())
        held = held_by([self._policies.get(one) or self._glimpsed.get(one) for one in patients])
        return -OPEN if held and touches(codec.decode(body), held) else OPEN

    async def policies(self, ids: Collection[str]) -> list[bytes | None]:
        """What is known of the persons that Patients are, held until the commit; None without any Consent. Each is
        asked about once."""
        new = {id: f"{POLICY}{id}" for id in ids if id not in self._policies}
        if new:
            await self._tx.share(list(new.values()))
            found = await self._tx.get_states(list(new.values()))
            self._policies.update((id, found[key][0] if key in found else None) for id, key in new.items())
        return [self._policies[id] for id in ids]

    async def _touched(self, change: Change) -> None:
        """A Consent is written: whom it was about, and whom it is about now."""
        for entry in change.entries:
            if entry[0].kind == "reference" and entry[1] == "Patient":
                self._stale.add(entry[2])
        before = await self._tx.read(change.type, change.id) if change.version != 1 else None
        if before is not None and before.body:
            self._stale |= patients_in(before.body)

    async def _lists(self, change: Change) -> None:
        """A report is written: what it lists, and what it listed, may be of another class of data now."""
        before = await self._tx.read(change.type, change.id) if change.version != 1 else None
        versions = [codec.decode(body) for body in (change.body, before.body if before is not None else b"") if body]
        genomic = [one for one in versions if data_class(one).endswith(GENOMIC)]
        patients = set[str]().union(*(patients_in(codec.encode(one)) for one in genomic))
        if any(await self.policies(patients)):
            await self._tx.own([f"{POLICY}{id}" for id in sorted(patients)])  # nothing that it lists comes meanwhile
            if change.method == "DELETE":
                self._stale |= patients
            listed = (one.partition("/") for report in genomic for one in named(report.get("result")))
            self._listed |= {id for type, _, id in listed if type == "Observation"}

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
    """As Ruled.policies, of one Patient, in the work of an operator, whose Tx is a Ruled (access/write.py)."""
    assert isinstance(tx, Ruled)
    return (await tx.policies([id]))[0]
