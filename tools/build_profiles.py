"""Write profiles/participation and docs/profiles from tools/participation.py and R4's own definitions.

    python -m tools.build_profiles hl7.fhir.r4.core-4.0.1.tgz

The same source gives the same bytes. What is written by hand in profiles/participation (OperationDefinitions,
ValueSets, SearchParameters) stays; extensions without a snapshot are given one.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from tools.elements import CORE, HOME, OURS, el
from tools.participation import EXTENSIONS, PROFILES, Profile
from tools.participation_examples import COUNTER, EXAMPLES
from tools.snapshots import definitions, snapshot

Json = dict[str, Any]
ROOT = Path(__file__).parents[1]
FOLDER, PAGES = ROOT / "profiles" / "participation", ROOT / "docs" / "profiles"
VERSION = "0.1.0"
HEAD = {"version": VERSION, "status": "active", "experimental": False}


def main() -> None:
    """Read the package, write all files, print how many."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("core", type=Path)
    files = built(parser.parse_args().core)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    print(len(files), "files")


def built(core: Path) -> dict[Path, str]:
    """Every file that is written, with what it holds."""
    known = definitions(core)
    made: dict[Path, Json] = {}
    for path in sorted(FOLDER.glob("StructureDefinition-*.json")):  # those written by hand
        resource = json.loads(path.read_text())
        if resource["type"] == "Extension" and resource["id"] not in {name for name, *_ in EXTENSIONS}:
            made[path] = _whole(resource, known)
    for name, title, place, type, more in EXTENSIONS:
        made[_path("StructureDefinition", name)] = _whole(_extension(name, title, place, type, more), known)
    for profile in PROFILES:
        made[_path("StructureDefinition", profile.name)] = _whole(_profile(profile), known)
    for name, resource in EXAMPLES.items():
        made[FOLDER / "examples" / f"{name}.json"] = example(name, resource)
    for name, resource, place, why in counter_examples():
        told = {"place": place, "why": why, "resource": resource}
        made[FOLDER / "counter-examples" / f"{name}.json"] = told
    made[_path("ImplementationGuide", "participation")] = _guide(made)
    files = {path: json.dumps(body, indent=1, ensure_ascii=False) + "\n" for path, body in made.items()}
    pages = {PAGES / f"{profile.name}.md": _page(profile) for profile in PROFILES}
    return {**files, **pages, PAGES / "README.md": _index()}


def _path(type: str, name: str) -> Path:
    return FOLDER / f"{type}-{name}.json"


def _whole(resource: Json, known: dict[str, Json]) -> Json:
    """The resource with its snapshot before its differential."""
    rest = {key: value for key, value in resource.items() if key not in ("snapshot", "differential")}
    return {**rest, "snapshot": {"element": snapshot(resource, known)}, "differential": resource["differential"]}


def _definition(name: str, title: str, about: str, type: str, kind: str, elements: tuple[Json, ...]) -> Json:
    return {
        "resourceType": "StructureDefinition",
        "id": name,
        "url": OURS + name,
        **HEAD,
        "name": title.title().replace(" ", "") if ":" not in title else name.title().replace("-", ""),
        "title": title,
        "description": about,
        "fhirVersion": "4.0.1",
        "kind": kind,
        "abstract": False,
        "type": type,
        "baseDefinition": CORE + type,
        "derivation": "constraint",
        "differential": {"element": list(elements)},
    }


def _profile(profile: Profile) -> Json:
    return _definition(profile.name, profile.title, profile.about, profile.type, "resource", profile.elements)


def _extension(name: str, title: str, place: str, type: str, more: Json) -> Json:
    elements = (
        el("Extension", short=title, definition=title, min=0, max="1"),
        el("Extension.extension", max="0"),
        el("Extension.url", fixedUri=OURS + name),
        el("Extension.value[x]", min=1, type=[{"code": type}], **more),
    )
    made = _definition(name, title, title, "Extension", "complex-type", elements)
    made["context"] = [{"type": "element", "expression": place}]
    return made


def example(name: str, resource: Json) -> Json:
    """An example as it is written: with its id and the profile that it claims."""
    body = {key: value for key, value in resource.items() if key != "resourceType"}
    return {
        "resourceType": resource["resourceType"],
        "id": f"example-{name}",
        "meta": {"profile": [OURS + name]},
        **body,
    }


def counter_examples() -> list[tuple[str, Json, str, str]]:
    """Name, resource, the element that is wrong, and why."""
    found = []
    for number, (name, change, place, why) in enumerate(COUNTER, 1):
        whole = {**example(name, EXAMPLES[name]), **change}
        whole["id"] = f"wrong-{number}"
        kept = {key: value for key, value in whole.items() if value is not None}
        found.append((f"{name}-{number}", kept, place, why))
    return found


def _guide(made: dict[Path, Json]) -> Json:
    """The ImplementationGuide that names everything in the folder."""
    bodies = dict(made)
    for path in sorted(FOLDER.glob("*.json")):
        if path.name != "ImplementationGuide-participation.json":
            bodies.setdefault(path, json.loads(path.read_text()))
    resources = []
    for path in sorted(bodies):
        body = bodies[path]
        if "resourceType" in body:
            one: Json = {"reference": {"reference": f"{body['resourceType']}/{body['id']}"}}
            if "url" in body:
                one |= {"name": body.get("title") or body["name"], "exampleBoolean": False}
            else:
                one |= {"name": body["id"], "exampleCanonical": body["meta"]["profile"][0]}
            resources.append(one)
    return {
        "resourceType": "ImplementationGuide",
        "id": "participation",
        "url": f"{HOME}/ImplementationGuide/participation",
        **HEAD,
        "name": "Participation",
        "title": "Cancer research participation network",
        "packageId": "example.participation",
        "license": "Apache-2.0",
        "fhirVersion": ["4.0.1"],
        "definition": {"resource": resources},
    }


def _page(profile: Profile) -> str:
    """The human page of a profile."""
    lines = [f"# {profile.title}", "", profile.about, "", f"`{OURS}{profile.name}`, a profile of {profile.type}.", ""]
    lines += ["| element | how many | must support | says |", "|---|---|---|---|"]
    for element in profile.elements:
        low, high = element.get("min", ""), element.get("max", "")
        count = f"{low}..{high}" if low != "" or high else ""
        support = "yes" if element.get("mustSupport") else ""
        lines.append(f"| `{element['id']}` | {count} | {support} | {'; '.join(_says(element))} |")
    lines += ["", "## Example", "", f"[{profile.name}.json](../../profiles/participation/examples/{profile.name}.json)"]
    wrong = [
        (name, place, why) for name, _, place, why in counter_examples() if name.rpartition("-")[0] == profile.name
    ]
    if wrong:
        lines += ["", "## What is refused", "", "| example | element | why |", "|---|---|---|"]
        path = "../../profiles/participation/counter-examples"
        lines += [f"| [{name}]({path}/{name}.json) | `{place}` | {why} |" for name, place, why in wrong]
    return "\n".join(lines) + "\n"


def _says(element: Json) -> list[str]:
    """What an element of a differential says, in words."""
    said = []
    for key, value in element.items():
        if key.startswith(("fixed", "pattern")):
            coding = value.get("coding", [{}])[0] if isinstance(value, dict) else {}
            shown = f"{coding.get('system')}#{coding.get('code')}" if coding else str(value).lower()
            said.append(f"{'is' if key.startswith('fixed') else 'holds'} `{shown}`")
    if "slicing" in element:
        said.append("sliced by " + ", ".join(one["path"] for one in element["slicing"]["discriminator"]))
    for type in element.get("type", ()):
        names = [url.rpartition("/")[2] for url in (*type.get("targetProfile", ()), *type.get("profile", ()))]
        said.append(f"{type['code']}{f' ({chr(44).join(names)})' if names else ''}")
    if "binding" in element:
        said.append(f"{element['binding']['strength']}: {element['binding']['valueSet'].rpartition('/')[2]}")
    said += [f"{rule['human']} ({rule['key']})" for rule in element.get("constraint", ())]
    return said


def _index() -> str:
    lines = [
        "# Profiles",
        "",
        "What the network asks of the resources it works with. `python -m tools.build_profiles` writes these pages.",
        "A resource claims a profile in `meta.profile`; [validation](../validation.md) says what is done about it.",
        "",
        "| profile | of | for |",
        "|---|---|---|",
        *(f"| [{p.title}]({p.name}.md) | {p.type} | {p.about} |" for p in PROFILES),
        "",
        "Extensions of our own: "
        + "; ".join(f"`{name}`, {title[0].lower()}{title[1:]}" for name, title, *_ in EXTENSIONS)
        + ".",
        "",
        "## Search parameters",
        "Create these SearchParameters and call [$reindex](../operations/reindex.md), and the server searches by them:",
        "",
        "| parameter | of | finds |",
        "|---|---|---|",
    ]
    for path in sorted(FOLDER.glob("SearchParameter-*.json")):
        one = json.loads(path.read_text())
        where = f"../../profiles/participation/{path.name}"
        lines.append(f"| [{one['code']}]({where}) | {', '.join(one['base'])} | {one['description']} |")
    lines += [
        "",
        "Tumours are found with what lies below by `Condition?code:below=http://oncotree.mskcc.org|LUNG`, whether a",
    ]
    lines += ["specimen is there by `Specimen?status=available`.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
