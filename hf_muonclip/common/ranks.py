"""How many ranks there are, and where their collectives want tensors."""

import torch
import torch.distributed as dist


def num_ranks() -> int:
    """Return the size of the default process group; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def collective_device(device: torch.device) -> torch.device:
    """Return where collectives of the default group want the tensors that live on `device`."""
    served = [entry.partition(":")[0] for entry in dist.get_backend_config().split(",")]
    if device.type in served:
        return device
    found = torch.device(served[0])
    return torch.device(found.type, torch.accelerator.current_device_index()) if found.type != "cpu" else found
