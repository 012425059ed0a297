package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/edge/token"
)

func newDemo(p *program) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "demo --data DIR", Short: "Play a story of a family on the vault, and check every step",
		Long: `Plays a story through the public API alone: documents are issued to a family, parents hold
their child's card, a procedure asks only once, a consent is withdrawn in time, a revocation is
seen, everybody's readings are on record, an aunt is forgotten with a certificate, and the log is
whole. The family is made up, another one each time, so it can be played again in one directory.
A step that does not come out as it must ends the story with exit code 1.`,
		Example: `  coffre demo --data /tmp/coffre-demo
  coffre demo --data data --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			v, err := p.connect(cmd.Context(), where{data: dir}, true)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, v.close()) }()
			d := &demo{p: p, v: v, asJSON: asJSON, family: inventFamily(p.now())}
			return d.play(cmd.Context())
		},
	}
	cmd.Flags().StringVar(&dir, "data", "", "the vault's data `directory`; made when it is not there")
	required(cmd, "data")
	_ = cmd.MarkFlagDirname("data") // only for a flag that is not there
	jsonFlag(cmd, &asJSON)
	return cmd
}

// demo is a story being played.
type demo struct {
	p      *program
	v      connection
	asJSON bool
	family family

	chapter string
	steps   int
	story
}

// told to a machine, a step is this.
type demoStep struct {
	Step    int            `json:"step"`
	Chapter string         `json:"chapter"`
	Said    string         `json:"said"`
	OK      bool           `json:"ok"`
	Wrong   string         `json:"wrong,omitempty"`
	Facts   map[string]any `json:"facts,omitempty"`
}

// known are the facts of a step that a machine may want.
type known = map[string]any

// check is something that must be so after a step.
type check struct {
	ok    bool
	wrong string // what is said when it is not
}

func must(ok bool, wrong string, args ...any) check { return check{ok, fmt.Sprintf(wrong, args...)} }

// isRefused must be a refusal with that slug.
func isRefused(err error, slug string) check {
	var no *client.Refusal
	switch {
	case err == nil:
		return check{false, "it was allowed, and must be refused as " + slug}
	case !errors.As(err, &no):
		return check{false, err.Error()}
	}
	return must(no.Slug() == slug, "it was refused as %s, and must be as %s", no.Slug(), slug)
}

// done must have gone without error.
func done(err error) check {
	if err != nil {
		return check{false, err.Error()}
	}
	return check{ok: true}
}

var errStory = errors.New("the story did not come out as it must")

// tell says what happened and fails the story unless all that must be so is. The
// first check that fails is the one that is told.
func (d *demo) tell(said string, facts known, checks ...check) error {
	d.steps++
	step := demoStep{Step: d.steps, Chapter: d.chapter, Said: said, OK: true, Facts: facts}
	for _, c := range checks {
		if !c.ok {
			step.OK, step.Wrong = false, c.wrong
			break
		}
	}
	if d.asJSON {
		if err := d.p.printJSON(step); err != nil {
			return err
		}
	} else {
		sign := d.p.colour(d.p.Out, green, "ok")
		if !step.OK {
			sign = d.p.colour(d.p.Out, red, "NO")
		}
		if _, err := fmt.Fprintf(d.p.Out, "  %s  %s\n", sign, printable(said)); err != nil {
			return err
		}
		if !step.OK {
			fmt.Fprintf(d.p.Out, "      %s\n", printable(step.Wrong)) // the story fails anyway
		}
	}
	if !step.OK {
		return errStory
	}
	return nil
}

// play tells every chapter, until one goes wrong.
func (d *demo) play(ctx context.Context) error {
	for _, c := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"Administrations issue documents", d.issue},
		{"Everybody sees their wallet", d.wallets},
		{"Asked only once", d.onlyOnce},
		{"A consent, withdrawn in time", d.consent},
		{"Documents change", d.change},
		{"Who read what", d.accessLog},
		{"For the privacy officer", d.officer},
		{"The right to be forgotten", d.forget},
		{"The log is whole", d.replay},
	} {
		d.chapter = c.title
		if !d.asJSON {
			if _, err := fmt.Fprintf(d.p.Out, "\n%s\n", d.p.colour(d.p.Out, bold, c.title)); err != nil {
				return err
			}
		}
		if err := c.tell(ctx); err != nil {
			return err
		}
	}
	if d.asJSON {
		return d.p.printJSON(map[string]any{"done": true, "steps": d.steps})
	}
	_, err := fmt.Fprintf(d.p.Out, "\n%d steps, each as it must be.\nAt /signin of coffre serve --dev: %s has the number %s, %s has %s.\n", d.steps,
		d.family.mother.name(), d.family.mother.ssin.Reveal(), d.family.father.name(), d.family.father.ssin.Reveal())
	return err
}

// citizen returns a client for an invented person.
func (d *demo) citizen(i invented) *client.Client {
	return d.v.as(token.Grant{Role: domain.RoleCitizen, SSIN: i.ssin, Subject: i.given})
}

func (d *demo) issuer(o domain.Organisation) *client.Client {
	return d.v.as(token.Grant{Role: domain.RoleIssuer, Organisation: o})
}

func (d *demo) consumer(o domain.Organisation) *client.Client {
	return d.v.as(token.Grant{Role: domain.RoleConsumer, Organisation: o})
}
