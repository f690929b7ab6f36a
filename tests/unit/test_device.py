"""The device is what was asked for, or an error; never a silent fallback."""

import pytest
import torch

from matlas.device import choose_device, device_title
from matlas.errors import ConfigError


@pytest.fixture(params=[True, False], ids=["with a GPU", "without a GPU"])
def gpu(request, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: request.param)
    return request.param


def test_auto_takes_the_gpu_where_there_is_one(gpu):
    assert choose_device("auto") == torch.device("cuda" if gpu else "cpu")


def test_cpu_is_cpu_even_beside_a_gpu(gpu):
    assert choose_device("cpu") == torch.device("cpu")


def test_cuda_is_never_replaced_by_the_cpu(gpu):
    if gpu:
        assert choose_device("cuda") == torch.device("cuda")
        return
    with pytest.raises(ConfigError, match=r"no GPU .* Set runtime.device to auto or cpu"):
        choose_device("cuda")


def test_a_misspelt_device_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match="expected 'cuda' .nearest., found 'cudda'"):
        choose_device("cudda")


def test_the_recorded_title_names_the_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"model of {device}")
    assert device_title(torch.device("cpu")) == "cpu"
    assert device_title(torch.device("cuda")) == "cuda (model of cuda)"
