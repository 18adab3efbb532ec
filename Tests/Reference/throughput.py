"""Speed of the local DIM step beside the same model in PyTorch, in one sitting, one after the other, several rounds.

    python3 Tests/Reference/throughput.py PEER.py [--program dim-dist] [--precisions float32,bfloat16] [--rounds 3]

PEER.py is the PyTorch program (prints one JSON line with step_ms and images_per_second); the python that runs this must
have torch. One thread a rank, 64 images a rank, critic units 512 and 2048, 1 and 2 ranks, each pinned to a core. Prints
a table: the median over rounds of images a second, their range, and the ratio of dim-dist in the same precision to it.
Where bfloat16 is asked for, dim-dist in float32 is there too, as what its own bfloat16 is compared with.
"""
import argparse, json, os, statistics, subprocess, sys

BATCH = 64


def last_json(command, environment):
    output = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer")
    parser.add_argument("--program", default=".build/release/dim-dist")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    precisions = arguments.precisions.split(",")
    environment = dict(
        os.environ, OMP_NUM_THREADS="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # they would slow the peer
        environment.pop(name, None)

    def commands(units, ranks):
        launcher = [sys.executable] if ranks == 1 else [
            sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}"]
        sizes = ["--units", str(units), "--steps", str(arguments.steps)]
        for precision in sorted({"float32", *precisions}):
            yield "dim-dist", precision, [
                "mpirun", "-np", str(ranks), "--bind-to", "core", arguments.program, "bench", "step", "--json",
                "--batch-per-rank", str(BATCH), "--precision", precision, *sizes]
        for precision in precisions:
            for form in ("direct", "folded"):  # the peer's --batch is a rank's
                yield form, precision, [
                    *launcher, arguments.peer, "--form", form, "--precision", precision, "--batch", str(BATCH), *sizes]

    print(f"{'units':>6}{'ranks':>6}{'program':>10}{'precision':>10}{'images/s':>10}{'range':>16}{'ratio':>8}")
    for units in (512, 2048):
        for ranks in (1, 2):
            speeds = {}
            for _ in range(arguments.rounds):
                for name, precision, command in commands(units, ranks):
                    speed = last_json(command, environment)["images_per_second"]
                    speeds.setdefault((name, precision), []).append(speed)
            medians = {key: statistics.median(values) for key, values in speeds.items()}
            for (name, precision), values in speeds.items():
                # Ours in float32 is compared with ours in bfloat16, where that was asked for.
                own = precisions[-1] if name == "dim-dist" else precision
                ratio = medians["dim-dist", own] / medians[name, precision]
                spread = f"{min(values):.0f} to {max(values):.0f}"
                print(f"{units:6}{ranks:6}{name:>10}{precision:>10}{medians[name, precision]:10.0f}{spread:>16}"
                      f"{ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
