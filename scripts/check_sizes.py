"""Check that no file of the overlay, and not its core as a whole, outgrows its limit. `--list` prints every size.

A line of code is a line that is neither blank, nor a comment, nor part of a docstring.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path

OVERLAY = Path(__file__).resolve().parents[1] / "overlay" / "artanis_client"
LIMIT_OF_A_FILE = 400
LIMIT_OF_THE_CORE = 2020  # the files beside the folders, without __init__ and _version
NOT_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def lines_of_code(path: Path) -> int:
    """Count the lines of code of a file."""
    source = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def main() -> int:
    """Return 1 if something is too large, else 0."""
    sizes = {path.relative_to(OVERLAY).as_posix(): lines_of_code(path) for path in sorted(OVERLAY.rglob("*.py"))}
    core = sum(size for name, size in sizes.items() if "/" not in name and name not in ("__init__.py", "_version.py"))
    if "--list" in sys.argv:
        print(*(f"{size:6} {name}" for name, size in sizes.items()), sep="\n")
        print(f"{core:6} the core\n{sum(sizes.values()):6} the whole overlay")
    problems = [f"{name}: {size} lines" for name, size in sizes.items() if size > LIMIT_OF_A_FILE]
    if core > LIMIT_OF_THE_CORE:
        problems.append(f"the core: {core} lines, {LIMIT_OF_THE_CORE} are allowed")
    for problem in problems:
        print(f"Too large: {problem}", file=sys.stderr)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main())
