package vault

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"coffre/cmd/coffre/files"
	"coffre/handlers/edge"
)

// CertificateFiles name what a process shows to whoever connects, and whom it trusts there. The
// files are read again while it runs. Names of settings stand in errors and logs.
type CertificateFiles struct {
	Setting, CertFile   string // PEM: the certificate and those between it and its authority
	KeySetting, KeyFile string // PEM
	CASetting, CAFile   string // PEM: authorities for clients; "": no client is asked for a certificate
}

// certificateLook is how often the files are looked at, at most: when somebody connects, and
// when the vault's health is asked for.
const certificateLook = time.Second

// failureNotice is the time between two lines of the log about handshakes that fail for one
// reason.
const failureNotice = time.Minute

// Certificates keep a certificate, its key and the authorities for clients as the files have them.
// While these do not fit each other, as in the middle of a replacement, what was read before
// counts. They may be used concurrently.
type Certificates struct {
	files  CertificateFiles
	now    func() time.Time
	logger *slog.Logger

	mu      sync.Mutex
	looked  time.Time
	read    [3][]byte   // the last that fitted each other
	config  *tls.Config // of them; never changed
	first   time.Time   // end of the certificate of config that ends first
	trouble error       // why what was tried last does not count; nil: it does
	failed  map[string]*failures
}

// failures are handshakes that failed for one reason.
type failures struct {
	told  time.Time
	since int // the last line of the log
}

// Read reads the files, and returns an error that names the setting of what is wrong.
func (f CertificateFiles) Read(logger *slog.Logger, now func() time.Time) (*Certificates, error) {
	c := &Certificates{files: f, now: now, logger: logger, failed: map[string]*failures{}}
	c.looked = now()
	c.look()
	return c, c.trouble
}

// Config returns what a connection that begins now is served with. It is not changed, and
// another one once a file was.
func (c *Certificates) Config() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookSometimes()
	return c.config
}

// lookSometimes looks at the files when that is due, and tells what changed.
func (c *Certificates) lookSometimes() {
	now := c.now()
	if since := now.Sub(c.looked); since >= 0 && since < certificateLook {
		return
	}
	c.looked = now
	switch before := c.trouble; {
	case c.look() && c.trouble == nil:
		c.logger.Info("the certificate for those who connect was read again", slog.String("setting", c.files.Setting), slog.String("ends", c.first.UTC().Format(time.DateOnly)))
	case c.trouble != nil && (before == nil || before.Error() != c.trouble.Error()):
		c.logger.Warn("the certificate for those who connect cannot be read again; the one before counts", slog.Any("error", c.trouble))
	}
}

// look reads the files, and reports whether anything in them changed.
func (c *Certificates) look() (changed bool) {
	var read [3][]byte
	for i, path := range []string{c.files.CertFile, c.files.KeyFile, c.files.CAFile} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err == nil && !info.Mode().IsRegular() { // a pipe would hold whoever connects
			err = errors.New("this is no file that can be read again")
		} else {
			read[i], err = files.ReadSmall(path)
		}
		if err != nil {
			c.trouble = fmt.Errorf("%s: %w", [3]string{c.files.Setting, c.files.KeySetting, c.files.CASetting}[i], err)
			return false
		}
	}
	if c.config != nil && c.trouble == nil && bytes.Equal(read[0], c.read[0]) && bytes.Equal(read[1], c.read[1]) && bytes.Equal(read[2], c.read[2]) {
		return false
	}
	config, first, err := c.files.parse(read)
	if c.trouble = err; err != nil {
		return false
	}
	c.read, c.config, c.first = read, config, first
	return true
}

// parse returns what a server serves with, and when the first of its certificates ends. What
// the files hold is never shown.
func (f CertificateFiles) parse(read [3][]byte) (*tls.Config, time.Time, error) {
	pair, err := tls.X509KeyPair(read[0], read[1])
	switch {
	case err != nil && isEncrypted(read[1]):
		return nil, time.Time{}, fmt.Errorf("%s: the key is encrypted: write it without a passphrase", f.KeySetting)
	case err != nil:
		return nil, time.Time{}, fmt.Errorf("%s and %s: these are no certificates in PEM of which the first is the own, and the key that belongs to it", f.Setting, f.KeySetting)
	}
	own, whole := certificatesIn(read[0])
	authorities, wholeToo := certificatesIn(read[2])
	switch {
	case !whole:
		return nil, time.Time{}, fmt.Errorf("%s: a certificate in the file cannot be read", f.Setting)
	case !wholeToo:
		return nil, time.Time{}, fmt.Errorf("%s: a certificate in the file cannot be read", f.CASetting)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if f.CAFile != "" {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
		if !config.ClientCAs.AppendCertsFromPEM(read[2]) {
			return nil, time.Time{}, fmt.Errorf("%s: there is no certificate in PEM", f.CASetting)
		}
		if namesOf(authorities) > maxNames {
			return nil, time.Time{}, fmt.Errorf("%s: the names of the authorities take more than the 64 KiB that TLS has for them", f.CASetting)
		}
	}
	return config, firstEnd(slices.Concat(own, authorities)), nil
}

// maxNames is how many bytes of names of authorities a server can ask for (RFC 8446, section 4.2.4;
// RFC 5246, section 7.4.4).
const maxNames = 1<<16 - 1

// namesOf returns how many bytes the names of certificates take there.
func namesOf(all []*x509.Certificate) (bytes int) {
	for _, c := range all {
		bytes += 2 + len(c.RawSubject)
	}
	return bytes
}

// isEncrypted reports whether a key in PEM needs a passphrase (RFC 5958; RFC 1421, section 4.6.1.1).
func isEncrypted(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}

// ending says of certificates of which one ends soon, or ended, or that cannot be read again,
// which these are; "" when all is well.
func (c *Certificates) ending(now time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lookSometimes()
	if c.trouble != nil {
		return "the certificate for those who connect cannot be read again: " + c.trouble.Error()
	}
	return endingOf(c.setting(), c.first, now)
}

// setting names the settings of the files.
func (c *Certificates) setting() string {
	if c.files.CAFile == "" {
		return c.files.Setting
	}
	return c.files.Setting + " and " + c.files.CASetting
}

// AskClients reports whether those who connect may show a certificate.
func (c *Certificates) AskClients() bool { return c != nil && c.files.CAFile != "" }

// Listener returns a listener that shows the certificate to whoever connects. Handshakes that
// fail are told in the log, each reason once a minute at most, without anything that the
// client said.
func (c *Certificates) Listener(l net.Listener) net.Listener {
	return edge.SecureListener(l, c.Config, c.tellFailure)
}

func (c *Certificates) tellFailure(err error) {
	reason := c.reasonOf(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.failed[reason]
	if f == nil {
		f = &failures{}
		c.failed[reason] = f
	}
	f.since++
	if now := c.now(); f.told.IsZero() || now.Sub(f.told) >= failureNotice {
		c.logger.WarnContext(context.Background(), "TLS cannot begin", slog.String("reason", reason), slog.Int("times", f.since))
		f.told, f.since = now, 0
	}
}

// reasonOf returns one of a few sentences that say why a handshake failed.
func (c *Certificates) reasonOf(err error) string {
	var stranger x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var wrong *tls.CertificateVerificationError
	var remote *net.OpError
	var slow net.Error
	switch {
	case errors.As(err, &plain):
		return "the client does not speak TLS"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the client's certificate has ended, or has not begun"
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return "the client's certificate is not for clients"
	case errors.As(err, &stranger):
		return "the client's certificate is of no authority in " + c.files.CASetting
	case errors.As(err, &wrong):
		return "the client's certificate does not hold"
	case errors.As(err, &remote) && strings.HasPrefix(remote.Op, "remote"):
		return "the client ended it, as one does that does not trust the certificate of " + c.files.Setting
	case errors.As(err, &slow) && slow.Timeout():
		return "the client took too long"
	}
	return "the client and the vault have no version or cipher in common, or the connection broke"
}
