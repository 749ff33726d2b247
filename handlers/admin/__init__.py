"""The control plane: tenants, users, keys, provider keys, budgets, use, retention, and the audit trail.

Nouns
    *Principal*: a management key, or a person who signed in. *Scope*: what a role may do, `resource:action`. *Standing*: what a
    principal is and may do now. *Route*: one operation as a row of data. *Call*: one authenticated request.

Rules
    No function takes a tenant from a request: the database finds it from the principal, checks the scope again, and shows that
    tenant's rows and no others (migrations/0302). A write and its audit row are one transaction (migrations/0301).
    The room mints API keys and seals provider keys; it can read neither again.
    A body or query with an unknown field is refused. No GET changes anything, except that operators' looks are audited.

Where to look
    function              the deployed handler, composed        routing    from an ALB event to an answer
    calls                 routes and calls                      openapi    the document, from the same rows
    people, keys, byok, usage, accounts    the routes           shapes, key_shapes, usage_shapes    what they take and give
"""
