"""A bare Debian in a folder, to run commands in. Has to be used where its mounts end with it: in a mount namespace."""
import pathlib, re, shlex, shutil, subprocess, sys

DEVICES = ("null", "zero", "full", "random", "urandom", "tty")  # of any container: none holds data
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(*command, log=None):
    """Runs a command, which has to succeed. Of one with a log only the end is shown, when it fails."""
    output = open(log, "w") if log else None
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if done.returncode:
        if log:
            print("\n".join(log.read_text().splitlines()[-40:]))
        sys.exit(f"{shlex.join(map(str, command))[:300]}: exit status {done.returncode}")


def mirror():
    """The mirror that this machine's own packages come from; Debian's own where it says none."""
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Origin: Debian"], capture_output=True, text=True).stdout
    return next((line for line in said.splitlines() if re.match(r"https?://", line) and "security" not in line),
                "http://deb.debian.org/debian")


def bootstrap(folder, suite):
    """A bare Debian of this name in `folder/root`, unless it is there."""
    if (folder / "done").exists():
        return
    print(f"        (debootstrap {suite} into {folder})", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    run("debootstrap", "--variant=minbase", "--include=ca-certificates", suite, folder / "root", mirror(),
        log=folder / "log")
    # As in Debian's images: a package that is installed starts nothing.
    policy = folder / "root/usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (folder / "done").touch()


def enter(root, archives=None, devices=()):
    """Mounts what a system needs, more devices where this machine has them, and a folder of packages fetched before."""
    run("mount", "--bind", root, root)  # a mount point, as / has to be for `ip netns exec`
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    for name in (*DEVICES, *devices):
        if name in devices and not (pathlib.Path("/dev") / name).exists():
            continue
        (root / "dev" / name).parent.mkdir(exist_ok=True)
        (root / "dev" / name).touch()
        run("mount", "--bind", f"/dev/{name}", root / "dev" / name)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd{target}")
    (root / "dev/shm").mkdir()
    for name in ("resolv.conf", "hosts"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    if archives:
        (archives / "partial").mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", archives, root / "var/cache/apt/archives")
