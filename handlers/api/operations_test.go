package api

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/registry"
	"coffre/eventstore/seal/ringtest"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
)

var operator = officeCaller(domain.RoleOperator)

func (tv *testVault) keys(t testing.TB) contract.KeyState {
	t.Helper()
	answer, err := tv.GetKeys(tv.as(t, operator, "getKeys", nil), contract.GetKeysRequestObject{})
	if err != nil {
		t.Fatal(err)
	}
	return contract.KeyState(answer.(contract.GetKeys200JSONResponse))
}

func TestKeysRotate(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	before := tv.keys(t)
	if len(before.KeyEncryptionKeys) != 1 || before.DataKeys != 1 || before.ContentKeys != 1 || before.Rotation.State != "" || before.Provider == "" || before.KeyEncryptionKeys[0].CreatedAt.IsZero() {
		t.Fatalf("%+v", before)
	}
	tv.stop() // so that it is under way
	request := contract.RotateKeysRequestObject{Params: contract.RotateKeysParams{IdempotencyKey: uuid.New()}}
	for range 2 { // the second time by its key
		answer, err := tv.RotateKeys(tv.as(t, operator, "rotateKeys", nil), request)
		if err != nil {
			t.Fatal(err)
		}
		if s := answer.(contract.RotateKeys202JSONResponse).Body; s.Rotation.State != contract.TaskStateProcessing || !s.KeyEncryptionKeys[1].Current || s.KeyEncryptionKeys[1].Version != 2 {
			t.Fatalf("%+v", s)
		}
	}
	if _, err := tv.RotateKeys(tv.as(t, operator, "rotateKeys", nil), contract.RotateKeysRequestObject{Params: contract.RotateKeysParams{IdempotencyKey: uuid.New()}}); problemOf(err) != "rotationUnderWay" {
		t.Errorf("%v", err)
	}
	tv.restart() // a new process goes on with it
	tv.waitIdle(t)
	after := tv.keys(t)
	if after.Rotation.State != contract.TaskStateDone || after.RotationDone == nil || *after.RotationDone == 0 || len(after.KeyEncryptionKeys) != 2 || after.KeyEncryptionKeys[0].Wraps != 0 || after.KeyEncryptionKeys[1].RewrappedAt.IsZero() {
		t.Errorf("%+v", after)
	}

	retire := func() error {
		_, err := tv.RetireKeys(tv.as(t, operator, "retireKeys", nil), contract.RetireKeysRequestObject{Params: contract.RetireKeysParams{IdempotencyKey: uuid.New()}})
		return err
	}
	trim := func() error {
		_, err := tv.TrimKeys(tv.as(t, operator, "trimKeys", nil), contract.TrimKeysRequestObject{Params: contract.TrimKeysParams{IdempotencyKey: uuid.New()}})
		return err
	}
	if after.NextStep != contract.RotationStepBackUp || problemOf(retire()) != "keyBackupMissing" || problemOf(trim()) != "keysNotRetired" {
		t.Errorf("without a backup: next is %q", after.NextStep)
	}
	ringtest.NoteBackup(t, tv.Keys.Ledger(), time.Now().Add(time.Hour), 2)
	if s := tv.keys(t); s.NextStep != contract.RotationStepRetire || s.LastBackup.OldestVersion != 2 || problemOf(trim()) != "keysNotRetired" {
		t.Errorf("%+v", s)
	}
	for range 2 {
		if err := retire(); err != nil {
			t.Fatal(err)
		}
	}
	if s := tv.keys(t); s.NextStep != contract.RotationStepTrim || s.KeyEncryptionKeys[0].RetiredAt.IsZero() || !s.KeyEncryptionKeys[0].TrimmedAt.IsZero() {
		t.Errorf("%+v", s)
	}
	for range 2 {
		if err := trim(); err != nil {
			t.Fatal(err)
		}
	}
	if s := tv.keys(t); s.NextStep != contract.RotationStepRotate || s.KeyEncryptionKeys[0].TrimmedAt.IsZero() || !s.KeyEncryptionKeys[1].RetiredAt.IsZero() {
		t.Errorf("%+v", s)
	}
	tv.Keys.Forget(ana)
	for _, r := range tv.sealedRecordsOf(t, ana) {
		if err := tv.open(t, r); err != nil {
			t.Error(err)
		}
	}
}

// Where the database's own tools make the backups, an operator's word ends a rotation,
// and no word of theirs says which version a backup needs.
func TestReportBackupElsewhere(t *testing.T) {
	tv := newVault(t)
	var said bytes.Buffer
	tv.restart(func(s *settings) { s.Slog = slog.New(slog.NewTextHandler(&said, nil)) })
	tv.household(t, 1)
	report := func(key uuid.UUID, taken time.Time, sum string) (contract.BackupNote, error) {
		body := contract.BackupElsewhere{TakenAt: taken, Sha256: sum}
		answer, err := tv.ReportBackupElsewhere(tv.as(t, operator, "reportBackupElsewhere", body),
			contract.ReportBackupElsewhereRequestObject{Params: contract.ReportBackupElsewhereParams{IdempotencyKey: key}, Body: &body})
		if err != nil {
			return contract.BackupNote{}, err
		}
		return contract.BackupNote(answer.(contract.ReportBackupElsewhere200JSONResponse)), nil
	}
	retire := func() error {
		_, err := tv.RetireKeys(tv.as(t, operator, "retireKeys", nil), contract.RetireKeysRequestObject{Params: contract.RetireKeysParams{IdempotencyKey: uuid.New()}})
		return err
	}
	sum := func(digit string) string { return strings.Repeat(digit, 64) }

	if _, err := tv.RotateKeys(tv.as(t, operator, "rotateKeys", nil), contract.RotateKeysRequestObject{Params: contract.RotateKeysParams{IdempotencyKey: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	rewrapped := tv.keys(t).KeyEncryptionKeys[1].RewrappedAt
	tv.Clock.Advance(time.Hour)
	for name, bad := range map[string]struct {
		taken time.Time
		sum   string
	}{
		"the future": {tv.Clock.Now().Add(time.Microsecond), sum("a")}, "no time": {time.Time{}, sum("a")},
		"no digest": {rewrapped, sum("0")}, "a short digest": {rewrapped, "aa"},
	} {
		if _, err := report(uuid.New(), bad.taken, bad.sum); problemOf(err) != "badRequest" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, err := report(uuid.New(), rewrapped.Add(-time.Microsecond), sum("b")); err != nil || n.OldestKeyVersion != 1 {
		t.Errorf("too early: %+v, %v", n, err)
	}
	if problemOf(retire()) != "keyBackupMissing" {
		t.Error("a backup from before the rewrap counts")
	}
	if _, err := report(uuid.New(), rewrapped, sum("b")); problemOf(err) != "backupReportedOtherwise" {
		t.Errorf("another moment for one backup: %v", err)
	}
	key := uuid.New()
	for range 2 { // the second time by its key
		if n, err := report(key, rewrapped, sum("c")); err != nil || n.OldestKeyVersion != 2 || !n.TakenAt.Equal(rewrapped) || !n.VerifiedAt.Equal(tv.Clock.Now()) || n.Sha256 != sum("c") {
			t.Fatalf("%+v, %v", n, err)
		}
	}
	if err := retire(); err != nil {
		t.Fatal(err)
	}
	if _, err := tv.TrimKeys(tv.as(t, operator, "trimKeys", nil), contract.TrimKeysRequestObject{Params: contract.TrimKeysParams{IdempotencyKey: uuid.New()}}); err != nil {
		t.Fatal(err)
	}
	if s := tv.keys(t); s.NextStep != contract.RotationStepRotate || s.KeyEncryptionKeys[0].TrimmedAt.IsZero() {
		t.Errorf("%+v", s)
	}
	if log := said.String(); strings.Count(log, "reported as good") != 2 || !strings.Contains(log, sum("c")) || strings.Contains(log, operator.Subject) {
		t.Error(log)
	}

	tv.restart(func(s *settings) { s.Backups = noBackups{} })
	if _, err := report(uuid.New(), rewrapped, sum("d")); problemOf(err) != "backupsTakenHere" {
		t.Errorf("where the vault takes them itself: %v", err)
	}
}

// noBackups is a Backups that a test sets and never calls.
type noBackups struct{ Backups }

func TestPepperIsReplaced(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	tv.stop()
	request := contract.RotatePepperRequestObject{Params: contract.RotatePepperParams{IdempotencyKey: uuid.New()}}
	for range 2 { // the second time by its key
		answer, err := tv.RotatePepper(tv.as(t, operator, "rotatePepper", nil), request)
		if err != nil {
			t.Fatal(err)
		}
		if p := answer.(contract.RotatePepper202JSONResponse).Body.Pepper; p.Phase != contract.PepperPhaseDoubled || p.Version != 1 || !is(p.ToIndex, 1) || p.Rotation.State != contract.TaskStateProcessing {
			t.Fatalf("%+v", p)
		}
	}
	tv.restart() // a new process goes on with it
	tv.waitIdle(t)
	if p := tv.keys(t).Pepper; p.Phase != contract.PepperPhaseSettled || p.Version != 2 || p.Rotation.State != contract.TaskStateDone {
		t.Errorf("%+v", p)
	}
	if got := tv.person(t, 1); got != ana {
		t.Error("she is not found any more")
	}
}

func TestProjectionsAreRebuilt(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	list := func(name string) []contract.Projection {
		t.Helper()
		answer, err := tv.ListProjections(tv.as(t, operator, "listProjections", nil), contract.ListProjectionsRequestObject{Params: contract.ListProjectionsParams{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.ListProjections200JSONResponse).Items
	}
	if all := list(""); len(all) != 7 || all[0].State != contract.ProjectionStateLive || all[0].Applied != 3 || all[0].Behind != 0 || all[0].Position == "" {
		t.Fatalf("%+v", all)
	}
	rebuild := func(name string) error {
		_, err := tv.RebuildProjection(tv.as(t, operator, "rebuildProjection", nil), contract.RebuildProjectionRequestObject{ProjectionName: name, Params: contract.RebuildProjectionParams{IdempotencyKey: uuid.New()}})
		return err
	}
	if err := rebuild("wallet"); err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	// The fourth event is the record of the rebuild itself.
	if one := list("wallet"); len(one) != 1 || one[0].State != contract.ProjectionStateLive || one[0].Applied != 4 {
		t.Errorf("%+v", one)
	}
	if problemOf(rebuild("nothing")) != "resourceNotFound" || len(list("nothing")) != 0 {
		t.Error("a read model that is none")
	}
}

func TestRegistryIsShown(t *testing.T) {
	tv := newVault(t)
	show := func() contract.GetRegistry200JSONResponse {
		t.Helper()
		answer, err := tv.GetRegistry(tv.as(t, edge.Caller{}, "getRegistry", nil), contract.GetRegistryRequestObject{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.GetRegistry200JSONResponse)
	}
	first := show()
	if first.Headers.ETag != `"1"` || len(first.Body.DocumentTypes) != 9 || len(schemaless(first.Body)) != 0 || !first.Body.PublishedAt.Equal(noon) || len(first.Body.Reasons) == 0 {
		t.Errorf("%v %+v", first.Headers, first.Body)
	}
	tv.publish(t, func(r *registry.Registry) { r.DocumentTypes[0].Retired = true })
	if second := show(); second.Headers.ETag != `"2"` || len(second.Body.DocumentTypes) != 8 {
		t.Errorf("%v, %d types", second.Headers, len(second.Body.DocumentTypes))
	}
}

// An integrator finds its way from GET /registry alone: what each type offers for which
// purpose, reasons by kind, and the caller's own registrations, bases by law and quota.
func TestRegistryTellsTheCallerWhatItMay(t *testing.T) {
	tv := newVault(t, func(r *registry.Registry) {
		for i, o := range r.Organisations {
			if o.Number == economy {
				r.Organisations[i].Retired = true
			}
		}
	})
	show := func(who edge.Caller) contract.GetRegistry200JSONResponse {
		t.Helper()
		answer, err := tv.GetRegistry(tv.as(t, who, "getRegistry", nil), contract.GetRegistryRequestObject{})
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.GetRegistry200JSONResponse)
	}
	everybody := show(edge.Caller{})
	kinds := map[contract.ReasonKind]int{}
	for _, r := range everybody.Body.Reasons {
		kinds[r.Kind]++
	}
	for _, kind := range registry.ReasonKinds {
		if usable := kind != registry.ReasonWithdrawal; (kinds[contract.ReasonKind(kind)] > 0) != usable { // C-6: nobody gives one
			t.Errorf("%d reasons for %s are shown", kinds[contract.ReasonKind(kind)], kind)
		}
	}
	i := slices.IndexFunc(everybody.Body.DocumentTypes, func(d contract.RegistryDocumentType) bool { return d.DocumentType == "householdComposition" })
	least := everybody.Body.DocumentTypes[i].Minimum
	if !slices.ContainsFunc(least, func(m contract.RegistryMinimum) bool {
		return m.Purpose == "familyDiscount" && slices.Contains(m.Fields, "householdSize")
	}) {
		t.Errorf("what a household composition offers: %+v", least)
	}
	if everybody.Body.Caller.Registrations != nil || show(citizenCaller(domain.CitizenID{UUID: uuid.New()})).Headers.ETag != everybody.Headers.ETag {
		t.Errorf("to nobody in particular: %+v", everybody.Body.Caller)
	}
	byLaw, byConsent, source, retired, stranger := show(consumer(flanders)), show(consumer(railways)), show(issuer(homeAffairs)), show(consumer(economy)), show(consumer("0000000097"))
	for _, r := range byLaw.Body.Caller.Registrations {
		if r.Purpose == "schoolAllowance" && (!slices.Contains(r.Bases, contract.RegistryBasis{LegalBasis: "publicTask", Deliberation: "EX-26/010"}) || !slices.Contains(r.Procedures, "schoolEnrolmentAllowance") || !slices.Contains(r.DocumentTypes, "householdComposition")) {
			t.Errorf("by law: %+v", r)
		}
	}
	if c := byLaw.Body.Caller; c.EnterpriseNumber != flanders || len(c.Registrations) == 0 || c.DailyQuota != tv.Words.Current().Quota(flanders) {
		t.Errorf("%+v", c)
	}
	if c := byConsent.Body.Caller; len(c.Registrations) == 0 || !c.Registrations[0].Consent || len(c.Registrations[0].Bases) != 0 || len(c.Issues) != 0 {
		t.Errorf("by consent: %+v", c)
	}
	if c := source.Body.Caller; !slices.Contains(c.Issues, "householdComposition") || c.DailyQuota == 0 {
		t.Errorf("an issuer: %+v", c)
	}
	for _, none := range []contract.GetRegistry200JSONResponse{retired, stranger} {
		if c := none.Body.Caller; len(c.Registrations)+len(c.Issues)+c.DailyQuota != 0 || c.Registrations == nil || c.Issues == nil {
			t.Errorf("who may do nothing: %+v", c)
		}
	}
	tags := map[string]bool{}
	for _, a := range []contract.GetRegistry200JSONResponse{everybody, byLaw, byConsent, source, retired, stranger} {
		tags[a.Headers.ETag] = true
	}
	if len(tags) != 6 {
		t.Errorf("six answers have the tags %v", tags)
	}
}

// schemaless returns the types without a schema.
func schemaless(r contract.Registry) (names []string) {
	for _, t := range r.DocumentTypes {
		if !strings.HasPrefix(string(t.Schema), "{") {
			names = append(names, string(t.DocumentType))
		}
	}
	return names
}
