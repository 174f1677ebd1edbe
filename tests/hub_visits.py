"""The client's side of a Hub on this machine: pushes in this process, pulls in a fresh one."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import transformers.utils.hub
from hub_server import HubServer


def take_for_the_hub(server: HubServer, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the client of this process take a server for the real Hub, with nobody logged in."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(folder / "no-token"))
    # Clients that were made before keep their endpoint: transformers' own, and the one behind `create_repo` and others.
    monkeypatch.setattr(transformers.utils.hub, "_hf_api", None, raising=False)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", server.endpoint)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def pull(server: HubServer, source: str, folder: Path, prompt: str | None = None) -> dict[str, Any]:
    """Load a model as a stranger would, in a fresh process: its weights, and the tokens that it continues with."""
    code = f"""
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
model = AutoModelForCausalLM.from_pretrained({source!r})
pulled = dict(model.state_dict())
if {prompt!r} is not None:
    inputs = AutoTokenizer.from_pretrained({source!r})({prompt!r}, return_tensors="pt", return_token_type_ids=False)
    pulled["tokens"] = model.generate(**inputs, max_new_tokens=8, do_sample=False)
torch.save(pulled, "pulled.pt")
"""
    environment = {
        "HF_ENDPOINT": server.endpoint,  # read when the client is imported
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(folder / "home"),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "pulled.pt")
