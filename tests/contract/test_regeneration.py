"""The regeneration drill: a change of the contract needs `make generate`, and no line of the overlay."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import generate
import validate
from support import IS_SLOW, Server, unmeasured

pytestmark = pytest.mark.tooling
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project after one of each change, validated and regenerated."""
    root = tmp_path_factory.mktemp("drill") / "project"
    root.mkdir()
    for name in ("openapi.yaml", "generator-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, root)
    for name in ("generated", "overlay"):
        shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    yaml = YAML()
    document = yaml.load(root / "openapi.yaml")
    change(document)
    yaml.dump(document, root / "openapi.yaml")
    assert validate.main([str(root / "openapi.yaml")]) == 0
    assert generate.main(["--root", str(root)]) == 0
    return root


def change(document: Any) -> None:
    schemas, paths = document["components"]["schemas"], document["paths"]
    detail = paths["/api/prompts/{promptId}"]["get"]

    # A new operation, with a new schema.
    schemas["Reviewer"] = {
        "type": "object",
        "description": "Somebody who reviews.",
        "required": ["id"],
        "properties": {"id": {"type": "string", "description": "Id of the reviewer."}},
    }
    reviewer = {
        "description": "The reviewer.",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/Reviewer"},
                "examples": {"one": {"summary": "A reviewer", "value": {"id": "r1"}}},
            }
        },
    }
    common = {
        "tags": ["traces"],
        "externalDocs": detail["externalDocs"],
        "security": [{"ApiKey": [], "OrgSlug": []}],
    }
    errors = {status: {"$ref": detail["responses"][status]["$ref"]} for status in ("401", "403", "404")}
    paths["/api/reviewers/{reviewerId}"] = {
        "get": {
            "operationId": "getReviewer",
            "summary": "Get a reviewer",
            "description": "One reviewer.",
            **common,
            "parameters": [
                {
                    "name": "reviewerId",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "description": "Id of the reviewer.", "examples": ["r1"]},
                }
            ],
            "responses": {"200": reviewer, **errors},
        }
    }
    # A POST with a body, and a DELETE that returns nothing.
    paths["/api/reviewers"] = {
        "post": {
            "operationId": "createReviewer",
            "summary": "Create a reviewer",
            "description": "Adds a reviewer.",
            **common,
            "requestBody": {
                "required": True,
                "description": "The reviewer.",
                "content": {
                    "application/json": {
                        "schema": {"$ref": "#/components/schemas/Reviewer"},
                        "examples": {"one": {"summary": "A reviewer", "value": {"id": "r1"}}},
                    }
                },
            },
            "responses": {"201": reviewer, **errors},
        }
    }
    paths["/api/reviewers/{reviewerId}"]["delete"] = {
        "operationId": "deleteReviewer",
        "summary": "Delete a reviewer",
        "description": "Removes a reviewer.",
        **common,
        "parameters": paths["/api/reviewers/{reviewerId}"]["get"]["parameters"],
        "responses": {"204": {"description": "Gone."}, **errors},
    }
    # A new field, a field that may be null, and one operation less.
    schemas["Prompt"]["properties"]["language"] = {"type": "string", "description": "Language of the text."}
    schemas["Trace"]["properties"]["status"]["type"] = ["string", "null"]
    del paths["/api/knowledge-docs/{knowledgeDocId}"]
    for name in ("KnowledgeDocHistory", "KnowledgeDocVersion"):
        del schemas[name]


@pytest.fixture
def run(changed: Path, server: Server) -> Callable[[str], str]:
    """Runs code with the changed packages and a client of the server."""

    def run(code: str) -> str:
        prelude = f"""
            from artanis_client import *
            client = Artanis(**{server.credentials!r}, max_retries=0)
        """
        path = os.pathsep.join([str(changed / "generated"), str(changed / "overlay")])
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(prelude) + textwrap.dedent(code)],
            env={**unmeasured(), "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_a_new_operation(run: Callable[[str], str], server: Server) -> None:
    """It is callable through `call`, sent with both headers, and its errors are mapped."""
    server.answer(body={"id": "r1"})
    server.answer(404, {"error": "Not found"})
    shown = run("""
        from artanis_api.api.traces import get_reviewer
        print(call(get_reviewer.sync_detailed, "r1", client=client.api))
        try:
            call(get_reviewer.sync_detailed, "r2", client=client.api)
        except NotFoundError as error:
            print(error.message)
    """)
    assert shown.splitlines() == ["Reviewer(id='r1', additional_properties={})", "Not found"]
    assert {"x-api-key", "x-org-slug"} <= server.requests[0].headers.keys()


def test_a_post_with_a_body(run: Callable[[str], str], server: Server) -> None:
    """It sends its body and both headers. Failures are not retried: the first attempt may have succeeded."""
    server.answer(201, {"id": "r1"})
    server.answer(503, headers={"Retry-After": "0"})
    shown = run("""
        from artanis_api.api.traces import create_reviewer
        reviewer = models.Reviewer(id="r1")
        print(call(create_reviewer.sync_detailed, client=client.api, body=reviewer) == reviewer)
        try:
            call(create_reviewer.sync_detailed, client=client.with_options(max_retries=2).api, body=reviewer)
        except InternalServerError as error:
            print(error.status_code)
    """)
    assert shown.splitlines() == ["True", "503"]
    assert [(request.method, request.body) for request in server.requests] == [("POST", b'{"id":"r1"}')] * 2
    assert server.requests[0].headers["x-org-slug"] == "my-org"


def test_a_delete_without_content(run: Callable[[str], str], server: Server) -> None:
    """A documented 204 returns None, and is no error."""
    server.answer(204)
    assert run("""
        from artanis_api.api.traces import delete_reviewer
        print(call(delete_reviewer.sync_detailed, "r1", client=client.api))
    """) == "None"  # fmt: skip


def test_a_new_field_and_a_nullable_one(run: Callable[[str], str], server: Server) -> None:
    """A new field arrives in the model, a null where it is allowed now, and is refused where it is not."""
    from support import PROMPT, trace

    server.answer(body={"prompts": [{**PROMPT, "language": "fr"}]})
    server.answer(body={"traces": [trace(status=None)]})
    server.answer(body={"prompts": [{**PROMPT, "language": None}]})
    shown = run("""
        print(client.prompts.list()[0].language, client.traces.list()[0].status)
        try:
            client.prompts.list()
        except APIResponseValidationError as error:
            print("language should be string, not null" in str(error))
    """)
    assert shown.splitlines() == ["fr None", "True"]


def test_a_removed_operation(changed: Path) -> None:
    """Nothing is left of it."""
    left = [path.name for path in (changed / "generated").rglob("*knowledge_doc*.py")]
    assert sorted(left) == ["knowledge_doc.py", "knowledge_doc_list.py", "list_knowledge_docs.py"]


def test_types(changed: Path) -> None:
    """`mypy --strict` knows the new types, refuses wrong uses of them, and accepts every module of the new package."""
    snippet, package = changed / "snippet.py", changed / "generated" / "artanis_api"
    snippet.write_text(
        textwrap.dedent("""
            from typing import assert_type
            from artanis_api.api.traces import create_reviewer, get_reviewer
            from artanis_api.types import Unset
            from artanis_client import Artanis, call, models

            client = Artanis()
            assert_type(call(get_reviewer.sync_detailed, "r1", client=client.api), models.Reviewer)
            body = models.Reviewer(id="r1")
            assert_type(call(create_reviewer.sync_detailed, client=client.api, body=body), models.Reviewer)
            assert_type(client.prompts.list()[0].language, str | Unset)
            assert_type(client.traces.list()[0].status, str | None)
            call(create_reviewer.sync_detailed, client=client.api, body="r1")  # type: ignore[arg-type]
        """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, str(snippet), str(package)],
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(changed / "generated"), str(changed / "overlay")])},
        cwd=changed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not IS_SLOW, reason="takes a minute: make slow")
def test_a_new_endpoint_by_the_book(tmp_path: Path) -> None:
    """After the steps of CONTRIBUTING.md, one test of the sandbox and the check fails, and says what is left to do."""
    root = tmp_path / "project"
    shutil.copytree(
        ROOT,
        root,
        symlinks=True,
        ignore=lambda folder, names: [
            name for name in names if name == "__pycache__" or (Path(folder) == ROOT and name.startswith("."))
        ],
    )
    yaml = YAML()
    document = yaml.load(root / "openapi.yaml")
    add_datasets(document)
    yaml.dump(document, root / "openapi.yaml")
    surface = root / "tests" / "test_surface.py"
    text = surface.read_text(encoding="utf-8")
    assert "DIRECT_ONLY = {" in text
    surface.write_text(text.replace("DIRECT_ONLY = {", 'DIRECT_ONLY = {"listDatasets", ', 1), encoding="utf-8")
    assert validate.main([str(root / "openapi.yaml")]) == 0
    assert generate.main(["--root", str(root)]) == 0
    files = ["tests/sandbox/test_sandbox_contract.py", "tests/test_contract.py", "tests/test_surface.py"]
    files += ["tests/test_cli.py::test_output", "tests/test_cli.py::test_closed_streams_of_the_contract_check"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", *files],
        env={**unmeasured(), "PYTHONPATH": os.pathsep.join([str(root / "generated"), str(root / "overlay")])},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    failures = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert len(failures) == 1, done.stdout + done.stderr
    assert "test_sandbox_contract.py::test_the_sandbox_serves_every_operation" in failures[0]
    assert (
        "listDatasets: the sandbox does not serve it, add it in overlay/artanis_client/sandbox/_data.py" in done.stdout
    )


def add_datasets(document: Any) -> None:
    """Document `GET /api/datasets` and `Trace.tags`."""
    schemas, traces = document["components"]["schemas"], document["paths"]["/api/traces"]["get"]
    schemas["Trace"]["properties"]["tags"] = {
        "type": "array",
        "description": "Labels of the run.",
        "items": {"type": "string"},
    }
    schemas["Dataset"] = {
        "type": "object",
        "description": "A set of traces.",
        "required": ["id", "name"],
        "properties": {
            "id": {"type": "string", "description": "Id of the dataset."},
            "name": {"type": "string", "description": "Its name."},
        },
    }
    schemas["DatasetList"] = {
        "type": "object",
        "description": "The datasets of a project.",
        "required": ["datasets"],
        "properties": {
            "datasets": {
                "type": "array",
                "description": "All of them.",
                "items": {"$ref": "#/components/schemas/Dataset"},
            }
        },
    }
    document["tags"].append({"name": "datasets", "description": "Sets of traces."})
    listed = {
        "description": "Every dataset.",
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/DatasetList"},
                "examples": {
                    "one": {"summary": "One dataset", "value": {"datasets": [{"id": "d1", "name": "Support"}]}}
                },
            }
        },
    }
    document["paths"]["/api/datasets"] = {
        "get": {
            "operationId": "listDatasets",
            "tags": ["datasets"],
            "summary": "List the datasets of a project",
            "description": "Every dataset of a project.",
            "externalDocs": {"url": "https://docs.artanis.ai/rest-api/overview"},
            "security": [{"ApiKey": [], "OrgSlug": []}],
            "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in ("ProjectSlug", "ProjectId")],
            "responses": {
                "200": listed,
                **{status: {"$ref": traces["responses"][status]["$ref"]} for status in ("400", "401", "403", "404")},
            },
        }
    }


def test_no_line_of_the_overlay_was_touched(changed: Path) -> None:
    """The copy works with the overlay of the checkout, byte for byte."""
    for path in (changed / "overlay").rglob("*.py"):
        if "__pycache__" not in path.parts:
            assert path.read_bytes() == (ROOT / path.relative_to(changed)).read_bytes()
