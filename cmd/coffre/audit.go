package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newAudit(p *program) *cobra.Command {
	return group("audit", "Read what happened",
		`  coffre audit replay --data data
  coffre audit bundle --data data --out log.bundle
  coffre audit verify log.bundle --key keys.json`,
		newAuditReplay(p), newAuditBundle(p), newAuditVerify(p), newAuditKeys(p))
}

// actorRoles are the roles in which somebody acts.
var actorRoles = []string{"issuer", "consumer", "citizen", "representative", "auditor", "privacyOfficer", "operator", "system"}

// replay says which part of the log is told.
type replay struct {
	citizen     *domain.CitizenID
	stream      string
	types       []string
	from, until *time.Time

	roles         []contract.ActorRole
	organisations []domain.Organisation
}

var (
	typeName   = regexp.MustCompile(`^[a-z]+\.[a-z]+(-[a-z]+)*$`)
	streamName = regexp.MustCompile(`^[a-z]+(-[0-9a-f-]+)?$`)
)

func newAuditReplay(p *program) *cobra.Command {
	var at where
	var asJSON bool
	var chosen selection
	cmd := &cobra.Command{
		Use: "replay", Short: "The log in its order, a sentence for each event",
		Long: `Tells the log from its beginning. It needs no key: the personal parts stay sealed, and what
is erased is told all the same. That the log was read is on record. At the end it says how many
events there are of each type and which leaf of the log was the last.`,
		Example: `  coffre audit replay --data data
  coffre audit replay --data data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre audit replay --data data --role operator,privacyOfficer --from 2026-03-01
  coffre audit replay --data data --type document.issued --from 2026-03-01 --until 2026-03-31 --json`,
		Args: takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r replay
			var err error
			if r, err = chosen.chosen(); err != nil {
				return err
			}
			return p.asks(cmd.Context(), at, asAuditor, func(c *client.Client) error {
				tell := func(e contract.LogEvent) error {
					_, err := fmt.Fprintf(p.Out, "%s  %s\n", day(e.RecordedAt), sentence(e))
					return err
				}
				if asJSON {
					tell = func(e contract.LogEvent) error { return p.printJSON(e) }
				}
				told, err := r.run(cmd.Context(), c, tell)
				if err != nil {
					return err
				}
				return p.printTold(asJSON, told)
			})
		},
	}
	at.flags(cmd)
	chosen.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// chosen returns the part of the log that the flags say.
func (s *selection) chosen() (r replay, err error) {
	r.stream, r.types = s.stream, s.types
	if s.citizen != "" {
		id, err := citizenID(s.citizen)
		if err != nil {
			return r, err
		}
		r.citizen = &id
	}
	if r.from, err = beginning("from", s.from); err != nil {
		return r, err
	}
	if r.until, err = ending("until", s.until); err != nil {
		return r, err
	}
	if r.stream != "" && !streamName.MatchString(r.stream) {
		return r, usage("--stream is the name of a stream, such as consent-0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44")
	}
	for _, t := range r.types {
		if !typeName.MatchString(t) {
			return r, usage("--type is the type of an event, such as consent.granted")
		}
		if _, known := sentences[t]; !known {
			return r, usage("--type: no event is of the type %s%s", t, nearest(t, slices.Collect(maps.Keys(sentences))))
		}
	}
	for _, role := range s.roles {
		if err := oneOf("role", role, actorRoles...); err != nil {
			return r, err
		}
		r.roles = append(r.roles, contract.ActorRole(role))
	}
	for _, o := range s.orgs {
		org, err := domain.ParseOrganisation(o)
		if err != nil {
			return r, fmt.Errorf("--org: %w", err)
		}
		r.organisations = append(r.organisations, org)
	}
	return r, nil
}

// nearest returns the question whether a word that is close was meant, "" when none is.
func nearest(word string, known []string) string {
	words := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, k := range known {
		words.AddCommand(&cobra.Command{Use: k, Run: func(*cobra.Command, []string) {}})
	}
	near := words.SuggestionsFor(word)
	slices.Sort(near)
	if len(near) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(near, " or ") + "?"
}

// told counts what a replay told.
type told struct {
	Events int            `json:"events"`
	Types  map[string]int `json:"types"`
	// LastLeaf is the number of the log's last leaf; absent when the vault left events
	// out, or when there is none.
	LastLeaf *int64 `json:"lastLeaf,omitempty"`
	Cursor   string `json:"cursor,omitempty"` // of the last event that was read
}

// run reads the log page by page and tells what belongs to the replay.
func (r replay) run(ctx context.Context, c *client.Client, tell func(contract.LogEvent) error) (told, error) {
	sum := told{Types: make(map[string]int)}
	var leaf int64 = -1
	ask := contract.ListEventsParams{PageSize: 1000, Stream: r.stream}
	theirs := make(map[string]bool) // streams that belong to the citizen asked for
	if r.citizen == nil {           // else we need the events that say whose a stream is
		ask.Type, ask.Role, ask.Organization, ask.From, ask.Until = r.types, r.roles, r.organisations, r.from, r.until
	}
	err := eachPage(func(after contract.Cursor) ([]contract.LogEvent, contract.Cursor, error) {
		ask.After = after
		page, err := client.Read[contract.LogEvents](c.ListEvents(ctx, ask))
		return page.Body.Items, page.Body.NextCursor, err
	}, func(e contract.LogEvent) error {
		leaf++
		sum.Cursor = e.Cursor
		if !r.has(e, theirs) {
			return nil
		}
		sum.Events++
		sum.Types[e.Type]++
		return tell(e)
	})
	if err != nil {
		return sum, err
	}
	// Leaves are dense, so the whole log counts them.
	if ask.Stream == "" && len(ask.Type)+len(ask.Role)+len(ask.Organization) == 0 && ask.From == nil && ask.Until == nil && leaf >= 0 {
		sum.LastLeaf = &leaf
	}
	return sum, nil
}

// has reports whether the replay tells e, of those the vault sent. It notes which
// streams are the citizen's: only the first event of a document names its subject.
func (r replay) has(e contract.LogEvent, theirs map[string]bool) bool {
	if r.citizen != nil {
		id := []byte(r.citizen.String())
		named := e.Actor.CitizenID == *r.citizen || bytes.Contains(e.Facts, id) || bytes.Contains([]byte(e.Stream), id)
		if named && belongs(e.Stream) {
			theirs[e.Stream] = true
		}
		if !named && !theirs[e.Stream] {
			return false
		}
	}
	if len(r.types) > 0 && !slices.Contains(r.types, e.Type) ||
		len(r.roles) > 0 && !slices.Contains(r.roles, e.Actor.Role) ||
		len(r.organisations) > 0 && !slices.Contains(r.organisations, e.Actor.Organization) {
		return false
	}
	return (r.from == nil || !e.RecordedAt.Before(*r.from)) && (r.until == nil || e.RecordedAt.Before(*r.until))
}

// belongs reports whether all of a stream is about the citizens it names.
func belongs(stream string) bool {
	category, _, _ := strings.Cut(stream, "-")
	return slices.Contains([]string{"citizen", "document", "consent", "access", "mandate"}, category)
}

func (p *program) printTold(asJSON bool, t told) error {
	if asJSON {
		return p.printJSON(t)
	}
	if _, err := fmt.Fprintf(p.Out, "\n%d events\n", t.Events); err != nil {
		return err
	}
	var facts []string
	for _, name := range slices.Sorted(maps.Keys(t.Types)) {
		facts = append(facts, "  "+printable(name), strconv.Itoa(t.Types[name]))
	}
	if err := p.facts(facts...); err != nil {
		return err
	}
	if t.LastLeaf != nil {
		_, err := fmt.Fprintf(p.Out, "last leaf %d\n", *t.LastLeaf)
		return err
	}
	if t.Cursor != "" {
		_, err := fmt.Fprintf(p.Out, "last cursor %s\n", printable(t.Cursor))
		return err
	}
	return nil
}
