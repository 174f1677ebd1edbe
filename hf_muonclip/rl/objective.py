"""The objectives of Kimi K2 and K2.5 as losses of sampled sequences, and the weight of each sequence.

Both compare the policy with the one that sampled the sequence, pi_old, and use rewards minus the mean of their group,
not divided by a standard deviation. Masked tokens (padding, tool results) do not count.
"""

import math

from torch import Tensor


def k2_loss(log_ratios: Tensor, mask: Tensor, advantages: Tensor, rl_tau: float) -> Tensor:
    """Return the squared-regularized loss of each sequence, divided by 2·rl_tau.

    Kimi K2 (arXiv 2507.20534), section 3.2.3, after K1.5 (arXiv 2501.12599), eq. 3: (r - r̄ - rl_tau·log(pi/pi_old))²,
    the log-ratio of the whole sequence. Differs: divided by 2·rl_tau, which gives the gradient that K1.5 states,
    -(r - r̄)·∇log pi + (rl_tau/2)·∇log(pi/pi_old)²; otherwise rl_tau would scale the learning rate and the weight of PTX
    too.

    Args:
        log_ratios: (batch, tokens); log pi - log pi_old of each token.
        mask: (batch, tokens); 0 where a token does not count.
        advantages: (batch,); reward minus its group's mean.
        rl_tau: strength of the regularizer; > 0.

    Returns:
        (batch,).
    """
    log_ratio = log_ratios.masked_fill(mask == 0, 0.0).sum(-1)
    return (advantages - rl_tau * log_ratio) ** 2 / (2 * rl_tau)


def k25_loss(
    log_ratios: Tensor, mask: Tensor, advantages: Tensor, rl_tau: float, bounds: tuple[float, float]
) -> Tensor:
    """Return the token-wise loss of each sequence, summed over its tokens.

    Kimi K2.5 (arXiv 2602.02276), eq. 1: -(clip(pi/pi_old, alpha, beta)·(r - r̄) - rl_tau·log(pi/pi_old)²). A token
    outside the bounds gets no gradient from the first term, whatever the sign of its advantage.

    Args:
        log_ratios: as for `k2_loss`.
        mask: as for `k2_loss`.
        advantages: as for `k2_loss`.
        rl_tau: strength of the regularizer; > 0.
        bounds: alpha and beta, of the ratio; > 0.

    Returns:
        (batch,).
    """
    log_ratios = log_ratios.masked_fill(mask == 0, 0.0)
    # Clipped before exp, or an infinite ratio would turn its gradient of zero into NaN.
    clipped = log_ratios.clamp(math.log(bounds[0]), math.log(bounds[1])).exp()
    of_tokens = clipped * advantages.unsqueeze(-1) - rl_tau * log_ratios**2
    return -of_tokens.masked_fill(mask == 0, 0.0).sum(-1)


def sample_weights(objective: str, measured: Tensor, tokens: Tensor, num_generations: int) -> Tensor:
    """Return the weight of each sequence's loss with which the mean over sequences is the objective.

    The objective is a mean over prompts: of the mean over a prompt's sequences for "k2", and of the sum over all their
    tokens divided by the number of these tokens for "k25". Sequences that were not measured have weight 0, and prompts
    without a measured sequence do not count.

    Args:
        objective: "k2" or "k25".
        measured: (samples,), bool; of all ranks, the samples of a prompt adjacent.
        tokens: (samples,); unmasked tokens of each.
        num_generations: samples of one prompt.

    Returns:
        (samples,), float32; all 1 for "k2" where everything was measured.
    """
    shares = measured.float() if objective == "k2" else measured * tokens.float()
    of_prompts = shares.view(-1, num_generations).sum(-1)
    scale = len(measured) / (of_prompts > 0).sum().clamp(min=1)
    return measured * scale / of_prompts.clamp(min=1).repeat_interleave(num_generations)
