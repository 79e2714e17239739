"""Bundles of hundreds of entries from many clients at once: whole or not at all. https://hl7.org/fhir/R4/http.html#transaction"""

import asyncio
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fhir_server.admission import SMALL, Admission
from fhir_server.store.seam import Busy
from tests.client import Client, refusal
from tests.serving import served

DEEP = bool(os.environ.get("FHIR_SERVER_DEEP_TESTS"))
CLIENTS, ENTRIES = 20, 800 if DEEP else 100
SHARED = 5  # resources that all clients' bundles write
TEXT = "x" * 400  # so that a bundle of the sample is large, too


def bundle(client: int, wave: int) -> dict[str, Any]:
    """Patients of its own, Observations about them, and some that every other bundle writes too."""
    name = f"c{client}w{wave}"
    entries = []
    for number in range(ENTRIES - SHARED):
        urn = f"urn:uuid:00000000-0000-4000-8000-{number - number % 4:012d}"
        if number % 4 == 0:
            family = [{"family": f"{name}n{number}"}]
            patient = {"resourceType": "Patient", "identifier": [{"system": "urn:b", "value": name}], "name": family}
            entries.append({"fullUrl": urn, "resource": patient, "request": {"method": "POST", "url": "Patient"}})
        else:
            seen = {"resourceType": "Observation", "status": "final", "subject": {"reference": urn},
                    "code": {"coding": [{"system": "urn:b", "code": name}], "text": TEXT}}  # fmt: skip
            entries.append({"resource": seen, "request": {"method": "POST", "url": "Observation"}})
    for number in range(SHARED):
        basic = {"resourceType": "Basic", "id": f"shared{number}", "code": {"text": name}}
        entries.append({"resource": basic, "request": {"method": "PUT", "url": f"Basic/shared{number}"}})
    random.Random(name).shuffle(entries)
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def wave(base: str, number: int) -> Counter[int]:
    """Every client sends one bundle; afterwards all of it is there, or nothing."""
    committed: Counter[int] = Counter()
    async with httpx2.AsyncClient(base_url=base, timeout=100) as http:

        async def send(client: int) -> tuple[str, int]:
            body = json.dumps(bundle(client, number))
            answer = await http.post("/", content=body, headers={"content-type": "application/fhir+json"})
            assert answer.status_code in (200, 409, 503), answer.text
            if answer.status_code == 200:
                assert Counter(one["response"]["status"] for one in answer.json()["entry"])["201"] >= ENTRIES - SHARED
            assert answer.status_code != 503 or int(answer.headers["retry-after"]) >= 1
            return f"c{client}w{number}", answer.status_code

        for name, code in await asyncio.gather(*(send(client) for client in range(CLIENTS))):
            committed[code] += 1
            patients = (await http.get(f"/Patient?identifier=urn:b|{name}&_summary=count")).json()["total"]
            seen = (await http.get(f"/Observation?code=urn:b|{name}&_summary=count")).json()["total"]
            assert patients + seen == (ENTRIES - SHARED if code == 200 else 0), (name, code)
        texts = set()
        for one in range(SHARED):
            read = (await http.get(f"/Basic/shared{one}")).json()
            texts.add(read["code"]["text"])
        assert len(texts) == 1, "shared resources are of different bundles"
    await asyncio.sleep(0.1)  # the sockets are closed in the loop's next turns
    return committed


def memory(pid: int) -> int:
    """The most memory that a process ever had, in MB; 0 where the system does not tell."""
    status = Path(f"/proc/{pid}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM")), 0)


@pytest.mark.timeout(600 if DEEP else 150)
async def test_many_clients_with_large_transactions(store_url: str) -> None:
    room = "4000000" if DEEP else "200000"  # about five bundles at a time
    with served(store_url, FHIR_SERVER_ACCESS_LOG="false", FHIR_SERVER_BODY_ROOM=room) as server:
        most = []
        for number in range(3 if DEEP else 2):
            began = time.monotonic()
            committed = await wave(server.base, number)
            most.append(memory(server.process.pid))
            print(f"wave {number}: {dict(committed)} in {time.monotonic() - began:.1f} s, at most {most[-1]} MB")
            assert committed[200] >= 1
        assert most[-1] <= most[0] * 1.25 + 30, "memory grows with every wave"


def test_a_bundle_of_too_many_entries_is_refused(client: Client) -> None:
    entry = {"request": {"method": "GET", "url": "Patient"}}
    for type in ("batch", "transaction"):
        answer = client("POST", "", {"resourceType": "Bundle", "type": type, "entry": [entry] * 10_001})
        assert answer.status_code == 413
        assert "10000" in refusal(answer)["diagnostics"]


async def test_room_is_given_in_turn_and_the_line_has_an_end() -> None:
    admission, size = Admission(3 * SMALL, 4 * SMALL), 2 * SMALL
    entered: list[int] = []

    async def work(number: int, seconds: float) -> None:
        async with admission.room(size):
            entered.append(number)
            await asyncio.sleep(seconds)

    first = asyncio.create_task(work(0, 0.05))
    await asyncio.sleep(0)
    second, third = asyncio.create_task(work(1, 0)), asyncio.create_task(work(2, 0))
    await asyncio.sleep(0)
    with pytest.raises(Busy):
        await work(3, 0)
    async with admission.room(SMALL):  # small bodies pass by
        assert entered == [0]
    await asyncio.gather(first, second, third)
    assert entered == [0, 1, 2]
    async with admission.room(10**9):  # larger than the room: it has it to itself
        pass


async def test_who_gives_up_waiting_leaves_the_room_as_it_was() -> None:
    admission = Admission(2 * SMALL, 100 * SMALL)
    choose = random.Random(5)

    async def work() -> None:
        async with admission.room(choose.randrange(SMALL, 2 * SMALL) + 1):
            await asyncio.sleep(choose.random() / 100)

    tasks = [asyncio.create_task(work()) for _ in range(60)]
    for task in tasks:
        await asyncio.sleep(choose.random() / 200)
        if choose.random() < 0.5:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    held = admission.room(2 * SMALL, patience=0.01)
    async with held:  # all of it is free again
        with pytest.raises(Busy):
            async with admission.room(2 * SMALL, patience=0.01):
                pass


async def test_who_waits_too_long_is_told() -> None:
    admission = Admission(2 * SMALL)
    async with admission.room(2 * SMALL):
        with pytest.raises(Busy):
            async with admission.room(2 * SMALL, patience=0.01):
                pass
