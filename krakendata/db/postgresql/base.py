"""Django's own backend as it is: a TimescaleDateTimeField is an ordinary timestamp here, so such models migrate too."""

from django.db.backends.postgresql.base import DatabaseWrapper

__all__ = ["DatabaseWrapper"]
