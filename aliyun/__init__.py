"""The mirror in Hangzhou: the same intentions under the same names as in stacks/, on Alibaba Cloud.

    python -m aliyun check                     synthesize offline and verify every property, reference and promise
    python -m aliyun synth                     write the templates to aliyun.out
    python -m aliyun deploy                    validate -> change set -> execute -> wait, stack by stack
    python -m aliyun secrets --values DIR      put the values of secrets, from 0600 files, where there is none yet
    therouter bootstrap aliyun --values DIR    make every secret that is ours, take the rest from files, migrate, first key
    therouter verify aliyun                    compare the live account with what the trust page promises; reading calls alone
    python -m aliyun differences               where the mirror is not one, and why that is acceptable

First deploy: `deploy` with THEROUTER_DATABASE_OWNER_PASSWORD and THEROUTER_EDGE_TOKEN in the environment, then `therouter bootstrap
aliyun --values DIR --owner YOU@DOMAIN --key-file FILE`, where DIR/database/owner holds that password and DIR/provider/<name>,
DIR/payments/wechat what comes from outside. After an image that brings migrations: deploy, and bootstrap again.

Reading order: region.py (what receives what), then one file for each stack beside the file of that name in stacks/. A ROS template is
a plain dict (base.py); schema.json holds what ROS accepts (extract.py), check.py and rules.py judge, client.py, deploy.py and values.py deploy.
Nothing here is shared with the other cloud but the policy table, the manifests and the rows of what runs.

What code cannot do is a checklist; each line names the setting that it fills (example.toml) and is refused while it is missing:

    account               an Alibaba Cloud account of the China region's own, real-name verified for a mainland entity
    icp_filing            ICP filing (and, for a paid API, the value-added telecom licence) of the domain in zone_name
    generative_filing     filing of the generative service and use of filed models (CAC); provider rows are mainland ones
    esa_instance          a purchased ESA plan; the mainland coverage needs the ICP filing
    esa_ruleset           the site's ruleset of managed firewall rules, made once in the ESA console
    esa_origin_ranges     ESA's origin-pull addresses, after origin protection is on
    certificate           the origin's certificate for the domain, in Certificate Management Service
    registry, image       a purchased container registry in cn-hangzhou; push from inside the mainland, deploy by digest
    alarm_email           a mailbox of the China team
    issuer                the identity provider of the tenants' people; optional
    (not a setting)       a DirectMail sender notices@zone_name in cn-hangzhou; notices about spending and leaked keys come from it
    (not a setting)       MLPS (dengbao) grading, a WeChat Pay merchant account, the values of the secrets
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """Where the mirror is not one, and why that is acceptable."""

    intention: str
    aws: str
    aliyun: str
    difference: str
    acceptable: str
    modules: tuple[str, ...] = ()
    """Modules that only one side has."""
    classes: tuple[str, ...] = ()
    """`module.Class` that only one side has."""


DIFFERENCES: tuple[Difference, ...] = (
    Difference(
        "synthesis and deployment",
        "app.py and the CDK's command line",
        "app.py, base.py, texts.py, __main__.py, client.py, deploy.py",
        "we write templates and drive change sets ourselves",
        "ROS's CDK cannot share an environment with the AWS CDK; the client is small and tested against signatures",
        modules=("__main__", "app", "client", "deploy", "texts"),
        classes=("base.Resource", "base.Export"),
    ),
    Difference(
        "verification",
        "the CDK's types, cdk-nag, cfn-lint",
        "check.py, rules.py, schema.py, extract.py",
        "properties and promises are verified by our own checker over extracted facts",
        "no offline validator of ROS templates exists; seeded mistakes prove that ours finds them",
        modules=("check", "rules", "schema", "extract"),
    ),
    Difference(
        "numbers",
        "stacks/policy.py",
        "the same table",
        "imported, not mirrored",
        "a promise has one home",
        modules=("policy",),
    ),
    Difference(
        "record of actions",
        "CloudTrail's event history (90 days, always on) and the cluster's audit log",
        "trail.py: ActionTrail into a log of its own, kept for cluster_log_retention_days",
        "here the trail is a stack",
        "ActionTrail keeps nothing for a year unless told to",
        modules=("trail",),
    ),
    Difference(
        "who somebody is on the network",
        "security groups that name one another (Groups)",
        "security groups with networks (Purpose, Rule), and vSwitches by purpose; the relay has its own",
        "the database's whitelist takes networks only, so pods get addresses by room (PodNetworking)",
        "an address says what may run there; provider pods have no way to the internet or the database at all",
        classes=("network.Groups", "network.Purpose"),
    ),
    Difference(
        "way in",
        "internal ALB behind CloudFront's VPC origin",
        "public ALB that admits ESA's origin-pull addresses and a token of our site's",
        "ESA has no private origins",
        "two locks instead of one: the addresses are shared by ESA's customers, the token is ours alone",
    ),
    Difference(
        "listener and routes",
        "ingress.py, door.py and functions.py",
        "manifests.py, parts/routes.py: AlbConfig, Ingress, and the door's Service",
        "ACK's controller owns the listener of a load balancer that it serves",
        "the same numbers, in the manifests",
    ),
    Difference(
        "identity of pods",
        "Pod Identity; roles in secrets.py",
        "RRSA; pods' roles in cluster.py, functions' roles in secrets.py",
        "an RRSA role trusts the cluster's own issuer, which exists after the cluster",
        "each role still names one service account and the secrets of one row",
    ),
    Difference(
        "pieces of a stack",
        "parts/: also findings, statements of the web ACL, identities of pods",
        "parts/: also security groups, ways out, routes, roles of functions",
        "each side has a page for what takes more than a few lines there",
        "node pools, access logs and the error page have the same names",
    ),
    Difference(
        "value of a new secret",
        "random bytes made by Secrets Manager",
        "a placeholder that every room refuses; values.py puts the operator's",
        "ROS demands a value in the template, and a template must not hold one",
        "nothing starts until the value is there",
        modules=("values",),
    ),
    Difference(
        "managed rules and prompts",
        "body rules count, and one rule blocks their labels off the prompt paths",
        "injection groups are skipped on the prompt paths",
        "ESA's groups cannot leave out bodies alone",
        "the gateway's strict request grammar stands behind the edge on those paths",
    ),
    Difference(
        "probes",
        "every 30 s from Route 53",
        "every minute from each of two places",
        "a site monitor probes once a minute at most",
        "together they probe as often as promised",
    ),
    Difference(
        "edge log",
        "objects that expire two days early, because storage rounds up",
        "a log store that expires to the day",
        "no rounding here",
        "seven days are seven days",
    ),
    Difference(
        "idle connections from the edge",
        "the edge ends them (edge_keepalive_s)",
        "the load balancer ends them (idleTimeout); its wait within a request is requestTimeout",
        "ESA has no such setting, and this load balancer has two",
        "the same seconds; a connection that ends as a request comes is opened anew by the edge",
    ),
    Difference(
        "recovery of a node",
        "two alarms for each node, with periods and counts of ours",
        "a check of ours each period (hangzhou/status_check.py), the maintenance attribute AutoRecover, the pool's repair",
        "no alarm acts on a node here, so a function counts",
        "the same periods and counts lead to the same two steps; at most one node in a check",
    ),
    Difference(
        "duties that ask the cloud",
        "handlers/operations",
        "handlers/operations/hangzhou",
        "other APIs; the events, the outcomes and the watchdog's decision are shared",
        "what decides is one function, tested once",
    ),
    Difference(
        "who notices may come from",
        "SES: one sender, named in the grant with its address and its domain",
        "DirectMail: the grant names the call alone; the sender is in the room's settings",
        "DirectMail authorises by operation and knows no resource",
        "the account of this region has no other senders, and DirectMail refuses those that it has not verified",
    ),
    Difference(
        "keys found in public",
        "GitHub's scanner tells the global region",
        "a scanner in the mainland, if the operator names one",
        "GitHub is outside; a key says by its first letter which region made it",
        "a china key in a public place elsewhere is revoked by its owner, or by the rules of its own region",
    ),
    Difference(
        "sizes and alarms as values",
        "literals of the CDK",
        "Sizes (sizes.py), Condition (alerts.py)",
        "plain dicts need a name for what the CDK has classes for",
        "they hold no behaviour",
        modules=("sizes",),
        classes=("alerts.Condition",),
    ),
)
