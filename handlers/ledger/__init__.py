"""Money in integers of nano-units: quote, hold, rate, settle, budgets. Pure; the entries themselves live in the store."""
