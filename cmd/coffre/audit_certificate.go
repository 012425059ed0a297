package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"coffre/eventstore/proof/bundle"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
)

// erasureProofs are certificates of erasure that a log is compared with while it is verified.
type erasureProofs []*erasureProof

// erasureProof is one certificate, or what is wrong with it.
type erasureProof struct {
	name  string // of its file
	audit *certificate.Audit
	err   error
}

var errCertificateKey = errors.New("--certificate needs --key: a certificate cannot vouch for its own key")

// readCertificates reads files with certificates and verifies their signatures. Whatever a
// file holds instead of a certificate that holds is a finding, not an error.
func (p *program) readCertificates(names, keys []string) (all erasureProofs, err error) {
	if len(names) > 0 && len(keys) == 0 {
		return nil, &exitError{exitUsage, errCertificateKey}
	}
	for _, name := range names {
		signed, err := p.readFile(name, maxCertificate)
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--certificate: %w", err)}
		}
		one := &erasureProof{name: name}
		for _, key := range keys {
			public, err := p.trusted(key, signed)
			var c contract.ErasureCertificate
			if err == nil {
				c, err = certificate.Read(signed, public)
			}
			if one.err = err; err == nil {
				one.audit = certificate.NewAudit(c)
				break
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// event compares the next event of the log.
func (all erasureProofs) event(e *bundle.Event) error {
	if len(all) == 0 || e.Damaged {
		return nil
	}
	name, form, _ := strings.Cut(e.Type, "/")
	number, err := strconv.Atoi(form)
	if err != nil {
		return nil // no event of ours: its hash is no leaf's
	}
	meta := sha256.Sum256(e.Meta)
	served := contract.LogEvent{
		Cursor: contract.LeafToken(e.Leaf), EventID: e.ID, Stream: e.Stream, Revision: e.Revision, Type: name, Form: number,
		RecordedAt: time.UnixMicro(e.Time).UTC(), Facts: e.Clear, MetadataHash: meta[:], Sealed: e.Sealed,
	}
	for _, one := range all {
		if one.err == nil {
			one.err = one.audit.Add(served)
		}
	}
	return nil
}

// finish adds to a report which certificates do not hold. A part of the log refutes none.
func (all erasureProofs) finish(r *bundle.Report) {
	for _, one := range all {
		if one.err == nil && (!r.Whole || r.Incomplete != "") {
			if r.Incomplete == "" {
				r.Incomplete = "a part of the log is not enough for the certificate in " + one.name
			}
			continue
		}
		if one.err == nil {
			_, _, one.err = one.audit.Result()
		}
		if one.err != nil {
			r.Add(bundle.Finding{Kind: bundle.Certificate, Leaf: -1, Says: fmt.Sprintf("the certificate in %s does not hold: %v", one.name, one.err)})
		}
	}
}
