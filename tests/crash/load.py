"""Clients that write without pause, and keep what was acknowledged to them."""

import asyncio
import itertools
import json
from typing import Any

import httpx2

WRITERS = 4


class Load:
    """Transactions, conditional creates and conditional updates over HTTP, numbered from `start`."""

    def __init__(self, base: str, start: int) -> None:
        self.base = base
        self.numbers = itertools.count(start)
        self.transactions: dict[int, list[tuple[str, int]]] = {}
        self.others: list[tuple[str, str, int, str]] = []  # type, id, version and the value written
        self.stopped = False
        self.pending: set[str] = set()  # creates that were never answered: whoever sends them again makes no second

    async def run(self) -> None:
        """Write until `stopped` or until nobody answers any more."""
        self.stopped = False
        async with httpx2.AsyncClient(base_url=self.base, timeout=30) as http:
            for value in sorted(self.pending):
                await self.create(http, value)
            ends = await asyncio.gather(*(self.writer(http) for _ in range(WRITERS)), return_exceptions=True)
        for end in ends:
            if end is not None and not isinstance(end, httpx2.TransportError):
                raise end

    async def writer(self, http: httpx2.AsyncClient) -> None:
        while not self.stopped:
            number = next(self.numbers)
            await self.transaction(http, number)
            await self.create(http, str(number))
            await self.update(http, number)

    async def transaction(self, http: httpx2.AsyncClient, number: int) -> None:
        """One new Basic, and two that others write too: all three or none."""
        entries = [
            {"resource": {"resourceType": "Basic", "id": id, "code": {"coding": [{"system": "group",
                "code": str(number)}]}},
             "request": {"method": "PUT", "url": f"Basic/{id}"}}
            for id in (f"n{number}", f"a{number % 5}", f"b{number % 5}")
        ]  # fmt: skip
        answer = await send(http, "POST", "/", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
        if answer.status_code == 200:
            written = [entry["response"]["location"].split("/") for entry in answer.json()["entry"]]
            self.transactions[number] = [(parts[-3], int(parts[-1])) for parts in written]

    async def create(self, http: httpx2.AsyncClient, value: str) -> None:
        """A conditional create, which may have been done before."""
        self.pending.add(value)
        body = {
            "resourceType": "Patient",
            "identifier": [{"system": "urn:crash", "value": value}],
            "name": [{"text": value}],
        }
        answer = await send(http, "POST", "/Patient", body, **{"if-none-exist": f"identifier=urn:crash|{value}"})
        self.keep(answer, "Patient", value)
        if answer.is_success:
            self.pending.discard(value)

    async def update(self, http: httpx2.AsyncClient, number: int) -> None:
        """A conditional update of one of five resources that all writers write."""
        value = f"k{number % 5}"
        body = {
            "resourceType": "Device",
            "identifier": [{"system": "urn:crash", "value": value}],
            "note": [{"text": str(number)}],
        }
        answer = await send(http, "PUT", f"/Device?identifier=urn:crash|{value}", body)
        self.keep(answer, "Device", str(number))

    def keep(self, answer: httpx2.Response, type: str, value: str) -> None:
        if answer.is_success:
            meta = answer.json()
            self.others.append((type, meta["id"], int(meta["meta"]["versionId"]), value))

    def acknowledged(self) -> int:
        """How many writes were acknowledged so far."""
        return len(self.transactions) + len(self.others)


async def send(http: httpx2.AsyncClient, method: str, path: str, body: Any, **headers: str) -> httpx2.Response:
    """One request; a refusal must be one of those that ask to come again."""
    headers["content-type"] = "application/fhir+json"
    answer = await http.request(method, path, content=json.dumps(body), headers=headers)
    if answer.status_code >= 400:
        assert answer.status_code in (409, 503), answer.text
        await asyncio.sleep(0.05)
    return answer
