"""A bundle of requests that all succeed or leave no trace. https://hl7.org/fhir/R4/http.html#trules

Criteria (ifNoneExist, conditional updates and deletes, references by search) are looked up before the transaction, so
that the resources can be rewritten, checked, indexed and encoded outside it, and again inside: if the answers differ,
the drafts are made anew from there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlencode

from msgspec.structs import replace

from fhir_server.access import READ, Caller, transact
from fhir_server.fhir.bundle import Place, bundle, linking_names, places, point
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import FhirError, Issue, refuse
from fhir_server.interactions import create, delete, patch, update
from fhir_server.interactions.ask import Answer, Ask
from fhir_server.interactions.conditional import Find, criteria, one, query_pairs
from fhir_server.interactions.draft import Draft, draft, require_resource
from fhir_server.interactions.entries import Entry, entries_of, read_entry, response_entry
from fhir_server.interactions.profiles import judging, require_profiles
from fhir_server.interactions.search import searched
from fhir_server.interactions.subset import narrowed
from fhir_server.interactions.table import SHAPES, Shapes
from fhir_server.interactions.visible import current, gone, not_found
from fhir_server.server import Server
from fhir_server.store.seam import Query, Stored, Tx

ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3}
READING = 3
BREATH = 10  # entries drafted before other requests get a turn
ISSUES = 100  # reported at most

Also = Callable[[Tx, bytes], Awaitable[None]]
Matches = Mapping[str, str | None]  # criterion as written ("Patient?identifier=x") -> id of its match


class Plan(NamedTuple):
    """What a transaction asks, worked out once; ids and the time are drawn here, not in the transaction."""

    entries: Sequence[Entry]
    fresh: Sequence[str]  # the id an entry's resource gets if it is new
    conditions: Mapping[int, str]  # number of an entry -> its criterion
    queries: Mapping[str, Query]  # every criterion, those of references too
    references: frozenset[str]  # the criteria that must have a match: those of references
    places: Sequence[Place]
    now: int


async def transaction(
    server: Server, caller: Caller, given: Resource, ask: Ask, shapes: Shapes = SHAPES, also: Also | None = None
) -> Answer:
    """The transaction-response; or the FhirError of the entries that failed, with nothing changed.

    `also` is performed in the same transaction and given the response, b"" if some of it is read after the commit.
    """
    plan = planned(server, caller, given, shapes)
    for entry in plan.entries if server.settings.profiles != "off" else ():
        try:
            await require_profiles(server, (entry.ask.resource,) if entry.ask.resource else ())
        except FhirError as error:
            raise placed(error, entry.number) from None
    found = await matched(plan, server.store.search)
    ids = targets(plan, found)
    made: dict[int, Draft] = {}
    for number, one_draft in drafts(server, plan, ids):
        made[number] = one_draft
        if len(made) % BREATH == 0:
            await asyncio.sleep(0)

    async def work(tx: Tx) -> tuple[dict[int, Answer], bytes]:
        now_found = await matched(plan, tx.search) if plan.queries else found
        if now_found == found:
            answers = await applied(tx, server, caller, plan, found, ids, made)
        else:
            now_ids = targets(plan, now_found)
            remade = dict(drafts(server, plan, now_ids))
            answers = await applied(tx, server, caller, plan, now_found, now_ids, remade)
        told = b""
        if also is not None:
            whole = len(answers) == len(plan.entries)
            told = response(server, plan, answers, ask.full) if whole else b""
            await also(tx, told)
        return answers, told

    answers, told = await judging(lambda: transact(server, caller, work), server)
    for entry in plan.entries:  # versions and histories are read as they are afterwards
        if entry.number not in answers:
            answers[entry.number] = await entry.row.perform(server, caller, entry.ask)
    return Answer(200, told or response(server, plan, answers, ask.full))


def response(server: Server, plan: Plan, answers: Mapping[int, Answer], full: bool) -> bytes:
    """The transaction-response Bundle."""
    rows = [response_entry(server, entry, answers[entry.number], full) for entry in plan.entries]
    return bundle("transaction-response", rows)


def planned(server: Server, caller: Caller, given: Resource, shapes: Shapes = SHAPES) -> Plan:
    """Read all entries and find what has to be looked up and rewritten."""
    entries = [read_entry(server, raw, number, shapes) for number, raw in enumerate(entries_of(server, given))]
    for entry in entries:
        entry.row.require(caller, entry.ask)
        if entry.row.body == "operation":
            text = f"Entry {entry.number}: an operation that is POSTed cannot be part of a transaction: use a batch."
            raise refuse(400, "not-supported", text, f"Bundle.entry[{entry.number}]")
    addresses = {entry.full_url for entry in entries if entry.full_url and entry.row.body == "resource"}
    addresses |= {relative(url) for url in addresses}
    names = linking_names()
    marked: list[Place] = []
    conditions: dict[int, str] = {}
    for entry in entries:
        if entry.ask.resource is not None:
            marked += places(entry.ask.resource, addresses, names)
        criterion = _criterion(entry)
        if criterion:
            conditions[entry.number] = criterion
    references = {place.text for place in marked if place.key == "reference" and place.text not in addresses}
    queries = {text: _query(server, caller, text) for text in sorted(references.union(conditions.values()))}
    return Plan(
        entries,
        [server.new_id() if entry.ask.resource is not None else "" for entry in entries],
        conditions,
        queries,
        frozenset(references),
        marked,
        server.clock(),
    )


def _criterion(entry: Entry) -> str:
    ask = entry.ask
    if entry.row.method == "POST" and entry.row.body == "resource" and ask.if_none_exist is not None and ask.type:
        return f"{ask.type}?{ask.if_none_exist.removeprefix(ask.type + '?')}"
    if entry.row.method in ("PUT", "PATCH", "DELETE") and not ask.id:
        return f"{ask.type}?{urlencode(ask.query)}"
    return ""


def _query(server: Server, caller: Caller, text: str) -> Query:
    type_, _, query = text.partition("?")
    if type_ not in server.definitions.resources:
        raise refuse(400, "not-supported", f"R4 has no resource type {type_[:64]!r}: {text[:100]!r}.")
    return criteria(server, caller, type_, query_pairs(query))


async def matched(plan: Plan, find: Find) -> Matches:
    """Look up every criterion. Raises FhirError 412 if one has several matches."""
    found: dict[str, str | None] = {}
    for text, query in plan.queries.items():
        match = await one(find, query)
        found[text] = match.id if match else None
    return found


def targets(plan: Plan, found: Matches) -> dict[int, str]:
    """The id that each write is about, with all places in the resources pointing there; "" where nothing matched.

    Raises FhirError 400 if two entries would write the same resource, 412 for a reference by search without a match.
    """
    ids: dict[int, str] = {}
    created: dict[str, str] = {}  # criterion of a conditional create -> the id it makes
    for entry in plan.entries:
        number, resource = entry.number, entry.ask.resource
        match = found[plan.conditions[number]] if number in plan.conditions else None
        if entry.row.method == "POST" and resource is not None:
            criterion = plan.conditions.get(number, f"#{number}")
            ids[number] = match or created.setdefault(criterion, plan.fresh[number])
        elif entry.row.method in ("PUT", "PATCH", "DELETE"):
            ids[number] = entry.ask.id or match or ""
            if not ids[number] and resource is not None:
                ids[number] = resource.get("id", plan.fresh[number])
                if not isinstance(ids[number], str):
                    raise refuse(400, "value", f"The id of entry {number} is not a string.", f"Bundle.entry[{number}]")
    _refuse_overlap(plan, ids)
    point(plan.places, _addresses(plan, found, ids, created))
    return ids


def _addresses(plan: Plan, found: Matches, ids: Mapping[int, str], created: Mapping[str, str]) -> dict[str, str]:
    to: dict[str, str] = {}
    for entry in plan.entries:
        if entry.full_url and entry.ask.resource is not None:
            to[entry.full_url] = to[relative(entry.full_url)] = f"{entry.ask.type}/{ids[entry.number]}"
    for text in plan.references:
        id = found[text] or created.get(text)
        if id is None:
            raise refuse(412, "not-found", f"No resource matches the reference {text[:200]!r}.")
        to[text] = f"{text.partition('?')[0]}/{id}"
    return to


def relative(url: str) -> str:
    """The end of a RESTful address, `Patient/1` of `http://a.example/fhir/Patient/1`; other addresses as they are."""
    parts = url.rsplit("/", 2)
    return f"{parts[1]}/{parts[2]}" if len(parts) == 3 and parts[1][:1].isupper() else url


def _refuse_overlap(plan: Plan, ids: Mapping[int, str]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for entry in plan.entries:
        id = ids.get(entry.number)
        if id and (entry.row.method != "POST" or id == plan.fresh[entry.number]):
            first = seen.setdefault((entry.ask.type, id), entry.number)
            if first != entry.number:
                text = f"Entries {first} and {entry.number} both write {entry.ask.type}/{id}."
                raise refuse(400, "duplicate", text, f"Bundle.entry[{entry.number}]")


def drafts(server: Server, plan: Plan, ids: Mapping[int, str]) -> Iterator[tuple[int, Draft]]:
    """Check, index and encode the resource of every create and update, one at a time.

    Raises one FhirError with the issues of all entries that were refused.
    """
    refused: list[FhirError] = []
    for entry in plan.entries:
        number, given = entry.number, entry.ask.resource
        if given is None or (entry.row.method == "POST" and ids[number] != plan.fresh[number]):
            continue
        try:
            resource = require_resource(given, entry.ask.type)
            if entry.row.method == "PUT" and (entry.ask.id or "id" in resource):
                update.require_id(resource, ids[number])
            made = draft(server, resource, ids[number])
        except FhirError as error:
            refused.append(placed(error, number))
            if len(refused) >= ISSUES:
                break
        else:
            yield number, made
    if refused:
        raise FhirError(refused[0].status, [issue for error in refused for issue in error.issues][:ISSUES])


def placed(error: FhirError, number: int) -> FhirError:
    """The error of an entry, its expressions rooted in the bundle."""
    at = f"Bundle.entry[{number}]"
    issues = []
    for issue in error.issues:
        paths = [f"{at}.resource" + "".join(text.partition(".")[1:]) for text in issue.expression]
        paths = [path for path in paths if not path.startswith(f"{at}.resource.entry[")] or [at]
        issues.append(Issue(issue.code, f"Entry {number}: {issue.diagnostics}", tuple(paths), issue.severity))
    return FhirError(error.status, issues, error.headers)


def _turn(entry: Entry) -> int:
    return READING if entry.row.body == "form" else ORDER[entry.row.method]  # a search by POST reads too


async def applied(
    tx: Tx,
    server: Server,
    caller: Caller,
    plan: Plan,
    found: Matches,
    ids: Mapping[int, str],
    made: Mapping[int, Draft],
) -> dict[int, Answer]:
    """Perform the entries in the order of the specification; the answers by number of entry."""
    answers: dict[int, Answer] = {}
    for entry in sorted(plan.entries, key=_turn):
        number = entry.number
        try:
            if _turn(entry) == READING:
                answer = await _get(tx, server, caller, entry)
            else:
                matched_one = number not in plan.conditions or found[plan.conditions[number]] is not None
                ask = entry.ask if entry.ask.id == ids[number] else replace(entry.ask, id=ids[number])
                answer = await _write(tx, server, caller, plan, entry, ask, made.get(number), matched_one)
        except FhirError as error:
            raise placed(error, number) from None
        if answer is not None:
            answers[number] = answer
    return answers


async def _write(
    tx: Tx, server: Server, caller: Caller, plan: Plan, entry: Entry, ask: Ask, made: Draft | None, matched_one: bool
) -> Answer:
    match entry.row.method:
        case "DELETE":
            return await delete.apply(tx, caller, ask, plan.now) if ask.id else Answer(204)
        case "POST" if made is not None:
            return await create.apply(tx, made, ask.id, plan.now)
        case "POST":  # ifNoneExist had its match
            stored = await current(tx, caller, ask.type, ask.id, READ)
            return Answer(200, stored.body if stored else b"", stored, written=True)
        case "PUT" if made is not None:
            if not matched_one:
                await update.require_free(tx, caller, ask.type, ask.id)
            ours = not matched_one and ask.id == plan.fresh[entry.number]
            return await update.apply(tx, caller, made, ask.id, plan.now, ask, ours=ours)
        case "PATCH" if ask.id:
            return await patch.apply(tx, server, caller, ask, plan.now)
    raise refuse(404, "not-found", f"No {ask.type} meets the criteria.")


async def _get(tx: Tx, server: Server, caller: Caller, entry: Entry) -> Answer | None:
    """Reads and searches see what the transaction wrote; None for what is answered after it."""
    ask = entry.ask
    if entry.row.name == "search-type":
        return await searched(server, caller, ask, tx.search)
    if entry.row.name != "read":
        return None
    stored: Stored | None = await current(tx, caller, ask.type, ask.id, READ)
    if stored is None:
        raise not_found(ask.type, ask.id)
    if stored.deleted:
        raise gone(ask.type, ask.id)
    return Answer(200, narrowed(server, ask, stored.body), stored)
