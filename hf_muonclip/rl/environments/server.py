"""HTTP to an environment's server; no answer, or a server error, is a failure of the episode."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

import httpx

from .episode import EpisodeError


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine, which a proxy from the environment variables cannot reach."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def http_client(url: str, deadline: float, headers: dict[str, str] | None) -> httpx.Client:
    """Return a client with its own cookies.

    Args:
        url: URL of the server.
        deadline: seconds that an answer may take.
        headers: sent with every request.
    """
    return httpx.Client(base_url=url, timeout=deadline, headers=headers, trust_env=not is_loopback(url))


def ask(client: httpx.Client, method: str, path: str, body: Any = None) -> httpx.Response:
    """Return the server's answer.

    Raises:
        EpisodeError: there is no answer ("unreachable", "timeout"), or its status is 5xx ("error").
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
    """Return the JSON object in the server's answer.

    Raises:
        EpisodeError: the status is an error, or the body is not a JSON object.
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
