"""What a caller gets from the full store is what anyone would get from a store without all that is hidden from them.

Random scopes and roles, random requests: each answer on the full store equals, byte for byte but for page tokens, the
answer on an SQLite store from which everything forbidden was physically removed. `make test` tries 200 callers on each
kind of store, `make test-deep` 2,000. https://hl7.org/fhir/R4/security.html
"""

import re
from dataclasses import replace
from json import dumps
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
import pytest

from fhir_server.access import Caller, permitted
from fhir_server.access.asking import caller_for
from fhir_server.access.grant import Grant
from fhir_server.access.provisions import RESOURCE_TYPES
from fhir_server.access.purposes import ACT_REASON
from fhir_server.access.statements import FOREVER, SCOPE
from fhir_server.export.files import folder_of, remove
from fhir_server.export.job import EXPORTS, Export
from fhir_server.export.members import kinds_of
from fhir_server.export.perform import Writing
from fhir_server.export.wish import Wish
from fhir_server.fhir.codec import decode, encode
from fhir_server.interactions.lease import Lease
from fhir_server.rest.endpoint import FhirEndpoint
from fhir_server.rest.negotiate import Headers
from fhir_server.rest.routes import INTERACTIONS
from fhir_server.search.predicate import EVERYTHING, NOTHING, And, Entry, Indexed, Predicate, matches
from fhir_server.server import Server
from fhir_server.store import open_store
from fhir_server.store.seam import Change, Query, Tx
from tests.client import Client
from tests.deep import deep
from tests.search_oracle.queries import Generator
from tests.search_oracle.world import resources

CALLERS, REQUESTS, PIECES = deep(15, 500), 100, 4
EXPORTERS = deep(1, 100)  # of the callers of the first piece that are backend services
TYPES = ("Patient", "Observation", "Condition", "Encounter", "CareTeam", "ResearchSubject", "List", "Provenance",
         "Organization", "Practitioner", "Location", "ValueSet", "RiskAssessment", "QuestionnaireResponse")  # fmt: skip
TRUE = And((EVERYTHING,))  # permits all, but is not recognised as doing so
TOKEN = re.compile(rb"_page=[^\"&<]+")

Call = tuple[str, str, Headers, bytes]


class Side(NamedTuple):
    """One of the two stores, asked as one caller."""

    server: Server
    caller: Caller
    endpoint: FhirEndpoint


def more() -> list[dict[str, Any]]:
    """What ties clinicians and studies to patients, and names several patients at once."""
    random = Random(7)
    made: list[dict[str, Any]] = [
        {"resourceType": "ResearchStudy", "id": f"study{n}", "status": "active"} for n in range(2)
    ]
    for n in range(30):
        patient = {"reference": f"Patient/patient{n}"}
        member = {"member": {"reference": f"Practitioner/practitioner{random.randrange(8)}"}}
        status = random.choice(["active", "inactive"])
        made.append(
            {
                "resourceType": "CareTeam",
                "id": f"team{n}",
                "status": status,
                "subject": patient,
                "participant": [member],
            }
        )
        study = {"reference": f"ResearchStudy/study{n % 2}"}
        status = random.choice(["candidate", "withdrawn", "ineligible"])
        made.append(
            {"resourceType": "ResearchSubject", "id": f"rs{n}", "status": status, "study": study, "individual": patient}
        )
        made.append({"resourceType": "RelatedPerson", "id": f"kin{n}", "active": n % 3 > 0, "patient": patient})
        targets = [{"reference": f"Patient/patient{random.randrange(30)}"} for _ in range(2)]
        agent = {"who": {"reference": "Practitioner/practitioner1"}}
        made.append({"resourceType": "Provenance", "id": f"prov{n}", "recorded": "2024-01-01T00:00:00Z",
                     "target": targets, "agent": [agent]})  # fmt: skip
    return [*made, *consents(random)]


def consents(random: Random) -> list[dict[str, Any]]:
    """What some of the patients say: permits and denials of everything that resources of these tests differ in."""
    made: list[dict[str, Any]] = []
    for n in range(40):
        nested = [provision(random) for _ in range(random.choice([0, 1, 1, 2]))]
        root = {"type": random.choice(["permit", "permit", "deny"]), **({"provision": nested} if nested else {})}
        if random.random() < 0.5:
            root["purpose"] = [{"system": ACT_REASON, "code": random.choice(["HRESCH", "CLINTRCH", "TREAT"])}]
        scope = random.choice(["research", "research", "patient-privacy"])
        made.append(
            {
                "resourceType": "Consent", "id": f"consent{n}",
                "status": random.choice(["active", "active", "inactive"]),
                "scope": {"coding": [{"system": SCOPE, "code": scope}]},
                "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
                "patient": {"reference": f"Patient/patient{random.randrange(24)}"},
                "dateTime": f"2024-01-{random.randrange(1, 28):02}",
                "policy": [{"uri": f"https://example.org/policy{random.randrange(3)}"}],
                "provision": root,
            }
        )  # fmt: skip
    return made


def provision(random: Random) -> dict[str, Any]:
    made: dict[str, Any] = {"type": random.choice(["permit", "deny"])}
    if random.random() < 0.4:
        made["class"] = [{"system": RESOURCE_TYPES, "code": random.choice(["Observation", "Condition", "Patient"])}]
    if random.random() < 0.3:
        made["dataPeriod"] = {random.choice(["start", "end"]): random.choice(["2019", "2020-06", "2022-01-01"])}
    if random.random() < 0.3:
        made["code"] = [{"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}]
    if random.random() < 0.3:
        role = {"coding": [{"code": "IRCP"}]}
        made["actor"] = [{"role": role, "reference": {"reference": f"Organization/organization{random.randrange(3)}"}}]
    if random.random() < 0.2:
        made["data"] = [{"meaning": "related", "reference": {"reference": f"ResearchStudy/study{random.randrange(2)}"}}]
    return made


@pytest.fixture
def full(client: Client, tmp_path: Path) -> Server:
    """The mixed data set in the store under test; some resources have a second version."""
    made = [*resources(), *more()]
    again = [{**one, "language": "de"} for one in made[::7]]
    for start in range(0, len(made) + len(again), 60):
        entries = [
            {"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
            for one in [*made, *again][start : start + 60]
            if one not in again or start >= len(made)
        ]
        answer = client("POST", "", encode({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
        assert answer.status_code == 200, answer.text
    server = client.app.endpoint.server
    assert server is not None
    now = server.clock()
    settings = replace(server.settings, export_folder=str(tmp_path / "exports"))
    return replace(server, clock=lambda: now, settings=settings)


def grants(random: Random) -> Grant:
    """Somebody's scopes and role."""
    context, user, patient, role, study = random.choice(
        [
            ("patient", f"Patient/patient{random.randrange(30)}", "", "", ""),
            ("user", f"Practitioner/practitioner{random.randrange(8)}", "", "", ""),
            ("user", f"Patient/patient{random.randrange(30)}", "", "", ""),
            ("user", f"RelatedPerson/kin{random.randrange(30)}", "", "", ""),
            ("system", "", "", random.choice(["ehr", "researcher", "researcher", "laboratory", ""]), ""),
            ("system", "", "", "study-team", f"study{random.randrange(2)}"),
        ]
    )
    if context == "patient":
        patient = user.partition("/")[2]
    scopes = []
    for _ in range(random.choice([1, 2, 3, 5])):
        type = random.choice(["*", *TYPES])
        letters = random.choice(["rs", "read", "cruds", "*", "rs"])
        query = ""
        if type == "Observation" and letters == "rs":
            query = random.choice(["", "?category=laboratory", "?status=final", "?code=8480-6&status=final"])
        if type == "Condition" and letters == "rs":
            query = random.choice(["", "?code=38341003"])
        scopes.append(f"{context}/{type}.{letters}{query}")
    purposes = random.choice([(), (), ("HRESCH",), ("CLINTRCH",), ("TREAT", "HRESCH")]) if role != "ehr" else ()
    actors = random.choice([(), ("Organization/organization1",), ("Organization/organization2",)])
    return Grant(
        client="c", scopes=tuple(scopes), user=user, patient=patient, role=role, study=study, purposes=purposes,
        actors=actors,
    )  # fmt: skip


def requests(random: Random, generator: Generator) -> Call:
    """Any interaction that leaves the store as it is."""
    kind = random.random()
    type, query = generator.query()
    headers: Headers = {b"content-type": b"application/fhir+json"}
    if kind < 0.45:
        extra = random.choice(
            ["", "_total=accurate", "_summary=count", "_include=*", "_revinclude=*", "_count=3", "_include:iterate=*",
             "_revinclude:iterate=*&_include=*", "_elements=id", "_revinclude=Provenance:target", "_filter=status ne x"]
        )  # fmt: skip
        return "GET", f"{type}?{query}&{extra.replace(' ', '%20')}", headers, b""
    id = f"{type.lower()}{random.randrange(30)}"
    if kind < 0.8:
        path = random.choice(
            [f"{type}/{id}", f"{type}/{id}/_history", f"{type}/{id}/_history/1", f"{type}/_history?_count=40",
             "_history?_count=30", f"?_type={type},Patient&_count=20", "?_lastUpdated=gt2020&_count=20",
             f"Patient/patient{random.randrange(30)}/{type}", f"Patient/patient{random.randrange(30)}/$everything",
             "Patient/$everything?_count=20", f"{type}/$meta", f"{type}/{id}/$meta", "$meta",
             f"Observation/$lastn?patient=patient{random.randrange(30)}&category=laboratory", f"{type}/{id}/$validate",
             f"{type}?_id={id}&_explain=true", f"Patient/{id}/$expunge"]
        )  # fmt: skip
        return "GET", path, headers, b""
    if kind < 0.9:
        stale = {**headers, b"if-match": b'W/"99"'}
        patch = {**headers, b"content-type": b"application/json-patch+json"}
        body = dumps({"resourceType": type, "id": id, "status": "final", "code": {"text": "x"}}).encode()
        return random.choice(
            [
                ("DELETE", f"{type}/{id}", stale, b""),
                ("DELETE", f"{type}?{urlencode({'_id': id})}", stale, b""),
                ("PATCH", f"{type}/{id}", patch, b'[{"op":"test","path":"/id","value":"other"}]'),
                ("PATCH", f"{type}?_id={id}", patch, b'[{"op":"test","path":"/id","value":"other"}]'),
                ("PUT", f"{type}/{id}", stale, body),
                ("PUT", f"{type}?_id={id}", stale, body),
            ]
        )
    entries = [{"request": {"method": "GET", "url": requests_url(random, generator)}} for _ in range(3)]
    kind_of = random.choice(["batch", "transaction"])
    return "POST", "", headers, dumps({"resourceType": "Bundle", "type": kind_of, "entry": entries}).encode()


def requests_url(random: Random, generator: Generator) -> str:
    type, query = generator.query()
    return random.choice([f"{type}?{query}", f"{type}/{type.lower()}{random.randrange(30)}"])


async def reduced(server: Server, caller: Caller, entries: dict[bytes, tuple[Entry, ...]]) -> Side:
    """A store with only what the caller may see, and a caller who may see all of it.

    `entries` of the index by body are kept from caller to caller."""
    rows = [row async for row in server.store.scan(Query((), EVERYTHING))]
    versions = [row async for _, row in server.store.changes(None)]
    for row in (*rows, *versions):
        if row.body not in entries:
            entries[row.body] = server.index(decode(row.body))
    indexed = [Indexed(row.type, row.id, row.updated, entries[row.body], row.rule, FOREVER) for row in rows]
    world = {(row.type, row.id): row for row in indexed}
    seen = {key for key, row in world.items() if matches(permitted(caller, (row.type,), "r"), row, world)}
    store = await open_store("sqlite:///:memory:")

    async def work(tx: Tx) -> None:
        for row in versions:
            if (row.type, row.id) in seen:
                await tx.write(Change(*row[:6], entries[row.body]))

    await store.transact(work)

    def permits(type: str, letter: str) -> Predicate:
        return TRUE if caller.may(type, letter) else NOTHING

    plain = Caller(caller.id, permits, caller.print, caller.grant, caller.operator, caller.types)
    return side(replace(server, store=store), plain)


def side(server: Server, caller: Caller) -> Side:
    """A store with an endpoint of its own, at which everyone is the caller."""

    async def who(server: Server, headers: Headers, interaction: str) -> Caller:
        return caller

    endpoint = FhirEndpoint(INTERACTIONS, who)
    endpoint.server, endpoint._looked = server, float("inf")
    return Side(server, caller, endpoint)


async def asked(side: Side, call: Call) -> tuple[int, bytes]:
    """Status and body, without a socket."""
    method, target, headers, body = call
    path, _, query = target.partition("?")
    scope: Any = {"type": "http", "method": method, "path": f"/fhir/{path}", "query_string": query.encode(),
                  "headers": list(headers.items())}  # fmt: skip
    told: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        told.append(message)

    await side.endpoint(scope, receive, send)
    return told[0]["status"], told[1]["body"]


def compared(answer: tuple[int, bytes]) -> tuple[int, bytes]:
    return answer[0], TOKEN.sub(b"_page=", answer[1])


def next_of(answer: tuple[int, bytes], base: str) -> str | None:
    links = decode(answer[1]).get("link", ()) if answer[0] == 200 else ()
    found = [link["url"].removeprefix(base + "/") for link in links if link["relation"] == "next"]
    return found[0] if found else None


async def exported(side: Side, level: str) -> list[tuple[str, bytes]]:
    """The files of an export of all that the caller has scopes for."""
    server, caller, id = side.server, side.caller, uuid4().hex
    kinds = kinds_of(server.definitions, level)
    types = (*kinds.first, *kinds.referenced, *kinds.last)
    wish = Wish(level, tuple(type for type in types if caller.may(type, "s") and caller.may(type, "r")))
    job = Export(caller.id, "", wish, 0, server.clock() + 10**12)
    # It is not among those that wait for a process.
    await server.store.put_state(EXPORTS.key(id), msgspec.json.encode(job), 0)
    kept = await EXPORTS.read(server, id)
    assert kept is not None
    job = kept[0]
    await Writing(server, caller, Lease(server, EXPORTS.key(id), *kept), job, id, nobody_waits).perform()
    files = [(file.type, (folder_of(server, id) / file.name).read_bytes()) for file in job.files]
    await EXPORTS.drop(server, id)
    await remove(server, id)
    return files


def is_backend(caller: Caller) -> bool:
    """Whether the caller may export."""
    return caller.grant is not None and all(scope.startswith("system/") for scope in caller.grant.scopes)


async def nobody_waits() -> None:
    """There is one export at a time."""


@pytest.mark.timeout(deep(300, 5400))
@pytest.mark.parametrize("piece", range(PIECES))
def test_hidden_is_removed(client: Client, full: Server, piece: int) -> None:
    random = Random(f"isolation {piece}")
    generator = Generator(full.definitions, piece)
    statuses: dict[int, int] = {}
    exports = 0
    entries: dict[bytes, tuple[Entry, ...]] = {}

    async def one_caller() -> None:
        nonlocal exports
        caller = await caller_for(full, grants(random))
        whole, removed = side(full, caller), await reduced(full, caller, entries)
        for _ in range(REQUESTS):
            call = requests(random, generator)
            first, second = await asked(whole, call), await asked(removed, call)
            assert compared(first) == compared(second), (caller.grant, call)
            statuses[first[0]] = statuses.get(first[0], 0) + 1
            for _ in range(2):
                links = next_of(first, full.settings.base), next_of(second, full.settings.base)
                if links[0] is None or links[1] is None:
                    break
                first, second = [
                    await asked(one, ("GET", link, {}, b"")) for one, link in zip((whole, removed), links, strict=True)
                ]
                assert compared(first) == compared(second), (caller.grant, call, "next page")
        if piece == 0 and exports < EXPORTERS and is_backend(caller):
            exports += 1
            for level in ("system", "patient"):
                assert await exported(whole, level) == await exported(removed, level), (caller.grant, level)
        await removed.server.store.close()

    for _ in range(CALLERS):
        client.run(one_caller())
    assert statuses[200] > CALLERS * REQUESTS // 10, statuses
    assert {403, 404} <= statuses.keys(), statuses
    assert exports == EXPORTERS or piece
    assert all(status < 500 for status in statuses), statuses
