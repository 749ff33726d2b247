"""Open a sealed provider key. Imported by provider rooms alone: an import contract keeps the gateway away."""
