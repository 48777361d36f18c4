import pytest

from analytics import analyses
from analytics.models import Analysis
from devices.models import Device
from users.models import User


@pytest.fixture
def analysis(alice: User, device: Device) -> Analysis:
    """Pending, of all time of Alice's device."""
    return analyses.start(alice, device, {}, {})
