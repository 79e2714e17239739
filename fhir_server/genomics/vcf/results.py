"""What a report names, gathered in a file: results while they are few, else panels that group them. docs/genomics.md"""

import shutil
from typing import BinaryIO

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.genomics.vcf.observations import Subject, panel

IN_REPORT = 1000  # results that a report names itself; more are named by panels of so many


class Results:
    """Observations that the report names, written to a file: all of them while they are few, else the panels."""

    def __init__(self, subject: Subject, file: BinaryIO) -> None:
        self._subject, self._file = subject, file
        self._waiting: list[str] = []
        self._panels: list[Resource] = []
        self.count = 0

    def add(self, made: Resource) -> None:
        """One more."""
        self._file.write(codec.encode(made) + b"\n")
        self.count += 1
        self._waiting.append(f"Observation/{made['id']}")
        if len(self._waiting) == IN_REPORT:
            self._group()

    def named(self) -> list[str]:
        """What the report names; nothing is added afterwards."""
        if self._panels and self._waiting:
            self._group()
        return [f"Observation/{one['id']}" for one in self._panels] or self._waiting

    def copy(self, out: BinaryIO) -> None:
        """Write the panels, then what they name."""
        for one in self._panels:
            out.write(codec.encode(one) + b"\n")
        self._file.seek(0)
        shutil.copyfileobj(self._file, out)

    def _group(self) -> None:
        self._panels.append(panel(self._subject, len(self._panels), self._waiting))
        self._waiting = []
        self.count += 1
