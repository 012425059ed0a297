# What the vault's own process may do: wrap and unwrap data keys, sign checkpoints of
# the log, read versions and public keys. It has no "create" on any path: encrypting
# with a key that is not there fails, instead of making another key of that name.
# `coffre serve` refuses to start with a token that may do more.

path "coffre/encrypt/kek" {
  capabilities = ["update"]
}

path "coffre/decrypt/kek" {
  capabilities = ["update"]
}

path "coffre/keys/kek" {
  capabilities = ["read"]
}

path "coffre/sign/log" {
  capabilities = ["update"]
}

path "coffre/keys/log" {
  capabilities = ["read"]
}

path "sys/capabilities-self" {
  capabilities = ["update"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}
