# Makes new versions of the key-encryption key, moves wrapped keys to the latest one
# without seeing them, retires old versions and destroys them. It can neither seal nor
# open anything, and cannot make the key exportable or deletable.

path "coffre/keys/kek" {
  capabilities = ["read"]
}

path "coffre/keys/kek/rotate" {
  capabilities = ["update"]
}

path "coffre/keys/kek/config" {
  capabilities = ["update"]
  allowed_parameters = {
    "min_decryption_version" = []
    "min_encryption_version" = []
  }
}

path "coffre/keys/kek/trim" {
  capabilities = ["update"]
}

path "coffre/rewrap/kek" {
  capabilities = ["update"]
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
