"""`fhir-server match`: what `make run` does, and that doing it again changes nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fhir_server.cli import main

ROOT = Path(__file__).parents[2]


def test_examples_are_loaded_and_matched_and_matching_again_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = f"sqlite:///{tmp_path}/fhir.db"
    command = [sys.executable, "-m", "examples.cohort", "--patients", "12", "--out", str(tmp_path / "cohort")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert main(["load", str(ROOT / "examples" / "trials"), str(tmp_path / "cohort"), "--store", store]) == 0
    capsys.readouterr()
    assert main(["match", "--store", store]) == 0
    first = capsys.readouterr().out
    assert int(re.search(r"(\d+) candidates", first)[1]) > 0
    assert main(["match", "--store", store]) == 0
    second = capsys.readouterr().out
    assert second.splitlines()[:2] == first.splitlines()[:2]
    assert "\n0 written" in second


def test_an_unknown_study_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["match", "--study", "nowhere", "--store", f"sqlite:///{tmp_path}/fhir.db"]) == 2
    assert "ResearchStudy/nowhere" in capsys.readouterr().err
