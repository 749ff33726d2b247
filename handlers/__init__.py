"""TheRouter's request handlers: an LLM gateway cut into rooms.

Nouns
    *Room*: one deployable with one identity, one set of secrets and at most one database role. A bug in one room must not open
    another, so rooms never import rooms; what they share lies below them.
    *Dialect*: an API format that clients speak. *Adapter*: an upstream wire format that providers speak.
    *Provider*: a company or server we call. *Endpoint*: one model at one provider, with its price and abilities.
    *Attempt*: one try at one endpoint. *Plan*: the ordered attempts that a request may make.

The rooms
    gateway     authenticate -> authorize -> plan -> hold -> dispatch -> meter -> record; never parses a dialect
    provider    one process per provider: translate, sign, call, decode; holds that provider's secret and no database
    admin       the control plane: tenants, keys, BYOK, retention, audit
    payments    the only room that talks to Stripe and WeChat Pay
    operations  purge, reap, checkpoint, spending, alarms, watchdog, renewal, restore
    site        trust page, documentation, bulletins
    relay       the only way out of a cluster: one port for each host, bytes passed on unread
    local       all of it on one machine, one command

What the rooms stand on, top to bottom; each line may import only what is below it (enforced: pyproject.toml)
    store, clouds, transport, workloads    PostgreSQL; secrets and identity; the byte path; what runs where
    ledger, keys, audit                    money; API keys and sealed provider keys; the mathematics of the audit trail
    catalog, telemetry                     providers, models, prices; logs and metrics with a closed schema
    translation                            pure: canonical values, framing, dialects, adapters
    messages                               errors in Chinese, where the region is china
    settings, hardening, compiled, errors  every environment variable; what a process gives up at start; machine code; every error

The life of a request
    client -> gateway (authenticate, authorize, plan, hold) -> wire -> provider pod (translate, call) -> upstream,
    and back as frames: head, data, usage, end. The gateway forwards data without reading it, knows the commit point from
    a flag, writes one usage line to its spool before it tells the client "finished", and settles that line in PostgreSQL
    any number of times with one effect.
"""
