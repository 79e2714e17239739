"""A researcher's afternoon: export who consented, make tables of it, ask DuckDB, draw the answer.

    python -m examples.research.cohort --client research --key data/research/key.json --out data/research

docs/bulk.md goes through it step by step. It takes `pip install 'fhir-server[analysis]'`.
https://hl7.org/fhir/uv/bulkdata/STU2/export.html
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import httpx2
import matplotlib

from examples.backend import token
from fhir_server.cli import main as fhir_server

HERE = Path(__file__).parent
VIEWS = ("patients", "conditions", "variants")
TYPES = "Patient,Condition,Observation"
SCOPE = "system/Patient.rs system/Condition.rs system/Observation.rs"
COLOURS = {"female": "#4477aa", "male": "#cc6677", "other": "#bbbbbb"}


def export(base: str, client: str, key: Path, out: Path) -> list[Path]:
    """Everything about people who permit it for the client's purpose, as NDJSON files in a folder."""
    with httpx2.Client(timeout=60) as http:

        def held() -> dict[str, str]:
            """A fresh token: those of backend services last five minutes, the export is the client's."""
            return {"Authorization": f"Bearer {token(http, base, client, json.loads(key.read_text()), SCOPE)}"}

        asked = {"Accept": "application/fhir+json", "Prefer": "respond-async", **held()}
        answer = http.get(f"{base}/Patient/$export", params={"_type": TYPES}, headers=asked)
        if answer.status_code != 202:
            sys.exit(f"No export: {answer.text}")
        status = answer.headers["Content-Location"]
        manifest = _awaited(http, status, held)
        out.mkdir(parents=True, exist_ok=True)
        files = []
        for item in manifest["output"]:
            path = out / item["url"].rpartition("/")[2]
            path.write_bytes(http.get(item["url"], headers=held()).raise_for_status().content)
            print(f"{item['count']:>8,}  {path}")
            files.append(path)
        http.delete(status, headers=held()).raise_for_status()  # patients' data should not lie around
    return files


def _awaited(http: httpx2.Client, status: str, held: Any) -> dict[str, Any]:
    while True:
        answer = http.get(status, headers=held())
        if answer.status_code == 200:
            found: dict[str, Any] = answer.json()
            return found
        if answer.status_code != 202:
            sys.exit(f"The export ended: {answer.text}")
        time.sleep(min(float(answer.headers.get("Retry-After", 1)), 10))


def tables(files: list[Path], out: Path) -> None:
    """A Parquet file for each view, of the exported files."""
    for name in VIEWS:
        view, table = str(HERE / f"{name}.view.json"), str(out / f"{name}.parquet")
        if fhir_server(["view", view, "--out", table, "--ndjson", *map(str, files)]):
            sys.exit(f"No table of {name}.")


def counted(out: Path) -> list[tuple[Any, ...]]:
    """What genes.sql says of the tables."""
    with duckdb.connect() as database:
        for name in VIEWS:
            database.read_parquet(str(out / f"{name}.parquet")).create_view(name)
        return database.execute((HERE / "genes.sql").read_text()).fetchall()


def plot(rows: list[tuple[Any, ...]], path: Path) -> None:
    """Bars, one for each gene."""
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "the same picture for the same numbers"
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    genes, before = [row[0] for row in rows], [0] * len(rows)
    for number, (sex, colour) in enumerate(COLOURS.items(), 1):
        people = [row[number] for row in rows]
        if any(people):
            axes.barh(genes, people, left=before, color=colour, label=sex)
        before = [left + more for left, more in zip(before, people, strict=True)]
    axes.invert_yaxis()
    axes.set_xlabel("people with a variant in the gene")
    axes.set_title("Altered genes in the consented cohort (synthetic people)", loc="left", fontsize=11)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.research.cohort", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--base", default="http://127.0.0.1:8080/fhir")
    parser.add_argument("--client", required=True)
    parser.add_argument("--key", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    tables(export(args.base, args.client, args.key, args.out), args.out)
    rows = counted(args.out)
    for gene, *people in rows:
        print(f"{gene:>10}  {sum(people)}")
    plot(rows, args.out / "genes.svg")
    print(args.out / "genes.svg")


if __name__ == "__main__":
    main()
