"""The least that krakendata needs of a project: contenttypes and a database."""

import os

import dj_database_url

for scheme in ("timescale", "postgresql"):
    dj_database_url.register(scheme, f"krakendata.db.{scheme}")

INSTALLED_APPS = ["django.contrib.contenttypes", "krakendata"]
DATABASES = {"default": dj_database_url.parse(os.environ["INTERNAL_DATABASE_URL"])}
SECRET_KEY = "for tests only"
USE_TZ = True
TIME_ZONE = "UTC"
