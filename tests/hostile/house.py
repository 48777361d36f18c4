"""Who and what the hostile requests meet: two owners with a device each, and whether all of it is still as it was."""

import zlib
from typing import Any

from django.contrib.sessions.models import Session
from django.test import Client
from knox.models import AuthToken

from analytics import analyses
from analytics.models import Analysis
from devices.models import Device, DeviceKey, Reading
from tests.helpers import stored
from tests.hostile.case import Case
from users.models import User

CSRF = "c" * 32
LISTS = ("devices/", "users/", "devices/{device}/readings/")
# What a request may change without storing anything: when somebody was last seen.
UNWATCHED = {"last_login", "last_used_at"}
WATCHED = {
    model: [field.attname for field in model._meta.concrete_fields if field.name not in UNWATCHED]
    for model in (User, Device, DeviceKey, AuthToken, Reading, Analysis)
}


class House:
    """Alice and her device, bob and his; `places` are their ids, `senders` the headers that each caller shows."""

    def __init__(self) -> None:
        self.client = Client(enforce_csrf_checks=True, raise_request_exception=False)
        self.rebuild()

    def rebuild(self) -> None:
        """As on the first day."""
        demolish()
        alice, bob = (User.objects.create_user(name, password=f"{name}-9-secret") for name in ("alice", "bob"))
        root = User.objects.create_superuser("root", password="root-9-secret")
        device, foreign = (Device.objects.create(owner=owner, name="Pump 1") for owner in (alice, bob))
        key, text = DeviceKey.issue(device)
        foreign_key, _ = DeviceKey.issue(foreign)
        for index, one in enumerate((device, foreign)):
            stored(one, *((second, index, 2, 3) for second in range(3)))
        places = {
            "alice": alice.pk, "bob": bob.pk, "device": device.pk, "foreign": foreign.pk, "missing": 999_999,
            "prefix": key.prefix, "foreign_prefix": foreign_key.prefix, "key": text,
            "reading": device.readings.oldest_first()[0].id, "foreign_reading": foreign.readings.oldest_first()[0].id,
            "analysis": analyses.start(alice, device, {"start_time": None}, {}).pk,
            "token": AuthToken.objects.create(alice)[1],
        }  # fmt: skip
        self.places = {f"{{{name}}}": str(value) for name, value in places.items()}
        self.senders = {
            "nobody": {},
            "alice": {"Authorization": f"Token {places['token']}"},
            "key": {"Authorization": f"Device {text}"},
            "root": {"Authorization": f"Token {AuthToken.objects.create(root)[1]}"},
            "browser": {"Cookie": _session(alice)},
            "office": {"Cookie": f"{_session(root)}; csrftoken={CSRF}", "X-CSRFToken": CSRF},
        }
        self.rows = contents()

    def send(self, case: Case) -> Any:
        """The answer, read to its end. Each case comes from an address of its own, so that none is slowed by others."""
        number = zlib.crc32(case.title.encode())
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        headers = {**self.senders[case.sender], **{name: self.named(text) for name, text in case.headers.items()}}
        environ = {name: headers.pop(name) for name in list(headers) if name.isupper()}  # as the server says it
        path = case.path if case.path.startswith("/") else f"/api/v1/{case.path}"
        body = case.content()
        if len(body) < 2_000_000:
            body = self.named(body.decode("latin-1")).encode("latin-1")
        response = self.client.generic(
            case.method,
            self.named(path),
            body,
            case.media_type,
            headers=headers,
            **{"REMOTE_ADDR": address, **environ},  # type: ignore[arg-type]
        )
        self.client.cookies.clear()
        return response

    def named(self, text: str) -> str:
        for name, value in self.places.items() if "{" in text else ():
            text = text.replace(name, value)
        return text

    def is_as_it_was(self) -> bool:
        return contents() == self.rows

    def list_status(self, case: Case) -> int:
        """How one of the lists answers after a case; over the cases it is the turn of each."""
        path = self.named(LISTS[zlib.crc32(case.title.encode()) % len(LISTS)])
        return self.client.get(f"/api/v1/{path}", headers=self.senders["root"]).status_code

    def forget_new_readings(self) -> int:
        """Delete what is new, and return how many readings that were."""
        new = set(contents()[Reading]) - set(self.rows[Reading])
        for device, *content in new:
            Reading.objects.filter(pk=(device, *content)).delete()
        return len(new)


def contents() -> dict[type[Any], list[Any]]:
    """Every user, device, key, token, reading and analysis, by model."""
    return {model: sorted(model.objects.values_list(*fields), key=repr) for model, fields in WATCHED.items()}


def demolish() -> None:
    Reading.objects.all()._raw_delete("default")
    for model in (Device, User, Session):
        model.objects.all().delete()


def _session(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}"
