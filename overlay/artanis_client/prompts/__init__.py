"""The prompts of a project: kept in memory for production (the cache), and as files beside the code (a pull)."""

from ._cache import AsyncPromptCache, PromptCache
from ._pull import (
    PromptConflictError,
    PromptsStatus,
    PullReport,
    aprompts_status,
    apull_prompts,
    prompts_status,
    pull_prompts,
)
from ._versions import diff_versions, find_version, label_version

__all__ = [
    "AsyncPromptCache",
    "PromptCache",
    "PromptConflictError",
    "PromptsStatus",
    "PullReport",
    "aprompts_status",
    "apull_prompts",
    "diff_versions",
    "find_version",
    "label_version",
    "prompts_status",
    "pull_prompts",
]
