"""Which reports listed an Observation, and when: what a genomic report lists is genomic (access/judging.py).

Of reports that were changed since a time all versions are known; any other has listed what it lists for all that time.
https://hl7.org/fhir/R4/diagnosticreport.html
"""

from collections.abc import Iterable
from typing import NamedTuple

from fhir_server.access.facts import data_class
from fhir_server.access.gate import named
from fhir_server.access.judging import GENOMIC
from fhir_server.fhir import codec
from fhir_server.store.seam import Stored

_BULKY = ("result", "text", "contained", "presentedForm", "conclusion")  # nothing of it makes a class of data


class _Version(NamedTuple):
    """A version of a report, without what makes it large: the ids of the Observations that it lists apart."""

    row: Stored
    kind: str  # the class of data, "" unless that is a genomic one
    listed: frozenset[str]


class Listing:
    """The reports that were changed, by the Observations that some version lists."""

    def __init__(self) -> None:
        self.known: set[str] = set()  # the ids of all that were looked at
        self._reports: dict[str, dict[str, tuple[_Version, ...]]] = {}

    def add(self, id: str, rows: Iterable[Stored], since: int) -> set[str]:
        """Remember the versions of a report that were current at some time since the first, oldest first; returns the
        ids of the Observations that may be of another class of data by them than before."""
        self.known.add(id)
        versions = tuple(map(_version, rows))
        turned: set[str] = set()
        for one in frozenset[str]().union(*(version.listed for version in versions if version.kind)):
            self._reports.setdefault(one, {})[id] = versions
            told = {version.kind if one in version.listed else "" for version in versions}
            if len(told) > 1 or versions[0].row.updated > since:
                turned.add(one)
        return turned

    def times(self, id: str) -> set[int]:
        """When a report that lists, or listed, an Observation was changed."""
        return {version.row.updated for versions in self._reports.get(id, {}).values() for version in versions}

    def at(self, id: str, now: int) -> list[Stored]:
        """The reports that listed an Observation at a time, of those that were changed."""
        found = []
        for versions in self._reports.get(id, {}).values():
            current = next((one for one in reversed(versions) if one.row.updated <= now), None)
            if current is not None and id in current.listed:
                found.append(current.row)
        return found


def _version(row: Stored) -> _Version:
    if row.deleted:
        return _Version(row, "", frozenset())
    report = codec.decode(row.body)
    kind = data_class(report)
    listed = (one.partition("/") for one in named(report.get("result")))
    slim = codec.encode({name: value for name, value in report.items() if name not in _BULKY})
    return _Version(
        row._replace(body=slim),
        kind if kind.endswith(GENOMIC) else "",
        frozenset(id for type, _, id in listed if type == "Observation"),
    )


def listed_by(row: Stored) -> frozenset[str]:
    """The ids of the Observations that a version of a report lists."""
    return _version(row).listed
