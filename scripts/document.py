"""The contract as objects: every object of `openapi.yaml` with its kind, its place, and what it refers to."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

from openapi_python_client.strings import PythonIdentifier
from openapi_schema_validator import OAS31Validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

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
EMPTY: tuple[object, ...] = (None, "", [], {})

Object = dict[str, Any]


class Problem(NamedTuple):
    """A problem of the document, and the JSON pointer of its place."""

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

    def around(self) -> "Iterator[Node]":
        """Yield the object and every object around it."""
        node: Node | None = self
        while node:
            yield node
            node = node.parent

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


def holder(pointer: str) -> str:
    """Return the reference to the component or operation that a pointer leads to or into."""
    return "#" + "/".join(pointer.split("/")[:4])


def mapping(value: object) -> Object:
    """Return the value if it is a mapping, else an empty mapping, so that one mistake does not hide others."""
    return cast("Object", value) if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return the value if it is a list, else an empty list."""
    return cast("Any", value) if isinstance(value, list) else []


def types_of(schema: Object) -> list[str]:
    """Return the types of a schema."""
    types = schema.get("type")
    return [str(one) for one in sequence(types)] or ([types] if isinstance(types, str) else [])


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
        self.owners = {"#" + node.pointer: node for node in self.operations} | self.components
        self.pointers = {id(node.value): node.pointer for node in self.nodes}
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

    @cached_property
    def received(self) -> set[str]:
        """The references to all components that responses hold, directly or not."""
        return set[str]().union(*(self.reached(node.value) for node in self.nodes if node.kind == "response"))

    def reached(self, value: object, seen: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the references to all components that a value holds, directly or not."""
        reference = str(mapping(value).get("$ref"))
        inner = [*mapping(value).values(), *sequence(value)]
        if reference in self.components and reference not in seen:
            seen |= {reference}
            inner.append(self.components[reference].value)
        for item in inner:
            seen = self.reached(item, seen)
        return seen

    def parameters(self, operation: Node) -> list[tuple[str, Object]]:
        """Return the parameters of an operation, including those of its path, with their pointers."""
        holders = (operation.parent or operation, operation)
        return [(pointer, self.target(one)) for holder in holders for pointer, one in holder.items("parameters")]

    def properties(self, schema: Node) -> Iterator[tuple[str, str]]:
        """Yield the pointer and the name of each property of a schema, including those that it inherits."""
        for part in self.parts(schema.value):
            for name in mapping(part.get("properties")):
                yield at(self.pointers[id(part)], "properties", name), str(name)

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


def module(operation: Node) -> tuple[str, str]:
    """Return the package and module that the generator writes for an operation."""
    tag = [*sequence(operation.value.get("tags")), "default"][0]
    return PythonIdentifier(str(tag), "tag"), PythonIdentifier(str(operation.value.get("operationId")), "field_")


def schemes(operation: Node) -> set[str]:
    """Return the names of the security schemes that an operation requires."""
    return {str(name) for _, requirement in operation.items("security") for name in mapping(requirement)}


def load(spec: Path) -> tuple[Object | None, dict[str, int], list[Problem]]:
    """Return the document (None if it cannot be parsed), the line of each pointer, and problems of the YAML."""
    yaml: Any = YAML(typ="safe", pure=True)
    lines = {"": 1}
    found: list[Problem] = []
    try:
        root = yaml.compose(spec.read_text(encoding="utf-8"))
        if root is None or root.id != "mapping":
            return None, lines, [Problem("", "not an OpenAPI document: the top level must be a mapping")]
        for pointer, key, value in positions(root):
            lines[pointer] = key.start_mark.line + 1
            for scalar in dict.fromkeys((key, value)):
                if is_word_of_yaml_1_1(scalar):
                    advice = f"quote '{scalar.value}'"
                    found.append(Problem(pointer, f"other YAML parsers read `{scalar.value}` as a boolean: {advice}"))
            if (key is not value and not key.tag.endswith(":str")) or value.tag.endswith(":timestamp"):
                found.append(Problem(pointer, "YAML does not read this as a string, but JSON needs one here: quote it"))
        document = yaml.constructor.construct_document(root)
    except MarkedYAMLError as error:
        mistake: Any = error
        lines[""] = mistake.problem_mark.line + 1
        return None, lines, [Problem("", f"{shorten(mistake.problem)}: correct the YAML")]
    except RecursiveAnchorError as error:
        return None, lines, [Problem(str(error), "the alias stands inside what it refers to: write a `$ref` instead")]
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        return None, lines, [Problem("", f"cannot be read: {shorten(error)}")]
    return document, lines, found


class RecursiveAnchorError(Exception):
    """An alias refers to an object that it is a part of. The text is its pointer."""


def is_word_of_yaml_1_1(node: Any) -> bool:
    """Return whether a YAML node is an unquoted string that parsers of YAML 1.1, such as PyYAML, read as a boolean."""
    is_plain = node.id == "scalar" and node.style is None and node.tag.endswith(":str")
    return is_plain and node.value.lower() in ("yes", "no", "on", "off")


def positions(node: Any, pointer: str = "", around: tuple[int, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Yield each pointer below a YAML node, with the nodes of its key (in a list, its item) and its value."""
    held: list[tuple[object, Any, Any]] = []
    if id(node) in around:
        raise RecursiveAnchorError(pointer)
    if node.id == "mapping":
        held = [(key.value, key, value) for key, value in node.value]
    elif node.id == "sequence":
        held = [(index, item, item) for index, item in enumerate(node.value)]
    for name, key, value in held:
        yield at(pointer, name), key, value
        yield from positions(value, at(pointer, name), (*around, id(node)))


def line_of(pointer: str, lines: dict[str, int]) -> int:
    """Return the line of a pointer or, if it has none, of the nearest object around it."""
    while pointer not in lines:
        pointer = pointer.rpartition("/")[0]
    return lines[pointer]
