"""The studies that are kept are those of the store, whoever changed them: asked through two openings of one store, as
two processes would."""

import pytest

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.delete import delete
from fhir_server.matching.studies import RECRUITING, read_studies
from fhir_server.operations.expunge import expunge
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings
from tests.matching import world as w
from tests.matching.match_test import put

pytestmark = pytest.mark.anyio
YEARS = {"system": "http://unitsofmeasure.org", "code": "a"}


async def told(server: Server) -> list[tuple[str, bool, int]]:
    """The studies that recruit: id, whether they can be matched, and how many criteria they have."""
    found = [one.study for one in await read_studies(server, RECRUITING)]
    return [(one.id, one.open, sum(len(way.root.parts) for way in one.alternatives)) for one in found]


async def test_what_another_process_writes_is_seen_at_once(store_url: str) -> None:
    settings = Settings(store=store_url, auth="open", match=False)
    adult, ecog = (
        w.trait("age", "30525-0", valueQuantity={**YEARS, "value": 18, "comparator": ">="}),
        w.trait("ecog", "89247-1", valueQuantity={"value": 1}),
    )
    async with open_server(settings) as here, open_server(settings) as there:
        assert await told(here) == []
        await put(there, w.group("g", adult), w.study("s", "g"))
        assert await told(here) == [("s", True, 1)]
        await put(there, w.group("g", adult, ecog))  # the Group alone
        assert await told(here) == [("s", True, 2)]
        await put(there, w.study("s", "g", status="completed"), w.study("t", "g"))
        assert await told(here) == [("t", True, 2)]
        assert [one.study.id for one in await read_studies(here)] == ["s", "t"]
        await delete(there, OPERATOR, Ask(type="ResearchStudy", id="t"))
        assert await told(here) == []
        await put(there, w.study("t", "g"))
        assert await told(here) == [("t", True, 2)]
        await expunge(there, OPERATOR, Ask(type="Group", id="g"), {})
        assert await told(here) == [("t", False, 0)]
        await expunge(there, OPERATOR, Ask(type="ResearchStudy", id="t"), {})
        assert await told(here) == []


async def test_what_is_kept_is_not_read_again(store_url: str) -> None:
    settings = Settings(store=store_url, auth="open", match=False)
    async with open_server(settings) as server:
        await put(server, w.group("g", w.trait("ecog", "89247-1", valueQuantity={"value": 1})), w.study("s", "g"))
        first = await read_studies(server, EVERYTHING)
        await put(server, w.patient())
        assert await read_studies(server, EVERYTHING) is first
