-- Names in the tables about money are as long as names are, and no longer.
alter table lease alter column key_id type varchar(16);
alter table budget alter column scope type varchar(8), alter column period type varchar(8);
alter table rate_slot alter column key_id type varchar(16), alter column kind type varchar(8);
alter table place alter column key_id type varchar(16);
