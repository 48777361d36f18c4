"""What devices tells the world: readings of a closed time, one before a device's `closed_until`, have changed.

Sent inside the transaction that changes them, with `device_id`, `added`, the times of new readings, and `removed`, the
span from the first to the last time that readings may have gone from, or None. Times are microseconds since 1970.
"""

from django.dispatch import Signal

readings_changed = Signal()
