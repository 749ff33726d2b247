"""`python -m handlers.provider`: one provider's pod, configured by its environment (handlers/settings.py)."""

import sys

from handlers.catalog.rows import CatalogError
from handlers.clouds import SecretError
from handlers.provider.pod import serve
from handlers.settings import PodSettings, SettingError

try:
    serve(PodSettings.parse())
except (SettingError, CatalogError, SecretError) as error:
    sys.exit(f"the provider pod cannot start: {error}")
