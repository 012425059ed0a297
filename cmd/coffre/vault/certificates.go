package vault

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"coffre/cmd/coffre/files"
)

// trustFile is a file of certificates that the vault trusts where it calls others. Whoever asks
// for the vault's health has it looked at, so what stands in it is read again only when it
// changed.
type trustFile struct {
	setting, path string

	mu      sync.Mutex
	read    bool      // the rest is of a file of that size and time
	size    int64     // bytes
	changed time.Time // of the file
	first   time.Time // end of the certificate that ends first; zero when there is none
}

// certificateNotice is how long before its end a certificate is told of.
const certificateNotice = 14 * 24 * time.Hour

// ender says which certificate ends soon, or ended, or cannot be read; "" when none does.
type ender interface{ ending(now time.Time) string }

// trustFiles are those that the options name, and what the process shows itself.
func (o Options) trustFiles() (all []ender) {
	add := func(setting, path string) {
		if path != "" {
			all = append(all, &trustFile{setting: setting, path: path})
		}
	}
	if o.Transit != nil {
		add("COFFRE_VAULT_CA_FILE", o.Transit.CAFile)
	}
	if o.Blobs != nil {
		add("COFFRE_BLOBS_CA_FILE", o.Blobs.CAFile)
	}
	if o.OIDC != nil {
		add("COFFRE_OIDC_CA_FILE", o.OIDC.CAFile)
	}
	add("COFFRE_KURRENT_CERT", o.KurrentCertFile)
	if o.Certificates != nil {
		all = append(all, o.Certificates)
	}
	return all
}

// ending says of a file in which a certificate ends soon, or ended, which one that is by its
// setting and day; "" when none does. What cannot be read is said, too: the next connection
// needs it.
func (f *trustFile) ending(now time.Time) string {
	first, err := f.firstEnd()
	if err != nil {
		return "the certificates of " + f.setting + " cannot be read"
	}
	return endingOf(f.setting, first, now)
}

// endingOf says that a certificate of a setting ends soon, or ended, where first is the end of
// the one that ends first; "" when none does.
func endingOf(setting string, first, now time.Time) string {
	switch {
	case first.IsZero():
		return "there is no certificate in the file of " + setting
	case now.After(first):
		return fmt.Sprintf("a certificate in the file of %s ended on %s", setting, first.UTC().Format(time.DateOnly))
	case first.Sub(now) < certificateNotice:
		return fmt.Sprintf("a certificate in the file of %s ends on %s", setting, first.UTC().Format(time.DateOnly))
	}
	return ""
}

// firstEnd returns when the certificate of the file ends that ends first; zero when there is
// none.
func (f *trustFile) firstEnd() (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	file, err := os.Open(f.path)
	if err != nil {
		return time.Time{}, err
	}
	info, err := file.Stat()
	if err := errors.Join(err, file.Close()); err != nil {
		return time.Time{}, err
	}
	if f.read && info.Size() == f.size && info.ModTime().Equal(f.changed) {
		return f.first, nil
	}
	text, err := files.ReadSmall(f.path)
	if err != nil {
		return time.Time{}, err
	}
	all, _ := certificatesIn(text)
	f.read, f.size, f.changed, f.first = true, info.Size(), info.ModTime(), firstEnd(all)
	return f.first, nil
}

// certificatesIn returns the certificates in PEM that can be read; whole is false where one
// cannot, which the standard library leaves out in silence.
func certificatesIn(text []byte) (all []*x509.Certificate, whole bool) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, c)
		}
	}
	return all, len(all) == bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----"))
}

// firstEnd returns when the certificate ends that ends first; zero when there is none.
func firstEnd(all []*x509.Certificate) (first time.Time) {
	for _, c := range all {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}
