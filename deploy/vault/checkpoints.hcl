# What the vault's own process may do besides application.hcl, where the last checkpoint of
# the log lies in Vault (--checkpoints vault-kv:coffre-checkpoints/NAME): read it and put a
# later one in its place. It can neither delete a version nor destroy one.

path "coffre-checkpoints/data/*" {
  capabilities = ["create", "read", "update"]
}
