"""Matrix views of attention projections, derived from a model's attention layout for the optimizer."""

from torch import nn

from .attention import HeadLayout, ProjectionRows, read_projections
from .common.loggers import get_logger
from .common.wording import all_of, some_of
from .optim.matrix_view import PLAIN, MatrixView
from .optim.parameters.fused_weights import is_conv1d, is_linear

logger = get_logger(__name__)

_SPLIT_BY_HEAD = ("query", "key", "value", "query and key", "key and value")


def projection_views(
    model: nn.Module, layout: HeadLayout | None = None, split_heads: bool = False
) -> dict[str, tuple[MatrixView, str]]:
    """Return how the attention projections of a model hold matrices, for `plan_parameters`.

    Queries, keys and values that share a weight are separate matrices, whatever the order of their rows; so is a gate
    beside the queries. Latent attention's projections are cut as in DeepSeek-V2 (arXiv 2405.04434): kv_b_proj is W_UK
    and W_UV, kv_a_proj_with_mqa is W_DKV and W_KR; a query's parts with and without position stay together.

    Args:
        model: on any device.
        layout: the model's layout; by default its projections are read by rule. A weight that no rule knows stays
            whole, with a warning if its name says that it is fused.
        split_heads: cut queries, keys and values by head too, as GLM-5's Muon Split (arXiv 2602.15763) does. Gates,
            down-projections and output projections stay whole.

    Returns:
        {parameter name: (view, what is split, in words)}.
    """
    projections = read_projections(model, layout)
    first_names = {parameter: name for name, parameter in model.named_parameters()}
    every_name = dict(model.named_parameters(remove_duplicate=False))
    views: dict[str, tuple[MatrixView, str]] = {}
    whole = {name: f"fused projection kept whole: {why}" for name, why in projections.kept_whole.items()}
    for name, rows in projections.known.items():
        if name in every_name:
            first, view = first_names[every_name[name]], _projection_view(rows, split_heads)
            if views.setdefault(first, view) != view:
                whole[first] = "kept whole: modules that share it cut it differently"
    trained = []
    for name, why in whole.items():
        module = model.get_submodule(name.rpartition(".")[0])
        if name in every_name and is_linear(module):
            views[name] = (MatrixView(transposed=True) if is_conv1d(module) else PLAIN, why)
            trained += [name] * every_name[name].requires_grad
    if trained:
        logger.warning("Orthogonalized as one matrix: %s (%s).", some_of(trained, 1), whole[trained[0]])
    return views


def _projection_view(rows: ProjectionRows, split_heads: bool) -> tuple[MatrixView, str]:
    heads = tuple(part.head_rows if split_heads and part.name in _SPLIT_BY_HEAD else 0 for part in rows.parts)
    names = [part.name for part in rows.parts]
    by_head = [name for name, head in zip(names, heads, strict=True) if head]
    said = f"{all_of(names)} split" if len(names) > 1 else ""
    if by_head:
        said += f"{', ' if said else ''}{'each' if len(by_head) == len(names) > 1 else all_of(by_head)} per head"
    if not said:
        return MatrixView(transposed=rows.dim == 1, kernel=rows.flat), ""
    sections = tuple(part.rows for part in rows.parts)
    return MatrixView(sections, rows.periods, heads if by_head else (), rows.dim == 1, kernel=rows.flat), said
