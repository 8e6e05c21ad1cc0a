"""Errors of the library in the terms of the command line: its options, environment variables and commands."""

from __future__ import annotations

import os
import shlex

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
    400: "Check the arguments. Lists need a project (--project or --project-id).",
    404: "Check the id or project, and that the base URL points to Artanis.",
    429: "Try again later, or lower --concurrency.",
}


def name_source(source: str) -> str:
    """Return where a value came from: an option in place of an argument of the client."""
    return _SOURCES.get(source, source)


def selected_profile(option: str | None) -> str:
    """Return the profile that `--profile` or ARTANIS_PROFILE selects, or an empty string."""
    return (option or os.environ.get("ARTANIS_PROFILE") or "").strip()


def explain(error: Exception, credentials: Credentials | None, profile: str) -> list[str]:
    """Return what went wrong and what to do, with one item for each problem with the credentials.

    Args:
        error: What ended the command.
        credentials: The credentials of the client, if there is one.
        profile: The selected profile, or an empty string.
    """
    match error:
        case _errors.CredentialsError(problems=(_, *_)):
            return [explain_problem(problem, profile) for problem in error.problems]
        case _errors.APIStatusError() if credentials is not None:
            return [_explain_status(error, credentials)]
        case _errors.APIResponseValidationError() if error.problem:
            return [
                f"{error.method} {error.url}: {error.status_code}, but the body does not match the contract: "
                f"{error.path or 'the body'} {error.problem}. Check that the base URL points to Artanis, or run "
                "'artanis contract' to see what has changed."
            ]
        case _errors.APIConnectionError():
            source = name_source(credentials.sources["base_url"]) if credentials else "the default"
            advice = error.remedy or f"Check the network, any proxy, and the base URL (from {source})."
            if isinstance(error, _errors.APITimeoutError):
                advice = "Try again, or raise --timeout."
            return [f"{error.method} {error.url}: {error.message}. {advice}"]
        case OSError() if error.strerror:
            return [f"{error.strerror}: {error.filename}" if error.filename else error.strerror]
        case ImportError() if (error.name or "").partition(".")[0] in ("rich", "tomlkit"):
            return ["the command line needs an extra: pip install 'artanis-client[cli]'"]
        case _:
            return [str(error)]


def explain_problem(problem: Problem, profile: str) -> str:
    """Return what is wrong with a setting and what to do; for a missing one, every way to set it."""
    if problem.field == _errors.CONFIG_FILE:
        return str(problem)  # it names only what is in the file
    name, options, variable = _FIELDS[problem.field]
    if problem.source:
        advice = "Use https://, or pass --allow-http." if problem[::3] == _UNENCRYPTED else problem.advice
        return f"The {name} from {name_source(problem.source)} {problem.reason}. {advice}".strip()
    login = f"artanis auth login --profile {shlex.quote(profile)}" if profile else "artanis auth login"
    ways = [f"pass {options}"] if options else []
    ways += [] if profile else [f"set {variable}"]  # a selected profile is not combined with the environment
    ways.append(f"run '{login}' to add it to {config_path()[0]}")
    advice = ", or ".join(ways)
    return f"The {name} {problem.reason}. {advice[0].upper()}{advice[1:]}."


def _explain_status(error: _errors.APIStatusError, credentials: Credentials) -> str:
    _, advice = _errors.status_error_class(error.status_code)
    advice = credentials.fill_in(_STATUS_ADVICE.get(error.status_code, advice), name_source)
    advice = " ".join([advice, *getattr(error, "__notes__", ())])
    request = f" (request {printable(error.request_id)})" if error.request_id else ""
    return f"{error.method} {error.url}: {error.status_code} {printable(error.message)}{request}. {advice}".strip()
