"""What one participant says over time, and what four callers see of her record: `python -m examples.consent.story`.

It runs in this process, over HTTP without a network, on a store that is gone when it ends. See docs/consent.md.
"""

import asyncio
from typing import Any

import httpx2

from fhir_server.app import create_app
from fhir_server.auth.clients import register
from fhir_server.auth.records import Authorization, Client
from fhir_server.auth.registration import checked
from fhir_server.auth.tokens import authorize, issue
from fhir_server.settings import Settings

RECIPIENT = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]}
GENETICS = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "GE"}]}
SOURCE = {"coding": [{"system": "http://loinc.org", "code": "48002-0"}]}


def about(kind: str, id: str, **more: Any) -> dict[str, Any]:
    """A resource of the participant's."""
    return {"resourceType": kind, "id": id, "subject": {"reference": "Patient/p"}, **more}


def variant(id: str, source: str) -> dict[str, Any]:
    """A variant, with LOINC's answer to where it comes from."""
    said = {"coding": [{"system": "http://loinc.org", "code": source}]}
    code = {"coding": [{"system": "http://loinc.org", "code": "69548-6"}]}
    part = {"code": SOURCE, "valueCodeableConcept": said}
    return about("Observation", id, status="final", code=code, category=[GENETICS], component=[part])


RECORD: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "p", "generalPractitioner": [{"reference": "Practitioner/gp"}]},
    {"resourceType": "Practitioner", "id": "gp"},
    {"resourceType": "ResearchStudy", "id": "glioma", "status": "active"},
    {"resourceType": "ResearchStudy", "id": "ancestry", "status": "active"},
    about("Condition", "diagnosis"),
    about("Specimen", "biopsy"),
    variant("somatic", "LA6684-0"),
    variant("germline", "LA6683-2"),
]
CALLERS: dict[str, dict[str, Any]] = {
    "participant": {"scopes": ("patient/*.cruds",), "user": "Patient/p", "patient": "p"},
    "clinician": {"scopes": ("user/*.rs",), "user": "Practitioner/gp"},
    "glioma study": {"scopes": ("system/*.rs",), "role": "researcher", "study": "glioma",
                     "actors": ("Organization/university",)},
    "ancestry study": {"scopes": ("system/*.rs",), "role": "researcher", "study": "ancestry",
                       "actors": ("Organization/company",)},
}  # fmt: skip
SEEN = ("Patient", "Condition", "Specimen", "Observation")


def use(*data: str, purpose: str = "HRESCH") -> dict[str, Any]:
    """A line of the page of choices."""
    parts: list[dict[str, Any]] = [{"name": "data", "valueCode": one} for one in data]
    return {"name": "use", "part": [*parts, {"name": "purpose", "valueCode": purpose}]}


def without(study: str) -> dict[str, Any]:
    """A study that is to use nothing."""
    return {"name": "without", "valueReference": {"reference": f"ResearchStudy/{study}"}}


REST = ("demographics", "clinical", "biospecimen", "somatic-genomic")
STORY: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    ("She has said nothing.", []),
    ("She permits research with all her data.", [use()]),
    ("But not with what she inherited.", [use(*REST)]),
    ("And not to the ancestry study.", [use(*REST), without("ancestry")]),
    ("She pauses.", [{"name": "pause", "valueBoolean": True}]),
    ("She goes on.", [{"name": "pause", "valueBoolean": False}]),
    ("She revokes everything.", [{"name": "revoke", "valueBoolean": True}]),
)


async def main() -> None:
    """Tell the story: after each step, what every caller sees."""
    settings = Settings(store="sqlite:///:memory:", auth="smart", access_log=False, log_level="ERROR", audit=False)
    app = create_app(settings)
    transport = httpx2.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url=settings.base + "/") as http,
    ):
        server = app.endpoint.server
        assert server is not None

        redirects = ("https://app.example/",)
        asking = Client(id="story", name="Story", kind="public", scopes=("system/*.rs",), redirects=redirects)
        await register(server, checked(server, asking))

        async def headers(**who: Any) -> dict[str, str]:
            made = Authorization(client="story", **who)
            token = await issue(server, await authorize(server, made), made, made.scopes, 300)
            return {"authorization": f"Bearer {token}", "content-type": "application/fhir+json"}

        registry = await headers(scopes=("system/*.cruds",), role="operator")
        for one in RECORD:
            answer = await http.put(f"{one['resourceType']}/{one['id']}", json=one, headers=registry)
            answer.raise_for_status()
        known: dict[str, dict[str, str]] = {name: await headers(**who) for name, who in CALLERS.items()}
        for said, given in STORY:
            print(said)
            if given:
                body = {"resourceType": "Parameters", "parameter": given}
                (await http.post("Patient/p/$choose", json=body, headers=known["participant"])).raise_for_status()
            for name, header in known.items():
                print(f"  {name:15} sees {', '.join(await seen(http, header)) or 'nothing'}")


async def seen(http: httpx2.AsyncClient, header: dict[str, str]) -> list[str]:
    """The ids of what a caller finds, type by type."""
    found: list[str] = []
    for kind in SEEN:
        answer = await http.get(kind, headers=header)
        answer.raise_for_status()
        found += sorted(entry["resource"]["id"] for entry in answer.json().get("entry", ()))
    return found


if __name__ == "__main__":
    asyncio.run(main())
