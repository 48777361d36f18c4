"""Who is there in the browser's tests and in the pictures, made behind the service's back."""

import json
from dataclasses import dataclass

from tests.service import Service, manage

CREATE_CAST = """
import json, math, random
from datetime import timedelta
from django.utils import timezone
from devices import ingest
from devices.columns import Columns
from devices.models import Device
from devices.rows import Row
from users.models import User
alice, bob = (User.objects.create_user(name, password={password!r}) for name in ("alice", "bob"))
User.objects.create_superuser("root", password={password!r})
pump = Device.objects.create(owner=alice, name="Pump 1", timezone="Europe/Berlin", expected_interval=10,
                             description="Beside the boiler, on the second floor.")
others = Device.objects.create(owner=alice, name="Pump 2"), Device.objects.create(owner=bob, name="Mill 1")
now, noise = timezone.now().replace(microsecond=0), random.Random(1)
def row(n):
    load = 0.4 + 0.3 * math.sin(n / 1375) + (0.5 if 3000 < n < 3200 else 0)
    axes = (round(noise.gauss(mean, load / 8), 4) + 0.0 for mean in (load / 3, 0.02, 1.0))
    return Row(pump.pk, now - timedelta(seconds=10 * n), *axes)
ingest.store(Columns.of_rows([row(n) for n in range(8640)]))
print(json.dumps([pump.pk, *(device.pk for device in others)]))
"""


@dataclass(frozen=True)
class Cast:
    """Alice owns two pumps, bob a mill, root is a superuser; all have the same password.

    Pump 1 has a reading each ten seconds of the last day; the others have none.
    """

    password: str
    pump: int
    empty_pump: int
    bobs_mill: int


def create_cast(service: Service, password: str) -> Cast:
    script = CREATE_CAST.format(password=password)
    return Cast(password, *json.loads(manage(service.environment, "shell", "--verbosity", "0", "-c", script)))
