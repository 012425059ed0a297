package coffre_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const reliabilityFile = "docs/reliability.md"

// A hardship is something that happens to systems in service, and what must hold then.
type hardship struct {
	id, happens, holds string
	tests              []string // as in promises; soaked ones run longer with COFFRE_SOAK=1
	left               string   // what no test of this repository does, and why
}

// Every hardship has tests that exist, or a reason why there is none here, and
// docs/reliability.md says so.
func TestReliabilityTable(t *testing.T) {
	tests := testsByPlace(t)
	var doc strings.Builder
	doc.WriteString("# What happens to systems in service, and which test lets it happen\n\n" +
		"Each row is a scenario of the trials that trusted systems are put to: databases' crash and fault tests, Jepsen's, the drills of certificate logs. `make test` runs the tests, `make soak` runs many of them longer. The last column says what is not tried here, and why. Made from `reliability_test.go`; `go test -run TestReliabilityTable . -update-promises` makes it anew.\n\n" +
		"| | what happens | what holds | tests | not here |\n|---|---|---|---|---|\n")
	for i, h := range hardships {
		if want := fmt.Sprintf("R%d", i+1); h.id != want {
			t.Errorf("%s stands where %s is expected", h.id, want)
		}
		if h.happens == "" || h.holds == "" || len(h.tests) == 0 && h.left == "" {
			t.Errorf("%s: a hardship happens, something holds, and a test or a reason stands there", h.id)
		}
		held := marked(h.tests)
		for i, test := range held {
			if !tests[test] {
				t.Errorf("%s: there is no %s", h.id, h.tests[i])
			}
		}
		fmt.Fprintf(&doc, "| %s | %s | %s | %s | %s |\n", h.id, h.happens, h.holds, strings.Join(held, "<br>"), h.left)
	}
	if len(hardships) != 24 {
		t.Errorf("%d hardships, 24 are expected", len(hardships))
	}
	if *updatePromises {
		if err := os.WriteFile(reliabilityFile, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(reliabilityFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != doc.String() {
		t.Errorf("%s is behind reliability_test.go: run go test -run TestReliabilityTable . -update-promises", reliabilityFile)
	}
}

var hardships = []hardship{
	{"R1", "Load that comes whatever the answers take", "no errors, and times that do not grow with what waits",
		[]string{"cmd/coffre TestKillServeUnderLoad", "handlers/api TestSixtyFourWriters"},
		"A generator that does not wait for answers needs minutes of its own: `deploy/load/run` has k6 send what a launch day sends, through a balancer to three processes of which one is killed every 20 s ([decision 89](decisions/0089-a-balancer-before-a-launch-day.md)). `make interop` plays a minute of it and asserts no time."},
	{"R2", "An hour of even load", "memory, descriptors and goroutines stay level",
		[]string{"eventstore/sqlite TestStoreSoak", "eventstore/postgres TestStoreSoak", "handlers/reactors TestR11_effectsHappenOnceWhateverIsKilled"},
		"The slope of memory over an hour: `make soak` has to end within the time of one build. `SHAPE=soak LENGTH=long deploy/load/run` measures it, and [performance.md](performance.md) has what a short one gave."},
	{"R3", "Five times the load that can be served", "what is too much is refused at once and may be repeated; revocations and withdrawals have a share of their own",
		[]string{"handlers/edge TestF30RequestsAtATimeAreBounded", "eventstore/sqlite TestOverloadByBytes", "eventstore/sqlite TestOverloadKeepsAShareForReserved", "eventstore/seal/keysdb TestFullQueue", "cmd/coffre TestImportWaitsForABusyVault"},
		"How soon times are as before: a figure, not a test."},
	{"R4", "A process is killed at a random moment under load", "everything acknowledged is there, once, in its place; the next start repairs without a hand",
		[]string{"cmd/coffre TestKillServeUnderLoad", "cmd/coffre TestKillServeWhileErasing", "eventstore/sqlite TestKill", "eventstore/postgres TestKill"}, ""},
	{"R5", "The power fails: what was not synced is lost", "as above; what a process read after another's death is on the medium",
		[]string{"eventstore/sqlite TestCrashAtEveryCall", "eventstore/sqlite TestSeenAfterAKillSurvivesAPowerCut", "eventstore/faulty/faultfs TestCrashTakesWhatWasNotSynced", "eventstore/seal/keysdb TestBrokenMedium"},
		"A file system that loses pages below the kernel: the tests' own file system, which forgets what was not synced, stands below SQLite instead."},
	{"R6", "The disk is full", "writes are refused as `insufficientStorage`, revocations and withdrawals have a reserve, reads go on, a start works, and nothing is needed but room",
		[]string{"eventstore/sqlite TestDiskFull", "eventstore/sqlite TestDiskFullForReal", "eventstore/postgres TestDiskFullForReal", "cmd/coffre TestStartOnAFullDisk", "cmd/coffre TestFullPostgres", "cmd/coffre TestRunbooks"}, ""},
	{"R7", "The network to PostgreSQL, Vault or KurrentDB is cut", "what needs them is refused and may be repeated, the rest goes on, nothing happens twice, and all is as before once it is back",
		[]string{"eventstore/postgres TestStormOverABrokenNetworkSoak", "eventstore/postgres TestLostAnswerIsSettledByIDs", "eventstore/kurrent TestCutAfterCommit", "cmd/coffre TestVaultGoneUnderLoad", "projections TestServerOfTheModelsCrashes"}, ""},
	{"R8", "Something that is depended on is slow, or silent on an open connection", "callers' deadlines hold, pools are bounded, and after some failures nobody waits any more",
		[]string{"eventstore/postgres TestStoreOverASlowNetworkSoak", "eventstore/kurrent TestStoreOverSlowNetworkSoak", "eventstore/seal/transit TestBreaker", "eventstore/seal/transit TestVaultComesAndGoes", "eventstore TestBusyOnlyAtTheDeadline"}, ""},
	{"R9", "Vault is sealed, on standby, or refuses the token", "appends fail closed, what needs no key is served, and nobody's help is needed once it is unsealed",
		[]string{"eventstore/seal/transit TestVaultComesAndGoes", "eventstore/seal/transit TestTokensRevoked", "eventstore/seal/transit TestTokensEnd", "cmd/coffre TestVaultGoesAndComesBack", "eventstore/seal/transit TestStartWaitsWhileVaultComesBack", "cmd/coffre/vault TestEveryCallOfAStartWaitsForVault", "cmd/coffre TestServeWaitsForVault", "cmd/coffre TestRunbooks"},
		"A standby that is one: the server of the tests has no second node; its answers are those of the real one's API."},
	{"R10", "Events come twice, late, or cannot be handled", "one effect each; what cannot be handled is set aside with its reason and holds up nobody else; a shutdown sets nothing aside",
		[]string{"handlers/reactors TestR11_effectsHappenOnceWhateverIsKilled", "handlers/reactors TestADamagedRecordIsSetAsideAndPassed", "projections/sqlitemodels TestContract", "projections TestPoisonStopsOneProjectionAndSaysWhere"}, ""},
	{"R11", "Processes are replaced one after the other under load", "no request fails, and one process runs each read model",
		[]string{"cmd/coffre TestRollingRestart", "eventstore/postgres/pgdb TestLeaseHasOneHolder", "handlers/reactors TestR11_effectsHappenOnceWhateverIsKilled"}, ""},
	{"R12", "A subscription falls silent on a living connection", "it is noticed and made anew",
		[]string{"handlers/reactors TestR12_a_read_that_hangs_is_given_up", "eventstore/kurrent TestStalledSubscription"}, ""},
	{"R13", "A clock jumps, a day has 23 or 25 hours", "the order is the log's, leases end by whichever clock says so first, days are Belgian",
		[]string{"eventstore/seal TestLeaseEndsByEitherClock", "domain TestF10BelgianDays", "cmd/coffre TestF10DaysAreDaysInBelgium", "handlers/api TestMandateThatEndsInBetween", "handlers/api TestEventsOfARangeOfTime", "cmd/coffre TestRunbooks"},
		"The machine's own clock set forth and back: the tests give each part a clock."},
	{"R14", "A bit changes, rows are swapped or gone, a file is cut or put back", "it is found and named, what it concerns is not served, everything else is",
		[]string{"eventstore/sqlite TestEveryFlippedByte", "eventstore/sqlite TestFlipsAnywhere", "cmd/coffre TestOneBitOfAnyRecordIsNamed", "cmd/coffre TestChangedBitInTheKeyDatabase", "cmd/coffre TestAnOlderLogPutBackIsRefused", "projections TestDamagedTablesAreBuiltAnewAndNeverShown"}, ""},
	{"R15", "Everything is lost but the backup", "a restore serves what the backup held, and who was erased stays erased",
		[]string{"cmd/coffre TestRestoreKeepsErasedWhatWasErased", "cmd/coffre TestRestoreKilledAtEachStep", "cmd/coffre TestRestoreOntoServersKilledAtEachStep", "cmd/coffre TestRestoreIsOnRecordOnce", "cmd/coffre TestBackupOnPostgreSQL", "cmd/coffre TestRunbooks"},
		"A log in KurrentDB is restored by its own tools: [the runbook](../deploy/runbooks/backup.md) says how, no test does it."},
	{"R16", "Two releases run side by side, events are years old", "every form ever released is read; an older program goes on until a table's form says that it no longer serves it",
		[]string{"eventstore/codec TestGolden", "eventstore/codec TestAnOldFormIsReadAsToday", "eventstore/seal TestEveryFormOfASealedPartOpens", "eventstore/postgres TestFormsAheadAndBehind", "projections TestTwoVersionsSideBySide"}, ""},
	{"R17", "A migration is killed between two steps, or two processes begin it at once", "one runs it, and whoever comes next goes on",
		[]string{"eventstore/postgres TestPrepareIsRepeatedAndRaced", "eventstore/seal TestFormerRingKilledWhileItGetsMACs", "eventstore/seal/keysdb TestMigrations"}, ""},
	{"R18", "Ten million events, a million citizens, one citizen with very many", "pages and starts stay short",
		[]string{"projections/wallet TestProjection", "projections/accesslog TestProjection", "projections/signals TestProjection", "handlers/api TestVersionsAndRestrictionsInPages"},
		"Ten million events: a million are measured, and what follows from it is computed ([scale.md](scale.md)). The tests refuse a statement of a read model that would read a whole table for an event."},
	{"R19", "Many writers change one person at once", "one outcome for each, in one order, and no change is lost",
		[]string{"handlers/api TestSixtyFourWriters", "eventstore TestConcurrentWritersAllSeeEachOther", "handlers/api TestManyReaders", "eventstore/requests TestRaceForOneKey"}, ""},
	{"R20", "Memory is short", "what one caller can make a process hold is bounded",
		[]string{"handlers/edge TestF30RequestsAtATimeAreBounded", "eventstore/sqlite TestOverloadByBytes", "handlers/edge TestGateBodies"},
		"A process under a limit of the system: memory is T7 of [performance.md](performance.md), and the chart states what a process asks for."},
	{"R21", "Connections say nothing, or a byte at a time", "each ends by a deadline, and its request is never handed on",
		[]string{"handlers/edge TestR21SlowRequestsEnd", "handlers/edge TestAnswerHasAnEnd", "eventstore/kurrent/wire TestF35SilentConnectionsAreBounded", "eventstore/kurrent/wire TestF35SilentConnectionsEnd"},
		"No descriptors left at the API: how many connections come in is bounded by what stands before it."},
	{"R22", "A receiver of webhooks is away for days, fails, refuses, or asks for patience", "it is tried as the schedule says, misses nothing, and hears in order of each document",
		[]string{"handlers/reactors/webhook TestR22_the_schedule", "handlers/reactors/webhook TestR22_a_consumer_away_for_long_misses_nothing", "handlers/reactors/webhook TestRetryAfterIsHonoured", "handlers/reactors/webhook TestGoneDisablesUntilEnabled"}, ""},
	{"R23", "A backup is taken while clients write and somebody is erased", "it is of one moment, or is refused",
		[]string{"cmd/coffre TestBackupUnderLoad", "cmd/coffre TestBackupDuringAnErasure", "cmd/coffre TestBackupOnPostgreSQL"}, ""},
	{"R24", "Something is configured wrongly", "the start is refused at once, with the name of what is wrong and how to mend it",
		[]string{"cmd/coffre TestUsageMistakesAreCode2", "cmd/coffre/vault TestReadOIDCTellsAllMistakes", "cmd/coffre/vault TestConfigFromEnv", "eventstore/seal/transit TestConfigSaysAllThatIsWrong", "eventstore/seal/transit TestStartNeedsVault"}, ""},
}
