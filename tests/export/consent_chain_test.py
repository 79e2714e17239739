"""A chain of exports follows what participants permit: newly permitted data come whole, hidden ones are `deleted`.

https://hl7.org/fhir/uv/bulkdata/STU2/export.html#query-parameters
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fhir_server.settings import Settings
from tests.access.consent_http_test import GERMLINE
from tests.access.statements_world import GE
from tests.auth.door import BASE
from tests.deep import deep
from tests.export.conftest import observation, patient
from tests.export.rights_test import Registry, exported

REASON = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}
WITHOUT_IDENTITY = {"system": "http://terminology.hl7.org/CodeSystem/consentcategorycodes", "code": "rsdid"}
TYPES = "_type=Patient,Observation"
PEOPLE = 6
Held = dict[tuple[str, str], dict[str, Any]]


def consent(id: str, of: str, status: str = "active", category: Any = None, **more: Any) -> dict[str, Any]:
    """A Consent to research with all data of a patient."""
    return {
        "resourceType": "Consent", "id": id, "status": status, "patient": {"reference": f"Patient/{of}"},
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
        "category": [{"coding": [category or {"system": "http://loinc.org", "code": "59284-0"}]}],
        "dateTime": "2026-01-01", "policy": [{"uri": "https://example.org/policy"}],
        "provision": {"type": "permit", "purpose": [REASON], **more},
    }  # fmt: skip


@pytest.fixture
def registry(store_url: str, tmp_path: Path) -> Iterator[Registry]:
    """Six patients with Observations, of whom nobody has said anything yet."""
    folder = str(tmp_path / "exports")
    opened = Registry(
        Settings(store=store_url, base_url=BASE, auth="smart", access_log=False, rate_limit=0, export_folder=folder)
    )
    opened.backend("ehr", ("system/*.cruds",), role="ehr")
    opened.backend("scientist", ("system/*.rs",), role="researcher")
    held = opened.bearer("ehr", "system/*.cruds")
    for number in range(PEOPLE):
        assert opened("PUT", f"Patient/p{number}", patient(f"p{number}", gender="other"), headers=held).is_success
        made = observation(f"o{number}", f"p{number}")
        assert opened("PUT", f"Observation/o{number}", made, headers=held).is_success
    yield opened
    opened.close()


def lines(registry: Registry, items: Any, held: dict[str, str]) -> list[dict[str, Any]]:
    """What the files hold; a file of one whose permit has ended since is refused, and comes again with the next."""
    found = []
    for item in items:
        answer = registry("GET", item["url"].removeprefix(f"{BASE}/"), headers=held)
        if answer.status_code == 410:
            raise Withdrawn
        assert answer.status_code == 200, answer.text
        found += [json.loads(line) for line in answer.text.splitlines()]
    return found


class Withdrawn(Exception):
    """A file holds what is not permitted any more."""


def follow(registry: Registry, held: Held, since: str, path: str = "$export") -> tuple[str, set[str], set[str]]:
    """Bring a copy up to date; returns the transactionTime, what was taken away and what was brought."""
    token = registry.bearer("scientist", "system/*.rs")
    _, manifest = exported(registry, f"{path}?{TYPES}" + (f"&_since={since}" if since else ""), token)
    bundles = lines(registry, manifest.get("deleted", ()), token)
    gone = {entry["request"]["url"] for bundle in bundles for entry in bundle["entry"]}
    rows = lines(registry, manifest["output"], token)
    found = {(row["resourceType"], row["id"]): row for row in rows}
    assert len(found) == len(rows)
    told = {f"{type}/{id}" for type, id in found}
    assert gone.isdisjoint(told)
    for name in gone:
        type, _, id = name.partition("/")
        held.pop((type, id), None)
    held.update(found)
    return manifest["transactionTime"], gone, told


def test_what_is_permitted_since_comes_whole_and_what_is_hidden_since_is_deleted(registry: Registry) -> None:
    ehr, held = registry.bearer("ehr", "system/*.cruds"), Held()
    since, gone, told = follow(registry, held, "")
    assert (gone, told) == (set(), set())
    assert registry("PUT", "Consent/c", consent("c", "p0"), headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == (set(), {"Patient/p0", "Observation/o0"})
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == (set(), set())  # nothing has changed
    # Moved to another who permits nothing, and the rest hidden by a revocation: neither leaves a trace but the names.
    moved = observation("o0", "p1")
    assert registry("PUT", "Observation/o0", moved, headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == ({"Observation/o0"}, set())
    assert registry("PUT", "Consent/c", consent("c", "p0", "inactive"), headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == ({"Patient/p0"}, set())
    assert held == {}
    # Given and taken back between two exports: the client never had it, though it may have.
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == (set(), set())
    # Without identity: under other names; then with: the other names are taken away.
    assert registry("PUT", "Consent/c", consent("c", "p0", category=WITHOUT_IDENTITY), headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    (other,) = told
    assert gone == set()
    assert other != "Patient/p0"
    assert registry("PUT", "Consent/c", consent("c", "p0"), headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == ({other}, {"Patient/p0"})
    assert registry("DELETE", "Patient/p0", headers=ehr).status_code in (200, 204)
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == ({"Patient/p0"}, set())


def test_who_never_permitted_is_not_named(registry: Registry) -> None:
    ehr, held = registry.bearer("ehr", "system/*.cruds"), Held()
    since, _, _ = follow(registry, held, "")
    deny = consent("c", "p2") | {"provision": {"type": "deny"}}
    assert registry("PUT", "Consent/c", deny, headers=ehr).is_success
    assert registry("DELETE", "Observation/o2", headers=ehr).status_code in (200, 204)
    _, gone, told = follow(registry, held, since)
    assert (gone, told) == (set(), set())


def report(*results: str, genomic: bool = True, of: str = "p0") -> dict[str, Any]:
    """A DiagnosticReport, not finished, that lists Observations."""
    made = {
        "resourceType": "DiagnosticReport", "id": "rep", "status": "registered", "code": {"text": "Report"},
        "subject": {"reference": f"Patient/{of}"},
    }  # fmt: skip
    made |= {"category": [GE]} if genomic else {}
    return made | ({"result": [{"reference": f"Observation/{one}"} for one in results]} if results else {})


def test_what_a_report_makes_genomic_is_deleted_where_that_is_denied(registry: Registry) -> None:
    """Neither the Observation nor any Consent was changed."""
    ehr, held = registry.bearer("ehr", "system/*.cruds"), Held()

    def put(resource: dict[str, Any]) -> None:
        answer = registry("PUT", f"{resource['resourceType']}/{resource['id']}", resource, headers=ehr)
        assert answer.is_success, answer.text

    put(consent("c", "p0", provision=[GERMLINE]))
    put(consent("c1", "p1"))
    put(report("o1", of="p1"))
    put(observation("more", "p0"))
    since, gone, told = follow(registry, held, "")
    assert (gone, told) == (set(), {"Patient/p0", "Patient/p1", "Observation/o0", "Observation/o1", "Observation/more"})
    before = since
    put(report("o0"))
    since, gone, told = follow(registry, held, since)
    assert gone == {"Observation/o0"}
    assert "Observation/o0" not in told
    for change, back in ((report("more"), ({"Observation/more"}, {"Observation/o0"})),
                         (report("more", genomic=False), (set(), {"Observation/more"})),
                         (report("o0", "more"), ({"Observation/o0", "Observation/more"}, set())),
                         (report(), (set(), {"Observation/o0", "Observation/more"}))):  # fmt: skip
        put(change)
        since, gone, told = follow(registry, held, since)
        assert gone == back[0], change
        assert told >= back[1], change
    follow(registry, held, before)  # given, taken and given again: all that is permitted is there
    fresh = Held()
    follow(registry, fresh, "")
    assert held == fresh
    since, gone, told = follow(registry, held, since)
    put(report("o0"))
    assert registry("DELETE", "Observation/o0", headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    assert gone == {"Observation/o0"}
    # What was hidden all the time is not named, though it was listed anew.
    put({**report("more"), "id": "other"})
    since, gone, told = follow(registry, held, since)
    put(report("more"))
    put({**report("more"), "id": "other", "language": "de"})
    since, gone, told = follow(registry, held, since)
    assert (gone, "Observation/more" in told) == (set(), False)


def test_patients_who_become_one_person_are_bound_by_what_each_said(registry: Registry) -> None:
    ehr, held = registry.bearer("ehr", "system/*.cruds"), Held()
    assert registry("PUT", "Consent/c3", consent("c3", "p3"), headers=ehr).is_success
    deny = consent("c4", "p4") | {"provision": {"type": "deny"}}
    assert registry("PUT", "Consent/c4", deny, headers=ehr).is_success
    since, _, told = follow(registry, held, "")
    assert told == {"Patient/p3", "Observation/o3"}
    link = [{"other": {"reference": "Patient/p3"}, "type": "seealso"}]
    assert registry("PUT", "Patient/p4", patient("p4", link=link), headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == ({"Patient/p3", "Observation/o3"}, set())
    assert registry("PUT", "Patient/p4", patient("p4"), headers=ehr).is_success
    since, gone, told = follow(registry, held, since)
    assert (gone, told) == (set(), {"Patient/p3", "Observation/o3"})


class Life:
    """What happens meanwhile: Consents are given, limited and withdrawn, data come, change, move and go."""

    def __init__(self, registry: Registry, random: Random, held: dict[str, str]) -> None:
        self.registry, self.random, self.held = registry, random, held
        self.stopped, self.number, self.edge = False, 0, 0.0

    async def go_on(self) -> None:
        """Until stopped."""
        while not self.stopped:
            self.number += 1
            await self.act()
            await asyncio.sleep(self.random.random() / 5)

    async def act(self) -> None:
        """One thing."""
        random, id = self.random, f"{self.random.randrange(PEOPLE)}"
        match random.choice(["consent", "consent", "data", "data", "delete", "link", "report"]):
            case "consent":
                made = self.said(id)
            case "data":
                of = f"p{random.randrange(PEOPLE)}"
                made = observation(f"o{random.randrange(9)}", of, language=f"x-{self.number}")
                if random.random() < 0.3:
                    made["performer"] = [{"reference": f"Patient/p{random.randrange(PEOPLE)}"}]
            case "delete":
                await self.registry.http.delete(f"/fhir/Observation/o{random.randrange(9)}", headers=self.held)
                return
            case "report":
                listed = [f"o{random.randrange(9)}" for _ in range(random.randrange(3))]
                made = report(*listed, genomic=random.random() < 0.8, of=f"p{id}") | {"id": f"r{random.randrange(3)}"}
            case _:
                other = {"other": {"reference": f"Patient/p{random.randrange(PEOPLE)}"}, "type": "seealso"}
                made = patient(f"p{id}", gender="other", **({"link": [other]} if random.random() < 0.3 else {}))
        where = f"/fhir/{made['resourceType']}/{made['id']}"
        await self.registry.http.put(where, json=made, headers=self.held)

    def said(self, id: str) -> dict[str, Any]:
        """A Consent of someone, perhaps for a moment only."""
        random = self.random
        category = WITHOUT_IDENTITY if random.random() < 0.3 else None
        made = consent(f"c{id}", f"p{id}", random.choice(["active", "active", "inactive"]), category)
        if random.random() < 0.3:
            kind = {"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}
            made["provision"]["provision"] = [{"type": "deny", "class": [kind]}]
        if random.random() < 0.3:
            made["provision"].setdefault("provision", []).append(GERMLINE)
        if random.random() < 0.3:
            self.edge = max(self.edge, time.time() + random.random())
            until = datetime.fromtimestamp(self.edge, UTC) + timedelta(milliseconds=1)
            side = random.choice(["start", "end"])
            made["provision"]["period"] = {side: until.isoformat(timespec="milliseconds")}
        return made


@pytest.mark.timeout(deep(120, 3600))
def test_a_chain_of_exports_is_what_is_permitted(registry: Registry) -> None:
    """After each story the copy is what a first export now holds, whatever happened while the files were written."""
    for run in range(deep(1, 100)):
        life = Life(registry, Random(f"consent {run}"), registry.bearer("ehr", "system/*.cruds"))
        tasks = [registry.loop.create_task(life.go_on()) for _ in range(2)]
        held, since = Held(), ""
        for _ in range(4):
            with contextlib.suppress(Withdrawn):  # the client asks again from where it was
                since, _, _ = follow(registry, held, since)
        life.stopped = True
        registry.run(asyncio.wait_for(asyncio.gather(*tasks), 30))
        registry.run(asyncio.sleep(max(0.0, life.edge - time.time()) + 0.01))  # what ends by itself has ended
        follow(registry, held, since)
        fresh = Held()
        follow(registry, fresh, "")
        assert held == fresh
        assert life.number > 5
