"""`hf-muonclip push` as a person types it, against a Hub on this machine."""

import io
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from error_messages import naming
from hub_server import HubServer, hub_server
from hub_visits import take_for_the_hub
from rich.console import Console
from tiny_models import tiny_model, tiny_tokenizer

from hf_muonclip.cli import main
from hf_muonclip.cli.push import show
from hf_muonclip.common.wording import in_bytes
from hf_muonclip.export import save_checkpoint
from hf_muonclip.hub import push_to_hub
from hf_muonclip.hub.client import HubClient
from hf_muonclip.hub.model_card import render_model_card

REPO = "ada/nano"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with hub_server() as server:
        take_for_the_hub(server, monkeypatch, tmp_path)
        monkeypatch.setenv("HF_TOKEN", "hf_ada")
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    model = tiny_model("llama_gqa")
    card = render_model_card(model, "Nano", load_from=REPO, license="apache-2.0")
    path = tmp_path_factory.mktemp("written") / "model"
    return str(save_checkpoint(model, path, tokenizer=tiny_tokenizer(), card=card))


def push(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["push", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_push_says_what_it_committed_and_where_it_is(hub, folder, capsys):
    code, out, _ = push(capsys, folder, REPO)
    assert code == 0
    sent, commit = out.splitlines()
    files = hub.repositories[REPO].head.files
    assert sent.startswith(f"{len(files) - 1} files ")
    assert commit == f"commit: {hub.endpoint}/{REPO}/commit/{hub.repositories[REPO].head.oid}"
    assert re.search(naming(len(files) - 1), push(capsys, folder, REPO)[1])


def test_a_dry_run_lists_files_sizes_and_the_card(hub, folder, capsys):
    code, out, err = push(capsys, folder, REPO, "--dry-run")
    assert (code, err) == (0, "")
    assert re.search(naming(f"{hub.endpoint}/{REPO}", "main", "new"), out.splitlines()[0])
    for path in Path(folder).iterdir():
        assert f"{path.name} " in out
        assert f" {in_bytes(path.stat().st_size)}  new\n" in out
    assert "dry run" in out
    assert (Path(folder) / "README.md").read_text().strip() in out
    assert hub.repositories == {}


def test_a_dry_run_in_a_terminal_shows_the_card_as_it_will_look(hub, folder):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, record=True)
    show(push_to_hub(folder, REPO, dry_run=True), console)
    text = console.export_text()
    assert "model.safetensors" in text
    assert "README.md, metadata" in text
    assert "license: apache-2.0" in text
    assert "How to load" in text
    assert "## How to load" not in text  # rendered, not copied


def test_a_dry_run_of_what_would_be_refused_says_why_and_ends_with_2(hub, folder, capsys):
    hub.add_repository(REPO, {"model.safetensors": b"other"})
    code, out, err = push(capsys, folder, REPO, "--dry-run", "--private")
    assert code == 2
    assert "model.safetensors" in out
    public, other = err.splitlines()
    assert re.search(naming("hf-muonclip", "--private"), public)
    assert re.search(naming("hf-muonclip", "ada/nano", "model.safetensors"), other)


def test_a_dry_run_without_the_hub_still_lists(hub, folder, capsys, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    code, out, err = push(capsys, folder, REPO, "--dry-run")
    assert code == 0
    assert "branch main" in out
    assert "model.safetensors" in out
    assert "connection" in err


def test_json_has_the_keys_that_the_help_names(hub, folder, capsys):
    hub.add_repository(REPO, {"pytorch_model.bin": b"older"})
    code, out, _ = push(capsys, folder, REPO, "--json", "--overwrite")
    said = json.loads(out)
    assert code == 0
    assert main(["push", "--help"]) == 0
    help_text = capsys.readouterr().out
    assert all(key in help_text for key in said)
    assert "130" in help_text
    assert {"path": "pytorch_model.bin", "size": 5, "state": "stale"} in said["files"]
    assert said["commit_url"].endswith(hub.repositories[REPO].head.oid)
    assert (said["dry_run"], said["obstacles"], said["pull_request_url"]) == (False, [], None)


def test_options_reach_the_push(hub, folder, capsys):
    assert push(capsys, folder, REPO, "--private", "--revision", "run-2", "-m", "A title")[0] == 0
    repository = hub.repositories[REPO]
    assert repository.private
    assert repository.history("run-2")[0] == "A title"
    code, out, _ = push(capsys, folder, REPO, "--create-pr")
    assert code == 0
    assert "proposed" in out
    assert out.splitlines()[1] == f"pull request: {hub.endpoint}/{REPO}/discussions/1"
    assert repository.history() == ["initial commit"]


def test_overwriting_says_what_was_deleted(hub, folder, capsys):
    hub.add_repository(REPO, {"pytorch_model.bin": b"older"})
    assert push(capsys, folder, REPO)[0] == 2
    code, out, _ = push(capsys, folder, REPO, "--overwrite")
    assert code == 0
    assert re.search(naming("deleted", "pytorch_model.bin"), out)


@pytest.mark.parametrize(
    ("repo", "token", "message"),
    [
        ("a/b/c", "hf_ada", naming("'a/b/c'")),
        (REPO, "hf_reader", naming("ada", "'a token'", "read")),
        (REPO, "", naming("hf auth login")),
        ("lab/nano", "hf_eve", naming("eve", "lab/nano")),
    ],
)
def test_a_push_that_is_refused_ends_with_2(repo, token, message, hub, folder, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    code, out, err = push(capsys, folder, repo)
    assert (code, out) == (2, "")
    assert err.startswith("hf-muonclip: ")
    assert re.search(message, err)


def test_no_folder_ends_with_2(hub, tmp_path, capsys):
    assert push(capsys, str(tmp_path / "nowhere"), REPO)[0] == 2


def test_a_hub_that_fails_ends_with_1(hub, folder, capsys, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    hub.fail("POST .*/commit/", 503, times=99)
    code, out, err = push(capsys, folder, REPO)
    assert (code, out) == (1, "")
    assert re.search(naming("hf-muonclip", "ada/nano", 503), err)


def test_an_interrupt_says_how_to_go_on(hub, folder, capsys, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HubClient, "upload", interrupted)
    code, _, err = push(capsys, folder, REPO)
    assert code == 130
    assert err.startswith("hf-muonclip: ")


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (950, "950 B"), (12_345, "12.3 kB"), (4_980_000_000, "4.98 GB"), (2e12, "2 TB")]
)
def test_sizes_are_written_as_people_read_them(size, text):
    assert in_bytes(size) == text
