"""The checkpoint that is saved where a run must stop."""

from typing import Any


def save_last_checkpoint(trainer: Any) -> str:
    """Save a checkpoint of the state before the current batch, and return where it is, as a clause for a message.

    Collective: call on every rank.

    Args:
        trainer: a transformers Trainer; saves nothing outside `train()`.
    """
    if not trainer.is_in_train:
        return "nothing was saved, because no training was running"
    trainer.log({})  # the counts of this batch
    trainer._save_checkpoint(trainer.model, trial=None)
    trainer.control = trainer.callback_handler.on_save(trainer.args, trainer.state, trainer.control)
    trainer.accelerator.wait_for_everyone()  # the first rank to raise ends the others, which may be writing
    return f"checkpoint-{trainer.state.global_step} in {trainer.args.output_dir} has the state before this batch"
