"""``MeNet``: the network, and how many parameters it has."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from irploc.training.models import initialize, parameter_count

# channels, kernel, stride
CONVOLUTIONS = (
    *((16, 7, 2), (32, 5, 2), (64, 3, 2), (64, 3, 1), (128, 3, 2), (128, 3, 1)),
    *((256, 3, 2), (256, 3, 1), (512, 3, 2)),
)
REPORT_HIDDEN = (1024,)  # of the linear layers the report says that there are several, and no more
REPORT_SIDE = 224
OUTPUTS = 7


class MeNet(nn.Module):
    """Two photos stacked to six channels, nine convolutions with ReLU, then linear layers with ReLU between them.

    Args:
        height, width: of the photos, pixels.
        hidden: widths of the linear layers but the last.
        outputs: 3 for the translation, then 4 for a quaternion or 3 for its logarithm.
        mean, deviation: per channel of the photos, 0 to 255.

    Draws from torch's global generator. The last layer starts at zero: at no difference from the mean motion.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        height: int,
        width: int,
        hidden: tuple[int, ...],
        outputs: int = OUTPUTS,
        mean: tuple[float, ...] = (127.5,) * 3,
        deviation: tuple[float, ...] = (127.5,) * 3,
    ) -> None:
        super().__init__()
        self.height, self.width = height, width
        self.register_buffer("mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(1, 3, 1, 1))
        layers: list[nn.Module] = []
        before = 6
        for channels, kernel, stride in CONVOLUTIONS:
            layers += [nn.Conv2d(before, channels, kernel, stride, kernel // 2), nn.ReLU()]
            height, width, before = -(-height // stride), -(-width // stride), channels
        self.convolutions = nn.Sequential(*layers)
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster on CPUs
        sizes = (before * height * width, *hidden, outputs)
        layers = []
        for fewer, more in pairwise(sizes):
            layers += [nn.Linear(fewer, more), nn.ReLU()]
        self.linear = nn.Sequential(*layers[:-1])
        initialize(self)
        for convolution in self.convolutions:
            if isinstance(convolution, nn.Conv2d) and not convolution.weight.is_meta:
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                assert convolution.bias is not None
                nn.init.zeros_(convolution.bias)
        nn.init.zeros_(self.last.weight)

    @property
    def last(self) -> nn.Linear:
        """The layer that gives the motion."""
        layer = self.linear[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def normalized(self, photos_BCHW: torch.Tensor) -> torch.Tensor:
        """uint8 photos as the network sees them: zero mean, unit deviation per channel."""
        return (photos_BCHW.float() - self.mean) / self.deviation

    def forward(self, first_BCHW: torch.Tensor, second_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, outputs) of normalized photos."""
        stacked = torch.cat([first_BCHW, second_BCHW], dim=1).contiguous(memory_format=torch.channels_last)
        found: torch.Tensor = self.linear(self.convolutions(stacked).flatten(1))
        return found


def menet_parameters(height: int = REPORT_SIDE, width: int = REPORT_SIDE, hidden: tuple[int, ...] = REPORT_HIDDEN) -> int:
    """Parameters of a MeNet, all of them trained; it has no backbone. By default on the report's crops."""
    with torch.device("meta"):
        return parameter_count(MeNet(height, width, hidden))
