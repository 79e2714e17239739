"""An unmodified client of others, with and without authorization. https://pypi.org/project/smart-fetch/"""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli import main
from tests.serving import Served, served

KEYS = """
import json, sys
from joserfc.jwk import ECKey
key = ECKey.generate_key("P-384", {"kid": "a", "alg": "ES384", "use": "sig", "key_ops": ["sign"]})
open(sys.argv[1], "w").write(json.dumps({"keys": [key.as_dict(private=True)]}))
shown = {k: v for k, v in key.as_dict(private=False).items() if k != "key_ops"}
open(sys.argv[2], "w").write(json.dumps({"keys": [shown]}))
"""


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Twelve patients with an Observation each, ten of them in a Group."""
    rows: list[dict[str, Any]] = []
    for number in range(12):
        subject = {"reference": f"Patient/p{number}"}
        rows.append({"resourceType": "Patient", "id": f"p{number}"})
        rows.append(
            {"resourceType": "Observation", "id": f"o{number}", "status": "final", "code": {"text": "x"},
             "subject": subject, "category": [{"coding": [
                 {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]}
        )  # fmt: skip
    members = [{"entity": {"reference": f"Patient/p{number}"}} for number in range(10)]
    rows.append({"resourceType": "Group", "id": "g1", "type": "person", "actual": True, "member": members})
    path = tmp_path / "in.ndjson"
    path.write_text("\n".join(map(json.dumps, rows)))
    url = f"sqlite:///{tmp_path}/fhir.db"
    assert main(["load", str(path), "--store", url]) == 0
    return url


def fetched(server: Served, out: Path, *arguments: str) -> dict[str, set[str]]:
    """What the client has written, by type."""
    command = [Path(sys.executable).parent / "smart-fetch", "bulk", "--fhir-url", server.base, *arguments, out]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=90, env={**os.environ, "HOME": str(out.parent)}
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found: dict[str, set[str]] = {}
    for path in out.glob("[A-Z]*.ndjson*"):
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for line in text.decode().splitlines():
            row = json.loads(line)
            found.setdefault(row["resourceType"], set()).add(row["id"])
    return found


@pytest.mark.parametrize("auth", ["open", "smart"])
def test_smart_fetch_gets_a_group(store: str, tmp_path: Path, auth: str) -> None:
    more: list[str] = []
    if auth == "smart":
        secret, shown = tmp_path / "key.jwks", tmp_path / "shown.jwks"
        subprocess.run([sys.executable, "-c", KEYS, secret, shown], check=True)
        add = ["client", "add", "fetcher", "--jwks", str(shown), "--scope", "system/*.rs", "--role", "ehr"]
        assert main([*add, "--store", store]) == 0
        more = ["--smart-client-id", "fetcher", "--smart-key", str(secret)]
    folder = {"FHIR_SERVER_EXPORT_FOLDER": str(tmp_path / "exports"), "FHIR_SERVER_ACCESS_LOG": "false"}
    with served(store, FHIR_SERVER_AUTH=auth, **folder) as server:
        wanted = ["--group", "g1", "--type", "Patient,Observation"]
        found = fetched(server, tmp_path / "out", *wanted, *more)
    assert found == {"Patient": {f"p{n}" for n in range(10)}, "Observation": {f"o{n}" for n in range(10)}}
