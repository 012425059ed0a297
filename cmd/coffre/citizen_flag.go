package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// who says which citizen a command is about: by id, or by a number that stands
// in a file, because what is typed is seen by others.
type who struct{ citizen, ssinFile string }

func (w *who) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&w.citizen, "citizen", "", "the citizen's `id` in the vault")
	f.StringVar(&w.ssinFile, "ssin-file", "", "`file` with the citizen's SSIN; - is standard input")
	cmd.MarkFlagsMutuallyExclusive("citizen", "ssin-file")
	_ = cmd.MarkFlagFilename("ssin-file") // only for a flag that is not there
}

var (
	errCitizenID = errors.New("--citizen is the id of a citizen in the vault, a UUID")
	errUnknown   = errors.New("the vault does not know this person")
)

// grant returns the grant of a token for this citizen.
func (w who) grant(p *program) (token.Grant, error) {
	g := token.Grant{Role: domain.RoleCitizen}
	switch {
	case w.citizen != "":
		id, err := citizenID(w.citizen)
		if err != nil {
			return g, err
		}
		g.Citizen = id
	case w.ssinFile != "":
		s, err := p.readSecret(w.ssinFile)
		if err != nil {
			return g, fmt.Errorf("file with an SSIN: %w", err)
		}
		if g.SSIN, err = domain.ParseSSIN(s); err != nil {
			return g, fmt.Errorf("file with an SSIN: %w", err)
		}
	}
	return g, nil
}

func citizenID(s string) (domain.CitizenID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != len(id.String()) || id == uuid.Nil {
		return domain.CitizenID{}, &exitError{exitUsage, errCitizenID}
	}
	return domain.CitizenID{UUID: id}, nil
}

// id returns how the vault names the citizen who c speaks for.
func (w who) id(ctx context.Context, c *client.Client) (domain.CitizenID, error) {
	if w.citizen != "" {
		return citizenID(w.citizen)
	}
	me, err := client.Read[contract.Citizen](c.GetCitizen(ctx, contract.CitizenGet{}))
	if err != nil {
		return domain.CitizenID{}, err
	}
	if me.Body.CitizenID.IsZero() {
		return domain.CitizenID{}, errUnknown
	}
	return me.Body.CitizenID, nil
}

// asCitizen connects for the citizen, calls ask with how the vault names them,
// and closes.
func (p *program) asCitizen(ctx context.Context, at where, w who, ask func(*client.Client, domain.CitizenID) error) error {
	if at.url == "" && w == (who{}) {
		return usage("--citizen or --ssin-file is needed with --data")
	}
	g, err := w.grant(p)
	if err != nil {
		return err
	}
	return p.asks(ctx, at, g, func(c *client.Client) error {
		id, err := w.id(ctx, c)
		if err != nil {
			return err
		}
		return ask(c, id)
	})
}

// parseID reads an argument that names something in the vault.
func parseID(what, s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != len(id.String()) {
		return uuid.Nil, usage("%s is a UUID", what)
	}
	return id, nil
}
