"""The residual and fast encoders in PyTorch, and the speed of their training steps on CPUs, forward and backward.

    python3 Tests/Reference/networks_torch.py [--network residual|fast] [--width W] [--batch B] [--side S]
        [--threads T] [--steps N] [--activation relu|gelu] [--precision float32|bfloat16]

Prints one JSON line with step_ms (the fastest and the median) and images_per_second (of the median), of the same loss as
`dim-dist bench step --method supervised --set encoder.code=0`: cross-entropy of 10 logits on the features. Images are
random, in channels-last memory. No optimiser moves anything, so dim-dist's step has its update more. Needs torch;
ResNet-18 is written out as torchvision has it, so torchvision isn't needed.
"""
import argparse, json, statistics, time
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class Residual(nn.Module):
    """ResNet-18 with the CIFAR stem."""

    def __init__(self, width):
        super().__init__()
        layers = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        inputs = width
        for stage in range(4):
            for index in range(2):
                layers.append(Block(inputs, width << stage, 2 if stage and not index else 1))
                inputs = width << stage
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        return self.fc(self.layers(x).mean(dim=(2, 3)))


class Fast(nn.Module):
    """After airbench94: 64-256-256 by default, with ReLU or GELU."""

    def __init__(self, width, activation=nn.ReLU):
        super().__init__()
        self.whitening = nn.Conv2d(3, 24, 2, bias=False).requires_grad_(False)
        self.activation = activation()
        inputs, groups = 24, []
        for outputs in (width, 4 * width, 4 * width):
            groups.append(nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(outputs),
                activation(), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs),
                activation()))
            inputs = outputs
        self.groups = nn.Sequential(*groups)
        self.fc = nn.Linear(2 * inputs, 10)

    def forward(self, x):
        x = self.groups(self.activation(self.whitening(x)))
        return self.fc(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=["residual", "fast"], default="fast")
    parser.add_argument("--activation", choices=["relu", "gelu"], default="relu")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    if arguments.network == "fast":
        model = Fast(arguments.width, (lambda: nn.ReLU(inplace=True)) if arguments.activation == "relu" else nn.GELU)
    else:
        model = Residual(arguments.width)
    model = model.to(memory_format=torch.channels_last)
    images = (2 * torch.rand(arguments.batch, 3, arguments.side, arguments.side) - 1).contiguous(
        memory_format=torch.channels_last)
    labels = torch.arange(arguments.batch) % 10
    times = []
    for _ in range(arguments.steps + 2):
        start = time.perf_counter()
        model.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bfloat16"):
            loss = F.cross_entropy(model(images), labels)
        loss.backward()
        times.append(1e3 * (time.perf_counter() - start))
    times = times[2:]
    median = statistics.median(times)
    print(json.dumps({
        "network": arguments.network, "width": arguments.width, "batch": arguments.batch, "side": arguments.side,
        "activation": arguments.activation, "threads": arguments.threads, "precision": arguments.precision, "step_ms": round(median, 2),
        "step_ms_lowest": round(min(times), 2), "images_per_second": round(1e3 * arguments.batch / median, 1)}))


if __name__ == "__main__":
    main()
