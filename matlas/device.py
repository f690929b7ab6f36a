"""Where tensors are computed: chosen by configuration, recorded with the result."""

from __future__ import annotations

import torch

from matlas.errors import ConfigError, nearest

DEVICES = ("auto", "cpu", "cuda")


def choose_device(name: str) -> torch.device:
    """The device that runtime.device asks for; "auto" is the GPU where PyTorch sees one, otherwise the CPU.

    Raises ConfigError for another name, and for "cuda" where PyTorch sees no GPU: it never falls back by itself.
    """
    if name not in DEVICES:
        raise ConfigError("unknown device", where="runtime.device", expected=nearest(name, DEVICES), found=repr(name))
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            "no GPU that PyTorch can use", where="runtime.device", expected="an NVIDIA GPU and a CUDA build of PyTorch",
            found=f"PyTorch {torch.__version__} without one",
            do="set runtime.device to auto or cpu, or install a CUDA build of PyTorch and check nvidia-smi",
        )  # fmt: skip
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def device_title(device: torch.device) -> str:
    """What to record: "cpu", or "cuda" and the GPU's name."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
