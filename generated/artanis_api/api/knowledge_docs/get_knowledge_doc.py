from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error import Error
from ...models.knowledge_doc_history import KnowledgeDocHistory
from ...types import Response


def _get_kwargs(
    knowledge_doc_id: str,
) -> dict[str, Any]:

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/knowledge-docs/{knowledge_doc_id}".format(
            knowledge_doc_id=quote(str(knowledge_doc_id), safe=""),
        ),
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Error | KnowledgeDocHistory | None:
    if response.status_code == 200:
        response_200 = KnowledgeDocHistory.from_dict(response.json())

        return response_200

    if response.status_code == 401:
        response_401 = Error.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = Error.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = Error.from_dict(response.json())

        return response_404

    if client.raise_on_unexpected_status:
        raise errors.UnexpectedStatus(response.status_code, response.content)
    else:
        return None


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Error | KnowledgeDocHistory]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    knowledge_doc_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Error | KnowledgeDocHistory]:
    """Get a knowledge doc with every version (provisional)

     PROVISIONAL: one document with its versions, by analogy with prompts. The page that documents it is
    not among
    our sources; the path and every field but `id` are a guess.

    Args:
        knowledge_doc_id (str): Id of the document, as the list returns it (provisional).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | KnowledgeDocHistory]
    """

    kwargs = _get_kwargs(
        knowledge_doc_id=knowledge_doc_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    knowledge_doc_id: str,
    *,
    client: AuthenticatedClient,
) -> Error | KnowledgeDocHistory | None:
    """Get a knowledge doc with every version (provisional)

     PROVISIONAL: one document with its versions, by analogy with prompts. The page that documents it is
    not among
    our sources; the path and every field but `id` are a guess.

    Args:
        knowledge_doc_id (str): Id of the document, as the list returns it (provisional).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | KnowledgeDocHistory
    """

    return sync_detailed(
        knowledge_doc_id=knowledge_doc_id,
        client=client,
    ).parsed


async def asyncio_detailed(
    knowledge_doc_id: str,
    *,
    client: AuthenticatedClient,
) -> Response[Error | KnowledgeDocHistory]:
    """Get a knowledge doc with every version (provisional)

     PROVISIONAL: one document with its versions, by analogy with prompts. The page that documents it is
    not among
    our sources; the path and every field but `id` are a guess.

    Args:
        knowledge_doc_id (str): Id of the document, as the list returns it (provisional).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | KnowledgeDocHistory]
    """

    kwargs = _get_kwargs(
        knowledge_doc_id=knowledge_doc_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    knowledge_doc_id: str,
    *,
    client: AuthenticatedClient,
) -> Error | KnowledgeDocHistory | None:
    """Get a knowledge doc with every version (provisional)

     PROVISIONAL: one document with its versions, by analogy with prompts. The page that documents it is
    not among
    our sources; the path and every field but `id` are a guess.

    Args:
        knowledge_doc_id (str): Id of the document, as the list returns it (provisional).

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | KnowledgeDocHistory
    """

    return (
        await asyncio_detailed(
            knowledge_doc_id=knowledge_doc_id,
            client=client,
        )
    ).parsed
