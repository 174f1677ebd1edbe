"""How other people's Muon is built on given matrices: the one place of the benchmarks that knows their interfaces.

Every peer runs with its authors' defaults (Newton–Schulz steps, coefficients, dtype of the products, batching,
compilation) but for what its builder says. Scales of the learning rate are set alike where there is a choice; they
cost nothing.
"""

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from hf_muonclip.optim.muon import Muon


@dataclass(frozen=True)
class Peer:
    """An optimizer of matrices.

    Attributes:
        name: as tables call it.
        module: what has to be importable.
        build: (matrices, lr, weight_decay) -> optimizer.
        packages: what `pip install --no-deps` brings it; empty where there is none. The first has its version.
        needs_cuda: why it does not run on a CPU; empty where it does.
        changes_gradients: whether it uses the gradients as scratch memory.
        takes_stacks: whether a 3-D parameter is a stack of matrices to it; others get each matrix by itself.
    """

    name: str
    module: str
    build: Callable[[Sequence[nn.Parameter], float, float], Optimizer]
    packages: str = ""
    needs_cuda: str = ""
    changes_gradients: bool = False
    takes_stacks: bool = False

    def version(self) -> str:
        try:
            return importlib.metadata.version(self.packages.partition(" ")[0] or self.module)
        except importlib.metadata.PackageNotFoundError:
            return "a checkout"


def hf_muonclip(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    return Muon(matrices, lr, weight_decay)


def hf_muonclip_float32(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    return Muon(matrices, lr, weight_decay, ns_dtype="float32")


def torch_muon(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    return torch.optim.Muon(matrices, lr, weight_decay, adjust_lr_fn="match_rms_adamw")


def gram_newton_schulz(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    """Its kernels come with another package, for Hopper and newer; without them it compiles torch's products."""
    from gram_newton_schulz import Muon as GramMuon

    kernels = importlib.util.find_spec("quack") is not None and torch.cuda.is_available()
    return GramMuon(matrices, lr, weight_decay, ns_use_kernels=kernels)


def heavyball(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    from heavyball import Muon as HeavyMuon

    return HeavyMuon(matrices, lr=lr, weight_decay=weight_decay)


def optimuon(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    """Without NorMuon, its default, which rescales rows behind the orthogonalization and is another algorithm.

    On a CPU in bfloat16, which it offers: processors emulate float16, its default, and a step took 25 times as long.
    """
    from optimuon import Muon as OptiMuon

    dtype = {} if matrices[0].is_cuda else {"ns_dtype": torch.bfloat16}
    return OptiMuon(matrices, lr, weight_decay=weight_decay, adjust_lr="match_rms_adamw", normuon=False, **dtype)


def muonium(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    from muonium import Muon as MuoniumMuon

    return MuoniumMuon(matrices, lr, weight_decay)


def pytorch_optimizer(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    from pytorch_optimizer import Muon as PytorchOptimizerMuon

    group = {"params": list(matrices), "use_muon": True, "use_adjusted_lr": True}
    return PytorchOptimizerMuon([group], lr, weight_decay=weight_decay)


def dion(matrices: Sequence[nn.Parameter], lr: float, weight_decay: float) -> Optimizer:
    """With Nesterov's momentum, as the others; its own default is without."""
    from dion import Muon as DionMuon

    return DionMuon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr="rms_norm", nesterov=True)


OURS = Peer("MuonClip", "hf_muonclip", hf_muonclip)
OURS_FLOAT32 = Peer('MuonClip, ns_dtype="float32"', "hf_muonclip", hf_muonclip_float32)
BASELINE = Peer("torch.optim.Muon", "torch", torch_muon)
PEERS = (
    BASELINE,
    Peer(
        "gram-newton-schulz",
        "gram_newton_schulz",
        gram_newton_schulz,
        packages="gram-newton-schulz",
        needs_cuda="its products are float16, which CPUs emulate: a step takes tens of times as long as torch's",
        takes_stacks=True,
    ),
    Peer("heavyball", "heavyball", heavyball, packages="heavyball opt-einsum"),
    Peer("microsoft/dion", "dion", dion, takes_stacks=True),
    Peer(
        "muonium",
        "muonium",
        muonium,
        packages="muonium",
        needs_cuda="its default orthogonalization is a Triton kernel that asserts CUDA tensors",
        changes_gradients=True,
        takes_stacks=True,
    ),
    Peer("optimuon", "optimuon", optimuon, packages="optimuon"),
    Peer(
        "pytorch_optimizer",
        "pytorch_optimizer",
        pytorch_optimizer,
        packages="pytorch-optimizer",
        changes_gradients=True,
    ),
)

# Peers without a builder, and why.
PEERS_LEFT_OUT = {
    "GAD-cell/muon-clip": "takes a whole model instead of matrices, imports wandb, and no package index has it",
    "NVIDIA Emerging-Optimizers": "needs Python 3.12, and the package and these rows support 3.11",
}


def reason_to_leave_out(peer: Peer, device: str) -> str:
    """Return why a peer cannot be measured here, after importing it and stepping two small matrices; else ""."""
    if peer.needs_cuda and device != "cuda":
        return f"needs a GPU: {peer.needs_cuda}"
    matrices = [nn.Parameter(torch.zeros(shape, device=device)) for shape in ((48, 32), (32, 48))]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    # Other people's code may fail in any way, and a table is to say how.
    try:
        importlib.import_module(peer.module)
        peer.build(matrices, 1e-3, 0.1).step()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    if any(not matrix.detach().isfinite().all() or not matrix.detach().any() for matrix in matrices):
        return "its step left a matrix unchanged or wrote NaN"
    return ""
