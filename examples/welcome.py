"""What a store holds and how to ask for it, for `make run`: `python -m examples.welcome --store URL --port 8080`."""

import argparse
import asyncio
from dataclasses import replace

from fhir_server.app import open_server
from fhir_server.fhir.codec import decode
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import from_environ
from fhir_server.store.seam import Query

SHOWN = ("Patient", "Condition", "Specimen", "Observation", "Consent", "ResearchStudy", "ResearchSubject")


async def holds(server: Server) -> str:
    """The count of each type worth showing, in one sentence."""
    counts = [(type, await server.store.count(Query((type,), EVERYTHING))) for type in SHOWN]
    return "It holds " + ", ".join(f"{count:,} {type}" for type, count in counts) + "."


async def candidate(server: Server) -> tuple[str, str]:
    """A patient and a study that were matched, for the examples; ("", "") if there are none."""
    pairs = [("status", "candidate")]
    where = parse_search(
        server.definitions, "ResearchSubject", pairs, False, server.clock(), server.settings.base
    ).where
    rows = (await server.store.search(Query(("ResearchSubject",), where, count=1))).rows
    if not rows:
        return "", ""
    subject = decode(rows[0].body)
    return subject["individual"]["reference"], subject["study"]["reference"]


def calls(base: str, patient: str, study: str) -> list[str]:
    """curl lines, from the simple to the particular."""
    lines = [f"curl -s '{base}/metadata'", f"curl -s '{base}/Patient?_count=3'"]
    if patient:
        name = patient.split("/")[1]
        lines += [
            f"curl -s '{base}/{patient}'",
            f"curl -s '{base}/Observation?patient={name}&_sort=-date&_count=5'",
            f"curl -s '{base}/ResearchSubject?patient={name}&status=candidate&_include=ResearchSubject:study'",
            f"curl -s '{base}/Patient?_has:ResearchSubject:patient:study={study}'",
            f"curl -s '{base}/GuidanceResponse?patient={name}'  # each criterion's outcome and evidence",
        ]
    return lines


async def welcome(store: str, host: str, port: int) -> None:
    """Print the sentence and the calls. Raises StoreError."""
    async with open_server(replace(from_environ(), store=store, host=host, port=port)) as server:
        print(await holds(server) + "\n\nTry:")
        for line in calls(server.settings.base, *await candidate(server)):
            print(f"  {line}")
        print("\nStop with Ctrl-C. `make run` again serves the same data; remove data/ to begin anew.\n", flush=True)


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(prog="python -m examples.welcome", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", default="sqlite:///data/fhir.db")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    args = parser.parse_args()
    asyncio.run(welcome(args.store, args.host, args.port))


if __name__ == "__main__":
    main()
