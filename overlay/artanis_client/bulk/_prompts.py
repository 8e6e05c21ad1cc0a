"""Every prompt of a project with its versions: first the list is read, then the history of each prompt."""

from __future__ import annotations

from collections.abc import Mapping

from artanis_api.models import Prompt, PromptHistory

from .._client import Artanis, AsyncArtanis
from .._errors import NotFoundError
from ._ids import check_prompt_ids


def read_prompts(
    client: Artanis, project: Mapping[str, str], *, skip_missing: bool = False
) -> list[tuple[Prompt, PromptHistory]]:
    """Return each prompt as listed, and its history.

    Args:
        client: The client to read with.
        project: The project, as an argument of `client.prompts.list`.
        skip_missing: Leave out prompts that have been deleted since they were listed.

    Raises:
        APIResponseValidationError: If a listed id cannot be part of a URL, or if its history has another id.
        NotFoundError: If a prompt has been deleted since it was listed, unless `skip_missing` is true.
    """
    prompts = client.prompts.list(**project)
    check_prompt_ids(client, prompts)
    found: list[tuple[Prompt, PromptHistory]] = []
    for prompt in prompts:
        try:
            found.append((prompt, client.prompts.get(prompt.id)))
        except NotFoundError:
            if not skip_missing:
                raise
    check_prompt_ids(client, [prompt for prompt, _ in found], [history for _, history in found])
    return found


async def aread_prompts(
    client: AsyncArtanis, project: Mapping[str, str], *, skip_missing: bool = False
) -> list[tuple[Prompt, PromptHistory]]:
    """Like `read_prompts`, for `AsyncArtanis`."""
    prompts = await client.prompts.list(**project)
    check_prompt_ids(client, prompts)
    found: list[tuple[Prompt, PromptHistory]] = []
    for prompt in prompts:
        try:
            found.append((prompt, await client.prompts.get(prompt.id)))
        except NotFoundError:
            if not skip_missing:
                raise
    check_prompt_ids(client, [prompt for prompt, _ in found], [history for _, history in found])
    return found
