"""Makes the image of launch/Containerfile in a folder, without a container engine: its own lines run in a chroot.

A base image is Debian 12 from debootstrap, and the Swift image that with this machine's toolchain. Has to run where
its mounts end with it: in a mount namespace of its own.
"""
import json, os, pathlib, re, shlex, shutil, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RECIPE = ROOT / "launch/Containerfile"
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")  # of any container: none holds data
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the official Swift image has for its toolchain.
TOOLCHAIN_PACKAGES = (
    "binutils,gcc,git,libc6-dev,libcurl4-openssl-dev,libedit-dev,libncurses-dev,libsqlite3-dev,libstdc++-12-dev,"
    "libxml2-dev,pkg-config,tzdata,uuid-dev,ca-certificates")


def run(*command, log=None):
    """Runs a command, which has to succeed. Of one with a log only the end is shown, when it fails."""
    output = open(log, "w") if log else None
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if done.returncode:
        if log:
            print("\n".join(log.read_text().splitlines()[-40:]))
        sys.exit(f"Tests/container: {shlex.join(map(str, command))[:300]}: exit status {done.returncode}")


def mount_system(root):
    run("mount", "-t", "proc", "proc", root / "proc")
    run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    for name in DEVICES:
        (root / "dev" / name).touch()
        run("mount", "--bind", f"/dev/{name}", root / "dev" / name)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd{target}")
    (root / "dev/shm").mkdir()


class Stage:
    """The folder that a FROM begins, and what its lines say of those that follow."""

    def __init__(self, base, root, cache):
        self.root, self.environment, self.folder, self.user = root, {"PATH": PATH}, "/", "0"
        isSwift = re.fullmatch(r"docker\.io/library/swift:[0-9.]+-bookworm", base)
        if not isSwift and base != "docker.io/library/debian:bookworm-slim":
            sys.exit(f"Tests/container: FROM {base}: only Debian 12 and its Swift image can be had from debootstrap")
        bootstrapped = cache / ("swift" if isSwift else "debian")
        if not (bootstrapped / "done").exists():
            bootstrap(bootstrapped, TOOLCHAIN_PACKAGES if isSwift else "")
        if root.exists():
            shutil.rmtree(root)
        run("cp", "-a", bootstrapped / "root", root)
        mount_system(root)
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        shutil.copy("/etc/hosts", root / "etc/hosts")
        (cache / "archives/partial").mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", cache / "archives", root / "var/cache/apt/archives")
        if isSwift:
            toolchain = pathlib.Path(shutil.which("swift") or "/opt/swift/usr/bin/swift").resolve().parent.parent.parent
            print(f"        (this machine's toolchain, {toolchain}, in the place of that image's)", flush=True)
            (root / "opt/swift").mkdir()
            run("mount", "--bind", "-o", "ro", toolchain, root / "opt/swift")
            self.environment["PATH"] += ":/opt/swift/usr/bin"

    def inside(self, path):
        """A path of the recipe as one of this machine."""
        return self.root / os.path.normpath(os.path.join(self.folder, path)).lstrip("/")

    def execute(self, text, log):
        run("env", "-i", *(f"{name}={value}" for name, value in self.environment.items()), "chroot", self.root,
            "/bin/sh", "-c", f"cd {shlex.quote(self.folder)} && {text}", log=log)


def bootstrap(folder, packages):
    print(f"        (debootstrap into {folder})", flush=True)
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    include = [f"--include={packages}"] if packages else []
    run("debootstrap", "--variant=minbase", *include, "bookworm", folder / "root", "http://deb.debian.org/debian",
        log=folder / "log")
    # As in Debian's images: a package that is installed starts nothing.
    policy = folder / "root/usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (folder / "done").touch()


def instructions():
    """(line number, word, rest) of the recipe, with continued lines joined."""
    text, began = "", 0
    for number, line in enumerate(RECIPE.read_text().splitlines(), 1):
        if line.strip().startswith("#") or not (line.strip() or text):
            continue
        began = began if text else number
        text += line + "\n"
        if line.endswith("\\"):
            continue
        word, _, rest = text.strip().partition(" ")
        yield began, word, rest.strip()
        text = ""


def build(work):
    """Runs the recipe. Returns the folder of the last stage; its user and environment lie beside it as a file."""
    stages, stage = {}, None
    for number, word, rest in instructions():
        print(f"{RECIPE.name}:{number}: {word} {rest.splitlines()[0]}", flush=True)
        words = shlex.split(rest) if word != "RUN" else []
        if word == "FROM" and len(words) in (1, 3):
            name = words[2] if len(words) == 3 else "image"
            stage = stages[name] = Stage(words[0], work / name, work / "bases")
        elif word == "RUN":
            stage.execute(rest, work / f"line-{number}.log")
        elif word == "COPY":
            source = stages[words.pop(0).removeprefix("--from=")].root if words[0].startswith("--from=") else ROOT
            *paths, target = words
            for path in paths:
                copy(source / path.lstrip("/"), stage.inside(target), into=target.endswith("/"))
        elif word == "WORKDIR" and len(words) == 1:
            stage.folder = words[0]
            stage.inside("").mkdir(parents=True, exist_ok=True)
        elif word in ("ARG", "ENV") and len(words) == 1 and "=" in words[0]:
            variable, _, value = words[0].partition("=")
            stage.environment[variable] = value
        elif word == "USER" and len(words) == 1:
            stage.user = words[0]
        else:
            sys.exit(f"Tests/container: {RECIPE}:{number}: this test can't do `{word} {rest}`: teach it, in {__file__}")
    description = {"user": stage.user, "environment": stage.environment}
    (work / "image.json").write_text(json.dumps(description, indent=2))
    return stage.root


def copy(source, target, into):
    """As COPY does: a folder's contents, or a file."""
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        target = target / source.name if into else target
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
