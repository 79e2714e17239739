"""What the audit trail costs: reads with a token, audited or not, beside reads in open mode of the same run.

    python -m bench.auditing            # SQLite; with --mongo MongoDB too

Then accesses to many patients for a minute, to see that the fold keeps up with what is journalled.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import corpus, machine
from bench.process import Running, ask, fhir_server
from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.audit.journal import PREFIX
from fhir_server.auth.clients import register
from fhir_server.auth.records import Authorization, Client
from fhir_server.auth.tokens import authorize, issue
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.update import update
from fhir_server.search.predicate import EVERYTHING
from fhir_server.settings import Settings
from fhir_server.store.seam import Query

PATIENTS = 2000
ROUNDS = 5
SCOPES = ("system/*.cruds",)


async def prepared(store: str) -> str:
    """Fill a store with patients who have an Observation each; returns an access token for them."""
    async with open_server(Settings(store=store, auth="smart")) as server:
        for number in range(PATIENTS):
            patient: dict[str, Any] = {"resourceType": "Patient", "id": f"p{number}", "gender": "female"}
            await update(server, OPERATOR, Ask(type="Patient", id=f"p{number}", resource=patient))
        resource = {**corpus.genomic_observation(), "id": "one", "subject": {"reference": "Patient/p0"}}
        await update(server, OPERATOR, Ask(type="Observation", id="one", resource=resource))
        await register(server, Client(id="ehr", name="ehr", kind="public", scopes=SCOPES))
        made = Authorization(client="ehr", scopes=SCOPES, role="ehr")
        return await issue(server, await authorize(server, made), made, SCOPES, 3600)


def bearer(token: str) -> str:
    """The header that shows an access token, if there is one."""
    return f"Authorization: Bearer {token}" if token else ""


def started(store: str, **settings: str) -> Any:
    """A server on the store, without an access log."""
    return fhir_server(store, access_log="false", **settings)


def costs(store: str, token: str) -> None:
    """Reads of one Observation, 16 clients, in turns: the median of each counts."""
    with (
        started(store) as open_mode,
        started(store, auth="smart", audit="false") as without,
        started(store, auth="smart") as audited,
    ):
        servers = {"open": open_mode, "token": without, "token and audit": audited}
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in servers}
        for _ in range(ROUNDS):
            for name, server in servers.items():
                found[name].append(read(server, "Observation/one", token if name != "open" else ""))
    middle = {name: sorted(rounds, key=lambda one: one["per_second"])[ROUNDS // 2] for name, rounds in found.items()}
    for name, one in middle.items():
        ratio = one["per_second"] / middle["open"]["per_second"]
        print(
            f"| read, 16 clients, {name} | **{one['per_second']:,.0f}/s**, p50 {one['p50_ms']:.1f} ms | {ratio:.2f} |"
        )


def read(server: Running, path: str, token: str) -> dict[str, Any]:
    """How fast one resource is read."""
    return ask("GET", f"{server.origin}/fhir/{path}", seconds=2, header=bearer(token))


def sustained(store: str, token: str, seconds: float) -> None:
    """Reads of all patients in turn, each patient has an event of its own a minute."""
    with started(store, auth="smart") as server, tempfile.NamedTemporaryFile("w", suffix=".urls") as file:
        Path(file.name).write_text("\n".join(f"{server.origin}/fhir/Patient/p{number}" for number in range(PATIENTS)))
        before = asyncio.run(left(store))
        found = ask("GET", f"@{file.name}", clients=32, seconds=seconds, header=bearer(token))
        ended = time.perf_counter()
        while (state := asyncio.run(left(store)))[0]:
            time.sleep(0.5)
        lag = time.perf_counter() - ended
    print(
        f"| {found['requests']:,} accesses to {PATIENTS:,} patients in {seconds:.0f} s, 32 clients | "
        f"**{found['per_second']:,.0f}/s**, p99 {found['p99_ms']:.1f} ms, {found['failed']} failed; all searchable "
        f"{lag:.1f} s after the last, {state[1] - before[1]:,} AuditEvents | |"
    )


async def left(store: str) -> tuple[int, int]:
    """How many batches wait in the journal (at most 1,000 are counted), and how many AuditEvents there are."""
    async with open_server(Settings(store=store, auth="smart")) as server:
        waiting = await server.store.list_state(PREFIX, 1000)
        return len(waiting), await server.store.count(Query(("AuditEvent",), EVERYTHING))


def main() -> None:
    """Measure and print as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.auditing", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mongo", action="store_true", help="MongoDB as well (tests/mongod.py)")
    parser.add_argument("--seconds", type=float, default=60, help="of the sustained run (default: 60)")
    args = parser.parse_args()
    print(f"{machine.describe()}\n\n| what | result | of open mode |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="fhir-server-bench-") as folder:
        run(f"sqlite:///{folder}/audit.db", args.seconds)
    if args.mongo:
        from tests import mongod

        server = mongod.start(cache_gb=1)
        try:
            run(server.uri("bench"), args.seconds)
        finally:
            server.stop()


def run(store: str, seconds: float) -> None:
    """All figures of one store."""
    print(f"| **{'SQLite' if store.startswith('sqlite') else 'MongoDB'}** | | |", flush=True)
    token = asyncio.run(prepared(store))
    costs(store, token)
    sustained(store, token, seconds)


if __name__ == "__main__":
    main()
