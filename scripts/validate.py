"""Check the contract: its structure, the rules of this project, and whether the generator accepts all of it.

python scripts/validate.py [SPEC]    # make validate SPEC=path

Each problem is one line that says where it is. One walk finds every object of the document and its kind. KINDS lists
the keys that each kind has, and RULES the functions that check it further. To add a rule, write a function and list it
in RULES.
"""

import argparse
import os
import re
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, cast

from openapi_python_client.strings import PythonIdentifier
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from generate import PROJECT, GenerationError, generate

# The keys of each kind of object. `key!` is required and must not be empty. `key:kind` holds another object, `kind[]` a
# list of them, `kind{}` a map of them. Keys without a kind (`security`, `example`) hold nothing to check further.
KINDS = {
    "document": "openapi! jsonSchemaDialect info!:info servers!:server[] paths!:pathItem{} webhooks "
    "components!:components security tags!:tag[] externalDocs:externalDocs",
    "info": "title! version! summary description! termsOfService contact license",
    "server": "url! description! variables",
    "tag": "name! description! externalDocs:externalDocs",
    "externalDocs": "url! description",
    "components": "schemas:schema{} responses:response{} parameters:parameter{} examples:example{} headers:header{} "
    "requestBodies:requestBody{} securitySchemes:securityScheme{} pathItems links callbacks",
    "securityScheme": "type! description! name in scheme bearerFormat flows openIdConnectUrl",
    "pathItem": "summary description servers:server[] parameters:parameter[] get:operation put:operation "
    "post:operation delete:operation options:operation head:operation patch:operation trace:operation",
    "operation": "operationId! summary! description! tags! externalDocs!:externalDocs security parameters:parameter[] "
    "requestBody:requestBody responses!:response{} deprecated servers:server[] callbacks",
    "parameter": "name! in! schema!:schema description required deprecated allowEmptyValue style explode allowReserved "
    "example examples:example{} content:mediaType{}",
    "header": "description! schema!:schema required deprecated style explode example examples:example{} "
    "content:mediaType{}",
    "requestBody": "description! content!:mediaType{} required",
    "response": "description! content:mediaType{} headers:header{} links",
    "mediaType": "schema!:schema example examples:example{} encoding",
    "example": "summary! description value externalValue",
    "reference": "$ref! summary description",
    "schema": "$ref $id $schema $anchor $dynamicRef $dynamicAnchor $comment $vocabulary $defs:schema{} type format "
    "description default example examples deprecated readOnly writeOnly required dependentRequired "
    "properties:schema{} patternProperties:schema{} dependentSchemas:schema{} additionalProperties:schema "
    "unevaluatedProperties:schema propertyNames:schema minProperties maxProperties items:schema prefixItems:schema[] "
    "contains:schema unevaluatedItems:schema minContains maxContains minItems maxItems uniqueItems allOf:schema[] "
    "anyOf:schema[] oneOf:schema[] not:schema if:schema then:schema else:schema multipleOf minimum maximum "
    "exclusiveMinimum exclusiveMaximum minLength maxLength pattern contentEncoding contentMediaType "
    "contentSchema:schema discriminator xml externalDocs:externalDocs",
}
FIELDS = {
    kind: {name.removesuffix("!"): held for name, _, held in (key.partition(":") for key in keys.split())}
    for kind, keys in KINDS.items()
}
REQUIRED = {kind: re.findall(r"(\S+)!", keys) for kind, keys in KINDS.items()}
SECTIONS = {held.removesuffix("{}"): section for section, held in FIELDS["components"].items() if held}

# Keywords of OpenAPI that schemas here must not use, and why.
REFUSED = {
    "nullable": "is OpenAPI 3.0: write `type: [..., 'null']`, or `anyOf` of the `$ref` and `type: 'null'`",
    "enum": "makes clients fail on a value added later: leave the string open, list known values in the description",
    "const": "makes clients fail on a value added later: leave the string open, name the value in the description",
    "title": "renames the generated class: leave it out",
}
FORMATS = ["date-time", "date", "int32", "int64", "float", "double", "email", "uri"]
SCHEMES = {"ApiKey", "OrgSlug"}
# Where a schema needs a description. Elsewhere (items, allOf, ...), it is part of a schema that has one.
DESCRIBED = {("components", "schemas"), ("schema", "properties"), ("parameter", "schema"), ("mediaType", "schema")}
EMPTY: tuple[object, ...] = (None, "", [], {})
# A message of the generator about one operation or component. After it, the generator quotes that part of the document.
REPORT = re.compile(
    r"^(?:WARNING parsing (?P<method>[A-Z]+) (?P<path>\S+) within|Unable to \w+ \w+ (?P<component>/components/[^\s:]+))"
    r".*?(?=^(?:WARNING parsing|Unable to \w+ \w+ /|\{|If you believe)|\Z)",
    re.MULTILINE | re.DOTALL,
)

# Values that the generator prints as Python objects.
UNREADABLE = r"<\S+ object at 0x[0-9a-f]+>"

Object = dict[str, Any]


class Problem(NamedTuple):
    """What is wrong, and where, as a JSON pointer."""

    pointer: str
    message: str


@dataclass(frozen=True, slots=True)
class Node:
    """An object of the document, with its kind, its pointer, and the object and key that hold it."""

    kind: str
    pointer: str
    value: Object
    parent: "Node | None" = None
    slot: str = ""

    @property
    def name(self) -> str:
        """The last key of the pointer, such as the name of a component, a path or a media type."""
        return self.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")

    @property
    def is_reference(self) -> bool:
        """Whether the object only refers to another one. Never true of schemas, which may have other keys, too."""
        return "$ref" in self.value and self.kind in SECTIONS and self.kind != "schema"

    def at(self, *keys: object) -> str:
        """Return the pointer to the value under the keys of this object."""
        return at(self.pointer, *keys)

    def items(self, key: str) -> Iterator[tuple[str, Any]]:
        """Yield each item of the list or map under a key, with its pointer."""
        held = self.value.get(key)
        for name, item in mapping(held).items() or enumerate(sequence(held)):
            yield self.at(key, name), item


def at(pointer: str, *keys: object) -> str:
    """Extend a pointer by keys."""
    return pointer + "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def mapping(value: object) -> Object:
    """Return the value if it is a mapping, else an empty mapping, so that one mistake does not hide others."""
    return cast("Object", value) if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return the value if it is a list, else an empty list."""
    return cast("Any", value) if isinstance(value, list) else []


def shorten(message: object) -> str:
    """Return the message as one short line, because some messages quote the whole document."""
    return textwrap.shorten(str(message), 400, placeholder=" ...")


def walk(value: object, kind: str, pointer: str = "", parent: Node | None = None, slot: str = "") -> Iterator[Node]:
    """Yield every object of the document that has a kind, outer before inner."""
    if kind.endswith("[]"):
        for index, item in enumerate(sequence(value)):
            yield from walk(item, kind[:-2], at(pointer, index), parent, slot)
    elif kind.endswith("{}"):
        for key, item in mapping(value).items():
            yield from walk(item, kind[:-2], at(pointer, key), parent, slot)
    elif kind and isinstance(value, dict):
        node = Node(kind, pointer, cast("Object", value), parent, slot)
        yield node
        for key, item in node.value.items():
            yield from walk(item, FIELDS[kind].get(key, ""), node.at(key), node, key)


class Contract:
    """The parsed document, with every object in it and the targets of its references."""

    def __init__(self, document: Object) -> None:
        self.nodes = list(walk(document, "document"))
        self.operations = [node for node in self.nodes if node.kind == "operation"]
        self.components = {"#" + n.pointer: n for n in self.nodes if n.parent and n.parent.kind == "components"}
        self.schemas = {node.name: node.value for node in self.components.values() if node.kind == "schema"}

    def target(self, value: object) -> Object:
        """Return the component that an object refers to, or the object itself."""
        component = self.components.get(str(mapping(value).get("$ref")))
        return component.value if component else mapping(value)

    def says(self, schema: object, *keys: str) -> bool:
        """Return whether a schema, or its target, has one of the keys; true if the target does not exist."""
        schema, target = mapping(schema), self.target(schema)
        return "$ref" in target or any(part.get(key) not in EMPTY for part in (schema, target) for key in keys)

    def parts(self, schema: object, seen: frozenset[str] = frozenset()) -> list[Object]:
        """Return a schema and every schema that it includes through `$ref`, `allOf`, `anyOf` and `oneOf`."""
        schema = mapping(schema)
        inner = [part for key in ("allOf", "anyOf", "oneOf") for part in sequence(schema.get(key))]
        reference = str(schema.get("$ref"))
        if reference in self.components and reference not in seen:
            inner.append(self.components[reference].value)
        return [schema, *(part for one in inner for part in self.parts(one, seen | {reference}))]

    def misfits(self, schema: object, value: object, pointer: str) -> list[Problem]:
        """Return why an example does not fit its schema or, if it fits, which keys the schema does not define."""
        return [
            Problem(at(pointer, *error.absolute_path), f"{shorten(error.message)}: correct the example or the schema")
            for error in errors(value, {**mapping(schema), "components": {"schemas": self.schemas}})
        ] or list(self.undocumented([schema], value, pointer))

    def undocumented(self, schemas: list[Any], value: object, pointer: str) -> Iterator[Problem]:
        """Yield the keys of an example, at any depth, that no schema defines. Free-form objects may have any key."""
        parts = [part for schema in schemas for part in self.parts(schema)]
        for index, item in enumerate(sequence(value)):
            yield from self.undocumented([part.get("items") for part in parts], item, at(pointer, index))
        for key, inner in mapping(value).items():
            defined = [part["properties"][key] for part in parts if key in mapping(part.get("properties"))]
            if defined:
                yield from self.undocumented(defined, inner, at(pointer, key))
            elif any("properties" in part for part in parts) and not any("additionalProperties" in p for p in parts):
                yield Problem(at(pointer, key), f"`{key}` is not in the schema: document it there or leave it out")


def errors(value: object, schema: Object) -> list[Any]:
    """Return the errors that jsonschema finds in a value."""
    validator = OAS31Validator(schema, format_checker=OAS31Validator.FORMAT_CHECKER)
    return [innermost(error) for error in validator.iter_errors(value)]


def innermost(error: Any) -> Any:
    """Return the deepest cause of an error. For `anyOf`, it comes from the alternative that fits best."""
    while error.context:
        error = max(error.context, key=lambda inner: len(inner.absolute_path))
    return error


def check_keys(_: Contract, node: Node) -> Iterator[Problem]:
    """Check that no key is unknown or missing, and that descriptions of provisional objects say so."""
    kind = "reference" if node.is_reference else node.kind
    for key in map(str, node.value):
        if kind == "schema" and key in REFUSED:
            yield Problem(node.at(key), f"`{key}` {REFUSED[key]}")
        elif key not in FIELDS[kind] and not key.startswith("x-"):
            close = get_close_matches(key, FIELDS[kind], 1)
            advice = f"did you mean `{close[0]}`?" if close else "leave it out, or begin it with `x-`"
            yield Problem(node.at(key), f"unknown key `{key}` in {kind}: {advice}")
    for key in REQUIRED[kind]:
        if node.value.get(key) in EMPTY:
            yield Problem(node.pointer, f"{kind} without `{key}`: add it")
    if node.value.get("x-provisional") and "provisional" not in str(node.value.get("description")).lower():
        yield Problem(node.pointer, "x-provisional, but the description does not say so: begin it with PROVISIONAL")


def check_operation(contract: Contract, operation: Node) -> Iterator[Problem]:
    """Check that an operation has a unique id and module, a declared tag, and a 401 response."""
    name, pointer = str(operation.value.get("operationId") or ""), operation.at("operationId")
    earlier = contract.operations[: contract.operations.index(operation)] if name else []
    if name and not re.fullmatch(r"[a-z][a-zA-Z0-9]*", name):
        yield Problem(pointer, f"operationId `{name}` is not camelCase: write it like `listPrompts`")
    for other in earlier:
        if other.value.get("operationId") == name:
            yield Problem(pointer, f"duplicate operationId `{name}`, as at {other.pointer}: rename one")
        elif module(other) == module(operation):
            yield Problem(pointer, f"`{name}` and the id at {other.pointer} generate the same module: rename one")
    declared = [mapping(tag).get("name") for tag in sequence(contract.nodes[0].value.get("tags"))]
    for pointer, tag in operation.items("tags"):
        if tag not in declared:
            yield Problem(pointer, f"tag `{tag}` is not declared: add it to the document's `tags`")
    if "401" not in map(str, mapping(operation.value.get("responses"))):
        yield Problem(operation.pointer, "operation without a 401 response: refer to Unauthorized")


def module(operation: Node) -> tuple[str, str]:
    """Return the package and module that the generator writes for an operation."""
    tag = [*sequence(operation.value.get("tags")), "default"][0]
    return PythonIdentifier(str(tag), "tag"), PythonIdentifier(str(operation.value.get("operationId")), "field_")


def check_path(contract: Contract, operation: Node) -> Iterator[Problem]:
    """Check that a path has no empty segment, which the HTTP layer refuses, and exactly the declared parameters."""
    item = operation.parent or operation
    if not re.fullmatch(r"(/[^/?#]+)+", item.name):
        yield Problem(item.pointer, "a path must start with a slash, not end with one, not have two in a row: fix it")
    declared: dict[str, str] = {}
    for pointer, parameter in [*item.items("parameters"), *operation.items("parameters")]:
        if contract.target(parameter).get("in") == "path":
            declared[str(contract.target(parameter).get("name"))] = pointer
    template = set(re.findall(r"\{([^{}]*)\}", item.name))
    for name in sorted(template - declared.keys()):
        yield Problem(operation.pointer, f"path parameter `{name}` is not declared: add it with `in: path`")
    for name in sorted(declared.keys() - template):
        yield Problem(declared[name], f"path parameter `{name}` is not in the path: write {{{name}}} there")


def check_security(contract: Contract, operation: Node) -> Iterator[Problem]:
    """Check that an operation has one security requirement, with both schemes."""
    requirements = list(operation.items("security"))
    if not requirements:
        advice = "name both schemes in it (the generator ignores the document's own)"
        yield Problem(operation.pointer, f"operation without `security`: {advice}")
    elif len(requirements) > 1:
        yield Problem(operation.at("security"), "several requirements mean OR: put both schemes into one, for AND")
    elif missing := SCHEMES - schemes(operation):
        advice = "every request carries both headers"
        yield Problem(operation.at("security", 0), f"requirement without {' and '.join(sorted(missing))}: {advice}")
    for pointer, requirement in requirements:
        for name in mapping(requirement):
            if f"#/components/securitySchemes/{name}" not in contract.components:
                yield Problem(at(pointer, name), f"security scheme `{name}` is not declared: correct the name")


def schemes(operation: Node) -> set[str]:
    """Return the names of the security schemes that an operation requires."""
    return {str(name) for _, requirement in operation.items("security") for name in mapping(requirement)}


def check_parameter(contract: Contract, parameter: Node) -> Iterator[Problem]:
    """Check that a parameter has its description and an example in its schema."""
    for key in {"description", "example", "examples"} & set(parameter.value):
        yield Problem(parameter.at(key), f"the generator drops `{key}` of a parameter: move it into `schema`")
    if "schema" in parameter.value and not contract.says(parameter.value["schema"], "examples", "example"):
        yield Problem(parameter.at("schema"), "parameter without example: add `examples: [...]` here")


def check_media_type(_: Contract, media: Node) -> Iterator[Problem]:
    """Check that each JSON body has an example."""
    if "json" in media.name and not (media.value.get("examples") or "example" in media.value):
        yield Problem(media.pointer, "JSON without example: add one under `examples`")


def check_schema(contract: Contract, node: Node) -> Iterator[Problem]:
    """Check that a schema has a description, has no unnamed objects, and requires only properties that it defines."""
    schema, kind = node.value, node.value.get("format")
    if node.parent and (node.parent.kind, node.slot) in DESCRIBED and not contract.says(schema, "description"):
        yield Problem(node.pointer, "schema without `description`: say what it holds")
    if kind == "uuid":
        yield Problem(node.at("format"), "with `format: uuid`, one id of another form breaks a whole list: remove it")
    elif kind is not None and kind not in FORMATS:
        yield Problem(node.at("format"), f"unknown format `{kind}`: leave it out or write one of {', '.join(FORMATS)}")
    if node.slot in ("allOf", "not"):
        return
    types = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type")]
    if "object" in types or "properties" in schema or "allOf" in schema:
        if node.slot != "schemas" or len(types) > 1:
            advice = "name it under components/schemas, write a `$ref` (nullable: `anyOf` of that and `type: 'null'`)"
            yield Problem(node.pointer, f"inline or nullable object: {advice}")
        elif not {"properties", "allOf", "additionalProperties"} & set(schema):
            yield Problem(node.pointer, "free-form object, which the generator makes a class of: refer to JsonObject")
    defined = {name for part in contract.parts(schema) for name in mapping(part.get("properties"))}
    for pointer, part in [(node.pointer, schema), *node.items("allOf")]:
        for index, name in enumerate(sequence(mapping(part).get("required"))):
            if str(name) not in defined:
                yield Problem(at(pointer, "required", index), f"required property `{name}` is not defined: define it")


def check_reference(contract: Contract, node: Node) -> Iterator[Problem]:
    """Check that a reference leads to a component of the right kind, and that no schema contains itself."""
    if "$ref" in node.value and node.kind in SECTIONS:
        reference, section = str(node.value["$ref"]), f"#/components/{SECTIONS[node.kind]}/"
        if reference not in contract.components or not reference.startswith(section):
            yield Problem(node.at("$ref"), f"{reference} does not exist under {section}: define it, or correct it")
    if node.slot == "schemas" and sum(part is node.value for part in contract.parts(node.value)) > 1:
        yield Problem(node.pointer, "schema contains itself (`$ref`, `allOf`, ...): break the cycle")


def check_keywords(_: Contract, node: Node) -> Iterator[Problem]:
    """Check that a schema is valid JSON Schema: known types, valid patterns, keywords of the right form."""
    if node.kind == "schema" and node.parent and node.parent.kind != "schema":
        for error in errors(node.value, {"$ref": "https://json-schema.org/draft/2020-12/schema"}):
            yield Problem(node.at(*error.absolute_path), f"{shorten(error.message)}: correct the schema")


def check_used(contract: Contract) -> Iterator[Problem]:
    """Check that every component is used by something other than itself."""
    references = ((node, str(node.value.get("$ref"))) for node in contract.nodes)
    used = {reference for node, reference in references if not f"#{node.pointer}".startswith(f"{reference}/")}
    used |= {f"#/components/securitySchemes/{name}" for operation in contract.operations for name in schemes(operation)}
    for reference, node in contract.components.items():
        if reference not in used:
            yield Problem(node.pointer, f"unused {node.kind}: refer to it or delete it")


def check_examples(contract: Contract, node: Node) -> Iterator[Problem]:
    """Check that examples and defaults fit their schema and have only properties that it defines."""
    if node.kind in ("schema", "mediaType"):
        schema = node.value if node.kind == "schema" else node.value.get("schema")
        for key in {"default", "example"} & set(node.value):
            yield from contract.misfits(schema, node.value[key], node.at(key))
        for pointer, example in node.items("examples"):
            if node.kind == "schema":
                yield from contract.misfits(schema, example, pointer)
            else:
                yield from contract.misfits(schema, contract.target(example).get("value"), at(pointer, "value"))


Rule = Callable[[Contract, Node], Iterator[Problem]]
RULES: dict[str, list[Rule]] = {
    "operation": [check_operation, check_path, check_security],
    "parameter": [check_parameter],
    "mediaType": [check_media_type],
    "schema": [check_schema],
}


def policy(contract: Contract) -> Iterator[Problem]:
    """Yield every violation of this project's rules."""
    for node in contract.nodes:
        for rule in (check_keys, *([] if node.is_reference else RULES.get(node.kind, []))):
            yield from rule(contract, node)
    unsound = [p for node in contract.nodes for rule in (check_reference, check_keywords) for p in rule(contract, node)]
    yield from unsound
    if not unsound:  # a broken reference makes components look unused, and examples never fit a broken schema
        yield from check_used(contract)
        for node in contract.nodes:
            yield from check_examples(contract, node)


def structure(document: Object) -> Iterator[Problem]:
    """Yield what openapi-spec-validator finds. If it does not say where, the problem is at the root."""
    try:
        for error in map(innermost, OpenAPIV31SpecValidator(document).iter_errors()):
            path = list(error.absolute_path)
            yield Problem(at("", *path) if path and path[0] in document else "", f"OpenAPI: {shorten(error.message)}")
    except Exception as error:  # it crashes, in many ways, on mistakes that other checks report
        yield Problem("", f"openapi-spec-validator failed: {shorten(error)}")


def generation(spec: Path) -> Iterator[Problem]:
    """Yield the messages of the generator if it fails or skips something."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            generate(spec, PROJECT / "generator-config.yaml", Path(scratch, "package"))
        except GenerationError as error:
            for report in REPORT.finditer(str(error)):
                pointer = report["component"] or at("/paths", report["path"], report["method"].lower())
                yield Problem(pointer, f"the generator: {shorten(re.sub(UNREADABLE, '...', report[0]))}")
            if not REPORT.search(str(error)):
                yield Problem("", f"the generator: {shorten(error)}")


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


def problems(document: Object) -> list[Problem]:
    """Return the violations of this project's rules, then what else openapi-spec-validator finds."""
    found = list(dict.fromkeys(policy(Contract(document))))
    return found + beyond(found, structure(document))


def load(spec: Path) -> tuple[Object | None, dict[str, int], list[Problem]]:
    """Return the document (None if it cannot be parsed), the line of each pointer, and problems of the YAML."""
    yaml: Any = YAML(typ="safe", pure=True)
    lines = {"": 1}
    found: list[Problem] = []
    try:
        root = yaml.compose(spec.read_text(encoding="utf-8"))
        if root is None or root.id != "mapping":
            return None, lines, [Problem("", "not an OpenAPI document: the top level must be a mapping")]
        document = yaml.constructor.construct_document(root)
        for pointer, key, value in positions(root):
            lines[pointer] = key.start_mark.line + 1
            if (key is not value and not key.tag.endswith(":str")) or value.tag.endswith(":timestamp"):
                found.append(Problem(pointer, "YAML does not read this as a string, but JSON needs one here: quote it"))
    except MarkedYAMLError as error:
        mistake: Any = error
        lines[""] = mistake.problem_mark.line + 1
        return None, lines, [Problem("", f"{shorten(mistake.problem)}: correct the YAML")]
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        return None, lines, [Problem("", f"cannot be read: {shorten(error)}")]
    return document, lines, found


def positions(node: Any, pointer: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each pointer below a YAML node, with the nodes of its key (in a list, its item) and its value."""
    held: list[tuple[object, Any, Any]] = []
    if node.id == "mapping":
        held = [(key.value, key, value) for key, value in node.value]
    elif node.id == "sequence":
        held = [(index, item, item) for index, item in enumerate(node.value)]
    for name, key, value in held:
        yield at(pointer, name), key, value
        yield from positions(value, at(pointer, name))


def line_of(pointer: str, lines: dict[str, int]) -> int:
    """Return the line of a pointer or, if it has none, of the nearest object around it."""
    while pointer not in lines:
        pointer = pointer.rpartition("/")[0]
    return lines[pointer]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the problems of a contract, one per line, and return the exit status: 1 if there are any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", nargs="?", type=Path, default=Path(os.path.relpath(PROJECT / "openapi.yaml")))
    spec: Path = parser.parse_args(arguments).spec
    document, lines, found = load(spec)
    if document is not None:
        found += beyond(found, problems(document))
        found += beyond(found, generation(spec))
    for line, (pointer, message) in sorted((line_of(problem.pointer, lines), problem) for problem in found):
        print(f"{spec}:{line}: {pointer or '(document)'}: {message}")
    if not found:
        print(f"{spec}: no problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
