"""What the package offers, and which module may import what."""

from __future__ import annotations

import ast
import copy
import importlib.resources
import inspect
import pickle
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import artanis_api
import artanis_client
from artanis_client.contract import contract_text, load_contract
from support import span, unmeasured

PACKAGE = Path(artanis_client.__file__).parent
CORE = sorted(path.stem for path in PACKAGE.glob("_*.py") if path.stem != "__init__")

# Operations that are reached as generated functions alone, because nobody has seen the real endpoint.
DIRECT_ONLY = {"listKnowledgeDocs", "getKnowledgeDoc"}


def test_names() -> None:
    """The public names are these, and no others."""
    assert sorted(artanis_client.__all__) == sorted(
        [
            *("Artanis", "AsyncArtanis", "AiohttpTransport", "call", "acall", "models", "UNSET", "__version__"),
            *(
                "ArtanisError",
                "CredentialsError",
                "APIConnectionError",
                "APITimeoutError",
                "APIResponseValidationError",
            ),
            *("APIStatusError", "BadRequestError", "AuthenticationError", "PermissionDeniedError", "NotFoundError"),
            *("RateLimitError", "InternalServerError", "UnexpectedRedirectError"),
            *("Outcome", "outcome", "EvaluationExample", "examples", "split"),
            *("Progress", "export", "aexport", "ExportReport", "Skipped"),
            *("to_arrow", "scorecard", "Scorecard", "ScorecardRow", "ScorecardWeek"),
            *("pull_prompts", "apull_prompts", "PullReport", "PromptConflictError"),
            *("prompts_status", "aprompts_status", "PromptsStatus", "diff_versions"),
            *("PromptCache", "AsyncPromptCache"),
        ]
    )
    public = {name for name in vars(artanis_client) if not name.startswith("_")}
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    assert public - set(artanis_client.__all__) <= {*folders, "TYPE_CHECKING"}


@pytest.mark.parametrize("name", artanis_client.__all__)
def test_docstrings(name: str) -> None:
    """Everything public says what it is for, its methods too."""
    item = getattr(artanis_client, name)
    if name in ("__version__", "UNSET"):
        return
    assert inspect.getdoc(item)
    methods = [method for key, method in vars(item).items() if not key.startswith("_")] if inspect.isclass(item) else []
    assert all(inspect.getdoc(method) for method in methods if callable(method))


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=unmeasured(), capture_output=True, text=True, check=True).stdout


def test_names_of_optional_parts() -> None:
    """They are public, completed by a shell, and the same for a type checker as at run time."""
    optional: dict[str, str] = vars(artanis_client)["_OPTIONAL"]
    assert set(optional) <= set(artanis_client.__all__) <= set(dir(artanis_client))
    for name, module in optional.items():
        assert getattr(artanis_client, name).__module__.startswith(f"artanis_client.{module}")
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    [checked] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    found = [
        (alias.name, node.module) for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names
    ]
    assert dict(found) == optional


def test_import_of_everything() -> None:
    """`import *` brings every public name, also without the extras; those of optional parts load their module."""
    extras = "aiohttp", "ijson", "pyarrow"
    names = run(f"import sys; sys.modules.update(dict.fromkeys({extras})); from artanis_client import *; print(*dir())")
    assert {*artanis_client.__all__} <= {*names.split()}
    assert run("import artanis_client; print(artanis_client.Outcome.ACCEPTED)") == "accepted\n"


def test_a_name_that_there_is_not() -> None:
    """A misspelt name is the usual AttributeError or ImportError."""
    with pytest.raises(AttributeError, match="module 'artanis_client' has no attribute 'outcomes'"):
        artanis_client.outcomes  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'outcomes'"):
        from artanis_client import outcomes  # type: ignore[attr-defined]  # noqa: F401


def imports(path: Path, *, at_once: bool = False) -> set[str]:
    """The modules that a file imports, at its top or further in; relative ones with their dots."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {"." * node.level + name for name in names}
    return found


def test_httpx_has_one_importer() -> None:
    """A successor of httpx takes one edit."""
    importers = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "httpx" in {name.split(".")[0] for name in imports(path)}
    }
    assert importers == {"_httpx.py"}


def test_the_core_imports_no_optional_part() -> None:
    """The core imports only itself and the generated package; methods import optional parts when called."""
    for name in CORE:
        modules = imports(PACKAGE / f"{name}.py", at_once=True)
        assert {module.lstrip(".") for module in modules if module.startswith(".")} <= set(CORE)


def callables() -> Iterator[tuple[str, Any]]:
    """Every public function, class and method."""
    for name in artanis_client.__all__:
        item = getattr(artanis_client, name)
        if name not in ("models", "UNSET", "__version__"):
            yield name, item
            for key, method in vars(item).items() if inspect.isclass(item) else ():
                if inspect.isfunction(method) and (not key.startswith("_") or key == "__init__"):
                    yield f"{name}.{key}", method
    for resource in ("Prompts", "AsyncPrompts", "Traces", "AsyncTraces"):
        for key in ("list", "get", "iter"):
            if method := vars(getattr(artanis_client._client, resource)).get(key):
                yield f"{resource}.{key}", method


def test_type_hints_can_be_read_at_run_time() -> None:
    """FastAPI, Sphinx and dependency injection read them."""
    for _, item in callables():
        typing.get_type_hints(item)


def test_unset() -> None:
    """`UNSET` is false, has a short repr, and is itself after pickling and copying."""
    unset = artanis_client.UNSET
    assert (bool(unset), repr(unset)) == (False, "UNSET")
    assert pickle.loads(pickle.dumps(unset)) is copy.deepcopy(unset) is copy.copy(unset) is unset
    model = artanis_client.models.Span.from_dict(span())
    assert model.prompt_version_id is unset
    assert pickle.loads(pickle.dumps(model)) == copy.deepcopy(model) == model


def test_generated_code_knows_nothing_of_the_overlay() -> None:
    """It could be used, and made anew, without it."""
    for path in Path(artanis_api.__file__).parent.rglob("*.py"):
        assert not any("artanis_client" in module for module in imports(path))


def test_importing_needs_no_extra() -> None:
    """The core loads no optional part, and nothing that only an extra or a failure needs."""
    loaded = run("import sys, artanis_client; print(*sys.modules)").split()
    ours = {name for name in loaded if name.startswith("artanis_client.")}
    assert "artanis_client._client" in ours <= {f"artanis_client.{name}" for name in CORE}
    assert not set(loaded) & {"tenacity", "dateutil", "starlette", "uvicorn", "pytest", "yaml", "tomllib"}


def test_every_operation_is_reachable() -> None:
    """Each operation of the contract has a method of a resource, or is listed here as direct-only."""
    source = (PACKAGE / "_client.py").read_text(encoding="utf-8")
    for methods in load_contract()["paths"].values():
        for operation in methods.values():
            name = operation["operationId"]
            snake = "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
            in_resource = f"{snake}.sync_detailed" in source and f"{snake}.asyncio_detailed" in source
            assert in_resource != (name in DIRECT_ONLY), f"{name}: a resource, or DIRECT_ONLY in this test"


def test_the_contract_is_in_the_package() -> None:
    """An installed package has `openapi.yaml`, a checkout reads it from its root; it says what the client sends."""
    packaged = importlib.resources.files("artanis_client") / "openapi.yaml"
    in_repository = PACKAGE.parents[1] / "openapi.yaml"
    is_checkout = PACKAGE.parent.name == "overlay"
    assert packaged.is_file() is not is_checkout
    assert contract_text() == (in_repository if is_checkout else packaged).read_text(encoding="utf-8")
    schemes = load_contract()["components"]["securitySchemes"]
    assert {scheme["name"] for scheme in schemes.values()} == {"x-api-key", "x-org-slug"}


def test_both_packages_are_typed() -> None:
    """Type checkers read both packages."""
    for package in ("artanis_api", "artanis_client"):
        assert importlib.resources.files(package).joinpath("py.typed").is_file()
