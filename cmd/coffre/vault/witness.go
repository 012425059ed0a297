package vault

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/projections"
)

// knows reports whether a read model remembers a document, a consent or a mandate, so that
// one whose stream was taken from the log is not taken for one that was never there. While
// a read model is made ready nobody knows.
func (m readModels) knows(ctx context.Context, s eventstore.Stream) (known bool, err error) {
	_, text, _ := strings.Cut(string(s), "-")
	id, err := uuid.Parse(text)
	if err != nil {
		return false, nil // a stream of another category, or no id of ours
	}
	switch s.Category() {
	case "document":
		_, known, err = m.wallets.Document(ctx, domain.DocumentID{UUID: id}, projections.Latest)
	case "consent":
		_, known, err = m.consents.Consent(ctx, domain.ConsentID{UUID: id}, projections.Latest, time.Now())
	case "mandate":
		_, known, err = m.wallets.Mandate(ctx, domain.MandateID{UUID: id})
	default:
		return false, nil
	}
	if errors.Is(err, projections.ErrNotReady) {
		return false, nil
	}
	return known, err
}
