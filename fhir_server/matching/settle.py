"""Write the candidates of judged people, many in one transaction, each under the consent they were judged by."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fhir_server.access import OPERATOR, transact
from fhir_server.access.policy import policy_in
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.draft import Draft, change, draft
from fhir_server.matching.candidates import Write, writes
from fhir_server.matching.explain import DEVICE, DEVICE_ID
from fhir_server.matching.judge import Case
from fhir_server.matching.records import Held
from fhir_server.search.predicate import EVERYTHING, Entry
from fhir_server.server import Server
from fhir_server.store.seam import Conflict, Stored, Tx

MOST = 250  # resources in one transaction; more would keep other writers waiting


class Settled(NamedTuple):
    """What became of a case: how many pairs were written, and how many a person has deleted. None written: the Consents
    or candidates changed since it was judged, and nothing of it was."""

    case: Case
    written: int | None
    removed: int


@dataclass(frozen=True, slots=True)
class _Ours:
    """How drafts are made of what the matcher puts together: it is valid as it is made, and to check each again would
    take a quarter of the time that writing takes (tests/matching/follow_test.py judges all of it)."""

    index: Callable[[Resource], tuple[Entry, ...]]

    @staticmethod
    def validate(resource: Resource) -> None:
        """Nothing is left to be found."""


class _Plan(NamedTuple):
    """The writes of one case, made ready: those of each pair together."""

    case: Case
    pairs: tuple[tuple[tuple[Draft, Write], ...], ...]

    @property
    def size(self) -> int:
        """How many resources it writes."""
        return sum(map(len, self.pairs))


async def settle(server: Server, cases: Iterable[Case]) -> list[Settled]:
    """Make the store hold what the cases want; each whole or not at all."""
    plans = [_plan(server, case) for case in cases]
    if any(plan.pairs for plan in plans):
        await _require_device(server)
    return [one for some in _portions(plans) for one in await _written(server, some)]


def _portions(plans: Iterable[_Plan]) -> Iterable[list[_Plan]]:
    portion: list[_Plan] = []
    for plan in plans:
        if portion and sum(one.size for one in portion) + plan.size > MOST:
            yield portion
            portion = []
        portion.append(plan)
    if portion:
        yield portion


def _plan(server: Server, case: Case) -> _Plan:
    found = (writes(wanted, case.held.get(wanted.id, Held()), case.now) for wanted in case.wanted)
    ours = _Ours(server.index)
    return _Plan(
        case,
        tuple(tuple((draft(ours, one.resource, one.resource["id"]), one) for one in some) for some in found if some),
    )


async def _written(server: Server, plans: Sequence[_Plan]) -> list[Settled]:
    """Carry out the plans. One by one after another writer has come between: who was it is not known."""
    if not any(plan.pairs for plan in plans):
        return [Settled(plan.case, 0, 0) for plan in plans]
    try:
        about = {plan.case.patient for plan in plans if plan.pairs}
        return await transact(server, OPERATOR, lambda tx: _write(tx, plans), about)
    except Conflict:
        if len(plans) > 1:
            return [one for plan in plans for one in await _written(server, [plan])]
        return [Settled(plan.case, None, 0) for plan in plans]


async def _write(tx: Tx, plans: Sequence[_Plan]) -> list[Settled]:
    keys = [(made.type, write.resource["id"]) for plan in plans for pair in plan.pairs for made, write in pair]
    stored = {(row.type, row.id): row for row in await tx.read_all(keys)}
    return [await _carry_out(tx, plan, stored) for plan in plans]


async def _carry_out(tx: Tx, plan: _Plan, stored: Mapping[tuple[str, str], Stored]) -> Settled:
    """What a person has deleted stays deleted: all of a pair with its ResearchSubject, else only the Task."""
    if plan.pairs and await policy_in(tx, plan.case.patient) != plan.case.policy:
        return Settled(plan.case, None, 0)
    written = removed = 0
    left: list[tuple[Draft, Write]] = []
    for pair in plan.pairs:
        gone = {made.type for made, write in pair if _removed(stored.get((made.type, write.resource["id"])), write)}
        if "ResearchSubject" in gone:
            removed += 1
            continue
        some = [(made, write) for made, write in pair if not (made.type == "Task" and "Task" in gone)]
        written += bool(some)
        left += some
    left.sort(key=lambda one: one[0].type != "GuidanceResponse")  # the gate learns of them first (access/policy.py)
    for made, write in left:
        id = write.resource["id"]
        before = stored.get((made.type, id))
        version = _follows(before, write)
        updated = max(plan.case.now, tx.began, before.updated if before else 0)
        await tx.write(change(made, id, version + 1, updated, "PUT" if before else "POST"))
    return Settled(plan.case, written, removed)


def _removed(before: Stored | None, write: Write) -> bool:
    return before is not None and before.deleted and write.seen == 0


def _follows(before: Stored | None, write: Write) -> int:
    """The version that a write follows. Raises Conflict if it is not the one that was seen."""
    version = before.version if before else 0
    if version != write.seen and not _removed(before, write):
        raise Conflict
    return version


async def _require_device(server: Server) -> None:
    """Store the Device that Provenance names as the agent, once."""
    if await server.store.read("Device", DEVICE_ID, EVERYTHING) is not None:
        return
    made, now = draft(server, DEVICE, DEVICE_ID), server.clock()

    async def work(tx: Tx) -> None:
        if await tx.read("Device", DEVICE_ID) is None:
            await tx.write(change(made, DEVICE_ID, 1, max(now, tx.began), "POST"))

    await transact(server, OPERATOR, work)
