"""The table of what rephrasing takes as documents become more, from the newest rows of the benchmark."""

import json
from pathlib import Path

ROWS = Path(__file__).parent / "results" / "rephrase_scale.jsonl"


def newest_rows() -> list[dict]:
    """Return the last row of every way and number of documents, ways in the order of the first run."""
    newest = {}
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        newest[row["way"], row["documents"]] = row
    ways = [*dict.fromkeys(way for way, _ in newest)]
    return sorted(newest.values(), key=lambda row: (ways.index(row["way"]), row["documents"]))


def report(rows: list[dict]) -> str:
    """Return the section."""
    measured = {(row["commit"], row["date"], row["device"], row["processors"]) for row in rows}
    said = "; ".join(f"commit {one}, {date}, {device}, {count} cores" for one, date, device, count in sorted(measured))
    lines = [
        "Documents of lognormal lengths, 330 characters in the median, one rephrasing of each by a rule "
        "that takes next to no time. Memory is resident, at its peak, in MiB, of the main process and of the largest "
        "of those that it started; in brackets, without the pages of files that are mapped, which the system takes "
        "back when it needs them (`datasets` maps its tables). The machine was shared with other work: **memory is the "
        f"answer here, speeds are a lower bound.** {said}.",
        "",
        "| | Documents | Per second | Output per document | Main process | Largest other |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        others = [*zip(row["others_mib"], row["others_anonymous_mib"], strict=True)]
        other = f"{others[0][0]:.0f} ({others[0][1]:.0f})" if others else ""
        lines.append(
            f"| {row['way']} | {row['documents']:,} | {row['documents'] / row['seconds']:,.0f} "
            f"| {row['output_bytes'] / row['documents']:,.0f} bytes "
            f"| {row['main_mib']:.0f} ({row['main_anonymous_mib']:.0f}) | {other} |"
        )
    return "\n".join(lines) + "\n"
