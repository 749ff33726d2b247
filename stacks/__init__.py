"""AWS, one file one stack. This page is the runbook.

The stacks, in the order of their deployment (`region.py` wires them)
    us-east-2   Network  Registry  Secrets  Database  Cluster  Ingress  Door  Workloads  Functions  Recovery  Jobs
    us-east-1   Edge (CloudFront, web ACL, logs)  Watchdog (probe and its alarm)
    Network, Registry, Secrets and Database hold state: they are protected from deletion and change rarely.
    policy.py holds every promised number; settings.py what one deployment is told; manifests/ what runs in the cluster.

First deploy
    1. A Route 53 zone for the domain, and IAM roles for the operators (single sign-on with hardware keys; no users with keys).
       An SES identity in us-east-2 for the zone's name with DKIM, out of the sandbox: notices come from notices@ZONE_NAME.
    2. npx aws-cdk@2.1148.1 bootstrap aws://ACCOUNT/us-east-2 aws://ACCOUNT/us-east-1
       Never the unpinned command line: its highest version is an old build that cannot read these assemblies.
       A scoped execution role needs cloudformation:DescribeStacks in both regions (references between stacks read it at
       deployment), cloudfront:*VpcOrigin* and eks:*PodIdentity* beside the services that the stacks use.
    3. Put the settings into cdk.context.json or give each as -c name=value:
       account, domain, zone_name, zone_id, image, alarm_email, administrators; stage (production, staging, small) and
       providers (all that have a fixed address) have defaults. issuer, issuer_groups, issuer_hosts and scanning_keys
       may be left out: then only keys come in, and nobody tells us of keys in public.
    4. npx aws-cdk@2.1148.1 deploy 'TheRouter-production-use2-Registry', then build and push the image (below).
    5. npx aws-cdk@2.1148.1 deploy 'TheRouter-production-use2-*' --require-approval broadening
       EKS takes about 12 minutes, the database 15 to 20.
    6. npx aws-cdk@2.1148.1 deploy 'TheRouter-production-use1-*': the VPC origin takes up to 15 minutes, CloudFront 5.
    7. therouter bootstrap aws --stage production --values DIR --owner YOU@DOMAIN --key-file FILE: first secrets, migrations, and
       the first management key (below). Everything that waited for its secret starts by itself.
    8. Confirm the two mails of the alarm topics. therouter verify aws --stage production
    `npx aws-cdk@2.1148.1 diff` belongs into every change's review.

Image
    Build once with handlers/Dockerfile for linux/arm64, push to the registry under a fresh tag (tags cannot be moved), note
    the digest, deploy with -c image=ACCOUNT.dkr.ecr.us-east-2.amazonaws.com/therouter@sha256:... Rolling back is deploying the
    digest before. Pods are replaced one by one and finish their streams; a node's reboot waits for nobody and is a last resort.

Secrets and database: therouter bootstrap aws
    The stacks make containers with a placeholder that no room accepts. The command makes the first version of keys/mint, wire/*,
    seal/*, seal/public, database/*, audit/*; it takes what comes from outside from DIR/<kind>/<subject>, files of mode 0600:
    provider/<name> (the provider's console) and payments/stripe. What each must hold stands in handlers/workloads.py. It prints
    names and never a value, overwrites nothing, says what is still missing (exit 1), and may be repeated.
    Then it calls the migrate function, which signs in with RDS's own secret of the master user, applies the migrations and sets
    each role's password. Run it again after deploying an image that brings migrations, before Workloads and Functions:
    deploy Jobs, bootstrap, deploy the rest. With --owner and --key-file it makes the first tenant and its one first management
    key (by the role founder, which has a password for that moment alone), whose hash alone leaves the machine; later keys come from the admin API.
    Pods and functions read secrets when they start and each 5 minutes; payments/* when they start.
    The deploying identity needs secretsmanager:ListSecrets, GetSecretValue, PutSecretValue and UpdateSecretVersionStage below
    therouter/STAGE/, cloudformation:ListStackResources, rds:DescribeDBInstances and lambda:InvokeFunction on that one function.

Who reaches the database
    Its group admits the gateway's nodes and nobody else. Functions with a database role go through the door: a load balancer
    that only functions may call, and pods on the gateway's nodes that pass bytes on to that one port (door.py). TLS ends at the
    database. People sign in with IAM tokens (rds-db:connect) from a host in the gateway's group, never with a shared password.

Restore drill, each month; promised: lose at most 5 minutes, be back within 60
    1. aws rds restore-db-instance-to-point-in-time into the database subnets, under another name, same parameter group and key.
    2. Before anything is restored for real: put the next number into the secret restore/epoch. Gateways, admin and payments
       answer 503 from their next look at it (5 minutes, or at once when they start) until the procedure is done, purge and spending
       wait; those that run also notice by themselves that a database went back. What the database's last minutes revoked stands
       outside it, in the checkpoint function's log. Collect the entries of RevocationsNoted since the moment of the backup from that
       log, oldest first, and call the function `restore` with {"entries": [...], "purge": <the event of purge>}. It replays them,
       purges, ends all sessions and writes the epoch; the rooms forget what they remember and serve. Then call payments with
       {"task": "reconcile", "day": ...} for each day since the backup, and compare the sums of the ledger (I1 to I4). Not replayed:
       changed limits and budgets. Payment companies got 503 meanwhile and send again: Stripe for three days, WeChat Pay for one.
    3. Drill: throw it away. For real: point THEROUTER_DATABASE_HOST at it (Database stack), deploy Workloads and Functions.

us-east-2 is lost
    Nothing fails over to another region by itself: sovereignty forbids the other one, and no second global region is paid for.
    Deploy the stacks to another AWS account or, after changing REGION in settings.py and the constants that name it, another
    region; restore from the last snapshot copy if copies were arranged; move the DNS alias. us-east-1 is lost: the edge keeps
    serving, certificates and web ACL cannot be changed, the health-check alarm is blind; the count of healthy targets in
    us-east-2 still wakes the watchdog.

Rotation
    renewal takes the next step of every secret of ours each hour (handlers/operations/renewal.py): keys/mint, seal/*, wire/*,
    database/* and audit/* are replaced after 60 days while requests go on; every process reads its secrets again each 5 minutes. It puts values
    that it cannot read; the audit trail has every step (secret.rotate). At once, after a leak: call it with "begin": ["seal/openai"]
    beside its event's numbers, and again after 15 minutes for each further step. The old version of a sealing key loses its stage
    when nothing is sealed to it any more; Secrets Manager deletes such versions in its time, KMS when a newer one needs the place.
    rotation names what is older than 90 days, whoever should have replaced it. By hand: provider/* (make the new key in the
    provider's console, put it, revoke the old one after 5 minutes), payments/*.
    The key of checkpoints hands over to the next with a note that both have signed: who has pinned one of them verifies all that they
    signed. Copies of these notes lie in the archive beside the checkpoints.
    Encryption keys and the owner's password rotate by themselves.

Known limits
    CloudFront maps every 502 and 504 to one page and cannot tell ours from its own; behind it the gateway should answer a provider's
    failure with 503. CloudFront takes Retry-After of that page from the behaviour's headers policy: documented, not tried here.
    A VPC origin cannot be changed while it is attached, tags included; replacing the load balancer means detach, replace, attach.
    Network policies act a moment after a pod has started (the CNI's standard mode; its strict mode would cut off the cluster's own
    pods, which have none). The relay's Services have fixed addresses in the upper half of the service range; an address that
    Kubernetes gave to somebody else first stops the deployment of that provider with the address in the message.
    What functions may call is not limited by name: payments reaches its company through NAT, and so could reach others.
    therouter verify aws reads manifests as they were deployed, not as somebody may have changed them with kubectl since.
    The watchdog finds a pod's node by its address; with prefix delegation in the VPC CNI it would not.

What it costs (USD a month; list prices from memory, 730 hours; recompute before quoting)
                                          idle production      1,000 requests a second
    cluster control plane                              73                           73
    nodes (ARM)                          254 (4 m7g.large)       1,970 (16 m7g.xlarge)
    database, two zones                                269                        1,634
    NAT                                                 99                        6,248
    load balancer                                       22                        1,110
    door to the database (load balancer)                18                           20
    CloudFront requests, egress, upload                  0       2,628 + 7,988 + 420
    web ACL                                             12                        1,589
    internet egress, between zones                       0               1,787 + 1,822
    keys (one for each provider), secrets, logs        100                          450
    together                                         ~ 850                     ~ 27,700
    The load: 8 KB prompts, 44 KB answers, four of five streamed. Trimming stream framing and taking upstream traffic off NAT bring
    it to 16,000 to 18,000. The small stage idles near 350.
"""
