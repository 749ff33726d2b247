"""ROOM: trust page, documentation, bulletins and security.txt. Everything is public, and nothing asks who reads.

    function, routes         the deployed handler, and which paths it answers
    trust, outline, proofs   the trust page: its order and claims, and which of them a test run has proved
    inventory, recipients    what is kept, where and for how long; who receives data
    docs, api                the API for people, and as OpenAPI 3.1
    disclosure, bulletins    how to report a vulnerability, and what was found
    frame, markup, texts     what all pages share: frame, escaped HTML, two languages

What the pages say is data beside the code: outline.toml, inventory.toml, api.toml, bulletins.toml, texts/.
"""
