"""The researcher's example, from a consented export to a plot, against a server of its own. docs/bulk.md"""

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from examples.research.cohort import HERE, TYPES, VIEWS
from fhir_server.cli import main
from fhir_server.fhir.definitions import load
from fhir_server.views.view import view_of
from tests.serving import served

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "bulk.md").read_text()


@pytest.mark.parametrize("name", VIEWS)
def test_the_views_are_views(name: str) -> None:
    view = view_of(load(), json.loads((HERE / f"{name}.view.json").read_text()), "")
    assert view.name == name
    assert view.type in TYPES.split(",")
    assert all(column.type for column in view.columns)


def test_from_a_consented_export_to_a_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the page's own commands, with other folders."""
    for name, value in (("MATCH", "false"), ("ACCESS_LOG", "false"), ("EXPORT_FOLDER", str(tmp_path / "exports"))):
        monkeypatch.setenv(f"FHIR_SERVER_{name}", value)
    store, out = f"sqlite:///{tmp_path / 'fhir.db'}", tmp_path / "research"
    run(tmp_path, "-m", "examples.cohort", "--patients", "24", "--out", str(tmp_path / "cohort"))
    assert main(["load", str(tmp_path / "cohort"), "--store", store]) == 0
    making, adding, doing = (line(tmp_path, word) for word in ("examples.backend", "client add", "examples.research"))
    run(tmp_path, *making)
    assert main([*adding, "--store", store]) == 0
    with served(store, FHIR_SERVER_AUTH="smart") as server:
        said = run(tmp_path, *doing, "--base", server.base)
    assert "<svg" in (out / "genes.svg").read_text()
    assert (out / "genes.svg").as_posix() in said
    # Those who permit it and nobody else; tables join, also for those who are there under another name.
    found = duckdb.sql(
        f"""SELECT count(*), count(DISTINCT patients.id), count(*) FILTER (patients.id LIKE 'p00%')
        FROM '{out}/conditions.parquet' AS conditions LEFT JOIN '{out}/patients.parquet' AS patients
        ON patients.id = conditions.patient"""
    ).fetchall()
    rows, people, named = found[0]
    assert rows >= people > 0
    assert 0 < named <= rows
    assert duckdb.sql(f"SELECT count(*) FROM '{out}/patients.parquet'").fetchall()[0][0] < 24
    hidden = set(duckdb.sql(f"SELECT DISTINCT patient FROM '{out}/conditions.parquet'").fetchall())
    assert len(hidden) == people
    # And the page's last words.
    (query,) = re.findall(r"duckdb\.sql\(\\\"(.*?)\\\"\)|duckdb\.sql\(\"(.*?)\"\)", PAGE.replace('\\"', '"'))
    asked = next(text for text in query if text).replace("data/research", str(out))
    assert duckdb.sql(asked).fetchall()
    assert not list((tmp_path / "exports").glob("*/*/*.ndjson"))


def line(tmp_path: Path, word: str) -> list[str]:
    """The arguments of the page's first command with a word, its folder exchanged."""
    text = next(line for line in PAGE.splitlines() if line.startswith("    .venv/bin/") and word in line)
    words = text.replace("data/research", str(tmp_path / "research")).replace("'", "").split()
    return words[1:]


def run(tmp_path: Path, *arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
