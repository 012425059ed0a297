package seal

import (
	"encoding/hex"
	"fmt"
	"testing"

	"coffre/domain"
)

// These values are for ever: ids in the log and wrapped keys depend on them. They
// were computed with another language's HMAC.
func TestDerivationsNeverChange(t *testing.T) {
	var dek [keySize]byte
	for i := range dek {
		dek[i] = byte(i)
	}
	s, err := newSubject(domain.CitizenID{}, dek[:], 1, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	tag := s.contentTag.mac([]byte(`{"a":1}`))
	for _, c := range []struct{ what, got, want string }{
		{"document id", s.documentID.documentUUID("0206731645", "isiPlusCard", "réf-1").String(), "43ae4d15-e10c-811b-9105-7511789a2974"},
		{"content tag", hex.EncodeToString(tag[:16]), "4e1f1dfb58f185d376940f282bb7073c"},
		{"ssin key", hex.EncodeToString(s.ssin[:]), "eb32e8d7e1d1bc103f1e8240b85e05347d613c5e2a1dcae3c8ce5cbc5fe979f0"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.what, c.got, c.want)
		}
	}
}

func TestZeroedSubjectIsNotUsed(t *testing.T) {
	k := newKey()
	s, err := newSubject(domain.CitizenID{}, k[:], 1, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !s.with(func() {}) {
		t.Fatal("a live subject is refused")
	}
	s.zero()
	if s.with(func() { t.Error("used") }) || s.documentID != (key{}) || s.contentTag != (key{}) || s.ssin != (key{}) {
		t.Fatal("keys are left")
	}
}

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	gone := map[int]int{}
	c := newCache[int](64, func(v int) { gone[v]++ })
	yes := func() bool { return true }
	const hot = -1
	c.put(hot, hot, yes)
	for i := range 5000 {
		c.put(i, i, yes)
		if v, ok := c.get(hot); !ok || v != hot {
			t.Fatalf("what is used all the time left after %d others", i)
		}
	}
	kept := 0
	for i := range 5000 {
		v, ok := c.get(i)
		if ok && v != i {
			t.Fatal("another's value")
		}
		if ok == (gone[i] == 1) {
			t.Fatalf("%d: kept %t, left %d times", i, ok, gone[i])
		}
		if ok {
			kept++
		}
	}
	if kept > 64 || kept < 32 {
		t.Fatalf("%d kept", kept)
	}
	if c.put(7000, 7000, func() bool { return false }) {
		t.Fatal("stored what is not valid")
	}
	if _, ok := c.get(7000); ok {
		t.Fatal("stored what is not valid")
	}
	c.put(hot, 8000, yes)
	if v, _ := c.get(hot); v != 8000 || gone[hot] != 1 {
		t.Fatal("not replaced")
	}
	c.remove(hot)
	c.remove(hot)
	if _, ok := c.get(hot); ok || gone[8000] != 1 {
		t.Fatal("not removed")
	}
	c.removeIf(func(v int) bool { return v%2 == 0 })
	for i := range 5000 {
		if _, ok := c.get(i); ok && i%2 == 0 {
			t.Fatal("not removed")
		}
	}
	for i := range 5000 { // the rings are whole after removals
		c.put(i, i, yes)
	}
	for i, n := range gone {
		if n > 2 {
			t.Fatal(fmt.Sprint(i, " left ", n, " times"))
		}
	}
}
