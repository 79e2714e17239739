"""How far the sites of a trial are from a postal code. https://hl7.org/fhir/R4/location.html

There is no table of postal codes here: where one lies is known from the stored Locations of its area, as far as their
positions are. What is not known keeps a trial in the answer, and is said.
"""

from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import Issue
from fhir_server.fhir.references import parse
from fhir_server.search.index import LATITUDE, param_of
from fhir_server.search.near import EARTH
from fhir_server.search.predicate import And, Is
from fhir_server.server import Server
from fhir_server.store.seam import Query

MILE = 1.609344  # km
AREA = 3  # leading characters that name an area of postal codes

Point = tuple[float, float]  # degrees of latitude and longitude


class Distances(NamedTuple):
    """Sites with known positions, and the circle to look in; no centre: every trial is within reach."""

    centre: Point | None
    kilometres: float
    sites: dict[str, Point]
    base: str
    issues: list[Issue]

    def reaches(self, study: Resource) -> bool:
        """Whether a site of the study lies in the circle, or none of them is known not to."""
        named = [parse(site.get("reference", ""), self.base).id for site in study.get("site", ())]
        points = [self.sites[id] for id in named if id in self.sites]
        if self.centre is None or not points or len(points) < len(named):
            return True
        return any(kilometres(self.centre, point) <= self.kilometres for point in points)


async def distances(server: Server, code: str, miles: float) -> Distances:
    """What is known of the sites' distances from a postal code, for a radius in miles."""
    located = Query(("Location",), Is(LATITUDE))
    sites = {row.id: point async for row in server.store.scan(located) if (point := _point(row.body)) is not None}
    issues: list[Issue] = []
    centre = None
    for length in (len(code), AREA):
        near = Is(param_of("address-postalcode", "string"), (("exact", "prefix", code[:length]),))
        query = Query(("Location",), And((near, Is(LATITUDE))))
        points = [point async for row in server.store.scan(query) if (point := _point(row.body)) is not None]
        if code and points:
            centre = (sum(lat for lat, _ in points) / len(points), sum(long for _, long in points) / len(points))
            break
    if centre is None:
        text = f"No Location of the area of {code[:20]!r} has a position: travelRadius was not applied."
        issues.append(Issue("incomplete", text, severity="warning"))
    return Distances(centre, miles * MILE, sites, server.settings.base, issues)


def _point(body: bytes) -> Point | None:
    position = codec.decode(body).get("position", {})
    if "latitude" not in position or "longitude" not in position:
        return None
    return float(position["latitude"]), float(position["longitude"])


def kilometres(a: Point, b: Point) -> float:
    """The great-circle distance."""
    lat_a, lat_b = radians(a[0]), radians(b[0])
    half = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(radians(b[1] - a[1]) / 2) ** 2
    return 2 * EARTH * asin(sqrt(min(1.0, half)))
