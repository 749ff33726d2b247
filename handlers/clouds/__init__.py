"""Secrets and identity, in the cloud this process runs in: aws, aliyun, or files on one machine."""
