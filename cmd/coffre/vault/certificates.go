package vault

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"
)

// trustFile is a file of certificates that the vault trusts where it calls others.
type trustFile struct{ setting, path string }

// certificateNotice is how long before its end a certificate is told of.
const certificateNotice = 14 * 24 * time.Hour

// trustFiles are those that the options name.
func (o Options) trustFiles() (all []trustFile) {
	add := func(setting, path string) {
		if path != "" {
			all = append(all, trustFile{setting, path})
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
	return all
}

// ending says of a file in which a certificate ends soon, or ended, which one that is by its
// setting and day; "" when none does. What cannot be read is said, too: the next connection
// needs it.
func (f trustFile) ending(now time.Time) string {
	text, err := readSmall(f.path)
	if err != nil {
		return "the certificates of " + f.setting + " cannot be read"
	}
	var first time.Time
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && (first.IsZero() || c.NotAfter.Before(first)) {
			first = c.NotAfter
		}
	}
	switch {
	case first.IsZero():
		return "there is no certificate in the file of " + f.setting
	case now.After(first):
		return fmt.Sprintf("a certificate in the file of %s ended on %s", f.setting, first.UTC().Format(time.DateOnly))
	case first.Sub(now) < certificateNotice:
		return fmt.Sprintf("a certificate in the file of %s ends on %s", f.setting, first.UTC().Format(time.DateOnly))
	}
	return ""
}
