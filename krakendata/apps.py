"""The app, as an internal Django project installs it: add "krakendata" to INSTALLED_APPS."""

from django.apps import AppConfig


class KrakendataConfig(AppConfig):
    """Registers the system checks once every app is loaded."""

    name = "krakendata"
    verbose_name = "Kraken market data"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from krakendata import checks

        checks.register_all()
