"""Equal layers fold into one name, and no name is lost."""

import pytest

from hf_muonclip.common.name_ranges import fold, fold_names, layer_labels, ranges


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["h.0.a", "h.1.a", "h.2.a"], ["h.*.a"]),
        (["h.0.a", "h.1.b", "h.2.a", "h.3.a"], ["h.0,2-3.a", "h.1.b"]),
        (["s.0.b.0", "s.0.b.1", "s.1.b.0", "s.1.b.1", "s.1.b.2"], ["s.*.b.*"]),
        (["a", "b"], ["a", "b"]),
    ],
)
def test_equal_layers_fold_and_no_name_is_lost(names: list[str], folded: list[str]) -> None:
    groups = fold(dict.fromkeys(names), star=True)
    assert [name for name, _ in groups] == folded
    assert sorted(member for _, members in groups for member in members) == sorted(names)


def test_what_differs_does_not_fold() -> None:
    assert fold({"h.0.a": 1, "h.1.a": 2, "h.2.a": 1}) == [("h.0,2.a", ["h.0.a", "h.2.a"]), ("h.1.a", ["h.1.a"])]


def test_names_alone_fold_with_their_numbers() -> None:
    assert fold_names(["h.4.a", "h.0.a", "h.1.a", "b"]) == ["h.0-1,4.a", "b"]
    assert fold_names([]) == []
    assert ranges([9, 0, 1, 2, 6, 8]) == "0-2,6,8-9"


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["model.layers.0.attn", "model.layers.10.attn"], ["0", "10"]),
        (["encoder.0.attn", "decoder.0.attn"], ["encoder.0.attn", "decoder.0.attn"]),
        (["h.0.attn", "head.attn"], ["0", "head.attn"]),
        (["stage.1.block.0.attn", "stage.1.block.1.attn"], ["stage.1.block.0.attn", "stage.1.block.1.attn"]),
    ],
)
def test_a_layers_label_is_its_number_where_it_has_one_of_its_own(names: list[str], labels: list[str]) -> None:
    assert layer_labels(names) == labels
