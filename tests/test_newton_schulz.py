"""Newton–Schulz against the float64 reference, and at the scales where float32 ends."""

import pytest
import reference
import torch
from torch import Tensor

from hf_muonclip.newton_schulz import JORDAN_COEFFICIENTS, newton_schulz, preferred_dtype

SHAPES = [(8, 8), (8, 24), (24, 8), (1, 16), (16, 1), (1, 1), (64, 48)]


def matrices(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def expected(batch: Tensor, **settings: object) -> Tensor:
    return torch.stack([reference.newton_schulz(matrix, **settings) for matrix in batch])  # type: ignore[arg-type]


@pytest.mark.parametrize("looped_elements", [1, 2**62], ids=["looped", "batched"])
@pytest.mark.parametrize("shape", [*SHAPES, (7, 9), (9, 7)])
def test_equals_the_reference_in_float32(
    shape: tuple[int, int], looped_elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hf_muonclip.newton_schulz._LOOPED_ELEMENTS", looped_elements)
    batch = matrices(3, *shape)
    result = newton_schulz(batch, dtype=torch.float32)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected(batch), atol=1e-5, rtol=1e-5)


def test_coefficients_steps_and_eps_are_used() -> None:
    batch = matrices(2, 6, 9)
    settings = {"coefficients": (2.0, -1.5, 0.5), "steps": 3, "eps": 0.5}
    result = newton_schulz(batch, (2.0, -1.5, 0.5), 3, 0.5, torch.float32)
    torch.testing.assert_close(result.double(), expected(batch, **settings), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (64, 48)])
def test_bfloat16_is_close_to_the_reference(shape: tuple[int, int]) -> None:
    batch = matrices(3, *shape)
    result = newton_schulz(batch, dtype=torch.bfloat16)
    assert result.dtype == torch.bfloat16
    error = (result.double() - expected(batch)).norm() / expected(batch).norm()
    assert error < 0.03


def test_float64_input_is_taken() -> None:
    batch = matrices(2, 6, 9).double() * 1e-30
    result = newton_schulz(batch, eps=1e-60, dtype=torch.float64)
    torch.testing.assert_close(result, expected(batch, eps=1e-60), atol=1e-12, rtol=1e-12)


def test_a_batch_equals_its_matrices_one_by_one() -> None:
    # Scales far apart: a norm over the whole batch would show.
    batch = matrices(4, 12, 20) * torch.tensor([1e-3, 1.0, 1e3, 1e6]).view(4, 1, 1)
    together = newton_schulz(batch, dtype=torch.float32)
    apart = torch.cat([newton_schulz(matrix[None], dtype=torch.float32) for matrix in batch])
    torch.testing.assert_close(together, apart, atol=1e-6, rtol=1e-6)


def test_a_transposed_matrix_gives_the_transposed_result() -> None:
    batch = matrices(2, 12, 20)
    transposed = newton_schulz(batch.mT, dtype=torch.float32)
    torch.testing.assert_close(transposed, newton_schulz(batch, dtype=torch.float32).mT, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_zero_stays_zero_beside_a_full_matrix(dtype: torch.dtype) -> None:
    batch = matrices(2, 8, 12)
    batch[0] = 0
    result = newton_schulz(batch, dtype=dtype)
    assert torch.equal(result[0], torch.zeros(8, 12, dtype=dtype))
    assert result[1].float().norm() > 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-44, 1e-20, 1e20, 1e38])
def test_extreme_scales_give_the_reference_and_never_nan(scale: float, dtype: torch.dtype) -> None:
    batch = (matrices(2, 8, 12).clamp(-3, 3) * scale).float()  # 1e-44 is a denormal of float32
    result = newton_schulz(batch, dtype=dtype)
    assert result.isfinite().all()
    tolerance = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(result.double(), expected(batch), atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("shape", [(32, 32), (24, 80), (80, 24)])
def test_singular_values_land_in_jordans_range(shape: tuple[int, int]) -> None:
    left, _ = torch.linalg.qr(matrices(shape[0], shape[0]))
    right, _ = torch.linalg.qr(matrices(shape[1], shape[1], seed=1))
    rank = min(shape)
    spectrum = torch.logspace(-1.5, 0, rank)  # after the division by the norm, down to about 0.01
    batch = (left[:, :rank] * spectrum @ right[:rank])[None] * 7.0
    singular_values = torch.linalg.svdvals(newton_schulz(batch, dtype=torch.float32)[0])
    assert singular_values.min() > 0.65
    assert singular_values.max() < 1.25


def test_the_argument_is_left_alone_and_the_result_is_new() -> None:
    batch = matrices(2, 8, 12)
    before = batch.clone()
    result = newton_schulz(batch, dtype=torch.float32)
    assert torch.equal(batch, before)
    assert result.data_ptr() != batch.data_ptr()


def test_preferred_dtype_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preferred_dtype(torch.device("cuda")) == torch.bfloat16
    cpu = torch.device("cpu")
    for capabilities, dtype in (
        ({"avx2": True, "avx512_bf16": False}, torch.float32),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"arm_bf16": True}, torch.bfloat16),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda capabilities=capabilities: capabilities)
        assert preferred_dtype(cpu) == dtype
        assert newton_schulz(matrices(1, 4, 4)).dtype == dtype


def test_jordans_coefficients() -> None:
    assert JORDAN_COEFFICIENTS == (3.4445, -4.7750, 2.0315)
