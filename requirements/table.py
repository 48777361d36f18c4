"""Name, version, date and licence of each released archive in a folder: `make dependencies`."""

import email
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.message import Message
from pathlib import Path

OLDEST_BELIEVED = date(2021, 1, 1)  # reproducible builds give their files a date of old


def wheel(path: Path) -> tuple[Message, date]:
    with zipfile.ZipFile(path) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        newest = max(entry.date_time[:3] for entry in archive.infolist())
        return email.message_from_bytes(archive.read(metadata)), date(*newest)


def source(path: Path) -> tuple[Message, date]:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        (metadata,) = [member for member in members if member.name.count("/") == 1 and member.name.endswith("PKG-INFO")]
        file = archive.extractfile(metadata)
        newest = max(member.mtime for member in members)
        return email.message_from_bytes(file.read() if file else b""), datetime.fromtimestamp(newest, UTC).date()


def licence(metadata: Message) -> str:
    classifiers = [text for text in metadata.get_all("Classifier", []) if text.startswith("License")]
    named = metadata["License-Expression"] or (metadata["License"] or "").partition("\n")[0]
    return named[:60] or "; ".join(text.rpartition(" :: ")[2] for text in classifiers) or "?"


def lines(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        metadata, newest = wheel(path) if path.suffix == ".whl" else source(path)
        age = newest.isoformat() if newest >= OLDEST_BELIEVED else "?"
        yield f"{metadata['Name']:32} {metadata['Version']:20} {age:11} {licence(metadata)}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines(Path(sys.argv[1])))
