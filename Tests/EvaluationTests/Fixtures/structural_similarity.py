"""Multi-scale structural similarity by scipy in float64; writes structural_similarity.json.
usage: python3 structural_similarity.py      (needs numpy and scipy)

Wang, Simoncelli & Bovik 2003, written from the paper: a dense 11x11 window at every place where it lies within the image.
Images are sums of waves, with pixels 0...255 (in base64); the second of a pair is the first with other contrast,
some blur and noise."""
import base64
import json
import pathlib

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate2d

WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
OFFSETS = np.arange(11) - 5
WINDOW = np.exp(-(OFFSETS[:, None] ** 2 + OFFSETS[None, :] ** 2) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()


def terms(x, y):
    filtered = lambda image: correlate2d(image, WINDOW, mode="valid")
    mx, my = filtered(x), filtered(y)
    vx, vy, cov = filtered(x * x) - mx**2, filtered(y * y) - my**2, filtered(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    contrast = (2 * cov + c2) / (vx + vy + c2)
    return contrast.mean(), (contrast * (2 * mx * my + c1) / (mx**2 + my**2 + c1)).mean()


def halved(image):
    h, w = image.shape[0] // 2 * 2, image.shape[1] // 2 * 2
    image = image[:h, :w]
    return (image[::2, ::2] + image[1::2, ::2] + image[::2, 1::2] + image[1::2, 1::2]) / 4


def similarity(x, y):
    count = next(s for s in range(5, 0, -1) if min(x.shape) >> (s - 1) >= 11)
    weights = WEIGHTS[:count] / WEIGHTS[:count].sum()
    result = 1.0
    for scale in range(count):
        contrast, whole = terms(x, y)
        result *= max(whole if scale == count - 1 else contrast, 0) ** weights[scale]
        x, y = halved(x), halved(y)
    return count, result


rng = np.random.default_rng(5)
cases = []
for height, width, channels in [(11, 14, 1), (32, 32, 3), (28, 28, 1), (47, 64, 1), (176, 176, 1)]:
    rows, columns = np.mgrid[:height, :width]
    waves = rng.uniform(-0.5, 0.5, (6, 2)), rng.uniform(0, 6.28, (6, channels))
    image = 127 + 30 * sum(
        np.sin(a * rows[..., None] + b * columns[..., None] + p) for (a, b), p in zip(*waves))
    x = np.clip(np.round(image), 0, 255)
    y = 0.8 * gaussian_filter(x, (1, 1, 0)) + 20 + rng.normal(0, 8, x.shape)
    y = np.clip(np.round(y), 0, 255)
    values = [similarity(x[..., c], y[..., c]) for c in range(channels)]
    cases.append({
        "height": height, "width": width, "channels": channels, "scales": values[0][0],
        "x": base64.b64encode(x.astype(np.uint8)).decode(), "y": base64.b64encode(y.astype(np.uint8)).decode(),
        "similarity": float(np.mean([v for _, v in values]))})
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
print([(c["height"], c["scales"], c["similarity"]) for c in cases])
