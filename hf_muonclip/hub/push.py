"""Push a checkpoint to the Hub in one commit, after looking at what is there.

Large files go first, and stay on the Hub if the push breaks off, so that the same call sends only the rest. One commit
then shows all files together, or none: nobody ever pulls half a checkpoint. It is made on top of the state that was
looked at, so that it cannot undo what somebody else did meanwhile.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, ModelCard, repocard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from huggingface_hub.utils.sha import git_hash

from ..common.wording import some_of
from ..export import check_checkpoint
from .client import Account, HubClient, PushError, Remote
from .model_card import loading_from

_DEFAULT_BRANCH = "main"
_READERS = 5  # threads that hash files; as many as the client has
_CARD = "README.md"
_SCORES = ".eval_results/"  # where the Hub reads evaluation results
# What transformers and engines pick up by name alone: of an older checkpoint, it would be loaded together with the new.
_LOADED = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model*.bin.index.json",
    "adapter_config.json",
    "adapter_model.*",
)
# Likewise, where the new checkpoint brings a tokenizer.
_TOKENIZER = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
    "additional_chat_templates/*",
)


@dataclass(frozen=True)
class FileChange:
    """What a push does to a file.

    Attributes:
        path: in the repository.
        size: bytes; of a stale file, those on the Hub.
        state: new; changed; same (not sent); stale (part of an older checkpoint, deleted); unknown (what the Hub has is
            not known).
    """

    path: str
    size: int
    state: Literal["new", "changed", "same", "stale", "unknown"]


@dataclass(frozen=True)
class PushResult:
    """What a push did, or would do.

    Attributes:
        repo_id: the full name.
        revision: the branch.
        url: the repository's page.
        exists: whether the repository did before; None if that is not known.
        files: all files of the checkpoint, and the stale ones of an older one.
        card: README.md's text; None if there is none.
        obstacles: why the push would be refused; empty unless it was a dry run.
        unreached: why a dry run could not ask the Hub; None if it could.
        commit_url: page of the commit; None in a dry run.
        pull_request_url: page of the pull request, if one was asked for.
    """

    repo_id: str
    revision: str
    url: str
    exists: bool | None
    files: tuple[FileChange, ...]
    card: str | None
    obstacles: tuple[str, ...] = ()
    unreached: str | None = None
    commit_url: str | None = None
    pull_request_url: str | None = None

    def of_state(self, *states: str) -> list[FileChange]:
        """Return the files that are in one of the states."""
        return [file for file in self.files if file.state in states]


def push_to_hub(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    allow_unused_ids: bool = False,
    commit_message: str | None = None,
    token: str | None = None,
) -> PushResult:
    """Push a complete checkpoint to the Hub.

    Files that the Hub already has are not sent again. If the push breaks off, the same call goes on where it stopped.
    Files of an older checkpoint that would be loaded together with the new one are deleted in the same commit.

    Args:
        folder: the checkpoint's folder; `check_checkpoint` finds it complete before anything is sent. Hidden files are
            left out, but for the scores in `.eval_results`.
        repo_id: "namespace/name", or "name" alone for the token's user. Created if it does not exist.
        private: create it private; by default it is as the namespace's setting says.
        revision: branch to commit to, or to open the pull request against; created from the default branch if missing.
        create_pr: open a pull request instead of committing.
        overwrite: replace another checkpoint that the branch holds; it stays in the history.
        dry_run: send nothing, only say what a push would do; `obstacles` says what would stop it.
        allow_unused_ids: accept a vocabulary that exceeds the tokenizer's by more than padding.
        commit_message: the commit's title.
        token: token of the Hub; by default the one of `hf auth login` or HF_TOKEN.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is not a complete checkpoint, the name or the card is refused, or `private` is asked of
            a repository that is public.
        FileExistsError: the branch holds another checkpoint, and neither `overwrite` nor `create_pr` is given.
        PermissionError: no token, or one that may not write there.
        PushError: the Hub could not be reached, stayed busy, or was changed meanwhile; says which files are on the Hub.
    """
    branch = revision or _DEFAULT_BRANCH
    _refuse_names(repo_id, branch)
    additions, card = _read_folder(Path(folder), allow_unused_ids)
    hub = HubClient(token, retries=0) if dry_run else HubClient(token)
    push = _Push(hub, repo_id, branch, additions, card, private, create_pr, overwrite)
    return push.rehearse() if dry_run else push.carry_out(commit_message or "Push a checkpoint trained with MuonClip")


@dataclass(frozen=True)
class _Push:
    """One push: its arguments and its steps."""

    hub: HubClient
    repo_id: str
    branch: str
    additions: Mapping[str, CommitOperationAdd]
    card: str | None
    private: bool
    create_pr: bool
    overwrite: bool

    def rehearse(self) -> PushResult:
        """Return what the push would do, by read requests only."""
        push, account, remote = self._addressed(), None, None
        obstacles: list[str] = []
        unreached = None
        try:
            try:
                account = self.hub.account()
                push = self._under(account)
            except PermissionError as error:  # what is public can be read all the same
                obstacles.append(str(error))
            if "/" in push.repo_id:
                remote = self.hub.look(push.repo_id, self.branch)
        except (PushError, PermissionError) as error:
            unreached = str(error)
        if remote is None or not (remote.exists or account):  # strangers hear that a private repository is not there
            unknown = (FileChange(path, add.upload_info.size, "unknown") for path, add in push.additions.items())
            result = push._result(None, tuple(unknown))
        else:
            result = push._result(remote.exists, _compare(push.additions, remote.files))
            obstacles += map(str, push._obstacles(remote, result))
        return replace(result, obstacles=tuple(obstacles), unreached=unreached)

    def carry_out(self, message: str) -> PushResult:
        """Run the push and return its result."""
        account = self.hub.account()
        push = self._under(account)
        remote = self.hub.look(push.repo_id, self.branch)
        result = push._result(remote.exists, _compare(push.additions, remote.files))
        for obstacle in push._obstacles(remote, result):
            raise obstacle
        if remote.has_revision and not result.of_state("new", "changed", "stale"):
            return replace(result, commit_url=f"{result.url}/commit/{remote.head}")
        if push.card is not None:
            self.hub.validate_card(push.card)
        remote = push._prepare(remote, account)
        result = replace(result, files=_compare(push.additions, remote.files))
        changed = [push.additions[file.path] for file in result.of_state("new", "changed")]
        push._upload(changed, account)
        return push._commit(result, changed, message, remote, account)

    def _under(self, account: Account) -> "_Push":
        """Return the push with the full name of its repository."""
        named = self if "/" in self.repo_id else replace(self, repo_id=f"{account.name}/{self.repo_id}")
        return named._addressed()

    def _addressed(self) -> "_Push":
        """Replace the folder by the repository in the card's loading code."""
        if self.card is None or "/" not in self.repo_id:
            return self
        card = loading_from(self.card, self.repo_id)
        if card == self.card:
            return self
        return replace(self, card=card, additions={**self.additions, _CARD: CommitOperationAdd(_CARD, card.encode())})

    def _result(self, exists: bool | None, files: tuple[FileChange, ...]) -> PushResult:
        return PushResult(self.repo_id, self.branch, self.hub.url(self.repo_id), exists, files, self.card)

    def _obstacles(self, remote: Remote, result: PushResult) -> list[Exception]:
        """Return the reasons to refuse the push."""
        found: list[Exception] = []
        if self.private and remote.exists and not remote.private:
            found.append(
                ValueError(
                    f"private=True (--private) is for a repository that the push creates; {self.repo_id} exists and is "
                    "public. Make it private in its settings first, or choose another name."
                )
            )
        if self.create_pr and not remote.has_revision:
            missing = f"its branch {self.branch}" if remote.exists else "that repository"
            found.append(
                ValueError(
                    f"a pull request needs a branch to be opened against, and {self.repo_id}: {missing} does not "
                    "exist. Leave create_pr (--create-pr) out to create it."
                )
            )
        effects = {"changed": "would be replaced", "stale": "would be deleted"}
        said = [
            f"{some_of(paths, 6)} {effect}"
            for state, effect in effects.items()
            if (paths := [file.path for file in result.of_state(state) if _is_any_of(file.path, _LOADED + _TOKENIZER)])
        ]
        if said and remote.has_revision and not (self.overwrite or self.create_pr):
            found.append(
                FileExistsError(
                    f"{self.repo_id} (branch {self.branch}) holds another checkpoint: {'; '.join(said)}. Pass "
                    "overwrite=True (--overwrite) to replace it in one commit, create_pr=True (--create-pr) to propose "
                    "that, another revision, or another name."
                )
            )
        return found

    def _prepare(self, remote: Remote, account: Account) -> Remote:
        """Create the repository and the branch, if missing, and return their state."""
        if remote.has_revision:
            return remote
        if not remote.exists:
            self.hub.create_repository(self.repo_id, self.private, account)
        if self.branch != _DEFAULT_BRANCH:
            self.hub.create_branch(self.repo_id, self.branch, account)
        prepared = self.hub.look(self.repo_id, self.branch)
        if not prepared.has_revision:
            raise PushError(
                f"the Hub should have the branch {self.branch} of {self.repo_id} now, but does not. Try again."
            )
        return prepared

    def _upload(self, changed: Sequence[CommitOperationAdd], account: Account) -> None:
        """Upload the large files, or say what is on the Hub."""
        try:
            self.hub.upload(self.repo_id, self.branch, self.create_pr, changed, account)
        except PermissionError:
            raise
        except (PushError, RuntimeError, OSError, ValueError) as error:  # the client and Xet raise any of them
            reason = str(error) if isinstance(error, PushError) else f"{error} {error.__cause__ or ''}"
            there = self.hub.uploaded(self.repo_id, changed)
            if there is None:
                said = "The Hub keeps what was sent so far."
            else:
                missing = [addition.path_in_repo for addition in changed if addition.path_in_repo not in there]
                said = f"On the Hub: {', '.join(sorted(there)) or 'none of the files'}. Missing: {', '.join(missing)}."
            raise PushError(
                f"the upload to {self.repo_id} broke off: {' '.join(reason.split()).rstrip('.')}. {said} Nothing was "
                "committed: the repository shows what it showed before. Run the same command again; it sends only "
                "what is missing."
            ) from error

    def _commit(
        self,
        result: PushResult,
        changed: Sequence[CommitOperationAdd],
        message: str,
        remote: Remote,
        account: Account,
    ) -> PushResult:
        """Commit, and check that the commit holds the checkpoint."""
        deletions = [CommitOperationDelete(file.path) for file in result.of_state("stale")]
        operations: list[CommitOperationAdd | CommitOperationDelete] = [*changed, *deletions]
        try:
            commit = self.hub.commit(
                self.repo_id, self.branch, self.create_pr, operations, message, remote.head, account
            )
        except PushError as error:  # perhaps the commit was made, and its answer lost
            if self.create_pr:
                raise PushError(f"{error} See first whether {result.url}/discussions has the pull request.") from error
            now = self.hub.look(self.repo_id, self.branch)
            if any(file.state != "same" for file in _compare(self.additions, now.files)):
                raise
            return replace(result, commit_url=f"{result.url}/commit/{now.head}")
        committed = {file.path: file for file in self.hub.files(self.repo_id, commit.oid)}
        wrong = [file.path for file in _compare(self.additions, committed) if file.state != "same"]
        if wrong:
            raise PushError(
                f"the commit {commit.commit_url} must hold the whole checkpoint, but {some_of(wrong, 6)} differ. See "
                "whether the repository's .gitignore names them, then run the same command again."
            )
        return replace(result, commit_url=str(commit.commit_url), pull_request_url=commit.pr_url)


def _refuse_names(repo_id: str, branch: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(
            f"repo_id must be a name that the Hub accepts, got {repo_id!r}: {error} Write namespace/name."
        ) from error
    if re.fullmatch("[0-9a-f]{40}", branch):
        raise ValueError(f"a push goes to a branch, got the commit {branch} as revision. Name a branch.")


def _read_folder(folder: Path, allow_unused_ids: bool) -> tuple[dict[str, CommitOperationAdd], str | None]:
    """Return the files to commit by path, and the card; raise ValueError if the folder must not be pushed."""
    checked = check_checkpoint(folder, allow_unused_ids=allow_unused_ids)
    names = [name for name in checked.files if name.startswith(_SCORES) or not _is_hidden(name)]
    card = None
    if checked.has_card:
        try:
            card = (folder / _CARD).read_text(encoding="utf-8")
            ModelCard(card)
        except (ValueError, TypeError, repocard.yaml.YAMLError) as error:  # type: ignore[attr-defined]
            reason = " ".join(str(error).split())
            raise ValueError(f"the metadata of {folder / _CARD} must be YAML that the Hub reads: {reason}.") from error
    return {name: CommitOperationAdd(name, folder / name) for name in names}, card


def _compare(additions: Mapping[str, CommitOperationAdd], there: Mapping[str, RepoFile]) -> tuple[FileChange, ...]:
    """Return the changes of a push; only files of equal size are read."""
    in_both = [path for path in additions if path in there]
    with ThreadPoolExecutor(_READERS) as readers:
        same = dict(
            zip(in_both, readers.map(lambda path: _is_same(additions[path], there[path]), in_both), strict=True)
        )
    states: dict[bool | None, Literal["new", "changed", "same"]] = {None: "new", False: "changed", True: "same"}
    files = [FileChange(path, add.upload_info.size, states[same.get(path)]) for path, add in additions.items()]
    patterns = _LOADED + (_TOKENIZER if any(_is_any_of(path, ("tokenizer*",)) for path in additions) else ())
    stale = [file for path, file in there.items() if path not in additions and _is_any_of(path, patterns)]
    return (*files, *(FileChange(file.path, file.size, "stale") for file in stale))


def _is_same(addition: CommitOperationAdd, there: RepoFile) -> bool:
    if addition.upload_info.size != there.size:
        return False
    if there.lfs is not None:
        return addition.upload_info.sha256.hex() == there.lfs.sha256
    with addition.as_file() as file:
        return git_hash(file.read()) == there.blob_id


def _is_hidden(path: str) -> bool:
    """Return whether a file belongs to an editor or to git, or may be a secret; the Hub has its own .gitattributes."""
    return any(part.startswith(".") for part in path.split("/"))


def _is_any_of(path: str, patterns: Iterable[str]) -> bool:
    """Return whether a path matches; a star does not reach into folders."""
    return any(fnmatch(path, pattern) and path.count("/") == pattern.count("/") for pattern in patterns)
