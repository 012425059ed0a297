# Signs certificates of erasure with a key of its own, so that nobody else can. It can
# neither seal nor open anything.

path "coffre/sign/erasure" {
  capabilities = ["update"]
}

path "coffre/keys/erasure" {
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
