"""Gradients of one step of local Deep InfoMax in both precisions, beside PyTorch in float32 and autocast to bfloat16.

    python3 Tests/Reference/precision.py [PATH_OF_dim-dist] [--cifar10 data_batch_1.bin]      needs numpy and torch

The batch is 64 images of the file, or else of coloured noise. dim-dist trains for one step, and its gradients are its
first moments divided by 1 - beta1. PyTorch starts from the same parameters. Prints, by layer, the norm of the
difference from PyTorch's gradient in float64, divided by the norm of that. Exits 1 where float32 is off by more than
1e-5, or bfloat16 by more than autocast and a fifth.
"""
import argparse, json, struct, subprocess, sys, tempfile
import numpy, torch, torch.nn.functional as F

IMAGES, UNITS = 64, 512


def arrays(path):
    """The arrays of a safetensors file."""
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    result = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = entry["data_offsets"]
            result[name] = numpy.frombuffer(data[8 + size:][start:end], "<f4").reshape(entry["shape"]).copy()
    return result


def train(program, folder, name, steps, precision):
    run = f"{folder}/{name}"
    subprocess.run([
        program, "train", "--data", f"{folder}/images.npy", "--output", run, "--batch", str(IMAGES),
        "--steps", str(steps), "--precision", precision, "--set", "encoder.kind=basic32x32", "--set", f"critic.units={UNITS}",
        "--set", "objective.anchor=local"], check=True, capture_output=True)
    return f"{run}/checkpoints/step-{steps:08}"


def loss(p, images):
    """Of the published form: InfoNCE at each location, over the globals of all images. images: [N, C, H, W]

    dim-dist leaves out biases that add the same to all scores of a softmax."""
    def norm(x, name):
        return F.relu(F.batch_norm(x, None, None, p[f"{name}.weight"], p[f"{name}.bias"], training=True))

    def critic(x, side):  # [R, D] -> [R, U]
        name = f"critic.{side}"
        h = norm(F.linear(x, p[f"{name}.first.weight"]), f"{name}.norm")
        shortcut = F.linear(x, p[f"{name}.shortcut.weight"])
        return F.linear(h, p[f"{name}.last.weight"], p.get(f"{name}.last.bias")) + shortcut

    x = images
    for layer in (1, 2, 3):
        x = norm(F.conv2d(x, p[f"encoder.conv{layer}.weight"], None, 2, 1), f"encoder.norm{layer}")
        if layer == 2:
            local = x  # [N, 128, 8, 8]
    # dim-dist flattens NHWC maps
    h = norm(F.linear(x.permute(0, 2, 3, 1).flatten(1), p["encoder.fc.weight"]), "encoder.fc_norm")
    code = F.linear(h, p["encoder.code.weight"], p.get("encoder.code.bias"))
    rows = local.permute(0, 2, 3, 1).reshape(-1, local.shape[1])
    scores = critic(rows, "local") @ critic(code, "global").t()  # [N·M, N]
    scores = scores.reshape(len(images), -1, len(images)).double()
    own = torch.arange(len(images))
    return (scores.logsumexp(-1) - scores[own, :, own]).mean()


def gradients(parameters, images, dtype, autocast=False):
    p = {name: torch.tensor(value, dtype=dtype, requires_grad=True) for name, value in parameters.items()}
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value = loss(p, images.to(dtype))
    value.backward()
    return value.item(), {name: q.grad.double().numpy() for name, q in p.items() if q.grad is not None}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default=".build/release/dim-dist")
    parser.add_argument("--cifar10")
    arguments = parser.parse_args()
    program = arguments.program
    if arguments.cifar10:
        rows = numpy.fromfile(arguments.cifar10, numpy.uint8)[:3073 * IMAGES].reshape(IMAGES, 3073)
        pixels = rows[:, 1:].reshape(IMAGES, 3, 32, 32)
    else:
        coarse = numpy.random.default_rng(0).integers(0, 256, (IMAGES, 3, 8, 8), numpy.uint8)
        pixels = coarse.repeat(4, axis=2).repeat(4, axis=3)
    with tempfile.TemporaryDirectory() as folder:
        numpy.save(f"{folder}/images.npy", pixels.transpose(0, 2, 3, 1).copy())
        start = train(program, folder, "start", 0, "float32")
        parameters = arrays(f"{start}/model.safetensors")
        card = json.load(open(f"{start}/manifest.json"))["card"]["normalisation"]
        found = {}
        for precision in ("float32", "bfloat16"):
            step = train(program, folder, precision, 1, precision)
            moments = arrays(f"{step}/optimiser.safetensors")
            found[f"dim-dist {precision}"] = {
                name[len("first_moment."):]: value.astype(float) / 0.1
                for name, value in moments.items() if name.startswith("first_moment.")}
    mean, deviation = (numpy.array(card[key]).reshape(1, 3, 1, 1) for key in ("mean", "deviation"))
    images = torch.tensor((pixels / 255 - mean) / deviation)
    value, exact = gradients(parameters, images, torch.float64)
    for name, autocast in (("torch float32", False), ("torch autocast", True)):
        other, found[name] = gradients(parameters, images, torch.float32, autocast)
        print(f"loss: {value:.6f} in float64, {other:.6f} in {name}")
    print(f"{'gradient of':32}" + "".join(f"{name:>20}" for name in found))
    sums = {name: 0.0 for name in found}
    for layer, right in exact.items():
        print(f"{layer:32}", end="")
        for name, values in found.items():
            difference = numpy.linalg.norm(values[layer].reshape(right.shape) - right)
            sums[name] += difference ** 2
            print(f"{difference / numpy.linalg.norm(right):20.2e}", end="")
        print()
    norm = numpy.sqrt(sum(numpy.sum(right ** 2) for right in exact.values()))
    distances = {name: numpy.sqrt(total) / norm for name, total in sums.items()}
    print(f"{'all':32}" + "".join(f"{distance:20.2e}" for distance in distances.values()))
    if distances["dim-dist float32"] > 1e-5:
        sys.exit("float32 is off by more than 1e-5")
    if distances["dim-dist bfloat16"] > 1.2 * distances["torch autocast"]:
        sys.exit("bfloat16 is off by more than autocast and a fifth")


if __name__ == "__main__":
    main()
