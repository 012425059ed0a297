package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/handlers/contract"
	"coffre/handlers/work"
)

// table returns the lines of an export in CSV as members by the names of columns.
func (tv *testVault) table(t testing.TB, body contract.ExportCreate) (rows []map[string]string) {
	t.Helper()
	body.Format = contract.ExportFormatCsv
	id := tv.export(t, body)
	tv.waitIdle(t)
	lines, err := csv.NewReader(tv.fetch(t, id).Body).ReadAll()
	if err != nil || len(lines) == 0 {
		t.Fatalf("%v, %v", lines, err)
	}
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// busyVault is a vault in which two persons decided and were read, and a consumer was refused.
func busyVault(t testing.TB) (tv *testVault, ana, bo domain.CitizenID) {
	tv = newVault(t)
	document := tv.household(t, 1)
	tv.household(t, 2)
	ana, bo = tv.person(t, 1), tv.person(t, 2)
	given := tv.consentTo(t, ana, discount)
	if err := tv.withdraw(t, bo, tv.consentTo(t, bo, discount)); err != nil {
		t.Fatal(err)
	}
	tv.Clock.Advance(time.Minute)
	if _, err := tv.read(t, consumer(railways), document, uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &given}); err != nil {
		t.Fatal(err)
	}
	if err := tv.withdraw(t, ana, given); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.read(t, consumer(railways), document, uuid.New(), contract.AccessRequest{Purpose: "familyDiscount", ConsentID: &given}); err == nil {
		t.Fatal("read under a consent that was withdrawn")
	}
	tv.Clock.Advance(time.Minute)
	tv.waitIdle(t)
	return tv, ana, bo
}

// Each kind of export tells its rows, by references of the privacy officers alone: no id of a
// citizen, no number, no name, nothing of a content.
func TestExportsOfEveryKind(t *testing.T) {
	tv, ana, bo := busyVault(t)
	ref := func(of domain.CitizenID) string {
		all, err := tv.Keys.Refs(t.Context(), "", []domain.CitizenID{of})
		if err != nil {
			t.Fatal(err)
		}
		return all[of].String()
	}
	for kind, want := range map[contract.ExportKind][]map[string]string{
		contract.ExportKindConsentLog: {
			{"decision": "granted", "citizenRef": ref(ana)}, {"decision": "granted", "citizenRef": ref(bo)},
			{"decision": "withdrawn", "citizenRef": ref(bo), "actorRole": "citizen"}, {"decision": "withdrawn", "citizenRef": ref(ana), "consumer": string(railways), "documentTypes": "householdComposition"},
		},
		contract.ExportKindRegister: {
			{"consentState": "withdrawn", "citizenRef": ref(ana), "timesUsed": "1", "purpose": "familyDiscount"}, {"consentState": "withdrawn", "citizenRef": ref(bo), "timesUsed": ""},
		},
		contract.ExportKindAccessLog:  {{"accessKind": "document", "outcome": "disclosed", "citizenRef": ref(ana), "readerRole": "consumer", "consumer": string(railways), "documentType": "householdComposition", "attemptNumber": "1"}},
		contract.ExportKindAuditTrail: {{"accessKind": "document", "outcome": "disclosed", "citizenRef": ref(ana), "readerRole": "consumer", "consumer": string(railways), "callRecord": "recorded", "requestMethod": "POST", "requestUrl": "/vault/v1/documents/{documentId}/access", "responseCode": "200", "subjectTokenHashed": ""}},
		contract.ExportKindRefusals:   {{"reasonCode": "consentWithdrawn", "citizenRef": ref(ana), "consumer": string(railways), "attempts": "1"}},
	} {
		got := tv.table(t, contract.ExportCreate{Kind: kind})
		if len(got) != len(want) {
			t.Errorf("%s: %d rows: %v", kind, len(got), got)
			continue
		}
		for i, row := range want {
			for name, value := range row {
				if got[i][name] != value {
					t.Errorf("%s, row %d: %s is %q, not %q", kind, i, name, got[i][name], value)
				}
			}
		}
		for _, format := range []contract.ExportFormat{contract.ExportFormatCsv, contract.ExportFormatJsonl} {
			id := tv.export(t, contract.ExportCreate{Kind: kind, Format: format})
			tv.waitIdle(t)
			file := tv.fetch(t, id).Body.String()
			for _, never := range []string{ana.String(), bo.String(), ssin(1).Reveal(), ssin(2).Reveal(), "Canary"} {
				if strings.Contains(file, never) {
					t.Errorf("%s as %s tells %q", kind, format, never)
				}
			}
		}
	}
}

// A file in each format is served as what it is, and its hash is the one that is told.
func TestExportFormats(t *testing.T) {
	tv, _, _ := busyVault(t)
	for format, begins := range map[contract.ExportFormat]string{contract.ExportFormatCsv: "consentId,", contract.ExportFormatJsonl: `{"consentId":`, contract.ExportFormatXlsx: "PK", contract.ExportFormatParquet: "PAR1"} {
		id := tv.export(t, contract.ExportCreate{Kind: contract.ExportKindRegister, Format: format})
		tv.waitIdle(t)
		w := tv.fetch(t, id)
		sum := sha256.Sum256(w.Body.Bytes())
		done, err := tv.exported(t, id)
		if err != nil || !is(done.Rows, 2) || done.Sha256 != hex.EncodeToString(sum[:]) || !strings.HasPrefix(w.Body.String(), begins) {
			t.Errorf("%s: %+v, %v, %.20q", format, done, err, w.Body.String())
		}
		if got := w.Header(); got.Get("Content-Type") != mediaTypes[format] || got.Get("Content-Type") == "" || !strings.Contains(got.Get("Content-Disposition"), "register-of-consents-"+id.String()+"."+string(format)) {
			t.Errorf("%s: %v", format, got)
		}
	}
	for form, begins := range map[contract.ExportCreate]string{
		{Dialect: contract.ExportDialectSpreadsheet}: "\uFEFFdecidedAt;decision;", {Separator: contract.ExportSeparatorTab}: "decidedAt\tdecision\t",
	} {
		form.Format = contract.ExportFormatCsv
		id := tv.export(t, form)
		tv.waitIdle(t)
		if file := tv.fetch(t, id).Body.String(); !strings.HasPrefix(file, begins) || strings.Contains(file, string(railways)) != (form.Dialect == "") {
			t.Errorf("%+v: %.80q", form, file)
		}
	}
}

// An export is on record with whom it is about, up to when, and why, before there is a file.
func TestExportIsRecordedWithItsReason(t *testing.T) {
	tv, ana, _ := busyVault(t)
	at := tv.Clock.Now()
	tv.stop()
	tv.export(t, contract.ExportCreate{Kind: contract.ExportKindRefusals, Format: contract.ExportFormatCsv, SSIN: contract.SSIN(ssin(1)), Purpose: "familyDiscount", AsOf: &at, Reason: "audit"})
	tv.export(t, contract.ExportCreate{Kind: contract.ExportKindRegister, Format: contract.ExportFormatXlsx, SSIN: contract.SSIN(ssin(77)), Reason: "litigation"})
	made := recorded[audit.ExportCreated](t, tv)
	if len(made) != 2 {
		t.Fatalf("%+v", made)
	}
	if e := made[0]; e.Kind != "refusals" || e.Reason != "audit" || !e.OnePerson || e.Citizen != ana || e.Purpose != "familyDiscount" || e.AsOf == nil || !e.AsOf.Equal(at) {
		t.Errorf("%+v", e)
	}
	if e := made[1]; e.Kind != "register" || e.Format != "xlsx" || e.Reason != "litigation" || !e.OnePerson || !e.Citizen.IsZero() || e.AsOf != nil {
		t.Errorf("of somebody unknown: %+v", e)
	}
	tv.start()
	tv.waitIdle(t)
}

// An export is narrowed to one person, by number, by id or by the reference of another export;
// of somebody unknown, or of two who differ, it has no rows.
func TestExportOfOnePerson(t *testing.T) {
	tv, ana, bo := busyVault(t)
	all := tv.table(t, contract.ExportCreate{Kind: contract.ExportKindRegister})
	id, err := uuid.Parse(all[0]["citizenRef"])
	if err != nil {
		t.Fatal(err)
	}
	anasRef := domain.CitizenRef{UUID: id}
	for name, c := range map[string]struct {
		ask  contract.ExportCreate
		rows int
	}{
		"by number":               {contract.ExportCreate{SSIN: contract.SSIN(ssin(1))}, 1},
		"by id":                   {contract.ExportCreate{CitizenID: &ana}, 1},
		"by reference":            {contract.ExportCreate{CitizenRef: &anasRef}, 1},
		"by all of them":          {contract.ExportCreate{SSIN: contract.SSIN(ssin(1)), CitizenID: &ana, CitizenRef: &anasRef}, 1},
		"two persons":             {contract.ExportCreate{CitizenRef: &anasRef, CitizenID: &bo}, 0},
		"a number nobody has":     {contract.ExportCreate{SSIN: contract.SSIN(ssin(77))}, 0},
		"a reference nobody has":  {contract.ExportCreate{CitizenRef: &domain.CitizenRef{UUID: uuid.New()}}, 0},
		"an id nobody has":        {contract.ExportCreate{CitizenID: &domain.CitizenID{UUID: uuid.New()}}, 0},
		"another purpose":         {contract.ExportCreate{CitizenID: &ana, Purpose: "schoolAllowance"}, 0},
		"the consumer":            {contract.ExportCreate{CitizenID: &ana, Consumer: railways}, 1},
		"before anything":         {contract.ExportCreate{CitizenID: &ana, Until: &time.Time{}}, 0},
		"as of before everything": {contract.ExportCreate{CitizenID: &ana, AsOf: &time.Time{}}, 0},
	} {
		c.ask.Kind = contract.ExportKindRegister
		if got := tv.table(t, c.ask); len(got) != c.rows || c.rows == 1 && got[0]["citizenRef"] != anasRef.String() {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The same question as of the same moment gives the same bytes, whatever happened since; and no
// file tells more than was known then. A moment to come is refused.
func TestExportAsOfAMomentStaysTheSame(t *testing.T) {
	tv, ana, _ := busyVault(t)
	at := tv.Clock.Now()
	var asks []contract.ExportCreate
	for _, kind := range []contract.ExportKind{contract.ExportKindConsentLog, contract.ExportKindRegister, contract.ExportKindAccessLog, contract.ExportKindRefusals, contract.ExportKindAuditTrail} {
		for _, format := range []contract.ExportFormat{contract.ExportFormatCsv, contract.ExportFormatJsonl, contract.ExportFormatXlsx, contract.ExportFormatParquet} {
			asks = append(asks, contract.ExportCreate{Kind: kind, Format: format, AsOf: &at})
		}
	}
	var files [2][][]byte
	for i := range files {
		for _, ask := range asks {
			id := tv.export(t, ask)
			tv.waitIdle(t)
			files[i] = append(files[i], tv.fetch(t, id).Body.Bytes())
		}
		tv.Clock.Advance(work.ExportLifetime) // which frees their room
		tv.consentTo(t, ana, discount)
		tv.waitIdle(t)
	}
	for i, ask := range asks {
		if !bytes.Equal(files[0][i], files[1][i]) {
			t.Errorf("%s as %s differs", ask.Kind, ask.Format)
		}
	}
	if now := tv.table(t, contract.ExportCreate{Kind: contract.ExportKindRegister}); len(now) != 4 {
		t.Errorf("%d consents now", len(now))
	}
	later := tv.Clock.Now().Add(time.Second)
	body := contract.ExportCreate{Kind: contract.ExportKindRegister, Format: contract.ExportFormatCsv, AsOf: &later}
	if _, err := tv.CreateExport(tv.as(t, officer, "createExport", body), contract.CreateExportRequestObject{Params: contract.CreateExportParams{IdempotencyKey: uuid.New()}, Body: &body}); problemOf(err) != "asOfNotSettled" {
		t.Errorf("%v", err)
	}
}
