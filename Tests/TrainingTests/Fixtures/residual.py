"""Makes residual.json: small residual networks of torchvision, forward and backward, for ResidualNetworkTests.

    python3 Tests/TrainingTests/Fixtures/residual.py > Tests/TrainingTests/Fixtures/residual.json

Needs torch and torchvision. Networks have torchvision's own blocks and forward pass, at width 4 with one block a stage.
Numbers are waves, which the test computes too: element i of the array with the number k among all arrays, sorted by
name, is offset + scale·(sin(0.7i + k) + sin(0.49i))/2. The loss is the sum of the pooled features times waves. The number of
the images is the one, of many, that keeps inputs of rectifiers farthest from 0: nearer than rounding, a gradient jumps.
"""
import json, sys
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

torch.set_default_dtype(torch.float64)
WIDTH, IMAGES, HEIGHT, SIDE = 4, 5, 12, 17


def waves(count, number, scale, offset=0.0):
    i = torch.arange(count, dtype=torch.float64)
    values = offset + scale * (torch.sin(0.7 * i + number) + torch.sin(0.49 * i)) / 2
    return values.to(torch.float32).to(torch.float64)  # as the test has them


def network(block, stem, blocks):
    model = ResNet(block, [1, 1, 1, 1])
    model.inplanes = WIDTH
    if stem == "imageNet":
        model.conv1 = nn.Conv2d(3, WIDTH, 7, stride=2, padding=3, bias=False)
    else:
        model.conv1, model.maxpool = nn.Conv2d(3, WIDTH, 3, padding=1, bias=False), nn.Identity()
    model.bn1 = nn.BatchNorm2d(WIDTH)
    for stage, count in enumerate(blocks):
        layer = model._make_layer(block, WIDTH << stage, count, stride=1 if stage == 0 else 2)
        setattr(model, f"layer{stage + 1}", layer)
    model.fc = nn.Identity()
    arrays = dict(model.named_parameters())
    arrays.update({name: value for name, value in model.named_buffers() if "num_batches" not in name})
    for number, name in enumerate(sorted(arrays)):
        array = arrays[name]
        if array.dim() == 4:
            scale, offset = 2 / (array[0].numel() ** 0.5), 0.0
        elif name.endswith("running_mean") or name.endswith("bias"):
            scale, offset = 0.3, 0.1
        else:  # scales and running variances
            scale, offset = 0.4, 1.0
        array.data.copy_(waves(array.numel(), number, scale, offset).reshape(array.shape))
    return model, arrays


def images_of(number):
    return waves(IMAGES * HEIGHT * SIDE * 3, number, 2.0).reshape(IMAGES, HEIGHT, SIDE, 3).permute(0, 3, 1, 2)


def distance(block, stem, blocks, number):
    """The smallest magnitude of a rectifier's input in training."""
    model, _ = network(block, stem, blocks)
    smallest = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: smallest.append(inputs[0].abs().min().item()))
    model.train()
    model(images_of(number))
    return min(smallest)


def case(block, stem, blocks):
    number = max(range(100, 200), key=lambda number: distance(block, stem, blocks, number))
    print(stem, blocks, "rectifiers at", distance(block, stem, blocks, number), file=sys.stderr)
    model, arrays = network(block, stem, blocks)
    images = images_of(number)
    model.eval()
    evaluated = model(images)
    model.train()
    trained = model(images)
    (trained * waves(trained.numel(), 200, 1.0).reshape(trained.shape)).sum().backward()
    gradients = {}
    for name, array in model.named_parameters():
        gradient = array.grad.flatten()
        gradients[name] = [gradient.norm().item(), (gradient * waves(gradient.numel(), 300, 1.0)).sum().item()]
    statistics = {name: value.norm().item() for name, value in arrays.items() if "running" in name}
    return {
        "bottleneck": block is Bottleneck, "stem": stem, "blocks": blocks, "images": number,
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
        "evaluated": evaluated.flatten().tolist(), "trained": trained.flatten().tolist(),
        "gradients": gradients, "statistics": statistics}


cases = [
    case(block, stem, blocks)
    for block, stem, blocks in [
        (BasicBlock, "cifar", [1, 1, 1, 1]), (BasicBlock, "imageNet", [1, 2, 1, 1]),
        (Bottleneck, "cifar", [1, 1, 2, 1]), (Bottleneck, "imageNet", [1, 1, 1, 1])]]


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


json.dump(rounded(cases), sys.stdout)
print()
