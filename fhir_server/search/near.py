"""Locations within a distance of a point. https://hl7.org/fhir/R4/location.html#positional

The circle is covered by BANDS of latitude, each as wide as the circle is anywhere in it: every Location within the
distance is found, and with it some that lie outside by up to about a twentieth of the distance.
"""

from itertools import pairwise
from math import acos, asin, cos, degrees, isfinite, radians, sin

from fhir_server.fhir.outcome import refuse
from fhir_server.search.index import LATITUDE, LONGITUDE
from fhir_server.search.predicate import And, Is, Or, Predicate

EARTH = 6371.0088  # mean radius in km
DISTANCE = 50.0  # km, where the client gives none
BANDS = 16
_KILOMETRES = {"km": 1.0, "m": 0.001, "mi": 1.609344, "[mi_i]": 1.609344, "[mi_us]": 1.609347, "[ft_i]": 0.0003048}


def near(parts: list[str], text: str) -> Predicate:
    """`latitude|longitude`, perhaps `|distance|units` (km by default). Raises FhirError 400."""
    try:
        latitude, longitude = float(parts[0]), float(parts[1])
        distance = float(parts[2]) if parts[2:] and parts[2] else DISTANCE
        distance *= _KILOMETRES[parts[3] if parts[3:] and parts[3] else "km"]
        good = (
            abs(latitude) <= 90 and abs(longitude) <= 180 and isfinite(distance) and distance >= 0 and len(parts) <= 4
        )
    except (ValueError, KeyError, IndexError):
        good = False
    if not good:
        units = ", ".join(_KILOMETRES)
        raise refuse(
            400, "value", f"near: {text[:60]!r} is not latitude|longitude|distance|units, units one of {units}."
        )
    angle = degrees(distance / EARTH)
    bottom, top = max(-90.0, latitude - angle), min(90.0, latitude + angle)
    edges = [bottom + (top - bottom) * number / BANDS for number in range(BANDS)] + [top]
    return Or(tuple(_band(low, high, latitude, longitude, angle) for low, high in pairwise(edges)))


def _band(low: float, high: float, latitude: float, longitude: float, angle: float) -> Predicate:
    tall = Is(LATITUDE, (("low", ">=", low), ("low", "<=", high)))
    half = _half_width(low, high, latitude, angle)
    if half >= 180:
        return And((tall, Is(LONGITUDE)))
    west, east = longitude - half, longitude + half
    spans = [(max(west, -180.0), min(east, 180.0))]
    if west < -180:
        spans.append((west + 360, 180.0))
    if east > 180:
        spans.append((-180.0, east - 360))
    wide = tuple(Is(LONGITUDE, (("low", ">=", start), ("low", "<=", end))) for start, end in spans)
    return And((tall, Or(wide)))


def _half_width(low: float, high: float, latitude: float, angle: float) -> float:
    """The greatest difference of longitude, in degrees, between the centre and a point of the circle in the band."""
    if abs(latitude) + angle >= 90:  # the circle holds a pole: near it every longitude is met
        return 180.0
    centre, reach = radians(latitude), radians(angle)
    # The circle is widest where sin(latitude) = sin(centre) / cos(reach), and narrows away from there.
    widest = degrees(asin(max(-1.0, min(1.0, sin(centre) / cos(reach)))))
    at = radians(min(max(widest, low), high))
    cosine = (cos(reach) - sin(centre) * sin(at)) / (cos(centre) * cos(at))
    return degrees(acos(max(-1.0, min(1.0, cosine)))) + 1e-9
