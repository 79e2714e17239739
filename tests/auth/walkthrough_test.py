"""The commands of docs/smart.md, run as they stand there: only folder and ports are the test's own."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving import served

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs" / "smart.md").read_text(), re.MULTILINE | re.DOTALL)
SERVERS = ("fhir-server serve", "python -m http.server")


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    return number


@pytest.mark.timeout(300)
def test_the_commands_of_the_page_work(tmp_path: Path, port: int) -> None:
    store = f"sqlite:///{tmp_path}/fhir.db"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(block: str) -> str:
        here = block.replace("data/smart", str(tmp_path)).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        command = ["bash", "-euo", "pipefail", "-c", here]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    starts = next(number for number, block in enumerate(BLOCKS) if block.startswith(SERVERS[0]))
    assert len(BLOCKS) >= 6
    for block in BLOCKS[:starts]:
        run(block)
    with served(store, port=port, FHIR_SERVER_AUTH="smart"):
        said = [run(block) for block in BLOCKS[starts:] if not block.startswith(SERVERS)]
    launched = next(json.loads(text) for text in said if text.startswith("{"))
    assert launched["url"].startswith("http://127.0.0.1:8000/?iss=")
    assert any("participant\tPatient/p0001\tenabled" in text for text in said)
    assert said[-1].strip() == "examples/bundles/new-patient.json: 200"
