"""Observation/$lastn: the newest observations of each code. https://hl7.org/fhir/R4/observation-operation-lastn.html"""

import asyncio
from typing import Any
from urllib.parse import urlencode

from fhir_server.access import Caller, restrict
from fhir_server.fhir import codec
from fhir_server.fhir.bundle import bundle, search_entry
from fhir_server.fhir.outcome import refuse
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.lookup import parsed
from fhir_server.operations.inputs import Inputs
from fhir_server.search.entries import fold
from fhir_server.search.index import param_of
from fhir_server.search.predicate import Sort
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored

TAKES = {"max": "count", "*": "pairs"}
SUBJECT, KIND = ("patient", "subject"), ("category", "code")
MOST = 100  # observations of one code
SEEN = 50_000  # observations looked at
NEWEST_FIRST = Sort(param_of("date", "date"), True)

Codes = frozenset[tuple[str, str]]


async def lastn(server: Server, caller: Caller, ask: Ask, given: Inputs) -> Answer:
    """A searchset of groups, the one with the newest observation first, and within a group newest first.

    Raises FhirError 400 without a patient or subject, without category or code, and for what orders or pages.
    """
    pairs = tuple(given.get("*", ()))
    most = given.get("max", 1)
    if most > MOST:
        raise refuse(400, "value", f"max must be {MOST} or less.", "max")
    heads = {name.partition(":")[0].partition(".")[0] for name, _ in pairs}
    for wanted in (SUBJECT, KIND):
        if heads.isdisjoint(wanted):
            raise refuse(400, "required", f"$lastn needs {' or '.join(wanted)}.")
    asked = await parsed(server, caller, server.store.search, "Observation", pairs, ask.lenient, server.clock())
    if asked.sort or asked.count is not None or asked.includes or asked.total or asked.summary or asked.elements:
        raise refuse(400, "not-supported", "$lastn takes criteria and max: it orders and counts by itself.")
    where, groups = restrict(asked.where, caller, ("Observation",)), Groups(most)
    query = Query(("Observation",), where, (NEWEST_FIRST,), 500)
    seen = 0
    while True:
        page = await server.store.search(query)
        for row in page.rows:
            groups.add(row)
        seen += len(page.rows)
        if page.next is None:
            break
        if seen >= SEEN:
            raise refuse(422, "too-costly", f"More than {SEEN} observations match: add date=ge... or a code.")
        query = query._replace(after=page.next)
        await asyncio.sleep(0)
    base = server.settings.base
    rows = groups.rows()
    entries = [search_entry(f"{base}/Observation/{row.id}", row.body, "match") for row in rows]
    said = [("max", str(most)), *asked.used, *ask.form]
    links = [("self", f"{base}/Observation/$lastn?{urlencode(said)}")]
    return Answer(200, bundle("searchset", entries, links=links, total=len(rows)))


class Groups:
    """Observations by code: two are of one group if they share a coding; without codings, if their text is the same."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.by_code: dict[tuple[str, str], list[Stored]] = {}
        self.order: list[list[Stored]] = []

    def add(self, row: Stored) -> None:
        """Put an observation, none newer, into its group if there is room."""
        codes = codes_of(codec.decode(row.body).get("code", {}))
        group = next((self.by_code[code] for code in codes if code in self.by_code), None)
        if group is None:
            group = []
            self.order.append(group)
        for code in codes:
            self.by_code.setdefault(code, group)
        if len(group) < self.most:
            group.append(row)

    def rows(self) -> list[Stored]:
        """All groups, in the order of their newest observation."""
        return [row for group in self.order for row in group]


def codes_of(concept: dict[str, Any]) -> list[tuple[str, str]]:
    """What identifies the code of an observation: system and code of each coding, or else its text."""
    found = [(one.get("system", ""), one["code"]) for one in concept.get("coding", ()) if "code" in one]
    return found or [("\0text", fold(concept.get("text", "")))]
