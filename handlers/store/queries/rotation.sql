-- name: rotation_note
select therouter.rotation_note(:secret, :step, :version)

-- name: rotation_logins
select * from therouter.rotation_logins()

-- name: rotation_set_login
select therouter.rotation_set_login(:login, :verifier)

-- name: rotation_reseal
select therouter.rotation_reseal(:provider, :version)

-- name: rotation_successor
select therouter.rotation_successor()
