"""Pushes by the real client to a Hub on this machine: what arrives, what is refused, and what happens on a bad day."""

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
import torch
from error_messages import naming
from hub_server import HubServer, hub_server
from hub_state import Blob
from hub_visits import pull, take_for_the_hub
from huggingface_hub.utils import _http
from safetensors.torch import load_file
from tiny_models import tiny_model, tiny_tokenizer
from transformers import AutoTokenizer
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.export import save_checkpoint
from hf_muonclip.hub import PushResult, push_to_hub
from hf_muonclip.hub.client import PushError
from hf_muonclip.hub.model_card import render_model_card

REPO = "ada/nano"
TOKEN = "hf_ada"
HEEDS_RETRY_AFTER = hasattr(_http, "_parse_retry_after")
# A connection that the server closes in the middle; older clients repeat it only where it is reset.
REPEATS_BROKEN_UPLOADS = any(error.__name__ == "RemoteProtocolError" for error in _http._DEFAULT_RETRY_ON_EXCEPTIONS)
repeats_broken_uploads = pytest.mark.skipif(
    not REPEATS_BROKEN_UPLOADS, reason="this huggingface_hub does not repeat an upload whose connection was closed"
)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A Hub that the client takes for the real one, with nobody logged in."""
    with hub_server() as server:
        take_for_the_hub(server, monkeypatch, tmp_path)
        yield server


LOCAL_NAME = 'name = "."  # the folder of this card'


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been waited; nobody waits."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of several shards, with tokenizer and card."""
    model = tiny_model("deepseek_v3")
    card = render_model_card(model, "Nano", load_from=REPO, license="apache-2.0", prompt="w7 w9")
    folder = tmp_path_factory.mktemp("written") / "model"
    return save_checkpoint(model, folder, tokenizer=tiny_tokenizer(), card=card, max_shard_size="150KB")


@pytest.fixture
def folder(written: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(written, tmp_path / "model"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shards(folder: Path) -> dict[str, str]:
    """Name and sha256 of every shard."""
    return {path.name: sha256(path) for path in sorted(folder.glob("*.safetensors"))}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change_config(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": 3}))


def on_the_hub(hub: HubServer, repo: str = REPO, revision: str = "main") -> dict[str, bytes]:
    commit = hub.repositories[repo].find(revision)
    return {path: blob.content for path, blob in commit.files.items() if path != ".gitattributes"}


def push(folder: Path, repo: str = REPO, token: str = TOKEN, **options) -> PushResult:
    return push_to_hub(folder, repo, token=token, **options)


# --- what arrives ------------------------------------------------------------------------------------------------


def test_a_new_repository_holds_the_folder_after_one_commit(hub, folder):
    result = push(folder)
    assert on_the_hub(hub) == contents(folder)
    repository = hub.repositories[REPO]
    assert repository.history() == ["Push a checkpoint trained with MuonClip", "initial commit"]
    assert not repository.private
    assert result.commit_url == f"{hub.endpoint}/{REPO}/commit/{repository.head.oid}"
    assert result.exists is False
    assert {file.state for file in result.files} == {"new"}
    assert {file.path: file.size for file in result.files} == {n: len(c) for n, c in contents(folder).items()}
    assert len(hub.sent("PUT")) == len(shards(folder)) > 2


@pytest.mark.slow
def test_a_stranger_gets_the_same_weights_and_tokens(hub, folder, tmp_path):
    push(folder)
    pulled = pull(hub, REPO, tmp_path, prompt="w7 w9 w11")
    assert len(hub.sent(r"GET /ada/nano/resolve/.*\.safetensors$")) == len(shards(folder))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer("w7 w9 w11", return_tensors="pt", return_token_type_ids=False)
    tokens = model.generate(**inputs, max_new_tokens=8, do_sample=False)
    assert torch.equal(pulled.pop("tokens"), tokens)
    assert tokens.shape[1] > 3
    local = model.state_dict()
    assert pulled.keys() == local.keys()
    assert all(torch.equal(pulled[name], local[name]) for name in local)


def test_parts_of_large_files_are_put_together(hub, folder):
    hub.chunk_size = 40_000
    push(folder)
    assert on_the_hub(hub) == contents(folder)
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    assert len(hub.sent("PUT")) == sum(-(-size // hub.chunk_size) for size in sizes) > len(sizes)


def test_a_bare_name_is_the_users(hub, folder):
    assert push(folder, "nano").repo_id == "ada/nano"
    assert on_the_hub(hub) == contents(folder)


@pytest.mark.parametrize("repo", [REPO, "nano"])
def test_the_card_s_code_loads_from_the_repository(hub, folder, repo):
    local = (folder / "README.md").read_text(encoding="utf-8").replace(f'name = "{REPO}"', LOCAL_NAME)
    assert LOCAL_NAME in local
    (folder / "README.md").write_text(local, encoding="utf-8")
    result = push(folder, repo)
    pushed = on_the_hub(hub)["README.md"].decode()
    assert pushed == result.card == local.replace(LOCAL_NAME, f'name = "{REPO}"')
    assert (folder / "README.md").read_text(encoding="utf-8") == local
    assert {file.state for file in push(folder, repo).files} == {"same"}


def test_an_organization_is_a_namespace_too(hub, folder):
    push(folder, "lab/nano", private=True)
    assert hub.repositories["lab/nano"].private


def test_hidden_files_stay_at_home_but_for_scores(hub, folder):
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("secret")
    (folder / ".DS_Store").write_text("x")
    (folder / ".eval_results").mkdir()
    (folder / ".eval_results" / "plays.yaml").write_text("[]")
    push(folder)
    visible = {name for name in contents(folder) if not name.startswith(".")}
    assert set(on_the_hub(hub)) == visible | {".eval_results/plays.yaml"}


# --- branches and pull requests ----------------------------------------------------------------------------------


def test_a_missing_branch_is_created(hub, folder):
    hub.add_repository(REPO, {"config.json": b"{}", "model.safetensors": b"older"})
    result = push(folder, revision="run/2")
    assert on_the_hub(hub, revision="run/2") == contents(folder)
    assert on_the_hub(hub) == {"config.json": b"{}", "model.safetensors": b"older"}
    assert [file.path for file in result.of_state("stale")] == ["model.safetensors"]


def test_a_branch_of_a_new_repository(hub, folder):
    push(folder, revision="run-2")
    assert on_the_hub(hub, revision="run-2") == contents(folder)
    assert on_the_hub(hub) == {}


def test_a_pull_request_changes_nothing_yet(hub, folder):
    repository = hub.add_repository("eve/model", {"model.safetensors": b"older", "notes.txt": b"mine"})
    before = repository.head.oid
    result = push(folder, "eve/model", create_pr=True)  # ada may not write there, only propose
    assert repository.head.oid == before
    assert result.pull_request_url == f"{hub.endpoint}/eve/model/discussions/1"
    assert on_the_hub(hub, "eve/model", "refs/pr/1") == contents(folder) | {"notes.txt": b"mine"}


def test_a_pull_request_can_be_pushed_to(hub, folder):
    hub.add_repository(REPO, {})
    push(folder, create_pr=True)
    (folder / "notes.txt").write_text("more")
    push(folder, revision="refs/pr/1")
    assert on_the_hub(hub, revision="refs/pr/1") == contents(folder)
    assert on_the_hub(hub) == {}


def test_a_commit_is_not_a_branch(hub, folder):
    commit = hub.add_repository(REPO, {}).head.oid
    with pytest.raises(ValueError, match=naming("branch", commit)):
        push(folder, revision=commit)
    assert hub.requests == []


# --- what is there already ---------------------------------------------------------------------------------------


def test_the_same_again_sends_nothing(hub, folder):
    first = push(folder)
    hub.requests.clear()
    again = push(folder)
    assert again.commit_url == first.commit_url
    assert {file.state for file in again.files} == {"same"}
    assert hub.sent("PUT|POST") == []


def test_a_new_card_needs_no_overwrite_and_sends_no_weights(hub, folder):
    push(folder)
    hub.requests.clear()
    card = folder / "README.md"
    card.write_text(card.read_text() + "\nMore.\n")
    result = push(folder, commit_message="Say more")
    assert [file.path for file in result.of_state("changed", "new", "stale")] == ["README.md"]
    assert hub.sent("PUT") == []
    assert on_the_hub(hub) == contents(folder)
    assert hub.repositories[REPO].history()[0] == "Say more"


def test_another_checkpoint_is_not_overwritten(hub, folder):
    older = {"config.json": b"{}", "model-00001-of-00009.safetensors": b"old", "notes.txt": b"mine"}
    repository = hub.add_repository(REPO, older)
    before = repository.head.oid
    named = ("ada/nano", "main", "config.json", "model-00001-of-00009.safetensors", "overwrite=True", "--overwrite")
    with pytest.raises(FileExistsError, match=naming(*named)):
        push(folder)
    assert repository.head.oid == before
    assert hub.sent("PUT|POST") == []


def test_overwrite_replaces_it_in_one_commit_and_leaves_no_stale_file(hub, folder):
    stale = {
        "model-00001-of-00009.safetensors": b"old",
        "model-00009-of-00009.safetensors": b"old",
        "pytorch_model.bin": b"old",
        "adapter_config.json": b"{}",
        "chat_template.jinja": b"old",
        "special_tokens_map.json": b"{}",
    }
    kept = {"notes.txt": b"mine", "gguf/model.gguf": b"other", "onnx/model.safetensors": b"not at the root"}
    repository = hub.add_repository(REPO, {"config.json": b"{}", **stale, **kept})
    result = push(folder, overwrite=True)
    assert on_the_hub(hub) == contents(folder) | kept
    assert {file.path for file in result.of_state("stale")} == set(stale)
    assert len(repository.history()) == 3


def test_a_tokenizer_stays_where_the_new_checkpoint_brings_none(hub, folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    hub.add_repository(REPO, {"tokenizer.json": b"{}", "vocab.json": b"{}"})
    push(folder)
    assert on_the_hub(hub) == contents(folder) | {"tokenizer.json": b"{}", "vocab.json": b"{}"}


def test_a_long_listing_is_read_to_its_end(hub, folder):
    hub.page_size = 2
    push(folder)
    assert push(folder).of_state("new", "changed", "stale") == []


def test_private_is_not_promised_for_a_public_repository(hub, folder):
    hub.add_repository(REPO, {})
    with pytest.raises(ValueError, match=naming("ada/nano", "private")):
        push(folder, private=True)
    assert hub.sent("PUT|POST") == []


# --- dry run -----------------------------------------------------------------------------------------------------


def test_a_dry_run_only_reads(hub, folder):
    result = push(folder, dry_run=True)
    assert {file.state for file in result.files} == {"new"}
    assert (result.exists, result.obstacles, result.commit_url) == (False, (), None)
    assert result.card == (folder / "README.md").read_text()
    assert hub.requests
    assert hub.sent("^(?!GET)") == []
    assert hub.repositories == {}


def test_a_dry_run_shows_what_would_change_and_what_would_stop_it(hub, folder):
    push(folder)
    change_config(folder)
    result = push(folder, dry_run=True, private=True)
    assert [file.path for file in result.of_state("changed")] == ["config.json"]
    public, other = result.obstacles
    assert re.search(naming(REPO, "public"), public)
    assert re.search(naming(REPO, "config.json", "overwrite=True"), other)
    assert push(folder, dry_run=True, overwrite=True).obstacles == ()


def test_a_dry_run_needs_no_token_for_what_is_public(hub, folder):
    push(folder)
    result = push_to_hub(folder, REPO, dry_run=True)
    assert {file.state for file in result.files} == {"same"}
    (obstacle,) = result.obstacles
    assert re.search(naming("token", "hf auth login"), obstacle)
    hub.repositories[REPO].private = True  # a stranger is told that there is no such repository
    assert push_to_hub(folder, REPO, dry_run=True).exists is None


def test_a_dry_run_without_the_hub(hub, folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    result = push(folder, dry_run=True)
    assert result.exists is None
    assert {file.state for file in result.files} == {"unknown"}
    assert {file.path: file.size for file in result.files} == {n: len(c) for n, c in contents(folder).items()}
    assert "connection" in result.unreached
    assert result.obstacles == ()


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a/b/c", "two words", "a--b", "-a", "a..b", "nano.git", "x" * 97, "datasets/ada/nano"]
)
def test_a_name_that_the_client_refuses(name, hub, folder):
    with pytest.raises(ValueError, match=naming(repr(name))):
        push(folder, name)
    assert hub.requests == []


def test_a_name_that_only_the_hub_refuses(hub, folder):
    with pytest.raises(ValueError, match=naming("ada/settings", "Invalid repo name: settings")):
        push(folder, "ada/settings")


def test_no_token(hub, folder):
    with pytest.raises(PermissionError, match=naming("token", "hf auth login")):
        push_to_hub(folder, REPO)
    assert hub.requests == []


def test_a_token_that_nobody_knows(hub, folder):
    with pytest.raises(PermissionError, match=naming("token", "hf auth login")):
        push(folder, token="hf_wrong")


def test_a_token_that_may_only_read(hub, folder):
    with pytest.raises(PermissionError, match=naming("ada", "'a token'", "read")):
        push(folder, token="hf_reader")
    assert hub.requests == ["GET /api/whoami-v2"]


def test_somebody_elses_namespace(hub, folder):
    message = naming("eve", "lab/nano", "You don't have the rights")
    with pytest.raises(PermissionError, match=message):
        push(folder, "lab/nano", token="hf_eve")
    hub.add_repository(REPO, {})
    with pytest.raises(PermissionError, match=naming("eve", REPO)):
        push(folder, token="hf_eve")
    assert hub.sent("PUT") == []


def test_a_pull_request_needs_a_repository(hub, folder):
    with pytest.raises(ValueError, match=naming("pull request", "repository")):
        push(folder, create_pr=True)
    hub.add_repository(REPO, {})
    with pytest.raises(ValueError, match=naming("pull request", "next")):
        push(folder, create_pr=True, revision="next")


@pytest.mark.parametrize("metadata", ["tags: [a", "title: a: b", "- just\n- a list", "a: \tb\n\tc: d"])
def test_a_card_whose_metadata_do_not_parse(metadata, hub, folder):
    (folder / "README.md").write_text(f"---\n{metadata}\n---\n\n# Nano\n")
    with pytest.raises(ValueError, match=naming("README.md", "YAML")):
        push(folder)
    assert hub.requests == []


def test_a_card_that_the_hub_refuses(hub, folder):
    (folder / "README.md").write_text("---\nlicense: my-own\n---\n\n# Nano\n")
    with pytest.raises(ValueError, match=naming("README.md", '"license"')):
        push(folder)
    assert hub.repositories == {}
    assert hub.sent("PUT") == []


@pytest.mark.parametrize("damage", ["pickle", "truncated", "half"])
def test_an_incomplete_checkpoint_is_not_pushed(damage, hub, folder):
    shard = next(folder.glob("*.safetensors"))
    if damage == "pickle":
        torch.save({}, folder / "optimizer.pt")
    elif damage == "truncated":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        shard.unlink()
    with pytest.raises(ValueError, match=r"optimizer.pt|model-00"):
        push(folder)
    assert hub.requests == []


def test_a_vocabulary_far_larger_than_the_tokenizers_is_pushed_if_asked(hub, tmp_path):
    model = tiny_model("llama_gqa", vocab_size=4096)
    tokenizer = tiny_tokenizer(16)
    folder = save_checkpoint(model, tmp_path / "model", tokenizer=tokenizer, allow_unused_ids=True)
    with pytest.raises(ValueError, match=r"allow_unused_ids"):
        push(folder)
    push(folder, allow_unused_ids=True)
    assert on_the_hub(hub) == contents(folder)


def test_no_folder(hub, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere"):
        push(tmp_path / "nowhere")


# --- bad days ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "status", "wait"),
    [
        ("GET /api/whoami-v2", 429, 8),
        ("GET /api/models/ada/nano", 500, 1),
        ("POST /api/validate-yaml", 429, 8),
        ("POST /api/repos/create", 503, 1),
        ("POST .*/branch/", 429, 8),
        ("GET .*/tree/", 500, 1),
        ("POST .*/preupload/", 429, 8),
        ("POST .*/objects/batch", 429, 8),
        ("PUT /storage/", 500, 1),
        ("POST .*/verify", 503, 1),
        ("POST .*/commit/", 429, 8),
        ("POST .*/commit/", 500, 1),
        ("POST .*/commit/", 502, 1),
    ],
)
def test_a_busy_hub_is_asked_again(route, status, wait, hub, folder, waits):
    hub.fail(route, status, times=1, **({"Retry_After": "7"} if status == 429 else {}))
    push(folder, revision="next")
    assert on_the_hub(hub, revision="next") == contents(folder)
    if not HEEDS_RETRY_AFTER and re.search("preupload|objects/batch", route):  # calls that the client repeats
        wait = 1
    assert waits == [wait]  # one second more than the Hub asks for: its seconds are whole


def test_the_rate_limit_says_when(hub, folder, waits):
    hub.fail("POST .*/commit/", 429, RateLimit='"api";r=0;t=55')
    push(folder)
    assert waits == [56]


@pytest.mark.parametrize(
    "status",
    [429, 500],
)
def test_a_hub_that_stays_busy(status, hub, folder, waits):
    hub.fail("POST .*/commit/", status, times=99)
    with pytest.raises(PushError, match=naming(REPO, status, "told to")):
        push(folder)
    assert waits == [1, 2, 4, 8, 8]
    assert on_the_hub(hub) == {}
    hub.faults.clear()
    hub.bytes_put.clear()
    push(folder)
    assert on_the_hub(hub) == contents(folder)
    assert not hub.bytes_put


@repeats_broken_uploads
def test_a_connection_that_breaks_once_inside_a_shard(hub, folder, waits):
    name, oid = list(shards(folder).items())[1]
    hub.break_upload(f"PUT /storage/{oid}", after=1000)
    push(folder)
    assert on_the_hub(hub) == contents(folder)
    assert waits == [1]
    assert hub.bytes_put[oid] == 1000 + (folder / name).stat().st_size


@repeats_broken_uploads
def test_of_a_file_in_parts_only_the_broken_part_is_sent_again(hub, folder, waits):
    hub.chunk_size = 40_000
    name, oid = list(shards(folder).items())[1]
    hub.break_upload(f"PUT /storage/{oid}", after=1000)
    push(folder)
    assert on_the_hub(hub) == contents(folder)
    assert hub.bytes_put[oid] == 1000 + (folder / name).stat().st_size


def test_a_push_that_broke_off_says_what_is_where_and_goes_on_there(hub, folder, waits):
    (name, oid), *others = list(shards(folder).items())
    hub.break_upload(f"PUT /storage/{oid}", after=1000, times=99)
    with pytest.raises(PushError) as broken:
        push(folder)
    message = str(broken.value)
    assert re.search(naming(REPO, name, *(other for other, _ in others)), message)
    assert all(message.rindex(other) < message.rindex(name) for other, _ in others)  # there, then what is missing
    assert on_the_hub(hub) == {}
    sent_at_first = dict(hub.bytes_put)
    attempts = (6,) if REPEATS_BROKEN_UPLOADS else range(1, 7)
    assert sent_at_first[oid] in [1000 * count for count in attempts]  # the client's

    hub.faults.clear()
    hub.bytes_put.clear()
    push(folder)
    assert on_the_hub(hub) == contents(folder)
    assert hub.bytes_put == {oid: (folder / name).stat().st_size}
    assert hub.repositories[REPO].history() == ["Push a checkpoint trained with MuonClip", "initial commit"]


def test_storage_that_refuses(hub, folder):
    _, oid = next(iter(shards(folder).items()))
    hub.fail(f"PUT /storage/{oid}", 403, message="expired")
    with pytest.raises(PushError, match=naming("403", "model")):
        push(folder)


@pytest.mark.parametrize("status", [409, 412])
def test_a_conflict_overwrites_nothing(status, hub, folder):
    hub.fail("POST .*/commit/", status, message="A commit has happened since.")
    with pytest.raises(PushError, match=naming(REPO, "A commit has happened since")):
        push(folder)
    assert on_the_hub(hub) == {}


def test_a_commit_of_somebody_else_in_between(hub, folder):
    def theirs() -> None:
        repository = hub.repositories[REPO]
        files = {**repository.head.files, "config.json": Blob(b"theirs", False)}
        repository.commit("main", "theirs", files, repository.head.oid)

    hub.meanwhile("POST .*/commit/", theirs)
    with pytest.raises(PushError, match=naming(REPO, "somebody else")):
        push(folder)
    assert on_the_hub(hub) == {"config.json": b"theirs"}
    with pytest.raises(FileExistsError, match=naming("config.json", "overwrite=True")):
        push(folder)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(hub, folder, waits):
    hub.lose_answer("POST .*/commit/")
    result = push(folder)
    repository = hub.repositories[REPO]
    assert repository.history() == ["Push a checkpoint trained with MuonClip", "initial commit"]
    assert result.commit_url == f"{hub.endpoint}/{REPO}/commit/{repository.head.oid}"


def test_a_pull_request_whose_answer_is_lost_is_not_opened_twice(hub, folder, waits):
    hub.add_repository(REPO, {})
    hub.lose_answer("POST .*/commit/")
    with pytest.raises(PushError, match=naming(f"{hub.endpoint}/{REPO}/discussions")):
        push(folder, create_pr=True)
    assert [ref for ref in hub.repositories[REPO].refs if ref.startswith("refs/pr/")] == ["refs/pr/1"]


def test_a_commit_that_leaves_files_out_is_noticed(hub, folder, monkeypatch):
    name = next(iter(shards(folder)))
    monkeypatch.setattr(hub, "ignored", {name})  # by the repository's .gitignore
    with pytest.raises(PushError, match=naming(name, ".gitignore")):
        push(folder)


def test_the_shards_are_those_of_the_model(hub, folder):
    push(folder)
    names = {name for shard in folder.glob("*.safetensors") for name in load_file(shard)}
    assert any(".mlp.experts.3.gate_proj.weight" in name for name in names)
