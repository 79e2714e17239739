"""What a store holds and how to ask for it, for `make run`: `python -m examples.welcome --store URL --port 8080`."""

import argparse
import asyncio
from dataclasses import replace

from fhir_server.app import open_server
from fhir_server.auth import users
from fhir_server.commands.token import new_token
from fhir_server.fhir.codec import decode
from fhir_server.search.parse import parse_search
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import from_environ
from fhir_server.store.seam import Query

LIFETIME = 86_400  # seconds of the token that is shown
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


def calls(base: str, patient: str, study: str, header: str) -> list[str]:
    """curl lines, from the simple to the particular."""
    asked = ["Patient?_count=3"]
    if patient:
        name = patient.split("/")[1]
        asked += [
            patient,
            f"Observation?patient={name}&_sort=-date&_count=5",
            f"ResearchSubject?patient={name}&status=candidate&_include=ResearchSubject:study",
            f"Patient?_has:ResearchSubject:patient:study={study}",
            f"GuidanceResponse?patient={name}",
        ]
    return [f"curl -s '{base}/metadata'", *(f"curl -s{header} '{base}/{one}'" for one in asked)]


async def sign_ins(server: Server, patient: str) -> list[str]:
    """Lines for a participant and a clinician who may sign in, made with fresh passwords where there are none yet."""
    name = patient.partition("/")[2]
    where = parse_search(server.definitions, "CareTeam", [("patient", name)], False, server.clock(), "").where
    rows = (await server.store.search(Query(("CareTeam",), where, count=1))).rows
    members = decode(rows[0].body).get("participant", ()) if rows else ()
    carers = [one["member"]["reference"] for one in members if "member" in one]
    clinician = next((one for one in carers if one.startswith("Practitioner/")), "")
    lines = []
    for user, who in (("participant", patient), ("clinician", clinician)):
        if who and await users.user_of(server.store, user) is None:
            password = users.fresh_password()
            await users.add(server.store, user, who, password)
            lines.append(f"{user:11} {password}  # {who}")
    return lines


async def welcome(store: str, host: str, port: int, auth: str) -> None:
    """Print the sentence, a fresh token and the calls. Raises StoreError."""
    async with open_server(replace(from_environ(), store=store, host=host, port=port, auth=auth)) as server:
        print(await holds(server) + "\n\nTry, in another terminal:")
        header = ""
        if auth == "smart":
            print(f"  TOKEN={await new_token(server, seconds=LIFETIME)}  # an operator's, for a day")
            header = ' -H "Authorization: Bearer $TOKEN"'
        patient, study = await candidate(server)
        for line in calls(server.settings.base, patient, study, header):
            print(f"  {line}")
        people = await sign_ins(server, patient) if auth == "smart" and patient else []
        if people:
            print(f"\nSign in at {server.settings.issuer}/apps; these passwords are told once:")
            for line in people:
                print(f"  {line}")
        print("\nStop with Ctrl-C. `make run` again serves the same data; remove data/ to begin anew.\n", flush=True)


def main() -> None:
    """Parse the command line and print."""
    parser = argparse.ArgumentParser(prog="python -m examples.welcome", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", default="sqlite:///data/fhir.db")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--auth", default="smart", choices=("smart", "open"))
    args = parser.parse_args()
    asyncio.run(welcome(args.store, args.host, args.port, args.auth))


if __name__ == "__main__":
    main()
