"""Checks of ids that the API returned: a listed id must fit into a URL, and a detail must have the id requested."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from urllib.parse import quote

from artanis_api.models import Prompt, PromptHistory

from .._arguments import is_id
from .._client import Artanis, AsyncArtanis, credentials_of
from .._credentials import Credentials
from .._errors import APIResponseValidationError

LONGEST_ID = 2000  # characters; servers refuse URLs of 8 KiB, and httpx those of 64 KiB


def find_id_error(
    credentials: Credentials, kind: str, listed: str, found: str | None = None
) -> APIResponseValidationError | None:
    """Return the error if a listed id cannot be part of a URL, or if the detail has another id; otherwise None.

    Args:
        credentials: The client's credentials.
        kind: `traces` or `prompts`.
        listed: The id in the list.
        found: The id in the detail, if it has been read.
    """
    url = f"{credentials.base_url}/api/{kind}"
    if not is_id(listed) or len(listed) > LONGEST_ID:
        path, problem = f"{kind}[*].id", f"cannot be used as an id: {listed[:100]!r}"
    elif found is not None and found.lower() != listed.lower():
        url, path, problem = f"{url}/{quote(listed, safe='')}", "id", f"should be {listed!r}, not {found[:100]!r}"
    else:
        return None
    key = credentials.key.known
    problem = key.redact(problem) if key else problem
    return APIResponseValidationError.of(path, problem, method="GET", url=url)


def check_prompt_ids(
    client: Artanis | AsyncArtanis, prompts: Sequence[Prompt], histories: Sequence[PromptHistory] = ()
) -> None:
    """Raise APIResponseValidationError if a prompt's id cannot be part of a URL, or its history has another id."""
    credentials = credentials_of(client)
    for prompt, history in itertools.zip_longest(prompts, histories):
        if error := find_id_error(credentials, "prompts", prompt.id, history.id if history else None):
            raise error
