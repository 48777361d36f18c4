"""What devices tells the world, inside the transaction that does it. Times are microseconds since 1970.

`readings_changed`: readings of a closed time, one before a device's `closed_until`, have changed. With `device_id`,
`added`, the times of new readings, and `removed`, the span from the first to the last time that readings may have gone
from, or None.

`readings_pruned`: all readings of the device `device_id` from before the time `before` are gone, and none comes again.
"""

from django.dispatch import Signal

readings_changed = Signal()
readings_pruned = Signal()
