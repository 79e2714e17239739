"""Files of CTML: JSON, one document or several, and YAML. https://yaml.org/spec/1.1/"""

from collections.abc import Hashable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import yaml

from fhir_server.fhir import codec
from fhir_server.fhir.outcome import FhirError

MOST = 32 << 20  # bytes of a file


class _Loader(yaml.SafeLoader):
    """YAML as MatchMiner reads it, but that dates stay words, decimals their digits, and no key comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            name = self.construct_object(key, deep=True)
            if not isinstance(name, Hashable):
                raise ValueError(f"a key is no word, in line {key.start_mark.line + 1}")
            if name in seen:
                raise ValueError(f"the key {name} comes twice, in line {key.start_mark.line + 1}")
            seen.add(name)
        return super().construct_mapping(node, deep)


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Any:
    try:
        return Decimal(loader.construct_scalar(node).replace("_", ""))
    except ArithmeticError:
        return loader.construct_yaml_float(node)


class _Dumper(yaml.SafeDumper):
    """The other way."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)
_Dumper.add_representer(Decimal, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", f"{value:f}"))


def read(path: Path) -> list[Any]:
    """The documents of a file. Raises ValueError for what is neither JSON nor YAML, OSError."""
    if path.stat().st_size > MOST:
        raise ValueError(f"{path} is larger than {MOST >> 20} MB")
    content = path.read_bytes()
    try:
        as_yaml = path.suffix.lower() in (".yaml", ".yml")
        found = list(yaml.load_all(content, _Loader)) if as_yaml else _json(content)
    except (yaml.YAMLError, FhirError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    documents = [one for part in found for one in (part if isinstance(part, list) else [part]) if one is not None]
    if not documents:
        raise ValueError(f"{path} holds no document")
    return documents


def _json(content: bytes) -> list[Any]:
    try:
        return [_one(content)]
    except FhirError:
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].rstrip().endswith(b"}"):
            raise
        return [_one(line) for line in lines]


def _one(content: bytes) -> Any:
    value = codec.decode(content)
    codec.refuse_duplicate_keys(content, codec.encode(value))
    return value


def written(document: Any, as_yaml: bool) -> bytes:
    """A document as the bytes of a file."""
    if as_yaml:
        return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120).encode()
    return msgspec.json.format(codec.encode(document), indent=2) + b"\n"
