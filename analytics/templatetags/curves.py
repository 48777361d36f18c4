"""A device's curve on a page that is not of this app: the admin's."""

from typing import Any

from django import template

from analytics.pages import device_context
from devices.models import Device
from devices.transactions import snapshot

register = template.Library()


@register.inclusion_tag("analytics/curve.html", takes_context=True)
def device_curve(context: template.Context, device: Device) -> dict[str, Any]:
    """Window picker, curves and figures of a device; the page's own query says which window."""
    with snapshot():
        return device_context(context["request"], device, with_readings=False)
