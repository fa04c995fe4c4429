"""What an error page may show of the settings."""

import re

from django.views.debug import SafeExceptionReporterFilter


class SecretsHidden(SafeExceptionReporterFilter):
    """Also hides addresses and what is made of them: the one of Redis may hold a password."""

    hidden_settings = re.compile(
        SafeExceptionReporterFilter.hidden_settings.pattern + "|URL|BROKER|LAYERS", flags=re.IGNORECASE
    )
