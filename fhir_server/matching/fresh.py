"""The facts without the evidence that is too old, for criteria that limit its age."""

from collections.abc import Iterable
from datetime import date
from typing import Protocol, TypeVar

from fhir_server.fhir.dates import DAY, bounds
from fhir_server.matching.facts import Facts, Source

_EPOCH = date(1970, 1, 1).toordinal()


class _Sourced(Protocol):
    @property
    def source(self) -> Source: ...


T = TypeVar("T", bound=_Sourced)


def fresh(facts: Facts, since: date) -> Facts:
    """The same facts, but of results, variants, regions and stages only those that are surely not older than a day."""
    low = (since.toordinal() - _EPOCH) * DAY
    return facts._replace(
        results={code: result for code, result in facts.results.items() if _recent(result, low)},
        variants=_kept(facts.variants, low),
        regions=_kept(facts.regions, low),
        stages=_kept(facts.stages, low),
    )


def _kept(found: Iterable[T], low: int) -> tuple[T, ...]:
    return tuple(one for one in found if _recent(one, low))


def _recent(fact: _Sourced, low: int) -> bool:
    try:
        return bounds(fact.source.date)[0] >= low
    except ValueError:
        return False
