"""The whole system on one machine, one command; the only place that starts processes.

cli, commands          how the command `therouter` is spelled, and what it does against a running system (access)
up, system             starts everything in order, watches it, stops it (processes, probes, home)
postgres, aws, model   the database, the AWS stand-in with the secret files, a small real model
functions, schedules   functions behind their region's platform (platforms), and what calls them by the clock
admin_beside, issuer   the control plane, and who its people sign in at
payments_beside        the payments room and its company: stripe_standin, wechat_standin, payments_*
replay                 `therouter replay`: recorded traffic through the whole gateway: replay_*
rotation, restore, credit, audit, claims    the commands of these names
"""
