"""A trial is written, a patient is pushed, and the candidate follows: the story of docs/matching.md.

    python -m examples.matching.walkthrough

It starts a server of its own on a free port over a store that is thrown away; `--base URL` asks another one, with open
authorization. Everything is synthetic.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

HERE = Path(__file__).parent
MARKS = {"met": "+", "not-met": "-", "unknown": "?", "not-applicable": "."}
PATIENT, STUDY = "walkthrough", "walkthrough-egfr"
PATIENCE = 30.0  # seconds to wait for the server, and for a candidate

Resource = dict[str, Any]


class Story:
    """Calls to a FHIR server, told as they happen."""

    def __init__(self, base: str) -> None:
        self.http = httpx2.Client(base_url=base + "/", headers={"content-type": "application/fhir+json"}, timeout=30)

    def send(self, file: str) -> None:
        """Send a transaction Bundle of this folder and say what was written."""
        body = (HERE / file).read_text()
        answer = self.http.post("", content=body)
        if answer.status_code != 200:
            sys.exit(f"{file}: {answer.text}")
        written = [entry["request"]["url"] for entry in json.loads(body)["entry"]]
        print(f"$ POST {file}\n  stored: {', '.join(written)}")

    def ask(self, path: str) -> Resource:
        """GET, or end with what the server says."""
        answer = self.http.get(path)
        if answer.status_code != 200:
            sys.exit(f"{path}: {answer.text}")
        found: Resource = answer.json()
        return found

    def wait(self, wanted: str) -> Resource:
        """The patient's ResearchSubject, when it has the status."""
        ends = time.monotonic() + PATIENCE
        while time.monotonic() < ends:
            rows = self.ask(f"ResearchSubject?patient={PATIENT}&study=ResearchStudy/{STUDY}").get("entry", [])
            if rows and rows[0]["resource"]["status"] == wanted:
                subject: Resource = rows[0]["resource"]
                print(f"$ GET ResearchSubject?patient={PATIENT}\n  status: {wanted}")
                return subject
            time.sleep(0.1)
        sys.exit(f"No {wanted} within {PATIENCE:.0f} s: is matching on?")

    def reasons(self) -> None:
        """What a physician reads: $match-trials, a line for each criterion."""
        path = f"Patient/{PATIENT}/$match-trials?study={STUDY}&status=all"
        print(f"$ GET {path}")
        for entry in self.ask(path).get("entry", []):
            resource = entry["resource"]
            if entry["search"]["mode"] == "match":
                grade = entry["search"]["extension"][0]["valueCode"]
                print(f"  {resource['title']}: {grade}, score {entry['search']['score']}")
            elif resource["resourceType"] == "OperationOutcome":
                print(f"  {resource['issue'][0]['diagnostics']}")
            elif "id" not in resource:  # the reasons, computed now
                for parameter in resource["contained"][0]["parameter"][1:]:
                    print(line(parameter))


def line(criterion: Resource) -> str:
    """A criterion as one line: mark, id, words, and the action if it is unknown."""
    parts = {part["name"]: part for part in criterion["part"]}
    id = parts["id"]["valueString"]
    text = f"  {MARKS[parts['outcome']['valueCode']]} {id:<5}{parts['text']['valueString']}"
    evidence = [p["valueReference"]["reference"] for p in criterion["part"] if p["name"] == "evidence"]
    text += f"  [{', '.join(evidence)}]" if evidence else ""
    return text + (f"  -> {parts['action']['valueString']}" if "action" in parts else "")


def tell(base: str) -> None:
    """The whole story."""
    story = Story(base)
    print("A trial is written: EGFR-mutant lung cancer, adults, no T790M, ECOG 0 to 1, no osimertinib.")
    story.send("trial.json")
    print("\nA patient is pushed, with consent to trials and to being told of them; nobody recorded the ECOG.")
    story.send("patient.json")
    story.wait("potential-candidate")
    story.reasons()
    print("\nOne more Observation settles it.")
    story.send("ecog.json")
    subject = story.wait("candidate")
    story.reasons()
    task = story.ask(f"Task/{subject['id']}")
    print(f"$ GET Task/...\n  {task['status']}, for {task['owner']['reference']}: {task['description']}")
    provenance = story.ask(f"Provenance/{subject['id']}")
    print(f"$ GET Provenance/...\n  policy: {', '.join(provenance['policy'])}")
    print("\nThe consent is revoked.")
    story.send("revoked.json")
    story.wait("withdrawn")
    story.reasons()


@contextmanager
def served() -> Iterator[str]:
    """The base of a server of our own, ended by its process id."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [sys.executable, "-m", "fhir_server.cli", "serve", "--port", str(port), "--auth", "open"]
        command += ["--store", f"sqlite:///{folder}/fhir.db"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                base = f"http://127.0.0.1:{port}/fhir"
                _await(base)
                yield base
            finally:
                server.terminate()


def _await(base: str) -> None:
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            httpx2.get(f"{base}/metadata", timeout=5).raise_for_status()
            return
        except httpx2.HTTPError:
            time.sleep(0.1)
    sys.exit("The server did not start.")


def main() -> None:
    """Read the arguments, and begin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", help="FHIR base of a server with open authorization")
    base = parser.parse_args().base
    if base:
        tell(base.rstrip("/"))
        return
    with served() as own:
        tell(own)


if __name__ == "__main__":
    main()
