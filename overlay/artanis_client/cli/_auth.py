"""`artanis auth`: log in and out, and check the credentials."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

import click

from artanis_api.api.prompts import list_prompts

from .._call import call
from .._client import Artanis, credentials_of
from .._credentials import DEFAULT_BASE_URL, SET_HOME, VARIABLES, config_path, parse_profiles
from .._errors import CONFIG_FILE, ArtanisError, BadRequestError, CredentialsError, Problem, listed
from .._files import replace_file
from .._secret import Secret
from ._exit_codes import SUCCESS, USAGE, exit_code_of
from ._messages import name_source, selected_profile
from ._options import (
    Failure,
    Group,
    State,
    allow_http_help,
    api_options,
    complete_profile,
    output_options,
    refuse_empty,
    usage_examples,
)
from ._output import Column, note, out_object, rows

_profile_option = click.option(
    "--profile",
    metavar="NAME",
    callback=refuse_empty,
    shell_complete=complete_profile,
    help="Profile to change. Default: ARTANIS_PROFILE, else 'default'.",
)


@click.group(cls=Group, no_args_is_help=False, epilog=usage_examples("artanis auth login", "artanis auth status"))
def auth() -> None:
    """Log in and out, and check the credentials."""


def probe(client: Artanis) -> int | None:
    """Send one request, and return how many prompts the project has, or None without a project."""
    if credentials_of(client).project:
        return len(client.prompts.list())
    with suppress(BadRequestError):  # the documented response to a list without a project
        call(list_prompts.sync_detailed, client=client.api)
    return None


def describe(prompts: int | None) -> str:
    """Return what a successful `probe` shows."""
    if prompts is None:
        return "the key was not refused; without a project, no more can be checked"
    return f"the key is accepted, and the project has {prompts} prompts"


@auth.command(
    epilog=usage_examples("artanis auth login", "artanis auth login --profile staging --org my-org < key.txt")
)
@_profile_option
@click.option(
    "--org",
    "org_slug",
    metavar="SLUG",
    callback=refuse_empty,
    help="Organization. If you leave it out, a terminal asks for it. Environment: ARTANIS_ORG_SLUG.",
)
@click.option(
    "--project",
    "project_slug",
    metavar="SLUG",
    callback=refuse_empty,
    help="Default project. Environment: ARTANIS_PROJECT_SLUG.",
)
@click.option(
    "--base-url",
    metavar="URL",
    callback=refuse_empty,
    help="URL of the API, for a self-hosted deployment. Environment: ARTANIS_BASE_URL.",
)
@click.option("--allow-http", is_flag=True, help=allow_http_help)
@output_options
def login(state: State, profile: str | None, allow_http: bool, **options: str | None) -> None:
    """Ask for an API key, try it, and write it to a profile.

    In a terminal, the key is not shown while you type it. Otherwise it is read from standard input. Values that you
    leave out come from the environment and the profile, and a terminal shows them in brackets. Profiles are in the
    configuration file, whose other contents stay as they are.
    """
    stored = _Profile(profile)
    stored.check()
    known = stored.defaults()
    key = _ask(stored, options, known) if sys.stdin.isatty() else _read_key()
    missing = [] if key else ["No API key. Type it, or send it to standard input as one line."]
    chosen = {field: value or known[field][0] for field, value in options.items()}
    missing += [] if chosen["org_slug"] else ["No organization. Pass --org, or set ARTANIS_ORG_SLUG."]
    if missing:
        raise Failure(" ".join(missing), USAGE)
    variables = {known[field][1]: chosen[field] for field in chosen if not options[field] and known[field][1]}
    fields = {field: value for field, value in chosen.items() if value}
    tried = {} if "project_slug" in fields else {"project_id": stored.get("project_id")}
    tried |= {field: value for field, value in fields.items() if VARIABLES[field] not in variables}
    try:
        with _nothing_else_configured(variables):
            state.connection = {**tried, "api_key": key.reveal, "allow_http": allow_http}
            with state.connect(needs_project=False) as client:
                verdict = describe(probe(client))
                url = credentials_of(client).base_url
    except ArtanisError:
        note("Nothing was written.")
        raise
    replaced = ["api_key_command", *(["project_id"] if "project_slug" in fields else [])]
    stored.update({**fields, "api_key": key.reveal()}, replaced)
    if state.output:
        out_object(state.output, {"profile": stored.name, "path": str(stored.path), "verdict": verdict})
    else:
        note(f"Wrote {stored}, for {url}: {verdict}.")
    if stored.name == "default":
        for variable in _find_overriding({**fields, "api_key": key.reveal()}):
            note(f"{variable} is set, and overrides this profile.")


def _read_key() -> Secret:
    """Read the key from standard input. PowerShell writes a byte order mark before it."""
    stdin: Any = sys.stdin
    if isinstance(stdin, io.TextIOWrapper):
        stdin.reconfigure(encoding="utf-8", errors="replace")
    return Secret(stdin.readline().removeprefix("\ufeff"))


def _ask(stored: _Profile, options: dict[str, str | None], known: _Defaults) -> Secret:
    """Ask for the key, and for the options that were not given, which are added to `options` if they are new."""
    url = options["base_url"] or known["base_url"][0] or DEFAULT_BASE_URL
    note(f"This will write {stored}, for {url}. Press Enter to accept a value in brackets.")
    questions = {"org_slug": "Organization slug", "project_slug": "Project slug (optional)"}
    if known["base_url"][0]:
        questions["base_url"] = "URL of the API"
    key = Secret(click.prompt("API key (hidden)", hide_input=True, err=True))
    for field, question in questions.items():
        if options[field] is None:
            default = known[field][0]
            is_optional = field == "project_slug"
            given = click.prompt(
                question, default=default or ("" if is_optional else None), show_default=bool(default), err=True
            )
            options[field] = given if given != default else None
    return key


@auth.command(epilog=usage_examples("artanis auth logout", "artanis auth logout --profile staging"))
@_profile_option
@output_options
def logout(state: State, profile: str | None) -> None:
    """Remove the API key from a profile."""
    stored = _Profile(profile, must_exist=True)
    removed = [field for field in ("api_key", "api_key_command") if stored.get(field)]
    if removed:
        stored.update({}, removed)
    if state.output:
        out_object(state.output, {"profile": stored.name, "path": str(stored.path), "removed": removed})
    else:
        note(f"Removed the API key from {stored}." if removed else f"There is no API key in {stored}.")
    if os.environ.get(VARIABLES["api_key"]):
        note(f"{VARIABLES['api_key']} is still set.")


@auth.command(epilog=usage_examples("artanis auth status", "artanis auth status --profile staging --json"))
@api_options
def status(state: State) -> int:
    """Show where each value comes from, and try the credentials."""
    problem, verdict, code = "", "", SUCCESS
    with state.connect(needs_project=False) as client:
        try:
            verdict = describe(probe(client))
        except ArtanisError as error:
            problem, code = " ".join(map(str, state.explain(error))), exit_code_of(error) or USAGE
        credentials = credentials_of(client)
    [(kind, project)] = credentials.project.items() or [("project", "")]
    values = {
        "api_key": (mask(credentials.key.known), "api_key"),
        "org_slug": (credentials.org_slug, "org_slug"),
        kind: (project, "project"),
        "base_url": (credentials.base_url, "base_url"),
    }
    found = [
        {"field": name, "value": value, "source": name_source(credentials.sources.get(field, "not set"))}
        for name, (value, field) in values.items()
    ]
    document = {"works": not problem, "verdict": problem or verdict, "values": found}
    columns = [Column("field", "whole"), Column("value"), Column("source", rank=1)]
    rows(state.output, columns, [(each, list(each.values())) for each in found], document=document)
    note(f"Does not work: {problem}" if problem else f"Works: {verdict}")
    return code


def mask(key: Secret | None) -> str:
    """Return a key as it may be shown: the last four characters of a long one, nothing of a short one."""
    if key is None:
        return "not known"
    return f"****{key.reveal()[-4:]}" if len(key.reveal()) >= 24 else "****"


_Defaults = dict[str, tuple[str, str]]
"""By field: the value that login uses if no option gives one, and the variable that it came from, if any."""


def _environment_value(field: str) -> str:
    return os.environ.get(VARIABLES[field], "").strip()


def _find_overriding(written: dict[str, str]) -> list[str]:
    """Return the variables whose values differ from what was written to a profile."""
    return [VARIABLES[field] for field in VARIABLES if _environment_value(field) not in ("", written.get(field))]


class _Profile:
    """A profile of the configuration file, which need not exist yet."""

    def __init__(self, option: str | None, *, must_exist: bool = False) -> None:
        """Read the file; raise CredentialsError if it cannot be edited, or lacks a selected profile that must exist."""
        import tomlkit
        from tomlkit.exceptions import TOMLKitError

        selected = selected_profile(option)
        self.name, self._is_selected = selected or "default", bool(selected)
        self.path, _ = config_path()
        problem, advice = "", "Correct it, or move it away."
        if not self.path.is_absolute():
            raise self._wrong("is in an unknown home directory", SET_HOME)
        if self.path.exists() and not self.path.is_file():  # for example /dev/null
            raise self._wrong("is not a file", SET_HOME)
        self._document: Any = {}
        data = self.path.read_bytes() if self.path.exists() else b""
        try:
            self._document = tomlkit.parse(data.decode("utf-8-sig"))
        except (TOMLKitError, UnicodeDecodeError):
            _, problem, _ = parse_profiles(data.decode("utf-8-sig", "replace"), self.name)
            problem = problem or "is not UTF-8 text"
        if not isinstance(self._document.get(self.name, {}), dict):
            problem = f"has {self.name!r}, which is not a profile"
        if must_exist and self._is_selected and self.name not in self._document and not problem:
            problem, advice = f"has no profile {self.name!r}", f"It has: {listed(self._document) or 'no profiles'}."
        del data
        if problem:  # raised here, because the exceptions above hold what the file contains
            raise self._wrong(problem, advice)

    def _wrong(self, problem: str, advice: str) -> CredentialsError:
        return CredentialsError.of(Problem(CONFIG_FILE, str(self.path), advice, problem))

    def check(self) -> None:
        """Raise CredentialsError if the client would refuse the file even with the key that login writes."""
        import tomlkit

        rest: Any = tomlkit.parse(self._document.as_string())
        for field in ("api_key", "api_key_command"):
            rest.get(self.name, {}).pop(field, None)
        _, problem, advice = parse_profiles(rest.as_string(), self.name)
        del rest, _  # they hold the keys of other profiles
        if problem:
            raise self._wrong(problem, advice)

    def defaults(self) -> _Defaults:
        """Return what login uses without options. The environment does not override a selected profile."""
        found: _Defaults = {}
        for field in ("base_url", "org_slug", "project_slug"):
            in_file = self.get(field), ""
            in_environment = _environment_value(field), VARIABLES[field]
            places = [in_file, in_environment] if self._is_selected else [in_environment, in_file]
            if field == "project_slug" and self._is_selected and self.get("project_id"):
                places = [in_file]
            found[field] = next((place for place in places if place[0]), ("", ""))
        return found

    def __str__(self) -> str:
        return f"profile {self.name!r} of {self.path}"

    def get(self, field: str) -> str:
        """Return the value of a field, or an empty string."""
        return str(self._document.get(self.name, {}).get(field, ""))

    def update(self, fields: dict[str, str], removed: list[str]) -> None:
        """Set the fields that have a value, remove others, and write the file, with mode 0600."""
        table = self._document.setdefault(self.name, {})
        table.update({field: value for field, value in fields.items() if value})
        for field in removed:
            table.pop(field, None)
        self.path.resolve().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.exists():
            self.path.chmod(0o600)  # a file that is replaced keeps its mode
        replace_file(self.path, self._document.as_string().encode(), mode=0o600)


@contextmanager
def _nothing_else_configured(variables: dict[str, str]) -> Generator[None]:
    """Hide the configuration file and all other variables, so that `login` tries exactly what it will write."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("ARTANIS_")}
    kept = {"ARTANIS_CONFIG_FILE": os.devnull, **variables}
    os.environ.update(kept)
    try:
        yield
    finally:
        for name in kept:
            del os.environ[name]
        os.environ.update(hidden)
