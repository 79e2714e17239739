"""Conditional interactions of many clients at once over two worker processes. https://hl7.org/fhir/R4/http.html#cond-update"""

import asyncio
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.serving import served

DEEP = bool(os.environ.get("FHIR_SERVER_DEEP_TESTS"))
CLIENTS = 64
ROUNDS = 200 if DEEP else 1
OFTEN = ("create", "update")  # these race in every round, the other kinds in each tenth
CLIMBERS = 32 if DEEP else 16  # clients that raise one counter: tries grow with the square of their number
PATIENT = {"resourceType": "Patient"}
pytestmark = pytest.mark.timeout(3600 if DEEP else 240)


@pytest.fixture
def base(store_url: str) -> Iterator[str]:
    with served(store_url, "--workers", "2", FHIR_SERVER_ACCESS_LOG="false") as server:
        yield server.base


class Crowd:
    """Clients with a connection each; a request that is answered 409 or 503 is sent again, as the answer says."""

    def __init__(self, base: str) -> None:
        limits = httpx2.Limits(max_connections=CLIENTS, max_keepalive_connections=CLIENTS)
        self.http = httpx2.AsyncClient(base_url=base, timeout=60, limits=limits)
        self.again: Counter[int] = Counter()

    async def __call__(self, method: str, path: str, json_: Any = None, **headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        deadline = time.monotonic() + 60
        while True:
            body = json.dumps(json_) if json_ is not None else None
            kind = {"content-type": "application/fhir+json"} if body and "content-type" not in sent else {}
            answer = await self.http.request(method, "/" + path, content=body, headers={**sent, **kind})
            if answer.status_code not in (409, 503):
                assert answer.status_code < 500, answer.text
                return answer
            assert answer.status_code == 409 or "retry-after" in answer.headers
            assert time.monotonic() < deadline, answer.text
            self.again[answer.status_code] += 1
            await asyncio.sleep(0.05)

    async def all(self, *calls: Any) -> list[httpx2.Response]:
        return await asyncio.gather(*calls)

    async def found(self, query: str) -> list[dict[str, Any]]:
        bundle = (await self("GET", query)).json()
        return [entry["resource"] for entry in bundle.get("entry", ())]


def statuses(answers: list[httpx2.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def identified(value: str, **more: Any) -> dict[str, Any]:
    return {**PATIENT, "identifier": [{"system": "urn:race", "value": value}], **more}


def phone(number: int) -> list[dict[str, str]]:
    return [{"system": "phone", "value": str(number)}]


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


async def create_once(crowd: Crowd, name: str) -> None:
    calls = (crowd("POST", "Patient", identified(name), if_none_exist=f"identifier=urn:race|{name}")
             for _ in range(CLIENTS))  # fmt: skip
    answers = await crowd.all(*calls)
    assert statuses(answers) == {201: 1, 200: CLIENTS - 1}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(await crowd.found(f"Patient?identifier=urn:race|{name}")) == 1


async def update_all(crowd: Crowd, name: str) -> None:
    calls = (crowd("PUT", f"Patient?identifier=urn:race|{name}", identified(name, telecom=phone(number)))
             for number in range(CLIENTS))  # fmt: skip
    answers = await crowd.all(*calls)
    assert statuses(answers) == {201: 1, 200: CLIENTS - 1}
    assert sorted(answer.json()["meta"]["versionId"] for answer in answers) == sorted(
        str(version) for version in range(1, CLIENTS + 1)
    )
    assert len(await crowd.found(f"Patient?identifier=urn:race|{name}")) == 1
    id = answers[0].json()["id"]
    versions = await crowd.found(f"Patient/{id}/_history?_count=1000")
    assert {one["telecom"][0]["value"] for one in versions} == {str(number) for number in range(CLIENTS)}


async def patch_all(crowd: Crowd, name: str) -> None:
    await crowd("POST", "Patient", identified(name, telecom=phone(-1)))
    kind = "application/json-patch+json"
    answers = await crowd.all(
        *(
            crowd(
                "PATCH",
                f"Patient?identifier=urn:race|{name}",
                [{"op": "add", "path": "/telecom/-", "value": phone(number)[0]}],
                **{"content-type": kind},
            )
            for number in range(CLIENTS)
        )
    )
    assert statuses(answers) == {200: CLIENTS}
    (patient,) = await crowd.found(f"Patient?identifier=urn:race|{name}")
    assert sorted(int(one["value"]) for one in patient["telecom"]) == list(range(-1, CLIENTS))


async def delete_once(crowd: Crowd, name: str) -> None:
    made = await crowd("POST", "Patient", identified(name))
    answers = await crowd.all(
        *(crowd("DELETE", f"Patient?identifier=urn:race|{name}") for _ in range(CLIENTS)),
    )
    assert statuses(answers) == {204: CLIENTS}
    history = (await crowd("GET", f"Patient/{made.json()['id']}/_history")).json()
    assert [entry["request"]["method"] for entry in history["entry"]] == ["DELETE", "POST"]


async def create_in_bundles(crowd: Crowd, name: str) -> None:
    """A conditional create with an Observation that refers to it, and one that refers to it by search."""
    criteria = f"identifier=urn:race|{name}"
    seen = {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "urn:c", "code": name}]}}
    bundle = transaction(
        {"fullUrl": "urn:uuid:6d7f3b2e-0000-4000-8000-000000000001", "resource": identified(name),
         "request": {"method": "POST", "url": "Patient", "ifNoneExist": criteria}},
        {"resource": {**seen, "subject": {"reference": "urn:uuid:6d7f3b2e-0000-4000-8000-000000000001"}},
         "request": {"method": "POST", "url": "Observation"}},
        {"resource": {**seen, "subject": {"reference": f"Patient?{criteria}"}},
         "request": {"method": "POST", "url": "Observation"}},
    )  # fmt: skip
    answers = await crowd.all(*(crowd("POST", "", bundle) for _ in range(CLIENTS)))
    assert statuses(answers) == {200: CLIENTS}
    first = Counter(answer.json()["entry"][0]["response"]["status"] for answer in answers)
    assert first == {"201": 1, "200": CLIENTS - 1}
    (patient,) = await crowd.found(f"Patient?{criteria}")
    subjects = [one["subject"]["reference"] for one in await crowd.found(f"Observation?code=urn:c|{name}&_count=1000")]
    assert subjects == [f"Patient/{patient['id']}"] * (2 * CLIENTS)


async def update_in_bundles(crowd: Crowd, name: str) -> None:
    def bundle(number: int) -> dict[str, Any]:
        resource = identified(name, telecom=phone(number))
        return transaction(
            {"resource": resource, "request": {"method": "PUT", "url": f"Patient?identifier=urn:race|{name}"}}
        )

    answers = await crowd.all(*(crowd("POST", "", bundle(number)) for number in range(CLIENTS)))
    assert statuses(answers) == {200: CLIENTS}
    entries = [answer.json()["entry"][0]["response"] for answer in answers]
    assert Counter(one["status"] for one in entries) == {"201": 1, "200": CLIENTS - 1}
    assert len({one["etag"] for one in entries}) == CLIENTS
    (patient,) = await crowd.found(f"Patient?identifier=urn:race|{name}")
    versions = await crowd.found(f"Patient/{patient['id']}/_history?_count=1000")
    assert {one["telecom"][0]["value"] for one in versions} == {str(number) for number in range(CLIENTS)}


async def count_up(crowd: Crowd, name: str, bundled: bool) -> None:
    """Each client adds one to a number it has read, under If-Match, until it is taken."""
    path = f"Patient/{(await crowd('POST', 'Patient', identified(name, multipleBirthInteger=0))).json()['id']}"

    async def add_one() -> None:
        while True:
            read = await crowd("GET", path)
            raised = {**read.json(), "multipleBirthInteger": read.json()["multipleBirthInteger"] + 1}
            etag = read.headers["etag"]
            if bundled:
                entry = {"resource": raised, "request": {"method": "PUT", "url": path, "ifMatch": etag}}
                answer = await crowd("POST", "", transaction(entry))
            else:
                answer = await crowd("PUT", path, raised, if_match=etag)
            if answer.status_code == 200:
                return
            assert answer.status_code == 412, answer.text

    await asyncio.gather(*(add_one() for _ in range(CLIMBERS)))
    last = (await crowd("GET", path)).json()
    assert (last["multipleBirthInteger"], last["meta"]["versionId"]) == (CLIMBERS, str(CLIMBERS + 1))


KINDS = {
    "create": create_once,
    "update": update_all,
    "patch": patch_all,
    "delete": delete_once,
    "create-in-bundles": create_in_bundles,
    "update-in-bundles": update_in_bundles,
    "count": lambda crowd, name: count_up(crowd, name, False),
    "count-in-bundles": lambda crowd, name: count_up(crowd, name, True),
}


async def test_conditional_interactions_of_many_clients_over_two_processes(base: str) -> None:
    crowd = Crowd(base)
    try:
        for round in range(ROUNDS):
            for kind in OFTEN if round % 10 else KINDS:
                began = time.monotonic()
                await KINDS[kind](crowd, quote(f"{kind}-{round}"))
                print(
                    f"round {round} {kind}: {time.monotonic() - began:.2f} s, sent again {dict(crowd.again)}",
                    flush=True,
                )
                crowd.again.clear()
        assert await processes(base) == 2, "the race was run in one process"
    finally:
        await crowd.http.aclose()
        await asyncio.sleep(0.1)  # the sockets are closed in the loop's next turns


async def processes(base: str) -> int:
    """How many worker processes have answered: each counts its own requests."""
    seen = set()
    for _ in range(50):
        async with httpx2.AsyncClient() as fresh:
            text = (await fresh.get(base.removesuffix("/fhir") + "/metrics")).text
        begun = re.search(r'fhir_request_seconds_created\{interaction="create",status="200"\} (\S+)', text)
        seen.add(begun[1] if begun else "")
        if len(seen) == 2:
            break
    return len(seen)
