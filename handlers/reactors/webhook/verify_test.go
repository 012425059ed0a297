package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Verify returns nil for a delivery that the holder of key signed within five minutes of now.
// key is what coffre told: whsec_… or whpk_….
func Verify(key string, h http.Header, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || now.Sub(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return errors.New("too old, too new, or no time")
	}
	kind, text, _ := strings.Cut(key, "_")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return err
	}
	signed := []byte(h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body))
	for _, one := range strings.Fields(h.Get("webhook-signature")) {
		version, text, _ := strings.Cut(one, ",")
		signature, err := base64.StdEncoding.DecodeString(text)
		switch {
		case err != nil:
		case kind == "whpk" && version == "v1a" && len(raw) == ed25519.PublicKeySize && ed25519.Verify(raw, signed, signature):
			return nil
		case kind == "whsec" && version == "v1":
			mac := hmac.New(sha256.New, raw)
			mac.Write(signed)
			if hmac.Equal(mac.Sum(nil), signature) {
				return nil
			}
		}
	}
	return errors.New("no signature fits")
}

// The code that docs/webhooks.md gives to receivers accepts what is sent, and nothing else. It is
// this file's own function, so that a compiler has read it; deploy/interop/webhook runs that of
// the other languages.
func TestThePageTellsHowToVerify(t *testing.T) {
	page, err := os.ReadFile("../../../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("verify_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "```go\n")
	shown, _, closed := strings.Cut(rest, "```")
	_, function, _ := strings.Cut(shown, "// Verify returns")
	if !found || !closed || function == "" || !strings.Contains(string(source), "// Verify returns"+function) {
		t.Error("the page shows another function than the one that is tested")
	}
	now := time.Now()
	for _, how := range []Signature{HMAC, Ed25519} {
		key := newKey()
		s := Subscription{Signature: how, box: box{Keys: [][]byte{newKey(), key}}}
		id, body := uuid.NewString(), []byte(`{"specversion":"1.0"}`)
		signature, err := s.signatures(id, now, body)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set("webhook-id", id)
		h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		h.Set("webhook-signature", signature)
		text := keyText(how, key)
		if err := Verify(text, h, body, now); err != nil {
			t.Errorf("%s: %v", how, err)
		}
		for name, err := range map[string]error{
			"another body": Verify(text, h, []byte(`{"specversion":"1.1"}`), now),
			"another key":  Verify(keyText(how, newKey()), h, body, now),
			"too late":     Verify(text, h, body, now.Add(6*time.Minute)),
			"too early":    Verify(text, h, body, now.Add(-6*time.Minute)),
			"no headers":   Verify(text, http.Header{}, body, now),
		} {
			if err == nil {
				t.Errorf("%s: %s is accepted", how, name)
			}
		}
	}
}
