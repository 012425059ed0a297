package api

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/registry"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

// versionedCard is a child's card that tells in its content and in its file which
// version they are of.
type versionedCard struct {
	tv        *testVault
	id        domain.DocumentID
	child     int
	files     []domain.AttachmentID // of version n at index n-1
	effective []domain.Date
}

func cardOfVersion(n int) contract.Content {
	return contract.Content(strings.Replace(childCard, "Canary Child", fmt.Sprintf("Canary v%d", n), 1))
}

func fileOfVersion(n int) []byte { return fmt.Appendf(slices.Clone(aPDF), "%% v%d\n%%%%EOF\n", n) }

func issueVersionedCard(t testing.TB, tv *testVault, child, parent int, effects ...domain.Date) *versionedCard {
	t.Helper()
	c := &versionedCard{tv: tv, child: child, files: []domain.AttachmentID{tv.upload(t, socialSecurity, fileOfVersion(1))}, effective: []domain.Date{"2026-01-01"}}
	c.id = tv.issue(t, socialSecurity, contract.DocumentIssue{
		SSIN: ssin(child), DocumentType: "isiPlusCard", Content: cardOfVersion(1), ValidUntil: "2028-12-31", Parents: []contract.SSIN{ssin(parent)}, Attachments: c.files[:1],
	})
	for _, from := range effects {
		c.update(t, from)
	}
	tv.waitForReadModels(t)
	return c
}

func (c *versionedCard) update(t testing.TB, from domain.Date) {
	t.Helper()
	n := len(c.files) + 1
	c.files, c.effective = append(c.files, c.tv.upload(t, socialSecurity, fileOfVersion(n))), append(c.effective, from)
	body := contract.DocumentUpdate{EffectiveFrom: from, Content: cardOfVersion(n), Attachments: c.files[n-1:]}
	if _, err := c.tv.UpdateDocument(c.tv.as(t, issuer(socialSecurity), "updateDocument", body), contract.UpdateDocumentRequestObject{
		DocumentID: c.id, Params: contract.UpdateDocumentParams{IdempotencyKey: uuid.New(), IfMatch: edge.ETag(n - 1)}, Body: &body,
	}); err != nil {
		t.Fatal(err)
	}
}

// inForce is the version that applies on the day of the test, told apart from the domain.
func (c *versionedCard) inForce() int {
	for n := len(c.effective); ; n-- {
		if c.effective[n-1] <= domain.BelgianDate(noon) {
			return n
		}
	}
}

// the version that an access names is the one whose bytes leave, whenever the
// versions take effect, for every way of reading, and also when another version is
// recorded between the access and the opening.
func TestTheRecordNamesTheVersionDisclosed(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		for i := range r.DocumentTypes {
			for j := range r.DocumentTypes[i].Minimum {
				if m := &r.DocumentTypes[i].Minimum[j]; r.DocumentTypes[i].Name == "isiPlusCard" && m.Purpose == "schoolAllowance" {
					m.Fields = append(m.Fields, registry.Attachments)
				}
			}
		}
	})
	days := []domain.Date{"2026-02-01", "2026-06-15", "2027-01-01"} // before noon's, noon's, later
	histories := [][]domain.Date{nil}
	for _, first := range days {
		histories = append(histories, []domain.Date{first})
		for _, second := range days {
			histories = append(histories, []domain.Date{first, second})
		}
	}
	const parent = 1
	for i, effects := range histories {
		card := issueVersionedCard(t, tv, child(2+i), parent, effects...)
		readers := map[string]edge.Caller{"issuer": issuer(socialSecurity), "representative": citizenCaller(tv.person(t, parent)), "subject": citizenCaller(tv.person(t, card.child))}
		meanwhiles := []domain.Date{""}
		if len(effects) == 1 {
			meanwhiles = append(meanwhiles, "2026-02-01", "2027-01-01")
		}
		for _, meanwhile := range meanwhiles {
			name := fmt.Sprintf("%v then %s", effects, meanwhile)
			for who, caller := range readers {
				card.readAs(t, name+": "+who, caller, who != "subject", meanwhile)
			}
			card.readAsConsumer(t, name, meanwhile)
		}
	}
}

// during makes one reading with an update in its midst and returns what it recorded.
func (c *versionedCard) during(t testing.TB, meanwhile domain.Date, read func()) []access.Authorized {
	t.Helper()
	before, err := c.tv.Log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var updating sync.Mutex // what looks again at a file under way may be the one that updates
	if meanwhile != "" {
		c.tv.afterAppend(t, func() {
			updating.Lock()
			defer updating.Unlock()
			c.tv.Store.SetRule(nil)
			c.update(t, meanwhile)
		})
	}
	read()
	c.tv.Store.SetRule(nil)
	updating.Lock()
	defer updating.Unlock()
	return recordedSince[access.Authorized](t, c.tv, before)
}

// one fails unless exactly one access is on record, and returns the version it names.
func one(t testing.TB, what string, all []access.Authorized) int {
	t.Helper()
	if len(all) != 1 {
		t.Fatalf("%s: %d accesses on record", what, len(all))
	}
	return all[0].Version
}

func (c *versionedCard) readAs(t *testing.T, name string, who edge.Caller, onRecord bool, meanwhile domain.Date) {
	t.Helper()
	if !onRecord {
		meanwhile = "" // nothing is appended in whose midst it could be
	}
	var shown contract.VaultDocument
	all := c.during(t, meanwhile, func() {
		var err error
		if shown, err = c.tv.show(t, who, c.id); err != nil {
			t.Fatal(name, err)
		}
	})
	if string(shown.Content) != string(cardOfVersion(shown.Version)) || shown.Attachments[0].AttachmentID != c.files[shown.Version-1] {
		t.Errorf("%s: version %d is shown as %s", name, shown.Version, shown.Content)
	}
	if onRecord {
		if n := one(t, name, all); n != shown.Version {
			t.Errorf("%s: the record names version %d, version %d was disclosed", name, n, shown.Version)
		}
	}
	for _, asked := range []int{0, 1, len(c.files), len(c.files) + 1} {
		var items []contract.DocumentVersionItem
		all := c.during(t, meanwhile, func() {
			answer, err := c.tv.GetDocumentVersions(c.tv.as(t, who, "getDocumentVersions", nil), contract.GetDocumentVersionsRequestObject{DocumentID: c.id, Params: contract.GetDocumentVersionsParams{Version: contract.DocumentVersion(asked)}})
			if err != nil {
				t.Fatal(name, err)
			}
			items = answer.(contract.GetDocumentVersions200JSONResponse).Items
		})
		last := 0
		for _, item := range items {
			if last = item.Version; string(item.Content) != string(cardOfVersion(last)) {
				t.Errorf("%s: version %d is shown as %s", name, last, item.Content)
			}
		}
		if asked == 0 && len(items) != last || asked != 0 && (len(items) > 1 || len(items) == 1 && last != asked) {
			t.Errorf("%s: %d of versions %d shown, up to %d", name, len(items), asked, last)
		}
		if onRecord {
			if n := one(t, name, all); n != last {
				t.Errorf("%s: of versions %d the record names %d, up to %d were disclosed", name, asked, n, last)
			}
		}
	}
	for i, file := range c.files[:min(3, len(c.files))] {
		var body string
		all := c.during(t, meanwhile, func() {
			w, _, err := c.tv.download(t, who, c.id, file, "")
			if err != nil {
				t.Fatal(name, err)
			}
			body = w.Body.String()
		})
		if body != string(fileOfVersion(i+1)) {
			t.Errorf("%s: the file of version %d is %s", name, i+1, body)
		}
		if onRecord {
			if n := one(t, name, all); n != i+1 {
				t.Errorf("%s: the record names version %d for the file of version %d", name, n, i+1)
			}
		}
	}
	if onRecord && who.Role == domain.RoleCitizen {
		all := c.during(t, "", func() {
			ctx := c.tv.as(t, who, "getWallet", nil)
			answer, err := c.tv.GetWallet(ctx, contract.GetWalletRequestObject{CitizenID: c.tv.person(t, c.child)})
			if err != nil {
				t.Fatal(name, err)
			}
			writeAnswer(t, ctx, answer.VisitGetWalletResponse)
		})
		if n := one(t, name, all); n != 0 || all[0].Kind != access.OpenedWallet {
			t.Errorf("%s: a whole wallet is recorded as version %d", name, n)
		}
	}
}

func (c *versionedCard) readAsConsumer(t *testing.T, name string, meanwhile domain.Date) {
	t.Helper()
	name += ": consumer"
	covered := func(n int) string { return fmt.Sprintf(`{"birthDate":"2016-04-05","name":"Canary v%d"}`, n) }
	check := func(what string, want, answered int, content contract.Content, all []access.Authorized) {
		t.Helper()
		if n := one(t, name, all); n != want || answered != want || string(content) != covered(want) {
			t.Errorf("%s by %s: version %d on record, %d answered as %s; %d applies", name, what, n, answered, content, want)
		}
	}
	body := allowance
	body.Procedure = "schoolEnrolmentAllowance"
	var got contract.AccessAnswer
	want := c.inForce()
	all := c.during(t, meanwhile, func() {
		var err error
		if got, err = c.tv.read(t, consumer(flanders), c.id, uuid.New(), body); err != nil {
			t.Fatal(name, err)
		}
	})
	check("access", want, got.Version, got.Content, all)

	c.tv.waitForReadModels(t)
	var found contract.EvidenceAnswer
	want = c.inForce()
	all = c.during(t, meanwhile, func() {
		var err error
		if found, err = c.tv.evidenceOf(t, flanders, contract.EvidenceQuery{
			SSIN: ssin(c.child), Procedure: "schoolEnrolmentAllowance", Purpose: "schoolAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010",
			Needs: []contract.EvidenceNeed{{DocumentType: "isiPlusCard"}},
		}); err != nil {
			t.Fatal(name, err)
		}
	})
	check("evidence", want, found.Items[0].Version, found.Items[0].Content, all)

	for _, i := range slices.Compact([]int{0, c.inForce() - 1, len(c.files) - 1}) {
		byLaw := contract.AttachmentAccessRequest{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"}
		inForce := c.inForce()
		var body, refused string
		all := c.during(t, meanwhile, func() {
			w, err := c.tv.accessFile(t, consumer(flanders), c.id, c.files[i], uuid.New(), "", byLaw)
			if refused = slugOf(err); err == nil {
				body = w.Body.String()
			}
		})
		switch {
		case i+1 != inForce:
			if refused != "attachmentNotFound" || len(all) != 0 {
				t.Errorf("%s: the file of version %d while %d applies: %q, %d on record", name, i+1, inForce, refused, len(all))
			}
		case refused != "" || body != string(fileOfVersion(i+1)) || one(t, name, all) != i+1:
			t.Errorf("%s: the file of version %d, which applies: %q, %+v on record", name, i+1, refused, all)
		}
	}
}
