"""List what changed in openapi.yaml since BASE, breaking changes first.

python scripts/spec_diff.py [BASE]    # make spec-diff BASE=<tag, branch or commit>; without it, the last release

Two tools compare, each behind an adapter that turns what it finds into `Change`s:

- specshift compares the documents (`compare_with_specshift`). It misses most of `$ref`, `anyOf`, `format` and lists of
  types. So it gets simplified documents, in which each type is one word and each schema has its own path. That way, a
  change of a schema is also reported once, not for each operation that uses the schema.
- griffe compares the code generated from both documents (`compare_with_griffe`).

This script itself compares what neither of them sees: security, names of operations and schemas, and descriptions.

Exit status: 0; 1 if something breaks; 2 if nothing could be compared. (make turns every failure into its own 2.)
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import griffe
from openapi_python_client.strings import ClassName, PythonIdentifier
from specshift.differ import diff_specs  # type: ignore[import-untyped]

from document import FIELDS, Contract, Node, Object, load, mapping, module, sequence, shorten
from generate import PACKAGE, PROJECT, GenerationError, generate

WORDS, MORE, BREAKING = range(3)
TEXTS = {"summary", "description", "example", "examples", "externalDocs"}
# Keys that name something or say its type: the tools report a change of these, sometimes at another place.
STRUCTURE = {"$ref", "type", "format", "required", "name", "in", "operationId", "security"}
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


class Side:
    """One of the two documents. `former` maps each renamed schema to its old name."""

    def __init__(self, document: Object) -> None:
        self.document = document
        self.contract = Contract(document)
        self.operations = {place(node)[0]: node for node in self.contract.operations}
        self.schemas = self.contract.schemas
        self.former: dict[str, str] = {}
        self.parts = {place(node)[:2]: node.value for node in reversed(self.contract.nodes)}
        self.python = {name: f"{PACKAGE.name}.models.{ClassName(name, '')}" for name in self.schemas}
        self.users: dict[str, set[str]] = defaultdict(set)  # component -> the operations that use it
        self.reached: dict[str, set[str]] = defaultdict(set)  # "requestBody" or "responses" -> the components in it
        for name, operation in self.operations.items():
            self.python[name] = ".".join([PACKAGE.name, "api", *module(operation)])
            self.parts |= {(name, f"({one.get('name')})"): one for one in self.parameters(operation)}
            for key, value in [("parameters", self.parameters(operation)), *operation.value.items()]:
                for component in self.components(value):
                    self.users[component].add(name)
                    self.reached[key].add(component)

    def components(self, value: object, seen: frozenset[str] = frozenset()) -> set[str]:
        """Return the names of the components that the value refers to, directly or not."""
        inner, found = [*mapping(value).values(), *sequence(value)], set[str]()
        component = self.contract.components.get(str(mapping(value).get("$ref")))
        if component and component.pointer not in seen:
            seen |= {component.pointer}
            inner.append(component.value)
            found.add(component.name)
        return found.union(*(self.components(item, seen) for item in inner))

    def parameters(self, operation: Node) -> list[Object]:
        """Return the parameters of the operation, including those of its path."""
        holders = [operation.parent or operation, operation]
        return [self.contract.target(item) for holder in holders for _, item in holder.items("parameters")]

    def is_provisional(self, head: str, tail: str) -> bool:
        """Return whether all operations that use it, or else this property or parameter, are marked provisional."""
        users = {head} if head in self.operations else self.users.get(head, set())
        holders = [self.operations[user].value for user in users] or [self.parts.get((head, ""), {})]
        part = self.parts.get((head, tail), {}) if tail else {}
        return all(holder.get("x-provisional") for holder in holders) or bool(part.get("x-provisional"))

    def security(self, operation: Node) -> str:
        """Describe the credentials that a request needs, such as `ApiKey (apiKey header x-api-key)`."""
        requirements = sequence(operation.value.get("security", self.document.get("security")))
        return (
            " or ".join(" and ".join(map(self.scheme, mapping(one))) or "nothing" for one in requirements) or "nothing"
        )

    def scheme(self, name: str) -> str:
        """Describe a security scheme."""
        scheme = self.contract.target({"$ref": f"#/components/securitySchemes/{name}"})
        return f"{name} ({' '.join(str(scheme[key]) for key in ('type', 'in', 'name', 'scheme') if key in scheme)})"

    def kinds(self, schema: object) -> set[str]:
        """Return the types of a schema as Python distinguishes them, such as `Prompt` or `array of (string)`."""
        schema, target = mapping(schema), self.contract.target(schema)
        if schema is not target:
            name = str(schema["$ref"]).rpartition("/")[2]
            has_class = {"properties", "allOf", "enum"} & target.keys() or target.get("type") == "object"
            return {self.former.get(name, name)} if has_class else self.kinds(target)
        found = {kind for key in ("anyOf", "oneOf") for part in sequence(schema.get(key)) for kind in self.kinds(part)}
        note = "enum" if "enum" in schema else schema.get("format")
        for kind in schema["type"] if isinstance(schema.get("type"), list) else sequence([schema.get("type")]):
            inner = schema.get({"array": "items", "object": "additionalProperties"}.get(str(kind), ""))
            of = f" of ({self.kind(inner)})" if isinstance(inner, dict) else ""
            found |= {f"{kind}{of}" + (f" ({note})" if note and kind != "null" else "")} if kind else set()
        return found or {"object" if {"properties", "allOf"} & schema.keys() else "any JSON"}

    def kind(self, schema: object) -> str:
        """Return the type of the schema as one word."""
        return " or ".join(sorted(self.kinds(schema), key=lambda kind: (kind == "null", kind)))

    def plain(self, schema: object) -> Object:
        """Return the schema with its type as one word. References in `allOf` stay, because specshift follows them."""
        schema = mapping(schema)
        hidden = TEXTS | {"$ref", "format", "items", "anyOf", "oneOf", "not"}
        shown = {key: value for key, value in schema.items() if key not in hidden and not key.startswith("x-")}
        if "properties" in shown:
            shown["properties"] = {name: self.plain(part) for name, part in mapping(schema["properties"]).items()}
        if "allOf" in shown:
            shown["allOf"] = [part if "$ref" in part else self.plain(part) for part in sequence(schema["allOf"])]
        return {**shown, "type": self.kind(schema), "required": sorted(sequence(schema.get("required")))}

    def texts(self) -> dict[tuple[str, str, str], dict[str, list[object]]]:
        """Return everything but names and types, by place: descriptions, and keywords that restrict values."""
        found: dict[tuple[str, str, str], dict[str, list[object]]] = defaultdict(lambda: defaultdict(list))
        for node in self.contract.nodes:
            head, tail, rest = place(node)
            for key in [key for key in node.value if key not in STRUCTURE and not FIELDS[node.kind].get(key)]:
                text = {"example": "examples", "externalDocs": "externalDocs"}.get(node.kind, key)
                found[self.former.get(head, head), tail, rest][text].append(node.value[key])
        return found


def place(node: Node) -> tuple[str, str, str]:
    """Locate a node: its operation or component, the property in it, and what else distinguishes the node."""
    if node.parent is None:
        return "openapi.yaml", "", ""
    if node.parent.kind == "document" and node.kind != "pathItem":
        return node.slot, "", ""
    if node.parent.kind in ("document", "components"):
        return node.name, "", ""
    if node.kind == "operation":
        return f"{node.slot.upper()} {node.parent.name}", "", ""
    head, tail, rest = place(node.parent)
    if node.slot == "properties":
        return head, f"{tail}.{node.name}", rest
    if node.kind in ("response", "parameter", "mediaType"):
        rest += f" {node.value.get('name') or node.value.get('$ref') or node.name}"
    return head, tail, rest


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
        if action == "removed" and found.category != "server":
            weight = BREAKING
        elif words.startswith("Data type"):  # fewer types in responses, or more in requests, break nothing
            before, after = ({*value.split(" or ")} for value in (found.old_value, found.new_value))
            is_sent = rest[0].startswith(("request", "parameter"))
            weight = MORE if (before <= after if is_sent else after <= before) else BREAKING
        if rest and head not in old.schemas and rest[0].lower() not in words.lower():
            words = f"{rest[0].capitalize()}: {words}"
        yield Change(head, tail, re.sub("'([^']*)'", r"`\1`", words), weight, python)


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
    content = {name: {"schema": side.plain(mapping(one).get("schema"))} for name, one in media}
    return {"content": content, "required": holder.get("required")}


def compare_texts(old: Side, new: Side, known: Sequence[Change]) -> Iterator[Change]:
    """Find changed descriptions, and changed keywords at places where the tools have found nothing."""
    before, after = old.texts(), new.texts()
    places = {(change.head, change.tail) for change in known}
    for where in before.keys() & after.keys():
        head, tail, _ = where
        for key in before[where].keys() | after[where].keys():
            is_text = key in TEXTS or key.startswith("x-")
            if before[where].get(key) != after[where].get(key) and (is_text or (head, tail) not in places):
                yield Change(head, tail, f"`{key}` changed.", WORDS if is_text else MORE)


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


def add_breakages(changes: Sequence[Change], old: Side, folders: Sequence[Path]) -> tuple[list[Change], set[str]]:
    """Return the changes together with what griffe finds beyond them, and the names that Python code lost."""
    found, gone = list(changes), set[str]()
    for name, what, is_removed in compare_with_griffe(folders):
        known = [change for change in found if change.python == name or change.python.startswith(f"{name}.")]
        if is_removed:
            gone |= {change.python for change in known}
        if not known:
            owners = [head for head, owner in old.python.items() if name.startswith((f"{owner}.", f"{owner}("))]
            found.append(Change(owners[0] if owners else name, "", f"Python: {what} (`{name}`).", BREAKING, name))
        elif all(change.weight < BREAKING for change in known):
            found = [change._replace(weight=BREAKING) if change in known else change for change in found]
    return found, gone


def compare(old: Side, new: Side, folders: Sequence[Path]) -> tuple[dict[str, list[str]], int]:
    """Return lines of text by heading, one for all changes with the same words, and the highest weight."""
    changes = [*match_renames(old, new), *compare_security(old, new), *compare_with_specshift(old, new)]
    changes += compare_texts(old, new, changes)
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
        lost = ", ".join(sorted(f"`{name}`" for name in {one.python for one in same} & gone))
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
