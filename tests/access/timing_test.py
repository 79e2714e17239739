"""Does the time of an answer tell a hidden resource from one that never was? https://hl7.org/fhir/R4/security.html"""

import time
from collections.abc import Iterator
from random import Random

import pytest

from tests.access.rights_test import Desk, Somebody, observation, patient
from tests.auth.door import smart
from tests.deep import DEEP

PAIRS = 5_000
IDS = 200


@pytest.fixture
def desk(store_url: str) -> Iterator[Desk]:
    """Two patients, one with many observations that the other must not see."""
    opened = Desk(smart(store_url, rate_limit=0))
    opened.register(id="app", redirects=("https://app.example/",))
    operator = opened.as_("system/*.cruds", role="operator")
    rows = [patient("eve"), patient("ada"), *(observation(f"hidden-{n:04}", "ada") for n in range(IDS))]
    entries = [{"resource": one, "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"}}
               for one in rows]  # fmt: skip
    assert operator("POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}).status_code == 200
    yield opened
    opened.close()


def auc(low: list[float], high: list[float]) -> float:
    """How often a value of `high` exceeds one of `low`: 0.5 if the two cannot be told apart."""
    ranked = sorted([(value, 0) for value in low] + [(value, 1) for value in high])
    ranks = sum(place for place, (_, which) in enumerate(ranked, 1) if which)
    return (ranks - len(high) * (len(high) + 1) / 2) / (len(low) * len(high))


def seconds(somebody: Somebody, id: str) -> float:
    began = time.perf_counter()
    answer = somebody("GET", f"Observation/{id}")
    elapsed = time.perf_counter() - began
    assert answer.status_code == 404
    return elapsed


@pytest.mark.deep
@pytest.mark.skipif(not DEEP, reason="make test-deep measures times: they mean nothing beside other tests")
@pytest.mark.timeout(900)
def test_times_do_not_tell_hidden_from_absent(desk: Desk) -> None:
    random, app = Random(3), desk.as_("patient/*.rs", patient="eve")
    hidden, absent = [], []
    for _ in range(PAIRS):
        number = random.randrange(IDS)
        for which in random.sample((0, 1), 2):
            if which:
                hidden.append(seconds(app, f"hidden-{number:04}"))
            else:
                absent.append(seconds(app, f"absent-{number:04}"))
    found = auc(absent, hidden)
    print(f"AUC {found:.3f}")
    assert abs(found - 0.5) <= 0.05
