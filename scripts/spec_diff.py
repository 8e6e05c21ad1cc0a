"""List what changed in openapi.yaml since BASE, breaking changes first.

python scripts/spec_diff.py [BASE]    # make spec-diff BASE=<tag, branch or commit>; without it, the last release

Two tools compare, each behind an adapter that turns what it finds into `Change`s:

- specshift compares the documents (`compare_with_specshift`). It misses most of `$ref`, `anyOf`, `format` and lists of
  types. So it gets simplified documents, in which each type is one word and each schema has its own path. That way, a
  change of a schema is also reported once, not for each operation that uses the schema.
- griffe compares the code generated from both documents (`compare_with_griffe`).

This script itself compares what neither of them sees: security, names, what an operation returns, and then, object by
object, everything else (`compare_rest`), so that no difference of the documents is left out.

Exit status: 0; 1 if something breaks; 2 if nothing could be compared. (make turns every failure into its own 2.)
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import griffe
from openapi_python_client.strings import PythonIdentifier
from specshift.differ import diff_specs  # type: ignore[import-untyped]

from document import FIELDS, Node, Object, load, mapping, module, sequence, shorten
from generate import PACKAGE, PROJECT, GenerationError, generate
from generated_code import attributes_in, parse
from sides import TEXTS, Side

WORDS, MORE, BREAKING = range(3)
# Keywords that make values invalid which were valid.
LIMITS = re.compile("(exclusive)?(max|min).+|pattern|multipleOf|uniqueItems|enum|const|required")
# Kinds of objects that the tools do not see.
TEXT_OF_KIND = {"example": "examples", "externalDocs": "externalDocs"}
UNSEEN = {"header", "tag", "example", "externalDocs", "pathItem", "info", "securityScheme"}
LAST_RELEASE = ("describe", "--tags", "--abbrev=0", "--match", "v*")


class NothingToCompareError(Exception):
    """There is no base to compare with, or a document cannot be used. The message says what to do."""


class Change(NamedTuple):
    """A change of an operation or component (`head`) or of a part of it (`tail`), with its name in Python."""

    head: str
    tail: str
    words: str
    weight: int
    python: str = ""


def match_renames(old: Side, new: Side) -> Iterator[Change]:
    """Find renamed schemas, which are noted in `new.former`, and renamed operations."""
    for former in sorted(old.schemas.keys() - new.schemas.keys()):
        for name in sorted(new.schemas.keys() - old.schemas.keys() - new.former.keys()):
            if former not in new.former.values() and new.plain(new.schemas[name]) == old.plain(old.schemas[former]):
                new.former[name] = former
                yield Change(former, "", f"Renamed to `{name}`.", BREAKING, old.python[former])
    for name in old.operations.keys() & new.operations.keys():
        before, after = old.operations[name], new.operations[name]
        if old.python[name] != new.python[name]:
            key = "tags" if module(before)[1] == module(after)[1] else "operationId"
            words = f"{key} changed: `{before.value.get(key)}` -> `{after.value.get(key)}`."
            yield Change(name, "", words, BREAKING, old.python[name])


def compare_security(old: Side, new: Side) -> Iterator[Change]:
    """Find operations that need other credentials."""
    for name in old.operations.keys() & new.operations.keys():
        before, after = old.operations[name], new.operations[name]
        if old.security(before) != new.security(after):
            yield Change(name, "", f"Security changed: `{old.security(before)}` -> `{new.security(after)}`.", BREAKING)


def compare_with_specshift(old: Side, new: Side) -> Iterator[Change]:
    """Return what specshift finds, weighted as CONTRIBUTING.md does."""
    sent, received = (old.reached[key] | new.reached[key] for key in ("requestBody", "responses"))
    for found in diff_specs(simplify(old, sent, received), simplify(new, sent, received)).changes:
        where = found.location if found.category == "path" else found.location.removeprefix("GET ")
        head, *rest = where.split(" > ")
        python = old.python.get(head) or new.python.get(head, "")
        words, action, weight = (
            found.message,
            found.change_type.value,
            BREAKING if found.severity == "breaking" else MORE,
        )
        tail = "".join(f".{name}" for name in re.findall("field '([^']*)'", found.location))
        if found.category == "path":
            words = f"{action.capitalize()}."
        elif tail:
            python += f".{PythonIdentifier(tail.rpartition('.')[2], 'field_')}"
        elif parameter := re.search("arameter(?: added:)? '([^']*)'", f"{found.location} {found.message}"):
            tail, python = f"({parameter[1]})", f"{python}({PythonIdentifier(parameter[1], 'field_')})"
        else:
            python = f"{python}(body)" if found.category == "request_body" else ""
        is_sent = bool(rest) and rest[0].lower().startswith(("request", "parameter"))
        if status := re.fullmatch(r"Response '([^2]..)' has been removed.*", words):
            words, weight = f"Response `{status[1]}` is no longer documented.", MORE
        elif action == "removed" and found.category != "server":
            weight = BREAKING
        elif words.startswith("Data type"):  # fewer types in responses, or more in requests, break nothing
            before, after = ({*value.split(" or ")} for value in (found.old_value, found.new_value))
            weight = MORE if (covers(after, before) if is_sent else covers(before, after)) else BREAKING
        elif re.match("A new validation|Validation|Constraint", words) and not is_sent:
            weight = MORE
        if rest and head not in old.schemas and rest[0].lower() not in words.lower():
            words = f"{rest[0][:1].upper()}{rest[0][1:]}: {words}"
        yield Change(head, tail, re.sub("'([^']*)'", r"`\1`", words), weight, python)


def covers(wide: set[str], narrow: set[str]) -> bool:
    """Return whether a value of each of the narrow types is one of the wide types, too: an integer is a number."""
    return narrow <= wide | ({"integer"} if "number" in wide else set())


def simplify(side: Side, sent: set[str], received: set[str]) -> Object:
    """Return the document as specshift needs it: plain schemas, and a path for each operation and each schema."""
    paths: Object = {}
    for name, operation in side.operations.items():
        responses = mapping(operation.value.get("responses")).items()
        body = {key: simplify_content(side, value) for key, value in operation.value.items() if key == "requestBody"}
        paths[name] = body | {
            "deprecated": operation.value.get("deprecated"),
            "parameters": [{**one, "schema": side.plain(one.get("schema"))} for one in side.parameters(operation)],
            "responses": {str(status): simplify_content(side, response) for status, response in responses},
        }
    for name in side.schemas:
        body = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
        paths[side.former.get(name, name)] = ({"requestBody": body} if name in sent else {}) | (
            {"responses": {"200": body}} if name in received or name not in sent else {}
        )
    return {
        "servers": side.document.get("servers", []),
        "paths": {name: {"get": operation} for name, operation in paths.items()},
        "components": {"schemas": {name: side.plain(schema) for name, schema in side.schemas.items()}},
    }


def simplify_content(side: Side, holder: object) -> Object:
    """Return a request body or a response with plain schemas."""
    holder = side.contract.target(holder)
    media = mapping(holder.get("content")).items()
    content = {
        re.sub(r"^application/\S+\+json$", "application/json", name): {"schema": side.plain(mapping(one).get("schema"))}
        for name, one in media
    }
    return {"content": content, "required": holder.get("required")}


def compare_results(old: Side, new: Side) -> Iterator[Change]:
    """Find operations that may return another type than before, because they have another successful response."""
    for name in old.operations.keys() & new.operations.keys():
        before, after = (successes(side, name) for side in (old, new))
        added = set[str]().union(*(kinds for status, kinds in after.items() if status not in before))
        known = set[str]().union(*before.values())
        if added - known:
            types = [" or ".join(sorted(kinds)) for kinds in (known, known | added)]
            yield Change(name, "", f"Return type changed: `{types[0]}` -> `{types[1]}`.", BREAKING, old.python[name])


def successes(side: Side, name: str) -> dict[str, set[str]]:
    """Map each successful status of an operation to the types that it returns."""
    found: dict[str, set[str]] = {}
    for status, response in mapping(side.operations[name].value.get("responses")).items():
        if str(status).startswith("2"):
            media = mapping(side.contract.target(response).get("content")).values()
            kinds = {kind for one in media for kind in side.kinds(mapping(one).get("schema"))}
            found[str(status)] = kinds or {"nothing"}
    return found


def compare_names(old: Side, new: Side, folders: Sequence[Path]) -> Iterator[Change]:
    """Find properties and parameters whose Python name changed, because another one would have the same name."""
    for head in old.python.keys() & new.python.keys():
        paths = [folder / PACKAGE.name / file_of(side, head) for folder, side in zip(folders, (old, new), strict=True)]
        before, after = ({**dict(attributes_in(parse(path)))} for path in paths)
        for key in before.keys() & after.keys():
            if before[key] != after[key]:
                words = f"`{key}` is now `{after[key]}` in Python, not `{before[key]}`."
                tail = f"({key})" if head in old.operations else f".{key}"
                yield Change(head, tail, words, BREAKING, f"{old.python[head]}.{before[key]}")


def file_of(side: Side, head: str) -> str:
    """Return the file that the generator writes for an operation or a schema."""
    _, *folders, name = side.python[head].split(".")
    return "/".join([*folders, name if head in side.operations else PythonIdentifier(name, "")]) + ".py"


def compare_rest(old: Side, new: Side, known: Sequence[Change]) -> Iterator[Change]:
    """Find what changed in each object of the documents, except what is known to have changed at this place."""
    before, after = old.index(), new.index()
    places = {(change.head, change.tail) for change in known}
    places |= {(name, tail) for name, tail in named_parameters(old, new) if any(one.tail == tail for one in known)}
    reordered = set[tuple[str, str]]()
    for key in sorted(before.keys() | after.keys()):
        if any(key[0] == head and key[1].startswith(path) for head, path in reordered):
            continue
        side, node = (old, before[key]) if key in before else (new, after[key])
        head, tail, text = side.head(node), side.tail(node), TEXT_OF_KIND.get(node.kind)
        is_known = (head, tail) in places and node.kind not in UNSEEN
        if key in before and key in after:
            for name, (one, other) in differences(before[key], new.renamed(after[key].value)).items():
                if is_reordered(one, other):
                    reordered.add((key[0], f"{key[1]}/{name}/"))
                    weight = MORE if FIELDS[node.kind].get(name) else WORDS
                    yield Change(head, tail, f"{side.label(node)}Order of `{within(node, name)}` changed.", weight)
                elif is_compared_here(node, name, one, other):
                    is_text = bool(text) or name in TEXTS or name.startswith("x-")
                    if is_text or not (is_known or is_elsewhere(name, one, other, head, tail, places)):
                        is_limit = LIMITS.fullmatch(name) and other is not None and new.is_sent(after[key])
                        weight = WORDS if is_text else BREAKING if is_limit else MORE
                        yield Change(head, tail, f"{side.label(node)}`{text or within(node, name)}` changed.", weight)
        elif node.parent and side.key(node.parent) in before.keys() & after.keys() and not is_known:
            if text:
                yield Change(head, tail, f"{side.label(node)}`{text}` changed.", WORDS)
            elif not (node.kind in ("operation", "schema") and any(one == head and not tail for one, tail in places)):
                label = side.label(node)
                what = "" if label.endswith(f"`{side.name(node)}`: ") else f"`{added(node)}`: "
                yield Change(head, tail, f"{label}{what}{'Removed' if side is old else 'Added'}.", MORE)


def differences(node: Node, other: object) -> dict[str, tuple[object, object]]:
    """Return both values of each key in which two objects differ."""
    one, other = node.value, mapping(other)
    names = sorted({*map(str, one), *map(str, other)})
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def is_compared_here(node: Node, name: str, *values: object) -> bool:
    """Return whether a key holds no objects that are in the index themselves."""
    return not FIELDS[node.kind].get(name) or not all(
        value is None or isinstance(value, dict | list) for value in values
    )


def added(node: Node) -> str:
    """Name an object that is only in one document: by its key, or a schema by the keyword that holds it."""
    is_named = node.kind != "schema" or node.slot in ("properties", "schemas") or node.parent is None
    return node.name if is_named else within(node.parent or node, node.slot)


def named_parameters(*sides: Side) -> Iterator[tuple[str, str]]:
    """Yield each parameter under `components`, with the tail of the changes that concern it."""
    for side in sides:
        for node in side.contract.components.values():
            if node.kind == "parameter":
                yield node.name, f"({node.value.get('name')})"


def within(node: Node, name: str) -> str:
    """Return a key with the keywords around it within its property, such as `items.pattern`."""
    slots: list[str] = []
    while node.kind == "schema" and node.slot not in ("properties", "schema", "schemas"):
        slots.insert(0, node.slot)
        if node.parent is None:
            break
        node = node.parent
    return ".".join([*slots, name])


def is_reordered(one: object, other: object) -> bool:
    """Return whether two lists have the same items in another order."""
    texts = [[json.dumps(item, sort_keys=True, default=str) for item in sequence(held)] for held in (one, other)]
    return texts[0] != texts[1] and sorted(texts[0]) == sorted(texts[1])


def is_elsewhere(name: str, one: object, other: object, head: str, tail: str, places: set[tuple[str, str]]) -> bool:
    """Return whether a change of `required` is known at the properties that it names."""
    names = {*map(str, sequence(one))} ^ {*map(str, sequence(other))}
    return name == "required" and bool(names) and all((head, f"{tail}.{each}") in places for each in names)


def compare_with_griffe(folders: Sequence[Path]) -> Iterator[tuple[str, str, bool]]:
    """Return what griffe finds in the code: the name in Python, what happened to it, and whether it was removed."""
    packages = [griffe.load(PACKAGE.name, search_paths=[folder], allow_inspection=False) for folder in folders]
    for breakage in griffe.find_breaking_changes(*packages):
        name = re.sub(rf"^({PACKAGE.name}\.models)\.\w+\.", r"\1.", breakage.obj.path)
        if breakage.obj.is_module and ".models." in name:
            continue  # griffe also reports the class in it, under the name that people import
        if breakage.kind.name.startswith("PARAMETER"):  # the same for all four functions of a module
            name = f"{name.rpartition('.')[0]}({(breakage.old_value or breakage.new_value).name})"
        yield name, breakage.kind.value, breakage.kind is griffe.BreakageKind.OBJECT_REMOVED


def add_breakages(changes: Sequence[Change], old: Side, folders: Sequence[Path]) -> tuple[list[Change], dict[str, str]]:
    """Return the changes together with what griffe finds beyond them, and the name that Python lost through each."""
    found, gone = list(changes), dict[str, str]()
    for name, what, is_removed in compare_with_griffe(folders):
        known = [change for change in found if change.python == name or change.python.startswith(f"{name}.")]
        if is_removed:
            gone |= {change.python: name for change in known}
        if not known:
            owners = [head for head, owner in old.python.items() if name.startswith((f"{owner}.", f"{owner}("))]
            found.append(Change(owners[0] if owners else name, "", f"Python: {what} (`{name}`).", BREAKING, name))
        elif all(change.weight < BREAKING for change in known):
            found = [change._replace(weight=BREAKING) if change in known else change for change in found]
    return found, gone


def compare(old: Side, new: Side, folders: Sequence[Path]) -> tuple[dict[str, list[str]], int]:
    """Return lines of text by heading, one for all changes with the same words, and the highest weight."""
    changes = [*match_renames(old, new), *compare_security(old, new), *compare_with_specshift(old, new)]
    changes += [*compare_results(old, new), *compare_names(old, new, folders)]
    changes += compare_rest(old, new, changes)
    changes, gone = add_breakages(changes, old, folders)
    found: dict[str, list[str]] = {"Breaking": [], "Provisional": [], "Added and other changes": []}
    merged: dict[tuple[str, int, str], set[Change]] = defaultdict(set)
    weight = WORDS
    for change in changes:
        side = old if (change.head, change.tail) in old.parts else new
        if side.is_provisional(change.head, change.tail):
            heading, counted = "Provisional", MORE
        else:
            heading, counted = "Breaking" if change.weight == BREAKING else "Added and other changes", change.weight
        weight = max(weight, counted)
        merged[heading, -change.weight, change.words].add(change)
    for (heading, _, words), same in sorted(merged.items(), key=lambda item: (item[0][1], sorted(item[1]))):
        places = dict.fromkeys(f"`{one.head}{'' if '(' in one.tail else one.tail}`" for one in sorted(same))
        lost = ", ".join(sorted({f"`{gone[one.python]}`" for one in same if one.python in gone}))
        found[heading].append(f"- {', '.join(places)}: {words}" + (f" Gone from Python: {lost}." if lost else ""))
    return found, weight


def git(root: Path, *arguments: str) -> bytes | None:
    """Return the output of git, or None if git fails."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    except FileNotFoundError:
        raise NothingToCompareError("git is needed: install it") from None
    return done.stdout if done.returncode == 0 else None


def base(root: Path, ref: str) -> tuple[str, str]:
    """Return the commit to compare with, and its name: `ref`, else the last release, else the main branch."""
    shallow = git(root, "rev-parse", "--is-shallow-repository")
    if shallow is None:
        raise NothingToCompareError(f"{root} is in no git repository: run this in a clone")
    advice = "get the history with `git fetch --unshallow --tags`" if shallow.startswith(b"true") else ""
    if ref:
        commit = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        if not commit:
            raise NothingToCompareError(f"{ref} is no commit of this clone: {advice or 'name a tag, branch or commit'}")
        return commit.decode().strip(), ref
    if tag := git(root, *LAST_RELEASE):
        return tag.decode().strip(), f"{tag.decode().strip()}, the last release"
    if advice:
        raise NothingToCompareError(f"this shallow clone has no release: {advice}")
    for branch in ("main", "origin/main"):
        if commit := git(root, "merge-base", "HEAD", branch):
            return commit.decode().strip(), f"{commit.decode()[:10]}, the last commit in common with {branch}"
    raise NothingToCompareError("no release and no main branch here: name a commit, make spec-diff BASE=<git ref>")


def version(root: Path, commit: str, weight: int) -> tuple[str, bool]:
    """Say which version CONTRIBUTING.md's table asks for, and return whether the package has it."""
    [now] = re.findall(
        '__version__ = "(.*)"', (root / "overlay/artanis_client/_version.py").read_text(encoding="utf-8")
    )
    tag = (git(root, *LAST_RELEASE, commit) or b"").decode().strip()
    after, current = ([*map(int, re.findall(r"\d+", text)), 0, 0, 0][:3] for text in (tag, now))
    step = weight if (after if tag else current)[0] else max(weight - 1, 0)
    asked = f"by CONTRIBUTING.md's table a {('patch', 'minor', 'major')[step]} release"
    if not tag:
        return f"Version: {asked}; there was none before, so {now} may stay.", True
    wanted = [*after[: 2 - step], after[2 - step] + 1, 0, 0][:3]
    advice = "" if current >= wanted else ": raise it"
    return f"Version: {asked}, {'.'.join(map(str, wanted))} or later; it is {now}{advice}.", not advice


def read(spec: Path, name: str) -> Object:
    """Return the document, or raise NothingToCompareError."""
    document, _, problems = load(spec)
    if document is None:
        raise NothingToCompareError(f"{name} cannot be compared: {problems[0].message}")
    return document


def report(root: Path, ref: str, scratch: Path) -> tuple[str, bool, bool]:
    """Return what to print, whether something breaks, and whether the version has been raised enough."""
    commit, name = base(root, ref)
    text = git(root, "cat-file", "blob", f"{commit}:./openapi.yaml")
    if text is None:
        raise NothingToCompareError(f"{name} has no openapi.yaml: name a commit that has one")
    (scratch / "openapi.yaml").write_bytes(text)
    specs = {scratch / "openapi.yaml": f"openapi.yaml of {name}", root / "openapi.yaml": "openapi.yaml"}
    documents = [read(spec, called) for spec, called in specs.items()]
    if documents[0] == documents[1]:
        return f"openapi.yaml, compared with {name}: nothing changed.", False, True
    folders = [scratch / "old", scratch / "new"]
    try:
        for spec, folder in zip(specs, folders, strict=True):
            generate(spec, root / "generator-config.yaml", folder / PACKAGE.name)
    except GenerationError as error:
        raise NothingToCompareError(f"no code can be generated (`make validate` says more): {shorten(error)}") from None
    found, weight = compare(Side(documents[0]), Side(documents[1]), folders)
    advice, enough = version(root, commit, weight)
    parts = [f"## {heading}\n\n" + "\n".join(lines) for heading, lines in found.items() if lines]
    return "\n\n".join([f"openapi.yaml, compared with {name}:", *parts, advice]), weight == BREAKING, enough


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what changed, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", nargs="?", default="", metavar="BASE", help="a tag, branch or commit")
    parser.add_argument("--root", type=Path, default=PROJECT, metavar="DIR", help="work on another copy of the tree")
    parser.add_argument(
        "--unless-raised", action="store_true", help="accept breaking changes if the version has been raised for them"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            text, breaks, raised = report(options.root, options.base, Path(scratch))
        except NothingToCompareError as error:
            print(f"spec-diff: {error}", file=sys.stderr)
            return 2
    print(text)
    return 1 if breaks and not (options.unless_raised and raised) else 0


if __name__ == "__main__":
    sys.exit(main())
