"""Speed of `push` and `pull` against a real S3 server on loopback, beside clients that put one object a picture.

    python benchmarks/storage_speed.py [--pictures 10000] [--bare 500]

Targets: at least 500 pictures a second are pushed; a second push of the same run takes at most 5 s. Ends with 1 where
one is missed. The server (moto) is a process of its own and shares the processor with what is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.support import encode_image, make_image_record, make_request, make_run, make_sample, picture

from kreabench.remote.pull import pull
from kreabench.remote.push import WORKERS, push
from kreabench.remote.stores import open_store
from kreabench.remote.urls import parse_url
from kreabench.rundir.directory import RunDirectory

LEAST_PICTURES_S = 500.0
MOST_AGAIN_S = 5.0
BUCKET = "benchmark"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--bare", type=int, default=500, help="pictures that the bare clients put")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kreabench-storage-") as folder, server(Path(folder)):
        import boto3

        boto3.client("s3").create_bucket(Bucket=BUCKET)
        run, files = make(Path(folder) / "run", asked.pictures)
        size_mb = sum(file.stat().st_size for file in files) / 1e6
        print(f"{asked.pictures:,} pictures, {size_mb:.1f} MB, {os.cpu_count()} cores")
        store = open_store(parse_url(f"s3://{BUCKET}/run"))
        pushed_s = timed(lambda: push(run.path, store))
        again_s = timed(lambda: push(run.path, store))
        pulled_s = timed(lambda: pull(store, Path(folder) / "copy"))
        boto3_s = timed(lambda: bare_boto3(files[: asked.bare]))
        s3fs_s = timed(lambda: bare_s3fs(files[: asked.bare]))
    bare = min(asked.bare, asked.pictures)
    rate = asked.pictures / pushed_s
    print(f"push            {pushed_s:8.2f} s  {rate:8.0f} pictures/s  (target ≥ {LEAST_PICTURES_S:.0f})")
    print(f"push again      {again_s:8.2f} s  (target ≤ {MOST_AGAIN_S:.0f} s)")
    print(f"pull            {pulled_s:8.2f} s  {asked.pictures / pulled_s:8.0f} pictures/s")
    print(f"bare boto3 put  {boto3_s:8.2f} s  {bare / boto3_s:8.0f} pictures/s  ({bare} pictures, {WORKERS} threads)")
    print(f"bare s3fs pipe  {s3fs_s:8.2f} s  {bare / s3fs_s:8.0f} pictures/s  ({bare} pictures)")
    return 0 if rate >= LEAST_PICTURES_S and again_s <= MOST_AGAIN_S else 1


def timed(act: Callable[[], object]) -> float:
    """Seconds that `act` takes."""
    begun_s = time.perf_counter()
    act()
    return time.perf_counter() - begun_s


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """An S3 server on loopback, and an environment that points to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from moto.server import main; main(['-H', '127.0.0.1', '-p', '{port}'])"
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + 120
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline_s or process.poll() is not None:
                raise RuntimeError(f"the server did not start: {(folder / 'server.log').read_text()[-500:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait()


def make(path: Path, number: int) -> tuple[RunDirectory, list[Path]]:
    """A run with so many small pictures, all different, and their files."""
    run = make_run(path)
    folder = path / "images" / "setting"
    folder.mkdir(parents=True)
    base = encode_image(picture(48, 48))
    samples, files = [], []
    for index in range(number):
        content = base + index.to_bytes(8, "little")  # behind the picture's end: another file, the same work
        file = folder / f"prompt-s{index}.png"
        file.write_bytes(content)
        files.append(file)
        image = make_image_record(
            path=file.relative_to(path).as_posix(),
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            seed=index,
        )
        samples.append(make_sample(make_request(seed=index), images=(image,)))
    with run.writer() as writer:
        writer.append(*samples)
    return run, files


def bare_boto3(files: list[Path]) -> None:
    """One object a picture, as many at a time as `push` sends."""
    import boto3
    from botocore.config import Config

    client = boto3.client("s3", config=Config(max_pool_connections=WORKERS))

    def put(file: Path) -> None:
        client.put_object(Bucket=BUCKET, Key=f"bare/{file.name}", Body=file.read_bytes())

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(put, files))


def bare_s3fs(files: list[Path]) -> None:
    """The same by s3fs, all in one call."""
    import fsspec

    fsspec.filesystem("s3").pipe({f"{BUCKET}/s3fs/{file.name}": file.read_bytes() for file in files})


if __name__ == "__main__":
    sys.exit(main())
