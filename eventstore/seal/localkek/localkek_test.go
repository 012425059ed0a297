package localkek

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"coffre/eventstore"
	"coffre/eventstore/seal"
	"coffre/eventstore/seal/keystest"
)

func TestContract(t *testing.T) {
	paths := map[string]string{} // by test
	at := func(t *testing.T) keystest.Keys {
		k, err := Open(paths[t.Name()])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		return k
	}
	keystest.Run(t, func(t *testing.T) keystest.Keys {
		paths[t.Name()] = filepath.Join(t.TempDir(), "kek.json")
		return at(t)
	}, at)
}

func TestFileIsPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "kek.json")
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Fatal("something was left beside the key file", entries, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Fatal("a file its group can read was taken")
	}
}

func TestNeverPrints(t *testing.T) {
	k, err := Open(filepath.Join(t.TempDir(), "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	key := k.keys.versions[1]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		out := fmt.Sprintf(verb, k)
		for _, secret := range []string{string(key[:]), hex.EncodeToString(key[:4]), fmt.Sprint(key[0], key[1]), base64.StdEncoding.EncodeToString(key[:6])} {
			if strings.Contains(out, secret) {
				t.Errorf("%s prints the key", verb)
			}
		}
	}
}

func TestDiesWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek.json")
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(temporary(path), []byte("half a key fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.keys.versions[1] != k.keys.versions[1] {
		t.Fatal("the key changed")
	}
	if _, err := os.Stat(temporary(path)); !errors.Is(err, os.ErrNotExist) {
		t.Fatal("the leftover is still there", err)
	}
}

func TestRotateThatCannotBeWrittenChangesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	k, err := Open(filepath.Join(dir, "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Rotate(t.Context()); err == nil {
		t.Fatal("a version that is not durable was made")
	}
	if v, err := k.Versions(t.Context()); err != nil || v.Latest != 1 {
		t.Fatal(v, err)
	}
}

func TestClosed(t *testing.T) {
	k, err := Open(filepath.Join(t.TempDir(), "kek.json"))
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	if _, err := k.Wrap(t.Context(), []seal.WrapItem{{Plain: []byte("k")}}); !errors.Is(err, eventstore.ErrKeysUnavailable) {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kek.json")
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":          nil,
		"cut":            good[:len(good)/2],
		"twice":          append(bytes.Clone(good), good...),
		"unknown member": bytes.Replace(good, []byte(`"format"`), []byte(`"x": 1, "format"`), 1),
		"other format":   bytes.Replace(good, []byte(`"format": 1`), []byte(`"format": 2`), 1),
		"gap":            bytes.Replace(good, []byte(`"version": 2`), []byte(`"version": 3`), 1),
		"minimum":        bytes.Replace(good, []byte(`"minDecryption": 1`), []byte(`"minDecryption": 3`), 1),
		"zero minimum":   bytes.Replace(good, []byte(`"minAvailable": 1`), []byte(`"minAvailable": 0`), 1),
	} {
		if bytes.Equal(bad, good) {
			t.Fatal("nothing was damaged", name)
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), `"`) {
			t.Errorf("%s: the error quotes the file: %v", name, err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, bad) {
			t.Errorf("%s: a file that is not understood was replaced", name)
		}
	}
}

func FuzzParseWrapped(f *testing.F) {
	k, err := Open(filepath.Join(f.TempDir(), "kek.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{}, []byte{})
	f.Add([]byte{wrappedFormat, 0, 0, 0, 1}, []byte("use"))
	f.Add(append([]byte{wrappedFormat, 0xff, 0xff, 0xff, 0xff}, make([]byte, 60)...), []byte("use"))
	f.Add(k.wrap(make([]byte, 32), []byte("use")), []byte("another use"))
	f.Fuzz(func(t *testing.T, wrapped, use []byte) {
		got, err := k.Unwrap(t.Context(), []seal.UnwrapItem{{Wrapped: wrapped, AAD: use}})
		if err != nil {
			t.Fatal(err)
		}
		if got[0].Err == nil { // the fuzzer cannot make a key; one more wrap must agree
			t.Fatalf("opened %d bytes that were not wrapped for this use", len(got[0].Plain))
		}
	})
}

func FuzzDecodeFile(f *testing.F) {
	good, err := encode(fresh())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"format":1,"versions":[{"version":1,"key":""}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := decode(b)
		if err != nil {
			return
		}
		again, err := encode(k)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decode(again); err != nil || back.latest != k.latest || back.minDecryption != k.minDecryption {
			t.Fatal("a file that was read cannot be written", err)
		}
	})
}
