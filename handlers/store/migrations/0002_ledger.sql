-- Money, in integers of 10^-9 of the region's currency.
--
-- entry     double entry, append-only: every movement is two rows of opposite sign under one transaction key. A tenant's
--           rows carry its id; the other side is one of four system accounts, which have no running balance.
-- account   the running balance of a tenant, and how much of it is held by leases. available = balance - held.
-- lease     a block of credit that one gateway process may spend without asking again.
--
-- Lock order: account rows by tenant id, then leases, then everything else. Every function below keeps it.

create type system_account as enum ('revenue', 'external', 'waived', 'adjustment');

create table account (
  tenant_id uuid primary key references tenant,
  balance_nano bigint not null default 0,
  held_nano bigint not null default 0 check (held_nano >= 0),
  state varchar(8) not null default 'active' check (state in ('active', 'frozen', 'closed'))
);
create trigger account_change after update of state on account for each row execute function note_key_change();

create table lease (
  lease_id uuid primary key,
  tenant_id uuid not null references account,
  pod slug not null,
  amount_nano bigint not null check (amount_nano >= 0),
  expires_at timestamptz not null
);
create index lease_expiry on lease (expires_at);
create index lease_tenant on lease (tenant_id);

create table entry (
  entry_id bigserial primary key,
  txn_key varchar(160) not null check (txn_key ~ '^[a-z]{3}:[A-Za-z0-9_.:-]+$'),
  tenant_id uuid references account,
  system_account system_account,
  amount_nano bigint not null check (amount_nano <> 0),
  kind varchar(16) not null check (kind in ('usage', 'correction', 'topup', 'refund', 'chargeback', 'adjustment', 'waiver', 'rollup')),
  reason varchar(32) not null default '' check (reason ~ '^[a-z_]*$'),
  at timestamptz not null default now(),
  check (num_nonnulls(tenant_id, system_account) = 1),
  constraint entry_once unique nulls not distinct (txn_key, tenant_id, system_account)
);
create index entry_tenant on entry (tenant_id, at) where tenant_id is not null;

-- History is appended to. The one exception is the purge, which replaces a day's usage entries by their sum and says so.
create function refuse_rewriting() returns trigger language plpgsql set search_path = therouter, pg_temp as $$
begin
  if tg_op = 'DELETE' and current_setting('therouter.purge', true) = 'on' then
    return old;
  end if;
  raise exception using errcode = 'TR409', constraint = 'append_only', message = 'append only';
end $$;
create trigger entry_append_only before update or delete on entry for each row execute function refuse_rewriting();
create trigger entry_no_truncate before truncate on entry for each statement execute function refuse_rewriting();

-- One movement between a tenant and a system account; false when this key has been booked already.
-- A key that comes back with another amount or tenant is a fault of the caller, and nothing is booked.
create function book(
  p_key text, p_tenant uuid, p_other system_account, p_amount_nano bigint, p_kind text, p_reason text default ''
) returns boolean language plpgsql set search_path = therouter, pg_temp as $$
begin
  perform from account where tenant_id = p_tenant for update;
  if not found then
    raise exception using errcode = 'TR404', constraint = 'tenant_unknown', message = 'tenant';
  end if;
  -- The system side goes first: it is unique by key alone, so a key reused for another tenant collides here.
  insert into entry (txn_key, system_account, amount_nano, kind, reason)
    values (p_key, p_other, -p_amount_nano, p_kind, p_reason) on conflict do nothing;
  if not found then
    perform from entry where txn_key = p_key and tenant_id = p_tenant and amount_nano = p_amount_nano;
    if not found then
      raise exception using errcode = 'TR409', constraint = 'transaction_key_reused', message = 'key';
    end if;
    return false;
  end if;
  insert into entry (txn_key, tenant_id, amount_nano, kind, reason)
    values (p_key, p_tenant, p_amount_nano, p_kind, p_reason);
  update account set balance_nano = balance_nano + p_amount_nano where tenant_id = p_tenant;
  return true;
end $$;
