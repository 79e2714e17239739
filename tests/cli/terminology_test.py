"""`fhir-server terminology`: add, list, remove, on the command line."""

from pathlib import Path

import pytest

from fhir_server.cli import main
from tests.client import Client
from tests.operations.terminology_test import told

CSV = "code,display,parent\nsite,Site,\nlung,Lung,site\n"


def test_a_code_system_comes_and_goes(store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sites.csv"
    path.write_text(CSV)
    add = ["terminology", "add", "parents", str(path), "--system", "urn:sites", "--version", "1", "--store", store_url]
    assert main(add) == 0
    assert "urn:sites|1: 2 concepts (0 inactive), 1 pairs in the closure" in capsys.readouterr().out
    assert main(add) == 0
    assert "imported before, 2 concepts" in capsys.readouterr().out
    assert main(["terminology", "list", "--store", store_url]) == 0
    assert capsys.readouterr().out.startswith("urn:sites\t1\t2 concepts\t")
    assert main(["terminology", "remove", "urn:sites", "--store", store_url]) == 0
    assert main(["terminology", "remove", "urn:sites", "--store", store_url]) == 1


def test_a_server_that_runs_answers_at_once(client: Client, store_url: str, tmp_path: Path) -> None:
    path = tmp_path / "sites.csv"
    path.write_text(CSV)
    ask = "CodeSystem/$subsumes?system=urn:sites&codeA=site&codeB=lung"
    assert client("GET", ask).status_code == 404
    assert (
        main(
            [
                "terminology",
                "add",
                "parents",
                str(path),
                "--system",
                "urn:sites",
                "--version",
                "1",
                "--store",
                store_url,
            ]
        )
        == 0
    )
    assert told(client("GET", ask)) == {"outcome": "subsumes"}
    (entry,) = client("GET", "CodeSystem?url=urn:sites").json()["entry"]
    assert (entry["resource"]["content"], entry["resource"]["count"]) == ("not-present", 2)
    assert told(client("GET", f"CodeSystem/{entry['resource']['id']}/$validate-code?code=lung"))["result"] is True


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["add", "oncotree"], "takes FORMAT and FILE"),
        (["add", "nosuch", "x"], "the formats are oncotree"),
        (["add", "parents", "{}/nowhere.csv", "--system", "urn:s"], "no file or folder"),
        (
            ["add", "parents", "{}/bad.csv", "--system", "urn:s", "--version", "1"],
            "Nothing was imported: line 2 has no code",
        ),
        (["add", "parents", "{}/bad.csv", "--system", "urn:s"], "give --version"),
        (["remove"], "takes the URL"),
    ],
)
def test_what_is_refused_says_why(
    words: list[str], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.csv").write_text("kode\nx\n")
    given = [word.format(tmp_path) for word in words]
    assert main(["terminology", *given, "--store", f"sqlite:///{tmp_path}/fhir.db"]) == 2
    assert text in capsys.readouterr().err


def test_the_published_oncotree_is_imported_with_its_maps(
    store_url: str, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared / "data" / "terminology" / "oncotree_2025_10_03.json"
    code = main(["terminology", "add", "oncotree", str(path), "--store", store_url])
    assert (code, capsys.readouterr().err) == (0, "")
