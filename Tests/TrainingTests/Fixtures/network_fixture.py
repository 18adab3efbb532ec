"""What the scripts that make residual.json and fast.json share.

Numbers are waves, which the tests compute too: element i of the array with the number k among all arrays, sorted by
name, is offset + scale·(sin(0.7i + k) + sin(0.49i))/2. The loss is the sum of the features times waves.
"""
import json, sys
import torch
from torch import nn

torch.set_default_dtype(torch.float64)


def waves(count, number, scale, offset=0.0):
    i = torch.arange(count, dtype=torch.float64)
    values = offset + scale * (torch.sin(0.7 * i + number) + torch.sin(0.49 * i)) / 2
    return values.to(torch.float32).to(torch.float64)  # as the test has them


def fill(model):
    """Sets all arrays, and returns them by name."""
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
    return arrays


def images_of(number, shape):
    """Images [n, height, width, channels], as PyTorch has them."""
    return waves(torch.Size(shape).numel(), number, 2.0).reshape(shape).permute(0, 3, 1, 2)


def distance(model, images):
    """The smallest magnitude of a rectifier's input in training. Nearer to 0 than rounding, a gradient jumps."""
    smallest = []
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_pre_hook(lambda _, inputs: smallest.append(inputs[0].abs().min().item()))
    model.train()
    model(images)
    return min(smallest)


def record(model, arrays, images):
    """Features in both modes, gradients and running statistics."""
    model.eval()
    evaluated = model(images)
    model.train()
    trained = model(images)
    (trained * waves(trained.numel(), 200, 1.0).reshape(trained.shape)).sum().backward()
    gradients = {}
    for name, array in model.named_parameters():
        if not array.requires_grad:
            continue
        gradient = array.grad.flatten()
        gradients[name] = [gradient.norm().item(), (gradient * waves(gradient.numel(), 300, 1.0)).sum().item()]
    statistics = {name: value.norm().item() for name, value in arrays.items() if "running" in name}
    return {
        "shapes": {name: list(array.shape) for name, array in arrays.items()},
        "evaluated": evaluated.flatten().tolist(), "trained": trained.flatten().tolist(),
        "gradients": gradients, "statistics": statistics}


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def write(cases):
    json.dump(rounded(cases), sys.stdout)
    print()
