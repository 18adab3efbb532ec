"""Makes the image of launch/Containerfile in a folder, without a container engine: its own lines run in a chroot.

Base images are Debian from debootstrap. Has to run where its mounts end with it: in a mount namespace of its own.
"""
import json, os, pathlib, re, shlex, shutil, sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "Tests/Debian"))
from chroot import PATH, bootstrap, enter, run

RECIPE = ROOT / "launch/Containerfile"


class Stage:
    """The folder that a FROM begins, and what its lines say of those that follow."""

    def __init__(self, base, root, cache):
        self.root, self.environment, self.folder, self.user = root, {"PATH": PATH}, "/", "0"
        debian = re.fullmatch(r"docker\.io/library/debian:([a-z]+?)(-slim)?", base)
        if not debian:
            sys.exit(f"Tests/container: FROM {base}: only Debian can be had from debootstrap")
        bootstrap(cache / debian[1], debian[1])
        if root.exists():
            shutil.rmtree(root)
        run("cp", "-a", cache / debian[1] / "root", root)
        enter(root, cache / "archives")

    def inside(self, path):
        """A path of the recipe as one of this machine."""
        return self.root / os.path.normpath(os.path.join(self.folder, path)).lstrip("/")

    def execute(self, text, log):
        run("env", "-i", *(f"{name}={value}" for name, value in self.environment.items()), "chroot", self.root,
            "/bin/sh", "-c", f"cd {shlex.quote(self.folder)} && {text}", log=log)


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
