"""Pages that neither repeat nor skip, whatever others do meanwhile. https://hl7.org/fhir/R4/http.html#paging"""

import os
import random
import time
from base64 import urlsafe_b64decode
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fhir_server.access import OPERATOR, Caller
from fhir_server.fhir.codec import decode
from fhir_server.fhir.outcome import FhirError
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.pages import Place, seal, unseal
from fhir_server.interactions.search import search
from fhir_server.search.predicate import ID, Is, Not
from fhir_server.server import Server
from fhir_server.settings import Settings
from tests.client import BASE, Client, refusal

WALKS = 60 if os.environ.get("FHIR_SERVER_DEEP_TESTS") else 3
ROWS, PAGE = 30, 4
SORTS = (
    "", "birthdate", "-birthdate", "_lastUpdated", "-_lastUpdated", "family", "-family", "family,-birthdate", "-gender",
)  # fmt: skip
FAMILIES = ("Halmers", "Amber", "Zola", "amber", "Éda", "Kork", None)
DATES = ("1960", "1960-05", "1960-05-01", "1971-02-03", "1988", None)
GENDERS = ("female", "male", None)


def link(bundle: Any, relation: str = "next") -> str:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), "")


def follow(client: Client, url: str) -> Any:
    answer = client("GET", url.removeprefix(BASE + "/"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def patient(choose: random.Random, **kept: Any) -> dict[str, Any]:
    """Keys to sort by are drawn from a few values, so that there are ties; `kept` ones are not drawn."""
    keys = {
        "family": choose.choice(FAMILIES),
        "birthDate": choose.choice(DATES),
        "gender": choose.choice(GENDERS),
        **kept,
    }
    found = {
        "resourceType": "Patient",
        "active": keys.get("active", True),
        "telecom": [{"value": str(choose.random())}],
    }
    if keys["family"]:
        found["name"] = [{"family": keys["family"]}]
    return found | {name: keys[name] for name in ("birthDate", "gender") if keys[name]}


class Others:
    """What other clients do between two pages, and which rows it leaves as they were for a walk."""

    def __init__(self, client: Client, choose: random.Random) -> None:
        self.client, self.choose = client, choose
        self.rows: dict[str, dict[str, Any]] = {}
        for _ in range(ROWS):
            self.insert()
        self.kept: set[str] = set()

    def begin(self) -> None:
        self.kept = {id for id, row in self.rows.items() if row["active"]}

    def insert(self) -> None:
        row = patient(self.choose, active=self.choose.random() < 0.8)
        self.rows[self.client.create(row)] = row

    def act(self, by_time: bool) -> None:
        if not self.rows or self.choose.random() < 0.25:
            return self.insert()
        id = self.choose.choice(list(self.rows))
        old = self.rows[id]
        match self.choose.randrange(5):
            case 0:
                self.client("DELETE", f"Patient/{id}")
                del self.rows[id]
                self.kept.discard(id)
                return None
            case 1 | 2:  # something that no search here asks for
                keys = {name: old.get(name) for name in ("birthDate", "gender", "active")}
                row = patient(self.choose, family=old["name"][0]["family"] if "name" in old else None, **keys)
                if by_time:
                    self.kept.discard(id)
            case 3:
                row = patient(self.choose, active=old["active"])
                self.kept.discard(id)
            case _:
                row = {**old, "active": not old["active"]}
                self.kept.discard(id)
        self.rows[id] = row
        assert self.client("PUT", f"Patient/{id}", {**row, "id": id}).status_code == 200
        return None


@pytest.mark.parametrize("sort", SORTS, ids=lambda sort: sort or "unsorted")
def test_a_walk_meets_what_stayed_once_and_what_moved_at_most_once(client: Client, sort: str) -> None:
    choose = random.Random(f"walk {sort}")
    others = Others(client, choose)
    for walk in range(WALKS):
        others.begin()
        url = f"Patient?active=true&_total=accurate&_count={PAGE}" + (f"&_sort={sort}" if sort else "")
        seen: Counter[str] = Counter()
        totals = set()
        while url:
            page = follow(client, url)
            seen.update(entry["resource"]["id"] for entry in page.get("entry", ()))
            totals.add(page["total"])
            url = link(page)
            for _ in range(choose.randrange(5) if sum(seen.values()) < 10 * ROWS else 0):
                others.act("_lastUpdated" in sort)
        assert {id: seen[id] for id in others.kept if seen[id] != 1} == {}, f"walk {walk}: skipped or repeated"
        assert {id: times for id, times in seen.items() if times > 1} == {}, f"walk {walk}: moved rows repeated"
        assert len(totals) == 1, "the total changed between pages"


def test_a_row_that_moved_on_but_was_not_shown_is_shown(client: Client) -> None:
    for number in range(6):
        row = {"resourceType": "Patient", "id": f"p{number}", "birthDate": f"196{number}"}
        assert client("PUT", f"Patient/p{number}", row).status_code == 201
    page = follow(client, "Patient?_sort=birthdate&_count=2")
    client("PUT", "Patient/p0", {"resourceType": "Patient", "id": "p0", "birthDate": "1990"})  # was shown
    client("PUT", "Patient/p5", {"resourceType": "Patient", "id": "p5", "birthDate": "1991"})  # was not
    client("DELETE", "Patient/p1")
    client("PUT", "Patient/p1", {"resourceType": "Patient", "id": "p1", "birthDate": "1992"})  # was shown, and deleted
    time.sleep(0.6)  # a write may be seen half a second after its time
    ids = []
    while link(page):
        page = follow(client, link(page))
        ids += [entry["resource"]["id"] for entry in page.get("entry", ())]
    assert ids == ["p2", "p3", "p4", "p5"]


@pytest.fixture
def next_link(client: Client) -> str:
    for family in ("Halmersbach", "Quittenbaum", "Zwiebelfeld"):
        client.create({"resourceType": "Patient", "name": [{"family": family}]})
    return link(follow(client, "Patient?_sort=family&_count=1&_total=accurate&family:contains=e"))


def token(url: str) -> str:
    return parse_qs(urlsplit(url).query)["_page"][0]


def server_of(client: Client) -> Server:
    server = client.app.endpoint.server
    assert server is not None
    return server


def test_a_token_holds_nothing_readable(next_link: str) -> None:
    sealed = token(next_link)
    raw = urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4)).lower()
    for text in (b"halmers", b"patient", b"family", b"operator"):
        assert text not in raw
        assert text.decode() not in sealed.lower()


def test_a_token_is_good_in_every_process_and_after_a_restart(client: Client, next_link: str, store_url: str) -> None:
    for _ in range(2):
        other = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False))
        page = follow(other, next_link)
        other.close()
        assert (page["total"], page["entry"][0]["resource"]["name"][0]["family"]) == (3, "Quittenbaum")


def test_a_token_that_was_tampered_with_is_refused(client: Client, next_link: str) -> None:
    sealed, choose = token(next_link), random.Random(1)
    wrong = ["", "x", "é", sealed[:-8], sealed + "AAAA", sealed[::-1], "A" * len(sealed)]
    for _ in range(40):
        at = choose.randrange(len(sealed) - 1)
        wrong.append(sealed[:at] + ("B" if sealed[at] == "A" else "A") + sealed[at + 1 :])
    for text in wrong:
        answer = client("GET", "Patient", params={"_page": text})
        assert answer.status_code == 400, text
        refusal(answer)
    refusal(client("GET", f"Patient?_page={sealed}&family=Zwiebelfeld"))
    refusal(client("GET", f"Observation?_page={sealed}"))


def refused(client: Client, server: Server, caller: Caller, sealed: str) -> str:
    with pytest.raises(FhirError) as error:
        client.run(search(server, caller, Ask(type="Patient", query=(("_page", sealed),))))
    assert error.value.status == 400
    return str(error.value)


def test_a_token_of_another_caller_or_an_expired_one_is_refused(client: Client, next_link: str) -> None:
    server = server_of(client)
    assert "not a page" in refused(client, server, Caller("another"), token(next_link))
    later = replace(server, clock=lambda: server.clock() + (server.settings.page_lifetime + 2) * 1_000_000)
    assert "expired" in refused(client, later, OPERATOR, token(next_link))


HIDDEN = Not(Is(ID, (("id", "=", "hidden"),)))


def test_a_total_is_not_repeated_under_another_permit(client: Client, next_link: str) -> None:
    server = server_of(client)
    for caller, total in ((OPERATOR, 3), (Caller(OPERATOR.id, lambda type, letter: HIDDEN, "other"), None)):
        answer = client.run(search(server, caller, Ask(type="Patient", query=(("_page", token(next_link)),))))
        assert decode(answer.body).get("total") == total


def test_what_is_sealed_is_unsealed(client: Client) -> None:
    server = server_of(client)
    place = Place("Patient", (("name", "x"),), ("x", None, 3, 0.5), 7, True, 12, ((1, 2, ("x", None)),))
    assert unseal(server, OPERATOR, "Patient", seal(server, OPERATOR, place)) == place
