"""XML, HTML, gzip and pretty printing over HTTP. https://hl7.org/fhir/R4/http.html#mime-type"""

import gzip
import html
import json
import re
import zlib
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import httpx2
import pytest

from fhir_server.fhir.xml_read import read_xml
from fhir_server.rest.coding import WORTHWHILE
from fhir_server.rest.negotiate import SHORT, WRITTEN
from fhir_server.settings import Settings
from tests.client import BASE, Client

PATIENT = {"resourceType": "Patient", "id": "p", "gender": "female"}
XML = b'<Patient xmlns="http://hl7.org/fhir"><id value="p"/><gender value="female"/></Patient>'
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
EVIL = "</pre><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def kind_of(answer: httpx2.Response) -> str:
    return WRITTEN[answer.headers["content-type"].removesuffix("; charset=utf-8")]


@pytest.mark.parametrize(
    ("accept", "type"),
    [
        ("application/fhir+xml", "application/fhir+xml"),
        ("application/xml", "application/xml"),
        ("text/xml;charset=utf-8", "text/xml"),
        ("application/fhir+xml, application/fhir+json;q=0.5", "application/fhir+xml"),
        ("application/fhir+json;q=0.5, application/fhir+xml;q=0.6", "application/fhir+xml"),
        ("application/fhir+xml, application/fhir+json", "application/fhir+xml"),
        ("application/fhir+json, application/fhir+xml", "application/fhir+json"),
        ("application/fhir+json;q=0, */*", "application/json"),
        ("application/*;q=0.2, text/xml;q=0.1", "application/fhir+json"),
        ("*/*, application/fhir+xml", "application/fhir+xml"),
        ("APPLICATION/FHIR+XML; Q=1", "application/fhir+xml"),
        ("application/fhir+xml; fhirVersion=4.0", "application/fhir+xml"),
        ("application/fhir+xml; fhirVersion=3.0, application/fhir+json;q=0.1", "application/fhir+json"),
        (CHROME, "text/html"),
        ("text/html;q=nan, text/xml;q=0.001", "text/xml"),
    ],
)
def test_accept(client: Client, accept: str, type: str) -> None:
    answer = client("GET", "Patient", headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{type}; charset=utf-8"


@pytest.mark.parametrize(
    "accept",
    ["application/pdf", "image/*", "application/fhir+json;q=0", "*/*;q=0", "application/fhir+json; fhirVersion=5.0",
     "nonsense", "application/fhir+json;q=x", ", ".join(["image/png"] * 500)],
)  # fmt: skip
def test_what_is_not_acceptable(client: Client, accept: str) -> None:
    answer = client("POST", "Patient", PATIENT, headers={"accept": accept})
    assert answer.status_code == 406
    assert answer.json()["issue"][0]["code"] == "not-supported"
    assert client.versions() == 0


def test_format_counts_more_than_accept(client: Client) -> None:
    for format, kind in {**{name: name for name in SHORT}, **WRITTEN}.items():
        for text in (format, format.replace("+", "%2B"), format.upper(), format + ";charset=utf-8"):
            answer = client("GET", f"Patient?_format={text}", headers={"accept": "application/pdf"})
            assert kind_of(answer) == kind, text
    posted = client("POST", "Patient/_search", headers={"content-type": "application/x-www-form-urlencoded"},
                    content="_format=xml&gender=male")  # fmt: skip
    assert kind_of(posted) == "xml"
    assert (
        client("GET", "Patient/p?_format=xml&_format=json").headers["content-type"].startswith("application/fhir+xml")
    )


def test_every_format_claimed_works_and_every_other_is_not_claimed(client: Client) -> None:
    statement = client("GET", "metadata").json()
    assert set(statement["format"]) == {"application/fhir+json", "application/fhir+xml", "text/html", *SHORT}
    for format in statement["format"]:
        assert client("GET", "Patient", params={"_format": format}).status_code == 200
    for format in ("ttl", "application/fhir+turtle", "text/plain", ""):
        assert client("GET", "Patient", params={"_format": format}).status_code == 406
    assert read_xml(client("GET", "metadata?_format=xml").content) == statement


def test_a_resource_written_as_xml_is_read_as_json_and_back(client: Client) -> None:
    xml = {"content-type": "application/fhir+xml", "accept": "application/fhir+xml"}
    made = client("PUT", "Patient/p", headers=xml, content=XML)
    assert made.status_code == 201
    assert made.headers["etag"] == 'W/"1"'
    read = client("GET", "Patient/p").json()
    assert (read["id"], read["gender"]) == ("p", "female")
    assert read_xml(made.content) == read
    for type in ("application/xml", "text/xml; charset=UTF-8", "application/fhir+xml; fhirVersion=4.0"):
        assert client("PUT", "Patient/p", headers={"content-type": type}, content=XML).status_code == 200
    history = client("GET", "Patient/p/_history?_format=xml")
    assert read_xml(history.content) == {
        **client("GET", "Patient/p/_history").json(),
        "link": [{"relation": "self", "url": f"{BASE}/Patient/p/_history?_format=xml"}],
    }


def test_bundles_and_patches_in_xml(client: Client) -> None:
    bundle = b"""<Bundle xmlns="http://hl7.org/fhir"><type value="transaction"/><entry>
        <fullUrl value="urn:uuid:7d8a4c5e-1f0b-4a55-9a8e-0c1f4f7f0d11"/>
        <resource>%s</resource><request><method value="PUT"/><url value="Patient/p"/></request></entry></Bundle>"""
    xml = {"content-type": "application/fhir+xml", "accept": "application/fhir+xml"}
    answer = client("POST", "", headers=xml, content=bundle % XML)
    assert answer.status_code == 200
    assert read_xml(answer.content)["entry"][0]["response"]["status"].startswith("201")
    patch = """<Parameters xmlns="http://hl7.org/fhir"><parameter><name value="operation"/>
        <part><name value="type"/><valueCode value="replace"/></part>
        <part><name value="path"/><valueString value="Patient.gender"/></part>
        <part><name value="value"/><valueCode value="male"/></part></parameter></Parameters>"""
    assert client("PATCH", "Patient/p", headers=xml, content=patch).status_code == 200
    assert client("GET", "Patient/p").json()["gender"] == "male"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("Patient/p", b"<Patient", 400),
        ("Patient/p", XML.replace(b"<gender", b"<nonsense/><gender"), 400),
        ("Patient/p", XML.replace(b"female", b"banana"), 422),
        ("Patient/p", b'<!DOCTYPE x [<!ENTITY e "x">]>' + XML, 400),
        ("Patient/p", b'{"resourceType":"Patient","id":"p"}', 400),
        ("Practitioner/p", XML, 400),
    ],
)
def test_bad_xml_is_refused_in_xml(client: Client, path: str, body: bytes, status: int) -> None:
    answer = client("PUT", path, headers={"content-type": "application/fhir+xml", "accept": "text/xml"}, content=body)
    assert answer.status_code == status
    assert kind_of(answer) == "xml"
    outcome = read_xml(answer.content)
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["diagnostics"]
    assert client.versions() == 0


def test_refusals_come_in_the_format_asked_for(client: Client) -> None:
    for path, status in (("Patient/nobody", 404), ("Patient?nonsense=1", 400), ("Nonsense", 404), ("a/b/c/d/e", 404)):
        for format in ("json", "xml", "html"):
            answer = client("GET", path, headers={"accept": SHORT[format]})
            assert (answer.status_code, kind_of(answer)) == (status, format)
    assert client("BREW", "Patient/p", headers={"accept": SHORT["xml"]}).headers["allow"]
    assert kind_of(client("GET", "Patient?_format=xml&name=%00")) == "json"  # the query itself could not be read


@pytest.mark.parametrize("format", ["json", "xml", "html"])
def test_head_and_conditional_read_in_every_format(client: Client, format: str) -> None:
    client("PUT", "Patient/p", PATIENT)
    path = f"Patient/p?_format={format}"
    assert client("HEAD", path).headers["content-length"] == str(len(client("GET", path).content))
    answer = client("GET", path, headers={"if-none-match": 'W/"1"'})
    assert (answer.status_code, answer.content) == (304, b"")


def test_pretty(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    plain, pretty = client("GET", "Patient/p"), client("GET", "Patient/p?_pretty=true")
    assert pretty.json() == plain.json()
    assert pretty.text.startswith('{\n  "resourceType": "Patient",\n  "id": "p",')
    assert client("GET", "Patient/p?_pretty=false").content == plain.content
    xml = client("GET", "Patient/p?_pretty=true&_format=xml")
    assert "\n  <gender value=" in xml.text
    assert read_xml(xml.content) == plain.json()


def test_pages_keep_the_format(client: Client) -> None:
    for _ in range(3):
        client.create(PATIENT)
    for path in ("Patient?_count=2&_format=xml&_pretty=true", "_history?_count=2&_format=xml&_pretty=true"):
        links = {link["relation"]: link["url"] for link in read_xml(client("GET", path).content)["link"]}
        assert links["self"].endswith("&_format=xml&_pretty=true")
        after = client("GET", links["next"].removeprefix(BASE + "/"))
        assert len(read_xml(after.content)["entry"]) == 1


class Page(HTMLParser):
    """The tags, links and text of an HTML page, as a browser would find them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name == "href"]


def page(client: Client, path: str) -> tuple[httpx2.Response, Page]:
    answer = client("GET", path, headers={"accept": CHROME})
    assert kind_of(answer) == "html"
    return answer, Page(answer.text)


def shown(text: str) -> Any:
    """The JSON that a person would copy from the page."""
    found = re.search(r"<pre>(.*)</pre>", text, re.DOTALL)
    assert found
    return json.loads(html.unescape(re.sub(r"<[^>]*>", "", found[1])))


def test_html_shows_the_resource_with_links_to_this_server_only(client: Client) -> None:
    client("PUT", "Patient/p", PATIENT)
    urls = ["javascript:alert(1)", "//evil.example/x", "http://evil.example/fhir/Patient/p", "Patient/../../x",
            f"{BASE}/../admin", f"{BASE}.evil.example/x", f"{BASE}@evil.example/", f'{BASE}/Patient/p" onclick="x',
            f"{BASE}/Patient/%2e%2e/x", "data:text/html,x", "Patient/p?x"]  # fmt: skip
    basic = {
        "resourceType": "Basic", "code": {"text": EVIL}, "subject": {"reference": "Patient/p", "display": EVIL},
        "author": {"reference": f"{BASE}/Patient/p/_history/1"},
        "extension": [{"url": "urn:x", "valueString": url} for url in urls],
    }  # fmt: skip
    id = client.create(basic)
    answer, seen = page(client, f"Basic/{id}")
    assert shown(answer.text) == client("GET", f"Basic/{id}").json()
    assert set(seen.links) == {
        f"{BASE}/Patient/p", f"{BASE}/Patient/p/_history/1", "?_format=json", "?_format=xml",
    }  # fmt: skip
    assert seen.tags == {"html", "head", "meta", "title", "style", "body", "h1", "nav", "main", "pre", "b", "a"}
    assert seen.attributes == {"lang", "charset", "name", "content", "href", "aria-label"}
    assert "width=device-width" in answer.text


def test_html_allows_nothing_but_its_own_style(client: Client) -> None:
    answer, _ = page(client, "Patient")
    policy = answer.headers["content-security-policy"]
    style = re.search(r"<style>(.*)</style>", answer.text, re.DOTALL)
    assert style
    digest = b64encode(sha256(style[1].encode()).digest()).decode()
    assert policy.split("; ")[:2] == ["default-src 'none'", f"style-src 'sha256-{digest}'"]
    assert {"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_html_of_a_search_leads_to_its_entries_and_pages(client: Client) -> None:
    for at in range(3):
        client("PUT", f"Patient/p{at}", {**PATIENT, "id": f"p{at}"})
    _, seen = page(client, "Patient?_count=2&gender=female")
    assert {f"{BASE}/Patient/p0", f"{BASE}/Patient/p1", f"{BASE}/Patient?_count=2&gender=female"} <= set(seen.links)
    assert "?_count=2&gender=female&_format=xml" in seen.links
    after = next(link for link in seen.links if "_page=" in link)
    _, more = page(client, after.removeprefix(BASE + "/"))
    assert f"{BASE}/Patient/p2" in more.links


def test_html_never_renders_what_is_stored(client: Client) -> None:
    data = b64encode(EVIL.encode() * 1000).decode()
    binary = client.create({"resourceType": "Binary", "contentType": "text/html", "data": data})
    answer, seen = page(client, f"Binary/{binary}")
    assert answer.headers["content-type"].startswith("text/html")
    assert "script" not in seen.tags
    assert len(answer.content) < 10_000  # the page does not carry the data either
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><h2>x</h2></div>'
    basic = {"resourceType": "Basic", "code": {"text": "x"}, "text": {"status": "generated", "div": div}}
    _, seen = page(client, f"Basic/{client.create(basic)}")
    assert not seen.tags & {"div", "h2"}
    _, seen = page(client, "Patient?name=<script>alert(1)</script>")
    assert "script" not in seen.tags
    _, seen = page(client, "<script>")
    assert "script" not in seen.tags


LARGE = {**PATIENT, "name": [{"text": "x" * 60}] * 100}


@pytest.mark.parametrize("encoding", ["gzip", "gzip, deflate, br", "*", "br;q=1.0, gzip;q=0.5", "x-gzip"])
def test_large_answers_are_packed(client: Client, encoding: str) -> None:
    client("PUT", "Patient/p", LARGE)
    plain = client("GET", "Patient/p", headers={"accept-encoding": "identity"})
    packed = client("GET", "Patient/p", headers={"accept-encoding": encoding})
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 10
    assert packed.content == plain.content  # unpacked by the client
    for format in ("xml", "html"):
        packed = client("GET", f"Patient/p?_format={format}", headers={"accept-encoding": encoding})
        assert (packed.headers["content-encoding"], kind_of(packed)) == ("gzip", format)


def test_other_answers_are_not_packed(client: Client) -> None:
    client("PUT", "Patient/p", LARGE)
    client("PUT", "Patient/q", {**PATIENT, "id": "q"})
    for encoding in ("", "identity", "br", "gzip;q=0", "*;q=0.000", "gzip;q=0, *"):
        assert "content-encoding" not in client("GET", "Patient/p", headers={"accept-encoding": encoding}).headers
    small = client("GET", "Patient/q", headers={"accept-encoding": "gzip"})
    assert len(small.content) < WORTHWHILE
    assert "content-encoding" not in small.headers


def test_packed_requests_are_read(client: Client) -> None:
    headers = {"content-type": "application/fhir+xml", "content-encoding": "gzip"}
    assert client("PUT", "Patient/p", headers=headers, content=gzip.compress(XML)).status_code == 201
    halves = gzip.compress(XML[:20]) + gzip.compress(XML[20:])
    assert client("PUT", "Patient/p", headers=headers, content=halves).status_code == 200
    for content in (XML, gzip.compress(XML)[:-9], gzip.compress(XML) + b"x", zlib.compress(XML)):
        assert client("PUT", "Patient/p", headers=headers, content=content).status_code == 400
    for encoding in ("br", "deflate", "gzip, gzip"):
        answer = client("PUT", "Patient/p", headers={**headers, "content-encoding": encoding}, content=XML)
        assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip")
    assert client("GET", "Patient/p").headers["etag"] == 'W/"2"'


def test_a_bomb_is_refused_before_it_is_unpacked(store_url: str) -> None:
    client = Client(Settings(store=store_url, base_url=BASE, auth="open", access_log=False, max_body=1_000_000))
    headers = {"content-type": "application/fhir+json", "content-encoding": "gzip"}
    bomb = gzip.compress(b" " * 100_000_000)
    assert len(bomb) < 1_000_000
    for content in (bomb, bomb * 5, gzip.compress(b" " * 600_000) * 2):
        assert client("PUT", "Patient/p", headers=headers, content=content).status_code == 413
    client.close()
