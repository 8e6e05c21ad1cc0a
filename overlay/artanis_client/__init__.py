"""Typed client of the Artanis REST API: prompts with their versions, and traces with what reviewers approved.

`Artanis` and `AsyncArtanis` are the clients; `call` and `acall` run any generated function of `artanis_api`.
"""

from typing import TYPE_CHECKING

from artanis_api import models

from ._call import acall, call
from ._client import Artanis, AsyncArtanis
from ._errors import (
    APIConnectionError,
    APIResponseValidationError,
    APIStatusError,
    APITimeoutError,
    ArtanisError,
    AuthenticationError,
    BadRequestError,
    CredentialsError,
    InternalServerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    UnexpectedRedirectError,
)
from ._version import __version__

if TYPE_CHECKING:
    from ._bulk import Progress
    from ._cache import AsyncPromptCache, PromptCache
    from ._evaluation import (
        EvaluationExample,
        Outcome,
        Scorecard,
        ScorecardRow,
        ScorecardWeek,
        examples,
        outcome,
        scorecard,
    )
    from ._export import ExportReport, Skipped, aexport, export
    from ._pull import (
        PromptConflictError,
        PromptsStatus,
        PullReport,
        aprompts_status,
        apull_prompts,
        diff_versions,
        prompts_status,
        pull_prompts,
    )

__all__ = [
    "APIConnectionError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "Artanis",
    "ArtanisError",
    "AsyncArtanis",
    "AsyncPromptCache",
    "AuthenticationError",
    "BadRequestError",
    "CredentialsError",
    "EvaluationExample",
    "ExportReport",
    "InternalServerError",
    "NotFoundError",
    "Outcome",
    "PermissionDeniedError",
    "Progress",
    "PromptCache",
    "PromptConflictError",
    "PromptsStatus",
    "PullReport",
    "RateLimitError",
    "Scorecard",
    "ScorecardRow",
    "ScorecardWeek",
    "Skipped",
    "UnexpectedRedirectError",
    "__version__",
    "acall",
    "aexport",
    "aprompts_status",
    "apull_prompts",
    "call",
    "diff_versions",
    "examples",
    "export",
    "models",
    "outcome",
    "prompts_status",
    "pull_prompts",
    "scorecard",
]

# Names of optional rooms, and where they are. A room is loaded when one of its names is first asked for, because most
# programs need few of them and all have to start.
_ROOMS = {
    "AsyncPromptCache": "_cache",
    "EvaluationExample": "_evaluation",
    "ExportReport": "_export",
    "Outcome": "_evaluation",
    "Progress": "_bulk",
    "PromptCache": "_cache",
    "PromptConflictError": "_pull",
    "PromptsStatus": "_pull",
    "PullReport": "_pull",
    "Scorecard": "_evaluation",
    "ScorecardRow": "_evaluation",
    "ScorecardWeek": "_evaluation",
    "Skipped": "_export",
    "aexport": "_export",
    "aprompts_status": "_pull",
    "apull_prompts": "_pull",
    "diff_versions": "_pull",
    "examples": "_evaluation",
    "export": "_export",
    "outcome": "_evaluation",
    "prompts_status": "_pull",
    "pull_prompts": "_pull",
    "scorecard": "_evaluation",
}

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would believe that the package has every name

    def __getattr__(name: str) -> object:
        if name not in _ROOMS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
