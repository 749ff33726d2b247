-- What the payments room remembers: orders, refunds, disputes, receipts, ids of payment methods, and the ids of
-- notifications it has acted on. Amounts are minor units (cents, fen). No card, no bank account, no notification body:
-- each text column has an alphabet and a length in which neither fits.
--
-- payment_order    pending -> paid -> refunded;  pending -> closed | failed;  closed | failed -> paid when money came late
-- payment_refund   pending -> succeeded | failed
-- payment_dispute  open -> won
--
-- Lock order, as in 0002_ledger.sql: the tenant's account row, then the order, then the rest.

-- The companies' identifiers: cs_..., pi_..., PUB_KEY..., 28 digits. A run of 13 to 19 digits alone could be a card.
create domain company_id as varchar(128)
  check (value = '' or (value ~ '^[A-Za-z0-9_-]+$' and value !~ '(^|[^A-Za-z0-9])[0-9]{13,19}([^A-Za-z0-9]|$)'));
create domain payment_provider as varchar(8) check (value in ('stripe', 'wechat'));
create domain currency_code as varchar(3) check (value in ('usd', 'cny'));
create domain minor_units as bigint check (value between 0 and 100000000);

create table payment_order (
  order_id uuid primary key,
  tenant_id uuid not null references account,
  provider payment_provider not null,
  kind varchar(12) not null check (kind in ('checkout', 'automatic')),
  amount_minor minor_units not null check (amount_minor > 0),
  currency currency_code not null,
  mode varchar(4) not null check (mode in ('live', 'test')),
  state varchar(8) not null default 'pending' check (state in ('pending', 'paid', 'refunded', 'closed', 'failed')),
  keep_method boolean not null default false,
  customer company_id not null default '',
  method company_id not null default '',
  company_order company_id not null default '',
  company_payment company_id not null default '',
  refunded_minor minor_units not null default 0 check (refunded_minor <= amount_minor),
  disputed boolean not null default false,
  flag varchar(16) not null default '' check (flag ~ '^[a-z_]*$'),
  request_key varchar(64) check (request_key ~ '^[A-Za-z0-9_.:-]+$'),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  checked_at timestamptz,
  paid_at timestamptz,
  unique (tenant_id, request_key)
);
create index payment_order_tenant on payment_order (tenant_id, created_at desc);
create index payment_order_pending on payment_order (coalesce(checked_at, created_at)) where state = 'pending';
create index payment_order_flagged on payment_order (created_at) where flag <> '';
create unique index payment_order_payment on payment_order (provider, company_payment) where company_payment <> '';
create unique index payment_order_automatic on payment_order (tenant_id) where kind = 'automatic' and state = 'pending';

create table payment_refund (
  refund_id uuid primary key,
  order_id uuid not null references payment_order,
  amount_minor minor_units not null check (amount_minor > 0),
  state varchar(9) not null default 'pending' check (state in ('pending', 'succeeded', 'failed')),
  company_refund company_id not null default '',
  request_key varchar(64) check (request_key ~ '^[A-Za-z0-9_.:-]+$'),
  created_at timestamptz not null default now(),
  checked_at timestamptz,
  unique (order_id, request_key)
);
create unique index payment_refund_company on payment_refund (order_id, company_refund) where company_refund <> '';
create index payment_refund_pending on payment_refund (coalesce(checked_at, created_at)) where state = 'pending';

create table payment_dispute (
  provider payment_provider not null,
  dispute_id company_id not null check (dispute_id <> ''),
  order_id uuid not null references payment_order,
  amount_minor minor_units not null check (amount_minor > 0),
  state varchar(4) not null default 'open' check (state in ('open', 'won')),
  created_at timestamptz not null default now(),
  primary key (provider, dispute_id)
);

create table payment_receipt (
  provider payment_provider not null,
  receipt_id company_id not null check (receipt_id <> ''),
  order_id uuid not null references payment_order,
  issued_at timestamptz not null default now(),
  primary key (provider, receipt_id)
);
create index payment_receipt_order on payment_receipt (order_id);

create table payment_method (
  provider payment_provider not null,
  method_id company_id not null check (method_id <> ''),
  tenant_id uuid not null references account,
  created_at timestamptz not null default now(),
  primary key (provider, method_id)
);
create index payment_method_tenant on payment_method (tenant_id, created_at);

-- The tenant at the company, and its standing order for more credit (amount 0: none).
create table payment_profile (
  tenant_id uuid primary key references account,
  customer company_id not null default '',
  tax_id company_id not null default '',
  automatic_method company_id not null default '',
  automatic_threshold_minor minor_units not null default 0,
  automatic_amount_minor minor_units not null default 0,
  automatic_failures smallint not null default 0 check (automatic_failures >= 0),
  automatic_tried_at timestamptz,
  check ((automatic_amount_minor > 0) = (automatic_method <> ''))
);
create index payment_profile_automatic on payment_profile (tenant_id) where automatic_amount_minor > 0;

-- The replay token: an event acts once. The credit itself has its own natural key in the ledger, for ever.
create table payment_event (
  provider payment_provider not null,
  event_id company_id not null check (event_id <> ''),
  kind varchar(16) not null check (kind ~ '^[a-z_]+$'),
  outcome varchar(16) not null check (outcome ~ '^[a-z_]+$'),
  order_id uuid not null references payment_order,
  at timestamptz not null default now(),
  primary key (provider, event_id)
);
create index payment_event_at on payment_event (at);

-- The second wall of 0009_walls.sql.
do $$
declare
  name text;
begin
  foreach name in array array[
    'payment_order', 'payment_refund', 'payment_dispute', 'payment_receipt', 'payment_method', 'payment_profile', 'payment_event']
  loop
    execute format('alter table %I enable row level security', name);
  end loop;
  foreach name in array array['payment_order', 'payment_method', 'payment_profile'] loop
    execute format(
      $policy$create policy own_rows on %I using (tenant_id = nullif(current_setting('therouter.tenant_id', true), '')::uuid)$policy$,
      name);
  end loop;
end $$;
