"""The commands of docs/genomics.md, run as they stand there: only folder, port and store are the test's own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.serving import served

PAGE = Path(__file__).parents[2] / "docs" / "genomics.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.timeout(300)
def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/fhir.db"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = []
    with served(store) as server:
        for block in BLOCKS:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", block.replace("http://127.0.0.1:8080/fhir", server.base)],
                cwd=tmp_path,
                env={**os.environ, "PATH": path, "FHIR_SERVER_STORE": store},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
            said.append(done.stdout)
    answers: list[Any] = [json.loads(text) for text in said if text.startswith("{")]
    vcf = next(text for text in said if "on GRCh38" in text)
    promised = re.search(r"^```\n(DiagnosticReport/vcf-.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert promised is not None
    assert re.sub(r"vcf-[0-9a-f]{40}", "vcf-...", vcf).startswith(promised[1])
    tasks = next(one for one in answers if one.get("type") == "searchset")
    assert {one["resource"]["owner"]["reference"] for one in tasks["entry"]} == {"Practitioner/oncologist"}
    assert answers[-1]["status"] == "completed"
