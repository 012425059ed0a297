package vault

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"coffre/eventstore/kurrent/wire"
	"coffre/handlers/edge"
)

// KurrentListener says how the log is offered to KurrentDB's clients, for reading.
type KurrentListener struct {
	Listen    string // host:port; "": not at all
	CertFile  string
	KeyFile   string
	UsersFile string // lines NAME:PASSWORD; "": everybody, on loopback
}

// Offer serves offered.Store to KurrentDB's clients until end is called, with this listener's
// certificate and passwords; failed is told when it stops by itself. The connection string is where; "" when the log is not offered.
func (o KurrentListener) Offer(ctx context.Context, offered wire.Options, failed chan<- error) (where string, end func(), err error) {
	if o.Listen == "" {
		return "", func() {}, nil
	}
	options := "tls=false"
	if o.CertFile != "" {
		shown, err := CertificateFiles{
			Setting: "--kurrent-cert (COFFRE_KURRENT_CERT)", CertFile: o.CertFile, KeySetting: "--kurrent-key (COFFRE_KURRENT_KEY)", KeyFile: o.KeyFile,
		}.Read(offered.Logger, time.Now)
		if err != nil {
			return "", nil, err
		}
		offered.TLS = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &shown.Config().Certificates[0], nil
		}}
		options = "tls=true"
	}
	if o.UsersFile != "" {
		if offered.Allow, err = readUsers(o.UsersFile); err != nil {
			return "", nil, err
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return "", nil, fmt.Errorf("listen for KurrentDB's clients: %w", err)
	}
	offered.HTTP1 = edge.StrictListener
	server := wire.New(offered)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); err != nil {
			failed <- fmt.Errorf("KurrentDB's protocol: %w", err)
		}
	}()
	return "esdb://" + l.Addr().String() + "?" + options, func() { server.Close(); <-served }, nil
}

var errUsers = errors.New("--kurrent-users: the file has a line NAME:PASSWORD for each who may read, and nothing else")

// readUsers returns who may come in. What the file holds is never shown.
func readUsers(file string) (func(name, password string) bool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--kurrent-users: %w", err)
	}
	var known [][sha256.Size]byte // hashes, so that comparing takes as long for all
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" {
			return nil, errUsers
		}
		known = append(known, sha256.Sum256([]byte(line)))
	}
	if len(known) == 0 {
		return nil, errUsers
	}
	return func(name, password string) bool {
		asked, found := sha256.Sum256([]byte(name+":"+password)), 0
		for _, k := range known {
			found |= subtle.ConstantTimeCompare(asked[:], k[:])
		}
		return found == 1
	}, nil
}
