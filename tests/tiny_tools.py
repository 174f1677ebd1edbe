"""What the tests of environments share: servers in processes of their own, and a policy that follows a script."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import torch
from tiny_rl import Watched, rl_config
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl.chat_template_utils import qwen3_chat_template

HERE = Path(__file__).parent


@contextlib.contextmanager
def served(script: str, *arguments: Any, python: str = sys.executable) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `PYTHON SCRIPT PORT ...` and yield its URL and process once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [python, str(HERE / script), str(port), *map(str, arguments)]
    path = {"PYTHONPATH": os.pathsep.join(sys.path)} if python == sys.executable else {}
    process = subprocess.Popen(command, env={**os.environ, **path})
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 180
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(url, trust_env=False)
                break
            assert process.poll() is None, f"{script} exited with {process.returncode}"
            assert time.monotonic() < until, f"{script} does not answer"
            time.sleep(0.1)
        yield url, process
    finally:
        process.kill()
        process.wait()


def tool_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of all bytes and of what is frequent in Qwen3's chat template, which TRL knows."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = BpeTrainer(vocab_size=600, initial_alphabet=letters, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([qwen3_chat_template], trainer)
    tokenizer.add_tokens(["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=qwen3_chat_template,
    )


def call(name: str, **arguments: Any) -> str:
    """Return how Qwen3 writes a call of a tool."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


Script = Callable[[str, int], str]


class ScriptedQwen3(Qwen3ForCausalLM):
    """A Qwen3 that says what `script(dialogue so far, row)` returns; log-probabilities and gradients are its own."""

    script: Script
    tokenizer: PreTrainedTokenizerFast

    def generate(self, input_ids: Any = None, **_: Any) -> Any:
        said = []
        for row, ids in enumerate(input_ids):
            text = self.script(self.tokenizer.decode(ids), row)
            said.append(torch.tensor(self.tokenizer(f"{text}<|im_end|>")["input_ids"]))
        padding = float(self.tokenizer.pad_token_id)
        completions = torch.nn.utils.rnn.pad_sequence(said, batch_first=True, padding_value=padding)
        return torch.cat([input_ids, completions], dim=1)


def scripted_policy(script: Script) -> ScriptedQwen3:
    tokenizer = tool_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ScriptedQwen3(config)
    model.script, model.tokenizer = script, tokenizer
    return model


def scripted_trainer(folder: Path, spec: Any, script: Script, **more: Any) -> Watched:
    """A KimiRLTrainer on a Spec, whose policy says what the script returns."""
    policy = scripted_policy(script)
    args = rl_config(
        folder, **{"max_completion_length": 1000, "per_device_train_batch_size": 4, "max_steps": 2, **more}
    )
    return Watched(policy, args=args, processing_class=policy.tokenizer, **spec.trainer_kwargs())


def readme_snippet(name: str) -> str:
    """Return the program in the README of rl/ that calls a function of `environments`."""
    page = (HERE.parent / "hf_muonclip/rl/README.md").read_text(encoding="utf-8")
    (program,) = [block for block in re.findall(r"```py\n(.*?)```", page, re.DOTALL) if f"= {name}(" in block]
    return program


def turns(dialogue: str) -> int:
    """Return how many tool responses a dialogue holds."""
    return dialogue.count("</tool_response>")
