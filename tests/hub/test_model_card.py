"""Cards say what the run measured, nothing else, and their code runs as copied."""

import math
import re
from dataclasses import replace

import pytest
from error_messages import naming
from fresh_process import run_python
from huggingface_hub import ModelCard
from tiny_models import tiny_model, tiny_tokenizer

from hf_muonclip.evaluation import EvaluationData, Perplexity
from hf_muonclip.export import save_checkpoint
from hf_muonclip.hub.model_card import render_model_card
from hf_muonclip.runs.figures import ClipFigures, RunFigures

# --- the card ----------------------------------------------------------------------------------------------------

RUN = RunFigures(
    dataset="Shakespeare's plays",
    tokens=4_915_200,
    steps=1200,
    seconds=492.4,
    hardware="2 CPU cores",
    seed=7,
    train_loss=3.45678,
    eval_loss=3.6,
    eval_loss_before=8.3,
    emissions_grams=12.3456,
    optimizer={"lr": 0.00019999999, "nesterov": True},
    versions={"torch": "2.13.0"},
)
CLIP = ClipFigures(
    threshold=100.0,
    heads=16,
    heads_clipped=5,
    clips=1044,
    first_step=120,
    last_step=1010,
    steps=1200,
    highest_max_logit=131.27,
)


def test_card_shows_every_figure_of_the_run():
    card = render_model_card(tiny_model("deepseek_v3"), "Tiny K2", run=RUN, clip=CLIP, command="python train.py")
    for line in (
        "| Data | Shakespeare's plays |",
        "| Tokens | 4.92M |",
        "| Steps | 1,200 |",
        "| Time | 8 min 12 s |",
        "| Tokens per second | 9,982 |",
        "| Hardware | 2 CPU cores |",
        "| Seed | 7 |",
        "| Emissions | 12.3 g of CO2-equivalent |",
        "| Training loss at the last log | 3.457 |",
        "| lr | 0.0002 |",
        "| nesterov | True |",
        "| torch | 2.13.0 |",
        "| Before training | 8.300 | 4,023.87 |",
        "| After training | 3.600 | 36.60 |",
        "python train.py",
    ):
        assert line in card.text
    (clip,) = re.findall(r"^.*\(tau\).*$", card.text, re.MULTILINE)
    assert re.search(naming(100, 131.3, "5 of 16", "31.2%", "1,044", "step 120", "step 1,010", "1,200", 190), clip)
    assert all(source in card.text for source in ("2507.20534", "2502.16982", "kellerjordan.github.io/posts/muon"))


def test_card_leaves_out_what_is_unknown():
    card = render_model_card(tiny_model("llama_gqa"), "Tiny")
    assert re.findall(r"^## .*", card.text, re.MULTILINE) == ["## How to load", "## Architecture", "## Citation"]
    assert "None" not in card.content
    assert set(card.data.to_dict()) == {"library_name", "pipeline_tag", "tags"}


def test_card_says_that_nothing_was_clipped():
    quiet = ClipFigures(threshold=100.0, heads=8, heads_clipped=0, highest_max_logit=12.0)
    card = render_model_card(tiny_model("llama_gqa"), "Tiny", clip=quiet)
    assert re.search(naming("12.0", "None", "8 heads"), card.text)


@pytest.mark.parametrize(
    ("figures", "named", "unnamed"),
    [
        ({"last_step": 1200}, ("step 120", "step 1,200"), "190"),
        ({"threshold": math.inf}, ("measured", 131.3), "step 120"),
        ({"steps": None}, ("step 120", "step 1,010"), "190"),
    ],
)
def test_card_says_when_clipping_ceased(figures, named, unnamed):
    card = render_model_card(tiny_model("llama_gqa"), "Tiny", clip=replace(CLIP, **figures))
    assert re.search(naming(*named), card.text)
    assert not re.search(naming(unnamed), card.text)


@pytest.mark.parametrize(
    ("figures", "optimizer", "clips"),
    [
        ({"run": RUN, "clip": CLIP}, "MuonClip", True),
        ({"run": RUN}, "MuonClip", False),
        ({"run": RUN, "clip": replace(CLIP, threshold=math.inf)}, "MuonClip", False),
        ({"run": replace(RUN, optimizer={"optimizer": "Muon"}), "clip": CLIP}, "Muon", True),
        ({"run": replace(RUN, optimizer={"optimizer": "AdamW"})}, "AdamW", None),
        ({}, "MuonClip", None),
    ],
)
def test_card_says_what_the_model_was_trained_with(figures, optimizer, clips):
    card = render_model_card(tiny_model("llama_gqa"), "Tiny", **figures)
    (sentence,) = re.findall(r"^.*trained with .*$", card.text, re.MULTILINE)
    assert re.search(naming(optimizer), sentence)
    assert ("QK-Clip" in sentence) == (clips is not None)
    assert ("without" in sentence) == (clips is False)


def test_card_has_evaluations_in_its_table_and_model_index():
    data = EvaluationData(name="plays | held out", hub_id="owner/plays")
    perplexity = Perplexity(
        data=data,
        loss=3.0,
        loss_standard_error=0.1,
        standard_error_over="documents",
        bits_per_byte=1.25,
        document_losses=(3.0, 3.0),
        tokens=500,
        context_length=64,
        stride=32,
    )
    card = render_model_card(tiny_model("llama_gqa"), "Tiny", run=RUN, evaluations=[perplexity])
    assert "| Perplexity | plays \\| held out | 20.09 ± 2 |" in card.text
    results = card.data.to_dict()["model-index"][0]["results"]
    found = {(result["dataset"]["type"], m["type"]): m["value"] for result in results for m in result["metrics"]}
    assert found == {("owner/plays", "perplexity"): 20.0855, ("owner/plays", "bits_per_byte"): 1.25}


def test_card_describes_the_architecture():
    card = render_model_card(tiny_model("deepseek_v3"), "Tiny K2")
    config = tiny_model("deepseek_v3").config
    rows = dict(re.findall(r"^\| ([\w ]+) \| (.*) \|$", card.text, re.MULTILINE))
    experts = (config.n_routed_experts, config.num_experts_per_tok, config.n_shared_experts)
    assert re.search(naming(*experts), rows["Experts"])
    assert re.search(naming(config.q_lora_rank, config.kv_lora_rank), rows["Attention"])
    dense = render_model_card(tiny_model("llama_gqa"), "Tiny").text
    assert "Experts" not in dense
    assert re.search(r"^\| Attention \| .*\b2\b", dense, re.MULTILINE)


def test_card_metadata_parses(tmp_path):
    model = tiny_model("llama_gqa")
    card = render_model_card(
        model, "Tiny", run=RUN, license="mit", datasets=["owner/plays"], base_model="owner/base", language="en"
    )
    folder = save_checkpoint(model, tmp_path / "run", card=card)
    data = ModelCard.load(folder / "README.md").data.to_dict()
    assert data["tags"] == ["muonclip", "muon", "qk-clip"]
    assert (data["library_name"], data["pipeline_tag"], data["license"]) == ("transformers", "text-generation", "mit")
    assert (data["datasets"], data["base_model"], data["language"]) == (["owner/plays"], "owner/base", "en")
    (entry,) = data["model-index"]
    (result,) = entry["results"]
    assert entry["name"] == "Tiny"
    assert result["dataset"] == {"name": "Shakespeare's plays", "type": "owner/plays"}
    assert result["metrics"] == [{"type": "perplexity", "name": "Perplexity", "value": round(math.exp(3.6), 4)}]
    assert data["co2_eq_emissions"] == {
        "emissions": 12.3456,
        "source": "codecarbon",
        "training_type": "fine-tuning",
        "hardware_used": "2 CPU cores",
    }


@pytest.mark.parametrize(
    "text", ["a: b # [c", "---\nlicense: evil\n---", "\"'{}", "- x\n\t: |", "!!python/object:os.system", "\u2028 é ☃"]
)
def test_text_that_would_break_yaml_is_kept(text, tmp_path):
    model = tiny_model("llama_gqa")
    run = RunFigures(dataset=text, eval_loss=1.0)
    card = render_model_card(model, text, run=run, license=text, base_model=text, limitations=[text])
    data = ModelCard.load(save_checkpoint(model, tmp_path / "run", card=card) / "README.md").data.to_dict()
    assert (data["license"], data["base_model"]) == (text, text)
    assert data["model-index"][0]["name"] == " ".join(text.split())
    assert data["model-index"][0]["results"][0]["dataset"]["name"] == text
    assert data["library_name"] == "transformers"


def test_table_cells_stay_in_their_cells():
    card = render_model_card(tiny_model("llama_gqa"), "Tiny", run=RunFigures(dataset="a | b\nc"))
    assert "| Data | a \\| b c |" in card.text


PROMPTS = ["w5 w6", 'say "w7"\n\\', None]


@pytest.fixture(scope="module")
def outputs_of_card_code(tmp_path_factory):
    """What the code of each prompt's card prints: one after the other in one fresh process, which imports once."""
    folder, model = tmp_path_factory.mktemp("cards"), tiny_model("deepseek_v3")
    for index, prompt in enumerate(PROMPTS):
        card = render_model_card(model, "Tiny", prompt=prompt)
        run = save_checkpoint(model, folder / f"run-{index}", tokenizer=tiny_tokenizer(), card=card)
        (code,) = re.findall(r"```python\n(.*?)```", (run / "README.md").read_text(), re.DOTALL)
        (run / "code.py").write_text(code)
    one_by_one = f"""
import os, runpy
for index in range({len(PROMPTS)}):
    os.chdir(f"{folder}/run-{{index}}")
    runpy.run_path("code.py", run_name="__main__")
    print("END OF CARD")
"""
    return dict(zip(PROMPTS, run_python(one_by_one, folder).split("END OF CARD\n"), strict=False))


@pytest.mark.parametrize("prompt", PROMPTS)
def test_card_code_runs_as_copied(prompt, outputs_of_card_code):
    output = outputs_of_card_code[prompt]
    assert ("DeepseekV3ForCausalLM" in output) if prompt is None else ("w" in output)
