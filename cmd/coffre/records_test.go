package main

import (
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"coffre/eventstore"
	"coffre/eventstore/codec"
	"coffre/handlers/contract"
	"coffre/handlers/edge/apitest"
)

const recordsFile = "../../docs/records.md"

// left says what an act leaves in the log: events, by their names, or none and why.
type left struct {
	events []string
	note   string // beside events, when they are left; alone, why none is
}

func events(names ...string) left { return left{events: names} }

// when adds under which circumstances, or what else is to be known.
func (l left) when(note string) left { l.note = note; return l }

func none(why string) left { return left{note: why} }

// String returns the cell of a table.
func (l left) String() string {
	var parts []string
	for _, e := range l.events {
		parts = append(parts, "`"+e+"`")
	}
	cell := strings.Join(parts, ", ")
	switch {
	case cell == "":
		return "none: " + l.note
	case l.note != "":
		return cell + "; " + l.note
	}
	return cell
}

// Reasons why an act leaves nothing.
const (
	tellsNobody  = "it tells nothing of anybody"
	ownAgreement = "what the caller itself agreed with the citizen, or was answered by them"
)

// recordedOperations says of every operation of the contract what it leaves when it
// succeeds. TestEveryOperationFitsItsSchema holds the events to what is in the log.
var recordedOperations = map[string]left{
	"issueDocument":       events("citizen.registered", "document.issued", "mandate.accepted", "mandate.granted").when("the citizen when they are new, mandates for a child's parents"),
	"updateDocument":      events("document.updated"),
	"revokeDocument":      events("document.revoked"),
	"suspendDocument":     events("document.suspended"),
	"reinstateDocument":   events("document.reinstated"),
	"queryDocuments":      none("an issuer reconciles what it issued: references, versions and states, no content; of a citizen to whom it issued nothing the answer is that of somebody unknown, so it learns of nobody"),
	"getDocument":         events("access.authorized", "access.disclosed").when("a citizen's own none"),
	"getDocumentVersions": events("access.authorized", "access.disclosed").when("a citizen's own none"),
	"getAttachment":       events("access.authorized", "access.disclosed").when("a citizen's own none"),
	"uploadAttachment":    none("a file belongs to nothing until a document names it; then `document.issued` or `document.updated` does"),
	"accessDocument":      events("access.authorized", "access.disclosed"),
	"accessAttachment":    events("access.authorized", "access.disclosed"),
	"queryEvidence":       events("access.authorized", "access.disclosed", "access.told"),
	"validateConsent":     none("it opens nothing and counts for the quota; what is refused is recorded"),

	"getCitizen":          events("access.disclosed", "access.named", "audit.operated").when("an organisation's or a privacy officer's look-up, each that names a case, the others once per purpose and day; a privacy officer's stands in the audit stream as well; a citizen's own none"),
	"reportDeath":         events("citizen.deceased", "consent.withdrawn", "mandate.ended").when("with what the death ends"),
	"correctDeath":        events("citizen.death-correction-proposed"),
	"proposeCorrection":   events("citizen.death-correction-proposed", "citizen.merge-proposed", "citizen.separation-proposed"),
	"approveCorrection":   events("citizen.death-corrected", "citizen.merged", "citizen.merged-into", "citizen.separated"),
	"listCorrections":     events("audit.operated"),
	"replaceSsin":         events("citizen.merge-proposed", "citizen.ssin-replaced").when("the first when the number is another person's in the vault"),
	"getWallet":           events("access.authorized", "access.disclosed", "audit.log-read").when("a representative's reading, an auditor's; a citizen's own none"),
	"getAccessLog":        events("access.authorized", "access.disclosed", "audit.log-read").when("a representative's reading, a privacy officer's; a citizen's own none"),
	"findUsage":           events("access.authorized", "access.disclosed").when("a representative's reading; a citizen's own none"),
	"getUsagePeriod":      none(tellsNobody),
	"getUsageHeartbeat":   none(tellsNobody),
	"listAccessGroups":    events("access.authorized", "access.disclosed", "audit.log-read").when("a representative's reading, a privacy officer's; a citizen's own none"),
	"subjectAccessReport": events("access.authorized", "access.disclosed"),
	"placeHold":           events("citizen.legal-hold-placed"),
	"liftHold":            events("citizen.legal-hold-lifted"),
	"proposeRelease":      events("release.proposed"),
	"approveRelease":      events("citizen.registered", "release.approved", "release.completed").when("the person in a new life"),
	"getRelease":          none("how far a release is that two officers decide, in codes and days; it opens nothing"),
	"restrictProcessing":  events("citizen.processing-restricted"),
	"makePetition":        events("access.disputed", "citizen.processing-restricted", "petition.requested").when("a dispute, or a request to rectify and an objection, with the restriction that is asked for"),
	"answerPetition":      events("access.dispute-answered", "citizen.restriction-lifted", "petition.answered").when("with the end of the restriction that came with it"),
	"getPreferences":      none("what citizens chose for themselves, told to nobody else"),
	"setPreferences":      events("citizen.preferences-set"),
	"extendPetition":      events("petition.extended"),
	"listPetitions":       events("access.authorized", "access.disclosed", "audit.operated").when("the look of an organisation or a privacy officer, and what a representative sees; a citizen's own none"),
	"getPetition":         events("access.authorized", "access.disclosed", "audit.operated").when("the look of an organisation or a privacy officer, and what a representative sees; a citizen's own none"),
	"listSignals":         events("audit.operated"),
	"listInvestigations":  events("audit.operated").when("a privacy officer's or an auditor's look; a consumer's own none"),
	"openInvestigation":   events("investigation.opened"),
	"renewInvestigation":  events("investigation.renewed"),
	"liftInvestigation":   events("investigation.lifted"),

	"listWebhookSubscriptions":  none(tellsNobody),
	"createWebhookSubscription": events("audit.operated"),
	"listWebhookDeliveries":     none(tellsNobody),
	"enableWebhookSubscription": events("audit.operated"),
	"replayWebhookSubscription": events("audit.operated"),
	"rotateWebhookSubscription": events("audit.operated"),
	"removeWebhookSubscription": events("audit.operated"),

	"liftRestriction":  events("citizen.restriction-lifted"),
	"listRestrictions": events("audit.operated").when("a privacy officer's look; a citizen's own none"),
	"getRestriction":   events("audit.operated").when("a privacy officer's look; a citizen's own none"),

	"listConsents":           events("access.authorized", "access.disclosed").when("a representative's reading; a citizen's own and a consumer's own none"),
	"listConsentRequests":    events("access.authorized", "access.disclosed").when("a representative's reading; a citizen's own and a consumer's own none"),
	"grantConsent":           events("consent.granted", "consent.withdrawn").when("the second of a consent that is renewed"),
	"getConsent":             events("access.authorized", "access.disclosed", "audit.operated").when("a representative's reading, a privacy officer's; a citizen's own and a consumer's own none"),
	"listConsentDocuments":   events("access.disclosed", "access.told").when("what its consumer is told of presence and absence; no use is counted"),
	"getConsentHistory":      events("access.authorized", "access.disclosed", "audit.operated").when("a representative's and a privacy officer's reading; a citizen's own none"),
	"listConsentDisclosures": events("access.authorized", "access.disclosed", "audit.operated").when("a representative's reading, a privacy officer's; a citizen's own none"),
	"getConsentReceipt":      events("access.authorized", "access.disclosed").when("a representative's and a privacy officer's reading; a citizen's own none"),
	"withdrawConsent":        events("consent.withdrawn"),
	"requestConsent":         events("consent.requested").when("without a citizen, of somebody whom the vault does not know"),
	"grantConsentRequest":    events("consent.granted"),
	"refuseConsentRequest":   events("consent.refused"),

	"listMandates":  none("the mandates in which the caller represents or is represented"),
	"grantMandate":  events("citizen.registered", "mandate.accepted", "mandate.granted").when("by a source both persons when they are new, and the acceptance at once"),
	"acceptMandate": events("mandate.accepted"),
	"endMandate":    events("mandate.ended"),

	"listEvents":      events("audit.log-read"),
	"queryConsentLog": events("audit.operated"),
	"createExport":    events("audit.export-created"),

	"getFigures":           events("audit.operated"),
	"queryAffectedPersons": events("audit.affected-asked").when("once per session, person and question; with its reason"),
	"listExports":          none("the states of tasks; each file is another operation"),
	"getExport":            none("the state of a task; the file is another operation"),
	"getExportContent":     events("audit.operated"),
	"cancelExport":         events("audit.operated"),

	"requestErasure":        events("citizen.erasure-requested"),
	"approveErasure":        events("citizen.erasure-approved").when("then the vault's own steps: `citizen.erasure-started`, `citizen.key-destroyed` or `document.content-destroyed`, `citizen.erasure-completed`, `citizen.erasure-finalised`, or `citizen.erasure-stopped`"),
	"getErasure":            events("audit.operated").when("a privacy officer's look; a citizen's own none"),
	"getErasureCertificate": events("audit.operated").when("a privacy officer's look; a citizen's own none"),
	"listAttachments":       events("audit.operated").when("when an operator looks; an issuer's look at its own files tells nothing of anybody"),
	"listErasures":          events("audit.operated"),
	"listHolds":             events("audit.operated"),
	"listAllRestrictions":   events("audit.operated"),
	"listReleases":          events("audit.operated"),
	"listSuppressions":      events("audit.operated"),
	"listDueErasures":       events("audit.operated"),

	"rotateKeys":              events("audit.operated"),
	"retireKeys":              events("audit.operated"),
	"trimKeys":                events("audit.operated"),
	"rotatePepper":            events("audit.operated"),
	"rotateAudit":             events("audit.operated"),
	"rotateRequests":          events("audit.operated"),
	"createBackup":            events("audit.operated"),
	"reportVerifiedBackup":    events("audit.operated"),
	"reportBackupElsewhere":   events("audit.operated"),
	"rebuildProjection":       events("audit.operated"),
	"publishRegistry":         events("registry.published").when("when something changed"),
	"getKeys":                 none(tellsNobody),
	"listProjections":         none(tellsNobody),
	"getCheckpoint":           none(tellsNobody),
	"proveInclusion":          none(tellsNobody),
	"proveConsistency":        none(tellsNobody),
	"getRebuild":              none(tellsNobody),
	"createComparison":        events("audit.operated"),
	"listComparisons":         none(tellsNobody),
	"getComparison":           none("what was found, tables and keys of rows, of which the log that auditors read is made; who had it found, and why, is on record"),
	"listWebhooks":            none(tellsNobody),
	"listReactors":            none(tellsNobody),
	"getTraffic":              none(tellsNobody),
	"getMonthlyUsage":         none(tellsNobody),
	"listPoison":              none(tellsNobody),
	"listEboxMessages":        none(tellsNobody),
	"retryEboxMessages":       events("audit.operated"),
	"pauseReactor":            events("audit.operated"),
	"resumeReactor":           events("audit.operated"),
	"retryPoison":             events("audit.operated"),
	"dropPoison":              events("audit.operated"),
	"getIdentityProvider":     none(tellsNobody),
	"proposeIdentityProvider": events("audit.provider-change-proposed"),
	"approveIdentityProvider": events("audit.provider-change-approved"),
	"confirmIdentityProvider": events("audit.provider-confirmed"),
	"enableWebhook":           events("audit.operated"),
	"replayWebhook":           events("audit.operated"),
	"rotateWebhook":           events("audit.operated"),
	"getRegistry":             none("it is published to everybody"),
	"getProcessingRegister":   none(tellsNobody),
	"getCondition":            none(tellsNobody),
	"getSigningKeys":          none("they are published to everybody"),
	"getHealth":               none(tellsNobody),
}

// recordedCommands says of every command that asks no vault for an operation, or does
// something besides, what it leaves.
var recordedCommands = map[string]left{
	"coffre audit bundle":            events("audit.log-read"),
	"coffre audit diff":              events("audit.log-read").when("when a vault elsewhere is asked; of a file or a directory none"),
	"coffre audit asof":              events("audit.log-read").when("when a vault elsewhere is asked; of a file or a directory none"),
	"coffre audit verify":            events("audit.log-read").when("when a vault elsewhere is asked; of a file or a directory none"),
	"coffre serve":                   events("audit.provider-named", "registry.published").when("when a new vault is made, and when a provider that two persons approved, or the first one, vouches for callers; who serves stands in the machine's own log"),
	"coffre token":                   none("it signs with the key of a vault for trying out, which no provider vouches for"),
	"coffre witness":                 none("it has no vault: it cosigns checkpoints of logs, which are public and name nobody"),
	"coffre witness key":             none("it reads the file of a witness and shows its public key"),
	"coffre bench":                   none("it measures a vault of its own, made for it"),
	"coffre config explain":          none(tellsNobody),
	"coffre config check":            none(tellsNobody),
	"coffre upgrade check":           none(tellsNobody),
	"coffre plan":                    none("it computes from what is typed, and asks no vault"),
	"coffre audit projections":       none("it reads the databases beside whoever serves them, and opens nothing sealed"),
	"coffre projections prepare":     none("it makes tables of the log beside whoever serves it, and opens nothing sealed"),
	"coffre erase verify":            none("it reads files offline and asks no vault"),
	"coffre export verify":           none("it reads files offline and asks no vault"),
	"coffre consents receipt verify": none("it reads files offline and asks no vault"),
	"coffre restore":                 events("audit.loss-accepted", "audit.operated").when("the first with `--accept-loss`; the other of a backup that is restored, with its digest: the start that follows records it, before anything is served"),
	"coffre destroyer":               events("citizen.erasure-completed", "citizen.erasure-finalised", "citizen.key-destroyed", "document.content-destroyed").when("it goes on with what two persons asked for and approved, which is on record"),
	"coffre rotator":                 none("it goes on with a rotation, whose every step is on record as an operation"),
	"coffre keys check":              none("it verifies rows of wrapped keys, opens none, and shows ids that the vault made"),
	"coffre keys restore":            events("audit.operated").when("when something was damaged: the start that follows records it, before anything is served"),
	"coffre store prepare":           none("it makes tables and rights, and reads no event"),
	"coffre store copy":              events("audit.operated").when("at the end of the source's log before anything is copied, so that the copy has it, too; once for each attempt"),
	"coffre version":                 none(tellsNobody),
	"coffre help":                    none(tellsNobody),
}

// recordedPorts says of every call of the port for KurrentDB's clients what it leaves.
var recordedPorts = map[string]left{
	"Read":                events("audit.log-read").when("of every read and subscription, once per name, day, stream and range"),
	"Append":              none("refused"),
	"Delete":              none("refused"),
	"Tombstone":           none("refused"),
	"BatchAppend":         none("refused"),
	"GetSupportedMethods": none(tellsNobody),
	"gossip Read":         none(tellsNobody),
}

// The docs say of every operation, command and way in which event it leaves, or why none.
func TestEveryActHasItsRecord(t *testing.T) {
	var doc strings.Builder
	doc.WriteString("# What is on record, act by act\n\n" +
		"Made by `TestEveryActHasItsRecord` of `cmd/coffre` from the contract, the tree of commands and the table beside the test; `go test ./cmd/coffre -run TestEveryActHasItsRecord -update` makes it anew. The events of operations are held to what a run of all operations leaves in a log.\n\n" +
		"Every event names in its metadata who acted: role, organisation, citizen or an HMAC of the subject, and for whom. Auditors see all of them in `GET /events` and with `coffre audit replay`. A parent's mandate that contradicts the national number is ended by whichever request meets it, as an act of the vault itself: `mandate.ended`, for the reason `notMinor`.\n\n" +
		"## Operations\n\n| operation | call | roles | on record |\n|---|---|---|---|\n")
	names := make(map[string]bool)
	for name := range codec.Catalog.Names() {
		name, _, _ = strings.Cut(name, "/")
		names[name] = true
	}
	check := func(act string, l left) {
		t.Helper()
		if len(l.events) == 0 && l.note == "" {
			t.Errorf("%s: neither an event nor a reason", act)
		}
		for _, e := range l.events {
			if !names[e] {
				t.Errorf("%s: there is no event %s", act, e)
			}
		}
	}
	calls := apitest.Calls(t, contract.YAML())
	slices.SortStableFunc(calls, func(a, b apitest.Call) int {
		return strings.Compare(a.Pattern[strings.Index(a.Pattern, " "):], b.Pattern[strings.Index(b.Pattern, " "):])
	})
	unused := maps.Clone(recordedOperations)
	for _, c := range calls {
		l, known := recordedOperations[c.OperationID]
		if !known {
			t.Errorf("what does %s leave?", c.OperationID)
		}
		delete(unused, c.OperationID)
		check(c.OperationID, l)
		roles := strings.Join(c.Roles, ", ")
		if roles == "" {
			roles = "everybody"
		}
		fmt.Fprintf(&doc, "| %s | `%s` | %s | %s |\n", c.OperationID, strings.Replace(c.Pattern, contract.Base, "", 1), roles, l)
	}
	doc.WriteString("\n## Commands\n\nA command asks a vault for operations, through its control socket, in its own process or by `--url`; what it leaves is what they leave.\n\n| command | asks for | on record besides |\n|---|---|---|\n")
	asks := commandsAsk(t)
	local := maps.Clone(recordedCommands)
	root, _ := newRoot(newProgram(terminal{}))
	commands := 0
	each(root, func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.HasAvailableSubCommands() && cmd.Annotations[runsItself] == "" || strings.HasPrefix(path, "coffre completion") {
			return // these only print help, or text for a shell
		}
		commands++
		l, besides := recordedCommands[path]
		delete(local, path)
		switch {
		case besides:
			check(path, l)
		case len(asks[path]) == 0:
			t.Errorf("%s asks for no operation: what does it leave?", path)
		}
		cell := "nothing else"
		if besides {
			cell = l.String()
		}
		fmt.Fprintf(&doc, "| `%s` | %s | %s |\n", path, cmp.Or(strings.Join(asks[path], ", "), "nothing"), cell)
	})
	if commands < 35 {
		t.Errorf("%d commands only", commands)
	}
	for act := range unused {
		t.Errorf("the contract has no %s", act)
	}
	for path := range local {
		t.Errorf("there is no command %s", path)
	}
	doc.WriteString("\n## Other ways in\n\n" +
		"The control socket answers the operations above and nothing else. `/livez`, `/readyz`, the contract and its page tell nothing of anybody and leave nothing; neither does `/metrics`, on the address of operators (`--ops-listen`). The port for KurrentDB's clients has its own calls:\n\n| call | on record |\n|---|---|\n")
	ports := maps.Clone(recordedPorts)
	for _, call := range portCalls() {
		l, known := recordedPorts[call]
		if !known {
			t.Errorf("what does %s leave, on the port for KurrentDB's clients?", call)
		}
		check(call, l)
		delete(ports, call)
		fmt.Fprintf(&doc, "| %s | %s |\n", call, l)
	}
	for call := range ports {
		t.Errorf("the port for KurrentDB's clients has no call %s", call)
	}
	doc.WriteString("\n## Refused attempts\n\n" +
		"Every refused request is counted in `coffre_refused_total`, by operation and the last word of the problem's type. Where the table says so, `access.refused` records it as well, with organisation, purpose, reason and the citizen and document that it concerns, and it stands in that citizen's access log; beyond thirty in a minute those about one citizen are counted together, and so are those about nobody. An answer 503 is counted only: the caller can wait it out, and was told nothing. `TestRefusedAttempts` tries each row.\n\n| who | what | answer | on record |\n|---|---|---|---|\n")
	for _, a := range refusedAttempts {
		answer, cell := "`"+a.problem+"`", "none: "+a.why
		if a.problem == "" {
			answer = "200, `lawful` is false"
		}
		switch {
		case a.seen:
			cell = "`access.refused`, in the citizen's access log"
		case a.recorded != "":
			cell = "`access.refused`"
		case a.why == "":
			t.Errorf("%s: neither a record nor a reason", a.what)
		}
		fmt.Fprintf(&doc, "| %s | %s | %s | %s |\n", a.who, a.what, answer, cell)
	}
	doc.WriteString("| a client of KurrentDB | a call without a good name and password | `UNAUTHENTICATED` | none: nobody is known; counted in `coffre_kurrent_refused_total` (`TestRefusedPasswordsOfThePortAreCounted`) |\n")
	if strings.Contains(doc.String(), "|  |") {
		t.Error("F31 a cell is empty")
	}
	if *update {
		if err := os.WriteFile(recordsFile, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(recordsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != doc.String() {
		t.Error("docs/records.md is behind the code: go test ./cmd/coffre -run TestEveryActHasItsRecord -update")
	}
}

// portCalls returns every call of the services that package wire offers.
func portCalls() (calls []string) {
	for _, service := range []grpc.ServiceDesc{streams.Streams_ServiceDesc, serverfeatures.ServerFeatures_ServiceDesc, gossip.Gossip_ServiceDesc} {
		prefix := ""
		if strings.Contains(service.ServiceName, "gossip") {
			prefix = "gossip "
		}
		for _, m := range service.Methods {
			calls = append(calls, prefix+m.MethodName)
		}
		for _, s := range service.Streams {
			calls = append(calls, prefix+s.StreamName)
		}
	}
	slices.Sort(calls)
	return calls
}

// compareWithLog compares the table of operations with the log of a vault in which every
// operation succeeded: each event carries the trace of the call that left it.
func compareWithLog(t *testing.T, r *rig, traced map[string]string) {
	t.Helper()
	if err := r.Core.WaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Core.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What a death ends, a reactor ends: it may come a little later.
	patience, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		found, last := operationsInLog(t, r, traced)
		var missing []string
		for operation, l := range recordedOperations {
			if is := slices.Sorted(maps.Keys(found[operation])); !slices.Equal(is, l.events) {
				missing = append(missing, fmt.Sprintf("%s left %v, and the table says %v", operation, is, l.events))
			}
		}
		if missing == nil {
			return
		}
		if r.Core.Log.Wait(patience, last) != nil {
			t.Fatal(strings.Join(missing, "\n"))
		}
	}
}

// operationsInLog returns the types of the events that each operation left, and where the
// last event lies.
func operationsInLog(t *testing.T, r *rig, traced map[string]string) (found map[string]map[string]bool, last eventstore.Position) {
	t.Helper()
	found = make(map[string]map[string]bool)
	for record, err := range r.Core.Log.Store().ReadAll(t.Context(), eventstore.Position{}, 1<<20) {
		if err != nil {
			t.Fatal(err)
		}
		meta, err := record.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		operation := traced[meta.Correlation.String()]
		if found[operation] == nil {
			found[operation] = make(map[string]bool)
		}
		name, _, _ := strings.Cut(record.Type, "/")
		found[operation][name] = true
		last = record.Position
	}
	return found, last
}

// sources are the declared functions of the program, by name; methods of one name are together.
type sources map[string][]*ast.FuncDecl

// parseCommands reads the program, without its tests.
func parseCommands(t *testing.T) sources {
	t.Helper()
	all := make(sources)
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				all[fn.Name.Name] = append(all[fn.Name.Name], fn)
			}
		}
	}
	return all
}

// commandsAsk returns the operations of the contract that each command asks for, by the
// command's path, as far as the source tells.
func commandsAsk(t *testing.T) map[string][]string {
	t.Helper()
	src := parseCommands(t)
	operations := make(map[string]string)
	for _, c := range apitest.Calls(t, contract.YAML()) {
		operations[strings.ToLower(c.OperationID)] = c.OperationID
	}
	found := make(map[string][]string)
	var visit func(name, under string)
	visit = func(name, under string) {
		use, children := "", []string(nil)
		for _, fn := range src[name] {
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.KeyValueExpr:
					if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Use" && use == "" {
						use = word(n.Value)
					}
				case *ast.CallExpr:
					called := calledName(n)
					if called == "group" && use == "" {
						use = word(n.Args[0])
					}
					if strings.HasPrefix(called, "new") && returnsCommand(src[called]) {
						children = append(children, called)
					}
				}
				return true
			})
		}
		path := strings.TrimSpace(under + " " + use)
		for _, child := range children {
			visit(child, path)
		}
		asked := make(map[string]bool)
		src.collect(name, operations, asked, map[string]bool{})
		for op := range asked {
			found[path] = append(found[path], op)
		}
		slices.Sort(found[path])
	}
	visit("newRoot", "")
	return found
}

// collect adds the operations that a function asks for, itself or through others of the
// program. What every command does to reach a vault is left out.
func (s sources) collect(name string, operations map[string]string, asked, seen map[string]bool) {
	if seen[name] || name == "connectLocal" {
		return
	}
	seen[name] = true
	for _, fn := range s[name] {
		if fn.Body == nil {
			continue
		}
		var look func(n ast.Node) bool
		look = func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				name := strings.TrimSuffix(n.Sel.Name, "Line") // one line of many, with the same meaning
				if op := operations[strings.ToLower(name)]; op != "" && ast.IsExported(name) {
					asked[op] = true
				}
				if s.isOwnMethod(fn, n) {
					s.collect(n.Sel.Name, operations, asked, seen)
				}
				ast.Inspect(n.X, look)
				return false
			case *ast.KeyValueExpr:
				ast.Inspect(n.Value, look)
				return false
			case *ast.Ident:
				if !returnsCommand(s[n.Name]) && receiverless(s[n.Name]) {
					s.collect(n.Name, operations, asked, seen)
				}
			}
			return true
		}
		ast.Inspect(fn.Body, look)
	}
}

// isOwnMethod reports whether a selector names a method of the program: one of the type of
// the function's receiver or parameter, or the only one of that name.
func (s sources) isOwnMethod(in *ast.FuncDecl, sel *ast.SelectorExpr) bool {
	methods := slices.DeleteFunc(slices.Clone(s[sel.Sel.Name]), func(fn *ast.FuncDecl) bool { return fn.Recv == nil })
	var of string
	if id, ok := sel.X.(*ast.Ident); ok {
		for _, list := range []*ast.FieldList{in.Recv, in.Type.Params} {
			if list == nil {
				continue
			}
			for _, field := range list.List {
				if slices.ContainsFunc(field.Names, func(name *ast.Ident) bool { return name.Name == id.Name }) {
					of = ownType(field.Type)
				}
			}
		}
	}
	ast.Inspect(in.Body, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && v.Type != nil && slices.ContainsFunc(v.Names, func(name *ast.Ident) bool { return isNamed(sel.X, name.Name) }) {
			of = ownType(v.Type)
		}
		return true
	})
	if of == "" {
		return len(methods) == 1
	}
	return slices.ContainsFunc(methods, func(fn *ast.FuncDecl) bool { return ownType(fn.Recv.List[0].Type) == of })
}

// isNamed reports whether an expression is that name.
func isNamed(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// ownType returns the name of a type of the package, also behind a pointer.
func ownType(e ast.Expr) string {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	id, _ := e.(*ast.Ident)
	if id == nil {
		return ""
	}
	return id.Name
}

// receiverless reports whether one of the declarations is a function and no method.
func receiverless(fns []*ast.FuncDecl) bool {
	return slices.ContainsFunc(fns, func(fn *ast.FuncDecl) bool { return fn.Recv == nil })
}

// word returns the first word of a string in the source.
func word(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	text, _ := strconv.Unquote(lit.Value)
	first, _, _ := strings.Cut(text, " ")
	return first
}

// calledName returns the name of a called function of the package; "" for any other call.
func calledName(c *ast.CallExpr) string {
	if id, ok := c.Fun.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// returnsCommand reports whether a function makes a command.
func returnsCommand(fns []*ast.FuncDecl) bool {
	for _, fn := range fns {
		if fn.Type.Results != nil && len(fn.Type.Results.List) > 0 {
			if star, ok := fn.Type.Results.List[0].Type.(*ast.StarExpr); ok {
				if sel, ok := star.X.(*ast.SelectorExpr); ok && sel.Sel.Name == "Command" {
					return true
				}
			}
		}
	}
	return false
}
