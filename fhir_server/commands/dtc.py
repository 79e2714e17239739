"""`fhir-server import dtc`: raw data of a direct-to-consumer test, checked and kept as they are. docs/genomics.md"""

import argparse
import contextlib
import io
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fhir_server.fhir import codec
from fhir_server.genomics.consumer import LARGEST, Checked, check, document
from fhir_server.genomics.panel import findings, read_panel


@contextlib.contextmanager
def kept(args: argparse.Namespace) -> Iterator[tuple[Path, str, str]]:
    """The NDJSON to import, what is said of the file, and whose it is. Raises ValueError for a file that is not taken,
    OSError."""
    if len(args.paths) != 2 or not args.patient:
        raise ValueError("import dtc takes one FILE, and whose it is: --patient ID.")
    source: Path = args.paths[1]
    if source.stat().st_size > LARGEST:
        raise ValueError(f"{source} is larger than {LARGEST:,} bytes: this is no raw data file.")
    content, patient = source.read_bytes(), f"Patient/{args.patient.removeprefix('Patient/')}"
    try:
        checked = check(io.BytesIO(content))
    except ValueError as reason:
        raise ValueError(f"{source}: {reason}") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dtc.ndjson"
        made = list(document(patient, source.name, content, checked))
        told = [f"{checked.vendor} on {checked.build}: {checked.rows:,} markers, {checked.unread:,} not read"]
        if args.observations:
            found, left = _asked(args.observations, made[0], content, checked)
            made += found
            told.append(f"  {len(found):,} preliminary Observations, as asked for")
            told += [f"  nothing said: {count:,} {reason}" for reason, count in sorted(left.items())]
        path.write_bytes(b"".join(codec.encode(one) + b"\n" for one in made))
        yield path, "\n".join(told), patient


def _asked(
    path: Path, kept: codec.Resource, content: bytes, checked: Checked
) -> tuple[list[codec.Resource], Counter[str]]:
    left: Counter[str] = Counter()
    with path.open("rb") as file:
        try:
            panel = read_panel(file, checked.build)
        except ValueError as reason:
            raise ValueError(f"{path}: {reason}") from None
    return list(findings(kept, io.BytesIO(content), checked, panel, left)), left
