#!/usr/bin/env python3
"""Writes what an earlier build of dim-dist left, and what it did next, for EarlierRunTests.

    python3 Tests/CommandTests/Fixtures/earlier_runs.py EARLIER_PROGRAM

`images` is an IDX file of noise. `infoNCE` and `mixture` are run directories of 3 steps, with `next-steps.jsonl`, the
metrics of steps 4 and 5 when they are resumed, and `code.npy`, what `embed` makes of the images at step 3. The prior's
discriminator has 218,000 numbers and twice as many moments, whatever the settings: of each the sign, the exponent and
two bits of the rest are kept, and the checksums made anew, so that the files become small as .gz. Only the standard library is needed.
"""
import gzip, json, pathlib, random, re, shutil, struct, subprocess, sys, tempfile, zlib

fixtures = pathlib.Path(__file__).resolve().parent
program = pathlib.Path(sys.argv[1]).resolve()
STEPS, NEXT = 3, 5

COMMON = {
    "batch": 16, "critic.units": 16, "optimiser.rate": 1e-3, "optimiser.warmupSteps": 0, "optimiser.epsilon": 1e-5,
    "checkpoint.keep": 1, "encoder.kind": "convolutional", "encoder.code": 12, "encoder.fullyConnected": "[24]",
    "encoder.blocks": "[{ channels: 8 }, { channels: 16 }]", "encoder.local": 0,
}
RUNS = {
    "infoNCE": {},
    "mixture": {
        "objective.globalWeight": 0.5, "objective.localWeight": 0.75, "objective.coordinatesWeight": 0.25,
        "objective.prior.weight": 0.125, "objective.prior.optimiser.rate": 1e-3,
        "objective.prior.optimiser.epsilon": 1e-5, "objective.occlusion": 3,
    },
}


def run(folder, *arguments):
    subprocess.run([program, *map(str, arguments)], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def train(folder, name, steps, settings, *more):
    typed = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    run(folder, "train", "--data", "images", "--output", name, "--steps", steps, *typed, *more)


def coarsened(data):
    """A safetensors file with the lowest 21 bits of the discriminator's numbers cleared."""
    start = 8 + struct.unpack_from("<Q", data)[0]
    result = bytearray(data)
    for name, entry in json.loads(data[8:start]).items():
        if name.split(".")[-3] != "discriminator":
            continue
        first, last = (start + offset for offset in entry["data_offsets"])
        numbers = struct.unpack(f"<{(last - first) // 4}I", data[first:last])
        result[first:last] = struct.pack(f"<{len(numbers)}I", *(number & 0xFFE00000 for number in numbers))
    return bytes(result)


def coarsen(checkpoint):
    manifest = (checkpoint / "manifest.json").read_text()
    for name in "model.safetensors", "optimiser.safetensors":
        before = (checkpoint / name).read_bytes()
        after = coarsened(before)
        (checkpoint / name).write_bytes(after)
        manifest = manifest.replace(str(zlib.crc32(before)), str(zlib.crc32(after)))
    # The manifest's own checksum is of all but its line.
    own = re.compile(r'^  "crc32" : \d+,\n', re.MULTILINE)
    checksum = zlib.crc32(own.sub("", manifest).encode())
    (checkpoint / "manifest.json").write_text(own.sub(f'  "crc32" : {checksum},\n', manifest))


def keep(folder, name):
    """Copies a run's files to the fixtures, arrays as .gz."""
    shutil.rmtree(fixtures / name, ignore_errors=True)
    shutil.copytree(folder / name, fixtures / name, ignore=shutil.ignore_patterns(".lock"))
    for path in (fixtures / name).glob("**/*.safetensors"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()


with tempfile.TemporaryDirectory(prefix="earlier-runs-") as path:
    folder = pathlib.Path(path)
    noise = random.Random(5)
    pixels = bytes(40 * (image % 4) + noise.randrange(100) for image in range(48) for _ in range(10 * 10))
    (fixtures / "images").write_bytes(struct.pack(">4I", 2051, 48, 10, 10) + pixels)
    shutil.copy(fixtures / "images", folder)
    for name, settings in RUNS.items():
        train(folder, name, STEPS, COMMON | settings)
        coarsen(folder / name / f"checkpoints/step-{STEPS:08d}")
        keep(folder, name)
        run(folder, "embed", "--run", name, "--output", fixtures / name / "code.npy")
        train(folder, name, NEXT, {}, "--resume")
        lines = (folder / name / "metrics.jsonl").read_text().splitlines(keepends=True)
        (fixtures / name / "next-steps.jsonl").write_text("".join(lines[STEPS:]))
