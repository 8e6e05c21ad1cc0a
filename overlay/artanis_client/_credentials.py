"""Where the API key, the organization, the host and the project come from.

Arguments come first. If a profile is selected (`profile=` or `ARTANIS_PROFILE`), only the arguments and that profile
are used, so that a production key is never sent to staging. Otherwise each field comes from the environment, or from
the profile `default` of the configuration file if there is one.

Nothing here raises from a frame that holds a key in a local variable, because error reporters send those along: keys
are wrapped in `Secret` at once, and functions that read one report problems instead of raising.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from ._errors import CONFIG_FILE, CredentialsError, Problem, listed
from ._files import warn_once
from ._secret import Key, Secret, header_problem

COMMAND_TIMEOUT = 10.0  # seconds
DEFAULT_BASE_URL = "https://app.artanis.ai"
SET_HOME = "Set HOME, or ARTANIS_CONFIG_FILE to the path of a file."
VARIABLES = {
    "api_key": "ARTANIS_API_KEY",
    "org_slug": "ARTANIS_ORG_SLUG",
    "base_url": "ARTANIS_BASE_URL",
    "project_slug": "ARTANIS_PROJECT_SLUG",
}

KeyFunction = Callable[[], str | Awaitable[str]]
Fields = dict[str, tuple[Any, str]]
"""By field (`api_key`, `org_slug`, `base_url`, `project`): its value, and its source."""

_PROFILE_FIELDS = {*VARIABLES, "project_id", "api_key_command"}
_HOST = r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?)|[0-9a-f:.]*:[0-9a-f:.]*"


class Credentials(NamedTuple):
    """What a client needs to reach its organization, and where each value came from."""

    key: Key
    org_slug: str
    base_url: str
    project: dict[str, str]
    """The default project, as a keyword argument of the list functions; empty without one."""
    project_advice: str
    """How to set a default project."""
    sources: dict[str, str]

    def fill_in(self, advice: str, name: Callable[[str], str] = str) -> str:
        """Fill in the template of an advice; `name` turns a source into text."""
        sources = {f"{field}_source": name(source) for field, source in self.sources.items()}
        host = f" It was sent to {self.base_url}, which came from {sources['base_url_source']}."
        return advice.format(**sources, org_slug=self.org_slug, host=host if self.base_url != DEFAULT_BASE_URL else "")


def load(
    *, api_key: Secret | KeyFunction | None, texts: Mapping[str, str | None], profile: str | None, allow_http: bool
) -> Credentials:
    """Resolve every field from the arguments, the environment and the configuration file.

    Raises:
        CredentialsError: If a field or the configuration file is missing, malformed or unsafe.
        ValueError: If both project_slug and project_id are arguments.
    """
    known, ask = (api_key, None) if isinstance(api_key, Secret) else (None, api_key)
    key = Key("the argument api_key", ask, known) if known or ask else None
    arguments = _fields(texts, "the argument {}".format, key)
    selected = (profile or os.environ.get("ARTANIS_PROFILE") or "").strip()
    path, must_exist = config_path()
    fields: Fields = {
        "base_url": (DEFAULT_BASE_URL, "the default"),
        **_profile(path, selected, must_exist=must_exist),
        **({} if selected else _environment()),
        **arguments,
    }
    if problems := _missing(fields, selected, path) or _malformed(fields, allow_http):
        raise CredentialsError.of(*problems)
    key = cast(Key, fields["api_key"][0])
    is_from_file = key.known is not None and key.ask is not None
    if is_from_file and sys.platform != "win32" and path.stat().st_mode & 0o044:
        warn_once(f"{path} holds an API key, and other users may read it: chmod 600 {path}", stacklevel=4)
    return Credentials(
        key=key,
        org_slug=fields["org_slug"][0],
        base_url=fields["base_url"][0].rstrip("/"),
        project=fields.get("project", ({}, ""))[0],
        project_advice=f"add project_slug to profile {selected!r} of {path}"
        if selected
        else "set ARTANIS_PROJECT_SLUG",
        sources={field: source for field, (_, source) in fields.items()},
    )


def choose_project(project_slug: str | None, project_id: str | None, where: str) -> dict[str, str]:
    """Return the project as a keyword argument of a list function, or {} without one; ValueError if both are given."""
    given = {"project_slug": project_slug, "project_id": project_id}
    project = {name: value for name, value in given.items() if value}
    if len(project) > 1:
        raise ValueError(f"Pass project_slug or project_id, not both ({where}).")
    return project


def config_path() -> tuple[Path, bool]:
    """Return the path of the configuration file, and whether the file must exist.

    The path is absolute, because the file may be read again after a chdir. If there is no home directory, it begins
    with `~`, and must not be used.
    """
    if explicit := os.environ.get("ARTANIS_CONFIG_FILE", "").strip():
        path = os.path.expanduser(explicit)  # noqa: PTH111 - Path.expanduser raises if there is no home
        return Path(path if path.startswith("~") else os.path.abspath(path)), True  # noqa: PTH100
    places = [os.environ.get("XDG_CONFIG_HOME", ""), "~/.config"]
    if sys.platform == "win32":  # pragma: no cover
        places = [os.environ.get("APPDATA", ""), "~/AppData/Roaming"]
    base = next(filter(os.path.isabs, map(os.path.expanduser, places)), places[1])
    return Path(base, "artanis", "config.toml"), False


def _fields(texts: Mapping[str, str | None], source: Callable[[str], str], key: Key | None) -> Fields:
    """Return what one place sets, without empty values; `source` names the place of a field."""
    given = {field: text.strip() for field, text in texts.items() if text and text.strip()}
    slug, id_ = given.pop("project_slug", None), given.pop("project_id", None)
    fields: Fields = {field: (text, source(field)) for field, text in given.items()}
    place = source("project_slug" if slug else "project_id") if slug or id_ else ""
    if project := choose_project(slug, id_, place):
        fields["project"] = (project, place)
    if key is not None:
        fields["api_key"] = (key, key.source)
    return fields


def _environment() -> Fields:
    variable = VARIABLES["api_key"]
    secret = Secret(os.environ.get(variable, ""))
    texts = {field: os.environ.get(name) for field, name in VARIABLES.items() if field != "api_key"}
    return _fields(texts, VARIABLES.__getitem__, Key(variable, None, secret) if secret else None)


def _profile(path: Path, selected: str, *, must_exist: bool) -> Fields:
    """Return the fields of the selected profile, or of `default`; {} if that does not exist."""
    name = selected or "default"
    source = f"profile {name!r} of {path}"
    profiles, problem, advice = _read(path, name, must_exist=must_exist or bool(selected))
    names = listed(profiles) or "no profiles"
    values = profiles.pop(name, None)
    del profiles  # anything left may be a key in the wrong field, and would be shown in a traceback
    if selected and values is None and not problem:
        problem, advice = f"has no profile {selected!r}", f"It has: {names}."
    if problem:
        del values
        raise CredentialsError.of(Problem(CONFIG_FILE, str(path), advice, problem))
    if values is None:
        return {}
    command, secret = values.pop("api_key_command", None), values.pop("api_key", None)
    key = None
    if command:
        key = Key(source, functools.partial(_run, command, source))
    elif secret:
        key = Key(source, lambda: _read_key_again(path, selected), secret)
    return _fields(values, lambda _: source, key)


def _read_key_again(path: Path, selected: str) -> Any:
    key: Key | None = _profile(path, selected, must_exist=True).get("api_key", (None, ""))[0]
    if key is None:
        reason = "no longer has an API key, and the server refused the one it had"
        raise CredentialsError.of(Problem(CONFIG_FILE, str(path), "Add the new key.", reason))
    return key.known or key.ask()


def _read(path: Path, name: str, *, must_exist: bool) -> tuple[dict[str, Any], str, str]:
    """Read the configuration file, and return what `parse_profiles` returns; for a file that cannot be read, too."""
    if not path.is_absolute():
        return {}, "is in an unknown home directory" if must_exist else "", SET_HOME
    try:
        return parse_profiles(path.read_text(encoding="utf-8-sig"), name)
    except (FileNotFoundError, NotADirectoryError):
        return {}, "does not exist" if must_exist else "", "Create it, or correct the path."
    except OSError as error:
        is_ignored = isinstance(error, PermissionError) and not must_exist
        return {}, "" if is_ignored else f"cannot be read ({error.strerror})", ""
    except UnicodeDecodeError:
        return {}, "is not UTF-8 text", "Save it as UTF-8."


def parse_profiles(text: str, name: str) -> tuple[dict[str, Any], str, str]:
    """Return the profiles, with their keys wrapped; then a problem of the file or the profile `name`, and advice.

    Without a problem, its text is empty.
    """
    import tomllib  # takes 10 ms to import, and many users have no file

    try:
        profiles = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"is not valid TOML: {error}", "Correct it, or move it away."
    for table, values in profiles.items():
        profile: Any = values
        if not isinstance(values, dict):
            return {}, f"has {table!r} outside a profile", "Write [default] above it."
        if isinstance(profile.get("api_key"), str):
            profile["api_key"] = Secret(profile["api_key"])
    wrong = _profile_problem(profiles.get(name, {}))
    return profiles, f"is wrong in profile {name!r}: {wrong}" if wrong else "", "Correct it."


def _profile_problem(values: dict[str, Any]) -> str | None:
    for field, value in values.items():
        if field not in _PROFILE_FIELDS:
            return f"unknown field {field!r} (known fields: {', '.join(sorted(_PROFILE_FIELDS))})"
        if field == "api_key_command":
            if not isinstance(value, list) or not value or set(map(type, cast("Iterable[Any]", value))) != {str}:
                return 'api_key_command must be a list of words, such as ["pass", "show", "artanis"]'
        elif not isinstance(value, str | Secret):
            return f"{field} must be a string"
    for one, other in (("api_key", "api_key_command"), ("project_slug", "project_id")):
        if values.get(one) and values.get(other):
            return f"{one} and {other} are both set; keep one of them"
    return None


def _run(command: list[str], source: str) -> Secret:
    answer, program = _output(command), command[0]
    del command  # its words may be secret
    if isinstance(answer, str):
        advice = "Run it by hand to see why."
        raise CredentialsError.of(Problem("api_key", source, advice, f"failed: api_key_command {program!r} {answer}"))
    return answer


def _output(command: list[str]) -> Secret | str:
    """Return the first line of the command's output, or what went wrong, which never quotes the output."""
    import subprocess
    import tempfile

    # Not a pipe, which a daemon that the command leaves behind would keep open. On Linux, the file is only in memory.
    new_file: Any = tempfile.TemporaryFile if sys.platform != "linux" else lambda: os.fdopen(os.memfd_create(""), "w+b")
    try:
        with new_file() as output:
            process = subprocess.run(  # noqa: S603 - running what the user's own configuration names is its purpose
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL, timeout=COMMAND_TIMEOUT
            )
            # seek() would move where the daemon writes, too.
            start = output.seek(0) or output.read() if sys.platform == "win32" else os.pread(output.fileno(), 65536, 0)
    except subprocess.TimeoutExpired:
        return f"took longer than {COMMAND_TIMEOUT:g} seconds"
    except (OSError, ValueError) as error:
        return f"could not be started ({getattr(error, 'strerror', None) or type(error).__name__})"
    if process.returncode != 0:
        return f"exited with status {process.returncode}"
    first_line: str = start.partition(b"\n")[0].decode("utf-8-sig", "replace")
    return Secret(first_line) or "printed nothing on its first line"


def _missing(fields: Fields, selected: str, path: Path) -> list[Problem]:
    """Report every required field that no place sets."""
    problems: list[Problem] = []
    for field in ("api_key", "org_slug"):
        if field not in fields:
            advice = f"Set {VARIABLES[field]}, pass {field}=…, or add it to the profile [default] of {path}."
            if selected:
                advice = (
                    f"Pass {field}=…, or add it to profile {selected!r} of {path}: "
                    "a selected profile is not combined with other sources."
                )
            problems.append(Problem(field, "", advice))
    return problems


def _malformed(fields: Fields, allow_http: bool) -> list[Problem]:
    """Report every field whose value cannot be used."""
    key, org_slug, base_url = (fields[field][0] for field in ("api_key", "org_slug", "base_url"))
    project = next(iter(fields.get("project", ({}, ""))[0].values()), "-")
    copy_again = "Copy the whole value again."
    found = {
        "api_key": (key.known and header_problem(key.known), copy_again),
        "org_slug": (header_problem(org_slug), copy_again),
        "project": (header_problem(project), copy_again),
        "base_url": _base_url_problem(base_url, allow_http),
    }
    return [Problem(field, fields[field][1], advice, reason) for field, (reason, advice) in found.items() if reason]


def _base_url_problem(value: str, allow_http: bool) -> tuple[str | None, str]:
    """Return what is wrong with a base URL, and what to do."""
    if problem := header_problem(value):
        return problem, "Copy it again."
    not_a_url = "is not an http(s) URL", f"It should look like {DEFAULT_BASE_URL}."
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        return not_a_url
    if not host or url.scheme not in ("http", "https") or not re.fullmatch(_HOST, host):
        return not_a_url
    if "@" in url.netloc:
        return "contains a user name or password", "Remove it."
    if "?" in value or "#" in value:
        return "contains a query or a fragment", "Remove it."
    segments = url.path.removesuffix("/").split("/")[1:]
    if not {"", ".", ".."}.isdisjoint(segments):
        return "contains an empty, . or .. segment in its path", "Remove it."
    if url.scheme == "http" and not allow_http and not is_loopback(host):
        return "would send the API key unencrypted", "Use https://, or pass allow_http=True."
    return None, ""


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, in any form, such as 127.1, localhost. or ::ffff:127.0.0.1."""
    import ipaddress
    import socket

    host = host.lower().rstrip(".")
    try:
        address: Any = ipaddress.ip_address(host if ":" in host else socket.inet_aton(host))
    except (ValueError, OSError):
        return host == "localhost"
    address = getattr(address, "ipv4_mapped", None) or address
    return bool(address.is_loopback or address.is_unspecified)
