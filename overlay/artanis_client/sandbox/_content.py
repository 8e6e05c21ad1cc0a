"""The texts of the sandbox, from `content.toml`."""

import tomllib
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, NamedTuple

_NOW = datetime(2026, 4, 30, 18, tzinfo=UTC)  # the time of the sandbox for which `content.toml` has its dates


class Version(NamedTuple):
    """A version of a prompt or document."""

    created: int
    """Milliseconds before `now`, the time of the sandbox."""
    content: str
    right: float = 0
    """Share of the step's outputs that are right while this prompt version is active."""


class Versions(NamedTuple):
    """All versions of a prompt or document, oldest first."""

    active: int
    """Index of the active version; a later one is a draft that no trace has used."""
    versions: list[Version]
    fields: dict[str, Any]
    """The other fields that the API returns."""

    def at(self, before: int) -> int:
        """Return the index of the version that was active so many milliseconds before `now`."""
        return sum(version.created >= before for version in self.versions[1 : self.active + 1])


class Case(NamedTuple):
    """A kind of customer message, with the right outputs of the steps and a wrong answer."""

    text: str
    label: str
    documents: list[str]
    answer: str
    poor_answer: str


def _versions(data: dict[str, Any], **fields: Any) -> Versions:
    for version in data["versions"]:
        version["created"] = (_NOW - datetime.fromisoformat(version["created"])) // timedelta(milliseconds=1)
    return Versions(data["active"], [Version(**version) for version in data["versions"]], fields)


_DATA = tomllib.loads(files("artanis_client.sandbox").joinpath("content.toml").read_text(encoding="utf-8"))

LABELS: list[str] = _DATA["labels"]
CASES = [Case(**case) for case in _DATA["cases"]]
PROMPTS: dict[str, Versions] = {
    data["step"]: _versions(data, stepId=data["step"], outputSchema=data["schema"]) for data in _DATA["prompts"]
}
DOCS: dict[str, Versions] = {data["title"]: _versions(data, title=data["title"]) for data in _DATA["docs"]}
COMMENTS: dict[str, list[str]] = _DATA["comments"]
