"""Operations: what runs on schedules and events, Lambda-style, and touches no customer's content.

Each module has `handler(event, context)`. The numbers that it acts on come in the event: the schedule that sends it is written by
stacks/ and aliyun/ from the policy table, so a promise, its template and its behaviour hold the same number.

    purge             removes metadata past its tenant's retention       reap            ends leases and grants whose time is over
    spending          tells of budgets that run out (notices.py)    reconcile       compares every sum of money
    checkpoint        seals the audit log                               rotation        names secrets that are too old
    snapshot_check    compares backups with what is promised            alarms          gives each node its two alarms
    watchdog          reboots one node when nothing answers any more    verify_aws      compares an account with the promises
    renewal           rotates the secrets that are ours                 restore         takes away again what a restore brings back
    migrate           brings the database up to date, at deployments    founding        the first tenant, by hand
    bootstrap         first secrets, migrations and key of a deployment (bootstrap_aws: the cloud's side of it; beginning: the key's)

What asks the cloud itself (rotation, snapshot_check, alarms, watchdog) has its twin in hangzhou/.
"""
