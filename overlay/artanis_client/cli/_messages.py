"""Errors of the library in the terms of the command line: its options, environment variables and commands."""

from __future__ import annotations

import os
import shlex
from typing import NamedTuple

from .. import _errors
from .._credentials import VARIABLES, Credentials, config_path
from .._errors import Problem, printable

MISSING_PROJECT = Problem("project", "", "")

# The name of each field, its options, and its environment variable.
_FIELDS = {
    "api_key": ("API key", "", VARIABLES["api_key"]),
    "org_slug": ("organization", "--org", VARIABLES["org_slug"]),
    "base_url": ("base URL", "--base-url", VARIABLES["base_url"]),
    "project": ("project", "--project or --project-id", VARIABLES["project_slug"]),
}
_SOURCES = {
    "the argument api_key": "your input",
    "the argument org_slug": "--org",
    "the argument base_url": "--base-url",
    "the argument project_slug": "--project",
    "the argument project_id": "--project-id",
}
_UNENCRYPTED = ("base_url", "would send the API key unencrypted")
_STATUS_ADVICE = {  # for these, the library's advice names Python arguments
    **dict.fromkeys(range(300, 400), "Redirects are not followed. Check the base URL."),
    400: "Check the arguments. Lists need a project (--project or --project-id).",
    404: "Check the id or project, and that the base URL points to Artanis.",
    429: "Try again later, or lower --concurrency.",
}


class Explanation(NamedTuple):
    """An error in the terms of the command line."""

    problem: str
    """What went wrong."""
    advice: str = ""
    """What to do."""

    def __str__(self) -> str:
        return f"{self.problem} {self.advice}".strip()


def name_source(source: str) -> str:
    """Return where a value came from: an option in place of an argument of the client."""
    return _SOURCES.get(source, source)


def selected_profile(option: str | None) -> str:
    """Return the profile that `--profile` or ARTANIS_PROFILE selects, or an empty string."""
    return (option or os.environ.get("ARTANIS_PROFILE") or "").strip()


def explain(error: Exception, credentials: Credentials | None, profile: str) -> list[Explanation]:
    """Return what went wrong and what to do, with one item for each problem with the credentials.

    Args:
        error: What ended the command.
        credentials: The credentials of the client, if there is one.
        profile: The selected profile, or an empty string.
    """
    match error:
        case _errors.CredentialsError(problems=(_, *_)):
            return [explain_problem(problem, profile) for problem in error.problems]
        case _errors.CredentialsError():  # TLS or httpx could not be set up
            problem, _, advice = str(error).partition(". ")
            return [Explanation(f"{problem.removesuffix('.')}.", advice)]
        case _errors.APIStatusError() if credentials is not None:
            return [_explain_status(error, credentials)]
        case _errors.APIResponseValidationError() if error.problem:
            problem = f"the body does not match the contract: {error.path or 'the body'} {error.problem}."
            advice = "Check that the base URL points to Artanis, or run 'artanis contract' to see what has changed."
            return [Explanation(f"{error.method} {error.url}: {error.status_code}, but {problem}", advice)]
        case _errors.APIConnectionError():
            source = name_source(credentials.sources["base_url"]) if credentials else "the default"
            advice = error.remedy or f"Check the network, any proxy, and the base URL (from {source})."
            if isinstance(error, _errors.APITimeoutError):
                advice = "Try again, or raise --timeout."
            return [Explanation(f"{error.method} {error.url}: {error.message}.", advice)]
        case OSError() if error.strerror:
            return [Explanation(f"{error.strerror}: {error.filename}" if error.filename else error.strerror)]
        case ImportError() if (error.name or "").partition(".")[0] in ("rich", "tomlkit"):
            return [Explanation("the command line needs an extra: pip install 'artanis-client[cli]'")]
        case _:
            return [Explanation(str(error))]


def explain_problem(problem: Problem, profile: str) -> Explanation:
    """Return what is wrong with a setting and what to do; for a missing one, every way to set it."""
    if problem.field not in _FIELDS:  # the configuration file or a proxy
        return Explanation(str(problem._replace(advice="")), problem.advice)
    name, options, variable = _FIELDS[problem.field]
    if problem.source:
        advice = "Use https://, or pass --allow-http." if problem[::3] == _UNENCRYPTED else problem.advice
        return Explanation(f"The {name} from {name_source(problem.source)} {problem.reason}.", advice)
    login = f"artanis auth login --profile {shlex.quote(profile)}" if profile else "artanis auth login"
    ways = [f"pass {options}"] if options else []
    ways += [] if profile else [f"set {variable}"]  # a selected profile is not combined with the environment
    ways.append(f"run '{login}' to add it to {config_path()[0]}")
    advice = ", or ".join(ways)
    return Explanation(f"The {name} {problem.reason}.", f"{advice[0].upper()}{advice[1:]}.")


def _explain_status(error: _errors.APIStatusError, credentials: Credentials) -> Explanation:
    _, advice = _errors.status_error_class(error.status_code)
    advice = credentials.fill_in(_STATUS_ADVICE.get(error.status_code, advice), name_source)
    advice = " ".join([advice, *getattr(error, "__notes__", ())])
    request = f" (request {printable(error.request_id)})" if error.request_id else ""
    problem = f"{error.method} {error.url}: {error.status_code} {printable(error.message)}{request}."
    return Explanation(problem, advice)
