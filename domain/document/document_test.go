package document_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"coffre/domain"
	"coffre/domain/citizen"
	. "coffre/domain/document"
	"coffre/domain/domaintest"
	"coffre/domain/registry"
)

var (
	card    = domain.DocumentID{UUID: uuid.UUID{1}}
	ana     = domain.CitizenID{UUID: uuid.UUID{2}}
	bob     = domain.CitizenID{UUID: uuid.UUID{3}}
	erasure = domain.ErasureID{UUID: uuid.UUID{4}}
	noon    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	later   = noon.AddDate(0, 0, 9)
	org     = domain.Organisation("0206731645")
	issuer  = domain.Actor{Role: domain.RoleIssuer, Organisation: org}
	rival   = domain.Actor{Role: domain.RoleIssuer, Organisation: "0671516647"}
	reader  = domain.Actor{Role: domain.RoleConsumer, Organisation: org}
	system  = domain.Actor{Role: domain.RoleSystem}

	kind  = registry.DocumentType{Name: "isiPlusCard", Issuers: []domain.Organisation{org}, Categories: []domain.DataCategory{"health"}}
	child = with(kind, func(k *registry.DocumentType) { k.ValidityIsPersonal = true })

	issue = Issue{Document: card, Citizen: ana, Type: kind, SourceReference: "r", ValidFrom: "2026-01-01", ValidUntil: "2026-12-31",
		Content: domain.JSON(`{}`), Tag: Tag{1}, By: issuer, At: noon}
	issued = Issued{Document: card, Citizen: ana, Type: "isiPlusCard", Issuer: org, ValidFrom: "2026-01-01", ValidUntil: "2026-12-31",
		Categories: []domain.DataCategory{"health"}, Tag: Tag{1}, At: noon, Personal: &IssuedPersonal{SourceReference: "r", Content: domain.JSON(`{}`)}}
	sealed = with(issued, func(e *Issued) {
		e.PersonalValidity, e.ValidFrom, e.ValidUntil = true, "", ""
		e.Personal = &IssuedPersonal{SourceReference: "r", Content: domain.JSON(`{}`), ValidFrom: "2026-01-01", ValidUntil: "2026-12-31"}
	})
	update = Update{Expected: ExpectVersion(1), Reason: "moved", EffectiveFrom: "2026-04-01", ValidFrom: "2026-02-01", Content: domain.JSON(`[]`), Tag: Tag{2}, By: issuer, At: later}
	second = Updated{Document: card, Version: 2, Replaces: 1, Reason: "moved", EffectiveFrom: "2026-04-01", ValidFrom: "2026-02-01", Tag: Tag{2}, At: later,
		Personal: &UpdatedPersonal{Content: domain.JSON(`[]`)}}
	scan       = domain.AttachmentID{UUID: uuid.UUID{9}}
	files      = []Attachment{{ID: scan, Type: PDF, Size: 3, Digest: []byte{1}, Key: FileKey{2}}}
	revoke     = Revoke{Expected: ExpectVersion(1), Reason: "error", EffectiveFrom: "2026-03-05", By: issuer, At: later}
	revoked    = Revoked{Document: card, Reason: "error", EffectiveFrom: "2026-03-05", At: later}
	ahead      = Revoked{Document: card, Reason: "planned", EffectiveFrom: "9999-12-31", At: later.AddDate(0, 0, -1)}
	suspend    = Suspend{Expected: ExpectVersion(1), Reason: "doubt", By: issuer, At: later}
	suspended  = Suspended{Document: card, Reason: "doubt", At: later}
	reinstate  = Reinstate{Expected: ExpectVersion(1), Reason: "fine", By: issuer, At: later.AddDate(0, 0, 5)}
	reinstated = Reinstated{Document: card, Reason: "fine", At: later.AddDate(0, 0, 5)}
	begun      = citizen.Erasure{ID: erasure, Scope: citizen.OneDocument, Document: card, Step: citizen.Started}
	destroy    = DestroyContent{Citizen: ana, Erasure: begun, Key: "k", Unreadable: 2, Digest: []byte{7}, By: system, At: later}
	destroyed  = ContentDestroyed{Document: card, Erasure: erasure, Key: "k", Unreadable: 2, Digest: []byte{7}, At: later}
)

func with[T any](v T, f func(*T)) T { f(&v); return v }

func tooMany() []Attachment {
	all := make([]Attachment, MaxAttachments+1)
	for i := range all {
		all[i].ID.UUID = uuid.UUID{byte(i + 1)}
	}
	return all
}

// A key of a file is in no text that an error or a log could hold.
func TestAFileKeyNeverPrints(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if said := fmt.Sprintf(verb, Attachment{Key: FileKey("canary")}); strings.Contains(said, "canary") || strings.Contains(said, "63616e617279") || strings.Contains(said, "99 97 110") {
			t.Errorf("%s: %s", verb, said)
		}
	}
}

func fold(events ...Event) (s State) {
	for _, e := range events {
		s = Evolve(s, e)
	}
	return s
}

func TestRules(t *testing.T) {
	domaintest.Run(t, Evolve, []domaintest.Scenario[State, Event]{
		{Name: "D-1 the authentic source issues", When: issue, Then: []Event{issued}},
		{Name: "D-4 a document has files", When: with(issue, func(c *Issue) { c.Attachments = files }), Then: []Event{with(issued, func(e *Issued) {
			e.Attachments = []domain.AttachmentID{scan}
			e.Personal = &IssuedPersonal{SourceReference: "r", Content: domain.JSON(`{}`), Attachments: files}
		})}},
		{Name: "D-4 a file stands once", When: with(issue, func(c *Issue) { c.Attachments = append(files, files...) }), Err: ErrAttachments},
		{Name: "D-4 files have a name", When: with(issue, func(c *Issue) { c.Attachments = []Attachment{{Type: PDF}} }), Err: ErrAttachments},
		{Name: "D-4 not more files than that", When: with(issue, func(c *Issue) { c.Attachments = tooMany() }), Err: ErrAttachments},
		{Name: "D-3 an update replaces the files, too", Given: []Event{issued}, When: with(update, func(c *Update) { c.Attachments = files }), Then: []Event{with(second, func(e *Updated) {
			e.Attachments = []domain.AttachmentID{scan}
			e.Personal = &UpdatedPersonal{Content: domain.JSON(`[]`), Attachments: files}
		})}},
		{Name: "D-3 a file stands once in an update", Given: []Event{issued}, When: with(update, func(c *Update) { c.Attachments = append(files, files...) }), Err: ErrAttachments},
		{Name: "D-1 another administration does not issue", When: with(issue, func(c *Issue) { c.By = rival }), Err: ErrNotIssuer},
		{Name: "D-1 a consumer does not issue", When: with(issue, func(c *Issue) { c.By = reader }), Err: ErrNotIssuer},
		{Name: "D-1 a second source does not issue another's document", Given: []Event{issued},
			When: with(issue, func(c *Issue) {
				c.By, c.Type.Issuers = rival, []domain.Organisation{org, rival.Organisation}
			}), Err: ErrNotIssuer},
		{Name: "D-1 a document is one citizen's", Given: []Event{issued}, When: with(issue, func(c *Issue) { c.Citizen = bob }), Err: ErrNotIssuer},
		{Name: "D-1 only the issuer updates", Given: []Event{issued}, When: with(update, func(c *Update) { c.By = rival }), Err: ErrNotFound},
		{Name: "D-1 only the issuer revokes", Given: []Event{issued}, When: with(revoke, func(c *Revoke) { c.By = rival }), Err: ErrNotFound},
		{Name: "D-1 only the issuer suspends", Given: []Event{issued}, When: with(suspend, func(c *Suspend) { c.By = rival }), Err: ErrNotFound},
		{Name: "D-1 only the issuer reinstates", Given: []Event{issued, suspended}, When: with(reinstate, func(c *Reinstate) { c.By = reader }), Err: ErrNotFound},
		{Name: "D-1 nothing to update", When: update, Err: ErrNotFound},
		{Name: "D-1 nothing to revoke", When: revoke, Err: ErrNotFound},

		{Name: "D-2 the issuer revokes", Given: []Event{issued}, When: revoke, Then: []Event{revoked}},
		{Name: "D-2 a suspended document is revoked", Given: []Event{issued, suspended}, When: revoke, Then: []Event{revoked}},
		{Name: "D-2 revoked today unless said otherwise", Given: []Event{issued}, When: with(revoke, func(c *Revoke) { c.EffectiveFrom = "" }),
			Then: []Event{with(revoked, func(e *Revoked) { e.EffectiveFrom = "2026-03-10" })}},
		{Name: "D-2 the same revocation again is no error", Given: []Event{issued, revoked}, When: revoke},
		{Name: "D-2 no other revocation follows", Given: []Event{issued, revoked}, When: with(revoke, func(c *Revoke) { c.EffectiveFrom = "2026-03-06" }), Err: ErrRevoked},
		{Name: "D-2 one that lies ahead is brought forward", Given: []Event{issued, ahead}, When: revoke, Then: []Event{revoked}},
		{Name: "D-2 one that lies ahead is brought forward, to another day ahead", Given: []Event{issued, ahead}, When: with(revoke, func(c *Revoke) { c.EffectiveFrom = "9999-12-30" }),
			Then: []Event{with(revoked, func(e *Revoked) { e.EffectiveFrom = "9999-12-30" })}},
		{Name: "D-2 one that lies ahead, the same again", Given: []Event{issued, ahead}, When: with(revoke, func(c *Revoke) { c.Reason, c.EffectiveFrom = ahead.Reason, ahead.EffectiveFrom })},
		{Name: "D-2 one that lies ahead is not put off", Given: []Event{issued, with(ahead, func(e *Revoked) { e.EffectiveFrom = "2026-04-01" })}, When: with(revoke, func(c *Revoke) { c.EffectiveFrom = "2026-04-02" }), Err: ErrRevoked},
		{Name: "D-2 one that is effective today is not moved", Given: []Event{issued, with(ahead, func(e *Revoked) { e.EffectiveFrom = "2026-03-10" })}, When: revoke, Err: ErrRevoked},
		{Name: "D-2 brought forward by the issuer alone", Given: []Event{issued, ahead}, When: with(revoke, func(c *Revoke) { c.By = rival }), Err: ErrNotFound},
		{Name: "D-2 brought forward of the version that is expected", Given: []Event{issued, ahead}, When: with(revoke, func(c *Revoke) { c.Expected = ExpectVersion(2) }), Err: ErrStale},
		{Name: "D-2 brought forward with a reason", Given: []Event{issued, ahead}, When: with(revoke, func(c *Revoke) { c.Reason = "" }), Err: ErrReasonMissing},
		{Name: "D-2 brought forward to the day of issue at the earliest", Given: []Event{issued, ahead}, When: with(revoke, func(c *Revoke) { c.EffectiveFrom = "2026-02-28" }), Err: ErrRevokedBeforeIssued},
		{Name: "D-2 one that lies ahead is not updated", Given: []Event{issued, ahead}, When: update, Err: ErrRevoked},
		{Name: "D-2 revocation has a reason", Given: []Event{issued}, When: with(revoke, func(c *Revoke) { c.Reason = "" }), Err: ErrReasonMissing},
		{Name: "D-2 not effective before issue", Given: []Event{issued}, When: with(revoke, func(c *Revoke) { c.EffectiveFrom = "2026-02-28" }), Err: ErrRevokedBeforeIssued},
		{Name: "D-2 effective on the day of issue", Given: []Event{issued}, When: with(revoke, func(c *Revoke) { c.EffectiveFrom = "2026-03-01" }),
			Then: []Event{with(revoked, func(e *Revoked) { e.EffectiveFrom = "2026-03-01" })}},
		{Name: "D-2 revoked is not updated", Given: []Event{issued, revoked}, When: update, Err: ErrRevoked},
		{Name: "D-2 revoked is not suspended", Given: []Event{issued, revoked}, When: suspend, Err: ErrRevoked},
		{Name: "D-2 revoked is not reinstated", Given: []Event{issued, suspended, revoked}, When: reinstate, Err: ErrRevoked},
		{Name: "D-2 revoked is not issued again, even with the same content", Given: []Event{issued, revoked}, When: issue, Err: ErrRevoked},
		{Name: "D-2 the issuer suspends", Given: []Event{issued}, When: suspend, Then: []Event{suspended}},
		{Name: "D-2 suspending twice is no error", Given: []Event{issued, suspended}, When: suspend},
		{Name: "D-2 suspension has a reason", Given: []Event{issued}, When: with(suspend, func(c *Suspend) { c.Reason = "" }), Err: ErrReasonMissing},
		{Name: "D-2 the issuer reinstates", Given: []Event{issued, suspended}, When: reinstate, Then: []Event{reinstated}},
		{Name: "D-2 only what is suspended is reinstated", Given: []Event{issued}, When: reinstate, Err: ErrNotSuspended},
		{Name: "D-2 a suspension that was over is over", Given: []Event{issued, suspended, reinstated}, When: reinstate, Err: ErrNotSuspended},

		{Name: "D-3 an update replaces the content", Given: []Event{issued}, When: update, Then: []Event{second}},
		{Name: "D-3 a suspended document is updated", Given: []Event{issued, suspended}, When: update, Then: []Event{second}},
		{Name: "D-3 of two updates of one version the second is stale", Given: []Event{issued, second}, When: update, Err: ErrStale},
		{Name: "D-3 an update names the version it replaces", Given: []Event{issued}, When: with(update, func(c *Update) { c.Expected = Expectation{} }), Err: ErrStale},
		{Name: "D-3 an update of what is to come is stale", Given: []Event{issued}, When: with(update, func(c *Update) { c.Expected = ExpectVersion(2) }), Err: ErrStale},
		{Name: "D-3 F11 one of several versions", Given: []Event{issued}, When: with(update, func(c *Update) { c.Expected = Expectation{Versions: []int{7, 1}} }), Then: []Event{second}},
		{Name: "D-3 F11 none of several versions", Given: []Event{issued}, When: with(update, func(c *Update) { c.Expected = Expectation{Versions: []int{7, -1, 0}} }), Err: ErrStale},
		{Name: "D-3 F11 whatever the version", Given: []Event{issued}, When: with(update, func(c *Update) { c.Expected = Expectation{Any: true} }), Then: []Event{second}},
		{Name: "D-3 F11 there is no version of what does not exist", When: with(update, func(c *Update) { c.Expected = Expectation{Any: true} }), Err: ErrNotFound},
		{Name: "D-3 an update says from when", Given: []Event{issued}, When: with(update, func(c *Update) { c.EffectiveFrom = "" }), Err: ErrEffectiveFrom},
		{Name: "D-3 an update has content", Given: []Event{issued}, When: with(update, func(c *Update) { c.Content = nil }), Err: ErrIncomplete},
		{Name: "D-3 a stale revocation", Given: []Event{issued, second}, When: revoke, Err: ErrStale},
		{Name: "D-3 a revocation whatever the version", Given: []Event{issued, second}, When: with(revoke, func(c *Revoke) { c.Expected = Expectation{Any: true} }), Then: []Event{revoked}},
		{Name: "D-3 a stale suspension", Given: []Event{issued, second}, When: suspend, Err: ErrStale},
		{Name: "D-3 a stale reinstatement", Given: []Event{issued, second, suspended}, When: reinstate, Err: ErrStale},
		{Name: "D-3 personal dates of an update are sealed", Given: []Event{sealed}, When: update,
			Then: []Event{with(second, func(e *Updated) {
				e.EffectiveFrom, e.ValidFrom = "", ""
				e.Personal = &UpdatedPersonal{Content: domain.JSON(`[]`), EffectiveFrom: "2026-04-01", ValidFrom: "2026-02-01"}
			})}},

		{Name: "D-4 the same content again records nothing", Given: []Event{issued}, When: issue},
		{Name: "D-4 the newest content again records nothing", Given: []Event{issued, second}, When: with(issue, func(c *Issue) { c.Tag = Tag{2} })},
		{Name: "D-4 the same content again while suspended records nothing", Given: []Event{issued, suspended}, When: issue},
		{Name: "D-4 the same content of a retired type records nothing", Given: []Event{issued}, When: with(issue, func(c *Issue) { c.Type.Retired = true })},
		{Name: "D-4 superseded content", Given: []Event{issued, second}, When: issue, Err: ErrSupersededContent},
		{Name: "D-4 other content is for update", Given: []Event{issued}, When: with(issue, func(c *Issue) { c.Tag = Tag{3} }), Err: ErrAlreadyIssued},
		{Name: "D-4 erased content is gone", Given: []Event{issued, destroyed}, When: issue, Err: ErrContentDestroyed},

		{Name: "D-5 an unknown type", When: with(issue, func(c *Issue) { c.Type = registry.DocumentType{} }), Err: ErrUnknownType},
		{Name: "D-5 a retired type is issued no more", When: with(issue, func(c *Issue) { c.Type.Retired = true }), Err: ErrUnknownType},
		{Name: "D-5 a document has content", When: with(issue, func(c *Issue) { c.Content = nil }), Err: ErrIncomplete},
		{Name: "D-5 a document has a source reference", When: with(issue, func(c *Issue) { c.SourceReference = "" }), Err: ErrIncomplete},

		{Name: "D-6 valid on one day", When: with(issue, func(c *Issue) { c.ValidUntil = "2026-01-01" }), Then: []Event{with(issued, func(e *Issued) { e.ValidUntil = "2026-01-01" })}},
		{Name: "D-6 valid without end", When: with(issue, func(c *Issue) { c.ValidUntil = "" }), Then: []Event{with(issued, func(e *Issued) { e.ValidUntil = "" })}},
		{Name: "D-6 the end is not before the beginning", When: with(issue, func(c *Issue) { c.ValidUntil = "2025-12-31" }), Err: ErrValidity},
		{Name: "D-6 there is a beginning", When: with(issue, func(c *Issue) { c.ValidFrom = "" }), Err: ErrValidity},
		{Name: "D-6 an update's end is not before its beginning", Given: []Event{issued}, When: with(update, func(c *Update) { c.ValidUntil = "2026-01-31" }), Err: ErrValidity},
		{Name: "D-6 an update's end has a beginning", Given: []Event{issued}, When: with(update, func(c *Update) { c.ValidFrom, c.ValidUntil = "", "2026-12-31" }), Err: ErrValidity},
		{Name: "D-6 an update may leave validity as it is", Given: []Event{issued}, When: with(update, func(c *Update) { c.ValidFrom = "" }), Then: []Event{with(second, func(e *Updated) { e.ValidFrom = "" })}},
		{Name: "D-6 personal dates are sealed", When: with(issue, func(c *Issue) { c.Type = child }), Then: []Event{sealed}},

		{Name: "E-1 content is destroyed", Given: []Event{issued}, When: destroy, Then: []Event{destroyed}},
		{Name: "E-1 content of a revoked document is destroyed", Given: []Event{issued, revoked}, When: destroy, Then: []Event{destroyed}},
		{Name: "E-1 destroying twice is no error", Given: []Event{issued, destroyed}, When: destroy},
		{Name: "E-1 not before the erasure started", Given: []Event{issued}, When: with(destroy, func(c *DestroyContent) { c.Erasure.Step = citizen.Approved }), Err: ErrNotAgreed},
		{Name: "E-1 not under another document's erasure", Given: []Event{issued}, When: with(destroy, func(c *DestroyContent) { c.Erasure.Document = domain.DocumentID{UUID: uuid.UUID{9}} }), Err: ErrNotAgreed},
		{Name: "E-1 not under another citizen's erasure", Given: []Event{issued}, When: with(destroy, func(c *DestroyContent) { c.Citizen = bob }), Err: ErrWrongOwner},
		{Name: "E-1 nothing to destroy", When: destroy, Err: ErrNotFound},
		{Name: "E-2 only the destroyer destroys", Given: []Event{issued}, When: with(destroy, func(c *DestroyContent) { c.By = issuer }), Err: ErrNotEraser},
		{Name: "E-3 erased is not updated", Given: []Event{issued, destroyed}, When: update, Err: ErrContentDestroyed},
		{Name: "E-3 erased is not revoked", Given: []Event{issued, destroyed}, When: revoke, Err: ErrContentDestroyed},
		{Name: "E-3 erased is not suspended", Given: []Event{issued, destroyed}, When: suspend, Err: ErrContentDestroyed},
	})
}

// D-2, D-3, D-6: what a document counts for, day by day.
func TestStatusAt(t *testing.T) {
	sealedSecond := with(second, func(e *Updated) { e.EffectiveFrom, e.ValidFrom = "", "" })
	opened := map[int]Dates{1: {ValidFrom: "2026-01-01", ValidUntil: "2026-12-31"}, 2: {EffectiveFrom: "2026-04-01"}}
	for _, tc := range []struct {
		name    string
		state   State
		day     domain.Date
		want    Status
		version int
	}{
		{"nothing issued", State{}, "2026-03-01", NotHeld, 0},
		{"D-6 the day before", fold(issued), "2025-12-31", NotYetValid, 1},
		{"D-6 the first day", fold(issued), "2026-01-01", Valid, 1},
		{"D-6 the last day", fold(issued), "2026-12-31", Valid, 1},
		{"D-6 the day after", fold(issued), "2027-01-01", Expired, 1},
		{"D-3 before the update applies", fold(issued, second), "2026-01-15", Valid, 1},
		{"D-3 when the update applies, without end", fold(issued, second), "2027-01-01", Valid, 2},
		{"D-3 an update that leaves the validity", fold(issued, with(second, func(e *Updated) { e.ValidFrom = "" })), "2027-01-01", Expired, 2},
		{"D-3 a later correction from earlier on", fold(issued, second, with(second, func(e *Updated) { e.Version, e.EffectiveFrom = 3, "2026-02-01" })), "2026-05-01", Valid, 3},
		{"D-2 before the revocation applies", fold(issued, revoked), "2026-03-04", Valid, 1},
		{"D-2 when the revocation applies", fold(issued, revoked), "2026-03-05", IsRevoked, 1},
		{"D-2 two revocations at once: the first stands", fold(issued, revoked, with(revoked, func(e *Revoked) { e.EffectiveFrom = "2026-09-01" })), "2026-03-05", IsRevoked, 1},
		{"D-2 two revocations at once: the earlier stands", fold(issued, with(revoked, func(e *Revoked) { e.EffectiveFrom = "2026-09-01" }), revoked), "2026-03-05", IsRevoked, 1},
		{"D-2 brought forward", fold(issued, ahead, revoked), "2026-03-05", IsRevoked, 1},
		{"D-2 revocation and suspension at once", fold(issued, revoked, suspended), "2026-03-20", IsRevoked, 1},
		{"D-2 before the suspension", fold(issued, suspended), "2026-03-09", Valid, 1},
		{"D-2 suspended", fold(issued, suspended, suspended), "2026-03-10", IsSuspended, 1},
		{"D-2 was suspended then", fold(issued, suspended, reinstated), "2026-03-14", IsSuspended, 1},
		{"D-2 reinstated", fold(issued, suspended, reinstated, reinstated), "2026-03-15", Valid, 1},
		{"E-3 erased", fold(issued, revoked, destroyed), "2026-03-15", IsErased, 1},
		{"D-6 personal dates, not opened", fold(sealed), "2026-03-15", UnknownDates, 1},
		{"D-6 personal dates, opened", fold(sealed).Open(opened), "2027-03-15", Expired, 1},
		{"D-6 personal dates need no opening to be revoked", fold(sealed, revoked), "2026-03-15", IsRevoked, 1},
		{"D-3 personal dates of two versions, not opened", fold(sealed, sealedSecond), "2026-05-01", UnknownDates, 0},
		{"D-3 personal dates of two versions, opened", fold(sealed, sealedSecond).Open(opened), "2026-05-01", Valid, 2},
		{"D-3 personal dates of two versions, one opened", fold(sealed, sealedSecond).Open(map[int]Dates{2: opened[2]}), "2026-05-01", UnknownDates, 2},
		{"D-6 opening changes no dates in clear", fold(issued).Open(nil), "2026-05-01", Valid, 1},
	} {
		got := tc.state.On(tc.day)
		if got.Status != tc.want || got.Version != tc.version {
			t.Errorf("%s: %q of version %d, want %q of version %d", tc.name, got.Status, got.Version, tc.want, tc.version)
		}
	}
	if got := fold(issued).On("2026-03-01"); got != (Snapshot{card, ana, "isiPlusCard", org, noon, 1, Valid}) {
		t.Errorf("snapshot %+v", got)
	}
	if fold(issued, destroyed).Readable() || !fold(issued, revoked).Readable() || (State{}).Readable() {
		t.Error("E-3 only content that exists and was not erased can be opened")
	}
}

// E-1: from when a duty to keep runs.
func TestEndedBy(t *testing.T) {
	for _, tc := range []struct {
		name  string
		state State
		day   domain.Date
		want  domain.Date
	}{
		{"not ended", fold(issued), "2026-12-30", ""},
		{"expired", fold(issued), "2026-12-31", "2026-12-31"},
		{"revoked first", fold(issued, revoked), "2027-01-01", "2026-03-05"},
		{"expired first", fold(issued, with(revoked, func(e *Revoked) { e.EffectiveFrom = "2027-02-01" })), "2027-03-01", "2026-12-31"},
		{"without end", fold(issued, second), "2029-01-01", ""},
		{"not opened", fold(sealed), "2029-01-01", ""},
	} {
		if got := tc.state.EndedBy(tc.day); got != tc.want {
			t.Errorf("E-1 %s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestTagText(t *testing.T) {
	tag := Tag{0, 1, 0xab, 15: 0xff}
	text, err := tag.MarshalText()
	if err != nil || string(text) != "0001ab000000000000000000000000ff" {
		t.Fatalf("%s %v", text, err)
	}
	var back Tag
	if err := back.UnmarshalText(text); err != nil || back != tag {
		t.Errorf("%v %v", back, err)
	}
	for _, bad := range []string{"", "00", "0001AB000000000000000000000000ff", "0001ab000000000000000000000000fg"} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// Whatever is asked, in whatever order, and however appends without an expected
// revision interleave: D-2 revoked is final and erased too, D-3 versions have no
// gap and one winner each, decisions repeat, states do not change behind one's back.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s, stale State // stale: what a slower writer without expected revision has folded
		var past []State
		var texts []string
		for i := range rapid.IntRange(1, 25).Draw(t, "steps") {
			by := rapid.SampledFrom([]domain.Actor{issuer, issuer, issuer, rival, reader}).Draw(t, "by")
			version := rapid.IntRange(0, 4).Draw(t, "version")
			at := noon.Add(time.Duration(i) * 24 * time.Hour)
			var cmd domaintest.Command[State, Event]
			insists := false
			switch rapid.IntRange(0, 6).Draw(t, "command") {
			case 0:
				cmd = with(issue, func(c *Issue) { c.By, c.At, c.Tag = by, at, Tag{byte(version)} })
			case 1, 2:
				cmd = with(update, func(c *Update) { c.By, c.At, c.Expected, c.Tag = by, at, ExpectVersion(version), Tag{byte(i)} })
			case 3:
				cmd, insists = with(revoke, func(c *Revoke) { c.By, c.At, c.Expected, c.EffectiveFrom = by, at, Expectation{Any: true}, "" }), true
				if rapid.Bool().Draw(t, "another day") {
					cmd = with(cmd.(Revoke), func(c *Revoke) {
						c.EffectiveFrom = domain.DateOf(at.AddDate(0, 0, rapid.IntRange(-3, 30).Draw(t, "days")))
					})
				}
			case 4:
				cmd, insists = with(suspend, func(c *Suspend) { c.By, c.At, c.Expected = by, at, Expectation{Any: true} }), true
			case 5:
				cmd = with(reinstate, func(c *Reinstate) { c.By, c.At, c.Expected = by, at, Expectation{Any: true} })
			case 6:
				if rapid.IntRange(0, 4).Draw(t, "rarely") > 0 {
					continue
				}
				cmd = with(destroy, func(c *DestroyContent) { c.At = at })
			}
			seen := s
			if insists && stale.Exists() {
				seen = stale
			}
			events, err := cmd.Decide(seen)
			if again, err2 := cmd.Decide(seen); !reflect.DeepEqual(events, again) || (err == nil) != (err2 == nil) {
				t.Fatal("same question, other answer")
			}
			past, texts = append(past, s), append(texts, fmt.Sprintf("%+v", s))
			before := s
			for _, e := range events {
				if u, ok := e.(Updated); ok && (u.Replaces != before.Current() || u.Version != u.Replaces+1 || version != u.Replaces) {
					t.Fatalf("D-3 version %d replaces %d, current is %d, expected %d", u.Version, u.Replaces, before.Current(), version)
				}
				s = Evolve(s, e)
			}
			switch was, is := before.Revocation, s.Revocation; {
			case was.IsZero() || was == is:
			case !is.EffectiveFrom.Before(was.EffectiveFrom):
				t.Fatal("D-2 a revocation changed and was not brought forward")
			case !insists && !domain.BelgianDate(at).Before(was.EffectiveFrom), seen.Revocation == was && !domain.BelgianDate(at).Before(was.EffectiveFrom):
				t.Fatal("D-2 a revocation that was effective changed")
			}
			if !before.Revocation.IsZero() && s.Current() != before.Current() {
				t.Fatal("D-2 a revoked document changed")
			}
			if before.Erased && !s.Erased {
				t.Fatal("came back from erasure")
			}
			if rapid.Bool().Draw(t, "catches up") {
				stale = s
			}
		}
		for i := range past {
			if fmt.Sprintf("%+v", past[i]) != texts[i] {
				t.Fatal("a state changed after it was handed out")
			}
		}
	})
}

// D-3: of two updates decided on one version, only one can be appended at its
// revision, and the other, decided again, is stale.
func TestOneOfTwoUpdatesWins(t *testing.T) {
	s := fold(issued)
	first, err := update.Decide(s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := update.Decide(Evolve(s, first[0])); err != ErrStale {
		t.Errorf("err = %v", err)
	}
}

// States are shared between goroutines: what follows one never changes it.
func TestImmutable(t *testing.T) {
	domaintest.Immutable(t, Evolve, func(t *rapid.T) Event {
		n := rapid.Byte().Draw(t, "tag")
		if rapid.IntRange(0, 9).Draw(t, "grow") > 0 {
			return Updated{Tag: Tag{n, rapid.Byte().Draw(t, "more")}, At: later}
		}
		return rapid.SampledFrom([]Event{
			issued, sealed, revoked, suspended, reinstated, destroyed,
			Suspended{At: noon.AddDate(0, 0, int(n))},
		}).Draw(t, "event")
	})
	often := fold(issued)
	for n := range 40 { // at some length the copy of a slice has room to spare
		one := Evolve(often, Suspended{At: noon.AddDate(1, 0, 0)})
		Evolve(often, Suspended{At: noon.AddDate(2, 0, 0)})
		if got := one.Suspensions[n].From; got != "2027-03-01" {
			t.Fatalf("suspension %d moved to %s", n, got)
		}
		often = Evolve(Evolve(often, suspended), reinstated)
	}
	folded := fold(sealed)
	folded.Open(map[int]Dates{1: {ValidFrom: "2026-01-01"}})
	if got := folded.StatusAt("2026-05-01"); got != UnknownDates {
		t.Errorf("opening changed the state it was asked of: %q", got)
	}
}
