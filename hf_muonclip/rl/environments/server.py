"""HTTP to an environment's server: what does not answer, or answers with an error of its own, is a failure."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import httpx

from .episode import EpisodeError


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine, which no proxy of the surroundings can reach."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def http_client(url: str, deadline: float, headers: dict[str, str] | None) -> httpx.Client:
    """Return a client with cookies of its own.

    Args:
        url: of the server.
        deadline: seconds that an answer may take.
        headers: of every request.
    """
    return httpx.Client(base_url=url, timeout=deadline, headers=headers, trust_env=not is_loopback(url))


def ask(client: httpx.Client, method: str, path: str, body: Any = None) -> httpx.Response:
    """Return the server's answer.

    Raises:
        EpisodeError: there is none ("unreachable", "timeout"), or its status is 5xx ("error").
    """
    try:
        response = client.request(method, path, json=body)
    except httpx.ConnectTimeout as error:
        raise EpisodeError("unreachable", f"{client.base_url}: {error!r}") from error
    except httpx.TimeoutException as error:
        raise EpisodeError("timeout", f"{path} did not answer within {client.timeout.read:g} s") from error
    except httpx.HTTPError as error:
        raise EpisodeError("unreachable", f"{client.base_url}: {error!r}") from error
    if response.status_code >= 500:
        raise EpisodeError("error", f"{path} answered {response.status_code}: {response.text[:200]}")
    return response


def parsed(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object that the server answered with.

    Raises:
        EpisodeError: the status is no success, or the body is no JSON object.
    """
    try:
        body = response.json()
    except ValueError:
        body = None
    if not response.is_success or not isinstance(body, dict):
        raise EpisodeError(
            "error", f"{response.request.url.path} answered {response.status_code}: {response.text[:200]}"
        )
    return body
