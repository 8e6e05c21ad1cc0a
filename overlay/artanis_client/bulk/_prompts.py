"""Every prompt of a project with its versions: first the list is read, then the history of each prompt."""

from __future__ import annotations

from collections.abc import Mapping

from artanis_api.models import Prompt, PromptHistory

from .._client import Artanis, AsyncArtanis
from ._ids import check_prompt_ids


def read_prompts(client: Artanis, project: Mapping[str, str]) -> list[tuple[Prompt, PromptHistory]]:
    """Return each prompt as listed, and its history.

    Raises:
        APIResponseValidationError: If a listed id cannot be part of a URL, or if its history has another id.
    """
    prompts = client.prompts.list(**project)
    check_prompt_ids(client, prompts)
    histories = [client.prompts.get(prompt.id) for prompt in prompts]
    check_prompt_ids(client, prompts, histories)
    return [*zip(prompts, histories, strict=True)]


async def aread_prompts(client: AsyncArtanis, project: Mapping[str, str]) -> list[tuple[Prompt, PromptHistory]]:
    """Like `read_prompts`, for `AsyncArtanis`."""
    prompts = await client.prompts.list(**project)
    check_prompt_ids(client, prompts)
    histories = [await client.prompts.get(prompt.id) for prompt in prompts]
    check_prompt_ids(client, prompts, histories)
    return [*zip(prompts, histories, strict=True)]
