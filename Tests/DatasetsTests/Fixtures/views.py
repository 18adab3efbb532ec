#!/usr/bin/env python3
"""Writes views.json: an image, changes of it by torchvision with given parameters, and frequencies of its random crops.
Needs torch, torchvision and numpy.

    python3 Tests/DatasetsTests/Fixtures/views.py

All changes are of float images, without rounding in between.
"""
import base64
import json
import pathlib

import numpy
import torch
import torchvision
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

HEIGHT, WIDTH = 20, 24
y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
image = numpy.stack([
    127 + 100 * numpy.sin(x / 3) * numpy.cos(y / 4),
    20 + 9 * x,
    numpy.where(x + y < 20, 230, 40) + y,
], -1).round().clip(0, 255).astype(numpy.uint8)
pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255


def encoded(array, kind):
    return base64.b64encode(numpy.ascontiguousarray(array, kind).tobytes()).decode()


def cropped(window, side, source=pixels):
    return functional.resized_crop(source, *window, [side, side], antialias=True)


cases = []


def case(name, result, **parameters):
    result = result.permute(1, 2, 0).numpy()
    cases.append(dict(name=name, shape=result.shape[:2], values=encoded(result, "<f4"), **parameters))


# Larger, smaller, wider and higher than the view, and the whole image.
for window, side in [((3, 5, 8, 9), 16), ((1, 2, 18, 21), 7), ((6, 1, 3, 22), 12), ((0, 10, 20, 4), 12),
                     ((0, 0, 20, 24), 20), ((2, 3, 16, 16), 16)]:
    case(f"crop {window} to {side}", cropped(window, side), crop=window)
square = cropped((2, 3, 16, 16), 16)
case("flip", functional.horizontal_flip(square), crop=(2, 3, 16, 16), isMirrored=True)
case("vertical flip", functional.vertical_flip(square), crop=(2, 3, 16, 16), isUpsideDown=True)
for turns in 1, 2, 3:
    case(f"{turns} quarter turns", torch.rot90(square, turns, (1, 2)), crop=(2, 3, 16, 16), quarterTurns=turns)
    case(f"a flip and {turns} quarter turns", torch.rot90(functional.horizontal_flip(square), turns, (1, 2)),
         crop=(2, 3, 16, 16), isMirrored=True, quarterTurns=turns)
for deviation, radius in (0.7, 1), (1.5, 3), (2, 9):
    size = 2 * radius + 1
    case(f"blur {deviation}", functional.gaussian_blur(pixels, [size, size], [deviation, deviation]),
         deviation=deviation, radius=radius)
for threshold in 0.5, 0.2:
    case(f"solarise {threshold}", functional.solarize(pixels, threshold), solarise=threshold)
for factor in 0.6, 1.4:
    case(f"brightness {factor}", functional.adjust_brightness(pixels, factor), brightness=factor)
    case(f"contrast {factor}", functional.adjust_contrast(pixels, factor), contrast=factor)
    case(f"saturation {factor}", functional.adjust_saturation(pixels, factor), saturation=factor)
case("grey", functional.rgb_to_grayscale(pixels, 3), saturation=0.0)
# Factors below 1, so that nothing is clipped between the changes.
chain = functional.horizontal_flip(cropped((3, 5, 8, 9), 16))
chain = functional.adjust_saturation(functional.adjust_contrast(functional.adjust_brightness(chain, 0.9), 0.8), 0.7)
chain = functional.solarize(functional.gaussian_blur(chain, [3, 3], [0.9, 0.9]), 0.55)
case("chain", chain, crop=(3, 5, 8, 9), isMirrored=True, brightness=0.9, contrast=0.8, saturation=0.7,
     deviation=0.9, radius=1, solarise=0.55)

crops = []
for height, width, least, most, ratio in (32, 32, 0.2, 1, 4 / 3), (20, 48, 0.3, 0.9, 4 / 3), (32, 32, 0.05, 0.4, 2):
    torch.manual_seed(0)
    transform = v2.RandomResizedCrop(1, (least, most), (1 / ratio, ratio))
    drawn = [transform.make_params([torch.zeros(3, height, width)]) for _ in range(20000)]
    rows, columns, tops, lefts = (numpy.array([d[k] for d in drawn]) for k in ("height", "width", "top", "left"))
    measures = dict(area=rows * columns / (height * width), ratio=columns / rows, top=tops, left=lefts)
    crops.append(dict(
        height=height, width=width, least=least, most=most, widest=ratio,
        measures={name: [[float(limit), float((values <= limit).mean())]
                         for limit in numpy.quantile(values, [0.1, 0.3, 0.5, 0.7, 0.9])]
                  for name, values in measures.items()}))

result = dict(
    versions=dict(torch=torch.__version__, torchvision=torchvision.__version__), height=HEIGHT, width=WIDTH,
    image=encoded(image, "u1"), cases=cases, crops=crops)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
