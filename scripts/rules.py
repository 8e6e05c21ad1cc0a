"""The rules of this project for its contract, beyond those of OpenAPI.

One walk finds every object of the document and its kind. `document.KINDS` lists the keys that each kind has, and RULES
the functions that check it further. To add a rule, write a function and list it in RULES.
"""

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches

import pitfalls
from document import (
    EMPTY,
    FIELDS,
    KINDS,
    REQUIRED,
    SECTIONS,
    Contract,
    Node,
    Problem,
    at,
    errors,
    mapping,
    module,
    schemes,
    sequence,
    shorten,
)

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


def check_parameter(contract: Contract, parameter: Node) -> Iterator[Problem]:
    """Check that a parameter has its description (which may be repeated outside) and an example in its schema."""
    for key in {"example", "examples"} & set(parameter.value):
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
            close = get_close_matches(reference, [name for name in contract.components if name.startswith(section)], 1)
            advice = f"did you mean {close[0]}?" if close else "define it, or correct it"
            yield Problem(node.at("$ref"), f"{reference} does not exist under {section}: {advice}")
    if node.slot == "schemas" and sum(part is node.value for part in contract.parts(node.value)) > 1:
        yield Problem(node.pointer, "schema contains itself (`$ref`, `allOf`, ...): break the cycle")


def check_keywords(_: Contract, node: Node) -> Iterator[Problem]:
    """Check that a schema is valid JSON Schema: known types, valid patterns, keywords of the right form."""
    if node.kind == "schema" and node.parent and node.parent.kind != "schema":
        for error in errors(node.value, {"$ref": "https://json-schema.org/draft/2020-12/schema"}):
            is_null = error.instance is None and "type" in error.absolute_path
            advice = "quote 'null'" if is_null else "correct the schema"
            yield Problem(node.at(*error.absolute_path), f"{shorten(error.message)}: {advice}")


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
OWN_RULES: dict[str, list[Rule]] = {
    "operation": [check_operation, check_path, check_security],
    "parameter": [check_parameter],
    "mediaType": [check_media_type],
    "schema": [check_schema],
}
RULES = {kind: [*OWN_RULES.get(kind, []), *pitfalls.RULES.get(kind, [])] for kind in KINDS}


def policy(contract: Contract) -> Iterator[Problem]:
    """Yield every violation of this project's rules."""
    for node in contract.nodes:
        for rule in (check_keys, pitfalls.check_markers, *([] if node.is_reference else RULES[node.kind])):
            yield from rule(contract, node)
    unsound = [p for node in contract.nodes for rule in (check_reference, check_keywords) for p in rule(contract, node)]
    yield from unsound
    yield from pitfalls.check_templates(contract)
    if not unsound:  # a broken reference makes components look unused, and examples never fit a broken schema
        yield from check_used(contract)
        for node in contract.nodes:
            yield from check_examples(contract, node)
