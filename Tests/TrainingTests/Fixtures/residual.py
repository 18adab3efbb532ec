"""Makes residual.json: small residual networks of torchvision, forward and backward, for ResidualNetworkTests.

    python3 Tests/TrainingTests/Fixtures/residual.py > Tests/TrainingTests/Fixtures/residual.json

Needs torch and torchvision. Networks have torchvision's own blocks and forward pass, at width 4 with one block a stage or two.
The number of the images is the one, of many, that keeps inputs of rectifiers farthest from 0.
"""
import sys
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from network_fixture import distance, fill, images_of, record, write

WIDTH, SHAPE = 4, (5, 12, 17, 3)


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
    return model, fill(model)


def case(block, stem, blocks):
    def smallest(number):
        return distance(network(block, stem, blocks)[0], images_of(number, SHAPE))

    number = max(range(100, 200), key=smallest)
    print(stem, blocks, "rectifiers at", smallest(number), file=sys.stderr)
    model, arrays = network(block, stem, blocks)
    return {
        "bottleneck": block is Bottleneck, "stem": stem, "blocks": blocks, "images": number,
        **record(model, arrays, images_of(number, SHAPE))}


write([
    case(block, stem, blocks)
    for block, stem, blocks in [
        (BasicBlock, "cifar", [1, 1, 1, 1]), (BasicBlock, "imageNet", [1, 2, 1, 1]),
        (Bottleneck, "cifar", [1, 1, 2, 1]), (Bottleneck, "imageNet", [1, 1, 1, 1])]])
