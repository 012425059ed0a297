// Command vaultserver is HashiCorp's Vault server, for tests only. It is a module
// of its own, so that what it depends on never enters the product's.
package main

import (
	"os"

	"github.com/hashicorp/vault/command"
)

func main() { os.Exit(command.Run(os.Args[1:])) }
