package disclosure

import (
	"context"
	"errors"
	"fmt"

	"coffre/domain"
	"coffre/domain/petition"
	"coffre/eventstore"
	"coffre/handlers/acting"
)

// Petition is a petition of a citizen with its sealed texts opened.
type Petition struct {
	petition.State
	// Text, Extension and Answer are what the citizen says, why the answer takes longer, and the
	// answer; "" for what was not said, or was erased.
	Text, Extension, Answer string
}

// OpenPetition opens the texts of a petition. One that there is not has the zero state. Where
// keys cannot be had it fails; the texts of an erased citizen are absent.
func (dis *Discloser) OpenPetition(ctx context.Context, id domain.PetitionID) (Petition, error) {
	var p Petition
	for e, err := range dis.Log.Read(ctx, acting.PetitionStream(id), 0) {
		if err != nil {
			return Petition{}, fmt.Errorf("read a petition: %w", err)
		}
		if f, ok := e.Data.(petition.Event); ok {
			p.State = petition.Evolve(p.State, f)
		}
		opened, err := eventstore.OpenEvent(ctx, dis.opener, dis.codec, e)
		switch {
		case errors.Is(err, eventstore.ErrErased):
			continue
		case err != nil:
			return Petition{}, err
		}
		switch f := opened.(type) {
		case petition.Disputed:
			p.Text = said(f.Personal)
		case petition.Requested:
			p.Text = said(f.Personal)
		case petition.Extended:
			p.Extension = said(f.Personal)
		case petition.DisputeAnswered:
			p.Answer = said(f.Personal)
		case petition.Answered:
			p.Answer = said(f.Personal)
		}
	}
	return p, nil
}

func said(p *petition.TextPersonal) string {
	if p == nil {
		return ""
	}
	return p.Text
}
