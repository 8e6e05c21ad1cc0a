"""Where the API key, the organization, the host and the project come from.

Arguments come first. Then a selected profile (`profile=` or `ARTANIS_PROFILE`), and nothing else, so that a production
key never goes to staging. Without a selected profile, field by field: the environment, then the profile `default` of
the configuration file, if there is one.

Nothing here raises from a frame that holds a key in a local variable, because error reporters send those along: keys
are wrapped in `Secret` at once, and what reads one returns what went wrong instead of raising.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from ._errors import CredentialsError

COMMAND_TIMEOUT = 10.0  # seconds

KeyFunction = Callable[[], "str | Awaitable[str]"]

_DEFAULTS: Fields = {"base_url": ("https://app.artanis.ai", "the default")}
_VARIABLES = {
    "api_key": "ARTANIS_API_KEY",
    "org_slug": "ARTANIS_ORG_SLUG",
    "base_url": "ARTANIS_BASE_URL",
    "project_slug": "ARTANIS_PROJECT_SLUG",
}
_PROFILE_FIELDS = {*_VARIABLES, "project_id", "api_key_command"}

_HOST = r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?)|[0-9a-f:.]*:[0-9a-f:.]*"

Fields = dict[str, tuple[Any, str]]
"""By field (`api_key`, `org_slug`, `base_url`, `project`): its value, and where that came from."""


class Secret:
    """A key that no repr, error report or log shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value.strip()

    def __repr__(self) -> str:
        return "Secret('****')"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Any:
        raise TypeError("A key is not pickled: it would end up wherever the pickle does.")

    def reveal(self) -> str:
        return self._value

    def redact(self, value: Any, depth: int = 0) -> Any:
        """`value`, which is text or parsed JSON, with every occurrence of the key replaced.

        A key of less than six characters stays: it is no real one, and would be found in ordinary words. More than a
        hundred levels of nesting are a RecursionError, because no pickle or copy of them would work.
        """
        if isinstance(value, str):
            return re.sub(self._pattern(), "****", value, flags=re.IGNORECASE) if len(self._value) >= 6 else value
        if depth > 100:
            raise RecursionError
        inner: Any = value  # of unknown type further on, whatever the checks say
        if isinstance(value, list):
            return [self.redact(item, depth + 1) for item in inner]
        if isinstance(value, dict):
            return {self.redact(name): self.redact(item, depth + 1) for name, item in inner.items()}
        return value

    def _pattern(self) -> str:
        """The key as it is, and as JSON or a repr may write it."""
        return "".join((r"\\*" if char in "\\/\"'" else "") + re.escape(char) for char in self._value)


class Key:
    """The API key of one client, and how to ask its source again.

    `ask` gives the key or an awaitable of it; it is None where asking again could not change anything. `asked` counts
    how often that was done, and `failure` is what the last time raised, for those who were waiting for it.
    """

    def __init__(self, source: str, ask: Callable[[], Any] | None, known: Secret | None = None) -> None:
        self.source = source
        self.ask: Any = ask
        self.known: Any = known  # None until it has been asked for
        self.asked = 0
        self.failure: Exception | None = None

    def outdated(self, refused: Secret | None) -> bool:
        """Whether to ask: no key is known, or none newer than the one that the server refused."""
        return self.known is None or (self.known is refused and self.ask is not None)

    @contextlib.contextmanager
    def asking(self) -> Generator[None]:
        """Counts a time that the source was asked, and keeps what it raised."""
        self.failure = None
        try:
            yield
        except Exception as error:
            self.failure = error
            raise
        finally:
            self.asked += 1

    def accept(self, answer: Any) -> None:
        """Take what `ask` gave; CredentialsError when that is no key."""
        kind = type(answer).__name__
        secret = Secret(answer) if isinstance(answer, str) else answer if isinstance(answer, Secret) else None
        del answer
        if secret is None:
            raise CredentialsError(f"The API key from {self.source} is {kind}, not text.")
        if problem := _text_problem(secret):
            raise CredentialsError(f"The API key from {self.source} {problem}. Copy it again, whole and on its own.")
        self.known = secret


class Credentials(NamedTuple):
    """What a client needs to reach its organization, and where each value came from."""

    key: Key
    org_slug: str
    base_url: str
    project: dict[str, str]
    where_to_add: str
    """Where one would add what is missing."""
    sources: dict[str, str]


def load(
    *, api_key: Secret | KeyFunction | None, texts: Mapping[str, str | None], profile: str | None, allow_http: bool
) -> Credentials:
    """Resolve every field, reading the environment and the configuration file.

    Raises:
        CredentialsError: A field is missing, malformed or unsafe, or the configuration file is.
        ValueError: Both kinds of project as arguments.
    """
    known, ask = (api_key, None) if isinstance(api_key, Secret) else (None, api_key)
    key = Key("the argument api_key", ask, known) if known or ask else None
    arguments = _fields(texts, "the argument {}".format, key)

    selected = (profile or os.environ.get("ARTANIS_PROFILE") or "").strip()
    path, must_exist = _config_path()
    fields = {**_DEFAULTS, **_profile(path, selected, must_exist=must_exist or bool(selected))}
    if not selected:
        secret = Secret(os.environ.get(_VARIABLES["api_key"], ""))
        variables = {field: os.environ.get(variable) for field, variable in _VARIABLES.items() if field != "api_key"}
        fields |= _fields(
            variables, _VARIABLES.__getitem__, Key(_VARIABLES["api_key"], None, secret) if secret else None
        )
    fields |= arguments

    for field in ("api_key", "org_slug"):
        if field not in fields and selected:
            raise CredentialsError(f"Profile {selected!r} of {path} has no {field}, and is used alone: add it there.")
        if field not in fields:
            raise CredentialsError(
                f"No {field}. Set {_VARIABLES[field]}, pass {field}=…, or add it to the profile [default] of {path}."
            )
    key = fields["api_key"][0]
    if key.known is not None:
        key.accept(key.known)
    if key.known is not None and key.ask is not None and sys.platform != "win32" and path.stat().st_mode & 0o044:
        warnings.warn(f"{path} holds an API key and others may read it: chmod 600 {path}", stacklevel=3)
    project: dict[str, str] = fields.get("project", ({}, ""))[0]
    for field, text in {"org_slug": fields["org_slug"][0], "project": next(iter(project.values()), "-")}.items():
        if problem := _text_problem(text):
            raise CredentialsError(f"The {field} from {fields[field][1]} {problem}.")
    if problem := _base_url_problem(fields["base_url"][0], allow_http):
        raise CredentialsError(f"The base_url from {fields['base_url'][1]} {problem}.")
    return Credentials(
        key=key,
        org_slug=fields["org_slug"][0],
        base_url=fields["base_url"][0].rstrip("/"),
        project=project,
        where_to_add=f"add project_slug to profile {selected!r} of {path}" if selected else "set ARTANIS_PROJECT_SLUG",
        sources={field: source for field, (_, source) in fields.items()},
    )


def one_project(project_slug: str | None, project_id: str | None, where: str) -> dict[str, str]:
    """The project as a keyword argument of a list function, none when none is given; ValueError when both are."""
    given = {"project_slug": project_slug, "project_id": project_id}
    project = {name: value for name, value in given.items() if value}
    if len(project) > 1:
        raise ValueError(f"project_slug and project_id are both given ({where}): give one of them.")
    return project


def _fields(texts: Mapping[str, str | None], source: Callable[[str], str], key: Key | None) -> Fields:
    """What one place says, without what is empty; `source` names the place of a field."""
    given = {field: text.strip() for field, text in texts.items() if text and text.strip()}
    slug, id_ = given.pop("project_slug", None), given.pop("project_id", None)
    fields: Fields = {field: (text, source(field)) for field, text in given.items()}
    place = source("project_slug" if slug else "project_id") if slug or id_ else ""
    if project := one_project(slug, id_, place):
        fields["project"] = (project, place)
    if key is not None:
        fields["api_key"] = (key, key.source)
    return fields


def _config_path() -> tuple[Path, bool]:
    """The configuration file, and whether it must exist."""
    if explicit := os.environ.get("ARTANIS_CONFIG_FILE", "").strip():
        return _path(explicit), True
    if sys.platform == "win32":  # pragma: no cover
        base = os.environ.get("APPDATA") or "~/AppData/Roaming"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return _path(base) / "artanis" / "config.toml", False


def _path(text: str) -> Path:
    # Not Path.expanduser, which raises where a user has no home; absolute, because the file may be read again later.
    return Path(os.path.abspath(os.path.expanduser(text)))  # noqa: PTH100, PTH111


def _profile(path: Path, selected: str, *, must_exist: bool) -> Fields:
    """The fields of the selected profile, or of `default`, which may be absent."""
    name = selected or "default"
    source = f"profile {name!r} of {path}"
    values = _parse(path, name, must_exist)
    if isinstance(values, str):
        raise CredentialsError(f"The configuration file {path} {values}.")
    if isinstance(values, list):
        if selected:
            raise CredentialsError(f"There is no {source}. It has: {', '.join(values) or 'none'}.")
        return {}
    if problem := _profile_problem(values):
        del values  # a misspelt field may hold the key
        raise CredentialsError(f"In {source}: {problem}.")
    command, secret = values.pop("api_key_command", None), values.pop("api_key", None)
    key = None
    if command:
        key = Key(source, functools.partial(_run, command, source))
    elif secret:
        key = Key(source, lambda: _read_again(path, selected), secret)
    return _fields(values, lambda _: source, key)


def _read_again(path: Path, selected: str) -> Any:
    key: Key | None = _profile(path, selected, must_exist=True).get("api_key", (None, ""))[0]
    if key is None:
        raise CredentialsError(f"The server refused the API key, and {path} has none any more: put the new one there.")
    return key.known or key.ask()


def _parse(path: Path, name: str, must_exist: bool) -> dict[str, Any] | list[str] | str:
    """The table of a profile, its key wrapped; the names of the others if there is none; else what is wrong."""
    import tomllib

    try:
        profiles = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist" if must_exist else []
    except OSError as error:
        return f"cannot be read ({error.strerror})" if must_exist or not isinstance(error, PermissionError) else []
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except (ValueError, RecursionError) as error:
        return f"is not valid TOML: {error}"
    if stray := [key for key, value in profiles.items() if type(value) is not dict]:
        return f"has {stray[0]!r} outside of a profile: write [default] above it"
    if name not in profiles:
        return list(profiles)
    values: Any = profiles[name]
    fields: dict[str, Any] = {**values}
    if isinstance(fields.get("api_key"), str):
        fields["api_key"] = Secret(fields["api_key"])
    return fields


def _profile_problem(values: dict[str, Any]) -> str | None:
    for field, value in values.items():
        if field not in _PROFILE_FIELDS:
            return f"unknown field {field!r}; known are {', '.join(sorted(_PROFILE_FIELDS))}"
        if field == "api_key_command":
            if not isinstance(value, list) or not value or set(map(type, cast("Iterable[Any]", value))) != {str}:
                return 'api_key_command must be a list of words, such as ["pass", "show", "artanis"]'
        elif not isinstance(value, str | Secret):
            return f"{field} must be text"
    if "api_key" in values and "api_key_command" in values:
        return "api_key and api_key_command are both set; keep one of them"
    if values.get("project_slug") and values.get("project_id"):
        return "project_slug and project_id are both set; keep one of them"
    return None


def _run(command: list[str], source: str) -> Secret:
    answer, program = _output(command), command[0]
    del command  # its words may be secret
    if isinstance(answer, str):
        raise CredentialsError(f"The api_key_command {program!r} of {source} {answer}. Run it by hand to see why.")
    return answer


def _output(command: list[str]) -> Secret | str:
    """The first line that the command prints, else what went wrong, without what it printed."""
    import subprocess

    try:
        done = subprocess.run(  # noqa: S603 - running what the user's own configuration names is its purpose
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=COMMAND_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        return f"took longer than {COMMAND_TIMEOUT:g} seconds"
    except (OSError, ValueError) as error:
        return f"could not be started ({getattr(error, 'strerror', None) or type(error).__name__})"
    if done.returncode != 0:
        return f"ended with status {done.returncode}"
    first_line = done.stdout.partition(b"\n")[0].decode("utf-8-sig", "replace")
    return Secret(first_line) or "printed nothing on its first line"


def _text_problem(value: str | Secret) -> str | None:
    """What keeps a value from being a header, without quoting it."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not text:
        return "is empty"
    if not text.isascii():
        return "contains a character that is not ASCII"
    if any(char <= " " or char == "\x7f" for char in text):
        return "contains whitespace or a control character"
    return None


def _base_url_problem(value: str, allow_http: bool) -> str | None:
    if problem := _text_problem(value):
        return problem
    no_url = "is not an http(s) URL; it should look like https://app.artanis.ai"
    try:
        url = urlsplit(value)
        host, _ = url.hostname, url.port
    except ValueError:
        return no_url
    if not host or url.scheme not in ("http", "https") or not re.fullmatch(_HOST, host):
        return no_url
    if "@" in url.netloc:
        return "contains a user name or password: remove them"
    if "?" in value or "#" in value:
        return "contains a query or a fragment: remove it"
    if not {".", ".."}.isdisjoint(url.path.split("/")):
        return "contains a . or .. segment: remove it"
    if url.scheme == "http" and not allow_http and not _is_loopback(host):
        return "would send the key in the clear: use https://, or pass allow_http=True"
    return None


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
