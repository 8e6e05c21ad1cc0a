"""Check the code that the generator makes of the contract.

It must import, pass `mypy --strict`, have every component, property and parameter under its expected name, and keep
every example: JSON that goes through the generated code and comes back must be the same JSON.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from typing import Any

from openapi_python_client.strings import ClassName, PythonIdentifier

from document import Contract, Node, Problem, at, mapping, module, sequence, shorten, types_of
from generate import PROJECT
from pitfalls import is_object

ADVICE = "rename it, or write it in another way"
DATE_TIME = "2026-04-01T12:00:00+00:00"
CACHE = PROJECT / ".cache" / "mypy-generated"
SAMPLES = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
FORMATTED = {"date-time": DATE_TIME, "date": "2026-04-01"}
MYPY_LINE = re.compile(r"^(?P<file>[^:]+):\d+: error: (?P<message>.+?)(?:  \[[a-z-]+\])?$", re.MULTILINE)


def check_code(contract: Contract, package: Path) -> Iterator[Problem]:
    """Yield what is wrong with the package generated from the contract. Its name must be free in this process."""
    owners = owners_of(contract)
    arguments = ["--strict", "--config-file=", "--no-error-summary", "--no-color-output", "--cache-dir"]
    with subprocess.Popen(
        [sys.executable, "-m", "mypy", *arguments, str(CACHE), "-p", package.name],
        cwd=package.parent,
        env={key: value for key, value in os.environ.items() if key != "MYPYPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as mypy:
        found = list(check_names(contract, package))
        if found:  # an example cannot survive in a class that is missing
            mypy.kill()
        else:
            failures = list(check_behaviour(contract, package, owners))
            output, _ = mypy.communicate()
            found = [*check_types(output, owners), *failures]
            if mypy.returncode and not found:
                found = [Problem("", f"mypy failed: {shorten(output)}")]
    yield from found


def check_types(output: str, owners: dict[str, str]) -> Iterator[Problem]:
    """Yield what mypy says about the code of each operation and schema."""
    for line in MYPY_LINE.finditer(output):
        words = f"the generated code fails mypy --strict, {shorten(line['message'])}"
        yield Problem(owner(line["file"], owners), f"{words}: {ADVICE}")


def owners_of(contract: Contract) -> dict[str, str]:
    """Map each module of the package, such as `models/trace`, to the pointer of what it is generated from."""
    models = {f"models/{PythonIdentifier(class_of(name), '')}": name for name in contract.schemas}
    owners = {file: at("/components/schemas", name) for file, name in models.items()}
    return owners | {"/".join(["api", *module(operation)]): operation.pointer for operation in contract.operations}


def class_of(name: str) -> str:
    """Return the name of the class that the generator writes for a schema."""
    return ClassName(name, "")


def owner(file: str, owners: dict[str, str]) -> str:
    """Return the pointer of what a file of the package is generated from."""
    parts = Path(file).with_suffix("").parts
    return next((owners[key] for key in ("/".join(parts[-2:]), "/".join(parts[-3:])) if key in owners), "")


def check_names(contract: Contract, package: Path) -> Iterator[Problem]:
    """Check that each component has its class, each property its attribute, and each parameter its argument."""
    for node in contract.components.values():
        if node.kind != "schema" or not is_object(node.value):
            continue
        name = class_of(node.name)
        attributes = attributes_of(package / "models" / f"{PythonIdentifier(name, '')}.py", name)
        if attributes is None:
            advice = "`allOf` with one part makes none, nor does `anyOf` or `oneOf` beside `properties`"
            yield Problem(node.pointer, f"no class `{name}` is generated: {advice}; write it in another way")
            continue
        for pointer, key in contract.properties(node):
            expected, actual = PythonIdentifier(key, "field_"), attributes.get(key, "")
            if actual != expected:
                words = f"`{key}` is not the attribute `{expected}` of `{name}`" + (
                    f", but `{actual}`" if actual else ""
                )
                yield Problem(pointer, f"{words}: {ADVICE}")
    for operation in contract.operations:
        arguments = arguments_of(Path(package, "api", *module(operation)).with_suffix(".py"))
        for pointer, parameter in contract.parameters(operation):
            expected = PythonIdentifier(str(parameter.get("name")), "field_")
            if not {expected, f"{expected}_{parameter.get('in')}"} & arguments:
                yield Problem(pointer, f"`{parameter.get('name')}` is not the argument `{expected}`: {ADVICE}")


def attributes_of(path: Path, name: str) -> dict[str, str] | None:
    """Map each JSON key to the attribute that `to_dict` writes under it; None if there is no such class."""
    for node in parse(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return dict(attributes_in(node))
    return None


def attributes_in(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the pairs of `{"key": name}` and `field_dict["key"] = name`, at any depth."""
    for part in ast.walk(node):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(part, ast.Dict):
            pairs = [*zip(part.keys, part.values, strict=True)]
        elif isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Subscript):
            pairs = [(part.targets[0].slice, part.value)]
        for key, value in pairs:
            if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
                yield str(key.value), value.id


def arguments_of(path: Path) -> set[str]:
    """Return the names of the arguments of the function that makes a request."""
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef) and node.name == "_get_kwargs":
            return {argument.arg for argument in [*node.args.args, *node.args.kwonlyargs]}
    return set()


def parse(path: Path) -> ast.Module:
    """Parse a file; one that is missing or no Python, which mypy reports, is empty."""
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError):
        return ast.Module([], [])


def check_behaviour(contract: Contract, package: Path, owners: dict[str, str]) -> Iterator[Problem]:
    """Import the package and send JSON through it."""
    before = set(sys.modules)
    sys.path.insert(0, str(package.parent))
    try:
        yield from check_models(contract, import_module(f"{package.name}.models"))
        for operation in contract.operations:
            function: Any = import_module(".".join([package.name, "api", *module(operation)]))
            yield from check_responses(contract, operation, function)
    except Exception as error:  # whatever broken code raises when it is imported
        files = [frame.f_code.co_filename for frame, _ in walk_tb(error.__traceback__)]
        inside = [file for file in [*files, str(getattr(error, "filename", ""))] if package.name in file]
        place = owner(inside[-1], owners) if inside else ""
        yield Problem(place, f"the generated code cannot be imported, {shorten(repr(error))}: {ADVICE}")
    finally:
        sys.path.remove(str(package.parent))
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == package.name:
                del sys.modules[name]


def check_models(contract: Contract, models: Any) -> Iterator[Problem]:
    """Check that each model keeps its examples, and objects that have all properties or only the required ones."""
    for name, schema in contract.schemas.items():
        model = getattr(models, class_of(name), None)
        if not is_object(schema) or model is None:
            continue
        pointer = at("/components/schemas", name)
        values = [(pointer, sample(contract, schema, only_required=minimal)) for minimal in (False, True)]
        values += [(at(pointer, "examples", index), one) for index, one in enumerate(sequence(schema.get("examples")))]
        for place, value in values:
            yield from differences(place, value, lambda value, model=model: model.from_dict(value))


def check_responses(contract: Contract, operation: Node, function: Any) -> Iterator[Problem]:
    """Check that each JSON example of a response is what the generated function returns."""
    import httpx

    for status, response in mapping(operation.value.get("responses")).items():
        for media, content in mapping(contract.target(response).get("content")).items():
            if "json" not in media or not str(status).isdecimal():
                continue
            for name, example in mapping(mapping(content).get("examples")).items():

                def parse_response(value: Any, status: str = str(status)) -> Any:
                    return function._parse_response(client=None, response=httpx.Response(int(status), json=value))

                component = contract.components.get(str(mapping(response).get("$ref")))
                holder = component.pointer if component else operation.at("responses", status)
                place = at(holder, "content", media, "examples", name, "value")
                yield from differences(place, contract.target(example).get("value"), parse_response)


def differences(pointer: str, value: Any, read: Any) -> Iterator[Problem]:
    """Yield a problem if generated code does not read the value, or writes something else."""
    try:
        written = plain(read(value))
    except Exception as error:  # whatever generated code raises
        yield Problem(pointer, f"the generated code cannot read this, {shorten(repr(error))}: {ADVICE}")
        return
    if moments(written) != moments(value):
        where, read_as = difference(moments(value), moments(written))
        yield Problem(at(pointer, *where), f"the generated code reads and writes this as {read_as}: {ADVICE}")


def difference(value: Any, written: Any) -> tuple[list[object], str]:
    """Return the path to the first difference, and what is there."""
    if isinstance(value, dict) and isinstance(written, dict):
        for key in [*value, *written]:
            if value.get(key, ...) != written.get(key, ...):
                path, words = difference(value.get(key), written.get(key))
                return [key, *path] if key in value and key in written else [], words
    if isinstance(value, list) and isinstance(written, list) and len(value) == len(written):
        for index, (one, other) in enumerate(zip(value, written, strict=True)):
            if one != other:
                path, words = difference(one, other)
                return [index, *path], words
    return [], shorten(repr(written))


def plain(value: Any) -> Any:
    """Return what generated code returns as JSON."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return value.isoformat() if hasattr(value, "isoformat") else value


def moments(value: Any) -> Any:
    """Return JSON with date-times parsed, because each has several spellings."""
    if isinstance(value, dict):
        return {key: moments(item) for key, item in value.items()}
    if isinstance(value, list):
        return [moments(item) for item in value]
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else value
    except ValueError:
        return value


def sample(contract: Contract, schema: Any, *, only_required: bool, seen: tuple[int, ...] = ()) -> Any:
    """Return a value that fits the types of a schema, or `...` if the schema would contain itself."""
    schema = mapping(schema)
    if id(schema) in seen:
        return ...
    inner = partial(sample, contract, only_required=only_required, seen=(*seen, id(schema)))
    for key in ("anyOf", "oneOf"):
        if alternatives := [value for part in sequence(schema.get(key)) if (value := inner(part)) is not ...]:
            return alternatives[0]
    parts = contract.parts(schema)
    if any(is_object(part) for part in parts):
        ids = {id(part) for part in parts}
        if ids & {*seen}:
            return ...
        inner = partial(sample, contract, only_required=only_required, seen=(*seen, *ids))
        required = {name for part in parts for name in sequence(part.get("required"))}
        held = {key: value for part in parts for key, value in mapping(part.get("properties")).items()}
        found = {key: inner(value) for key, value in held.items() if key in required or not only_required}
        is_open = not only_required and not any("additionalProperties" in part for part in parts)
        return {k: v for k, v in found.items() if v is not ...} | ({"aFieldAddedLater": 1} if is_open else {})
    if schema is not (target := contract.target(schema)):
        return inner(target)
    if "array" in types_of(schema):
        return [item for item in [inner(schema.get("items"))] if item is not ...]
    kind = next(iter(types_of(schema)), "")
    return FORMATTED.get(str(schema.get("format")), SAMPLES.get(kind, "any")) if kind else {"any": "JSON"}
