"""An object store that speaks S3 over TLS: moto behind HAProxy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import boto3

BUCKET = "backups"
ADDRESS = "127.0.0.1"
REGION = "eu-test-1"
KEY, SECRET = "AKIAEXAMPLE", "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEX"
# moto's own TLS ends connections without saying so, which pgBackRest takes for an attack.
PROXY = """\
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend store
  bind {address}:{port} ssl crt {directory}/store.pem
  default_backend moto
backend moto
  server moto 127.0.0.1:{behind}
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def is_open(port: int) -> bool:
    """Whether somebody listens on it."""
    with socket.socket() as probe:
        return probe.connect_ex((ADDRESS, port)) == 0


def until(condition: Callable[[], object], *, seconds: float = 90, interval: float = 0.1) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s"
        time.sleep(interval)


class ObjectStore:
    """The store; it runs while the block does. Other users may enter its directory, for the certificate."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self._behind = free_port(), free_port()
        self._moto: subprocess.Popen[bytes] | None = None
        self._proxy: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ObjectStore:
        self._make_certificate()
        moto = [
            str(Path(sys.executable).with_name("moto_server")),
            "-H",
            "127.0.0.1",
            "-p",
            str(self._behind),
        ]
        with (self.directory / "moto.log").open("wb") as log:
            self._moto = subprocess.Popen(moto, stdout=log, stderr=subprocess.STDOUT)
        try:
            until(lambda: is_open(self._behind))
            self._client.create_bucket(
                Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
            self.answer()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def certificate(self) -> Path:
        """What its certificate is checked with."""
        return self.directory / "store.crt"

    def answer(self) -> None:
        """Take connections."""
        program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "these tests need apt-get install haproxy"
        config = self.directory / "haproxy.cfg"
        config.write_text(
            PROXY.format(address=ADDRESS, port=self.port, directory=self.directory, behind=self._behind)
        )
        self._proxy = subprocess.Popen([program, "-db", "-q", "-f", str(config)])
        until(lambda: is_open(self.port))

    def refuse(self) -> None:
        """Take no connections any more; what is stored stays."""
        assert self._proxy
        self._proxy.kill()
        self._proxy.wait()

    def objects(self, prefix: str = "") -> list[str]:
        """The keys of the objects (1,000 at most) below a prefix."""
        found = self._client.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return [str(entry["Key"]) for entry in found.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """An object's content."""
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    @property
    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self._behind}",
            region_name=REGION,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
        )

    def _make_certificate(self) -> None:
        key, certificate = self.directory / "store.key", self.directory / "store.crt"
        names = f"subjectAltName=DNS:{ADDRESS}"
        subprocess.run(
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:prime256v1",
                    "-nodes",
                ),
                *("-days", "2", "-subj", f"/CN={ADDRESS}", "-addext", names),
                *("-keyout", str(key), "-out", str(certificate)),
            ],
            check=True,
            capture_output=True,
        )
        (self.directory / "store.pem").write_text(certificate.read_text() + key.read_text())

    def _end(self) -> None:
        for process in (self._proxy, self._moto):
            if process and process.poll() is None:
                process.kill()
                process.wait()
