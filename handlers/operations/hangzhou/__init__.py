"""The four duties that ask the cloud itself, in Hangzhou: the same events, outcomes and guard rails, by Alibaba Cloud's APIs.

    api              typed calls                                      nodes           the nodes of ours that run
    rotation         names secrets that are too old                   alarms          each node recovers by itself
    snapshot_check   compares backups with what is promised           watchdog        reboots one node when nothing answers
    migrate          brings the database up to date                   bootstrap       first secrets, migrations and key
    functions        calls one of our functions
    status_check     moves or restarts an impaired node               parameters      small values that outlive a call

What decides is shared with the other region (`handlers.operations.watchdog.decide`); only the asking is here.
"""
