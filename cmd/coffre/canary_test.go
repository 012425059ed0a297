package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"coffre/cmd/coffre/vault"
	"coffre/domain"
	"coffre/domain/domaintest"
	"coffre/eventstore"
	"coffre/eventstore/seal/transit/vaulttest"
)

// The canary: after the demo and the import of every real record, no file of the
// vault, no log and no temporary file holds a name, a number, a birth date or what
// follows from it, in any of the forms bytes are written in.

const (
	shortest = 6 // bytes of a canary; shorter ones would be found by chance
	// shortestNumber is that of one of nothing but digits: any shorter number stands
	// somewhere in the fractions of seconds of a thousand events or of an audit log.
	shortestNumber = 9
)

// canaries are the strings to look for.
type canaries map[string]bool

func (c canaries) add(s string) {
	if len(s) >= shortestNumber || len(s) >= shortest && strings.Trim(s, "0123456789") != "" {
		c[s] = true
	}
}

// born adds a birth date and the dates that betray it.
func (c canaries) born(s string) {
	d, err := domain.ParseDate(s)
	if err != nil {
		return
	}
	c.add(s)
	c.add(string(d.AddYears(18)))
	c.add(string(d.EndOfYear(12)))
}

// walk collects from a content what must not be seen.
func (c canaries) walk(name string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for k, each := range v {
			c.walk(k, each)
		}
	case []any:
		for _, each := range v {
			c.walk(name, each)
		}
	case string:
		switch name {
		case "birthdate", "birthDate":
			c.born(v)
		case "given_name", "family_name", "birth_given_name", "birth_family_name", "name", "formatted", "street_address", "email",
			"phone_number", "document_number", "personal_administrative_number", "authentic_source_person_id",
			"birthCertificate", "photocardserialno", "certificateNumber":
			c.add(v)
		}
	}
}

var importFiles = []string{"identity.jsonl", "ehic.jsonl", "driving-licences.jsonl", "marriages.jsonl", "isi-cards.jsonl"}

// readImport returns the canaries of the real records and the files' paths.
func readImport(t *testing.T) (canaries, []string) {
	t.Helper()
	found, paths := canaries{}, []string(nil)
	inClear := map[string]bool{} // somebody else's birthday may be the first day of a card
	for _, name := range importFiles {
		path, ok := domaintest.SharedData(t, "import/"+name)
		if !ok {
			return nil, nil
		}
		paths = append(paths, path)
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var record struct {
				SSIN, SourceReference, DocumentType string
				ValidFrom, ValidUntil               string
				Parents                             []string
				Content                             any
			}
			if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
				t.Fatal(err)
			}
			found.add(record.SSIN)
			found.add(record.SourceReference)
			for _, p := range record.Parents {
				found.add(p)
			}
			found.walk("", record.Content)
			if record.DocumentType != "isiPlusCard" { // whose dates are sealed
				inClear[record.ValidFrom], inClear[record.ValidUntil] = true, true
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for date := range inClear {
		delete(found, date)
	}
	if len(found) < 300 {
		t.Fatalf("only %d canaries in the real records", len(found))
	}
	return found, paths
}

// forms are the ways in which a string may stand in a file.
func forms(s string) [][]byte {
	var le, be []byte
	for _, u := range utf16.Encode([]rune(s)) {
		le, be = binary.LittleEndian.AppendUint16(le, u), binary.BigEndian.AppendUint16(be, u)
	}
	out := [][]byte{[]byte(s), le, be, []byte(hex.EncodeToString([]byte(s))), []byte(strings.ToUpper(hex.EncodeToString([]byte(s))))}
	for shift := range 3 { // base64 depends on where in a group of three bytes it begins
		encoded := base64.StdEncoding.EncodeToString(append(bytes.Repeat([]byte{0}, shift), s...))
		first := (shift*8 + 5) / 6
		last := (shift + len(s)) * 8 / 6
		middle := encoded[first:last]
		out = append(out, []byte(middle), []byte(strings.NewReplacer("+", "-", "/", "_").Replace(middle)))
	}
	return slices.DeleteFunc(out, func(b []byte) bool { return len(b) < shortest })
}

// finder looks for many strings at once, by their first bytes.
type finder struct {
	needles map[[shortest]byte][]needle
	filter  *[1 << 16]bool // by the hash of a needle's first four bytes: most places are none's
}

type needle struct {
	form   []byte
	canary string
}

func newFinder(c canaries) finder {
	f := finder{map[[shortest]byte][]needle{}, new([1 << 16]bool)}
	for s := range c {
		for _, form := range forms(s) {
			key := [shortest]byte(form)
			f.needles[key] = append(f.needles[key], needle{form, s})
			f.filter[hash(binary.BigEndian.Uint32(form))] = true
		}
	}
	return f
}

func hash(four uint32) uint16 { return uint16(four * 2654435761 >> 16) }

// in adds to hits the canaries found in b, each with where.
func (f finder) in(where string, b []byte, hits map[string]string) {
	var four uint32 // the last bytes read
	for end, each := range b {
		four = four<<8 | uint32(each)
		i := end - 3
		if !f.filter[hash(four)] || i < 0 || i+shortest > len(b) {
			continue
		}
		for _, n := range f.needles[[shortest]byte(b[i:])] {
			if bytes.HasPrefix(b[i:], n.form) {
				hits[n.canary] = where
			}
		}
	}
}

// below looks into every file below the folders.
func (f finder) below(t *testing.T, hits map[string]string, folders ...string) (files int) {
	t.Helper()
	for _, folder := range folders {
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			name, _ := filepath.Rel(folder, path)
			f.in(name, append([]byte(name+"\n"), b...), hits)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// played is what a whole life of a vault left behind.
type played struct {
	dir, temp string
	logs      bytes.Buffer                // what the vault logged
	run       func(args ...string) []byte // a command that ends well
	command   func(args ...string) []byte // the same, of the vault's directory
}

// play runs the demo and the import on a vault in a folder of its own, and adds
// the demo's invented people to the canaries.
func play(t *testing.T, c canaries, paths []string, o vault.Options) *played {
	t.Helper()
	p := &played{dir: t.TempDir(), temp: t.TempDir()}
	t.Setenv("TMPDIR", p.temp)
	o.Logger = slog.New(slog.NewJSONHandler(&p.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	p.run = func(args ...string) []byte {
		t.Helper()
		var out, errs bytes.Buffer
		program := newProgram(terminal{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" }})
		program.open = func(ctx context.Context, dir vault.DataDir) (runningVault, error) { return vault.Open(ctx, dir, o) }
		if code := program.run(t.Context(), args); code != 0 {
			t.Fatalf("coffre %s: exit %d\n%s%s", strings.Join(args[:min(2, len(args))], " "), code, out.Bytes(), errs.Bytes())
		}
		return out.Bytes()
	}
	command := func(args ...string) []byte {
		t.Helper()
		return p.run(append(args, "--data", p.dir)...)
	}
	p.command = command
	before := len(c)
	for line := range bytes.Lines(command("demo", "--json")) {
		var step any
		if err := json.Unmarshal(line, &step); err != nil {
			t.Fatal(err)
		}
		c.people(step)
	}
	if len(c) < before+12 {
		t.Fatalf("the demo told of %d canaries only", len(c)-before)
	}
	for _, path := range paths {
		command("documents", "import", path)
	}
	attached(t, c, command)
	return p
}

// attached uploads a file that tells of everybody, twice, and issues a document that
// names one of them.
func attached(t *testing.T, c canaries, command func(...string) []byte) {
	t.Helper()
	dir, text := t.TempDir(), "%PDF-1.7\n"
	for s := range c {
		text += s + "\n"
	}
	path, line := filepath.Join(dir, "all.pdf"), filepath.Join(dir, "document.jsonl")
	if err := os.WriteFile(path, []byte(text+"%%EOF\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var file struct{ AttachmentID, MediaType string }
	for range 2 {
		if err := json.Unmarshal(command("documents", "attach", path, "--json"), &file); err != nil || file.MediaType != "application/pdf" {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(line, []byte(`{"ssin":"`+ssinA+`","documentType":"marriageCertificate","sourceReference":"attached","validFrom":"2020-01-02","attachments":["`+
		file.AttachmentID+`"],"content":{"certificateNumber":"4711","country":"BE","date":"2020-01-02"}}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command("documents", "import", line)
}

// people collects the demo's invented persons.
func (c canaries) people(value any) {
	switch v := value.(type) {
	case map[string]any:
		if born, ok := v["birthDate"].(string); ok && v["ssin"] != nil {
			c.born(born)
			given, family := fmt.Sprint(v["given"]), fmt.Sprint(v["family"])
			for _, s := range []string{given, family, given + " " + family, fmt.Sprint(v["ssin"])} {
				c.add(s)
			}
		}
		for _, each := range v {
			c.people(each)
		}
	case []any:
		for _, each := range v {
			c.people(each)
		}
	}
}

// innocent removes what a vault that knows nobody holds as well: words of the
// registry that happen to be somebody's name.
func innocent(t *testing.T, c canaries) {
	t.Helper()
	p := play0(t)
	hits := map[string]string{}
	newFinder(c).below(t, hits, p)
	for s := range hits {
		delete(c, s)
	}
	if len(hits) > 20 {
		t.Fatalf("%d canaries are in an empty vault", len(hits))
	}
}

// play0 makes a vault that knows nobody.
func play0(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	v, err := vault.Open(t.Context(), vault.DataDir(dir), vault.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestCanary plays the story once and looks for canaries in all that it leaves: files
// and logs, a backup's archive, and what a client of KurrentDB reads.
func TestCanary(t *testing.T) {
	found, paths := readImport(t)
	if paths == nil { // the demo's people are there in any case
		found = canaries{}
	}
	traced, traces := collect(t)
	p := play(t, found, paths, vault.Options{Traces: traces})
	innocent(t, found)
	f := newFinder(found)
	t.Run("traces", func(t *testing.T) {
		traced.holdNothingPersonal(t, f, "issueDocument", "accessDocument", "getWallet", "use case", "log.transact", "log.append", "log.read")
	})
	t.Run("files", func(t *testing.T) { p.filesHoldNothingPersonal(t, f) })
	t.Run("what auditors get", func(t *testing.T) { p.auditorsGetNothingPersonal(t, f) })
	t.Run("backup", func(t *testing.T) { p.backupHoldsNothingPersonal(t, f) })
	if paths == nil {
		return // too few records
	}
	t.Run("KurrentDB's protocol", func(t *testing.T) { p.kurrentTellsNothingPersonal(t, f) })
}

func (p *played) filesHoldNothingPersonal(t *testing.T, f finder) {
	hits := map[string]string{}
	if files := f.below(t, hits, p.dir, p.temp); files < 5 {
		t.Fatalf("looked into %d files only", files)
	}
	f.in("the log", p.logs.Bytes(), hits)
	for canary, where := range hits { // invented or public test data, so it may be shown
		t.Errorf("%q stands in %s", canary, where)
	}
}

// auditorsGetNothingPersonal looks into what an auditor prints and takes home: the replay, and
// the bundle with its base64 decoded.
func (p *played) auditorsGetNothingPersonal(t *testing.T, f finder) {
	path := filepath.Join(t.TempDir(), "log.bundle")
	hits := map[string]string{}
	for _, args := range [][]string{{"audit", "replay"}, {"audit", "replay", "--json"}, {"audit", "bundle", "--out", path}} {
		f.in("coffre "+strings.Join(args[:2], " "), p.command(args...), hits)
	}
	told := 0
	for line := range bytes.Lines(p.run("audit", "replay", path, "--type", "citizen.registered", "--json")) {
		var e struct{ Facts struct{ Citizen string } }
		if json.Unmarshal(line, &e) != nil || e.Facts.Citizen == "" {
			continue
		}
		for _, place := range []string{path, p.dir} {
			for _, form := range []string{"--json=false", "--json"} {
				f.in("coffre audit asof", p.run("audit", "asof", place, "--citizen", e.Facts.Citizen, form), hits)
			}
		}
		told++
	}
	if told < 3 {
		t.Fatalf("only %d citizens were told of", told)
	}
	for _, args := range [][]string{{"audit", "replay", path}, {"audit", "replay", p.dir, "--json"}, {"audit", "verify", path}, {"audit", "verify", p.dir, "--json"}, {"audit", "diff", path, path}, {"audit", "projections", p.dir}, {"audit", "projections", p.dir, "--json"}} {
		f.in("coffre "+strings.Join(args[:2], " "), p.run(args...), hits)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	texts := 0
	for line := range bytes.Lines(b) {
		dec := json.NewDecoder(bytes.NewReader(line))
		for {
			token, err := dec.Token()
			if err != nil {
				break
			}
			text, ok := token.(string)
			if !ok {
				continue
			}
			// Base64 is looked at decoded only: of its own letters the last ones are not those
			// of a canary alone, so that the day after one would be taken for it.
			plain, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				plain = []byte(text)
			}
			f.in("the bundle", plain, hits)
			texts++
		}
	}
	if texts < 200 { // the last checkpoint need not cover the last events
		t.Fatalf("looked into %d texts of the bundle only", texts)
	}
	for canary, where := range hits { // invented or public test data, so it may be shown
		t.Errorf("%q stands in %s", canary, where)
	}
}

// With the keys in Vault nothing is found either, in what Vault stores, logs and
// audits least of all.
func TestCanaryInVault(t *testing.T) {
	found, paths := readImport(t)
	if paths == nil {
		return
	}
	s := vaulttest.Start(t)
	audit := s.Audit(t)
	traced, traces := collect(t)
	p := play(t, found, paths, vault.Options{Transit: vaultOf(t, s), Traces: traces})
	innocent(t, found)
	f, hits := newFinder(found), map[string]string{}
	traced.holdNothingPersonal(t, f, "accessDocument", "vault")
	if files := f.below(t, hits, p.dir, p.temp, s.Dir()); files < 10 {
		t.Fatalf("looked into %d files only", files)
	}
	f.in("the log", p.logs.Bytes(), hits)
	for canary, where := range hits { // invented or public test data, so it may be shown
		t.Errorf("%q stands in %s", canary, where)
	}
	trail, err := os.ReadFile(audit)
	if err != nil || bytes.Count(trail, []byte("coffre/decrypt/kek")) < 10 {
		t.Fatal("Vault's audit log tells of no decryption: this test sees nothing", err)
	}
}

// unsealed is what a broken program would be: it makes the keys, and writes what
// it should seal.
type unsealed struct {
	eventstore.Sealer
	eventstore.Opener
}

func (u unsealed) Seal(ctx context.Context, c domain.CitizenID, p eventstore.Place, plain []byte) ([]byte, error) {
	_, err := u.Sealer.Seal(ctx, c, p, plain)
	return bytes.Clone(plain), err
}

func (unsealed) Open(_ context.Context, dst []byte, _ eventstore.Place, sealed []byte) ([]byte, error) {
	return append(dst, sealed...), nil
}

// A canary that cannot die proves nothing: with sealing off it is found.
func TestCanaryDiesWithoutSealing(t *testing.T) {
	found, paths := readImport(t)
	if paths == nil {
		return
	}
	innocent(t, found)
	p := play(t, found, paths, vault.Options{Sealing: func(s eventstore.Sealer, o eventstore.Opener) (eventstore.Sealer, eventstore.Opener) {
		return unsealed{s, o}, unsealed{s, o}
	}})
	hits := map[string]string{}
	newFinder(found).below(t, hits, p.dir)
	if len(hits) < len(found)/2 {
		t.Fatalf("with sealing off only %d of %d canaries were found", len(hits), len(found))
	}
}

// Each form is found wherever it stands.
func TestFinder(t *testing.T) {
	const secret = "Zöe van der Canary"
	f := newFinder(canaries{secret: true})
	for i, form := range forms(secret) {
		hits := map[string]string{}
		f.in("file", slices.Concat([]byte("before"), form, []byte("after")), hits)
		if len(hits) != 1 {
			t.Errorf("form %d is not found", i)
		}
	}
	for pad := range 5 {
		hits := map[string]string{}
		f.in("file", []byte(base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s%s and more", strings.Repeat("x", pad), secret))), hits)
		if len(hits) != 1 {
			t.Errorf("base64 behind %d bytes is not found", pad)
		}
	}
	hits := map[string]string{}
	f.in("file", []byte("nothing of the kind"), hits)
	if len(hits) != 0 {
		t.Error("found where it is not")
	}
}
