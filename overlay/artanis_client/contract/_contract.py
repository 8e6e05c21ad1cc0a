"""Read the contract, `openapi.yaml`: where it is, and which operations it documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs

_METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def contract_text() -> str:
    """Return the text of `openapi.yaml`: of the package, or in a checkout of the repository."""
    packaged = files("artanis_client") / "openapi.yaml"
    in_repository = Path(__file__).parents[3] / "openapi.yaml"
    return (packaged if packaged.is_file() else in_repository).read_text("utf-8")


def load_contract() -> dict[str, Any]:
    """Return the parsed contract. Needs pyyaml, which the extra `contract` installs."""
    import yaml

    document: dict[str, Any] = yaml.safe_load(contract_text())
    return document


@attrs.frozen(eq=False)
class Operation:
    """One operation of the contract."""

    id: str
    method: str
    path: str
    declared: Mapping[str, Any]
    """What the contract says about it."""
    document: Mapping[str, Any]
    """The contract, which the references in `declared` point into."""

    @property
    def is_list(self) -> bool:
        """Whether the path contains no id."""
        return "{" not in self.path

    @property
    def is_provisional(self) -> bool:
        """Whether the contract only guesses."""
        return bool(self.declared.get("x-provisional"))

    @property
    def obstacle(self) -> str:
        """Why the check cannot call the operation; empty if it can."""
        if self.method != "GET":
            return "it is not read-only"
        parameters = [*self.document["paths"][self.path].get("parameters", ()), *self.declared.get("parameters", ())]
        resolved = [resolve(parameter, self.document) for parameter in parameters]
        unknown = [each["name"] for each in resolved if each.get("required") and each["in"] != "path"]
        if unknown or self.path.count("{") > 1:
            return f"the check has no value for {', '.join(unknown) or self.path}"
        return ""

    def path_to(self, resource_id: str) -> str:
        """Return the path with an id in it."""
        return re.sub(r"\{[^}]+\}", lambda _: quote(resource_id, safe=""), self.path)

    @property
    def documented_error(self) -> str:
        """The status for a list without a project, or for an id that does not exist; empty if none is documented."""
        status = "400" if self.is_list else "404"
        return status if status in self.declared["responses"] else ""

    def response_to(self, status: int) -> Mapping[str, Any] | None:
        """Return the documented response for a status; None if there is none."""
        responses: Mapping[str, Any] = self.declared["responses"]
        codes = (str(status), f"{status // 100}XX", "default")
        return next((resolve(responses[code], self.document) for code in codes if code in responses), None)


def operations_of(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Read every operation of the contract."""
    for path, item in document["paths"].items():
        for method, declared in item.items():
            if method in _METHODS:
                yield Operation(declared["operationId"], method.upper(), path, declared, document)


def resolve(node: Any, document: Mapping[str, Any]) -> Any:
    """Follow local references; return any other node unchanged."""
    while "$ref" in node:
        target: Any = document
        for name in node["$ref"].removeprefix("#/").split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        node = target
    return node
