package main

import (
	"net"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/vault"
)

// kurrentFlags say how the log is offered to KurrentDB's clients, for reading.
type kurrentFlags struct{ vault.KurrentListener }

func (o *kurrentFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Listen, "kurrent-listen", "", "`address` to offer the log on to KurrentDB's clients, for reading, such as 127.0.0.1:2113")
	f.StringVar(&o.CertFile, "kurrent-cert", "", "`file` with the certificate for it, PEM, signed by an authority its clients know")
	f.StringVar(&o.KeyFile, "kurrent-key", "", "`file` with the certificate's key, PEM")
	f.StringVar(&o.UsersFile, "kurrent-users", "", "`file` with who may read, a line NAME:PASSWORD for each")
	cmd.MarkFlagsRequiredTogether("kurrent-cert", "kurrent-key")
	for _, file := range []string{"kurrent-cert", "kurrent-key", "kurrent-users"} {
		_ = cmd.MarkFlagFilename(file) // only for flags that are not there
	}
}

// check refuses what would show the log to the world.
func (o kurrentFlags) check() error {
	if o.Listen == "" {
		if o.CertFile != "" || o.UsersFile != "" {
			return usage("--kurrent-cert and --kurrent-users go with --kurrent-listen")
		}
		return nil
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return usage("--kurrent-listen is HOST:PORT, such as 127.0.0.1:2113")
	}
	if !loopback(host) && (o.CertFile == "" || o.UsersFile == "") {
		return usage("--kurrent-listen %s: off loopback it needs --kurrent-cert, --kurrent-key and --kurrent-users", o.Listen)
	}
	if o.UsersFile != "" && o.CertFile == "" {
		return usage("--kurrent-users needs --kurrent-cert: clients send passwords over TLS only")
	}
	return nil
}
