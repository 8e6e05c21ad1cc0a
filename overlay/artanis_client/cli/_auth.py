"""`artanis auth`: the profiles of the configuration file."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from artanis_api.api.prompts import list_prompts

from .._call import call
from .._client import Artanis
from .._credentials import DEFAULT_BASE_URL, config_path
from .._errors import ArtanisError, BadRequestError, CredentialsError
from .._exit_codes import SUCCESS, USAGE, exit_code_of
from .._files import replace_file
from .._secret import Secret
from ._app import Failure, State, api_options, in_words, output_options
from ._output import note, out_json, out_object, rows

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

_profile_option = click.option("--profile", default="", metavar="NAME", help="The profile; default: 'default'.")


@click.group(no_args_is_help=False)
def auth() -> None:
    """Log in and out; say which credentials are used, and whether they work."""


def probe(client: Artanis) -> str:
    """Send one request, and say what it has shown; every failure of it is an ArtanisError."""
    if client._credentials.project:
        return f"the key is accepted, and the project has {len(client.prompts.list())} prompts"
    with suppress(BadRequestError):  # the documented answer to a list without a project
        call(list_prompts.sync_detailed, client=client.api)
    return "the key is not refused; without a project, no more is known"


@auth.command()
@_profile_option
@click.option("--org", metavar="SLUG", help="The organization; asked for where there is a terminal.")
@click.option("--project", metavar="SLUG", help="The project of calls that name none.")
@click.option("--base-url", metavar="URL", help="Where the API is, for a self-hosted deployment.")
@click.option("--allow-http", is_flag=True, help="Allow http:// to a host that is not this machine.")
@output_options
@click.pass_obj
def login(
    state: State, profile: str, org: str | None, project: str | None, base_url: str | None, allow_http: bool
) -> None:
    """Ask for an API key, try it, and write it to a profile of the configuration file.

    The key is read without echo, or from standard input where that is no terminal.
    """
    path, name = _place(profile)
    document = _read(path)
    table: Any = _table(document, path, name)
    asks = sys.stdin.isatty()

    def known(field: str, given: str | None) -> str:
        return given or str(table.get(field, "")) if table is not None else given or ""

    if asks:
        where = known("base_url", base_url) or DEFAULT_BASE_URL
        note(f"Profile {name!r} of {path}, for {where}. Enter takes what is in brackets.")
        key = Secret(click.prompt("API key (not shown)", hide_input=True, err=True))
        org = org or click.prompt("Organization (its slug)", default=known("org_slug", None) or None, err=True)
        if project is None:
            default = known("project_slug", None)
            project = click.prompt(
                "Project (its slug; may be empty)", default=default, show_default=bool(default), err=True
            )
    else:
        key = Secret(sys.stdin.readline())
    fields = {
        "org_slug": known("org_slug", org),
        "project_slug": known("project_slug", project),
        "base_url": known("base_url", base_url),
    }
    if not key:
        raise Failure("No key: type it, or send it to standard input as one line.", USAGE)
    if not fields["org_slug"]:
        raise Failure("No organization: pass --org.", USAGE)
    try:
        with _nothing_else_configured():
            state.connection = {**fields, "api_key": key.reveal, "allow_http": allow_http}
            with state.connect(needs_project=False) as client:
                verdict = probe(client)
    except ArtanisError:
        note("Nothing was written.")
        raise
    if table is None:
        import tomlkit

        table = document[name] = tomlkit.table()
    for field, value in {**fields, "api_key": key.reveal()}.items():
        if value:
            table[field] = value
    for replaced in ("api_key_command", "project_id" if fields["project_slug"] else ""):
        table.pop(replaced, None)
    _write(path, document)
    data = {"profile": name, "path": str(path), "verdict": verdict}
    if state.output:
        out_object(state.output, data)
    else:
        note(f"Written to profile {name!r} of {path}: {verdict}.")
    for variable in ("ARTANIS_API_KEY", "ARTANIS_ORG_SLUG", "ARTANIS_BASE_URL"):
        if name == "default" and os.environ.get(variable):
            note(f"{variable} is set, and goes before the profile 'default'.")


@auth.command()
@_profile_option
@output_options
@click.pass_obj
def logout(state: State, profile: str) -> None:
    """Remove the API key from a profile of the configuration file, and leave the rest."""
    path, name = _place(profile)
    document = _read(path)
    table: Any = _table(document, path, name)
    removed = [field for field in ("api_key", "api_key_command") if field in (table or {})]
    for field in removed:
        table.pop(field)
    if removed:
        _write(path, document)
    data = {"profile": name, "path": str(path), "removed": removed}
    if state.output:
        out_object(state.output, data)
    else:
        note(f"Profile {name!r} of {path} {'has no key any more' if removed else 'has no key'}.")
    if os.environ.get("ARTANIS_API_KEY"):
        note("ARTANIS_API_KEY is still set.")


@auth.command()
@api_options
@click.pass_obj
def status(state: State) -> int:
    """Say where each value comes from, and whether the credentials work."""
    problem = ""
    code: int | None = SUCCESS
    with state.connect(needs_project=False) as client:
        try:
            verdict = probe(client)
        except ArtanisError as error:
            verdict, problem, code = "no", in_words(str(error)), exit_code_of(error)
        credentials = client._credentials
    [(kind, project)] = credentials.project.items() or [("project", "")]
    values = {
        "api_key": masked(credentials.key.known),
        "org_slug": credentials.org_slug,
        kind: project,
        "base_url": credentials.base_url,
    }
    sources = {name: credentials.sources.get("project" if name == kind else name, "-") for name in values}
    found = [
        {"field": name, "value": value, "source": in_words(sources[name]) if value else "not set"}
        for name, value in values.items()
    ]
    if state.output == "json":
        out_json({"works": not problem, "verdict": problem or verdict, "values": found})
    else:
        rows(state.output, ["field", "value", "source"], [(each, list(each.values())) for each in found])
    note(f"Works: {problem or verdict}" if not problem else f"Does not work: {problem}")
    return code or SUCCESS


def masked(key: Secret | None) -> str:
    """A key as one may show it: its end, if that says little of it."""
    if key is None:
        return "not known"
    return f"****{key.reveal()[-4:]}" if len(key.reveal()) >= 24 else "****"


def _place(profile: str) -> tuple[Path, str]:
    path, _ = config_path()
    return path, profile.strip() or os.environ.get("ARTANIS_PROFILE", "").strip() or "default"


def _read(path: Path) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return tomlkit.document()
    except (TOMLKitError, UnicodeDecodeError):
        problem = f"The configuration file {path} is not valid TOML: correct it, or move it away."
    raise CredentialsError(problem)


def _table(document: TOMLDocument, path: Path, name: str) -> Any:
    """The table of a profile; None without one."""
    table = cast(Any, document).get(name)
    if table is not None and not isinstance(table, dict):
        raise CredentialsError(f"In {path}, {name!r} is no profile: correct it, or choose another one.")
    return cast(Any, table)


def _write(path: Path, document: TOMLDocument) -> None:
    """Replace the file at once, by one that nobody else may read. What a link leads to is replaced, not the link."""
    import tomlkit

    path = path.resolve()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(path, tomlkit.dumps(document))


@contextmanager
def _nothing_else_configured() -> Generator[None]:
    """Keeps what is typed from being mixed with what is configured already, in a profile that may not exist yet."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("ARTANIS_")}
    os.environ["ARTANIS_CONFIG_FILE"] = os.devnull
    try:
        yield
    finally:
        del os.environ["ARTANIS_CONFIG_FILE"]
        os.environ.update(kept)
