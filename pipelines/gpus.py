"""GPUs: the figures of their data sheets, from which a dry run estimates hours."""

from typing import NamedTuple


class GPU(NamedTuple):
    """Figures of the manufacturer's data sheet."""

    flops: float
    """Peak of matrix products in bfloat16 with sums in float32, without sparsity, in FLOP/s."""
    memory: float
    """Memory in bytes."""
    bandwidth: float
    """Bandwidth of the memory in bytes/s."""
    words: tuple[str, ...]
    """Words that are all in torch's name of this GPU."""


GPUS = {
    "b200": GPU(2250e12, 180e9, 8.0e12, ("B200",)),  # DGX B200 data sheet, an eighth of the system
    "h200": GPU(989.4e12, 141e9, 4.8e12, ("H200",)),  # H200 data sheet, SXM
    "h100-pcie": GPU(756.4e12, 80e9, 2.0e12, ("H100", "PCIe")),  # H100 data sheet
    "h100": GPU(989.4e12, 80e9, 3.35e12, ("H100",)),  # H100 data sheet, SXM
    "a100-40gb": GPU(312e12, 40e9, 1.555e12, ("A100", "40GB")),  # A100 data sheet
    "a100": GPU(312e12, 80e9, 2.039e12, ("A100",)),  # A100 data sheet, SXM, 80 GB
    "l40s": GPU(362e12, 48e9, 0.864e12, ("L40S",)),  # L40S data sheet
    "l4": GPU(121e12, 24e9, 0.3e12, ("L4",)),  # L4 data sheet, half of the value with sparsity
    "a10": GPU(125e12, 24e9, 0.6e12, ("A10",)),  # A10 data sheet
    "rtx4090": GPU(165.2e12, 24e9, 1.008e12, ("RTX", "4090")),  # white paper of the Ada architecture
    "rtx3090": GPU(71e12, 24e9, 0.936e12, ("RTX", "3090")),  # white paper of the Ampere architecture GA102
}
"""The data sheets are NVIDIA's. Of two GPUs whose words are in a name, the first one counts."""
ASSUMED = "h100"
"""The GPU of a plan if neither the cluster nor torch names one. Our choice."""


def named(name: str) -> str | None:
    """Returns the key in `GPUS` of torch's name of a GPU, such as "NVIDIA H100 80GB HBM3"; None if there is none."""
    words = name.replace("-", " ").split()
    return next((key for key, gpu in GPUS.items() if set(gpu.words) <= set(words)), None)


def here() -> str | None:
    """Returns the key in `GPUS` of this machine's first GPU; None if torch finds none, or it is not listed."""
    import torch  # imported here because it is slow

    return named(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None
