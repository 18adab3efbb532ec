"""Holds training by `byol` and `factorVAE` against the same methods written anew in PyTorch, in float64.

    python3 Tests/Reference/methods.py [PATH_OF_dim-dist]      needs numpy, torch; prints a table, exits 1 on a miss

Small networks on images of noise, at 1 rank, at 3, whose shares differ, and at 2 in micro-batches. PyTorch starts from
the arrays of `train --steps 0` and draws the same batches, views and noise. Compared are: the terms of each step; all
arrays behind the last one, running statistics included, and what the steps changed in them; features of the trained
run. After Grill et al. 2020 (BYOL) and Kim & Mnih 2018 (FactorVAE). It takes less than a minute.
"""
import json, math, os, subprocess, sys, tempfile
import numpy as np
import torch
from draws import BATCH, CHANNELS, CROP, HEIGHT, IMAGES, SEED, SHARDS, WIDTH, philox, tensor
from torch_methods import ADAM, BYOL, ENCODER, SETTINGS, STEPS, FactorVAE

WORLDS = [(1, 0), (3, 0), (2, 5)]  # ranks, images of a micro-batch
COUNTS = "num_batches_tracked"  # PyTorch's own


def arrays(run, step):
    """The arrays of a checkpoint (safetensors)"""
    data = open(f"{run}/checkpoints/step-{step:08}/model.safetensors", "rb").read()
    start = 8 + int.from_bytes(data[:8], "little")
    result = {}
    for name, entry in json.loads(data[8:start]).items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[start + begin:start + end], dtype="<f4")
        result[name] = values.reshape(entry["shape"]).astype(np.float64)
    return result


def load(model, values):
    """Sets all arrays of a model, which has to have just these."""
    differing = sorted(set(saved(model)) ^ set(values))
    if differing:
        sys.exit(f"arrays that only one side has: {', '.join(differing)}")
    model.load_state_dict({name: torch.tensor(value) for name, value in values.items()}, strict=False)


def saved(model):
    return {name: value.numpy().copy() for name, value in model.state_dict().items() if not name.endswith(COUNTS)}


def train(program, configuration, output, steps, ranks, micro_batch):
    with open(f"{output}.json", "w") as file:
        json.dump(dict(configuration, steps=steps, microBatch=micro_batch), file)
    subprocess.run(
        [program, "train", "--config", f"{output}.json", "--output", output, *world(ranks)], check=True,
        stdout=subprocess.DEVNULL)


def world(ranks):
    return ["--transport", "threads", "--ranks", str(ranks)] if ranks > 1 else ["--transport", "none"]


class Table:
    missed = False

    def line(self, of, what, value, expected, error, limit):
        miss = not error <= limit
        self.missed |= miss
        print(f"{of:25}{what:56}{value:>14}{expected:>14}{error:12.1e}{limit:10.0e}" + ("  MISSED" if miss else ""))

    def number(self, of, what, value, expected, limit):
        self.line(
            of, what, f"{value:.7g}", f"{expected:.7g}", abs(value - expected) / max(abs(expected), 1e-12), limit)

    def within(self, of, what, value, centre, limit):
        self.line(of, what, f"{value:.7g}", f"{centre:.7g}", abs(value - centre), limit)

    def worst(self, of, what, pairs, limit):
        """The largest relative distance of arrays; names to (ours, PyTorch's)"""
        def distance(name):
            own, theirs = pairs[name]
            result = np.linalg.norm(own - theirs) / max(np.linalg.norm(theirs), 1e-12)
            return result if np.isfinite(result) else math.inf

        name = max(pairs, key=distance)
        self.line(of, f"{what}: {name}", "", "", distance(name), limit)


def check(method, model, program, folder, pixels, ranks, micro_batch, table):
    of = f"{method}, {ranks} rank{'s' * (ranks > 1)}" + (f" by {micro_batch}" if micro_batch else "")
    run = f"{folder}/{method}-{ranks}"
    augmentation = dict(padCrop=CROP, flip=True) if method == "byol" else dict(padCrop=0, flip=False)
    configuration = dict(
        SETTINGS[method], method=method, batch=BATCH, seed=SEED, encoder=ENCODER, optimiser=ADAM,
        data=dict(path=f"{folder}/images.npy", virtualShards=SHARDS, augmentation=augmentation))
    for steps in (0, STEPS):
        train(program, configuration, f"{run}-{steps}", steps, ranks, micro_batch)
    first, last = arrays(f"{run}-0", 0), arrays(f"{run}-{STEPS}", STEPS)
    lines = [json.loads(line) for line in open(f"{run}-{STEPS}/metrics.jsonl")]

    load(model, first)
    if method == "byol":
        target = {name: value for name, value in first.items() if name.startswith("target.")}
        table.worst(of, "target starts online", {n: (v, first[n[7:]]) for n, v in target.items()}, 0)
    model.train()
    model.start()
    mean, deviation = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    later = {}
    for step in range(STEPS):
        expected = model.step(step, pixels, mean, deviation)
        values = dict(lines[step]["terms"], loss=lines[step]["loss"])
        if set(values) != set(expected):
            sys.exit(f"{method} has terms {sorted(values)}, expected {sorted(expected)}")
        if step > 0:
            later.update({f"{name}, step {step + 1}": (values[name], expected[name]) for name in expected})
            continue
        for name in expected:
            table.number(of, f"step 1, {name}", values[name], expected[name], 1e-5)
        if method == "byol":
            table.within(of, "start: loss, 4 where directions are random", values["loss"], 4, 1)
        else:
            table.within(of, "start: discriminator, ln 2 where it guesses", values["discriminator"], math.log(2), 0.01)
    table.worst(of, "later terms", later, 1e-4)

    theirs = saved(model)
    running = [name for name in last if ".running_" in name]
    moved = [name for name in last if name not in running]
    pairs = {name: (last[name], theirs[name]) for name in last}
    changes = {name: (last[name] - first[name], theirs[name] - first[name]) for name in last}
    table.worst(of, f"{len(moved)} parameters", {name: pairs[name] for name in moved}, 1e-4)
    table.worst(of, f"{len(running)} statistics", {name: pairs[name] for name in running}, 1e-4)
    table.worst(of, "changes", changes, 1e-3)
    whole = [np.concatenate([pair[k].ravel() for pair in pairs.values()]) for k in (0, 1)]
    table.worst(of, "all", {"arrays as one": whole}, 1e-5)

    load(model, last)
    model.eval()
    with torch.no_grad():
        features = model.features(tensor((pixels - mean) / deviation))
    subprocess.run(
        [program, "embed", "--run", f"{run}-{STEPS}", "--data", f"{folder}/images.npy", "--layer", ",".join(features),
         "--output", f"{run}.npz", *world(ranks)], check=True, stdout=subprocess.DEVNULL)
    embedded = np.load(f"{run}.npz")
    for name, value in features.items():
        table.worst(of, "features", {name: (embedded[name].astype(np.float64), value.numpy())}, 1e-5)


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".build/release/dim-dist")
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    ones = (0xFFFFFFFF,) * 4  # known answers of the authors
    assert philox((0, 0), (0, 0, 0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox(ones[:2], ones) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    images = np.random.default_rng(0).integers(0, 256, (IMAGES, HEIGHT, WIDTH, CHANNELS), dtype=np.uint8)
    table = Table()
    print(f"{'':25}{'':56}{'dim-dist':>14}{'PyTorch':>14}{'error':>12}{'limit':>10}")
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/images.npy", images)
        for method, model in (("byol", BYOL), ("factorVAE", FactorVAE)):
            for ranks, micro_batch in WORLDS:
                check(method, model(), program, folder, images / 255, ranks, micro_batch, table)
    print("something is off" if table.missed else "all within their limits")
    sys.exit(int(table.missed))


if __name__ == "__main__":
    main()
