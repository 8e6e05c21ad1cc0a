"""Each mistake that the contract must not have, seeded into the real one: it is found, at its place, in these words."""

import copy
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


def no_problems(_: Path) -> list[validate.Problem]:
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
    defect(
        "description of the parameter itself",
        {f"{SLUG} description": "Slug."},
        f"{SLUG} description: the generator drops `description` of a parameter",
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


@pytest.mark.parametrize(
    ("changes", "expected"),
    [*REFERENCES_AND_NAMES, *PATHS, *SECURITY, *WORDS, *EXAMPLES, *KEYS, *SCHEMA_KEYWORDS],
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
    places = [(validate.at("", *place.split()), words) for place, words in (text.split(": ", 1) for text in expected)]
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
