"""Payments: the only room that talks to payment companies, Stripe in the global region and WeChat Pay in china.

Nouns
    *Order*: one top-up that a tenant asked for. *Checkout*: where it is paid. *Notice*: one fact that the company told us.
    *Wallet*: what Stripe keeps for a tenant beyond single payments. *Refund*, *dispute*, *receipt*: as in the trade.

Rules
    An order exists before the company hears of it. Credit follows from an order and a notice that agrees with it in order, company,
    tenant, amount, currency and mode, in one transaction, once; what disagrees is flagged and credits nothing.
    A notification is a hint that may be lost, late, doubled or out of order; the company's own answer repairs it.
    No card or bank account number is ever accepted, and no notification is stored: ids, amounts and times only.

Where to look
    function, repair      the two deployed handlers           composition   settings and secrets -> the room
    routes, reading, resolver, authentication                 from an ALB event to a typed call
    topups, profiles      what customers do                   intake, questions   what the company tells us, asked or not
    reconciliation        once a day, our list against the company's
    company               the port; stripe_*, wechat_*        behind it
    credentials, detector                                     what is refused at boot, and what in a request
"""
