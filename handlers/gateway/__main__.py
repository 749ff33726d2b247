"""`python -m handlers.gateway`: one gateway process, configured by its environment (handlers/settings.py)."""

import sys

from handlers.catalog.rows import CatalogError
from handlers.gateway.process import serve
from handlers.settings import GatewaySettings, SettingError

try:
    serve(GatewaySettings.parse())
except (SettingError, CatalogError) as error:
    sys.exit(f"the gateway cannot start: {error}")
