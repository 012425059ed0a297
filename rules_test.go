package coffre_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/rules.md anew")

const rulesFile = "docs/rules.md"

// rules are the numbered rules of the domain, which hold in every path. docs/rules.md is
// made of them.
var rules = []struct{ id, says string }{
	{"D-1", "A document has one issuer; only it updates, suspends, reinstates and revokes."},
	{"D-2", "Revocation is final, has a reason, and is effective from the day of issue at the earliest; until it is effective it can be brought forward."},
	{"D-3", "An update replaces the content whole, carries the version it replaces and from when it applies; of two updates of one version one wins."},
	{"D-4", "Per citizen, issuer, type and source reference there is one document; issuing it again meets it, and a keyed tag of the content decides."},
	{"D-5", "Content satisfies its type's schema at the current registry version; an unknown type or field is refused."},
	{"D-6", "Validity begins before it ends; what is not yet valid or has expired is shown as such."},
	{"C-1", "Only the citizen, or a mandated representative recorded as such, grants, refuses and withdraws."},
	{"C-2", "A consent names consumer, purpose, documents or types, optional fields, an end, optional limits; documents issued later are not covered."},
	{"C-3", "Whether a consent holds is computed when it is relied on; expired, withdrawn, exhausted, for another purpose or consumer, or unreadable is refused."},
	{"C-4", "A withdrawal stops every disclosure whose access is not yet recorded."},
	{"C-5", "What the citizen was shown is a text that the registry has for the purpose, the language and the version; it is kept sealed."},
	{"C-6", "Withdrawing never answers busy and is as easy as granting."},
	{"C-7", "Only the living consent."},
	{"C-8", "A renewal is a consent of its own that names the one it renews, to the same consumer for the same purpose; the one renewed ends before it holds."},
	{"A-1", "No content leaves before its access is durable; then all it relied on is read again, and what no longer allows it is withheld and recorded as such."},
	{"A-2", "Only the fields the basis covers."},
	{"A-3", "Refusals are recorded, without payload."},
	{"A-4", "A basis by law needs purpose, legal basis and deliberation, and the consumer registered for that purpose, type and procedure; under a consent a procedure that is named is the consumer's, too."},
	{"A-5", "There is no break-glass."},
	{"A-6", "The basis is judged first; without one the answer is the same whatever is held."},
	{"A-7", "An organisation names a limited number of distinct citizens a day, known or not, and is refused a limited number of times a minute, in all processes and after each restart."},
	{"A-8", "An access is not replayable by its key alone: again only while lawful, within five minutes, for the version first authorised, and as one attempt more."},
	{"A-9", "Without a basis the same work is done and the same time passes whoever is named, known to the vault or not."},
	{"A-10", "What tells a consumer presence, state or absence and nothing else is on record as what was told, once per query and before it is told."},
	{"A-13", "A message to a citizen is on record before it leaves, under a purpose, a legal basis and a deliberation, with the organisation that carries it, which learns the citizen's number and what the message says; it goes to living citizens alone, and says nothing of what a restriction covers."},
	{"A-11", "That an organisation or an officer finds a citizen by number is on record before it is told, for the citizen to see: each look-up that names a case, the others once per purpose and day."},
	{"A-12", "An organisation hears of changes: an issuer of its documents, a consumer of what it read while a basis under which it read stands, both of consents and petitions that name them. Of whom an erasure has begun nobody but issuers hears, and a restriction of processing silences what it covers."},
	{"M-1.1", "A mandate is granted, and accepted before it holds."},
	{"M-1.2", "A mandate has a scope: actions, and types of document."},
	{"M-1.3", "A mandate has an end, and does not hold from then on."},
	{"M-1.4", "Parents of a minor come from the authentic source."},
	{"M-1.5", "Each parent holds a child's document independently of the other."},
	{"M-1.6", "A parent's mandate ends when the child turns 18."},
	{"M-1.7", "A mandate is ended by either side, a parent's by the source's decision, for good."},
	{"M-1.8", "A mandate ends with either's death."},
	{"M-1.9", "A mandate whose end cannot be read allows nothing."},
	{"M-1.10", "Whether somebody speaks for a person is decided in one place, at every use: by a mandate in force, attested by the represented citizen or by an organisation that has the right to in the registry today."},
	{"M-1.11", "Parents speak for a minor only: by the source's day of birth and by the national number as it is today, whichever ends earlier; what contradicts the number is ended on record."},
	{"M-1.12", "From the age that the registry says a minor reads and decides alone; below it a minor neither consents nor gives a mandate, nor decides for others."},
	{"E-1", "Erasure is asked for by the citizen or the law, approved by a second person, judged per content key, and refused while a legal hold, a restriction of processing or a duty to keep stands; the refusal says which."},
	{"E-2", "The destroyer is an identity of its own."},
	{"E-3", "Once keys are destroyed nothing opens what they sealed, in no copy; the last certificate names the dates on which that holds for backups."},
	{"E-4", "Erased stays erased, until a lawful registration without link to the former one."},
	{"E-4.1", "The release of an erased person's number is proposed by a privacy officer, on a legal basis."},
	{"E-4.2", "Another officer, who names the same number, approves the release."},
	{"E-4.3", "A release that was not approved or not carried out within 30 days counts no more."},
	{"E-4.4", "A release is carried out once."},
	{"P-1", "A person is registered once."},
	{"P-2", "A death comes from an authentic source, is not in the future nor before the birth, and stands until it is corrected."},
	{"P-3", "A replaced number comes from an authentic source, and is not of somebody who is born later."},
	{"P-4", "A legal hold is placed and lifted by a privacy officer, with a reason."},
	{"P-5", "A restriction of processing (GDPR art. 18) stops every disclosure to others but those of art. 18(2), and every erasure of what it covers, until the citizen who asked for it lifts it, or a privacy officer who told the citizen; a consumer is answered as if what is covered were not held."},
	{"P-6", "A death reported in error is corrected by two persons: the authentic source or a privacy officer proposes it, another privacy officer decides; what the death ended stays ended."},
	{"P-7", "Two lives of one person are merged by two persons, and separated in the same way: from then on both numbers lead to the surviving life, whose documents, consents, mandates, accesses, holds and restrictions are those of both, and with whom both are forgotten."},
	{"P-8", "A citizen chooses for themselves, and nobody for them, in which language they are written to, of what they hear and by which way. The choice is sealed, and the last one counts."},
	{"N-1", "The end of a term is announced: of a document 90 and 30 days before its last day and on it, of a consent when it is over, of the time to answer a petition on the day after it; days are those of Belgium. No decision asks what was announced."},
	{"N-2", "Each step of an end is announced once, whichever process looks, and whenever; of several that passed meanwhile the nearest alone, none that had passed when the end became known, and none whose term has been over for 31 days."},
	{"N-3", "Nothing is announced of what was revoked, erased, withdrawn or answered before, of dates that are personal, and to who is not living."},
	{"Q-1", "A petition is the citizen's own, or made in their name (Q-8), about something of theirs that is on record: an access that looks wrong, a document that is not right, what an organisation does for a purpose (GDPR art. 15, 16, 21). It has a text, which is sealed."},
	{"Q-2", "A petition is answered by the organisation that it is addressed to; where no organisation read, or one was refused, by a privacy officer of the vault, and nobody else learns of it."},
	{"Q-3", "A petition has to be answered within a month (GDPR art. 12(3)); from then on it is overdue, which is computed."},
	{"Q-4", "An entry of an access log is disputed once, and a petition is answered once."},
	{"Q-5", "A rectification is upheld once the document was updated or revoked since; who rejects a petition says why."},
	{"Q-6", "A request to rectify and an objection may restrict processing until they are answered; where an objection is upheld, until the citizen lifts the restriction."},
	{"Q-7", "Whoever answers a petition may take two further months, once, and tells the citizen why within the first one (GDPR art. 12(3)); it is overdue after the new deadline."},
	{"Q-8", "A representative petitions in the citizen's name, and follows that, under a mandate in force that covers what it is about and, to petition, lets them consent; they restrict nothing."},
	{"H-1", "An organisation opens an investigation for a purpose and a basis by law under which the registry lets it hide accesses, says why, and until when, within the days that the registry allows."},
	{"H-2", "An investigation is renewed by the organisation that opened it, while the registry still allows it, a day before its end at the latest; what was shown is never hidden again."},
	{"H-3", "The organisation or a privacy officer lifts an investigation, for good; its end lifts it, too, which is computed."},
	{"H-4", "An access stands under an investigation only while that is open, and only of its organisation for its purpose, legal basis and deliberation; it names no case, and what a citizen consented to is not hidden."},
	{"H-5", "While an investigation is open, nothing that the citizen, who represents them or who answers them is told differs from what it were without the accesses under it: no status, byte, count, page or total."},
	{"H-6", "When an investigation is over, each access under it is shown where it stands, with until when it was hidden, and why."},
	{"I-1", "A process starts with the identity provider on record, and with no other: neither another issuer or audience, nor other settings that decide who somebody is."},
	{"I-2", "Another provider is proposed by an operator or a privacy officer, with a reason, and approved by a privacy officer who is another person, while the one on record vouches for both."},
	{"I-3", "A proposal counts for seven days, an approval for thirty, and the last proposal alone."},
	{"I-4", "Where the provider on record is gone, two accounts of the vault's own machine change it; until a privacy officer for whom the new one vouches confirms it, nobody else is let in."},
	{"I-5", "For a day after a change the former provider may be started with, so that processes are replaced one after the other."},
	{"R-1", "An operator publishes the registry; Coffre itself may on an empty log."},
	{"R-2", "Publishing what is in force records nothing."},
	{"R-3", "Versions follow each other without a gap."},
	{"R-4", "Labels and descriptions are there in nl, fr, de and en."},
	{"R-5", "Codes are well formed and stand once in their list."},
	{"R-6", "What is referred to stands in the registry."},
	{"R-7", "A type has a schema, an issuer, a category, and a retention with its rule."},
	{"R-8", "A basis by law has a deliberation number and is not consent; without any, consent may be asked."},
	{"R-9", "Who may read a type may learn something of it; predicates are of a closed vocabulary."},
	{"R-10", "An organisation says where citizens can ask; a consumer has a daily quota."},
	{"R-11", "A word once published stays, at most retired; personal validity is not taken back."},
	{"R-12", "A purpose for which consent may be asked has a text to show, with known places to fill in; a published version keeps its words."},
	{"R-13", "Whoever states a fact about persons (parentage, a court's appointment, a death, a replaced number) has a right to in the registry; without it the refusal names the right and tells nothing."},
}

// beyond are the rules that no pure decision can keep alone: they hold only if
// what runs the decisions does its part, so they need a test outside the domain too.
var beyond = []string{"D-3", "D-4", "D-5", "C-4", "C-5", "C-6", "A-1", "A-2", "A-3", "A-6", "A-7", "A-8", "A-9", "A-10", "A-11", "A-12", "A-13", "M-1.5", "M-1.8", "M-1.9", "M-1.10", "M-1.11", "M-1.12", "E-1", "E-3", "E-4", "P-5", "P-6", "P-7", "Q-2", "Q-6", "Q-7", "Q-8", "H-4", "H-5", "H-6", "I-1", "I-4"}

var ruleID = regexp.MustCompile(`\b([A-Z])-([0-9]+(?:\.[0-9]+)?)( to ([A-Z])-([0-9]+(?:\.[0-9]+)?))?\b`)

// ruleIDs returns the rules a text names, "C-1 to C-4" being four.
func ruleIDs(text string) []string {
	var ids []string
	for _, m := range ruleID.FindAllStringSubmatch(text, -1) {
		first := m[1] + "-" + m[2]
		ids = append(ids, first)
		if m[3] == "" {
			continue
		}
		last := m[4] + "-" + m[5]
		from := slices.IndexFunc(rules, func(r struct{ id, says string }) bool { return r.id == first })
		to := slices.IndexFunc(rules, func(r struct{ id, says string }) bool { return r.id == last })
		for i := from + 1; from >= 0 && i <= to; i++ {
			ids = append(ids, rules[i].id)
		}
	}
	return ids
}

// sites maps a rule to the places that name it.
type sites map[string]map[string]bool

func (s sites) add(text, place string) {
	for _, id := range ruleIDs(text) {
		if s[id] == nil {
			s[id] = make(map[string]bool)
		}
		s[id][place] = true
	}
}

func (s sites) of(id string) []string { return slices.Sorted(maps.Keys(s[id])) }

// survey reads every Go file for the rules that code and tests name. Code is what
// production runs; a rule that other code of the same packages names is in unrun.
func survey(t *testing.T) (code, told, tests, unrun sites) {
	code, told, tests, unrun = make(sites), make(sites), make(sites), make(sites)
	run := reachOfProduction(t)
	for _, isTest := range []bool{false, true} {
		for _, p := range goFiles(t, isTest) {
			if p == "rules_test.go" || strings.HasPrefix(p, "domain/domaintest/") || strings.HasSuffix(p, "/gen.go") {
				continue
			}
			file := parse(t, token.NewFileSet(), p)
			if file.Doc != nil && !isTest && run.folders[path.Dir(p)] {
				told.add(file.Doc.Text(), "package "+path.Dir(p))
			}
			for _, d := range file.Decls {
				name := declared(d)
				switch {
				case !isTest && run.places[place(p, d)]:
					comments(file, d, func(text string) { code.add(text, place(p, d)) })
				case !isTest && run.folders[path.Dir(p)]:
					comments(file, d, func(text string) { unrun.add(text, place(p, d)) })
				case !isTest: // packages that only tests import decide nothing
				case strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz"):
					comments(file, d, func(text string) { tests.add(text, place(path.Dir(p), d)) })
					ast.Inspect(d, func(n ast.Node) bool {
						if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
							if text, err := strconv.Unquote(lit.Value); err == nil {
								tests.add(text, place(path.Dir(p), d))
							}
						}
						return true
					})
				}
			}
		}
	}
	return code, told, tests, unrun
}

// comments calls f with every comment of a declaration: its own and those inside.
func comments(file *ast.File, d ast.Decl, f func(string)) {
	from := d.Pos()
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	}
	for _, group := range file.Comments {
		if group.Pos() >= from && group.End() <= d.End() {
			f(group.Text())
		}
	}
}

// declared names a declaration: Type.Method, a function, or the first of a group.
func declared(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		recv := d.Recv.List[0].Type
		if star, ok := recv.(*ast.StarExpr); ok {
			recv = star.X
		}
		if generic, ok := recv.(*ast.IndexExpr); ok {
			recv = generic.X
		}
		if id, ok := recv.(*ast.Ident); ok {
			return id.Name + "." + d.Name.Name
		}
		return d.Name.Name
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				return spec.Name.Name
			case *ast.ValueSpec:
				return spec.Names[0].Name
			}
		}
	}
	return "import"
}

// Every rule is decided in code that production runs and tested somewhere, nobody
// names a rule that is none, no comment claims a rule for code that nothing runs, and
// docs/rules.md says where.
func TestRulesTable(t *testing.T) {
	code, told, tests, unrun := survey(t)
	var doc strings.Builder
	doc.WriteString("# The rules, where they are decided and what tests them\n\n" +
		"Made from the comments of the code that production runs and from the names of tests; `go test -run TestRulesTable . -update` makes it anew.\n\n" +
		"| rule | says | decided in | tested by |\n|---|---|---|---|\n")
	known := make(map[string]bool)
	for _, r := range rules {
		known[r.id] = true
		places := code.of(r.id)
		if len(places) == 0 {
			places = told.of(r.id)
		}
		proofs := tests.of(r.id)
		outside := slices.ContainsFunc(proofs, func(p string) bool { return !strings.HasPrefix(p, "domain/") })
		for _, p := range unrun.of(r.id) {
			t.Errorf("%s names %s, but production never comes there", p, r.id)
		}
		switch {
		case len(places) == 0:
			t.Errorf("%s is decided nowhere that production comes to", r.id)
		case len(proofs) == 0:
			t.Errorf("%s has no test", r.id)
		case slices.Contains(beyond, r.id) && !outside:
			t.Errorf("%s has no test beyond the domain", r.id)
		}
		fmt.Fprintf(&doc, "| %s | %s | %s | %s |\n", r.id, r.says, strings.Join(places, "<br>"), strings.Join(proofs, "<br>"))
	}
	for _, found := range []sites{code, told, tests} {
		for id, places := range found {
			for place := range places {
				if !known[id] && strings.HasPrefix(strings.TrimPrefix(place, "package "), "domain/") && id != "M-1" {
					t.Errorf("%s names %s, which is no rule", place, id)
				}
			}
		}
	}
	if *update {
		if err := os.WriteFile(rulesFile, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != doc.String() {
		t.Errorf("%s is behind the code: run go test -run TestRulesTable . -update", rulesFile)
	}
}

func TestRuleIDs(t *testing.T) {
	for text, want := range map[string][]string{
		"C-3 withdrawn is refused":   {"C-3"},
		"implements M-1.1 to M-1.3.": {"M-1.1", "M-1.2", "M-1.3"},
		"rules D-1, D-2 and (A-6)":   {"D-1", "D-2", "A-6"},
		"SHA-256, UTF-8, RFC 6962":   nil,
	} {
		if got := ruleIDs(text); !slices.Equal(got, want) {
			t.Errorf("%q names %v, want %v", text, got, want)
		}
	}
}
