"""Both documents of a comparison: what is where in each, and by which name."""

from collections import defaultdict

from openapi_python_client.strings import ClassName

from document import Contract, Node, Object, mapping, module, sequence
from generate import PACKAGE

TEXTS = {"summary", "description", "example", "examples", "externalDocs"}
# Formats that the generator has a Python type for. Others change nothing.
FORMATS = {"date-time", "date", "uuid", "binary"}


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
        described = (" and ".join(self.scheme(*item) for item in mapping(one).items()) for one in requirements)
        return " or ".join(text or "nothing" for text in described) or "nothing"

    def scheme(self, name: str, scopes: object) -> str:
        """Describe a security scheme, and the scopes that a request needs."""
        scheme = self.contract.target({"$ref": f"#/components/securitySchemes/{name}"})
        parts = [str(scheme[key]) for key in ("type", "in", "name", "scheme") if key in scheme]
        return f"{name} ({' '.join(parts)})" + "".join(f" with {scope}" for scope in sequence(scopes))

    def kinds(self, schema: object) -> set[str]:
        """Return the types of a schema as Python distinguishes them, such as `Prompt` or `array of (string)`."""
        schema = mapping(schema)
        target = self.contract.target(schema)
        if schema is not target:
            name = str(schema["$ref"]).rpartition("/")[2]
            has_class = {"properties", "allOf", "enum"} & target.keys() or target.get("type") == "object"
            return {self.former.get(name, name)} if has_class else self.kinds(target)
        found = {kind for key in ("anyOf", "oneOf") for part in sequence(schema.get(key)) for kind in self.kinds(part)}
        note = "enum" if "enum" in schema else schema.get("format") if schema.get("format") in FORMATS else ""
        note = f"const {schema['const']}" if "const" in schema else note
        for kind in schema["type"] if isinstance(schema.get("type"), list) else sequence([schema.get("type")]):
            inner = schema.get({"array": "items", "object": "additionalProperties"}.get(str(kind), ""))
            inner = {"anyOf": [*schema["prefixItems"], inner]} if sequence(schema.get("prefixItems")) else inner
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

    def index(self) -> dict[tuple[str, str], Node]:
        """Map each object by its component or operation and the way to it, in which parameters and tags have names."""
        return {self.key(node): node for node in self.contract.nodes}

    def key(self, node: Node) -> tuple[str, str]:
        """Return the key of an object in the index."""
        if node.parent is None or node.kind == "operation":
            return place(node)[0], ""
        if node.parent.kind == "components":
            return f"{node.kind} {self.former.get(node.name, node.name)}", ""
        head, path = self.key(node.parent)
        if node.kind in ("parameter", "tag"):
            return head, f"{path}/{node.slot}/{self.name(node)}"
        return head, path + node.pointer.removeprefix(node.parent.pointer)

    def name(self, node: Node) -> str:
        """Return the name that a parameter or tag has in its `name`, else the last key of its pointer."""
        return str(self.contract.target(node.value).get("name") or node.name)

    def head(self, node: Node) -> str:
        """Return the operation or component that an object is in, by its old name."""
        head, _, _ = place(node)
        return self.former.get(head, head)

    def tail(self, node: Node) -> str:
        """Return the property or parameter that an object is or is in, as in a `Change`."""
        names = [f"({self.name(one)})" for one in node.around() if one.kind == "parameter"]
        return names[0] if names else place(node)[1]

    def label(self, node: Node) -> str:
        """Say which parameter, response, header or tag an object is or is in, such as "Parameter `limit`: "."""
        labels = {"parameter": "Parameter", "response": "Response", "header": "Header", "tag": "Tag"}
        holders = [one for one in reversed([*node.around()]) if one.kind in labels]
        return "".join(f"{labels[one.kind]} `{self.name(one)}`: " for one in holders)

    def renamed(self, value: object) -> object:
        """Return a value of the document with the old names of renamed schemas in its references."""
        if isinstance(value, dict):
            return {key: self.renamed(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.renamed(item) for item in value]
        path, _, name = str(value).rpartition("/")
        return f"{path}/{self.former[name]}" if name in self.former and path == "#/components/schemas" else value

    def is_sent(self, node: Node) -> bool:
        """Return whether an object is in a parameter or a request body."""
        head = place(node)[0]
        inside = any(one.kind in ("parameter", "requestBody") for one in node.around())
        return inside or head in self.reached["requestBody"] | self.reached["parameters"]


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
