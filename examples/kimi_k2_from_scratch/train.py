"""Train the small Kimi K2 of `model.py` with MuonClip on children's stories, draw the run, and let it write.

python train.py                         # TinyStories where the Hub can be reached, else stories.txt; one CPU core
python train.py --stories embedded      # stories.txt, without asking the Hub
python train.py --clip-by-hand          # the same run with the clip of qk_clip.py
"""

import argparse
import math
from itertools import islice
from pathlib import Path

import httpx
import torch
from model import KimiK2, KimiK2Config
from qk_clip import qk_clip_
from tokenizer import train_tokenizer
from transformers import PreTrainedTokenizerFast

from hf_muonclip import MuonClip
from hf_muonclip.kimi_k2 import ExpertBalancer

TINY_STORIES = "roneneldan/TinyStories"


def read_stories(source: str, count: int) -> list[str]:
    """Return the first `count` of TinyStories from the Hub, or all of the file beside this one."""
    if source != "embedded":
        try:
            from datasets import load_dataset
            from huggingface_hub import dataset_info
            from huggingface_hub.errors import HfHubHTTPError

            try:
                dataset_info(TINY_STORIES, timeout=5)  # says at once whether the Hub can be reached
                rows = load_dataset(TINY_STORIES, split="train", streaming=True)
                return [row["text"] for row in islice(rows, count)]
            except (OSError, httpx.HTTPError, HfHubHTTPError) as error:
                if source == "tinystories":
                    raise
                print(f"{TINY_STORIES} cannot be reached ({type(error).__name__}); training on stories.txt.")
        except ImportError:
            if source == "tinystories":
                raise
            print("datasets is not installed; training on stories.txt.")
    return Path(__file__).with_name("stories.txt").read_text(encoding="utf-8").strip().split("\n\n")


def learning_rate_factor(step: int, steps: int) -> float:
    """Warm up over the first tenth, then follow a cosine down to a tenth."""
    warm_up = max(1, steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * progress))


def train(model: KimiK2, tokens: torch.Tensor, args: argparse.Namespace) -> dict[str, list]:
    """Train, and return the loss, every head's max logit and the clipped heads of every step."""
    optimizer = MuonClip(
        model,
        lr=args.learning_rate,
        weight_decay=0.1,
        qk_clip_threshold=None if args.clip_by_hand else args.tau,
        exact_max_logits=True,  # of every head at every step, for the picture
    )
    print(str(optimizer) if args.verbose else str(optimizer).splitlines()[0])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_factor(step, args.steps))
    balancer = ExpertBalancer(model, update_rate=0.01)  # moves the router's bias; Kimi K2's 0.001 is for longer runs
    draw = torch.Generator().manual_seed(args.seed)
    history: dict[str, list] = {"loss": [], "max_logits": [], "clipped": []}
    model.train()
    for step in range(1, args.steps + 1):
        starts = torch.randint(len(tokens) - args.length + 1, (args.batch_size,), generator=draw)
        batch = torch.stack([tokens[start : start + args.length] for start in starts.tolist()])
        loss = model(batch, labels=batch).loss
        loss.backward()
        optimizer.step()  # Muon and AdamW, and then QK-Clip
        max_logits = qk_clip_(model, args.tau) if args.clip_by_hand else optimizer.max_logits
        balancer.update()
        optimizer.zero_grad()
        schedule.step()

        highest = torch.stack(list(max_logits.values()))  # (layers, heads)
        history["loss"].append(loss.item())
        history["max_logits"].append(highest.tolist())
        history["clipped"].append(int((highest > args.tau).sum()))
        if step % max(1, args.steps // 15) == 0:
            print(
                f"step {step:4d}  loss {loss.item():.3f}  max logit {highest.max():5.1f}  "
                f"clipped heads {history['clipped'][-1]:2d} of {highest.numel()}",
                flush=True,
            )
    return history


def plot(history: dict[str, list], tau: float, path: Path) -> None:
    """Draw the loss, the max logit of every head with tau, and how many heads were clipped."""
    import matplotlib.pyplot as plt

    max_logits = torch.tensor(history["max_logits"])  # (steps, layers, heads)
    count, layers, heads = max_logits.shape
    steps = range(1, count + 1)
    figure, (above, middle, below) = plt.subplots(
        3, 1, figsize=(8, 7.5), sharex=True, layout="constrained", height_ratios=[3, 4, 1.5]
    )
    above.plot(steps, history["loss"], color="black", linewidth=1.2)
    above.set(ylabel="loss", ylim=(0, None), title="A small Kimi K2, trained with MuonClip")
    for layer in range(layers):
        color = plt.get_cmap("viridis")(0.85 * layer / max(1, layers - 1))
        curves = middle.plot(steps, max_logits[:, layer], color=color, linewidth=0.7, alpha=0.7)
        curves[0].set_label(f"layer {layer}")
    middle.axhline(tau, color="crimson", linestyle="--", linewidth=1.6, label=f"tau = {tau:g}")
    middle.set(ylabel="max logit of each head,\nbefore its clip", ylim=(0, None))
    middle.legend(loc="lower right", ncols=layers + 1, fontsize="small")
    below.bar(steps, history["clipped"], width=1.0, color="crimson")
    below.set(xlabel="step", ylabel=f"heads clipped,\nof {layers * heads}", xlim=(1, max(2, count)))
    for axes in (above, middle, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_stories(model: KimiK2, tokenizer: PreTrainedTokenizerFast, prompts: list[str], seed: int) -> list[str]:
    """Continue each prompt. Equal seeds give equal stories."""
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    stories = []
    for prompt in prompts:
        input_ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        eos = tokenizer.eos_token_id
        story = model.generate(input_ids, 80, temperature=0.8, top_k=20, eos_token_id=eos, generator=generator)
        stories.append(tokenizer.decode(story[0], skip_special_tokens=True))
    return stories


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stories", choices=["auto", "tinystories", "embedded"], default="auto")
    parser.add_argument("--num-stories", type=int, default=3000, help="of TinyStories (default 3000)")
    parser.add_argument("--vocab-size", type=int, default=2048, help="the most words to know (default 2048)")
    parser.add_argument("--steps", type=int, default=400, help="default 400")
    parser.add_argument("--batch-size", type=int, default=8, help="default 8")
    parser.add_argument("--length", type=int, default=96, help="words and marks of one training sequence (default 96)")
    parser.add_argument("--learning-rate", type=float, default=1e-2, help="high, so that logits grow (default 0.01)")
    parser.add_argument("--tau", type=float, default=10.0, help="QK-Clip's threshold (default 10; Kimi K2 uses 100)")
    parser.add_argument("--clip-by-hand", action="store_true", help="clip with qk_clip.py in place of MuonClip's own")
    parser.add_argument("--prompt", nargs="*", default=["Ben had a red kite.", "One day a little fox", "Tom and Anna"])
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal runs (default 0)")
    parser.add_argument("--output", type=Path, default=Path("kimi_k2_from_scratch"), help="a folder")
    parser.add_argument("--verbose", action="store_true", help="say of every parameter what updates it, and why")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    stories = read_stories(args.stories, args.num_stories)
    tokenizer = train_tokenizer(stories, args.vocab_size)
    text = tokenizer.eos_token.join([*stories, ""])
    tokens = torch.tensor(tokenizer(text, verbose=False)["input_ids"])
    model = KimiK2(KimiK2Config(vocab_size=len(tokenizer)))
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(stories)} stories, {len(tokens):,} tokens, {len(tokenizer)} words; {size:,} parameters")

    history = train(model, tokens, args)

    args.output.mkdir(parents=True, exist_ok=True)
    plot(history, args.tau, args.output / "training.png")
    for story in write_stories(model, tokenizer, args.prompt, args.seed):
        print(f"\n{story}")
    # The same weights as the real class: AutoModelForCausalLM opens the folder, and so does every engine.
    eos = tokenizer.eos_token_id
    model.to_transformers(eos_token_id=eos, pad_token_id=eos).save_pretrained(args.output / "model")
    tokenizer.save_pretrained(args.output / "model")
    print(f"\nPicture: {args.output / 'training.png'}; weights for transformers: {args.output / 'model'}")


if __name__ == "__main__":
    main()
