#!/usr/bin/env python3
"""Compares the speed of views with torchvision's, on one thread. Needs torch and torchvision.

    python3 Tests/Reference/views.py [PROGRAM] [ROUNDS]

Both make views of RGB images in memory by the recipe `simclr`: crop, flip, jitter, grey, blur, normalisation. torchvision
does so on uint8 tensors, an image at a time, because each view has its own numbers. They take turns, and the best
short round of each counts, because other work on the machine slows both. PROGRAM is .build/release/dim-dist unless given.
"""
import json
import subprocess
import sys
import time

import torch
from torchvision.transforms import v2

program = sys.argv[1] if len(sys.argv) > 1 else ".build/release/dim-dist"
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
torch.set_num_threads(1)


def ours(size, view, blurs):
    """Views a second"""
    command = [program, "bench", "views", "--recipe", "simclr", "--size", str(size), "--view-size", str(view),
               "--threads", "1", "--rounds", "10", "--json"]
    command += ["--set", f"data.augmentation.blur.probability={0.5 if blurs else 0}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)["views_per_second_highest"]


def theirs(size, view, blurs):
    blur = [v2.RandomApply([v2.GaussianBlur(view // 20 * 2 + 1, (0.1, 2))], 0.5)] if blurs else []
    transform = v2.Compose([
        v2.RandomResizedCrop(view, (0.2, 1), antialias=True), v2.RandomHorizontalFlip(),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8), v2.RandomGrayscale(0.1), *blur,
        v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3),
    ])
    images = torch.randint(0, 256, (64, 3, size, size), dtype=torch.uint8)
    best = 0
    for first in range(-8, 240, 8):  # a round warms up
        start = time.perf_counter()
        torch.stack([transform(images[i % 64]) for i in range(first, first + 8)])
        best = max(best, 8 / (time.perf_counter() - start) if first >= 0 else 0)
    return best


print("size  view  blur  dim-dist  torchvision  ratio   (views a second, one thread)")
for size, view, blurs in (32, 32, False), (32, 16, False), (96, 96, True), (256, 224, True), (500, 224, True):
    best = [0, 0]
    for _ in range(rounds):
        best = [max(best[0], ours(size, view, blurs)), max(best[1], theirs(size, view, blurs))]
    print(f"{size:4d}  {view:4d}  {str(blurs):5s} {best[0]:9.0f}  {best[1]:11.0f}  {best[0] / best[1]:5.1f}", flush=True)
