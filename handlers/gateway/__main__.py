"""`python -m handlers.gateway`: one gateway process, configured by its environment (handlers/settings.py)."""

import sys

from handlers.compiled import use_compiled

use_compiled()  # before anything that may be compiled is imported

from handlers.catalog.rows import CatalogError  # noqa: E402 - as above
from handlers.gateway.process import serve  # noqa: E402 - as above
from handlers.settings import GatewaySettings, SettingError  # noqa: E402 - as above

try:
    serve(GatewaySettings.parse())
except (SettingError, CatalogError) as error:
    sys.exit(f"the gateway cannot start: {error}")
