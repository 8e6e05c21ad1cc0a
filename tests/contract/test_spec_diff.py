"""`make spec-diff`: what an edit of the contract changes, in words, and whether it breaks anybody."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import spec_diff
from document import load

pytestmark = pytest.mark.tooling
ROOT = Path(__file__).resolve().parents[2]

Edit = Callable[[dict[str, Any]], object]
LOADED: dict[bytes, Any] = {}


@pytest.fixture
def clone(tmp_path: Path, generate_once: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose last commit has the contract as it is."""
    version = tmp_path / "overlay" / "artanis_client" / "_version.py"
    version.parent.mkdir(parents=True)
    shutil.copy(ROOT / "openapi.yaml", tmp_path)
    # Without the project's post hooks: how the code is formatted makes no difference, and formatting it takes time.
    (tmp_path / "generator-config.yaml").write_text("post_hooks: []\n", encoding="utf-8")
    version.write_text('__version__ = "0.1.0"\n', encoding="utf-8")
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    commit(tmp_path)
    monkeypatch.setattr(spec_diff, "generate", generate_once)
    monkeypatch.setattr(spec_diff, "load", load_once)
    return tmp_path


def load_once(spec: Path) -> Any:
    """`load()`, which reads a document only once: it takes longer than comparing two."""
    content = spec.read_bytes()
    if content not in LOADED:
        LOADED[content] = load(spec)
    return deepcopy(LOADED[content])


def git(root: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path, tag: str = "") -> None:
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "x")
    if tag:
        git(root, "tag", tag)


def edit(root: Path, *edits: Edit) -> None:
    """Write the contract with these edits, as JSON: it is YAML, and faster to write."""
    document, _, _ = load_once(ROOT / "openapi.yaml")
    for each in edits:
        each(document)
    (root / "openapi.yaml").write_text(json.dumps(document), encoding="utf-8")


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def properties(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema(document, name)["properties"]
    return found


def operation(document: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["get"]
    return found


def without_feedback(document: dict[str, Any]) -> None:
    own = schema(document, "TraceDetail")["allOf"][1]
    own["required"].remove("feedback")
    del own["properties"]["feedback"]
    del document["components"]["schemas"]["Feedback"]
    del operation(document, "/api/traces/{traceId}")["responses"]["200"]["content"]["application/json"]["examples"]


def renamed_schema(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    schemas["Comment"] = schemas.pop("Feedback")
    schema(document, "TraceDetail")["allOf"][1]["properties"]["feedback"]["items"]["$ref"] = (
        "#/components/schemas/Comment"
    )


def parameter(name: str, *, required: bool) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": {"type": "string", "description": "x"}}


def renamed_key(document: dict[str, Any]) -> None:
    listed = schema(document, "PromptList")
    listed["properties"]["items"] = listed["properties"].pop("prompts")
    listed["required"] = ["items"]


def of_item(document: dict[str, Any]) -> None:
    items = schema(document, "PromptHistory")["properties"]["versions"]
    items["items"] = {"type": "string"}
    del document["components"]["schemas"]["PromptVersion"]


TEXT = {"type": "string", "description": "x"}
NUMBER = {"type": "integer", "description": "x"}


def success(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = operation(document, "/api/prompts")["responses"]["200"]
    return found


def responding(status: str, name: str) -> Edit:
    """Return an edit that adds a response with this schema."""
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    response = {"description": "x", "content": content}
    return lambda d: operation(d, "/api/prompts")["responses"].update({status: response})


def field(value: dict[str, Any]) -> Edit:
    """Return an edit that gives `Prompt.extra` this schema."""
    return lambda d: properties(d, "Prompt").update(extra=deepcopy(value))


def slug(value: dict[str, Any]) -> Edit:
    """Return an edit that gives the parameter `projectSlug` this schema."""
    return lambda d: d["components"]["parameters"]["ProjectSlug"].update(schema=deepcopy(value))


def texts_for_feedback(document: dict[str, Any]) -> None:
    document["components"]["schemas"]["Feedback"] = deepcopy(TEXT)
    del operation(document, "/api/traces/{traceId}")["responses"]["200"]["content"]["application/json"]["examples"]


BREAKING: dict[str, tuple[Edit, str]] = {
    "path removed": (lambda d: d["paths"].pop("/api/traces/{traceId}"), "- `GET /api/traces/{traceId}`: Removed."),
    "parameter removed": (
        lambda d: operation(d, "/api/prompts")["parameters"].pop(),
        "- `GET /api/prompts`: Parameter `projectId` (query) has been removed.",
    ),
    "property removed": (
        lambda d: (properties(d, "Prompt").pop("content"), schema(d, "Prompt")["required"].remove("content")),
        "- `Prompt.content`: Field `content` has been removed from the response",
    ),
    "property retyped": (
        lambda d: properties(d, "PromptVersion")["isActive"].update(type="string"),
        "- `PromptVersion.isActive`: Data type changed: `boolean` -> `string`.",
    ),
    "property made optional": (
        lambda d: schema(d, "PromptVersion")["required"].remove("content"),
        "- `PromptVersion.content`: Field `content` is no longer guaranteed to be present",
    ),
    "property made nullable": (
        lambda d: properties(d, "PromptVersion")["isActive"].update(type=["boolean", "null"]),
        "- `PromptVersion.isActive`: Data type changed: `boolean` -> `boolean or null`.",
    ),
    "format dropped": (
        lambda d: properties(d, "PromptVersion")["createdAt"].pop("format"),
        "- `PromptVersion.createdAt`: Data type changed: `string (date-time)` -> `string`.",
    ),
    "array of something else": (of_item, "- `PromptHistory.versions`: "),
    "wrapping key renamed": (renamed_key, "- `PromptList.prompts`: Field `prompts` has been removed"),
    "parameter made required": (
        lambda d: d["components"]["parameters"]["ProjectSlug"].update(required=True),
        "- `GET /api/prompts`, `GET /api/traces`: Parameter `projectSlug` is now required.",
    ),
    "required parameter added": (
        lambda d: operation(d, "/api/traces")["parameters"].append(parameter("limit", required=True)),
        "- `GET /api/traces`: ",
    ),
    "security changed": (
        lambda d: operation(d, "/api/prompts").update(security=[{"ApiKey": []}]),
        "- `GET /api/prompts`: Security changed: `ApiKey (apiKey header x-api-key) and OrgSlug",
    ),
    "operationId renamed": (
        lambda d: operation(d, "/api/traces").update(operationId="getTraces"),
        "operationId changed: `listTraces` -> `getTraces`. Gone from Python: `artanis_api.api.traces.list_traces`.",
    ),
    "property removed inside allOf": (
        without_feedback,
        "- `TraceDetail.feedback`: Field `feedback` has been removed from the response",
    ),
    "another success": (
        responding("201", "Error"),
        "- `GET /api/prompts`: Return type changed: `PromptList` -> `Error or PromptList`.",
    ),
    "success without content": (
        lambda d: operation(d, "/api/prompts")["responses"].update({"204": {"description": "x"}}),
        "- `GET /api/prompts`: Return type changed: `PromptList` -> `PromptList or nothing`.",
    ),
    "scope": (
        lambda d: operation(d, "/api/prompts")["security"][0].update(ApiKey=["read"]),
        "(apiKey header x-api-key) with read and OrgSlug",
    ),
    "names that collide": (
        lambda d: properties(d, "Prompt").update(step_id=TEXT),
        "- `Prompt.stepId`: `stepId` is now `stepId` in Python, not `step_id`.",
    ),
    "parameters that collide": (
        lambda d: operation(d, "/api/traces")["parameters"].append(parameter("project_slug", required=False)),
        "- `GET /api/traces`: `projectSlug` is now `projectSlug` in Python, not `project_slug`.",
    ),
    "class gone": (texts_for_feedback, "Gone from Python: `artanis_api.models.Feedback`.\n"),
    "schema renamed": (renamed_schema, "- `Feedback`: Renamed to `Comment`."),
}

HARMLESS: dict[str, tuple[Edit, str]] = {
    "field added": (
        lambda d: properties(d, "Prompt").update(language={"type": "string", "description": "x"}),
        "- `Prompt.language`: New field added: `language`.",
    ),
    "optional parameter added": (
        lambda d: operation(d, "/api/traces")["parameters"].append(parameter("limit", required=False)),
        "`GET /api/traces`",
    ),
    "operation added": (
        lambda d: d["paths"].update(
            {"/api/steps": {"get": {**operation(d, "/api/prompts"), "operationId": "listSteps"}}}
        ),
        "- `GET /api/steps`: Added.",
    ),
    "tag": (lambda d: d["tags"][0].update(description="y"), "- `tags`: Tag `prompts`: `description` changed."),
    "error no longer documented": (
        lambda d: operation(d, "/api/prompts")["responses"].pop("404"),
        "- `GET /api/prompts`: Response `404` is no longer documented.",
    ),
    "vendor's JSON": (
        lambda d: success(d)["content"].update(
            {"application/vnd.a+json": success(d)["content"].pop("application/json")}
        ),
        "- `GET /api/prompts`: Response `200`: `application/vnd.a+json`: Added.",
    ),
    "header of a response": (
        lambda d: success(d).update(headers={"X-Count": {"description": "x", "schema": NUMBER}}),
        "- `GET /api/prompts`: Response `200`: Header `X-Count`: Added.",
    ),
    "inside not": (
        lambda d: schema(d, "JsonObject")["not"]["type"].remove("array"),
        "- `JsonObject`: `not.type` changed.",
    ),
    "keyword of a parameter": (
        lambda d: operation(d, "/api/prompts/{promptId}")["parameters"][0].update(deprecated=True),
        "- `GET /api/prompts/{promptId}`: Parameter `promptId`: `deprecated` changed.",
    ),
    "order of required": (
        lambda d: schema(d, "Prompt")["required"].reverse(),
        "- `Prompt`: Order of `required` changed.",
    ),
    "another success of the same type": (responding("202", "PromptList"), "New response `202` has been added."),
    "words": (
        lambda d: operation(d, "/api/traces").update(summary="List all traces"),
        "- `GET /api/traces`: `summary` changed.",
    ),
}


@pytest.mark.parametrize("kind", BREAKING)
def test_what_breaks(clone: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Each kind of breaking change is told in words under its heading, and makes the exit status 1."""
    change, words = BREAKING[kind]
    edit(clone, change)
    assert spec_diff.main(["--root", str(clone)]) == 1
    shown = capsys.readouterr().out
    assert words in shown.partition("## Breaking")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_breaks_nothing(clone: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Additions and words are told, and the exit status is 0."""
    change, words = HARMLESS[kind]
    edit(clone, change)
    assert spec_diff.main(["--root", str(clone)]) == 0
    shown = capsys.readouterr().out
    assert words in shown.partition("## Added and other changes")[2]
    assert "## Breaking" not in shown


EXTRA = "- `Prompt.extra`: "
# What the base has, what replaces it, whether that breaks, and words about it.
REPLACED: dict[str, tuple[Edit, Edit, bool, str]] = {
    "multipleOf": (field(NUMBER), field({**NUMBER, "multipleOf": 5}), False, f"{EXTRA}`multipleOf` changed."),
    "multipleOf of items": (
        field({**TEXT, "type": "array", "items": NUMBER}),
        field({**TEXT, "type": "array", "items": {**NUMBER, "multipleOf": 5}}),
        False,
        f"{EXTRA}`items.multipleOf` changed.",
    ),
    "multipleOf of a parameter": (
        slug(NUMBER),
        slug({**NUMBER, "multipleOf": 5}),
        True,
        "- `ProjectSlug`: Parameter `projectSlug`: `multipleOf` changed.",
    ),
    "const": (
        field(TEXT),
        field({**TEXT, "const": "a"}),
        True,
        f"{EXTRA}Data type changed: `string` -> `string (const a)`.",
    ),
    "prefixItems": (
        field({**TEXT, "type": "array", "items": TEXT}),
        field({**TEXT, "type": "array", "items": TEXT, "prefixItems": [NUMBER]}),
        True,
        f"{EXTRA}Data type changed: `array of (string)` -> `array of (integer or string)`.",
    ),
    "order of anyOf": (
        field({"description": "x", "anyOf": [TEXT, NUMBER]}),
        field({"description": "x", "anyOf": [NUMBER, TEXT]}),
        False,
        f"{EXTRA}Order of `anyOf` changed.",
    ),
    "header of a response": (
        lambda d: success(d).update(headers={"X-A": {"description": "x", "schema": TEXT}}),
        lambda d: success(d).update(headers={"X-A": {"description": "x", "schema": NUMBER}}),
        False,
        "- `GET /api/prompts`: Response `200`: Header `X-A`: `type` changed.",
    ),
    "pattern in a response": (field(TEXT), field({**TEXT, "pattern": "a"}), False, f"{EXTRA}A new validation pattern"),
    "other pattern in a response": (
        field({**TEXT, "pattern": "b"}),
        field({**TEXT, "pattern": "a"}),
        False,
        f"{EXTRA}Validation pattern changed from `b` to `a`.",
    ),
    "length in a response": (
        field({**TEXT, "maxLength": 9}),
        field({**TEXT, "maxLength": 3}),
        False,
        f"{EXTRA}Constraint `maxLength` changed from 9 to 3 (stricter)",
    ),
    "pattern of a parameter": (
        slug(TEXT),
        slug({**TEXT, "pattern": "a"}),
        True,
        "Parameter `projectSlug`: A new valid",
    ),
    "length of a parameter": (
        slug(TEXT),
        slug({**TEXT, "maxLength": 9}),
        True,
        "- `ProjectSlug`: Parameter `projectSlug`: `maxLength` changed.",
    ),
    "length of a parameter gone": (
        slug({**TEXT, "maxLength": 9}),
        slug(TEXT),
        False,
        "- `ProjectSlug`: Parameter `projectSlug`: `maxLength` changed.",
    ),
    "email": (field(TEXT), field({**TEXT, "format": "email"}), False, f"{EXTRA}`format` changed."),
    "int64": (field(NUMBER), field({**NUMBER, "format": "int64"}), False, f"{EXTRA}`format` changed."),
    "integer to number in a parameter": (
        slug(NUMBER),
        slug({**NUMBER, "type": "number"}),
        False,
        "Parameter `projectSlug`: Data type changed: `integer` -> `number`.",
    ),
    "number to integer in a parameter": (
        slug({**NUMBER, "type": "number"}),
        slug(NUMBER),
        True,
        "Parameter `projectSlug`: Data type changed: `number` -> `integer`.",
    ),
    "integer to number in a response": (
        field(NUMBER),
        field({**NUMBER, "type": "number"}),
        True,
        f"{EXTRA}Data type changed: `integer` -> `number`.",
    ),
}


@pytest.mark.parametrize("kind", REPLACED)
def test_what_replaces_something(clone: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    """Each is told in words, under the right heading."""
    before, after, breaks, words = REPLACED[kind]
    edit(clone, before)
    commit(clone)
    edit(clone, after)
    assert spec_diff.main(["--root", str(clone), "HEAD"]) == int(breaks)
    shown = capsys.readouterr().out
    assert words in shown.partition("## Breaking" if breaks else "## Added and other changes")[2]
    assert ("## Breaking" in shown) is breaks


def test_a_removal_is_told_once(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the document and the code both say is one line."""
    edit(clone, BREAKING["path removed"][0])
    spec_diff.main(["--root", str(clone)])
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- `") and "get_trace" in line]
    assert line == "- `GET /api/traces/{traceId}`: Removed. Gone from Python: `artanis_api.api.traces.get_trace`."


def test_what_is_provisional_breaks_nobody(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Provisional parts may change; they have a separate heading."""
    edit(clone, lambda d: d["paths"].pop("/api/knowledge-docs/{knowledgeDocId}"))
    assert spec_diff.main(["--root", str(clone)]) == 0
    shown = capsys.readouterr().out
    assert "## Breaking" not in shown
    assert "- `GET /api/knowledge-docs/{knowledgeDocId}`: Removed." in shown.partition("## Provisional")[2]


def test_breaking_comes_first(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Among several changes, those that break come before the others, in an order that stays the same.

    This test generates as the project does, formatting included.
    """
    shutil.copy(ROOT / "generator-config.yaml", clone)
    kinds = [BREAKING["operationId renamed"][0], BREAKING["property retyped"][0], HARMLESS["field added"][0]]
    edit(clone, *kinds)
    shown: set[str] = set()
    for _ in range(2):
        assert spec_diff.main(["--root", str(clone)]) == 1
        shown.add(capsys.readouterr().out)
    [text] = shown
    assert text.index("operationId changed") < text.index("## Added and other changes") < text.index("New field")


def test_nothing_changed(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """That is said, too."""
    assert spec_diff.main(["--root", str(clone)]) == 0
    assert capsys.readouterr().out.endswith("nothing changed.\n")


def test_the_base(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is the one that was named, else the last release, else what a branch has in common with main."""
    git(clone, "checkout", "--quiet", "-b", "topic")
    edit(clone, HARMLESS["field added"][0])
    commit(clone)
    edit(clone, HARMLESS["field added"][0], HARMLESS["words"][0])
    assert spec_diff.main(["--root", str(clone)]) == 0
    shown = capsys.readouterr().out
    assert "the last commit in common with main" in shown
    assert "New field added" in shown
    commit(clone, tag="v0.1.0")
    edit(clone, HARMLESS["field added"][0], HARMLESS["words"][0], BREAKING["property made nullable"][0])
    assert spec_diff.main(["--root", str(clone)]) == 1
    shown = capsys.readouterr().out
    assert "compared with v0.1.0, the last release" in shown
    assert "New field added" not in shown
    assert spec_diff.main(["--root", str(clone), "main"]) == 1
    assert "New field added" in capsys.readouterr().out


def test_the_version(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What CONTRIBUTING.md asks of the version is said; with --unless-raised a break passes once that is done."""
    commit(clone, tag="v0.1.0")
    edit(clone, BREAKING["property made nullable"][0])
    assert spec_diff.main(["--root", str(clone), "--unless-raised"]) == 1
    assert "a minor release, 0.2.0 or later; it is 0.1.0: raise it." in capsys.readouterr().out
    (clone / "overlay" / "artanis_client" / "_version.py").write_text('__version__ = "0.2.0"\n', encoding="utf-8")
    assert spec_diff.main(["--root", str(clone), "--unless-raised"]) == 0
    assert spec_diff.main(["--root", str(clone)]) == 1


@pytest.mark.parametrize("base", ["no-such-ref", "--output=x", "HEAD~5"])
def test_an_unknown_base(clone: Path, capsys: pytest.CaptureFixture[str], base: str) -> None:
    """It is named, with what to give instead."""
    assert spec_diff.main(["--root", str(clone), "--", base]) == 2
    assert f"spec-diff: {base} is no commit of this clone" in capsys.readouterr().err


def test_a_base_without_a_contract(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to compare with."""
    git(clone, "rm", "--quiet", "--cached", "openapi.yaml")
    git(clone, "commit", "--quiet", "-m", "x")
    assert spec_diff.main(["--root", str(clone), "HEAD"]) == 2
    assert "HEAD has no openapi.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["paths: [", "7", ""])
def test_a_document_that_cannot_be_read(clone: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """One line says which one, and why."""
    (clone / "openapi.yaml").write_text(text, encoding="utf-8")
    assert spec_diff.main(["--root", str(clone)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("spec-diff: openapi.yaml cannot be compared: ")


def test_outside_of_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An unpacked archive has no history, which is said."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert spec_diff.main(["--root", str(tmp_path)]) == 2
    assert "in no git repository" in capsys.readouterr().err


def test_make() -> None:
    """`make spec-diff BASE=…` passes the base on, whatever is in it, and fails when the script does."""
    command = ["make", "--no-print-directory", "spec-diff", f"BIN={Path(sys.executable).parent}", "-o", "setup"]
    done = subprocess.run([*command, "BASE=no such ref"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "spec-diff: no such ref is no commit of this clone" in done.stderr
