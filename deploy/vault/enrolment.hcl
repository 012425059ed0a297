# Makes the mount's keys, once, and forbids that encrypting makes any. It can use
# none of them. Its token is made by hand for a few minutes; see README.md.

path "coffre/keys/kek" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "type"    = ["aes256-gcm96"]
    "derived" = [true, "true"]
  }
  required_parameters = ["type", "derived"]
}

path "coffre/keys/log" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "type" = ["ed25519"]
  }
  required_parameters = ["type"]
}

path "coffre/keys/erasure" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "type" = ["ed25519"]
  }
  required_parameters = ["type"]
}

path "coffre/config/keys" {
  capabilities = ["create", "update"]
  allowed_parameters = {
    "disable_upsert" = [true, "true"]
  }
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}
