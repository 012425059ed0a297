package backup_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"coffre/eventstore/backup"
)

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

type content []byte

func (c content) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(c)
	return int64(n), err
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// random is n bytes, the same for the same seed.
func random(seed uint64, n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	_, _ = r.Read(b)
	return b
}

// taken is what an archive held.
type taken struct {
	parts map[string][]byte
	blobs map[string][]byte
	lazy  bool  // reads nothing
	fail  error // of the target itself
}

func (to *taken) Part(_ context.Context, name string, r io.Reader) error {
	if to.lazy || to.fail != nil {
		return to.fail
	}
	b, err := io.ReadAll(r)
	to.parts[name] = b
	return err
}

func (to *taken) Blob(_ context.Context, name string, size int64, r io.Reader) error {
	b, err := io.ReadAll(r)
	if err == nil && int64(len(b)) != size {
		return fmt.Errorf("%d bytes of %d", len(b), size)
	}
	to.blobs[name] = b
	return err
}

func newTaken() *taken { return &taken{parts: map[string][]byte{}, blobs: map[string][]byte{}} }

// sample is an archive with parts of every length that matters, and attachments.
func sample(t testing.TB, to ...age.Recipient) (archive []byte, m backup.Manifest, held *taken) {
	t.Helper()
	held = newTaken()
	for i, size := range []int{0, 1, 1 << 20, 1<<20 + 1, 5 << 19} {
		held.parts["part"+string(rune('a'+i))] = random(uint64(i), size)
	}
	held.blobs["0a/first.bin"], held.blobs["second"], held.blobs["zz/empty"] = random(90, 100_000), random(91, 1), []byte{}
	folder := backup.Folder(filepath.Join(t.TempDir(), "blobs"))
	for name, b := range held.blobs {
		if err := folder.Put(name, int64(len(b)), bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := folder.Sync(); err != nil {
		t.Fatal(err)
	}
	for _, unfinished := range []string{".tmp", "unfinished-1"} {
		if err := os.WriteFile(filepath.Join(string(folder), unfinished), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := backup.Contents{
		Manifest: backup.Manifest{Software: "test", Taken: noon, Log: backup.Log{Records: 3, Last: backup.Sum{1}, At: noon}, Keys: backup.Keys{Oldest: 1, Latest: 2}},
		Blobs:    folder, Now: func() time.Time { return noon.Add(time.Minute) },
	}
	for _, name := range []string{"parta", "partb", "partc", "partd", "parte"} {
		c.Parts = append(c.Parts, backup.Source{Name: name, WriterTo: content(held.parts[name])})
	}
	var b bytes.Buffer
	m, err := backup.Write(t.Context(), &b, to, c)
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), m, held
}

func TestArchiveIsReadAsItWasWritten(t *testing.T) {
	first, second := identity(t), identity(t)
	archive, wrote, held := sample(t, first.Recipient(), second.Recipient())
	for _, id := range []age.Identity{first, second} {
		to := newTaken()
		m, err := backup.Read(t.Context(), bytes.NewReader(archive), []age.Identity{identity(t), id}, to)
		if err != nil {
			t.Fatal(err)
		}
		was, _ := json.Marshal(wrote)
		is, _ := json.Marshal(m)
		if string(was) != string(is) || m.Format != backup.Format || m.Blobs.Count != 3 || m.Parts[3].Size != 1<<20+1 || !m.Finished.After(m.Taken) {
			t.Errorf("wrote %s, read %s", was, is)
		}
		for name, b := range held.parts {
			if !bytes.Equal(to.parts[name], b) {
				t.Errorf("%s differs", name)
			}
		}
		for name, b := range held.blobs {
			if !bytes.Equal(to.blobs[name], b) {
				t.Errorf("%s differs", name)
			}
		}
		if len(to.parts) != len(held.parts) || len(to.blobs) != len(held.blobs) {
			t.Error("there is more in it")
		}
	}
	if _, err := backup.Read(t.Context(), bytes.NewReader(archive), []age.Identity{identity(t)}, newTaken()); !errors.Is(err, backup.ErrNotForUs) {
		t.Errorf("a stranger: %v", err)
	}
}

// Wherever a byte is changed, left out or added, the whole is refused.
func TestDamagedArchive(t *testing.T) {
	id := identity(t)
	archive, _, _ := sample(t, id.Recipient())
	refused := func(t interface{ Fatalf(string, ...any) }, b []byte, what string, at int) {
		_, err := backup.Read(context.Background(), bytes.NewReader(b), []age.Identity{id}, newTaken())
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrNotForUs) {
			t.Fatalf("%s at %d of %d: %v", what, at, len(archive), err)
		}
	}
	for n := range 300 { // the header, byte by byte
		refused(t, archive[:n], "cut off", n)
		b := slices.Clone(archive[:min(len(archive), 80<<10)])
		b[n] ^= 1
		refused(t, b, "flipped", n)
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, len(archive)-1).Draw(t, "at")
		refused(t, archive[:n], "cut off", n)
		b := slices.Clone(archive)
		b[n] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		refused(t, b, "flipped", n)
		refused(t, slices.Insert(slices.Clone(archive), n, byte(n)), "with a byte more", n)
	})
	refused(t, append(slices.Clone(archive), 0), "with a byte behind it", len(archive))
	refused(t, append(slices.Clone(archive), archive...), "twice", len(archive))
	refused(t, nil, "empty", 0)
}

// Whoever has the recipient can make an archive: what is in it is not believed.
func TestForeignArchive(t *testing.T) {
	id := identity(t)
	type member struct {
		name, content string
		kind          byte
	}
	lead := member{"backup.json", `{"format":1,"software":"","taken":"2026-03-01T12:00:00Z"}`, tar.TypeReg}
	end := member{"manifest.json", `{"format":1,"software":"","taken":"2026-03-01T12:00:00Z","blobs":{"sha256":"` + fmt.Sprintf("%x", sumOfNothing) + `"}}`, tar.TypeReg}
	read := func(behind string, members ...member) error {
		t.Helper()
		var b bytes.Buffer
		sealed, err := age.Encrypt(&b, id.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(sealed)
		for _, m := range members {
			if err := w.WriteHeader(&tar.Header{Typeflag: m.kind, Name: m.name, Size: int64(len(m.content)), Linkname: "x"}); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(w, m.content); err != nil {
				t.Fatal(err)
			}
		}
		whole := w.Close()
		_, ending := io.WriteString(sealed, behind)
		if err := errors.Join(whole, ending, sealed.Close()); err != nil {
			t.Fatal(err)
		}
		_, err = backup.Read(t.Context(), &b, []age.Identity{id}, newTaken())
		return err
	}
	if err := read("", lead, end); err != nil {
		t.Fatalf("the least archive: %v", err)
	}
	if err := read("x", lead, end); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("something behind the end: %v", err)
	}
	blob := func(name string) member { return member{blobs(name), "x", tar.TypeReg} }
	for what, members := range map[string][]member{
		"no lead":             {end},
		"no manifest":         {lead},
		"nothing":             nil,
		"no number of form":   {{"backup.json", `{}`, tar.TypeReg}, end},
		"no JSON":             {{"backup.json", `{`, tar.TypeReg}, end},
		"a long manifest":     {lead, {"manifest.json", end.content + strings.Repeat(" ", 1<<17), tar.TypeReg}},
		"another moment":      {lead, {"manifest.json", strings.Replace(end.content, "2026", "2025", 1), tar.TypeReg}},
		"a part too many":     {lead, {"parts/x/00000000", "x", tar.TypeReg}, end},
		"a part in disorder":  {lead, {"parts/x/00000001", "x", tar.TypeReg}, end},
		"a blob too many":     {lead, blob("x"), end},
		"a path":              {lead, blob("../x"), end},
		"an absolute path":    {lead, blob("/x"), end},
		"a hidden file":       {lead, blob("a/.x"), end},
		"another name":        {lead, {"x", "x", tar.TypeReg}, end},
		"a link":              {lead, {blobs("x"), "", tar.TypeSymlink}, end},
		"a folder":            {lead, {blobs("x/"), "", tar.TypeDir}, end},
		"after the manifest":  {lead, end, {"x", "x", tar.TypeReg}},
		"the manifest twice":  {lead, end, end},
		"a part after a blob": {lead, blob("x"), {"parts/x/00000000", "x", tar.TypeReg}, end},
	} {
		if err := read("", members...); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := read("", member{"backup.json", `{"format":2}`, tar.TypeReg}); !errors.Is(err, backup.ErrNewer) {
		t.Errorf("a newer form: %v", err)
	}
}

func blobs(name string) string { return "blobs/" + name }

var sumOfNothing = func() backup.Sum {
	var s backup.Sum
	if err := s.UnmarshalText([]byte("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")); err != nil {
		panic(err)
	}
	return s
}()

// An error of who takes the parts is theirs, and what they did not read is damage.
func TestTargetsErrors(t *testing.T) {
	id := identity(t)
	archive, _, _ := sample(t, id.Recipient())
	full := errors.New("disk full")
	if _, err := backup.Read(t.Context(), bytes.NewReader(archive), []age.Identity{id}, &taken{fail: full}); !errors.Is(err, full) || errors.Is(err, backup.ErrDamaged) {
		t.Error(err)
	}
	if _, err := backup.Read(t.Context(), bytes.NewReader(archive), []age.Identity{id}, &taken{lazy: true}); !errors.Is(err, backup.ErrDamaged) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := backup.Read(ended, bytes.NewReader(archive), []age.Identity{id}, newTaken()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Attachments come and go while they are written.
func TestBlobsThatGo(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	id := identity(t)
	write := func(blobs backup.Blobs) (backup.Manifest, error) {
		var b bytes.Buffer
		m, err := backup.Write(t.Context(), &b, []age.Recipient{id.Recipient()}, backup.Contents{Blobs: blobs, Now: time.Now})
		if err == nil {
			_, err = backup.Read(t.Context(), &b, []age.Identity{id}, newTaken())
		}
		return m, err
	}
	if m, err := write(going{backup.Folder(dir), func() error { return fs.ErrNotExist }}); err != nil || m.Blobs.Count != 0 {
		t.Errorf("%+v %v", m.Blobs, err)
	}
	if _, err := write(going{backup.Folder(dir), func() error { return fs.ErrPermission }}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("one that cannot be read is left out: %v", err)
	}
	if m, err := write(backup.Folder(filepath.Join(dir, "absent"))); err != nil || m.Blobs.Count != 0 {
		t.Errorf("%+v %v", m.Blobs, err)
	}
	if _, err := write(shrinking{}); err == nil {
		t.Error("one that became shorter passes")
	}
}

type going struct {
	backup.Folder
	open func() error
}

func (g going) Walk(ctx context.Context, each func(string, int64, func() (io.ReadCloser, error)) error) error {
	return g.Folder.Walk(ctx, func(name string, size int64, _ func() (io.ReadCloser, error)) error {
		return each(name, size, func() (io.ReadCloser, error) { return nil, g.open() })
	})
}

type shrinking struct{}

func (shrinking) Walk(_ context.Context, each func(string, int64, func() (io.ReadCloser, error)) error) error {
	return each("x", 10, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("short")), nil })
}

func TestRecipientsAndIdentities(t *testing.T) {
	id := identity(t)
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range [][]string{{id.Recipient().String()}, {id.Recipient().String(), identity(t).Recipient().String()}, {hybrid.Recipient().String()}} {
		if all, err := backup.ParseRecipients(good); err != nil || len(all) != len(good) {
			t.Errorf("%v: %v", good, err)
		}
	}
	const secret = "ssh-ed25519 AAAA"
	for _, bad := range [][]string{nil, {""}, {secret}, {id.String()}, {id.Recipient().String() + "q"}, slices.Repeat([]string{id.Recipient().String()}, 33)} {
		_, err := backup.ParseRecipients(bad)
		if !errors.Is(err, backup.ErrRecipient) || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v: %v", bad, err)
		}
	}
	if _, err := backup.ParseRecipients([]string{hybrid.Recipient().String(), id.Recipient().String()}); !errors.Is(err, backup.ErrMixed) {
		t.Error(err)
	}
	words, err := backup.ReadRecipients(strings.NewReader("# who\n\n  " + id.Recipient().String() + "\n"))
	if err != nil || len(words) != 1 {
		t.Error(words, err)
	}
	if all, err := backup.ReadIdentities(strings.NewReader("# created\n" + id.String() + "\n" + hybrid.String() + "\n")); err != nil || len(all) != 2 {
		t.Error(all, err)
	}
	if _, err := backup.ReadIdentities(strings.NewReader(id.String() + "x")); !errors.Is(err, backup.ErrIdentity) || strings.Contains(err.Error(), "SECRET-KEY-1") {
		t.Error(err)
	}
	if _, err := backup.Write(t.Context(), io.Discard, nil, backup.Contents{Now: time.Now}); !errors.Is(err, backup.ErrRecipient) {
		t.Errorf("for nobody: %v", err)
	}
}

// The recipient that the contract shows is nobody's of those who read it.
func TestTheRecipientOfTheExampleIsRefused(t *testing.T) {
	contract, err := os.ReadFile("../../handlers/contract/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile(`age1[0-9a-z]{58}`).FindAllString(string(contract), -1)
	if len(shown) == 0 {
		t.Fatal("the contract shows no recipient")
	}
	for _, word := range append(shown, strings.ToUpper(shown[0])) {
		for _, words := range [][]string{{word}, {identity(t).Recipient().String(), word}} {
			if _, err := backup.ParseRecipients(words); !errors.Is(err, backup.ErrExample) || strings.Contains(err.Error(), shown[0]) {
				t.Errorf("%v", err)
			}
		}
		if _, err := backup.ReadRecipients(strings.NewReader(word + "\n")); !errors.Is(err, backup.ErrExample) {
			t.Errorf("in a file: %v", err)
		}
	}
}
