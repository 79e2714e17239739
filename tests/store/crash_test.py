"""`kill -9` under write load: what was acknowledged is there, nothing is half there, index and history agree."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhir_server.store import open_store
from fhir_server.store.seam import Change, Tx
from tests.crash.checks import CODE, check
from tests.deep import deep

KILLS = deep(4, 20)


async def write_forever(url: str, start: int) -> None:
    """The child: four writers, each transaction one new resource and two updates; prints what was acknowledged."""
    store = await open_store(url)
    numbers = iter(range(start, start + 10**9))

    async def writer() -> None:
        for number in numbers:

            async def work(tx: Tx, number: int = number) -> list[tuple[str, int]]:
                done = []
                for id in (f"n{number}", f"a{number % 5}", f"b{number % 5}"):
                    now = await tx.read("Basic", id)
                    version = now.version + 1 if now else 1
                    code = {"coding": [{"system": "group", "code": str(number)}]}
                    body = json.dumps({"resourceType": "Basic", "id": id, "code": code}).encode()
                    await tx.write(Change("Basic", id, version, number, "PUT", body, ((CODE, "group", str(number)),)))
                    done.append((id, version))
                return done

            print(json.dumps([number, await store.transact(work)]), flush=True)

    await asyncio.gather(*(writer() for _ in range(4)))


@pytest.mark.timeout(110 + 10 * KILLS)
async def test_acknowledged_writes_survive_and_nothing_is_half_written(store_url: str, tmp_path: Path) -> None:
    acknowledged: dict[int, list[tuple[str, int]]] = {}
    start = 1
    for seed in range(KILLS):
        command = [sys.executable, "-c", f"import asyncio; from tests.store.crash_test import write_forever; "
                   f"asyncio.run(write_forever({store_url!r}, {start}))"]  # fmt: skip
        output = tmp_path / f"acknowledged-{seed}"
        with output.open("wb") as file:
            child = subprocess.Popen(command, stdout=file, cwd=Path(__file__).parents[2])  # noqa: ASYNC220
            deadline = time.monotonic() + 60
            while output.stat().st_size < 2_000 and time.monotonic() < deadline:
                assert child.poll() is None
                await asyncio.sleep(0.01)
            await asyncio.sleep(random.Random(seed).random() * 0.5)
            child.send_signal(signal.SIGKILL)
            child.wait()
        lines = output.read_bytes().split(b"\n")[:-1]  # the last piece may be cut short
        acknowledged |= {number: [(id, version) for id, version in done] for number, done in map(json.loads, lines)}
        store = await open_store(store_url)
        start = await check(store, acknowledged)
        await store.close()
    assert len(acknowledged) > 20 * KILLS
