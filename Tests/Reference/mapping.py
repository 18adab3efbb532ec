"""Speed of random reads from a mapped file, in the ways that a program can ask the system for them.

    python3 Tests/Reference/mapping.py FILE.npy [--seconds 12] [--rounds 2]

FILE.npy is an array of at least two axes, larger than the memory that this program may use. To limit that memory, start
it in a control group, for example with cgroup version 1, as root:

    mkdir /sys/fs/cgroup/memory/small && echo 1073741824 > /sys/fs/cgroup/memory/small/memory.limit_in_bytes
    sh -c 'echo $$ > /sys/fs/cgroup/memory/small/cgroup.procs; exec python3 Tests/Reference/mapping.py FILE.npy'

Each way begins with nothing of the file in memory, and sums the bytes of random rows in batches of 256, as a step's
batch. `usual` gives no advice, `random` MADV_RANDOM, and `ahead` also MADV_WILLNEED for each row of the next batch.
"""
import argparse, mmap, os, time
import numpy

BATCH = 256


def speed(path, way, seconds):
    rows = numpy.load(path, mmap_mode="r")
    offset, count, size = rows.offset, len(rows), rows[0].nbytes
    file = os.open(path, os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    mapping = mmap.mmap(file, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    if way != "usual":
        mapping.madvise(mmap.MADV_RANDOM)
    values = numpy.frombuffer(mapping, dtype="u1")
    random = numpy.random.default_rng(1)

    def batch():
        starts = [offset + int(row) * size for row in random.permutation(count)[:BATCH]]
        if way == "ahead":
            for start in starts:
                page = start // mmap.PAGESIZE * mmap.PAGESIZE
                mapping.madvise(mmap.MADV_WILLNEED, page, start + size - page)
        return starts

    begin, done, following = time.time(), 0, batch()
    while time.time() - begin < seconds:
        starts, following = following, batch()
        for start in starts:
            int(values[start : start + size].sum(dtype="u8"))
        done += BATCH
    return done / (time.time() - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    for _ in range(arguments.rounds):
        for way in ["usual", "random", "ahead"]:
            print(f"{way}: {speed(arguments.file, way, arguments.seconds):.0f} rows/s", flush=True)


if __name__ == "__main__":
    main()
