"""The law of ranks, on whole runs: trains the same 50 steps on 1, 2, 3 and 4 ranks and compares them.

    python3 Tests/Reference/compare_runs.py DATA [PATH_OF_dim-dist]      needs numpy and safetensors

Global batch 96. Prints the largest relative difference of the 50 losses and the relative norm of the difference of all
parameters, each to 1 rank, and whether 2 ranks twice give the same bits. Exits 1 beyond 1e-4 and 1e-3.
"""
import glob, json, os, subprocess, sys, tempfile
import numpy as np
from safetensors.numpy import load_file


def main():
    data = sys.argv[1]
    program = sys.argv[2] if len(sys.argv) > 2 else ".build/release/dim-dist"
    environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    with tempfile.TemporaryDirectory() as folder:

        def run(ranks, name):
            output = f"{folder}/{name}"
            subprocess.run(
                ["mpirun", "-np", str(ranks), "--oversubscribe", program, "train", "--data", data, "--output", output,
                 "--steps", "50", "--batch", "96", "--set", "checkpoint.every=0"],
                check=True, stdout=subprocess.DEVNULL, env=environment)
            losses = np.array([json.loads(line)["loss"] for line in open(f"{output}/metrics.jsonl")])
            arrays = load_file(glob.glob(f"{output}/checkpoints/step-*/model.safetensors")[0])
            return losses, arrays

        losses, arrays = run(1, "1")
        parameters = [name for name in arrays if "running" not in name]
        missed = False
        for ranks in (2, 3, 4):
            other_losses, other = run(ranks, str(ranks))
            loss = (np.abs(other_losses - losses) / np.abs(losses)).max()
            difference = sum(((other[n].astype(np.float64) - arrays[n]) ** 2).sum() for n in parameters)
            norm = sum((arrays[n].astype(np.float64) ** 2).sum() for n in parameters)
            distance = (difference / norm) ** 0.5
            missed |= loss > 1e-4 or distance > 1e-3
            print(f"{ranks} ranks to 1: losses {loss:.1e}, parameters {distance:.1e}", flush=True)
            if ranks == 2:
                _, again = run(2, "2 again")
                equal = all(np.array_equal(other[n], again[n]) for n in arrays)
                missed |= not equal
                print(f"2 ranks twice: {'the same bits' if equal else 'other bits'}", flush=True)
        sys.exit(int(missed))


if __name__ == "__main__":
    main()
