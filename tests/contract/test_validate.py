"""Each mistake that the contract must not have, seeded into the real one: it is found, at its place, in these words."""

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.schemas import schema_v31
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from ruamel.yaml import YAML

import validate
from document import Contract, Problem, at
from generate import GenerationError

pytestmark = pytest.mark.tooling

PROJECT = Path(__file__).resolve().parents[2]

# Places of the contract: its keys, separated by spaces.
LIST = "paths /api/prompts get"
GET = "paths /api/prompts/{promptId} get"
PROMPTS = f"{LIST} responses 200 content application/json"
ONE_STEP = f"{PROMPTS} examples oneStep value prompts 0"
REVIEWED = "paths /api/traces/{traceId} get responses 200 content application/json examples reviewed value"
DOCS = "paths /api/knowledge-docs get"
SLUG = "components parameters ProjectSlug"
SCHEMAS = "components schemas"
PROMPT = f"{SCHEMAS} Prompt"
STATUS = f"{SCHEMAS} Trace properties status"
NULL = {"type": "null"}
INLINE = {"type": "object", "description": "Who.", "properties": {"name": {"type": "string", "description": "Name."}}}


class Renamed(NamedTuple):
    """In place of a value: the key gets this name (or, with none, goes)."""

    to: str | None


GONE = Renamed(None)


def edit(contract: Any, changes: dict[str, Any]) -> None:
    """Change what is at each place; a place that does not exist is an error."""
    for place, value in changes.items():
        *keys, last = place.split()
        holder = contract
        for key in keys:
            holder = holder[int(key) if isinstance(holder, list) else key]
        if isinstance(value, Renamed):
            old = holder.pop(last)
            if value.to:
                holder[value.to] = old
        else:
            holder[int(last) if isinstance(holder, list) else last] = value


def defect(name: str, changes: dict[str, Any], *expected: str) -> Any:
    """Return a test case: what to change, and for each problem to be found `place: some of its words`."""
    return pytest.param(changes, expected, id=name)


def no_problems(_: Path) -> list[Problem]:
    """Stand in for the generator, which takes a second."""
    return []


@pytest.fixture(scope="session")
def pristine() -> Any:
    """The contract as it is."""
    yaml: Any = YAML(typ="safe")
    return yaml.load(PROJECT / "openapi.yaml")


@pytest.fixture
def contract(pristine: Any) -> Any:
    """A copy of the contract to break."""
    return copy.deepcopy(pristine)


@pytest.fixture(scope="session")
def crawled_schema() -> Draft202012Validator:
    """OpenAPI's schema, crawled once. openapi-spec-validator crawls it 30 times per document: half of its time."""
    schema = dict(schema_v31)
    return Draft202012Validator(schema, registry=(DRAFT202012.create_resource(schema) @ Registry()).crawl())


REFERENCES_AND_NAMES = [
    defect(
        "dangling reference",
        {f"{SCHEMAS} PromptList properties prompts items $ref": "#/components/schemas/Promt"},
        f"{SCHEMAS} PromptList properties prompts items $ref: #/components/schemas/Promt does not exist",
    ),
    defect(
        "reference to another kind of component",
        {f"{LIST} parameters 0 $ref": "#/components/schemas/Prompt"},
        f"{LIST} parameters 0 $ref: does not exist under #/components/parameters/",
    ),
    defect(
        "unused component",
        {f"{SCHEMAS} Spare": {"type": "string", "description": "Nothing."}},
        f"{SCHEMAS} Spare: unused schema",
    ),
    defect(
        "component used by itself alone",
        {
            f"{SCHEMAS} Tree": {
                "type": "object",
                "description": "A tree.",
                "properties": {"left": {"$ref": "#/components/schemas/Tree"}},
            }
        },
        f"{SCHEMAS} Tree: unused schema",
    ),
    defect(
        "schema contains itself",
        {f"{SCHEMAS} TraceDetail allOf 0 $ref": "#/components/schemas/TraceDetail"},
        f"{SCHEMAS} TraceDetail: break the cycle",
    ),
    defect("duplicate operationId", {f"{GET} operationId": "listPrompts"}, f"{GET} operationId: duplicate operationId"),
    defect(
        "two operations that become one module",
        {f"{LIST} operationId": "readPrompt", f"{GET} operationId": "readPROMPT"},
        f"{GET} operationId: generate the same module",
    ),
    defect("missing operationId", {f"{LIST} operationId": GONE}, f"{LIST}: operation without `operationId`"),
    defect("operationId in snake_case", {f"{LIST} operationId": "list_prompts"}, f"{LIST} operationId: not camelCase"),
    defect("undeclared tag", {f"{LIST} tags": ["prompt"]}, f"{LIST} tags 0: tag `prompt` is not declared"),
]

PATHS = [
    defect("undeclared path parameter", {f"{GET} parameters": []}, f"{GET}: path parameter `promptId` is not declared"),
    defect(
        "path parameter that the path lacks",
        {"paths /api/prompts/{promptId}": Renamed("/api/prompt")},
        "paths /api/prompt get parameters 0: path parameter `promptId` is not in the path",
    ),
    defect("trailing slash", {"paths /api/prompts": Renamed("/api/prompts/")}, "paths /api/prompts/: not end with one"),
    defect(
        "empty segment", {"paths /api/prompts": Renamed("/api//prompts")}, "paths /api//prompts: not have two in a row"
    ),
]

SECURITY = [
    defect("operation without security", {f"{LIST} security": GONE}, f"{LIST}: operation without `security`"),
    defect(
        "OR instead of AND",
        {f"{LIST} security": [{"ApiKey": []}, {"OrgSlug": []}]},
        f"{LIST} security: several requirements mean OR",
    ),
    defect(
        "requirement of one scheme",
        {f"{LIST} security": [{"ApiKey": []}]},
        f"{LIST} security 0: requirement without OrgSlug",
    ),
    defect(
        "undeclared security scheme",
        {f"{LIST} security 0 Bearer": []},
        f"{LIST} security 0 Bearer: security scheme `Bearer` is not declared",
    ),
    defect(
        "security of the whole document",
        {"security": [{"ApiKey": [], "OrgSlug": []}], f"{LIST} security": GONE},
        f"{LIST}: the generator ignores the document's own",
    ),
    defect("missing 401", {f"{LIST} responses 401": GONE}, f"{LIST}: operation without a 401 response"),
]

WORDS = [
    defect(
        "operation without words",
        {f"{LIST} {key}": GONE for key in ("summary", "description", "externalDocs", "tags")},
        *(f"{LIST}: operation without `{key}`" for key in ("summary", "description", "externalDocs", "tags")),
    ),
    defect("empty summary", {f"{LIST} summary": ""}, f"{LIST}: operation without `summary`"),
    defect(
        "response without description",
        {f"{LIST} responses 200 description": GONE},
        f"{LIST} responses 200: response without `description`",
    ),
    defect("schema without description", {f"{PROMPT} description": GONE}, f"{PROMPT}: schema without `description`"),
    defect(
        "property without description",
        {f"{PROMPT} properties id description": GONE},
        f"{PROMPT} properties id: schema without `description`",
    ),
    defect(
        "property that refers, neither end described",
        {f"{SCHEMAS} JsonObject description": GONE, f"{PROMPT} properties outputSchema description": GONE},
        f"{SCHEMAS} JsonObject: schema without `description`",
        f"{PROMPT} properties outputSchema: schema without `description`",
    ),
    defect(
        "parameter without description",
        {f"{SLUG} schema description": GONE},
        f"{SLUG} schema: schema without `description`",
    ),
    defect("parameter without example", {f"{SLUG} schema examples": GONE}, f"{SLUG} schema: parameter without example"),
    defect("response without example", {f"{PROMPTS} examples": GONE}, f"{PROMPTS}: JSON without example"),
    defect(
        "error without example",
        {"components responses NotFound content application/json examples": GONE},
        "components responses NotFound content application/json: JSON without example",
    ),
    defect(
        "provisional operation that does not say so",
        {f"{DOCS} description": "Every document."},
        f"{DOCS}: the description does not say so",
    ),
]

EXAMPLES = [
    defect("example of a wrong type", {f"{ONE_STEP} content": 3}, f"{ONE_STEP} content: 3 is not of type 'string'"),
    defect(
        "example with a bad date-time",
        {f"{ONE_STEP} createdAt": "yesterday"},
        f"{ONE_STEP} createdAt: not a 'date-time'",
    ),
    defect(
        "example that lacks a property", {f"{ONE_STEP} stepId": GONE}, f"{ONE_STEP}: 'stepId' is a required property"
    ),
    defect(
        "example with an undocumented property",
        {f"{ONE_STEP} model": "small"},
        f"{ONE_STEP} model: `model` is not in the schema",
    ),
    defect(
        "example with an undocumented property of an allOf",
        {f"{REVIEWED} spans 0 ms": 1, f"{REVIEWED} review": "good"},
        f"{REVIEWED} spans 0 ms: `ms` is not in the schema",
        f"{REVIEWED} review: `review` is not in the schema",
    ),
    defect(
        "example of a schema",
        {f"{PROMPT} properties id examples": ["0b9f4c1e", 7]},
        f"{PROMPT} properties id examples 1: 7 is not of type 'string'",
    ),
    defect(
        "example of a parameter",
        {f"{SLUG} schema examples": [[]]},
        f"{SLUG} schema examples 0: [] is not of type 'string'",
    ),
    defect(
        "old-style example", {f"{PROMPT} properties id example": 7}, f"{PROMPT} properties id example: 7 is not of type"
    ),
    defect("default", {f"{SLUG} schema default": 7}, f"{SLUG} schema default: 7 is not of type 'string'"),
    defect(
        "example inside an anyOf",
        {
            f"{PROMPT} properties trace": {
                "description": "A trace.",
                "anyOf": [{"$ref": "#/components/schemas/Error"}, NULL],
                "examples": [{"error": 5}],
            }
        },
        f"{PROMPT} properties trace examples 0 error: 5 is not of type 'string'",
    ),
]

KEYS = [
    defect("unknown key of an operation", {f"{LIST} sumary": "x"}, f"{LIST} sumary: did you mean `summary`?"),
    defect(
        "misspelt key of a response",
        {f"{LIST} responses 200 content": Renamed("contents")},
        f"{LIST} responses 200 contents: did you mean `content`?",
        f"{SCHEMAS} PromptList: unused schema",
    ),
    defect("unknown key of the document", {"path": {}}, "path: did you mean `paths`?"),
    defect(
        "unknown key of an object without rules", {"info license": {"nam": "MIT", "name": "MIT"}}, "info license: nam"
    ),
    defect(
        "unknown keyword",
        {f"{PROMPT} properties id colour": "red"},
        f"{PROMPT} properties id colour: unknown key `colour` in schema",
    ),
    defect(
        "misspelt keyword in a parameter",
        {f"{SLUG} schema minLenght": 1},
        f"{SLUG} schema minLenght: did you mean `minLength`?",
    ),
    defect(
        "unknown status", {f"{LIST} responses 2000": {"description": "x"}}, f"{LIST} responses: '2000' was unexpected"
    ),
    defect("OpenAPI 3.0", {"openapi": "3.0.3"}, "openapi: does not match"),
]

SCHEMA_KEYWORDS = [
    defect(
        "nullable",
        {f"{PROMPT} properties id nullable": True},
        f"{PROMPT} properties id nullable: is OpenAPI 3.0: write",
    ),
    defect("enum", {f"{STATUS} enum": ["completed", "failed"]}, f"{STATUS} enum: leave the string open"),
    defect("const", {f"{STATUS} const": "completed"}, f"{STATUS} const: leave the string open"),
    defect("title", {f"{PROMPT} title": "ThePrompt"}, f"{PROMPT} title: renames the generated class"),
    defect(
        "format uuid",
        {f"{PROMPT} properties id format": "uuid"},
        f"{PROMPT} properties id format: one id of another form",
    ),
    defect(
        "misspelt format",
        {f"{PROMPT} properties createdAt format": "datetime"},
        f"{PROMPT} properties createdAt format: unknown format `datetime`",
    ),
    defect(
        "bad type", {f"{PROMPT} properties id type": "sting"}, f"{PROMPT} properties id type: 'sting' is not one of"
    ),
    defect(
        "bad type in a list of types",
        {f"{SCHEMAS} Span properties parentSpanId type": ["string", "nul"]},
        f"{SCHEMAS} Span properties parentSpanId type 1: 'nul' is not one of",
    ),
    defect(
        "required property that is not defined",
        {f"{PROMPT} required 0": "identity"},
        f"{PROMPT} required 0: required property `identity` is not defined",
        f"{ONE_STEP}: 'identity' is a required property",
    ),
    defect(
        "required property that no part of an allOf defines",
        {f"{SCHEMAS} TraceDetail allOf 1 required 0": "span"},
        f"{SCHEMAS} TraceDetail allOf 1 required 0: required property `span` is not defined",
        f"{REVIEWED}: 'span' is a required property",
    ),
    defect(
        "required as in a parameter",
        {f"{PROMPT} properties id required": True},
        f"{PROMPT} properties id required: array",
    ),
    defect(
        "inline object", {f"{PROMPT} properties owner": INLINE}, f"{PROMPT} properties owner: inline or nullable object"
    ),
    defect(
        "inline nullable object",
        {f"{PROMPT} properties owner": {**INLINE, "type": ["object", "null"]}},
        f"{PROMPT} properties owner: `anyOf` of that and `type: 'null'`",
    ),
    defect(
        "inline object in items",
        {
            f"{PROMPT} properties owners": {
                "type": "array",
                "description": "All.",
                "items": {"properties": INLINE["properties"]},
            }
        },
        f"{PROMPT} properties owners items: inline or nullable object",
    ),
    defect(
        "inline object in anyOf",
        {f"{PROMPT} properties owner": {"description": "Who.", "anyOf": [INLINE, NULL]}},
        f"{PROMPT} properties owner anyOf 0: inline or nullable object",
    ),
    defect(
        "inline allOf",
        {f"{PROMPT} properties owner": {"description": "Who.", "allOf": [{"$ref": "#/components/schemas/Error"}]}},
        f"{PROMPT} properties owner: inline or nullable object",
    ),
    defect(
        "inline object in a response",
        {f"{GET} responses 200 content text/plain": {"schema": INLINE}},
        f"{GET} responses 200 content text/plain schema: inline or nullable object",
    ),
    defect("nullable component", {f"{PROMPT} type": ["object", "null"]}, f"{PROMPT}: inline or nullable object"),
    defect(
        "free-form object",
        {f"{SCHEMAS} JsonObject": {"type": "object", "description": "Any."}},
        f"{SCHEMAS} JsonObject: free-form object",
    ),
]


def text(**keywords: Any) -> dict[str, Any]:
    """Return the schema of a string."""
    return {"type": "string", "description": "Some text.", **keywords}


def parameter(name: str, **keys: Any) -> dict[str, Any]:
    """Return a parameter of a query."""
    return {"name": name, "in": "query", "schema": text(examples=["a"]), **keys}


def renamed(old: str, new: str) -> dict[str, Any]:
    """Return the changes that rename a component that one place refers to."""
    users = {"PromptList": f"{PROMPTS} schema $ref", "Prompt": f"{SCHEMAS} PromptList properties prompts items $ref"}
    return {users[old]: f"#/components/schemas/{new}", f"{SCHEMAS} {old}": Renamed(new)}


DETAIL = f"{SCHEMAS} TraceDetail"
TRACE = {"$ref": "#/components/schemas/Trace"}
PAGE = {
    "type": "object",
    "properties": {
        "prompts": {"type": "array", "description": "All.", "items": {"$ref": "#/components/schemas/Prompt"}}
    },
}
COMPOSITION = [
    defect(
        "properties beside an allOf with one part",
        {DETAIL: {"description": "A trace.", "allOf": [TRACE], "properties": {"spans": {}, "feedback": {}}}},
        f"{DETAIL} properties: drops `properties` beside an `allOf` with one part: move it to a second part of `allOf`",
        f"{SCHEMAS} Span: unused schema",
        f"{SCHEMAS} Feedback: unused schema",
        *(f"{DETAIL} properties {name}: schema without `description`" for name in ("spans", "feedback")),
    ),
    defect(
        "required beside an allOf with one part",
        {f"{SCHEMAS} PromptList": {"description": "A list.", "allOf": [PAGE], "required": ["prompts"]}},
        f"{SCHEMAS} PromptList required: drops `required` beside an `allOf` with one part",
    ),
    defect(
        "required beside a reference",
        {f"{PROMPT} properties step": {"$ref": "#/components/schemas/Error", "required": ["error"]}},
        f"{PROMPT} properties step required: drops `required` beside `$ref`",
    ),
    defect(
        "properties beside a reference",
        {f"{PROMPT} properties step": {"$ref": "#/components/schemas/Error", "properties": {"code": text()}}},
        f"{PROMPT} properties step properties: drops `properties` beside `$ref`",
        f"{PROMPT} properties step: inline or nullable object",
    ),
]

NAMES = [
    defect(
        "properties of one name",
        {f"{PROMPT} properties step_id": text()},
        f"{PROMPT} properties step_id: `stepId` and `step_id` are both `step_id` in Python: rename one",
    ),
    defect(
        "property with the name of an inherited one",
        {f"{DETAIL} allOf 1 properties created_at": text()},
        f"{DETAIL} allOf 1 properties created_at: `createdAt` and `created_at` are both `created_at`",
    ),
    defect(
        "parameters of one name",
        {f"{LIST} parameters 1": parameter("project_slug")},
        f"{LIST} parameters 1: `projectSlug` and `project_slug` are both `project_slug`",
    ),
    *(
        defect(
            f"property {name}",
            {f"{PROMPT} properties {name}": text()},
            f"{PROMPT} properties {name}: property `{name}` breaks the generated code",
        )
        for name in ("additionalProperties", "fromDict", "toDict", "d", "cls", "cast", "fieldDict")
    ),
    *(
        defect(
            f"schema {name}",
            renamed("PromptList", name),
            f"{SCHEMAS} {name}: schema `{name}` breaks the generated code, which uses `{name}` itself: rename it",
        )
        for name in ("Unset", "Response", "Any", "Mapping", "T")
    ),
    *(
        defect(
            f"parameter {name}",
            {f"{LIST} parameters 1": parameter(name)},
            f"{LIST} parameters 1: parameter `{name}` breaks the generated code",
        )
        for name in ("params", "headers", "quote")
    ),
]

CONTENT = [
    defect(
        "object under text/plain",
        {PROMPTS: Renamed("text/plain")},
        f"{LIST} responses 200 content text/plain: fails on an object under `text/plain`: write `application/json`",
    ),
    defect(
        "success without content",
        {f"{LIST} responses 200 content": GONE},
        f"{LIST} responses 200: success without content: document what is returned (nothing: write 204)",
        f"{SCHEMAS} PromptList: unused schema",
    ),
    defect(
        "error without content",
        {"components responses NotFound content": GONE},
        "components responses NotFound: error without content",
    ),
    defect(
        "error without content, not shared",
        {f"{LIST} responses 404": {"description": "Not here."}},
        f"{LIST} responses 404: error without content",
    ),
    defect(
        "204 with content",
        {f"{LIST} responses 204": {"description": "x", "content": {"text/plain": {"schema": text()}}}},
        f"{LIST} responses 204 content: a 204 has no content: leave it out",
    ),
    defect(
        "format without type",
        {f"{PROMPT} properties createdAt type": GONE},
        f"{PROMPT} properties createdAt: ignores `format` without `type`: add `type: string`",
    ),
    defect(
        "items without type",
        {f"{SCHEMAS} PromptList properties prompts type": GONE},
        f"{SCHEMAS} PromptList properties prompts: ignores `items` without `type`: add `type: array`",
    ),
    defect(
        "no further fields in a response",
        {f"{PROMPT} additionalProperties": False, f"{DETAIL} unevaluatedProperties": False},
        f"{PROMPT} additionalProperties: fail on a field added later: leave it out",
        f"{DETAIL} unevaluatedProperties: fail on a field added later: leave it out",
    ),
    defect(
        "media type with a parameter",
        {PROMPTS: Renamed("application/json;charset=utf-8")},
        f"{LIST} responses 200 content application/json;charset=utf-8: write `application/json`",
    ),
    defect(
        "explode",
        {
            f"{LIST} parameters 1": parameter(
                "ids",
                explode=False,
                schema={"type": "array", "description": "Ids.", "items": {"type": "string"}, "examples": [["a"]]},
            )
        },
        f"{LIST} parameters 1 explode: ignores `explode`",
    ),
    defect(
        "deepObject",
        {f"{LIST} parameters 1": parameter("filter", style="deepObject")},
        f"{LIST} parameters 1 style: ignores `style: deepObject`: leave it out",
    ),
]

KEY = "components securitySchemes ApiKey"
MEANING = [
    defect("key in the query", {f"{KEY} in": "query"}, f"{KEY} in: sends ApiKey as the header x-api-key: write"),
    defect(
        "key as a bearer",
        {KEY: {"type": "http", "scheme": "bearer", "description": "The key."}},
        f"{KEY} type: sends ApiKey as the header x-api-key: write `type: apiKey`",
    ),
    defect(
        "headers swapped",
        {f"{KEY} name": "x-org-slug", "components securitySchemes OrgSlug name": "x-api-key"},
        f"{KEY} name: write `name: x-api-key`",
        "components securitySchemes OrgSlug name: write `name: x-org-slug`",
    ),
    defect("relative server", {"servers 0 url": "/"}, "servers 0 url: `/` is not an https URL"),
    defect("server without TLS", {"servers 0 url": "http://app.artanis.ai"}, "servers 0 url: not an https URL"),
    defect(
        "key as a parameter",
        {f"{LIST} parameters 1": parameter("X-Api-Key", **{"in": "header"})},
        f"{LIST} parameters 1: sends this header with every request: leave it to `security`",
    ),
    defect(
        "two templates of one path",
        {"paths /api/prompts/{id}": {}},
        "paths /api/prompts/{id}: the same path as `/api/prompts/{promptId}`",
    ),
    defect(
        "minimum above maximum",
        {f"{PROMPT} properties id minLength": 3, f"{PROMPT} properties id maxLength": 2},
        f"{PROMPT} properties id minLength: `minLength` 3 is above `maxLength` 2",
        f"{ONE_STEP} id: is too long",
    ),
    *(
        defect(
            f"error {status} dropped",
            {f"{LIST} responses {status}": GONE},
            f"{LIST}: operation without a {status} response: refer to {name}",
        )
        for status, name in {"400": "BadRequest", "403": "Forbidden", "404": "NotFound"}.items()
    ),
    defect(
        "misspelt marker",
        {f"{DOCS} x-provisional": Renamed("x-Provisonal")},
        f"{DOCS} x-Provisonal: did you mean `x-provisional`?",
    ),
    defect(
        "promise about a field that is not there",
        {f"{SCHEMAS} TraceList properties traces x-sorted-by": "-created"},
        f"{SCHEMAS} TraceList properties traces x-sorted-by: names `created`, which the items do not have",
    ),
    defect(
        "provisional without the marker",
        {f"{DOCS} x-provisional": GONE, f"{SCHEMAS} KnowledgeDoc x-provisional": False},
        f"{DOCS}: PROVISIONAL, but without the marker: add `x-provisional: true`",
        f"{SCHEMAS} KnowledgeDoc: PROVISIONAL, but without the marker",
    ),
    defect(
        "keyword of another type",
        {f"{PROMPT} properties id minimum": 1, f"{PROMPT} properties id items": {}},
        f"{PROMPT} properties id minimum: `minimum` is not for string",
        f"{PROMPT} properties id items: `items` is not for string",
    ),
    defect(
        "format of another type",
        {f"{SCHEMAS} PromptVersion properties isActive format": "date-time"},
        f"{SCHEMAS} PromptVersion properties isActive format: `format: date-time` is not for boolean",
    ),
    defect(
        "null without quotes",
        {f"{SCHEMAS} Span properties parentSpanId type": ["string", None]},
        f"{SCHEMAS} Span properties parentSpanId type 1: quote 'null'",
    ),
    defect(
        "reference to a misspelt name",
        {f"{SCHEMAS} PromptList properties prompts items $ref": "#/components/schemas/Promt"},
        f"{SCHEMAS} PromptList properties prompts items $ref: did you mean #/components/schemas/Prompt?",
    ),
]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        *(*REFERENCES_AND_NAMES, *PATHS, *SECURITY, *WORDS, *EXAMPLES, *KEYS, *SCHEMA_KEYWORDS),
        *(*COMPOSITION, *NAMES, *CONTENT, *MEANING),
    ],
)
def test_a_defect_is_found_where_it_is(
    contract: Any,
    crawled_schema: Draft202012Validator,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    expected: tuple[str, ...],
) -> None:
    """Each gives the expected problems, each once, at its place and in words that say what to do."""
    monkeypatch.setattr(OpenAPIV31SpecValidator, "schema_validator", crawled_schema)
    edit(contract, changes)
    found = sorted(validate.problems(contract))
    places = [(at("", *place.split()), words) for place, words in (text.split(": ", 1) for text in expected)]
    assert [problem.pointer for problem in found] == sorted(pointer for pointer, _ in places)
    for pointer, words in places:
        assert any(problem.pointer == pointer and words in problem.message for problem in found)


def test_every_defect_is_found_in_one_run(contract: Any) -> None:
    """One mistake does not hide another."""
    edit(contract, {f"{LIST} summary": GONE, f"{GET} security": GONE, f"{PROMPT} properties id nullable": True})
    edit(contract, {f"{SLUG} in": "qeury", f"{SCHEMAS} Trace properties status type": "sting"})
    assert len(validate.problems(contract)) == 5


def test_what_several_operations_share_is_one_problem(contract: Any) -> None:
    """A bad path is not complained of once per operation."""
    item = contract["paths"]["/api/prompts"]
    edit(contract, {"paths /api/prompts delete": {**item["get"], "operationId": "deletePrompts"}})
    edit(contract, {"paths /api/prompts": Renamed("/api/prompts/")})
    assert [problem.pointer for problem in validate.problems(contract)] == ["/paths/~1api~1prompts~1"]


def test_a_document_that_a_tool_stumbles_over_is_a_problem(contract: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a crash of openapi-spec-validator nor words of the generator that name no place pass for success."""

    def fail(*_: Path) -> None:
        raise GenerationError("ruff failed")

    monkeypatch.setattr(validate, "generate", fail)
    assert list(validate.generation(Path("spec"))) == [("", "the generator: ruff failed")]
    contract["paths"]["/api/prompts"]["get"]["responses"][404] = {"description": "A number as a key."}
    (problem,) = validate.problems(contract)
    assert problem.message.startswith("openapi-spec-validator failed: ")


ALLOWED: dict[str, dict[str, Any]] = {
    "the contract": {},
    "extensions": {f"{LIST} x-internal": True, f"{PROMPT} x-owner": "us"},
    "nullable component": {
        f"{PROMPT} properties owner": {
            "description": "Who wrote it, if known.",
            "anyOf": [{"$ref": "#/components/schemas/Owner"}, NULL],
        },
        f"{SCHEMAS} Owner": {**INLINE, "required": ["name"]},
        f"{ONE_STEP} owner": {"name": "Ada"},
    },
    "anything but an object": {f"{PROMPT} properties label": {"description": "A label.", "not": {"type": "object"}}},
    "map": {
        f"{PROMPT} properties labels": {"$ref": "#/components/schemas/Labels"},
        f"{SCHEMAS} Labels": {
            "type": "object",
            "description": "Labels by name.",
            "properties": {"language": {"type": "string", "description": "Language of the text."}},
            "additionalProperties": {"type": "string"},
        },
        f"{ONE_STEP} labels": {"language": "English", "owner": "Ada"},
    },
    "parameter with two descriptions": {f"{SLUG} description": "Slug of the project."},
    "parameters of all kinds": {
        f"{LIST} parameters": [
            {"$ref": "#/components/parameters/ProjectSlug"},
            {"$ref": "#/components/parameters/ProjectId"},
            parameter("limit", schema={"type": "integer", "description": "How many.", "minimum": 1, "examples": [1]}),
            parameter("since", schema=text(format="date-time", examples=["2026-04-01T12:00:00Z"])),
            parameter("deep", schema={"type": "boolean", "description": "Deep.", "examples": [True]}, style="form"),
            parameter(
                "step-id",
                explode=True,
                schema={"type": "array", "description": "Ids.", "items": {"type": "string"}, "examples": [["a"]]},
            ),
            parameter("client"),
            parameter("x-trace", **{"in": "header"}),
        ]
    },
    "fields of all kinds": {
        f"{PROMPT} properties": {
            **{
                name: text()
                for name in ("id", "stepId", "content", "class", "list", "self", "2nd", "a-b", "t", "unset")
            },
            **{name: text(format="date-time") for name in ("createdAt", "updatedAt")},
            "outputSchema": {"$ref": "#/components/schemas/JsonObject", "description": "Schema.", "deprecated": True},
            "day": text(format="date"),
            "scores": {"type": "array", "description": "Scores.", "items": {"type": "number"}, "minItems": 0},
            "size": {
                "type": ["integer", "null"],
                "format": "int64",
                "description": "Size.",
                "minimum": 0,
                "maximum": 0,
            },
            "share": {"type": "number", "format": "double", "description": "Share.", "exclusiveMinimum": 0},
            "any": {"description": "Anything."},
            "either": {"description": "Either.", "oneOf": [{"type": "string", "minLength": 2}, {"type": "integer"}]},
            "errors": {"type": "array", "description": "Errors.", "items": {"$ref": "#/components/schemas/Error"}},
        },
    },
    "object that contains objects of its kind": {
        f"{SCHEMAS} Error properties causes": {
            "type": "array",
            "description": "Causes.",
            "items": {"$ref": "#/components/schemas/Error"},
        },
        f"{SCHEMAS} Error properties cause": {
            "description": "Cause.",
            "anyOf": [{"$ref": "#/components/schemas/Error"}, NULL],
        },
        f"{SCHEMAS} Error properties root": {"$ref": "#/components/schemas/Error"},
    },
    "list without a key around it": {
        f"{PROMPTS} schema": {
            "type": "array",
            "description": "All.",
            "items": {"$ref": "#/components/schemas/PromptList"},
        },
        f"{PROMPTS} examples": {"one": {"summary": "One", "value": [{"prompts": []}]}},
    },
    "vendor's JSON": {PROMPTS: Renamed("application/vnd.artanis+json")},
    "text": {
        f"{GET} responses 200 content": {"text/plain": {"schema": text()}},
        **{f"{SCHEMAS} {name}": GONE for name in ("PromptHistory", "PromptVersion")},
    },
    "server on this machine": {"servers 0 url": "http://127.0.0.1:8000"},
    "every error at once": {
        f"{GET} responses 403": GONE,
        f"{GET} responses 404": GONE,
        f"{GET} responses 4XX": {"$ref": "#/components/responses/Forbidden"},
    },
    "minimum that is the maximum": {
        f"{PROMPT} properties content minLength": 1,
        f"{PROMPT} properties content maxLength": 99,
    },
    "part of a provisional schema": {f"{SCHEMAS} KnowledgeDoc properties id description": "PROVISIONAL id."},
    "extension that sounds like nothing": {f"{LIST} x-professional": True},
    "parameters of the path item": {
        "paths /api/prompts/{promptId} parameters": [
            {
                "name": "promptId",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "description": "Id.", "examples": ["0b9f4c1e"]},
            }
        ],
        f"{GET} parameters": GONE,
    },
    "POST with a body": {
        "paths /api/prompts post": {
            "operationId": "createPrompt",
            "tags": ["prompts"],
            "summary": "Create a prompt",
            "description": "Create a prompt.",
            "externalDocs": {"url": "https://docs.artanis.ai/rest-api/prompts"},
            "security": [{"ApiKey": [], "OrgSlug": []}],
            "requestBody": {
                "description": "The prompt.",
                "required": True,
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/NewPrompt"},
                        "examples": {"short": {"summary": "A short one", "value": {"content": "Be brief."}}},
                    }
                },
            },
            "responses": {
                "204": {"description": "Created."},
                "401": {"$ref": "#/components/responses/Unauthorized"},
            },
        },
        f"{SCHEMAS} NewPrompt": {
            "type": "object",
            "description": "A prompt to create.",
            "required": ["content"],
            "properties": {"content": {"type": "string", "description": "Its text."}},
        },
    },
}


@pytest.mark.parametrize("changes", ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed_is_not_complained_of(contract: Any, changes: dict[str, Any]) -> None:
    """The contract has no problem, nor has one that grew in the ways that it may grow."""
    edit(contract, changes)
    assert validate.problems(contract) == []


def test_the_contract_serves_generators_of_other_languages(pristine: Any) -> None:
    """Free-form objects say that they may have any property; parameters say themselves what they are."""
    assert pristine["components"]["schemas"]["JsonObject"]["not"] == {
        "type": ["string", "number", "boolean", "array"],
        "additionalProperties": True,
        "items": {},
    }
    parameters = [node for node in Contract(pristine).nodes if node.kind == "parameter" and "name" in node.value]
    assert len(parameters) == 5
    for node in parameters:
        assert node.value["description"] == node.value["schema"]["description"]
    assert {"license", "contact"} <= pristine["info"].keys()


def test_the_code_of_what_is_allowed_works(contract: Any, tmp_path: Path) -> None:
    """All that is allowed, at once, becomes code that keeps every example and has every name."""
    for changes in ALLOWED.values():
        edit(contract, changes)
    spec = tmp_path / "contract.json"
    spec.write_text(json.dumps(contract), encoding="utf-8")
    assert list(validate.generation(spec)) == []


def written(folder: Path, old: str, new: str) -> Path:
    """Return the path of a copy of the contract with the text replaced at its first place."""
    text = (PROJECT / "openapi.yaml").read_text(encoding="utf-8")
    assert old in text
    copied = folder / "contract.yaml"
    copied.write_text(text.replace(old, new, 1), encoding="utf-8")
    return copied


@pytest.mark.parametrize(
    ("old", "new", "marker", "problem"),
    [
        pytest.param(
            "      tags: [prompts]\n",
            "      tags: [prompts]\n      sumary: List them\n",
            "sumary:",
            "/paths/~1api~1prompts/get/sumary: unknown key",
            id="key",
        ),
        pytest.param(
            "        - ApiKey: []\n          OrgSlug: []",
            "        - ApiKey: []",
            "- ApiKey",
            "/paths/~1api~1prompts/get/security/0: requirement without OrgSlug",
            id="item of a list",
        ),
        pytest.param(
            "                        stepId: classify\n",
            "",
            "- id: 0b9f4c1e",
            "/0: 'stepId' is a required",
            id="example",
        ),
        pytest.param(
            "        '200':", "        200:", "200:", "/200: YAML does not read this as a string", id="bare status"
        ),
        pytest.param(
            "createdAt: '2026-04-01T12:00:00.000Z'",
            "createdAt: 2026-04-01T12:00:00.000Z",
            "createdAt: 2026",
            "/createdAt: YAML does not read this as a string",
            id="bare date",
        ),
        pytest.param(
            "summary: List the active prompts of a project\n",
            "summary: List the active prompts of a project\n      x-cached: no\n",
            "x-cached: no",
            "/x-cached: other YAML parsers read `no` as a boolean: quote 'no'",
            id="word of YAML 1.1",
        ),
        pytest.param(
            "                        metadata:\n",
            "                        metadata:\n                          on: 1\n",
            "on: 1",
            "/on: other YAML parsers read `on` as a boolean: quote 'on'",
            id="key of YAML 1.1",
        ),
        pytest.param(
            "    Error:\n      type: object\n",
            "    Error: &error\n      x-same: *error\n      type: object\n",
            "x-same:",
            "/components/schemas/Error/x-same: the alias stands inside what it refers to: write a `$ref`",
            id="recursive anchor",
        ),
        pytest.param(
            "type: [string, 'null']", "type: [string, null]", "[string, null]", "/type/1: None is not", id="null"
        ),
        pytest.param("openapi: 3.1.0", "openapi: 3.1.0\nopenapi: 3.1.1", "openapi: 3.1.1", "duplicate key", id="twice"),
        pytest.param("info:\n", "info:\n\t- x\n", "\t- x", "cannot start any token", id="no YAML"),
    ],
)
def test_a_problem_is_printed_with_its_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    marker: str,
    problem: str,
) -> None:
    """The one line of output leads to the line of the text."""
    monkeypatch.setattr(validate, "generation", no_problems)
    spec = written(tmp_path, old, new)
    assert validate.main([str(spec)]) == 1
    (output,) = capsys.readouterr().out.splitlines()
    text = spec.read_text(encoding="utf-8")
    line = text[: text.index(marker)].count("\n") + 1
    assert output.startswith(f"{spec}:{line}: ")
    assert problem in output


def test_annotations_of_a_pull_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--format github`, each problem is a command that GitHub shows at the line, with its characters escaped."""
    monkeypatch.setattr(validate, "generation", no_problems)
    spec = written(tmp_path, "'200':", "'200 %, x':")
    assert validate.main(["--format", "github", str(spec)]) == 1
    (output,) = capsys.readouterr().out.splitlines()
    text = spec.read_text(encoding="utf-8")
    line = text[: text.index("'200 %")].count("\n")
    assert re.fullmatch(
        rf"::error file={spec},line={line},title=/paths/~1api~1prompts/get/responses::OpenAPI: .*'200 %25, x'.*", output
    )
    assert validate.main(["--format", "github"]) == 0
    assert capsys.readouterr().out.endswith(": no problems\n")


@pytest.mark.parametrize(("content", "words"), [("- a list\n", "not an OpenAPI document"), (None, "cannot be read")])
def test_what_is_no_document_is_one_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    """Neither a file that holds something else nor a missing one is a traceback."""
    spec = tmp_path / "spec.yaml"
    if content:
        spec.write_text(content, encoding="utf-8")
    assert validate.main([str(spec)]) == 1
    (output,) = capsys.readouterr().out.splitlines()
    assert output.startswith(f"{spec}:1: (document): ")
    assert words in output


def test_what_only_the_generator_refuses_is_found(tmp_path: Path) -> None:
    """Two schemas of one class name are sound OpenAPI, but the generator drops one."""
    spec = written(tmp_path, "    PromptVersion:\n", "    promptHistory:\n")
    spec.write_text(spec.read_text(encoding="utf-8").replace("schemas/PromptVersion", "schemas/promptHistory"), "utf-8")
    found = {problem.pointer: problem.message for problem in validate.generation(spec)}
    assert 'duplicate models with name "PromptHistory"' in found["/components/schemas/promptHistory"]


CODE: dict[str, tuple[list[Any], dict[str, Any], dict[str, str]]] = {
    "names": (
        [COMPOSITION[0], NAMES[0], NAMES[2]],
        {
            f"{SCHEMAS} Alias": {"description": "An error.", "allOf": [{"$ref": "#/components/schemas/Error"}]},
            f"{SCHEMAS} Span properties error": {"$ref": "#/components/schemas/Alias"},
        },
        {
            DETAIL: "no class `TraceDetail` is generated",
            f"{SCHEMAS} Alias": "no class `Alias` is generated: `allOf` with one part makes none",
            f"{PROMPT} properties stepId": "`stepId` is not the attribute `step_id` of `Prompt`, but `stepId`",
        },
    ),
    "behaviour": (
        [],
        {
            f"{SCHEMAS} Feedback properties fromDict": text(),
            f"{SCHEMAS} Span properties cast": text(),
            **renamed("PromptList", "T"),
            "paths /api/prompts/{promptId}": Renamed("/api/prompts/{quote}"),
            "paths /api/prompts/{quote} get parameters 0 name": "quote",
            f"{SCHEMAS} KnowledgeDoc properties d": text(),
        },
        {
            f"{SCHEMAS} Feedback": 'mypy --strict, Name "from_dict" already defined',
            f"{SCHEMAS} Span": 'mypy --strict, Returning Any from function declared to return "str | None"',
            f"{SCHEMAS} T": "Type variable",
            "paths /api/prompts/{quote} get": 'mypy --strict, "str" not callable',
            f"{SCHEMAS} KnowledgeDoc": "cannot read this, ValueError(",
        },
    ),
    "loss": (
        [],
        {f"{PROMPT} properties stepId format": "date", f"{ONE_STEP} stepId": "2026-W15-3"},
        {
            f"{PROMPTS} examples oneStep value prompts 0 stepId": "reads and writes this as '2026-04-08'",
        },
    ),
    "import": (
        [],
        {f"{SCHEMAS} Error properties TypeVar": text(), **renamed("Prompt", "TypeVar")},
        {f"{SCHEMAS} TypeVar": "mypy --strict, "},
    ),
}


@pytest.mark.parametrize("kind", CODE)
def test_what_only_the_generated_code_shows_is_found(contract: Any, tmp_path: Path, kind: str) -> None:
    """Code that lacks a name, fails mypy or loses a value is one problem, at the part of the contract it comes from."""
    defects, changes, expected = CODE[kind]
    for one in defects:
        edit(contract, one.values[0])
    edit(contract, changes)
    spec = tmp_path / "contract.json"
    spec.write_text(json.dumps(contract), encoding="utf-8")
    found = list(validate.causes(Contract(contract), [], validate.generation(spec)))
    assert {problem.pointer for problem in found} == {at("", *place.split()) for place in expected}
    for place, words in expected.items():
        assert any(problem.pointer == at("", *place.split()) and words in problem.message for problem in found)


def test_a_problem_of_a_schema_hides_what_follows_from_it(contract: Any) -> None:
    """Neither the schemas nor the operations that use a broken schema are complained of, others are."""
    broken, list_, trace = (at("", *place.split()) for place in (PROMPT, f"{SCHEMAS} PromptList", DETAIL))
    new = [Problem(pointer, "x") for pointer in (broken, list_, at("", *LIST.split()), trace, broken)]
    found = list(validate.causes(Contract(contract), [], new))
    assert [problem.pointer for problem in found] == [broken, trace]
    assert list(validate.causes(Contract(contract), new[:1], new[1:])) == [new[3]]


def test_the_command_passes_the_contract(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    run_script: Callable[..., object],
) -> None:
    """From any folder it checks the project's contract, says so in one line and exits with 0."""
    monkeypatch.chdir(tmp_path)
    assert run_script("validate.py") == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert re.fullmatch(r".+openapi.yaml: no problems\n", output)


@pytest.mark.parametrize(("name", "key"), [("PromptList", "schema"), ("Span", "items")])
def test_the_command_fails_with_one_line_per_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], run_script: Callable[..., object], name: str, key: str
) -> None:
    """A mistake that every stage finds is one line, with the wording of the first, and the status is 1."""
    spec = written(tmp_path, f"'#/components/schemas/{name}'", f"'#/components/schemas/{name}s'")
    assert run_script("validate.py", str(spec)) == 1
    output, errors = capsys.readouterr()
    assert errors == ""
    (line,) = output.splitlines()
    assert f"/{key}/$ref: #/components/schemas/{name}s does not exist under #/components/schemas/" in line
