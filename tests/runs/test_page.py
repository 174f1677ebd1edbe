"""The page of a run is whole, needs nothing from elsewhere, and its numbers are the log's."""

import json
import math
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from error_messages import naming
from run_logs import LOGS, write_log

from hf_muonclip.cli import main
from hf_muonclip.runs.charts import Scale, line, marks, number, scale_of, thinned
from hf_muonclip.runs.page import render_page
from hf_muonclip.runs.run import Run
from hf_muonclip.runs.verdict import verdict

VOID = {"meta", "link", "br", "img", "hr", "input"}
CARDS = Path(__file__).parents[2] / "model_cards"


def page_source(run: Path) -> str:
    return render_page(Run.load(run))


class Page(HTMLParser):
    """Tags must close in the order in which they opened; the titles of the maps and all text are kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.text: list[str] = []
        self.resources: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.resources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["title"] and "rect" in self.open:
            self.titles.append(data)
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)


def page_of(run: Path) -> tuple[Page, str]:
    html = page_source(run)
    page = Page(html)
    assert page.open == []
    assert page.resources == []
    assert "://" not in html
    assert "nan" not in re.sub(r"</?\w+", "", html.partition("<script>")[2])
    return page, " ".join(" ".join(page.text).split())


def test_the_maps_show_the_latest_and_the_highest_logit_of_every_head(tmp_path: Path) -> None:
    page, _ = page_of(write_log(tmp_path, LOGS))
    latest = ["0.0 at most tau, or it never ran", "0.1 9.5", "1.0 10.25", "1.1 28.5"]
    peak = ["0.0 6.5", "0.1 9.5", "1.0 10.25", "1.1 41.38"]
    assert page.titles == latest + peak


def test_the_page_says_what_happened(tmp_path: Path) -> None:
    losses = [3.0, None, 1.5]
    settings = {"run": {"optimizer": {"momentum": "0.95 <b>"}, "hardware": "an abacus", "versions": {"torch": "2.99"}}}
    _, text = page_of(
        write_log(
            tmp_path, LOGS, losses=losses, model_name="tiny/model", started="2026-03-04T05:06:07+00:00", **settings
        )
    )
    assert "tiny/model" in text
    assert re.search(naming("step 20", "step 30"), text)
    assert re.search(naming("Not finite", 1), text)
    assert "0.95 <b>" in text
    assert "an abacus" in text
    assert "2026-03-04 05:06 UTC" in text
    assert "2.99" in text
    assert re.search(r"1 1 41\.38 1 11–20 11–20 rogue model\.layers\.1\.self_attn", text)


def test_the_page_tells_no_path_of_this_machine(tmp_path: Path) -> None:
    html = page_source(write_log(tmp_path / "run", LOGS, model_name="/home/someone/models/tiny"))
    assert "tiny" in html
    assert "someone" not in html


def test_the_curves_for_the_pointer_are_the_logs_own(tmp_path: Path) -> None:
    html = page_source(write_log(tmp_path, LOGS, losses=[3.0, None, 1.5]))
    series = [json.loads(found) for found in re.findall(r'"series": (\{.*?\})', html)]
    assert series == [{"highest max logit": [20.0, 41.375, 28.5]}, {"training loss": [3.0, None, 1.5]}]


def test_every_layer_has_a_colour_of_its_own(tmp_path: Path) -> None:
    html = page_source(write_log(tmp_path, [[[1.0 + layer] for layer in range(8)]] * 2))
    strokes = re.findall(r'class="line" style="stroke:(#\w+)"', html)
    assert len(strokes) == len(set(strokes)) == 8


@pytest.mark.parametrize(
    ("logs", "threshold", "losses"),
    [
        ([[[1.0, 2.0]]], 30.0, []),  # one layer, one row, no loss
        ([[[None, None]], [[None, None]]], math.inf, [1.0, 2.0]),
        ([[[-3.0, -1.0]]], 100.0, [None]),
        ([[[0.0], [0.0, 1e5]]], 100.0, [1.0]),  # ragged, exploding
        ([[[float(h + i) for h in range(12)] for _ in range(10)] for i in range(500)], 200.0, [2.0] * 500),
    ],
)
def test_pages_of_odd_runs(tmp_path: Path, logs: list, threshold: float, losses: list) -> None:
    page, text = page_of(write_log(tmp_path, logs, threshold, losses))
    assert len(page.titles) == 2 * sum(len(heads) for heads in logs[0])
    assert ("Loss" in text) == bool(losses)


def test_a_large_models_page_stays_small(tmp_path: Path) -> None:
    logs = [[[float((7 * h + layer + i) % 40) for h in range(64)] for layer in range(61)] for i in range(12)]
    run = write_log(tmp_path, logs)
    assert len(page_source(run)) < 1_500_000


def test_verdicts(tmp_path: Path) -> None:
    def said(name: str, logs: list, threshold: float = 30.0) -> str:
        return verdict(Run.load(write_log(tmp_path / name, logs, threshold)))

    assert re.search(naming("Still clipping", "1 head", "step 20"), said("still", LOGS[:2]))
    assert re.search(naming("No head", "tau = 50", "step 30"), said("never", LOGS, 50.0))
    assert "measured" in said("monitored", LOGS, math.inf)
    run = Run.load(write_log(tmp_path / "exact", LOGS))
    assert re.search(naming("step 17"), verdict(replace(run, last_clip_step=17)))


@pytest.mark.parametrize(("peak", "advises"), [(29.0, False), (30.0, False), (31.0, True)])
def test_the_verdict_sends_to_inspect_where_a_head_above_tau_was_not_clipped(
    peak: float, advises: bool, tmp_path: Path
) -> None:
    run = Run.load(write_log(tmp_path, [[[peak, 1.0]]], 30.0))
    run = replace(run, clips=[torch.zeros_like(clips) for clips in run.clips], last_clip=None)
    sentence = verdict(run)
    assert re.search(naming("No head", number(peak)), sentence)
    assert ("hf-muonclip inspect" in sentence) == advises


def test_old_logs_take_losses_and_settings_from_the_trainers_state() -> None:
    _, text = page_of(CARDS / "kimi-k2-nano" / "clipped")
    assert re.search(naming("step 258", "7 logs", "step 300"), text)
    assert "evaluation 4.15" in text
    assert "cosine, 20 warm-up steps" in text


def test_a_state_of_another_run_does_not_count(tmp_path: Path) -> None:
    run = write_log(tmp_path, LOGS, losses=[3.0, 2.0, 1.5])
    rows = [{"step": 20, "loss": 77.0, "qk_clip/max_logit": 41.375}, {"step": 40, "loss": 88.0}]
    (run / "trainer_state.json").write_text(json.dumps({"global_step": 40, "log_history": rows}))
    assert "88" in page_of(run)[1]
    rows[0]["qk_clip/max_logit"] = 12.0
    (run / "trainer_state.json").write_text(json.dumps({"global_step": 40, "log_history": rows}))
    assert "88" not in page_of(run)[1]


def test_every_clipped_head_is_listed_with_its_steps(tmp_path: Path) -> None:
    # Of 40 logs head 0.0 is clipped before eight, 0.1 before the first alone, 0.2 before none.
    logs = [[[40.0 if 10 <= i < 18 else 1.0, 35.0 if i == 0 else 2.0, 3.0]] for i in range(40)]
    run = write_log(tmp_path, logs)

    def listed() -> list[str]:
        found = page_of(run)[1].partition("first last module ")[2]
        return re.findall(r"(0 \d \S+ \d+ .*?) model\.layers", found)

    assert listed() == ["0 0 40 8 101–110 171–180 rogue", "0 1 35 1 1–10 1–10"]
    figures = {"clips": [8, 1, 0], "highest_max_logit": [40.0, 35.0, 3.0]}
    figures |= {"first_clip_step": [103, 7, None], "last_clip_step": [175, 7, None]}
    kept = {
        "MuonClipCallback": {"args": {}, "attributes": {"exported_statistics": {"model.layers.0.self_attn": figures}}}
    }
    state = {"global_step": 400, "log_history": [], "stateful_callbacks": kept}
    (run / "trainer_state.json").write_text(json.dumps(state))
    assert listed() == ["0 0 40 8 103 175 rogue", "0 1 35 1 7 7"]
    # Saved at step 176, the state does not know of a last clip in 177 to 180.
    (run / "trainer_state.json").write_text(json.dumps({**state, "global_step": 176}))
    assert listed() == ["0 0 40 8 103 171–180 rogue", "0 1 35 1 7 7"]


def test_the_raster_has_a_row_a_clipped_head_or_a_layer_where_these_are_many(tmp_path: Path) -> None:
    _, few = page_of(write_log(tmp_path / "few", [[[1.0] * 70, [1.0] * 69 + [40.0]], [[40.0] + [1.0] * 69] * 2]))
    assert " 0.0 1.0 1.69 " in few
    _, many = page_of(write_log(tmp_path / "many", [[[40.0] * 70] * 2]))
    assert re.search(r"layer\b.* 0 1 ", many)


def test_of_many_clipped_heads_the_most_clipped_are_listed(tmp_path: Path) -> None:
    _, text = page_of(write_log(tmp_path, [[[40.0] * 64], [[40.0] * 63 + [50.0]]]))
    assert text.count(" rogue model.layers.0.self_attn") == 50
    assert "0 63 50 2 1–10 11–20 rogue" in text
    assert "14 more" in text


def test_spectra_are_drawn(tmp_path: Path) -> None:
    run = write_log(tmp_path, LOGS)
    weights = {"q.weight": [[4.0, 2.0, 0.0], []], "k.weight": [[0.5, 0.25]]}
    rows = [{"step": step, "spectra": weights} for step in (0, 30)]
    (run / "spectra.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, text = page_of(run)
    assert all(name in text for name in weights)
    assert "2 matrices" in text
    for stroke in ("var(--muted)", "var(--loss)"):  # the first record, and the last
        assert page_source(run).count(f'class="line" style="stroke:{stroke}"') == 2


# ------------------------------------------------------------------------------------------------------- the command


def test_the_command_writes_a_page_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_log(tmp_path / "run", LOGS, losses=[3.0, None, 1.5])
    assert main(["report", str(run), "--output", str(tmp_path / "out")]) == 0
    names = ["report.html", "training.png", "heads.png"]
    assert capsys.readouterr().out.split() == [str(tmp_path / "out" / name) for name in names]
    for name in names[1:]:
        assert (tmp_path / "out" / name).read_bytes()[:4] == b"\x89PNG"


def test_without_matplotlib_there_is_a_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = write_log(tmp_path, LOGS)
    assert main(["report", str(run)]) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [str(run / "report" / "report.html")]
    assert "matplotlib" in printed.err


def test_what_cannot_be_reported_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: str) -> str:
        assert main(["report", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err

    assert "nowhere" in refused(str(tmp_path / "nowhere"))
    assert re.search(naming("qk_clip.jsonl", tmp_path), refused(str(tmp_path)))
    assert str(tmp_path / "empty") in refused(str(write_log(tmp_path / "empty", [], finished=False)))
    (tmp_path / "file").write_text("")
    run = write_log(tmp_path / "run", LOGS)
    assert "file" in refused(str(run), "--output", str(tmp_path / "file"))
    write_log(tmp_path / "two", [*LOGS, [[1.0]]])
    assert "step 40" in refused(str(tmp_path / "two"))


# ---------------------------------------------------------------------------------------------------------- geometry


def test_scales_ticks_and_paths() -> None:
    x, y = Scale(0, 10), scale_of([0.0, 50.0], zero=True)
    assert Scale(0, 100).ticks() == [(0, "0"), (20, "20"), (40, "40"), (60, "60"), (80, "80"), (100, "100")]
    assert [text for _, text in Scale(1, 1000, log=True).ticks()] == ["1", "10", "100", "1,000"]
    assert y.low == 0
    assert y.high == 54
    assert line([(0, 0.0), (5, math.nan), (10, 54.0)], x, y) == "M0 1000h6M1000 0h6"
    assert line([(0, 0.0), (10, 54.0)], x, y) == "M0 1000L1000 0"
    assert marks([[1.0, 1.0, 0.0, 0.2]], [0, 0.25, 0.5, 0.75, 1], 4, 4) == "M0 0h500v1000h-500z"


def test_thinning_keeps_the_peaks() -> None:
    points = [(float(i), 1000.0 if i == 777 else -5.0 if i == 41 else float(i % 3)) for i in range(10_000)]
    kept = thinned(points, 100)
    assert len(kept) <= 100
    assert {(777.0, 1000.0), (41.0, -5.0)} <= set(kept)


def test_numbers_as_people_read_them() -> None:
    assert [number(v) for v in (1234.5, 33.3948, 0.00012, math.nan, math.inf)] == [
        "1,234",
        "33.39",
        "0.00012",
        "–",
        "inf",
    ]
