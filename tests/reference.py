"""The slow truth: MuonClip in float64, one matrix and one head at a time, written from the paper to be read.

Kimi K2 (arXiv 2507.20534), Algorithm 1. Every fast path of the package is tested against these functions. They share
no code with it, take any floating dtype, and return new float64 tensors; arguments are never written to.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def newton_schulz(
    matrix: Tensor,
    coefficients: Sequence[float] | Sequence[Sequence[float]] = (3.4445, -4.7750, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
) -> Tensor:
    """Iterate X <- a·X + b·(X·Xᵀ)·X + c·(X·Xᵀ)²·X + ... from X = M / (‖M‖_F + eps), with the shorter side as rows.

    Args:
        matrix: (n, m).
        coefficients: (a, b, c, ...) of every step, or so many for each.
        steps: iterations.
        eps: added to the Frobenius norm.

    Returns:
        (n, m), float64.
    """
    of_each_step: list[Any] = [coefficients] * steps if isinstance(coefficients[0], int | float) else list(coefficients)
    assert len(of_each_step) == steps
    x = matrix.double()
    n, m = x.shape
    if n > m:
        return newton_schulz(x.T, coefficients, steps, eps).T
    x = x / (math.sqrt(float((x * x).sum())) + eps)
    for row in of_each_step:
        power, total = x, torch.zeros_like(x)
        for coefficient in row:
            total = total + coefficient * power
            power = (x @ x.T) @ power
        x = total
    return x


def muon_step(
    weight: Tensor,
    gradient: Tensor | None,
    momentum_buffer: Tensor,
    lr: float,
    weight_decay: float = 0.1,
    momentum: float = 0.95,
    nesterov: bool = True,
    coefficients: Sequence[float] = (3.4445, -4.7750, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
    scale: float | None = None,
    cautious_weight_decay: bool = False,
) -> tuple[Tensor, Tensor]:
    """One Muon update of one matrix (Algorithm 1, lines 2 to 6).

    M' = mu·M + G; O = NewtonSchulz(M', or G + mu·M' with Nesterov)·scale; W' = W - lr·(O + weight_decay·W). Differs: an
    idle matrix, whose gradient is zero everywhere, keeps its weights.

    Args:
        weight: (n, m).
        gradient: (n, m); None for zeros.
        momentum_buffer: (n, m); zeros at the first step.
        lr: eta.
        weight_decay: lambda.
        momentum: mu.
        nesterov: orthogonalize G + mu·M' instead of M'.
        coefficients: of `newton_schulz`.
        steps: of `newton_schulz`.
        eps: of `newton_schulz`.
        scale: of the orthogonalized update; by default the paper's 0.2·sqrt(max(n, m)).
        cautious_weight_decay: decay only the entries that have the sign of O, which the update brings nearer to zero
            anyway (arXiv 2510.12402).

    Returns:
        The new weight and the new momentum buffer, (n, m), float64.
    """
    w = weight.double()
    if gradient is None or all(entry == 0 for entry in gradient.flatten().tolist()):
        return w, momentum * momentum_buffer.double()
    g = gradient.double()
    if scale is None:
        scale = 0.2 * math.sqrt(max(weight.shape))
    m = momentum * momentum_buffer.double() + g
    direction = g + momentum * m if nesterov else m
    o = newton_schulz(direction, coefficients, steps, eps) * scale
    decayed = w.clone()
    if cautious_weight_decay:
        for i in range(w.shape[0]):
            for j in range(w.shape[1]):
                if o[i, j] * w[i, j] <= 0:
                    decayed[i, j] = 0.0
    return w - lr * (o + weight_decay * decayed), m


def adamw_step(
    weight: Tensor,
    gradient: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: int,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """One AdamW update (arXiv 1711.05101, Algorithm 2, decay times learning rate as in torch).

    Args:
        weight: any shape.
        gradient: as weight.
        exp_avg: as weight; zeros at the first step.
        exp_avg_sq: as weight; zeros at the first step.
        step: 1 at the first step.
        lr: learning rate.
        betas: decay of the two moments.
        eps: added to the denominator.
        weight_decay: decoupled.

    Returns:
        The new weight, exp_avg and exp_avg_sq, float64.
    """
    w, g = weight.double(), gradient.double()
    beta1, beta2 = betas
    m = beta1 * exp_avg.double() + (1 - beta1) * g
    v = beta2 * exp_avg_sq.double() + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**step)
    v_hat = v / (1 - beta2**step)
    return w - lr * (m_hat / (v_hat.sqrt() + eps) + weight_decay * w), m, v


def allowed_pairs(
    attention_mask: Tensor,
    causal: bool = True,
    window: int | None = None,
    document_ids: Tensor | None = None,
) -> Tensor:
    """Say for every (query, key) pair whether it counts, pair by pair.

    Args:
        attention_mask: (batch, length), 1 for a token and 0 for padding, which counts neither as query nor as key.
        causal: no key after its query.
        window: no key `window` or more positions away from its query; None for no window.
        document_ids: (batch, length), equal for tokens of one packed document; None for one document a row.

    Returns:
        (batch, length, length), bool: [sequence, query, key].
    """
    batch, length = attention_mask.shape
    allowed = torch.zeros(batch, length, length, dtype=torch.bool)
    for b in range(batch):
        for i in range(length):
            for j in range(length):
                counts = bool(attention_mask[b, i]) and bool(attention_mask[b, j])
                if causal and j > i:
                    counts = False
                if window is not None and abs(i - j) >= window:
                    counts = False
                if document_ids is not None and document_ids[b, i] != document_ids[b, j]:
                    counts = False
                allowed[b, i, j] = counts
    return allowed


def max_logits(query: Tensor, key: Tensor, scaling: float, allowed: Tensor) -> Tensor:
    """S_max of every head: the largest scaling·q·k over the pairs that count (Algorithm 1, line 9).

    Args:
        query: (batch, num_attention_heads, query_length, head_dim); after the rotary embedding.
        key: (batch, num_key_value_heads, key_length, head_dim); query head h uses key head
            h // (num_attention_heads // num_key_value_heads).
        scaling: the attention module's own.
        allowed: (batch, query_length, key_length), or (batch, num_attention_heads, query_length, key_length); bool.

    Returns:
        (num_attention_heads,), float64; -inf for a head without any pair.
    """
    batch, heads = query.shape[:2]
    heads_per_key = heads // key.shape[1]
    maximum = torch.full((heads,), -math.inf, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            scores = scaling * query[b, h].double() @ key[b, h // heads_per_key].double().T
            pairs = allowed[b, h] if allowed.ndim == 4 else allowed[b]
            if pairs.any():
                maximum[h] = max(maximum[h], scores[pairs].max())
    return maximum


def qk_clip_gamma(max_logits: Tensor, threshold: float) -> list[float]:
    """gamma of every head: tau / S_max where S_max exceeds tau, else 1 (Algorithm 1, lines 10 and 11)."""
    return [threshold / float(s) if float(s) > threshold else 1.0 for s in max_logits]


def qk_clip_mha(
    q_proj: Tensor, k_proj: Tensor, gamma: Sequence[float], head_dim: int, alpha: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Clip heads that own their key: W_q^h·gamma^alpha, W_k^h·gamma^(1 - alpha) (Algorithm 1, lines 12 to 14).

    Args:
        q_proj: weight (num_attention_heads·head_dim, hidden) or bias (num_attention_heads·head_dim,).
        k_proj: the same for keys.
        gamma: one factor per head.
        head_dim: rows of a head.
        alpha: the query's share.

    Returns:
        The new q_proj and k_proj, float64.
    """
    q, k = q_proj.double().clone(), k_proj.double().clone()
    for head, factor in enumerate(gamma):
        for row in range(head * head_dim, (head + 1) * head_dim):
            q[row] *= factor**alpha
            k[row] *= factor ** (1 - alpha)
    return q, k


def qk_clip_gqa(q_proj: Tensor, gamma: Sequence[float], head_dim: int) -> Tensor:
    """Clip heads that share keys: W_q^h·gamma, and the keys stay.

    The paper's rule for MLA's shared rotary key, carried over to grouped and multi-query attention.

    Args:
        q_proj: weight (num_attention_heads·head_dim, hidden) or bias (num_attention_heads·head_dim,).
        gamma: one factor per head.
        head_dim: rows of a head.

    Returns:
        The new q_proj, float64.
    """
    q = q_proj.double().clone()
    for head, factor in enumerate(gamma):
        for row in range(head * head_dim, (head + 1) * head_dim):
            q[row] *= factor
    return q


def qk_clip_mla(
    q_proj: Tensor,
    kv_b_proj: Tensor,
    gamma: Sequence[float],
    qk_nope_head_dim: int,
    qk_rope_head_dim: int,
    v_head_dim: int,
    alpha: float = 0.5,
) -> tuple[Tensor, Tensor]:
    """Clip heads of multi-head latent attention (Algorithm 1, lines 15 to 18).

    W_qc^h·gamma^alpha, W_kc^h·gamma^(1 - alpha), W_qr^h·gamma; W_kr, which all heads share, stays.

    Args:
        q_proj: q_b_proj or q_proj, (num_attention_heads·(nope + rope), rank); a head's rows are [nope | rope].
        kv_b_proj: (num_attention_heads·(nope + value), rank); a head's rows are [k_nope | value].
        gamma: one factor per head.
        qk_nope_head_dim: rows of a head's part without position.
        qk_rope_head_dim: rows of a head's rotary part.
        v_head_dim: rows of a head's value.
        alpha: the query's share of the part that owns its key.

    Returns:
        The new q_proj and kv_b_proj, float64.
    """
    q, kv = q_proj.double().clone(), kv_b_proj.double().clone()
    for head, factor in enumerate(gamma):
        first_query_row = head * (qk_nope_head_dim + qk_rope_head_dim)
        first_key_row = head * (qk_nope_head_dim + v_head_dim)
        for row in range(qk_nope_head_dim):
            q[first_query_row + row] *= factor**alpha
            kv[first_key_row + row] *= factor ** (1 - alpha)
        for row in range(qk_nope_head_dim, qk_nope_head_dim + qk_rope_head_dim):
            q[first_query_row + row] *= factor
    return q, kv


def route(
    hidden: Tensor, weight: Tensor, bias: Tensor, num_experts_per_tok: int, routed_scaling_factor: float = 1.0
) -> tuple[list[list[int]], list[list[float]]]:
    """Choose experts by sigmoid scores and a correction bias, and weigh them by their scores alone.

    DeepSeek-V3 (arXiv 2412.19437), equations 13 to 16, with one group of experts.

    Args:
        hidden: (tokens, hidden).
        weight: (num_experts, hidden).
        bias: (num_experts,).
        num_experts_per_tok: experts of a token.
        routed_scaling_factor: of the weights, which sum to 1 without it.

    Returns:
        The chosen experts of each token, best first, and their weights.
    """
    chosen, weights = [], []
    for token in hidden.double():
        scores = [1 / (1 + math.exp(-float(token @ row))) for row in weight.double()]
        biased = [score + float(offset) for score, offset in zip(scores, bias.double(), strict=True)]
        best = sorted(range(len(scores)), key=lambda expert: -biased[expert])[:num_experts_per_tok]
        total = sum(scores[expert] for expert in best)
        chosen.append(best)
        weights.append([routed_scaling_factor * scores[expert] / total for expert in best])
    return chosen, weights


def balanced_bias(bias: Tensor, load: Sequence[int], update_rate: float) -> Tensor:
    """Move each expert's bias by the rate, against the difference of its load from the mean.

    Loss-free balancing (arXiv 2408.15664), Algorithm 1: e_i = mean - load_i, b_i <- b_i + u·sign(e_i).

    Args:
        bias: (num_experts,).
        load: tokens of each expert in one step.
        update_rate: u.

    Returns:
        The new bias, float64.
    """
    mean = sum(load) / len(load)
    new = bias.double().clone()
    for expert, tokens in enumerate(load):
        if tokens != mean:
            new[expert] += update_rate if tokens < mean else -update_rate
    return new


def perplexity(
    model: Any, documents: Sequence[Sequence[int]], first_target: int, context_length: int, stride: int
) -> tuple[float, list[list[float]]]:
    """Predict every token by itself, from the tokens of the window that reaches it first.

    Window w begins at w·stride and holds context_length tokens.

    Args:
        model: causal language model in float64, in evaluation mode.
        documents: tokens of each.
        first_target: index of the first token to predict.
        context_length: tokens of a window, the predicted one included.
        stride: tokens between the starts of two windows.

    Returns:
        exp of the mean negative log-likelihood, and the negative log-likelihoods of each document's tokens.
    """
    losses: list[list[float]] = []
    for document in documents:
        losses.append([])
        for target in range(first_target, len(document)):
            begin = 0
            while begin + context_length <= target:
                begin += stride
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([document[begin:target]])).logits[0, -1]
            probability = math.exp(float(logits[document[target]])) / sum(math.exp(float(logit)) for logit in logits)
            losses[-1].append(-math.log(probability))
    tokens = sum(len(of_document) for of_document in losses)
    return math.exp(sum(map(sum, losses)) / tokens), losses


def k2_rl_loss(prompts: Sequence[Sequence[tuple[Tensor, Tensor, float]]], rl_tau: float) -> Tensor:
    """Add up (r - r̄ - rl_tau·log(pi/pi_old))² over samples, divided by 2·rl_tau; Kimi K2, section 3.2.3; K1.5, eq. 3.

    Args:
        prompts: of each prompt its samples: log pi and log pi_old of every sampled token, (tokens,), and the reward.
        rl_tau: strength of the regularizer.

    Returns:
        The mean over prompts of the mean over samples; differentiable.
    """
    total = torch.zeros((), dtype=torch.float64)
    for samples in prompts:
        mean = sum(reward for _, _, reward in samples) / len(samples)
        for logps, old_logps, reward in samples:
            log_ratio = torch.zeros((), dtype=torch.float64)
            for new, old in zip(logps.double(), old_logps.double(), strict=True):
                log_ratio = log_ratio + new - old
            total = total + (reward - mean - rl_tau * log_ratio) ** 2 / len(samples)
    return total / len(prompts) / (2 * rl_tau)


def k25_rl_loss(
    prompts: Sequence[Sequence[tuple[Tensor, Tensor, float]]], rl_tau: float, alpha: float, beta: float
) -> Tensor:
    """Add up -(clip(pi/pi_old, alpha, beta)·(r - r̄) - rl_tau·log(pi/pi_old)²) token by token; Kimi K2.5, eq. 1.

    Args:
        prompts: as for `k2_rl_loss`.
        rl_tau: strength of the regularizer.
        alpha: lower bound of the ratio.
        beta: upper bound.

    Returns:
        The mean over prompts of the sum divided by N, the tokens of all samples of the prompt; differentiable.
    """
    total = torch.zeros((), dtype=torch.float64)
    for samples in prompts:
        mean = sum(reward for _, _, reward in samples) / len(samples)
        tokens = sum(len(logps) for logps, _, _ in samples)
        for logps, old_logps, reward in samples:
            for new, old in zip(logps.double(), old_logps.double(), strict=True):
                ratio = torch.exp(new - old)
                value = float(ratio.detach())
                clipped = ratio if alpha <= value <= beta else torch.tensor(min(max(value, alpha), beta))
                total = total - (clipped * (reward - mean) - rl_tau * (new - old) ** 2) / tokens
    return total / len(prompts)
