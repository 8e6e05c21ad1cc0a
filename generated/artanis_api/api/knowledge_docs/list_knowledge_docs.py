from http import HTTPStatus
from typing import Any

import httpx

from ... import errors
from ...client import AuthenticatedClient, Client
from ...models.error import Error
from ...models.knowledge_doc_list import KnowledgeDocList
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    project_slug: str | Unset = UNSET,
    project_id: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["projectSlug"] = project_slug

    params["projectId"] = project_id

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/knowledge-docs",
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Error | KnowledgeDocList | None:
    if response.status_code == 200:
        response_200 = KnowledgeDocList.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = Error.from_dict(response.json())

        return response_400

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
) -> Response[Error | KnowledgeDocList]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient,
    project_slug: str | Unset = UNSET,
    project_id: str | Unset = UNSET,
) -> Response[Error | KnowledgeDocList]:
    """List the knowledge docs of a project (provisional)

     PROVISIONAL: Artanis's overview names this resource ("knowledge base documents and version
    history"), but its
    page is not among our sources. The path, the wrapping key and the fields follow the API's
    conventions, by
    analogy with prompts; any of them may turn out to be different.

    Args:
        project_slug (str | Unset): Slug of the project, stable and readable. Required unless
            `projectId` is given.
        project_id (str | Unset): Id of the project, an internal UUID. Required unless
            `projectSlug` is given.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | KnowledgeDocList]
    """

    kwargs = _get_kwargs(
        project_slug=project_slug,
        project_id=project_id,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient,
    project_slug: str | Unset = UNSET,
    project_id: str | Unset = UNSET,
) -> Error | KnowledgeDocList | None:
    """List the knowledge docs of a project (provisional)

     PROVISIONAL: Artanis's overview names this resource ("knowledge base documents and version
    history"), but its
    page is not among our sources. The path, the wrapping key and the fields follow the API's
    conventions, by
    analogy with prompts; any of them may turn out to be different.

    Args:
        project_slug (str | Unset): Slug of the project, stable and readable. Required unless
            `projectId` is given.
        project_id (str | Unset): Id of the project, an internal UUID. Required unless
            `projectSlug` is given.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | KnowledgeDocList
    """

    return sync_detailed(
        client=client,
        project_slug=project_slug,
        project_id=project_id,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient,
    project_slug: str | Unset = UNSET,
    project_id: str | Unset = UNSET,
) -> Response[Error | KnowledgeDocList]:
    """List the knowledge docs of a project (provisional)

     PROVISIONAL: Artanis's overview names this resource ("knowledge base documents and version
    history"), but its
    page is not among our sources. The path, the wrapping key and the fields follow the API's
    conventions, by
    analogy with prompts; any of them may turn out to be different.

    Args:
        project_slug (str | Unset): Slug of the project, stable and readable. Required unless
            `projectId` is given.
        project_id (str | Unset): Id of the project, an internal UUID. Required unless
            `projectSlug` is given.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Error | KnowledgeDocList]
    """

    kwargs = _get_kwargs(
        project_slug=project_slug,
        project_id=project_id,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient,
    project_slug: str | Unset = UNSET,
    project_id: str | Unset = UNSET,
) -> Error | KnowledgeDocList | None:
    """List the knowledge docs of a project (provisional)

     PROVISIONAL: Artanis's overview names this resource ("knowledge base documents and version
    history"), but its
    page is not among our sources. The path, the wrapping key and the fields follow the API's
    conventions, by
    analogy with prompts; any of them may turn out to be different.

    Args:
        project_slug (str | Unset): Slug of the project, stable and readable. Required unless
            `projectId` is given.
        project_id (str | Unset): Id of the project, an internal UUID. Required unless
            `projectSlug` is given.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Error | KnowledgeDocList
    """

    return (
        await asyncio_detailed(
            client=client,
            project_slug=project_slug,
            project_id=project_id,
        )
    ).parsed
