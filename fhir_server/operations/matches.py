"""The Bundle in which the match operations answer: ranked matches with score and grade, and the reasons beside them.

Nothing that is computed here is stored: a GuidanceResponse of the answer has no id. https://hl7.org/fhir/R4/search.html#match-grade
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.bundle import bundle, search_entry
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import Issue, operation_outcome, refuse
from fhir_server.interactions.ask import Answer, Ask, Pairs
from fhir_server.interactions.pages import PARAMETER, Place, seal
from fhir_server.matching.explain import guidance
from fhir_server.matching.finding import Outcome
from fhir_server.matching.score import Match
from fhir_server.operations.inputs import Inputs
from fhir_server.operations.inputs import given as given_in
from fhir_server.search.index import param_of
from fhir_server.search.predicate import And, Is, Predicate
from fhir_server.server import Server
from fhir_server.store.seam import Position, Query, Stored

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
STATUSES: dict[str, frozenset[Outcome]] = {
    "match": frozenset({"met"}),
    "unknown": frozenset({"unknown"}),
    "no-match": frozenset({"not-met"}),
    "all": frozenset({"met", "unknown", "not-met"}),
}
COMMON = {"status": "codes*", "date": "date", "_count": "count", PARAMETER: "string"}


class Found(NamedTuple):
    """A match of an answer: the resource shown, as it is stored, and how it fits."""

    stored: Stored
    match: Match


class Ranked(NamedTuple):
    """What may be shown, and its score; `explain` is called if it is."""

    stored: Stored
    score: float
    explain: Callable[[], Match]

    @property
    def rank(self) -> tuple[float, str]:
        """Best first; those that fit alike by id, so that pages follow one another."""
        return -self.score, self.stored.id


def statuses(given: Inputs) -> frozenset[Outcome]:
    """The outcomes that are asked for; match and unknown if nothing is said. Raises FhirError 400."""
    asked = [status for listed in given.get("status", ()) for status in listed] or ["match", "unknown"]
    for status in asked:
        if status not in STATUSES:
            raise refuse(400, "value", f"status must be {', '.join(STATUSES)}, not {status[:40]!r}.", "status")
    return frozenset().union(*(STATUSES[status] for status in asked))


def identified(type: str, text: str, base: str) -> str:
    """The id in `id`, `Type/id` or a URL of it on this server. Raises FhirError 400 for another reference."""
    own = text.removeprefix(f"{base}/").removeprefix(f"{type}/").partition("/_history/")[0]
    if "/" in own or not own:
        raise refuse(400, "value", f"{text[:80]!r} does not name a {type} of this server.")
    return own


def answered(
    server: Server,
    caller: Caller,
    ask: Ask,
    path: str,
    query: Pairs,
    page: "Page",
    subjects: Iterable[Stored],
    issues: Sequence[Issue] = (),
) -> Answer:
    """The searchset of a page."""
    base, now = server.settings.base, server.clock()
    links = [("self", _url(server, path, (*query, *ask.form)))]
    if page.next is not None:
        sealed = seal(server, caller, Place(path, query, page.next, page.total, ask.lenient))
        links.append(("next", _url(server, path, ((PARAMETER, sealed), *ask.form))))
    entries = [_entry(f"{base}/{one.stored.type}/{one.stored.id}", one) for one in page.rows]
    entries += [explained(one.match, now) for one in page.rows]
    entries += [search_entry(f"{base}/{row.type}/{row.id}", row.body, "include") for row in subjects]
    if issues:
        entries.append(search_entry("", codec.encode(operation_outcome(issues)), "outcome"))
    return Answer(200, bundle("searchset", entries, links=links, total=page.total))


def explained(match: Match, now: int) -> bytes:
    """The entry with the reasons of a match."""
    made: Resource = guidance("", match.study, match.patient, match.outcome, match.results, now)
    del made["id"]
    return search_entry(f"urn:uuid:{uuid.uuid4()}", codec.encode(made), "include")


def _entry(address: str, found: Found) -> bytes:
    search = codec.encode(
        {
            "extension": [{"url": GRADE, "valueCode": found.match.grade}],
            "mode": "match",
            "score": found.match.score,
        }
    )
    body = found.stored.body
    return b'{"fullUrl":' + codec.encode(address) + b',"resource":' + body + b',"search":' + search + b"}"


class Page(NamedTuple):
    """The matches of a page, the rank after which the next begins (None at the end), and how many there are in all."""

    rows: Sequence[Found]
    next: Position | None
    total: int


def paged(found: Iterable[Ranked], after: Position | None, count: int) -> Page:
    """The `count` matches that follow a position, best first."""
    ranked = sorted(found, key=lambda one: one.rank)
    rest = [one for one in ranked if one.rank > tuple(after)] if after is not None else ranked
    rows = [Found(one.stored, one.explain()) for one in rest[:count]]
    return Page(rows, rest[count - 1].rank if len(rest) > count > 0 else None, len(ranked))


def said(ask: Ask, takes: Iterable[str]) -> Pairs:
    """The parameters as a query, in which a `next` link remembers them; references by their text."""
    pairs = []
    for name, value, _ in given_in(ask, dict.fromkeys(takes, "")):
        text = value.get("reference", "") if isinstance(value, dict) else value
        if name != PARAMETER:
            pairs.append((name, str(text)))
    return tuple(pairs)


async def enrolled(server: Server, caller: Caller, rows: Sequence[Found], also: Iterable[str] = ()) -> list[Stored]:
    """The ResearchSubjects of these pairs that the caller may see; `also`: Patients that are the same person."""
    patients = dict.fromkeys([*(one.match.patient for one in rows), *also])
    studies = dict.fromkeys(one.match.study.id for one in rows)
    if not rows:
        return []
    parts = (naming("individual", "Patient", patients), naming("study", "ResearchStudy", studies))
    where = restrict(And(parts), caller, ("ResearchSubject",))
    return [row async for row in server.store.scan(Query(("ResearchSubject",), where))]


def naming(code: str, type: str, ids: Iterable[str]) -> Predicate:
    return Is(param_of(code, "reference"), (("type,id", "in", tuple((type, id) for id in ids)),))


def _url(server: Server, path: str, pairs: Pairs) -> str:
    return f"{server.settings.base}/{path}" + (f"?{urlencode(pairs)}" if pairs else "")
