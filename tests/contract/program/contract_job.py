"""The program of the contract suite: standard library only, so that it runs in any image.

The hyperparameter `act` names what it does; what it saw goes to model/report.json.
"""

import contextlib
import ctypes
import errno
import hashlib
import importlib
import json
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
CONFIG, DATA, MODEL, OUTPUT = BASE / "input/config", BASE / "input/data", BASE / "model", BASE / "output"
CHECKPOINTS = BASE / "checkpoints"
PATIENCE_SECONDS = 20


def report(**facts):
    (MODEL / "report.json").write_text(json.dumps(facts))


def be_patient():
    """Wait for a signal whose handler ends this; in pieces, as one that comes just before a sleep does not end that."""
    for _ in range(PATIENCE_SECONDS * 30):
        time.sleep(0.1)


def fifo(channel, epoch):
    path = DATA / f"{channel}_{epoch}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            sys.exit(f"no {path}")
        time.sleep(0.001)
    return path.open("rb")


def digest(stream):
    return hashlib.sha256(stream.read()).hexdigest()


def seen(*paths):
    """Which of some paths hold anything."""
    report(seen=[path for path in paths if (Path(path).is_dir() and any(Path(path).iterdir())) or holds(path)])


def holds(path):
    try:
        with Path(path).open("rb") as file:
            return bool(file.read(1))
    except OSError:
        return Path(path).is_socket()


def look():
    """Everything a program can see of its surroundings."""
    with contextlib.suppress(OSError):
        resolved = socket.gethostbyname("algo-1")
    report(
        files={path.name: json.loads(path.read_text()) for path in CONFIG.iterdir()},
        environment=dict(os.environ),
        pid=os.getpid(),
        tty=[os.isatty(number) for number in (0, 1, 2)],
        stdin=sys.stdin.read(),
        algo_1=locals().get("resolved"),
        interfaces=sorted(name for _, name in socket.if_nameindex()),
        cwd=str(Path.cwd()),
        arguments=sys.argv[1:],
        paths={str(path.relative_to(BASE)): kind(path) for path in sorted(BASE.rglob("*"))},
        can_write=[str(path) for path in (MODEL, OUTPUT, OUTPUT / "data", Path("/tmp")) if can_write(path)],
        user=os.getuid(),
        hostname=socket.gethostname(),
    )


def kind(path):
    mode = path.stat().st_mode
    return "folder" if stat.S_ISDIR(mode) else "FIFO" if stat.S_ISFIFO(mode) else "file"


def can_write(folder):
    probe = folder / "probe"
    try:
        probe.touch()
        probe.unlink()
    except OSError:
        return False
    return True


def resources():
    return json.loads((CONFIG / "resourceconfig.json").read_text())


def report_host(**facts):
    (MODEL / f"{resources()['current_host']}.json").write_text(json.dumps(facts))


def retried(attempt):
    """What `attempt` returns, once it does: names resolve and ports open some time after we start."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return attempt()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def meet(outside=None):
    """Connect to every other host, be connected to by each; then try to reach `outside` (address, port)."""
    config = resources()
    me, others = config["current_host"], [host for host in config["hosts"] if host != config["current_host"]]
    addresses = {host: retried(lambda host=host: socket.gethostbyname(host)) for host in config["hosts"]}
    heard = []
    with socket.create_server((addresses[me], 7777)) as server:
        server.settimeout(PATIENCE_SECONDS)
        for host in others:
            with retried(lambda host=host: socket.create_connection((addresses[host], 7777), 5)) as peer:
                peer.sendall(me.encode())
        for _ in others:
            with server.accept()[0] as peer:
                heard.append(peer.recv(100).decode())
    reached = None
    if outside:
        try:
            socket.create_connection(outside, 3).close()
            reached = True
        except OSError:
            reached = False
    report_host(
        heard=sorted(heard),
        addresses=addresses,
        config=config,
        inputs=json.loads((CONFIG / "inputdataconfig.json").read_text()),
        data=sorted(path.name for path in DATA.iterdir()),
        hostname=socket.gethostname(),
        interfaces=[name for _, name in socket.if_nameindex()],
        reached=reached,
    )


def shares(count=1):
    """What this host gets of every channel."""
    found, channels = {}, json.loads((CONFIG / "inputdataconfig.json").read_text())
    for name, config in channels.items():
        if config["TrainingInputMode"] == "Pipe":
            found[name] = []
            for epoch in range(count):
                with fifo(name, epoch) as stream:
                    found[name].append(stream.read().decode())
        else:
            found[name] = sorted(path.read_text() for path in (DATA / name).rglob("*") if path.is_file())
    report_host(found=found)


def fail_alone(host, failure, code):
    """One host fails; the others cannot be told to end."""
    if resources()["current_host"] == host:
        (OUTPUT / "failure").write_text(failure)
        (MODEL / "left.txt").write_text("by the one that failed")
        sys.exit(code)
    ignore_stop()


def stop_together():
    """Every host saves when it is told to stop."""

    def save(*_):
        time.sleep(0.3)  # one is not to be killed because another was faster
        (CHECKPOINTS / f"{me}.ckpt").write_text(me)
        report_host(saved=True)
        sys.exit(7)

    me = resources()["current_host"]
    signal.signal(signal.SIGTERM, save)
    print("ready", me, flush=True)
    be_patient()


def write_same_names():
    """A name of all, a name of its own in a folder of all, and a folder where another host has a file."""
    me = resources()["current_host"]
    (MODEL / "same.txt").write_text(me)
    (MODEL / "folder").mkdir()
    (MODEL / "folder" / f"{me}.txt").write_text(me)
    if me == "algo-1":
        (MODEL / "either").write_text(me)
    else:
        (MODEL / "either" / "deep").mkdir(parents=True)
        (MODEL / "either" / "deep" / "file.txt").write_text(me)
    (OUTPUT / "data" / f"{me}.csv").write_text(me)
    (CHECKPOINTS / f"{me}.ckpt").write_text(me)


def tell():
    """A metric of each host, and a last line with no end."""
    me = resources()["current_host"]
    print(f"host={me} loss_of_{me.replace('-', '_')}={me.removeprefix('algo-')};", flush=True)
    sys.stdout.write(f"bye from {me}")


def checkpoints_of_all():
    """What was restored here; then one of our own, one that every host writes, and one that a host removes."""
    me = resources()["current_host"]
    report_host(found={path.name: path.read_text() for path in CHECKPOINTS.iterdir()})
    (CHECKPOINTS / f"{me}.ckpt").write_text(me)
    (CHECKPOINTS / "of-all.ckpt").write_text(me)
    if me == "algo-1":
        (CHECKPOINTS / "pruned.ckpt").unlink()


def epochs():
    """Three epochs of each channel, one after the other."""
    channels = json.loads((CONFIG / "inputdataconfig.json").read_text())
    listing = sorted(path.name for path in DATA.iterdir())
    digests = {name: [] for name in channels}
    for epoch in range(3):
        for name in sorted(channels):
            with fifo(name, epoch) as stream:
                digests[name].append(digest(stream))
            print(f"epoch={epoch} channel={name} loss={1 / (epoch + 1):.3f};", flush=True)
    report(digests=digests, listing=listing)


def streams(count=1):
    """All bytes of the first epochs of each Pipe channel, in hex."""
    channels = json.loads((CONFIG / "inputdataconfig.json").read_text())
    listing = sorted(path.name for path in DATA.iterdir())
    found = {name: [] for name, config in channels.items() if config["TrainingInputMode"] == "Pipe"}
    for epoch in range(count):
        for name, epochs in found.items():
            with fifo(name, epoch) as stream:
                epochs.append(stream.read().hex())
    report(streams=found, channels=channels, listing=listing)


def early():
    """Close epoch 0 after a few bytes, then read epoch 1 whole."""
    with fifo("train", 0) as stream:
        start = stream.read(7)
    with fifo("train", 1) as stream:
        report(start=start.hex(), digest=digest(stream))


def tree():
    """What lies in the folder of channel `train`."""
    top = DATA / "train"
    report(files={str(path.relative_to(top)): path.read_text() for path in top.rglob("*") if path.is_file()})


def digests():
    """The sum of each file of channel `train`."""
    top = DATA / "train"
    report(digests={path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in top.rglob("*")})


def read_parts(name, places):
    """Bytes of a file of channel `train` at offsets, and what is to be seen of its folder."""
    top = DATA / "train"
    parts = []
    with (top / name).open("rb", buffering=0) as file:
        for offset, count in places:
            file.seek(offset)
            parts.append(file.read(count).hex())
    sizes = {path.name: path.stat().st_size for path in top.iterdir() if path.is_file()}
    report(parts=parts, names=sorted(path.name for path in top.iterdir()), sizes=sizes)


def wait_then_read(channel):
    """Leave the channel alone for a while first."""
    time.sleep(1)
    with fifo(channel, 0) as stream:
        report(digest=digest(stream))


def trees():
    """What lies in the folder of every channel, and whether its folder is there at all."""
    report(
        trees={
            folder.name: {
                str(path.relative_to(folder)): path.read_bytes().hex() for path in folder.rglob("*") if path.is_file()
            }
            for folder in DATA.iterdir()
            if folder.is_dir()
        }
    )


def say(*writings):
    """Write texts to file descriptors, in this order, each as often as it says."""
    for number, text, *times in writings:
        os.write(number, text.encode("latin-1") * (times or [1])[0])


def hurry(count):
    """Open and close a channel's epochs without reading them, then read one whole, while another is left alone."""
    for epoch in range(count):
        fifo("train", epoch).close()
    listing = sorted(path.name for path in DATA.iterdir())
    with fifo("train", count) as stream:
        report(stream=stream.read().hex(), listing=listing)


def far(count):
    """Read many epochs of one channel; which FIFO of an epoch that was over lay there while the next was read."""
    seen, left = set(), []
    for epoch in range(count):
        with fifo("train", epoch) as stream:
            left += [path.name for path in DATA.iterdir() if path.name == f"train_{epoch - 1}"]
            seen.add(stream.read().hex())
    report(streams=sorted(seen), left=left)


def leave():
    """Leave files of every sort in model/, output/ and output/data/."""
    (MODEL / "1").mkdir()
    (MODEL / "1" / "saved model.pb").write_bytes(bytes(range(256)))
    (MODEL / "run.sh").write_text("#!/bin/sh\n")
    (MODEL / "run.sh").chmod(0o755)
    (MODEL / "\u00e9.txt").write_text("accent")
    (MODEL / "link").symlink_to("run.sh")
    (OUTPUT / "data" / "inner").mkdir()
    (OUTPUT / "data" / "inner" / "curve.csv").write_text("loss\n")
    (OUTPUT / "beside.txt").write_text("not exported")
    (OUTPUT / "success").touch()
    (BASE / "input" / "mine").write_text("not exported")


def crash():
    ctypes.string_at(0)  # where native code may not read


def fail_in_bytes(hexadecimal):
    (OUTPUT / "failure").write_bytes(bytes.fromhex(hexadecimal))
    sys.exit(1)


def fail_in_folder():
    (OUTPUT / "failure").mkdir()
    sys.exit(1)


def end_when_stopped(code):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(code))
    (MODEL / "early.bin").write_bytes(b"early")
    print("ready", flush=True)
    be_patient()


def write_channel():
    """Try to write, remove and add in the channel's folder."""
    seen = {}
    for name, attempt in {
        "write": lambda: (DATA / "train" / "a.txt").write_text("harm"),
        "remove": (DATA / "train" / "b.txt").unlink,
        "add": lambda: (DATA / "train" / "new.txt").write_text("more"),
    }.items():
        try:
            attempt()
            seen[name] = "done"
        except OSError as error:
            seen[name] = errno.errorcode[error.errno]
    report(seen=seen)


def use_channel(epochs):
    """Do to the files of channel `train` what a program may do to files of its own, while others are streamed."""
    top = DATA / "train"
    (top / "run.sh").chmod(0o755)
    said = subprocess.run([str(top / "run.sh")], capture_output=True, text=True, check=True).stdout
    (top / "made").mkdir()
    (top / "made" / "new.txt").write_text("more")
    (top / "made").chmod(0o700)
    (top / "gone.txt").unlink()
    streamed = []
    for epoch in range(epochs):
        with fifo("pipe", epoch) as stream:
            streamed.append(stream.read().decode())
    try:
        (DATA / "beside").touch()
        beside = "done"
    except OSError as error:
        beside = errno.errorcode[error.errno]
    report(said=said, streamed=streamed, beside=beside, files=sorted(path.name for path in top.iterdir()))


def close_channel(then=None):
    """Leave a folder in channel `train` that only its owner may look into."""
    locked = DATA / "train" / "locked"
    locked.mkdir(mode=0o700)
    (locked / "file").write_text("x")
    if then:
        globals()[then]()


def end(code, failure=None, times=1):
    if failure is not None:
        (OUTPUT / "failure").write_text(failure * times, encoding="utf-8")
    (MODEL / "weights.bin").write_bytes(b"weights")
    (OUTPUT / "data" / "curve.csv").write_text("loss\n")
    print("ending", flush=True)
    sys.exit(code)


def wait_for_stop():
    """Do nothing until SIGTERM, then save and end with a code of our own."""

    def save(*_):
        (CHECKPOINTS / "last.ckpt").write_text("state")
        report(saved=True, pid=os.getpid())
        sys.exit(7)

    signal.signal(signal.SIGTERM, save)
    print("ready", flush=True)
    be_patient()


def ask_s3(calls):
    """Call S3 with what the environment has, as an SDK does; what came of every call."""
    import boto3  # noqa: PLC0415  # the one act that needs more than the standard library

    client = boto3.client("s3", region_name=os.environ["AWS_REGION"])
    answers = []
    for name, arguments in calls:
        try:
            answer = getattr(client, name)(**arguments)
            answers.append(answer["Body"].read().decode() if "Body" in answer else "done")
        except client.exceptions.ClientError as error:
            answers.append(error.response["Error"]["Code"])
    report(answers=answers, environment=dict(os.environ))


def tell_keys():
    """Say what the environment has for S3, and wait."""
    names = ("AWS_ENDPOINT_URL", "S3_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    print(json.dumps({name: os.environ.get(name) for name in names}), flush=True)
    wait_for_stop()


def ignore_stop():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
    be_patient()


def leave_child():
    """Leave a process behind that has a session of its own and our stdout."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    report(child=child.pid)


def leave_fork():
    """Leave a process behind that never became another program and has a session of its own."""
    if (child := os.fork()) == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    report(child=child)


def import_and_tell(name):
    report(value=importlib.import_module(name).VALUE, preloaded=hasattr(sys, "contract_preloaded"))


def look_closely():
    """What the kernel and the interpreter have for a program beside its files and variables."""
    wanted = (
        "Uid",
        "Gid",
        "Groups",
        "CapEff",
        "CapPrm",
        "CapInh",
        "NoNewPrivs",
        "Seccomp",
        "SigIgn",
        "SigBlk",
        "SigCgt",
    )
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    job = os.environ["TRAINING_JOB_NAME"]
    report(
        kernel={name: status[name] for name in wanted},
        limits=[resource.getrlimit(number) for number in range(16)],
        mask=os.umask(0),
        cwd=str(Path.cwd()),
        open=sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())[:-1],
        leads_group=os.getpgid(0) == os.getpid() == os.getsid(0),
        threads=len(list(Path("/proc/self/task").iterdir())),
        namespaces={path.name: path.readlink().name.partition(":")[0] for path in Path("/proc/self/ns").iterdir()},
        sees_others=len([path for path in Path("/proc").iterdir() if path.name.isdigit()]) < 10,
        python=[sys.executable.replace(job, "JOB"), sys.prefix.replace(job, "JOB"), sys.argv[1:], __name__],
        path=[place.replace(job, "JOB") for place in sys.path if place],
        can_write_root=can_write(Path("/usr")),
        preloaded=hasattr(sys, "contract_preloaded"),
        random=random.random(),
    )


def checkpoints():
    """Report what was restored; remove one, add one, half-write one."""
    found = {path.name: path.read_text() for path in CHECKPOINTS.iterdir()}
    (CHECKPOINTS / "old.ckpt").unlink()
    (CHECKPOINTS / "new.ckpt").write_text("new")
    (CHECKPOINTS / "half.ckpt.sagemaker-ignore").write_text("half")
    report(found=found)


def checkpoint_folder():
    """Where the platform says that checkpoints are."""
    told = json.loads((CONFIG / "checkpointconfig.json").read_text())["LocalPath"]
    return Path(str(BASE) + told.removeprefix("/opt/ml")) if told.startswith("/opt/ml") else Path(told)


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain: {sorted(path.name for path in checkpoint_folder().rglob('*'))}")
        time.sleep(0.01)


def save_two():
    """Save one checkpoint and then another, removing the first once the platform has it; then await the stop."""
    folder = checkpoint_folder()
    first, second = folder / "first.ckpt", folder / "deep" / "second.ckpt"
    (folder / "half.ckpt.sagemaker-ignore").write_text("half")
    (folder / "mine.sagemaker-note").write_text("no")
    second.parent.mkdir()
    for path in (first, second):
        path.write_text(path.stem)
        until(Path(f"{path}.sagemaker-uploaded").exists)
    first.unlink()
    until(lambda: not Path(f"{first}.sagemaker-uploaded").exists())

    def tell(*_):
        report(seen=sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()))
        sys.exit(0)

    signal.signal(signal.SIGTERM, tell)
    print("ready", flush=True)
    be_patient()


def rewrite(seconds, size):
    """Rewrite one checkpoint in place over and over, in pieces, with one pause, until it is uploaded."""
    path, end, version = checkpoint_folder() / "torn.ckpt", time.monotonic() + seconds, 0
    while time.monotonic() < end:
        version += 1
        with path.open("wb", buffering=0) as file:
            for _ in range(8):
                file.write(bytes([version % 256]) * (size // 8))
                time.sleep(0.01)
        if version == 10:
            until(Path(f"{path}.sagemaker-uploaded").exists)


def attempts(count):
    """Keep what every attempt found in a checkpoint; the last of `count` reports it, the others await their end."""
    kept = checkpoint_folder() / "attempts.json"
    before = json.loads(kept.read_text()) if kept.exists() else []
    here = [sorted(path.name for path in folder.iterdir()) for folder in (MODEL, OUTPUT / "data")]
    (MODEL / "weights.bin").write_text("of this attempt")
    (OUTPUT / "data" / "curve.csv").write_text("of this attempt")
    seen = [*before, {"model": here[0], "data": here[1], "name": os.environ["TRAINING_JOB_NAME"]}]
    if len(seen) >= count:
        report(seen=seen)
        return

    def save(*_):
        kept.write_text(json.dumps(seen))
        sys.exit(0)

    signal.signal(signal.SIGTERM, save)
    print(f"attempt={len(seen)} ready", flush=True)
    be_patient()


def own_checkpoints(hosts):
    """Save a checkpoint named after the host, say how many there were, and end when there were as many as hosts."""
    name = json.loads((CONFIG / "resourceconfig.json").read_text())["current_host"]
    there = [path for path in checkpoint_folder().iterdir() if path.suffix == ".ckpt"]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    (checkpoint_folder() / f"{name}.ckpt").write_text(name)
    print(f"ready {len(there)}", flush=True)
    if len(there) < hosts:
        be_patient()


def found():
    """Report what was restored, and leave a file there."""
    folder = checkpoint_folder()
    told = json.loads((CONFIG / "checkpointconfig.json").read_text())["LocalPath"]
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    report(found=files, told=told)
    (folder / "new.ckpt").write_text("new")


def end_with_checkpoint():
    (checkpoint_folder() / "last.ckpt").write_text("last")
    (MODEL / "weights.bin").write_bytes(b"weights")


def closed_checkpoints():
    """Leave checkpoints that only their owner may read, and see that they are taken all the same."""
    os.umask(0o077)
    locked, plain = checkpoint_folder() / "locked" / "file", checkpoint_folder() / "open"
    locked.parent.mkdir()
    locked.write_text("x")
    until(Path(f"{locked}.sagemaker-uploaded").exists)
    plain.write_text("y")


def draw_curves():
    """Write TensorBoard's files where the platform says; more of them, and what lies there, at the stop."""
    told = json.loads((CONFIG / "tensorboardoutputconfig.json").read_text())
    folder = Path(str(BASE) + told["LocalPath"].removeprefix("/opt/ml"))
    events = folder / "run" / "events.out"
    events.parent.mkdir(parents=True)
    events.write_text("curves")

    def draw_more(*_):
        with events.open("a") as file:
            file.write(" and more")
        report(told=told, seen=sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))
        sys.exit(0)

    signal.signal(signal.SIGTERM, draw_more)
    print("ready", flush=True)
    be_patient()


def count_aloud(count, pause):
    """Number lines, a moment apart, each with the host's name; then await the stop."""
    for number in range(count):
        print(f"{resources()['current_host']} line={number}", flush=True)
        time.sleep(pause)
    wait_for_stop()


def weigh(model=0, checkpoint=0):
    """Leave a model and a checkpoint of so many bytes that no archive makes fewer."""
    (MODEL / "weights.bin").write_bytes(os.urandom(model))
    if checkpoint:
        (checkpoint_folder() / "big.ckpt").write_bytes(os.urandom(checkpoint))


def metrics_then_wait():
    for loss in ("1.0", "0.5", "0.25"):
        print(f"loss={loss};", flush=True)
    be_patient()


def odd_files():
    """Leave files, folders, and what is neither, as model and output."""
    for folder in (MODEL, OUTPUT / "data"):
        (folder / "deep").mkdir()
        (folder / "deep" / "er.bin").write_bytes(b"deep")
        (folder / "weights.bin").write_bytes(b"weights")
        (folder / "inside").symlink_to("weights.bin")
        (folder / "outside").symlink_to("/etc/passwd")
        os.mkfifo(folder / "fifo")


def install():
    """Add a module to the environment we run in."""
    place = Path(sysconfig.get_path("purelib")) / "left_by_a_job.py"
    before = place.exists()
    place.write_text("")
    report(before=before, prefix=sys.prefix)


def drain(epochs, piece=1 << 20, pause=0.0, words=""):
    """Read every Pipe channel as fast as it comes, or at one's own pace: `pause` seconds after every `piece` bytes."""
    buffer = bytearray(piece)
    for epoch in range(epochs):
        for name in sorted(json.loads((CONFIG / "inputdataconfig.json").read_text())):
            with fifo(name, epoch) as stream:
                while stream.readinto(buffer):
                    time.sleep(pause)
            print(f"epoch={epoch} loss={1 / (epoch + 1):.3f}; {words}", flush=True)
    report(epochs=epochs)


def lock_up():
    """Leave folders that nobody may enter, and a link that leads out."""
    locked = OUTPUT / "locked" / "inner"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    locked.chmod(0)
    (MODEL / "inside").symlink_to("weights.bin")
    (MODEL / "outside").symlink_to("/etc/passwd")
    (MODEL / "weights.bin").write_bytes(b"weights")


def hyperparameters():
    return json.loads((CONFIG / "hyperparameters.json").read_text())


def learn(epochs=1, pause=0.0, code=0):
    """Be tuned: after every epoch a score, the better the nearer `rate` is to 0.3; then end with an exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    found = hyperparameters()
    worth = 1 - abs(float(found.get("rate", "0.5")) - 0.3)
    print(f"threads={os.environ.get('OMP_NUM_THREADS')}", flush=True)
    for epoch in range(epochs):
        time.sleep(pause)
        print(f"epoch={epoch} score={worth * (epoch + 1) / epochs:.6f};", flush=True)
    report(hyperparameters=found)
    sys.exit(code)


def main():
    act = json.loads(hyperparameters()["act"])
    globals()[act[0]](*act[1:])


if __name__ == "__main__":
    main()
