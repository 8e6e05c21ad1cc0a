"""Check the long description of the wheel in `dist/`: no relative link or picture. Say if the package has no URLs."""

from __future__ import annotations

import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from metadata import LINK

MISSING = """\
The package has no links, because its repository is unknown: set `repository` in pyproject.toml, below
[tool.hatch.metadata.hooks.custom]. Until then, links in the long description are text, and its picture is left out."""
ROOT = Path(__file__).resolve().parents[1]


def find_relative_links(description: str) -> list[str]:
    """Return the links and pictures of Markdown that lead nowhere on the package index."""
    return [match[0] for match in LINK.finditer(description) if match["target"]]


def main() -> int:
    """Return 1 if there is a relative link, else 0."""
    [wheel] = (ROOT / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    if not metadata.get_all("Project-URL"):
        print(MISSING, file=sys.stderr)
    found = find_relative_links(str(metadata.get_payload()))
    for link in found:
        print(f"Relative link in the long description: {link}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
