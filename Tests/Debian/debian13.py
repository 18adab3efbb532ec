"""The last commit on a bare Debian 13, in a chroot, beside this machine. See Tests/debian13."""
import json, pathlib, re, shlex, shutil, subprocess, sys, time

from chroot import PATH, bootstrap, enter, run

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CLONE = "opt/dim-dist"
TRAINING = ("launch/run 2 train --data /usr/share/datasets/fashion-mnist --output runs/debian13 --steps 10 --batch 64 "
            "--seed 1")
LIMIT = 1e-5  # of a loss
# Not by chroot alone: whoever enters a mount namespace that is made in there would find himself outside.
ENTRANCE = 'cd "$0" && pivot_root . . && umount --lazy . && exec chroot . "$@"'
VERSIONS = {
    "Debian": "cat /etc/debian_version", "Swift": "swift --version 2>/dev/null | grep -oE 'version [0-9.]+'",
    "Open MPI": "mpirun --version | head -n 1 | grep -oE '[0-9.]+$'",
    "oneDNN": "dpkg-query -W -f '${Version}' libdnnl-dev", "OpenBLAS": "dpkg-query -W -f '${Version}' libopenblas-dev",
    "libpng": "dpkg-query -W -f '${Version}' libpng-dev", "libzip": "dpkg-query -W -f '${Version}' libzip-dev"}


def typed(root, command):
    """A command of a person who has just logged in there and gone to the clone."""
    return ["env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb",
            "unshare", "--mount", "sh", "-c", ENTRANCE, root, "bash", "-c", f"cd /{CLONE} && {command}"]


def inside(root, command, **more):
    return subprocess.run(typed(root, command), stdin=subprocess.DEVNULL, **more)


def prepare(work, anew):
    """The chroot, with a clean clone of the last commit."""
    root = work / "root"
    bootstrap(work / "base", "trixie")
    if anew and root.exists():
        shutil.rmtree(root)
    if not root.exists():
        shutil.rmtree(work / "new", ignore_errors=True)  # of a call that was cut off
        run("cp", "-a", work / "base/root", work / "new")
        (work / "new").rename(root)
    enter(root, devices=("net/tun", "fuse"))  # for Tests/hosts
    run("mount", "--bind", "-o", "ro", "/sys", root / "sys")
    clone = root / CLONE
    if not clone.exists():
        run("git", "clone", "--quiet", ROOT, clone)
    else:
        run("git", "-C", clone, "fetch", "--quiet", ROOT, "HEAD")
        run("git", "-C", clone, "reset", "--quiet", "--hard", "FETCH_HEAD")
        run("git", "-C", clone, "clean", "--quiet", "--force", "-d")  # what is ignored stays: it is built
    if subprocess.run(["git", "-C", ROOT, "status", "--porcelain"], capture_output=True).stdout:
        print("Changes that are not committed are left out.", flush=True)
    return root


def timed(root, command):
    """Runs it with its output shown. Returns its last line."""
    began, last = time.monotonic(), ""
    print(f"$ {command}", flush=True)
    process = subprocess.Popen(
        typed(root, command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace")
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip() or last
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"  took {minutes} min {seconds} s, exit status {process.wait()}\n", flush=True)
    if process.returncode:
        sys.exit(f"FAILED  {command} on Debian 13: exit status {process.returncode}")
    return last


def losses(folder):
    lines = (folder / "runs/debian13/metrics.jsonl").read_text().splitlines()
    return [entry["loss"] for entry in map(json.loads, lines) if "loss" in entry]


def here(command):
    return subprocess.run(["bash", "-c", f". launch/environment; {command}"], cwd=ROOT, capture_output=True, text=True)


def compare(root):
    for folder in (ROOT, root / CLONE):
        shutil.rmtree(folder / "runs/debian13", ignore_errors=True)
    run("bash", "-c", f"cd {shlex.quote(str(ROOT))} && launch/build >/dev/null 2>&1 && {TRAINING} >/dev/null 2>&1")
    if inside(root, f"{TRAINING} >/dev/null 2>&1").returncode:
        sys.exit(f"FAILED  {TRAINING} on Debian 13")
    mine, theirs = losses(ROOT), losses(root / CLONE)
    print(f"{'':10}{'here':24}there")
    for name, command in VERSIONS.items():
        there = inside(root, f". launch/environment; {command}", capture_output=True, text=True).stdout
        print(f"{name:10}{here(command).stdout.strip():24}{there.strip()}")
    if len(mine) != 10 or len(theirs) != 10:
        sys.exit(f"FAILED  10 steps here wrote {len(mine)} losses, and there {len(theirs)}")
    worst = max(abs(a - b) / abs(a) for a, b in zip(mine, theirs))
    print(f"losses of 10 steps differ by {worst:.1e} at most, limit {LIMIT}", flush=True)
    if not worst <= LIMIT:
        sys.exit("FAILED  losses differ")


def main(work, arguments):
    anew = arguments[:1] == ["--anew"]
    command = arguments[1:] if anew else arguments
    root = prepare(work, anew)
    if command:
        sys.exit(inside(root, shlex.join(command)).returncode)
    timed(root, "launch/quickstart")
    summary = timed(root, "launch/test")
    if not re.fullmatch(r"[1-9]\d* passed, 0 failed", summary):
        sys.exit(f"FAILED  launch/test on Debian 13: {summary}")
    compare(root)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2:])
