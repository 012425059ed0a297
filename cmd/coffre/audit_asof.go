package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coffre/domain"
	"coffre/eventstore/codec"
	"coffre/eventstore/proof/bundle"
	"coffre/handlers/contract"
	"coffre/projections"
	"coffre/projections/consentlog"
	"coffre/projections/history"
	"coffre/projections/wallet"
)

func newAuditAsOf(p *program) *cobra.Command {
	var checks provenLog
	var asJSON bool
	var citizen, document, asOf, validAt string
	cmd := &cobra.Command{
		Use: "asof FILE|DIR|URL", Short: "What somebody held, had consented to and mandated at a past moment",
		Long: `Reads the log of FILE (a bundle), DIR (a data directory) or URL (a vault, with --token-file),
verifies it as coffre audit verify does, and counts from its events what the vault knew of a
citizen: documents with their status, consents, mandates, and what stands about the person.

There are two clocks. --as-of asks what the vault knew at a moment, by the time at which events
were recorded; --valid-at what was legally so on a day. Without the first it is the moment of
the checkpoint, without the second the day of the first.

It needs no key. What is sealed is not told: where a document's dates are, its status is told
without them. Somebody who was erased has no documents at any moment any more.

It ends with 0 when the log is whole, 1 on an error, 2 on a mistake of usage, 3 when something
was tampered with, 4 when the log may lack something that the answer needs.`,
		Example: `  coffre audit asof log.bundle --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --as-of 2026-03-01
  coffre audit asof data --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --as-of 2026-03-01T12:00:00+01:00 --valid-at 2026-02-15 --json
  coffre audit asof https://vault.example --token-file t --key keys.json --citizen 0b7f9c1e-4a53-4d1c-9a77-2f0e6d1b8c44 --document 5a0c1c1e-9c58-4f3b-8f0e-0d6f4a4f5f10`,
		Args: takes("FILE|DIR|URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ask := asOfQuestion{}
			var err error
			if ask.citizen, err = citizenID(citizen); err != nil {
				return err
			}
			if document != "" {
				id, err := parseID("--document", document)
				if err != nil {
					return err
				}
				ask.document = &domain.DocumentID{UUID: id}
			}
			if ask.asOf, err = knownAt("as-of", asOf, time.Now()); err != nil {
				return err
			}
			if ask.validAt, err = date("valid-at", validAt); err != nil {
				return err
			}
			answer, err := p.countAsOf(cmd.Context(), args[0], checks, ask)
			if err != nil {
				return err
			}
			if asJSON {
				err = p.printJSON(answer)
			} else {
				err = p.printAsOf(answer)
			}
			if err != nil {
				return err
			}
			return verdict(answer.Log)
		},
	}
	checks.flags(cmd)
	checks.tokenFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&citizen, "citizen", "", "whose, by `id`")
	required(cmd, "citizen")
	f.StringVar(&document, "document", "", "of the documents only this one, by `id`")
	f.StringVar(&asOf, "as-of", "", "what the vault knew at that `moment`, 2026-03-01T12:00:00+01:00, or at the end of that day")
	f.StringVar(&validAt, "valid-at", "", "what was legally so on that `day`, 2026-03-01")
	f.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "asof":
			name = "as-of"
		case "validat":
			name = "valid-at"
		}
		return pflag.NormalizedName(name)
	})
	jsonFlag(cmd, &asJSON)
	return cmd
}

// asOfQuestion is what coffre audit asof is asked.
type asOfQuestion struct {
	citizen  domain.CitizenID
	document *domain.DocumentID
	asOf     *time.Time // nil: the moment of the checkpoint
	validAt  domain.Date
}

// asOfAnswer is what the log says of a citizen at a moment and on a day.
type asOfAnswer struct {
	Citizen domain.CitizenID   `json:"citizenId"`
	Former  []domain.CitizenID `json:"formerCitizenIds,omitempty"` // lives that were merged into it
	AsOf    time.Time          `json:"asOf"`
	Leaf    int64              `json:"leaf"` // the last that counts; -1 when there is none
	ValidAt domain.Date        `json:"validAt"`

	RegisteredAt time.Time          `json:"registeredAt,omitzero"`
	DiedAt       time.Time          `json:"deathReportedAt,omitzero"`
	ErasedLeaf   *int64             `json:"erasedLeaf,omitempty"` // whenever that was
	Holds        []domain.HoldID    `json:"legalHoldIds,omitempty"`
	Restrictions int                `json:"restrictions,omitempty"`
	Erasures     []history.Erasure  `json:"erasures,omitempty"`
	Documents    []asOfDocument     `json:"documents"`
	Consents     []contract.Consent `json:"consents"`
	Mandates     []asOfMandate      `json:"mandates"`
	Log          bundle.Report      `json:"log"`
}

// asOfDocument is a document as far as clear facts tell it.
type asOfDocument struct {
	Document      domain.DocumentID      `json:"documentId"`
	Type          domain.DocumentType    `json:"documentType"`
	Issuer        domain.Organisation    `json:"issuer"`
	Version       int                    `json:"version"`
	State         contract.DocumentState `json:"state"`
	Reason        domain.ReasonCode      `json:"reason,omitempty"`
	SealedDates   bool                   `json:"sealedDates,omitempty"`
	ValidFrom     domain.Date            `json:"validFrom,omitempty"`
	ValidUntil    domain.Date            `json:"validUntil,omitempty"`
	EffectiveFrom domain.Date            `json:"effectiveFrom,omitempty"`
	IssuedAt      time.Time              `json:"issuedAt"`
	ChangedAt     time.Time              `json:"changedAt"`
	Readers       []domain.ConsentID     `json:"consentsToRead,omitempty"`
}

// asOfMandate is a mandate; its last day is sealed.
type asOfMandate struct {
	Mandate        domain.MandateID      `json:"mandateId"`
	Citizen        domain.CitizenID      `json:"citizenId"`
	Representative domain.CitizenID      `json:"representativeCitizenId"`
	Kind           contract.MandateKind  `json:"kind"`
	State          contract.MandateState `json:"state"`
	Types          []domain.DocumentType `json:"documentTypes,omitempty"`
	Source         domain.Organisation   `json:"source,omitempty"`
	GrantedAt      time.Time             `json:"grantedAt"`
	AcceptedAt     time.Time             `json:"acceptedAt,omitzero"`
	EndedAt        time.Time             `json:"endedAt,omitzero"`
	Reason         domain.ReasonCode     `json:"reason,omitempty"`
}

// countAsOf reads a log and counts the answer. A person who has several lives is found out in
// the first reading, and told of in a second one.
func (p *program) countAsOf(ctx context.Context, place string, checks provenLog, ask asOfQuestion) (asOfAnswer, error) {
	lives := []domain.CitizenID{ask.citizen}
	for {
		h := history.New(projections.Latest, lives...)
		answer := asOfAnswer{Citizen: ask.citizen, Leaf: -1}
		over := false
		found, err := p.readProven(ctx, place, checks, func(leaf int64, e contract.LogEvent) error {
			if over = over || ask.asOf != nil && e.RecordedAt.After(*ask.asOf); over {
				h.End(answer.Leaf)
			} else {
				answer.Leaf = leaf
			}
			data, err := codec.Catalog.Decode(fmt.Sprintf("%s/%d", e.Type, e.Form), e.Facts, nil)
			if err != nil {
				return fmt.Errorf("leaf %d: %w", leaf, err)
			}
			h.Apply(data, leaf)
			return nil
		})
		if err != nil {
			return answer, err
		}
		if ask.asOf != nil && ask.asOf.After(found.Signed) {
			return answer, &exitError{exitIncomplete, fmt.Errorf("what the vault knew at %s is not settled: the last checkpoint is of %s", day(*ask.asOf), day(found.Signed))}
		}
		if all := h.Lives(ask.citizen); len(lives) == 1 && len(all) > 1 {
			lives = all
			continue
		}
		answer.Log = found
		if !found.Whole && found.Incomplete == "" {
			answer.Log.Incomplete = "this bundle is a selection: what it leaves out does not count in the answer"
		}
		answer.tell(h, lives, ask)
		return answer, nil
	}
}

// tell fills in what the history says of the lives of a person.
func (a *asOfAnswer) tell(h *history.History, lives []domain.CitizenID, ask asOfQuestion) {
	a.AsOf = a.Log.Signed
	if ask.asOf != nil {
		a.AsOf = ask.asOf.UTC()
	}
	a.ValidAt = cmp.Or(ask.validAt, domain.BelgianDate(a.AsOf))
	moment := domain.MomentOn(a.AsOf, a.ValidAt)
	a.Citizen, a.Former = lives[0], lives[1:]
	a.Documents, a.Consents, a.Mandates = []asOfDocument{}, []contract.Consent{}, []asOfMandate{}
	if who, known := h.Person(a.Citizen); known {
		a.RegisteredAt, a.DiedAt, a.Holds, a.Restrictions, a.Erasures = who.RegisteredAt, who.DiedAt, who.Holds, len(who.Restrictions), who.Erasures
	}
	if leaf, erased := h.ErasedLeaf(a.Citizen); erased {
		a.ErasedLeaf = &leaf
	}
	var readers []wallet.Reader
	for _, life := range lives {
		readers = append(readers, h.Readers(life)...)
	}
	for _, life := range lives {
		for _, d := range h.Documents(life) {
			if ask.document == nil || *ask.document == d.Document {
				a.Documents = append(a.Documents, documentOn(h.Versions(d.Document), a.ValidAt, moment, readers))
			}
		}
		for _, c := range slices.Backward(h.Consents(life, moment)) {
			a.Consents = append(a.Consents, consentTold(c))
		}
		for _, m := range h.Mandates(life) {
			a.Mandates = append(a.Mandates, mandateTold(m))
		}
	}
}

// documentOn returns the version of a document that holds in law on a day, with its state then.
func documentOn(rows []wallet.Document, on domain.Date, moment time.Time, readers []wallet.Reader) asOfDocument {
	in, state, _, _ := wallet.InForce(rows, on, domain.BelgianDate, func(d *wallet.Document) (domain.Date, error) { return d.EffectiveFrom, nil }) // there are rows
	told := asOfDocument{
		Document: in.Document, Type: in.Type, Issuer: in.Issuer, Version: in.Version, Reason: in.Reason, SealedDates: in.PersonalValidity,
		ValidFrom: in.ValidFrom, ValidUntil: in.ValidUntil, EffectiveFrom: in.EffectiveFrom, IssuedAt: in.IssuedAt, ChangedAt: in.ChangedAt,
	}
	for i := len(rows) - 1; i >= 0 && told.ValidFrom == ""; i-- { // a later version without dates keeps those before (rule D-3)
		if rows[i].Version < in.Version {
			told.ValidFrom, told.ValidUntil = rows[i].ValidFrom, rows[i].ValidUntil
		}
	}
	switch {
	case in.Destroyed:
		told.State = contract.DocumentStateErased
	case state == wallet.Revoked:
		told.State = contract.DocumentStateRevoked
	case state == wallet.Suspended:
		told.State = contract.DocumentStateSuspended
	case told.ValidFrom != "" && on < told.ValidFrom:
		told.State = contract.DocumentStateNotYetValid
	case told.ValidUntil != "" && told.ValidUntil < on:
		told.State = contract.DocumentStateExpired
	default:
		told.State = contract.DocumentStateValid
	}
	if told.State == contract.DocumentStateRevoked || told.State == contract.DocumentStateErased {
		return told // which nobody may read
	}
	for i := range readers {
		if r := &readers[i]; moment.Before(r.Terms.Until) && r.Covers(in.Document, in.Type, in.IssuedLeaf) {
			told.Readers = append(told.Readers, r.Consent)
		}
	}
	return told
}

// consentTold returns a consent as the contract has it, without labels.
func consentTold(c consentlog.Consent) contract.Consent {
	return contract.Consent{
		Href: contract.ConsentHref(c.Consent), ConsentID: c.Consent, CitizenID: c.Citizen, MandateID: c.Mandate, State: contract.ConsentState(c.State), Uses: c.Uses,
		Consumer: c.Terms.Consumer, Purpose: c.Terms.Purpose, Documents: c.Terms.Documents, DocumentTypes: c.Terms.Types, Fields: c.Terms.Fields,
		Limits: contract.LimitsShown(c.Terms.Limits), RequestedAt: c.RequestedAt, GrantedAt: c.GrantedAt, EndedAt: c.EndedAt, Until: c.Terms.Until,
	}
}

func mandateTold(m wallet.Mandate) asOfMandate {
	told := asOfMandate{
		Mandate: m.Mandate, Citizen: m.Citizen, Representative: m.Representative, Kind: contract.MandateKind(m.Kind), State: contract.MandateStateGranted,
		Types: m.Scope.Types, Source: m.Source, GrantedAt: m.GrantedAt, AcceptedAt: m.AcceptedAt, EndedAt: m.EndedAt, Reason: m.Reason,
	}
	switch {
	case m.EndedLeaf != projections.Latest || m.DeathLeaf != projections.Latest:
		told.State = contract.MandateStateEnded
	case m.AcceptedLeaf != projections.Latest:
		told.State = contract.MandateStateAccepted
	}
	return told
}

// printAsOf tells the answer to a person.
func (p *program) printAsOf(a asOfAnswer) error {
	var former, holds, erasures []string
	for _, id := range a.Former {
		former = append(former, id.String())
	}
	for _, id := range a.Holds {
		holds = append(holds, id.String())
	}
	for _, e := range a.Erasures {
		erasures = append(erasures, fmt.Sprintf("%s %s", short(e.Erasure.String()), e.State))
	}
	erased, restrictions := "", ""
	if a.Restrictions > 0 {
		restrictions = strconv.Itoa(a.Restrictions)
	}
	if a.ErasedLeaf != nil {
		erased = fmt.Sprintf("at leaf %d: documents and mandates are told at no moment any more", *a.ErasedLeaf)
	}
	err := p.facts("citizen", a.Citizen.String(), "merged into it", strings.Join(former, ", "), "as of", day(a.AsOf), "last leaf", strconv.FormatInt(a.Leaf, 10), "valid at", string(a.ValidAt),
		"registered", day(a.RegisteredAt), "death reported", day(a.DiedAt), "erased", erased, "legal holds", strings.Join(holds, ", "), "restrictions", restrictions, "erasures", strings.Join(erasures, ", "))
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Out, "\n%d documents\n", len(a.Documents)) // a later write tells of any error
	t := p.table("document", "state", "version", "from", "until", "issuer", "may be read under", "id")
	for _, d := range a.Documents {
		from, until := string(d.ValidFrom), string(d.ValidUntil)
		if d.SealedDates {
			from, until = "sealed", "sealed"
		}
		var under []string
		for _, id := range d.Readers {
			under = append(under, short(id.String()))
		}
		t.row(string(d.Type), string(d.State), strconv.Itoa(d.Version), from, until, string(d.Issuer), strings.Join(under, " "), d.Document.String())
	}
	if len(a.Documents) > 0 {
		err = t.flush()
	}
	fmt.Fprintf(p.Out, "\n%d consents\n", len(a.Consents))
	t = p.table("consent", "state", "consumer", "purpose", "until", "uses")
	for _, c := range a.Consents {
		t.row(c.ConsentID.String(), string(c.State), string(c.Consumer), string(c.Purpose), day(c.Until), strconv.Itoa(c.Uses))
	}
	if len(a.Consents) > 0 {
		err = errors.Join(err, t.flush())
	}
	fmt.Fprintf(p.Out, "\n%d mandates; their last days are sealed\n", len(a.Mandates))
	t = p.table("mandate", "state", "kind", "represented", "representative", "granted")
	for _, m := range a.Mandates {
		t.row(m.Mandate.String(), string(m.State), string(m.Kind), m.Citizen.String(), m.Representative.String(), day(m.GrantedAt))
	}
	if len(a.Mandates) > 0 {
		err = errors.Join(err, t.flush())
	}
	fmt.Fprintln(p.Out)
	return errors.Join(err, p.printReport(false, a.Log))
}
