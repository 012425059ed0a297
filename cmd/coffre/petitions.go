package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/cmd/coffre/files"
	"coffre/domain"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

func newPetitions(p *program) *cobra.Command {
	return group("petitions", "Dispute an access, ask for rectification, object, and answer (GDPR art. 15, 16, 21)",
		`  coffre petitions dispute --data data --ssin-file ssin.txt --text-file why.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre petitions list --data data --state overdue
  coffre petitions answer --data data --organization 0316380841 --outcome rejected --text-file answer.txt \
      0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		newPetitionsDispute(p), newPetitionsRectify(p), newPetitionsObject(p), newPetitionsMine(p), newPetitionsList(p), newPetitionsShow(p), newPetitionsExtend(p), newPetitionsAnswer(p))
}

// maxPetition is how many bytes the text of a petition or of an answer has at most.
const maxPetition = 16_000

// readText returns the text of a file; - is standard input. Words of people are never part of
// a command line, which others see and shells keep.
func (p *program) readText(name string) (string, error) {
	in := p.In
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("file with the text: %w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := files.ReadAtMost(in, maxPetition)
	if err != nil {
		return "", fmt.Errorf("file with the text: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// represented is somebody in whose name a citizen petitions, or nobody.
type represented struct{ citizen string }

func (r *represented) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.citizen, "for", "", "the `id` in the vault of somebody whom the citizen represents")
}

// id returns nil where the citizen acts for themselves.
func (r represented) id() (*domain.CitizenID, error) {
	if r.citizen == "" {
		return nil, nil
	}
	id, err := parseID("--for", r.citizen)
	return &domain.CitizenID{UUID: id}, err
}

// petitioner is a citizen who petitions.
type petitioner struct {
	at       where
	person   who
	text     string
	restrict bool
	other    represented
	asJSON   bool
}

func (m *petitioner) flags(cmd *cobra.Command, mayRestrict bool) *cobra.Command {
	m.at.flags(cmd)
	m.person.flags(cmd)
	m.other.flags(cmd)
	cmd.Flags().StringVar(&m.text, "text-file", "", "`file` that says what is wrong; - is standard input")
	required(cmd, "text-file")
	if mayRestrict {
		cmd.Flags().BoolVar(&m.restrict, "restrict", false, "restrict processing until it is answered")
	}
	jsonFlag(cmd, &m.asJSON)
	return cmd
}

// sendPetition sends a petition and prints it.
func (m *petitioner) sendPetition(ctx context.Context, p *program, body contract.PetitionMake) (err error) {
	if body.Text, err = p.readText(m.text); err != nil {
		return err
	}
	if m.restrict {
		body.Restrict = &m.restrict
	}
	other, err := m.other.id()
	if err != nil {
		return err
	}
	return p.asCitizen(ctx, m.at, m.person, func(c *client.Client, id domain.CitizenID) error {
		if other != nil {
			id = *other
		}
		made, err := client.Read[contract.Petition](c.MakePetition(ctx, id, contract.MakePetitionParams{IdempotencyKey: uuid.New()}, body))
		if err != nil {
			return err
		}
		return p.printPetition(m.asJSON, made.Body)
	})
}

func (p *program) printPetition(asJSON bool, one contract.Petition) error {
	about := one.EntryID.String()
	switch {
	case !one.DocumentID.IsZero():
		about = one.DocumentID.String()
	case one.Purpose != "":
		about = string(one.Purpose)
	}
	by := strings.TrimSpace(string(one.Organization) + " " + one.OrganizationName)
	if by == "" {
		by = "a privacy officer of the vault"
	}
	facts := []string{"petition", one.PetitionID.String(), "kind", string(one.Kind), "about", about, "answers", by, "state", string(one.State), "until", string(one.Deadline)}
	if !one.MandateID.IsZero() {
		facts = append(facts, "under mandate", one.MandateID.String())
	}
	if one.Text != "" {
		facts = append(facts, "text", one.Text)
	}
	if !one.ExtendedAt.IsZero() {
		facts = append(facts, "extended", day(one.ExtendedAt))
	}
	if one.Extension != "" {
		facts = append(facts, "because", one.Extension)
	}
	if one.Outcome != "" {
		facts = append(facts, "outcome", string(one.Outcome))
	}
	if one.Answer != "" {
		facts = append(facts, "answer", one.Answer)
	}
	return p.print(asJSON, one, facts...)
}

func newPetitionsDispute(p *program) *cobra.Command {
	var me petitioner
	return me.flags(&cobra.Command{
		Use: "dispute ENTRY", Short: "Say that an entry of your access log looks wrong",
		Long: `Disputes an entry of the access log, by the id that "coffre accesses list" shows. The
organisation that read has a month to answer; of an attempt that was refused, a privacy officer.`,
		Example: `  coffre petitions dispute --data data --ssin-file ssin.txt --text-file why.txt 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("ENTRY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ENTRY", args[0])
			if err != nil {
				return err
			}
			return me.sendPetition(cmd.Context(), p, contract.PetitionMake{EntryID: &domain.EntryID{UUID: id}})
		},
	}, false)
}

func newPetitionsRectify(p *program) *cobra.Command {
	var me petitioner
	return me.flags(&cobra.Command{
		Use: "rectify DOCUMENT", Short: "Ask the issuer of a document to rectify it (GDPR art. 16)",
		Long:    `Asks the issuer of a document, who has a month to answer. With --restrict nobody reads it until then.`,
		Example: `  coffre petitions rectify --data data --ssin-file ssin.txt --restrict --text-file why.txt 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args:    takes("DOCUMENT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("DOCUMENT", args[0])
			if err != nil {
				return err
			}
			return me.sendPetition(cmd.Context(), p, contract.PetitionMake{DocumentID: &domain.DocumentID{UUID: id}})
		},
	}, true)
}

func newPetitionsObject(p *program) *cobra.Command {
	var me petitioner
	var organisation, purpose string
	cmd := me.flags(&cobra.Command{
		Use: "object", Short: "Object to what an organisation does for a purpose (GDPR art. 21)",
		Long: `Objects to an organisation that stands in the access log for a purpose, which has a month to
answer. With --restrict nothing of the citizen is disclosed until then.`,
		Example: `  coffre petitions object --data data --ssin-file ssin.txt --organization 0316380841 --purpose schoolAllowance --text-file why.txt`,
		Args:    takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return me.sendPetition(cmd.Context(), p, contract.PetitionMake{Organization: domain.Organisation(organisation), Purpose: domain.Purpose(purpose)})
		},
	}, true)
	cmd.Flags().StringVar(&organisation, "organization", "", "the `number` of the organisation")
	cmd.Flags().StringVar(&purpose, "purpose", "", "a `code` of the registry")
	required(cmd, "organization", "purpose")
	return cmd
}

var petitionStates = []string{string(contract.PetitionStateOpen), string(contract.PetitionStateOverdue), string(contract.PetitionStateAnswered)}

// petitionColumns returns the headings of a list of petitions, in English.
func petitionColumns() []string {
	return []string{"petition", "kind", "state", "until", "answers", "citizen", "asked"}
}

func petitionRow(_ speaker, one contract.Petition) []string {
	citizen := one.CitizenID.String()
	if one.CitizenID.IsZero() {
		citizen = one.CitizenRef.String()
	}
	answers := string(one.Organization)
	if answers == "" {
		answers = "vault"
	}
	state := string(one.State)
	if one.Outcome != "" {
		state += ": " + string(one.Outcome)
	}
	return []string{one.PetitionID.String(), string(one.Kind), state, string(one.Deadline), answers, citizen, day(one.AskedAt)}
}

// petitionPage asks for a page of petitions.
func petitionPage(ctx context.Context, c *client.Client, states []contract.PetitionState, after contract.Cursor) ([]contract.Petition, contract.Cursor, error) {
	page, err := client.Read[contract.Petitions](c.ListPetitions(ctx, contract.ListPetitionsParams{PageSize: officersPage, State: states, After: after}))
	return page.Body.Items, page.Body.NextCursor, err
}

func newPetitionsMine(p *program) *cobra.Command {
	var at where
	var person who
	var other represented
	var asJSON bool
	var lang string
	cmd := &cobra.Command{
		Use: "mine", Short: "The petitions of a citizen, and how far they are",
		Long: `Lists the petitions of a citizen, oldest first. A petition that nobody answered within a month is overdue.`,
		Example: `  coffre petitions mine --data data --ssin-file ssin.txt
  coffre petitions mine --data data --ssin-file ssin.txt --for 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("lang", lang, languages...); err != nil {
				return err
			}
			of, err := other.id()
			if err != nil {
				return err
			}
			return p.asCitizen(cmd.Context(), at, person, func(c *client.Client, _ domain.CitizenID) error {
				in := speaker(lang)
				t := p.table(in.headings(petitionColumns()...)...)
				return printPages(p, asJSON, t, func(after contract.Cursor) ([]contract.Petition, contract.Cursor, error) {
					page, err := client.Read[contract.Petitions](c.ListPetitions(cmd.Context(), contract.ListPetitionsParams{PageSize: officersPage, CitizenID: of, After: after}))
					return page.Body.Items, page.Body.NextCursor, err
				}, func(one contract.Petition) { t.row(petitionRow(in, one)...) })
			})
		},
	}
	at.flags(cmd)
	person.flags(cmd)
	other.flags(cmd)
	jsonFlag(cmd, &asJSON)
	langFlag(cmd, &lang)
	return cmd
}

func newPetitionsList(p *program) *cobra.Command {
	return officersList[contract.PetitionState, contract.Petition]{
		states: petitionStates, columns: petitionColumns(), page: petitionPage, row: petitionRow,
	}.command(p, &cobra.Command{
		Use: "list", Short: "Petitions of all citizens, oldest first, for a privacy officer",
		Long: `Lists what citizens dispute, ask to rectify or object to, without their words. With --url and
the token of an organisation it lists those that it is to answer. A look is on record.`,
		Example: `  coffre petitions list --data data --state overdue
  coffre petitions list --data data --json`,
	})
}

// answerer is whoever answers petitions: a privacy officer of the vault, or an organisation.
type answerer struct {
	officer
	party
}

func (a *answerer) flags(cmd *cobra.Command) {
	a.officer.flags(cmd)
	cmd.Flags().StringVar(&a.organisation, "organization", "", "with --data, the `number` of the organisation that answers (default: a privacy officer of the vault)")
	cmd.Flags().BoolVar(&a.issuer, "issuer", false, "with --organization, it answers as an issuer")
}

func (a answerer) grant() token.Grant {
	g := a.officer.grant()
	if a.organisation != "" {
		g.Role, g.Organisation = a.party.grant().Role, domain.Organisation(a.organisation)
	}
	return g
}

func newPetitionsShow(p *program) *cobra.Command {
	var at where
	var me answerer
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show ID", Short: "One petition with its words, for whoever answers it and for privacy officers",
		Long: `Shows a petition with what the citizen says and how it was answered. A look is on record.`,
		Example: `  coffre petitions show --data data --organization 0316380841 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44
  coffre petitions show --data data 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				one, err := client.Read[contract.Petition](c.GetPetition(cmd.Context(), domain.PetitionID{UUID: id}, contract.GetPetitionParams{}))
				if err != nil {
					return err
				}
				return p.printPetition(asJSON, one.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func newPetitionsExtend(p *program) *cobra.Command {
	var at where
	var me answerer
	var text string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "extend ID", Short: "Take two further months to answer a petition (GDPR art. 12(3))",
		Long: `Moves the deadline of a petition to three months after it was made: once, and within the
first month. The citizen reads why, and is written to where they chose to be.`,
		Example: `  coffre petitions extend --data data --organization 0316380841 --text-file why.txt 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44
  coffre petitions extend --data data --text-file why.txt 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			var body contract.PetitionExtend
			if body.Text, err = p.readText(text); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				one, err := client.Read[contract.Petition](c.ExtendPetition(cmd.Context(), domain.PetitionID{UUID: id}, contract.ExtendPetitionParams{IdempotencyKey: uuid.New()}, body))
				if err != nil {
					return err
				}
				return p.printPetition(asJSON, one.Body)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&text, "text-file", "", "`file` that says why the answer takes longer; - is standard input")
	required(cmd, "text-file")
	return cmd
}

func newPetitionsAnswer(p *program) *cobra.Command {
	var at where
	var me answerer
	var outcome, text string
	cmd := &cobra.Command{
		Use: "answer ID", Short: "Answer a petition, which ends the restriction that came with it",
		Long: `Answers a petition: as the organisation that it is addressed to, or as a privacy officer where
it is addressed to none. A rejection says why; a rectification is upheld once the document was
updated or revoked. Where an objection is upheld, the restriction stands.`,
		Example: `  coffre petitions answer --data data --organization 0316380841 --outcome rejected --text-file answer.txt 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44
  coffre petitions answer --data data --outcome upheld 0b7f9c1e-4a53-5d1c-9a77-2f0e6d1b8c44`,
		Args: takes("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID("ID", args[0])
			if err != nil {
				return err
			}
			if err := oneOf("outcome", outcome, string(contract.PetitionOutcomeRejected), string(contract.PetitionOutcomeUpheld)); err != nil {
				return err
			}
			body := contract.PetitionAnswer{Outcome: contract.PetitionOutcome(outcome)}
			if text != "" {
				if body.Text, err = p.readText(text); err != nil {
					return err
				}
			}
			return p.asks(cmd.Context(), at, me.grant(), func(c *client.Client) error {
				if _, err := client.Read[client.None](c.AnswerPetition(cmd.Context(), domain.PetitionID{UUID: id}, contract.AnswerPetitionParams{IdempotencyKey: uuid.New()}, body)); err != nil {
					return err
				}
				return p.facts("petition", id.String(), "outcome", outcome)
			})
		},
	}
	at.flags(cmd)
	me.flags(cmd)
	cmd.Flags().StringVar(&outcome, "outcome", "", "`rejected` or upheld")
	cmd.Flags().StringVar(&text, "text-file", "", "`file` that says what the citizen is told; - is standard input")
	required(cmd, "outcome")
	return cmd
}
