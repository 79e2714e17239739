"""Patient/[id]/$missing-data: the missing tests of a patient, ranked by the trials that they could unlock.

See docs/operations/missing.md. Who may ask, and under which consent, is as for $match-trials.
https://hl7.org/fhir/R4/metadatatypes.html#DataRequirement
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from fhir_server.access import READ, Caller, permitted, restrict
from fhir_server.access.asking import released_to
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.may import require
from fhir_server.matching.criteria import Leaf, Study, asked
from fhir_server.matching.evaluate import Memo, evaluate_study, fails
from fhir_server.matching.missing import Datum, Way, datum, joined, requirement, ways
from fhir_server.matching.people import look
from fhir_server.matching.records import FACTUAL
from fhir_server.matching.studies import RECRUITING, read_studies
from fhir_server.operations.everything import present
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server

TAKES = {"date": "date", "_count": "count"}
SHOWN = 20  # trials named for each datum

Part = dict[str, Any]


class Unlocks(NamedTuple):
    """What a datum is good for: the data that would settle it, and for each trial the smallest sets that it is in."""

    needs: list[Resource]
    trials: list[tuple[Study, list[Way]]]

    @property
    def alone(self) -> int:
        """How many trials it could make a match without any other."""
        return sum(len(found[0].data) == 1 for _, found in self.trials)


async def missing_data(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """Parameters with a `datum` for each, the most useful first. Raises FhirError 404, 410, 403, or 400."""
    require(caller, "ResearchStudy", "s")
    require(caller, "GuidanceResponse", "r")
    row = await present(server, caller, ask.id)
    studies = [one.study for one in await read_studies(server, restrict(RECRUITING, caller, ("ResearchStudy",)))]
    now = server.clock()
    when = given["date"][0] if "date" in given else now
    known, readable = (codec.decode(row.body), row.version), permitted(caller, FACTUAL, READ)
    named = {study.id for study in studies}
    (person,) = await look(server, [known], asked(studies), named, now, readable, released_to(caller))
    found: dict[Datum, Unlocks] = {}
    memos: dict[int, Memo] = {}  # by identity of the facts
    for study in studies:
        facts = person.facts(study.id)
        if not study.open or facts is None:
            continue
        memo = memos.setdefault(id(facts), {})
        if not fails(study, facts, server.terminology, when, memo):
            outcome, results = evaluate_study(study, facts, server.terminology, when, memo)
            if outcome == "unknown":
                _add(found, study, ways(results))
    ranked = sorted(found.items(), key=lambda one: (-one[1].alone, -len(one[1].trials), one[0].action))
    most = given.get("_count", server.settings.page_size)
    parameters = [_parameter(*one) for one in ranked[:most]]
    body = {"resourceType": "Parameters", **({"parameter": parameters} if parameters else {})}
    return Answer(200, codec.encode(body))


def _add(found: dict[Datum, Unlocks], study: Study, smallest: Iterable[Way]) -> None:
    """Note for each datum of a trial's smallest sets what it is good for; what no datum mends is none."""
    mine: dict[Datum, list[Way]] = {}
    for way in smallest:
        for one in way.criteria:
            assert isinstance(one.node, Leaf)
            need = requirement(one.node.test)
            if need is not None:
                found.setdefault(datum(one), Unlocks([], [])).needs.append(need)
                if way not in mine.setdefault(datum(one), []):
                    mine[datum(one)].append(way)
    for key, sets in mine.items():
        found[key].trials.append((study, sets))


def _parameter(key: Datum, unlocks: Unlocks) -> Part:
    parts: list[Part] = [{"name": "action", "valueString": key.action}]
    parts += [{"name": "requirement", "valueDataRequirement": need} for need in joined(unlocks.needs)]
    parts.append({"name": "unlocks", "valueInteger": unlocks.alone})
    parts.append({"name": "helps", "valueInteger": len(unlocks.trials)})
    first = sorted(unlocks.trials, key=lambda one: len(one[1][0].data))
    return {"name": "datum", "part": [*parts, *(_trial(key, *one) for one in first[:SHOWN])]}


def _trial(key: Datum, study: Study, sets: list[Way]) -> Part:
    """A trial, and what else is missing for it: one list, of the set that comes first."""
    parts: list[Part] = [
        {"name": "study", "valueReference": {"reference": f"ResearchStudy/{study.id}", "display": study.title}}
    ]
    others = (other for other in sets[0].data if other != key)
    parts += [{"name": "together-with", "valueString": other.action} for other in others]
    return {"name": "trial", "part": parts}
