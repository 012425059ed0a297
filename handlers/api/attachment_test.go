package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/access"
	"coffre/domain/registry"
	"coffre/eventstore"
	"coffre/eventstore/blob"
	"coffre/eventstore/blob/blobtest"
	"coffre/eventstore/faulty"
	"coffre/eventstore/faulty/faultyblob"
	"coffre/eventstore/seal/keysdb"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/acting"
	"coffre/handlers/api/xmlfile"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// Files of each type, as small as they get, with a canary where one fits.
var (
	aPDF  = []byte("%PDF-1.7\n% canary of a file\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n")
	aPNG  = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00:~\x9bU\x00\x00\x00\x00IEND\xaeB`\x82")
	aJPEG = []byte("\xff\xd8\xff\xe0\x00\x10JFIF canary\xff\xd9")
	aXML  = []byte("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a x='1'>canary &amp; <b/></a>\n")
)

// largePDF returns a PDF of size bytes in which every offset can be told from its bytes.
func largePDF(size int) []byte {
	b := make([]byte, 0, size+16)
	for b = append(b, "%PDF-1.7\n"...); len(b) < size-6; {
		b = fmt.Appendf(b, "%d\n", len(b))
	}
	return append(b[:size-6], "\n%%EOF"...)
}

// tryUpload uploads a file through the use case.
func (tv *testVault) tryUpload(t testing.TB, by domain.Organisation, key uuid.UUID, kind string, content io.Reader, size int64) (contract.AttachmentReceipt, error) {
	t.Helper()
	ctx := tv.as(t, issuer(by), "uploadAttachment", nil)
	edge.CallFrom(ctx).Length = size
	answer, err := tv.UploadAttachment(ctx, contract.UploadAttachmentRequestObject{
		Params: contract.UploadAttachmentParams{IdempotencyKey: key}, ContentType: kind, Body: content,
	})
	if err != nil {
		return contract.AttachmentReceipt{}, err
	}
	return contract.AttachmentReceipt(answer.(contract.UploadAttachment201JSONResponse)), nil
}

func (tv *testVault) upload(t testing.TB, by domain.Organisation, content []byte) domain.AttachmentID {
	t.Helper()
	got, err := tv.tryUpload(t, by, uuid.New(), "application/pdf", bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	return got.AttachmentID
}

// diplomaIssue returns the request that issues a diploma with files to the n-th test person.
func diplomaIssue(n int, files ...domain.AttachmentID) contract.DocumentIssue {
	return contract.DocumentIssue{SSIN: ssin(n), DocumentType: "diploma", SourceReference: "paper", ValidFrom: "2026-01-01", Attachments: files,
		Content: contract.Content(`{"title":"Master of Arts","institution":"University","awardedOn":"2006-06-30","level":7}`)}
}

// issueFiled issues a document and returns its receipt; isNew is false for a repetition.
func (tv *testVault) issueFiled(t testing.TB, by domain.Organisation, key uuid.UUID, body contract.DocumentIssue) (got contract.DocumentReceipt, isNew bool, err error) {
	t.Helper()
	answer, err := tv.IssueDocument(tv.as(t, issuer(by), "issueDocument", body), contract.IssueDocumentRequestObject{Params: contract.IssueDocumentParams{IdempotencyKey: key}, Body: &body})
	switch a := answer.(type) {
	case contract.IssueDocument201JSONResponse:
		return a.Body, true, err
	case contract.IssueDocument200JSONResponse:
		return a.Body, false, err
	}
	return contract.DocumentReceipt{}, false, err
}

// sendAnswer sends the answer to a call, as the server does, and reports whether the answer
// was cut off.
func sendAnswer(ctx context.Context, send func(http.ResponseWriter) error) (w *httptest.ResponseRecorder, cut bool) {
	w = httptest.NewRecorder()
	defer func() { edge.CallFrom(ctx).Answered(!cut) }()
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			cut = true
		}
	}()
	if err := send(w); err != nil {
		panic(err)
	}
	return w, cut
}

// download gets a file as a holder or an issuer.
func (tv *testVault) download(t testing.TB, who edge.Caller, id domain.DocumentID, file domain.AttachmentID, ranges string) (*httptest.ResponseRecorder, bool, error) {
	t.Helper()
	ctx := tv.as(t, who, "getAttachment", nil)
	answer, err := tv.GetAttachment(ctx, contract.GetAttachmentRequestObject{DocumentID: id, AttachmentID: file, Params: contract.GetAttachmentParams{Range: ranges}})
	if err != nil {
		return nil, false, err
	}
	w, cut := sendAnswer(ctx, answer.VisitGetAttachmentResponse)
	return w, cut, nil
}

// accessFile gets a file as a consumer.
func (tv *testVault) accessFile(t testing.TB, who edge.Caller, id domain.DocumentID, file domain.AttachmentID, key uuid.UUID, ranges string, body contract.AttachmentAccessRequest) (*httptest.ResponseRecorder, error) {
	t.Helper()
	ctx := tv.as(t, who, "accessAttachment", body)
	edge.CallFrom(ctx).Target = contract.AttachmentHref(id, file)
	answer, err := tv.AccessAttachment(ctx, contract.AccessAttachmentRequestObject{
		DocumentID: id, AttachmentID: file, Params: contract.AccessAttachmentParams{IdempotencyKey: key, Range: ranges}, Body: &body,
	})
	if err != nil {
		return nil, err
	}
	w, cut := sendAnswer(ctx, answer.VisitAccessAttachmentResponse)
	if cut {
		t.Fatal("the answer was cut off")
	}
	return w, nil
}

// allowFiles lets consumers read the files of household compositions for an allowance.
func allowFiles(r *registry.Registry) {
	for i := range r.DocumentTypes {
		t := &r.DocumentTypes[i]
		for j := range t.Minimum {
			if t.Name == "householdComposition" && t.Minimum[j].Purpose == "schoolAllowance" {
				t.Minimum[j].Fields = append(t.Minimum[j].Fields, registry.Attachments)
			}
		}
	}
}

// householdWithFile issues a household composition with a file.
func (tv *testVault) householdWithFile(t testing.TB, n int, content []byte) (domain.DocumentID, domain.AttachmentID) {
	t.Helper()
	file := tv.upload(t, homeAffairs, content)
	return tv.issue(t, homeAffairs, contract.DocumentIssue{SSIN: ssin(n), DocumentType: "householdComposition", Content: contract.Content(household), Attachments: []domain.AttachmentID{file}}), file
}

// onlyFilesLeft fails unless the wanted files, all claimed, are the only ones of which
// anything is left.
func (tv *testVault) onlyFilesLeft(t testing.TB, want ...domain.AttachmentID) {
	t.Helper()
	stored := slices.Collect(maps.Keys(blobtest.Names(t, tv.Files)))
	if len(stored) != len(want) {
		t.Errorf("%d files are stored, want %d", len(stored), len(want))
	}
	for _, id := range want {
		if !slices.Contains(stored, id.UUID) {
			t.Errorf("file %s is not stored", id)
		}
	}
	for _, id := range stored {
		known, err := tv.Keys.Files().Knows(t.Context(), domain.AttachmentID{UUID: id})
		if err != nil || !known {
			t.Errorf("the key ring does not know a stored file (%v)", err)
		}
	}
	rows, err := keysdb.Do(t.Context(), tv.KeysDB, func(tx *keysdb.Tx) (n int, err error) {
		err = tx.Row(`SELECT count(*) FROM attachments`, nil, &n)
		return n, err
	})
	if err != nil || rows != len(want) {
		t.Errorf("the key ring knows %d files, want %d (%v)", rows, len(want), err)
	}
}

func TestDocumentWithFile(t *testing.T) {
	tv := newVault(t)
	content := largePDF(200_000)
	id, file := tv.householdWithFile(t, 1, content)
	me := citizenCaller(tv.person(t, 1))
	want := []contract.Attachment{{Href: contract.AttachmentHref(id, file), AttachmentID: file, MediaType: "application/pdf", Size: 200_000}}

	shows := func(who edge.Caller) {
		t.Helper()
		ctx := tv.as(t, who, "getDocument", nil)
		answer, err := tv.GetDocument(ctx, contract.GetDocumentRequestObject{DocumentID: id})
		if err != nil || !slices.Equal(answer.(contract.GetDocument200JSONResponse).Body.Attachments, want) {
			t.Fatalf("%v %+v", err, answer)
		}
		writeAnswer(t, ctx, answer.VisitGetDocumentResponse)
		versions, err := tv.GetDocumentVersions(tv.as(t, who, "getDocumentVersions", nil), contract.GetDocumentVersionsRequestObject{DocumentID: id})
		if err != nil || !slices.Equal(versions.(contract.GetDocumentVersions200JSONResponse).Items[0].Attachments, want) {
			t.Fatalf("%v %+v", err, versions)
		}
	}
	shows(me)
	shows(issuer(homeAffairs))
	page, _, err := tv.wallet(t, me, me.Citizen, contract.GetWalletParams{})
	if err != nil || len(page.Items) != 1 || !slices.Equal(page.Items[0].Attachments, want) {
		t.Errorf("the wallet shows %+v", page.Items)
	}

	tv.waitIdle(t)
	before := len(recorded[access.Authorized](t, tv))
	w, cut, err := tv.download(t, me, id, file, "")
	if err != nil || cut || w.Code != 200 || !bytes.Equal(w.Body.Bytes(), content) {
		t.Fatalf("%v, cut %t", err, cut)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/pdf", "Content-Length": "200000", "Accept-Ranges": "bytes",
		"Content-Disposition":     `attachment; filename="attachment-` + file.String() + `.pdf"`,
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if after := len(recorded[access.Authorized](t, tv)); after != before {
		t.Errorf("a holder's own reading was recorded")
	}
	if w, _, err = tv.download(t, issuer(homeAffairs), id, file, ""); err != nil || !bytes.Equal(w.Body.Bytes(), content) {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	all := recorded[access.Authorized](t, tv)
	last := all[len(all)-1]
	if len(all) != before+1 || last.Kind != access.OpenedAttachment || last.Attachment != file || last.Document != id || last.Consumer != homeAffairs {
		t.Errorf("the issuer's reading: %+v", last)
	}
	told := recorded[access.Disclosed](t, tv)
	if got := told[len(told)-1]; got.Access != last.Access || got.Outcome != access.Delivered {
		t.Errorf("%+v", got)
	}
	for name, who := range map[string]edge.Caller{"another citizen": citizenCaller(domain.CitizenID{UUID: uuid.New()}), "another issuer": issuer(flanders)} {
		if _, _, err := tv.download(t, who, id, file, ""); slugOf(err) != "resourceNotFound" {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, otherFile := tv.householdWithFile(t, 2, aPDF)
	for _, pair := range [][2]any{{id, otherFile}, {other, file}, {id, domain.AttachmentID{UUID: uuid.New()}}} {
		if _, _, err := tv.download(t, me, pair[0].(domain.DocumentID), pair[1].(domain.AttachmentID), ""); slugOf(err) != "resourceNotFound" {
			t.Errorf("%v", err)
		}
	}
}

func TestRepresentativeReadsFile(t *testing.T) {
	tv := newVault(t)
	file := tv.upload(t, socialSecurity, aPDF)
	id := tv.issue(t, socialSecurity, contract.DocumentIssue{SSIN: ssin(child(1)), DocumentType: "isiPlusCard", Content: contract.Content(childCard), ValidUntil: "2028-12-31",
		Parents: []contract.SSIN{ssin(2)}, Attachments: []domain.AttachmentID{file}})
	parent := tv.person(t, 2)
	w, _, err := tv.download(t, citizenCaller(parent), id, file, "bytes=0-3")
	if err != nil || w.Body.String() != "%PDF" {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	all := recorded[access.Authorized](t, tv)
	if last := all[len(all)-1]; last.Kind != access.OpenedAttachment || last.Attachment != file || last.Reader != parent {
		t.Errorf("%+v", last)
	}
}

func TestFileRanges(t *testing.T) {
	tv := newVault(t)
	content := largePDF(200_000)
	id, file := tv.householdWithFile(t, 1, content)
	me := citizenCaller(tv.person(t, 1))
	for _, tc := range []struct {
		header   string
		status   int
		from, to int
	}{
		{"", 200, 0, 200_000},
		{"bytes=0-0", 206, 0, 1},
		{"bytes=0-", 206, 0, 200_000},
		{"bytes=65536-", 206, 65536, 200_000},
		{"bytes=65535-131073", 206, 65535, 131074},
		{"bytes=199999-", 206, 199_999, 200_000},
		{"bytes=100-99999999", 206, 100, 200_000},
		{"bytes=-5", 206, 199_995, 200_000},
		{"bytes=-99999999", 206, 0, 200_000},
		{"bytes=200000-", 416, 0, 0},
		{"bytes=-0", 416, 0, 0},
		{"bytes=5-4", 200, 0, 200_000},
		{"bytes=0-1,5-6", 200, 0, 200_000},
		{"bytes=x-", 200, 0, 200_000},
		{"bytes=+1-2", 200, 0, 200_000},
		{"bytes=-", 200, 0, 200_000},
		{"bytes=99999999999999999999-", 200, 0, 200_000},
		{"lines=0-1", 200, 0, 200_000},
	} {
		w, cut, err := tv.download(t, me, id, file, tc.header)
		var said *edge.Refusal
		if tc.status == 416 {
			if !errors.As(err, &said) || said.Status != 416 || said.Size != 200_000 {
				t.Errorf("%s: %v", tc.header, err)
			}
			continue
		}
		if err != nil || cut || w.Code != tc.status || !bytes.Equal(w.Body.Bytes(), content[tc.from:tc.to]) {
			t.Errorf("%s: %v", tc.header, err)
			continue
		}
		want := ""
		if tc.status == 206 {
			want = fmt.Sprintf("bytes %d-%d/200000", tc.from, tc.to-1)
		}
		if got := w.Header().Get("Content-Range"); got != want {
			t.Errorf("%s: %q", tc.header, got)
		}
	}
}

func TestConsumerReadsFile(t *testing.T) {
	tv := newVault(t, allowFiles)
	content := largePDF(100_000)
	id, file := tv.householdWithFile(t, 1, content)
	who := tv.person(t, 1)
	byLaw := contract.AttachmentAccessRequest{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"}

	t.Run("A-2 the answer to an access lists files that the basis covers", func(t *testing.T) {
		got, err := tv.read(t, consumer(flanders), id, uuid.New(), allowance)
		if err != nil || len(got.Attachments) != 1 || got.Attachments[0].AttachmentID != file || strings.Contains(string(got.Content), "attachments") {
			t.Errorf("%v %+v", err, got)
		}
		narrow := allowance
		narrow.Fields = []contract.FieldName{"householdSize"}
		if got, err = tv.read(t, consumer(flanders), id, uuid.New(), narrow); err != nil || got.Attachments != nil {
			t.Errorf("%v %+v", err, got)
		}
	})
	t.Run("A-1 recorded, then sent", func(t *testing.T) {
		key := uuid.New()
		opened := 0
		tv.Files.SetRule(func(m faultyblob.Method, n int) faultyblob.Fault {
			if m == faultyblob.Open {
				opened++
				last := recorded[access.Authorized](t, tv)
				if a := last[len(last)-1]; a.Kind != access.OpenedAttachment || a.Attachment != file || a.Consumer != flanders {
					t.Errorf("a file is opened and its access is not on record: %+v", a)
				}
			}
			return faultyblob.Fault{}
		})
		defer tv.Files.SetRule(nil)
		w, err := tv.accessFile(t, consumer(flanders), id, file, key, "", byLaw)
		if err != nil || !bytes.Equal(w.Body.Bytes(), content) || opened != 1 {
			t.Fatal(err)
		}
		w, err = tv.accessFile(t, consumer(flanders), id, file, key, "bytes=70000-", byLaw)
		if err != nil || w.Code != 206 || !bytes.Equal(w.Body.Bytes(), content[70_000:]) {
			t.Fatal(err)
		}
		tv.waitIdle(t)
		all := recorded[access.Authorized](t, tv)
		if a, b := all[len(all)-2], all[len(all)-1]; a.Access != b.Access || a.Attempt != 1 || b.Attempt != 2 || !slices.Equal(b.Fields, []domain.Field{registry.Attachments}) {
			t.Errorf("%+v %+v", a, b)
		}
		tv.Clock.Advance(access.RepeatWithin + time.Second)
		if _, err := tv.accessFile(t, consumer(flanders), id, file, key, "", byLaw); slugOf(err) != "accessAlreadyUsed" {
			t.Errorf("A-8: %v", err)
		}
	})
	t.Run("A-1 what cannot be recorded is not opened", func(t *testing.T) {
		tv.waitIdle(t)
		tv.Files.SetRule(func(m faultyblob.Method, _ int) faultyblob.Fault {
			if m == faultyblob.Open {
				t.Error("a file was opened")
			}
			return faultyblob.Fault{}
		})
		tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
			if c.Method == faulty.Append {
				return faulty.Fault{Before: eventstore.ErrUnavailable}
			}
			return faulty.Fault{}
		})
		_, err := tv.accessFile(t, consumer(flanders), id, file, uuid.New(), "", byLaw)
		_, _, issuerErr := tv.download(t, issuer(homeAffairs), id, file, "")
		tv.Store.SetRule(nil)
		tv.Files.SetRule(nil)
		if slugOf(err) != "storeUnavailable" || slugOf(issuerErr) != "storeUnavailable" {
			t.Errorf("%v, %v", err, issuerErr)
		}
	})
	t.Run("A-1 withheld when it is revoked meanwhile", func(t *testing.T) {
		other, itsFile := tv.householdWithFile(t, 1, aPDF)
		tv.afterAppend(t, func() { tv.revokeDirectly(t, homeAffairs, other) })
		_, err := tv.accessFile(t, consumer(flanders), other, itsFile, uuid.New(), "", byLaw)
		tv.Store.SetRule(nil)
		if slugOf(err) != "documentRevoked" {
			t.Fatal(err)
		}
		tv.waitIdle(t)
		told := recorded[access.Disclosed](t, tv)
		if last := told[len(told)-1]; last.Outcome != access.Withheld || last.Reason != "documentRevoked" {
			t.Errorf("%+v", last)
		}
	})
	t.Run("C-4 under a consent, until it is withdrawn", func(t *testing.T) {
		given := tv.consentTo(t, who, contract.ConsentGrant{Limits: contract.ConsentLimits{Uses: 2}})
		under := contract.AttachmentAccessRequest{Purpose: "schoolAllowance", ConsentID: &given}
		key := uuid.New()
		for range 2 {
			if w, err := tv.accessFile(t, consumer(flanders), id, file, key, "bytes=0-3", under); err != nil || w.Body.String() != "%PDF" {
				t.Fatal(err)
			}
		}
		if _, err := tv.accessFile(t, consumer(flanders), id, file, uuid.New(), "", under); err != nil {
			t.Errorf("the second use: %v", err)
		}
		if _, err := tv.accessFile(t, consumer(flanders), id, file, uuid.New(), "", under); slugOf(err) != "consentExhausted" {
			t.Errorf("the third use: %v", err)
		}
		if err := tv.withdraw(t, who, given); err != nil {
			t.Fatal(err)
		}
		if _, err := tv.accessFile(t, consumer(flanders), id, file, key, "", under); slugOf(err) != "consentWithdrawn" {
			t.Errorf("%v", err)
		}
		narrow := tv.consentTo(t, who, contract.ConsentGrant{Fields: []contract.FieldName{"householdSize"}})
		if _, err := tv.accessFile(t, consumer(flanders), id, file, uuid.New(), "", contract.AttachmentAccessRequest{Purpose: "schoolAllowance", ConsentID: &narrow}); slugOf(err) != "fieldsNotCovered" {
			t.Errorf("A-2: %v", err)
		}
	})
	t.Run("A-6 without a basis", func(t *testing.T) {
		for name, tc := range map[string]struct {
			who  edge.Caller
			id   domain.DocumentID
			file domain.AttachmentID
		}{
			"another consumer":    {consumer(railways), id, file},
			"no such document":    {consumer(railways), domain.DocumentID{UUID: uuid.New()}, file},
			"no such file":        {consumer(railways), id, domain.AttachmentID{UUID: uuid.New()}},
			"nothing that exists": {consumer(railways), domain.DocumentID{UUID: uuid.New()}, domain.AttachmentID{UUID: uuid.New()}},
		} {
			if _, err := tv.accessFile(t, tc.who, tc.id, tc.file, uuid.New(), "", byLaw); slugOf(err) != "noBasis" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := tv.accessFile(t, consumer(flanders), id, domain.AttachmentID{UUID: uuid.New()}, uuid.New(), "", byLaw); slugOf(err) != "attachmentNotFound" {
			t.Errorf("with a basis, no such file: %v", err)
		}
	})
}

func TestFileNotCoveredByPurpose(t *testing.T) {
	tv := newVault(t)
	id, file := tv.householdWithFile(t, 1, aPDF)
	_, err := tv.accessFile(t, consumer(flanders), id, file, uuid.New(), "", contract.AttachmentAccessRequest{Purpose: "schoolAllowance", Procedure: "schoolEnrolmentAllowance", LegalBasis: "publicTask", Deliberation: "EX-26/010"})
	if slugOf(err) != "fieldsNotCovered" {
		t.Errorf("A-2: %v", err)
	}
}

// A file that is incomplete or not of the stated type is refused, and nothing of it is left.
func TestFileOfAnotherTypeIsRefused(t *testing.T) {
	tv := newVault(t)
	deep := strings.Repeat("<a>", xmlfile.MaxDepth+1) + strings.Repeat("</a>", xmlfile.MaxDepth+1)
	for _, tc := range []struct {
		name, kind, content string
		fits                bool
	}{
		{"PDF", "application/pdf", string(aPDF), true},
		{"PNG", "image/png", string(aPNG), true},
		{"JPEG", "image/jpeg", string(aJPEG), true},
		{"XML", "application/xml", string(aXML), true},
		{"XML that says its charset", "application/xml; charset=UTF-8", string(aXML), true},
		{"XML with a byte order mark", "application/xml", "\ufeff<a/>", true},
		{"XML as deep as it may be", "application/xml", strings.Repeat("<a>", xmlfile.MaxDepth) + strings.Repeat("</a>", xmlfile.MaxDepth), true},

		{"PDF said to be PNG", "image/png", string(aPDF), false},
		{"PNG said to be JPEG", "image/jpeg", string(aPNG), false},
		{"JPEG said to be PDF", "application/pdf", string(aJPEG), false},
		{"PDF said to be XML", "application/xml", string(aPDF), false},
		{"PDF behind something", "application/pdf", "GIF89a" + string(aPDF), false},
		{"PDF behind HTML", "application/pdf", "<script>alert(1)</script>" + string(aPDF), false},
		{"PDF cut short", "application/pdf", "%PDF-1.7\n1 0 obj", false},
		{"PDF with much behind it", "application/pdf", string(aPDF) + strings.Repeat("x", 2000), false},
		{"half a signature", "application/pdf", "%PD", false},
		{"PNG with a ZIP behind it", "image/png", string(aPNG) + "PK\x03\x04", false},
		{"PNG cut short", "image/png", string(aPNG[:30]), false},
		{"JPEG with a ZIP behind it", "image/jpeg", string(aJPEG) + "PK\x03\x04", false},
		{"HTML said to be XML", "application/xml", "<html><script>alert(1)</script></html>", false},
		{"HTML in capitals", "application/xml", "<HTML/>", false},
		{"XHTML", "application/xml", `<html xmlns="http://www.w3.org/1999/xhtml"/>`, false},
		{"XHTML within", "application/xml", `<a><s:script xmlns:s="http://www.w3.org/1999/xhtml">1</s:script></a>`, false},
		{"SVG", "application/xml", `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`, false},
		{"XXE", "application/xml", `<?xml version="1.0"?><!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>`, false},
		{"an external DTD", "application/xml", `<!DOCTYPE a SYSTEM "http://192.0.2.1/a.dtd"><a/>`, false},
		{"entities of entities", "application/xml", `<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>`, false},
		{"an unknown entity", "application/xml", `<a>&x;</a>`, false},
		{"a style sheet", "application/xml", `<?xml-stylesheet href="http://192.0.2.1/a.xsl" type="text/xsl"?><a/>`, false},
		{"not closed", "application/xml", `<a><b></a>`, false},
		{"two elements", "application/xml", `<a/><b/>`, false},
		{"text around it", "application/xml", `<a/>x`, false},
		{"no element", "application/xml", `<?xml version="1.0"?>`, false},
		{"Latin-1", "application/xml", `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, false},
		{"UTF-16", "application/xml", "\xff\xfe<\x00a\x00/\x00>\x00", false},
		{"invalid UTF-8", "application/xml", "<a>\xff</a>", false},
		{"a NUL", "application/xml", "<a>\x00</a>", false},
		{"too deep", "application/xml", deep, false},
		{"an endless name", "application/xml", "<" + strings.Repeat("a", xmlfile.MaxPiece+1) + "/>", false},
		{"an endless text", "application/xml", "<a>" + strings.Repeat("a", xmlfile.MaxPiece+1) + "</a>", false},
		{"F9 an attribute twice", "application/xml", `<a b="1" b="2"/>`, false},
		{"F9 attributes without a blank", "application/xml", `<a b="1"c="2"/>`, false},
		{"F9 a prefix that stands for nothing", "application/xml", `<q:a/>`, false},
		{"F9 a declaration within", "application/xml", `<a><?xml version="1.0"?></a>`, false},
		{"F9 character data behind it", "application/xml", `<a/><![CDATA[]]>`, false},
		{"zeros", "application/pdf", strings.Repeat("\x00", 100), false},
	} {
		for how, reader := range map[string]func(io.Reader) io.Reader{"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader} {
			if how == "byte by byte" && len(tc.content) > 10_000 {
				continue
			}
			_, err := tv.tryUpload(t, homeAffairs, uuid.New(), tc.kind, reader(strings.NewReader(tc.content)), int64(len(tc.content)))
			switch {
			case tc.fits && err != nil:
				t.Errorf("%s, %s: %v", tc.name, how, err)
			case !tc.fits && slugOf(err) != "fileContent":
				t.Errorf("%s, %s: %v", tc.name, how, err)
			}
		}
	}
	if n := len(blobtest.Names(t, tv.Files)); n != 14 { // those that fit, both ways
		t.Errorf("%d files are stored", n)
	}
	doomed, err := tv.Keys.Files().Doomed(t.Context(), 100)
	if err != nil || len(doomed) != 0 {
		t.Errorf("%d files are still to be removed, %v", len(doomed), err)
	}
}

// A file that comes as application/octet-stream, as generated clients send files, gets the
// type that its first bytes tell, and is held to it.
func TestF19FilesComeWithoutTheirType(t *testing.T) {
	tv := newVault(t)
	upload := func(content string) (contract.AttachmentReceipt, error) {
		return tv.tryUpload(t, homeAffairs, uuid.New(), "application/octet-stream", iotest.OneByteReader(strings.NewReader(content)), int64(len(content)))
	}
	for content, want := range map[string]string{
		string(aPDF): "application/pdf", string(aPNG): "image/png", string(aJPEG): "image/jpeg", string(aXML): "application/xml",
		"\ufeff<a/>": "application/xml", " <a/>": "application/xml",
	} {
		if got, err := upload(content); err != nil || got.MediaType != want || got.Size != int64(len(content)) {
			t.Errorf("%q is %+v, %v; want %s", content, got, err, want)
		}
	}
	for _, content := range []string{"%PD", "%PDF-1.7\n1 0 obj", "\x89PNG", string(aPNG) + "x", "GIF89a" + string(aPDF), "PK\x03\x04", "<html/>", "x"} {
		if _, err := upload(content); slugOf(err) != "fileContent" {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// A body that ends too early, or a caller who disconnects, leaves nothing of the file.
func TestUploadCutOff(t *testing.T) {
	tv := newVault(t)
	for name, content := range map[string]io.Reader{
		"broken":  io.MultiReader(bytes.NewReader(aPDF[:20]), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"shorter": bytes.NewReader(aPDF[:len(aPDF)-1]),
		"longer":  bytes.NewReader(append(bytes.Clone(aPDF), '\n')),
		"XML":     io.MultiReader(strings.NewReader("<a>"), iotest.ErrReader(io.ErrUnexpectedEOF)),
	} {
		kind := "application/pdf"
		if name == "XML" {
			kind = "application/xml"
		}
		if _, err := tv.tryUpload(t, homeAffairs, uuid.New(), kind, content, int64(len(aPDF))); slugOf(err) != "badRequest" {
			t.Errorf("%s: %v", name, err)
		}
	}
	tv.onlyFilesLeft(t)
}

// The same key and file answer the same id; another file under that key is refused.
func TestUploadIsIdempotent(t *testing.T) {
	tv := newVault(t)
	key := uuid.New()
	try := func(by domain.Organisation, content []byte) (contract.AttachmentReceipt, error) {
		return tv.tryUpload(t, by, key, "application/pdf", bytes.NewReader(content), int64(len(content)))
	}
	first, err := try(homeAffairs, aPDF)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := try(homeAffairs, aPDF); err != nil || again.AttachmentID != first.AttachmentID || !again.KeptUntil.Equal(first.KeptUntil) || !first.KeptUntil.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("%v %+v", err, again)
	}
	if _, err := try(homeAffairs, largePDF(500)); slugOf(err) != "idempotencyKeyReused" {
		t.Errorf("%v", err)
	}
	tv.onlyFilesLeft(t, first.AttachmentID)
	if other, err := try(flanders, aPDF); err != nil || other.AttachmentID == first.AttachmentID {
		t.Errorf("the key of another organisation: %v", err)
	}
}

// Files that no document names are listed: an issuer's own to the issuer, all to an operator,
// each until it is named or removed.
func TestUnclaimedFilesAreListed(t *testing.T) {
	tv := newVault(t)
	first, others, second := tv.upload(t, homeAffairs, aPDF), tv.upload(t, flanders, aPDF), tv.upload(t, homeAffairs, largePDF(500))
	list := func(who edge.Caller) (ids []domain.AttachmentID) {
		t.Helper()
		var after contract.Cursor
		for {
			answer, err := tv.ListAttachments(tv.as(t, who, "listAttachments", nil), contract.ListAttachmentsRequestObject{Params: contract.ListAttachmentsParams{After: after, PageSize: 1}})
			if err != nil {
				t.Fatal(err)
			}
			page := answer.(contract.ListAttachments200JSONResponse)
			for _, one := range page.Items {
				if one.MediaType != "application/pdf" || one.Size == 0 || !one.KeptUntil.Equal(one.UploadedAt.Add(work.UnclaimedFileLifetime)) {
					t.Errorf("%+v", one)
				}
				ids = append(ids, one.AttachmentID)
			}
			if after = page.NextCursor; after == "" {
				return ids
			}
		}
	}
	expect := func(when string, who edge.Caller, want ...domain.AttachmentID) {
		t.Helper()
		if got := list(who); !slices.Equal(got, want) {
			t.Errorf("%s, %s sees %v, want %v", when, who.Role, got, want)
		}
	}
	expect("uploaded", issuer(homeAffairs), first, second)
	expect("uploaded", issuer(flanders), others)
	expect("uploaded", operator, first, others, second)
	for who, n := range map[domain.Organisation]int{homeAffairs: 1, flanders: 0} { // another's is as one that is not there
		answer, err := tv.ListAttachments(tv.as(t, issuer(who), "listAttachments", nil), contract.ListAttachmentsRequestObject{Params: contract.ListAttachmentsParams{AttachmentID: &second}})
		if err != nil || len(answer.(contract.ListAttachments200JSONResponse).Items) != n {
			t.Errorf("one file, asked for by %s: %+v (%v)", who, answer, err)
		}
	}
	if _, _, err := tv.issueFiled(t, homeAffairs, uuid.New(), contract.DocumentIssue{SSIN: ssin(1), DocumentType: "householdComposition", Content: contract.Content(household),
		SourceReference: "named", ValidFrom: "2026-01-01", Attachments: []domain.AttachmentID{first}}); err != nil {
		t.Fatal(err)
	}
	expect("named", issuer(homeAffairs), second)
	tv.Clock.Advance(work.UnclaimedFileLifetime + time.Minute)
	tv.restart()
	tv.waitIdle(t)
	expect("too old", operator)
	if _, err := tv.ListAttachments(tv.as(t, operator, "listAttachments", nil), contract.ListAttachmentsRequestObject{Params: contract.ListAttachmentsParams{After: "x"}}); problemOf(err) != "badRequest" && slugOf(err) != "unknownPosition" {
		t.Errorf("a cursor that is none: %v", err)
	}
}

func TestUnclaimedFileIsRemoved(t *testing.T) {
	tv := newVault(t)
	forgotten := tv.upload(t, homeAffairs, aPDF)
	id, kept := tv.householdWithFile(t, 1, aPDF)
	tv.Clock.Advance(work.UnclaimedFileLifetime - time.Minute)
	young := tv.upload(t, homeAffairs, aPDF)
	tv.restart()
	tv.waitIdle(t)
	tv.onlyFilesLeft(t, forgotten, kept, young)
	tv.Clock.Advance(2 * time.Minute)
	tv.restart()
	tv.waitIdle(t)
	tv.onlyFilesLeft(t, kept, young)
	if _, _, err := tv.issueFiled(t, homeAffairs, uuid.New(), contract.DocumentIssue{SSIN: ssin(2), DocumentType: "householdComposition", Content: contract.Content(household),
		SourceReference: "late", ValidFrom: "2026-01-01", Attachments: []domain.AttachmentID{forgotten}}); slugOf(err) != "unknownAttachment" {
		t.Errorf("%v", err)
	}
	if _, err := tv.Keys.Resolve(t.Context(), ssin(2).SSIN); err == nil {
		t.Error("a refusal registered somebody")
	}
	if w, _, err := tv.download(t, citizenCaller(tv.person(t, 1)), id, kept, ""); err != nil || !bytes.Equal(w.Body.Bytes(), aPDF) {
		t.Error(err)
	}
}

func TestFilesOfOtherIssuersAreRefused(t *testing.T) {
	tv := newVault(t)
	theirs := tv.upload(t, homeAffairs, aPDF)
	_, taken := tv.householdWithFile(t, 1, aPDF)
	mine := tv.upload(t, flanders, aPDF)
	if _, isNew, err := tv.issueFiled(t, flanders, uuid.New(), diplomaIssue(2, mine)); err != nil || !isNew {
		t.Fatal(err)
	}
	other := diplomaIssue(3, mine)
	other.SourceReference = "another"
	twice := diplomaIssue(4, tv.upload(t, flanders, aPDF))
	twice.Attachments = append(twice.Attachments, twice.Attachments[0])
	for name, tc := range map[string]struct {
		body contract.DocumentIssue
		want string
	}{
		"another organisation's":      {diplomaIssue(4, theirs), "unknownAttachment"},
		"another's, of a document":    {diplomaIssue(4, taken), "unknownAttachment"},
		"of another document of ours": {other, "unknownAttachment"},
		"nobody's":                    {diplomaIssue(4, domain.AttachmentID{UUID: uuid.New()}), "unknownAttachment"},
		"one twice":                   {twice, "invalidAttachments"},
	} {
		if _, _, err := tv.issueFiled(t, flanders, uuid.New(), tc.body); slugOf(err) != tc.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tv.Keys.Resolve(t.Context(), ssin(4).SSIN); err == nil {
		t.Error("a refusal registered somebody")
	}
}

// D-4: files are part of the content. The same files under other ids change nothing; another
// file is another content.
func TestFilesArePartOfContent(t *testing.T) {
	tv := newVault(t)
	first := tv.upload(t, flanders, aPDF)
	receipt, isNew, err := tv.issueFiled(t, flanders, uuid.New(), diplomaIssue(1, first))
	if err != nil || !isNew {
		t.Fatal(err)
	}
	for name, files := range map[string][]domain.AttachmentID{"the same": {first}, "uploaded again": {tv.upload(t, flanders, aPDF)}} {
		if again, isNew, err := tv.issueFiled(t, flanders, uuid.New(), diplomaIssue(1, files...)); err != nil || isNew || again.Version != 1 {
			t.Errorf("%s: %v, new %t", name, err, isNew)
		}
	}
	second := tv.upload(t, flanders, largePDF(900))
	for name, files := range map[string][]domain.AttachmentID{"none": nil, "another": {second}, "one more": {first, second}} {
		if _, _, err := tv.issueFiled(t, flanders, uuid.New(), diplomaIssue(1, files...)); slugOf(err) != "documentAlreadyIssued" {
			t.Errorf("%s: %v", name, err)
		}
	}
	update := func(tag contract.EntityTag, files ...domain.AttachmentID) error {
		body := contract.DocumentUpdate{EffectiveFrom: "2026-04-01", Content: diplomaIssue(1).Content, Attachments: files}
		_, err := tv.UpdateDocument(tv.as(t, issuer(flanders), "updateDocument", body), contract.UpdateDocumentRequestObject{
			DocumentID: receipt.DocumentID, Params: contract.UpdateDocumentParams{IdempotencyKey: uuid.New(), IfMatch: tag}, Body: &body})
		return err
	}
	if err := update(`"1"`, second, first); err != nil { // one that it has, one that is new
		t.Fatal(err)
	}
	if err := update(`"2"`, second); err != nil {
		t.Fatal(err)
	}
	tv.waitForReadModels(t)
	answer, err := tv.GetDocumentVersions(tv.as(t, issuer(flanders), "getDocumentVersions", nil), contract.GetDocumentVersionsRequestObject{DocumentID: receipt.DocumentID})
	if err != nil {
		t.Fatal(err)
	}
	var counts []int
	for _, item := range answer.(contract.GetDocumentVersions200JSONResponse).Items {
		counts = append(counts, len(item.Attachments))
	}
	if !slices.Equal(counts, []int{1, 2, 1}) {
		t.Errorf("%v", counts)
	}
	for file, content := range map[domain.AttachmentID][]byte{first: aPDF, second: largePDF(900)} {
		if w, _, err := tv.download(t, issuer(flanders), receipt.DocumentID, file, ""); err != nil || !bytes.Equal(w.Body.Bytes(), content) {
			t.Errorf("%v", err)
		}
	}
	tv.Clock.Advance(work.UnclaimedFileLifetime + time.Hour)
	tv.restart()
	tv.waitIdle(t)
	tv.restart() // what was reserved in vain is released first, and then too old
	tv.waitIdle(t)
	tv.onlyFilesLeft(t, first, second)
}

// No other copy of a file's key is left once the document's event is durable.
func TestFileKeyHasOneCopy(t *testing.T) {
	tv := newVault(t)
	id, file := tv.householdWithFile(t, 1, aPDF)
	files, err := tv.Keys.Files().Reserve(t.Context(), homeAffairs, acting.DocumentStream(id), []domain.AttachmentID{file})
	if err != nil || files[0].Key != nil {
		t.Errorf("the key ring has a key still (%v)", err)
	}
	// Nothing of the file in the log but its id.
	for _, r := range tv.log(t) {
		if bytes.Contains(r.Clear, []byte("application/pdf")) || bytes.Contains(r.Clear, []byte("digest")) || bytes.Contains(r.Clear, []byte(`"key"`)) && r.Stream.Category() == "document" {
			t.Errorf("%s tells in clear what is sealed", r.Type)
		}
	}
}

// A process that ends, or a part that fails, at any step of a file into a document leaves
// either the file in the document or nothing of it.
func TestFileCrashPoints(t *testing.T) {
	broken := errors.New("broken")
	type point struct {
		name string
		set  func(tv *testVault)
	}
	var points []point
	for _, fault := range []faultyblob.Fault{{Before: fmt.Errorf("%w: %w", blob.ErrUnavailable, broken)}, {After: fmt.Errorf("%w: %w", blob.ErrUnavailable, broken)}} {
		points = append(points, point{fmt.Sprintf("put, before %v", fault.Before != nil), func(tv *testVault) { tv.Files.SetRule(faultyblob.At(faultyblob.Put, 1, fault)) }})
	}
	for n := 1; n <= 3; n++ {
		for _, fault := range []faulty.Fault{{Before: eventstore.ErrUnavailable}, {After: eventstore.ErrOutcomeUnknown}} {
			points = append(points, point{fmt.Sprintf("append %d, before %v", n, fault.Before != nil), func(tv *testVault) { tv.Store.SetRule(faulty.At(faulty.Append, n, fault)) }})
		}
	}
	for _, p := range points {
		t.Run(p.name, func(t *testing.T) {
			tv := newVault(t)
			tv.waitIdle(t)
			key, issueKey := uuid.New(), uuid.New()
			p.set(tv)
			try := func() (contract.DocumentReceipt, domain.AttachmentID, error) {
				got, err := tv.tryUpload(t, flanders, key, "application/pdf", bytes.NewReader(aPDF), int64(len(aPDF)))
				if err != nil {
					return contract.DocumentReceipt{}, domain.AttachmentID{}, err
				}
				receipt, _, err := tv.issueFiled(t, flanders, issueKey, diplomaIssue(1, got.AttachmentID))
				return receipt, got.AttachmentID, err
			}
			receipt, file, err := try()
			tv.Store.SetRule(nil)
			tv.Files.SetRule(nil)
			tv.Clock.Advance(2 * time.Minute)
			tv.restart() // as if the process had ended there
			tv.waitIdle(t)
			if err != nil { // the caller repeats it
				if receipt, file, err = try(); err != nil {
					t.Fatal(err)
				}
			}
			tv.Clock.Advance(work.UnclaimedFileLifetime + time.Hour)
			tv.restart()
			tv.waitIdle(t)
			tv.onlyFilesLeft(t, file)
			if w, _, err := tv.download(t, issuer(flanders), receipt.DocumentID, file, ""); err != nil || !bytes.Equal(w.Body.Bytes(), aPDF) {
				t.Fatal(err)
			}
		})
	}
}

// A process that ends between the event and the claim is settled at the next start:
// the second copy of the key goes then.
func TestInterruptedClaimIsSettled(t *testing.T) {
	tv := newVault(t)
	file := tv.upload(t, flanders, aPDF)
	lost := tv.upload(t, flanders, aPDF)
	stream := acting.DocumentStream(domain.DocumentID{UUID: uuid.New()})
	was := tv.fileKey(t, file)
	receipt, _, err := tv.issueFiled(t, flanders, uuid.New(), diplomaIssue(1, file))
	if err != nil {
		t.Fatal(err)
	}
	// As the ring was before the claim, and one whose event never came.
	if tv.fileKey(t, file) != nil {
		t.Error("a claimed file has a key here")
	}
	tv.putFileKey(t, file, was)
	if _, err := tv.Keys.Files().Reserve(t.Context(), flanders, stream, []domain.AttachmentID{lost}); err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(2*edge.MaxTime + time.Second)
	tv.restart()
	tv.waitIdle(t)
	held, err := tv.Keys.Files().Reserved(t.Context(), tv.Clock.Now().Add(time.Hour), 10)
	if err != nil || len(held) != 0 {
		t.Errorf("%d reservations are left, %v", len(held), err)
	}
	files, err := tv.Keys.Files().Reserve(t.Context(), flanders, acting.DocumentStream(receipt.DocumentID), []domain.AttachmentID{file})
	if err != nil || files[0].Key != nil {
		t.Errorf("the file was not claimed (%v)", err)
	}
	if _, err := tv.Keys.Files().Reserve(t.Context(), flanders, acting.DocumentStream(domain.DocumentID{UUID: uuid.New()}), []domain.AttachmentID{lost}); err != nil {
		t.Errorf("the other was not released: %v", err)
	}
}

// E-3: with the key of the content, or of the citizen, a file is unreadable at once;
// then its bytes go, and a process that ends in between is made up for.
func TestFilesAreErased(t *testing.T) {
	for name, whole := range map[string]bool{"one document": false, "a citizen": true} {
		t.Run(name, func(t *testing.T) {
			tv := newVault(t)
			id, file := tv.householdWithFile(t, 1, aPDF)
			other, otherFile := tv.householdWithFile(t, 2, aPDF)
			me := tv.person(t, 1)
			tv.Files.SetRule(func(m faultyblob.Method, _ int) faultyblob.Fault {
				if m == faultyblob.Delete {
					return faultyblob.Fault{Before: blob.ErrUnavailable}
				}
				return faultyblob.Fault{}
			})
			one := id
			if whole {
				one = domain.DocumentID{}
			}
			erasure := tv.erase(t, me, one)
			for tv.erasureState(t, erasure) != contract.ErasureStateKeysDestroyed { // the removal of the file is tried again for ever
				tv.waitForReadModels(t)
			}
			// The bytes are there still; nobody opens them.
			if _, there := blobtest.Names(t, tv.Files)[file.UUID]; !there {
				t.Error("the file is gone, so this proves nothing")
			}
			for _, who := range []edge.Caller{citizenCaller(me), issuer(homeAffairs)} {
				if _, _, err := tv.download(t, who, id, file, ""); err == nil {
					t.Errorf("%s reads it still", who.Role)
				}
			}
			answer, err := tv.GetErasureCertificate(tv.as(t, officer, "getErasureCertificate", nil), contract.GetErasureCertificateRequestObject{ErasureID: erasure})
			if err != nil || !is(answer.(contract.GetErasureCertificate200JSONResponse).UnreadableAttachments, 1) {
				t.Errorf("the certificate does not say so: %v", err)
			}
			tv.Files.SetRule(nil)
			tv.restart()
			tv.waitIdle(t)
			tv.onlyFilesLeft(t, otherFile)
			if w, _, err := tv.download(t, citizenCaller(tv.person(t, 2)), other, otherFile, ""); err != nil || w.Code != 200 {
				t.Error(err)
			}
		})
	}
}

// A file that was tampered with gives no byte of the package; an answer that has
// begun is cut off, and what came of it is on record.
func TestTamperedFileIsNotSent(t *testing.T) {
	content := largePDF(200_000)
	for _, tc := range []struct {
		name  string
		at    int64 // of the flipped byte, in the sealed file
		sends int   // bytes before the answer is cut off; 0: none begins
	}{{"the first package", 100, 0}, {"the third", 2*(64<<10+32) + 100, 2 * 64 << 10}} {
		t.Run(tc.name, func(t *testing.T) {
			tv := newVault(t)
			id, file := tv.householdWithFile(t, 1, content)
			var sealed []byte
			r, err := tv.Files.Open(t.Context(), file.UUID, 0)
			if err == nil {
				sealed, err = io.ReadAll(r)
			}
			if err != nil {
				t.Fatal(err)
			}
			sealed[tc.at] ^= 1
			if err := errors.Join(r.Close(), tv.Files.Delete(t.Context(), file.UUID), tv.Files.Put(t.Context(), file.UUID, bytes.NewReader(sealed), int64(len(sealed)))); err != nil {
				t.Fatal(err)
			}
			w, cut, err := tv.download(t, issuer(homeAffairs), id, file, "")
			if tc.sends == 0 {
				if !errors.Is(err, eventstore.ErrTampered) {
					t.Errorf("%v", err)
				}
			} else if err != nil || !cut || w.Body.Len() != tc.sends || !bytes.HasPrefix(content, w.Body.Bytes()) {
				t.Errorf("%v, cut %t", err, cut)
			}
			tv.waitIdle(t)
			told := recorded[access.Disclosed](t, tv)
			if len(told) != 1 || told[0].Outcome != access.Failed {
				t.Errorf("%+v", told)
			}
		})
	}
}

func TestFileStoreUnavailable(t *testing.T) {
	tv := newVault(t)
	id, file := tv.householdWithFile(t, 1, aPDF)
	tv.Files.SetRule(func(faultyblob.Method, int) faultyblob.Fault { return faultyblob.Fault{Before: blob.ErrUnavailable} })
	if _, _, err := tv.download(t, citizenCaller(tv.person(t, 1)), id, file, ""); slugOf(err) != "filesUnavailable" {
		t.Errorf("%v", err)
	}
	if _, err := tv.tryUpload(t, flanders, uuid.New(), "application/pdf", bytes.NewReader(aPDF), int64(len(aPDF))); slugOf(err) != "filesUnavailable" {
		t.Errorf("%v", err)
	}
	if _, _, err := tv.issueFiled(t, flanders, uuid.New(), diplomaIssue(1)); err != nil {
		t.Errorf("a document without files needs none: %v", err)
	}
}

// discardedAnswer is a ResponseWriter that counts bytes and holds none.
type discardedAnswer struct {
	header http.Header
	n      int64
}

func (w *discardedAnswer) Header() http.Header         { return w.header }
func (w *discardedAnswer) WriteHeader(int)             {}
func (w *discardedAnswer) Write(p []byte) (int, error) { w.n += int64(len(p)); return len(p), nil }

// zeroPDF returns a reader of a PDF of any size that is never in memory as a whole.
func zeroPDF(size int64) io.Reader {
	return io.MultiReader(strings.NewReader("%PDF-"), io.LimitReader(zeros{}, size-10), strings.NewReader("%%EOF"))
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A file of 10 MB is never in memory as a whole, neither coming in nor going out.
func TestFilesAreStreamed(t *testing.T) {
	tv := newVault(t)
	tv.waitIdle(t) // the memory of all goroutines is counted
	const size = 10 << 20
	var before, between, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := tv.tryUpload(t, flanders, uuid.New(), "application/pdf", zeroPDF(size), size)
	runtime.ReadMemStats(&between)
	if err != nil || got.Size != size {
		t.Fatal(err)
	}
	receipt, _, err := tv.issueFiled(t, flanders, uuid.New(), diplomaIssue(1, got.AttachmentID))
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	held := int64(after.TotalAlloc)
	ctx := tv.as(t, issuer(flanders), "getAttachment", nil)
	answer, err := tv.GetAttachment(ctx, contract.GetAttachmentRequestObject{DocumentID: receipt.DocumentID, AttachmentID: got.AttachmentID})
	if err != nil {
		t.Fatal(err)
	}
	w := &discardedAnswer{header: http.Header{}}
	if err := answer.VisitGetAttachmentResponse(w); err != nil || w.n != size {
		t.Fatal(err, w.n)
	}
	edge.CallFrom(ctx).Answered(true)
	runtime.ReadMemStats(&after)
	if in, out := between.TotalAlloc-before.TotalAlloc, int64(after.TotalAlloc)-held; in > 2<<20 || out > 2<<20 {
		t.Errorf("10 MiB took %d bytes of memory on the way in and %d on the way out", in, out)
	}
}

// fileKey returns the sealed key of a file in the key ring; putFileKey puts it back where it
// was while the file was reserved.
func (tv *testVault) fileKey(t testing.TB, id domain.AttachmentID) []byte {
	t.Helper()
	wrapped, err := keysdb.Do(t.Context(), tv.KeysDB, func(tx *keysdb.Tx) (b []byte, err error) {
		err = tx.Row(`SELECT wrapped FROM attachments WHERE attachment = ?`, []any{id.UUID[:]}, &b)
		return b, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return wrapped
}

func (tv *testVault) putFileKey(t testing.TB, id domain.AttachmentID, wrapped []byte) {
	t.Helper()
	n, err := keysdb.Do(t.Context(), tv.KeysDB, func(tx *keysdb.Tx) (int64, error) {
		return tx.Update(ringtest.Table(t, tv.KeysDB, "attachments"), `attachment = ? AND state = 4`, []any{id.UUID[:]}, func(e *keysdb.Entry) {
			e.Set("state", 3)
			e.Set("wrapped", wrapped)
		})
	})
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
}
