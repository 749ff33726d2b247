"""PostgreSQL: numbered migrations, named queries, a pool over pg8000. Roles may only execute functions."""
