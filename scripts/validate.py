"""Check the contract: its structure, the rules of this project, and whether the generator makes working code of it.

python scripts/validate.py [--format github] [SPEC]    # make validate SPEC=path

Each problem is one line that says where it is. `rules.py` has the rules of this project, `generated_code.py` the checks
of the code that is generated from the contract.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from document import Contract, Object, Problem, at, holder, innermost, line_of, load, shorten
from generate import PROJECT, GenerationError, generate
from generated_code import check_code
from rules import policy

# A message of the generator about one operation or component. After it, the generator quotes that part of the document.
REPORT = re.compile(
    r"^(?:WARNING parsing (?P<method>[A-Z]+) (?P<path>\S+) within|Unable to \w+ \w+ (?P<component>/components/[^\s:]+))"
    r".*?(?=^(?:WARNING parsing|Unable to \w+ \w+ /|\{|If you believe)|\Z)",
    re.MULTILINE | re.DOTALL,
)

# Values that the generator prints as Python objects.
UNREADABLE = r"<\S+ object at 0x[0-9a-f]+>"


def structure(document: Object) -> Iterator[Problem]:
    """Yield what openapi-spec-validator finds. If it does not say where, the problem is at the root."""
    try:
        for error in map(innermost, OpenAPIV31SpecValidator(document).iter_errors()):
            path = list(error.absolute_path)
            yield Problem(at("", *path) if path and path[0] in document else "", f"OpenAPI: {shorten(error.message)}")
    except Exception as error:  # it crashes, in many ways, on mistakes that other checks report
        yield Problem("", f"openapi-spec-validator failed: {shorten(error)}")


def generation(spec: Path) -> Iterator[Problem]:
    """Yield the messages of the generator if it fails or skips something, else what is wrong with its code."""
    with tempfile.TemporaryDirectory() as scratch:
        package = Path(scratch, "artanis_api_on_trial")
        try:
            generate(spec, PROJECT / "generator-config.yaml", package)
        except GenerationError as error:
            for report in REPORT.finditer(str(error)):
                pointer = report["component"] or at("/paths", report["path"], report["method"].lower())
                yield Problem(pointer, f"the generator: {shorten(re.sub(UNREADABLE, '...', report[0]))}")
            if not REPORT.search(str(error)):
                yield Problem("", f"the generator: {shorten(error)}")
        else:
            document, _, _ = load(spec)
            yield from check_code(Contract(document or {}), package)


def beyond(known: Sequence[Problem], later: Iterable[Problem]) -> list[Problem]:
    """Return the later problems, except those with a known problem at or below the same place, which is more precise.

    If a reference is known to be broken, the generator's messages about it are left out, too.
    """
    return [
        new
        for new in later
        if not any(f"{old.pointer}/".startswith(f"{new.pointer}/") for old in known)
        and not ("Could not find reference" in new.message and any(old.pointer.endswith("/$ref") for old in known))
    ]


def causes(contract: Contract, known: Sequence[Problem], new: Iterable[Problem]) -> Iterator[Problem]:
    """Yield the first new problem at each place, except those that follow from a problem of a schema used there."""
    first = {problem.pointer: problem for problem in reversed([*new])}
    old, broken = {holder(problem.pointer) for problem in known}, {holder(pointer) for pointer in first}
    for pointer, problem in first.items():
        own = holder(pointer)
        node = contract.owners.get(own, contract.nodes[0])
        if not (contract.reached(node.value) | {own}) & (old | broken - {own}):
            yield problem


def problems(document: Object) -> list[Problem]:
    """Return the violations of this project's rules, then what else openapi-spec-validator finds."""
    found = list(dict.fromkeys(policy(Contract(document))))
    return found + beyond(found, structure(document))


def escaped(text: str, also: str = "") -> str:
    """Return the text as the commands of GitHub's workflows need it."""
    for char in "%\r\n" + also:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the problems of a contract, one per line, and return the exit status: 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", type=Path, default=Path(os.path.relpath(PROJECT / "openapi.yaml")))
    parser.add_argument(
        "--format", choices=["text", "github"], default="text", help="github: annotations of a pull request"
    )
    options = parser.parse_args(arguments)
    spec: Path = options.spec
    document, lines, found = load(spec)
    if document is not None:
        found += beyond(found, problems(document))
        found += causes(Contract(document), found, beyond(found, generation(spec)))
    for line, (pointer, message) in sorted((line_of(problem.pointer, lines), problem) for problem in found):
        if options.format == "github":
            properties = {"file": str(spec), "line": str(line), "title": pointer or "(document)"}
            values = ",".join(f"{key}={escaped(value, ':,')}" for key, value in properties.items())
            print(f"::error {values}::{escaped(message)}")
        else:
            print(f"{spec}:{line}: {pointer or '(document)'}: {message}")
    if not found:
        print(f"{spec}: no problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
