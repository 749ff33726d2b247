-- A record of the audit trail names what changed and holds no content; its size is bounded like every other text's.
alter table audit_row add constraint audit_row_record_check check (octet_length(record) <= 65536);
