"""What each figure of a training log means, in one table that the README shows."""

# Figure -> meaning. `layer_N` stands for every layer.
FIGURES = {
    "qk_clip/max_logit": "the highest max logit since the last log",
    "qk_clip/max_logit/layer_N": "the same per layer",
    "qk_clip/clipped_heads": "distinct heads clipped since the last log",
    "qk_clip/clipped_heads_ever": ("distinct heads clipped so far; when it stops rising, the clip has fallen silent"),
    "qk_clip/min_gamma": "the smallest gamma since the last log; 1 where no head was clipped",
    "muon/update_rms": (
        "root mean square of Muon's updates in the logged step, before rate and decay; about 0.2 with the default scale"
    ),
    "muon/idle_matrices": (
        "share of Muon's matrices without a gradient in the logged step, such as experts without a token; they are not "
        "moved"
    ),
    "muon/skipped_steps": (
        'steps skipped since the last log, where steps may be skipped: with `nonfinite="skip"` or fp16'
    ),
    "expert_load/max_violation": "the busiest expert's load over an even share, minus 1; mean over layers",
    "expert_load/max_violation_worst_layer": "the same for the worst layer",
    "expert_load/min_share": "the least used expert's load over an even share",
    "expert_load/bias_range": "the largest difference between two correction biases of a layer",
    "schedule/tokens": "tokens trained so far",
    "schedule/phase": "the recipe's phase, counted from 1",
    "schedule/context_length": "the context length, in tokens",
}
