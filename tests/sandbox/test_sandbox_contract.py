"""The sandbox against the contract, and the contract's examples against the generated models."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from artanis_api import models
from artanis_client.contract import load_contract
from artanis_client.contract._contract import operations_of
from artanis_client.sandbox import DRIFTS, Sandbox
from artanis_client.sandbox._data import LIST_KEYS
from support import NOW


def closed(node: Any) -> Any:
    """Return the contract with undocumented fields forbidden in responses and list items."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: {**value, "unevaluatedProperties": False}
        if key in ("schema", "items") and "$ref" in value
        else closed(value)
        for key, value in node.items()
    }


FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time")
def is_date_time(value: object) -> bool:
    """Return whether a string is an RFC 3339 time; other types pass, because their type is checked elsewhere."""
    return not isinstance(value, str) or bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value))


def responses() -> Iterator[tuple[str, str, Any]]:
    """Yield path, status and JSON content of every response in the contract."""
    for path in GETS:
        for status, response in CONTRACT["paths"][path]["get"]["responses"].items():
            name = response.get("$ref", "").rpartition("/")[2]
            resolved = CONTRACT["components"]["responses"][name] if name else response
            yield path, status, resolved["content"]["application/json"]


def is_served(path: str) -> bool:
    """Return whether the sandbox serves a path."""
    resource, *ids = path.removeprefix("/api/").split("/")
    return resource in LIST_KEYS and len(ids) < 2


CONTRACT = closed(load_contract())
GETS = [path for path, item in CONTRACT["paths"].items() if "get" in item]
# What the sandbox lacks is one failure, that of `test_the_sandbox_serves_every_operation`.
SERVED = [path for path in GETS if is_served(path)]
LISTS = [path for path in SERVED if "{" not in path]
SCHEMAS = {(path, int(status)): content["schema"] for path, status, content in responses()}
EXAMPLES = [
    pytest.param(content["schema"]["$ref"].rpartition("/")[2], example["value"], id=f"{path} {status} {name}")
    for path, status, content in responses()
    for name, example in content["examples"].items()
]


def details_of(path: str) -> list[str]:
    """Return the path of the details of a list."""
    return [other for other in SERVED if other.startswith(f"{path}/{{")]


def problems(response: httpx.Response, path: str, status: int) -> list[str]:
    """Return the differences between a response and the contract."""
    if response.status_code != status:
        documented = (path, response.status_code) in SCHEMAS
        return [f"{path}: {response.status_code} instead of {status}, which is {documented=}"]
    if response.headers["content-type"] != "application/json":
        return [f"{path}: {response.headers['content-type']}"]
    try:
        value = response.json()
    except json.JSONDecodeError:
        return [f"{path}: no JSON"]
    schema = {**SCHEMAS[path, status], "components": CONTRACT["components"]}
    validator: Any = Draft202012Validator(schema, format_checker=FORMATS)
    return [f"{path}: {error.json_path} {error.message}" for error in validator.iter_errors(value)]


def violations(client: httpx.Client, right: httpx.Client) -> list[str]:
    """Return the differences between a sandbox and the contract, in lists, in details, and in 404s."""
    found: list[str] = []
    for path in LISTS:
        params = {"projectSlug": "support-chat"}
        found += problems(client.get(path, params=params), path, 200)
        (detail,) = details_of(path)
        (items,) = right.get(path, params=params).json().values()
        for item in items:
            found += problems(client.get(f"{path}/{item['id']}"), detail, 200)
        found += problems(client.get(f"{path}/unknown"), detail, 404)
    return found


def body(response: httpx.Response, path: str, status: int) -> Any:
    """Return the body of a response after checking its status and schema."""
    assert problems(response, path, status) == []
    return response.json()


def comparable(value: Any) -> Any:
    """Return JSON with timestamps parsed, because they have several spellings."""

    def with_moments(fields: dict[str, Any]) -> dict[str, Any]:
        return {
            name: datetime.fromisoformat(field) if name.endswith("At") and field else field
            for name, field in fields.items()
        }

    return json.loads(json.dumps(value), object_hook=with_moments)


def assert_round_trip(name: str, value: Any) -> None:
    """Check that a generated model reads and writes the value without loss."""
    assert comparable(getattr(models, name).from_dict(value).to_dict()) == comparable(value)


def test_the_sandbox_serves_every_operation() -> None:
    """An operation added to the contract must be added to the sandbox."""
    lacking = [
        f"{operation.id}: the sandbox does not serve it, add it in overlay/artanis_client/sandbox/_data.py"
        for operation in operations_of(load_contract())
        if operation.method == "GET" and not is_served(operation.path)
    ]
    assert not lacking, "\n".join(lacking)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_round_trip(name: str, example: Any) -> None:
    """Every example of the contract passes through its generated model without loss."""
    assert_round_trip(name, example)


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("project", ["support-chat", "support-mail", "new-project"])
def test_lists_and_details_fit(path: str, project: str, client: httpx.Client) -> None:
    """Every list and every detail fits the contract and the generated models."""
    listed = body(client.get(path, params={"projectSlug": project}), path, 200)
    assert_round_trip(SCHEMAS[path, 200]["$ref"].rpartition("/")[2], listed)
    (items,) = listed.values()
    assert (items == []) is (project == "new-project")
    (detail,) = details_of(path)
    for item in items:
        found = body(client.get(f"{path}/{item['id']}"), detail, 200)
        assert found["id"] == item["id"]
        assert_round_trip(SCHEMAS[detail, 200]["$ref"].rpartition("/")[2], found)


@pytest.mark.parametrize("path", LISTS)
def test_project_by_id(path: str, sandbox: Sandbox, client: httpx.Client) -> None:
    """`projectId` and `projectSlug` return the same list."""
    by_slug = client.get(path, params={"projectSlug": sandbox.project_slug})
    assert client.get(path, params={"projectId": sandbox.project_id}).content == by_slug.content


def ask(client: httpx.Client, sandbox: Sandbox, path: str) -> httpx.Response:
    """Return the response for the default project, or for the first object of this kind in it."""
    collection = path.partition("/{")[0]
    params = {"projectSlug": sandbox.project_slug}
    if path == collection:
        return client.get(path, params=params)
    right = {"x-api-key": sandbox.api_key, "x-org-slug": sandbox.org_slug}
    (items,) = client.get(collection, params=params, headers=right).json().values()
    return client.get(f"{collection}/{items[0]['id']}")


@pytest.mark.parametrize("path", SERVED)
@pytest.mark.parametrize(
    ("status", "message", "headers"),
    [
        (401, "Not authenticated", {"key": None}),
        (401, "Not authenticated", {"key": "wrong-key"}),
        (401, "Not authenticated", {"key": "wrong-key", "org": None}),
        (403, "Forbidden", {"org": None}),
        (403, "Forbidden", {"org": "no-such-org"}),
        (403, "Forbidden", {"org": "other-org"}),
    ],
)
def test_refused(
    path: str,
    status: int,
    message: str,
    headers: dict[str, str | None],
    sandbox: Sandbox,
    connect: Callable[..., httpx.Client],
) -> None:
    """The key is checked first, then the organization, then who owns the object."""
    assert body(ask(connect(sandbox, **headers), sandbox, path), path, status) == {"error": message}


@pytest.mark.parametrize("path", SERVED)
def test_not_found(path: str, client: httpx.Client) -> None:
    """A project or object that does not exist is not found."""
    response = client.get(
        path.partition("{")[0] + "unknown" if "{" in path else path, params={"projectSlug": "unknown"}
    )
    assert body(response, path, 404) == {"error": "Not found"}


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("params", [{}, {"projectSlug": ""}, {"project": "support-chat"}])
def test_no_project(path: str, params: dict[str, str], client: httpx.Client) -> None:
    """A list without a project is a bad request."""
    assert body(client.get(path, params=params), path, 400) == {"error": "projectSlug or projectId is required"}


@pytest.mark.parametrize("path", ["/", "/api", "/api/unknown", "/api/traces/", "/api/traces/a/b", "/api/unknown/x"])
def test_other_paths(path: str, client: httpx.Client) -> None:
    """Other paths return 404 in JSON."""
    response = client.get(path)
    assert (response.status_code, response.json()) == (404, {"error": "Not found"})


@pytest.mark.parametrize("path", ["/api/traces", "/api/prompts/x"])
def test_read_only(path: str, client: httpx.Client) -> None:
    """Methods other than GET return 405 in JSON."""
    response = client.post(path, json={})
    assert (response.status_code, response.json()) == (405, {"error": "Method not allowed"})
    assert "GET" in response.headers["allow"]


PROMPTS, TRACES, DOCS = "/api/prompts", "/api/traces", "/api/knowledge-docs"
PROMPT, TRACE, DOC = (details_of(path)[0] for path in (PROMPTS, TRACES, DOCS))
VIOLATIONS = {
    "undocumented-field": {PROMPTS: "'undocumented' was unexpected"},
    "undocumented-nested-field": {TRACE: r"\$.spans\[3\] .*'undocumented' was unexpected"},
    "missing-field": {
        PROMPTS: r"\$.prompts\[2\] 'content' is a required property",
        PROMPT: r"\$.versions\[2\] 'content' is a required property",
    },
    "wrong-type": {TRACES: r"\$.traces\[3\].createdAt 17\d{11} is not of type 'string'"},
    "null": {TRACE: r"\$.status None is not of type 'string'"},
    "date-format": {PROMPT: r"\$.versions\[0\].createdAt '02/03/2026 09:15' is not a 'date-time'"},
    "free-form": {TRACE: r"\$.spans\[3\].metadata .* should not be valid under"},
    "renamed-key": {TRACES: "'traces' is a required property"},
    "bare-list": {PROMPTS: "is not of type 'object'"},
    "knowledge-docs-renamed": {DOCS: "'knowledgeDocs' is a required property"},
    "not-json": {TRACES: "no JSON"},
    "content-type": {PROMPT: "text/html; charset=utf-8"},
    "undocumented-status": {TRACE: "410 instead of 200, which is documented=False"},
    "operation-gone": {PROMPT: "404 instead of 200, which is documented=True"},
    "no-knowledge-docs": {DOCS: "404 instead of 200", DOC: "404 instead of 200"},
    "error-body": dict.fromkeys([PROMPT, TRACE, DOC], "'error' is a required property"),
}


@pytest.fixture(scope="module")
def few(connect: Callable[..., httpx.Client]) -> Iterator[httpx.Client]:
    """A client of a sandbox with the same few traces as those that drift."""
    with Sandbox(traces=8, now=NOW) as sandbox:
        yield connect(sandbox)


@pytest.mark.parametrize("name", DRIFTS)
def test_each_drift_is_a_violation(name: str, few: httpx.Client, connect: Callable[..., httpx.Client]) -> None:
    """Each drift violates the contract at these paths, in this way, and nowhere else."""
    with Sandbox(traces=8, now=NOW, drift=[name]) as drifted:
        found = violations(connect(drifted), few)
    assert {violation.partition(": ")[0] for violation in found} == set(VIOLATIONS[name])
    for path, what in VIOLATIONS[name].items():
        assert any(re.match(f"{re.escape(path)}: .*{what}", violation, re.DOTALL) for violation in found)


def test_default_sandbox_has_no_violation(client: httpx.Client) -> None:
    """The same check finds nothing in a sandbox without drift."""
    assert violations(client, client) == []


def test_changes_keep_to_the_contract(connect: Callable[..., httpx.Client]) -> None:
    """A sandbox still fits the contract after every kind of change."""
    with Sandbox(traces=5) as sandbox:
        client = connect(sandbox)
        params = {"projectSlug": sandbox.project_slug}
        first, second, *_ = client.get(PROMPTS, params=params).json()["prompts"]
        sandbox.add_version(first["id"], "Answer in one word.")
        sandbox.activate_version(first["id"], client.get(f"{PROMPTS}/{first['id']}").json()["versions"][0]["id"])
        sandbox.remove_prompt(second["id"])
        sandbox.delete_trace(client.get(TRACES, params=params).json()["traces"][0]["id"])
        for trace in client.get(TRACES, params=params).json()["traces"]:
            sandbox.review(trace["id"], comment="Seen.")
        sandbox.review(sandbox.add_trace(), step="classify")
        assert violations(client, client) == []
