package api

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/uuid"

	"coffre/domain"
	"coffre/domain/audit"
	"coffre/eventstore"
	"coffre/eventstore/backup"
	"coffre/eventstore/faulty"
	"coffre/handlers/contract"
	"coffre/handlers/edge"
	"coffre/handlers/work"
)

// madeBackups is a Backups that knows one backup and writes nothing.
type madeBackups struct {
	begun, closed int
}

func (b *madeBackups) Begin(context.Context, []age.Recipient) (TakenBackup, error) {
	b.begun++
	return b, nil
}

func (b *madeBackups) Find(context.Context, backup.Sum) (backup.Made, bool, error) {
	return backup.Made{Taken: noon, Oldest: 1}, true, nil
}

func (b *madeBackups) End() eventstore.Position         { return eventstore.Position{} }
func (b *madeBackups) WriteTo(io.Writer) (int64, error) { return 0, nil }
func (b *madeBackups) Close() error                     { b.closed++; return nil }

// Every act on the vault itself, and every look at somebody's facts that no other event
// tells, is on record with who it was before it has any effect; when it cannot be
// recorded, it does not happen.
func TestActsAreOnRecord(t *testing.T) {
	tv := newVault(t)
	backups := &madeBackups{}
	hooks, desk := &oneWebhook{}, &oneReactor{}
	tv.restart(func(s *settings) { s.Backups, s.Webhooks, s.Reactors = backups, hooks, desk })
	letters := &oneLetter{}
	tv.Ebox = letters
	tv.Subscriptions = &oneSubscription{all: []Subscription{{ID: hookID, Role: domain.RoleIssuer, Organisation: homeAffairs}}}
	ofAna := tv.household(t, 1)
	ana := tv.person(t, 1)
	agreed := tv.consentTo(t, ana, discount)
	export := tv.export(t, contract.ExportCreate{Format: contract.ExportFormatCsv})
	waits := work.ExportManifest{Export: uuid.New(), Kind: contract.ExportKindRegister, Format: contract.ExportFormatCsv, State: contract.TaskStateProcessing, Created: tv.Clock.Now()}
	if err := tv.SaveExport(t.Context(), waits); err != nil {
		t.Fatal(err)
	}
	tv.household(t, 2)
	forgotten := tv.person(t, 2)
	erasure := tv.erase(t, forgotten, domain.DocumentID{})
	tv.waitIdle(t)
	restriction, err := tv.restrict(t, citizenCaller(ana), ana, contested)
	if err != nil {
		t.Fatal(err)
	}
	restricted := restriction.RestrictionID
	petitioned, err := tv.petition(t, ana, contract.PetitionMake{DocumentID: &ofAna, Text: wrong})
	if err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	recipient, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("ab", 32)

	for _, tc := range []struct {
		who  edge.Caller
		want audit.Operated
		look bool // is recorded once per session
		do   func(ctx context.Context, key uuid.UUID) (answer any, err error)
	}{
		{operator, audit.Operated{Act: audit.CreateBackup}, false, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.CreateBackup(ctx, contract.CreateBackupRequestObject{Body: &contract.BackupCreate{Recipients: []string{recipient.Recipient().String()}}})
		}},
		{operator, audit.Operated{Act: audit.ReportVerifiedBackup, Digest: digest}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.ReportVerifiedBackup(ctx, contract.ReportVerifiedBackupRequestObject{Params: contract.ReportVerifiedBackupParams{IdempotencyKey: key}, Body: &contract.BackupReport{Sha256: digest}})
		}},
		{operator, audit.Operated{Act: audit.ReportBackupElsewhere, Digest: digest}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			tv.Vault.Backups = nil
			defer func() { tv.Vault.Backups = backups }()
			return tv.ReportBackupElsewhere(ctx, contract.ReportBackupElsewhereRequestObject{Params: contract.ReportBackupElsewhereParams{IdempotencyKey: key}, Body: &contract.BackupElsewhere{TakenAt: noon, Sha256: digest}})
		}},
		{operator, audit.Operated{Act: audit.RebuildProjection, On: "wallet"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RebuildProjection(ctx, contract.RebuildProjectionRequestObject{ProjectionName: "wallet", Params: contract.RebuildProjectionParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.EnableWebhook, On: hookID.String()}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.EnableWebhook(ctx, contract.EnableWebhookRequestObject{WebhookID: hookID, Params: contract.EnableWebhookParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.ReplayWebhook, On: hookID.String()}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.ReplayWebhook(ctx, contract.ReplayWebhookRequestObject{WebhookID: hookID, Params: contract.ReplayWebhookParams{IdempotencyKey: key}, Body: &contract.WebhookReplay{}})
		}},
		{operator, audit.Operated{Act: audit.PauseReactor, On: "ends", Reason: "maintenance"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.PauseReactor(ctx, contract.PauseReactorRequestObject{ReactorName: "ends", Params: contract.PauseReactorParams{IdempotencyKey: key}, Body: &contract.OperatorReason{Reason: "maintenance"}})
		}},
		{operator, audit.Operated{Act: audit.ResumeReactor, On: "ends", Reason: "maintenanceDone"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.ResumeReactor(ctx, contract.ResumeReactorRequestObject{ReactorName: "ends", Params: contract.ResumeReactorParams{IdempotencyKey: key}, Body: &contract.OperatorReason{Reason: "maintenanceDone"}})
		}},
		{operator, audit.Operated{Act: audit.RetryPoison, On: "ends/7", Reason: "repaired"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RetryPoison(ctx, contract.RetryPoisonRequestObject{Params: contract.RetryPoisonParams{IdempotencyKey: key}, Body: &contract.PoisonAct{Reactor: "ends", Leaf: 7, Reason: "repaired"}})
		}},
		{operator, audit.Operated{Act: audit.DropPoison, On: "ends/7", Reason: "obsolete"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.DropPoison(ctx, contract.DropPoisonRequestObject{Params: contract.DropPoisonParams{IdempotencyKey: key}, Body: &contract.PoisonAct{Reactor: "ends", Leaf: 7, Reason: "obsolete"}})
		}},
		{operator, audit.Operated{Act: audit.RetryEbox, On: letterID.String(), Reason: "repaired"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RetryEboxMessages(ctx, contract.RetryEboxMessagesRequestObject{Params: contract.RetryEboxMessagesParams{IdempotencyKey: key}, Body: &contract.EboxRetry{MessageID: &letterID, Reason: "repaired"}})
		}},
		{operator, audit.Operated{Act: audit.RotateWebhook, On: hookID.String()}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RotateWebhook(ctx, contract.RotateWebhookRequestObject{WebhookID: hookID, Params: contract.RotateWebhookParams{IdempotencyKey: key}})
		}},
		{issuer(homeAffairs), audit.Operated{Act: audit.EnableSubscription, On: hookID.String()}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.EnableWebhookSubscription(ctx, contract.EnableWebhookSubscriptionRequestObject{WebhookSubscriptionID: hookID, Params: contract.EnableWebhookSubscriptionParams{IdempotencyKey: key}})
		}},
		{issuer(homeAffairs), audit.Operated{Act: audit.ReplaySubscription, On: hookID.String()}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.ReplayWebhookSubscription(ctx, contract.ReplayWebhookSubscriptionRequestObject{WebhookSubscriptionID: hookID, Params: contract.ReplayWebhookSubscriptionParams{IdempotencyKey: key}, Body: &contract.WebhookSubscriptionReplay{}})
		}},
		{issuer(homeAffairs), audit.Operated{Act: audit.RotateSubscription, On: hookID.String()}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RotateWebhookSubscription(ctx, contract.RotateWebhookSubscriptionRequestObject{WebhookSubscriptionID: hookID, Params: contract.RotateWebhookSubscriptionParams{IdempotencyKey: key}, Body: &contract.WebhookSubscriptionRotate{}})
		}},
		{issuer(homeAffairs), audit.Operated{Act: audit.RemoveSubscription, On: hookID.String()}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RemoveWebhookSubscription(ctx, contract.RemoveWebhookSubscriptionRequestObject{WebhookSubscriptionID: hookID, Params: contract.RemoveWebhookSubscriptionParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.RetireKeys}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RetireKeys(ctx, contract.RetireKeysRequestObject{Params: contract.RetireKeysParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.TrimKeys}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.TrimKeys(ctx, contract.TrimKeysRequestObject{Params: contract.TrimKeysParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.RotateRequests}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RotateRequests(ctx, contract.RotateRequestsRequestObject{Params: contract.RotateRequestsParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.RotateAudit}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RotateAudit(ctx, contract.RotateAuditRequestObject{Params: contract.RotateAuditParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.RotatePepper}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RotatePepper(ctx, contract.RotatePepperRequestObject{Params: contract.RotatePepperParams{IdempotencyKey: key}})
		}},
		{operator, audit.Operated{Act: audit.RotateKeys}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.RotateKeys(ctx, contract.RotateKeysRequestObject{Params: contract.RotateKeysParams{IdempotencyKey: key}})
		}},
		{officer, audit.Operated{Act: audit.LookUpCitizen, Citizen: ana, Purpose: "familyDiscount"}, false, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetCitizen(ctx, contract.GetCitizenRequestObject{Body: &contract.CitizenGet{SSIN: ssin(1), Purpose: "familyDiscount", Reason: contract.LookupReasonComplaint}})
		}},
		{officer, audit.Operated{Act: audit.ReadConsent, On: agreed.String(), Citizen: ana}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetConsent(ctx, contract.GetConsentRequestObject{ConsentID: agreed})
		}},
		{officer, audit.Operated{Act: audit.ReadConsentHistory, On: agreed.String(), Citizen: ana}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetConsentHistory(ctx, contract.GetConsentHistoryRequestObject{ConsentID: agreed})
		}},
		{officer, audit.Operated{Act: audit.ListConsentDisclosures, On: agreed.String(), Citizen: ana}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListConsentDisclosures(ctx, contract.ListConsentDisclosuresRequestObject{ConsentID: agreed})
		}},
		{officer, audit.Operated{Act: audit.QueryConsentLog, Citizen: ana, Consumer: railways, Purpose: "familyDiscount"}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.QueryConsentLog(ctx, contract.QueryConsentLogRequestObject{Body: &contract.ConsentLogQuery{SSIN: ssin(1), Consumer: railways, Purpose: "familyDiscount"}})
		}},
		{officer, audit.Operated{Act: audit.ReadFigures}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetFigures(ctx, contract.GetFiguresRequestObject{})
		}},
		{officer, audit.Operated{Act: audit.DownloadExport, On: export.String()}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetExportContent(ctx, contract.GetExportContentRequestObject{ExportID: export})
		}},
		{auditor, audit.Operated{Act: audit.CompareModels, Reason: "audit"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.CreateComparison(ctx, contract.CreateComparisonRequestObject{Params: contract.CreateComparisonParams{IdempotencyKey: key}, Body: &contract.ComparisonCreate{Reason: "audit"}})
		}},
		{officer, audit.Operated{Act: audit.CancelExport, On: waits.Export.String(), Reason: "noLongerWanted"}, false, func(ctx context.Context, key uuid.UUID) (any, error) {
			return tv.CancelExport(ctx, contract.CancelExportRequestObject{ExportID: waits.Export, Params: contract.CancelExportParams{IdempotencyKey: key}, Body: &contract.ExportCancel{Reason: "noLongerWanted"}})
		}},
		{officer, audit.Operated{Act: audit.ReadErasure, On: erasure.String(), Citizen: forgotten}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetErasure(ctx, contract.GetErasureRequestObject{ErasureID: erasure})
		}},
		{officer, audit.Operated{Act: audit.ReadErasureCertificate, On: erasure.String(), Citizen: forgotten}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetErasureCertificate(ctx, contract.GetErasureCertificateRequestObject{ErasureID: erasure})
		}},
		{officer, audit.Operated{Act: audit.ListRestrictions, Citizen: ana}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListRestrictions(ctx, contract.ListRestrictionsRequestObject{CitizenID: ana})
		}},
		{officer, audit.Operated{Act: audit.ReadRestriction, On: restricted.String(), Citizen: ana}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetRestriction(ctx, contract.GetRestrictionRequestObject{CitizenID: ana, RestrictionID: restricted})
		}},
		{officeCaller(domain.RoleAuditor), audit.Operated{Act: audit.ListInvestigations}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListInvestigations(ctx, contract.ListInvestigationsRequestObject{})
		}},
		{officer, audit.Operated{Act: audit.ListPetitions}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListPetitions(ctx, contract.ListPetitionsRequestObject{})
		}},
		{consumer(flanders), audit.Operated{Act: audit.ListSignals, Consumer: flanders}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListSignals(ctx, contract.ListSignalsRequestObject{})
		}},
		{officer, audit.Operated{Act: audit.ReadPetition, On: petitioned.PetitionID.String(), Citizen: ana}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.GetPetition(ctx, contract.GetPetitionRequestObject{PetitionID: petitioned.PetitionID})
		}},
		{officer, audit.Operated{Act: audit.ListErasures}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListErasures(ctx, contract.ListErasuresRequestObject{})
		}},
		{officer, audit.Operated{Act: audit.ListCorrections, Citizen: ana}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListCorrections(ctx, contract.ListCorrectionsRequestObject{CitizenID: ana})
		}},
		{officer, audit.Operated{Act: audit.ListHolds}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListHolds(ctx, contract.ListHoldsRequestObject{})
		}},
		{officer, audit.Operated{Act: audit.ListAllRestrictions}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListAllRestrictions(ctx, contract.ListAllRestrictionsRequestObject{})
		}},
		{officer, audit.Operated{Act: audit.ListSuppressions}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListSuppressions(ctx, contract.ListSuppressionsRequestObject{})
		}},
		{officer, audit.Operated{Act: audit.ListReleases}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListReleases(ctx, contract.ListReleasesRequestObject{})
		}},
		{operator, audit.Operated{Act: audit.ListAttachments}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListAttachments(ctx, contract.ListAttachmentsRequestObject{})
		}},
		{operator, audit.Operated{Act: audit.ListDueErasures}, true, func(ctx context.Context, _ uuid.UUID) (any, error) {
			return tv.ListDueErasures(ctx, contract.ListDueErasuresRequestObject{})
		}},
	} {
		t.Run(string(tc.want.Act), func(t *testing.T) {
			tv.waitIdle(t)
			who := tc.who
			who.Session = uuid.New()
			ask := func(key uuid.UUID) (any, error) {
				return tc.do(tv.as(t, who, string(tc.want.Act), nil), key)
			}
			of := func() (found []eventstore.Record) {
				for _, r := range tv.log(t) {
					if e, err := tv.Log.Decode(r); err == nil {
						if o, is := e.(audit.Operated); is && o.Act == tc.want.Act {
							found = append(found, r)
						}
					}
				}
				return found
			}
			before, state, acted := len(of()), tv.keys(t), len(hooks.acts)+len(desk.acts)+letters.retried
			tv.Store.SetRule(func(c faulty.Call) faulty.Fault {
				if c.Method == faulty.Append {
					return faulty.Fault{Before: eventstore.ErrUnavailable}
				}
				return faulty.Fault{}
			})
			if answer, err := ask(uuid.New()); !errors.Is(err, eventstore.ErrUnavailable) || answer != nil {
				t.Errorf("without a record: %v, %v", answer, err)
			}
			tv.Store.SetRule(nil)
			if got := tv.keys(t); len(got.KeyEncryptionKeys) != len(state.KeyEncryptionKeys) || got.Pepper.Version != state.Pepper.Version || got.Pepper.Phase != state.Pepper.Phase || got.LastBackup != state.LastBackup || backups.begun != backups.closed || len(hooks.acts)+len(desk.acts)+letters.retried != acted {
				t.Errorf("it happened without a record: %+v", got)
			}
			if len(of()) != before {
				t.Fatal("recorded, and not")
			}
			key := uuid.New()
			for range 2 {
				if answer, err := ask(key); err != nil {
					t.Fatal(answer, err)
				}
			}
			records := of()[before:]
			times := 1
			if tc.want.Act == audit.CreateBackup || tc.want.Act == audit.LookUpCitizen {
				times = 2 // each is another one
				backups.begun = backups.closed
			}
			if len(records) != times {
				t.Fatalf("recorded %d times", len(records))
			}
			e, err := tv.Log.Decode(records[0])
			if err != nil {
				t.Fatal(err)
			}
			tc.want.At = tv.Clock.Now().UTC().Truncate(time.Microsecond)
			meta, err := records[0].Metadata()
			if err != nil || e != any(tc.want) || meta.Actor.Role != who.Role || !slices.Contains(tv.Keys.Audit().Subjects(who.Subject), meta.Actor.Subject) {
				t.Errorf("%+v by %+v, %v", e, meta.Actor, err)
			}
			if tc.look {
				who.Session = uuid.New()
				if _, err := ask(key); err != nil || len(of()) != before+2 {
					t.Errorf("another session: %d records, %v", len(of())-before, err)
				}
			}
		})
	}
	ids := make(map[uuid.UUID]bool)
	for _, r := range tv.log(t) {
		if ids[r.ID] {
			t.Errorf("two events have one id: %s", r.Type)
		}
		ids[r.ID] = true
	}
	ofCommands := []audit.Act{audit.RestoreBackup, audit.RestoreKeyRows, audit.CopyStore} // cmd/coffre tries them
	ofSubscriptions := []audit.Act{audit.CreateSubscription, audit.EndSubscription}       // TestOrganisationsSeeToTheirWebhooks tries them
	for _, act := range audit.Acts {
		if !slices.Contains(ofCommands, act) && !slices.Contains(ofSubscriptions, act) && !slices.ContainsFunc(recorded[audit.Operated](t, tv), func(o audit.Operated) bool { return o.Act == act }) {
			t.Errorf("%s is tried by nobody here", act)
		}
	}
}

// A citizen's look at their own erasure, and a consumer's at a consent that it was given, are
// on no record of officers.
func TestOwnLooksAreNotOnRecord(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	ana := tv.person(t, 1)
	agreed := tv.consentTo(t, ana, discount)
	erasure, err := tv.requestErasureOf(t, citizenCaller(ana), ana, domain.DocumentID{})
	if err != nil {
		t.Fatal(err)
	}
	tv.waitIdle(t)
	if _, err := tv.GetErasure(tv.as(t, citizenCaller(ana), "getErasure", nil), contract.GetErasureRequestObject{ErasureID: erasure}); err != nil {
		t.Fatal(err)
	}
	for _, who := range []edge.Caller{citizenCaller(ana), consumer(railways)} {
		if _, err := tv.GetConsent(tv.as(t, who, "getConsent", nil), contract.GetConsentRequestObject{ConsentID: agreed}); err != nil {
			t.Fatal(err)
		}
	}
	if all := recorded[audit.Operated](t, tv); len(all) != 0 {
		t.Errorf("%+v", all)
	}
}

// A session that reads the log through several processes is on record in each of them, and
// no two events ever have one id.
func TestLogReadThroughTwoProcesses(t *testing.T) {
	tv := newVault(t)
	for range 2 {
		for range 2 {
			if _, err := tv.ListEvents(tv.as(t, officeCaller(domain.RoleAuditor), "listEvents", nil), contract.ListEventsRequestObject{}); err != nil {
				t.Fatal(err)
			}
		}
		tv.restart()
	}
	ids := make(map[uuid.UUID]bool)
	for _, r := range tv.log(t) {
		ids[r.ID] = true
	}
	if reads := recorded[audit.LogRead](t, tv); len(reads) != 2 || len(ids) != len(tv.log(t)) {
		t.Errorf("%d readings on record, %d ids of %d events", len(reads), len(ids), len(tv.log(t)))
	}
}

// F36: no process relies on what another one recorded of a look, and no caller on what another
// one looked at who shows the same token: two accounts of the vault's machine, or one that says
// another reason.
func TestLooksAreOnRecordInEachProcessAndOfEachCaller(t *testing.T) {
	tv := newVault(t)
	tv.household(t, 1)
	agreed := tv.consentTo(t, tv.person(t, 1), discount)
	other := tv.otherProcess(t, tv.Clock.Now)
	who := officer
	who.Session = uuid.New()
	account, reason := who, who
	account.Subject, reason.Why = "os-account:1001", "incident"
	for i, look := range []struct {
		through *testVault
		by      edge.Caller
	}{{tv, who}, {other, who}, {tv, account}, {tv, reason}} {
		for range 2 {
			if _, err := look.through.GetConsent(look.through.as(t, look.by, "getConsent", nil), contract.GetConsentRequestObject{ConsentID: agreed}); err != nil {
				t.Fatal(err)
			}
			if n := len(recorded[audit.Operated](t, tv)); n != i+1 {
				t.Fatalf("%d looks are on record, want %d", n, i+1)
			}
		}
	}
	auditor := edge.Caller{Role: domain.RoleAuditor, Subject: "an auditor", Session: uuid.New()}
	account = auditor
	account.Subject = "another"
	for i, look := range []struct {
		through *testVault
		by      edge.Caller
	}{{tv, auditor}, {other, auditor}, {tv, account}} {
		for range 2 {
			if _, err := look.through.ListEvents(look.through.as(t, look.by, "listEvents", nil), contract.ListEventsRequestObject{}); err != nil {
				t.Fatal(err)
			}
			if n := len(recorded[audit.LogRead](t, tv)); n != i+1 {
				t.Fatalf("%d readings of the log are on record, want %d", n, i+1)
			}
		}
	}
}
