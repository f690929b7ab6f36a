"""ResNet18 in plain torch.nn, with the parameter names of torchvision, so that its weight files load unchanged.

Source: He, Zhang, Ren & Sun 2016, doi:10.1109/CVPR.2016.90 (18-layer network of Table 1).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from matlas.errors import ConfigError

STAGE_WIDTHS = (64, 128, 256, 512)  # channels after each of the four stages


class ResNet18(nn.Module):
    """Convolution and pooling, four stages of two residual blocks, a linear classifier: 11,689,512 parameters.

    Takes (n, 3, height, width) float32 batches of colour images, normalised as in training, of 224 x 224 pixels there.
    """

    def __init__(self, classes: int = 1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, stride=1)
        self.layer2 = _stage(64, 128, stride=2)
        self.layer3 = _stage(128, 256, stride=2)
        self.layer4 = _stage(256, 512, stride=2)
        self.fc = nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes)."""
        return self.fc(self.pooled_stages(x)[-1])

    def pooled_stages(self, x: torch.Tensor, depth: int = 4) -> list[torch.Tensor]:
        """Mean over all pixels of each channel after stages 1…depth: (n, 64), (n, 128), (n, 256), (n, 512).

        Nothing beyond stage `depth` is computed. Raises ConfigError for a depth outside 1…4.
        """
        return [maps.mean(dim=(2, 3)) for maps in self._stages(x, depth)]

    def _stages(self, x: torch.Tensor, depth: int) -> Iterator[torch.Tensor]:
        if depth not in range(1, 5):
            raise ConfigError("ResNet18 has no stage of this depth", expected="1, 2, 3 or 4", found=depth)
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4)[:depth]:
            x = stage(x)
            yield x


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut, which is a strided 1 x 1 convolution where the shape changes."""

    def __init__(self, channels_in: int, channels_out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.downsample = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, channels_in, h, w) to (n, channels_out, h / stride, w / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(out)) + shortcut)


def _stage(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(channels_in, channels_out, stride), BasicBlock(channels_out, channels_out, 1))
