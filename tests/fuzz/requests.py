"""A grammar of requests that are nearly right: addresses of the route table, real parameters, corrupt values."""

import json
import re
from typing import Any
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st

from fhir_server.fhir.definitions import load
from fhir_server.operations.table import OPERATIONS
from fhir_server.rest.routes import INTERACTIONS
from tests.client import BASE
from tests.fuzz import bodies
from tests.fuzz.bodies import Draw
from tests.fuzz.raw import Request

DEFINITIONS = load()
COMMON = [
    "Patient",
    "Observation",
    "Condition",
    "Encounter",
    "Location",
    "ValueSet",
    "List",
    "Group",
    "Binary",
    "SearchParameter",
]
TYPES = st.sampled_from(
    [*COMMON * 40, *sorted(DEFINITIONS.resources), "Banana", "patient", "Resource", "DomainResource", ""]
)
OF_SEEDS = st.sampled_from(sorted(bodies.SEEDS))
ODD_IDS = ["nobody", "x" * 65, "a b", ".", "..", "é", "x" * 64]
VERSIONS = st.sampled_from(["1"] * 8 + ["2", "0", "-1", "x", "9" * 40, "1.0", "٣"])
FAULTS = st.sampled_from(["query", "query", "query", "body", "body", "body", "headers", "target", "none", "all"])
METHODS = st.sampled_from(
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW", "get", "CONNECT"]
)
MODIFIERS = ["missing", "exact", "contains", "text", "not", "in", "not-in", "above", "below", "of-type", "ofType",
             "identifier", "Patient", "Group", "iterate", "x", "", "code-text"]  # fmt: skip
VALUES = {
    "date": ["2020", "ge2021-02", "lt2022-12-31T10:00:00Z", "ap2020", "ne2019-01-01", "2026-02-30", "9999", "0001",
        "ge",
             "2021-07-01T10:00:00+14:00", "2021-07-01T24:00:00Z", "2021-07-01T10:00", "sa10000", "eb0000"],
    "number": ["5", "gt0.1", "1e3", "-0", "1e-999999", "9" * 50, "ap0", "0x1", "NaN", "Infinity", "lt-1e400", "1.",
        "."],
    "quantity": ["5", "120|http://unitsofmeasure.org|mm[Hg]", "gt5||mg", "5|", "5|||",
        "1e400|http://unitsofmeasure.org|g",
                 "ap70|http://unitsofmeasure.org|kg", "5|http://unitsofmeasure.org|((",
                     "5|http://unitsofmeasure.org|mg/mg/mg"],
    "token": ["male", "http://loinc.org|8480-6", "|a", "http://loinc.org|", "|", "||", "a|b|c", "true", "urn:mrn|1"],
    "reference": ["Patient/patient1", "patient1", f"{BASE}/Patient/patient1", "http://x/Patient/1", "Patient/", "/",
        "#a",
                  "Patient/1/_history/1", "Banana/1", "urn:uuid:x", "http://cs|1.0"],
    "string": ["Ito", "zoe", "o'n", "%_", "a\\,b", "\\", "\\\\", "*", "(a+)+$", "e\u0301", "\u200b", "x" * 2000, "İ",
        "ß"],
    "uri": ["http://example.org/a", "urn:x", "x", "http://", "urn:oid:1.2.3", "a b"],
    "composite": ["8480-6$gt100", "a$b", "$", "a$b$c", "http://loinc.org|718-7$13||g", "\\$", "8480-6$gt", "a$2020",
        "$$$"],
    "special": ["46.9|7.4|10|km", "91|181", "|||", "a|b|c|d", "0|0|-1|km", "0|0|1e999|km", "name eq 'x'", "system",
        "lung cancer"],
}  # fmt: skip
NOISE = ["", ",", ",,,", "\\,", "$", "\\$", "true", "x" * 3000, "\0", "☃", "\ud800", "a,b,c", ",".join("abcdefgh" * 30)]
RESULTS = {
    "_count": ["0", "1", "5", "1000", "-1", "x", "9" * 30, "1.5"],
    "_sort": ["_id", "-_lastUpdated", "name", "-date,code", "x", "", "-", "_text", "near", "--code",
        "value-quantity,code"],
    "_include": ["Observation:subject", "Observation:subject:Patient", "*", "Patient:name", "x", ":",
        "Observation:*", "Patient:*:Group"],
    "_include:iterate": ["Patient:organization", "*", "Observation:subject", "x:y:z"],
    "_revinclude": ["Observation:subject", "*", "Provenance:target", "Condition:*", "*:*"],
    "_revinclude:iterate": ["Observation:subject", "*:patient", "List:item"],
    "_summary": ["true", "text", "data", "count", "false", "x"],
    "_elements": ["name", "a,b", "name.family", "*", ",", "id", "value"],
    "_total": ["none", "estimate", "accurate", "x"],
    "_type": ["Patient", "Patient,Observation", "Banana", ",", "Patient,Patient"],
    "_since": ["2020", "x", "2999-01-01T00:00:00Z"],
    "_at": ["2020"],
    "_format": ["json", "xml", "html", "application/fhir+xml", "x", "json", "text/html"],
    "_pretty": ["true", "false", "x"],
    "_page": ["x", "A" * 60, "", "é"],
    "_contained": ["true", "both", "false", "x"],
    "_containedType": ["contained", "container"],
    "_explain": ["true", "x"],
    "subject": ["patient1", "Patient/patient2", "x", "Group/x"],
    "ranges": ["NC_000007.14:1-9", "NC_000007.14:0-9999999999,NC_000001.10:5-5", "chr7:1-9", "NC_000007.14:9-1"],
    "variants": ["NC_000007.14:5:A:T", "NC_000007.14:g.5_9999999999del", "NM_005228.5:c.2573T>G", "x:y:z:"],
    "haplotypes": ["*1", "urn:x|y", "|"],
    "testDateRange": ["ge2020", "2021", "x"],
    "_has": ["x"],
    "_has:Observation:subject:code": ["8480-6", "x,y"],
    "_has:Observation:subject:_has:Provenance:target:agent": ["Practitioner/1"],
    "_has:Observation": ["x"],
    "_has:::": ["x"],
    "_has:Banana:x:y": ["x"],
    "_filter": ["name eq 'x'", "(", "a and", "birthdate gt 2020 and not (gender eq male)", "code in 'urn:x'",
        "(((((x eq 1)))))"],
    "_query": ["x"],
    "_list": ["list0", "$current-allergies", "nobody", "x" * 70],
    "_text": ["lung", "lung AND cancer", '"', "a OR", "NOT x", "(", "*"],
    "_content": ["lung", "-", '"a b"', "NEAR/5"],
    "_id": ["patient1", "patient1,patient2", "x y", "x" * 70],
    "_lastUpdated": ["gt2020", "2026-01-01T00:00:00Z", "x", "ap2020"],
    "start": ["2020", "x"], "end": ["2020"], "mode": ["create", "x"], "max": ["1", "x"], "profile": ["urn:x", ""],
    "patient": ["patient1"], "category": ["x"], "onlyCertainMatches": ["true", "x"], "count": ["3", "0"],
}  # fmt: skip
HEADERS: dict[bytes, list[bytes]] = {
    b"accept": [b"application/fhir+json", b"application/fhir+xml", b"text/html", b"*/*", b"", b"text/*;q=0.1",
        b";q=x", b"a/b",
                b",,,", b"application/fhir+json;fhirVersion=5.0", b"*/*;q=nan", b"\xff\xfe", b"*" * 500,
                    b"application/xml, */*;q=0"],
    b"content-type": [b"application/fhir+json", b"application/fhir+xml", b"application/json",
        b"application/json-patch+json",
                      b"application/x-www-form-urlencoded", b"text/plain", b"",
                      b"application/fhir+json; charset=utf-16",
                      b"\xff", b"multipart/form-data; boundary=x", b"application/fhir+json; fhirVersion=3.0"],
    b"prefer": [b"return=minimal", b"return=OperationOutcome", b"return=representation", b"handling=lenient",
        b"handling=x",
                b"respond-async", b"return=", b"\xe9", b";;;,,,===", b"handling=lenient; return=minimal"],
    b"if-match": [b'W/"1"', b'"1"', b"*", b"1", b'W/"', b"", b'W/"x"', b'W/"1", W/"2"', b"\xff",
        b'W/"' + b"9" * 99 + b'"'],
    b"if-none-match": [b'W/"1"', b"*", b"x", b"", b'W/"99999999999999999999999"', b"\x80"],
    b"if-none-exist": [b"identifier=urn:mrn|1", b"", b"x=y", b"_id=patient1", b"name=\xff", b"%zz=%", b"identifier=",
        b"&&&",
                       b"_count=1", b"code:in=urn:x", b"gender=male&birthdate=x"],
    b"if-modified-since": [b"Mon, 01 Jan 2001 00:00:00 GMT", b"x", b"", b"Mon, 99 Jan 99999 00:00:00 GMT", b"0"],
    b"accept-encoding": [b"gzip", b"br", b"gzip;q=0", b"*", b"gzip;q=x", b"\xff"],
    b"content-encoding": [b"gzip", b"br", b"identity", b"gzip, gzip", b""],
    b"content-length": [b"0", b"x", b"-1", b"9" * 25, b"\xb2", b"5"],
    b"x-request-id": [b"a", b"\n", b"x" * 100],
    b"x-forwarded-for": [b"127.0.0.1"],
    b"host": [b"evil.example"],
}  # fmt: skip
JUNK = st.sampled_from(
    [
        b"%",
        b"%zz",
        b"%00",
        b"%FF",
        b"%2F",
        b"//",
        b";",
        b"..",
        b"%2e%2e/",
        b"%ED%A0%80",
        b"?",
        b"*",
        b"%F0%9F%92%A9",
        b"$x",
        b"_x",
    ]
)
# Operations are many rows and few in use; what takes a body has the most ways to go wrong, and few creates succeed.
ROWS = st.sampled_from(
    [
        row
        for row in INTERACTIONS
        if not row.path.startswith("[type]/$find-")  # 17 operations on two levels would crowd out the others
        for _ in range(
            1 if row.name[0] == "$" else 40 if row.name == "create" else 8 if row.body else 6 if row.path == "" else 3
        )
    ]
)
TAKES = {f"${row.name}": row.takes for row in OPERATIONS}
OWN = {f"${row.name}": row.types[0] for row in OPERATIONS if row.types}


@st.composite
def query(draw: Draw, type: str, row: str, amiss: bool) -> list[tuple[str, str]]:
    """Name-value pairs for an interaction on a type, right ones unless they are to be `amiss`."""
    pairs = []
    known = ["_since", "_count"] if row.startswith("history") else list(TAKES.get(row) or ())
    for _ in range(draw(st.sampled_from([0, 1, 1, 2, 2, 3, 6] if amiss else [0, 1]))):
        if row in TAKES or row.startswith("history"):
            name = draw(st.sampled_from((known or ["_count"]) * 3 + (["_summary", "_at", "x"] if amiss else [])))
            pairs.append((name, draw(st.sampled_from(RESULTS.get(name, NOISE)))))
        elif draw(st.integers(0, 2)) == 0:
            name = draw(st.sampled_from(sorted(RESULTS)))
            pairs.append((name, draw(st.sampled_from(RESULTS[name] if draw(st.integers(0, 9)) else NOISE))))
        else:
            pairs.append(draw(criterion(type, amiss)))
    return pairs


@st.composite
def criterion(draw: Draw, type: str, amiss: bool) -> tuple[str, str]:
    """A parameter of the type, or one at the end of a chain, with a value."""
    params = DEFINITIONS.search.get(type) or DEFINITIONS.search["Patient"]
    param = params[draw(st.sampled_from(sorted(params)))]
    name = param.code
    while param.kind == "reference" and param.target and draw(st.booleans()) and len(name) < 80:
        target = draw(st.sampled_from(sorted(param.target)))
        params = DEFINITIONS.search.get(target) or params
        param = params[draw(st.sampled_from(sorted(params)))]
        name += draw(st.sampled_from([f":{target}", ""] if amiss else [f":{target}"])) + "." + param.code
    if not amiss:
        return name, draw(st.sampled_from(VALUES[param.kind][:2]))
    if draw(st.integers(0, 2)) == 0:
        name += ":" + draw(st.sampled_from(MODIFIERS))
    choices = VALUES[param.kind] if draw(st.integers(0, 3)) else NOISE + VALUES[draw(st.sampled_from(sorted(VALUES)))]
    return name, ",".join(draw(st.sampled_from(choices)) for _ in range(draw(st.sampled_from([1, 1, 1, 2]))))


def written(pairs: list[tuple[str, str]]) -> bytes:
    """The pairs as a query string; a lone surrogate as the bytes that it would be."""
    return "&".join(
        quote_plus(n, errors="surrogatepass") + "=" + quote_plus(v, errors="surrogatepass") for n, v in pairs
    ).encode()


@st.composite
def address(draw: Draw, amiss: bool) -> tuple[Any, str, str, bytes]:
    """A row of the route table, its type, its path filled in, and a query that may suit it."""
    row = draw(ROWS)
    type = OWN.get(row.name) if draw(st.integers(0, 9)) else None
    type = type or draw(OF_SEEDS if row.body and draw(st.integers(0, 9)) else TYPES)
    compartment = draw(st.sampled_from(["Patient"] * 6 + ["Encounter", "Practitioner", "Device", "Group", "x"]))
    holder = compartment if "[compartment]" in row.path else type
    id = (
        draw(st.sampled_from(ODD_IDS)) if draw(st.integers(0, 9)) == 0 else f"{holder.lower()}{draw(st.integers(0, 4))}"
    )
    path = row.path.replace("[type]", type).replace("[compartment]", compartment)
    path = path.replace("[id]", id).replace("[version]", draw(VERSIONS))
    likely = row.name.startswith(("search", "$", "history")) or row.path in ("[type]", "")
    pairs = draw(query(type, row.name, amiss)) if likely or (amiss and draw(st.booleans())) else []
    return row, type, path, written(pairs)


@st.composite
def bundle(draw: Draw) -> Any:
    """A batch or transaction of requests from the same grammar."""
    entries = []
    for _ in range(draw(st.sampled_from([0, 1, 2, 3, 4]))):
        amiss = draw(st.integers(0, 3)) == 0
        row, type, path, search = draw(address(amiss))
        request: dict[str, Any] = {"method": row.method, "url": quote(path) + ("?" + search.decode() if search else "")}
        for header, member in (
            (b"if-match", "ifMatch"),
            (b"if-none-exist", "ifNoneExist"),
            (b"if-none-match", "ifNoneMatch"),
        ):
            if draw(st.integers(0, 5)) == 0:
                request[member] = draw(st.sampled_from(HEADERS[header])).decode("latin-1")
        entry: dict[str, Any] = {
            "request": request,
            "fullUrl": draw(st.sampled_from(["urn:uuid:1", "urn:uuid:2", "", "x", f"{BASE}/Patient/1"])),
        }
        if row.body:
            entry["resource"] = draw(bodies.fhirpath_patch() if row.body == "patch" else bodies.resource(type, amiss))
        entries.append(entry)
    kind = draw(st.sampled_from(["batch", "transaction", "transaction", "batch", "history", "x"]))
    body: Any = {"resourceType": "Bundle", "type": kind, "entry": entries}
    return bodies.spoil(draw, body) if draw(st.integers(0, 3)) == 0 else body


@st.composite
def parameters(draw: Draw, type: str, row: str) -> Any:
    """The input of an operation."""
    pairs = draw(query(type, row, True))
    given: list[Any] = [{"name": name, "valueString": value} for name, value in pairs]
    given += draw(
        st.sampled_from(
            [[], [{"name": "resource", "resource": None}], [{"name": "meta", "valueMeta": {"tag": [{"code": "x"}]}}]]
        )
    )
    for one in given:
        if "resource" in one:
            one["resource"] = draw(bodies.resource(type))
    body: Any = {"resourceType": "Parameters", "parameter": given}
    return bodies.spoil(draw, body) if draw(st.booleans()) else body


@st.composite
def content(draw: Draw, row: str, kind: str, type: str, amiss: bool) -> tuple[bytes, bytes]:
    """A body for an interaction that takes `kind`, and its Content-Type."""
    if kind == "patch" and draw(st.booleans()):
        return bodies.encoded(draw, draw(bodies.json_patch()), amiss), b"application/json-patch+json"
    if kind == "form":
        return bodies.harm(draw, written(draw(query(type, row, amiss))), amiss), b"application/x-www-form-urlencoded"
    if draw(st.integers(0, 4)) == 0:
        return draw(bodies.xml(amiss)), b"application/fhir+xml"
    if kind == "patch":
        value = draw(bodies.fhirpath_patch())
    elif kind == "operation" and draw(st.booleans()):
        value = draw(parameters(type, row))
    else:
        value = draw(bodies.resource(type, amiss))
    return bodies.encoded(draw, value, amiss), b"application/fhir+json"


@st.composite
def requests(draw: Draw) -> Request:
    """Any request: most are wrong in one way only, so that they get far."""
    fault = draw(FAULTS)
    row, type, path, search = draw(address(fault in ("query", "all")))
    method = draw(METHODS) if fault in ("target", "all") and draw(st.booleans()) else row.method
    target = b"/fhir/" + quote(path).encode()
    if row.name == "transaction":
        body, mime = bodies.encoded(draw, draw(bundle()), fault in ("body", "all")), b"application/fhir+json"
    elif row.body:
        body, mime = draw(content(row.name, row.body, type, fault in ("body", "all")))
    else:
        body, mime = b"", b""
    headers = {b"content-type": mime} if mime else {}
    if row.method == "PUT" and row.path.endswith("[id]"):
        own = b'"id": ' + json.dumps(path.rpartition("/")[2]).encode()
        body = re.sub(rb'"id": "\w+"', lambda _: own, body, count=1)
    for _ in range(draw(st.integers(1, 4)) if fault in ("headers", "all") else 0):
        name = draw(st.sampled_from(sorted(HEADERS)))
        headers[name] = draw(st.sampled_from(HEADERS[name]))
    if fault in ("target", "all"):
        at = draw(st.integers(6, len(target)))
        target = target[:at] + draw(JUNK) + target[at:]
    if search or fault == "query":
        target += b"?" + search
    if fault == "all" and search:
        target += draw(JUNK)
    return Request(method, target, tuple(headers.items()), body, cut=fault == "all" and draw(st.integers(0, 9)) == 0)
