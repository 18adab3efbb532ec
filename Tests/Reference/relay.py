"""Nodes as network namespaces of this machine, and links between them with bandwidth, delay and loss, which can be cut.

Each namespace has a device `dimdist` with an address 10.213.0.N and a link to one switch. Link and switch are a thread
of this program, for not every kernel has `tc netem`. Needs root, iproute2, network namespaces and /dev/net/tun.
"""
import collections, ctypes, fcntl, os, random, select, struct, subprocess, sys, threading, time

FRAME = 60000  # bytes, so that a frame's way through this program costs little beside what it carries


def shell(command, check=True):
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"{command}: {done.stderr.strip()} (this needs root, network namespaces and /dev/net/tun)")
    return done.stdout


class Relay(threading.Thread):
    """Carries frames between the devices of all namespaces, each with a link of its own to a switch."""

    def __init__(self, places):
        super().__init__(daemon=True)
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self.ends = {}  # of a place
        for place in places:
            enter(os.open(f"/run/netns/{place}", os.O_RDONLY))
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            fcntl.ioctl(end, 0x400454CA, struct.pack("16sH22x", b"dimdist", 0x1002))  # TUNSETIFF: a tap, plain frames
            self.ends[place] = end
            enter(home)
        self.shape(0.0, 1e9)
        self.is_cut = dict.fromkeys(self.ends.values(), False)

    def shape(self, delay, bandwidth, loss=0.0):
        """Seconds one way, bytes a second, and the fraction of frames that get lost."""
        self.delay, self.rate, self.loss = delay, bandwidth, loss

    def cut(self, place, is_cut=True):
        """Carries nothing to and from this place until its link is mended."""
        self.is_cut[self.ends[place]] = is_cut

    def mend(self, place):
        self.cut(place, False)

    def run(self):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # of this thread: frames don't wait for ranks
        ctypes.CDLL(None).prctl(29, 1000, 0, 0, 0)  # PR_SET_TIMERSLACK: sleeps end within a microsecond
        ends = list(self.ends.values())
        chance = random.Random(1)
        queues = {end: collections.deque() for end in ends}  # frames to it, with the time that each is due
        sent = dict.fromkeys(ends, 0.0)  # when an end's link has carried all that it sent,
        received = dict.fromkeys(ends, 0.0)  # and all that goes to it
        places = {}  # the end behind an address
        while True:
            due = min((queue[0][0] for queue in queues.values() if queue), default=None)
            wait = None if due is None else max(0, due - time.monotonic())
            ready = select.select(ends, [], [], wait)[0]
            now = time.monotonic()
            for end in ready:
                frame = os.read(end, 1 << 16)
                if self.is_cut[end] or self.loss and chance.random() < self.loss:
                    continue
                places[frame[6:12]] = end
                duration = len(frame) / self.rate
                sent[end] = max(sent[end], now) + duration
                known = places.get(frame[:6])
                for other in [known] if known else [other for other in ends if other != end]:
                    # What several send to one waits at its link; a frame alone passes both links at once.
                    received[other] = max(received[other] + duration, sent[end])
                    queues[other].append((received[other] + self.delay, frame))
            for end, queue in queues.items():
                while queue and queue[0][0] <= now:
                    frame = queue.popleft()[1]
                    if not self.is_cut[end]:
                        os.write(end, frame)


def enter(namespace):
    if ctypes.CDLL(None, use_errno=True).setns(namespace, 0x40000000):
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")


def make(places, frame=FRAME):
    for place in places:
        shell(f"ip netns add {place}")
    relay = Relay(places)
    for number, place in enumerate(places, 1):
        shell(f"ip -n {place} addr add {address(number)}/24 dev dimdist")
        shell(f"ip -n {place} link set dimdist mtu {frame} txqueuelen 1000")
        for device in ("dimdist", "lo"):
            shell(f"ip -n {place} link set {device} up")
    relay.start()
    return relay


def address(number):
    """Of a place, counted from 1."""
    return f"10.213.0.{number}"


def remove(places):
    for place in places:
        shell(f"ip netns del {place}", check=False)


def quantity(text):
    for unit, factor in (("us", 1e-6), ("ms", 1e-3), ("Gb", 1e9 / 8), ("Mb", 1e6 / 8)):
        if text.endswith(unit):
            return float(text[:-2]) * factor
