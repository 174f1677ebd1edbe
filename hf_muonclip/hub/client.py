"""The Hub's calls for a push: `huggingface_hub`'s own client, with retries where it has none, and readable errors.

The client repeats uploads, their preparation and listings by itself when the Hub is busy or a connection breaks, and
waits as long as `Retry-After` says. It does not retry `whoami`, the creation of repositories and branches, the card's
validation and the commit, and older clients not the first page of a listing. Those are retried here, by the same rules.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from json import JSONDecodeError
from typing import Any, TypeVar

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    ModelCard,
    constants,
    errors,
    get_session,
)
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.lfs import post_lfs_batch_info
from huggingface_hub.utils import hf_raise_for_status, parse_ratelimit_headers  # type: ignore[attr-defined]

from .. import __version__
from ..common.loggers import get_logger

T = TypeVar("T")
# Of httpx or httpx2, whichever this version of the client uses: no answer came, or a bad one.
HTTPError: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]

_log = get_logger(__name__)
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_NOT_CARRIED_OUT = frozenset({429, 503})  # answers after which a request certainly had no effect
_RETRIES = 5
_LONGEST_WAIT = 8.0  # seconds, where the Hub names no time
_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN; tokens are made at https://huggingface.co/settings/tokens."


class PushError(RuntimeError):
    """The Hub or the connection failed during a push; the message says which files are on the Hub."""


@dataclass(frozen=True)
class Account:
    """The owner of the token.

    Attributes:
        name: name of the user.
        namespaces: where the user may have repositories: the own name and those of organizations.
    """

    name: str
    namespaces: tuple[str, ...]


@dataclass(frozen=True)
class Remote:
    """The state of a repository on the Hub.

    Attributes:
        exists: whether the repository does.
        has_revision: whether the revision that was asked for does; else the rest is of the default branch.
        private: whether only its owners see it.
        head: the newest commit.
        files: the files by path.
    """

    exists: bool
    has_revision: bool = False
    private: bool = False
    head: str | None = None
    files: Mapping[str, RepoFile] = field(default_factory=dict)


class HubClient:
    """The calls that a push makes.

    All raise `PermissionError` where the token does not suffice, `ValueError` where the Hub refuses what it is given,
    and `PushError` where the Hub cannot be reached, stays busy, or says anything else.

    Args:
        token: token of the Hub; by default the one of `hf auth login` or HF_TOKEN.
        retries: maximum number of retries while the Hub is busy or the connection breaks.
    """

    def __init__(self, token: str | None, retries: int = _RETRIES) -> None:
        self._api = HfApi(token=token, library_name="hf_muonclip", library_version=__version__)
        self._token = token
        self._retries = retries

    def url(self, repo_id: str) -> str:
        """Return a repository's page."""
        return f"{self._api.endpoint}/{repo_id}"

    def account(self) -> Account:
        """Return the owner of the token; raise PermissionError unless it may write."""
        try:
            with _in_words("say whose token this is"):
                said: dict[str, Any] = self._patiently(self._api.whoami)
        except LocalTokenNotFoundError as error:
            raise PermissionError(f"a push needs a token with write access; none was found. {_LOG_IN}") from error
        token = said.get("auth", {}).get("accessToken", {})
        if token.get("role") == "read":
            raise PermissionError(
                f"a push needs a token with write access; {said['name']}'s token {token.get('displayName')!r} may only "
                f"read. {_LOG_IN}"
            )
        organizations = tuple(organization["name"] for organization in said.get("orgs", ()))
        return Account(said["name"], (said["name"], *organizations))

    def look(self, repo_id: str, revision: str) -> Remote:
        """Return the state of a repository."""
        with _in_words(f"list {repo_id}"):
            try:
                info = self._patiently(lambda: self._api.model_info(repo_id, revision=revision))
                has_revision = True
            except RevisionNotFoundError:
                info = self._patiently(lambda: self._api.model_info(repo_id))
                has_revision = False
            except RepositoryNotFoundError:
                return Remote(exists=False)
            assert info.sha is not None
            files = {file.path: file for file in self.files(repo_id, info.sha)}
        return Remote(True, has_revision, bool(info.private), info.sha, files)

    def files(self, repo_id: str, revision: str) -> Iterable[RepoFile]:
        """Return all files of a revision."""
        with _in_words(f"list {repo_id}"):
            entries = self._patiently(
                lambda: list(self._api.list_repo_tree(repo_id, recursive=True, revision=revision))
            )
        return [entry for entry in entries if isinstance(entry, RepoFile)]

    def validate_card(self, card: str) -> None:
        """Raise ValueError unless the Hub accepts the card.

        `ModelCard.validate` of older clients asks huggingface.co, whatever HF_ENDPOINT says.
        """

        def ask() -> None:
            url = f"{self._api.endpoint}/api/validate-yaml"
            question = {"repoType": "model", "content": str(ModelCard(card))}
            hf_raise_for_status(get_session().post(url, json=question, headers={"Accept": "text/plain"}))

        try:
            with _in_words("validate README.md"):
                self._patiently(ask)
        except ValueError as error:
            answer = error.__cause__
            said = _said(answer) if isinstance(answer, HfHubHTTPError) else str(error)
            raise ValueError(f"the Hub must take the metadata of README.md; it says: {said}. Fix the card.") from error

    def create_repository(self, repo_id: str, private: bool, account: Account) -> None:
        """Create a repository, private or as the namespace's default is."""
        with _in_words(f"create {repo_id}", account):
            self._patiently(lambda: self._api.create_repo(repo_id, private=private or None, exist_ok=True))

    def create_branch(self, repo_id: str, branch: str, account: Account) -> None:
        """Create a branch at the head of the default branch."""
        with _in_words(f"create the branch {branch} of {repo_id}", account):
            self._patiently(lambda: self._api.create_branch(repo_id, branch=branch, exist_ok=True))

    def upload(
        self, repo_id: str, revision: str, create_pr: bool, additions: Sequence[CommitOperationAdd], account: Account
    ) -> None:
        """Upload all large files that the Hub does not have yet; the client shows its progress."""
        with _in_words(f"take files for {repo_id}", account):
            self._api.preupload_lfs_files(repo_id, additions, revision=revision, create_pr=create_pr, free_memory=False)

    def uploaded(self, repo_id: str, additions: Sequence[CommitOperationAdd]) -> set[str] | None:
        """Return the paths of the files whose content the Hub has, committed or not; None if that is not known.

        It is not where the client uploads by Xet, which keeps pieces of files, not files.
        """
        if find_spec("hf_xet") is not None and not constants.HF_HUB_DISABLE_XET:
            return None
        infos = {addition.path_in_repo: addition.upload_info for addition in additions}
        try:
            objects, _, _ = post_lfs_batch_info(
                infos.values(),
                token=self._token,
                repo_type="model",
                repo_id=repo_id,
                endpoint=self._api.endpoint,
            )
        except (HTTPError, ValueError):
            return None
        there = {entry["oid"] for entry in objects if not entry.get("actions")}
        return {path for path, info in infos.items() if info.sha256.hex() in there}

    def commit(
        self,
        repo_id: str,
        revision: str,
        create_pr: bool,
        operations: Sequence[CommitOperationAdd | CommitOperationDelete],
        message: str,
        parent: str | None,
        account: Account,
    ) -> CommitInfo:
        """Commit everything in one commit on top of `parent`, or fail.

        Opening a pull request is not retried when the answer was lost: there would be two.
        """
        with _in_words(f"commit to {repo_id}", account):
            return self._patiently(
                lambda: self._api.create_commit(
                    repo_id,
                    operations,
                    commit_message=message,
                    revision=revision,
                    create_pr=create_pr,
                    parent_commit=parent,
                ),
                repeatable=not create_pr,
            )

    def _patiently(self, call: Callable[[], T], repeatable: bool = True) -> T:
        """Call a function, and retry while the Hub is busy or the connection breaks."""
        wait = 1.0
        for left in range(self._retries, -1, -1):
            try:
                return call()
            except HfHubHTTPError as error:
                if left == 0 or error.response.status_code not in (_BUSY if repeatable else _NOT_CARRIED_OUT):
                    raise
                pause, reason = _asked_for(error.response.headers) or wait, f"status {error.response.status_code}"
            except (HTTPError, JSONDecodeError) as error:  # the latter: a gateway's page instead of an answer
                if left == 0 or not repeatable:
                    raise
                pause, reason = wait, str(error) or type(error).__name__
            _log.warning("The Hub is asked again in %g s: %s.", pause, reason)
            time.sleep(pause)
            wait = min(2 * wait, _LONGEST_WAIT)
        raise AssertionError("the last attempt returns or raises")


def _asked_for(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the Hub asks to wait; None if it names no time."""
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0  # the client does so too: the Hub's seconds are whole ones
    after = headers.get("retry-after", "").strip()
    return int(after) + 1.0 if after.isdigit() else None


@contextmanager
def _in_words(action: str, account: Account | None = None) -> Iterator[None]:
    """Replace the client's errors inside the block by ones that say what to do."""
    try:
        yield
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise PushError(
            f"the Hub should {action}, but does not find it: {_said(error)}. Check the name, and that the token may "
            "see it."
        ) from error
    except HfHubHTTPError as error:
        raise _translated(error, action, account) from error
    except OfflineModeIsEnabled as error:
        raise PushError("a push needs the Hub, and HF_HUB_OFFLINE is set. Unset it.") from error
    except (HTTPError, JSONDecodeError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise PushError(
            f"the Hub should {action}, but the connection failed: {reason}. Try again when it is back."
        ) from error


def _translated(error: HfHubHTTPError, action: str, account: Account | None) -> Exception:
    status, said = error.response.status_code, _said(error)
    if status == 401:
        return PermissionError(f"a push needs a token that the Hub knows; it says: {said}. {_LOG_IN}")
    if status == 403:
        whose = "the token may not" if account is None else f"{account.name}'s token may not"
        yours = "" if account is None else f", a name under {' or '.join(account.namespaces)}"
        return PermissionError(
            f"{whose} {action}; the Hub says: {said}. Use a token with write access there{yours}, or propose the "
            "change with create_pr=True (--create-pr)."
        )
    if status in (400, 422):
        return ValueError(f"the Hub does not {action} as asked; it says: {said}.")
    if status in (409, 412):
        return PushError(
            f"the Hub should {action}, but somebody else changed it meanwhile; it says: {said}. Nothing of theirs was "
            "overwritten; look at it, then run the same command again: only what is missing is sent."
        )
    if status == 429:
        return PushError(f"the Hub should {action}, but still asks to wait (429): {said}. Try again later.")
    return PushError(f"the Hub should {action}, but answers {status}: {said}. Try again later.")


def _said(error: HfHubHTTPError) -> str:
    text = error.server_message or str(error)
    return " ".join(text.split()).rstrip(".")
