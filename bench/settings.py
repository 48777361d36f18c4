"""The service's own settings, with the views that it is compared with beside its own."""

from config.settings import *

ROOT_URLCONF = "bench.urls"
