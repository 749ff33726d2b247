"""ROOM: the control plane API for tenants, keys, BYOK, retention, budgets, usage and audit."""
