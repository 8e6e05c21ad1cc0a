"""Find phrases that readers of this project had to read twice, in prose, comments, docstrings and messages.

Each phrase has a plainer alternative. Add a phrase when somebody stumbles over one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHRASES = {
    r"\bcan be no\b": "cannot be a …",
    r"\bthat there (?:is|are|was|were)\b": "drop it",
    r"\bin whatever (?:way|order|form)\b": "in any …, for any reason",
    r"\bof (?:its|their|his|her|our|one's) own\b": "its own …, separate",
    r"\bgo(?:es)? on with\b": "continues",
    r"\bin passing\b": "transient",
    r"\bas a whole or not\b": "completely or not at all",
    r"\bheld against\b|\bhold .{0,30} against\b": "compare with, check against",
    r"\bsays in words\b|\btells in words\b": "lists, describes",
    r"\bwhole number\b": "integer",
    r"\bwhat (?:is|was|cannot|has) [^,.]{0,40} (?:is|are|was|has|cannot)\b": "name the thing",
}
FILES = ["*.py", "*.md", "*.yaml", "*.toml", "*.j2", "Makefile", ":!generated", ":!scripts/check_prose.py"]


def main() -> int:
    """Print each phrase with its place and an alternative; return 1 if there is one."""
    names = subprocess.run(["git", "ls-files", "--", *FILES], cwd=ROOT, capture_output=True, text=True, check=True)
    found = 0
    for name in names.stdout.splitlines():
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines() if (ROOT / name).is_file() else []
        for number, line in enumerate(lines, start=1):
            for pattern, instead in PHRASES.items():
                for match in re.finditer(pattern, line, re.IGNORECASE):
                    print(f"{name}:{number}: {match[0]!r}; write {instead}", file=sys.stderr)
                    found += 1
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
