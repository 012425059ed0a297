package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"coffre/cmd/coffre/client"
	"coffre/domain"
	"coffre/domain/domaintest"
	"coffre/handlers/contract"
	"coffre/handlers/edge/token"
)

// attested is what a line of an import file says.
type attested struct {
	SSIN         string         `json:"ssin"`
	DocumentType string         `json:"documentType"`
	ValidFrom    domain.Date    `json:"validFrom"`
	ValidUntil   domain.Date    `json:"validUntil"`
	Content      map[string]any `json:"content"`
	Parents      []string       `json:"parents"`
}

// state is what the document is worth on a day.
func (a attested) state(today domain.Date) contract.DocumentState {
	switch {
	case today.Before(a.ValidFrom):
		return contract.DocumentStateNotYetValid
	case !a.ValidUntil.IsZero() && a.ValidUntil.Before(today):
		return contract.DocumentStateExpired
	}
	return contract.DocumentStateValid
}

// minor reports whether the person that an ISI+ card is about is under 18.
func (a attested) minor(today domain.Date) bool {
	born, _ := a.Content["birthDate"].(string)
	return today.Before(domain.Date(born).AddYears(18))
}

func readAttested(t *testing.T, path string) []attested {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []attested
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		var a attested
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// TestRealDocumentsReachEveryWallet imports every real file through the real path.
func TestRealDocumentsReachEveryWallet(t *testing.T) {
	folder, ok := domaintest.SharedData(t, "import")
	if !ok {
		return
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	// The day must not change between the import and the looking.
	today := domain.BelgianDate(time.Now())
	own, others := map[string][]attested{}, map[string][]attested{}
	total := 0
	for _, f := range files {
		for _, a := range readAttested(t, f) {
			total++
			own[a.SSIN] = append(own[a.SSIN], a)
			for _, parent := range a.Parents {
				own[parent] = slices.Clip(own[parent]) // a parent may have no document
				if a.minor(today) {
					others[parent] = append(others[parent], a)
				}
			}
		}
	}
	if len(own) < 80 || len(others) < 3 {
		t.Fatalf("%d persons, %d parents", len(own), len(others))
	}

	s, dir := onDisk(t), t.TempDir()
	first := jsonLines(t, s.must(0, append([]string{"documents", "import", "--data", dir, "--json"}, files...)...).out)[0]
	if first["issued"] != float64(total) || first["refused"] != 0.0 {
		t.Fatalf("of %d lines: %v", total, first)
	}
	before := replayed(t, s, dir)
	second := jsonLines(t, s.must(0, append([]string{"documents", "import", "--data", dir, "--json"}, files...)...).out)[0]
	if second["issued"] != 0.0 || second["unchanged"] != float64(total) {
		t.Errorf("the second time: %v", second)
	}
	if after := replayed(t, s, dir); !reflect.DeepEqual(before, after) {
		t.Errorf("the second import recorded something: %v, before it %v", after, before)
	}

	p := newProgram(terminal{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	v, err := p.connect(t.Context(), where{data: dir}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.close(); err != nil {
			t.Error(err)
		}
	}()
	for number := range own {
		ssin, err := domain.ParseSSIN(number)
		if err != nil {
			t.Fatal(err)
		}
		me := v.as(token.Grant{Role: domain.RoleCitizen, SSIN: ssin})
		id, err := who{}.id(t.Context(), me)
		if err != nil {
			t.Fatal(err)
		}
		w, err := client.Read[contract.Wallet](me.GetWallet(t.Context(), id, contract.GetWalletParams{}))
		if err != nil {
			t.Fatal(err)
		}
		compare(t, w.Body, contract.HeldAsSubject, own[number], today)
		compare(t, w.Body, contract.HeldAsRepresentative, others[number], today)
	}
}

// replayed counts the log's events by type, readings of the log aside.
func replayed(t *testing.T, s *shell, dir string) map[string]any {
	t.Helper()
	all := jsonLines(t, s.must(0, "audit", "replay", "--data", dir, "--json").out)
	types, _ := all[len(all)-1]["types"].(map[string]any)
	delete(types, "audit.log-read")
	return types
}

// compare holds what a wallet shows of one kind to what was attested. Failures do
// not name anybody.
func compare(t *testing.T, w contract.Wallet, as contract.HeldAs, want []attested, today domain.Date) {
	t.Helper()
	var got []contract.WalletItem
	for _, i := range w.Items {
		if i.HeldAs == as {
			got = append(got, i)
		}
	}
	if len(got) != len(want) {
		t.Errorf("a wallet shows %d documents as %s, want %d", len(got), as, len(want))
		return
	}
	for _, a := range want {
		if !slices.ContainsFunc(got, func(i contract.WalletItem) bool {
			var content map[string]any
			return json.Unmarshal(i.Content, &content) == nil && reflect.DeepEqual(content, a.Content) &&
				string(i.DocumentType) == a.DocumentType && i.ValidFrom == a.ValidFrom && i.ValidUntil == a.ValidUntil &&
				i.State == a.state(today) && i.Issuer == defaultIssuer && i.Version == 1
		}) {
			t.Errorf("a wallet does not show a %s as %s the way it was attested", a.DocumentType, as)
		}
	}
}
