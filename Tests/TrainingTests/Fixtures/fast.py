"""Makes fast.json: small fast networks in PyTorch, forward and backward, for FastNetworkTests.

    python3 Tests/TrainingTests/Fixtures/fast.py > Tests/TrainingTests/Fixtures/fast.json

Needs torch. The networks are written from the text of airbench94 (Jordan 2024, section 3.1), with the changes that the manual
names. The number of the images is the one, of many, that keeps inputs of rectifiers farthest from 0.
"""
import sys
import torch
from torch import nn
from network_fixture import distance, fill, images_of, record, write

CHANNELS, IMAGES = 2, 5


class Shift(nn.BatchNorm2d):
    """A batch norm without a scale."""

    def __init__(self, channels):
        super().__init__(channels, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        momentum = self.momentum if self.training else 0.0
        y = nn.functional.batch_norm(
            x, self.running_mean, self.running_var, training=self.training, momentum=momentum, eps=self.eps)
        return y + self.bias[:, None, None]


class Group(nn.Module):
    def __init__(self, inputs, outputs, convolutions):
        super().__init__()
        self.convolutions = convolutions
        for index in range(1, convolutions + 1):
            setattr(self, f"conv{index}", nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            setattr(self, f"norm{index}", Shift(outputs))
            setattr(self, f"relu{index}", nn.ReLU())
            inputs = outputs

    def forward(self, x):
        for index in range(1, self.convolutions + 1):
            x = getattr(self, f"conv{index}")(x)
            if index == 1 and min(x.shape[2:]) > 1:
                x = nn.functional.max_pool2d(x, 2)
            x = getattr(self, f"relu{index}")(getattr(self, f"norm{index}")(x))
        return x


class Fast(nn.Module):
    def __init__(self, widths, convolutions, pooling, layer):
        super().__init__()
        self.whitening = nn.Conv2d(CHANNELS, 8 * CHANNELS, 2, bias=False).requires_grad_(False)
        self.relu = nn.ReLU()
        inputs = 8 * CHANNELS
        for index, width in enumerate(widths):
            setattr(self, f"group{index + 1}", Group(inputs, width, convolutions))
            inputs = width
        self.count, self.pooling, self.layer = len(widths), pooling, layer

    def pool(self, x):
        pools = {"mean": [x.mean((2, 3))], "maximum": [x.amax((2, 3))], "both": [x.mean((2, 3)), x.amax((2, 3))]}
        return torch.cat(pools[self.pooling], 1)

    def forward(self, x):
        x = self.relu(self.whitening(x))
        maps = []
        for index in range(self.count):
            x = getattr(self, f"group{index + 1}")(x)
            maps.append(x)
        return self.pool(x) if self.layer == "fc" else torch.cat([self.pool(map) for map in maps], 1)


def case(widths, convolutions, pooling, layer, size):
    shape = (IMAGES, *size, CHANNELS)

    def network():
        model = Fast(widths, convolutions, pooling, layer)
        return model, fill(model)

    number = max(range(100, 200), key=lambda number: distance(network()[0], images_of(number, shape)))
    print(widths, size, "rectifiers at", distance(network()[0], images_of(number, shape)), file=sys.stderr)
    model, arrays = network()
    return {
        "widths": widths, "convolutions": convolutions, "pooling": pooling, "layer": layer, "size": list(size),
        "images": number, **record(model, arrays, images_of(number, shape))}


write([
    case([4, 6, 5], 2, "both", "fc", (13, 18)), case([4, 6], 1, "maximum", "stages", (9, 12)),
    case([16, 24], 3, "mean", "fc", (16, 11)), case([4, 5, 3], 2, "both", "stages", (6, 7))])
