"""What the pages take from the code: the Python API, the command line, the contract, and `llms.txt`.

A page asks for it with a block such as ```{contract}, which is replaced before the page is parsed.
"""

from __future__ import annotations

import inspect
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import yaml
from sphinx.application import Sphinx

import artanis_client
from artanis_api import models
from artanis_client.cli._app import artanis
from artanis_client.contract import __main__ as contract_command
from artanis_client.sandbox import __main__ as sandbox_command

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```\{(api|models|command-line|programs|contract)\}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WIDTH = 80  # of the help texts
ROOT_CONTEXT = click.Context(artanis, info_name="artanis", terminal_width=WIDTH, **artanis.context_settings)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    os.environ["COLUMNS"] = str(WIDTH)  # argparse reads it
    app.connect("source-read", read_source)
    app.connect("autodoc-process-signature", drop_signature)
    app.connect("autodoc-process-docstring", mark_code, priority=400)  # before napoleon, whose priority is 500
    app.connect("autodoc-process-docstring", link_names, priority=600)
    app.connect("build-finished", write_llms_txt)
    return {"parallel_read_safe": False}


def read_source(app: Sphinx, name: str, source: list[str]) -> None:
    """Replace the blocks of a page."""
    source[0] = expand(source[0], api_directives)


def expand(text: str, api: Callable[[str], str]) -> str:
    """Return a page with its blocks replaced; `api` makes the reference of one name."""
    makers: dict[str, Callable[[str], str]] = {
        "api": lambda names: "\n\n".join(map(api, names.split())),
        "models": lambda _: "\n\n".join(api(f"artanis_api.models.{name}") for name in models.__all__),
        "command-line": lambda _: "\n".join(describe_command(artanis, ROOT_CONTEXT)),
        "programs": lambda _: "\n".join(describe_programs()),
        "contract": lambda _: describe_contract(yaml.safe_load((ROOT / "openapi.yaml").read_text(encoding="utf-8"))),
    }
    return BLOCK.sub(lambda match: makers[match[1]](match[2]), text)


# The Python API


def find_object(name: str) -> tuple[str, Any]:
    """Return the full name of an object, and the object. A name without dots belongs to `artanis_client`."""
    module, _, attribute = (name if "." in name else f"artanis_client.{name}").rpartition(".")
    return f"{module}.{attribute}", getattr(import_module(module), attribute)


def api_directives(name: str) -> str:
    """Return the directive that makes Sphinx document an object."""
    full_name, value = find_object(name)
    kind, options = "autodata", [":no-value:"]
    if inspect.isclass(value):
        kind, options = "autoclass", [":members:"]
        if issubclass(value, Exception):
            kind, options = "autoexception", [":members:", ":exclude-members: of", ":show-inheritance:"]
        elif name == "AiohttpTransport":  # its methods are for httpx
            options = []
        elif not hasattr(value, "from_dict"):
            options.append(":inherited-members: int, str, object, tuple, dict")
    elif inspect.isfunction(value):
        kind, options = "autofunction", []
    lines = [f".. {kind}:: {full_name}", *(f"   {option}" for option in options)]
    return "\n".join(["```{eval-rst}", *lines, "```"])


def drop_signature(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str, returns: str
) -> tuple[str, str] | None:
    """Leave out the constructors of what users do not construct: models, exceptions and resources."""
    is_internal = what == "exception" or name.startswith(("artanis_api.", "artanis_client._client."))
    return ("", "") if signature and is_internal and what in ("class", "exception") else None


def mark_code(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Mark the indented examples of docstrings, which are written as in Markdown, as Python."""
    if what in ("attribute", "property", "data"):
        lines.insert(0, "")  # else napoleon takes the words before a colon for a type
    text = re.sub(r"(?m)(^(?! |.*:$).+\n\n)(?=    )", r"\1.. code-block:: python\n\n", "\n".join(lines))
    lines[:] = text.split("\n")


def link_names(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the code spans of docstrings into links, or code."""
    lines[:] = re.sub(r"(?<![`:])`([^`]+)`(?!`)", _link, "\n".join(lines)).split("\n")


def _link(match: re.Match[str]) -> str:
    name = match[1]
    return f":py:obj:`~artanis_client.{name}`" if name in artanis_client.__all__ and name != "models" else f"``{name}``"


def api_text(name: str) -> str:
    """Return the signature and the docstring of an object, and of its public methods, as Markdown."""
    _, value = find_object(name)
    parts = [_signature(name.rpartition(".")[2], value)]
    if inspect.isclass(value):
        for key, member in vars(value).items():
            if not key.startswith("_") and inspect.isfunction(member) and member.__doc__:
                parts.append(_signature(f"{name.rpartition('.')[2]}.{key}", member))
    return "\n\n".join(parts)


def _signature(name: str, value: Any) -> str:
    try:
        signature = str(inspect.signature(value)).replace("'", "")
    except (TypeError, ValueError):
        signature = ""
    return f"### `{name}{signature}`\n\n{inspect.getdoc(value) or ''}"


# The command line


def describe_command(command: click.Command, context: click.Context) -> Iterator[str]:
    """Yield the Markdown lines that describe a command and its subcommands."""
    depth = context.command_path.count(" ") + 2
    yield f"{'#' * depth} {context.command_path}\n"
    yield _code(command.get_help(context))
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child and not child.hidden:
                yield from describe_command(child, click.Context(child, context, name))


def describe_programs() -> Iterator[str]:
    """Yield what the programs print that do not need the extra `cli`."""
    for module in (contract_command, sandbox_command):
        yield f"### python -m {module.__name__.removesuffix('.__main__')}\n"
        with redirect_stdout(io.StringIO()) as printed, suppress(SystemExit):
            module.main(["--help"])
        yield _code(printed.getvalue())


def _code(text: str, language: str = "text") -> str:
    return f"```{language}\n{text.strip()}\n```\n"


# The contract


def describe_contract(contract: dict[str, Any]) -> str:
    """Return `openapi.yaml` as Markdown: the operations, then the schemas."""
    components = contract["components"]
    parts = [contract["info"]["description"], "## Operations"]
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            parts += describe_operation(f"{method.upper()} {path}", operation, components)
    parts.append("## Schemas")
    for name, schema in components["schemas"].items():
        parts += describe_schema(name, schema)
    return "\n\n".join(part.strip() for part in parts)


def describe_operation(title: str, operation: dict[str, Any], components: dict[str, Any]) -> Iterator[str]:
    """Yield the paragraphs about one operation."""
    yield f"### {operation['operationId']}"
    yield f"`{title}`: {operation['summary']}."
    yield operation["description"]
    parameters = [_resolve(each, components) for each in operation.get("parameters", [])]
    if parameters:
        rows = [
            (f"`{each['name']}`", each["in"], _required(each["required"]), each["description"]) for each in parameters
        ]
        yield _table(("parameter", "in", "required", "description"), rows)
    responses = {status: _resolve(each, components) for status, each in operation["responses"].items()}
    yield _table(
        ("status", "body", "means"),
        [(status, _type(_schema(each)), each["description"]) for status, each in responses.items()],
    )
    for example in responses["200"]["content"]["application/json"]["examples"].values():
        yield f"{example['summary']}:\n\n" + _code(json.dumps(example["value"], indent=2, ensure_ascii=False), "json")


def describe_schema(name: str, schema: dict[str, Any]) -> Iterator[str]:
    """Yield the paragraphs about one schema."""
    yield f"({name.lower()})=\n### {name}"
    yield schema.get("description", "")
    for part in schema.get("allOf", [schema]):
        if "$ref" in part:
            yield f"Everything that {_type(part)} has, and:"
        required = part.get("required", [])
        rows = [
            (f"`{key}`", _type(value), _required(key in required), value.get("description", ""))
            for key, value in part.get("properties", {}).items()
        ]
        if rows:
            yield _table(("field", "type", "required", "description"), rows)


def _resolve(value: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    _, _, kind, name = value["$ref"].split("/")
    resolved: dict[str, Any] = components[kind][name]
    return resolved


def _schema(response: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = response["content"]["application/json"]["schema"]
    return schema


def _type(schema: dict[str, Any]) -> str:
    """Return a schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'])}"
    kind = schema.get("type", "any JSON")
    if isinstance(kind, list):
        return " or ".join(kind)
    return f"{kind} ({schema['format']})" if "format" in schema else str(kind)


def _required(required: bool) -> str:
    return "yes" if required else "no"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


# llms.txt


SECTIONS = {"how-to": "How-to guides", "reference": "Reference", "explanation": "Explanation"}
INCLUDE = re.compile(r"^```\{include\} (.+)\n```$", re.MULTILINE)
NOT_TEXT = re.compile(r"^```\{(?:toctree|image)\}.*?^```\n+|^\([\w-]+\)=\n|^::::.*\n", re.DOTALL | re.MULTILINE)


def write_llms_txt(app: Sphinx, error: Exception | None) -> None:
    """Write the text of each page, `llms.txt`, which lists the pages, and `llms-full.txt`, which has all of them.

    The texts link to the schemas, which the HTML pages have as downloads under other names.
    """
    if error or app.builder.name != "html":
        return
    title, summary = _title_and_summary(_read_page(app, app.config.root_doc))
    lines, texts, section = [f"# {title}", "", f"> {summary}"], list[str](), ""
    for page in app.env.toctree_includes[app.config.root_doc]:
        text = _read_page(app, page)
        target = app.outdir / f"{page}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        texts.append(text)
        title, summary = _title_and_summary(text)
        if section != (section := SECTIONS.get(page.partition("/")[0], "Tutorial")):
            lines += ["", f"## {section}", ""]
        lines.append(f"- [{title}]({page}.md): {summary}")
    (app.outdir / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copytree(app.srcdir / "reference/schemas", app.outdir / "reference/schemas", dirs_exist_ok=True)
    (app.outdir / "llms-full.txt").write_text("\n".join(texts), encoding="utf-8")


def _read_page(app: Sphinx, page: str) -> str:
    """Return a page as Markdown that needs no Sphinx."""
    path = Path(app.srcdir, f"{page}.md")
    text = INCLUDE.sub(
        lambda match: (path.parent / match[1]).read_text(encoding="utf-8"), path.read_text(encoding="utf-8")
    )
    return NOT_TEXT.sub("", expand(text, api_text))


def _title_and_summary(text: str) -> tuple[str, str]:
    """Return the title of a page and its first sentence."""
    title, _, rest = text.lstrip("# ").partition("\n")
    paragraph = " ".join(rest.strip().split("\n\n")[0].split())
    without_links = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", paragraph)
    return title, re.split(r"(?<=[.!?]) ", without_links)[0]
