"""`fhir-server view` and `export --format parquet`: tables out of a store, or out of the files of an export."""

import csv
import io
import json
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest

from fhir_server.cli import main
from fhir_server.views import table

VIEW = {
    "resourceType": "ViewDefinition", "name": "born", "resource": "Patient",
    "select": [{"column": [{"name": "id", "path": "getResourceKey()", "type": "string"},
                           {"name": "born", "path": "birthDate", "type": "date"}]}],
    "where": [{"path": "active"}],
}  # fmt: skip


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """250 Patients, of whom every second is active, and who treats them."""
    rows = [{"resourceType": "Patient", "id": f"p{n}", "active": n % 2 == 0, "birthDate": "1970"} for n in range(250)]
    path = tmp_path / "in.ndjson"
    path.write_text("\n\n".join(map(json.dumps, [{"resourceType": "Practitioner", "id": "d1"}, *rows])))
    return path


@pytest.fixture
def store(lines: Path, tmp_path: Path) -> str:
    """A store with these."""
    url = f"sqlite:///{tmp_path}/fhir.db"
    assert main(["load", str(lines), "--store", url]) == 0
    return url


def view(tmp_path: Path, **more: object) -> str:
    path = tmp_path / "born.view.json"
    path.write_text(json.dumps({**VIEW, **more}))
    return str(path)


ACTIVE = [f"p{n}" for n in range(0, 250, 2)]


@pytest.mark.parametrize("source", ["store", "files"])
@pytest.mark.parametrize("several", [False, True], ids=["one process", "several"])
def test_a_table(
    source: str,
    several: bool,
    lines: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same, whoever evaluates it; of files in their order."""
    if several:
        monkeypatch.setattr(table, "FEW", 0)
        monkeypatch.setattr(table, "PIECE", 20)
    where = ["--ndjson", str(lines)] if source == "files" else ["--store", request.getfixturevalue("store")]
    for ending in ("csv", "ndjson", "parquet"):
        out = tmp_path / f"out.{ending}"
        assert main(["view", view(tmp_path), "--out", str(out), *where]) == 0
        found = {
            "csv": lambda path: [row["id"] for row in csv.DictReader(path.read_text().splitlines())],
            "ndjson": lambda path: [json.loads(line)["id"] for line in path.read_text().splitlines()],
            "parquet": lambda path: pyarrow.parquet.read_table(path)["id"].to_pylist(),
        }[ending](out)
        assert (found if source == "files" else sorted(found, key=ACTIVE.index)) == ACTIVE
    assert not list(tmp_path.glob("*.part"))


def test_standard_output_is_csv(lines: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["view", view(tmp_path), "--ndjson", str(lines), "--no-header"]) == 0
    said = capfdbinary.readouterr()
    assert [row[0] for row in csv.reader(io.StringIO(said.out.decode()))] == ACTIVE
    assert b"125 rows of 251 resources" in said.err


@pytest.mark.parametrize("several", [False, True], ids=["one process", "several"])
def test_a_wrong_view_leaves_what_there_was(
    several: bool, lines: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if several:
        monkeypatch.setattr(table, "FEW", 0)
    out = tmp_path / "out.csv"
    out.write_text("kept")
    for select, words in (
        ([{"column": [{"name": "x", "path": "nonsense("}]}], "select[0].column[0].path"),
        ([{"column": [{"name": "x", "path": "active > 1"}]}], "Patient/p0: > compares"),
    ):
        assert main(["view", view(tmp_path, select=select), "--ndjson", str(lines), "--out", str(out)]) == 2
        assert words in capsys.readouterr().err
    assert main(["view", view(tmp_path), "--ndjson", str(lines), "--out", str(tmp_path / "out.xls")]) == 2
    assert "--format csv, ndjson, parquet" in capsys.readouterr().err
    assert out.read_text() == "kept"
    assert not list(tmp_path.glob("*.part"))


def test_whole_resources_in_parquet(store: str, tmp_path: Path) -> None:
    """DuckDB takes the JSON apart."""
    out = tmp_path / "out"
    assert (
        main(["export", "--out", str(out), "--store", store, "--format", "parquet", "--type", "Patient", "Group"]) == 0
    )
    assert [path.name for path in out.iterdir()] == ["Patient.parquet"]
    found = duckdb.sql(
        f"""SELECT count(*), min(version), count(DISTINCT last_updated) > 0, count(DISTINCT id)
        FROM '{out}/Patient.parquet' WHERE resource->>'$.active' = 'true' AND resource->>'$.id' = id"""
    ).fetchall()
    assert found == [(125, 1, True, 125)]
