"""Django's own backend as it is: a TimescaleDateTimeField is an ordinary timestamp here and migrates too."""

from django.db.backends.postgresql.base import DatabaseWrapper

__all__ = ["DatabaseWrapper"]
