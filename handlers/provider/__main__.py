"""`python -m handlers.provider`: one provider's pod, configured by its environment (handlers/settings.py)."""

import sys

from handlers.compiled import use_compiled

use_compiled()  # before anything that may be compiled is imported

from handlers.catalog.rows import CatalogError  # noqa: E402 - as above
from handlers.clouds import SecretError  # noqa: E402 - as above
from handlers.provider.pod import serve  # noqa: E402 - as above
from handlers.settings import PodSettings, SettingError  # noqa: E402 - as above

try:
    serve(PodSettings.parse())
except (SettingError, CatalogError, SecretError) as error:
    sys.exit(f"the provider pod cannot start: {error}")
