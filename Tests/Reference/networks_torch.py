"""SimCLR on residual and fast encoders in PyTorch, and the speed of its training steps on CPUs beside dim-dist's.

    python3 Tests/Reference/networks_torch.py [--network residual|fast] [--width W] [--batch B] [--side S]
        [--threads T] [--steps N] [--activation relu|gelu] [--precision float32|bfloat16]
    torchrun --nproc_per_node 2 Tests/Reference/networks_torch.py …
    python3 Tests/Reference/networks_torch.py --compare PROGRAM [--rounds N] [--precisions float32,bfloat16] [--ranks 1,2]

The first two print one JSON line with step_ms (the fastest and the median) and images_per_second (of the median, of all
ranks). --compare runs this script and PROGRAM, a dim-dist, in turn, each with a thread a rank, and prints the median speeds, their
range, and the ratio.

A step is that of `dim-dist bench step --method simclr --set encoder.code=0`: two views of random images, a projector
512-128, NT-Xent over all ranks, backward, and SGD with momentum. Images are in channels-last memory. With several ranks
the models are DistributedDataParallel with batch norms of each rank alone, as people run it; dim-dist's are of all ranks.
Needs torch; ResNet-18 is written out as torchvision has it, so torchvision isn't needed.
"""
import argparse, json, os, statistics, subprocess, sys, time
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
        self.width = inputs

    def forward(self, x):
        return self.layers(x).mean(dim=(2, 3))


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
        self.width = 2 * inputs

    def forward(self, x):
        x = self.groups(self.activation(self.whitening(x)))
        return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)


class SimCLR(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.projector = nn.Sequential(
            nn.Linear(encoder.width, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(inplace=True),
            nn.Linear(512, 128, bias=False), nn.BatchNorm1d(128, affine=False))

    def forward(self, x):
        return F.normalize(self.projector(self.encoder(x)), dim=1)


class Gather(torch.autograd.Function):
    """All ranks' rows, with the gradient of this rank's."""

    @staticmethod
    def forward(context, x):
        parts = [torch.empty_like(x) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(context, gradient):
        torch.distributed.all_reduce(gradient)
        return gradient.chunk(torch.distributed.get_world_size())[torch.distributed.get_rank()]


def nt_xent(z, ranks, temperature=0.5):
    """z: [2n, D], the second views after the first."""
    first, second = z.float().chunk(2)
    if ranks > 1:
        first, second = Gather.apply(first.contiguous()), Gather.apply(second.contiguous())
    z = torch.cat([first, second])
    scores = z @ z.T / temperature
    scores = scores.masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    return F.cross_entropy(scores, torch.arange(len(z)).roll(len(first)))


def measure(arguments):
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    if ranks > 1:
        torch.distributed.init_process_group("gloo")
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    activation = (lambda: nn.ReLU(inplace=True)) if arguments.activation == "relu" else nn.GELU
    encoder = Fast(arguments.width, activation) if arguments.network == "fast" else Residual(arguments.width)
    model = SimCLR(encoder).to(memory_format=torch.channels_last)
    if ranks > 1:
        model = nn.parallel.DistributedDataParallel(model)
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.SGD(moving, lr=1e-3, momentum=0.9, nesterov=True)
    views = 2 * arguments.batch // ranks
    images = (2 * torch.rand(views, 3, arguments.side, arguments.side) - 1).contiguous(
        memory_format=torch.channels_last)
    times = []
    for _ in range(arguments.steps + 2):
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bfloat16"):
            z = model(images)
        nt_xent(z, ranks).backward()
        optimiser.step()
        times.append(1e3 * (time.perf_counter() - start))
    times = times[2:]
    median = statistics.median(times)
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps({
            "network": arguments.network, "width": arguments.width, "batch": arguments.batch, "side": arguments.side,
            "activation": arguments.activation, "ranks": ranks, "threads": arguments.threads,
            "precision": arguments.precision, "step_ms": round(median, 2), "step_ms_lowest": round(min(times), 2),
            "images_per_second": round(1e3 * arguments.batch / median, 1)}))
    if ranks > 1:
        torch.distributed.destroy_process_group()


def last_json(command):
    environment = dict(os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads(next(line for line in reversed(output.splitlines()) if line.startswith("{")))


def compare(arguments):
    print(f"torch {torch.__version__}, batch {arguments.batch}, medians of {arguments.rounds} rounds (range), images/s")
    for network, width, side in [("fast", 64, 32), ("fast", 64, 16), ("residual", 16, 32), ("residual", 64, 32)]:
        settings = ["encoder.code=0", f"encoder.kind={network}", "optimiser.kind=sgd", "optimiser.nesterov=true"]
        settings += [f"encoder.residual.width={width}"] if network == "residual" else []
        settings += [f"views.largeSize={side}"] if side != 32 else []
        steps = 4 if (network, width) == ("residual", 64) else 10
        for precision in arguments.precisions.split(","):
            for ranks in map(int, arguments.ranks.split(",")):
                peer = ["torchrun", "--nproc_per_node", str(ranks)] if ranks > 1 else [sys.executable]
                peer[:1] = [sys.executable, "-m", "torch.distributed.run"] if ranks > 1 else peer[:1]
                peer += [
                    __file__, "--network", network, "--width", str(width), "--side", str(side), "--batch",
                    str(arguments.batch), "--steps", str(steps), "--precision", precision]
                own = ["mpirun", "--bind-to", "core", "-np", str(ranks)] if ranks > 1 else []
                own += [
                    arguments.compare, "bench", "step", "--method", "simclr", "--batch", str(arguments.batch),
                    "--threads", "1", "--steps", str(steps), "--precision", precision, "--json"]
                own += [word for setting in settings for word in ("--set", setting)]
                speeds = {"torch": [], "dim-dist": []}
                for _ in range(arguments.rounds):
                    speeds["torch"].append(last_json(peer)["images_per_second"])
                    speeds["dim-dist"].append(last_json(own)["images_per_second"])
                texts = [
                    f"{name} {statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})"
                    for name, found in speeds.items()]
                ratio = statistics.median(speeds["dim-dist"]) / statistics.median(speeds["torch"])
                print(f"{network} width {width} side {side} {precision} {ranks} ranks: {', '.join(texts)}: "
                      f"{ratio:.2f}x", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", choices=["residual", "fast"], default="fast")
    parser.add_argument("--activation", choices=["relu", "gelu"], default="relu")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--compare", metavar="PROGRAM")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precisions", default="float32")
    parser.add_argument("--ranks", default="1,2")
    arguments = parser.parse_args()
    compare(arguments) if arguments.compare else measure(arguments)


if __name__ == "__main__":
    main()
