package coffre_test

import (
	"flag"
	"fmt"
	"go/token"
	"os"
	"path"
	"strings"
	"testing"
)

var updatePromises = flag.Bool("update-promises", false, "write docs/promises.md anew")

const promisesFile = "docs/promises.md"

// A promise is something that Coffre says of itself beyond a single numbered rule.
type promise struct {
	says    string
	decided []string // declarations that production reaches, as "file Name"
	tests   []string // tests that fail where it does not hold, as "folder TestName"
}

// chapter is a part of docs/promises.md.
type chapter struct {
	title    string
	promises []promise
}

// Every promise is decided in code that production runs and held by tests that exist,
// and docs/promises.md says where.
func TestPromisesTable(t *testing.T) {
	run := reachOfProduction(t)
	tests := testsByPlace(t)
	var doc strings.Builder
	doc.WriteString("# The promises, where they are decided and what holds them\n\n" +
		"What Coffre says of itself beyond the numbered rules of [rules.md](rules.md). Made from `promises_test.go`, which finds a test or a declaration that is gone; `go test -run TestPromisesTable . -update-promises` makes it anew.\n")
	said := make(map[string]bool)
	for _, c := range promises {
		fmt.Fprintf(&doc, "\n## %s\n\n| promise | decided in | tested by |\n|---|---|---|\n", c.title)
		for _, p := range c.promises {
			if p.says == "" || said[p.says] || len(p.decided) == 0 || len(p.tests) == 0 {
				t.Errorf("%q: a promise stands once, and is decided and tested somewhere", p.says)
			}
			said[p.says] = true
			decided, held := marked(p.decided), marked(p.tests)
			for i, place := range decided {
				if !run.places[place] {
					t.Errorf("%q: production does not come to %s", p.says, p.decided[i])
				}
			}
			for i, test := range held {
				if !tests[test] {
					t.Errorf("%q: there is no %s", p.says, p.tests[i])
				}
			}
			fmt.Fprintf(&doc, "| %s | %s | %s |\n", p.says, strings.Join(decided, "<br>"), strings.Join(held, "<br>"))
		}
	}
	if *updatePromises {
		if err := os.WriteFile(promisesFile, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(promisesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != doc.String() {
		t.Errorf("%s is behind promises_test.go: run go test -run TestPromisesTable . -update-promises", promisesFile)
	}
}

// marked returns places as reach and the tables write them, "where `Name`".
func marked(places []string) []string {
	all := make([]string, len(places))
	for i, p := range places {
		where, name, _ := strings.Cut(p, " ")
		all[i] = where + " `" + name + "`"
	}
	return all
}

// testsByPlace returns every test and fuzz target, as "folder `TestName`".
func testsByPlace(t *testing.T) map[string]bool {
	all := make(map[string]bool)
	for _, p := range goFiles(t, true) {
		for _, d := range parse(t, token.NewFileSet(), p).Decls {
			if name := declared(d); strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
				all[place(path.Dir(p), d)] = true
			}
		}
	}
	return all
}

var promises = []chapter{
	{"Nothing acknowledged is lost", []promise{
		{"What was acknowledged survives the loss of everything that was not synced, and what was not is there whole or not at all.",
			[]string{"eventstore/sqlite/sequencer.go sequencer.transact", "eventstore/sqlite/sequencer.go sequencer.settle"},
			[]string{"eventstore/sqlite TestCrashAtEveryCall", "eventstore/sqlite TestKill", "eventstore/postgres TestKill", "cmd/coffre TestKillServeUnderLoad"}},
		{"A write whose answer was lost is settled by its event ids.",
			[]string{"eventstore/transact.go Transact"},
			[]string{"eventstore TestAnUnknownOutcomeIsSettledByID", "eventstore/postgres TestLostAnswerIsSettledByIDs", "eventstore/kurrent TestCutAfterCommit"}},
		{"What was decided on a write that is under way stands behind that very write, or is decided again: a withdrawal in its place is met, also where another process made it.",
			[]string{"eventstore/transact.go Transact", "eventstore/sqlite/heads.go sequencer.follows", "eventstore/postgres/heads.go sequencer.judge"},
			[]string{"eventstore TestWhatRestsOnAnAppendThatLostItsPlaceIsDecidedAgain", "eventstore/sqlite TestStoreSoak", "eventstore/postgres TestStoreSoak", "eventstore/kurrent TestStoreOverSQLite"}},
		{"A full disk refuses what is new, takes withdrawals from a reserve, and loses nothing.",
			[]string{"eventstore/sqlite/sqlitedb/reserve.go Reserve.Release", "eventstore/seal/keysdb/keysdb.go DB.makeRoom", "eventstore/sqlite/sequencer.go onlyReserved"},
			[]string{"eventstore/sqlite TestDiskFull", "eventstore/sqlite TestDiskFullForReal", "eventstore/sqlite TestDiskFullLeavesNothingBehind", "eventstore/seal/keysdb TestReservedChangesHaveTheReserve"}},
		{"A vault on a full disk starts, reads and withdraws, says DEGRADED, and goes on when there is room.",
			[]string{"cmd/coffre/vault/instance.go Instance.shortOfRoom", "cmd/coffre/vault/run.go watchRoom", "eventstore/sqlite/sqlitedb/reserve.go Reserve.ReleaseUnless"},
			[]string{"cmd/coffre TestStartOnAFullDisk", "eventstore/sqlite/sqlitedb TestReserve", "eventstore/requests TestOnlyReservedRequestsBeginWhenRoomIsShort"}},
		{"A full PostgreSQL is told; a vault beside it starts and reads, refuses what it cannot record, and goes on when there is room.",
			[]string{"eventstore/postgres/pgdb/room.go Room.Short", "cmd/coffre/vault/instance.go Instance.shortOfRoom"},
			[]string{"cmd/coffre TestFullPostgres", "eventstore/postgres/pgdb TestRoomOfAServer", "eventstore/postgres TestDiskFullForReal"}},
		{"An export tells what a replay of the log up to its last leaf tells, and as of one moment it has the same bytes, in every format.",
			[]string{"projections/consentlog/export.go Log.Export", "projections/accesslog/export.go Log.Export", "handlers/work/export_run.go Worker.exportEnd"},
			[]string{"projections/consentlog TestLogEqualsAFold", "projections/accesslog TestLogEqualsAFold", "handlers/contract/table TestSameRowsSameBytes", "handlers/api TestExportAsOfAMomentStaysTheSame"}},
		{"An export names citizens by a reference of the privacy officers alone, which goes with the citizen's keys.",
			[]string{"handlers/work/export_sheets.go references.find", "eventstore/seal/refs_many.go Ring.Refs"},
			[]string{"handlers/api TestExportsOfEveryKind", "handlers/work TestColumnsAreNoReservedWords"}},
		{"An export that one process made is found and served by every other, and made by another when its process is gone.",
			[]string{"eventstore/exports/exports.go Table.End", "handlers/work/exports_shared.go SharedExports.Make"},
			[]string{"handlers/work TestExportsAreKept", "handlers/work TestExportIsServedByEveryProcess", "handlers/work TestExportOfAProcessThatIsGone", "handlers/work TestExportOfAnotherProcessThatIsOutOfReach", "cmd/coffre TestExportsOfOtherProcesses"}},
		{"The Belgian audit trail tells each access that succeeded with the hash of its token, for ten years from 1 January after it (ATREQ01 to ATREQ04).",
			[]string{"handlers/acting/intent.go WithCall", "handlers/work/export_trail.go auditTrail"},
			[]string{"handlers/api TestAuditTrail", "handlers/work TestAuditTrailIsKeptForTenYearsFromTheNextJanuary", "handlers/edge/token TestGoodTokens"}},
		{"An export that is cancelled, in whatever process it is made, is made by nobody and leaves nothing of its file.",
			[]string{"eventstore/exports/exports.go Table.Cancel", "handlers/work/exports_folder.go ExportFolder.Cancel", "handlers/work/export_run.go Worker.StopExport"},
			[]string{"handlers/work TestExportsAreKept", "handlers/work TestExportCancelledByAnotherProcessStops", "handlers/api TestExportThatWaitsIsCancelled", "handlers/api TestExportThatIsMadeIsCancelled", "handlers/api TestExportThatEndedIsNotCancelled"}},
		{"A vault that is served tells an auditor each row of its read models that the log does not make so, on SQLite and on PostgreSQL, with no value of it; one comparison goes on at a time, and every process tells of it.",
			[]string{"projections/compare.go Comparison.Compare", "handlers/work/comparison.go Worker.StartComparison", "eventstore/jobs/jobs.go Table.Note"},
			[]string{"cmd/coffre TestAlteredReadModelsAreNamed", "handlers/api TestComparisonIsFollowedToItsEnd", "handlers/api TestComparisonThatFailsSaysSo", "eventstore/jobs TestFindingsGoWithTheirJob"}},
		{"A backup holds what was acknowledged when it began, and a restore keeps erased what was erased.",
			[]string{"eventstore/seal/reapply.go Destroyer.ReapplyDestroyed", "cmd/coffre/vault/guard.go guard", "cmd/coffre/vault/backups.go backups.Begin"},
			[]string{"cmd/coffre TestBackupUnderLoad", "cmd/coffre TestRestoreKeepsErasedWhatWasErased", "cmd/coffre TestRestoreKilledAtEachStep", "cmd/coffre TestRestoreOntoServersKilledAtEachStep", "cmd/coffre TestBackupOnPostgreSQL"}},
	}},
	{"Yesterday's files", []promise{
		{"A log that ends before what was seen of it is not served: a withdrawn consent does not live again.",
			[]string{"cmd/coffre/vault/logend.go findCut", "cmd/coffre/vault/logend.go assembly.compareEnds"},
			[]string{"cmd/coffre TestAnOlderLogPutBackIsRefused", "cmd/coffre TestEachWitnessRefusesAnOlderLog", "cmd/coffre TestAnOlderLogInPostgreSQLIsRefused"}},
		{"A key ring that lacks a citizen or a sealed stream of the log, because it is an older one, is not served.",
			[]string{"cmd/coffre/vault/guard.go guard", "eventstore/seal/subjectstate.go Ring.UnknownStreams"},
			[]string{"cmd/coffre TestAnOlderKeyRingPutBackIsRefused"}},
		{"Every change of the key ring carries the end of the log that was acknowledged before.",
			[]string{"cmd/coffre/vault/logend.go logEnd.keep"},
			[]string{"cmd/coffre/vault TestEveryKeyWriteKeepsTheEndOfTheLog", "cmd/coffre/vault TestAServedVaultKeepsTheEndWithEveryKeyWrite"}},
		{"A process whose log goes back under it ends itself.",
			[]string{"cmd/coffre/vault/logend.go logEnd.follow"},
			[]string{"cmd/coffre/vault TestALogThatGoesBackEndsTheProcess"}},
		{"What a process reads after another was killed is on the medium, so a power cut leaves nobody ahead of the log.",
			[]string{"eventstore/sqlite/sqlitedb/create.go resyncWAL"},
			[]string{"eventstore/sqlite TestSeenAfterAKillSurvivesAPowerCut", "eventstore/sqlite/sqlitedb TestResyncChangesNothing"}},
		{"A byte that changes in the tables of a read model is shown to nobody, and the model is built anew.",
			[]string{"projections/generation.go generation.foundDamaged", "projections/follow.go task.withdrawDamaged", "eventstore/sqlite/sqlitedb/sqlitedb.go verified"},
			[]string{"projections TestDamagedTablesAreBuiltAnewAndNeverShown", "projections TestTablesWithoutChecksumsAreBuiltAnew", "projections/sqlitemodels TestContract", "projections/pgmodels TestContract"}},
		{"The loss of the log's end is accepted on purpose only, on record, and nothing erased comes back with it.",
			[]string{"cmd/coffre/vault/loss.go AcceptLoss", "cmd/coffre/vault/loss.go assembly.finishLoss"},
			[]string{"cmd/coffre TestAcceptedLossIsOnRecordAndForgetsNothingErased", "cmd/coffre/vault TestAnInterruptedAcceptanceGoesOn"}},
	}},
	{"Changed bits", []promise{
		{"A changed bit in the key database is named, whatever column of whatever row it hits; who needs the row waits, and nobody else.",
			[]string{"eventstore/seal/keysdb/guard.go DB.verify", "eventstore/seal/keysdb/sums.go DB.Check"},
			[]string{"eventstore/seal TestRingOnSQLite", "eventstore/seal TestRingOnPostgreSQL", "eventstore/requests TestDamagedRequest", "cmd/coffre TestChangedBitInTheKeyDatabase", "cmd/coffre TestEveryTableOfTheKeyDatabaseIsProtected"}},
		{"A row of the key database that is gone, or was replaced by an older one of itself, is noticed; while it may have been somebody's number or suppression nobody new is made.",
			[]string{"eventstore/seal/keysdb/sums.go Tx.settle", "eventstore/seal/enroll.go Ring.trustAbsence"},
			[]string{"eventstore/seal TestRingOnSQLite", "eventstore/seal TestRingOnPostgreSQL"}},
		{"Whoever deletes the memory of an erased person lets nobody in, not even until the next walk.",
			[]string{"eventstore/seal/suppression_order.go notRemembered"},
			[]string{"eventstore/seal TestRingOnSQLite", "eventstore/seal TestRingOnPostgreSQL"}},
		{"Whoever deletes the memory of a request makes nothing happen twice.",
			[]string{"handlers/api/consent_terms.go newConsentID"},
			[]string{"handlers/api TestRequestWhoseRowIsGoneActsOnce"}},
		{"MACs cannot be taken away: a key database without them is not taken for one from before.",
			[]string{"eventstore/seal/deployment.go deploymentAAD"},
			[]string{"eventstore/seal TestRingOnSQLite", "eventstore/seal/keysdb TestDamagedSums", "eventstore/seal TestFormerRingKilledWhileItGetsMACs"}},
		{"Damaged rows come back from a backup as they last were, and only on an operator's word otherwise.",
			[]string{"eventstore/seal/keysdb/mend.go Mend"},
			[]string{"eventstore/seal/keysdb TestMend", "cmd/coffre TestChangedBitInTheKeyDatabase"}},
	}},
	{"Forgetting", []promise{
		{"Nothing personal is stored in clear, in no file, database, temporary file or export directory.",
			[]string{"eventstore/log.go Log.record"},
			[]string{"eventstore TestNothingIsStoredInClear", "cmd/coffre TestCanary", "cmd/coffre TestCanaryOnPostgreSQL", "cmd/coffre TestCanaryInVault", "eventstore/seal TestNoKeyAndNoNumberOnDisk"}},
		{"Once a key is destroyed no process opens what it sealed, also not one that had it in memory.",
			[]string{"eventstore/seal/lease.go lease.covers", "eventstore/seal/lease.go Ring.forget", "handlers/work/erasure_run.go Worker.awaitLeaseEnd"},
			[]string{"eventstore/seal TestLeaseEndsWhileOpening", "eventstore/seal TestForgetAgainstALoadInBetween", "eventstore/seal TestLoadThatBeganBeforeTheDestruction", "handlers/api TestErasureAgainstAProcessThatHasTheKeys", "handlers/api TestErasureAgainstAStalledProcess"}},
		{"The key of an erased document opens with nothing that lives, whatever write-ahead logs, replicas and old copies hold, and with nothing at all after the trim.",
			[]string{"eventstore/seal/replacement.go Destroyer.ReplaceDataKey", "eventstore/seal/destructions.go Destructions.Stream"},
			[]string{"eventstore/seal TestForgottenDocumentInEveryByteEverWritten", "eventstore/seal TestReplacementKilledAtEveryCall", "eventstore/seal TestKeysDestroyedByAnOlderProgramAreExposed", "handlers/api TestStartReplacesDataKeys", "handlers/api TestErasureBecomesFinal"}},
		{"The memory of a process, where keys and plaintext are, comes into no core file.",
			[]string{"cmd/coffre/coredump_linux.go forbidCoreDumps"},
			[]string{"cmd/coffre TestServeDumpsNoCore", "cmd/coffre TestForbidCoreDumpsMakesTheProcessUndumpable"}},
		{"An erasure that dies between two steps goes on at the next start, and each step may be repeated.",
			[]string{"handlers/work/erasure_run.go Worker.resumeErasures"},
			[]string{"handlers/api TestErasureResumesAfterCrashAtAnyKeyChange", "handlers/api TestErasureResumesAfterTheKeysAreGone", "cmd/coffre TestKillServeWhileErasing"}},
		{"The certificate of an erasure is checked without a vault, against the log.",
			[]string{"handlers/certificate/verify.go Read"},
			[]string{"handlers/api TestCertificateAgainstTheLog", "handlers/api TestIncompleteCertificateIsRefused", "cmd/coffre TestEraseVerify"}},
		{"A hold or a duty to keep that races with an erasure stops it before anything is destroyed.",
			[]string{"handlers/work/erasure_run.go Worker.rejudgeDuties", "handlers/work/erasure_run.go Worker.checkDestroyable"},
			[]string{"handlers/api TestErasureWaitsForLeasesAndRechecksHolds", "handlers/api TestErasureJudgesDocumentsIssuedMeanwhile", "handlers/api TestErasureLeavesKeysInUseUnderAHold"}},
		{"An answer under way that holds what a key opened is cut, in every process, before the key's destruction is on record.",
			[]string{"eventstore/seal/keylease.go Ring.endUse", "eventstore/seal/keylease.go KeyLease.Left", "handlers/disclosure/lease.go Discloser.openerFor", "handlers/edge/answer.go answer.admit", "handlers/edge/conn.go breakOff"},
			[]string{"eventstore/seal TestAnswersUnderWayEndWithTheirKeys", "handlers/edge TestAnswerEndsWithItsLease", "handlers/edge TestBrokenOffAnswerIsNotDeliveredByTheSystem", "handlers/api TestErasureCutsTransfers"}},
		{"Two lives of a person share no value in the log.",
			[]string{"handlers/acting/recorder.go Recorder.AuditName", "eventstore/seal/audit.go Audit.Citizen", "handlers/work/release.go Worker.CarryOutRelease"},
			[]string{"handlers/api TestTwoLivesShareNothing", "handlers/api TestNewLife"}},
		{"What is remembered of erased persons is listed, with basis, day, review and end, and of nobody in particular; a due review ends nothing.",
			[]string{"eventstore/seal/suppression_list.go Ring.Suppressions"},
			[]string{"handlers/api TestSuppressionsAreListed", "eventstore/seal TestRingOnPostgreSQL"}},
		{"The keys of requests and of suppressions are replaced, and nothing that was answered or erased is forgotten for it.",
			[]string{"eventstore/seal/requestkey.go Rotator.RotateRequests", "eventstore/seal/pepper_rotation.go Rotator.BeginPepper"},
			[]string{"eventstore/requests TestRequestKeyIsReplaced", "eventstore/quotas TestF30PlacesCountUnderTheFormerKey", "eventstore/replays TestProofCountsOnceUnderTwoKeys", "eventstore/seal TestRingOnSQLite", "eventstore/seal TestRingOnPostgreSQL"}},
		{"What stays after an erasure is said: mandates name both persons.",
			[]string{"handlers/work/erasure_certificate.go Worker.ErasureCertificate"},
			[]string{"handlers/api TestCertificateNamesWhatMandatesTell"}},
	}},
	{"Disclosing", []promise{
		{"A transfer under way ends within ten seconds when the file would be refused anew, and its record says why.",
			[]string{"handlers/disclosure/file.go FileAnswer.watch"},
			[]string{"handlers/api TestTransferEndsWhenTheFileWouldBeRefused"}},
		{"The last look before opening reads the clock after everything else.",
			[]string{"handlers/disclosure/reading.go Discloser.Revalidate", "handlers/disclosure/representation.go Discloser.mandateStillInForce"},
			[]string{"handlers/api TestAuthoriseThenOpen", "handlers/api TestMandateThatEndsInBetween"}},
		{"An answer with personal data has an end of its own, however slowly its reader takes it.",
			[]string{"handlers/edge/answer.go answer.admit"},
			[]string{"handlers/edge TestAnswerHasAnEnd"}},
	}},
	{"Separation of duties", []promise{
		{"A process is told at its start, by name, what one that runs on the same keys has otherwise and all must share: limits, retentions, the bucket, the key of tokens, where things are sent.",
			[]string{"cmd/coffre/vault/sharing.go assembly.compareSettings", "eventstore/postgres/pgdb/session.go Session.Say"},
			[]string{"cmd/coffre/vault TestAProcessIsToldWhatItDoesNotShare", "cmd/coffre/vault TestEachSharedSettingIsCompared", "eventstore/postgres/pgdb TestSayingsAreHeard", "eventstore/postgres/pgdb TestSayingsAtOnceAreHeard", "eventstore/postgres/pgdb TestWhatSeveralSayIsHeardOfTheLast"}},
		{"Where processes share the keys, the one that answers requests can neither destroy nor replace a key: the database refuses it.",
			[]string{"cmd/coffre/vault/duty.go keyRights", "eventstore/postgres/pgdb/role.go SetRights", "cmd/coffre/vault/open.go assembly.takeAuthorities"},
			[]string{"cmd/coffre TestDutiesAreKeptApartByTheDatabase", "cmd/coffre/vault TestEveryKeyTableHasItsRights", "cmd/coffre TestDestroyerAndRotatorAreProcessesOfTheirOwn"}},
		{"A process that may not destroy serves no ring in which a destroyed key came back.",
			[]string{"eventstore/seal/reapply.go Ring.Undestroyed"},
			[]string{"cmd/coffre TestServingRefusesDestroyedKeysThatCameBack"}},
		{"One authority over a ring is given out once.",
			[]string{"eventstore/seal/destroyer.go Ring.TakeDestroyer", "eventstore/seal/rotator.go Ring.TakeRotator"},
			[]string{"eventstore/seal TestAuthoritiesAreTakenOnce"}},
	}},
	{"Record before disclosure", []promise{
		{"No byte of content leaves before its access is durable, and what was relied on is read again after that.",
			[]string{"handlers/disclosure/reading.go Discloser.Authorize", "handlers/disclosure/reading.go Discloser.Revalidate"},
			[]string{"handlers/api TestAuthoriseThenOpen", "handlers/api TestManyReaders", "handlers/api TestErasureAgainstDisclosure"}},
		{"The record names the version that is disclosed.",
			[]string{"handlers/disclosure/reading.go Discloser.OpenAuthorized"},
			[]string{"handlers/api TestTheRecordNamesTheVersionDisclosed"}},
		{"What tells a consumer presence, state or absence is on record before it is told, and the citizen sees it.",
			[]string{"domain/access/told.go RecordTold.Decide", "handlers/disclosure/reading.go Discloser.RecordTold"},
			[]string{"handlers/api TestTheCitizenSeesWhatWasTold", "handlers/api TestEvidence", "projections/accesslog TestLogEqualsAFold"}},
		{"Two numbers of one person lead to one life once two persons decided, nothing is lost, a hold on either stops both, and erasing one forgets both.",
			[]string{"domain/citizen/merge.go MergeInto.Decide", "handlers/acting/person.go Recorder.LoadPerson", "handlers/work/erasure_run.go Worker.eraseCitizen"},
			[]string{"handlers/api TestF8TwoNumbersOnePerson", "handlers/api TestMergeIsUndone", "handlers/api TestMergeGoesOnAfterACrash", "cmd/coffre TestMergedPersonStaysErasedAcrossStarts"}},
		{"A death reported in error is corrected by two persons; what the death ended stays ended, also where the vault had not come to end it.",
			[]string{"domain/citizen/correct_death.go CorrectDeath.Decide", "domain/consent/use.go Use.Basis", "handlers/work/death.go Worker.givenAnew"},
			[]string{"handlers/api TestDeathReportedInError", "handlers/api TestTwoOfficersCorrect", "projections/wallet TestWalletsEqualAFold", "projections/evidence TestEvidenceEqualsAFold"}},
		{"That somebody finds a citizen by number is on record before it is told, and the citizen sees it, with purpose and case.",
			[]string{"domain/access/named.go RecordNamed.Decide", "handlers/disclosure/reading.go Discloser.RecordLookup"},
			[]string{"handlers/api TestTheCitizenSeesWhoLookedThemUp", "projections/accesslog TestLogEqualsAFold"}},
		{"What was refused about a citizen is never crowded out by what was refused about others.",
			[]string{"domain/access/refusals.go RecordRefusals.Decide", "handlers/disclosure/refused.go refusalQueue.add"},
			[]string{"domain/access TestNoiseHidesNobody", "handlers/disclosure TestNoiseHidesNobodyWhileItWaits", "handlers/api TestRefusalsAreBounded"}},
		{"Each act of each role, over HTTP, the command line, the control socket and the port for KurrentDB's clients, leaves the event that docs/records.md names, or a reason stands there.",
			[]string{"domain/audit/operate.go Operate.Decide", "handlers/api/event_list.go Vault.RecordPortReading"},
			[]string{"cmd/coffre TestEveryActHasItsRecord", "cmd/coffre TestEveryOperationFitsItsSchema", "handlers/api TestActsAreOnRecord", "cmd/coffre TestReadingThroughKurrentIsOnRecord"}},
		{"A restore, a copy of the vault and rows that came back are on record, once, with the account that ran them.",
			[]string{"cmd/coffre/vault/offline.go assembly.recordActs", "cmd/coffre/vault/copy.go openEnd.verifyAndRecord"},
			[]string{"cmd/coffre TestRestoreIsOnRecordOnce", "cmd/coffre TestCopyFromTheLaptopToProductionAndBack"}},
		{"Each kind of refused attempt is on record or counted, as docs/records.md says.",
			[]string{"handlers/disclosure/refused.go Discloser.QueueRefusal"},
			[]string{"cmd/coffre TestRefusedAttempts", "cmd/coffre TestRefusedPasswordsOfThePortAreCounted"}},
		{"A key of zeros is refused at every way in.",
			[]string{"handlers/acting/once.go Recorder.Begin"},
			[]string{"handlers/api TestNilKeyIsRefused"}},
		{"On the machine of a vault in service nobody gets content, and who works there is on record, as an account of the system, with why.",
			[]string{"handlers/edge/control.go ControlSocket.Authenticate", "cmd/coffre/vault/provider.go assembly.nameProvider"},
			[]string{"handlers/edge TestControlSocketServesOperatorsAlone", "handlers/edge TestControlSocketAsksWhy", "handlers/edge TestTwoPersonsAtTheControlSocketAreTwoAccounts",
				"cmd/coffre/vault TestControlServerKnowsTheAccount", "cmd/coffre/vault TestProviderIsRemembered", "cmd/coffre TestControlSocketIsAWayInLikeAnyOther"}},
		{"A vault, its copies and its restored backups start with the identity provider and the settings on record, and two persons change them.",
			[]string{"domain/audit/provider.go NameProvider.Decide", "cmd/coffre/vault/provider.go otherProvider"},
			[]string{"cmd/coffre/vault TestStartWithAnotherProviderIsRefused", "cmd/coffre/vault TestTwoPersonsChangeTheProvider", "cmd/coffre/vault TestVaultFromBeforeGetsItsProvidersSettings", "handlers/edge/token TestSettingsDecideWhoSomebodyIs"}},
		{"Who can write to the log and has no key of the vault puts no identity provider on record.",
			[]string{"handlers/acting/provider.go Recorder.Providers", "eventstore/seal/derive.go Ring.ProveProvider"},
			[]string{"cmd/coffre/vault TestRecordOfProvidersIsProved"}},
		{"An identity provider that was changed without the former one lets nobody in until an officer for whom it vouches confirms it.",
			[]string{"cmd/coffre/vault/provider.go confirmed.Authenticate", "domain/audit/confirm_provider.go ConfirmProvider.Decide"},
			[]string{"cmd/coffre/vault TestRecoveredProviderLetsNobodyInUntilConfirmed", "cmd/coffre/vault TestUnreadableRecordOfProvidersLetsNobodyIn"}},
		{"A token counts as the profile says, and a refused one is a line of the log that names the claim or check, never a value.",
			[]string{"handlers/edge/token/token.go Verifier.Authenticate", "handlers/edge/auth.go Server.authenticate"},
			[]string{"handlers/edge/token TestF13ProfileOfAProvider", "handlers/edge/token TestHostileTokens", "handlers/edge TestF13RefusedTokensAreLogged", "cmd/coffre/vault TestProviderVouchesForCallers"}},
		{"A key that the identity provider withdrew is out of use within the refresh, with every token that it signed; a new one counts at once.",
			[]string{"handlers/edge/token/discovery.go ProviderKeys.Key"},
			[]string{"handlers/edge/token TestF34WithdrawnKeysAreForgotten", "handlers/edge/token TestF34RememberedTokensEndWithTheirKey", "handlers/edge/token TestF40UnknownKeyWaitsForOneFetch", "handlers/edge/token TestF40OutageOfTheProvider"}},
		{"A token that is bound to a certificate counts over a connection only on which it was shown; partners show one wherever authorities for them are named, and none of an authority that counts no more comes back.",
			[]string{"handlers/edge/secure.go SecureListener", "handlers/edge/certified.go Certified.Authenticate", "cmd/coffre/vault/secure.go Certificates.Config"},
			[]string{"handlers/edge/token TestTokensBoundToACertificate", "handlers/edge TestACertificateThatIsShownIsPresented", "handlers/edge TestASessionEndsWithItsConfiguration", "handlers/edge TestPartnersShowACertificate", "cmd/coffre/vault TestCertificatesAreReadAgain", "cmd/coffre TestServesOverTLS"}},
		{"A token that is bound to a key counts with a proof of it only, and each proof once, in all processes.",
			[]string{"handlers/edge/token/proof.go Proofs.Nonce", "eventstore/replays/replays.go Table.Use"},
			[]string{"handlers/edge/token TestHostileProofs", "handlers/edge/token TestBoundTokensAreNoBearerTokens", "eventstore/replays TestProofCountsOnce", "eventstore/replays TestMemoryOfProofsIsBounded", "cmd/coffre/vault TestProviderVouchesForCallers"}},
		{"A session at the pages is found and opened with what the browser alone has; it is new at each login, and a cookie is worth nothing after signing out.",
			[]string{"handlers/pages/session.go Pages.begin", "handlers/pages/session.go Pages.grantedOf", "eventstore/sessions/sessions.go Table.End"},
			[]string{"handlers/pages TestSessionIsNewAtLogin", "handlers/pages TestCookieIsWorthNothingAfterSignOut", "handlers/pages TestSessionEndsByItself", "eventstore/sessions TestSessionEndsEverywhere", "eventstore/sessions TestSessionIsOverIdleAndAtItsEnd"}},
		{"No other site acts at the pages in a person's name, frames them, or is led to; what comes from documents and the registry is text there, and nothing personal is kept.",
			[]string{"handlers/pages/pages.go Pages.Handler", "handlers/pages/pages.go Pages.headers"},
			[]string{"handlers/pages TestForgedFormsAreRefused", "handlers/pages TestPagesAreNeitherFramedNorKept", "handlers/pages TestNoOpenRedirect", "handlers/pages TestTextsAreNoMarkup", "handlers/pages TestTextsOfOfficersAreNoMarkup", "handlers/pages TestPagesAreForThisMachine"}},
		{"A page shows what the API answers to whoever is logged in, in their role; an erasure waits until it is sent.",
			[]string{"handlers/pages/pages.go Pages.personal", "handlers/edge/held.go Held.MaySend"},
			[]string{"handlers/pages TestPagesRefuseOtherRoles", "handlers/pages TestEveryRoleHasItsHome", "handlers/pages TestAnOfficerActsInNobodysName", "handlers/pages TestWalletInFourLanguages", "handlers/edge TestAPageHoldsTheLeasesOfItsAnswers", "cmd/coffre/vault TestPagesServeAVaultForTryingOut"}},
		{"An auditor's page has each event as it is stored, byte for byte, with all that its proof needs; a script of ours runs on the pages of proofs alone.",
			[]string{"handlers/pages/auditor.go Pages.serveEvent", "handlers/pages/auditor.go Pages.scripted"},
			[]string{"handlers/pages TestAnEventIsShownWithItsProof", "handlers/pages TestTheLogIsNarrowed", "cmd/coffre/vault TestAuditorsPagesOfAYoungVault"}},
		{"A grave act at the pages is done after a login of the last five minutes alone, which the provider's signed answer states; it goes on as it was filled in, once, for the same person in the same browser.",
			[]string{"handlers/pages/fresh.go Pages.again", "handlers/pages/login.go Pages.enter", "handlers/pages/login.go Pages.signedIn", "handlers/edge/token/signin.go SignIns.SignIn"},
			[]string{"handlers/pages TestGraveActsAskForAFreshLogin", "handlers/pages TestAnActGoesOnAfterAFreshLogin", "handlers/pages TestAProviderThatIgnoresMaxAgeIsRefused", "handlers/pages TestAnActWaitsForItsPersonAndItsLogin", "handlers/pages TestTheChooserAsksAnew", "handlers/edge/token TestAnIDTokenSaysWhenSomebodyLoggedIn"}},
		{"A browser that installs the pages keeps files that are the same for everybody, and no answer about anybody.",
			[]string{"handlers/pages/install.go Pages.installRoutes", "handlers/pages/install.go worker"},
			[]string{"handlers/pages TestABrowserKeepsTheShellAlone", "handlers/pages TestThePagesCanBeInstalled"}},
		{"The portal for developers shows every operation of the contract and every problem, and nothing of anybody; a token that is tried out there is kept nowhere.",
			[]string{"handlers/pages/portal.go Pages.portalRoutes", "handlers/pages/portal.go Pages.serveOperation"},
			[]string{"handlers/pages TestThePortalShowsEveryOperation", "handlers/pages TestThePortalRunsOneScript", "handlers/pages TestProblemsAreExplained", "handlers/pages TestEveryTypeHasASample", "handlers/pages TestTextsOfThePortalAreNoMarkup", "cmd/coffre TestConnectPageIsRunAsItStands"}},
		{"An operator's acts at the pages are confirmed on a page that says what follows, and each form of it has one effect.",
			[]string{"handlers/pages/operator.go Pages.serveAct", "handlers/pages/operator.go Pages.answerAct"},
			[]string{"handlers/pages TestAnOperatorsActsAreConfirmed", "cmd/coffre/vault TestOperatorsPagesOfAYoungVault"}},
		{"At the pages, too, whoever asked for an erasure does not approve it; a citizen is looked up with a reason alone, and their number stands in no address and on no page.",
			[]string{"handlers/pages/inbox.go Pages.answerApprove", "handlers/pages/lookup.go Pages.answerLookup"},
			[]string{"cmd/coffre/vault TestTwoOfficersEraseAtThePages", "handlers/pages TestACitizenIsLookedUpWithAReason"}},
		{"People log in to the pages at the provider, in the browser that began it and by a code that nobody else can use; signing out ends both sessions.",
			[]string{"handlers/pages/login.go Pages.fromProvider", "handlers/pages/login.go Login.end", "handlers/edge/token/discovery.go ProviderKeys.Login"},
			[]string{"handlers/pages TestPeopleLogInAtTheProvider", "handlers/pages TestAnotherBrowsersLoginIsRefused", "handlers/pages TestALoginThatFailsBeginsNoSession", "handlers/pages TestSigningOutEndsTheProvidersSession", "cmd/coffre/vault TestPagesLogInAtTheProvider"}},
		{"On a page yes and no to a consent are as easy, stopping it takes one step, and what is kept as shown is what was shown.",
			[]string{"handlers/pages/consent.go Pages.answerConsent", "handlers/pages/consent.go Pages.answerStop"},
			[]string{"handlers/pages TestYesAndNoAreAsEasy", "handlers/pages TestAnAnswerSaysWhatWasShown", "handlers/pages TestAConsentIsStoppedInOneStep"}},
		{"Whoever acts for another reads so on every page, and never erases in their name.",
			[]string{"handlers/pages/pages.go session.read", "handlers/pages/data.go Pages.answerErase"},
			[]string{"handlers/pages TestInWhoseNameIsAlwaysVisible", "handlers/pages TestAConsentInAnothersName", "handlers/pages TestNobodyErasesInAnothersName"}},
		{"The pages tell who looked in sentences, since when that is complete, and that nobody looked; what looks wrong is disputed there.",
			[]string{"handlers/pages/looked.go Pages.serveLooked", "handlers/pages/petition.go Pages.answerDispute"},
			[]string{"handlers/pages TestWhoLookedIsToldInSentences", "handlers/pages TestAnAccessIsDisputed", "handlers/pages TestADocumentIsToBeRectified"}},
		{"A report about a citizen also tells what was done about their data: holds, restrictions, erasures, refusals, notices.",
			[]string{"handlers/api/citizen_subject_access_report.go reportAnswer.write", "handlers/disclosure/holds.go Discloser.OpenHolds", "handlers/reactors/webhook/webhook.go Told.About"},
			[]string{"handlers/api TestSubjectAccessReportHoldsWhatWasDone", "handlers/reactors/webhook TestTold", "handlers/reactors/webhook TestStatementsOnPostgreSQL"}},
		{"A citizen says that an access looks wrong, and the organisation that read answers within a month; one that was refused learns nothing.",
			[]string{"domain/petition/dispute.go Dispute.Decide", "domain/petition/answer.go Answer.Decide", "handlers/api/petition_answer.go Vault.AnswerPetition"},
			[]string{"domain/petition TestRules", "domain/petition TestDeadlines", "handlers/api TestDisputeOfAnAccess", "handlers/api TestDisputeOfARefusalStaysInTheVault", "projections/erasures TestPetitions"}},
		{"An answer takes two further months once, the citizen is told why within the first, and it is overdue after them and not before.",
			[]string{"domain/petition/extend.go Extend.Decide", "handlers/api/petition_extend.go Vault.ExtendPetition", "domain/term/subject.go OfPetition"},
			[]string{"domain/petition TestRules", "domain/term TestRules", "handlers/api TestQ7AnAnswerTakesLonger", "projections/terms TestWhatFallsDue", "handlers/reactors/ebox TestN1EndsAreWrittenOf"}},
		{"A parent disputes and asks for rectification in a child's name, as far as the mandate reaches, and sees nothing of it once the mandate ended.",
			[]string{"domain/petition/dispute.go Dispute.Decide", "handlers/api/petition_make.go Vault.MakePetition", "handlers/api/petition_show.go Vault.petitionReader"},
			[]string{"domain/petition TestRules", "handlers/api TestQ8AParentPetitions", "handlers/api TestQ8AMandateForAType", "cmd/coffre TestAccessMatrix"}},
		{"An organisation hears within seconds what became of what it issued or once read, and of nobody for whom it has no basis now.",
			[]string{"projections/signals/apply.go Signals.Apply", "handlers/disclosure/known.go Discloser.MayHear", "handlers/api/signal_list.go Vault.ListSignals"},
			[]string{"projections/signals TestProjection", "projections/signals TestWhoseSignals", "handlers/api TestA12WhoHearsWhat", "handlers/api TestA12NobodyHearsWithoutABasis"}},
		{"A citizen chooses what they hear of, in which language and by which way; the choice is sealed, counts at once and is forgotten with them.",
			[]string{"domain/citizen/set_preferences.go SetPreferences.Decide", "handlers/api/citizen_set_preferences.go Vault.SetPreferences", "handlers/disclosure/preferences.go Discloser.OpenPreferences"},
			[]string{"domain/citizen TestRules", "handlers/api TestPreferences", "handlers/api TestPreferencesAreSealed"}},
		{"A citizen finds in My eBox what concerns them, as they chose: each message once, in order, on record before it leaves, and nothing of what is restricted or under an investigation.",
			[]string{"domain/access/deliver.go AuthorizeDelivery.Decide", "handlers/disclosure/delivery.go Discloser.Deliver", "handlers/reactors/ebox/send.go Ebox.Turn", "handlers/reactors/ebox/notice.go hidden"},
			[]string{"domain/access TestRules", "handlers/api TestA13AMessageIsOnRecordBeforeItLeaves", "handlers/reactors/ebox TestExactlyOnceInOrder", "handlers/reactors/ebox TestDailyAndNone", "handlers/reactors/ebox TestNothingLeavesUnrecorded", "handlers/reactors/ebox TestH5HiddenAccessesAreNotWrittenOf", "handlers/reactors/ebox TestFinalAnswers", "handlers/reactors/ebox TestReadBack", "cmd/coffre TestEboxFromTheCommandLine"}},
		{"What ends is told once, to whom it concerns, whatever became of the clock meanwhile: an outage, a jump, a kill, a second process; and no decision depends on it.",
			[]string{"domain/term/announce.go Announce.Decide", "handlers/work/terms.go Worker.AnnounceTerm", "handlers/reactors/clock/clock.go Clock.Look", "projections/terms/terms.go Terms.Due"},
			[]string{"domain/term TestRules", "domain/term TestN2OnceWheneverTheClockLooks", "projections/terms TestWhatFallsDue", "handlers/api TestN1TermsAreAnnounced", "handlers/api TestN2AnOutage", "handlers/api TestN2OnceWhoeverAnnounces", "handlers/api TestN3WhatIsNotAnnounced", "handlers/api TestH5NothingIsAnnouncedOfAnInvestigation", "handlers/reactors/clock TestOnceAcrossKillsAndProcesses", "handlers/reactors/clock TestAJumpAheadIsDoubted", "handlers/reactors/clock TestAJumpBackAnnouncesNothingAgain", "handlers/reactors/clock TestAStartAfterALongOutage", "handlers/reactors/ebox TestN1EndsAreWrittenOf"}},
		{"An organisation is told by its own webhook what it may hear at that moment; no address that is not public is connected to, and no receiver takes time or memory from another.",
			[]string{"handlers/api/subscription.go Vault.SignalsFor", "handlers/reactors/webhook/sender.go Sender.Run", "handlers/reactors/webhook/sender.go Handshake", "eventstore/seal/secrets.go Secrets.Seal"},
			[]string{"handlers/api TestA12AWebhookIsToldWhatItMayHear", "handlers/api TestOrganisationsSeeToTheirWebhooks", "handlers/reactors/webhook TestSignaturesOfASubscription", "handlers/reactors/webhook TestF41GoneEndsASubscription", "handlers/reactors/webhook TestR22TheScheduleOfASubscription", "handlers/reactors/webhook TestWhatMayNotBeHeardIsWithheld", "handlers/reactors/webhook TestAttackPrivateAddresses", "handlers/reactors/webhook TestAttackRebinding", "handlers/reactors/webhook TestAttackRedirect", "handlers/reactors/webhook TestAttackHugeAnswer", "handlers/reactors/webhook TestAttackSlowDrip", "handlers/reactors/webhook TestAttackManySlowReceivers", "handlers/reactors/webhook TestAttackTLSDowngrade", "eventstore/seal TestSecrets"}},
		{"A contested document, and everything of a citizen who objects, can be restricted until the answer, and the answer ends that.",
			[]string{"handlers/api/petition_make.go Vault.MakePetition", "domain/citizen/lift_restriction.go LiftRestriction.Decide"},
			[]string{"handlers/api TestRectification", "handlers/api TestObjection", "handlers/api TestAnswerGoesOnAfterACrash", "domain/petition TestAnswerLiftsRestriction"}},
		{"An access log tells from where, why and for whom, since when it is complete, and that nobody read.",
			[]string{"handlers/api/access_log.go Vault.GetAccessLog", "projections/accesslog/groups.go Log.CompleteSince", "projections/accesslog/groups.go Log.Groups"},
			[]string{"handlers/api TestAccessLog", "handlers/api TestAccessGroups", "handlers/api TestAccessLogTellsCoverageAndAbsence", "projections/accesslog TestLogEqualsAFold", "projections/accesslog TestCompleteSince"}},
		{"What a competent authority reads under an investigation is on record before it is disclosed, hidden from the citizen until the investigation is lifted or ends, and then shown with until when and why; nothing tells before that there is any.",
			[]string{"domain/investigation/investigation.go State.Hides", "domain/access/by_law.go AuthorizeByLaw.Decide", "projections/accesslog/investigations.go Log.Investigations", "handlers/api/investigation_list.go Vault.ListInvestigations"},
			[]string{"domain/investigation TestRules", "domain/investigation TestShownStaysShown", "domain/access TestHiddenRefusalsChangeNoOthers", "projections/accesslog TestLogEqualsAFold", "handlers/api TestInvestigationHidesUntilItIsLifted", "handlers/api TestInvestigationAllowsNoObjection", "handlers/api TestInvestigationThatDoesNotCoverHidesNothing", "handlers/api TestInvestigationInExports"}},
		{"While processing is restricted nothing is disclosed to others but what the law lists, and they do not learn of it.",
			[]string{"domain/access/by_law.go AuthorizeByLaw.Restricted", "domain/consent/use.go Use.Restricted", "domain/access/read_back.go AuthorizeReadBack.Decide", "handlers/disclosure/reading.go Discloser.Revalidate"},
			[]string{"handlers/api TestRestrictedProcessingStopsDisclosures", "handlers/api TestRestrictionIsNotTold", "handlers/api TestRestrictionBetweenRecordAndDisclosure", "handlers/api TestRestrictedProcessingForLegalClaims", "domain/citizen TestRestrictionsCover"}},
		{"A consent is recorded only with the words that the registry has for its purpose.",
			[]string{"domain/consent/grant.go Grant.Decide", "projections/vocabulary/view.go View.ConsentText"},
			[]string{"domain/consent TestRules", "projections/vocabulary TestConsentText", "handlers/api TestGrantingConsent"}},
	}},
	{"Silence", []promise{
		{"Who asks for something that is not theirs learns nothing, not even that it is there.",
			[]string{"handlers/edge/problem.go Describe"},
			[]string{"cmd/coffre TestAnswersTellNothingOfWhomTheVaultKnows", "cmd/coffre TestAccessMatrix", "handlers/api TestNoBasis", "handlers/edge TestNotFoundTellsNothing"}},
		{"Neither the work nor the time of an answer without a basis depends on who is named.",
			[]string{"handlers/edge/silence.go Server.refuse", "eventstore/seal/ssin.go Ring.ResolveUnremembered"},
			[]string{"handlers/api TestWithoutABasisTheWorkIsTheSame", "handlers/api TestConsentRequestsToNobodyRunTogether", "handlers/edge TestRefusalsLeaveOnABeat", "eventstore/seal TestImitatedKeyWaitsForTheMedium"}},
		{"A position or a cursor tells nobody how many events the vault has.",
			[]string{"eventstore/seal/pagetoken.go PageTokens.Seal"},
			[]string{"eventstore/seal TestPageTokens", "handlers/acting TestCursors", "handlers/api TestReadYourWrites"}},
		{"Whatever a caller leaves in the vault takes a place in a budget, in all processes and across restarts; what takes something back is never refused for one.",
			[]string{"handlers/acting/limits.go Recorder.Take", "handlers/acting/limits.go Recorder.Admit", "eventstore/quotas/places.go Table.Take"},
			[]string{"cmd/coffre TestEveryOperationHasItsBudget", "eventstore/quotas TestPlacesEnd", "handlers/api TestF30ActsOfADayAreBounded"}},
		{"Traces hold words of the program, numbers and random ids: nothing of a person, a path's values, an argument of a statement or the text of an error. A collector that is away slows nobody.",
			[]string{"eventstore/spans/spans.go Begin", "eventstore/postgres/pgdb/trace.go tracer.TraceQueryStart", "eventstore/spans/otlp/otlp.go sender.ExportSpans"},
			[]string{"cmd/coffre TestCanary", "cmd/coffre TestCanaryInVault", "cmd/coffre TestCanaryOnPostgreSQL", "eventstore/spans/otlp TestATrace", "eventstore/spans/otlp TestACollectorThatIsAway"}},
		{"What the vault counts of requests sums over all processes, outlives them, counts a write in doubt once, and names organisations and no person.",
			[]string{"eventstore/traffic/traffic.go Table.Flush", "eventstore/traffic/traffic.go Table.Count"},
			[]string{"eventstore/traffic TestCountsAddUp", "eventstore/traffic TestAWriteInDoubtCountsOnce", "eventstore/traffic TestAWriteMadeAgainAddsNothing", "eventstore/traffic TestOnlyPartnersAreNamed", "handlers/api TestAnOrganisationSeesItsOwnUsage"}},
		{"Quotas and rates of organisations hold in all processes and across restarts, and count whoever is unknown like everybody else.",
			[]string{"eventstore/quotas/quotas.go Table.Count", "eventstore/quotas/quotas.go Table.Refused"},
			[]string{"eventstore/quotas TestCallsOfAMinute", "eventstore/quotas TestQuotaOfADay", "eventstore/quotas TestQuotaAcrossProcesses", "eventstore/quotas TestRefusalsOfAMinute", "handlers/api TestQuotasHoldAcrossProcessesAndRestarts", "handlers/api TestTooManyRefusals"}},
	}},
	{"Bound facts", []promise{
		{"A sealed part opens beside the facts and metadata of its own record only, at its own revision, also from a read model.",
			[]string{"eventstore/seal/sealer.go appendFacts", "eventstore/sealing.go Record.Place", "eventstore/sealing.go OpenKept"},
			[]string{"eventstore/seal TestASealedPartOpensBesideItsOwnFactsOnly", "eventstore/seal TestSealedBytesAreAsDocumented", "handlers/api TestADocumentWithOtherFactsIsNotShown", "handlers/api TestAnUpdateWithOtherFactsChoosesNoOtherVersion"}},
		{"A sealed part opens under one key, as one text: whoever sealed cannot show another later.",
			[]string{"eventstore/seal/sealer.go contentKey.commit"},
			[]string{"eventstore/seal TestASealedPartOpensUnderOneKeyAsOneText"}},
		{"What was sealed in any form that ever was opens for ever.",
			[]string{"eventstore/seal/sealer.go contentKey.open"},
			[]string{"eventstore/seal TestEveryFormOfASealedPartOpens"}},
		{"Who can write to the database gives nobody other terms of a consent, or of a mandate, than were given.",
			[]string{"handlers/disclosure/proof.go Discloser.proveConsent", "handlers/disclosure/proof.go Discloser.proveMandate"},
			[]string{"handlers/api TestAConsentWithOtherTermsDisclosesNothing", "handlers/api TestAConsentWithoutItsPersonalPartDisclosesNothing", "handlers/api TestAMandateWithOtherFactsShowsNothing"}},
		{"What is known and gone from the log is tampering, never absence.",
			[]string{"eventstore/log.go Log.unlessKnown", "eventstore/kurrent/kurrent.go Store.neverThere", "cmd/coffre/vault/witness.go readModels.knows"},
			[]string{"eventstore TestWhatIsKnownAndGoneIsNeverAbsent", "cmd/coffre TestRemovedRowsAreNeverAbsent", "cmd/coffre/vault TestReadModelsKnowWhatTheyTook"}},
		{"A stream that an administrator deletes takes nothing else with it, and is told of once, by name and place.",
			[]string{"eventstore/kurrent/kurrent.go Store.passed", "eventstore/leaves/leaves.go Index.compare", "cmd/coffre/vault/alarm.go alarm.report"},
			[]string{"eventstore/kurrent TestADeletedStreamIsDamagedAndOthersGoOn", "eventstore/kurrent TestACopyBringsADeletedStreamBack", "eventstore/leaves TestScrubNamesWhatWasChanged", "cmd/coffre TestADeletedStreamTakesNothingElseWithIt", "cmd/coffre/vault TestAlarmTellsOfAPlaceOnce"}},
	}},
	{"Witnesses", []promise{
		{"Checkpoints are cosigned by the witnesses of a policy; one that is slow or away stops nothing, and is seen.",
			[]string{"projections/transparency/witnesses.go Witnesses.round", "eventstore/checkpoints/cosigned.go Cosigned.Keep"},
			[]string{"projections/transparency TestWitnessesCosignWhatIsPublished", "projections/transparency TestASlowWitnessStopsNothing", "projections/transparency TestTroublesOfWitnessesAreSeen", "eventstore/checkpoints TestCosignaturesAreKept"}},
		{"Two histories of one log that are shown to two auditors are found out by the witness that both ask for.",
			[]string{"eventstore/proof/bundle/witnessed.go verification.judgeQuorum", "projections/transparency/witnesses.go Witnesses.cosign"},
			[]string{"cmd/coffre TestSplitViewIsFoundByAWitness", "projections/transparency TestASecondHistoryIsNotCosigned", "projections/transparency TestAWitnessThatForgotIsSeen", "eventstore/proof/bundle TestPolicyOfWitnessesIsApplied", "eventstore/proof/bundle TestCosignedDisagreementIsNamed"}},
		{"A witness never cosigns two histories of one log, also after a crash at any step.",
			[]string{"eventstore/witness/witness.go Witness.Add", "eventstore/witness/state.go State.write"},
			[]string{"eventstore/witness TestCrashAtEveryStepOfCosigning", "eventstore/witness TestWitnessAnswersAsTheProtocolSays", "eventstore/witness TestWitnessIsAskedAtOnce", "cmd/coffre TestWitnessFromTheCommandLine"}},
	}},
	{"What people keep", []promise{
		{"A receipt of a consent that was changed in any byte, or that another key signed, is refused; one of before a rotation holds with the former key.",
			[]string{"handlers/certificate/receipt.go ReadReceipt", "handlers/api/consent_receipt.go Vault.GetConsentReceipt"},
			[]string{"handlers/certificate TestReceiptWithAnotherByteIsRefused", "handlers/certificate TestReceiptsAndRotation", "handlers/certificate TestReceiptsThatDoNotHold", "cmd/coffre TestReceiptsProveTheirRecord"}},
		{"Whose documents went to an organisation is what the log says at a leaf, also where nobody recorded an outcome; the question is on record, with its reason, before anything is told.",
			[]string{"handlers/api/audit_ask_affected.go Vault.QueryAffectedPersons", "projections/accesslog/affected.go Log.AffectedPersons"},
			[]string{"projections/accesslog TestAffectedEqualsAFold", "handlers/api TestAffectedPersons", "handlers/api TestAffectedPersonsIsRefused"}},
		{"No figure tells of fewer than ten people, and no sum or difference of figures does.",
			[]string{"projections/figures/figures.go Table.Parts", "handlers/api/figures_show.go Vault.GetFigures"},
			[]string{"projections/figures TestNoGroupIsTooSmall", "projections/figures TestDifferencesTellOfNoSmallerGroup", "projections/figures TestPartsAreOfTheGroupsThatAreTold", "handlers/api TestFigures", "handlers/api TestFiguresLeaveOutWhatIsHidden", "projections/accesslog TestCountEqualsAFold", "cmd/coffre/vault TestFigureMetrics"}},
		{"A receipt speaks the language that was asked for, and is valid against Kantara's own schema.",
			[]string{"handlers/api/consent_record.go receiptFacts.iso27560", "handlers/api/consent_receipt.go receiptFacts.kantara"},
			[]string{"handlers/api TestReceiptsSpeakFourLanguages", "handlers/api TestKantaraReceiptIsValid", "handlers/api TestISO27560Receipt"}},
	}},
	{"Read models", []promise{
		{"A read model that stands still or fails again and again is seen in health, metrics and one line of the log.",
			[]string{"projections/failing.go task.tryFailed"},
			[]string{"projections TestFailingAgainAndAgainIsSeen", "projections TestFailingToBuildIsSeen", "cmd/coffre/vault TestFailingReadModelIsSeen"}},
		{"A database may publish all of its tables.",
			[]string{"eventstore/postgres/pgdb/pgdb.go AddPrimaryKey"},
			[]string{"cmd/coffre TestEveryTableMayBePublished", "projections TestPublishedTablesTakeEventsIn", "handlers/reactors TestOlderTablesArePublished"}},
	}},
	{"The way in", []promise{
		{"`coffre store prepare` is all that a first start on PostgreSQL needs, also as a role with no rights of its own.",
			[]string{"cmd/coffre/vault/prepare.go Prepare"},
			[]string{"cmd/coffre TestStorePrepare", "cmd/coffre TestDestroyerAndRotatorAreProcessesOfTheirOwn"}},
		{"A pooler before PostgreSQL is refused by name.",
			[]string{"eventstore/postgres/pgdb/pooler.go NamePooler", "eventstore/postgres/pgdb/pooler.go keepsSettings"},
			[]string{"eventstore/postgres/pgdb TestPoolersAreNamed", "eventstore/postgres TestPoolerIsRefused"}},
		{"`OPTIONS`, `Allow` and 405 tell the truth for paths that the contract writes out beside a variable.",
			[]string{"handlers/edge/server.go routes.serveUnknown"},
			[]string{"handlers/edge TestGatePaths", "cmd/coffre TestTypedPlacesCountBeforeVariables"}},
	}},
}
