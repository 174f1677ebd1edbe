"""What does capturing max logits add to a training step?

Forward and backward with max logits captured, screened and always exact, against the same without capture, by
interleaved rounds within one process, so that a machine whose speed drifts does not decide. What the optimizer step
takes is `optimizer_step.py`'s question.

    OMP_NUM_THREADS=2 python benchmarks/overhead.py            # a few minutes; appends rows to results/overhead.jsonl
    python benchmarks/tables.py                                # renders all rows into the READMEs
"""

import argparse
import statistics
from collections.abc import Callable

import torch
from measure import append_rows, interleaved, quantiles_ms, ratio_p50
from transformers import DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from hf_muonclip.attention import MaxLogitCapture
from hf_muonclip.attention.detect_layout import attention_modules
from hf_muonclip.kimi_k2 import kimi_k2_config


def smollm2(layers: int) -> PreTrainedModel:
    """SmolLM2-135M's layers (GQA, 9 heads on 3); a small vocabulary, so that the head does not hide the attention."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=4096,
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=layers,
            num_attention_heads=9,
            num_key_value_heads=3,
            max_position_embeddings=8192,
        )
    )


def kimi_k2_nano() -> PreTrainedModel:
    return DeepseekV3ForCausalLM(kimi_k2_config("nano", max_position_embeddings=8192))


def capture_variants(
    model: PreTrainedModel, batch: int, length: int
) -> tuple[dict[str, Callable[[], None]], Callable[[], float]]:
    tokens = torch.randint(model.config.vocab_size, (batch, length), device=model.device)
    capture = MaxLogitCapture(attention_modules(model), training_only=True)

    def forward_backward() -> None:
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        model.zero_grad()
        capture.reset()

    def without() -> None:
        with capture.pause():
            forward_backward()

    def screened() -> None:
        capture.screen_threshold = 100.0
        forward_backward()

    def exact() -> None:
        capture.screen_threshold = None
        forward_backward()

    variants = {"no capture": without, "screened": screened, "always exact": exact}
    return variants, lambda: capture.seconds


def rows(
    question: str,
    model_name: str,
    shape: str,
    baseline: str,
    seconds: dict[str, list[float]],
    metered: dict[str, list[float]],
) -> list[dict]:
    made = []
    for name, measured in seconds.items():
        made.append(
            {
                "question": question,
                "model": model_name,
                "shape": shape,
                "variant": name,
                "baseline": baseline,
                "ratio_p50": ratio_p50(measured, seconds[baseline]),
                "share_p50": round(statistics.median(m / s for m, s in zip(metered[name], measured, strict=True)), 5),
                **quantiles_ms(measured),
                "rounds": len(measured),
                "dtype": "float32",
            }
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--length", type=int, default=2048)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    written = []
    for model_name, model in (("SmolLM2-135M, 4 layers", smollm2(4)), ("Kimi K2 nano", kimi_k2_nano())):
        model.to(device).train()
        variants, meter = capture_variants(model, 1, arguments.length)
        timed = interleaved(variants, arguments.rounds, meter)
        written += rows("capture", model_name, f"1x{arguments.length} tokens", "no capture", *timed)
    append_rows("overhead", written)
    for row in written:
        said = f"{row['ratio_p50']:.3f}x, {row['share_p50']:.2%} in capture"
        print(f"{row['question']:8} {row['model']:24} {row['variant']:18} {said}")


if __name__ == "__main__":
    main()
