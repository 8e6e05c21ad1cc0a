"""Rules against valid OpenAPI that becomes wrong or broken code, or that says something else than Artanis does."""

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from itertools import combinations

from openapi_python_client.strings import ClassName, PythonIdentifier

from document import FIELDS, Contract, Node, Object, Problem, at, holder, mapping, sequence, types_of

MARKERS = ["x-provisional", "x-sorted-by", "x-exactly-one"]  # the last two are for the check of a live API
# Names that the generated code uses itself.
TAKEN_PROPERTIES = {
    "additional_keys",
    "additional_properties",
    "cast",
    "cls",
    "d",
    "field_dict",
    "from_dict",
    "to_dict",
}
TAKEN_CLASSES = {"Any", "Mapping", "Response", "T", "Unset"}
TAKEN_ARGUMENTS = {"cookies", "headers", "params", "quote"}
HEADERS = {"ApiKey": "x-api-key", "OrgSlug": "x-org-slug"}
ERRORS = {"400": "BadRequest", "401": "Unauthorized", "403": "Forbidden", "404": "NotFound"}
BESIDE_REFERENCE = {
    *("$ref", "$comment", "description", "summary", "default", "example", "examples", "deprecated", "readOnly"),
    *("writeOnly", "externalDocs"),
}
TYPES_OF_KEYWORDS = {
    "array": "items prefixItems contains unevaluatedItems minContains maxContains minItems maxItems uniqueItems",
    "object": "properties patternProperties additionalProperties unevaluatedProperties propertyNames minProperties "
    "maxProperties required dependentRequired dependentSchemas",
    "string": "minLength maxLength pattern contentEncoding contentMediaType contentSchema",
    "number integer": "multipleOf minimum maximum exclusiveMinimum exclusiveMaximum",
}
KEYWORDS = {keyword: types.split() for types, names in TYPES_OF_KEYWORDS.items() for keyword in names.split()}
TYPES_OF_FORMATS = {
    **{name: ["string"] for name in ("date-time", "date", "email", "uri")},
    **{name: ["integer", "number"] for name in ("int32", "int64")},
    **{name: ["number"] for name in ("float", "double")},
}
LIMITS = [
    *(("min" + what, "max" + what) for what in ("Length", "Items", "Properties", "Contains")),
    *((low, high) for low in ("minimum", "exclusiveMinimum") for high in ("maximum", "exclusiveMaximum")),
]
JSON = r"application/([\w.-]+\+)?json\b"
JSON_OR_FORM = rf"{JSON}|multipart/|application/x-www-form-urlencoded"
WITHOUT_BODY = ("204", "205", "304")


def is_object(schema: Object) -> bool:
    """Return whether the generator makes a class of a schema under `components`."""
    return bool({"properties", "allOf"} & schema.keys()) or "object" in types_of(schema)


def check_markers(contract: Contract, node: Node) -> Iterator[Problem]:
    """Check that markers are not misspelt, and that nothing is called PROVISIONAL without the marker."""
    for key in map(str, node.value):
        close = get_close_matches(key.lower(), MARKERS, 1, 0.85)
        if key.startswith(("x-", "X-")) and key not in MARKERS and close:
            yield Problem(node.at(key), f"unknown marker `{key}`: did you mean `{close[0]}`?")
    for key in {"x-sorted-by", "x-exactly-one"} & node.value.keys() if node.kind == "schema" else set[str]():
        items = contract.parts(node.value.get("items"))
        name = str(node.value[key]).removeprefix("-")
        if not any(name in mapping(part.get("properties")) for part in items):
            yield Problem(node.at(key), f"`{key}` names `{name}`, which the items do not have: correct it")
    words = f"{node.value.get('summary')} {node.value.get('description')}"
    if node.kind in ("operation", "schema") and "PROVISIONAL" in words and not is_marked(node):
        yield Problem(node.pointer, "PROVISIONAL, but without the marker: add `x-provisional: true`")


def is_marked(node: Node | None) -> bool:
    """Return whether the object, or one around it, is marked as provisional, or tries to be."""
    while node:
        misspelt = {str(key) for key in node.value if get_close_matches(str(key).lower(), MARKERS[:1], 1, 0.85)}
        if node.value.get(MARKERS[0]) or misspelt - {MARKERS[0]}:
            return True
        node = node.parent
    return False


def check_composition(_: Contract, node: Node) -> Iterator[Problem]:
    """Check that nothing stands where the generator drops it: beside `$ref`, or beside an `allOf` with one part."""
    beside: set[str] = set()
    if "$ref" in node.value:
        beside, what = {*node.value} - BESIDE_REFERENCE, "`$ref`"
    elif len(sequence(node.value.get("allOf"))) == 1:
        beside, what = {*node.value} - BESIDE_REFERENCE - {"allOf", "type"}, "an `allOf` with one part"
    for key in sorted(map(str, beside)):
        if key in FIELDS["schema"]:
            yield Problem(
                node.at(key), f"the generator drops `{key}` beside {what}: move it to a second part of `allOf`"
            )


def check_names(contract: Contract, node: Node) -> Iterator[Problem]:
    """Check that each component, property and parameter gets a separate Python name, which the code does not use."""
    if node.kind == "operation":
        parameters = contract.parameters(node)
        yield from collisions([(pointer, str(one.get("name")), str(one.get("in"))) for pointer, one in parameters])
        for pointer, one in parameters:
            if (name := PythonIdentifier(str(one.get("name")), "field_")) in TAKEN_ARGUMENTS:
                yield taken(pointer, f"parameter `{one.get('name')}`", name)
    elif node.slot == "schemas" and is_object(node.value):
        if (class_name := ClassName(node.name, "")) in TAKEN_CLASSES:
            yield taken(node.pointer, f"schema `{node.name}`", class_name)
        properties = dict(contract.properties(node))
        yield from collisions([(pointer, name, "") for pointer, name in properties.items()])
        for pointer, key in properties.items():
            if (name := PythonIdentifier(key, "field_")) in TAKEN_PROPERTIES and pointer.startswith(node.at()):
                yield taken(pointer, f"property `{key}`", name)


def taken(pointer: str, what: str, name: str) -> Problem:
    """Describe a name that the generated code uses itself."""
    return Problem(pointer, f"{what} breaks the generated code, which uses `{name}` itself: rename it or leave it out")


def collisions(names: list[tuple[str, str, str]]) -> Iterator[Problem]:
    """Yield each name that becomes the same as an earlier one at the same place."""
    for (_, one, here), (pointer, other, there) in combinations(names, 2):
        name = PythonIdentifier(other, "field_")
        if one != other and here == there and PythonIdentifier(one, "field_") == name:
            yield Problem(pointer, f"`{one}` and `{other}` are both `{name}` in Python: rename one or leave it out")


def check_types(_: Contract, node: Node) -> Iterator[Problem]:
    """Check that keywords and formats fit the type, and that no minimum is above its maximum."""
    if any(around.slot == "not" for around in node.around()):
        return
    schema, types = node.value, types_of(node.value)
    if not types and not {"$ref", "allOf", "anyOf", "oneOf"} & schema.keys():
        for key, example in {"format": "string", "items": "array"}.items():
            if key in schema:
                yield Problem(node.pointer, f"the generator ignores `{key}` without `type`: add `type: {example}`")
    for key in schema:
        expected = TYPES_OF_FORMATS.get(str(schema[key])) if key == "format" else KEYWORDS.get(str(key))
        if types and expected and not {*expected} & {*types} and schema[key] is not True:
            what = f"{key}: {schema[key]}" if key == "format" else key
            yield Problem(node.at(key), f"`{what}` is not for {' or '.join(types)}: correct it or the type")
    for low, high in LIMITS:
        least, most = schema.get(low), schema.get(high)
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            yield Problem(node.at(low), f"`{low}` {least} is above `{high}` {most}: no value fits, correct one")


def check_openness(contract: Contract, node: Node) -> Iterator[Problem]:
    """Check that objects in responses may have fields that are added later."""
    in_response = any(around.kind == "response" for around in node.around())
    for key in ("additionalProperties", "unevaluatedProperties"):
        if node.value.get(key) is False and (in_response or holder(node.pointer) in contract.received):
            yield Problem(node.at(key), f"`{key}: false` makes clients fail on a field added later: leave it out")


def check_media(contract: Contract, media: Node) -> Iterator[Problem]:
    """Check that a media type has no parameters, and that objects are JSON (in a request, also forms)."""
    if ";" in media.name:
        plain = media.name.partition(";")[0].strip()
        yield Problem(media.pointer, f"media type with parameters, which clients do not match: write `{plain}`")
    in_request = any(around.kind == "requestBody" for around in media.around())
    fitting = JSON_OR_FORM if in_request else JSON
    schema = mapping(media.value.get("schema"))
    if "$ref" in schema and is_object(contract.target(schema)) and not re.match(fitting, media.name):
        yield Problem(
            media.pointer, f"the generated code fails on an object under `{media.name}`: write `application/json`"
        )


def check_responses(contract: Contract, operation: Node) -> Iterator[Problem]:
    """Check that an operation documents its errors, and what each response contains."""
    responses = mapping(operation.value.get("responses"))
    if operation.slot == "get" and not {"4XX", "default"} & responses.keys():
        in_project = any(one.get("name") in ("projectSlug", "projectId") for _, one in contract.parameters(operation))
        for status in ["403", "404", *(["400"] if in_project else [])]:
            if status not in map(str, responses):
                yield Problem(operation.pointer, f"operation without a {status} response: refer to {ERRORS[status]}")
    for status, response in responses.items():
        target = contract.target(response)
        known = all(key in FIELDS["response"] or str(key).startswith("x-") for key in target)  # else it is misspelt
        if status in WITHOUT_BODY and target.get("content"):
            yield Problem(operation.at("responses", status, "content"), f"a {status} has no content: leave it out")
        if not isinstance(status, str) or "$ref" in target or target.get("content") or not known:
            continue
        component = contract.components.get(str(mapping(response).get("$ref")))
        pointer = component.pointer if component else operation.at("responses", status)
        if re.fullmatch("[45]..|default", status):
            yield Problem(pointer, "error without content: document its JSON, which is an Error")
        elif status == "200" or (
            operation.slot == "get" and re.fullmatch("2..", status) and status not in WITHOUT_BODY
        ):
            yield Problem(pointer, "success without content: document what is returned (nothing: write 204)")


def check_style(_: Contract, parameter: Node) -> Iterator[Problem]:
    """Check that a parameter is sent as the generated code sends it, and is not one of the two headers."""
    place, style = parameter.value.get("in"), parameter.value.get("style")
    default = "form" if place in ("query", "cookie") else "simple"
    if style not in (None, default):
        yield Problem(parameter.at("style"), f"the generator ignores `style: {style}`: leave it out")
    if "explode" in parameter.value and parameter.value["explode"] is not (default == "form"):
        yield Problem(parameter.at("explode"), "the generator ignores `explode`: leave it out")
    if place == "header" and str(parameter.value.get("name")).lower() in HEADERS.values():
        yield Problem(parameter.pointer, "the client sends this header with every request: leave it to `security`")


def check_scheme(_: Contract, scheme: Node) -> Iterator[Problem]:
    """Check that the credentials are sent as the client sends them."""
    if scheme.name in HEADERS:
        for key, value in {"type": "apiKey", "in": "header", "name": HEADERS[scheme.name]}.items():
            if scheme.value.get(key) != value:
                pointer = scheme.at(key) if key in scheme.value else scheme.pointer
                yield Problem(
                    pointer,
                    f"the client sends {scheme.name} as the header {HEADERS[scheme.name]}: write `{key}: {value}`",
                )
                return


def check_server(_: Contract, server: Node) -> Iterator[Problem]:
    """Check that a server is absolute, and does not get the key over plain HTTP."""
    url = str(server.value.get("url") or "https://")
    if not re.match(r"https:/|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)", url):
        yield Problem(server.at("url"), f"`{url}` is not an https URL: write one that begins with `https://`")


def check_templates(contract: Contract) -> Iterator[Problem]:
    """Check that no two paths differ only in the names of their parameters."""
    paths: dict[str, str] = {}
    for name in map(str, mapping(contract.nodes[0].value.get("paths"))):
        first = paths.setdefault(re.sub(r"\{[^}]*\}", "{}", name), name)
        if first != name:
            yield Problem(at("/paths", name), f"the same path as `{first}`: put the operations of both under one")


RULES: dict[str, list[Callable[[Contract, Node], Iterator[Problem]]]] = {
    "operation": [check_responses, check_names],
    "parameter": [check_style],
    "mediaType": [check_media],
    "securityScheme": [check_scheme],
    "server": [check_server],
    "schema": [check_composition, check_names, check_types, check_openness],
}
