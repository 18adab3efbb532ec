"""Random numbers, batches and views of `methods.py`, as dim-dist draws them from a seed, written anew.

Philox4x32-10 (Salmon et al. 2011), whose counter says what a number is for.
"""
import math
import numpy as np
import torch

HEIGHT, WIDTH, CHANNELS = 16, 20, 3
# 2 steps an epoch, which leave images out; each shard gives a quarter of a batch.
IMAGES, BATCH, SHARDS, SEED = 56, 24, 4, 12345678901
CROP = 3
PURPOSES = dict(permutation=2, augmentation=3, shuffle=9, latent=10)


def philox(key, counter):
    """Philox4x32-10"""
    (k0, k1), (c0, c1, c2, c3), mask = key, counter, 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & mask, (a >> 32) ^ c3 ^ k1, a & mask
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return c0, c1, c2, c3


def words(purpose, step=0, sample=0, part=0):
    key, draw = (SEED & 0xFFFFFFFF, SEED >> 32), 0
    while True:
        yield from philox(key, (draw, sample, step, PURPOSES[purpose] | part << 16))
        draw += 1


def index(stream, bound):
    return next(stream) * bound >> 32


def permutation(stream, count):
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = index(stream, i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def normal(stream):
    u, v = ((next(stream) >> 8) * 2.0 ** -24 for _ in range(2))
    return float(np.float32(math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v)))


def noise(step, part, width):
    """[BATCH, width], a stream for each place in the batch"""
    rows = (words("latent", step, place, part) for place in range(BATCH))
    return torch.tensor([[normal(row) for _ in range(width)] for row in rows])


def batch(draw):
    """Numbers of the images of a batch, and their epoch"""
    size, share = IMAGES // SHARDS, BATCH // SHARDS
    epoch, place = divmod(draw, size // share)
    images = []
    for shard in range(SHARDS):
        order = permutation(words("permutation", epoch, shard), size)
        images += [shard * size + i for i in order[place * share:(place + 1) * share]]
    return images, epoch


def augmented(pixels, image, epoch, view):
    """[height, width, channels]: moved, with its reflection where that leaves room, and mirrored or not"""
    stream = words("augmentation", epoch, image, view)
    top, left = index(stream, 2 * CROP + 1), index(stream, 2 * CROP + 1)
    padded = np.pad(pixels[image], ((CROP, CROP), (CROP, CROP), (0, 0)), mode="reflect")
    moved = padded[top:top + HEIGHT, left:left + WIDTH]
    return moved[:, ::-1] if index(stream, 2) == 1 else moved


def tensor(images):
    """[n, channels, height, width]"""
    return torch.tensor(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
