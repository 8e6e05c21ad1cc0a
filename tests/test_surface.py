"""What the package offers, and which module may import what."""

from __future__ import annotations

import ast
import importlib.resources
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import artanis_api
import artanis_client
from support import unmeasured

CORE = ["_credentials", "_errors", "_http", "_call", "_client", "_version"]
PACKAGE = Path(artanis_client.__file__).parent

# Operations that are reached as generated functions alone, because nobody has seen the real endpoint.
DIRECT_ONLY = {"listKnowledgeDocs", "getKnowledgeDoc"}


def test_names() -> None:
    """The public names are these, sorted, and no others."""
    assert artanis_client.__all__ == sorted(
        [
            *("Artanis", "AsyncArtanis", "call", "acall", "models", "__version__"),
            *(
                "ArtanisError",
                "CredentialsError",
                "APIConnectionError",
                "APITimeoutError",
                "APIResponseValidationError",
            ),
            *("APIStatusError", "BadRequestError", "AuthenticationError", "PermissionDeniedError", "NotFoundError"),
            *("RateLimitError", "InternalServerError", "UnexpectedRedirectError"),
        ]
    )
    public = {name for name in vars(artanis_client) if not name.startswith("_")}
    assert public - set(artanis_client.__all__) <= {"contract", "sandbox"}


@pytest.mark.parametrize("name", artanis_client.__all__)
def test_docstrings(name: str) -> None:
    """Everything public says what it is for, its methods too."""
    item = getattr(artanis_client, name)
    if name == "__version__":
        return
    assert inspect.getdoc(item)
    methods = [method for key, method in vars(item).items() if not key.startswith("_")] if inspect.isclass(item) else []
    assert all(inspect.getdoc(method) for method in methods if callable(method))


def imports(path: Path) -> set[str]:
    """The modules that a file imports, at its top or further in; relative ones with their dots."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def test_httpx_has_one_importer() -> None:
    """A successor of httpx would be one edit."""
    importers = {
        path.stem for path in PACKAGE.glob("_*.py") if "httpx" in {name.split(".")[0] for name in imports(path)}
    }
    assert importers == {"_http"}


def test_the_core_imports_no_other_room() -> None:
    """The five modules import each other and the generated package, and never what is optional."""
    for name in CORE:
        relative = {module.lstrip(".") for module in imports(PACKAGE / f"{name}.py") if module.startswith(".")}
        assert relative <= set(CORE)


def test_generated_code_knows_nothing_of_the_overlay() -> None:
    """It could be used, and made anew, without it."""
    for path in Path(artanis_api.__file__).parent.rglob("*.py"):
        assert not any("artanis_client" in module for module in imports(path))


def test_importing_needs_no_extra() -> None:
    """The core loads nothing that only an extra or a failure needs."""
    code = "import sys, artanis_client; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, env=unmeasured(), capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {"tenacity", "dateutil", "starlette", "uvicorn", "pytest", "yaml", "tomllib"}


def contract() -> dict[str, Any]:
    text = importlib.resources.files("artanis_client").joinpath("openapi.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_every_operation_is_reachable() -> None:
    """Each operation of the contract has a method of a resource, or is listed here as direct-only."""
    source = (PACKAGE / "_client.py").read_text(encoding="utf-8")
    for methods in contract()["paths"].values():
        for operation in methods.values():
            name = operation["operationId"]
            snake = "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
            in_resource = f"{snake}.sync_detailed" in source and f"{snake}.asyncio_detailed" in source
            assert in_resource != (name in DIRECT_ONLY), f"{name}: a resource, or DIRECT_ONLY in this test"


def test_the_contract_is_in_the_package() -> None:
    """`openapi.yaml` can be read with importlib.resources, and says what the client sends."""
    schemes = contract()["components"]["securitySchemes"]
    assert {scheme["name"] for scheme in schemes.values()} == {"x-api-key", "x-org-slug"}


def test_both_packages_are_typed() -> None:
    """Type checkers read both packages."""
    for package in ("artanis_api", "artanis_client"):
        assert importlib.resources.files(package).joinpath("py.typed").is_file()
