"""The texts of the sandbox, from `content.toml`."""

import tomllib
from importlib.resources import files
from typing import Any, NamedTuple


class Version(NamedTuple):
    """A version of a prompt or document."""

    created: str
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

    def at(self, timestamp: str) -> int:
        """Return the index of the version that was active at a time."""
        used = self.versions[1 : self.active + 1]
        return sum(version.created <= timestamp for version in used)  # timestamps of one format sort by time


class Case(NamedTuple):
    """A kind of customer message, with the right outputs of the steps and a wrong answer."""

    text: str
    label: str
    documents: list[str]
    answer: str
    poor_answer: str


def _versions(data: dict[str, Any], **fields: Any) -> Versions:
    return Versions(data["active"], [Version(**version) for version in data["versions"]], fields)


_DATA = tomllib.loads(files("artanis_client.sandbox").joinpath("content.toml").read_text(encoding="utf-8"))

LABELS: list[str] = _DATA["labels"]
CASES = [Case(**case) for case in _DATA["cases"]]
PROMPTS: dict[str, Versions] = {
    data["step"]: _versions(data, stepId=data["step"], outputSchema=data["schema"]) for data in _DATA["prompts"]
}
DOCS: dict[str, Versions] = {data["title"]: _versions(data, title=data["title"]) for data in _DATA["docs"]}
COMMENTS: dict[str, list[str]] = _DATA["comments"]
