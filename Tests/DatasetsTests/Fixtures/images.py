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


PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(row, depth):
    """A line of samples as a PNG has them."""
    if depth == 16:
        return row.astype(">u2").tobytes()
    bits = (row.reshape(-1, 1).astype(numpy.uint8) >> numpy.arange(depth)[::-1]) & 1
    return numpy.packbits(bits).tobytes()


def write_png(name, samples, kind, depth=8, interlaced=False, chunks=()):
    """Any PNG, most of which Pillow doesn't write. Samples are [height, width] or [height, width, channels]."""
    height, width = samples.shape[:2]
    passes = PASSES if interlaced else [(0, 0, 1, 1)]
    raw = b"".join(
        b"\0" + packed(row, depth) for y, x, dy, dx in passes for row in samples[y::dy, x::dx] if row.size)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))


def number(value):
    return struct.pack(">I", value)


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

# Sixteen bits whose lower eight would round the upper ones up, or not.
wide = rgb.astype(numpy.uint16) * 256 + 131 * rgb.astype(numpy.uint16) % 256
wide_alpha = alpha.astype(numpy.uint16) * 257
WIDE = {
    "grey16.png": (wide[..., 0], GREY, False),
    "grey16-interlaced.png": (wide[..., 1], GREY, True),
    "rgb16.png": (wide, RGB, False),
    "rgb16-interlaced.png": (wide, RGB, True),
    "grey12.png": (wide[..., 0] >> 4, GREY, False),
    "grey16-alpha.png": (numpy.dstack([wide[..., 0], wide_alpha]), GREY_ALPHA, False),
    "alpha16.png": (numpy.dstack([wide, wide_alpha]), RGB_ALPHA, False),
}
for name, (samples, kind, interlaced) in WIDE.items():
    write_png(name, samples, kind, 16, interlaced)

profile = b"made up\0\0" + zlib.compress(bytes(200))
chromaticities = b"".join(number(value) for value in (31270, 32900, 70000, 30000, 20000, 75000, 12000, 5000))
gamma = (b"gAMA", number(100000))
write_png("interlaced.png", rgb, RGB, interlaced=True)
write_png("gamma.png", rgb, RGB, chunks=[gamma])
write_png("gamma-alpha.png", numpy.dstack([rgb, alpha]), RGB_ALPHA, chunks=[gamma])
write_png("gamma-grey.png", rgb[..., 0], GREY, chunks=[(b"gAMA", number(22727))])
write_png("chromaticities.png", rgb, RGB, chunks=[(b"gAMA", number(55556)), (b"cHRM", chromaticities)])
write_png("standard.png", rgb, RGB, chunks=[(b"sRGB", b"\1"), (b"gAMA", number(45455))])
write_png("profile.png", rgb, RGB, chunks=[(b"iCCP", profile)])
write_png("grey2.png", rgb[..., 0] >> 6, GREY, 2)
write_png("grey4.png", rgb[..., 0] >> 4, GREY, 4)
write_png("grey-key.png", rgb[..., 2], GREY, chunks=[(b"tRNS", struct.pack(">H", int(rgb[3, 3, 2])))])
write_png("rgb-key.png", rgb, RGB, chunks=[(b"tRNS", struct.pack(">3H", *map(int, rgb[3, 3])))])
write_png("grey-alpha.png", numpy.dstack([rgb[..., 0], alpha]), GREY_ALPHA)
colours = (b"PLTE", bytes(range(40, 88)))
for depth in (1, 2, 4):
    write_png(
        f"palette{depth}.png", rgb[..., 0] >> (8 - depth), PALETTE, depth, interlaced=depth == 4,
        chunks=[(b"PLTE", colours[1][: 3 << depth])])
write_png("palette-alpha.png", rgb[..., 0] >> 4, PALETTE, chunks=[colours, (b"tRNS", bytes(range(0, 255, 20)))])
image.save(folder / "rgb.jpg", quality=95)
image.save(folder / "progressive.jpg", quality=95, progressive=True)
image.convert("L").save(folder / "grey.jpg", quality=95)
image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
turned = Image.Exif()
turned[0x0112] = 6
image.save(folder / "turned.jpg", quality=95, exif=turned)


def decoded(name, mode):
    """What Pillow makes of a file, with what is transparent on black."""
    image = Image.open(folder / name)
    if name in WIDE:  # the upper bytes, which Pillow takes of colours only
        samples, kind, _ = WIDE[name]
        samples = samples.reshape(HEIGHT, WIDTH, -1).astype(numpy.int64)
        if kind in (GREY_ALPHA, RGB_ALPHA):
            samples = (samples[..., :-1] * samples[..., -1:] + 32767) // 65535
        values = (samples >> 8).astype(numpy.uint8)
        image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    elif image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", (WIDTH, HEIGHT), "black"), image.convert("RGBA"))
    if mode == "L":
        image = image.convert("RGB")  # Pillow's grey of a palette is rounded otherwise
    return numpy.asarray(image.convert(mode)).tobytes().hex()


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
    "grey": {name: decoded(name, "L") for name in names},
    "resized": {str(side): squared(rgb, side) for side in (5, 8, 18, 27)},
    "textures": [
        {"height": height, "width": width, "side": side, "resized": squared(texture(height, width), side)}
        for height, width, side in SIZES
    ],
}
(folder / "images.json").write_text(json.dumps(result) + "\n")
