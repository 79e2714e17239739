"""`import ctml`, `export ctml` and `match --ctml-compat`: trials go in, mean what they say, and come out."""

import json
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli import main
from fhir_server.fhir import codec
from tests.matching import world as w
from tests.matching.ctml_test import full, trial


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    out = capsys.readouterr()
    return code, out.out, out.err


def write(path: Path, document: Any) -> Path:
    path.write_bytes(codec.encode(document))
    return path


def people() -> dict[str, Any]:
    """A patient who fits, one who has neither data nor diagnosis, and one who refuses."""
    record = [
        w.patient("fits", gender="female"),
        w.consent("fits-c", of="fits"),
        w.condition("fits-dx", (w.ONCOTREE, "LUAD"), of="fits"),
        w.variant("fits-v", "HGNC:3236", "p.L858R", of="fits"),
        w.patient("bare", gender="female"),
        w.consent("bare-c", of="bare"),
        w.patient("refuses", gender="female"),
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in record]}


def test_trials_go_in_and_come_out(store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = ("--store", store_url)
    folder = tmp_path / "trials"
    folder.mkdir()
    write(folder / "full.json", full())
    simple = trial({"clinical": {"gender": "Female"}}, protocol_no="a/b")
    (folder / "simple.yaml").write_text(json.dumps(simple))  # JSON is YAML too
    code, out, err = run(capsys, "import", "ctml", str(folder), *store)
    assert code == 0
    assert "c1: the criterion code Disease status is not known" in err
    assert all(line.startswith("to mend: ") for line in err.splitlines())
    assert "ResearchStudy/ctml-99-001, 5 Groups" in out
    assert "2 trials with 6 Groups imported, 0 refused" in out
    assert run(capsys, "import", "ctml", str(folder), *store)[0] == 0, "again, as new versions of the same"
    code, out, err = run(capsys, "export", "ctml", "--out", str(tmp_path / "out"), *store)
    assert (code, err) == (0, "")
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert len(written) == 2
    assert codec.decode(written["ctml-99-001.json"].read_bytes()) == full()
    code, _, _ = run(
        capsys, "export", "ctml", "--yaml", "--study", "ctml-99-001", "--out", str(tmp_path / "yaml"), *store
    )
    assert code == 0
    assert [path.name for path in (tmp_path / "yaml").iterdir()] == ["ctml-99-001.yaml"]
    code, _, err = run(capsys, "export", "ctml", "--study", "nowhere", "--out", str(tmp_path / "none"), *store)
    assert code == 1
    assert "ResearchStudy/nowhere" in err


def test_what_cannot_be_mapped_is_named_and_nothing_of_it_is_stored(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = trial({"genomic": {"hugo_symbol": "EGFR", "tier": 1}}, protocol_no="bad", oddity=1)
    good = trial({"clinical": {"gender": "Female"}}, protocol_no="good")
    path = write(tmp_path / "both.json", [bad, good])
    broken = tmp_path / "broken.yml"
    broken.write_text("a: [")
    code, out, err = run(capsys, "import", "ctml", str(path), str(broken), "--store", store_url)
    assert code == 1
    assert f"refused: {path} document 1: treatment_list.step[0].arm[0].match[0].genomic.tier" in err
    assert f"refused: {path} document 1: oddity" in err
    assert f"refused: {broken}" in err
    assert "1 trials with 1 Groups imported, 2 refused" in out
    assert run(capsys, "export", "ctml", "--out", str(tmp_path / "out"), "--store", store_url)[0] == 0
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["ctml-good.json"]


@pytest.mark.parametrize("argv", [("import", "ctml"), ("import", "ctml", "/nowhere.json")])
def test_files_are_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    assert run(capsys, *argv, "--store", f"sqlite:///{tmp_path}/fhir.db")[0] == 2


def test_both_readings_side_by_side_and_nothing_is_written(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = trial(
        {"clinical": {"gender": "Female"}}, {"genomic": {"hugo_symbol": "!KRAS", "variant_category": "Mutation"}}
    )
    assert run(capsys, "import", "ctml", str(write(tmp_path / "t.json", document)), "--store", store_url)[0] == 0
    assert run(capsys, "load", str(write(tmp_path / "people.json", people())), "--store", store_url)[0] == 0
    code, out, err = run(capsys, "match", "--ctml-compat", "--store", store_url)
    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head.split("\t") == ["study", "patient", "matchminer", "outcome"]
    # MatchMiner takes whom nobody tested for a carrier of nothing; here it is unknown. Who refuses is not mentioned.
    assert sorted(lines) == [f"ctml-99-001\t{id}\tarm A\tunknown" for id in ("bare", "fits")]
    code, _, err = run(capsys, "match", "--ctml-compat", "--study", "nowhere", "--store", store_url)
    assert code == 2
    assert "ResearchStudy/nowhere" in err
    export = tmp_path / "out"
    assert run(capsys, "export", "--out", str(export), "--type", "ResearchSubject", "--store", store_url)[0] == 0
    assert not (export / "ResearchSubject.ndjson").exists() or not (export / "ResearchSubject.ndjson").read_bytes()
