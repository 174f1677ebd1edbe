"""Every figure of a run's page is what the rows say; texts are shown as they are and do nothing."""

import json
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from html_page import Node, parsed
from number_gate import NumberVerdict
from rule_generator import RuleGenerator
from test_report_survey import rows_of, write_run

from hf_muonclip.synth import Rephraser, run_rephrasing, write_report
from hf_muonclip.synth.report.page import lasting, money, render_page, share
from hf_muonclip.synth.report.survey import OfStyle, Placed, Survey, survey

PRICE = (0.5, 2.0)
HOSTILE = '<script>alert("1803")</script> & <img src=x onerror=alert(2)> said </p></details> "so" \'and\' \x0b\x85.'
RIGHT_TO_LEFT = "عاد القبطان إلى الميناء ومعه سبعة رجال وكلب واحد فقط."


def page_of(html: str) -> Node:
    page = parsed(html)
    assert not page.all("script")
    assert "://" not in html
    assert not [node for node in page.all() if node.attributes.keys() & {"src", "href", "srcset", "onerror", "onload"}]
    assert not re.search(r"\bnan\b|\binf\b", page.one("body").text)
    return page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def page(run: Path) -> Node:
    path = write_report(run, price=PRICE)
    assert path == run / "report.html"
    return page_of(path.read_text(encoding="utf-8"))


def tiles(page: Node) -> dict[str, tuple[str, str]]:
    found = [[part.text for part in tile.inside if isinstance(part, Node)] for tile in page.all(class_="tile")]
    return {name: (value, remark) for name, value, remark in found}


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}%".replace(".0%", "%")


def test_the_headline_is_what_the_rows_say(page: Node, run: Path) -> None:
    rows = rows_of(run)
    kept = [row for row in rows if row["kept"]]
    with_kept = len({row["source_id"] for row in kept})
    chunks, of = (sum(len(row["chunks"]) for row in some) for some in (kept, rows))
    new, kept_tokens = (sum(row["new_tokens"] for row in some) for some in (rows, kept))
    found = tiles(page)
    assert found["documents"] == ("40", f"{percent(with_kept, 40)} with a kept rephrasing")
    assert found["rephrasings kept"] == (percent(len(kept), 120), f"{len(kept)} of 120")
    assert found["chunks kept"] == (percent(chunks, of), f"{chunks} of {of}")
    assert found["new tokens kept"][0] == percent(kept_tokens, new)
    read = sum(row["prompt_tokens"] for row in rows)
    assert found["cost"][0] == f"{(read * 0.5 + new * 2) / kept_tokens:,.2f}"


def summary(kind: Node) -> list[str]:
    (line, *_) = kind.all("summary")
    return [part.text for part in line.inside if isinstance(part, Node) and part.attributes.get("class") != "bar"]


def test_kinds_have_their_counts_shares_tokens_and_examples(page: Node, run: Path) -> None:
    rows = rows_of(run)
    causes = Counter(row["cause"] or "kept" for row in rows)
    kinds = {node.attributes["data-kind"]: node for node in page.all("details") if "data-kind" in node.attributes}
    assert next(iter(kinds)) == "kept"
    assert kinds.keys() == causes.keys()
    for name, kind in kinds.items():
        tokens = sum(row["new_tokens"] for row in rows if (row["cause"] or "kept") == name)
        assert summary(kind) == [name, f"{causes[name]}", percent(causes[name], len(rows)), f"{tokens:,}"]
        assert 1 <= len(kind.all("article")) <= 3
        assert len(kind.all(class_="pair")) == (0 if name in ("empty", "binary") else len(kind.all("article")))
    (check,) = (node for node in kinds["unfaithful"].all("details") if "data-check" in node.attributes)
    assert check.attributes["data-check"] == "numbers"
    assert summary(check)[:3] == ["numbers", f"{causes['unfaithful']}", "100%"]


def test_examples_mark_what_only_one_side_has(page: Node) -> None:
    (check,) = (node for node in page.all("details") if node.attributes.get("data-check") == "numbers")
    for pair in check.all(class_="pair"):
        gone, come = (pair.one(class_=name) for name in ("gone", "come"))
        assert {number for mark in gone.all("mark") for number in re.findall(r"\d+", mark.text)} - {"0"}
        assert "0" in {word for mark in come.all("mark") for word in mark.text.split()} | {
            number for mark in come.all("mark") for number in re.findall(r"\d+", mark.text)
        }


def test_tokens_and_cost_are_told_for_the_run_and_per_kept_token(page: Node, run: Path) -> None:
    rows, kept = rows_of(run), sum(row["new_tokens"] for row in rows_of(run) if row["kept"])
    read, new = (sum(row[name] for row in rows) for name in ("prompt_tokens", "new_tokens"))
    seconds = sum(float(line.split()[1]) for line in (run / "seconds.log").read_text().splitlines())
    told = {row[0]: row[1:] for row in page.one("section", id="costs").rows()[1:]}
    assert told["prompt tokens"] == [f"{read:,}", f"{1000 * read / kept:,.0f}"]
    assert told["new tokens"] == [f"{new:,}", f"{1000 * new / kept:,.0f}"]
    assert told["kept tokens"] == [f"{kept:,}", "1,000"]
    assert told["generation"] == [lasting(seconds), lasting(1000 * seconds / kept)]
    assert told["cost at 0.5 and 2 per million prompt and new tokens"][0] == money((read * 0.5 + new * 2) / 1e6)


def test_styles_duplicates_and_settings_are_told(page: Node, run: Path) -> None:
    rows = rows_of(run)
    table = page.one("section", id="styles").rows()[1:]
    assert {name.replace(" ", "_") for name, *_ in table} == {row["style"] for row in rows}
    for name, count, kept, length, novelty in table:
        own = [row for row in rows if row["style"] == name.replace(" ", "_")]
        passed = sum(row["kept"] for row in own)
        assert (count, kept) == (f"{len(own)}", percent(passed, len(own)))
        assert passed == 0 or (float(length) > 1.2 and float(novelty.rstrip("%")) > 80)
    repeats = {row[0]: row[1:] for row in page.one("section", id="repeats").rows()[1:]}
    assert repeats["documents"] == ["38", "38", "2", "5.3%"]
    assert len(page.one("details", data_repeats="documents").all("article")) == 2
    told = dict(page.one("section", id="run").rows())
    assert told["inputs"] == "documents.jsonl"
    assert told["gate"] == "number_gate.same_numbers"
    assert told["chunk size"] == "250"


def starts(path: str) -> int:
    return path.count("M")


def test_the_picture_has_every_rephrasing_once_and_a_line_to_its_document(page: Node, run: Path) -> None:
    rows = [row for row in rows_of(run) if row["rewritten"]]
    picture = page.one("svg", class_="scatter")
    dots, crosses, lines = (picture.one("g", class_=name).all("path") for name in ("dots", "crosses", "links"))
    assert sum(starts(path.attributes["d"]) for path in dots) == sum(row["kept"] for row in rows)
    assert sum(starts(path.attributes["d"]) for path in crosses) == sum(not row["kept"] for row in rows)
    assert sum(starts(path.attributes["d"]) for path in lines) == len(rows)
    assert len({path.attributes["style"] for path in lines}) == len({row["style"] for row in rows})
    documents = len({"".join(row["chunks"])[:4000].strip() for row in rows})
    assert starts(picture.one("path", class_="sources").attributes["d"]) == documents
    for path in picture.all("path"):
        for x, y in re.findall(r"[ML](-?[\d.e+]+) (-?[\d.e+]+)", path.attributes["d"]):
            assert 0 <= float(x) <= 720
            assert 0 <= float(y) <= 440


def write_texts(folder: Path, texts: list[Any], gate: Any = None) -> Path:
    path = folder / "docs.jsonl"
    path.write_text(
        "".join(f"{json.dumps({'text': text, 'id': f'<i>{n}</i> & co'})}\n" for n, text in enumerate(texts))
    )
    made = Rephraser(RuleGenerator(), gate=gate, id_column="id")
    run_rephrasing([path], folder / "out", made)
    return folder / "out"


def test_texts_do_nothing_on_the_page(tmp_path: Path) -> None:
    plain = "The ship left the harbour and the crew was glad of it. "
    texts = [plain + HOSTILE, plain + "W" * 5000 + " was there.", RIGHT_TO_LEFT * 3]
    html = write_report(write_texts(tmp_path, texts)).read_text(encoding="utf-8")
    page = page_of(html)
    shown = page.one("section", id="kinds")
    assert '<script>alert("1803")</script>' in shown.text
    assert "<i>0</i> & co" in shown.text
    assert "القبطان" in shown.text
    assert "W" * 80 in shown.text
    assert "W" * 200 not in shown.text
    assert not re.search("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]", html)
    for paragraph in (node for pair in page.all(class_="pair") for node in pair.all("p")):
        assert paragraph.attributes["dir"] == "auto"


@pytest.mark.parametrize("texts", [[], [""], ["", None, "a\0\1" * 50]], ids=["nothing", "empty", "odd"])
def test_runs_without_anything_kept_have_a_page(texts: list[Any], tmp_path: Path) -> None:
    page = page_of(write_report(write_texts(tmp_path, texts), price=PRICE).read_text(encoding="utf-8"))
    assert tiles(page)["rephrasings kept"] == ("0%" if texts else "–", f"0 of {len(texts)}")
    assert not page.all("svg")
    assert "cost" not in tiles(page)


def test_a_run_that_drops_everything_has_a_picture_of_crosses(tmp_path: Path) -> None:
    def refuse(source: str, rewritten: str) -> NumberVerdict:
        return NumberVerdict(False, {"mine": 0.0}, ["<b>never</b>"])

    page = page_of(write_report(write_texts(tmp_path, ["The ship left the harbour in the night."], refuse)).read_text())
    assert tiles(page)["rephrasings kept"] == ("0%", "0 of 1")
    assert [node.attributes["data-check"] for node in page.all("details") if "data-check" in node.attributes] == [
        "other"
    ]
    assert page.one("li").text == "chunks[0]: <b>never</b>"
    assert not page.one("g", class_="dots").all("path")
    assert len(page.one("g", class_="crosses").all("path")) == 1


def test_an_unfinished_run_says_so(run: Path, tmp_path: Path) -> None:
    for name in ("manifest.json", "part-00000.parquet"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    told = page_of(render_page(survey(tmp_path))).one(class_="sub").text
    assert re.search(r"not finished: 5 of 40 documents, 1 shard$", told)
    assert "finished, 8 shards" in page_of(render_page(survey(run))).one(class_="sub").text


def test_a_page_tells_no_folder_of_this_machine(tmp_path: Path) -> None:
    manifest = {"generator": "transformers /home/someone/models/tiny 12ab float32 {}", "documents": 0}
    told = render_page(Survey(tmp_path / "out", manifest))
    assert "tiny 12ab" in told
    assert "someone" not in told
    assert str(tmp_path) not in told


def test_two_thousand_points_stay_small() -> None:
    draw = random.Random(0)
    found = Survey(Path("run"), {})
    found.counts.causes[""] = 50_000
    for number in range(1000):
        words = [draw.choice(["ship", "sail", "moon", "tide", "crew", "wind"]) + str(number % 7) for _ in range(12)]
        style = f"style {number % 12}"
        found.styles.setdefault(style, OfStyle()).rephrasings += 1
        found.placed.append(Placed(style, number % 3 > 0, f"{number} " + " ".join(words), " ".join(words[::-1])))
    html = render_page(found)
    assert len(html) < 200_000
    page = page_of(html)
    assert sum(starts(path.attributes["d"]) for path in page.one("g", class_="links").all("path")) == 1000
    assert starts(page.one("path", class_="sources").attributes["d"]) == 1000


def test_numbers_as_people_read_them() -> None:
    shares = [(0, 0), (0, 3), (1, 3), (1, 2), (3, 3), (1, 100_000), (99_999, 100_000)]
    assert [share(*pair) for pair in shares] == ["–", "0%", "33.3%", "50%", "100%", "<0.1%", ">99.9%"]
    assert [lasting(value) for value in (0.0421, 12.34, 200, 3599.7, 18_720)] == [
        "0.0421 s",
        "12.3 s",
        "3 min 20 s",
        "1 h 0 min",
        "5 h 12 min",
    ]
    assert [money(value) for value in (0, 0.00123, 3, 1234.5)] == ["0.00", "0.00123", "3.00", "1,234.50"]


def test_a_report_leaves_the_shards_as_they_were_and_the_folder_readable(run: Path) -> None:
    before = {path.name: path.read_bytes() for path in run.glob("part-*")}
    write_report(run)
    assert {path.name: path.read_bytes() for path in run.glob("part-*")} == before
    assert pyarrow.parquet.ParquetFile(run / "part-00000.parquet").metadata.num_rows == 15
