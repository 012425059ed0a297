package work

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore/certificates"
	"coffre/handlers/contract"
)

// A process that answers requests cannot sign certificates where another one destroys keys.
// The destroyer signs each certificate when the erasure is done, again when it is known
// until when copies of the keys remain, and when it is final; the others return what lies
// beside the key ring.

// errNotSigned: the destroyer has yet to sign. It is asked again once an hour.
var errNotSigned = domain.NewError(domain.Unavailable, "certificateNotSigned", "the destroyer has not signed this certificate yet; try again")

// keptCertificate returns the certificate of an erasure that the destroyer signed last.
func (work *Worker) keptCertificate(ctx context.Context, id domain.ErasureID) (c contract.ErasureCertificate, err error) {
	body, err := work.certified.Find(ctx, id.UUID)
	switch {
	case errors.Is(err, certificates.ErrNone):
		return c, errNotSigned
	case err != nil:
		return c, err
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return c, fmt.Errorf("certificate beside the key ring: %w", err)
	}
	return c, nil
}

// keepCertificate signs the certificate of an erasure that was carried out and keeps it for
// the processes that answer requests. One that says the same already is left.
func (work *Worker) keepCertificate(ctx context.Context, of domain.CitizenID, id domain.ErasureID) error {
	s, err := work.ErasureHistory(ctx, of, id)
	if err != nil {
		return err
	}
	c, err := work.certify(ctx, of, s)
	if err != nil {
		return err
	}
	if err := work.cover(ctx, &c); err != nil {
		return err
	}
	said := c
	if said.Checkpoint != "" {
		said.Checkpoint = "covered" // that there is one counts; a newer one is no news
	}
	says, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("keep a certificate: %w", err)
	}
	if same, err := work.certified.Says(ctx, id.UUID, says); same || err != nil {
		return err
	}
	if err := work.sign(ctx, &c); err != nil {
		return err
	}
	signed, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("keep a certificate: %w", err)
	}
	return work.certified.Keep(ctx, certificates.Certificate{
		Erasure: id.UUID, Citizen: of.UUID, Final: !s.FinalAt.IsZero(), Says: says, Signed: signed,
	})
}

// keepCertificates signs again what has changed since it was signed, and what a process that
// ended did not come to.
func (work *Worker) keepCertificates(ctx context.Context) error {
	if err := work.WaitForHead(ctx, work.Erasures.Name()); err != nil {
		return err
	}
	open, err := work.certified.Open(ctx)
	if err != nil {
		return err
	}
	provisional, err := work.Erasures.Provisional(ctx)
	if err != nil {
		return err
	}
	for _, e := range provisional {
		open = append(open, certificates.Certificate{Erasure: e.Erasure.UUID, Citizen: e.Citizen.UUID})
	}
	var failed error
	seen := map[uuid.UUID]bool{}
	for _, c := range open {
		if seen[c.Erasure] {
			continue
		}
		seen[c.Erasure] = true
		failed = errors.Join(failed, work.keepCertificate(ctx, domain.CitizenID{UUID: c.Citizen}, domain.ErasureID{UUID: c.Erasure}))
	}
	return failed
}
