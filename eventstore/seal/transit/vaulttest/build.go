package vaulttest

import (
	"context"

	"coffre/eventstore/testserver"
)

// module is the server's own; the tag leaves out the cloud providers' plug-ins.
var module = testserver.Module{Name: "vaultserver", Folder: "eventstore/seal/transit/vaultserver", Target: ".", Tags: "minimal"}

// Binary returns the path of the server's binary, after building it where there is
// none, which takes some five minutes.
func Binary(ctx context.Context) (string, error) { return module.Binary(ctx) }
