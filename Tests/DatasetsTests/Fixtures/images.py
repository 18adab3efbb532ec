#!/usr/bin/env python3
"""Writes small image files and what Pillow makes of them (images.json). Needs Pillow and numpy.

    python3 Tests/DatasetsTests/Fixtures/images.py

Pixels are a smooth pattern with an edge, so that JPEG changes them little and a resizing filter shows.
"""
import json
import pathlib
import struct
import zlib

import numpy
from PIL import Image, __version__

folder = pathlib.Path(__file__).parent
HEIGHT, WIDTH = 18, 24


def pattern(height, width):
    y, x = numpy.mgrid[0:height, 0:width]
    red = 127 + 100 * numpy.sin(x / 5) * numpy.cos(y / 7)
    green = 40 + 8 * x
    blue = numpy.where(x + y < 18, 200, 60) + y
    return numpy.stack([red, green, blue], -1).round().clip(0, 255).astype(numpy.uint8)


def interlaced_png(pixels):
    """Pillow writes none."""
    height, width, channels = pixels.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    raw = b"".join(
        b"\0" + row.tobytes() for y, x, dy, dx in passes for row in pixels[y::dy, x::dx] if row.size)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


rgb = pattern(HEIGHT, WIDTH)
image = Image.fromarray(rgb)
alpha = numpy.full((HEIGHT, WIDTH), 255, numpy.uint8)
alpha[:, :6] = 0
alpha[:, 6:12] = 100

image.save(folder / "rgb.png")
image.convert("L").save(folder / "grey.png")
image.quantize(16).save(folder / "palette.png")
image.convert("1").save(folder / "bits.png")
Image.fromarray(numpy.dstack([rgb, alpha])).save(folder / "alpha.png")
Image.fromarray(rgb[..., 0].astype(numpy.uint16) * 257).save(folder / "grey16.png")
(folder / "interlaced.png").write_bytes(interlaced_png(rgb))
image.save(folder / "rgb.jpg", quality=95)
image.save(folder / "progressive.jpg", quality=95, progressive=True)
image.convert("L").save(folder / "grey.jpg", quality=95)
image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
turned = Image.Exif()
turned[0x0112] = 6
image.save(folder / "turned.jpg", quality=95, exif=turned)


def decoded(name, mode):
    if name == "alpha.png":
        result = Image.alpha_composite(Image.new("RGBA", (WIDTH, HEIGHT), "black"), Image.open(folder / name))
    elif name == "grey16.png":
        result = Image.fromarray((numpy.asarray(Image.open(folder / name)) // 257).astype(numpy.uint8))
    else:
        result = Image.open(folder / name)
    return numpy.asarray(result.convert(mode)).tobytes().hex()


def squared(values, side):
    """The shorter side resized, the middle cut out."""
    height, width = values.shape[:2]
    square = min(height, width)
    left, top = (width - square) // 2, (height - square) // 2
    box = (left, top, left + square, top + square)
    return numpy.asarray(Image.fromarray(values).resize((side, side), Image.BILINEAR, box=box)).tobytes().hex()


def texture(height, width):
    """Whole numbers that any language makes alike, with differences of all sizes."""
    y, x = numpy.mgrid[0:height, 0:width]
    return ((7 * x * x + 11 * x * y + 5 * y * y) % 256).astype(numpy.uint8)


# Height, width and side, of steps between 1 and 1.5 above all.
SIZES = [(39, 39, 32), (45, 60, 32), (90, 83, 64), (100, 33, 32), (20, 23, 32), (1, 3, 4), (300, 280, 5)]

names = sorted(path.name for path in folder.iterdir() if path.suffix in (".png", ".jpg"))
result = {
    "pillow": __version__,
    "height": HEIGHT,
    "width": WIDTH,
    "rgb": {name: decoded(name, "RGB") for name in names},
    "grey": {name: decoded(name, "L") for name in ["rgb.jpg", "grey.jpg", "grey.png", "grey16.png", "cmyk.jpg"]},
    "resized": {str(side): squared(rgb, side) for side in (5, 8, 18, 27)},
    "textures": [
        {"height": height, "width": width, "side": side, "resized": squared(texture(height, width), side)}
        for height, width, side in SIZES
    ],
}
(folder / "images.json").write_text(json.dumps(result) + "\n")
