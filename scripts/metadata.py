"""A metadata hook of hatchling: the links of the package, made from one setting in `pyproject.toml`.

The package index shows the README, where relative links and pictures lead nowhere. With `repository` set, they become
absolute, and the package gets its URLs. Without it, links become text and pictures disappear: no address is invented.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# Code, in which nothing is a link, or else a relative link.
LINK = re.compile(
    r"^```.*?^```|`[^`\n]+`|(?P<picture>!?)\[(?P<text>[^]]*)\]\((?!https?://|#|mailto:)(?P<target>[^)\s]+)\)",
    re.DOTALL | re.MULTILINE,
)


class MetadataHook(MetadataHookInterface):
    """Adds the long description and the URLs."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the fields that `pyproject.toml` declares as dynamic."""
        repository = str(self.config["repository"]).rstrip("/")
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = make_links_absolute(readme, repository, metadata["version"])
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = make_urls(repository, metadata["version"])


def make_links_absolute(text: str, repository: str, version: str) -> str:
    """Return Markdown whose relative links lead to a release in the repository, or are text without a repository."""

    def replace(match: re.Match[str]) -> str:
        picture, words, target = match["picture"], match["text"], match["target"]
        if not target:
            return match[0]
        if not repository:
            return "" if picture else words
        return f"{picture}[{words}]({repository}/{'raw' if picture else 'blob'}/v{version}/{target})"

    return re.sub(r"\n{3,}", "\n\n", LINK.sub(replace, text))


def make_urls(repository: str, version: str) -> dict[str, str]:
    """Return the URLs of the package, none without a repository."""
    if not repository:
        return {}
    return {
        "Documentation": f"{repository}/blob/v{version}/docs/index.md",
        "Repository": repository,
        "Changelog": f"{repository}/blob/v{version}/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }
