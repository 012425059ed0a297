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

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/handlers/contract"
)

func newAudit(p *program) *cobra.Command {
	return group("audit", "Read what happened",
		`  coffre audit replay --data data
  coffre audit bundle --data data --out log.bundle
  coffre audit verify log.bundle --key keys.json
  coffre audit asof log.bundle --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --as-of 2026-03-01`,
		newAuditReplay(p), newAuditAsOf(p), newAuditDiff(p), newAuditBundle(p), newAuditVerify(p), newAuditProjections(p), newAuditCompare(p), newAuditKeys(p))
}

// actorRoles are the roles in which somebody acts.
var actorRoles = []string{"issuer", "consumer", "citizen", "representative", "auditor", "privacyOfficer", "operator", "system"}

// replay says which part of the log is told.
type replay struct {
	citizen     *domain.CitizenID
	document    *domain.DocumentID
	consumer    domain.Organisation
	stream      string
	types       []string
	from, until *time.Time

	roles         []contract.ActorRole
	organisations []domain.Organisation
}

var (
	typeName   = regexp.MustCompile(`^[a-z]+\.[a-z]+(-[a-z]+)*$`)
	streamName = regexp.MustCompile(`^(registry|(access|audit|citizen|consent|document|mandate|refusal|release)-[0-9a-z-]+)$`)
)

func newAuditReplay(p *program) *cobra.Command {
	var at where
	var checks provenLog
	var asJSON bool
	var chosen selection
	cmd := &cobra.Command{
		Use: "replay [FILE|DIR|URL]", Short: "The log in its order, a sentence for each event",
		Long: `Tells the log from its beginning. It needs no key: the personal parts stay sealed, and what
is erased is told all the same. At the end it says how many events there are of each type.

Of FILE (a bundle), DIR (a data directory) or URL (a vault, with --token-file) everything that
is told is verified as coffre audit verify does, and the result ends the output. With --data or
--url the vault itself is asked, which may be quicker and proves nothing; that the log was read
is on record there. A citizen is named by the id of the log; the references that organisations
have are in no log.

It ends with 0 when all is told, 1 on an error, 2 on a mistake of usage, 3 when something was
tampered with, 4 when the log is incomplete.`,
		Example: `  coffre audit replay --data data
  coffre audit replay log.bundle --key keys.json --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44
  coffre audit replay data --document 5a0c1c1e-9c58-4f3b-8f0e-0d6f4a4f5f10
  coffre audit replay --data data --role operator,privacyOfficer --from 2026-03-01
  coffre audit replay log.bundle --consumer 0308357753 --from 2026-03-01 --until 2026-03-31 --json`,
		Args: takes("[FILE|DIR|URL]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r replay
			var err error
			if r, err = chosen.chosen(); err != nil {
				return err
			}
			tell := func(e contract.LogEvent) error {
				_, err := fmt.Fprintf(p.Out, "%s  %s\n", day(e.RecordedAt), sentence(e))
				return err
			}
			if asJSON {
				tell = func(e contract.LogEvent) error { return p.printJSON(e) }
			}
			if len(args) == 0 {
				switch {
				case at.data == "" && at.url == "":
					return misused(cmd, "FILE|DIR|URL or --data or --url is missing")
				case at.url != "" && at.tokenFile == "":
					return misused(cmd, "--url goes with --token-file")
				case len(checks.keys)+len(checks.held) > 0:
					return misused(cmd, "--key and --checkpoint are for FILE|DIR|URL")
				}
				return p.asks(cmd.Context(), at, asAuditor, func(c *client.Client) error {
					told, err := r.run(cmd.Context(), c, tell)
					if err != nil {
						return err
					}
					return p.printTold(asJSON, told)
				})
			}
			if at.data != "" || at.url != "" {
				return misused(cmd, "--data and --url are for a log without FILE|DIR|URL")
			}
			told := told{Types: make(map[string]int)}
			has := r.chooser()
			checks.tokenFile = at.tokenFile
			found, err := p.readProven(cmd.Context(), args[0], checks, func(_ int64, e contract.LogEvent) error {
				if !has(e) {
					return nil
				}
				told.add(e)
				return tell(e)
			})
			if err != nil {
				return err
			}
			if err := p.printTold(asJSON, told); err != nil {
				return err
			}
			if !asJSON {
				fmt.Fprintln(p.Out)
			}
			if err := p.printReport(asJSON, found); err != nil {
				return err
			}
			return verdict(found)
		},
	}
	at.place(cmd)
	checks.flags(cmd)
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
	if s.document != "" {
		id, err := parseID("--document", s.document)
		if err != nil {
			return r, err
		}
		r.document = &domain.DocumentID{UUID: id}
	}
	if s.consumer != "" {
		if r.consumer, err = domain.ParseOrganisation(s.consumer); err != nil {
			return r, &exitError{exitUsage, fmt.Errorf("--consumer: %w", err)}
		}
	}
	if r.from, err = beginning("from", s.from); err != nil {
		return r, err
	}
	if r.until, err = ending("until", s.until); err != nil {
		return r, err
	}
	if r.stream != "" && !streamName.MatchString(r.stream) {
		return r, usage("--stream is the name of a stream: registry, or its kind, - and an id, such as consent-0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44")
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

func (t *told) add(e contract.LogEvent) {
	t.Events++
	t.Types[e.Type]++
}

// run reads the log page by page and tells what belongs to the replay.
func (r replay) run(ctx context.Context, c *client.Client, tell func(contract.LogEvent) error) (told, error) {
	sum := told{Types: make(map[string]int)}
	var leaf int64 = -1
	ask := contract.ListEventsParams{PageSize: 1000, Stream: r.stream}
	if !r.follows() { // else we need the events that say whose a stream is
		ask.Type, ask.Role, ask.Organization, ask.From, ask.Until = r.types, r.roles, r.organisations, r.from, r.until
	}
	has := r.chooser()
	err := eachPage(func(after contract.Cursor) ([]contract.LogEvent, contract.Cursor, error) {
		ask.After = after
		page, err := client.Read[contract.LogEvents](c.ListEvents(ctx, ask))
		return page.Body.Items, page.Body.NextCursor, err
	}, func(e contract.LogEvent) error {
		leaf++
		sum.Cursor = e.Cursor
		if !has(e) {
			return nil
		}
		sum.add(e)
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

// follows reports whether what belongs to the replay is told by earlier events.
func (r replay) follows() bool { return r.citizen != nil || r.document != nil || r.consumer != "" }

// chooser returns what tells of each event of the log, in their order, whether it belongs to
// the replay. It remembers which streams and accesses do: only the first event of a document
// names its subject, and the outcome of an access names nothing but the access.
func (r replay) chooser() func(contract.LogEvent) bool {
	var all []*thread
	if r.citizen != nil {
		all = append(all, newThread(r.citizen.String(), "citizen", "document", "consent", "access", "mandate"))
	}
	if r.document != nil {
		all = append(all, newThread(r.document.String(), "document", "consent"))
	}
	if r.consumer != "" {
		all = append(all, newThread(string(r.consumer), "consent", "refusal"))
	}
	return func(e contract.LogEvent) bool {
		belongs := true
		for _, t := range all { // each of them has to see every event
			belongs = t.has(e) && belongs
		}
		return belongs && (r.stream == "" || r.stream == e.Stream) && r.matches(e)
	}
}

// matches reports whether an event alone is what the replay asks for.
func (r replay) matches(e contract.LogEvent) bool {
	if len(r.types) > 0 && !slices.Contains(r.types, e.Type) ||
		len(r.roles) > 0 && !slices.Contains(r.roles, e.Actor.Role) ||
		len(r.organisations) > 0 && !slices.Contains(r.organisations, e.Actor.Organization) {
		return false
	}
	return (r.from == nil || !e.RecordedAt.Before(*r.from)) && (r.until == nil || e.RecordedAt.Before(*r.until))
}

// thread follows what the log says about one id.
type thread struct {
	id         string
	categories []string // of streams that are about the id as a whole, once an event names it
	streams    map[string]bool
	accesses   map[string]bool
}

func newThread(id string, categories ...string) *thread {
	return &thread{id, categories, make(map[string]bool), make(map[string]bool)}
}

func (t *thread) has(e contract.LogEvent) bool {
	category, _, _ := strings.Cut(e.Stream, "-")
	if category == "registry" {
		return false // which names everybody
	}
	named := e.Actor.CitizenID.String() == t.id || string(e.Actor.Organization) == t.id || bytes.Contains(e.Facts, []byte(t.id)) || strings.Contains(e.Stream, t.id)
	if named && slices.Contains(t.categories, category) {
		t.streams[e.Stream] = true
	}
	found := named || t.streams[e.Stream]
	if category == "access" || category == "consent" {
		if id := accessOf(e); id != "" && (t.accesses[id] || found) {
			t.accesses[id], found = true, true
		}
	}
	return found
}

// accessOf returns the id of the access that an event is about, "" when it is about none.
func accessOf(e contract.LogEvent) string {
	var f facts
	if json.Unmarshal(e.Facts, &f) != nil {
		return ""
	}
	return f.word("access")
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
