"""Cases in the format of SQL on FHIR's own tests, so that those can be run as well where they are. https://sql-on-fhir.org/extra/tests.html"""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import SHARED


class Case(NamedTuple):
    """A view over some resources, and what comes of it."""

    name: str
    resources: list[Any]
    test: dict[str, Any]


def cases() -> Iterator[Case]:
    """Ours, and the specification's from the shared data if they are there."""
    for folder in (Path(__file__).parent / "cases", SHARED / "data" / "sql-on-fhir"):
        for path in sorted(folder.glob("*.json")):
            file = json.loads(path.read_text(), parse_float=Decimal)
            for test in file["tests"]:
                yield Case(f"{path.stem}: {test['title']}", file["resources"], test)
