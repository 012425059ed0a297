package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/eventstore"
	"coffre/eventstore/proof"
	"coffre/handlers/certificate"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

var anyAuditor = grantFor(domain.RoleAuditor, "", domain.CitizenID{})

// checkpoint returns a checkpoint that covers every event that is there when it is called.
func (r *rig) checkpoint(t *testing.T) (string, proof.Checkpoint) {
	t.Helper()
	note, err := r.Core.Proof.AwaitEnd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := proof.Open(note, r.logKeys(t)...)
	if err != nil {
		t.Fatal(err)
	}
	return string(note), c
}

// logKeys returns the public keys that sign the log, as the vault serves them.
func (r *rig) logKeys(t *testing.T) (public []ed25519.PublicKey) {
	t.Helper()
	var keys contract.SigningKeys
	if err := json.Unmarshal(r.get(t, anyAuditor, "/signingKeys").Body.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.Keys {
		if k.Purpose == contract.SigningPurposeLog {
			public = append(public, k.PublicKey)
		}
	}
	return public
}

// leaves returns the leaf hashes of the log as an auditor computes them from GET /events.
func (r *rig) leaves(t *testing.T) (all []proof.Hash) {
	t.Helper()
	for next := "/events?pageSize=1000"; next != ""; {
		var page contract.LogEvents
		if err := json.Unmarshal(r.get(t, anyAuditor, next).Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Items {
			record := eventstore.Record{
				ID: e.EventID, Stream: eventstore.Stream(e.Stream), Revision: eventstore.Revision(e.Revision),
				Type: fmt.Sprintf("%s/%d", e.Type, e.Form), Time: e.RecordedAt, Clear: e.Facts, Sealed: e.Sealed,
			}
			all = append(all, proof.LeafHashOf(&record, proof.Hash(e.MetadataHash)))
		}
		next = ""
		if page.NextCursor != "" {
			next = "/events?pageSize=1000&after=" + string(page.NextCursor)
		}
	}
	return all
}

// What an auditor computes from the events is what the checkpoint states, what the tiles hold
// and what the proofs lead to.
func TestTheLogIsProvedOverHTTP(t *testing.T) {
	r := newRig(t)
	for n := range 90 {
		if w := r.issue(t, uuid.New(), ssinA, fmt.Sprint("p", n)); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if n%3 == 0 {
			r.citizen(t, ssinA)
		}
	}
	_, former := r.checkpoint(t)
	r.issue(t, uuid.New(), ssinA, "more")
	r.leaves(t) // which is on record itself
	note, c := r.checkpoint(t)
	leaves := r.leaves(t)
	if int64(len(leaves)) < c.Size || c.Size <= former.Size {
		t.Fatalf("%d events, %d under the checkpoint, %d under the former one", len(leaves), c.Size, former.Size)
	}
	var f, before proof.Frontier
	for n, leaf := range leaves[:c.Size] {
		f.Append(leaf)
		if int64(n) < former.Size {
			before.Append(leaf)
		}
	}
	if f.Root() != c.Root || before.Root() != former.Root {
		t.Fatal("the events have another root than the checkpoint")
	}

	var in contract.InclusionProof
	r.decode(t, "/log/proof/inclusion?leaf=7&size="+fmt.Sprint(c.Size), &in)
	if err := proof.CheckInclusion(hashesOf(in.Hashes), in.Size, c.Root, 7, leaves[7]); err != nil || in.Size != c.Size {
		t.Error(err)
	}
	var on contract.ConsistencyProof
	r.decode(t, fmt.Sprintf("/log/proof/consistency?former=%d&size=%d", former.Size, c.Size), &on)
	if err := proof.CheckConsistency(hashesOf(on.Hashes), on.Size, c.Root, former.Size, former.Root); err != nil {
		t.Error(err)
	}

	edge := proof.Tile{Level: 0, First: 0, Width: int(min(c.Size, proof.TileWidth))}
	w := r.get(t, anyAuditor, "/log/tile/"+edge.Path())
	want := make([]byte, 0, len(leaves)*32)
	for _, leaf := range leaves[:edge.Width] {
		want = append(want, leaf[:]...)
	}
	if !bytes.Equal(w.Body.Bytes(), want) || w.Header().Get("Cache-Control") != "private, max-age=31536000, immutable" || w.Header().Get("Content-Type") != "application/octet-stream" {
		t.Errorf("tile: %d bytes, %v", w.Body.Len(), w.Header())
	}
	for path, code := range map[string]int{
		"/log/tile/0/x999/999": 404, "/log/tile/3/000.p/1": 404, "/log/tile/0/0": 404, "/log/tile/0/000.p/0": 404,
		"/log/proof/inclusion?leaf=" + fmt.Sprint(c.Size) + "&size=" + fmt.Sprint(c.Size): 400, "/log/proof/inclusion?leaf=1&size=99999": 400,
		"/log/proof/consistency?former=9&size=8": 400, "/log/proof/consistency?former=0": 400,
	} {
		if got := r.status(t, anyAuditor, path); got != code {
			t.Errorf("%s: %d, want %d", path, got, code)
		}
	}
	for _, role := range []domain.Role{domain.RoleOperator, domain.RolePrivacyOfficer, domain.RoleConsumer} {
		for _, path := range []string{"/log/checkpoint", "/log/tile/0/000.p/1", "/log/proof/inclusion?leaf=1"} {
			if got := r.status(t, grantFor(role, orgA, domain.CitizenID{}), path); got != http.StatusForbidden {
				t.Errorf("%s reads %s: %d", role, path, got)
			}
		}
	}
	if got := r.ask(httptest.NewRequest(http.MethodGet, contract.Base+"/log/tile/0/000.p/1", nil), "nobody").Code; got != http.StatusUnauthorized {
		t.Errorf("a stranger reads tiles: %d", got)
	}
	if served := r.get(t, anyAuditor, "/log/checkpoint").Body.String(); len(served) != len(note) {
		t.Errorf("served %q", served)
	}
}

func (r *rig) decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(r.get(t, anyAuditor, path).Body.Bytes(), into); err != nil {
		t.Fatal(err)
	}
}

func hashesOf(items contract.Hashes) (all []proof.Hash) {
	for _, h := range items {
		all = append(all, proof.Hash(h))
	}
	return all
}

// A certificate of erasure and an export name a checkpoint that covers what they state.
func TestCertificatesAndExportsNameTheirCheckpoint(t *testing.T) {
	r := newRig(t)
	r.issue(t, uuid.New(), ssinA, "gone")
	id := r.citizen(t, ssinA)
	officer := grantFor(domain.RolePrivacyOfficer, "", domain.CitizenID{})
	var export contract.Export
	r.post(t, officer, "/exports", `{"kind":"consentLog","format":"csv","reason":"audit"}`, &export)
	if err := poll(t.Context(), func() (bool, time.Time, error) {
		err := json.Unmarshal(r.get(t, officer, "/exports/"+export.ExportID.String()).Body.Bytes(), &export)
		return export.Status.State == contract.TaskStateDone, time.Time{}, err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := proof.Peek([]byte(export.Checkpoint)); err != nil {
		t.Errorf("the export names %q: %v", export.Checkpoint, err)
	}
	if m, err := certificate.ReadManifest([]byte(export.Manifest), r.logKeys(t)...); err != nil || m.Rows != *export.Rows || m.Sha256 != export.Sha256 || m.Export != export.ExportID || m.Checkpoint != export.Checkpoint {
		t.Errorf("its manifest: %+v, %v", m, err)
	}

	var e struct{ ErasureID string }
	r.post(t, grantFor(domain.RoleCitizen, "", id), "/erasures", `{"citizenId":"`+id.String()+`","scope":"citizen","reason":"citizenRequest"}`, &e)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.post(t, token.Grant{Role: domain.RolePrivacyOfficer, Subject: "second"}, "/erasures/"+e.ErasureID+"/approve", "", nil)
	if err := r.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.checkpoint(t)
	var signed contract.ErasureCertificate
	if err := json.Unmarshal(r.get(t, officer, "/erasures/"+e.ErasureID+"/certificate").Body.Bytes(), &signed); err != nil {
		t.Fatal(err)
	}
	c, err := proof.Peek([]byte(signed.Checkpoint))
	if err != nil || c.Size <= signed.Record.Leaf {
		t.Errorf("the certificate names %q: %v", signed.Checkpoint, err)
	}
}

// A receipt of a consent, in either standard, and an access that is asked for by itself prove to
// whoever holds a checkpoint that their record is in the log at its place.
func TestReceiptsProveTheirRecord(t *testing.T) {
	r := newRig(t)
	var doc, given struct{ DocumentID, ConsentID string }
	r.post(t, grantFor(domain.RoleIssuer, "0308356862", domain.CitizenID{}), "/documents",
		`{"ssin":"`+ssinA+`","documentType":"householdComposition","sourceReference":"receipt","validFrom":"2026-01-01","content":{"address":{"municipality":"Gent","postalCode":"9000"},"asOf":"2026-01-01","householdSize":4,"members":[{"relation":"child"}]}}`, &doc)
	me := grantFor(domain.RoleCitizen, "", r.citizen(t, ssinA))
	r.post(t, me, "/consents", `{"consumer":"0203430576","purpose":"familyDiscount","documentTypes":["householdComposition"],"shownText":{"text":"`+discountText()+`","language":"en","version":"1"}}`, &given)
	var read contract.AccessAnswer
	r.post(t, grantFor(domain.RoleConsumer, "0203430576", domain.CitizenID{}), "/documents/"+doc.DocumentID+"/access",
		`{"purpose":"familyDiscount","consentId":"`+given.ConsentID+`"}`, &read)
	r.checkpoint(t)
	if err := r.Runner.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	leaves := r.leaves(t)
	check := func(what string, in contract.RecordInLog, event string) {
		t.Helper()
		c, err := r.Core.Proof.Verify(t.Context(), []byte(in.Checkpoint))
		if err != nil || in.Leaf >= int64(len(leaves)) || in.Size != c.Size {
			t.Fatalf("%s: %+v, %v", what, in, err)
		}
		if proof.Hash(in.LeafHash) != leaves[in.Leaf] || r.typeOf(t, in.Leaf) != event {
			t.Errorf("%s: leaf %d is another record, a %s", what, in.Leaf, r.typeOf(t, in.Leaf))
		}
		if err := proof.CheckInclusion(hashesOf(in.Hashes), in.Size, c.Root, in.Leaf, proof.Hash(in.LeafHash)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, format := range []string{"kantara", "iso27560"} {
		var receipt struct{ InLog contract.RecordInLog }
		if err := json.Unmarshal(r.get(t, me, "/consents/"+given.ConsentID+"/receipt?format="+format).Body.Bytes(), &receipt); err != nil {
			t.Fatal(err)
		}
		check(format, receipt.InLog, "consent.granted")
	}
	r.checkReceipts(t, me, given.ConsentID)
	var log contract.AccessLog
	if err := json.Unmarshal(r.get(t, me, "/citizens/"+me.Citizen.String()+"/accessLog?accessId="+read.AccessID.String()).Body.Bytes(), &log); err != nil || len(log.Items) != 1 || len(log.InLog) != 1 {
		t.Fatal(log.Items, err)
	}
	check("access", log.InLog[0], "access.authorized")
	log = contract.AccessLog{}
	if err := json.Unmarshal(r.get(t, me, "/citizens/"+me.Citizen.String()+"/accessLog").Body.Bytes(), &log); err != nil || len(log.Items) == 0 || log.InLog != nil {
		t.Errorf("of a whole page: %+v, %v", log.Items, err)
	}
}

// checkReceipts verifies the receipts of a consent as their citizen keeps them: with the keys of
// the log, as files, by the command.
func (r *rig) checkReceipts(t *testing.T, me token.Grant, consent string) {
	t.Helper()
	s := &shell{t: t}
	keys := file(t, "keys.json", r.get(t, anyAuditor, "/signingKeys").Body.String())
	stranger := base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	for _, format := range []string{"kantara", "iso27560"} {
		w := r.get(t, me, "/consents/"+consent+"/receipt?lang=fr&format="+format)
		signed := w.Body.String()
		kept := file(t, format+".json", signed)
		got := s.must(0, "consents", "receipt", "verify", kept, "--key", keys, "--json").out
		if !strings.Contains(got, `"holds":true`) || !strings.Contains(got, `"standard":"`+format+`"`) || !strings.Contains(got, consent) {
			t.Errorf("%s: %s", format, got)
		}
		changed := file(t, format+"-changed.json", strings.Replace(signed, `"state":"granted"`, `"state":"expired"`, 1))
		s.must(exitTamper, "consents", "receipt", "verify", changed, "--key", keys)
		s.must(exitTamper, "consents", "receipt", "verify", kept, "--key", stranger)
		s.must(exitTamper, "consents", "receipt", "verify", keys, "--key", keys)
		s.must(exitUsage, "consents", "receipt", "verify", kept+".gone", "--key", keys)
		s.must(exitUsage, "consents", "receipt", "verify", kept)
	}
}

// typeOf returns the type of the event at a leaf.
func (r *rig) typeOf(t *testing.T, leaf int64) string {
	t.Helper()
	var page contract.LogEvents
	if err := json.Unmarshal(r.get(t, anyAuditor, "/events?pageSize=1&after="+contract.LeafToken(leaf-1)).Body.Bytes(), &page); err != nil || len(page.Items) != 1 {
		t.Fatal(page.Items, err)
	}
	return page.Items[0].Type
}

// Whoever asks for a checkpoint that covers what was recorded so far gets one, and never an
// older one in its place: where none is signed in time the answer says so.
func TestCheckpointCoversWhatWasRecorded(t *testing.T) {
	r := newRig(t)
	for n := range 3 {
		if w := r.issue(t, uuid.New(), ssinA, fmt.Sprint("covered ", n)); w.Code != http.StatusCreated {
			t.Fatal(w.Code)
		}
		head, err := r.Core.Log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w := r.get(t, anyAuditor, "/log/checkpoint?covering=now")
		c, err := proof.Peek(w.Body.Bytes())
		if err != nil || w.Code != http.StatusOK || c.Size < int64(head.Commit) {
			t.Fatalf("%d: %d events are covered of %d, %v", w.Code, c.Size, head.Commit, err)
		}
	}
	if w := r.ask(httptest.NewRequest(http.MethodGet, "/vault/v1/log/checkpoint?covering=then", nil), r.bearer(t, anyAuditor)); w.Code != http.StatusBadRequest {
		t.Error(w.Code)
	}
}
