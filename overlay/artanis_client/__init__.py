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
from ._progress import Progress
from ._unset import UNSET
from ._version import __version__

if TYPE_CHECKING:
    from .bulk._aiohttp import AiohttpTransport
    from .evaluation import (
        EvaluationExample,
        ExportReport,
        Outcome,
        Scorecard,
        ScorecardRow,
        ScorecardWeek,
        Skipped,
        aexport,
        examples,
        export,
        outcome,
        scorecard,
        split,
    )
    from .evaluation._arrow import to_arrow
    from .prompts import (
        AsyncPromptCache,
        PromptCache,
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
    "UNSET",
    "APIConnectionError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AiohttpTransport",
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
    "split",
    "to_arrow",
]

# The names of optional parts, and their modules. A module is imported when one of its names is first used, because most
# programs need few of them, and all of them have to start.
_OPTIONAL = {
    "AiohttpTransport": "bulk._aiohttp",
    "AsyncPromptCache": "prompts",
    "EvaluationExample": "evaluation",
    "ExportReport": "evaluation",
    "Outcome": "evaluation",
    "PromptCache": "prompts",
    "PromptConflictError": "prompts",
    "PromptsStatus": "prompts",
    "PullReport": "prompts",
    "Scorecard": "evaluation",
    "ScorecardRow": "evaluation",
    "ScorecardWeek": "evaluation",
    "Skipped": "evaluation",
    "aexport": "evaluation",
    "aprompts_status": "prompts",
    "apull_prompts": "prompts",
    "diff_versions": "prompts",
    "examples": "evaluation",
    "export": "evaluation",
    "outcome": "evaluation",
    "prompts_status": "prompts",
    "pull_prompts": "prompts",
    "scorecard": "evaluation",
    "split": "evaluation",
    "to_arrow": "evaluation._arrow",
}

if not TYPE_CHECKING:  # a type checker that saw __getattr__ would believe that the package has every name

    def __getattr__(name: str) -> object:
        if name not in _OPTIONAL:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f".{_OPTIONAL[name]}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
