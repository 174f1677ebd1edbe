"""The pictures of the notebook, drawn from recorded runs alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgba
from matplotlib.figure import Figure
from PIL import Image
from recorded_runs import Recording, ToolRecording
from torch import Tensor, linalg

BLUE, ORANGE, RED, GREY = "#2467a4", "#e08214", "#c8102e", "#9aa3ab"
FRAME_MILLISECONDS = 60
LAST_FRAME_MILLISECONDS = 3000
FLASH_STEPS = 9  # that a clip stays visible in the animation

STYLE = {
    "figure.dpi": 80,
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}


def svd_entropy(matrix: Tensor) -> float:
    """Return Moonlight's SVD entropy (arXiv 2502.16982): 1 if all singular values are equal, 0 at rank 1."""
    energy = linalg.svdvals(matrix.double()).square()
    share = energy / energy.sum()
    return float(-(share * share.clamp_min(1e-30).log()).sum() / math.log(len(share)))


def plot_spectra(updates: Mapping[str, Mapping[str, Tensor]], matrix: str) -> Figure:
    """Draw the singular values of one matrix's update, and the SVD entropy of all: one colour an optimizer."""
    figure, (spectrum, entropies) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    for (label, matrices), color in zip(updates.items(), (ORANGE, BLUE), strict=True):
        values = linalg.svdvals(matrices[matrix])
        spectrum.semilogy(np.arange(1, len(values) + 1), values / values[0], color=color, linewidth=2.5, label=label)
        entropies.plot(
            [svd_entropy(update) for update in matrices.values()], "o", color=color, markersize=6, label=label
        )
    spectrum.set(
        title=f"One update of {matrix}", xlabel="singular value, from the largest", ylabel="share of the largest"
    )
    entropies.set(title="SVD entropy of one update", xlabel="matrix", ylim=(-0.15, 1.05))
    spectrum.legend()
    entropies.legend(loc="lower left")
    return figure


def plot_runs(runs: Mapping[str, Recording], tau: float | None = None) -> Figure:
    """Draw the highest max logit and the loss of one or two runs, and tau where it is given."""
    figure, (logits, losses) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for (label, run), color in zip(runs.items(), (RED, BLUE), strict=False):
        steps = np.arange(1, len(run.losses) + 1)
        logits.plot(steps, run.highest, color=color, linewidth=2.5, label=label)
        losses.plot(steps, run.losses, color=color, linewidth=1.5, label=label)
    if tau is not None:
        logits.axhline(tau, color="black", linestyle="--", linewidth=1.2, label=f"tau = {tau:g}")
    logits.set(title="Highest max logit of all heads", xlabel="step", ylim=(0, None))
    losses.set(title="Training loss, nats a character", xlabel="step")
    logits.legend()
    losses.legend()
    return figure


def plot_heads(run: Recording) -> Figure:
    """Draw every head's max logit over the run, and at its end by layer; heads above 1.5 times the median in red."""
    figure, (curves, ends) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    steps, layers, heads = run.max_logits.shape
    bound = 1.5 * np.median(run.max_logits[-1])
    for layer in range(layers):
        ordered = run.max_logits[:, layer, np.argsort(run.max_logits[-1, layer])]  # (steps, heads)
        colors = np.where(ordered[-1] > bound, RED, GREY)
        for head in range(heads):
            curves.plot(np.arange(1, steps + 1), ordered[:, head], color=colors[head], linewidth=1)
        ends.bar(layer + (np.arange(heads) - (heads - 1) / 2) * 0.1, ordered[-1], width=0.08, color=colors)
    for axes in (curves, ends):
        axes.axhline(bound, color="black", linestyle="--", linewidth=1.2)
        axes.set_ylim(0, None)
    curves.set(title="Max logit of every head", xlabel="step")
    ends.set(title="At the last step, heads in order", xlabel="layer", xticks=range(layers))
    return figure


def plot_choice(runs: Sequence[ToolRecording], last: int) -> Figure:
    """Draw accuracy and entropy against tau, means over the last steps; the run without a clip stands at the right."""
    figure, (accuracy, entropy) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    labels = [f"{run.tau:g}" if math.isfinite(run.tau) else "no\nclip" for run in runs]
    places = np.arange(len(runs))
    accuracy.plot(places, [run.accuracy[-last:].mean() for run in runs], "o-", color=BLUE, linewidth=2.5)
    entropy.plot(places, [run.entropy[-last:].mean() for run in runs], "o-", color=ORANGE, linewidth=2.5)
    entropy.axhline(math.log(runs[0].attention.shape[1]), color=GREY, linestyle="--", linewidth=1.2)
    entropy.annotate("all tools alike", (places[-1], math.log(runs[0].attention.shape[1])), ha="right", va="bottom")
    accuracy.set(title="Questions answered rightly", xlabel="tau", ylim=(0, 1.05), xticks=places, xticklabels=labels)
    entropy.set(title="Entropy of attention, nats", xlabel="tau", ylim=(0, 4.7), xticks=places, xticklabels=labels)
    return figure


def save_gif(figure: Figure, draw: Callable[[int], None], steps: int, frames: int, path: Path) -> None:
    """Write the frames that `draw` leaves in the figure for growing numbers of steps, all with one palette."""
    draw(steps)  # the texts of the last frame decide the layout, which then stays: frames must not jump
    figure.canvas.draw()
    figure.set_layout_engine("none")
    pictures = []
    for step in np.unique(np.linspace(1, steps, min(frames, steps)).round().astype(int)):
        draw(int(step))
        figure.canvas.draw()
        pictures.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB"))
    middle, end = pictures[len(pictures) // 2], pictures[-1]
    both = Image.new("RGB", (end.width, 2 * end.height))
    both.paste(middle, (0, 0))
    both.paste(end, (0, end.height))
    palette = both.quantize(64)  # the same colours in all frames: otherwise they flicker, and the file is larger
    pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=[FRAME_MILLISECONDS] * (len(pictures) - 1) + [LAST_FRAME_MILLISECONDS],
        loop=0,
    )
    plt.close(figure)


def animate_lifecycle(run: Recording, frames: int, path: Path) -> None:
    """Write the life of the clip: every head's max logit, the clips of every step, and the heads as a map."""
    steps, layers, heads = run.max_logits.shape
    figure = plt.figure(figsize=(9.6, 5.2), dpi=100, layout="constrained")
    (curves, heat), (bars, note) = figure.subplots(
        2, 2, gridspec_kw={"width_ratios": (1.9, 1), "height_ratios": (2.3, 1)}
    )
    every = np.arange(1, steps + 1)
    flat, flat_clips = run.max_logits.reshape(steps, -1), run.clips.reshape(steps, -1)
    colors = np.where(flat_clips.any(axis=0), ORANGE, GREY)  # orange: a head that is clipped at some time
    lines = [curves.plot([], [], color=color, linewidth=1)[0] for color in colors]
    flashes = curves.scatter([], [], s=45, linewidths=0, zorder=3)
    curves.axhline(run.tau, color="black", linestyle="--", linewidth=1.5)
    curves.annotate(f"tau = {run.tau:g}", (3, run.tau * 1.03), fontsize=14)
    curves.set(xlim=(0, steps), ylim=(0, flat.max() * 1.08), title="Max logit of every head", xticklabels=[])
    counts = flat_clips.sum(axis=1)
    columns = bars.stairs(np.zeros(steps), np.arange(steps + 1) + 0.5, fill=True, color=RED)
    bars.set(xlim=(0, steps), ylim=(0, counts.max() + 1), xlabel="step", title="Heads clipped in a step")
    image = heat.imshow(
        np.zeros((layers, heads)),
        cmap=LinearSegmentedColormap.from_list("heads", ("white", ORANGE)),
        vmin=0,
        vmax=run.tau,
    )
    marks = heat.scatter([], [], s=190, marker="s", facecolors="none", edgecolors=RED, linewidths=3)
    heat.set(title="Heads, by layer", xlabel="head", ylabel="layer", xticks=[], yticks=range(layers))
    note.axis("off")
    told = note.text(0.5, 0.55, "", ha="center", va="center", fontsize=17, linespacing=1.5)

    def draw(step: int) -> None:
        for head, line in enumerate(lines):
            line.set_data(every[:step], flat[:step, head])
        recent = range(max(0, step - FLASH_STEPS), step)
        clipped = [(now, head) for now in recent for head in np.flatnonzero(flat_clips[now])]
        flashes.set_offsets([(now + 1, flat[now, head]) for now, head in clipped] or np.empty((0, 2)))
        flashes.set_facecolors([to_rgba(RED, 1 - (step - 1 - now) / FLASH_STEPS) for now, _ in clipped])
        columns.set_data(np.where(every <= step, counts, 0))
        image.set_data(run.max_logits[step - 1])
        marked = sorted({head for _, head in clipped})
        marks.set_offsets([(head % heads, head // heads) for head in marked] or np.empty((0, 2)))
        told.set_text(f"step {step} of {steps}\n{_state_of_clip(run, step)}")

    save_gif(figure, draw, steps, frames, path)


def _state_of_clip(run: Recording, step: int) -> str:
    so_far = run.clips[:step].any(axis=(0, 1, 2))
    if not so_far:
        return "no clip yet"
    if step > run.last_clip:
        return f"silent since step {run.last_clip}"
    return f"{run.clips[:step].any(axis=0).sum()} heads clipped"


def animate_choice(runs: Sequence[ToolRecording], frames: int, path: Path) -> None:
    """Write how runs of different tau learn to choose: their attention over the tools, accuracy and logits."""
    colors = (ORANGE, BLUE, RED)
    steps, tools = runs[0].attention.shape
    figure = plt.figure(figsize=(9.6, 5.4), dpi=100, layout="constrained")
    grid = figure.add_gridspec(2, 6)
    figure.suptitle("Hypothetical: a toy that must choose one of 64 tools", fontsize=16)
    others, rights, titles = [], [], []
    for place, color in enumerate(colors):
        axes = figure.add_subplot(grid[0, 2 * place : 2 * place + 2])
        edges = np.arange(tools + 1) - 0.5
        others.append(axes.stairs(np.zeros(tools), edges, fill=True, color=GREY))
        rights.append(axes.stairs(np.zeros(1), edges[:2], fill=True, color=color))
        axes.set(ylim=(0, 1), xlim=(-2, tools), xticks=[], xlabel="tools, the right one first")
        titles.append(axes.set_title(""))
    accuracy, logits = figure.add_subplot(grid[1, :3]), figure.add_subplot(grid[1, 3:])
    smooth = [_running_mean(run.accuracy) for run in runs]
    curves = [_empty_lines(axes, runs, colors) for axes in (accuracy, logits)]
    top = max(run.highest.max() for run in runs)
    accuracy.set(xlim=(0, steps), ylim=(0, 1.05), xlabel="step", title="Questions answered rightly")
    logits.set(xlim=(0, steps), ylim=(0, top * 1.08), xlabel="step", title="Highest max logit")
    logits.legend(loc="upper left", fontsize=12)

    def draw(step: int) -> None:
        for place, run in enumerate(runs):
            others[place].set_data(run.attention[step - 1])
            rights[place].set_data(run.attention[step - 1, :1])
            titles[place].set_text(f"{_name(run.tau)}: {run.attention[step - 1, 0]:.0%} on the right tool")
            every = np.arange(1, step + 1)
            curves[0][place].set_data(every, smooth[place][:step])
            curves[1][place].set_data(every, run.highest[:step])

    save_gif(figure, draw, steps, frames, path)


def _empty_lines(axes: Axes, runs: Sequence[ToolRecording], colors: Sequence[str]) -> list:
    return [
        axes.plot([], [], color=color, linewidth=2.5, label=_name(run.tau))[0]
        for run, color in zip(runs, colors, strict=True)
    ]


def _name(tau: float) -> str:
    return f"tau = {tau:g}" if math.isfinite(tau) else "no clip"


def _running_mean(values: np.ndarray, window: int = 10) -> np.ndarray:
    sums = np.cumsum(np.insert(values, 0, 0.0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)
